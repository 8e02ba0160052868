#include "serve/retention.h"

#include <brood/brood.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "serve/output.h"

#define BATCH 200               /* jobs that are removed in one transaction, … */
#define BATCH_BYTES (64 << 20)  /* … fewer when their output is large: freeing it takes time */
#define WALK 1000               /* files that are looked at in one step */
#define PERIOD_NS BROOD_SEC     /* from one look to the next: a batch is cheaper than single jobs */
#define AGE_NS (60 * BROOD_SEC) /* at most, for age: the clock may have been set */
#define RETRY_NS (5 * BROOD_SEC)

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	/* By their end; the bytes are there so that to count them reads no rows. */
	"CREATE INDEX IF NOT EXISTS job_finished ON job(finished, out_bytes, err_bytes) WHERE state > 1;";

struct retention {
	sqlite3 *db;
	sqlite3_stmt *oldest, *find, *remove_fields, *remove_job, *keep_id;
	struct store_keep keep;
	struct store_totals totals;
	int64_t next_ns;  /* the next look */
	int64_t ready_ns; /* likewise, when there is more than the limits of jobs and output allow */
	bool walking;
	uint64_t walk_end; /* only ids below */
	struct output_walk walk;
};

struct batch {
	uint64_t ids[BATCH];
	int n;
	int64_t bytes;
	bool cut;          /* there may be more to remove */
	int64_t oldest_ms; /* when the oldest that is kept ended; 0: none is kept */
};

/* Runs a prepared statement that gives no rows, with an id as its only parameter. */
static int run(sqlite3_stmt *statement, uint64_t id)
{
	int code;

	sqlite3_bind_int64(statement, 1, (int64_t)id);
	code = sqlite3_step(statement);
	sqlite3_reset(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool is_too_much(const struct retention_limits *limits, int64_t jobs, int64_t bytes)
{
	return (limits->jobs > 0 && jobs > limits->jobs) ||
	       (limits->output > 0 && bytes > limits->output);
}

/* The jobs to remove next, the first that ended before all others. Returns an SQLite code. */
static int choose(struct retention *retention, struct batch *batch)
{
	const struct retention_limits *limits = &retention->keep.limits;
	int64_t jobs = retention->totals.jobs, bytes = retention->totals.output_bytes;
	int64_t kept_since =
		limits->age_ns > 0 ? realtime_ms() - limits->age_ns / BROOD_MSEC : INT64_MIN;
	int code;

	batch->n = 0;
	batch->bytes = batch->oldest_ms = 0;
	batch->cut = false;
	while ((code = sqlite3_step(retention->oldest)) == SQLITE_ROW) {
		int64_t finished = sqlite3_column_int64(retention->oldest, 1);
		int64_t size = sqlite3_column_int64(retention->oldest, 2);

		if (finished >= kept_since &&
		    !is_too_much(limits, jobs - batch->n, bytes - batch->bytes)) {
			batch->oldest_ms = finished;
			break;
		}
		batch->cut = batch->n == BATCH || batch->bytes >= BATCH_BYTES;
		if (batch->cut)
			break;
		batch->ids[batch->n++] = (uint64_t)sqlite3_column_int64(retention->oldest, 0);
		batch->bytes += size;
	}
	sqlite3_reset(retention->oldest);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* One transaction. Returns an SQLite code. */
static int remove_rows(struct retention *retention, const struct batch *batch)
{
	int code = sqlite3_exec(retention->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (int i = 0; i < batch->n && code == SQLITE_OK; i++) {
		code = run(retention->remove_fields, batch->ids[i]);
		if (code == SQLITE_OK)
			code = run(retention->keep_id, batch->ids[i]);
		if (code == SQLITE_OK)
			code = run(retention->remove_job, batch->ids[i]);
	}
	if (code == SQLITE_OK)
		code = sqlite3_exec(retention->db, "COMMIT", NULL, NULL, NULL);
	if (code != SQLITE_OK && sqlite3_get_autocommit(retention->db) == 0)
		sqlite3_exec(retention->db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

static bool failed(const char *what, const char *error)
{
	log_event("retention_failed", "what=%s error=\"%s\"", what, error);
	return false;
}

/* Files first, then rows: see the header. False: not all of it was possible, and that was logged. */
static bool remove_batch(struct retention *retention, const struct batch *batch)
{
	int r;

	if (batch->n == 0)
		return true;
	r = output_remove(retention->keep.state_fd, batch->ids, (size_t)batch->n);
	if (r < 0)
		return failed("output", strerror(-r));
	if (remove_rows(retention, batch) != SQLITE_OK)
		return failed("store", sqlite3_errmsg(retention->db));
	retention->totals.jobs -= batch->n;
	retention->totals.output_bytes -= batch->bytes;
	retention->totals.expired += (uint64_t)batch->n;
	log_event("expired", "jobs=%d output_bytes=%lld", batch->n, (long long)batch->bytes);
	return true;
}

/* When a look for age is next due: what ends from now on is too old after the whole of it. */
static int64_t next_age_look(const struct retention *retention, int64_t oldest_ms, int64_t now)
{
	int64_t age_ms = retention->keep.limits.age_ns / BROOD_MSEC;
	int64_t wait_ms = oldest_ms != 0 ? oldest_ms + age_ms - realtime_ms() : age_ms;

	if (age_ms == 0)
		return BROOD_FOREVER;
	if (wait_ms > AGE_NS / BROOD_MSEC)
		return now + AGE_NS;
	return now + (wait_ms > PERIOD_NS / BROOD_MSEC ? wait_ms * BROOD_MSEC : PERIOD_NS);
}

static void remove_some(struct retention *retention)
{
	struct batch batch;
	bool done = choose(retention, &batch) == SQLITE_OK ?
			    remove_batch(retention, &batch) :
			    failed("store", sqlite3_errmsg(retention->db));
	int64_t now = brood_now();

	if (!done) {
		retention->next_ns = retention->ready_ns = now + RETRY_NS;
	} else if (batch.cut) {
		retention->next_ns = retention->ready_ns = now;
	} else {
		retention->next_ns = next_age_look(retention, batch.oldest_ms, now);
		retention->ready_ns = now + PERIOD_NS;
	}
}

/* In doubt there is one. */
static bool has_row(struct retention *retention, uint64_t id)
{
	int code;

	sqlite3_bind_int64(retention->find, 1, (int64_t)id);
	code = sqlite3_step(retention->find);
	sqlite3_reset(retention->find);
	return code != SQLITE_DONE;
}

/* Every job below walk_end is over, or unknown: its input is of no use, its output if it has a row. */
static void walk_some(struct retention *retention)
{
	int state_fd = retention->keep.state_fd;
	bool is_input;
	uint64_t id;

	for (int i = 0; i < WALK; i++) {
		if (!output_walk_next(state_fd, &retention->walk, &id, &is_input)) {
			output_walk_fini(&retention->walk);
			retention->walking = false;
			return;
		}
		if (id >= retention->walk_end)
			continue;
		if (is_input)
			output_remove_input(state_fd, id);
		else if (!has_row(retention, id))
			output_remove(state_fd, &id, 1); /* if not: at the next start */
	}
}

void retention_step(struct retention *retention)
{
	if (retention->walking)
		walk_some(retention);
	else
		remove_some(retention);
}

void retention_job_ended(struct retention *retention, int64_t bytes)
{
	retention->totals.jobs++;
	retention->totals.output_bytes += bytes;
}

void retention_set_limits(struct retention *retention, const struct retention_limits *limits)
{
	retention->keep.limits = *limits;
	retention->next_ns = 0; /* what is too old by them is to be found */
}

int64_t retention_due(const struct retention *retention)
{
	bool too_much = is_too_much(&retention->keep.limits, retention->totals.jobs,
				    retention->totals.output_bytes);

	return too_much && retention->ready_ns < retention->next_ns ? retention->ready_ns :
								      retention->next_ns;
}

struct store_totals retention_totals(const struct retention *retention)
{
	return retention->totals;
}

/* --- opening ------------------------------------------------------------------------------ */

static int count(struct retention *retention)
{
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(retention->db,
				      "SELECT count(*), sum(out_bytes + err_bytes)"
				      " FROM job INDEXED BY job_finished WHERE state > 1",
				      -1, &s, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
		retention->totals.jobs = sqlite3_column_int64(s, 0);
		retention->totals.output_bytes = sqlite3_column_int64(s, 1);
		code = SQLITE_OK;
	}
	sqlite3_finalize(s);
	return code;
}

/* The smallest unfinished id; when there is none, the first that may be given to a new job. */
static int find_walk_end(struct retention *retention)
{
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(
		retention->db,
		"SELECT ifnull((SELECT id FROM job WHERE state < 2 ORDER BY id LIMIT 1),"
		" 1 + " RETENTION_LAST_ID ")",
		-1, &s, NULL);

	if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
		retention->walk_end = (uint64_t)sqlite3_column_int64(s, 0);
		code = SQLITE_OK;
	}
	sqlite3_finalize(s);
	return code;
}

static int prepare(struct retention *retention)
{
	const struct {
		sqlite3_stmt **statement;
		const char *text;
	} all[] = {
		{ &retention->oldest,
		  "SELECT id, finished, out_bytes + err_bytes"
		  " FROM job INDEXED BY job_finished WHERE state > 1 ORDER BY finished" },
		{ &retention->find, "SELECT 1 FROM job WHERE id = ?1" },
		/* Found by name and value: the table's key begins with them. */
		{ &retention->remove_fields,
		  "DELETE FROM field WHERE id = ?1 AND (name, value) IN"
		  " (SELECT key, value FROM json_each((SELECT fields FROM job WHERE id = ?1)))" },
		{ &retention->remove_job, "DELETE FROM job WHERE id = ?1" },
		{ &retention->keep_id, "INSERT INTO meta(name, value) VALUES('last_id', ?1)"
				       " ON CONFLICT(name) DO UPDATE SET value = max(value, ?1)" },
	};
	int code = SQLITE_OK;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(retention->db, all[i].text, -1, SQLITE_PREPARE_PERSISTENT,
					  all[i].statement, NULL);
	return code;
}

int retention_open(sqlite3 *db, const struct store_keep *keep, struct retention **ret_retention)
{
	struct retention *retention = calloc(1, sizeof(*retention));
	int code;

	if (retention == NULL)
		return SQLITE_NOMEM;
	retention->db = db;
	if (keep != NULL)
		retention->keep = *keep;
	else
		retention->next_ns = BROOD_FOREVER;
	retention->walking = keep != NULL;
	code = sqlite3_exec(db, schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = count(retention);
	if (code == SQLITE_OK)
		code = find_walk_end(retention);
	if (code == SQLITE_OK)
		code = prepare(retention);
	if (code != SQLITE_OK) {
		retention_free(retention);
		return code;
	}
	*ret_retention = retention;
	return SQLITE_OK;
}

struct retention *retention_free(struct retention *retention)
{
	if (retention == NULL)
		return NULL;
	output_walk_fini(&retention->walk);
	sqlite3_finalize(retention->oldest);
	sqlite3_finalize(retention->find);
	sqlite3_finalize(retention->remove_fields);
	sqlite3_finalize(retention->remove_job);
	sqlite3_finalize(retention->keep_id);
	free(retention);
	return NULL;
}
