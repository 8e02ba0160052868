/* subclass - an object that runs, in a process of its own
 *
 * subclass.py is the same in Python, and prints the same. */
#include <brood/process.h>

#include <stdio.h>

struct worker {
	int n;
	brood_process *process;
};

static int run(void *self, const brood_args *args)
{
	const struct worker *worker = self;
	char name[32];

	(void)args;
	brood_process_name(brood_current_process(), name, sizeof(name));
	printf("In %s: %d\n", name, worker->n);
	return 0;
}

int main(void)
{
	struct worker jobs[5];
	char name[32];

	for (int n = 0; n < 5; n++) {
		const brood_process_opts opts = { .name = name };

		jobs[n].n = n;
		snprintf(name, sizeof(name), "Worker-%d", n + 1); /* as Python does by itself */
		if (brood_process_start_run(run, &jobs[n], BROOD_NO_ARGS, &opts, &jobs[n].process) <
		    0)
			return 1;
	}
	for (int n = 0; n < 5; n++) {
		brood_process_join(jobs[n].process, BROOD_FOREVER, NULL);
		brood_process_unref(jobs[n].process);
	}
	return 0;
}
