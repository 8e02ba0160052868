/* Connections, listeners and waiting as CPython's own tests have them: group E of the conformance cases
 *
 * Each case is one of those of CPython 3.13's test suite (its class and method in brackets), in brood's
 * words: EOFError is -EPIPE here, BufferTooShort -EMSGSIZE with the message left where it is, and
 * AuthenticationError -EACCES, or -EPROTO where no handshake was seen.
 *
 * Left out: objects that are pickled (the bytes are what is sent here); E04 and E06, of Windows and of
 * connections as arguments of a process; E13, the answers to single challenges, which is a matter of pure functions
 * (src/wire/auth_test.c). An offset is not a parameter: a pointer and a length say the same, and what lies beyond
 * cannot be seen, but a length that no memory has is refused. */
#include <brood/listener.h>
#include <brood/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define KEY .authkey = "hello", .authkey_size = 5
#define SHORT_NS (82 * BROOD_MSEC)
#define AT_ONCE_NS (10 * BROOD_SEC)
#define LARGE ((size_t)16 << 20)

static brood_conn *here, *there;
static brood_listener *listener;

static void make(void)
{
	ck_assert_int_eq(brood_pipe(true, &here, &there), 0);
}

static void drop(void)
{
	here = brood_conn_free(here);
	there = brood_conn_free(there);
	listener = brood_listener_free(listener);
}

static void say(brood_conn *conn, const char *text)
{
	ck_assert_int_eq(brood_conn_send_bytes(conn, text, strlen(text), PATIENCE_NS), 0);
}

static void ck_hears(brood_conn *conn, const char *text)
{
	char word[64];
	ssize_t n = brood_conn_recv_into(conn, word, sizeof(word) - 1, PATIENCE_NS);

	ck_assert_int_ge(n, 0);
	word[n] = '\0';
	ck_assert_str_eq(word, text);
}

static void echo(void *arg)
{
	void *data;
	size_t size;
	int r;

	(void)arg;
	here = brood_conn_free(here);
	while ((r = brood_conn_recv_bytes(there, PATIENCE_NS, &data, &size)) == 0 && size > 0) {
		must(brood_conn_send_bytes(there, data, size, PATIENCE_NS) == 0);
		free(data);
	}
	must(r == 0);
	free(data);
}

/* [_TestConnection.test_connection] */
START_TEST(e01_an_echo)
{
	char buffer[40] = "0123456789", *large = malloc(LARGE);
	int64_t began;
	void *back;
	size_t size;
	pid_t pid;

	ck_assert_ptr_nonnull(large);
	make();
	pid = peer(echo, NULL);
	there = brood_conn_free(there);
	say(here, "hello");
	ck_hears(here, "hello");
	/* Into a buffer, at its start and at 3. */
	say(here, "latin");
	ck_assert_int_eq(brood_conn_recv_into(here, buffer, sizeof(buffer), PATIENCE_NS), 5);
	ck_assert_mem_eq(buffer, "latin56789", 10);
	say(here, "latin");
	ck_assert_int_eq(brood_conn_recv_into(here, buffer + 3, sizeof(buffer) - 3, PATIENCE_NS),
			 5);
	ck_assert_mem_eq(buffer, "latlatin89", 10);
	/* Too small a buffer: the message is not lost. */
	say(here, "a message for which there is no room");
	ck_assert_int_eq(brood_conn_recv_into(here, buffer, 10, PATIENCE_NS), -EMSGSIZE);
	ck_hears(here, "a message for which there is no room");
	began = brood_now();
	ck_assert_int_eq(brood_conn_poll(here, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_poll(here, -1), -ETIMEDOUT);
	ck_assert_int_lt(brood_now() - began, AT_ONCE_NS);
	began = brood_now();
	ck_assert_int_eq(brood_conn_poll(here, SHORT_NS), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, SHORT_NS);
	say(here, "now it is there");
	ck_assert_int_eq(brood_conn_poll(here, PATIENCE_NS), 0);
	ck_hears(here, "now it is there");
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 7 + i / 4096);
	ck_assert_int_eq(brood_conn_send_bytes(here, large, LARGE, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_conn_recv_bytes(here, PATIENCE_NS, &back, &size), 0);
	ck_assert_uint_eq(size, LARGE);
	ck_assert_mem_eq(back, large, LARGE);
	free(back);
	free(large);
	say(here, "");
	ck_finishes(pid);
	ck_assert_int_eq(brood_conn_poll(here, 0), 0);
	ck_assert_int_eq(brood_conn_recv_into(here, buffer, sizeof(buffer), BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_conn_recv_into(here, buffer, sizeof(buffer), 0), -EPIPE);
	drop();
}
END_TEST

/* [_TestConnection.test_duplex_false] */
START_TEST(e02_one_way)
{
	brood_conn *reader, *writer;
	char word[8];

	ck_assert_int_eq(brood_pipe(false, &reader, &writer), 0);
	say(writer, "one");
	ck_hears(reader, "one");
	ck_assert(brood_conn_is_readable(reader) && !brood_conn_is_writable(reader));
	ck_assert(!brood_conn_is_readable(writer) && brood_conn_is_writable(writer));
	ck_assert_int_eq(brood_conn_send_bytes(reader, "two", 3, 0), -EACCES);
	ck_assert_int_eq(brood_conn_recv_into(writer, word, sizeof(word), 0), -EACCES);
	ck_assert_int_eq(brood_conn_poll(writer, 0), -EACCES);
	brood_conn_free(reader);
	brood_conn_free(writer);
}
END_TEST

/* [_TestConnection.test_sendbytes] */
START_TEST(e03_parts_of_a_message)
{
	const char message[] = "abcdefghijklmnopqrstuvwxyz";

	make();
	say(here, message);
	ck_hears(there, message);
	say(here, message + 5);
	ck_hears(there, message + 5);
	ck_assert_int_eq(brood_conn_send_bytes(here, message + 8, 7, 0), 0);
	ck_hears(there, "ijklmno");
	ck_assert_int_eq(brood_conn_send_bytes(here, message, 0, 0), 0);
	ck_hears(there, "");
	ck_assert_int_eq(brood_conn_send_bytes(here, message + 26, 0, 0), 0);
	ck_hears(there, "");
	ck_assert_int_eq(brood_conn_send_bytes(here, message, (size_t)-1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_send_bytes(here, NULL, 4, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_poll(there, 0), -ETIMEDOUT);
	drop();
}
END_TEST

static void write_to_what_comes(void *arg)
{
	int fd = brood_conn_recv_fd(there, PATIENCE_NS);

	(void)arg;
	must(fd >= 0);
	must(write(fd, "foo", 3) == 3);
	must(close(fd) == 0);
}

/* [_TestConnection.test_fd_transfer, test_large_fd_transfer, test_missing_fd_transfer] */
START_TEST(e05_a_file_for_a_child)
{
	int low = open_file("given", ""), fd = _i == 0 ? low : fcntl(low, F_DUPFD_CLOEXEC, 300);
	char text[8] = "";
	pid_t pid;

	make();
	ck_assert_int_ge(fd, _i == 0 ? 0 : 300);
	pid = peer(write_to_what_comes, NULL);
	ck_assert_int_eq(brood_conn_send_fd(here, fd, PATIENCE_NS), 0);
	ck_finishes(pid);
	ck_assert_int_eq(pread(low, text, sizeof(text), 0), 3);
	ck_assert_str_eq(text, "foo");
	if (fd != low)
		close(fd);
	close(low);
	/* None was attached to what comes. */
	ck_assert_int_eq(write(brood_conn_fd(here), "\0\0\0\1x", 5), 5);
	ck_assert_int_eq(brood_conn_recv_fd(there, PATIENCE_NS), -ENOMSG);
	drop();
}
END_TEST

static const char *place(int i)
{
	static char abstract[64];

	snprintf(abstract, sizeof(abstract), "@brood-conformance-%d", getpid());
	return i == 0 ? scratch_path("listener") : i == 1 ? "localhost:0" : abstract;
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void listen_at(int i, bool keyed)
{
	const brood_listener_opts opts = { KEY };

	ck_assert_int_eq(brood_listener_new(place(i), keyed ? &opts : NULL, &listener), 0);
}

static int dial(const brood_client_opts *opts, brood_conn **ret)
{
	return brood_client(brood_listener_address(listener), opts, ret);
}

/* [_TestListener.test_multiple_bind] */
START_TEST(e07_an_address_is_had_once)
{
	brood_listener *second;

	listen_at(_i, false);
	ck_assert_int_eq(brood_listener_new(brood_listener_address(listener), NULL, &second),
			 -EADDRINUSE);
	drop();
}
END_TEST

/* [_TestListener.test_context, test_abstract_socket] */
START_TEST(e08_a_listener_leaves_nothing)
{
	brood_conn *conn;

	listen_at(_i, false);
	ck_assert(is_there(place(0)) == (_i == 0));
	ck_assert_int_eq(dial(NULL, &here), 0);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &there), 0);
	say(here, "1729");
	ck_hears(there, "1729");
	brood_listener_close(listener);
	ck_assert_int_eq(brood_listener_accept(listener, 0, &conn), -EBADF);
	ck_assert(!is_there(place(0)));
	drop();
}
END_TEST

static void dial_and_greet(void *arg)
{
	(void)arg;
	must(dial(NULL, &here) == 0);
	must(brood_conn_send_bytes(here, "hello", 5, PATIENCE_NS) == 0);
	must(brood_conn_close(here) == 0);
}

/* [_TestListenerClient.test_listener_client, test_issue14725] */
START_TEST(e09_a_client_of_each_family)
{
	char word[8];
	pid_t pid;

	listen_at(_i / 2, false);
	pid = peer(dial_and_greet, NULL);
	/* It may have gone before it is accepted. */
	if (_i % 2)
		ck_finishes(pid);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &there), 0);
	ck_hears(there, "hello");
	if (_i % 2 == 0)
		ck_finishes(pid);
	ck_assert_int_eq(brood_conn_recv_into(there, word, sizeof(word), PATIENCE_NS), -EPIPE);
	drop();
}
END_TEST

/* [_TestListenerClient.test_issue16955] */
START_TEST(e10_poll_finds_what_was_sent)
{
	listen_at(_i, false);
	ck_assert_int_eq(dial(NULL, &here), 0);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &there), 0);
	say(there, "hello");
	ck_assert_int_eq(brood_conn_poll(here, PATIENCE_NS), 0);
	ck_hears(here, "hello");
	drop();
}
END_TEST

/* [_TestListener.test_empty_authkey] Some CPythons take an empty key for none, others for a key: neither here. */
START_TEST(e11_an_empty_key_is_refused)
{
	const brood_listener_opts empty = { .authkey = "" };
	const brood_client_opts client_empty = { .authkey = "" };

	ck_assert_int_eq(brood_listener_new(place(1), &empty, &listener), -ENOKEY);
	listen_at(1, true);
	ck_assert_int_eq(dial(&client_empty, &here), -ENOKEY);
	drop();
}
END_TEST

static void answer_garbage(void *arg)
{
	char word[300];

	(void)arg;
	must(dial(NULL, &here) == 0);
	must(brood_conn_recv_into(here, word, sizeof(word), PATIENCE_NS) > 20);
	must(brood_conn_send_bytes(here, "something bogus", 15, PATIENCE_NS) == 0);
	must(brood_conn_recv_into(here, word, sizeof(word), PATIENCE_NS) == 9);
	must(memcmp(word, "#FAILURE#", 9) == 0);
	brood_conn_close(here);
}

static void greet_wrongly(void *arg)
{
	char word[300];

	(void)arg;
	must(brood_listener_accept(listener, PATIENCE_NS, &there) == 0);
	must(brood_conn_send_bytes(there, "#CHALLENGE#abcdefghijklmnopqrst", 31, PATIENCE_NS) == 0);
	must(brood_conn_recv_into(there, word, sizeof(word), PATIENCE_NS) == 16);
	must(brood_conn_send_bytes(there, "something bogus", 15, PATIENCE_NS) == 0);
	must(brood_conn_recv_into(there, word, sizeof(word), PATIENCE_NS) == -EPIPE);
	brood_conn_close(there);
}

/* [OtherTest.test_deliver_challenge_auth_failure, test_answer_challenge_auth_failure] */
START_TEST(e12_garbage_is_no_answer)
{
	const brood_client_opts opts = { KEY, .timeout_ns = PATIENCE_NS };
	brood_conn *conn;
	pid_t pid;
	int r;

	listen_at(0, true);
	pid = peer(answer_garbage, NULL);
	r = brood_listener_accept(listener, PATIENCE_NS, &conn);
	ck_assert(r == -EACCES || r == -EPROTO);
	ck_finishes(pid);
	drop();
	listen_at(0, false);
	pid = peer(greet_wrongly, NULL);
	ck_assert_int_eq(dial(&opts, &conn), -EPROTO);
	ck_finishes(pid);
	drop();
}
END_TEST

#define WRITERS 4
#define EACH 10

static void send_ten(void *arg)
{
	brood_conn *conn = arg;
	char word[16];

	for (int i = 0; i < EACH; i++) {
		nap_ms(i % 5);
		snprintf(word, sizeof(word), "%d", i);
		must(brood_conn_send_bytes(conn, word, strlen(word), PATIENCE_NS) == 0);
	}
}

/* [TestWait.test_wait, test_wait_socket] */
START_TEST(e14_all_that_writers_send_comes)
{
	brood_waitable items[WRITERS];
	int next[WRITERS] = { 0 }, open = WRITERS;
	pid_t pids[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		brood_conn *writer;

		ck_assert_int_eq(brood_pipe(_i == 1, &items[i].conn, &writer), 0);
		pids[i] = peer(send_ten, writer);
		brood_conn_free(writer);
	}
	while (open > 0) {
		ck_assert_int_gt(brood_wait(items, (size_t)open, PATIENCE_NS), 0);
		for (int i = 0; i < open; i++) {
			char word[16];
			ssize_t n;

			if (!items[i].ready)
				continue;
			n = brood_conn_recv_into(items[i].conn, word, 15, 0);
			if (n == -EPIPE) {
				ck_assert_int_eq(next[i], EACH);
				brood_conn_free(items[i].conn);
				items[i] = items[--open];
				next[i] = next[open];
				i--;
				continue;
			}
			ck_assert_int_gt(n, 0);
			word[n] = '\0';
			ck_assert_int_eq(strtol(word, NULL, 10), next[i]++);
		}
	}
	for (int i = 0; i < WRITERS; i++)
		ck_finishes(pids[i]);
}
END_TEST

/* [TestWait.test_wait_timeout, test_neg_timeout] */
START_TEST(e15_waiting_ends)
{
	brood_waitable items[2];
	int64_t began = brood_now();

	make();
	items[0].conn = here;
	items[1].conn = there;
	ck_assert_int_eq(brood_wait(items, 2, SHORT_NS), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, SHORT_NS);
	began = brood_now();
	ck_assert_int_eq(brood_wait(items, 2, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_wait(items, 2, -1), -ETIMEDOUT);
	ck_assert_int_lt(brood_now() - began, AT_ONCE_NS);
	say(there, "x");
	ck_assert_int_eq(brood_wait(items, 2, SHORT_NS), 1);
	ck_assert(items[0].ready && !items[1].ready);
	drop();
}
END_TEST

/* [TestWait.test_wait_integer] A process's descriptor is ready when it has ended. */
START_TEST(e16_processes_among_connections)
{
	brood_child *child = start(BROOD_ARGV("true"), NULL);
	brood_waitable items[3] = { { .conn = NULL } };

	make();
	items[0].conn = here;
	items[1].fd = brood_child_pidfd(child);
	items[2].conn = there;
	ck_assert_int_eq(brood_wait(items, 3, PATIENCE_NS), 1);
	ck_assert(items[1].ready);
	say(here, "a");
	say(there, "b");
	ck_assert_int_eq(brood_wait(items, 3, PATIENCE_NS), 3);
	ck_hears(here, "b");
	ck_assert_int_eq(brood_wait(items, 3, PATIENCE_NS), 2);
	ck_assert(!items[0].ready && items[1].ready && items[2].ready);
	finish(child);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conformance/conn");
	TCase *tcase = leak_case(suite, "E", 60);

	tcase_add_test(tcase, e01_an_echo);
	tcase_add_test(tcase, e02_one_way);
	tcase_add_test(tcase, e03_parts_of_a_message);
	tcase_add_loop_test(tcase, e05_a_file_for_a_child, 0, 2);
	tcase_add_loop_test(tcase, e07_an_address_is_had_once, 0, 3);
	tcase_add_loop_test(tcase, e08_a_listener_leaves_nothing, 0, 3);
	tcase_add_loop_test(tcase, e09_a_client_of_each_family, 0, 6);
	tcase_add_loop_test(tcase, e10_poll_finds_what_was_sent, 0, 3);
	tcase_add_test(tcase, e11_an_empty_key_is_refused);
	tcase_add_test(tcase, e12_garbage_is_no_answer);
	tcase_add_loop_test(tcase, e14_all_that_writers_send_comes, 0, 2);
	tcase_add_test(tcase, e15_waiting_ends);
	tcase_add_test(tcase, e16_processes_among_connections);
	return leak_run(suite);
}
