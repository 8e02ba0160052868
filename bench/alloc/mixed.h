/* alloc/mixed.h - the load of alloc.mixed, the same for brood's heap and for Boost's
 *
 * A table of LIVE places; each step picks one at random, and frees what is there or allocates
 * something: in 100 steps 80 times 16 to 256 bytes, 15 times up to 4 KiB, 5 times up to 64 KiB. The
 * first word of each block is written and read back. Reads like C and C++. */
#ifndef ALLOC_MIXED_H
#define ALLOC_MIXED_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIVE 10000
#define SEGMENT ((size_t)512 << 20)

static void *take(size_t size);
static void drop(void *block);

static inline uint64_t mixed_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline size_t mixed_size(uint64_t r)
{
	uint64_t kind = r % 100;

	r = r >> 8 & 0xffff;
	return kind < 80 ? 16 + r % 241 : kind < 95 ? 257 + r % 3840 : 4097 + r % 61440;
}

static inline void mixed_run(uint64_t **places, uint64_t steps, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;

	for (uint64_t i = 0; i < steps; i++) {
		uint64_t r = mixed_next(&state), at = (r >> 32) % LIVE;

		if (places[at] != NULL) {
			if (*places[at] != at)
				abort();
			drop(places[at]);
			places[at] = NULL;
		} else {
			places[at] = (uint64_t *)take(mixed_size(r));
			*places[at] = at;
		}
	}
}

static inline double mixed_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Millions of steps a second by `processes` together, each warmed up; all start at one moment. */
static inline double mixed_measure(int processes, uint64_t steps)
{
	struct shared {
		unsigned ready;
		double from[64], to[64];
	} *shared = (struct shared *)mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double from, to;

	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			uint64_t **places = (uint64_t **)calloc(LIVE, sizeof(*places));

			mixed_run(places, steps / 4, (uint64_t)i + 1);
			__atomic_fetch_add(&shared->ready, 1, __ATOMIC_ACQ_REL);
			while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) <
			       (unsigned)processes)
				usleep(100);
			shared->from[i] = mixed_now();
			mixed_run(places, steps, (uint64_t)i + 101);
			shared->to[i] = mixed_now();
			_exit(0);
		}
	for (int i = 0; i < processes; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			exit(1);
	}
	from = shared->from[0];
	to = shared->to[0];
	for (int i = 1; i < processes; i++) {
		from = shared->from[i] < from ? shared->from[i] : from;
		to = shared->to[i] > to ? shared->to[i] : to;
	}
	return (double)processes * (double)steps / (to - from) / 1e6;
}

static inline int mixed_main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: PROGRAM PROCESSES STEPS\n", stderr);
		return 2;
	}
	printf("%.4f\n",
	       mixed_measure((int)strtol(argv[1], NULL, 10), strtoull(argv[2], NULL, 10)));
	return 0;
}

#endif
