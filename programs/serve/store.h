/* serve/store.h - the jobs on disk: SQLite in WAL mode, one writer thread, group commit
 *
 * Writes are handed to the writer thread, which puts all that has come into one transaction
 * (synchronous=FULL: one fsync) and then reports each; the loop never waits for a disk. What was
 * reported done survives a power loss. Updates are not urgent (what they record is in the
 * keeper's journal too): they ride along with the next insert, or go after a short while. A transaction that fails (disk full) is reported for
 * inserts, which then did not happen; updates are kept and tried again each second, since what
 * they record has happened.
 *
 * Between its commits the writer also removes finished jobs of which there are too many
 * (serve/retention.h): a batch at a time, after the reports of what it wrote.
 *
 * Reads are for the loop's thread alone and see what is committed. */
#ifndef SERVE_STORE_H
#define SERVE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "serve/config.h"
#include "serve/job.h"

struct store;

/* What is kept of finished jobs, and the state directory, where their output lies. */
struct store_keep {
	struct retention_limits limits;
	int state_fd;
};

/* What becomes of a write; `result` is 0 or -errno (-ENOSPC, -EROFS, -EIO). */
typedef void store_done(void *self, uint64_t id, int result);

/* Opens or creates `path`; reports come in `event`'s loop. `keep` NULL: every job is kept. Returns 0,
 * or -errno with a reason. */
int store_open(sd_event *event, const char *path, const struct store_keep *keep,
	       struct store **ret_store, char *error, size_t size);

/* Writes out what is pending, then closes. */
struct store *store_close(struct store *store);

/* A new job with its body. Copies all. Returns 0 or -ENOMEM. */
int store_insert(struct store *store, const struct job_facts *facts, const char *body, size_t size,
		 store_done *done, void *self);

/* The job as it is now; its body goes once the state is final. Copies all. `done` may be NULL. */
int store_update(struct store *store, const struct job_facts *facts, store_done *done, void *self);

/* The same, for those who wait for it. */
int store_update_now(struct store *store, const struct job_facts *facts, store_done *done,
		     void *self);

/* Calls `done` when all writes so far were committed, however long the disk stays full. */
int store_sync(struct store *store, store_done *done, void *self);

/* Calls `done` when all writes so far were tried. */
int store_barrier(struct store *store, store_done *done, void *self);

/* How many writes are not done yet. */
size_t store_pending(const struct store *store);

/* Reads. The facts' `fields` is the caller's to free. Returns 0, -ENOENT, or -errno. */
int store_get(struct store *store, uint64_t id, struct job_facts *ret_facts);
int store_body(struct store *store, uint64_t id, char **ret_body, size_t *ret_size);

/* Whether the disk takes anything: 0, or the -errno of the last write. It is tried again each second. */
int store_error(struct store *store);

/* Other limits; they hold from the next look on, within a second. */
void store_set_limits(struct store *store, const struct retention_limits *limits);

struct store_totals {
	int64_t jobs, output_bytes; /* finished, and kept */
	uint64_t expired;           /* removed since the start */
};

struct store_totals store_totals(struct store *store);

/* The largest id that a job ever had, also one that was removed; 0 when there was none. */
int store_last_id(struct store *store, uint64_t *ret_id);

struct store_filter {
	int state;         /* -1: any */
	uint64_t oldest;   /* only ids >= this: a bound for states that only young jobs have */
	const char *route; /* NULL: any */
	const char *const *names, *const *values; /* log fields that must have these values */
	size_t n_fields;
	uint64_t before; /* only ids < this; 0: from the newest on */
	int limit;
};

/* Calls `each` for matching jobs, the newest first; facts live during the call only. Returns 0 or
 * -errno. */
int store_list(struct store *store, const struct store_filter *filter,
	       void (*each)(void *self, const struct job_facts *facts), void *self);

/* Calls `each` for jobs whose state is not final, the oldest first. */
int store_unfinished(struct store *store, void (*each)(void *self, const struct job_facts *facts),
		     void *self);

#endif
