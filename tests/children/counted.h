/* counted.h - for programs whose system calls tests/faults makes fail in turn (traced.py)
 *
 * Such a program stops itself first, counts up, marks the path that is to be looked at, and tells at
 * last what was left behind. */
#ifndef TESTS_CHILDREN_COUNTED_H
#define TESTS_CHILDREN_COUNTED_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NO_DESCRIPTOR 9999

static inline void mark(const char *word)
{
	if (write(NO_DESCRIPTOR, word, strlen(word)) >= 0)
		abort();
}

static inline void list_descriptors(bool open[1024])
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
static inline void count_up(bool far)
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
		poll(NULL, 0, 0);
		syscall(SYS_ppoll, NULL, 0, &(struct timespec){ 0, 0 }, NULL, 8);
		syscall(SYS_write, NO_DESCRIPTOR, &c, 1);
		syscall(SYS_ioctl, NO_DESCRIPTOR, 0, NULL);
		syscall(SYS_rt_sigtimedwait, NULL, NULL, NULL, 0);
	}
}

static inline void tell_left(const bool before[1024])
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

#endif
