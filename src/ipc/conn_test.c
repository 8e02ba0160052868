#include <brood/conn.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static brood_conn *in, *out; /* `in` is the end that receives */
static char large[3 << 20], got[3 << 20];

static const brood_conn_opts kinds[] = { { .shared = false },
					 { .read_ahead = 4096 },
					 { .shared = true } };

/* Pipe, and pair of sockets, of each kind. */
#define KINDS 6
#define add_for_all(tcase, test) tcase_add_loop_test(tcase, test, 0, KINDS)
#define IS_SHARED(i) ((i) % 3 == 2)
#define READS_AHEAD(i) ((i) % 3 == 1)

static void make(int kind)
{
	ck_assert_int_eq(brood_pipe_with(kind >= 3, &kinds[kind % 3], &in, &out), 0);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 31 + i / 777);
}

static void drop(void)
{
	in = brood_conn_free(in);
	out = brood_conn_free(out);
}

static int say(const char *text)
{
	return brood_conn_send_bytes(out, text, strlen(text), BROOD_FOREVER);
}

static void ck_hears(const char *text)
{
	char word[64];
	ssize_t n = brood_conn_recv_into(in, word, sizeof(word) - 1, PATIENCE_NS);

	ck_assert_int_ge(n, 0);
	word[n] = '\0';
	ck_assert_str_eq(word, text);
}

/* Bytes that are no message, or not a whole one. */
static void raw(const char *bytes, size_t n)
{
	ck_assert_int_eq(write(brood_conn_fd(out), bytes, n), n);
}

START_TEST(messages_keep_their_borders)
{
	void *data;
	size_t size;

	make(_i);
	ck_assert_int_eq(say("one"), 0);
	ck_assert_int_eq(say(""), 0);
	ck_assert_int_eq(say("three"), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, NULL, 0, 0), 0);
	ck_hears("one");
	ck_hears("");
	ck_assert_int_eq(brood_conn_recv_bytes(in, 0, &data, &size), 0);
	ck_assert_uint_eq(size, 5);
	ck_assert_mem_eq(data, "three", 5);
	free(data);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 0, &data, &size), 0);
	ck_assert_uint_eq(size, 0);
	ck_assert_ptr_nonnull(data);
	free(data);
	ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 20 * BROOD_MSEC, &data, &size), -ETIMEDOUT);
	drop();
}
END_TEST

START_TEST(what_is_too_large_stays)
{
	make(_i);
	ck_assert_int_eq(say("a long one"), 0);
	ck_assert_int_eq(say("next"), 0);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_conn_recv_into(in, NULL, 0, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_conn_poll(in, 0), 0);
	ck_assert_int_eq(brood_conn_next_size(in, 0), 10);
	ck_assert_int_eq(brood_conn_next_size(in, 0), 10);
	ck_hears("a long one");
	ck_hears("next");
	ck_assert_int_eq(say(""), 0);
	ck_assert_int_eq(brood_conn_next_size(in, 0), 0);
	ck_assert_int_eq(brood_conn_poll(in, 0), 0);
	ck_hears("");
	ck_assert_int_eq(brood_conn_poll(in, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_next_size(in, 0), -ETIMEDOUT);
	drop();
}
END_TEST

START_TEST(poll_waits)
{
	int64_t began = brood_now();
	pid_t pid;

	make(_i);
	ck_assert_int_eq(brood_conn_poll(in, -1), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(in, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(in, 50 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 50 * BROOD_MSEC);
	pid = fork();
	if (pid == 0) {
		nap_ms(50);
		_exit(say("now") == 0 ? 0 : 1);
	}
	ck_assert_int_eq(brood_conn_poll(in, BROOD_FOREVER), 0);
	ck_hears("now");
	ck_finishes(pid);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_poll(in, 0), 0); /* the end is to be had */
	ck_assert_int_eq(brood_conn_recv_into(in, got, 1, 0), -EPIPE);
	drop();
}
END_TEST

START_TEST(the_end_is_no_message)
{
	void *data;
	size_t size;

	make(_i);
	ck_assert_int_eq(say("last"), 0);
	out = brood_conn_free(out);
	ck_hears("last");
	ck_assert_int_eq(brood_conn_recv_into(in, got, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 0, &data, &size), -EPIPE);
	ck_assert_int_eq(brood_conn_next_size(in, 0), -EPIPE);
	drop();
}
END_TEST

START_TEST(an_end_inside_is_told_apart)
{
	void *data;
	size_t size;

	for (int part = 0; part < 3; part++) {
		make(_i);
		raw("\0\0\0\6abc", part == 0 ? 2 : part == 1 ? 4 : 7);
		if (part == 1)
			ck_assert_int_eq(brood_conn_next_size(in, 0), 6);
		out = brood_conn_free(out);
		if (part == 2)
			ck_assert_int_eq(brood_conn_recv_bytes(in, BROOD_FOREVER, &data, &size),
					 -ECONNRESET);
		ck_assert_int_eq(brood_conn_recv_into(in, got, 9, BROOD_FOREVER), -ECONNRESET);
		ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -ECONNRESET);
		ck_assert_int_eq(brood_conn_poll(in, 0), 0);
		drop();
	}
}
END_TEST

START_TEST(nobody_receives)
{
	make(_i);
	in = brood_conn_free(in);
	ck_assert_int_eq(say("hello?"), -EPIPE);
	ck_assert_int_eq(say("hello?"), -EPIPE);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, sizeof(large), 0), -EPIPE);
	ck_assert_int_eq(brood_conn_send_many(out, &(struct iovec){ large, 1 }, 1, 0), -EPIPE);
	drop();
}
END_TEST

/* And goes away when half of it is sent. */
static void take_a_little(void *arg)
{
	(void)arg;
	out = brood_conn_free(out);
	must(read(brood_conn_fd(in), got, 1000) == 1000);
}

START_TEST(nobody_receives_the_rest)
{
	pid_t pid;

	make(_i);
	pid = peer(take_a_little, NULL);
	in = brood_conn_free(in);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, sizeof(large), BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(say("more"), -EPIPE);
	ck_finishes(pid);
	drop();
}
END_TEST

static void send_large(void *arg)
{
	(void)arg;
	in = brood_conn_free(in);
	for (int i = 0; i < 2; i++)
		must(brood_conn_send_bytes(out, large, sizeof(large), PATIENCE_NS) == 0);
	must(say("end") == 0);
}

START_TEST(large_ones_come_whole)
{
	pid_t pid;
	void *data;
	size_t size;

	make(_i);
	pid = peer(send_large, NULL);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), PATIENCE_NS), sizeof(large));
	ck_assert_mem_eq(got, large, sizeof(large));
	ck_assert_int_eq(brood_conn_recv_bytes(in, BROOD_FOREVER, &data, &size), 0);
	ck_assert_uint_eq(size, sizeof(large));
	ck_assert_mem_eq(data, large, sizeof(large));
	free(data);
	ck_hears("end");
	ck_assert_int_eq(brood_conn_recv_into(in, got, 1, BROOD_FOREVER), -EPIPE);
	ck_finishes(pid);
	drop();
}
END_TEST

START_TEST(time_passes_in_the_middle_of_sending)
{
	int r;

	make(_i);
	r = brood_conn_send_bytes(out, large, sizeof(large), 20 * BROOD_MSEC);
	if (IS_SHARED(_i)) {
		ck_assert_int_eq(r, -ETIMEDOUT);
		ck_assert_int_eq(say("more"), -EBADMSG);
		ck_assert_int_eq(brood_conn_flush(out, 0), -EBADMSG);
		drop();
		return;
	}
	ck_assert_int_eq(r, -EINPROGRESS);
	ck_assert_int_eq(brood_conn_send_bytes(out, "more", 4, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_flush(out, 0), -ETIMEDOUT);
	for (size_t at = 0;;) { /* in pieces, each at a time when nothing more is there */
		void *data;
		size_t size;

		r = brood_conn_recv_bytes(in, 0, &data, &size);
		if (r == 0) {
			ck_assert_uint_eq(size, sizeof(large));
			ck_assert_mem_eq(data, large, size);
			free(data);
			break;
		}
		ck_assert_int_eq(r, -ETIMEDOUT);
		ck_assert_uint_lt(at++, 100000);
		r = brood_conn_flush(out, 0);
		ck_assert(r == 0 || r == -ETIMEDOUT);
	}
	ck_assert_int_eq(brood_conn_flush(out, 0), 0);
	ck_assert_int_eq(say("more"), 0);
	ck_hears("more");
	drop();
}
END_TEST

START_TEST(time_passes_in_the_middle_of_receiving)
{
	void *data;
	size_t size;

	make(_i);
	raw("\0\0", 2);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(in, 0), -ETIMEDOUT);
	raw("\0\7", 2);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 20 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(in, 0), -ETIMEDOUT);
	raw("abc", 3);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 6, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 20 * BROOD_MSEC), -ETIMEDOUT);
	if (IS_SHARED(_i)) {
		ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EBADMSG);
		ck_assert_int_eq(brood_conn_poll(in, 0), 0);
		drop();
		return;
	}
	raw("de", 2);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 20 * BROOD_MSEC, &data, &size), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_next_size(in, 0), 7);
	raw("fg", 2);
	memset(got, 0, 9);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), 7);
	ck_assert_str_eq(got, "abcdefg");
	ck_assert_int_eq(say("next"), 0);
	ck_hears("next");
	drop();
}
END_TEST

START_TEST(a_long_head_is_understood)
{
	make(_i);
	raw("\xff\xff\xff\xff\0\0\0\0\0\0\0\3abc", 15);
	ck_hears("abc");
	raw("\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 12);
	ck_hears("");
	drop();
}
END_TEST

START_TEST(what_is_no_message_breaks)
{
	void *data;
	size_t size;

	make(_i);
	raw("\xff\xff\xff\xfe", 4);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EPROTO);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 0, &data, &size), -EPROTO);
	ck_assert_int_eq(brood_conn_next_size(in, 0), -EPROTO);
	drop();
	make(_i);
	raw("\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EFBIG);
	drop();
}
END_TEST

/* It may announce what it likes; memory is only for what came. */
START_TEST(an_announcement_costs_nothing)
{
	struct rusage usage;
	void *data;
	size_t size;

	make(_i);
	raw("\xff\xff\xff\xff\0\0\x10\0\0\0\0\0abc", 15); /* 16 TiB */
	ck_assert_int_eq(brood_conn_next_size(in, 0), INT64_C(1) << 44);
	ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), 0), -EMSGSIZE);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 0, &data, &size), -ETIMEDOUT);
	getrusage(RUSAGE_SELF, &usage);
	ck_assert_int_lt(usage.ru_maxrss, 1 << 20); /* KiB */
	drop();
}
END_TEST

START_TEST(a_limit_is_kept)
{
	static const brood_conn_opts opts = { .most = 5 };

	ck_assert_int_eq(brood_pipe_with(false, &opts, &in, &out), 0);
	ck_assert_int_eq(say("12345"), 0);
	ck_assert_int_eq(say("123456"), 0);
	ck_hears("12345");
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EFBIG);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EFBIG);
	drop();
}
END_TEST

START_TEST(many_at_once)
{
	struct iovec messages[1000];
	static char texts[1000][8];
	ssize_t n;

	make(_i);
	for (int i = 0; i < 1000; i++)
		messages[i] = (struct iovec){ texts[i], (size_t)snprintf(texts[i], sizeof(texts[i]),
									 "%d", i) };
	messages[700] = (struct iovec){ large, 5000 };
	messages[701] = (struct iovec){ NULL, 0 };
	n = brood_conn_send_many(out, messages, 1000, BROOD_FOREVER);
	ck_assert_int_eq(n, 1000);
	for (int i = 0; i < 1000; i++) {
		n = brood_conn_recv_into(in, got, sizeof(got), PATIENCE_NS);
		ck_assert_int_eq(n, (ssize_t)messages[i].iov_len);
		if (n > 0)
			ck_assert_mem_eq(got, messages[i].iov_base, (size_t)n);
	}
	ck_assert_int_eq(brood_conn_send_many(out, NULL, 0, 0), 0);
	ck_assert_int_eq(brood_conn_send_many(out, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_send_many(out, &(struct iovec){ NULL, 1 }, 1, 0), -EINVAL);
	drop();
}
END_TEST

/* Small ones are packed, large ones are not: time passes in the middle of either. */
START_TEST(time_passes_with_many_at_once)
{
	static const size_t sizes[] = { 100, 900, 3000, 40000 };
	struct iovec messages[500];
	ssize_t n, sent;

	for (size_t k = 0; k < 4 && !IS_SHARED(_i); k++) {
		make(_i);
		for (int i = 0; i < 500; i++)
			messages[i] = (struct iovec){ large + i, sizes[k] };
		for (int i = 0; i < 500; i += 1 + i % 7)
			messages[i].iov_len = (size_t)i;
		for (sent = 0;; sent += n) {
			n = brood_conn_send_many(out, messages + sent % 500,
						 500 - (size_t)sent % 500, 0);
			if (n < 0)
				break;
		}
		sent += n == -EINPROGRESS;
		for (n = 0; n < sent; n++) {
			const struct iovec *message = &messages[n % 500];

			ck_assert_int_ge(brood_conn_flush(out, 0), -ETIMEDOUT);
			ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), 0),
					 message->iov_len);
			if (message->iov_len > 0)
				ck_assert_mem_eq(got, message->iov_base, message->iov_len);
		}
		ck_assert_int_eq(brood_conn_flush(out, 0), 0);
		ck_assert_int_eq(brood_conn_poll(in, 0), -ETIMEDOUT);
		drop();
	}
}
END_TEST

START_TEST(directions_are_kept)
{
	ck_assert_int_eq(brood_pipe(false, &in, &out), 0);
	ck_assert(brood_conn_is_readable(in) && !brood_conn_is_writable(in));
	ck_assert(!brood_conn_is_readable(out) && brood_conn_is_writable(out));
	ck_assert_int_eq(brood_conn_send_bytes(in, "a", 1, 0), -EACCES);
	ck_assert_int_eq(brood_conn_send_many(in, &(struct iovec){ large, 1 }, 1, 0), -EACCES);
	ck_assert_int_eq(brood_conn_flush(in, 0), -EACCES);
	ck_assert_int_eq(brood_conn_recv_into(out, got, 1, 0), -EACCES);
	ck_assert_int_eq(brood_conn_poll(out, 0), -EACCES);
	ck_assert_int_eq(brood_conn_next_size(out, 0), -EACCES);
	drop();
	ck_assert_int_eq(brood_pipe(true, &in, &out), 0);
	ck_assert(brood_conn_is_readable(in) && brood_conn_is_writable(in));
	ck_assert_int_eq(brood_conn_send_bytes(in, "back", 4, 0), 0);
	ck_assert_int_eq(brood_conn_recv_into(out, got, 9, 0), 4);
	drop();
}
END_TEST

START_TEST(closed_is_closed)
{
	void *data;
	size_t size;

	make(_i);
	ck_assert(!brood_conn_is_closed(in));
	ck_assert_int_eq(fcntl(brood_conn_fd(in), F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(brood_conn_close(in), 0);
	ck_assert_int_eq(brood_conn_close(in), 0);
	ck_assert_int_eq(brood_conn_close(out), 0);
	ck_assert(brood_conn_is_closed(in));
	ck_assert(!brood_conn_is_readable(in) && !brood_conn_is_writable(out));
	ck_assert_int_eq(brood_conn_fd(in), -EBADF);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 1, 0), -EBADF);
	ck_assert_int_eq(brood_conn_recv_bytes(in, 0, &data, &size), -EBADF);
	ck_assert_int_eq(brood_conn_next_size(in, 0), -EBADF);
	ck_assert_int_eq(brood_conn_poll(in, 0), -EBADF);
	ck_assert_int_eq(say("a"), -EBADF);
	ck_assert_int_eq(brood_conn_flush(out, 0), -EBADF);
	ck_assert_int_eq(brood_conn_send_many(out, NULL, 0, 0), -EBADF);
	drop();
	ck_assert_ptr_null(brood_conn_free(NULL));
}
END_TEST

START_TEST(arguments_are_looked_at)
{
	brood_fail fail = { 0 };
	const brood_conn_opts both = { .shared = true, .read_ahead = 1, .fail = &fail };
	const brood_conn_opts plain = { .fail = &fail };
	int pair[2];

	make(0);
	ck_assert_int_eq(brood_conn_send_bytes(out, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, SIZE_MAX / 2, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, SIZE_MAX, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_recv_into(in, NULL, 1, 0), -EINVAL);
	drop();
	ck_assert_int_eq(brood_pipe_with(true, &both, &in, &out), -EINVAL);
	ck_assert_str_eq(fail.step, "options");
	ck_assert_int_eq(brood_conn_new_take(-1, &plain, &in), -EBADF);
	ck_assert_str_eq(fail.step, "descriptor");
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(brood_conn_new_take(pair[0], NULL, &in), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	pair[0] = open("/", O_PATH | O_CLOEXEC);
	ck_assert_int_eq(brood_conn_new_take(pair[0], NULL, &in), -EBADF);
	close(pair[0]);
}
END_TEST

/* What one process has read ahead, or has a part of, is not another's. */
static void use_in_child(void *arg)
{
	int kind = *(int *)arg;

	must(brood_conn_recv_into(in, got, 9, 0) == (IS_SHARED(kind) ? 6 : -ECHILD));
	must(brood_conn_poll(in, 0) == (IS_SHARED(kind) ? -ETIMEDOUT : -ECHILD));
}

START_TEST(what_is_kept_is_kept_by_one_process)
{
	make(_i);
	ck_assert_int_eq(say("first"), 0);
	ck_assert_int_eq(say("second"), 0);
	ck_hears("first");
	if (!READS_AHEAD(_i))
		ck_assert_int_eq(brood_conn_next_size(in, 0), 6);
	ck_finishes(peer(use_in_child, &_i));
	if (!IS_SHARED(_i))
		ck_hears("second");
	drop();
}
END_TEST

/* ---- several at one end */

#define READERS 4
#define EACH 1000

static struct tally {
	int taken[READERS * EACH];
} * tally;

static void take_numbers(void *arg)
{
	int number;

	(void)arg;
	out = brood_conn_free(out);
	while (brood_conn_recv_into(in, &number, sizeof(number), PATIENCE_NS) == sizeof(number))
		__atomic_add_fetch(&tally->taken[number], 1, __ATOMIC_SEQ_CST);
}

static void send_numbers(void *arg)
{
	int first = *(int *)arg;

	in = brood_conn_free(in);
	for (int i = first; i < first + EACH; i++)
		must(brood_conn_send_bytes(out, &i, sizeof(i), PATIENCE_NS) == 0);
}

START_TEST(many_share_it)
{
	pid_t pids[2 * READERS];

	tally = share(sizeof(*tally));
	make(_i * 3 + 2);
	for (int i = 0; i < READERS; i++) {
		int first = i * EACH;

		pids[2 * i] = peer(take_numbers, NULL);
		pids[2 * i + 1] = peer(send_numbers, &first);
	}
	drop();
	for (int i = 0; i < 2 * READERS; i++)
		ck_finishes(pids[i]);
	for (int i = 0; i < READERS * EACH; i++)
		ck_assert_int_eq(tally->taken[i], 1);
}
END_TEST

static void *take_in_thread(void *arg)
{
	int number;

	(void)arg;
	while (brood_conn_recv_into(in, &number, sizeof(number), PATIENCE_NS) == sizeof(number))
		__atomic_add_fetch(&tally->taken[number], 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *send_in_thread(void *arg)
{
	for (int i = *(int *)arg, end = i + EACH; i < end; i++)
		ck_assert_int_eq(brood_conn_send_bytes(out, &i, sizeof(i), PATIENCE_NS), 0);
	return NULL;
}

START_TEST(threads_share_it)
{
	pthread_t readers[2], writers[2];
	int first[2] = { 0, EACH };

	tally = share(sizeof(*tally));
	make(_i * 3 + 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_create(&readers[i], NULL, take_in_thread, NULL), 0);
		ck_assert_int_eq(pthread_create(&writers[i], NULL, send_in_thread, &first[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	out = brood_conn_free(out);
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	for (int i = 0; i < 2 * EACH; i++)
		ck_assert_int_eq(tally->taken[i], 1);
	drop();
}
END_TEST

START_TEST(one_thread_sends_one_receives)
{
	pthread_t thread;
	int first = 0;

	tally = share(sizeof(*tally));
	make(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_in_thread, &first), 0);
	for (int i = 0, number; i < EACH; i++) {
		ck_assert_int_eq(brood_conn_recv_into(in, &number, sizeof(number), PATIENCE_NS),
				 sizeof(number));
		ck_assert_int_eq(number, i);
	}
	pthread_join(thread, NULL);
	drop();
}
END_TEST

static flag *here;

static void wait_for_a_message(void *arg)
{
	(void)arg;
	raise_flag(here);
	brood_conn_recv_into(in, got, sizeof(got), BROOD_FOREVER);
}

START_TEST(a_receiver_killed_while_it_waits_is_not_missed)
{
	pid_t pid;

	here = share(sizeof(*here));
	make(_i * 3 + 2);
	pid = peer(wait_for_a_message, NULL);
	await(here);
	nap_ms(50);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -ETIMEDOUT);
	finish_off(pid);
	ck_assert_int_eq(say("for whoever comes"), 0);
	ck_hears("for whoever comes");
	drop();
}
END_TEST

START_TEST(a_receiver_killed_in_a_message_breaks_it)
{
	pid_t pid;

	here = share(sizeof(*here));
	make(_i * 3 + 2);
	pid = peer(wait_for_a_message, NULL);
	raw("\0\0\0\6abc", 7);
	await(here);
	eventually(poll(&(struct pollfd){ .fd = brood_conn_fd(in), .events = POLLIN }, 1, 0) == 0);
	nap_ms(20);
	finish_off(pid);
	raw("def", 3);
	ck_assert_int_eq(say("not torn"), 0);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, PATIENCE_NS), -EBADMSG);
	ck_assert_int_eq(brood_conn_recv_into(in, got, 9, 0), -EBADMSG);
	ck_assert_int_eq(brood_conn_poll(in, 0), 0);
	drop();
}
END_TEST

static void send_without_end(void *arg)
{
	(void)arg;
	raise_flag(here);
	brood_conn_send_bytes(out, large, sizeof(large), BROOD_FOREVER);
}

START_TEST(a_sender_killed_in_a_message_breaks_it)
{
	pid_t pid;

	here = share(sizeof(*here));
	make(_i * 3 + 2);
	pid = peer(send_without_end, NULL);
	await(here);
	ck_assert_int_eq(brood_conn_next_size(in, PATIENCE_NS), sizeof(large));
	ck_assert_int_eq(brood_conn_send_bytes(out, "a", 1, 20 * BROOD_MSEC), -ETIMEDOUT);
	finish_off(pid);
	ck_assert_int_eq(say("not torn"), -EBADMSG);
	ck_assert_int_eq(brood_conn_send_many(out, &(struct iovec){ large, 1 }, 1, 0), -EBADMSG);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), PATIENCE_NS), -ECONNRESET);
	drop();
}
END_TEST

/* ---- killed at any moment */

#define KILLS 30
#define MESSAGE 300 /* bytes of a small one */

static void take_marked(void *arg)
{
	int message[MESSAGE / sizeof(int)];

	(void)arg;
	out = brood_conn_free(out);
	for (;;) {
		ssize_t n = brood_conn_recv_into(in, message, sizeof(message), PATIENCE_NS);

		if (n == -EPIPE)
			break;
		must(n == sizeof(message));
		must(message[0] == message[MESSAGE / sizeof(int) - 1]);
		__atomic_add_fetch(&tally->taken[message[0]], 1, __ATOMIC_SEQ_CST);
	}
}

static int send_marked(int number, int64_t timeout_ns)
{
	int message[MESSAGE / sizeof(int)];

	for (size_t i = 0; i < MESSAGE / sizeof(int); i++)
		message[i] = number;
	return brood_conn_send_bytes(out, message, sizeof(message), timeout_ns);
}

static void send_all_marked(void *arg)
{
	(void)arg;
	in = brood_conn_free(in);
	for (int i = 0; i < READERS * EACH; i++)
		must(send_marked(i, PATIENCE_NS) == 0);
}

/* Each takes one message along, at most. */
START_TEST(receivers_are_killed_at_any_moment)
{
	int lost = 0, kills = 0, status = 0;
	pid_t writer, reader, ended = 0;

	tally = share(sizeof(*tally));
	make(_i * 3 + 2);
	writer = peer(send_all_marked, NULL);
	while (kills < KILLS && (ended = waitpid(writer, &status, WNOHANG)) == 0) {
		reader = peer(take_marked, NULL);
		usleep((useconds_t)(kills * 137 % 3000));
		finish_off(reader);
		kills++;
	}
	reader = peer(take_marked, NULL);
	drop();
	ck_finishes(reader);
	if (ended == 0)
		ck_finishes(writer);
	ck_assert_int_eq(status, 0);
	for (int i = 0; i < READERS * EACH; i++) {
		ck_assert_int_le(tally->taken[i], 1);
		lost += tally->taken[i] == 0;
	}
	ck_assert_int_le(lost, kills);
}
END_TEST

static void send_without_rest(void *arg)
{
	in = brood_conn_free(in);
	for (int i = *(int *)arg * 100000;; i++)
		must(send_marked(i, PATIENCE_NS) == 0);
}

/* What they sent comes whole, without a gap, and the next one is heard. */
START_TEST(senders_are_killed_at_any_moment)
{
	int message[MESSAGE / sizeof(int)], expected = 0;
	ssize_t n;

	make(_i * 3 + 2);
	for (int kills = 0; kills < KILLS; kills++) {
		pid_t writer = peer(send_without_rest, &kills);

		do {
			n = brood_conn_recv_into(in, message, sizeof(message), PATIENCE_NS);
			ck_assert_int_eq(n, sizeof(message));
			ck_assert_int_eq(message[0], message[MESSAGE / sizeof(int) - 1]);
			if (message[0] / 100000 == kills && expected / 100000 != kills)
				expected = kills * 100000;
			ck_assert_int_eq(message[0], expected++);
		} while (message[0] < kills * 100000 + kills * 7 % 100);
		finish_off(writer);
	}
	drop();
}
END_TEST

/* ---- signals */

static void ring(int signum)
{
	(void)signum;
}

static void receive_slowly(void *arg)
{
	(void)arg;
	out = brood_conn_free(out);
	nap_ms(100);
	for (int i = 0; i < 2; i++)
		must(brood_conn_recv_into(in, got, sizeof(got), PATIENCE_NS) == sizeof(large));
}

START_TEST(signals_do_not_matter)
{
	const struct sigaction action = { .sa_handler = ring };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	pid_t pid;

	make(_i);
	sigaction(SIGALRM, &action, NULL);
	pid = peer(receive_slowly, NULL);
	in = brood_conn_free(in);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, sizeof(large), BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, sizeof(large), PATIENCE_NS), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_finishes(pid);
	drop();
}
END_TEST

/* `size` bytes of address space that are the same megabyte again and again. */
static char *map_again_and_again(size_t size)
{
	const size_t piece = (size_t)1 << 20;
	int fd = memfd_create("piece", MFD_CLOEXEC);
	char *all = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(fd >= 0 && ftruncate(fd, (off_t)piece) == 0 && all != MAP_FAILED);
	for (size_t at = 0; at < size; at += piece) {
		char *there = mmap(all + at, piece, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				   fd, 0);

		must(there == all + at);
	}
	close(fd);
	return all;
}

#define BEYOND (((size_t)2 << 30) + ((size_t)1 << 20))

static void send_beyond(void *arg)
{
	char *data = map_again_and_again(BEYOND);

	(void)arg;
	in = brood_conn_free(in);
	must(brood_conn_send_bytes(out, data, BEYOND, BROOD_FOREVER) == 0);
	must(say("behind") == 0);
}

START_TEST(more_than_2_gib_in_a_message)
{
	char *room = map_again_and_again(BEYOND);
	pid_t pid;

	make(_i);
	pid = peer(send_beyond, NULL);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_next_size(in, BROOD_FOREVER), (int64_t)BEYOND);
	ck_assert_int_eq(brood_conn_recv_into(in, room, BEYOND, BROOD_FOREVER), (int64_t)BEYOND);
	ck_hears("behind");
	ck_finishes(pid);
	munmap(room, BEYOND);
	drop();
}
END_TEST

START_TEST(a_pipe_grows_for_what_it_cannot_hold)
{
	int other[2], size;
	bool may_grow;

	ck_assert_int_eq(brood_pipe(false, &in, &out), 0);
	size = fcntl(brood_conn_fd(out), F_GETPIPE_SZ);
	ck_assert_int_eq(pipe2(other, O_CLOEXEC), 0);
	may_grow = size == 64 << 10 && fcntl(other[0], F_SETPIPE_SZ, 1 << 20) > 0;
	close(other[0]);
	close(other[1]);
	ck_assert_int_eq(brood_conn_send_bytes(out, large, (size_t)32 << 10, 0), 0);
	ck_assert_int_eq(fcntl(brood_conn_fd(out), F_GETPIPE_SZ), size);
	ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), 0), 32 << 10);
	/* With its head it is four bytes too much. */
	if (may_grow) {
		ck_assert_int_eq(brood_conn_send_bytes(out, large, (size_t)64 << 10, 0), 0);
		ck_assert_int_gt(fcntl(brood_conn_fd(out), F_GETPIPE_SZ), size);
		ck_assert_int_eq(brood_conn_recv_into(in, got, sizeof(got), 0), 64 << 10);
	}
	drop();
}
END_TEST

static void send_one_behind_the_other(void *arg)
{
	(void)arg;
	in = brood_conn_free(in);
	for (uint64_t i = 0; i < 20000; i++)
		must(brood_conn_send_bytes(out, &i, sizeof(i), PATIENCE_NS) == 0);
}

/* A reader that reads ahead waits awake for them: with a time-out, without, and for the end. */
START_TEST(one_behind_the_other)
{
	uint64_t number = 0;
	pid_t pid;

	make(_i);
	pid = peer(send_one_behind_the_other, NULL);
	out = brood_conn_free(out);
	for (uint64_t i = 0; i < 20000; i++) {
		ck_assert_int_eq(brood_conn_recv_into(in, &number, sizeof(number),
						      i % 2 ? PATIENCE_NS : BROOD_FOREVER),
				 sizeof(number));
		ck_assert_uint_eq(number, i);
	}
	ck_assert_int_eq(brood_conn_recv_into(in, &number, sizeof(number), BROOD_FOREVER), -EPIPE);
	ck_finishes(pid);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/conn");
	TCase *one = leak_case(suite, "one", 60), *several = leak_case(suite, "several", 60);
	TCase *vast = leak_case(suite, "vast",
				300); /* a second each, where there is nothing else to do */

	add_for_all(one, messages_keep_their_borders);
	add_for_all(one, what_is_too_large_stays);
	add_for_all(one, poll_waits);
	add_for_all(one, the_end_is_no_message);
	add_for_all(one, an_end_inside_is_told_apart);
	add_for_all(one, nobody_receives);
	add_for_all(one, nobody_receives_the_rest);
	add_for_all(one, large_ones_come_whole);
	add_for_all(one, time_passes_in_the_middle_of_sending);
	add_for_all(one, time_passes_in_the_middle_of_receiving);
	add_for_all(one, a_long_head_is_understood);
	add_for_all(one, what_is_no_message_breaks);
	add_for_all(one, an_announcement_costs_nothing);
	tcase_add_test(one, a_limit_is_kept);
	add_for_all(one, many_at_once);
	add_for_all(one, time_passes_with_many_at_once);
	tcase_add_test(one, directions_are_kept);
	add_for_all(one, closed_is_closed);
	tcase_add_test(one, arguments_are_looked_at);
	add_for_all(one, what_is_kept_is_kept_by_one_process);
	add_for_all(one, one_thread_sends_one_receives);
	add_for_all(one, signals_do_not_matter);
	add_for_all(one, one_behind_the_other);
	tcase_add_test(one, a_pipe_grows_for_what_it_cannot_hold);
	tcase_add_loop_test(vast, more_than_2_gib_in_a_message, 0, 1);
	if (getenv("BROOD_TEST_LONG") != NULL)
		tcase_add_loop_test(vast, more_than_2_gib_in_a_message, 1, KINDS);
	tcase_add_loop_test(several, many_share_it, 0, 2);
	tcase_add_loop_test(several, threads_share_it, 0, 2);
	tcase_add_loop_test(several, a_receiver_killed_while_it_waits_is_not_missed, 0, 2);
	tcase_add_loop_test(several, a_receiver_killed_in_a_message_breaks_it, 0, 2);
	tcase_add_loop_test(several, a_sender_killed_in_a_message_breaks_it, 0, 2);
	tcase_add_loop_test(several, receivers_are_killed_at_any_moment, 0, 2);
	tcase_add_loop_test(several, senders_are_killed_at_any_moment, 0, 2);
	return leak_run(suite);
}
