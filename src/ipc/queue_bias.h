/* ipc/queue_bias.h - a side that is biased to a thread, which operates it without locked instructions and fences
 *
 * The invariant, on which all exclusion rests:
 *
 *	A side is changed by who holds its lock while nobody is biased, or by who has its id in the word of its slot
 *	and then found the bias to name it. Only the lock's owner writes the bias.
 *
 * The biased thread stores its word and looks at the bias, by plain instructions; who takes the bias away sets REVOKE in
 * it, has everybody pass a fence (os/fence.h), and waits until the word names nobody. While the word does, it is in the
 * thread's robust list: a death clears it and wakes who waits. At rest nothing is listed, so that a thread may end, fork,
 * exec or unmap the queue and leave its bias as it is.
 *
 * A bias is the thread's name, the number of its slot, and REVOKE. The name is process id and thread id, both: so a
 * thread that has them after the death of another is that other's heir in the bias and in the slot's ownership alike. A
 * thread has no name before its process has joined in the fences, and none again after exec. */
#ifndef IPC_QUEUE_BIAS_H
#define IPC_QUEUE_BIAS_H

#include "ipc/queue.h"

#define BRI_BIAS_REVOKE (UINT64_C(1) << 63)
#define BRI_BIAS_SLOT_AT 48
#define BRI_BIAS_NAME ((UINT64_C(1) << BRI_BIAS_SLOT_AT) - 1)
#define BRI_ID_BITS 24 /* of each; the kernel's limit is 22 */

void bri_bias_init(struct bri_side *side);

/* Before the thread waits for the side's lock: -EDEADLK if it interrupts itself in an operation by its bias. */
int bri_bias_yield(const struct bri_thread *self, struct bri_side *side);

/* For the lock's owner, once bri_bias_yield() was asked: nobody is biased, 0; or -ETIMEDOUT, somebody still is. */
int bri_bias_end(const struct bri_thread *self, struct bri_side *side, int64_t deadline);

/* For the lock's owner, when nobody is biased: perhaps it is from now on. */
void bri_bias_grant(struct bri_thread *self, struct bri_side *side);

static inline struct bri_slot *bri_bias_slot(struct bri_side *side, uint64_t bias)
{
	return &side->slots[bias >> BRI_BIAS_SLOT_AT & (BRI_SLOTS - 1)];
}

static inline uint32_t *bri_slot_word(struct bri_slot *slot)
{
	return &slot->word[BRI_WORD];
}

static inline bool bri_bias_names(const struct bri_thread *self, uint64_t bias)
{
	return (bias & (BRI_BIAS_REVOKE | BRI_BIAS_NAME)) == self->name;
}

/* The way out. Insured anew, since a handler may have locked a mutex of the C library, which clears that. */
static inline void bri_bias_leave(struct bri_thread *self, struct bri_side *side,
				  struct bri_slot *slot, void *before)
{
	bri_insure(self, &slot->next);
	bri_unlink(self, &slot->prev, &slot->next);
	__atomic_store_n(bri_slot_word(slot), 0, __ATOMIC_RELEASE);
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(!bri_bias_names(self, __atomic_load_n(&side->bias, __ATOMIC_RELAXED)),
			     0))
		bri_futex_wake(bri_slot_word(slot), 1);
	bri_insure(self, before);
}

/* The thread's slot, and the side is its own until bri_bias_leave(); NULL: it needs the lock. The word is set before it
 * is listed, so that a handler that comes between finds that it may not. */
static inline struct bri_slot *bri_bias_enter(struct bri_thread *self, struct bri_side *side,
					      void **ret_before)
{
	uint64_t bias = __atomic_load_n(&side->bias, __ATOMIC_RELAXED);
	struct bri_slot *slot = bri_bias_slot(side, bias);

	if (!bri_bias_names(self, bias) || self->held >= BRI_MOST_HELD ||
	    BRI_TID(__atomic_load_n(bri_slot_word(slot), __ATOMIC_RELAXED)) == self->tid)
		return NULL;
	*ret_before = bri_insure(self, &slot->next);
	__atomic_store_n(bri_slot_word(slot), self->tid | BRI_WAITERS, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_seq_cst);
	bri_link(self, &slot->prev, &slot->next);
	if (__builtin_expect(__atomic_load_n(&side->bias, __ATOMIC_RELAXED) == bias, 1))
		return slot;
	bri_bias_leave(self, side, slot, *ret_before);
	return NULL;
}

/* For the lock's owner, as it leaves: who has it all the time is biased at last. */
static inline void bri_bias_reckon(struct bri_thread *self, struct bri_side *side)
{
	if (side->last != self->tid) {
		side->last = self->tid;
		side->turns = 0;
	} else if (__builtin_expect(++side->turns >= side->need, 0)) {
		bri_bias_grant(self, side);
	}
}

#endif
