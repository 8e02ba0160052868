/* brood/latch.h - a count that goes down to zero, which many wait for
 *
 * A latch is memory that its users share, as brood/lock.h says of a lock; but nobody owns anything of it, so it
 * works across PID namespaces and C libraries too. It is used once: who has something done counts down, who needs
 * all of it waits, and may do both. What is used again and again is a barrier (brood/barrier.h).
 *
 *	struct shared {
 *		brood_latch ready;
 *	} *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
 *
 *	brood_latch_init(&s->ready, 3);
 *	for (int i = 0; i < 3; i++)
 *		if (fork() == 0)
 *			_exit(brood_latch_count_down(&s->ready, 1) < 0);
 *	brood_latch_wait(&s->ready, 10 * BROOD_SEC);
 *
 * Death    A count-down is one step, of the kernel where somebody sleeps and it is the last: killed before it nothing
 *          has happened, killed after it all are awake. A killed waiter leaves nothing behind. Who is killed
 *          before it counts down never does: those who wait need a timeout, or a barrier that it has joined. */
#ifndef BROOD_LATCH_H
#define BROOD_LATCH_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** The most that one can count down from. */
#define BROOD_LATCH_MOST ((uint32_t)0x3fffffff)

/** A latch. The fields are the library's. Aligned to 8. */
typedef struct brood_latch {
	uint64_t stamp;
	uint32_t word, unused;
} brood_latch;

/** Make one that counts down from `count`; 0: nobody waits for it. The memory may hold anything; nobody else may use
 * it yet.
 * Returns: 0. Errors: -EINVAL, more than BROOD_LATCH_MOST, no memory, or not aligned to 8.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_latch_init(brood_latch *latch, uint32_t count);

/** Count down by n, and at zero wake all who wait. It never waits itself.
 * Returns: 0. Errors: -EINVAL, no latch, or n is 0; -ERANGE, less than n is left, and nothing is changed (of two that
 *          want the last of it in the same instant, both may be told 0).
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers, also while the interrupted thread waits for the latch. */
BROOD_API int brood_latch_count_down(brood_latch *latch, uint32_t n);

/** Wait until the count is zero. A signal that is handled meanwhile does not end the wait.
 * Returns: 0: it is. Errors: -ETIMEDOUT (timeout_ns <= 0: it was not); -EINVAL, no latch.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_latch_wait(brood_latch *latch, int64_t timeout_ns);

/** How much is left to be counted down.
 * Returns: the count. Errors: -EINVAL, no latch.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_latch_count(const brood_latch *latch);

/** How many threads sleep in wait.
 * Returns: their number. Errors: -EINVAL, no latch.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_latch_waiters(const brood_latch *latch);

/** Describe it in a line: "latch, 3 left, 2 waiting".
 * Returns: the length that the whole line has. Errors: -EINVAL, no latch.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_latch_describe(const brood_latch *latch, char *buf, size_t size);

BROOD_END_DECLS
#endif
