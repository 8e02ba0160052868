/* shm_operations.h - what is done to heaps, values, arrays, lists and segments while somebody is killed
 *
 * An operation has four parts: `build` makes what it finds, once; `arrange` makes, before each victim, what does not
 * lie in the segment; `act` is what the victim does; and `check` is what a survivor does, who has never seen the victim,
 * and demands. Every check ends by doing the same again, as others will. The table of all stands at the end. */
#ifndef FAULTS_SHM_OPERATIONS_H
#define FAULTS_SHM_OPERATIONS_H

#include <brood/array.h>
#include <brood/heap.h>
#include <brood/list.h>
#include <brood/value.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((size_t)192 << 10)
#define SMALL ((size_t)64 << 10) /* of what can grow, before it does */
#define GROWN ((size_t)100 << 10)
#define RESERVE ((size_t)256 << 10)
#define PIECES ((size_t)17 << 20) /* more than is allocated by one call */
#define LIMIT 10                  /* seconds for whoever survives */
#define KEPT 400
#define ITEMS 24

/* What stands in the segment, and what is done to it. */
struct operation {
	const char *name;
	void (*build)(void);
	void (*act)(void); /* the victim's */
	void (*check)(void);
	void (*arrange)(void); /* before each victim: what does not lie in the segment */
	void (*second)(void);  /* what the second victim does, or the other that is met */
	enum shape {
		FIXED,
		GROWING,
		COMMITTED, /* it grows, and its memory is allocated beforehand */
		COMMITTED_FAR
	} shape;
	bool unmakes; /* the heap itself may be none */
};

static const struct operation *current;
static brood_segment *segment;
static brood_heap *heap;
static unsigned char *pristine; /* what the segment holds before each kill */
static size_t pristine_size;

/* In the segment, at its root: what was allocated before the operation, and where it puts its
 * results. */
static struct stage {
	uint64_t kept[KEPT]; /* offsets of blocks, each filled with its index */
	uint64_t n;
	uint64_t freed;  /* of those, by another process meanwhile */
	uint64_t target; /* the block that the operation frees */
	brood_value value, real;
	brood_value numbers[16];
	uint64_t array, reals, records; /* offsets */
} * stage;

static void fault(const char *text)
{
	fprintf(stderr, "fault: %s\n", text);
	_exit(1);
}

#define must(condition)                    \
	do {                               \
		if (!(condition))          \
			fault(#condition); \
	} while (0)

/* ---- building what operations find */

static void *alloc(size_t size)
{
	void *block;

	must(brood_heap_alloc(heap, size, &block) == 0);
	return block;
}

static void *keep(size_t size)
{
	unsigned char *block = alloc(size);

	memset(block, (int)(stage->n % 251), size);
	must(stage->n < KEPT);
	stage->kept[stage->n++] = brood_heap_offset(heap, block);
	return block;
}

static void keep_many(size_t size, int n)
{
	while (n-- > 0)
		keep(size);
}

/* ---- the operations, and what is there before */

static void *mine;

static void build_nothing(void)
{
	keep(48);
}

static void build_almost_full_slab(void)
{
	keep_many(256, 55);
}

static void build_full_slab(void)
{
	keep_many(256, 54);
	stage->target = brood_heap_offset(heap, alloc(256));
	/* So that it never is empty, and must be found by its hint. */
	(void)alloc(256);
}

static void build_target(void)
{
	keep(100);
	stage->target = brood_heap_offset(heap, alloc(100));
	keep(100);
}

static void build_large(void)
{
	keep(9000);
	stage->target = brood_heap_offset(heap, alloc(9000));
	keep(9000);
}

static void build_between_free(void)
{
	void *before = alloc(9000), *target = alloc(9000), *behind = alloc(9000);

	keep(9000);
	stage->target = brood_heap_offset(heap, target);
	must(brood_heap_free(heap, before) == 0);
	must(brood_heap_free(heap, behind) == 0);
}

/* All space taken, but for slabs of which nothing is used: the next large block needs them dropped.
 * */
static void build_idle_slabs(void)
{
	void *idle[80], *block, *large = NULL;
	uint64_t *list = NULL;

	for (int i = 0; i < 80; i++)
		idle[i] = alloc(512);
	while (brood_heap_alloc(heap, 9000, &block) == 0) {
		large = block;
		keep(16);
		must(stage->n < KEPT);
		memset(block, (int)(stage->n % 251), 9000);
		stage->kept[stage->n++] = brood_heap_offset(heap, block);
	}
	must(large != NULL && list == NULL);
	for (int i = 0; i < 80; i++)
		must(brood_heap_free(heap, idle[i]) == 0);
}

/* No span is free: what is large makes the heap grow, and what it grew by has no neighbour. */
static void build_taken(void)
{
	brood_heap_figures figures;

	keep(48);
	must(brood_heap_count(heap, &figures) == 0 && figures.largest > 8192);
	keep(figures.largest);
	keep(48);
}

/* A free span at the end, which what it grows by is joined with. */
static void build_short(void)
{
	brood_heap_figures figures;

	must(brood_heap_count(heap, &figures) == 0 && figures.largest > 5000 + 8192);
	keep(figures.largest - 5000);
}

/* All of it is taken, but for a block that is freed while nothing else is free. */
static void build_full(void)
{
	build_full_slab();
	build_taken();
}

/* A slab, of which nothing is used. */
static void build_idle_slab(void)
{
	keep(48);
	must(brood_heap_free(heap, alloc(100)) == 0);
}

static void do_alloc(void)
{
	(void)brood_heap_alloc(heap, 48, &mine);
}

static void do_alloc_256(void)
{
	(void)brood_heap_alloc(heap, 256, &mine);
}

static void do_alloc_slab(void)
{
	(void)brood_heap_alloc(heap, 700, &mine);
}

static void do_alloc_large(void)
{
	(void)brood_heap_alloc(heap, 20000, &mine);
}

/* It may grow by what it needs, and no more. */
static void do_alloc_limited(void)
{
	(void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ SMALL + 30000, SMALL + 30000 });
	do_alloc_large();
}

static void do_alloc_refused(void)
{
	(void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ SMALL, SMALL });
	do_alloc_large();
}

static void do_alloc_aligned(void)
{
	(void)brood_heap_alloc_aligned(heap, 9000, 4096, &mine);
}

static void do_free(void)
{
	(void)brood_heap_free(heap, brood_heap_at(heap, stage->target));
}

static void do_alloc_and_free(void)
{
	if (brood_heap_alloc(heap, 100, &mine) == 0)
		(void)brood_heap_free(heap, mine);
}

static void do_set_root(void)
{
	(void)brood_heap_set_root(heap, brood_heap_at(heap, stage->target));
}

static void build_value(void)
{
	must(brood_value_init(&stage->value, 'q') == 0);
	must(brood_value_init(&stage->real, 'd') == 0);
	must(brood_value_set_int(&stage->value, 41) == 0);
	must(brood_value_set_double(&stage->real, 41) == 0);
}

static const char types[] = "?cbBhHiIlLqQufd";

/* The k-th number of a type; of the wide ones both halves differ from number to number. */
static int64_t number_of(char type, int k)
{
	if (type == '?')
		return k != 0;
	return strchr("lLqQd", type) != NULL ? k * INT64_C(0x100000001) : k;
}

static void build_numbers(void)
{
	for (int i = 0; types[i] != '\0'; i++) {
		must(brood_value_init(&stage->numbers[i], types[i]) == 0);
		must(brood_value_set_int(&stage->numbers[i], number_of(types[i], 0)) == 0);
	}
}

static void do_set_numbers(void)
{
	for (int i = 0; types[i] != '\0'; i++) {
		brood_value *value = &stage->numbers[i];

		(void)brood_value_set_int(value, number_of(types[i], 1));
		(void)brood_value_set_uint(value, (uint64_t)number_of(types[i], 2));
		(void)brood_value_set_double(value, (double)number_of(types[i], 3));
	}
}

/* Those of what no number fits in change nothing. */
static void do_add_numbers(void)
{
	for (int i = 0; types[i] != '\0'; i++) {
		brood_value *value = &stage->numbers[i];
		int64_t one = number_of(types[i], 1), two = number_of(types[i], 2), sum;
		double real;

		(void)brood_value_add(value, one, i % 2 == 0 ? &sum : NULL);
		(void)brood_value_replace(value, one + 1, 0, i % 2 == 0 ? &sum : NULL);
		(void)brood_value_replace(value, one, two, NULL);
		(void)brood_value_add_double(value, (double)one, types[i] == 'f' ? &real : NULL);
	}
}

static void do_value(void)
{
	(void)brood_value_add(&stage->value, 1, NULL);
	(void)brood_value_add_double(&stage->real, 1, NULL);
}

static void do_value_locked(void)
{
	int64_t number;

	if (brood_lock_acquire(brood_value_lock(&stage->value), BROOD_FOREVER) < 0)
		return;
	(void)brood_value_get_int(&stage->value, &number);
	(void)brood_value_set_int(&stage->value, number + 1);
	(void)brood_lock_release(brood_value_lock(&stage->value));
}

static brood_array *array_at(uint64_t offset)
{
	return brood_heap_at(heap, offset);
}

static uint64_t make_array(char type)
{
	size_t size = (size_t)brood_array_bytes(type, ITEMS);
	void *memory;

	must(brood_heap_alloc_aligned(heap, size, 64, &memory) == 0);
	must(brood_array_init(memory, size, type, ITEMS) == 0);
	return brood_heap_offset(heap, memory);
}

static void build_array(void)
{
	stage->array = make_array('i');
	stage->reals = make_array('d');
	stage->records = make_array('d');
	/* Of records of 8 bytes. */
	must(brood_array_init_records(array_at(stage->records),
				      (size_t)brood_array_bytes('d', ITEMS), 8, ITEMS) == 0);
}

/* The steps of do_array_items(), and what they leave in the array of integers or of reals. */
static const struct {
	int from;
	int index;
	double after;
} array_steps[] = { { 0, 0, 1 }, { 0, 1, 2 }, { 0, -1, 3 }, { 1, 0, 0.7 }, { 1, 1, 5 } };

static void do_array_items(void)
{
	(void)brood_array_set_int(array_at(stage->array), 0, 1);
	(void)brood_array_set_uint(array_at(stage->array), 1, 2);
	(void)brood_array_add(array_at(stage->array), -1, 3, NULL);
	(void)brood_array_set_double(array_at(stage->reals), 0, 0.7);
	(void)brood_array_set_uint(array_at(stage->reals), 1, 5);
}

static void do_array(void)
{
	int items[ITEMS];

	for (int i = 0; i < ITEMS; i++)
		items[i] = 7;
	(void)brood_array_write(array_at(stage->array), 0, items, ITEMS);
}

static void do_anew(void)
{
	brood_heap *fresh;

	(void)brood_heap_new(segment, &fresh);
}

/* A block of a size that fits no alignment, so that a larger class is taken. */
static void do_alloc_aligned_small(void)
{
	(void)brood_heap_alloc_aligned(heap, 300, 64, &mine);
}

/* What is refused, each for another reason. */
static void do_wrongly_with_heap(void)
{
	char elsewhere[64], *inside = brood_heap_at(heap, stage->target);

	(void)brood_heap_alloc(heap, 0, &mine);
	(void)brood_heap_alloc(heap, SIZE_MAX / 2, &mine);
	(void)brood_heap_alloc_aligned(heap, 1, 3, &mine);
	(void)brood_heap_alloc_aligned(heap, 1, 0, &mine);
	(void)brood_heap_alloc_aligned(heap, 1, 8192, &mine);
	(void)brood_heap_alloc_aligned(heap, 0, 8, &mine);
	(void)brood_heap_alloc_aligned(heap, SIZE_MAX / 2, 8, &mine);
	(void)brood_heap_free(heap, NULL);
	(void)brood_heap_free(heap, elsewhere);
	(void)brood_heap_free(heap, inside + 1);
	(void)brood_heap_free(heap, inside + 1024);
	(void)brood_heap_free(heap, (char *)brood_segment_data(segment) + SIZE - 1);
	(void)brood_heap_set_root(heap, elsewhere);
}

static void do_wrongly_with_values(void)
{
	brood_value *byte = &stage->numbers[2], *real = &stage->numbers[13];
	int64_t seen;

	(void)brood_value_set_int(NULL, 1);
	(void)brood_value_set_int((brood_value *)((char *)byte + 1), 1);
	(void)brood_value_set_int(byte, 1000);
	(void)brood_value_set_int(&stage->numbers[0], 2);
	(void)brood_value_set_int(&stage->numbers[3], -1);
	(void)brood_value_set_uint(byte, 200);
	(void)brood_value_set_uint(&stage->numbers[15], 1);
	(void)brood_value_set_double(byte, 1.5);
	(void)brood_value_set_double(&stage->numbers[15], 1);
	(void)brood_value_add(real, 1, NULL);
	(void)brood_value_add(&stage->numbers[15], 1, NULL);
	(void)brood_value_add_double(byte, 1, NULL);
	(void)brood_value_add_double(NULL, 1, NULL);
	(void)brood_value_replace(NULL, 0, 1, NULL);
	(void)brood_value_replace(real, 0, 1, NULL);
	(void)brood_value_replace(byte, 0, 1000, &seen);
	(void)brood_value_replace(byte, 1000, 1, &seen);
	(void)brood_value_replace(&stage->numbers[3], 99, 1, &seen);
	(void)brood_value_replace(byte, 99, 1, &seen);
}

static void do_wrongly_with_arrays(void)
{
	brood_array *array = array_at(stage->array), *records = array_at(stage->records);
	int items[2] = { 9, 9 };

	(void)brood_array_set_int(NULL, 0, 9);
	(void)brood_array_set_int((brood_array *)((char *)array + 4), 0, 9);
	(void)brood_array_set_int(array, ITEMS, 9);
	(void)brood_array_set_int(array, -ITEMS - 1, 9);
	(void)brood_array_set_int(records, 0, 9);
	(void)brood_array_set_uint(NULL, 0, 9);
	(void)brood_array_set_uint(array, ITEMS + 1, 9);
	(void)brood_array_set_uint(array, -ITEMS - 1, 9);
	(void)brood_array_set_uint(records, -1, 9);
	(void)brood_array_set_double(NULL, 0, 9);
	(void)brood_array_set_double(array, 0, 9);
	(void)brood_array_set_double(array, ITEMS, 9);
	(void)brood_array_set_double(array, -ITEMS - 1, 9);
	(void)brood_array_set_double(records, -1, 9);
	(void)brood_array_add(NULL, 0, 9, NULL);
	(void)brood_array_add(array, ITEMS, 9, NULL);
	(void)brood_array_add(array, -ITEMS - 1, 9, NULL);
	(void)brood_array_add(records, -1, 9, NULL);
	(void)brood_array_write(NULL, 0, items, 2);
	(void)brood_array_write(NULL, 0, items, 0);
	(void)brood_array_write(array, 0, items, 0);
	(void)brood_array_write(array, ITEMS - 1, items, 2);
	(void)brood_array_write(array, -ITEMS - 1, items, 2);
}

static void do_count(void)
{
	brood_heap_figures figures;

	(void)brood_heap_count(heap, &figures);
}

/* ---- what must hold afterwards */

static size_t check_heap(void)
{
	brood_heap_figures figures;
	size_t blocks;

	must(brood_heap_count(heap, &figures) == 0);
	blocks = figures.blocks;
	for (uint64_t i = 0; i < stage->n; i++) {
		unsigned char *block = brood_heap_at(heap, stage->kept[i]);
		ssize_t size = brood_heap_size_of(heap, block);

		must(size > 0);
		for (ssize_t k = 0; k < 16; k++)
			must(block[k] == i % 251);
	}
	return blocks;
}

/* Starts `body` in a process of its own, with a handle that remembers nothing. */
static pid_t start(void (*body)(void))
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	alarm(LIMIT);
	if (brood_heap_attach(segment, &heap) < 0) {
		must(current->unmakes);
		heap = NULL;
	}
	body();
	_exit(0);
}

static bool ended_well(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	if (WIFSIGNALED(status))
		fprintf(stderr, "fault: the survivor %s\n",
			WTERMSIG(status) == SIGALRM ? "waits for ever" :
						      strsignal(WTERMSIG(status)));
	return status == 0;
}

/* True: it came to its end in time. */
static bool in_time(void (*body)(void))
{
	return ended_well(start(body));
}

static void free_kept(void)
{
	for (uint64_t i = 0; i < stage->n; i++)
		must(brood_heap_free(heap, brood_heap_at(heap, stage->kept[i])) == 0);
}

/* How many blocks of 256 fit when all that was kept is free; small ones, since hints are for those.
 * Who freed remembers where; so that is another one. */
static size_t fill_up(void)
{
	void *block, *list = NULL;
	size_t n = 0;

	must(in_time(free_kept));
	for (; brood_heap_alloc(heap, 256, &block) == 0; n++) {
		*(void **)block = list;
		list = block;
	}
	while (list != NULL) {
		block = list;
		list = *(void **)list;
		must(brood_heap_free(heap, block) == 0);
	}
	return n;
}

static size_t *room; /* what fill_up() gives before the operation; shared */

static void measure_room(void)
{
	*room = fill_up();
}

/* Whatever was lost of hints or left half done: all space is there for small blocks and, joined,
 * for large ones; but for `lost` blocks of 256, which one that the dead took may bind. */
static void check_space(size_t lost)
{
	brood_heap_figures figures;
	void *block;

	must(fill_up() + lost >= *room);
	for (uint64_t i = 0; i < stage->n; i++)
		must(brood_heap_free(heap, brood_heap_at(heap, stage->kept[i])) == -EINVAL);
	must(brood_heap_count(heap, &figures) == 0 && figures.blocks <= 4);
	must(brood_heap_alloc(heap, figures.size / 4, &block) == 0);
	must(brood_heap_free(heap, block) == 0);
}

static size_t blocks_before;

static void check_alloc(void)
{
	size_t blocks = check_heap();

	blocks += stage->freed;
	must(blocks == blocks_before || blocks == blocks_before + 1);
	check_space(160);
}

/* All is as it was. */
static void check_same(void)
{
	must(check_heap() == blocks_before);
	must(brood_heap_root(heap) == stage);
}

/* Two took a block each. */
static void check_two_allocs(void)
{
	size_t blocks = check_heap();

	must(blocks >= blocks_before && blocks <= blocks_before + 2);
	check_space(320);
}

/* One freed a block, another took one. */
static void check_free_and_alloc(void)
{
	size_t blocks = check_heap();

	must(blocks + 1 >= blocks_before && blocks <= blocks_before + 1);
	check_space(160);
}

/* The old heap whole, or a new one that is empty, or none as yet. */
static void check_anew(void)
{
	brood_heap_figures figures;
	void *block;

	if (heap != NULL && brood_heap_root(heap) != NULL) {
		(void)check_heap();
		return;
	}
	if (heap == NULL) {
		must(brood_heap_attach(segment, &heap) == -EBADMSG);
		must(brood_heap_new(segment, &heap) == 0);
	}
	must(brood_heap_count(heap, &figures) == 0 && figures.blocks == 0);
	must(brood_heap_alloc(heap, figures.size / 2, &block) == 0);
}

static void check_free(void)
{
	size_t blocks = check_heap();
	int r = brood_heap_free(heap, brood_heap_at(heap, stage->target));

	blocks += stage->freed;
	must((blocks == blocks_before && r == 0) || (blocks == blocks_before - 1 && r == -EINVAL));
	check_space(8);
}

static void check_root(void)
{
	void *root = brood_heap_root(heap);

	must(root == stage || root == brood_heap_at(heap, stage->target));
	(void)check_heap();
}

static void check_value(void)
{
	int64_t number;
	double real;

	must(brood_value_get_int(&stage->value, &number) == 0 && (number == 41 || number == 42));
	must(brood_value_get_double(&stage->real, &real) == 0 && (real == 41 || real == 42));
	must(real <= (double)number);
	must(brood_value_add(&stage->value, 1, &number) == 0 && number <= 43);
}

static void check_value_locked(void)
{
	int64_t number;
	int r = brood_lock_acquire(brood_value_lock(&stage->value), LIMIT * BROOD_SEC);

	must(r == 0 || r == BROOD_OWNER_DIED);
	must(brood_value_get_int(&stage->value, &number) == 0 && (number == 41 || number == 42));
	must(brood_lock_release(brood_value_lock(&stage->value)) == 0);
}

static int64_t number_at(int i)
{
	int64_t number;
	double real;

	if (brood_value_get_int(&stage->numbers[i], &number) == 0)
		return number;
	must(brood_value_get_double(&stage->numbers[i], &real) == 0);
	return (int64_t)real;
}

/* Each has one of its numbers, and only one of them can be on its way. */
static void check_numbers(int steps_of(char type))
{
	bool is_over = false;

	for (int i = 0; types[i] != '\0'; i++) {
		int most = steps_of(types[i]), k = most;

		while (k > 0 && number_at(i) != number_of(types[i], k))
			k--;
		must(number_at(i) == number_of(types[i], k));
		must(k == 0 || !is_over);
		is_over = is_over || k < most;
		must(brood_value_set_int(&stage->numbers[i], 1) == 0 && number_at(i) == 1);
	}
}

static int steps_of_set(char type)
{
	return type == '?' ? 1 : type == 'f' || type == 'd' ? 3 : 2;
}

static int steps_of_add(char type)
{
	return type == '?' ? 0 : type == 'f' || type == 'd' ? 1 : 2;
}

static void check_set_numbers(void)
{
	check_numbers(steps_of_set);
}

static void check_add_numbers(void)
{
	check_numbers(steps_of_add);
}

/* Not one of them has changed. */
static void check_old_numbers(void)
{
	for (int i = 0; types[i] != '\0'; i++)
		must(number_at(i) == number_of(types[i], 0));
}

static void check_old_arrays(void)
{
	double real;

	for (int i = 0; i < ITEMS; i++) {
		must(brood_array_get_double(array_at(stage->array), i, &real) == 0 && real == 0);
		must(brood_array_get_double(array_at(stage->reals), i, &real) == 0 && real == 0);
	}
	must(brood_lock_acquire(brood_array_lock(array_at(stage->array)), 0) == 0);
}

static void check_array_items(void)
{
	bool is_over = false;
	double real;

	for (size_t i = 0; i < sizeof(array_steps) / sizeof(array_steps[0]); i++) {
		uint64_t from = array_steps[i].from == 0 ? stage->array : stage->reals;

		must(brood_array_get_double(array_at(from), array_steps[i].index, &real) == 0);
		must(real == 0 || (real == array_steps[i].after && !is_over));
		is_over = real == 0;
	}
	for (int i = 2; i < ITEMS - 1; i++)
		must(brood_array_get_double(array_at(stage->array), i, &real) == 0 && real == 0);
	do_array_items();
}

static void check_array(void)
{
	int items[ITEMS], r = brood_array_read(array_at(stage->array), 0, ITEMS, items);

	must(r == 0 || r == BROOD_OWNER_DIED);
	for (int i = 0; i < ITEMS; i++)
		must(items[i] == 0 || items[i] == 7);
	/* Half of it only when it was told. */
	for (int i = 1; i < ITEMS && r == 0; i++)
		must(items[i] == items[0]);
	must(brood_array_read(array_at(stage->array), 0, ITEMS, items) == 0);
	do_array();
	must(brood_array_read(array_at(stage->array), 0, ITEMS, items) == 0 &&
	     items[ITEMS - 1] == 7);
}

/* ---- others that are met */

/* Another bit of the same word changes: neither change may undo the other. */
static void others_free(void)
{
	must(brood_heap_free(heap, brood_heap_at(heap, stage->kept[--stage->n])) == 0);
	stage->freed++;
}

/* Fills all space, so that idle slabs are dropped, and frees it again. */
static void others_reclaim(void)
{
	void *block, *list = NULL;

	while (brood_heap_alloc(heap, 9000, &block) == 0) {
		*(void **)block = list;
		list = block;
	}
	while (list != NULL) {
		block = list;
		list = *(void **)list;
		must(brood_heap_free(heap, block) == 0);
	}
}

/* ---- a segment itself */

static void do_grow(void)
{
	(void)brood_segment_grow(segment, GROWN);
}

static void do_grow_far(void)
{
	(void)brood_segment_grow(segment, PIECES);
}

static void others_grow(void)
{
	must(brood_segment_grow(segment, GROWN + 20000) == 0);
	memset((char *)brood_segment_data(segment) + SMALL, 'y', GROWN + 20000 - SMALL);
}

/* Of whatever size, all of it is there; and it grows on. */
static void check_grown(void)
{
	size_t size = brood_segment_size(segment), reserve = brood_segment_reserve(segment);
	char *data = brood_segment_data(segment);

	must(size >= pristine_size && size <= reserve);
	(void)check_heap();
	for (size_t i = pristine_size; i < size; i++)
		must(data[i] == 0 || data[i] == 'y');
	memset(data + pristine_size, 'z', size - pristine_size);
	must(brood_segment_grow(segment, reserve) == 0);
	must(brood_segment_size(segment) == reserve);
	for (size_t i = size; i < reserve; i++)
		must(data[i] == 0);
	memset(data + size, 'z', reserve - size);
}

/* It has what another grew it by. */
static void check_both_grown(void)
{
	must(brood_segment_size(segment) >= GROWN + 20000);
	must(((char *)brood_segment_data(segment))[SMALL] == 'y');
	check_grown();
}

static int fill(void *context, void *data, size_t size)
{
	memset(data, *(const char *)context, size);
	return 0;
}

static void do_new_unnamed(void)
{
	char with = 'x';
	brood_segment *made;
	brood_segment_opts opts = { .fill = fill, .context = &with };

	(void)brood_segment_new(200, &opts, &made);
	opts.reserve = 400;
	opts.numa = BROOD_NUMA_SPREAD;
	(void)brood_segment_new(200, &opts, &made);
	opts.raw = true;
	opts.pages = BROOD_PAGES_HUGE;
	opts.numa = BROOD_NUMA_NODE;
	(void)brood_segment_new(200, &opts, &made);
	opts.reserve = 0;
	(void)brood_segment_new(200, &opts, &made);
	opts.pages = BROOD_PAGES_HUGE_ONLY;
	(void)brood_segment_new(200, &opts, &made);
}

static int refuse(void *context, void *data, size_t size)
{
	(void)context, (void)data, (void)size;
	return -EDOM;
}

/* What is refused, each for another reason. */
static void do_wrongly_with_segment(void)
{
	static char long_name[300];
	brood_segment *made;

	memset(long_name, 'n', sizeof(long_name) - 1);
	(void)brood_segment_grow(segment, 1);
	(void)brood_segment_grow(segment, SIZE_MAX);
	(void)brood_segment_seal(segment, 0);
	(void)brood_segment_seal(segment, 128);
	(void)brood_segment_unlink(segment);
	(void)brood_segment_restore(segment);
	(void)brood_segment_remove("a/b");
	(void)brood_segment_remove("brood-nobody-has-this");
	(void)brood_segment_reap("..");
	(void)brood_segment_reap("brood-nobody-has-this");
	(void)brood_segment_sweep(NULL);
	(void)brood_segment_sweep("a/b");
	(void)brood_segment_new(0, NULL, &made);
	(void)brood_segment_new(SIZE_MAX, NULL, &made);
	(void)brood_segment_new(2, &(brood_segment_opts){ .reserve = 1 }, &made);
	(void)brood_segment_new(2, &(brood_segment_opts){ .reserve = SIZE_MAX }, &made);
	(void)brood_segment_new(1, &(brood_segment_opts){ .read_only = true }, &made);
	(void)brood_segment_new(1, &(brood_segment_opts){ .name = long_name }, &made);
	(void)brood_segment_new(1, &(brood_segment_opts){ .name = "a", .name_size = 2 }, &made);
	(void)brood_segment_new(1, &(brood_segment_opts){ .fill = refuse }, &made);
	(void)brood_segment_new(1, &(brood_segment_opts){ .named = true, .fill = refuse }, &made);
	(void)brood_segment_new(
		1, &(brood_segment_opts){ .numa = BROOD_NUMA_NODE, .numa_node = 5000 }, &made);
}

static void do_wrongly_with_closed(void)
{
	brood_segment *made;

	if (brood_segment_new(1, NULL, &made) < 0)
		return;
	(void)brood_segment_close(made);
	(void)brood_segment_grow(made, 2);
	(void)brood_segment_seal(made, BROOD_SEAL_GROW);
}

static void do_seal(void)
{
	(void)brood_segment_seal(segment, BROOD_SEAL_GROW | BROOD_SEAL_WRITE | BROOD_SEAL_SEAL);
}

static void check_sealed(void)
{
	int seals = fcntl(brood_segment_fd(segment), F_GET_SEALS);
	bool is_sealed = (seals & F_SEAL_SEAL) != 0;
	brood_segment *other;

	must((seals & F_SEAL_SHRINK) != 0);
	must(is_sealed == ((seals & F_SEAL_GROW) != 0));
	must(is_sealed == ((seals & F_SEAL_FUTURE_WRITE) != 0));
	(void)check_heap();
	keep(100);
	must(brood_segment_attach(brood_segment_fd(segment), NULL, &other) ==
	     (is_sealed ? -EPERM : 0));
	must(brood_segment_grow(segment, GROWN) == (is_sealed ? -EPERM : 0));
	do_seal();
	must((fcntl(brood_segment_fd(segment), F_GET_SEALS) & F_SEAL_SEAL) != 0);
}

/* ---- named segments */

#define FOLDER "/dev/shm/"

static char segment_name[32], used_name[32], kept_name[32], strange_name[32];
static brood_segment *named, *used; /* held by who starts the victims */

static void name_segments(void)
{
	int self = (int)getpid();

	snprintf(segment_name, sizeof(segment_name), "every-shm-%d", self);
	snprintf(used_name, sizeof(used_name), "every-shm-%d-used", self);
	snprintf(kept_name, sizeof(kept_name), "every-shm-%d-kept", self);
	snprintf(strange_name, sizeof(strange_name), "strange-%d", self);
}

static brood_segment *make_named(const char *name, char with, bool keep)
{
	brood_segment *made;
	brood_segment_opts opts = {
		.name = name, .guard = !keep, .keep = keep, .fill = fill, .context = &with
	};

	must(brood_segment_new(200, &opts, &made) == 0);
	return made;
}

static void arrange_no_names(void)
{
	named = brood_segment_unref(named);
	used = brood_segment_unref(used);
	(void)brood_segment_remove(segment_name);
	(void)brood_segment_remove(used_name);
	(void)brood_segment_remove(kept_name);
	(void)brood_segment_remove(strange_name);
}

static void arrange_named(void)
{
	arrange_no_names();
	named = make_named(segment_name, 'o', false);
}

/* Its users are gone. */
static void arrange_dead(void)
{
	arrange_named();
	named = brood_segment_unref(named);
}

/* Somebody has removed its name, as CPython does. */
static void arrange_lost(void)
{
	char path[64];

	arrange_named();
	snprintf(path, sizeof(path), FOLDER "%s", segment_name);
	must(unlink(path) == 0);
}

/* One of the dead, one that is used, one that is to be kept, and one of another prefix. */
static void arrange_many(void)
{
	arrange_dead();
	used = make_named(used_name, 'u', false);
	brood_segment_unref(make_named(kept_name, 'k', true));
	brood_segment_unref(make_named(strange_name, 's', false));
}

static void do_new_named(void)
{
	char with = 'x';
	brood_segment *made;
	brood_segment_opts opts = {
		.name = segment_name, .guard = true, .fill = fill, .context = &with
	};

	(void)brood_segment_new(200, &opts, &made);
}

/* As on a system that has no files without a name. */
static void do_new_with_stand_in(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	do_new_named();
}

static void do_unlink(void)
{
	(void)brood_segment_unlink(named);
}

static void do_remove(void)
{
	(void)brood_segment_remove(segment_name);
}

static void do_restore(void)
{
	(void)brood_segment_restore(named);
}

static void do_open(void)
{
	brood_segment *opened;

	(void)brood_segment_open(segment_name, NULL, &opened);
}

static void do_sweep(void)
{
	(void)brood_segment_sweep(segment_name);
}

static void do_reap(void)
{
	(void)brood_segment_reap(segment_name);
}

/* All 200 bytes of it are of one of these letters. */
static void check_content(brood_segment *whose, const char *letters)
{
	const char *data = brood_segment_data(whose);

	must(brood_segment_size(whose) == 200 && strchr(letters, data[0]) != NULL);
	for (int i = 0; i < 200; i++)
		must(data[i] == data[0]);
}

/* True: there is one of this name, and it is whole. */
static bool is_there(const char *name, const char *letters)
{
	brood_segment *opened;
	int r = brood_segment_open(name, NULL, &opened);

	must(r == 0 || r == -ENOENT);
	if (r < 0)
		return false;
	check_content(opened, letters);
	brood_segment_unref(opened);
	return true;
}

/* The name can be had by another, and be given back. */
static void check_free_name(void)
{
	brood_segment *made;

	must(brood_segment_new(10, &(brood_segment_opts){ .name = segment_name }, &made) == 0);
	must(brood_segment_unlink(made) == 0);
	brood_segment_unref(made);
	must(!is_there(segment_name, ""));
}

/* Whole or not there; what is there is nobody's, and is in nobody's way. */
static void check_named(void)
{
	(void)is_there(segment_name, "xo");
	check_free_name();
}

static int count_stand_ins(void)
{
	DIR *listing = opendir(FOLDER);
	int n = 0;

	must(listing != NULL);
	for (struct dirent *item; (item = readdir(listing)) != NULL;)
		n += strncmp(item->d_name, ".brood-new-", 11) == 0;
	closedir(listing);
	return n;
}

/* And of what stood in for it nothing is left. Others may make segments at the same time. */
static void check_swept_stand_in(void)
{
	(void)is_there(segment_name, "x");
	for (int i = 0; i < 100 * LIMIT && (i == 0 || count_stand_ins() > 0); i++) {
		must(brood_segment_sweep(segment_name) >= 0);
		(void)usleep(i == 0 ? 0 : 5000);
	}
	must(count_stand_ins() == 0);
	check_free_name();
}

static void check_taken(void)
{
	must(is_there(segment_name, "o"));
	check_content(named, "o");
}

static void check_unlinked(void)
{
	bool was_there = is_there(segment_name, "o");
	int r = brood_segment_unlink(named);

	must(r == 0 || (r == -ENOENT && !was_there));
	check_content(named, "o");
	check_free_name();
}

/* Whoever calls restore() or open() next has it. */
static void check_restored(void)
{
	must(brood_segment_restore(named) == 0);
	check_taken();
	check_unlinked();
}

static void check_opened(void)
{
	check_taken();
	check_unlinked();
}

static void check_swept(void)
{
	bool was_there = is_there(segment_name, "o");
	int n = brood_segment_sweep(segment_name);

	must(n == was_there);
	must(!is_there(segment_name, "o"));
	must(is_there(used_name, "u") && is_there(kept_name, "k"));
	must(is_there(strange_name, "s"));
	check_content(used, "u");
	check_free_name();
}

static void check_reaped(void)
{
	bool was_there = is_there(segment_name, "o");

	must(brood_segment_reap(segment_name) == (was_there ? 0 : -ENOENT));
	check_free_name();
}

/* Opens one that is being swept: has it whole and named, or is told that it is gone; the sweeper's death ends the wait. */
static void others_open(void)
{
	brood_segment *opened;
	int r = brood_segment_open(segment_name, NULL, &opened);

	must(r == 0 || r == -ENOENT);
	if (r < 0)
		return;
	check_content(opened, "o");
	must(brood_segment_unlink(opened) == 0);
}

/* ---- a list, in a segment of its own; users that write at the same time have a lock beside it */

static brood_list *list;
static unsigned char list_bytes[1024];

#define TEXT(kind, text) BROOD_ITEM_##kind, .data = (text), .size = sizeof(text) - 1

/* What an item is at first, and what it becomes. */
static const struct {
	brood_item before, after;
	bool is_one_store; /* a number that becomes another of its kind */
} assignments[] = {
	{ { BROOD_ITEM_INT, .integer = -1 }, { BROOD_ITEM_INT, .integer = 1L << 40 }, true },
	{ { TEXT(STR, "kept") }, { TEXT(STR, "kept") }, false },
	{ { BROOD_ITEM_FLOAT, .real = 0.1 }, { BROOD_ITEM_FLOAT, .real = -7e99 }, true },
	{ { BROOD_ITEM_BOOL, .boolean = false }, { BROOD_ITEM_BOOL, .boolean = true }, true },
	{ { TEXT(STR, "some long text") }, { TEXT(STR, "short") }, false },
	{ { TEXT(BYTES, "\1\2\3") }, { TEXT(STR, "text") }, false },
	{ { BROOD_ITEM_INT, .integer = 7 }, { .kind = BROOD_ITEM_NONE }, false },
	{ { .kind = BROOD_ITEM_NONE }, { BROOD_ITEM_FLOAT, .real = 2.5 }, false },
	{ { BROOD_ITEM_FLOAT, .real = 4.5 }, { BROOD_ITEM_INT, .integer = 9 }, false },
};

#define ASSIGNMENTS (sizeof(assignments) / sizeof(assignments[0]))

static void arrange_list(brood_list_layout layout)
{
	brood_item items[ASSIGNMENTS];
	brood_list_opts opts = { .layout = layout };

	if (list == NULL || brood_list_layout_of(list) != layout) {
		brood_list_free(list);
		for (size_t i = 0; i < ASSIGNMENTS; i++)
			items[i] = assignments[i].before;
		must(brood_list_new(items, ASSIGNMENTS, &opts, &list) == 0);
		must(brood_segment_size(brood_list_segment(list)) <= sizeof(list_bytes));
		memcpy(list_bytes, brood_segment_data(brood_list_segment(list)),
		       brood_segment_size(brood_list_segment(list)));
	}
	memcpy(brood_segment_data(brood_list_segment(list)), list_bytes,
	       brood_segment_size(brood_list_segment(list)));
}

static void arrange_exact_list(void)
{
	arrange_list(BROOD_LIST_EXACT);
}

static void arrange_python_list(void)
{
	arrange_list(BROOD_LIST_PYTHON);
}

static void do_assign(void)
{
	for (size_t i = 0; i < ASSIGNMENTS; i++)
		(void)brood_list_set(list, (ssize_t)i, &assignments[i].after);
}

/* What is refused, each for another reason. */
static void do_assign_wrongly(void)
{
	static const char long_text[100];
	const brood_item wrong[] = {
		{ .kind = (brood_item_kind)99 },
		{ .kind = BROOD_ITEM_STR, .size = 1 },
		{ BROOD_ITEM_BYTES, .data = long_text, .size = sizeof(long_text) },
		{ BROOD_ITEM_BYTES, .data = long_text, .size = 10000000 },
		{ TEXT(STR, "\xff") },
		{ TEXT(STR, "\xc3\x28") },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		(void)brood_list_set(list, 1, &wrong[i]);
	(void)brood_list_set(list, ASSIGNMENTS, &assignments[0].after);
}

static bool is_item(brood_list *whose, size_t i, const brood_item *item)
{
	char buf[64];
	brood_item there;

	if (brood_list_get(whose, (ssize_t)i, buf, sizeof(buf), &there) < 0)
		return false;
	return there.kind == item->kind && there.boolean == item->boolean &&
	       there.integer == item->integer && there.real == item->real &&
	       there.size == item->size &&
	       (item->size == 0 || memcmp(there.data, item->data, item->size) == 0);
}

/* One item at most is neither what it was nor what it becomes; numbers of a kind never are. It is told as it is, or
 * as no item; and any other can be put there. */
static void check_list(void)
{
	brood_list *other;
	char buf[64];
	brood_item there;
	size_t i = 0;
	int r;

	must(brood_list_attach(brood_list_segment(list), &other) == 0);
	while (i < ASSIGNMENTS && is_item(other, i, &assignments[i].after))
		i++;
	if (i < ASSIGNMENTS && !is_item(other, i, &assignments[i].before)) {
		must(!assignments[i].is_one_store);
		r = brood_list_get(other, (ssize_t)i, buf, sizeof(buf), &there);
		must(r == 0 || r == -EBADMSG || r == -EILSEQ);
		i++;
	}
	for (; i < ASSIGNMENTS; i++)
		must(is_item(other, i, &assignments[i].before));
	for (i = 0; i < ASSIGNMENTS; i++)
		must(brood_list_set(other, (ssize_t)i, &assignments[i].after) == 0 &&
		     is_item(list, i, &assignments[i].after));
	brood_list_free(other);
}

/* ---- all of them */

/* clang-format off */
static const struct operation operations[] = {
	{ .name = "alloc, a block of a slab", build_nothing, do_alloc, check_alloc },
	{ .name = "alloc, the last block of a slab", build_almost_full_slab, do_alloc_256, check_alloc },
	{ .name = "alloc, a new slab", build_nothing, do_alloc_slab, check_alloc },
	{ .name = "alloc, large", build_between_free, do_alloc_large, check_alloc },
	{ .name = "alloc, aligned to a page", build_large, do_alloc_aligned, check_alloc },
	{ .name = "alloc, idle slabs are dropped", build_idle_slabs, do_alloc_large, check_alloc },
	{ .name = "alloc, a span for a small block", build_short, do_alloc_slab, check_alloc },
	{ .name = "alloc, nothing is left", build_taken, do_alloc_slab, check_alloc },
	{ .name = "alloc, nothing large is left", build_taken, do_alloc_large, check_alloc },
	{ .name = "growth, for a large block", build_taken, do_alloc_large, check_alloc, .shape = GROWING },
	{ .name = "growth, joined with what is free", build_short, do_alloc_large, check_alloc, .shape = GROWING },
	{ .name = "growth, for a slab", build_taken, do_alloc_slab, check_alloc, .shape = GROWING },
	{ .name = "growth, for a page", build_taken, do_alloc_aligned, check_alloc, .shape = GROWING },
	{ .name = "growth, of allocated memory", build_short, do_alloc_large, check_alloc, .shape = COMMITTED },
	{ .name = "growth, no more than is needed", build_taken, do_alloc_limited, check_alloc, .shape = GROWING },
	{ .name = "growth, refused", build_taken, do_alloc_refused, check_alloc, .shape = GROWING },
	{ .name = "alloc, aligned, of a larger class", build_nothing, do_alloc_aligned_small, check_alloc },
	{ .name = "free, small", build_target, do_free, check_free },
	{ .name = "free, of a full slab", build_full_slab, do_free, check_free },
	{ .name = "free, large", build_large, do_free, check_free },
	{ .name = "free, large between free spans", build_between_free, do_free, check_free },
	{ .name = "root", build_target, do_set_root, check_root },
	{ .name = "heap, refused", build_target, do_wrongly_with_heap, check_same },
	{ .name = "heap, made anew", build_target, do_anew, check_anew, .unmakes = true },
	{ .name = "heap, made anew in allocated memory", build_target, do_anew, check_anew, .shape = COMMITTED, .unmakes = true },
	{ .name = "value, add", build_value, do_value, check_value },
	{ .name = "value, under its lock", build_value, do_value_locked, check_value_locked },
	{ .name = "values, set", build_numbers, do_set_numbers, check_set_numbers },
	{ .name = "values, add and replace", build_numbers, do_add_numbers, check_add_numbers },
	{ .name = "values, refused", build_numbers, do_wrongly_with_values, check_old_numbers },
	{ .name = "array, write under its lock", build_array, do_array, check_array },
	{ .name = "array, set and add", build_array, do_array_items, check_array_items },
	{ .name = "array, refused", build_array, do_wrongly_with_arrays, check_old_arrays },
	{ .name = "list, exact, items assigned", build_nothing, do_assign, check_list, arrange_exact_list },
	{ .name = "list, CPython's, items assigned", build_nothing, do_assign, check_list, arrange_python_list },
	{ .name = "list, refused", build_nothing, do_assign_wrongly, check_list, arrange_exact_list },
	{ .name = "list, CPython's, refused", build_nothing, do_assign_wrongly, check_list, arrange_python_list },
	{ .name = "segment, growth", build_target, do_grow, check_grown, .shape = GROWING },
	{ .name = "segment, growth of allocated memory", build_target, do_grow, check_grown, .shape = COMMITTED },
	{ .name = "segment, growth in pieces", build_target, do_grow_far, check_grown, .shape = COMMITTED_FAR },
	{ .name = "segment, unnamed ones", build_target, do_new_unnamed, check_same },
	{ .name = "segment, refused", build_target, do_wrongly_with_segment, check_same },
	{ .name = "segment, closed", build_target, do_wrongly_with_closed, check_same },
	{ .name = "segment, seal", build_target, do_seal, check_sealed, .shape = GROWING },
	{ .name = "name, a new one, guarded", build_nothing, do_new_named, check_named, arrange_no_names },
	{ .name = "name, a new one behind a stand-in", build_nothing, do_new_with_stand_in, check_swept_stand_in, arrange_no_names },
	{ .name = "name, of a dead user", build_nothing, do_new_named, check_named, arrange_dead },
	{ .name = "name, taken", build_nothing, do_new_named, check_taken, arrange_named },
	{ .name = "name, unlink", build_nothing, do_unlink, check_unlinked, arrange_named },
	{ .name = "name, remove", build_nothing, do_remove, check_unlinked, arrange_named },
	{ .name = "name, restore", build_nothing, do_restore, check_restored, arrange_lost },
	{ .name = "name, restored by who opens", build_nothing, do_open, check_opened, arrange_lost },
	{ .name = "name, sweep", build_nothing, do_sweep, check_swept, arrange_many },
	{ .name = "name, reap", build_nothing, do_reap, check_reaped, arrange_dead },
};

/* A first victim is killed at some points of `act`, the other steps through `second`. */
static const struct operation repairs[] = {
	{ .name = "repair after a large alloc", build_between_free, do_alloc_large, check_alloc, .second = do_count },
	{ .name = "repair after a large free", build_between_free, do_free, check_free, .second = do_count },
	{ .name = "repair after dropping slabs", build_idle_slabs, do_alloc_large, check_alloc, .second = do_count },
	{ .name = "repair after growth", build_short, do_alloc_large, check_alloc, .second = do_count, .shape = GROWING },
	{ .name = "alloc after a large alloc", build_between_free, do_alloc_large, check_two_allocs, .second = do_alloc_large },
	{ .name = "alloc of a slab after a large alloc", build_between_free, do_alloc_large, check_two_allocs, .second = do_alloc_slab },
	{ .name = "free after a large alloc", build_between_free, do_alloc_large, check_free_and_alloc, .second = do_free },
	{ .name = "growth after growth", build_short, do_alloc_large, check_two_allocs, .second = do_alloc_large, .shape = GROWING },
	{ .name = "alloc after a lost hint", build_full, do_free, check_free_and_alloc, .second = do_alloc_256 },
};

/* Another does `second` after each instruction of `act`. */
static const struct operation meetings[] = {
	{ .name = "alloc of the last block meets a free", build_almost_full_slab, do_alloc_256, check_alloc, .second = others_free },
	{ .name = "free of a full slab meets another", build_full_slab, do_free, check_free, .second = others_free },
	{ .name = "alloc and free meet dropping of slabs", build_idle_slab, do_alloc_and_free, check_alloc, .second = others_reclaim },
	{ .name = "growth meets a free", build_taken, do_alloc_large, check_alloc, .second = others_free, .shape = GROWING },
	{ .name = "segment growth meets another", build_target, do_grow, check_both_grown, .second = others_grow, .shape = GROWING },
	{ .name = "segment growth, allocated, meets another", build_target, do_grow, check_both_grown, .second = others_grow,
	  .shape = COMMITTED },
};

/* Another begins `second` after each instruction of `act`, and may wait until the victim is dead. */
static const struct operation waits[] = {
	{ .name = "sweep, while another opens", build_nothing, do_sweep, check_swept, arrange_many, others_open },
};
/* clang-format on */

#endif
