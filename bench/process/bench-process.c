/* bench-process ROUNDS | fork | spawn | forkserver - microseconds of a start and the wait for its end, brood beside what one would do
 * by hand: fork() and waitpid(), an exec of the same program, a helper that forks when it is told; and, of a parent that has
 * grown to 2 GiB, a start by the default method beside a fork
 *
 * Both sides have 10 MiB of touched memory, which a fork copies the page tables of, and a child that does nothing. With a word: a
 * batch of brood's alone, without that memory; who takes turns with it has what it has. */
#include <brood/process.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../peers/clone3.h"
#include "../rounds.h"

#define TOUCHED ((size_t)10 << 20)
#define BATCH 50
#define LARGE ((long)2 << 30)
#define SPARE ((long)512 << 20) /* must be free beside LARGE */

static int nothing(const brood_args *args)
{
	(void)args;
	return 0;
}

static void by_brood(brood_start_method method)
{
	const brood_process_opts opts = { .method = method };
	brood_process *p;
	brood_exit end;

	if (brood_process_start(nothing, BROOD_NO_ARGS, &opts, &p) < 0 ||
	    brood_process_join(p, BROOD_FOREVER, &end) < 0 || !brood_exit_ok(&end))
		exit(1);
	brood_process_unref(p);
}

static void await(pid_t pid)
{
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		exit(1);
}

static void by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	await(pid);
}

/* As which word it begins there: nobody else calls it so. */
static char self[] = "/proc/self/exe";

static void by_exec(void)
{
	int pidfd = -1;

	await(clone3_exec(self, &pidfd));
	close(pidfd);
}

/* Forked before there is any memory to speak of. */
static int helper[2];

static void begin_helper(void)
{
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, helper) < 0)
		exit(1);
	if (fork() != 0) {
		close(helper[1]);
		return;
	}
	close(helper[0]);
	while (read(helper[1], &byte, 1) == 1) {
		by_fork();
		if (write(helper[1], &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static void by_helper(void)
{
	char byte = 0;

	if (write(helper[0], &byte, 1) != 1 || read(helper[0], &byte, 1) != 1)
		exit(1);
}

static double take(bool ours, brood_start_method method, void (*by_hand)(void), int batch)
{
	int64_t began = brood_now();

	for (int i = 0; i < batch; i++)
		if (ours)
			by_brood(method);
		else
			by_hand();
	return (double)(brood_now() - began) / 1e3 / batch;
}

static double take_fork(bool ours)
{
	return take(ours, BROOD_START_FORK, by_fork, BATCH);
}

static double take_spawn(bool ours)
{
	return take(ours, BROOD_START_SPAWN, by_exec, BATCH);
}

static double take_forkserver(bool ours)
{
	return take(ours, BROOD_START_FORKSERVER, by_helper, BATCH);
}

static double take_default(bool ours)
{
	return take(ours, BROOD_START_DEFAULT, by_fork, ours ? BATCH : 2);
}

static const struct rounds_figure figures[] = {
	{ "process.fork", "us", "fork+_exit", take_fork, false },
	{ "process.spawn", "us", "clone3+exec-self", take_spawn, false },
	{ "process.forkserver", "us", "helper-fork", take_forkserver, false },
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

static const struct rounds_figure large = { "process.default.parent2gib", "us", "fork",
					    take_default, false };

/* The same of a program that has grown. */
static bool take_large(const char *rounds)
{
	void *memory = NULL;
	bool taken;

	if (rounds_available_memory() >= LARGE + SPARE)
		memory = rounds_touched((size_t)LARGE);
	if (memory == NULL) {
		fputs("bench-process: too little memory is free for a parent of 2 GiB\n", stderr);
		return true;
	}
	taken = rounds_take(rounds, &large, 1);
	munmap(memory, (size_t)LARGE);
	return taken;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "31";
	static char touched[TOUCHED];

	if (strcmp(argv[0], self) == 0)
		return 0;
	brood_init();
	begin_helper();
	/* What is loaded once. */
	by_brood(BROOD_START_FORK);
	by_brood(BROOD_START_FORKSERVER);
	for (size_t i = 0; i < FIGURES; i++)
		if (strcmp(figures[i].name + sizeof("process"), what) == 0) {
			printf("%g\n", figures[i].take(true));
			return 0;
		}
	memset(touched, 1, TOUCHED);
	if (!rounds_take(what, figures, FIGURES) || !take_large(what))
		return 2;
	return 0;
}
