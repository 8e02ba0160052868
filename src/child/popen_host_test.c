/* Hosts of every kind: with many programs, threads, limits, closed streams, children of their own. */
#include <brood/popen.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/talk.h"

#define NOBODY 65534

/* A conversation with a program that answers on both streams; the exit code tells of `n`. */
static void converse(int n)
{
	char text[32], status[8];
	brood_popen *popen;
	brood_exit end;

	snprintf(text, sizeof(text), "input %d", n);
	snprintf(status, sizeof(status), "%d", n % 200);
	popen = popen_start(ACT("err", status, "copy", "exit", status),
			    &(brood_popen_opts){ .spawn = { PIPES } });
	ck_assert_int_eq(brood_popen_communicate(popen, text, strlen(text), PATIENCE), 0);
	ck_output(popen, 1, text);
	ck_output(popen, 2, status);
	end = exit_of(popen);
	ck_assert_int_eq(end.kind, BROOD_EXITED);
	ck_assert_int_eq(end.value, n % 200);
	brood_popen_free(popen);
}

/* ---- many */

enum { THOUSAND = 1000 };

/* Room for `n` descriptors, when the hard limit allows it. */
static bool allow_descriptors(rlim_t n)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < n)
		return false;
	limit.rlim_cur = n;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void hold_a_thousand(void)
{
	static brood_popen *popens[THOUSAND];
	char text[24];
	int n = THOUSAND;

	if (!allow_descriptors(8000)) {
		n = 100;
		fprintf(stderr, "only %d: the limit of descriptors is low\n", n);
	}
	for (int i = 0; i < n; i++)
		popens[i] = popen_start(ACT("say", "ready ", "copy"),
					&(brood_popen_opts){ .spawn = { PIPES } });
	/* All live at once: each waits for its input. */
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(brood_popen_poll(popens[i], NULL), 0);
	for (int i = n - 1; i >= 0; i--) {
		snprintf(text, sizeof(text), "%d", i);
		ck_assert_int_eq(talk(popens[i], text, strlen(text)), 0);
		snprintf(text, sizeof(text), "ready %d", i);
		ck_output(popens[i], 1, text);
		ck_output(popens[i], 2, "");
		brood_popen_free(popens[i]);
	}
}

START_TEST(a_thousand_programs_at_once)
{
	in_fork(hold_a_thousand);
}
END_TEST

static void loop_a_thousand(void)
{
	static brood_popen *popens[THOUSAND];
	char *input = new_pattern(3000);
	int n = allow_descriptors(8000) ? THOUSAND : 100, left = n;
	int loop = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < n; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t)i };

		popens[i] = popen_start(ACT("copy", "efill", "5000"),
					&(brood_popen_opts){ .spawn = { PIPES } });
		ck_assert_int_eq(brood_popen_begin(popens[i], input, (size_t)(3 * i)), 0);
		ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, brood_popen_fd(popens[i]), &event),
				 0);
	}
	while (left > 0) {
		struct epoll_event events[64];
		int got = epoll_wait(loop, events, 64, 30000);

		ck_assert_int_gt(got, 0);
		for (int k = 0; k < got; k++) {
			uint32_t i = events[k].data.u32;
			int r = brood_popen_step(popens[i]);

			ck_assert_int_ge(r, 0);
			if (r == 0)
				continue;
			ck_output_pattern(popens[i], 1, 3 * i);
			ck_output_pattern(popens[i], 2, 5000);
			brood_popen_free(popens[i]);
			left--;
		}
	}
	close(loop);
	free(input);
}

START_TEST(a_thousand_programs_on_one_loop)
{
	in_fork(loop_a_thousand);
}
END_TEST

static void with_high_numbers(void)
{
	int n = allow_descriptors(4000) ? 1000 : 500;

	for (int i = 0; i < n; i++)
		ck_assert_int_ge(dup(0),
				 0); /* without close-on-exec: the program shall not have it */
	for (int i = 0; i < 5; i++)
		converse(i);
	/* The program has its three streams, and what ls itself opens. */
	for (int contain = 0; contain < 2; contain++) {
		brood_popen *popen =
			popen_start(BROOD_ARGV("ls", "/proc/self/fd"),
				    &(brood_popen_opts){ .spawn = { PIPES, .contain = contain } });

		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		ck_output(popen, 1, "0\n1\n2\n3\n");
		brood_popen_free(popen);
	}
}

START_TEST(a_host_with_a_thousand_descriptors)
{
	in_fork(with_high_numbers);
}
END_TEST

/* ---- threads */

static void *converse_often(void *number)
{
	for (int i = 0; i < 25; i++)
		converse(*(int *)number * 25 + i);
	return NULL;
}

START_TEST(threads_have_conversations_of_their_own)
{
	pthread_t threads[8];
	int numbers[8];

	for (int i = 0; i < 8; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, converse_often, &numbers[i]), 0);
	}
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

static brood_popen *shared;

static void *pester(void *unused)
{
	brood_exit end;

	while (brood_popen_poll(shared, &end) == 0) {
		ck_assert_int_eq(brood_popen_send_signal(shared, 0), 0);
		ck_assert_int_gt(brood_popen_pid(shared), 0);
		brood_popen_wait(shared, BROOD_MSEC, &end);
	}
	ck_assert_int_eq(brood_popen_kill(shared), 0);
	ck_assert_int_eq(brood_popen_terminate(shared), 0);
	ck_assert_int_eq(end.kind, BROOD_EXITED);
	return unused;
}

/* What any thread may call beside the one that communicates. */
START_TEST(threads_may_look_and_signal_beside)
{
	for (int round = 0; round < 10; round++) {
		pthread_t threads[3];

		shared = popen_start(ACT("copy", "fill", "500000"),
				     &(brood_popen_opts){ .spawn = { PIPES } });
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, pester, NULL), 0);
		if (round % 2 == 0) {
			ck_assert_int_eq(talk(shared, "", 0), 0);
		} else {
			ck_assert_int_eq(brood_popen_begin(shared, "", 0), 0);
			while (brood_popen_step(shared) == 0)
				poll(&(struct pollfd){ .fd = brood_popen_fd(shared),
						       .events = POLLIN },
				     1, 20000);
		}
		for (int i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
		ck_output_pattern(shared, 1, 500000);
		brood_popen_free(shared);
	}
}
END_TEST

/* ---- closed streams */

static int closed_mask;

static void with_closed_streams(void)
{
	int tee = open_file("tee", "");

	for (int fd = 0; fd < 3; fd++)
		if (closed_mask & 1 << fd)
			close(fd);
	for (int i = 0; i < 3; i++) {
		brood_popen *popen = popen_start(
			ACT("efill", "70000", "copy"),
			&(brood_popen_opts){ .spawn = { PIPES, .contain = i == 2 },
					     .out = { .tee = tee },
					     .err = { .kind = BROOD_SINK_TAIL, .limit = 10 } });

		ck_assert_int_ge(brood_popen_fd(popen), 0);
		ck_assert_int_eq(talk(popen, "hello", 5), 0);
		ck_output(popen, 1, "hello");
		ck_assert_uint_eq(output_of(popen, 2).total, 70000);
		brood_popen_free(popen);
	}
	close(tee);
	/* What the host has not, the program has not. What is opened for a tee is not taken for it. */
	for (int fd = 0; fd < 3; fd++)
		ck_assert_int_eq(fcntl(fd, F_GETFD) < 0, (closed_mask & 1 << fd) != 0);
}

START_TEST(a_host_without_standard_streams)
{
	closed_mask = _i;
	in_fork(with_closed_streams);
}
END_TEST

/* The pipe that a tee opens anew would be the lowest free number, here 1 or 2, of the host's. */
static void tee_with_closed_streams(void)
{
	brood_popen *popen;
	int ends[2], file = open_file("said", "");

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	close(1);
	close(2);
	popen = popen_start(
		BROOD_ARGV("sh", "-c", "echo out; readlink /proc/$$/fd/2 >>\"$0\"; exit 0",
			   scratch_path("said")),
		&(brood_popen_opts){ .spawn = { PIPE_OUT }, .out = { .tee = ends[1] } });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_str_eq(output_of(popen, 1).data, "out\n");
	brood_popen_free(popen);
	ck_assert_int_eq(pread(file, &(char){ 0 }, 1, 0), 0); /* no descriptor 2 there */
	ck_assert_int_eq(read(ends[0], (char[10]){ 0 }, 10), 4);
	close(ends[0]);
	close(ends[1]);
	close(file);
}

START_TEST(a_tee_is_not_taken_for_a_standard_stream)
{
	in_fork(tee_with_closed_streams);
}
END_TEST

/* ---- the host's own children, and SIGCHLD */

static volatile sig_atomic_t told;

static void reap_everybody(int signum)
{
	int before = errno;

	(void)signum;
	told++;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	errno = before;
}

START_TEST(a_host_that_reaps_everybody)
{
	struct sigaction action = { .sa_handler = reap_everybody };

	ck_assert_int_eq(sigaction(SIGCHLD, &action, NULL), 0);
	for (int i = 0; i < 40; i++) {
		brood_popen *popen = popen_start(
			ACT("copy", "fill", "100000", "exit", "7"),
			&(brood_popen_opts){ .spawn = { PIPES, .contain = i % 8 == 7 } });
		brood_exit end;

		ck_assert_int_eq(brood_popen_communicate(popen, "", 0,
							 i % 2 == 0 ? BROOD_FOREVER : PATIENCE),
				 0);
		ck_output_pattern(popen, 1, 100000);
		end = exit_of(popen);
		ck_assert(end.kind == BROOD_LOST || (end.kind == BROOD_EXITED && end.value == 7));
		brood_popen_free(popen);
	}
	ck_assert_int_gt(told, 0);
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(a_host_that_ignores_sigchld)
{
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 20; i++) {
		brood_popen *popen = popen_start(ACT("copy", "fill", "100000", "exit", "7"),
						 &(brood_popen_opts){ .spawn = { PIPES } });

		ck_assert_int_eq(brood_popen_communicate(popen, "", 0,
							 i % 2 == 0 ? BROOD_FOREVER : PATIENCE),
				 0);
		ck_output_pattern(popen, 1, 100000);
		ck_assert_int_eq(exit_of(popen).kind, BROOD_LOST);
		brood_popen_free(popen);
	}
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(children_of_the_host_are_left_alone)
{
	pid_t ended = fork(), running;
	siginfo_t info;
	brood_popen *popen;

	if (ended == 0)
		_exit(5);
	running = fork();
	if (running == 0)
		for (;;)
			pause();
	ck_assert_int_eq(waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT), 0);
	for (int i = 0; i < 3; i++)
		converse(i);
	popen = popen_start(ACT("deaf", "stay"),
			    &(brood_popen_opts){ .spawn = { PIPES, .group = BROOD_GROUP_NEW } });
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_MSEC, NULL), 0);
	brood_popen_free(popen);
	ck_assert_int_eq(waitid(P_PID, (id_t)ended, &info, WEXITED), 0);
	ck_assert_int_eq(info.si_status, 5);
	ck_assert_int_eq(waitid(P_PID, (id_t)running, &info, WEXITED | WNOHANG), 0);
	kill(running, SIGKILL);
	ck_assert_int_eq(waitpid(running, NULL, 0), running);
}
END_TEST

/* ---- limits */

static void without_processes(void)
{
	const struct rlimit few = { 0, 0 };
	brood_fail fail = { .step = NULL };
	brood_popen *popen = NULL;
	int tee = open_file("tee", ""), next = dup(tee);

	close(next);
	if (geteuid() == 0) /* whom the limit does not bind */
		ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &few), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(
			brood_popen_start(BROOD_ARGV("true"),
					  &(brood_popen_opts){ .spawn = { PIPES, .fail = &fail },
							       .out = { .tee = tee } },
					  &popen),
			-EAGAIN);
		ck_assert_str_eq(fail.step, "clone");
		ck_assert_ptr_null(popen);
		ck_assert_int_eq(fcntl(next, F_GETFD), -1);
	}
	close(tee);
}

START_TEST(no_more_processes_is_told)
{
	in_fork(without_processes);
}
END_TEST

/* Starts until there are no descriptors left; what runs is none the worse. */
static void use_all_descriptors(void)
{
	brood_popen *popens[64] = { NULL };
	struct rlimit limit;
	int n = 0, r;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 60;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (;; n++) {
		brood_fail fail = { .step = NULL };

		r = brood_popen_start(ACT("copy"),
				      &(brood_popen_opts){ .spawn = { PIPES, .fail = &fail } },
				      &popens[n]);
		if (r < 0)
			break;
	}
	ck_assert_int_eq(r, -EMFILE);
	ck_assert_int_ge(n, 8);
	for (int round = 0; round < 50; round++)
		ck_assert_int_eq(brood_popen_start(ACT("copy"),
						   &(brood_popen_opts){ .spawn = { PIPES } },
						   &popens[n]),
				 -EMFILE);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(talk(popens[i], "abc", 3), 0);
		ck_output(popens[i], 1, "abc");
		brood_popen_free(popens[i]);
	}
	converse(1);
}

START_TEST(no_more_descriptors_is_told)
{
	in_fork(use_all_descriptors);
}
END_TEST

/* ---- the first process of a pid namespace */

static void be_first(void)
{
	ck_assert_int_eq(getpid(), 1);
	for (int i = 0; i < 5; i++)
		converse(i);
	for (int contain = 0; contain < 2; contain++) {
		brood_popen *popen =
			popen_start(ACT("deaf", "say", "ready\n", "stay"),
				    &(brood_popen_opts){ .spawn = { PIPES, .contain = contain } });

		expect(brood_popen_stream(popen, 1), "ready\n");
		ck_assert_int_eq(brood_popen_stop(popen, 10 * BROOD_MSEC, NULL), 0);
		ck_assert_int_eq(exit_of(popen).value, SIGKILL);
		brood_popen_free(popen);
	}
	/* Orphans fall to this process, and are not the library's business. */
	{
		brood_popen *popen =
			popen_start(ACT("keep", "60000", "", "say", "x"),
				    &(brood_popen_opts){ .spawn = { PIPE_OUT }, .linger_ns = -1 });

		ck_assert_int_eq(talk(popen, NULL, 0), 0);
		ck_assert_str_eq(output_of(popen, 1).data, "x");
		brood_popen_free(popen);
		ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
		kill(-1, SIGKILL);
		ck_assert_int_gt(waitpid(-1, NULL, 0), 0);
	}
}

static void enter_namespace(void)
{
	if (unshare(CLONE_NEWPID) < 0)
		fprintf(stderr, "skipped: no right to make a pid namespace\n");
	else
		in_fork(be_first);
}

START_TEST(a_host_that_is_the_first_process)
{
	in_fork(enter_namespace);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/popen, hosts");
	TCase *many = leak_case(suite, "many", 100);
	TCase *threads = leak_case(suite, "threads", 60);
	TCase *streams = leak_case(suite, "streams", 60);
	TCase *children = leak_case(suite, "children", 60);
	TCase *limits = leak_case(suite, "limits", 60);
	TCase *namespaces = leak_case(suite, "namespaces", 60);

	tcase_add_test(many, a_thousand_programs_at_once);
	tcase_add_test(many, a_thousand_programs_on_one_loop);
	tcase_add_test(many, a_host_with_a_thousand_descriptors);
	tcase_add_test(threads, threads_have_conversations_of_their_own);
	tcase_add_test(threads, threads_may_look_and_signal_beside);
	tcase_add_loop_test(streams, a_host_without_standard_streams, 0, 8);
	tcase_add_test(streams, a_tee_is_not_taken_for_a_standard_stream);
	tcase_add_test(children, a_host_that_reaps_everybody);
	tcase_add_test(children, a_host_that_ignores_sigchld);
	tcase_add_test(children, children_of_the_host_are_left_alone);
	tcase_add_test(limits, no_more_processes_is_told);
	tcase_add_test(limits, no_more_descriptors_is_told);
	tcase_add_test(namespaces, a_host_that_is_the_first_process);
	return leak_run(suite);
}
