#include <brood/jobs.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/refuse.h"
#include "tests/unit/run.h"

#define PATIENCE (20 * BROOD_SEC)

static brood_jobs *dispatcher(size_t limit, size_t queue)
{
	brood_jobs *jobs = NULL;

	ck_assert_int_eq(
		brood_jobs_new(&(brood_jobs_opts){ .limit = limit, .queue = queue }, &jobs), 0);
	return jobs;
}

static uint64_t submit(brood_jobs *jobs, const char *script, const brood_run_opts *opts, void *data)
{
	uint64_t id = 0;

	ck_assert_int_eq(brood_jobs_submit(jobs, BROOD_ARGV("sh", "-c", script), opts, data, &id),
			 0);
	ck_assert_uint_ne(id, 0);
	return id;
}

static brood_job next(brood_jobs *jobs)
{
	brood_job job;

	ck_assert_int_eq(brood_jobs_next(jobs, PATIENCE, &job), 0);
	return job;
}

static void none_left(brood_jobs *jobs)
{
	brood_job job;

	ck_assert_int_eq(brood_jobs_next(jobs, 0, &job), -ENOENT);
	ck_assert_uint_eq(brood_jobs_running(jobs), 0);
	ck_assert_uint_eq(brood_jobs_waiting(jobs), 0);
	brood_jobs_free(jobs);
}

START_TEST(each_job_gives_one_record)
{
	enum { N = 40 };
	brood_jobs *jobs = dispatcher(3, N);
	bool seen[N + 1] = { false };

	for (int i = 0; i < N; i++) {
		char script[64];

		snprintf(script, sizeof(script), "echo %d; exit %d", i, i % 7);
		submit(jobs, script, &(brood_run_opts){ .capture = true }, &seen[i]);
		ck_assert_uint_le(brood_jobs_running(jobs), 3);
	}
	for (int i = 0; i < N; i++) {
		brood_job job = next(jobs);
		int which = (int)((bool *)job.data - seen);

		ck_assert_int_eq(job.error, 0);
		ck_assert_uint_eq(job.id, (uint64_t)which + 1);
		ck_assert(!seen[which]);
		seen[which] = true;
		ck_assert_int_eq(strtol(job.result.out, NULL, 10), which);
		ck_assert_int_eq(brood_exit_code(&job.result.exit), which % 7);
		brood_run_result_fini(&job.result);
	}
	none_left(jobs);
}
END_TEST

START_TEST(beyond_slots_and_queue_it_is_busy)
{
	brood_jobs *jobs = dispatcher(2, 1);
	uint64_t ids[3];
	brood_job job;

	for (int i = 0; i < 3; i++)
		ids[i] = submit(jobs, "exec sleep 60", &(brood_run_opts){ .grace_ns = -1 }, NULL);
	ck_assert_int_eq(brood_jobs_submit(jobs, BROOD_ARGV("true"), NULL, NULL, NULL), -EBUSY);
	ck_assert_uint_eq(brood_jobs_running(jobs), 2);
	ck_assert_uint_eq(brood_jobs_waiting(jobs), 1);
	ck_assert_int_eq(brood_jobs_state(jobs, ids[0]), BROOD_JOB_RUNNING);
	ck_assert_int_eq(brood_jobs_state(jobs, ids[2]), BROOD_JOB_WAITING);
	ck_assert_int_eq(brood_jobs_state(jobs, 99), -ENOENT);
	ck_assert_int_eq(brood_jobs_next(jobs, 20 * BROOD_MSEC, &job), -ETIMEDOUT);

	/* A slot is free with its program's end, and then a place to wait. */
	ck_assert_int_eq(brood_jobs_cancel(jobs, ids[0]), 0);
	job = next(jobs);
	ck_assert_uint_eq(job.id, ids[0]);
	ck_assert_int_eq(job.error, -ECANCELED);
	ck_assert(job.result.cancelled);
	ck_assert_int_eq(brood_exit_code(&job.result.exit), -SIGKILL);
	brood_run_result_fini(&job.result);
	ck_assert_int_eq(brood_jobs_state(jobs, ids[2]), BROOD_JOB_RUNNING);
	ck_assert_int_eq(brood_jobs_cancel(jobs, ids[0]), -ENOENT);
	ck_assert_int_eq(brood_jobs_submit(jobs, BROOD_ARGV("true"), NULL, NULL, NULL), 0);
	brood_jobs_free(jobs); /* kills and reaps the rest: the leak check says whether */
}
END_TEST

START_TEST(a_waiting_job_is_cancelled_at_once)
{
	brood_jobs *jobs = dispatcher(1, 5);
	uint64_t first = submit(jobs, "exec sleep 60", NULL, NULL);
	uint64_t second = submit(jobs, "echo never", NULL, NULL);
	brood_job job;

	ck_assert_int_eq(brood_jobs_cancel(jobs, second), 0);
	ck_assert_int_eq(brood_jobs_state(jobs, second), BROOD_JOB_ENDED);
	job = next(jobs);
	ck_assert_uint_eq(job.id, second);
	ck_assert_int_eq(job.error, -ECANCELED);
	ck_assert_int_eq(job.result.exit.kind, BROOD_RUNNING);
	ck_assert_str_eq(job.fail.step, "cancel");
	brood_run_result_fini(&job.result);
	ck_assert_int_eq(brood_jobs_cancel(jobs, first), 0);
	ck_assert_int_eq(brood_jobs_state(jobs, first), BROOD_JOB_ENDING);
	job = next(jobs);
	ck_assert_int_eq(brood_exit_code(&job.result.exit), -SIGTERM);
	brood_run_result_fini(&job.result);
	none_left(jobs);
}
END_TEST

/* The ladder: SIGTERM is ignored, so the grace is waited for; the background child goes, too. */
START_TEST(a_time_limit_ends_all_of_a_job)
{
	brood_jobs *jobs = dispatcher(2, 0);
	brood_run_opts opts = { .capture = true,
				.timeout_ns = 300 * BROOD_MSEC,
				.grace_ns = 100 * BROOD_MSEC,
				.contain = _i != 0 };
	brood_job job;

	submit(jobs, "trap '' TERM; echo up; sleep 60 & sleep 60; sleep 60", &opts, NULL);
	job = next(jobs);
	ck_assert_int_eq(job.error, -ETIMEDOUT);
	ck_assert(job.result.timed_out);
	ck_assert_str_eq(job.fail.step, "timeout");
	ck_assert_str_eq(job.result.out, "up\n");
	ck_assert_int_eq(brood_exit_code(&job.result.exit), -SIGKILL);
	brood_run_result_fini(&job.result);
	none_left(jobs);
	ck_assert(
		bury_all()); /* what it had in the background has ended, too, and is ours to reap */
}
END_TEST

START_TEST(what_cannot_start_has_a_record)
{
	brood_jobs *jobs = dispatcher(1, 3);
	brood_job job;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(brood_jobs_submit(jobs, BROOD_ARGV("/no/such"), NULL, NULL, NULL),
				 0);
	for (int i = 0; i < 4; i++) {
		job = next(jobs);
		ck_assert_int_eq(job.error, -ENOENT);
		ck_assert_str_eq(job.fail.step, "exec");
		ck_assert_str_eq(job.fail.text, "/no/such");
		ck_assert_int_eq(job.result.exit.kind, BROOD_RUNNING);
		brood_run_result_fini(&job.result);
	}
	none_left(jobs);
}
END_TEST

START_TEST(bad_arguments)
{
	brood_jobs *jobs = dispatcher(1, 0);
	const int fd = 0;

	ck_assert_int_eq(brood_jobs_submit(jobs, NULL, NULL, NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_jobs_submit(jobs, (const char *const[]){ NULL }, NULL, NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(brood_jobs_submit(jobs, BROOD_ARGV("true"),
					   &(brood_run_opts){ .cancel_fd = &fd }, NULL, NULL),
			 -EINVAL);
	none_left(jobs);
	ck_assert_ptr_null(brood_jobs_free(NULL));
}
END_TEST

START_TEST(no_descriptor_no_dispatcher)
{
	struct rlimit limit;
	int fd;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int more = 0; more < 2; more++) { /* none for the instance, none for the timer */
		struct rlimit low = { .rlim_cur = (rlim_t)(fd + 1 + more),
				      .rlim_max = limit.rlim_max };
		brood_jobs *jobs = NULL;

		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		ck_assert_int_eq(brood_jobs_new(NULL, &jobs), -EMFILE);
		ck_assert_ptr_null(jobs);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
	close(fd);
}
END_TEST

static int stop_at_two(void *data, const char *bytes, size_t size)
{
	int *lines = data;

	(void)bytes;
	(void)size;
	return ++*lines == 2 ? -ENOSPC : 0;
}

START_TEST(a_sink_that_wants_no_more_ends_its_job)
{
	brood_jobs *jobs = dispatcher(2, 0);
	int lines = 0;
	brood_popen_opts popen = {
		.spawn = { .out = { .kind = BROOD_STDIO_PIPE } },
		.out = { .kind = BROOD_SINK_LINES, .call = stop_at_two, .data = &lines }
	};
	brood_job job;

	submit(jobs, "while echo line; do sleep 0.01; done", &(brood_run_opts){ .popen = &popen },
	       NULL);
	job = next(jobs);
	ck_assert_int_eq(job.error, -ENOSPC);
	ck_assert_int_ge(lines, 2);
	brood_run_result_fini(&job.result);
	none_left(jobs);
	ck_assert(bury_all());
}
END_TEST

static bool is_readable(const brood_jobs *jobs, int timeout_ms)
{
	struct pollfd slot = { .fd = brood_jobs_fd(jobs), .events = POLLIN };

	return poll(&slot, 1, timeout_ms) == 1;
}

START_TEST(a_foreign_loop_drives_it)
{
	brood_jobs *jobs = dispatcher(2, 10);
	int records = 0;

	ck_assert(!is_readable(jobs, 0));
	for (int i = 0; i < 6; i++)
		submit(jobs, "echo x; echo y >&2",
		       &(brood_run_opts){ .capture = true, .timeout_ns = PATIENCE }, NULL);
	submit(jobs, "exec sleep 60", &(brood_run_opts){ .timeout_ns = 200 * BROOD_MSEC }, NULL);
	while (records < 7) {
		int n;

		ck_assert(is_readable(jobs, 20000));
		n = brood_jobs_step(jobs);
		ck_assert_int_ge(n, 0);
		for (; n > 0; n--, records++) {
			brood_job job;

			ck_assert(
				is_readable(jobs, 0)); /* a record that waits is something to do */
			ck_assert_int_eq(brood_jobs_next(jobs, 0, &job), 0);
			ck_assert(job.error == 0 || job.result.timed_out);
			brood_run_result_fini(&job.result);
		}
	}
	ck_assert(!is_readable(jobs, 0));
	none_left(jobs);
}
END_TEST

START_TEST(in_a_forked_child_it_is_nobodys)
{
	brood_jobs *jobs = dispatcher(1, 1);
	brood_job job;
	int status;
	pid_t pid;

	submit(jobs, "read line; echo got $line",
	       &(brood_run_opts){ .capture = true, .input = "it\n", .input_size = 3 }, NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		bool refused =
			brood_jobs_step(jobs) == -ECHILD &&
			brood_jobs_next(jobs, 0, &job) == -ECHILD &&
			brood_jobs_cancel(jobs, 1) == -ECHILD &&
			brood_jobs_submit(jobs, BROOD_ARGV("true"), NULL, NULL, NULL) == -ECHILD;

		brood_jobs_free(jobs);
		_exit(refused ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	job = next(jobs);
	ck_assert_str_eq(job.result.out, "got it\n");
	brood_run_result_fini(&job.result);
	none_left(jobs);
}
END_TEST

/* Where a filter refuses the timer: who waits in brood_jobs_next() does not need it. */
START_TEST(a_time_limit_holds_without_a_timer)
{
	brood_jobs *jobs = dispatcher(1, 1);
	brood_job job;

	/* The timer was made after what polls it. */
	refuse_call_on(SYS_timerfd_settime, brood_jobs_fd(jobs) + 1, EPERM);
	ck_assert_int_lt(timerfd_settime(brood_jobs_fd(jobs) + 1, 0,
					 &(struct itimerspec){ .it_value.tv_sec = 1 }, NULL),
			 0);
	ck_assert_int_eq(errno, EPERM);
	submit(jobs, "exec sleep 300", &(brood_run_opts){ .timeout_ns = 50 * BROOD_MSEC }, NULL);
	job = next(jobs);
	ck_assert_int_eq(job.error, -ETIMEDOUT);
	brood_run_result_fini(&job.result);
	none_left(jobs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/jobs");
	TCase *all = leak_case(suite, "all", 60);

	tcase_add_test(all, each_job_gives_one_record);
	tcase_add_test(all, beyond_slots_and_queue_it_is_busy);
	tcase_add_test(all, a_waiting_job_is_cancelled_at_once);
	tcase_add_loop_test(all, a_time_limit_ends_all_of_a_job, 0, 2);
	tcase_add_test(all, what_cannot_start_has_a_record);
	tcase_add_test(all, bad_arguments);
	tcase_add_test(all, no_descriptor_no_dispatcher);
	tcase_add_test(all, a_sink_that_wants_no_more_ends_its_job);
	tcase_add_test(all, a_foreign_loop_drives_it);
	tcase_add_test(all, in_a_forked_child_it_is_nobodys);
	tcase_add_test(all, a_time_limit_holds_without_a_timer);
	return leak_run(suite);
}
