/* sum [PROCESSES [N]] - processes that add up 0 to N - 1, 8 and 100,000,000 of them by default
 *
 *	def add(total, first, last):
 *	    part = sum(range(first, last))
 *	    with total.get_lock(): total.value += part
 *	total = Value('q')
 *	jobs = [Process(target=add, args=(total, i * n // 8, (i + 1) * n // 8)) for i in range(8)]
 */
#include <brood/process.h>
#include <brood/segment.h>
#include <brood/value.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int add(const brood_args *args)
{
	int64_t last = brood_args_int(args, 2), part = 0;

	for (volatile int64_t i = brood_args_int(args, 1); i < last; i++)
		part += i;
	return brood_value_add(brood_args_value(args, 0), part, NULL) < 0;
}

int main(int argc, char **argv)
{
	int n_jobs = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 8, failed = 0;
	int64_t n = argc > 2 ? strtoll(argv[2], NULL, 10) : 100000000, sum;
	brood_process *jobs[64];
	brood_segment *segment;
	brood_value *total;
	brood_exit end;

	if (n_jobs < 1 || n_jobs > 64 || brood_segment_new(sizeof(*total), NULL, &segment) < 0)
		return 2;
	total = brood_segment_data(segment);
	brood_value_init(total, 'q');
	for (int i = 0; i < n_jobs; i++)
		if (brood_process_start(add,
					BROOD_ARGS(total, i * n / n_jobs, (i + 1) * n / n_jobs),
					NULL, &jobs[i]) < 0)
			return 1;
	for (int i = 0; i < n_jobs; i++) {
		brood_process_join(jobs[i], BROOD_FOREVER, &end);
		failed |= !brood_exit_ok(&end);
		brood_process_unref(jobs[i]);
	}
	brood_value_get_int(total, &sum);
	printf("%" PRId64 "\n", sum);
	brood_segment_unref(segment);
	return failed;
}
