#include "common/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"

/* What log_event() writes, by way of a pipe. */
static size_t logged(char *to, size_t size, const char *text)
{
	int ends[2], old = dup(STDERR_FILENO);
	ssize_t n;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	log_event("tested", "text=%s", text);
	dup2(old, STDERR_FILENO);
	close(old);
	close(ends[1]);
	n = read(ends[0], to, size - 1);
	ck_assert_int_gt(n, 0);
	to[n] = '\0';
	close(ends[0]);
	return (size_t)n;
}

START_TEST(a_value_is_bare_or_quoted)
{
	static const struct {
		const char *text, *quoted;
	} cases[] = {
		{ "plain", "plain" },
		{ "a-b_c./:,;!", "a-b_c./:,;!" },
		{ "", "\"\"" },
		{ "two words", "\"two words\"" },
		{ "a=b", "\"a=b\"" },
		{ "\"", "\"\\\"\"" },
		{ "\\", "\"\\\\\"" },
		{ "line\nforged", "\"line\\nforged\"" },
		{ "\t\r\x1b\x01\x7f", "\"\\x09\\x0d\\x1b\\x01\\x7f\"" },
		{ "\xe8\xbd\xa6", "\"\xe8\xbd\xa6\"" },
		{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
		{ "\xff", "\"\\xff\"" },
		{ "\xc3", "\"\\xc3\"" },
		{ "\xc3(", "\"\\xc3(\"" },
		{ "\xc0\xaf", "\"\\xc0\\xaf\"" },                   /* an overlong slash */
		{ "\xe0\x80\x8a", "\"\\xe0\\x80\\x8a\"" },          /* an overlong line feed */
		{ "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"" },          /* half a surrogate */
		{ "\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\"" }, /* beyond Unicode */
		{ "\xe8\xbd", "\"\\xe8\\xbd\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[100];

		ck_assert_ptr_eq(log_quote(to, sizeof(to), cases[i].text, strlen(cases[i].text)),
				 to);
		ck_assert_str_eq(to, cases[i].quoted);
	}
}
END_TEST

START_TEST(nul_is_a_character)
{
	char to[50];

	ck_assert_str_eq(log_quote(to, sizeof(to), "a\0b", 3), "\"a\\x00b\"");
}
END_TEST

/* U+0080 to U+009F: some readers end a line at U+0085, terminals obey U+009B. */
START_TEST(no_control_character_of_any_kind_stays)
{
	for (int c = 0; c < 0xa0; c++) {
		const char text[3] = { c < 0x80 ? (char)c : (char)0xc2, c < 0x80 ? 'x' : (char)c,
				       'x' };
		char to[50];

		log_quote(to, sizeof(to), text, sizeof(text));
		for (const char *at = to; *at != '\0'; at++) {
			ck_assert_msg((unsigned char)*at >= ' ' && *at != 0x7f, "U+%04X stays",
				      (unsigned)c);
			ck_assert_msg(at[0] != '\xc2' || (unsigned char)at[1] >= 0xa0,
				      "U+%04X stays", (unsigned)c);
		}
	}
}
END_TEST

/* Quoted text never goes beyond its room, and its quotes are balanced, wherever it is cut. */
START_TEST(it_is_cut_to_fit)
{
	static const char *const patterns[] = {
		"x", " ", "\n", "\"", "\xff", "\xe8\xbd\xa6", "\xf0\x9f\x98\x80", "x\n"
	};

	for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++)
		for (size_t room = 16; room < 80; room++) {
			char text[300],
				*to = malloc(
					room); /* so that Valgrind and ASan see a byte too many */
			size_t n = 0, length;

			while (n + 4 < sizeof(text))
				n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
						      patterns[p]);
			log_quote(to, room, text, n);
			length = strnlen(to, room);
			ck_assert_uint_lt(length, room);
			ck_assert_uint_ge(length, room / 2 - 8);
			ck_assert_int_eq(to[0], '"');
			ck_assert_int_eq(to[length - 1], '"');
			ck_assert_ptr_null(strchr(to, '\n'));
			free(to);
		}
}
END_TEST

START_TEST(an_event_is_one_line)
{
	char line[20000];
	size_t n = logged(line, sizeof(line), "x");

	ck_assert_int_eq(line[n - 1], '\n');
	ck_assert_ptr_eq(strchr(line, '\n'), line + n - 1);
	ck_assert_int_eq(strncmp(line, "ts=20", 5), 0);
	ck_assert_ptr_nonnull(strstr(line, "Z event=tested text=x\n"));
}
END_TEST

START_TEST(a_long_event_is_cut_and_still_one_line)
{
	static char text[50000];
	char line[20000];
	size_t n;

	memset(text, 'x', sizeof(text) - 1);
	n = logged(line, sizeof(line), text);
	ck_assert_uint_gt(n, 1000);
	ck_assert_int_eq(line[n - 1], '\n');
	ck_assert_ptr_eq(strchr(line, '\n'), line + n - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("common/log");
	TCase *quote = leak_case(suite, "quote", 10);
	TCase *event = leak_case(suite, "event", 10);

	tcase_add_test(quote, a_value_is_bare_or_quoted);
	tcase_add_test(quote, nul_is_a_character);
	tcase_add_test(quote, no_control_character_of_any_kind_stays);
	tcase_add_test(quote, it_is_cut_to_fit);
	tcase_add_test(event, an_event_is_one_line);
	tcase_add_test(event, a_long_event_is_cut_and_still_one_line);
	return leak_run(suite);
}
