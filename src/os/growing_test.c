/* Bytes that grow from the heap into a mapping: nothing is lost on the way, whatever the steps. */
#include "os/growing.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/children/pattern.h"
#include "tests/unit/leak.h"
#include "tests/unit/refuse.h"

#define MEGABYTE ((size_t)1 << 20)

static void ck_is_pattern(const struct bri_growing *bytes, size_t size, size_t from)
{
	ck_assert_uint_eq(bytes->size, size);
	for (size_t i = 0; i < size; i++)
		if (bytes->data[i] != pattern(from + i))
			ck_abort_msg("byte %zu of %zu is wrong", i, size);
}

static void append_pattern(struct bri_growing *bytes, size_t from, size_t n)
{
	char *more = malloc(n + 1);

	ck_assert_ptr_nonnull(more);
	for (size_t i = 0; i < n; i++)
		more[i] = pattern(from + i);
	ck_assert_int_eq(bri_growing_append(bytes, more, n), 0);
	free(more);
}

START_TEST(empty_is_all_zero)
{
	struct bri_growing bytes = { .data = NULL };

	ck_assert_str_eq(bri_growing_text(&bytes), "");
	bri_growing_drop(&bytes, 0);
	ck_assert_int_eq(bri_growing_append(&bytes, NULL, 0), 0);
	ck_assert_ptr_null(bytes.data);
	bri_growing_fini(&bytes);
	bri_growing_fini(&bytes);
	ck_assert_int_eq(bri_growing_reserve(&bytes, 0), 0);
	ck_assert_str_eq(bri_growing_text(&bytes), "");
	bri_growing_fini(&bytes);
	ck_assert_ptr_null(bytes.data);
}
END_TEST

START_TEST(all_steps_grow_to_the_same)
{
	static const size_t steps[] = { 1, 255, 256, 4096, 65536, 1000003, 3 * MEGABYTE };
	size_t step = steps[_i], wanted = step == 1 ? 3 * MEGABYTE / 2 : 9 * MEGABYTE;
	struct bri_growing bytes = { .data = NULL };
	size_t at = 0;
	int failed = 0;

	for (; at < wanted; at += step) {
		if (step == 1) {
			char one = pattern(at);

			failed += bri_growing_append(&bytes, &one, 1) != 0;
		} else {
			append_pattern(&bytes, at, step);
		}
		failed += bytes.room <= bytes.size;
	}
	ck_assert_int_eq(failed, 0);
	ck_is_pattern(&bytes, at, 0);
	ck_assert(bytes.mapped);
	ck_assert_int_eq(bri_growing_text(&bytes)[at], '\0');
	bri_growing_fini(&bytes);
	ck_assert_ptr_null(bytes.data);
	ck_assert(!bytes.mapped);
}
END_TEST

/* At each border of heap and mapping the byte for the NUL is there. */
START_TEST(there_is_always_room_for_a_nul)
{
	static const size_t borders[] = { 256,          512,          MEGABYTE,     2 * MEGABYTE,
					  4 * MEGABYTE, 8 * MEGABYTE, 16 * MEGABYTE };

	for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++)
		for (size_t size = borders[i] - 1; size <= borders[i] + 1; size++) {
			struct bri_growing bytes = { .data = NULL };

			ck_assert_int_eq(bri_growing_reserve(&bytes, size), 0);
			memset(bytes.data, 'x', size);
			bytes.size = size;
			ck_assert_uint_eq(strlen(bri_growing_text(&bytes)), size);
			/* What was reserved is there without another reservation. */
			ck_assert_int_eq(bri_growing_reserve(&bytes, 0), 0);
			bri_growing_fini(&bytes);
		}
}
END_TEST

START_TEST(what_is_dropped_leaves_the_rest)
{
	static const size_t sizes[] = { 10, 5000, 5 * MEGABYTE };

	for (size_t i = 0; i < 3; i++) {
		struct bri_growing bytes = { .data = NULL };
		size_t size = sizes[i], room;

		append_pattern(&bytes, 0, size);
		room = bytes.room;
		bri_growing_drop(&bytes, 0);
		ck_is_pattern(&bytes, size, 0);
		bri_growing_drop(&bytes, 3);
		ck_is_pattern(&bytes, size - 3, 3);
		append_pattern(&bytes, size, 3);
		ck_is_pattern(&bytes, size, 3);
		bri_growing_drop(&bytes, size);
		ck_assert_uint_eq(bytes.size, 0);
		ck_assert_str_eq(bri_growing_text(&bytes), "");
		ck_assert_uint_eq(bytes.room, room);
		bri_growing_fini(&bytes);
	}
}
END_TEST

START_TEST(a_mapping_begins_at_a_huge_page)
{
	struct bri_growing bytes = { .data = NULL };

	for (size_t i = 0; i < 6; i++) {
		append_pattern(&bytes, i * 3 * MEGABYTE, 3 * MEGABYTE);
		ck_assert_uint_eq((uintptr_t)bytes.data % (2 * MEGABYTE), 0);
	}
	ck_is_pattern(&bytes, 18 * MEGABYTE, 0);
	bri_growing_fini(&bytes);
}
END_TEST

static size_t address_space(void)
{
	return (size_t)first_number("/proc/self/statm") * 4096;
}

START_TEST(all_memory_is_given_back)
{
	size_t before = 0;

	for (int i = 0; i < 20; i++) {
		struct bri_growing bytes = { .data = NULL };

		append_pattern(&bytes, 0, 5 * MEGABYTE);
		append_pattern(&bytes, 0, 5 * MEGABYTE);
		bri_growing_fini(&bytes);
		if (i == 1)
			before = address_space();
	}
	/* Where freed memory is not kept in quarantine. */
	if (!is_sanitized)
		ck_assert_uint_le(address_space(), before + 2 * MEGABYTE);
}
END_TEST

/* Without memory nothing is lost, and it can be tried again. */
static void grow_in_little(void)
{
	struct bri_growing bytes = { .data = NULL };
	struct rlimit before, limit;
	static char more[3 * MEGABYTE];

	ck_assert_int_eq(bri_growing_reserve(&bytes, SIZE_MAX), -ENOMEM);
	ck_assert_int_eq(bri_growing_reserve(&bytes, SIZE_MAX / 2), -ENOMEM);
	ck_assert_int_eq(bri_growing_reserve(&bytes, SIZE_MAX / 4), -ENOMEM);
	ck_assert_ptr_null(bytes.data);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	for (size_t first = 1000; first < 6 * MEGABYTE; first = first * 7) {
		append_pattern(&bytes, 0, first);
		limit = before;
		limit.rlim_cur = address_space() + MEGABYTE;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
		ck_assert_int_eq(bri_growing_reserve(&bytes, 100 * MEGABYTE), -ENOMEM);
		ck_assert_int_eq(bri_growing_append(&bytes, more, SIZE_MAX), -ENOMEM);
		ck_is_pattern(&bytes, first, 0);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
		append_pattern(&bytes, first, 3 * MEGABYTE);
		ck_is_pattern(&bytes, first + 3 * MEGABYTE, 0);
		bri_growing_fini(&bytes);
	}
}

START_TEST(without_memory_nothing_is_lost)
{
	if (!is_sanitized)
		in_fork(grow_in_little);
}
END_TEST

/* Address space is there, and memory for it is not: nothing is lost, and the space is given back. */
static void grow_where_memory_is_refused(void)
{
	struct bri_growing bytes = { .data = NULL };
	size_t before;

	append_pattern(&bytes, 0, 1000);
	before = address_space();
	refuse_call(SYS_mprotect, ENOMEM);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(bri_growing_reserve(&bytes, 100 * MEGABYTE), -ENOMEM);
	ck_assert_uint_le(address_space(), before + MEGABYTE);
	ck_assert(!bytes.mapped);
	ck_is_pattern(&bytes, 1000, 0);
	bri_growing_fini(&bytes);
}

START_TEST(refused_memory_is_no_loss)
{
	if (!is_sanitized)
		in_fork(grow_where_memory_is_refused);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/growing");
	TCase *growing = leak_case(suite, "growing", 30);

	tcase_add_test(growing, empty_is_all_zero);
	tcase_add_loop_test(growing, all_steps_grow_to_the_same, 0, 7);
	tcase_add_test(growing, there_is_always_room_for_a_nul);
	tcase_add_test(growing, what_is_dropped_leaves_the_rest);
	tcase_add_test(growing, a_mapping_begins_at_a_huge_page);
	tcase_add_test(growing, all_memory_is_given_back);
	tcase_add_test(growing, without_memory_nothing_is_lost);
	tcase_add_test(growing, refused_memory_is_no_loss);
	return leak_run(suite);
}
