/* os/fd.h - descriptors: close-on-exec always, closed once, handed over by name */
#ifndef OS_FD_H
#define OS_FD_H

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

/* pipe2(2) with O_CLOEXEC: *ret_read and *ret_write. Returns 0 or -errno. */
int bri_pipe(int *ret_read, int *ret_write);

#endif
