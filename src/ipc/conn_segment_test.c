#include <brood/conn.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define LARGE ((size_t)64 << 20)

static const brood_conn_opts kinds[] = { { .shared = false }, { .shared = true } };

static brood_conn *in, *out;

static void make(const brood_conn_opts *opts)
{
	ck_assert_int_eq(brood_pipe_with(true, opts, &in, &out), 0);
}

static void drop(void)
{
	in = brood_conn_free(in);
	out = brood_conn_free(out);
}

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 7 + i / 4096);
}

static brood_segment *fill(size_t size)
{
	brood_segment *segment;
	unsigned char *data;

	ck_assert_int_eq(brood_segment_new(size, NULL, &segment), 0);
	data = brood_segment_data(segment);
	for (size_t i = 0; i < size; i++)
		data[i] = byte_at(i);
	return segment;
}

static void ck_filled(const brood_segment *segment, size_t size)
{
	const unsigned char *data = brood_segment_data(segment);
	size_t i = 0;

	ck_assert_uint_eq(brood_segment_size(segment), size);
	while (i < size && data[i] == byte_at(i))
		i++;
	ck_assert_uint_eq(i, size);
}

START_TEST(a_body_goes_through_and_messages_around_it)
{
	brood_segment *sent = fill(5000), *got;
	char text[8];

	make(&kinds[_i]);
	ck_assert_int_eq(brood_conn_send_bytes(out, "before", 6, 0), 0);
	ck_assert_int_eq(brood_conn_send_segment(out, sent, 0), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, "behind", 6, 0), 0);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), -ENOMSG);
	ck_assert_int_eq(brood_conn_recv_into(in, text, 8, 0), 6);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), 0);
	ck_filled(got, 5000);
	/* It is one memory. */
	memcpy(brood_segment_data(sent), "later", 5);
	ck_assert_mem_eq(brood_segment_data(got), "later", 5);
	ck_assert_int_eq(brood_conn_recv_into(in, text, 8, 0), 6);
	ck_assert_mem_eq(text, "behind", 6);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 20 * BROOD_MSEC, &got), -ETIMEDOUT);
	brood_segment_unref(sent);
	brood_segment_unref(got);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, BROOD_FOREVER, &got), -EPIPE);
	drop();
}
END_TEST

static void send_and_be_killed(void *arg)
{
	brood_segment *segment = fill(LARGE);

	must(brood_conn_send_segment(out, segment, 0) == 0);
	raise_flag(arg);
	for (;;)
		nap_ms(1000);
}

START_TEST(a_killed_sender_takes_nothing_along)
{
	flag *sent = share(sizeof(*sent));
	brood_segment *got;
	pid_t pid;

	make(NULL);
	pid = peer(send_and_be_killed, (void *)sent);
	await(sent);
	finish_off(pid);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), 0);
	ck_filled(got, LARGE);
	brood_segment_unref(got);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), -EPIPE);
	drop();
}
END_TEST

START_TEST(what_is_sealed_against_writing_is_read)
{
	brood_segment *sent = fill(100), *got;
	void *again;

	make(NULL);
	ck_assert_int_eq(brood_segment_seal(sent, BROOD_SEAL_WRITE), 0);
	ck_assert_int_eq(brood_conn_send_segment(out, sent, 0), 0);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), 0);
	ck_filled(got, 100);
	again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, brood_segment_fd(got), 0);
	ck_assert_ptr_eq(again, MAP_FAILED);
	ck_assert_int_eq(
		mprotect((char *)brood_segment_data(got) - 64, 4096, PROT_READ | PROT_WRITE), -1);
	brood_segment_unref(sent);
	brood_segment_unref(got);
	drop();
}
END_TEST

/* Of any origin; -1 seals: none may be put on it. */
static int make_memfd(size_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | (seals >= 0 ? MFD_ALLOW_SEALING : 0));

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	if (seals > 0)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void ck_received(int fd, const brood_segment_opts *opts, int wanted)
{
	brood_segment *got;

	ck_assert_int_eq(brood_conn_send_fd(out, fd, 0), 0);
	close(fd);
	ck_assert_int_eq(brood_conn_recv_segment(in, opts, 0, &got), wanted);
	if (wanted == 0)
		brood_segment_unref(got);
}

START_TEST(what_could_shrink_is_refused)
{
	brood_fail fail = { 0 };
	const brood_segment_opts raw = { .raw = true, .fail = &fail };
	int ends[2];

	make(&kinds[_i]);
	ck_received(make_memfd(8192, 0), &raw, -EPERM);
	ck_assert_str_eq(fail.step, "seals");
	ck_received(make_memfd(8192, -1), &raw, -EPERM);
	ck_received(make_memfd(8192, F_SEAL_GROW | F_SEAL_FUTURE_WRITE), &raw, -EPERM);
	ck_received(open_file("file", "of a disk"), &raw, -EPERM);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	close(ends[1]);
	ck_received(ends[0], &raw, -EPERM);
	/* … and sealed it is not, before and after. */
	ck_received(make_memfd(8192, F_SEAL_SHRINK), &raw, 0);
	ck_received(make_memfd(8192, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), &raw, 0);
	drop();
}
END_TEST

START_TEST(a_sender_cannot_shrink_it_afterwards)
{
	brood_segment *sent = fill(LARGE), *got;

	make(NULL);
	ck_assert_int_eq(brood_conn_send_segment(out, sent, 0), 0);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), 0);
	ck_assert_int_eq(ftruncate(brood_segment_fd(sent), 64), -1);
	ck_assert_int_eq(errno, EPERM);
	/* A hole is zeroes, and no SIGBUS. */
	ck_assert_int_eq(fallocate(brood_segment_fd(sent),
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)LARGE),
			 0);
	ck_assert_uint_eq(((unsigned char *)brood_segment_data(got))[LARGE / 2], 0);
	brood_segment_unref(sent);
	brood_segment_unref(got);
	drop();
}
END_TEST

START_TEST(what_is_no_segment_is_refused_and_the_next_one_comes)
{
	brood_segment *sent = fill(10), *got;
	char header[64];
	int fd;

	make(NULL);
	ck_assert_int_eq(pread(brood_segment_fd(sent), header, 64, 0), 64);
	/* Cut: a header that says more than there is. */
	fd = make_memfd(64, 0);
	ck_assert_int_eq(pwrite(fd, header, 64, 0), 64);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	ck_received(fd, NULL, -ENODATA);
	ck_received(make_memfd(0, F_SEAL_SHRINK), NULL, -ENODATA);
	ck_received(make_memfd(32, F_SEAL_SHRINK), NULL, -EBADMSG);
	ck_received(make_memfd(4096, F_SEAL_SHRINK), NULL, -EBADMSG);
	ck_assert_int_eq(brood_conn_send_segment(out, sent, 0), 0);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), 0);
	ck_filled(got, 10);
	brood_segment_unref(sent);
	brood_segment_unref(got);
	drop();
}
END_TEST

START_TEST(a_limit_is_kept)
{
	const brood_segment_opts grows = { .reserve = 1 << 20 };
	brood_segment *fits = fill(1000), *more = fill(1001), *may_grow, *got;

	make(&(brood_conn_opts){ .most = 1000 });
	ck_assert_int_eq(brood_segment_new(1, &grows, &may_grow), 0);
	ck_assert_int_eq(brood_conn_send_segment(out, more, 0), 0);
	ck_assert_int_eq(brood_conn_send_segment(out, may_grow, 0), 0);
	ck_assert_int_eq(brood_conn_send_segment(out, fits, 0), 0);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), -EFBIG);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), -EFBIG);
	ck_assert_int_eq(brood_conn_recv_segment(in, NULL, 0, &got), 0);
	ck_filled(got, 1000);
	brood_segment_unref(fits);
	brood_segment_unref(more);
	brood_segment_unref(may_grow);
	brood_segment_unref(got);
	drop();
}
END_TEST

START_TEST(where_it_cannot_be_sent)
{
	brood_segment *closed = fill(1), *named, *sent = fill(1), *got;
	brood_conn *from, *to;

	make(NULL);
	ck_assert_int_eq(brood_segment_new(1, &(brood_segment_opts){ .named = true }, &named), 0);
	ck_assert_int_eq(brood_conn_send_segment(out, named, 0), -EPERM);
	ck_assert_int_eq(brood_segment_unlink(named), 0);
	brood_segment_close(closed);
	ck_assert_int_eq(brood_conn_send_segment(out, closed, 0), -EBADF);
	ck_assert_int_eq(brood_pipe(false, &from, &to), 0);
	ck_assert_int_eq(brood_conn_send_segment(to, sent, 0), -EOPNOTSUPP);
	ck_assert_int_eq(brood_conn_recv_segment(from, NULL, 0, &got), -EOPNOTSUPP);
	in = brood_conn_free(in);
	ck_assert_int_eq(brood_conn_send_segment(out, sent, 0), -EPIPE);
	brood_conn_free(from);
	brood_conn_free(to);
	brood_segment_unref(closed);
	brood_segment_unref(named);
	brood_segment_unref(sent);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/conn_segment");
	TCase *tcase = leak_case(suite, "segment", 60);

	tcase_add_loop_test(tcase, a_body_goes_through_and_messages_around_it, 0, 2);
	tcase_add_test(tcase, a_killed_sender_takes_nothing_along);
	tcase_add_test(tcase, what_is_sealed_against_writing_is_read);
	tcase_add_loop_test(tcase, what_could_shrink_is_refused, 0, 2);
	tcase_add_test(tcase, a_sender_cannot_shrink_it_afterwards);
	tcase_add_test(tcase, what_is_no_segment_is_refused_and_the_next_one_comes);
	tcase_add_test(tcase, a_limit_is_kept);
	tcase_add_test(tcase, where_it_cannot_be_sent);
	return leak_run(suite);
}
