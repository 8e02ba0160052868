/* The condition. All its fields are written under the lock, and who may go is told by them alone: a waiter has a
 * number; all below `until` may go, and `permits` of those below `bound`. A waiter takes its permit only
 * when it has the lock again, so one that dies earlier leaves the permit to another, and one that dies
 * later dies as the lock's owner.
 *
 * Waiters sleep on the bell, which is rung by the kernel, changed and everybody woken in one step, after the
 * fields say the new. Waking all for one permit is the price: who was woken alone, and killed, would have to
 * be replaced.
 *
 * They also sleep on the lock's alarm. While a lock has conditions its owner keeps a second entry in the robust
 * list, so that the kernel wakes a waiter when the owner dies; that one wakes the others, and is
 * insured meanwhile. They all take the lock, and the first gets BROOD_OWNER_DIED.
 *
 * The alarm's word names each owner in turn. Where the lock never rests it may change again and again between the
 * look and the sleep; then the waiter sleeps on the bell alone for a while. */
#include <brood/cond.h>

#include <limits.h>
#include <stdio.h>

#include "os/clock.h"
#include "sync/robust.h"

#define TRIES 4                    /* to fall asleep beside a busy lock */
#define ASIDE_NS (10 * BROOD_MSEC) /* how long the alarm is let alone after that */

static brood_lock *lock_of(const brood_cond *cond)
{
	return (brood_lock *)((uintptr_t)cond + (uintptr_t)cond->lock_distance);
}

/* brood_rlock begins with its lock. */
static brood_rlock *rlock_of(const brood_cond *cond)
{
	return cond->recursive ? (brood_rlock *)lock_of(cond) : NULL;
}

static int init(brood_cond *cond, brood_lock *lock, bool recursive)
{
	struct bri_thread *self = bri_thread();
	int r = bri_stampable(self, cond);

	if (r < 0)
		return r;
	*cond = (brood_cond){ .lock_distance = (int64_t)((uintptr_t)lock - (uintptr_t)cond),
			      .recursive = recursive };
	__atomic_store_n(&lock->watched, 1, __ATOMIC_RELAXED);
	bri_stamp(self, &cond->stamp, BRI_STAMP_COND);
	return 0;
}

int brood_cond_init(brood_cond *cond, brood_lock *lock)
{
	int r = bri_check(bri_thread(), lock, BRI_STAMP_LOCK);

	return r < 0 ? r : init(cond, lock, false);
}

int brood_cond_init_recursive(brood_cond *cond, brood_rlock *rlock)
{
	int r = bri_check(bri_thread(), rlock, BRI_STAMP_RLOCK);

	return r < 0 ? r : init(cond, &rlock->lock, true);
}

static uint32_t load(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* Numbers go round; they are told apart while fewer than 2^31 wait. */
static bool is_before(uint32_t number, uint32_t other)
{
	return (int32_t)(number - other) < 0;
}

static bool may_go(const brood_cond *cond, uint32_t number)
{
	return is_before(number, load(&cond->until)) ||
	       (load(&cond->permits) > 0 && is_before(number, load(&cond->bound)));
}

/* Sleeps, without the lock, until it is worth while to take it: 0, or -errno. */
static int sleep_on_bell(const brood_cond *cond, brood_lock *lock, uint32_t number, uint32_t bell,
			 int64_t deadline)
{
	uint32_t *alarm = &lock->alarm[BRI_WORD], seen;
	int64_t aside;
	int r = 0;

	for (int tries = 0; r == 0; tries++) {
		seen = load(alarm);
		if (seen & BRI_DIED) {
			bri_futex_wake(alarm, BRI_EVERYBODY);
			return 0;
		}
		if (load(&cond->bell) != bell) {
			bell = load(&cond->bell);
			tries = 0;
		}
		/* also if it did not ring: a notifier may have died before that */
		if (may_go(cond, number))
			return 0;
		if (tries < TRIES) {
			const struct bri_watch both[] = { { &cond->bell, bell }, { alarm, seen } };

			r = bri_futex_wait_any(both, 2, deadline);
		} else {
			tries = 0;
			aside = bri_deadline(ASIDE_NS);
			r = bri_futex_wait(&cond->bell, bell, aside < deadline ? aside : deadline);
			if (r == -ETIMEDOUT && aside < deadline)
				r = 0;
		}
	}
	return r;
}

/* With the lock held again. -EAGAIN: not our turn. `r` is how the sleep ended, `died` what the lock said. */
static int leave(brood_cond *cond, uint32_t number, int r, int died)
{
	if (is_before(number, cond->until))
		return died;
	if (cond->permits > 0 && is_before(number, cond->bound))
		store(&cond->permits, cond->permits - 1);
	else if (!died && r == 0)
		return -EAGAIN;
	else if (!died)
		died = r;
	cond->waiting--;
	return died;
}

static int wait_until(struct bri_thread *self, brood_cond *cond, int64_t deadline)
{
	brood_lock *lock = lock_of(cond);
	brood_rlock *rlock = rlock_of(cond);
	uint32_t depth = rlock == NULL ? 0 : rlock->depth, number = cond->next, bell;
	void *before = bri_insure(self, &lock->alarm_next);
	int r, died;

	store(&cond->next, number + 1);
	cond->waiting++;
	do {
		bell = load(&cond->bell);
		if (rlock != NULL)
			rlock->depth = 0;
		bri_lock_release(self, lock);
		r = sleep_on_bell(cond, lock, number, bell, deadline);
		died = bri_lock_acquire(self, lock, BROOD_FOREVER);
		if (died < 0) { /* the memory is gone, or the like */
			r = died;
			break;
		}
		if (rlock != NULL)
			rlock->depth = depth;
		r = leave(cond, number, r, died);
	} while (r == -EAGAIN);
	bri_insure(self, before);
	return r;
}

/* The condition is one, and this thread holds its lock. */
static int check_holding(struct bri_thread *self, const brood_cond *cond)
{
	int r = bri_check(self, cond, BRI_STAMP_COND);

	if (r < 0)
		return r;
	return bri_lock_is_mine(self, lock_of(cond)) ? 0 : -EPERM;
}

int brood_cond_wait(brood_cond *cond, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	int r = check_holding(self, cond);

	return r < 0 ? r : wait_until(self, cond, bri_deadline(timeout_ns));
}

int brood_cond_wait_for(brood_cond *cond, bool (*ready)(void *arg), void *arg, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	int64_t deadline = bri_deadline(timeout_ns);
	int r = check_holding(self, cond);

	if (r < 0)
		return r;
	if (ready == NULL)
		return -EINVAL;
	while (r == 0 && !ready(arg))
		r = wait_until(self, cond, deadline);
	return r == -ETIMEDOUT && ready(arg) ? 0 : r;
}

static void ring(brood_cond *cond)
{
	__atomic_fetch_or(&cond->bell, 0, __ATOMIC_SEQ_CST); /* for ThreadSanitizer */
	bri_futex_change(&cond->bell, BRI_ADD, 1, BRI_EVERYBODY);
}

int brood_cond_notify(brood_cond *cond, int n)
{
	uint32_t free;
	int r = check_holding(bri_thread(), cond);

	if (r < 0)
		return r;
	if (n < 0)
		return -EINVAL;
	if (n == 0 || cond->waiting == 0)
		return 0;
	free = cond->waiting - cond->permits;
	store(&cond->bound, cond->next);
	store(&cond->permits, cond->permits + (free < (uint32_t)n ? free : (uint32_t)n));
	ring(cond);
	return 0;
}

int brood_cond_notify_all(brood_cond *cond)
{
	int r = check_holding(bri_thread(), cond);

	if (r < 0 || cond->waiting == 0)
		return r;
	store(&cond->until, cond->next);
	store(&cond->permits, 0);
	ring(cond);
	cond->waiting =
		0; /* last: who died before it rang shall not have the next one think that nobody waits */
	return 0;
}

int brood_cond_waiters(const brood_cond *cond)
{
	int r = bri_check(bri_thread(), cond, BRI_STAMP_COND);

	return r < 0 ? r : bri_futex_count(&((brood_cond *)cond)->bell);
}

int brood_cond_describe(const brood_cond *cond, char *buf, size_t size)
{
	int waiting = brood_cond_waiters(cond);

	return waiting < 0 ? waiting : snprintf(buf, size, "condition, %d waiting", waiting);
}
