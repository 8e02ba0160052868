/* run-command [--throws] [--shell] [--log] [--input TEXT] [--timeout-ms N] [--async] [--string] WORD…
 *
 * Shows the helper of run_command.h: the answer to one command, or with --async to two of the same that
 * run at once. The words are a list of arguments; with --string the first is a program's path, or with --shell a
 * command line. */
#include "run_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_line(void *unused, const char *line)
{
	(void)unused;
	fprintf(stderr, "log: %s\n", line);
}

static void show(int r, struct answer *answer)
{
	printf("returned %s\ncode %d\nout [%s]\nerr [%s]\nerror [%s]\n",
	       r == 0 ? "0" : strerror(-r), answer->code, answer->out, answer->err, answer->error);
	answer_fini(answer);
}

static int show_two(const struct command *command)
{
	struct answer answer;
	brood_jobs *jobs;
	brood_job job;
	int r = brood_jobs_new(&(brood_jobs_opts){ .limit = 2 }, &jobs);

	if (r < 0)
		return 1;
	for (int i = 0; r == 0 && i < 2; i++)
		r = run_command_begin(jobs, command);
	/* A program with an event loop would watch brood_jobs_fd(jobs) and call brood_jobs_step(). */
	while (r == 0 && brood_jobs_next(jobs, BROOD_FOREVER, &job) == 0) {
		int one = run_command_end(&job, &answer);

		show(one, &answer);
	}
	brood_jobs_free(jobs);
	return r == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "throws", no_argument, NULL, 't' },
		{ "shell", no_argument, NULL, 's' },
		{ "log", no_argument, NULL, 'l' },
		{ "input", required_argument, NULL, 'i' },
		{ "timeout-ms", required_argument, NULL, 'm' },
		{ "async", no_argument, NULL, 'a' },
		{ "string", no_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	struct command command = { .env = BROOD_ARGV("FROM=run-command", "LC_ALL=C") };
	struct answer answer;
	bool async = false, string = false;
	int option, r;

	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1)
		switch (option) {
		case 't':
			command.throws = true;
			break;
		case 's':
			command.shell = true;
			break;
		case 'l':
			command.log = log_line;
			break;
		case 'i':
			command.input = optarg;
			break;
		case 'm':
			command.timeout_ns = strtol(optarg, NULL, 10) * BROOD_MSEC;
			break;
		case 'a':
			async = true;
			break;
		case 'p':
			string = true;
			break;
		default:
			return 2;
		}
	if (string)
		command.string = argv[optind];
	else
		command.args = (const char *const *)argv + optind;
	if (async)
		return show_two(&command);
	r = run_command(&command, &answer);
	show(r, &answer);
	return 0;
}
