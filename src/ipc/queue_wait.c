/* What sides wait for: a lock, the end of a bias, the other side. queue_side.h says in which order. */
#include <sched.h>
#include <sys/resource.h>

#include "ipc/queue_side.h"

#include "os/clock.h"
#include "sync/pause.h"

#define MOST_YIELDS 4                 /* before a sleep */
#define LONG_YIELD (100 * BROOD_USEC) /* after which it was a stranger who ran */
#define MOST_SELFISH 1023             /* waits */
#define TRUST 16                      /* waits */
#define MOST_VAIN 63                  /* waits */

struct bri_mark bri_side_look(const struct bri_side *side)
{
	for (;;) {
		uint32_t word = bri_word(&side->word);
		const struct bri_mark *at = &side->at[word / BRI_QUEUE_COMMIT & 1];
		struct bri_mark mark = { __atomic_load_n(&at->items, __ATOMIC_ACQUIRE),
					 __atomic_load_n(&at->bytes, __ATOMIC_ACQUIRE),
					 __atomic_load_n(&at->stop, __ATOMIC_ACQUIRE),
					 __atomic_load_n(&at->entry, __ATOMIC_ACQUIRE) };

		/* Who reads of a state to come sees that the count has moved. */
		if (bri_word(&side->word) / BRI_QUEUE_COMMIT == word / BRI_QUEUE_COMMIT)
			return mark;
	}
}

/* All are woken: with ASLEEP gone, nobody would wake who sleeps on. They are the leader of the other side, that of who waits
 * for a reservation, and whoever watches. ASLEEP stays until we take it away; the empty exchange is for ThreadSanitizer,
 * which does not see what the kernel does. */
void bri_side_commit_and_wake(struct bri_side *side)
{
	__atomic_fetch_or(&side->word, 0, __ATOMIC_SEQ_CST);
	bri_futex_change(&side->word, BRI_ADD, BRI_QUEUE_COMMIT - BRI_QUEUE_ASLEEP, BRI_EVERYBODY);
}

int64_t bri_call_deadline(struct bri_call *call)
{
	if (call->deadline < 0)
		call->deadline = bri_deadline(call->timeout_ns);
	return call->deadline;
}

/* … by a try for a moment. */
static int64_t patience_of(struct bri_call *call)
{
	int64_t deadline = bri_call_deadline(call);

	return deadline > 0 ? deadline : bri_deadline(BRI_STALLED);
}

int bri_side_lock_slowly(struct bri_call *call, struct bri_side *side)
{
	int r = bri_bias_yield(call->self, side);

	if (r == 0)
		r = bri_lock_acquire(call->self, &side->lock, 0);
	return r == -ETIMEDOUT ? bri_lock_acquire(call->self, &side->lock, patience_of(call)) : r;
}

int bri_side_end_bias(struct bri_call *call, struct bri_side *side)
{
	int r = bri_bias_yield(call->self, side);

	if (r == 0)
		r = bri_bias_end(call->self, side, patience_of(call));
	if (r < 0)
		bri_lock_release_unwatched(call->self, &side->lock);
	return r;
}

/* ---- awake
 *
 * Whether the other side's word moves soon. Its owner is not in need of the same lock as we: here the time until we notice
 * counts more than the line. */

static bool has_moved(const struct bri_call *call, uint32_t noted)
{
	return (bri_word(&call->other->word) | BRI_QUEUE_ASLEEP) != noted;
}

/* Patience is by the clock, since what we wait for may have to be woken first: where it is shorter than that, two that wait
 * for each other and once have slept sleep on in turn. */
static bool moves_while_we_look(const struct bri_call *call, uint32_t noted)
{
	int64_t began = 0, now;

	if (call->self->looks == 0)
		return false;
	for (;;) {
		for (unsigned glances = BRI_GLANCES; glances > 0; glances--) {
			if (has_moved(call, noted))
				return true;
			bri_pause();
		}
		now = brood_now();
		began = began == 0 ? now : began;
		if (now - began >= BRI_PATIENCE)
			return false;
	}
}

/* How often another thread has got our processor. The kernel counts a yield that changed nothing as none. */
static long switches(void)
{
	struct rusage usage = { .ru_nvcsw = 0 };

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

/* Who is to move it may want this very processor, where our wake has put it. Two that look at each other on one processor
 * see nothing; two that sleep in turn stay there, since the scheduler moves who is kept waiting, and nobody is; so we let
 * it run, awake. But it may be a stranger who runs then, and for milliseconds: after that we do not for some waits, and
 * for twice as many each time. And where nobody else ran, it was moved from another processor meanwhile: then to look is
 * better, so that what a yield brought is asked the first time, and each TRUST times. */
static bool moves_while_others_run(const struct bri_call *call, uint32_t noted)
{
	struct bri_thread *self = call->self;
	bool trusted = self->yields > 1;
	int64_t began, now;
	long before;

	self->yields = trusted ? self->yields - 1 : 0;
	if (self->selfish > 0) {
		self->selfish--;
		return false;
	}
	before = trusted ? 0 : switches();
	now = brood_now();
	for (int i = 0; i < MOST_YIELDS; i++) {
		began = now;
		sched_yield();
		now = brood_now();
		if (now - began > LONG_YIELD) {
			self->robbed =
				self->robbed < MOST_SELFISH ? 2 * self->robbed + 1 : MOST_SELFISH;
			self->selfish = self->robbed;
			return has_moved(call, noted);
		}
		if (has_moved(call, noted)) {
			if (!trusted && switches() != before)
				self->yields = TRUST;
			return true;
		}
	}
	self->yields = 0;
	return false;
}

/* What helped the last time comes first. */
static bool moves_if_we_stay(const struct bri_call *call, uint32_t noted)
{
	bool yielded = call->self->yields > 0;

	if (yielded && moves_while_others_run(call, noted))
		return true;
	if (moves_while_we_look(call, noted))
		return true;
	return !yielded && moves_while_others_run(call, noted);
}

/* Who was awake in vain sleeps at once for some waits, and for twice as many each time: not for the time that is saved alone. The
 * scheduler lets who is woken take the processor from who woke it, if it has slept before and not looked about or yielded. */
static bool moves(const struct bri_call *call, uint32_t noted)
{
	struct bri_thread *self = call->self;
	bool moved;

	if (self->asleep > 0) {
		self->asleep--;
		return false;
	}
	moved = moves_if_we_stay(call, noted);
	if (moved)
		self->vain = 0;
	else if (self->vain < MOST_VAIN)
		self->vain = (uint8_t)(2 * self->vain + 1);
	self->asleep = self->vain;
	return moved;
}

/* Nobody waits for a gate who holds a lock. */
int bri_side_arm(struct bri_call *call, const struct bri_watch *watches)
{
	struct bri_side *other = call->other;
	int r = bri_side_lock(call, other);
	bool moved;

	if (r < 0)
		return r;
	moved = (bri_word(&other->word) | BRI_QUEUE_ASLEEP) != watches->expected;
	if (!moved) {
		__atomic_store_n(&other->word, watches->expected, __ATOMIC_RELAXED);
		other->turns = 0;
	}
	bri_lock_release_unwatched(call->self, &other->lock);
	return !moved;
}

static int sleep_on_other(struct bri_call *call, const struct bri_watch *watches, size_t n)
{
	int r = bri_side_arm(call, watches);

	return r <= 0 ? r : bri_futex_wait_any(watches, n, bri_call_deadline(call));
}

size_t bri_side_note(const struct bri_call *call, struct bri_watch *watches)
{
	watches[0] = (struct bri_watch){ &call->other->word,
					 bri_word(&call->other->word) | BRI_QUEUE_ASLEEP };
	return call->note == NULL ? 1 : 1 + call->note(call, watches + 1);
}

/* `patient`: it may be worth while to look for a moment before the first sleep. */
static ssize_t lead(struct bri_call *call, bri_step_fn *step, bool patient)
{
	struct bri_watch watches[BRI_MOST_WATCHES];
	int slept = 0;

	for (;;) {
		size_t n = bri_side_note(call, watches);
		ssize_t r = bri_side_attempt(call, step);

		if (r != -EAGAIN)
			return r;
		if (slept < 0)
			return slept;
		if (!patient || !moves(call, watches->expected))
			slept = sleep_on_other(call, watches, n);
		patient = true;
	}
}

/* Does what could not be done at once. It has looked for a moment before; but if it waited for the gate, that is
 * over. */
static __attribute__((noinline)) ssize_t wait_in_line(struct bri_call *call, bri_step_fn *step)
{
	int r = bri_lock_acquire(call->self, &call->own->gate, 0);
	bool waited = r == -ETIMEDOUT;
	ssize_t result;

	if (waited)
		r = bri_lock_acquire(call->self, &call->own->gate, bri_call_deadline(call));
	if (r == -ETIMEDOUT) {
		result = bri_side_attempt(call, step); /* one last look */
		return result == -EAGAIN ? -ETIMEDOUT : result;
	}
	if (r < 0)
		return r;
	result = lead(call, step, waited);
	bri_lock_release(call->self, &call->own->gate);
	return result;
}

/* It looks again before it goes to the gate, when the other side moves soon. */
ssize_t bri_side_wait(struct bri_call *call, bri_step_fn *step)
{
	uint32_t noted;
	ssize_t r;

	if (call->nothing != NULL && call->nothing(call)) {
		r = bri_side_attempt(call, step);
		if (r != -EAGAIN)
			return r;
	}
	if (call->timeout_ns <= 0)
		return -ETIMEDOUT;
	noted = bri_word(&call->other->word) | BRI_QUEUE_ASLEEP;
	r = bri_side_attempt(call, step);
	if (r == -EAGAIN && moves(call, noted))
		r = bri_side_attempt(call, step);
	return r == -EAGAIN ? wait_in_line(call, step) : r;
}

int bri_side_at_once(struct bri_call *call, bri_step_fn *step)
{
	call->timeout_ns = call->deadline = BROOD_FOREVER;
	return (int)bri_side_attempt(call, step);
}
