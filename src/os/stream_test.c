#include "os/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static int ends[2];
static struct bri_stream in, out;
static char block[1 << 20];

/* 0: a pipe; 1: one on a kernel that knows no flags; 2: one that knows RWF_NOWAIT alone; 3: a pair of sockets. */
#define KINDS 4

static void make(int kind)
{
	if (kind == 3)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	else
		ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	ck_assert_int_eq(bri_stream_init(&in, ends[0]), 0);
	ck_assert_int_eq(bri_stream_init(&out, ends[1]), 0);
	in.lacks = out.lacks = kind == 1 ? 3 : kind == 2 ? 2 : 0;
}

static void drop(void)
{
	close(ends[0]);
	close(ends[1]);
}

static ssize_t take(size_t size, int64_t timeout_ns)
{
	return bri_stream_read(&in, &(struct iovec){ block, size }, 1, bri_deadline(timeout_ns));
}

static ssize_t give(size_t size, int64_t timeout_ns)
{
	return bri_stream_write(&out, &(struct iovec){ block, size }, 1, bri_deadline(timeout_ns));
}

START_TEST(bytes_go_through)
{
	struct iovec two[2] = { { (char[]){ "ab" }, 2 }, { (char[]){ "cde" }, 3 } };
	char a[2], b[9];
	struct iovec back[2] = { { a, 2 }, { b, 9 } };

	make(_i);
	ck_assert_int_gt(bri_stream_write(&out, two, 2, BROOD_FOREVER), 0);
	ck_assert_int_gt(bri_stream_write(&out, two, 2, 0), 0);
	ck_assert_int_gt(bri_stream_read(&in, back, 2, 0), 2);
	ck_assert_mem_eq(a, "ab", 2);
	ck_assert_int_eq(give(5, BROOD_SEC), 5);
	ck_assert_int_gt(bri_stream_read(&in, back, 2, BROOD_FOREVER), 0);
	drop();
}
END_TEST

START_TEST(time_passes)
{
	int64_t began = brood_now();
	ssize_t n, all = 0;

	make(_i);
	ck_assert_int_eq(take(1, 0), -ETIMEDOUT);
	ck_assert_int_eq(take(1, -1), -ETIMEDOUT);
	ck_assert_int_eq(take(1, 50 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 50 * BROOD_MSEC);
	while ((n = give(sizeof(block), 10 * BROOD_MSEC)) > 0)
		all += n;
	ck_assert_int_eq(n, -ETIMEDOUT);
	ck_assert_int_ge(all, 4096);
	ck_assert_int_eq(give(1, 0), -ETIMEDOUT);
	while (all > 0) {
		n = take(sizeof(block), 0);
		ck_assert_int_gt(n, 0);
		all -= n;
	}
	ck_assert_int_eq(take(1, 0), -ETIMEDOUT);
	drop();
}
END_TEST

START_TEST(the_end_is_told)
{
	make(_i);
	ck_assert_int_eq(give(3, BROOD_FOREVER), 3);
	close(ends[1]);
	ck_assert_int_eq(take(9, BROOD_FOREVER), 3);
	ck_assert_int_eq(take(9, BROOD_FOREVER), 0);
	ck_assert_int_eq(take(9, 0), 0);
	close(ends[0]);
}
END_TEST

START_TEST(nobody_reads)
{
	make(_i);
	close(ends[0]);
	ck_assert_int_eq(give(3, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(give(3, 0), -EPIPE);
	close(ends[1]);
}
END_TEST

/* The descriptor's own O_NONBLOCK makes no difference. */
START_TEST(it_waits_all_the_same)
{
	make(_i);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(take(1, 20 * BROOD_MSEC), -ETIMEDOUT);
	if (fork() == 0) {
		nap_ms(50);
		_exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
	}
	ck_assert_int_eq(take(9, BROOD_FOREVER), 1);
	ck_assert(bury_all());
	drop();
}
END_TEST

START_TEST(what_is_no_stream_is_refused)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];

	ck_assert_int_eq(bri_stream_init(&in, -1), -EBADF);
	ck_assert_int_eq(listen(fd, 1), -1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(bri_stream_init(&in, pair[0]), -EINVAL);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	make(0);
	drop();
	ck_assert_int_eq(bri_stream_wait(&in, POLLIN, 0), -EBADF);
	ck_assert_int_eq(take(1, 0), -EBADF);
	ck_assert_int_eq(give(1, 0), -EBADF);
}
END_TEST

static Suite *stream_suite(void)
{
	Suite *suite = suite_create("stream");
	TCase *tcase = leak_case(suite, "stream", 30);

	tcase_add_loop_test(tcase, bytes_go_through, 0, KINDS);
	tcase_add_loop_test(tcase, time_passes, 0, KINDS);
	tcase_add_loop_test(tcase, the_end_is_told, 0, KINDS);
	tcase_add_loop_test(tcase, nobody_reads, 0, KINDS);
	tcase_add_loop_test(tcase, it_waits_all_the_same, 0, KINDS);
	tcase_add_test(tcase, what_is_no_stream_is_refused);
	return suite;
}

int main(void)
{
	return leak_run(stream_suite());
}
