/* ipc/queue.h - how a queue lies in memory
 *
 * A ring of bytes between two sides, put and get; a third one, done, counts finished work. A side is changed
 * under its lock, by one commit:
 *
 *	at[]   two states, of which the one that counts is named by the lowest bit of the count of commits. The
 *	       next one is written into the other; so a commit is one change of `word`, and a
 *	       killed owner of the lock leaves nothing to repair.
 *	word   the count of commits, times two, and ASLEEP: the leader of those who wait for this side to move
 *	       sleeps on the word, or is about to.
 *	gate   a lock, whose owner is that side's leader: who waits, to operate this side, for the other to move. It
 *	       holds the gate while it sleeps, not the lock: nobody who finds something to do waits for it.
 *	bias   names a thread that operates the side without its lock, by plain stores alone: queue_bias.h.
 *
 * ASLEEP is set by the leader of those who wait, under this side's lock and while nobody is biased, and taken away by a
 * commit alone, in the step in which that counts and wakes: adding 1 carries it into the count. So the word has one
 * writer at a time. README.md goes through all of this kill by kill. */
#ifndef IPC_QUEUE_H
#define IPC_QUEUE_H

#include <brood/queue.h>
#include <brood/segment.h>

#include "sync/robust.h"

#define BRI_STAMP_QUEUE BRI_STAMP('q', 0x20 | BRI_WORD)

/* … one with leases or reservations, which has no straight ways. */
#define BRI_STAMP_KEEPING BRI_STAMP('Q', 0x20 | BRI_WORD)

#define BRI_QUEUE_ASLEEP UINT32_C(1)
#define BRI_QUEUE_COMMIT UINT32_C(2)

/* What a side has come to. All of it only ever grows. */
struct bri_mark {
	uint64_t items; /* messages that were put, taken, or finished */
	uint64_t bytes; /* … of the ring */
	uint32_t stop;  /* of put: closed; of get: about to be, and who waits to put finishes it */
	uint32_t
		entry; /* 1 + the lease or reservation that the commit was about; see queue_lease.h */
};

/* A thread's own place in a side: its word has the thread's id while it operates the side by its bias. In the shape
 * of a lock's entry, for the robust list. */
struct bri_slot {
	uint32_t word[2];
	uint32_t spare[4];
	void *prev, *next;
	uint64_t spare_line[3];
};
_Static_assert(sizeof(struct bri_slot) == 64, "a line");

#define BRI_SLOTS 16

/* Blocks of 128 bytes, since processors fetch lines of 64 in pairs. */
struct bri_side {
	brood_lock lock;
	uint64_t seen_items,
		seen_bytes; /* of the other side, as last seen; may lag. For who operates the side */
	uint64_t bias;
	/* for the lock's owner: */
	uint32_t granted;     /* the word when the bias was */
	uint32_t last, turns; /* the thread that had the lock last, and how often in a row */
	uint32_t need;        /* … until the side is biased to it */
	uint32_t barred;      /* somebody was here who cannot take a side from a biased user */
	uint32_t reserving;   /* of get: who waits for a reservation may sleep at the word, too */
	uint64_t spare_line;
	struct bri_mark at[2];
	uint32_t word;
	uint32_t spare_word[19];
	brood_lock gate;
	uint64_t spare_gate[7];
	uint64_t owners[BRI_SLOTS]; /* names of threads */
	struct bri_slot slots[BRI_SLOTS];
};
_Static_assert(offsetof(struct bri_side, at) == 128 && offsetof(struct bri_side, gate) == 256 &&
		       offsetof(struct bri_side, owners) == 384 &&
		       offsetof(struct bri_side, slots) == 512 &&
		       sizeof(struct bri_side) == 512 + BRI_SLOTS * 64,
	       "each in a block of its own");

struct bri_queue_memory {
	uint64_t stamp;
	uint64_t items; /* limits; items: UINT64_MAX is none */
	uint64_t bytes; /* … of the ring, which may be larger */
	uint64_t ring;  /* its size, a power of two; it lies behind this, and the rows behind it */
	uint32_t leases, rooms; /* most of them */
	uint64_t spare[3];
	struct bri_side put, get, done;
};
_Static_assert(offsetof(struct bri_queue_memory, put) == 64,
	       "a segment's data begins 64 bytes into a block");

/* A row of leases or of reservations: its head, its entries, and for each entry an area for a message. */
struct bri_row {
	struct bri_row_head *head;
	struct bri_entry *entries;
	unsigned char *areas;
	uint64_t stride; /* of areas */
	uint32_t n;
};

struct brood_queue {
	_Atomic(unsigned) refs;
	brood_segment *segment; /* owned */
	struct bri_queue_memory *memory;
	unsigned char *ring;
	uint64_t kind;               /* of its stamp */
	uint64_t mask, bytes, items; /* as in memory, where others could write over them */
	struct bri_row leases, rooms;
};

/* A message in the ring: its size, and its bytes rounded up to 8. It goes on at the ring's start when it reaches the end. */
static inline uint64_t bri_record_size(uint64_t size)
{
	return sizeof(uint64_t) + ((size + 7) & ~UINT64_C(7));
}

/* The state of a side, for who does not hold its lock: one that was true during the call. */
struct bri_mark bri_side_look(const struct bri_side *side);

static inline bool bri_queue_keeps(const brood_queue *queue)
{
	return queue->kind == BRI_STAMP_KEEPING;
}

/* 0, or why the calling thread cannot use it. */
static inline int bri_queue_check(const struct bri_thread *self, const brood_queue *queue)
{
	if (queue == NULL)
		return -EINVAL;
	if (self == NULL)
		return -ENOTSUP;
	return bri_check(self, queue->memory, queue->kind);
}

#endif
