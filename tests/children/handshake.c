/* handshake - src/wire/auth.h and frame.h on a socket, for tests that have CPython at the other end
 *
 *	handshake SIDE FD KEY DIGEST POLICY
 *
 * SIDE is listener or client, KEY hexadecimal, DIGEST what our challenge asks for, POLICY md5 or modern. Says "1", or
 * the error and its text, as in "-13 the peer has another key". If all is well it then sends
 * back each message, and in the end says how many there were, and how the stream ended. */
#include "wire/auth.h"
#include "wire/frame.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ECHO_MOST (1 << 20)
#define PATIENCE 60 /* seconds; nobody waits for ever */

static void need(bool condition)
{
	if (!condition)
		exit(3);
}

/* Reads `size` bytes, or fewer if the stream ends. */
static size_t read_up_to(int fd, unsigned char *bytes, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, bytes + got, size - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

/* A message: its size; -ENODATA: the stream has ended before it; or the error of what came. */
static ssize_t receive(int fd, unsigned char *bytes, size_t most, brood_fail *fail)
{
	struct bri_frame frame;
	unsigned char head[BRI_FRAME_HEAD_MOST];
	size_t n, got;
	ssize_t r;

	bri_frame_begin(&frame, most);
	while ((n = bri_frame_wants(&frame)) > 0) {
		got = read_up_to(fd, head, n);
		r = bri_frame_feed(&frame, head, got, fail);
		if (r < 0)
			return r;
		if (got < n) {
			r = bri_frame_end(&frame, 0, fail);
			return r < 0 ? r : -ENODATA;
		}
	}
	got = read_up_to(fd, bytes, frame.size);
	r = bri_frame_end(&frame, got, fail);
	return r < 0 ? r : (ssize_t)frame.size;
}

/* The head alone, then the message: the reader has to wait for the rest. */
static void send_message(int fd, const unsigned char *bytes, size_t size)
{
	unsigned char head[BRI_FRAME_HEAD_MOST];
	size_t n = bri_frame_head(size, head);

	if (write(fd, head, n) != (ssize_t)n)
		return; /* it is gone; the next read tells */
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0)
			return;
		bytes += written;
		size -= (size_t)written;
	}
}

static int shake(int fd, enum bri_auth_side side, const struct bri_auth_opts *opts,
		 brood_fail *fail)
{
	unsigned char message[BRI_AUTH_MOST];
	struct bri_auth auth;
	int r = bri_auth_init(&auth, side, opts, fail);

	for (;;) {
		ssize_t size;

		if (auth.out_size > 0)
			send_message(fd, auth.out, auth.out_size);
		if (r != 0)
			break;
		size = receive(fd, message, sizeof(message), fail);
		if (size < 0) {
			r = (int)size;
			break;
		}
		r = bri_auth_step(&auth, message, (size_t)size, fail);
	}
	bri_auth_fini(&auth);
	return r;
}

static void echo(int fd)
{
	unsigned char *bytes = malloc(ECHO_MOST);
	brood_fail fail = { 0 };
	ssize_t size;
	int n;

	need(bytes != NULL);
	for (n = 0; (size = receive(fd, bytes, ECHO_MOST, &fail)) >= 0; n++)
		send_message(fd, bytes, (size_t)size);
	free(bytes);
	printf("%d messages, %zd %s\n", n, size, fail.text);
}

int main(int argc, char **argv)
{
	unsigned char key[512], nonce[BRI_AUTH_RANDOM];
	struct bri_auth_opts opts = { key, 0, nonce, BRI_SHA256, false };
	brood_fail fail = { 0 };
	int fd, digest, r;

	need(argc == 6 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	alarm(PATIENCE);
	fd = (int)strtol(argv[2], NULL, 10);
	for (const char *at = argv[3]; at[0] != '\0' && at[1] != '\0'; at += 2) {
		const char pair[] = { at[0], at[1], '\0' };

		need(opts.key_size < sizeof(key));
		key[opts.key_size++] = (unsigned char)strtoul(pair, NULL, 16);
	}
	digest = bri_digest_find(argv[4], strlen(argv[4]));
	need(digest >= 0);
	opts.digest = (enum bri_digest)digest;
	opts.allow_md5 = strcmp(argv[5], "md5") == 0;
	need(getrandom(nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce));
	r = shake(fd, strcmp(argv[1], "client") == 0 ? BRI_AUTH_CLIENT : BRI_AUTH_LISTENER, &opts,
		  &fail);
	if (r == 1)
		printf("1\n");
	else
		printf("%d %s\n", r, fail.text);
	if (r == 1)
		echo(fd);
	return fflush(stdout) == 0 ? 0 : 3;
}
