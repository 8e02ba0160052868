/* What processes log, and one of them reads. The lines on stderr are process_test.c's. */
#include <brood/log.h>
#include <brood/process.h>
#include <brood/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/methods.h"

#define MANY 20000 /* lines, more than the kernel keeps for who does not read */

static struct shared {
	flag begun[4], gone;
	volatile long written;
} * s;

static brood_log_reader *reader;

static void make(void)
{
	s = share_far(sizeof(*s));
}

static brood_log_reader *read_from(int level)
{
	brood_log_reader *new;

	must(brood_log_to_reader(level, &new) == 0); /* where there is no Check, too */
	return new;
}

/* The next one, as a line. */
static const char *next(brood_log_record *ret_record)
{
	static char line[2048];

	ck_assert_int_eq(brood_log_read(reader, PATIENCE_NS, ret_record), 0);
	ck_assert_int_gt(brood_log_line(ret_record, line, sizeof(line)), 0);
	return line;
}

static void ck_next(const char *line)
{
	brood_log_record record;

	ck_assert_str_eq(next(&record), line);
}

/* The test's own: it is a fork of the main process, unless Check was told otherwise. */
static void ck_next_own(const char *text)
{
	char name[BROOD_PROCESS_NAME_MOST + 1];
	brood_log_record record;

	brood_process_name(brood_current_process(), name, sizeof(name));
	next(&record);
	ck_assert_str_eq(record.process, name);
	ck_assert_str_eq(record.text, text);
	ck_assert_int_eq(record.pid, getpid());
}

static void ck_no_more(void)
{
	brood_log_record record;

	ck_assert_int_eq(brood_log_read(reader, 0, &record), -ETIMEDOUT);
}

/* ---- what came to stderr meanwhile */

static int before, instead;

static void hear(void)
{
	before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	instead = open(scratch_path("stderr"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND,
		       0600);
	ck_assert_int_eq(dup2(instead, STDERR_FILENO), STDERR_FILENO);
}

/* How many lines that were; the first of them in `text`. */
static long hear_out(char text[1024])
{
	FILE *file = fopen(scratch_path("stderr"), "r");
	char line[2048];
	long n = 0;

	ck_assert_int_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);
	close(before);
	close(instead);
	text[0] = '\0';
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (n++ == 0)
			snprintf(text, 1024, "%.1023s", line);
	(void)fclose(file);
	return n;
}

/* ---- by each method */

static brood_process *start_named(const char *name, brood_process_target *target,
				  const brood_object *args)
{
	const brood_process_opts opts = {
		.name = name, .fork_with_threads = is_sanitized /* its runtime may have one */
	};

	return start_it(target, args, &opts);
}

static int say(const brood_args *args)
{
	brood_log(BROOD_LOG_WARNING, "%s", brood_args_str(args, 0));
	brood_log(BROOD_LOG_DEBUG, "too little");
	brood_log(35, "odd");
	return 2;
}

START_TEST(lines_come_to_the_reader)
{
	brood_log_record record;
	int64_t began = (int64_t)time(NULL) * BROOD_SEC;
	char text[1024];
	brood_process *p;

	hear();
	reader = read_from(BROOD_LOG_INFO);
	p = start_named("w", say, BROOD_ARGS("low"));
	ck_next("[INFO/w] child process calling its function");
	ck_assert_str_eq(next(&record), "[WARNING/w] low");
	ck_assert_int_eq(record.level, BROOD_LOG_WARNING);
	ck_assert_int_eq(record.pid, brood_process_pid(p));
	ck_assert_int_ge(record.at_ns, began);
	ck_assert_int_lt(record.at_ns, began + 2 * PATIENCE_NS);
	ck_next("[Level 35/w] odd");
	ck_next("[INFO/w] process exiting with exitcode 2");
	ck_assert_int_eq(end_of(p), 2);
	ck_assert_int_eq(brood_log(BROOD_LOG_INFO, "%s", "so do I"), 0);
	ck_next_own("so do I");
	ck_no_more();
	ck_assert_ptr_null(brood_log_reader_free(reader));
	ck_assert_int_eq(brood_log(BROOD_LOG_INFO, "here again"), 0);
	ck_assert_int_eq(brood_log_to_stderr(0), BROOD_LOG_INFO);
	ck_assert_int_eq(hear_out(text), 1);
	ck_assert_ptr_nonnull(strstr(text, "] here again\n"));
}
END_TEST

static int have_another_say(const brood_args *args)
{
	(void)args;
	return end_of(start_named("v", say, BROOD_ARGS("below")));
}

START_TEST(those_of_grandchildren_come_too)
{
	brood_log_record record;
	brood_process *p;

	reader = read_from(BROOD_LOG_WARNING);
	p = start_named("w", have_another_say, NULL);
	ck_assert_str_eq(next(&record), "[WARNING/v] below");
	ck_assert_int_ne(record.pid, brood_process_pid(p));
	ck_next("[Level 35/v] odd");
	ck_assert_int_eq(end_of(p), 2);
	ck_no_more();
	brood_log_reader_free(reader);
}
END_TEST

static int read_myself(const brood_args *args)
{
	brood_log_record record;

	(void)args;
	reader = read_from(BROOD_LOG_INFO);
	brood_log(BROOD_LOG_INFO, "to myself");
	must(brood_log_read(reader, 0, &record) == 0 && strcmp(record.text, "to myself") == 0);
	brood_log_reader_free(reader);
	brood_log(BROOD_LOG_INFO, "to all");
	return 0;
}

START_TEST(a_child_may_have_a_reader_of_its_own)
{
	reader = read_from(BROOD_LOG_WARNING);
	ck_assert_int_eq(end_of(start_named("w", read_myself, NULL)), 0);
	ck_next("[INFO/w] to all");
	ck_next("[INFO/w] process exiting with exitcode 0");
	ck_no_more();
	brood_log_reader_free(reader);
}
END_TEST

static int write_on(const brood_args *args)
{
	char rest[900];

	memset(rest, 'x', sizeof(rest) - 1);
	rest[sizeof(rest) - 1] = '\0';
	for (long i = 0;; i++) {
		brood_log(BROOD_LOG_INFO, "%ld %s", i, rest + i % 800);
		raise_flag(&s->begun[brood_args_int(args, 0)]);
	}
	return 0;
}

/* Each line is whole, and none of a process is missing between others: the reader reads, so there is room. */
START_TEST(a_killed_writer_leaves_whole_lines)
{
	static const char *const names[] = { "0", "1", "2", "3" };
	brood_process *p[4];
	brood_log_record record;
	long last[4] = { -1, -1, -1, -1 };
	char text[1024], rest[901];
	long elsewhere, lines = 0;

	memset(rest, 'x', 900);
	rest[899] = '\0';
	hear();
	reader = read_from(BROOD_LOG_INFO);
	for (int i = 0; i < 4; i++)
		p[i] = start_named(names[i], write_on, BROOD_ARGS(i));
	for (int i = 0; i < 4; i++)
		await(&s->begun[i]);
	for (int i = 0; i < 4; i++) {
		nap_ms(1);
		ck_assert_int_eq(brood_process_kill(p[i]), 0);
		ck_assert_int_eq(end_of(p[i]), -SIGKILL);
	}
	while (brood_log_read(reader, 0, &record) == 0) {
		char *end;
		long n = strtol(record.text, &end, 10), from = record.process[0] - '0';

		if (strncmp(record.text, "child process", 13) == 0)
			continue;
		ck_assert(from >= 0 && from < 4 && record.process[1] == '\0');
		ck_assert_int_gt(n, last[from]);
		ck_assert_int_eq(*end, ' ');
		ck_assert_str_eq(end + 1, rest + n % 800);
		last[from] = n;
		lines++;
	}
	elsewhere = hear_out(text);
	ck_assert_int_gt(lines, 4);
	ck_assert_int_ge(last[0] + last[1] + last[2] + last[3] + 4, lines);
	ck_assert_int_ge(lines + elsewhere, last[0] + last[1] + last[2] + last[3] + 4);
	brood_log_reader_free(reader);
	brood_log_to_stderr(0);
}
END_TEST

static int outlive_the_reader(const brood_args *args)
{
	(void)args;
	raise_flag(&s->begun[0]);
	await(&s->gone);
	brood_log(BROOD_LOG_WARNING, "nobody reads");
	return 0;
}

START_TEST(without_a_reader_lines_go_to_stderr)
{
	brood_process *p;
	char text[1024];

	hear();
	reader = read_from(BROOD_LOG_WARNING);
	p = start_named("w", outlive_the_reader, NULL);
	await(&s->begun[0]);
	brood_log_reader_free(reader);
	raise_flag(&s->gone);
	ck_assert_int_eq(end_of(p), 0);
	brood_log_to_stderr(0);
	ck_assert_int_eq(hear_out(text), 1);
	ck_assert_str_eq(text, "[WARNING/w] nobody reads\n");
}
END_TEST

/* ---- several, to one stderr */

enum { WRITERS = 4, EACH = 1000 };

/* Of every length. Returns that of the line, with the newline. */
static int expected(char line[1024], const char *name, long i)
{
	char rest[801];

	memset(rest, 'a' + (int)(i % 26), sizeof(rest) - 1);
	rest[i * 7 % 800] = '\0';
	return snprintf(line, 1024, "[WARNING/%s] %ld %s\n", name, i, rest);
}

static int write_many(const brood_args *args)
{
	char line[1024];

	raise_flag(&s->begun[brood_args_int(args, 0)]);
	await(&s->gone);
	for (long i = 0; i < EACH; i++) {
		line[expected(line, brood_args_str(args, 1), i) - 1] = '\0';
		must(brood_log(BROOD_LOG_WARNING, "%s", strchr(line, ' ') + 1) == 0);
	}
	return 0;
}

/* So many bytes, and nothing behind them; of a file what was written to it before. */
static char *read_all(int fd, size_t size)
{
	char *text = malloc(size + 1);
	struct pollfd event = { .fd = fd, .events = POLLIN };
	size_t done = 0;
	ssize_t n = 1;

	ck_assert_ptr_nonnull(text);
	while (done < size && n > 0) {
		ck_assert_msg(poll(&event, 1, 20000) == 1, "%zu bytes of %zu came", done, size);
		n = read(fd, text + done, size - done);
		ck_assert_int_ge(n, 0);
		done += (size_t)n;
	}
	text[done] = '\0';
	ck_assert_uint_eq(done, size);
	return text;
}

/* Each line is whole, those of each process are in order, and none is missing: a file that is appended to, and a pipe. */
START_TEST(several_write_to_one_stderr)
{
	static const char *const names[WRITERS] = { "0", "1", "2", "3" };
	char line[1024], *text, *at, byte;
	brood_process *p[WRITERS];
	long seen[WRITERS] = { 0 };
	size_t size = 0;
	int ends[2], real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	if (_i == 0) {
		ends[1] =
			open(scratch_path("one"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		ends[0] = open(scratch_path("one"), O_RDONLY | O_CLOEXEC);
	} else {
		ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	}
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	brood_log_to_stderr(BROOD_LOG_WARNING);
	for (int i = 0; i < WRITERS; i++)
		p[i] = start_named(names[i], write_many, BROOD_ARGS(i, names[i]));
	brood_log_to_stderr(0);
	dup2(real, STDERR_FILENO);
	close(real);
	for (int i = 0; i < WRITERS; i++)
		await(&s->begun[i]);
	for (long i = 0; i < EACH; i++)
		size += WRITERS * (size_t)expected(line, "0", i);
	raise_flag(&s->gone);
	for (int i = 0; i < WRITERS && _i == 0; i++)
		ck_assert_int_eq(end_of(p[i]), 0);
	text = read_all(ends[0], size);
	for (int i = 0; i < WRITERS && _i == 1; i++)
		ck_assert_int_eq(end_of(p[i]), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_le(read(ends[0], &byte, 1), 0);
	for (at = text; *at != '\0';) {
		int from = strncmp(at, "[WARNING/", 9) == 0 ? at[9] - '0' : -1, n;

		ck_assert_msg(from >= 0 && from < WRITERS, "%.1100s", at);
		n = expected(line, names[from], seen[from]++);
		ck_assert_msg(strncmp(at, line, (size_t)n) == 0, "%.1100s is not %s", at, line);
		at += n;
	}
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(seen[i], EACH);
	free(text);
	close(ends[0]);
}
END_TEST

static void add_tests(TCase *tcase, brood_start_method method)
{
	(void)method;
	tcase_add_loop_test(tcase, several_write_to_one_stderr, 0, 2);
	tcase_add_test(tcase, lines_come_to_the_reader);
	tcase_add_test(tcase, those_of_grandchildren_come_too);
	tcase_add_test(tcase, a_child_may_have_a_reader_of_its_own);
	tcase_add_test(tcase, a_killed_writer_leaves_whole_lines);
	tcase_add_test(tcase, without_a_reader_lines_go_to_stderr);
}

/* ---- one process */

START_TEST(what_is_wrong_is_refused)
{
	struct rlimit limit = { 0, 0 }, old;
	brood_log_record record = { .level = 10, .process = "p", .text = "t" };
	brood_log_reader *second = NULL;
	char line[8];

	ck_assert_int_eq(brood_log_to_reader(10, NULL), -EINVAL);
	ck_assert_int_eq(brood_log_read(NULL, 0, &record), -EINVAL);
	ck_assert_int_eq(brood_log_reader_fd(NULL), -EINVAL);
	ck_assert_ptr_null(brood_log_reader_free(NULL));
	ck_assert_int_eq(brood_log_line(NULL, line, sizeof(line)), -EINVAL);
	ck_assert_int_eq(brood_log_line(&record, NULL, 1), -EINVAL);
	ck_assert_int_eq(brood_log_line(&record, line, sizeof(line)), 11);
	ck_assert_str_eq(line, "[DEBUG/");
	reader = read_from(BROOD_LOG_INFO);
	ck_assert_int_eq(brood_log_read(reader, 0, NULL), -EINVAL);
	ck_assert_int_eq(brood_log_read(reader, 5 * BROOD_MSEC, &record), -ETIMEDOUT);
	ck_assert_int_eq(brood_log_to_reader(BROOD_LOG_INFO, &second), -EALREADY);
	ck_assert_ptr_null(second);
	brood_log_reader_free(reader);
	getrlimit(RLIMIT_NOFILE, &old);
	limit.rlim_max = old.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(brood_log_to_reader(BROOD_LOG_INFO, &second), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	brood_log_to_stderr(0);
}
END_TEST

static void log_late(void *unused)
{
	(void)unused;
	nap_ms(50);
	brood_log(BROOD_LOG_INFO, "late");
}

START_TEST(signals_do_not_end_a_wait)
{
	brood_log_record record;
	int64_t began;
	pid_t pid;

	reader = read_from(BROOD_LOG_INFO);
	storm();
	began = brood_now();
	ck_assert_int_eq(brood_log_read(reader, 100 * BROOD_MSEC, &record), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 100 * BROOD_MSEC);
	ck_assert_int_lt(brood_now() - began, 10 * BROOD_SEC);
	ck_assert_int_ge(calm(), 1);
	pid = peer(log_late, NULL);
	storm();
	ck_assert_ptr_nonnull(strstr(next(&record), "] late"));
	calm();
	ck_finishes(pid);
	brood_log_reader_free(reader);
}
END_TEST

START_TEST(its_descriptor_tells_of_lines)
{
	brood_waitable item;

	reader = read_from(BROOD_LOG_INFO);
	item = (brood_waitable){ .fd = brood_log_reader_fd(reader) };
	ck_assert_int_eq(brood_wait(&item, 1, 0), -ETIMEDOUT);
	brood_log(BROOD_LOG_INFO, "one");
	ck_assert_int_eq(brood_wait(&item, 1, PATIENCE_NS), 1);
	ck_next_own("one");
	ck_assert_int_eq(brood_wait(&item, 1, 0), -ETIMEDOUT);
	brood_log_reader_free(reader);
}
END_TEST

static void look_at_what_is_the_parents(void)
{
	brood_log_record record;

	ck_assert_int_eq(brood_log_read(reader, 0, &record), -ECHILD);
	ck_assert_int_eq(brood_log_reader_fd(reader), -ECHILD);
	brood_log(BROOD_LOG_INFO, "from the fork");
	brood_log_reader_free(reader);
	brood_log(BROOD_LOG_INFO, "and again");
	reader = read_from(BROOD_LOG_INFO);
	brood_log(BROOD_LOG_INFO, "to myself");
	ck_next_own("to myself");
	brood_log_reader_free(reader);
	brood_log(BROOD_LOG_INFO, "at last");
}

static void have_one_at_once(void)
{
	brood_log_reader *mine = read_from(BROOD_LOG_INFO);

	brood_log_reader_free(mine);
	brood_log_reader_free(reader);
}

START_TEST(a_fork_has_no_reader_but_writes)
{
	brood_log_record record;

	reader = read_from(BROOD_LOG_INFO);
	in_fork(look_at_what_is_the_parents);
	ck_assert_ptr_nonnull(strstr(next(&record), "] from the fork"));
	ck_assert_ptr_nonnull(strstr(next(&record), "] and again"));
	ck_assert_ptr_nonnull(strstr(next(&record), "] at last"));
	in_fork(have_one_at_once);
	ck_no_more();
	brood_log_reader_free(reader);
}
END_TEST

/* Nobody reads, and nobody waits for that. */
START_TEST(what_has_no_room_goes_to_stderr)
{
	brood_log_record record;
	char text[1024];
	long kept = 0, elsewhere;

	hear();
	reader = read_from(BROOD_LOG_INFO);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(brood_log(BROOD_LOG_INFO, "%d", i), 0);
	while (brood_log_read(reader, 0, &record) == 0)
		ck_assert_int_eq(strtol(record.text, NULL, 10), kept++);
	elsewhere = hear_out(text);
	ck_assert_int_gt(kept, 100);
	ck_assert_int_gt(elsewhere, 0);
	ck_assert_int_eq(kept + elsewhere, MANY);
	brood_log_reader_free(reader);
	brood_log_to_stderr(0);
}
END_TEST

/* As daemons do; and what has the number then is not written to. */
static void close_all(void *unused)
{
	char byte;
	int pair[2];

	(void)unused;
	reader = read_from(BROOD_LOG_INFO);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	for (int fd = 3; fd < 64; fd++)
		if (fd != pair[0] && fd != pair[1])
			must(dup2(pair[0], fd) == fd);
	must(brood_log(BROOD_LOG_INFO, "heard") == 0);
	must(recv(pair[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

START_TEST(a_program_may_close_all_descriptors)
{
	char text[1024];

	hear();
	ck_finishes(peer(close_all, NULL));
	ck_assert_int_eq(hear_out(text), 1);
	ck_assert_ptr_nonnull(strstr(text, "] heard\n"));
}
END_TEST

START_TEST(what_is_no_line_is_passed_over)
{
	brood_log_record record;
	int fd;

	reader = read_from(BROOD_LOG_INFO);
	/* the writing end is the next one */
	fd = brood_log_reader_fd(reader) + 1;
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	memset(&record, 'y', sizeof(record));
	ck_assert_int_eq(send(fd, &record, sizeof(record), 0), (ssize_t)sizeof(record));
	brood_log(BROOD_LOG_INFO, "a line");
	ck_next_own("a line");
	ck_no_more();
	brood_log_reader_free(reader);
}
END_TEST

static void *log_for_a_while(void *unused)
{
	while (!__atomic_load_n(&s->gone, __ATOMIC_ACQUIRE))
		brood_log(BROOD_LOG_INFO, "%ld",
			  __atomic_add_fetch(&s->written, 1, __ATOMIC_SEQ_CST));
	return unused;
}

/* Whatever has the numbers afterwards gets none of the lines. */
START_TEST(readers_come_and_go_while_threads_log)
{
	brood_log_record record;
	pthread_t threads[2];
	char text[1024], byte;
	int pair[2];

	s = share(sizeof(*s));
	hear();
	brood_log_to_stderr(BROOD_LOG_INFO);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_for_a_while, NULL), 0);
	for (int i = 0; i < 100; i++) {
		reader = read_from(BROOD_LOG_INFO);
		ck_assert_int_eq(brood_log_read(reader, PATIENCE_NS, &record), 0);
		brood_log_reader_free(reader);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		sched_yield();
		ck_assert_int_eq(recv(pair[0], &byte, 1, MSG_DONTWAIT), -1);
		ck_assert_int_eq(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
		close(pair[0]);
		close(pair[1]);
	}
	raise_flag(&s->gone);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	brood_log_to_stderr(0);
	hear_out(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc/log");
	TCase *one = leak_case(suite, "one process", 60);

	s = reach(sizeof(*s));
	brood_init();
	add_for_each_method(suite, make, unshare_far, add_tests);
	tcase_add_test(one, what_is_wrong_is_refused);
	tcase_add_test(one, signals_do_not_end_a_wait);
	tcase_add_test(one, its_descriptor_tells_of_lines);
	tcase_add_test(one, a_fork_has_no_reader_but_writes);
	tcase_add_test(one, what_has_no_room_goes_to_stderr);
	tcase_add_test(one, a_program_may_close_all_descriptors);
	tcase_add_test(one, what_is_no_line_is_passed_over);
	tcase_add_test(one, readers_come_and_go_while_threads_log);
	return leak_run(suite);
}
