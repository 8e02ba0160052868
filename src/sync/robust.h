/* sync/robust.h - the kernel's robust list, used beside the C library's own use of it
 *
 * The kernel keeps one list head a thread, which belongs to the C library; here it is borrowed. An entry
 * is a link (`next`) with a futex word at a fixed distance before it, and `prev`, which only the C
 * library and we use, right before the link. When a thread ends, however it ends, or execs, the kernel
 *
 *   1. sets in every listed word that holds the thread's id OWNER_DIED instead of the id, and wakes
 *      one sleeper of the word if WAITERS is set;
 *   2. does the same with the word of `pending`; but if that word names no thread at all, it wakes one
 *      sleeper and leaves the word as it is.
 *
 * 2 is the insurance of everything here: who is about to take or leave a word has it in `pending`, so
 * that a kill in the middle is either "died as owner" or "somebody may have been woken by or for me:
 * look again". README.md goes through it kill by kill.
 *
 * A signal handler may use all this while it interrupts it: `pending` is put back, never cleared, and
 * what a handler takes it has left again when it returns. */
#ifndef SYNC_ROBUST_H
#define SYNC_ROBUST_H

#include <brood/lock.h>
#include <errno.h>
#include <stdatomic.h>

#include "os/futex.h"
#include "os/self.h"

/* The word's distance to `next` is the C library's: 32 bytes in glibc, 28 in musl. */
#ifdef __GLIBC__
#define BRI_WORD 0
#define BRI_WORD_OFFSET (-32L)
#else
#define BRI_WORD 1
#define BRI_WORD_OFFSET (-28L)
#endif

#define BRI_WAITERS UINT32_C(0x80000000)
#define BRI_WAITERS_BIT 31
#define BRI_DIED UINT32_C(0x40000000)
#define BRI_TID(word) ((word)&UINT32_C(0x3fffffff))

/* Kinds and versions of layouts; the low half of a stamp. */
#define BRI_STAMP(a, version) (UINT64_C(0x62720000) | (uint64_t)(a) << 8 | (version))
#define BRI_STAMP_LOCK BRI_STAMP('l', 0x10 | BRI_WORD)
#define BRI_STAMP_RLOCK BRI_STAMP('r', 0x10 | BRI_WORD)
#define BRI_STAMP_SEM BRI_STAMP('s', 0x10 | BRI_WORD)
#define BRI_STAMP_TRACKED BRI_STAMP('t', 0x10 | BRI_WORD)
#define BRI_STAMP_COND BRI_STAMP('c', 0x10 | BRI_WORD)
#define BRI_STAMP_EVENT BRI_STAMP('e', 0x10)
#define BRI_STAMP_BARRIER BRI_STAMP('b', 0x10 | BRI_WORD)
#define BRI_STAMP_LATCH BRI_STAMP('h', 0x10)
#define BRI_STAMP_RWLOCK BRI_STAMP('w', 0x10 | BRI_WORD)
#define BRI_STAMP_ONCE BRI_STAMP('o', 0x10 | BRI_WORD)

/* The kernel follows no more than 2048 entries a thread; half of them are left to the host. */
#define BRI_MOST_HELD 1024

/* struct robust_list_head of linux/futex.h, with its links as they are used */
struct bri_robust_head {
	void *next;
	long offset;
	void *pending;
};

/* A thread's name until it has asked for one, and when there is none to be had; no side is biased to either. */
#define BRI_UNNAMED (UINT64_C(1) << 63)
#define BRI_NAMELESS (BRI_UNNAMED | 1)

/* What a thread knows of itself. */
struct bri_thread {
	uint64_t generation; /* of the process it was found out in */
	uint64_t space;      /* upper half of every stamp: the namespace that thread ids are of */
	struct bri_robust_head *head;
	uint64_t name; /* under which sides of queues are biased to it; see ipc/queue_bias.h */
	uint32_t tid, pid;
	uint32_t held; /* entries in the list that are ours */
	uint32_t
		freed; /* how many locks it has left, up to BRI_JOIN_AFTER, or BRI_JOINED; see bri_lock_leave() */
	uint32_t looks; /* at a word, before sleeping on it; see pause.h */
	/* how it waits awake for a queue, learned from how that went: see ipc/queue_wait.c */
	uint32_t selfish, robbed;
	uint8_t yields, vain, asleep;
};

/* In the static block, so that a signal handler can use it before anybody else did. Musl has no other
 * way to have it in a library that is loaded late than to allocate it beforehand, which is as good. */
#ifdef __GLIBC__
#define BRI_TLS __attribute__((tls_model("initial-exec")))
#else
#define BRI_TLS
#endif
extern __thread struct bri_thread bri_thread_self BRI_TLS;

/* The slow way: 0, or -ENOTSUP where there is no robust list of a known form. */
int bri_thread_attach(struct bri_thread *self);

/* The calling thread, which may be new, or be a forked child's; NULL: bri_thread_attach() failed. */
static inline struct bri_thread *bri_thread(void)
{
	struct bri_thread *self = &bri_thread_self;

	if (__builtin_expect(!bri_self_is(self->generation), 0) && bri_thread_attach(self) < 0)
		return NULL;
	return self;
}

/* The same, if it was here before; else NULL. Calls nothing. */
static inline struct bri_thread *bri_thread_known(void)
{
	return __builtin_expect(bri_self_is(bri_thread_self.generation), 1) ? &bri_thread_self :
									      NULL;
}

/* Whether memory holds an object of this kind, made for our namespace. The functions are asked with the place of
 * the stamp, since the object may be no pointer that a member can be named of. */
#define bri_stamped(self, object, kind) \
	bri_stamped_at(self, object, offsetof(__typeof__(*(object)), stamp), kind)
static inline bool bri_stamped_at(const struct bri_thread *self, const void *object, size_t place,
				  uint64_t kind)
{
	return object != NULL && (uintptr_t)object % 8 == 0 && self != NULL &&
	       __atomic_load_n((const uint64_t *)((uintptr_t)object + place), __ATOMIC_ACQUIRE) ==
		       (self->space | kind);
}

/* Why it does not: -ENOTSUP, -EXDEV (another namespace) or -EINVAL. */
#define bri_refusal(self, object, kind) \
	bri_refusal_at(self, object, offsetof(__typeof__(*(object)), stamp), kind)
int bri_refusal_at(const struct bri_thread *self, const void *object, size_t place, uint64_t kind);

/* 0, or why not. */
#define bri_check(self, object, kind) \
	bri_check_at(self, object, offsetof(__typeof__(*(object)), stamp), kind)
static inline int bri_check_at(const struct bri_thread *self, const void *object, size_t place,
			       uint64_t kind)
{
	return bri_stamped_at(self, object, place, kind) ?
		       0 :
		       bri_refusal_at(self, object, place, kind);
}

/* 0 if an object may be made at this address: it is there, and aligned. The stamp is put last. */
int bri_stampable(const struct bri_thread *self, const void *object);
static inline void bri_stamp(const struct bri_thread *self, uint64_t *stamp, uint64_t kind)
{
	__atomic_store_n(stamp, self->space | kind, __ATOMIC_RELEASE);
}

/* Insures a word, and gives what was insured before, to be put back. The order matters to the kernel
 * at our death and to our own signal handlers only: a compiler barrier does. */
static inline void *bri_insure(struct bri_thread *self, void *entry)
{
	struct bri_robust_head *head = self->head;
	void *before = head->pending;

	atomic_signal_fence(memory_order_seq_cst);
	head->pending = entry;
	atomic_signal_fence(memory_order_seq_cst);
	return before;
}

/* Entries in the list. The links of others are written as the C library does it, which may have left
 * a mark in the lowest bit of one. */
static inline void **bri_prev_of(void *next)
{
	return (void **)((uintptr_t)next & ~(uintptr_t)1) - 1;
}

static inline void bri_link(struct bri_thread *self, void **prev, void **next)
{
	struct bri_robust_head *head = self->head;
	void *first = head->next;

	*next = first;
	atomic_signal_fence(
		memory_order_seq_cst); /* and no store of both at once, which is slower */
	*prev = &head->next;
	if (first != (void *)&head->next)
		*bri_prev_of(first) = next;
	self->held++;
	atomic_signal_fence(memory_order_seq_cst);
	head->next = next;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void bri_unlink(struct bri_thread *self, void **prev, void **next)
{
	void *after = *next, **before = (void **)((uintptr_t)*prev & ~(uintptr_t)1);

	*before = after;
	atomic_signal_fence(memory_order_seq_cst);
	if (after != (void *)&self->head->next)
		*bri_prev_of(after) = *prev;
	self->held--;
}

/* ---- locks, for those that are built of them; no checks, the caller has made them */

static inline uint32_t *bri_lock_word(brood_lock *lock)
{
	return &lock->word[BRI_WORD];
}

static inline uint32_t bri_lock_load(const brood_lock *lock)
{
	return __atomic_load_n(&lock->word[BRI_WORD], __ATOMIC_SEQ_CST);
}

void bri_lock_init(const struct bri_thread *self, brood_lock *lock);

/* ---- leaving a lock without a locked instruction
 *
 * A plain store of 0 would forget a WAITERS that was set since the word was looked at. So the owner says first that
 * it is leaving, by making `turn` odd (an owner's is even; each has its own), and there is no fence between that and its look;
 * who wants to sleep has the other owner's processor make one (os/fence.h):
 *
 *	owner                           waiter
 *	turn = odd                      t = turn, is it even?
 *	word == mine?                   word with WAITERS, set by itself or before
 *	word = 0                        fence in the owner
 *	                                sleep on both, word first, as long as they are that
 *
 * The fence is before the owner's first line, and its look sees WAITERS; or between, and the waiter finds the odd turn; or
 * behind the last, and the waiter finds that the word is another. The kernel compares the turn when the waiter has
 * queued at the word already: so all of it is about one and the same owner, and not about one that came again (models/lock.pml,
 * EARLY_TURN). Who cannot be sure sleeps for a little, and looks again; an owner that could not sleep on two
 * words does not leave in this way, since where the kernel is too old for that, all waiters could not. */
#ifndef BRI_JOIN_AFTER
#define BRI_JOIN_AFTER \
	64 /* who seldom uses locks does not join: with many threads that takes milliseconds */
#endif
#define BRI_JOINED UINT32_MAX

/* Joins, if it is time to. */
void bri_thread_count(struct bri_thread *self);

/* As brood_lock_acquire(), to a deadline (0: try once). */
int bri_lock_acquire(struct bri_thread *self, brood_lock *lock, int64_t deadline);

/* … with a timeout; reads no clock when the lock is free. */
int bri_lock_acquire_timed(struct bri_thread *self, brood_lock *lock, int64_t timeout_ns);

/* Of a lock that the thread holds, and whose waiters wait in bri_lock_acquire(). */
void bri_lock_release(struct bri_thread *self, brood_lock *lock);

/* The two fast paths, for where they are to be straight lines; the slow ones are lock.c's. A lock that is free costs
 * little more than its two locked instructions. */
int bri_lock_arm(struct bri_thread *self, brood_lock *lock, void *before);
int bri_lock_release_slow(struct bri_thread *self, brood_lock *lock, void *before);

/* The word is ours; the rest, in an order that the kernel can read at any moment. */
static inline int bri_lock_settle(struct bri_thread *self, brood_lock *lock, void *before)
{
	bri_link(self, &lock->prev, &lock->next);
	__atomic_store_n(&lock->turn, (lock->turn | 1) + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&lock->owner, self->pid, __ATOMIC_RELAXED);
	if (__builtin_expect(lock->watched != 0, 0))
		return bri_lock_arm(self, lock, before);
	bri_insure(self, before);
	return 0;
}

/* Takes it if the word is all zero: 0, or -EBUSY. For a thread that does not hold BRI_MOST_HELD. */
static inline int bri_lock_take_clean(struct bri_thread *self, brood_lock *lock)
{
	void *before = bri_insure(self, &lock->next);
	uint32_t clean = 0;

	if (__builtin_expect(__atomic_compare_exchange_n(bri_lock_word(lock), &clean, self->tid,
							 false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED),
			     1))
		return bri_lock_settle(self, lock, before);
	bri_insure(self, before);
	return -EBUSY;
}

/* Two ways out of the word: true, it had no WAITERS; else it still is ours. By one exchange, … */
static inline bool bri_lock_leave_at_once(struct bri_thread *self, brood_lock *lock)
{
	uint32_t mine = self->tid;

	return __atomic_compare_exchange_n(bri_lock_word(lock), &mine, 0, false, __ATOMIC_RELEASE,
					   __ATOMIC_RELAXED);
}

/* … and without one, as above. */
static inline bool bri_lock_leave(struct bri_thread *self, brood_lock *lock)
{
	if (__builtin_expect(self->freed != BRI_JOINED, 0)) {
		bri_thread_count(self);
		return bri_lock_leave_at_once(self, lock);
	}
	__atomic_store_n(&lock->turn, lock->turn | 1, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(__atomic_load_n(bri_lock_word(lock), __ATOMIC_RELAXED) != self->tid,
			     0))
		return false;
	__atomic_store_n(bri_lock_word(lock), 0, __ATOMIC_RELEASE);
	return true;
}

static inline __attribute__((always_inline)) int bri_lock_release_by(
	bool (*leave)(struct bri_thread *self, brood_lock *lock), struct bri_thread *self,
	brood_lock *lock)
{
	void *before = bri_insure(self, &lock->next);

	bri_unlink(self, &lock->prev, &lock->next);
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
	if (__builtin_expect(!leave(self, lock), 0))
		return bri_lock_release_slow(self, lock, before);
	bri_insure(self, before);
	return 0;
}

/* Of one that no condition watches, and whose waiters wait in bri_lock_acquire(). */
static inline int bri_lock_release_unwatched(struct bri_thread *self, brood_lock *lock)
{
	return bri_lock_release_by(bri_lock_leave, self, lock);
}

/* Of one whose word others sleep on for themselves (slots.h): they make no fence. */
static inline int bri_lock_release_slot(struct bri_thread *self, brood_lock *slot)
{
	return bri_lock_release_by(bri_lock_leave_at_once, self, slot);
}

static inline bool bri_lock_is_mine(const struct bri_thread *self, const brood_lock *lock)
{
	return BRI_TID(__atomic_load_n(&lock->word[BRI_WORD], __ATOMIC_RELAXED)) == self->tid;
}

#endif
