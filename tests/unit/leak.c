#include "tests/unit/leak.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 4096
#define PATIENCE 30 /* seconds for what ends by itself */

static struct {
	bool open[MOST_DESCRIPTORS];
	char names[4096]; /* of /dev/shm that begin with "brood", each between two slashes */
	sigset_t mask;
	int threads; /* one, and what a sanitizer may need */
} before;

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	HAS_FEATURE(address_sanitizer) || HAS_FEATURE(thread_sanitizer)
const bool is_sanitized = true;
#else
const bool is_sanitized = false;
#endif

static char base[64], folder[96];
const char *scratch = folder;

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void list_descriptors(bool open[MOST_DESCRIPTORS])
{
	DIR *listing = opendir("/proc/self/fd");
	struct dirent *item;

	ck_assert_ptr_nonnull(listing);
	memset(open, 0, MOST_DESCRIPTORS * sizeof(*open));
	while ((item = readdir(listing)) != NULL) {
		int fd = (int)strtol(item->d_name, NULL, 10);

		if (item->d_name[0] != '.' && fd != dirfd(listing) && fd < MOST_DESCRIPTORS)
			open[fd] = true;
	}
	closedir(listing);
}

/* Others may use /dev/shm beside us; the library's names begin with "brood". */
static void list_names(char *names, size_t size)
{
	DIR *listing = opendir("/dev/shm");
	size_t n = 1;

	strcpy(names, "/");
	for (struct dirent *item; listing != NULL && (item = readdir(listing)) != NULL;)
		if (strncmp(item->d_name, "brood", 5) == 0 && n + strlen(item->d_name) + 2 < size)
			n += (size_t)snprintf(names + n, size - n, "%s/", item->d_name);
	if (listing != NULL)
		closedir(listing);
}

static void *no_work(void *unused)
{
	return unused;
}

/* ThreadSanitizer starts a thread of its own beside the first one of a program; it shall not be
 * taken for a test's. */
static void start_threading(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, no_work, NULL) == 0)
		pthread_join(thread, NULL);
}

static int count_threads(void)
{
	DIR *listing = opendir("/proc/self/task");
	int n = 0;

	for (struct dirent *item; listing != NULL && (item = readdir(listing)) != NULL;)
		n += item->d_name[0] != '.';
	if (listing != NULL)
		closedir(listing);
	return n;
}

static pid_t parent_of(const char *pid)
{
	char path[300], text[512], *after;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	text[n] = '\0';
	after = strrchr(text, ')');
	return after == NULL ? 0 : (pid_t)strtol(after + 4, NULL, 10);
}

/* Kills what is left below this process, layer by layer: a killed one's children become ours. */
static void kill_descendants(void)
{
	while (waitpid(-1, NULL, WNOHANG | __WALL) >= 0 || errno != ECHILD) {
		DIR *listing = opendir("/proc");

		for (struct dirent *item; listing != NULL && (item = readdir(listing)) != NULL;)
			if (item->d_name[0] >= '1' && item->d_name[0] <= '9' &&
			    parent_of(item->d_name) == getpid())
				kill((pid_t)strtol(item->d_name, NULL, 10), SIGKILL);
		if (listing != NULL)
			closedir(listing);
		nap();
	}
}

bool bury_all(void)
{
	double deadline = now() + PATIENCE;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

		if (pid < 0)
			return errno == ECHILD;
		if (pid == 0 && now() > deadline)
			return false;
		if (pid == 0)
			nap();
	}
}

const char *scratch_path(const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
	return path;
}

long first_number(const char *path)
{
	FILE *file = fopen(path, "re");
	char text[32], *end;
	long number;

	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	ck_assert_msg(fgets(text, sizeof(text), file) != NULL, "%s is empty", path);
	(void)fclose(file);
	number = strtol(text, &end, 10);
	ck_assert_msg(end != text, "%s has no number: %s", path, text);
	return number;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void leak_setup(void)
{
	mode_t mask = umask(0);

	/* The runner's own handlers would end the whole group when a forked child is signalled. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	snprintf(folder, sizeof(folder), "%s/%d", base, (int)getpid());
	ck_assert_int_eq(mkdir(folder, 0777), 0);
	umask(mask);
	sigprocmask(SIG_SETMASK, NULL, &before.mask);
	list_names(before.names, sizeof(before.names));
	start_threading();
	before.threads = count_threads();
	list_descriptors(before.open);
}

static void check_descriptors(void)
{
	static bool open[MOST_DESCRIPTORS];

	list_descriptors(open);
	for (int fd = 0; fd < MOST_DESCRIPTORS; fd++) {
		char path[32], target[128] = "";

		if (open[fd] == before.open[fd])
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target) - 1) < 0)
			strcpy(target, "closed");
		ck_abort_msg("descriptor %d is left: %s", fd, target);
	}
}

static void check_children(void)
{
	siginfo_t info = { .si_pid = 0 };
	bool left = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;

	if (left)
		kill_descendants();
	ck_assert_msg(!left, "a child is left, %s", info.si_pid != 0 ? "unreaped" : "running");
}

static void check_threads(void)
{
	double deadline = now() + PATIENCE;

	/* A joined thread may be in the list for another moment. */
	while (count_threads() > before.threads && now() < deadline)
		nap();
	ck_assert_msg(count_threads() <= before.threads, "a thread is left");
}

static void check_mask(void)
{
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signum = 1; signum <= SIGRTMAX; signum++)
		ck_assert_msg(sigismember(&mask, signum) == sigismember(&before.mask, signum),
			      "signal %d is left %s", signum,
			      sigismember(&mask, signum) == 1 ? "blocked" : "unblocked");
}

/* A name that was not there before, or NULL. */
static const char *new_name(char *names)
{
	char *rest = NULL;

	for (char *name = strtok_r(names, "/", &rest); name != NULL;
	     name = strtok_r(NULL, "/", &rest)) {
		char wanted[300];

		snprintf(wanted, sizeof(wanted), "/%s/", name);
		if (strstr(before.names, wanted) == NULL)
			return name;
	}
	return NULL;
}

static void check_names(void)
{
	char names[sizeof(before.names)];
	double deadline = now() + PATIENCE;
	const char *left;

	/* Another test's, at work beside this one, come and go; what this one left stays. */
	for (;;) {
		list_names(names, sizeof(names));
		left = new_name(names);
		if (left == NULL || now() > deadline)
			break;
		nap();
	}
	ck_assert_msg(left == NULL, "/dev/shm/%s is left", left);
}

static void leak_teardown(void)
{
	remove_tree(folder);
	check_children();
	check_threads();
	check_descriptors();
	check_mask();
	check_names();
}

TCase *leak_case(Suite *suite, const char *name, double seconds)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, leak_setup, leak_teardown);
	tcase_set_timeout(tcase, seconds);
	suite_add_tcase(suite, tcase);
	return tcase;
}

void in_fork(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		body();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	/* A check that failed there has told its place and reason already. */
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
	ck_assert_msg(status == 0, "the forked part was ended by signal %d", WTERMSIG(status));
}

/* A /dev/shm of our own, so that names of programs at work beside us are not taken for leaks. Who may not
 * have one shares it. */
static void own_shared_memory(void)
{
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		mount("brood-test", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
}

int leak_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	mode_t mask = umask(0);
	int failed;

	strcpy(base, "/tmp/brood-test-XXXXXX");
	if (mkdtemp(base) == NULL || chmod(base, 0755) < 0) {
		perror(base);
		return 1;
	}
	umask(mask);
	own_shared_memory();
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	kill_descendants();
	remove_tree(base);
	return failed != 0;
}
