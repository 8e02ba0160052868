#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "tests/unit/leak.h"

START_TEST(what_is_opened_is_close_on_exec)
{
	int fd = bri_open("/dev/null", O_RDWR, 0), ends[2];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	ck_assert_int_eq(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert_int_eq(read(ends[0], &(char){ 0 }, 1), 1);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(open_says_why_not)
{
	ck_assert_int_eq(bri_open("/nowhere/at/all", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(bri_open("/dev/null/x", O_RDONLY, 0), -ENOTDIR);
}
END_TEST

START_TEST(open_creates_with_the_mode)
{
	struct stat st;
	int fd;

	umask(0);
	fd = bri_open(scratch_path("new"), O_WRONLY | O_CREAT, 0604);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0604);
	close(fd);
}
END_TEST

START_TEST(a_descriptor_is_closed_once_and_forgotten)
{
	int fd = bri_open("/dev/null", O_RDONLY, 0), copy = fd, none = -1;

	bri_closep(&fd);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(fcntl(copy, F_GETFD), -1);
	bri_closep(&fd);
	bri_closep(&none);
}
END_TEST

START_TEST(a_taken_descriptor_stays_open)
{
	int kept, freed;

	{
		bri_cleanup(bri_closep) int gone = bri_open("/dev/null", O_RDONLY, 0);
		bri_cleanup(bri_closep) int fd = bri_open("/dev/null", O_RDONLY, 0);

		freed = gone;
		kept = bri_take_fd(&fd);
		ck_assert_int_eq(fd, -1);
	}
	ck_assert_int_eq(fcntl(freed, F_GETFD), -1);
	ck_assert_int_eq(fcntl(kept, F_GETFD), FD_CLOEXEC);
	close(kept);
}
END_TEST

START_TEST(open_and_writable_are_told)
{
	int null = bri_open("/dev/null", O_RDONLY, 0), both = bri_open("/dev/null", O_RDWR, 0),
	    path = bri_open("/dev/null", O_PATH, 0), ends[2];

	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	ck_assert(bri_is_open(null) && !bri_is_writable(null));
	ck_assert(bri_is_open(both) && bri_is_writable(both));
	ck_assert(bri_is_open(path) && !bri_is_writable(path));
	ck_assert(bri_is_open(ends[0]) && !bri_is_writable(ends[0]));
	ck_assert(bri_is_open(ends[1]) && bri_is_writable(ends[1]));
	close(null);
	close(both);
	close(path);
	close(ends[0]);
	close(ends[1]);
	ck_assert(!bri_is_open(both) && !bri_is_writable(both));
	ck_assert(!bri_is_open(-1) && !bri_is_writable(-1));
}
END_TEST

/* ---- writing without SIGPIPE */

static int broken_pipe(void)
{
	int ends[2];

	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	close(ends[0]);
	return ends[1];
}

static bool is_pending(int signum)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, signum) == 1;
}

static bool is_blocked(int signum)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return sigismember(&mask, signum) == 1;
}

static void block(int how, int signum)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signum);
	pthread_sigmask(how, &set, NULL);
}

static _Atomic(int) caught; /* by whichever thread it comes to */

static void catch (int signum)
{
	(void)signum;
	caught++;
}

START_TEST(a_quiet_write_writes)
{
	int ends[2];
	char text[4];

	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	ck_assert_int_eq(bri_write_quietly(ends[1], "abc", 3), 3);
	ck_assert_int_eq(bri_write_quietly(ends[1], "", 0), 0);
	ck_assert_int_eq(read(ends[0], text, 4), 3);
	ck_assert_mem_eq(text, "abc", 3);
	ck_assert_int_eq(bri_write_quietly(ends[0], "abc", 3), -EBADF);
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ends[1], "0123456789", 10) == 10)
		continue;
	ck_assert_int_eq(bri_write_quietly(ends[1], "0123456789", 10), -EAGAIN);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(no_sigpipe_whatever_its_disposition)
{
	void (*const dispositions[])(int) = { SIG_DFL, SIG_IGN, catch };
	int fd = broken_pipe();

	for (int i = 0; i < 3; i++) {
		signal(SIGPIPE, dispositions[i]);
		for (int blocked = 0; blocked < 2; blocked++) {
			block(blocked ? SIG_BLOCK : SIG_UNBLOCK, SIGPIPE);
			ck_assert_int_eq(bri_write_quietly(fd, "x", 1), -EPIPE);
			ck_assert(is_blocked(SIGPIPE) == (blocked == 1));
			ck_assert(!is_pending(SIGPIPE));
		}
		block(SIG_UNBLOCK, SIGPIPE);
	}
	ck_assert_int_eq(caught, 0);
	signal(SIGPIPE, SIG_DFL);
	close(fd);
}
END_TEST

/* One that waited before, for the process or for the thread, is not ours to take away. */
START_TEST(a_sigpipe_that_was_waiting_stays)
{
	int fd = broken_pipe();

	signal(SIGPIPE, catch);
	block(SIG_BLOCK, SIGPIPE);
	if (_i == 0)
		kill(getpid(), SIGPIPE);
	else
		raise(SIGPIPE);
	ck_assert(is_pending(SIGPIPE));
	ck_assert_int_eq(bri_write_quietly(fd, "x", 1), -EPIPE);
	ck_assert(is_pending(SIGPIPE));
	ck_assert_int_eq(bri_write_quietly(fd, "x", 1), -EPIPE);
	ck_assert(is_pending(SIGPIPE));
	block(SIG_UNBLOCK, SIGPIPE);
	ck_assert_int_eq(caught, 1);
	signal(SIGPIPE, SIG_DFL);
	close(fd);
}
END_TEST

static void exceed_the_limit(void)
{
	void (*const dispositions[])(int) = { SIG_DFL, SIG_IGN, catch };
	int fd = bri_open(scratch_path("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	/* Check has a file of its own, which may grow. */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1 << 20, 1 << 20 }), 0);
	ck_assert_int_eq(lseek(fd, (1 << 20) - 10, SEEK_SET), (1 << 20) - 10);
	ck_assert_int_eq(bri_write_quietly(fd, "0123456789ab", 12), 10);
	for (int i = 0; i < 3; i++) {
		signal(SIGXFSZ, dispositions[i]);
		for (int blocked = 0; blocked < 2; blocked++) {
			block(blocked ? SIG_BLOCK : SIG_UNBLOCK, SIGXFSZ);
			ck_assert_int_eq(bri_write_quietly(fd, "x", 1), -EFBIG);
			ck_assert(is_blocked(SIGXFSZ) == (blocked == 1));
			ck_assert(!is_blocked(SIGPIPE));
			ck_assert(!is_pending(SIGXFSZ));
		}
		raise(SIGXFSZ); /* one that waits is not ours to take away */
		ck_assert_int_eq(bri_write_quietly(fd, "x", 1), -EFBIG);
		ck_assert(is_pending(SIGXFSZ));
		signal(SIGXFSZ, SIG_IGN); /* which takes it away */
		block(SIG_UNBLOCK, SIGXFSZ);
	}
	ck_assert_int_eq(caught, 0);
	close(fd);
}

START_TEST(a_file_that_is_too_large_raises_no_signal_either)
{
	in_fork(exceed_the_limit);
}
END_TEST

START_TEST(other_signals_come_through)
{
	int fd = broken_pipe();

	signal(SIGUSR1, catch);
	block(SIG_BLOCK, SIGUSR1);
	raise(SIGUSR1);
	ck_assert_int_eq(bri_write_quietly(fd, "x", 1), -EPIPE);
	ck_assert(is_pending(SIGUSR1));
	block(SIG_UNBLOCK, SIGUSR1);
	ck_assert_int_eq(caught, 1);
	signal(SIGUSR1, SIG_DFL);
	close(fd);
}
END_TEST

static int broken = -1;

static void *write_often(void *blocked)
{
	if (blocked != NULL)
		block(SIG_BLOCK, SIGPIPE);
	for (int i = 0; i < 20000; i++)
		ck_assert_int_eq(bri_write_quietly(broken, "x", 1), -EPIPE);
	ck_assert(!is_pending(SIGPIPE));
	ck_assert(is_blocked(SIGPIPE) == (blocked != NULL));
	return NULL;
}

START_TEST(threads_do_not_raise_it_in_each_other)
{
	pthread_t threads[4];

	broken = broken_pipe();
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_often,
						i % 2 == 0 ? NULL : &threads[i]),
				 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert(!is_pending(SIGPIPE));
	close(broken);
}
END_TEST

static void *read_slowly(void *fd)
{
	char bytes[4096];
	size_t total = 0;
	ssize_t n;

	do {
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
		n = read(*(int *)fd, bytes, sizeof(bytes));
		if (n > 0)
			total += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return (void *)total;
}

START_TEST(interruptions_are_not_seen)
{
	const struct itimerval storm = { { 0, 1000 }, { 0, 1000 } }, calm = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = catch };
	static char bytes[300000];
	size_t written = 0;
	pthread_t thread;
	void *got;
	int ends[2];

	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_slowly, &ends[0]), 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &storm, NULL);
	while (written < sizeof(bytes)) {
		ssize_t n = bri_write_quietly(ends[1], bytes + written, sizeof(bytes) - written);

		ck_assert_int_gt(n, 0);
		written += (size_t)n;
	}
	setitimer(ITIMER_REAL, &calm, NULL);
	close(ends[1]);
	pthread_join(thread, &got);
	ck_assert_uint_eq((size_t)got, sizeof(bytes));
	ck_assert_int_gt(caught, 5);
	signal(SIGALRM, SIG_DFL);
	close(ends[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/fd");
	TCase *fd = leak_case(suite, "fd", 10);
	TCase *quiet = leak_case(suite, "quiet", 30);

	tcase_add_test(fd, what_is_opened_is_close_on_exec);
	tcase_add_test(fd, open_says_why_not);
	tcase_add_test(fd, open_creates_with_the_mode);
	tcase_add_test(fd, a_descriptor_is_closed_once_and_forgotten);
	tcase_add_test(fd, a_taken_descriptor_stays_open);
	tcase_add_test(fd, open_and_writable_are_told);
	tcase_add_test(quiet, a_quiet_write_writes);
	tcase_add_test(quiet, no_sigpipe_whatever_its_disposition);
	tcase_add_loop_test(quiet, a_sigpipe_that_was_waiting_stays, 0, 2);
	tcase_add_test(quiet, a_file_that_is_too_large_raises_no_signal_either);
	tcase_add_test(quiet, other_signals_come_through);
	tcase_add_test(quiet, threads_do_not_raise_it_in_each_other);
	tcase_add_test(quiet, interruptions_are_not_seen);
	return leak_run(suite);
}
