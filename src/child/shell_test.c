#include <brood/shell.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/unit/leak.h"

START_TEST(quote_gives_what_shlex_gives)
{
	static const struct {
		const char *word, *quoted;
	} cases[] = {
		{ "", "''" },
		{ "a-b_c.txt", "a-b_c.txt" },
		{ "ABCXYZabcxyz0189@%+=:,./-_", "ABCXYZabcxyz0189@%+=:,./-_" },
		{ "two words", "'two words'" },
		{ "it's", "'it'\"'\"'s'" },
		{ "'", "''\"'\"''" },
		{ "''", "''\"'\"''\"'\"''" },
		{ "\"", "'\"'" },
		{ "\\", "'\\'" },
		{ "a\nb", "'a\nb'" },
		{ "ls -l;touch x", "'ls -l;touch x'" },
		{ "~", "'~'" },
		{ "#", "'#'" },
		{ "!$", "'!$'" },
		{ "K\xc3\xa4se", "'K\xc3\xa4se'" },
		{ "\xff", "'\xff'" },
		{ "\x7f\x01", "'\x7f\x01'" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *quoted = NULL;

		ck_assert_int_eq(brood_shell_quote(cases[i].word, &quoted), 0);
		ck_assert_str_eq(quoted, cases[i].quoted);
		free(quoted);
	}
}
END_TEST

START_TEST(each_byte_is_safe_or_quoted)
{
	static const char safe[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./-_";

	for (int byte = 1; byte < 256; byte++) {
		char word[2] = { (char)byte, '\0' }, wanted[16];
		const char *quote = strchr(safe, byte) != NULL ? "" : "'";
		char *quoted = NULL;

		snprintf(wanted, sizeof(wanted), "%s%s%s", quote, byte == '\'' ? "'\"'\"'" : word,
			 quote);
		ck_assert_int_eq(brood_shell_quote(word, &quoted), 0);
		ck_assert_str_eq(quoted, wanted);
		free(quoted);
	}
}
END_TEST

START_TEST(join_puts_a_space_between)
{
	char *line = NULL;

	ck_assert_int_eq(brood_shell_join((const char *const[]){ NULL }, &line), 0);
	ck_assert_str_eq(line, "");
	free(line);
	ck_assert_int_eq(brood_shell_join((const char *const[]){ "ls", NULL }, &line), 0);
	ck_assert_str_eq(line, "ls");
	free(line);
	ck_assert_int_eq(
		brood_shell_join((const char *const[]){ "echo", "", "a b", "it's", NULL }, &line),
		0);
	ck_assert_str_eq(line, "echo '' 'a b' 'it'\"'\"'s'");
	free(line);
}
END_TEST

/* A line, and its words until the first NULL. */
static const struct {
	const char *line, *words[7];
} lines[] = {
	{ "", { NULL } },
	{ " \t\r\n", { NULL } },
	{ "ls", { "ls" } },
	{ "  ls \t-l\r\n.\n", { "ls", "-l", "." } },
	/* not white space to shlex */
	{ "a\vb\fc", { "a\vb\fc" } },
	{ "a\xc2\xa0"
	  "b",
	  { "a\xc2\xa0"
	    "b" } },
	{ "\xff \x80", { "\xff", "\x80" } },
	/* quotes, and words of several parts */
	{ "''", { "" } },
	{ "'' \"\" ''\"\"", { "", "", "" } },
	{ "a'b c'd", { "ab cd" } },
	{ "'a'\"b\"c\\d", { "abcd" } },
	{ "'a\"b' \"a'b\"", { "a\"b", "a'b" } },
	{ "'a\nb'", { "a\nb" } },
	{ "'it'\"'\"'s'", { "it's" } },
	/* the backslash: outside, in single and in double quotes */
	{ "a\\ b", { "a b" } },
	{ "\\a\\\\\\'\\\"", { "a\\'\"" } },
	{ "a\\\nb", { "a\nb" } },
	{ "\\\n", { "\n" } },
	{ "'a\\b' '\\'", { "a\\b", "\\" } },
	{ "\"\\a\\\"\\\\\\'\\$\\`\\\n\"", { "\\a\"\\\\'\\$\\`\\\n" } },
	/* no comments, and nothing is expanded */
	{ "a #b #", { "a", "#b", "#" } },
	{ "$HOME * ~ `x` a;b|c&d >e", { "$HOME", "*", "~", "`x`", "a;b|c&d", ">e" } },
};

START_TEST(split_gives_the_words)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *const *words = lines[i].words;
		char **argv = NULL;
		size_t n = 0;

		ck_assert_int_eq(brood_shell_split(lines[i].line, &argv, NULL), 0);
		for (; words[n] != NULL; n++)
			ck_assert_msg(argv[n] != NULL && strcmp(argv[n], words[n]) == 0,
				      "word %zu of <%s> is <%s>, not <%s>", n, lines[i].line,
				      argv[n] != NULL ? argv[n] : "missing", words[n]);
		ck_assert_msg(argv[n] == NULL, "<%s> has more than %zu words", lines[i].line, n);
		free(argv);
	}
}
END_TEST

START_TEST(a_line_that_ends_within_quotes_is_refused_with_the_place)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
		{ "'", "No closing quotation, byte 0" },
		{ "\"", "No closing quotation, byte 0" },
		{ "a 'b' 'c", "No closing quotation, byte 6" },
		{ "a 'b\"", "No closing quotation, byte 2" },
		{ "\"a\\\"", "No closing quotation, byte 0" },
		{ "a\"b\\\\", "No closing quotation, byte 1" },
		{ "\\", "No escaped character, byte 0" },
		{ "abc \\", "No escaped character, byte 4" },
		{ "\\\\\\", "No escaped character, byte 2" },
		{ "x \"ab\\", "No escaped character, byte 5" },
		{ "'\\", "No closing quotation, byte 0" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		brood_fail fail = { .step = NULL };
		char *untouched[1], **argv = untouched;

		ck_assert_int_eq(brood_shell_split(cases[i].line, &argv, &fail), -EINVAL);
		ck_assert_ptr_eq(argv, untouched);
		ck_assert_str_eq(fail.step, "split");
		ck_assert_int_eq(fail.error, EINVAL);
		ck_assert_str_eq(fail.text, cases[i].text);
		ck_assert_int_eq(brood_shell_split(cases[i].line, &argv, NULL), -EINVAL);
		ck_assert_ptr_eq(argv, untouched);
	}
}
END_TEST

START_TEST(nothing_given_is_refused)
{
	brood_fail fail = { .step = NULL };
	char untouched[1], *text = untouched, *word[1], **argv = word;

	ck_assert_int_eq(brood_shell_quote(NULL, &text), -EINVAL);
	ck_assert_int_eq(brood_shell_join(NULL, &text), -EINVAL);
	ck_assert_int_eq(brood_shell_split(NULL, &argv, &fail), -EINVAL);
	ck_assert_ptr_eq(text, untouched);
	ck_assert_ptr_eq(argv, word);
	ck_assert_str_eq(fail.step, "split");
	ck_assert_str_eq(fail.text, "no line");
	ck_assert_int_eq(brood_shell_split(NULL, &argv, NULL), -EINVAL);
}
END_TEST

START_TEST(a_success_leaves_the_failure_record_alone)
{
	brood_fail fail = { .step = NULL };
	char **argv = NULL;

	ck_assert_int_eq(brood_shell_split("a b", &argv, &fail), 0);
	ck_assert_ptr_null(fail.step);
	free(argv);
}
END_TEST

START_TEST(what_was_joined_is_split_again)
{
	/* Every byte, every pair of bytes that mean something, and none. */
	static const char special[] = "'\"\\ \t\r\n#a\xff";
	enum { N_SPECIAL = sizeof(special) - 1, N_WORDS = 255 + N_SPECIAL * N_SPECIAL + 1 };
	static char bytes[N_WORDS][3];
	static const char *words[N_WORDS + 1];
	char *line = NULL, **argv = NULL;
	size_t n = 0;

	for (int byte = 1; byte < 256; byte++)
		bytes[n++][0] = (char)byte;
	for (size_t i = 0; i < N_SPECIAL; i++)
		for (size_t k = 0; k < N_SPECIAL; k++, n++) {
			bytes[n][0] = special[i];
			bytes[n][1] = special[k];
		}
	for (size_t i = 0; i < N_WORDS; i++)
		words[i] = bytes[i];
	ck_assert_int_eq(brood_shell_join(words, &line), 0);
	ck_assert_int_eq(brood_shell_split(line, &argv, NULL), 0);
	for (size_t i = 0; i < N_WORDS; i++) {
		ck_assert_ptr_nonnull(argv[i]);
		ck_assert_str_eq(argv[i], words[i]);
	}
	ck_assert_ptr_null(argv[N_WORDS]);
	free(line);
	free(argv);
}
END_TEST

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
/* AddressSanitizer ends a program that runs out of memory. */
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)

START_TEST(without_memory_all_say_so)
{
	enum { SIZE = 64 << 20 };
	char *word = malloc(SIZE), untouched[1], *text = untouched, *words[1], **argv = words;
	brood_fail fail = { .step = NULL };
	struct rlimit before, none;

	ck_assert_ptr_nonnull(word);
	memset(word, 'x', SIZE - 1);
	word[SIZE - 1] = '\0';
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	/* Less than is in use already: no block that malloc() would have to map. */
	none = (struct rlimit){ SIZE, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	ck_assert_int_eq(brood_shell_quote(word, &text), -ENOMEM);
	ck_assert_int_eq(brood_shell_join((const char *const[]){ word, NULL }, &text), -ENOMEM);
	ck_assert_int_eq(brood_shell_split(word, &argv, &fail), -ENOMEM);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	ck_assert_ptr_eq(text, untouched);
	ck_assert_ptr_eq(argv, words);
	ck_assert_str_eq(fail.step, "split");
	ck_assert_int_eq(fail.error, ENOMEM);
	free(word);
}
END_TEST

#define ADD_WITHOUT_MEMORY(tcase) tcase_add_test(tcase, without_memory_all_say_so)
#else
#define ADD_WITHOUT_MEMORY(tcase) (void)(tcase)
#endif

int main(void)
{
	Suite *suite = suite_create("shell");
	TCase *write = leak_case(suite, "write", 10), *read = leak_case(suite, "read", 10),
	      *both = leak_case(suite, "both", 10);

	tcase_add_test(write, quote_gives_what_shlex_gives);
	tcase_add_test(write, each_byte_is_safe_or_quoted);
	tcase_add_test(write, join_puts_a_space_between);
	tcase_add_test(read, split_gives_the_words);
	tcase_add_test(read, a_line_that_ends_within_quotes_is_refused_with_the_place);
	tcase_add_test(read, a_success_leaves_the_failure_record_alone);
	tcase_add_test(both, nothing_given_is_refused);
	tcase_add_test(both, what_was_joined_is_split_again);
	ADD_WITHOUT_MEMORY(both);
	return leak_run(suite);
}
