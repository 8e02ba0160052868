/* bench-conn [ROUNDS] - messages of 64 bytes from process to process, beside a bare pipe; bodies of 64 MiB as segments,
 *	beside the same as messages
 * bench-conn 64kib - thousands of messages of 64 KiB in a second, for a peer that is another program
 *
 * The lines are those of rounds.h. */
#include <brood/conn.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../rounds.h"

#define SMALL 64
#define LARGE ((size_t)64 << 10)
#define AT_ONCE 256
#define BODY ((size_t)64 << 20)
#define BODIES 8L

static brood_conn *in, *out;
static int ends[2];

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_conn(void)
{
	const brood_conn_opts opts = { .read_ahead = (size_t)64 << 10 };

	if (brood_pipe_with(false, &opts, &in, &out) < 0)
		die("pipe");
}

static void close_conn(void)
{
	in = brood_conn_free(in);
	out = brood_conn_free(out);
}

/* ---- the receiving sides, each until the end comes; they return how many came */

static long receive(void)
{
	static char message[LARGE];
	long n = 0;

	out = brood_conn_free(out);
	while (brood_conn_recv_into(in, message, sizeof(message), BROOD_FOREVER) >= 0)
		n++;
	return n;
}

static long read_pipe(void)
{
	char message[SMALL];
	long n = 0;

	close(ends[1]);
	while (read(ends[0], message, SMALL) == SMALL)
		n++;
	return n;
}

/* ---- the sending sides */

static void send_each(long n)
{
	char message[SMALL] = "";

	for (long i = 0; i < n; i++)
		if (brood_conn_send_bytes(out, message, SMALL, BROOD_FOREVER) < 0)
			die("send");
}

static void send_many(long n)
{
	static char texts[AT_ONCE][SMALL];
	struct iovec messages[AT_ONCE];

	for (int i = 0; i < AT_ONCE; i++)
		messages[i] = (struct iovec){ texts[i], SMALL };
	for (long i = 0; i < n; i += AT_ONCE)
		if (brood_conn_send_many(out, messages, AT_ONCE, BROOD_FOREVER) != AT_ONCE)
			die("send");
}

static void send_large(long n)
{
	static char message[LARGE];

	for (long i = 0; i < n; i++)
		if (brood_conn_send_bytes(out, message, LARGE, BROOD_FOREVER) < 0)
			die("send");
}

static void write_pipe(long n)
{
	char message[SMALL] = "";

	for (long i = 0; i < n; i++)
		if (write(ends[1], message, SMALL) != SMALL)
			die("write");
}

/* Millions of messages a second, until all of them were received and counted. */
static double rate(bool ours, long n, void (*give)(long n))
{
	int64_t began;
	int status;
	pid_t pid;

	if (ours)
		open_conn();
	else if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit((ours ? receive() : read_pipe()) == n ? 0 : 1);
	}
	began = brood_now();
	give(n);
	if (ours) {
		close_conn();
	} else {
		close(ends[0]);
		close(ends[1]);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the receiver counts otherwise");
	return (double)n / (double)(brood_now() - began) * 1e3;
}

/* ---- bodies: the sender writes each from beginning to end, and the receiver reads it so. Of segments two take turns: one is
 * written while the other is read, and the receiver says when it is done with one */

static char *body;

static uint64_t sum_of(const void *data)
{
	const uint64_t *words = data;
	uint64_t sum = 0;

	for (size_t i = 0; i < BODY / sizeof(*words); i++)
		sum += words[i];
	return sum;
}

/* Into memory that was touched before; its own body is as good as any. */
static bool receive_message(uint64_t *ret_sum)
{
	if (brood_conn_recv_into(in, body, BODY, BROOD_FOREVER) != (ssize_t)BODY)
		return false;
	*ret_sum = sum_of(body);
	return true;
}

static bool receive_segment(uint64_t *ret_sum)
{
	brood_segment *segment;

	if (brood_conn_recv_segment(in, NULL, BROOD_FOREVER, &segment) < 0)
		return false;
	*ret_sum = sum_of(brood_segment_data(segment));
	brood_segment_unref(segment);
	return brood_conn_send_bytes(in, NULL, 0, BROOD_FOREVER) == 0;
}

static void send_messages(void)
{
	for (long i = 0; i < BODIES; i++) {
		memset(body, (int)i, BODY);
		if (brood_conn_send_bytes(out, body, BODY, BROOD_FOREVER) < 0)
			die("send");
	}
}

static void send_segments(brood_segment *segments[2])
{
	for (long i = 0; i < BODIES; i++) {
		if (i >= 2 && brood_conn_recv_into(out, NULL, 0, BROOD_FOREVER) != 0)
			die("turn");
		memset(brood_segment_data(segments[i % 2]), (int)i, BODY);
		if (brood_conn_send_segment(out, segments[i % 2], BROOD_FOREVER) < 0)
			die("send");
	}
}

static int read_bodies(bool ours)
{
	uint64_t sum = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	out = brood_conn_free(out);
	memset(body, 1, BODY); /* the first write to it after the fork copies it */
	brood_conn_send_bytes(in, "", 0, 0);
	for (long i = 0; i < BODIES; i++)
		if (!(ours ? receive_segment : receive_message)(&sum) ||
		    sum != (uint64_t)i * (UINT64_MAX / 255) * (BODY / sizeof(sum)))
			return 1;
	return 0;
}

/* MB a second, until the receiver has read the last of them. */
static double bodies(bool ours)
{
	brood_segment *segments[2];
	int64_t began;
	int status;
	pid_t pid;

	if (body == NULL && (body = malloc(BODY)) == NULL)
		die("memory");
	memset(body, 1, BODY);
	for (int i = 0; i < 2; i++) {
		if (brood_segment_new(BODY, NULL, &segments[i]) < 0)
			die("segment");
		memset(brood_segment_data(segments[i]), 0, BODY);
	}
	if (brood_pipe(true, &in, &out) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		_exit(read_bodies(ours));
	in = brood_conn_free(in);
	if (brood_conn_recv_into(out, NULL, 0, BROOD_FOREVER) != 0)
		die("the receiver is not there");
	began = brood_now();
	if (ours)
		send_segments(segments);
	else
		send_messages();
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the receiver has something else");
	began = brood_now() - began;
	out = brood_conn_free(out);
	brood_segment_unref(segments[0]);
	brood_segment_unref(segments[1]);
	return (double)(BODIES * (long)BODY) / (double)began * 1e3;
}

#define ONE_BY_ONE 200000L
#define BATCHED (AT_ONCE * 8000L)

static double one_by_one(bool ours)
{
	return rate(ours, ONE_BY_ONE, ours ? send_each : write_pipe);
}

static double batched(bool ours)
{
	return ours ? rate(true, BATCHED, send_many) : rate(false, ONE_BY_ONE, write_pipe);
}

static const struct rounds_figure figures[] = {
	{ "conn.64b", "M/s", "pipe", one_by_one, true },
	{ "conn.64b.batched", "M/s", "pipe", batched, true },
	{ "conn.64mib", "MB/s", "message", bodies, true },
};

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "15";

	if (strcmp(what, "64kib") == 0)
		printf("%g\n", rate(true, 4000, send_large) * 1e3);
	else if (!rounds_take(what, figures, sizeof(figures) / sizeof(figures[0])))
		return 2;
	return 0;
}
