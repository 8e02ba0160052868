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
	if (timeout_ns == BROOD_FOREVER)
		return BROOD_FOREVER; /* without a look at the clock, which may be a system call */
	now = brood_now();
	return timeout_ns > BROOD_FOREVER - now ? BROOD_FOREVER : now + timeout_ns;
}

int64_t bri_timeout(int64_t deadline)
{
	return deadline == BROOD_FOREVER || deadline == 0 ? deadline : deadline - brood_now();
}

struct timespec *bri_remaining(int64_t deadline, struct timespec *storage)
{
	int64_t left = bri_timeout(deadline);

	if (left == BROOD_FOREVER)
		return NULL;
	if (left < 0)
		left = 0;
	storage->tv_sec = left / BROOD_SEC;
	storage->tv_nsec = left % BROOD_SEC;
	return storage;
}

int bri_poll(struct pollfd *fds, size_t n, int64_t deadline)
{
	struct timespec storage;
	int r;

	do
		r = ppoll(fds, n, bri_remaining(deadline, &storage), NULL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int bri_wait_readable(int fd, int64_t deadline)
{
	int r = bri_poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, deadline);

	if (r < 0)
		return r;
	return r == 0 ? -ETIMEDOUT : 0;
}
