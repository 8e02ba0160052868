/* os/socket.h - local sockets that keep message borders and can carry descriptors */
#ifndef OS_SOCKET_H
#define OS_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

/* A connected pair (AF_UNIX, SOCK_SEQPACKET, close-on-exec). Returns 0 or -errno. */
int bri_socketpair(int *ret_a, int *ret_b);

/* Sends one message; no SIGPIPE. Returns 0, -EPIPE when the peer is gone, or -errno. */
int bri_send(int fd, const void *data, size_t size);

/* Receives one message of exactly `size` bytes. Returns 0; -EPIPE: the peer is gone; -EPROTO: a
 * message of another size; -EAGAIN: none yet, when `flags` has MSG_DONTWAIT. */
int bri_recv(int fd, void *data, size_t size, int flags);

/* How many descriptors a message can carry. */
#define BRI_SOCKET_FDS 64

/* The same with up to BRI_SOCKET_FDS descriptors. */
int bri_send_fds(int fd, const void *data, size_t size, const int *fds, size_t n);

/* Receives one message of exactly `size` bytes and what comes along: close-on-exec, each above 2, so that none is taken for a
 * standard stream. Returns how many, or as bri_recv() does; with an error there are none. */
int bri_recv_fds(int fd, void *data, size_t size, int fds[BRI_SOCKET_FDS]);

#endif
