/* wire/classes.h - the classes that a pickle may name */
#ifndef WIRE_CLASSES_H
#define WIRE_CLASSES_H

#include <stddef.h>

/* What a call of it means. */
enum bri_meaning {
	BRI_AS_INSTANCE = 0, /* an instance */
	BRI_AS_SET,          /* a value of ours */
	BRI_AS_FROZENSET,
	BRI_AS_LIST,
	BRI_AS_BYTES,
	BRI_AS_BYTEARRAY,
	BRI_AS_ENCODE /* bytes, as protocol 2 has them: text, of which each character is a byte */
};

/* The class of this module and name, which protocol 2 has as Python 2's; of ours, or of `more`, which ends
 * with NULL and may be NULL. Returns "module name" in its text of today, and *ret_meaning; NULL: it
 * is not allowed. */
const char *bri_class_find(int protocol, const char *module, size_t n_module, const char *name,
			   size_t n_name, const char *const *more, enum bri_meaning *ret_meaning);

#endif
