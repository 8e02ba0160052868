/* subclass - an object that runs, in a process of its own
 *
 *	class Worker(Process):
 *	    def __init__(self, n): super().__init__(); self.n = n
 *	    def run(self): print(f'In {self.name}: {self.n}')
 *	jobs = [Worker(n) for n in range(5)]
 *	for p in jobs: p.start()
 *	for p in jobs: p.join()
 */
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

	for (int n = 0; n < 5; n++) {
		jobs[n].n = n;
		if (brood_process_start_run(run, &jobs[n], BROOD_NO_ARGS, NULL, &jobs[n].process) <
		    0)
			return 1;
	}
	for (int n = 0; n < 5; n++) {
		brood_process_join(jobs[n].process, BROOD_FOREVER, NULL);
		brood_process_unref(jobs[n].process);
	}
	return 0;
}
