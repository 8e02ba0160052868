/* leave HOW… then exit N | stay - starts a descendant for each HOW, then exits or stays
 *
 *	child    a plain child
 *	session  a child in a session of its own
 *	double   a daemon: double fork, a session of its own, its parent gone
 *	fork     forks again and again, each copy abandoning its parent
 *
 * Each ignores SIGTERM and SIGHUP, closes its standard descriptors, and lives until it is killed;
 * but for fork, its pid is said on standard output first, one a line. "end" follows. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int told[2]; /* a pipe whose end of file is: everybody has told */

static void quiet(void)
{
	close(0);
	close(1);
	close(2);
	close(told[1]);
}

static void live(void)
{
	dprintf(1, "%d\n", getpid());
	quiet();
	for (;;)
		pause();
}

/* Never the same process for long: what a single look at the process table misses. */
static void run_away(void)
{
	quiet();
	for (;;) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

static void descend(const char *how)
{
	pid_t pid = fork();

	if (pid > 0) {
		if (strcmp(how, "double") == 0)
			waitpid(pid, NULL, 0);
		return;
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (strcmp(how, "session") == 0 || strcmp(how, "double") == 0)
		setsid();
	if (strcmp(how, "double") == 0 && fork() > 0)
		_exit(0);
	if (strcmp(how, "fork") == 0)
		run_away();
	live();
}

int main(int argc, char **argv)
{
	int i = 1;
	char none;

	if (pipe(told) < 0)
		return 1;
	for (; i < argc && strcmp(argv[i], "then") != 0; i++)
		descend(argv[i]);
	close(told[1]);
	while (read(told[0], &none, 1) < 0 && errno == EINTR)
		continue;
	dprintf(1, "end\n");
	if (i + 2 < argc && strcmp(argv[i + 1], "exit") == 0)
		return (int)strtol(argv[i + 2], NULL, 10);
	for (;;)
		pause();
}
