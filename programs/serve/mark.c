#include "serve/mark.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "serve/id.h"

bool mark_possible(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_RTTIME, &limit) == 0 && limit.rlim_max == RLIM_INFINITY;
}

/* BROOD_JOB_ID as the process was started with; it may have written over it since. */
static uint64_t mark_in_environment(pid_t pid)
{
	static const char name[] = "BROOD_JOB_ID=";
	char path[32], text[16384 + 1], *at;
	uint64_t id = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	for (at = text; at < text + n; at += strlen(at) + 1)
		if (strncmp(at, name, strlen(name)) == 0)
			return id_parse(at + strlen(name), &id) ? id : 0;
	return 0;
}

uint64_t mark_of(pid_t pid)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_RTTIME, NULL, &limit) == 0 && limit.rlim_max != RLIM_INFINITY &&
	    limit.rlim_max >> 40 != 0)
		return limit.rlim_max;
	return mark_in_environment(pid);
}

/* Held by a pidfd while it is looked at, so that a recycled number is not hit. */
static bool kill_if_marked(pid_t pid, bool (*is_ours)(void *self, uint64_t id), void *self)
{
	struct pollfd ended = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	bool killed = false;
	uint64_t id;

	if (ended.fd < 0)
		return false;
	id = mark_of(pid);
	if (id != 0 && is_ours(self, id) && poll(&ended, 1, 0) == 0) /* a zombie is dead enough */
		killed = syscall(SYS_pidfd_send_signal, ended.fd, SIGKILL, NULL, 0) == 0;
	close(ended.fd);
	return killed;
}

static int hunt_once(bool (*is_ours)(void *self, uint64_t id), void *self)
{
	DIR *folder = opendir("/proc");
	struct dirent *item;
	int killed = 0;

	while (folder != NULL && (item = readdir(folder)) != NULL) {
		pid_t pid = (pid_t)strtol(item->d_name, NULL, 10);

		if (isdigit((unsigned char)item->d_name[0]) && pid != getpid())
			killed += kill_if_marked(pid, is_ours, self);
	}
	if (folder != NULL)
		closedir(folder);
	return killed;
}

int mark_hunt(bool (*is_ours)(void *self, uint64_t id), void *self)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int total = 0, killed;

	for (int round = 0; round < 200; round++) {
		killed = hunt_once(is_ours, self);
		if (killed == 0)
			break;
		if (round == 0)
			total = killed;
		nanosleep(&pause, NULL);
	}
	return total;
}
