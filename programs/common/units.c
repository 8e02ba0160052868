#include "common/units.h"

#include <brood/base.h>
#include <errno.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t worth;
};

/* Digits, then one of `units`; the product must fit. A list ends with a NULL name. */
static int parse_with_unit(const char *text, const struct unit *units, int64_t *ret_value)
{
	int64_t value = 0;
	const char *at;

	for (at = text; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *at - '0', &value))
			return -EINVAL;
	if (at == text)
		return -EINVAL;
	if (value == 0 && *at == '\0') {
		*ret_value = 0;
		return 0;
	}
	for (; units->name != NULL; units++)
		if (strcmp(at, units->name) == 0) {
			if (__builtin_mul_overflow(value, units->worth, &value))
				return -EINVAL;
			*ret_value = value;
			return 0;
		}
	return -EINVAL;
}

int parse_duration(const char *text, int64_t *ret_ns)
{
	static const struct unit units[] = {
		{ "ms", BROOD_MSEC },      { "s", BROOD_SEC },         { "m", 60 * BROOD_SEC },
		{ "h", 3600 * BROOD_SEC }, { "d", 86400 * BROOD_SEC }, { NULL, 0 },
	};

	return parse_with_unit(text, units, ret_ns);
}

int parse_size(const char *text, int64_t *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 },          { "B", 1 },         { "KiB", 1 << 10 },
		{ "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 },
	};

	return parse_with_unit(text, units, ret_bytes);
}

int parse_count(const char *text, int64_t *ret_count)
{
	static const struct unit units[] = { { "", 1 }, { NULL, 0 } };

	return parse_with_unit(text, units, ret_count);
}
