/* stamp FILE - a job that says when it ended
 *
 * FILE holds two 64-bit numbers in the machine's order: how many nanoseconds to run, and, written
 * by the last store before the exit, the time of the end (CLOCK_MONOTONIC). */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	volatile int64_t *shared;
	struct timespec now;
	int64_t run;

	if (fd < 0)
		return 1;
	shared = mmap(NULL, 2 * sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return 1;
	run = shared[0];
	nanosleep(&(struct timespec){ .tv_sec = run / SECOND, .tv_nsec = run % SECOND }, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	shared[1] = now.tv_sec * SECOND + now.tv_nsec;
	_exit(0);
}
