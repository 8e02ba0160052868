/* How many processors are ours: by affinity, and by the quota of each control group that we are in, up to the root. */
#include "proc/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brood/process.h>

#include "base/cleanup.h"
#include "os/fd.h"

#define MOST_CPUS (1 << 16)

/* A small file as a string; false: it cannot be read. */
static bool slurp(const char *path, char *buf, size_t size)
{
	bri_cleanup(bri_closep) int fd = bri_open(path, O_RDONLY, 0);
	ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;

	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static int by_affinity(void)
{
	for (int room = 1024; room <= MOST_CPUS; room *= 4) {
		cpu_set_t *set = CPU_ALLOC(room);
		size_t size = CPU_ALLOC_SIZE(room);
		int n = set != NULL && sched_getaffinity(0, size, set) == 0 ?
				CPU_COUNT_S(size, set) :
				0;

		CPU_FREE(set);
		if (n > 0)
			return n;
	}
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* The number that a file in a folder begins with, 0 if there is none, and what is behind it in *ret_rest. */
static long long number_of(const char *folder, const char *name, char text[64], char **ret_rest)
{
	char path[4400];

	*ret_rest = text;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return slurp(path, text, 64) ? strtoll(text, ret_rest, 10) : 0;
}

/* The quota that a folder of a control group gives; 0: none, which version 2 calls "max" and version 1 -1. */
static double quota_of(const char *folder, bool second)
{
	char text[64], *rest;
	long long quota, period;

	if (second) {
		quota = number_of(folder, "cpu.max", text, &rest);
		period = strtoll(rest, NULL, 10);
	} else {
		quota = number_of(folder, "cpu.cfs_quota_us", text, &rest);
		period = number_of(folder, "cpu.cfs_period_us", text, &rest);
	}
	return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* The smallest one from the group up to the root of all groups, which is `mount` below `root`. */
static double smallest_quota(const char *root, const char *mount, const char *group, bool second)
{
	char folder[4300];
	double least = 0, quota;
	size_t base = strlen(root) + strlen(mount);
	char *end;

	snprintf(folder, sizeof(folder), "%s%s%s", root, mount,
		 strcmp(group, "/") != 0 ? group : "");
	for (;;) {
		quota = quota_of(folder, second);
		if (quota > 0 && (least == 0 || quota < least))
			least = quota;
		end = strrchr(folder, '/');
		if (end == NULL || (size_t)(end - folder) < base)
			return least;
		*end = '\0';
	}
}

/* Whether "cpu" is among controllers like "cpu,cpuacct", which kernels list in either order. */
static bool has_cpu(char *names)
{
	const char *name;

	while ((name = strsep(&names, ",")) != NULL)
		if (strcmp(name, "cpu") == 0)
			return true;
	return false;
}

/* Lines of /proc/self/cgroup: "0::/group" is version 2, "4:cpu,cpuacct:/group" version 1. */
double bri_cpus_quota(const char *root)
{
	char path[4400], text[4096], *line, *rest = text;
	double least = 0, quota;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (!slurp(path, text, sizeof(text)))
		return 0;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *names = strchr(line, ':');
		char *group = names != NULL ? strchr(names + 1, ':') : NULL;

		if (group == NULL)
			continue;
		*group++ = '\0';
		if (strcmp(names, ":") == 0)
			quota = smallest_quota(root, "/sys/fs/cgroup", group, true);
		else if (has_cpu(names + 1))
			quota = smallest_quota(root, "/sys/fs/cgroup/cpu", group, false);
		else
			continue;
		if (quota > 0 && (least == 0 || quota < least))
			least = quota;
	}
	return least;
}

int brood_cpu_count(void)
{
	int n = by_affinity();
	double quota = bri_cpus_quota("");

	if (quota > 0 && quota < n)
		n = (int)quota + ((double)(int)quota < quota);
	return n > 1 ? n : 1;
}
