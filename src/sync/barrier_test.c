#include <brood/barrier.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define MOST 6

static struct shared {
	union {
		brood_barrier barrier;
		char memory[4000];
	};
	flag here[8], go;
	int result[8], actions;
	long passed[8];
} * s;

static void make_for(uint32_t parties, int64_t timeout_ns)
{
	ck_assert_int_eq(brood_barrier_init(&s->barrier, sizeof(s->memory), parties, timeout_ns),
			 0);
}

static void make(void)
{
	s = share(sizeof(*s));
	make_for(3, BROOD_FOREVER);
}

static int meet(int64_t timeout)
{
	return brood_barrier_wait(&s->barrier, timeout);
}

static void wait_once(void *nth)
{
	s->result[(intptr_t)nth] = meet(PATIENCE_NS);
}

static pid_t start_waiter(intptr_t nth, int waiting)
{
	pid_t pid = peer(wait_once, (void *)nth);

	eventually(brood_barrier_waiting(&s->barrier) == waiting);
	return pid;
}

START_TEST(one_party_never_waits)
{
	make_for(1, BROOD_FOREVER);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(meet(0), 0);
	ck_assert_int_eq(brood_barrier_parties(&s->barrier), 1);
	ck_assert_int_eq(brood_barrier_waiting(&s->barrier), 0);
	ck_assert_int_eq(brood_barrier_broken(&s->barrier), 0);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[64];
	brood_barrier *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_barrier_wait(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_barrier_join(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_leave(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_reset(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_abort(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_broken(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_waiting(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_parties(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_barrier_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_barrier_init(NULL, 4000, 2, 0), -EINVAL);
	ck_assert_int_eq(brood_barrier_init(bad[2], 4000, 2, 0), -EINVAL);
	ck_assert_int_eq(brood_barrier_init(bad[1], brood_barrier_size(2) - 1, 2, 0), -EINVAL);
	ck_assert_int_eq(brood_barrier_init(bad[1], SIZE_MAX, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_barrier_init(bad[1], SIZE_MAX, BROOD_BARRIER_MOST + 1, 0), -EINVAL);
}
END_TEST

static void go_round(void *nth)
{
	intptr_t n = (intptr_t)nth;
	int parties = brood_barrier_parties(&s->barrier);

	for (long i = 0; i < 500; i++) {
		int r;

		__atomic_store_n(&s->passed[n], i + 1, __ATOMIC_SEQ_CST);
		r = meet(PATIENCE_NS);
		must(r >= 0 && r < parties);
		for (int other = 0; other < parties; other++) {
			long theirs = __atomic_load_n(&s->passed[other], __ATOMIC_SEQ_CST);

			must(theirs == i + 1 || theirs == i + 2);
		}
		__atomic_add_fetch(&s->result[r], 1, __ATOMIC_SEQ_CST);
	}
}

START_TEST(all_go_in_step_and_are_numbered)
{
	int parties = 2 + _i;
	pid_t pids[MOST];

	make_for((uint32_t)parties, BROOD_FOREVER);
	for (intptr_t i = 0; i < parties; i++)
		pids[i] = peer(go_round, (void *)i);
	for (int i = 0; i < parties; i++)
		ck_finishes(pids[i]);
	for (int i = 0; i < parties; i++)
		ck_assert_int_eq(s->result[i], 500);
}
END_TEST

static void *go_round_in_thread(void *nth)
{
	go_round(nth);
	return NULL;
}

START_TEST(threads_go_in_step)
{
	pthread_t threads[3];

	for (intptr_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, go_round_in_thread, (void *)i),
				 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

static int count_action(void *result)
{
	s->actions++;
	return *(int *)result;
}

static int zero, failure = -EIO;

static void wait_with_action(void *nth)
{
	s->result[(intptr_t)nth] =
		brood_barrier_wait_action(&s->barrier, PATIENCE_NS, count_action, &zero);
	must(s->result[(intptr_t)nth] >= 0);
	must(s->actions == 1);
}

START_TEST(the_action_runs_once_before_all_go)
{
	pid_t pids[3];

	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(wait_with_action, (void *)i);
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->actions, 1);
}
END_TEST

START_TEST(a_failing_action_breaks_it)
{
	pid_t pids[2] = { start_waiter(0, 1), start_waiter(1, 2) };

	ck_assert_int_eq(brood_barrier_wait_action(&s->barrier, 0, count_action, &failure), -EIO);
	for (int i = 0; i < 2; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], -ECANCELED);
	}
	ck_assert_int_eq(brood_barrier_broken(&s->barrier), 1);
}
END_TEST

static int meet_inside(void *unused)
{
	(void)unused;
	return meet(BROOD_FOREVER);
}

START_TEST(an_action_cannot_use_it)
{
	make_for(1, BROOD_FOREVER);
	ck_assert_int_eq(brood_barrier_wait_action(&s->barrier, 0, meet_inside, NULL), -EDEADLK);
	ck_assert_int_eq(meet(0), -ECANCELED);
}
END_TEST

START_TEST(a_timeout_breaks_it_for_all)
{
	pid_t pid = start_waiter(0, 1);
	char text[80];

	brood_barrier_describe(&s->barrier, text, sizeof(text));
	ck_assert_str_eq(text, "barrier, 1 of 3 wait");
	ck_assert_int_eq(meet(30 * BROOD_MSEC), -ETIMEDOUT);
	ck_finishes(pid);
	ck_assert_int_eq(s->result[0], -ECANCELED);
	ck_assert_int_eq(meet(PATIENCE_NS), -ECANCELED);
	brood_barrier_describe(&s->barrier, text, sizeof(text));
	ck_assert_str_eq(text, "barrier, broken");
	ck_assert_int_eq(brood_barrier_reset(&s->barrier), 0);
	ck_assert_int_eq(meet(0), -ETIMEDOUT);
	make_for(3, 20 * BROOD_MSEC);
	ck_assert_int_eq(meet(BROOD_FOREVER), -ETIMEDOUT);
}
END_TEST

static void ck_meets(void)
{
	pid_t pids[2] = { start_waiter(0, 1), start_waiter(1, 2) };

	ck_assert_int_eq(meet(PATIENCE_NS), 2);
	for (int i = 0; i < 2; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], i);
	}
}

START_TEST(abort_breaks_it_and_reset_mends_it)
{
	pid_t pids[2] = { start_waiter(0, 1), start_waiter(1, 2) };

	ck_assert_int_eq(brood_barrier_abort(&s->barrier), 0);
	for (int i = 0; i < 2; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], -ECANCELED);
	}
	ck_assert_int_eq(meet(PATIENCE_NS), -ECANCELED);
	ck_assert_int_eq(brood_barrier_reset(&s->barrier), 0);
	ck_meets();
	pids[0] = start_waiter(0, 1);
	ck_assert_int_eq(brood_barrier_reset(&s->barrier), 0);
	ck_finishes(pids[0]);
	ck_assert_int_eq(s->result[0], -ECANCELED);
	ck_assert_int_eq(brood_barrier_broken(&s->barrier), 0);
	ck_meets();
}
END_TEST

/* The first, the last, or both of those who wait: the others are let go at once. */
START_TEST(a_death_breaks_it)
{
	pid_t pids[3];

	make_for(4, BROOD_FOREVER);
	for (intptr_t i = 0; i < 3; i++)
		pids[i] = start_waiter(i, (int)i + 1);
	nap_ms(5);
	finish_off(pids[_i]);
	for (int i = 0; i < 3; i++)
		if (i != _i) {
			ck_finishes(pids[i]);
			ck_assert_int_eq(s->result[i], -ECANCELED);
		}
	ck_assert_int_eq(meet(PATIENCE_NS), -ECANCELED);
	ck_assert_int_eq(brood_barrier_reset(&s->barrier), 0);
	make_for(3, BROOD_FOREVER);
	ck_meets();
}
END_TEST

START_TEST(the_deaths_of_all_are_found_by_the_next)
{
	pid_t pids[2] = { start_waiter(0, 1), start_waiter(1, 2) };

	kill(pids[0], SIGKILL);
	kill(pids[1], SIGKILL);
	waitpid(pids[0], NULL, 0);
	waitpid(pids[1], NULL, 0);
	ck_assert_int_eq(meet(PATIENCE_NS), -ECANCELED);
	ck_assert_int_eq(brood_barrier_reset(&s->barrier), 0);
	ck_meets();
}
END_TEST

static void join_and_stay(void *unused)
{
	(void)unused;
	must(brood_barrier_join(&s->barrier) == 0);
	must(brood_barrier_join(&s->barrier) == -EALREADY);
	raise_flag(&s->here[0]);
	await(&s->go);
	must(meet(PATIENCE_NS) >= 0);
	raise_flag(&s->here[1]);
	pause();
}

START_TEST(who_joined_breaks_it_wherever_it_dies)
{
	pid_t joined, waiting[2];

	ck_assert_int_eq(brood_barrier_leave(&s->barrier), -EPERM);
	waiting[0] = start_waiter(0, 1);
	joined = peer(join_and_stay, NULL);
	await(&s->here[0]);
	if (_i == 1) { /* it dies after a good round, while others wait for the next */
		s->go = 1;
		ck_assert_int_ge(meet(PATIENCE_NS), 0);
		ck_finishes(waiting[0]);
		await(&s->here[1]);
		waiting[0] = start_waiter(0, 1);
	}
	waiting[1] = start_waiter(1, 2);
	nap_ms(5);
	finish_off(joined);
	for (int i = 0; i < 2; i++) {
		ck_finishes(waiting[i]);
		ck_assert_int_eq(s->result[i], -ECANCELED);
	}
	ck_assert_int_eq(brood_barrier_reset(&s->barrier), 0);
	ck_meets();
	ck_assert_int_eq(brood_barrier_join(&s->barrier), 0);
	ck_assert_int_eq(brood_barrier_leave(&s->barrier), 0);
	ck_assert_int_eq(brood_barrier_leave(&s->barrier), -EPERM);
}
END_TEST

START_TEST(more_than_the_parties_do_not_fit)
{
	pid_t pids[2];

	make_for(1, BROOD_FOREVER);
	for (int i = 0; i < 2; i++) {
		s->here[0] = 0;
		pids[i] = peer(join_and_stay, NULL);
		await(&s->here[0]);
	}
	ck_assert_int_eq(brood_barrier_join(&s->barrier), -EBUSY);
	ck_assert_int_eq(meet(0), -EBUSY);
	for (int i = 0; i < 2; i++)
		finish_off(pids[i]);
}
END_TEST

START_TEST(who_waits_costs_nothing)
{
	pid_t pids[2] = { start_waiter(0, 1), start_waiter(1, 2) };
	int64_t used;

	nap_ms(20);
	used = cpu_of(pids[0]) + cpu_of(pids[1]);
	nap_ms(200);
	ck_assert_int_le(cpu_of(pids[0]) + cpu_of(pids[1]) - used, 20 * BROOD_MSEC);
	finish_off(pids[0]);
	ck_finishes(pids[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/barrier");
	TCase *barrier = leak_case(suite, "barrier", 60);

	tcase_add_checked_fixture(barrier, make, NULL);
	tcase_add_test(barrier, one_party_never_waits);
	tcase_add_test(barrier, what_is_none_is_refused);
	tcase_add_loop_test(barrier, all_go_in_step_and_are_numbered, 0, 4);
	tcase_add_test(barrier, threads_go_in_step);
	tcase_add_test(barrier, the_action_runs_once_before_all_go);
	tcase_add_test(barrier, a_failing_action_breaks_it);
	tcase_add_test(barrier, an_action_cannot_use_it);
	tcase_add_test(barrier, a_timeout_breaks_it_for_all);
	tcase_add_test(barrier, abort_breaks_it_and_reset_mends_it);
	tcase_add_loop_test(barrier, a_death_breaks_it, 0, 3);
	tcase_add_test(barrier, the_deaths_of_all_are_found_by_the_next);
	tcase_add_loop_test(barrier, who_joined_breaks_it_wherever_it_dies, 0, 2);
	tcase_add_test(barrier, more_than_the_parties_do_not_fit);
	tcase_add_test(barrier, who_waits_costs_nothing);
	return leak_run(suite);
}
