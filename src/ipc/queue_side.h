/* ipc/queue_side.h - how a side of a queue is operated, and how one waits for the other side to move
 *
 * The order of everything that waits, which models/queue.pml has gone through:
 *
 *	note the other side's word, look at it under the own lock or bias, and if there was nothing to do: take
 *	the other side's lock, set ASLEEP in that word if it is as noted, leave the lock, and sleep while the word
 *	is as noted, with ASLEEP.
 *
 * A commit of the other side that the look did not see changes the word; so the sleep does not begin. A commit that
 * finds ASLEEP is made by the kernel, which counts and wakes in one step: whoever is killed, is killed before
 * it or after it. So there is no commit without its wake, and nothing to insure. Any other commit is a plain
 * store, since none but its side's lock owner, or the thread that the side is biased to, writes the word. */
#ifndef IPC_QUEUE_SIDE_H
#define IPC_QUEUE_SIDE_H

#include <sys/uio.h>

#include "ipc/queue_bias.h"

static inline uint32_t bri_word(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* ---- for who operates a side, by its lock or its bias */

static inline struct bri_mark *bri_side_now(struct bri_side *side)
{
	return &side->at[__atomic_load_n(&side->word, __ATOMIC_RELAXED) / BRI_QUEUE_COMMIT & 1];
}

/* What shall count from the commit on. Released, since readers without the lock may come upon it early. */
static inline void bri_side_prepare_entry(struct bri_side *side, uint64_t items, uint64_t bytes,
					  uint32_t stop, uint32_t entry)
{
	struct bri_mark *next = bri_side_now(side) == side->at ? side->at + 1 : side->at;

	__atomic_store_n(&next->items, items, __ATOMIC_RELEASE);
	__atomic_store_n(&next->bytes, bytes, __ATOMIC_RELEASE);
	__atomic_store_n(&next->stop, stop, __ATOMIC_RELEASE);
	__atomic_store_n(&next->entry, entry, __ATOMIC_RELEASE);
}

/* … and no entry is concerned. */
static inline void bri_side_prepare(struct bri_side *side, uint64_t items, uint64_t bytes,
				    uint32_t stop)
{
	bri_side_prepare_entry(side, items, bytes, stop, 0);
}

/* … without its wake: ASLEEP stays. */
static inline void bri_side_count(struct bri_side *side)
{
	__atomic_store_n(&side->word,
			 __atomic_load_n(&side->word, __ATOMIC_RELAXED) + BRI_QUEUE_COMMIT,
			 __ATOMIC_RELEASE);
}

/* A commit that finds ASLEEP. */
void bri_side_commit_and_wake(struct bri_side *side);

/* The prepared state counts, and the leader who waits for this side to move is awake. */
static inline void bri_side_commit(struct bri_side *side)
{
	if (__builtin_expect(__atomic_load_n(&side->word, __ATOMIC_RELAXED) & BRI_QUEUE_ASLEEP, 0))
		bri_side_commit_and_wake(side);
	else
		bri_side_count(side);
}

/* ---- waiting */

/* How long a try, or a look, waits for somebody who is in the middle of something; longer than that it is stopped. */
#define BRI_STALLED (100 * BROOD_MSEC)

/* One call: what it wants, and of whom. */
struct bri_call {
	brood_queue *queue;
	struct bri_thread *self;
	struct bri_side *own, *other; /* other: it moves when there may be something to do */
	union {
		const struct iovec *messages; /* put */
		struct iovec *ret_messages;   /* get */
		uint32_t stop;                /* the end: BRI_STOP_… */
	};
	size_t n;
	unsigned char *buf; /* get, peek */
	size_t size;
	int64_t timeout_ns, deadline; /* deadline < 0: nobody has asked for it yet */
	/* What else, beside the other side's word, may end the leader's sleep; returns how many, less than
	 * BRI_MOST_WATCHES. NULL: nothing. */
	size_t (*note)(const struct bri_call *call, struct bri_watch *ret_watches);
	/* A look found nothing to do, and no lock is held: true if there may be by now. NULL: false. */
	bool (*nothing)(const struct bri_call *call);
};

/* What is done under the lock: a result, or -EAGAIN when there is nothing to do now. */
typedef ssize_t bri_step_fn(const struct bri_call *call);

/* The clock is read when something has to be waited for. */
int64_t bri_call_deadline(struct bri_call *call);

/* Both, for who gets, peeks or takes (queue_move.c). */
size_t bri_getter_note(const struct bri_call *call, struct bri_watch *ret_watches);
bool bri_getter_found_nothing(const struct bri_call *call);

/* The slow ways of those below. */
int bri_side_lock_slowly(struct bri_call *call, struct bri_side *side);
int bri_side_end_bias(struct bri_call *call, struct bri_side *side);

/* There was nothing to do. */
ssize_t bri_side_wait(struct bri_call *call, bri_step_fn *step);

/* For who sleeps on the other side's word without a place in line (queue_watch.c), as the leader does: what may end the
 * sleep, noted before the look; and, if that found nothing, whether ASLEEP is set and it may sleep: 1 or 0, or
 * -errno. */
size_t bri_side_note(const struct bri_call *call, struct bri_watch *watches);
int bri_side_arm(struct bri_call *call, const struct bri_watch *watches);

/* Does the step as soon as the side is to be had. */
int bri_side_at_once(struct bri_call *call, bri_step_fn *step);

/* The lock, and nobody is biased. Whoever had it before us left nothing half done, though it be dead. */
static inline __attribute__((always_inline)) int bri_side_lock(struct bri_call *call,
							       struct bri_side *side)
{
	if (__builtin_expect(call->self->held >= BRI_MOST_HELD ||
				     bri_lock_take_clean(call->self, &side->lock) < 0,
			     0)) {
		int r = bri_side_lock_slowly(call, side);

		if (r < 0)
			return r;
	}
	return __builtin_expect(__atomic_load_n(&side->bias, __ATOMIC_RELAXED) == 0, 1) ?
		       0 :
		       bri_side_end_bias(call, side);
}

/* Inlined with its step, since the two together are what a message costs. */
static inline __attribute__((always_inline)) ssize_t bri_side_attempt(struct bri_call *call,
								      bri_step_fn *step)
{
	void *before;
	struct bri_slot *slot = bri_bias_enter(call->self, call->own, &before);
	ssize_t result;

	if (slot == NULL) {
		int r = bri_side_lock(call, call->own);

		if (r < 0)
			return r;
	}
	result = step(call);
	if (slot != NULL) {
		bri_bias_leave(call->self, call->own, slot, before);
	} else {
		bri_bias_reckon(call->self, call->own);
		bri_lock_release_unwatched(call->self, &call->own->lock);
	}
	return result;
}

/* Does what the call wants, now or when it can be done. Does not touch what the other side writes, if it can. */
static inline __attribute__((always_inline)) ssize_t bri_side_perform(struct bri_call *call,
								      bri_step_fn *step)
{
	ssize_t r = bri_side_attempt(call, step);

	return __builtin_expect(r == -EAGAIN, 0) ? bri_side_wait(call, step) : r;
}

#endif
