/* brood_pipeline: what flows, what counts as the status, and that nobody holds a pipe who should not. */
#include <brood/pipeline.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

#define SH(script) BROOD_ARGV("sh", "-c", script)
#define STAGES(...)                             \
	((const brood_stage[]){ __VA_ARGS__ }), \
		sizeof((const brood_stage[]){ __VA_ARGS__ }) / sizeof(brood_stage)
#define MUCH ((size_t)8 << 20)
#define SOON (20 * BROOD_SEC) /* far beyond what a busy machine needs */

static brood_run_result result;
static brood_fail failure;

static int run_all(const brood_stage *stages, size_t n, brood_pipeline_opts opts)
{
	failure = (brood_fail){ .step = NULL };
	opts.run.fail = &failure;
	return brood_pipeline_run(stages, n, &opts, &result);
}

static void ck_fail(const char *step, int error, const char *text)
{
	ck_assert_ptr_nonnull(failure.step);
	ck_assert_str_eq(failure.step, step);
	ck_assert_int_eq(failure.error, error);
	if (text != NULL)
		ck_assert_str_eq(failure.text, text);
}

static void ck_runs(const brood_stage *stages, size_t n, brood_run_opts run)
{
	int r = run_all(stages, n, (brood_pipeline_opts){ .run = run });
	char text[400];

	brood_fail_format(&failure, text, sizeof(text));
	ck_assert_msg(r == 0, "%d, %s", r, text);
	ck_assert_ptr_null(failure.step);
}

static void done(void)
{
	brood_run_result_fini(&result);
}

static brood_pipeline *start_all(const brood_stage *stages, size_t n, brood_run_opts run)
{
	brood_pipeline *pipeline = NULL;
	char text[400];
	int r;

	failure = (brood_fail){ .step = NULL };
	run.fail = &failure;
	r = brood_pipeline_start(stages, n, &(brood_pipeline_opts){ .run = run }, &pipeline);
	brood_fail_format(&failure, text, sizeof(text));
	ck_assert_msg(r == 0, "%d, %s", r, text);
	return pipeline;
}

static void ck_no_child(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* this process is a subreaper */
	ck_assert_int_eq(errno, ECHILD);
}

/* ---- what flows */

START_TEST(one_program_feeds_the_next)
{
	ck_runs(STAGES({ .argv = SH("printf 'sda1 9%%\\nsdb1 3%%\\nsda2 1%%\\n'") },
		       { .argv = BROOD_ARGV("grep", "sda1") }),
		(brood_run_opts){ .capture = true, .check = true });
	ck_assert_str_eq(result.out, "sda1 9%\n");
	ck_assert_str_eq(result.err, "");
	ck_assert_int_gt(result.pid, 0);
	done();
	ck_runs(STAGES({ .argv = SH("printf '3\\n1\\n2\\n1\\n'") }, { .argv = BROOD_ARGV("sort") },
		       { .argv = BROOD_ARGV("uniq", "-c") }),
		(brood_run_opts){ .capture = true, .check = true });
	ck_assert_str_eq(result.out, "      2 1\n      1 2\n      1 3\n");
	done();
	ck_runs(STAGES({ .argv = BROOD_ARGV("echo", "alone") }),
		(brood_run_opts){ .capture = true });
	ck_assert_str_eq(result.out, "alone\n");
	done();
}
END_TEST

START_TEST(options_and_result_may_be_left_out)
{
	ck_assert_int_eq(brood_pipeline_run(STAGES({ .argv = BROOD_ARGV("true") },
						   { .argv = BROOD_ARGV("cat") }),
					    NULL, NULL),
			 0);
	ck_assert_ptr_null(brood_pipeline_free(NULL));
}
END_TEST

START_TEST(much_input_flows_through)
{
	char *bytes = malloc(MUCH);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = (char)(i * 2654435761U >> 13);
	ck_runs(STAGES({ .argv = BROOD_ARGV("cat") }, { .argv = BROOD_ARGV("cat") },
		       { .argv = BROOD_ARGV("cat") }),
		(brood_run_opts){
			.capture = true, .check = true, .input = bytes, .input_size = MUCH });
	ck_assert_uint_eq(result.out_size, MUCH);
	ck_assert_int_eq(memcmp(result.out, bytes, MUCH), 0);
	done();
	/* A first stage that wants none of it. */
	ck_runs(STAGES({ .argv = BROOD_ARGV("echo", "x") }, { .argv = BROOD_ARGV("cat") }),
		(brood_run_opts){
			.capture = true, .check = true, .input = bytes, .input_size = MUCH });
	ck_assert_str_eq(result.out, "x\n");
	done();
	free(bytes);
}
END_TEST

START_TEST(fifty_stages)
{
	const char *const *argv = BROOD_ARGV("sed", "s/$/x/");
	brood_stage stages[50];

	for (size_t i = 0; i < 50; i++)
		stages[i] = (brood_stage){ .argv = argv };
	ck_runs(stages, 50, (brood_run_opts){ .capture = true, .input = "", .input_size = 1 });
	ck_assert_uint_eq(result.out_size, 51);
	ck_assert_uint_eq(strspn(result.out + 1, "x"), 50);
	done();
}
END_TEST

START_TEST(the_standard_errors_come_together_or_apart)
{
	static const brood_spawn_opts apart = { .err = { .kind = BROOD_STDIO_PIPE } };
	brood_pipeline *pipeline;
	brood_output output;

	ck_runs(STAGES({ .argv = SH("echo one >&2; echo x") }, { .argv = SH("cat; echo two >&2") }),
		(brood_run_opts){ .capture = true });
	ck_assert_str_eq(result.out, "x\n");
	ck_assert_str_eq(result.err, "one\ntwo\n");
	done();
	pipeline = start_all(STAGES({ .argv = SH("echo one >&2; echo x"), .spawn = &apart },
				    { .argv = SH("cat; echo two >&2") },
				    { .argv = SH("cat; echo 333 >&2"),
				      .spawn = &apart,
				      .err = { .kind = BROOD_SINK_TAIL, .limit = 3 } }),
			     (brood_run_opts){ .capture = true });
	ck_assert_int_eq(brood_pipeline_communicate(pipeline, SOON), 0);
	ck_assert_int_eq(brood_pipeline_output(pipeline, 1, &output), 0);
	ck_assert_str_eq(output.data, "x\n");
	ck_assert(output.ended);
	ck_assert_int_eq(brood_pipeline_output(pipeline, 2, &output), 0);
	ck_assert_str_eq(output.data, "two\n");
	ck_assert_int_eq(brood_pipeline_errors(pipeline, 0, &output), 0);
	ck_assert_str_eq(output.data, "one\n");
	ck_assert_int_eq(brood_pipeline_errors(pipeline, 2, &output), 0);
	ck_assert_str_eq(output.data, "33\n");
	ck_assert(output.truncated);
	ck_assert_int_eq(brood_pipeline_errors(pipeline, 1, &output), -EBADF);
	ck_assert_int_eq(brood_pipeline_errors(pipeline, 3, &output), -EINVAL);
	brood_pipeline_free(pipeline);
}
END_TEST

static const char *all_of(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

static int aside[3];

static void replace(int fd, int by)
{
	aside[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 700);
	if (by < 0)
		close(fd);
	else
		ck_assert_int_eq(dup2(by, fd), fd);
}

static void put_back(int fd)
{
	if (aside[fd] >= 0) {
		dup2(aside[fd], fd);
		close(aside[fd]);
	} else {
		close(fd);
	}
}

#define FIRST_TALKS SH("echo one >&2; echo x")
#define SECOND_TALKS SH("cat; echo two >&2")
#define TALKERS STAGES({ .argv = FIRST_TALKS }, { .argv = SECOND_TALKS })

START_TEST(merged_errors_go_where_the_output_goes)
{
	int fd = open_file("both", "");
	brood_spawn_opts to_fd = { .out = { .kind = BROOD_STDIO_FD, .fd = fd } };
	static const brood_spawn_opts to_path = { .out = { .kind = BROOD_STDIO_FILE,
							   .path = "x" } };

	ck_runs(TALKERS, (brood_run_opts){ .capture = true, .merge = true });
	ck_assert_str_eq(result.out, "one\nx\ntwo\n");
	ck_assert_str_eq(result.err, "");
	done();
	ck_runs(STAGES({ .argv = SH("echo one >&2; sleep 0.1") },
		       { .argv = SH("cat; echo two >&2"), .spawn = &to_fd }),
		(brood_run_opts){ .merge = true });
	ck_assert_str_eq(all_of(fd), "one\ntwo\n");
	done();
	ck_assert_int_eq(ftruncate(fd, 0) + lseek(fd, 0, SEEK_SET), 0);
	replace(1, fd);
	run_all(TALKERS, (brood_pipeline_opts){ .run = { .merge = true } });
	put_back(1);
	ck_assert_str_eq(all_of(fd), "one\nx\ntwo\n");
	done();
	ck_assert_int_eq(run_all(STAGES({ .argv = BROOD_ARGV("true"), .spawn = &to_path }),
				 (brood_pipeline_opts){ .run = { .merge = true } }),
			 -EINVAL);
	ck_fail("stages", EINVAL, ".merge into a file: give its descriptor");
	close(fd);
}
END_TEST

START_TEST(a_stage_has_its_own_options_and_the_runs)
{
	int in = open_file("in", "from a file\n");
	const char *folder = scratch;
	brood_spawn_opts first = { .in = { .kind = BROOD_STDIO_FILE, .path = scratch_path("in") },
				   .env_edits = BROOD_ARGV("WHO=first"),
				   .cwd = "/usr" };
	brood_spawn_opts last = { .out = { .kind = BROOD_STDIO_FILE, .path = scratch_path("out") },
				  .shell = true };
	int out;

	ck_runs(STAGES({ .argv = SH("cat; echo $WHO; pwd"), .spawn = &first },
		       { .argv = SH("cat; echo $WHO; pwd") },
		       { .argv = BROOD_ARGV("tr a-z A-Z; echo $0", "name"), .spawn = &last }),
		(brood_run_opts){ .env_edits = BROOD_ARGV("WHO=all"), .cwd = folder });
	out = open(scratch_path("out"), O_RDONLY | O_CLOEXEC);
	ck_assert_ptr_nonnull(strstr(all_of(out), "FROM A FILE\nFIRST\n/USR\nALL\n/"));
	ck_assert_ptr_nonnull(strstr(all_of(out), "\nname\n"));
	close(out);
	close(in);
	done();
	ck_runs(STAGES({ .argv = BROOD_ARGV("echo x | tr x y") }, { .argv = BROOD_ARGV("tr y z") }),
		(brood_run_opts){ .shell = true, .capture = true, .env = BROOD_ARGV("PATH=/bin") });
	ck_assert_str_eq(result.out, "z\n");
	done();
}
END_TEST

START_TEST(a_pipe_at_the_end_is_drained)
{
	static const brood_spawn_opts piped = { .in = { .kind = BROOD_STDIO_PIPE },
						.out = { .kind = BROOD_STDIO_PIPE } };

	ck_runs(STAGES({ .argv = BROOD_ARGV("cat"), .spawn = &piped },
		       { .argv = SH("cat; head -c 1000000 /dev/zero"), .spawn = &piped }),
		(brood_run_opts){ .check = true });
	ck_assert_uint_eq(result.out_size, 1000000);
	done();
}
END_TEST

START_TEST(the_sums_are_of_all_stages)
{
	ck_runs(STAGES({ .argv = BROOD_ARGV(CHILD("end"), "burn", "60") },
		       { .argv = BROOD_ARGV(CHILD("end"), "burn", "60") }),
		(brood_run_opts){ .capture = true });
	ck_assert_int_ge(result.exit.user_ns + result.exit.system_ns, 100 * BROOD_MSEC);
	ck_assert_int_gt(result.exit.max_rss_bytes, 0);
	ck_assert_int_ge(result.wall_ns, result.exit.ended_ns - result.exit.started_ns);
	ck_assert_int_gt(result.exit.ended_ns, result.exit.started_ns);
	done();
}
END_TEST

/* ---- the status */

START_TEST(the_status_is_that_of_the_last_bad_stage)
{
	static const struct {
		const char *scripts[3];
		int code;
		const char *text;
	} cases[] = {
		{ { "exit 0", "exit 0", "exit 0" }, 0, NULL },
		{ { "exit 3", "exit 0", "exit 0" }, 3, "stage 1: sh: exit status 3" },
		{ { "exit 3", "exit 4", "exit 0" }, 4, "stage 2: sh: exit status 4" },
		{ { "exit 3", "exit 4", "exit 5" }, 5, "stage 3: sh: exit status 5" },
		{ { "exit 3", "kill -KILL $$", "exit 0" }, -9, "stage 2: sh: killed by SIGKILL" },
		{ { "exit 3", "kill -PIPE $$", "exit 0" }, 3, "stage 1: sh: exit status 3" },
		{ { "kill -PIPE $$", "exit 4", "exit 0" }, 4, "stage 2: sh: exit status 4" },
		{ { "kill -PIPE $$", "exit 0", "exit 0" }, 0, NULL },
		{ { "exit 3", "exit 0", "kill -PIPE $$" }, -13, "stage 3: sh: killed by SIGPIPE" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const *scripts = cases[i].scripts;
		const brood_stage stages[] = { { .argv = SH(scripts[0]) },
					       { .argv = SH(scripts[1]) },
					       { .argv = SH(scripts[2]) } };

		ck_runs(stages, 3, (brood_run_opts){ .contain = CONTAINED });
		ck_assert_int_eq(brood_exit_code(&result.exit), cases[i].code);
		done();
		ck_assert_int_eq(
			run_all(stages, 3, (brood_pipeline_opts){ .run = { .check = true } }),
			cases[i].text == NULL ? 0 : -EREMOTEIO);
		if (cases[i].text != NULL)
			ck_fail("status", EREMOTEIO, cases[i].text);
		done();
	}
	ck_assert_int_eq(
		run_all(STAGES({ .argv = SH("echo why >&2; exit 1") },
			       { .argv = BROOD_ARGV("cat") }),
			(brood_pipeline_opts){ .run = { .check = true, .capture = true } }),
		-EREMOTEIO);
	ck_fail("status", EREMOTEIO, "stage 1: sh: exit status 1: why");
	done();
}
END_TEST

START_TEST(who_is_not_read_any_more_gets_sigpipe)
{
	signal(SIGPIPE, SIG_IGN); /* the host's affair */
	ck_runs(STAGES({ .argv = BROOD_ARGV("yes") }, { .argv = BROOD_ARGV("cat") },
		       { .argv = BROOD_ARGV("head", "-n", "1") }),
		(brood_run_opts){ .capture = true, .check = true, .contain = CONTAINED });
	ck_assert_str_eq(result.out, "y\n");
	ck_assert(brood_exit_ok(&result.exit));
	done();
	ck_assert_int_eq(
		run_all(STAGES({ .argv = BROOD_ARGV("yes") },
			       { .argv = BROOD_ARGV("head", "-n", "1") }),
			(brood_pipeline_opts){
				.run = { .capture = true, .check = true, .contain = CONTAINED },
				.sigpipe_fails = true }),
		-EREMOTEIO);
	ck_fail("status", EREMOTEIO, "stage 1: yes: killed by SIGPIPE");
	ck_assert_int_eq(brood_exit_code(&result.exit), -SIGPIPE);
	ck_assert_str_eq(result.out, "y\n");
	done();
}
END_TEST

/* ---- what does not start */

static void ck_refused(const brood_stage *stages, size_t n, brood_run_opts run, const char *step,
		       int error, const char *text)
{
	brood_pipeline *untouched = (brood_pipeline *)&failure, *pipeline = untouched;

	ck_assert_msg(run_all(stages, n, (brood_pipeline_opts){ .run = run }) == -error,
		      "not refused: %s %s", step, text);
	ck_fail(step, error, text);
	ck_assert_int_eq(result.exit.kind, BROOD_RUNNING);
	ck_assert_str_eq(result.out, "");
	done();
	ck_assert_int_eq(
		brood_pipeline_start(stages, n, &(brood_pipeline_opts){ .run = run }, &pipeline),
		-error);
	ck_assert_ptr_eq(pipeline, untouched);
	ck_no_child();
}

START_TEST(when_a_stage_cannot_start_those_before_are_killed)
{
	static char bytes[100000];
	int64_t from = brood_now();
	brood_run_opts run = { .contain = CONTAINED };

	ck_refused(STAGES({ .argv = BROOD_ARGV("sleep", "300") },
			  { .argv = BROOD_ARGV("sleep", "300") },
			  { .argv = BROOD_ARGV("/nowhere/x") }),
		   run, "exec", ENOENT, "stage 3: /nowhere/x");
	run.capture = true;
	run.input = bytes;
	run.input_size = sizeof(bytes);
	run.timeout_ns = SOON;
	ck_refused(STAGES({ .argv = BROOD_ARGV(CHILD("stay"), "stubborn") },
			  { .argv = BROOD_ARGV("/nowhere/x") }),
		   run, "exec", ENOENT, "stage 2: /nowhere/x");
	ck_refused(STAGES({ .argv = BROOD_ARGV("/nowhere/x") }, { .argv = BROOD_ARGV("true") }),
		   run, "exec", ENOENT, "stage 1: /nowhere/x");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }, { .argv = NULL }), run, "argv", EINVAL,
		   "stage 2: no program given");
	ck_assert_int_lt(brood_now() - from, SOON);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
	static const brood_popen_opts popen;
	static const brood_spawn_opts nothing = { .in = { .kind = BROOD_STDIO_NULL } };
	static const brood_spawn_opts piped = { .err = { .kind = BROOD_STDIO_PIPE } };
	static const brood_spawn_opts wide = { .pipe_size = SIZE_MAX };
	brood_run_opts none = { .fail = &failure };
	int closed = fcntl(0, F_DUPFD_CLOEXEC, 3);
	const brood_pass pass = { .fd = closed };
	const brood_spawn_opts in = { .in = { .kind = BROOD_STDIO_FD, .fd = closed } },
			       out = { .out = { .kind = BROOD_STDIO_FD, .fd = closed } },
			       err = { .err = { .kind = BROOD_STDIO_FD, .fd = closed } },
			       passed = { .pass = &pass, .n_pass = 1 };
	char text[100];

	close(closed); /* the number that the next pipe gets */
	ck_refused(NULL, 1, none, "stages", EINVAL, "none");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }) - 1, none, "stages", EINVAL, "none");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }), (brood_run_opts){ .popen = &popen },
		   "stages", EINVAL, ".run.popen has no place here");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }), (brood_run_opts){ .input_size = 1 },
		   "input", EINVAL, "a size and no bytes");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true"), .spawn = &nothing }),
		   (brood_run_opts){ .input = "x", .input_size = 1 }, "input", EINVAL,
		   "the first stage's standard input is given elsewhere, too");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }), (brood_run_opts){ .cancel_fd = &closed },
		   "cancel", EBADF, NULL);
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }, { .argv = BROOD_ARGV("true"),
							    .spawn = &piped,
							    .err = { .kind = BROOD_SINK_LINES } }),
		   none, "sink", EINVAL, "stage 2: no .call");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true"), .err = { .kind = BROOD_SINK_TAIL } }), none,
		   "sink", EINVAL, "stage 1: descriptor 2 is no pipe");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") }),
		   (brood_run_opts){ .capture = true, .text = (brood_text)9 }, "sink", EINVAL,
		   "no such text 9");
	ck_refused(STAGES({ .argv = BROOD_ARGV("true"), .spawn = &wide },
			  { .argv = BROOD_ARGV("true") }),
		   none, "pipe", EINVAL, NULL);
	snprintf(text, sizeof(text), "stage 1: descriptor 0: %d is not open", closed);
	ck_refused(STAGES({ .argv = BROOD_ARGV("true"), .spawn = &in },
			  { .argv = BROOD_ARGV("true") }),
		   none, "stdio", EBADF, text);
	snprintf(text, sizeof(text), "stage 2: descriptor 1: %d is not open", closed);
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") },
			  { .argv = BROOD_ARGV("true"), .spawn = &out }),
		   none, "stdio", EBADF, text);
	snprintf(text, sizeof(text), "stage 2: descriptor 2: %d is not open", closed);
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") },
			  { .argv = BROOD_ARGV("true"), .spawn = &err }),
		   none, "stdio", EBADF, text);
	snprintf(text, sizeof(text), "stage 2: descriptor %d is not open", closed);
	ck_refused(STAGES({ .argv = BROOD_ARGV("true") },
			  { .argv = BROOD_ARGV("true"), .spawn = &passed }),
		   none, "pass", EBADF, text);
}
END_TEST

/* ---- being stopped */

START_TEST(a_time_out_stops_all_stages)
{
	int64_t from = brood_now();

	ck_assert_int_eq(
		run_all(STAGES({ .argv = SH("echo x; sleep 300 & sleep 300") },
			       { .argv = SH("cat & sleep 300") }, { .argv = BROOD_ARGV("cat") }),
			(brood_pipeline_opts){ .run = { .capture = true,
							.check = true,
							.contain = CONTAINED,
							.timeout_ns = BROOD_SEC / 2 } }),
		-ETIMEDOUT);
	ck_assert_int_lt(brood_now() - from, SOON);
	ck_fail("timeout", ETIMEDOUT, NULL);
	ck_assert(result.timed_out);
	done();
	ck_assert(bury_all()); /* they are dead, or this would wait in vain */
}
END_TEST

START_TEST(contained_nothing_escapes)
{
	ck_assert_int_eq(run_all(STAGES({ .argv = BROOD_ARGV(CHILD("leave"), "session", "double",
							     "then", "stay") },
					{ .argv = BROOD_ARGV(CHILD("leave"), "child", "double",
							     "then", "stay") }),
				 (brood_pipeline_opts){ .run = { .capture = true,
								 .contain = true,
								 .timeout_ns = BROOD_SEC / 2 } }),
			 -ETIMEDOUT);
	done();
	ck_no_child();
}
END_TEST

START_TEST(a_cancel_stops_all_stages)
{
	int cancel = eventfd(1, EFD_CLOEXEC);

	ck_assert_int_eq(run_all(STAGES({ .argv = BROOD_ARGV("sleep", "300") },
					{ .argv = BROOD_ARGV("sleep", "300") }),
				 (brood_pipeline_opts){ .run = { .cancel_fd = &cancel } }),
			 -ECANCELED);
	ck_fail("cancel", ECANCELED, NULL);
	ck_assert(result.cancelled);
	close(cancel);
	done();
	ck_no_child();
}
END_TEST

START_TEST(step_by_step)
{
	brood_pipeline *pipeline =
		start_all(STAGES({ .argv = BROOD_ARGV("cat") },
				 { .argv = SH("cat; echo end; exec sleep 300") }),
			  (brood_run_opts){ .capture = true, .input = "in\n", .input_size = 3 });
	brood_exit end = { .value = 99 };
	brood_output output;

	ck_assert_int_eq(brood_pipeline_status(pipeline, 1, &end), -EAGAIN);
	ck_assert_int_eq(brood_pipeline_status(pipeline, 2, &end), -EINVAL);
	ck_assert_int_eq(end.value, 99);
	ck_assert_ptr_null(brood_pipeline_child(pipeline, 2));
	ck_assert_int_gt(brood_child_pid(brood_pipeline_child(pipeline, 1)), 0);
	ck_assert_int_eq(brood_pipeline_communicate(pipeline, 1), -ETIMEDOUT);
	do {
		ck_assert_int_eq(brood_pipeline_communicate(pipeline, 20 * BROOD_MSEC), -ETIMEDOUT);
		ck_assert_int_eq(brood_pipeline_output(pipeline, 1, &output), 0);
	} while (output.size < 7);
	ck_assert_str_eq(output.data, "in\nend\n");
	ck_assert_int_eq(brood_pipeline_output(pipeline, 0, &output), -EBADF);
	ck_assert_int_eq(brood_pipeline_output(pipeline, 3, &output), -EBADF);
	ck_assert_int_eq(brood_pipeline_stop(pipeline, 10 * BROOD_SEC), 0);
	ck_assert_int_eq(brood_pipeline_status(pipeline, 0, &end), 0);
	ck_assert(brood_exit_ok(&end));
	ck_assert_int_eq(brood_pipeline_status(pipeline, 1, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGTERM);
	ck_assert_int_eq(brood_pipeline_communicate(pipeline, SOON), 0);
	brood_pipeline_free(pipeline);
	ck_assert(bury_all());
}
END_TEST

START_TEST(free_leaves_plain_stages_and_kills_contained_ones)
{
	brood_pipeline *pipeline = start_all(STAGES({ .argv = BROOD_ARGV("sleep", "300") },
						    { .argv = BROOD_ARGV("sleep", "300") }),
					     (brood_run_opts){ .contain = CONTAINED });
	pid_t pids[2] = { brood_child_pid(brood_pipeline_child(pipeline, 0)),
			  brood_child_pid(brood_pipeline_child(pipeline, 1)) };

	brood_pipeline_free(pipeline);
	for (int i = 0; i < 2 && !CONTAINED; i++) {
		ck_assert_int_eq(waitpid(pids[i], NULL, WNOHANG), 0);
		kill(pids[i], SIGKILL);
	}
	ck_assert(bury_all());
}
END_TEST

/* ---- descriptors */

static brood_pipeline *shared;

static void in_a_fork(void)
{
	brood_exit end;

	ck_assert_int_eq(brood_pipeline_communicate(shared, 1), -ECHILD);
	ck_assert_int_eq(brood_pipeline_stop(shared, 1), -ECHILD);
	ck_assert_int_eq(brood_pipeline_status(shared, 0, &end), -ECHILD);
	brood_pipeline_free(shared);
}

START_TEST(in_a_forked_child_it_is_dead)
{
	brood_output output;

	shared = start_all(STAGES({ .argv = BROOD_ARGV("cat") }, { .argv = BROOD_ARGV("cat") }),
			   (brood_run_opts){ .capture = true, .input = "x", .input_size = 1 });
	in_fork(in_a_fork);
	ck_assert_int_eq(brood_pipeline_communicate(shared, SOON), 0);
	ck_assert_int_eq(brood_pipeline_output(shared, 1, &output), 0);
	ck_assert_str_eq(output.data, "x");
	brood_pipeline_free(shared);
}
END_TEST

/* What a stage of this name found open. */
static const char *report_of_stage(const char *name)
{
	static char text[65536];
	int fd = open(scratch_path(name), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	n = read(fd, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	close(fd);
	return text;
}

#define REPORTERS                                                          \
	STAGES({ .argv = BROOD_ARGV(CHILD("report"), scratch_path("a")) }, \
	       { .argv = BROOD_ARGV(CHILD("report"), scratch_path("b")) }, \
	       { .argv = BROOD_ARGV(CHILD("report"), scratch_path("c")) })

/* Without what the host has closed itself, in all combinations. */
START_TEST(a_stage_has_three_descriptors_at_most)
{
	bool closed[3] = { _i & 1, _i & 2, _i & 4 };
	int r[2];

	for (int fd = 0; fd < 3; fd++)
		if (closed[fd])
			replace(fd, -1);
	r[0] = run_all(REPORTERS, (brood_pipeline_opts){ .run = { .check = true } });
	done();
	r[1] = run_all(
		STAGES({ .argv = SH("echo one >&2; echo x") }, { .argv = BROOD_ARGV("cat") }),
		(brood_pipeline_opts){ .run = { .capture = true, .echo = true } });
	for (int fd = 0; fd < 3; fd++)
		if (closed[fd])
			put_back(fd);
	ck_assert_int_eq(r[0], 0);
	ck_assert_int_eq(r[1], 0);
	ck_assert_str_eq(result.out, "x\n");
	ck_assert_str_eq(result.err, "one\n");
	done();
	ck_assert_int_eq(count_descriptors(report_of_stage("a")), 3 - closed[0] - closed[2]);
	ck_assert_int_eq(count_descriptors(report_of_stage("b")), 3 - closed[2]);
	ck_assert_int_eq(count_descriptors(report_of_stage("c")), 3 - closed[1] - closed[2]);
}
END_TEST

/* The number 1 that the host does not use is soon a pipe's, and no place for anybody's errors. */
START_TEST(no_pipe_is_taken_for_the_hosts_standard_output)
{
	static const brood_spawn_opts same = { .err = { .kind = BROOD_STDIO_STDOUT } };
	int r[2];

	replace(0, -1);
	replace(1, -1);
	r[0] = run_all(
		STAGES({ .argv = BROOD_ARGV("true") }, { .argv = BROOD_ARGV("true") },
		       { .argv = BROOD_ARGV(CHILD("report"), scratch_path("a")), .spawn = &same }),
		(brood_pipeline_opts){ .run = { .check = true } });
	r[1] = run_all(STAGES({ .argv = BROOD_ARGV(CHILD("report"), scratch_path("b")) },
			      { .argv = BROOD_ARGV("cat") }),
		       (brood_pipeline_opts){ .run = { .merge = true } });
	put_back(0);
	put_back(1);
	ck_assert_int_eq(r[0], 0);
	ck_assert_int_eq(r[1], 0);
	ck_assert_int_eq(count_descriptors(report_of_stage("a")), 1);
	ck_assert_int_eq(count_descriptors(report_of_stage("b")), 1);
}
END_TEST

static atomic_bool enough;

static void *run_pipelines(void *unused)
{
	while (!atomic_load(&enough))
		if (brood_pipeline_run(
			    STAGES({ .argv = BROOD_ARGV("true") }, { .argv = BROOD_ARGV("true") },
				   { .argv = BROOD_ARGV("true") }),
			    &(brood_pipeline_opts){ .run = { .capture = true } }, NULL) < 0)
			return &enough; /* a complaint */
	return unused;
}

/* What others start meanwhile, also those that inherit all they can, holds no end of a pipe. */
START_TEST(other_programs_get_no_end_of_a_pipe)
{
	const brood_spawn_opts keep = { .keep_fds = true };
	int wanted = count_descriptors(report_of(&keep, NULL));
	void *complaint;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, run_pipelines, NULL), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(count_descriptors(report_of(&keep, NULL)), wanted);
	atomic_store(&enough, true);
	pthread_join(thread, &complaint);
	ck_assert_ptr_null(complaint);
}
END_TEST

/* ---- the log */

START_TEST(the_log_reads_as_a_shell_would_have_it)
{
	char wanted[300];

	ck_runs(STAGES({ .argv = BROOD_ARGV("printf", "a b|\\n") },
		       { .argv = BROOD_ARGV("cat", "-") }),
		(brood_run_opts){ .capture = true, LOGGED });
	ck_assert_ptr_nonnull(strrchr(logged, ','));
	*strrchr(logged, ',') = '\0';
	snprintf(wanted, sizeof(wanted),
		 "%d: printf 'a b|\\n' | cat -\n%d: printf 'a b|\\n' | cat -: exit status 0",
		 (int)result.pid, (int)result.pid);
	ck_assert_str_eq(logged, wanted);
	done();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/pipeline");
	TCase *flow = leak_case(suite, "flow", 60);
	TCase *status = leak_case(suite, "status", 60);
	TCase *start = leak_case(suite, "start", 60);
	TCase *stopping = leak_case(suite, "stopping", 60);
	TCase *descriptors = leak_case(suite, "descriptors", 60);
	TCase *log = leak_case(suite, "log", 60);

	tcase_add_test(flow, one_program_feeds_the_next);
	tcase_add_test(flow, options_and_result_may_be_left_out);
	tcase_add_test(flow, much_input_flows_through);
	tcase_add_test(flow, fifty_stages);
	tcase_add_test(flow, the_standard_errors_come_together_or_apart);
	tcase_add_test(flow, merged_errors_go_where_the_output_goes);
	tcase_add_test(flow, a_stage_has_its_own_options_and_the_runs);
	tcase_add_test(flow, a_pipe_at_the_end_is_drained);
	tcase_add_test(flow, the_sums_are_of_all_stages);
	add_for_both(status, the_status_is_that_of_the_last_bad_stage);
	add_for_both(status, who_is_not_read_any_more_gets_sigpipe);
	add_for_both(start, when_a_stage_cannot_start_those_before_are_killed);
	tcase_add_test(start, what_makes_no_sense_is_refused);
	add_for_both(stopping, a_time_out_stops_all_stages);
	tcase_add_test(stopping, contained_nothing_escapes);
	tcase_add_test(stopping, a_cancel_stops_all_stages);
	tcase_add_test(stopping, step_by_step);
	add_for_both(stopping, free_leaves_plain_stages_and_kills_contained_ones);
	tcase_add_test(descriptors, in_a_forked_child_it_is_dead);
	tcase_add_loop_test(descriptors, a_stage_has_three_descriptors_at_most, 0, 8);
	tcase_add_test(descriptors, no_pipe_is_taken_for_the_hosts_standard_output);
	tcase_add_test(descriptors, other_programs_get_no_end_of_a_pipe);
	tcase_add_test(log, the_log_reads_as_a_shell_would_have_it);
	return leak_run(suite);
}
