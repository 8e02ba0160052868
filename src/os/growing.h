/* os/growing.h - bytes that come in unknown number, in one piece of memory
 *
 * Small ones lie on the heap. Beyond a megabyte they lie in a mapping of their own that begins at
 * a multiple of the huge page's size and asks for huge pages: page faults, not copies, are what
 * bounds the reading of much output. It grows by moving its pages (mremap(2)), whole huge ones
 * at a time, never by copying them. */
#ifndef OS_GROWING_H
#define OS_GROWING_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is empty. One byte of room is always kept for a NUL behind the last. */
struct bri_growing {
	char *data; /* NULL: never reserved */
	size_t size, room;
	bool mapped;
};

/* Makes room for `more` bytes behind the last, and a NUL. Returns 0, or -ENOMEM with nothing lost. */
int bri_growing_reserve(struct bri_growing *bytes, size_t more);

/* Appends a copy. Returns as bri_growing_reserve(). */
int bri_growing_append(struct bri_growing *bytes, const void *from, size_t n);

/* Drops the first `n` of them, n <= size; keeps the room. */
void bri_growing_drop(struct bri_growing *bytes, size_t n);

/* The bytes, with a NUL behind them; "" when there was never room. */
const char *bri_growing_text(struct bri_growing *bytes);

/* Gives the memory back; empty again. */
void bri_growing_fini(struct bri_growing *bytes);

#endif
