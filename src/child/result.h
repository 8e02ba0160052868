/* child/result.h - what a run leaves, for run and pipeline alike */
#ifndef CHILD_RESULT_H
#define CHILD_RESULT_H

#include <brood/run.h>

#include "child/drain.h"

/* An empty result: never started, no output, nothing to give back. */
brood_run_result bri_result_none(void);

/* Moves what the drains have kept into *result; either may be without a pipe. Returns 0 or -ENOMEM, and
 * then the output is lost with the drains. */
int bri_result_take(brood_run_result *result, struct bri_drain *out, struct bri_drain *err);

/* Sinks for what is captured, as the options say. `tee` is where echo goes. */
brood_sink bri_capture_sink(const brood_run_opts *opts, int tee);

/* Whether the program gets a process group of its own, so that all of it can be stopped; a program that
 * reads our terminal could not from there. */
bool bri_wants_group(const brood_run_opts *opts, const brood_spawn_opts *spawn);

/* Where a failure is told: opts->fail, else what opts->popen has. */
brood_fail *bri_run_fail(const brood_run_opts *opts);

/* Writes what `argv` ran and how it ended to opts->log, if there is one. `result` NULL: it was started. */
void bri_log_run(const brood_run_opts *opts, const char *const *argv, pid_t pid,
		 const brood_run_result *result);

/* The same with the command as text; there must be an opts->log. */
void bri_log_command(const brood_run_opts *opts, const char *command, pid_t pid,
		     const brood_run_result *result);

/* After the end: turns `r` of the communication and the result into what a run returns, with the words in
 * *fail. `name` is the program's, with the stage before it in a pipeline. */
int bri_result_verdict(const brood_run_opts *opts, const char *name, int r,
		       brood_run_result *result);

/* "SIGKILL"; NULL: a realtime signal, one that ends nothing, or none. */
const char *bri_signal_name(int signum);

#endif
