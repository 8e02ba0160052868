/* daemon [join] - a daemon ends with its parent, if that does not wait for it; others are waited for
 *
 *	d = Process(name='daemon', target=daemon, daemon=True)
 *	n = Process(name='non-daemon', target=non_daemon)
 *	d.start(); n.start()
 *	if 'join' in sys.argv: d.join()
 */
#include <brood/process.h>

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

	brood_init(); /* returning from main() ends what belongs to it, in order */
	if (brood_process_start(
		    run, BROOD_ARGS(join ? 1 : 1000),
		    &(brood_process_opts){ .name = "daemon", .daemon = BROOD_DAEMON_YES },
		    &daemon) < 0 ||
	    brood_process_start(run, BROOD_ARGS(0.5), &(brood_process_opts){ .name = "non-daemon" },
				&other) < 0)
		return 1;
	if (join)
		brood_process_join(daemon, BROOD_FOREVER, NULL);
	brood_process_unref(daemon);
	brood_process_unref(other);
	return 0;
}
