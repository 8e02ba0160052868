/* plain alone|threads - a program without brood_init() that starts a process by the method which is the default
 *
 * It says by which, "fork" or "server", or why it did not. */
#include <brood/process.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int function(const brood_args *args)
{
	bool forked = getppid() == brood_process_pid(brood_parent_process());

	(void)args;
	return puts(forked ? "fork" : "server") < 0;
}

static void *wait_long(void *unused)
{
	pause();
	return unused;
}

int main(int argc, char **argv)
{
	brood_fail fail = { .step = NULL };
	pthread_t thread;
	brood_process *p;
	brood_exit end;
	char line[400];

	if (argc > 1 && strcmp(argv[1], "threads") == 0 &&
	    pthread_create(&thread, NULL, wait_long, NULL) != 0)
		return 2;
	if (brood_process_start(function, BROOD_NO_ARGS, &(brood_process_opts){ .fail = &fail },
				&p) < 0) {
		brood_fail_format(&fail, line, sizeof(line));
		puts(line);
		return 1;
	}
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	return brood_exit_code(&end);
}
