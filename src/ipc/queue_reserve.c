/* Reserve, commit, cancel. queue_lease.h has the invariant. */
#include "ipc/queue_lease.h"
#include "ipc/queue_ring.h"

int bri_apart_find(const brood_queue *queue, uint64_t *size, const unsigned char **ret_message)
{
	uint64_t head = *size, nth = (head & ~BRI_APART) >> BRI_APART_AT;

	*size = head & ((UINT64_C(1) << BRI_APART_AT) - 1);
	if (!(head & BRI_APART) || nth >= queue->rooms.n || *size > queue->bytes - sizeof(uint64_t))
		return -EBADMSG;
	*ret_message = bri_entry_area(&queue->rooms, queue->rooms.entries + nth);
	return 0;
}

static int check(const struct bri_thread *self, const brood_queue *queue)
{
	int r = bri_queue_check(self, queue);

	return r == 0 && queue->rooms.n == 0 ? -EOPNOTSUPP : r;
}

/* ---- reserve */

struct reserving {
	struct bri_call call;
	size_t size;
	brood_reservation *ret_reservation;
};

/* Nobody writes to it, and what was in it has been taken out. */
static bool is_free(const brood_queue *queue, const struct bri_entry *entry)
{
	const struct bri_queue_memory *memory = queue->memory;

	return BRI_TID(bri_lock_load(&entry->lock)) == 0 &&
	       bri_entry_number(&queue->rooms, &memory->put, entry) <=
		       bri_side_look(&memory->get).items;
}

static ssize_t reserve_step(const struct bri_call *call)
{
	const struct reserving *reserving = (const void *)call;
	const struct bri_queue_memory *memory = call->queue->memory;
	const struct bri_row *row = &call->queue->rooms;
	struct bri_entry *entry;
	uint32_t i = 0;
	int r;

	if (bri_side_look(&memory->put).stop & BRI_STOP_END)
		return -EPIPE;
	while (i < row->n && !is_free(call->queue, row->entries + i))
		i++;
	if (i == row->n)
		return bri_side_look(&memory->get).stop & BRI_STOP_END ? -EPIPE : -EAGAIN;
	entry = row->entries + i;
	r = bri_entry_take(call->self, row, entry);
	if (r < 0)
		return r;
	bri_entry_unclaim(entry, ++entry->serial);
	*reserving->ret_reservation = (brood_reservation){ .room = bri_entry_area(row, entry),
							   .size = reserving->size,
							   .number = entry->serial,
							   .nth = i,
							   .queue = call->queue };
	return 0;
}

/* Until a message is taken out, or a reservation is left. */
static size_t note(const struct bri_call *call, struct bri_watch *ret_watches)
{
	const struct bri_row *row = &call->queue->rooms;
	uint32_t *takes = &row->head->takes;

	ret_watches[0] = (struct bri_watch){ takes, __atomic_load_n(takes, __ATOMIC_SEQ_CST) };
	return 1 + bri_row_note(row, ret_watches + 1);
}

int brood_queue_reserve(brood_queue *queue, size_t size, int64_t timeout_ns,
			brood_reservation *ret_reservation)
{
	struct reserving reserving = { .size = size, .ret_reservation = ret_reservation };
	struct bri_call *call = &reserving.call;
	int r;

	*call = (struct bri_call){ .queue = queue, .self = bri_thread(), .deadline = -1 };
	r = check(call->self, queue);
	if (r == 0 && ret_reservation == NULL)
		r = -EINVAL;
	if (r == 0 && size > queue->bytes - sizeof(uint64_t))
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	call->own = &queue->rooms.head->side;
	call->other = &queue->memory->get;
	call->timeout_ns = timeout_ns;
	call->note = note;
	r = (int)bri_side_perform(call, reserve_step);
	if (r == 0)
		brood_queue_ref(queue);
	if (r == -EPIPE)
		brood_queue_close(queue); /* the closer has told us, and may be dead */
	return r;
}

/* ---- commit, cancel */

struct committing {
	struct bri_call call;
	uint64_t size;
	uint32_t nth;
};

/* As a put, but for the bytes: the record is as long as any other, and nothing but its head is written. */
static ssize_t commit_step(const struct bri_call *call)
{
	const struct committing *committing = (const void *)call;
	const brood_queue *queue = call->queue;
	struct bri_side *put = call->own;
	const struct bri_mark *mark = bri_side_now(put);
	uint64_t needed = bri_record_size(committing->size);
	uint32_t stop = 0;

	bri_queue_settle(queue, put);
	if (mark->stop & BRI_STOP_END)
		return -EPIPE;
	if (!bri_has_room(queue, put, mark->items, mark->bytes, needed) &&
	    !bri_makes_room(queue, mark->items, mark->bytes, needed, &stop))
		return stop ? bri_finish_close(put) : -EAGAIN;
	*bri_head_at(queue, mark->bytes) =
		BRI_APART | (uint64_t)committing->nth << BRI_APART_AT | committing->size;
	bri_side_prepare_entry(put, mark->items + 1, mark->bytes + needed, mark->stop,
			       1 + committing->nth);
	bri_side_commit(put);
	return 0;
}

static int claim(const struct bri_thread *self, const brood_queue *queue,
		 const brood_reservation *reservation, struct bri_entry **ret_entry)
{
	int r = check(self, queue);

	if (r < 0)
		return r;
	if (reservation == NULL || reservation->queue != queue)
		return -EINVAL;
	return bri_entry_claim(self, &queue->rooms, reservation->nth, reservation->number,
			       ret_entry);
}

static int let_go(struct bri_thread *self, struct bri_entry *entry, brood_reservation *reservation)
{
	bri_lock_release_slot(self, &entry->lock);
	brood_queue_unref(reservation->queue);
	*reservation = (brood_reservation){ .room = NULL };
	return 0;
}

int brood_queue_commit(brood_queue *queue, brood_reservation *reservation, size_t size,
		       int64_t timeout_ns)
{
	struct committing committing = { .size = size };
	struct bri_call *call = &committing.call;
	struct bri_entry *entry;
	int r;

	*call = (struct bri_call){ .queue = queue, .self = bri_thread(), .deadline = -1 };
	r = claim(call->self, queue, reservation, &entry);
	if (r < 0)
		return r;
	call->own = &queue->memory->put;
	call->other = &queue->memory->get;
	call->timeout_ns = timeout_ns;
	committing.nth = reservation->nth;
	r = size > reservation->size ? -EMSGSIZE : (int)bri_side_perform(call, commit_step);
	if (r == 0)
		return let_go(call->self, entry, reservation);
	bri_entry_unclaim(entry, reservation->number);
	return r;
}

int brood_queue_cancel(brood_queue *queue, brood_reservation *reservation)
{
	struct bri_thread *self = bri_thread();
	struct bri_entry *entry;
	int r = claim(self, queue, reservation, &entry);

	return r < 0 ? r : let_go(self, entry, reservation);
}
