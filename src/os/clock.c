#include "os/clock.h"

#include <errno.h>
#include <poll.h>

int64_t brood_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * BROOD_SEC + now.tv_nsec;
}

int64_t bri_deadline(int64_t timeout_ns)
{
	int64_t now;

	if (timeout_ns <= 0)
		return 0;
	now = brood_now();
	return timeout_ns > BROOD_FOREVER - now ? BROOD_FOREVER : now + timeout_ns;
}

struct timespec *bri_remaining(int64_t deadline, struct timespec *storage)
{
	int64_t left;

	if (deadline == BROOD_FOREVER)
		return NULL;
	left = deadline == 0 ? 0 : deadline - brood_now();
	if (left < 0)
		left = 0;
	storage->tv_sec = left / BROOD_SEC;
	storage->tv_nsec = left % BROOD_SEC;
	return storage;
}

int bri_wait_readable(int fd, int64_t deadline)
{
	struct pollfd wanted = { .fd = fd, .events = POLLIN };
	struct timespec storage;
	int r;

	do
		r = ppoll(&wanted, 1, bri_remaining(deadline, &storage), NULL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}
