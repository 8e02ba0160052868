#include <brood/sem.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	brood_sem sem, bounded, back;
	flag here[8];
	int inside, most;
	int result[8];
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_sem_init(&s->sem, 2), 0);
	ck_assert_int_eq(brood_sem_init(&s->back, 0), 0);
	ck_assert_int_eq(brood_sem_init_bounded(&s->bounded, 2, 2), 0);
}

START_TEST(it_counts)
{
	ck_assert_int_eq(brood_sem_acquire(&s->sem, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_sem_value(&s->sem), 1);
	ck_assert_int_eq(brood_sem_acquire(&s->sem, 0), 0);
	ck_assert_int_eq(brood_sem_value(&s->sem), 0);
	ck_assert_int_eq(brood_sem_acquire(&s->sem, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_sem_acquire(&s->sem, -1), -ETIMEDOUT);
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(brood_sem_release(&s->sem), 0);
		ck_assert_int_eq(brood_sem_value(&s->sem), i);
	}
}
END_TEST

START_TEST(a_bounded_one_has_a_bound)
{
	ck_assert_int_eq(brood_sem_release(&s->bounded), -EOVERFLOW);
	ck_assert_int_eq(brood_sem_acquire(&s->bounded, 0), 0);
	ck_assert_int_eq(brood_sem_release(&s->bounded), 0);
	ck_assert_int_eq(brood_sem_release(&s->bounded), -EOVERFLOW);
	ck_assert_int_eq(brood_sem_value(&s->bounded), 2);
	s->bounded.word |= 0x80000000; /* as if a waiter were asleep */
	ck_assert_int_eq(brood_sem_release(&s->bounded), -EOVERFLOW);
	ck_assert_int_eq(brood_sem_init(&s->sem, BROOD_SEM_MOST), 0);
	ck_assert_int_eq(brood_sem_release(&s->sem), -EOVERFLOW);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[40];
	brood_sem *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_sem_acquire(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_sem_release(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_sem_value(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_sem_waiters(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_sem_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_sem_init(NULL, 1), -EINVAL);
	ck_assert_int_eq(brood_sem_init(bad[2], 1), -EINVAL);
	ck_assert_int_eq(brood_sem_init(&s->sem, BROOD_SEM_MOST + 1), -EINVAL);
	ck_assert_int_eq(brood_sem_init_bounded(&s->sem, 3, 2), -EINVAL);
	ck_assert_int_eq(brood_sem_init_bounded(&s->sem, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_sem_init_bounded(&s->sem, 0, UINT32_MAX), -EINVAL);
	s->sem.stamp ^= UINT64_C(1) << 40;
	ck_assert_int_eq(brood_sem_acquire(&s->sem, 0), -EXDEV);
	ck_assert_int_eq(brood_sem_release(&s->sem), -EXDEV);
}
END_TEST

START_TEST(a_wait_ends_at_its_timeout)
{
	int64_t began = brood_now();

	ck_assert_int_eq(brood_sem_acquire(&s->back, 60 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 60 * BROOD_MSEC);
	ck_assert_int_eq(brood_sem_release(&s->back), 0);
	ck_assert_int_eq(brood_sem_acquire(&s->back, PATIENCE_NS), 0);
}
END_TEST

static void take(void *nth)
{
	must(brood_sem_acquire(&s->back, PATIENCE_NS) == 0);
	raise_flag(&s->here[(intptr_t)nth]);
}

START_TEST(each_release_lets_one_go)
{
	pid_t pids[3];
	char text[80];

	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(take, (void *)i);
	eventually(brood_sem_waiters(&s->back) == 3);
	brood_sem_describe(&s->back, text, sizeof(text));
	ck_assert_str_eq(text, "semaphore, 0 free, 3 waiting");
	brood_sem_describe(&s->bounded, text, sizeof(text));
	ck_assert_str_eq(text, "semaphore, 2 free of at most 2, 0 waiting");
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_sem_release(&s->back), 0);
		eventually(s->here[0] + s->here[1] + s->here[2] == i + 1);
	}
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	ck_assert_uint_eq(s->back.word, 0);
}
END_TEST

/* Both go for good though one is killed when it was just woken, or any time near. */
START_TEST(a_killed_waiter_does_not_lose_the_permit)
{
	for (int round = 0; round < 40; round++) {
		pid_t first = peer(take, (void *)1), second;

		eventually(brood_sem_waiters(&s->back) == 1);
		second = peer(take, (void *)2);
		eventually(brood_sem_waiters(&s->back) == 2);
		ck_assert_int_eq(brood_sem_release(&s->back), 0);
		for (volatile int spin = round * 200; spin > 0; spin--)
			;
		finish_off(first);
		if (s->here[1]) /* it had it already, and took it along */
			ck_assert_int_eq(brood_sem_release(&s->back), 0);
		s->here[1] = 0;
		eventually(s->here[2] || brood_sem_waiters(&s->back) == 0 ||
			   brood_sem_value(&s->back) == 0);
		if (!s->here[2]) { /* taken, and dead before it could say so? */
			nap_ms(20);
			if (!s->here[2])
				ck_assert_int_eq(brood_sem_release(&s->back), 0);
		}
		ck_finishes(second);
		s->here[2] = 0;
		while (brood_sem_acquire(&s->back, 0) == 0)
			;
	}
}
END_TEST

static void pass_through(void *sem)
{
	for (int i = 0; i < 5000; i++) {
		int now;

		must(brood_sem_acquire(sem, PATIENCE_NS) == 0);
		now = __atomic_add_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
		must(now <= 2);
		__atomic_sub_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
		must(brood_sem_release(sem) == 0);
	}
}

START_TEST(no_more_than_its_permits_are_inside)
{
	brood_sem *sem = _i == 0 ? &s->sem : &s->bounded;
	pid_t pids[5];

	for (int i = 0; i < 5; i++)
		pids[i] = peer(pass_through, sem);
	for (int i = 0; i < 5; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(brood_sem_value(sem), 2);
	ck_assert_int_eq(brood_sem_waiters(sem), 0);
}
END_TEST

static void ping(void *rounds)
{
	for (intptr_t i = 0; i < (intptr_t)rounds; i++) {
		must(brood_sem_acquire(&s->back, PATIENCE_NS) == 0);
		must(brood_sem_release(&s->bounded) == 0);
	}
}

START_TEST(two_hand_permits_to_each_other)
{
	pid_t pid;

	ck_assert_int_eq(brood_sem_init_bounded(&s->bounded, 0, 1), 0);
	pid = peer(ping, (void *)5000);
	for (int i = 0; i < 5000; i++) {
		ck_assert_int_eq(brood_sem_release(&s->back), 0);
		ck_assert_int_eq(brood_sem_acquire(&s->bounded, PATIENCE_NS), 0);
	}
	ck_finishes(pid);
}
END_TEST

static void *pass_in_thread(void *unused)
{
	pass_through(&s->sem);
	return unused;
}

START_TEST(threads_pass_too)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, pass_in_thread, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(brood_sem_value(&s->sem), 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/sem");
	TCase *sem = leak_case(suite, "sem", 60);

	tcase_add_checked_fixture(sem, make, NULL);
	tcase_add_test(sem, it_counts);
	tcase_add_test(sem, a_bounded_one_has_a_bound);
	tcase_add_test(sem, what_is_none_is_refused);
	tcase_add_test(sem, a_wait_ends_at_its_timeout);
	tcase_add_test(sem, each_release_lets_one_go);
	tcase_add_test(sem, a_killed_waiter_does_not_lose_the_permit);
	tcase_add_loop_test(sem, no_more_than_its_permits_are_inside, 0, 2);
	tcase_add_test(sem, two_hand_permits_to_each_other);
	tcase_add_test(sem, threads_pass_too);
	return leak_run(suite);
}
