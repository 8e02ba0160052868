/* Messages in and out, the end, and the count of finished work.
 *
 * The order of everything that waits, which models/queue.pml has gone through:
 *
 *	note the other side's word, look at it under the own lock or bias, and if there was nothing to do: take
 *	the other side's lock, set ASLEEP in that word if it is as noted, leave the lock, and sleep while the word
 *	is as noted, with ASLEEP.
 *
 * A commit of the other side that the look did not see changes the word; so the sleep does not begin. A commit that
 * finds ASLEEP is made by the kernel, which counts and wakes in one step: whoever is killed, is killed before
 * it or after it. So there is no commit without its wake, and nothing to insure. Any other commit is a plain
 * store, since none but its side's lock owner, or the thread that the side is biased to, writes the word. */
#include <limits.h>
#include <string.h>

#include "ipc/queue_bias.h"
#include "os/clock.h"
#include "sync/pause.h"

/* How long a try waits for somebody who is in the middle of a put or get; longer than that it is stopped. */
#define STALLED (100 * BROOD_MSEC)

static inline uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

struct bri_mark bri_side_look(const struct bri_side *side)
{
	for (;;) {
		uint32_t word = load(&side->word);
		const struct bri_mark *at = &side->at[word / BRI_QUEUE_COMMIT & 1];
		struct bri_mark mark = { __atomic_load_n(&at->items, __ATOMIC_ACQUIRE),
					 __atomic_load_n(&at->bytes, __ATOMIC_ACQUIRE),
					 __atomic_load_n(&at->stop, __ATOMIC_ACQUIRE) };

		/* Who reads of a state to come sees that the count has moved. */
		if (load(&side->word) / BRI_QUEUE_COMMIT == word / BRI_QUEUE_COMMIT)
			return mark;
	}
}

/* ---- for who operates a side, by its lock or its bias */

static inline struct bri_mark *now(struct bri_side *side)
{
	return &side->at[__atomic_load_n(&side->word, __ATOMIC_RELAXED) / BRI_QUEUE_COMMIT & 1];
}

/* What shall count from the commit on. Released, since readers without the lock may come upon it early. */
static inline void prepare(struct bri_side *side, uint64_t items, uint64_t bytes, uint64_t stop)
{
	struct bri_mark *next = now(side) == side->at ? side->at + 1 : side->at;

	__atomic_store_n(&next->items, items, __ATOMIC_RELEASE);
	__atomic_store_n(&next->bytes, bytes, __ATOMIC_RELEASE);
	__atomic_store_n(&next->stop, stop, __ATOMIC_RELEASE);
}

/* ASLEEP stays until we take it away; the empty exchange is for ThreadSanitizer, which does not see what the kernel does. */
static __attribute__((noinline)) void commit_and_wake(struct bri_side *side)
{
	__atomic_fetch_or(&side->word, 0, __ATOMIC_SEQ_CST);
	bri_futex_change(&side->word, BRI_ADD, BRI_QUEUE_COMMIT - BRI_QUEUE_ASLEEP, 1);
}

/* … without its wake: ASLEEP stays. */
static inline void count(struct bri_side *side)
{
	__atomic_store_n(&side->word,
			 __atomic_load_n(&side->word, __ATOMIC_RELAXED) + BRI_QUEUE_COMMIT,
			 __ATOMIC_RELEASE);
}

/* The prepared state counts, and the leader who waits for this side to move is awake. */
static inline void commit(struct bri_side *side)
{
	if (__builtin_expect(__atomic_load_n(&side->word, __ATOMIC_RELAXED) & BRI_QUEUE_ASLEEP, 0))
		commit_and_wake(side);
	else
		count(side);
}

/* ---- waiting */

/* One call: what it wants, and of whom. */
struct call {
	brood_queue *queue;
	struct bri_thread *self;
	struct bri_side *own, *other; /* other: it moves when there may be something to do */
	union {
		const struct iovec *messages; /* put */
		struct iovec *ret_messages;   /* get */
	};
	size_t n;
	unsigned char *buf; /* get, peek */
	size_t size;
	int64_t timeout_ns, deadline; /* deadline < 0: nobody has asked for it yet */
};

/* What is done under the lock: a result, or -EAGAIN when there is nothing to do now. */
typedef ssize_t step_fn(const struct call *call);

/* The clock is read when something has to be waited for. */
static int64_t deadline_of(struct call *call)
{
	if (call->deadline < 0)
		call->deadline = bri_deadline(call->timeout_ns);
	return call->deadline;
}

/* … by a try for a moment. */
static int64_t patience_of(struct call *call)
{
	int64_t deadline = deadline_of(call);

	return deadline > 0 ? deadline : bri_deadline(STALLED);
}

static __attribute__((noinline)) int lock_slowly(struct call *call, struct bri_side *side)
{
	int r = bri_bias_yield(call->self, side);

	if (r == 0)
		r = bri_lock_acquire(call->self, &side->lock, 0);
	return r == -ETIMEDOUT ? bri_lock_acquire(call->self, &side->lock, patience_of(call)) : r;
}

static __attribute__((noinline)) int end_bias(struct call *call, struct bri_side *side)
{
	int r = bri_bias_yield(call->self, side);

	if (r == 0)
		r = bri_bias_end(call->self, side, patience_of(call));
	if (r < 0)
		bri_lock_release_unwatched(call->self, &side->lock);
	return r;
}

/* The lock, and nobody is biased. Whoever had it before us left nothing half done, though it be dead. */
static inline __attribute__((always_inline)) int lock_side(struct call *call, struct bri_side *side)
{
	if (__builtin_expect(call->self->held >= BRI_MOST_HELD ||
				     bri_lock_take_clean(call->self, &side->lock) < 0,
			     0)) {
		int r = lock_slowly(call, side);

		if (r < 0)
			return r;
	}
	return __builtin_expect(__atomic_load_n(&side->bias, __ATOMIC_RELAXED) == 0, 1) ?
		       0 :
		       end_bias(call, side);
}

/* Inlined with its step, since the two together are what a message costs. */
static inline __attribute__((always_inline)) ssize_t attempt(struct call *call, step_fn *step)
{
	void *before;
	struct bri_slot *slot = bri_bias_enter(call->self, call->own, &before);
	ssize_t result;

	if (slot == NULL) {
		int r = lock_side(call, call->own);

		if (r < 0)
			return r;
	}
	result = step(call);
	if (slot != NULL) {
		bri_bias_leave(call->self, call->own, slot, before);
	} else {
		bri_bias_reckon(call->self, call->own);
		bri_lock_release_unwatched(call->self, &call->own->lock);
	}
	return result;
}

/* Whether the word moves soon. It is the other side's, whose owner is not in need of the same lock as we: here the
 * time until we notice counts more than the line. */
static bool moves(const struct call *call, uint32_t noted)
{
	for (unsigned glances = call->self->looks * BRI_GLANCES; glances > 0; glances--) {
		if ((load(&call->other->word) | BRI_QUEUE_ASLEEP) != noted)
			return true;
		bri_pause();
	}
	return false;
}

/* With the gate. Sets ASLEEP and sleeps, unless the word has moved. Nobody waits for a gate who holds a lock. */
static int sleep_on_other(struct call *call, uint32_t noted)
{
	struct bri_side *other = call->other;
	int r = lock_side(call, other);
	bool moved;

	if (r < 0)
		return r;
	moved = (load(&other->word) | BRI_QUEUE_ASLEEP) != noted;
	if (!moved) {
		__atomic_store_n(&other->word, noted, __ATOMIC_RELAXED);
		other->turns = 0;
	}
	bri_lock_release_unwatched(call->self, &other->lock);
	return moved ? 0 : bri_futex_wait(&other->word, noted, deadline_of(call));
}

/* `patient`: it may be worth while to look for a moment before the first sleep. */
static ssize_t lead(struct call *call, step_fn *step, bool patient)
{
	int slept = 0;

	for (;;) {
		uint32_t noted = load(&call->other->word) | BRI_QUEUE_ASLEEP;
		ssize_t r = attempt(call, step);

		if (r != -EAGAIN)
			return r;
		if (slept < 0)
			return slept;
		if (!patient || !moves(call, noted))
			slept = sleep_on_other(call, noted);
		patient = true;
	}
}

/* Does what could not be done at once. It has looked for a moment before; but if it waited for the gate, that is
 * over. */
static __attribute__((noinline)) ssize_t wait_in_line(struct call *call, step_fn *step)
{
	int r = bri_lock_acquire(call->self, &call->own->gate, 0);
	bool waited = r == -ETIMEDOUT;
	ssize_t result;

	if (waited)
		r = bri_lock_acquire(call->self, &call->own->gate, deadline_of(call));
	if (r == -ETIMEDOUT) {
		result = attempt(call, step); /* one last look */
		return result == -EAGAIN ? -ETIMEDOUT : result;
	}
	if (r < 0)
		return r;
	result = lead(call, step, waited);
	bri_lock_release(call->self, &call->own->gate);
	return result;
}

/* There was nothing to do. It looks again before it goes to the gate, when the other side moves soon. */
static __attribute__((noinline)) ssize_t wait_for(struct call *call, step_fn *step)
{
	uint32_t noted;
	ssize_t r;

	if (call->timeout_ns <= 0)
		return -ETIMEDOUT;
	noted = load(&call->other->word) | BRI_QUEUE_ASLEEP;
	r = attempt(call, step);
	if (r == -EAGAIN && moves(call, noted))
		r = attempt(call, step);
	return r == -EAGAIN ? wait_in_line(call, step) : r;
}

/* Does what the call wants, now or when it can be done. Does not touch what the other side writes, if it can. */
static inline __attribute__((always_inline)) ssize_t perform(struct call *call, step_fn *step)
{
	ssize_t r = attempt(call, step);

	return __builtin_expect(r == -EAGAIN, 0) ? wait_for(call, step) : r;
}

/* Whether nothing speaks against the bias, if there is one. */
static inline bool may_go_straight(const struct bri_thread *self, const brood_queue *queue)
{
	return queue != NULL && bri_stamped(self, queue->memory, BRI_STAMP_QUEUE);
}

/* ---- the ring */

static inline __attribute__((always_inline)) void copy_in(const brood_queue *queue, uint64_t at,
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

static inline __attribute__((always_inline)) void copy_out(const brood_queue *queue, uint64_t at,
							   void *to, size_t size)
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
static uint64_t *head_at(const brood_queue *queue, uint64_t at)
{
	return (uint64_t *)(void *)(queue->ring + (at & queue->mask));
}

/* ---- put */

static bool has_room(const brood_queue *queue, const struct bri_side *put, uint64_t items,
		     uint64_t bytes, uint64_t needed)
{
	return items - put->seen_items < queue->items &&
	       bytes - put->seen_bytes + needed <= queue->bytes;
}

/* The same, but looks first how far the getters have come; true also at the end, told by *ret_stop. */
static bool makes_room(const brood_queue *queue, uint64_t items, uint64_t bytes, uint64_t needed,
		       uint64_t *ret_stop)
{
	struct bri_side *put = &queue->memory->put;
	struct bri_mark get = bri_side_look(&queue->memory->get);

	put->seen_items = get.items;
	put->seen_bytes = get.bytes;
	*ret_stop = get.stop;
	return has_room(queue, put, items, bytes, needed);
}

/* A closer has told those who put, and may be dead: we tell those who get. */
static ssize_t finish_close(struct bri_side *put)
{
	const struct bri_mark *mark = now(put);

	prepare(put, mark->items, mark->bytes, 1);
	commit(put);
	return -EPIPE;
}

static inline __attribute__((always_inline)) ssize_t put_some(const brood_queue *queue,
							      const struct iovec *messages,
							      size_t most)
{
	struct bri_side *put = &queue->memory->put;
	const struct bri_mark *mark = now(put);
	uint64_t items = mark->items, bytes = mark->bytes, stop = 0;
	size_t n;

	if (mark->stop)
		return -EPIPE;
	for (n = 0; n < most; n++) {
		size_t size = messages[n].iov_len;
		uint64_t needed = bri_record_size(size);

		if (size > queue->bytes - sizeof(uint64_t) ||
		    (!has_room(queue, put, items, bytes, needed) &&
		     !makes_room(queue, items, bytes, needed, &stop)))
			break;
		*head_at(queue, bytes) = size;
		copy_in(queue, bytes + sizeof(uint64_t), messages[n].iov_base, size);
		bytes += needed;
		items++;
	}
	if (n == 0)
		return stop ? finish_close(put) : -EAGAIN;
	prepare(put, items, bytes, 0);
	commit(put);
	return (ssize_t)n;
}

static ssize_t put_step(const struct call *call)
{
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
	struct call call = { .queue = queue, .self = bri_thread(), .deadline = -1 };
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
	return perform(&call, put_step);
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

/* 0: there is a message, of *ret_size, at `items` and `bytes`. */
static inline __attribute__((always_inline)) int next_message(const brood_queue *queue,
							      uint64_t items, uint64_t bytes,
							      uint64_t *ret_size)
{
	struct bri_side *get = &queue->memory->get;

	if (get->seen_items == items) {
		struct bri_mark put = bri_side_look(&queue->memory->put);

		get->seen_items = put.items;
		if (put.items == items)
			return put.stop ? -EPIPE : -EAGAIN;
	}
	*ret_size = *head_at(queue, bytes);
	return *ret_size > queue->bytes - sizeof(uint64_t) ? -EBADMSG : 0;
}

static ssize_t peek_step(const struct call *call)
{
	const struct bri_mark *mark = now(call->own);
	uint64_t size;
	int r = next_message(call->queue, mark->items, mark->bytes, &size);

	if (r < 0)
		return r;
	copy_out(call->queue, mark->bytes + sizeof(uint64_t), call->buf,
		 size < call->size ? size : call->size);
	return (ssize_t)size;
}

static inline __attribute__((always_inline)) ssize_t get_some(const brood_queue *queue,
							      unsigned char *buf, size_t room,
							      struct iovec *ret_messages,
							      size_t most)
{
	struct bri_side *get = &queue->memory->get;
	const struct bri_mark *mark = now(get);
	uint64_t items = mark->items, bytes = mark->bytes, size;
	size_t n, used = 0;
	int r = 0;

	for (n = 0; n < most; n++) {
		r = next_message(queue, items, bytes, &size);
		if (r == 0 && (used > room || size > room - used))
			r = -EMSGSIZE;
		if (r < 0)
			break;
		copy_out(queue, bytes + sizeof(uint64_t), buf + used, size);
		ret_messages[n] = (struct iovec){ buf + used, size };
		used += (size + 7) & ~UINT64_C(7);
		bytes += bri_record_size(size);
		items++;
	}
	if (n == 0)
		return r;
	prepare(get, items, bytes, mark->stop);
	commit(get);
	return (ssize_t)n;
}

static ssize_t get_step(const struct call *call)
{
	return get_some(call->queue, call->buf, call->size, call->ret_messages, call->n);
}

static inline __attribute__((always_inline)) ssize_t receive(brood_queue *queue, step_fn *step,
							     void *buf, size_t size,
							     struct iovec *ret_messages, size_t n,
							     int64_t timeout_ns)
{
	static unsigned char nothing;
	struct call call = { .queue = queue, .self = bri_thread(), .deadline = -1 };
	int r = bri_queue_check(call.self, queue);

	if (r == 0 && ((buf == NULL && size > 0) || n == 0 || n > SSIZE_MAX))
		r = -EINVAL;
	if (r < 0)
		return r;
	call.own = &queue->memory->get;
	call.other = &queue->memory->put;
	call.buf = buf != NULL ? buf : &nothing;
	call.size = size;
	call.ret_messages = ret_messages;
	call.n = n;
	call.timeout_ns = timeout_ns;
	return perform(&call, step);
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
			r = get_some(queue, buf, size, &message, 1);
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

/* ---- the end */

static ssize_t stop_step(const struct call *call)
{
	const struct bri_mark *mark = now(call->own);

	if (!mark->stop) {
		prepare(call->own, mark->items, mark->bytes, 1);
		commit(call->own);
	}
	return 0;
}

/* Does the step as soon as the side is to be had. */
static int at_once(brood_queue *queue, struct bri_side *side, step_fn *step)
{
	struct call call = { .queue = queue, .self = bri_thread(), .own = side };

	call.timeout_ns = call.deadline = BROOD_FOREVER;
	return (int)attempt(&call, step);
}

/* The getting side first. That wakes who waits for room, and who finds no room from then on ends the putting side as we
 * do, so that it is done though we be killed in between. It is closed when the putting side is. */
int brood_queue_close(brood_queue *queue)
{
	int r = bri_queue_check(bri_thread(), queue);

	if (r == 0)
		r = at_once(queue, &queue->memory->get, stop_step);
	if (r == 0)
		r = at_once(queue, &queue->memory->put, stop_step);
	return r;
}

/* ---- finished work */

/* The last one wakes who waits for it; the others only count. That ASLEEP stays is right: who has set it waits on. */
static ssize_t done_step(const struct call *call)
{
	struct bri_side *done = call->own;
	uint64_t items = now(done)->items;
	uint64_t left = bri_side_look(&call->queue->memory->put).items - items;

	if (left == 0)
		return -EINVAL;
	prepare(done, items + 1, 0, 0);
	if (left == 1)
		commit(done);
	else
		count(done);
	return 0;
}

int brood_queue_task_done(brood_queue *queue)
{
	int r = bri_queue_check(bri_thread(), queue);

	return r < 0 ? r : at_once(queue, &queue->memory->done, done_step);
}

static ssize_t join_step(const struct call *call)
{
	struct bri_queue_memory *memory = call->queue->memory;
	uint64_t done = now(&memory->done)->items;

	return done == bri_side_look(&memory->put).items ? 0 : -EAGAIN;
}

int brood_queue_join(brood_queue *queue, int64_t timeout_ns)
{
	struct call call = { .queue = queue, .self = bri_thread(), .deadline = -1 };
	int r = bri_queue_check(call.self, queue);

	if (r < 0)
		return r;
	call.own = call.other = &queue->memory->done;
	call.timeout_ns = timeout_ns;
	return (int)perform(&call, join_step);
}
