/* df - start a program, read what it says, wait for its end
 *
 * Runs "df -h" with its standard output in a pipe and shows the lines with a running number, then
 * how it ended and what it used. Other words on the command line are run instead of "df -h". */
#include <brood/brood.h>

#include <stdio.h>

static int complain(const brood_fail *fail)
{
	char line[400];

	brood_fail_format(fail, line, sizeof(line));
	fprintf(stderr, "cannot start it: %s\n", line);
	return 1;
}

static void show_lines(int fd)
{
	FILE *lines = fdopen(fd, "r");
	char line[512];

	for (int number = 1; lines != NULL && fgets(line, sizeof(line), lines) != NULL; number++)
		printf("%3d  %s", number, line);
	if (lines != NULL)
		(void)fclose(lines);
}

static void show_end(const brood_exit *end)
{
	static const char *const kinds[] = { "runs", "exited with", "was ended by signal",
					     "ended, unknown how:" };

	printf("it %s %d after %.1f ms, %.1f ms of processor time, %.1f MiB of memory\n",
	       kinds[end->kind], end->value, (double)(end->ended_ns - end->started_ns) / BROOD_MSEC,
	       (double)(end->user_ns + end->system_ns) / BROOD_MSEC,
	       (double)end->max_rss_bytes / 1048576);
}

int main(int argc, char **argv)
{
	const char *const *command =
		argc > 1 ? (const char *const *)argv + 1 : BROOD_ARGV("df", "-h");
	brood_fail fail = { .step = NULL };
	const brood_spawn_opts opts = {
		.in = { .kind = BROOD_STDIO_NULL },
		.out = { .kind = BROOD_STDIO_PIPE },
		.fail = &fail,
	};
	brood_child *child;
	brood_exit end;

	if (brood_spawn(command, &opts, &child) < 0)
		return complain(&fail);
	show_lines(brood_child_take_stream(child, 1));
	if (brood_child_wait(child, 5 * BROOD_SEC, &end) <
	    0) /* its output ended, and yet it runs */
		brood_child_stop(child, BROOD_SEC, &end);
	brood_child_free(child);
	show_end(&end);
	return brood_exit_ok(&end) ? 0 : 1;
}
