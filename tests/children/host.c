/* host CWD PROGRAM [ARG…] - runs the program contained, in CWD, and ends as it ends
 *
 * A start that fails is told on standard output, and is exit status 100. */
#include <brood/spawn.h>

#include <stdio.h>

int main(int argc, char **argv)
{
	brood_fail fail = { .step = NULL };
	brood_child *child;
	brood_exit end;
	char text[400];

	if (argc < 3)
		return 2;
	if (brood_spawn((const char *const *)argv + 2,
			&(brood_spawn_opts){ .cwd = argv[1], .contain = true, .fail = &fail },
			&child) < 0) {
		brood_fail_format(&fail, text, sizeof(text));
		puts(text);
		return 100;
	}
	if (brood_child_wait(child, BROOD_FOREVER, &end) < 0)
		return 101;
	brood_child_free(child);
	return brood_exit_code(&end) & 255;
}
