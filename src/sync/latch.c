/* The latch. Its word: the count, and bit 31 WAITERS.
 *
 * The invariant: who sleeps, sleeps with a count that is not zero and WAITERS set. The count becomes zero by a
 * compare-and-swap if WAITERS is not set, else by the kernel, which wakes all in that same step. It stays zero. A
 * count-down that is not the last one wakes nobody, since nobody waits for less than all of it. */
#include <brood/latch.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/robust.h"

static int check(const brood_latch *latch)
{
	if (latch == NULL || (uintptr_t)latch % 8 != 0 ||
	    __atomic_load_n(&latch->stamp, __ATOMIC_ACQUIRE) != BRI_STAMP_LATCH)
		return -EINVAL;
	return 0;
}

int brood_latch_init(brood_latch *latch, uint32_t count)
{
	if (latch == NULL || (uintptr_t)latch % 8 != 0 || count > BROOD_LATCH_MOST)
		return -EINVAL;
	latch->word = count;
	latch->unused = 0;
	__atomic_store_n(&latch->stamp, BRI_STAMP_LATCH, __ATOMIC_RELEASE);
	return 0;
}

int brood_latch_count_down(brood_latch *latch, uint32_t n)
{
	uint32_t seen;
	int r = check(latch);

	if (r < 0)
		return r;
	if (n == 0)
		return -EINVAL;
	seen = __atomic_load_n(&latch->word, __ATOMIC_SEQ_CST);
	do {
		if ((seen & ~BRI_WAITERS) < n)
			return -ERANGE;
		if (seen == (n | BRI_WAITERS)) {
			__atomic_fetch_or(&latch->word, 0,
					  __ATOMIC_SEQ_CST); /* for ThreadSanitizer */
			bri_futex_change(&latch->word, BRI_SET, 0, BRI_EVERYBODY);
			return 0;
		}
	} while (!__atomic_compare_exchange_n(&latch->word, &seen, seen - n, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return 0;
}

static int sleep_until_zero(brood_latch *latch, uint32_t seen, int64_t deadline)
{
	int r = 0;

	for (;;) {
		if ((seen & ~BRI_WAITERS) == 0)
			return 0;
		if (r < 0)
			return r;
		if (seen & BRI_WAITERS ||
		    __atomic_compare_exchange_n(&latch->word, &seen, seen | BRI_WAITERS, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			r = bri_futex_wait(&latch->word, seen | BRI_WAITERS, deadline);
			seen = __atomic_load_n(&latch->word, __ATOMIC_SEQ_CST);
		}
	}
}

int brood_latch_wait(brood_latch *latch, int64_t timeout_ns)
{
	uint32_t seen;
	int r = check(latch);

	if (r < 0)
		return r;
	seen = __atomic_load_n(&latch->word, __ATOMIC_SEQ_CST);
	if ((seen & ~BRI_WAITERS) == 0)
		return 0;
	if (timeout_ns <= 0)
		return -ETIMEDOUT;
	return sleep_until_zero(latch, seen, bri_deadline(timeout_ns));
}

int brood_latch_count(const brood_latch *latch)
{
	int r = check(latch);

	return r < 0 ? r : (int)(__atomic_load_n(&latch->word, __ATOMIC_SEQ_CST) & ~BRI_WAITERS);
}

int brood_latch_waiters(const brood_latch *latch)
{
	int r = check(latch);

	return r < 0 ? r : bri_futex_count(&((brood_latch *)latch)->word);
}

int brood_latch_describe(const brood_latch *latch, char *buf, size_t size)
{
	int waiting = brood_latch_waiters(latch);

	if (waiting < 0)
		return waiting;
	return snprintf(buf, size, "latch, %d left, %d waiting", brood_latch_count(latch), waiting);
}
