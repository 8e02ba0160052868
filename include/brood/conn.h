/* brood/conn.h - messages between processes, over a pipe or a socket
 *
 *	brood_conn *to_child, *to_parent;
 *	char line[80];
 *
 *	brood_pipe(true, &to_child, &to_parent);
 *	if (fork() == 0) {
 *		brood_conn_free(to_child);
 *		_exit(brood_conn_send_bytes(to_parent, "hello", 5, BROOD_FOREVER) < 0);
 *	}
 *	brood_conn_free(to_parent);
 *	brood_conn_recv_into(to_child, line, sizeof(line), BROOD_FOREVER);
 *
 * A message is a number of bytes, 0 allowed, and comes out as it went in. On the wire it is what CPython's
 * multiprocessing.connection writes, so that an unmodified CPython may be at the other end. Each
 * connection is two directions, or one of them; using the other is -EACCES. An end that is closed
 * (and in every process that has it) is told at the other: -EPIPE, and no signal.
 *
 * Time-outs  Each call has one. If it passes before anything of the message went or came, nothing has happened.
 *            If it passes in the middle, what went or came is kept, and the next call goes on there: see
 *            brood_conn_send_bytes().
 * Too large  A message that the caller's buffer cannot hold stays: -EMSGSIZE, and
 *            brood_conn_next_size() tells how much it takes. Longer than .most: -EFBIG, for good.
 * Broken     A direction in which a message was torn is broken for good: -ECONNRESET, its end came inside
 *            of a message; -EPROTO, what came is no message, or a descriptor that nobody awaited;
 *            -EBADMSG, somebody was killed, timed out or failed in the middle of one and nobody can go
 *            on there. A message is whole, or is not received.
 * Fork       A forked child may use a connection, too. Unless it is .shared, one process at a time sends,
 *            and one receives; a direction that keeps something (part of a message, or what was read
 *            ahead) is of the process that did so, and -ECHILD elsewhere.
 * .shared    Any number of processes and threads send and receive at the same connection: each
 *            direction has a lock in shared memory, and a killed user blocks nobody. While it waits it leaves
 *            no trace. Of local sockets, which brood_pipe_with() makes for this, messages of up to 4 KiB are
 *            sent and taken in one step: killed there, it takes at most that one along. In the middle of a
 *            larger one it breaks the direction: -EBADMSG for all.
 * .read_ahead  One read takes all the small messages that have come. Only where one process receives: what
 *            was read ahead is seen by brood_conn_poll() and brood_wait(), but not by a poll(2) of one's
 *            own, and by no other process. While messages come one behind the other, who waits for the next may
 *            wait awake for some microseconds, and be given it that much later, so as to find several.
 * Threads    One sends while another receives; more than that needs .shared. Nobody may use it while
 *            another closes. Signal handlers that interrupt a call are no trouble to it. */
#ifndef BROOD_CONN_H
#define BROOD_CONN_H

#include <brood/pickle.h>
#include <brood/segment.h>
#include <sys/uio.h>

BROOD_BEGIN_DECLS

typedef struct brood_conn brood_conn;

typedef struct brood_conn_opts {
	bool shared;       /* several senders, several receivers at this end */
	size_t read_ahead; /* bytes to read at once; 0: never more than the message. Not with .shared */
	uint64_t most;     /* the largest message to receive; 0: no limit */
	brood_fail *fail;
} brood_conn_opts;

/** Make a pipe: two connected ends. Duplex: a pair of sockets, and each end sends and receives.
 * Otherwise a pipe, the first end receives, the second sends: as Python's Pipe(duplex).
 * Returns: 0, and the ends in *ret_a and *ret_b.
 * Errors:  -EMFILE, -ENFILE, -ENOMEM; and those of the options.
 * Owns:    the caller, until brood_conn_free() of each.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_pipe(bool duplex, brood_conn **ret_a, brood_conn **ret_b);

/** The same, with options for both ends; NULL: none.
 * Returns: 0, and the ends in *ret_a and *ret_b.
 * Errors:  as brood_pipe(); -EINVAL: .shared and .read_ahead (step "options"); -ENOTSUP: no robust locks
 *          here (brood/lock.h).
 * Owns:    the caller, until brood_conn_free() of each.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_pipe_with(bool duplex, const brood_conn_opts *opts, brood_conn **ret_a,
			      brood_conn **ret_b);

/** Make a connection of a descriptor: a stream socket, or the end of a pipe. Its directions are those in which it
 * is open. It is made close-on-exec, and stays otherwise as it is.
 * Returns: 0, and the connection in *ret_conn.
 * Errors:  -EBADF: not open; -EINVAL: a socket of another type, or one that listens (step "descriptor"), or options
 *          that exclude each other (step "options"); -ENOMEM; -ENOTSUP as above.
 * Owns:    the connection owns `fd` on success, the caller owns the connection.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_conn_new_take(int fd, const brood_conn_opts *opts, brood_conn **ret_conn);

/** Close its descriptor; the handle stays, and all uses but those two are -EBADF. What was
 * kept of messages is forgotten. Again: nothing happens.
 * Returns: 0.
 * Errors:  none.
 * Owns:    the handle stays the caller's.
 * Safe:    processes. */
BROOD_API int brood_conn_close(brood_conn *conn);

/** Close and free it. NULL is fine.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    processes. */
BROOD_API brood_conn *brood_conn_free(brood_conn *conn);

/** Its descriptor, to be inherited, or polled for reading.
 * Returns: the descriptor.
 * Errors:  -EBADF: closed.
 * Owns:    the connection: never close it.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_conn_fd(const brood_conn *conn);

/** Whether it can receive; a closed one cannot.
 * Returns: true or false.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API bool brood_conn_is_readable(const brood_conn *conn);

/** Whether it can send; a closed one cannot.
 * Returns: true or false.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API bool brood_conn_is_writable(const brood_conn *conn);

/** Whether it was closed.
 * Returns: true or false.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API bool brood_conn_is_closed(const brood_conn *conn);

/** Send a message.
 * When time is up in the middle of it the rest is copied: -EINPROGRESS. The message counts as sent, and must not be
 * sent again; what is left of it goes ahead of whatever is sent next, or by brood_conn_flush().
 * With .shared nothing can be left behind: the direction is broken.
 * Returns: 0.
 * Errors:  -EPIPE: nobody will receive it; -ETIMEDOUT: nothing of it was sent; -EINPROGRESS; -EBADMSG: broken
 *          (above); -ECHILD; -EACCES: it only receives; -EBADF: closed; -EINVAL: no data, or too much; -ENOMEM.
 * Owns:    nothing; `data` stays the caller's.
 * Safe:    threads, processes, as above; not in a signal handler. */
BROOD_API int brood_conn_send_bytes(brood_conn *conn, const void *data, size_t size,
				    int64_t timeout_ns);

/** Send several messages, in as few writes as possible.
 * Returns: how many count as sent: all, unless something came in the way. The last of them may be on its
 *          way in half, as above, and brood_conn_flush() says whether it is.
 * Errors:  as brood_conn_send_bytes(), if not one was sent.
 * Owns:    nothing.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API ssize_t brood_conn_send_many(brood_conn *conn, const struct iovec *messages, size_t n,
				       int64_t timeout_ns);

/** Send what a call that timed out has left behind.
 * Returns: 0: there is nothing left.
 * Errors:  -ETIMEDOUT: there still is; the others as brood_conn_send_bytes().
 * Owns:    nothing.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API int brood_conn_flush(brood_conn *conn, int64_t timeout_ns);

/** Receive a message into new memory, which grows with what comes: a peer that announces more than it sends costs
 * nothing.
 * Returns: 0, the message in *ret_data, never NULL, and its size in *ret_size.
 * Errors:  -EPIPE: the other end is closed, and all was received; -ETIMEDOUT; -ENOMEM, and the message stays;
 *          -EFBIG: longer than .most; -ECONNRESET, -EPROTO, -EBADMSG: broken (above); -ECHILD; -EACCES: it only
 *          sends; -EBADF: closed.
 * Owns:    the caller frees *ret_data with free().
 * Safe:    threads, processes, as above; not in a signal handler. */
BROOD_API int brood_conn_recv_bytes(brood_conn *conn, int64_t timeout_ns, void **ret_data,
				    size_t *ret_size);

/** Receive a message into the caller's memory.
 * Returns: its size, which may be 0.
 * Errors:  as brood_conn_recv_bytes(); -EMSGSIZE: it is longer than `size`, and stays; -EINVAL: no memory.
 * Owns:    nothing. After a failure `buf` may hold anything.
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API ssize_t brood_conn_recv_into(brood_conn *conn, void *buf, size_t size,
				       int64_t timeout_ns);

/** Wait for a message, and tell its size. It stays, for whoever is the first to receive.
 * Returns: the size.
 * Errors:  as brood_conn_recv_bytes().
 * Owns:    nothing.
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API ssize_t brood_conn_next_size(brood_conn *conn, int64_t timeout_ns);

/** Wait until there is something to receive: a message, the first bytes of one, or the end.
 * Returns: 0.
 * Errors:  -ETIMEDOUT; -ECHILD; -EACCES: it only sends; -EBADF: closed.
 * Owns:    nothing.
 * Safe:    threads, processes; with .shared another may be faster, and receive it. */
BROOD_API int brood_conn_poll(brood_conn *conn, int64_t timeout_ns);

/** Send an object, as Python's send() does: its pickle is the message.
 * Returns: 0.
 * Errors:  as brood_conn_send_bytes(); those of brood_pickle_dumps() before anything is sent, with
 *          opts->fail filled.
 * Owns:    nothing; `object` stays the caller's.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API int brood_conn_send(brood_conn *conn, const brood_object *object,
			      const brood_pickle_opts *opts, int64_t timeout_ns);

/** Receive an object, as Python's recv() does, and without the danger: nothing in a pickle acts (brood/pickle.h).
 * Returns: 0, and the object in *ret_object.
 * Errors:  as brood_conn_recv_bytes(); those of brood_pickle_loads(), with opts->fail filled: then the message
 *          was taken, and the next one can be received.
 * Owns:    the caller, until brood_object_free().
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API int brood_conn_recv(brood_conn *conn, const brood_pickle_opts *opts, int64_t timeout_ns,
			      brood_object **ret_object);

/** How many descriptors go with one call; the kernel's limit. */
#define BROOD_CONN_FDS_MOST 253

/** Send a descriptor, as CPython's multiprocessing.reduction.send_handle() does: over a local socket
 * (brood_pipe(true, …), or a listener's at a path). The other end must receive it by brood_conn_recv_fd();
 * any other way of receiving is broken by it.
 * Returns: 0.
 * Errors:  -EOPNOTSUPP: not a local socket; -EBADF: closed, or `fd` is not open; -ETOOMANYREFS: too many are
 *          on their way; -EINVAL; the others as brood_conn_send_bytes().
 * Owns:    `fd` stays the caller's; the other end gets one of its own.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API int brood_conn_send_fd(brood_conn *conn, int fd, int64_t timeout_ns);

/** The same of `n` descriptors, 1 to BROOD_CONN_FDS_MOST.
 * Returns: 0. Errors: as brood_conn_send_fd().
 * Owns:    they stay the caller's.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API int brood_conn_send_fds(brood_conn *conn, const int *fds, size_t n, int64_t timeout_ns);

/** Receive a descriptor; close-on-exec.
 * Returns: the descriptor.
 * Errors:  -ENOMSG: what comes next has none; it is a message, and stays; -EMSGSIZE: more
 *          came, and are closed; -EMFILE: this process may not have so many, and all are closed; -EOPNOTSUPP: not a local
 *          socket, or .read_ahead; -EPROTO; the others as brood_conn_recv_bytes().
 * Owns:    the caller closes it.
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API int brood_conn_recv_fd(brood_conn *conn, int64_t timeout_ns);

/** Receive descriptors that were sent by one call, `most` at most.
 * Returns: how many are in `fds`. Errors: as brood_conn_recv_fd().
 * Owns:    the caller closes them.
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API int brood_conn_recv_fds(brood_conn *conn, int *fds, size_t most, int64_t timeout_ns);

/** Send a connection over another. One that is .shared takes its locks along, so that sender and receiver may both
 * use it; all who have it must then be in one PID namespace, and trust each other.
 * Returns: 0.
 * Errors:  as brood_conn_send_fd(); -EBUSY: `sent` keeps part of a message, or what was read ahead.
 * Owns:    `sent` stays the caller's.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API int brood_conn_send_conn(brood_conn *conn, const brood_conn *sent, int64_t timeout_ns);

/** Receive a connection; it is .shared if it was, whatever `opts` says.
 * Returns: 0, and the connection in *ret_conn.
 * Errors:  as brood_conn_recv_fd() and brood_conn_new_take(), after which it is lost.
 * Owns:    the caller, until brood_conn_free().
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API int brood_conn_recv_conn(brood_conn *conn, const brood_conn_opts *opts,
				   int64_t timeout_ns, brood_conn **ret_conn);

/** Send a segment (brood/segment.h) over a local socket, as a body of any size that nobody copies: fill it, send it, and the
 * receiver maps the very same memory. Two ends that keep it mapped need only tell each other whose turn it is.
 * It stays shared: what either end writes into it later the other sees. brood_segment_seal() with BROOD_SEAL_WRITE, before
 * it is sent, keeps the receiver from writing; the sender's own mapping still does. Between two
 * ends of brood it is agreed upon by calling these two; it is brood_conn_send_fd() on the wire, so that CPython gets a
 * descriptor of it by recv_handle(), and nothing else by itself. Elsewhere (pipes, TCP) send bytes.
 * Returns: 0.
 * Errors:  -EPERM: it can be shrunk: a named one; -EBADF: closed; the others as brood_conn_send_fd().
 * Owns:    `segment` stays the caller's, who may let it go at once: it lives as long as somebody has it, or it is
 *          on its way.
 * Safe:    as brood_conn_send_bytes(). */
BROOD_API int brood_conn_send_segment(brood_conn *conn, const brood_segment *segment,
				      int64_t timeout_ns);

/** Receive a segment. Its size is sealed, so that no access to it can be a SIGBUS, whatever the sender does then, unless it
 * punches holes into reserved huge pages; its content is the sender's to change. It is mapped for reading if it is
 * sealed against writing. Of the options .raw, .read_only and .fail count; with .raw any
 * memfd is taken that is sealed against shrinking.
 * Returns: 0, and a handle with one reference in *ret_segment.
 * Errors:  -ENOMSG: what comes next is a message, and stays: receive it by brood_conn_recv_bytes(); -EPERM: it is not sealed
 *          against shrinking (step "seals"); -EFBIG: it is, or may grow, longer than .most; -ENODATA, -EBADMSG, -EPROTONOSUPPORT, … as brood_segment_attach();
 *          after these it is lost, and the next can be received; the others as brood_conn_recv_fd().
 * Owns:    the caller, until brood_segment_unref().
 * Safe:    as brood_conn_recv_bytes(). */
BROOD_API int brood_conn_recv_segment(brood_conn *conn, const brood_segment_opts *opts,
				      int64_t timeout_ns, brood_segment **ret_segment);

BROOD_END_DECLS
#endif
