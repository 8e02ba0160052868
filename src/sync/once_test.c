#include <brood/once.h>

#include <errno.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	brood_once once;
	flag here;
	int runs, again, outcome;
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_once_init(&s->once), 0);
}

static int work(void *result, bool again)
{
	s->runs++;
	s->again += again;
	return *(int *)result;
}

static int good, bad = -EIO;

START_TEST(it_is_done_once)
{
	ck_assert_int_eq(brood_once_is_done(&s->once), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_once_run(&s->once, work, &good, 0), 0);
	ck_assert_int_eq(s->runs, 1);
	ck_assert_int_eq(s->again, 0);
	ck_assert_int_eq(brood_once_is_done(&s->once), 1);
}
END_TEST

START_TEST(a_failure_is_handed_on_and_tried_again)
{
	ck_assert_int_eq(brood_once_run(&s->once, work, &bad, 0), -EIO);
	ck_assert_int_eq(brood_once_is_done(&s->once), 0);
	ck_assert_int_eq(brood_once_run(&s->once, work, &good, 0), 0);
	ck_assert_int_eq(s->runs, 2);
	ck_assert_int_eq(s->again, 1);
}
END_TEST

static int stay(void *unused, bool again)
{
	(void)unused, (void)again;
	raise_flag(&s->here);
	pause();
	return 0;
}

static void run_and_stay(void *unused)
{
	(void)unused;
	brood_once_run(&s->once, stay, NULL, BROOD_FOREVER);
}

START_TEST(a_death_half_way_is_made_up_for)
{
	pid_t pid = peer(run_and_stay, NULL);

	await(&s->here);
	ck_assert_int_eq(brood_once_run(&s->once, work, &good, 20 * BROOD_MSEC), -ETIMEDOUT);
	finish_off(pid);
	ck_assert_int_eq(brood_once_run(&s->once, work, &good, PATIENCE_NS), 0);
	ck_assert_int_eq(s->again, 1);
	ck_assert_int_eq(brood_once_is_done(&s->once), 1);
}
END_TEST

static int run_inside(void *unused, bool again)
{
	(void)unused, (void)again;
	return brood_once_run(&s->once, work, &good, BROOD_FOREVER);
}

START_TEST(what_cannot_be_run_is_refused)
{
	static uint64_t memory[32];

	ck_assert_int_eq(brood_once_run(&s->once, run_inside, NULL, 0), -EDEADLK);
	ck_assert_int_eq(brood_once_run(&s->once, NULL, NULL, 0), -EINVAL);
	ck_assert_int_eq(brood_once_run((void *)memory, work, &good, 0), -EINVAL);
	ck_assert_int_eq(brood_once_is_done(NULL), -EINVAL);
	ck_assert_int_eq(brood_once_init(NULL), -EINVAL);
	ck_assert_int_eq(brood_once_init((void *)((char *)memory + 4)), -EINVAL);
}
END_TEST

static void race(void *unused)
{
	(void)unused;
	must(brood_once_run(&s->once, work, &good, PATIENCE_NS) == 0);
	must(s->runs == 1);
}

START_TEST(of_many_one_does_it)
{
	pid_t pids[6];

	for (int i = 0; i < 6; i++)
		pids[i] = peer(race, NULL);
	for (int i = 0; i < 6; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->runs, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/once");
	TCase *once = leak_case(suite, "once", 60);

	tcase_add_checked_fixture(once, make, NULL);
	tcase_add_test(once, it_is_done_once);
	tcase_add_test(once, a_failure_is_handed_on_and_tried_again);
	tcase_add_test(once, a_death_half_way_is_made_up_for);
	tcase_add_test(once, what_cannot_be_run_is_refused);
	tcase_add_test(once, of_many_one_does_it);
	return leak_run(suite);
}
