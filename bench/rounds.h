/* rounds.h - figures of brood and of a peer in one program, which take turns
 *
 * In each round both sides are measured, in changing order; what is printed is the median over the rounds, of the values
 * and of the ratios, where more than 1 means that brood is better. A line is: name, value, unit, peer,
 * value of the peer, ratio; with tabs between. harness.py reads it. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>

struct rounds_figure {
	const char *name, *unit, *peer;
	double (*take)(bool ours);
	bool more_is_better;
};

/* Takes and prints them all, in as many rounds as the text says. False: it says no number that can be. */
bool rounds_take(const char *rounds, const struct rounds_figure *figures, size_t n);

/* Of `n` values, which are sorted by it. */
double rounds_median(double *values, int n);

/* Memory that is all there, in small pages: what a fork copies the tables of. NULL: there is not that much. */
void *rounds_touched(size_t size);

/* Bytes, from /proc/meminfo; -1 when it does not say. */
long rounds_available_memory(void);

#endif
