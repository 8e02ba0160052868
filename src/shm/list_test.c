/* Lists: the bytes are those of CPython, items come back, foreign bytes are refused. */
#include <brood/list.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/layout.h"
#include "tests/unit/leak.h"

#define TEXT(text)                                                       \
	{                                                                \
		BROOD_ITEM_STR, .data = (text), .size = sizeof(text) - 1 \
	}
#define RAW(text)                                                          \
	{                                                                  \
		BROOD_ITEM_BYTES, .data = (text), .size = sizeof(text) - 1 \
	}
#define INT(number)                                 \
	{                                           \
		BROOD_ITEM_INT, .integer = (number) \
	}
#define REAL(number)                               \
	{                                          \
		BROOD_ITEM_FLOAT, .real = (number) \
	}
#define TRUE_OR(value)                              \
	{                                           \
		BROOD_ITEM_BOOL, .boolean = (value) \
	}
#define NOTHING                            \
	{                                  \
		BROOD_ITEM_NONE, .size = 0 \
	}

static const brood_list_layout layouts[] = { BROOD_LIST_EXACT, BROOD_LIST_PYTHON,
					     BROOD_LIST_PYTHON_3_8 };

static brood_list *make(const brood_item *items, size_t n, brood_list_layout layout)
{
	brood_list *list = NULL;

	ck_assert_int_eq(brood_list_new(items, n, &(brood_list_opts){ .layout = layout }, &list),
			 0);
	ck_assert_uint_eq(brood_list_length(list), n);
	ck_assert_int_eq(brood_list_layout_of(list), layout);
	return list;
}

static void check_item(const brood_list *list, ssize_t index, const brood_item *wanted)
{
	brood_item item;
	char buf[64];

	ck_assert_int_eq(brood_list_get(list, index, buf, sizeof(buf), &item), 0);
	ck_assert_int_eq(item.kind, wanted->kind);
	ck_assert_int_eq(item.integer, wanted->integer);
	ck_assert_int_eq(item.boolean, wanted->boolean);
	ck_assert(item.real == wanted->real);
	ck_assert_uint_eq(item.size, wanted->size);
	if (item.size > 0)
		ck_assert_mem_eq(item.data, wanted->data, item.size);
}

/* What CPython 3.13 makes of [1, -2, 3.5, True, None, 'hi', b'ab\0', '12345678']; of 3.9 it is the
 * same. */
START_TEST(the_bytes_are_those_of_cpython)
{
	const brood_item items[] = { INT(1),  INT(-2),    REAL(3.5),   TRUE_OR(true),
				     NOTHING, TEXT("hi"), RAW("ab\0"), TEXT("12345678") };
	static const unsigned char wanted[] =
		"\x08\0\0\0\0\0\0\0"
		"\0\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x18\0\0\0\0\0\0\0"
		"\x20\0\0\0\0\0\0\0\x28\0\0\0\0\0\0\0\x30\0\0\0\0\0\0\0\x38\0\0\0\0\0\0\0"
		"\x48\0\0\0\0\0\0\0"
		"\x01\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\x0c\x40"
		"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0hi\0\0\0\0\0\0ab\0\0\0\0\0\0"
		"12345678\0\0\0\0\0\0\0\0"
		"q\0\0\0\0\0\0\0q\0\0\0\0\0\0\0d\0\0\0\0\0\0\0xxxxxxx?xxxxxx?x"
		"8s\0\0\0\0\0\0008s\0\0\0\0\0\00016s\0\0\0\0\0"
		"\0\0\0\0\x03\x01\x02\x01";
	brood_list *list = make(items, 8, BROOD_LIST_PYTHON);
	brood_segment *segment = brood_list_segment(list);
	char format[100], cut[5];

	ck_assert_uint_eq(brood_segment_size(segment), sizeof(wanted) - 1);
	ck_assert_mem_eq(brood_segment_data(segment), wanted, sizeof(wanted) - 1);
	ck_assert_uint_eq(brood_list_format(list, format, sizeof(format)), 26);
	ck_assert_str_eq(format, "qqdxxxxxxx?xxxxxx?x8s8s16s");
	ck_assert_uint_eq(brood_list_format(list, cut, sizeof(cut)), 26);
	ck_assert_str_eq(cut, "qqdx");
	ck_assert_uint_eq(brood_list_format(list, NULL, 0), 26);
	brood_list_free(list);

	/* In 3.8 sizes stand where the offsets are, and one word less. */
	list = make(items, 8, BROOD_LIST_PYTHON_3_8);
	segment = brood_list_segment(list);
	ck_assert_uint_eq(brood_segment_size(segment), sizeof(wanted) - 1 - 8);
	ck_assert_mem_eq(brood_segment_data(segment), "\x08\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0", 16);
	ck_assert_mem_eq((char *)brood_segment_data(segment) + 64, "\x10\0\0\0\0\0\0\0", 8);
	ck_assert_mem_eq((char *)brood_segment_data(segment) + 72, wanted + 80,
			 sizeof(wanted) - 81);
	brood_list_free(list);
}
END_TEST

START_TEST(items_come_back)
{
	const brood_item items[] = { INT(INT64_MIN), REAL(-0.1),
				     TRUE_OR(false), TRUE_OR(true),
				     NOTHING,        TEXT(""),
				     RAW(""),        TEXT("caf\xc3\xa9"),
				     RAW("\xff\0x"), TEXT("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9") };
	brood_item item = INT(0);
	char buf[4];

	for (int i = 0; i < 3; i++) {
		brood_list *list = make(items, 10, layouts[i]);

		for (int k = 0; k < 10; k++) {
			check_item(list, k, &items[k]);
			check_item(list, k - 10, &items[k]);
		}
		ck_assert_int_eq(brood_list_get(list, 10, buf, 4, &item), -ERANGE);
		ck_assert_int_eq(brood_list_get(list, -11, buf, 4, &item), -ERANGE);
		ck_assert_int_eq(brood_list_get(list, LONG_MIN, buf, 4, &item), -ERANGE);
		ck_assert_int_eq((int)brood_list_room(list, 10), -ERANGE);
		ck_assert_int_eq(brood_list_get(list, 7, buf, 4, &item), -ENOBUFS);
		ck_assert_int_eq(brood_list_get(list, 7, NULL, 0, &item), -ENOBUFS);
		ck_assert_int_eq(brood_list_get(list, 0, NULL, 0, &item), 0);
		ck_assert_int_eq(brood_list_get(list, 5, NULL, 0, &item), 0);
		ck_assert_int_eq((int)brood_list_room(list, 9), 16);
		ck_assert_ptr_null(brood_list_free(list));
	}
	ck_assert_ptr_null(brood_list_free(NULL));
}
END_TEST

START_TEST(only_exact_lists_keep_nuls_at_the_end)
{
	const brood_item items[] = { RAW("ab\0\0"), TEXT("\0"), RAW("12345678") };
	const brood_item cut[] = { RAW("ab"), TEXT(""), RAW("12345678") };

	for (int i = 0; i < 3; i++) {
		brood_list *list = make(items, 3, layouts[i]);

		for (int k = 0; k < 3; k++)
			check_item(list, k, layouts[i] == BROOD_LIST_EXACT ? &items[k] : &cut[k]);
		brood_list_free(list);
	}
}
END_TEST

START_TEST(an_item_is_replaced_by_what_fits)
{
	const brood_item first[] = { INT(7), TEXT("0123456789"), NOTHING };
	const brood_item whole = RAW("0123456789abcdef"), eight = TEXT("12345678"), one = RAW("x");
	const brood_item real = REAL(0.5), yes = TRUE_OR(true), none = NOTHING,
			 more = TEXT("123456789");
	const brood_item broken = TEXT("\xc3"), empty = TEXT("");
	brood_item wrong = { .kind = 9 };

	for (int i = 0; i < 3; i++) {
		brood_list *list = make(first, 3, layouts[i]);

		ck_assert_int_eq(brood_list_set(list, 1, &whole), 0);
		check_item(list, 1, &whole);
		ck_assert_int_eq(brood_list_set(list, 1, &one), 0);
		check_item(list, 1, &one);
		ck_assert_int_eq(brood_list_set(list, 1, &real), 0);
		check_item(list, 1, &real);
		ck_assert_int_eq(brood_list_set(list, 1, &empty), 0);
		check_item(list, 1, &empty);
		ck_assert_int_eq(brood_list_set(list, 0, &eight), 0);
		check_item(list, 0, &eight);
		ck_assert_int_eq(brood_list_set(list, 0, &more), -EMSGSIZE);
		ck_assert_int_eq(brood_list_set(list, 0, &broken), -EILSEQ);
		ck_assert_int_eq(brood_list_set(list, 0, &wrong), -EINVAL);
		check_item(list, 0, &eight);
		ck_assert_int_eq(brood_list_set(list, -1, &yes), 0);
		check_item(list, 2, &yes);
		ck_assert_int_eq(brood_list_set(list, -1, &none), 0);
		check_item(list, 2, &none);
		ck_assert_int_eq(brood_list_set(list, 3, &none), -ERANGE);
		brood_list_free(list);
	}
}
END_TEST

START_TEST(equal_is_what_python_calls_equal)
{
	const brood_item items[] = { INT(1),        REAL(1.0),
				     TRUE_OR(true), TEXT("1"),
				     RAW("1"),      NOTHING,
				     REAL(NAN),     INT((INT64_C(1) << 53) + 1),
				     NOTHING,       TRUE_OR(false) };
	const brood_item one = INT(1), text = TEXT("1"), nan = REAL(NAN), none = NOTHING,
			 zero = REAL(-0.0);
	const brood_item large = REAL(9007199254740992.0), huge = REAL(1e300), bytes = RAW("1");
	brood_list *list = make(items, 10, BROOD_LIST_EXACT);

	ck_assert_uint_eq(brood_list_count(list, &one), 3);
	ck_assert_int_eq((int)brood_list_index(list, &one), 0);
	ck_assert_int_eq((int)brood_list_index(list, &text), 3);
	ck_assert_int_eq((int)brood_list_index(list, &bytes), 4);
	ck_assert_int_eq((int)brood_list_index(list, &nan), -ENOENT);
	ck_assert_int_eq((int)brood_list_index(list, &large), -ENOENT);
	ck_assert_int_eq((int)brood_list_index(list, &huge), -ENOENT);
	ck_assert_int_eq((int)brood_list_index(list, &zero), 9);
	ck_assert_uint_eq(brood_list_count(list, &none), 2);
	brood_list_free(list);
}
END_TEST

START_TEST(wrong_items_are_named)
{
	static char large[10000000];
	brood_item items[] = { INT(1), TEXT("x") };
	brood_list *list = NULL;
	brood_fail fail = { .step = NULL };
	brood_list_opts opts = { .fail = &fail };

	memset(large, 'x', sizeof(large));
	items[1].kind = 17;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), -EINVAL);
	ck_assert_str_eq(fail.step, "item");
	ck_assert_str_eq(fail.text, "1");
	items[1].kind = BROOD_ITEM_STR;
	items[1].data = "\xed\xa0\x80"; /* a surrogate */
	items[1].size = 3;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), -EILSEQ);
	items[1].data = NULL;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), -EINVAL);
	items[1].data = large;
	items[1].size = 1000000;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), -EMSGSIZE);
	items[1].size = 999999;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), 0);
	ck_assert_int_eq(brood_list_count(list, &items[1]), 1);
	brood_list_free(list);
	opts.layout = BROOD_LIST_PYTHON;
	items[1].size = 9999992;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), -EMSGSIZE);
	items[1].size = 9999991;
	ck_assert_int_eq(brood_list_new(items, 2, &opts, &list), 0);
	ck_assert_int_eq(brood_list_count(list, &items[1]), 1);
	ck_assert_int_eq(brood_list_set(list, 0, NULL), -EINVAL);
	brood_list_free(list);
	opts.layout = 7;
	ck_assert_int_eq(brood_list_new(items, 1, &opts, &list), -EINVAL);
	opts.layout = BROOD_LIST_EXACT;
	ck_assert_int_eq(brood_list_new(NULL, 1, &opts, &list), -EINVAL);
	ck_assert_int_eq(brood_list_new(items, SIZE_MAX, &opts, &list), -EFBIG);
	opts.name = "a/b";
	ck_assert_int_eq(brood_list_new(items, 1, &opts, &list), -EINVAL);
	ck_assert_str_eq(fail.step, "name");
	ck_assert_int_eq(brood_list_open("brood-none", &opts, &list), -ENOENT);
}
END_TEST

START_TEST(text_is_utf8)
{
	static const char *const good[] = { "",
					    "a",
					    "\xc2\x80",
					    "\xe0\xa0\x80",
					    "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf",
					    "\xed\x9f\xbf" };
	static const char *const bad[] = { "\x80",
					   "\xc1\xbf",
					   "\xc2",
					   "\xe0\x9f\xbf",
					   "\xed\xa0\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xff",
					   "a\xe2\x82",
					   "\xc2\x41" };
	brood_item item = { .kind = BROOD_ITEM_STR };
	size_t wrong;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		item.data = good[i];
		item.size = strlen(good[i]);
		ck_assert_int_gt((int)bri_list_bytes(&item, 1, BROOD_LIST_EXACT, &wrong), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		item.data = bad[i];
		item.size = strlen(bad[i]);
		ck_assert_int_eq((int)bri_list_bytes(&item, 1, BROOD_LIST_EXACT, &wrong), -EILSEQ);
	}
}
END_TEST

START_TEST(a_named_list_is_opened_by_name)
{
	const brood_item items[] = { INT(5) };
	brood_list *list = NULL, *again = NULL;
	brood_segment *segment = NULL, *reader;
	const char *name;

	ck_assert_int_eq(brood_list_new(items, 1, &(brood_list_opts){ .named = true }, &list), 0);
	name = brood_segment_name(brood_list_segment(list));
	ck_assert_int_eq(brood_list_open(name, NULL, &again), 0);
	ck_assert_int_eq(brood_list_layout_of(again), BROOD_LIST_EXACT);
	check_item(again, 0, &items[0]);
	ck_assert_int_eq(brood_segment_close(brood_list_segment(again)), 0);
	ck_assert_int_eq(brood_list_attach(brood_list_segment(again), &again), -EBADF);
	brood_list_free(again);
	ck_assert_int_eq(brood_segment_open(name,
					    &(brood_segment_opts){ .raw = true, .read_only = true },
					    &reader),
			 0);
	ck_assert_int_eq(brood_list_attach(reader, &again), 0);
	check_item(again, 0, &items[0]);
	ck_assert_int_eq(brood_list_set(again, 0, &items[0]), -EPERM);
	brood_list_free(again);
	brood_segment_unref(reader);
	ck_assert_int_eq(brood_segment_unlink(brood_list_segment(list)), 0);
	brood_list_free(list);
	/* Not a list. */
	ck_assert_int_eq(brood_segment_new(100, &(brood_segment_opts){ .named = true }, &segment),
			 0);
	ck_assert_int_eq(brood_list_open(brood_segment_name(segment), NULL, &list), -EBADMSG);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(an_empty_list_is_one)
{
	brood_list *list;

	for (int i = 0; i < 3; i++) {
		list = make(NULL, 0, layouts[i]);
		ck_assert_int_eq((int)brood_list_room(list, 0), -ERANGE);
		ck_assert_int_eq((int)brood_list_room(list, -1), -ERANGE);
		brood_list_free(list);
	}
}
END_TEST

START_TEST(wrong_bytes_are_refused_and_nothing_outside_is_read)
{
	const brood_item items[] = { INT(1), TEXT("hello"), NOTHING, REAL(2), TRUE_OR(true) };

	for (int i = 0; i < 3; i++) {
		size_t bad;
		ssize_t size = bri_list_bytes(items, 5, layouts[i], &bad);
		unsigned char *bytes = calloc(1, (size_t)size), *forged;
		struct bri_list_view view;
		brood_item item;
		char buf[64];

		bri_list_write(bytes, (size_t)size, items, 5, layouts[i]);
		/* Each byte changed, and each length cut; a sanitizer sees what is read outside. */
		for (ssize_t at = 0; at < size; at++)
			for (int change = 1; change < 256; change = change * 2 + 1) {
				forged = malloc((size_t)size);
				ck_assert_ptr_nonnull(forged);
				memcpy(forged, bytes, (size_t)size);
				forged[at] ^= (unsigned char)change;
				if (bri_list_look(forged, (size_t)size, &view) == 0) {
					for (size_t k = 0; k < view.n; k++) {
						(void)bri_list_get(&view, k, buf, sizeof(buf),
								   &item);
						(void)bri_list_set(&view, k, &items[k % 5]);
					}
					bri_list_forget(&view);
				}
				free(forged);
			}
		for (size_t less = 0; less < (size_t)size - (i == 0 ? 8 : 0); less++) {
			forged = malloc(less + 1);
			ck_assert_ptr_nonnull(forged);
			memcpy(forged, bytes, less);
			ck_assert_int_eq(bri_list_look(forged, less, &view), -EBADMSG);
			free(forged);
		}
		free(bytes);
	}
}
END_TEST

START_TEST(wrong_formats_are_refused)
{
	const brood_item items[] = { TEXT("hello") };
	static const char *const formats[] = { "",    "s",        "9s",       "8sx", "8 s",
					       "-1s", "xxxxxxxx", "99999999", "x" };
	brood_list *list = make(items, 1, BROOD_LIST_PYTHON);
	unsigned char *bytes = brood_segment_data(brood_list_segment(list));
	brood_item item;
	char buf[16];

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char format[9] = "";

		snprintf(format, sizeof(format), "%s", formats[i]);
		memcpy(bytes + 32, format, 8);
		for (int code = 0; code < 5; code++) {
			bytes[40] = (unsigned char)code;
			ck_assert_int_eq(brood_list_get(list, 0, buf, sizeof(buf), &item),
					 -EBADMSG);
			ck_assert_uint_eq(brood_list_count(list, &items[0]), 0);
		}
	}
	/* Right ones with a wrong code. */
	memcpy(bytes + 32, "8s\0\0\0\0\0\0", 8);
	bytes[40] = 0;
	ck_assert_int_eq(brood_list_get(list, 0, buf, sizeof(buf), &item), -EBADMSG);
	memcpy(bytes + 32, "q\0\0\0\0\0\0\0", 8);
	bytes[40] = 3;
	ck_assert_int_eq(brood_list_get(list, 0, buf, sizeof(buf), &item), -EBADMSG);
	/* Text that CPython has cut within a character. */
	memcpy(bytes + 32, "8s\0\0\0\0\0\0", 8);
	bytes[40] = 1;
	memcpy(bytes + 24, "abcdefg\xc3", 8);
	ck_assert_int_eq(brood_list_get(list, 0, buf, sizeof(buf), &item), -EILSEQ);
	brood_list_free(list);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("list");
	TCase *tcase = leak_case(suite, "list", 60);

	tcase_add_test(tcase, the_bytes_are_those_of_cpython);
	tcase_add_test(tcase, items_come_back);
	tcase_add_test(tcase, only_exact_lists_keep_nuls_at_the_end);
	tcase_add_test(tcase, an_item_is_replaced_by_what_fits);
	tcase_add_test(tcase, equal_is_what_python_calls_equal);
	tcase_add_test(tcase, wrong_items_are_named);
	tcase_add_test(tcase, text_is_utf8);
	tcase_add_test(tcase, a_named_list_is_opened_by_name);
	tcase_add_test(tcase, an_empty_list_is_one);
	tcase_add_test(tcase, wrong_bytes_are_refused_and_nothing_outside_is_read);
	tcase_add_test(tcase, wrong_formats_are_refused);
	return leak_run(suite);
}
