/* Shared memory as CPython's own tests have it: group G of the conformance cases
 *
 * Each case is one of those of CPython 3.13's test suite (its class and method in brackets), in
 * brood's words. What belongs to managers (G06) is not here; what needs a CPython at the other end
 * (G05, and half of G08) is in tests/interop. */
#include <brood/list.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static const char *own_name(const char *end)
{
	static char names[4][64];
	static unsigned next;
	char *name = names[next++ % 4];

	snprintf(name, sizeof(names[0]), "brood-g-%d-%s", (int)getpid(), end);
	return name;
}

static bool exists(const char *name)
{
	struct stat file;
	char path[300];

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	return stat(path, &file) == 0;
}

/* As CPython's SharedMemory: a name, and no header. */
static brood_segment *create(const char *name, size_t size)
{
	brood_segment *segment = NULL;

	ck_assert_int_eq(brood_segment_new(size, &(brood_segment_opts){ .name = name, .raw = true },
					   &segment),
			 0);
	return segment;
}

static int open_raw(const char *name, brood_segment **ret_segment)
{
	return brood_segment_open(name, &(brood_segment_opts){ .raw = true }, ret_segment);
}

/* [_TestSharedMemory.test_shared_memory_basics] */
START_TEST(g01_made_opened_written_closed_unlinked)
{
	const char *name = own_name("g01");
	brood_segment *one = create(name, 512), *two = NULL, *three = NULL;
	unsigned char *here = brood_segment_data(one), *there;
	char path[100];
	struct stat file;

	ck_assert_uint_eq(brood_segment_size(one), 512);
	ck_assert_str_eq(brood_segment_name(one), name);
	ck_assert_ptr_null(strchr(brood_segment_name(one), '/'));
	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	ck_assert_int_eq(stat(path, &file), 0);
	ck_assert_uint_eq(file.st_mode & 0777, 0600);
	here[0] = 42;
	ck_assert_int_eq(open_raw(name, &two), 0);
	there = brood_segment_data(two);
	ck_assert_uint_eq(there[0], 42);
	there[0] = 43;
	ck_assert_uint_eq(here[0], 43);
	/* Twice attached in one process, and closed once: the other stays. */
	ck_assert_int_eq(open_raw(name, &three), 0);
	ck_assert_int_eq(brood_segment_close(three), 0);
	brood_segment_unref(three);
	ck_assert_uint_eq(there[0], 43);
	ck_assert_int_eq(
		brood_segment_new(10, &(brood_segment_opts){ .name = name, .raw = true }, &three),
		-EEXIST);
	ck_assert_int_eq(brood_segment_close(two), 0);
	ck_assert_ptr_null(brood_segment_data(two));
	ck_assert_int_eq(brood_segment_close(two), -EBADF);
	ck_assert_int_eq(brood_segment_unlink(two), 0);
	ck_assert_int_eq(brood_segment_unlink(one), -ENOENT);
	brood_segment_unref(two);
	brood_segment_unref(one);
}
END_TEST

/* [_TestSharedMemory.test_shared_memory_recreate, test_invalid_shared_memory_creation, and the
 * embedded NUL] */
START_TEST(g02_fresh_names_and_what_is_refused)
{
	brood_segment *segments[50], *none = NULL;
	char with_nul[] = "brood\0nul";

	/* (That a taken one is tried again is in src/shm/segment_test.c.) */
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(
			brood_segment_new(1, &(brood_segment_opts){ .named = true, .raw = true },
					  &segments[i]),
			0);
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(brood_segment_name(segments[i]),
					 brood_segment_name(segments[k]));
	}
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(brood_segment_unlink(segments[i]), 0);
		brood_segment_unref(segments[i]);
	}
	ck_assert_int_eq(brood_segment_new((size_t)-1, NULL, &none), -EFBIG);
	ck_assert_int_eq(brood_segment_new(0, NULL, &none), -EINVAL);
	ck_assert_int_eq(open_raw(NULL, &none), -EINVAL);
	ck_assert_int_eq(open_raw("", &none), -EINVAL);
	ck_assert_int_eq(open_raw(own_name("missing"), &none), -ENOENT);
	ck_assert_int_eq(
		brood_segment_new(1,
				  &(brood_segment_opts){ .name = with_nul,
							 .name_size = sizeof(with_nul) - 1 },
				  &none),
		-EILSEQ);
	ck_assert_ptr_null(none);
}
END_TEST

/* [_TestSharedMemory.test_shared_memory_across_processes] */
START_TEST(g03_a_child_changes_what_the_parent_sees)
{
	const char *name = own_name("g03");
	brood_segment *segment = create(name, 512), *theirs;
	unsigned char *data = brood_segment_data(segment);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (open_raw(name, &theirs) < 0)
			_exit(1);
		((unsigned char *)brood_segment_data(theirs))[0] = 99;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(data[0], 99);
	ck_assert(exists(name));
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

static void kill_a_creator(const char *name)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		brood_segment *segment;

		if (brood_segment_new(512, &(brood_segment_opts){ .name = name }, &segment) < 0 ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	ck_assert_int_eq(brood_segment_sweep(name), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* [_TestSharedMemory.test_shared_memory_cleaned_after_process_termination]. Without a tracker: who
 * comes next, with a sweep or for the same name, cleans up at once. Unnamed ones the kernel has
 * freed already. */
START_TEST(g04_what_a_killed_creator_leaves_is_gone_at_once)
{
	const char *name = own_name("g04");
	brood_segment *segment = NULL;

	kill_a_creator(name);
	ck_assert(exists(name));
	ck_assert_int_eq(brood_segment_sweep(name), 1);
	ck_assert(!exists(name));
	kill_a_creator(name);
	ck_assert_int_eq(brood_segment_new(1, &(brood_segment_opts){ .name = name }, &segment), 0);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

/* [_TestSharedMemory.test_shared_memory_untracking and tracking]; CPython's half is in
 * tests/interop. */
START_TEST(g05_who_only_attached_never_removes_a_name)
{
	const char *name = own_name("g05");
	brood_segment *segment = create(name, 10), *theirs;

	for (int killed = 0; killed < 2; killed++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (open_raw(name, &theirs) < 0)
				_exit(1);
			if (killed)
				raise(SIGKILL);
			brood_segment_unref(theirs);
			exit(0);
		}
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		ck_assert(exists(name));
	}
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

/* [_TestSharedMemory.test_shared_memory_ShareableList_basics, and gh-106939] */
START_TEST(g08_values_survive_between_peers)
{
	const brood_item items[] = {
		{ BROOD_ITEM_STR, .data = "\xf0\x9f\x90\x8d\xf0\x9f\x90\x8d", .size = 8 },
		{ BROOD_ITEM_BYTES, .data = "\x03\x02\x01\0\0\0", .size = 6 },
		{ BROOD_ITEM_BYTES, .data = "\0", .size = 1 },
	};
	brood_list *list = NULL, *theirs = NULL;
	brood_item item;
	char buf[16];

	ck_assert_int_eq(brood_list_new(items, 3, NULL, &list), 0);
	ck_assert_int_eq(brood_list_attach(brood_list_segment(list), &theirs), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_list_get(theirs, i, buf, sizeof(buf), &item), 0);
		ck_assert_int_eq(item.kind, items[i].kind);
		ck_assert_uint_eq(item.size, items[i].size);
		ck_assert_mem_eq(buf, items[i].data, items[i].size);
	}
	brood_list_free(theirs);
	brood_list_free(list);
}
END_TEST

/* [TestResourceTracker.test_resource_tracker] */
START_TEST(g09_a_dead_ones_names_are_cleaned_and_counted_once)
{
	char prefix[64];

	kill_a_creator(own_name("g09-a"));
	kill_a_creator(own_name("g09-b"));
	snprintf(prefix, sizeof(prefix), "%s", own_name("g09"));
	ck_assert_int_eq(brood_segment_sweep(prefix), 2);
	ck_assert_int_eq(brood_segment_sweep(prefix), 0);
}
END_TEST

static int count_below(void)
{
	char path[64], text[4096];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	return (int)n;
}

/* [TestResourceTracker.test_resource_tracker_sigint, sigterm, sigkill, reused]: there is none that
 * signals could reach. */
START_TEST(g10_no_process_is_started_to_clean_up)
{
	brood_segment *segment = create(own_name("g10"), 10);

	ck_assert_int_eq(count_below(), 0);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

/* [TestResourceTracker.test_too_long_name_resource] */
START_TEST(g11_a_name_that_is_too_long)
{
	brood_segment *segment = NULL;
	char name[600];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(brood_segment_new(1, &(brood_segment_opts){ .name = name }, &segment),
			 -ENAMETOOLONG);
	ck_assert_int_eq(open_raw(name, &segment), -ENAMETOOLONG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conformance G");
	TCase *tcase = leak_case(suite, "G", 30);

	tcase_add_test(tcase, g01_made_opened_written_closed_unlinked);
	tcase_add_test(tcase, g02_fresh_names_and_what_is_refused);
	tcase_add_test(tcase, g03_a_child_changes_what_the_parent_sees);
	tcase_add_test(tcase, g04_what_a_killed_creator_leaves_is_gone_at_once);
	tcase_add_test(tcase, g05_who_only_attached_never_removes_a_name);
	tcase_add_test(tcase, g08_values_survive_between_peers);
	tcase_add_test(tcase, g09_a_dead_ones_names_are_cleaned_and_counted_once);
	tcase_add_test(tcase, g10_no_process_is_started_to_clean_up);
	tcase_add_test(tcase, g11_a_name_that_is_too_long);
	return leak_run(suite);
}
