/* run_command.h - a helper as many programs have one: run a command, get its output as text
 *
 *	struct answer answer;
 *
 *	run_command(&(struct command){ .args = BROOD_ARGV("ls", "-l") }, &answer);
 *	printf("%d: %s%s\n", answer.code, answer.out, answer.err);
 *	answer_fini(&answer);
 *
 * It runs under LANG=en_US.UTF-8, whatever the environment says, so that its words can be understood;
 * and its output is UTF-8 with one kind of newline, whatever it wrote. */
#ifndef RUN_COMMAND_H
#define RUN_COMMAND_H

#include <brood/jobs.h>

struct command {
	/* A list of arguments; or one string: the path of a program that takes none, never split into words.
	 * With .shell the string, or the list's first, is a command line. */
	const char *const *args;
	const char *string;
	bool shell;
	const char *const *env; /* "NAME=value" beside what we have ourselves; NULL: nothing */
	const char *input;      /* NULL: it has none */
	int64_t timeout_ns;     /* 0: none */
	void (*log)(void *data, const char *line);
	void *log_data;
	/* What did not run, timed out, or ended badly is a failure of the call, as an exception would be. Else
	 * the call never fails: what did not run to its end has an answer without output, the error as text, and
	 * the code -1. */
	bool throws;
};

/** Not to be copied: .err may point into it. */
struct answer {
	const char *out, *err; /* never NULL */
	int code;              /* its exit status, -N when signal N ended it */
	char error[400];       /* what failed; "": nothing */
	brood_run_result result;
};

/** Runs it to its end. Returns 0, or with .throws a negative errno value. The answer is filled in
 * any case; give it back by answer_fini(). */
int run_command(const struct command *command, struct answer *ret_answer);

/** The same without waiting: brood_jobs_next() does the work, or brood_jobs_step() in an event loop that
 * watches brood_jobs_fd(). `command` must be kept until its job was handed to run_command_end().
 * Returns 0; -EBUSY: not now, see brood_jobs_submit(); -ENOMEM. */
int run_command_begin(brood_jobs *jobs, const struct command *command);

/** The answer to a command whose job has ended. Returns as run_command(). */
int run_command_end(brood_job *job, struct answer *ret_answer);

void answer_fini(struct answer *answer);

#endif
