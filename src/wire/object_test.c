/* Objects: what is built, looked at, compared and described. */
#include <brood/object.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/unit/leak.h"

#define BIG(bytes) brood_object_of_data(BROOD_OBJECT_BIG, bytes, sizeof(bytes) - 1)
#define BYTEARRAY(bytes) brood_object_of_data(BROOD_OBJECT_BYTEARRAY, bytes, sizeof(bytes) - 1)
#define CLASS(name) brood_object_of_data(BROOD_OBJECT_CLASS, name, sizeof(name) - 1)
#define FROZENSET(...) brood_object_of_items(BROOD_OBJECT_FROZENSET, BROOD_OBJECTS(__VA_ARGS__))
#define INSTANCE(...) brood_object_of_items(BROOD_OBJECT_INSTANCE, BROOD_OBJECTS(__VA_ARGS__))

static void ck_equal(int wanted, brood_object a, brood_object b)
{
	ck_assert_int_eq(brood_object_equal(&a, &b), wanted);
	ck_assert_int_eq(brood_object_equal(&b, &a), wanted);
}

/* `wanted`, in as little room as it needs. */
static void ck_described(brood_object object, const char *wanted)
{
	char *buf = malloc(strlen(wanted) + 1);

	ck_assert_ptr_nonnull(buf);
	ck_assert_int_eq(brood_object_describe(&object, buf, strlen(wanted) + 1),
			 (int)strlen(wanted));
	ck_assert_str_eq(buf, wanted);
	free(buf);
}

START_TEST(a_tree_is_walked_in_one_line)
{
	brood_object job = BROOD_DICT(BROOD_TEXT("name"), BROOD_TEXT("resize"), BROOD_TEXT("size"),
				      BROOD_TUPLE(BROOD_INT(640), BROOD_INT(480)));
	const brood_object *size = brood_object_get(&job, "size"), *key, *value;
	const char *text;
	size_t n;
	int64_t number;

	ck_assert_int_eq(brood_object_length(&job), 2);
	ck_assert_int_eq(brood_object_int(brood_object_at(size, 1), &number), 0);
	ck_assert_int_eq(number, 480);
	ck_assert_int_eq(brood_object_int(brood_object_at(size, -2), &number), 0);
	ck_assert_int_eq(number, 640);
	ck_assert_ptr_null(brood_object_at(size, 2));
	ck_assert_ptr_null(brood_object_at(size, -3));
	ck_assert_ptr_null(brood_object_at(&job, 0));
	ck_assert_ptr_null(brood_object_get(&job, "siz"));
	ck_assert_ptr_null(brood_object_get(size, "size"));
	ck_assert_ptr_null(brood_object_get(brood_object_get(&job, "nothing"), "at all"));
	ck_assert_int_eq(brood_object_text(brood_object_get(&job, "name"), &text, &n), 0);
	ck_assert_uint_eq(n, 6);
	ck_assert_mem_eq(text, "resize", 6);
	ck_assert_int_eq(brood_object_pair(&job, -1, &key, &value), 0);
	ck_assert_ptr_eq(value, size);
	ck_assert_int_eq(brood_object_text(key, &text, &n), 0);
	ck_assert_mem_eq(text, "size", n);
	ck_assert_int_eq(brood_object_pair(&job, 2, &key, &value), -ENOENT);
	ck_assert_int_eq(brood_object_pair(size, 0, &key, &value), -EDOM);
	ck_assert_int_eq(brood_object_pair(NULL, 0, &key, &value), -ENOENT);
}
END_TEST

START_TEST(another_kind_and_no_object_are_told_apart)
{
	brood_object none = BROOD_NONE, number = BROOD_FLOAT(1), handle = BROOD_HANDLE(3, &none);
	const void *data;
	const char *text;
	void *pointer;
	uint64_t natural;
	int64_t integer;
	double real;
	size_t n;
	bool boolean;

	ck_assert(brood_object_is_none(&none) && !brood_object_is_none(NULL) &&
		  !brood_object_is_none(&number));
	ck_assert_int_eq(brood_object_bool(NULL, &boolean), -ENOENT);
	ck_assert_int_eq(brood_object_bool(&none, &boolean), -EDOM);
	ck_assert_int_eq(brood_object_int(NULL, &integer), -ENOENT);
	ck_assert_int_eq(brood_object_int(&number, &integer), -EDOM);
	ck_assert_int_eq(brood_object_uint(NULL, &natural), -ENOENT);
	ck_assert_int_eq(brood_object_uint(&number, &natural), -EDOM);
	ck_assert_int_eq(brood_object_float(NULL, &real), -ENOENT);
	ck_assert_int_eq(brood_object_float(&none, &real), -EDOM);
	ck_assert_int_eq(brood_object_text(NULL, &text, &n), -ENOENT);
	ck_assert_int_eq(brood_object_text(&none, &text, &n), -EDOM);
	ck_assert_int_eq(brood_object_bytes(NULL, &data, &n), -ENOENT);
	ck_assert_int_eq(brood_object_bytes(&none, &data, &n), -EDOM);
	ck_assert_int_eq(brood_object_length(NULL), -ENOENT);
	ck_assert_int_eq(brood_object_length(&number), -EDOM);
	ck_assert_int_eq(brood_object_handle(NULL, 3, &pointer), -ENOENT);
	ck_assert_int_eq(brood_object_handle(&handle, 4, &pointer), -EDOM);
	ck_assert_int_eq(brood_object_handle(&none, 0, &pointer), -EDOM);
	ck_assert_int_eq(brood_object_handle(&handle, 3, &pointer), 0);
	ck_assert_ptr_eq(pointer, &none);
	ck_assert_int_eq(brood_object_equal(NULL, &none), -ENOENT);
	ck_assert_int_eq(brood_object_equal(&none, NULL), -ENOENT);
	ck_assert_int_eq(brood_object_describe(NULL, (char *)&n, 1), -ENOENT);
	ck_assert_ptr_null(brood_object_free(NULL));
}
END_TEST

START_TEST(single_values_are_what_they_were_made_of)
{
	brood_object yes = BROOD_BOOL(true), bytes = BROOD_BYTES("a\0b", 3), array = BYTEARRAY("x");
	const void *data;
	size_t n;
	bool boolean = false;

	ck_assert_int_eq(brood_object_bool(&yes, &boolean), 0);
	ck_assert(boolean);
	ck_assert_int_eq(brood_object_bytes(&bytes, &data, &n), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_mem_eq(data, "a\0b", 3);
	ck_assert_int_eq(brood_object_bytes(&array, &data, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(brood_object_length(&bytes), 3);
}
END_TEST

/* Each number as each type of C: RANGE where it does not fit. */
#define RANGE INT_MIN

START_TEST(a_number_fits_or_is_refused)
{
	const brood_object numbers[] = {
		BROOD_INT(-1),
		BROOD_INT(INT64_MAX),
		BROOD_UINT(5),
		BROOD_UINT(UINT64_MAX),
		BROOD_BOOL(true),
		BIG("\x05"),
		BIG(""),
		BIG("\xff\xff\xff\xff\xff\xff\xff\xff\x00"),
		BIG("\x00\x00\x00\x00\x00\x00\x00\x00\x01"),
		BIG("\x00\x00\x00\x00\x00\x00\x00\x00\xff"),
		BIG("\x01\x00\x00\x00\x00\x00\x00\x00\x01"),
	};
	static const struct {
		int as_int, as_uint, as_float;
		double real;
	} wanted[] = {
		{ 0, -ERANGE, 0, -1 },
		{ 0, 0, -ERANGE, 0 },
		{ 0, 0, 0, 5 },
		{ -ERANGE, 0, -ERANGE, 0 },
		{ 0, 0, 0, 1 },
		{ 0, 0, 0, 5 },
		{ 0, 0, 0, 0 },
		{ -ERANGE, 0, -ERANGE, 0 },
		{ -ERANGE, -ERANGE, 0, 0x1p64 },
		{ -ERANGE, -ERANGE, 0, -0x1p64 },
		{ -ERANGE, -ERANGE, -ERANGE, 0 },
	};
	uint64_t natural;
	int64_t integer;
	double real;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		ck_assert_int_eq(brood_object_int(&numbers[i], &integer), wanted[i].as_int);
		ck_assert_int_eq(brood_object_uint(&numbers[i], &natural), wanted[i].as_uint);
		ck_assert_int_eq(brood_object_float(&numbers[i], &real), wanted[i].as_float);
		if (wanted[i].as_float == 0)
			ck_assert_double_eq(real, wanted[i].real);
	}
}
END_TEST

START_TEST(numbers_are_equal_across_kinds)
{
	ck_equal(1, BROOD_INT(1), BROOD_FLOAT(1));
	ck_equal(1, BROOD_INT(1), BROOD_BOOL(true));
	ck_equal(1, BROOD_FLOAT(0.0), BROOD_FLOAT(-0.0));
	ck_equal(1, BROOD_UINT(7), BROOD_INT(7));
	ck_equal(1, BROOD_INT(-2), BIG("\xfe"));
	ck_equal(1, BROOD_INT(INT64_MIN), BROOD_FLOAT(-0x1p63));
	ck_equal(1, BROOD_UINT(UINT64_C(1) << 63), BROOD_FLOAT(0x1p63));
	ck_equal(1, BIG("\x00\x00\x00\x00\x00\x00\x00\x00\x03"), BROOD_FLOAT(0x3p64));
	ck_equal(1, BIG("\x00\x00\x00\x00\x00\x00\x00\x00\xfd"), BROOD_FLOAT(-0x3p64));
	ck_equal(1, BIG("\x00\x00\x00\x00\x00\x00\x00\x80\x00"), BROOD_UINT(UINT64_C(1) << 63));
	ck_equal(0, BROOD_INT(INT64_MAX), BROOD_FLOAT(0x1p63));
	ck_equal(0, BROOD_INT((INT64_C(1) << 53) + 1), BROOD_FLOAT(0x1p53));
	ck_equal(0, BROOD_UINT(UINT64_MAX), BROOD_INT(-1));
	ck_equal(0, BROOD_UINT(UINT64_MAX), BROOD_FLOAT(0x1p64));
	ck_equal(0, BIG("\x01\x00\x00\x00\x00\x00\x00\x00\x03"), BROOD_FLOAT(0x3p64));
	ck_equal(0, BROOD_FLOAT(NAN), BROOD_FLOAT(NAN));
	ck_equal(1, BROOD_FLOAT(INFINITY), BROOD_FLOAT(INFINITY));
	ck_equal(0, BROOD_INT(0), BROOD_NONE);
	ck_equal(0, BROOD_INT(1), BROOD_TEXT("1"));
}
END_TEST

/* 2^n and its neighbours, beyond what any other kind holds. */
START_TEST(large_numbers_equal_the_double_that_has_their_value)
{
	for (unsigned n = 65; n < 1100; n++) {
		unsigned char bytes[160] = { 0 }, minus[160];
		brood_object big, odd, negative;
		double real = 0;

		bytes[n / 8] = (unsigned char)(1u << n % 8);
		memset(minus, 0xff, sizeof(minus));
		memset(minus, 0, n / 8);
		minus[n / 8] = (unsigned char)-(1u << n % 8);
		big = brood_object_of_data(BROOD_OBJECT_BIG, bytes, n / 8 + 2);
		negative = brood_object_of_data(BROOD_OBJECT_BIG, minus, n / 8 + 2);
		ck_assert_int_eq(brood_object_float(&big, &real), n < 1024 ? 0 : -ERANGE);
		ck_equal(n < 1024, big, BROOD_FLOAT(ldexp(1, (int)n)));
		ck_equal(n < 1024, negative, BROOD_FLOAT(-ldexp(1, (int)n)));
		ck_equal(0, big, negative);
		ck_equal(1, big, big);
		bytes[0] |= 1;
		odd = brood_object_of_data(BROOD_OBJECT_BIG, bytes, n / 8 + 2);
		ck_assert_int_eq(brood_object_float(&odd, &real), -ERANGE);
		ck_equal(0, odd, BROOD_FLOAT(ldexp(1, (int)n)));
	}
}
END_TEST

START_TEST(equal_is_as_in_python)
{
	brood_object a = BROOD_NONE;

	ck_equal(1, BROOD_NONE, BROOD_NONE);
	ck_equal(1, BROOD_TEXT("tea"), BROOD_TEXT_OF("teapot", 3));
	ck_equal(0, BROOD_TEXT("tea"), BROOD_BYTES("tea", 3));
	ck_equal(1, BYTEARRAY("tea"), BROOD_BYTES("tea", 3));
	ck_equal(1, BROOD_TEXT_OF(NULL, 0), BROOD_TEXT(""));
	ck_equal(0, BROOD_LIST(BROOD_INT(1)), BROOD_TUPLE(BROOD_INT(1)));
	ck_equal(1, BROOD_LIST(BROOD_INT(1), BROOD_NONE), BROOD_LIST(BROOD_FLOAT(1), BROOD_NONE));
	ck_equal(0, BROOD_LIST(BROOD_INT(1)), BROOD_LIST(BROOD_INT(1), BROOD_NONE));
	ck_equal(1, BROOD_SET(BROOD_INT(1), BROOD_TEXT("x")),
		 FROZENSET(BROOD_TEXT("x"), BROOD_INT(1)));
	ck_equal(0, BROOD_SET(BROOD_INT(1)), BROOD_SET(BROOD_INT(2)));
	ck_equal(0, BROOD_SET(BROOD_INT(1)), BROOD_SET_OF(NULL, 0));
	ck_equal(1, BROOD_DICT(BROOD_INT(1), BROOD_NONE, BROOD_INT(2), BROOD_TEXT("b")),
		 BROOD_DICT(BROOD_INT(2), BROOD_TEXT("b"), BROOD_BOOL(true), BROOD_NONE));
	ck_equal(0, BROOD_DICT(BROOD_INT(1), BROOD_NONE), BROOD_DICT(BROOD_INT(1), BROOD_INT(0)));
	ck_equal(0, BROOD_DICT(BROOD_INT(1), BROOD_NONE, BROOD_INT(2), BROOD_NONE),
		 BROOD_DICT(BROOD_INT(2), BROOD_INT(3), BROOD_INT(1), BROOD_NONE));
	ck_equal(1, CLASS("builtins int"), CLASS("builtins int"));
	ck_equal(1, INSTANCE(CLASS("m c"), BROOD_TUPLE(BROOD_INT(1))),
		 INSTANCE(CLASS("m c"), BROOD_TUPLE(BROOD_INT(1))));
	ck_equal(0, INSTANCE(CLASS("m c"), BROOD_TUPLE(BROOD_INT(1))),
		 INSTANCE(CLASS("m c"), BROOD_TUPLE(BROOD_INT(1)), BROOD_NONE));
	ck_equal(1, BROOD_HANDLE(1, &a), BROOD_HANDLE(1, &a));
	ck_equal(0, BROOD_HANDLE(1, &a), BROOD_HANDLE(2, &a));
}
END_TEST

/* 0 to n-1 as texts, from `first` on, around the end. */
static brood_object *many(size_t n, size_t stride, size_t first)
{
	brood_object *items = calloc(n * stride, sizeof(*items));

	ck_assert_ptr_nonnull(items);
	for (size_t i = 0; i < n; i++) {
		int64_t number = (int64_t)((i + first) % n);

		items[i * stride] =
			number % 3 == 0 ? BROOD_INT(number) : BROOD_FLOAT((double)number + .5);
		if (stride == 2)
			items[2 * i + 1] = BROOD_INT(number);
	}
	return items;
}

START_TEST(large_dicts_and_sets_are_equal_in_any_order)
{
	const size_t n = 100000;
	brood_object *a = many(n, 2, 0), *b = many(n, 2, n / 2);
	brood_object *c = many(n, 1, 0), *d = many(n, 1, 777);

	ck_equal(1, BROOD_DICT_OF(a, n), BROOD_DICT_OF(b, n));
	ck_equal(1, BROOD_SET_OF(c, n), BROOD_SET_OF(d, n));
	b[2 * n - 1] = BROOD_NONE;
	ck_equal(0, BROOD_DICT_OF(a, n), BROOD_DICT_OF(b, n));
	d[5] = BROOD_TEXT("5");
	ck_equal(0, BROOD_SET_OF(c, n), BROOD_SET_OF(d, n));
	for (size_t i = 0; i < n; i++)
		c[i] = d[i] = BROOD_FLOAT(NAN);
	ck_equal(0, BROOD_SET_OF(c, n), BROOD_SET_OF(d, n));
	free(a);
	free(b);
	free(c);
	free(d);
}
END_TEST

/* Sets of two sets of two …, each pair the other way round: who tried all ways would never end. */
START_TEST(nested_sets_do_not_multiply)
{
	enum { LEVELS = 14 };
	static brood_object sets[2][LEVELS][4];
	brood_object top[2];

	for (int side = 0; side < 2; side++) {
		brood_object low = BROOD_INT(0), high = BROOD_INT(1);

		for (int level = 0; level < LEVELS; level++) {
			brood_object *items = sets[side][level];
			brood_object tag = BROOD_INT(100 + level);

			items[side] = low;
			items[!side] = high;
			items[2 + side] = high;
			items[2 + !side] = tag;
			low = brood_object_of_items(BROOD_OBJECT_FROZENSET, items, 2);
			high = brood_object_of_items(BROOD_OBJECT_FROZENSET, items + 2, 2);
		}
		top[side] = low;
	}
	ck_equal(1, top[0], top[1]);
	sets[1][0][0] = BROOD_INT(5);
	ck_equal(0, top[0], top[1]);
}
END_TEST

START_TEST(too_deep_is_an_error_and_no_crash)
{
	static brood_object levels[2][BROOD_OBJECT_DEPTH + 2];
	static char line[3 * BROOD_OBJECT_DEPTH];
	brood_object empty = BROOD_LIST_OF(NULL, 0);

	for (int side = 0; side < 2; side++) {
		levels[side][0] = empty;
		for (size_t i = 1; i < BROOD_OBJECT_DEPTH + 2; i++)
			levels[side][i] = BROOD_LIST_OF(&levels[side][i - 1], 1);
	}
	ck_equal(1, levels[0][BROOD_OBJECT_DEPTH - 1], levels[1][BROOD_OBJECT_DEPTH - 1]);
	ck_equal(-ELOOP, levels[0][BROOD_OBJECT_DEPTH], levels[1][BROOD_OBJECT_DEPTH]);
	ck_equal(-ELOOP, BROOD_SET(levels[0][BROOD_OBJECT_DEPTH]),
		 BROOD_SET(levels[1][BROOD_OBJECT_DEPTH]));
	ck_assert_int_eq(brood_object_describe(&levels[0][BROOD_OBJECT_DEPTH], line, sizeof(line)),
			 2 * BROOD_OBJECT_DEPTH + 3);
	ck_assert_ptr_nonnull(strstr(line, "[...]"));
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	const size_t n = 1000000;
	brood_object *a = many(n, 1, 0), *b = many(n, 1, 1);
	brood_object x = BROOD_SET_OF(a, n), y = BROOD_SET_OF(b, n);
	struct rlimit none = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY };

	if (!is_sanitized) {
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
		ck_assert_int_eq(brood_object_equal(&x, &y), -ENOMEM);
		none.rlim_cur = RLIM_INFINITY;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	}
	free(a);
	free(b);
}
END_TEST

START_TEST(a_line_is_python)
{
	brood_fail fail;
	char line[80];

	ck_described(BROOD_NONE, "None");
	ck_described(BROOD_LIST(BROOD_BOOL(true), BROOD_BOOL(false)), "[True, False]");
	ck_described(BROOD_TUPLE(BROOD_INT(INT64_MIN)), "(-9223372036854775808,)");
	ck_described(BROOD_UINT(UINT64_MAX), "18446744073709551615");
	ck_described(BIG("\x00\x00\x00\x00\x00\x00\x00\x00\x01"), "0x10000000000000000");
	ck_described(BIG("\x00\xff\x00\x00\x00\x00\x00\x00\xfe"), "-0x1ffffffffffff0100");
	ck_described(BIG(""), "0x0");
	ck_described(BROOD_LIST(BROOD_FLOAT(1), BROOD_FLOAT(.1), BROOD_FLOAT(1e300),
				BROOD_FLOAT(-INFINITY), BROOD_FLOAT(NAN)),
		     "[1.0, 0.1, 1e+300, -inf, nan]");
	ck_described(BROOD_TEXT("it's"), "\"it's\"");
	ck_described(BROOD_TEXT("'\"\\"), "'\\'\"\\\\'");
	ck_described(BROOD_TEXT_OF("a\0\n\r\t\x1b\x7f", 7), "'a\\x00\\n\\r\\t\\x1b\\x7f'");
	ck_described(BROOD_TEXT("caf\xc3\xa9 \xc2\x9b \xe2\x82\xac \xf0\x9f\x98\x80"),
		     "'caf\xc3\xa9 \\x9b \xe2\x82\xac \xf0\x9f\x98\x80'");
	ck_described(BROOD_TEXT("\xff\xc3"), "'\\xff\\xc3'");
	ck_described(BROOD_BYTES("a\xff'", 3), "b\"a\\xff'\"");
	ck_described(BYTEARRAY(""), "bytearray(b'')");
	ck_described(BROOD_DICT(BROOD_TEXT("a"), BROOD_LIST_OF(NULL, 0), BROOD_INT(1),
				BROOD_TUPLE_OF(NULL, 0)),
		     "{'a': [], 1: ()}");
	ck_described(BROOD_SET(BROOD_INT(1), BROOD_INT(2)), "{1, 2}");
	ck_described(BROOD_SET_OF(NULL, 0), "set()");
	ck_described(FROZENSET(BROOD_INT(1)), "frozenset({1})");
	ck_described(brood_object_of_items(BROOD_OBJECT_FROZENSET, NULL, 0), "frozenset()");
	ck_described(CLASS("builtins KeyError"), "<class KeyError>");
	ck_described(CLASS("queue Empty"), "<class queue.Empty>");
	ck_described(CLASS("queue"), "<class ?>");
	ck_described(INSTANCE(CLASS("builtins KeyError"), BROOD_TUPLE(BROOD_INT(1))),
		     "KeyError(1)");
	ck_described(INSTANCE(CLASS("m C"), BROOD_TUPLE_OF(NULL, 0), BROOD_INT(5)), "m.C() with 5");
	ck_described(INSTANCE(CLASS("m C")), "?");
	ck_described((brood_object){ .kind = (brood_object_kind)99 }, "<kind 99>");
	snprintf(line, sizeof(line), "<handle 7 at %p>", (void *)&fail);
	ck_described(BROOD_HANDLE(7, &fail), line);
}
END_TEST

START_TEST(a_line_is_cut_between_characters)
{
	brood_object text = BROOD_TEXT("ab\xe2\x82\xac\xe2\x82\xac"), numbers;
	brood_object items[100];
	static const char *const cut[] = { "",
					   "",
					   ".",
					   "..",
					   "...",
					   "'...",
					   "'a...",
					   "'ab...",
					   "'ab...",
					   "'ab...",
					   "'ab\xe2\x82\xac...",
					   "'ab\xe2\x82\xac\xe2\x82\xac'" };
	char buf[32];

	for (size_t size = 0; size < sizeof(cut) / sizeof(cut[0]); size++) {
		memset(buf, '#', sizeof(buf));
		ck_assert_int_eq(brood_object_describe(&text, buf, size), (int)strlen(cut[size]));
		if (size > 0)
			ck_assert_str_eq(buf, cut[size]);
		ck_assert_int_eq(buf[size], '#');
	}
	for (int i = 0; i < 100; i++)
		items[i] = BROOD_INT(i);
	numbers = BROOD_LIST_OF(items, 100);
	ck_assert_int_eq(brood_object_describe(&numbers, buf, 16), 15);
	ck_assert_str_eq(buf, "[0, 1, 2, 3,...");
}
END_TEST

START_TEST(a_large_object_costs_what_is_written)
{
	brood_object row[2], list = BROOD_LIST_OF(row, 2);
	brood_object rows[64][2];
	char buf[64];

	/* 2^64 numbers, if one went through all of it. */
	row[0] = row[1] = BROOD_INT(1);
	for (int i = 0; i < 64; i++) {
		rows[i][0] = rows[i][1] = list;
		list = BROOD_LIST_OF(rows[i], 2);
	}
	ck_assert_int_eq(brood_object_describe(&list, buf, sizeof(buf)), 63);
	ck_assert_str_eq(buf + 60, "...");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object");
	TCase *tcase = leak_case(suite, "object", 60);

	tcase_add_test(tcase, a_tree_is_walked_in_one_line);
	tcase_add_test(tcase, another_kind_and_no_object_are_told_apart);
	tcase_add_test(tcase, single_values_are_what_they_were_made_of);
	tcase_add_test(tcase, a_number_fits_or_is_refused);
	tcase_add_test(tcase, numbers_are_equal_across_kinds);
	tcase_add_test(tcase, large_numbers_equal_the_double_that_has_their_value);
	tcase_add_test(tcase, equal_is_as_in_python);
	tcase_add_test(tcase, large_dicts_and_sets_are_equal_in_any_order);
	tcase_add_test(tcase, nested_sets_do_not_multiply);
	tcase_add_test(tcase, too_deep_is_an_error_and_no_crash);
	tcase_add_test(tcase, no_memory_is_an_error);
	tcase_add_test(tcase, a_line_is_python);
	tcase_add_test(tcase, a_line_is_cut_between_characters);
	tcase_add_test(tcase, a_large_object_costs_what_is_written);
	return leak_run(suite);
}
