#include "os/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int bri_socketpair(int *ret_a, int *ret_b)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*ret_a = ends[0];
	*ret_b = ends[1];
	return 0;
}

int bri_send(int fd, const void *data, size_t size)
{
	ssize_t n;

	do
		n = send(fd, data, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

int bri_recv(int fd, void *data, size_t size, int flags)
{
	ssize_t n;

	/* With MSG_TRUNC the answer is the message's true length, so a longer one is noticed. A peer
	 * that went without reading all is reported once (ECONNRESET), ahead of what it had sent. */
	do
		n = recv(fd, data, size, flags | MSG_TRUNC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	return (size_t)n == size ? 0 : -EPROTO;
}

void bri_fds_expect(struct msghdr *message, union bri_fds_control *control, size_t n)
{
	message->msg_control = control;
	message->msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * n); /* musl's type */
}

void bri_fds_pack(struct msghdr *message, union bri_fds_control *control, const int *fds, size_t n)
{
	memset(control, 0, CMSG_SPACE(sizeof(int) * n)); /* with its padding */
	control->head.cmsg_level = SOL_SOCKET;
	control->head.cmsg_type = SCM_RIGHTS;
	control->head.cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(&control->head), fds, sizeof(int) * n);
	bri_fds_expect(message, control, n);
}

size_t bri_fds_unpack(struct msghdr *message, int *fds)
{
	size_t n = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at))
		if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS) {
			size_t size = at->cmsg_len - CMSG_LEN(0);

			memcpy(fds + n, CMSG_DATA(at), size);
			n += size / sizeof(int);
		}
	return n;
}

int bri_send_fds(int fd, const void *data, size_t size, const int *fds, size_t n)
{
	struct iovec body = { (void *)(uintptr_t)data, size };
	union bri_fds_control control;
	struct msghdr message = { .msg_iov = &body, .msg_iovlen = 1 };
	ssize_t sent;

	if (n > 0)
		bri_fds_pack(&message, &control, fds, n);
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

static int lift(int *fd)
{
	int above;

	if (*fd > 2)
		return 0;
	above = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (above < 0)
		return -errno;
	close(*fd);
	*fd = above;
	return 0;
}

int bri_recv_fds_between(int fd, void *data, size_t least, size_t most, int flags,
			 int fds[BRI_SOCKET_FDS], size_t *ret_size)
{
	struct iovec body = { data, most };
	union bri_fds_control control;
	struct msghdr message = { .msg_iov = &body, .msg_iovlen = 1 };
	ssize_t got;
	size_t n;
	int r = 0;

	bri_fds_expect(&message, &control, BRI_SOCKET_FDS);
	do
		got = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	if (got < 0)
		return -errno;
	n = bri_fds_unpack(&message, fds);
	if (got == 0)
		r = -EPIPE;
	else if ((size_t)got < least || (size_t)got > most)
		r = -EPROTO;
	else if (message.msg_flags & MSG_CTRUNC)
		r = -EMFILE; /* there was no room for all */
	for (size_t i = 0; r == 0 && i < n; i++)
		r = lift(&fds[i]);
	for (size_t i = 0; r < 0 && i < n; i++)
		close(fds[i]);
	*ret_size = (size_t)got;
	return r < 0 ? r : (int)n;
}

int bri_recv_fds(int fd, void *data, size_t size, int fds[BRI_SOCKET_FDS])
{
	size_t got;

	return bri_recv_fds_between(fd, data, size, size, 0, fds, &got);
}
