/* wire/object.h - what is equal among objects, and what is a key twice */
#ifndef WIRE_OBJECT_H
#define WIRE_OBJECT_H

#include <brood/object.h>

/* How few bytes of a two's complement, little-endian, mean the same number. */
size_t bri_object_big_size(const unsigned char *bytes, size_t n);

/* An integer that such bytes are: an INT, UINT or BIG, whichever is the first that holds it. A BIG points
 * to the bytes. */
brood_object bri_object_integer(const unsigned char *bytes, size_t n);

/* The word for a kind, with its article. */
const char *bri_object_kind_name(brood_object_kind kind);

/* Makes keys unique in `*n` of them (stride 1: a set's items) or pairs (stride 2: a dict's), as Python
 * does: the first key stays where it is, with the last value. Keys must not be deeper than
 * BROOD_OBJECT_DEPTH. Returns 0 or -ENOMEM. */
int bri_object_unique(brood_object *items, size_t *n, size_t stride);

#endif
