/* scenarios.h - kill at every instruction of an operation
 *
 * A victim runs freely up to a mark, then goes on instruction by instruction (ptrace), and is killed after the 1st,
 * the 2nd, … to the last one of its operation. Each time those who are left must be able to go on by themselves
 * within the limit. Where the victim sleeps it is killed asleep, and in the next runs the others do what wakes it.
 *
 * In an encounter somebody else arrives after n steps, and comes as far as it can; the victim goes on, and is killed after
 * j more: all n, and all j.
 *
 * A program includes this once, defines anew() and attach(), and hands its scenarios to step_through(). */
#ifndef FAULTS_SCENARIOS_H
#define FAULTS_SCENARIOS_H

#include <brood/base.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stepping.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* All that is shared, as it is before a run of this scenario. */
static void anew(const char *name);

/* A first use of the library, of no consequence. */
static void attach(void);

/* ---- time, processes */

static int64_t limit_ns = 10 * BROOD_SEC;

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

static int get(int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void up(int *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static bool until(int *counter, int value)
{
	int64_t end = brood_now() + limit_ns;

	while (get(counter) < value) {
		if (brood_now() > end)
			return false;
		nap();
	}
	return true;
}

static void await(int *counter)
{
	while (get(counter) == 0)
		nap();
}

#define MOST_KIDS 1024

static pid_t kids[MOST_KIDS];
static int n_kids;

static pid_t start(void (*body)(void))
{
	pid_t pid = n_kids < MOST_KIDS ? fork() : -1;

	if (pid < 0) {
		perror("another process");
		exit(2);
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body();
		_exit(0);
	}
	kids[n_kids++] = pid;
	return pid;
}

static void end_kid(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < n_kids; i++)
		if (kids[i] == pid)
			kids[i] = kids[--n_kids];
}

static void end_kids(void)
{
	while (n_kids > 0)
		end_kid(kids[n_kids - 1]);
}

/* The call in which it sleeps; -1: in none. */
static long call_of(pid_t pid)
{
	char path[40], text[16] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && text[0] >= '0' && text[0] <= '9' ? strtol(text, NULL, 10) : -1;
}

/* The letter of its state; one that waits for a processor is no sleeper. */
static char state_of(pid_t pid)
{
	char path[40], text[200] = "", *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return '?';
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	end = n > 0 ? strrchr(text, ')') : NULL;
	return end != NULL && end[1] == ' ' ? end[2] : '?';
}

/* Whether it sleeps on a futex. */
static bool is_asleep(pid_t pid)
{
	long call = call_of(pid);

	return (call == SYS_futex || call == SYS_futex_waitv) && state_of(pid) == 'S';
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	       info.si_pid != 0;
}

/* Until it does, or has come through. */
static void await_asleep(pid_t pid)
{
	int64_t end = brood_now() + 2 * BROOD_SEC;

	while (!is_asleep(pid) && call_of(pid) != SYS_pause && !has_ended(pid) && brood_now() < end)
		nap();
}

static void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return memory;
}

/* ---- the scenarios */

struct scenario {
	const char *name;
	void (*before)(void);  /* in the harness, before there is a victim */
	void (*prepare)(void); /* in the victim, freely */
	void (*arrange)(void); /* in the harness, while the victim stands at the mark */
	void (*op)(void);      /* in the victim, step by step */
	void (*blocked)(void); /* in the harness, when the victim sleeps */
	const char *(*check)(void);
	void (*again)(void); /* … when it sleeps another time, if only for the lock */
	bool fresh;          /* the victim has not used the library before */
};

struct encounter {
	struct scenario scenario;
	void (*arrive)(void); /* in the harness */
};

/* ---- the victim */

static int *phase; /* 1: at the mark or beyond it; 2: the operation is over */
extern const char __executable_start, etext;
static struct reached reached;

static void run_victim(const struct scenario *scenario)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!scenario->fresh)
		attach();
	if (scenario->prepare != NULL)
		scenario->prepare();
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	syscall(SYS_kill, getpid(), SIGSTOP);
	*phase = 1;
	scenario->op();
	*phase = 2;
	for (;;)
		pause();
}

static pid_t start_victim(const struct scenario *scenario)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		run_victim(scenario);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
		fprintf(stderr, "%s: the victim does not stop\n", scenario->name);
		exit(2);
	}
	return pid;
}

enum stop { STEPPED, SLEEPS, GONE };

/* Until it is stopped by a trap, or sleeps; `may_sleep`: it is at a system call, or runs freely. */
static enum stop await_stop(pid_t pid, bool may_sleep)
{
	int status;

	for (unsigned looks = 1;; looks++) {
		pid_t r = waitpid(pid, &status, may_sleep ? WNOHANG | __WALL : __WALL);

		if (r == pid)
			return WIFSTOPPED(status) ? STEPPED : GONE;
		if (r < 0)
			return GONE;
		if (looks % 64 == 0) {
			if (is_asleep(pid) || call_of(pid) == SYS_pause)
				return SLEEPS;
			sched_yield();
		}
	}
}

static const struct scenario *played;
static int sleeps;  /* so often the victim has slept */
static bool asleep; /* it does, where the last go() ended */

/* Lets the others do what wakes it, the first time or a later one; a timeout wakes it by itself. */
static enum stop wake(pid_t pid)
{
	void (*what)(void) = sleeps++ == 0 ? played->blocked : played->again;
	int64_t end;
	enum stop how;

	if (what != NULL)
		what();
	end = brood_now() + limit_ns;
	while ((how = await_stop(pid, true)) == SLEEPS && *phase != 2 && brood_now() < end)
		nap();
	return how;
}

static bool resume(pid_t pid, enum __ptrace_request request);

/* On, by that request of ptrace. */
static enum stop go_on(pid_t pid, enum __ptrace_request request)
{
	bool may_sleep = request == PTRACE_CONT || is_call(instruction_of(pid));
	enum stop how = ptrace(request, pid, 0, 0) == 0 ? await_stop(pid, may_sleep) : GONE;

	if (request == PTRACE_SINGLESTEP && how == STEPPED && !path_pass_clock(pid, resume))
		return GONE;
	return how;
}

/* True: it was stopped by a trap, and has not slept. */
static bool resume(pid_t pid, enum __ptrace_request request)
{
	return go_on(pid, request) == STEPPED;
}

static struct path path;                  /* of the scenario that is played */
static bool slept[MOST_INSTRUCTIONS + 1]; /* in this step of it */

static long next_sleep(long from, long n)
{
	while (from < n && !slept[from])
		from++;
	return from;
}

/* Goes n steps, from where it was recorded to sleep to where it will again by breakpoints. Returns how many
 * it went, less: the operation was over before; or -1: it took another way than when it was recorded. */
static long go(pid_t pid, long n, bool recorded, const char **ret_why)
{
	bool land = recorded;
	long i = 0;

	if (asleep && n > 0) {
		asleep = false;
		if (wake(pid) == SLEEPS) {
			*ret_why = "the victim sleeps on";
			return 0;
		}
	}
	for (; i < n && *phase != 2; i++) {
		enum stop how;
		uintptr_t at;

		if (land)
			i = path_land(&path, pid, i, next_sleep(i, n), resume);
		if (i < 0)
			return -1;
		at = instruction_of(pid);
		how = go_on(pid, PTRACE_SINGLESTEP);
		if (how == SLEEPS && i == n - 1) { /* killed asleep, behind its call */
			reached_note(&reached, at + 2);
			asleep = true;
			return n;
		}
		land = recorded && how == SLEEPS;
		if (how == SLEEPS)
			how = wake(pid);
		if (how == SLEEPS) {
			*ret_why = "the victim sleeps on";
			return i;
		}
		if (how == GONE) {
			fprintf(stderr, "%s: the victim ended by itself\n", played->name);
			exit(2);
		}
	}
	reached_note(&reached, instruction_of(pid));
	return i;
}

static void kill_victim(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
		;
}

static pid_t begin(const struct scenario *scenario)
{
	pid_t pid;

	sleeps = 0;
	asleep = false;
	*phase = 0;
	played = scenario;
	anew(scenario->name);
	if (scenario->before != NULL)
		scenario->before();
	pid = start_victim(scenario);
	if (scenario->arrange != NULL)
		scenario->arrange();
	return pid;
}

/* Its whole path; false: it has none. */
static bool record(const struct scenario *scenario)
{
	pid_t pid = begin(scenario);
	bool fits = path_add(&path, 0, instruction_of(pid));
	enum stop how = STEPPED;

	for (long i = 0; fits && how == STEPPED && *phase != 2; i++) {
		how = go_on(pid, PTRACE_SINGLESTEP);
		slept[i] = how == SLEEPS;
		if (how == SLEEPS)
			how = wake(pid);
		fits = how == STEPPED && path_add(&path, i + 1, instruction_of(pid));
	}
	kill_victim(pid);
	end_kids();
	if (!fits)
		printf("FAILED: %s: undisturbed, it does not come to its end\n", scenario->name);
	return fits;
}

static long strayed;

/* One run, killed after n steps. */
static const char *run(const struct scenario *scenario, long n)
{
	const char *why = NULL;
	pid_t pid = begin(scenario);

	if (go(pid, n, true, &why) < 0) {
		kill_victim(pid);
		end_kids();
		strayed++;
		pid = begin(scenario);
		(void)go(pid, n, false, &why);
	}
	kill_victim(pid);
	if (why == NULL)
		why = scenario->check();
	end_kids();
	return why;
}

static long kills, failures;

#define FAR 4000 /* instructions; what goes that far and strays takes as many steps in each run */
#define RECORDS 4

/* Beside others that never rest, chance decides how far it is. */
static bool record_near(const struct scenario *scenario)
{
	bool fits = record(scenario);

	for (int left = RECORDS - 1; fits && path.n > FAR && left > 0; left--)
		fits = record(scenario);
	return fits;
}

static void try(const struct scenario *scenario, long from, long stride)
{
	int64_t began = brood_now();
	long failed = 0;

	if (!record_near(scenario))
		failed++;
	for (long n = from; n <= path.n && failed < 5; n += stride) {
		const char *why = run(scenario, n);

		kills++;
		if (why != NULL) {
			printf("FAILED: %s: killed after %ld instructions: %s\n", scenario->name, n,
			       why);
			failed++;
		}
	}
	failures += failed;
	printf("%-40s %5ld instructions, %ld failures, %.1f s\n", scenario->name, path.n, failed,
	       (double)(brood_now() - began) / 1e9);
	(void)fflush(stdout);
}

/* One run: n steps, somebody arrives, j steps. *ret_over: the operation was over before. */
static const char *run_met(const struct encounter *encounter, long n, long j, bool *ret_over)
{
	const struct scenario *scenario = &encounter->scenario;
	const char *why = NULL;
	pid_t pid = begin(scenario);

	if (go(pid, n, true, &why) < 0) {
		kill_victim(pid);
		end_kids();
		strayed++;
		pid = begin(scenario);
		(void)go(pid, n, false, &why);
	}
	encounter->arrive();
	*ret_over = go(pid, j, false, &why) < j;
	kill_victim(pid);
	if (why == NULL)
		why = scenario->check();
	end_kids();
	return why;
}

#define MOST_ENCOUNTERS 4000 /* of one operation; there are half the square of its instructions */

/* Somebody arrives at every instruction, and of the deaths after it some are tried; of a sample fewer of both. */
static void try_encounters(const struct encounter *encounter, long from, long stride)
{
	int64_t began = brood_now();
	long failed = 0, runs = 0, step = stride / 8 + 1, deaths;

	if (!record(&encounter->scenario))
		failed++;
	deaths = path.n * path.n / step / 2 / (MOST_ENCOUNTERS / stride + 40) + 1;
	for (long n = from % step; n <= path.n && failed < 5; n += step) {
		bool over = false;

		for (long j = (from + n) % deaths; !over && failed < 5; j += deaths) {
			const char *why = run_met(encounter, n, j, &over);

			runs++;
			if (why == NULL)
				continue;
			printf("FAILED: %s: met after %ld instructions, killed %ld later: %s\n",
			       encounter->scenario.name, n, j, why);
			failed++;
		}
	}
	kills += runs;
	failures += failed;
	printf("%-40s %5ld instructions, %ld encounters, %ld failures, %.1f s\n",
	       encounter->scenario.name, path.n, runs, failed, (double)(brood_now() - began) / 1e9);
	(void)fflush(stdout);
}

static bool is_wanted(const char *name, char **names)
{
	if (*names == NULL)
		return true;
	for (; *names != NULL; names++)
		if (strncmp(name, *names, strlen(*names)) == 0)
			return true;
	return false;
}

static const struct encounter *encounters;
static size_t n_encounters;

static int step_through(const struct scenario *scenarios, size_t n, int argc, char **argv)
{
	const char *file = NULL;
	long stride = 1, operations = 0;

	for (argv++; argc > 2 && argv[0] != NULL && argv[0][0] == '-' && argv[1] != NULL; argv += 2)
		if (strcmp(argv[0], "--stride") == 0)
			stride = strtol(argv[1], NULL, 10);
		else if (strcmp(argv[0], "--limit") == 0)
			limit_ns = strtol(argv[1], NULL, 10) * BROOD_MSEC;
		else
			file = argv[1];
	phase = shared_memory(sizeof(*phase));
	reached.start = (uintptr_t)&__executable_start;
	reached.size = (size_t)(&etext - &__executable_start);
	reached.at = calloc(reached.size, sizeof(*reached.at));
	if (reached.at == NULL || stride < 1)
		return 2;
	for (size_t i = 0; i < n; i++) {
		if (!is_wanted(scenarios[i].name, argv))
			continue;
		operations++;
		try(&scenarios[i], (long)(i * 7) % stride, stride);
	}
	for (size_t i = 0; i < n_encounters; i++) {
		if (!is_wanted(encounters[i].scenario.name, argv))
			continue;
		operations++;
		try_encounters(&encounters[i], (long)(i * 7) % stride, stride);
	}
	if (file != NULL)
		reached_write(&reached, file);
	printf("stepped from the beginning: %ld\n", strayed);
	printf("every-instruction: operations=%ld kills=%ld failures=%ld\n", operations, kills,
	       failures);
	return failures == 0 && kills > 0 ? 0 : 1;
}

#endif
