/* bench-process ROUNDS | fork | spawn | forkserver - microseconds of a start and the wait for its end, brood beside what one would do
 * by hand: fork() and waitpid(), an exec of the same program, a helper that forks when it is told
 *
 * Both sides have 10 MiB of touched memory, which a fork copies the page tables of, and a child that does nothing. With a word: a
 * batch of brood's alone, without that memory; who takes turns with it has what it has. */
#include <brood/process.h>

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../rounds.h"

#define TOUCHED ((size_t)10 << 20)
#define BATCH 50

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

static void by_exec(void)
{
	static char name[] = "bench-process", word[] = "nothing";
	char *const argv[] = { name, word, NULL };
	pid_t pid;

	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) != 0)
		exit(1);
	await(pid);
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

static double take(bool ours, brood_start_method method, void (*by_hand)(void))
{
	int64_t began = brood_now();

	for (int i = 0; i < BATCH; i++)
		if (ours)
			by_brood(method);
		else
			by_hand();
	return (double)(brood_now() - began) / 1e3 / BATCH;
}

static double take_fork(bool ours)
{
	return take(ours, BROOD_START_FORK, by_fork);
}

static double take_spawn(bool ours)
{
	return take(ours, BROOD_START_SPAWN, by_exec);
}

static double take_forkserver(bool ours)
{
	return take(ours, BROOD_START_FORKSERVER, by_helper);
}

static const struct rounds_figure figures[] = {
	{ "process.fork", "us", "fork+_exit", take_fork, false },
	{ "process.spawn", "us", "clone3+exec-self", take_spawn, false },
	{ "process.forkserver", "us", "helper-fork", take_forkserver, false },
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "31";
	static char touched[TOUCHED];

	if (strcmp(what, "nothing") == 0)
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
	if (!rounds_take(what, figures, FIGURES))
		return 2;
	return 0;
}
