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
#define FOLDER_CHARS 4
#define FOLDER_SHIFT (5 * (ID_SIZE - 1 - FOLDER_CHARS)) /* an id's bits that are not in it */
#define TRIES 10 /* to make a folder that retention finds empty, and removes, before it is used */

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
			    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (go_on ? 0 : O_TRUNC),
			    0600);
		if (fd >= 0 || errno != ENOENT || tries == TRIES)
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

int output_remove(int state_fd, const uint64_t *ids, size_t n)
{
	char path[64];

	for (size_t i = 0; i < n; i++)
		for (int which = 0; which < 2; which++) {
			output_path(ids[i], which, path, sizeof(path));
			if (unlinkat(state_fd, path, 0) < 0 && errno != ENOENT)
				return -errno;
		}
	/* A folder that is not empty refuses; neighbours mostly share one. */
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || ids[i] >> FOLDER_SHIFT != ids[i + 1] >> FOLDER_SHIFT) {
			output_path(ids[i], 0, path, sizeof(path));
			path[strlen(FOLDER)] = '\0';
			unlinkat(state_fd, path, AT_REMOVEDIR);
		}
	return 0;
}

/* --- the walk ----------------------------------------------------------------------------- */

static DIR *open_folder(int state_fd, const char *path)
{
	int fd = openat(state_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (folder == NULL && fd >= 0)
		close(fd);
	return folder;
}

/* Goes on to the next folder: each of output/, then input/. */
static bool next_folder(int state_fd, struct output_walk *walk)
{
	struct dirent *entry;

	if (walk->is_input)
		return false;
	if (walk->output == NULL)
		walk->output = open_folder(state_fd, "output");
	while (walk->output != NULL && (entry = readdir(walk->output)) != NULL)
		if (strlen(entry->d_name) == FOLDER_CHARS) {
			snprintf(walk->folder, sizeof(walk->folder), "output/%.4s", entry->d_name);
			walk->files = open_folder(state_fd, walk->folder);
			if (walk->files != NULL)
				return true;
		}
	walk->is_input = true;
	walk->files = open_folder(state_fd, "input");
	return walk->files != NULL;
}

static void leave_folder(int state_fd, struct output_walk *walk)
{
	if (walk->files == NULL)
		return;
	closedir(walk->files);
	walk->files = NULL;
	if (!walk->is_input)
		unlinkat(state_fd, walk->folder, AT_REMOVEDIR); /* refused unless it is empty */
}

/* ID.out and ID.err, or ID. */
static bool parse_name(const char *name, bool is_input, uint64_t *ret_id)
{
	size_t length = strcspn(name, ".");
	char text[ID_SIZE];

	if (length != ID_SIZE - 1)
		return false;
	if (is_input ? name[length] != '\0' :
		       strcmp(name + length, ".out") != 0 && strcmp(name + length, ".err") != 0)
		return false;
	memcpy(text, name, length);
	text[length] = '\0';
	return id_parse(text, ret_id);
}

bool output_walk_next(int state_fd, struct output_walk *walk, uint64_t *ret_id, bool *ret_is_input)
{
	for (;;) {
		struct dirent *entry = walk->files != NULL ? readdir(walk->files) : NULL;

		if (entry != NULL && parse_name(entry->d_name, walk->is_input, ret_id)) {
			*ret_is_input = walk->is_input;
			return true;
		}
		if (entry != NULL)
			continue;
		leave_folder(state_fd, walk);
		if (!next_folder(state_fd, walk))
			return false;
	}
}

void output_walk_fini(struct output_walk *walk)
{
	if (walk->files != NULL)
		closedir(walk->files);
	if (walk->output != NULL)
		closedir(walk->output);
	*walk = (struct output_walk){ .is_input = true };
}
