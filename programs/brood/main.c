/* brood: one command, its parts are subcommands, as with git */
#include <brood/brood.h>
#include <stdio.h>
#include <string.h>

#include "run/run.h"
#include "serve/serve.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "run", run_main, "run a program to its end, with all that it starts" },
	{ "serve", serve_main, "run programs on HTTP requests, and keep account of them" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *to)
{
	fprintf(to, "usage: brood COMMAND [ARGUMENT...]\n       brood --version\n\ncommands:\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
	fprintf(to, "\n'brood COMMAND --help' says more.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("brood %s\n", brood_version());
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	fprintf(stderr, "brood: there is no command '%s'; 'brood --help' lists them\n", argv[1]);
	return 2;
}
