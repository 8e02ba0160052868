/* The heap: what is allocated stays apart, what is freed comes back, whoever is killed meanwhile. */
#include <brood/heap.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/segment.h"
#include "tests/unit/leak.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

/* Check keeps a record of each of its checks; for those made by the hundred thousand it is told of failures only. */
#define expect(condition)                               \
	do {                                            \
		if (!(condition))                       \
			ck_abort_msg("%s", #condition); \
	} while (0)

static brood_segment *segment;
static brood_heap *heap;

static void make(size_t size, size_t reserve)
{
	ck_assert_int_eq(
		brood_segment_new(size, &(brood_segment_opts){ .reserve = reserve }, &segment), 0);
	ck_assert_int_eq(brood_heap_new(segment, &heap), 0);
}

static void drop(void)
{
	heap = brood_heap_unref(heap);
	segment = brood_segment_unref(segment);
}

static brood_heap_figures count(void)
{
	brood_heap_figures figures;

	ck_assert_int_eq(brood_heap_count(heap, &figures), 0);
	return figures;
}

static char *alloc(size_t size)
{
	void *block = NULL;

	expect(brood_heap_alloc(heap, size, &block) == 0);
	expect((uintptr_t)block % 16 == 0);
	return block;
}

static uint64_t seed = 88172645463325252;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Mostly small, sometimes large. */
static size_t random_size(void)
{
	uint64_t r = next_random();

	return 1 + r / 16 % (r % 16 == 0 ? 100000 : r % 4 == 0 ? 8192 : 300);
}

START_TEST(every_size_is_had_and_given_back)
{
	make(64 * MIB, 0);
	for (size_t size = 1; size < 300000; size += size < 10000 ? 7 : 9973) {
		char *block = alloc(size);
		ssize_t real = brood_heap_size_of(heap, block);

		ck_assert_int_ge(real, (ssize_t)size);
		/* At most a quarter, and what the 16 or 1024 they are rounded to make. */
		ck_assert_int_le(real, (ssize_t)(size + size / 4 + (size > 8192 ? 1024 : 16)));
		memset(block, 0xff, (size_t)real);
		ck_assert_uint_eq(count().blocks, 1);
		ck_assert_uint_eq(count().used, (size_t)real);
		ck_assert_int_eq(brood_heap_free(heap, block), 0);
		ck_assert_uint_eq(count().blocks, 0);
	}
	drop();
}
END_TEST

START_TEST(alignments_hold)
{
	void *block = NULL;

	make(16 * MIB, 0);
	for (size_t align = 1; align <= 4096; align *= 2)
		for (size_t size = 1; size < 20000; size = size * 3 + 1) {
			void *others[3];

			for (int i = 0; i < 3; i++) {
				ck_assert_int_eq(
					brood_heap_alloc_aligned(heap, size, align, &others[i]), 0);
				ck_assert_uint_eq((uintptr_t)others[i] % align, 0);
				ck_assert_int_ge(brood_heap_size_of(heap, others[i]),
						 (ssize_t)size);
			}
			ck_assert_uint_eq(count().blocks, 3);
			for (int i = 0; i < 3; i++)
				ck_assert_int_eq(brood_heap_free(heap, others[i]), 0);
		}
	ck_assert_int_eq(brood_heap_alloc_aligned(heap, 1, 0, &block), -EINVAL);
	ck_assert_int_eq(brood_heap_alloc_aligned(heap, 1, 48, &block), -EINVAL);
	ck_assert_int_eq(brood_heap_alloc_aligned(heap, 1, 8192, &block), -EINVAL);
	ck_assert_int_eq(brood_heap_alloc_aligned(heap, 0, 16, &block), -EINVAL);
	ck_assert_int_eq(brood_heap_alloc_aligned(heap, (size_t)-1, 16, &block), -EFBIG);
	drop();
}
END_TEST

START_TEST(blocks_never_overlap)
{
	static struct {
		unsigned char *block;
		size_t size;
		unsigned char mark;
	} kept[3000];
	size_t live = 0;

	make(64 * MIB, 0);
	for (int i = 0; i < 300000; i++) {
		size_t at = next_random() % 3000;

		if (kept[at].block != NULL) {
			for (size_t k = 0; k < kept[at].size; k += 1 + kept[at].size / 8)
				expect(kept[at].block[k] == kept[at].mark);
			expect(kept[at].block[kept[at].size - 1] == kept[at].mark);
			expect(brood_heap_free(heap, kept[at].block) == 0);
			kept[at].block = NULL;
			live--;
			continue;
		}
		kept[at].size = random_size();
		kept[at].mark = (unsigned char)next_random();
		kept[at].block = (unsigned char *)alloc(kept[at].size);
		memset(kept[at].block, kept[at].mark, kept[at].size);
		live++;
		if (i % 10000 == 0)
			ck_assert_uint_eq(count().blocks, live);
	}
	for (size_t i = 0; i < 3000; i++)
		ck_assert_int_eq(brood_heap_free(heap, kept[i].block), 0);
	ck_assert_uint_eq(count().blocks, 0);
	ck_assert_uint_eq(count().used, 0);
	drop();
}
END_TEST

/* Fills it with blocks of one size, each the head of a list. */
static size_t fill(size_t size, void **list)
{
	void *block;
	size_t n = 0;
	int r;

	*list = NULL;
	while ((r = brood_heap_alloc(heap, size, &block)) == 0) {
		*(void **)block = *list;
		*list = block;
		n++;
	}
	ck_assert_int_eq(r, -ENOMEM);
	return n;
}

static void empty(void *list)
{
	while (list != NULL) {
		void *next = *(void **)list;

		expect(brood_heap_free(heap, list) == 0);
		list = next;
	}
}

START_TEST(a_full_heap_says_so_and_all_space_comes_back_for_any_size)
{
	size_t first[6] = { 0 };
	void *list;

	make(4 * MIB, 0);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 6; i++) {
			size_t size = (size_t[]){ 16, 100, 1000, 8000, 50000, 3 * MIB }[i];
			size_t n = fill(size, &list);

			if (round == 0)
				first[i] = n;
			/* What the class before left of empty slabs is no hindrance. */
			ck_assert_uint_eq(n, first[i]);
			ck_assert_uint_ge(n * size, size > MIB ? 3 * MIB : count().size * 8 / 10);
			empty(list);
		}
	ck_assert_uint_eq(count().blocks, 0);
	drop();
}
END_TEST

START_TEST(the_smallest_heap_works)
{
	void *list;

	ck_assert_int_eq(brood_segment_new(4096, NULL, &segment), 0);
	ck_assert_int_eq(brood_heap_new(segment, &heap), -ENOSPC);
	brood_segment_unref(segment);
	make(48 * KIB, 0);
	ck_assert_uint_ge(count().size, 16 * KIB);
	/* Its slabs would be larger than the heap; a span serves. */
	ck_assert_uint_ge(fill(1024, &list), 16);
	empty(list);
	ck_assert_uint_ge(fill(8192, &list), 2);
	empty(list);
	drop();
}
END_TEST

START_TEST(it_grows_to_its_reserve)
{
	void *list;
	size_t n;

	make(1, 32 * MIB);
	ck_assert_uint_lt(brood_segment_size(segment), 2 * MIB);
	n = fill(4096, &list);
	ck_assert_uint_ge(n * 4096, 31 * MIB);
	ck_assert_uint_ge(count().size, 31 * MIB);
	empty(list);
	list = alloc(30 * MIB);
	ck_assert_int_eq(brood_heap_free(heap, list), 0);
	drop();
	make(1, 32 * MIB);
	ck_assert_int_eq(brood_heap_free(heap, alloc(31 * MIB)), 0);
	drop();
	/* Tables of a large reserve cost no memory. */
	make(1, (size_t)1 << 38);
	ck_assert_int_eq(brood_heap_free(heap, alloc(10 * MIB)), 0);
	drop();
}
END_TEST

START_TEST(wrong_frees_are_told)
{
	char *small, *large, stranger[32];

	make(MIB, 0);
	small = alloc(100);
	large = alloc(100000);
	ck_assert_int_eq(brood_heap_free(heap, NULL), 0);
	ck_assert_int_eq(brood_heap_free(heap, stranger), -EFAULT);
	ck_assert_int_eq(brood_heap_free(heap, brood_segment_data(segment)), -EFAULT);
	ck_assert_int_eq(brood_heap_free(heap, small + 16), -EINVAL);
	ck_assert_int_eq(brood_heap_free(heap, small + 112), -EINVAL);
	ck_assert_int_eq(brood_heap_free(heap, large + 16), -EINVAL);
	ck_assert_int_eq(brood_heap_free(heap, large + 1024), -EINVAL);
	ck_assert_int_eq((int)brood_heap_size_of(heap, large + 1024), -EINVAL);
	ck_assert_int_eq((int)brood_heap_size_of(heap, stranger), -EFAULT);
	ck_assert_uint_eq(count().blocks, 2);
	ck_assert_int_eq(brood_heap_free(heap, small), 0);
	ck_assert_int_eq(brood_heap_free(heap, small), -EINVAL);
	ck_assert_int_eq(brood_heap_free(heap, large), 0);
	ck_assert_int_eq(brood_heap_free(heap, large), -EINVAL);
	ck_assert_uint_eq(count().blocks, 0);
	drop();
}
END_TEST

START_TEST(bad_sizes_are_refused)
{
	void *block = &block;

	make(MIB, 0);
	ck_assert_int_eq(brood_heap_alloc(heap, 0, &block), -EINVAL);
	ck_assert_int_eq(brood_heap_alloc(heap, (size_t)-1, &block), -EFBIG);
	ck_assert_int_eq(brood_heap_alloc(heap, (size_t)1 << 40, &block), -ENOMEM);
	ck_assert_int_eq(brood_heap_alloc(heap, MIB, &block), -ENOMEM);
	ck_assert_ptr_eq(block, (void *)&block);
	drop();
}
END_TEST

START_TEST(the_root_is_found_by_who_attaches)
{
	brood_segment *theirs;
	brood_heap *other;
	char *text, *found;
	uint64_t offset;

	make(MIB, 2 * MIB);
	ck_assert_ptr_null(brood_heap_root(heap));
	ck_assert_int_eq(brood_heap_set_root(heap, &heap), -EFAULT);
	text = alloc(20);
	strcpy(text, "found");
	ck_assert_int_eq(brood_heap_set_root(heap, text), 0);
	offset = brood_heap_offset(heap, text);
	ck_assert_uint_ne(offset, 0);
	ck_assert_ptr_eq(brood_heap_at(heap, offset), text);
	ck_assert_uint_eq(brood_heap_offset(heap, NULL), 0);
	ck_assert_uint_eq(brood_heap_offset(heap, &heap), 0);
	ck_assert_ptr_null(brood_heap_at(heap, 0));
	ck_assert_ptr_null(brood_heap_at(heap, 8));
	ck_assert_ptr_null(brood_heap_at(heap, UINT64_MAX));
	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment), NULL, &theirs), 0);
	ck_assert_int_eq(brood_heap_attach(theirs, &other), 0);
	found = brood_heap_root(other);
	ck_assert_ptr_ne(found, text);
	ck_assert_str_eq(found, "found");
	ck_assert_int_eq(brood_heap_free(other, found), 0);
	ck_assert_int_eq(brood_heap_free(heap, text), -EINVAL);
	ck_assert_int_eq(brood_heap_set_root(heap, NULL), 0);
	ck_assert_ptr_null(brood_heap_root(other));
	ck_assert_int_eq(brood_segment_close(theirs), -EBUSY);
	ck_assert_ptr_eq(brood_heap_ref(other), other);
	brood_heap_unref(other);
	ck_assert_int_eq(brood_segment_close(theirs), -EBUSY);
	ck_assert_ptr_null(brood_heap_unref(other));
	ck_assert_int_eq(brood_segment_close(theirs), 0);
	ck_assert_int_eq(brood_heap_attach(theirs, &other), -EBADF);
	ck_assert_int_eq(brood_heap_new(theirs, &other), -EBADF);
	brood_segment_unref(theirs);
	drop();
}
END_TEST

START_TEST(what_is_no_heap_is_refused)
{
	brood_segment *reader;
	brood_heap *other = NULL;
	char *data;

	ck_assert_int_eq(brood_segment_new(MIB, NULL, &segment), 0);
	ck_assert_int_eq(brood_heap_attach(segment, &other), -EBADMSG);
	ck_assert_int_eq(brood_heap_new(segment, &heap), 0);
	data = brood_segment_data(segment);
	data[8]++; /* the version */
	ck_assert_int_eq(brood_heap_attach(segment, &other), -EPROTONOSUPPORT);
	data[8]--;
	data[16]++; /* most_units */
	data[17] += 4;
	ck_assert_int_eq(brood_heap_attach(segment, &other), -EBADMSG);
	data[17] -= 4;
	data[16]--;
	data[23] = 1; /* … absurd */
	ck_assert_int_eq(brood_heap_attach(segment, &other), -EBADMSG);
	data[23] = 0;
	data[36] = 1; /* units */
	ck_assert_int_eq(brood_heap_attach(segment, &other), -ENODATA);
	data[36] = 0;
	ck_assert_int_eq(brood_segment_attach(brood_segment_fd(segment),
					      &(brood_segment_opts){ .read_only = true }, &reader),
			 0);
	ck_assert_int_eq(brood_heap_attach(reader, &other), -EPERM);
	brood_segment_unref(reader);
	ck_assert_int_eq(brood_heap_attach(segment, &other), 0);
	brood_heap_unref(other);
	drop();
	/* Too small for its own head. */
	ck_assert_int_eq(brood_segment_new(100, NULL, &segment), 0);
	ck_assert_int_eq(brood_heap_attach(segment, &other), -EBADMSG);
	brood_segment_unref(segment);
}
END_TEST

START_TEST(a_used_segment_can_be_made_a_heap_anew)
{
	make(MIB, 0);
	memset(brood_segment_data(segment), 0x5a, MIB);
	brood_heap_unref(heap);
	ck_assert_int_eq(brood_heap_new(segment, &heap), 0);
	ck_assert_uint_eq(count().blocks, 0);
	ck_assert_int_eq(brood_heap_free(heap, alloc(500)), 0);
	drop();
}
END_TEST

/* ---- several at once. Whoever works writes into `log` what it holds, block by block, before and
 * behind each step, so that all can be accounted for when it was killed. */

struct log {
	uint64_t held[200]; /* offsets */
	uint64_t steps;
};

static struct log *logs;

/* Not Check's: that writes a file on every check, and its writer is killed here at any moment. */
static void must(bool holds)
{
	if (!holds)
		_exit(1);
}

static void check_mark(const uint64_t *block)
{
	size_t n = (size_t)brood_heap_size_of(heap, block) / 8;

	must(block[n - 1] == block[0] && block[n / 2] == block[0]);
}

static void work_once(struct log *log)
{
	size_t at = next_random() % 200;
	uint64_t *block = brood_heap_at(heap, log->held[at]);

	if (block != NULL) {
		check_mark(block);
		log->held[at] = 0;
		must(brood_heap_free(heap, block) == 0);
	} else {
		size_t size = random_size() + 8, n;
		void *fresh;

		if (brood_heap_alloc(heap, size, &fresh) == 0) {
			block = fresh;
			n = (size_t)brood_heap_size_of(heap, block) / 8;
			block[0] = block[n / 2] = block[n - 1] = next_random();
			log->held[at] = brood_heap_offset(heap, block);
		}
	}
	log->steps++;
}

static pid_t start_worker(struct log *log, uint64_t its_seed)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		seed = its_seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
		for (;;)
			work_once(log);
	}
	return pid;
}

/* Four work; every few milliseconds one is killed, and another takes over what it held. What a
 * killed one had in its hands between heap and log is lost to it: at most one block each. */
START_TEST(killed_users_leave_the_heap_whole)
{
	const char *lasts = getenv("BROOD_TEST_LONG");
	int kills = lasts != NULL ? 10000 : 400;
	brood_heap_figures figures;
	pid_t workers[4];
	size_t held = 0;

	make(4 * MIB, 64 * MIB);
	logs = mmap(NULL, 4 * sizeof(*logs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		    0);
	ck_assert_ptr_ne(logs, MAP_FAILED);
	for (int i = 0; i < 4; i++)
		workers[i] = start_worker(&logs[i], (uint64_t)i + 1);
	for (int i = 0; i < kills; i++) {
		uint64_t before = logs[i % 4].steps;
		int status = 0;

		usleep((unsigned)(next_random() % 3000));
		ck_assert_int_eq(kill(workers[i % 4], SIGKILL), 0);
		ck_assert_int_eq(waitpid(workers[i % 4], &status, 0), workers[i % 4]);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
			      "a worker found a fault: status %#x after %d kills", status, i);
		ck_assert_uint_ge(logs[i % 4].steps, before);
		workers[i % 4] = start_worker(&logs[i % 4], next_random());
	}
	for (int i = 0; i < 4; i++) {
		/* All are still at work. */
		uint64_t before = logs[i].steps;

		for (int wait = 0; logs[i].steps == before && wait < 10000; wait++)
			usleep(1000);
		ck_assert_uint_gt(logs[i].steps, before);
		kill(workers[i], SIGKILL);
		ck_assert_int_eq(waitpid(workers[i], NULL, 0), workers[i]);
	}
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 200; k++)
			held += logs[i].held[k] != 0;
	figures = count();
	ck_assert_uint_ge(figures.blocks, held);
	ck_assert_uint_le(figures.blocks, held + (size_t)kills + 4);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 200; k++)
			ck_assert_int_eq(
				brood_heap_free(heap, brood_heap_at(heap, logs[i].held[k])), 0);
	ck_assert_uint_eq(count().blocks, figures.blocks - held);
	munmap(logs, 4 * sizeof(*logs));
	drop();
	printf("random-kills: kills=%d failures=0\n", kills);
}
END_TEST

static void *work_in_thread(void *data)
{
	uint64_t mine = (uint64_t)(uintptr_t)data * UINT64_C(0x9e3779b97f4a7c15);
	void *held[64] = { NULL };

	for (int i = 0; i < 60000; i++) {
		size_t at, size;

		mine ^= mine << 13;
		mine ^= mine >> 7;
		mine ^= mine << 17;
		at = mine % 64;
		size = mine / 64 % 40 == 0 ? 20000 : 1 + mine / 64 % 500;
		if (held[at] != NULL) {
			if (*(size_t *)held[at] != at + (uintptr_t)data ||
			    brood_heap_free(heap, held[at]) != 0)
				return held[at];
			held[at] = NULL;
		} else {
			if (brood_heap_alloc(heap, size + 8, &held[at]) < 0)
				return heap;
			*(size_t *)held[at] = at + (uintptr_t)data;
		}
	}
	for (int i = 0; i < 64; i++)
		if (brood_heap_free(heap, held[i]) != 0)
			return held[i];
	return NULL;
}

START_TEST(threads_share_a_handle)
{
	pthread_t threads[4];
	void *fault;

	make(MIB, 32 * MIB);
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, work_in_thread, (void *)((i + 1) * 100)),
			0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &fault), 0);
		ck_assert_ptr_null(fault);
	}
	ck_assert_uint_eq(count().blocks, 0);
	drop();
}
END_TEST

/* One allocates, another frees: nothing piles up. */
START_TEST(blocks_freed_by_others_come_back)
{
	uint64_t *ring;
	pid_t pid;
	int status;

	make(256 * KIB, 0);
	ring = (uint64_t *)alloc(64 * 8);
	memset(ring, 0, 64 * 8);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 50000; i++) {
			uint64_t *slot = &ring[i % 64], offset;

			while ((offset = __atomic_load_n(slot, __ATOMIC_ACQUIRE)) == 0)
				sched_yield();
			if (brood_heap_free(heap, brood_heap_at(heap, offset)) != 0)
				_exit(1);
			__atomic_store_n(slot, 0, __ATOMIC_RELEASE);
		}
		_exit(0);
	}
	for (int i = 0; i < 50000; i++) {
		uint64_t *slot = &ring[i % 64];

		while (__atomic_load_n(slot, __ATOMIC_ACQUIRE) != 0)
			sched_yield();
		__atomic_store_n(slot, brood_heap_offset(heap, alloc(1 + (size_t)i % 1500)),
				 __ATOMIC_RELEASE);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(count().blocks, 1);
	drop();
}
END_TEST

/* Thread ids mean something else there. */
static void attach_elsewhere(void)
{
	brood_heap *other = NULL;
	pid_t pid;
	int status;

	if (unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID) < 0)
		return;
	pid = fork();
	if (pid == 0)
		_exit(brood_heap_attach(segment, &other) == -EXDEV ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(another_pid_namespace_is_refused)
{
	make(MIB, 0);
	in_fork(attach_elsewhere);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap");
	TCase *tcase = leak_case(suite, "alone", 60);

	tcase_add_test(tcase, every_size_is_had_and_given_back);
	tcase_add_test(tcase, alignments_hold);
	tcase_add_test(tcase, blocks_never_overlap);
	tcase_add_test(tcase, a_full_heap_says_so_and_all_space_comes_back_for_any_size);
	tcase_add_test(tcase, the_smallest_heap_works);
	tcase_add_test(tcase, it_grows_to_its_reserve);
	tcase = leak_case(suite, "refused", 30);
	tcase_add_test(tcase, wrong_frees_are_told);
	tcase_add_test(tcase, bad_sizes_are_refused);
	tcase_add_test(tcase, what_is_no_heap_is_refused);
	tcase_add_test(tcase, another_pid_namespace_is_refused);
	tcase = leak_case(suite, "shared", 60);
	tcase_add_test(tcase, the_root_is_found_by_who_attaches);
	tcase_add_test(tcase, a_used_segment_can_be_made_a_heap_anew);
	tcase_add_test(tcase, blocks_freed_by_others_come_back);
	tcase_add_test(tcase, threads_share_a_handle);
	tcase = leak_case(suite, "killed", getenv("BROOD_TEST_LONG") != NULL ? 900 : 110);
	tcase_add_test(tcase, killed_users_leave_the_heap_whole);
	return leak_run(suite);
}
