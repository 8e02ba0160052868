/* Receiving: the head first, which stays in `frame` until its message was taken; then the body.
 *
 * The reader never takes a byte from the descriptor that is not of the message it is at, unless it reads
 * ahead. What has come of a message is kept when time is up, so that none is torn. */
#include "ipc/conn.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "sync/pause.h"
#include "sync/robust.h"

#define SMALL ((size_t)4 << 10)
#define ONE_READ ((size_t)1 << 30)
#define FIRST_ROOM ((size_t)1 << 20) /* of a message that only was announced */

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A reader that reads ahead is faster than who writes message by message: it would find one or two each time, sleep, and
 * cost the writer a wake-up for each. When messages come one behind the other, and the last read had room for many
 * more, it draws breath instead, for less than a sleep and a wake-up take, and finds many. */
static void gather(brood_conn *conn)
{
	bool flows = conn->taken > 1 && conn->ahead_end < conn->ahead_room / 4;
	const struct bri_thread *self = flows ? bri_thread() : NULL;
	unsigned looks = self != NULL ? self->looks / 2 : 0;

	conn->taken = 0;
	while (bri_patient(&looks))
		continue;
}

/* Reads up to `size` bytes, of those that were read ahead if there are any. Returns as bri_stream_read(). */
static ssize_t fetch(brood_conn *conn, void *to, size_t size, int64_t deadline)
{
	size_t there = conn->ahead_end - conn->ahead_at, n = least(size, ONE_READ);
	struct iovec pieces[2] = { { to, n }, { conn->ahead, conn->ahead_room } };
	ssize_t got;

	if (there > 0) {
		n = least(size, there);
		memcpy(to, conn->ahead + conn->ahead_at, n);
		conn->ahead_at += n;
		return (ssize_t)n;
	}
	if (conn->ahead_room > 0 && deadline != 0)
		gather(conn);
	got = bri_stream_read(&conn->in, pieces, conn->ahead_room > 0 ? 2 : 1, deadline);
	if (got <= (ssize_t)n)
		return got;
	conn->ahead_at = 0;
	conn->ahead_end = (size_t)got - n;
	return (ssize_t)n;
}

int bri_conn_begin_in(brood_conn *conn, int64_t deadline)
{
	int r;

	if (conn->segment == NULL)
		return 0;
	r = bri_stream_wait(&conn->in, POLLIN, deadline);
	if (r == 0)
		bri_direction_set_busy(&conn->common->in, true);
	return r;
}

void bri_conn_end_in(brood_conn *conn)
{
	if (conn->segment != NULL)
		bri_direction_set_busy(&conn->common->in, false);
}

/* What a read says besides bytes: whether one can go on there. */
static int refusal(brood_conn *conn, ssize_t got, uint64_t body)
{
	struct bri_direction *side = &conn->common->in;
	int r;

	if (got == -EPROTO)
		return bri_direction_break(side, -EPROTO);
	if (got < 0)
		return (int)got;
	r = bri_frame_end(&conn->common->frame, body, NULL);
	return r < 0 ? bri_direction_break(side, r) : -EPIPE;
}

/* Reads until the head is there, at once if it is. */
static int receive_head(brood_conn *conn, int64_t deadline)
{
	struct bri_frame *frame = &conn->common->frame;
	unsigned char bytes[BRI_FRAME_HEAD_MOST];
	ssize_t got;
	size_t n;
	int r;

	while ((n = bri_frame_wants(frame)) > 0) {
		r = bri_conn_begin_in(conn, deadline);
		if (r < 0)
			return r;
		got = fetch(conn, bytes, n, deadline);
		r = got > 0 ? (int)bri_frame_feed(frame, bytes, (size_t)got, NULL) :
			      refusal(conn, got, 0);
		if (got > 0 && r < 0)
			r = bri_direction_break(&conn->common->in, r == -EMSGSIZE ? -EFBIG : r);
		bri_conn_end_in(conn);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads on to *at, until `size` bytes are there. */
static int receive_body(brood_conn *conn, char *to, size_t *at, size_t size, int64_t deadline)
{
	ssize_t got;
	int r;

	while (*at < size) {
		r = *at == 0 ? bri_conn_begin_in(conn, deadline) : 0;
		got = r < 0 ? r : fetch(conn, to + *at, size - *at, deadline);
		if (got <= 0)
			return refusal(conn, got, *at);
		*at += (size_t)got;
	}
	return 0;
}

/* The message was taken. */
static void next_message(brood_conn *conn)
{
	bri_frame_begin(&conn->common->frame, conn->most);
	conn->part_size = 0;
	conn->taken++;
	if (conn->part_room > FIRST_ROOM) {
		free(bri_take(conn->part));
		conn->part_room = 0;
	}
	bri_conn_end_in(conn);
}

/* `r` has come in the way when `size` bytes of the body had come, which are in `part`. */
static int stop(brood_conn *conn, int r, size_t size)
{
	if (conn->segment != NULL && size > 0) {
		conn->part_size = 0;
		bri_direction_break(&conn->common->in, conn->common->in.broken != 0 ?
							       conn->common->in.broken :
							       -EBADMSG);
	}
	bri_conn_end_in(conn);
	return r;
}

/* The same, and they are in the caller's memory. */
static int keep(brood_conn *conn, int r, const void *data, size_t size)
{
	if (conn->segment == NULL && size > conn->part_size) {
		if (size > conn->part_room) {
			char *part = realloc(conn->part, size);

			if (part == NULL) {
				bri_direction_break(&conn->common->in, -EBADMSG);
				return -ENOMEM;
			}
			conn->part = part;
			conn->part_room = size;
		}
		memcpy(conn->part, data, size);
		conn->part_size = size;
	}
	return stop(conn, r, size);
}

/* ---- small messages of a shared socket: looked at, then taken, so that a kill never finds half of one gone */

struct small {
	struct bri_frame frame;
	size_t head;
	char bytes[BRI_FRAME_HEAD_MOST + SMALL];
};

/* Looks at what comes next; waits for something to come. Returns 1: small->frame is the head of the next message,
 * and 2: all of it is in small->bytes; 0: neither can be seen; or -errno. */
static int look(brood_conn *conn, struct small *small, int64_t deadline)
{
	ssize_t n, head;

	if (conn->segment == NULL || !conn->in.is_socket || conn->common->frame.n_head > 0)
		return 0;
	while ((n = recv(conn->fd, small->bytes, sizeof(small->bytes), MSG_PEEK | MSG_DONTWAIT)) <
	       0) {
		int r = bri_stream_again(&conn->in, errno, POLLIN, deadline);

		if (r < 0)
			return r;
	}
	bri_frame_begin(&small->frame, conn->most);
	head = bri_frame_feed(&small->frame, small->bytes, (size_t)n, NULL);
	if (head < 0 || bri_frame_wants(&small->frame) > 0)
		return 0; /* receive_head() will say why */
	small->head = (size_t)head;
	return small->frame.size <= (uint64_t)(n - head) ? 2 : 1;
}

/* Takes what was seen to be there. */
static int take(brood_conn *conn, struct small *small)
{
	struct iovec piece = { small->bytes, small->head + (size_t)small->frame.size };
	ssize_t n = bri_stream_read(&conn->in, &piece, 1, 0);

	if (n == (ssize_t)piece.iov_len)
		return 0;
	return bri_direction_break(&conn->common->in, n == -EPROTO ? -EPROTO : -EBADMSG);
}

/* What makes reading ahead cheap: the next message lies there whole, and behind a short head. Returns its size; -1: it does
 * not, and all cases are looked at. */
static ssize_t next_ahead(const brood_conn *conn)
{
	size_t there = conn->ahead_end - conn->ahead_at;
	uint32_t size;

	if (there < sizeof(size) || conn->common->frame.n_head > 0)
		return -1;
	memcpy(&size, conn->ahead + conn->ahead_at, sizeof(size));
	size = be32toh(size);
	if (size > BRI_FRAME_SHORT_MOST || size > there - sizeof(size) || size > conn->most)
		return -1;
	return (ssize_t)size;
}

static ssize_t receive_ahead(brood_conn *conn, void *buf, ssize_t size)
{
	conn->ahead_at += sizeof(uint32_t);
	if (size > 0)
		memcpy(buf, conn->ahead + conn->ahead_at, (size_t)size);
	conn->ahead_at += (size_t)size;
	conn->taken++;
	return size;
}

static ssize_t receive_into(brood_conn *conn, void *buf, size_t size, int64_t deadline)
{
	struct small small;
	size_t all, at;
	int r = look(conn, &small, deadline);

	if (r > 0 && small.frame.size > size)
		return -EMSGSIZE;
	if (r == 2) {
		r = take(conn, &small);
		if (r == 0 && small.frame.size > 0)
			memcpy(buf, small.bytes + small.head, (size_t)small.frame.size);
		return r < 0 ? r : (ssize_t)small.frame.size;
	}
	if (r >= 0)
		r = receive_head(conn, deadline);
	if (r < 0)
		return r;
	if (conn->common->frame.size > size)
		return -EMSGSIZE;
	all = (size_t)conn->common->frame.size;
	at = conn->part_size;
	if (at > 0)
		memcpy(buf, conn->part, at);
	r = receive_body(conn, buf, &at, all, deadline);
	if (r < 0)
		return keep(conn, r, buf, at);
	next_message(conn);
	return (ssize_t)all;
}

ssize_t brood_conn_recv_into(brood_conn *conn, void *buf, size_t size, int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	ssize_t whole;
	int r;

	if (size > 0 && buf == NULL)
		return -EINVAL;
	r = bri_conn_enter_in(conn, deadline);
	if (r < 0)
		return r;
	whole = next_ahead(conn);
	if (whole >= 0 && (size_t)whole <= size)
		return bri_conn_leave_in(conn, receive_ahead(conn, buf, whole));
	return bri_conn_leave_in(conn, receive_into(conn, buf, size, deadline));
}

/* Makes room in `part` for what may come next, and for something at all. */
static int make_room(brood_conn *conn, size_t all)
{
	size_t room = conn->part_room > FIRST_ROOM / 2 ? 2 * conn->part_room : FIRST_ROOM;
	char *part;

	if (conn->part_room > conn->part_size || (conn->part != NULL && conn->part_size == all))
		return 0;
	room = least(room, all > 0 ? all : 1);
	part = realloc(conn->part, room);
	if (part == NULL)
		return -ENOMEM;
	conn->part = part;
	conn->part_room = room;
	return 0;
}

static int receive_small(brood_conn *conn, struct small *small)
{
	int r = make_room(conn, (size_t)small->frame.size);

	if (r == 0)
		r = take(conn, small);
	if (r < 0)
		return r;
	memcpy(conn->part, small->bytes + small->head, (size_t)small->frame.size);
	conn->part_size = (size_t)small->frame.size;
	return 0;
}

static int receive_bytes(brood_conn *conn, int64_t deadline)
{
	struct small small;
	int r = look(conn, &small, deadline);
	size_t all;

	if (r == 2)
		return receive_small(conn, &small);
	if (r >= 0)
		r = receive_head(conn, deadline);
	if (r < 0)
		return r;
	if (conn->common->frame.size > SIZE_MAX / 4)
		return -ENOMEM;
	all = (size_t)conn->common->frame.size;
	do {
		r = make_room(conn, all);
		if (r == 0)
			r = receive_body(conn, conn->part, &conn->part_size,
					 least(all, conn->part_room), deadline);
		if (r < 0)
			return stop(conn, r, conn->part_size);
	} while (conn->part_size < all);
	return 0;
}

int brood_conn_recv_bytes(brood_conn *conn, int64_t timeout_ns, void **ret_data, size_t *ret_size)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r = bri_conn_enter_in(conn, deadline);

	if (r < 0)
		return r;
	r = receive_bytes(conn, deadline);
	if (r == 0) {
		*ret_data = conn->part;
		*ret_size = conn->part_size;
		conn->part = NULL;
		conn->part_room = 0;
		conn->part_size = 0;
		next_message(conn);
	}
	return (int)bri_conn_leave_in(conn, r);
}

static ssize_t next_size(brood_conn *conn, int64_t deadline)
{
	struct small small;
	int r = look(conn, &small, deadline);

	if (r > 0)
		return (ssize_t)small.frame.size;
	if (r == 0)
		r = receive_head(conn, deadline);
	return r < 0 ? r : (ssize_t)conn->common->frame.size;
}

ssize_t brood_conn_next_size(brood_conn *conn, int64_t timeout_ns)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r = bri_conn_enter_in(conn, deadline);

	if (r < 0)
		return r;
	return bri_conn_leave_in(conn, next_size(conn, deadline));
}
