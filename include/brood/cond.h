/* brood/cond.h - wait, with a lock in hand, until another says that something changed
 *
 * A condition is memory that its users share, as brood/lock.h says of a lock, in one mapping with the lock that it
 * belongs to. The pattern is the usual one:
 *
 *	brood_lock_acquire(&s->lock, BROOD_FOREVER);
 *	while (s->count == 0)
 *		brood_cond_wait(&s->more, BROOD_FOREVER);
 *	s->count--;
 *	brood_lock_release(&s->lock);
 *
 * for one who waits, and for one who changes what is waited for:
 *
 *	brood_lock_acquire(&s->lock, BROOD_FOREVER);
 *	s->count++;
 *	brood_cond_notify(&s->more, 1);
 *	brood_lock_release(&s->lock);
 *
 * Waiters and notifiers hold the lock; wait() gives it free while it sleeps and has it again when it returns, in
 * every case. notify(n) lets n go of those who wait at that moment, notify_all() all of them; who comes later
 * waits for the next.
 *
 * Death    A waiter that is killed, also when it was just let go, leaves its turn to another that waits. A
 *          notifier is killed while it holds the lock, and so is whoever changed the data and did not come
 *          to notify: then one waiter gets the lock with BROOD_OWNER_DIED from its wait() (unless another
 *          acquirer got it first), and should look at the data, repair, and notify the others. Whoever is told
 *          BROOD_OWNER_DIED by any acquire of the lock owes the waiters a notify_all(), also if it never waits
 *          itself: the dead one may have been let go, and not have done what it was let go for.
 *          Notifying never waits for a sleeper. After a waiter was killed, a later notify(n) may let one more go than
 *          n; notify_all() ends that.
 * Wake-ups A wait may end without a notify only with BROOD_OWNER_DIED. Still, what was true when another
 *          notified may not be true any more when the lock is ours: wait in a loop, or with wait_for().
 * Before Linux 5.16 (no futex_waitv(2)), or where a filter refuses that, a waiter looks every 50 ms whether the
 * lock's owner died. Places, hosts, fork, and signals as for locks; no use in signal handlers. */
#ifndef BROOD_COND_H
#define BROOD_COND_H

#include <brood/lock.h>
#include <brood/rlock.h>

BROOD_BEGIN_DECLS

/** A condition. The fields are the library's. Aligned to 8. */
typedef struct brood_cond {
	uint64_t stamp;
	int64_t lock_distance;
	uint32_t bell;           /* what the waiters sleep on; rung by counting on */
	uint32_t next;           /* number of the next waiter */
	uint32_t until;          /* waiters with a lower number were let go all together */
	uint32_t permits, bound; /* so many more may go, of those with a number below bound */
	uint32_t waiting;
	uint32_t recursive, unused;
} brood_cond;

/** Make a condition of `lock`, which lies in the same mapping. A lock may have several. Nobody else may use the
 * condition yet, and nobody may hold the lock.
 * Returns: 0. Errors: -EINVAL, no lock, no memory or not aligned to 8; -EXDEV, -ENOTSUP, see brood/lock.h.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes. */
BROOD_API int brood_cond_init(brood_cond *cond, brood_lock *lock);

/** The same of a recursive lock: a wait gives it free from any depth, and comes back to that depth.
 * Returns: 0. Errors: as brood_cond_init().
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes. */
BROOD_API int brood_cond_init_recursive(brood_cond *cond, brood_rlock *rlock);

/** Give the lock free, sleep until let go, take the lock. Signals that are handled meanwhile do not end it. The
 * timeout is that of the sleep; taking the lock is waited for without limit.
 * Returns: 0, let go; BROOD_OWNER_DIED (1): the lock's last owner died while it held it. The lock is ours.
 * Errors:  -ETIMEDOUT, not let go in time; the lock is ours. -EPERM, this thread does not have the lock; -EINVAL,
 *          -EXDEV, -ENOTSUP as for a lock; nothing has happened.
 * Owns:    the lock, as before.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_cond_wait(brood_cond *cond, int64_t timeout_ns);

/** Wait until ready(arg) is true; it is called with the lock held, at first at once.
 * Returns: 0, it is true; BROOD_OWNER_DIED (1), before that the lock's last owner died: look at the data.
 * Errors:  -ETIMEDOUT, it was not true in time; -EINVAL, no ready; else as brood_cond_wait().
 * Owns:    the lock, as before.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_cond_wait_for(brood_cond *cond, bool (*ready)(void *arg), void *arg,
				  int64_t timeout_ns);

/** Let n of those go who wait now; fewer if fewer wait.
 * Returns: 0. Errors: -EPERM, this thread does not have the lock; -EINVAL, n < 0; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    the lock, as before.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_cond_notify(brood_cond *cond, int n);

/** Let all go who wait now.
 * Returns: 0. Errors: -EPERM, this thread does not have the lock; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    the lock, as before.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_cond_notify_all(brood_cond *cond);

/** How many threads sleep in wait.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_cond_waiters(const brood_cond *cond);

/** Describe it in a line: "condition, 2 waiting".
 * Returns: the length that the whole line has. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes. */
BROOD_API int brood_cond_describe(const brood_cond *cond, char *buf, size_t size);

BROOD_END_DECLS
#endif
