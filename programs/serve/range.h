/* serve/range.h - the Range header of a request, RFC 9110 §14 */
#ifndef SERVE_RANGE_H
#define SERVE_RANGE_H

#include <stdint.h>

enum range {
	RANGE_WHOLE,   /* none, not bytes, several, or malformed: the header is to be ignored */
	RANGE_PART,    /* *ret_offset and *ret_length, within the file */
	RANGE_OUTSIDE, /* not satisfiable: 416 */
};

/* Reads `value` (NULL: no header) against a file of `size` bytes. */
enum range range_parse(const char *value, uint64_t size, uint64_t *ret_offset,
		       uint64_t *ret_length);

#endif
