#include "os/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static int a, b;

static void connect_pair(void)
{
	ck_assert_int_eq(bri_socketpair(&a, &b), 0);
	ck_assert_int_eq(fcntl(a, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(b, F_GETFD), FD_CLOEXEC);
}

static void close_pair(void)
{
	close(a);
	close(b);
}

START_TEST(messages_keep_their_borders)
{
	char text[6];

	connect_pair();
	ck_assert_int_eq(bri_send(a, "first", 6), 0);
	ck_assert_int_eq(bri_send(a, "other", 6), 0);
	ck_assert_int_eq(bri_recv(b, text, 6, 0), 0);
	ck_assert_str_eq(text, "first");
	ck_assert_int_eq(bri_recv(b, text, 6, 0), 0);
	ck_assert_str_eq(text, "other");
	ck_assert_int_eq(bri_recv(b, text, 6, MSG_DONTWAIT), -EAGAIN);
	close_pair();
}
END_TEST

START_TEST(a_message_of_another_size_is_refused_whole)
{
	char text[6];

	connect_pair();
	ck_assert_int_eq(bri_send(a, "four", 4), 0);
	ck_assert_int_eq(bri_send(a, "longer than wanted", 18), 0);
	ck_assert_int_eq(bri_send(a, "right", 6), 0);
	ck_assert_int_eq(bri_recv(b, text, 6, 0), -EPROTO);
	ck_assert_int_eq(bri_recv(b, text, 6, 0), -EPROTO);
	/* What was cut off did not become the next message. */
	ck_assert_int_eq(bri_recv(b, text, 6, 0), 0);
	ck_assert_str_eq(text, "right");
	close_pair();
}
END_TEST

START_TEST(a_gone_peer_is_told_without_a_signal)
{
	char text[6];

	connect_pair();
	signal(SIGPIPE, SIG_DFL);
	ck_assert_int_eq(bri_send(a, "right", 6), 0);
	close(a);
	ck_assert_int_eq(bri_recv(b, text, 6, 0), 0); /* what was sent before arrives */
	ck_assert_int_eq(bri_recv(b, text, 6, 0), -EPIPE);
	ck_assert_int_eq(bri_recv(b, text, 6, MSG_DONTWAIT), -EPIPE);
	ck_assert_int_eq(bri_send(b, text, 6), -EPIPE);
	close(b);
}
END_TEST

/* Else the last words of a helper would be lost with a request that it had no more time for. */
START_TEST(messages_unread_by_a_gone_peer_do_not_hide_its_last)
{
	char text[6];

	for (int first_send = 0; first_send < 2; first_send++) {
		connect_pair();
		ck_assert_int_eq(bri_send(b, "never", 6), 0);
		ck_assert_int_eq(bri_send(a, "last.", 6), 0);
		close(a); /* with data unread: the kernel says ECONNRESET, once, to whichever comes first */
		if (first_send)
			ck_assert_int_eq(bri_send(b, "never", 6), -EPIPE);
		ck_assert_int_eq(bri_recv(b, text, 6, MSG_DONTWAIT), 0);
		ck_assert_str_eq(text, "last.");
		ck_assert_int_eq(bri_recv(b, text, 6, MSG_DONTWAIT), -EPIPE);
		ck_assert_int_eq(bri_send(b, "never", 6), -EPIPE);
		close(b);
	}
}
END_TEST

static void nothing(int signum)
{
	(void)signum;
}

START_TEST(signals_do_not_end_a_wait)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	char text[6];
	pid_t pid;

	connect_pair();
	pid = fork();
	if (pid == 0) {
		nanosleep(&(struct timespec){ .tv_nsec = 60000000 }, NULL);
		_exit(bri_send(a, "later", 6) < 0 ? 1 : 0);
	}
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = nothing }, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(bri_recv(b, text, 6, 0), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_str_eq(text, "later");
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close_pair();
}
END_TEST

START_TEST(another_kind_of_descriptor_is_an_error)
{
	char text[6];

	ck_assert_int_eq(bri_send(-1, "x", 1), -EBADF);
	ck_assert_int_eq(bri_recv(-1, text, 6, 0), -EBADF);
}
END_TEST

START_TEST(descriptors_come_along)
{
	int fds[BRI_SOCKET_FDS], got[BRI_SOCKET_FDS], ends[2];
	char text[6];

	connect_pair();
	ck_assert_int_eq(pipe(ends), 0);
	for (int i = 0; i < BRI_SOCKET_FDS; i++)
		fds[i] = ends[1];
	ck_assert_int_eq(bri_send_fds(a, "most", 5, fds, BRI_SOCKET_FDS), 0);
	ck_assert_int_eq(bri_send_fds(a, "none", 5, NULL, 0), 0);
	ck_assert_int_eq(bri_recv_fds(b, text, 5, got), BRI_SOCKET_FDS);
	ck_assert_str_eq(text, "most");
	for (int i = 0; i < BRI_SOCKET_FDS; i++) {
		ck_assert_int_gt(got[i], 2);
		ck_assert_int_eq(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		close(got[i]);
	}
	ck_assert_int_eq(bri_recv_fds(b, text, 5, got), 0);
	/* What is refused leaves nothing; the leak check looks. */
	ck_assert_int_eq(bri_send_fds(a, "other", 6, fds, 2), 0);
	ck_assert_int_eq(bri_recv_fds(b, text, 5, got), -EPROTO);
	ck_assert_int_eq(bri_send_fds(a, "closed", 7, (int[]){ -1 }, 1), -EBADF);
	close(ends[0]);
	close(ends[1]);
	close(a);
	ck_assert_int_eq(bri_recv_fds(b, text, 5, got), -EPIPE);
	ck_assert_int_eq(bri_send_fds(b, text, 5, NULL, 0), -EPIPE);
	close(b);
}
END_TEST

/* A closed standard stream's number is not taken for it. */
START_TEST(descriptors_are_no_streams)
{
	int got[BRI_SOCKET_FDS], before = dup(0), moved;
	char c;

	connect_pair();
	moved = fcntl(b, F_DUPFD_CLOEXEC, 10);
	ck_assert_int_eq(bri_send_fds(a, "x", 1, &moved, 1), 0);
	close(0);
	ck_assert_int_eq(bri_recv_fds(b, &c, 1, got), 1);
	ck_assert_int_gt(got[0], 2);
	ck_assert_int_lt(fcntl(0, F_GETFD), 0);
	dup2(before, 0);
	close(before);
	close(got[0]);
	close(moved);
	close_pair();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/socket");
	TCase *socket = leak_case(suite, "socket", 10);

	tcase_add_test(socket, messages_keep_their_borders);
	tcase_add_test(socket, a_message_of_another_size_is_refused_whole);
	tcase_add_test(socket, a_gone_peer_is_told_without_a_signal);
	tcase_add_test(socket, messages_unread_by_a_gone_peer_do_not_hide_its_last);
	tcase_add_test(socket, signals_do_not_end_a_wait);
	tcase_add_test(socket, another_kind_of_descriptor_is_an_error);
	tcase_add_test(socket, descriptors_come_along);
	tcase_add_test(socket, descriptors_are_no_streams);
	return leak_run(suite);
}
