/* brood_run() and brood_pipeline_run() where memory or descriptors are missing: at each place once. Each
 * says what was missing, or does without; and leaves nothing. */
#include <brood/pipeline.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

#define MOST 500 /* more than there are places */

static int run_once(bool piped, brood_fail *fail, brood_run_result *result)
{
	static const brood_spawn_opts own = { .err = { .kind = BROOD_STDIO_PIPE } };
	const brood_stage stages[] = {
		{ .argv = BROOD_ARGV("cat") },
		{ .argv = BROOD_ARGV("cat"), .spawn = &own, .err = { .kind = BROOD_SINK_TAIL } },
		{ .argv = BROOD_ARGV("tr", "a-z", "A-Z") },
	};
	const brood_pipeline_opts opts = { .run = { .input = "text\n",
						    .input_size = 5,
						    .capture = true,
						    .text = BROOD_TEXT_REPLACE,
						    .env_edits = BROOD_ARGV("A=1", "LC_ALL"),
						    LOGGED,
						    .fail = fail } };

	*fail = (brood_fail){ .step = NULL };
	logged[0] = '\0';
	return piped ? brood_pipeline_run(stages, 3, &opts, result) :
		       brood_run(BROOD_ARGV("tr", "a-z", "A-Z"), &opts.run, result);
}

/* Whether it went well as if nothing had been missing. */
static bool went_well(int r, const brood_fail *fail, brood_run_result *result, int error)
{
	bool well = r == 0 && result->sink_error == 0;

	if (r != 0) {
		ck_assert_int_eq(r, -error);
		ck_assert_ptr_nonnull(fail->step);
		ck_assert_int_eq(fail->error, error);
	} else if (result->sink_error != 0) {
		ck_assert_int_eq(result->sink_error, -error);
	} else {
		ck_assert_str_eq(result->out, "TEXT\n");
		ck_assert_ptr_null(fail->step);
	}
	ck_assert_ptr_nonnull(result->out);
	ck_assert_ptr_nonnull(result->err);
	brood_run_result_fini(result);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* this process is a subreaper */
	ck_assert_int_eq(errno, ECHILD);
	return well;
}

START_TEST(without_descriptors)
{
	struct rlimit before, less;
	brood_run_result result;
	brood_fail fail;
	int failed = 0, n;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	less = before;
	for (n = 3; n < MOST; n++) {
		int r;

		less.rlim_cur = (rlim_t)n;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
		r = run_once(_i != 0, &fail, &result);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (went_well(r, &fail, &result, EMFILE))
			break;
		failed++;
	}
	ck_assert_int_lt(n, MOST);
	ck_assert_int_ge(failed, 3);
}
END_TEST

/* AddressSanitizer has an allocator of its own. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_OWN_MALLOC
#endif
#endif
#else
#define NO_OWN_MALLOC
#endif

#ifndef NO_OWN_MALLOC

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);

static int left; /* allocations until one fails; 0: none will */
static bool for_good;

static bool fails(void)
{
	if (left == 0 || --left > 0)
		return false;
	left = for_good;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
	return fails() ? NULL : __libc_realloc(block, size);
}

START_TEST(without_memory)
{
	brood_run_result result;
	brood_fail fail;
	int failed = 0, n;

	for (n = 1; n < MOST; n++) {
		bool reached;
		int r;

		for_good = (_i & 2) != 0;
		left = n;
		r = run_once((_i & 1) != 0, &fail, &result);
		reached = left == for_good;
		left = 0;
		failed += !went_well(r, &fail, &result, ENOMEM);
		/* Also without memory for its words the log has both lines, or a pipeline none. */
		if (r == 0 && (_i & 1) == 0)
			ck_assert_ptr_nonnull(strstr(logged, ": exit status 0, "));
		if (!reached)
			break;
	}
	ck_assert_int_lt(n, MOST);
	ck_assert_int_ge(failed, 5);
}
END_TEST

START_TEST(getstatusoutput_without_memory)
{
	char *text = logged;
	int failed = 0, code = 99, r, n;

	for (n = 1; n < MOST; n++) {
		left = n;
		r = brood_getstatusoutput("echo x", &code, &text);
		left = 0;
		if (r == 0)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_ptr_eq(text, logged);
		ck_assert_int_eq(code, 99);
		failed++;
	}
	ck_assert_str_eq(text, "x");
	ck_assert_int_eq(code, 0);
	ck_assert_int_ge(failed, 4);
	free(text);
}
END_TEST

#define ADD_WITHOUT_MEMORY(tcase)                                      \
	do {                                                           \
		tcase_add_loop_test(tcase, without_memory, 0, 4);      \
		tcase_add_test(tcase, getstatusoutput_without_memory); \
	} while (0)
#else
#define ADD_WITHOUT_MEMORY(tcase) (void)(tcase)
#endif

int main(void)
{
	Suite *suite = suite_create("child/run, faults");
	TCase *faults = leak_case(suite, "faults", 60);

	tcase_add_loop_test(faults, without_descriptors, 0, 2);
	ADD_WITHOUT_MEMORY(faults);
	return leak_run(suite);
}
