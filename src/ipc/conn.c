#include "ipc/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "os/clock.h"
#include "os/fd.h"

/* ---- making and ending */

/* Joins those who have the segment; -1: begins one. */
static int share(brood_conn *conn, int segment_fd)
{
	int r = segment_fd >= 0 ? brood_segment_attach(segment_fd, NULL, &conn->segment) :
				  brood_segment_new(sizeof(*conn->common), NULL, &conn->segment);

	if (r < 0)
		return r;
	if (brood_segment_size(conn->segment) < sizeof(*conn->common))
		return -EPROTO;
	conn->common = brood_segment_data(conn->segment);
	if (segment_fd >= 0) {
		conn->readable = conn->readable && conn->common->readable;
		conn->writable = conn->writable && conn->common->writable;
		return 0;
	}
	conn->common->readable = conn->readable;
	conn->common->writable = conn->writable;
	bri_frame_begin(&conn->common->frame, conn->most);
	r = brood_lock_init(&conn->common->out.lock);
	return r < 0 ? r : brood_lock_init(&conn->common->in.lock);
}

static int prepare(brood_conn *conn, int fd, int segment_fd, const brood_conn_opts *opts)
{
	bool shared = opts->shared || segment_fd >= 0;
	int flags, r;

	if (shared && opts->read_ahead > 0)
		return bri_fail(opts->fail, "options", EINVAL, "shared and read ahead");
	r = bri_stream_init(&conn->in, fd);
	if (r < 0)
		return bri_fail(opts->fail, "descriptor", r, "%d", fd);
	conn->out = conn->in;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH))
		return bri_fail(opts->fail, "descriptor", EBADF, "%d", fd);
	conn->readable = (flags & O_ACCMODE) != O_WRONLY;
	conn->writable = (flags & O_ACCMODE) != O_RDONLY;
	conn->most = opts->most > 0 ? opts->most : UINT64_MAX;
	conn->common = &conn->own;
	if (opts->read_ahead > 0 && conn->readable) {
		conn->ahead = malloc(opts->read_ahead);
		conn->ahead_room = opts->read_ahead;
		if (conn->ahead == NULL)
			return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	}
	bri_frame_begin(&conn->own.frame, conn->most);
	r = shared ? share(conn, segment_fd) : 0;
	return r < 0 ? bri_fail(opts->fail, "share", r, NULL) : 0;
}

int bri_conn_new_take(int fd, int segment_fd, const brood_conn_opts *opts, brood_conn **ret_conn)
{
	static const brood_conn_opts none;
	brood_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (opts == NULL)
		opts = &none;
	if (conn == NULL) {
		bri_fail(opts->fail, "memory", ENOMEM, NULL);
		return -ENOMEM;
	}
	conn->fd = -1;
	r = prepare(conn, fd, segment_fd, opts);
	if (r < 0) {
		brood_conn_free(conn);
		return r;
	}
	conn->fd = fd;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	*ret_conn = conn;
	return 0;
}

int brood_conn_new_take(int fd, const brood_conn_opts *opts, brood_conn **ret_conn)
{
	return bri_conn_new_take(fd, -1, opts, ret_conn);
}

void bri_conn_limit(brood_conn *conn, bool readable, bool writable)
{
	conn->common->readable = conn->readable = readable;
	conn->common->writable = conn->writable = writable;
}

static int open_pair(bool socket, int ends[2])
{
	if (!socket)
		return bri_pipe(&ends[0], &ends[1]);
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

int brood_pipe_with(bool duplex, const brood_conn_opts *opts, brood_conn **ret_a,
		    brood_conn **ret_b)
{
	brood_fail *fail = opts != NULL ? opts->fail : NULL;
	bri_cleanup(bri_closep) int b_fd = -1;
	bool shared = opts != NULL && opts->shared;
	int ends[2], r = open_pair(duplex || shared, ends);
	brood_conn *a = NULL, *b = NULL;

	if (r < 0)
		return bri_fail(fail, "pipe", r, NULL);
	b_fd = ends[1];
	r = brood_conn_new_take(ends[0], opts, &a);
	if (r < 0) {
		close(ends[0]);
		return r;
	}
	r = brood_conn_new_take(b_fd, opts, &b);
	if (r < 0) {
		brood_conn_free(a);
		return r;
	}
	bri_take_fd(&b_fd);
	if (!duplex) {
		bri_conn_limit(a, true, false);
		bri_conn_limit(b, false, true);
	}
	*ret_a = a;
	*ret_b = b;
	return 0;
}

int brood_pipe(bool duplex, brood_conn **ret_a, brood_conn **ret_b)
{
	return brood_pipe_with(duplex, NULL, ret_a, ret_b);
}

int brood_conn_close(brood_conn *conn)
{
	bri_closep(&conn->fd);
	conn->segment = brood_segment_unref(conn->segment);
	conn->common = &conn->own;
	free(bri_take(conn->rest));
	free(bri_take(conn->part));
	free(bri_take(conn->ahead));
	conn->rest_at = conn->rest_end = 0;
	conn->part_size = conn->part_room = 0;
	conn->ahead_at = conn->ahead_end = conn->ahead_room = 0;
	conn->out_owner = conn->in_owner = 0;
	return 0;
}

brood_conn *brood_conn_free(brood_conn *conn)
{
	if (conn != NULL)
		brood_conn_close(conn);
	free(conn);
	return NULL;
}

int brood_conn_fd(const brood_conn *conn)
{
	return conn->fd >= 0 ? conn->fd : -EBADF;
}

bool brood_conn_is_readable(const brood_conn *conn)
{
	return conn->fd >= 0 && conn->readable;
}

bool brood_conn_is_writable(const brood_conn *conn)
{
	return conn->fd >= 0 && conn->writable;
}

bool brood_conn_is_closed(const brood_conn *conn)
{
	return conn->fd < 0;
}

/* ---- entering and leaving */

int bri_direction_break(struct bri_direction *side, int error)
{
	__atomic_store_n(&side->broken, error, __ATOMIC_SEQ_CST);
	bri_direction_set_busy(side, false);
	return error;
}

/* The generation that keeps something is this process's, or nothing is kept. */
static inline bool is_ours(uint64_t owner)
{
	return owner == 0 || bri_self_is(owner) || bri_self_generation() == owner;
}

static int enter(const brood_conn *conn, struct bri_direction *side, uint64_t owner,
		 int64_t deadline)
{
	int r;

	if (conn->segment != NULL) {
		r = brood_lock_acquire(&side->lock, bri_timeout(deadline));
		if (r < 0)
			return r;
		if (side->busy)
			bri_direction_break(side, -EBADMSG);
		if (side->broken != 0)
			brood_lock_release(&side->lock);
	} else if (!is_ours(owner)) {
		return -ECHILD;
	}
	return side->broken;
}

int bri_conn_enter_out(brood_conn *conn, int64_t deadline)
{
	if (conn->fd < 0)
		return -EBADF;
	if (!conn->writable)
		return -EACCES;
	return enter(conn, &conn->common->out, conn->out_owner, deadline);
}

int bri_conn_enter_in(brood_conn *conn, int64_t deadline)
{
	if (conn->fd < 0)
		return -EBADF;
	if (!conn->readable)
		return -EACCES;
	return enter(conn, &conn->common->in, conn->in_owner, deadline);
}

ssize_t bri_conn_leave_out(brood_conn *conn, ssize_t r)
{
	if (conn->segment != NULL)
		brood_lock_release(&conn->common->out.lock);
	else
		conn->out_owner = conn->rest_at < conn->rest_end ? bri_self_generation() : 0;
	return r;
}

static inline bool keeps_input(const brood_conn *conn)
{
	return conn->ahead_at < conn->ahead_end || conn->common->frame.n_head > 0;
}

ssize_t bri_conn_leave_in(brood_conn *conn, ssize_t r)
{
	if (conn->segment != NULL)
		brood_lock_release(&conn->common->in.lock);
	else if (!keeps_input(conn))
		conn->in_owner = 0;
	else if (conn->in_owner == 0) /* otherwise it is ours: we were let in */
		conn->in_owner = bri_self_generation();
	return r;
}

/* An empty message whose head was looked at has nothing left in the descriptor. */
static bool is_ready(const brood_conn *conn)
{
	const struct bri_frame *frame = &conn->common->frame;

	return conn->ahead_at < conn->ahead_end ||
	       (bri_frame_wants(frame) == 0 && conn->part_size == frame->size);
}

int bri_conn_look(brood_conn *conn)
{
	int r = bri_conn_enter_in(conn, 0);

	if (r == -ETIMEDOUT) /* another is at it */
		return 0;
	if (r < 0)
		return r == -EBADF || r == -EACCES || r == -ECHILD ? r : 1;
	return (int)bri_conn_leave_in(conn, is_ready(conn));
}

int brood_conn_poll(brood_conn *conn, int64_t timeout_ns)
{
	int r = bri_conn_look(conn);

	if (r != 0)
		return r < 0 ? r : 0;
	return bri_stream_wait(&conn->in, POLLIN, bri_deadline(timeout_ns));
}
