/* tests/unit/leak.h - a test leaves its process as it found it
 *
 * Each test runs in a process of its own (Check's fork mode). leak_case() gives a test case whose
 * teardown fails the test when it left an open descriptor, a child, a thread, a changed signal
 * mask or a name in /dev/shm. The test's process is a subreaper (prctl(2)), so whatever its
 * children abandoned is its child, too, and is found. */
#ifndef TESTS_UNIT_LEAK_H
#define TESTS_UNIT_LEAK_H

#include <check.h>
#include <stdbool.h>

/* A new test case of `suite` with the fixture, and `seconds` for each test. */
TCase *leak_case(Suite *suite, const char *name, double seconds);

/* A folder of the running test, for anybody to write in, gone after it. No '/' at its end. */
extern const char *scratch;

/* The path of `name` in the scratch folder; good until the next eight calls. */
const char *scratch_path(const char *name);

/* Waits until no child and no abandoned descendant is left, and reaps them. False: some still ran
 * after ten seconds. */
bool bury_all(void);

/* The number with which a file begins, as many of /proc do. */
long first_number(const char *path);

/* Whether a sanitizer's runtime is in this program: it wants memory of its own, and no limit of it. */
extern const bool is_sanitized;

/* Runs the suite, ends what its failed tests left running, and frees the suite. Returns main()'s
 * exit status. */
int leak_run(Suite *suite);

/* Runs `body` in a forked child of its own; a failed check there fails the test. */
void in_fork(void (*body)(void));

#endif
