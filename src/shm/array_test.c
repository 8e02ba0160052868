/* Arrays: indices from both ends, ranges, what a killed writer leaves. */
#include <brood/array.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static brood_array *make(char type, size_t length)
{
	ssize_t size = brood_array_bytes(type, length);
	brood_array *array;

	ck_assert_int_gt(size, 0);
	array = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(array, MAP_FAILED);
	memset(array, 0xff, (size_t)size);
	ck_assert_int_eq(brood_array_init(array, (size_t)size, type, length), 0);
	ck_assert_int_eq(brood_array_check(array, (size_t)size), 0);
	return array;
}

START_TEST(items_are_zero_and_found_from_both_ends)
{
	brood_array *array = make('i', 10);
	int64_t number = 5;
	uint64_t positive;
	double real;
	int *data = brood_array_data(array);

	ck_assert_uint_eq(brood_array_length(array), 10);
	ck_assert_uint_eq((uintptr_t)data % 64, 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(data[i], 0);
		ck_assert_int_eq(brood_array_set_int(array, i, i * i), 0);
	}
	for (int i = 1; i <= 10; i++) {
		ck_assert_int_eq(brood_array_get_int(array, -i, &number), 0);
		ck_assert_int_eq(number, (10 - i) * (10 - i));
	}
	ck_assert_int_eq(brood_array_get_uint(array, 3, &positive), 0);
	ck_assert_uint_eq(positive, 9);
	ck_assert_int_eq(brood_array_get_double(array, 3, &real), 0);
	ck_assert(real == 9);
	ck_assert_int_eq(brood_array_add(array, -1, 19, &number), 0);
	ck_assert_int_eq(number, 100);
	ck_assert_int_eq(data[9], 100);
	ck_assert_int_eq(brood_array_set_int(array, 0, INT64_MAX), -ERANGE);
	ck_assert_int_eq(brood_array_set_uint(array, 0, UINT64_MAX), -ERANGE);
	ck_assert_int_eq(brood_array_set_double(array, 0, 1), -EDOM);
	ck_assert_int_eq(brood_array_get_int(array, 10, &number), -ERANGE);
	ck_assert_int_eq(brood_array_get_int(array, -11, &number), -ERANGE);
	ck_assert_int_eq(brood_array_set_int(array, SSIZE_MAX, 1), -ERANGE);
	ck_assert_int_eq(brood_array_set_int(array, -SSIZE_MAX - 1, 1), -ERANGE);
	ck_assert_int_eq(brood_array_add(array, 10, 1, NULL), -ERANGE);
	ck_assert_int_eq(number, 100);
}
END_TEST

START_TEST(ranges_are_copied_or_refused_whole)
{
	brood_array *array = make('h', 100);
	short some[100], back[100];

	for (int i = 0; i < 100; i++)
		some[i] = (short)(i + 1);
	ck_assert_int_eq(brood_array_write(array, 0, some, 100), 0);
	ck_assert_int_eq(brood_array_read(array, -10, 10, back), 0);
	ck_assert_mem_eq(back, some + 90, 10 * sizeof(short));
	ck_assert_int_eq(brood_array_write(array, 95, some, 5), 0);
	ck_assert_int_eq(brood_array_read(array, 94, 6, back), 0);
	ck_assert_int_eq(back[0], 95);
	ck_assert_int_eq(back[1], 1);
	ck_assert_int_eq(brood_array_write(array, 95, some, 6), -ERANGE);
	ck_assert_int_eq(brood_array_read(array, -1, 2, back), -ERANGE);
	ck_assert_int_eq(brood_array_read(array, 0, SIZE_MAX, back), -ERANGE);
	ck_assert_int_eq(brood_array_read(array, 500, 1, back), -ERANGE);
	ck_assert_int_eq(brood_array_read(array, 0, 0, NULL), 0);
	/* Who has the lock already need not give it back. */
	ck_assert_int_eq(brood_lock_acquire(brood_array_lock(array), 0), 0);
	ck_assert_int_eq(brood_array_read(array, 0, 100, back), 0);
	ck_assert_int_eq(brood_array_write(array, 0, some, 100), 0);
	ck_assert_int_eq(brood_lock_release(brood_array_lock(array)), 0);
}
END_TEST

START_TEST(records_are_bytes)
{
	struct record {
		char name[13];
	} some[3] = { { "one" }, { "two" }, { "three" } }, back;
	ssize_t size = brood_array_record_bytes(sizeof(some[0]), 3);
	brood_array *array;
	int64_t number;

	ck_assert_int_gt(size, 3 * 13);
	array = aligned_alloc(64, (size_t)(size + 63) / 64 * 64);
	ck_assert_int_eq(brood_array_init_records(array, (size_t)size, 13, 3), 0);
	ck_assert_int_eq(brood_array_write(array, 0, some, 3), 0);
	ck_assert_int_eq(brood_array_read(array, -1, 1, &back), 0);
	ck_assert_str_eq(back.name, "three");
	ck_assert_int_eq(brood_array_get_int(array, 0, &number), -EDOM);
	ck_assert_int_eq(brood_array_set_int(array, 0, 0), -EDOM);
	free(array);
}
END_TEST

START_TEST(what_is_no_array_is_refused)
{
	static char place[4096] __attribute__((aligned(64)));
	brood_array *array = (void *)place, *crooked = (void *)(place + 4);
	int64_t number;

	ck_assert_int_eq((int)brood_array_bytes('x', 1), -EINVAL);
	ck_assert_int_eq((int)brood_array_bytes('i', 0), -EINVAL);
	ck_assert_int_eq((int)brood_array_bytes('i', SIZE_MAX / 2), -EFBIG);
	ck_assert_int_eq((int)brood_array_bytes('i', (size_t)1 << 46), -EFBIG);
	ck_assert_int_eq((int)brood_array_record_bytes(0, 1), -EINVAL);
	ck_assert_int_eq(brood_array_init(NULL, 4096, 'i', 1), -EFAULT);
	ck_assert_int_eq(brood_array_init(crooked, 4000, 'i', 1), -EFAULT);
	ck_assert_int_eq(brood_array_init(array, 4096, 'x', 1), -EINVAL);
	ck_assert_int_eq(brood_array_init(array, 4096, 'i', 0), -EINVAL);
	ck_assert_int_eq(brood_array_init(array, 4096, 'i', 1024), -ENOSPC);
	ck_assert_int_eq(brood_array_init_records(array, 4096, SIZE_MAX, SIZE_MAX), -EFBIG);
	ck_assert_int_eq(brood_array_get_int(NULL, 0, &number), -EFAULT);
	ck_assert_int_eq(brood_array_get_int(crooked, 0, &number), -EFAULT);
	ck_assert_int_eq(brood_array_get_int(array, 0, &number), -EBADMSG);
	ck_assert_int_eq(brood_array_read(array, 0, 1, &number), -EBADMSG);
	ck_assert_int_eq(brood_array_read(array, 0, 0, &number), -EBADMSG);
	ck_assert_uint_eq(brood_array_length(array), 0);
	ck_assert_ptr_null(brood_array_data(array));
	ck_assert_ptr_null(brood_array_lock(array));
	ck_assert_int_eq(brood_array_check(array, 4096), -EBADMSG);
	ck_assert_int_eq(brood_array_check(NULL, 4096), -EFAULT);
	ck_assert_int_eq(brood_array_init(array, 4096, 'i', 900), 0);
	ck_assert_int_eq(brood_array_check(array, 4096), 0);
	ck_assert_int_eq(brood_array_check(array, 3000), -ENODATA);
	ck_assert_int_eq(brood_array_check(array, 3), -ENODATA);
	array->length = UINT64_MAX;
	ck_assert_int_eq(brood_array_check(array, 4096), -EBADMSG);
	array->length = 900;
	array->type = 'q';
	ck_assert_int_eq(brood_array_check(array, 4096), -EBADMSG);
}
END_TEST

/* Writers write blocks of equal numbers. Readers see whole blocks, but after a killed writer, who
 * is told of. */
START_TEST(a_killed_writer_is_told_of_and_hinders_nobody)
{
	brood_array *array = make('q', 2000);
	int64_t numbers[2000];
	int told = 0;

	for (int round = 0; round < 100; round++) {
		pid_t pid = fork();
		int r;

		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			for (int64_t mark = 1;; mark++) {
				for (int i = 0; i < 2000; i++)
					numbers[i] = mark;
				brood_array_write(array, 0, numbers, 2000);
			}
		usleep(1000 + (unsigned)round * 37);
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		r = brood_array_read(array, 0, 2000, numbers);
		ck_assert(r == 0 || r == BROOD_OWNER_DIED);
		told += r;
		for (int i = 1; i < 2000 && r == 0; i++)
			ck_assert_int_eq(numbers[i], numbers[0]);
		/* Once. */
		ck_assert_int_eq(brood_array_read(array, 0, 2000, numbers), 0);
		for (int i = 0; i < 2000; i++)
			numbers[i] = 0;
		ck_assert_int_eq(brood_array_write(array, 0, numbers, 2000), 0);
	}
	ck_assert_int_gt(told, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("array");
	TCase *tcase = leak_case(suite, "array", 60);

	tcase_add_test(tcase, items_are_zero_and_found_from_both_ends);
	tcase_add_test(tcase, ranges_are_copied_or_refused_whole);
	tcase_add_test(tcase, records_are_bytes);
	tcase_add_test(tcase, what_is_no_array_is_refused);
	tcase_add_test(tcase, a_killed_writer_is_told_of_and_hinders_nobody);
	return leak_run(suite);
}
