/* The end of a queue. A producer is one of a row of robust locks, which the kernel lets go when its thread dies. */
#include "ipc/queue_end.h"

#include "ipc/queue_lease.h"
#include "os/clock.h"
#include "sync/slots.h"

/* ---- close, discard */

static ssize_t stop_step(const struct bri_call *call)
{
	const struct bri_mark *mark = bri_side_now(call->own);
	uint32_t stop = mark->stop | call->stop;

	bri_queue_settle(call->queue, call->own);
	if (stop != mark->stop) {
		bri_side_prepare(call->own, mark->items, mark->bytes, stop);
		bri_side_commit(call->own);
	}
	return 0;
}

static int add_stop(brood_queue *queue, struct bri_side *side, uint32_t stop)
{
	struct bri_call call = { .queue = queue, .self = bri_thread(), .own = side, .stop = stop };

	return bri_side_at_once(&call, stop_step);
}

/* The getting side first. That wakes who waits for room, and who finds no room from then on ends the putting side as we
 * do, so that it is done though we be killed in between. It is closed when the putting side is. */
int brood_queue_close(brood_queue *queue)
{
	int r = bri_queue_check(bri_thread(), queue);

	if (r == 0)
		r = add_stop(queue, &queue->memory->get, BRI_STOP_END);
	if (r == 0)
		r = add_stop(queue, &queue->memory->put, BRI_STOP_END);
	return r;
}

/* Who puts and who gets was told by the close. Then who joins, and who does from then on drops what is there before it looks,
 * as we do, so that it is done though we be killed in between. The last commit decides. */
int brood_queue_discard(brood_queue *queue)
{
	int r = brood_queue_close(queue);

	if (r == 0)
		r = add_stop(queue, &queue->memory->done, BRI_STOP_DROP);
	if (r == 0)
		r = add_stop(queue, &queue->memory->get, BRI_STOP_DROP);
	return r;
}

bool bri_drop_finish(const struct bri_call *call)
{
	struct bri_queue_memory *memory = call->queue->memory;

	if (!(bri_side_look(&memory->done).stop & BRI_STOP_DROP) ||
	    bri_side_look(&memory->get).stop & BRI_STOP_DROP)
		return false;
	return add_stop(call->queue, &memory->get, BRI_STOP_DROP) == 0;
}

size_t bri_drop_note(const struct bri_call *call, struct bri_watch *watches)
{
	(void)watches;
	bri_drop_finish(call);
	return 0;
}

/* ---- producers
 *
 * None comes but by who holds `roll`, and while it is held they can but become fewer: so a look at one after the other tells
 * whether none is left. The first one that comes is told by a commit of the putting side, PRODUCED, which wakes
 * the getters' leader; from then on that sleeps on at least one of them, or finds that none is left. */

static struct bri_slots producers_of(const brood_queue *queue)
{
	return (struct bri_slots){ queue->memory->producers, BRI_PRODUCERS };
}

static bool any_is_left(const brood_queue *queue)
{
	for (size_t i = 0; i < BRI_PRODUCERS; i++)
		if (BRI_TID(bri_lock_load(&queue->memory->producers[i])) != 0)
			return true;
	return false;
}

static bool may_have_ended(const brood_queue *queue)
{
	uint32_t stop = bri_side_look(&queue->memory->put).stop;

	return (stop & (BRI_STOP_PRODUCED | BRI_STOP_END)) == BRI_STOP_PRODUCED;
}

int bri_producers_end(brood_queue *queue, int64_t deadline)
{
	struct bri_thread *self = bri_thread();
	int r;

	if (!may_have_ended(queue) || any_is_left(queue))
		return 0;
	r = bri_lock_acquire(self, &queue->memory->roll,
			     deadline == 0 ? bri_deadline(BRI_STALLED) : deadline);
	if (r < 0)
		return r;
	r = 0;
	if (!any_is_left(queue)) {
		r = brood_queue_close(queue);
		r = r < 0 ? r : 1;
	}
	bri_lock_release(self, &queue->memory->roll);
	return r;
}

static size_t note_producers(const brood_queue *queue, struct bri_watch *watches)
{
	size_t n = 0;

	for (size_t i = 0; i < BRI_PRODUCERS; i++)
		n += bri_slot_watch(&queue->memory->producers[i], watches + n);
	return n;
}

/* When none is left, but one comes before the queue is ended, there is one to note. */
size_t bri_producers_note(const struct bri_call *call, struct bri_watch *watches)
{
	size_t n = 0;

	while (may_have_ended(call->queue)) {
		n = note_producers(call->queue, watches);
		if (n > 0 ||
		    bri_producers_end(call->queue, call->deadline >= 0 ?
							   call->deadline :
							   bri_deadline(call->timeout_ns)) < 0)
			break;
	}
	return n;
}

static int come(struct bri_thread *self, brood_queue *queue)
{
	struct bri_side *put = &queue->memory->put;
	brood_lock *slot;
	int r;

	if (bri_side_look(put).stop & BRI_STOP_END)
		return -EPIPE;
	r = bri_slots_take(self, producers_of(queue), &slot);
	if (r < 0)
		return r == -ETIMEDOUT ? -EUSERS : r;
	bri_slot_mark(self, slot);
	r = add_stop(queue, put, BRI_STOP_PRODUCED);
	if (r < 0 && bri_slots_unmark(self, producers_of(queue)) != NULL)
		bri_lock_release_slot(self, slot);
	return r;
}

int brood_queue_produce(brood_queue *queue)
{
	struct bri_thread *self = bri_thread();
	int r = bri_queue_check(self, queue);

	if (r == 0)
		r = bri_lock_acquire(self, &queue->memory->roll, BROOD_FOREVER);
	if (r < 0)
		return r;
	r = come(self, queue);
	bri_lock_release(self, &queue->memory->roll);
	return r;
}

/* Who waits to get is woken, and ends the queue if we are killed before we do. */
int brood_queue_retire(brood_queue *queue)
{
	struct bri_thread *self = bri_thread();
	int r = bri_queue_check(self, queue);
	brood_lock *mine;

	if (r < 0)
		return r;
	mine = bri_slots_unmark(self, producers_of(queue));
	if (mine == NULL)
		return -EPERM;
	bri_lock_release_slot(self, mine);
	(void)bri_producers_end(queue, 0);
	return 0;
}

void bri_producers_leave(brood_queue *queue)
{
	struct bri_thread *self = bri_thread();

	while (self != NULL && brood_queue_retire(queue) == 0)
		;
}
