/* value.increment4: PROCESSES processes that add 1 to one value, N times each. Prints millions a second. */
#include <brood/value.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
	brood_value value;
	unsigned ready;
	int64_t from[64], to[64];
};

static void work(struct shared *shared, int self, int processes, long n)
{
	__atomic_fetch_add(&shared->ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < (unsigned)processes)
		usleep(100);
	shared->from[self] = brood_now();
	for (long i = 0; i < n; i++)
		if (brood_value_add(&shared->value, 1, NULL) < 0)
			_exit(1);
	shared->to[self] = brood_now();
	_exit(0);
}

int main(int argc, char **argv)
{
	int processes = argc > 2 ? (int)strtol(argv[1], NULL, 10) : 0;
	long n = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t from = INT64_MAX, to = 0, sum;

	if (processes < 1 || processes > 64 || n < 1 || shared == MAP_FAILED ||
	    brood_value_init(&shared->value, 'q') < 0)
		return 2;
	for (int i = 0; i < processes; i++)
		if (fork() == 0)
			work(shared, i, processes, n);
	for (int i = 0; i < processes; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			return 1;
	}
	for (int i = 0; i < processes; i++) {
		from = shared->from[i] < from ? shared->from[i] : from;
		to = shared->to[i] > to ? shared->to[i] : to;
	}
	if (brood_value_get_int(&shared->value, &sum) < 0 || sum != n * processes)
		return 1;
	printf("%.4f\n", (double)sum / (double)(to - from) * 1e3);
	return 0;
}
