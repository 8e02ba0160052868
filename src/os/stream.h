/* os/stream.h - bytes through a pipe or a stream socket, until a deadline, without signals
 *
 * The descriptor is left as it is: whether a call blocks is said call by call, so that it may be shared with
 * who knows nothing of us, and whether it is O_NONBLOCK does not matter. On a pipe that takes kernels that
 * know RWF_NOWAIT there (6.5); before, what has a deadline writes PIPE_BUF bytes at a time. If several
 * processes read (or write) one pipe without a lock there, a deadline may be overrun.
 *
 * One thread at a time in each direction: have two of these for two. */
#ifndef OS_STREAM_H
#define OS_STREAM_H

#include <brood/base.h>
#include <sys/uio.h>

struct bri_stream {
	int fd;
	bool is_socket;
	unsigned char lacks; /* what was found missing */
};

/* Looks at what `fd` is; it stays the caller's. Returns 0; -EINVAL: a socket that is no stream, or listens; -EBADF. */
int bri_stream_init(struct bri_stream *stream, int fd);

/* Reads what there is, one byte at least; repeated after EINTR. Returns how many; 0: the end;
 * -ETIMEDOUT; -EPROTO: a descriptor came along, which is lost; or -errno. A socket that was reset has ended. */
ssize_t bri_stream_read(struct bri_stream *stream, struct iovec *pieces, int n, int64_t deadline);

/* Writes what there is room for, one byte at least. Returns how many; -EPIPE: nobody will read; -ETIMEDOUT; or
 * -errno. */
ssize_t bri_stream_write(struct bri_stream *stream, const struct iovec *pieces, int n,
			 int64_t deadline);

/* Waits for `events` of poll(2), an end or an error. Returns 0, -ETIMEDOUT, or -errno. */
int bri_stream_wait(const struct bri_stream *stream, short events, int64_t deadline);

/* After a call on the descriptor that does not wait failed with `error`: waits if that is what it takes. Returns 0: call
 * again; -ETIMEDOUT; or -errno. As by bri_stream_read(), a reset is passed over: behind it is the end. */
int bri_stream_again(const struct bri_stream *stream, int error, short events, int64_t deadline);

#endif
