/* The command: options into a popen, follow it, say how it ended. */
#include "run/run.h"

#include <brood/brood.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "run/follow.h"
#include "run/record.h"

enum { TIMED_OUT = 124, FAILED, CANNOT_EXECUTE, NOT_FOUND };

#define KILL_AFTER (2 * BROOD_SEC)
#define KEEP (INT64_C(1) << 20)

static const char usage[] =
	"usage: brood run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	"\n"
	"Runs a program to its end; whatever it started ends with it.\n"
	"  --timeout DURATION     stop it after so long: 500ms, 5s, 10m (status 124)\n"
	"  --kill-after DURATION  by SIGKILL, when it has not ended so long after SIGTERM; 0: at once (2s)\n"
	"  --json                 its output and how it ended as one JSON record\n"
	"  --tail N               the last N lines of its output alone, at its end\n"
	"  --limit SIZE           keep so much of each stream for these two: 4096, 64KiB, 1GiB (1MiB)\n"
	"  --no-contain           leave what it started in the background alone\n"
	"  --cwd DIR              run it there\n"
	"  --env NAME=VALUE       with this in its environment; may be repeated\n"
	"  --input FILE           with its standard input from there\n"
	"\n"
	"Exit status: the program's, 128 + N when signal N ended it, 124 after a time-out, 125 when brood run\n"
	"itself failed, 126 when the program cannot be executed, 127 when it was not found.\n";

struct options {
	struct follow_opts follow;
	bool json, no_contain;
	int64_t tail, limit; /* lines, bytes; 0: not given */
	const char *cwd, *input;
	const char **env; /* owned; NULL ends */
	size_t n_env;
	const char *const *argv;
};

/* Returns the exit status. */
__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("brood run: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return FAILED;
}

static int read_duration(const char *option, int64_t *ret_ns)
{
	if (parse_duration(optarg, ret_ns) == 0)
		return 0;
	return complain("%s: '%s' is no duration such as 500ms, 5s or 10m", option, optarg);
}

static int read_env(struct options *options)
{
	if (*optarg == '=' || strchr(optarg, '=') == NULL)
		return complain("--env: '%s' is not NAME=VALUE", optarg);
	options->env[options->n_env++] = optarg;
	return 0;
}

static int read_option(int option, struct options *options)
{
	switch (option) {
	case 't':
		return read_duration("--timeout", &options->follow.timeout_ns);
	case 'k':
		options->follow.kill_on_term = true;
		return read_duration("--kill-after", &options->follow.kill_after_ns);
	case 'j':
		options->json = true;
		return 0;
	case 'n':
		if (parse_count(optarg, &options->tail) < 0 || options->tail == 0)
			return complain("--tail: '%s' is no number of lines, 1 or more", optarg);
		return 0;
	case 'l':
		if (parse_size(optarg, &options->limit) < 0 || options->limit == 0)
			return complain("--limit: '%s' is no size such as 4096, 64KiB or 16MiB",
					optarg);
		return 0;
	case 'N':
		options->no_contain = true;
		return 0;
	case 'c':
		options->cwd = optarg;
		return 0;
	case 'e':
		return read_env(options);
	case 'i':
		options->input = optarg;
		return 0;
	case 'h':
		fputs(usage, stdout);
		return -1;
	default: /* getopt has said what is wrong */
		fputs("'brood run --help' lists the options\n", stderr);
		return FAILED;
	}
}

/* Returns 0, -1 when that was all, or an exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "kill-after", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "tail", required_argument, NULL, 'n' },
		{ "limit", required_argument, NULL, 'l' },
		{ "no-contain", no_argument, NULL, 'N' },
		{ "cwd", required_argument, NULL, 'c' },
		{ "env", required_argument, NULL, 'e' },
		{ "input", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static char name[] = "brood run"; /* for the words of getopt */
	int option, r = 0;

	argv[0] = name;
	/* '+': the first word that is no option is the program; what follows is its own. */
	while (r == 0 && (option = getopt_long(argc, argv, "+h", known, NULL)) != -1)
		r = read_option(option, options);
	if (r != 0)
		return r;
	options->argv = (const char *const *)argv + optind;
	if (*options->argv == NULL)
		return complain("no program given; 'brood run --help' lists the options");
	if (options->limit != 0 && !options->json && options->tail == 0)
		return complain("--limit goes with --json or --tail");
	return 0;
}

static brood_popen_opts plan(const struct options *options, brood_fail *fail)
{
	bool kept = options->json || options->tail != 0;
	const brood_stdio piped = { .kind = kept ? BROOD_STDIO_PIPE : BROOD_STDIO_INHERIT };
	const brood_sink sink = {
		.kind = options->tail != 0 ? BROOD_SINK_TAIL : BROOD_SINK_MEMORY,
		.limit = (size_t)(options->limit != 0 ? options->limit : KEEP),
	};
	brood_popen_opts plan = {
		.spawn = { .cwd = options->cwd,
			   .env_edits = options->env,
			   .out = piped,
			   .err = piped,
			   .signals = BROOD_SIGNALS_INHERIT,
			   .contain = !options->no_contain,
			   .fail = fail },
	};

	if (options->input != NULL)
		plan.spawn.in = (brood_stdio){ .kind = BROOD_STDIO_FILE, .path = options->input };
	if (kept)
		plan.out = plan.err = sink;
	return plan;
}

static int status_of_failure(int r, const brood_fail *fail)
{
	if (strcmp(fail->step, "interpreter") == 0)
		return CANNOT_EXECUTE;
	if (strcmp(fail->step, "exec") != 0)
		return FAILED;
	return r == -ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
}

static int status_of_end(const struct record *record)
{
	if (record->timed_out)
		return TIMED_OUT;
	if (record->exit.kind == BROOD_SIGNALLED)
		return 128 + record->exit.value;
	if (record->exit.kind != BROOD_EXITED)
		return complain("%s ended, and its status is not known", record->argv[0]);
	return record->exit.value;
}

/* What is to be shown at the end. Returns `status`, or that it failed. */
static int tell(const struct options *options, const struct record *record, int status)
{
	int r = 0;

	if (options->json) {
		r = record_write(record, 1);
	} else if (options->tail != 0 && record->error == NULL) {
		r = record_put(1, record->out.data, record->out.size);
		if (r == 0)
			r = record_put(2, record->err.data, record->err.size);
	}
	return r < 0 ? complain("cannot write: %s", strerror(-r)) : status;
}

static int follow_started(const struct options *options, brood_popen *popen, int64_t started_ns,
			  struct record *record)
{
	int r = follow(popen, &options->follow, &record->timed_out);

	record->pid = brood_popen_pid(popen);
	record->wall_ns = brood_now() - started_ns;
	brood_popen_poll(popen, &record->exit);
	if (options->json || options->tail != 0) {
		brood_popen_output(popen, 1, &record->out);
		brood_popen_output(popen, 2, &record->err);
	}
	if (options->tail != 0) {
		record_cut(&record->out, options->tail);
		record_cut(&record->err, options->tail);
	}
	if (r == 0)
		return tell(options, record, status_of_end(record));
	record->error = strerror(-r);
	return tell(options, record, complain("%s: stopped: %s", record->argv[0], strerror(-r)));
}

static int run(const struct options *options)
{
	struct record record = { .argv = options->argv, .tail = options->tail != 0 };
	int64_t started_ns = brood_now();
	brood_fail fail = { .step = NULL };
	const brood_popen_opts opts = plan(options, &fail);
	brood_popen *popen;
	char words[400];
	int r, status;

	signal(SIGCHLD,
	       SIG_DFL); /* who started us may have ignored it, and the status would be lost */
	r = follow_prepare();
	if (r < 0)
		return complain("pipe: %s", strerror(-r));
	r = brood_popen_start(options->argv, &opts, &popen);
	if (r == 0) {
		status = follow_started(options, popen, started_ns, &record);
		brood_popen_free(popen);
		return status;
	}
	record.error = words;
	brood_fail_format(&fail, words, sizeof(words));
	complain("%s", words);
	return tell(options, &record, status_of_failure(r, &fail));
}

int run_main(int argc, char **argv)
{
	struct options options = { .follow = { .kill_after_ns = KILL_AFTER },
				   .env = calloc((size_t)argc + 1, sizeof(char *)) };
	int status;

	if (options.env == NULL)
		return complain("%s", strerror(ENOMEM));
	status = read_options(argc, argv, &options);
	if (status == 0)
		status = run(&options);
	free(options.env);
	return status < 0 ? 0 : status;
}
