/* A supervisor: children in the order in which they were added, each in one of four states, and what has to become of
 * it. Everything is decided in settle(), which runs after each event and may run at any time: who has to leave is told so when
 * all behind him that have to are gone; who waits is started when its time has come, and with an order among children
 * only when nobody has to leave. So a restart of many, a stop, and both at once are the same two loops.
 *
 * A descriptor is taken out of the epoll instance before it is closed: forks have copies, and the kernel would go on telling. */
#include <brood/supervisor.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/result.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/self.h"
#include "proc/args.h"
#include "proc/family.h"
#include "proc/log.h"

#define EVENTS 64
#define TIMER UINT32_MAX /* among events; else the number of the child */
#define GRACE (5 * BROOD_SEC)
#define PERIOD (5 * BROOD_SEC)

struct child {
	brood_process_target *target;
	brood_object *args;      /* owned; NULL: none */
	brood_process_opts opts; /* what it points to is owned */
	char name[BROOD_PROCESS_NAME_MOST + 1];
	brood_restart restart;
	int64_t grace_ns, beat_ns;
	brood_supervised facts; /* .process is owned; .pid is not kept here */
	bool leaves;            /* it runs and has to end */
	bool returns;           /* … and is started again then */
	bool gone;              /* the owner ended it: no restart of others is one of it */
	bool mute;              /* it was killed since it did not beat */
	int64_t at;             /* ENDING: when it is killed; WAITING: when it is started */
	int64_t started_ns;
};

struct brood_supervisor {
	uint64_t generation;
	brood_strategy strategy;
	unsigned intensity;
	int64_t period_ns, delay_ns;
	struct child *children;
	unsigned n, room;
	int64_t *restarts; /* when the latest .intensity of them were: a ring */
	uint64_t n_restarts;
	int64_t due; /* of what the latest one starts */
	int epoll, timer, cancel;
	int64_t timer_at, earliest; /* as of the last settle() */
	bool stopping;
	brood_fail why; /* .step NULL: it has not given up */
	unsigned culprit;
};

static bool is_there(const struct child *child)
{
	return child->facts.process != NULL;
}

static int check_owner(const brood_supervisor *self)
{
	return self->generation == bri_self_generation() ? 0 : -ECHILD;
}

static int64_t after(int64_t time, int64_t ns)
{
	return ns < BROOD_FOREVER - time ? time + ns : BROOD_FOREVER;
}

/* ---- one child */

static void child_fini(struct child *child)
{
	free((void *)(uintptr_t)child->opts.rlimits);
	free((void *)(uintptr_t)child->opts.cpus);
	brood_object_free(child->args);
}

static int copy(const void *data, size_t size, const void **ret_copy)
{
	void *mine;

	*ret_copy = NULL;
	if (data == NULL || size == 0)
		return 0;
	mine = malloc(size);
	if (mine == NULL)
		return -ENOMEM;
	memcpy(mine, data, size);
	*ret_copy = mine;
	return 0;
}

static int child_init(struct child *child, brood_process_target *target, const brood_object *args,
		      const brood_supervised_opts *opts)
{
	const brood_process_opts *process = &opts->process;
	const void *rlimits, *cpus;
	int r;

	*child = (struct child){ .target = target,
				 .opts = *process,
				 .restart = opts->restart,
				 .grace_ns = opts->grace_ns != 0 ? opts->grace_ns : GRACE,
				 .beat_ns = opts->beat_ns };
	child->opts.rlimits = NULL;
	child->opts.cpus = NULL;
	r = bri_args_copy(args, process->fail, &child->args);
	if (r < 0)
		return r;
	r = copy(process->rlimits, process->n_rlimits * sizeof(*process->rlimits), &rlimits);
	child->opts.rlimits = rlimits;
	if (r == 0) {
		r = copy(process->cpus, process->n_cpus * sizeof(*process->cpus), &cpus);
		child->opts.cpus = cpus;
	}
	return r < 0 ? bri_fail(process->fail, "memory", r, NULL) : 0;
}

/* The end that it had, in words. */
static void describe_end(const struct child *child, char *buf, size_t size)
{
	const brood_exit *end = &child->facts.last_exit;
	const brood_fail *fail = &child->facts.last_fail;
	const char *signal = end->kind == BROOD_SIGNALLED ? bri_signal_name(end->value) : NULL;
	int n = 0;

	if (signal != NULL)
		n = snprintf(buf, size, "%s", signal);
	else if (end->kind == BROOD_LOST)
		n = snprintf(buf, size, "lost");
	else if (end->kind != BROOD_RUNNING)
		n = snprintf(buf, size, "%s %d", end->kind == BROOD_EXITED ? "status" : "signal",
			     end->value);
	if (fail->step != NULL && n >= 0 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n, "%s%s: %s", n > 0 ? ", " : "", fail->step,
			 fail->text[0] != '\0' ? fail->text : strerror(fail->error));
}

static int child_start(brood_supervisor *self, unsigned id, brood_fail *fail)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = id } };
	struct child *child = &self->children[id];
	const brood_object *args = child->args != NULL ? child->args->as.items : NULL;
	brood_process *process;
	int r;

	child->opts.fail = fail;
	if (child->name[0] != '\0') /* it has the same each time, also when it was given none */
		child->opts.name = child->name;
	r = brood_process_start(child->target, args, &child->opts, &process);
	child->opts.fail = NULL;
	if (r < 0)
		return r;
	if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, brood_process_sentinel(process), &event) < 0) {
		r = bri_fail(fail, "epoll", errno, NULL);
		(void)brood_process_stop(process, 0, NULL);
		brood_process_unref(process);
		return r;
	}
	child->facts.process = process;
	child->facts.state = BROOD_SUPERVISED_RUNNING;
	child->started_ns = brood_now();
	child->leaves = child->returns = child->gone = child->mute = false;
	return 0;
}

static void child_forget(brood_supervisor *self, struct child *child)
{
	(void)epoll_ctl(self->epoll, EPOLL_CTL_DEL, brood_process_sentinel(child->facts.process),
			NULL);
	child->facts.process = brood_process_unref(child->facts.process);
}

static void child_tell(struct child *child, int64_t now)
{
	child->facts.state = BROOD_SUPERVISED_ENDING;
	child->at = BROOD_FOREVER;
	if (child->grace_ns < 0) {
		(void)brood_process_kill(child->facts.process);
		return;
	}
	(void)brood_process_terminate(child->facts.process);
	child->at = after(now, child->grace_ns);
}

/* When it is taken for one that hangs. */
static int64_t beat_due(const struct child *child)
{
	const struct bri_record *record = child->facts.process->record;
	int64_t last;

	if (child->beat_ns == 0 || child->mute || record == NULL)
		return BROOD_FOREVER;
	/* The memory may have been another's before. */
	last = atomic_load(&record->beat);
	return after(last > child->started_ns ? last : child->started_ns, child->beat_ns);
}

static void check_beat(struct child *child, int64_t now)
{
	if (beat_due(child) > now)
		return;
	bri_fail(&child->facts.last_fail, "beat", ETIMEDOUT, "no sign of life for %g s",
		 (double)child->beat_ns / (double)BROOD_SEC);
	child->mute = true;
	(void)brood_process_kill(child->facts.process);
}

/* ---- restarts */

/* All have to leave, and nobody returns. */
static void leave_all(brood_supervisor *self)
{
	self->stopping = true;
	for (unsigned i = 0; i < self->n; i++) {
		struct child *child = &self->children[i];

		child->leaves = is_there(child);
		child->returns = false;
		if (!child->leaves)
			child->facts.state = BROOD_SUPERVISED_ENDED;
	}
}

static void give_up(brood_supervisor *self, unsigned id)
{
	const struct child *child = &self->children[id];
	char end[320];

	describe_end(child, end, sizeof(end));
	bri_fail(&self->why, "intensity", ELOOP,
		 "%.60s: more than %u restarts within %g s, the last end: %s", child->name,
		 self->intensity, (double)self->period_ns / (double)BROOD_SEC, end);
	brood_log(BROOD_LOG_ERROR, "supervisor gives up: %s", self->why.text);
	self->culprit = id;
	leave_all(self);
}

/* Counts a restart. False: there are too many. */
static bool count_restart(brood_supervisor *self, int64_t now)
{
	int64_t *oldest = &self->restarts[self->n_restarts % self->intensity];
	unsigned recent = 0;
	int64_t delay = self->delay_ns;

	if (self->n_restarts >= self->intensity && now - *oldest < self->period_ns)
		return false;
	*oldest = now;
	self->n_restarts++;
	for (unsigned i = 0; i < self->intensity && i < self->n_restarts; i++)
		recent += now - self->restarts[i] < self->period_ns;
	while (--recent > 0 && delay < self->period_ns / 2)
		delay *= 2;
	self->due = after(now, recent > 0 && delay > 0 ? self->period_ns : delay);
	return true;
}

/* It is started again, when it has ended if it runs. */
static void come_again(brood_supervisor *self, struct child *child, bool is_temporary)
{
	switch (child->facts.state) {
	case BROOD_SUPERVISED_RUNNING:
		child->leaves = true;
		child->returns = !is_temporary;
		break;
	case BROOD_SUPERVISED_ENDING:
		child->returns = child->returns || (!is_temporary && !child->gone);
		break;
	case BROOD_SUPERVISED_ENDED:
		if (is_temporary || child->gone)
			break;
		child->facts.state = BROOD_SUPERVISED_WAITING;
		child->at = self->due;
		break;
	default: /* it waits already */
		break;
	}
}

/* `id` has ended, or is taken for that, and the strategy says who begins anew. */
static void restart(brood_supervisor *self, unsigned id)
{
	unsigned from = self->strategy == BROOD_ONE_FOR_ALL ? 0 : id;
	unsigned end = self->strategy == BROOD_ONE_FOR_ONE ? id + 1 : self->n;

	if (!count_restart(self, brood_now())) {
		give_up(self, id);
		return;
	}
	for (unsigned i = from; i < end; i++)
		come_again(self, &self->children[i],
			   i != id && self->children[i].restart == BROOD_RESTART_TEMPORARY);
}

static bool should_run(const struct child *child)
{
	return child->restart == BROOD_RESTART_PERMANENT ||
	       (child->restart == BROOD_RESTART_TRANSIENT &&
		!brood_exit_ok(&child->facts.last_exit));
}

static void child_ended(brood_supervisor *self, unsigned id)
{
	struct child *child = &self->children[id];
	char end[320];

	if (!child->mute)
		child->facts.last_fail = (brood_fail){ .step = NULL };
	(void)brood_process_failure(child->facts.process, &child->facts.last_fail);
	child_forget(self, child);
	child->facts.state = BROOD_SUPERVISED_ENDED;
	if (child->leaves) {
		child->leaves = false;
		if (!child->returns)
			return;
		child->facts.state = BROOD_SUPERVISED_WAITING;
		child->at = self->due;
		return;
	}
	describe_end(child, end, sizeof(end));
	brood_log(should_run(child) ? BROOD_LOG_WARNING : BROOD_LOG_INFO,
		  "supervised %s has ended: %s", child->name, end);
	if (should_run(child))
		restart(self, id);
}

/* ---- what is to be done now */

static void end_in_turn(brood_supervisor *self, int64_t now)
{
	for (unsigned i = self->n; i-- > 0;) {
		struct child *child = &self->children[i];

		if (child->facts.state == BROOD_SUPERVISED_ENDING)
			return;
		if (child->leaves) {
			child_tell(child, now);
			return;
		}
	}
}

/* Whether those that wait have to wait for others to end. */
static bool must_wait(const brood_supervisor *self)
{
	for (unsigned i = 0; self->strategy != BROOD_ONE_FOR_ONE && i < self->n; i++)
		if (self->children[i].leaves)
			return true;
	return false;
}

static void start_in_turn(brood_supervisor *self, int64_t now)
{
	if (must_wait(self))
		return;
	for (unsigned i = 0; i < self->n; i++) {
		struct child *child = &self->children[i];
		brood_fail fail = { .step = NULL };

		if (child->facts.state != BROOD_SUPERVISED_WAITING)
			continue;
		if (child->at > now && self->strategy != BROOD_ONE_FOR_ONE)
			return;
		if (child->at > now)
			continue;
		if (child_start(self, i, &fail) == 0) {
			child->facts.restarts++;
			continue;
		}
		brood_log(BROOD_LOG_WARNING, "supervised %s cannot be started: %s: %s", child->name,
			  fail.step, fail.text);
		child->facts.last_exit = (brood_exit){ .kind = BROOD_RUNNING };
		child->facts.last_fail = fail;
		child->facts.state = BROOD_SUPERVISED_ENDED;
		restart(self, i);
		return; /* tried again with the next step */
	}
}

/* Those whose time is over. */
static void enforce(brood_supervisor *self, int64_t now)
{
	for (unsigned i = 0; i < self->n; i++) {
		struct child *child = &self->children[i];

		if (child->facts.state == BROOD_SUPERVISED_RUNNING && !child->leaves)
			check_beat(child, now);
		if (child->facts.state == BROOD_SUPERVISED_ENDING && child->at <= now) {
			(void)brood_process_kill(child->facts.process);
			child->at = BROOD_FOREVER;
		}
	}
}

/* When there is something to do though nobody ends. */
static int64_t next_time(const brood_supervisor *self)
{
	int64_t earliest = BROOD_FOREVER, at;
	bool blocked = must_wait(self);

	for (unsigned i = 0; i < self->n; i++) {
		const struct child *child = &self->children[i];

		at = child->at;
		if (child->facts.state == BROOD_SUPERVISED_RUNNING)
			at = child->leaves ? BROOD_FOREVER : beat_due(child);
		else if (child->facts.state == BROOD_SUPERVISED_ENDED ||
			 (child->facts.state == BROOD_SUPERVISED_WAITING && blocked))
			at = BROOD_FOREVER;
		earliest = at < earliest ? at : earliest;
	}
	return earliest;
}

static void settle(brood_supervisor *self)
{
	struct itimerspec when = { .it_value = { 0 } };
	int64_t now = brood_now(), at;

	enforce(self, now);
	end_in_turn(self, now);
	start_in_turn(self, now);
	end_in_turn(self, now); /* if it gave up meanwhile */
	at = self->earliest = next_time(self);
	if (at == BROOD_FOREVER)
		at = 0;
	if (at == self->timer_at)
		return;
	when.it_value.tv_sec = at / BROOD_SEC;
	when.it_value.tv_nsec = at % BROOD_SEC;
	if (timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0)
		self->timer_at = at;
}

static void hear(brood_supervisor *self, unsigned id)
{
	struct child *child = &self->children[id];
	brood_exit end = { .kind = BROOD_LOST };
	int r;

	if (!is_there(child))
		return;
	r = brood_process_join(child->facts.process, 0, &end);
	if (r == -ETIMEDOUT)
		return;
	child->facts.last_exit = end;
	child_ended(self, id);
}

int brood_supervisor_step(brood_supervisor *self)
{
	struct epoll_event events[EVENTS];
	int n, left = 0, r = check_owner(self);

	if (r < 0)
		return r;
	n = epoll_wait(self->epoll, events, EVENTS, 0);
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		if (events[i].data.u32 != TIMER)
			hear(self, events[i].data.u32);
	settle(self);
	for (unsigned i = 0; i < self->n; i++)
		left += self->children[i].facts.state != BROOD_SUPERVISED_ENDED;
	return left > 0 || self->why.step == NULL ? left : -ELOOP;
}

/* `cancel` < 0: there is none. */
static int run(brood_supervisor *self, int64_t timeout_ns, int cancel)
{
	struct pollfd events[2] = { { .fd = self->epoll, .events = POLLIN },
				    { .fd = cancel, .events = POLLIN } };
	int64_t deadline = bri_deadline(timeout_ns), until;
	int r;

	for (;;) {
		r = brood_supervisor_step(self);
		if (r <= 0 || deadline == 0)
			return r <= 0 ? r : -ETIMEDOUT;
		/* The timer would do, but a filter may refuse that. */
		until = self->earliest < deadline ? self->earliest : deadline;
		r = bri_poll(events, 2, until);
		if (r < 0 || (r == 0 && until == deadline))
			return r < 0 ? r : -ETIMEDOUT;
		if (r > 0 && events[1].revents != 0)
			return -ECANCELED;
	}
}

int brood_supervisor_run(brood_supervisor *self, int64_t timeout_ns)
{
	return run(self, timeout_ns, self->cancel);
}

int brood_supervisor_fd(const brood_supervisor *self)
{
	return self->epoll;
}

/* ---- what the owner asks for */

static int check_opts(const brood_supervisor *self, const brood_supervised_opts *opts)
{
	brood_fail *fail = opts->process.fail;

	if (check_owner(self) < 0)
		return bri_fail(fail, "supervisor", ECHILD, "it is another process's");
	if (self->stopping)
		return bri_fail(fail, "supervisor", ESHUTDOWN,
				"it was told to stop, or has given up");
	if (opts->restart < BROOD_RESTART_PERMANENT || opts->restart > BROOD_RESTART_TEMPORARY)
		return bri_fail(fail, "restart", EINVAL, "%d", (int)opts->restart);
	if (opts->beat_ns < 0)
		return bri_fail(fail, "beat", EINVAL, "a time below 0");
	if (opts->process.outlive)
		return bri_fail(fail, "outlive", EINVAL,
				"who is supervised ends with its supervisor");
	return 0;
}

static bool make_room(brood_supervisor *self)
{
	unsigned room = self->room == 0 ? 8 : 2 * self->room;
	struct child *moved;

	if (self->n < self->room)
		return true;
	moved = reallocarray(self->children, room, sizeof(*moved));
	if (moved == NULL)
		return false;
	self->children = moved;
	self->room = room;
	return true;
}

int brood_supervisor_add(brood_supervisor *self, brood_process_target *target,
			 const brood_object *args, const brood_supervised_opts *opts,
			 unsigned *ret_id)
{
	static const brood_supervised_opts defaults;
	struct child *child;
	int r;

	opts = opts != NULL ? opts : &defaults;
	r = check_opts(self, opts);
	if (r < 0)
		return r;
	if (!make_room(self))
		return bri_fail(opts->process.fail, "memory", ENOMEM, NULL);
	child = &self->children[self->n];
	r = child_init(child, target, args, opts);
	if (r == 0)
		r = child_start(self, self->n, opts->process.fail);
	if (r < 0) {
		child_fini(child);
		return r;
	}
	brood_process_name(child->facts.process, child->name, sizeof(child->name));
	if (ret_id != NULL)
		*ret_id = self->n;
	self->n++;
	settle(self);
	return 0;
}

static int find(const brood_supervisor *self, unsigned id)
{
	int r = check_owner(self);

	return r < 0 ? r : id < self->n ? 0 : -ENOENT;
}

int brood_supervisor_end(brood_supervisor *self, unsigned id)
{
	struct child *child;
	int r = find(self, id);

	if (r < 0)
		return r;
	child = &self->children[id];
	child->gone = true;
	child->returns = false;
	child->leaves = is_there(child);
	if (!child->leaves)
		child->facts.state = BROOD_SUPERVISED_ENDED;
	settle(self);
	return 0;
}

int brood_supervisor_restart(brood_supervisor *self, unsigned id)
{
	int r = find(self, id);

	if (r < 0)
		return r;
	if (self->stopping)
		return -ESHUTDOWN;
	self->children[id].gone = false;
	restart(self, id);
	settle(self);
	return 0;
}

int brood_supervisor_stop(brood_supervisor *self, int64_t timeout_ns)
{
	int r = check_owner(self);

	if (r < 0)
		return r;
	if (!self->stopping)
		leave_all(self);
	return run(self, timeout_ns, -1);
}

int brood_supervisor_look(const brood_supervisor *self, unsigned id, brood_supervised *ret_child)
{
	int r = find(self, id);

	if (r < 0)
		return r;
	*ret_child = self->children[id].facts;
	if (ret_child->process != NULL)
		ret_child->pid = brood_process_pid(ret_child->process);
	return 0;
}

int brood_supervisor_failure(const brood_supervisor *self, unsigned *ret_id, brood_fail *ret_fail)
{
	int r = check_owner(self);

	if (r < 0)
		return r;
	if (self->why.step == NULL)
		return -ENOENT;
	if (ret_id != NULL)
		*ret_id = self->culprit;
	*ret_fail = self->why;
	return 0;
}

/* ---- beginning and end */

static bool are_right(const brood_supervisor_opts *opts)
{
	return opts->strategy >= BROOD_ONE_FOR_ONE && opts->strategy <= BROOD_REST_FOR_ONE &&
	       opts->intensity <= BROOD_SUPERVISOR_INTENSITY_MOST && opts->period_ns >= 0 &&
	       opts->delay_ns >= 0;
}

int brood_supervisor_new(const brood_supervisor_opts *opts, brood_supervisor **ret_supervisor)
{
	static const brood_supervisor_opts defaults;
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = TIMER } };
	brood_supervisor *self;
	int r = 0;

	opts = opts != NULL ? opts : &defaults;
	if (!are_right(opts))
		return -EINVAL;
	self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->generation = bri_self_generation();
	self->strategy = opts->strategy;
	self->intensity = opts->intensity != 0 ? opts->intensity : 1;
	self->period_ns = opts->period_ns != 0 ? opts->period_ns : PERIOD;
	self->delay_ns = opts->delay_ns;
	self->cancel = opts->cancel_fd != NULL ? *opts->cancel_fd : -1;
	self->timer = -1;
	self->restarts = calloc(self->intensity, sizeof(*self->restarts));
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (self->epoll >= 0)
		self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (self->timer < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->timer, &event) < 0)
		r = -errno;
	else if (self->restarts == NULL)
		r = -ENOMEM;
	if (r < 0) {
		brood_supervisor_free(self);
		return r;
	}
	*ret_supervisor = self;
	return 0;
}

brood_supervisor *brood_supervisor_free(brood_supervisor *self)
{
	if (self == NULL)
		return NULL;
	for (unsigned i = 0; check_owner(self) == 0 && i < self->n; i++)
		if (is_there(&self->children[i]))
			(void)brood_process_kill(self->children[i].facts.process);
	for (unsigned i = 0; i < self->n; i++) {
		struct child *child = &self->children[i];

		if (is_there(child) && check_owner(self) == 0)
			(void)brood_process_stop(child->facts.process, 0, NULL);
		brood_process_unref(child->facts.process);
		child_fini(child);
	}
	bri_closep(&self->epoll);
	bri_closep(&self->timer);
	free(self->children);
	free(self->restarts);
	free(self);
	return NULL;
}

/* ---- in the child */

int brood_supervisor_beat(void)
{
	struct bri_family *family = bri_family();

	if (family == NULL || family->record == NULL)
		return -ESRCH;
	atomic_store(&family->record->beat, brood_now());
	return 0;
}
