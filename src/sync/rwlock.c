/* Readers hold slots, a writer holds `writer` and has seen every slot free. A reader takes its slot first and looks
 * at `writer` then; a writer takes `writer` first and looks at the slots then; so one sees the other, and
 * the reader is the one that steps back. It then queues for `writer` like a writer, takes its slot, and gives
 * `writer` free: this is also how one waits for a slot when all are taken.
 *
 * `writing` is set only while the writer may change things, so that one killed before or after breaks nothing. */
#include <brood/rwlock.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/slots.h"

static struct bri_slots slots_of(const brood_rwlock *rwlock)
{
	return (struct bri_slots){ (brood_lock *)(uintptr_t)(rwlock + 1), rwlock->n };
}

size_t brood_rwlock_size(uint32_t readers)
{
	if (readers == 0 || readers > BROOD_RWLOCK_MOST)
		return 0;
	return sizeof(brood_rwlock) + readers * sizeof(brood_lock);
}

int brood_rwlock_init(brood_rwlock *rwlock, size_t size, uint32_t readers)
{
	struct bri_thread *self = bri_thread();
	size_t needed = brood_rwlock_size(readers);
	int r = bri_stampable(self, rwlock);

	if (r == 0 && (needed == 0 || size < needed))
		r = -EINVAL;
	if (r < 0)
		return r;
	*rwlock = (brood_rwlock){ .n = readers };
	bri_lock_init(self, &rwlock->writer);
	for (uint32_t i = 0; i < readers; i++)
		bri_lock_init(self, &slots_of(rwlock).row[i]);
	bri_stamp(self, &rwlock->stamp, BRI_STAMP_RWLOCK);
	return 0;
}

static int check(const struct bri_thread *self, const brood_rwlock *rwlock)
{
	return bri_check(self, rwlock, BRI_STAMP_RWLOCK);
}

static int told(const brood_rwlock *rwlock)
{
	return __atomic_load_n(&rwlock->broken, __ATOMIC_RELAXED) ? BROOD_OWNER_DIED : 0;
}

/* Takes `writer`, and notes if its last owner was writing. */
static int enter(struct bri_thread *self, brood_rwlock *rwlock, int64_t deadline)
{
	int r = bri_lock_acquire(self, &rwlock->writer, deadline);

	if (r == BROOD_OWNER_DIED && rwlock->writing) {
		__atomic_store_n(&rwlock->broken, 1, __ATOMIC_RELAXED);
		rwlock->writing = 0;
	}
	return r < 0 ? r : 0;
}

/* -EBUSY: a writer is there, or died there, or no slot is free. */
static int read_at_once(struct bri_thread *self, brood_rwlock *rwlock, bool reads_already,
			brood_lock **ret_slot)
{
	int r = bri_slots_take(self, slots_of(rwlock), ret_slot);

	if (r < 0)
		return r == -ETIMEDOUT ? -EBUSY : r;
	if (reads_already || (bri_lock_load(&rwlock->writer) & ~BRI_WAITERS) == 0)
		return told(rwlock);
	bri_lock_release_slot(self, *ret_slot);
	return -EBUSY;
}

/* Behind the writer. */
static int read_later(struct bri_thread *self, brood_rwlock *rwlock, int64_t deadline,
		      brood_lock **ret_slot)
{
	int r = enter(self, rwlock, deadline);

	if (r < 0)
		return r;
	r = bri_slots_wait(self, slots_of(rwlock), deadline, ret_slot);
	if (r >= 0)
		r = told(rwlock);
	bri_lock_release(self, &rwlock->writer);
	return r;
}

int brood_rwlock_read(brood_rwlock *rwlock, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	int64_t deadline = bri_deadline(timeout_ns);
	enum bri_slots_mine mine;
	brood_lock *slot;
	int r = check(self, rwlock);

	if (r < 0)
		return r;
	mine = bri_slots_mine(self, slots_of(rwlock));
	if (mine == BRI_HALF)
		return deadline == 0 ? -ETIMEDOUT : -EDEADLK;
	r = read_at_once(self, rwlock, mine == BRI_SOME, &slot);
	if (r == -EBUSY)
		r = read_later(self, rwlock, deadline, &slot);
	if (r >= 0)
		bri_slot_mark(self, slot);
	return r;
}

int brood_rwlock_write(brood_rwlock *rwlock, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	int64_t deadline = bri_deadline(timeout_ns);
	int r = check(self, rwlock);

	if (r < 0)
		return r;
	if (bri_slots_mine(self, slots_of(rwlock)) != BRI_NONE)
		return deadline == 0 ? -ETIMEDOUT : -EDEADLK;
	r = enter(self, rwlock, deadline);
	if (r < 0)
		return r;
	for (uint32_t i = 0; r == 0 && i < rwlock->n; i++)
		r = bri_slot_drain(&slots_of(rwlock).row[i], deadline);
	if (r < 0) {
		bri_lock_release(self, &rwlock->writer);
		return r;
	}
	rwlock->writing = 1;
	atomic_signal_fence(memory_order_seq_cst);
	return told(rwlock);
}

int brood_rwlock_release(brood_rwlock *rwlock)
{
	struct bri_thread *self = bri_thread();
	brood_lock *mine;
	int r = check(self, rwlock);

	if (r < 0)
		return r;
	if (bri_lock_is_mine(self, &rwlock->writer) && rwlock->writing) {
		__atomic_store_n(&rwlock->broken, 0, __ATOMIC_RELAXED);
		atomic_signal_fence(memory_order_seq_cst);
		rwlock->writing = 0;
		bri_lock_release(self, &rwlock->writer);
		return 0;
	}
	mine = bri_slots_unmark(self, slots_of(rwlock));
	if (mine == NULL)
		return -EPERM;
	bri_lock_release_slot(self, mine);
	return 0;
}

int brood_rwlock_readers(const brood_rwlock *rwlock)
{
	int r = check(bri_thread(), rwlock), readers = 0;

	for (uint32_t i = 0; r == 0 && i < rwlock->n; i++)
		readers += BRI_TID(bri_lock_load(&slots_of(rwlock).row[i])) != 0;
	return r < 0 ? r : readers;
}

int brood_rwlock_writer(const brood_rwlock *rwlock)
{
	int r = check(bri_thread(), rwlock);

	if (r < 0)
		return r;
	return __atomic_load_n(&rwlock->writing, __ATOMIC_RELAXED) ?
		       brood_lock_owner(&rwlock->writer) :
		       0;
}

int brood_rwlock_describe(const brood_rwlock *rwlock, char *buf, size_t size)
{
	int readers = brood_rwlock_readers(rwlock), waiting, writer;

	if (readers < 0)
		return readers;
	waiting = brood_lock_waiters(&rwlock->writer);
	writer = brood_rwlock_writer(rwlock);
	if (writer == 0 && BRI_TID(bri_lock_load(&rwlock->writer)) != 0)
		waiting++; /* it has the lock, and waits for readers to go */
	if (writer > 0)
		return snprintf(buf, size, "rwlock, process %d writes, %d waiting", writer,
				waiting);
	return snprintf(buf, size, "rwlock, %d reading, %d waiting", readers, waiting);
}
