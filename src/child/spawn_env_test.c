/* Edits of an environment; what a program sees of them is in spawn_test.c. */
#include "child/spawn_env.h"

#include <stdlib.h>

#include "tests/unit/leak.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NOTHING ((const char *const[]){ NULL })

/* `wanted` ends with NULL. */
static void ck_edited(const char *const *base, const char *const *edits, const char *const *wanted)
{
	const char **env = NULL;
	size_t i = 0;

	ck_assert_int_eq(bri_env_edit(base, edits, &env), 0);
	for (; env[i] != NULL && wanted[i] != NULL; i++)
		ck_assert_str_eq(env[i], wanted[i]);
	ck_assert_msg(env[i] == wanted[i], "after %zu entries: %s, not %s", i,
		      env[i] != NULL ? env[i] : "the end",
		      wanted[i] != NULL ? wanted[i] : "the end");
	free(env);
}

START_TEST(a_value_replaces_or_is_added)
{
	ck_edited(LIST("A=1", "B=2", "C=3"), LIST("B=x"), LIST("A=1", "B=x", "C=3"));
	ck_edited(LIST("A=1"), LIST("B=2", "C="), LIST("A=1", "B=2", "C="));
	ck_edited(LIST("A=1"), LIST("A=x=y"), LIST("A=x=y"));
	ck_edited(NULL, LIST("A=1"), LIST("A=1"));
	ck_edited(NOTHING, LIST("A=1"), LIST("A=1"));
}
END_TEST

START_TEST(a_name_alone_removes)
{
	ck_edited(LIST("A=1", "B=2"), LIST("A"), LIST("B=2"));
	ck_edited(LIST("A=1", "B=2"), LIST("B", "A", "A"), NOTHING);
	ck_edited(LIST("A=1"), LIST("B"), LIST("A=1"));
	ck_edited(NULL, LIST("B"), NOTHING);
}
END_TEST

START_TEST(names_are_compared_as_a_whole)
{
	ck_edited(LIST("AB=1", "A=2", "ABC=3"), LIST("AB"), LIST("A=2", "ABC=3"));
	ck_edited(LIST("AB=1", "A=2", "a=3"), LIST("A=x"), LIST("AB=1", "A=x", "a=3"));
	/* What a host's environment may hold, though nobody should put it there. */
	ck_edited(LIST("odd", "=C:=x", ""), LIST("A=1"), LIST("odd", "=C:=x", "", "A=1"));
	ck_edited(LIST("odd", "A=1"), LIST("odd"), LIST("A=1"));
}
END_TEST

START_TEST(edits_are_made_in_their_order)
{
	ck_edited(LIST("A=1"), LIST("A=2", "A", "A=3"), LIST("A=3"));
	ck_edited(LIST("A=1", "B=1"), LIST("A", "A=2", "B=2", "B=3"), LIST("B=3", "A=2"));
	ck_edited(LIST("A=1"), LIST("B=2", "B"), LIST("A=1"));
}
END_TEST

START_TEST(a_name_that_was_there_twice_is_there_once)
{
	ck_edited(LIST("A=1", "B=2", "A=3"), LIST("A=x"), LIST("A=x", "B=2"));
	ck_edited(LIST("A=1", "B=2", "A=3"), LIST("A"), LIST("B=2"));
}
END_TEST

START_TEST(no_edit_is_a_copy)
{
	ck_edited(LIST("A=1", "A=2"), NOTHING, LIST("A=1", "A=2"));
	ck_edited(NULL, NOTHING, NOTHING);
}
END_TEST

START_TEST(the_first_value_is_found)
{
	ck_assert_str_eq(bri_env_find(LIST("PATHS=x", "PATH=a", "PATH=b"), "PATH"), "a");
	ck_assert_str_eq(bri_env_find(LIST("PATH="), "PATH"), "");
	ck_assert_ptr_null(bri_env_find(LIST("PATH", "XPATH=a"), "PATH"));
	ck_assert_ptr_null(bri_env_find(NOTHING, "PATH"));
	ck_assert_ptr_null(bri_env_find(NULL, "PATH"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/spawn, environment");
	TCase *env = leak_case(suite, "env", 10);

	tcase_add_test(env, a_value_replaces_or_is_added);
	tcase_add_test(env, a_name_alone_removes);
	tcase_add_test(env, names_are_compared_as_a_whole);
	tcase_add_test(env, edits_are_made_in_their_order);
	tcase_add_test(env, a_name_that_was_there_twice_is_there_once);
	tcase_add_test(env, no_edit_is_a_copy);
	tcase_add_test(env, the_first_value_is_found);
	return leak_run(suite);
}
