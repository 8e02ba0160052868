#include "os/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"

START_TEST(the_clock_goes_forward)
{
	int64_t last = brood_now();

	ck_assert_int_gt(last, 0);
	for (int i = 0; i < 1000; i++) {
		int64_t now = brood_now();

		ck_assert_int_ge(now, last);
		last = now;
	}
}
END_TEST

START_TEST(a_deadline_lies_a_timeout_ahead)
{
	int64_t before = brood_now(), deadline = bri_deadline(5 * BROOD_SEC);

	ck_assert_int_ge(deadline, before + 5 * BROOD_SEC);
	ck_assert_int_le(deadline, brood_now() + 5 * BROOD_SEC);
}
END_TEST

START_TEST(a_deadline_saturates)
{
	static const int64_t at_once[] = { 0, -1, INT64_MIN },
			     forever[] = { BROOD_FOREVER, BROOD_FOREVER - 1 };

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(bri_deadline(at_once[i]), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(bri_deadline(forever[i]), BROOD_FOREVER);
	/* A timeout of 200 years is finite, and stays so. */
	ck_assert_int_lt(bri_deadline(BROOD_SEC * 86400 * 365 * 200), BROOD_FOREVER);
}
END_TEST

START_TEST(the_remainder_is_never_negative)
{
	struct timespec left = { -1, -1 };

	ck_assert_ptr_null(bri_remaining(BROOD_FOREVER, &left));
	ck_assert_ptr_eq(bri_remaining(0, &left), &left);
	ck_assert(left.tv_sec == 0 && left.tv_nsec == 0);
	bri_remaining(brood_now() - BROOD_SEC, &left);
	ck_assert(left.tv_sec == 0 && left.tv_nsec == 0);
	bri_remaining(brood_now() + 100 * BROOD_SEC, &left);
	ck_assert(left.tv_sec >= 90 && left.tv_sec <= 100 && left.tv_nsec >= 0 &&
		  left.tv_nsec < BROOD_SEC);
}
END_TEST

static void nothing(int signum)
{
	(void)signum;
}

/* A handler every 2 ms, without SA_RESTART. */
static void interrupt_often(bool on)
{
	const struct itimerval often = { { 0, on ? 2000 : 0 }, { 0, on ? 2000 : 0 } };

	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = nothing }, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

START_TEST(signals_neither_end_nor_extend_a_wait)
{
	int64_t before, took;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	interrupt_often(true);
	before = brood_now();
	ck_assert_int_eq(bri_wait_readable(ends[0], bri_deadline(100 * BROOD_MSEC)), -ETIMEDOUT);
	took = brood_now() - before;
	interrupt_often(false);
	ck_assert_int_ge(took, 100 * BROOD_MSEC);
	ck_assert_int_lt(took, 5 * BROOD_SEC);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_deadline_is_a_timeout_again)
{
	int64_t left = bri_timeout(bri_deadline(BROOD_SEC));

	ck_assert_int_le(left, BROOD_SEC);
	ck_assert_int_gt(left, BROOD_SEC - 10 * BROOD_SEC);
	ck_assert_int_eq(bri_timeout(BROOD_FOREVER), BROOD_FOREVER);
	ck_assert_int_eq(bri_timeout(0), 0);
	ck_assert_int_lt(bri_timeout(brood_now() - 1), 0);
}
END_TEST

START_TEST(several_are_polled_at_once)
{
	struct pollfd both[2];
	struct rlimit usual;
	int ends[2], r;

	ck_assert_int_eq(pipe(ends), 0);
	both[0] = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	both[1] = (struct pollfd){ .fd = ends[1], .events = POLLOUT };
	ck_assert_int_eq(bri_poll(both, 1, 0), 0);
	ck_assert_int_eq(bri_poll(both, 2, BROOD_FOREVER), 1);
	ck_assert_int_eq(both[0].revents, 0);
	ck_assert_int_eq(both[1].revents, POLLOUT);
	/* More than one may have open is refused. */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 1, usual.rlim_max }), 0);
	r = bri_poll(both, 2, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
	ck_assert_int_eq(r, -EINVAL);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_wait_ends_when_there_is_something)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(bri_wait_readable(ends[0], 0), -ETIMEDOUT);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert_int_eq(bri_wait_readable(ends[0], 0), 0);
	ck_assert_int_eq(bri_wait_readable(ends[0], BROOD_FOREVER), 0);
	ck_assert_int_eq(read(ends[0], &(char){ 0 }, 1), 1);
	close(ends[1]); /* a hang-up is something, too */
	ck_assert_int_eq(bri_wait_readable(ends[0], BROOD_FOREVER), 0);
	close(ends[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/clock");
	TCase *clock = leak_case(suite, "clock", 10);

	tcase_add_test(clock, the_clock_goes_forward);
	tcase_add_test(clock, a_deadline_lies_a_timeout_ahead);
	tcase_add_test(clock, a_deadline_saturates);
	tcase_add_test(clock, the_remainder_is_never_negative);
	tcase_add_test(clock, signals_neither_end_nor_extend_a_wait);
	tcase_add_test(clock, a_wait_ends_when_there_is_something);
	tcase_add_test(clock, a_deadline_is_a_timeout_again);
	tcase_add_test(clock, several_are_polled_at_once);
	return leak_run(suite);
}
