/* A kernel without openat2(2), older than 5.6, gets no weaker check: the file is refused. */
#include "local.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SCHEME "file:"

int local_dir_open(const char *path, struct local_dir *ret_dir)
{
	struct local_dir dir = { .fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) };

	if (dir.fd < 0)
		return -errno;
	dir.path = canonicalize_file_name(path);
	if (dir.path == NULL) {
		int r = -errno;

		close(dir.fd);
		return r;
	}
	*ret_dir = dir;
	return 0;
}

void local_dir_close(struct local_dir *dir)
{
	if (dir->path == NULL)
		return;
	close(dir->fd);
	free(dir->path);
	*dir = (struct local_dir){ .fd = -1 };
}

bool local_is_url(const char *url)
{
	return strncasecmp(url, SCHEME, strlen(SCHEME)) == 0;
}

/* What the URL names: a relative name, or an absolute path with the empty host taken off. */
static int decode_name(const char *url, char **ret_name)
{
	const char *name = url + strlen(SCHEME);
	int size;
	char *decoded;

	if (strncmp(name, "//", 2) == 0)
		name += 2;
	if (name != url + strlen(SCHEME) && *name != '/')
		return -EINVAL; /* a host; only this one is served */
	decoded = curl_easy_unescape(NULL, name, 0, &size);
	if (decoded == NULL)
		return -ENOMEM;
	if (strlen(decoded) != (size_t)size || size == 0) {
		curl_free(decoded);
		return -EINVAL; /* an escaped NUL would cut the name short */
	}
	*ret_name = decoded;
	return 0;
}

/* The part of an absolute path below the directory, as a relative name; NULL if it is outside. */
static const char *make_relative(const struct local_dir *dir, const char *name)
{
	size_t n = strlen(dir->path);

	if (*name != '/')
		return name;
	if (strncmp(name, dir->path, n) != 0 || name[n] != '/')
		return NULL;
	name += n;
	return name + strspn(name, "/");
}

/* O_NONBLOCK, so that a FIFO does not hang the open; it is refused afterwards. */
static int open_beneath(const struct local_dir *dir, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	struct stat status;
	int fd;

	fd = (int)syscall(SYS_openat2, dir->fd, name, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	close(fd);
	return -EBADF;
}

int local_read(const struct local_dir *dir, const char *url, size_t limit, struct bytes *bytes)
{
	const char *relative;
	char *name;
	int fd, r;

	r = decode_name(url, &name);
	if (r < 0)
		return r;
	relative = make_relative(dir, name);
	fd = relative != NULL ? open_beneath(dir, relative) : -EXDEV;
	curl_free(name);
	if (fd < 0)
		return fd;
	r = bytes_read_all(bytes, fd, limit);
	close(fd);
	return r;
}
