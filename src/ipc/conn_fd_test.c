#include <brood/conn.h>
#include <brood/queue.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static brood_conn *in, *out;

static const brood_conn_opts kinds[] = { { .shared = false }, { .shared = true } };

static void make(int kind)
{
	ck_assert_int_eq(brood_pipe_with(true, &kinds[kind], &in, &out), 0);
}

static void drop(void)
{
	in = brood_conn_free(in);
	out = brood_conn_free(out);
}

/* Whether the two are the same open file. */
static bool is_same(int a, int b)
{
	struct stat x, y;

	ck_assert_int_eq(fstat(a, &x), 0);
	ck_assert_int_eq(fstat(b, &y), 0);
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

START_TEST(a_descriptor_goes_through)
{
	int file = open_file("sent", "content"), fd;
	char text[8] = "";

	make(_i);
	ck_assert_int_eq(brood_conn_send_bytes(out, "before", 6, 0), 0);
	ck_assert_int_eq(brood_conn_send_fd(out, file, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, "behind", 6, 0), 0);
	ck_assert_int_eq(brood_conn_recv_fd(in, 0), -ENOMSG);
	ck_assert_int_eq(brood_conn_next_size(in, 0), 6);
	ck_assert_int_eq(brood_conn_recv_fd(in, 0), -ENOMSG);
	ck_assert_int_eq(brood_conn_recv_into(in, text, 8, 0), 6);
	fd = brood_conn_recv_fd(in, BROOD_FOREVER);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fd, file);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert(is_same(fd, file));
	ck_assert_int_eq(brood_conn_recv_into(in, text, 8, 0), 6);
	ck_assert_mem_eq(text, "behind", 6);
	ck_assert_int_eq(brood_conn_recv_fd(in, 20 * BROOD_MSEC), -ETIMEDOUT);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_recv_fd(in, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_conn_send_fd(in, file, 0), -EPIPE);
	close(fd);
	close(file);
	drop();
}
END_TEST

START_TEST(several_come_in_order)
{
	int fds[3] = { STDIN_FILENO, STDOUT_FILENO, open_file("a", "") }, back[3];

	make(_i);
	ck_assert_int_eq(brood_conn_send_fds(out, fds, 3, 0), 0);
	ck_assert_int_eq(brood_conn_send_fds(out, fds, 3, 0), 0);
	ck_assert_int_eq(brood_conn_recv_fds(in, back, 2, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_conn_recv_fds(in, back, 3, 0), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert(is_same(fds[i], back[i]));
		close(back[i]);
	}
	close(fds[2]);
	drop();
}
END_TEST

START_TEST(as_many_as_the_kernel_takes)
{
	int fds[BROOD_CONN_FDS_MOST], back[BROOD_CONN_FDS_MOST];

	for (int i = 0; i < BROOD_CONN_FDS_MOST; i++)
		fds[i] = STDIN_FILENO;
	make(0);
	ck_assert_int_eq(brood_conn_send_fds(out, fds, BROOD_CONN_FDS_MOST, 0), 0);
	ck_assert_int_eq(brood_conn_recv_fds(in, back, BROOD_CONN_FDS_MOST, 0),
			 BROOD_CONN_FDS_MOST);
	for (int i = 0; i < BROOD_CONN_FDS_MOST; i++)
		close(back[i]);
	drop();
}
END_TEST

START_TEST(a_large_number_is_no_matter)
{
	int low = open_file("low", "x"), high = fcntl(low, F_DUPFD_CLOEXEC, 700), fd;

	make(_i);
	ck_assert_int_ge(high, 700);
	ck_assert_int_eq(brood_conn_send_fd(out, high, 0), 0);
	fd = brood_conn_recv_fd(in, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert(is_same(fd, low));
	close(fd);
	close(high);
	close(low);
	drop();
}
END_TEST

/* What does not fit into this process is closed, all of it. */
START_TEST(too_many_for_us_are_lost)
{
	int fds[3] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO }, back[3], next;
	struct rlimit limit, less;

	make(_i);
	ck_assert_int_eq(brood_conn_send_fds(out, fds, 3, 0), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, "next", 4, 0), 0);
	next = dup(STDIN_FILENO);
	close(next);
	getrlimit(RLIMIT_NOFILE, &limit);
	less = (struct rlimit){ (rlim_t)next + 2, limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
	ck_assert_int_eq(brood_conn_recv_fds(in, back, 3, 0), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_int_eq(dup(STDIN_FILENO), next);
	close(next);
	ck_assert_int_eq(brood_conn_recv_into(in, &limit, sizeof(limit), 0), 4);
	drop();
}
END_TEST

/* One who sends descriptors, and says another number. */
START_TEST(a_wrong_number_is_refused)
{
	char wrong = 2;
	struct iovec body = { &wrong, 1 };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &body,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fds[3];

	make(_i);
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	ck_assert_int_eq(sendmsg(brood_conn_fd(out), &message, 0), 1);
	ck_assert_int_eq(brood_conn_recv_fds(in, fds, 3, 0), -EPROTO);
	ck_assert_int_eq(brood_conn_recv_fds(in, fds, 3, 0), -EPROTO);
	drop();
	make(_i);
	ck_assert_int_eq(sendmsg(brood_conn_fd(out), &message, 0), 1);
	ck_assert_int_eq(brood_conn_recv_into(in, fds, sizeof(fds), 0), -EPROTO);
	drop();
}
END_TEST

START_TEST(elsewhere_it_is_refused)
{
	static const brood_conn_opts ahead = { .read_ahead = 100 };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int peer_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(brood_pipe(false, &in, &out), 0);
	ck_assert_int_eq(brood_conn_send_fd(out, 0, 0), -EOPNOTSUPP);
	ck_assert_int_eq(brood_conn_recv_fd(in, 0), -EOPNOTSUPP);
	ck_assert_int_eq(brood_conn_send_fd(in, 0, 0), -EACCES);
	drop();
	ck_assert_int_eq(brood_pipe_with(true, &ahead, &in, &out), 0);
	ck_assert_int_eq(brood_conn_recv_fd(in, 0), -EOPNOTSUPP);
	drop();
	ck_assert_int_eq(bind(peer_fd, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(listen(peer_fd, 1), 0);
	ck_assert_int_eq(getsockname(peer_fd, (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(brood_conn_new_take(peer_fd, NULL, &in), -EINVAL);
	ck_assert_int_eq(brood_conn_new_take(fd, NULL, &out), 0);
	ck_assert_int_eq(brood_conn_send_fd(out, 0, 0), -EOPNOTSUPP);
	close(peer_fd);
	out = brood_conn_free(out);
}
END_TEST

START_TEST(arguments_are_looked_at)
{
	int fd = 0;

	make(_i);
	ck_assert_int_eq(brood_conn_send_fd(out, -1, 0), -EBADF);
	ck_assert_int_eq(brood_conn_send_fds(out, &fd, 0, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_send_fds(out, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_send_fds(out, &fd, BROOD_CONN_FDS_MOST + 1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_recv_fds(in, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_conn_recv_fds(in, &fd, 0, 0), -EINVAL);
	brood_conn_close(in);
	ck_assert_int_eq(brood_conn_recv_fd(in, 0), -EBADF);
	ck_assert_int_eq(brood_conn_send_conn(out, in, 0), -EBADF);
	brood_conn_close(out);
	ck_assert_int_eq(brood_conn_send_fd(out, 0, 0), -EBADF);
	drop();
}
END_TEST

/* ---- connections over a connection */

static void use_what_comes(void *arg)
{
	brood_conn *came;
	char word[8];

	(void)arg;
	out = brood_conn_free(out);
	must(brood_conn_recv_conn(in, NULL, PATIENCE_NS, &came) == 0);
	must(brood_conn_recv_into(came, word, 8, PATIENCE_NS) == 4);
	must(brood_conn_free(came) == NULL);
}

START_TEST(a_connection_goes_over_another)
{
	brood_conn *a, *b;
	pid_t pid;

	make(_i);
	pid = peer(use_what_comes, NULL);
	ck_assert_int_eq(brood_pipe(false, &a, &b), 0);
	ck_assert_int_eq(brood_conn_send_conn(out, a, BROOD_FOREVER), 0);
	brood_conn_free(a);
	ck_assert_int_eq(brood_conn_send_bytes(b, "over", 4, 0), 0);
	ck_finishes(pid);
	ck_assert_int_eq(brood_conn_send_bytes(b, "over", 4, 0), -EPIPE);
	brood_conn_free(b);
	drop();
}
END_TEST

START_TEST(a_shared_one_is_shared_with_its_locks)
{
	brood_conn *a, *b, *again;
	char text[8];

	make(_i);
	ck_assert_int_eq(brood_pipe_with(true, &kinds[1], &a, &b), 0);
	ck_assert_int_eq(brood_conn_send_bytes(b, "hello", 5, 0), 0);
	ck_assert_int_eq(brood_conn_next_size(a, 0), 5);
	ck_assert_int_eq(brood_conn_send_conn(out, a, 0), 0);
	ck_assert_int_eq(brood_conn_recv_conn(in, NULL, 0, &again), 0);
	ck_assert_int_eq(brood_conn_next_size(again, 0), 5); /* what a has looked at */
	ck_assert_int_eq(brood_conn_recv_into(again, text, 8, 0), 5);
	ck_assert_int_eq(brood_conn_recv_into(a, text, 8, 0), -ETIMEDOUT);
	brood_conn_free(a);
	brood_conn_free(b);
	brood_conn_free(again);
	drop();
}
END_TEST

/* ---- a queue over a connection, to who was there before it */

static void use_the_queue_that_comes(void *arg)
{
	brood_queue *q;
	char word[8];
	int fd;

	(void)arg;
	out = brood_conn_free(out);
	fd = brood_conn_recv_fd(in, PATIENCE_NS);
	must(fd >= 0);
	must(brood_queue_attach(fd, &q) == 0);
	must(close(fd) == 0);
	must(brood_queue_put(q, "here", 4, PATIENCE_NS) == 0);
	must(brood_queue_get(q, word, sizeof(word), PATIENCE_NS) == 6);
	must(memcmp(word, "before", 6) == 0);
	must(brood_conn_recv_into(in, word, sizeof(word), PATIENCE_NS) == 4);
	/* its maker has left it */
	must(brood_queue_get(q, word, sizeof(word), PATIENCE_NS) == 4);
	must(memcmp(word, "last", 4) == 0);
	must(brood_queue_get(q, word, sizeof(word), PATIENCE_NS) == -EPIPE);
	must(brood_queue_unref(q) == NULL);
}

START_TEST(a_queue_goes_over_a_connection)
{
	char word[8];
	brood_queue *q;
	pid_t pid;

	make(_i);
	pid = peer(use_the_queue_that_comes, NULL);
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
	ck_assert_int_eq(brood_queue_put(q, "before", 6, 0), 0);
	ck_assert_int_eq(brood_conn_send_fd(out, brood_queue_fd(q), PATIENCE_NS), 0);
	eventually(brood_queue_unfinished(q) == 2 && brood_queue_size(q) == 1);
	ck_assert_int_eq(brood_queue_get(q, word, sizeof(word), PATIENCE_NS), 4);
	ck_assert_mem_eq(word, "here", 4);
	ck_assert_int_eq(brood_queue_put(q, "last", 4, 0), 0);
	ck_assert_int_eq(brood_queue_close(q), 0);
	brood_queue_unref(q);
	ck_assert_int_eq(brood_conn_send_bytes(out, "gone", 4, 0), 0);
	ck_finishes(pid);
	drop();
}
END_TEST

START_TEST(what_is_no_connection_is_refused)
{
	int file = open_file("f", ""), fds[2] = { file, file }, pair[2];
	brood_conn *came, *a, *b;

	make(_i);
	ck_assert_int_eq(brood_conn_send_fds(out, fds, 2, 0), 0);
	ck_assert_int_eq(brood_conn_recv_conn(in, NULL, 0, &came), -ENODATA);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(brood_conn_send_fd(out, pair[0], 0), 0);
	ck_assert_int_eq(brood_conn_recv_conn(in, NULL, 0, &came), -EINVAL);
	ck_assert_int_eq(brood_conn_recv_conn(in, NULL, 0, &came), -ETIMEDOUT);
	ck_assert_int_eq(brood_pipe(false, &a, &b), 0);
	ck_assert_int_eq(brood_conn_send_bytes(b, "x", 1, 0), 0);
	ck_assert_int_eq(brood_conn_next_size(a, 0), 1);
	ck_assert_int_eq(brood_conn_send_conn(out, a, 0), -EBUSY);
	brood_conn_free(a);
	brood_conn_free(b);
	close(pair[0]);
	close(pair[1]);
	close(file);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/conn_fd");
	TCase *tcase = leak_case(suite, "fd", 60);

	tcase_add_loop_test(tcase, a_descriptor_goes_through, 0, 2);
	tcase_add_loop_test(tcase, several_come_in_order, 0, 2);
	tcase_add_test(tcase, as_many_as_the_kernel_takes);
	tcase_add_loop_test(tcase, a_large_number_is_no_matter, 0, 2);
	tcase_add_loop_test(tcase, too_many_for_us_are_lost, 0, 2);
	tcase_add_loop_test(tcase, a_wrong_number_is_refused, 0, 2);
	tcase_add_test(tcase, elsewhere_it_is_refused);
	tcase_add_loop_test(tcase, arguments_are_looked_at, 0, 2);
	tcase_add_loop_test(tcase, a_connection_goes_over_another, 0, 2);
	tcase_add_loop_test(tcase, a_shared_one_is_shared_with_its_locks, 0, 2);
	tcase_add_loop_test(tcase, a_queue_goes_over_a_connection, 0, 2);
	tcase_add_loop_test(tcase, what_is_no_connection_is_refused, 0, 2);
	return leak_run(suite);
}
