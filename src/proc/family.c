#include "proc/family.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/together.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/self.h"

BRI_TOGETHER static _Atomic(struct bri_family *) current;

/* ---- the handles of this process and its ancestors */

brood_process *bri_process_new(enum bri_role role)
{
	brood_process *process = calloc(1, sizeof(*process));

	if (process == NULL)
		return NULL;
	pthread_mutex_init(&process->lock, NULL);
	process->refs = 1;
	process->role = role;
	process->generation = bri_self_generation();
	process->pidfd = -1;
	return process;
}

static brood_process *of_line(enum bri_role role, unsigned depth)
{
	const struct bri_identity *identity = bri_identity();
	brood_process *process = bri_process_new(role);

	if (process == NULL)
		return NULL;
	process->depth = depth;
	process->pid = identity->line[depth].pid;
	process->parent = depth > 0 ? identity->line[depth - 1].pid : getppid();
	memcpy(process->name, identity->line[depth].name, sizeof(process->name));
	bri_identity_path(identity, depth, process->path, sizeof(process->path));
	return process;
}

/* A pidfd of an ancestor: what was inherited; else by its number, if it is still who started then, or our parent both
 * before and after. Returns it; -ESRCH: gone; or another error: it cannot be told. */
static int open_ancestor(const struct bri_identity *identity, unsigned depth)
{
	const struct bri_ancestor *at = &identity->line[depth];
	struct bri_process process = { .pidfd = -1 };
	int fd, r;

	if (at->pidfd >= 0) {
		fd = fcntl(at->pidfd, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	if (at->ticks == 0 && depth + 1 != identity->depth)
		return -ENOTSUP;
	r = bri_process_open(at->pid, at->ticks, &process);
	if (r == 0 && at->ticks == 0 && getppid() != at->pid) {
		bri_closep(&process.pidfd);
		r = -ENOTSUP; /* it has our parent's number, or is a parent further up */
	}
	return r < 0 ? r : process.pidfd;
}

static brood_process *ancestor(unsigned depth)
{
	brood_process *process = of_line(BRI_ANCESTOR, depth);

	if (process != NULL)
		process->pidfd = open_ancestor(bri_identity(), depth);
	return process;
}

brood_process *brood_ancestor_process(int depth)
{
	struct bri_family *family = bri_family();
	brood_process *found, *mine;
	unsigned own = bri_identity()->depth;

	if (family == NULL || depth < 0 || (unsigned)depth > own)
		return NULL;
	if ((unsigned)depth == own)
		return family->self;
	found = atomic_load(&family->ancestors[depth]);
	if (found != NULL)
		return found;
	mine = ancestor((unsigned)depth);
	if (mine == NULL || atomic_compare_exchange_strong(&family->ancestors[depth], &found, mine))
		return mine;
	bri_closep(&mine->pidfd);
	free(mine);
	return found;
}

brood_process *brood_current_process(void)
{
	struct bri_family *family = bri_family();

	return family != NULL ? family->self : NULL;
}

brood_process *brood_parent_process(void)
{
	return brood_ancestor_process((int)bri_identity()->depth - 1);
}

brood_process *brood_main_process(void)
{
	return brood_ancestor_process(0);
}

bool brood_is_main(void)
{
	return bri_identity()->depth == 0;
}

/* ---- the family */

struct bri_family *bri_family_new(void)
{
	struct bri_family *family = calloc(1, sizeof(*family));

	if (family == NULL)
		return NULL;
	pthread_mutex_init(&family->lock, NULL);
	pthread_mutex_init(&family->server_lock, NULL);
	family->hold = family->watch = family->pidfd = family->control = -1;
	return family;
}

void bri_family_free(struct bri_family *family)
{
	if (family != NULL)
		free(family->self);
	free(family);
}

struct bri_family *bri_family(void)
{
	struct bri_family *found = atomic_load(&current), *mine;
	uint64_t generation = bri_self_generation();

	if (found != NULL && found->generation == generation)
		return found;
	mine = bri_family_new();
	if (mine == NULL)
		return NULL;
	mine->generation = generation;
	mine->parents = found;
	if (found != NULL) {
		mine->after_fork = found->after_fork;
		mine->record =
			NULL; /* a fork by others does not speak for the process it comes from */
	}
	mine->self = of_line(BRI_SELF, bri_identity()->depth);
	if (mine->self != NULL) {
		mine->self->daemon = found != NULL && found->self->daemon;
		if (atomic_compare_exchange_strong(&current, &found, mine))
			return mine;
	} else {
		found = NULL;
	}
	bri_family_free(mine);
	return found;
}

void bri_family_enter(struct bri_family *family, const brood_process *as)
{
	struct bri_family *parents = atomic_load(&current);
	brood_process *self = family->self;

	self->generation = family->generation = bri_self_generation();
	self->pid = getpid();
	self->parent = as->parent;
	self->daemon = as->daemon;
	self->depth = as->depth;
	memcpy(self->name, as->name, sizeof(self->name));
	memcpy(self->path, as->path, sizeof(self->path));
	family->record = as->record;
	family->far = as->far;
	family->parents = parents;
	family->after_fork = parents != NULL ? parents->after_fork : NULL;
	atomic_store(&current, family);
}

/* ---- records */

struct bri_record *bri_record_take(struct bri_family *family)
{
	struct bri_record *record;

	if (family->n_spare > 0)
		return family->spare[--family->n_spare];
	record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return record != MAP_FAILED ? record : NULL;
}

struct bri_record *bri_record_map(int fd)
{
	struct bri_record *record =
		mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return record != MAP_FAILED ? record : NULL;
}

/* Sealed: a child that cut it short would have the parent die of a SIGBUS. */
int bri_record_new(struct bri_record **ret_record, int *ret_fd)
{
	int fd = memfd_create("brood-record", MFD_CLOEXEC | MFD_ALLOW_SEALING), r;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(**ret_record)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0 &&
	    (*ret_record = bri_record_map(fd)) != NULL) {
		*ret_fd = fd;
		return 0;
	}
	r = -errno;
	close(fd);
	return r;
}

void bri_record_give(struct bri_family *family, struct bri_record *record)
{
	/* Nobody writes any more: what the child may have forked has no word in it. What counts is what these two say. */
	atomic_store(&record->failed, 0);
	atomic_store(&record->crash.signum, 0);
	pthread_mutex_lock(&family->lock);
	if (family->n_spare < BRI_SPARE) {
		family->spare[family->n_spare++] = record;
		record = NULL;
	}
	pthread_mutex_unlock(&family->lock);
	if (record != NULL)
		munmap(record, sizeof(*record));
}

/* ---- the lifeline */

/* In a forked child, made by the C library's fork(): what holds the lifeline of the parent's children is not ours to
 * hold. */
static void let_go(void)
{
	struct bri_family *family = atomic_load(&current);

	if (family != NULL) {
		bri_closep(&family->hold);
		bri_closep(&family->watch);
		bri_closep(&family->control);
	}
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_result;

static void register_fork(void)
{
	once_result = -pthread_atfork(NULL, NULL, let_go);
}

int bri_above_stdio(int fd)
{
	int above, r;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	r = above < 0 ? -errno : above;
	close(fd);
	return r;
}

static void close_lifeline(struct bri_family *family)
{
	bri_closep(&family->watch);
	bri_closep(&family->hold);
	bri_closep(&family->pidfd);
}

static int open_lifeline(struct bri_family *family)
{
	int r = bri_pipe(&family->watch, &family->hold);

	if (r < 0)
		return r;
	family->hold = bri_above_stdio(family->hold);
	family->watch = bri_above_stdio(family->watch);
	family->pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	family->pidfd = family->pidfd < 0 ? -errno : bri_above_stdio(family->pidfd);
	r = family->hold < 0 ? family->hold : family->watch < 0 ? family->watch : family->pidfd;
	if (r >= 0)
		return 0;
	close_lifeline(family);
	return r;
}

int bri_family_tie(struct bri_family *family)
{
	int r;

	pthread_once(&once, register_fork);
	r = once_result;
	if (r == 0 && family->n_children == 0)
		r = open_lifeline(family);
	if (r == 0)
		family->n_children++;
	return r;
}

void bri_family_untie(struct bri_family *family)
{
	if (--family->n_children == 0)
		close_lifeline(family);
}

int bri_lifeline_open(int from)
{
	char path[32];
	int fd;

	/* By its name, so that it is an open file of its own: owner and signal belong to that. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", from);
	fd = bri_above_stdio(bri_open(path, O_RDONLY | O_NONBLOCK, 0));
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETSIG, SIGKILL) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

void bri_lifeline_arm(int fd)
{
	struct pollfd gone = { .fd = fd, .events = POLLIN };

	/* First the signal, then the look: whenever it goes, one of them sees it. Who cannot be tied does not live. */
	if (fcntl(fd, F_SETOWN, getpid()) < 0 || poll(&gone, 1, 0) != 0)
		kill(getpid(), SIGKILL);
}

void bri_lifeline_widen(int fd, brood_group group)
{
	if (fd < 0 || (group != BROOD_GROUP_NEW && group != BROOD_GROUP_SESSION))
		return;
	if (fcntl(fd, F_SETOWN, -getpid()) < 0)
		kill(getpid(), SIGKILL);
}
