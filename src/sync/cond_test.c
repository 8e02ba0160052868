#include <brood/cond.h>
#include <brood/event.h>
#include <brood/sem.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define IDLE_NS (1200 * BROOD_MSEC)

static struct shared {
	brood_lock lock;
	brood_rlock rlock;
	brood_cond cond, other, recursive;
	int gone, value, items;
	int result[8];
	flag here, go;
	brood_sem sem;
	brood_event event;
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_lock_init(&s->lock), 0);
	ck_assert_int_eq(brood_rlock_init(&s->rlock), 0);
	ck_assert_int_eq(brood_cond_init(&s->cond, &s->lock), 0);
	ck_assert_int_eq(brood_cond_init(&s->other, &s->lock), 0);
	ck_assert_int_eq(brood_cond_init_recursive(&s->recursive, &s->rlock), 0);
}

static void lock(void)
{
	ck_assert_int_ge(brood_lock_acquire(&s->lock, PATIENCE_NS), 0);
}

static void unlock(void)
{
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
}

static void notify(int n)
{
	lock();
	ck_assert_int_eq(brood_cond_notify(&s->cond, n), 0);
	unlock();
}

START_TEST(what_is_none_or_not_held_is_refused)
{
	static uint64_t memory[32];
	brood_cond *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_cond_wait(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_cond_wait_for(bad[i], NULL, NULL, 0), -EINVAL);
		ck_assert_int_eq(brood_cond_notify(bad[i], 1), -EINVAL);
		ck_assert_int_eq(brood_cond_notify_all(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_cond_waiters(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_cond_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_cond_init(NULL, &s->lock), -EINVAL);
	ck_assert_int_eq(brood_cond_init(bad[2], &s->lock), -EINVAL);
	ck_assert_int_eq(brood_cond_init(&s->cond, NULL), -EINVAL);
	ck_assert_int_eq(brood_cond_init(&s->cond, (void *)memory), -EINVAL);
	ck_assert_int_eq(brood_cond_init_recursive(&s->cond, (void *)memory), -EINVAL);
	ck_assert_int_eq(brood_cond_wait(&s->cond, 0), -EPERM);
	ck_assert_int_eq(brood_cond_notify(&s->cond, 1), -EPERM);
	ck_assert_int_eq(brood_cond_notify_all(&s->cond), -EPERM);
	lock();
	ck_assert_int_eq(brood_cond_notify(&s->cond, -1), -EINVAL);
	ck_assert_int_eq(brood_cond_wait_for(&s->cond, NULL, NULL, 0), -EINVAL);
	unlock();
}
END_TEST

START_TEST(a_wait_ends_at_its_timeout_with_the_lock)
{
	int64_t began = brood_now();

	lock();
	ck_assert_int_eq(brood_cond_wait(&s->cond, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_cond_wait(&s->cond, 60 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 60 * BROOD_MSEC);
	ck_assert_int_eq(brood_lock_owner(&s->lock), getpid());
	unlock();
	notify(1); /* nobody waits: nothing is kept */
	lock();
	ck_assert_int_eq(brood_cond_wait(&s->cond, 10 * BROOD_MSEC), -ETIMEDOUT);
	unlock();
}
END_TEST

static void wait_once(void *nth)
{
	intptr_t n = (intptr_t)nth;

	must(brood_lock_acquire(&s->lock, PATIENCE_NS) >= 0);
	s->result[n] = brood_cond_wait(&s->cond, PATIENCE_NS);
	must(s->result[n] >= 0);
	s->gone++;
	must(brood_lock_release(&s->lock) == 0);
}

static void *wait_in_thread(void *nth)
{
	wait_once(nth);
	return NULL;
}

static int gone(void)
{
	int n;

	lock();
	n = s->gone;
	unlock();
	return n;
}

/* Lets the others run for a while, to see that nobody goes who should not. */
static void ck_stay_gone(int n)
{
	nap_ms(40);
	ck_assert_int_eq(gone(), n);
}

START_TEST(notify_lets_one_go)
{
	pthread_t thread;
	pid_t pid = peer(wait_once, (void *)1);
	char text[80];

	ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_thread, (void *)2), 0);
	eventually(brood_cond_waiters(&s->cond) == 2);
	brood_cond_describe(&s->cond, text, sizeof(text));
	ck_assert_str_eq(text, "condition, 2 waiting");
	lock();
	ck_assert_int_eq(brood_cond_notify(&s->other, 5), 0);
	ck_assert_int_eq(brood_cond_notify(&s->cond, 0), 0);
	unlock();
	ck_stay_gone(0);
	notify(1);
	eventually(gone() == 1);
	ck_stay_gone(1);
	notify(1);
	eventually(gone() == 2);
	ck_finishes(pid);
	pthread_join(thread, NULL);
	ck_assert_int_eq(s->result[1] + s->result[2], 0);
}
END_TEST

START_TEST(notify_n_lets_n_go)
{
	pid_t pids[6];

	for (intptr_t i = 0; i < 6; i++)
		pids[i] = peer(wait_once, (void *)i);
	eventually(brood_cond_waiters(&s->cond) == 6);
	notify(3);
	eventually(gone() == 3);
	ck_stay_gone(3);
	notify(2);
	eventually(gone() == 5);
	ck_stay_gone(5);
	notify(10);
	for (int i = 0; i < 6; i++)
		ck_finishes(pids[i]);
	ck_assert_uint_eq(s->cond.permits, 0);
	ck_assert_uint_eq(s->cond.waiting, 0);
}
END_TEST

static void wait_shortly(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
	must(brood_cond_wait(&s->cond, 30 * BROOD_MSEC) == -ETIMEDOUT);
	must(brood_lock_release(&s->lock) == 0);
}

START_TEST(notify_all_lets_all_go)
{
	pid_t pids[6];

	for (int i = 0; i < 6; i++)
		pids[i] = peer(wait_shortly, NULL);
	for (int i = 0; i < 6; i++)
		ck_finishes(pids[i]);
	for (intptr_t i = 0; i < 6; i++)
		pids[i] = peer(wait_once, (void *)i);
	eventually(brood_cond_waiters(&s->cond) == 6);
	lock();
	ck_assert_int_eq(brood_cond_notify_all(&s->cond), 0);
	unlock();
	for (int i = 0; i < 6; i++)
		ck_finishes(pids[i]);
}
END_TEST

static bool is_four(void *unused)
{
	(void)unused;
	return s->value == 4;
}

static void wait_for_four(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
	must(brood_cond_wait_for(&s->cond, is_four, NULL, PATIENCE_NS) == 0);
	must(s->value == 4);
	must(brood_lock_release(&s->lock) == 0);
}

START_TEST(wait_for_waits_until_it_is_true)
{
	pid_t pid = peer(wait_for_four, NULL);

	for (int i = 0; i < 4; i++) {
		eventually(brood_cond_waiters(&s->cond) == 1);
		lock();
		s->value++;
		ck_assert_int_eq(brood_cond_notify(&s->cond, 1), 0);
		unlock();
	}
	ck_finishes(pid);
	lock();
	s->value = 5;
	ck_assert_int_eq(brood_cond_wait_for(&s->cond, is_four, NULL, 40 * BROOD_MSEC), -ETIMEDOUT);
	s->value = 4;
	ck_assert_int_eq(brood_cond_wait_for(&s->cond, is_four, NULL, 0), 0);
	unlock();
}
END_TEST

static void wait_deep(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++)
		must(brood_rlock_acquire(&s->rlock, PATIENCE_NS) == 0);
	must(brood_cond_wait(&s->recursive, PATIENCE_NS) == 0);
	for (int i = 0; i < 3; i++)
		must(brood_rlock_release(&s->rlock) == 0);
	must(brood_rlock_release(&s->rlock) == -EPERM);
}

START_TEST(a_recursive_lock_is_left_whole_and_had_again)
{
	pid_t pid = peer(wait_deep, NULL);

	eventually(brood_cond_waiters(&s->recursive) == 1);
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 0), 0);
	ck_assert_int_eq(brood_cond_notify(&s->recursive, 1), 0);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	ck_finishes(pid);
}
END_TEST

/* Killed when it is just let go, or any time near. */
START_TEST(a_killed_waiter_leaves_its_turn_to_another)
{
	for (int round = 0; round < 30; round++) {
		pid_t first = peer(wait_once, (void *)1), second;

		eventually(brood_cond_waiters(&s->cond) == 1);
		second = peer(wait_once, (void *)2);
		eventually(brood_cond_waiters(&s->cond) == 2);
		s->gone = 0;
		lock();
		ck_assert_int_eq(brood_cond_notify(&s->cond, 1), 0);
		if (round % 2 == 0)
			finish_off(first);
		unlock();
		if (round % 2 != 0) {
			for (volatile int spin = round * 300; spin > 0; spin--)
				;
			finish_off(first);
		}
		nap_ms(2);
		if (gone() > 0 && waitpid(second, NULL, WNOHANG) == 0)
			notify(1); /* it had gone before it was killed */
		else if (gone() > 0)
			continue;
		ck_finishes(second);
	}
}
END_TEST

static void change_and_die(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
	s->items++;
	raise_flag(&s->here);
	pause(); /* it does not come to notify */
}

START_TEST(a_waiter_is_told_when_the_locks_owner_dies)
{
	pid_t waiters[3], owner;
	int told = 0;

	for (intptr_t i = 0; i < 3; i++)
		waiters[i] = peer(wait_once, (void *)i);
	eventually(brood_cond_waiters(&s->cond) == 3);
	owner = peer(change_and_die, NULL);
	await(&s->here);
	nap_ms(20);
	finish_off(owner);
	eventually(__atomic_load_n(&s->gone, __ATOMIC_SEQ_CST) ==
		   1); /* without the lock, or we were told */
	lock();
	ck_assert_int_eq(brood_cond_notify_all(&s->cond), 0);
	unlock();
	for (int i = 0; i < 3; i++) {
		ck_finishes(waiters[i]);
		told += s->result[i];
	}
	ck_assert_int_eq(told, 1);
}
END_TEST

static void consume(void *n)
{
	for (intptr_t i = 0; i < (intptr_t)n; i++) {
		must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
		while (s->items == 0)
			must(brood_cond_wait(&s->cond, PATIENCE_NS) == 0);
		s->items--;
		must(brood_cond_notify(&s->other, 1) == 0);
		must(brood_lock_release(&s->lock) == 0);
	}
}

static void produce(void *n)
{
	for (intptr_t i = 0; i < (intptr_t)n; i++) {
		must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
		while (s->items == 3)
			must(brood_cond_wait(&s->other, PATIENCE_NS) == 0);
		s->items++;
		must(brood_cond_notify(&s->cond, 1) == 0);
		must(brood_lock_release(&s->lock) == 0);
	}
}

START_TEST(producers_and_consumers_all_get_through)
{
	pid_t pids[6];

	for (int i = 0; i < 6; i++)
		pids[i] = peer(i % 2 ? consume : produce, (void *)2000);
	for (int i = 0; i < 6; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->items, 0);
}
END_TEST

static void *produce_in_thread(void *n)
{
	produce(n);
	return NULL;
}

START_TEST(threads_get_through_too)
{
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce_in_thread, (void *)500),
				 0);
	consume((void *)1000);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

/* Others use the lock all the time, for something else. */
static void keep_busy(void *unused)
{
	(void)unused;
	while (!s->go) {
		must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
		must(brood_lock_release(&s->lock) == 0);
	}
}

START_TEST(a_waiter_costs_little_beside_a_busy_lock)
{
	pid_t busy[2], pid = peer(wait_once, (void *)1);
	int64_t used;

	eventually(brood_cond_waiters(&s->cond) == 1);
	busy[0] = peer(keep_busy, NULL);
	busy[1] = peer(keep_busy, NULL);
	used = cpu_of(pid);
	nap_ms(200);
	used = cpu_of(pid) - used;
	notify(1);
	s->go = 1;
	ck_finishes(pid);
	for (int i = 0; i < 2; i++)
		ck_finishes(busy[i]);
	ck_assert_int_le(used, 20 * BROOD_MSEC);
}
END_TEST

/* Each way to wait, for what does not come in that time. */
static int wait_for_nothing(int way)
{
	switch (way) {
	case 0:
		return brood_lock_acquire(&s->lock, IDLE_NS);
	case 1:
		return brood_sem_acquire(&s->sem, IDLE_NS);
	case 2:
		return brood_event_wait(&s->event, IDLE_NS);
	default:
		must(brood_lock_acquire(&s->lock, 0) == 0);
		return brood_cond_wait(&s->cond, IDLE_NS);
	}
}

/* Asleep, a waiter is not scheduled at all; where several words cannot be slept on it looks each 50 ms. */
static void wait_idly(void *way)
{
	struct rusage before, after;
	int64_t used = cpu_of(getpid()), began = brood_now();

	must(getrusage(RUSAGE_SELF, &before) == 0);
	must(wait_for_nothing((int)(intptr_t)way) == -ETIMEDOUT);
	must(getrusage(RUSAGE_SELF, &after) == 0);
	must(brood_now() - began >= IDLE_NS);
	must(after.ru_nvcsw - before.ru_nvcsw < 60);
	must(cpu_of(getpid()) - used < 50 * BROOD_MSEC);
}

START_TEST(an_idle_waiter_uses_no_processor)
{
	bool locked = _i == 0;
	pid_t pid;

	ck_assert_int_eq(brood_sem_init(&s->sem, 0), 0);
	ck_assert_int_eq(brood_event_init(&s->event), 0);
	if (locked)
		lock();
	pid = peer(wait_idly, (void *)(intptr_t)_i);
	ck_finishes(pid);
	if (locked)
		unlock();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/cond");
	TCase *cond = leak_case(suite, "cond", 60);

	tcase_add_checked_fixture(cond, make, NULL);
	tcase_add_test(cond, what_is_none_or_not_held_is_refused);
	tcase_add_test(cond, a_wait_ends_at_its_timeout_with_the_lock);
	tcase_add_test(cond, notify_lets_one_go);
	tcase_add_test(cond, notify_n_lets_n_go);
	tcase_add_test(cond, notify_all_lets_all_go);
	tcase_add_test(cond, wait_for_waits_until_it_is_true);
	tcase_add_test(cond, a_recursive_lock_is_left_whole_and_had_again);
	tcase_add_test(cond, a_killed_waiter_leaves_its_turn_to_another);
	tcase_add_test(cond, a_waiter_is_told_when_the_locks_owner_dies);
	tcase_add_test(cond, producers_and_consumers_all_get_through);
	tcase_add_test(cond, threads_get_through_too);
	tcase_add_test(cond, a_waiter_costs_little_beside_a_busy_lock);
	tcase_add_loop_test(cond, an_idle_waiter_uses_no_processor, 0, 4);
	return leak_run(suite);
}
