/* sync/pause.h - how a waiter waits before it sleeps
 *
 * Awake, for about what a sleep and a wake-up cost, which is the patience that loses least against any other (Karlin
 * et al., "Empirical Studies of Competitive Spinning for a Shared-Memory Multiprocessor", SOSP 1991);
 * and it looks rarely. Each look takes the word's cache line from the core that works on it, and the more looks,
 * the more often the lock goes from core to core, the costliest thing that can happen to what it protects.
 * With one core to run on there is nothing to wait for awake. */
#ifndef SYNC_PAUSE_H
#define SYNC_PAUSE_H

#include <stdbool.h>

/* How often to look, after how many breaths each: together 10 to 40 us, as long as the processor draws breath. The
 * fault tests, which go instruction by instruction, make do with less. */
#ifndef BRI_LOOKS
#define BRI_LOOKS 4
#define BRI_BREATHS 192
#define BRI_GLANCES \
	50 /* for each look, a breath each, at what nobody would take from another's hands */
#define BRI_PATIENCE (30 * BROOD_USEC) /* for which one glances, whatever a breath is here */
#endif

static inline void bri_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Waits until the next look; false when none is left, and it is time to sleep. */
static inline bool bri_patient(unsigned *looks)
{
	if (*looks == 0)
		return false;
	--*looks;
	for (int i = 0; i < BRI_BREATHS; i++)
		bri_pause();
	return true;
}

#endif
