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

int wire_send(int fd, const void *data, size_t size, int descriptor)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	if (descriptor >= 0) {
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(descriptor));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
	}
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* One descriptor is a message's; of more, which alignment may leave room for, none is kept. */
static void take_descriptors(const struct cmsghdr *header, int *ret_descriptor)
{
	size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int descriptor;

		memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
		if (n == 1)
			*ret_descriptor = descriptor;
		else
			close(descriptor);
	}
}

int wire_recv(int fd, void *data, size_t size, int *ret_descriptor)
{
	struct iovec part = { .iov_base = data, .iov_len = size };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	ssize_t n;

	*ret_descriptor = -1;
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		take_descriptors(header, ret_descriptor);
	return (int)n;
}
