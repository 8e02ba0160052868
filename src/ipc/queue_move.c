/* Messages in and out, and the count of finished work. */
#include <limits.h>
#include <string.h>

#include "ipc/queue_end.h"
#include "ipc/queue_lease.h"
#include "ipc/queue_ring.h"

/* Whether nothing speaks against the bias, if there is one. */
static inline bool may_go_straight(const struct bri_thread *self, const brood_queue *queue)
{
	return queue != NULL && bri_stamped(self, queue->memory, BRI_STAMP_QUEUE);
}

/* ---- put */

static inline __attribute__((always_inline)) ssize_t put_some(const brood_queue *queue,
							      const struct iovec *messages,
							      size_t most)
{
	struct bri_side *put = &queue->memory->put;
	const struct bri_mark *mark = bri_side_now(put);
	uint64_t items = mark->items, bytes = mark->bytes;
	uint32_t stop = 0;
	size_t n;

	if (mark->stop & BRI_STOP_END)
		return -EPIPE;
	for (n = 0; n < most; n++) {
		size_t size = messages[n].iov_len;
		uint64_t needed = bri_record_size(size);

		if (size > queue->bytes - sizeof(uint64_t) ||
		    (!bri_has_room(queue, put, items, bytes, needed) &&
		     !bri_makes_room(queue, items, bytes, needed, &stop)))
			break;
		*bri_head_at(queue, bytes) = size;
		bri_copy_in(queue, bytes + sizeof(uint64_t), messages[n].iov_base, size);
		bytes += needed;
		items++;
	}
	if (n == 0)
		return stop ? bri_finish_close(put) : -EAGAIN;
	bri_side_prepare(put, items, bytes, mark->stop);
	bri_side_commit(put);
	return (ssize_t)n;
}

static ssize_t put_step(const struct bri_call *call)
{
	bri_queue_settle(call->queue, call->own);
	return put_some(call->queue, call->messages, call->n);
}

static int check_messages(const brood_queue *queue, const struct iovec *messages, size_t n)
{
	if (messages == NULL || n == 0 || n > SSIZE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (messages[i].iov_base == NULL && messages[i].iov_len > 0)
			return -EINVAL;
	return messages[0].iov_len > queue->bytes - sizeof(uint64_t) ? -EMSGSIZE : 0;
}

ssize_t brood_queue_put_many(brood_queue *queue, const struct iovec *messages, size_t n,
			     int64_t timeout_ns)
{
	struct bri_call call = { .queue = queue, .self = bri_thread(), .deadline = -1 };
	int r = bri_queue_check(call.self, queue);

	if (r == 0)
		r = check_messages(queue, messages, n);
	if (r < 0)
		return r;
	call.own = &queue->memory->put;
	call.other = &queue->memory->get;
	call.messages = messages;
	call.n = n;
	call.timeout_ns = timeout_ns;
	return bri_side_perform(&call, put_step);
}

static __attribute__((noinline)) int put_one(brood_queue *queue, const void *message, size_t size,
					     int64_t timeout_ns)
{
	struct iovec one = { (void *)(uintptr_t)message, size };
	ssize_t r = brood_queue_put_many(queue, &one, 1, timeout_ns);

	return r < 0 ? (int)r : 0;
}

/* First straight on, which most are: by the bias, and nothing to wait for. What comes of it but a message is told by
 * the other way. */
int brood_queue_put(brood_queue *queue, const void *message, size_t size, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread_known();
	struct iovec one = { (void *)(uintptr_t)message, size };
	struct bri_slot *slot;
	void *before;
	ssize_t r = 0;

	if (may_go_straight(self, queue) && (message != NULL || size == 0)) {
		slot = bri_bias_enter(self, &queue->memory->put, &before);
		if (slot != NULL) {
			r = put_some(queue, &one, 1);
			bri_bias_leave(self, &queue->memory->put, slot, before);
		}
	}
	return __builtin_expect(r > 0, 1) ? 0 : put_one(queue, message, size, timeout_ns);
}

/* ---- get */

static ssize_t peek_step(const struct bri_call *call)
{
	const struct bri_mark *mark = bri_side_now(call->own);
	const unsigned char *apart = NULL;
	struct bri_found found;
	uint64_t size;
	int r;

	bri_queue_settle(call->queue, call->own);
	bri_lease_scan(call->queue, &found);
	r = found.orphan != NULL ? bri_entry_message(call->queue, &call->queue->leases,
						     found.orphan, &size, &apart) :
				   bri_next(call->queue, mark, &size);
	if (r == -EBADMSG)
		r = bri_apart_find(call->queue, &size, &apart);
	if (r < 0)
		return r == -EPIPE && found.out > 0 ? -EAGAIN : r;
	bri_message_copy(call->queue, mark->bytes, apart, call->buf,
			 size < call->size ? size : call->size);
	return (ssize_t)size;
}

/* `kept`: the queue has leases or reservations. */
static inline __attribute__((always_inline)) ssize_t get_some(const brood_queue *queue,
							      unsigned char *buf, size_t room,
							      struct iovec *ret_messages,
							      size_t most, bool kept)
{
	struct bri_side *get = &queue->memory->get;
	const struct bri_mark *mark = bri_side_now(get);
	uint64_t items = mark->items, before = mark->bytes, bytes = before, size;
	size_t n, used = 0;
	int r = 0;

	if (mark->stop & BRI_STOP_DROP)
		return -EPIPE;
	for (n = 0; n < most; n++) {
		const unsigned char *apart = NULL;

		r = bri_next_message(queue, items, bytes, &size);
		if (kept && r == -EBADMSG)
			r = bri_apart_find(queue, &size, &apart);
		if (r == 0 && (used > room || size > room - used))
			r = -EMSGSIZE;
		if (r < 0)
			break;
		bri_message_copy(queue, bytes, apart, buf + used, size);
		ret_messages[n] = (struct iovec){ buf + used, size };
		used += (size + 7) & ~UINT64_C(7);
		bytes += bri_record_size(size);
		items++;
	}
	if (n == 0) {
		if (r == -EMSGSIZE)
			ret_messages[0] = (struct iovec){ NULL, size };
		return r;
	}
	bri_side_prepare(get, items, bytes, mark->stop);
	bri_side_commit(get);
	if (__builtin_expect((before ^ bytes) >> queue->giving != 0, 0))
		bri_queue_give_back(queue, before, bytes);
	return (ssize_t)n;
}

/* Of a queue with leases or reservations. */
static __attribute__((noinline)) ssize_t get_kept(const struct bri_call *call)
{
	struct bri_found found;
	ssize_t r;

	bri_queue_settle(call->queue, call->own);
	bri_lease_scan(call->queue, &found);
	if (found.orphan != NULL)
		return bri_orphan_get(call, found.orphan);
	r = get_some(call->queue, call->buf, call->size, call->ret_messages, call->n, true);
	return r == -EPIPE && found.out > 0 ? -EAGAIN : r;
}

static ssize_t get_step(const struct bri_call *call)
{
	if (bri_queue_keeps(call->queue))
		return get_kept(call);
	return get_some(call->queue, call->buf, call->size, call->ret_messages, call->n, false);
}

size_t bri_getter_note(const struct bri_call *call, struct bri_watch *ret_watches)
{
	size_t n = bri_producers_note(call, ret_watches);

	return call->queue->leases.n == 0 ? n : n + bri_lease_note(call, ret_watches + n);
}

bool bri_getter_found_nothing(const struct bri_call *call)
{
	bri_queue_rearm(call->queue);
	return bri_producers_end(call->queue, 0) > 0;
}

static inline __attribute__((always_inline)) ssize_t receive(brood_queue *queue, bri_step_fn *step,
							     void *buf, size_t size,
							     struct iovec *ret_messages, size_t n,
							     int64_t timeout_ns)
{
	static unsigned char nothing;
	struct bri_call call = { .queue = queue, .self = bri_thread(), .deadline = -1 };
	int r = bri_queue_check(call.self, queue);

	if (r == 0 && ((buf == NULL && size > 0) || n == 0 || n > SSIZE_MAX))
		r = -EINVAL;
	if (r < 0)
		return r;
	call.own = &queue->memory->get;
	call.other = &queue->memory->put;
	call.note = bri_getter_note;
	call.nothing = bri_getter_found_nothing;
	call.buf = buf != NULL ? buf : &nothing;
	call.size = size;
	call.ret_messages = ret_messages;
	call.n = n;
	call.timeout_ns = timeout_ns;
	return bri_side_perform(&call, step);
}

static __attribute__((noinline)) ssize_t get_one(brood_queue *queue, void *buf, size_t size,
						 int64_t timeout_ns)
{
	struct iovec message;
	ssize_t r = receive(queue, get_step, buf, size, &message, 1, timeout_ns);

	return r < 0 ? r : (ssize_t)message.iov_len;
}

/* As brood_queue_put(). */
ssize_t brood_queue_get(brood_queue *queue, void *buf, size_t size, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread_known();
	struct iovec message = { NULL, 0 };
	struct bri_slot *slot;
	void *before;
	ssize_t r = 0;

	if (may_go_straight(self, queue) && buf != NULL) {
		slot = bri_bias_enter(self, &queue->memory->get, &before);
		if (slot != NULL) {
			r = get_some(queue, buf, size, &message, 1, false);
			bri_bias_leave(self, &queue->memory->get, slot, before);
		}
	}
	return __builtin_expect(r > 0, 1) ? (ssize_t)message.iov_len :
					    get_one(queue, buf, size, timeout_ns);
}

ssize_t brood_queue_get_many(brood_queue *queue, void *buf, size_t size, struct iovec *ret_messages,
			     size_t n, int64_t timeout_ns)
{
	if (ret_messages == NULL)
		return -EINVAL;
	return receive(queue, get_step, buf, size, ret_messages, n, timeout_ns);
}

ssize_t brood_queue_peek(brood_queue *queue, void *buf, size_t size, int64_t timeout_ns)
{
	return receive(queue, peek_step, buf, size, NULL, 1, timeout_ns);
}

/* ---- finished work */

/* The last one wakes who waits for it; the others only count. That ASLEEP stays is right: who has set it waits on. */
static ssize_t done_step(const struct bri_call *call)
{
	struct bri_side *done = call->own;
	const struct bri_mark *mark = bri_side_now(done);
	uint64_t left = bri_queue_left(call->queue, mark);

	if (left == 0)
		return -EINVAL;
	bri_queue_settle(call->queue, done);
	bri_side_prepare(done, mark->items + 1, 0, mark->stop);
	if (left == 1)
		bri_side_commit(done);
	else
		bri_side_count(done);
	return 0;
}

int brood_queue_task_done(brood_queue *queue)
{
	struct bri_call call = { .queue = queue, .self = bri_thread() };
	int r = bri_queue_check(call.self, queue);

	if (r < 0)
		return r;
	call.own = &queue->memory->done;
	return bri_side_at_once(&call, done_step);
}

static ssize_t join_step(const struct bri_call *call)
{
	return bri_queue_left(call->queue, bri_side_now(call->own)) == 0 ? 0 : -EAGAIN;
}

int brood_queue_join(brood_queue *queue, int64_t timeout_ns)
{
	struct bri_call call = { .queue = queue, .self = bri_thread(), .deadline = -1 };
	int r = bri_queue_check(call.self, queue);

	if (r < 0)
		return r;
	call.own = call.other = &queue->memory->done;
	call.note = bri_drop_note;
	call.nothing = bri_drop_finish;
	call.timeout_ns = timeout_ns;
	return (int)bri_side_perform(&call, join_step);
}
