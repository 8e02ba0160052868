/* brood/spawn.h - start another program, and stop it for good
 *
 *	brood_child *child;
 *	brood_exit end;
 *
 *	if (brood_spawn(BROOD_ARGV("ls", "-l"), NULL, &child) < 0)
 *		…
 *	brood_child_wait(child, BROOD_FOREVER, &end);
 *	brood_child_free(child);
 *
 * brood_spawn() starts a program from an argument vector; no shell reads it, unless .shell says so.
 * The call returns when the program's exec has succeeded, or says which step failed. The cost does
 * not depend on the parent's memory (CLONE_VM | CLONE_VFORK), except when uid, gid or groups are
 * given, by number or name, or a .setup: to change ids beside a shared address space would make the
 * parent itself undumpable, and a callback may write anywhere, so that these copy the page tables as
 * fork does.
 *
 * The child starts clean: every descriptor from 3 on is closed but the ones listed, the signal
 * mask is empty, every disposition is the default (excepted a realtime signal, or one of SIGILL,
 * SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSTKFLT, SIGSYS, SIGURG, SIGWINCH, that the host began
 * to ignore after its first spawn). Descriptors that brood opens never leak into children started
 * by other threads.
 *
 * The handle is a pid *and* a pidfd, so a signal never hits a stranger that got a recycled
 * number. The library waits for its own children only, by pidfd; it never looks at others, and
 * needs no SIGCHLD. A host that ignores SIGCHLD, or reaps with waitpid(-1), takes the status
 * away: the record then says BROOD_LOST.
 *
 * Stopping: brood_child_terminate() and brood_child_kill() reach all that belongs to the child:
 * with .contain its whole tree; with .group NEW or SESSION its process group, and itself if it left
 * that for another; else itself alone, so also with .group JOIN: what it joined is not its own.
 * brood_child_stop() is the ladder: terminate, a grace, kill.
 *
 * .contain puts a small helper process (a child subreaper, prctl(2)) between host and program.
 * Whatever the program starts, also by setsid or a double fork, then ends with the program, and
 * with the host: when the host frees the handle or dies, a socket is closed and the helper kills
 * the tree. (A child that the host forks without exec has a copy of that socket; the tree of a host
 * that died ends when it has ended or exec'ed, too.) The helper is in a process group of its own and
 * blocks all signals, so that neither ^C at a terminal nor a SIGKILL to the host's group ends it before
 * the tree; the program is in the group that .group says, as if there were no helper. Out of reach:
 * set-uid programs under an unprivileged host, and work handed to other daemons (at, cron, systemd, a
 * container engine).
 *
 * Threads: start from any thread; a handle may be signalled by one thread while another waits.
 * Fork: a handle belongs to the process that made it; in a forked child every call says -ECHILD but
 * brood_child_free(), which only closes the copies of the descriptors, and those that only look: pid(),
 * pidfd(), stream() and take_stream(). */
#ifndef BROOD_SPAWN_H
#define BROOD_SPAWN_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** An argument vector on the spot: BROOD_ARGV("df", "-h"). In C it lives as long as its block. C++ has
 * compound literals as an extension only, and there it ends with the statement: name an array instead. */
#define BROOD_ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

/** What one of the three standard descriptors of the child is. */
typedef enum brood_stdio_kind {
	BROOD_STDIO_INHERIT = 0, /* the parent's, closed if it is closed there */
	BROOD_STDIO_NULL,        /* /dev/null */
	BROOD_STDIO_FD,          /* .fd, any open descriptor of the parent, which keeps it */
	BROOD_STDIO_FILE,        /* .path, opened with .flags and .mode; relative to the parent */
	BROOD_STDIO_PIPE,        /* a new pipe; the parent's end by brood_child_stream() */
	BROOD_STDIO_STDOUT,      /* for .err alone: wherever .out goes */
	BROOD_STDIO_CLOSED       /* closed */
} brood_stdio_kind;

typedef struct brood_stdio {
	brood_stdio_kind kind;
	int fd;           /* BROOD_STDIO_FD */
	const char *path; /* BROOD_STDIO_FILE */
	int flags;        /* open(2) flags; 0: O_RDONLY for .in, else O_WRONLY|O_CREAT|O_TRUNC */
	mode_t mode;      /* of a created file; 0: 0666, less the umask */
} brood_stdio;

/** A descriptor that the child keeps: the parent's `fd` appears as number `as`; 0: the same number. */
typedef struct brood_pass {
	int fd;
	int as; /* 3 or more, or 0 */
} brood_pass;

/** A resource limit of the child, setrlimit(2); UINT64_MAX is no limit. */
typedef struct brood_rlimit {
	int resource;
	uint64_t soft, hard;
} brood_rlimit;

typedef enum brood_group {
	BROOD_GROUP_INHERIT = 0, /* the parent's process group */
	BROOD_GROUP_NEW,         /* a process group of its own, setpgid(2) */
	BROOD_GROUP_SESSION,     /* a session of its own, setsid(2): no controlling terminal */
	BROOD_GROUP_JOIN         /* the group .join_group of the same session, setpgid(2) */
} brood_group;

typedef enum brood_signals {
	BROOD_SIGNALS_RESET = 0, /* empty mask, every disposition the default */
	BROOD_SIGNALS_INHERIT    /* the calling thread's mask; ignored signals stay ignored */
} brood_signals;

typedef struct brood_spawn_opts {
	/* The program, when it is not argv[0]. A name without '/' is searched in the PATH of the
	 * *child's* environment (none there: /bin:/usr/bin). */
	const char *executable;
	/* argv[0] is a command line for /bin/sh -c (or for .executable -c), argv[1] … are its $0, $1, … */
	bool shell;
	/* "NAME=value", …, NULL: the whole environment; NULL: the parent's */
	const char *const *env;
	/* Over that: "NAME=value" sets (adds or replaces), "NAME" removes; in order; NULL ends. The name
	 * ends at the first '=', so a name cannot hold one; "" and "=…" have none: -EINVAL "env" */
	const char *const *env_edits;
	const char *cwd; /* working directory; a relative program is resolved in it */
	brood_stdio in, out, err;
	const brood_pass *pass; /* descriptors to keep; every other one from 3 on is closed */
	size_t n_pass;
	/* Close nothing: what is not close-on-exec is inherited, as by fork and exec; and all of .pass */
	bool keep_fds;
	size_t pipe_size; /* of each new pipe, F_SETPIPE_SZ (fcntl(2)); 0: the kernel's */
	brood_group group;
	pid_t join_group; /* BROOD_GROUP_JOIN */
	brood_signals signals;
	const brood_rlimit *rlimits;
	size_t n_rlimits;
	const mode_t *umask;
	int nice; /* added to the parent's, nice(2) */
	const uid_t *uid;
	const gid_t *gid;
	const gid_t *groups; /* supplementary; NULL beside a uid or gid: none are kept */
	size_t n_groups;
	/* The same by name, from the host's user database (getpwnam_r(3)), looked up before the fork:
	 * .user sets uid, its primary gid and its supplementary groups, .user_group the gid; each unless
	 * given by number. "1000" is a name like any other, never a number. NULL: none */
	const char *user, *user_group;
	/* Called in the child as the last step before exec, opt-in. It returns 0, or a negative errno
	 * value, and the start fails with that, step "setup"; with -ECANCELED if it ends or replaces the
	 * process. The child is then made by fork, outside of the flat cost, without pthread_atfork(3)
	 * handlers and with a stack of 1 MiB; the calling thread waits. In a host with threads only
	 * async-signal-safe calls are allowed (signal-safety(7)), and nothing that it changes in memory is
	 * seen by the host. Not with .contain (-ENOTSUP): the program is the helper's child there. */
	int (*setup)(void *data);
	void *setup_data;
	bool contain;     /* under the container helper, see above */
	brood_fail *fail; /* filled when the call fails */
} brood_spawn_opts;

/** A started program. */
typedef struct brood_child brood_child;

/** Start the program argv[0] (or opts->executable) with `argv`.
 * Returns: 0 when the program runs, its handle in *ret_child; it must be waited for, or it stays
 *          a zombie while the host lives.
 * Errors:  opts->fail names the step, and the path or value.
 *          -EINVAL "argv", "env", "stdio", "pass", "pipe", "rlimit", "setpgid", "uid", "gid": argv
 *          empty, no '=' in an entry of .env, no name in one of .env_edits, not 3 or more in .as, a
 *          number given twice, a .join_group of 0 or less, an id of -1, …;
 *          -ENOENT, -EACCES, -ENOEXEC, -E2BIG, … "exec": the program, "interpreter": what its
 *          first line names; "chdir": .cwd; "open": a .path; -EBADF "stdio", "pass": a descriptor that is
 *          not open;
 *          -EMFILE, -ENFILE "pipe", "open", "clone"; -EAGAIN "clone": too many processes;
 *          -EPERM "setuid", "setgid", "setgroups", "rlimit", "nice", "setpgid": no such group in the
 *          session; -EPERM, -EBUSY "pipe": .pipe_size is above what the user may have; -ENOENT
 *          "user", "group": no such name, or what the user database said; -ENOMEM;
 *          -ENOTSUP "setup": with .contain; any other "setup": what the callback returned,
 *          -EINVAL when that is above 0;
 *          -ENOENT, -EPROTO "container": the helper is missing, or of another version.
 *          Nothing is left behind: no process, no descriptor, no changed signal mask.
 * Owns:    the caller frees *ret_child with brood_child_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_spawn(const char *const argv[], const brood_spawn_opts *opts,
			  brood_child **ret_child);

/** The program's process id, with .contain too; for logs: to signal, use the handle.
 * Returns: the pid.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API pid_t brood_child_pid(const brood_child *child);

/** A descriptor for poll, epoll, sd-event, libuv, …: readable once the child has ended (with
 * .contain: once its whole tree is gone). Then brood_child_wait(child, 0, …) gives the record.
 * Returns: a pidfd, close-on-exec.
 * Errors:  none.
 * Owns:    the handle keeps it; neither close nor reap it.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_child_pidfd(const brood_child *child);

/** The parent's end of a BROOD_STDIO_PIPE; `which` is 0, 1 or 2, as in the child.
 * Returns: the descriptor, close-on-exec, blocking.
 * Errors:  -EBADF: no pipe there, or taken.
 * Owns:    the handle keeps it and closes it in brood_child_free().
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_child_stream(const brood_child *child, int which);

/** Like brood_child_stream(), but the descriptor is the caller's from now on: to close stdin
 * early, or to outlive the handle.
 * Returns: the descriptor.
 * Errors:  -EBADF: no pipe there, or taken already.
 * Owns:    the caller closes it.
 * Safe:    threads (one at a time), processes, signal handlers. */
BROOD_API int brood_child_take_stream(brood_child *child, int which);

/** Wait for the end, and reap. After the end every call gives the same record again.
 * Returns: 0 and the record in *ret_exit (NULL: not wanted).
 * Errors:  -ETIMEDOUT: not ended within `timeout_ns` (<= 0: just look); -ECHILD: the handle was
 *          made by another process (fork).
 * Owns:    nothing.
 * Safe:    threads, also beside signalling ones; restarts after signals. */
BROOD_API int brood_child_wait(brood_child *child, int64_t timeout_ns, brood_exit *ret_exit);

/** Send `signum` to the program alone.
 * Returns: 0, also when it has ended already: nothing is sent then, as in Python.
 * Errors:  -EINVAL: no such signal; -EPERM: it runs as somebody else; -ECHILD: as for wait.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_child_signal(brood_child *child, int signum);

/** Ask all that belongs to the child to end: SIGTERM to its tree, group, or itself (see above).
 * Returns: 0, also when it has ended already.
 * Errors:  -EPERM, -ECHILD as for brood_child_signal().
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_child_terminate(brood_child *child);

/** SIGKILL to all that belongs to the child. As long as the child has not been waited for, this
 * also reaches what is left of its group after the program itself ended.
 * Returns: 0, also when it has ended already.
 * Errors:  -EPERM, -ECHILD as for brood_child_signal().
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_child_kill(brood_child *child);

/** The ladder: terminate, wait up to `grace_ns`, kill what is left (of the tree or group too),
 * wait, reap. With a grace <= 0 it kills at once.
 * Returns: 0 and the record in *ret_exit (NULL: not wanted).
 * Errors:  -EPERM: it may not be signalled; -ECHILD as for wait.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_child_stop(brood_child *child, int64_t grace_ns, brood_exit *ret_exit);

/** Give the handle back: closes its descriptors. It neither signals nor waits: a program that
 * still runs goes on, a contained one is killed with its tree. What was not waited for (a contained
 * one's helper likewise) stays a zombie at its end while the host lives.
 * Returns: NULL, so that `child = brood_child_free(child)` leaves nothing dangling.
 * Errors:  none; NULL is fine.
 * Owns:    the handle is gone.
 * Safe:    threads; nobody else may still use the handle. */
BROOD_API brood_child *brood_child_free(brood_child *child);

BROOD_END_DECLS
#endif
