#include <brood/listener.h>
#include <brood/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static brood_listener *listener;
static brood_fail fail;

#define KEY .authkey = "secret-key", .authkey_size = 10
static const brood_listener_opts keyed = { KEY, .fail = &fail };
static const brood_client_opts knows = { KEY, .timeout_ns = PATIENCE_NS, .fail = &fail };

/* Where each family listens; NULL: a fresh path. */
#define PLACES 6

static const char *place(int i)
{
	static char abstract[64];

	switch (i) {
	case 0:
		return scratch_path("socket");
	case 1:
		snprintf(abstract, sizeof(abstract), "@brood-test-%d", getpid());
		return abstract;
	case 2:
		return ":0";
	case 3:
		return "localhost:0";
	case 4:
		return "[::1]:0";
	default:
		return NULL;
	}
}

static bool has_inet6(void)
{
	brood_listener *six;

	if (brood_listener_new("[::1]:0", NULL, &six) < 0)
		return false;
	brood_listener_free(six);
	return true;
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void make(int i, const brood_listener_opts *opts)
{
	ck_assert_int_eq(brood_listener_new(place(i), opts, &listener), 0);
}

static void drop(void)
{
	listener = brood_listener_free(listener);
}

static brood_conn *client(const brood_client_opts *opts)
{
	brood_conn *conn = NULL;
	int r = brood_client(brood_listener_address(listener), opts, &conn);

	ck_assert_msg(r == 0, "client: %d", r);
	return conn;
}

/* A client that does not do what it should, in the way of this one. */
static int stranger(void)
{
	brood_client_opts none = { .timeout_ns = PATIENCE_NS };
	brood_conn *conn = client(&none);
	int fd = dup(brood_conn_fd(conn));

	brood_conn_free(conn);
	return fd;
}

/* ---- each in a process of its own */

static void greet(void *opts)
{
	brood_conn *conn;
	char word[8];

	must(brood_client(brood_listener_address(listener), opts, &conn) == 0);
	must(brood_conn_send_bytes(conn, "hello", 5, PATIENCE_NS) == 0);
	must(brood_conn_recv_into(conn, word, 8, PATIENCE_NS) == 4);
	brood_conn_free(conn);
}

static void ck_greets(const brood_client_opts *opts)
{
	pid_t pid = peer(greet, (void *)opts);
	brood_conn *conn;
	char word[8];

	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), 0);
	ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, PATIENCE_NS), 5);
	ck_assert_int_eq(brood_conn_send_bytes(conn, "back", 4, PATIENCE_NS), 0);
	ck_finishes(pid);
	brood_conn_free(conn);
}

START_TEST(every_family_talks)
{
	if (_i == 4 && !has_inet6())
		return;
	make(_i, NULL);
	ck_assert_ptr_null(brood_listener_last_accepted(listener));
	ck_greets(NULL);
	ck_assert_ptr_nonnull(brood_listener_last_accepted(listener));
	if (_i == 2 || _i == 3)
		ck_assert_int_eq(strncmp(brood_listener_last_accepted(listener), "127.0.0.1:", 10),
				 0);
	else if (_i == 4)
		ck_assert_int_eq(strncmp(brood_listener_last_accepted(listener), "[::1]:", 6), 0);
	else
		ck_assert_str_eq(brood_listener_last_accepted(listener), "");
	drop();
}
END_TEST

START_TEST(every_family_knows_the_key)
{
	if (_i == 4 && !has_inet6())
		return;
	make(_i, &keyed);
	ck_greets(&knows);
	ck_greets(&knows);
	drop();
}
END_TEST

START_TEST(without_an_address_it_finds_one)
{
	const brood_listener_opts inet = { .family = BROOD_FAMILY_INET };
	const brood_listener_opts inet6 = { .family = BROOD_FAMILY_INET6 };
	char folder[200];
	struct stat st;

	make(5, NULL);
	snprintf(folder, sizeof(folder), "%s", brood_listener_address(listener));
	*strrchr(folder, '/') = '\0';
	ck_assert_int_eq(stat(folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	drop();
	ck_assert_int_eq(stat(folder, &st), -1);
	make(5, &inet);
	ck_assert_int_eq(strncmp(brood_listener_address(listener), "127.0.0.1:", 10), 0);
	drop();
	if (!has_inet6())
		return;
	make(5, &inet6);
	ck_assert_int_eq(strncmp(brood_listener_address(listener), "[::1]:", 6), 0);
	drop();
}
END_TEST

/* ---- what the client does before it is accepted */

START_TEST(what_was_sent_before_is_received)
{
	brood_conn *conn;
	char word[8];

	if (_i == 4 && !has_inet6())
		return;
	make(_i, NULL);
	conn = client(NULL);
	ck_assert_int_eq(brood_conn_send_bytes(conn, "early", 5, 0), 0);
	brood_conn_free(conn);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), 0);
	ck_assert_int_eq(brood_conn_poll(conn, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, PATIENCE_NS), 5);
	ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, PATIENCE_NS), -EPIPE);
	brood_conn_free(conn);
	drop();
}
END_TEST

START_TEST(accepting_takes_no_longer_than_said)
{
	int64_t began = brood_now();
	brood_conn *conn;

	make(_i, _i % 2 ? &keyed : NULL);
	ck_assert_int_eq(brood_listener_accept(listener, 0, &conn), -ETIMEDOUT);
	ck_assert_int_eq(brood_listener_accept(listener, -1, &conn), -ETIMEDOUT);
	ck_assert_int_eq(brood_listener_accept(listener, 50 * BROOD_MSEC, &conn), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 50 * BROOD_MSEC);
	drop();
}
END_TEST

static void come_late(void *arg)
{
	nap_ms(50);
	greet(arg);
}

START_TEST(signals_do_not_matter_to_it)
{
	int64_t began;
	brood_conn *conn;
	char word[8];
	pid_t pid;

	make(0, _i == 1 ? &keyed : NULL);
	storm();
	began = brood_now();
	ck_assert_int_eq(brood_listener_accept(listener, 100 * BROOD_MSEC, &conn), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 100 * BROOD_MSEC);
	ck_assert_int_lt(brood_now() - began, 10 * BROOD_SEC);
	ck_assert_int_ge(calm(), 1);
	pid = peer(come_late, _i == 1 ? (void *)&knows : NULL);
	storm();
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), 0);
	ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, PATIENCE_NS), 5);
	ck_assert_int_eq(brood_conn_send_bytes(conn, "back", 4, PATIENCE_NS), 0);
	calm();
	ck_finishes(pid);
	brood_conn_free(conn);
	drop();
}
END_TEST

/* ---- the wrong key */

static void have_another_key(void *arg)
{
	brood_client_opts opts = { .authkey = "another", .authkey_size = 7, .fail = &fail };
	brood_conn *conn;

	(void)arg;
	must(brood_client(brood_listener_address(listener), &opts, &conn) == -EACCES);
	must(strcmp(fail.step, "auth") == 0);
}

START_TEST(another_key_is_refused_at_both_ends)
{
	brood_conn *conn;
	pid_t pid;

	make(_i * 2, &keyed);
	for (int i = 0; i < 2; i++) {
		pid = peer(have_another_key, NULL);
		ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), -EACCES);
		ck_finishes(pid);
		ck_greets(&knows);
	}
	drop();
}
END_TEST

static void have_no_md5(void *arg)
{
	brood_client_opts opts = { KEY, .refuse_md5 = true };

	(void)arg;
	greet(&opts);
}

START_TEST(md5_can_be_refused)
{
	const brood_listener_opts modern = { KEY, .refuse_md5 = true };
	brood_conn *conn;
	pid_t pid;
	char word[8];

	make(0, &modern);
	pid = peer(have_no_md5, NULL);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), 0);
	ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, PATIENCE_NS), 5);
	ck_assert_int_eq(brood_conn_send_bytes(conn, "back", 4, PATIENCE_NS), 0);
	ck_finishes(pid);
	brood_conn_free(conn);
	drop();
}
END_TEST

START_TEST(an_empty_key_is_refused)
{
	brood_listener_opts opts = { .authkey = "", .fail = &fail };
	brood_client_opts client_opts = { .authkey = "", .fail = &fail };
	brood_conn *conn;

	ck_assert_int_eq(brood_listener_new(place(1), &opts, &listener), -ENOKEY);
	ck_assert_str_eq(fail.step, "authkey");
	opts = (brood_listener_opts){ .authkey_size = 3 };
	ck_assert_int_eq(brood_listener_new(place(1), &opts, &listener), -ENOKEY);
	ck_assert_int_eq(brood_client(place(1), &client_opts, &conn), -ENOKEY);
	ck_assert_str_eq(fail.step, "authkey");
}
END_TEST

/* ---- clients that mean no good */

START_TEST(silent_ones_block_nobody)
{
	const brood_listener_opts few = { KEY, .handshakes = 4 };
	int silent[12];

	make(_i * 2, _i == 0 ? &keyed : &few);
	for (int i = 0; i < 12; i++)
		silent[i] = stranger();
	for (int i = 0; i < 3; i++)
		ck_greets(&knows);
	for (int i = 0; i < 12; i++)
		close(silent[i]);
	drop();
}
END_TEST

START_TEST(slow_ones_have_their_time)
{
	const brood_listener_opts quick = { KEY, .handshake_ns = 100 * BROOD_MSEC };
	brood_conn *conn;
	char word[200];
	int slow;

	make(_i * 2, &quick);
	slow = stranger();
	for (int i = 0; i < 30; i++) {
		ck_assert_int_eq(brood_listener_accept(listener, 10 * BROOD_MSEC, &conn),
				 -ETIMEDOUT);
		if (i < 3)
			ck_assert_int_eq(send(slow, "", 1, MSG_NOSIGNAL), 1);
	}
	/* It was asked, and then it was hung up on. */
	ck_assert_int_eq(recv(slow, word, sizeof(word), 0), 4 + 11 + 48);
	ck_assert_int_le(recv(slow, word, sizeof(word), 0), 0);
	close(slow);
	ck_greets(&knows);
	drop();
}
END_TEST

START_TEST(garbage_is_refused)
{
	static const struct {
		const char *bytes;
		size_t size;
		int error;
	} cases[] = {
		{ "\0\0\0\5hello", 9, -EPROTO },
		{ "GET / HTTP/1.0\r\n\r\n", 18, -EPROTO },
		{ "\xff\xff\xff\xfe", 4, -EPROTO },
		{ "\0\0\1\1", 4, -EPROTO },
		{ "\0\0\0\20hellohellohello!", 20, -EACCES },
		{ "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, -EPROTO },
	};
	brood_conn *conn;

	make(_i * 2, &keyed);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = stranger();

		ck_assert_int_eq(send(fd, cases[i].bytes, cases[i].size, MSG_NOSIGNAL),
				 cases[i].size);
		ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn),
				 cases[i].error);
		close(fd);
	}
	ck_greets(&knows);
	drop();
}
END_TEST

/* They knock and leave, before they are let in and after. */
START_TEST(who_leaves_is_not_told_of)
{
	brood_conn *conn;
	int gone[3];

	make(_i * 2, &keyed);
	for (int i = 0; i < 3; i++)
		close(stranger());
	for (int i = 0; i < 3; i++)
		gone[i] = stranger();
	ck_assert_int_eq(brood_listener_accept(listener, 50 * BROOD_MSEC, &conn), -ETIMEDOUT);
	for (int i = 0; i < 3; i++)
		close(gone[i]);
	ck_assert_int_eq(brood_listener_accept(listener, 50 * BROOD_MSEC, &conn), -ETIMEDOUT);
	ck_greets(&knows);
	drop();
}
END_TEST

struct crowd {
	flag came, may_go;
};

#define CROWD 200

/* Silent; they say half a head, and stay. */
static void be_a_crowd(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < CROWD; i++)
		must(send(stranger(), "\0\0\1", 3, MSG_NOSIGNAL) == 3);
	raise_flag(&crowd->came);
	await(&crowd->may_go);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Of two hundred, all of whom are silent, four have a place; the others are hung up on, and cost nothing. */
START_TEST(a_crowd_has_so_many_places)
{
	const brood_listener_opts few = { KEY, .handshakes = 4 };
	struct crowd *crowd = share(sizeof(*crowd));
	int before, r = -ETIMEDOUT;
	struct rusage then, now;
	brood_conn *conn;
	pid_t pid;

	make(_i * 2, &few);
	before = open_descriptors();
	getrusage(RUSAGE_SELF, &then);
	pid = peer(be_a_crowd, crowd);
	while (!crowd->came || r != -ETIMEDOUT) {
		r = brood_listener_accept(listener, 5 * BROOD_MSEC, &conn);
		ck_assert_int_eq(r, -ETIMEDOUT);
		ck_assert_int_le(open_descriptors(), before + 1 + 4); /* and the epoll instance */
	}
	ck_greets(&knows);
	ck_assert_int_le(open_descriptors(), before + 1 + 4);
	getrusage(RUSAGE_SELF, &now);
	ck_assert_int_lt(now.ru_maxrss - then.ru_maxrss, 16 << 10); /* KiB */
	raise_flag(&crowd->may_go);
	ck_finishes(pid);
	drop();
}
END_TEST

static void flood(void *arg)
{
	int fd;

	(void)arg;
	for (;;) {
		fd = stranger();
		must(send(fd, "\0\0\0", 3, MSG_NOSIGNAL) == 3);
		close(fd);
	}
}

START_TEST(a_flood_does_not_hold_it)
{
	int64_t began = brood_now();
	brood_conn *conn;
	pid_t pids[2];

	make(1, &keyed);
	for (int i = 0; i < 2; i++)
		pids[i] = peer(flood, NULL);
	ck_assert_int_eq(brood_listener_accept(listener, 100 * BROOD_MSEC, &conn), -ETIMEDOUT);
	ck_assert_int_lt(brood_now() - began, 10 * BROOD_SEC);
	ck_greets(&knows);
	for (int i = 0; i < 2; i++)
		finish_off(pids[i]);
	drop();
}
END_TEST

/* ---- paths */

START_TEST(a_place_is_taken_once)
{
	brood_listener_opts opts = { .fail = &fail };
	brood_listener *other;

	make(_i, NULL);
	ck_assert_int_eq(brood_listener_new(brood_listener_address(listener), &opts, &other),
			 -EADDRINUSE);
	ck_assert_str_eq(fail.step, "bind");
	ck_greets(NULL); /* the failure did it no harm */
	drop();
	make(_i, NULL);
	drop();
}
END_TEST

START_TEST(a_closed_one_is_closed)
{
	brood_conn *conn;

	make(0, &keyed);
	ck_assert(is_there(place(0)));
	ck_assert_int_eq(brood_listener_close(listener), 0);
	ck_assert_int_eq(brood_listener_close(listener), 0);
	ck_assert(!is_there(place(0)));
	ck_assert_int_eq(brood_listener_accept(listener, 0, &conn), -EBADF);
	ck_assert_int_eq(brood_listener_fd(listener), -EBADF);
	drop();
	ck_assert_ptr_null(brood_listener_free(NULL));
}
END_TEST

START_TEST(a_path_of_others_stays)
{
	brood_listener *other;

	make(0, NULL);
	ck_assert_int_eq(unlink(place(0)), 0);
	ck_assert_int_eq(brood_listener_new(place(0), NULL, &other), 0);
	drop();
	ck_assert(is_there(place(0)));
	brood_listener_free(other);
	ck_assert(!is_there(place(0)));
}
END_TEST

static void free_it(void *arg)
{
	(void)arg;
	drop();
}

START_TEST(a_child_removes_no_path)
{
	make(0, &keyed);
	ck_finishes(peer(free_it, NULL));
	ck_greets(&knows);
	drop();
	ck_assert(!is_there(place(0)));
}
END_TEST

/* ---- several accept */

static int *accepted;

static void accept_some(void *arg)
{
	brood_conn *conn;
	char word[8];

	(void)arg;
	while (__atomic_load_n(accepted, __ATOMIC_SEQ_CST) < 20) {
		if (brood_listener_accept(listener, 20 * BROOD_MSEC, &conn) != 0)
			continue;
		__atomic_add_fetch(accepted, 1, __ATOMIC_SEQ_CST);
		must(brood_conn_recv_into(conn, word, 8, PATIENCE_NS) == 5);
		must(brood_conn_send_bytes(conn, "back", 4, PATIENCE_NS) == 0);
		brood_conn_free(conn);
	}
	drop();
}

START_TEST(children_accept_too)
{
	const bool with_key = _i == 1;
	brood_conn *conn;
	pid_t pids[3];
	int silent;

	accepted = share(sizeof(*accepted));
	make(0, with_key ? &keyed : NULL);
	/* One is in the middle of its handshake when they are forked. */
	silent = with_key ? stranger() : -1;
	ck_assert_int_eq(brood_listener_accept(listener, 20 * BROOD_MSEC, &conn), -ETIMEDOUT);
	for (int i = 0; i < 3; i++)
		pids[i] = peer(accept_some, NULL);
	for (int i = 0; i < 20; i++)
		greet(with_key ? (void *)&knows : NULL);
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	if (with_key)
		close(silent);
	ck_greets(with_key ? &knows : NULL);
	drop();
}
END_TEST

START_TEST(it_can_be_waited_for)
{
	brood_waitable item = { .conn = NULL };
	brood_conn *conn = NULL;
	pid_t pid;

	make(_i, _i == 1 ? &keyed : NULL);
	item.fd = brood_listener_fd(listener);
	ck_assert_int_ge(item.fd, 0);
	ck_assert_int_eq(brood_wait(&item, 1, 0), -ETIMEDOUT);
	pid = peer(greet, _i == 1 ? (void *)&knows : NULL);
	while (conn == NULL) {
		ck_assert_int_eq(brood_wait(&item, 1, PATIENCE_NS), 1);
		brood_listener_accept(listener, 0, &conn);
	}
	ck_assert_int_eq(brood_conn_send_bytes(conn, "back", 4, 0), 0);
	ck_finishes(pid);
	brood_conn_free(conn);
	drop();
}
END_TEST

START_TEST(too_many_descriptors_are_told)
{
	brood_conn *conn, *other;
	struct rlimit limit, less;
	int next;

	make(0, NULL);
	conn = client(NULL);
	ck_assert_int_ge(brood_listener_fd(listener), 0);
	next = dup(STDIN_FILENO);
	close(next);
	getrlimit(RLIMIT_NOFILE, &limit);
	less = (struct rlimit){ (rlim_t)next, limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &other), -EMFILE);
	ck_assert_int_eq(brood_client(place(0), NULL, &other), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &other), 0);
	brood_conn_free(other);
	brood_conn_free(conn);
	drop();
}
END_TEST

/* ---- addresses */

START_TEST(wrong_addresses_are_refused)
{
	static const struct {
		const char *address;
		brood_family family;
		int error;
	} cases[] = {
		{ "", BROOD_FAMILY_ANY, -EINVAL },
		{ "@", BROOD_FAMILY_ANY, -EINVAL },
		{ "127.0.0.1:65536", BROOD_FAMILY_ANY, -EINVAL },
		{ "127.0.0.1", BROOD_FAMILY_INET, -EINVAL },
		{ "127.0.0.1:", BROOD_FAMILY_INET, -EINVAL },
		{ "::1:80", BROOD_FAMILY_INET6, -EINVAL },
		{ "[::1:80", BROOD_FAMILY_INET6, -EINVAL },
		{ "[:80", BROOD_FAMILY_INET6, -EINVAL },
		{ ":80", (brood_family)9, -EINVAL },
		{ "/nowhere/at/all/socket", BROOD_FAMILY_ANY, -ENOENT },
	};
	brood_listener_opts opts = { .fail = &fail };
	char longest[300];
	brood_conn *conn;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		opts.family = cases[i].family;
		ck_assert_int_eq(brood_listener_new(cases[i].address, &opts, &listener),
				 cases[i].error);
		ck_assert_str_eq(fail.step, cases[i].error == -ENOENT ? "bind" : "address");
	}
	memset(longest, '1', sizeof(longest));
	longest[0] = '/';
	snprintf(longest + sizeof(longest) - 4, 4, ":80");
	ck_assert_int_eq(brood_listener_new(longest, NULL, &listener), -ENAMETOOLONG);
	ck_assert_int_eq(brood_listener_new(longest + 1, NULL, &listener), -ENAMETOOLONG);
	ck_assert_int_eq(brood_client("*:80", NULL, &conn), -EINVAL);
	ck_assert_int_eq(brood_client(NULL, NULL, &conn), -EINVAL);
}
END_TEST

START_TEST(all_addresses_of_the_machine)
{
	char address[64];
	brood_conn *conn;

	ck_assert_int_eq(brood_listener_new("*:0", NULL, &listener), 0);
	ck_assert_int_eq(strncmp(brood_listener_address(listener), "0.0.0.0:", 8), 0);
	snprintf(address, sizeof(address), "%s", brood_listener_address(listener) + 7);
	ck_assert_int_eq(brood_client(address, NULL, &conn), 0);
	brood_conn_free(conn);
	drop();
}
END_TEST

/* A name that looks like a port, and one with neither slash nor colon, in the current folder. */
START_TEST(the_family_can_be_said)
{
	const brood_listener_opts local = { .family = BROOD_FAMILY_UNIX };
	const brood_client_opts there = { .family = BROOD_FAMILY_UNIX };
	brood_conn *conn;

	ck_assert_int_eq(chdir(scratch), 0);
	ck_assert_int_eq(brood_listener_new("host:80", &local, &listener), 0);
	ck_assert(is_there("host:80"));
	ck_assert_int_eq(brood_client("host:80", &there, &conn), 0);
	brood_conn_free(conn);
	drop();
	ck_assert_int_eq(brood_listener_new("plain", NULL, &listener), 0);
	ck_assert_int_eq(brood_client("plain", NULL, &conn), 0);
	brood_conn_free(conn);
	drop();
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* ---- clients alone */

START_TEST(nobody_listens)
{
	brood_client_opts opts = { .fail = &fail };
	char address[BUFSIZ];
	brood_conn *conn;

	make(_i, NULL);
	snprintf(address, sizeof(address), "%s", brood_listener_address(listener));
	drop();
	ck_assert_int_eq(brood_client(address, &opts, &conn), _i == 0 ? -ENOENT : -ECONNREFUSED);
	ck_assert_str_eq(fail.step, "connect");
	opts.retry = true;
	opts.timeout_ns = 30 * BROOD_MSEC;
	ck_assert_int_eq(brood_client(address, &opts, &conn), _i == 0 ? -ENOENT : -ECONNREFUSED);
}
END_TEST

static void come_early(void *arg)
{
	brood_client_opts opts = { .retry = true, .timeout_ns = PATIENCE_NS };
	brood_conn *conn;
	char word[8];

	must(brood_client(arg, &opts, &conn) == 0);
	must(brood_conn_recv_into(conn, word, sizeof(word), PATIENCE_NS) == -EPIPE);
}

START_TEST(one_who_is_early_tries_again)
{
	char address[BUFSIZ];
	brood_conn *conn;
	pid_t pid;

	snprintf(address, sizeof(address), "%s", place(_i));
	pid = peer(come_early, address);
	nap_ms(50);
	make(_i, NULL);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), 0);
	brood_conn_free(conn);
	ck_finishes(pid);
	drop();
}
END_TEST

START_TEST(a_full_backlog_is_waited_for)
{
	const brood_listener_opts small = { .backlog = 1 };
	const brood_client_opts brief = { .timeout_ns = 30 * BROOD_MSEC, .fail = &fail };
	brood_conn *conns[10];
	int n = 0, r = 0;

	make(0, &small);
	while (n < 10 && r == 0) {
		r = brood_client(place(0), &brief, &conns[n]);
		n += r == 0;
	}
	ck_assert_int_eq(r, -ETIMEDOUT);
	ck_assert_str_eq(fail.step, "connect");
	while (n > 0)
		brood_conn_free(conns[--n]);
	drop();
}
END_TEST

#define BACKLOG 128 /* by default, says the header */

/* They are connected, and may have written, before anybody accepts. */
START_TEST(many_may_wait_by_default)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	long most = first_number("/proc/sys/net/core/somaxconn");
	int n = most > 0 && most < BACKLOG ? (int)most : BACKLOG;
	int fds[BACKLOG];
	brood_conn *conn;
	char word[8];

	make(0, NULL);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", place(0));
	for (int i = 0; i < n; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		ck_assert_int_ge(fds[i], 0);
		ck_assert_msg(connect(fds[i], (void *)&at, sizeof(at)) == 0, "client %d: %s", i,
			      strerror(errno));
		ck_assert_int_eq(send(fds[i], "\0\0\0\1x", 5, MSG_NOSIGNAL), 5);
	}
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(brood_listener_accept(listener, 0, &conn), 0);
		ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, 0), 1);
		brood_conn_free(conn);
		close(fds[i]);
	}
	drop();
}
END_TEST

START_TEST(a_silent_listener_is_left)
{
	const brood_client_opts brief = { KEY, .timeout_ns = 30 * BROOD_MSEC, .fail = &fail };
	const brood_client_opts shake = { KEY, .handshake_ns = 30 * BROOD_MSEC, .fail = &fail };
	brood_conn *conn;

	make(_i, NULL); /* it has no key, and says nothing */
	ck_assert_int_eq(brood_client(brood_listener_address(listener), &brief, &conn), -ETIMEDOUT);
	ck_assert_str_eq(fail.step, "handshake");
	ck_assert_int_eq(brood_client(brood_listener_address(listener), &shake, &conn), -ETIMEDOUT);
	drop();
}
END_TEST

static void answer_badly(void *arg)
{
	brood_conn *conn;

	must(brood_listener_accept(listener, PATIENCE_NS, &conn) == 0);
	if (arg != NULL) {
		must(brood_conn_send_bytes(conn, arg, 25, PATIENCE_NS) == 0);
		brood_conn_next_size(conn, PATIENCE_NS); /* until it leaves */
	}
	brood_conn_free(conn);
	drop();
}

START_TEST(a_strange_listener_is_left)
{
	static const struct {
		const char *words;
		int error;
	} cases[] = { { NULL, -EPIPE },
		      { "something else altogether", -EPROTO },
		      { "#CHALLENGE#too short a one", -EPROTO } };
	brood_conn *conn;
	pid_t pid;

	make(_i, NULL);
	for (int i = 0; i < 3; i++) {
		pid = peer(answer_badly, (void *)cases[i].words);
		ck_assert_int_eq(brood_client(brood_listener_address(listener), &knows, &conn),
				 cases[i].error);
		ck_finishes(pid);
	}
	drop();
}
END_TEST

/* What comes without a frame of ours, and as slowly as can be, or without an end. */
struct torrent {
	const char *bytes;
	size_t size;
	int every_ms;
	int error;
};

static void pour(void *arg)
{
	const struct torrent *torrent = arg;
	brood_conn *conn;
	size_t at = 0;

	must(brood_listener_accept(listener, PATIENCE_NS, &conn) == 0);
	while (send(brood_conn_fd(conn), torrent->bytes + at, torrent->every_ms ? 1 : torrent->size,
		    MSG_NOSIGNAL) > 0) {
		at = torrent->every_ms ? (at + 1) % torrent->size : 0;
		nap_ms(torrent->every_ms);
	}
	brood_conn_free(conn);
	drop();
}

START_TEST(a_hostile_listener_is_left)
{
	static const struct torrent torrents[] = {
		{ "\0\0\1\1", 4, 0, -EPROTO }, /* one byte too long */
		{ "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, 0, -EPROTO },
		{ "\xff\xff\xff\xfe", 4, 0, -EPROTO }, /* a negative length */
		{ "HTTP/1.1 400 Bad Request\r\n", 26, 0, -EPROTO },
		{ "\0\0\0\0", 4, 0, -EPROTO }, /* empty messages, for ever */
		{ "\0\0\1\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 36, 20,
		  -ETIMEDOUT }, /* drop by drop */
	};
	const brood_client_opts brief = { KEY, .handshake_ns = 300 * BROOD_MSEC, .fail = &fail };
	brood_conn *conn;
	pid_t pid;

	make(_i % 2 * 2, NULL);
	pid = peer(pour, (void *)&torrents[_i / 2]);
	ck_assert_int_eq(brood_client(brood_listener_address(listener), &brief, &conn),
			 torrents[_i / 2].error);
	ck_finishes(pid);
	drop();
}
END_TEST

START_TEST(options_of_the_connection_are_taken)
{
	const brood_conn_opts small = { .most = 3, .read_ahead = 100 };
	const brood_listener_opts opts = { KEY, .conn = &small };
	const brood_conn_opts both = { .shared = true, .read_ahead = 1 };
	const brood_client_opts wrong = { .conn = &both };
	brood_conn *conn;
	char word[8];
	pid_t pid;

	make(0, &opts);
	pid = peer(greet, (void *)&knows);
	ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn), 0);
	ck_assert_int_eq(brood_conn_recv_into(conn, word, 8, PATIENCE_NS), -EFBIG);
	ck_assert_int_eq(brood_conn_send_bytes(conn, "back", 4, PATIENCE_NS), 0);
	ck_finishes(pid);
	brood_conn_free(conn);
	ck_assert_int_eq(brood_client(place(0), &wrong, &conn), -EINVAL);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/listener");
	TCase *good = leak_case(suite, "good", 60), *bad = leak_case(suite, "bad", 60);
	TCase *places = leak_case(suite, "places", 60);

	tcase_add_loop_test(good, every_family_talks, 0, PLACES);
	tcase_add_loop_test(good, every_family_knows_the_key, 0, PLACES);
	tcase_add_test(good, without_an_address_it_finds_one);
	tcase_add_loop_test(good, what_was_sent_before_is_received, 0, PLACES);
	tcase_add_loop_test(good, accepting_takes_no_longer_than_said, 0, 4);
	tcase_add_loop_test(good, signals_do_not_matter_to_it, 0, 2);
	tcase_add_loop_test(good, children_accept_too, 0, 2);
	tcase_add_loop_test(good, it_can_be_waited_for, 0, 2);
	tcase_add_test(good, options_of_the_connection_are_taken);
	tcase_add_loop_test(bad, another_key_is_refused_at_both_ends, 0, 2);
	tcase_add_test(bad, md5_can_be_refused);
	tcase_add_test(bad, an_empty_key_is_refused);
	tcase_add_loop_test(bad, silent_ones_block_nobody, 0, 2);
	tcase_add_loop_test(bad, slow_ones_have_their_time, 0, 2);
	tcase_add_loop_test(bad, garbage_is_refused, 0, 2);
	tcase_add_loop_test(bad, who_leaves_is_not_told_of, 0, 2);
	tcase_add_loop_test(bad, a_crowd_has_so_many_places, 0, 2);
	tcase_add_test(bad, a_flood_does_not_hold_it);
	tcase_add_test(bad, too_many_descriptors_are_told);
	tcase_add_loop_test(places, a_place_is_taken_once, 0, 3);
	tcase_add_test(places, a_closed_one_is_closed);
	tcase_add_test(places, a_path_of_others_stays);
	tcase_add_test(places, a_child_removes_no_path);
	tcase_add_test(places, wrong_addresses_are_refused);
	tcase_add_test(places, all_addresses_of_the_machine);
	tcase_add_test(places, the_family_can_be_said);
	tcase_add_loop_test(places, nobody_listens, 0, 3);
	tcase_add_loop_test(places, one_who_is_early_tries_again, 0, 2);
	tcase_add_test(places, a_full_backlog_is_waited_for);
	tcase_add_test(places, many_may_wait_by_default);
	tcase_add_loop_test(places, a_silent_listener_is_left, 0, 3);
	tcase_add_loop_test(places, a_strange_listener_is_left, 0, 3);
	tcase_add_loop_test(places, a_hostile_listener_is_left, 0, 2 * 6);
	return leak_run(suite);
}
