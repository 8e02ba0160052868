/* The start by fork, and the handle.
 *
 * What can fail is done before the fork, with words for it; or, for limits and their like, which only the child can
 * set, by the child before anything else, while the parent waits for its word. So a start has happened wholly
 * when it returns 0, or not at all.
 *
 * The family's lock is held from before the fork until the child is among the children: nobody sees one that is half
 * there. The child has a family of its own, made beforehand, whose lock nobody has. */
#include <brood/process.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/result.h"
#include "child/spawn.h"
#include "os/authkey.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/self.h"
#include "os/socket.h"
#include "proc/args.h"
#include "proc/family.h"
#include "proc/image.h"
#include "proc/log.h"
#include "proc/method.h"
#include "proc/order.h"
#include "proc/server.h"
#include "proc/settings.h"

/* What a child says of a setting that was refused. The step is a constant of the program, and the child the same program. */
struct refusal {
	const char *step;
	int error;
};

struct far {
	struct bri_function function;
	struct bri_image image;
	struct bri_order order;
	int record, channel, folder, log;
};

struct plan {
	const brood_process_opts *opts;
	brood_process_target *target; /* or */
	int (*run)(void *self, const brood_args *args);
	void *self;
	const brood_object *args;
	brood_args *here;                    /* owned; as a fork finds them */
	const struct bri_identity *identity; /* of the parent */
	struct bri_family *family, *theirs;
	brood_process *process;
	char own_name[BROOD_PROCESS_NAME_MOST + 1]; /* the parent's */
	struct bri_settings settings;
	cpu_set_t *cpus; /* owned */
	brood_start_method method;
	uint32_t ordinal;
	struct far *far;               /* owned; of a child that shares no memory */
	int lifeline, null, said, say; /* said, say: the pipe for a refusal */
	int group;                     /* what signals its group, if that is its own */
	bool tied, purge[2];           /* purge: stdout, stderr is in another thread's hands */
	sigset_t mask;
};

/* A fork has it mapped as well, and its parent may still want it. */
static void free_record(brood_process *process)
{
	struct bri_record *record = bri_take(process->record);

	if (record == NULL)
		return;
	if (!process->far && process->generation == bri_self_generation())
		bri_record_give(bri_family(), record);
	else
		munmap(record, sizeof(*record));
}

static void free_process(brood_process *process)
{
	if (process == NULL)
		return;
	brood_child_free(process->child);
	free_record(process);
	bri_closep(&process->pidfd);
	pthread_mutex_destroy(&process->lock);
	free(process);
}

static void free_far(struct far *far)
{
	if (far == NULL)
		return;
	bri_order_fini(&far->order);
	bri_closep(&far->record);
	bri_closep(&far->channel);
	bri_closep(&far->folder);
	bri_closep(&far->log);
	free(far);
}

static void plan_fini(struct plan *plan)
{
	free_far(plan->far);
	bri_closep(&plan->lifeline);
	bri_closep(&plan->null);
	bri_closep(&plan->said);
	bri_closep(&plan->say);
	bri_closep(&plan->group);
	free(plan->cpus);
	free_process(plan->process);
	bri_family_free(plan->theirs);
	bri_args_free(plan->here);
}

/* ---- before the fork */

static int check_name(const char *name, brood_fail *fail)
{
	size_t length = strnlen(name, BROOD_PROCESS_NAME_MOST + 1);

	if (length == 0)
		return bri_fail(fail, "name", EINVAL, "an empty name");
	if (length > BROOD_PROCESS_NAME_MOST)
		return bri_fail(fail, "name", ENAMETOOLONG, "%s", name);
	return 0;
}

static int plan_cpus(struct plan *plan)
{
	const brood_process_opts *opts = plan->opts;
	int most = 0;

	if (opts->cpus == NULL)
		return 0;
	for (size_t i = 0; i < opts->n_cpus; i++) {
		if (opts->cpus[i] < 0 || opts->cpus[i] > 1 << 20)
			return bri_fail(opts->fail, "cpus", EINVAL, "%d", opts->cpus[i]);
		most = opts->cpus[i] > most ? opts->cpus[i] : most;
	}
	plan->cpus = CPU_ALLOC(most + 1);
	if (plan->cpus == NULL)
		return bri_fail(opts->fail, "memory", ENOMEM, NULL);
	plan->settings.cpus = plan->cpus;
	plan->settings.cpus_size = CPU_ALLOC_SIZE(most + 1);
	CPU_ZERO_S(plan->settings.cpus_size, plan->cpus);
	for (size_t i = 0; i < opts->n_cpus; i++)
		CPU_SET_S((size_t)opts->cpus[i], plan->settings.cpus_size, plan->cpus);
	return 0;
}

static int check_group(const brood_process_opts *opts)
{
	if (opts->group < BROOD_GROUP_INHERIT || opts->group > BROOD_GROUP_JOIN)
		return bri_fail(opts->fail, "setpgid", EINVAL, "no such kind of group: %d",
				(int)opts->group);
	if (opts->group == BROOD_GROUP_JOIN && opts->join_group <= 0)
		return bri_fail(opts->fail, "setpgid", EINVAL, "%d is no group", opts->join_group);
	return 0;
}

static int plan_settings(struct plan *plan)
{
	const brood_process_opts *opts = plan->opts;
	int r = check_group(opts);

	if (r < 0)
		return r;
	plan->settings = (struct bri_settings){ .group = opts->group,
						.join_group = opts->join_group,
						.nice = opts->nice,
						.rlimits = opts->rlimits,
						.n_rlimits = opts->n_rlimits,
						.max_memory = opts->max_memory };
	return plan_cpus(plan);
}

/* How many threads run; 0: it cannot be told. The entries of /proc/self/task: two links of a folder, and one for each. */
static unsigned long count_threads(void)
{
	struct stat tasks;

	return stat("/proc/self/task", &tasks) == 0 ? (unsigned long)tasks.st_nlink - 2 : 0;
}

static int check_threads(const struct plan *plan)
{
	unsigned long n = plan->opts->fork_with_threads ? 1 : count_threads();

	if (n == 1)
		return 0;
	if (n == 0)
		return bri_fail(plan->opts->fail, "fork", ENOTSUP,
				"without /proc it cannot be told whether other threads run; "
				".fork_with_threads says that they do no harm");
	return bri_fail(
		plan->opts->fail, "fork", ENOTSUP,
		"%lu threads run, and locks that they hold would stay locked in the child: start "
		"processes before threads, or say .fork_with_threads",
		n);
}

/* What a child needs that shares no memory: a function that it can find, and a program to be. */
static int plan_far(struct plan *plan, brood_fail *fail)
{
	int r;

	if (plan->run != NULL)
		return bri_fail(fail, "method", ENOTSUP,
				"an object is memory of this process: only a fork has a copy");
	plan->far = calloc(1, sizeof(*plan->far));
	if (plan->far == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	plan->far->order.memory = plan->far->record = -1;
	plan->far->channel = plan->far->folder = plan->far->log = -1;
	r = bri_function_name((const void *)(uintptr_t)plan->target, &plan->far->function, fail);
	if (r < 0)
		return r;
	return bri_image_choose(&plan->far->function, &plan->far->image, fail);
}

/* Where nothing is said: by a server if that can reach the function, else by fork if that is safe. */
static int plan_default(struct plan *plan)
{
	char threads[64] = "without /proc it cannot be told whether threads run";
	brood_fail *fail = plan->opts->fail, why = { .step = NULL };
	unsigned long n;
	int r;

	plan->method = BROOD_START_FORKSERVER;
	r = plan_far(plan, &why);
	if (r == 0)
		return 0;
	if (r != -ENOTSUP && r != -ENOENT)
		return bri_fail(fail, why.step, r, "%s", why.text);
	free_far(bri_take(plan->far));
	plan->method = BROOD_START_FORK;
	r = check_threads(plan);
	if (r == 0)
		return 0;
	n = count_threads();
	if (n > 0)
		snprintf(threads, sizeof(threads), "%lu threads run", n);
	bri_fail(fail, "method", r, "%s, so that it cannot be forked; and %s", threads, why.text);
	return r;
}

static int plan_method(struct plan *plan)
{
	plan->method = plan->opts->method;
	if (plan->method == BROOD_START_DEFAULT)
		plan->method = bri_method_set();
	if (plan->method == BROOD_START_DEFAULT)
		return plan_default(plan);
	return plan->method == BROOD_START_FORK ? check_threads(plan) :
						  plan_far(plan, plan->opts->fail);
}

static int check(struct plan *plan)
{
	const brood_process_opts *opts = plan->opts;
	int r;

	if (plan->target == NULL && plan->run == NULL)
		return bri_fail(opts->fail, "target", EINVAL, "no function");
	if (opts->method < BROOD_START_DEFAULT || opts->method > BROOD_START_FORKSERVER)
		return bri_fail(opts->fail, "method", EINVAL, "%d", (int)opts->method);
	if (atomic_load(&bri_is_waiting))
		return bri_fail(opts->fail, "start", EPERM,
				"this process was started to run a function, and has not begun it: "
				"brood_init() has to be the first that main() calls");
	r = opts->name != NULL ? check_name(opts->name, opts->fail) : 0;
	if (r == 0)
		r = bri_args_check(plan->args, opts->fail);
	if (r < 0)
		return r;
	for (size_t i = 0; i < opts->n_rlimits; i++)
		if (opts->rlimits[i].soft > opts->rlimits[i].hard)
			return bri_fail(opts->fail, "rlimit", EINVAL,
					"limit %d: soft is above hard", opts->rlimits[i].resource);
	if (bri_identity()->depth >= BROOD_PROCESS_DEPTH_MOST)
		return bri_fail(opts->fail, "depth", ELOOP, "%d processes one in the other",
				BROOD_PROCESS_DEPTH_MOST);
	r = plan_method(plan);
	return r < 0 ? r : plan_settings(plan);
}

static bool is_daemon(const struct plan *plan)
{
	return plan->opts->daemon == BROOD_DAEMON_INHERIT ? plan->family->self->daemon :
							    plan->opts->daemon == BROOD_DAEMON_YES;
}

/* What a fork finds in its copy. */
static int plan_copy(struct plan *plan)
{
	plan->theirs = bri_family_new();
	if (plan->theirs == NULL)
		return -ENOMEM;
	plan->theirs->self = bri_process_new(BRI_SELF);
	plan->process->child = bri_child_new();
	if (plan->theirs->self == NULL || plan->process->child == NULL)
		return -ENOMEM;
	plan->process->record = bri_record_take(plan->family);
	if (plan->process->record == NULL)
		return -ENOMEM;
	return bri_args_here(plan->args, bri_fail_process, &plan->here);
}

/* The handle, and what the child will be. */
static int plan_process(struct plan *plan)
{
	const struct bri_identity *identity = bri_identity();
	brood_process *process = bri_process_new(BRI_CHILD);
	size_t at;
	int r = 0;

	plan->identity = identity;
	plan->process = process;
	plan->ordinal = ++plan->family->ordinals;
	if (process == NULL)
		return -ENOMEM;
	if (plan->method == BROOD_START_FORK)
		r = plan_copy(plan);
	else if (plan->method == BROOD_START_SPAWN)
		r = bri_record_new(&process->record, &plan->far->record);
	if (r < 0)
		return r;
	process->far = plan->far != NULL;
	process->method = plan->method;
	brood_process_name(plan->family->self, plan->own_name, sizeof(plan->own_name));
	process->parent = getpid();
	process->daemon = is_daemon(plan);
	process->outlive = plan->opts->outlive;
	process->depth = identity->depth + 1;
	bri_identity_path(identity, identity->depth, process->path, sizeof(process->path));
	at = strlen(process->path);
	snprintf(process->path + at, sizeof(process->path) - at, "%s%u", at > 0 ? ":" : "",
		 plan->ordinal);
	if (plan->opts->name != NULL)
		snprintf(process->name, sizeof(process->name), "%s", plan->opts->name);
	else
		snprintf(process->name, sizeof(process->name), "Process-%.*s",
			 BROOD_PROCESS_NAME_MOST - 8, process->path);
	return 0;
}

static int plan_folder(struct plan *plan)
{
	plan->far->folder = bri_open(".", O_PATH | O_DIRECTORY, 0);
	return plan->far->folder >= 0 ?
		       0 :
		       bri_fail(plan->opts->fail, "directory", plan->far->folder, NULL);
}

static int plan_descriptors(struct plan *plan)
{
	brood_fail *fail = plan->opts->fail;
	int r = bri_family_tie(plan->family);

	if (r < 0)
		return bri_fail(fail, "lifeline", r, NULL);
	plan->tied = true;
	/* The server's forks have one. */
	if (plan->method != BROOD_START_FORKSERVER) {
		plan->lifeline = bri_lifeline_open(plan->family->watch);
		if (plan->lifeline < 0)
			return bri_fail(fail, "lifeline", plan->lifeline, "/proc/self/fd");
	}
	if (plan->settings.group == BROOD_GROUP_NEW ||
	    plan->settings.group == BROOD_GROUP_SESSION) {
		plan->group = bri_above_stdio(bri_group_open());
		if (plan->group < 0)
			return bri_fail(fail, "group", plan->group, NULL);
	}
	if (plan->far != NULL)
		return plan->method == BROOD_START_FORKSERVER ? plan_folder(plan) : 0;
	plan->null = bri_open("/dev/null", O_RDONLY, 0);
	if (plan->null < 0)
		return bri_fail(fail, "stdin", plan->null, "/dev/null");
	r = bri_settings_any(&plan->settings) ? bri_pipe(&plan->said, &plan->say) : 0;
	if (r == 0 && plan->say >= 0)
		r = plan->say = bri_above_stdio(plan->say);
	return r < 0 ? bri_fail(fail, "pipe", r, NULL) : 0;
}

/* So that what is in a buffer comes out once. A stream in another thread's hands may be for long; the child forgets
 * what is in its copy. */
static void flush(struct plan *plan)
{
	FILE *const streams[2] = { stdout, stderr };

	for (int i = 0; i < 2; i++) {
		plan->purge[i] = ftrylockfile(streams[i]) != 0;
		if (plan->purge[i])
			continue;
		(void)fflush(streams[i]);
		funlockfile(streams[i]);
	}
}

/* ---- the child */

/* A word to the parent if it cannot be as it was asked for; the end of the pipe says that all went well. */
static void settle(struct plan *plan)
{
	struct refusal refusal;

	if (plan->say < 0)
		return;
	bri_closep(&plan->said);
	refusal.error = bri_settings_apply(&plan->settings, &refusal.step);
	if (refusal.error < 0) {
		(void)bri_write_quietly(plan->say, &refusal, sizeof(refusal));
		_exit(1);
	}
	bri_closep(&plan->say);
}

static void take_streams(const struct plan *plan)
{
	if (plan->purge[0])
		__fpurge(stdout);
	if (plan->purge[1])
		__fpurge(stderr);
	/* Of which nothing was read there is nothing to forget. */
	if (__fbufsize(stdin) > 0) {
		__fpurge(stdin);
		clearerr(stdin);
	}
	/* Where it is that already it must not be close-on-exec, as no stdin is. */
	if (plan->null == STDIN_FILENO)
		(void)fcntl(STDIN_FILENO, F_SETFD, 0);
	else if (dup2(plan->null, STDIN_FILENO) < 0)
		brood_process_fail("stdin: %s", strerror(errno));
}

static void call_hooks(void)
{
	for (struct bri_hook *hook = bri_family()->after_fork; hook != NULL; hook = hook->next)
		hook->call(hook->data);
}

static void run_child(struct plan *plan) __attribute__((noreturn));
static void run_child(struct plan *plan)
{
	/* let_go() has closed the lifeline's ends; the pidfd stays, for us and ours to look at the parent. */
	bri_identity_enter(plan->identity, plan->own_name, plan->family->pidfd, plan->ordinal,
			   plan->process->name);
	bri_family_enter(plan->theirs, plan->process);
	bri_log_enter();
	if (!plan->opts->outlive)
		bri_lifeline_arm(plan->lifeline);
	else
		bri_closep(&plan->lifeline);
	take_streams(plan);
	if (plan->null != STDIN_FILENO)
		bri_closep(&plan->null);
	prctl(PR_SET_NAME, plan->process->name);
	bri_closep(&plan->group);
	settle(plan);
	bri_lifeline_widen(plan->lifeline, plan->settings.group);
	bri_end_at_exit();
	bri_crash_arm();
	bri_crash_aim(&plan->process->record->crash);
	pthread_sigmask(SIG_SETMASK, &plan->mask, NULL);
	brood_log(BROOD_LOG_INFO, "child process calling its function");
	plan->theirs->starting = true;
	call_hooks();
	plan->theirs->starting = false;
	bri_end(plan->target != NULL ? plan->target(plan->here) :
				       plan->run(plan->self, plan->here));
}

/* ---- the parent */

/* Takes a child back that ends. */
static void undo(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Whether the child could set what was asked for. */
static int hear(struct plan *plan)
{
	struct refusal refusal;
	ssize_t n;

	if (plan->said < 0)
		return 0;
	bri_closep(&plan->say);
	do
		n = read(plan->said, &refusal, sizeof(refusal));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return bri_fail(plan->opts->fail, "pipe", errno, NULL);
	if (n != (ssize_t)sizeof(refusal))
		return 0;
	return bri_fail(plan->opts->fail, refusal.step, refusal.error, NULL);
}

/* A pidfd of the child: it is ours and was not reaped, so the number is its. Unless it has ended and was reaped by
 * somebody else, or by the kernel; then what is readable at once stands for it. */
static int open_child(struct plan *plan, pid_t pid, struct bri_process *ret_process)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && errno == ESRCH)
		fd = bri_take_fd(&plan->null);
	/* The number that was held for it may be all that there is. */
	if (fd < 0) {
		bri_closep(&plan->null);
		fd = (int)syscall(SYS_pidfd_open, pid, 0);
	}
	if (fd < 0)
		return -errno;
	*ret_process = (struct bri_process){ .pid = pid, .pidfd = fd };
	return 0;
}

static void adopt(struct plan *plan, brood_process **ret_process)
{
	brood_process *process = bri_take(plan->process);
	struct bri_family *family = plan->family;

	process->pid = brood_child_pid(process->child);
	process->before = family->last;
	if (family->last != NULL)
		family->last->after = process;
	else
		family->first = process;
	family->last = process;
	brood_process_ref(process); /* the family's */
	plan->tied = false;
	*ret_process = process;
}

/* Its group is there, unless all of that has ended. Who cannot be ended with it does not live. */
static int own_group(struct plan *plan)
{
	brood_child *child = plan->process->child;
	int r = plan->group >= 0 ? bri_group_aim(plan->group, brood_child_pid(child)) : -ESRCH;

	if (r == 0)
		bri_child_own_group(child, bri_take_fd(&plan->group));
	if (r == 0 || r == -ESRCH)
		return 0;
	(void)brood_child_stop(child, 0, NULL);
	return bri_fail(plan->opts->fail, "group", r, NULL);
}

static int fork_child(struct plan *plan, brood_process **ret_process)
{
	struct bri_process child = { .pidfd = -1 };
	sigset_t all;
	pid_t pid;
	int r;

	bri_crash_prepare();
	flush(plan);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &plan->mask);
	pid = fork();
	if (pid == 0)
		run_child(plan);
	r = -errno;
	pthread_sigmask(SIG_SETMASK, &plan->mask, NULL);
	if (pid < 0) {
		return bri_fail(plan->opts->fail, "fork", r, NULL);
	}
	r = hear(plan);
	if (r == 0) {
		r = open_child(plan, pid, &child);
		if (r < 0) {
			bri_fail(plan->opts->fail, "pidfd", r, NULL);
			kill(pid, SIGKILL);
		}
	}
	if (r < 0) {
		undo(pid);
		return r;
	}
	bri_child_adopt(plan->process->child, &child);
	r = own_group(plan);
	if (r == 0)
		adopt(plan, ret_process);
	return r;
}

static int make_order(struct plan *plan)
{
	bool forked = plan->method == BROOD_START_FORKSERVER;
	const struct bri_order_facts facts = {
		.function = &plan->far->function,
		.args = plan->args,
		.settings = &plan->settings,
		.identity = plan->identity,
		.own_name = plan->own_name,
		.ordinal = plan->ordinal,
		.process = plan->process,
		.mask = &plan->mask,
		.owner_group = forked ? getpgrp() : 0,
		.fds = { [BRI_ORDER_PARENT] = plan->family->pidfd,
			 [BRI_ORDER_RECORD] = plan->far->record,
			 [BRI_ORDER_LIFELINE] = plan->lifeline,
			 [BRI_ORDER_FOLDER] = plan->far->folder,
			 [BRI_ORDER_OUT] =
				 forked && bri_is_open(STDOUT_FILENO) ? STDOUT_FILENO : -1,
			 [BRI_ORDER_ERR] =
				 forked && bri_is_open(STDERR_FILENO) ? STDERR_FILENO : -1,
			 [BRI_ORDER_LOG] = plan->far->log }
	};

	return bri_order_make(&facts, plan->opts->fail, &plan->far->order);
}

/* A program that waits for its order. */
static int take_program(struct plan *plan)
{
	bri_cleanup(bri_closep) int theirs = -1;
	struct far *far = plan->far;
	int r = bri_socketpair(&far->channel, &theirs);

	if (r < 0)
		return bri_fail(plan->opts->fail, "channel", r, NULL);
	return bri_image_start(&far->image, theirs, false, plan->opts->fail, &plan->process->child);
}

#define SERVERS 3 /* that may be killed in a row while they are asked */

/* A fork of the server that waits for its order. */
static int take_spare(struct plan *plan)
{
	brood_fail *fail = plan->opts->fail, why = { .step = NULL };
	struct bri_spare spare;
	int r = -EPIPE;

	plan->process->child = bri_child_new();
	if (plan->process->child == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	for (int i = 0; r == -EPIPE && i < SERVERS; i++)
		r = bri_server_take(plan->family, &plan->far->image, &why, &spare);
	if (r == -EPIPE)
		return bri_order_unheard(r, fail);
	if (r < 0 && fail != NULL)
		*fail = why;
	if (r < 0)
		return r;
	bri_child_adopt_far(plan->process->child, &spare.process, spare.told);
	plan->far->channel = spare.channel;
	plan->process->record = bri_record_map(spare.record);
	close(spare.record);
	return plan->process->record != NULL ? 0 : bri_fail(fail, "memory", ENOMEM, NULL);
}

/* Without the family's lock: a program takes its time, and may never call brood_init(). What is used of the family is
 * there as long as the child counts as one. */
static int spawn_child(struct plan *plan)
{
	struct far *far = plan->far;
	struct bri_process child;
	int r;

	flush(plan);
	pthread_sigmask(SIG_SETMASK, NULL, &plan->mask);
	r = bri_log_channel(&far->log);
	if (r < 0)
		return bri_fail(plan->opts->fail, "channel", r, NULL);
	r = make_order(plan);
	if (r < 0)
		return r;
	r = plan->method == BROOD_START_SPAWN ? take_program(plan) : take_spare(plan);
	if (r == 0) {
		child = (struct bri_process){ .pid = brood_child_pid(plan->process->child),
					      .pidfd = brood_child_pidfd(plan->process->child) };
		r = bri_order_give(&far->order, far->channel, &child, plan->opts->fail);
	}
	if (r == 0)
		return own_group(plan);
	if (plan->process->child != NULL && brood_child_pidfd(plan->process->child) >= 0)
		(void)brood_child_stop(plan->process->child, 0, NULL);
	return r;
}

static int start(struct plan *plan, brood_process **ret_process)
{
	int r = check(plan);

	if (r < 0)
		return r;
	plan->family = bri_family();
	if (plan->family == NULL)
		return bri_fail(plan->opts->fail, "memory", ENOMEM, NULL);
	/* What starts a process whenever one is started would never come to an end. */
	if (plan->family->starting)
		return bri_fail(plan->opts->fail, "start", EPERM,
				"from a hook, before the function has begun");
	r = bri_authkey_make(); /* so that the child has the same */
	if (r < 0)
		return bri_fail(plan->opts->fail, "authkey", r, NULL);
	if (plan->method == BROOD_START_FORKSERVER)
		r = bri_server_check(plan->family, plan->opts->fail);
	if (r < 0)
		return r;
	pthread_mutex_lock(&plan->family->lock);
	r = plan_process(plan);
	if (r < 0)
		bri_fail(plan->opts->fail, "memory", r, NULL);
	else
		r = plan_descriptors(plan);
	if (r == 0 && plan->far == NULL) {
		r = fork_child(plan, ret_process);
	} else if (r == 0) {
		pthread_mutex_unlock(&plan->family->lock);
		r = spawn_child(plan);
		pthread_mutex_lock(&plan->family->lock);
		if (r == 0)
			adopt(plan, ret_process);
	}
	if (plan->tied)
		bri_family_untie(plan->family);
	if (r < 0 && plan->ordinal > 0 && plan->family->ordinals == plan->ordinal)
		plan->family->ordinals--;
	pthread_mutex_unlock(&plan->family->lock);
	return r;
}

static int start_with(brood_process_target *target, int (*run)(void *self, const brood_args *args),
		      void *self, const brood_object *args, const brood_process_opts *opts,
		      brood_process **ret_process)
{
	static const brood_process_opts defaults;
	bri_cleanup(plan_fini) struct plan plan = {
		.opts = opts != NULL ? opts : &defaults,
		.target = target,
		.run = run,
		.self = self,
		.args = args,
		.lifeline = -1,
		.null = -1,
		.said = -1,
		.say = -1,
		.group = -1,
	};

	return start(&plan, ret_process);
}

int brood_process_start(brood_process_target *target, const brood_object *args,
			const brood_process_opts *opts, brood_process **ret_process)
{
	return start_with(target, NULL, NULL, args, opts, ret_process);
}

int brood_process_start_run(int (*run)(void *self, const brood_args *args), void *self,
			    const brood_object *args, const brood_process_opts *opts,
			    brood_process **ret_process)
{
	return start_with(NULL, run, self, args, opts, ret_process);
}

/* ---- the handle */

brood_process *brood_process_ref(brood_process *process)
{
	atomic_fetch_add(&process->refs, 1);
	return process;
}

brood_process *brood_process_unref(brood_process *process)
{
	if (process != NULL && process->role == BRI_CHILD &&
	    atomic_fetch_sub(&process->refs, 1) == 1)
		free_process(process);
	return NULL;
}

/* Whether it can be asked anything. */
static int check_handle(const brood_process *process)
{
	if (atomic_load(&process->closed))
		return -EBADF;
	return process->generation == bri_self_generation() ? 0 : -ECHILD;
}

/* It has ended: it is none of the children any more. */
static void leave_family(brood_process *process)
{
	struct bri_family *family = bri_family();
	bool first;

	pthread_mutex_lock(&family->lock);
	first = !atomic_exchange(&process->ended, true);
	if (first) {
		if (process->before != NULL)
			process->before->after = process->after;
		else
			family->first = process->after;
		if (process->after != NULL)
			process->after->before = process->before;
		else
			family->last = process->before;
		bri_family_untie(family);
	}
	pthread_mutex_unlock(&family->lock);
	if (first)
		brood_process_unref(process);
}

static int join_ancestor(const brood_process *process, int64_t timeout_ns)
{
	if (process->pidfd >= 0)
		return bri_wait_readable(process->pidfd, bri_deadline(timeout_ns));
	return process->pidfd == -ESRCH ? 0 : process->pidfd;
}

/* Who would have told of its end was killed before: then it may have left a word itself. */
static void correct(const brood_process *process, brood_exit *end)
{
	uint32_t left;

	if (end == NULL || end->kind != BROOD_LOST || !process->far)
		return;
	left = atomic_load(&process->record->left);
	if (left >= 256) {
		end->kind = BROOD_EXITED;
		end->value = (int)(left & 0xff);
	}
}

int brood_process_join(brood_process *process, int64_t timeout_ns, brood_exit *ret_exit)
{
	int r = check_handle(process);

	if (r < 0)
		return r;
	if (process->role == BRI_SELF)
		return -EDEADLK;
	if (process->role == BRI_ANCESTOR) {
		r = join_ancestor(process, timeout_ns);
		if (r == 0 && ret_exit != NULL)
			*ret_exit = (brood_exit){ .kind = BROOD_LOST };
		return r;
	}
	r = brood_child_wait(process->child, timeout_ns, ret_exit);
	if (r == 0)
		correct(process, ret_exit);
	if (r == 0 && !atomic_load(&process->ended))
		leave_family(process);
	return r;
}

int brood_process_is_alive(brood_process *process)
{
	int r = check_handle(process);

	if (r < 0 || process->role == BRI_SELF)
		return r < 0 ? r : 1;
	r = brood_process_join(process, 0, NULL);
	return r == -ETIMEDOUT ? 1 : r;
}

int brood_process_signal(brood_process *process, int signum)
{
	int r = check_handle(process);

	if (r < 0)
		return r;
	if (process->role == BRI_ANCESTOR)
		return -EPERM;
	if (process->role == BRI_SELF)
		return kill(getpid(), signum) < 0 ? -errno : 0;
	return brood_child_signal(process->child, signum);
}

/* To all that belongs to it. */
static int signal_all(brood_process *process, int signum, int (*tell)(brood_child *child))
{
	if (check_handle(process) < 0 || process->role != BRI_CHILD)
		return brood_process_signal(process, signum);
	return tell(process->child);
}

int brood_process_terminate(brood_process *process)
{
	return signal_all(process, SIGTERM, brood_child_terminate);
}

int brood_process_kill(brood_process *process)
{
	return signal_all(process, SIGKILL, brood_child_kill);
}

int brood_process_interrupt(brood_process *process)
{
	return brood_process_signal(process, SIGINT);
}

int brood_process_stop(brood_process *process, int64_t grace_ns, brood_exit *ret_exit)
{
	int r = check_handle(process);

	if (r < 0)
		return r;
	if (process->role != BRI_CHILD)
		return process->role == BRI_SELF ? -EDEADLK : -EPERM;
	r = brood_child_stop(process->child, grace_ns, ret_exit);
	if (r == 0)
		correct(process, ret_exit);
	if (r == 0 && !atomic_load(&process->ended))
		leave_family(process);
	return r;
}

int brood_process_sentinel(brood_process *process)
{
	int r = check_handle(process);

	if (r < 0)
		return r;
	if (process->role == BRI_SELF)
		return -EDEADLK;
	if (process->role == BRI_ANCESTOR)
		return process->pidfd;
	return brood_child_pidfd(process->child);
}

int brood_process_close(brood_process *process)
{
	int r = check_handle(process);

	if (r == -EBADF)
		return 0;
	if (r < 0)
		return r;
	if (process->role != BRI_CHILD)
		return -EPERM;
	r = brood_process_join(process, 0, NULL);
	if (r < 0)
		return r == -ETIMEDOUT ? -EBUSY : r;
	if (atomic_exchange(&process->closed, true))
		return 0;
	process->child = brood_child_free(process->child);
	free_record(process);
	return 0;
}

pid_t brood_process_pid(const brood_process *process)
{
	return atomic_load(&process->closed) ? -EBADF : process->pid;
}

int brood_process_name(const brood_process *process, char *buf, size_t size)
{
	pthread_mutex_t *lock = &((brood_process *)(uintptr_t)process)->lock;
	int n;

	if (atomic_load(&process->closed))
		return -EBADF;
	pthread_mutex_lock(lock);
	n = snprintf(buf, size, "%s", process->name);
	pthread_mutex_unlock(lock);
	return n;
}

int brood_process_set_name(brood_process *process, const char *name)
{
	int fd, r = name != NULL ? check_name(name, NULL) : -EINVAL;

	if (r < 0)
		return r;
	if (atomic_load(&process->closed))
		return -EBADF;
	pthread_mutex_lock(&process->lock);
	memcpy(process->name, name, strlen(name) + 1);
	pthread_mutex_unlock(&process->lock);
	if (process->role != BRI_SELF || process->generation != bri_self_generation())
		return 0;
	/* The first thread's is the process's; it need not be the calling one. */
	fd = bri_open("/proc/self/comm", O_WRONLY, 0);
	if (fd >= 0)
		(void)bri_write_quietly(fd, name, strlen(name));
	bri_closep(&fd);
	return 0;
}

int brood_process_is_daemon(const brood_process *process)
{
	if (atomic_load(&process->closed))
		return -EBADF;
	return process->role == BRI_ANCESTOR ? -EPERM : process->daemon;
}

int brood_process_depth(const brood_process *process)
{
	return (int)process->depth;
}

int brood_process_path(const brood_process *process, char *buf, size_t size)
{
	return snprintf(buf, size, "%s", process->path);
}

int brood_process_failure(brood_process *process, brood_fail *ret_fail)
{
	const struct bri_record *record = process->record;
	static const char step[] = "process";
	int r = check_handle(process);

	if (r < 0)
		return r;
	if (process->role != BRI_CHILD)
		return -EPERM;
	if (!atomic_load(&record->failed) && atomic_load(&record->crash.signum) != 0) {
		*ret_fail = (brood_fail){ .step = "crash", .error = EFAULT };
		bri_crash_describe(&record->crash, ret_fail->text, sizeof(ret_fail->text));
		return 0;
	}
	if (!atomic_load(&record->failed))
		return -ENOENT;
	/* The child can write what it likes there; it is cut to what we have. */
	*ret_fail = (brood_fail){ .step = strncmp(record->step, "args", sizeof(record->step)) == 0 ?
						  "args" :
						  step,
				  .error = record->error };
	snprintf(ret_fail->text, sizeof(ret_fail->text), "%.*s", (int)sizeof(record->text) - 1,
		 record->text);
	return 0;
}

int brood_process_backtrace(brood_process *process, char *buf, size_t size)
{
	int r = check_handle(process);

	if (r < 0)
		return r;
	if (process->role != BRI_CHILD)
		return -EPERM;
	if (atomic_load(&process->record->crash.signum) == 0)
		return -ENOENT;
	return bri_crash_frames(&process->record->crash, buf, size);
}

static void describe_end(const brood_exit *end, char *buf, size_t size)
{
	const char *name = end->kind == BROOD_SIGNALLED ? bri_signal_name(end->value) : NULL;

	if (end->kind == BROOD_LOST)
		snprintf(buf, size, "stopped exitcode=lost");
	else if (name != NULL)
		snprintf(buf, size, "stopped exitcode=-%s", name);
	else
		snprintf(buf, size, "stopped exitcode=%d", brood_exit_code(end));
}

int brood_process_describe(brood_process *process, char *buf, size_t size)
{
	char name[BROOD_PROCESS_NAME_MOST + 1] = "", state[64] = "started";
	brood_exit end;
	int r;

	if (brood_process_name(process, name, sizeof(name)) < 0)
		return snprintf(buf, size, "<Process name='%s' parent=%d closed>", process->name,
				(int)process->parent);
	r = check_handle(process);
	if (r == 0 && process->role != BRI_SELF)
		r = brood_process_join(process, 0, &end);
	else if (r == 0)
		r = -ETIMEDOUT;
	if (r == 0 && process->role == BRI_CHILD)
		describe_end(&end, state, sizeof(state));
	else if (r != -ETIMEDOUT)
		snprintf(state, sizeof(state), "%s", r == 0 ? "stopped" : "unknown");
	return snprintf(buf, size, "<Process name='%s' pid=%d parent=%d %s%s>", name,
			(int)process->pid, (int)process->parent, state,
			process->daemon ? " daemon" : "");
}

/* References to all children, those that have ended too. */
static brood_process **children(struct bri_family *family, size_t *ret_n)
{
	brood_process **list;
	size_t n = 0;

	pthread_mutex_lock(&family->lock);
	list = calloc((size_t)family->n_children + 1, sizeof(*list));
	for (brood_process *p = family->first; list != NULL && p != NULL; p = p->after)
		list[n++] = brood_process_ref(p);
	pthread_mutex_unlock(&family->lock);
	*ret_n = n;
	return list;
}

ssize_t brood_active_children(brood_process **ret_processes, size_t most)
{
	struct bri_family *family = bri_family();
	brood_process **list;
	size_t n, alive = 0;

	list = family != NULL ? children(family, &n) : NULL;
	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (brood_process_is_alive(list[i]) == 1 && alive++ < most)
			ret_processes[alive - 1] = list[i];
		else
			brood_process_unref(list[i]);
	}
	free(list);
	return (ssize_t)alive;
}

static int dump_one(brood_process *process, int fd)
{
	static const char *const methods[] = { "", " method=fork", " method=spawn",
					       " method=forkserver" };
	char line[400 + sizeof(process->path)];
	int n = brood_process_describe(process, line, sizeof(line));
	ssize_t written;

	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s depth=%u path=%s\n",
		      methods[process->method], process->depth, process->path);
	written = bri_write_quietly(fd, line, (size_t)n);
	return written < 0 ? (int)written : 0;
}

int brood_process_dump(int fd)
{
	struct bri_family *family = bri_family();
	brood_process **list;
	size_t n;
	int r;

	list = family != NULL ? children(family, &n) : NULL;
	if (list == NULL)
		return -ENOMEM;
	r = dump_one(family->self, fd);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = dump_one(list[i], fd);
		brood_process_unref(list[i]);
	}
	free(list);
	return r < 0 ? r : (int)n;
}
