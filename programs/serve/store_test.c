#include "serve/store.h"

#include <brood/base.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "serve/id.h"
#include "serve/output.h"
#include "tests/unit/leak.h"

static sd_event *event;
static struct store *store;

static void open_store(void)
{
	char error[256] = "";

	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_msg(
		store_open(event, scratch_path("jobs.db"), NULL, &store, error, sizeof(error)) == 0,
		"%s", error);
}

static void close_store(void)
{
	store = store_close(store);
	event = sd_event_unref(event);
}

/* What `done` was told. */
static struct {
	int calls, last;
	uint64_t id;
} told;

static void on_done(void *self, uint64_t id, int result)
{
	(void)self;
	told.calls++;
	told.last = result;
	told.id = id;
}

/* Runs the loop until `done` was called so often. */
static void await(int calls)
{
	for (int i = 0; told.calls < calls && i < 1000; i++)
		ck_assert_int_ge(sd_event_run(event, 10000), 0);
	ck_assert_int_eq(told.calls, calls);
}

static struct job_facts facts_of(uint64_t id, const char *route, const char *fields)
{
	struct job_facts facts = { .id = id,
				   .fields = (char *)(uintptr_t)fields,
				   .exit_code = -1,
				   .created_ms = 1000 + (int64_t)id };

	snprintf(facts.route, sizeof(facts.route), "%s", route);
	return facts;
}

static void insert(uint64_t id, const char *route, const char *fields)
{
	struct job_facts facts = facts_of(id, route, fields);
	int before = told.calls;

	ck_assert_int_eq(store_insert(store, &facts, "body", 4, on_done, NULL), 0);
	await(before + 1);
	ck_assert_int_eq(told.last, 0);
	ck_assert_uint_eq(told.id, id);
}

static void end(uint64_t id, const char *route, enum job_state state)
{
	struct job_facts facts = facts_of(id, route, "{}");
	int before = told.calls;

	facts.state = state;
	facts.exit_code = state == JOB_SUCCEEDED ? 0 : 3;
	facts.finished_ms = 9000;
	snprintf(facts.reason, sizeof(facts.reason), "because");
	ck_assert_int_eq(store_update(store, &facts, on_done, NULL), 0);
	await(before + 1);
}

START_TEST(what_was_reported_done_is_there_after_a_restart)
{
	struct job_facts facts;
	char *body;
	size_t size;
	uint64_t last;

	open_store();
	insert(7, "a", "{\"requestId\":\"x\"}");
	close_store();
	open_store();
	ck_assert_int_eq(store_get(store, 7, &facts), 0);
	ck_assert_str_eq(facts.route, "a");
	ck_assert_str_eq(facts.fields, "{\"requestId\":\"x\"}");
	ck_assert_int_eq(facts.state, JOB_QUEUED);
	ck_assert_int_eq(facts.exit_code, -1);
	ck_assert_int_eq(facts.created_ms, 1007);
	free(facts.fields);
	ck_assert_int_eq(store_body(store, 7, &body, &size), 0);
	ck_assert_mem_eq(body, "body", 4);
	ck_assert_uint_eq(size, 4);
	free(body);
	ck_assert_int_eq(store_last_id(store, &last), 0);
	ck_assert_uint_eq(last, 7);
	ck_assert_int_eq(store_get(store, 8, &facts), -ENOENT);
	ck_assert_int_eq(store_body(store, 8, &body, &size), -ENOENT);
	close_store();
}
END_TEST

START_TEST(an_update_comes_without_an_insert_and_the_body_goes_with_the_end)
{
	struct job_facts facts;
	char *body;
	size_t size;

	open_store();
	insert(1, "a", "{}");
	end(1, "a", JOB_FAILED);
	ck_assert_uint_eq(store_pending(store), 0);
	ck_assert_int_eq(store_get(store, 1, &facts), 0);
	ck_assert_int_eq(facts.state, JOB_FAILED);
	ck_assert_int_eq(facts.exit_code, 3);
	ck_assert_str_eq(facts.reason, "because");
	free(facts.fields);
	ck_assert_int_eq(store_body(store, 1, &body, &size), -ENOENT);
	close_store();
}
END_TEST

START_TEST(closing_writes_what_waits)
{
	struct job_facts facts = facts_of(1, "a", "{}");

	open_store();
	ck_assert_int_eq(store_insert(store, &facts, "", 0, on_done, NULL), 0);
	facts.state = JOB_SUCCEEDED;
	facts.exit_code = 0;
	ck_assert_int_eq(store_update(store, &facts, on_done, NULL), 0);
	close_store();
	ck_assert_int_eq(told.calls, 2);
	open_store();
	ck_assert_int_eq(store_get(store, 1, &facts), 0);
	ck_assert_int_eq(facts.state, JOB_SUCCEEDED);
	free(facts.fields);
	close_store();
}
END_TEST

static char listed[256];

static void list_one(void *self, const struct job_facts *facts)
{
	size_t at = strlen(listed);

	(void)self;
	snprintf(listed + at, sizeof(listed) - at, "%llu ", (unsigned long long)facts->id);
}

static const char *list(struct store_filter filter)
{
	listed[0] = '\0';
	if (filter.limit == 0)
		filter.limit = 100;
	ck_assert_int_eq(store_list(store, &filter, list_one, NULL), 0);
	return listed;
}

START_TEST(lists_are_filtered_and_paged_from_the_newest_on)
{
	const char *const names[] = { "requestId", "line" }, *const values[] = { "x", "U4" };

	open_store();
	insert(1, "a", "{\"requestId\":\"x\",\"line\":\"U4\"}");
	insert(2, "b", "{\"requestId\":\"x\"}");
	insert(3, "a", "{\"requestId\":\"y\"}");
	insert(4, "a", "{}");
	end(2, "b", JOB_SUCCEEDED);
	end(3, "a", JOB_LOST);
	ck_assert_str_eq(list((struct store_filter){ .state = -1 }), "4 3 2 1 ");
	ck_assert_str_eq(list((struct store_filter){ .state = -1, .limit = 2 }), "4 3 ");
	ck_assert_str_eq(list((struct store_filter){ .state = -1, .before = 3, .limit = 2 }),
			 "2 1 ");
	ck_assert_str_eq(list((struct store_filter){ .state = JOB_QUEUED }), "4 1 ");
	ck_assert_str_eq(list((struct store_filter){ .state = JOB_QUEUED, .oldest = 2 }), "4 ");
	ck_assert_str_eq(list((struct store_filter){ .state = JOB_SUCCEEDED }), "2 ");
	ck_assert_str_eq(list((struct store_filter){ .state = JOB_LOST }), "3 ");
	ck_assert_str_eq(list((struct store_filter){ .state = -1, .route = "a" }), "4 3 1 ");
	ck_assert_str_eq(list((struct store_filter){ .state = -1, .route = "a' OR 1 --" }), "");
	ck_assert_str_eq(list((struct store_filter){
				 .state = -1, .names = names, .values = values, .n_fields = 1 }),
			 "2 1 ");
	ck_assert_str_eq(list((struct store_filter){
				 .state = -1, .names = names, .values = values, .n_fields = 2 }),
			 "1 ");
	listed[0] = '\0';
	ck_assert_int_eq(store_unfinished(store, list_one, NULL), 0);
	ck_assert_str_eq(listed, "1 4 ");
	close_store();
}
END_TEST

START_TEST(a_thousand_writes_in_any_batches_all_arrive)
{
	struct job_facts facts = facts_of(0, "a", "{}");

	open_store();
	for (uint64_t id = 1; id <= 500; id++) {
		facts.id = id;
		facts.state = JOB_QUEUED;
		ck_assert_int_eq(store_insert(store, &facts, "b", 1, on_done, NULL), 0);
		facts.state = JOB_RUNNING;
		ck_assert_int_eq(store_update(store, &facts, NULL, NULL), 0);
		facts.state = JOB_SUCCEEDED;
		ck_assert_int_eq(store_update(store, &facts, on_done, NULL), 0);
		if (id % 50 == 0)
			sd_event_run(event, 1000);
	}
	await(1000);
	ck_assert_int_eq(store_barrier(store, on_done, NULL), 0);
	await(1001);
	ck_assert_uint_eq(store_pending(store), 0);
	listed[0] = '\0';
	ck_assert_int_eq(store_unfinished(store, list_one, NULL), 0);
	ck_assert_str_eq(listed, "");
	close_store();
}
END_TEST

/* A full disk, as a file that may not grow: inserts are told, updates are tried until they succeed. */
START_TEST(no_space_is_told_to_inserts_and_survived_by_updates)
{
	static char body[1 << 20];
	struct rlimit none, before;
	struct job_facts facts = facts_of(2, "a", "{}");

	signal(SIGXFSZ, SIG_IGN);
	open_store();
	insert(1, "a", "{}");
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 1, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	ck_assert_int_eq(store_insert(store, &facts, body, sizeof(body), on_done, NULL), 0);
	await(2);
	ck_assert_int_lt(told.last, 0);
	facts = facts_of(1, "a", "{}");
	facts.state = JOB_SUCCEEDED;
	ck_assert_int_eq(store_update(store, &facts, on_done, NULL), 0);
	for (int i = 0; i < 20; i++)
		sd_event_run(event, 10000);
	ck_assert_int_eq(told.calls, 2);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	await(3);
	ck_assert_str_eq(list((struct store_filter){ .state = JOB_SUCCEEDED }), "1 ");
	ck_assert_str_eq(list((struct store_filter){ .state = -1 }), "1 ");
	close_store();
}
END_TEST

/* --- retention ---------------------------------------------------------------------------- */

static int state_fd;

static void open_keeping(struct retention_limits limits)
{
	const struct store_keep keep = { limits,
					 open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char error[256] = "";

	state_fd = keep.state_fd;
	ck_assert_int_ge(state_fd, 0);
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_msg(store_open(event, scratch_path("jobs.db"), &keep, &store, error,
				 sizeof(error)) == 0,
		      "%s", error);
}

static void close_keeping(void)
{
	close_store();
	close(state_fd);
}

static void write_file(uint64_t id, int which, size_t size)
{
	int fd = output_create(state_fd, id, which, false);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/* A job that ended at that time and wrote so much. */
static void ended_job(uint64_t id, int64_t finished_ms, size_t out)
{
	struct job_facts facts = facts_of(id, "a", "{\"requestId\":\"x\\u0001\\\"\",\"b\":\"\"}");
	int before = told.calls;

	write_file(id, 0, out);
	ck_assert_int_eq(store_insert(store, &facts, "body", 4, on_done, NULL), 0);
	facts.state = JOB_SUCCEEDED;
	facts.finished_ms = finished_ms;
	facts.bytes[0] = (int64_t)out;
	ck_assert_int_eq(store_update(store, &facts, on_done, NULL), 0);
	await(before + 2);
}

/* The jobs of which there are output files, from `first` to `last`. */
static const char *files(uint64_t first, uint64_t last)
{
	static char found[256];

	found[0] = '\0';
	for (uint64_t id = first; id <= last; id++) {
		int fd = output_open(state_fd, id, 0);
		size_t at = strlen(found);

		if (fd < 0)
			continue;
		close(fd);
		snprintf(found + at, sizeof(found) - at, "%llu ", (unsigned long long)id);
	}
	return found;
}

static void await_expired(uint64_t n)
{
	for (int i = 0; store_totals(store).expired < n && i < 3000; i++)
		sd_event_run(event, 10000);
	ck_assert_uint_eq(store_totals(store).expired, n);
}

/* Long enough for a look at the limits. */
static void let_it_look(void)
{
	const int64_t until = brood_now() + 3 * BROOD_SEC / 2;

	while (brood_now() < until)
		sd_event_run(event, 10000);
}

/* One number from the file itself. */
static int64_t number(const char *query)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	int64_t value;

	ck_assert_int_eq(sqlite3_open(scratch_path("jobs.db"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, query, -1, &s, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return value;
}

static const char *all(void)
{
	return list((struct store_filter){ .state = -1 });
}

START_TEST(beyond_the_number_the_first_that_ended_go)
{
	open_keeping((struct retention_limits){ .jobs = 3 });
	insert(1, "a", "{\"requestId\":\"queued\"}");
	ended_job(2, 5000, 10);
	ended_job(3, 1000, 10);
	ended_job(4, 2000, 10);
	ended_job(5, 4000, 10);
	ended_job(6, 3000, 10);
	await_expired(2);
	ck_assert_str_eq(all(), "6 5 2 1 ");
	ck_assert_str_eq(files(1, 6), "2 5 6 ");
	ck_assert_int_eq(store_totals(store).jobs, 3);
	ck_assert_int_eq(store_totals(store).output_bytes, 30);
	ck_assert_int_eq(number("SELECT count(*) FROM field WHERE id NOT IN (SELECT id FROM job)"),
			 0);
	ck_assert_int_eq(number("SELECT count(*) FROM field"), 7);
	close_keeping();
}
END_TEST

START_TEST(beyond_the_bytes_the_first_that_ended_go)
{
	open_keeping((struct retention_limits){ .output = 100 });
	ended_job(1, 1000, 60);
	ended_job(2, 2000, 0);
	ended_job(3, 3000, 40);
	let_it_look();
	ck_assert_str_eq(all(), "3 2 1 "); /* a hundred is not beyond a hundred */
	ended_job(4, 4000, 1);
	await_expired(1);
	ck_assert_str_eq(all(), "4 3 2 ");
	ck_assert_str_eq(files(1, 4), "2 3 4 ");
	ended_job(5, 5000, 101);
	await_expired(5);
	ck_assert_str_eq(all(), "");
	ck_assert_int_eq(store_totals(store).output_bytes, 0);
	close_keeping();
}
END_TEST

START_TEST(beyond_the_age_jobs_go_by_their_end)
{
	int64_t now = realtime_ms();

	open_keeping((struct retention_limits){ .age_ns = 0 });
	insert(1, "a", "{}");
	ended_job(2, now - 7200 * 1000, 1);
	ended_job(3, now - 1800 * 1000, 1);
	ended_job(4, now - 3601 * 1000, 1);
	ended_job(5, now + 7200 * 1000, 1); /* the clock was set back since */
	close_keeping();

	open_keeping((struct retention_limits){ .age_ns = 3600 * BROOD_SEC });
	await_expired(2);
	ck_assert_str_eq(all(), "5 3 1 ");
	close_keeping();
}
END_TEST

START_TEST(without_limits_all_is_kept)
{
	open_keeping((struct retention_limits){ .jobs = 0 });
	ended_job(1, 1, 1 << 20);
	ended_job(2, 1, 1 << 20);
	let_it_look();
	ck_assert_str_eq(all(), "2 1 ");
	ck_assert_uint_eq(store_totals(store).expired, 0);
	close_keeping();
}
END_TEST

START_TEST(many_go_in_batches_between_writes)
{
	struct job_facts facts = facts_of(0, "a", "{\"requestId\":\"x\"}");
	struct stat wal;

	open_store();
	for (uint64_t id = 1; id <= 5000; id++) {
		facts.id = id;
		facts.state = JOB_QUEUED;
		ck_assert_int_eq(store_insert(store, &facts, "", 0, NULL, NULL), 0);
		facts.state = id % 1000 == 0 ? JOB_RUNNING : JOB_FAILED;
		facts.finished_ms = (int64_t)id;
		ck_assert_int_eq(store_update(store, &facts, NULL, NULL), 0);
	}
	close_store();
	open_keeping((struct retention_limits){ .jobs = 3 });
	ck_assert_int_eq(store_totals(store).jobs, 4995);
	for (uint64_t id = 5001; store_totals(store).expired == 0 || id < 5004; id++)
		insert(id, "a", "{}");
	await_expired(4992);
	ck_assert_int_eq(number("SELECT count(*) FROM job WHERE state > 1"), 3);
	ck_assert_int_eq(number("SELECT min(id) FROM job WHERE state > 1"), 4997);
	ck_assert_int_eq(number("SELECT count(*) FROM job WHERE state = 1"), 5);
	ck_assert_int_ge(number("SELECT count(*) FROM job WHERE state = 0"), 3);
	ck_assert_int_eq(number("SELECT count(*) FROM field"), 8);
	ck_assert_int_eq(stat(scratch_path("jobs.db-wal"), &wal), 0);
	ck_assert_int_lt(wal.st_size, 32 << 20);
	close_keeping();
}
END_TEST

START_TEST(killed_between_files_and_rows_the_next_start_removes_the_rows)
{
	const uint64_t gone[] = { 1, 2 };

	open_keeping((struct retention_limits){ .jobs = 9 });
	for (uint64_t id = 1; id <= 4; id++)
		ended_job(id, (int64_t)id, 10);
	ck_assert_int_eq(output_remove(state_fd, gone, 2), 0);
	close_keeping();

	open_keeping((struct retention_limits){ .jobs = 2 });
	await_expired(2);
	ck_assert_str_eq(all(), "4 3 ");
	ck_assert_str_eq(files(1, 4), "3 4 ");
	ck_assert_int_eq(store_totals(store).output_bytes, 20);
	close_keeping();

	open_keeping((struct retention_limits){ .jobs = 2 });
	let_it_look();
	ck_assert_str_eq(all(), "4 3 ");
	ck_assert_str_eq(files(1, 4), "3 4 ");
	close_keeping();
}
END_TEST

static bool is_there(const char *name)
{
	struct stat st;

	return stat(scratch_path(name), &st) == 0;
}

static void touch(const char *name)
{
	int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* Job 3 is not over; 1 and 4 have no row. */
START_TEST(files_that_no_job_names_go_at_the_start)
{
	const char *const inputs[] = { "input/0000000000001", "input/0000000000002",
				       "input/0000000000003", "input/0000000000004", "input/x" };

	open_keeping((struct retention_limits){ .jobs = 0 });
	ended_job(2, 1, 1);
	insert(3, "a", "{}");
	for (uint64_t id = 1; id <= 4; id++)
		write_file(id, 0, 1);
	write_file(1, 1, 1);
	touch("output/0000/other");
	ck_assert_int_eq(mkdir(scratch_path("output/0001"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch_path("input"), 0700), 0);
	for (int i = 0; i < 5; i++)
		touch(inputs[i]);
	close_keeping();

	open_keeping((struct retention_limits){ .jobs = 0 });
	for (int i = 0; is_there(inputs[1]) && i < 1000; i++)
		sd_event_run(event, 10000);
	ck_assert_str_eq(files(1, 4), "2 3 4 ");
	ck_assert(!is_there("output/0000/0000000000001.err"));
	ck_assert(!is_there("output/0001"));
	ck_assert(is_there("output/0000/other"));
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(is_there(inputs[i]), i >= 2);
	end(3, "a", JOB_SUCCEEDED);
	close_keeping();

	open_keeping((struct retention_limits){ .jobs = 0 });
	for (int i = 0; is_there(inputs[2]) && i < 1000; i++)
		sd_event_run(event, 10000);
	ck_assert(!is_there(inputs[2]));
	ck_assert_str_eq(files(1, 4), "2 3 4 "); /* no id beyond the last one is known to be old */
	close_keeping();
}
END_TEST

START_TEST(an_emptied_folder_goes_and_comes_again)
{
	open_keeping((struct retention_limits){ .jobs = 1 });
	ended_job(1, 1, 1);
	ended_job(UINT64_C(1) << 60, 2, 1);
	await_expired(1);
	ck_assert(!is_there("output/0000"));
	write_file(2, 0, 1);
	ck_assert(is_there("output/0000/0000000000002.out"));
	close_keeping();
}
END_TEST

static _Atomic bool over;
static _Atomic int removals; /* that are still to come */

static void *remove_folder(void *argument)
{
	(void)argument;
	while (!over)
		if (removals > 0 && unlinkat(state_fd, "output/0000", AT_REMOVEDIR) == 0)
			removals--;
		else
			sched_yield();
	return NULL;
}

START_TEST(a_folder_may_go_while_a_file_of_it_is_made)
{
	const uint64_t id = 1;
	pthread_t thread;

	open_keeping((struct retention_limits){ .jobs = 0 });
	ck_assert_int_eq(pthread_create(&thread, NULL, remove_folder, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		removals = 3;
		write_file(id, 0, 1);
		ck_assert_int_eq(output_remove(state_fd, &id, 1), 0);
	}
	over = true;
	pthread_join(thread, NULL);
	close_keeping();
}
END_TEST

START_TEST(the_id_of_a_removed_job_is_remembered)
{
	uint64_t last;

	open_keeping((struct retention_limits){ .age_ns = BROOD_SEC });
	ended_job(8, 1000, 1);
	ended_job(9, 1000, 1);
	ended_job(4, 1000, 1);
	await_expired(3);
	ck_assert_int_eq(store_last_id(store, &last), 0);
	ck_assert_uint_eq(last, 9);
	insert(10, "a", "{}");
	ck_assert_int_eq(store_last_id(store, &last), 0);
	ck_assert_uint_eq(last, 10);
	end(10, "a", JOB_FAILED);
	await_expired(4);
	close_keeping();

	open_store();
	ck_assert_str_eq(all(), "");
	ck_assert_int_eq(store_last_id(store, &last), 0);
	ck_assert_uint_eq(last, 10);
	close_store();
}
END_TEST

START_TEST(a_database_of_another_format_is_refused)
{
	sqlite3 *db;
	char error[256];

	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_eq(sqlite3_open(scratch_path("jobs.db"), &db), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_exec(db, "CREATE TABLE x(y); PRAGMA user_version = 99;", NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	ck_assert_int_eq(
		store_open(event, scratch_path("jobs.db"), NULL, &store, error, sizeof(error)),
		-EPROTO);
	ck_assert_str_eq(error, "is a database of format 99, not 2");
	event = sd_event_unref(event);
}
END_TEST

START_TEST(what_is_no_database_or_cannot_be_opened_is_refused)
{
	FILE *file = fopen(scratch_path("jobs.db"), "w");
	char error[256] = "";

	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 1000; i++)
		fputs("not a database ", file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_int_lt(
		store_open(event, scratch_path("jobs.db"), NULL, &store, error, sizeof(error)), 0);
	ck_assert_str_eq(error, "file is not a database");
	ck_assert_int_eq(store_open(event, scratch_path("nowhere/jobs.db"), NULL, &store, error,
				    sizeof(error)),
			 -EROFS);
	ck_assert_str_eq(error, "unable to open database file");
	event = sd_event_unref(event);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/store");
	TCase *tests = leak_case(suite, "store", 60);

	tcase_add_test(tests, what_was_reported_done_is_there_after_a_restart);
	tcase_add_test(tests, an_update_comes_without_an_insert_and_the_body_goes_with_the_end);
	tcase_add_test(tests, closing_writes_what_waits);
	tcase_add_test(tests, lists_are_filtered_and_paged_from_the_newest_on);
	tcase_add_test(tests, a_thousand_writes_in_any_batches_all_arrive);
	tcase_add_test(tests, no_space_is_told_to_inserts_and_survived_by_updates);
	tcase_add_test(tests, beyond_the_number_the_first_that_ended_go);
	tcase_add_test(tests, beyond_the_bytes_the_first_that_ended_go);
	tcase_add_test(tests, beyond_the_age_jobs_go_by_their_end);
	tcase_add_test(tests, without_limits_all_is_kept);
	tcase_add_test(tests, many_go_in_batches_between_writes);
	tcase_add_test(tests, killed_between_files_and_rows_the_next_start_removes_the_rows);
	tcase_add_test(tests, files_that_no_job_names_go_at_the_start);
	tcase_add_test(tests, an_emptied_folder_goes_and_comes_again);
	tcase_add_test(tests, a_folder_may_go_while_a_file_of_it_is_made);
	tcase_add_test(tests, the_id_of_a_removed_job_is_remembered);
	tcase_add_test(tests, a_database_of_another_format_is_refused);
	tcase_add_test(tests, what_is_no_database_or_cannot_be_opened_is_refused);
	return leak_run(suite);
}
