/* brood/popen.h - talk with a program: feed it, drain it, wait for it, stop it
 *
 *	brood_popen_opts opts = { .spawn = { .in.kind = BROOD_STDIO_PIPE, .out.kind = BROOD_STDIO_PIPE } };
 *	brood_popen *sort;
 *	brood_output text;
 *
 *	if (brood_popen_start(BROOD_ARGV("sort", "-n"), &opts, &sort) < 0)
 *		…
 *	if (brood_popen_communicate(sort, "3\n1\n2\n", 6, 5 * BROOD_SEC) == 0) {
 *		brood_popen_output(sort, 1, &text);
 *		fwrite(text.data, 1, text.size, stdout);
 *	}
 *	brood_popen_free(sort);
 *
 * Who only wants a program run to its end, with its output, calls brood_run() (brood/run.h); who
 * wants it started and nothing more, brood_spawn() (brood/spawn.h). This is what lies between:
 * Python's subprocess.Popen, parameter by parameter (docs/from-python.md has the table).
 *
 * The order of calls: start; then either the streams by hand (brood_popen_stream(),
 * brood_popen_file()), or brood_popen_communicate(), which feeds and drains all pipes at once and
 * so cannot dead-lock however much goes either way; or, in a program that has an event loop, the
 * same in steps: brood_popen_begin(), then brood_popen_step() whenever brood_popen_fd() is readable.
 * communicate() may time out, be called again, and goes on where it was: what was read is kept, what
 * was not yet written is still written. Output that has come can be looked at any time.
 *
 * Sinks: what happens to the bytes of a stream is said at the start by .out and .err: all of them
 * kept in memory (the default), the last N of them, handed to a function by chunk or by line,
 * written to a descriptor, or dropped; and copied to another descriptor beside it (.tee).
 *
 * Programs in the background: what a program leaves running may hold its pipes open for ever. Once
 * the program itself has ended, communicate() reads what is in the pipes, waits .linger_ns more for
 * their ends, and returns. Whatever was written before that is read, also when the host is late; input
 * that is not written by then is dropped.
 *
 * Pipes are created with the kernel's size (64 KiB), and made larger only when one was found full; with
 * .spawn.pipe_size they stay as they are.
 * No SIGPIPE: a program that does not read all of its input is no error, and no signal.
 *
 * Threads: poll(), wait() and the signalling calls from any thread, also beside one that is in
 * communicate(); the others by one thread at a time.
 * Fork: as in brood/spawn.h: in a forked child every call says -ECHILD, but for brood_popen_free() and those
 * that only look: pid(), child(), pidfd(), stream(), output() and take_output(). */
#ifndef BROOD_POPEN_H
#define BROOD_POPEN_H

#include <brood/spawn.h>
#include <stdio.h>

BROOD_BEGIN_DECLS

typedef enum brood_sink_kind {
	BROOD_SINK_MEMORY = 0, /* keep all, or the first .limit bytes */
	BROOD_SINK_TAIL,       /* keep the last .limit bytes (0: 4096) */
	BROOD_SINK_CHUNKS,     /* .call with each piece as it comes */
	BROOD_SINK_LINES,      /* .call with each line, its newline included when it has one */
	BROOD_SINK_FD,         /* write all to .fd */
	BROOD_SINK_DISCARD     /* read and drop */
} brood_sink_kind;

/** What to make of the bytes before the sink and .tee get them. */
typedef enum brood_text {
	BROOD_TEXT_BYTES = 0, /* nothing */
	BROOD_TEXT_STRICT, /* CR LF and CR become LF; what is not UTF-8 is told in .error (-EILSEQ), the
	                         bytes are passed on as they are */
	BROOD_TEXT_REPLACE /* the same (.error too), and what is not UTF-8 becomes U+FFFD, as CPython's
	                         errors="replace" does it */
} brood_text;

/** Gets output. `bytes` holds for the length of the call and may contain NUL.
 * Returns: 0 to go on; a negative value ends the brood_popen_communicate() or
 *          brood_popen_step() at work, which returns it; calling that again goes on behind this
 *          piece. The program is not stopped. */
typedef int brood_sink_call(void *data, const char *bytes, size_t size);

typedef struct brood_sink {
	brood_sink_kind kind;
	brood_text text;
	/* MEMORY, FD: how many bytes are kept, 0 all; the rest is read, counted and dropped, the program is
	 * not held up. TAIL: how many. LINES: the longest line, longer ones come in pieces (0: 1 MiB). */
	size_t limit;
	brood_sink_call *call; /* CHUNKS, LINES */
	void *data;
	/* FD: open for writing; stays the caller's. .tee: a copy of all (as it came, no limit) goes there too;
	 * 0: none. What is a pipe, a terminal or a socket never blocks the host: where there is no room the
	 * stream is not read on, and so the program is slowed as if it wrote there itself. The popen has a
	 * descriptor of its own until brood_popen_free(): who reads there sees the end after that. */
	int fd;
	int tee;
} brood_sink;

typedef struct brood_popen_opts {
	brood_spawn_opts spawn; /* the program's side: streams, environment, … and .fail */
	brood_sink out, err;    /* for a BROOD_STDIO_PIPE of .spawn.out, .spawn.err */
	/* How long the ends of the pipes are waited for after the program itself has ended. 0: 250 ms;
	 * BROOD_FOREVER: until they come; < 0: not at all. brood_popen_stop() waits 250 ms at most. */
	int64_t linger_ns;
	/* A descriptor (eventfd, signalfd, end of a pipe): as long as it is readable, every call that would
	 * wait, and has not all that it waits for, returns -ECANCELED. It is never read. NULL: none. */
	const int *cancel_fd;
} brood_popen_opts;

/** What has come out of a stream so far. */
typedef struct brood_output {
	const char *data; /* MEMORY and TAIL: the bytes kept, with a NUL behind them; else "" */
	size_t size;
	uint64_t total; /* bytes that came, before .text changed them */
	/* MEMORY, TAIL, FD: some of them were not kept, as they are beyond the limit, there was no memory, or
	 * .fd took no more */
	bool truncated;
	bool ended; /* the stream's end was seen */
	/* 0, or what the sink or the tee met first: -EILSEQ, -ENOSPC, -EPIPE, -ENOMEM, -ETIMEDOUT (given up by a
	 * stop), …; what could not be delivered was dropped, the program was not held up */
	int error;
} brood_output;

typedef struct brood_popen brood_popen;

/** Start the program argv[0] (or .spawn.executable) with `argv`.
 * Returns: 0 when the program runs.
 * Errors:  those of brood_spawn(); -EINVAL "sink": no such kind, no .call, a .fd or .tee below 0, or a
 *          sink for what is no BROOD_STDIO_PIPE; -EBADF "sink": a .fd or .tee that is not open for
 *          writing; -EBADF "cancel": a *cancel_fd that is not open; -EMFILE "sink", "cancel"; -ENOMEM
 *          "memory". Nothing is left behind.
 * Owns:    the caller frees *ret_popen with brood_popen_free(). Descriptors given in `opts` stay the
 *          caller's, who may close them once this has returned.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_popen_start(const char *const argv[], const brood_popen_opts *opts,
				brood_popen **ret_popen);

/** The program's process id, for logs.
 * Returns: the pid. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API pid_t brood_popen_pid(const brood_popen *popen);

/** The handle of brood/spawn.h below, for what has no call here.
 * Returns: the child. Errors: none.
 * Owns:    the popen keeps it; do not free it.
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_child *brood_popen_child(const brood_popen *popen);

/** A descriptor that is readable once the program has ended; see brood_child_pidfd().
 * Returns: the descriptor. Errors: none.
 * Owns:    the popen keeps it.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_popen_pidfd(const brood_popen *popen);

/** The host's end of a pipe, for who reads and writes by hand; `which` is 0, 1 or 2. It is blocking,
 * but for the standard input's once brood_popen_communicate() or _begin() has been called; then none of
 * them is to be used by hand any more.
 * Returns: the descriptor, close-on-exec.
 * Errors:  -EBADF: no pipe there, or taken, or closed at its end.
 * Owns:    the popen keeps it.
 * Safe:    threads, processes. */
BROOD_API int brood_popen_stream(const brood_popen *popen, int which);

/** The same as a FILE, what popen(3) gives: for writing when `which` is 0, else for reading. The
 * popen gives the descriptor up, and communicate() leaves that stream alone.
 * Returns: 0 and the stream in *ret_file.
 * Errors:  -EBADF as above, and once its end was seen; -EBUSY: after communicate() or begin(); -ENOMEM;
 *          -ECHILD.
 * Owns:    the caller closes it with fclose(). Its end of file and writing into a program that no
 *          longer reads (SIGPIPE) are as for any FILE.
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_file(brood_popen *popen, int which, FILE **ret_file);

/** Close the program's standard input now.
 * Returns: 0, also when there is none. Errors: -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_close_input(brood_popen *popen);

/** Feed `input`, close the program's standard input, drain the output into the sinks, wait for the
 * program's end and reap it; up to `timeout_ns`. On a time-out the program runs on, and the next
 * call, with input NULL, goes on. `input` NULL at the first call closes the standard input.
 * Returns: 0 when it has ended and its output is complete (see .linger_ns).
 * Errors:  -ETIMEDOUT; -ECANCELED; -EALREADY: input given again; -EINVAL: input without a pipe to the
 *          program, or a size without input; what a sink's .call returned; -ENOMEM: while polling or
 *          writing; -EFAULT: `input` cannot be read, and the rest of it is dropped; -ECHILD. The program is
 *          none the worse for any of them, and the next call goes on.
 * Owns:    `input` stays the caller's and must hold until the communication has ended.
 * Safe:    one thread at a time; restarts after signals. */
BROOD_API int brood_popen_communicate(brood_popen *popen, const void *input, size_t size,
				      int64_t timeout_ns);

/** The first half of an asynchronous communicate(): takes the input, waits for nothing.
 * Returns: 0. Errors: as brood_popen_communicate(), the waiting ones excepted.
 * Owns:    as brood_popen_communicate().
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_begin(brood_popen *popen, const void *input, size_t size);

/** Do all that can be done now, without waiting. A call handles a bounded amount of data, so that many
 * programs on one loop get their turns; brood_popen_fd() stays readable while there is more. Without a
 * begin() before it, it begins with no input.
 * Returns: 1 when all is done (as communicate() returning 0), else 0.
 * Errors:  as brood_popen_communicate(), the waiting ones excepted.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_step(brood_popen *popen);

/** One descriptor for a foreign event loop (epoll, libuv, GLib, sd-event): readable (level-triggered)
 * whenever brood_popen_step() has something to do, timers included, and for good when all is done.
 * Made at the first call; the unused path costs nothing.
 * Returns: the descriptor, an epoll instance, close-on-exec.
 * Errors:  -EMFILE, -ENFILE, -ENOMEM, -ENOSPC (epoll_ctl(2)); -ECHILD.
 * Owns:    the popen keeps it, until brood_popen_free().
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_fd(brood_popen *popen);

/** What has come out of stream `which` (1 or 2) so far; during a time-out too.
 * Returns: 0 and the record. Errors: -EBADF: no pipe there.
 * Owns:    the popen keeps `data`; it holds until the next communicate(), step(), stop(),
 *          take_output() or free().
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_output(brood_popen *popen, int which, brood_output *ret_output);

/** The bytes kept so far, as the caller's own; the popen starts again with none. Large ones are
 * copied once; brood_popen_output() is the form that never copies.
 * Returns: 0, a string that ends with NUL in *ret_data, its length in *ret_size (NULL: not wanted).
 * Errors:  -EBADF: no pipe there; -ENOMEM, and nothing is lost.
 * Owns:    the caller frees *ret_data with free().
 * Safe:    one thread at a time. */
BROOD_API int brood_popen_take_output(brood_popen *popen, int which, char **ret_data,
				      size_t *ret_size);

/** Has it ended? Reaps it if so.
 * Returns: 1 and the record in *ret_exit (NULL: not wanted); 0: it runs.
 * Errors:  -ECHILD: the handle was made by another process.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_popen_poll(brood_popen *popen, brood_exit *ret_exit);

/** Wait for the end of the program, and leave its pipes alone: a program that waits for a full
 * pipe does not end, so use this only where nothing is piped, or all is read elsewhere.
 * Returns: 0 and the record in *ret_exit (NULL: not wanted).
 * Errors:  -ETIMEDOUT; -ECANCELED; -ENOMEM: while polling; -ECHILD.
 * Owns:    nothing.
 * Safe:    threads; restarts after signals. */
BROOD_API int brood_popen_wait(brood_popen *popen, int64_t timeout_ns, brood_exit *ret_exit);

/** Signal the program alone; brood_popen_terminate() (SIGTERM) and _kill() (SIGKILL) reach all that
 * belongs to it: its contained tree, its group, or itself (brood/spawn.h).
 * Returns: 0, also when it has ended already: nothing is sent then.
 * Errors:  -EINVAL: no such signal; -EPERM; -ECHILD.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_popen_send_signal(brood_popen *popen, int signum);
/** SIGTERM to all that belongs to the program.
 * Returns: as brood_popen_send_signal(). Errors: -EPERM; -ECHILD.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_popen_terminate(brood_popen *popen);
/** SIGKILL to all that belongs to the program.
 * Returns: as brood_popen_send_signal(). Errors: -EPERM; -ECHILD.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_popen_kill(brood_popen *popen);

/** The ladder: SIGTERM, a grace, SIGKILL, wait, reap. Output is drained into the sinks meanwhile, so
 * that a program that says goodbye at length is not killed for want of a reader; input that was given is
 * still fed, and where none was the standard input is closed. With a grace <= 0 it kills at once. A second
 * stop(), or cancel_fd, is not needed: the end of this one is bounded by the grace, the program's death
 * and .linger_ns; a .fd or .tee that still has no room then gets no more (.error is -ETIMEDOUT).
 * Returns: 0 and the record in *ret_exit (NULL: not wanted).
 * Errors:  -EPERM: it may not be signalled; -ENOMEM: polling failed again and again, the program has been
 *          killed all the same, and output may be missing; -ECHILD. What a .call returns does not end a
 *          stop.
 * Owns:    nothing.
 * Safe:    one thread at a time; restarts after signals. */
BROOD_API int brood_popen_stop(brood_popen *popen, int64_t grace_ns, brood_exit *ret_exit);

/** Give the handle back: closes the pipes, forgets the output. It neither signals nor waits: a
 * program that still runs goes on, as with brood_child_free(); a contained one is killed.
 * Returns: NULL. Errors: none; NULL is fine.
 * Owns:    nothing is left.
 * Safe:    one thread, the last; in a forked child, too. */
BROOD_API brood_popen *brood_popen_free(brood_popen *popen);

BROOD_END_DECLS
#endif
