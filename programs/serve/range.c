#include "serve/range.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Digits at *at, which moves on; false when there are none. Too large a number is the largest. */
static bool number(const char **at, uint64_t *ret_number)
{
	const char *from = *at;
	uint64_t n = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(**at - '0'), &n))
			n = UINT64_MAX;
	*ret_number = n;
	return *at != from;
}

enum range range_parse(const char *value, uint64_t size, uint64_t *ret_offset, uint64_t *ret_length)
{
	uint64_t first, last;
	bool has_first, has_last;

	if (value == NULL || strncmp(value, "bytes=", 6) != 0)
		return RANGE_WHOLE;
	value += 6;
	has_first = number(&value, &first);
	if (*value++ != '-')
		return RANGE_WHOLE;
	has_last = number(&value, &last);
	if (*value != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
		return RANGE_WHOLE;
	if (!has_first) { /* the last so many bytes */
		if (last == 0 || size == 0)
			return RANGE_OUTSIDE;
		first = last < size ? size - last : 0;
		last = size - 1;
	} else if (!has_last || last >= size) {
		last = size - 1;
	}
	if (first >= size)
		return RANGE_OUTSIDE;
	*ret_offset = first;
	*ret_length = last - first + 1;
	return RANGE_PART;
}
