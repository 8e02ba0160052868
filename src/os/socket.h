/* os/socket.h - local sockets that keep message borders and can carry descriptors */
#ifndef OS_SOCKET_H
#define OS_SOCKET_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* A connected pair (AF_UNIX, SOCK_SEQPACKET, close-on-exec). Returns 0 or -errno. */
int bri_socketpair(int *ret_a, int *ret_b);

/* Sends one message; no SIGPIPE. Returns 0, -EPIPE when the peer is gone, or -errno. */
int bri_send(int fd, const void *data, size_t size);

/* Receives one message of exactly `size` bytes. Returns 0; -EPIPE: the peer is gone; -EPROTO: a
 * message of another size; -EAGAIN: none yet, when `flags` has MSG_DONTWAIT. */
int bri_recv(int fd, void *data, size_t size, int flags);

/* ---- descriptors that come along with a message of any local socket (SCM_RIGHTS) */

#define BRI_FDS_MOST 253 /* in one, by the kernel */

union bri_fds_control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int) * BRI_FDS_MOST)];
};

/* Has `n` of them sent with the message, or makes room for `n` that may come. */
void bri_fds_pack(struct msghdr *message, union bri_fds_control *control, const int *fds, size_t n);
void bri_fds_expect(struct msghdr *message, union bri_fds_control *control, size_t n);

/* All that came. Returns how many, of as many as were expected. */
size_t bri_fds_unpack(struct msghdr *message, int *fds);

/* How many descriptors a message of the next two can carry. */
#define BRI_SOCKET_FDS 64

/* The same with up to BRI_SOCKET_FDS descriptors. */
int bri_send_fds(int fd, const void *data, size_t size, const int *fds, size_t n);

/* Receives one message of exactly `size` bytes and what comes along: close-on-exec, each above 2, so that none is taken for a
 * standard stream. Returns how many, or as bri_recv() does; with an error there are none. */
int bri_recv_fds(int fd, void *data, size_t size, int fds[BRI_SOCKET_FDS]);

/* The same of a message of `least` to `most` bytes, which has *ret_size, with bri_recv()'s flags. */
int bri_recv_fds_between(int fd, void *data, size_t least, size_t most, int flags,
			 int fds[BRI_SOCKET_FDS], size_t *ret_size);

#endif
