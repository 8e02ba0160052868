/* The lock. One word says it all: the owner's thread id, WAITERS (somebody may sleep on the word) and
 * OWNER_DIED, by the kernel. The invariant:
 *
 *	Who sleeps on the word sleeps with WAITERS set, and it stays set until nobody does.
 *
 * WAITERS is therefore never taken away by a compare-and-swap, which would forget sleepers behind
 * one that was woken and then killed, but by the kernel in the step in which it wakes them all. A
 * release that wakes one leaves the word at WAITERS, which means free; so a barging acquirer keeps
 * the bit, and its own release wakes the next. */
#include "sync/robust.h"

#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "os/fence.h"
#include "sync/pause.h"

/* How long to sleep when it is not sure that the release will wake us: from … up to … */
#define UNSURE_NS BROOD_MSEC
#define UNSURE_MOST_NS (64 * BROOD_MSEC)

/* After so many owners in a row none of which had slept, there is probably no sleeper. */
#define BARGED_ENOUGH 2

void bri_lock_init(const struct bri_thread *self, brood_lock *lock)
{
	memset(lock, 0, sizeof(*lock));
#ifndef __GLIBC__
	lock->word[0] = lock->alarm[0] = 128; /* musl's pthread_exit() looks here: "shared" */
#endif
	bri_stamp(self, &lock->stamp, BRI_STAMP_LOCK);
}

/* The word was free, and is now ours. */
static int note_taken(brood_lock *lock, uint32_t before, bool slept)
{
	lock->barged = before & BRI_WAITERS && !slept ? lock->barged + 1 : 0;
	if (!(before & BRI_DIED))
		return 0;
	__atomic_store_n(&lock->dead, lock->owner, __ATOMIC_RELAXED);
	return BROOD_OWNER_DIED;
}

/* How a waiter sleeps: for how long when it is not sure, and whether it is to be sure the next time. Beside a lock that
 * is never long with one owner it would never come to be. */
struct sleeper {
	int64_t unsure_ns;
	bool sure;
};

/* Sleeps while the word is `seen`, which has WAITERS. `turn` was read before that: see robust.h. */
static int sleep_on(const brood_lock *lock, uint32_t seen, uint32_t turn, int64_t deadline,
		    struct sleeper *sleeper)
{
	const struct bri_watch both[] = { { &lock->word[BRI_WORD], seen }, { &lock->turn, turn } };
	bool sure = sleeper->sure && turn % 2 == 0 && bri_fence_others() == 0;
	int64_t until;
	int r;

	sleeper->sure = !sure;
	if (sure)
		return bri_futex_wait_any(both, 2, deadline);
	until = bri_deadline(sleeper->unsure_ns);
	r = bri_futex_wait(both->word, seen, until < deadline ? until : deadline);
	if (sleeper->unsure_ns < UNSURE_MOST_NS)
		sleeper->unsure_ns *= 2;
	return r == -ETIMEDOUT && until < deadline ? 0 : r;
}

static __attribute__((noinline)) int acquire_slow(const struct bri_thread *self, brood_lock *lock,
						  int64_t deadline)
{
	uint32_t *word = bri_lock_word(lock), seen, turn;
	unsigned looks = self->looks;
	struct sleeper sleeper = { UNSURE_NS, true };
	bool slept = false;
	int r;

	for (;;) {
		turn = __atomic_load_n(&lock->turn, __ATOMIC_ACQUIRE);
		seen = __atomic_load_n(word, __ATOMIC_RELAXED);
		if (BRI_TID(seen) == 0) {
			if (__atomic_compare_exchange_n(word, &seen,
							self->tid | (seen & BRI_WAITERS), false,
							__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
				return note_taken(lock, seen, slept);
			continue;
		}
		if (deadline == 0)
			return -ETIMEDOUT;
		if (BRI_TID(seen) == self->tid)
			return -EDEADLK;
		if (bri_patient(&looks))
			continue;
		if (!(seen & BRI_WAITERS) &&
		    !__atomic_compare_exchange_n(word, &seen, seen | BRI_WAITERS, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		r = sleep_on(lock, seen | BRI_WAITERS, turn, deadline, &sleeper);
		if (r == -ETIMEDOUT)
			deadline = 0; /* one last look */
		else if (r < 0)
			return r;
		slept = true;
		looks = self->looks;
	}
}

/* While conditions are waited for with this lock, the kernel shall ring at its owner's death. Listed before it is
 * named: a waiter that reads the new owner's id may sleep on it, and until then it reads that the last one died. */
int bri_lock_arm(struct bri_thread *self, brood_lock *lock, void *before)
{
	bri_link(self, &lock->alarm_prev, &lock->alarm_next);
	__atomic_store_n(&lock->alarm[BRI_WORD], self->tid | BRI_WAITERS, __ATOMIC_RELAXED);
	bri_insure(self, before);
	return 0;
}

static __attribute__((noinline)) void disarm(struct bri_thread *self, brood_lock *lock)
{
	bri_unlink(self, &lock->alarm_prev, &lock->alarm_next);
	__atomic_store_n(&lock->alarm[BRI_WORD], 0, __ATOMIC_RELAXED);
}

int bri_lock_acquire(struct bri_thread *self, brood_lock *lock, int64_t deadline)
{
	void *before;
	int r;

	if (self->held >= BRI_MOST_HELD)
		return -ENOLCK;
	before = bri_insure(self, &lock->next);
	r = acquire_slow(self, lock, deadline);
	if (r >= 0)
		bri_lock_settle(self, lock, before);
	else
		bri_insure(self, before);
	return r;
}

int bri_lock_acquire_timed(struct bri_thread *self, brood_lock *lock, int64_t timeout_ns)
{
	if (self->held < BRI_MOST_HELD && bri_lock_take_clean(self, lock) == 0)
		return 0;
	return bri_lock_acquire(self, lock, bri_deadline(timeout_ns));
}

/* WAITERS is set. The empty exchange is for ThreadSanitizer, which does not see what the kernel does. */
int bri_lock_release_slow(struct bri_thread *self, brood_lock *lock, void *before)
{
	uint32_t *word = bri_lock_word(lock);
	bool nobody_slept = lock->barged >= BARGED_ENOUGH;

	__atomic_fetch_or(word, 0, __ATOMIC_RELEASE);
	if (nobody_slept)
		bri_futex_change(word, BRI_SET, 0, BRI_EVERYBODY);
	else
		bri_futex_change(word, BRI_SET | BRI_BIT, BRI_WAITERS_BIT, 1);
	bri_insure(self, before);
	return 0;
}

static inline bool is_armed(const struct bri_thread *self, const brood_lock *lock)
{
	return BRI_TID(__atomic_load_n(&lock->alarm[BRI_WORD], __ATOMIC_RELAXED)) == self->tid;
}

void bri_lock_release(struct bri_thread *self, brood_lock *lock)
{
	if (is_armed(self, lock))
		disarm(self, lock);
	bri_lock_release_unwatched(self, lock);
}

int brood_lock_init(brood_lock *lock)
{
	struct bri_thread *self = bri_thread();
	int r = bri_stampable(self, lock);

	if (r == 0)
		bri_lock_init(self, lock);
	return r;
}

static __attribute__((noinline)) int acquire_any(brood_lock *lock, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();

	if (!bri_stamped(self, lock, BRI_STAMP_LOCK))
		return bri_refusal(self, lock, BRI_STAMP_LOCK);
	return bri_lock_acquire_timed(self, lock, timeout_ns);
}

int brood_lock_acquire(brood_lock *lock, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread_known();

	if (__builtin_expect(bri_stamped(self, lock, BRI_STAMP_LOCK) &&
				     self->held < BRI_MOST_HELD &&
				     bri_lock_take_clean(self, lock) == 0,
			     1))
		return 0;
	return acquire_any(lock, timeout_ns);
}

static __attribute__((noinline)) int release_any(brood_lock *lock)
{
	struct bri_thread *self = bri_thread();

	if (!bri_stamped(self, lock, BRI_STAMP_LOCK))
		return bri_refusal(self, lock, BRI_STAMP_LOCK);
	if (!bri_lock_is_mine(self, lock))
		return -EPERM;
	bri_lock_release(self, lock);
	return 0;
}

int brood_lock_release(brood_lock *lock)
{
	struct bri_thread *self = bri_thread_known();

	if (__builtin_expect(bri_stamped(self, lock, BRI_STAMP_LOCK) &&
				     bri_lock_is_mine(self, lock) && !is_armed(self, lock),
			     1))
		return bri_lock_release_unwatched(self, lock);
	return release_any(lock);
}

static int check(const brood_lock *lock)
{
	struct bri_thread *self = bri_thread();

	if (!bri_stamped(self, lock, BRI_STAMP_LOCK))
		return bri_refusal(self, lock, BRI_STAMP_LOCK);
	return 0;
}

int brood_lock_owner(const brood_lock *lock)
{
	int r = check(lock);

	if (r < 0)
		return r;
	return BRI_TID(bri_lock_load(lock)) == 0 ?
		       0 :
		       (int)__atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
}

int brood_lock_dead_owner(const brood_lock *lock)
{
	int r = check(lock);

	if (r < 0)
		return r;
	/* Nobody has taken it since: the owner's number is still in its place. */
	if (bri_lock_load(lock) & BRI_DIED)
		return (int)__atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
	return (int)__atomic_load_n(&lock->dead, __ATOMIC_RELAXED);
}

int brood_lock_waiters(const brood_lock *lock)
{
	int r = check(lock);

	return r < 0 ? r : bri_futex_count((uint32_t *)&lock->word[BRI_WORD]);
}

int brood_lock_describe(const brood_lock *lock, char *buf, size_t size)
{
	int waiting = brood_lock_waiters(lock);
	uint32_t word;

	if (waiting < 0)
		return waiting;
	word = bri_lock_load(lock);
	if (word & BRI_DIED)
		return snprintf(buf, size, "lock, free since process %d died with it, %d waiting",
				brood_lock_dead_owner(lock), waiting);
	if (BRI_TID(word) == 0)
		return snprintf(buf, size, "lock, free, %d waiting", waiting);
	return snprintf(buf, size, "lock, held by process %d (thread %u), %d waiting",
			brood_lock_owner(lock), BRI_TID(word), waiting);
}
