/* p1 | p2 | …: the stages are children of ours, joined by pipes of which we keep no end; one talk feeds
 * the first, drains what is captured, and waits for all.
 *
 * Invariant while they are started: of each pipe between two stages the host holds an end only until
 * the stage that needs it has it, and none of them is inherited by another (close-on-exec). */
#include <brood/pipeline.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/result.h"
#include "child/run.h"
#include "child/talk.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/self.h"

#include <brood/shell.h>

enum {
	OUT,
	ERRORS,
	FIRST_STAGE
}; /* drains: the last one's output, errors of all, errors of each */

struct brood_pipeline {
	uint64_t generation;
	size_t n_stages, n_started;
	brood_child **children;
	struct bri_drain *drains;
	struct bri_talk talk;
	const void *input;
	size_t input_size;
	int cancel_fd;
};

/* What is open while the stages are started. */
struct joints {
	int from;        /* what the last started stage writes; -1: the first is next */
	int out, errors; /* write ends of what is captured, -1: not */
	bool has_stdout; /* the caller has a descriptor 1, it is none of ours */
};

static void joints_fini(struct joints *joints)
{
	bri_closep(&joints->from);
	bri_closep(&joints->out);
	bri_closep(&joints->errors);
}

static int check_owner(const brood_pipeline *pipeline)
{
	return pipeline->generation == bri_self_generation() ? 0 : -ECHILD;
}

static const brood_spawn_opts *spawn_of(const brood_stage *stage)
{
	static const brood_spawn_opts defaults;

	return stage->spawn != NULL ? stage->spawn : &defaults;
}

static bool is_given(const brood_stdio *stdio)
{
	return stdio->kind != BROOD_STDIO_INHERIT && stdio->kind != BROOD_STDIO_PIPE;
}

static int fail_stage(brood_fail *fail, size_t stage, const brood_fail *inner)
{
	return bri_fail(fail, inner->step, inner->error, "stage %zu: %s", stage + 1, inner->text);
}

static int check_open(const brood_stdio *stdio, int which, brood_fail *fail)
{
	if (stdio->kind != BROOD_STDIO_FD || bri_is_open(stdio->fd))
		return 0;
	return bri_fail(fail, "stdio", EBADF, "descriptor %d: %d is not open", which, stdio->fd);
}

static int check_sink(const brood_stage *stage, brood_fail *fail)
{
	const brood_sink *sink = &stage->err;

	if (spawn_of(stage)->err.kind != BROOD_STDIO_PIPE &&
	    (sink->kind != BROOD_SINK_MEMORY || sink->tee != 0 || sink->text != BROOD_TEXT_BYTES))
		return bri_fail(fail, "sink", EINVAL, "descriptor 2 is no pipe");
	return bri_drain_check(sink, fail);
}

/* The caller's descriptors, before the pipes take free numbers: one of those must not be taken for a
 * closed one that the caller named. */
static int check_stage(const brood_stage *stage, bool first, bool last, brood_fail *fail)
{
	const brood_spawn_opts *spawn = spawn_of(stage);
	int r = check_sink(stage, fail);

	if (r == 0 && first)
		r = check_open(&spawn->in, 0, fail);
	if (r == 0 && last)
		r = check_open(&spawn->out, 1, fail);
	if (r == 0)
		r = check_open(&spawn->err, 2, fail);
	for (size_t i = 0; r == 0 && i < spawn->n_pass; i++)
		if (!bri_is_open(spawn->pass[i].fd))
			r = bri_fail(fail, "pass", EBADF, "descriptor %d is not open",
				     spawn->pass[i].fd);
	return r;
}

static int check(const brood_stage *stages, size_t n_stages, const brood_pipeline_opts *opts)
{
	const brood_run_opts *run = &opts->run;
	brood_fail *fail = run->fail, inner;

	if (stages == NULL || n_stages == 0)
		return bri_fail(fail, "stages", EINVAL, "none");
	if (run->popen != NULL)
		return bri_fail(fail, "stages", EINVAL, ".run.popen has no place here");
	if (run->input == NULL && run->input_size > 0)
		return bri_fail(fail, "input", EINVAL, "a size and no bytes");
	if (run->input != NULL && is_given(&spawn_of(&stages[0])->in))
		return bri_fail(fail, "input", EINVAL,
				"the first stage's standard input is given elsewhere, too");
	if (run->merge && !run->capture &&
	    spawn_of(&stages[n_stages - 1])->out.kind == BROOD_STDIO_FILE)
		return bri_fail(fail, "stages", EINVAL, ".merge into a file: give its descriptor");
	if (run->cancel_fd != NULL && !bri_is_open(*run->cancel_fd))
		return bri_fail(fail, "cancel", EBADF, "descriptor %d", *run->cancel_fd);
	for (size_t i = 0; i < n_stages; i++)
		if (check_stage(&stages[i], i == 0, i == n_stages - 1, &inner) < 0)
			return fail_stage(fail, i, &inner);
	return 0;
}

static int open_drain(struct bri_drain *drain, const brood_sink *sink, int *ret_theirs,
		      brood_fail *fail)
{
	int r = bri_drain_check(sink, fail);

	if (r == 0)
		r = bri_drain_init(drain, sink, fail);
	if (r < 0)
		return r;
	r = bri_pipe(&drain->fd, ret_theirs);
	if (r < 0)
		return bri_fail(fail, "pipe", r, "for what is captured");
	drain->set = true;
	return 0;
}

/* The pipes for what is captured of all. */
static int open_joints(brood_pipeline *pipeline, const brood_spawn_opts *last,
		       const brood_run_opts *run, struct joints *joints)
{
	brood_sink out = bri_capture_sink(run, 1), errors = bri_capture_sink(run, 2);
	int r = 0;

	joints->has_stdout = bri_is_open(1);
	if (run->capture || last->out.kind == BROOD_STDIO_PIPE)
		r = open_drain(&pipeline->drains[OUT], &out, &joints->out, run->fail);
	if (r == 0 && run->capture && !run->merge)
		r = open_drain(&pipeline->drains[ERRORS], &errors, &joints->errors, run->fail);
	return r;
}

static brood_stdio to_fd(int fd)
{
	return (brood_stdio){ .kind = BROOD_STDIO_FD, .fd = fd };
}

/* Where the last stage's output goes, for who has no end of it yet. */
static brood_stdio last_output(const brood_spawn_opts *last, const struct joints *joints)
{
	if (joints->out >= 0)
		return to_fd(joints->out);
	if (last->out.kind != BROOD_STDIO_INHERIT)
		return last->out;
	if (joints->has_stdout)
		return to_fd(1);
	return (brood_stdio){ .kind = BROOD_STDIO_CLOSED };
}

/* One stage's options; `to` is the next one's pipe, -1 for the last. */
static brood_spawn_opts plan_stage(const brood_stage *stage, const brood_spawn_opts *last,
				   const brood_run_opts *run, const struct joints *joints, int to,
				   brood_fail *fail)
{
	brood_spawn_opts plan = *spawn_of(stage);
	bool first = joints->from < 0;

	plan.fail = fail;
	plan.shell = plan.shell || run->shell;
	plan.contain = plan.contain || run->contain;
	if (plan.cwd == NULL)
		plan.cwd = run->cwd;
	if (plan.env == NULL)
		plan.env = run->env;
	if (plan.env_edits == NULL)
		plan.env_edits = run->env_edits;
	if (!first)
		plan.in = to_fd(joints->from);
	else if (run->input != NULL)
		plan.in = (brood_stdio){ .kind = BROOD_STDIO_PIPE };
	if (to >= 0)
		plan.out = to_fd(to);
	else if (joints->out >= 0)
		plan.out = to_fd(joints->out);
	if (plan.err.kind == BROOD_STDIO_INHERIT && run->merge)
		plan.err = last_output(last, joints);
	else if (plan.err.kind == BROOD_STDIO_INHERIT && joints->errors >= 0)
		plan.err = to_fd(joints->errors);
	else if (plan.err.kind == BROOD_STDIO_STDOUT && plan.out.kind == BROOD_STDIO_INHERIT &&
		 !joints->has_stdout)
		plan.err = (brood_stdio){ .kind = BROOD_STDIO_CLOSED };
	if (bri_wants_group(run, &plan))
		plan.group = BROOD_GROUP_NEW;
	return plan;
}

/* From a stage to the next. */
static int open_pipe(size_t size, int *ret_read, int *ret_write, brood_fail *fail)
{
	int r = bri_pipe(ret_read, ret_write);

	if (r < 0)
		return bri_fail(fail, "pipe", r, "to the next stage");
	if (size == 0)
		return 0;
	r = size > INT_MAX ? -EINVAL : fcntl(*ret_write, F_SETPIPE_SZ, (int)size) < 0 ? -errno : 0;
	return r < 0 ? bri_fail(fail, "pipe", r, "to the next stage: size %zu", size) : 0;
}

static int start_stage(brood_pipeline *pipeline, const brood_stage *stages, size_t i,
		       const brood_run_opts *run, struct joints *joints)
{
	bri_cleanup(bri_closep) int to = -1;
	bri_cleanup(bri_closep) int next = -1;
	struct bri_drain *errors = &pipeline->drains[FIRST_STAGE + i];
	brood_fail inner = { .step = NULL };
	brood_spawn_opts plan;
	int r = 0;

	if (i + 1 < pipeline->n_stages)
		r = open_pipe(spawn_of(&stages[i])->pipe_size, &next, &to, &inner);
	plan = plan_stage(&stages[i], spawn_of(&stages[pipeline->n_stages - 1]), run, joints, to,
			  &inner);
	if (r == 0 && plan.err.kind == BROOD_STDIO_PIPE)
		r = bri_drain_init(errors, &stages[i].err, &inner);
	if (r == 0)
		r = brood_spawn(stages[i].argv, &plan, &pipeline->children[i]);
	if (r < 0)
		return fail_stage(run->fail, i, &inner);
	pipeline->n_started++;
	if (plan.in.kind == BROOD_STDIO_PIPE)
		pipeline->talk.input_fd = brood_child_take_stream(pipeline->children[i], 0);
	if (plan.err.kind == BROOD_STDIO_PIPE) {
		errors->set = true;
		errors->fd = brood_child_take_stream(pipeline->children[i], 2);
	}
	bri_closep(&joints->from);
	joints->from = bri_take_fd(&next);
	return 0;
}

static int start_all(brood_pipeline *pipeline, const brood_stage *stages, const brood_run_opts *run)
{
	bri_cleanup(joints_fini) struct joints joints = { -1, -1, -1, false };
	int r = open_joints(pipeline, spawn_of(&stages[pipeline->n_stages - 1]), run, &joints);

	for (size_t i = 0; r == 0 && i < pipeline->n_stages; i++)
		r = start_stage(pipeline, stages, i, run, &joints);
	return r;
}

/* Ends and reaps all that were started, but what we may not signal: that may never end. */
static void kill_all(brood_pipeline *pipeline)
{
	bri_talk_close_input(&pipeline->talk);
	for (size_t i = 0; i < pipeline->n_started; i++)
		brood_child_kill(pipeline->children[i]);
	for (size_t i = 0; i < pipeline->n_started; i++)
		if (brood_child_kill(pipeline->children[i]) == 0)
			brood_child_wait(pipeline->children[i], BROOD_FOREVER, NULL);
}

static brood_pipeline *allocate(size_t n_stages)
{
	brood_pipeline *pipeline = calloc(1, sizeof(*pipeline));

	if (pipeline == NULL)
		return NULL;
	pipeline->generation = bri_self_generation();
	pipeline->n_stages = n_stages;
	pipeline->talk = BRI_TALK_NONE;
	pipeline->cancel_fd = -1;
	pipeline->children = calloc(n_stages, sizeof(*pipeline->children));
	pipeline->drains = calloc(n_stages + FIRST_STAGE, sizeof(*pipeline->drains));
	for (size_t i = 0; pipeline->drains != NULL && i < n_stages + FIRST_STAGE; i++)
		pipeline->drains[i] = BRI_DRAIN_NONE;
	if (pipeline->children == NULL || pipeline->drains == NULL)
		return brood_pipeline_free(pipeline);
	return pipeline;
}

int brood_pipeline_start(const brood_stage *stages, size_t n_stages,
			 const brood_pipeline_opts *opts, brood_pipeline **ret_pipeline)
{
	static const brood_pipeline_opts defaults;
	brood_pipeline *pipeline;
	int r;

	if (opts == NULL)
		opts = &defaults;
	r = check(stages, n_stages, opts);
	if (r < 0)
		return r;
	pipeline = allocate(n_stages);
	if (pipeline == NULL)
		return bri_fail(opts->run.fail, "memory", ENOMEM, NULL);
	pipeline->input = opts->run.input;
	pipeline->input_size = opts->run.input_size;
	r = bri_talk_init(&pipeline->talk, pipeline->drains, n_stages + FIRST_STAGE,
			  pipeline->children, n_stages, BRI_LINGER);
	if (r < 0)
		bri_fail(opts->run.fail, "memory", r, NULL);
	if (r == 0 && opts->run.cancel_fd != NULL) {
		pipeline->cancel_fd = fcntl(*opts->run.cancel_fd, F_DUPFD_CLOEXEC, 3);
		if (pipeline->cancel_fd < 0)
			r = bri_fail(opts->run.fail, "cancel", errno, "descriptor %d",
				     *opts->run.cancel_fd);
	}
	if (r == 0)
		r = start_all(pipeline, stages, &opts->run);
	if (r < 0) {
		kill_all(pipeline);
		brood_pipeline_free(pipeline);
		return r;
	}
	*ret_pipeline = pipeline;
	return 0;
}

int brood_pipeline_communicate(brood_pipeline *pipeline, int64_t timeout_ns)
{
	int r = check_owner(pipeline);

	if (r == 0 && !pipeline->talk.begun)
		r = bri_talk_begin(&pipeline->talk, pipeline->input, pipeline->input_size);
	return r < 0 ? r :
		       bri_talk_until(&pipeline->talk, BRI_TALK_DONE, bri_deadline(timeout_ns),
				      pipeline->cancel_fd);
}

brood_child *brood_pipeline_child(const brood_pipeline *pipeline, size_t stage)
{
	return stage < pipeline->n_stages ? pipeline->children[stage] : NULL;
}

int brood_pipeline_status(brood_pipeline *pipeline, size_t stage, brood_exit *ret_exit)
{
	int r;

	if (stage >= pipeline->n_stages)
		return -EINVAL;
	r = brood_child_wait(pipeline->children[stage], 0, ret_exit);
	return r == -ETIMEDOUT ? -EAGAIN : r;
}

static int output_of(brood_pipeline *pipeline, size_t drain, brood_output *ret_output)
{
	if (!pipeline->drains[drain].set)
		return -EBADF;
	bri_drain_output(&pipeline->drains[drain], ret_output);
	return 0;
}

int brood_pipeline_output(brood_pipeline *pipeline, int which, brood_output *ret_output)
{
	if (which != 1 && which != 2)
		return -EBADF;
	return output_of(pipeline, which == 1 ? OUT : ERRORS, ret_output);
}

int brood_pipeline_errors(brood_pipeline *pipeline, size_t stage, brood_output *ret_output)
{
	return stage < pipeline->n_stages ? output_of(pipeline, FIRST_STAGE + stage, ret_output) :
					    -EINVAL;
}

int brood_pipeline_stop(brood_pipeline *pipeline, int64_t grace_ns)
{
	int r = check_owner(pipeline);

	return r < 0 ? r : bri_talk_stop(&pipeline->talk, grace_ns);
}

brood_pipeline *brood_pipeline_free(brood_pipeline *pipeline)
{
	if (pipeline == NULL)
		return NULL;
	bri_talk_fini(&pipeline->talk);
	for (size_t i = 0; pipeline->drains != NULL && i < pipeline->n_stages + FIRST_STAGE; i++)
		bri_drain_fini(&pipeline->drains[i]);
	for (size_t i = 0; pipeline->children != NULL && i < pipeline->n_stages; i++)
		brood_child_free(pipeline->children[i]);
	bri_closep(&pipeline->cancel_fd);
	free(pipeline->drains);
	free(pipeline->children);
	free(pipeline);
	return NULL;
}

/* ---- in one call */

/* Whether a stage ended well enough: SIGPIPE says that a later one had all that it wanted. */
static bool is_well(const brood_exit *end, bool last, bool sigpipe_fails)
{
	return brood_exit_ok(end) ||
	       (!last && !sigpipe_fails && end->kind == BROOD_SIGNALLED && end->value == SIGPIPE);
}

/* The status of the whole: the last bad one, else the last stage's. Returns that stage. */
static size_t sum_up(brood_pipeline *pipeline, bool sigpipe_fails, brood_exit *ret_exit)
{
	size_t n = pipeline->n_stages, which = n - 1;
	brood_exit sum = { .kind = BROOD_RUNNING }, one = { .kind = BROOD_RUNNING };
	bool bad = false;

	for (size_t i = n; i-- > 0;) {
		if (brood_pipeline_status(pipeline, i, &one) < 0)
			one = (brood_exit){ .kind = BROOD_RUNNING };
		if (i == n - 1 || (!bad && !is_well(&one, false, sigpipe_fails))) {
			sum.kind = one.kind;
			sum.value = one.value;
			sum.core = one.core;
			which = i;
		}
		bad = bad || !is_well(&one, i == n - 1, sigpipe_fails);
		sum.user_ns += one.user_ns;
		sum.system_ns += one.system_ns;
		if (one.max_rss_bytes > sum.max_rss_bytes)
			sum.max_rss_bytes = one.max_rss_bytes;
		if (i == n - 1 || one.started_ns < sum.started_ns)
			sum.started_ns = one.started_ns;
		if (one.ended_ns > sum.ended_ns)
			sum.ended_ns = one.ended_ns;
	}
	*ret_exit = sum;
	return which;
}

/* All stages as one line of a shell, for the log; NULL: no memory. */
static char *command_line(const brood_stage *stages, size_t n_stages)
{
	char *line = NULL, *longer, *words;

	for (size_t i = 0; i < n_stages; i++) {
		int n = -1;

		longer = NULL;
		if (brood_shell_join(stages[i].argv, &words) == 0) {
			n = asprintf(&longer, "%s%s%s", line != NULL ? line : "",
				     line != NULL ? " | " : "", words);
			free(words);
		}
		free(line);
		if (n < 0)
			return NULL;
		line = longer;
	}
	return line;
}

static int run_started(brood_pipeline *pipeline, const brood_stage *stages,
		       const brood_pipeline_opts *opts, int64_t started_ns,
		       brood_run_result *result)
{
	const brood_run_opts *run = &opts->run;
	bri_cleanup(bri_freep) char *command = NULL;
	bri_cleanup(bri_freep) char *who = NULL;
	int64_t timeout_ns = run->timeout_ns > 0 ? run->timeout_ns : BROOD_FOREVER;
	size_t which;
	int r, taken;

	if (run->log != NULL)
		command = command_line(stages, pipeline->n_stages);
	result->pid = brood_child_pid(pipeline->children[0]);
	if (command != NULL)
		bri_log_command(run, command, result->pid, NULL);
	r = brood_pipeline_communicate(pipeline, timeout_ns);
	if (r < 0 && brood_pipeline_stop(pipeline, bri_run_grace(run)) < 0)
		kill_all(pipeline);
	which = sum_up(pipeline, opts->sigpipe_fails, &result->exit);
	result->wall_ns = brood_now() - started_ns;
	taken = bri_result_take(result, &pipeline->drains[OUT], &pipeline->drains[ERRORS]);
	if (command != NULL)
		bri_log_command(run, command, result->pid, result);
	if (asprintf(&who, "stage %zu: %s", which + 1, stages[which].argv[0]) < 0)
		who = NULL;
	r = bri_result_verdict(run, who != NULL ? who : stages[which].argv[0], r, result);
	return r == 0 && taken < 0 ? bri_fail(run->fail, "memory", taken, NULL) : r;
}

int brood_pipeline_run(const brood_stage *stages, size_t n_stages, const brood_pipeline_opts *opts,
		       brood_run_result *ret_result)
{
	static const brood_pipeline_opts defaults;
	brood_run_result result = bri_result_none();
	int64_t started_ns = brood_now();
	brood_pipeline *pipeline = NULL;
	int r;

	if (opts == NULL)
		opts = &defaults;
	r = brood_pipeline_start(stages, n_stages, opts, &pipeline);
	if (r == 0)
		r = run_started(pipeline, stages, opts, started_ns, &result);
	brood_pipeline_free(pipeline);
	if (ret_result != NULL)
		*ret_result = result;
	else
		brood_run_result_fini(&result);
	return r;
}
