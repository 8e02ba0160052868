/* brood/pipeline.h - p1 | p2 | …, without a shell
 *
 *	const brood_stage stages[] = { { .argv = BROOD_ARGV("df", "-h") },
 *				       { .argv = BROOD_ARGV("grep", "sda1") } };
 *	brood_run_result found;
 *
 *	if (brood_pipeline_run(stages, 2, &(brood_pipeline_opts){ .run = { .capture = true } }, &found) == 0)
 *		fwrite(found.out, 1, found.out_size, stdout);
 *	brood_run_result_fini(&found);
 *
 * Each stage's standard output is the next one's standard input, by a pipe that no other process
 * has an end of, the host included: when a later stage ends, the earlier one gets SIGPIPE; when an
 * earlier one ends, the later one sees the end of its input. If a stage cannot be started, those
 * that were are killed and reaped, and the failure names the stage.
 *
 * The status of the whole is that of the last stage that ended badly, as `set -o pipefail` has it;
 * a stage that SIGPIPE ended because a later one wanted no more is not counted, unless
 * .sigpipe_fails says so.
 *
 * Threads, fork: as in brood/popen.h. */
#ifndef BROOD_PIPELINE_H
#define BROOD_PIPELINE_H

#include <brood/run.h>

BROOD_BEGIN_DECLS

typedef struct brood_stage {
	const char *const *argv;
	/* The stage's own environment, directory, limits, standard error, …; NULL: defaults. Its .out
	 * counts for the last stage alone (a BROOD_STDIO_PIPE there is as .run.capture), its .in for the
	 * first alone; .fail is not used. */
	const brood_spawn_opts *spawn;
	brood_sink err; /* for a standard error that .spawn says is a BROOD_STDIO_PIPE */
} brood_stage;

typedef struct brood_pipeline_opts {
	/* .input for the first stage; .capture the last one's output, and the standard error of all stages
	 * that .spawn does not send elsewhere, together and as it comes; .merge: into that output, wherever it
	 * goes. What .spawn of a stage says wins over .cwd, .env and .env_edits. The others, .popen excepted
	 * (-EINVAL), as in brood/run.h. */
	brood_run_opts run;
	bool sigpipe_fails;
} brood_pipeline_opts;

typedef struct brood_pipeline brood_pipeline;

/** Start all stages. With .run.input, .run.capture, … the pipes are there; brood_pipeline_communicate()
 * works them.
 * Returns: 0 when all stages run.
 * Errors:  those of brood_popen_start(), the text of a stage's begins with "stage N: " (from 1); -EINVAL
 *          "stages": none, .run.popen given, or .run.merge without .run.capture into a BROOD_STDIO_FILE;
 *          "input": as for brood_run(). Nothing is left behind: what was started is killed and reaped.
 * Owns:    the caller frees *ret_pipeline with brood_pipeline_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_pipeline_start(const brood_stage *stages, size_t n_stages,
				   const brood_pipeline_opts *opts, brood_pipeline **ret_pipeline);

/** Feed and drain until all stages have ended, up to `timeout_ns`; may be called again after a
 * time-out. The input of the options is used.
 * Returns: 0. Errors: as brood_popen_communicate().
 * Owns:    nothing.
 * Safe:    one thread at a time; restarts after signals. */
BROOD_API int brood_pipeline_communicate(brood_pipeline *pipeline, int64_t timeout_ns);

/** One stage's handle (from 0), for its pid, pidfd, record, or a signal.
 * Returns: the child; NULL: no such stage. Errors: none.
 * Owns:    the pipeline keeps it.
 * Safe:    threads, processes. */
BROOD_API brood_child *brood_pipeline_child(const brood_pipeline *pipeline, size_t stage);

/** How a stage (from 0) ended.
 * Returns: 0 and the record. Errors: -EINVAL: no such stage; -EAGAIN: it runs; -ECHILD.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int brood_pipeline_status(brood_pipeline *pipeline, size_t stage, brood_exit *ret_exit);

/** The last stage's output (`which` 1) or the standard error of all stages that have no sink of their
 * own (2).
 * Returns: 0 and the record. Errors: -EBADF: not captured.
 * Owns:    as brood_popen_output().
 * Safe:    one thread at a time. */
BROOD_API int brood_pipeline_output(brood_pipeline *pipeline, int which, brood_output *ret_output);

/** A stage's standard error (from 0) where its .spawn.err is a BROOD_STDIO_PIPE.
 * Returns: 0 and the record. Errors: -EBADF: no pipe there; -EINVAL: no such stage.
 * Owns:    as brood_popen_output().
 * Safe:    one thread at a time. */
BROOD_API int brood_pipeline_errors(brood_pipeline *pipeline, size_t stage,
				    brood_output *ret_output);

/** The ladder, for all stages at once; drains meanwhile.
 * Returns: 0. Errors: -EPERM, -ECHILD.
 * Owns:    nothing.
 * Safe:    one thread at a time. */
BROOD_API int brood_pipeline_stop(brood_pipeline *pipeline, int64_t grace_ns);

/** Give it back. Stages that still run go on, contained ones are killed.
 * Returns: NULL. Errors: none; NULL is fine.
 * Owns:    nothing is left.
 * Safe:    one thread, the last; in a forked child, too. */
BROOD_API brood_pipeline *brood_pipeline_free(brood_pipeline *pipeline);

/** Start, communicate, check, free: brood_run() for a pipeline. `ret_result` holds the status of the whole
 * in .exit (times are sums, the resident set the largest), the first stage's pid, and the output.
 * Returns: 0 when all ran and ended by themselves, with .run.check: well.
 * Errors:  those of brood_pipeline_start(), and as brood_run(): the text names the stage that counts; its
 *          last line is that of what all stages wrote to the captured standard error.
 * Owns:    as brood_run().
 * Safe:    as brood_run(). */
BROOD_API int brood_pipeline_run(const brood_stage *stages, size_t n_stages,
				 const brood_pipeline_opts *opts, brood_run_result *ret_result);

BROOD_END_DECLS
#endif
