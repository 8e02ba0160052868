/* A permit is a slot. The leader, who holds the gate, sleeps on the words of all slots; the others sleep on the
 * gate. Whoever is killed, the kernel passes on what that one had: a slot to the leader, the gate to the next. */
#include <brood/permits.h>

#include <stdio.h>

#include "os/clock.h"
#include "sync/slots.h"

static struct bri_slots slots_of(const brood_permits *permits)
{
	return (struct bri_slots){ (brood_lock *)(uintptr_t)(permits + 1), permits->n };
}

size_t brood_permits_size(uint32_t n)
{
	if (n == 0 || n > BROOD_PERMITS_MOST)
		return 0;
	return sizeof(brood_permits) + n * sizeof(brood_lock);
}

int brood_permits_init(brood_permits *permits, size_t size, uint32_t n)
{
	struct bri_thread *self = bri_thread();
	size_t needed = brood_permits_size(n);
	int r = bri_stampable(self, permits);

	if (r == 0 && (needed == 0 || size < needed))
		r = -EINVAL;
	if (r < 0)
		return r;
	permits->n = n;
	permits->unused = 0;
	bri_lock_init(self, &permits->gate);
	for (uint32_t i = 0; i < n; i++)
		bri_lock_init(self, &slots_of(permits).row[i]);
	bri_stamp(self, &permits->stamp, BRI_STAMP_TRACKED);
	return 0;
}

static int check(const struct bri_thread *self, const brood_permits *permits)
{
	return bri_check(self, permits, BRI_STAMP_TRACKED);
}

/* A handler that interrupted the giving back of a permit would wait for itself. */
static int wait_for_one(struct bri_thread *self, brood_permits *permits, int64_t deadline,
			brood_lock **ret_slot)
{
	int r;

	if (bri_slots_mine(self, slots_of(permits)) == BRI_HALF)
		return -EDEADLK;
	r = bri_lock_acquire(self, &permits->gate, deadline);
	if (r < 0)
		return r == -ETIMEDOUT ? bri_slots_take(self, slots_of(permits), ret_slot) : r;
	r = bri_slots_wait(self, slots_of(permits), deadline, ret_slot);
	bri_lock_release(self, &permits->gate);
	return r;
}

int brood_permits_acquire(brood_permits *permits, int64_t timeout_ns)
{
	struct bri_thread *self = bri_thread();
	brood_lock *slot;
	int r = check(self, permits);

	if (r < 0)
		return r;
	r = bri_slots_take(self, slots_of(permits), &slot);
	if (r == -ETIMEDOUT && timeout_ns > 0)
		r = wait_for_one(self, permits, bri_deadline(timeout_ns), &slot);
	if (r >= 0)
		bri_slot_mark(self, slot);
	return r;
}

int brood_permits_release(brood_permits *permits)
{
	struct bri_thread *self = bri_thread();
	brood_lock *mine;
	int r = check(self, permits);

	if (r < 0)
		return r;
	mine = bri_slots_unmark(self, slots_of(permits));
	if (mine == NULL)
		return -EPERM;
	bri_lock_release_slot(self, mine);
	return 0;
}

int brood_permits_value(const brood_permits *permits)
{
	int r = check(bri_thread(), permits), value = 0;

	for (uint32_t i = 0; r == 0 && i < permits->n; i++)
		value += BRI_TID(bri_lock_load(&slots_of(permits).row[i])) == 0;
	return r < 0 ? r : value;
}

int brood_permits_holder(const brood_permits *permits, uint32_t i)
{
	int r = check(bri_thread(), permits);

	if (r < 0)
		return r;
	return i < permits->n ? brood_lock_owner(&slots_of(permits).row[i]) : -EINVAL;
}

static void append(char *buf, size_t size, int *n, const char *before, int number,
		   const char *after)
{
	size_t at = (size_t)*n < size ? (size_t)*n : size;

	*n += snprintf(buf + at, size - at, "%s%d%s", before, number, after);
}

int brood_permits_describe(const brood_permits *permits, char *buf, size_t size)
{
	int value = brood_permits_value(permits), n = 0, holder;

	if (value < 0)
		return value;
	append(buf, size, &n, "permits, ", value, " free of ");
	append(buf, size, &n, "", (int)permits->n, ", ");
	/* who has the gate waits, too */
	append(buf, size, &n, "",
	       brood_lock_waiters(&permits->gate) + (BRI_TID(bri_lock_load(&permits->gate)) != 0),
	       " waiting");
	for (uint32_t i = 0, said = 0; i < permits->n; i++) {
		holder = brood_permits_holder(permits, i);
		if (holder > 0)
			append(buf, size, &n, said++ == 0 ? ", held by processes " : " ", holder,
			       "");
	}
	return n;
}
