/* brood/barrier.h - a fixed number of parties meet, again and again
 *
 * Each party waits until all have come; then all go on, and the next round begins. It is memory that
 * its users share, as brood/lock.h says of a lock: brood_barrier_size(parties) bytes, for it has a table of
 * those who are there.
 *
 * A barrier breaks when a party's wait times out, when the action fails, when somebody aborts it, or when a party
 * dies: all who wait, and all who come, get -ECANCELED, until somebody resets it.
 *
 * Death    A party that is killed while it waits breaks the barrier at once. So does one that has joined
 *          (brood_barrier_join), wherever it is. Of one that did neither nobody can know; the timeout of the
 *          others breaks the barrier then. Who is killed within reset or abort breaks it too.
 * Place, hosts, fork, and signals as for locks; not for signal handlers. Each seat taken counts as a lock held. With
 * more than 60 parties, and before Linux 5.16 (no futex_waitv(2)), a death may be noticed 50 ms later. */
#ifndef BROOD_BARRIER_H
#define BROOD_BARRIER_H

#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** The most parties of a barrier. */
#define BROOD_BARRIER_MOST 32768

/** A barrier; its table follows it in memory. The fields are the library's. Aligned to 8. */
typedef struct brood_barrier {
	uint64_t stamp;
	uint32_t parties, count; /* how many there must be, and are */
	int64_t timeout_ns;
	uint32_t round;   /* counts on when those who wait may look at how it went for them */
	uint32_t arrival; /* counts on when somebody takes a seat */
	uint32_t leader;  /* the seat of the first of the round */
	uint32_t broken, ending, unused;
	brood_lock lock;
} brood_barrier;

/** The memory that a barrier takes.
 * Returns: a number of bytes; 0 if parties is 0 or more than BROOD_BARRIER_MOST. Errors: none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_barrier_size(uint32_t parties);

/** Make one in `size` bytes. timeout_ns is that of each wait that gives none; BROOD_FOREVER is none. The memory may
 * hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory, not aligned to 8, too small, or parties is 0 or more than
 *          BROOD_BARRIER_MOST; -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes. */
BROOD_API int brood_barrier_init(brood_barrier *barrier, size_t size, uint32_t parties,
				 int64_t timeout_ns);

/** Wait for the others. timeout_ns BROOD_FOREVER: as brood_barrier_init() was told.
 * Returns: a number from 0 to parties - 1, each once a round; who came last has the highest.
 * Errors:  -ETIMEDOUT, they did not come in time, and the barrier is broken; -ECANCELED, it is broken, or was
 *          while we waited; -EBUSY, more threads than parties; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_barrier_wait(brood_barrier *barrier, int64_t timeout_ns);

/** The same; who comes last calls action(arg) before all go on. Each party gives the action, one of them calls it.
 * If it is negative the barrier breaks. It must not use the barrier.
 * Returns: as brood_barrier_wait(). Errors: what the action returned, for who called it; -ECANCELED for the
 *          others; else as brood_barrier_wait().
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_barrier_wait_action(brood_barrier *barrier, int64_t timeout_ns,
					int (*action)(void *arg), void *arg);

/** Join: from now on the end of this thread breaks the barrier, also while it does not wait.
 * Returns: 0. Errors: -EALREADY; -EBUSY, more threads than parties; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the thread has joined.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_barrier_join(brood_barrier *barrier);

/** Undo a join.
 * Returns: 0. Errors: -EPERM, this thread has not joined; -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    the thread has joined no more.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_barrier_leave(brood_barrier *barrier);

/** Make it new: those who wait get -ECANCELED, those who come begin a round. Mends a broken one.
 * Returns: 0. Errors: -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_barrier_reset(brood_barrier *barrier);

/** Break it.
 * Returns: 0. Errors: -EINVAL, -EXDEV, -ENOTSUP, -ENOLCK as for a lock.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_barrier_abort(brood_barrier *barrier);

/** Whether it is broken.
 * Returns: 1 or 0. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_barrier_broken(const brood_barrier *barrier);

/** How many parties wait now.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_barrier_waiting(const brood_barrier *barrier);

/** How many must come.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_barrier_parties(const brood_barrier *barrier);

/** Describe it in a line: "barrier, 2 of 5 wait", "barrier, broken".
 * Returns: the length that the whole line has. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes. */
BROOD_API int brood_barrier_describe(const brood_barrier *barrier, char *buf, size_t size);

BROOD_END_DECLS
#endif
