/* The descriptors of the program: the standard three, the passed ones, and no other. */
#include <brood/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

/* Descriptors 0, 1 and 2 of the test are put aside and back. */
static int aside[3];

static void put_aside(void)
{
	for (int fd = 0; fd < 3; fd++)
		aside[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 700);
}

static void put_back(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (aside[fd] >= 0) {
			dup2(aside[fd], fd);
			close(aside[fd]);
		} else {
			close(fd);
		}
	}
}

/* Three files of the test's own as 0, 1 and 2. */
static void use_own_files(void)
{
	put_aside();
	for (int fd = 0; fd < 3; fd++) {
		int file = open_file((const char *[]){ "zero", "one", "two" }[fd], "");

		ck_assert_int_eq(dup2(file, fd), fd);
		close(file);
	}
}

/* ---- the standard three */

START_TEST(every_source_can_go_to_every_standard_descriptor)
{
	int sources[5] = { 0, 1, 2 };

	use_own_files();
	sources[3] = open_file("a", "");
	sources[4] = open_file("b", "");
	for (int wiring = 0; wiring < 125; wiring++) {
		int in = sources[wiring % 5], out = sources[wiring / 5 % 5],
		    err = sources[wiring / 25];
		const char *report =
			report_of(&(brood_spawn_opts){ .in = { BROOD_STDIO_FD, .fd = in },
						       .out = { BROOD_STDIO_FD, .fd = out },
						       .err = { BROOD_STDIO_FD, .fd = err },
						       .contain = CONTAINED },
				  NULL);

		ck_same_file(report, 0, in);
		ck_same_file(report, 1, out);
		ck_same_file(report, 2, err);
		ck_assert_int_eq(count_descriptors(report), 3);
	}
	close(sources[3]);
	close(sources[4]);
	put_back();
}
END_TEST

/* What the child must have there; `inherited`: what we have. Returns whether it is open at all. */
static bool wanted(brood_child *child, const brood_stdio *stdio, int which,
		   const struct stat *inherited, struct stat *file)
{
	switch (stdio->kind) {
	case BROOD_STDIO_INHERIT:
		*file = *inherited;
		return inherited->st_ino != 0;
	case BROOD_STDIO_FD:
		return fstat(stdio->fd, file) == 0;
	case BROOD_STDIO_PIPE:
		return fstat(brood_child_stream(child, which), file) == 0;
	case BROOD_STDIO_NULL:
		return stat("/dev/null", file) == 0;
	case BROOD_STDIO_FILE:
		return stat(stdio->path, file) == 0;
	default:
		return false;
	}
}

/* One start with these kinds; `file` is open here and must stay so. */
static void check_kinds(brood_stdio_kind in, brood_stdio_kind out, brood_stdio_kind err, int file)
{
	const brood_stdio stdio[3] = { { in, .fd = file, .path = scratch_path("in") },
				       { out, .fd = file, .path = scratch_path("out") },
				       { err, .fd = file, .path = scratch_path("err") } };
	struct stat inherited[3] = { { .st_ino = 0 } }, files[3];
	const char *report;
	brood_child *child;
	bool open[3];

	for (int i = 0; i < 3; i++)
		fstat(i, &inherited[i]);
	child = report_start(
		&(brood_spawn_opts){ .in = stdio[0], .out = stdio[1], .err = stdio[2] }, NULL);
	for (int i = 0; i < 3; i++) {
		int from = i == 2 && err == BROOD_STDIO_STDOUT ? 1 : i;

		open[i] = wanted(child, &stdio[from], from, &inherited[from], &files[i]);
	}
	report = report_finish(child);
	for (int i = 0; i < 3; i++)
		ck_is_file(report, i, open[i] ? &files[i] : NULL);
	ck_assert_int_eq(count_descriptors(report), open[0] + open[1] + open[2]);
	ck_assert_int_ge(fcntl(file, F_GETFD), 0);
}

/* _i is the set of those that are closed here, bit 0 for descriptor 0. */
START_TEST(all_kinds_work_beside_closed_standard_descriptors)
{
	int file = open_file("a", ""), high = fcntl(file, F_DUPFD_CLOEXEC, 600);

	close(file);
	close(open_file("in", ""));
	use_own_files();
	for (int fd = 0; fd < 3; fd++)
		if (_i >> fd & 1)
			close(fd);
	for (int in = BROOD_STDIO_INHERIT; in <= BROOD_STDIO_CLOSED; in++)
		for (int out = BROOD_STDIO_INHERIT; out <= BROOD_STDIO_CLOSED; out++)
			for (int err = BROOD_STDIO_INHERIT; err <= BROOD_STDIO_CLOSED; err++)
				if (in != BROOD_STDIO_STDOUT && out != BROOD_STDIO_STDOUT)
					check_kinds((brood_stdio_kind)in, (brood_stdio_kind)out,
						    (brood_stdio_kind)err, high);
	put_back();
	close(high);
}
END_TEST

START_TEST(a_contained_program_runs_beside_closed_standard_descriptors)
{
	put_aside();
	for (int set = 0; set < 8; set++) {
		brood_exit end;

		for (int fd = 0; fd < 3; fd++)
			if (set >> fd & 1)
				close(fd);
		end = run(BROOD_ARGV(CHILD("end"), "exit", "7"),
			  &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE },
					       .contain = true });
		ck_assert_int_eq(brood_exit_code(&end), 7);
		end = run(BROOD_ARGV(CHILD("end"), "exit", "8"),
			  &(brood_spawn_opts){ .in = { .kind = BROOD_STDIO_CLOSED },
					       .out = { .kind = BROOD_STDIO_CLOSED },
					       .err = { .kind = BROOD_STDIO_CLOSED },
					       .contain = true });
		ck_assert_int_eq(brood_exit_code(&end), 8);
		for (int fd = 0; fd < 3; fd++)
			if (set >> fd & 1)
				dup2(aside[fd], fd);
	}
	put_back();
}
END_TEST

START_TEST(pipes_carry_bytes_and_end)
{
	brood_child *child =
		start(BROOD_ARGV("cat"), &(brood_spawn_opts){ .in = { .kind = BROOD_STDIO_PIPE },
							      .out = { .kind = BROOD_STDIO_PIPE },
							      .contain = CONTAINED });
	int in = brood_child_take_stream(child, 0), out = brood_child_stream(child, 1);
	brood_exit end;
	char none;

	ck_assert_int_eq(write(in, "hello", 5), 5);
	expect(out, "hello");
	close(in);
	ck_assert_int_eq(read(out, &none, 1), 0);
	end = finish(child);
	ck_assert(brood_exit_ok(&end));
}
END_TEST

/* The helper stands between, and must not hold the program's end open. */
START_TEST(a_pipe_ends_when_the_program_closes_it)
{
	brood_child *child = start(
		BROOD_ARGV("sh", "-c", "exec >&-; exec sleep 1000"),
		&(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = CONTAINED });
	char none;

	ck_assert_int_eq(read(brood_child_stream(child, 1), &none, 1), 0);
	ck_assert_int_eq(brood_child_stop(child, 0, NULL), 0);
	brood_child_free(child);
}
END_TEST

START_TEST(streams_are_close_on_exec_and_are_taken_once)
{
	brood_child *child = start(BROOD_ARGV("true"),
				   &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE },
							.err = { .kind = BROOD_STDIO_STDOUT } });
	int out;

	ck_assert_int_eq(brood_child_stream(child, 0), -EBADF);
	ck_assert_int_eq(brood_child_stream(child, 2), -EBADF);
	ck_assert_int_eq(brood_child_stream(child, -1), -EBADF);
	ck_assert_int_eq(brood_child_stream(child, 3), -EBADF);
	ck_assert_int_eq(brood_child_take_stream(child, 2), -EBADF);
	out = brood_child_stream(child, 1);
	ck_assert_int_ge(out, 0);
	ck_assert_int_eq(fcntl(out, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(out, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(brood_child_pidfd(child), F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(brood_child_take_stream(child, 1), out);
	ck_assert_int_eq(brood_child_take_stream(child, 1), -EBADF);
	ck_assert_int_eq(brood_child_stream(child, 1), -EBADF);
	finish(child);
	ck_assert_int_eq(fcntl(out, F_GETFD), FD_CLOEXEC);
	close(out);
}
END_TEST

START_TEST(pipes_have_the_size_asked_for)
{
	static const size_t sizes[] = { 4096, 65536, 262144 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		brood_child *child = start(BROOD_ARGV("cat"),
					   &(brood_spawn_opts){ .in = { .kind = BROOD_STDIO_PIPE },
								.out = { .kind = BROOD_STDIO_PIPE },
								.pipe_size = sizes[i],
								.contain = CONTAINED });

		for (int which = 0; which < 2; which++)
			ck_assert_int_eq(fcntl(brood_child_stream(child, which), F_GETPIPE_SZ),
					 (int)sizes[i]);
		close(brood_child_take_stream(child, 0));
		finish(child);
	}
	/* Where there is no pipe it says nothing. */
	run(BROOD_ARGV("true"), &(brood_spawn_opts){ .pipe_size = SIZE_MAX, .contain = CONTAINED });
}
END_TEST

static size_t largest_pipe(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/fs/pipe-max-size", O_RDONLY | O_CLOEXEC);

	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return (size_t)strtoull(text, NULL, 10);
}

static void ask_too_much(void)
{
	brood_spawn_opts opts = { .err = { .kind = BROOD_STDIO_PIPE },
				  .pipe_size = 2 * largest_pipe() };
	char text[64];

	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	snprintf(text, sizeof(text), "descriptor 2: size %zu", opts.pipe_size);
	refused(BROOD_ARGV("/bin/true"), &opts, EPERM, "pipe", text);
}

START_TEST(a_pipe_size_that_cannot_be_is_refused)
{
	brood_spawn_opts opts = { .in = { .kind = BROOD_STDIO_PIPE },
				  .pipe_size = SIZE_MAX,
				  .contain = CONTAINED };
	char text[64];

	snprintf(text, sizeof(text), "descriptor 0: size %zu", SIZE_MAX);
	refused(BROOD_ARGV("true"), &opts, EINVAL, "pipe", text);
	opts.pipe_size = (size_t)1 << 31;
	refused(BROOD_ARGV("true"), &opts, EINVAL, "pipe", "descriptor 0: size 2147483648");
	in_fork(ask_too_much);
}
END_TEST

static void check_file(const char *name, const char *content, mode_t mode)
{
	char text[64] = "";
	struct stat st;
	int fd = open(scratch_path(name), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, text, sizeof(text) - 1), (int)strlen(content));
	ck_assert_str_eq(text, content);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
	close(fd);
}

START_TEST(files_are_opened_as_told)
{
	static const char *const argv[] = { "sh", "-c", "echo out; echo err >&2", NULL };

	umask(022);
	close(open_file("old", "something longer than before\n"));
	chmod(scratch_path("old"), 0640);
	run(argv, &(brood_spawn_opts){ .out = { BROOD_STDIO_FILE, .path = scratch_path("old") },
				       .err = { BROOD_STDIO_FILE, .path = scratch_path("new") } });
	check_file("old", "out\n", 0640);
	check_file("new", "err\n", 0644);
	run(argv, &(brood_spawn_opts){ .out = { BROOD_STDIO_FILE, .path = scratch_path("old"),
						.flags = O_WRONLY | O_APPEND },
				       .err = { BROOD_STDIO_FILE, .path = scratch_path("private"),
						.mode = 0600 } });
	check_file("old", "out\nout\n", 0640);
	check_file("private", "err\n", 0600);
	/* Both into one file, in the order in which they were written. */
	run(argv, &(brood_spawn_opts){ .out = { BROOD_STDIO_FILE, .path = scratch_path("old") },
				       .err = { .kind = BROOD_STDIO_STDOUT } });
	check_file("old", "out\nerr\n", 0640);
}
END_TEST

START_TEST(a_file_is_relative_to_the_parent_and_not_to_cwd)
{
	ck_assert_int_eq(chdir(scratch), 0);
	run(BROOD_ARGV("echo", "here"),
	    &(brood_spawn_opts){ .out = { BROOD_STDIO_FILE, .path = "out" }, .cwd = "/" });
	check_file("out", "here\n", 0644);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* ---- passed ones */

static int open_at(const char *name, int number)
{
	int fd = open_file(name, ""), there = fcntl(fd, F_DUPFD_CLOEXEC, number);

	ck_assert_int_eq(there, number);
	close(fd);
	return there;
}

/* Starts with this list, and looks at each number of the program. */
static void check_pass(const brood_pass *pass, size_t n, bool contain)
{
	const char *report = report_of(
		&(brood_spawn_opts){ .pass = pass, .n_pass = n, .contain = contain }, NULL);

	for (size_t i = 0; i < n; i++)
		ck_same_file(report, pass[i].as != 0 ? pass[i].as : pass[i].fd, pass[i].fd);
	ck_assert_int_eq(count_descriptors(report), 3 + (int)n);
}

START_TEST(passed_descriptors_get_their_numbers)
{
	static const struct {
		brood_pass pass[6];
		size_t n;
	} cases[] = {
		{ { { 40, 0 } }, 1 },
		{ { { 40, 40 } }, 1 },
		{ { { 40, 3 } }, 1 },
		{ { { 40, 41 }, { 41, 40 } }, 2 },                     /* a swap */
		{ { { 40, 41 }, { 41, 42 }, { 42, 40 } }, 3 },         /* a cycle */
		{ { { 42, 41 }, { 41, 40 } }, 2 },                     /* a chain down */
		{ { { 40, 41 }, { 41, 42 }, { 42, 43 } }, 3 },         /* a chain up */
		{ { { 40, 3 }, { 40, 4 }, { 40, 5 }, { 40, 0 } }, 4 }, /* one, many times */
		{ { { 40, 3 }, { 41, 4 }, { 42, 5 }, { 43, 6 } }, 4 }, /* beside .contain's */
		{ { { 40, 4 }, { 41, 3 }, { 42, 600 } }, 3 },          /* a gap */
		{ { { 0, 3 }, { 1, 4 }, { 2, 5 } }, 3 },               /* standard ones */
		{ { { 40, 41 }, { 41, 40 }, { 42, 43 }, { 43, 42 }, { 2, 3 } }, 5 }, /* two swaps */
	};

	for (int i = 0; i < 4; i++)
		open_at((const char *[]){ "a", "b", "c", "d" }[i], 40 + i);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_pass(cases[i].pass, cases[i].n, CONTAINED);
	for (int fd = 40; fd < 44; fd++)
		close(fd);
}
END_TEST

/* Lists drawn by lot, standard descriptors among the sources and targets alike. */
START_TEST(any_list_of_moves_holds)
{
	enum { FILES = 8, FIRST = 50, ROUNDS = 100 };
	unsigned seed = 1;

	use_own_files();
	for (int i = 0; i < FILES; i++)
		open_at((char[]){ (char)('a' + i), '\0' }, FIRST + i);
	for (int round = 0; round < ROUNDS; round++) {
		brood_pass pass[FILES];
		brood_stdio stdio[3];
		const char *report;
		size_t n = 0;

		for (int as = FIRST - 4; as < FIRST + FILES + 4 && n < FILES; as++)
			if (rand_r(&seed) % 2 == 0)
				pass[n++] = (brood_pass){ FIRST + rand_r(&seed) % FILES, as };
		for (int i = 0; i < 3; i++) {
			int source = rand_r(&seed) % (FILES + 3);

			stdio[i] = (brood_stdio){ BROOD_STDIO_FD,
						  .fd = source < 3 ? source : FIRST + source - 3 };
		}
		report = report_of(&(brood_spawn_opts){ .in = stdio[0],
							.out = stdio[1],
							.err = stdio[2],
							.pass = pass,
							.n_pass = n,
							.contain = CONTAINED },
				   NULL);
		for (int i = 0; i < 3; i++)
			ck_same_file(report, i, stdio[i].fd);
		for (size_t i = 0; i < n; i++)
			ck_same_file(report, pass[i].as, pass[i].fd);
		ck_assert_int_eq(count_descriptors(report), 3 + (int)n);
	}
	for (int i = 0; i < FILES; i++)
		close(FIRST + i);
	put_back();
}
END_TEST

START_TEST(numbers_just_below_the_limit_can_be_swapped)
{
	struct rlimit limit, low;
	brood_pass swap[2] = { { 62, 63 }, { 63, 62 } };

	open_at("a", 62);
	open_at("b", 63);
	getrlimit(RLIMIT_NOFILE, &limit);
	low = (struct rlimit){ 64, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &low);
	check_pass(swap, 2, CONTAINED);
	setrlimit(RLIMIT_NOFILE, &limit);
	close(62);
	close(63);
}
END_TEST

START_TEST(a_passed_descriptor_may_lie_beyond_the_programs_limit)
{
	const brood_rlimit low = { RLIMIT_NOFILE, 32, 32 };
	int fd = open_file("a", "");
	const char *report = report_of(&(brood_spawn_opts){ .pass = &(brood_pass){ fd, 100 },
							    .n_pass = 1,
							    .rlimits = &low,
							    .n_rlimits = 1,
							    .contain = CONTAINED },
				       NULL);

	ck_same_file(report, 100, fd);
	close(fd);
}
END_TEST

/* ---- no other */

START_TEST(a_thousand_open_descriptors_do_not_leak)
{
	int files[1000], last, keep;

	for (int i = 0; i < 1000; i++) /* as a careless host opens them: without close-on-exec */
		files[i] = open("/dev/null", i % 2 == 0 ? O_RDONLY : O_RDONLY | O_CLOEXEC);
	last = files[999];
	ck_assert_int_ge(last, 999);
	ck_assert_int_eq(
		count_descriptors(report_of(&(brood_spawn_opts){ .contain = CONTAINED }, NULL)), 3);
	keep = open_file("a", "");
	dup2(keep, files[500]);
	check_pass((brood_pass[]){ { files[500], 0 }, { keep, files[2] } }, 2, CONTAINED);
	close(keep);
	for (int i = 0; i < 1000; i++)
		close(files[i]);
}
END_TEST

START_TEST(without_closing_all_is_inherited_that_may_be)
{
	brood_spawn_opts opts = { .keep_fds = true, .contain = CONTAINED };
	int fd = open_file("a", ""), kept = dup2(fd, 33), forced = open_at("b", 50), plain;
	const char *report;

	plain = count_descriptors(report_of(&(brood_spawn_opts){ .keep_fds = true }, NULL));
	report = report_of(&opts, NULL);
	ck_same_file(report, kept, kept);
	ck_is_file(report, fd, NULL);
	ck_is_file(report, forced, NULL);
	/* Nothing of the library's is among them. */
	ck_assert_int_eq(count_descriptors(report), plain);
	opts.pass = (brood_pass[]){ { forced, 0 }, { fd, 34 } };
	opts.n_pass = 2;
	opts.in.kind = BROOD_STDIO_NULL;
	report = report_of(&opts, NULL);
	ck_same_file(report, kept, kept);
	ck_same_file(report, forced, forced);
	ck_same_file(report, 34, fd);
	ck_is_file(report, fd, NULL);
	ck_assert_int_eq(count_descriptors(report), plain + 2);
	ck_assert_int_eq(fcntl(forced, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(kept);
	close(forced);
}
END_TEST

/* The numbers that a start takes for itself are wanted by the program. */
START_TEST(without_closing_any_number_can_still_be_a_target)
{
	int fd = open_file("a", ""), low = fcntl(fd, F_DUPFD, 3), first;
	brood_pass pass[6];

	first = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(first);
	for (int i = 0; i < 6; i++)
		pass[i] = (brood_pass){ fd, first + i };
	for (size_t n = 1; n <= 6; n++) {
		const char *report = report_of(
			&(brood_spawn_opts){
				.pass = pass, .n_pass = n, .keep_fds = true, .contain = CONTAINED },
			NULL);

		ck_same_file(report, low, fd);
		for (size_t i = 0; i < n; i++)
			ck_same_file(report, pass[i].as, fd);
	}
	close(low);
	close(fd);
}
END_TEST

START_TEST(without_closing_closed_standard_descriptors_stay_closed)
{
	const char *report;

	put_aside();
	for (int i = 0; i < 3; i++)
		close(i);
	report = report_of(&(brood_spawn_opts){ .keep_fds = true, .contain = CONTAINED }, NULL);
	put_back();
	for (int i = 0; i < 3; i++)
		ck_is_file(report, i, NULL);
}
END_TEST

START_TEST(the_flags_of_the_parents_descriptors_stay)
{
	int fd = open_file("a", "");

	check_pass(&(brood_pass){ fd, 0 }, 1, CONTAINED);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	report_of(&(brood_spawn_opts){ .out = { BROOD_STDIO_FD, .fd = fd }, .contain = CONTAINED },
		  NULL);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}
END_TEST

static atomic_bool enough;
static bool threads_contain;

/* A careless library in another thread of the host. */
static void *open_and_close(void *unused)
{
	while (!atomic_load(&enough)) {
		int ends[2];

		if (pipe(ends) == 0) {
			close(ends[0]);
			close(ends[1]);
		}
	}
	return unused;
}

/* Starts programs with three pipes, and counts those that have another descriptor than these. */
static void *spawn_many(void *argument)
{
	char path[300];
	long *wrong = argument;

	snprintf(path, sizeof(path), "%s/thread-%p", scratch, argument);
	for (int i = 0; i < 25; i++) {
		brood_child *child;
		char text[20000] = "";
		int fd;

		if (brood_spawn(BROOD_ARGV(CHILD("report"), path),
				&(brood_spawn_opts){ .in = { .kind = BROOD_STDIO_PIPE },
						     .out = { .kind = BROOD_STDIO_PIPE },
						     .err = { .kind = BROOD_STDIO_PIPE },
						     .contain = threads_contain },
				&child) < 0) {
			++*wrong;
			continue;
		}
		*wrong += brood_child_wait(child, 10 * BROOD_SEC, NULL) != 0;
		brood_child_free(child);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		*wrong += read(fd, text, sizeof(text) - 1) <= 0 || count_descriptors(text) != 3;
		close(fd);
	}
	return NULL;
}

START_TEST(programs_started_by_eight_threads_do_not_share_descriptors)
{
	pthread_t threads[8], careless;
	long wrong[8] = { 0 };

	atomic_store(&enough, false);
	threads_contain = CONTAINED;
	ck_assert_int_eq(pthread_create(&careless, NULL, open_and_close, NULL), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_many, &wrong[i]), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&enough, true);
	pthread_join(careless, NULL);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(wrong[i], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/spawn, descriptors");
	TCase *standard = leak_case(suite, "standard", 60);
	TCase *passed = leak_case(suite, "passed", 60);
	TCase *others = leak_case(suite, "others", 60);

	add_for_both(standard, every_source_can_go_to_every_standard_descriptor);
	tcase_add_loop_test(standard, all_kinds_work_beside_closed_standard_descriptors, 0, 8);
	tcase_add_test(standard, a_contained_program_runs_beside_closed_standard_descriptors);
	add_for_both(standard, pipes_carry_bytes_and_end);
	add_for_both(standard, a_pipe_ends_when_the_program_closes_it);
	tcase_add_test(standard, streams_are_close_on_exec_and_are_taken_once);
	add_for_both(standard, pipes_have_the_size_asked_for);
	add_for_both(standard, a_pipe_size_that_cannot_be_is_refused);
	tcase_add_test(standard, files_are_opened_as_told);
	tcase_add_test(standard, a_file_is_relative_to_the_parent_and_not_to_cwd);
	add_for_both(passed, passed_descriptors_get_their_numbers);
	add_for_both(passed, any_list_of_moves_holds);
	add_for_both(passed, numbers_just_below_the_limit_can_be_swapped);
	add_for_both(passed, a_passed_descriptor_may_lie_beyond_the_programs_limit);
	add_for_both(others, a_thousand_open_descriptors_do_not_leak);
	add_for_both(others, without_closing_all_is_inherited_that_may_be);
	add_for_both(others, without_closing_any_number_can_still_be_a_target);
	add_for_both(others, without_closing_closed_standard_descriptors_stay_closed);
	add_for_both(others, the_flags_of_the_parents_descriptors_stay);
	add_for_both(others, programs_started_by_eight_threads_do_not_share_descriptors);
	return leak_run(suite);
}
