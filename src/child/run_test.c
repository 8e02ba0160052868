/* brood_run(): what comes back from a program that ended, in whatever way, and that nothing stays. */
#include <brood/run.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

#define SH(script) BROOD_ARGV("sh", "-c", script)
#define MUCH ((size_t)8 << 20)

/* Far beyond what a busy machine needs, far below what the programs would take. */
#define SOON (20 * BROOD_SEC)

static brood_run_result result;
static brood_fail failure;

/* Runs it into the two above; what it returns. */
static int run_it(const char *const argv[], brood_run_opts opts)
{
	failure = (brood_fail){ .step = NULL };
	opts.fail = &failure;
	return brood_run(argv, &opts, &result);
}

static void ck_fail(const char *step, int error, const char *text)
{
	ck_assert_ptr_nonnull(failure.step);
	ck_assert_str_eq(failure.step, step);
	ck_assert_int_eq(failure.error, error);
	if (text != NULL)
		ck_assert_str_eq(failure.text, text);
}

static void ck_runs(const char *const argv[], brood_run_opts opts)
{
	int r = run_it(argv, opts);
	char text[400];

	brood_fail_format(&failure, text, sizeof(text));
	ck_assert_msg(r == 0, "%s: %d, %s", argv[0], r, text);
	ck_assert_ptr_null(failure.step);
}

static void done(void)
{
	brood_run_result_fini(&result);
	ck_assert_ptr_null(result.out);
	ck_assert_ptr_null(result.owner);
	brood_run_result_fini(&result);
}

static const char *all_of(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

static char *much(void)
{
	char *bytes = malloc(MUCH);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < MUCH; i++)
		bytes[i] = (char)(i * 2654435761U >> 13);
	return bytes;
}

/* ---- streams */

START_TEST(both_streams_are_captured)
{
	ck_runs(SH("echo out; echo err >&2"), (brood_run_opts){ .capture = true });
	ck_assert_str_eq(result.out, "out\n");
	ck_assert_uint_eq(result.out_size, 4);
	ck_assert_uint_eq(result.out_total, 4);
	ck_assert_str_eq(result.err, "err\n");
	ck_assert_uint_eq(result.err_size, 4);
	ck_assert_uint_eq(result.err_total, 4);
	ck_assert(!result.truncated && !result.timed_out && !result.cancelled);
	ck_assert_int_eq(result.sink_error, 0);
	ck_assert(brood_exit_ok(&result.exit));
	ck_assert_int_gt(result.pid, 0);
	ck_assert_int_ge(result.wall_ns, result.exit.ended_ns - result.exit.started_ns);
	done();
}
END_TEST

START_TEST(what_is_not_captured_is_empty_and_not_null)
{
	ck_runs(BROOD_ARGV("true"), (brood_run_opts){ .check = true });
	ck_assert_str_eq(result.out, "");
	ck_assert_str_eq(result.err, "");
	ck_assert_uint_eq(result.out_size + result.err_size, 0);
	done();
	ck_runs(BROOD_ARGV("true"), (brood_run_opts){ .capture = true });
	ck_assert_str_eq(result.out, "");
	ck_assert_str_eq(result.err, "");
	done();
}
END_TEST

START_TEST(options_and_result_may_be_left_out)
{
	ck_assert_int_eq(brood_run(BROOD_ARGV("true"), NULL, NULL), 0);
	ck_assert_int_eq(brood_run(SH("echo x"), &(brood_run_opts){ .capture = true }, NULL), 0);
	ck_assert_int_eq(brood_run(BROOD_ARGV("false"), &(brood_run_opts){ .check = true }, NULL),
			 -EREMOTEIO);
	brood_run_result_fini(NULL);
}
END_TEST

START_TEST(much_goes_both_ways_at_once)
{
	char *bytes = much();

	ck_runs(BROOD_ARGV("cat"),
		(brood_run_opts){ .capture = true, .input = bytes, .input_size = MUCH });
	ck_assert_uint_eq(result.out_size, MUCH);
	ck_assert_int_eq(memcmp(result.out, bytes, MUCH), 0);
	ck_assert_int_eq(result.out[MUCH], '\0');
	free(bytes);
	done();
}
END_TEST

START_TEST(an_empty_input_is_an_end_at_once)
{
	ck_runs(SH("cat; echo end"), (brood_run_opts){ .capture = true, .input = "" });
	ck_assert_str_eq(result.out, "end\n");
	done();
}
END_TEST

START_TEST(input_that_nobody_reads_is_no_error)
{
	char *bytes = much();

	ck_runs(BROOD_ARGV("true"),
		(brood_run_opts){ .input = bytes, .input_size = MUCH, .check = true });
	ck_runs(SH("exec <&-; echo still here"),
		(brood_run_opts){ .input = bytes, .input_size = MUCH, .capture = true });
	ck_assert_str_eq(result.out, "still here\n");
	free(bytes);
	done();
}
END_TEST

START_TEST(input_has_one_source)
{
	static const brood_popen_opts nothing = { .spawn = { .in = { .kind = BROOD_STDIO_NULL } } };
	static const brood_popen_opts piped = { .spawn = { .in = { .kind = BROOD_STDIO_PIPE } } };

	ck_assert_int_eq(
		run_it(BROOD_ARGV("cat"),
		       (brood_run_opts){ .input = "x", .input_size = 1, .popen = &nothing }),
		-EINVAL);
	ck_fail("input", EINVAL, "the standard input is given elsewhere, too");
	ck_assert_int_eq(result.exit.kind, BROOD_RUNNING);
	ck_assert_int_eq(run_it(BROOD_ARGV("cat"), (brood_run_opts){ .input_size = 1 }), -EINVAL);
	ck_fail("input", EINVAL, "a size and no bytes");
	ck_runs(BROOD_ARGV("cat"),
		(brood_run_opts){
			.capture = true, .input = "x", .input_size = 1, .popen = &piped });
	ck_assert_str_eq(result.out, "x");
	done();
	/* A pipe that nothing is given for is closed. */
	ck_runs(BROOD_ARGV("cat"), (brood_run_opts){ .popen = &piped });
	done();
}
END_TEST

START_TEST(merged_streams_are_one_in_order)
{
	ck_runs(SH("echo a; echo b >&2; echo c"),
		(brood_run_opts){ .capture = true, .merge = true });
	ck_assert_str_eq(result.out, "a\nb\nc\n");
	ck_assert_str_eq(result.err, "");
	done();
}
END_TEST

START_TEST(merge_without_capture_goes_where_the_output_goes)
{
	int fd = open_file("both", "");
	brood_popen_opts to_file = { .spawn = { .out = { .kind = BROOD_STDIO_FD, .fd = fd } },
				     .err = { .kind = BROOD_SINK_TAIL } };

	ck_runs(SH("echo a; echo b >&2; echo c"),
		(brood_run_opts){ .merge = true, .popen = &to_file });
	ck_assert_str_eq(all_of(fd), "a\nb\nc\n");
	close(fd);
	done();
}
END_TEST

/* Descriptors 1 and 2 of the test are put aside and back. */
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
	dup2(aside[fd], fd);
	close(aside[fd]);
}

START_TEST(echo_shows_what_is_captured)
{
	int out = open_file("out", ""), err = open_file("err", "");

	replace(1, out);
	replace(2, err);
	run_it(SH("echo out; echo err >&2"), (brood_run_opts){ .capture = true, .echo = true });
	put_back(1);
	put_back(2);
	ck_assert_str_eq(result.out, "out\n");
	ck_assert_str_eq(result.err, "err\n");
	ck_assert_str_eq(all_of(out), "out\n");
	ck_assert_str_eq(all_of(err), "err\n");
	close(out);
	close(err);
	done();
}
END_TEST

START_TEST(echo_without_our_own_streams_is_a_capture)
{
	int r;

	replace(1, -1);
	replace(2, -1);
	r = run_it(SH("echo out; echo err >&2"),
		   (brood_run_opts){ .capture = true, .echo = true, .check = true });
	put_back(1);
	put_back(2);
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(result.out, "out\n");
	ck_assert_str_eq(result.err, "err\n");
	done();
}
END_TEST

START_TEST(a_limit_keeps_the_first_or_the_last_bytes)
{
	ck_runs(SH("printf 123456789; printf abc >&2"),
		(brood_run_opts){ .capture = true, .limit = 4 });
	ck_assert_str_eq(result.out, "1234");
	ck_assert_uint_eq(result.out_size, 4);
	ck_assert_uint_eq(result.out_total, 9);
	ck_assert_str_eq(result.err, "abc");
	ck_assert(result.truncated);
	done();
	ck_runs(SH("printf 123456789; printf abc >&2"),
		(brood_run_opts){ .capture = true, .limit = 4, .tail = true });
	ck_assert_str_eq(result.out, "6789");
	ck_assert_uint_eq(result.out_total, 9);
	ck_assert(result.truncated);
	done();
	ck_runs(SH("printf 1234"), (brood_run_opts){ .capture = true, .limit = 4, .tail = true });
	ck_assert_str_eq(result.out, "1234");
	ck_assert(!result.truncated);
	done();
	ck_runs(SH("printf 1234"), (brood_run_opts){ .capture = true, .limit = 4 });
	ck_assert_str_eq(result.out, "1234");
	ck_assert(!result.truncated);
	done();
}
END_TEST

START_TEST(text_is_made_of_bytes)
{
	const char *const argv[] = { "printf", "a\\r\\nb\\rc\\377d\\n", NULL };

	ck_runs(argv, (brood_run_opts){ .capture = true });
	ck_assert_str_eq(result.out, "a\r\nb\rc\377d\n");
	ck_assert_int_eq(result.sink_error, 0);
	done();
	ck_runs(argv,
		(brood_run_opts){ .capture = true, .text = BROOD_TEXT_REPLACE, .check = true });
	ck_assert_str_eq(result.out, "a\nb\nc\xEF\xBF\xBD"
				     "d\n");
	ck_assert_int_eq(result.sink_error, -EILSEQ);
	done();
	ck_runs(argv, (brood_run_opts){ .capture = true, .text = BROOD_TEXT_STRICT });
	ck_assert_str_eq(result.out, "a\nb\nc\377d\n");
	ck_assert_int_eq(result.sink_error, -EILSEQ);
	done();
	ck_assert_int_eq(run_it(argv, (brood_run_opts){ .capture = true,
							.text = BROOD_TEXT_STRICT,
							.check = true }),
			 -EREMOTEIO);
	ck_fail("status", EREMOTEIO, "printf: its output is not UTF-8");
	ck_assert_uint_eq(result.out_size, 8);
	done();
}
END_TEST

/* ---- bad ends */

START_TEST(a_bad_end_is_no_failure_unless_asked_for)
{
	ck_runs(SH("echo half; exit 7"), (brood_run_opts){ .capture = true });
	ck_assert_int_eq(brood_exit_code(&result.exit), 7);
	done();
	ck_assert_int_eq(run_it(SH("echo half; echo first >&2; echo 'no  such' >&2; exit 7"),
				(brood_run_opts){ .capture = true, .check = true }),
			 -EREMOTEIO);
	ck_fail("status", EREMOTEIO, "sh: exit status 7: no  such");
	ck_assert_int_eq(brood_exit_code(&result.exit), 7);
	ck_assert_str_eq(result.out, "half\n");
	ck_assert_str_eq(result.err, "first\nno  such\n");
	done();
}
END_TEST

static const char *bad_end(const char *const argv[], brood_run_opts opts)
{
	opts.check = true;
	ck_assert_int_eq(run_it(argv, opts), -EREMOTEIO);
	ck_fail("status", EREMOTEIO, NULL);
	done();
	return failure.text;
}

START_TEST(a_bad_end_is_told_in_words)
{
	char name[300] = "", wanted[400];

	ck_assert_str_eq(bad_end(BROOD_ARGV("false"), (brood_run_opts){ .limit = 0 }),
			 "false: exit status 1");
	ck_assert_str_eq(bad_end(SH("kill -9 $$"), (brood_run_opts){ .capture = true }),
			 "sh: killed by SIGKILL");
	ck_assert_str_eq(bad_end(SH("echo out; echo both >&2; exit 2"),
				 (brood_run_opts){ .capture = true, .merge = true }),
			 "sh: exit status 2: both");
	ck_assert_str_eq(
		bad_end(SH("echo both >&2; exit 2"),
			(brood_run_opts){
				.merge = true,
				.popen =
					&(brood_popen_opts){
						.spawn.out = { .kind = BROOD_STDIO_NULL } } }),
		"sh: exit status 2");
	ck_assert_str_eq(bad_end(BROOD_ARGV("exit 3"), (brood_run_opts){ .shell = true }),
			 "exit 3: exit status 3");
	/* Nothing that a terminal would obey, whole characters, and no end of it lost. */
	ck_assert_str_eq(
		bad_end(SH("printf '\\033[2J\\302\\233x\\177\\351\\tz\\r\\n\\n \\n' >&2; exit 1"),
			(brood_run_opts){ .capture = true }),
		"sh: exit status 1: ?[2J??x?\xEF\xBF\xBD?z");
	memset(name, 'n', 79);
	strcat(name, "\xC3\xA9 and so on");
	snprintf(wanted, sizeof(wanted), "%.79s...: exit status 1", name);
	ck_assert_str_eq(
		bad_end((const char *const[]){ name, NULL },
			(brood_run_opts){
				.popen =
					&(brood_popen_opts){
						.spawn = { .executable = "/bin/false" } } }),
		wanted);
	ck_assert_str_eq(bad_end(SH("head -c 150 /dev/zero | tr '\\0' e >&2; exit 1"),
				 (brood_run_opts){ .capture = true }) +
				 strlen("sh: exit status 1: ") + 100,
			 "...");
}
END_TEST

START_TEST(ends_have_words)
{
	static const struct {
		brood_exit end;
		const char *words;
	} cases[] = {
		{ { .kind = BROOD_EXITED, .value = 2 }, "exit status 2" },
		{ { .kind = BROOD_EXITED }, "exit status 0" },
		{ { .kind = BROOD_SIGNALLED, .value = SIGKILL }, "killed by SIGKILL" },
		{ { .kind = BROOD_SIGNALLED, .value = SIGSEGV, .core = true },
		  "killed by SIGSEGV (core dumped)" },
		{ { .kind = BROOD_SIGNALLED, .value = SIGXFSZ }, "killed by SIGXFSZ" },
		{ { .kind = BROOD_SIGNALLED, .value = 63 }, "killed by signal 63" },
		{ { .kind = BROOD_SIGNALLED, .value = 63, .core = true },
		  "killed by signal 63 (core dumped)" },
		{ { .kind = BROOD_LOST }, "ended, and its status was taken by another" },
		{ { .kind = BROOD_RUNNING }, "running" },
	};
	char words[80];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(brood_exit_format(&cases[i].end, words, sizeof(words)),
				 (int)strlen(cases[i].words));
		ck_assert_str_eq(words, cases[i].words);
		ck_assert_int_eq(brood_exit_format(&cases[i].end, NULL, 0),
				 (int)strlen(cases[i].words));
	}
	ck_assert_int_eq(brood_exit_format(&cases[0].end, words, 5), 13);
	ck_assert_str_eq(words, "exit");
}
END_TEST

START_TEST(a_realtime_signal_has_its_number)
{
	ck_assert_str_eq(bad_end(BROOD_ARGV(CHILD("end"), "signal", "40"),
				 (brood_run_opts){ .capture = true }) +
				 strlen(failure.text) - strlen(": killed by signal 40"),
			 ": killed by signal 40");
}
END_TEST

START_TEST(a_status_that_was_taken_is_never_guessed)
{
	signal(SIGCHLD, SIG_IGN);
	ck_runs(SH("echo x"), (brood_run_opts){ .capture = true });
	ck_assert_int_eq(result.exit.kind, BROOD_LOST);
	ck_assert_str_eq(result.out, "x\n");
	done();
	ck_assert_str_eq(bad_end(BROOD_ARGV("true"), (brood_run_opts){ .capture = true }),
			 "true: ended, and its status was taken by another");
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

static void ck_not_started(const char *const argv[], brood_run_opts opts, const char *step,
			   int error, const char *text)
{
	ck_assert_int_eq(run_it(argv, opts), -error);
	ck_fail(step, error, text);
	ck_assert_int_eq(result.exit.kind, BROOD_RUNNING);
	ck_assert_int_eq(result.pid, 0);
	ck_assert_str_eq(result.out, "");
	ck_assert_str_eq(result.err, "");
	done();
}

START_TEST(what_cannot_be_started_says_why)
{
	static char huge[200 << 10];
	brood_run_opts opts = { .capture = true, .check = true, .contain = CONTAINED };
	int closed = fcntl(0, F_DUPFD_CLOEXEC, 100);

	close(closed);
	memset(huge, 'x', sizeof(huge) - 1);
	close(open_file("plain", "#!/bin/sh\n"));
	ck_not_started(BROOD_ARGV("/nowhere/df"), opts, "exec", ENOENT, "/nowhere/df");
	ck_not_started(BROOD_ARGV("no-such-program"), opts, "exec", ENOENT, "no-such-program");
	ck_not_started(BROOD_ARGV(scratch_path("plain")), opts, "exec", EACCES,
		       scratch_path("plain"));
	ck_not_started(BROOD_ARGV("echo", huge), opts, "exec", E2BIG, NULL);
	ck_not_started(BROOD_ARGV(NULL), opts, "argv", EINVAL, "no program given");
	ck_not_started(NULL, opts, "argv", EINVAL, "no program given");
	opts.cwd = "/nowhere";
	ck_not_started(BROOD_ARGV("true"), opts, "chdir", ENOENT, "/nowhere");
	opts.cwd = NULL;
	opts.cancel_fd = &closed;
	ck_not_started(BROOD_ARGV("true"), opts, "cancel", EBADF, NULL);
	opts.cancel_fd = NULL;
	opts.text = (brood_text)9;
	ck_not_started(BROOD_ARGV("true"), opts, "sink", EINVAL, "no such text 9");
}
END_TEST

START_TEST(the_failure_may_be_asked_for_below)
{
	brood_fail fail = { .step = NULL };
	brood_popen_opts popen = { .spawn = { .fail = &fail } };

	ck_assert_int_eq(
		brood_run(BROOD_ARGV("/nowhere"), &(brood_run_opts){ .popen = &popen }, NULL),
		-ENOENT);
	ck_assert_str_eq(fail.text, "/nowhere");
	ck_assert_int_eq(brood_run(BROOD_ARGV("false"),
				   &(brood_run_opts){ .popen = &popen, .check = true }, NULL),
			 -EREMOTEIO);
	ck_assert_str_eq(fail.text, "false: exit status 1");
}
END_TEST

/* ---- being stopped */

START_TEST(a_time_out_ends_all_that_holds_the_pipes)
{
	int64_t from = brood_now();

	ck_assert_int_eq(run_it(SH("echo early; sleep 300 & sleep 300"),
				(brood_run_opts){ .capture = true,
						  .check = true,
						  .contain = CONTAINED,
						  .timeout_ns = BROOD_SEC }),
			 -ETIMEDOUT);
	ck_assert_int_lt(brood_now() - from, SOON);
	ck_fail("timeout", ETIMEDOUT, "sh: not ended after 1 s");
	ck_assert(result.timed_out && !result.cancelled);
	ck_assert_str_eq(result.out, "early\n");
	ck_assert_int_eq(brood_exit_code(&result.exit), -SIGTERM);
	ck_assert_int_ge(result.wall_ns, BROOD_SEC);
	done();
	ck_assert(bury_all()); /* the other sleep, dead, is this subreaper's child */
}
END_TEST

START_TEST(contained_nothing_escapes_a_time_out)
{
	ck_assert_int_eq(
		run_it(BROOD_ARGV(CHILD("leave"), "child", "session", "double", "then", "stay"),
		       (brood_run_opts){
			       .capture = true, .contain = true, .timeout_ns = 300 * BROOD_MSEC }),
		-ETIMEDOUT);
	ck_assert(result.timed_out);
	done();
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* this process is a subreaper */
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(what_is_left_in_the_background_does_not_hold_the_call)
{
	int64_t from = brood_now();
	pid_t left;

	ck_runs(SH("sleep 300 & echo $!"),
		(brood_run_opts){ .capture = true, .contain = CONTAINED });
	ck_assert_int_lt(brood_now() - from, SOON);
	left = (pid_t)strtol(result.out, NULL, 10);
	ck_assert_int_gt(left, 1);
	if (CONTAINED) {
		ck_assert_int_eq(kill(left, 0), -1);
	} else {
		ck_assert_int_eq(kill(left, SIGKILL), 0);
		ck_assert_int_eq(waitpid(left, NULL, 0), left);
	}
	done();
}
END_TEST

/* Ends the run at the first line, which a program says once it is ready for signals. */
static int enough(void *data, const char *bytes, size_t size)
{
	int *calls = data;

	ck_assert_uint_eq(size, 6);
	ck_assert_int_eq(memcmp(bytes, "ready\n", 6), 0);
	++*calls;
	return -EDOM;
}

static brood_exit stopped_when_ready(const char *const argv[], bool contain, int64_t grace_ns)
{
	int calls = 0;
	brood_popen_opts popen = {
		.spawn = { .out = { .kind = BROOD_STDIO_PIPE },
			   .err = { .kind = BROOD_STDIO_PIPE } },
		.out = { .kind = BROOD_SINK_LINES, .call = enough, .data = &calls }
	};

	ck_assert_int_eq(run_it(argv, (brood_run_opts){ .popen = &popen,
							.contain = contain,
							.check = true,
							.grace_ns = grace_ns }),
			 -EDOM);
	ck_fail("communicate", EDOM, argv[0]);
	ck_assert_int_eq(calls, 1);
	ck_assert(!result.timed_out && !result.cancelled);
	return result.exit;
}

START_TEST(the_ladder_is_climbed_as_far_as_it_takes)
{
	int64_t from = brood_now();
	brood_exit end;

	end = stopped_when_ready(BROOD_ARGV(CHILD("stay")), CONTAINED, 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGTERM);
	done();
	end = stopped_when_ready(BROOD_ARGV(CHILD("stay"), "stubborn"), CONTAINED,
				 100 * BROOD_MSEC);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	ck_assert_int_ge(result.wall_ns, 100 * BROOD_MSEC);
	done();
	end = stopped_when_ready(BROOD_ARGV(CHILD("stay")), CONTAINED, -1);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	done();
	/* The default grace is two seconds. */
	end = stopped_when_ready(BROOD_ARGV(CHILD("stay"), "stubborn"), CONTAINED, 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	ck_assert_int_ge(result.wall_ns, 2 * BROOD_SEC);
	done();
	ck_assert_int_lt(brood_now() - from, SOON);
}
END_TEST

START_TEST(last_words_are_heard)
{
	brood_exit end = stopped_when_ready(
		SH("trap 'printf %0300000d 0 >&2; echo bye >&2; exit 3' TERM; echo ready;"
		   "while :; do sleep 0.05; done"),
		CONTAINED, 15 * BROOD_SEC);

	ck_assert_uint_ge(result.err_size, 300000 + 4);
	/* A shell may have told of the end of a sleep before. */
	ck_assert_str_eq(result.err + result.err_size - 5, "0bye\n");
	ck_assert_int_eq(brood_exit_code(&end), 3);
	done();
}
END_TEST

START_TEST(a_cancel_that_was_there_before_stops_at_once)
{
	int cancel = eventfd(1, EFD_CLOEXEC);
	int64_t from = brood_now();

	ck_assert_int_eq(run_it(BROOD_ARGV("sleep", "300"),
				(brood_run_opts){ .cancel_fd = &cancel, .contain = CONTAINED }),
			 -ECANCELED);
	ck_assert_int_lt(brood_now() - from, SOON);
	ck_fail("cancel", ECANCELED, "sleep");
	ck_assert(result.cancelled && !result.timed_out);
	ck_assert_int_eq(brood_exit_code(&result.exit), -SIGTERM);
	done();
	/* It is never read; and may be given below, too. */
	ck_assert_int_eq(
		run_it(BROOD_ARGV("sleep", "300"),
		       (brood_run_opts){ .popen = &(brood_popen_opts){ .cancel_fd = &cancel } }),
		-ECANCELED);
	done();
	close(cancel);
}
END_TEST

static void *write_later(void *data)
{
	nap_ms(50);
	ck_assert_int_eq(eventfd_write(*(int *)data, 1), 0);
	return NULL;
}

START_TEST(another_thread_cancels)
{
	int cancel = eventfd(0, EFD_CLOEXEC);
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, write_later, &cancel), 0);
	ck_assert_int_eq(run_it(SH("echo x; sleep 300 & sleep 300"),
				(brood_run_opts){ .cancel_fd = &cancel, .capture = true }),
			 -ECANCELED);
	pthread_join(thread, NULL);
	close(cancel);
	done();
	ck_assert(bury_all());
}
END_TEST

static int to_cancel;

static void on_alarm(int signum)
{
	(void)signum;
	if (write(to_cancel, "x", 1) < 0)
		abort();
}

START_TEST(a_signal_handler_cancels)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	to_cancel = ends[1];
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { .tv_usec = 50000 } }, NULL);
	ck_assert_int_eq(run_it(BROOD_ARGV("sleep", "300"),
				(brood_run_opts){ .cancel_fd = &ends[0], .capture = true }),
			 -ECANCELED);
	signal(SIGALRM, SIG_DFL);
	close(ends[0]);
	close(ends[1]);
	done();
}
END_TEST

static void ignore(int signum)
{
	(void)signum;
}

START_TEST(signals_of_the_host_do_not_disturb)
{
	struct sigaction action = { .sa_handler = ignore };
	struct timeval often = { .tv_usec = 2000 };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ often, often }, NULL);
	ck_runs(SH("sleep 0.2; echo x"), (brood_run_opts){ .capture = true, .check = true });
	ck_assert_str_eq(result.out, "x\n");
	done();
	ck_assert_int_eq(run_it(BROOD_ARGV("sleep", "300"),
				(brood_run_opts){ .timeout_ns = 100 * BROOD_MSEC }),
			 -ETIMEDOUT);
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { 0 } }, NULL);
	signal(SIGALRM, SIG_DFL);
	done();
}
END_TEST

static long group_of_a_run(brood_run_opts opts)
{
	long group;

	opts.capture = true;
	ck_runs(SH("read a b c d e rest </proc/self/stat; echo $e"), opts);
	group = strtol(result.out, NULL, 10);
	done();
	return group;
}

START_TEST(who_may_be_stopped_has_a_group_of_its_own)
{
	int cancel = eventfd(0, EFD_CLOEXEC);

	ck_assert_int_eq(group_of_a_run((brood_run_opts){ .input = "" }), getpgrp());
	ck_assert_int_ne(group_of_a_run((brood_run_opts){ .input = "", .timeout_ns = SOON }),
			 getpgrp());
	ck_assert_int_ne(group_of_a_run((brood_run_opts){ .input = "", .cancel_fd = &cancel }),
			 getpgrp());
	ck_assert_int_eq(group_of_a_run((brood_run_opts){
				 .input = "", .timeout_ns = SOON, .contain = true }),
			 getpgrp());
	close(cancel);
}
END_TEST

START_TEST(who_reads_our_terminal_stays_in_our_group)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), other;
	brood_popen_opts popen;

	ck_assert_int_ge(terminal, 0);
	ck_assert_int_eq(grantpt(terminal) + unlockpt(terminal), 0);
	other = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(other, 0);
	popen = (brood_popen_opts){ .spawn = { .in = { .kind = BROOD_STDIO_FD, .fd = other } } };
	ck_assert_int_eq(group_of_a_run((brood_run_opts){ .timeout_ns = SOON, .popen = &popen }),
			 getpgrp());
	replace(0, other);
	ck_assert_int_eq(group_of_a_run((brood_run_opts){ .timeout_ns = SOON }), getpgrp());
	put_back(0);
	close(other);
	close(terminal);
}
END_TEST

/* ---- the program's side */

START_TEST(environment_and_folder_are_the_options)
{
	ck_runs(SH("echo $FOO-$BAR-${HOME-none}; pwd"),
		(brood_run_opts){ .capture = true,
				  .env = BROOD_ARGV("FOO=1", "BAR=2", "PATH=/bin:/usr/bin"),
				  .env_edits = BROOD_ARGV("BAR=3"),
				  .cwd = "/usr" });
	ck_assert_str_eq(result.out, "1-3-none\n/usr\n");
	done();
	setenv("RUN_TEST", "ours", 1);
	ck_runs(SH("echo ${RUN_TEST-none}"),
		(brood_run_opts){ .capture = true, .env_edits = BROOD_ARGV("RUN_TEST") });
	ck_assert_str_eq(result.out, "none\n");
	done();
}
END_TEST

START_TEST(a_shell_reads_only_when_asked)
{
	ck_runs(BROOD_ARGV("echo", "$HOME; exit 1"), (brood_run_opts){ .capture = true });
	ck_assert_str_eq(result.out, "$HOME; exit 1\n");
	done();
	ck_runs(BROOD_ARGV("echo \"$1\" | tr a-z A-Z", "name", "it's; exit 1"),
		(brood_run_opts){ .capture = true, .shell = true });
	ck_assert_str_eq(result.out, "IT'S; EXIT 1\n");
	done();
}
END_TEST

static int join_lines(void *data, const char *bytes, size_t size)
{
	char *text = data;

	ck_assert_uint_gt(size, 0);
	strcat(text, "<");
	strncat(text, bytes, size);
	strcat(text, ">");
	return 0;
}

START_TEST(all_of_popen_can_be_given_and_what_is_set_above_wins)
{
	char text[100] = "";
	brood_popen_opts popen = {
		.spawn = { .out = { .kind = BROOD_STDIO_PIPE }, .cwd = "/", .shell = true },
		.out = { .kind = BROOD_SINK_LINES, .call = join_lines, .data = text },
	};

	ck_runs(BROOD_ARGV("pwd; printf x"), (brood_run_opts){ .popen = &popen, .cwd = "/usr" });
	ck_assert_str_eq(text, "</usr\n><x>");
	ck_assert_str_eq(result.out, "");
	ck_assert_uint_eq(result.out_total, 6);
	done();
	ck_runs(BROOD_ARGV("pwd"), (brood_run_opts){ .popen = &popen, .capture = true });
	ck_assert_str_eq(result.out, "/\n");
	ck_assert_str_eq(text, "</usr\n><x>");
	done();
}
END_TEST

START_TEST(output_that_cannot_be_delivered_is_told)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	brood_popen_opts popen = { .spawn = { .out = { .kind = BROOD_STDIO_PIPE } },
				   .out = { .kind = BROOD_SINK_FD, .fd = full } };

	ck_runs(BROOD_ARGV("echo", "x"), (brood_run_opts){ .popen = &popen });
	ck_assert_int_eq(result.sink_error, -ENOSPC);
	done();
	ck_assert_int_eq(
		run_it(BROOD_ARGV("echo", "x"), (brood_run_opts){ .popen = &popen, .check = true }),
		-EREMOTEIO);
	ck_fail("status", EREMOTEIO,
		"echo: its output could not be delivered: No space left on device");
	close(full);
	done();
}
END_TEST

/* ---- the log */

static void ck_logged(const char *command, const char *end)
{
	char wanted[1024];
	char *milliseconds = strrchr(logged, ',');

	ck_assert_ptr_nonnull(milliseconds);
	ck_assert_int_ge(strtol(milliseconds + 1, NULL, 10), 0);
	ck_assert_str_eq(milliseconds + 1 + strspn(milliseconds + 1, " 0123456789"), "ms\n");
	*milliseconds = '\0';
	snprintf(wanted, sizeof(wanted), "%d: %s\n%d: %s: %s", (int)result.pid, command,
		 (int)result.pid, command, end);
	ck_assert_str_eq(logged, wanted);
	logged[0] = '\0';
	done();
}

START_TEST(the_log_tells_what_ran_and_how_it_ended)
{
	char words[300] = "", wanted[400];

	ck_runs(BROOD_ARGV("sh", "-c", "exit 1"),
		(brood_run_opts){ LOGGED, .input = "secret", .input_size = 6,
				  .env_edits = BROOD_ARGV("TOKEN=secret") });
	ck_logged("sh -c 'exit 1'", "exit status 1");
	run_it(BROOD_ARGV("sleep", "300"), (brood_run_opts){ LOGGED, .timeout_ns = 1 });
	ck_logged("sleep 300", "killed by SIGTERM");
	ck_runs(BROOD_ARGV("true", "a\nb\033[2J\xC2\x9B\x7F\xFF"), (brood_run_opts){ LOGGED });
	ck_logged("true 'a?b?[2J???\xEF\xBF\xBD'", "exit status 0");
	memset(words, 'w', sizeof(words) - 1);
	ck_runs(BROOD_ARGV("true", words), (brood_run_opts){ LOGGED });
	snprintf(wanted, sizeof(wanted), "true %.195s...", words);
	ck_logged(wanted, "exit status 0");
}
END_TEST

START_TEST(what_does_not_start_is_not_logged)
{
	run_it(BROOD_ARGV("/nowhere"), (brood_run_opts){ LOGGED });
	ck_assert_str_eq(logged, "");
}
END_TEST

/* ---- getstatusoutput */

START_TEST(getstatusoutput_is_pythons)
{
	static const struct {
		const char *command, *text;
		int code;
	} cases[] = {
		{ "echo a; echo b >&2", "a\nb", 0 },
		{ "printf 'x\\n\\n'; exit 3", "x\n", 3 },
		{ "printf x", "x", 0 },
		{ "true", "", 0 },
		{ "echo", "", 0 },
		{ "kill -9 $$", "", -9 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = NULL;
		int code = 99;

		ck_assert_int_eq(brood_getstatusoutput(cases[i].command, &code, &text), 0);
		ck_assert_str_eq(text, cases[i].text);
		ck_assert_int_eq(code, cases[i].code);
		free(text);
		ck_assert_int_eq(brood_getstatusoutput(cases[i].command, NULL, &text), 0);
		free(text);
	}
}
END_TEST

START_TEST(getstatusoutput_fails_and_touches_nothing)
{
	static char huge[200 << 10];
	char *text = logged;
	int code = 99;

	memset(huge, ' ', sizeof(huge) - 1);
	ck_assert_int_eq(brood_getstatusoutput(NULL, &code, &text), -EINVAL);
	ck_assert_int_eq(brood_getstatusoutput(huge, &code, &text), -E2BIG);
	ck_assert_ptr_eq(text, logged);
	ck_assert_int_eq(code, 99);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/run");
	TCase *streams = leak_case(suite, "streams", 60);
	TCase *ends = leak_case(suite, "ends", 60);
	TCase *stopping = leak_case(suite, "stopping", 60);
	TCase *theirs = leak_case(suite, "the program's side", 60);
	TCase *log = leak_case(suite, "log", 60);
	TCase *status = leak_case(suite, "getstatusoutput", 60);

	tcase_add_test(streams, both_streams_are_captured);
	tcase_add_test(streams, what_is_not_captured_is_empty_and_not_null);
	tcase_add_test(streams, options_and_result_may_be_left_out);
	tcase_add_test(streams, much_goes_both_ways_at_once);
	tcase_add_test(streams, an_empty_input_is_an_end_at_once);
	tcase_add_test(streams, input_that_nobody_reads_is_no_error);
	tcase_add_test(streams, input_has_one_source);
	tcase_add_test(streams, merged_streams_are_one_in_order);
	tcase_add_test(streams, merge_without_capture_goes_where_the_output_goes);
	tcase_add_test(streams, echo_shows_what_is_captured);
	tcase_add_test(streams, echo_without_our_own_streams_is_a_capture);
	tcase_add_test(streams, a_limit_keeps_the_first_or_the_last_bytes);
	tcase_add_test(streams, text_is_made_of_bytes);
	tcase_add_test(ends, a_bad_end_is_no_failure_unless_asked_for);
	tcase_add_test(ends, a_bad_end_is_told_in_words);
	tcase_add_test(ends, ends_have_words);
	tcase_add_test(ends, a_realtime_signal_has_its_number);
	tcase_add_test(ends, a_status_that_was_taken_is_never_guessed);
	add_for_both(ends, what_cannot_be_started_says_why);
	tcase_add_test(ends, the_failure_may_be_asked_for_below);
	add_for_both(stopping, a_time_out_ends_all_that_holds_the_pipes);
	tcase_add_test(stopping, contained_nothing_escapes_a_time_out);
	add_for_both(stopping, what_is_left_in_the_background_does_not_hold_the_call);
	add_for_both(stopping, the_ladder_is_climbed_as_far_as_it_takes);
	add_for_both(stopping, last_words_are_heard);
	add_for_both(stopping, a_cancel_that_was_there_before_stops_at_once);
	tcase_add_test(stopping, another_thread_cancels);
	tcase_add_test(stopping, a_signal_handler_cancels);
	tcase_add_test(stopping, signals_of_the_host_do_not_disturb);
	tcase_add_test(stopping, who_may_be_stopped_has_a_group_of_its_own);
	tcase_add_test(stopping, who_reads_our_terminal_stays_in_our_group);
	tcase_add_test(theirs, environment_and_folder_are_the_options);
	tcase_add_test(theirs, a_shell_reads_only_when_asked);
	tcase_add_test(theirs, all_of_popen_can_be_given_and_what_is_set_above_wins);
	tcase_add_test(theirs, output_that_cannot_be_delivered_is_told);
	tcase_add_test(log, the_log_tells_what_ran_and_how_it_ended);
	tcase_add_test(log, what_does_not_start_is_not_logged);
	tcase_add_test(status, getstatusoutput_is_pythons);
	tcase_add_test(status, getstatusoutput_fails_and_touches_nothing);
	return leak_run(suite);
}
