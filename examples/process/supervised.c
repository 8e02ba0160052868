/* supervised - a worker that crashes is started again, and goes on where it was
 *
 * One worker counts to six in shared memory, and crashes at two and at four; the other one only keeps the beat.
 */
#include <brood/supervisor.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int count(const brood_args *args)
{
	int64_t n = 0;

	for (;;) {
		brood_value_add(brood_args_value(args, 0), 1, &n);
		printf("%d\n", (int)n);
		(void)fflush(stdout);
		if (n == 2 || n == 4)
			raise(SIGKILL);
		if (n == 6)
			return 0;
	}
}

static int beat(const brood_args *args)
{
	(void)args;
	while (brood_supervisor_beat() == 0)
		usleep(10000);
	return 1;
}

int main(void)
{
	brood_supervised_opts worker = { .process.name = "worker",
					 .restart = BROOD_RESTART_TRANSIENT };
	brood_supervised_opts other = { .process.name = "other", .beat_ns = 60 * BROOD_SEC };
	brood_supervisor *s;
	brood_segment *segment;
	brood_value *counter;
	brood_supervised facts;
	unsigned id;

	if (brood_segment_new(sizeof(*counter), NULL, &segment) < 0 ||
	    brood_supervisor_new(&(brood_supervisor_opts){ .intensity = 3 }, &s) < 0)
		return 1;
	counter = brood_segment_data(segment);
	brood_value_init(counter, 'i');
	if (brood_supervisor_add(s, beat, BROOD_NO_ARGS, &other, NULL) < 0 ||
	    brood_supervisor_add(s, count, BROOD_ARGS(counter), &worker, &id) < 0)
		return 1;
	do
		brood_supervisor_run(s, 10 * BROOD_MSEC);
	while (brood_supervisor_look(s, id, &facts) == 0 && facts.state != BROOD_SUPERVISED_ENDED);
	printf("started again %d times, then status %d\n", (int)facts.restarts,
	       facts.last_exit.value);
	brood_supervisor_stop(s, BROOD_FOREVER);
	brood_supervisor_free(s);
	brood_segment_unref(segment);
	return 0;
}
