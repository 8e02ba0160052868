/* spawn-loop IN-FLIGHT SECONDS PROGRAM - how many processes a second this machine makes
 *
 * posix_spawn and waitpid, with IN-FLIGHT programs at a time: no requests, no records, no output.
 * Prints the number of programs a second. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char *args[] = { argc > 3 ? argv[3] : NULL, NULL };
	long in_flight = argc > 3 ? strtol(argv[1], NULL, 10) : 0, live = 0, done = 0;
	double start = now(), end = start + (argc > 3 ? strtod(argv[2], NULL) : 0);

	if (in_flight < 1) {
		fputs("usage: spawn-loop IN-FLIGHT SECONDS PROGRAM\n", stderr);
		return 2;
	}
	while (live > 0 || now() < end) {
		int status, error;

		while (live < in_flight && now() < end) {
			error = posix_spawn(&(pid_t){ 0 }, args[0], NULL, NULL, args, environ);
			if (error != 0) {
				fprintf(stderr, "spawn-loop: %s: %s\n", args[0], strerror(error));
				return 1;
			}
			live++;
		}
		if (live == 0)
			break;
		if (waitpid(-1, &status, 0) < 0 || status != 0) {
			fprintf(stderr, "spawn-loop: %s failed\n", args[0]);
			return 1;
		}
		live--;
		done++;
	}
	printf("%.1f\n", (double)done / (now() - start));
	return 0;
}
