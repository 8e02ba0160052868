#include <brood/rlock.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	brood_rlock rlock;
	flag here;
	long count;
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_rlock_init(&s->rlock), 0);
}

START_TEST(it_is_released_as_often_as_acquired)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_rlock_acquire(&s->rlock, i == 0 ? 0 : PATIENCE_NS), 0);
		ck_assert_int_eq(brood_rlock_owner(&s->rlock), getpid());
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), -EPERM);
	ck_assert_int_eq(brood_rlock_owner(&s->rlock), 0);
}
END_TEST

START_TEST(it_has_an_end)
{
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 0), 0);
	s->rlock.depth = UINT32_MAX;
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 0), -EOVERFLOW);
	s->rlock.depth = 1;
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[32];
	brood_rlock *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_rlock_acquire(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_rlock_release(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_rlock_owner(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_rlock_waiters(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_rlock_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_rlock_init(NULL), -EINVAL);
	ck_assert_int_eq(brood_rlock_init(bad[2]), -EINVAL);
	s->rlock.stamp ^= UINT64_C(1) << 40;
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 0), -EXDEV);
}
END_TEST

static void hold_twice(void *unused)
{
	(void)unused;
	must(brood_rlock_acquire(&s->rlock, 0) == 0 && brood_rlock_acquire(&s->rlock, 0) == 0);
	raise_flag(&s->here);
	pause();
}

START_TEST(others_wait_and_are_told_of_its_death)
{
	pid_t pid = peer(hold_twice, NULL);
	char text[160];

	await(&s->here);
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 30 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), -EPERM);
	ck_assert_int_eq(brood_rlock_waiters(&s->rlock), 0);
	brood_rlock_describe(&s->rlock, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "recursive lock, held by process"));
	ck_assert_ptr_nonnull(strstr(text, "depth 2"));
	finish_off(pid);
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, PATIENCE_NS), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), -EPERM);
}
END_TEST

static void count_up(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20000; i++) {
		must(brood_rlock_acquire(&s->rlock, PATIENCE_NS) == 0);
		must(brood_rlock_acquire(&s->rlock, PATIENCE_NS) == 0);
		s->count++;
		must(brood_rlock_release(&s->rlock) == 0);
		must(brood_rlock_release(&s->rlock) == 0);
	}
}

START_TEST(it_excludes)
{
	pid_t pids[3];

	for (int i = 0; i < 3; i++)
		pids[i] = peer(count_up, NULL);
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->count, 60000);
}
END_TEST

static void be_no_owner(void)
{
	ck_assert_int_eq(brood_rlock_release(&s->rlock), -EPERM);
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 0), -ETIMEDOUT);
}

START_TEST(a_forked_child_is_not_the_owner)
{
	ck_assert_int_eq(brood_rlock_acquire(&s->rlock, 0), 0);
	in_fork(be_no_owner);
	ck_assert_int_eq(brood_rlock_release(&s->rlock), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/rlock");
	TCase *rlock = leak_case(suite, "rlock", 60);

	tcase_add_checked_fixture(rlock, make, NULL);
	tcase_add_test(rlock, it_is_released_as_often_as_acquired);
	tcase_add_test(rlock, it_has_an_end);
	tcase_add_test(rlock, what_is_none_is_refused);
	tcase_add_test(rlock, others_wait_and_are_told_of_its_death);
	tcase_add_test(rlock, it_excludes);
	tcase_add_test(rlock, a_forked_child_is_not_the_owner);
	return leak_run(suite);
}
