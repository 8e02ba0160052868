/* three - three processes, who of them runs, and how many could
 *
 * three.py is the same in Python, and prints the same. */
#include <brood/process.h>
#include <brood/queue.h>

#include <stdio.h>

static int worker(const brood_args *args)
{
	char c;

	/* Until the parent has counted. */
	brood_queue_get(brood_args_queue(args, 1), &c, 1, BROOD_FOREVER);
	printf("worker %d\n", (int)brood_args_int(args, 0));
	return 0;
}

int main(void)
{
	brood_process *p[3];
	brood_queue *go;
	char line[200];

	if (brood_queue_new(NULL, &go) < 0)
		return 1;
	for (int i = 0; i < 3; i++)
		if (brood_process_start(worker, BROOD_ARGS(i + 1, go), NULL, &p[i]) < 0)
			return 1;
	printf("%d run on %d processors\n", (int)brood_active_children(NULL, 0), brood_cpu_count());
	brood_queue_close(go);
	for (int i = 0; i < 3; i++) {
		brood_process_join(p[i], BROOD_FOREVER, NULL);
		brood_process_describe(p[i], line, sizeof(line));
		puts(line);
		brood_process_unref(p[i]);
	}
	brood_queue_unref(go);
	return 0;
}
