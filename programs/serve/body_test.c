#include "serve/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/leak.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS(...)                                                                         \
	(&(const struct words){ (char **)(uintptr_t)(const char *[]){ __VA_ARGS__, NULL }, \
				N(((const char *[]){ __VA_ARGS__ })) })

static const struct words none = { NULL, 0 };

static void takes(const char *body, const struct words *required)
{
	struct body_error error;
	json_t *value = NULL;

	ck_assert_msg(body_check(body, strlen(body), required, &value, &error) == 0, "%.60s: %s",
		      body, error.message);
	ck_assert_ptr_nonnull(value);
	json_decref(value);
}

/* Checks that `size` bytes are not JSON, and where. */
static void is_not_json(const char *body, size_t size, int line)
{
	struct body_error error;
	json_t *value = NULL;

	ck_assert_msg(body_check(body, size, &none, &value, &error) == -EINVAL, "%.60s is taken",
		      body);
	ck_assert_ptr_null(value);
	ck_assert_int_eq(error.line, line);
	ck_assert_int_gt(error.column, 0);
	ck_assert_str_eq(error.field, "");
	ck_assert_str_ne(error.message, "");
}

static void is_missing(const char *body, const struct words *required, const char *field)
{
	struct body_error error;
	json_t *value = NULL;

	ck_assert_msg(body_check(body, strlen(body), required, &value, &error) == -EINVAL,
		      "%.60s is taken", body);
	ck_assert_ptr_null(value);
	ck_assert_int_eq(error.line, 0);
	ck_assert_str_eq(error.field, field);
	ck_assert_str_ne(error.message, "");
}

START_TEST(content_types)
{
	static const char *const right[] = {
		"application/json",
		"application/json; charset=utf-8",
		"application/json;x=y",
		"APPLICATION/Json",
		" application/json",
		"application/json ",
		"application/ld+json",
		"application/vnd.api+json; v=1",
		"a/b+json",
		"image/x+JSON",
	};
	static const char *const wrong[] = {
		"",
		" ",
		";",
		"json",
		"text/json",
		"text/plain",
		"application/jsonp",
		"application/json+xml",
		"application",
		"application/",
		"/json",
		"+json",
		"/+json",
		"a+json",
		"a/b+json2",
		"application/json, text/plain",
		"text/plain; application/json",
		"x-application/json",
		"application/jso",
		"a/+jsonx",
	};

	for (size_t i = 0; i < N(right); i++)
		ck_assert_msg(body_is_json_type(right[i]), "'%s' is refused", right[i]);
	for (size_t i = 0; i < N(wrong); i++)
		ck_assert_msg(!body_is_json_type(wrong[i]), "'%s' is taken", wrong[i]);
	ck_assert(!body_is_json_type(NULL));
}
END_TEST

START_TEST(what_json_allows)
{
	static const char *const bodies[] = {
		"{}",
		"[]",
		"null",
		"true",
		"\"text\"",
		"5",
		"-0",
		"1e5",
		"-1.5E-10",
		" {\t\"a\"\r\n: 1 } \n",
		"{\"\":1}",
		"\"\\u00e9\\ud83d\\ude00\\/\"",
		"[[],[[]],{}]",
		"{\"a\":{\"a\":{\"a\":1}}}",
		"9223372036854775807",
		"-9223372036854775808",
		/* Beyond 64 bits: for the program to make of what it likes. */
		"9223372036854775808",
		"{\"id\":123456789012345678901234567890}",
		"[-99999999999999999999]",
	};

	for (size_t i = 0; i < N(bodies); i++)
		takes(bodies[i], &none);
}
END_TEST

START_TEST(what_json_forbids)
{
	static const struct {
		const char *body;
		int line;
	} cases[] = {
		{ "", 1 },
		{ " ", 1 },
		{ "{", 1 },
		{ "}", 1 },
		{ "hello", 1 },
		{ "{'a':1}", 1 },
		{ "{a:1}", 1 },
		{ "[1,]", 1 },
		{ "{\"a\":1,}", 1 },
		{ "{} {}", 1 },
		{ "[1]x", 1 },
		{ "01", 1 },
		{ "+1", 1 },
		{ ".5", 1 },
		{ "1.", 1 },
		{ "NaN", 1 },
		{ "Infinity", 1 },
		{ "True", 1 },
		{ "\"\\x41\"", 1 },
		{ "\"\\ud800\"", 1 },
		{ "\"tab\there\"", 1 },
		{ "\"open", 1 },
		{ "// comment\n1", 1 },
		{ "\xef\xbb\xbf{}", 1 },
		{ "\"\xff\"", 1 },
		{ "\"\xc0\xaf\"", 1 },
		{ "\"\xed\xa0\x80\"", 1 },
		{ "{\n\"a\":\n]}", 3 },
		{ "\n\n\n{,}", 4 },
		{ "{\"a\":1,\"a\":2}", 1 },
		{ "{\"a\":1,\"b\":{\"c\":1,\"c\":1}}", 1 },
		{ "{\"a\":1,\"\\u0061\":2}", 1 },
	};

	for (size_t i = 0; i < N(cases); i++)
		is_not_json(cases[i].body, strlen(cases[i].body), cases[i].line);
}
END_TEST

START_TEST(a_nul_is_no_end)
{
	is_not_json("{}\0", 3, 1);
	is_not_json("{\"a\":\0}", 7, 1);
	is_not_json("\0", 1, 1);
	is_not_json("\"a\0b\"", 5, 1);
}
END_TEST

/* A parser that recurses must say no before its stack ends. */
START_TEST(any_depth_is_survived)
{
	static const size_t depths[] = { 100, 1000, 100000, 1000000 };

	for (size_t i = 0; i < N(depths); i++)
		for (int object = 0; object < 2; object++) {
			const char *open = object ? "{\"a\":" : "[", *close = object ? "}" : "]";
			size_t n = depths[i], size = strlen(open);
			char *body = malloc(n * (size + 1) + 1);
			struct body_error error;
			json_t *value = NULL;
			int r;

			ck_assert_ptr_nonnull(body);
			for (size_t at = 0; at < n; at++)
				memcpy(body + at * size, open, size);
			body[n * size] = object ? '1' : ' ';
			memset(body + n * size + 1, *close, n);
			r = body_check(body, n * (size + 1) + 1, &none, &value, &error);
			ck_assert_int_eq(r, n <= 1000 ? 0 : -EINVAL);
			if (r == 0)
				json_decref(value);
			free(body);
		}
}
END_TEST

START_TEST(required_fields)
{
	const struct words *flat = WORDS("a", "b"), *deep = WORDS("a.b.c"), *list = WORDS("l"),
			   *items = WORDS("l[].x"), *values = WORDS("l[]"),
			   *lists = WORDS("l[].m[].x");

	takes("{\"a\":0,\"b\":\"\"}", flat);
	takes("{\"b\":false,\"c\":null,\"a\":{}}", flat);
	is_missing("{\"a\":1}", flat, "b");
	is_missing("{\"a\":null,\"b\":1}", flat, "a");
	is_missing("{}", flat, "a");
	is_missing("[1]", flat, "a");
	is_missing("null", flat, "a");
	is_missing("5", flat, "a");
	is_missing("\"a\"", flat, "a");

	takes("{\"a\":{\"b\":{\"c\":[]}}}", deep);
	is_missing("{\"a\":{\"b\":{\"c\":null}}}", deep, "a.b.c");
	is_missing("{\"a\":{\"b\":5}}", deep, "a.b.c");
	is_missing("{\"a\":{}}", deep, "a.b");
	is_missing("{\"a\":[]}", deep, "a.b");
	is_missing("{\"a.b.c\":1}", deep, "a");

	takes("{\"l\":[]}", list);
	takes("{\"l\":5}", list);

	takes("{\"l\":[]}", items);
	takes("{\"l\":[{\"x\":1},{\"x\":0,\"y\":null}]}", items);
	is_missing("{\"l\":[{\"x\":1},{\"y\":1}]}", items, "l[1].x");
	is_missing("{\"l\":[{\"x\":null}]}", items, "l[0].x");
	is_missing("{\"l\":[1]}", items, "l[0].x");
	is_missing("{\"l\":[[]]}", items, "l[0].x");
	is_missing("{\"l\":5}", items, "l");
	is_missing("{\"l\":\"abc\"}", items, "l");
	is_missing("{\"l\":{\"x\":1}}", items, "l");
	is_missing("{\"l\":null}", items, "l");
	is_missing("{}", items, "l");

	takes("{\"l\":[1,\"\",false,[],{}]}", values);
	is_missing("{\"l\":[1,null]}", values, "l[1]");
	is_missing("{\"l\":{}}", values, "l");

	takes("{\"l\":[{\"m\":[]},{\"m\":[{\"x\":1}]}]}", lists);
	is_missing("{\"l\":[{\"m\":[{\"x\":1},{}]}]}", lists, "l[0].m[1].x");
	is_missing("{\"l\":[{\"m\":5}]}", lists, "l[0].m");
}
END_TEST

START_TEST(a_fields_name_may_be_long)
{
	char name[1000], body[] = "{}";
	struct body_error error;
	json_t *value = NULL;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(body_check(body, 2, WORDS(name), &value, &error), -EINVAL);
	ck_assert_uint_gt(strlen(error.field), 100);
	ck_assert_uint_lt(strlen(error.field), sizeof(error.field));
	ck_assert_uint_lt(strlen(error.message), sizeof(error.message));
}
END_TEST

/* Words of a body are nobody's but the program's. */
START_TEST(a_message_shows_nothing_of_the_body)
{
	static const char *const bodies[] = {
		"{\"card\" \"4711 0815\"}",
		"4711 0815",
		"{\"4711 0815\":1,\"4711 0815\":1}",
		"\"4711 0815",
		"[\"4711 0815\" 1]",
		"{\"near\": near '4711 0815'}",
	};

	for (size_t i = 0; i < N(bodies); i++) {
		struct body_error error;
		json_t *value = NULL;

		ck_assert_int_eq(body_check(bodies[i], strlen(bodies[i]), &none, &value, &error),
				 -EINVAL);
		ck_assert_msg(strstr(error.message, "4711") == NULL &&
				      strstr(error.message, "0815") == NULL,
			      "%s", error.message);
	}
}
END_TEST

static void fields_are(const char *body, const struct words *names, const char *wanted)
{
	json_t *value = json_loads(body, JSON_DECODE_ANY, NULL),
	       *fields = body_fields(value, names);
	char *text = json_dumps(fields, JSON_COMPACT);

	ck_assert_str_eq(text, wanted);
	free(text);
	json_decref(fields);
	json_decref(value);
}

START_TEST(fields_as_text)
{
	fields_are("{\"a\":\"x\",\"b\":5,\"c\":true,\"d\":1.5,\"e\":9}",
		   WORDS("a", "b", "c", "d", "none"),
		   "{\"a\":\"x\",\"b\":\"5\",\"c\":\"true\",\"d\":\"1.5\"}");
	fields_are("{\"a\":{\"x\":1},\"b\":[1, 2],\"c\":null,\"d\":\"\"}",
		   WORDS("a", "b", "c", "d"),
		   "{\"a\":\"{\\\"x\\\":1}\",\"b\":\"[1,2]\",\"d\":\"\"}");
	fields_are("{\"a\":\"x\"}", &none, "{}");
	fields_are("[1]", WORDS("a"), "{}");
	fields_are("null", WORDS("a"), "{}");
}
END_TEST

START_TEST(a_long_field_is_cut_between_characters)
{
	char body[3000] = "{\"a\":\"";

	for (int shift = 0; shift < 4; shift++) {
		json_t *value, *fields;
		const char *text;
		char *end = mempcpy(body + 6, "xxx", (size_t)shift);

		for (int i = 0; i < 300; i++)
			end = mempcpy(end, "\xf0\x9f\x98\x80", 4);
		memcpy(end, "\"}", sizeof("\"}"));
		value = json_loads(body, 0, NULL);
		fields = body_fields(value, WORDS("a"));
		text = json_string_value(json_object_get(fields, "a"));
		ck_assert_ptr_nonnull(text); /* jansson takes nothing but UTF-8 */
		ck_assert_uint_le(strlen(text), 256);
		ck_assert_uint_gt(strlen(text), 252);
		ck_assert_int_eq((strlen(text) - (size_t)shift) % 4, 0);
		json_decref(fields);
		json_decref(value);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/body");
	TCase *body = leak_case(suite, "body", 20);

	tcase_add_test(body, content_types);
	tcase_add_test(body, what_json_allows);
	tcase_add_test(body, what_json_forbids);
	tcase_add_test(body, a_nul_is_no_end);
	tcase_add_test(body, any_depth_is_survived);
	tcase_add_test(body, required_fields);
	tcase_add_test(body, a_fields_name_may_be_long);
	tcase_add_test(body, a_message_shows_nothing_of_the_body);
	tcase_add_test(body, fields_as_text);
	tcase_add_test(body, a_long_field_is_cut_between_characters);
	return leak_run(suite);
}
