/* os/futex.h - sleeping on words of shared memory
 *
 * All words are looked up as shared ones, so they may lie in any mapping, shared or private. A sleep
 * that a signal interrupts is over as if it had been woken: callers look at their state in a loop
 * anyway, with one deadline for all of it.
 *
 * bri_futex_change() is what makes a wake-up certain: the kernel changes the word and wakes the sleepers
 * in one step, which no SIGKILL divides and which no thread that is about to sleep can miss. */
#ifndef OS_FUTEX_H
#define OS_FUTEX_H

#include <brood/base.h>
#include <stdbool.h>

#define BRI_EVERYBODY INT32_MAX /* as a number of sleepers */

/* What happens to the word; only bits and small numbers can be said (futex(2), FUTEX_WAKE_OP). */
enum bri_change {
	BRI_SET,     /* word = operand */
	BRI_ADD,     /* word += operand */
	BRI_OR,      /* word |= operand */
	BRI_CLEAR,   /* word &= ~operand */
	BRI_BIT = 8, /* or'ed to one of the above: the operand is 1 << operand */
};

/* Sleeps while *word == expected. 0: woken, interrupted, or the word differs; -ETIMEDOUT; another
 * -errno when the word cannot be slept on at all. `deadline` is bri_deadline()'s. */
int bri_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline);

struct bri_watch {
	const uint32_t *word;
	uint32_t expected;
};

#define BRI_MOST_WATCHES 128

/* The same on several words, until one differs or is woken. Where futex_waitv(2) is missing (before
 * Linux 5.16, or refused by a filter) it sleeps on the first word and returns 0 after 50 ms at most. */
int bri_futex_wait_any(const struct bri_watch *watches, size_t n, int64_t deadline);

/* Whether it does sleep on several: the kernel has that, and no filter refuses it. */
bool bri_futex_can_watch(void);

/* Wakes up to n sleepers; how many they were. */
int bri_futex_wake(const uint32_t *word, int n);

/* Changes *word and wakes up to n sleepers, as one step; how many they were. */
int bri_futex_change(uint32_t *word, enum bri_change how, unsigned operand, int n);

/* How many sleep on the word at this moment, as the kernel knows; nobody is woken. */
int bri_futex_count(uint32_t *word);

#endif
