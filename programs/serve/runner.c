#include "serve/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "serve/id.h"
#include "serve/mark.h"
#include "serve/output.h"

#define BURY_NS (5 * BROOD_SEC)    /* for descendants that were killed and are not gone */
#define AGAIN_NS (20 * BROOD_MSEC) /* until the next look at them */
#define CHUNK (64 << 10)
#define CHILDREN 8192 /* of this process, that one look takes in */

int runner_watch(struct runner *runner, int fd, struct run *run, int source)
{
	/* An end comes once; pipes have more and more to say. */
	struct epoll_event event = { .events = source == RUN_PROGRAM ? EPOLLIN | EPOLLONESHOT :
								       EPOLLIN,
				     .data.u64 = (uintptr_t)run | (uint64_t)source };

	return epoll_ctl(runner->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* --- output ------------------------------------------------------------------------------- */

/* Another process may hold the same open pipe: closing ours would not end epoll's interest in it. */
static void close_pipe(const struct runner *runner, struct run *run, int which)
{
	if (run->pipes[which] < 0)
		return;
	epoll_ctl(runner->epoll, EPOLL_CTL_DEL, run->pipes[which], NULL);
	close(run->pipes[which]);
	run->pipes[which] = -1;
}

/* Reads up to `size` bytes and keeps what the file takes (-1: none): a job that fills its pipe must not
 * wait for what cannot be kept. */
static ssize_t copy(struct run *run, int which, int file, size_t size)
{
	static char buffer[CHUNK];
	ssize_t n = read(run->pipes[which], buffer, size), kept = 0;

	if (n > 0 && file >= 0)
		kept = pwrite(file, buffer, (size_t)n, run->bytes[which]);
	if (kept > 0)
		run->bytes[which] += kept;
	run->truncated[which] = run->truncated[which] || (n > 0 && kept != n);
	return n;
}

/* Moves bytes from the pipe to the file. By splice(2) a byte leaves the one when it is in the other: who
 * takes over from a keeper that was killed in between misses none. Returns how many, 0 at the end of file,
 * or -1. */
static ssize_t move(struct run *run, int which)
{
	loff_t at = run->bytes[which];
	const int64_t room = run->output_limit - at;
	const size_t size = room < CHUNK ? (size_t)room : CHUNK;
	ssize_t n;

	if (room <= 0 || run->files[which] < 0)
		return copy(run, which, -1, CHUNK);
	n = splice(run->pipes[which], NULL, run->files[which], &at, size, SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EINVAL) /* a file system that cannot */
		return copy(run, which, run->files[which], size);
	if (n < 0 && errno != EAGAIN && errno != EINTR) /* no space, say: the job goes on */
		return copy(run, which, -1, CHUNK);
	if (n > 0)
		run->bytes[which] += n;
	return n;
}

/* Whether there is something to read; the file is made for the first of it. */
static bool has_output(const struct runner *runner, struct run *run, int which)
{
	int n = 0;

	if (run->files[which] >= 0)
		return true;
	if (ioctl(run->pipes[which], FIONREAD, &n) < 0 || n == 0)
		return false;
	run->files[which] = output_create(runner->state_fd, run->id, which, run->child == NULL);
	return true;
}

/* Takes what is there, at most `turns` chunks, so that one loud job does not starve the rest. `over`: no
 * writer is left. */
static void drain(const struct runner *runner, struct run *run, int which, int turns, bool over)
{
	while (run->pipes[which] >= 0 && turns-- > 0) {
		ssize_t n = has_output(runner, run, which) ? move(run, which) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			if (over || n < 0 || run->files[which] >= 0)
				close_pipe(runner, run, which);
			return;
		}
		if (n < CHUNK && !over)
			return; /* a pipe gives all it has */
	}
}

/* --- descendants -------------------------------------------------------------------------- */

struct run *runner_find(const struct runner *runner, uint64_t id)
{
	struct run *run = runner->runs;

	while (run != NULL && (run->id != id || run->done))
		run = run->next;
	return run;
}

static const struct run *find_program(const struct runner *runner, pid_t pid)
{
	const struct run *run = runner->runs;

	while (run != NULL && run->pid != pid)
		run = run->next;
	return run;
}

/* Our direct children, dead ones too, from the kernel's list (/proc/PID/task/TID/children); where there
 * is none, one that is dead, if any. Good until the next call. */
static const pid_t *list_children(const struct runner *runner, size_t *ret_n)
{
	static pid_t pids[CHILDREN];
	static char text[64 << 10];
	siginfo_t info = { .si_pid = 0 };
	char *at = text, *end;
	ssize_t size;
	size_t n = 0;

	if (runner->children_file < 0) {
		waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
		pids[0] = info.si_pid;
		*ret_n = info.si_pid != 0;
		return pids;
	}
	size = pread(runner->children_file, text, sizeof(text) - 1, 0);
	text[size > 0 ? size : 0] = '\0';
	while (n < CHILDREN) {
		long pid = strtol(at, &end, 10);

		/* the last word may be cut; each is followed by a space */
		if (end == at || *end == '\0')
			break;
		pids[n++] = (pid_t)pid;
		at = end;
	}
	*ret_n = n;
	return pids;
}

enum found { FOUND_NOTHING, FOUND_DEAD, FOUND_ALIVE };

/* One look: buries dead children that are no run's program, and kills those of runs that have ended, or of
 * none (invariant 1). What it found that is marked as `id`. */
static enum found sweep_once(const struct runner *runner, uint64_t id)
{
	size_t n;
	const pid_t *pids = list_children(runner, &n);
	enum found found = FOUND_NOTHING;

	for (size_t i = 0; i < n; i++) {
		const struct run *owner;
		uint64_t mark;

		if (find_program(runner, pids[i]) != NULL)
			continue;
		mark = mark_of(pids[i]);
		owner = runner_find(runner, mark);
		if (owner == NULL && !runner->all_are_ours)
			continue;
		if (owner == NULL || owner->ended)
			kill(pids[i], SIGKILL); /* a child of ours: its number is not recycled */
		if (waitpid(pids[i], NULL, WNOHANG) != pids[i])
			found = mark == id ? FOUND_ALIVE : found;
		else if (mark == id && found == FOUND_NOTHING)
			found = FOUND_DEAD;
	}
	return found;
}

/* Returns whether something marked as `id` is still there. What one that is dead now had started became our
 * child at its death, perhaps after our look: so there is another. */
static bool sweep(const struct runner *runner, uint64_t id)
{
	enum found found;

	do
		found = sweep_once(runner, id);
	while (found == FOUND_DEAD);
	return found == FOUND_ALIVE;
}

/* --- a job's end -------------------------------------------------------------------------- */

static void close_files(const struct runner *runner, struct run *run)
{
	for (int i = 0; i < 2; i++) {
		close_pipe(runner, run, i);
		if (run->files[i] >= 0)
			close(run->files[i]);
		run->files[i] = -1;
	}
	if (run->input_file)
		output_remove_input(runner->state_fd, run->id);
	run->input_file = false;
}

enum journal_type runner_record(const struct run *run, struct journal_record *record)
{
	if (run->failure != NULL) {
		*record = *run->failure;
		return JOURNAL_FAIL;
	}
	memset(record, 0, sizeof(*record));
	record->end.kind = (int)run->end.kind;
	record->end.value = run->end.value;
	record->end.core = run->end.core;
	record->end.reason = run->reason;
	record->end.run_ms = (run->end.ended_ns - run->begun) / BROOD_MSEC;
	record->end.user_ms = run->end.user_ns / BROOD_MSEC;
	record->end.system_ms = run->end.system_ns / BROOD_MSEC;
	record->end.max_rss_bytes = run->end.max_rss_bytes;
	for (int i = 0; i < 2; i++) {
		record->end.bytes[i] = run->bytes[i];
		record->end.truncated[i] = run->truncated[i];
	}
	return JOURNAL_END;
}

/* The job is over when its record is written; until then runner_check() comes back to it. */
static void finish(const struct runner *runner, struct run *run)
{
	if (runner->record(runner->self, run) < 0)
		return;
	close_files(runner, run);
	run->done = true;
}

static int64_t timeval_ns(const struct timeval *time)
{
	return time->tv_sec * BROOD_SEC + time->tv_usec * BROOD_USEC;
}

/* Looks at the status of the dead program and leaves it a zombie (invariant 2). False: it lives. The
 * system call knows what libc's function does not tell, the resources (wait(2)). */
static bool look_at_end(struct run *run)
{
	struct rusage usage = { .ru_maxrss = 0 };
	siginfo_t info = { .si_pid = 0 };
	brood_exit *end = &run->end;

	if (syscall(SYS_waitid, P_PID, run->pid, &info, WEXITED | WNOHANG | WNOWAIT, &usage) < 0)
		end->kind = BROOD_LOST;
	else if (info.si_pid == 0)
		return false;
	else
		end->kind = info.si_code == CLD_EXITED ? BROOD_EXITED : BROOD_SIGNALLED;
	end->value = info.si_status;
	end->core = info.si_code == CLD_DUMPED;
	end->ended_ns = brood_now();
	end->user_ns = timeval_ns(&usage.ru_utime);
	end->system_ns = timeval_ns(&usage.ru_stime);
	end->max_rss_bytes = (int64_t)usage.ru_maxrss << 10;
	return true;
}

/* The program has ended: kill what is left of it, take the rest of its output, then its record. */
static void program_ended(struct runner *runner, struct run *run)
{
	run->dying = !look_at_end(run);
	if (run->dying)
		return;           /* a debugger has it; SIGCHLD tells when it lets go */
	kill(-run->pid, SIGKILL); /* its group: the zombie holds the number */
	for (int i = 0; i < 2; i++)
		drain(runner, run, i, 1 << 20, false);
	run->ended = true;
	run->bury_deadline = run->end.ended_ns + BURY_NS;
	if (!sweep(runner, run->id))
		finish(runner, run);
}

void runner_drop(struct runner *runner, struct run *run)
{
	close_files(runner, run);
	run->done = run->dropped = true;
}

void runner_failed(struct runner *runner, struct run *run, const brood_fail *fail)
{
	run->failure = calloc(1, sizeof(*run->failure));
	run->ended = true;
	if (run->failure == NULL)
		return; /* its END says that it is lost */
	run->failure->fail.error = fail->error;
	snprintf(run->failure->fail.step, sizeof(run->failure->fail.step), "%s", fail->step);
	snprintf(run->failure->fail.text, sizeof(run->failure->fail.text), "%.*s",
		 (int)sizeof(run->failure->fail.text) - 1, fail->text);
	finish(runner, run);
}

void runner_look(struct runner *runner)
{
	sweep(runner, 0);
	for (struct run *run = runner->runs; run != NULL; run = run->next)
		if (run->dying)
			program_ended(runner, run);
		else if (run->ended && !run->done && !sweep(runner, run->id))
			finish(runner, run);
}

/* --- a job's start ------------------------------------------------------------------------ */

struct run *runner_add(struct runner *runner, const struct wire_hold *hold)
{
	struct run *run = calloc(1, sizeof(*run));

	if (run == NULL)
		return NULL;
	*run = (struct run){
		.next = runner->runs,
		.id = hold->id,
		.pidfd = -1,
		.pipes = { -1, -1 },
		.files = { -1, -1 },
		.input_file = hold->input_file != 0,
		.output_limit = hold->output_limit,
		.kill_grace_ns = hold->kill_grace_ns,
		.begun = hold->begun_ns,
		.deadline = hold->deadline_ns,
		.end = { .kind = BROOD_LOST },
	};
	runner->runs = run;
	runner->n++;
	return run;
}

/* Where epoll takes no more, runner_check() looks from time to time. */
static void watch_all(struct runner *runner, struct run *run)
{
	int r = runner_watch(runner, run->pidfd, run, RUN_PROGRAM);

	for (int i = 0; i < 2 && r == 0; i++)
		if (run->pipes[i] >= 0)
			r = runner_watch(runner, run->pipes[i], run, RUN_OUT + i);
	run->polled = r < 0;
	if (r < 0)
		log_event("not_watched", "pid=%d error=\"%s\"", run->pid, strerror(-r));
}

void runner_started(struct runner *runner, struct run *run, brood_child *child)
{
	run->child = child;
	run->pid = brood_child_pid(child);
	run->pidfd = brood_child_pidfd(child);
	watch_all(runner, run);
}

/* --- what a dead keeper leaves ------------------------------------------------------------ */

/* When a process was started, in clock ticks since the boot; proc(5), field 22 of stat. */
static uint64_t start_of(pid_t pid)
{
	char path[32], text[1024];
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at != NULL ? strtoull(at, NULL, 10) : UINT64_MAX;
}

/* The program of a job among our children: the one of that number, else the oldest, as what a program
 * starts is younger. */
static pid_t find_orphan(const struct runner *runner, uint64_t id, pid_t known)
{
	size_t n;
	const pid_t *pids = list_children(runner, &n);
	uint64_t oldest = UINT64_MAX, start;
	pid_t found = 0;

	for (size_t i = 0; i < n; i++) {
		if (find_program(runner, pids[i]) != NULL || mark_of(pids[i]) != id)
			continue;
		if (known != 0 && pids[i] != known)
			continue;
		start = start_of(pids[i]);
		if (found == 0 || start < oldest) {
			found = pids[i];
			oldest = start;
		}
	}
	return found;
}

int runner_inherit(struct runner *runner, const struct wire_hold *hold, pid_t known,
		   const int pipes[2])
{
	pid_t pid = find_orphan(runner, hold->id, known);
	struct run *run;
	int pidfd;

	if (pid == 0)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	run = runner_add(runner, hold);
	if (run == NULL) {
		close(pidfd);
		return -ENOMEM;
	}
	run->pid = pid;
	run->pidfd = pidfd;
	for (int i = 0; i < 2; i++) {
		run->pipes[i] = pipes[i];
		run->bytes[i] = output_size(runner->state_fd, hold->id, i);
		/* What was dropped before is not known; at the limit something probably was. */
		run->truncated[i] = run->bytes[i] >= hold->output_limit;
	}
	watch_all(runner, run);
	return 0;
}

/* A process of our own program that is no job's yet. */
static bool is_unborn(pid_t pid)
{
	struct stat theirs, ours;
	char path[40];

	if (mark_of(pid) != 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/exe", &ours) == 0 &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* Looked at again when it is dead: between our look and its death it may have become a program. */
void runner_kill_unborn(const struct runner *runner, void (*may_have_run)(void *self, uint64_t id),
			void *self)
{
	size_t n;
	const pid_t *pids = list_children(runner, &n);
	siginfo_t info;

	for (size_t i = 0; i < n; i++) {
		uint64_t mark;

		if (!is_unborn(pids[i]))
			continue;
		kill(pids[i], SIGKILL);
		waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT);
		mark = mark_of(pids[i]);
		if (mark != 0)
			may_have_run(self, mark);
		waitpid(pids[i], NULL, 0);
	}
}

void runner_bury(const struct runner *runner, pid_t spared,
		 bool (*is_wanted)(void *self, uint64_t id), void *self)
{
	size_t n;
	const pid_t *pids = list_children(runner, &n);

	for (size_t i = 0; i < n; i++)
		if (pids[i] != spared && find_program(runner, pids[i]) == NULL &&
		    !is_wanted(self, mark_of(pids[i])))
			waitpid(pids[i], NULL, WNOHANG);
}

/* --- stopping ----------------------------------------------------------------------------- */

static void signal_group(const struct run *run, int signum)
{
	if (run->pid != 0) /* not reaped: neither its number nor its group's is another's */
		kill(-run->pid, signum);
}

void runner_stop(struct run *run, enum journal_reason reason)
{
	if (run->done || run->ended || run->kill_deadline != 0)
		return;
	run->reason = reason;
	run->kill_deadline = brood_now() + run->kill_grace_ns;
	signal_group(run, run->kill_grace_ns > 0 ? SIGTERM : SIGKILL);
}

/* Descendants that will not die (set-uid, in an uninterruptible wait) cannot hold the job for ever. */
static bool bury_is_over(const struct run *run, int64_t now)
{
	char id[ID_SIZE];

	if (now < run->bury_deadline)
		return false;
	log_event("escaped", "id=%s why=\"descendants could not be killed\"",
		  id_format(run->id, id));
	return true;
}

/* Acts on what is due for one; when to come back. */
static int64_t check(struct runner *runner, struct run *run, int64_t now)
{
	int64_t due;

	if (run->ended) {
		bool alive = run->failure == NULL && sweep(runner, run->id);

		if (!alive || bury_is_over(run, now))
			finish(runner, run);
		if (run->done)
			return BROOD_FOREVER;
		return now + (alive ? AGAIN_NS : BROOD_SEC); /* no record: the disk may be full */
	}
	if (run->polled) {
		for (int i = 0; i < 2; i++)
			drain(runner, run, i, 4, false);
		program_ended(runner, run);
		if (run->ended)
			return now;
	}
	if (run->kill_deadline == 0 && run->deadline <= now)
		runner_stop(run, REASON_TIMEOUT);
	if (run->kill_deadline != 0 && run->kill_deadline <= now) {
		signal_group(run, SIGKILL);
		run->kill_deadline = now + BROOD_SEC; /* and again, should it not go */
	}
	due = run->kill_deadline != 0 ? run->kill_deadline : run->deadline;
	return run->polled && now + AGAIN_NS < due ? now + AGAIN_NS : due;
}

int64_t runner_check(struct runner *runner)
{
	int64_t now = brood_now(), next = BROOD_FOREVER;

	for (struct run *run = runner->runs; run != NULL; run = run->next) {
		int64_t due = run->done ? BROOD_FOREVER : check(runner, run, now);

		next = due < next ? due : next;
	}
	return next == BROOD_FOREVER ? -1 : next > now ? next - now : 0;
}

/* --- the turn of a loop ------------------------------------------------------------------- */

void runner_handle(struct runner *runner, const struct epoll_event *event)
{
	struct run *run = (struct run *)(uintptr_t)(event->data.u64 & ~UINT64_C(7));
	const enum run_source source = (enum run_source)(event->data.u64 & 7);

	run->told = run->told || source == RUN_PROGRAM;
	if (run->done)
		return;
	if (source != RUN_PROGRAM)
		drain(runner, run, source - RUN_OUT, 4, (event->events & EPOLLHUP) != 0);
	else if (!run->ended)
		program_ended(runner, run);
}

static void free_run(const struct runner *runner, struct run *run)
{
	/* A program that is being started has a copy until its exec: see close_pipe(). */
	if (run->pidfd >= 0 && !run->told)
		epoll_ctl(runner->epoll, EPOLL_CTL_DEL, run->pidfd, NULL);
	if (run->child != NULL) {
		brood_child_wait(run->child, 0, NULL);
		brood_child_free(run->child);
	} else if (run->pid != 0) {
		waitpid(run->pid, NULL, WNOHANG);
		close(run->pidfd);
	}
	free(run->failure);
	free(run);
}

void runner_forget(struct runner *runner)
{
	for (struct run **at = &runner->runs; *at != NULL;) {
		struct run *run = *at;

		if (!run->done) {
			at = &run->next;
			continue;
		}
		*at = run->next;
		runner->n--;
		free_run(runner, run);
	}
}

int runner_open(struct runner *runner, int epoll, int state_fd)
{
	char path[64];

	runner->epoll = epoll;
	runner->state_fd = state_fd;
	/* The thread that inherits orphans is the first of its process. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	runner->children_file = open(path, O_RDONLY | O_CLOEXEC);
	return runner->children_file < 0 ? -errno : 0;
}

void runner_close(struct runner *runner)
{
	for (struct run *run = runner->runs, *next; run != NULL; run = next) {
		next = run->next;
		run->input_file =
			run->input_file && run->done; /* a job that goes on may still read it */
		close_files(runner, run);
		if (run->child == NULL && run->pidfd >= 0)
			close(run->pidfd);
		brood_child_free(run->child);
		free(run->failure);
		free(run);
	}
	runner->runs = NULL;
	runner->n = 0;
	if (runner->children_file >= 0)
		close(runner->children_file);
	runner->children_file = -1;
}
