#include "serve/id.h"

#include <string.h>

#include "tests/unit/leak.h"

#define NOW INT64_C(1800000000000)

START_TEST(ids_grow_whatever_the_clock_does)
{
	static const int64_t clocks[] = { NOW, NOW, NOW + 1, NOW - 86400000, 0,
					  -5,  NOW, NOW + 2, INT64_C(1) };
	char text[ID_SIZE], before[ID_SIZE] = "";
	uint64_t last = 0;

	for (int round = 0; round < 1000; round++)
		for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
			uint64_t id = id_next(last, clocks[i], (uint32_t)(round * 2654435761U));

			ck_assert_uint_gt(id, last);
			ck_assert_uint_le(id, INT64_MAX);
			ck_assert_str_gt(id_format(id, text), before); /* text order is age order */
			memcpy(before, text, sizeof(before));
			last = id;
		}
}
END_TEST

START_TEST(many_in_one_millisecond_do_not_run_into_the_next)
{
	uint64_t id = 0;

	for (int i = 0; i < 100000; i++)
		id = id_next(id, NOW, UINT32_MAX - (uint32_t)i);
	ck_assert_uint_lt(id, id_next(0, NOW + 1, 0));
}
END_TEST

START_TEST(two_servers_give_different_ones)
{
	ck_assert_uint_ne(id_next(0, NOW, 1), id_next(0, NOW, 2));
	ck_assert_uint_eq(id_next(0, NOW, 7), id_next(0, NOW, 7));
}
END_TEST

START_TEST(text_and_back)
{
	static const uint64_t ids[] = {
		0, 1, 31, 32, UINT64_C(0x123456789abcdef0), INT64_MAX, (uint64_t)NOW << 20
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char text[ID_SIZE];
		uint64_t id = 4711;

		ck_assert_uint_eq(strlen(id_format(ids[i], text)), ID_SIZE - 1);
		ck_assert(id_parse(text, &id));
		ck_assert_uint_eq(id, ids[i]);
	}
}
END_TEST

START_TEST(anything_else_is_no_id)
{
	static const char *const wrong[] = {
		"",
		"0",
		"000000000000",
		"00000000000000",
		"8000000000000",
		"z000000000000",
		"000000000000i",
		"000000000000l",
		"000000000000o",
		"000000000000u",
		"000000000000A",
		"000000000000-",
		" 00000000000000",
		"000000000000 ",
		"00000/0000000",
		"000000000000\xff",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint64_t id = 4711;

		ck_assert_msg(!id_parse(wrong[i], &id), "'%s' is one", wrong[i]);
		ck_assert_uint_eq(id, 4711);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/id");
	TCase *ids = leak_case(suite, "ids", 10);

	tcase_add_test(ids, ids_grow_whatever_the_clock_does);
	tcase_add_test(ids, many_in_one_millisecond_do_not_run_into_the_next);
	tcase_add_test(ids, two_servers_give_different_ones);
	tcase_add_test(ids, text_and_back);
	tcase_add_test(ids, anything_else_is_no_id);
	return leak_run(suite);
}
