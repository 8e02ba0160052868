/* The event. Its word: bit 0 is the flag, bit 31 WAITERS, and between them a count of the clears, by which
 * a waiter sees that it missed a time of being set (2^30 clears in one nap would fool it).
 *
 * The invariant: who sleeps, sleeps with the flag clear and WAITERS set. The flag comes up by a
 * compare-and-swap if WAITERS is not set, else by the kernel, which wakes all in that same step. So while
 * the flag is up nobody sleeps, and clear() may drop WAITERS. */
#include <brood/event.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/robust.h"

#define SET UINT32_C(1)
#define ONE_CLEAR UINT32_C(2)

static int check(const brood_event *event)
{
	if (event == NULL || (uintptr_t)event % 8 != 0 ||
	    __atomic_load_n(&event->stamp, __ATOMIC_ACQUIRE) != BRI_STAMP_EVENT)
		return -EINVAL;
	return 0;
}

int brood_event_init(brood_event *event)
{
	if (event == NULL || (uintptr_t)event % 8 != 0)
		return -EINVAL;
	event->word = event->unused = 0;
	__atomic_store_n(&event->stamp, BRI_STAMP_EVENT, __ATOMIC_RELEASE);
	return 0;
}

int brood_event_set(brood_event *event)
{
	uint32_t seen;
	int r = check(event);

	if (r < 0)
		return r;
	seen = __atomic_load_n(&event->word, __ATOMIC_SEQ_CST);
	while (!(seen & (SET | BRI_WAITERS)))
		if (__atomic_compare_exchange_n(&event->word, &seen, seen | SET, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return 0;
	if (seen & SET)
		return 0;
	__atomic_fetch_or(&event->word, 0, __ATOMIC_SEQ_CST); /* for ThreadSanitizer */
	bri_futex_change(&event->word, BRI_OR, SET, BRI_EVERYBODY);
	return 0;
}

int brood_event_clear(brood_event *event)
{
	uint32_t seen;
	int r = check(event);

	if (r < 0)
		return r;
	seen = __atomic_load_n(&event->word, __ATOMIC_SEQ_CST);
	while (seen & SET)
		if (__atomic_compare_exchange_n(&event->word, &seen,
						((seen & ~SET) + ONE_CLEAR) & ~BRI_WAITERS, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return 0;
	return 0;
}

int brood_event_is_set(const brood_event *event)
{
	int r = check(event);

	return r < 0 ? r : (int)(__atomic_load_n(&event->word, __ATOMIC_SEQ_CST) & SET);
}

static int sleep_until_set(brood_event *event, uint32_t seen, int64_t deadline)
{
	uint32_t at_first = seen & ~BRI_WAITERS;
	int r = 0;

	for (;;) {
		if ((seen & ~BRI_WAITERS) != at_first) /* set, or set and cleared */
			return 0;
		if (r < 0)
			return r;
		if (seen & BRI_WAITERS ||
		    __atomic_compare_exchange_n(&event->word, &seen, seen | BRI_WAITERS, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			r = bri_futex_wait(&event->word, seen | BRI_WAITERS, deadline);
			seen = __atomic_load_n(&event->word, __ATOMIC_SEQ_CST);
		}
	}
}

int brood_event_wait(brood_event *event, int64_t timeout_ns)
{
	uint32_t seen;
	int r = check(event);

	if (r < 0)
		return r;
	seen = __atomic_load_n(&event->word, __ATOMIC_SEQ_CST);
	if (seen & SET)
		return 0;
	if (timeout_ns <= 0)
		return -ETIMEDOUT;
	return sleep_until_set(event, seen, bri_deadline(timeout_ns));
}

int brood_event_waiters(const brood_event *event)
{
	int r = check(event);

	return r < 0 ? r : bri_futex_count(&((brood_event *)event)->word);
}

int brood_event_describe(const brood_event *event, char *buf, size_t size)
{
	int waiting = brood_event_waiters(event);

	if (waiting < 0)
		return waiting;
	return snprintf(buf, size, "event, %s, %d waiting",
			brood_event_is_set(event) ? "set" : "clear", waiting);
}
