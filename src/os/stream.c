#include "os/stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "os/clock.h"
#include "os/fd.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100 /* Linux 6.18 */
#endif

#define LACKS_NOWAIT 1
#define LACKS_NOSIGNAL 2

int bri_stream_init(struct bri_stream *stream, int fd)
{
	int type, listens;
	socklen_t size = sizeof(type);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*stream = (struct bri_stream){ .fd = fd, .is_socket = S_ISSOCK(st.st_mode) };
	if (!stream->is_socket)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return -errno;
	return type != SOCK_STREAM || listens ? -EINVAL : 0;
}

int bri_stream_wait(const struct bri_stream *stream, short events, int64_t deadline)
{
	struct pollfd wanted = { .fd = stream->fd, .events = events };
	int r = bri_poll(&wanted, 1, deadline);

	if (r < 0)
		return r;
	if (r == 0)
		return -ETIMEDOUT;
	return wanted.revents & POLLNVAL ? -EBADF : 0;
}

int bri_stream_again(const struct bri_stream *stream, int error, short events, int64_t deadline)
{
	if (error == EINTR || error == ECONNRESET)
		return 0;
	return error == EAGAIN ? bri_stream_wait(stream, events, deadline) : -error;
}

/* Whether the error says that a flag is not known here. */
static bool is_lack(ssize_t r)
{
	return r == -EOPNOTSUPP || r == -ENOSYS;
}

static ssize_t receive(int fd, struct iovec *pieces, int n, bool waits)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)n };
	ssize_t got;

	/* A reset is told once, ahead of what came before it, and then the end is. */
	do
		got = recvmsg(fd, &message, waits ? 0 : MSG_DONTWAIT);
	while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	if (got < 0)
		return -errno;
	return message.msg_flags & MSG_CTRUNC ? -EPROTO : got;
}

static ssize_t read_at_once(struct bri_stream *stream, const struct iovec *pieces, int n)
{
	ssize_t got = -EOPNOTSUPP;
	int r;

	if (!(stream->lacks & LACKS_NOWAIT)) {
		do
			got = syscall(SYS_preadv2, stream->fd, pieces, n, -1L, -1L, RWF_NOWAIT);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			got = -errno;
	}
	if (!is_lack(got))
		return got;
	stream->lacks |= LACKS_NOWAIT;
	r = bri_stream_wait(stream, POLLIN, 0);
	if (r < 0)
		return r == -ETIMEDOUT ? -EAGAIN : r;
	do
		got = readv(stream->fd, pieces, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static ssize_t read_waiting(const struct bri_stream *stream, const struct iovec *pieces, int n)
{
	ssize_t got;

	do
		got = n == 1 ? read(stream->fd, pieces->iov_base, pieces->iov_len) :
			       readv(stream->fd, pieces, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

ssize_t bri_stream_read(struct bri_stream *stream, struct iovec *pieces, int n, int64_t deadline)
{
	bool waits = deadline == BROOD_FOREVER;
	ssize_t got;
	int r;

	for (;;) {
		if (stream->is_socket)
			got = receive(stream->fd, pieces, n, waits);
		else if (waits)
			got = read_waiting(stream, pieces, n);
		else
			got = read_at_once(stream, pieces, n);
		if (got != -EAGAIN)
			return got;
		r = bri_stream_wait(stream, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

/* What a page has room for, when it must not be known whether there is more. */
static ssize_t write_page(struct bri_stream *stream, const struct iovec *pieces)
{
	size_t size = pieces->iov_len < PIPE_BUF ? pieces->iov_len : PIPE_BUF;
	int r = bri_stream_wait(stream, POLLOUT, 0);

	if (r < 0)
		return r == -ETIMEDOUT ? -EAGAIN : r;
	return bri_write_quietly(stream->fd, pieces->iov_base, size);
}

static ssize_t write_pipe(struct bri_stream *stream, const struct iovec *pieces, int n, bool waits)
{
	int flags = waits ? 0 : RWF_NOWAIT;
	ssize_t done;

	if (!waits && stream->lacks & LACKS_NOWAIT)
		return write_page(stream, pieces);
	if (!(stream->lacks & LACKS_NOSIGNAL)) {
		do
			done = syscall(SYS_pwritev2, stream->fd, pieces, n, -1L, -1L,
				       flags | RWF_NOSIGNAL);
		while (done < 0 && errno == EINTR);
		if (done >= 0)
			return done;
		if (!is_lack(-errno))
			return -errno;
		stream->lacks |= LACKS_NOSIGNAL;
	}
	done = bri_writev_quietly(stream->fd, pieces, n, flags);
	if (waits || !is_lack(done))
		return done;
	stream->lacks |= LACKS_NOWAIT;
	return write_page(stream, pieces);
}

static ssize_t transmit(int fd, const struct iovec *pieces, int n, bool waits)
{
	const struct msghdr message = { .msg_iov = (struct iovec *)pieces,
					.msg_iovlen = (size_t)n };
	ssize_t done;

	do
		done = sendmsg(fd, &message, MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT));
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return done;
}

ssize_t bri_stream_write(struct bri_stream *stream, const struct iovec *pieces, int n,
			 int64_t deadline)
{
	bool waits = deadline == BROOD_FOREVER;
	ssize_t done;
	int r;

	for (;;) {
		if (stream->is_socket)
			done = transmit(stream->fd, pieces, n, waits);
		else
			done = write_pipe(stream, pieces, n, waits);
		if (done != -EAGAIN)
			return done;
		r = bri_stream_wait(stream, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}
