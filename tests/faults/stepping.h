/* How a traced process comes to the n-th instruction of a path, again and again
 *
 * A path is recorded once, instruction by instruction. Later processes run freely up to a breakpoint shortly before
 * the n-th one, at an address that the path had come to seldom, and are stepped the rest: some stops for each
 * kill, instead of n. They have the memory layout of who recorded it, being forked from the same process.
 *
 * Who kills after the n-th instruction compares where the process stands (path_is_at): one that took another
 * way is stepped from the beginning. */
#ifndef TESTS_FAULTS_STEPPING_H
#define TESTS_FAULTS_STEPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define MOST_INSTRUCTIONS 100000

struct path {
	long n; /* steps, and so n + 1 places */
	uintptr_t at[MOST_INSTRUCTIONS + 1];
	int32_t passed[MOST_INSTRUCTIONS +
		       1]; /* how often it had come to this address, this time included */
	bool shown[MOST_INSTRUCTIONS + 1]; /* a breakpoint would stop it here */
};

static inline uintptr_t instruction_of(pid_t pid)
{
	return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
}

/* Whether it is a system call, which may sleep; everybody has the same code. */
static inline bool is_call(uintptr_t at)
{
	const unsigned char *code = (const unsigned char *)at;

	return code[0] == 0x0f && code[1] == 0x05;
}

/* Notes where a process stands after `step` steps; they are told in their order. */
static inline bool path_add(struct path *path, long step, uintptr_t at)
{
	long before = step - 1;

	if (step > MOST_INSTRUCTIONS)
		return false;
	path->n = step;
	path->at[step] = at;
	/* A string instruction is stepped in parts, and a breakpoint sees the first one. */
	path->shown[step] = step > 0 && path->at[before] != at;
	while (before >= 0 && path->at[before] != at)
		before--;
	path->passed[step] = (before >= 0 ? path->passed[before] : 0) + path->shown[step];
	return true;
}

static inline bool path_is_at(const struct path *path, pid_t pid, long step)
{
	return step <= path->n && instruction_of(pid) == path->at[step];
}

/* How often it comes to the address of step `i` after step `from`. */
static inline int32_t path_passes(const struct path *path, long from, long i)
{
	long before = from;

	while (before >= 0 && path->at[before] != path->at[i])
		before--;
	return path->passed[i] - (before >= 0 ? path->passed[before] : 0);
}

/* From where the n-th is reached with the fewest stops, by who stands at `from`: perhaps from there. */
static inline long path_landing(const struct path *path, long from, long n)
{
	long best = from, stops = n - from;

	for (long i = n - 1 < path->n ? n - 1 : path->n; i > from && n - i < stops; i--) {
		long these = path->shown[i] ? 3 * path_passes(path, from, i) + (n - i) : stops;

		if (these < stops) {
			best = i;
			stops = these;
		}
	}
	return best;
}

/* Sets a process going by that request of ptrace, and tells whether it was stopped by a trap again. */
typedef bool path_resume(pid_t pid, enum __ptrace_request request);

/* Lets it run until it comes to `at`. */
static inline bool path_run_to(pid_t pid, uintptr_t at, path_resume *resume)
{
	char *place = (char *)at;
	long code;

	memcpy(&code, place, sizeof(code));
	return ptrace(PTRACE_POKETEXT, pid, place, (code & ~0xffL) | 0xcc) == 0 &&
	       resume(pid, PTRACE_CONT) && instruction_of(pid) == at + 1 &&
	       ptrace(PTRACE_POKETEXT, pid, place, code) == 0 &&
	       ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rip), at) == 0;
}

/* The kernel's code that reads the clock begins anew when that has ticked meanwhile. Stepped on a busy machine it would
 * hardly ever come to its end; it changes nothing, and is passed as one instruction. */
static inline bool path_pass_clock(pid_t pid, path_resume *resume)
{
	uintptr_t kernels = getauxval(AT_SYSINFO_EHDR);
	long stack;

	if (kernels == 0 || instruction_of(pid) - kernels >= 0x2000)
		return true;
	stack = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rsp), 0);
	return path_run_to(pid, (uintptr_t)ptrace(PTRACE_PEEKDATA, pid, stack, 0), resume);
}

/* Lets a process that stands at step `from` go to where path_landing() says. Returns the step at which it
 * stands now; or -1: it did not come there, or cannot be stopped there. */
static inline long path_land(const struct path *path, pid_t pid, long from, long n,
			     path_resume *resume)
{
	long i = path_landing(path, from, n);

	if (i == from)
		return from;
	for (int32_t passes = path_passes(path, from, i); passes > 0; passes--) {
		/* Not where it stands. */
		while (instruction_of(pid) == path->at[i])
			if (!resume(pid, PTRACE_SINGLESTEP))
				return -1;
		if (!path_run_to(pid, path->at[i], resume))
			return -1;
	}
	return i;
}

/* ---- where something was killed */

struct reached {
	uintptr_t start; /* of the program or library; addresses are told relative to it */
	size_t size;
	bool *at;
};

static inline void reached_note(struct reached *reached, uintptr_t at)
{
	if (reached->at != NULL && at - reached->start < reached->size)
		reached->at[at - reached->start] = true;
}

static inline void reached_write(const struct reached *reached, const char *file_name)
{
	FILE *file = fopen(file_name, "we");

	if (file == NULL) {
		perror(file_name);
		exit(2);
	}
	for (size_t at = 0; at < reached->size; at++)
		if (reached->at[at])
			fprintf(file, "%zx\n", at);
	(void)fclose(file);
}

#endif
