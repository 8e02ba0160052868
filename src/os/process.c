#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/fd.h"

#ifndef P_PIDFD
#define P_PIDFD 3 /* Linux 5.4; older C libraries lack the name */
#endif

int bri_process_start_ticks(pid_t pid, uint64_t *ret_ticks)
{
	char path[32], text[1024], *at;
	bri_cleanup(bri_closep) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = bri_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -ESRCH;
	text[n] = '\0';
	/* The second field is the name in parentheses, and a name may hold any character. */
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return -EPROTO;
	*ret_ticks = strtoull(at, NULL, 10);
	return 0;
}

int bri_process_open(pid_t pid, uint64_t start_ticks, struct bri_process *ret_process)
{
	bri_cleanup(bri_closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t ticks = 0;
	int r;

	if (pidfd < 0)
		return -errno;
	/* First the descriptor, then the look: what we look at is then what we hold, or is gone. */
	if (start_ticks != 0) {
		r = bri_process_start_ticks(pid, &ticks);
		if (r < 0)
			return r;
		if (ticks != start_ticks)
			return -ESRCH;
		/* Another user's process is there, too, though it may not be signalled. */
		if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno == ESRCH)
			return -ESRCH;
	}
	*ret_process = (struct bri_process){ .pid = pid, .pidfd = bri_take_fd(&pidfd) };
	return 0;
}

int bri_process_signal(const struct bri_process *process, int signum)
{
	return syscall(SYS_pidfd_send_signal, process->pidfd, signum, NULL, 0) < 0 ? -errno : 0;
}

void bri_exit_from_wait(int code, int status, brood_exit *record)
{
	record->kind = code == CLD_EXITED ? BROOD_EXITED : BROOD_SIGNALLED;
	record->value = status;
	record->core = code == CLD_DUMPED;
}

static int64_t timeval_ns(struct timeval t)
{
	return t.tv_sec * BROOD_SEC + t.tv_usec * BROOD_USEC;
}

/* The system call itself, since the C library's waitid() drops the rusage. */
static int wait_for(const struct bri_process *process, int options, siginfo_t *info,
		    struct rusage *usage)
{
	const bool numbered = process->pidfd < 0;
	long r;

	info->si_pid = 0;
	do
		r = syscall(SYS_waitid, numbered ? P_PID : P_PIDFD,
			    numbered ? process->pid : process->pidfd, info, options | WEXITED,
			    usage);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return info->si_pid == 0 ? -EAGAIN : 0;
}

static int reap(const struct bri_process *process, int options, brood_exit *record)
{
	struct rusage usage;
	siginfo_t info;
	int r;

	r = wait_for(process, options, &info, &usage);
	if (r < 0)
		return r;
	bri_exit_from_wait(info.si_code, info.si_status, record);
	record->user_ns = timeval_ns(usage.ru_utime);
	record->system_ns = timeval_ns(usage.ru_stime);
	record->max_rss_bytes = (int64_t)usage.ru_maxrss * 1024;
	return 0;
}

int bri_process_reap(const struct bri_process *process, brood_exit *record)
{
	return reap(process, WNOHANG, record);
}

int bri_process_wait(const struct bri_process *process, brood_exit *record)
{
	return reap(process, 0, record);
}

int bri_process_peek(const struct bri_process *process)
{
	siginfo_t info;

	return wait_for(process, WNOWAIT | WNOHANG, &info, NULL);
}

void bri_process_bury(const struct bri_process *process)
{
	siginfo_t info;

	wait_for(process, 0, &info, NULL);
}

int brood_exit_code(const brood_exit *record)
{
	switch (record->kind) {
	case BROOD_EXITED:
		return record->value;
	case BROOD_SIGNALLED:
		return -record->value;
	default:
		return INT_MIN;
	}
}

bool brood_exit_ok(const brood_exit *record)
{
	return record->kind == BROOD_EXITED && record->value == 0;
}
