/* Connections are looked at before they are polled: what was read ahead is not in the descriptor. If one of
 * them is ready by itself, nobody waits, but all are asked. */
#include <brood/wait.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "ipc/conn.h"
#include "os/clock.h"

#define FEW 64

/* Marks what is ready by itself. Returns whether something is, or -errno. */
static int look(brood_waitable *items, size_t n, struct pollfd *polled)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int one = items[i].conn != NULL ? bri_conn_look(items[i].conn) : 0;

		if (one < 0)
			return one;
		items[i].ready = one > 0;
		r |= one;
		polled[i] = (struct pollfd){ .fd = items[i].conn != NULL ? items[i].conn->fd :
									   items[i].fd,
					     .events = POLLIN };
		if (polled[i].fd < 0)
			return -EBADF;
	}
	return r;
}

static ssize_t mark(brood_waitable *items, size_t n, const struct pollfd *polled)
{
	ssize_t ready = 0;

	for (size_t i = 0; i < n; i++) {
		if (polled[i].revents & POLLNVAL)
			return -EBADF;
		items[i].ready = items[i].ready || polled[i].revents != 0;
		ready += items[i].ready;
	}
	return ready > 0 ? ready : -ETIMEDOUT;
}

static ssize_t wait_for(brood_waitable *items, size_t n, struct pollfd *polled, int64_t deadline)
{
	int r = look(items, n, polled);

	if (r < 0)
		return r;
	if (r > 0)
		deadline = 0;
	r = bri_poll(polled, n, deadline);
	return r < 0 ? r : mark(items, n, polled);
}

ssize_t brood_wait(brood_waitable *items, size_t n, int64_t timeout_ns)
{
	bri_cleanup(bri_freep) struct pollfd *many = NULL;
	int64_t deadline = bri_deadline(timeout_ns);
	struct pollfd few[FEW];

	if (n == 0 && timeout_ns == BROOD_FOREVER)
		return -EINVAL;
	if (n > FEW) {
		many = calloc(n, sizeof(*many));
		if (many == NULL)
			return -ENOMEM;
	}
	return wait_for(items, n, many != NULL ? many : few, deadline);
}
