/* Descriptors over a connection, as CPython's multiprocessing.reduction sends them: one byte that says how
 * many, without a head, and they come along with it. */
#include "ipc/conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"

#define MOST BROOD_CONN_FDS_MOST
_Static_assert(MOST <= BRI_FDS_MOST, "a message carries them");

/* Elsewhere the kernel takes descriptors and drops them without a word. */
static bool can_carry(const brood_conn *conn)
{
	int domain = 0;
	socklen_t size = sizeof(domain);

	return conn->out.is_socket &&
	       getsockopt(conn->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       domain == AF_UNIX;
}

/* ---- sending */

static int transmit(brood_conn *conn, const int *fds, size_t n, int64_t deadline)
{
	unsigned char count = (unsigned char)n;
	struct iovec body = { &count, 1 };
	union bri_fds_control control;
	struct msghdr message = { .msg_iov = &body, .msg_iovlen = 1 };
	int r;

	bri_fds_pack(&message, &control, fds, n);
	while (sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == ECONNRESET)
			return -EPIPE;
		r = bri_stream_again(&conn->out, errno, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

int brood_conn_send_fds(brood_conn *conn, const int *fds, size_t n, int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r;

	if (fds == NULL || n == 0 || n > MOST)
		return -EINVAL;
	r = bri_conn_enter_out(conn, deadline);
	if (r < 0)
		return r;
	r = can_carry(conn) ? bri_conn_flush(conn, deadline) : -EOPNOTSUPP;
	if (r == 0)
		r = transmit(conn, fds, n, deadline);
	return (int)bri_conn_leave_out(conn, r);
}

int brood_conn_send_fd(brood_conn *conn, int fd, int64_t timeout_ns)
{
	return brood_conn_send_fds(conn, &fd, 1, timeout_ns);
}

/* ---- receiving */

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* Takes a byte and what comes along. Only that tells whether anything does: a look ahead (MSG_PEEK) is told of
 * those of the next byte, too. Returns how many; 0: none, and *ret_byte is of a message. */
static int receive(brood_conn *conn, int fds[MOST], unsigned char *ret_byte, int64_t deadline)
{
	struct iovec body = { ret_byte, 1 };
	union bri_fds_control control;
	struct msghdr message = { .msg_iov = &body, .msg_iovlen = 1 };
	ssize_t got;
	size_t n;
	int r;

	bri_fds_expect(&message, &control, MOST);
	while ((got = recvmsg(conn->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0) {
		r = bri_stream_again(&conn->in, errno, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	if (got == 0)
		return -EPIPE;
	n = bri_fds_unpack(&message, fds); /* fewer, perhaps, than were sent */
	if (!(message.msg_flags & MSG_CTRUNC) && (n == 0 || n == *ret_byte))
		return (int)n;
	close_all(fds, n);
	return message.msg_flags & MSG_CTRUNC ? -EMFILE :
						bri_direction_break(&conn->common->in, -EPROTO);
}

/* What was taken is the first byte of a message, which stays. */
static int put_back(brood_conn *conn, unsigned char byte)
{
	ssize_t r = bri_frame_feed(&conn->common->frame, &byte, 1, NULL);

	return r < 0 ? bri_direction_break(&conn->common->in, (int)r) : -ENOMSG;
}

static int receive_fds(brood_conn *conn, int *fds, size_t most, int64_t deadline)
{
	unsigned char byte;
	int all[MOST], n;

	if (conn->ahead_room > 0 || !can_carry(conn))
		return -EOPNOTSUPP;
	if (conn->common->frame.n_head > 0)
		return -ENOMSG;
	n = bri_conn_begin_in(conn, deadline);
	if (n == 0)
		n = receive(conn, all, &byte, deadline);
	if (n == 0)
		n = put_back(conn, byte);
	bri_conn_end_in(conn);
	if (n > 0 && (size_t)n > most) {
		close_all(all, (size_t)n);
		return -EMSGSIZE;
	}
	if (n > 0)
		memcpy(fds, all, sizeof(int) * (size_t)n);
	return n;
}

int brood_conn_recv_fds(brood_conn *conn, int *fds, size_t most, int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r;

	if (fds == NULL || most == 0)
		return -EINVAL;
	r = bri_conn_enter_in(conn, deadline);
	return r < 0 ? r : (int)bri_conn_leave_in(conn, receive_fds(conn, fds, most, deadline));
}

int brood_conn_recv_fd(brood_conn *conn, int64_t timeout_ns)
{
	int fd = -1, r = brood_conn_recv_fds(conn, &fd, 1, timeout_ns);

	return r < 0 ? r : fd;
}

/* ---- a connection itself */

int brood_conn_send_conn(brood_conn *conn, const brood_conn *sent, int64_t timeout_ns)
{
	int fds[2] = { sent->fd, -1 };

	if (sent->fd < 0)
		return -EBADF;
	if (sent->out_owner != 0 || sent->in_owner != 0)
		return -EBUSY;
	if (sent->segment != NULL)
		fds[1] = brood_segment_fd(sent->segment);
	return brood_conn_send_fds(conn, fds, fds[1] >= 0 ? 2 : 1, timeout_ns);
}

int brood_conn_recv_conn(brood_conn *conn, const brood_conn_opts *opts, int64_t timeout_ns,
			 brood_conn **ret_conn)
{
	int fds[2] = { -1, -1 }, r = brood_conn_recv_fds(conn, fds, 2, timeout_ns);

	if (r < 0)
		return r;
	r = bri_conn_new_take(fds[0], fds[1], opts, ret_conn);
	if (r < 0)
		close(fds[0]);
	bri_closep(&fds[1]);
	return r;
}
