/* primes - four processes fill one shared array, and count in one shared value
 *
 *	primes [LIMIT]      how many primes are below LIMIT (100,000), and the largest
 *
 * Each process marks the multiples in its own part of the array, so that none waits for another;
 * what they found comes together in a value, one atomic addition each. Kill one, and its part is
 * missing: the parent sees how it ended, and says so. The segment has no name and no file, and is
 * gone with the last process, however that ends. */
#include <brood/array.h>
#include <brood/segment.h>
#include <brood/value.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define MOST 10000000

/* What is at the start of the segment; the array follows it. */
struct shared {
	brood_value found;
	brood_array array __attribute__((aligned(64)));
};

static bool is_prime(long number)
{
	if (number < 2)
		return false;
	for (long i = 2; i * i <= number; i++)
		if (number % i == 0)
			return false;
	return true;
}

static int work(struct shared *shared, long from, long to)
{
	unsigned char *is = malloc((size_t)(to - from) + 1);
	long found = 0;
	int r;

	if (is == NULL)
		return 1;
	for (long i = from; i < to; i++)
		found += is[i - from] = is_prime(i);
	r = brood_array_write(&shared->array, from, is, (size_t)(to - from));
	free(is);
	if (r < 0 || brood_value_add(&shared->found, found, NULL) < 0)
		return 1;
	return 0;
}

static int make(long limit, brood_segment **ret_segment)
{
	ssize_t bytes = brood_array_bytes('B', (size_t)limit);
	brood_fail fail = { .step = NULL };
	brood_segment *segment;
	struct shared *shared;
	char text[300];
	int r;

	r = brood_segment_new(sizeof(*shared) + (size_t)bytes,
			      &(brood_segment_opts){ .fail = &fail }, &segment);
	if (r < 0) {
		brood_fail_format(&fail, text, sizeof(text));
		(void)fprintf(stderr, "primes: %s\n", text);
		return r;
	}
	shared = brood_segment_data(segment);
	r = brood_value_init(&shared->found, 'q');
	if (r == 0)
		r = brood_array_init(&shared->array, (size_t)bytes, 'B', (size_t)limit);
	if (r < 0) {
		(void)fprintf(stderr, "primes: %s\n", strerror(-r));
		brood_segment_unref(segment);
		return r;
	}
	*ret_segment = segment;
	return 0;
}

int main(int argc, char **argv)
{
	long limit = argc > 1 ? strtol(argv[1], NULL, 10) : 100000, largest;
	brood_segment *segment;
	struct shared *shared;
	int64_t found = 0, is = 0;
	int lost = 0;

	if (limit < WORKERS || limit > MOST) {
		(void)fprintf(stderr, "primes: a limit from %d to %d\n", WORKERS, MOST);
		return 2;
	}
	if (make(limit, &segment) < 0)
		return 1;
	shared = brood_segment_data(segment);
	for (int i = 0; i < WORKERS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(work(shared, limit * i / WORKERS, limit * (i + 1) / WORKERS));
		lost += pid < 0;
	}
	for (int status; wait(&status) > 0;)
		lost += status != 0;
	for (largest = limit - 1; largest > 0 && is == 0; largest--)
		if (brood_array_get_int(&shared->array, largest, &is) < 0)
			break;
	brood_value_get_int(&shared->found, &found);
	if (lost > 0)
		(void)fprintf(stderr, "primes: %d of %d parts are missing\n", lost, WORKERS);
	printf("%lld primes below %ld, the largest is %ld\n", (long long)found, limit, largest + 1);
	brood_segment_unref(segment);
	return lost > 0;
}
