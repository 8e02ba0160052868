/* A lock around the work, and a word that says that it is done, set when all of it can be seen. */
#include <brood/once.h>

#include "os/clock.h"
#include "sync/robust.h"

int brood_once_init(brood_once *once)
{
	struct bri_thread *self = bri_thread();
	int r = bri_stampable(self, once);

	if (r < 0)
		return r;
	bri_lock_init(self, &once->lock);
	once->done = once->begun = 0;
	bri_stamp(self, &once->stamp, BRI_STAMP_ONCE);
	return 0;
}

static int run(brood_once *once, int (*work)(void *, bool), void *arg)
{
	bool again = once->begun != 0;
	int r;

	if (once->done)
		return 0;
	once->begun = 1;
	r = work(arg, again);
	if (r >= 0)
		__atomic_store_n(&once->done, 1, __ATOMIC_RELEASE);
	return r < 0 ? r : 0;
}

int brood_once_run(brood_once *once, int (*work)(void *arg, bool again), void *arg,
		   int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	int r = bri_check(self, once, BRI_STAMP_ONCE);

	if (r < 0)
		return r;
	if (work == NULL)
		return -EINVAL;
	if (__atomic_load_n(&once->done, __ATOMIC_ACQUIRE))
		return 0;
	r = bri_lock_acquire_timed(self, &once->lock, timeout_ns);
	if (r < 0)
		return r;
	r = run(once, work, arg);
	bri_lock_release(self, &once->lock);
	return r;
}

int brood_once_is_done(const brood_once *once)
{
	int r = bri_check(bri_thread(), once, BRI_STAMP_ONCE);

	return r < 0 ? r : (int)__atomic_load_n(&once->done, __ATOMIC_ACQUIRE);
}
