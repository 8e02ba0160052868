/* ipc/queue_end.h - how a queue ends: closed, discarded, or left by all its producers
 *
 * Each is a row of commits, of which one decides; whom an earlier one wakes can do the rest. So a killed one has either not
 * decided, or has woken all. README.md goes through it kill by kill. */
#ifndef IPC_QUEUE_END_H
#define IPC_QUEUE_END_H

#include "ipc/queue_side.h"

/* To how many messages brood_queue_task_done() is still to be said, `done` being that side's state. What was dropped does not
 * count; that of done comes first, so that who has not been told of a drop need not ask the getting side. */
static inline uint64_t bri_queue_left(const brood_queue *queue, const struct bri_mark *done)
{
	if (done->stop & BRI_STOP_DROP) {
		struct bri_mark get = bri_side_look(&queue->memory->get);

		/* Who said it before it took the message may be ahead. */
		if (get.stop & BRI_STOP_DROP)
			return get.items > done->items ? get.items - done->items : 0;
	}
	return bri_side_look(&queue->memory->put).items - done->items;
}

/* Hooks of who joins: a drop that was begun is made. */
bool bri_drop_finish(const struct bri_call *call);
size_t bri_drop_note(const struct bri_call *call, struct bri_watch *watches);

/* The hook of who gets: up to BRI_PRODUCERS words that change when a producer ends. If none is left it closes the queue. */
size_t bri_producers_note(const struct bri_call *call, struct bri_watch *watches);

/* Closes the queue if there were producers and none is left: 1, it did; 0; -ETIMEDOUT, one that is about to come holds that up;
 * or another error. `deadline` 0: a moment. */
int bri_producers_end(brood_queue *queue, int64_t deadline);

/* What this thread has said of itself, before it unmaps the queue. */
void bri_producers_leave(brood_queue *queue);

#endif
