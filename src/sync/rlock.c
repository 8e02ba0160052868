/* A lock and a depth that only its owner writes. */
#include <brood/rlock.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/robust.h"

int brood_rlock_init(brood_rlock *rlock)
{
	struct bri_thread *self = bri_thread();
	int r = bri_stampable(self, rlock);

	if (r < 0)
		return r;
	bri_lock_init(self, &rlock->lock);
	rlock->depth = rlock->unused = 0;
	bri_stamp(self, &rlock->stamp, BRI_STAMP_RLOCK);
	return 0;
}

int brood_rlock_acquire(brood_rlock *rlock, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	int r;

	if (!bri_stamped(self, rlock, BRI_STAMP_RLOCK))
		return bri_refusal(self, rlock, BRI_STAMP_RLOCK);
	if (bri_lock_is_mine(self, &rlock->lock) && rlock->depth != 0) {
		if (rlock->depth == UINT32_MAX)
			return -EOVERFLOW;
		rlock->depth++;
		return 0;
	}
	r = bri_lock_acquire_timed(self, &rlock->lock, timeout_ns);
	if (r >= 0)
		rlock->depth = 1;
	return r;
}

/* The depth is 0 before the word is free, so that an owner is never found with a stale one but when it died. */
int brood_rlock_release(brood_rlock *rlock)
{
	struct bri_thread *self = bri_thread();

	if (!bri_stamped(self, rlock, BRI_STAMP_RLOCK))
		return bri_refusal(self, rlock, BRI_STAMP_RLOCK);
	if (!bri_lock_is_mine(self, &rlock->lock) || rlock->depth == 0)
		return -EPERM;
	if (--rlock->depth == 0)
		bri_lock_release(self, &rlock->lock);
	return 0;
}

static int check(const brood_rlock *rlock)
{
	return bri_check(bri_thread(), rlock, BRI_STAMP_RLOCK);
}

int brood_rlock_owner(const brood_rlock *rlock)
{
	int r = check(rlock);

	return r < 0 ? r : brood_lock_owner(&rlock->lock);
}

int brood_rlock_waiters(const brood_rlock *rlock)
{
	int r = check(rlock);

	return r < 0 ? r : brood_lock_waiters(&rlock->lock);
}

int brood_rlock_describe(const brood_rlock *rlock, char *buf, size_t size)
{
	char text[160];
	int r = check(rlock);

	if (r < 0)
		return r;
	brood_lock_describe(&rlock->lock, text, sizeof(text));
	return snprintf(buf, size, "recursive %s, depth %u", text,
			__atomic_load_n(&rlock->depth, __ATOMIC_RELAXED));
}
