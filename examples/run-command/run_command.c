#include "run_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LC_ALL and LC_… come before LANG, LANGUAGE before all for messages: they must go. */
static const char *const locale[] = {
	"LC_ALL",       "LC_CTYPE",       "LC_COLLATE",        "LC_MESSAGES", "LC_MONETARY",
	"LC_NUMERIC",   "LC_TIME",        "LC_PAPER",          "LC_NAME",     "LC_ADDRESS",
	"LC_TELEPHONE", "LC_MEASUREMENT", "LC_IDENTIFICATION", "LANGUAGE",    "LANG=en_US.UTF-8",
};

#define LOCALE (sizeof(locale) / sizeof(locale[0]))

struct running {
	const struct command *command;
	const char *one[2]; /* .string as a list */
	const char **env;   /* what is edited; owned */
	brood_popen_opts popen;
	brood_run_opts opts;
};

static void running_free(struct running *running)
{
	if (running != NULL)
		free(running->env);
	free(running);
}

/* The caller's variables, then ours, which so have the last word. */
static int prepare_env(struct running *running)
{
	const char *const *more = running->command->env;
	size_t n = 0;

	while (more != NULL && more[n] != NULL)
		n++;
	running->env = calloc(n + LOCALE + 1, sizeof(*running->env));
	if (running->env == NULL)
		return -ENOMEM;
	if (n > 0)
		memcpy(running->env, more, n * sizeof(*more));
	memcpy(running->env + n, locale, sizeof(locale));
	return 0;
}

static int prepare(const struct command *command, struct running **ret_running)
{
	struct running *running = calloc(1, sizeof(*running));

	if (running == NULL)
		return -ENOMEM;
	running->command = command;
	running->one[0] = command->string;
	if (prepare_env(running) < 0) {
		running_free(running);
		return -ENOMEM;
	}
	running->popen.spawn.in.kind = BROOD_STDIO_PIPE; /* without .input: closed at once */
	running->opts = (brood_run_opts){
		.input = command->input,
		.input_size = command->input != NULL ? strlen(command->input) : 0,
		.capture = true,
		.check = command->throws,
		.shell = command->shell,
		.text = BROOD_TEXT_REPLACE,
		.timeout_ns = command->timeout_ns,
		.env_edits = running->env,
		.log = command->log,
		.log_data = command->log_data,
		.popen = &running->popen,
	};
	*ret_running = running;
	return 0;
}

static const char *const *words(const struct running *running)
{
	return running->command->args != NULL ? running->command->args : running->one;
}

/* What a run came to, as an answer. */
static int answer(const struct command *command, int r, const brood_fail *fail,
		  struct answer *answer)
{
	answer->out = answer->result.out != NULL ? answer->result.out : "";
	answer->err = answer->result.err != NULL ? answer->result.err : "";
	answer->code = brood_exit_code(&answer->result.exit);
	answer->error[0] = '\0';
	if (r == 0)
		return 0;
	brood_fail_format(fail, answer->error, sizeof(answer->error));
	if (command->throws)
		return r;
	answer->out = "";
	answer->err = answer->error;
	answer->code = -1;
	return 0;
}

int run_command(const struct command *command, struct answer *ret_answer)
{
	brood_fail fail = { .step = "memory", .error = ENOMEM };
	struct running *running = NULL;
	int r = prepare(command, &running);

	*ret_answer = (struct answer){ .code = 0 };
	if (r == 0) {
		running->opts.fail = &fail;
		r = brood_run(words(running), &running->opts, &ret_answer->result);
	}
	running_free(running);
	return answer(command, r, &fail, ret_answer);
}

int run_command_begin(brood_jobs *jobs, const struct command *command)
{
	struct running *running;
	int r = prepare(command, &running);

	if (r < 0)
		return r;
	r = brood_jobs_submit(jobs, words(running), &running->opts, running, NULL);
	if (r < 0)
		running_free(running);
	return r;
}

int run_command_end(brood_job *job, struct answer *ret_answer)
{
	struct running *running = job->data;
	int r;

	ret_answer->result = job->result; /* the answer's to give back now */
	r = answer(running->command, job->error, &job->fail, ret_answer);
	running_free(running);
	return r;
}

void answer_fini(struct answer *answer)
{
	brood_run_result_fini(&answer->result);
}
