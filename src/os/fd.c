#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

int bri_open(const char *path, int flags, unsigned mode)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int bri_pipe(int *ret_read, int *ret_write)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = ends[0];
	*ret_write = ends[1];
	return 0;
}

/* The signal that comes with an error of write(2); 0: none. */
static int signal_of(ssize_t error)
{
	return error == -EPIPE ? SIGPIPE : error == -EFBIG ? SIGXFSZ : 0;
}

/* Takes our signal away; the thread's own goes before the process's. One may have been waiting before: if
 * it waited for the process, it stays; if for the thread, ours has become one with it, and it is put back. */
static void take_away(int signum, bool waited)
{
	sigset_t one, waiting;

	sigemptyset(&one);
	sigaddset(&one, signum);
	while (sigtimedwait(&one, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
		continue;
	if (waited && sigpending(&waiting) == 0 && !sigismember(&waiting, signum))
		raise(signum);
}

/* By number, since not each C library has pwritev2(), and none without tricks of its own. */
static ssize_t write_pieces(int fd, const struct iovec *pieces, int n, int flags)
{
	if (flags == 0)
		return n == 1 ? write(fd, pieces->iov_base, pieces->iov_len) :
				writev(fd, pieces, n);
	return syscall(SYS_pwritev2, fd, pieces, n, -1L, -1L, flags);
}

/* The signals go to the thread that writes (pipe(7), setrlimit(2)), so it is enough to hold them back in this
 * one. */
ssize_t bri_writev_quietly(int fd, const struct iovec *pieces, int n, int flags)
{
	sigset_t quiet, before, waiting;
	ssize_t done;

	sigemptyset(&waiting);
	sigemptyset(&quiet);
	sigaddset(&quiet, SIGPIPE);
	sigaddset(&quiet, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &quiet, &before);
	if (sigismember(&before, SIGPIPE) || sigismember(&before, SIGXFSZ))
		sigpending(&waiting);
	do
		done = write_pieces(fd, pieces, n, flags);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		done = -errno;
	if (signal_of(done) != 0)
		take_away(signal_of(done), sigismember(&waiting, signal_of(done)) == 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return done;
}

ssize_t bri_write_quietly(int fd, const void *data, size_t size)
{
	return bri_writev_quietly(fd, &(struct iovec){ (void *)data, size }, 1, 0);
}

bool bri_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

bool bri_is_writable(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
}
