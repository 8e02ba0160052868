#include "tests/unit/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/leak.h"

void nap_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static _Atomic(int) came; /* to whichever thread */

static void count_it(int signum)
{
	(void)signum;
	came = came + 1;
}

void storm(void)
{
	const struct sigaction count = { .sa_handler = count_it };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } };

	came = 0;
	ck_assert_int_eq(sigaction(SIGALRM, &count, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

int calm(void)
{
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };

	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	return came;
}

bool nobody_can_run(const char *path)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(setresuid(NOBODY, NOBODY, NOBODY) < 0 || access(path, X_OK) < 0 ? 1 : 0);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

brood_child *start(const char *const argv[], const brood_spawn_opts *opts)
{
	static const brood_spawn_opts none;
	brood_spawn_opts mine = opts != NULL ? *opts : none;
	brood_fail fail = { .step = NULL };
	brood_child *child = NULL;
	char text[400];
	int r;

	mine.fail = &fail;
	r = brood_spawn(argv, &mine, &child);
	brood_fail_format(&fail, text, sizeof(text));
	ck_assert_msg(r == 0, "%s does not start: %s", argv[0], text);
	ck_assert_ptr_nonnull(child);
	ck_assert_msg(fail.step == NULL, "it started, and yet: %s", text);
	return child;
}

brood_exit finish(brood_child *child)
{
	brood_exit end;

	ck_assert_int_eq(brood_child_wait(child, 30 * BROOD_SEC, &end), 0);
	brood_child_free(child);
	return end;
}

brood_exit run(const char *const argv[], const brood_spawn_opts *opts)
{
	return finish(start(argv, opts));
}

void refused(const char *const argv[], const brood_spawn_opts *opts, int error, const char *step,
	     const char *text)
{
	static const brood_spawn_opts none;
	brood_spawn_opts mine = opts != NULL ? *opts : none;
	brood_fail fail = { .step = NULL };
	brood_child *untouched = (brood_child *)&fail, *child = untouched;
	char whole[400];
	int r;

	mine.fail = &fail;
	r = brood_spawn(argv, &mine, &child);
	brood_fail_format(&fail, whole, sizeof(whole));
	ck_assert_msg(r == -error, "%d and not %d (%s): %s", r, -error, strerror(error), whole);
	ck_assert_ptr_eq(child, untouched);
	ck_assert_ptr_nonnull(fail.step);
	ck_assert_str_eq(fail.step, step);
	ck_assert_int_eq(fail.error, error);
	if (text != NULL)
		ck_assert_str_eq(fail.text, text);
	/* Who gives no brood_fail gets the same answer. */
	mine.fail = NULL;
	ck_assert_int_eq(brood_spawn(argv, &mine, &child), -error);
	ck_assert_ptr_eq(child, untouched);
}

const char *copy_program(const char *path, const char *name)
{
	const char *copy = scratch_path(name);
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	ssize_t n;

	ck_assert(from >= 0 && to >= 0);
	do
		n = sendfile(to, from, NULL, 1 << 20);
	while (n > 0);
	ck_assert_int_eq(n, 0);
	ck_assert_int_eq(fchmod(to, 0755), 0);
	close(from);
	close(to);
	return copy;
}

brood_child *report_start(const brood_spawn_opts *opts, const char *const words[])
{
	const char *argv[64] = { CHILD("report"), scratch_path("report") };
	brood_spawn_opts mine = { .executable = NULL };

	if (opts != NULL && (opts->uid != NULL || opts->user != NULL) && opts->executable == NULL) {
		mine = *opts;
		mine.executable = copy_program(CHILD("report"), "report-program");
		opts = &mine;
	}

	for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
		ck_assert_uint_lt(i, 60);
		argv[i + 2] = words[i];
	}
	return start(argv, opts);
}

const char *report_finish(brood_child *child)
{
	static char text[1 << 20];
	brood_exit end = finish(child);
	ssize_t n = 0, r;
	int fd;

	ck_assert_msg(brood_exit_ok(&end), "report ended with %d", brood_exit_code(&end));
	fd = open(scratch_path("report"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	while ((r = read(fd, text + n, sizeof(text) - 1 - (size_t)n)) > 0)
		n += r;
	text[n] = '\0';
	close(fd);
	unlink(scratch_path("report"));
	return text;
}

const char *report_of(const brood_spawn_opts *opts, const char *const words[])
{
	return report_finish(report_start(opts, words));
}

const char *fact(const char *report, const char *key)
{
	static char values[8][512];
	static unsigned next;
	size_t length = strlen(key);

	for (const char *line = report; line != NULL && *line != '\0';) {
		const char *end = strchrnul(line, '\n');

		if (strncmp(line, key, length) == 0 && strchr(" :\t\n", line[length]) != NULL) {
			char *value = values[next++ % 8];
			const char *from = line + length;

			from += strspn(from, " :\t");
			if (from > end)
				from = end;
			snprintf(value, sizeof(values[0]), "%.*s", (int)(end - from), from);
			return value;
		}
		line = *end != '\0' ? end + 1 : end;
	}
	return NULL;
}

char logged[4096];

void log_line(void *data, const char *line)
{
	size_t used = strlen(logged);

	/* Tests have it called where memory is missing, and also a check that holds allocates. */
	if (data != logged || strchr(line, '\n') != NULL ||
	    used + strlen(line) + 1 >= sizeof(logged))
		ck_abort_msg("logged, but not as one line of ours: %s", line);
	snprintf(logged + used, sizeof(logged) - used, "%s\n", line);
}

int count_descriptors(const char *report)
{
	int n = strncmp(report, "fd ", 3) == 0;

	for (const char *at = strstr(report, "\nfd "); at != NULL; at = strstr(at + 1, "\nfd "))
		n++;
	return n;
}

void ck_is_file(const char *report, int theirs, const struct stat *file)
{
	char key[24], wanted[64];
	const char *is;

	snprintf(key, sizeof(key), "fd %d", theirs);
	is = fact(report, key);
	if (file == NULL) {
		ck_assert_msg(is == NULL, "%s is open: %s", key, is);
		return;
	}
	snprintf(wanted, sizeof(wanted), "%llu:%llu ", (unsigned long long)file->st_dev,
		 (unsigned long long)file->st_ino);
	ck_assert_msg(is != NULL && strncmp(is, wanted, strlen(wanted)) == 0,
		      "%s is %s, and not %s", key, is != NULL ? is : "closed", wanted);
}

void ck_same_file(const char *report, int theirs, int ours)
{
	struct stat st;

	ck_assert_int_eq(fstat(ours, &st), 0);
	ck_is_file(report, theirs, &st);
}

int open_file(const char *name, const char *content)
{
	int fd = open(scratch_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, content, strlen(content), 0), (int)strlen(content));
	return fd;
}

void expect(int fd, const char *text)
{
	char got[256];
	size_t n = 0;

	ck_assert_uint_lt(strlen(text), sizeof(got));
	while (n < strlen(text)) {
		ssize_t r = read(fd, got + n, strlen(text) - n);

		ck_assert_msg(r > 0, "'%s' ends after %zu bytes", text, n);
		n += (size_t)r;
	}
	got[n] = '\0';
	ck_assert_str_eq(got, text);
}

bool has_signal(const char *mask, int signum)
{
	return strtoull(mask, NULL, 16) >> (signum - 1) & 1;
}

const char *stat_of(pid_t pid)
{
	static char text[512];
	char path[64];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	size = fread(text, 1, sizeof(text) - 1, file);
	ck_assert_uint_gt(size, 0);
	(void)fclose(file);
	text[size] = '\0';
	return strrchr(text, ')') + 2;
}
