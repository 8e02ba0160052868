/* Queues as objects: made, opened, attached, described. What moves messages is in queue_move.c. */
#include "ipc/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "ipc/queue_end.h"
#include "ipc/queue_lease.h"

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
	unsigned leases, rooms;
};

/* The rows behind the ring, as the queue's numbers say. */
static void lay_out(brood_queue *queue)
{
	struct bri_row *rows[] = { &queue->leases, &queue->rooms };
	unsigned char *at = queue->ring + queue->mask + 1;

	for (size_t i = 0; i < 2; i++) {
		struct bri_row *row = rows[i];

		row->head = (struct bri_row_head *)(void *)at;
		row->entries = (struct bri_entry *)(row->head + 1);
		row->stride = bri_row_stride(queue->bytes);
		at += bri_row_size(row->n);
	}
	queue->leases.areas = at;
	queue->rooms.areas = at + queue->leases.n * queue->leases.stride;
}

static void fill_rows(const struct plan *plan, struct bri_queue_memory *memory)
{
	brood_queue queue = { .ring = (unsigned char *)(memory + 1),
			      .mask = plan->ring - 1,
			      .bytes = plan->bytes,
			      .leases = { .n = plan->leases },
			      .rooms = { .n = plan->rooms } };

	memory->leases = plan->leases;
	memory->rooms = plan->rooms;
	lay_out(&queue);
	bri_row_init(plan->self, &queue.leases);
	bri_row_init(plan->self, &queue.rooms);
	if (plan->rooms > 0)
		init_side(plan->self, &queue.rooms.head->side);
}

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
	fill_rows(plan, memory);
	bri_stamp(plan->self, &memory->stamp,
		  plan->leases + plan->rooms > 0 ? BRI_STAMP_KEEPING : BRI_STAMP_QUEUE);
	return 0;
}

static uint64_t power_of_two(uint64_t least)
{
	uint64_t power = 64;

	while (power < least)
		power <<= 1;
	return power;
}

/* Whether the memory holds a queue that we understand, whoever wrote it; what it says is copied, since others can write
 * over it. */
static int read_memory(const brood_segment *segment, brood_queue *queue)
{
	struct bri_queue_memory *memory = brood_segment_data(segment);
	uint64_t size = brood_segment_size(segment), ring;
	struct bri_thread *self = bri_thread();
	int r;

	if (size < sizeof(*memory))
		return -EBADMSG;
	queue->kind = BRI_STAMP_QUEUE;
	r = bri_check(self, memory, BRI_STAMP_QUEUE);
	if (r == -EINVAL) {
		queue->kind = BRI_STAMP_KEEPING;
		r = bri_check(self, memory, BRI_STAMP_KEEPING);
	}
	if (r < 0)
		return r == -EINVAL ? -EBADMSG : r;
	ring = memory->ring;
	queue->memory = memory;
	queue->ring = (unsigned char *)(memory + 1);
	queue->mask = ring - 1;
	queue->bytes = memory->bytes;
	queue->items = memory->items;
	queue->giving = memory->gives && queue->bytes <= ring / 2 ? BLOCK_SHIFT : 63;
	queue->leases.n = bri_queue_keeps(queue) ? memory->leases : 0;
	queue->rooms.n = bri_queue_keeps(queue) ? memory->rooms : 0;
	if (ring == 0 || (ring & (ring - 1)) != 0 || ring > size - sizeof(*memory) ||
	    queue->bytes > ring || queue->bytes < sizeof(uint64_t) ||
	    queue->leases.n > BRI_MOST_ENTRIES || queue->rooms.n > BRI_MOST_ENTRIES ||
	    bri_queue_memory_size(queue->bytes, ring, queue->leases.n, queue->rooms.n) > size)
		return -EBADMSG;
	lay_out(queue);
	return 0;
}

/* Takes the segment, also when it fails. */
static int adopt(brood_segment *segment, brood_fail *fail, brood_queue **ret_queue)
{
	brood_queue found = { .refs = 1, .segment = segment }, *queue = NULL;
	int r = read_memory(segment, &found);

	if (r == 0)
		queue = malloc(sizeof(*queue));
	if (queue == NULL) {
		brood_segment_unref(segment);
		return r < 0 ? bri_fail(fail, "queue", r, NULL) :
			       bri_fail(fail, "memory", ENOMEM, NULL);
	}
	memcpy(queue, &found, sizeof(found));
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
	if (opts->leases > BRI_MOST_ENTRIES)
		return bri_fail(opts->fail, "leases", EINVAL, "%u", opts->leases);
	if (opts->reservations > BRI_MOST_ENTRIES)
		return bri_fail(opts->fail, "reservations", EINVAL, "%u", opts->reservations);
	how.name = opts->name;
	how.keep = opts->keep;
	how.fail = opts->fail;
	plan.items = opts->items == 0 ? UINT64_MAX : opts->items;
	plan.bytes = bri_record_size(opts->bytes == 0 ? BROOD_QUEUE_BYTES : opts->bytes);
	plan.ring = power_of_two(plan.bytes);
	plan.gives = opts->name == NULL && plan.ring > GIVES;
	if (plan.gives)
		plan.ring = power_of_two(2 * plan.bytes); /* see queue_give.c */
	plan.leases = opts->leases;
	plan.rooms = opts->reservations;
	r = brood_segment_new(bri_queue_memory_size(plan.bytes, plan.ring, plan.leases, plan.rooms),
			      &how, &segment);
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

static uint32_t takes(const brood_queue *queue)
{
	return queue->leases.n == 0 ? 0 :
				      __atomic_load_n(&queue->leases.head->takes, __ATOMIC_SEQ_CST);
}

/* Both sides and the leases, as they were at one moment: what lags was the same before and after. */
static int look(const brood_queue *queue, struct bri_mark *ret_put, struct bri_mark *ret_get,
		struct bri_found *ret_found)
{
	int r = bri_queue_check(bri_thread(), queue);
	struct bri_mark before;
	uint32_t taken;

	if (r < 0)
		return r;
	do {
		before = bri_side_look(&queue->memory->get);
		taken = takes(queue);
		*ret_put = bri_side_look(&queue->memory->put);
		bri_lease_scan(queue, ret_found);
		*ret_get = bri_side_look(&queue->memory->get);
	} while (ret_get->items != before.items || ret_get->stop != before.stop ||
		 takes(queue) != taken);
	if (ret_get->stop & BRI_STOP_DROP) {
		ret_get->items = ret_put->items;
		ret_get->bytes = ret_put->bytes;
	}
	return 0;
}

int bri_queue_ready(const brood_queue *queue)
{
	struct bri_found found;
	struct bri_mark put, get;
	int r = look(queue, &put, &get, &found);

	return r < 0 ? r :
		       put.items != get.items || found.orphans > 0 ||
			       (put.stop & BRI_STOP_END && found.out == 0);
}

ssize_t brood_queue_size(const brood_queue *queue)
{
	struct bri_found found;
	struct bri_mark put, get;
	int r = look(queue, &put, &get, &found);

	return r < 0 ? r : (ssize_t)(put.items - get.items + found.orphans);
}

ssize_t brood_queue_leased(const brood_queue *queue)
{
	struct bri_found found;
	struct bri_mark put, get;
	int r = look(queue, &put, &get, &found);

	return r < 0 ? r : (ssize_t)found.out;
}

int brood_queue_empty(const brood_queue *queue)
{
	ssize_t n = brood_queue_size(queue);

	return n < 0 ? (int)n : n == 0;
}

int brood_queue_full(const brood_queue *queue)
{
	struct bri_found found;
	struct bri_mark put, get;
	int r = look(queue, &put, &get, &found);

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

/* Who wait, to operate `own`, for the other side to move: the leader sleeps on its word, the others in line. */
static void describe_waiters(struct bri_side *own, struct bri_side *other, const char *to,
			     char text[40])
{
	int n = bri_futex_count(&other->word) + brood_lock_waiters(&own->gate);

	text[0] = '\0';
	if (n > 0)
		snprintf(text, 40, ", %d wait to %s", n, to);
}

int brood_queue_describe(const brood_queue *queue, char *buf, size_t size)
{
	char most[40] = "", leased[60] = "", getters[40], putters[40], joiners[40];
	struct bri_queue_memory *memory;
	struct bri_found found;
	struct bri_mark put, get;
	unsigned long long there;
	int r = look(queue, &put, &get, &found);

	if (r < 0)
		return r;
	if (queue->items != UINT64_MAX)
		snprintf(most, sizeof(most), " of at most %llu", (unsigned long long)queue->items);
	if (queue->leases.n > 0)
		snprintf(leased, sizeof(leased), ", %u leased of at most %u", found.out,
			 queue->leases.n);
	memory = queue->memory;
	describe_waiters(&memory->get, &memory->put, "get", getters);
	describe_waiters(&memory->put, &memory->get, "put", putters);
	describe_waiters(&memory->done, &memory->done, "join", joiners);
	there = put.items - get.items + found.orphans;
	return snprintf(buf, size, "queue, %llu messages%s, %llu bytes of at most %llu%s%s%s%s%s",
			there, most, (unsigned long long)(put.bytes - get.bytes),
			(unsigned long long)queue->bytes, leased,
			put.stop & BRI_STOP_END ? ", closed" : "", getters, putters, joiners);
}
