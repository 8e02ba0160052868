/* report FILE [WORD…] - writes into FILE how this program was started, one fact a line
 *
 * The facts are gathered before FILE is opened, so that the descriptors are those of the start. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static char text[1 << 20];
static size_t n;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	n += (size_t)vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
}

static void say_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");

	if (folder == NULL) {
		say("fd unknown\n");
		return;
	}
	for (struct dirent *item; (item = readdir(folder)) != NULL;) {
		char path[300], target[512] = "";
		struct stat st;
		int fd = (int)strtol(item->d_name, NULL, 10);

		if (item->d_name[0] == '.' || fd == dirfd(folder) || fstat(fd, &st) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target) - 1) < 0)
			strcpy(target, "?");
		say("fd %d %llu:%llu %s\n", fd, (unsigned long long)st.st_dev,
		    (unsigned long long)st.st_ino, target);
	}
	closedir(folder);
}

static void say_words(int argc, char **argv)
{
	say("argc %d\n", argc);
	for (int i = 0; i < argc; i++)
		say("arg %d %s\n", i, argv[i]);
	for (int i = 0; environ[i] != NULL; i++)
		say("env %d %s\n", i, environ[i]);
}

static void say_place(void)
{
	char cwd[4096];
	mode_t mask = umask(0);

	umask(mask);
	say("cwd %s\n", getcwd(cwd, sizeof(cwd)) != NULL ? cwd : "?");
	say("umask %04o\n", (unsigned)mask);
	say("nice %d\n", getpriority(PRIO_PROCESS, 0));
	say("pid %d\nppid %d\npgid %d\nsid %d\n", getpid(), getppid(), getpgrp(), getsid(0));
}

static void say_ids(void)
{
	uid_t r, e, s;
	gid_t groups[64];
	int count = getgroups(64, groups);

	getresuid(&r, &e, &s);
	say("uid %u %u %u\n", r, e, s);
	getresgid(&r, &e, &s);
	say("gid %u %u %u\n", r, e, s);
	say("groups");
	for (int i = 0; i < count; i++)
		say(" %u", groups[i]);
	say("\n");
}

static void say_signals(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[4096];

	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0 ||
		    strncmp(line, "SigCgt", 6) == 0)
			say("%s", line);
	if (status != NULL)
		(void)fclose(status);
}

static void say_limit(const char *name, int resource)
{
	struct rlimit limit;

	getrlimit(resource, &limit);
	say("limit %s %llu %llu\n", name, (unsigned long long)limit.rlim_cur,
	    (unsigned long long)limit.rlim_max);
}

int main(int argc, char **argv)
{
	size_t written = 0;
	int fd;

	if (argc < 2)
		return 2;
	say_descriptors();
	say_words(argc, argv);
	say_place();
	say_ids();
	say_signals();
	say_limit("nofile", RLIMIT_NOFILE);
	say_limit("core", RLIMIT_CORE);
	say_limit("cpu", RLIMIT_CPU);
	fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0666);
	while (fd >= 0 && written < n) {
		ssize_t r = write(fd, text + written, n - written);

		if (r < 0)
			return 1;
		written += (size_t)r;
	}
	return fd < 0;
}
