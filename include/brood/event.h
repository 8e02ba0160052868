/* brood/event.h - a flag that many wait for
 *
 * An event is memory that its users share, as brood/lock.h says of a lock; but nobody owns anything
 * of it, so it works across PID namespaces and C libraries too. Once set it stays set until somebody
 * clears it, and lets everyone through.
 *
 * Death    set() changes the flag and wakes all in one step of the kernel: killed before it nothing has
 *          happened, killed after it all are awake. A killed waiter leaves nothing behind.
 * Missed   A wait that began while the flag was clear ends well if the flag was set at any time since,
 *          also when it was cleared again before the waiter could look.
 *
 * Who must wait for an event and for descriptors at once (poll(2), epoll(7), brood/wait.h, an event loop) takes the
 * other form, brood_event_fd_new(): an event that is a descriptor, which is readable while the event is set. It is
 * inherited, passed to a program that one starts, or sent over a connection (brood_conn_send_fd()), and ends with
 * the last who has it. It costs a system call each time, and has no memory of a set() that was cleared
 * before a waiter could look. */
#ifndef BROOD_EVENT_H
#define BROOD_EVENT_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** An event. The fields are the library's. Aligned to 8. */
typedef struct brood_event {
	uint64_t stamp;
	uint32_t word, unused;
} brood_event;

/** Make one, clear. The memory may hold anything; nobody else may use it yet.
 * Returns: 0. Errors: -EINVAL, no memory or not aligned to 8.
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_init(brood_event *event);

/** Set the flag, and wake all who wait. It never waits itself.
 * Returns: 0. Errors: -EINVAL, no event.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers, also while the interrupted thread waits for the event. */
BROOD_API int brood_event_set(brood_event *event);

/** Clear the flag.
 * Returns: 0. Errors: -EINVAL, no event.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_clear(brood_event *event);

/** Whether the flag is set.
 * Returns: 1 or 0. Errors: -EINVAL, no event.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_is_set(const brood_event *event);

/** Wait until it is set. A signal that is handled meanwhile does not end the wait.
 * Returns: 0: it is set, or was since the call began. Errors: -ETIMEDOUT; -EINVAL, no event.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_wait(brood_event *event, int64_t timeout_ns);

/** How many threads sleep in wait.
 * Returns: their number. Errors: -EINVAL, no event.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_waiters(const brood_event *event);

/** Describe it in a line: "event, clear, 2 waiting".
 * Returns: the length that the whole line has. Errors: -EINVAL, no event.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_event_describe(const brood_event *event, char *buf, size_t size);

/** Make an event that is a descriptor, clear. The number is not inherited by programs unless it is passed.
 * Returns: 0, and the descriptor in *ret_fd. Errors: -EMFILE, -ENFILE, -ENOMEM.
 * Owns:    the caller, who closes it with close(2); so does each process that came to have it.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_event_fd_new(int *ret_fd);

/** Set it: it is readable for all who have it, and all who wait go on. It never waits itself.
 * Returns: 0. Errors: -EBADF; -EINVAL, another kind of descriptor (as far as the kernel can tell by a write of 8 bytes).
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers, also while the interrupted thread waits for it. */
BROOD_API int brood_event_fd_set(int fd);

/** Clear it.
 * Returns: 0. Errors: -EBADF; -EINVAL.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_fd_clear(int fd);

/** Wait until it is set. A signal that is handled meanwhile does not end the wait.
 * Returns: 0: it is set. Errors: -ETIMEDOUT (timeout_ns <= 0: it is clear); -EBADF.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_event_fd_wait(int fd, int64_t timeout_ns);

BROOD_END_DECLS
#endif
