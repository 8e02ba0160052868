/* ipc/queue_lease.h - messages that lie beside the ring: taken and not acked yet, or being written
 *
 * Two rows of entries behind the ring. An entry is a robust lock, which its holder has as long as it works on the message, and
 * numbers; none but its holder writes to its area.
 *
 *	lease        holds message `number` if number > acked. Held: somebody is at work on it. Not held: its holder died or gave
 *	             it back, and the next one who takes a message takes this one. Else free.
 *	reservation  not held: free, when message `number`, which lies in it, has been taken out of the queue.
 *
 * Both numbers only grow, and each change of them is **part of a side's commit**: the state that counts from there on (queue.h)
 * names the entry, and the number is
 *
 *	get    mark.items    has been taken into the lease
 *	done   mark.bytes    in the lease has been acked
 *	put    mark.items    lies in the reservation
 *
 * Who operates a side writes that into the entry before its own commit names another (bri_queue_settle(), which may be done
 * again and by anybody: a number never gets smaller). Who only reads looks at the side first, and then at the entry. So
 * nothing is to be repaired, and no death makes a message come twice.
 *
 * An entry of a row is taken under one side: a lease under `get`, a reservation under the side in its row's head. */
#ifndef IPC_QUEUE_LEASE_H
#define IPC_QUEUE_LEASE_H

#include "ipc/queue_side.h"
#include "sync/slots.h"

#define BRI_MOST_ENTRIES 60

struct bri_entry {
	brood_lock lock;
	uint64_t number, acked;
	uint64_t
		claim; /* for its holder, and handlers that interrupt it: not given back yet, if it is the handle's number */
	uint64_t size;
	uint64_t serial;     /* of a reservation: how often it was one */
	uint32_t deliveries; /* of a lease: how often the message was given to somebody */
	uint32_t spare[3];
};
_Static_assert(sizeof(struct bri_entry) == 128, "a block");

struct bri_row_head {
	uint32_t takes; /* changes when an entry is taken, before that can be seen otherwise */
	uint32_t
		eager; /* somebody may sleep until a lease is acked, and not only until one comes again */
	uint32_t spare[30];
	struct bri_side side; /* of reservations: who wants one. It never commits. */
};

/* Bytes of an area; of a row, without areas; of all. */
static inline uint64_t bri_row_stride(uint64_t bytes)
{
	return (bytes + 63) & ~UINT64_C(63);
}

static inline uint64_t bri_row_size(uint64_t n)
{
	return n == 0 ? 0 : sizeof(struct bri_row_head) + n * sizeof(struct bri_entry);
}

static inline uint64_t bri_queue_memory_size(uint64_t bytes, uint64_t ring, uint64_t leases,
					     uint64_t rooms)
{
	return sizeof(struct bri_queue_memory) + ring + bri_row_size(leases) + bri_row_size(rooms) +
	       (leases + rooms) * bri_row_stride(bytes);
}

/* In memory that is zero. */
void bri_row_init(const struct bri_thread *self, struct bri_row *row);

static inline unsigned char *bri_entry_area(const struct bri_row *row,
					    const struct bri_entry *entry)
{
	return row->areas + (uint64_t)(entry - row->entries) * row->stride;
}

/* Writes out what the side's last commit said of an entry. For who operates the side, before it prepares. */
void bri_queue_settle_entry(const brood_queue *queue, const struct bri_side *side);
static inline void bri_queue_settle(const brood_queue *queue, const struct bri_side *side)
{
	if (__builtin_expect(bri_queue_keeps(queue), 0))
		bri_queue_settle_entry(queue, side);
}

/* The number as of now, for anybody: the side is looked at before the entry. */
uint64_t bri_entry_number(const struct bri_row *row, const struct bri_side *side,
			  const struct bri_entry *entry);

/* What the leases are. For who operates `get`: nobody else takes one meanwhile. */
struct bri_found {
	struct bri_entry *orphan; /* the one of the oldest message */
	struct bri_entry *free;
	uint32_t orphans, out;
};
void bri_lease_scan(const brood_queue *queue, struct bri_found *ret_found);

/* Where its message is: 0, or -EBADMSG. */
int bri_entry_message(const brood_queue *queue, const struct bri_row *row,
		      const struct bri_entry *entry, uint64_t *ret_size,
		      const unsigned char **ret_message);

/* A message whose head, *size, says that it lies in a reservation: 0 and its size, or -EBADMSG. */
int bri_apart_find(const brood_queue *queue, uint64_t *size, const unsigned char **ret_message);

/* A get that finds an orphan. */
ssize_t bri_orphan_get(const struct bri_call *call, struct bri_entry *orphan);

/* What else wakes who waits for messages: a lease that comes again, and sometimes one that is acked. */
size_t bri_lease_note(const struct bri_call *call, struct bri_watch *ret_watches);

/* Takes an entry that nobody holds: 0, -EAGAIN, -ENOLCK. For who operates the row's side. */
int bri_entry_take(struct bri_thread *self, const struct bri_row *row, struct bri_entry *entry);

/* Watches the entries of a row that are held; `takes` was noted before. */
size_t bri_row_note(const struct bri_row *row, struct bri_watch *ret_watches);

/* The calling thread's entry behind a handle, which nobody else gives back from here on: 0, -EINVAL, -EPERM. */
int bri_entry_claim(const struct bri_thread *self, const struct bri_row *row, uint32_t nth,
		    uint64_t number, struct bri_entry **ret_entry);
static inline void bri_entry_unclaim(struct bri_entry *entry, uint64_t number)
{
	__atomic_store_n(&entry->claim, number, __ATOMIC_SEQ_CST);
}

/* A record's head: its size, or where it lies and its size. */
#define BRI_APART (UINT64_C(1) << 63)
#define BRI_APART_AT 48

#endif
