#include "os/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/process.h"

struct entry {
	pid_t pid, parent;
	bool alive;
	unsigned long long started; /* ticks since boot: with the pid, one process of this boot */
};

struct table {
	struct entry *entries;
	size_t n, room;
};

static void close_folder(DIR **folder)
{
	if (*folder != NULL)
		closedir(*folder);
}

static int read_entry(pid_t pid, struct entry *entry)
{
	char path[32], text[1024], *after;
	bri_cleanup(bri_closep) int fd = -1;
	ssize_t n;
	char state;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = bri_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	after = strrchr(text, ')');
	/* Fields 3, 4 and 22 (proc(5)); a name may hold any character, thus the last parenthesis. */
	if (after == NULL ||
	    sscanf(after + 1,
		   " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		   &state, &entry->parent, &entry->started) != 3)
		return -EPROTO;
	entry->pid = pid;
	entry->alive = state != 'Z' && state != 'X';
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool is_our_proc(void)
{
	char self[16] = "";

	return readlink("/proc/self", self, sizeof(self) - 1) > 0 &&
	       strtol(self, NULL, 10) == getpid();
}

static int look(struct table *table)
{
	bri_cleanup(close_folder) DIR *folder = opendir("/proc");
	struct dirent *item;
	pid_t pid;

	if (folder == NULL)
		return errno == ENOENT ? -ENOTSUP : -errno;
	if (!is_our_proc())
		return -ENOTSUP;
	while ((item = readdir(folder)) != NULL) {
		if (!isdigit((unsigned char)item->d_name[0]))
			continue;
		if (table->n == table->room) {
			size_t room = table->room != 0 ? 2 * table->room : 256;
			void *more = reallocarray(table->entries, room, sizeof(*table->entries));

			if (more == NULL)
				return -ENOMEM;
			table->entries = more;
			table->room = room;
		}
		pid = (pid_t)strtol(item->d_name, NULL, 10);
		if (read_entry(pid, &table->entries[table->n]) == 0)
			table->n++;
	}
	if (table->n > 0)
		qsort(table->entries, table->n, sizeof(*table->entries), by_pid);
	return 0;
}

/* Up the parents; bounded, since two looks at different instants might disagree into a circle. */
static bool descends(const struct table *table, const struct entry *entry, pid_t root)
{
	for (size_t i = 0; entry != NULL && i <= table->n; i++) {
		const struct entry parent = { .pid = entry->parent };

		if (entry->parent == root)
			return true;
		entry = bsearch(&parent, table->entries, table->n, sizeof(parent), by_pid);
	}
	return false;
}

/* Holds the process, looks once more whether it is still the one that was found, then signals.
 * Where a filter refuses pidfd_open the number must do, right after the look. */
static int signal_entry(const struct entry *entry, int signum)
{
	struct bri_process process = { .pidfd = -1 };
	struct entry again;
	int r;

	r = bri_process_open(entry->pid, 0, &process);
	if (r < 0 && r != -ENOSYS && r != -EPERM)
		return r;
	r = read_entry(entry->pid, &again);
	if (r == 0 && again.started != entry->started)
		r = -ESRCH;
	else if (r == 0 && process.pidfd >= 0)
		r = bri_process_signal(&process, signum);
	else if (r == 0)
		r = kill(entry->pid, signum) < 0 ? -errno : 0;
	bri_closep(&process.pidfd);
	return r;
}

int bri_tree_signal(pid_t root, int signum, struct bri_tree_count *ret_count)
{
	struct bri_tree_count count = { 0, 0 };
	struct table table = { NULL, 0, 0 };
	int r;

	r = look(&table);
	for (size_t i = 0; r == 0 && i < table.n; i++) {
		int sent;

		if (!table.entries[i].alive || !descends(&table, &table.entries[i], root))
			continue;
		sent = signal_entry(&table.entries[i], signum);
		count.signalled += sent == 0;
		count.refused += sent == -EPERM;
	}
	free(table.entries);
	if (r == 0)
		*ret_count = count;
	return r;
}
