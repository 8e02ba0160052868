/* The barrier. Its fields and seats are written under its lock. A party sits in a seat, whose lock it holds, so the
 * kernel marks the seat when the party dies. How the round went for a party is written into its seat, and then
 * `round` counts on, by the kernel, which wakes all in that step.
 *
 * Who notices a death? The first of a round, its leader, sleeps on `round`, on `arrival`, and on the lock of each
 * seat that is taken; a newcomer makes it look again. The others sleep on `round` and on the leader's seat,
 * insured by that seat. So each seat in use has a sleeper, who comes and finds the dead.
 *
 * A newcomer takes its seat, makes the leader look (which then wants the lock), and only then says that it waits.
 * Killed before that, it never came; killed after, the leader knows its seat or is on its way to.
 *
 * Whoever comes in looks for the dead first, and takes a lock whose owner died for a broken barrier: what was half
 * written in there does not matter any more. */
#include <brood/barrier.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/slots.h"

enum { WAITS = 1, JOINED = 2 };              /* what one does in a seat */
enum { OPEN = 0, PASSED = 1, CANCELED = 2 }; /* how the round went for who waits in it */

struct seat {
	brood_lock lock;
	uint32_t use, outcome;
};

/* Those of a round, and those of earlier ones who have not left yet. */
static uint32_t seats_for(uint32_t parties)
{
	return 2 * parties;
}

static struct seat *seats_of(const brood_barrier *barrier)
{
	return (struct seat *)(uintptr_t)(barrier + 1);
}

#define for_each_seat(seat, barrier)                                                              \
	for (struct seat *seat = seats_of(barrier), *end_ = seat + seats_for((barrier)->parties); \
	     seat < end_; seat++)

size_t brood_barrier_size(uint32_t parties)
{
	if (parties == 0 || parties > BROOD_BARRIER_MOST)
		return 0;
	return sizeof(brood_barrier) + seats_for(parties) * sizeof(struct seat);
}

int brood_barrier_init(brood_barrier *barrier, size_t size, uint32_t parties, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	size_t needed = brood_barrier_size(parties);
	int r = bri_stampable(self, barrier);

	if (r == 0 && (needed == 0 || size < needed))
		r = -EINVAL;
	if (r < 0)
		return r;
	*barrier = (brood_barrier){ .parties = parties, .timeout_ns = timeout_ns };
	bri_lock_init(self, &barrier->lock);
	for_each_seat(seat, barrier)
	{
		bri_lock_init(self, &seat->lock);
		seat->use = seat->outcome = 0;
	}
	bri_stamp(self, &barrier->stamp, BRI_STAMP_BARRIER);
	return 0;
}

/* Ends the round in the same way for all who wait in it, once `ending` says how: who is killed after that has it
 * ended by the next that comes in. */
static void end_round(brood_barrier *barrier, uint32_t outcome)
{
	barrier->ending = outcome;
	atomic_signal_fence(memory_order_seq_cst);
	for_each_seat(seat, barrier) if (seat->use & WAITS && seat->outcome == OPEN) seat->outcome =
		outcome;
	__atomic_store_n(&barrier->count, 0, __ATOMIC_RELAXED);
	__atomic_fetch_or(&barrier->round, 0, __ATOMIC_SEQ_CST); /* for ThreadSanitizer */
	bri_futex_change(&barrier->round, BRI_ADD, 1, BRI_EVERYBODY);
	atomic_signal_fence(memory_order_seq_cst);
	barrier->ending = OPEN;
}

static void break_it(brood_barrier *barrier)
{
	__atomic_store_n(&barrier->broken, 1, __ATOMIC_RELAXED);
	end_round(barrier, CANCELED);
}

/* Whether the round needs who sits there. */
static bool is_awaited(const struct seat *seat)
{
	return seat->use & JOINED || (seat->use & WAITS && seat->outcome == OPEN);
}

/* Frees the seats of the dead; true if one of them was awaited. One that had passed is missed by nobody. */
static bool bury(brood_barrier *barrier)
{
	bool missed = false;

	for_each_seat(seat, barrier)
	{
		if (seat->use == 0 || BRI_TID(bri_lock_load(&seat->lock)) != 0)
			continue;
		missed |= is_awaited(seat);
		seat->use = 0;
	}
	return missed;
}

static int enter(struct bri_thread *self, brood_barrier *barrier)
{
	int r = bri_check(self, barrier, BRI_STAMP_BARRIER);
	bool missed;

	if (r < 0)
		return r;
	r = bri_lock_acquire(self, &barrier->lock, BROOD_FOREVER);
	if (r < 0)
		return r;
	if (barrier->ending != OPEN)
		end_round(barrier, barrier->ending);
	missed = bury(barrier);
	if (missed || r == BROOD_OWNER_DIED)
		break_it(barrier);
	return 0;
}

static void leave(struct bri_thread *self, brood_barrier *barrier)
{
	bri_lock_release(self, &barrier->lock);
}

static struct seat *joined_seat(const struct bri_thread *self, brood_barrier *barrier)
{
	for_each_seat(seat, barrier) if (seat->use & JOINED &&
					 bri_lock_is_mine(self, &seat->lock)) return seat;
	return NULL;
}

/* Takes a free seat. A dead one's use was noted and ended by enter(). */
static int sit(struct bri_thread *self, brood_barrier *barrier, struct seat **ret_seat)
{
	for_each_seat(seat, barrier)
	{
		int r = seat->use == 0 && BRI_TID(bri_lock_load(&seat->lock)) == 0 ?
				bri_lock_acquire(self, &seat->lock, 0) :
				-ETIMEDOUT;

		if (r == -ETIMEDOUT)
			continue;
		if (r < 0)
			return r;
		seat->outcome = OPEN;
		*ret_seat = seat;
		bri_futex_change(&barrier->arrival, BRI_ADD, 1, 1);
		return 0;
	}
	return -EBUSY;
}

static void stand_up(struct bri_thread *self, struct seat *seat)
{
	seat->use &= ~(uint32_t)WAITS;
	if (seat->use == 0)
		bri_lock_release_slot(self, &seat->lock);
}

/* What to sleep on; more than fit are not watched, and the sleep is cut instead. */
struct sleep {
	struct bri_watch watches[BRI_MOST_WATCHES];
	size_t n;
};

static void watch(struct sleep *sleep, const uint32_t *word, uint32_t expected)
{
	if (sleep->n < BRI_MOST_WATCHES)
		sleep->watches[sleep->n] = (struct bri_watch){ word, expected };
	sleep->n++;
}

static void watch_seat(struct sleep *sleep, struct seat *seat)
{
	struct bri_watch alive = { bri_lock_word(&seat->lock), 1 }; /* just died: no sleep */

	(void)bri_slot_watch(&seat->lock, &alive);
	watch(sleep, alive.word, alive.expected);
}

static void prepare(struct sleep *sleep, brood_barrier *barrier, const struct seat *mine)
{
	struct seat *leader = seats_of(barrier) + barrier->leader;

	sleep->n = 0;
	watch(sleep, &barrier->round, __atomic_load_n(&barrier->round, __ATOMIC_RELAXED));
	if (leader != mine) {
		watch_seat(sleep, leader);
		return;
	}
	watch(sleep, &barrier->arrival, __atomic_load_n(&barrier->arrival, __ATOMIC_RELAXED));
	for_each_seat(seat, barrier) if (seat != mine && is_awaited(seat)) watch_seat(sleep, seat);
}

/* Until the round is over for `seat`: 0, or -errno. The lock is held before and, if it can be had again, after. */
static int sit_out(struct bri_thread *self, brood_barrier *barrier, struct seat *seat,
		   int64_t deadline)
{
	struct seat *leader = seats_of(barrier) + barrier->leader;
	void *before = bri_insure(self, &leader->lock.next);
	struct sleep sleep;
	int r = 0, slept = 0;

	while (r == 0 && seat->outcome == OPEN) {
		if (slept < 0) {
			break_it(barrier);
			r = slept;
			break;
		}
		prepare(&sleep, barrier, seat);
		leave(self, barrier);
		slept = bri_futex_wait_any(sleep.watches, sleep.n, deadline);
		r = enter(self, barrier);
	}
	bri_insure(self, before);
	return r;
}

static int meet(struct bri_thread *self, brood_barrier *barrier, struct seat *seat,
		int64_t deadline, int (*action)(void *), void *arg)
{
	uint32_t nth = barrier->count;
	int r;

	seat->outcome = OPEN;
	seat->use |= WAITS;
	__atomic_store_n(&barrier->count, nth + 1, __ATOMIC_RELAXED);
	if (nth == 0)
		barrier->leader = (uint32_t)(seat - seats_of(barrier));
	if (nth + 1 == barrier->parties) {
		r = action == NULL ? 0 : action(arg);
		if (r < 0) {
			break_it(barrier);
			return r;
		}
		end_round(barrier, PASSED);
	} else {
		r = sit_out(self, barrier, seat, deadline);
		if (r < 0)
			return r;
	}
	return seat->outcome == PASSED ? (int)nth : -ECANCELED;
}

int brood_barrier_wait_action(brood_barrier *barrier, int64_t timeout_ns, int (*action)(void *arg),
			      void *arg)
{
	struct bri_thread *self = bri_thread();
	struct seat *seat;
	int r = enter(self, barrier);

	if (r < 0)
		return r;
	if (barrier->broken) {
		leave(self, barrier);
		return -ECANCELED;
	}
	seat = joined_seat(self, barrier);
	if (seat == NULL)
		r = sit(self, barrier, &seat);
	if (r == 0) {
		if (timeout_ns == BROOD_FOREVER)
			timeout_ns = barrier->timeout_ns;
		r = meet(self, barrier, seat, bri_deadline(timeout_ns), action, arg);
		if (!bri_lock_is_mine(self, &barrier->lock))
			return r; /* the memory is gone, or the like */
		stand_up(self, seat);
	}
	leave(self, barrier);
	return r;
}

int brood_barrier_wait(brood_barrier *barrier, int64_t timeout_ns)
{
	return brood_barrier_wait_action(barrier, timeout_ns, NULL, NULL);
}

int brood_barrier_join(brood_barrier *barrier)
{
	struct bri_thread *self = bri_thread();
	struct seat *seat;
	int r = enter(self, barrier);

	if (r < 0)
		return r;
	r = joined_seat(self, barrier) != NULL ? -EALREADY : sit(self, barrier, &seat);
	if (r == 0)
		seat->use = JOINED;
	leave(self, barrier);
	return r;
}

int brood_barrier_leave(brood_barrier *barrier)
{
	struct bri_thread *self = bri_thread();
	struct seat *seat;
	int r = enter(self, barrier);

	if (r < 0)
		return r;
	seat = joined_seat(self, barrier);
	if (seat != NULL) {
		seat->use = 0;
		bri_lock_release_slot(self, &seat->lock);
	}
	leave(self, barrier);
	return seat == NULL ? -EPERM : 0;
}

int brood_barrier_reset(brood_barrier *barrier)
{
	struct bri_thread *self = bri_thread();
	int r = enter(self, barrier);

	if (r < 0)
		return r;
	end_round(barrier, CANCELED);
	__atomic_store_n(&barrier->broken, 0, __ATOMIC_RELAXED);
	leave(self, barrier);
	return 0;
}

int brood_barrier_abort(brood_barrier *barrier)
{
	struct bri_thread *self = bri_thread();
	int r = enter(self, barrier);

	if (r < 0)
		return r;
	break_it(barrier);
	leave(self, barrier);
	return 0;
}

static int check(const brood_barrier *barrier)
{
	return bri_check(bri_thread(), barrier, BRI_STAMP_BARRIER);
}

int brood_barrier_broken(const brood_barrier *barrier)
{
	int r = check(barrier);

	return r < 0 ? r : (int)__atomic_load_n(&barrier->broken, __ATOMIC_RELAXED);
}

int brood_barrier_waiting(const brood_barrier *barrier)
{
	int r = check(barrier);

	return r < 0 ? r : (int)__atomic_load_n(&barrier->count, __ATOMIC_RELAXED);
}

int brood_barrier_parties(const brood_barrier *barrier)
{
	int r = check(barrier);

	return r < 0 ? r : (int)barrier->parties;
}

int brood_barrier_describe(const brood_barrier *barrier, char *buf, size_t size)
{
	int waiting = brood_barrier_waiting(barrier);

	if (waiting < 0)
		return waiting;
	if (brood_barrier_broken(barrier))
		return snprintf(buf, size, "barrier, broken");
	return snprintf(buf, size, "barrier, %d of %u wait", waiting, barrier->parties);
}
