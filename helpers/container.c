/* brood-container: keeps one program's whole tree together (src/os/contain.h)
 *
 * It is a child subreaper (PR_SET_CHILD_SUBREAPER, prctl(2)): whatever the program starts and
 * abandons becomes its child, setsid and double fork or not. The program's end is the tree's end.
 *
 * Invariant: it exits only when it has no child left that it may kill, so "the helper's pidfd is
 * readable" means "the tree is gone". If the helper itself is killed, the program goes with it
 * (PR_SET_PDEATHSIG); what the program had abandoned falls to the next reaper. So no signal shall
 * end it: all are blocked from its start on, and it is in no group but its own (src/os/contain.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/contain.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/socket.h"
#include "os/start.h"
#include "os/tree.h"

extern char **environ;

#define BLIND_ROUNDS 100 /* of 10 ms */

struct container {
	int control;  /* -1 once the host is gone */
	int children; /* signalfd of SIGCHLD */
	struct bri_process program;
	bool killing; /* the tree must go */
	int blind;    /* rounds of it without a look at /proc */
	struct bri_contain_message end;
};

static int say(const struct container *self, const struct bri_contain_message *message)
{
	return self->control < 0 ? 0 : bri_send(self->control, message, sizeof(*message));
}

static int say_failed(const struct container *self, const struct bri_start_error *error)
{
	const struct bri_contain_message message = { .what = BRI_CONTAIN_FAILED,
						     .step = (int)error->step,
						     .error = error->error,
						     .index = error->index };

	say(self, &message);
	return 1;
}

/* What the arguments say of the program, from the sixth on. */
struct program {
	enum bri_group group;
	pid_t join_group;
	uint64_t mask;
	int n_candidates;
	char **words; /* the candidates, then its argument vector */
};

/* The program gets the descriptors, dispositions and limits that the helper was given. */
static int start_program(struct container *self, const struct program *program,
			 struct bri_start_error *error)
{
	/* Ignored, it would take the records away. */
	void (*sigchld)(int) = signal(SIGCHLD, SIG_DFL);
	struct bri_start start = {
		.argv = (const char *const *)program->words + program->n_candidates,
		.envp = (const char *const *)environ,
		.keep_open = true,
		.group = program->group,
		.join_group = program->join_group,
		.inherit_signals = true,
		.mask = &program->mask,
		.ignore_sigchld = sigchld == SIG_IGN,
		.parent_death_signal = SIGKILL,
	};
	const char **list = calloc((size_t)program->n_candidates + 1, sizeof(*list));
	int r;

	if (list == NULL) {
		*error = (struct bri_start_error){ .step = BRI_STEP_CLONE, .error = ENOMEM };
		return -ENOMEM;
	}
	memcpy(list, program->words, (size_t)program->n_candidates * sizeof(*list));
	start.candidates = list;
	r = bri_start(&start, &self->program, error);
	free(list);
	/* The group that the program was to inherit is left to it now. */
	if (program->group == BRI_GROUP_INHERIT && setpgid(0, 0) < 0)
		errno = 0; /* it stays, and goes when the group goes */
	return r;
}

/* Where close_range is refused: those that /proc lists. */
static void close_between(int first, int last)
{
	DIR *folder;

	if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
		return;
	folder = opendir("/proc/self/fd");
	for (struct dirent *item; folder != NULL && (item = readdir(folder)) != NULL;) {
		int fd = (int)strtol(item->d_name, NULL, 10);

		if (item->d_name[0] != '.' && fd >= first && fd <= last && fd != dirfd(folder))
			close(fd);
	}
	if (folder != NULL)
		closedir(folder);
}

/* The program's pipes, directory and files are not the helper's: kept here, they would hold off
 * an end of file, an unmount, a lock. */
static int settle(struct container *self)
{
	bool control_first = self->control < self->program.pidfd;
	int low = control_first ? self->control : self->program.pidfd;
	int high = control_first ? self->program.pidfd : self->control;
	sigset_t mask;

	close_between(0, low - 1);
	close_between(low + 1, high - 1);
	close_between(high + 1, INT_MAX);
	if (chdir("/") < 0)
		errno = 0; /* so it stays; the program is none the worse for it */
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	self->children = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return self->children < 0 ? -errno : 0;
}

/* The program is looked at first, so that its record is its own; the rest are only buried.
 * Returns whether any child is left. */
static bool reap_all(struct container *self)
{
	brood_exit record = { .kind = BROOD_RUNNING };
	int r;

	if (self->end.what == 0) {
		r = bri_process_reap(&self->program, &record);
		if (r != -EAGAIN) {
			self->end = (struct bri_contain_message){ .what = BRI_CONTAIN_ENDED,
								  .kind = r < 0 ? BROOD_LOST :
										  record.kind,
								  .value = record.value,
								  .core = record.core };
			self->killing = true;
		}
	}
	/* The program must not be buried here: only once its record is taken. */
	while (self->end.what != 0) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

		if (pid < 0)
			return errno != ECHILD;
		if (pid == 0)
			return true;
	}
	return true;
}

/* Abandoned children that end while the program runs are buried too; WNOWAIT looks, so that the
 * program itself is left to reap_all(). */
static void bury_abandoned(const struct container *self)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
		    info.si_pid == 0 || info.si_pid == self->program.pid)
			return;
		waitpid(info.si_pid, NULL, __WALL);
	}
}

static void obey(struct container *self)
{
	struct bri_contain_message request;
	struct bri_tree_count count;

	if (bri_recv(self->control, &request, sizeof(request), 0) < 0) {
		bri_closep(&self->control); /* the host died, or gave the handle back */
		self->killing = true;
		return;
	}
	switch (request.what) {
	case BRI_CONTAIN_SIGNAL:
		if (self->end.what == 0)
			bri_process_signal(&self->program, request.signum);
		break;
	case BRI_CONTAIN_TERMINATE:
		if (bri_tree_signal(getpid(), SIGTERM, &count) < 0 && self->end.what == 0)
			bri_process_signal(&self->program, SIGTERM);
		break;
	case BRI_CONTAIN_KILL:
		self->killing = true;
		break;
	default:
		break;
	}
}

/* One round of SIGKILL. Returns whether another may reach what this one did not. Where /proc cannot
 * be looked at the program at least is killed; what it abandoned is out of reach if that lasts. */
static bool kill_tree(struct container *self)
{
	struct bri_tree_count count;

	if (bri_tree_signal(getpid(), SIGKILL, &count) == 0) {
		self->blind = 0;
		return self->end.what == 0 || count.signalled > 0 || count.refused == 0;
	}
	if (self->end.what == 0)
		bri_process_signal(&self->program, SIGKILL);
	return self->end.what == 0 || ++self->blind < BLIND_ROUNDS;
}

/* Runs until the tree is gone, or only those are left that may not be killed. */
static void keep(struct container *self)
{
	struct pollfd events[2] = { { .fd = self->children, .events = POLLIN },
				    { .fd = self->control, .events = POLLIN } };
	struct signalfd_siginfo drained;

	for (;;) {
		bury_abandoned(self);
		if (!reap_all(self) || (self->killing && !kill_tree(self)))
			return;
		events[1].fd = self->control;
		/* While killing, look again soon: what was forked meanwhile has been missed. */
		if (poll(events, 2, self->killing ? 10 : -1) < 0)
			continue;
		if (events[0].revents != 0)
			while (read(self->children, &drained, sizeof(drained)) > 0)
				continue;
		if (events[1].revents != 0)
			obey(self);
	}
}

int main(int argc, char **argv)
{
	struct container self = { .children = -1, .program = { .pidfd = -1 } };
	struct bri_contain_message started = { .what = BRI_CONTAIN_STARTED };
	struct bri_start_error error = { .step = BRI_STEP_NONE };
	struct program program;
	int r;

	if (argc < 9 || strcmp(argv[0], "brood-container") != 0) {
		dprintf(2,
			"brood-container: started by libbrood (brood_spawn with .contain), not by hand\n");
		return 2;
	}
	self.control = (int)strtol(argv[2], NULL, 10);
	program = (struct program){ .group = (enum bri_group)strtol(argv[3], NULL, 10),
				    .join_group = (pid_t)strtol(argv[4], NULL, 10),
				    .mask = strtoull(argv[5], NULL, 16),
				    .n_candidates = (int)strtol(argv[6], NULL, 10),
				    .words = argv + 7 };
	fcntl(self.control, F_SETFD, FD_CLOEXEC);
	if (strcmp(argv[1], BROOD_VERSION) != 0 || program.n_candidates < 1 ||
	    program.n_candidates > argc - 8) {
		error.error = EPROTO;
		return say_failed(&self, &error);
	}
	prctl(PR_SET_NAME, "brood-container");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
		error = (struct bri_start_error){ .step = BRI_STEP_CLONE, .error = errno };
		return say_failed(&self, &error);
	}
	if (start_program(&self, &program, &error) < 0)
		return say_failed(&self, &error);
	started.pid = self.program.pid;
	r = settle(&self);
	if (r < 0) {
		error = (struct bri_start_error){ .step = BRI_STEP_CLONE, .error = -r };
		self.killing = true;
		keep(&self);
		return say_failed(&self, &error);
	}
	if (say(&self, &started) < 0)
		self.killing = true;
	keep(&self);
	say(&self, &self.end);
	return 0;
}
