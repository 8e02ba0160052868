/* The rare part: to whom a side is biased, and how that ends. */
#include "ipc/queue_bias.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fence.h"
#include "sync/pause.h"

/* To take a side costs about as much as so many operations have saved: who was biased for fewer needs more turns the
 * next time, up to a bound. */
#define PAYS 1024
#define LEAST_TURNS 32
#define MOST_TURNS 8192

/* No processor keeps a store to itself for anything like as long. */
#define DRAINED (10 * BROOD_MSEC)

void bri_bias_init(struct bri_side *side)
{
	side->need = LEAST_TURNS;
#ifndef __GLIBC__
	for (size_t i = 0; i < BRI_SLOTS; i++)
		side->slots[i].word[0] = 128; /* as in a lock */
#endif
}

/* ---- granting */

static uint64_t name_of(uint32_t pid, uint32_t tid)
{
	return (uint64_t)pid << BRI_ID_BITS | tid;
}

/* Asked once a thread, since its process is another after fork and exec. */
static bool has_name(struct bri_thread *self)
{
	if (self->name == BRI_UNNAMED)
		self->name = bri_fence_join() == 0 && (self->pid | self->tid) >> BRI_ID_BITS == 0 ?
				     name_of(self->pid, self->tid) :
				     BRI_NAMELESS;
	return self->name != BRI_NAMELESS;
}

/* What cannot be asked counts as alive, and so does a thread that has the ids of a dead one. */
static bool is_dead(uint64_t name)
{
	long pid = (long)(name >> BRI_ID_BITS), tid = (long)(name & ((1 << BRI_ID_BITS) - 1));

	return syscall(SYS_tgkill, pid, tid, 0) != 0 && errno == ESRCH;
}

/* A slot is its thread's for life: that may come back to it from a first look at the bias, long after. BRI_SLOTS when all
 * belong to the living. */
static size_t find_slot(const struct bri_thread *self, struct bri_side *side)
{
	size_t i;

	for (i = 0; i < BRI_SLOTS; i++)
		if (side->owners[i] == self->name)
			return i;
	for (i = 0; i < BRI_SLOTS; i++)
		if (side->owners[i] == 0 || is_dead(side->owners[i]))
			break;
	if (i < BRI_SLOTS)
		side->owners[i] = self->name;
	return i;
}

void bri_bias_grant(struct bri_thread *self, struct bri_side *side)
{
	size_t slot;

	side->turns = 0;
	if (side->barred || bri_lock_load(&side->lock) & BRI_WAITERS || !has_name(self))
		return;
	slot = find_slot(self, side);
	if (slot == BRI_SLOTS) {
		side->need = MOST_TURNS;
		return;
	}
	side->granted = __atomic_load_n(&side->word, __ATOMIC_RELAXED);
	__atomic_store_n(bri_slot_word(&side->slots[slot]), 0, __ATOMIC_RELAXED);
	__atomic_store_n(&side->bias, self->name | slot << BRI_BIAS_SLOT_AT, __ATOMIC_RELEASE);
}

/* ---- taking away */

/* When it was interrupted on its way out, the wake for who holds the lock and waits for it may be still to come: so it
 * is made here. */
int bri_bias_yield(const struct bri_thread *self, struct bri_side *side)
{
	uint64_t bias = __atomic_load_n(&side->bias, __ATOMIC_RELAXED);
	uint32_t *word = bri_slot_word(bri_bias_slot(side, bias));

	if ((bias & BRI_BIAS_NAME) != self->name)
		return 0;
	if (BRI_TID(__atomic_load_n(word, __ATOMIC_RELAXED)) == self->tid)
		return -EDEADLK;
	bri_futex_wake(word, 1);
	return 0;
}

/* Where the fence is refused, as perhaps to one process of many, time does what nobody promises of it; and the
 * side is never biased again. */
static void fence_others(struct bri_side *side)
{
	struct timespec left = { .tv_nsec = DRAINED };

	if (bri_fence_others() == 0)
		return;
	side->barred = 1;
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static void appraise(struct bri_side *side)
{
	uint32_t commits =
		(__atomic_load_n(&side->word, __ATOMIC_RELAXED) - side->granted) / BRI_QUEUE_COMMIT;

	if (commits >= PAYS)
		side->need = LEAST_TURNS;
	else if (side->need < MOST_TURNS)
		side->need *= 2;
}

/* Whoever is killed in it has the next owner of the lock do it from the start. */
int bri_bias_end(const struct bri_thread *self, struct bri_side *side, int64_t deadline)
{
	uint64_t bias = __atomic_load_n(&side->bias, __ATOMIC_RELAXED);
	uint32_t *word = bri_slot_word(bri_bias_slot(side, bias)), seen;
	unsigned glances = self->looks * BRI_GLANCES;
	int r = 0;

	__atomic_store_n(&side->bias, bias | BRI_BIAS_REVOKE, __ATOMIC_RELAXED);
	fence_others(side);
	while (BRI_TID(seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != 0) {
		if (r < 0)
			return r;
		if (glances > 0)
			glances--, bri_pause();
		else
			r = bri_futex_wait(word, seen, deadline);
	}
	appraise(side);
	__atomic_store_n(&side->bias, 0, __ATOMIC_RELEASE);
	return 0;
}
