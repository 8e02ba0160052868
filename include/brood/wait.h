/* brood/wait.h - wait for many things at once
 *
 *	brood_waitable items[] = { { .conn = first }, { .queue = tasks }, { .fd = STDIN_FILENO } };
 *
 *	if (brood_wait(items, 3, BROOD_FOREVER) > 0)
 *		for (int i = 0; i < 3; i++)
 *			if (items[i].ready)
 *				printf("%d is ready\n", i);
 *
 * An item is a connection (brood/conn.h), a queue (brood/queue.h) or a descriptor: a socket, a pipe, a listener's
 * (brood_listener_fd()), a process's (a pidfd). It is ready when there is something to receive, also the end. Any number of
 * them, in any order, one of them twice if need be. Nothing is allocated for up to 64. To wait for a queue in which there is
 * nothing starts a thread of this process, once, as brood_queue_poll_fd() does. */
#ifndef BROOD_WAIT_H
#define BROOD_WAIT_H

#include <brood/conn.h>
#include <brood/queue.h>

BROOD_BEGIN_DECLS

typedef struct brood_waitable {
	brood_conn *conn; /* NULL: it is the queue, or the descriptor */
	int fd;
	bool ready;         /* the answer */
	brood_queue *queue; /* NULL: it is the connection, or the descriptor */
} brood_waitable;

/** Wait until one of the items is ready, and say which are: of all that are at that moment. After a failure `ready`
 * may be anything.
 * Returns: how many are ready.
 * Errors:  -ETIMEDOUT: none in time (timeout_ns <= 0: now); -EBADF: one is closed; -EACCES: a connection that only
 *          sends; -ECHILD: one that keeps something of another process; -EINVAL: no items and no time-out, or more
 *          than RLIMIT_NOFILE; -ENOMEM; of a queue: as brood_queue_poll_fd().
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API ssize_t brood_wait(brood_waitable *items, size_t n, int64_t timeout_ns);

BROOD_END_DECLS
#endif
