#include "sync/slots.h"

static bool is_free(const brood_lock *slot)
{
	return BRI_TID(bri_lock_load(slot)) == 0;
}

/* Threads begin at different places, so that they seldom want the same slot. */
static uint32_t first_of(const struct bri_thread *self, struct bri_slots slots)
{
	return self->tid % slots.n;
}

/* The mark is the thread's id, where a lock with conditions has its second entry; a slot has none. */
static void **mark_of(brood_lock *slot)
{
	return &slot->alarm_next;
}

static void *mark_by(const struct bri_thread *self)
{
	return (void *)(uintptr_t)self->tid;
}

void bri_slot_mark(const struct bri_thread *self, brood_lock *slot)
{
	__atomic_store_n(mark_of(slot), mark_by(self), __ATOMIC_SEQ_CST);
}

brood_lock *bri_slots_unmark(const struct bri_thread *self, struct bri_slots slots)
{
	uint32_t i = first_of(self, slots);

	for (uint32_t left = slots.n; left > 0; left--, i = i + 1 == slots.n ? 0 : i + 1) {
		void *mark = mark_by(self);

		/* A handler may come in between, and give this one back. */
		if (bri_lock_is_mine(self, &slots.row[i]) &&
		    __atomic_compare_exchange_n(mark_of(&slots.row[i]), &mark, NULL, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return slots.row + i;
	}
	return NULL;
}

enum bri_slots_mine bri_slots_mine(const struct bri_thread *self, struct bri_slots slots)
{
	enum bri_slots_mine mine = BRI_NONE;

	for (uint32_t i = 0; i < slots.n && mine != BRI_HALF; i++)
		if (bri_lock_is_mine(self, &slots.row[i]))
			mine = __atomic_load_n(mark_of(&slots.row[i]), __ATOMIC_SEQ_CST) ==
					       mark_by(self) ?
				       BRI_SOME :
				       BRI_HALF;
	return mine;
}

int bri_slots_take(struct bri_thread *self, struct bri_slots slots, brood_lock **ret_slot)
{
	uint32_t i = first_of(self, slots);

	for (uint32_t left = slots.n; left > 0; left--, i = i + 1 == slots.n ? 0 : i + 1) {
		int r = is_free(&slots.row[i]) ? bri_lock_acquire(self, &slots.row[i], 0) :
						 -ETIMEDOUT;

		if (r >= 0)
			*ret_slot = slots.row + i;
		if (r != -ETIMEDOUT)
			return r;
	}
	return -ETIMEDOUT;
}

bool bri_slot_watch(brood_lock *slot, struct bri_watch *ret_watch)
{
	uint32_t seen = bri_lock_load(slot);

	while (BRI_TID(seen) != 0) {
		if (seen & BRI_WAITERS ||
		    __atomic_compare_exchange_n(bri_lock_word(slot), &seen, seen | BRI_WAITERS,
						false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			*ret_watch = (struct bri_watch){ bri_lock_word(slot), seen | BRI_WAITERS };
			return true;
		}
	}
	return false;
}

/* Sleeps until one of them changes; at once if one is free. */
static int wait_for_any(struct bri_slots slots, int64_t deadline)
{
	struct bri_watch watches[BRI_MOST_WATCHES];
	size_t n = 0;

	for (uint32_t i = 0; i < slots.n; i++) {
		struct bri_watch watch;

		if (!bri_slot_watch(&slots.row[i], &watch))
			return 0;
		if (n < BRI_MOST_WATCHES)
			watches[n] = watch;
		n++;
	}
	return bri_futex_wait_any(watches, n, deadline);
}

int bri_slots_wait(struct bri_thread *self, struct bri_slots slots, int64_t deadline,
		   brood_lock **ret_slot)
{
	int slept = 0;

	for (;;) {
		int r = bri_slots_take(self, slots, ret_slot);

		if (r != -ETIMEDOUT)
			return r;
		if (deadline == 0 || slept < 0)
			return slept < 0 ? slept : r;
		slept = wait_for_any(slots, deadline);
	}
}

int bri_slot_drain(brood_lock *slot, int64_t deadline)
{
	struct bri_watch watch;
	int r = 0;

	while (bri_slot_watch(slot, &watch)) {
		if (r < 0 || deadline == 0)
			return r < 0 ? r : -ETIMEDOUT;
		r = bri_futex_wait(watch.word, watch.expected, deadline);
	}
	return 0;
}
