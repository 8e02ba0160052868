/* brood/rwlock.h - many readers, or one writer
 *
 * A lock that any number of readers up to a limit hold together, or one writer alone. Readers belong to a thread as
 * writers do: each has a slot in a table of holders, so a dead reader keeps no writer waiting. A writer
 * that waits keeps new readers out, so it is not starved; a thread that reads already may read once more all
 * the same.
 *
 * It is memory that its users share, as brood/lock.h says of a lock: brood_rwlock_size(readers) bytes.
 * Places, hosts, fork and signals as for locks; each reading counts as a lock held.
 *
 * Death    After a writer died while it wrote, all readers and the next writer get BROOD_OWNER_DIED, until a
 *          writer has given it back: that one has repaired what was half written. A dead reader is nobody's
 *          concern. */
#ifndef BROOD_RWLOCK_H
#define BROOD_RWLOCK_H

#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** The most readers of one table. */
#define BROOD_RWLOCK_MOST 65536

/** A lock for readers and writers; its table follows it in memory. The fields are the library's. Aligned to 8. */
typedef struct brood_rwlock {
	uint64_t stamp;
	uint32_t n, unused;
	uint32_t writing, broken;
	brood_lock writer;
} brood_rwlock;

/** The memory that one for so many readers takes.
 * Returns: a number of bytes; 0 if readers is 0 or more than BROOD_RWLOCK_MOST. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_rwlock_size(uint32_t readers);

/** Make one for so many readers at a time in `size` bytes. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory, not aligned to 8, too small, or readers is 0 or more than BROOD_RWLOCK_MOST;
 *          -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rwlock_init(brood_rwlock *rwlock, size_t size, uint32_t readers);

/** Wait until we may read. More readers than the table has places wait for one another.
 * Returns: 0; BROOD_OWNER_DIED (1): we may, and a writer died while it wrote.
 * Errors:  -ETIMEDOUT; -EDEADLK, this thread writes; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the thread reads, once more.
 * Safe:    threads, processes, signal handlers (one may find its thread half way into or out of it:
 *          -EDEADLK or, with timeout_ns <= 0, -ETIMEDOUT). */
BROOD_API int brood_rwlock_read(brood_rwlock *rwlock, int64_t timeout_ns);

/** Wait until we may write.
 * Returns: 0; BROOD_OWNER_DIED (1): we may, and an earlier writer died while it wrote.
 * Errors:  -ETIMEDOUT; -EDEADLK, this thread reads or writes; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the thread writes.
 * Safe:    as brood_rwlock_read(). */
BROOD_API int brood_rwlock_write(brood_rwlock *rwlock, int64_t timeout_ns);

/** Give back one reading, or the writing.
 * Returns: 0. Errors: -EPERM, this thread does neither; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    the thread reads once less, or writes no more.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rwlock_release(brood_rwlock *rwlock);

/** How many readings there are now.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rwlock_readers(const brood_rwlock *rwlock);

/** The process that writes now.
 * Returns: a process id; 0: none does. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_rwlock_writer(const brood_rwlock *rwlock);

/** Describe it in a line: "rwlock, 2 reading, 1 waiting", "rwlock, process 71 writes, 3 waiting".
 * Returns: the length that the whole line has. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_rwlock_describe(const brood_rwlock *rwlock, char *buf, size_t size);

BROOD_END_DECLS
#endif
