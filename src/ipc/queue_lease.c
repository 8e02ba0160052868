/* Take, ack, give back. queue_lease.h has the invariant. */
#include "ipc/queue_lease.h"

#include "ipc/queue_end.h"
#include "ipc/queue_ring.h"

void bri_row_init(const struct bri_thread *self, struct bri_row *row)
{
	for (uint32_t i = 0; i < row->n; i++)
		bri_lock_init(self, &row->entries[i].lock);
}

/* ---- numbers */

/* Never smaller: what is written out again may be long over. */
static void raise_to(uint64_t *number, uint64_t to)
{
	uint64_t seen = __atomic_load_n(number, __ATOMIC_RELAXED);

	while (seen < to && !__atomic_compare_exchange_n(number, &seen, to, false, __ATOMIC_SEQ_CST,
							 __ATOMIC_RELAXED))
		;
}

void bri_queue_settle_entry(const brood_queue *queue, const struct bri_side *side)
{
	const struct bri_queue_memory *memory = queue->memory;
	const struct bri_row *row = side == &memory->put ? &queue->rooms : &queue->leases;
	const struct bri_mark *mark = bri_side_now((struct bri_side *)(uintptr_t)side);
	uint32_t nth = mark->entry - 1;

	if (nth >= row->n)
		return;
	if (side == &memory->done)
		raise_to(&row->entries[nth].acked, mark->bytes);
	else
		raise_to(&row->entries[nth].number, mark->items);
}

/* The larger of both: if the side has gone on, what it said was written out before. */
static uint64_t larger_of(uint64_t said, uint64_t number)
{
	return said > number ? said : number;
}

uint64_t bri_entry_number(const struct bri_row *row, const struct bri_side *side,
			  const struct bri_entry *entry)
{
	struct bri_mark mark = bri_side_look(side);
	uint64_t said = mark.entry == 1 + (uint32_t)(entry - row->entries) ? mark.items : 0;

	return larger_of(said, __atomic_load_n(&entry->number, __ATOMIC_ACQUIRE));
}

static uint64_t acked_of(const brood_queue *queue, const struct bri_entry *entry)
{
	struct bri_mark mark = bri_side_look(&queue->memory->done);
	uint64_t said =
		mark.entry == 1 + (uint32_t)(entry - queue->leases.entries) ? mark.bytes : 0;

	return larger_of(said, __atomic_load_n(&entry->acked, __ATOMIC_ACQUIRE));
}

/* ---- entries */

void bri_lease_scan(const brood_queue *queue, struct bri_found *ret_found)
{
	uint64_t oldest = UINT64_MAX;

	*ret_found = (struct bri_found){ .orphan = NULL };
	for (uint32_t i = 0; i < queue->leases.n; i++) {
		struct bri_entry *entry = &queue->leases.entries[i];
		bool held = BRI_TID(bri_lock_load(&entry->lock)) != 0; /* before its numbers */
		uint64_t number = bri_entry_number(&queue->leases, &queue->memory->get, entry);

		if (number <= acked_of(queue, entry)) {
			if (!held)
				ret_found->free = entry;
		} else if (held) {
			ret_found->out++;
		} else {
			ret_found->orphans++;
			if (number < oldest) {
				ret_found->orphan = entry;
				oldest = number;
			}
		}
	}
}

int bri_entry_message(const brood_queue *queue, const struct bri_row *row,
		      const struct bri_entry *entry, uint64_t *ret_size,
		      const unsigned char **ret_message)
{
	*ret_size = __atomic_load_n(&entry->size, __ATOMIC_RELAXED);
	*ret_message = bri_entry_area(row, entry);
	return *ret_size > queue->bytes - sizeof(uint64_t) ? -EBADMSG : 0;
}

/* Seen to be taken before anything else can be seen of it: a leader that noted it as free does not go to sleep. */
int bri_entry_take(struct bri_thread *self, const struct bri_row *row, struct bri_entry *entry)
{
	int r = bri_lock_acquire(self, &entry->lock, 0);

	__atomic_fetch_add(&row->head->takes, 1, __ATOMIC_SEQ_CST);
	return r == -ETIMEDOUT ? -EAGAIN : r < 0 ? r : 0;
}

int bri_entry_claim(const struct bri_thread *self, const struct bri_row *row, uint32_t nth,
		    uint64_t number, struct bri_entry **ret_entry)
{
	struct bri_entry *entry = row->entries + nth;

	if (number == 0 || nth >= row->n ||
	    __atomic_load_n(&entry->claim, __ATOMIC_SEQ_CST) != number)
		return -EINVAL;
	if (!bri_lock_is_mine(self, &entry->lock))
		return -EPERM;
	if (!__atomic_compare_exchange_n(&entry->claim, &number, 0, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return -EINVAL;
	*ret_entry = entry;
	return 0;
}

/* ---- waiting */

size_t bri_row_note(const struct bri_row *row, struct bri_watch *ret_watches)
{
	size_t n = 0;

	for (uint32_t i = 0; i < row->n; i++)
		n += bri_slot_watch(&row->entries[i].lock, ret_watches + n);
	return n;
}

static bool all_held(const struct bri_row *row)
{
	for (uint32_t i = 0; i < row->n; i++)
		if (BRI_TID(bri_lock_load(&row->entries[i].lock)) == 0)
			return false;
	return true;
}

/* `eager` is written by the leader alone, before it reads the words: who acks changes the word first, and looks at it then. */
size_t bri_lease_note(const struct bri_call *call, struct bri_watch *ret_watches)
{
	const struct bri_row *row = &call->queue->leases;
	uint32_t *takes = &row->head->takes;
	bool eager;

	ret_watches[0] = (struct bri_watch){ takes, __atomic_load_n(takes, __ATOMIC_SEQ_CST) };
	eager = (bri_side_look(&call->queue->memory->put).stop & BRI_STOP_END) != 0 ||
		all_held(row);
	__atomic_store_n(&row->head->eager, eager, __ATOMIC_SEQ_CST);
	return 1 + bri_row_note(row, ret_watches + 1);
}

/* Of a lease that is free from here on. WAITERS is set while a leader looks out for a death; it is woken only if it waits for
 * this, too. The word keeps WAITERS: who takes it next may be one that the leader has not seen. */
static void leave(struct bri_thread *self, const struct bri_row *row, brood_lock *lock)
{
	void *before = bri_insure(self, &lock->next);
	uint32_t word = self->tid, *eager = &row->head->eager;

	bri_unlink(self, &lock->prev, &lock->next);
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(bri_lock_word(lock), &word, 0, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED)) {
		if (__atomic_load_n(eager, __ATOMIC_SEQ_CST)) {
			bri_lock_release_slow(self, lock, before);
			return;
		}
		__atomic_exchange_n(bri_lock_word(lock), BRI_WAITERS, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(eager, __ATOMIC_SEQ_CST))
			bri_futex_wake(bri_lock_word(lock), 1);
	}
	bri_insure(self, before);
}

/* ---- take */

struct taking {
	struct bri_call call;
	brood_lease *ret_lease;
};

/* The entry is ours, with the message in it. */
static ssize_t hand_over(const struct taking *taking, struct bri_entry *entry, uint64_t number,
			 uint64_t size)
{
	const struct bri_row *row = &taking->call.queue->leases;

	bri_entry_unclaim(entry, number);
	*taking->ret_lease = (brood_lease){ .message = bri_entry_area(row, entry),
					    .size = size,
					    .deliveries = entry->deliveries,
					    .number = number,
					    .nth = (uint32_t)(entry - row->entries),
					    .queue = taking->call.queue };
	return (ssize_t)size;
}

static ssize_t take_orphan(const struct taking *taking, struct bri_entry *entry)
{
	const brood_queue *queue = taking->call.queue;
	const unsigned char *message;
	uint64_t size;
	int r = bri_entry_message(queue, &queue->leases, entry, &size, &message);

	if (r == 0)
		r = bri_entry_take(taking->call.self, &queue->leases, entry);
	if (r < 0)
		return r;
	__atomic_store_n(&entry->deliveries, entry->deliveries + 1, __ATOMIC_RELAXED);
	return hand_over(taking, entry, entry->number, size);
}

static ssize_t take_next(const struct taking *taking, const struct bri_found *found)
{
	const brood_queue *queue = taking->call.queue;
	struct bri_side *get = taking->call.own;
	const struct bri_mark *mark = bri_side_now(get);
	const struct bri_row *row = &queue->leases;
	struct bri_entry *entry = found->free;
	const unsigned char *apart = NULL;
	uint64_t size, before = mark->bytes, bytes;
	int r = bri_next(queue, mark, &size);

	if (r == -EBADMSG)
		r = bri_apart_find(queue, &size, &apart);
	if (r < 0)
		return r == -EPIPE && found->out > 0 ? -EAGAIN : r;
	if (entry == NULL)
		return -EAGAIN;
	r = bri_entry_take(taking->call.self, row, entry);
	if (r < 0)
		return r;
	__atomic_store_n(&entry->size, size, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->deliveries, 1, __ATOMIC_RELAXED);
	bri_message_copy(queue, before, apart, bri_entry_area(row, entry), size);
	bytes = before + bri_record_size(size);
	bri_side_prepare_entry(get, mark->items + 1, bytes, mark->stop,
			       1 + (uint32_t)(entry - row->entries));
	bri_side_commit(get);
	if (__builtin_expect((before ^ bytes) >> queue->giving != 0, 0))
		bri_queue_give_back(queue, before, bytes);
	return hand_over(taking, entry, bri_side_now(get)->items, size);
}

static ssize_t take_step(const struct bri_call *call)
{
	const struct taking *taking = (const void *)call;
	struct bri_found found;

	bri_queue_settle(call->queue, call->own);
	bri_lease_scan(call->queue, &found);
	return found.orphan != NULL ? take_orphan(taking, found.orphan) : take_next(taking, &found);
}

/* 0, or why the thread cannot use the row. */
static int check(const struct bri_thread *self, const brood_queue *queue)
{
	int r = bri_queue_check(self, queue);

	return r == 0 && queue->leases.n == 0 ? -EOPNOTSUPP : r;
}

ssize_t brood_queue_take(brood_queue *queue, int64_t timeout_ns, brood_lease *ret_lease)
{
	struct taking taking = { .ret_lease = ret_lease };
	struct bri_call *call = &taking.call;
	ssize_t r;

	*call = (struct bri_call){ .queue = queue, .self = bri_thread(), .deadline = -1 };
	r = check(call->self, queue);
	if (r == 0 && ret_lease == NULL)
		r = -EINVAL;
	if (r < 0)
		return r;
	call->own = &queue->memory->get;
	call->other = &queue->memory->put;
	call->timeout_ns = timeout_ns;
	call->note = bri_getter_note;
	call->nothing = bri_getter_found_nothing;
	r = bri_side_perform(call, take_step);
	if (r >= 0)
		brood_queue_ref(queue);
	return r;
}

/* One store says that it is gone, as with any message that is got. */
ssize_t bri_orphan_get(const struct bri_call *call, struct bri_entry *orphan)
{
	const struct bri_row *row = &call->queue->leases;
	const unsigned char *message;
	uint64_t size;
	int r = bri_entry_message(call->queue, row, orphan, &size, &message);

	if (r == 0 && size > call->size) {
		call->ret_messages[0] = (struct iovec){ NULL, size };
		r = -EMSGSIZE;
	}
	if (r == 0)
		r = bri_entry_take(call->self, row, orphan);
	if (r < 0)
		return r;
	memcpy(call->buf, message, size);
	call->ret_messages[0] = (struct iovec){ call->buf, size };
	raise_to(&orphan->acked, orphan->number);
	leave(call->self, row, &orphan->lock);
	return 1;
}

/* ---- ack, give back */

static int claim(const struct bri_thread *self, const brood_queue *queue, const brood_lease *lease,
		 struct bri_entry **ret_entry)
{
	int r = check(self, queue);

	if (r < 0)
		return r;
	if (lease == NULL || lease->queue != queue || lease->nth >= queue->leases.n ||
	    __atomic_load_n(&queue->leases.entries[lease->nth].deliveries, __ATOMIC_RELAXED) !=
		    lease->deliveries)
		return -EINVAL;
	return bri_entry_claim(self, &queue->leases, lease->nth, lease->number, ret_entry);
}

struct acking {
	struct bri_call call;
	uint64_t number;
	uint32_t nth;
};

/* The work is done, and counted, in one commit. Somebody may have said too often that it was: that is not counted. */
static ssize_t ack_step(const struct bri_call *call)
{
	const struct acking *acking = (const void *)call;
	struct bri_side *done = call->own;
	const struct bri_mark *mark = bri_side_now(done);
	uint64_t left = bri_queue_left(call->queue, mark);

	bri_queue_settle(call->queue, done);
	bri_side_prepare_entry(done, mark->items + (left > 0), acking->number, mark->stop,
			       1 + acking->nth);
	if (left == 1)
		bri_side_commit(done);
	else
		bri_side_count(done);
	return 0;
}

int brood_queue_ack(brood_queue *queue, brood_lease *lease)
{
	struct acking acking = { .nth = 0 };
	struct bri_call *call = &acking.call;
	struct bri_entry *entry;
	int r;

	*call = (struct bri_call){ .queue = queue, .self = bri_thread() };
	r = claim(call->self, queue, lease, &entry);
	if (r < 0)
		return r;
	call->own = &queue->memory->done;
	acking.number = lease->number;
	acking.nth = lease->nth;
	r = bri_side_at_once(call, ack_step);
	if (r < 0) {
		bri_entry_unclaim(entry, lease->number);
		return r;
	}
	leave(call->self, &queue->leases, &entry->lock);
	*lease = (brood_lease){ .message = NULL };
	brood_queue_unref(queue);
	return 0;
}

int brood_queue_give_back(brood_queue *queue, brood_lease *lease)
{
	struct bri_thread *self = bri_thread();
	struct bri_entry *entry;
	int r = claim(self, queue, lease, &entry);

	if (r < 0)
		return r;
	bri_lock_release_slot(self, &entry->lock);
	*lease = (brood_lease){ .message = NULL };
	brood_queue_unref(queue);
	return 0;
}
