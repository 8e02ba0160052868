#include "os/socket.h"

#include <errno.h>
#include <sys/socket.h>

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
