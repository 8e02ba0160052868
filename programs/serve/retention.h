/* serve/retention.h - how much is kept of the jobs that are over
 *
 * Beyond a limit (age, number of jobs, bytes of output) finished jobs are removed, that which ended
 * first before all others: its output files, its log fields, its row. What is not over is never
 * touched.
 *
 * Nothing leaks, whenever the process ends: files are removed first and rows after them, so a kill
 * in between leaves a row, still the oldest, that the next pass removes. What a row cannot tell of
 * (files that a power loss brought back, the input of a killed keeper's job, an emptied folder) is
 * found by a walk over all files, once after the start. It leaves alone every id from the smallest
 * unfinished one on: a keeper may be writing there.
 *
 * Age is the time of day now less the one noted at the job's end, for it must hold over restarts,
 * and no other clock does. So a clock that is set forward makes history older, and what is then
 * beyond the limit goes, also of jobs that ended a minute ago; one set back keeps it for longer.
 *
 * An id is never used again: the largest that was removed stays in the table meta.
 *
 * The store's writer does all this, between its commits; that thread's alone once it runs. */
#ifndef SERVE_RETENTION_H
#define SERVE_RETENTION_H

#include <sqlite3.h>
#include <stdint.h>

#include "serve/config.h"
#include "serve/store.h"

struct retention;

/* SQL: the largest id that was ever used; 0 when none was. */
#define RETENTION_LAST_ID                           \
	"max(ifnull((SELECT max(id) FROM job), 0)," \
	" ifnull((SELECT value FROM meta WHERE name = 'last_id'), 0))"

/* Makes the table and the index that it needs, and counts what is there; `keep` NULL: removes
 * nothing. Returns an SQLite code. */
int retention_open(sqlite3 *db, const struct store_keep *keep, struct retention **ret_retention);

/* A job's end was committed; `bytes` of its output are kept. */
void retention_job_ended(struct retention *retention, int64_t bytes);

void retention_set_limits(struct retention *retention, const struct retention_limits *limits);

/* When the next step is due, on the monotonic clock. */
int64_t retention_due(const struct retention *retention);

/* Removes what is too much, or looks for files that nobody names: as much of it as a submit may wait
 * for. */
void retention_step(struct retention *retention);

struct store_totals retention_totals(const struct retention *retention);

/* Before its database is closed. */
struct retention *retention_free(struct retention *retention);

#endif
