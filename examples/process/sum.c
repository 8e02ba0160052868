/* sum [PROCESSES [N [leave]]] - processes that add up 0 to N - 1, 8 and 100,000,000 of them by default
 *
 * sum.py is the same in Python, and prints the same.
 *
 * Who is not joined is waited for all the same, at the end of the program. */
#include <brood/process.h>
#include <brood/segment.h>
#include <brood/value.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shared {
	brood_value total, left;
};

static int add(const brood_args *args)
{
	int64_t last = brood_args_int(args, 3), part = 0, sum = 0, left = 0;

	for (volatile int64_t i = brood_args_int(args, 2); i < last; i++)
		part += i;
	if (brood_value_add(brood_args_value(args, 0), part, &sum) < 0 ||
	    brood_value_add(brood_args_value(args, 1), -1, &left) < 0)
		return 1;
	if (left == 0 && brood_value_get_int(brood_args_value(args, 0), &sum) == 0)
		printf("%" PRId64 "\n", sum);
	return 0;
}

int main(int argc, char **argv)
{
	int n_jobs = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 8, failed = 0;
	int64_t n = argc > 2 ? strtoll(argv[2], NULL, 10) : 100000000;
	bool leave = argc > 3 && strcmp(argv[3], "leave") == 0;
	brood_process *jobs[64];
	brood_segment *segment;
	struct shared *shared;
	brood_exit end;

	brood_init(); /* so that the end of main() waits for them */
	if (n_jobs < 1 || n_jobs > 64 || brood_segment_new(sizeof(*shared), NULL, &segment) < 0)
		return 2;
	shared = brood_segment_data(segment);
	brood_value_init(&shared->total, 'q');
	brood_value_init(&shared->left, 'q');
	brood_value_set_int(&shared->left, n_jobs);
	for (int i = 0; i < n_jobs; i++)
		if (brood_process_start(add,
					BROOD_ARGS(&shared->total, &shared->left, i * n / n_jobs,
						   (i + 1) * n / n_jobs),
					NULL, &jobs[i]) < 0)
			return 1;
	for (int i = 0; i < n_jobs; i++) {
		if (!leave) {
			brood_process_join(jobs[i], BROOD_FOREVER, &end);
			failed |= !brood_exit_ok(&end);
		}
		brood_process_unref(jobs[i]);
	}
	printf("main line: the end\n");
	(void)fflush(stdout);
	brood_segment_unref(segment);
	return failed;
}
