/* ring.h - what one would write instead of a queue: two rings of cells in shared memory
 *
 * mpmc   the bounded ring whose cells carry sequence numbers (D. Vyukov's scheme), with futexes to wait on. Whoever is killed
 *        between claiming a cell and filling it stops all others for ever.
 * locks  a robust pthread mutex for those who put, and one for those who get: no killed owner stops anybody, but
 *        a wake-up between its commit and its call is lost with its waker. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE __attribute__((aligned(128)))
#define RING_SPINS 200

/* A sleeper reads `seq`, leaves a token, looks once more, and sleeps; a waker takes a token before it calls. */
struct bell {
	LINE uint32_t seq;
	uint32_t tokens;
};

struct ring {
	LINE uint64_t in;
	pthread_mutex_t in_lock;
	LINE uint64_t out;
	pthread_mutex_t out_lock;
	struct bell filled, emptied;
	LINE uint64_t cells, size, stride;
	LINE unsigned char data[];
};

static inline uint64_t *ring_cell(struct ring *ring, uint64_t at)
{
	return (uint64_t *)(void *)(ring->data + (at & (ring->cells - 1)) * ring->stride);
}

/* `cells` is a power of two. */
static inline struct ring *ring_new(uint64_t cells, uint64_t size)
{
	uint64_t stride = (size + 8 + 63) & ~UINT64_C(63);
	struct ring *ring = mmap(NULL, sizeof(*ring) + cells * stride, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attr;

	if (ring == MAP_FAILED)
		return NULL;
	ring->cells = cells;
	ring->size = size;
	ring->stride = stride;
	for (uint64_t i = 0; i < cells; i++)
		*ring_cell(ring, i) = i;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&ring->in_lock, &attr);
	pthread_mutex_init(&ring->out_lock, &attr);
	return ring;
}

static inline void ring_free(struct ring *ring)
{
	munmap(ring, sizeof(*ring) + ring->cells * ring->stride);
}

static inline void ring_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

static inline void bell_ring(struct bell *bell)
{
	uint32_t tokens;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	tokens = __atomic_load_n(&bell->tokens, __ATOMIC_RELAXED);
	while (tokens > 0)
		if (__atomic_compare_exchange_n(&bell->tokens, &tokens, tokens - 1, true,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
			__atomic_add_fetch(&bell->seq, 1, __ATOMIC_SEQ_CST);
			syscall(SYS_futex, &bell->seq, FUTEX_WAKE, 1, NULL, NULL, 0);
			return;
		}
}

/* Claims the next cell whose sequence number is `ahead` of its position. */
static inline uint64_t *mpmc_claim(struct ring *ring, uint64_t *end, uint64_t ahead,
				   uint64_t *ret_at)
{
	uint64_t at = __atomic_load_n(end, __ATOMIC_RELAXED);

	for (;;) {
		uint64_t *cell = ring_cell(ring, at);
		int64_t distance =
			(int64_t)(__atomic_load_n(cell, __ATOMIC_ACQUIRE) - (at + ahead));

		if (distance < 0)
			return NULL;
		if (distance > 0)
			at = __atomic_load_n(end, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(end, &at, at + 1, true, __ATOMIC_RELAXED,
						     __ATOMIC_RELAXED)) {
			*ret_at = at;
			return cell;
		}
	}
}

static inline bool mpmc_put(struct ring *ring, void *message)
{
	uint64_t at, *cell = mpmc_claim(ring, &ring->in, 0, &at);

	if (cell == NULL)
		return false;
	memcpy(cell + 1, message, ring->size);
	__atomic_store_n(cell, at + 1, __ATOMIC_RELEASE);
	return true;
}

static inline bool mpmc_get(struct ring *ring, void *message)
{
	uint64_t at, *cell = mpmc_claim(ring, &ring->out, 1, &at);

	if (cell == NULL)
		return false;
	memcpy(message, cell + 1, ring->size);
	__atomic_store_n(cell, at + ring->cells, __ATOMIC_RELEASE);
	return true;
}

static inline void robust_lock(pthread_mutex_t *mutex)
{
	if (pthread_mutex_lock(mutex) == EOWNERDEAD)
		pthread_mutex_consistent(mutex);
}

static inline bool locks_put(struct ring *ring, void *message)
{
	bool room;

	if (__atomic_load_n(&ring->in, __ATOMIC_ACQUIRE) -
		    __atomic_load_n(&ring->out, __ATOMIC_ACQUIRE) >=
	    ring->cells)
		return false;
	robust_lock(&ring->in_lock);
	room = ring->in - __atomic_load_n(&ring->out, __ATOMIC_ACQUIRE) < ring->cells;
	if (room) {
		memcpy(ring_cell(ring, ring->in), message, ring->size);
		__atomic_store_n(&ring->in, ring->in + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&ring->in_lock);
	return room;
}

static inline bool locks_get(struct ring *ring, void *message)
{
	bool there;

	if (__atomic_load_n(&ring->in, __ATOMIC_ACQUIRE) ==
	    __atomic_load_n(&ring->out, __ATOMIC_ACQUIRE))
		return false;
	robust_lock(&ring->out_lock);
	there = ring->out != __atomic_load_n(&ring->in, __ATOMIC_ACQUIRE);
	if (there) {
		memcpy(message, ring_cell(ring, ring->out), ring->size);
		__atomic_store_n(&ring->out, ring->out + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&ring->out_lock);
	return there;
}

/* Does it, however long that takes. */
static inline void ring_until(struct ring *ring, bool (*act)(struct ring *, void *), void *message,
			      struct bell *own, struct bell *other)
{
	for (int spins = 0; !act(ring, message);) {
		uint32_t seq;

		if (spins++ < RING_SPINS) {
			ring_pause();
			continue;
		}
		seq = __atomic_load_n(&own->seq, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&own->tokens, 1, __ATOMIC_SEQ_CST);
		if (act(ring, message))
			break;
		syscall(SYS_futex, &own->seq, FUTEX_WAIT, seq, NULL, NULL, 0);
		spins = 0;
	}
	bell_ring(other);
}

#endif
