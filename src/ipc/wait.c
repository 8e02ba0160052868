/* Connections and queues are looked at before they are polled: what was read ahead is not in the descriptor, and a queue
 * needs one only when there is nothing. If one of them is ready by itself, nobody waits, but all are asked. A queue's descriptor may
 * be set for nothing: so queues are looked at again, and the wait goes on. */
#include <brood/wait.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "ipc/conn.h"
#include "ipc/queue.h"
#include "os/clock.h"

#define FEW 64

/* Whether it is ready by itself: 1 or 0, or -errno. */
static int look_at(const brood_waitable *item)
{
	if (item->conn != NULL)
		return bri_conn_look(item->conn);
	return item->queue != NULL ? bri_queue_ready(item->queue) : 0;
}

/* What to poll; a queue that was looked at has none yet. */
static int descriptor_of(const brood_waitable *item)
{
	if (item->conn != NULL)
		return item->conn->fd;
	return item->queue != NULL ? -1 : item->fd;
}

/* Marks what is ready by itself. Returns whether something is, or -errno. */
static int look(brood_waitable *items, size_t n, struct pollfd *polled)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int one = look_at(&items[i]);

		if (one < 0)
			return one;
		items[i].ready = one > 0;
		r |= one;
		polled[i] = (struct pollfd){ .fd = descriptor_of(&items[i]), .events = POLLIN };
		if (polled[i].fd < 0 && items[i].queue == NULL)
			return -EBADF;
	}
	return r;
}

/* The queues have their descriptors, which are set when there is something from now on, or was by now. */
static int arm(brood_waitable *items, size_t n, struct pollfd *polled)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].queue == NULL || items[i].conn != NULL)
			continue;
		polled[i].fd = brood_queue_poll_fd(items[i].queue);
		if (polled[i].fd < 0)
			return polled[i].fd;
		bri_queue_rearm(items[i].queue);
	}
	return 0;
}

/* How many are ready, or -errno. */
static ssize_t mark(brood_waitable *items, size_t n, const struct pollfd *polled)
{
	ssize_t ready = 0;

	for (size_t i = 0; i < n; i++) {
		int one = polled[i].revents != 0;

		if (polled[i].revents & POLLNVAL)
			return -EBADF;
		if (one && items[i].conn == NULL && items[i].queue != NULL)
			one = bri_queue_ready(items[i].queue);
		if (one < 0)
			return one;
		items[i].ready = items[i].ready || one > 0;
		ready += items[i].ready;
	}
	return ready;
}

static ssize_t wait_for(brood_waitable *items, size_t n, struct pollfd *polled, int64_t deadline)
{
	for (;;) {
		int r = look(items, n, polled), told;
		ssize_t ready;

		if (r == 0 && deadline != 0)
			r = arm(items, n, polled);
		if (r < 0)
			return r;
		told = bri_poll(polled, n, r > 0 ? 0 : deadline);
		if (told < 0)
			return told;
		ready = mark(items, n, polled);
		if (ready != 0 || told == 0)
			return ready != 0 ? ready : -ETIMEDOUT;
	}
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
