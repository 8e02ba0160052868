/* The event as a descriptor: an eventfd(2) whose count is the flag. All of it is the kernel's, one call each, so
 * that nobody can be killed half way. */
#include <brood/event.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/clock.h"

int brood_event_fd_new(int *ret_fd)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* It does not wait, so nothing interrupts it. A handler must find errno as it left it. */
static int result_of(ssize_t moved, int saved)
{
	int r = 0;

	if (moved < 0 && errno != EAGAIN)
		r = -errno;
	else if (moved >= 0 && moved != sizeof(uint64_t))
		r = -EINVAL;
	errno = saved;
	return r;
}

int brood_event_fd_set(int fd)
{
	uint64_t one = 1;
	int saved = errno;

	/* -EAGAIN: the count is at its end, so it is set. */
	return result_of(write(fd, &one, sizeof(one)), saved);
}

int brood_event_fd_clear(int fd)
{
	uint64_t count;
	int saved = errno;

	/* -EAGAIN: it is clear. */
	return result_of(read(fd, &count, sizeof(count)), saved);
}

int brood_event_fd_wait(int fd, int64_t timeout_ns)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	int r;

	/* poll(2) leaves a negative one out. */
	if (fd < 0)
		return -EBADF;
	r = bri_poll(&polled, 1, bri_deadline(timeout_ns));
	if (r <= 0)
		return r < 0 ? r : -ETIMEDOUT;
	return (polled.revents & POLLNVAL) != 0 ? -EBADF : 0;
}
