/* os/self.h - which process is this? Told apart across fork, also a foreign one
 *
 * An object remembers the generation of the process that made it; used in a forked child the
 * generations differ, and the object says -ECHILD instead of touching what is not its own. */
#ifndef OS_SELF_H
#define OS_SELF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A number that is the same for the whole life of a process and differs from its parent's.
 * No system call after the first use. Thread-safe. */
uint64_t bri_self_generation(void);

/* Who loaded this library: its generation, and its pid. All others of this generation's descent are forks of it. */
extern struct bri_self_loader {
	uint64_t generation;
	pid_t pid;
} bri_self_loader;

/* Finds that out, as the library's constructor; for who may be called by another constructor before it. */
void bri_self_load(void);

/* Where the generation lies; for the next function alone. NULL until it was first asked for. */
extern _Atomic(_Atomic(uint64_t) *) bri_self_word;

/* Whether this process still is the one that had this generation: two loads. It may say no where yes is
 * true (the page was not to be had), and then bri_self_generation() tells. */
static inline bool bri_self_is(uint64_t generation)
{
	_Atomic(uint64_t) *at = atomic_load_explicit(&bri_self_word, memory_order_acquire);

	return at != NULL && generation != 0 &&
	       atomic_load_explicit(at, memory_order_relaxed) == generation;
}

#endif
