/* Segments: named and not, what is refused, what stays when users are killed. */
#include <brood/segment.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/segment.h"
#include "tests/unit/leak.h"
#include "tests/unit/refuse.h"

#define HEADER 64

#define NODES 1024

/* A name that no other run of these tests has. */
static const char *own_name(const char *end)
{
	static char names[8][300];
	static unsigned next;
	char *name = names[next++ % 8];

	snprintf(name, sizeof(names[0]), "brood-test-%d-%s", (int)getpid(), end);
	return name;
}

static const char *path_of(const char *name)
{
	static char path[400];

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	return path;
}

static bool exists(const char *name)
{
	struct stat file;

	return stat(path_of(name), &file) == 0;
}

static brood_segment *make(size_t size, const brood_segment_opts *opts)
{
	brood_segment *segment = NULL;

	ck_assert_int_eq(brood_segment_new(size, opts, &segment), 0);
	return segment;
}

static void check_refused(size_t size, brood_segment_opts opts, int error, const char *step)
{
	brood_segment *segment = (brood_segment *)&opts;
	brood_fail fail = { .step = NULL };

	opts.fail = &fail;
	ck_assert_int_eq(brood_segment_new(size, &opts, &segment), error);
	ck_assert_str_eq(fail.step, step);
	ck_assert_int_eq(fail.error, -error);
	ck_assert_ptr_eq(segment, (brood_segment *)&opts);
}

static void check_not_opened(const char *name, brood_segment_opts opts, int error, const char *step)
{
	brood_segment *segment = (brood_segment *)&opts;
	brood_fail fail = { .step = NULL };

	opts.fail = &fail;
	ck_assert_int_eq(brood_segment_open(name, &opts, &segment), error);
	ck_assert_str_eq(fail.step, step);
	ck_assert_ptr_eq(segment, (brood_segment *)&opts);
}

/* Forks a child that runs `body` and then sleeps until it is killed. Returns when it has run it. */
static pid_t start_user(void (*body)(const char *), const char *name)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(ready[0]);
		body(name);
		if (write(ready[1], "", 1) == 1)
			for (;;)
				pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_user(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* ---- unnamed */

START_TEST(an_unnamed_segment_is_zero_aligned_and_shared_with_forked_children)
{
	brood_segment *segment = make(1000, NULL);
	unsigned char *data = brood_segment_data(segment);
	pid_t pid;

	ck_assert_uint_eq(brood_segment_size(segment), 1000);
	ck_assert_uint_eq(brood_segment_reserve(segment), 1000);
	ck_assert_uint_eq((uintptr_t)data % 64, 0);
	ck_assert_ptr_null(brood_segment_name(segment));
	ck_assert_int_eq(fcntl(brood_segment_fd(segment), F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(data[i], 0);
	pid = fork();
	if (pid == 0) {
		data[999] = 7;
		brood_segment_unref(segment);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(data[999], 7);
	ck_assert_ptr_null(brood_segment_unref(segment));
}
END_TEST

START_TEST(another_attaches_by_descriptor)
{
	brood_segment *segment = make(100, NULL), *again = NULL;

	strcpy(brood_segment_data(segment), "here");
	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment), NULL, &again), 0);
	brood_segment_unref(segment);
	ck_assert_str_eq(brood_segment_data(again), "here");
	ck_assert_uint_eq(brood_segment_size(again), 100);
	ck_assert_ptr_null(brood_segment_name(again));
	brood_segment_unref(again);
}
END_TEST

START_TEST(nobody_can_shrink_an_unnamed_segment)
{
	brood_segment *segment = make(5000, NULL);
	brood_segment *growing = make(5000, &(brood_segment_opts){ .reserve = 10000 });

	ck_assert_int_eq(ftruncate(brood_segment_fd(segment), 100), -1);
	ck_assert_int_eq(ftruncate(brood_segment_fd(segment), 10000), -1);
	ck_assert_int_eq(ftruncate(brood_segment_fd(growing), 100), -1);
	brood_segment_unref(segment);
	brood_segment_unref(growing);
}
END_TEST

START_TEST(seals_hold)
{
	brood_segment *segment = make(100, &(brood_segment_opts){ .reserve = 100000 });
	brood_segment *reader = NULL;
	brood_segment_opts read_only = { .read_only = true };
	char *data = brood_segment_data(segment);
	int fd = brood_segment_fd(segment);

	ck_assert_int_eq(brood_segment_seal(segment, 0), -EINVAL);
	ck_assert_int_eq(brood_segment_seal(segment, 8), -EINVAL);
	ck_assert_int_eq(brood_segment_grow(segment, 200), 0);
	ck_assert_int_eq(brood_segment_seal(segment, BROOD_SEAL_GROW), 0);
	ck_assert_int_eq(brood_segment_grow(segment, 300), -EPERM);
	ck_assert_int_eq(brood_segment_seal(segment, BROOD_SEAL_WRITE | BROOD_SEAL_SEAL), 0);
	ck_assert_int_eq(brood_segment_seal(segment, BROOD_SEAL_GROW), -EPERM);
	strcpy(data, "by the old mapping");
	ck_assert_int_eq(brood_segment_attach(fd, NULL, &reader), -EPERM);
	ck_assert_int_eq(brood_segment_attach(fd, &read_only, &reader), 0);
	ck_assert_str_eq(brood_segment_data(reader), "by the old mapping");
	ck_assert_int_eq(brood_segment_grow(reader, 50000), -EPERM);
	brood_segment_unref(reader);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(it_grows_in_place_and_for_all)
{
	brood_segment *segment = make(100, &(brood_segment_opts){ .reserve = 1 << 20 }), *other;
	char *data = brood_segment_data(segment), *theirs;

	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment), NULL, &other), 0);
	theirs = brood_segment_data(other);
	ck_assert_uint_eq(brood_segment_reserve(other), 1 << 20);
	ck_assert_int_eq(brood_segment_grow(segment, 50), 0);
	ck_assert_uint_eq(brood_segment_size(segment), 100);
	ck_assert_int_eq(brood_segment_grow(other, 500000), 0);
	ck_assert_uint_eq(brood_segment_size(segment), 500000);
	ck_assert_ptr_eq(brood_segment_data(segment), data);
	data[499999] = 3;
	ck_assert_int_eq(theirs[499999], 3);
	ck_assert_int_eq(brood_segment_grow(segment, 1 << 20), 0);
	ck_assert_int_eq(brood_segment_grow(segment, (1 << 20) + 1), -ERANGE);
	brood_segment_unref(other);
	/* Who comes when it has its full size maps the same. */
	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment), NULL, &other), 0);
	ck_assert_uint_eq(brood_segment_size(other), 1 << 20);
	ck_assert_uint_eq(brood_segment_reserve(other), 1 << 20);
	brood_segment_unref(other);
	brood_segment_unref(segment);
}
END_TEST

static void on_alarm(int signum)
{
	(void)signum;
}

START_TEST(signals_do_not_stop_it_from_growing)
{
	const char *name = own_name("alarm");
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	brood_segment *segment;

	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	segment = make(40 << 20, &(brood_segment_opts){ .name = name, .reserve = 80 << 20 });
	ck_assert_int_eq(brood_segment_grow(segment, 70 << 20), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

/* The kernel's word for where pages of this address come to be, and on which nodes. */
static int policy_at(const void *address, unsigned long *nodes)
{
	int mode = -1;

	ck_assert_int_eq(syscall(SYS_get_mempolicy, &mode, nodes, NODES, address, MPOL_F_ADDR), 0);
	return mode;
}

static void check_placed(brood_segment_opts opts, int mode)
{
	unsigned long nodes[NODES / 8 / sizeof(long)] = { 0 },
					others[NODES / 8 / sizeof(long)] = { 0 };
	brood_segment *segment = make(3 << 20, &opts), *other;
	char *data = brood_segment_data(segment);

	ck_assert_int_eq(policy_at(data + (2 << 20), nodes), mode);
	ck_assert_uint_eq(nodes[0] & 1, mode != MPOL_DEFAULT);
	for (size_t i = 0; i < 3 << 20; i += 4096)
		data[i] = 1;
	/* It goes with the memory, not with the mapping: another user has it too. */
	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment), NULL, &other), 0);
	ck_assert_int_eq(policy_at((char *)brood_segment_data(other) + (1 << 20), others), mode);
	ck_assert_mem_eq(nodes, others, sizeof(nodes));
	if (opts.reserve > 0) {
		ck_assert_int_eq(brood_segment_grow(other, 5 << 20), 0);
		ck_assert_int_eq(policy_at(data + (4 << 20), nodes), mode);
	}
	(void)brood_segment_unlink(segment);
	brood_segment_unref(other);
	brood_segment_unref(segment);
}

START_TEST(its_memory_is_on_the_nodes_that_were_named)
{
	brood_segment_opts opts = { .numa = BROOD_NUMA_SPREAD };
	brood_segment *segment;

	/* A kernel without, or a filter. */
	if (brood_segment_new(1, &opts, &segment) < 0)
		return;
	brood_segment_unref(segment);
	check_placed((brood_segment_opts){ .numa = BROOD_NUMA_LOCAL }, MPOL_DEFAULT);
	for (int named = 0; named < 2; named++)
		for (size_t reserve = 0; reserve <= 8 << 20; reserve += 8 << 20) {
			opts = (brood_segment_opts){ .named = named, .reserve = reserve };
			opts.numa = BROOD_NUMA_SPREAD;
			check_placed(opts, MPOL_INTERLEAVE);
			opts.numa = BROOD_NUMA_NODE;
			check_placed(opts, MPOL_PREFERRED);
		}
	opts = (brood_segment_opts){ .numa = BROOD_NUMA_NODE, .numa_node = 1023 };
	check_refused(1, opts, -EINVAL, "numa");
	opts.named = true;
	check_refused(1, opts, -EINVAL, "numa");
	opts.numa_node = 1024;
	check_refused(1, opts, -EINVAL, "numa");
	refuse_call(SYS_get_mempolicy, ENOSYS);
	check_refused(1, (brood_segment_opts){ .numa = BROOD_NUMA_SPREAD }, -ENOTSUP, "numa");
	refuse_call(SYS_mbind, EPERM);
	check_refused(1, (brood_segment_opts){ .numa = BROOD_NUMA_NODE }, -EPERM, "numa");
}
END_TEST

START_TEST(huge_pages_where_there_are_some)
{
	brood_segment *segment = NULL;
	int r;

	segment = make(3 << 20, &(brood_segment_opts){ .pages = BROOD_PAGES_HUGE });
	ck_assert_uint_ge(brood_segment_size(segment), 3 << 20);
	((char *)brood_segment_data(segment))[(3 << 20) - 1] = 1;
	brood_segment_unref(segment);
	segment = make(3 << 20,
		       &(brood_segment_opts){ .pages = BROOD_PAGES_HUGE, .reserve = 8 << 20 });
	ck_assert_int_eq(brood_segment_grow(segment, 5 << 20), 0);
	brood_segment_unref(segment);
	r = brood_segment_new(3 << 20, &(brood_segment_opts){ .pages = BROOD_PAGES_HUGE_ONLY },
			      &segment);
	ck_assert(r == 0 || r == -ENOMEM);
	if (r == 0) {
		((char *)brood_segment_data(segment))[(3 << 20) - 1] = 1;
		brood_segment_unref(segment);
	}
}
END_TEST

/* ---- the handle */

START_TEST(it_cannot_be_closed_under_those_who_use_it)
{
	brood_segment *segment = make(10, NULL);

	ck_assert_ptr_eq(brood_segment_ref(segment), segment);
	ck_assert_int_eq(brood_segment_close(segment), -EBUSY);
	brood_segment_unref(segment);
	ck_assert_int_eq(brood_segment_close(segment), 0);
	ck_assert_int_eq(brood_segment_close(segment), -EBADF);
	ck_assert_ptr_null(brood_segment_data(segment));
	ck_assert_uint_eq(brood_segment_size(segment), 0);
	ck_assert_uint_eq(brood_segment_reserve(segment), 0);
	ck_assert_int_eq(brood_segment_fd(segment), -EBADF);
	ck_assert_int_eq(brood_segment_grow(segment, 10), -EBADF);
	ck_assert_int_eq(brood_segment_seal(segment, BROOD_SEAL_GROW), -EBADF);
	brood_segment_unref(segment);
	ck_assert_ptr_null(brood_segment_unref(NULL));
}
END_TEST

START_TEST(an_address_finds_its_segment)
{
	brood_segment *many[150], *found = NULL;
	size_t offset = 0;
	char *data;

	for (int i = 0; i < 150; i++)
		many[i] = make(150, NULL);
	for (int i = 0; i < 150; i++) {
		data = brood_segment_data(many[i]);
		ck_assert_int_eq(brood_segment_of(data + i, &found, &offset), 0);
		ck_assert_ptr_eq(found, many[i]);
		ck_assert_uint_eq(offset, i);
		ck_assert_int_eq(brood_segment_of(data - 1, &found, &offset), -EFAULT);
	}
	data = brood_segment_data(many[70]);
	ck_assert_int_eq(brood_segment_close(many[70]), 0);
	ck_assert_int_eq(brood_segment_of(data, &found, &offset), -EFAULT);
	ck_assert_int_eq(brood_segment_of(&data, &found, &offset), -EFAULT);
	ck_assert_int_eq(brood_segment_of(NULL, &found, &offset), -EFAULT);
	for (int i = 0; i < 150; i++)
		brood_segment_unref(many[i]);
}
END_TEST

/* ---- named */

START_TEST(a_named_segment_is_made_opened_and_removed)
{
	const char *name = own_name("basic");
	brood_segment *segment = make(10, &(brood_segment_opts){ .name = name }), *again = NULL;
	struct stat file;

	ck_assert_str_eq(brood_segment_name(segment), name);
	ck_assert_int_eq(stat(path_of(name), &file), 0);
	ck_assert_uint_eq(file.st_mode & 07777, 0600);
	ck_assert_int_ge(file.st_blocks, 1);
	ck_assert_int_eq(brood_segment_open(name, NULL, &again), 0);
	strcpy(brood_segment_data(segment), "one");
	ck_assert_str_eq(brood_segment_data(again), "one");
	ck_assert_uint_eq(brood_segment_size(again), 10);
	check_refused(10, (brood_segment_opts){ .name = name }, -EEXIST, "name");
	ck_assert_int_eq(brood_segment_seal(again, BROOD_SEAL_GROW), -EOPNOTSUPP);
	brood_segment_unref(again);
	ck_assert(exists(name));
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	ck_assert_int_eq(brood_segment_unlink(segment), -ENOENT);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -ENOENT, "open");
	ck_assert_int_eq(brood_segment_remove(name), -ENOENT);
	ck_assert_str_eq(brood_segment_data(segment), "one");
	brood_segment_unref(segment);
}
END_TEST

START_TEST(unlink_leaves_a_name_that_is_anothers_by_now)
{
	const char *name = own_name("other");
	brood_segment *old = make(10, &(brood_segment_opts){ .name = name }), *young;

	ck_assert_int_eq(brood_segment_remove(name), 0);
	young = make(10, &(brood_segment_opts){ .name = name });
	ck_assert_int_eq(brood_segment_unlink(old), -ENOENT);
	ck_assert(exists(name));
	ck_assert_int_eq(brood_segment_close(young), 0);
	ck_assert_int_eq(brood_segment_unlink(young), 0);
	brood_segment_unref(old);
	brood_segment_unref(young);
}
END_TEST

START_TEST(without_o_tmpfile_it_is_the_same)
{
	const char *name = own_name("stand-in");
	brood_segment *segment;

	bri_segment_hooks.no_tmpfile = true;
	segment = make(10, &(brood_segment_opts){ .name = name });
	ck_assert(exists(name));
	check_refused(10, (brood_segment_opts){ .name = name }, -EEXIST, "name");
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
	ck_assert_int_eq(brood_segment_sweep(own_name("")), 0);
}
END_TEST

START_TEST(a_named_segment_that_grows_has_its_memory)
{
	const char *name = own_name("grow");
	brood_segment *segment =
		make(100, &(brood_segment_opts){ .name = name, .reserve = 1 << 20 });
	brood_segment *other;
	struct stat file;

	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment), NULL, &other), 0);
	ck_assert_int_eq(brood_segment_grow(other, 1 << 19), 0);
	ck_assert_int_eq(stat(path_of(name), &file), 0);
	ck_assert_int_eq(file.st_size, HEADER + (1 << 19));
	ck_assert_int_ge(file.st_blocks * 512, 1 << 19);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(other);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(a_guarded_name_comes_back)
{
	const char *name = own_name("guard");
	brood_segment_opts guarded = { .name = name, .guard = true, .raw = true };
	brood_segment *segment = make(10, &guarded), *again = NULL;

	strcpy(brood_segment_data(segment), "same");
	ck_assert_int_eq(brood_segment_restore(segment), 0);
	ck_assert_int_eq(unlink(path_of(name)), 0);
	ck_assert_int_eq(brood_segment_restore(segment), 0);
	ck_assert(exists(name));
	ck_assert_int_eq(unlink(path_of(name)), 0);
	ck_assert_int_eq(brood_segment_open(name, &(brood_segment_opts){ .raw = true }, &again), 0);
	ck_assert_str_eq(brood_segment_data(again), "same");
	ck_assert(exists(name));
	/* Nobody else can have the name meanwhile. */
	ck_assert_int_eq(unlink(path_of(name)), 0);
	check_refused(1, (brood_segment_opts){ .name = name }, -EEXIST, "name");
	brood_segment_unref(again);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	ck_assert_int_eq(brood_segment_restore(segment), -ENOENT);
	ck_assert_int_eq(brood_segment_unlink(segment), -ENOENT);
	brood_segment_unref(segment);
	/* Without its first name it is still unlinked, removed, reaped. */
	segment = make(10, &guarded);
	ck_assert_int_eq(unlink(path_of(name)), 0);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
	segment = make(10, &guarded);
	ck_assert_int_eq(unlink(path_of(name)), 0);
	ck_assert_int_eq(brood_segment_reap(name), -EBUSY);
	brood_segment_unref(segment);
	ck_assert_int_eq(brood_segment_reap(name), 0);
	brood_segment_unref(make(10, &guarded));
	ck_assert_int_eq(unlink(path_of(name)), 0);
	ck_assert_int_eq(brood_segment_remove(name), 0);
	ck_assert_int_eq(brood_segment_remove(name), -ENOENT);
	/* Swept with its name. */
	brood_segment_unref(make(10, &(brood_segment_opts){ .name = name, .guard = true }));
	ck_assert_int_eq(brood_segment_sweep(name), 1);
	ck_assert_int_eq(brood_segment_reap(name), -ENOENT);
	check_refused(1, (brood_segment_opts){ .guard = true }, -EINVAL, "options");
	/* One that nobody uses any more is replaced, with or without its first name. */
	for (int i = 0; i < 2; i++) {
		brood_segment_unref(make(10, &(brood_segment_opts){ .name = name, .guard = true }));
		if (i == 1)
			ck_assert_int_eq(unlink(path_of(name)), 0);
		segment = make(20, &(brood_segment_opts){ .name = name });
		ck_assert_int_eq(unlink(path_of(name)), 0);
		ck_assert_int_eq(brood_segment_restore(segment), -ENOENT);
		brood_segment_unref(segment);
	}
	segment = make(1, NULL);
	ck_assert_int_eq(brood_segment_restore(segment), -ENOENT);
	ck_assert_int_eq(brood_segment_unlink(segment), -ENOENT);
	brood_segment_unref(segment);
}
END_TEST

static int fill_unseen(void *context, void *data, size_t size)
{
	const char *name = context;

	ck_assert(!exists(name));
	ck_assert_uint_eq(size, 100);
	ck_assert_int_eq(*(char *)data, 0);
	strcpy(data, "filled");
	return 0;
}

static int fill_nothing(void *context, void *data, size_t size)
{
	(void)context, (void)data, (void)size;
	return -ECANCELED;
}

START_TEST(a_name_appears_with_the_content)
{
	char name[300];
	brood_segment *segment;

	snprintf(name, sizeof(name), "%s", own_name("filled"));
	segment = make(100,
		       &(brood_segment_opts){ .name = name, .fill = fill_unseen, .context = name });
	ck_assert(exists(name));
	ck_assert_str_eq(brood_segment_data(segment), "filled");
	brood_segment_unlink(segment);
	brood_segment_unref(segment);
	segment = make(100, &(brood_segment_opts){ .fill = fill_unseen, .context = name });
	ck_assert_str_eq(brood_segment_data(segment), "filled");
	brood_segment_unref(segment);
	check_refused(100, (brood_segment_opts){ .fill = fill_nothing }, -ECANCELED, "fill");
	check_refused(100, (brood_segment_opts){ .name = name, .fill = fill_nothing }, -ECANCELED,
		      "fill");
	ck_assert(!exists(name));
}
END_TEST

static unsigned numbers_given;

static uint64_t same_number_thrice(void)
{
	return numbers_given++ < 3 ? UINT64_C(0x1234567) + (uint64_t)getpid() : numbers_given;
}

START_TEST(a_fresh_name_that_is_taken_is_tried_again)
{
	brood_segment *one, *two;

	bri_segment_hooks.number = same_number_thrice;
	one = make(1, &(brood_segment_opts){ .named = true });
	two = make(1, &(brood_segment_opts){ .named = true });
	ck_assert_str_ne(brood_segment_name(one), brood_segment_name(two));
	ck_assert_uint_ge(numbers_given, 4);
	ck_assert_int_eq(brood_segment_unlink(one), 0);
	ck_assert_int_eq(brood_segment_unlink(two), 0);
	brood_segment_unref(one);
	brood_segment_unref(two);
}
END_TEST

START_TEST(a_raw_segment_has_exactly_its_bytes)
{
	const char *name = own_name("raw");
	brood_segment_opts raw = { .name = name, .raw = true };
	brood_segment *segment = make(10, &raw), *again;
	struct stat file;

	ck_assert_int_eq(stat(path_of(name), &file), 0);
	ck_assert_int_eq(file.st_size, 10);
	strcpy(brood_segment_data(segment), "raw");
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -EBADMSG, "header");
	ck_assert_int_eq(brood_segment_open(name, &(brood_segment_opts){ .raw = true }, &again), 0);
	ck_assert_str_eq(brood_segment_data(again), "raw");
	ck_assert_uint_eq(brood_segment_size(again), 10);
	brood_segment_unref(again);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

/* ---- what is refused */

START_TEST(bad_input_is_refused_each_in_its_way)
{
	char longest[256], too_long[257];

	memset(too_long, 'x', sizeof(too_long));
	too_long[246] = '\0';
	memcpy(longest, too_long, sizeof(longest));
	longest[245] = '\0';
	check_refused(0, (brood_segment_opts){ .raw = false }, -EINVAL, "size");
	check_refused((size_t)-1, (brood_segment_opts){ .raw = false }, -EFBIG, "size");
	check_refused(((size_t)1 << 46) + 1, (brood_segment_opts){ .name = "brood-no" }, -EFBIG,
		      "size");
	check_refused(2, (brood_segment_opts){ .reserve = 1 }, -EINVAL, "reserve");
	check_refused(2, (brood_segment_opts){ .reserve = (size_t)-1 }, -EFBIG, "reserve");
	check_refused(1, (brood_segment_opts){ .name = "" }, -EINVAL, "name");
	check_refused(1, (brood_segment_opts){ .name = "." }, -EINVAL, "name");
	check_refused(1, (brood_segment_opts){ .name = ".." }, -EINVAL, "name");
	check_refused(1, (brood_segment_opts){ .name = "brood-a/b" }, -EINVAL, "name");
	check_refused(1, (brood_segment_opts){ .name = "/brood" }, -EINVAL, "name");
	check_refused(1, (brood_segment_opts){ .name = too_long }, -ENAMETOOLONG, "name");
	check_refused(1, (brood_segment_opts){ .name = "brood\0x", .name_size = 7 }, -EILSEQ,
		      "name");
	check_refused(1, (brood_segment_opts){ .name = "brood-x", .named = true }, -EINVAL,
		      "options");
	check_refused(1, (brood_segment_opts){ .keep = true }, -EINVAL, "options");
	check_refused(1, (brood_segment_opts){ .read_only = true }, -EINVAL, "options");
	check_refused(1, (brood_segment_opts){ .pages = 7 }, -EINVAL, "options");
	check_not_opened(NULL, (brood_segment_opts){ .raw = false }, -EINVAL, "name");
	check_not_opened("a/b", (brood_segment_opts){ .raw = false }, -EINVAL, "name");
	check_not_opened(too_long, (brood_segment_opts){ .raw = false }, -ENAMETOOLONG, "name");
	check_not_opened("brood\0x", (brood_segment_opts){ .name_size = 7 }, -EILSEQ, "name");
	check_not_opened(longest, (brood_segment_opts){ .raw = false }, -ENOENT, "open");
	ck_assert_int_eq(brood_segment_remove("a/b"), -EINVAL);
	ck_assert_int_eq(brood_segment_reap(too_long), -ENAMETOOLONG);
	ck_assert_int_eq(brood_segment_reap("brood-nobody"), -ENOENT);
	ck_assert_int_eq(brood_segment_sweep(NULL), -EINVAL);
	ck_assert_int_eq(brood_segment_sweep("a/"), -EINVAL);
}
END_TEST

/* The first part of a name that has a length is the name. */
START_TEST(a_name_may_come_with_its_length)
{
	char name[300];
	brood_segment *segment, *again;

	snprintf(name, sizeof(name), "%sTAIL", own_name("length"));
	segment = make(1, &(brood_segment_opts){ .name = name, .name_size = strlen(name) - 4 });
	ck_assert_str_eq(brood_segment_name(segment), own_name("length"));
	ck_assert_int_eq(brood_segment_open(name,
					    &(brood_segment_opts){ .name_size = strlen(name) - 4 },
					    &again),
			 0);
	brood_segment_unref(again);
	brood_segment_unlink(segment);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(what_is_foreign_truncated_or_of_another_version_is_refused)
{
	const char *name = own_name("forged");
	brood_segment *segment = make(100, &(brood_segment_opts){ .name = name });
	uint32_t version = 2, words = 0x04030201;
	uint64_t reserve = 1;
	brood_segment *reader = NULL;
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, HEADER + 99), 0);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -ENODATA, "header");
	ck_assert_int_eq(ftruncate(fd, HEADER - 1), 0);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -ENODATA, "header");
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -ENODATA, "header");
	check_not_opened(name, (brood_segment_opts){ .raw = true }, -ENODATA, "header");
	brood_segment_unlink(segment);
	brood_segment_unref(segment);
	close(fd);

	segment = make(100, &(brood_segment_opts){ .name = name });
	fd = open(path_of(name), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, &version, 4, 8), 4);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -EPROTONOSUPPORT, "header");
	version = 1;
	ck_assert_int_eq(pwrite(fd, &version, 4, 8), 4);
	ck_assert_int_eq(pwrite(fd, &words, 4, 12), 4);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -EPROTONOSUPPORT, "header");
	ck_assert_int_eq(pwrite(fd, "B", 1, 3), 1);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -EBADMSG, "header");
	brood_segment_unlink(segment);
	brood_segment_unref(segment);
	close(fd);

	segment = make(100, &(brood_segment_opts){ .name = name });
	fd = open(path_of(name), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, &reserve, 8, 32), 8);
	check_not_opened(name, (brood_segment_opts){ .raw = false }, -EBADMSG, "header");
	close(fd);
	brood_segment_unlink(segment);
	brood_segment_unref(segment);

	/* Not files, or not to be written. */
	ck_assert_int_eq(symlink("/etc/passwd", path_of(name)), 0);
	check_not_opened(name, (brood_segment_opts){ .raw = true }, -EINVAL, "open");
	ck_assert_int_eq(brood_segment_remove(name), 0);
	ck_assert_int_eq(mkfifo(path_of(name), 0600), 0);
	check_not_opened(name, (brood_segment_opts){ .raw = true }, -EINVAL, "open");
	ck_assert_int_eq(brood_segment_remove(name), 0);
	ck_assert_int_eq(brood_segment_attach(-1, NULL, &reader), -EBADF);
	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(brood_segment_attach(fd, NULL, &reader), -EACCES);
	ck_assert_int_eq(
		brood_segment_attach(fd, &(brood_segment_opts){ .read_only = true }, &reader),
		-EBADMSG);
	close(fd);
	fd = open("/etc/passwd", O_PATH | O_CLOEXEC);
	ck_assert_int_eq(brood_segment_attach(fd, NULL, &reader), -EBADF);
	close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(brood_segment_attach(fd, NULL, &reader), -EINVAL);
	close(fd);
}
END_TEST

static void limit(int what, rlim_t value)
{
	struct rlimit now;

	ck_assert_int_eq(getrlimit((__rlimit_resource_t)what, &now), 0);
	now.rlim_cur = value;
	ck_assert_int_eq(setrlimit((__rlimit_resource_t)what, &now), 0);
}

static void run_out(void)
{
	brood_segment *growing = make(100, &(brood_segment_opts){ .reserve = 1 << 20 }), *reader;
	brood_segment *by_name = make(100, &(brood_segment_opts){ .named = true });
	int fd = brood_segment_fd(growing);

	/* No SIGXFSZ. */
	limit(RLIMIT_FSIZE, 1 << 16);
	check_refused(1 << 17, (brood_segment_opts){ .raw = false }, -EFBIG, "size");
	check_refused(1 << 17, (brood_segment_opts){ .named = true }, -EFBIG, "size");
	ck_assert_int_eq(brood_segment_grow(growing, 1 << 17), -EFBIG);
	ck_assert_uint_eq(brood_segment_size(growing), 100);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	/* No address space left. */
	limit(RLIMIT_AS, 0);
	check_refused(1 << 24, (brood_segment_opts){ .raw = false }, -ENOMEM, "map");
	check_refused(1 << 24, (brood_segment_opts){ .named = true }, -ENOMEM, "map");
	ck_assert_int_eq(brood_segment_attach(fd, NULL, &reader), -ENOMEM);
	check_not_opened(brood_segment_name(by_name), (brood_segment_opts){ .raw = false }, -ENOMEM,
			 "map");
	limit(RLIMIT_AS, RLIM_INFINITY);
	/* No descriptors left. */
	limit(RLIMIT_NOFILE, 3);
	check_refused(1, (brood_segment_opts){ .raw = false }, -EMFILE, "memfd");
	check_refused(1, (brood_segment_opts){ .named = true }, -EMFILE, "create");
	check_not_opened(brood_segment_name(by_name), (brood_segment_opts){ .raw = false }, -EMFILE,
			 "open");
	ck_assert_int_lt(brood_segment_attach(fd, NULL, &reader), 0);
	ck_assert_int_eq(brood_segment_unlink(by_name), -EMFILE);
	ck_assert_int_eq(brood_segment_restore(by_name), -EMFILE);
	ck_assert_int_eq(brood_segment_sweep("brood-"), -EMFILE);
	ck_assert_int_eq(brood_segment_reap("brood-x"), -EMFILE);
	ck_assert_int_eq(brood_segment_remove("brood-x"), -EMFILE);
	limit(RLIMIT_NOFILE, 100);
	ck_assert_int_eq(brood_segment_unlink(by_name), 0);
	brood_segment_unref(by_name);
	brood_segment_unref(growing);
}

START_TEST(without_memory_space_or_descriptors_it_fails_and_leaves_nothing)
{
	in_fork(run_out);
}
END_TEST

/* /dev/shm with a size, in a namespace of its own: -1 where that is not allowed. */
static int small_shm(const char *options)
{
	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	return mount("none", "/dev/shm", "tmpfs", 0, options);
}

static void fill_shm(void)
{
	brood_segment *segment = NULL;

	if (small_shm("size=256k") < 0)
		return;
	check_refused(1 << 20, (brood_segment_opts){ .name = "brood-full" }, -ENOSPC, "space");
	check_refused(1 << 20, (brood_segment_opts){ .name = "raw-full", .raw = true }, -ENOSPC,
		      "space");
	ck_assert(!exists("brood-full"));
	segment = make(100000, &(brood_segment_opts){ .name = "brood-some", .reserve = 1 << 20 });
	memset(brood_segment_data(segment), 1, 100000);
	ck_assert_int_eq(brood_segment_grow(segment, 1 << 20), -ENOSPC);
	memset(brood_segment_data(segment), 1, 100000);
	brood_segment_unref(segment);
}

START_TEST(a_full_dev_shm_is_an_error_and_no_sigbus)
{
	in_fork(fill_shm);
}
END_TEST

static void lose_shm(void)
{
	brood_segment *segment = NULL;

	if (small_shm("ro,size=4k") < 0)
		return;
	check_refused(1, (brood_segment_opts){ .named = true }, -EROFS, "create");
	if (mount("none", "/dev", "tmpfs", 0, "size=4k") < 0)
		return;
	check_refused(1, (brood_segment_opts){ .named = true }, -ENOENT, "create");
	check_not_opened("brood-x", (brood_segment_opts){ .raw = true }, -ENOENT, "open");
	ck_assert_int_eq(brood_segment_sweep(""), -ENOENT);
	ck_assert_int_eq(brood_segment_remove("x"), -ENOENT);
	ck_assert_int_eq(brood_segment_reap("x"), -ENOENT);
	ck_assert_int_eq(brood_segment_new(10, NULL, &segment), 0);
	brood_segment_unref(segment);
}

START_TEST(without_dev_shm_only_names_fail)
{
	in_fork(lose_shm);
}
END_TEST

/* ---- killed users */

static void make_named_one(const char *name)
{
	make(100, &(brood_segment_opts){ .name = name });
}

static void open_raw_read_only(const char *name)
{
	brood_segment *segment;

	ck_assert_int_eq(brood_segment_open(name,
					    &(brood_segment_opts){ .raw = true, .read_only = true },
					    &segment),
			 0);
}

static void map_it(const char *name)
{
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);

	ck_assert_ptr_ne(mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
}

START_TEST(a_sweep_removes_what_killed_users_left_and_nothing_else)
{
	const char *dead = own_name("dead"), *used = own_name("used"), *kept = own_name("kept");
	const char *raw = own_name("raw");
	brood_segment *segment;
	pid_t creator = start_user(make_named_one, dead), user;

	ck_assert_int_eq(brood_segment_sweep(dead), 0);
	ck_assert_int_eq(brood_segment_reap(dead), -EBUSY);
	brood_segment_unref(make(1, &(brood_segment_opts){ .name = used }));
	user = start_user(map_it, used);
	brood_segment_unref(make(1, &(brood_segment_opts){ .name = kept, .keep = true }));
	brood_segment_unref(make(1, &(brood_segment_opts){ .name = raw, .raw = true }));
	end_user(creator);
	ck_assert(exists(dead));
	{
		char prefix[64];

		snprintf(prefix, sizeof(prefix), "brood-test-%d-", (int)getpid());
		ck_assert_int_eq(brood_segment_sweep(prefix), 1);
	}
	ck_assert(!exists(dead));
	ck_assert(exists(used));
	ck_assert(exists(kept));
	ck_assert(exists(raw));
	ck_assert_int_eq(brood_segment_reap(used), -EBUSY);
	end_user(user);
	ck_assert_int_eq(brood_segment_sweep(used), 1);

	user = start_user(open_raw_read_only, raw);
	ck_assert_int_eq(brood_segment_reap(raw), -EBUSY);
	end_user(user);
	ck_assert_int_eq(brood_segment_reap(raw), 0);
	ck_assert_int_eq(brood_segment_reap(kept), 0);
	segment = make(1, &(brood_segment_opts){ .named = true });
	ck_assert_int_eq(brood_segment_reap(brood_segment_name(segment)), -EBUSY);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(a_name_that_a_killed_user_left_can_be_made_again)
{
	const char *name = own_name("again");
	brood_segment *segment;

	end_user(start_user(make_named_one, name));
	ck_assert(exists(name));
	segment = make(5, &(brood_segment_opts){ .name = name });
	ck_assert_uint_eq(brood_segment_size(segment), 5);
	ck_assert_int_eq(brood_segment_unlink(segment), 0);
	brood_segment_unref(segment);
	/* Not one that is to be kept, and not one that is not brood's. */
	brood_segment_unref(make(5, &(brood_segment_opts){ .name = name, .keep = true }));
	check_refused(5, (brood_segment_opts){ .name = name }, -EEXIST, "name");
	ck_assert_int_eq(brood_segment_remove(name), 0);
	brood_segment_unref(make(5, &(brood_segment_opts){ .name = name, .raw = true }));
	check_refused(5, (brood_segment_opts){ .name = name }, -EEXIST, "name");
	ck_assert_int_eq(brood_segment_remove(name), 0);
}
END_TEST

START_TEST(a_stand_in_that_a_killed_creator_left_is_swept)
{
	int fd = open("/dev/shm/.brood-new-0123456789abcdef", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	brood_segment_sweep(own_name("none"));
	ck_assert(exists(".brood-new-0123456789abcdef"));
	close(fd);
	ck_assert_int_ge(brood_segment_sweep(own_name("none")), 1);
	ck_assert(!exists(".brood-new-0123456789abcdef"));
}
END_TEST

/* Users come and go while two sweep: whoever opened a segment has one with a name, or is told that
 * there is none; nobody is killed by a lease's signal. */
START_TEST(sweepers_and_openers_do_not_harm_each_other)
{
	const char *name = own_name("busy");
	pid_t sweepers[2];
	int opened = 0;

	for (int i = 0; i < 2; i++) {
		sweepers[i] = fork();
		if (sweepers[i] == 0)
			for (;;)
				brood_segment_sweep(name);
	}
	for (int i = 0; i < 2000; i++) {
		brood_segment *segment = NULL, *again = NULL;
		int r = brood_segment_new(10, &(brood_segment_opts){ .name = name }, &segment);

		ck_assert(r == 0 || r == -EEXIST);
		if (r == 0) {
			ck_assert_int_eq(brood_segment_open(name, NULL, &again), 0);
			opened++;
			brood_segment_unref(again);
		}
		brood_segment_unref(segment);
		r = brood_segment_open(name, NULL, &again);
		ck_assert(r == 0 || r == -ENOENT);
		if (r == 0)
			brood_segment_unref(again);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(waitpid(sweepers[i], NULL, WNOHANG), 0);
		end_user(sweepers[i]);
	}
	ck_assert_int_gt(opened, 0);
	brood_segment_sweep(name);
	ck_assert(!exists(name));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment");
	TCase *tcase = leak_case(suite, "unnamed", 30);

	tcase_add_test(tcase, an_unnamed_segment_is_zero_aligned_and_shared_with_forked_children);
	tcase_add_test(tcase, another_attaches_by_descriptor);
	tcase_add_test(tcase, nobody_can_shrink_an_unnamed_segment);
	tcase_add_test(tcase, seals_hold);
	tcase_add_test(tcase, it_grows_in_place_and_for_all);
	tcase_add_test(tcase, signals_do_not_stop_it_from_growing);
	tcase_add_test(tcase, huge_pages_where_there_are_some);
	tcase_add_test(tcase, its_memory_is_on_the_nodes_that_were_named);
	tcase = leak_case(suite, "handle", 30);
	tcase_add_test(tcase, it_cannot_be_closed_under_those_who_use_it);
	tcase_add_test(tcase, an_address_finds_its_segment);
	tcase = leak_case(suite, "named", 30);
	tcase_add_test(tcase, a_named_segment_is_made_opened_and_removed);
	tcase_add_test(tcase, unlink_leaves_a_name_that_is_anothers_by_now);
	tcase_add_test(tcase, without_o_tmpfile_it_is_the_same);
	tcase_add_test(tcase, a_named_segment_that_grows_has_its_memory);
	tcase_add_test(tcase, a_guarded_name_comes_back);
	tcase_add_test(tcase, a_name_appears_with_the_content);
	tcase_add_test(tcase, a_fresh_name_that_is_taken_is_tried_again);
	tcase_add_test(tcase, a_raw_segment_has_exactly_its_bytes);
	tcase = leak_case(suite, "refused", 30);
	tcase_add_test(tcase, bad_input_is_refused_each_in_its_way);
	tcase_add_test(tcase, a_name_may_come_with_its_length);
	tcase_add_test(tcase, what_is_foreign_truncated_or_of_another_version_is_refused);
	tcase_add_test(tcase, without_memory_space_or_descriptors_it_fails_and_leaves_nothing);
	tcase_add_test(tcase, a_full_dev_shm_is_an_error_and_no_sigbus);
	tcase_add_test(tcase, without_dev_shm_only_names_fail);
	tcase = leak_case(suite, "killed", 60);
	tcase_add_test(tcase, a_sweep_removes_what_killed_users_left_and_nothing_else);
	tcase_add_test(tcase, a_name_that_a_killed_user_left_can_be_made_again);
	tcase_add_test(tcase, a_stand_in_that_a_killed_creator_left_is_swept);
	tcase_add_test(tcase, sweepers_and_openers_do_not_harm_each_other);
	return leak_run(suite);
}
