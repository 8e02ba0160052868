/* Connections, listeners and waiting as CPython's own tests have them: group E of the conformance cases
 *
 * Each case is one of those of CPython 3.13's test suite (its class and method in brackets), in brood's
 * words: EOFError is -EPIPE here, BufferTooShort -EMSGSIZE with the message left where it is, and
 * AuthenticationError -EACCES, or -EPROTO where no handshake was seen. Where another process is at the other end it
 * is started by each method.
 *
 * Left out: objects that are pickled (the bytes are what is sent here); E04 and E06, of Windows and of
 * connections that are sent (here they are arguments of a process); E13, the answers to single challenges, which is a matter of pure functions
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

#include "tests/unit/methods.h"

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

static int echo(const brood_args *args)
{
	void *data;
	size_t size;
	int r;

	here = brood_conn_free(here); /* a fork has a copy */
	there = brood_args_conn(args, 0);
	while ((r = brood_conn_recv_bytes(there, PATIENCE_NS, &data, &size)) == 0 && size > 0) {
		must(brood_conn_send_bytes(there, data, size, PATIENCE_NS) == 0);
		free(data);
	}
	must(r == 0);
	free(data);
	return 0;
}

/* [_TestConnection.test_connection] */
START_TEST(e01_an_echo)
{
	char buffer[40] = "0123456789", *large = malloc(LARGE);
	int64_t began;
	void *back;
	size_t size;
	brood_process *p;

	ck_assert_ptr_nonnull(large);
	make();
	p = start_it(echo, BROOD_ARGS(there), NULL);
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
	ck_assert_int_eq(end_of(p), 0);
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

static int write_to_what_comes(const brood_args *args)
{
	int fd = brood_conn_recv_fd(brood_args_conn(args, 0), PATIENCE_NS);

	must(fd >= 0);
	must(write(fd, "foo", 3) == 3);
	return close(fd);
}

/* [_TestConnection.test_fd_transfer, test_large_fd_transfer, test_missing_fd_transfer] */
START_TEST(e05_a_file_for_a_child)
{
	int low = open_file("given", ""), fd = _i == 0 ? low : fcntl(low, F_DUPFD_CLOEXEC, 300);
	char text[8] = "";
	brood_process *p;

	make();
	ck_assert_int_ge(fd, _i == 0 ? 0 : 300);
	p = start_it(write_to_what_comes, BROOD_ARGS(there), NULL);
	ck_assert_int_eq(brood_conn_send_fd(here, fd, PATIENCE_NS), 0);
	ck_assert_int_eq(end_of(p), 0);
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

static int dial_and_greet(const brood_args *args)
{
	must(brood_client(brood_args_str(args, 0), NULL, &here) == 0);
	must(brood_conn_send_bytes(here, "hello", 5, PATIENCE_NS) == 0);
	return brood_conn_close(here);
}

/* [_TestListenerClient.test_listener_client, test_issue14725] */
START_TEST(e09_a_client_of_each_family)
{
	char word[8];
	brood_process *p;

	listen_at(_i / 2, false);
	p = start_it(dial_and_greet, BROOD_ARGS(brood_listener_address(listener)), NULL);
	/* It may have gone before it is accepted. */
	if (_i % 2)
		ck_assert_int_eq(end_of(p), 0);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &there), 0);
	ck_hears(there, "hello");
	if (_i % 2 == 0)
		ck_assert_int_eq(end_of(p), 0);
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

static int answer_garbage(const brood_args *args)
{
	char word[300];

	must(brood_client(brood_args_str(args, 0), NULL, &here) == 0);
	must(brood_conn_recv_into(here, word, sizeof(word), PATIENCE_NS) > 20);
	must(brood_conn_send_bytes(here, "something bogus", 15, PATIENCE_NS) == 0);
	must(brood_conn_recv_into(here, word, sizeof(word), PATIENCE_NS) == 9);
	must(memcmp(word, "#FAILURE#", 9) == 0);
	return brood_conn_close(here);
}

static int dial_with_key(const brood_args *args)
{
	const brood_client_opts opts = { KEY, .timeout_ns = PATIENCE_NS };

	must(brood_client(brood_args_str(args, 0), &opts, &here) == -EPROTO);
	return 0;
}

/* [OtherTest.test_deliver_challenge_auth_failure, test_answer_challenge_auth_failure] */
START_TEST(e12_garbage_is_no_answer)
{
	brood_process *p;
	char word[300];
	int r;

	listen_at(0, true);
	p = start_it(answer_garbage, BROOD_ARGS(brood_listener_address(listener)), NULL);
	r = brood_listener_accept(listener, PATIENCE_NS, &there);
	ck_assert(r == -EACCES || r == -EPROTO);
	ck_assert_int_eq(end_of(p), 0);
	drop();
	listen_at(0, false);
	p = start_it(dial_with_key, BROOD_ARGS(brood_listener_address(listener)), NULL);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &there), 0);
	say(there, "#CHALLENGE#abcdefghijklmnopqrst");
	ck_assert_int_eq(brood_conn_recv_into(there, word, sizeof(word), PATIENCE_NS), 16);
	say(there, "something bogus");
	ck_assert_int_eq(brood_conn_recv_into(there, word, sizeof(word), PATIENCE_NS), -EPIPE);
	ck_assert_int_eq(end_of(p), 0);
	drop();
}
END_TEST

#define WRITERS 4
#define EACH 10

static int send_ten(const brood_args *args)
{
	brood_conn *conn = brood_args_conn(args, 0);
	char word[16];

	for (int i = 0; i < EACH; i++) {
		nap_ms(i % 5);
		snprintf(word, sizeof(word), "%d", i);
		must(brood_conn_send_bytes(conn, word, strlen(word), PATIENCE_NS) == 0);
	}
	return 0;
}

/* [TestWait.test_wait, test_wait_socket] */
START_TEST(e14_all_that_writers_send_comes)
{
	brood_waitable items[WRITERS];
	int next[WRITERS] = { 0 }, open = WRITERS;
	brood_process *p[WRITERS];

	for (int i = 0; i < WRITERS; i++) {
		brood_conn *writer;

		ck_assert_int_eq(brood_pipe(_i == 1, &items[i].conn, &writer), 0);
		p[i] = start_it(send_ten, BROOD_ARGS(writer), NULL);
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
		ck_assert_int_eq(end_of(p[i]), 0);
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

static int end_at_once(const brood_args *args)
{
	(void)args;
	return 0;
}

/* [TestWait.test_wait_integer] A process's descriptor is ready when it has ended. */
START_TEST(e16_processes_among_connections)
{
	brood_process *p = start_it(end_at_once, BROOD_NO_ARGS, NULL);
	brood_waitable items[3] = { { .conn = NULL } };

	make();
	items[0].conn = here;
	items[1].fd = brood_process_sentinel(p);
	items[2].conn = there;
	ck_assert_int_eq(brood_wait(items, 3, PATIENCE_NS), 1);
	ck_assert(items[1].ready);
	say(here, "a");
	say(there, "b");
	ck_assert_int_eq(brood_wait(items, 3, PATIENCE_NS), 3);
	ck_hears(here, "b");
	ck_assert_int_eq(brood_wait(items, 3, PATIENCE_NS), 2);
	ck_assert(!items[0].ready && items[1].ready && items[2].ready);
	ck_assert_int_eq(end_of(p), 0);
	drop();
}
END_TEST

/* Where another process is at the other end. */
static void add_shared(TCase *tcase, brood_start_method method)
{
	(void)method;
	tcase_add_test(tcase, e01_an_echo);
	tcase_add_loop_test(tcase, e05_a_file_for_a_child, 0, 2);
	tcase_add_loop_test(tcase, e09_a_client_of_each_family, 0, 6);
	tcase_add_test(tcase, e12_garbage_is_no_answer);
	tcase_add_loop_test(tcase, e14_all_that_writers_send_comes, 0, 2);
	tcase_add_test(tcase, e16_processes_among_connections);
}

int main(void)
{
	Suite *suite = suite_create("conformance/conn");
	TCase *tcase = leak_case(suite, "E", 60);

	brood_init();
	tcase_add_test(tcase, e02_one_way);
	tcase_add_test(tcase, e03_parts_of_a_message);
	tcase_add_loop_test(tcase, e07_an_address_is_had_once, 0, 3);
	tcase_add_loop_test(tcase, e08_a_listener_leaves_nothing, 0, 3);
	tcase_add_loop_test(tcase, e10_poll_finds_what_was_sent, 0, 3);
	tcase_add_test(tcase, e11_an_empty_key_is_refused);
	tcase_add_test(tcase, e15_waiting_ends);
	add_for_each_method(suite, NULL, NULL, add_shared);
	return leak_run(suite);
}
