#include <brood/permits.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define N 3

static struct shared {
	union {
		brood_permits permits;
		char memory[2000];
	};
	flag here[8];
	int result[8], inside;
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_permits_init(&s->permits, sizeof(s->memory), N), 0);
}

static int take(int64_t timeout)
{
	return brood_permits_acquire(&s->permits, timeout);
}

static int give(void)
{
	return brood_permits_release(&s->permits);
}

START_TEST(it_counts)
{
	ck_assert_int_eq(give(), -EPERM);
	for (int i = N; i > 0; i--) {
		ck_assert_int_eq(brood_permits_value(&s->permits), i);
		ck_assert_int_eq(take(0), 0);
	}
	ck_assert_int_eq(take(0), -ETIMEDOUT);
	ck_assert_int_eq(take(30 * BROOD_MSEC), -ETIMEDOUT);
	for (uint32_t i = 0; i < N; i++)
		ck_assert_int_eq(brood_permits_holder(&s->permits, i), getpid());
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(give(), 0);
	ck_assert_int_eq(give(), -EPERM);
	ck_assert_int_eq(brood_permits_value(&s->permits), N);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[32];
	brood_permits *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_permits_acquire(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_permits_release(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_permits_value(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_permits_holder(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_permits_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_permits_holder(&s->permits, N), -EINVAL);
	ck_assert_int_eq(brood_permits_init(NULL, 2000, N), -EINVAL);
	ck_assert_int_eq(brood_permits_init(bad[2], 2000, N), -EINVAL);
	ck_assert_int_eq(brood_permits_init(bad[1], brood_permits_size(N) - 1, N), -EINVAL);
	ck_assert_int_eq(brood_permits_init(bad[1], SIZE_MAX, 0), -EINVAL);
	ck_assert_int_eq(brood_permits_init(bad[1], SIZE_MAX, BROOD_PERMITS_MOST + 1), -EINVAL);
	ck_assert_uint_eq(brood_permits_size(0), 0);
	ck_assert_uint_eq(brood_permits_size(BROOD_PERMITS_MOST + 1), 0);
}
END_TEST

static void hold(void *nth)
{
	must(take(PATIENCE_NS) >= 0 && take(PATIENCE_NS) >= 0);
	raise_flag(&s->here[(intptr_t)nth]);
	pause();
}

START_TEST(the_dead_give_theirs_back)
{
	pid_t pid = peer(hold, NULL);
	char text[120], wanted[120];

	await(&s->here[0]);
	ck_assert_int_eq(brood_permits_value(&s->permits), N - 2);
	ck_assert_int_eq(give(), -EPERM);
	brood_permits_describe(&s->permits, text, sizeof(text));
	snprintf(wanted, sizeof(wanted), "permits, 1 free of 3, 0 waiting, held by processes %d %d",
		 pid, pid);
	ck_assert_str_eq(text, wanted);
	ck_assert_int_eq(brood_permits_describe(&s->permits, text, 9), (int)strlen(wanted));
	ck_assert_str_eq(text, "permits,");
	finish_off(pid);
	ck_assert_int_eq(brood_permits_value(&s->permits), N);
	ck_assert_int_eq(take(0) + take(0) + take(0), 2 * BROOD_OWNER_DIED);
	ck_assert_int_eq(give() + give() + give(), 0);
	ck_assert_int_eq(take(0), 0);
}
END_TEST

static void take_one(void *nth)
{
	s->result[(intptr_t)nth] = take(PATIENCE_NS);
	must(s->result[(intptr_t)nth] >= 0);
	must(give() == 0);
}

START_TEST(a_death_wakes_who_waits)
{
	pid_t holder, waiters[3];

	ck_assert_int_eq(take(0), 0);
	holder = peer(hold, NULL);
	await(&s->here[0]);
	for (intptr_t i = 0; i < 3; i++)
		waiters[i] = peer(take_one, (void *)i);
	eventually(brood_lock_waiters(&s->permits.gate) == 2);
	nap_ms(5);
	finish_off(holder);
	for (int i = 0; i < 3; i++)
		ck_finishes(waiters[i]);
	ck_assert_int_eq(give(), 0);
}
END_TEST

START_TEST(a_release_wakes_who_waits_though_one_is_killed)
{
	for (int round = 0; round < 20; round++) {
		pid_t first, second;

		ck_assert_int_ge(take(0), 0);
		ck_assert_int_ge(take(0), 0);
		ck_assert_int_ge(take(0), 0);
		first = peer(take_one, (void *)1);
		eventually(brood_lock_owner(&s->permits.gate) == first);
		second = peer(take_one, (void *)2);
		eventually(brood_lock_waiters(&s->permits.gate) == 1);
		ck_assert_int_eq(give(), 0);
		for (volatile int spin = round * 500; spin > 0; spin--)
			;
		finish_off(first);
		ck_finishes(second);
		ck_assert_int_eq(give(), 0);
		ck_assert_int_eq(give(), 0);
	}
}
END_TEST

static void pass_through(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3000; i++) {
		must(take(PATIENCE_NS) == 0);
		must(__atomic_add_fetch(&s->inside, 1, __ATOMIC_SEQ_CST) <= N);
		__atomic_sub_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
		must(give() == 0);
	}
}

START_TEST(no_more_than_its_permits_are_inside)
{
	pid_t pids[5];

	for (int i = 0; i < 5; i++)
		pids[i] = peer(pass_through, NULL);
	for (int i = 0; i < 5; i++)
		ck_finishes(pids[i]);
}
END_TEST

static void *pass_in_thread(void *unused)
{
	pass_through(unused);
	return NULL;
}

START_TEST(threads_pass_too)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, pass_in_thread, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/permits");
	TCase *permits = leak_case(suite, "permits", 60);

	tcase_add_checked_fixture(permits, make, NULL);
	tcase_add_test(permits, it_counts);
	tcase_add_test(permits, what_is_none_is_refused);
	tcase_add_test(permits, the_dead_give_theirs_back);
	tcase_add_test(permits, a_death_wakes_who_waits);
	tcase_add_test(permits, a_release_wakes_who_waits_though_one_is_killed);
	tcase_add_test(permits, no_more_than_its_permits_are_inside);
	tcase_add_test(permits, threads_pass_too);
	return leak_run(suite);
}
