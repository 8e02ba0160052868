/* An outlet is a descriptor of its own, and none of those that a program inherits by their number. */
#include "child/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static void ck_are_closed(int from, int to)
{
	for (int fd = from; fd <= to; fd++)
		ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
}

/* The pipe is opened anew, and the number that this gets first is one of 0 to 2. */
static void open_without_standard_streams(void)
{
	struct bri_outlet outlet;
	int ends[2], moved, r, error;
	char byte = 'x';

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_gt(ends[0], 2);
	for (int fd = 0; fd <= 2; fd++)
		close(fd);
	ck_assert_int_eq(bri_outlet_init(&outlet, ends[1]), 0);
	ck_assert_int_gt(outlet.fd, 2);
	ck_assert_uint_eq(outlet.piece, 0); /* its own open file, not a shared one */
	ck_assert_int_ne(fcntl(outlet.fd, F_GETFL) & O_NONBLOCK, 0);
	ck_are_closed(0, 2);
	bri_outlet_put(&outlet, "y", 1);
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'y');
	moved = outlet.fd;
	bri_outlet_fini(&outlet);
	ck_are_closed(moved, moved);

	/* With room below 3 alone there is none, and nothing is left behind. */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 64, 64 }), 0);
	while (fcntl(ends[0], F_DUPFD_CLOEXEC, 3) >= 0)
		;
	error = errno;
	r = bri_outlet_init(&outlet, ends[1]);
	ck_are_closed(0, 2);
	ck_assert_int_eq(error, EMFILE);
	ck_assert_int_eq(r, -EMFILE);
	ck_assert_int_eq(outlet.fd, -1);
}

START_TEST(an_outlet_is_no_standard_stream)
{
	in_fork(open_without_standard_streams);
}
END_TEST

START_TEST(what_is_not_open_has_no_outlet)
{
	struct bri_outlet outlet;

	ck_assert_int_eq(bri_outlet_init(&outlet, -1), -EBADF);
	ck_assert_int_eq(outlet.fd, -1);
	bri_outlet_fini(&outlet);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/outlet");
	TCase *outlet = leak_case(suite, "outlet", 30);

	tcase_add_test(outlet, an_outlet_is_no_standard_stream);
	tcase_add_test(outlet, what_is_not_open_has_no_outlet);
	return leak_run(suite);
}
