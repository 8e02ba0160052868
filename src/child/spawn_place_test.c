/* What the program finds around itself: directory, groups, limits, signals, ids. */
#include <brood/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/run.h"

#define NOBODY 65534

/* ---- place */

START_TEST(cwd_is_where_it_starts)
{
	char here[300];

	ck_assert_int_eq(chdir(scratch), 0);
	ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
	ck_fact(report_of(&(brood_spawn_opts){ .contain = CONTAINED }, NULL), "cwd", "%s", here);
	ck_fact(report_of(&(brood_spawn_opts){ .cwd = "/usr", .contain = CONTAINED }, NULL), "cwd",
		"/usr");
	ck_fact(report_of(&(brood_spawn_opts){ .cwd = "..", .contain = CONTAINED }, NULL), "cwd",
		"%.*s", (int)(strrchr(here, '/') - here), here);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(group_and_session_are_as_told)
{
	const char *report = report_of(&(brood_spawn_opts){ .contain = CONTAINED }, NULL);

	ck_fact(report, "pgid", "%d", getpgrp());
	ck_fact(report, "sid", "%d", getsid(0));
	report = report_of(&(brood_spawn_opts){ .group = BROOD_GROUP_NEW, .contain = CONTAINED },
			   NULL);
	ck_fact(report, "pgid", "%s", fact(report, "pid"));
	ck_fact(report, "sid", "%d", getsid(0));
	report = report_of(
		&(brood_spawn_opts){ .group = BROOD_GROUP_SESSION, .contain = CONTAINED }, NULL);
	ck_fact(report, "pgid", "%s", fact(report, "pid"));
	ck_fact(report, "sid", "%s", fact(report, "pid"));
}
END_TEST

START_TEST(the_pid_is_the_programs)
{
	brood_child *child = report_start(&(brood_spawn_opts){ .contain = CONTAINED }, NULL);
	pid_t pid = brood_child_pid(child);
	const char *report = report_finish(child);

	ck_fact(report, "pid", "%d", pid);
	if (!CONTAINED)
		ck_fact(report, "ppid", "%d", getpid());
}
END_TEST

START_TEST(limits_are_set)
{
	const brood_rlimit limits[] = { { RLIMIT_NOFILE, 64, 128 },
					{ RLIMIT_CORE, 0, UINT64_MAX },
					{ RLIMIT_CPU, 100, 200 } };
	struct rlimit core = { 0, RLIM_INFINITY };
	const char *report;

	if (setrlimit(RLIMIT_CORE, &core) < 0)
		getrlimit(RLIMIT_CORE, &core);
	report = report_of(
		&(brood_spawn_opts){ .rlimits = limits, .n_rlimits = 3, .contain = CONTAINED },
		NULL);
	ck_fact(report, "limit nofile", "64 128");
	ck_fact(report, "limit core", "0 %llu", (unsigned long long)RLIM_INFINITY);
	ck_fact(report, "limit cpu", "100 200");
}
END_TEST

START_TEST(umask_is_set_and_may_be_zero)
{
	umask(027);
	ck_fact(report_of(&(brood_spawn_opts){ .contain = CONTAINED }, NULL), "umask", "0027");
	ck_fact(report_of(&(brood_spawn_opts){ .umask = &(mode_t){ 077 }, .contain = CONTAINED },
			  NULL),
		"umask", "0077");
	ck_fact(report_of(&(brood_spawn_opts){ .umask = &(mode_t){ 0 }, .contain = CONTAINED },
			  NULL),
		"umask", "0000");
	ck_assert_int_eq(umask(0), 027);
}
END_TEST

START_TEST(nice_is_added_to_the_parents)
{
	int mine = getpriority(PRIO_PROCESS, 0);

	ck_fact(report_of(&(brood_spawn_opts){ .nice = 3, .contain = CONTAINED }, NULL), "nice",
		"%d", mine + 3);
	ck_assert_int_eq(setpriority(PRIO_PROCESS, 0, mine + 2), 0);
	ck_fact(report_of(&(brood_spawn_opts){ .nice = 3, .contain = CONTAINED }, NULL), "nice",
		"%d", mine + 5);
	ck_fact(report_of(&(brood_spawn_opts){ .nice = 100, .contain = CONTAINED }, NULL), "nice",
		"19");
	ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), mine + 2);
}
END_TEST

/* ---- signals */

static void nothing(int signum)
{
	(void)signum;
}

START_TEST(the_child_starts_with_clean_signals)
{
	const char *report;
	sigset_t all, old;

	/* Before the first start of this process, as the header says. */
	signal(SIGRTMIN + 3, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGUSR1, nothing);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	report = report_of(&(brood_spawn_opts){ .contain = CONTAINED }, NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	ck_fact(report, "SigBlk", "0000000000000000");
	ck_fact(report, "SigIgn", "0000000000000000");
	ck_fact(report, "SigCgt", "0000000000000000");
}
END_TEST

START_TEST(inherited_signals_are_the_callers)
{
	const char *report;
	sigset_t some, old;

	signal(SIGRTMIN + 3, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, nothing);
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigaddset(&some, SIGTERM);
	sigprocmask(SIG_BLOCK, &some, &old);
	report = report_of(
		&(brood_spawn_opts){ .signals = BROOD_SIGNALS_INHERIT, .contain = CONTAINED },
		NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	for (int signum = 1; signum < SIGRTMAX; signum++) {
		ck_assert_int_eq(has_signal(fact(report, "SigBlk"), signum),
				 signum == SIGUSR2 || signum == SIGTERM ||
					 sigismember(&old, signum) == 1);
		if (signum == SIGPIPE || signum == SIGRTMIN + 3)
			ck_assert(has_signal(fact(report, "SigIgn"), signum));
	}
	ck_fact(report, "SigCgt", "0000000000000000");
}
END_TEST

/* An ignored SIGCHLD would take the helper's records away, and its wake-ups. */
START_TEST(an_ignored_sigchld_is_inherited_and_harms_no_one)
{
	brood_child *child;
	const char *report;
	brood_exit end;

	signal(SIGCHLD, SIG_IGN);
	child = start(BROOD_ARGV(CHILD("report"), scratch_path("report")),
		      &(brood_spawn_opts){ .signals = BROOD_SIGNALS_INHERIT, .contain = true });
	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, &end), 0);
	/* The helper's own end is lost to us; it told the program's before. */
	ck_assert_int_eq(end.kind, BROOD_EXITED);
	ck_assert_int_eq(end.value, 0);
	brood_child_free(child);
	signal(SIGCHLD, SIG_DFL);
	report = report_of(&(brood_spawn_opts){ .signals = BROOD_SIGNALS_INHERIT }, NULL);
	ck_assert(!has_signal(fact(report, "SigIgn"), SIGCHLD));
}
END_TEST

START_TEST(an_ignored_sigchld_reaches_the_contained_program)
{
	char text[20000] = "";
	brood_child *child;
	int fd;

	signal(SIGCHLD, SIG_IGN);
	child = start(BROOD_ARGV(CHILD("report"), scratch_path("report")),
		      &(brood_spawn_opts){ .signals = BROOD_SIGNALS_INHERIT, .contain = true });
	ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, NULL), 0);
	brood_child_free(child);
	signal(SIGCHLD, SIG_DFL);
	fd = open(scratch_path("report"), O_RDONLY | O_CLOEXEC);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	ck_assert(has_signal(fact(text, "SigIgn"), SIGCHLD));
}
END_TEST

/* A handler that runs in the child, beside the parent's memory, would count in the wrong process. */
static pid_t self;
static atomic_int handled_elsewhere, handled;

static void handle(int signum)
{
	(void)signum;
	atomic_fetch_add(getpid() == self ? &handled : &handled_elsewhere, 1);
}

START_TEST(no_handler_of_the_host_runs_in_the_child)
{
	pid_t bomber;

	self = getpid();
	signal(SIGUSR1, handle);
	signal(SIGRTMIN + 1, handle);
	bomber = fork();
	if (bomber == 0) {
		signal(SIGUSR1, SIG_IGN);
		signal(SIGRTMIN + 1, SIG_IGN);
		for (;;) {
			kill(0, SIGUSR1);
			kill(0, SIGRTMIN + 1); /* these queue up: leave time to handle them */
			usleep(50);
		}
	}
	for (int i = 0; i < 300; i++) {
		const uid_t uid = getuid();
		const brood_spawn_opts opts = { .uid = i % 3 == 2 ? &uid : NULL };
		brood_child *child;
		int r = brood_spawn(BROOD_ARGV(CHILD("end"), "exit", "0"), &opts, &child);

		/* The program itself has no handler, and may be ended by the first signal. */
		ck_assert_int_eq(r, 0);
		ck_assert_int_eq(brood_child_wait(child, 10 * BROOD_SEC, NULL), 0);
		brood_child_free(child);
	}
	kill(bomber, SIGKILL);
	ck_assert_int_eq(waitpid(bomber, NULL, 0), bomber);
	ck_assert_int_gt(atomic_load(&handled), 0);
	ck_assert_int_eq(atomic_load(&handled_elsewhere), 0);
}
END_TEST

START_TEST(the_callers_mask_is_back_after_a_start)
{
	sigset_t mask, before, after;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sigprocmask(SIG_SETMASK, NULL, &before);
	run(BROOD_ARGV("true"), NULL);
	refused(BROOD_ARGV("/nowhere"), NULL, ENOENT, "exec", NULL);
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int signum = 1; signum <= SIGRTMAX; signum++)
		ck_assert_int_eq(sigismember(&before, signum), sigismember(&after, signum));
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
}
END_TEST

/* The list of ignored signals stands late in /proc/PID/status, behind all groups: however that is
 * cut, an ignored realtime signal is reset. */
static void check_realtime_is_reset(void)
{
	ck_assert(!has_signal(fact(report_of(NULL, NULL), "SigIgn"), SIGRTMIN + 20));
}

static void spawn_with_many_groups(void)
{
	static gid_t groups[700];

	for (size_t i = 0; i < 700; i++)
		groups[i] = 10000 + (gid_t)i;
	signal(SIGRTMIN + 20, SIG_IGN);
	for (size_t n = 500; n < 700; n++) {
		ck_assert_int_eq(setgroups(n, groups), 0);
		in_fork(check_realtime_is_reset); /* the list is read once in a process */
	}
}

START_TEST(many_groups_do_not_hide_an_ignored_signal)
{
	if (geteuid() == 0)
		in_fork(spawn_with_many_groups);
}
END_TEST

/* ---- ids */

START_TEST(ids_are_set)
{
	const uid_t uid = NOBODY;
	const gid_t gid = 1234, groups[] = { 5, 7 };
	const char *report;

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(setgroups(1, &(gid_t){ 42 }), 0);
	report = report_of(
		&(brood_spawn_opts){ .uid = &uid, .gid = &gid, .groups = groups, .n_groups = 2 },
		NULL);
	ck_fact(report, "uid", "%u %u %u", uid, uid, uid);
	ck_fact(report, "gid", "%u %u %u", gid, gid, gid);
	ck_fact(report, "groups", "5 7");
	/* Root's groups are not kept unasked. */
	report = report_of(&(brood_spawn_opts){ .uid = &uid }, NULL);
	ck_fact(report, "uid", "%u %u %u", uid, uid, uid);
	ck_fact(report, "groups", "%s", "");
	report = report_of(&(brood_spawn_opts){ .gid = &gid }, NULL);
	ck_fact(report, "uid", "0 0 0");
	ck_fact(report, "gid", "%u %u %u", gid, gid, gid);
	ck_fact(report, "groups", "%s", "");
	report = report_of(&(brood_spawn_opts){ .groups = groups, .n_groups = 0 }, NULL);
	ck_fact(report, "groups", "%s", "");
	report = report_of(NULL, NULL);
	ck_fact(report, "groups", "42");
	ck_assert_int_eq(setgroups(0, NULL), 0);
}
END_TEST

START_TEST(all_else_holds_with_other_ids)
{
	const uid_t uid = getuid();
	int fd = open_file("a", "");
	const char *report = report_of(&(brood_spawn_opts){ .uid = &uid,
							    .pass = &(brood_pass){ fd, 3 },
							    .n_pass = 1,
							    .group = BROOD_GROUP_SESSION,
							    .cwd = "/usr",
							    .umask = &(mode_t){ 0 },
							    .nice = 1 },
				       NULL);

	ck_same_file(report, 3, fd);
	ck_assert_int_eq(count_descriptors(report), 4);
	ck_fact(report, "sid", "%s", fact(report, "pid"));
	ck_fact(report, "cwd", "/usr");
	ck_fact(report, "umask", "0000");
	ck_fact(report, "SigBlk", "0000000000000000");
	refused(BROOD_ARGV("/nowhere"), &(brood_spawn_opts){ .uid = &uid }, ENOENT, "exec",
		"/nowhere");
	refused(BROOD_ARGV("true"), &(brood_spawn_opts){ .uid = &uid, .cwd = "/nowhere" }, ENOENT,
		"chdir", "/nowhere");
	close(fd);
}
END_TEST

/* A folder that root alone may enter is no working directory for another user. */
START_TEST(the_directory_is_entered_with_the_new_ids)
{
	const uid_t uid = NOBODY;

	if (geteuid() != 0)
		return;
	chmod(scratch, 0700);
	refused(BROOD_ARGV("true"), &(brood_spawn_opts){ .uid = &uid, .cwd = scratch }, EACCES,
		"chdir", scratch);
}
END_TEST

static void *spawn_as_nobody(void *failed)
{
	for (int i = 0; i < 20; i++) {
		brood_child *child;

		if (brood_spawn(BROOD_ARGV("/bin/true"),
				&(brood_spawn_opts){ .uid = &(uid_t){ NOBODY } }, &child) < 0) {
			*(bool *)failed = true;
			continue;
		}
		brood_child_wait(child, BROOD_FOREVER, NULL);
		brood_child_free(child);
	}
	return NULL;
}

/* Changed ids beside shared memory would make the kernel clear the parent's dumpable flag, for
 * good: no core dumps, and /proc/self is root's. */
START_TEST(the_parent_stays_dumpable)
{
	bool failed = false;
	pthread_t thread;

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, spawn_as_nobody, &failed), 0);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
		run(BROOD_ARGV("/bin/true"), NULL);
	}
	pthread_join(thread, NULL);
	ck_assert(!failed);
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
	ck_assert_uint_eq(getuid(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/spawn, surroundings");
	TCase *place = leak_case(suite, "place", 30);
	TCase *signals = leak_case(suite, "signals", 60);
	TCase *ids = leak_case(suite, "ids", 30);

	add_for_both(place, cwd_is_where_it_starts);
	add_for_both(place, group_and_session_are_as_told);
	add_for_both(place, the_pid_is_the_programs);
	add_for_both(place, limits_are_set);
	add_for_both(place, umask_is_set_and_may_be_zero);
	add_for_both(place, nice_is_added_to_the_parents);
	add_for_both(signals, the_child_starts_with_clean_signals);
	add_for_both(signals, inherited_signals_are_the_callers);
	tcase_add_test(signals, an_ignored_sigchld_is_inherited_and_harms_no_one);
	tcase_add_test(signals, an_ignored_sigchld_reaches_the_contained_program);
	tcase_add_test(signals, no_handler_of_the_host_runs_in_the_child);
	tcase_add_test(signals, the_callers_mask_is_back_after_a_start);
	tcase_add_test(signals, many_groups_do_not_hide_an_ignored_signal);
	tcase_add_test(ids, ids_are_set);
	tcase_add_test(ids, all_else_holds_with_other_ids);
	tcase_add_test(ids, the_directory_is_entered_with_the_new_ids);
	tcase_add_test(ids, the_parent_stays_dumpable);
	return leak_run(suite);
}
