/* Values: each type's range, one step at a time, killed users. */
#include <brood/value.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#include "tests/unit/leak.h"

static const struct {
	char type;
	int size;
	int64_t least, most;
} integers[] = {
	{ '?', 1, 0, 1 },
	{ 'c', 1, CHAR_MIN, CHAR_MAX },
	{ 'b', 1, SCHAR_MIN, SCHAR_MAX },
	{ 'B', 1, 0, UCHAR_MAX },
	{ 'h', 2, SHRT_MIN, SHRT_MAX },
	{ 'H', 2, 0, USHRT_MAX },
	{ 'i', 4, INT_MIN, INT_MAX },
	{ 'I', 4, 0, UINT_MAX },
	{ 'l', sizeof(long), LONG_MIN, LONG_MAX },
	{ 'q', 8, INT64_MIN, INT64_MAX },
	{ 'u', sizeof(wchar_t), WCHAR_MIN, WCHAR_MAX },
};

static brood_value *shared(void)
{
	brood_value *value = mmap(NULL, sizeof(*value), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(value, MAP_FAILED);
	return value;
}

START_TEST(each_integer_type_has_its_range)
{
	brood_value value;
	int64_t number;
	double real;

	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		memset(&value, 0xff, sizeof(value));
		ck_assert_int_eq(brood_type_size(integers[i].type), integers[i].size);
		ck_assert_int_eq(brood_value_init(&value, integers[i].type), 0);
		ck_assert_int_eq(brood_value_type(&value), integers[i].type);
		ck_assert_int_eq(brood_value_get_int(&value, &number), 0);
		ck_assert_int_eq(number, 0);
		ck_assert_int_eq(brood_value_set_int(&value, integers[i].least), 0);
		ck_assert_int_eq(brood_value_get_int(&value, &number), 0);
		ck_assert_int_eq(number, integers[i].least);
		ck_assert_int_eq(brood_value_set_int(&value, integers[i].most), 0);
		if (integers[i].most < INT64_MAX)
			ck_assert_int_eq(brood_value_set_int(&value, integers[i].most + 1),
					 -ERANGE);
		if (integers[i].least > INT64_MIN)
			ck_assert_int_eq(brood_value_set_int(&value, integers[i].least - 1),
					 -ERANGE);
		ck_assert_int_eq(brood_value_set_uint(&value, UINT64_MAX), -ERANGE);
		ck_assert_int_eq(brood_value_get_int(&value, &number), 0);
		ck_assert_int_eq(number, integers[i].most);
		ck_assert_int_eq(brood_value_get_double(&value, &real), 0);
		ck_assert(real == (double)integers[i].most);
		ck_assert_int_eq(brood_value_set_double(&value, 1), -EDOM);
		ck_assert_int_eq(brood_value_add_double(&value, 1, NULL), -EDOM);
	}
}
END_TEST

START_TEST(the_largest_unsigned_numbers)
{
	brood_value value;
	uint64_t number = 5;
	int64_t other = 5;
	double real;

	ck_assert_int_eq(brood_value_init(&value, 'Q'), 0);
	ck_assert_int_eq(brood_value_set_uint(&value, UINT64_MAX), 0);
	ck_assert_int_eq(brood_value_get_uint(&value, &number), 0);
	ck_assert_uint_eq(number, UINT64_MAX);
	ck_assert_int_eq(brood_value_get_int(&value, &other), -ERANGE);
	ck_assert_int_eq(other, 5);
	ck_assert_int_eq(brood_value_get_double(&value, &real), 0);
	ck_assert(real == 18446744073709551616.0);
	ck_assert_int_eq(brood_value_set_int(&value, -1), -ERANGE);
	ck_assert_int_eq(brood_value_init(&value, 'q'), 0);
	ck_assert_int_eq(brood_value_set_int(&value, -1), 0);
	ck_assert_int_eq(brood_value_get_uint(&value, &number), -ERANGE);
}
END_TEST

START_TEST(floating_types)
{
	brood_value value;
	double number;
	int64_t integer;

	ck_assert_int_eq(brood_value_init(&value, 'd'), 0);
	ck_assert_int_eq(brood_value_set_double(&value, 0.1), 0);
	ck_assert_int_eq(brood_value_add_double(&value, 0.2, &number), 0);
	ck_assert(number == 0.1 + 0.2);
	ck_assert_int_eq(brood_value_get_double(&value, &number), 0);
	ck_assert(number == 0.1 + 0.2);
	ck_assert_int_eq(brood_value_get_int(&value, &integer), -EDOM);
	ck_assert_int_eq(brood_value_add(&value, 1, NULL), -EDOM);
	ck_assert_int_eq(brood_value_replace(&value, 1, 1, NULL), -EDOM);
	ck_assert_int_eq(brood_value_set_int(&value, -7), 0);
	ck_assert_int_eq(brood_value_get_double(&value, &number), 0);
	ck_assert(number == -7);
	ck_assert_int_eq(brood_value_set_double(&value, NAN), 0);
	ck_assert_int_eq(brood_value_add_double(&value, 1, &number), 0);
	ck_assert(isnan(number));
	ck_assert_int_eq(brood_value_init(&value, 'f'), 0);
	ck_assert_int_eq(brood_value_set_double(&value, 0.1), 0);
	ck_assert_int_eq(brood_value_get_double(&value, &number), 0);
	ck_assert(number == (double)0.1f);
}
END_TEST

START_TEST(adding_and_replacing)
{
	brood_value value;
	int64_t number = 0;

	ck_assert_int_eq(brood_value_init(&value, 'b'), 0);
	ck_assert_int_eq(brood_value_add(&value, 100, &number), 0);
	ck_assert_int_eq(number, 100);
	ck_assert_int_eq(brood_value_add(&value, 100, &number), 0);
	ck_assert_int_eq(number, -56);
	ck_assert_int_eq(brood_value_replace(&value, -56, 3, &number), 1);
	ck_assert_int_eq(brood_value_replace(&value, -56, 4, &number), 0);
	ck_assert_int_eq(number, 3);
	ck_assert_int_eq(brood_value_replace(&value, 3, 1000, &number), -ERANGE);
	/* 259 has the bits of 3 there. */
	ck_assert_int_eq(brood_value_replace(&value, 259, 4, &number), 0);
	ck_assert_int_eq(number, 3);
	ck_assert_int_eq(brood_value_init(&value, '?'), 0);
	ck_assert_int_eq(brood_value_add(&value, 1, NULL), -EDOM);
	for (const char *type = "cBhHiIlLqQu"; *type != '\0'; type++) {
		ck_assert_int_eq(brood_value_init(&value, *type), 0);
		ck_assert_int_eq(brood_value_add(&value, 7, NULL), 0);
		ck_assert_int_eq(brood_value_replace(&value, 7, 9, NULL), 1);
		ck_assert_int_eq(brood_value_add(&value, -2, &number), 0);
		ck_assert_int_eq(number, 7);
	}
}
END_TEST

START_TEST(what_is_no_value_is_refused)
{
	union {
		brood_value value;
		char bytes[sizeof(brood_value) + 8];
	} place;
	brood_value *crooked = (brood_value *)(void *)(place.bytes + 4);
	int64_t number;

	memset(&place, 0x55, sizeof(place));
	ck_assert_int_eq(brood_type_size('x'), -EINVAL);
	ck_assert_int_eq(brood_type_size('\0'), -EINVAL);
	ck_assert_int_eq(brood_value_init(&place.value, 'x'), -EINVAL);
	ck_assert_int_eq(brood_value_init(NULL, 'i'), -EFAULT);
	ck_assert_int_eq(brood_value_init(crooked, 'i'), -EFAULT);
	ck_assert_int_eq(brood_value_get_int(NULL, &number), -EFAULT);
	ck_assert_int_eq(brood_value_get_int(crooked, &number), -EFAULT);
	ck_assert_int_eq(brood_value_get_int(&place.value, &number), -EBADMSG);
	ck_assert_int_eq(brood_value_set_int(&place.value, 1), -EBADMSG);
	ck_assert_int_eq(brood_value_type(&place.value), -EBADMSG);
	ck_assert_ptr_null(brood_value_lock(&place.value));
	ck_assert_ptr_null(brood_value_pointer(&place.value));
}
END_TEST

START_TEST(no_increment_of_four_processes_is_lost)
{
	brood_value *whole = shared(), *real = shared(), *locked = shared();
	int64_t number;
	double sum;

	ck_assert_int_eq(brood_value_init(whole, 'h'), 0);
	ck_assert_int_eq(brood_value_init(real, 'd'), 0);
	ck_assert_int_eq(brood_value_init(locked, 'i'), 0);
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			for (int k = 0; k < 5000; k++) {
				brood_value_add(whole, 1, NULL);
				brood_value_add_double(real, 0.5, NULL);
				brood_lock_acquire(brood_value_lock(locked), BROOD_FOREVER);
				brood_value_get_int(locked, &number);
				brood_value_set_int(locked, number + 1);
				brood_lock_release(brood_value_lock(locked));
				atomic_fetch_add((_Atomic(short) *)brood_value_pointer(whole), 1);
			}
			_exit(0);
		}
	ck_assert(bury_all());
	ck_assert_int_eq(brood_value_get_int(whole, &number), 0);
	ck_assert_int_eq(number, (short)40000);
	ck_assert_int_eq(brood_value_get_int(locked, &number), 0);
	ck_assert_int_eq(number, 20000);
	ck_assert_int_eq(brood_value_get_double(real, &sum), 0);
	ck_assert(sum == 10000);
}
END_TEST

START_TEST(a_killed_holder_is_told)
{
	brood_value *value = shared();
	pid_t pid;
	int status;

	ck_assert_int_eq(brood_value_init(value, 'i'), 0);
	pid = fork();
	if (pid == 0) {
		brood_lock_acquire(brood_value_lock(value), BROOD_FOREVER);
		brood_value_set_int(value, 5);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(brood_lock_acquire(brood_value_lock(value), 10 * BROOD_SEC),
			 BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_release(brood_value_lock(value)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("value");
	TCase *tcase = leak_case(suite, "value", 60);

	tcase_add_test(tcase, each_integer_type_has_its_range);
	tcase_add_test(tcase, the_largest_unsigned_numbers);
	tcase_add_test(tcase, floating_types);
	tcase_add_test(tcase, adding_and_replacing);
	tcase_add_test(tcase, what_is_no_value_is_refused);
	tcase_add_test(tcase, no_increment_of_four_processes_is_lost);
	tcase_add_test(tcase, a_killed_holder_is_told);
	return leak_run(suite);
}
