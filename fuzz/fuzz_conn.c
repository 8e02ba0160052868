/* A whole connection whose other end sends anything, cut anywhere. The first byte says what is under test and how it was
 * made; then come pieces, each a length and its bytes, and after each piece all that can be received is received.
 *
 *	receivers	what comes out is what reference(), a reader of its own, finds in the stream; and the same errors
 *	handshakes	a listener with a hostile client, a client with a hostile listener; in some steps (the highest
 *			bit of the length) an honest peer speaks first. Who never was honest is not let in, and the
 *			listener is as good as before
 *
 * None may wait, leave a descriptor or memory behind, or take more memory than MOST_MEMORY() of what it was sent. */
#include <brood/listener.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
					      void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *at);

enum { RECV_BYTES, RECV_INTO, RECV_OBJECT, NEXT_SIZE, LISTENER, CLIENT, MODES };
#define IS_PIPE 8
#define IS_SHARED 16
#define READS_AHEAD 32
#define IS_LIMITED 64

#define LIMIT 1000 /* of a message, when there is one */
#define BUFFER 32  /* of recv_into */
#define MOST_DATA ((size_t)16 << 10)
#define MOST_STEPS 64 /* of a handshake, of one end in one turn */

/* What is announced costs nothing beyond the first room for it, and an object what brood/pickle.h says. */
#define MOST_MEMORY(size) (((size_t)1 << 20) + 100 * (size) + ((size_t)128 << 10))

static const char key[] = "a key";
static brood_listener *listener;
static size_t live, peak;

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "not so: %s\n", what);
	abort();
}

/* ---- what it costs */

static void on_malloc(const volatile void *at, size_t size)
{
	(void)at;
	live += size;
	peak = live > peak ? live : peak;
}

static void on_free(const volatile void *at)
{
	size_t size = at != NULL ? __sanitizer_get_allocated_size(at) : 0;

	live -= size < live ? size : live;
}

/* The number that the next descriptor gets. */
static int next_fd(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

/* ---- receiving */

struct stream {
	const uint8_t *bytes; /* all that is sent */
	size_t size, at;      /* … and how far reference() is */
	uint64_t most;
};

/* The next message that the stream has. Returns 0, or what a receiver at its end is told; once an error, always. */
static int reference(struct stream *stream, const uint8_t **ret_message, size_t *ret_size)
{
	const uint8_t *head = stream->bytes + stream->at;
	size_t left = stream->size - stream->at, n_head = 4;
	uint64_t size = 0;

	if (left == 0)
		return -EPIPE;
	if (left >= 4 && memcmp(head, "\xff\xff\xff\xff", 4) == 0)
		n_head = 12;
	if (left < n_head)
		return -ECONNRESET;
	for (size_t i = n_head == 4 ? 0 : 4; i < n_head; i++)
		size = size << 8 | head[i];
	if (n_head == 4 && size > INT32_MAX)
		return -EPROTO;
	if (size > stream->most)
		return -EFBIG;
	if (size > left - n_head)
		return size > SIZE_MAX / 4 ? -ENOMEM : -ECONNRESET;
	*ret_message = head + n_head;
	*ret_size = (size_t)size;
	stream->at += n_head + (size_t)size;
	return 0;
}

/* Receives one message, or tries to, and holds it against the reference if there is a result. */
static int receive_one(brood_conn *conn, int how, struct stream *stream)
{
	const struct stream before = *stream;
	const bool is_shared = (how & IS_SHARED) != 0;
	const int mode = how % 8;
	const uint8_t *message = NULL;
	brood_object *object = NULL, *same = NULL;
	void *got = NULL;
	char buffer[BUFFER];
	size_t size = 0, got_size = 0;
	ssize_t n = -EMSGSIZE;
	int r, wanted;

	if (mode == RECV_INTO) {
		memset(buffer, '#', sizeof(buffer)); /* not what the last call left there */
		n = brood_conn_recv_into(conn, buffer, sizeof(buffer), 0);
		got_size = n >= 0 ? (size_t)n : 0;
	} else if (mode == NEXT_SIZE) {
		n = brood_conn_next_size(conn, 0);
		got_size = n >= 0 ? (size_t)n : 0;
		if (n > (ssize_t)MOST_DATA)
			n = -EMSGSIZE; /* of a message that never comes whole */
	}
	r = n < 0 ? (int)n : 0;
	if (mode == RECV_OBJECT)
		r = brood_conn_recv(conn, NULL, 0, &object);
	else if (r == -EMSGSIZE || (r == 0 && mode == NEXT_SIZE))
		r = brood_conn_recv_bytes(conn, 0, &got, &got_size);
	if (r == -ETIMEDOUT)
		return r;
	wanted = reference(stream, &message, &size);
	if (r == -EBADMSG && is_shared && brood_conn_next_size(conn, 0) == r)
		return r; /* part of a message cannot be kept there, and it is broken */
	if (wanted == 0 && mode == RECV_OBJECT)
		wanted = brood_pickle_loads(message, size, NULL, &same);
	must(r == wanted, "the result");
	if (r == 0 && mode == RECV_OBJECT)
		must(brood_object_equal(object, object) == brood_object_equal(object, same),
		     "the object");
	else if (r == 0)
		must(got_size == size &&
			     (size == 0 || memcmp(got != NULL ? got : buffer, message, size) == 0),
		     "the message");
	brood_object_free(object);
	brood_object_free(same);
	free(got);
	return stream->at > before.at ? 0 : r; /* what is no object was taken all the same */
}

static void open_ends(bool is_pipe, int ends[2])
{
	must((is_pipe ? pipe2(ends, O_CLOEXEC) :
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) == 0,
	     "two ends");
}

static void receive_all(int how, const uint8_t *data, size_t size)
{
	const brood_conn_opts opts = {
		.shared = (how & IS_SHARED) != 0,
		.read_ahead = (how & (READS_AHEAD | IS_SHARED)) == READS_AHEAD ? 100 : 0,
		.most = how & IS_LIMITED ? LIMIT : 0
	};
	static uint8_t bytes[MOST_DATA];
	struct stream stream = { .bytes = bytes, .most = opts.most > 0 ? opts.most : INT64_MAX };
	const uint8_t *pieces = data, *end = data + size;
	brood_conn *conn;
	int ends[2], r = 0;

	/* All of it, as the reference reads it. */
	for (const uint8_t *at = data; at < end;) {
		size_t n = *at++;

		n = n < (size_t)(end - at) ? n : (size_t)(end - at);
		memcpy(bytes + stream.size, at, n);
		stream.size += n;
		at += n;
	}
	open_ends((how & IS_PIPE) != 0, ends);
	must(brood_conn_new_take(ends[0], &opts, &conn) == 0, "a connection");
	while (pieces < end && (r == 0 || r == -ETIMEDOUT)) {
		size_t n = *pieces++;

		n = n < (size_t)(end - pieces) ? n : (size_t)(end - pieces);
		if (n > 0)
			must(write(ends[1], pieces, n) == (ssize_t)n, "a write");
		pieces += n;
		while ((r = receive_one(conn, how, &stream)) == 0)
			continue;
	}
	close(ends[1]);
	while (r == 0 || r == -ETIMEDOUT) {
		r = receive_one(conn, how, &stream);
		must(r != -ETIMEDOUT, "the end is told");
	}
	brood_conn_free(conn);
}

/* ---- handshakes */

static int connect_to_listener(void)
{
	const char *name = brood_listener_address(listener);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&address,
				(socklen_t)(offsetof(struct sockaddr_un, sun_path) +
					    strlen(name))) == 0,
	     "the listener is there");
	return fd;
}

struct end {
	brood_conn *conn;
	struct bri_handshake shake;
	int result; /* 0: not yet; 1; or -errno */
};

static void begin_end(struct end *end, int fd, enum bri_auth_side side)
{
	*end = (struct end){ .conn = NULL };
	must(brood_conn_new_take(fd, NULL, &end->conn) == 0, "a connection");
	must(bri_handshake_begin(&end->shake, side, end->conn, key, strlen(key), false, NULL) == 0,
	     "a handshake");
}

static void step_end(struct end *end)
{
	if (end->result != 0)
		return;
	end->result = bri_handshake_step(&end->shake, 0, NULL);
	if (end->result == -ETIMEDOUT)
		end->result = 0;
}

static void drop_end(struct end *end)
{
	bri_handshake_end(&end->shake);
	brood_conn_free(end->conn);
}

/* What the listener has to do, without waiting. Returns 1: a connection; 0; or -errno. */
static int step_listener(void)
{
	brood_conn *conn;
	int r = brood_listener_accept(listener, 0, &conn);

	if (r == 0)
		brood_conn_free(conn);
	must(r == 0 || r == -ETIMEDOUT || r == -EACCES || r == -EPROTO, "what accept says");
	return r == 0 ? 1 : r == -ETIMEDOUT ? 0 : r;
}

/* Who knows the key is let in, whatever came before. */
static void admit_an_honest_one(void)
{
	struct end client;
	int r = 0;

	begin_end(&client, connect_to_listener(), BRI_AUTH_CLIENT);
	for (int i = 0; i < MOST_STEPS && r != 1; i++) {
		step_end(&client);
		r = step_listener();
	}
	step_end(&client);
	must(r == 1 && client.result == 1, "an honest client is let in");
	drop_end(&client);
}

static void shake_hands(int how, const uint8_t *data, size_t size)
{
	bool listens = how % 8 == LISTENER, helped = false;
	struct end ours = { .conn = NULL }, honest;
	const uint8_t *at = data, *end = data + size;
	int ends[2], fd, r = 0;

	if (listens) {
		fd = connect_to_listener();
	} else {
		open_ends(false, ends);
		fd = ends[1];
		begin_end(&ours, ends[0], BRI_AUTH_CLIENT);
	}
	begin_end(&honest, fd, listens ? BRI_AUTH_CLIENT : BRI_AUTH_LISTENER);
	while (at < end && r == 0) {
		size_t n = *at & 0x7f;
		bool help = (*at++ & 0x80) != 0;

		n = n < (size_t)(end - at) ? n : (size_t)(end - at);
		helped = helped || help;
		if (help)
			step_end(&honest);
		if (n > 0 && send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		at += n;
		if (listens)
			r = step_listener();
		else
			step_end(&ours);
		r = listens ? r : ours.result;
	}
	must(r != 1 || helped, "nobody without the key is let in");
	drop_end(&honest);
	if (!listens) {
		for (int i = 0; i < MOST_STEPS && ours.result == 0; i++)
			step_end(&ours);
		must(ours.result != 0, "the end is told");
		drop_end(&ours);
		return;
	}
	/* Each turn takes what is there. */
	for (int i = 0; i < 4; i++)
		step_listener();
	admit_an_honest_one();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const brood_listener_opts opts = { .authkey = key,
					   .authkey_size = strlen(key),
					   .handshakes = 4 };
	char name[64];

	(void)argc;
	(void)argv;
	snprintf(name, sizeof(name), "@brood-fuzz-%d", (int)getpid());
	must(brood_listener_new(name, &opts, &listener) == 0, "a listener");
	must(brood_listener_fd(listener) >= 0, "its descriptor");
	must(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0, "hooks");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = next_fd();
	size_t before;

	if (size < 1 || size > MOST_DATA || data[0] % 8 >= MODES)
		return 0;
	before = live = peak = 0;
	if (data[0] % 8 < LISTENER)
		receive_all(data[0], data + 1, size - 1);
	else
		shake_hands(data[0], data + 1, size - 1);
	must(peak - before <= MOST_MEMORY(size), "memory is bounded");
	must(live == before, "all memory is given back");
	must(next_fd() == fd, "all descriptors are closed");
	return 0;
}
