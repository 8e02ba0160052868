/* brood/sem.h - semaphores: permits that anybody may give back
 *
 * A semaphore is memory that its users share, as brood/lock.h says of a lock. It counts permits; acquire
 * takes one or waits for one, release adds one, from any thread of any process. A semaphore of one
 * is the lock that another than its taker may release.
 *
 * A bounded one refuses a release at its maximum, exactly. A tracked one (brood_permits, below) remembers who
 * has its permits and has those of the dead back.
 *
 * Death    A waiter killed at any moment, also when it was just woken for a permit, leaves the permit to the
 *          next. A release is one step: killed before it nothing has happened, killed after it one waiter
 *          is awake. A permit that was acquired belongs to its taker, and is lost with it, but for
 *          a tracked semaphore.
 * Place, hosts, fork, signals as for locks; a permit has no owner, so a forked child may give back what its
 * parent took. */
#ifndef BROOD_SEM_H
#define BROOD_SEM_H

#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** The most permits that a semaphore can have. */
#define BROOD_SEM_MOST ((uint32_t)0x3fffffff)

/** A semaphore. The fields are the library's. Aligned to 8. */
typedef struct brood_sem {
	uint64_t stamp;
	uint32_t word, most;
	brood_lock gate, post;
} brood_sem;

/** Make one with `value` permits. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, more than BROOD_SEM_MOST, no memory, or not aligned to 8; -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_sem_init(brood_sem *sem, uint32_t value);

/** The same, that never has more than `most` permits.
 * Returns: 0. Errors: -EINVAL also if value > most, or most is 0; else as brood_sem_init().
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_sem_init_bounded(brood_sem *sem, uint32_t value, uint32_t most);

/** Take a permit, or wait for one. A signal that is handled meanwhile does not end the wait.
 * Returns: 0. Errors: -ETIMEDOUT (timeout_ns <= 0: there was none); -EDEADLK, in a signal handler, when the
 *          interrupted thread waits too; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the caller has one permit.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_sem_acquire(brood_sem *sem, int64_t timeout_ns);

/** Add a permit, and wake one who waits.
 * Returns: 0. Errors: -EOVERFLOW, it is at its maximum; -EDEADLK, a bounded one in a signal handler, when the
 *          interrupted thread was releasing it; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the permit is the semaphore's.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_sem_release(brood_sem *sem);

/** The permits that are free now.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_sem_value(const brood_sem *sem);

/** How many threads sleep in acquire.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_sem_waiters(const brood_sem *sem);

/** Describe it in a line: "semaphore, 0 free of at most 4, 2 waiting".
 * Returns: the length that the whole line has. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_sem_describe(const brood_sem *sem, char *buf, size_t size);

BROOD_END_DECLS
#endif
