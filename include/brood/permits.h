/* brood/permits.h - a semaphore that knows who has its permits
 *
 * A fixed number of permits, each of which belongs to the thread that acquired it, as a lock does. When that thread
 * ends, however it ends, its permits are free again at once, and who gets one of them is told. Use it for what must
 * not leak: the slots of a license, the workers of a machine.
 *
 * It is memory that its users share, as brood/lock.h says of a lock: brood_permits_size(n) bytes, for it has a
 * table of holders. Places, hosts, fork and signals as for locks; each permit counts as a lock held.
 * Acquire and release look through the table, so this is for tens of permits, not for thousands; beyond 128, and
 * before Linux 5.16 (no futex_waitv(2)), a waiter looks every 50 ms. */
#ifndef BROOD_PERMITS_H
#define BROOD_PERMITS_H

#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** The most permits of one table. */
#define BROOD_PERMITS_MOST 65536

/** A tracked semaphore; its table follows it in memory. The fields are the library's. Aligned to 8. */
typedef struct brood_permits {
	uint64_t stamp;
	uint32_t n, unused;
	brood_lock gate;
} brood_permits;

/** The memory that n permits take.
 * Returns: a number of bytes; 0 if n is 0 or more than BROOD_PERMITS_MOST. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_permits_size(uint32_t n);

/** Make one with n permits in `size` bytes. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory, not aligned to 8, too small, or n is 0 or more than BROOD_PERMITS_MOST;
 *          -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_permits_init(brood_permits *permits, size_t size, uint32_t n);

/** Take a permit, or wait for one. A thread may have several.
 * Returns: 0; BROOD_OWNER_DIED (1): one that the last holder died with.
 * Errors:  -ETIMEDOUT; -EDEADLK, in a signal handler, when the interrupted thread waits too, or is about to give one back;
 *          -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the thread has one more.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_permits_acquire(brood_permits *permits, int64_t timeout_ns);

/** Give one back.
 * Returns: 0. Errors: -EPERM, this thread has none; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    the thread has one less.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_permits_release(brood_permits *permits);

/** How many are free now.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_permits_value(const brood_permits *permits);

/** The process that has the i-th permit of the table.
 * Returns: a process id; 0: it is free. Errors: -EINVAL, i is not below n; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_permits_holder(const brood_permits *permits, uint32_t i);

/** Describe it in a line: "permits, 1 free of 4, 0 waiting, held by processes 71 72 72".
 * Returns: the length that the whole line has. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_permits_describe(const brood_permits *permits, char *buf, size_t size);

BROOD_END_DECLS
#endif
