/* daemon [join] - a daemon ends with its parent, if that does not wait for it; others are waited for
 *
 * daemon.py is the same in Python, and prints the same. */
#include <brood/process.h>
#include <brood/queue.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static void say(const char *what)
{
	char name[32];

	brood_process_name(brood_current_process(), name, sizeof(name));
	printf("%s: %s\n", what, name);
	(void)fflush(stdout);
}

static int run(const brood_args *args)
{
	double seconds = brood_args_double(args, 0);

	say("Starting");
	brood_queue_put(brood_args_queue(args, 1), "", 1, 0);
	nanosleep(
		&(struct timespec){ .tv_sec = (time_t)seconds,
				    .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) },
		NULL);
	say("Exiting");
	return 0;
}

int main(int argc, char **argv)
{
	bool join = argc > 1 && strcmp(argv[1], "join") == 0;
	brood_process *daemon = NULL, *other = NULL;
	brood_queue *begun;
	char byte;

	brood_init(); /* returning from main() ends what belongs to it, in order */
	if (brood_queue_new(NULL, &begun) < 0 ||
	    brood_process_start(
		    run, BROOD_ARGS(join ? 1 : 1000, begun),
		    &(brood_process_opts){ .name = "daemon", .daemon = BROOD_DAEMON_YES },
		    &daemon) < 0)
		return 1;
	brood_queue_get(begun, &byte, 1, BROOD_FOREVER);
	if (brood_process_start(run, BROOD_ARGS(0.5, begun),
				&(brood_process_opts){ .name = "non-daemon" }, &other) < 0)
		return 1;
	if (join)
		brood_process_join(daemon, BROOD_FOREVER, NULL);
	brood_process_unref(daemon);
	brood_process_unref(other);
	brood_queue_unref(begun);
	return 0;
}
