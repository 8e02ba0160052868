/* bench-process ROUNDS | once - microseconds of a start by fork and the wait for its end, brood beside fork() and waitpid()
 *
 * Both sides have 10 MiB of touched memory, which a fork copies the page tables of, and a child that does nothing. */
#include <brood/process.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void by_brood(void)
{
	brood_process *p;
	brood_exit end;

	if (brood_process_start(nothing, BROOD_NO_ARGS, NULL, &p) < 0 ||
	    brood_process_join(p, BROOD_FOREVER, &end) < 0 || !brood_exit_ok(&end))
		exit(1);
	brood_process_unref(p);
}

static void by_hand(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		exit(1);
}

static double start_and_wait(bool ours)
{
	int64_t began = brood_now();

	for (int i = 0; i < BATCH; i++)
		if (ours)
			by_brood();
		else
			by_hand();
	return (double)(brood_now() - began) / 1e3 / BATCH;
}

static const struct rounds_figure figures[] = {
	{ "process.fork", "us", "fork+_exit", start_and_wait, false },
};

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "31";
	static char touched[TOUCHED];

	memset(touched, 1, TOUCHED);
	by_brood(); /* what is loaded once */
	if (strcmp(what, "once") == 0)
		printf("%g\n", start_and_wait(true));
	else if (!rounds_take(what, figures, sizeof(figures) / sizeof(figures[0])))
		return 2;
	return 0;
}
