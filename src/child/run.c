/* A popen from its start to its end. Whatever happens in between, the program is stopped and reaped
 * before the call returns. */
#include "child/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/popen.h"
#include "child/result.h"

#define GRACE (2 * BROOD_SEC)

static int plan_streams(brood_popen_opts *plan, const brood_run_opts *opts)
{
	brood_fail *fail = plan->spawn.fail;

	if (opts->input == NULL && opts->input_size > 0)
		return bri_fail(fail, "input", EINVAL, "a size and no bytes");
	if (opts->input != NULL) {
		if (plan->spawn.in.kind != BROOD_STDIO_INHERIT &&
		    plan->spawn.in.kind != BROOD_STDIO_PIPE)
			return bri_fail(fail, "input", EINVAL,
					"the standard input is given elsewhere, too");
		plan->spawn.in = (brood_stdio){ .kind = BROOD_STDIO_PIPE };
	}
	if (opts->capture) {
		plan->spawn.out = (brood_stdio){ .kind = BROOD_STDIO_PIPE };
		plan->spawn.err = (brood_stdio){ .kind = BROOD_STDIO_PIPE };
		plan->out = bri_capture_sink(opts, 1);
		plan->err = bri_capture_sink(opts, 2);
	}
	if (opts->merge) {
		plan->spawn.err = (brood_stdio){ .kind = BROOD_STDIO_STDOUT };
		plan->err = (brood_sink){ .kind = BROOD_SINK_MEMORY };
	}
	return 0;
}

static int make_plan(brood_popen_opts *plan, const brood_run_opts *opts)
{
	int r;

	if (opts->popen != NULL)
		*plan = *opts->popen;
	plan->spawn.fail = bri_run_fail(opts);
	if (opts->shell)
		plan->spawn.shell = true;
	if (opts->contain)
		plan->spawn.contain = true;
	if (opts->cwd != NULL)
		plan->spawn.cwd = opts->cwd;
	if (opts->env != NULL)
		plan->spawn.env = opts->env;
	if (opts->env_edits != NULL)
		plan->spawn.env_edits = opts->env_edits;
	if (opts->cancel_fd != NULL)
		plan->cancel_fd = opts->cancel_fd;
	r = plan_streams(plan, opts);
	if (r == 0 && bri_wants_group(opts, &plan->spawn))
		plan->spawn.group = BROOD_GROUP_NEW;
	return r;
}

int bri_run_start(const char *const argv[], const brood_run_opts *opts, brood_popen **ret_popen)
{
	brood_popen_opts plan = { .linger_ns = 0 };
	int r = make_plan(&plan, opts);

	if (r == 0)
		r = brood_popen_start(argv, &plan, ret_popen);
	if (r == 0)
		bri_log_run(opts, argv, brood_popen_pid(*ret_popen), NULL);
	return r;
}

int bri_run_end(brood_popen *popen, const char *const argv[], const brood_run_opts *opts,
		int64_t started_ns, int r, brood_run_result *result)
{
	int taken;

	result->pid = brood_popen_pid(popen);
	brood_popen_poll(popen, &result->exit); /* never asks the cancel_fd */
	result->wall_ns = brood_now() - started_ns;
	taken = bri_result_take(result, bri_popen_drain(popen, 1), bri_popen_drain(popen, 2));
	bri_log_run(opts, argv, result->pid, result);
	r = bri_result_verdict(opts, argv[0], r, result);
	return r == 0 && taken < 0 ? bri_fail(bri_run_fail(opts), "memory", taken, NULL) : r;
}

int64_t bri_run_grace(const brood_run_opts *opts)
{
	return opts->grace_ns == 0 ? GRACE : opts->grace_ns;
}

static int run_started(brood_popen *popen, const brood_run_opts *opts)
{
	int64_t timeout_ns = opts->timeout_ns > 0 ? opts->timeout_ns : BROOD_FOREVER;
	int r = brood_popen_communicate(popen, opts->input, opts->input_size, timeout_ns);

	/* Also when there is no way to stop it properly nothing may be left behind, but what we may not
	 * signal. */
	if (r < 0 && brood_popen_stop(popen, bri_run_grace(opts), NULL) < 0 &&
	    brood_popen_kill(popen) == 0)
		brood_child_wait(brood_popen_child(popen), BROOD_FOREVER, NULL);
	return r;
}

int brood_run(const char *const argv[], const brood_run_opts *opts, brood_run_result *ret_result)
{
	static const brood_run_opts defaults;
	brood_run_result result = bri_result_none();
	int64_t started_ns = brood_now();
	brood_popen *popen = NULL;
	int r;

	if (opts == NULL)
		opts = &defaults;
	r = bri_run_start(argv, opts, &popen);
	if (r == 0) {
		r = run_started(popen, opts);
		r = bri_run_end(popen, argv, opts, started_ns, r, &result);
		brood_popen_free(popen);
	}
	if (ret_result != NULL)
		*ret_result = result;
	else
		brood_run_result_fini(&result);
	return r;
}

int brood_getstatusoutput(const char *command, int *ret_code, char **ret_text)
{
	const char *const argv[] = { command, NULL };
	brood_run_result result;
	char *text;
	int r;

	if (command == NULL)
		return -EINVAL;
	r = brood_run(argv, &(brood_run_opts){ .capture = true, .merge = true, .shell = true },
		      &result);
	if (r == 0)
		r = result.sink_error; /* half a text would be taken for the whole */
	if (r == 0) {
		size_t n = result.out_size;

		if (n > 0 && result.out[n - 1] == '\n')
			n--;
		text = malloc(n + 1);
		r = text == NULL ? -ENOMEM : 0;
		if (text != NULL) {
			memcpy(text, result.out, n);
			text[n] = '\0';
			*ret_text = text;
			if (ret_code != NULL)
				*ret_code = brood_exit_code(&result.exit);
		}
	}
	brood_run_result_fini(&result);
	return r;
}
