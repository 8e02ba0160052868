/* A listener, or a client, for the tests that have another program at the other end
 *
 *	dial listen ADDRESS KEY COUNT     says its address in a line; sends COUNT clients, one after the other, all
 *	                                  their messages back, and says "echoed N" at each one's end
 *	dial client ADDRESS KEY SIZE...   sends a message of each size, checks that it comes back, says "same N"
 *	dial listen-values, dial client-values ADDRESS KEY: the same with objects, the client with its own
 *	dial give ADDRESS KEY PATH        sends the open file; dial take ADDRESS KEY says what is in the one that comes
 *	dial give-segment ADDRESS KEY TEXT, dial take-segment ADDRESS KEY: the same with a segment, without a header
 *
 * KEY is text, - none. A failure is said as "error NAME"; a client that is refused is one of the COUNT. */
#include <brood/listener.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pattern.h"

#define PATIENCE (200 * BROOD_SEC) /* for 64 MiB, on a machine with much else to do */

static int say_error(int r)
{
	printf("error %s\n", strerrorname_np(-r));
	return 1;
}

static void echo(brood_conn *conn)
{
	unsigned long n = 0;
	void *data;
	size_t size;
	int r;

	while ((r = brood_conn_recv_bytes(conn, PATIENCE, &data, &size)) == 0) {
		r = brood_conn_send_bytes(conn, data, size, PATIENCE);
		free(data);
		if (r < 0)
			break;
		n++;
	}
	if (r == -EPIPE)
		printf("echoed %lu\n", n);
	else
		say_error(r);
}

static void echo_values(brood_conn *conn)
{
	unsigned long n = 0;
	brood_object *object;
	int r;

	while ((r = brood_conn_recv(conn, NULL, PATIENCE, &object)) == 0) {
		r = brood_conn_send(conn, object, NULL, PATIENCE);
		brood_object_free(object);
		if (r < 0)
			break;
		n++;
	}
	if (r == -EPIPE)
		printf("echoed %lu\n", n);
	else
		say_error(r);
}

static int exchange_values(brood_conn *conn)
{
	const brood_object objects[] = {
		BROOD_NONE,
		BROOD_BOOL(true),
		BROOD_INT(-1729),
		BROOD_UINT(UINT64_MAX),
		BROOD_FLOAT(0.1),
		BROOD_TEXT("na\xc3\xafve"),
		BROOD_BYTES("\0\xff", 2),
		BROOD_TUPLE(BROOD_INT(1), BROOD_LIST(BROOD_INT(2), BROOD_TEXT("three"))),
		BROOD_DICT(BROOD_TEXT("key"), BROOD_SET(BROOD_INT(4))),
	};
	const int n = sizeof(objects) / sizeof(objects[0]);

	for (int i = 0; i < n; i++) {
		brood_object *back;
		int r = brood_conn_send(conn, &objects[i], NULL, PATIENCE);

		if (r == 0)
			r = brood_conn_recv(conn, NULL, PATIENCE, &back);
		if (r < 0)
			return r;
		r = brood_object_equal(&objects[i], back);
		brood_object_free(back);
		if (r != 1)
			return r < 0 ? r : -EBADMSG;
	}
	return n;
}

static int listen_to(const char *address, const brood_listener_opts *opts, int count, bool values)
{
	brood_listener *listener;
	brood_conn *conn;
	int r = brood_listener_new(address, opts, &listener);

	if (r < 0)
		return say_error(r);
	puts(brood_listener_address(listener));
	while (count-- > 0) {
		r = brood_listener_accept(listener, PATIENCE, &conn);
		if (r < 0) {
			say_error(r);
			continue;
		}
		if (values)
			echo_values(conn);
		else
			echo(conn);
		brood_conn_free(conn);
	}
	brood_listener_free(listener);
	return 0;
}

static int exchange(brood_conn *conn, size_t size)
{
	char *data = malloc(size + 1);
	void *back = NULL;
	size_t back_size = 0;
	int r;

	if (data == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(i);
	r = brood_conn_send_bytes(conn, data, size, PATIENCE);
	if (r == 0)
		r = brood_conn_recv_bytes(conn, PATIENCE, &back, &back_size);
	if (r == 0) {
		r = back_size == size && memcmp(back, data, size) == 0 ? 0 : -EBADMSG;
		free(back);
	}
	free(data);
	return r;
}

static int give(brood_conn *conn, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	char word[8];

	if (fd < 0)
		return -errno;
	r = brood_conn_send_fd(conn, fd, PATIENCE);
	close(fd);
	return r < 0 ? r : (int)brood_conn_recv_into(conn, word, sizeof(word), PATIENCE);
}

static int take(brood_conn *conn)
{
	int fd = brood_conn_recv_fd(conn, PATIENCE);
	char text[64];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0)
		return -errno;
	printf("%.*s\n", (int)n, text);
	return brood_conn_send_bytes(conn, "had it", 6, PATIENCE);
}

static int give_segment(brood_conn *conn, const char *text)
{
	brood_segment *segment;
	char word[8];
	int r = brood_segment_new(strlen(text), &(brood_segment_opts){ .raw = true }, &segment);

	if (r < 0)
		return r;
	memcpy(brood_segment_data(segment), text, strlen(text));
	r = brood_conn_send_segment(conn, segment, PATIENCE);
	brood_segment_unref(segment);
	return r < 0 ? r : (int)brood_conn_recv_into(conn, word, sizeof(word), PATIENCE);
}

static int take_segment(brood_conn *conn)
{
	const brood_segment_opts raw = { .raw = true };
	brood_segment *segment;
	int r = brood_conn_recv_segment(conn, &raw, PATIENCE, &segment);

	if (r < 0)
		return r;
	printf("%.*s\n", (int)brood_segment_size(segment),
	       (const char *)brood_segment_data(segment));
	brood_segment_unref(segment);
	return brood_conn_send_bytes(conn, "had it", 6, PATIENCE);
}

static int be_client(const brood_client_opts *opts, char *argv[])
{
	brood_conn *conn;
	int r = brood_client(argv[2], opts, &conn), n = 0;

	if (r < 0)
		return say_error(r);
	if (strcmp(argv[1], "give") == 0)
		r = give(conn, argv[4]);
	else if (strcmp(argv[1], "take") == 0)
		r = take(conn);
	else if (strcmp(argv[1], "give-segment") == 0)
		r = give_segment(conn, argv[4]);
	else if (strcmp(argv[1], "take-segment") == 0)
		r = take_segment(conn);
	else if (strcmp(argv[1], "client-values") == 0)
		n = r = exchange_values(conn);
	else
		for (char **size = argv + 4; *size != NULL && r == 0; size++, n++)
			r = exchange(conn, strtoul(*size, NULL, 10));
	brood_conn_free(conn);
	if (r < 0)
		return say_error(r);
	printf("same %d\n", n);
	return 0;
}

int main(int argc, char *argv[])
{
	brood_listener_opts opts = { .family = BROOD_FAMILY_ANY };
	brood_client_opts client_opts = { .timeout_ns = PATIENCE };

	if (argc < 4)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(argv[3], "-") != 0) {
		opts.authkey = client_opts.authkey = argv[3];
		opts.authkey_size = client_opts.authkey_size = strlen(argv[3]);
	}
	if (strncmp(argv[1], "listen", 6) == 0)
		return argc == 5 ? listen_to(argv[2], &opts, (int)strtol(argv[4], NULL, 10),
					     strcmp(argv[1], "listen-values") == 0) :
				   2;
	return be_client(&client_opts, argv);
}
