#include "base/fail.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/leak.h"

START_TEST(a_failure_is_one_line)
{
	brood_fail fail = { .step = NULL };
	char text[300];

	ck_assert_int_eq(bri_fail(&fail, "exec", ENOENT, "%s/%s", "/usr/bin", "nosuch"), -ENOENT);
	ck_assert_int_eq(brood_fail_format(&fail, text, sizeof(text)), (int)strlen(text));
	ck_assert_str_eq(text, "exec: /usr/bin/nosuch: No such file or directory");
	ck_assert_int_eq(bri_fail(&fail, "clone", -EAGAIN, NULL), -EAGAIN);
	ck_assert_int_eq(fail.error, EAGAIN);
	ck_assert_str_eq(fail.text, "");
	brood_fail_format(&fail, text, sizeof(text));
	ck_assert_str_eq(text, "clone: Resource temporarily unavailable");
}
END_TEST

START_TEST(without_a_failure_the_line_is_empty)
{
	const brood_fail none = { .step = NULL };
	char text[10] = "before";

	ck_assert_int_eq(brood_fail_format(&none, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "");
	strcpy(text, "before");
	ck_assert_int_eq(brood_fail_format(NULL, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(a_line_that_does_not_fit_is_cut)
{
	brood_fail fail = { .step = NULL };
	char text[12];
	int whole;

	bri_fail(&fail, "chdir", ENOENT, "/nowhere");
	whole = brood_fail_format(&fail, text, sizeof(text));
	ck_assert_int_eq(whole, (int)strlen("chdir: /nowhere: No such file or directory"));
	ck_assert_str_eq(text, "chdir: /now");
	ck_assert_int_eq(brood_fail_format(&fail, NULL, 0), whole);
	ck_assert_int_eq(brood_fail_format(&fail, text, 1), whole);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_cut)
{
	brood_fail fail = { .step = NULL };
	char path[1000];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(bri_fail(&fail, "open", EACCES, "%s", path), -EACCES);
	ck_assert_uint_eq(strlen(fail.text), sizeof(fail.text) - 1);
}
END_TEST

START_TEST(who_gives_no_place_still_gets_the_error)
{
	ck_assert_int_eq(bri_fail(NULL, "open", EACCES, "%s", "x"), -EACCES);
	ck_assert_int_eq(bri_fail(NULL, "open", -EACCES, NULL), -EACCES);
}
END_TEST

START_TEST(a_taken_pointer_is_not_freed)
{
	char *kept;

	{
		bri_cleanup(bri_freep) char *freed = strdup("freed here");
		bri_cleanup(bri_freep) char *text = strdup("kept");

		ck_assert_ptr_nonnull(freed);
		kept = bri_take(text);
		ck_assert_ptr_null(text);
	}
	ck_assert_str_eq(kept, "kept");
	free(kept);
}
END_TEST

START_TEST(the_version_is_told)
{
	ck_assert_str_eq(brood_version(), BROOD_VERSION);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *fail = leak_case(suite, "fail", 10);

	tcase_add_test(fail, a_failure_is_one_line);
	tcase_add_test(fail, without_a_failure_the_line_is_empty);
	tcase_add_test(fail, a_line_that_does_not_fit_is_cut);
	tcase_add_test(fail, a_text_that_does_not_fit_is_cut);
	tcase_add_test(fail, who_gives_no_place_still_gets_the_error);
	tcase_add_test(fail, a_taken_pointer_is_not_freed);
	tcase_add_test(fail, the_version_is_told);
	return leak_run(suite);
}
