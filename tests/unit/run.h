/* tests/unit/run.h - start the tiny programs of tests/children, and read what they say */
#ifndef TESTS_UNIT_RUN_H
#define TESTS_UNIT_RUN_H

#include <brood/spawn.h>
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The path of a tiny program. */
#define CHILD(name) (BROOD_TEST_CHILDREN "/" name)

/* For tests that hold with and without .contain alike: added so, they run once for each. */
#define add_for_both(tcase, test) tcase_add_loop_test(tcase, test, 0, 2)
#define CONTAINED (_i != 0)

/* A copy in the scratch folder, which other users can reach; the build may lie below a closed one. */
const char *copy_program(const char *path, const char *name);

/* Whether the user nobody could run it: the build may lie in a folder that only its owner may enter. For root. */
#define NOBODY 65534
bool nobody_can_run(const char *path);

/* Starts it; the test fails when that fails, and says why. */
brood_child *start(const char *const argv[], const brood_spawn_opts *opts);

/* Waits, at most ten seconds, frees the handle, and gives the record. */
brood_exit finish(brood_child *child);

/* start() and finish(). */
brood_exit run(const char *const argv[], const brood_spawn_opts *opts);

/* Checks that the program does not start: with this error, step and text (NULL: any text). */
void refused(const char *const argv[], const brood_spawn_opts *opts, int error, const char *step,
	     const char *text);

/* Runs the program "report" with `opts` and these words after the file's name; what it wrote,
 * until the next call. */
const char *report_of(const brood_spawn_opts *opts, const char *const words[]);

/* The same in two steps, for who must look at the handle in between. */
brood_child *report_start(const brood_spawn_opts *opts, const char *const words[]);
const char *report_finish(brood_child *child);

/* What `report` has after `key` and a space or colon, in its own buffer until the next eight
 * calls; NULL: no such line. */
const char *fact(const char *report, const char *key);

/* Checks one fact; the format is that of the expected value. */
#define ck_fact(report, key, ...)                                                                \
	do {                                                                                     \
		const char *is_ = fact(report, key);                                             \
		char wanted_[512];                                                               \
                                                                                                 \
		snprintf(wanted_, sizeof(wanted_), __VA_ARGS__);                                 \
		ck_assert_msg(is_ != NULL && strcmp(is_, wanted_) == 0, "%s is %s, not %s", key, \
			      is_ != NULL ? is_ : "missing", wanted_);                           \
	} while (0)

/* What was logged, each line with a newline behind it; LOGGED are the members of brood_run_opts for it. */
extern char logged[4096];
void log_line(void *data, const char *line);
#define LOGGED .log = log_line, .log_data = logged

/* How many descriptors the report lists. */
int count_descriptors(const char *report);

/* Checks that the program's descriptor `theirs` is this file (NULL: closed), or that of our `ours`. */
void ck_is_file(const char *report, int theirs, const struct stat *file);
void ck_same_file(const char *report, int theirs, int ours);

/* A new file with the text `content`, open for reading and writing at its start. */
int open_file(const char *name, const char *content);

/* Reads `fd` until `text` was read, and fails if something else comes. */
void expect(int fd, const char *text);

/* The signals of a mask line of /proc/PID/status. */
bool has_signal(const char *mask, int signum);

/* Naps until `condition` holds, at most thirty seconds. */
#define eventually(condition)                                                              \
	do {                                                                               \
		int64_t until_ = brood_now() + 30 * BROOD_SEC;                             \
                                                                                           \
		while (!(condition)) {                                                     \
			ck_assert_msg(brood_now() < until_, "never came: %s", #condition); \
			nap_ms(2);                                                         \
		}                                                                          \
	} while (0)

void nap_ms(int ms);

/* From storm() to calm() a signal every millisecond, with a handler that restarts no call. calm() returns how many came. */
void storm(void);
int calm(void);

/* /proc/PID/stat from the state on, the third field; until the next call. */
const char *stat_of(pid_t pid);

#endif
