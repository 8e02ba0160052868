/* brood/queue.h - messages from any process to any other, through shared memory that no SIGKILL spoils
 *
 *	brood_queue *tasks;
 *	char host[256];
 *	ssize_t n;
 *
 *	brood_queue_new(NULL, &tasks);
 *	if (fork() == 0) {
 *		while ((n = brood_queue_get(tasks, host, sizeof(host), BROOD_FOREVER)) >= 0)
 *			printf("%.*s\n", (int)n, host);
 *		_exit(n == -EPIPE ? 0 : 1);
 *	}
 *	brood_queue_put(tasks, "router1", 7, BROOD_FOREVER);
 *	brood_queue_close(tasks);
 *	brood_queue_unref(tasks);
 *
 * A queue has any number of putters and getters, processes and threads. Messages are bytes, of any size from 0
 * to the queue's limit, and come out whole, each once, in the order in which they were put. There
 * is no thread behind it (but for brood_queue_poll_fd(), if it is called) and nothing to flush: when put returns, the
 * message is there, size and empty say so at once, and it stays when the putter ends.
 *
 * Bounds   The bytes of all messages are limited (1 MiB, unless .bytes says more or less), and, if asked for
 *          (.items), their number. A message costs its size, rounded up to 8, and 8 bytes more; one as
 *          large as .bytes fits into an empty queue. A put into a full queue waits.
 * Place    Unnamed by default, a descriptor (memfd): forked children have the queue, others are sent or
 *          inherit brood_queue_fd() and attach. Or under a name in /dev/shm (.name): see brood/segment.h for how
 *          that comes and goes. Memory is used as far as messages ever reached; where .bytes is more than 4 MiB, it is
 *          given back behind the getters, so that it may be a limit and no plan. A named queue has all of it from the start.
 * End      brood_queue_close() says that nothing more will come. Puts are refused with -EPIPE from then on, gets give what
 *          is there, and then -EPIPE, to all; who sleeps is woken. No 'STOP' messages needed.
 *          brood_queue_discard() drops what is there, too. Where putters say so by brood_queue_produce(), the queue ends by
 *          itself when the last of them has ended or died.
 * Death    Whoever is killed, at whatever instruction: a message is in the queue whole, or not at all; the others
 *          go on, and nobody sleeps for whom there is something to do. A getter that is killed after
 *          it took a message takes that along (get_many: those that it took); what it has by brood_queue_take()
 *          comes again. A closer that is killed in the middle may leave the queue open; if a waiting putter was told of the end,
 *          all are. Stopped is not dead: a process stopped inside a put or get holds up that end of the
 *          queue, or, where it is about to sleep, for a moment the other one; who only tries
 *          (timeout_ns <= 0) gives up after a tenth of a second then.
 * Leases   brood_queue_take() is a get for work that must not be lost: a message whose taker dies comes again. Reserve and
 *          commit are a put without the copy. Both lie beside the ring, in room for as many as the queue was made with,
 *          each as large as messages ever were; and they cost a put or get some speed.
 * Speed    A thread that has an end of the queue to itself soon uses it without any lock; the first other one that
 *          comes, or falls asleep at the other end, takes some microseconds to end that. Where
 *          membarrier(2) is refused all take turns by a lock.
 * Waiting  Of those who wait at one end one sleeps on the queue and the rest in line behind it, and the kernel passes
 *          that on when it dies. Who comes by when there is something takes it, past the line.
 * Threads  Any thread may call anything, on one handle or several.
 * Fork     A forked child has the handle, too, and may use it at once; its references are its own.
 * Signals  A handler may put and get; -EDEADLK when the thread that it interrupts is doing the same, or is about to sleep
 *          at the other end.
 * Host     As for locks (brood/lock.h): -ENOTSUP without the C library's robust list, -EXDEV for users in another PID
 *          namespace than the maker's. */
#ifndef BROOD_QUEUE_H
#define BROOD_QUEUE_H

#include <brood/base.h>
#include <sys/uio.h>

BROOD_BEGIN_DECLS

typedef struct brood_queue brood_queue;

/** The limit of bytes, unless another is asked for. With the 8 of one message it makes a power of two, which the memory is. */
#define BROOD_QUEUE_BYTES (((size_t)1 << 20) - 8)

typedef struct brood_queue_opts {
	uint64_t items; /* most messages at a time; 0: as many as the bytes hold */
	size_t bytes; /* most bytes at a time; 0: BROOD_QUEUE_BYTES; more than 4 MiB take that much address space twice */
	const char *name; /* in /dev/shm, without a slash; NULL: unnamed */
	bool keep;        /* named: outlives its users; a sweep leaves it */
	unsigned
		leases; /* most messages that are taken and not acked at a time, up to 60; 0: there is no take */
	unsigned reservations; /* most at a time, up to 60; 0: there is no reserve */
	brood_fail *fail;
} brood_queue_opts;

/** A message that was taken: the thread's own until brood_queue_ack() or brood_queue_give_back(). The first three are for
 * the caller, who leaves the rest alone. It may be copied; one of the copies is given back. */
typedef struct brood_lease {
	const void *message;
	size_t size;
	unsigned
		deliveries; /* how often it was taken: 1, or more if others died at it or gave it back */
	unsigned nth;
	uint64_t number;
	brood_queue *queue;
} brood_lease;

/** Room for a message to be, until brood_queue_commit() or brood_queue_cancel(). The first two are for the caller. */
typedef struct brood_reservation {
	void *room;
	size_t size;
	unsigned nth;
	uint64_t number;
	brood_queue *queue;
} brood_reservation;

/** Make a queue, empty.
 * Returns: 0, and a handle with one reference in *ret_queue.
 * Errors:  -EINVAL, more than 60 leases or reservations; -EFBIG: more than 2^40 bytes, or than RLIMIT_FSIZE;
 *          -ENOTSUP (above); else, for its memory and name, as brood_segment_new().
 * Owns:    the caller, until brood_queue_unref().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_queue_new(const brood_queue_opts *opts, brood_queue **ret_queue);

/** Open the queue `name`, which somebody made.
 * Returns: 0, and a handle with one reference in *ret_queue.
 * Errors:  -EBADMSG: it is no queue, or of another version or C library; -EXDEV, -ENOTSUP (above); else as
 *          brood_segment_open(): -ENOENT, -EACCES, …
 * Owns:    the caller, until brood_queue_unref(). The name stays whatever happens.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_queue_open(const char *name, brood_queue **ret_queue);

/** Attach to the queue behind the descriptor `fd`, inherited or received.
 * Returns: 0, and a handle with one reference in *ret_queue.
 * Errors:  as brood_queue_open(); -EBADF.
 * Owns:    the caller, until brood_queue_unref(). `fd` is duplicated and stays the caller's.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_queue_attach(int fd, brood_queue **ret_queue);

/** The descriptor, to be inherited or sent; close-on-exec.
 * Returns: the descriptor. Errors: -EINVAL, no queue.
 * Owns:    the queue: never close it.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_fd(const brood_queue *queue);

/** Take another reference.
 * Returns: `queue`.
 * Errors:  none.
 * Owns:    the caller, until brood_queue_unref().
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_queue *brood_queue_ref(brood_queue *queue);

/** Give a reference back; the last one of this process unmaps it, ends the thread of brood_queue_poll_fd() and closes that
 * descriptor. NULL is fine. The messages stay as long as
 * somebody has the queue, or it has a name.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_queue *brood_queue_unref(brood_queue *queue);

/** Remove its name; who has it goes on.
 * Returns: 0. Errors: -EINVAL, no queue; -ENOENT: it has no name (any more); -EACCES.
 * Owns:    nothing.
 * Safe:    threads, processes. */
BROOD_API int brood_queue_unlink(brood_queue *queue);

/** Put a message in, or wait until there is room for it.
 * Returns: 0. Errors: -ETIMEDOUT (timeout_ns <= 0: there was no room); -EPIPE: the queue is closed; -EMSGSIZE: larger
 *          than the queue's bytes; -EINVAL, no queue, or no message of some size; -EXDEV, -ENOTSUP, -EDEADLK (above);
 *          -ENOLCK, the thread holds too many locks.
 * Owns:    nothing; the message was copied.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_put(brood_queue *queue, const void *message, size_t size,
			      int64_t timeout_ns);

/** Take the oldest message, or wait for one.
 * Returns: its size, which may be 0. Errors: -ETIMEDOUT (timeout_ns <= 0: there was none); -EPIPE: the queue is closed and
 *          empty; -EMSGSIZE: it is larger than `size`, and stays; brood_queue_peek() tells how large, or brood_queue_get_many()
 *          instead; -EBADMSG: somebody has written over the queue's memory; else as brood_queue_put().
 * Owns:    nothing; `buf` of `size` bytes is the caller's.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_get(brood_queue *queue, void *buf, size_t size, int64_t timeout_ns);

/** Look at the oldest message, or wait for one; it stays. Another may take it before we do.
 * Returns: its whole size; as much as `size` of it is in `buf`. Errors: as brood_queue_get(), but -EMSGSIZE.
 * Owns:    nothing; `buf`, which may be NULL with `size` 0, is the caller's.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_peek(brood_queue *queue, void *buf, size_t size, int64_t timeout_ns);

/** Put several messages in, in one step: as many as there is room for now, and at least one, for which it waits.
 * Others see them all at once, and no message of another between them.
 * Returns: how many, of the first. Errors: as brood_queue_put(), of the first; -EINVAL also if n is 0.
 * Owns:    nothing; the messages were copied.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_put_many(brood_queue *queue, const struct iovec *messages, size_t n,
				       int64_t timeout_ns);

/** Take up to `n` messages in one step: as many as there are now and have room in `buf`, and at least one, for which
 * it waits. They lie in `buf` one behind the other, each from a multiple of 8 on. One that was taken before, and comes again,
 * comes alone.
 * Returns: how many; where each lies is in ret_messages. Errors: as brood_queue_get(), of the first; with -EMSGSIZE its size is
 *          ret_messages[0].iov_len; -EINVAL also if n is 0.
 * Owns:    nothing; `buf` of `size` bytes and ret_messages, an array of `n`, are the caller's.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_get_many(brood_queue *queue, void *buf, size_t size,
				       struct iovec *ret_messages, size_t n, int64_t timeout_ns);

/** Take the oldest message for as long as one works on it, or wait for one; first those that come again. It is read in place.
 * When the calling thread ends before it has acked, however that comes about, or calls exec, the message comes
 * again, before all others, to whoever takes or gets; who waits for one is woken. Needs .leases; while all of
 * them are out, it waits, too. A closed queue ends when its last lease was acked: until then that may come again.
 * Returns: the message's size, and the lease in *ret_lease; the queue has a reference more until that ends. Errors: as
 *          brood_queue_get(), but -EMSGSIZE; -EINVAL also without ret_lease; -EOPNOTSUPP: the queue has no leases.
 * Owns:    the calling thread, until it gives the lease back; no other, and no forked child.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_take(brood_queue *queue, int64_t timeout_ns, brood_lease *ret_lease);

/** The work for a message that was taken is done: it does not come again, and counts as by brood_queue_task_done().
 * Returns: 0, and *lease is cleared. Errors: -EINVAL: no lease of this queue, or no longer; -EPERM: another thread's;
 *          -EOPNOTSUPP; -EXDEV, -ENOTSUP, -EDEADLK, -ENOLCK: it is ours still.
 * Owns:    the lease is over, and its message must not be read any more.
 * Safe:    threads, processes; signal handlers, if the queue has a reference beside the lease's. */
BROOD_API int brood_queue_ack(brood_queue *queue, brood_lease *lease);

/** Let another have a message that was taken: it comes again, at once and before all others.
 * Returns: 0, and *lease is cleared. Errors: as brood_queue_ack(), but -EDEADLK and -ENOLCK.
 * Owns:    as brood_queue_ack().
 * Safe:    as brood_queue_ack(). */
BROOD_API int brood_queue_give_back(brood_queue *queue, brood_lease *lease);

/** How many messages are taken and neither acked nor given back, by the living; brood_queue_size() does not count them.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_leased(const brood_queue *queue);

/** Reserve room for a message of up to `size` bytes, to write it in place, or wait for some. It is beside the queue: others put
 * meanwhile, and what the queue holds counts the message when it is committed. When the calling thread ends before that, or
 * calls exec, nothing was put. Needs .reservations; one is taken until its message was got, so that with all of them filled it
 * waits until then.
 * Returns: 0, and the room in *ret_reservation; the queue has a reference more until that ends. Errors: as
 *          brood_queue_put(); -EINVAL also without ret_reservation; -EOPNOTSUPP: the queue has no reservations.
 * Owns:    the calling thread, until it commits or cancels; no other, and no forked child.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_reserve(brood_queue *queue, size_t size, int64_t timeout_ns,
				  brood_reservation *ret_reservation);

/** Put the first `size` bytes of the room in, as a message, without copying them; or wait until the queue may hold it.
 * Returns: 0, and *reservation is cleared. Errors: -EINVAL: no reservation of this queue, or no longer; -EPERM: another
 *          thread's; -EMSGSIZE: more than was reserved; -EOPNOTSUPP; else as brood_queue_put(): it is ours still.
 * Owns:    the room is the queue's, and must not be written to any more.
 * Safe:    threads, processes; signal handlers, if the queue has a reference beside the reservation's. */
BROOD_API int brood_queue_commit(brood_queue *queue, brood_reservation *reservation, size_t size,
				 int64_t timeout_ns);

/** Give a reservation back; nothing was put.
 * Returns: 0, and *reservation is cleared. Errors: -EINVAL, -EPERM, -EOPNOTSUPP, -EXDEV, -ENOTSUP.
 * Owns:    as brood_queue_commit().
 * Safe:    as brood_queue_commit(). */
BROOD_API int brood_queue_cancel(brood_queue *queue, brood_reservation *reservation);

/** Say that nothing more will come: see End, above. Again is fine.
 * Returns: 0. Errors: -EINVAL, -EXDEV, -ENOTSUP, -EDEADLK, -ENOLCK.
 * Owns:    nothing; the handle stays the caller's.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_close(brood_queue *queue);

/** Close it, and drop what is in it: from one moment on its size is 0 and gets say -EPIPE at once, and brood_queue_join()
 * waits for nothing but what was taken before (which still comes again, if it is a lease). If it is killed before that moment the queue may be closed, or not; if
 * somebody who waits in brood_queue_join(), or comes to, was told of it, he does the rest. Again is fine.
 * Returns: 0. Errors: as brood_queue_close().
 * Owns:    nothing; the handle stays the caller's.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_discard(brood_queue *queue);

/** Say that the calling thread is one of the producers, until brood_queue_retire(). When the last one that said so has
 * retired, or its thread has ended, of whatever, SIGKILL and exec included, the queue ends as by brood_queue_close(): who waits
 * to get is told, or the next who tries, and brood_queue_is_closed() says so from then on. Others may put, too, but nobody
 * waits for them. A thread may say so several times, and retires as often. Let a producer
 * say so before the one that starts it retires, or the end may come between; a forked child says so for itself.
 * Returns: 0. Errors: -EPIPE: the queue is closed; -EUSERS: there are 60; -EINVAL, -EXDEV, -ENOTSUP, -EDEADLK,
 *          -ENOLCK.
 * Owns:    a place of the thread, until brood_queue_retire(); the last reference of this process gives back those of its own
 *          thread, other threads retire before.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_produce(brood_queue *queue);

/** Say that the calling thread puts nothing more.
 * Returns: 0. Errors: -EPERM: it has not said that it does; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing any more.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_retire(brood_queue *queue);

/** A descriptor for poll(2) and its kin, of this process: readable when there may be something to get, a message or the end.
 * Only a get (peek, get_many) of this process that finds nothing makes it unreadable again; another process may have been quicker.
 * So readable means: get with a timeout of 0, until that says -ETIMEDOUT. The first call starts a thread, all signals
 * blocked, asleep until the queue is no more empty; nothing but this call and brood_wait() does. That producers have died,
 * or that a lease comes again, it sees after a tenth of a second. A forked child calls it anew, and gets its own.
 * Returns: the descriptor. Errors: -EAGAIN: no more threads; -EMFILE, -ENFILE, -ENOMEM; -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    the queue: never read, write or close it. It is closed with the last reference.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_queue_poll_fd(brood_queue *queue);

/** Whether it is closed; there may be messages in it.
 * Returns: 1 or 0. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_is_closed(const brood_queue *queue);

/** How many messages are there to be had, exactly, at a moment during the call.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_size(const brood_queue *queue);

/** Whether there is no message in it.
 * Returns: 1 or 0. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_empty(const brood_queue *queue);

/** Whether there is not even room for a message of 0 bytes.
 * Returns: 1 or 0. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_full(const brood_queue *queue);

/** Say that the work for one message is done, for those who wait in brood_queue_join(); any process may.
 * Returns: 0. Errors: -EINVAL, no queue, or that was said for every message that was ever put; -EXDEV, -ENOTSUP,
 *          -EDEADLK, -ENOLCK.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_task_done(brood_queue *queue);

/** Wait until brood_queue_task_done() was said for each message that was put. A getter that is killed before it could
 * say so leaves that to others.
 * Returns: 0. Errors: -ETIMEDOUT (timeout_ns <= 0: some are unfinished); -EINVAL, -EXDEV, -ENOTSUP, -EDEADLK, -ENOLCK.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_queue_join(brood_queue *queue, int64_t timeout_ns);

/** For how many messages brood_queue_task_done() is still to be said.
 * Returns: their number. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_queue_unfinished(const brood_queue *queue);

/** Describe it in a line: "queue, 3 messages of at most 6, 120 bytes of at most 1048584, closed", or behind that ", 2 wait to get", to
 * put, to join: those that sleep, in whatever process, and among who waits to get the helper of each brood_queue_poll_fd().
 * Returns: the length that the whole line has, as snprintf does. Errors: -EINVAL, -EXDEV, -ENOTSUP.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_queue_describe(const brood_queue *queue, char *buf, size_t size);

BROOD_END_DECLS
#endif
