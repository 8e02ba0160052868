#include "serve/range.h"

#include <string.h>

#include "tests/unit/leak.h"

static const struct {
	const char *value;
	uint64_t size;
	enum range kind;
	uint64_t offset, length;
} cases[] = {
	{ NULL, 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=0-0", 10, RANGE_PART, 0, 1 },
	{ "bytes=0-9", 10, RANGE_PART, 0, 10 },
	{ "bytes=0-10", 10, RANGE_PART, 0, 10 },
	{ "bytes=3-", 10, RANGE_PART, 3, 7 },
	{ "bytes=9-", 10, RANGE_PART, 9, 1 },
	{ "bytes=-1", 10, RANGE_PART, 9, 1 },
	{ "bytes=-10", 10, RANGE_PART, 0, 10 },
	{ "bytes=-11", 10, RANGE_PART, 0, 10 },
	{ "bytes=-18446744073709551616", 10, RANGE_PART, 0, 10 },
	{ "bytes=5-18446744073709551616", 10, RANGE_PART, 5, 5 },
	{ "bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10 },
	{ "bytes=10-", 10, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=10-11", 10, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=-0", 10, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=18446744073709551616-", 10, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=0-", 0, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=0-0", 0, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=-1", 0, RANGE_OUTSIDE, 0, 0 },
	{ "bytes=-0", 0, RANGE_OUTSIDE, 0, 0 },
	/* Not ours to understand: as if the header were not there. */
	{ "", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=-", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=5", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=2-1", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=1-2,4-5", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=1-2x", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=a-2", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes= 1-2", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=--1", 10, RANGE_WHOLE, 0, 0 },
	{ "bytes=+1-2", 10, RANGE_WHOLE, 0, 0 },
	{ "lines=1-2", 10, RANGE_WHOLE, 0, 0 },
	{ "1-2", 10, RANGE_WHOLE, 0, 0 },
};

START_TEST(ranges)
{
	uint64_t offset = 4711, length = 4712;

	ck_assert_int_eq(range_parse(cases[_i].value, cases[_i].size, &offset, &length),
			 cases[_i].kind);
	if (cases[_i].kind != RANGE_PART) {
		ck_assert_uint_eq(offset, 4711);
		ck_assert_uint_eq(length, 4712);
		return;
	}
	ck_assert_uint_eq(offset, cases[_i].offset);
	ck_assert_uint_eq(length, cases[_i].length);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/range");
	TCase *range = leak_case(suite, "ranges", 10);

	tcase_add_loop_test(range, ranges, 0, sizeof(cases) / sizeof(cases[0]));
	return leak_run(suite);
}
