/* The listening socket and each handshake are in one epoll instance, which is what brood_listener_fd() gives.
 * Accepting takes steps: of the handshakes that have something to read, then of who is at the door, and
 * only then it waits. No step waits for a client. The invariant:
 *
 *	A slot with a connection is in the epoll instance under its index; the instance belongs to the
 *	process whose generation is `owner`, as do the connections in the slots.
 *
 * A forked child shares the parent's instance, so that it makes one of its own before it uses any. */
#include <brood/listener.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "ipc/address.h"
#include "ipc/handshake.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/self.h"

#define BACKLOG 128
#define HANDSHAKES 64
#define EVENTS 64
#define LATE_TURNS 64   /* when time is up, for those who are there already, and not for a flood */
#define DOOR UINT32_MAX /* the event of the listening socket */

struct slot {
	struct bri_handshake shake; /* .conn NULL: it is free */
	int64_t deadline;
	struct bri_address peer;
};

struct brood_listener {
	int fd, epoll; /* -1: none */
	uint64_t owner, maker;
	char address[BRI_ADDRESS_TEXT], last[BRI_ADDRESS_TEXT];
	bool accepted;
	char *path, *folder; /* to be removed */
	dev_t device;        /* … if it still is this */
	ino_t inode;
	unsigned char *key;
	size_t key_size;
	bool refuse_md5;
	int64_t handshake_ns;
	struct slot *slots;
	uint32_t n_slots;
	brood_conn_opts conn;
};

/* ---- making */

static int bind_to(brood_listener *listener, const struct bri_address *address, int backlog,
		   brood_fail *fail)
{
	struct bri_address mine = { .size = sizeof(mine.at) };
	const int on = 1;

	listener->fd =
		socket(address->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return bri_fail(fail, "socket", errno, NULL);
	if (address->at.any.sa_family != AF_UNIX)
		setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->at.any.sa_family == AF_INET6)
		setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	bri_address_format(address, listener->address);
	if (bind(listener->fd, &address->at.any, address->size) < 0)
		return bri_fail(fail, "bind", errno, "%s", listener->address);
	if (address->at.any.sa_family == AF_UNIX && address->at.local.sun_path[0] != '\0') {
		struct stat st;

		if (lstat(address->at.local.sun_path, &st) < 0)
			return bri_fail(fail, "bind", errno, "%s", listener->address);
		listener->device = st.st_dev;
		listener->inode = st.st_ino;
		listener->path = strdup(address->at.local.sun_path);
		if (listener->path == NULL) {
			unlink(address->at.local.sun_path);
			return bri_fail(fail, "memory", ENOMEM, NULL);
		}
	}
	if (listen(listener->fd, backlog > 0 ? backlog : BACKLOG) < 0)
		return bri_fail(fail, "listen", errno, "%s", listener->address);
	if (getsockname(listener->fd, &mine.at.any, &mine.size) < 0)
		return bri_fail(fail, "bind", errno, "%s", listener->address);
	bri_address_format(&mine, listener->address);
	return 0;
}

/* A folder that nobody else can enter. */
static int make_folder(brood_listener *listener, struct bri_address *address, brood_fail *fail)
{
	const char *base = secure_getenv("TMPDIR");
	char path[BRI_ADDRESS_TEXT];
	int n;

	if (base == NULL || *base != '/')
		base = "/tmp";
	listener->folder = malloc(BRI_ADDRESS_TEXT);
	if (listener->folder == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	n = snprintf(listener->folder, BRI_ADDRESS_TEXT, "%s/brood-XXXXXX", base);
	if (n >= BRI_ADDRESS_TEXT || mkdtemp(listener->folder) == NULL) {
		n = n >= BRI_ADDRESS_TEXT ? ENAMETOOLONG : errno;
		free(bri_take(listener->folder));
		return bri_fail(fail, "folder", n, "%s", base);
	}
	n = snprintf(path, sizeof(path), "%s/listener", listener->folder);
	if (n >= (int)sizeof(path))
		return bri_fail(fail, "folder", ENAMETOOLONG, "%s", base);
	return bri_address_parse(path, BROOD_FAMILY_UNIX, true, fail, address);
}

static int choose_address(brood_listener *listener, const char *address,
			  const brood_listener_opts *opts, struct bri_address *ret)
{
	if (address != NULL)
		return bri_address_parse(address, opts->family, true, opts->fail, ret);
	switch (opts->family) {
	case BROOD_FAMILY_INET:
		return bri_address_parse(":0", BROOD_FAMILY_INET, true, opts->fail, ret);
	case BROOD_FAMILY_INET6:
		return bri_address_parse("[]:0", BROOD_FAMILY_INET6, true, opts->fail, ret);
	default:
		return make_folder(listener, ret, opts->fail);
	}
}

static int take_key(brood_listener *listener, const brood_listener_opts *opts)
{
	if (opts->authkey == NULL && opts->authkey_size == 0)
		return 0;
	if (opts->authkey == NULL || opts->authkey_size == 0)
		return bri_fail(opts->fail, "authkey", ENOKEY, "the key is empty");
	listener->n_slots =
		opts->handshakes > 0 && opts->handshakes < DOOR ? opts->handshakes : HANDSHAKES;
	listener->slots = calloc(listener->n_slots, sizeof(*listener->slots));
	listener->key = malloc(opts->authkey_size);
	if (listener->slots == NULL || listener->key == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	memcpy(listener->key, opts->authkey, opts->authkey_size);
	listener->key_size = opts->authkey_size;
	return 0;
}

int brood_listener_new(const char *address, const brood_listener_opts *opts,
		       brood_listener **ret_listener)
{
	static const brood_listener_opts none;
	brood_listener *listener = calloc(1, sizeof(*listener));
	struct bri_address where;
	int r;

	if (opts == NULL)
		opts = &none;
	if (listener == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	listener->fd = listener->epoll = -1;
	listener->maker = bri_self_generation();
	listener->refuse_md5 = opts->refuse_md5;
	listener->handshake_ns = opts->handshake_ns > 0 ? opts->handshake_ns : BRI_HANDSHAKE_NS;
	if (opts->conn != NULL)
		listener->conn = *opts->conn;
	listener->conn.fail = NULL; /* it may be gone by then */
	r = take_key(listener, opts);
	if (r == 0)
		r = choose_address(listener, address, opts, &where);
	if (r == 0)
		r = bind_to(listener, &where, opts->backlog, opts->fail);
	if (r < 0) {
		brood_listener_free(listener);
		return r;
	}
	*ret_listener = listener;
	return 0;
}

/* ---- ending */

/* The connection of the slot, which is free then. That it is closed would not take it from the instance, if a forked
 * child has it open, too; and in such a child it is not ours to take. */
static brood_conn *vacate(brood_listener *listener, struct slot *slot)
{
	brood_conn *conn = slot->shake.conn;

	if (listener->owner == bri_self_generation())
		epoll_ctl(listener->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
	bri_handshake_end(&slot->shake);
	return conn;
}

static void drop_all(brood_listener *listener)
{
	for (uint32_t i = 0; i < listener->n_slots; i++)
		if (listener->slots[i].shake.conn != NULL)
			brood_conn_free(vacate(listener, &listener->slots[i]));
	bri_closep(&listener->epoll);
}

/* What was made by us, and still is. */
static void remove_path(brood_listener *listener)
{
	struct stat st;

	if (listener->maker != bri_self_generation())
		return;
	if (listener->path != NULL && lstat(listener->path, &st) == 0 &&
	    st.st_dev == listener->device && st.st_ino == listener->inode)
		unlink(listener->path);
	if (listener->folder != NULL)
		rmdir(listener->folder);
}

int brood_listener_close(brood_listener *listener)
{
	drop_all(listener);
	/* First the path: who opens it as long as it is there is heard, or refused at once. */
	remove_path(listener);
	bri_closep(&listener->fd);
	free(bri_take(listener->path));
	free(bri_take(listener->folder));
	if (listener->key != NULL)
		bri_wipe(listener->key, listener->key_size);
	free(bri_take(listener->key));
	return 0;
}

brood_listener *brood_listener_free(brood_listener *listener)
{
	if (listener == NULL)
		return NULL;
	brood_listener_close(listener);
	free(listener->slots);
	free(listener);
	return NULL;
}

const char *brood_listener_address(const brood_listener *listener)
{
	return listener->address;
}

const char *brood_listener_last_accepted(const brood_listener *listener)
{
	return listener->accepted ? listener->last : NULL;
}

/* ---- accepting */

static int watch(brood_listener *listener, int fd, uint32_t what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };

	return epoll_ctl(listener->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Makes the epoll instance, of this process. */
static int own(brood_listener *listener)
{
	int r;

	if (listener->fd < 0)
		return -EBADF;
	if (listener->epoll >= 0 && listener->owner == bri_self_generation())
		return 0;
	drop_all(listener);
	listener->owner = bri_self_generation();
	listener->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (listener->epoll < 0)
		return -errno;
	r = watch(listener, listener->fd, DOOR);
	if (r < 0)
		bri_closep(&listener->epoll);
	return r;
}

int brood_listener_fd(brood_listener *listener)
{
	int r = own(listener);

	return r < 0 ? r : listener->epoll;
}

/* A client is ours to tell of. */
static int hand_over(brood_listener *listener, brood_conn *conn, const struct bri_address *peer,
		     brood_conn **ret_conn)
{
	bri_address_format(peer, listener->last);
	listener->accepted = true;
	*ret_conn = conn;
	return 1;
}

/* One step of one handshake. Returns 1: there is a connection; 0; or why the client was refused. */
static int step(brood_listener *listener, struct slot *slot, brood_conn **ret_conn)
{
	int r = bri_handshake_step(&slot->shake, 0, NULL);
	brood_conn *conn;

	if (r == -ETIMEDOUT)
		return 0;
	conn = vacate(listener, slot);
	if (r == 1)
		return hand_over(listener, conn, &slot->peer, ret_conn);
	brood_conn_free(conn);
	return r == -EACCES || r == -EPROTO ? r : 0;
}

/* A free slot; if there is none, that of the one who has taken longest. */
static uint32_t find_slot(brood_listener *listener)
{
	uint32_t oldest = 0;

	for (uint32_t i = 0; i < listener->n_slots; i++) {
		if (listener->slots[i].shake.conn == NULL)
			return i;
		if (listener->slots[i].deadline < listener->slots[oldest].deadline)
			oldest = i;
	}
	brood_conn_free(vacate(listener, &listener->slots[oldest]));
	return oldest;
}

static int begin(brood_listener *listener, brood_conn *conn, const struct bri_address *peer,
		 brood_conn **ret_conn)
{
	uint32_t i = find_slot(listener);
	struct slot *slot = &listener->slots[i];
	int r;

	slot->deadline = bri_deadline(listener->handshake_ns);
	slot->peer = *peer;
	r = bri_handshake_begin(&slot->shake, BRI_AUTH_LISTENER, conn, listener->key,
				listener->key_size, listener->refuse_md5, NULL);
	if (r == 0)
		r = watch(listener, conn->fd, i);
	if (r < 0) {
		bri_handshake_end(&slot->shake);
		brood_conn_free(conn);
		return r;
	}
	return step(listener, slot, ret_conn);
}

/* Whether it is the client's matter, or the network's, and another may have more luck. */
static bool is_passing(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

/* Lets one in. Returns 1: there is a connection; 0: one has begun its handshake; -EAGAIN: nobody is there. */
static int let_in(brood_listener *listener, brood_conn **ret_conn)
{
	struct bri_address peer = { .size = sizeof(peer.at) };
	const int on = 1;
	brood_conn *conn;
	int fd, r;

	do
		fd = accept4(listener->fd, &peer.at.any, &peer.size, SOCK_CLOEXEC);
	while (fd < 0 && is_passing(errno));
	if (fd < 0)
		return -errno;
	if (peer.at.any.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	r = brood_conn_new_take(fd, &listener->conn, &conn);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (listener->key == NULL)
		return hand_over(listener, conn, &peer, ret_conn);
	return begin(listener, conn, &peer, ret_conn);
}

/* Drops who has taken too long. Returns when the next one will have. */
static int64_t expire(brood_listener *listener)
{
	int64_t now = brood_now(), next = BROOD_FOREVER;

	for (uint32_t i = 0; i < listener->n_slots; i++) {
		struct slot *slot = &listener->slots[i];

		if (slot->shake.conn == NULL)
			continue;
		if (slot->deadline <= now)
			brood_conn_free(vacate(listener, slot));
		else if (slot->deadline < next)
			next = slot->deadline;
	}
	return next;
}

/* Handles what is there without waiting. Returns 1: there is a connection; 0: nothing; or -errno. */
static int turn(brood_listener *listener, brood_conn **ret_conn)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(listener->epoll, events, EVENTS, 0), r = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n && r == 0; i++) {
		uint32_t what = events[i].data.u32;

		if (what == DOOR)
			r = let_in(listener, ret_conn);
		else if (listener->slots[what].shake.conn != NULL)
			r = step(listener, &listener->slots[what], ret_conn);
		if (r == -EAGAIN)
			r = 0;
	}
	return r;
}

int brood_listener_accept(brood_listener *listener, int64_t timeout_ns, brood_conn **ret_conn)
{
	int64_t deadline = bri_deadline(timeout_ns), next;
	int r = own(listener), late = 0;

	while (r == 0) {
		next = expire(listener);
		r = turn(listener, ret_conn);
		if (r != 0)
			break;
		if (deadline <= brood_now() && ++late > LATE_TURNS)
			return -ETIMEDOUT;
		r = bri_wait_readable(listener->epoll, next < deadline ? next : deadline);
		if (r == -ETIMEDOUT && next < deadline)
			r = 0;
	}
	return r < 0 ? r : 0;
}
