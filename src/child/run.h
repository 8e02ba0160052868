/* child/run.h - the two ends of a run, for who has the middle to himself */
#ifndef CHILD_RUN_H
#define CHILD_RUN_H

#include <brood/run.h>

/* Starts `argv` as the options say; input, time-outs and the ladder are the caller's. Returns 0, or as
 * brood_run() with the words in opts->fail. */
int bri_run_start(const char *const argv[], const brood_run_opts *opts, brood_popen **ret_popen);

/* After the end: `r` is what the communication returned. Fills *result and returns as brood_run(). */
int bri_run_end(brood_popen *popen, const char *const argv[], const brood_run_opts *opts,
		int64_t started_ns, int r, brood_run_result *result);

/* The grace of the ladder. */
int64_t bri_run_grace(const brood_run_opts *opts);

#endif
