/* The handle: waiting, the record, signals, and the ladder that stops a program. */
#include <brood/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

static const brood_exit untouched = { .value = -77 };

/* A program that runs until it is ended; "ready" was read. */
static brood_child *start_stay(bool stubborn, brood_spawn_opts opts)
{
	brood_child *child;

	opts.out.kind = BROOD_STDIO_PIPE;
	child = start(stubborn ? BROOD_ARGV(CHILD("stay"), "stubborn") : BROOD_ARGV(CHILD("stay")),
		      &opts);
	expect(brood_child_stream(child, 1), "ready\n");
	return child;
}

static void ck_ended_by(const brood_exit *end, int signum)
{
	ck_assert_int_eq(end->kind, BROOD_SIGNALLED);
	ck_assert_int_eq(end->value, signum);
	ck_assert_int_eq(brood_exit_code(end), -signum);
	ck_assert(!brood_exit_ok(end));
}

/* ---- the record */

START_TEST(the_exit_status_is_told)
{
	static const char *const statuses[] = { "0", "1", "42", "127", "255" };

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		brood_exit end = run(BROOD_ARGV(CHILD("end"), "exit", statuses[i]),
				     &(brood_spawn_opts){ .contain = CONTAINED });

		ck_assert_int_eq(end.kind, BROOD_EXITED);
		ck_assert_int_eq(end.value, strtol(statuses[i], NULL, 10));
		ck_assert_int_eq(brood_exit_code(&end), end.value);
		ck_assert(brood_exit_ok(&end) == (end.value == 0));
		ck_assert(!end.core);
	}
}
END_TEST

START_TEST(the_signal_that_ended_it_is_told)
{
	static const int signums[] = { SIGTERM, SIGKILL, SIGSEGV, SIGINT };

	for (size_t i = 0; i < sizeof(signums) / sizeof(signums[0]); i++) {
		char number[16];
		brood_exit end;

		snprintf(number, sizeof(number), "%d", signums[i]);
		end = run(BROOD_ARGV(CHILD("end"), "signal", number),
			  &(brood_spawn_opts){ .contain = CONTAINED });
		ck_ended_by(&end, signums[i]);
	}
}
END_TEST

START_TEST(times_and_memory_are_told)
{
	int64_t before = brood_now();
	brood_exit end = run(BROOD_ARGV(CHILD("end"), "burn", "100"),
			     &(brood_spawn_opts){ .contain = CONTAINED });

	ck_assert_int_le(before, end.started_ns);
	ck_assert_int_le(end.started_ns + 90 * BROOD_MSEC, end.ended_ns);
	ck_assert_int_le(end.ended_ns, brood_now());
	ck_assert_int_ge(end.user_ns + end.system_ns, 90 * BROOD_MSEC);
	ck_assert_int_le(end.user_ns + end.system_ns, 10 * BROOD_SEC);
	ck_assert_int_gt(end.max_rss_bytes, 100 * 1024);
}
END_TEST

START_TEST(the_record_stays_the_same_after_the_end)
{
	brood_child *child = start(BROOD_ARGV(CHILD("end"), "exit", "9"),
				   &(brood_spawn_opts){ .contain = CONTAINED });
	brood_exit first, again;

	ck_assert_int_eq(brood_child_wait(child, BROOD_FOREVER, &first), 0);
	ck_assert_int_eq(first.value, 9);
	for (int i = 0; i < 3; i++) {
		const int64_t timeouts[] = { 0, BROOD_SEC, BROOD_FOREVER };

		again = untouched;
		ck_assert_int_eq(brood_child_wait(child, timeouts[i], &again), 0);
		ck_assert_int_eq(again.kind, first.kind);
		ck_assert_int_eq(again.value, first.value);
		ck_assert_int_eq(again.ended_ns, first.ended_ns);
	}
	again = untouched;
	ck_assert_int_eq(brood_child_stop(child, BROOD_SEC, &again), 0);
	ck_assert_int_eq(again.value, 9);
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), 0);
	ck_assert_ptr_null(brood_child_free(child));
}
END_TEST

/* ---- waiting */

START_TEST(a_wait_times_out_and_touches_nothing)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	brood_exit end = untouched;
	int64_t before;

	ck_assert_int_eq(brood_child_wait(child, 0, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_wait(child, -5, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_wait(child, INT64_MIN, &end), -ETIMEDOUT);
	before = brood_now();
	ck_assert_int_eq(brood_child_wait(child, 50 * BROOD_MSEC, &end), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - before, 50 * BROOD_MSEC);
	ck_assert_int_eq(end.value, untouched.value);
	ck_assert_int_eq(brood_child_stop(child, 0, NULL), 0);
	brood_child_free(child);
}
END_TEST

static void nothing(int signum)
{
	(void)signum;
}

START_TEST(interrupting_signals_neither_end_nor_extend_a_wait)
{
	const struct itimerval often = { { 0, 3000 }, { 0, 3000 } }, never = { { 0, 0 }, { 0, 0 } };
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	int64_t before = brood_now(), took;

	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = nothing }, NULL); /* no SA_RESTART */
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(brood_child_wait(child, 200 * BROOD_MSEC, NULL), -ETIMEDOUT);
	took = brood_now() - before;
	ck_assert_int_eq(brood_child_kill(child), 0);
	ck_assert_int_eq(brood_child_wait(child, BROOD_FOREVER, NULL), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_int_ge(took, 200 * BROOD_MSEC);
	ck_assert_int_lt(took, 5 * BROOD_SEC);
	brood_child_free(child);
}
END_TEST

struct waiter {
	brood_child *child;
	brood_exit end;
	int result;
};

static void *wait_forever(void *argument)
{
	struct waiter *waiter = argument;

	waiter->result = brood_child_wait(waiter->child, BROOD_FOREVER, &waiter->end);
	return NULL;
}

START_TEST(two_threads_may_wait_while_a_third_signals)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	struct waiter waiters[2] = { { .child = child }, { .child = child } };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_forever, &waiters[i]), 0);
	nap_ms(20);
	ck_assert_int_eq(brood_child_signal(child, SIGUSR1), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(waiters[i].result, 0);
		ck_ended_by(&waiters[i].end, SIGUSR1);
	}
	ck_assert_int_eq(waiters[0].end.ended_ns, waiters[1].end.ended_ns);
	brood_child_free(child);
}
END_TEST

static void *look_until_ended(void *argument)
{
	struct waiter *waiter = argument;

	do
		waiter->result = brood_child_wait(waiter->child, 0, &waiter->end);
	while (waiter->result == -ETIMEDOUT);
	return NULL;
}

/* Whoever of them reaps, nobody takes the status for lost. */
START_TEST(waiting_and_looking_threads_get_the_same_record)
{
	for (int round = 0; round < 300; round++) {
		brood_child *child =
			start(BROOD_ARGV(CHILD("end"), "exit", "7"),
			      &(brood_spawn_opts){ .group = round % 3 == 0 ? BROOD_GROUP_NEW :
									     BROOD_GROUP_INHERIT });
		struct waiter waiters[4];
		pthread_t threads[4];

		for (int i = 0; i < 4; i++) {
			waiters[i] = (struct waiter){ .child = child };
			ck_assert_int_eq(pthread_create(&threads[i], NULL,
							i < 2 ? wait_forever : look_until_ended,
							&waiters[i]),
					 0);
		}
		for (int i = 0; i < 4; i++) {
			pthread_join(threads[i], NULL);
			ck_assert_int_eq(waiters[i].result, 0);
			ck_assert_int_eq(waiters[i].end.kind, BROOD_EXITED);
			ck_assert_int_eq(waiters[i].end.value, 7);
			ck_assert_int_eq(waiters[i].end.ended_ns, waiters[0].end.ended_ns);
		}
		brood_child_free(child);
	}
}
END_TEST

START_TEST(the_pidfd_becomes_readable_at_the_end)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	struct pollfd event = { .fd = brood_child_pidfd(child), .events = POLLIN };

	ck_assert_int_eq(poll(&event, 1, 0), 0);
	ck_assert_int_eq(brood_child_kill(child), 0);
	ck_assert_int_eq(poll(&event, 1, 10000), 1);
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), 0);
	/* … and stays so, for who looks later. */
	ck_assert_int_eq(poll(&event, 1, 0), 1);
	brood_child_free(child);
}
END_TEST

/* ---- signals */

START_TEST(a_signal_reaches_the_program)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	brood_exit end;

	ck_assert_int_eq(brood_child_signal(child, 0), 0);
	ck_assert_int_eq(brood_child_signal(child, -1), -EINVAL);
	ck_assert_int_eq(brood_child_signal(child, 65), -EINVAL);
	ck_assert_int_eq(brood_child_signal(child, 1000), -EINVAL);
	ck_assert_int_eq(brood_child_signal(child, SIGRTMIN + 2), 0);
	end = finish(child);
	ck_ended_by(&end, SIGRTMIN + 2);
}
END_TEST

START_TEST(after_the_end_nothing_is_signalled)
{
	brood_child *child = start(BROOD_ARGV(CHILD("end"), "exit", "3"),
				   &(brood_spawn_opts){ .group = _i == 2 ? BROOD_GROUP_NEW : 0,
							.contain = CONTAINED && _i != 2 });

	/* Ended, and not yet reaped: still ours, and not disturbed. */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = brood_child_pidfd(child), .events = POLLIN },
			      1, 10000),
			 1);
	for (int reaped = 0; reaped < 2; reaped++) {
		brood_exit end;

		ck_assert_int_eq(brood_child_signal(child, SIGTERM), 0);
		ck_assert_int_eq(brood_child_terminate(child), 0);
		ck_assert_int_eq(brood_child_kill(child), 0);
		ck_assert_int_eq(brood_child_signal(child, 1000), -EINVAL);
		ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
		ck_assert_int_eq(brood_exit_code(&end), 3);
	}
	brood_child_free(child);
}
END_TEST

/* A host that gave its rights away may not signal root's program. */
static void signal_without_right(void)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .group = BROOD_GROUP_INHERIT });

	ck_assert_int_eq(setresuid(NOBODY, NOBODY, 0), 0);
	ck_assert_int_eq(brood_child_signal(child, SIGTERM), -EPERM);
	ck_assert_int_eq(brood_child_terminate(child), -EPERM);
	ck_assert_int_eq(brood_child_kill(child), -EPERM);
	ck_assert_int_eq(brood_child_stop(child, 10 * BROOD_SEC, NULL), -EPERM);
	ck_assert_int_eq(brood_child_stop(child, 0, NULL), -EPERM);
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_int_eq(brood_child_stop(child, 0, NULL), 0);
	brood_child_free(child);
}

START_TEST(a_program_of_somebody_else_is_not_signalled)
{
	if (geteuid() == 0)
		in_fork(signal_without_right);
}
END_TEST

/* ---- the status taken away */

START_TEST(an_ignored_sigchld_makes_the_status_lost)
{
	brood_child *child;
	brood_exit end = untouched;

	signal(SIGCHLD, SIG_IGN);
	child = start(BROOD_ARGV(CHILD("end"), "exit", "3"), NULL);
	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	ck_assert_int_eq(brood_exit_code(&end), INT32_MIN);
	ck_assert(!brood_exit_ok(&end));
	ck_assert_int_eq(brood_child_signal(child, SIGTERM), 0);
	ck_assert_int_eq(brood_child_stop(child, 0, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	brood_child_free(child);
	/* While it runs it is not lost yet. */
	child = start_stay(false, (brood_spawn_opts){ .group = BROOD_GROUP_NEW });
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_wait(child, BROOD_MSEC, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_stop(child, BROOD_SEC, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	brood_child_free(child);
	/* Nor is a wait without end misled, which reaps in the kernel. */
	child = start(BROOD_ARGV(CHILD("end"), "exit", "3"), NULL);
	ck_assert_int_eq(brood_child_wait(child, BROOD_FOREVER, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	brood_child_free(child);
	/* A start that fails in the child leaves none behind either. */
	refused(BROOD_ARGV("/nowhere"), NULL, ENOENT, "exec", "/nowhere");
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(a_host_that_reaps_everybody_makes_the_status_lost)
{
	brood_child *child = start(BROOD_ARGV(CHILD("end"), "exit", "3"), NULL);
	brood_exit end;

	ck_assert_int_eq(waitpid(-1, NULL, 0), brood_child_pid(child));
	ck_assert_int_eq(brood_child_signal(child, SIGTERM), 0);
	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	brood_child_free(child);
}
END_TEST

/* A child of ours with this very pid, which leads a group. */
static pid_t fork_as(pid_t pid)
{
	FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "we");
	pid_t made;

	ck_assert_ptr_nonnull(last);
	fprintf(last, "%d", pid - 1);
	ck_assert_int_eq(fclose(last), 0);
	made = fork();
	if (made == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	ck_assert_int_eq(made, pid);
	eventually(getpgid(pid) == pid);
	return pid;
}

static brood_group group_of_lost;

static void meet_a_stranger(void)
{
	brood_child *child = start(BROOD_ARGV(CHILD("end"), "exit", "3"),
				   &(brood_spawn_opts){ .group = group_of_lost });
	pid_t stranger;

	ck_assert_int_eq(waitpid(-1, NULL, 0), brood_child_pid(child));
	stranger = fork_as(brood_child_pid(child));
	ck_assert_int_eq(brood_child_signal(child, SIGKILL), 0);
	ck_assert_int_eq(brood_child_terminate(child), 0);
	ck_assert_int_eq(brood_child_kill(child), 0);
	ck_assert_int_eq(brood_child_stop(child, BROOD_MSEC, NULL), 0);
	nap_ms(20);
	ck_assert_int_eq(waitpid(stranger, NULL, WNOHANG), 0);
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
	brood_child_free(child);
}

/* Numbers can be chosen in a namespace of our own, without disturbing the rest of the system. */
static void enter_namespace(void)
{
	if (unshare(CLONE_NEWPID) < 0)
		fprintf(stderr, "skipped: no right to make a pid namespace\n");
	else
		in_fork(meet_a_stranger);
}

START_TEST(a_stranger_with_the_recycled_number_is_not_signalled)
{
	group_of_lost = _i != 0 ? BROOD_GROUP_NEW : BROOD_GROUP_INHERIT;
	in_fork(enter_namespace);
}
END_TEST

START_TEST(children_of_the_host_are_left_alone)
{
	pid_t ended = fork(), running;
	brood_child *child;
	siginfo_t info;

	if (ended == 0)
		_exit(5);
	running = fork();
	if (running == 0)
		for (;;)
			pause();
	ck_assert_int_eq(waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT), 0);
	run(BROOD_ARGV(CHILD("end"), "exit", "0"), &(brood_spawn_opts){ .contain = CONTAINED });
	refused(BROOD_ARGV("/nowhere"), &(brood_spawn_opts){ .contain = CONTAINED }, ENOENT, "exec",
		NULL);
	child = start_stay(true, (brood_spawn_opts){ .contain = CONTAINED });
	ck_assert_int_eq(brood_child_stop(child, BROOD_MSEC, NULL), 0);
	brood_child_free(child);
	ck_assert_int_eq(waitid(P_PID, (id_t)ended, &info, WEXITED), 0);
	ck_assert_int_eq(info.si_status, 5);
	ck_assert_int_eq(waitid(P_PID, (id_t)running, &info, WEXITED | WNOHANG), 0);
	kill(running, SIGKILL);
	ck_assert_int_eq(waitpid(running, NULL, 0), running);
}
END_TEST

/* ---- the handle in another process */

static brood_child *inherited;

static void use_inherited(void)
{
	brood_exit end = untouched;

	ck_assert_int_eq(brood_child_wait(inherited, 0, &end), -ECHILD);
	ck_assert_int_eq(brood_child_wait(inherited, BROOD_FOREVER, &end), -ECHILD);
	ck_assert_int_eq(brood_child_signal(inherited, SIGKILL), -ECHILD);
	ck_assert_int_eq(brood_child_terminate(inherited), -ECHILD);
	ck_assert_int_eq(brood_child_kill(inherited), -ECHILD);
	ck_assert_int_eq(brood_child_stop(inherited, 0, &end), -ECHILD);
	ck_assert_int_eq(end.value, untouched.value);
	ck_assert_ptr_null(brood_child_free(inherited));
	/* This process starts its own. */
	run(BROOD_ARGV(CHILD("end"), "exit", "0"), NULL);
}

START_TEST(in_a_forked_child_the_handle_is_dead)
{
	inherited = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	in_fork(use_inherited);
	nap_ms(30);
	ck_assert_int_eq(brood_child_wait(inherited, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_stop(inherited, BROOD_SEC, NULL), 0);
	brood_child_free(inherited);
}
END_TEST

START_TEST(free_of_nothing_is_fine)
{
	ck_assert_ptr_null(brood_child_free(NULL));
}
END_TEST

START_TEST(free_does_not_end_a_plain_program)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .group = BROOD_GROUP_NEW });
	pid_t pid = brood_child_pid(child);

	brood_child_free(child);
	nap_ms(30);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* ---- stopping */

START_TEST(stop_ends_a_polite_program_by_term)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	brood_exit end;

	ck_assert_int_eq(brood_child_stop(child, BROOD_FOREVER, &end), 0);
	ck_ended_by(&end, SIGTERM);
	brood_child_free(child);
}
END_TEST

START_TEST(stop_ends_a_stubborn_program_by_kill)
{
	brood_child *child = start_stay(true, (brood_spawn_opts){ .contain = CONTAINED });
	int64_t before = brood_now();
	brood_exit end;

	ck_assert_int_eq(brood_child_stop(child, 100 * BROOD_MSEC, &end), 0);
	ck_ended_by(&end, SIGKILL);
	ck_assert_int_ge(end.ended_ns - before, 100 * BROOD_MSEC);
	brood_child_free(child);
}
END_TEST

START_TEST(stop_without_a_grace_kills_at_once)
{
	for (int64_t grace = -1; grace <= 0; grace++) {
		brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
		brood_exit end;

		ck_assert_int_eq(brood_child_stop(child, grace, &end), 0);
		ck_ended_by(&end, SIGKILL);
		brood_child_free(child);
	}
}
END_TEST

static char state_of(pid_t pid)
{
	return *stat_of(pid);
}

START_TEST(stop_ends_a_stopped_program)
{
	brood_child *child = start_stay(false, (brood_spawn_opts){ .contain = CONTAINED });
	brood_exit end;

	ck_assert_int_eq(brood_child_signal(child, SIGSTOP), 0);
	eventually(state_of(brood_child_pid(child)) == 'T');
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), -ETIMEDOUT); /* no end, that */
	ck_assert_int_eq(brood_child_stop(child, 20 * BROOD_MSEC, &end), 0);
	ck_ended_by(&end, SIGKILL);
	brood_child_free(child);
}
END_TEST

/* The leader goes at SIGTERM and leaves a member that does not. */
START_TEST(stop_kills_what_an_ended_leader_left_in_its_group)
{
	const brood_group group = _i == 0 ? BROOD_GROUP_NEW : BROOD_GROUP_SESSION;
	brood_child *child =
		start(BROOD_ARGV(CHILD("leave"), "child", "child", "then", "stay"),
		      &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .group = group });
	char text[64] = "";
	brood_exit end;

	while (strstr(text, "end\n") == NULL)
		ck_assert_int_gt(read(brood_child_stream(child, 1), text + strlen(text),
				      sizeof(text) - strlen(text) - 1),
				 0);
	ck_assert_int_eq(brood_child_stop(child, 10 * BROOD_SEC, &end), 0);
	ck_ended_by(&end, SIGTERM);
	brood_child_free(child);
	ck_assert(bury_all());
}
END_TEST

START_TEST(kill_reaches_the_group_until_the_leader_is_waited_for)
{
	brood_child *child = start(BROOD_ARGV(CHILD("leave"), "child", "then", "exit", "4"),
				   &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_NULL },
							.group = BROOD_GROUP_NEW });
	siginfo_t info;
	brood_exit end;

	ck_assert_int_eq(waitid(P_PID, (id_t)brood_child_pid(child), &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(brood_child_kill(child), 0);
	ck_assert_int_eq(brood_child_wait(child, BROOD_FOREVER, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 4);
	brood_child_free(child);
	ck_assert(bury_all());
}
END_TEST

/* What leads a group of its own may leave it all the same; then nobody is left in that. */
START_TEST(a_program_that_left_its_group_is_reached)
{
	const brood_spawn_opts opts = { .out = { .kind = BROOD_STDIO_PIPE },
					.group = BROOD_GROUP_NEW,
					.contain = CONTAINED };
	brood_child *child = start(BROOD_ARGV(CHILD("stay"), "away"), &opts);
	brood_exit end = untouched;

	expect(brood_child_stream(child, 1), "ready\n");
	ck_assert_int_ne(getpgid(brood_child_pid(child)), brood_child_pid(child));
	ck_assert_int_eq(brood_child_terminate(child), 0);
	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
	ck_ended_by(&end, SIGTERM);
	brood_child_free(child);
	child = start(BROOD_ARGV(CHILD("stay"), "stubborn", "away"), &opts);
	expect(brood_child_stream(child, 1), "ready\n");
	ck_assert_int_eq(brood_child_stop(child, 20 * BROOD_MSEC, &end), 0);
	ck_ended_by(&end, SIGKILL);
	brood_child_free(child);
}
END_TEST

/* Both the program, which went away, and what it left there. */
START_TEST(stop_reaches_the_group_and_who_left_it)
{
	char line[600], text[64] = "";
	brood_child *child;
	brood_exit end;
	pid_t member;

	snprintf(line, sizeof(line), "sleep 1000 >/dev/null 2>&1 & echo $!; exec '%s' away",
		 CHILD("stay"));
	child = start(BROOD_ARGV(line), &(brood_spawn_opts){ .shell = true,
							     .out = { .kind = BROOD_STDIO_PIPE },
							     .group = BROOD_GROUP_NEW });
	while (strstr(text, "ready\n") == NULL)
		ck_assert_int_gt(read(brood_child_stream(child, 1), text + strlen(text),
				      sizeof(text) - strlen(text) - 1),
				 0);
	member = (pid_t)strtol(text, NULL, 10);
	ck_assert_int_eq(getpgid(member), brood_child_pid(child));
	ck_assert_int_eq(brood_child_stop(child, 10 * BROOD_SEC, &end), 0);
	ck_ended_by(&end, SIGTERM);
	brood_child_free(child);
	ck_assert(bury_all());
}
END_TEST

/* A joined group is not the program's own. */
START_TEST(in_a_joined_group_stop_ends_the_program_alone)
{
	brood_child *leader = start_stay(false, (brood_spawn_opts){ .group = BROOD_GROUP_NEW });
	const brood_spawn_opts joined = { .group = BROOD_GROUP_JOIN,
					  .join_group = brood_child_pid(leader),
					  .contain = CONTAINED };
	brood_child *child = start_stay(false, joined);
	brood_exit end;

	ck_assert_int_eq(getpgid(brood_child_pid(child)), brood_child_pid(leader));
	ck_assert_int_eq(brood_child_terminate(child), 0);
	end = finish(child);
	ck_ended_by(&end, SIGTERM);
	child = start_stay(true, joined);
	ck_assert_int_eq(brood_child_stop(child, 20 * BROOD_MSEC, &end), 0);
	ck_ended_by(&end, SIGKILL);
	brood_child_free(child);
	nap_ms(20);
	ck_assert_int_eq(brood_child_wait(leader, 0, NULL), -ETIMEDOUT);
	/* The other way round, the leader's signals reach who joined. */
	child = start_stay(false, joined);
	ck_assert_int_eq(brood_child_terminate(leader), 0);
	end = finish(child);
	ck_ended_by(&end, SIGTERM);
	finish(leader);
}
END_TEST

START_TEST(without_a_group_stop_ends_the_program_alone)
{
	brood_child *child = start(BROOD_ARGV(CHILD("leave"), "child", "then", "stay"),
				   &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE } });
	char text[64] = "";
	pid_t other;

	while (strstr(text, "end\n") == NULL)
		ck_assert_int_gt(read(brood_child_stream(child, 1), text + strlen(text),
				      sizeof(text) - strlen(text) - 1),
				 0);
	other = (pid_t)strtol(text, NULL, 10);
	ck_assert_int_eq(brood_child_stop(child, BROOD_SEC, NULL), 0);
	brood_child_free(child);
	nap_ms(20);
	ck_assert_int_eq(waitpid(other, NULL, WNOHANG),
			 0); /* a subreaper's child by now, and alive */
	kill(other, SIGKILL);
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/spawn, handle");
	TCase *record = leak_case(suite, "record", 30);
	TCase *waiting = leak_case(suite, "waiting", 30);
	TCase *signals = leak_case(suite, "signals", 30);
	TCase *lost = leak_case(suite, "lost", 30);
	TCase *owner = leak_case(suite, "owner", 30);
	TCase *stopping = leak_case(suite, "stopping", 30);

	add_for_both(record, the_exit_status_is_told);
	add_for_both(record, the_signal_that_ended_it_is_told);
	add_for_both(record, times_and_memory_are_told);
	add_for_both(record, the_record_stays_the_same_after_the_end);
	add_for_both(waiting, a_wait_times_out_and_touches_nothing);
	add_for_both(waiting, interrupting_signals_neither_end_nor_extend_a_wait);
	add_for_both(waiting, two_threads_may_wait_while_a_third_signals);
	tcase_add_test(waiting, waiting_and_looking_threads_get_the_same_record);
	add_for_both(waiting, the_pidfd_becomes_readable_at_the_end);
	add_for_both(signals, a_signal_reaches_the_program);
	tcase_add_loop_test(signals, after_the_end_nothing_is_signalled, 0, 3);
	tcase_add_test(signals, a_program_of_somebody_else_is_not_signalled);
	tcase_add_test(lost, an_ignored_sigchld_makes_the_status_lost);
	tcase_add_test(lost, a_host_that_reaps_everybody_makes_the_status_lost);
	tcase_add_loop_test(lost, a_stranger_with_the_recycled_number_is_not_signalled, 0, 2);
	add_for_both(owner, children_of_the_host_are_left_alone);
	add_for_both(owner, in_a_forked_child_the_handle_is_dead);
	tcase_add_test(owner, free_of_nothing_is_fine);
	tcase_add_test(owner, free_does_not_end_a_plain_program);
	add_for_both(stopping, stop_ends_a_polite_program_by_term);
	add_for_both(stopping, stop_ends_a_stubborn_program_by_kill);
	add_for_both(stopping, stop_without_a_grace_kills_at_once);
	add_for_both(stopping, stop_ends_a_stopped_program);
	tcase_add_loop_test(stopping, stop_kills_what_an_ended_leader_left_in_its_group, 0, 2);
	tcase_add_test(stopping, kill_reaches_the_group_until_the_leader_is_waited_for);
	add_for_both(stopping, a_program_that_left_its_group_is_reached);
	tcase_add_test(stopping, stop_reaches_the_group_and_who_left_it);
	add_for_both(stopping, in_a_joined_group_stop_ends_the_program_alone);
	tcase_add_test(stopping, without_a_group_stop_ends_the_program_alone);
	return leak_run(suite);
}
