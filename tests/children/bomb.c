/* bomb METHOD never|first - a program that starts a process by that method: without brood_init(), or with it
 *
 * It says "main" each time that its main() runs. */
#include <brood/process.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int function(const brood_args *args)
{
	(void)args;
	return puts("function") < 0;
}

int main(int argc, char **argv)
{
	static const char *const methods[] = { "", "fork", "spawn", "forkserver" };
	brood_fail fail = { .step = NULL };
	brood_process_opts opts = { .fail = &fail };
	brood_process *p;
	brood_exit end;
	char line[400];

	/* The process that it starts has no words. */
	if (argc < 3 || strcmp(argv[2], "first") == 0)
		brood_init();
	while (argc >= 3 && opts.method < BROOD_START_FORKSERVER &&
	       strcmp(methods[opts.method], argv[1]) != 0)
		opts.method++;
	puts("main");
	(void)fflush(stdout);
	if (brood_process_start(function, BROOD_NO_ARGS, &opts, &p) < 0) {
		brood_fail_format(&fail, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
		return 1;
	}
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	return brood_exit_code(&end);
}
