/* sync/slots.h - a row of locks of which one takes any that is free
 *
 * The table of holders of permits and of readers: each slot is a robust lock, so a dead holder's is free at once.
 * One thread at a time waits for a slot to become free, under a lock of the table's owner; so a slot's word has
 * one sleeper, and a killed one is followed by the next of that lock.
 *
 * A signal handler may use the row that its thread is at. So a slot is marked by who has taken it, when all is done that
 * belongs to the taking, and unmarked before it is given back: one that is this thread's and unmarked is only half taken,
 * or half given back, by what the handler interrupted. */
#ifndef SYNC_SLOTS_H
#define SYNC_SLOTS_H

#include "sync/robust.h"

struct bri_slots {
	brood_lock *row;
	uint32_t n;
};

/* Takes a free slot, unmarked: 0, BROOD_OWNER_DIED, -ETIMEDOUT (there is none), -ENOLCK. */
int bri_slots_take(struct bri_thread *self, struct bri_slots slots, brood_lock **ret_slot);

/* The same, to a deadline; one thread at a time. */
int bri_slots_wait(struct bri_thread *self, struct bri_slots slots, int64_t deadline,
		   brood_lock **ret_slot);

void bri_slot_mark(const struct bri_thread *self, brood_lock *slot);

/* Unmarks a slot of this thread, to be given back. NULL: it has none. */
brood_lock *bri_slots_unmark(const struct bri_thread *self, struct bri_slots slots);

/* What this thread has of them. */
enum bri_slots_mine { BRI_NONE, BRI_SOME, BRI_HALF };
enum bri_slots_mine bri_slots_mine(const struct bri_thread *self, struct bri_slots slots);

/* Waits until nobody has the slot: 0, -ETIMEDOUT. One thread at a time. */
int bri_slot_drain(brood_lock *slot, int64_t deadline);

/* Notes that somebody will sleep on the slot while it is as in *ret_watch. False: nobody has it. */
bool bri_slot_watch(brood_lock *slot, struct bri_watch *ret_watch);

#endif
