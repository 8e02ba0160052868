/* Sending: a message is put whole, or what is left of it stays behind and goes first the next time. */
#include "ipc/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/fd.h"

#define PACKED ((size_t)16 << 10)   /* small messages that are sent in one piece */
#define ONE_STEP ((size_t)16 << 10) /* what a local socket takes whole or not at all */
#define TINY ((size_t)512)
#define SMALL ((size_t)1 << 10)       /* what is cheaper copied than pointed at */
#define ROOM_MOST (SSIZE_MAX - 4096L) /* what one message may have */

/* A message that a pipe cannot hold makes it as large as an unprivileged user may have it. */
static void grow(brood_conn *conn, size_t size)
{
	if (size + BRI_FRAME_HEAD_MOST <= BRI_PIPE_KERNEL || conn->grown)
		return;
	conn->grown = true;
	if (!conn->out.is_socket)
		fcntl(conn->fd, F_SETPIPE_SZ, (int)BRI_PIPE_LARGE);
}

/* Drops the first `n` bytes of the pieces. */
static void advance(struct iovec **pieces, int *n_pieces, size_t n)
{
	while (*n_pieces > 0 && n >= (*pieces)->iov_len) {
		n -= (*pieces)->iov_len;
		(*pieces)++;
		(*n_pieces)--;
	}
	if (*n_pieces > 0) {
		(*pieces)->iov_base = (char *)(*pieces)->iov_base + n;
		(*pieces)->iov_len -= n;
	}
}

static void at_border(brood_conn *conn)
{
	if (conn->segment != NULL)
		bri_direction_set_busy(&conn->common->out, false);
}

/* Makes sure that a kill finds the direction at a border, or busy. What is small goes in one step, which does not
 * wait; *ret_done says how much of it went. */
static int begin(brood_conn *conn, const struct iovec *pieces, int n, int64_t deadline,
		 size_t *ret_done)
{
	size_t size = 0;
	ssize_t done;
	int r;

	for (int i = 0; i < n; i++)
		size += pieces[i].iov_len;
	if (size > (conn->out.is_socket ? ONE_STEP : PIPE_BUF)) {
		r = bri_stream_wait(&conn->out, POLLOUT, deadline);
		if (r == 0)
			bri_direction_set_busy(&conn->common->out, true);
		return r;
	}
	do {
		r = bri_stream_wait(&conn->out, POLLOUT, deadline);
		done = r < 0 ? r : bri_stream_write(&conn->out, pieces, n, 0);
	} while (done == -ETIMEDOUT && r == 0);
	if (done < 0)
		return (int)done;
	bri_direction_set_busy(&conn->common->out, (size_t)done < size);
	*ret_done += (size_t)done;
	return 0;
}

/* Writes the pieces, which it changes; *ret_done counts, whatever comes in the way. When something does, in the
 * middle, the direction stays busy until its caller has looked where that is. */
static int put(brood_conn *conn, struct iovec *pieces, int n, int64_t deadline, size_t *ret_done)
{
	ssize_t done;
	int r = 0;

	/* Nothing may be noted as begun while there is no room to begin. */
	if (conn->segment != NULL) {
		r = begin(conn, pieces, n, deadline, ret_done);
		if (r < 0)
			return r;
		advance(&pieces, &n, *ret_done);
	}
	while (n > 0) {
		done = bri_stream_write(&conn->out, pieces, n, deadline);
		if (done < 0) {
			r = (int)done;
			break;
		}
		*ret_done += (size_t)done;
		advance(&pieces, &n, (size_t)done);
	}
	if (r == 0 || *ret_done == 0)
		at_border(conn);
	return r;
}

/* `r` has come in the way when part of a message was written, and these pieces are the rest of it. */
static int leave_behind(brood_conn *conn, int r, const struct iovec *pieces, int n)
{
	size_t size = 0;

	if (r == -EPIPE) {
		at_border(conn); /* nobody is there to whom it matters */
		return r;
	}
	if (r != -ETIMEDOUT || conn->segment != NULL) {
		bri_direction_break(&conn->common->out, -EBADMSG);
		return r;
	}
	for (int i = 0; i < n; i++)
		size += pieces[i].iov_len;
	conn->rest = malloc(size);
	if (conn->rest == NULL) {
		bri_direction_break(&conn->common->out, -EBADMSG);
		return -ENOMEM;
	}
	conn->rest_at = conn->rest_end = 0;
	for (int i = 0; i < n; i++) {
		memcpy(conn->rest + conn->rest_end, pieces[i].iov_base, pieces[i].iov_len);
		conn->rest_end += pieces[i].iov_len;
	}
	return -EINPROGRESS;
}

int bri_conn_flush(brood_conn *conn, int64_t deadline)
{
	struct iovec piece;
	int r;

	if (conn->rest == NULL)
		return 0;
	piece = (struct iovec){ conn->rest + conn->rest_at, conn->rest_end - conn->rest_at };
	r = put(conn, &piece, 1, deadline, &conn->rest_at);
	if (r == 0) {
		free(conn->rest);
		conn->rest = NULL;
	}
	return r;
}

static int send_one(brood_conn *conn, const void *data, size_t size, int64_t deadline)
{
	unsigned char head[BRI_FRAME_HEAD_MOST];
	size_t head_size = bri_frame_head(size, head), done = 0;
	struct iovec pieces[2] = { { head, head_size }, { (void *)data, size } };
	struct iovec *rest = pieces;
	int n = size > 0 ? 2 : 1, r;

	grow(conn, size);
	r = put(conn, pieces, n, deadline, &done);
	if (r == 0 || done == 0)
		return r;
	pieces[0] = (struct iovec){ head, head_size };
	pieces[1] = (struct iovec){ (void *)data, size };
	advance(&rest, &n, done);
	return leave_behind(conn, r, rest, n);
}

/* Of a message that has begun, this is the rest. */
static int send_rest(brood_conn *conn, const struct iovec *piece, int64_t deadline)
{
	struct iovec left = *piece;
	size_t done = 0;
	int r = put(conn, &left, 1, deadline, &done);

	if (r == 0)
		return 0;
	left = (struct iovec){ (char *)piece->iov_base + done, piece->iov_len - done };
	return leave_behind(conn, r, &left, 1);
}

/* The common case, copied into one piece: not shared, nothing left behind, and TINY at most. */
static int send_tiny(brood_conn *conn, const void *data, size_t size, int64_t deadline)
{
	unsigned char message[BRI_FRAME_HEAD_MOST + TINY];
	struct iovec piece = { message, 0 };
	ssize_t done;

	piece.iov_len = bri_frame_head(size, message) + size;
	if (size > 0)
		memcpy(message + piece.iov_len - size, data, size);
	done = bri_stream_write(&conn->out, &piece, 1, deadline);
	if (done == (ssize_t)piece.iov_len)
		return 0;
	if (done < 0)
		return (int)done;
	piece.iov_base = message + done;
	piece.iov_len -= (size_t)done;
	return send_rest(conn, &piece, deadline);
}

static bool is_message(const void *data, size_t size)
{
	return size == 0 || (data != NULL && size <= (size_t)ROOM_MOST);
}

int brood_conn_send_bytes(brood_conn *conn, const void *data, size_t size, int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r;

	if (!is_message(data, size))
		return -EINVAL;
	r = bri_conn_enter_out(conn, deadline);
	if (r < 0)
		return r;
	if (size <= TINY && conn->segment == NULL && conn->rest == NULL)
		return (int)bri_conn_leave_out(conn, send_tiny(conn, data, size, deadline));
	r = bri_conn_flush(conn, deadline);
	if (r == 0)
		r = send_one(conn, data, size, deadline);
	return (int)bri_conn_leave_out(conn, r);
}

/* ---- many */

/* Copies as many small messages as have room, each with its head. Returns how many. */
static size_t pack(const struct iovec *messages, size_t n, unsigned char *packed, size_t *ret_size)
{
	size_t i, at = 0;

	for (i = 0; i < n && messages[i].iov_len <= SMALL; i++) {
		size_t size = messages[i].iov_len;

		if (at + BRI_FRAME_HEAD_MOST + size > PACKED)
			break;
		at += bri_frame_head(size, packed + at);
		if (size > 0)
			memcpy(packed + at, messages[i].iov_base, size);
		at += size;
	}
	*ret_size = at;
	return i;
}

/* `done` bytes of packed messages were written, and then `r` came in the way. Returns how many messages are
 * sent, or have begun and were left behind; or -errno when it is none. */
static ssize_t settle(brood_conn *conn, const struct iovec *messages, const unsigned char *packed,
		      size_t done, int r)
{
	unsigned char head[BRI_FRAME_HEAD_MOST];
	size_t i = 0, begin = 0, end;

	for (;; i++, begin = end) {
		end = begin + bri_frame_head(messages[i].iov_len, head) + messages[i].iov_len;
		if (end > done)
			break;
	}
	if (begin < done) {
		r = leave_behind(conn, r, &(struct iovec){ (void *)(packed + done), end - done },
				 1);
		i += r == -EINPROGRESS && i > 0;
	} else {
		at_border(conn);
	}
	return i > 0 ? (ssize_t)i : r;
}

/* Sends the first message or, packed, several. Returns how many, or -errno. */
static ssize_t send_some(brood_conn *conn, const struct iovec *messages, size_t n, int64_t deadline)
{
	unsigned char packed[PACKED];
	size_t size, done = 0, count = pack(messages, n, packed, &size);
	int r;

	if (count == 0) {
		r = send_one(conn, messages->iov_base, messages->iov_len, deadline);
		return r < 0 ? r : 1;
	}
	r = put(conn, &(struct iovec){ packed, size }, 1, deadline, &done);
	return r < 0 ? settle(conn, messages, packed, done, r) : (ssize_t)count;
}

ssize_t brood_conn_send_many(brood_conn *conn, const struct iovec *messages, size_t n,
			     int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	size_t sent = 0, all = 0;
	ssize_t r;

	if (n > 0 && messages == NULL)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!is_message(messages[i].iov_base, messages[i].iov_len))
			return -EINVAL;
		all += all <= BRI_PIPE_KERNEL ? messages[i].iov_len : 0;
	}
	r = bri_conn_enter_out(conn, deadline);
	if (r < 0)
		return r;
	grow(conn, all);
	r = bri_conn_flush(conn, deadline);
	while (r >= 0 && sent < n) {
		r = send_some(conn, messages + sent, n - sent, deadline);
		if (r > 0)
			sent += (size_t)r;
		if (conn->rest != NULL)
			break; /* time is up */
	}
	if (r == -EINPROGRESS && sent > 0)
		sent++;
	return bri_conn_leave_out(conn, sent > 0 ? (ssize_t)sent : r);
}

int brood_conn_flush(brood_conn *conn, int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r = bri_conn_enter_out(conn, deadline);

	return r < 0 ? r : (int)bri_conn_leave_out(conn, bri_conn_flush(conn, deadline));
}
