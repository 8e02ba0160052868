/* brood/jobs.h - many programs, so many at a time
 *
 *	brood_jobs *jobs;
 *	brood_job done;
 *
 *	brood_jobs_new(&(brood_jobs_opts){ .limit = 4, .queue = 1000 }, &jobs);
 *	for (int i = 0; i < n; i++)
 *		brood_jobs_submit(jobs, BROOD_ARGV("convert", from[i], to[i]), &opts, from[i], NULL);
 *	while (brood_jobs_next(jobs, BROOD_FOREVER, &done) == 0) {
 *		printf("%s: %s\n", (const char *)done.data, done.error == 0 ? "done" : done.fail.text);
 *		brood_run_result_fini(&done.result);
 *	}
 *	brood_jobs_free(jobs);
 *
 * A dispatcher of brood_run()s: at most .limit run at once, up to .queue more wait, and beyond that
 * submit says -EBUSY at once and forgets the job: a caller that must answer "busy" can. A slot is free
 * the moment its program has ended, not at a tick. Output is always drained, time limits and the ladder
 * (SIGTERM, grace, SIGKILL, for all that belongs to the program) are kept, and each job gives exactly one
 * record, in the order in which they end.
 *
 * There is no thread in it. Work is done inside brood_jobs_next() and brood_jobs_step(); between those
 * calls programs run on, but nobody drains them, enforces their limits or starts the next. A program with an
 * event loop watches brood_jobs_fd() and calls step().
 *
 * Threads: one at a time. Fork: in a forked child every call but brood_jobs_free() says -ECHILD. */
#ifndef BROOD_JOBS_H
#define BROOD_JOBS_H

#include <brood/run.h>

BROOD_BEGIN_DECLS

typedef struct brood_jobs_opts {
	size_t limit; /* so many run at once; 0: as many as there are processors for us */
	size_t queue; /* so many more may wait; 0: none */
} brood_jobs_opts;

typedef enum brood_job_state {
	BROOD_JOB_WAITING = 1, /* for a slot */
	BROOD_JOB_RUNNING,
	BROOD_JOB_ENDING, /* timed out or cancelled; it has been told to end */
	BROOD_JOB_ENDED   /* its record waits for brood_jobs_next() */
} brood_job_state;

/** The record of a job that has ended. */
typedef struct brood_job {
	uint64_t id;
	void *data;              /* as given to submit */
	int error;               /* what brood_run() would have returned */
	brood_fail fail;         /* … and the words for it */
	brood_run_result result; /* for brood_run_result_fini() */
} brood_job;

typedef struct brood_jobs brood_jobs;

/** A dispatcher.
 * Returns: 0.
 * Errors:  -ENOMEM, -EMFILE, -ENFILE.
 * Owns:    the caller frees *ret_jobs with brood_jobs_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_jobs_new(const brood_jobs_opts *opts, brood_jobs **ret_jobs);

/** Start `argv` as brood_run() would, or let it wait for a slot.
 * Returns: 0 and the job's number, from 1 on, in *ret_id (NULL: not wanted). A job that could not be
 *          started has been submitted all the same: its record says so.
 * Errors:  -EBUSY: no slot and no place to wait, the job is forgotten; -EINVAL: no program, or .cancel_fd given
 *          (see brood_jobs_cancel()); -ENOMEM; -ECHILD.
 * Owns:    the words of `argv` are copied. What `opts` points to (input, env, …) stays the caller's, and must
 *          hold until the job's record was taken; opts->fail is not used.
 * Safe:    one thread at a time; not from within a sink's .call of a job. */
BROOD_API int brood_jobs_submit(brood_jobs *jobs, const char *const argv[],
				const brood_run_opts *opts, void *data, uint64_t *ret_id);

/** Work until a job has ended, up to `timeout_ns`, and take its record.
 * Returns: 0 and the record.
 * Errors:  -ETIMEDOUT; -ENOENT: there is no job left; -ENOMEM, -EMFILE: while polling; -ECHILD.
 * Owns:    the caller gives ret_job->result back by brood_run_result_fini().
 * Safe:    one thread at a time; restarts after signals. */
BROOD_API int brood_jobs_next(brood_jobs *jobs, int64_t timeout_ns, brood_job *ret_job);

/** Do what can be done now, without waiting.
 * Returns: how many records wait for brood_jobs_next().
 * Errors:  as brood_jobs_next(), the waiting ones excepted.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_jobs_step(brood_jobs *jobs);

/** One descriptor for a foreign event loop: readable whenever brood_jobs_step() has something to do.
 * Returns: the descriptor, close-on-exec. Errors: none.
 * Owns:    the dispatcher keeps it.
 * Safe:    threads. */
BROOD_API int brood_jobs_fd(const brood_jobs *jobs);

/** End a job: one that waits at once, one that runs by the ladder. Its record says -ECANCELED.
 * Returns: 0, also when it has ended already. Errors: -ENOENT: no such job, or its record was taken; -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_jobs_cancel(brood_jobs *jobs, uint64_t id);

/** What a job is doing.
 * Returns: a brood_job_state. Errors: -ENOENT: no such job, or its record was taken.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_jobs_state(const brood_jobs *jobs, uint64_t id);

/** How many jobs run (ending ones included), and how many wait for a slot.
 * Returns: the number. Errors: none.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API size_t brood_jobs_running(const brood_jobs *jobs);
/** How many jobs wait for a slot.
 * Returns: the number. Errors: none.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API size_t brood_jobs_waiting(const brood_jobs *jobs);

/** Give the dispatcher back. Jobs that wait are forgotten, those that run are killed at once (SIGKILL to
 * all that belongs to them) and reaped, records that were not taken are given back. To end gracefully, cancel
 * all and take the records first.
 * Returns: NULL. Errors: none; NULL is fine.
 * Owns:    nothing is left.
 * Safe:    one thread, the last; in a forked child it only closes copies. */
BROOD_API brood_jobs *brood_jobs_free(brood_jobs *jobs);

BROOD_END_DECLS
#endif
