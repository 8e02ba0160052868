#include "serve/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

char *wire_put_words(char *at, const char *end, char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t size = strlen(words[i]) + 1;

		if (size > (size_t)(end - at))
			return NULL;
		at = (char *)memcpy(at, words[i], size) + size;
	}
	return at;
}

const char *wire_get_words(const char *at, const char *end, const char **words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (nul == NULL)
			return NULL;
		words[i] = at;
		at = nul + 1;
	}
	words[n] = NULL;
	return at;
}

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(WIRE_FDS * sizeof(int))];
};

int wire_send_all(int fd, const void *data, size_t size, const int *descriptors, size_t n)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	union control control;
	ssize_t sent;

	if (n > WIRE_FDS)
		return -E2BIG;
	if (n > 0) {
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n * sizeof(int)),
						   .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), descriptors, n * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int wire_send(int fd, const void *data, size_t size, int descriptor)
{
	return wire_send_all(fd, data, size, &descriptor, descriptor >= 0);
}

int wire_recv_all(int fd, void *data, size_t size, int descriptors[WIRE_FDS], size_t *ret_n)
{
	struct iovec part = { .iov_base = data, .iov_len = size };
	union control control;
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	ssize_t n;

	*ret_n = 0;
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		*ret_n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(descriptors, CMSG_DATA(header), *ret_n * sizeof(int));
	}
	return (int)n;
}

bool wire_is_passing(int r)
{
	return r == -EAGAIN || r == -ENOMEM || r == -ENOBUFS;
}

/* One descriptor is a message's; of more none is kept. */
int wire_recv(int fd, void *data, size_t size, int *ret_descriptor)
{
	int descriptors[WIRE_FDS], r;
	size_t n;

	r = wire_recv_all(fd, data, size, descriptors, &n);
	*ret_descriptor = n == 1 ? descriptors[0] : -1;
	for (size_t i = 0; n > 1 && i < n; i++)
		close(descriptors[i]);
	return r;
}
