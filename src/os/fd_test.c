#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "tests/unit/leak.h"

START_TEST(what_is_opened_is_close_on_exec)
{
	int fd = bri_open("/dev/null", O_RDWR, 0), ends[2];

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(bri_pipe(&ends[0], &ends[1]), 0);
	ck_assert_int_eq(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert_int_eq(read(ends[0], &(char){ 0 }, 1), 1);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(open_says_why_not)
{
	ck_assert_int_eq(bri_open("/nowhere/at/all", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(bri_open("/dev/null/x", O_RDONLY, 0), -ENOTDIR);
}
END_TEST

START_TEST(open_creates_with_the_mode)
{
	struct stat st;
	int fd;

	umask(0);
	fd = bri_open(scratch_path("new"), O_WRONLY | O_CREAT, 0604);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0604);
	close(fd);
}
END_TEST

START_TEST(a_descriptor_is_closed_once_and_forgotten)
{
	int fd = bri_open("/dev/null", O_RDONLY, 0), copy = fd, none = -1;

	bri_closep(&fd);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(fcntl(copy, F_GETFD), -1);
	bri_closep(&fd);
	bri_closep(&none);
}
END_TEST

START_TEST(a_taken_descriptor_stays_open)
{
	int kept, freed;

	{
		bri_cleanup(bri_closep) int gone = bri_open("/dev/null", O_RDONLY, 0);
		bri_cleanup(bri_closep) int fd = bri_open("/dev/null", O_RDONLY, 0);

		freed = gone;
		kept = bri_take_fd(&fd);
		ck_assert_int_eq(fd, -1);
	}
	ck_assert_int_eq(fcntl(freed, F_GETFD), -1);
	ck_assert_int_eq(fcntl(kept, F_GETFD), FD_CLOEXEC);
	close(kept);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/fd");
	TCase *fd = leak_case(suite, "fd", 10);

	tcase_add_test(fd, what_is_opened_is_close_on_exec);
	tcase_add_test(fd, open_says_why_not);
	tcase_add_test(fd, open_creates_with_the_mode);
	tcase_add_test(fd, a_descriptor_is_closed_once_and_forgotten);
	tcase_add_test(fd, a_taken_descriptor_stays_open);
	return leak_run(suite);
}
