#include "serve/store.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/unit/leak.h"

static sd_event *event;
static struct store *store;

static void open_store(void)
{
	char error[256] = "";

	ck_assert_int_ge(sd_event_new(&event), 0);
	ck_assert_msg(store_open(event, scratch_path("jobs.db"), &store, error, sizeof(error)) == 0,
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
	ck_assert_int_eq(store_open(event, scratch_path("jobs.db"), &store, error, sizeof(error)),
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
	ck_assert_int_lt(store_open(event, scratch_path("jobs.db"), &store, error, sizeof(error)),
			 0);
	ck_assert_str_eq(error, "file is not a database");
	ck_assert_int_eq(
		store_open(event, scratch_path("nowhere/jobs.db"), &store, error, sizeof(error)),
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
	tcase_add_test(tests, a_database_of_another_format_is_refused);
	tcase_add_test(tests, what_is_no_database_or_cannot_be_opened_is_refused);
	return leak_run(suite);
}
