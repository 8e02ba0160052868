/* brood/lock.h - a lock between processes and threads that outlives its holder's death
 *
 * A lock is memory, not a handle: put it into memory that all its users map (brood/segment.h, or any
 * MAP_SHARED mapping; ordinary memory for threads), initialise it once before the others look, and
 * simply forget it in the end. It has no name and no descriptor; copying it makes no second lock.
 *
 *	struct shared {
 *		brood_lock lock;
 *		long counter;
 *	} *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
 *	int r;
 *
 *	brood_lock_init(&s->lock);
 *	fork();
 *	r = brood_lock_acquire(&s->lock, BROOD_FOREVER);
 *	if (r == BROOD_OWNER_DIED)
 *		fprintf(stderr, "%d died half way\n", brood_lock_dead_owner(&s->lock));
 *	if (r >= 0) {
 *		s->counter++;
 *		brood_lock_release(&s->lock);
 *	}
 *
 * It belongs to the thread that acquired it, and only that one releases it. What anybody may release
 * is a semaphore of one (brood/sem.h). It is not recursive (brood/rlock.h is) and not fair: who
 * comes by when it is free takes it.
 *
 * Death    When the owner ends while it holds the lock (SIGKILL at any instruction, exit, its thread's
 *          end, or an exec), the kernel gives it free at once, and the next acquirer gets it with
 *          BROOD_OWNER_DIED: what the lock protects may be half changed. There is nothing to
 *          acknowledge, the lock is as good as before. brood_lock_dead_owner() names the dead process.
 *          Nobody is left asleep, whoever of owner and waiters is killed, and when (a waiter killed
 *          when it was just woken: on kernels from 2023 on, 6.2 or the stable series of that time).
 * Fork     A forked child owns nothing of what its parent holds; release is -EPERM there. A child that
 *          shares the parent's memory (vfork, raw clone with CLONE_VM) must not use locks.
 * Signals  A handler may acquire and release locks, as long as it has released each when it returns;
 *          one that the interrupted thread holds is -EDEADLK. A handler that locks a pthread robust
 *          mutex (no handler may, says POSIX) clears the kernel's note of what its thread was at:
 *          a kill in the same operation of a lock could then leave a waiter asleep.
 * Host     Shares the kernel's robust list with pthread robust mutexes, in any order. Refused with
 *          -ENOTSUP where that list is not the C library's (a set_robust_list(2) of one's own). A
 *          seccomp filter must allow futex(2). One that refuses membarrier(2) costs speed: its process releases
 *          with a locked instruction more, and looks at what it waits for now and then.
 * Place    All users must be in one PID namespace, since the kernel marks owners by thread id: others
 *          are refused with -EXDEV. Without /proc that cannot be told and is not. All must use the same
 *          C library, since glibc and musl lay the kernel's list out differently; another one, an older
 *          layout, and memory that never was initialised are refused with -EINVAL. */
#ifndef BROOD_LOCK_H
#define BROOD_LOCK_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** A success that warns: you have it now, and its last owner died with it. */
#define BROOD_OWNER_DIED 1

/** How many locks (and slots of rwlocks, barriers, tracked semaphores) one thread may hold. */
#define BROOD_LOCK_MOST 1024

/** A lock. The fields are the library's; the order is given by the kernel's robust list. Aligned to 8. */
typedef struct brood_lock {
	uint32_t word[2]; /* one of them: owner's thread id, and the kernel's two flags */
	uint64_t stamp;   /* what it is, whose ids it has */
	uint32_t alarm[2];
	void *prev, *next; /* the entry of word; meaningful to the owner alone */
	void *alarm_prev, *alarm_next;
	uint32_t owner, dead; /* process ids */
	uint16_t barged, watched;
	uint32_t turn;
} brood_lock;

/** Make a lock, free. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory or not aligned to 8; -ENOTSUP, no robust list here (above).
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_lock_init(brood_lock *lock);

/** Wait until the lock is ours. A signal that is handled meanwhile does not end the wait.
 * Returns: 0; BROOD_OWNER_DIED (1): ours as well, and its last owner died while it held it.
 * Errors:  -ETIMEDOUT, others had it all the time (timeout_ns <= 0: it was not free); -EDEADLK, this
 *          thread has it (with timeout_ns <= 0: -ETIMEDOUT); -EINVAL, -EXDEV, -ENOTSUP: no lock for us
 *          (above); -ENOLCK, the thread holds BROOD_LOCK_MOST.
 * Owns:    the calling thread owns the lock on success.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_lock_acquire(brood_lock *lock, int64_t timeout_ns);

/** Give it back, and wake one who waits.
 * Returns: 0. Errors: -EPERM, this thread does not have it; -EINVAL, -EXDEV, -ENOTSUP as above.
 * Owns:    the thread owns it no longer; the memory is not touched any more, so that the next owner may
 *          end its use.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_lock_release(brood_lock *lock);

/** The process that has it now. A snapshot; for people and logs.
 * Returns: a process id; 0: free, or being taken or left this moment. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_lock_owner(const brood_lock *lock);

/** The process that last died as the owner.
 * Returns: a process id; 0: none did, or one did in acquire or release itself, with the protected
 *          data whole. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_lock_dead_owner(const brood_lock *lock);

/** How many threads sleep in acquire, as the kernel counts them.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_lock_waiters(const brood_lock *lock);

/** Describe it in a line: "lock, held by process 71 (thread 72), 3 waiting".
 * Returns: the length that the whole line has, as snprintf does. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_lock_describe(const brood_lock *lock, char *buf, size_t size);

BROOD_END_DECLS
#endif
