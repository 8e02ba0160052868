#include "os/process.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "tests/unit/leak.h"

#define NOBODY 65534

/* A child that has named itself so, and waits to be killed. */
static pid_t fork_named(const char *name)
{
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		if (write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(ends[0], &(char){ 0 }, 1), 1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* Ended, and left to be reaped. */
static void await_end(pid_t pid)
{
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

START_TEST(the_start_time_is_read_behind_any_name)
{
	static const char *const names[] = { "plain", ") 1 (", ") R 1 1 1 1 (", "))))", "a b c",
					     "\n)\n", "" };
	uint64_t mine, ticks;

	ck_assert_int_eq(bri_process_start_ticks(getpid(), &mine), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pid_t pid = fork_named(names[i]);

		ck_assert_int_eq(bri_process_start_ticks(pid, &ticks), 0);
		ck_assert_msg(ticks >= mine && ticks < mine + 100 * 60, "'%s': %lu", names[i],
			      (unsigned long)ticks);
		end(pid);
		ticks = 77;
		ck_assert_int_eq(bri_process_start_ticks(pid, &ticks), -ESRCH);
		ck_assert_uint_eq(ticks, 77);
	}
}
END_TEST

START_TEST(a_process_is_opened_by_pid_and_start_time)
{
	pid_t pid = fork_named("x");
	struct bri_process process = { -7, -7 };
	uint64_t ticks;

	ck_assert_int_eq(bri_process_start_ticks(pid, &ticks), 0);
	ck_assert_int_eq(bri_process_open(pid, ticks + 1, &process), -ESRCH);
	ck_assert_int_eq(bri_process_open(pid, ticks - 1, &process), -ESRCH);
	ck_assert_int_eq(process.pidfd, -7);
	ck_assert_int_eq(bri_process_open(pid, ticks, &process), 0);
	ck_assert_int_eq(process.pid, pid);
	close(process.pidfd);
	ck_assert_int_eq(bri_process_open(pid, 0, &process), 0);
	ck_assert_int_eq(bri_process_signal(&process, 0), 0);
	end(pid);
	ck_assert_int_eq(bri_process_signal(&process, SIGTERM), -ESRCH);
	close(process.pidfd);
	ck_assert_int_eq(bri_process_open(pid, ticks, &process), -ESRCH);
	ck_assert_int_eq(bri_process_open(pid, 0, &process), -ESRCH);
	ck_assert_int_eq(bri_process_open(0, 0, &process), -EINVAL);
	ck_assert_int_eq(bri_process_open(-1, 0, &process), -EINVAL);
}
END_TEST

static void open_parent_as_nobody(void)
{
	struct bri_process process;
	uint64_t ticks;
	pid_t parent = getppid();

	ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	ck_assert_int_eq(bri_process_start_ticks(parent, &ticks), 0);
	ck_assert_int_eq(bri_process_open(parent, ticks, &process), 0);
	ck_assert_int_eq(bri_process_signal(&process, 0), -EPERM);
	close(process.pidfd);
}

START_TEST(a_process_of_somebody_else_is_there_too)
{
	if (geteuid() == 0)
		in_fork(open_parent_as_nobody);
}
END_TEST

START_TEST(who_alone_reaps_needs_no_descriptor)
{
	struct bri_process process = { .pid = fork_named("x"), .pidfd = -1 };
	brood_exit record;

	ck_assert_int_eq(bri_process_reap(&process, &record), -EAGAIN);
	ck_assert_int_eq(kill(process.pid, SIGTERM), 0);
	ck_assert_int_eq(bri_process_wait(&process, &record), 0);
	ck_assert_int_eq(record.kind, BROOD_SIGNALLED);
	ck_assert_int_eq(record.value, SIGTERM);
	ck_assert_int_eq(bri_process_reap(&process, &record), -ECHILD);
}
END_TEST

START_TEST(a_look_leaves_the_process_to_reap)
{
	pid_t pid = fork_named("x");
	struct bri_process process;
	brood_exit record = { .started_ns = 5, .ended_ns = 6 };

	ck_assert_int_eq(bri_process_open(pid, 0, &process), 0);
	ck_assert_int_eq(bri_process_peek(&process), -EAGAIN);
	ck_assert_int_eq(bri_process_reap(&process, &record), -EAGAIN);
	ck_assert_int_eq(bri_process_signal(&process, SIGTERM), 0);
	ck_assert_int_eq(bri_wait_readable(process.pidfd, bri_deadline(10 * BROOD_SEC)), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(bri_process_peek(&process), 0);
	ck_assert_int_eq(bri_process_reap(&process, &record), 0);
	ck_assert_int_eq(record.kind, BROOD_SIGNALLED);
	ck_assert_int_eq(record.value, SIGTERM);
	ck_assert(!record.core);
	ck_assert_int_eq(record.started_ns, 5); /* the caller's */
	ck_assert_int_eq(record.ended_ns, 6);
	ck_assert_int_eq(bri_process_peek(&process), -ECHILD);
	ck_assert_int_eq(bri_process_reap(&process, &record), -ECHILD);
	close(process.pidfd);
}
END_TEST

START_TEST(reaping_tells_what_was_used)
{
	struct bri_process process;
	brood_exit record;
	pid_t pid = fork();

	if (pid == 0) {
		while (clock() < CLOCKS_PER_SEC / 20)
			continue;
		_exit(200);
	}
	ck_assert_int_eq(bri_process_open(pid, 0, &process), 0);
	await_end(pid);
	ck_assert_int_eq(bri_process_reap(&process, &record), 0);
	ck_assert_int_eq(record.kind, BROOD_EXITED);
	ck_assert_int_eq(record.value, 200);
	ck_assert_int_ge(record.user_ns + record.system_ns, 40 * BROOD_MSEC);
	ck_assert_int_gt(record.max_rss_bytes, 64 * 1024);
	close(process.pidfd);
}
END_TEST

START_TEST(an_ignored_sigchld_takes_the_record_away)
{
	struct bri_process process;
	brood_exit record;
	pid_t pid;

	signal(SIGCHLD, SIG_IGN);
	pid = fork_named("x");
	ck_assert_int_eq(bri_process_open(pid, 0, &process), 0);
	ck_assert_int_eq(bri_process_reap(&process, &record), -EAGAIN);
	ck_assert_int_eq(bri_process_signal(&process, SIGKILL), 0);
	ck_assert_int_eq(bri_wait_readable(process.pidfd, bri_deadline(10 * BROOD_SEC)), 0);
	ck_assert_int_eq(bri_process_reap(&process, &record), -ECHILD);
	ck_assert_int_eq(bri_process_peek(&process), -ECHILD);
	bri_process_bury(&process); /* returns */
	signal(SIGCHLD, SIG_DFL);
	close(process.pidfd);
}
END_TEST

START_TEST(burying_waits_for_the_end)
{
	struct bri_process process;
	pid_t pid = fork();

	if (pid == 0) {
		nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
		_exit(0);
	}
	ck_assert_int_eq(bri_process_open(pid, 0, &process), 0);
	bri_process_bury(&process);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1);
	close(process.pidfd);
}
END_TEST

START_TEST(one_who_is_not_our_child_is_not_reaped)
{
	struct bri_process process;
	brood_exit record;

	ck_assert_int_eq(bri_process_open(getppid(), 0, &process), 0);
	ck_assert_int_eq(bri_process_reap(&process, &record), -ECHILD);
	close(process.pidfd);
}
END_TEST

START_TEST(every_way_to_end_has_its_code)
{
	brood_exit record;

	bri_exit_from_wait(CLD_EXITED, 3, &record);
	ck_assert(record.kind == BROOD_EXITED && record.value == 3 && !record.core);
	ck_assert_int_eq(brood_exit_code(&record), 3);
	ck_assert(!brood_exit_ok(&record));
	bri_exit_from_wait(CLD_EXITED, 0, &record);
	ck_assert(brood_exit_ok(&record));
	bri_exit_from_wait(CLD_KILLED, SIGKILL, &record);
	ck_assert(record.kind == BROOD_SIGNALLED && record.value == SIGKILL && !record.core);
	ck_assert_int_eq(brood_exit_code(&record), -SIGKILL);
	bri_exit_from_wait(CLD_DUMPED, SIGSEGV, &record);
	ck_assert(record.kind == BROOD_SIGNALLED && record.value == SIGSEGV && record.core);
	record = (brood_exit){ .kind = BROOD_RUNNING };
	ck_assert_int_eq(brood_exit_code(&record), INT_MIN);
	ck_assert(!brood_exit_ok(&record));
	record.kind = BROOD_LOST;
	ck_assert_int_eq(brood_exit_code(&record), INT_MIN);
	ck_assert(!brood_exit_ok(&record));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/process");
	TCase *process = leak_case(suite, "process", 20);

	tcase_add_test(process, the_start_time_is_read_behind_any_name);
	tcase_add_test(process, a_process_is_opened_by_pid_and_start_time);
	tcase_add_test(process, a_process_of_somebody_else_is_there_too);
	tcase_add_test(process, who_alone_reaps_needs_no_descriptor);
	tcase_add_test(process, a_look_leaves_the_process_to_reap);
	tcase_add_test(process, reaping_tells_what_was_used);
	tcase_add_test(process, an_ignored_sigchld_takes_the_record_away);
	tcase_add_test(process, burying_waits_for_the_end);
	tcase_add_test(process, one_who_is_not_our_child_is_not_reaped);
	tcase_add_test(process, every_way_to_end_has_its_code);
	return leak_run(suite);
}
