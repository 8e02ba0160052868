/* common/units.h - durations and sizes as people write them: 500ms 5s 10m 7d, 64KiB 16MiB */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

#include <stdint.h>

/* "0", or a whole number and ms, s, m, h or d. Returns 0 and nanoseconds, or -EINVAL. */
int parse_duration(const char *text, int64_t *ret_ns);

/* A whole number of bytes, or one with B, KiB, MiB or GiB. Returns 0 and bytes, or -EINVAL. */
int parse_size(const char *text, int64_t *ret_bytes);

/* A whole number, not negative. Returns 0, or -EINVAL. */
int parse_count(const char *text, int64_t *ret_count);

#endif
