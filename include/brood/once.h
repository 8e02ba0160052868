/* brood/once.h - something that is done once, by whoever comes first
 *
 * A once is memory that its users share, as brood/lock.h says of a lock. The first to run it does the work, all
 * others wait for the end of it; afterwards a run costs one load. If who does it dies half way, the
 * next one does it again and is told so. */
#ifndef BROOD_ONCE_H
#define BROOD_ONCE_H

#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** A once. The fields are the library's. Aligned to 8. */
typedef struct brood_once {
	brood_lock lock;
	uint64_t stamp;
	uint32_t done, begun;
} brood_once;

/** Make one, not done. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory or not aligned to 8; -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_once_init(brood_once *once);

/** Have it done: call work(arg, again), unless it was done. `again` says that an earlier run died or failed half
 * way, and left what it left. A negative result of work() is handed on, and the next run tries again.
 * Returns: 0: it is done. Errors: what work() returned; -ETIMEDOUT, another was at it all the time;
 *          -EDEADLK, called from within work(); -EINVAL, no work; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_once_run(brood_once *once, int (*work)(void *arg, bool again), void *arg,
			     int64_t timeout_ns);

/** Whether it is done.
 * Returns: 1 or 0. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_once_is_done(const brood_once *once);

BROOD_END_DECLS
#endif
