/* os/fd.h - descriptors: close-on-exec always, closed once, handed over by name */
#ifndef OS_FD_H
#define OS_FD_H

#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

/* Closes *fd if it is open and forgets it; for bri_cleanup(). Linux has released the number even
 * when close() reports EINTR or EIO (close(2)), so it is never repeated. */
static inline void bri_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The descriptor in *fd, which no longer owns it. */
static inline int bri_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* open(2) with O_CLOEXEC, repeated after EINTR. Returns the descriptor or -errno. */
int bri_open(const char *path, int flags, unsigned mode);

/* What a pipe has from the kernel, and what one gets that was found full, or too small. */
#define BRI_PIPE_KERNEL ((size_t)64 << 10)
#define BRI_PIPE_LARGE ((size_t)1 << 20)

/* pipe2(2) with O_CLOEXEC: *ret_read and *ret_write. Returns 0 or -errno. */
int bri_pipe(int *ret_read, int *ret_write);

/* write(2) that never raises SIGPIPE, nor SIGXFSZ at a file that is too large, in whatever state the thread
 * and the process have those signals, and is repeated after EINTR. Returns what was written, or -errno. */
ssize_t bri_write_quietly(int fd, const void *data, size_t size);

/* The same of several pieces: pwritev2(2) with these of its flags, at the file's own position; 0: writev(2).
 * -EOPNOTSUPP, -ENOSYS: a flag that kernel or file do not know. */
ssize_t bri_writev_quietly(int fd, const struct iovec *pieces, int n, int flags);

/* Whether `fd` is open; and whether it can be written. */
bool bri_is_open(int fd);
bool bri_is_writable(int fd);

#endif
