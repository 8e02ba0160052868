/* brood/process.h - run a function in a process of its own, and know who you are
 *
 *	brood_process *p;
 *	brood_exit end;
 *
 *	if (brood_process_start(work, BROOD_ARGS("bob"), NULL, &p) < 0)
 *		…
 *	brood_process_join(p, BROOD_FOREVER, &end);
 *	brood_process_unref(p);
 *
 * runs, in another process,
 *
 *	int work(const brood_args *args)
 *	{
 *		printf("hello %s\n", brood_args_str(args, 0));
 *		return 0;
 *	}
 *
 * The process runs the function, and ends with what that returns as its exit status. Its arguments are brood/args.h's; nothing else of
 * this process's memory is sure to be there.
 *
 * Methods  BROOD_START_DEFAULT is by a server where that can reach the function: main() called brood_init() as the first thing, or the function
 *          is in a shared library. Else it is a fork, if the program has one thread. Else there is no safe way, and the start is
 *          refused (-ENOTSUP). BROOD_START_FORK: a fork, with a copy of all memory and of all descriptors.
 *          BROOD_START_SPAWN: a program of its own, which shares nothing with this one but stdout, stderr
 *          and the arguments; threads do not matter to it, and it costs the start-up of a program. It is this program
 *          again, if its main() calls brood_init() as the first thing: there that call does not return but runs the
 *          function. In a program that does not (a script's interpreter) the function has to be in a shared library, which
 *          the helper program brood-loader loads. It is found by the build id of its object and its place in it: never
 *          another one. The new process has its parent's environment and working directory of the time of its start.
 *          BROOD_START_FORKSERVER: a fork of such a program, a server that waits for nothing else: as safe beside threads, and far
 *          cheaper from the second start on: the server has always forked one process ahead. It is started with the first, ends with
 *          this process or in brood_finish(), and is started again if it was killed; who it had forked goes on then, and its end is BROOD_LOST unless it ended in order. Limits,
 *          environment and the like are those of the server's start, but directory, stdout and stderr are those of now; when
 *          this process has become another user's, so does the server, if there are no children (else: -EPERM "server"). The
 *          new process's getppid() is the server; brood_parent_process() is who started it.
 * Start    A process that is in hand was started, once and by its owner: what Python's start() can do wrong cannot
 *          be done. stdout and stderr are flushed beforehand (not one that another thread holds; what is in
 *          that buffer the child forgets). In the child stdin is /dev/null, the thread's name is the
 *          process's, the signal mask is the caller's. In a fork descriptors stay open, close-on-exec ones too: what refers
 *          to them is in the memory that it has a copy of; hooks of brood_register_after_fork() run, then the function.
 * Threads  fork(2) copies one thread. In a program that has more, locks of the others would stay locked in the
 *          child: it is refused (-ENOTSUP), unless .fork_with_threads says that the function calls nothing that
 *          takes such locks. (The C library's own, malloc and stdio, are safe.)
 * End      Returning, exit(3) (glibc) and brood_process_leave() end the process in order: finalizers, its own children,
 *          stdout and stderr flushed; atexit(3) handlers that were registered before the fork do not run. Threads
 *          that the function began end with the process: join them, there or in a brood_finalize() function. Other
 *          streams are not flushed: fclose(3) them.
 * Failure  brood_process_fail(), and an argument that is not what it is asked for, print "Process NAME: …" to stderr, leave
 *          that as brood_process_failure() with the parent, and end the process with status 1. A crash leaves its signal
 *          in the exit record, and brood_process_backtrace(): for that the child, and nobody else, has handlers, where
 *          the disposition is the default, and passes the signal on.
 * Parent   When the process that started it is gone, however it went, the process gets a SIGKILL, and its own
 *          children after it; .outlive asks for the contrary. It is tied to the process, not to the thread that
 *          started it. It takes a descriptor of the child's (a pipe): who closes all descriptors unties itself,
 *          and so does exec. A child that the host makes by a raw clone(2), without exec, keeps them alive.
 * Daemons  a flag for brood_finish(): it ends these and waits for the others. Inherited. Unlike Python's they may
 *          have children: those go with them.
 * Group    Its own forks, and programs that it starts, are not brood's to know: they outlive it, unless it has a .group of its own, NEW or
 *          SESSION. That is what terminate(), kill() and stop() are to then, as with brood/spawn.h; what is left of it is killed when the process's end is seen, and
 *          when the parent is gone. signal() is to the process alone. Processes that it starts are in its group, too, unless they have theirs. Who leaves
 *          the group is out of reach; for programs that do, there is .contain of brood/spawn.h. It takes a descriptor of the parent's.
 * Key      Each process has one in common with those that it starts, by each method, and they with theirs: 32 random bytes, unless
 *          brood_process_set_authkey() said others before. It travels by the start alone, never in arguments, environment or logs; core
 *          dumps leave it out. By it relatives know each other, when they give it to brood/listener.h, which does not
 *          ask for one by itself.
 * Handles  are counted references. The library keeps one until the end was seen. In a forked child every call on
 *          one of the parent's says -ECHILD but those that only look: pid, name. Any thread may make any call.
 * Closed   brood_process_close() lets go what a process that has ended holds; every call but unref says -EBADF then. No
 *          other thread may use the handle meanwhile. */
#ifndef BROOD_PROCESS_H
#define BROOD_PROCESS_H

#include <brood/args.h>
#include <brood/spawn.h>

BROOD_BEGIN_DECLS

/** The longest name, in bytes. */
#define BROOD_PROCESS_NAME_MOST 127

/** The longest key, in bytes. */
#define BROOD_PROCESS_AUTHKEY_MOST 128

/** How deep processes may start processes. */
#define BROOD_PROCESS_DEPTH_MOST 64

typedef struct brood_process brood_process;

/** What a process runs; what it returns is the exit status, modulo 256. */
typedef int brood_process_target(const brood_args *args);

/** How a process is started. */
typedef enum brood_start_method {
	BROOD_START_DEFAULT = 0, /* what brood_set_start_method() said; else see Methods, above */
	BROOD_START_FORK,
	BROOD_START_SPAWN,     /* a program of its own, which shares nothing with this one */
	BROOD_START_FORKSERVER /* a fork of such a program, which waits for this */
} brood_start_method;

typedef enum brood_daemon {
	BROOD_DAEMON_INHERIT = 0, /* as the process that starts it */
	BROOD_DAEMON_NO,
	BROOD_DAEMON_YES
} brood_daemon;

typedef struct brood_process_opts {
	const char *name; /* NULL: "Process-" and its path, "Process-1:2" */
	brood_start_method method;
	brood_daemon daemon;
	bool fork_with_threads; /* fork although other threads run: see Threads, above */
	bool outlive; /* goes on when this process is gone, and brood_finish() leaves it alone */
	brood_group group; /* NEW, SESSION: what ends it ends its group; see Group, above */
	pid_t join_group;  /* BROOD_GROUP_JOIN */
	int nice;          /* added to the parent's, nice(2) */
	const brood_rlimit *rlimits; /* setrlimit(2), UINT64_MAX is no limit */
	size_t n_rlimits;
	uint64_t
		max_memory; /* bytes of address space, with all that is copied from the parent; 0: no limit */
	const int *cpus; /* that it may run on, sched_setaffinity(2); NULL: as the parent */
	size_t n_cpus;
	brood_fail *fail; /* filled when the call fails */
} brood_process_opts;

/** Start a process that runs `target` with `args`: BROOD_ARGS(…) or BROOD_NO_ARGS.
 * Returns: 0, and a handle with one reference in *ret_process. With limits, nice or cpus it returns when the child has
 *          set them; by other methods than fork, when it is about to call the function.
 * Errors:  opts->fail names the step. -EINVAL "target", "method", "name": empty, "rlimit": soft above
 *          hard, "cpus"; -ENAMETOOLONG "name"; "args": an argument is none, its text says which and why: -EFAULT,
 *          memory in no segment; -EINVAL, -EBADF, -EBUSY, -EILSEQ; -ENOTSUP "fork": other threads run, and
 *          .fork_with_threads is not set; -EPERM "start": from a hook of brood_register_after_fork(); -ELOOP "depth": too deep; -EAGAIN, -ENOMEM "fork"; -EMFILE, -ENFILE,
 *          -ENOENT (no /proc), -ENOSYS "lifeline", "stdin", "pidfd"; -EPERM, -EINVAL "nice", "rlimit", "cpus"; -EINVAL "setpgid": no such kind, a .join_group of
 *          0 or less; -EPERM "setpgid": no such group in the session; "group": as "lifeline"; "authkey": -ENOMEM, what getrandom(2)
 *          says.
 *          By other methods than fork also -ENOTSUP "method": neither does main() call brood_init(), nor is the function in a
 *          shared library; "function": its object has no build id; -ENOENT, -ESTALE "function": the library is gone, or another build by now;
 *          -ENOENT "loader": brood-loader is missing; -EPROTO "version": the library was replaced meanwhile;
 *          "channel": the new process ended before its function; "server": what fork(2) and the like said there;
 *          "directory", "streams"; what brood_spawn() says. Where no method was said: -ENOTSUP "method": threads run, and no
 *          server can reach the function; the text says why. In a process that has not begun its own function: -EPERM "start".
 *          Nothing is left behind, and nothing of the function ran.
 * Owns:    the caller, until brood_process_unref(). Arguments stay the caller's.
 * Safe:    threads (see above), processes; not in a signal handler. */
BROOD_API int brood_process_start(brood_process_target *target, const brood_object *args,
				  const brood_process_opts *opts, brood_process **ret_process);

/** The same of an object: what is a subclass of Process with a run() in Python. run(self, args) is what runs; `self` is memory
 * of this process, of which the child has a copy: by fork, which is the default here.
 * Returns: 0, and a handle with one reference in *ret_process.
 * Errors:  as brood_process_start(); -ENOTSUP "method": not by fork.
 * Owns:    the caller, until brood_process_unref().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_start_run(int (*run)(void *self, const brood_args *args), void *self,
				      const brood_object *args, const brood_process_opts *opts,
				      brood_process **ret_process);

/** Take another reference.
 * Returns: `process`.
 * Errors:  none.
 * Owns:    the caller, until brood_process_unref().
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_process *brood_process_ref(brood_process *process);

/** Give a reference back; a process that runs goes on. NULL is fine, and so are the handles of this process and of
 * its ancestors, which are the library's.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_process *brood_process_unref(brood_process *process);

/** Let go what it holds, descriptors and records, when it has ended. Again is fine.
 * Returns: 0. Errors: -EBUSY: it runs; -ECHILD; -EPERM: this process, or an ancestor.
 * Owns:    the handle stays the caller's.
 * Safe:    threads. */
BROOD_API int brood_process_close(brood_process *process);

/** Its process id, also after its end; for logs: to signal it use the handle.
 * Returns: the pid. Errors: -EBADF: closed.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API pid_t brood_process_pid(const brood_process *process);

/** Its name.
 * Returns: the length that it has, as snprintf does. Errors: -EBADF: closed.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_name(const brood_process *process, char *buf, size_t size);

/** Give it another name. It is this process's word for it; a process names itself, for others to see in ps(1), by
 * doing this with brood_current_process(). Who it is does not depend on it.
 * Returns: 0. Errors: -EINVAL: empty; -ENAMETOOLONG; -EBADF: closed.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_set_name(brood_process *process, const char *name);

/** Wait for its end, and reap it. As often as wanted, by as many threads; of an ancestor the end can be waited for as
 * well, and has no record.
 * Returns: 0, and the record in *ret_exit (NULL: not wanted); Python's exitcode is brood_exit_code() of it.
 * Errors:  -ETIMEDOUT: it runs (timeout_ns <= 0: just look); -EDEADLK: this process; -ECHILD: the parent's handle;
 *          -EBADF: closed; -ENOTSUP: an ancestor of which nothing is known but its number, behind
 *          a fork by others in which nobody asked who it is.
 * Owns:    nothing.
 * Safe:    threads; restarts after signals. */
BROOD_API int brood_process_join(brood_process *process, int64_t timeout_ns, brood_exit *ret_exit);

/** Whether it runs; who asks reaps it, too.
 * Returns: 1 or 0. Errors: -ECHILD, -EBADF, -ENOTSUP, as brood_process_join().
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_is_alive(brood_process *process);

/** Send `signum` to it.
 * Returns: 0, also when it has ended: nothing is sent then. Errors: -EINVAL: no such signal; -EPERM: it may not be
 *          signalled, or is an ancestor; -ECHILD, -EBADF.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_signal(brood_process *process, int signum);

/** SIGTERM, to its group if that is its own.
 * Returns: as brood_process_signal().
 * Errors:  as brood_process_signal().
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_terminate(brood_process *process);

/** SIGKILL, to its group if that is its own.
 * Returns: as brood_process_signal().
 * Errors:  as brood_process_signal().
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_kill(brood_process *process);

/** SIGINT.
 * Returns: as brood_process_signal().
 * Errors:  as brood_process_signal().
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_interrupt(brood_process *process);

/** The ladder: SIGTERM, up to `grace_ns` to end, SIGKILL, reap. Its own children go with it, and its group if that is its own.
 * Returns: 0, and the record in *ret_exit (NULL: not wanted). Errors: -EPERM, -EDEADLK, -ECHILD, -EBADF.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_stop(brood_process *process, int64_t grace_ns, brood_exit *ret_exit);

/** A descriptor for poll, epoll, brood_wait(), …: readable once it has ended.
 * Returns: a pidfd, close-on-exec. Errors: -EDEADLK: this process; -ESRCH: an ancestor that is gone;
 *          -ECHILD, -EBADF, -ENOTSUP.
 * Owns:    the handle keeps it: never close it.
 * Safe:    threads. */
BROOD_API int brood_process_sentinel(brood_process *process);

/** Why it failed: step "args" or "process", if it said so (see Failure, above); step "crash", and a text like "SIGSEGV at
 * 0x10", if a signal ended it that brood_process_backtrace() is about.
 * Returns: 0, and the record in *ret_fail. Errors: -ENOENT: neither; -EPERM: no child; -ECHILD, -EBADF.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_process_failure(brood_process *process, brood_fail *ret_fail);

/** Where it was when SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS or SIGTRAP ended it, the innermost frame first, a line for each: "#0
 * parse+0x12 (/usr/bin/reader)"; where the object has no symbols, "#0 /usr/bin/reader+0x1234". It is known where the process left
 * the signal's disposition at its default, for what its first thread did also when its stack was full; of functions
 * in libraries that it loaded itself only the address. With musl it is the innermost one alone.
 * Returns: the length that all lines have, as snprintf does. Errors: -ENOENT: nothing of that kind ended it, or it is not
 *          known; -EPERM: no child; -ECHILD, -EBADF.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads; not in a signal handler. */
BROOD_API int brood_process_backtrace(brood_process *process, char *buf, size_t size);

/** Whether it is a daemon.
 * Returns: 1 or 0. Errors: -EPERM: an ancestor; -EBADF: closed.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_process_is_daemon(const brood_process *process);

/** How far from the main process it is; that has 0, what it starts 1.
 * Returns: the depth. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_process_depth(const brood_process *process);

/** Its place in the family: "" is the main process, "1" the first that it started, "1:2" the second that this one
 * did. A 0 is one that was forked by others than brood.
 * Returns: the length that it has, as snprintf does. Errors: none.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_path(const brood_process *process, char *buf, size_t size);

/** Describe it in a line, as Python's repr() does: "<Process name='Process-1' pid=71 parent=70 stopped
 * exitcode=-SIGTERM daemon>". After pid and parent: started, stopped, unknown (the parent's handle), or closed.
 * Returns: the length that the whole line has, as snprintf does. Errors: none.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_describe(brood_process *process, char *buf, size_t size);

/** Write who this process is and what children it has, oldest first, a line for each, as brood_process_describe() has it: "<Process
 * name='worker' pid=71 parent=70 started> method=spawn depth=1 path=1". Those that have ended since somebody asked last are among them, and reaped.
 * Returns: how many children there are. Errors: -ENOMEM; what write(2) says of `fd`, without its signals.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_dump(int fd);

/** The children of this process that run, oldest first; those that have ended are reaped.
 * Returns: how many there are; up to `most` of them are in `ret_processes`. Errors: -ENOMEM.
 * Owns:    the caller has a reference to each that is in `ret_processes`.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API ssize_t brood_active_children(brood_process **ret_processes, size_t most);

/** How many processors this process can use: those that it may run on, and no more than the quota of its control
 * group (v1 or v2) is good for.
 * Returns: 1 or more. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_cpu_count(void);

/* ---- who am I
 *
 * The main process is the one in which libbrood was loaded. All that descends from it by fork, by brood or by anybody else, is not;
 * a program that is exec'ed is the main process of its own (but one that was started by brood_process_start()); one that forks
 * itself away from its terminal, daemon(3), is a fork. It does not depend on names, and nothing changes it. */

/** Whether this is the main process.
 * Returns: true or false. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API bool brood_is_main(void);

/** This process.
 * Returns: its handle; NULL: no memory for it.
 * Errors:  none but that.
 * Owns:    the library.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_process *brood_current_process(void);

/** The process that this one comes from: pid, name, is_alive, join, sentinel.
 * Returns: its handle; NULL: this is the main process, or there is no memory.
 * Errors:  none but that.
 * Owns:    the library.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_process *brood_parent_process(void);

/** The main process, this one or an ancestor.
 * Returns: its handle; NULL: no memory for it.
 * Errors:  none but that.
 * Owns:    the library.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_process *brood_main_process(void);

/** The ancestor of this depth: 0 is the main process, the depth of this process is itself.
 * Returns: its handle; NULL: there is none of this depth, or no memory.
 * Errors:  none but that.
 * Owns:    the library.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_process *brood_ancestor_process(int depth);

/** The key of this process; it is made when it is asked for first, or with the first process that is started.
 *
 *	const void *key;
 *	size_t size;
 *
 *	if (brood_process_authkey(&key, &size) == 0)
 *		brood_listener_new(NULL, &(brood_listener_opts){ .authkey = key, .authkey_size = size }, &listener);
 *
 * Returns: 0, and the key in *ret_key, *ret_size.
 * Errors:  -ENOMEM; what getrandom(2) says. Do not go on without a key then.
 * Owns:    the library, until brood_process_set_authkey().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_process_authkey(const void **ret_key, size_t *ret_size);

/** Have another key: this process, and those that it starts from now on. The one before is wiped.
 * Returns: 0. Errors: -ENOKEY: an empty one; -E2BIG: more than BROOD_PROCESS_AUTHKEY_MOST; -ENOMEM.
 * Owns:    `key` stays the caller's, who should wipe it (explicit_bzero(3)).
 * Safe:    processes; while no other thread uses the key or starts a process. */
BROOD_API int brood_process_set_authkey(const void *key, size_t size);

/* ---- beginnings and ends */

/** Say by which means processes are started whose options do not: once, early in main(), since it is the program's to say, and no
 * library's. Processes that are started have it from their parent. `force`: also if it was said before; then
 * BROOD_START_DEFAULT takes it back.
 * Returns: 0. Errors: -EINVAL: no method; -EALREADY: it was said, and `force` is not set.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_set_start_method(brood_start_method method, bool force);

/** Have each server of BROOD_START_FORKSERVER that this process starts from now on call `call` before anything else, once: what it
 * loads there, all processes that it forks have. It must start no thread. NULL: nothing more.
 * Returns: 0. Errors: -ENOTSUP: no new process can find it: it is in a program that did not call brood_init(), or its object has
 *          no build id; -EINVAL: no function; -ENOENT: brood-loader is missing; -EALREADY: the server is there: call
 *          brood_finish() first, or come earlier; -ENOMEM.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_set_forkserver_preload(void (*call)(void));

/** By which means they are started now.
 * Returns: it; BROOD_START_DEFAULT: nothing was said, and each function decides, see Methods, above. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_start_method brood_get_start_method(void);

/** The methods that there are, which on Linux are all.
 * Returns: how many there are; up to `most` of them are in `ret_methods`, in the order of their numbers. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_get_all_start_methods(brood_start_method *ret_methods, size_t most);

/** What a method is called: Python's "fork", "spawn", "forkserver", and "default".
 * Returns: a constant string; NULL: no method.
 * Errors:  none but that.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API const char *brood_start_method_name(brood_start_method method);

/** The method of this name, for what configures a program.
 * Returns: 0, and it in *ret_method. Errors: -EINVAL: there is none, or no name.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_start_method_of(const char *name, brood_start_method *ret_method);

/** Have spawn and the servers of forkserver run the program `path` in place of this one or brood-loader: a copy of it elsewhere, or, for functions in
 * shared libraries, any program whose main() calls brood_init() first. It is started once, with its streams at /dev/null, to see that it does. A
 * function that it has not is an error of the start, -ESTALE or -ENOENT "function". Early in main(), since it is the
 * program's to say; forked children have it, too, and those of that program start it again. NULL takes it back.
 * Returns: 0.
 * Errors:  -ENOENT, -EACCES, -ENOEXEC, … it cannot be started; -ENOTSUP: it does not call brood_init(), within ten seconds, or has more rights than we; -EPROTO: it has
 *          another libbrood, or another build of it; -EALREADY: a server is there, call brood_finish() first; -EINVAL: empty; -EPERM: from a process
 *          that has not begun its own function; -ENOMEM, -EMFILE, …
 * Owns:    nothing; `path` was copied, as it is from the root.
 * Safe:    one thread, while no other starts processes; not in a signal handler. */
BROOD_API int brood_set_executable(const char *path);

/** For a program's main(), as the first thing: from now on exit(3) and returning from main() call brood_finish(). In a process that was
 * started by spawn or forkserver it runs the function, and does not return; what is wrong with such a start is said on stderr, and the
 * process ends with status 1. Libraries do not call it. Again is fine.
 * Returns: 0. Errors: -ENOMEM.
 * Owns:    nothing.
 * Safe:    threads; not in a signal handler. */
BROOD_API int brood_init(void);

/** End what belongs to this process, in Python's order: finalizers of priority 0 and more, daemons get SIGTERM (and SIGKILL if
 * they do not heed it in ten seconds), the other children are waited for, the server of BROOD_START_FORKSERVER, the
 * remaining finalizers. Processes of brood do it when they end.
 * Returns: 0. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, one at a time; not in a signal handler. */
BROOD_API int brood_finish(void);

/** Have call(data) called by brood_finish(): the higher priority first, of equal ones the later. Once, and in the process
 * that registered it: forked ones do not have it.
 * Returns: 0. Errors: -EINVAL: nothing to call; -ENOMEM.
 * Owns:    `data` stays the caller's.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_finalize(int priority, void (*call)(void *data), void *data);

/** Have call(data) called in each process that brood forks from this one or its descendants, before its function, in the order
 * of registration.
 * Returns: 0. Errors: -EINVAL: nothing to call; -ENOMEM.
 * Owns:    `data` stays the caller's.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_register_after_fork(void (*call)(void *data), void *data);

/** End this process in order, from wherever it is, with `status` modulo 256. In a process that brood did not start it is exit(3).
 * Returns: never. Errors: none.
 * Owns:    nothing.
 * Safe:    threads; not in a signal handler. */
BROOD_API void brood_process_leave(int status) __attribute__((noreturn));

/** End this process as failed, see Failure, above.
 * Returns: never. Errors: none.
 * Owns:    nothing.
 * Safe:    threads; not in a signal handler. */
BROOD_API void brood_process_fail(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

BROOD_END_DECLS
#endif
