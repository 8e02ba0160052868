#include "child/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/fd.h"

/* A terminal that polls as writable has at least so much room: the kernel wakes writers when less than that
 * is left to be sent, of buffers that are much larger. */
#define TERMINAL_ROOM ((size_t)256)

/* /dev/null and its like: their major number, null(4). */
#define MEMORY_DEVICES 1

/* The other side of a pseudo-terminal: opened anew it would be another pair's. */
static bool is_master(int fd)
{
	return ioctl(fd, TIOCGPTN, &(unsigned){ 0 }) == 0;
}

/* As our own open file of the same thing; not 0 to 2, which a program that is started may inherit. */
static int open_anew(int fd)
{
	bri_cleanup(bri_closep) int opened = -1;
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return opened < 0 || opened > 2 ? bri_take_fd(&opened) : fcntl(opened, F_DUPFD_CLOEXEC, 3);
}

/* O_NONBLOCK belongs to the open file, which others share: a pipe or terminal is therefore opened
 * anew. Where that is refused (no /proc, another user's) it is shared, and written in pieces that do not
 * block. Other devices are shared at once: opening them may do something. */
int bri_outlet_init(struct bri_outlet *outlet, int fd)
{
	struct stat status;
	bool pipe, terminal;

	*outlet = (struct bri_outlet){ .fd = -1 };
	if (fstat(fd, &status) < 0)
		return -errno;
	outlet->socket = S_ISSOCK(status.st_mode);
	pipe = S_ISFIFO(status.st_mode);
	terminal = S_ISCHR(status.st_mode) && isatty(fd);
	if (pipe || (terminal && !is_master(fd))) {
		outlet->fd = open_anew(fd);
		if (outlet->fd >= 0)
			return 0;
	}
	if (terminal)
		outlet->piece = TERMINAL_ROOM;
	else if (pipe || (S_ISCHR(status.st_mode) && major(status.st_rdev) != MEMORY_DEVICES))
		outlet->piece = PIPE_BUF;
	outlet->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return outlet->fd < 0 ? -errno : 0;
}

static ssize_t put_some(const struct bri_outlet *outlet, const char *bytes, size_t n)
{
	struct pollfd room = { .fd = outlet->fd, .events = POLLOUT };
	ssize_t done;

	if (outlet->socket) {
		do
			done = send(outlet->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (done < 0 && errno == EINTR);
		return done < 0 ? -errno : done;
	}
	if (outlet->piece == 0)
		return bri_write_quietly(outlet->fd, bytes, n);
	if (poll(&room, 1, 0) <= 0)
		return -EAGAIN;
	return bri_write_quietly(outlet->fd, bytes, n < outlet->piece ? n : outlet->piece);
}

/* Returns how many of the bytes were delivered. */
static size_t put_now(struct bri_outlet *outlet, const char *bytes, size_t n)
{
	size_t at = 0;

	while (at < n) {
		ssize_t done = put_some(outlet, bytes + at, n - at);

		if (done == -EAGAIN)
			break;
		if (done < 0) {
			bri_outlet_give_up(outlet, (int)-done);
			return n;
		}
		at += (size_t)done;
	}
	return at;
}

void bri_outlet_put(struct bri_outlet *outlet, const char *bytes, size_t n)
{
	size_t done = 0;

	if (outlet->fd < 0 || outlet->dead)
		return;
	if (!bri_outlet_is_behind(outlet))
		done = put_now(outlet, bytes, n);
	if (done < n && bri_growing_append(&outlet->waiting, bytes + done, n - done) < 0)
		bri_outlet_give_up(outlet, ENOMEM);
}

void bri_outlet_flush(struct bri_outlet *outlet)
{
	if (bri_outlet_is_behind(outlet))
		outlet->at += put_now(outlet, outlet->waiting.data + outlet->at,
				      outlet->waiting.size - outlet->at);
	if (!bri_outlet_is_behind(outlet))
		outlet->at = outlet->waiting.size = 0;
}

void bri_outlet_give_up(struct bri_outlet *outlet, int error)
{
	if (outlet->error == 0)
		outlet->error = error;
	outlet->dead = true;
	outlet->at = outlet->waiting.size = 0;
}

void bri_outlet_fini(struct bri_outlet *outlet)
{
	bri_closep(&outlet->fd);
	bri_growing_fini(&outlet->waiting);
}
