/* The semaphore. Its word: 30 bits of permits, and ASLEEP. One waiter at most sleeps on it, the leader, who
 * holds the robust lock `gate`; the others sleep on the gate, whose word names its owner. A killed leader's
 * gate passes by the kernel to the next, who looks at the permits itself, so a wake-up is never a
 * thing that can be lost.
 *
 * The invariant: the leader sleeps while the word is ASLEEP with no permit, and no longer. The first permit is
 * added by the kernel, which wakes the leader in that step; with one there already, the leader is awake,
 * or dead, and a compare-and-swap will do.
 *
 * For a bounded semaphore "below the maximum" and "add one" must be one step too, and the kernel adds
 * unconditionally. There, while ASLEEP is set, permits are added and ASLEEP is removed only under the
 * lock `post`; acquirers take permits all the time, which does no harm. */
#include <brood/sem.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/pause.h"
#include "sync/robust.h"

#define ASLEEP BRI_WAITERS
#define PERMITS(word) ((word)&BROOD_SEM_MOST)

static int init(brood_sem *sem, uint32_t value, uint32_t most)
{
	struct bri_thread *self = bri_thread();
	int r = bri_stampable(self, sem);

	if (r < 0)
		return r;
	sem->word = value;
	sem->most = most;
	bri_lock_init(self, &sem->gate);
	bri_lock_init(self, &sem->post);
	bri_stamp(self, &sem->stamp, BRI_STAMP_SEM);
	return 0;
}

int brood_sem_init(brood_sem *sem, uint32_t value)
{
	return value > BROOD_SEM_MOST ? -EINVAL : init(sem, value, BROOD_SEM_MOST);
}

int brood_sem_init_bounded(brood_sem *sem, uint32_t value, uint32_t most)
{
	return most == 0 || most > BROOD_SEM_MOST || value > most ? -EINVAL :
								    init(sem, value, most);
}

static bool is_bounded(const brood_sem *sem)
{
	return sem->most != BROOD_SEM_MOST;
}

/* Takes a permit, if there is one. */
static inline bool take(brood_sem *sem)
{
	uint32_t seen = __atomic_load_n(&sem->word, __ATOMIC_RELAXED);

	while (PERMITS(seen) > 0)
		if (__atomic_compare_exchange_n(&sem->word, &seen, seen - 1, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return true;
	return false;
}

/* The same, with some patience. */
static inline bool take_soon(const struct bri_thread *self, brood_sem *sem)
{
	for (unsigned looks = self->looks; bri_patient(&looks);)
		if (take(sem))
			return true;
	return take(sem);
}

/* Awake, the leader takes ASLEEP away where it may do so alone: releases are cheap then. */
static int lead(const struct bri_thread *self, brood_sem *sem, int64_t deadline)
{
	int r = 0;

	for (;;) {
		if (take_soon(self, sem))
			return 0;
		if (r < 0)
			return r;
		__atomic_fetch_or(&sem->word, ASLEEP, __ATOMIC_SEQ_CST);
		r = bri_futex_wait(&sem->word, ASLEEP, deadline);
		if (!is_bounded(sem))
			__atomic_fetch_and(&sem->word, ~ASLEEP, __ATOMIC_RELAXED);
	}
}

/* The leader goes; who is behind it says ASLEEP again. */
static void stop_leading(struct bri_thread *self, brood_sem *sem)
{
	if (is_bounded(sem) && bri_lock_acquire(self, &sem->post, BROOD_FOREVER) < 0)
		return; /* too many locks; a stale ASLEEP costs a call and no more */
	__atomic_fetch_and(&sem->word, ~ASLEEP, __ATOMIC_RELAXED);
	if (is_bounded(sem))
		bri_lock_release(self, &sem->post);
}

static __attribute__((noinline)) int acquire_slow(struct bri_thread *self, brood_sem *sem,
						  int64_t deadline)
{
	int r;

	if (take_soon(self, sem))
		return 0;
	r = bri_lock_acquire(self, &sem->gate, deadline);
	if (r < 0)
		return r == -ETIMEDOUT && take(sem) ? 0 : r;
	r = lead(self, sem, deadline);
	stop_leading(self, sem);
	bri_lock_release(self, &sem->gate);
	return r;
}

int brood_sem_acquire(brood_sem *sem, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();

	if (!bri_stamped(self, sem, BRI_STAMP_SEM))
		return bri_refusal(self, sem, BRI_STAMP_SEM);
	if (take(sem))
		return 0;
	return timeout_ns <= 0 ? -ETIMEDOUT : acquire_slow(self, sem, bri_deadline(timeout_ns));
}

/* -EAGAIN: ASLEEP is set, and with it other rules hold. */
static inline int add_awake(brood_sem *sem)
{
	uint32_t seen = __atomic_load_n(&sem->word, __ATOMIC_RELAXED);

	while (!(seen & ASLEEP)) {
		if (seen >= sem->most)
			return -EOVERFLOW;
		if (__atomic_compare_exchange_n(&sem->word, &seen, seen + 1, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return 0;
	}
	return -EAGAIN;
}

/* -EAGAIN: ASLEEP is not set any more, which cannot be while one holds `post`. */
static int add_asleep(brood_sem *sem)
{
	uint32_t seen = __atomic_load_n(&sem->word, __ATOMIC_RELAXED);

	for (;;) {
		if (!(seen & ASLEEP))
			return -EAGAIN;
		if (PERMITS(seen) >= sem->most)
			return -EOVERFLOW;
		if (PERMITS(seen) == 0) {
			__atomic_fetch_or(&sem->word, 0, __ATOMIC_SEQ_CST); /* ThreadSanitizer */
			bri_futex_change(&sem->word, BRI_ADD, 1, 1);
			return 0;
		}
		if (__atomic_compare_exchange_n(&sem->word, &seen, seen + 1, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return 0;
	}
}

static __attribute__((noinline)) int release_slow(struct bri_thread *self, brood_sem *sem)
{
	int r;

	do {
		if (!is_bounded(sem)) {
			r = add_asleep(sem);
		} else {
			r = bri_lock_acquire(self, &sem->post, BROOD_FOREVER);
			if (r < 0)
				return r;
			r = add_asleep(sem);
			bri_lock_release(self, &sem->post);
		}
		if (r == -EAGAIN)
			r = add_awake(sem);
	} while (r == -EAGAIN);
	return r;
}

int brood_sem_release(brood_sem *sem)
{
	struct bri_thread *self = bri_thread();
	int r;

	if (!bri_stamped(self, sem, BRI_STAMP_SEM))
		return bri_refusal(self, sem, BRI_STAMP_SEM);
	r = add_awake(sem);
	return r == -EAGAIN ? release_slow(self, sem) : r;
}

int brood_sem_value(const brood_sem *sem)
{
	int r = bri_check(bri_thread(), sem, BRI_STAMP_SEM);

	return r < 0 ? r : (int)PERMITS(__atomic_load_n(&sem->word, __ATOMIC_SEQ_CST));
}

int brood_sem_waiters(const brood_sem *sem)
{
	int r = bri_check(bri_thread(), sem, BRI_STAMP_SEM);

	if (r < 0)
		return r;
	return bri_futex_count(&((brood_sem *)sem)->word) + brood_lock_waiters(&sem->gate);
}

int brood_sem_describe(const brood_sem *sem, char *buf, size_t size)
{
	int waiting = brood_sem_waiters(sem);

	if (waiting < 0)
		return waiting;
	if (is_bounded(sem))
		return snprintf(buf, size, "semaphore, %d free of at most %u, %d waiting",
				brood_sem_value(sem), sem->most, waiting);
	return snprintf(buf, size, "semaphore, %d free, %d waiting", brood_sem_value(sem), waiting);
}
