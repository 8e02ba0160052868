/* serve/id.h - job ids: sortable by age, never used twice
 *
 * 41 bits of milliseconds since 2020, 22 bits of count: an id is the larger of "now" and "the last
 * one plus one", so neither a clock set back nor a restart repeats one. Written as 13 characters
 * of Crockford's base 32, lower case: text order is age order. As a number it fits SQLite's
 * rowid and a resource limit (serve/mark.h). */
#ifndef SERVE_ID_H
#define SERVE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define ID_SIZE 14 /* with the NUL */

/* The id after `last` at `now_ms` (CLOCK_REALTIME). Where it begins within its millisecond is `salt`. */
uint64_t id_next(uint64_t last, int64_t now_ms, uint32_t salt);

/* Writes `id` to `to`, which has ID_SIZE bytes, and returns `to`. */
const char *id_format(uint64_t id, char *to);

/* Reads what id_format() wrote; false for anything else. */
bool id_parse(const char *text, uint64_t *ret_id);

#endif
