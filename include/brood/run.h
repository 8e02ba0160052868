/* brood/run.h - run a program to its end, in one call
 *
 *	brood_run_result df;
 *	brood_fail fail;
 *
 *	if (brood_run(BROOD_ARGV("df", "-h"), &(brood_run_opts){ .capture = true, .check = true,
 *			.timeout_ns = 5 * BROOD_SEC, .fail = &fail }, &df) == 0)
 *		fwrite(df.out, 1, df.out_size, stdout);
 *	brood_run_result_fini(&df);
 *
 * Python's subprocess.run(), call(), check_call(), check_output() and getstatusoutput(). No shell
 * reads the words unless .shell says so. When brood_run() returns the program has ended and is reaped,
 * whatever happened: on a time-out or a cancel all that belongs to it is stopped by the ladder
 * (SIGTERM, .grace_ns, SIGKILL) first.
 *
 * What belongs to it: with .contain every descendant. Else, when there is a .timeout_ns or a
 * .cancel_fd, a process group of its own, unless its standard input is our terminal: a program in a
 * group of its own could not read that, and is then stopped alone. */
#ifndef BROOD_RUN_H
#define BROOD_RUN_H

#include <brood/popen.h>

BROOD_BEGIN_DECLS

typedef struct brood_run_opts {
	const void *input; /* for its standard input; NULL: as .popen says, by default ours */
	size_t input_size;
	bool capture; /* its standard output and error into the result */
	bool merge;   /* standard error goes where standard output goes */
	bool check;   /* a bad end of the program is -EREMOTEIO */
	bool echo; /* what is captured also appears on our standard output and error, as it comes */
	bool shell;   /* argv[0] is a command line for /bin/sh, argv[1] … are its $0, $1, … */
	bool contain; /* every descendant ends with it */
	brood_text text; /* of what is captured */
	size_t limit; /* keep so many bytes of each stream, 0: all; the rest is dropped and told */
	bool tail;    /* … the last ones instead of the first */
	int64_t timeout_ns; /* 0: none */
	int64_t grace_ns;   /* between SIGTERM and SIGKILL; 0: 2 s; < 0: SIGKILL at once */
	const char *cwd;
	const char *const *env;       /* the whole environment; NULL: ours */
	const char *const *env_edits; /* "NAME=value" sets, "NAME" removes */
	const int *cancel_fd;         /* see brood/popen.h */
	/* Gets one line (without newline) when the program was started and one when it ended, none when it
	 * could not be started; e.g.
	 * "1234: df -h" and "1234: df -h: exit status 1, 12 ms". The environment and the input are never in it. */
	void (*log)(void *data, const char *line);
	void *log_data;
	/* All else, e.g. streams to files, uid, limits. What is set above wins over it. */
	const brood_popen_opts *popen;
	brood_fail *fail; /* filled when the call fails */
} brood_run_opts;

/** How a run ended. Filled by every call, so that the output of a failed one can be read. */
typedef struct brood_run_result {
	brood_exit exit; /* kind RUNNING: it was never started */
	pid_t pid;
	int64_t wall_ns; /* from before the start until all was done */
	char *out, *err; /* what was captured, with a NUL behind it; never NULL after a call */
	size_t out_size, err_size;
	uint64_t out_total, err_total; /* what came */
	bool truncated;                /* of either stream, some was not kept */
	bool timed_out, cancelled;     /* we stopped it */
	/* brood_output.error of either stream, 0: none; -EILSEQ, it is not UTF-8 (and was replaced, if
	 * so asked), gives way to another. */
	int sink_error;
	void *owner; /* internal */
} brood_run_result;

/** Run `argv` to its end. *ret_result (NULL: not wanted) need not be initialised.
 * Returns: 0 when the program ran and ended by itself, with .check: well. Its exit is in the result.
 * Errors:  those of brood_popen_start(): it was not started; -EINVAL "input": a size and no bytes, or with a
 *          standard input that .popen gives elsewhere; -ETIMEDOUT "timeout", -ECANCELED "cancel": it was stopped;
 *          -EREMOTEIO "status" (.check): it ended badly, or its output could not be
 *          delivered, or was not UTF-8 although BROOD_TEXT_STRICT;
 *          what a sink's .call returned, "communicate", the program was stopped; -ENOMEM "memory". A
 *          program that we may not signal (set-uid) cannot be stopped: .exit.kind is then
 *          BROOD_RUNNING. The fail's text names the program, how it
 *          ended, or the limit that it did not keep, and the last line of its standard error when that was captured:
 *          "make: exit status 2: make: *** [all] Error 1", "sort: killed by SIGKILL".
 * Owns:    the caller gives the result back by brood_run_result_fini(), after a failure too.
 * Safe:    threads, processes; not in a signal handler. Restarts after signals. */
BROOD_API int brood_run(const char *const argv[], const brood_run_opts *opts,
			brood_run_result *ret_result);

/** Give back what a result holds, and zero it. NULL and a zeroed result are fine.
 * Returns: nothing. Errors: none.
 * Owns:    nothing is left.
 * Safe:    one thread at a time. */
BROOD_API void brood_run_result_fini(brood_run_result *result);

/** Words for an end: "exit status 2", "killed by SIGKILL", "killed by signal 63 (core dumped)",
 * "ended, and its status was taken by another", "running".
 * Returns: the length that the whole text has, as snprintf does.
 * Errors:  none.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_exit_format(const brood_exit *record, char *buf, size_t size);

/** Python's getstatusoutput(): a command line for the shell, both streams as one text, the last
 * newline dropped.
 * Returns: the exit code as brood_exit_code() has it in *ret_code (NULL: not wanted), and 0.
 * Errors:  those of brood_run().
 * Owns:    the caller frees *ret_text with free().
 * Safe:    as brood_run(). Never with words that came from elsewhere: a shell reads them; see
 *          brood/shell.h for quoting. */
BROOD_API int brood_getstatusoutput(const char *command, int *ret_code, char **ret_text);

BROOD_END_DECLS
#endif
