#include "serve/store.h"

#include <brood/brood.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "serve/retention.h"

#define FORMAT 2 /* PRAGMA user_version */
#define BUSY 4   /* writes in one commit that mean load: then … */
/* … from one commit's start to the next one's, so that more ride on one fsync */
#define COMMIT_NS 1000000
#define AGAIN_NS BROOD_SEC /* until a disk that took nothing is tried again */
#define LAZY_US 20000      /* how long an update may wait for an insert to ride with */

static const char schema[] =
	"CREATE TABLE job("
	" id INTEGER PRIMARY KEY, route TEXT NOT NULL, fields TEXT NOT NULL, state INTEGER NOT NULL,"
	" exit_code INTEGER, signal INTEGER, pid INTEGER, created INTEGER, started INTEGER, finished INTEGER,"
	" run INTEGER, user INTEGER, system INTEGER, max_rss INTEGER, out_bytes INTEGER, err_bytes INTEGER,"
	" truncated INTEGER, reason TEXT, body BLOB, boot INTEGER);"
	/* The common end, success, stays out of the index: it is found by id soon enough. */
	"CREATE INDEX job_state ON job(state, id) WHERE state > 2;"
	"CREATE TABLE field(name TEXT NOT NULL, value TEXT NOT NULL, id INTEGER NOT NULL,"
	" PRIMARY KEY(name, value, id)) WITHOUT ROWID;"
	"PRAGMA application_id = 0x62726f64;"
	"PRAGMA user_version = 2;";

static const char from_format_1[] = "BEGIN IMMEDIATE;"
				    "ALTER TABLE job ADD COLUMN boot INTEGER;"
				    "PRAGMA user_version = 2;"
				    "COMMIT;";

#define COLUMNS                                                                                                     \
	"id, route, fields, state, exit_code, signal, pid, created, started, finished, run, user, system, max_rss," \
	" out_bytes, err_bytes, truncated, reason, boot"

enum kind { INSERT, UPDATE, BARRIER, SYNC };

struct op {
	struct op *next;
	enum kind kind;
	struct job_facts facts; /* fields: owned; NULL in an update */
	char *body;
	size_t size;
	store_done *done;
	void *self;
	int result;
};

struct list {
	struct op *first, **end;
};

struct store {
	sqlite3 *writer, *reader;
	sqlite3_stmt *begin, *commit, *rollback, *insert, *update, *field, *probe;
	sqlite3_stmt *get, *body;
	struct retention *retention; /* the writer's, as are its statements */
	sd_event_source *done_source, *lazy_timer;
	struct list lazy; /* updates that wait; the loop's thread's own */
	size_t pending;   /* likewise */
	bool lazy_armed;
	pthread_t thread;
	int event;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct list todo, finished;
	struct store_totals totals;
	bool closing;
	int error; /* of the last write; 0: it succeeded */
	bool limits_changed;
	struct retention_limits limits; /* for the writer to take over */
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_append(struct list *list, struct op *op)
{
	op->next = NULL;
	*list->end = op;
	list->end = &op->next;
}

static struct op *list_take(struct list *list)
{
	struct op *first = list->first;

	list_init(list);
	return first;
}

static void op_free(struct op *op)
{
	free(op->facts.fields);
	free(op->body);
	free(op);
}

static int error_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* Runs a prepared statement that gives no rows. */
static int run(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	sqlite3_reset(statement);
	return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : error_of(code);
}

/* --- the writer --------------------------------------------------------------------------- */

static int insert_fields(struct store *store, const struct op *op)
{
	json_t *fields;
	const char *name;
	json_t *value;
	int r = 0;

	if (strcmp(op->facts.fields, "{}") == 0)
		return 0;
	fields = json_loads(op->facts.fields, 0, NULL);
	json_object_foreach(fields, name, value)
	{
		sqlite3_bind_text(store->field, 1, name, -1, SQLITE_STATIC);
		sqlite3_bind_text(store->field, 2, json_string_value(value), -1, SQLITE_STATIC);
		sqlite3_bind_int64(store->field, 3, (int64_t)op->facts.id);
		r = run(store->field);
		if (r < 0)
			break;
	}
	json_decref(fields);
	return r;
}

static int write_insert(struct store *store, const struct op *op)
{
	sqlite3_stmt *s = store->insert;
	int r;

	sqlite3_bind_int64(s, 1, (int64_t)op->facts.id);
	sqlite3_bind_text(s, 2, op->facts.route, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, op->facts.fields, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 4, op->facts.state);
	sqlite3_bind_int64(s, 5, op->facts.created_ms);
	sqlite3_bind_blob64(s, 6, op->body, op->size, SQLITE_STATIC);
	sqlite3_bind_int64(s, 7, op->facts.boot);
	r = run(s);
	return r < 0 ? r : insert_fields(store, op);
}

static int write_update(struct store *store, const struct op *op)
{
	const struct job_facts *facts = &op->facts;
	sqlite3_stmt *s = store->update;
	int at = 1;

	sqlite3_bind_int(s, at++, facts->state);
	sqlite3_bind_int(s, at++, facts->exit_code);
	sqlite3_bind_int(s, at++, facts->signal);
	sqlite3_bind_int(s, at++, facts->pid);
	sqlite3_bind_int64(s, at++, facts->started_ms);
	sqlite3_bind_int64(s, at++, facts->finished_ms);
	sqlite3_bind_int64(s, at++, facts->run_ms);
	sqlite3_bind_int64(s, at++, facts->user_ms);
	sqlite3_bind_int64(s, at++, facts->system_ms);
	sqlite3_bind_int64(s, at++, facts->max_rss_bytes);
	sqlite3_bind_int64(s, at++, facts->bytes[0]);
	sqlite3_bind_int64(s, at++, facts->bytes[1]);
	sqlite3_bind_int(s, at++, facts->truncated);
	sqlite3_bind_text(s, at++, facts->reason, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, at++, facts->boot);
	sqlite3_bind_int(s, at++, job_is_final(facts->state));
	sqlite3_bind_int64(s, at, (int64_t)facts->id);
	return run(s);
}

static int write_all(struct store *store, const struct op *ops)
{
	int r = run(store->begin);

	if (r == 0 && store->error < 0)
		r = run(store->probe); /* so that something is written */
	for (const struct op *op = ops; r == 0 && op != NULL; op = op->next)
		if (op->kind == INSERT)
			r = write_insert(store, op);
		else if (op->kind == UPDATE)
			r = write_update(store, op);
	if (r == 0)
		r = run(store->commit);
	if (r < 0 && sqlite3_get_autocommit(store->writer) == 0)
		run(store->rollback);
	return r;
}

static void count_ends(struct store *store, const struct op *ops)
{
	for (; ops != NULL; ops = ops->next)
		if (ops->kind == UPDATE && job_is_final(ops->facts.state))
			retention_job_ended(store->retention,
					    ops->facts.bytes[0] + ops->facts.bytes[1]);
}

static size_t count_writes(const struct op *ops)
{
	size_t n = 0;

	for (; ops != NULL; ops = ops->next)
		n += ops->kind == INSERT || ops->kind == UPDATE;
	return n;
}

/* A START and an END of one job in one batch: the last one says it all. */
static void drop_superseded(struct op *ops)
{
	for (struct op *op = ops; op != NULL; op = op->next)
		for (struct op *later = op->kind == UPDATE ? op->next : NULL; later != NULL;
		     later = later->next)
			if (later->kind == UPDATE && later->facts.id == op->facts.id) {
				op->kind = BARRIER;
				break;
			}
}

/* After a failed transaction: what must not be lost goes back to the front. With the lock held. */
static void sort_out(struct store *store, struct op *ops, int result)
{
	struct list again, rest = store->todo;

	list_init(&again);
	for (struct op *op = ops, *next; op != NULL; op = next) {
		next = op->next;
		op->result = op->kind == INSERT ? result : 0;
		if ((op->kind == UPDATE || op->kind == SYNC) && result < 0)
			list_append(&again, op);
		else
			list_append(&store->finished, op);
	}
	if (again.first == NULL)
		return;
	*again.end = rest.first;
	store->todo.first = again.first;
	store->todo.end = rest.first != NULL ? rest.end : again.end;
}

static void tell(struct store *store)
{
	const uint64_t one = 1;

	if (write(store->event, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_event("store_fault", "what=eventfd errno=%d", errno);
}

/* Lets a moment pass since `*last`, under load, and takes the time anew. */
static void pace(struct timespec *last, size_t writes)
{
	struct timespec next = *last;

	if (writes < BUSY)
		return;

	next.tv_nsec += COMMIT_NS;
	if (next.tv_nsec >= 1000000000) {
		next.tv_nsec -= 1000000000;
		next.tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
		continue;
	clock_gettime(CLOCK_MONOTONIC, last);
}

/* Waits for writes, or until jobs are to be removed; after a failure, until the disk is to be tried
 * again. With the lock held. */
static void await_work(struct store *store)
{
	int64_t due = store->error < 0 ? brood_now() + AGAIN_NS : retention_due(store->retention);
	const struct timespec until = { .tv_sec = due / BROOD_SEC, .tv_nsec = due % BROOD_SEC };
	int r = 0;

	while (!store->closing && r != ETIMEDOUT &&
	       (store->error < 0 || (store->todo.first == NULL && !store->limits_changed)))
		r = pthread_cond_timedwait(&store->wake, &store->lock, &until);
}

/* After the writes were reported, so that they do not wait for it. With the lock held, but for the
 * removal itself. */
static void expire(struct store *store)
{
	if (store->limits_changed)
		retention_set_limits(store->retention, &store->limits);
	store->limits_changed = false;
	pthread_mutex_unlock(&store->lock);
	if (retention_due(store->retention) <= brood_now())
		retention_step(store->retention);
	pthread_mutex_lock(&store->lock);
	store->totals = retention_totals(store->retention);
}

static void *writer_main(void *argument)
{
	struct store *store = argument;
	struct timespec last = { .tv_sec = 0 };
	size_t writes = 0;
	bool was_closing;

	pthread_mutex_lock(&store->lock);
	for (;;) {
		struct op *ops;
		int r = 0;

		await_work(store);
		if (store->todo.first == NULL && store->closing)
			break;
		was_closing = store->closing;
		pthread_mutex_unlock(&store->lock);
		pace(&last, writes);
		pthread_mutex_lock(&store->lock);
		ops = list_take(&store->todo);
		pthread_mutex_unlock(&store->lock);
		drop_superseded(ops);
		writes = count_writes(ops);
		if (writes > 0 || store->error < 0)
			r = write_all(store, ops);
		if (r < 0 && writes > 0)
			log_event("store_failed", "error=\"%s\" detail=\"%s\"", strerror(-r),
				  sqlite3_errmsg(store->writer));
		else if (r == 0)
			count_ends(store, ops);
		pthread_mutex_lock(&store->lock);
		if (r == 0 && store->error < 0)
			log_event("store_recovered", "after=\"%s\"", strerror(-store->error));
		store->error = r;
		if (ops != NULL) {
			sort_out(store, ops, r);
			tell(store);
		}
		if (r < 0 && was_closing)
			break;
		if (!store->closing)
			expire(store);
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

/* Appends what is lazy, then `op` (NULL: nothing more), to the writer's list. */
static void hand_over(struct store *store, struct op *op)
{
	pthread_mutex_lock(&store->lock);
	if (store->todo.first == NULL)
		pthread_cond_signal(&store->wake);
	if (store->lazy.first != NULL) {
		*store->todo.end = store->lazy.first;
		store->todo.end = store->lazy.end;
		list_init(&store->lazy);
	}
	if (op != NULL)
		list_append(&store->todo, op);
	pthread_mutex_unlock(&store->lock);
}

static int on_lazy(sd_event_source *source, uint64_t now, void *argument)
{
	struct store *store = argument;

	(void)source, (void)now;
	store->lazy_armed = false;
	if (store->lazy.first != NULL)
		hand_over(store, NULL);
	return 0;
}

static int urgent(struct store *store, struct op *op)
{
	if (op == NULL)
		return -ENOMEM;
	store->pending++;
	hand_over(store, op);
	return 0;
}

/* The timer is left to run when an insert takes the updates along: setting it costs more than the
 * look that it then takes in vain. */
static int lazily(struct store *store, struct op *op)
{
	if (op == NULL)
		return -ENOMEM;
	store->pending++;
	list_append(&store->lazy, op);
	if (!store->lazy_armed) {
		store->lazy_armed = true;
		sd_event_source_set_time_relative(store->lazy_timer, LAZY_US);
		sd_event_source_set_enabled(store->lazy_timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

static struct op *op_new(enum kind kind, const struct job_facts *facts, store_done *done,
			 void *self)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	op->kind = kind;
	if (facts != NULL)
		op->facts = *facts;
	op->facts.fields = NULL;
	op->done = done;
	op->self = self;
	return op;
}

int store_insert(struct store *store, const struct job_facts *facts, const char *body, size_t size,
		 store_done *done, void *self)
{
	struct op *op = op_new(INSERT, facts, done, self);

	if (op == NULL)
		return -ENOMEM;
	op->facts.fields = strdup(facts->fields);
	op->body = malloc(size + 1);
	if (op->facts.fields == NULL || op->body == NULL) {
		op_free(op);
		return -ENOMEM;
	}
	op->size = size;
	memcpy(op->body, body, size);
	return urgent(store, op);
}

int store_update(struct store *store, const struct job_facts *facts, store_done *done, void *self)
{
	return lazily(store, op_new(UPDATE, facts, done, self));
}

int store_barrier(struct store *store, store_done *done, void *self)
{
	return urgent(store, op_new(BARRIER, NULL, done, self));
}

int store_update_now(struct store *store, const struct job_facts *facts, store_done *done,
		     void *self)
{
	return urgent(store, op_new(UPDATE, facts, done, self));
}

int store_sync(struct store *store, store_done *done, void *self)
{
	return urgent(store, op_new(SYNC, NULL, done, self));
}

size_t store_pending(const struct store *store)
{
	return store->pending;
}

int store_error(struct store *store)
{
	int error;

	pthread_mutex_lock(&store->lock);
	error = store->error;
	pthread_mutex_unlock(&store->lock);
	return error;
}

void store_set_limits(struct store *store, const struct retention_limits *limits)
{
	pthread_mutex_lock(&store->lock);
	store->limits = *limits;
	store->limits_changed = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
}

struct store_totals store_totals(struct store *store)
{
	struct store_totals totals;

	pthread_mutex_lock(&store->lock);
	totals = store->totals;
	pthread_mutex_unlock(&store->lock);
	return totals;
}

static void dispatch(struct store *store)
{
	struct op *ops;
	uint64_t count;

	if (read(store->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_event("store_fault", "what=eventfd errno=%d", errno);
	pthread_mutex_lock(&store->lock);
	ops = list_take(&store->finished);
	pthread_mutex_unlock(&store->lock);
	for (struct op *op = ops, *next; op != NULL; op = next) {
		next = op->next;
		store->pending--;
		if (op->done != NULL)
			op->done(op->self, op->facts.id, op->result);
		op_free(op);
	}
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *argument)
{
	(void)source, (void)fd, (void)events;
	dispatch(argument);
	return 0;
}

/* --- reads -------------------------------------------------------------------------------- */

static void read_facts(sqlite3_stmt *s, struct job_facts *facts)
{
	int at = 0;

	*facts = (struct job_facts){ .id = (uint64_t)sqlite3_column_int64(s, at++) };
	snprintf(facts->route, sizeof(facts->route), "%s",
		 (const char *)sqlite3_column_text(s, at++));
	facts->fields = (char *)(uintptr_t)sqlite3_column_text(s, at++);
	facts->state = (enum job_state)sqlite3_column_int(s, at++);
	facts->exit_code =
		sqlite3_column_type(s, at) == SQLITE_NULL ? -1 : sqlite3_column_int(s, at);
	at++;
	facts->signal = sqlite3_column_int(s, at++);
	facts->pid = sqlite3_column_int(s, at++);
	facts->created_ms = sqlite3_column_int64(s, at++);
	facts->started_ms = sqlite3_column_int64(s, at++);
	facts->finished_ms = sqlite3_column_int64(s, at++);
	facts->run_ms = sqlite3_column_int64(s, at++);
	facts->user_ms = sqlite3_column_int64(s, at++);
	facts->system_ms = sqlite3_column_int64(s, at++);
	facts->max_rss_bytes = sqlite3_column_int64(s, at++);
	facts->bytes[0] = sqlite3_column_int64(s, at++);
	facts->bytes[1] = sqlite3_column_int64(s, at++);
	facts->truncated = sqlite3_column_int(s, at++) != 0;
	if (sqlite3_column_type(s, at) != SQLITE_NULL)
		snprintf(facts->reason, sizeof(facts->reason), "%s",
			 (const char *)sqlite3_column_text(s, at));
	facts->boot = sqlite3_column_int64(s, at + 1);
}

int store_get(struct store *store, uint64_t id, struct job_facts *ret_facts)
{
	struct job_facts facts;
	int code, r = 0;

	sqlite3_bind_int64(store->get, 1, (int64_t)id);
	code = sqlite3_step(store->get);
	if (code == SQLITE_ROW) {
		read_facts(store->get, &facts);
		facts.fields = strdup(facts.fields);
		r = facts.fields == NULL ? -ENOMEM : 0;
		if (r == 0)
			*ret_facts = facts;
	} else {
		r = code == SQLITE_DONE ? -ENOENT : error_of(code);
	}
	sqlite3_reset(store->get);
	return r;
}

int store_body(struct store *store, uint64_t id, char **ret_body, size_t *ret_size)
{
	int code, r = 0;

	sqlite3_bind_int64(store->body, 1, (int64_t)id);
	code = sqlite3_step(store->body);
	if (code == SQLITE_ROW && sqlite3_column_type(store->body, 0) != SQLITE_NULL) {
		size_t size = (size_t)sqlite3_column_bytes(store->body, 0);
		char *body = malloc(size + 1);

		if (body != NULL) {
			if (size > 0)
				memcpy(body, sqlite3_column_blob(store->body, 0), size);
			*ret_body = body;
			*ret_size = size;
		} else {
			r = -ENOMEM;
		}
	} else {
		r = code == SQLITE_DONE || code == SQLITE_ROW ? -ENOENT : error_of(code);
	}
	sqlite3_reset(store->body);
	return r;
}

int store_last_id(struct store *store, uint64_t *ret_id)
{
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(store->reader, "SELECT " RETENTION_LAST_ID, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*ret_id = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return code == SQLITE_ROW ? 0 : error_of(code);
}

/* Steps a statement over its rows, and finalizes it. */
static int each_row(sqlite3_stmt *s, void (*each)(void *self, const struct job_facts *facts),
		    void *self)
{
	struct job_facts facts;
	int code;

	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		read_facts(s, &facts);
		each(self, &facts);
	}
	sqlite3_finalize(s);
	return code == SQLITE_DONE ? 0 : error_of(code);
}

int store_unfinished(struct store *store, void (*each)(void *self, const struct job_facts *facts),
		     void *self)
{
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(store->reader,
			       "SELECT " COLUMNS " FROM job WHERE state < 2 ORDER BY id", -1, &s,
			       NULL) != SQLITE_OK)
		return error_of(sqlite3_errcode(store->reader));
	return each_row(s, each, self);
}

/* Only words of ours go into the text; every value is bound. */
static int list_text(const struct store_filter *filter, char *text, size_t size)
{
	size_t at = (size_t)snprintf(text, size,
				     "SELECT " COLUMNS " FROM job WHERE id < ?1 AND id >= ?2");

	if (filter->state > JOB_SUCCEEDED)
		at += (size_t)snprintf(text + at, size - at, " AND state > 2");
	if (filter->state >= 0)
		at += (size_t)snprintf(text + at, size - at, " AND state = %d", filter->state);
	if (filter->route != NULL)
		at += (size_t)snprintf(text + at, size - at, " AND route = ?3");
	for (size_t i = 0; i < filter->n_fields && at < size; i++)
		at += (size_t)snprintf(
			text + at, size - at,
			" AND id IN (SELECT id FROM field WHERE name = ?%zu AND value = ?%zu)",
			2 * i + 5, 2 * i + 6);
	if (at < size)
		at += (size_t)snprintf(text + at, size - at, " ORDER BY id DESC LIMIT ?4");
	return at < size ? 0 : -E2BIG;
}

int store_list(struct store *store, const struct store_filter *filter,
	       void (*each)(void *self, const struct job_facts *facts), void *self)
{
	char text[4096];
	sqlite3_stmt *s;
	int r = list_text(filter, text, sizeof(text));

	if (r < 0)
		return r;
	if (sqlite3_prepare_v2(store->reader, text, -1, &s, NULL) != SQLITE_OK)
		return error_of(sqlite3_errcode(store->reader));
	sqlite3_bind_int64(s, 1, filter->before != 0 ? (int64_t)filter->before : INT64_MAX);
	sqlite3_bind_int64(s, 2, (int64_t)filter->oldest);
	sqlite3_bind_text(s, 3, filter->route, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 4, filter->limit);
	for (size_t i = 0; i < filter->n_fields; i++) {
		sqlite3_bind_text(s, (int)(2 * i + 5), filter->names[i], -1, SQLITE_STATIC);
		sqlite3_bind_text(s, (int)(2 * i + 6), filter->values[i], -1, SQLITE_STATIC);
	}
	return each_row(s, each, self);
}

/* --- opening ------------------------------------------------------------------------------ */

static int number_of(sqlite3 *db, const char *text)
{
	sqlite3_stmt *s;
	int value = -1;

	if (sqlite3_prepare_v2(db, text, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		value = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return value;
}

static int prepare_schema(struct store *store, char *error, size_t size)
{
	int format;

	if (sqlite3_exec(
		    store->writer,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-1024;"
		    " PRAGMA wal_autocheckpoint=4000;",
		    NULL, NULL, NULL) != SQLITE_OK)
		goto failed;
	format = number_of(store->writer, "PRAGMA user_version");
	if (format == 0 && number_of(store->writer, "SELECT count(*) FROM sqlite_schema") == 0) {
		if (sqlite3_exec(store->writer, "BEGIN IMMEDIATE;", NULL, NULL, NULL) !=
			    SQLITE_OK ||
		    sqlite3_exec(store->writer, schema, NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(store->writer, "COMMIT;", NULL, NULL, NULL) != SQLITE_OK)
			goto failed;
		return 0;
	}
	if (format == 1) {
		if (sqlite3_exec(store->writer, from_format_1, NULL, NULL, NULL) != SQLITE_OK)
			goto failed;
		return 0;
	}
	if (format == FORMAT)
		return 0;
	snprintf(error, size, "is a database of format %d, not %d", format, FORMAT);
	return -EPROTO;
failed:
	snprintf(error, size, "%s", sqlite3_errmsg(store->writer));
	return error_of(sqlite3_errcode(store->writer));
}

static int prepare_statements(struct store *store, char *error, size_t size)
{
	const struct {
		sqlite3 *db;
		sqlite3_stmt **statement;
		const char *text;
	} all[] = {
		{ store->writer, &store->begin, "BEGIN IMMEDIATE" },
		{ store->writer, &store->commit, "COMMIT" },
		{ store->writer, &store->rollback, "ROLLBACK" },
		{ store->writer, &store->insert,
		  "INSERT INTO job(id, route, fields, state, created, body, boot) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)" },
		{ store->writer, &store->update,
		  "UPDATE job SET state=?1, exit_code=?2, signal=?3, pid=?4, started=?5, finished=?6, run=?7, user=?8,"
		  " system=?9, max_rss=?10, out_bytes=?11, err_bytes=?12, truncated=?13, reason=?14,"
		  " boot=?15, body=CASE ?16 WHEN 1 THEN NULL ELSE body END WHERE id=?17" },
		{ store->writer, &store->field,
		  "INSERT OR IGNORE INTO field(name, value, id) VALUES(?1, ?2, ?3)" },
		{ store->writer, &store->probe,
		  "INSERT OR REPLACE INTO meta(name, value) VALUES('tried', unixepoch())" },
		{ store->reader, &store->get, "SELECT " COLUMNS " FROM job WHERE id=?1" },
		{ store->reader, &store->body, "SELECT body FROM job WHERE id=?1" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (sqlite3_prepare_v3(all[i].db, all[i].text, -1, SQLITE_PREPARE_PERSISTENT,
				       all[i].statement, NULL) != SQLITE_OK) {
			snprintf(error, size, "%s", sqlite3_errmsg(all[i].db));
			return error_of(sqlite3_errcode(all[i].db));
		}
	return 0;
}

static int open_retention(struct store *store, const struct store_keep *keep, char *error,
			  size_t size)
{
	int code = retention_open(store->writer, keep, &store->retention);

	if (code != SQLITE_OK) {
		snprintf(error, size, "%s", sqlite3_errmsg(store->writer));
		return error_of(code);
	}
	store->totals = retention_totals(store->retention);
	return 0;
}

static struct store *store_free(struct store *store)
{
	sqlite3_stmt *all[] = { store->begin,  store->commit, store->rollback,
				store->insert, store->update, store->field,
				store->probe,  store->get,    store->body };

	sd_event_source_disable_unref(store->done_source);
	sd_event_source_disable_unref(store->lazy_timer);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sqlite3_finalize(all[i]);
	retention_free(store->retention);
	sqlite3_close(store->reader);
	sqlite3_close(store->writer);
	if (store->event >= 0)
		close(store->event);
	pthread_cond_destroy(&store->wake);
	pthread_mutex_destroy(&store->lock);
	free(store);
	return NULL;
}

static int open_database(const char *path, sqlite3 **ret_db, char *error, size_t size)
{
	int code = sqlite3_open_v2(path, ret_db,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				   NULL);

	if (code != SQLITE_OK) {
		snprintf(error, size, "%s",
			 *ret_db != NULL ? sqlite3_errmsg(*ret_db) : sqlite3_errstr(code));
		return error_of(code);
	}
	sqlite3_busy_timeout(*ret_db, 5000);
	return 0;
}

static int open_sources(struct store *store, sd_event *event)
{
	int r = sd_event_add_io(event, &store->done_source, store->event, EPOLLIN, on_done, store);

	if (r >= 0)
		r = sd_event_add_time_relative(event, &store->lazy_timer, CLOCK_MONOTONIC, 0, 1000,
					       on_lazy, store);
	if (r >= 0)
		r = sd_event_source_set_enabled(store->lazy_timer, SD_EVENT_OFF);
	return r < 0 ? r : 0;
}

/* Of the monotonic clock: a clock that is set must not stretch a wait. */
static void init_wake(pthread_cond_t *wake)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int store_open(sd_event *event, const char *path, const struct store_keep *keep,
	       struct store **ret_store, char *error, size_t size)
{
	struct store *store = calloc(1, sizeof(*store));
	int r;

	if (store == NULL) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&store->lock, NULL);
	init_wake(&store->wake);
	list_init(&store->lazy);
	list_init(&store->todo);
	list_init(&store->finished);
	store->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = store->event < 0 ? -errno : open_database(path, &store->writer, error, size);
	if (r == 0)
		r = prepare_schema(store, error, size);
	if (r == 0)
		r = open_retention(store, keep, error, size);
	if (r == 0)
		r = open_database(path, &store->reader, error, size);
	if (r == 0)
		r = prepare_statements(store, error, size);
	if (r == 0)
		r = open_sources(store, event);
	if (r == 0) {
		r = -pthread_create(&store->thread, NULL, writer_main, store);
		if (r < 0)
			snprintf(error, size, "thread: %s", strerror(-r));
	}
	if (r < 0) {
		store_free(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

struct store *store_close(struct store *store)
{
	if (store == NULL)
		return NULL;
	if (store->lazy.first != NULL)
		hand_over(store, NULL);
	pthread_mutex_lock(&store->lock);
	store->closing = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->thread, NULL);
	dispatch(store);
	for (struct op *op = list_take(&store->todo), *next; op != NULL; op = next) {
		next = op->next;
		op_free(op);
	}
	return store_free(store);
}
