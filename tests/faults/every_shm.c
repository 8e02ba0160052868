/* Kill after every instruction: heap, values, arrays, named segments
 *
 * For each operation a child is single-stepped through it n times and killed, for n = 0, 1, 2, … to
 * its end. After each kill another process, which has never seen the victim, must find everything
 * as promised within a deadline: the operation has happened or it has not, all other blocks are
 * what they were, all space can be had again, nobody waits for ever. Then all starts anew from the
 * same bytes.
 *
 * Two more dimensions. Where a dead owner's work is to be repaired, a first victim is killed at
 * several points of a change of spans, and the second one is stepped through the repair. And where
 * processes meet without a lock, another one does its whole operation after the victim's n-th
 * instruction, and the victim then finishes its own.
 *
 * Usage: every-shm [--reached FILE] [all] [WORDS]: without "all" (or BROOD_TEST_LONG=all) long operations are sampled,
 * with BROOD_TEST_LONG=1 more closely; only the operations whose names begin with WORDS. --reached writes the addresses of
 * the library at which something was killed, for every_shm.py. Prints a line for each operation, and at the
 * end: every-instruction: operations=N kills=N failures=N, and so many operations passed and failed. Exit status 77: may not trace here. */
#include <brood/array.h>
#include <brood/heap.h>
#include <brood/value.h>

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stepping.h"

#define SIZE ((size_t)192 << 10)
#define LIMIT 10        /* seconds for whoever survives */
#define FEW 20          /* kills of an operation when not all are asked for */
#define MORE 50         /* the same in a long run */
#define MOST_SECONDS 60 /* for a victim, however slowly it is stepped */
#define KEPT 400
#define ITEMS 24

static brood_segment *segment;
static brood_heap *heap;
static unsigned char *pristine; /* what the segment holds before each kill */

/* In the segment, at its root: what was allocated before the operation, and where it puts its
 * results. */
static struct stage {
	uint64_t kept[KEPT]; /* offsets of blocks, each filled with its index */
	uint64_t n;
	uint64_t freed;  /* of those, by another process meanwhile */
	uint64_t target; /* the block that the operation frees */
	brood_value value, real;
	uint64_t array; /* offset */
} * stage;

static struct {
	unsigned operations, kills, failures, failed_operations;
} total;

static long sample = FEW;

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

static brood_array *the_array(void)
{
	return brood_heap_at(heap, stage->array);
}

static void build_array(void)
{
	size_t size = (size_t)brood_array_bytes('i', ITEMS);
	void *memory;

	must(brood_heap_alloc_aligned(heap, size, 64, &memory) == 0);
	must(brood_array_init(memory, size, 'i', ITEMS) == 0);
	stage->array = brood_heap_offset(heap, memory);
}

static void do_array(void)
{
	int items[ITEMS];

	for (int i = 0; i < ITEMS; i++)
		items[i] = 7;
	(void)brood_array_write(the_array(), 0, items, ITEMS);
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

/* Runs `body` in a process of its own, with a handle of its own. True: it came to its end in time.
 * */
static bool in_time(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		alarm(LIMIT);
		/* A handle that remembers nothing. */
		must(brood_heap_attach(segment, &heap) == 0);
		body();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	if (WIFSIGNALED(status))
		fprintf(stderr, "fault: the survivor %s\n",
			WTERMSIG(status) == SIGALRM ? "waits for ever" :
						      strsignal(WTERMSIG(status)));
	return status == 0;
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

static void check_array(void)
{
	int items[ITEMS], r = brood_array_read(the_array(), 0, ITEMS, items);

	must(r == 0 || r == BROOD_OWNER_DIED);
	for (int i = 0; i < ITEMS; i++)
		must(items[i] == 0 || items[i] == 7);
	/* Half of it only when it was told. */
	for (int i = 1; i < ITEMS && r == 0; i++)
		must(items[i] == items[0]);
	must(brood_array_read(the_array(), 0, ITEMS, items) == 0);
	do_array();
	must(brood_array_read(the_array(), 0, ITEMS, items) == 0 && items[ITEMS - 1] == 7);
}

/* ---- stepping */

static pid_t start_victim(void (*operation)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		alarm(MOST_SECONDS);
		raise(SIGSTOP);
		operation();
		raise(SIGSTOP);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	return pid;
}

static struct path path;       /* of the operation that is tried */
static struct reached reached; /* of the library's instructions */
static long strayed;           /* victims that had to be stepped from the beginning */

/* True: it was stopped by a trap again, and has neither ended nor come to the end of its operation. */
static bool resume(pid_t pid, enum __ptrace_request request)
{
	int status;

	return ptrace(request, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid &&
	       WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP &&
	       (request != PTRACE_SINGLESTEP || path_pass_clock(pid, resume));
}

/* Steps at most `most` instructions. Returns how many it took; fewer: the operation is over. */
static long step(pid_t pid, long most)
{
	long i = 0;

	while (i < most && resume(pid, PTRACE_SINGLESTEP))
		i++;
	return i;
}

static void bury(pid_t pid)
{
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void save(void)
{
	memcpy(pristine, brood_segment_data(segment), SIZE);
}

static void reset(void)
{
	memcpy(brood_segment_data(segment), pristine, SIZE);
}

static const char *wanted = "";

static bool is_wanted(const char *operation_name)
{
	return strncmp(operation_name, wanted, strlen(wanted)) == 0;
}

static void begin(void (*build)(void))
{
	brood_heap_figures figures;

	must(brood_heap_new(segment, &heap) == 0);
	stage = alloc(sizeof(*stage));
	memset(stage, 0, sizeof(*stage));
	must(brood_heap_set_root(heap, stage) == 0);
	build();
	must(brood_heap_count(heap, &figures) == 0);
	blocks_before = figures.blocks;
	save();
	must(in_time(measure_room));
	reset();
}

static void end(const char *name, long steps, unsigned kills, unsigned failures)
{
	printf("%-44s %6ld instructions %6u kills %u failures\n", name, steps, kills, failures);
	(void)fflush(stdout);
	total.operations++;
	total.kills += kills;
	total.failures += failures;
	total.failed_operations += failures > 0;
}

/* Records the path of an operation. Returns its length, or -1: it has no end. */
static long length_of(void (*operation)(void))
{
	pid_t pid = start_victim(operation);
	bool fits = true;

	if (pid < 0) {
		puts("may not trace here");
		exit(77);
	}
	for (long i = 0; fits; i++) {
		fits = path_add(&path, i, instruction_of(pid));
		if (!resume(pid, PTRACE_SINGLESTEP))
			break;
	}
	bury(pid);
	return fits ? path.n : -1;
}

/* A victim that stands after the n-th instruction of the path. */
static pid_t victim_after(void (*operation)(void), long n)
{
	pid_t pid = start_victim(operation);
	long landed = path_land(&path, pid, 0, n, resume);

	if (landed < 0 || step(pid, n - landed) != n - landed || !path_is_at(&path, pid, n)) {
		bury(pid);
		reset();
		strayed++;
		pid = start_victim(operation);
		(void)step(pid, n);
	}
	reached_note(&reached, instruction_of(pid));
	return pid;
}

/* Every `stride`th instruction; all of them if that many are allowed. The rest comes at another
 * offset, so that samples of equal code differ. */
static long stride_of(long steps, bool all)
{
	return all || steps <= sample ? 1 : (steps + sample - 1) / sample;
}

static void operation(const char *name, void (*build)(void), void (*op)(void), void (*check)(void),
		      bool all)
{
	unsigned kills = 0, failures = 0;
	long steps, stride;

	if (!is_wanted(name))
		return;
	begin(build);
	steps = length_of(op);
	if (steps < 0) {
		end(name, steps, 0, 1);
		return;
	}
	stride = stride_of(steps, all);
	for (long n = stride > 1 ? (long)(total.operations % (unsigned)stride) : 0;
	     n <= steps && failures < 5; n += stride) {
		pid_t pid;

		reset();
		pid = victim_after(op, n);
		bury(pid);
		kills++;
		if (!in_time(check)) {
			fprintf(stderr, "%s: killed after %ld of %ld instructions\n", name, n,
				steps);
			failures++;
		}
	}
	brood_heap_unref(heap);
	end(name, steps, kills, failures);
}

static void do_count(void)
{
	brood_heap_figures figures;

	(void)brood_heap_count(heap, &figures);
}

/* The first victim dies after m instructions of `op`; the second while it repairs. */
static void repair(const char *name, void (*build)(void), void (*op)(void), void (*check)(void),
		   bool all)
{
	unsigned kills = 0, failures = 0;
	long first, steps = 0, points = all ? 20 : sample == FEW ? 3 : 5;

	if (!is_wanted(name))
		return;
	begin(build);
	first = length_of(op);
	for (long m = 1; m < points && failures < 5; m++) {
		long stride;
		pid_t pid;

		reset();
		(void)length_of(op);
		reset();
		pid = victim_after(op, first * m / points);
		bury(pid);
		save();
		steps = length_of(do_count);
		stride = all ? (steps > 100 ? steps / 100 : 1) : stride_of(steps, false);
		for (long n = m % stride; n <= steps && failures < 5; n += stride) {
			reset();
			pid = victim_after(do_count, n);
			bury(pid);
			kills++;
			if (!in_time(check)) {
				fprintf(stderr,
					"%s: killed after %ld, and %ld of %ld of the repair\n",
					name, first * m / points, n, steps);
				failures++;
			}
		}
		/* Back to the start. */
		begin(build);
	}
	brood_heap_unref(heap);
	end(name, steps, kills, failures);
}

/* Another does its operation after the victim's n-th instruction; the victim then finishes, or dies
 * j later. */
static void meeting(const char *name, void (*build)(void), void (*op)(void), void (*others)(void),
		    void (*check)(void), bool all)
{
	unsigned kills = 0, failures = 0;
	long steps, stride;

	if (!is_wanted(name))
		return;
	begin(build);
	steps = length_of(op);
	stride = stride_of(steps, all);
	for (long n = 0; n <= steps && failures < 5; n += stride)
		for (long j = 0; j < 3 && failures < 5; j++) {
			pid_t pid;

			reset();
			pid = victim_after(op, n);
			if (!in_time(others)) {
				fprintf(stderr, "%s: the other was held up after %ld\n", name, n);
				failures++;
			}
			(void)step(pid, j == 0 ? MOST_INSTRUCTIONS : j * (n % 37));
			bury(pid);
			kills++;
			if (!in_time(check)) {
				fprintf(stderr, "%s: another came after %ld of %ld instructions\n",
					name, n, steps);
				failures++;
			}
		}
	brood_heap_unref(heap);
	end(name, steps, kills, failures);
}

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

/* ---- a named segment */

static char segment_name[64];

static int fill(void *context, void *data, size_t size)
{
	(void)context;
	memset(data, 'x', size);
	return 0;
}

static void do_new_named(void)
{
	brood_segment *made;

	(void)brood_segment_new(
		200, &(brood_segment_opts){ .name = segment_name, .guard = true, .fill = fill },
		&made);
}

static void check_named(void)
{
	brood_segment *made = NULL;
	int r = brood_segment_open(segment_name, NULL, &made);

	must(r == 0 || r == -ENOENT);
	if (r == 0) {
		must(brood_segment_size(made) == 200);
		for (int i = 0; i < 200; i++)
			must(((char *)brood_segment_data(made))[i] == 'x');
		brood_segment_unref(made);
	}
	/* Either way the name can be had at once. */
	must(brood_segment_new(10, &(brood_segment_opts){ .name = segment_name }, &made) == 0);
	must(brood_segment_unlink(made) == 0);
	brood_segment_unref(made);
	must(brood_segment_open(segment_name, NULL, &made) == -ENOENT);
}

/* Where the library that has the heap lies. */
static int find_library(struct dl_phdr_info *library, size_t size, void *unused)
{
	(void)size, (void)unused;
	for (int i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &library->dlpi_phdr[i];
		uintptr_t from = library->dlpi_addr + part->p_vaddr;

		if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0 &&
		    (uintptr_t)&brood_heap_alloc - from < part->p_memsz) {
			reached.start = library->dlpi_addr;
			reached.size = part->p_vaddr + part->p_memsz;
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *lasts = getenv("BROOD_TEST_LONG"), *file = NULL;
	bool all;

	if (argc > 2 && strcmp(argv[1], "--reached") == 0) {
		file = argv[2];
		argc -= 2;
		argv += 2;
	}
	all = argc > 1 && strcmp(argv[1], "all") == 0;
	if (argc > 1 + all)
		wanted = argv[1 + all];
	dl_iterate_phdr(find_library, NULL);
	reached.at = calloc(reached.size + 1, sizeof(*reached.at));
	if (lasts != NULL && strcmp(lasts, "all") == 0)
		all = true;
	else if (lasts != NULL)
		sample = MORE;
	snprintf(segment_name, sizeof(segment_name), "every-shm-%d", (int)getpid());
	pristine = malloc(SIZE);
	room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pristine == NULL || reached.at == NULL || room == MAP_FAILED ||
	    brood_segment_new(SIZE, NULL, &segment) < 0)
		return 2;
	operation("alloc, a block of a slab", build_nothing, do_alloc, check_alloc, all);
	operation("alloc, the last block of a slab", build_almost_full_slab, do_alloc_256,
		  check_alloc, all);
	operation("alloc, a new slab", build_nothing, do_alloc_slab, check_alloc, all);
	operation("alloc, large", build_between_free, do_alloc_large, check_alloc, all);
	operation("alloc, aligned to a page", build_large, do_alloc_aligned, check_alloc, all);
	operation("alloc, idle slabs are dropped", build_idle_slabs, do_alloc_large, check_alloc,
		  all);
	operation("free, small", build_target, do_free, check_free, all);
	operation("free, of a full slab", build_full_slab, do_free, check_free, all);
	operation("free, large", build_large, do_free, check_free, all);
	operation("free, large between free spans", build_between_free, do_free, check_free, all);
	operation("root", build_target, do_set_root, check_root, all);
	operation("value, add", build_value, do_value, check_value, all);
	operation("value, under its lock", build_value, do_value_locked, check_value_locked, all);
	operation("array, write under its lock", build_array, do_array, check_array, all);
	repair("repair after a large alloc", build_between_free, do_alloc_large, check_alloc, all);
	repair("repair after a large free", build_between_free, do_free, check_free, all);
	repair("repair after dropping slabs", build_idle_slabs, do_alloc_large, check_alloc, all);
	meeting("alloc of the last block meets a free", build_almost_full_slab, do_alloc_256,
		others_free, check_alloc, all);
	meeting("free of a full slab meets another", build_full_slab, do_free, others_free,
		check_free, all);
	meeting("alloc and free meet dropping of slabs", build_idle_slab, do_alloc_and_free,
		others_reclaim, check_alloc, all);
	brood_segment_unref(segment);

	/* A heap is not needed here, but its bytes are what is reset. */
	if (brood_segment_new(SIZE, NULL, &segment) < 0)
		return 2;
	operation("a named segment, filled and guarded", build_nothing, do_new_named, check_named,
		  all);
	brood_segment_unref(segment);
	(void)brood_segment_remove(segment_name);
	(void)brood_segment_sweep(segment_name);
	if (file != NULL)
		reached_write(&reached, file);
	printf("stepped from the beginning: %ld\n", strayed);
	printf("every-instruction: operations=%u kills=%u failures=%u\n", total.operations,
	       total.kills, total.failures);
	printf("%u passed, %u failed\n", total.operations - total.failed_operations,
	       total.failed_operations);
	return total.failures != 0;
}
