/* A dispatcher of runs. Every job is in one of three lists: it waits, it runs, or it has ended and its
 * record waits; `limit` bounds the second, `queue` the first. A running job's popen has an epoll instance of
 * its own; ours watches those, and a timer for the earliest of the deadlines. */
#include <brood/jobs.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/popen.h"
#include "child/result.h"
#include "child/run.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/self.h"

#define EVENTS 64 /* handled in a step: many jobs get their turns */

struct job {
	struct job *next, **link; /* *link is this one */
	struct list *list;
	brood_job_state state;
	char **argv; /* one block */
	brood_run_opts opts;
	brood_popen *popen;
	int64_t started_ns;
	int64_t deadline; /* of the run; when ending: of the grace */
	int why;          /* ending: what the record will say */
	brood_job record;
};

struct list {
	struct job *first, **end;
	size_t size;
};

struct brood_jobs {
	uint64_t generation, last_id;
	size_t limit, queue;
	struct list waiting, running, ended;
	int epoll, timer;
	int64_t timer_at; /* what the timer is set to; 0: nothing */
	int64_t earliest; /* deadline of those that run, as of the last step */
};

/* ---- lists */

static void list_init(struct list *list)
{
	*list = (struct list){ .end = &list->first };
}

static void list_add(struct list *list, struct job *job)
{
	job->next = NULL;
	job->link = list->end;
	job->list = list;
	*list->end = job;
	list->end = &job->next;
	list->size++;
}

static void list_remove(struct job *job)
{
	*job->link = job->next;
	if (job->next != NULL)
		job->next->link = job->link;
	else
		job->list->end = job->link;
	job->list->size--;
}

static void list_move(struct list *to, struct job *job)
{
	list_remove(job);
	list_add(to, job);
}

/* ---- one job */

static struct job *job_free(struct job *job)
{
	free(job->argv);
	free(job);
	return NULL;
}

/* The words with their vector before them, in one block. */
static char **copy_words(const char *const argv[])
{
	size_t n = 0, size = 0;
	char **copy, *at;

	for (; argv[n] != NULL; n++)
		size += strlen(argv[n]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + size);
	if (copy == NULL)
		return NULL;
	at = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		copy[i] = at;
		at = stpcpy(at, argv[i]) + 1;
	}
	copy[n] = NULL;
	return copy;
}

static struct job *job_new(const char *const argv[], const brood_run_opts *opts, void *data)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->argv = copy_words(argv);
	if (job->argv == NULL)
		return job_free(job);
	if (opts != NULL)
		job->opts = *opts;
	job->opts.fail = &job->record.fail;
	job->record.data = data;
	job->record.result = bri_result_none();
	return job;
}

static void job_ended(brood_jobs *jobs, struct job *job, int r)
{
	if (job->popen != NULL) {
		epoll_ctl(jobs->epoll, EPOLL_CTL_DEL, brood_popen_fd(job->popen), NULL);
		r = bri_run_end(job->popen, (const char *const *)job->argv, &job->opts,
				job->started_ns, r, &job->record.result);
		job->popen = brood_popen_free(job->popen);
	}
	job->record.error = r;
	job->state = BROOD_JOB_ENDED;
	list_move(&jobs->ended, job);
}

/* SIGTERM now, SIGKILL when the grace is over; what the program leaves of its group goes with it. */
static void job_end(struct job *job, int why)
{
	int64_t grace_ns = bri_run_grace(&job->opts);

	job->why = why;
	job->state = BROOD_JOB_ENDING;
	bri_popen_kill_rest(job->popen);
	job->deadline = bri_deadline(grace_ns);
	if (grace_ns > 0)
		brood_popen_terminate(job->popen);
}

static int watch(brood_jobs *jobs, struct job *job)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = job } };
	int fd = brood_popen_fd(job->popen);

	if (fd < 0)
		return fd;
	return epoll_ctl(jobs->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void job_start(brood_jobs *jobs, struct job *job)
{
	int r;

	list_move(&jobs->running, job);
	job->state = BROOD_JOB_RUNNING;
	job->started_ns = brood_now();
	job->deadline =
		job->opts.timeout_ns > 0 ? bri_deadline(job->opts.timeout_ns) : BROOD_FOREVER;
	r = bri_run_start((const char *const *)job->argv, &job->opts, &job->popen);
	if (r < 0) {
		job_ended(jobs, job, r);
		return;
	}
	r = brood_popen_begin(job->popen, job->opts.input, job->opts.input_size);
	if (r == 0)
		r = watch(jobs, job);
	if (r < 0) {
		brood_popen_stop(job->popen, bri_run_grace(&job->opts), NULL);
		job_ended(jobs, job, r);
	}
}

static void job_step(brood_jobs *jobs, struct job *job)
{
	int r = brood_popen_step(job->popen);

	if (r == 1)
		job_ended(jobs, job, job->why);
	else if (r < 0 && job->state == BROOD_JOB_RUNNING)
		job_end(job, r); /* a .call that wants no more */
}

/* ---- all */

static int check_owner(const brood_jobs *jobs)
{
	return jobs->generation == bri_self_generation() ? 0 : -ECHILD;
}

/* Those whose time is over. Returns the earliest of the deadlines that are left. */
static int64_t enforce(brood_jobs *jobs)
{
	int64_t now = brood_now(), earliest = BROOD_FOREVER;

	for (struct job *job = jobs->running.first; job != NULL; job = job->next) {
		if (now >= job->deadline && job->state == BROOD_JOB_RUNNING)
			job_end(job, -ETIMEDOUT);
		if (now >= job->deadline && job->state == BROOD_JOB_ENDING) {
			brood_popen_kill(job->popen);
			job->deadline = BROOD_FOREVER;
		}
		if (job->deadline < earliest)
			earliest = job->deadline;
	}
	return earliest;
}

static void fill_slots(brood_jobs *jobs)
{
	while (jobs->running.size < jobs->limit && jobs->waiting.first != NULL)
		job_start(jobs, jobs->waiting.first);
}

/* A record that waits is something to do, too: then the timer is long over. */
static void set_timer(brood_jobs *jobs, int64_t at)
{
	struct itimerspec when = { .it_value = { 0 } };

	if (jobs->ended.first != NULL)
		at = 1;
	if (at == BROOD_FOREVER)
		at = 0;
	if (at == jobs->timer_at)
		return;
	when.it_value.tv_sec = at / BROOD_SEC;
	when.it_value.tv_nsec = at % BROOD_SEC;
	if (timerfd_settime(jobs->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0)
		jobs->timer_at = at;
}

static int64_t settle(brood_jobs *jobs)
{
	fill_slots(jobs);
	jobs->earliest = enforce(jobs);
	return jobs->earliest;
}

int brood_jobs_step(brood_jobs *jobs)
{
	struct epoll_event events[EVENTS];
	int n, r = check_owner(jobs);

	if (r < 0)
		return r;
	n = epoll_wait(jobs->epoll, events, EVENTS, 0);
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr != NULL)
			job_step(jobs, events[i].data.ptr);
	set_timer(jobs, settle(jobs));
	return (int)jobs->ended.size;
}

int brood_jobs_next(brood_jobs *jobs, int64_t timeout_ns, brood_job *ret_job)
{
	int64_t deadline = bri_deadline(timeout_ns), until;
	struct job *job;
	int r;

	for (;;) {
		r = brood_jobs_step(jobs);
		if (r < 0)
			return r;
		job = jobs->ended.first;
		if (job != NULL)
			break;
		if (jobs->running.first == NULL)
			return -ENOENT;
		/* The timer would do, but a filter may refuse that. */
		until = jobs->earliest < deadline ? jobs->earliest : deadline;
		r = bri_wait_readable(jobs->epoll, until);
		if (r < 0 && (r != -ETIMEDOUT || until == deadline))
			return r;
	}
	*ret_job = job->record;
	list_remove(job);
	job_free(job);
	set_timer(jobs, settle(jobs));
	return 0;
}

int brood_jobs_submit(brood_jobs *jobs, const char *const argv[], const brood_run_opts *opts,
		      void *data, uint64_t *ret_id)
{
	struct job *job;
	int r = check_owner(jobs);

	if (r < 0)
		return r;
	if (argv == NULL || argv[0] == NULL || (opts != NULL && opts->cancel_fd != NULL))
		return -EINVAL;
	if (jobs->running.size >= jobs->limit && jobs->waiting.size >= jobs->queue)
		return -EBUSY;
	job = job_new(argv, opts, data);
	if (job == NULL)
		return -ENOMEM;
	job->record.id = ++jobs->last_id;
	job->state = BROOD_JOB_WAITING;
	if (ret_id != NULL)
		*ret_id = job->record.id;
	list_add(&jobs->waiting, job);
	set_timer(jobs, settle(jobs));
	return 0;
}

static struct job *find(const brood_jobs *jobs, uint64_t id)
{
	const struct list *const lists[] = { &jobs->running, &jobs->waiting, &jobs->ended };

	for (int i = 0; i < 3; i++)
		for (struct job *job = lists[i]->first; job != NULL; job = job->next)
			if (job->record.id == id)
				return job;
	return NULL;
}

int brood_jobs_cancel(brood_jobs *jobs, uint64_t id)
{
	struct job *job = find(jobs, id);
	int r = check_owner(jobs);

	if (r < 0)
		return r;
	if (job == NULL)
		return -ENOENT;
	if (job->state == BROOD_JOB_WAITING) {
		job->record.result.cancelled = true;
		job_ended(jobs, job,
			  bri_fail(&job->record.fail, "cancel", ECANCELED, "%s", job->argv[0]));
	} else if (job->state == BROOD_JOB_RUNNING) {
		job_end(job, -ECANCELED);
	}
	set_timer(jobs, settle(jobs));
	return 0;
}

int brood_jobs_state(const brood_jobs *jobs, uint64_t id)
{
	const struct job *job = find(jobs, id);

	return job == NULL ? -ENOENT : (int)job->state;
}

size_t brood_jobs_running(const brood_jobs *jobs)
{
	return jobs->running.size;
}

size_t brood_jobs_waiting(const brood_jobs *jobs)
{
	return jobs->waiting.size;
}

int brood_jobs_fd(const brood_jobs *jobs)
{
	return jobs->epoll;
}

static size_t processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0 ?
		       (size_t)CPU_COUNT(&set) :
		       1;
}

int brood_jobs_new(const brood_jobs_opts *opts, brood_jobs **ret_jobs)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = NULL } };
	brood_jobs *jobs = calloc(1, sizeof(*jobs));
	int r = 0;

	if (jobs == NULL)
		return -ENOMEM;
	jobs->generation = bri_self_generation();
	jobs->limit = opts != NULL && opts->limit != 0 ? opts->limit : processors();
	jobs->queue = opts != NULL ? opts->queue : 0;
	list_init(&jobs->waiting);
	list_init(&jobs->running);
	list_init(&jobs->ended);
	jobs->timer = -1;
	jobs->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (jobs->epoll >= 0)
		jobs->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (jobs->timer < 0 || epoll_ctl(jobs->epoll, EPOLL_CTL_ADD, jobs->timer, &event) < 0)
		r = -errno;
	if (r < 0) {
		brood_jobs_free(jobs);
		return r;
	}
	*ret_jobs = jobs;
	return 0;
}

static void forget_all(struct list *list)
{
	while (list->first != NULL) {
		struct job *job = list->first;

		brood_popen_free(job->popen);
		brood_run_result_fini(&job->record.result);
		list_remove(job);
		job_free(job);
	}
}

brood_jobs *brood_jobs_free(brood_jobs *jobs)
{
	if (jobs == NULL)
		return NULL;
	if (check_owner(jobs) == 0) {
		for (struct job *job = jobs->running.first; job != NULL; job = job->next)
			brood_popen_kill(job->popen);
		for (struct job *job = jobs->running.first; job != NULL; job = job->next)
			brood_popen_stop(job->popen, 0, NULL);
	}
	bri_closep(&jobs->epoll);
	bri_closep(&jobs->timer);
	forget_all(&jobs->waiting);
	forget_all(&jobs->running);
	forget_all(&jobs->ended);
	free(jobs);
	return NULL;
}
