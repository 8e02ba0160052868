/* From options to a plan (os/start.h), and the handle of what was started.
 *
 * The handle's lock guards `ended` and the moment of reaping: as long as the process is not
 * reaped its pid and its group cannot be recycled, so kill(-pid) under the lock never hits a
 * stranger. Waiting itself happens outside of the lock, on the pidfd. A child without a group of
 * its own is only ever signalled by its pidfd, so that one thread may wait and reap in one call
 * outside of the lock (`reaping`); whoever meets -ECHILD meanwhile waits for that thread's record. */
#include "child/spawn.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/spawn_env.h"
#include "child/spawn_user.h"
#include "os/clock.h"
#include "os/contain.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/self.h"
#include "os/socket.h"
#include "os/start.h"

struct brood_child {
	pthread_mutex_t lock;
	pthread_cond_t reaped;      /* `reaping` went from true to false */
	struct bri_process process; /* our direct child: the program, or its container helper */
	pid_t pid;                  /* the program */
	uint64_t generation;        /* of the process that made the handle */
	int control;                /* to the container helper; -1: not contained */
	int told;                   /* from who reaps it; -1: that is us */
	_Atomic(bool) untold;       /* … who has gone without a word */
	int streams[3];
	bool own_group;
	bool reaping; /* a thread is in reap_in_kernel() */
	bool ended;   /* reaped; `record` is final */
	brood_exit record;
};

/* What a start needs, until it has happened. */
struct plan {
	const brood_spawn_opts *opts;
	const char *const *argv;
	const char *program;
	struct bri_start start;
	struct bri_start_error error;
	const char *const *candidates; /* owned */
	const char **words;            /* owned; .shell only */
	const char **env;              /* owned; .env_edits only */
	struct bri_move *moves;        /* owned */
	struct bri_limit *limits;      /* owned */
	gid_t *groups;                 /* owned; of .user */
	uid_t uid;                     /* of .user */
	gid_t gid;                     /* of .user or .user_group */
	const char **helper_argv;      /* owned; contained only */
	int opened[6];                 /* descriptors to close after the start, -1: none */
	size_t n_opened;
	int streams[3];  /* the parent's ends */
	int control;     /* the parent's end */
	bool has_stdout; /* the caller has a descriptor 1 */
	/* Contained only: what start.candidates and helper_argv point to. */
	const char *helper_candidates[2];
	char *helper; /* owned */
	char numbers[5][24];
};

extern char **environ;

static void plan_fini(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_opened; i++)
		bri_closep(&plan->opened[i]);
	for (int i = 0; i < 3; i++)
		bri_closep(&plan->streams[i]);
	bri_closep(&plan->control);
	free((void *)plan->candidates);
	free(plan->words);
	free(plan->env);
	free(plan->moves);
	free(plan->limits);
	free(plan->groups);
	free(plan->helper_argv);
	free(plan->helper);
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

/* .shell: the first word is a command line, the others are the $0, $1, … of that. */
static int plan_shell(struct plan *plan)
{
	size_t n = count(plan->argv);

	plan->words = calloc(n + 3, sizeof(*plan->words));
	if (plan->words == NULL)
		return bri_fail(plan->opts->fail, "memory", ENOMEM, NULL);
	plan->words[0] = plan->program;
	plan->words[1] = "-c";
	memcpy(plan->words + 2, plan->argv, n * sizeof(*plan->words));
	plan->argv = plan->words;
	return 0;
}

static int plan_env(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	int r;

	plan->start.envp = opts->env != NULL ? opts->env : (const char *const *)environ;
	for (size_t i = 0; opts->env != NULL && opts->env[i] != NULL; i++)
		if (*opts->env[i] == '=' || strchr(opts->env[i], '=') == NULL)
			return bri_fail(opts->fail, "env", EINVAL, "entry %zu is not NAME=value",
					i);
	if (opts->env_edits == NULL)
		return 0;
	for (size_t i = 0; opts->env_edits[i] != NULL; i++)
		if (*opts->env_edits[i] == '=' || *opts->env_edits[i] == '\0')
			return bri_fail(opts->fail, "env", EINVAL, "edit %zu has no name", i);
	r = bri_env_edit(plan->start.envp, opts->env_edits, &plan->env);
	if (r < 0)
		return bri_fail(opts->fail, "memory", r, NULL);
	plan->start.envp = plan->env;
	return 0;
}

static int plan_words(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	const char *path = NULL;
	int r;

	if (plan->argv == NULL || plan->argv[0] == NULL)
		return bri_fail(opts->fail, "argv", EINVAL,
				opts->shell ? "no command line given" : "no program given");
	plan->program = opts->executable != NULL ? opts->executable :
			opts->shell              ? "/bin/sh" :
						   plan->argv[0];
	if (*plan->program == '\0')
		return bri_fail(opts->fail, "argv", EINVAL, "the program's name is empty");
	r = plan_env(plan);
	if (r == 0 && opts->shell)
		r = plan_shell(plan);
	if (r < 0)
		return r;
	if (strchr(plan->program, '/') == NULL)
		path = bri_env_find(plan->start.envp, "PATH");
	r = bri_candidates(plan->program, path, &plan->candidates);
	if (r < 0)
		return bri_fail(opts->fail, "argv", r, "%s", plan->program);
	plan->start.argv = plan->argv;
	plan->start.candidates = plan->candidates;
	return 0;
}

static void plan_move(struct plan *plan, int from, int to)
{
	plan->moves[plan->start.n_moves++] = (struct bri_move){ .from = from, .to = to };
}

/* Something that plan_fini() closes in the parent. */
static int plan_opened(struct plan *plan, int fd)
{
	plan->opened[plan->n_opened++] = fd;
	return fd;
}

static int set_pipe_size(const struct plan *plan, int fd, int which)
{
	size_t size = plan->opts->pipe_size;
	int r = size > INT_MAX ? -EINVAL : fcntl(fd, F_SETPIPE_SZ, (int)size) < 0 ? -errno : 0;

	return r < 0 ? bri_fail(plan->opts->fail, "pipe", r, "descriptor %d: size %zu", which,
				size) :
		       0;
}

static int plan_pipe(struct plan *plan, int which)
{
	int ours, theirs, r;

	r = which == 0 ? bri_pipe(&theirs, &ours) : bri_pipe(&ours, &theirs);
	if (r < 0)
		return bri_fail(plan->opts->fail, "pipe", r, "descriptor %d", which);
	plan->streams[which] = ours;
	plan_move(plan, plan_opened(plan, theirs), which);
	return plan->opts->pipe_size != 0 ? set_pipe_size(plan, ours, which) : 0;
}

static int plan_file(struct plan *plan, int which, const char *path, int flags, mode_t mode)
{
	int fd;

	if (path == NULL)
		return bri_fail(plan->opts->fail, "stdio", EINVAL, "descriptor %d: no path", which);
	if (flags == 0 && which != 0)
		flags = O_WRONLY | O_CREAT | O_TRUNC;
	fd = bri_open(path, flags, mode != 0 ? mode : 0666);
	if (fd < 0)
		return bri_fail(plan->opts->fail, "open", fd, "%s", path);
	plan_move(plan, plan_opened(plan, fd), which);
	return 0;
}

static int plan_stdio(struct plan *plan, int which, const brood_stdio *stdio)
{
	switch (stdio->kind) {
	case BROOD_STDIO_INHERIT:
		return 0;
	case BROOD_STDIO_NULL:
		return plan_file(plan, which, "/dev/null", O_RDWR, 0);
	case BROOD_STDIO_FD:
		plan_move(plan, stdio->fd, which);
		return 0;
	case BROOD_STDIO_FILE:
		return plan_file(plan, which, stdio->path, stdio->flags, stdio->mode);
	case BROOD_STDIO_PIPE:
		return plan_pipe(plan, which);
	case BROOD_STDIO_STDOUT:
		if (which != 2)
			break;
		/* What .out made is the last move so far, if it made one. */
		if (plan->opts->out.kind == BROOD_STDIO_INHERIT)
			plan_move(plan, plan->has_stdout ? 1 : -1, 2);
		else
			plan_move(plan, plan->moves[plan->start.n_moves - 1].from, 2);
		return 0;
	case BROOD_STDIO_CLOSED:
		plan_move(plan, -1, which);
		return 0;
	}
	return bri_fail(plan->opts->fail, "stdio", EINVAL, "descriptor %d: no such kind %d", which,
			(int)stdio->kind);
}

/* Looks at the caller's descriptors before the start opens any of its own: those take the lowest
 * free numbers, and one of them must not be taken for a closed one that the caller named. */
static int check_given(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	const brood_stdio *stdio[3] = { &opts->in, &opts->out, &opts->err };

	for (int i = 0; i < 3; i++)
		if (stdio[i]->kind == BROOD_STDIO_FD && fcntl(stdio[i]->fd, F_GETFD) < 0)
			return bri_fail(opts->fail, "stdio", EBADF, "descriptor %d: %d is not open",
					i, stdio[i]->fd);
	for (size_t i = 0; i < opts->n_pass; i++) {
		int fd = opts->pass[i].fd, as = opts->pass[i].as != 0 ? opts->pass[i].as : fd;

		if (as < 3)
			return bri_fail(opts->fail, "pass", EINVAL,
					"descriptor %d as %d: 0 to 2 are .in, "
					".out and .err",
					fd, as);
		if (fcntl(fd, F_GETFD) < 0)
			return bri_fail(opts->fail, "pass", EBADF, "descriptor %d is not open", fd);
	}
	plan->has_stdout = opts->err.kind == BROOD_STDIO_STDOUT && fcntl(1, F_GETFD) >= 0;
	return 0;
}

static int by_target(const void *a, const void *b)
{
	const struct bri_move *x = a, *y = b;

	return (x->to > y->to) - (x->to < y->to);
}

static int plan_descriptors(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	const brood_stdio *stdio[3] = { &opts->in, &opts->out, &opts->err };
	int r;

	r = check_given(plan);
	if (r < 0)
		return r;
	plan->moves = calloc(opts->n_pass + 4, sizeof(*plan->moves));
	if (plan->moves == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	plan->start.moves = plan->moves;
	for (int i = 0; i < 3; i++) {
		r = plan_stdio(plan, i, stdio[i]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < opts->n_pass; i++)
		plan_move(plan, opts->pass[i].fd,
			  opts->pass[i].as != 0 ? opts->pass[i].as : opts->pass[i].fd);
	qsort(plan->moves, plan->start.n_moves, sizeof(*plan->moves), by_target);
	for (size_t i = 1; i < plan->start.n_moves; i++)
		if (plan->moves[i].to == plan->moves[i - 1].to)
			return bri_fail(opts->fail, "pass", EINVAL, "descriptor %d is given twice",
					plan->moves[i].to);
	return 0;
}

static int plan_limits(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;

	if (opts->n_rlimits == 0)
		return 0;
	plan->limits = calloc(opts->n_rlimits, sizeof(*plan->limits));
	if (plan->limits == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	for (size_t i = 0; i < opts->n_rlimits; i++) {
		if (opts->rlimits[i].soft > opts->rlimits[i].hard)
			return bri_fail(opts->fail, "rlimit", EINVAL,
					"limit %d: soft is above hard", opts->rlimits[i].resource);
		plan->limits[i] = (struct bri_limit){ .resource = opts->rlimits[i].resource,
						      .soft = opts->rlimits[i].soft,
						      .hard = opts->rlimits[i].hard };
	}
	plan->start.limits = plan->limits;
	plan->start.n_limits = opts->n_rlimits;
	return 0;
}

/* Names become numbers here, in the host: the database may be anything, and may take its locks. What
 * is given by number stands. */
static int plan_names(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	struct bri_start *start = &plan->start;
	int r;

	if (opts->user != NULL) {
		r = bri_user_find(opts->user, &plan->uid, &plan->gid);
		if (r < 0)
			return bri_fail(opts->fail, "user", r, "%s", opts->user);
		start->uid = opts->uid != NULL ? opts->uid : &plan->uid;
		start->gid = opts->gid != NULL ? opts->gid : &plan->gid;
	}
	if (opts->user_group != NULL) {
		r = bri_group_find(opts->user_group, &plan->gid);
		if (r < 0)
			return bri_fail(opts->fail, "group", r, "%s", opts->user_group);
		start->gid = opts->gid != NULL ? opts->gid : &plan->gid;
	}
	if (opts->user == NULL || opts->groups != NULL)
		return 0;
	r = bri_user_groups(opts->user, *start->gid, &plan->groups, &start->n_groups);
	if (r < 0)
		return bri_fail(opts->fail, "user", r, "%s", opts->user);
	start->groups = plan->groups;
	return 0;
}

static int plan_ids(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	struct bri_start *start = &plan->start;
	int r;

	/* To the kernel it means "leave it as it is", which nobody means who gives it here. */
	if (opts->uid != NULL && *opts->uid == (uid_t)-1)
		return bri_fail(opts->fail, "uid", EINVAL, "-1 is no user");
	if (opts->gid != NULL && *opts->gid == (gid_t)-1)
		return bri_fail(opts->fail, "gid", EINVAL, "-1 is no group");
	start->uid = opts->uid;
	start->gid = opts->gid;
	start->groups = opts->groups;
	start->n_groups = opts->groups != NULL ? opts->n_groups : 0;
	r = plan_names(plan);
	if (r < 0)
		return r;
	/* A program that changes its user and keeps root's groups keeps root's rights. Who may not
	 * set groups has none to lose by it; but another user's name stands for its groups, too. */
	start->set_groups = opts->groups != NULL ||
			    ((start->uid != NULL || start->gid != NULL) && geteuid() == 0) ||
			    (opts->user != NULL && start->uid != NULL && *start->uid != geteuid());
	return 0;
}

static int plan_group(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	struct bri_start *start = &plan->start;

	switch (opts->group) {
	case BROOD_GROUP_INHERIT:
		start->group = BRI_GROUP_INHERIT;
		return 0;
	case BROOD_GROUP_NEW:
		start->group = BRI_GROUP_NEW;
		return 0;
	case BROOD_GROUP_SESSION:
		start->group = BRI_GROUP_SESSION;
		return 0;
	case BROOD_GROUP_JOIN:
		start->group = BRI_GROUP_JOIN;
		start->join_group = opts->join_group;
		if (opts->join_group > 0)
			return 0;
		return bri_fail(opts->fail, "setpgid", EINVAL, "%d is no group", opts->join_group);
	}
	return bri_fail(opts->fail, "setpgid", EINVAL, "no such kind of group: %d",
			(int)opts->group);
}

static int plan_rest(struct plan *plan)
{
	const brood_spawn_opts *opts = plan->opts;
	struct bri_start *start = &plan->start;

	start->cwd = opts->cwd;
	start->keep_open = opts->keep_fds;
	start->inherit_signals = opts->signals == BROOD_SIGNALS_INHERIT;
	start->nice = opts->nice;
	start->umask = opts->umask;
	start->setup = opts->setup;
	start->setup_data = opts->setup_data;
	/* The program is the helper's child, and the callback no part of the helper. */
	if (opts->setup != NULL && opts->contain)
		return bri_fail(opts->fail, "setup", ENOTSUP, "not with .contain");
	return plan_group(plan);
}

/* The folder of the file that holds this very function: libbrood.so, or a static program. The
 * loader may know it by a relative name; the child would look for that in its own directory. */
static int own_folder(char folder[PATH_MAX])
{
	Dl_info info;

	if (dladdr((void *)(uintptr_t)own_folder, &info) == 0 || info.dli_fname == NULL ||
	    strlen(info.dli_fname) >= PATH_MAX)
		return -ENOENT;
	if (info.dli_fname[0] == '/')
		memcpy(folder, info.dli_fname, strlen(info.dli_fname) + 1);
	else if (realpath(info.dli_fname, folder) == NULL)
		return -errno;
	*strrchr(folder, '/') = '\0';
	return 0;
}

int bri_find_helper(const char *name, char *path, size_t size)
{
	static const char *const beside[] = { "../helpers", "../libexec/brood",
					      "../../libexec/brood" };
	char folder[PATH_MAX];

	if (own_folder(folder) == 0)
		for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
			if (snprintf(path, size, "%s/%s/%s", folder, beside[i], name) < (int)size &&
			    access(path, X_OK) == 0)
				return 0;
	if (snprintf(path, size, "%s/%s", BROOD_LIBEXEC_DIR, name) >= (int)size)
		return -ENAMETOOLONG;
	return access(path, X_OK) == 0 ? 0 : -errno;
}

static bool is_target(const struct plan *plan, int fd)
{
	for (size_t i = 0; i < plan->start.n_moves; i++)
		if (plan->moves[i].to == fd)
			return true;
	return false;
}

/* The socket to the helper. Returns the number that its end has there, or -errno. */
static int plan_control(struct plan *plan)
{
	int theirs, number = 3, r;

	r = bri_socketpair(&plan->control, &theirs);
	if (r < 0)
		return r;
	while (!plan->opts->keep_fds && is_target(plan, number))
		number++;
	/* With .keep_fds any number may be one that the program is to inherit, but one that is ours. */
	while (plan->opts->keep_fds && (theirs < 3 || is_target(plan, theirs))) {
		r = fcntl(theirs, F_DUPFD_CLOEXEC, theirs < 3 ? 3 : theirs + 1);
		r = r < 0 ? -errno : r;
		bri_closep(&theirs);
		if (r < 0)
			return r;
		theirs = r;
	}
	if (plan->opts->keep_fds)
		number = theirs;
	plan_move(plan, plan_opened(plan, theirs), number);
	qsort(plan->moves, plan->start.n_moves, sizeof(*plan->moves), by_target);
	return number;
}

/* The group of the helper is its own from the first instruction on; that of the program, when it
 * inherits, is joined by number. Where the host's group has none here (its leader is outside of our
 * pid namespace), the helper inherits it, too, and leaves it when the program has it. */
static void plan_contained_group(struct plan *plan)
{
	struct bri_start *start = &plan->start;

	if (start->group == BRI_GROUP_INHERIT) {
		start->join_group = getpgrp();
		if (start->join_group > 0)
			start->group = BRI_GROUP_JOIN;
	}
	snprintf(plan->numbers[1], sizeof(plan->numbers[1]), "%d", (int)start->group);
	snprintf(plan->numbers[2], sizeof(plan->numbers[2]), "%d", start->join_group);
	if (start->group != BRI_GROUP_INHERIT)
		start->group = BRI_GROUP_NEW;
}

/* Rewrites the plan so that the helper is started, and it the program (os/contain.h). What is
 * inherited (limits, ids, directory, descriptors) is set on the way to the helper; the group and the
 * mask are the program's alone. */
static int plan_contain(struct plan *plan)
{
	static const uint64_t all = ~UINT64_C(0);
	size_t n = count(plan->candidates), at = 0;
	uint64_t mask = 0;
	int control, r;

	plan->helper = malloc(PATH_MAX);
	if (plan->helper == NULL)
		return bri_fail(plan->opts->fail, "memory", ENOMEM, NULL);
	r = bri_find_helper("brood-container", plan->helper, PATH_MAX);
	if (r < 0)
		return bri_fail(plan->opts->fail, "container", r, "%s", plan->helper);
	control = plan_control(plan);
	if (control < 0)
		return bri_fail(plan->opts->fail, "container", control, "socketpair");
	r = plan->start.inherit_signals ? bri_signal_mask(&mask) : 0;
	if (r < 0)
		return bri_fail(plan->opts->fail, "signals", r, NULL);
	plan->start.mask = &all;
	plan->helper_argv = calloc(n + count(plan->argv) + 8, sizeof(char *));
	if (plan->helper_argv == NULL)
		return bri_fail(plan->opts->fail, "memory", ENOMEM, NULL);
	snprintf(plan->numbers[0], sizeof(plan->numbers[0]), "%d", control);
	plan_contained_group(plan);
	snprintf(plan->numbers[3], sizeof(plan->numbers[3]), "%" PRIx64, mask);
	snprintf(plan->numbers[4], sizeof(plan->numbers[4]), "%zu", n);
	plan->helper_argv[at++] = "brood-container";
	plan->helper_argv[at++] = BROOD_VERSION;
	for (int i = 0; i < 5; i++)
		plan->helper_argv[at++] = plan->numbers[i];
	for (size_t i = 0; i < n; i++)
		plan->helper_argv[at++] = plan->candidates[i];
	for (size_t i = 0; plan->argv[i] != NULL; i++)
		plan->helper_argv[at++] = plan->argv[i];
	plan->helper_candidates[0] = plan->helper;
	plan->helper_candidates[1] = NULL;
	plan->start.argv = plan->helper_argv;
	plan->start.candidates = plan->helper_candidates;
	return 0;
}

/* A file that is there and yet cannot be found by exec: its interpreter is missing. */
static bool lacks_interpreter(const struct plan *plan, const char *path)
{
	char full[PATH_MAX];

	if (path[0] == '/' || plan->opts->cwd == NULL)
		return access(path, F_OK) == 0;
	return snprintf(full, sizeof(full), "%s/%s", plan->opts->cwd, path) < (int)sizeof(full) &&
	       access(full, F_OK) == 0;
}

static int exec_failed(const struct plan *plan, const struct bri_start_error *error)
{
	const char *path = plan->candidates[error->index];

	if (error->error != ENOENT)
		return bri_fail(plan->opts->fail, "exec", error->error, "%s", path);
	for (size_t i = 0; plan->candidates[i] != NULL; i++)
		if (lacks_interpreter(plan, plan->candidates[i]))
			return bri_fail(plan->opts->fail, "interpreter", ENOENT,
					"%s: the interpreter that it names is missing",
					plan->candidates[i]);
	return bri_fail(plan->opts->fail, "exec", ENOENT, "%s", plan->program);
}

/* Words for a step that failed in the child. */
static int start_failed(const struct plan *plan, const struct bri_start_error *error)
{
	brood_fail *fail = plan->opts->fail;
	const char *step = bri_step_name(error->step);

	switch (error->step) {
	case BRI_STEP_EXEC:
		return exec_failed(plan, error);
	case BRI_STEP_CHDIR:
		return bri_fail(fail, step, error->error, "%s", plan->opts->cwd);
	case BRI_STEP_STDIO:
		return bri_fail(fail, step, error->error, "descriptor %d",
				plan->moves[error->index].to);
	case BRI_STEP_RLIMIT:
		return bri_fail(fail, step, error->error, "limit %d",
				plan->limits[error->index].resource);
	case BRI_STEP_SETPGID:
		return plan->opts->group == BROOD_GROUP_JOIN ?
			       bri_fail(fail, step, error->error, "group %d",
					plan->opts->join_group) :
			       bri_fail(fail, step, error->error, NULL);
	case BRI_STEP_SETUID:
		return bri_fail(fail, step, error->error, "uid %u", (unsigned)*plan->start.uid);
	case BRI_STEP_SETGID:
		return bri_fail(fail, step, error->error, "gid %u", (unsigned)*plan->start.gid);
	default:
		return bri_fail(fail, step, error->error, NULL);
	}
}

static int start_plain(struct plan *plan, brood_child *child)
{
	if (bri_start(&plan->start, &child->process, &plan->error) < 0)
		return start_failed(plan, &plan->error);
	child->pid = child->process.pid;
	return 0;
}

static int start_contained(struct plan *plan, brood_child *child)
{
	struct bri_contain_message message;
	int r;

	r = plan_contain(plan);
	if (r < 0)
		return r;
	if (bri_start(&plan->start, &child->process, &plan->error) < 0) {
		/* The helper carries the program's words: if they are too many, that is theirs. */
		if (plan->error.step == BRI_STEP_EXEC && plan->error.error == E2BIG)
			return bri_fail(plan->opts->fail, "exec", E2BIG, "%s", plan->program);
		if (plan->error.step == BRI_STEP_EXEC)
			return bri_fail(plan->opts->fail, "container", plan->error.error, "%s",
					plan->helper);
		return start_failed(plan, &plan->error);
	}
	/* Our copy of the helper's end must be gone, or its death would not end the wait. */
	bri_closep(&plan->opened[plan->n_opened - 1]);
	r = bri_recv(plan->control, &message, sizeof(message), 0);
	if (r == 0 && message.what == BRI_CONTAIN_STARTED) {
		child->pid = message.pid;
		child->control = bri_take_fd(&plan->control);
		return 0;
	}
	bri_closep(&plan->control);
	bri_process_bury(&child->process);
	if (r < 0 || message.what != BRI_CONTAIN_FAILED)
		return bri_fail(plan->opts->fail, "container", r == 0 || r == -EPIPE ? EPROTO : r,
				"%s: no answer", plan->helper);
	if (message.step == BRI_STEP_NONE)
		return bri_fail(plan->opts->fail, "container", message.error,
				"%s: not of version %s", plan->helper, BROOD_VERSION);
	plan->error = (struct bri_start_error){ .step = (enum bri_step)message.step,
						.error = message.error,
						.index = message.index };
	return start_failed(plan, &plan->error);
}

brood_child *bri_child_new(void)
{
	brood_child *child = malloc(sizeof(*child));

	if (child != NULL)
		*child = (brood_child){
			.lock = PTHREAD_MUTEX_INITIALIZER,
			.reaped = PTHREAD_COND_INITIALIZER,
			.process = { .pidfd = -1 },
			.generation = bri_self_generation(),
			.control = -1,
			.told = -1,
			.streams = { -1, -1, -1 },
			.record = { .started_ns = brood_now() },
		};
	return child;
}

void bri_child_adopt(brood_child *child, const struct bri_process *process)
{
	child->process = *process;
	child->pid = process->pid;
}

void bri_child_adopt_far(brood_child *child, const struct bri_process *process, int told)
{
	bri_child_adopt(child, process);
	child->told = told;
}

int brood_spawn(const char *const argv[], const brood_spawn_opts *opts, brood_child **ret_child)
{
	static const brood_spawn_opts defaults;
	bri_cleanup(plan_fini) struct plan plan = {
		.opts = opts != NULL ? opts : &defaults,
		.argv = argv,
		.streams = { -1, -1, -1 },
		.control = -1,
	};
	brood_child *child;
	int r;

	r = plan_words(&plan);
	if (r == 0)
		r = plan_descriptors(&plan);
	if (r == 0)
		r = plan_limits(&plan);
	if (r == 0)
		r = plan_ids(&plan);
	if (r == 0)
		r = plan_rest(&plan);
	if (r < 0)
		return r; /* plan_fini() clears up */
	child = bri_child_new();
	if (child == NULL)
		return bri_fail(plan.opts->fail, "memory", ENOMEM, NULL);
	child->own_group =
		plan.start.group == BRI_GROUP_NEW || plan.start.group == BRI_GROUP_SESSION;
	r = plan.opts->contain ? start_contained(&plan, child) : start_plain(&plan, child);
	if (r < 0) {
		brood_child_free(child);
		return r;
	}
	for (int i = 0; i < 3; i++)
		child->streams[i] = bri_take_fd(&plan.streams[i]);
	*ret_child = child;
	return 0;
}

pid_t brood_child_pid(const brood_child *child)
{
	return child->pid;
}

int brood_child_pidfd(const brood_child *child)
{
	return child->process.pidfd;
}

int brood_child_stream(const brood_child *child, int which)
{
	return which < 0 || which > 2 || child->streams[which] < 0 ? -EBADF : child->streams[which];
}

int brood_child_take_stream(brood_child *child, int which)
{
	int fd = brood_child_stream(child, which);

	if (fd >= 0)
		child->streams[which] = -1;
	return fd;
}

static int check_owner(const brood_child *child)
{
	return child->generation == bri_self_generation() ? 0 : -ECHILD;
}

/* What the helper said last, before it ended; a helper that was killed says nothing. */
static void read_contained_end(brood_child *child)
{
	struct bri_contain_message message;
	int r;

	child->record.kind = BROOD_LOST;
	child->record.value = 0;
	child->record.core = false;
	do {
		r = bri_recv(child->control, &message, sizeof(message), MSG_DONTWAIT);
		if (r == 0 && message.what == BRI_CONTAIN_ENDED) {
			child->record.kind = (brood_exit_kind)message.kind;
			child->record.value = message.value;
			child->record.core = message.core;
		}
	} while (r == 0);
}

#define TELLING BROOD_SEC /* that who reaps a child has for saying how it ended */

/* The record of a child that is another's, once it has ended. Returns 0 or -EAGAIN. */
static int read_told(brood_child *child)
{
	brood_exit record;
	int r = bri_recv(child->told, &record, sizeof(record), MSG_DONTWAIT);

	if (r != 0 && bri_wait_readable(child->process.pidfd, 0) < 0) {
		atomic_store(&child->untold, r != -EAGAIN);
		return -EAGAIN;
	}
	if (r == -EAGAIN) {
		if (bri_wait_readable(child->told, bri_deadline(TELLING)) < 0)
			return -EAGAIN;
		r = bri_recv(child->told, &record, sizeof(record), MSG_DONTWAIT);
	}
	if (r == 0) {
		record.started_ns = child->record.started_ns;
		child->record = record;
	} else {
		child->record.kind = BROOD_LOST;
	}
	child->record.ended_ns = brood_now();
	child->ended = true;
	return 0;
}

/* Reaps what has ended; with the lock held. Returns 0 or -EAGAIN. */
static int reap(brood_child *child)
{
	int r;

	if (child->ended)
		return 0;
	if (child->told >= 0)
		return read_told(child);
	r = bri_process_reap(&child->process, &child->record);
	if (r == -EAGAIN)
		return r;
	while (r < 0 && child->reaping) /* it has it, and is about to say so */
		pthread_cond_wait(&child->reaped, &child->lock);
	if (child->ended)
		return 0;
	if (r < 0) {
		/* ignored SIGCHLD, or another's waitpid(-1): ended only when the pidfd says so */
		if (bri_wait_readable(child->process.pidfd, 0) < 0)
			return -EAGAIN;
		child->record.kind = BROOD_LOST;
	}
	if (child->control >= 0)
		read_contained_end(child);
	child->record.ended_ns = brood_now();
	child->ended = true;
	return 0;
}

/* Waits and reaps in one call, unless somebody else is at it; then, and when the status was taken
 * by another, false: the pidfd tells. */
static bool reap_in_kernel(brood_child *child)
{
	brood_exit record;
	int r;

	pthread_mutex_lock(&child->lock);
	if (child->ended || child->reaping) {
		pthread_mutex_unlock(&child->lock);
		return false;
	}
	child->reaping = true;
	record = child->record;
	pthread_mutex_unlock(&child->lock);
	r = bri_process_wait(&child->process, &record);
	record.ended_ns = brood_now();
	pthread_mutex_lock(&child->lock);
	if (r == 0) {
		child->record = record;
		child->ended = true;
	}
	child->reaping = false;
	pthread_cond_broadcast(&child->reaped);
	pthread_mutex_unlock(&child->lock);
	return r == 0;
}

/* What becomes readable with its end. Of another's child that is its word: it comes when the pidfd has told, and would be waited for then. */
static int end_of(const brood_child *child)
{
	return child->told >= 0 && !atomic_load(&child->untold) ? child->told :
								  child->process.pidfd;
}

int brood_child_wait(brood_child *child, int64_t timeout_ns, brood_exit *ret_exit)
{
	int64_t deadline;
	int r = check_owner(child);

	if (r < 0)
		return r;
	deadline = bri_deadline(timeout_ns);
	if (deadline == BROOD_FOREVER && !child->own_group && child->control < 0 &&
	    child->told < 0 && reap_in_kernel(child))
		deadline = 0;
	for (;;) {
		/* "Just look" goes straight to the kernel's answer. */
		if (deadline != 0 && (r = bri_wait_readable(end_of(child), deadline)) < 0)
			return r;
		pthread_mutex_lock(&child->lock);
		r = reap(child);
		if (r == 0 && ret_exit != NULL)
			*ret_exit = child->record;
		pthread_mutex_unlock(&child->lock);
		if (r == 0 || deadline == 0)
			return r == 0 ? 0 : -ETIMEDOUT;
	}
}

static int ask_helper(const brood_child *child, enum bri_contain_what what, int signum)
{
	const struct bri_contain_message message = { .what = what, .signum = signum };
	int r = bri_send(child->control, &message, sizeof(message));

	return r == -EPIPE ? 0 : r;
}

int brood_child_signal(brood_child *child, int signum)
{
	int r = check_owner(child);

	if (r < 0)
		return r;
	if (signum < 0 || signum > SIGRTMAX)
		return -EINVAL;
	pthread_mutex_lock(&child->lock);
	if (child->ended)
		r = 0;
	else if (child->control >= 0)
		r = ask_helper(child, BRI_CONTAIN_SIGNAL, signum);
	else
		r = bri_process_signal(&child->process, signum);
	pthread_mutex_unlock(&child->lock);
	return r == -ESRCH ? 0 : r;
}

/* To the group, and to the program if it left that for another: first the one, then
 * the look, so that it is not missed on its way out. Nobody else can have its number meanwhile, nor
 * a group of it: it is not reaped. */
static int signal_group(const brood_child *child, int signum)
{
	int group = kill(-child->pid, signum) < 0 ? -errno : 0, program = 0;

	if (group < 0 || getpgid(child->pid) != child->pid)
		program = bri_process_signal(&child->process, signum);
	return group == 0 || group == -ESRCH ? program : group;
}

/* To the tree, the group, or the program, whichever there is. */
static int signal_all(brood_child *child, int signum)
{
	int r = check_owner(child);

	if (r < 0)
		return r;
	pthread_mutex_lock(&child->lock);
	if (child->ended)
		r = 0;
	else if (child->control >= 0)
		r = ask_helper(child, signum == SIGKILL ? BRI_CONTAIN_KILL : BRI_CONTAIN_TERMINATE,
			       0);
	else if (!child->own_group)
		r = bri_process_signal(&child->process, signum);
	else if (bri_process_peek(&child->process) != -ECHILD)
		r = signal_group(child, signum);
	/* -ECHILD: its status was taken, so its number may be another's */
	pthread_mutex_unlock(&child->lock);
	return r == -ESRCH ? 0 : r;
}

int brood_child_terminate(brood_child *child)
{
	return signal_all(child, SIGTERM);
}

int brood_child_kill(brood_child *child)
{
	return signal_all(child, SIGKILL);
}

int brood_child_stop(brood_child *child, int64_t grace_ns, brood_exit *ret_exit)
{
	int r;

	if (grace_ns > 0) {
		r = brood_child_terminate(child);
		if (r < 0)
			return r;
		/* Its end is seen but not reaped, so that its group can still be killed. */
		r = bri_wait_readable(child->process.pidfd, bri_deadline(grace_ns));
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
	r = brood_child_kill(child);
	if (r < 0)
		return r;
	return brood_child_wait(child, BROOD_FOREVER, ret_exit);
}

brood_child *brood_child_free(brood_child *child)
{
	if (child == NULL)
		return NULL;
	/* Closing is not enough to end what is contained: a forked child may hold a copy of the socket. It must
	 * not end it either when it frees its copy of the handle. */
	if (child->control >= 0 && check_owner(child) == 0)
		shutdown(child->control, SHUT_RDWR);
	for (int i = 0; i < 3; i++)
		bri_closep(&child->streams[i]);
	bri_closep(&child->control);
	bri_closep(&child->told);
	bri_closep(&child->process.pidfd);
	pthread_cond_destroy(&child->reaped);
	pthread_mutex_destroy(&child->lock);
	free(child);
	return NULL;
}
