/* The pure parts of os/start.h; the start itself is tested through brood/spawn.h. */
#include "os/start.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/leak.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* `wanted` ends with NULL. */
static void ck_candidates(const char *program, const char *path, const char *const *wanted)
{
	const char *const *list = NULL;
	size_t i = 0;

	ck_assert_int_eq(bri_candidates(program, path, &list), 0);
	for (; list[i] != NULL && wanted[i] != NULL; i++)
		ck_assert_str_eq(list[i], wanted[i]);
	ck_assert_msg(list[i] == wanted[i], "'%s' in '%s': another number than %zu", program,
		      path != NULL ? path : "(none)", i);
	free((void *)list);
}

START_TEST(a_name_is_looked_for_in_each_folder)
{
	ck_candidates("ls", "/bin:/usr/bin", LIST("/bin/ls", "/usr/bin/ls"));
	ck_candidates("ls", "/bin", LIST("/bin/ls"));
	ck_candidates("ls", "relative/folder:..", LIST("relative/folder/ls", "../ls"));
	ck_candidates("ls", NULL, LIST("/bin/ls", "/usr/bin/ls"));
	ck_candidates("ls", "/", LIST("//ls"));
}
END_TEST

START_TEST(an_empty_folder_is_the_working_directory)
{
	ck_candidates("ls", "", LIST("./ls"));
	ck_candidates("ls", ":", LIST("./ls", "./ls"));
	ck_candidates("ls", ":/bin", LIST("./ls", "/bin/ls"));
	ck_candidates("ls", "/bin:", LIST("/bin/ls", "./ls"));
	ck_candidates("ls", "/a::/b", LIST("/a/ls", "./ls", "/b/ls"));
	ck_candidates("ls", ":::", LIST("./ls", "./ls", "./ls", "./ls"));
}
END_TEST

START_TEST(a_name_with_a_slash_is_itself)
{
	ck_candidates("/bin/ls", "/usr/bin", LIST("/bin/ls"));
	ck_candidates("./ls", "/usr/bin", LIST("./ls"));
	ck_candidates("a/b", NULL, LIST("a/b"));
	ck_candidates("/", "", LIST("/"));
}
END_TEST

START_TEST(no_name_is_nowhere)
{
	const char *const *untouched = LIST("x"), *const *list = untouched;

	ck_assert_int_eq(bri_candidates("", "/bin", &list), -ENOENT);
	ck_assert_ptr_eq(list, untouched);
}
END_TEST

START_TEST(every_step_has_a_word)
{
	for (int step = BRI_STEP_NONE; step <= BRI_STEP_EXEC; step++) {
		const char *word = bri_step_name((enum bri_step)step);

		ck_assert_ptr_nonnull(word);
		ck_assert_str_ne(word, "unknown");
	}
	ck_assert_str_eq(bri_step_name((enum bri_step)99), "unknown");
	ck_assert_str_eq(bri_step_name((enum bri_step) - 1), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/start");
	TCase *start = leak_case(suite, "start", 10);

	tcase_add_test(start, a_name_is_looked_for_in_each_folder);
	tcase_add_test(start, an_empty_folder_is_the_working_directory);
	tcase_add_test(start, a_name_with_a_slash_is_itself);
	tcase_add_test(start, no_name_is_nowhere);
	tcase_add_test(start, every_step_has_a_word);
	return leak_run(suite);
}
