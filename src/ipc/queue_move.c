/* Messages in and out, the end, and the count of finished work.
 *
 * The order of everything that waits, which models/queue.pml has gone through:
 *
 *	note the other side's word, look under the lock, and if there was nothing to do: set ASLEEP in that
 *	word, and sleep while it is what was noted, with ASLEEP.
 *
 * A commit of the other side that the look did not see changes the word; so the sleep does not begin. A commit that
 * finds ASLEEP is made by the kernel, which counts and wakes in one step: whoever is killed, is killed before
 * it or after it. So there is no commit without its wake, and nothing to insure. */
#include <limits.h>
#include <string.h>

#include "ipc/queue.h"
#include "os/clock.h"
#include "sync/pause.h"

/* How long a try waits for somebody who is in the middle of a put or get; longer than that it is stopped. */
#define STALLED (100 * BROOD_MSEC)

static inline uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
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

/* ---- for the owner of a side's lock */

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

/* The prepared state counts, and the leader who waits for this side to move is awake. */
static inline void commit(struct bri_side *side)
{
	uint32_t seen = __atomic_load_n(&side->word, __ATOMIC_RELAXED);

	while (!(seen & BRI_QUEUE_ASLEEP))
		if (__atomic_compare_exchange_n(&side->word, &seen, seen + BRI_QUEUE_COMMIT, false,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return;
	commit_and_wake(side);
}

/* ---- waiting */

/* One call: what it wants, and of whom. */
struct call {
	brood_queue *queue;
	struct bri_thread *self;
	struct bri_side *own;
	const uint32_t *word; /* moves when there may be something to do */
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

static __attribute__((noinline)) int enter_slowly(struct call *call)
{
	brood_lock *lock = &call->own->lock;
	int r = bri_lock_acquire(call->self, lock, 0);
	int64_t deadline;

	if (r != -ETIMEDOUT)
		return r;
	deadline = deadline_of(call);
	return bri_lock_acquire(call->self, lock, deadline > 0 ? deadline : bri_deadline(STALLED));
}

/* Inlined with its step, since the two together are what a message costs. Whoever had the lock before us left nothing half
 * done, though it be dead. */
static inline __attribute__((always_inline)) ssize_t attempt(struct call *call, step_fn *step)
{
	brood_lock *lock = &call->own->lock;
	ssize_t result;

	if (__builtin_expect(call->self->held >= BRI_MOST_HELD ||
				     bri_lock_take_clean(call->self, lock) < 0,
			     0)) {
		int r = enter_slowly(call);

		if (r < 0)
			return r;
	}
	result = step(call);
	bri_lock_release_unwatched(call->self, lock);
	return result;
}

/* Whether the word moves soon. It is the other side's, whose owner is not in need of the same lock as we: here the
 * time until we notice counts more than the line. */
static bool moves(const struct call *call, uint32_t noted)
{
	for (unsigned glances = call->self->looks * BRI_GLANCES; glances > 0; glances--) {
		if ((load(call->word) | BRI_QUEUE_ASLEEP) != noted)
			return true;
		bri_pause();
	}
	return false;
}

/* With the gate. Sets ASLEEP and sleeps, unless the word has moved. */
static int sleep_on(uint32_t *word, uint32_t noted, int64_t deadline)
{
	uint32_t seen = __atomic_fetch_or(word, BRI_QUEUE_ASLEEP, __ATOMIC_SEQ_CST);

	if ((seen | BRI_QUEUE_ASLEEP) != noted)
		return 0;
	return bri_futex_wait(word, noted, deadline);
}

static ssize_t lead(struct call *call, step_fn *step)
{
	int64_t deadline = deadline_of(call);
	int slept = 0;

	for (;;) {
		uint32_t noted = load(call->word) | BRI_QUEUE_ASLEEP;
		ssize_t r = attempt(call, step);

		if (r != -EAGAIN)
			return r;
		if (slept < 0)
			return slept;
		if (!moves(call, noted))
			slept = sleep_on((uint32_t *)call->word, noted, deadline);
	}
}

/* Does what could not be done at once. */
static __attribute__((noinline)) ssize_t wait_in_line(struct call *call, step_fn *step)
{
	int r = bri_lock_acquire(call->self, &call->own->gate, deadline_of(call));
	ssize_t result;

	if (r == -ETIMEDOUT) {
		result = attempt(call, step); /* one last look */
		return result == -EAGAIN ? -ETIMEDOUT : result;
	}
	if (r < 0)
		return r;
	result = lead(call, step);
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
	noted = load(call->word) | BRI_QUEUE_ASLEEP;
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

/* ---- the ring */

static void copy_in(const brood_queue *queue, uint64_t at, const void *from, size_t size)
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

static void copy_out(const brood_queue *queue, uint64_t at, void *to, size_t size)
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
static bool makes_room(const struct call *call, uint64_t items, uint64_t bytes, uint64_t needed,
		       uint64_t *ret_stop)
{
	struct bri_mark get = bri_side_look(&call->queue->memory->get);

	call->own->seen_items = get.items;
	call->own->seen_bytes = get.bytes;
	*ret_stop = get.stop;
	return has_room(call->queue, call->own, items, bytes, needed);
}

/* A closer has told those who put, and may be dead: we tell those who get. */
static ssize_t finish_close(struct bri_side *put)
{
	const struct bri_mark *mark = now(put);

	prepare(put, mark->items, mark->bytes, 1);
	commit(put);
	return -EPIPE;
}

static ssize_t put_step(const struct call *call)
{
	const brood_queue *queue = call->queue;
	const struct bri_mark *mark = now(call->own);
	uint64_t items = mark->items, bytes = mark->bytes, stop = 0;
	size_t n;

	if (mark->stop)
		return -EPIPE;
	for (n = 0; n < call->n; n++) {
		size_t size = call->messages[n].iov_len;
		uint64_t needed = bri_record_size(size);

		if (size > queue->bytes - sizeof(uint64_t) ||
		    (!has_room(queue, call->own, items, bytes, needed) &&
		     !makes_room(call, items, bytes, needed, &stop)))
			break;
		*head_at(queue, bytes) = size;
		copy_in(queue, bytes + sizeof(uint64_t), call->messages[n].iov_base, size);
		bytes += needed;
		items++;
	}
	if (n == 0)
		return stop ? finish_close(call->own) : -EAGAIN;
	prepare(call->own, items, bytes, 0);
	commit(call->own);
	return (ssize_t)n;
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
	call.word = &queue->memory->get.word;
	call.messages = messages;
	call.n = n;
	call.timeout_ns = timeout_ns;
	return perform(&call, put_step);
}

int brood_queue_put(brood_queue *queue, const void *message, size_t size, int64_t timeout_ns)
{
	struct iovec one = { (void *)(uintptr_t)message, size };
	ssize_t r = brood_queue_put_many(queue, &one, 1, timeout_ns);

	return r < 0 ? (int)r : 0;
}

/* ---- get */

/* 0: there is a message, of *ret_size, at `items` and `bytes`. */
static int next_message(const struct call *call, uint64_t items, uint64_t bytes, uint64_t *ret_size)
{
	struct bri_side *get = call->own;

	if (get->seen_items == items) {
		struct bri_mark put = bri_side_look(&call->queue->memory->put);

		get->seen_items = put.items;
		if (put.items == items)
			return put.stop ? -EPIPE : -EAGAIN;
	}
	*ret_size = *head_at(call->queue, bytes);
	return *ret_size > call->queue->bytes - sizeof(uint64_t) ? -EBADMSG : 0;
}

static ssize_t peek_step(const struct call *call)
{
	const struct bri_mark *mark = now(call->own);
	uint64_t size;
	int r = next_message(call, mark->items, mark->bytes, &size);

	if (r < 0)
		return r;
	copy_out(call->queue, mark->bytes + sizeof(uint64_t), call->buf,
		 size < call->size ? size : call->size);
	return (ssize_t)size;
}

static ssize_t get_step(const struct call *call)
{
	const struct bri_mark *mark = now(call->own);
	uint64_t items = mark->items, bytes = mark->bytes, size;
	size_t n, used = 0;
	int r = 0;

	for (n = 0; n < call->n; n++) {
		r = next_message(call, items, bytes, &size);
		if (r == 0 && (used > call->size || size > call->size - used))
			r = -EMSGSIZE;
		if (r < 0)
			break;
		copy_out(call->queue, bytes + sizeof(uint64_t), call->buf + used, size);
		call->ret_messages[n] = (struct iovec){ call->buf + used, size };
		used += (size + 7) & ~UINT64_C(7);
		bytes += bri_record_size(size);
		items++;
	}
	if (n == 0)
		return r;
	prepare(call->own, items, bytes, mark->stop);
	commit(call->own);
	return (ssize_t)n;
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
	call.word = &queue->memory->put.word;
	call.buf = buf != NULL ? buf : &nothing;
	call.size = size;
	call.ret_messages = ret_messages;
	call.n = n;
	call.timeout_ns = timeout_ns;
	return perform(&call, step);
}

ssize_t brood_queue_get(brood_queue *queue, void *buf, size_t size, int64_t timeout_ns)
{
	struct iovec message;
	ssize_t r = receive(queue, get_step, buf, size, &message, 1, timeout_ns);

	return r < 0 ? r : (ssize_t)message.iov_len;
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

static int stop(struct bri_thread *self, struct bri_side *side)
{
	int r = bri_lock_acquire(self, &side->lock, BROOD_FOREVER);
	const struct bri_mark *mark;

	if (r < 0)
		return r;
	mark = now(side);
	if (!mark->stop) {
		prepare(side, mark->items, mark->bytes, 1);
		commit(side);
	}
	bri_lock_release(self, &side->lock);
	return 0;
}

/* The getting side first. That wakes who waits for room, and who finds no room from then on ends the putting side as we
 * do, so that it is done though we be killed in between. It is closed when the putting side is. */
int brood_queue_close(brood_queue *queue)
{
	struct bri_thread *self = bri_thread();
	int r = bri_queue_check(self, queue);

	if (r == 0)
		r = stop(self, &queue->memory->get);
	if (r == 0)
		r = stop(self, &queue->memory->put);
	return r;
}

/* ---- finished work */

/* The last one wakes who waits for it; the others only count. That ASLEEP stays is right: who has set it waits on. */
int brood_queue_task_done(brood_queue *queue)
{
	struct bri_thread *self = bri_thread();
	int r = bri_queue_check(self, queue);
	struct bri_side *done;
	uint64_t left, items;

	if (r < 0)
		return r;
	done = &queue->memory->done;
	r = bri_lock_acquire(self, &done->lock, BROOD_FOREVER);
	if (r < 0)
		return r;
	items = now(done)->items;
	left = bri_side_look(&queue->memory->put).items - items;
	if (left > 0) {
		prepare(done, items + 1, 0, 0);
		if (left == 1)
			commit(done);
		else
			__atomic_fetch_add(&done->word, BRI_QUEUE_COMMIT, __ATOMIC_SEQ_CST);
	}
	bri_lock_release(self, &done->lock);
	return left > 0 ? 0 : -EINVAL;
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
	call.own = &queue->memory->done;
	call.word = &queue->memory->done.word;
	call.timeout_ns = timeout_ns;
	return (int)perform(&call, join_step);
}
