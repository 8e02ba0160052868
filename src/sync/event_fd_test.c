#include <brood/event.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static int event;

static void make(void)
{
	ck_assert_int_eq(brood_event_fd_new(&event), 0);
}

static void end(void)
{
	close(event);
}

static bool is_readable(void)
{
	struct pollfd polled = { .fd = event, .events = POLLIN };

	return poll(&polled, 1, 0) == 1 && polled.revents == POLLIN;
}

START_TEST(it_is_readable_while_it_is_set)
{
	ck_assert_int_eq(fcntl(event, F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		ck_assert(!is_readable());
		ck_assert_int_eq(brood_event_fd_wait(event, 0), -ETIMEDOUT);
		ck_assert_int_eq(brood_event_fd_wait(event, BROOD_MSEC), -ETIMEDOUT);
		ck_assert_int_eq(brood_event_fd_set(event), 0);
		ck_assert_int_eq(brood_event_fd_set(event), 0);
		ck_assert(is_readable());
		ck_assert_int_eq(brood_event_fd_wait(event, 0), 0);
		ck_assert_int_eq(brood_event_fd_wait(event, BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_event_fd_clear(event), 0);
		ck_assert_int_eq(brood_event_fd_clear(event), 0);
	}
}
END_TEST

START_TEST(a_count_at_its_end_is_set)
{
	uint64_t most = UINT64_MAX - 1;

	ck_assert_int_eq(write(event, &most, sizeof(most)), sizeof(most));
	errno = 7;
	ck_assert_int_eq(brood_event_fd_set(event), 0);
	ck_assert_int_eq(errno, 7);
	ck_assert_int_eq(brood_event_fd_clear(event), 0);
	ck_assert(!is_readable());
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	struct rlimit limit, none;
	int fd = -1, pipe_ends[2];

	ck_assert_int_eq(brood_event_fd_set(-1), -EBADF);
	ck_assert_int_eq(brood_event_fd_clear(-1), -EBADF);
	ck_assert_int_eq(brood_event_fd_wait(-1, 0), -EBADF);
	ck_assert_int_eq(pipe(pipe_ends), 0);
	ck_assert_int_eq(write(pipe_ends[1], "no", 2), 2);
	ck_assert_int_eq(brood_event_fd_clear(pipe_ends[0]), -EINVAL);
	ck_assert_int_eq(brood_event_fd_set(pipe_ends[0]), -EBADF);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	ck_assert_int_eq(brood_event_fd_wait(pipe_ends[0], 0), -EBADF);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(brood_event_fd_new(&fd), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(fd, -1);
}
END_TEST

static void wait_for_it(void *unused)
{
	(void)unused;
	must(brood_event_fd_wait(event, PATIENCE_NS) == 0);
}

START_TEST(all_who_wait_are_let_through_though_one_was_killed)
{
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = peer(wait_for_it, NULL);
	finish_off(pids[2]);
	ck_assert_int_eq(brood_event_fd_set(event), 0);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			ck_finishes(pids[i]);
}
END_TEST

static void set_in_handler(int signum)
{
	(void)signum;
	(void)brood_event_fd_set(event);
}

static void do_nothing(int signum)
{
	(void)signum;
}

static void wait_for_handler(void *unused)
{
	struct sigaction action = { .sa_handler = do_nothing };

	(void)unused;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 300 }, { 0, 300 } }, NULL);
	must(brood_event_fd_wait(event, 20 * BROOD_MSEC) == -ETIMEDOUT);
	action.sa_handler = set_in_handler;
	sigaction(SIGALRM, &action, NULL);
	must(brood_event_fd_wait(event, PATIENCE_NS) == 0);
}

START_TEST(signals_do_not_end_a_wait_but_by_setting_it)
{
	ck_finishes(peer(wait_for_handler, NULL));
}
END_TEST

static void *wait_in_thread(void *unused)
{
	ck_assert_int_eq(brood_event_fd_wait(event, PATIENCE_NS), 0);
	return unused;
}

START_TEST(threads_wait_too)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_in_thread, NULL), 0);
	ck_assert_int_eq(brood_event_fd_set(event), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/event_fd");
	TCase *events = leak_case(suite, "event", 60);

	tcase_add_checked_fixture(events, make, end);
	tcase_add_test(events, it_is_readable_while_it_is_set);
	tcase_add_test(events, a_count_at_its_end_is_set);
	tcase_add_test(events, what_is_none_is_refused);
	tcase_add_test(events, all_who_wait_are_let_through_though_one_was_killed);
	tcase_add_test(events, signals_do_not_end_a_wait_but_by_setting_it);
	tcase_add_test(events, threads_wait_too);
	return leak_run(suite);
}
