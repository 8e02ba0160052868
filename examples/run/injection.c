/* injection - what a shell would obey stays data
 *
 * Passes each of the strings below, and those on the command line, to a program in three ways: as a word
 * (no shell there), as $1 of a shell's command line, and quoted into one, for the rare place that takes text only
 * (ssh). Each time the program must have got the very string. */
#include <brood/brood.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const strings[] = {
	"; touch injected",
	"$(touch injected)",
	"`touch injected`",
	"| touch injected",
	"& touch injected &",
	"> injected",
	"' ; touch injected ; '",
	"\" ; touch injected ; \"",
	"$HOME * ? ~ !! \\",
	"two  words\tand\na line",
	"--help",
	"",
};

static bool arrives(const char *const argv[], bool shell, const char *string)
{
	const brood_run_opts opts = { .capture = true, .check = true, .shell = shell };
	brood_run_result echo;
	bool same = brood_run(argv, &opts, &echo) == 0 && strcmp(echo.out, string) == 0;

	brood_run_result_fini(&echo);
	return same;
}

static bool arrives_quoted(const char *string)
{
	char *line = NULL;
	bool same = brood_shell_join(BROOD_ARGV("printf", "%s", string), &line) == 0 &&
		    arrives(BROOD_ARGV(line), true, string);

	free(line);
	return same;
}

static int try(const char *string)
{
	bool as_word = arrives(BROOD_ARGV("printf", "%s", string), false, string);
	bool as_parameter = arrives(BROOD_ARGV("printf %s \"$1\"", "sh", string), true, string);
	bool quoted = arrives_quoted(string);

	printf("word %s, parameter %s, quoted %s: [%s]\n", as_word ? "same" : "CHANGED",
	       as_parameter ? "same" : "CHANGED", quoted ? "same" : "CHANGED", string);
	return as_word && as_parameter && quoted ? 0 : 1;
}

int main(int argc, char **argv)
{
	int changed = 0;

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		changed += try(strings[i]);
	for (int i = 1; i < argc; i++)
		changed += try(argv[i]);
	return changed == 0 ? 0 : 1;
}
