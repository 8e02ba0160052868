#include "serve/id.h"

#include <string.h>

#define EPOCH_MS INT64_C(1577836800000) /* 2020-01-01T00:00:00Z */
#define COUNT_BITS 22
/* An id is a job's mark, too, and that is told from an ordinary limit by its size (serve/mark.h). */
#define SMALLEST (UINT64_C(1) << 41)
#define SALT (UINT32_C(1) << (COUNT_BITS - 1)) /* counts begin below, so that many may follow */

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

uint64_t id_next(uint64_t last, int64_t now_ms, uint32_t salt)
{
	uint64_t now = now_ms > EPOCH_MS ? (uint64_t)(now_ms - EPOCH_MS) << COUNT_BITS : 0;

	if (now < SMALLEST)
		now = SMALLEST; /* a clock that was never set */
	now |= salt & (SALT - 1);
	return (now > last ? now : last + 1) & INT64_MAX;
}

const char *id_format(uint64_t id, char *to)
{
	to[ID_SIZE - 1] = '\0';
	for (int i = ID_SIZE - 2; i >= 0; i--, id >>= 5)
		to[i] = digits[id & 31];
	return to;
}

bool id_parse(const char *text, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (strlen(text) != ID_SIZE - 1 || text[0] > '7')
		return false;
	for (; *text != '\0'; text++) {
		const char *digit = strchr(digits, *text);

		if (digit == NULL)
			return false;
		id = id << 5 | (uint64_t)(digit - digits);
	}
	*ret_id = id;
	return true;
}
