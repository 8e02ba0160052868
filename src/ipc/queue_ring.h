/* ipc/queue_ring.h - the ring of bytes between the two sides of a queue, for who operates one */
#ifndef IPC_QUEUE_RING_H
#define IPC_QUEUE_RING_H

#include <string.h>

#include "ipc/queue_side.h"

static inline __attribute__((always_inline)) void bri_copy_in(const brood_queue *queue, uint64_t at,
							      const void *from, size_t size)
{
	uint64_t start = at & queue->mask, left = queue->mask + 1 - start;

	if (size == 0)
		return;
	if (__builtin_expect(size <= left, 1)) {
		memcpy(queue->ring + start, from, size);
		return;
	}
	memcpy(queue->ring + start, from, left);
	memcpy(queue->ring, (const unsigned char *)from + left, size - left);
}

static inline __attribute__((always_inline)) void bri_copy_out(const brood_queue *queue,
							       uint64_t at, void *to, size_t size)
{
	uint64_t start = at & queue->mask, left = queue->mask + 1 - start;

	if (__builtin_expect(size <= left, 1)) {
		memcpy(to, queue->ring + start, size);
		return;
	}
	memcpy(to, queue->ring + start, left);
	memcpy((unsigned char *)to + left, queue->ring, size - left);
}

/* Positions are multiples of 8, and so is the ring's size: a record's head is never divided. */
static inline uint64_t *bri_head_at(const brood_queue *queue, uint64_t at)
{
	return (uint64_t *)(void *)(queue->ring + (at & queue->mask));
}

/* A message of `size`, whose record is at `at`, or which lies apart. */
static inline __attribute__((always_inline)) void bri_message_copy(const brood_queue *queue,
								   uint64_t at,
								   const unsigned char *apart,
								   void *to, uint64_t size)
{
	if (apart != NULL)
		memcpy(to, apart, size);
	else
		bri_copy_out(queue, at + sizeof(uint64_t), to, size);
}

/* ---- put */

static inline bool bri_has_room(const brood_queue *queue, const struct bri_side *put,
				uint64_t items, uint64_t bytes, uint64_t needed)
{
	return items - put->seen_items < queue->items &&
	       bytes - put->seen_bytes + needed <= queue->bytes;
}

/* The same, but looks first how far the getters have come; true also at the end, told by *ret_stop. */
static inline bool bri_makes_room(const brood_queue *queue, uint64_t items, uint64_t bytes,
				  uint64_t needed, uint32_t *ret_stop)
{
	struct bri_side *put = &queue->memory->put;
	struct bri_mark get = bri_side_look(&queue->memory->get);

	put->seen_items = get.items;
	put->seen_bytes = get.bytes;
	*ret_stop = get.stop;
	return bri_has_room(queue, put, items, bytes, needed);
}

/* A closer has told those who put, and may be dead: we tell those who get. */
static inline ssize_t bri_finish_close(struct bri_side *put)
{
	const struct bri_mark *mark = bri_side_now(put);

	bri_side_prepare(put, mark->items, mark->bytes, mark->stop | BRI_STOP_END);
	bri_side_commit(put);
	return -EPIPE;
}

/* ---- get */

/* 0: there is a message, of *ret_size, at `items` and `bytes`. */
static inline __attribute__((always_inline)) int bri_next_message(const brood_queue *queue,
								  uint64_t items, uint64_t bytes,
								  uint64_t *ret_size)
{
	struct bri_side *get = &queue->memory->get;

	if (get->seen_items == items) {
		struct bri_mark put = bri_side_look(&queue->memory->put);

		get->seen_items = put.items;
		if (put.items == items)
			return put.stop & BRI_STOP_END ? -EPIPE : -EAGAIN;
	}
	*ret_size = *bri_head_at(queue, bytes);
	return *ret_size > queue->bytes - sizeof(uint64_t) ? -EBADMSG : 0;
}

/* The same of the first one, unless all that is in the ring was dropped. */
static inline int bri_next(const brood_queue *queue, const struct bri_mark *mark,
			   uint64_t *ret_size)
{
	return mark->stop & BRI_STOP_DROP ?
		       -EPIPE :
		       bri_next_message(queue, mark->items, mark->bytes, ret_size);
}

#endif
