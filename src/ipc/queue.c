/* Queues as objects: made, opened, attached, described. What moves messages is in queue_move.c. */
#include "ipc/queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "ipc/queue_end.h"

#define MOST_BYTES (UINT64_C(1) << 40)
#define BLOCK_SHIFT 20            /* memory is given back by so much … */
#define GIVES (UINT64_C(4) << 20) /* … of rings larger than this */

static void init_side(const struct bri_thread *self, struct bri_side *side)
{
	bri_lock_init(self, &side->lock);
	bri_lock_init(self, &side->gate);
	bri_bias_init(side);
}

struct plan {
	struct bri_thread *self;
	uint64_t items, bytes, ring;
	bool gives;
};

/* Into zeroed memory that nobody else sees yet. */
static int fill(void *context, void *data, size_t size)
{
	const struct plan *plan = context;
	struct bri_queue_memory *memory = data;

	(void)size;
	memory->items = plan->items;
	memory->bytes = plan->bytes;
	memory->ring = plan->ring;
	memory->gives = plan->gives;
	init_side(plan->self, &memory->put);
	init_side(plan->self, &memory->get);
	init_side(plan->self, &memory->done);
	bri_lock_init(plan->self, &memory->roll);
	for (size_t i = 0; i < BRI_PRODUCERS; i++)
		bri_lock_init(plan->self, &memory->producers[i]);
	bri_stamp(plan->self, &memory->stamp, BRI_STAMP_QUEUE);
	return 0;
}

static uint64_t power_of_two(uint64_t least)
{
	uint64_t power = 64;

	while (power < least)
		power <<= 1;
	return power;
}

/* Whether the memory holds a queue that we understand, whoever wrote it. */
static int check_memory(const brood_segment *segment)
{
	const struct bri_queue_memory *memory = brood_segment_data(segment);
	int r;

	if (brood_segment_size(segment) < sizeof(*memory))
		return -EBADMSG;
	r = bri_check(bri_thread(), memory, BRI_STAMP_QUEUE);
	if (r < 0)
		return r == -EINVAL ? -EBADMSG : r;
	if (memory->ring == 0 || (memory->ring & (memory->ring - 1)) != 0 ||
	    memory->ring > brood_segment_size(segment) - sizeof(*memory) ||
	    memory->bytes > memory->ring || memory->bytes < sizeof(uint64_t))
		return -EBADMSG;
	return 0;
}

/* Takes the segment, also when it fails. */
static int adopt(brood_segment *segment, brood_fail *fail, brood_queue **ret_queue)
{
	brood_queue *queue = NULL;
	int r = check_memory(segment);

	if (r == 0)
		queue = calloc(1, sizeof(*queue));
	if (queue == NULL) {
		brood_segment_unref(segment);
		return r < 0 ? bri_fail(fail, "queue", r, NULL) :
			       bri_fail(fail, "memory", ENOMEM, NULL);
	}
	queue->refs = 1;
	queue->segment = segment;
	queue->memory = brood_segment_data(segment);
	queue->ring = (unsigned char *)(queue->memory + 1);
	queue->mask = queue->memory->ring - 1;
	queue->bytes = queue->memory->bytes;
	queue->items = queue->memory->items;
	queue->giving =
		queue->memory->gives && queue->bytes <= queue->memory->ring / 2 ? BLOCK_SHIFT : 63;
	*ret_queue = queue;
	return 0;
}

int brood_queue_new(const brood_queue_opts *opts, brood_queue **ret_queue)
{
	static const brood_queue_opts none;
	struct plan plan = { .self = bri_thread() };
	brood_segment_opts how = { .fill = fill, .context = &plan };
	brood_segment *segment;
	int r;

	if (opts == NULL)
		opts = &none;
	if (plan.self == NULL)
		return bri_fail(opts->fail, "queue", ENOTSUP, NULL);
	if (opts->bytes > MOST_BYTES)
		return bri_fail(opts->fail, "size", EFBIG, "%zu", opts->bytes);
	how.name = opts->name;
	how.keep = opts->keep;
	how.fail = opts->fail;
	plan.items = opts->items == 0 ? UINT64_MAX : opts->items;
	plan.bytes = bri_record_size(opts->bytes == 0 ? BROOD_QUEUE_BYTES : opts->bytes);
	plan.ring = power_of_two(plan.bytes);
	plan.gives = opts->name == NULL && plan.ring > GIVES;
	if (plan.gives)
		plan.ring = power_of_two(2 * plan.bytes); /* see queue_give.c */
	r = brood_segment_new(sizeof(struct bri_queue_memory) + plan.ring, &how, &segment);
	return r < 0 ? r : adopt(segment, opts->fail, ret_queue);
}

int brood_queue_open(const char *name, brood_queue **ret_queue)
{
	brood_segment *segment;
	int r = brood_segment_open(name, NULL, &segment);

	return r < 0 ? r : adopt(segment, NULL, ret_queue);
}

int brood_queue_attach(int fd, brood_queue **ret_queue)
{
	brood_segment *segment;
	int r = brood_segment_attach(fd, NULL, &segment);

	return r < 0 ? r : adopt(segment, NULL, ret_queue);
}

int brood_queue_fd(const brood_queue *queue)
{
	return queue == NULL ? -EINVAL : brood_segment_fd(queue->segment);
}

brood_queue *brood_queue_ref(brood_queue *queue)
{
	atomic_fetch_add_explicit(&queue->refs, 1, memory_order_relaxed);
	return queue;
}

brood_queue *brood_queue_unref(brood_queue *queue)
{
	if (queue != NULL && atomic_fetch_sub(&queue->refs, 1) == 1) {
		bri_queue_unwatch(queue);
		bri_producers_leave(queue);
		brood_segment_unref(queue->segment);
		free(queue);
	}
	return NULL;
}

int brood_queue_unlink(brood_queue *queue)
{
	return queue == NULL ? -EINVAL : brood_segment_unlink(queue->segment);
}

/* Both sides, as they were at one moment: the one that lags was the same before and after. */
static int look(const brood_queue *queue, struct bri_mark *ret_put, struct bri_mark *ret_get)
{
	int r = bri_queue_check(bri_thread(), queue);
	struct bri_mark before;

	if (r < 0)
		return r;
	*ret_get = bri_side_look(&queue->memory->get);
	do {
		before = *ret_get;
		*ret_put = bri_side_look(&queue->memory->put);
		*ret_get = bri_side_look(&queue->memory->get);
	} while (ret_get->items != before.items || ret_get->stop != before.stop);
	if (ret_get->stop & BRI_STOP_DROP) {
		ret_get->items = ret_put->items;
		ret_get->bytes = ret_put->bytes;
	}
	return 0;
}

int bri_queue_ready(const brood_queue *queue)
{
	struct bri_mark put, get;
	int r = look(queue, &put, &get);

	return r < 0 ? r : put.items != get.items || put.stop & BRI_STOP_END;
}

ssize_t brood_queue_size(const brood_queue *queue)
{
	struct bri_mark put, get;
	int r = look(queue, &put, &get);

	return r < 0 ? r : (ssize_t)(put.items - get.items);
}

int brood_queue_empty(const brood_queue *queue)
{
	ssize_t n = brood_queue_size(queue);

	return n < 0 ? (int)n : n == 0;
}

int brood_queue_full(const brood_queue *queue)
{
	struct bri_mark put, get;
	int r = look(queue, &put, &get);

	if (r < 0)
		return r;
	return put.items - get.items >= queue->items ||
	       put.bytes - get.bytes + bri_record_size(0) > queue->bytes;
}

int brood_queue_is_closed(const brood_queue *queue)
{
	int r = bri_queue_check(bri_thread(), queue);

	return r < 0 ? r : (bri_side_look(&queue->memory->put).stop & BRI_STOP_END) != 0;
}

ssize_t brood_queue_unfinished(const brood_queue *queue)
{
	int r = bri_queue_check(bri_thread(), queue);
	struct bri_mark done;

	if (r < 0)
		return r;
	done = bri_side_look(&queue->memory->done); /* first: it never gets ahead */
	return (ssize_t)bri_queue_left(queue, &done);
}

int brood_queue_describe(const brood_queue *queue, char *buf, size_t size)
{
	char most[40] = "";
	struct bri_mark put, get;
	int r = look(queue, &put, &get);

	if (r < 0)
		return r;
	if (queue->items != UINT64_MAX)
		snprintf(most, sizeof(most), " of at most %llu", (unsigned long long)queue->items);
	return snprintf(buf, size, "queue, %llu messages%s, %llu bytes of at most %llu%s",
			(unsigned long long)(put.items - get.items), most,
			(unsigned long long)(put.bytes - get.bytes),
			(unsigned long long)queue->bytes,
			put.stop & BRI_STOP_END ? ", closed" : "");
}
