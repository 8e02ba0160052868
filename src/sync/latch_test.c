#include <brood/latch.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static brood_latch *latch;

static void make(void)
{
	latch = share(sizeof(*latch));
	ck_assert_int_eq(brood_latch_init(latch, 3), 0);
}

START_TEST(it_counts_down)
{
	int64_t began = brood_now();

	ck_assert_int_eq(brood_latch_wait(latch, 60 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 60 * BROOD_MSEC);
	ck_assert_int_eq(brood_latch_count(latch), 3);
	ck_assert_int_eq(brood_latch_count_down(latch, 4), -ERANGE);
	ck_assert_int_eq(brood_latch_count_down(latch, 2), 0);
	ck_assert_int_eq(brood_latch_count_down(latch, 2), -ERANGE);
	ck_assert_int_eq(brood_latch_count(latch), 1);
	ck_assert_int_eq(brood_latch_wait(latch, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_latch_wait(latch, -1), -ETIMEDOUT);
	ck_assert_int_eq(brood_latch_count_down(latch, 1), 0);
	ck_assert_int_eq(brood_latch_count(latch), 0);
	ck_assert_int_eq(brood_latch_wait(latch, 0), 0);
	ck_assert_int_eq(brood_latch_wait(latch, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_latch_count_down(latch, 1), -ERANGE);
	ck_assert_int_eq(brood_latch_init(latch, 0), 0);
	ck_assert_int_eq(brood_latch_wait(latch, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_latch_init(latch, BROOD_LATCH_MOST), 0);
	ck_assert_int_eq(brood_latch_count_down(latch, BROOD_LATCH_MOST), 0);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[8];
	brood_latch *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_latch_count_down(bad[i], 1), -EINVAL);
		ck_assert_int_eq(brood_latch_wait(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_latch_count(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_latch_waiters(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_latch_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_latch_init(NULL, 1), -EINVAL);
	ck_assert_int_eq(brood_latch_init(bad[2], 1), -EINVAL);
	ck_assert_int_eq(brood_latch_init(latch, BROOD_LATCH_MOST + 1), -EINVAL);
	ck_assert_int_eq(brood_latch_count_down(latch, 0), -EINVAL);
}
END_TEST

static void wait_for_it(void *unused)
{
	(void)unused;
	must(brood_latch_wait(latch, PATIENCE_NS) == 0);
}

START_TEST(the_last_one_lets_all_through)
{
	pid_t pids[4];
	char text[80];

	for (int i = 0; i < 4; i++)
		pids[i] = peer(wait_for_it, NULL);
	eventually(brood_latch_waiters(latch) == 4);
	ck_assert_int_eq(brood_latch_count_down(latch, 2), 0);
	ck_assert_int_eq(brood_latch_waiters(latch), 4);
	brood_latch_describe(latch, text, sizeof(text));
	ck_assert_str_eq(text, "latch, 1 left, 4 waiting");
	finish_off(pids[2]);
	ck_assert_int_eq(brood_latch_waiters(latch), 3);
	ck_assert_int_eq(brood_latch_count_down(latch, 1), 0);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			ck_finishes(pids[i]);
	brood_latch_describe(latch, text, sizeof(text));
	ck_assert_str_eq(text, "latch, 0 left, 0 waiting");
}
END_TEST

static void arrive(void *round)
{
	must(brood_latch_count_down(&latch[(intptr_t)round], 1) == 0);
	must(brood_latch_wait(&latch[(intptr_t)round], PATIENCE_NS) == 0);
}

/* The last to come and those who go to sleep meet in every way. */
START_TEST(all_who_come_get_through)
{
	enum { ROUNDS = 100, PARTIES = 4 };
	pid_t pids[PARTIES];

	latch = share(ROUNDS * sizeof(*latch));
	for (intptr_t i = 0; i < ROUNDS; i++) {
		ck_assert_int_eq(brood_latch_init(&latch[i], PARTIES), 0);
		for (int k = 0; k < PARTIES; k++)
			pids[k] = peer(arrive, (void *)i);
		for (int k = 0; k < PARTIES; k++)
			ck_finishes(pids[k]);
		ck_assert_int_eq(brood_latch_count(&latch[i]), 0);
	}
}
END_TEST

static void *arrive_in_thread(void *round)
{
	arrive(round);
	return NULL;
}

START_TEST(threads_get_through_too)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, arrive_in_thread, NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(brood_latch_count(latch), 0);
}
END_TEST

static void count_in_handler(int signum)
{
	int saved = errno;

	(void)signum;
	(void)brood_latch_count_down(latch, 1);
	errno = saved;
}

/* The first two do not end the wait, the third one does. */
static void wait_for_handler(void *unused)
{
	struct sigaction action = { .sa_handler = count_in_handler };

	(void)unused;
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < 50; i++) {
		must(brood_latch_init(latch, 3) == 0);
		setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 300 }, { 0, 300 } }, NULL);
		must(brood_latch_wait(latch, PATIENCE_NS) == 0);
		setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
		must(brood_latch_count(latch) == 0);
	}
}

START_TEST(a_handler_may_count_down_what_its_thread_waits_for)
{
	ck_finishes(peer(wait_for_handler, NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/latch");
	TCase *latches = leak_case(suite, "latch", 60);

	tcase_add_checked_fixture(latches, make, NULL);
	tcase_add_test(latches, it_counts_down);
	tcase_add_test(latches, what_is_none_is_refused);
	tcase_add_test(latches, the_last_one_lets_all_through);
	tcase_add_test(latches, all_who_come_get_through);
	tcase_add_test(latches, threads_get_through_too);
	tcase_add_test(latches, a_handler_may_count_down_what_its_thread_waits_for);
	return leak_run(suite);
}
