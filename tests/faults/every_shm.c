/* Kill after every instruction: heap, values, arrays, lists, segments
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
#include <link.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "shm_operations.h"
#include "stepping.h"

#define FEW 8           /* kills of an operation when not all are asked for */
#define MORE 50         /* the same in a long run */
#define MOST_SECONDS 60 /* for a victim, however slowly it is stepped */

static struct {
	unsigned operations, kills, failures, failed_operations;
} total;

static long sample = FEW;
static bool all;

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

static void make_segment(enum shape shape)
{
	static const struct {
		size_t size, reserve;
	} shapes[] = {
		[FIXED] = { SIZE, 0 },
		[GROWING] = { SMALL, RESERVE },
		[COMMITTED] = { SMALL, RESERVE },
		[COMMITTED_FAR] = { SMALL, PIECES },
	};
	brood_segment_opts opts = { .reserve = shapes[shape].reserve, .named = shape >= COMMITTED };

	must(brood_segment_new(shapes[shape].size, &opts, &segment) == 0);
	must(shape < COMMITTED || brood_segment_unlink(segment) == 0);
}

static void save(void)
{
	pristine_size = brood_segment_size(segment);
	free(pristine);
	pristine = malloc(pristine_size);
	must(pristine != NULL);
	memcpy(pristine, brood_segment_data(segment), pristine_size);
}

/* One that was grown or sealed is not as it was for any bytes: another takes its place, at the same address. */
static void reset(void)
{
	bool is_new = brood_segment_size(segment) != pristine_size || current->act == do_seal;

	if (is_new) {
		heap = brood_heap_unref(heap);
		segment = brood_segment_unref(segment);
		make_segment(current->shape);
		must(brood_segment_grow(segment, pristine_size) == 0);
	}
	memcpy(brood_segment_data(segment), pristine, pristine_size);
	if (is_new) {
		must(brood_heap_attach(segment, &heap) == 0);
		stage = brood_heap_root(heap);
	}
	if (current->arrange != NULL)
		current->arrange();
}

static const char *wanted = "";

static void begin(const struct operation *operation)
{
	brood_heap_figures figures;

	current = operation;
	make_segment(operation->shape);
	must(brood_heap_new(segment, &heap) == 0);
	stage = alloc(sizeof(*stage));
	memset(stage, 0, sizeof(*stage));
	must(brood_heap_set_root(heap, stage) == 0);
	operation->build();
	must(brood_heap_count(heap, &figures) == 0);
	blocks_before = figures.blocks;
	save();
	must(in_time(measure_room));
	reset();
}

static void finish(void)
{
	heap = brood_heap_unref(heap);
	segment = brood_segment_unref(segment);
}

static void tell(const char *name, long steps, unsigned kills, unsigned failures)
{
	printf("%-44s %6ld instructions %6u kills %u failures\n", name, steps, kills, failures);
	(void)fflush(stdout);
	total.operations++;
	total.kills += kills;
	total.failures += failures;
	total.failed_operations += failures > 0;
}

/* Records the path of an operation. Returns its length. */
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
	if (!fits)
		fault("an operation without an end");
	return path.n;
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
static long stride_of(long steps)
{
	return all || steps <= sample ? 1 : (steps + sample - 1) / sample;
}

static long first_of(long stride)
{
	return stride > 1 ? (long)(total.operations % (unsigned)stride) : 0;
}

/* Nothing was killed there as yet, in any operation. */
static bool is_new(long n)
{
	uintptr_t at = path.at[n <= path.n ? n : path.n] - reached.start;

	return at < reached.size && !reached.at[at];
}

/* A string instruction is stepped in thousands of parts, which are all alike. */
static bool is_one_of_many(long n)
{
	return n > 0 && n <= path.n && path.at[n] == path.at[n - 1] && n % 512 != 0;
}

static void alone(const struct operation *operation)
{
	unsigned kills = 0, failures = 0;
	long steps, stride;

	begin(operation);
	steps = length_of(operation->act);
	stride = stride_of(steps);
	for (long n = first_of(stride); n <= steps && failures < 5; n += stride) {
		if (is_one_of_many(n))
			continue;
		reset();
		bury(victim_after(operation->act, n));
		kills++;
		if (!in_time(operation->check)) {
			fprintf(stderr, "%s: killed after %ld of %ld instructions\n",
				operation->name, n, steps);
			failures++;
		}
	}
	finish();
	tell(operation->name, steps, kills, failures);
}

/* The first victim dies after some instructions of `act`; the other within `second`. */
static void repair(const struct operation *operation)
{
	unsigned kills = 0, failures = 0;
	long first, steps = 0, points = all ? 20 : sample == FEW ? 3 : 5;

	for (long m = 1; m < points && failures < 5; m++) {
		long stride;

		begin(operation);
		first = length_of(operation->act);
		reset();
		bury(victim_after(operation->act, first * m / points));
		save();
		steps = length_of(operation->second);
		stride = all ? (steps > 100 ? steps / 100 : 1) : stride_of(steps);
		for (long n = 0; n <= steps && failures < 5; n++) {
			if (n % stride != m % stride && !(all && is_new(n)))
				continue;
			reset();
			bury(victim_after(operation->second, n));
			kills++;
			if (!in_time(operation->check)) {
				fprintf(stderr,
					"%s: killed after %ld, and %ld of %ld of what followed\n",
					operation->name, first * m / points, n, steps);
				failures++;
			}
		}
		finish();
	}
	tell(operation->name, steps, kills, failures);
}

/* Another does its operation after the victim's n-th instruction; the victim then finishes, or dies
 * j later. */
static void meeting(const struct operation *operation)
{
	unsigned kills = 0, failures = 0;
	long steps, stride;

	begin(operation);
	steps = length_of(operation->act);
	stride = stride_of(steps);
	for (long n = 0; n <= steps && failures < 5; n += stride)
		for (long j = 0; j < 3 && failures < 5; j++) {
			pid_t pid;

			/* Of a long one each instruction has one of the three. */
			if (is_one_of_many(n) || (steps > 1000 && j != n % 3))
				continue;
			reset();
			pid = victim_after(operation->act, n);
			if (!in_time(operation->second)) {
				fprintf(stderr, "%s: the other was held up after %ld\n",
					operation->name, n);
				failures++;
			}
			(void)step(pid, j == 0 ? MOST_INSTRUCTIONS : j * (n % 37));
			reached_note(&reached, instruction_of(pid));
			bury(pid);
			kills++;
			if (!in_time(operation->check)) {
				fprintf(stderr, "%s: another came after %ld of %ld instructions\n",
					operation->name, n, steps);
				failures++;
			}
		}
	finish();
	tell(operation->name, steps, kills, failures);
}

/* Another begins its operation after the victim's n-th instruction, and has a moment to come to where it waits. Must
 * end, when the victim is dead. */
static void waiting(const struct operation *operation)
{
	unsigned kills = 0, failures = 0;
	long steps, stride;

	begin(operation);
	steps = length_of(operation->act);
	stride = stride_of(steps);
	for (long n = first_of(stride); n <= steps && failures < 5; n += stride) {
		bool is_right;
		pid_t pid, other;

		reset();
		pid = victim_after(operation->act, n);
		other = start(operation->second);
		(void)usleep(1000);
		bury(pid);
		kills++;
		is_right = ended_well(other);
		if (!in_time(operation->check) || !is_right) {
			fprintf(stderr, "%s: another came after %ld of %ld instructions\n",
				operation->name, n, steps);
			failures++;
		}
	}
	finish();
	tell(operation->name, steps, kills, failures);
}

static void all_of(const struct operation *operation, size_t n,
		   void (*run)(const struct operation *))
{
	for (; n > 0; n--, operation++)
		if (strncmp(operation->name, wanted, strlen(wanted)) == 0)
			run(operation);
}

#define ALL_OF(table, run) all_of(table, sizeof(table) / sizeof((table)[0]), run)

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
	name_segments();
	room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (reached.at == NULL || room == MAP_FAILED)
		return 2;
	ALL_OF(operations, alone);
	ALL_OF(repairs, repair);
	ALL_OF(meetings, meeting);
	ALL_OF(waits, waiting);
	arrange_no_names();
	brood_list_free(list);
	if (file != NULL)
		reached_write(&reached, file);
	printf("stepped from the beginning: %ld\n", strayed);
	printf("every-instruction: operations=%u kills=%u failures=%u\n", total.operations,
	       total.kills, total.failures);
	printf("%u passed, %u failed\n", total.operations - total.failed_operations,
	       total.failed_operations);
	return total.failures != 0;
}
