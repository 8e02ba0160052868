/* brood/rlock.h - a lock that its owner may acquire again
 *
 * A brood_lock with a depth: the thread that has it may acquire it any number of times, and gives it free
 * with as many releases. All that brood/lock.h says of memory, death, fork, signals, hosts and
 * places holds here too; a new owner after a death starts at depth 1. */
#ifndef BROOD_RLOCK_H
#define BROOD_RLOCK_H

#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** A recursive lock. The fields are the library's. Aligned to 8. */
typedef struct brood_rlock {
	brood_lock lock;
	uint64_t stamp;
	uint32_t depth, unused;
} brood_rlock;

/** Make one, free. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory or not aligned to 8; -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rlock_init(brood_rlock *rlock);

/** Wait until it is ours, or have it once more.
 * Returns: 0; BROOD_OWNER_DIED (1): ours, and its last owner died while it held it.
 * Errors:  -ETIMEDOUT; -EOVERFLOW, acquired 2^32 - 1 times; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the calling thread owns it, one deeper.
 * Safe:    threads, processes, signal handlers (one may find its thread half way into or out of it:
 *          -EDEADLK or, with timeout_ns <= 0, -ETIMEDOUT). */
BROOD_API int brood_rlock_acquire(brood_rlock *rlock, int64_t timeout_ns);

/** Undo one acquire; the last one gives it free.
 * Returns: 0. Errors: -EPERM, this thread does not have it; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    one acquire less.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rlock_release(brood_rlock *rlock);

/** The process that has it now.
 * Returns: a process id; 0: free. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rlock_owner(const brood_rlock *rlock);

/** How many threads sleep in acquire.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rlock_waiters(const brood_rlock *rlock);

/** Describe it in a line, as brood_lock_describe() does, with the depth.
 * Returns: the length that the whole line has. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_rlock_describe(const brood_rlock *rlock, char *buf, size_t size);

BROOD_END_DECLS
#endif
