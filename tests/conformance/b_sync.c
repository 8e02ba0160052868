/* Synchronisation as CPython's own tests have it: group B of the conformance cases
 *
 * Each case is one of those of CPython 3.13's test suite (its class and method in brackets), in
 * brood's words: what is False there is -ETIMEDOUT here, and an exception its error.
 *
 * Left out: each case's second run, with the proxies of a manager, and what the start methods do
 * with a lock that is handed to a child (the peers here are forked, and share the memory).
 * CPython gives acquire() a time-out that does not count unless it blocks; here there is one
 * number for both. */
#include <brood/barrier.h>
#include <brood/cond.h>
#include <brood/event.h>
#include <brood/rlock.h>
#include <brood/sem.h>
#include <brood/value.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define PARTIES 5
#define AT_ONCE_NS (10 * BROOD_SEC)
#define SHORT_NS (35 * BROOD_MSEC)
#define MIDDLE_NS (82 * BROOD_MSEC)
#define LONG_NS (140 * BROOD_MSEC)

/* A barrier with its table. */
union meeting {
	brood_barrier barrier;
	char memory[2000];
};

static struct shared {
	brood_lock lock;
	brood_rlock rlock;
	brood_cond cond; /* of the rlock, as threading and multiprocessing make them */
	brood_sem sem, sleeping, woken;
	brood_event event;
	brood_value value;
	union meeting meeting, after;
	long before, done;
	int number[PARTIES], timed_out, broken, passed, actions;
} * s;

static void meet_for(union meeting *meeting, uint32_t parties, int64_t timeout_ns)
{
	ck_assert_int_eq(
		brood_barrier_init(&meeting->barrier, sizeof(meeting->memory), parties, timeout_ns),
		0);
}

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_lock_init(&s->lock), 0);
	ck_assert_int_eq(brood_rlock_init(&s->rlock), 0);
	ck_assert_int_eq(brood_cond_init_recursive(&s->cond, &s->rlock), 0);
	ck_assert_int_eq(brood_sem_init(&s->sem, 0), 0);
	ck_assert_int_eq(brood_sem_init(&s->sleeping, 0), 0);
	ck_assert_int_eq(brood_sem_init(&s->woken, 0), 0);
	ck_assert_int_eq(brood_event_init(&s->event), 0);
	ck_assert_int_eq(brood_value_init(&s->value, 'i'), 0);
	meet_for(&s->meeting, PARTIES, BROOD_FOREVER);
	meet_for(&s->after, PARTIES, BROOD_FOREVER);
}

/* Runs body(0) … body(n - 1) at the same time: the last one here, the others as peers. */
static void together(intptr_t n, void (*body)(void *))
{
	pid_t pids[PARTIES];

	for (intptr_t i = 0; i < n - 1; i++)
		pids[i] = peer(body, (void *)i);
	body((void *)(n - 1));
	for (intptr_t i = 0; i < n - 1; i++)
		ck_finishes(pids[i]);
}

static int count(int *counter)
{
	return __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

/* Checks that since `began` at least this time has passed, and not very much more. */
static void ck_took(int64_t began, int64_t at_least)
{
	int64_t took = brood_now() - began;

	ck_assert_int_ge(took, at_least);
	ck_assert_int_lt(took, at_least + AT_ONCE_NS);
}

/* [_TestLock.test_lock] */
START_TEST(b01_a_lock_is_had_once)
{
	ck_assert_int_eq(brood_lock_acquire(&s->lock, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	ck_assert_int_eq(brood_lock_release(&s->lock), -EPERM);
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), 0);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
}
END_TEST

/* [_TestLock.test_rlock] */
START_TEST(b02_a_recursive_lock_is_had_three_times)
{
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_acquire(&s->rlock, BROOD_FOREVER), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), -EPERM);
}
END_TEST

static void take_two_and_give_them_back(brood_sem *sem)
{
	ck_assert_int_eq(brood_sem_value(sem), 2);
	ck_assert_int_eq(brood_sem_acquire(sem, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_sem_value(sem), 1);
	ck_assert_int_eq(brood_sem_acquire(sem, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_sem_value(sem), 0);
	ck_assert_int_eq(brood_sem_acquire(sem, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_sem_value(sem), 0);
	ck_assert_int_eq(brood_sem_release(sem), 0);
	ck_assert_int_eq(brood_sem_value(sem), 1);
	ck_assert_int_eq(brood_sem_release(sem), 0);
	ck_assert_int_eq(brood_sem_value(sem), 2);
}

/* [_TestSemaphore.test_semaphore] */
START_TEST(b03_a_semaphore_counts_beyond_its_start)
{
	ck_assert_int_eq(brood_sem_init(&s->sem, 2), 0);
	take_two_and_give_them_back(&s->sem);
	ck_assert_int_eq(brood_sem_release(&s->sem), 0);
	ck_assert_int_eq(brood_sem_release(&s->sem), 0);
	ck_assert_int_eq(brood_sem_value(&s->sem), 4);
}
END_TEST

/* [_TestSemaphore.test_bounded_semaphore] */
START_TEST(b04_a_bounded_semaphore_does_not)
{
	ck_assert_int_eq(brood_sem_init_bounded(&s->sem, 2, 2), 0);
	take_two_and_give_them_back(&s->sem);
	ck_assert_int_eq(brood_sem_release(&s->sem), -EOVERFLOW);
	ck_assert_int_eq(brood_sem_value(&s->sem), 2);
}
END_TEST

/* [_TestSemaphore.test_timeout] */
START_TEST(b05_a_semaphore_is_waited_for_so_long)
{
	/* Not blocking, and whatever is below zero. */
	const int64_t timeouts[] = { 0, -1, -AT_ONCE_NS, INT64_MIN, MIDDLE_NS, SHORT_NS, LONG_NS };

	for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
		int64_t began = brood_now();

		ck_assert_int_eq(brood_sem_acquire(&s->sem, timeouts[i]), -ETIMEDOUT);
		ck_took(began, timeouts[i] > 0 ? timeouts[i] : 0);
	}
	ck_assert_int_eq(brood_sem_value(&s->sem), 0);
}
END_TEST

/* CPython's f(): says that it sleeps, and that it woke, by semaphores. *timeout_ns is its. */
static void sleep_and_wake(void *timeout_ns)
{
	int64_t timeout = *(int64_t *)timeout_ns;

	must(brood_rlock_acquire(&s->rlock, PATIENCE_NS) == 0);
	must(brood_sem_release(&s->sleeping) == 0);
	must(brood_cond_wait(&s->cond, timeout) == (timeout < PATIENCE_NS ? -ETIMEDOUT : 0));
	must(brood_sem_release(&s->woken) == 0);
	must(brood_rlock_release(&s->rlock) == 0);
}

static void *sleep_and_wake_here(void *timeout_ns)
{
	sleep_and_wake(timeout_ns);
	return NULL;
}

struct sleepers {
	int n; /* so many processes, and as many threads */
	pid_t pids[3];
	pthread_t threads[3];
};

static void start_sleepers(struct sleepers *sleepers, int n, int64_t *timeout_ns)
{
	sleepers->n = n;
	for (int i = 0; i < n; i++)
		sleepers->pids[i] = peer(sleep_and_wake, timeout_ns);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(pthread_create(&sleepers->threads[i], NULL, sleep_and_wake_here,
						timeout_ns),
				 0);
	for (int i = 0; i < 2 * n; i++)
		ck_assert_int_eq(brood_sem_acquire(&s->sleeping, PATIENCE_NS), 0);
}

static void end_sleepers(struct sleepers *sleepers)
{
	for (int i = 0; i < sleepers->n; i++) {
		ck_finishes(sleepers->pids[i]);
		pthread_join(sleepers->threads[i], NULL);
	}
	ck_assert_int_eq(brood_cond_waiters(&s->cond), 0);
	ck_assert_int_eq(brood_sem_value(&s->woken), 0);
}

static void ck_woke(int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(brood_sem_acquire(&s->woken, PATIENCE_NS), 0);
	/* … and nobody else, though there was time. */
	ck_assert_int_eq(brood_sem_acquire(&s->woken, SHORT_NS), -ETIMEDOUT);
}

/* Who said that it sleeps may hold the lock still; once we have the lock it does sleep. */
static void notify(int n)
{
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, PATIENCE_NS), 0);
	ck_assert_int_eq(n > 0 ? brood_cond_notify(&s->cond, n) : brood_cond_notify_all(&s->cond),
			 0);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
}

/* [_TestCondition.test_notify] */
START_TEST(b06_each_notify_wakes_one)
{
	int64_t timeout_ns = BROOD_FOREVER;
	struct sleepers sleepers;

	start_sleepers(&sleepers, 1, &timeout_ns);
	eventually(brood_cond_waiters(&s->cond) == 2);
	ck_woke(0);
	notify(1);
	ck_woke(1);
	eventually(brood_cond_waiters(&s->cond) == 1);
	notify(1);
	ck_woke(1);
	end_sleepers(&sleepers);
}
END_TEST

/* [_TestCondition.test_notify_all] */
START_TEST(b07_notify_all_wakes_six)
{
	int64_t timeout_ns = SHORT_NS;
	struct sleepers sleepers;

	start_sleepers(&sleepers, 3, &timeout_ns);
	ck_woke(6);
	end_sleepers(&sleepers);
	timeout_ns = BROOD_FOREVER;
	start_sleepers(&sleepers, 3, &timeout_ns);
	eventually(brood_cond_waiters(&s->cond) == 6);
	ck_woke(0);
	notify(0);
	ck_woke(6);
	end_sleepers(&sleepers);
}
END_TEST

/* [_TestCondition.test_timeout] */
START_TEST(b09_a_condition_is_waited_for_so_long)
{
	int64_t began;

	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, BROOD_FOREVER), 0);
	began = brood_now();
	ck_assert_int_eq(brood_cond_wait(&s->cond, MIDDLE_NS), -ETIMEDOUT);
	ck_took(began, MIDDLE_NS);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	ck_assert_int_eq(brood_cond_wait(&s->cond, MIDDLE_NS), -EPERM);
}
END_TEST

static int64_t number(void)
{
	int64_t is = -1;

	must(brood_value_get_int(&s->value, &is) == 0);
	return is;
}

static bool is_four(void *unused)
{
	(void)unused;
	return number() == 4;
}

static bool is_zero(void *unused)
{
	(void)unused;
	return number() == 0;
}

/* Says that the value is zero, and waits until it is four. */
static void wait_for_four(void *unused)
{
	(void)unused;
	must(brood_rlock_acquire(&s->rlock, PATIENCE_NS) == 0);
	must(brood_value_set_int(&s->value, 0) == 0);
	must(brood_cond_notify(&s->cond, 1) == 0);
	must(brood_cond_wait_for(&s->cond, is_four, NULL, PATIENCE_NS) == 0);
	must(is_four(NULL));
	must(brood_rlock_release(&s->rlock) == 0);
}

/* [_TestCondition.test_waitfor] */
START_TEST(b10_it_is_waited_for_what_becomes_true)
{
	pid_t pid;

	ck_assert_int_eq(brood_value_set_int(&s->value, -1), 0);
	pid = peer(wait_for_four, NULL);
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_cond_wait_for(&s->cond, is_zero, NULL, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	for (int i = 0; i < 4; i++) {
		nap_ms(10);
		ck_assert_int_eq(brood_rlock_acquire(&s->rlock, PATIENCE_NS), 0);
		ck_assert_int_eq(brood_value_add(&s->value, 1, NULL), 0);
		ck_assert_int_eq(brood_cond_notify(&s->cond, 1), 0);
		ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	}
	ck_finishes(pid);
}
END_TEST

static void wait_for_four_in_vain(void *unused)
{
	int64_t began, took;

	(void)unused;
	must(brood_rlock_acquire(&s->rlock, PATIENCE_NS) == 0);
	must(brood_sem_release(&s->sleeping) == 0);
	began = brood_now();
	must(brood_cond_wait_for(&s->cond, is_four, NULL, LONG_NS) == -ETIMEDOUT);
	took = brood_now() - began;
	/* That it was notified meanwhile does not begin the time anew. */
	must(took >= LONG_NS && took < LONG_NS + AT_ONCE_NS);
	must(brood_rlock_release(&s->rlock) == 0);
}

/* [_TestCondition.test_waitfor_timeout] */
START_TEST(b11_what_never_is_true_is_given_up)
{
	pid_t pid = peer(wait_for_four_in_vain, NULL);

	ck_assert_int_eq(brood_sem_acquire(&s->sleeping, PATIENCE_NS), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_value_add(&s->value, 1, NULL), 0);
		notify(1);
		nap_ms(10);
	}
	ck_finishes(pid);
}
END_TEST

static void set_later(void *unused)
{
	(void)unused;
	nap_ms(60);
	must(brood_event_set(&s->event) == 0);
}

/* [_TestEvent.test_event] */
START_TEST(b13_an_event_lets_through_while_it_is_set)
{
	int64_t began = brood_now();
	pid_t pid;

	ck_assert_int_eq(brood_event_is_set(&s->event), 0);
	ck_assert_int_eq(brood_event_wait(&s->event, 0), -ETIMEDOUT);
	ck_took(began, 0);
	began = brood_now();
	ck_assert_int_eq(brood_event_wait(&s->event, MIDDLE_NS), -ETIMEDOUT);
	ck_took(began, MIDDLE_NS);
	ck_assert_int_eq(brood_event_set(&s->event), 0);
	ck_assert_int_eq(brood_event_is_set(&s->event), 1);
	began = brood_now();
	ck_assert_int_eq(brood_event_wait(&s->event, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_event_wait(&s->event, 0), 0);
	ck_took(began, 0);
	ck_assert_int_eq(brood_event_clear(&s->event), 0);
	ck_assert_int_eq(brood_event_is_set(&s->event), 0);
	pid = peer(set_later, NULL);
	ck_assert_int_eq(brood_event_wait(&s->event, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_event_is_set(&s->event), 1);
	ck_finishes(pid);
}
END_TEST

static int meet(int64_t timeout_ns)
{
	return brood_barrier_wait(&s->meeting.barrier, timeout_ns);
}

static long read_long(const long *from)
{
	return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}

/* CPython's multipass(): two meetings a round, and between them nobody is in another part. */
static void pass(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		__atomic_add_fetch(&s->before, 1, __ATOMIC_SEQ_CST);
		must(read_long(&s->done) == i * PARTIES);
		must(meet(PATIENCE_NS) >= 0);
		__atomic_add_fetch(&s->done, 1, __ATOMIC_SEQ_CST);
		must(read_long(&s->before) == (i + 1) * PARTIES);
		must(meet(PATIENCE_NS) >= 0);
	}
	must(meet(PATIENCE_NS) >= 0);
	must(read_long(&s->done) == rounds * PARTIES);
	must(brood_barrier_broken(&s->meeting.barrier) == 0);
}

static void pass_once(void *nth)
{
	(void)nth;
	pass(1);
}

static void pass_ten_times(void *nth)
{
	(void)nth;
	pass(10);
}

/* [_TestBarrier.test_barrier, test_barrier_10] */
START_TEST(b14_nobody_begins_before_all_have_ended)
{
	together(PARTIES, _i == 0 ? pass_once : pass_ten_times);
	ck_assert_int_eq(brood_barrier_waiting(&s->meeting.barrier), 0);
}
END_TEST

static void note_number(void *nth)
{
	unsigned number = (unsigned)meet(PATIENCE_NS); /* an error is a large one */

	(void)nth;
	must(number < PARTIES);
	count(&s->number[number]);
}

/* [_TestBarrier.test_wait_return] */
START_TEST(b15_each_gets_a_number_of_its_own)
{
	together(PARTIES, note_number);
	for (int i = 0; i < PARTIES; i++)
		ck_assert_int_eq(s->number[i], 1);
}
END_TEST

static int act(void *counter)
{
	count(counter);
	return 0;
}

static void meet_and_act(void *nth)
{
	(void)nth;
	for (int i = 1; i <= 3; i++) {
		must(brood_barrier_wait_action(&s->meeting.barrier, PATIENCE_NS, act,
					       &s->actions) >= 0);
		must(__atomic_load_n(&s->actions, __ATOMIC_SEQ_CST) == i);
		must(meet(PATIENCE_NS) >= 0);
	}
}

/* [_TestBarrier.test_action] */
START_TEST(b16_the_action_runs_once_a_round)
{
	together(PARTIES, meet_and_act);
	ck_assert_int_eq(s->actions, 3);
}
END_TEST

/* All meet, then one aborts instead of coming again. */
static void meet_but_one_aborts(void *nth)
{
	int number = meet(PATIENCE_NS), r;

	(void)nth;
	must(number >= 0);
	if (number == PARTIES / 2) {
		must(brood_barrier_abort(&s->meeting.barrier) == 0);
		return;
	}
	r = meet(PATIENCE_NS);
	must(r == -ECANCELED);
	count(&s->broken);
}

/* [_TestBarrier.test_abort] */
START_TEST(b17_an_abort_breaks_it_for_all)
{
	together(PARTIES, meet_but_one_aborts);
	ck_assert_int_eq(s->broken, PARTIES - 1);
	ck_assert_int_eq(brood_barrier_broken(&s->meeting.barrier), 1);
	ck_assert_int_eq(meet(PATIENCE_NS), -ECANCELED);
	ck_assert_int_eq(brood_barrier_broken(&s->meeting.barrier), 1);
}
END_TEST

/* The same; then one of them, whoever it is, resets it, and all meet again. */
static void abort_and_reset(void *nth)
{
	int number;

	meet_but_one_aborts(nth);
	number = brood_barrier_wait(&s->after.barrier, PATIENCE_NS);
	must(number >= 0);
	if (number == PARTIES / 2)
		must(brood_barrier_reset(&s->meeting.barrier) == 0);
	must(brood_barrier_wait(&s->after.barrier, PATIENCE_NS) >= 0);
	must(meet(PATIENCE_NS) >= 0);
	count(&s->passed);
}

/* [_TestBarrier.test_abort_and_reset] */
START_TEST(b19_a_reset_mends_it)
{
	together(PARTIES, abort_and_reset);
	ck_assert_int_eq(s->broken, PARTIES - 1);
	ck_assert_int_eq(s->passed, PARTIES);
	ck_assert_int_eq(brood_barrier_broken(&s->meeting.barrier), 0);
}
END_TEST

/* One comes only when the others have given up. */
static void come_late(int64_t timeout_ns)
{
	int number = meet(PATIENCE_NS), r;

	must(number >= 0);
	if (number == PARTIES / 2)
		must(brood_event_wait(&s->event, PATIENCE_NS) == 0);
	r = meet(timeout_ns);
	must(r == -ETIMEDOUT || r == -ECANCELED);
	must(number != PARTIES / 2 || r == -ECANCELED);
	if (r == -ETIMEDOUT)
		count(&s->timed_out);
	if (count(&s->broken) == PARTIES - 1)
		must(brood_event_set(&s->event) == 0);
}

static void come_late_with_a_timeout(void *nth)
{
	(void)nth;
	come_late(MIDDLE_NS);
}

static void come_late_without(void *nth)
{
	(void)nth;
	come_late(BROOD_FOREVER);
}

/* [_TestBarrier.test_timeout, test_default_timeout] */
START_TEST(b19_who_is_late_breaks_it_for_all)
{
	if (_i == 1)
		meet_for(&s->meeting, PARTIES, MIDDLE_NS);
	together(PARTIES, _i == 1 ? come_late_without : come_late_with_a_timeout);
	ck_assert_int_eq(s->broken, PARTIES);
	ck_assert_int_ge(s->timed_out, 1);
	ck_assert_int_eq(brood_barrier_broken(&s->meeting.barrier), 1);
}
END_TEST

static void pass_a_thousand_times(void *nth)
{
	(void)nth;
	pass(1000);
}

/* [_TestBarrier.test_thousand] */
START_TEST(b20_a_thousand_rounds_in_step)
{
	together(PARTIES, pass_a_thousand_times);
}
END_TEST

/* [_TestBarrier.test_single_thread] */
START_TEST(b20_one_party_alone_never_waits)
{
	meet_for(&s->meeting, 1, BROOD_FOREVER);
	ck_assert_int_eq(meet(BROOD_FOREVER), 0);
	ck_assert_int_eq(meet(BROOD_FOREVER), 0);
	ck_assert_int_eq(meet(0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conformance B");
	TCase *tcase = leak_case(suite, "B", 60);

	tcase_add_checked_fixture(tcase, make, NULL);
	tcase_add_test(tcase, b01_a_lock_is_had_once);
	tcase_add_test(tcase, b02_a_recursive_lock_is_had_three_times);
	tcase_add_test(tcase, b03_a_semaphore_counts_beyond_its_start);
	tcase_add_test(tcase, b04_a_bounded_semaphore_does_not);
	tcase_add_test(tcase, b05_a_semaphore_is_waited_for_so_long);
	tcase_add_test(tcase, b06_each_notify_wakes_one);
	tcase_add_test(tcase, b07_notify_all_wakes_six);
	tcase_add_test(tcase, b09_a_condition_is_waited_for_so_long);
	tcase_add_test(tcase, b10_it_is_waited_for_what_becomes_true);
	tcase_add_test(tcase, b11_what_never_is_true_is_given_up);
	tcase_add_test(tcase, b13_an_event_lets_through_while_it_is_set);
	tcase_add_loop_test(tcase, b14_nobody_begins_before_all_have_ended, 0, 2);
	tcase_add_test(tcase, b15_each_gets_a_number_of_its_own);
	tcase_add_test(tcase, b16_the_action_runs_once_a_round);
	tcase_add_test(tcase, b17_an_abort_breaks_it_for_all);
	tcase_add_test(tcase, b19_a_reset_mends_it);
	tcase_add_loop_test(tcase, b19_who_is_late_breaks_it_for_all, 0, 2);
	tcase_add_test(tcase, b20_a_thousand_rounds_in_step);
	tcase_add_test(tcase, b20_one_party_alone_never_waits);
	return leak_run(suite);
}
