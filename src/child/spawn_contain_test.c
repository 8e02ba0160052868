/* .contain: whatever the program started ends with it, with the handle, and with the host. */
#include <brood/spawn.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

#define CONTAINER (BROOD_TEST_CHILDREN "/../../helpers/brood-container")

enum { MOST = 8 };

/* The pids that "leave" said on `fd`, until its "end". */
static int read_pids(int fd, pid_t pids[MOST])
{
	char text[256] = "", *rest = NULL;
	int n = 0;

	while (strstr(text, "end\n") == NULL)
		ck_assert_int_gt(read(fd, text + strlen(text), sizeof(text) - strlen(text) - 1), 0);
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		if (strcmp(line, "end") != 0 && n < MOST)
			pids[n++] = (pid_t)strtol(line, NULL, 10);
	return n;
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

/* A contained program with three descendants that ignore SIGTERM, each abandoned in another way. */
static brood_child *start_tree(const char *then, pid_t pids[MOST], int *ret_n)
{
	brood_child *child =
		start(BROOD_ARGV(CHILD("leave"), "child", "session", "double", "then", then, "6"),
		      &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = true });

	*ret_n = read_pids(brood_child_stream(child, 1), pids);
	ck_assert_int_eq(*ret_n, 3);
	return child;
}

/* ---- the tree ends */

START_TEST(the_tree_ends_with_the_program)
{
	pid_t pids[MOST];
	int n;
	brood_child *child = start_tree("exit", pids, &n);
	brood_exit end;

	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 6);
	for (int i = 0; i < n; i++)
		ck_assert(is_gone(pids[i]));
	brood_child_free(child);
}
END_TEST

START_TEST(stop_ends_the_tree)
{
	pid_t pids[MOST];
	int n;
	brood_child *child = start_tree("stay", pids, &n);
	brood_exit end;

	for (int i = 0; i < n; i++)
		ck_assert(!is_gone(pids[i]));
	ck_assert_int_eq(brood_child_stop(child, _i * 10 * BROOD_SEC, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), _i == 0 ? -SIGKILL : -SIGTERM);
	for (int i = 0; i < n; i++)
		ck_assert(is_gone(pids[i]));
	brood_child_free(child);
}
END_TEST

START_TEST(free_ends_the_tree)
{
	pid_t pids[MOST];
	int n;
	brood_child *child = start_tree("stay", pids, &n);

	brood_child_free(child);
	ck_assert(bury_all());
	for (int i = 0; i < n; i++)
		ck_assert(is_gone(pids[i]));
}
END_TEST

/* A forked child of the host has a copy of the socket to the helper. Its own free of the handle ends
 * nothing, and its copy keeps nothing alive. */
START_TEST(free_ends_the_tree_also_beside_a_forked_child)
{
	pid_t pids[MOST], copy, other;
	int n;
	brood_child *child = start_tree("stay", pids, &n);

	other = fork();
	if (other == 0) {
		brood_child_free(child);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
	nap_ms(30);
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), -ETIMEDOUT);
	copy = fork();
	if (copy == 0)
		for (;;)
			pause();
	brood_child_free(child);
	for (int i = 0; i < n; i++)
		eventually(is_gone(pids[i]));
	ck_assert_int_eq(waitpid(copy, NULL, WNOHANG), 0);
	kill(copy, SIGKILL);
	ck_assert(bury_all());
}
END_TEST

/* A host of its own, so that it can be killed; its tree falls to this subreaper. */
START_TEST(the_death_of_the_host_ends_the_tree)
{
	brood_child *host = start(BROOD_ARGV(CHILD("host"), "/", CHILD("leave"), "child", "session",
					     "double", "then", "stay"),
				  &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE } });
	pid_t pids[MOST];
	brood_exit end;
	int n = read_pids(brood_child_stream(host, 1), pids);

	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(brood_child_stop(host, _i * 10 * BROOD_SEC, &end), 0);
	brood_child_free(host);
	ck_assert(bury_all());
	for (int i = 0; i < n; i++)
		ck_assert(is_gone(pids[i]));
}
END_TEST

/* A shell, or whoever has started the host, kills its whole group: the helper is not in it. */
START_TEST(the_death_of_the_hosts_group_ends_the_tree)
{
	brood_child *host = start(BROOD_ARGV(CHILD("host"), "/", CHILD("leave"), "child", "session",
					     "double", "then", "stay"),
				  &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE },
						       .group = BROOD_GROUP_NEW });
	pid_t pids[MOST];
	int n = read_pids(brood_child_stream(host, 1), pids), in_group = 0;

	ck_assert_int_eq(n, 3);
	for (int i = 0; i < n; i++) /* they write their numbers in any order */
		in_group += getpgid(pids[i]) == brood_child_pid(host);
	ck_assert_int_ge(in_group, 1);
	ck_assert_int_eq(kill(-brood_child_pid(host), SIGKILL), 0);
	finish(host);
	ck_assert(bury_all());
	for (int i = 0; i < n; i++)
		ck_assert(is_gone(pids[i]));
}
END_TEST

/* One look at the process table never shows it whole: each of its processes lives a millisecond. */
START_TEST(a_program_that_forks_and_forks_is_caught)
{
	brood_child *child =
		start(BROOD_ARGV(CHILD("leave"), "fork", "fork", "then", "stay"),
		      &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = true });

	expect(brood_child_stream(child, 1), "end\n");
	ck_assert_int_eq(brood_child_kill(child), 0);
	ck_assert_int_eq(brood_child_wait(child, 20 * BROOD_SEC, NULL), 0);
	brood_child_free(child);
}
END_TEST

START_TEST(terminate_reaches_all_of_the_tree_and_signal_the_program_alone)
{
	brood_child *child =
		start(BROOD_ARGV(CHILD("shrug")),
		      &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = true });
	brood_exit end;

	expect(brood_child_stream(child, 1), "ready\n");
	ck_assert_int_eq(brood_child_signal(child, SIGUSR1), 0);
	ck_assert_int_eq(brood_child_wait(child, 30 * BROOD_MSEC, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_terminate(child), 0);
	end = finish(child);
	ck_assert_int_eq(brood_exit_code(&end), 128 + SIGTERM);
}
END_TEST

/* ---- the helper */

static pid_t parent_of(pid_t pid)
{
	return (pid_t)strtol(stat_of(pid) + 2, NULL, 10);
}

START_TEST(a_killed_helper_takes_the_program_with_it)
{
	brood_child *child =
		start(BROOD_ARGV(CHILD("stay"), "stubborn"),
		      &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = true });
	pid_t program = brood_child_pid(child);
	brood_exit end;

	expect(brood_child_stream(child, 1), "ready\n");
	ck_assert_int_eq(kill(parent_of(program), SIGKILL), 0);
	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	/* Nobody is there to hear it, and that is no error. */
	ck_assert_int_eq(brood_child_kill(child), 0);
	ck_assert_int_eq(brood_child_stop(child, 0, NULL), 0);
	brood_child_free(child);
	ck_assert(bury_all());
	ck_assert(is_gone(program));
}
END_TEST

START_TEST(the_helper_survives_what_is_sent_to_its_group)
{
	brood_child *child =
		start(BROOD_ARGV(CHILD("stay"), "stubborn"),
		      &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = true });
	brood_exit end;

	expect(brood_child_stream(child, 1), "ready\n");
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGINT); /* as a terminal does */
	kill(0, SIGTERM);
	nap_ms(30);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	ck_assert_int_eq(brood_child_wait(child, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_child_stop(child, 0, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	brood_child_free(child);
}
END_TEST

/* What a terminal sends to the host's group while a contained program is being started reaches that
 * program, and nothing else of ours. */
START_TEST(an_interrupt_during_the_start_harms_the_program_alone)
{
	pid_t bomber;
	int interrupted = 0;

	signal(SIGINT, SIG_IGN);
	bomber = fork();
	ck_assert_int_ge(bomber, 0);
	if (bomber == 0)
		for (;;) {
			kill(0, SIGINT);
			usleep(300);
		}
	for (int i = 0; i < 60; i++) {
		brood_exit end =
			run(BROOD_ARGV(CHILD("leave"), "child", "session", "then", "exit", "6"),
			    &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_NULL },
						 .contain = true });

		ck_assert_msg(brood_exit_code(&end) == 6 || brood_exit_code(&end) == -SIGINT,
			      "start %d: ended with %d", i, brood_exit_code(&end));
		interrupted += end.kind == BROOD_SIGNALLED;
	}
	kill(bomber, SIGKILL);
	ck_assert_int_eq(waitpid(bomber, NULL, 0), bomber);
	signal(SIGINT, SIG_DFL);
	ck_assert_int_gt(interrupted, 0);
}
END_TEST

/* Neither the program's directory nor its files are the helper's. */
START_TEST(the_helper_holds_nothing_of_the_program)
{
	int file = open_file("a", "");
	brood_child *child =
		start(BROOD_ARGV(CHILD("stay")),
		      &(brood_spawn_opts){ .cwd = scratch,
					   .out = { .kind = BROOD_STDIO_PIPE },
					   .pass = (brood_pass[]){ { file, 30 }, { file, 3 } },
					   .n_pass = 2,
					   .contain = true });
	char path[64], target[256] = "", listing[200];
	brood_exit end;
	pid_t helper;

	expect(brood_child_stream(child, 1), "ready\n");
	helper = parent_of(brood_child_pid(child));
	snprintf(path, sizeof(path), "/proc/%d/cwd", helper);
	ck_assert_int_gt(readlink(path, target, sizeof(target) - 1), 0);
	ck_assert_str_eq(target, "/");
	snprintf(
		listing, sizeof(listing),
		"n=0; for f in /proc/%d/fd/*; do case $(readlink $f) in socket:*|anon_inode:*) ;; *) n=9;; esac; "
		"n=$((n+1)); done; exit $n",
		helper);
	/* Its socket, the program's pidfd, the signals. */
	end = run(BROOD_ARGV("sh", "-c", listing), NULL);
	ck_assert_int_eq(brood_exit_code(&end), 3);
	ck_assert_int_eq(brood_child_stop(child, 0, NULL), 0);
	brood_child_free(child);
	close(file);
}
END_TEST

START_TEST(the_helper_runs_with_the_programs_ids)
{
	const bool by_name = _i != 0;
	const uid_t uid = NOBODY;
	const gid_t gid = NOBODY;
	brood_child *child;
	brood_exit end;

	if (geteuid() != 0 || !nobody_can_run(CONTAINER) || !nobody_can_run(CHILD("leave"))) {
		fprintf(stderr, "skipped: not root, or others may not enter %s\n",
			BROOD_TEST_CHILDREN);
		return;
	}
	child = start(BROOD_ARGV(CHILD("leave"), "session", "double", "then", "stay"),
		      &(brood_spawn_opts){ .uid = by_name ? NULL : &uid,
					   .gid = by_name ? NULL : &gid,
					   .user = by_name ? "nobody" : NULL,
					   .out = { .kind = BROOD_STDIO_PIPE },
					   .contain = true });
	ck_assert_int_eq(read_pids(brood_child_stream(child, 1), (pid_t[MOST]){ 0 }), 2);
	ck_assert_int_eq(brood_child_stop(child, BROOD_SEC, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGTERM);
	brood_child_free(child);
}
END_TEST

START_TEST(by_hand_the_helper_says_what_it_is)
{
	brood_child *child = start(BROOD_ARGV(CONTAINER, "a", "b"),
				   &(brood_spawn_opts){ .err = { .kind = BROOD_STDIO_PIPE } });
	brood_exit end;

	expect(brood_child_stream(child, 2), "brood-container: started by libbrood");
	end = finish(child);
	ck_assert_int_eq(brood_exit_code(&end), 2);
}
END_TEST

/* ---- a library without its helper, or with another's */

static void copy(const char *from, const char *to)
{
	brood_exit end = run(BROOD_ARGV("cp", from, to), NULL);

	ck_assert(brood_exit_ok(&end));
}

/* The library alone, in scratch/lib. */
static void copy_library(void)
{
	Dl_info info;

	ck_assert_int_ne(dladdr((void *)(uintptr_t)brood_spawn, &info), 0);
	ck_assert_int_eq(mkdir(scratch_path("lib"), 0755), 0);
	copy(info.dli_fname, scratch_path("lib/libbrood.so.0"));
}

/* What "host" says when it is run with the library in `folder`. */
static int run_host(const char *folder, const char *parent_cwd, const char *cwd, char *said,
		    size_t size)
{
	char where[400];
	brood_child *child;
	ssize_t n;
	brood_exit end;

	snprintf(where, sizeof(where), "LD_LIBRARY_PATH=%s", folder);
	child = start(BROOD_ARGV(CHILD("host"), cwd, "sh", "-c", "exit 5"),
		      &(brood_spawn_opts){ .env = BROOD_ARGV(where, "PATH=/bin:/usr/bin"),
					   .cwd = parent_cwd,
					   .out = { .kind = BROOD_STDIO_PIPE } });
	n = read(brood_child_stream(child, 1), said, size - 1);
	said[n < 0 ? 0 : n] = '\0';
	end = finish(child);
	return brood_exit_code(&end);
}

START_TEST(a_missing_helper_is_told)
{
	char said[500];

	copy_library();
	ck_assert_int_eq(run_host(scratch_path("lib"), "/", "/", said, sizeof(said)), 100);
	ck_assert_msg(strncmp(said, "container: /", 12) == 0 &&
			      strstr(said, "/brood-container: No such file or directory") != NULL,
		      "%s", said);
}
END_TEST

START_TEST(a_helper_beside_the_library_is_found)
{
	char said[500];

	copy_library();
	ck_assert_int_eq(mkdir(scratch_path("libexec"), 0755), 0);
	ck_assert_int_eq(mkdir(scratch_path("libexec/brood"), 0755), 0);
	copy(CONTAINER, scratch_path("libexec/brood"));
	ck_assert_int_eq(run_host(scratch_path("lib"), "/", "/", said, sizeof(said)), 5);
	/* Also when the loader was told a relative name, and the program starts elsewhere. */
	ck_assert_int_eq(run_host("lib", scratch, "/", said, sizeof(said)), 5);
}
END_TEST

START_TEST(a_helper_of_another_version_is_refused)
{
	char said[500];

	copy_library();
	ck_assert_int_eq(mkdir(scratch_path("helpers"), 0755), 0);
	copy(CHILD("other-container"), scratch_path("helpers/brood-container"));
	ck_assert_int_eq(run_host(scratch_path("lib"), "/", "/", said, sizeof(said)), 100);
	ck_assert_ptr_nonnull(strstr(said, "/brood-container: not of version "));
	ck_assert_ptr_nonnull(strstr(said, ": Protocol error"));
}
END_TEST

START_TEST(a_helper_that_does_not_answer_is_told)
{
	char said[500];

	copy_library();
	ck_assert_int_eq(mkdir(scratch_path("helpers"), 0755), 0);
	copy("/bin/true", scratch_path("helpers/brood-container"));
	ck_assert_int_eq(run_host(scratch_path("lib"), "/", "/", said, sizeof(said)), 100);
	ck_assert_ptr_nonnull(strstr(said, "/brood-container: no answer: Protocol error"));
}
END_TEST

/* What the helper is from its first instruction on, told by a program in its place: the first of its
 * arguments is the version, and here the name of a file. */
START_TEST(the_helper_starts_alone_and_with_all_signals_blocked)
{
	char said[500], text[20000] = "";
	int fd;

	copy_library();
	ck_assert_int_eq(mkdir(scratch_path("helpers"), 0755), 0);
	copy(CHILD("report"), scratch_path("helpers/brood-container"));
	ck_assert_int_eq(run_host(scratch_path("lib"), "/", scratch, said, sizeof(said)), 100);
	fd = open(scratch_path(brood_version()), O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	ck_fact(text, "arg 0", "brood-container");
	ck_fact(text, "pgid", "%s", fact(text, "pid"));
	ck_fact(text, "sid", "%d", getsid(0));
	for (int signum = 1; signum <= 64; signum++)
		ck_assert_int_eq(has_signal(fact(text, "SigBlk"), signum),
				 signum != SIGKILL && signum != SIGSTOP);
}
END_TEST

/* ---- pid namespaces */

static bool with_proc;

/* As PID 1: the parent of all that is abandoned, with no other to fall back on. */
static void live_as_first(void)
{
	brood_exit end;
	brood_child *child;

	ck_assert_int_eq(getpid(), 1);
	if (with_proc && (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			  mount("proc", "/proc", "proc", 0, NULL) < 0)) {
		fprintf(stderr, "skipped: /proc cannot be mounted\n");
		return;
	}
	for (int contain = 0; contain < 2; contain++) {
		const brood_spawn_opts opts = { .out = { .kind = BROOD_STDIO_PIPE },
						.contain = contain };

		end = run(BROOD_ARGV(CHILD("end"), "exit", "5"), &opts);
		ck_assert_int_eq(brood_exit_code(&end), 5);
		refused(BROOD_ARGV("/nowhere"), &opts, ENOENT, "exec", "/nowhere");
		child = start(BROOD_ARGV(CHILD("stay"), "stubborn"), &opts);
		expect(brood_child_stream(child, 1), "ready\n");
		ck_assert_int_eq(brood_child_stop(child, 20 * BROOD_MSEC, &end), 0);
		ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
		brood_child_free(child);
	}
	if (with_proc) {
		pid_t pids[MOST], helper;
		int n;

		child = start_tree("stay", pids, &n);
		/* The group that comes from outside has no number here; the program is in it all
		 * the same, and the helper is not. */
		helper = parent_of(brood_child_pid(child));
		ck_assert_int_eq(getpgrp(), 0);
		ck_assert_int_eq(getpgid(brood_child_pid(child)), 0);
		ck_assert_int_eq(getpgid(helper), helper);
		ck_assert_int_eq(brood_child_stop(child, BROOD_SEC, &end), 0);
		for (int i = 0; i < n; i++)
			ck_assert(is_gone(pids[i]));
		brood_child_free(child);
	}
	ck_assert(bury_all());
}

static void enter_namespace(void)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
		fprintf(stderr, "skipped: no right to make a pid namespace\n");
		return;
	}
	in_fork(live_as_first);
}

/* Without its own /proc the numbers seen there are not ours: none of them may be signalled. */
START_TEST(the_first_process_of_a_namespace_may_be_the_host)
{
	with_proc = _i != 0;
	in_fork(enter_namespace);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/spawn, contained");
	TCase *tree = leak_case(suite, "tree", 60);
	TCase *helper = leak_case(suite, "helper", 30);
	TCase *missing = leak_case(suite, "missing", 30);
	TCase *namespaces = leak_case(suite, "namespaces", 60);

	tcase_add_test(tree, the_tree_ends_with_the_program);
	tcase_add_loop_test(tree, stop_ends_the_tree, 0, 2);
	tcase_add_test(tree, free_ends_the_tree);
	tcase_add_test(tree, free_ends_the_tree_also_beside_a_forked_child);
	tcase_add_loop_test(tree, the_death_of_the_host_ends_the_tree, 0, 2);
	tcase_add_test(tree, the_death_of_the_hosts_group_ends_the_tree);
	tcase_add_test(tree, a_program_that_forks_and_forks_is_caught);
	tcase_add_test(tree, terminate_reaches_all_of_the_tree_and_signal_the_program_alone);
	tcase_add_test(helper, a_killed_helper_takes_the_program_with_it);
	tcase_add_test(helper, the_helper_survives_what_is_sent_to_its_group);
	tcase_add_test(helper, an_interrupt_during_the_start_harms_the_program_alone);
	tcase_add_test(helper, the_helper_holds_nothing_of_the_program);
	tcase_add_loop_test(helper, the_helper_runs_with_the_programs_ids, 0, 2);
	tcase_add_test(helper, by_hand_the_helper_says_what_it_is);
	tcase_add_test(missing, a_missing_helper_is_told);
	tcase_add_test(missing, a_helper_beside_the_library_is_found);
	tcase_add_test(missing, a_helper_of_another_version_is_refused);
	tcase_add_test(missing, a_helper_that_does_not_answer_is_told);
	tcase_add_test(missing, the_helper_starts_alone_and_with_all_signals_blocked);
	tcase_add_loop_test(namespaces, the_first_process_of_a_namespace_may_be_the_host, 0, 2);
	return leak_run(suite);
}
