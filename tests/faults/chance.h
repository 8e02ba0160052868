/* chance.h - numbers for what is done at random, the same again from the same seed
 *
 * xorshift64 (Marsaglia, "Xorshift RNGs", 2003). Each process goes on from the state that it was forked with: one that
 * shall have numbers of its own calls chance_part(). */
#ifndef FAULTS_CHANCE_H
#define FAULTS_CHANCE_H

#include <brood/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t chance;

/* From the seed that the text says, or from a new one; says which. */
static inline void chance_begin(const char *seed)
{
	chance = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)brood_now() | 1;
	printf("BROOD_SEED=%llu\n", (unsigned long long)chance);
	(void)fflush(stdout);
}

static inline void chance_part(void)
{
	chance += (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
}

static inline unsigned below(unsigned n)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (unsigned)(chance >> 33) % n;
}

static inline void nap(unsigned us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000L }, NULL);
}

#endif
