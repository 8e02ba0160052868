/* A library to be preloaded: the clock of day is wrong by as many seconds as a file says.
 *
 * The file, named by BROOD_CLOCK_SHIFT, is read at each look at the clock, so that a test sets the clock of a
 * running program by writing to it. The monotonic clock stays what it is. The kernel's own waits until a time of
 * day are not shifted. */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t shift(void)
{
	const char *path = getenv("BROOD_CLOCK_SHIFT");
	char text[32];
	ssize_t n = -1;
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return (time_t)strtoll(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int r = (int)syscall(SYS_clock_gettime, clock, now);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += shift();
	return r;
}

int gettimeofday(struct timeval *now, void *zone)
{
	int r = (int)syscall(SYS_gettimeofday, now, zone);

	if (r == 0)
		now->tv_sec += shift();
	return r;
}

time_t time(time_t *now)
{
	struct timespec exact;

	clock_gettime(CLOCK_REALTIME, &exact);
	if (now != NULL)
		*now = exact.tv_sec;
	return exact.tv_sec;
}
