/* tests/unit/queues.h - the queue that a test is about, and who waits for it; included once by a program */
#ifndef TESTS_UNIT_QUEUES_H
#define TESTS_UNIT_QUEUES_H

#include <brood/queue.h>
#include <string.h>

#include "ipc/queue.h"
#include "tests/unit/peers.h"

static brood_queue *q;

static inline void end(void)
{
	q = brood_queue_unref(q);
}

/* Another than there was. */
static inline void remake(brood_queue_opts opts)
{
	end();
	ck_assert_int_eq(brood_queue_new(&opts, &q), 0);
}

static inline void put(const char *text)
{
	ck_assert_int_eq(brood_queue_put(q, text, strlen(text), 0), 0);
}

static inline void ck_get(const char *text)
{
	char buf[64] = "";

	ck_assert_int_eq(brood_queue_get(q, buf, sizeof(buf), 0), (ssize_t)strlen(text));
	ck_assert_mem_eq(buf, text, strlen(text));
}

/* How many wait: the leader for `moving`, the others in line behind it. */
static inline int waiters(struct bri_side *moving, struct bri_side *own)
{
	return bri_futex_count(&moving->word) + brood_lock_waiters(&own->gate);
}

/* … to get or to take, to put, to join. */
static inline int getters(void)
{
	return waiters(&q->memory->put, &q->memory->get);
}

static inline int putters(void)
{
	return waiters(&q->memory->get, &q->memory->put);
}

static inline int joiners(void)
{
	return waiters(&q->memory->done, &q->memory->done);
}

#endif
