#include "common/units.h"

#include <brood/base.h>
#include <errno.h>

#include "tests/unit/leak.h"

#define UNTOUCHED 4711
#define N(array) (sizeof(array) / sizeof((array)[0]))

typedef int parse_function(const char *text, int64_t *ret_value);

static void takes(parse_function *parse, const char *text, int64_t wanted)
{
	int64_t value = UNTOUCHED;

	ck_assert_msg(parse(text, &value) == 0, "'%s' is refused", text);
	ck_assert_msg(value == wanted, "'%s' is %lld", text, (long long)value);
}

static void refuses(parse_function *parse, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t value = UNTOUCHED;

		ck_assert_msg(parse(texts[i], &value) == -EINVAL, "'%s' is taken", texts[i]);
		ck_assert_int_eq(value, UNTOUCHED);
	}
}

START_TEST(durations)
{
	static const char *const wrong[] = {
		"",        "5",
		"s",       "-1s",
		"+1s",     " 1s",
		"1s ",     "1 s",
		"1.5s",    "1S",
		"1sec",    "1m30s",
		"0x1s",    "1e3s",
		"ns",      "1us",
		"00:01",   "1\n",
		"0 ",      "9223372036855ms",
		"106752d", "99999999999999999999999s",
	};

	takes(parse_duration, "0", 0);
	takes(parse_duration, "0s", 0);
	takes(parse_duration, "500ms", 500 * BROOD_MSEC);
	takes(parse_duration, "5s", 5 * BROOD_SEC);
	takes(parse_duration, "010s", 10 * BROOD_SEC);
	takes(parse_duration, "10m", 600 * BROOD_SEC);
	takes(parse_duration, "2h", 7200 * BROOD_SEC);
	takes(parse_duration, "7d", 7 * INT64_C(86400) * BROOD_SEC);
	takes(parse_duration, "106751d", 106751 * INT64_C(86400) * BROOD_SEC);
	refuses(parse_duration, wrong, N(wrong));
}
END_TEST

START_TEST(sizes)
{
	static const char *const wrong[] = {
		"",
		"B",
		"-1",
		"1.5KiB",
		"1 KiB",
		"1kib",
		"1KB",
		"1K",
		"1TiB",
		"0x10",
		"1e6",
		"1KiB ",
		" 1",
		"9223372036854775808",
		"8589934592GiB",
	};

	takes(parse_size, "0", 0);
	takes(parse_size, "1", 1);
	takes(parse_size, "17B", 17);
	takes(parse_size, "64KiB", 64 << 10);
	takes(parse_size, "16MiB", 16 << 20);
	takes(parse_size, "3GiB", INT64_C(3) << 30);
	takes(parse_size, "9223372036854775807", INT64_MAX);
	refuses(parse_size, wrong, N(wrong));
}
END_TEST

START_TEST(counts)
{
	static const char *const wrong[] = { "",   "-1", "+1",  "1.0", " 1",
					     "1 ", "x",  "0x1", "1B",  "9223372036854775808" };

	takes(parse_count, "0", 0);
	takes(parse_count, "007", 7);
	takes(parse_count, "9223372036854775807", INT64_MAX);
	refuses(parse_count, wrong, N(wrong));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("common/units");
	TCase *units = leak_case(suite, "units", 10);

	tcase_add_test(units, durations);
	tcase_add_test(units, sizes);
	tcase_add_test(units, counts);
	return leak_run(suite);
}
