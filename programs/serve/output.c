#include "serve/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/id.h"

#define FOLDER "output/0000"

static void output_path(uint64_t id, int which, char *path, size_t size)
{
	char text[ID_SIZE];

	id_format(id, text);
	snprintf(path, size, "output/%.4s/%s.%s", text, text, which == 0 ? "out" : "err");
}

int output_create(int state_fd, uint64_t id, int which, bool go_on)
{
	char path[64];
	int fd;

	output_path(id, which, path, sizeof(path));
	for (int tries = 0;; tries++) {
		fd = openat(state_fd, path,
			    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
				    (go_on ? 0 : O_TRUNC),
			    0600);
		if (fd >= 0 || errno != ENOENT || tries > 0)
			return fd < 0 ? -errno : fd;
		path[strlen(FOLDER)] = '\0';
		mkdirat(state_fd, "output", 0700);
		mkdirat(state_fd, path, 0700);
		path[strlen(FOLDER)] = '/';
	}
}

int output_open(int state_fd, uint64_t id, int which)
{
	char path[64];
	int fd;

	output_path(id, which, path, sizeof(path));
	fd = openat(state_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int64_t output_size(int state_fd, uint64_t id, int which)
{
	struct stat st;
	char path[64];

	output_path(id, which, path, sizeof(path));
	return fstatat(state_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

static int copy(int from, int to)
{
	off_t offset = 0;
	struct stat st;

	if (fstat(from, &st) < 0)
		return -errno;
	while (offset < st.st_size) {
		ssize_t n = sendfile(to, from, &offset, (size_t)(st.st_size - offset));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
	}
	return 0;
}

int output_write_input(int state_fd, uint64_t id, int body, char *path, size_t size)
{
	char link[32], folder[3500], text[ID_SIZE];
	ssize_t n;
	int fd, r;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", state_fd);
	n = readlink(link, folder, sizeof(folder));
	if (n < 0 || (size_t)n == sizeof(folder))
		return n < 0 ? -errno : -ENAMETOOLONG;
	if ((size_t)snprintf(path, size, "%.*s/input/%s", (int)n, folder, id_format(id, text)) >=
	    size)
		return -ENAMETOOLONG;
	mkdirat(state_fd, "input", 0700);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = copy(body, fd);
	close(fd);
	return r;
}

void output_remove_input(int state_fd, uint64_t id)
{
	char path[64], text[ID_SIZE];

	snprintf(path, sizeof(path), "input/%s", id_format(id, text));
	unlinkat(state_fd, path, 0);
}
