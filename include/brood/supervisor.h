/* brood/supervisor.h - keep processes running
 *
 *	const brood_supervisor_opts opts = { .intensity = 5, .period_ns = 10 * BROOD_SEC };
 *	brood_supervisor *s;
 *	brood_fail fail;
 *
 *	if (brood_supervisor_new(&opts, &s) < 0)
 *		…
 *	for (int i = 0; i < 4; i++)
 *		brood_supervisor_add(s, serve, BROOD_ARGS(queue, i), NULL, NULL);
 *	if (brood_supervisor_run(s, BROOD_FOREVER) == -ELOOP && brood_supervisor_failure(s, NULL, &fail) == 0)
 *		fprintf(stderr, "given up: %s\n", fail.text);
 *	brood_supervisor_free(s);
 *
 * A supervisor starts processes (brood/process.h) in the order in which they were added, starts again those that end and should
 * not, and stops all in the reverse order. The words and what they mean are OTP's.
 *
 * Strategy   Who is started again when one has to be. ONE_FOR_ONE: that one. ONE_FOR_ALL: all, the others are stopped first.
 *            REST_FOR_ONE: that one and those that were added after it, which may depend on it.
 * Restart    of each child. PERMANENT: whenever it ends. TRANSIENT: unless it ended by itself with status 0. TEMPORARY: never; when the
 *            others' restart stops it, it stays stopped. What had ended for good and is not TEMPORARY is started with the others by
 *            ONE_FOR_ALL and REST_FOR_ONE.
 * Intensity  More than .intensity restarts within .period_ns, of all children together, mean that starting again is no cure: the supervisor
 *            stops all and says -ELOOP, and brood_supervisor_failure() which child it was and how it ended. A restart that
 *            fails (no memory, no descriptors) counts as an end and is tried again, as long as that lasts. The first start, in
 *            brood_supervisor_add(), has to succeed.
 * Delay      Starting at once what cannot live yet helps nobody: with .delay_ns a restart waits that long, and twice as long with
 *            each one more that the period has seen, up to the period.
 * Stopping   One after the other, the last one first: SIGTERM, the child's grace, SIGKILL, as brood_process_stop() does, but
 *            without waiting in it. What is stopped so has not failed: it does not count.
 * Health     A child that hangs does not end. With .beat_ns it has to call brood_supervisor_beat() at least that often, from its start
 *            on; else it is killed, and that is an end like others. Who finds out by himself that one is not well
 *            says brood_supervisor_restart().
 *
 * There is no thread in it and no signal handler. Work is done inside brood_supervisor_run() and brood_supervisor_step(); between
 * those calls nobody is started again. A program with an event loop watches brood_supervisor_fd() and calls step(), which takes as long
 * as the starts do that it makes. Ends are told by descriptors, so that nobody polls.
 *
 * Arguments  Values are copied. Handles (queues, memory in segments, descriptors, …) stay the caller's and must be there until
 *            brood_supervisor_free(): each start takes them anew.
 * Owner      The children are those of the process that made the supervisor: they die with it, also by SIGKILL. brood_finish() waits for
 *            children that are no daemons: stop or free the supervisor before. In a forked child every call says -ECHILD but
 *            brood_supervisor_free(), which only closes copies.
 * Threads    One at a time. */
#ifndef BROOD_SUPERVISOR_H
#define BROOD_SUPERVISOR_H

#include <brood/process.h>

BROOD_BEGIN_DECLS

typedef struct brood_supervisor brood_supervisor;

typedef enum brood_strategy {
	BROOD_ONE_FOR_ONE = 0,
	BROOD_ONE_FOR_ALL,
	BROOD_REST_FOR_ONE
} brood_strategy;

typedef enum brood_restart {
	BROOD_RESTART_PERMANENT = 0,
	BROOD_RESTART_TRANSIENT,
	BROOD_RESTART_TEMPORARY
} brood_restart;

/** The most that .intensity can be. */
#define BROOD_SUPERVISOR_INTENSITY_MOST 65536

typedef struct brood_supervisor_opts {
	brood_strategy strategy;
	unsigned intensity; /* restarts within the period; 0: 1 */
	int64_t period_ns;  /* 0: 5 s */
	int64_t delay_ns;   /* before a restart; 0: none */
	const int *
		cancel_fd; /* readable (a signalfd, …): brood_supervisor_run() returns; the caller's */
} brood_supervisor_opts;

typedef struct brood_supervised_opts {
	/* As for brood_process_start(); .name, .rlimits and .cpus are copied, .fail is of brood_supervisor_add(). Not .outlive. */
	brood_process_opts process;
	brood_restart restart;
	int64_t grace_ns; /* between SIGTERM and SIGKILL; 0: 5 s; below 0: SIGKILL at once */
	int64_t beat_ns;  /* how often it has to beat; 0: it need not */
} brood_supervised_opts;

typedef enum brood_supervised_state {
	BROOD_SUPERVISED_WAITING = 1, /* to be started again */
	BROOD_SUPERVISED_RUNNING,
	BROOD_SUPERVISED_ENDING, /* it was told to end */
	BROOD_SUPERVISED_ENDED   /* for good, as far as it goes */
} brood_supervised_state;

/** What is known of a child. */
typedef struct brood_supervised {
	brood_supervised_state state;
	brood_process
		*process; /* of now, or NULL; the supervisor's: brood_process_ref() it to keep it */
	pid_t pid;        /* of now, or 0 */
	uint64_t restarts;    /* how often it was started again */
	brood_exit last_exit; /* .kind BROOD_RUNNING: it has not ended yet */
	brood_fail
		last_fail; /* why, if it said so, crashed, did not beat, or could not be started: .step */
} brood_supervised;

/** A supervisor, without children.
 * Returns: 0.
 * Errors:  -EINVAL: no such strategy, more than BROOD_SUPERVISOR_INTENSITY_MOST, a time below 0; -ENOMEM, -EMFILE, -ENFILE.
 * Owns:    the caller frees *ret_supervisor with brood_supervisor_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_supervisor_new(const brood_supervisor_opts *opts,
				   brood_supervisor **ret_supervisor);

/** Start a child, and keep it running.
 * Returns: 0, and its number, from 0 on, in *ret_id (NULL: not wanted). A number is never another's.
 * Errors:  those of brood_process_start(), with opts->process.fail, and there is no such child then; -EINVAL "outlive"; "restart",
 *          "beat": no such kind, below 0; -ESHUTDOWN: it was told to stop, or has given up; -ECHILD.
 * Owns:    see Arguments, above.
 * Safe:    one thread at a time. */
BROOD_API int brood_supervisor_add(brood_supervisor *supervisor, brood_process_target *target,
				   const brood_object *args, const brood_supervised_opts *opts,
				   unsigned *ret_id);

/** Work until no child runs or is to run, up to `timeout_ns`.
 * Returns: 0: all have ended for good, or were stopped.
 * Errors:  -ETIMEDOUT; -ECANCELED: .cancel_fd is readable, and the children run; -ELOOP: too many restarts, all were stopped (once more each time that it is asked); -ENOMEM: while
 *          polling; -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time; restarts after signals. */
BROOD_API int brood_supervisor_run(brood_supervisor *supervisor, int64_t timeout_ns);

/** Do what can be done now, without waiting.
 * Returns: how many children run or are to run; 0: as brood_supervisor_run().
 * Errors:  as brood_supervisor_run(), what comes of waiting excepted.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_supervisor_step(brood_supervisor *supervisor);

/** One descriptor for a foreign event loop: readable whenever brood_supervisor_step() has something to do.
 * Returns: the descriptor, close-on-exec. Errors: none.
 * Owns:    the supervisor keeps it.
 * Safe:    threads. */
BROOD_API int brood_supervisor_fd(const brood_supervisor *supervisor);

/** Stop all, in reverse order, and start none any more. With a time-out <= 0 that has begun, and goes on in step() or run().
 * Returns: 0: all have ended.
 * Errors:  -ETIMEDOUT: some have not yet; -ELOOP: it had given up before; -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time; restarts after signals. */
BROOD_API int brood_supervisor_stop(brood_supervisor *supervisor, int64_t timeout_ns);

/** End one child for good, by the ladder. It has begun when this returns.
 * Returns: 0, also when it has ended already. Errors: -ENOENT: no such child; -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_supervisor_end(brood_supervisor *supervisor, unsigned id);

/** Take a child for ended: it is stopped by the ladder and started again, whatever its kind, with the others if the strategy says
 * so; within intensity. One that had ended for good is started again. It has begun when this returns.
 * Returns: 0. Errors: -ENOENT: no such child; -ESHUTDOWN: it was told to stop, or has given up; -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_supervisor_restart(brood_supervisor *supervisor, unsigned id);

/** What is known of a child, as of the last step.
 * Returns: 0. Errors: -ENOENT: no such child; -ECHILD.
 * Owns:    nothing; see .process.
 * Safe:    one thread at a time. */
BROOD_API int brood_supervisor_look(const brood_supervisor *supervisor, unsigned id,
				    brood_supervised *ret_child);

/** Why it has given up: step "intensity", and a text like "worker: 6 restarts within 10 s, the last end: SIGSEGV".
 * Returns: 0, the child's number in *ret_id (NULL: not wanted), and the words. Errors: -ENOENT: it has not; -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_supervisor_failure(const brood_supervisor *supervisor, unsigned *ret_id,
				       brood_fail *ret_fail);

/** Give it back. Children that run are killed at once (SIGKILL) and reaped; to end gracefully, brood_supervisor_stop() first.
 * Returns: NULL. Errors: none; NULL is fine.
 * Owns:    nothing is left.
 * Safe:    one thread, the last; in a forked child it only closes copies. */
BROOD_API brood_supervisor *brood_supervisor_free(brood_supervisor *supervisor);

/** In a child that has .beat_ns: a sign of life. In any other process that brood started it does nothing.
 * Returns: 0. Errors: -ESRCH: brood did not start this process.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_supervisor_beat(void);

BROOD_END_DECLS
#endif
