/* Connecting is a socket that does not block and a deadline; who retries does so with a new socket each time. */
#include <brood/listener.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "ipc/address.h"
#include "ipc/handshake.h"
#include "os/clock.h"
#include "os/fd.h"

#define NAP_FIRST BROOD_MSEC
#define NAP_MOST (50 * BROOD_MSEC)

/* TCP may connect a port to itself, when nobody listens there and it is given out for this very socket. */
static bool is_itself(int fd)
{
	struct bri_address mine = { .size = sizeof(mine.at) }, theirs = { .size = sizeof(mine.at) };

	return getsockname(fd, &mine.at.any, &mine.size) == 0 &&
	       getpeername(fd, &theirs.at.any, &theirs.size) == 0 &&
	       mine.at.any.sa_family != AF_UNIX && mine.size == theirs.size &&
	       memcmp(&mine.at, &theirs.at, mine.size) == 0;
}

/* Waits for the outcome of a connect() that goes on by itself. */
static int outcome(int fd, int64_t deadline)
{
	const struct bri_stream stream = { .fd = fd };
	int r = bri_stream_wait(&stream, POLLOUT, deadline), error = 0;
	socklen_t size = sizeof(error);

	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return r < 0 ? r : -error;
}

/* One try. */
static int connect_once(const struct bri_address *address, int64_t deadline, int *ret_fd)
{
	bri_cleanup(bri_closep) int fd =
		socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, &address->at.any, address->size) < 0)
		r = errno == EINPROGRESS || errno == EINTR ? outcome(fd, deadline) : -errno;
	if (r == 0 && is_itself(fd))
		r = -ECONNREFUSED;
	if (r < 0)
		return r;
	if (address->at.any.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(fd, F_SETFL, 0); /* for whoever gets it from us */
	*ret_fd = bri_take_fd(&fd);
	return 0;
}

/* A local listener whose backlog is full says -EAGAIN, where TCP would wait. */
static bool is_worth_a_retry(int r, bool retry)
{
	return r == -EAGAIN || (retry && (r == -ECONNREFUSED || r == -ENOENT));
}

static int connect_to(const struct bri_address *address, bool retry, int64_t deadline, int *ret_fd)
{
	int64_t nap = NAP_FIRST;
	int r;

	for (;;) {
		r = connect_once(address, deadline, ret_fd);
		if (!is_worth_a_retry(r, retry))
			return r;
		if (deadline != BROOD_FOREVER && brood_now() + nap >= deadline)
			return r == -EAGAIN ? -ETIMEDOUT : r;
		nanosleep(&(struct timespec){ .tv_nsec = nap }, NULL);
		nap = nap * 2 < NAP_MOST ? nap * 2 : NAP_MOST;
	}
}

static int prove(brood_conn *conn, const brood_client_opts *opts, int64_t deadline)
{
	int64_t limit =
		bri_deadline(opts->handshake_ns > 0 ? opts->handshake_ns : BRI_HANDSHAKE_NS);
	struct bri_handshake shake = { .conn = NULL };
	int r = bri_handshake_begin(&shake, BRI_AUTH_CLIENT, conn, opts->authkey,
				    opts->authkey_size, opts->refuse_md5, opts->fail);

	if (r == 0)
		r = bri_handshake_step(&shake, deadline < limit ? deadline : limit, opts->fail);
	bri_handshake_end(&shake);
	return r < 0 ? r : 0;
}

int brood_client(const char *address, const brood_client_opts *opts, brood_conn **ret_conn)
{
	static const brood_client_opts none;
	struct bri_address where;
	int64_t deadline;
	brood_conn *conn;
	int fd = -1, r;

	if (opts == NULL)
		opts = &none;
	if ((opts->authkey == NULL) != (opts->authkey_size == 0))
		return bri_fail(opts->fail, "authkey", ENOKEY, "the key is empty");
	deadline = opts->timeout_ns > 0 ? bri_deadline(opts->timeout_ns) : BROOD_FOREVER;
	r = bri_address_parse(address, opts->family, false, opts->fail, &where);
	if (r < 0)
		return r;
	r = connect_to(&where, opts->retry, deadline, &fd);
	if (r < 0)
		return bri_fail(opts->fail, "connect", r, "%s", address);
	r = brood_conn_new_take(fd, opts->conn, &conn);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (opts->authkey != NULL)
		r = prove(conn, opts, deadline);
	if (r < 0)
		brood_conn_free(conn);
	if (r == -EACCES || r == -EPROTO)
		return r; /* of which more was said */
	if (r < 0)
		return bri_fail(opts->fail, "handshake", r, "%s", address);
	*ret_conn = conn;
	return 0;
}
