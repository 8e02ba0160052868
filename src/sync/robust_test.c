#include "sync/robust.h"

#include <sched.h>

#include "os/fence.h"
#include "sync/pause.h"
#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static void run_on(const cpu_set_t *set)
{
	must(sched_setaffinity(0, sizeof(*set), set) == 0);
	must(bri_thread_attach(bri_thread()) == 0);
}

/* Who has one core to run on would only keep the owner off it. */
static void wait_on_one_core(void *unused)
{
	cpu_set_t all, one;
	int cpu = 0;

	(void)unused;
	must(sched_getaffinity(0, sizeof(all), &all) == 0);
	must(bri_thread() != NULL && bri_thread()->looks == (CPU_COUNT(&all) > 1 ? BRI_LOOKS : 0));
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	run_on(&one);
	must(bri_thread()->looks == 0);
	run_on(&all);
	must(bri_thread()->looks == (CPU_COUNT(&all) > 1 ? BRI_LOOKS : 0));
}

START_TEST(nobody_waits_awake_on_one_core)
{
	ck_finishes(peer(wait_on_one_core, NULL));
}
END_TEST

START_TEST(patience_ends)
{
	unsigned looks = BRI_LOOKS;

	for (int i = 0; i < BRI_LOOKS; i++)
		ck_assert(bri_patient(&looks));
	ck_assert(!bri_patient(&looks));
}
END_TEST

/* Where the kernel and its filters have what it takes, who often leaves a lock joins, and not before. */
START_TEST(who_uses_locks_often_joins)
{
	bool can = bri_futex_can_watch() && bri_fence_join() == 0;
	struct bri_thread *self = bri_thread();
	brood_lock lock;

	ck_assert_ptr_nonnull(self);
	ck_assert_int_eq(bri_thread_attach(self), 0);
	ck_assert_int_eq(brood_lock_init(&lock), 0);
	for (unsigned i = 0; i < BRI_JOIN_AFTER + 5; i++) {
		ck_assert_uint_eq(self->freed, i < BRI_JOIN_AFTER ? i :
					       can                ? BRI_JOINED :
								    BRI_JOIN_AFTER);
		ck_assert_int_eq(brood_lock_acquire(&lock, 0), 0);
		ck_assert_uint_eq(lock.turn % 2, 0);
		ck_assert_int_eq(brood_lock_release(&lock), 0);
		ck_assert_int_eq(brood_lock_owner(&lock), 0);
	}
	ck_assert_uint_eq(lock.turn % 2, can ? 1 : 0);
}
END_TEST

static brood_lock *shared;

static void take_it(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(shared, PATIENCE_NS) == 0);
	must(brood_lock_release(shared) == 0);
}

/* An owner is leaving, and its plain store takes WAITERS away unseen: no wake-up comes. */
START_TEST(who_cannot_be_sure_looks_again)
{
	struct bri_thread *self = bri_thread();
	pid_t pid;

	shared = share(sizeof(*shared));
	ck_assert_int_eq(brood_lock_init(shared), 0);
	ck_assert_int_eq(brood_lock_acquire(shared, 0), 0);
	shared->turn |= 1;
	pid = peer(take_it, NULL);
	eventually(bri_lock_load(shared) & BRI_WAITERS);
	nap_ms(20);
	bri_unlink(self, &shared->prev, &shared->next);
	__atomic_store_n(bri_lock_word(shared), 0, __ATOMIC_RELEASE);
	ck_finishes(pid);
}
END_TEST

/* … and where the lock has another turn each time it is looked at. */
static void take_it_in_turn(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20000; i++)
		take_it(NULL);
}

START_TEST(many_turns_and_few_cores)
{
	pid_t pids[6];

	shared = share(sizeof(*shared));
	ck_assert_int_eq(brood_lock_init(shared), 0);
	for (int i = 0; i < 6; i++)
		pids[i] = peer(take_it_in_turn, NULL);
	for (int i = 0; i < 6; i++)
		ck_finishes(pids[i]);
	ck_assert_uint_ge(shared->turn, UINT32_C(6) * 20000 * 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/robust");
	TCase *threads = leak_case(suite, "threads", 60);

	tcase_add_test(threads, nobody_waits_awake_on_one_core);
	tcase_add_test(threads, patience_ends);
	tcase_add_test(threads, who_uses_locks_often_joins);
	tcase_add_test(threads, who_cannot_be_sure_looks_again);
	tcase_add_test(threads, many_turns_and_few_cores);
	return leak_run(suite);
}
