#include "tests/unit/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

/* Its path: that of the descriptor in who made it. */
#define VARIABLE "BROOD_TEST_SHARED"
static int shared_file = -1;

void *share_far(size_t size)
{
	char path[64];
	void *memory;

	shared_file = memfd_create("test", MFD_CLOEXEC);
	ck_assert_int_ge(shared_file, 0);
	ck_assert_int_eq(ftruncate(shared_file, (off_t)size), 0);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), shared_file);
	setenv(VARIABLE, path, 1);
	memory = reach(size);
	ck_assert_ptr_nonnull(memory);
	return memory;
}

/* Before main() has anything of Check's. */
void *reach(size_t size)
{
	const char *path = getenv(VARIABLE);
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory;

	if (fd < 0)
		return NULL;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return memory != MAP_FAILED ? memory : NULL;
}

void unshare_far(void)
{
	close(shared_file);
	unsetenv(VARIABLE);
}

pid_t peer(void (*body)(void *), void *arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	body(arg);
	_exit(0);
}

bool peer_elsewhere(void (*body)(void *))
{
	if (unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID) < 0) {
		must(errno == EPERM || errno == EACCES || errno == ENOSYS || errno == ENOSPC ||
		     errno == EUSERS || errno == EINVAL);
		return false;
	}
	ck_finishes(peer(body, NULL));
	return true;
}

void ck_finishes(pid_t pid)
{
	int64_t until = brood_now() + PATIENCE_NS;
	int status;
	pid_t r;

	while ((r = waitpid(pid, &status, WNOHANG)) == 0) {
		ck_assert_msg(brood_now() < until, "process %d does not end", (int)pid);
		nap_ms(1);
	}
	ck_assert_int_eq(r, pid);
	ck_assert_msg(status == 0, "process %d ended with %#x", (int)pid, (unsigned)status);
}

void finish_off(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

void await_end_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd end = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return;
	ck_assert_int_eq(poll(&end, 1, (int)(PATIENCE_NS / BROOD_MSEC)), 1);
	close(fd);
}

void must_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: in a peer: %s\n", file, line, condition);
	_exit(1);
}

int64_t cpu_of(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	ck_assert_int_eq(clock_getcpuclockid(pid, &clock), 0);
	ck_assert_int_eq(clock_gettime(clock, &used), 0);
	return used.tv_sec * BROOD_SEC + used.tv_nsec;
}
