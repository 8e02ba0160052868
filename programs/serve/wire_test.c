#include "serve/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static int ends[2];

static void open_ends(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_ends(void)
{
	close(ends[0]);
	close(ends[1]);
}

/* ---- words */

START_TEST(words_and_back)
{
	char one[] = "a", empty[] = "", two[] = "two words", more[] = "\xe8\xbd\xa6\n";
	char *const words[] = { one, empty, two, more };
	const char *back[5] = { NULL };
	char room[64];
	char *end = wire_put_words(room, room + sizeof(room), words, 4);

	ck_assert_ptr_nonnull(end);
	ck_assert_int_eq(end - room, 2 + 1 + 10 + 5);
	ck_assert_ptr_eq(wire_get_words(room, end, back, 4), end);
	for (int i = 0; i < 4; i++)
		ck_assert_str_eq(back[i], words[i]);
	ck_assert_ptr_null(back[4]);
	ck_assert_ptr_eq(wire_put_words(room, room, words, 0), room);
	ck_assert_ptr_eq(wire_get_words(room, room, back, 0), room);
	ck_assert_ptr_null(back[0]);
}
END_TEST

START_TEST(words_that_do_not_fit)
{
	char first[] = "abc", second[] = "de";
	char *const words[] = { first, second };
	char room[16] = "";

	ck_assert_ptr_eq(wire_put_words(room, room + 7, words, 2), room + 7);
	for (int size = 0; size < 7; size++) {
		memset(room, '#', sizeof(room));
		ck_assert_ptr_null(wire_put_words(room, room + size, words, 2));
		for (int i = size; i < 16; i++)
			ck_assert_int_eq(room[i], '#');
	}
}
END_TEST

START_TEST(bytes_that_are_no_words)
{
	const char bytes[] = { 'a', '\0', 'b', 'c' };
	const char *back[5];

	ck_assert_ptr_eq(wire_get_words(bytes, bytes + 4, back, 1), bytes + 2);
	ck_assert_ptr_null(wire_get_words(bytes, bytes + 4, back, 2)); /* the second has no end */
	ck_assert_ptr_null(wire_get_words(bytes, bytes + 2, back, 2)); /* there is no second */
	ck_assert_ptr_null(wire_get_words(bytes, bytes, back, 1));
}
END_TEST

/* ---- messages */

START_TEST(a_message_with_and_without_a_descriptor)
{
	struct wire_message message = { .type = WIRE_START, .id = 17 }, back;
	struct stat sent, received;
	int fd, file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(wire_send(ends[0], &message, sizeof(message), -1), 0);
	ck_assert_int_eq(wire_recv(ends[1], &back, sizeof(back), &fd), (int)sizeof(back));
	ck_assert_int_eq(fd, -1);
	ck_assert_uint_eq(back.id, 17);

	ck_assert_int_eq(wire_send(ends[0], &message, sizeof(message), file), 0);
	ck_assert_int_eq(wire_recv(ends[1], &back, sizeof(back), &fd), (int)sizeof(back));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fstat(file, &sent), 0);
	ck_assert_int_eq(fstat(fd, &received), 0);
	ck_assert_uint_eq(sent.st_ino, received.st_ino);
	close(fd);
	close(file);
}
END_TEST

START_TEST(the_largest_message_goes_through_whole)
{
	static char big[WIRE_LIMIT], back[WIRE_LIMIT];
	int fd;

	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(wire_send(ends[0], big, sizeof(big), -1), 0);
	ck_assert_int_eq(wire_recv(ends[1], back, sizeof(back), &fd), WIRE_LIMIT);
	ck_assert_int_eq(memcmp(big, back, sizeof(big)), 0);
}
END_TEST

START_TEST(nothing_there_and_nobody_there)
{
	char back[16];
	int fd = 4711;

	ck_assert_int_eq(wire_recv(ends[1], back, sizeof(back), &fd), -EAGAIN);
	ck_assert_int_eq(fd, -1);
	close(ends[0]);
	ck_assert_int_eq(wire_recv(ends[1], back, sizeof(back), &fd), 0);
	ck_assert_int_eq(wire_send(ends[1], back, sizeof(back), -1), -EPIPE); /* and no signal */
	ends[0] = -1;
}
END_TEST

START_TEST(a_full_socket_says_so)
{
	static const char data[4096];
	int r, n = 0;

	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	while ((r = wire_send(ends[0], data, sizeof(data), -1)) == 0)
		ck_assert_int_lt(n++, 100000);
	ck_assert_int_eq(r, -EAGAIN);
}
END_TEST

START_TEST(as_many_descriptors_as_a_message_takes)
{
	int descriptors[WIRE_FDS], back[WIRE_FDS];
	char text[] = "x";
	size_t n;

	for (size_t i = 0; i < WIRE_FDS; i++)
		descriptors[i] = ends[i % 2];
	ck_assert_int_eq(wire_send_all(ends[0], text, 1, descriptors, WIRE_FDS), 0);
	ck_assert_int_eq(wire_recv_all(ends[1], text, 1, back, &n), 1);
	ck_assert_uint_eq(n, WIRE_FDS);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(fcntl(back[i], F_GETFD), FD_CLOEXEC);
		close(back[i]);
	}
	ck_assert_int_eq(wire_send_all(ends[0], text, 1, descriptors, WIRE_FDS + 1), -E2BIG);
	ck_assert_int_eq(wire_recv_all(ends[1], text, 1, back, &n), -EAGAIN);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* Who asks for one gets one or none; a stranger's second must not stay open. */
START_TEST(more_descriptors_than_one_leave_none_open)
{
	char text[] = "x";
	struct iovec part = { text, 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(2 * sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	char back[16];
	int fd;

	memcpy(CMSG_DATA(&control.header), ends, sizeof(ends));
	ck_assert_int_eq(sendmsg(ends[0], &message, 0), 1);
	ck_assert_int_ne(wire_recv(ends[1], back, sizeof(back), &fd), 0);
	if (fd >= 0)
		close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/wire");
	TCase *words = leak_case(suite, "words", 10);
	TCase *messages = leak_case(suite, "messages", 10);

	tcase_add_test(words, words_and_back);
	tcase_add_test(words, words_that_do_not_fit);
	tcase_add_test(words, bytes_that_are_no_words);
	tcase_add_checked_fixture(messages, open_ends, close_ends);
	tcase_add_test(messages, a_message_with_and_without_a_descriptor);
	tcase_add_test(messages, the_largest_message_goes_through_whole);
	tcase_add_test(messages, nothing_there_and_nobody_there);
	tcase_add_test(messages, a_full_socket_says_so);
	tcase_add_test(messages, as_many_descriptors_as_a_message_takes);
	tcase_add_test(messages, more_descriptors_than_one_leave_none_open);
	return leak_run(suite);
}
