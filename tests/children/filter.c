/* filter ERROR:CALL[,CALL…] PROGRAM [ARG…] - runs the program where these system calls are refused
 *
 * As an older kernel does (ENOSYS), or the seccomp filter of a container engine that does not know
 * them (EPERM). The filter is inherited by all that the program starts. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "name this machine"
#endif

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

enum { MOST = 16 };

static const struct {
	const char *name;
	unsigned number;
} calls[] = { { "clone3", SYS_clone3 },
	      { "close_range", SYS_close_range },
	      { "pidfd_open", SYS_pidfd_open },
	      { "futex_waitv", SYS_futex_waitv },
	      { "membarrier", SYS_membarrier } };

static const struct {
	const char *name;
	unsigned number;
} errors[] = { { "ENOSYS", ENOSYS }, { "EPERM", EPERM } };

static unsigned number_of_call(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	fprintf(stderr, "filter: %s: no such call here\n", name);
	exit(2);
}

static unsigned number_of_error(const char *name)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].number;
	fprintf(stderr, "filter: %s: no such error here\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sock_filter filter[2 * MOST + 4] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .len = 4, .filter = filter };
	char *names, *rest;

	if (argc < 3 || (names = strchr(argv[1], ':')) == NULL)
		return 2;
	*names++ = '\0';
	for (char *name = strtok_r(names, ",", &rest); name != NULL && program.len < 2 * MOST;
	     name = strtok_r(NULL, ",", &rest)) {
		filter[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
								     number_of_call(name), 0, 1);
		filter[program.len++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number_of_error(argv[1]));
	}
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("filter");
		return 77;
	}
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
