/* spawner MODE [far] - takes the spawn path once, and tells what came of it and what it left behind
 *
 *	plain      a start with all options, but ids
 *	ids        a start with uid, gid and groups
 *	inherit    a start that keeps the caller's signals, in a new process group
 *	contained  a start under the container helper
 *	contained-tree  the same, of a program that abandons others and does not end by itself
 *	stop             the ladder down to SIGKILL
 *	stop-contained   the same for a contained program
 *
 * far: what a helper calls often (to look at processes) has even higher numbers, see count_up().
 *
 * It stops itself first. The path lies between two writes that cannot succeed, for a tracer to see. Then one line:
 * "RESULT STEP ERROR", and one for each thing left: "left descriptor N", "left child",
 * "left signal N blocked". */
#include <brood/spawn.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NO_DESCRIPTOR 9999

static void mark(const char *word)
{
	if (write(NO_DESCRIPTOR, word, strlen(word)) >= 0)
		abort();
}

static void list_descriptors(bool open[1024])
{
	DIR *folder = opendir("/proc/self/fd");

	memset(open, 0, 1024 * sizeof(*open));
	for (struct dirent *item; folder != NULL && (item = readdir(folder)) != NULL;) {
		int fd = (int)strtol(item->d_name, NULL, 10);

		if (item->d_name[0] != '.' && fd != dirfd(folder))
			open[fd & 1023] = true;
	}
	if (folder != NULL)
		closedir(folder);
}

/* strace counts the calls of each process apart and has but one number for all: "the third close"
 * fails here, and in the child. So this process makes its first ones where they do no harm, and
 * those of its path have higher numbers than any of its children's. It stops before, so that the
 * tracer comes late enough not to count what started it. */
static void count_up(bool far)
{
	for (int i = 0; far && i < 2000; i++) {
		char c;

		close(NO_DESCRIPTOR);
		syscall(SYS_openat, NO_DESCRIPTOR, "", 0, 0);
		syscall(SYS_read, NO_DESCRIPTOR, &c, 1);
	}
	for (int i = 0; i < 40; i++) {
		char c;

		close(NO_DESCRIPTOR);
		fcntl(NO_DESCRIPTOR, F_GETFD);
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 8);
		syscall(SYS_openat, NO_DESCRIPTOR, "", 0, 0);
		syscall(SYS_clone3, NULL, 0);
		syscall(SYS_clone, CLONE_THREAD, NULL, NULL, NULL, NULL);
		syscall(SYS_getdents64, NO_DESCRIPTOR, &c, 1);
		syscall(SYS_readlink, "", &c, 1);
		syscall(SYS_mmap, NULL, 0L, 0, 0, -1, 0L);
		syscall(SYS_brk, 0);
		syscall(SYS_access, "", 0);
		syscall(SYS_newfstatat, NO_DESCRIPTOR, "", NULL, 0);
		syscall(SYS_read, NO_DESCRIPTOR, &c, 1);
		syscall(SYS_pidfd_send_signal, NO_DESCRIPTOR, 0, NULL, 0);
		syscall(SYS_waitid, 99, 0, NULL, 0, NULL);
		syscall(SYS_recvfrom, NO_DESCRIPTOR, &c, 1, 0, NULL, NULL);
		syscall(SYS_sendto, NO_DESCRIPTOR, &c, 1, 0, NULL, 0);
		syscall(SYS_ppoll, NULL, 0, &(struct timespec){ 0, 0 }, NULL, 8);
	}
}

static void nothing(int signum)
{
	(void)signum;
}

static int start(const char *mode, brood_fail *fail, brood_child **ret_child)
{
	static const char *const env[] = { "PATH=/nowhere:/bin:/usr/bin", NULL };
	const mode_t mask = 027;
	const uid_t uid = 65534;
	const gid_t gid = 65534, groups[] = { 5 };
	const brood_rlimit limit = { RLIMIT_CORE, 0, 0 };
	const brood_pass swap[] = { { 20, 21 }, { 21, 20 } };
	brood_spawn_opts opts = { .env = env, .fail = fail };

	if (strcmp(mode, "ids") == 0) {
		opts.uid = &uid;
		opts.gid = &gid;
		opts.groups = groups;
		opts.n_groups = 1;
	} else if (strcmp(mode, "inherit") == 0) {
		opts.signals = BROOD_SIGNALS_INHERIT;
		opts.group = BROOD_GROUP_NEW;
	} else {
		opts.cwd = "/";
		opts.in.kind = BROOD_STDIO_PIPE;
		opts.out = (brood_stdio){ BROOD_STDIO_FILE, .path = "/dev/null" };
		opts.err.kind = BROOD_STDIO_STDOUT;
		opts.pass = swap;
		opts.n_pass = 2;
		opts.group = BROOD_GROUP_SESSION;
		opts.rlimits = &limit;
		opts.n_rlimits = 1;
		opts.umask = &mask;
		opts.nice = 1;
		opts.contain = strncmp(mode, "contained", 9) == 0;
	}
	if (strcmp(mode, "contained-tree") == 0)
		return brood_spawn(
			BROOD_ARGV("sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & wait"),
			&opts, ret_child);
	return brood_spawn(BROOD_ARGV("true"), &opts, ret_child);
}

/* A program that SIGTERM does not end; when this returns, it is deaf to it. */
static brood_child *start_deaf(bool contain)
{
	brood_child *child;
	char c;

	if (brood_spawn(
		    BROOD_ARGV("sh", "-c", "trap '' TERM; echo; exec sleep 1000"),
		    &(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE }, .contain = contain },
		    &child) < 0 ||
	    read(brood_child_stream(child, 1), &c, 1) != 1)
		exit(2);
	return child;
}

static void tell_left(const bool before[1024])
{
	bool after[1024];
	sigset_t mask;
	siginfo_t info;

	list_descriptors(after);
	for (int fd = 0; fd < 1024; fd++)
		if (after[fd] && !before[fd])
			printf("left descriptor %d\n", fd);
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		puts("left child");
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signum = 1; signum <= SIGRTMAX; signum++)
		if (sigismember(&mask, signum) == 1)
			printf("left signal %d blocked\n", signum);
}

int main(int argc, char **argv)
{
	brood_fail fail = { .step = NULL };
	brood_child *child = NULL;
	bool before[1024];
	int r;

	if (argc < 2)
		return 2;
	raise(SIGSTOP);
	count_up(argc > 2);
	dup2(0, 20);
	dup2(1, 21);
	if (strcmp(argv[1], "inherit") == 0) {
		signal(SIGUSR1, nothing);
		signal(SIGUSR2, SIG_IGN);
	}
	list_descriptors(before);
	mark("counted");
	if (strncmp(argv[1], "stop", 4) == 0) {
		child = start_deaf(strcmp(argv[1], "stop-contained") == 0);
		mark("begin");
		r = brood_child_stop(child, 20 * BROOD_MSEC, NULL);
		mark("end");
	} else {
		mark("begin");
		r = start(argv[1], &fail, &child);
		mark("end");
	}
	/* What failed once succeeds when it is tried again. */
	if (child != NULL && brood_child_stop(child, 0, NULL) < 0)
		puts("left program");
	brood_child_free(child);
	printf("%d %s %d\n", r, fail.step != NULL ? fail.step : "none", fail.error);
	tell_left(before);
	return 0;
}
