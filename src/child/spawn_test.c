/* The program, its words, and every reason why it does not start. */
#include <brood/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

#define NOBODY 65534

static void make_file(const char *path, const char *content, mode_t mode)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void make_folder(const char *name)
{
	ck_assert_int_eq(mkdir(scratch_path(name), 0755), 0);
}

/* ---- words */

START_TEST(arguments_arrive_byte_for_byte)
{
	static const char *const words[] = { "",      "two words",  "\"quoted\"",  "it's",
					     "$HOME", "*",          "`id`",        "-n",
					     "a;b|c", "\xff\xfe\t", "caf\xc3\xa9", NULL };
	const char *report =
		report_of(&(brood_spawn_opts){ .contain = CONTAINED }, (const char *const *)words);

	ck_fact(report, "argc", "%d", 13);
	ck_fact(report, "arg 0", "%s", CHILD("report"));
	for (int i = 0; words[i] != NULL; i++) {
		char key[16];

		snprintf(key, sizeof(key), "arg %d", i + 2);
		/* fact() skips blanks, and none of these begins with one. */
		ck_fact(report, key, "%s", words[i]);
	}
}
END_TEST

START_TEST(the_environment_is_the_one_given)
{
	static const char *const env[] = { "A=1",           "EMPTY=", "EQUALS=a=b=c",
					   "TWO WORDS=x y", "A=2",    NULL };
	const char *report =
		report_of(&(brood_spawn_opts){ .env = env, .contain = CONTAINED }, NULL);

	for (int i = 0; env[i] != NULL; i++) {
		char key[16];

		snprintf(key, sizeof(key), "env %d", i);
		ck_fact(report, key, "%s", env[i]);
	}
	ck_assert_ptr_null(fact(report, "env 5"));
}
END_TEST

START_TEST(an_empty_environment_stays_empty)
{
	const char *const none[] = { NULL };
	const char *report =
		report_of(&(brood_spawn_opts){ .env = none, .contain = CONTAINED }, NULL);

	ck_assert_ptr_null(fact(report, "env 0"));
}
END_TEST

START_TEST(without_env_the_child_has_the_parents)
{
	clearenv();
	setenv("ONLY", "this", 1);
	ck_fact(report_of(&(brood_spawn_opts){ .contain = CONTAINED }, NULL), "env 0", "ONLY=this");
	clearenv();
	ck_assert_ptr_null(fact(report_of(NULL, NULL), "env 0"));
}
END_TEST

START_TEST(executable_is_run_under_the_name_in_argv)
{
	const char *path = scratch_path("out");
	brood_exit end =
		run(BROOD_ARGV("-shown", path),
		    &(brood_spawn_opts){ .executable = CHILD("report"), .contain = CONTAINED });
	char text[4096] = "";
	int fd;

	ck_assert(brood_exit_ok(&end));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	ck_assert_ptr_nonnull(strstr(text, "\narg 0 -shown\n"));
}
END_TEST

/* ---- where the program is found */

/* Scripts that exit with a number, to see which of them ran. */
static void make_places(void)
{
	make_folder("one");
	make_folder("two");
	make_file(scratch_path("one/first"), "#!/bin/sh\nexit 11\n", 0755);
	make_file(scratch_path("two/first"), "#!/bin/sh\nexit 21\n", 0755);
	make_file(scratch_path("one/denied"), "#!/bin/sh\nexit 12\n", 0644);
	make_file(scratch_path("two/denied"), "#!/bin/sh\nexit 22\n", 0755);
	make_file(scratch_path("here"), "#!/bin/sh\nexit 33\n", 0755);
}

static int code_of(const char *program, const char *path, const char *cwd, bool contain)
{
	char entry[1024];
	const char *const env[] = { entry, NULL };
	brood_exit end;

	snprintf(entry, sizeof(entry), "PATH=%s", path);
	end = run(BROOD_ARGV(program),
		  &(brood_spawn_opts){ .env = env, .cwd = cwd, .contain = contain });
	return brood_exit_code(&end);
}

START_TEST(a_name_is_searched_in_the_path_of_the_childs_environment)
{
	char both[600], with_empty[700];

	make_places();
	setenv("PATH", scratch_path("one"), 1);
	ck_assert_int_eq(code_of("first", scratch_path("two"), NULL, CONTAINED), 21);
	snprintf(both, sizeof(both), "/nowhere:%s:%s", scratch_path("one"), scratch_path("two"));
	ck_assert_int_eq(code_of("first", both, NULL, CONTAINED), 11);
	/* One that may not be executed gives way to a later one, as with execvp(3). */
	ck_assert_int_eq(code_of("denied", both, NULL, CONTAINED), 22);
	/* An empty entry is the child's working directory. */
	snprintf(with_empty, sizeof(with_empty), "/nowhere::%s", both);
	ck_assert_int_eq(code_of("here", with_empty, scratch, CONTAINED), 33);
	ck_assert_int_eq(code_of("here", "", scratch, CONTAINED), 33);
	ck_assert_int_eq(code_of("here", "/nowhere:", scratch, CONTAINED), 33);
	/* A relative entry is one, too. */
	ck_assert_int_eq(code_of("first", "two", scratch, CONTAINED), 21);
}
END_TEST

START_TEST(without_a_path_the_system_folders_are_searched)
{
	static const char *const env[] = { "OTHER=x", NULL };
	brood_exit end = run(BROOD_ARGV("sh", "-c", "exit 5"),
			     &(brood_spawn_opts){ .env = env, .contain = CONTAINED });

	ck_assert_int_eq(brood_exit_code(&end), 5);
}
END_TEST

START_TEST(a_name_with_a_slash_is_not_searched)
{
	make_places();
	ck_assert_int_eq(code_of("./one/first", scratch_path("two"), scratch, CONTAINED), 11);
	ck_assert_int_eq(code_of("two/first", scratch_path("one"), scratch, CONTAINED), 21);
	refused(BROOD_ARGV("./first"), &(brood_spawn_opts){ .cwd = scratch, .contain = CONTAINED },
		ENOENT, "exec", "./first");
}
END_TEST

START_TEST(a_relative_program_is_resolved_in_cwd)
{
	make_places();
	ck_assert_int_eq(chdir(scratch_path("one")), 0);
	ck_assert_int_eq(code_of("./first", "", NULL, CONTAINED), 11);
	ck_assert_int_eq(code_of("./first", "", scratch_path("two"), CONTAINED), 21);
	ck_assert_int_eq(code_of("./first", "", "../two", CONTAINED), 21);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* ---- a command line */

/* What the command line wrote; it ended well. */
static const char *said_by(const char *const argv[], const brood_spawn_opts *given)
{
	static char text[1024];
	brood_spawn_opts opts = *given;
	brood_child *child;
	size_t n = 0;
	brood_exit end;
	ssize_t r;

	opts.out.kind = BROOD_STDIO_PIPE;
	child = start(argv, &opts);
	while ((r = read(brood_child_stream(child, 1), text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	end = finish(child);
	ck_assert_msg(brood_exit_ok(&end), "'%s' ended with %d", argv[0], brood_exit_code(&end));
	return text;
}

START_TEST(a_command_line_is_run_by_the_shell)
{
	const brood_spawn_opts opts = { .shell = true, .contain = CONTAINED };
	brood_exit end = run(BROOD_ARGV("exit $((2 + 3))"), &opts);

	ck_assert_int_eq(brood_exit_code(&end), 5);
	ck_assert_str_eq(said_by(BROOD_ARGV("echo a  b | tr ab xy; echo $0"), &opts),
			 "x y\n/bin/sh\n");
	ck_assert_str_eq(said_by(BROOD_ARGV("echo \"$0|$1|$2|$#\"", "zero", "o n e", ""), &opts),
			 "zero|o n e||2\n");
	ck_assert_str_eq(said_by(BROOD_ARGV(""), &opts), "");
	/* That the shell finds no such command is no failure of the start. */
	end = run(BROOD_ARGV("no-such-program 2>/dev/null"), &opts);
	ck_assert_int_eq(brood_exit_code(&end), 127);
}
END_TEST

START_TEST(a_command_line_may_have_another_shell)
{
	const char *other = scratch_path("other");
	char text[400], entry[400];
	const char *const env[] = { entry, NULL };

	make_file(other, "#!/bin/sh\necho \"$0 $#\"\nexec /bin/sh \"$@\"\n", 0755);
	snprintf(text, sizeof(text), "%s 3\nzero\n", other);
	ck_assert_str_eq(
		said_by(BROOD_ARGV("echo $0", "zero"), &(brood_spawn_opts){ .shell = true,
									    .executable = other,
									    .contain = CONTAINED }),
		text);
	/* A name is searched as any program's is. */
	snprintf(entry, sizeof(entry), "PATH=%s", scratch);
	ck_assert_str_eq(
		said_by(BROOD_ARGV("echo $0", "zero"), &(brood_spawn_opts){ .shell = true,
									    .env = env,
									    .executable = "other",
									    .contain = CONTAINED }),
		text);
}
END_TEST

START_TEST(a_command_line_without_its_shell_is_refused)
{
	refused((const char *const[]){ NULL },
		&(brood_spawn_opts){ .shell = true, .contain = CONTAINED }, EINVAL, "argv",
		"no command line given");
	refused(NULL, &(brood_spawn_opts){ .shell = true, .contain = CONTAINED }, EINVAL, "argv",
		"no command line given");
	refused(BROOD_ARGV("exit 0"),
		&(brood_spawn_opts){ .shell = true, .executable = "", .contain = CONTAINED },
		EINVAL, "argv", "the program's name is empty");
	refused(BROOD_ARGV("exit 0"),
		&(brood_spawn_opts){
			.shell = true, .executable = "/nowhere/sh", .contain = CONTAINED },
		ENOENT, "exec", "/nowhere/sh");
}
END_TEST

/* ---- edits of the environment */

START_TEST(edits_are_made_over_the_environment)
{
	static const char *const edits[] = { "B=2", "GONE", "A=9", "NEVER_THERE", "C=", NULL };
	brood_spawn_opts opts = { .env_edits = edits, .contain = CONTAINED };
	const char *report;

	clearenv();
	setenv("A", "1", 1);
	setenv("GONE", "x", 1);
	setenv("KEPT", "k", 1);
	report = report_of(&opts, NULL);
	ck_fact(report, "env 0", "A=9");
	ck_fact(report, "env 1", "KEPT=k");
	ck_fact(report, "env 2", "B=2");
	ck_fact(report, "env 3", "C=");
	ck_assert_ptr_null(fact(report, "env 4"));
	/* The host's own is as it was. */
	ck_assert_str_eq(getenv("A"), "1");
	ck_assert_str_eq(getenv("GONE"), "x");
	ck_assert_ptr_null(getenv("B"));
	opts.env = BROOD_ARGV("GONE=y", "D=4");
	report = report_of(&opts, NULL);
	ck_fact(report, "env 0", "D=4");
	ck_fact(report, "env 1", "B=2");
	ck_fact(report, "env 2", "A=9");
	ck_fact(report, "env 3", "C=");
	ck_assert_ptr_null(fact(report, "env 4"));
}
END_TEST

START_TEST(the_program_is_searched_in_the_edited_path)
{
	char one[300], two[300];
	brood_spawn_opts opts = { .contain = CONTAINED };
	brood_exit end;

	make_places();
	snprintf(one, sizeof(one), "PATH=%s", scratch_path("one"));
	snprintf(two, sizeof(two), "PATH=%s", scratch_path("two"));
	opts.env = BROOD_ARGV(one);
	opts.env_edits = BROOD_ARGV(two);
	end = run(BROOD_ARGV("first"), &opts);
	ck_assert_int_eq(brood_exit_code(&end), 21);
	/* Without a PATH the system's folders are left. */
	opts.env_edits = BROOD_ARGV("PATH");
	refused(BROOD_ARGV("first"), &opts, ENOENT, "exec", "first");
	end = run(BROOD_ARGV("true"), &opts);
	ck_assert(brood_exit_ok(&end));
}
END_TEST

START_TEST(an_edit_without_a_name_is_refused)
{
	brood_spawn_opts opts = { .env_edits = BROOD_ARGV("A=1", "=x"), .contain = CONTAINED };

	refused(BROOD_ARGV("true"), &opts, EINVAL, "env", "edit 1 has no name");
	opts.env_edits = BROOD_ARGV("");
	refused(BROOD_ARGV("true"), &opts, EINVAL, "env", "edit 0 has no name");
}
END_TEST

/* ---- reasons not to start */

START_TEST(wrong_arguments_are_refused)
{
	const brood_spawn_opts plain = { .contain = CONTAINED };

	refused(NULL, &plain, EINVAL, "argv", "no program given");
	refused((const char *const[]){ NULL }, &plain, EINVAL, "argv", "no program given");
	refused(BROOD_ARGV(""), &plain, EINVAL, "argv", "the program's name is empty");
	refused(BROOD_ARGV("true"), &(brood_spawn_opts){ .executable = "", .contain = CONTAINED },
		EINVAL, "argv", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .env = BROOD_ARGV("A=1", "NOTHING"), .contain = CONTAINED },
		EINVAL, "env", "entry 1 is not NAME=value");
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .env = BROOD_ARGV("=x"), .contain = CONTAINED }, EINVAL, "env",
		"entry 0 is not NAME=value");
}
END_TEST

START_TEST(a_missing_program_is_told_from_a_missing_folder)
{
	const char *nowhere = scratch_path("nowhere"), *nothing = scratch_path("nothing");

	refused(BROOD_ARGV(nothing), &(brood_spawn_opts){ .contain = CONTAINED }, ENOENT, "exec",
		nothing);
	refused(BROOD_ARGV("no-such-program"),
		&(brood_spawn_opts){ .env = BROOD_ARGV("PATH=/bin:/usr/bin"),
				     .contain = CONTAINED },
		ENOENT, "exec", "no-such-program");
	refused(BROOD_ARGV("/bin/true"),
		&(brood_spawn_opts){ .cwd = nowhere, .contain = CONTAINED }, ENOENT, "chdir",
		nowhere);
	refused(BROOD_ARGV("/bin/true"),
		&(brood_spawn_opts){ .cwd = "/bin/true", .contain = CONTAINED }, ENOTDIR, "chdir",
		"/bin/true");
}
END_TEST

START_TEST(a_missing_interpreter_is_told_from_a_missing_program)
{
	const char *script = scratch_path("script"), *dangling = scratch_path("dangling");
	char text[400], path[300];

	make_file(script, "#!/nowhere/sh\n", 0755);
	snprintf(text, sizeof(text), "%s: the interpreter that it names is missing", script);
	refused(BROOD_ARGV(script), &(brood_spawn_opts){ .contain = CONTAINED }, ENOENT,
		"interpreter", text);
	refused(BROOD_ARGV("./script"), &(brood_spawn_opts){ .cwd = scratch, .contain = CONTAINED },
		ENOENT, "interpreter", "./script: the interpreter that it names is missing");
	snprintf(path, sizeof(path), "PATH=/nowhere:%s", scratch);
	refused(BROOD_ARGV("script"),
		&(brood_spawn_opts){ .env = BROOD_ARGV(path), .contain = CONTAINED }, ENOENT,
		"interpreter", text);
	/* A link to nothing names no interpreter. */
	ck_assert_int_eq(symlink("/nowhere/program", dangling), 0);
	refused(BROOD_ARGV(dangling), &(brood_spawn_opts){ .contain = CONTAINED }, ENOENT, "exec",
		dangling);
}
END_TEST

/* A copy of a program of ours that asks for a dynamic loader that is nowhere; false: it asks for none. */
static bool make_loaderless(const char *path)
{
	static char bytes[1 << 20];
	int from = open(CHILD("end"), O_RDONLY | O_CLOEXEC);
	ssize_t size = read(from, bytes, sizeof(bytes));
	char *loader;
	FILE *file;

	close(from);
	ck_assert(size > 0 && (size_t)size < sizeof(bytes));
	loader = memmem(bytes, (size_t)size, "/ld-", 4);
	if (loader == NULL)
		return false;
	memcpy(loader, "/no-", 4);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, (size_t)size, file), (size_t)size);
	ck_assert_int_eq(fchmod(fileno(file), 0755), 0);
	ck_assert_int_eq(fclose(file), 0);
	return true;
}

START_TEST(a_missing_loader_is_told_as_an_interpreter)
{
	const char *program = scratch_path("program");
	char text[400];

	if (!make_loaderless(program))
		return;
	snprintf(text, sizeof(text), "%s: the interpreter that it names is missing", program);
	refused(BROOD_ARGV(program), &(brood_spawn_opts){ .contain = CONTAINED }, ENOENT,
		"interpreter", text);
}
END_TEST

/* Both are missing: the folder is entered first. */
START_TEST(a_missing_folder_is_told_before_a_missing_program)
{
	const char *nowhere = scratch_path("nowhere");

	refused(BROOD_ARGV("/nowhere/program"),
		&(brood_spawn_opts){ .cwd = nowhere, .contain = CONTAINED }, ENOENT, "chdir",
		nowhere);
	refused(BROOD_ARGV("exit 0"),
		&(brood_spawn_opts){ .shell = true, .cwd = nowhere, .contain = CONTAINED }, ENOENT,
		"chdir", nowhere);
	refused(BROOD_ARGV("true"), &(brood_spawn_opts){ .cwd = "", .contain = CONTAINED }, ENOENT,
		"chdir", "");
}
END_TEST

START_TEST(what_cannot_be_executed_is_refused)
{
	const brood_spawn_opts opts = { .contain = CONTAINED };
	const char *denied = scratch_path("denied"), *formless = scratch_path("formless");
	char path[300];

	make_file(denied, "#!/bin/sh\n", 0644);
	refused(BROOD_ARGV(denied), &opts, EACCES, "exec", denied);
	snprintf(path, sizeof(path), "PATH=/nowhere:%s:/bin", scratch);
	refused(BROOD_ARGV("denied"),
		&(brood_spawn_opts){ .env = BROOD_ARGV(path), .contain = CONTAINED }, EACCES,
		"exec", denied);
	refused(BROOD_ARGV(scratch), &opts, EACCES, "exec", scratch);
	make_folder("x");
	snprintf(path, sizeof(path), "PATH=%s", scratch);
	refused(BROOD_ARGV("x"),
		&(brood_spawn_opts){ .env = BROOD_ARGV(path), .contain = CONTAINED }, EACCES,
		"exec", scratch_path("x"));
	/* No shell is asked to make sense of a file without a first line. */
	make_file(formless, "exit 0\n", 0755);
	refused(BROOD_ARGV(formless), &opts, ENOEXEC, "exec", formless);
	refused(BROOD_ARGV("/bin/true/x"), &opts, ENOTDIR, "exec", "/bin/true/x");
}
END_TEST

START_TEST(too_many_words_are_refused)
{
	char *word = malloc(200 * 1024); /* one word may have 128 KiB (execve(2)) */

	ck_assert_ptr_nonnull(word);
	memset(word, 'x', 200 * 1024 - 1);
	word[200 * 1024 - 1] = '\0';
	refused(BROOD_ARGV("/bin/true", word), &(brood_spawn_opts){ .contain = CONTAINED }, E2BIG,
		"exec", "/bin/true");
	free(word);
}
END_TEST

START_TEST(wrong_descriptors_are_refused)
{
	int closed = open_file("x", ""), open = open_file("y", "");
	char text[100];

	close(closed);
	snprintf(text, sizeof(text), "descriptor 1: %d is not open", closed);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .out = { BROOD_STDIO_FD, .fd = closed },
				     .contain = CONTAINED },
		EBADF, "stdio", text);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .in = { BROOD_STDIO_FD, .fd = -1 }, .contain = CONTAINED },
		EBADF, "stdio", "descriptor 0: -1 is not open");
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .in = { .kind = (brood_stdio_kind)99 }, .contain = CONTAINED },
		EINVAL, "stdio", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_STDOUT }, .contain = CONTAINED },
		EINVAL, "stdio", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .in = { .kind = BROOD_STDIO_FILE }, .contain = CONTAINED },
		EINVAL, "stdio", "descriptor 0: no path");
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .pass = (brood_pass[]){ { closed, 0 } },
				     .n_pass = 1,
				     .contain = CONTAINED },
		EBADF, "pass", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){
			.pass = (brood_pass[]){ { open, 2 } }, .n_pass = 1, .contain = CONTAINED },
		EINVAL, "pass", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){
			.pass = (brood_pass[]){ { open, -4 } }, .n_pass = 1, .contain = CONTAINED },
		EINVAL, "pass", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){
			.pass = (brood_pass[]){ { 1, 0 } }, .n_pass = 1, .contain = CONTAINED },
		EINVAL, "pass", NULL);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){
			.pass = (brood_pass[]){ { open, 9 }, { open, 0 }, { open, 9 } },
			.n_pass = 3,
			.contain = CONTAINED },
		EINVAL, "pass", "descriptor 9 is given twice");
	close(open);
}
END_TEST

/* The pipes of the start itself take numbers that the caller believes to be closed. */
START_TEST(a_descriptor_that_the_start_opens_is_not_taken_for_one_given)
{
	int first = open_file("x", ""), second = open_file("y", "");

	close(first);
	close(second);
	for (int fd = first; fd <= second; fd++) {
		brood_spawn_opts opts = { .in = { .kind = BROOD_STDIO_PIPE },
					  .contain = CONTAINED };

		opts.err = (brood_stdio){ BROOD_STDIO_FD, .fd = fd };
		refused(BROOD_ARGV("true"), &opts, EBADF, "stdio", NULL);
		opts.err = (brood_stdio){ .kind = BROOD_STDIO_PIPE };
		opts.pass = &(brood_pass){ fd, 20 };
		opts.n_pass = 1;
		refused(BROOD_ARGV("true"), &opts, EBADF, "pass", NULL);
	}
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_named)
{
	const char *missing = scratch_path("missing"), *deep = scratch_path("no/such/folder");

	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .in = { BROOD_STDIO_FILE, .path = missing },
				     .contain = CONTAINED },
		ENOENT, "open", missing);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .out = { BROOD_STDIO_FILE, .path = deep },
				     .contain = CONTAINED },
		ENOENT, "open", deep);
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .err = { BROOD_STDIO_FILE, .path = scratch },
				     .contain = CONTAINED },
		EISDIR, "open", scratch);
}
END_TEST

START_TEST(wrong_limits_are_refused)
{
	const brood_rlimit upside_down = { RLIMIT_NOFILE, 20, 10 }, unknown = { 999, 1, 1 };

	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){
			.rlimits = &upside_down, .n_rlimits = 1, .contain = CONTAINED },
		EINVAL, "rlimit", NULL);
	refused(BROOD_ARGV("/bin/true"),
		&(brood_spawn_opts){ .rlimits = &unknown, .n_rlimits = 1, .contain = CONTAINED },
		EINVAL, "rlimit", "limit 999");
}
END_TEST

/* With N free descriptors, for each N: it starts, or it says EMFILE and leaves nothing behind. */
START_TEST(too_few_descriptors_are_told)
{
	const brood_spawn_opts opts = { .in = { .kind = BROOD_STDIO_PIPE },
					.out = { .kind = BROOD_STDIO_PIPE },
					.err = { .kind = BROOD_STDIO_NULL },
					.contain = CONTAINED };
	struct rlimit limit, low;
	int first = open_file("x", ""), n = 0;
	bool started = false;

	close(first);
	getrlimit(RLIMIT_NOFILE, &limit);
	for (low = limit; !started && n < 20; n++) {
		brood_fail fail = { .step = NULL };
		brood_spawn_opts mine = opts;
		brood_child *child;
		int r;

		mine.fail = &fail;
		low.rlim_cur = (rlim_t)first + (rlim_t)n;
		setrlimit(RLIMIT_NOFILE, &low);
		r = brood_spawn(BROOD_ARGV("/bin/true"), &mine, &child);
		setrlimit(RLIMIT_NOFILE, &limit);
		started = r == 0;
		if (started)
			finish(child);
		else
			ck_assert_msg(r == -EMFILE && strstr("pipe open clone container",
							     fail.step) != NULL,
				      "%d free: %d, %s", n, r, fail.step);
	}
	ck_assert(started);
	ck_assert_int_gt(n, 5);
}
END_TEST

static bool become_nobody(void)
{
	return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

/* Root is not bound by the limit, so nobody tries; -EAGAIN comes from the clone. */
static void try_as_nobody(void)
{
	const struct rlimit none = { 0, 0 };

	if (!become_nobody())
		return;
	setrlimit(RLIMIT_NPROC, &none);
	refused(BROOD_ARGV("/bin/true"), NULL, EAGAIN, "clone", "");
}

START_TEST(too_many_processes_are_told)
{
	if (geteuid() == 0)
		in_fork(try_as_nobody);
}
END_TEST

static void try_to_gain(void)
{
	const uid_t root = 0;
	const gid_t wheel = 0;
	const brood_rlimit more = { RLIMIT_NOFILE, 1 << 20, 1 << 20 };
	struct rlimit less = { 1000, 1000 };

	if (!become_nobody())
		return;
	setrlimit(RLIMIT_NOFILE, &less);
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .uid = &root }, EPERM, "setuid",
		"uid 0");
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .gid = &wheel }, EPERM, "setgid",
		"gid 0");
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .groups = &wheel, .n_groups = 1 },
		EPERM, "setgroups", NULL);
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .rlimits = &more, .n_rlimits = 1 },
		EPERM, "rlimit", "limit 7");
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .nice = -5 }, EPERM, "nice", NULL);
}

START_TEST(rights_that_the_caller_lacks_are_refused)
{
	if (geteuid() == 0)
		in_fork(try_to_gain);
}
END_TEST

/* A hundred failures of the late kind, and the fixture counts what they left. */
START_TEST(failures_leave_nothing_behind)
{
	for (int i = 0; i < 50; i++)
		refused(BROOD_ARGV("/nowhere/program"),
			&(brood_spawn_opts){ .in = { .kind = BROOD_STDIO_PIPE },
					     .out = { .kind = BROOD_STDIO_PIPE },
					     .err = { .kind = BROOD_STDIO_PIPE },
					     .contain = CONTAINED },
			ENOENT, "exec", "/nowhere/program");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/spawn");
	TCase *words = leak_case(suite, "words", 30);
	TCase *places = leak_case(suite, "places", 30);
	TCase *lines = leak_case(suite, "command lines", 30);
	TCase *edits = leak_case(suite, "edits", 30);
	TCase *refusals = leak_case(suite, "refusals", 30);

	add_for_both(words, arguments_arrive_byte_for_byte);
	add_for_both(words, the_environment_is_the_one_given);
	add_for_both(words, an_empty_environment_stays_empty);
	add_for_both(words, without_env_the_child_has_the_parents);
	add_for_both(words, executable_is_run_under_the_name_in_argv);
	add_for_both(places, a_name_is_searched_in_the_path_of_the_childs_environment);
	add_for_both(places, without_a_path_the_system_folders_are_searched);
	add_for_both(places, a_name_with_a_slash_is_not_searched);
	add_for_both(places, a_relative_program_is_resolved_in_cwd);
	add_for_both(lines, a_command_line_is_run_by_the_shell);
	add_for_both(lines, a_command_line_may_have_another_shell);
	add_for_both(lines, a_command_line_without_its_shell_is_refused);
	add_for_both(edits, edits_are_made_over_the_environment);
	add_for_both(edits, the_program_is_searched_in_the_edited_path);
	add_for_both(edits, an_edit_without_a_name_is_refused);
	add_for_both(refusals, wrong_arguments_are_refused);
	add_for_both(refusals, a_missing_program_is_told_from_a_missing_folder);
	add_for_both(refusals, a_missing_interpreter_is_told_from_a_missing_program);
	add_for_both(refusals, a_missing_loader_is_told_as_an_interpreter);
	add_for_both(refusals, a_missing_folder_is_told_before_a_missing_program);
	add_for_both(refusals, what_cannot_be_executed_is_refused);
	add_for_both(refusals, too_many_words_are_refused);
	add_for_both(refusals, wrong_descriptors_are_refused);
	add_for_both(refusals, a_descriptor_that_the_start_opens_is_not_taken_for_one_given);
	add_for_both(refusals, a_file_that_cannot_be_opened_is_named);
	add_for_both(refusals, wrong_limits_are_refused);
	add_for_both(refusals, too_few_descriptors_are_told);
	tcase_add_test(refusals, too_many_processes_are_told);
	tcase_add_test(refusals, rights_that_the_caller_lacks_are_refused);
	add_for_both(refusals, failures_leave_nothing_behind);
	return leak_run(suite);
}
