/* What the program finds around itself: directory, groups, limits, signals, ids. */
#include <brood/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
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

START_TEST(a_group_is_joined)
{
	brood_child *leader = start(BROOD_ARGV(CHILD("stay")),
				    &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_NULL },
							 .group = BROOD_GROUP_NEW });
	const char *report = report_of(&(brood_spawn_opts){ .group = BROOD_GROUP_JOIN,
							    .join_group = brood_child_pid(leader),
							    .contain = CONTAINED },
				       NULL);

	ck_fact(report, "pgid", "%d", brood_child_pid(leader));
	ck_fact(report, "sid", "%d", getsid(0));
	ck_assert_int_eq(brood_child_stop(leader, 0, NULL), 0);
	brood_child_free(leader);
}
END_TEST

START_TEST(a_group_that_cannot_be_joined_is_named)
{
	brood_spawn_opts opts = { .group = BROOD_GROUP_JOIN, .contain = CONTAINED };
	brood_child *other = start(BROOD_ARGV(CHILD("stay")),
				   &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_NULL },
							.group = BROOD_GROUP_SESSION });
	char text[32];

	refused(BROOD_ARGV("true"), &opts, EINVAL, "setpgid", "0 is no group");
	opts.join_group = -5;
	refused(BROOD_ARGV("true"), &opts, EINVAL, "setpgid", "-5 is no group");
	/* Of another session, and of none. */
	opts.join_group = brood_child_pid(other);
	snprintf(text, sizeof(text), "group %d", opts.join_group);
	refused(BROOD_ARGV("true"), &opts, EPERM, "setpgid", text);
	ck_assert_int_eq(brood_child_stop(other, 0, NULL), 0);
	brood_child_free(other);
	refused(BROOD_ARGV("true"), &opts, EPERM, "setpgid", text);
	opts.group = (brood_group)99;
	refused(BROOD_ARGV("true"), &opts, EINVAL, "setpgid", "no such kind of group: 99");
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

/* ---- ids by name */

/* What the database says of a user that every system has. */
static struct passwd find_user(const char *name)
{
	static char text[2][4096];
	static unsigned next;
	struct passwd user, *found = NULL;

	ck_assert_int_eq(getpwnam_r(name, &user, text[next++ % 2], sizeof(text[0]), &found), 0);
	ck_assert_msg(found != NULL, "no user %s here", name);
	return user;
}

static void ck_groups(const char *report, const char *user, gid_t gid)
{
	char wanted[512] = "";
	gid_t groups[64];
	int n = 64;

	ck_assert_int_ge(getgrouplist(user, gid, groups, &n), 0);
	for (int i = 0; i < n; i++)
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "%s%u",
			 i > 0 ? " " : "", groups[i]);
	ck_fact(report, "groups", "%s", wanted);
}

START_TEST(a_user_is_found_by_name)
{
	struct passwd nobody, daemon;
	const char *report;

	if (geteuid() != 0)
		return;
	nobody = find_user("nobody");
	daemon = find_user("daemon");
	report = report_of(&(brood_spawn_opts){ .user = "nobody" }, NULL);
	ck_fact(report, "uid", "%u %u %u", nobody.pw_uid, nobody.pw_uid, nobody.pw_uid);
	ck_fact(report, "gid", "%u %u %u", nobody.pw_gid, nobody.pw_gid, nobody.pw_gid);
	ck_groups(report, "nobody", nobody.pw_gid);
	report = report_of(&(brood_spawn_opts){ .user = "nobody", .user_group = "daemon" }, NULL);
	ck_fact(report, "uid", "%u %u %u", nobody.pw_uid, nobody.pw_uid, nobody.pw_uid);
	ck_fact(report, "gid", "%u %u %u", daemon.pw_gid, daemon.pw_gid, daemon.pw_gid);
	ck_groups(report, "nobody", daemon.pw_gid);
	report = report_of(&(brood_spawn_opts){ .user_group = "daemon" }, NULL);
	ck_fact(report, "uid", "0 0 0");
	ck_fact(report, "gid", "%u %u %u", daemon.pw_gid, daemon.pw_gid, daemon.pw_gid);
	ck_fact(report, "groups", "%s", "");
}
END_TEST

START_TEST(numbers_stand_beside_names)
{
	const uid_t uid = 1234;
	const gid_t gid = 4321, groups[] = { 5, 7 };
	struct passwd nobody;
	const char *report;

	if (geteuid() != 0)
		return;
	nobody = find_user("nobody");
	report = report_of(&(brood_spawn_opts){ .user = "nobody", .uid = &uid }, NULL);
	ck_fact(report, "uid", "%u %u %u", uid, uid, uid);
	ck_fact(report, "gid", "%u %u %u", nobody.pw_gid, nobody.pw_gid, nobody.pw_gid);
	report = report_of(&(brood_spawn_opts){ .user = "nobody",
						.user_group = "daemon",
						.gid = &gid,
						.groups = groups,
						.n_groups = 2 },
			   NULL);
	ck_fact(report, "uid", "%u %u %u", nobody.pw_uid, nobody.pw_uid, nobody.pw_uid);
	ck_fact(report, "gid", "%u %u %u", gid, gid, gid);
	ck_fact(report, "groups", "5 7");
	report = report_of(&(brood_spawn_opts){ .user = "nobody", .groups = groups }, NULL);
	ck_fact(report, "groups", "%s", "");
}
END_TEST

START_TEST(unknown_names_are_refused)
{
	/* A number is no name, and nobody guesses. */
	static const char *const names[] = { "no-such-name", "0", "65534", "", "a:b" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		refused(BROOD_ARGV("true"),
			&(brood_spawn_opts){ .user = names[i], .contain = CONTAINED }, ENOENT,
			"user", names[i]);
		refused(BROOD_ARGV("true"),
			&(brood_spawn_opts){ .user_group = names[i], .contain = CONTAINED }, ENOENT,
			"group", names[i]);
	}
	/* Also where a number stands beside it. */
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){
			.user_group = "no-such-name", .gid = &(gid_t){ 0 }, .contain = CONTAINED },
		ENOENT, "group", "no-such-name");
}
END_TEST

START_TEST(ids_that_mean_no_change_are_refused)
{
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .uid = &(uid_t){ (uid_t)-1 }, .contain = CONTAINED }, EINVAL,
		"uid", "-1 is no user");
	refused(BROOD_ARGV("true"),
		&(brood_spawn_opts){ .gid = &(gid_t){ (gid_t)-1 }, .contain = CONTAINED }, EINVAL,
		"gid", "-1 is no group");
	if (geteuid() == 0)
		refused(BROOD_ARGV("true"),
			&(brood_spawn_opts){ .groups = &(gid_t){ (gid_t)-1 }, .n_groups = 1 },
			EINVAL, "setgroups", NULL);
}
END_TEST

/* Who is nobody may start as nobody, and as none but that. */
static void start_by_name_as_nobody(void)
{
	struct passwd nobody = find_user("nobody");
	brood_exit end;

	ck_assert_int_eq(setgroups(0, NULL), 0);
	ck_assert_int_eq(setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid), 0);
	ck_assert_int_eq(setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid), 0);
	end = run(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .user = "nobody" });
	ck_assert(brood_exit_ok(&end));
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .user = "daemon" }, EPERM,
		"setgroups", NULL);
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .user_group = "daemon" }, EPERM,
		"setgid", NULL);
}

START_TEST(without_rights_only_ones_own_name_is_taken)
{
	if (geteuid() == 0)
		in_fork(start_by_name_as_nobody);
}
END_TEST

/* ---- the callback */

struct told {
	int fd;
	int calls;
};

static int tell(void *data)
{
	struct told *told = data;
	sigset_t set;

	told->calls++;
	dprintf(told->fd, "%d %d\n", (int)getpid(), told->calls);
	umask(0123);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return chdir("/usr") < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

/* What it does to its process stays, what it does to memory is not seen. */
START_TEST(setup_is_the_last_step_before_exec)
{
	int file = open_file("told", "");
	struct told told = { .fd = 9 };
	char text[64] = "", wanted[64];
	brood_child *child = report_start(&(brood_spawn_opts){ .setup = tell,
							       .setup_data = &told,
							       .cwd = "/",
							       .umask = &(mode_t){ 0 },
							       .pass = &(brood_pass){ file, 9 },
							       .n_pass = 1 },
					  NULL);
	const char *report;

	snprintf(wanted, sizeof(wanted), "%d 1\n", brood_child_pid(child));
	report = report_finish(child);
	ck_fact(report, "cwd", "/usr");
	ck_fact(report, "umask", "0123");
	ck_fact(report, "SigBlk", "%016llx", 1ULL << (SIGUSR2 - 1));
	ck_assert_int_eq(count_descriptors(report), 4);
	ck_assert_int_gt(pread(file, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, wanted);
	ck_assert_int_eq(told.calls, 0);
	close(file);
}
END_TEST

static int give_back(void *data)
{
	return *(int *)data;
}

START_TEST(what_setup_returns_is_told)
{
	static const struct {
		int given, told;
	} cases[] = { { -EBUSY, EBUSY }, { -1, 1 },           { 1, EINVAL },
		      { EBUSY, EINVAL }, { INT_MIN, EINVAL }, { INT_MAX, EINVAL } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int given = cases[i].given;

		refused(BROOD_ARGV("/bin/true"),
			&(brood_spawn_opts){ .setup = give_back, .setup_data = &given },
			cases[i].told, "setup", "");
	}
	/* It went well, and the program is not there. */
	refused(BROOD_ARGV("/nowhere"),
		&(brood_spawn_opts){ .setup = give_back, .setup_data = &(int){ 0 } }, ENOENT,
		"exec", "/nowhere");
	/* It is not even called when a step before it fails. */
	refused(BROOD_ARGV("/bin/true"),
		&(brood_spawn_opts){
			.setup = give_back, .setup_data = &(int){ -EBUSY }, .cwd = "/nowhere" },
		ENOENT, "chdir", "/nowhere");
}
END_TEST

static int leave_by(void *data)
{
	static const char *const argv[] = { "sleep", "1000", NULL };

	switch (*(int *)data) {
	case 0:
		_exit(0);
	case 1:
		kill(getpid(), SIGKILL);
		return 0;
	default:
		execvp(argv[0], (char *const *)argv);
		return -errno;
	}
}

/* No exec of ours came, so that nothing may pass for a started program. */
START_TEST(a_setup_that_does_not_come_back_fails_the_start)
{
	for (int way = 0; way < 3; way++)
		refused(BROOD_ARGV("/bin/true"),
			&(brood_spawn_opts){ .setup = leave_by, .setup_data = &way }, ECANCELED,
			"setup", "");
}
END_TEST

static int use_much_stack(void *data)
{
	volatile char bytes[512 * 1024];

	for (size_t i = 0; i < sizeof(bytes); i += 512)
		bytes[i] = 1;
	return bytes[0] == 1 && data == NULL ? 0 : -EFAULT;
}

START_TEST(setup_has_stack_and_all_other_options)
{
	brood_child *child = report_start(&(brood_spawn_opts){ .setup = use_much_stack,
							       .group = BROOD_GROUP_SESSION,
							       .nice = 1 },
					  NULL);
	pid_t pid = brood_child_pid(child);
	const char *report = report_finish(child);

	ck_fact(report, "sid", "%d", pid);
	ck_fact(report, "SigBlk", "0000000000000000");
	ck_assert_int_eq(count_descriptors(report), 3);
}
END_TEST

static int tell_ids(void *data)
{
	(void)data;
	return getuid() == NOBODY && geteuid() == NOBODY ? 0 : -EPERM;
}

START_TEST(setup_runs_with_the_programs_ids)
{
	if (geteuid() == 0)
		run(BROOD_ARGV("/bin/true"),
		    &(brood_spawn_opts){ .setup = tell_ids, .uid = &(uid_t){ NOBODY } });
}
END_TEST

START_TEST(a_contained_program_has_no_setup)
{
	refused(BROOD_ARGV("/bin/true"), &(brood_spawn_opts){ .setup = give_back, .contain = true },
		ENOTSUP, "setup", "not with .contain");
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
	TCase *names = leak_case(suite, "names", 30);
	TCase *setup = leak_case(suite, "setup", 30);

	add_for_both(place, cwd_is_where_it_starts);
	add_for_both(place, group_and_session_are_as_told);
	add_for_both(place, a_group_is_joined);
	add_for_both(place, a_group_that_cannot_be_joined_is_named);
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
	tcase_add_test(names, a_user_is_found_by_name);
	tcase_add_test(names, numbers_stand_beside_names);
	add_for_both(names, unknown_names_are_refused);
	add_for_both(names, ids_that_mean_no_change_are_refused);
	tcase_add_test(names, without_rights_only_ones_own_name_is_taken);
	tcase_add_test(setup, setup_is_the_last_step_before_exec);
	tcase_add_test(setup, what_setup_returns_is_told);
	tcase_add_test(setup, a_setup_that_does_not_come_back_fails_the_start);
	tcase_add_test(setup, setup_has_stack_and_all_other_options);
	tcase_add_test(setup, setup_runs_with_the_programs_ids);
	tcase_add_test(setup, a_contained_program_has_no_setup);
	return leak_run(suite);
}
