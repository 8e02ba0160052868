#include "serve/sched.h"

#include <brood/brood.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "serve/id.h"
#include "serve/journal.h"
#include "serve/link.h"
#include "serve/mark.h"
#include "serve/output.h"
#include "serve/runner.h"

#define BUCKETS 1024
#define RUNNING_US 50000      /* a job that runs for longer is stored as running */
#define BODY_BUDGET (4 << 20) /* bytes of bodies of waiting jobs that are kept in memory */
#define BLOCKED_US 1000000    /* until the keeper is asked again to begin what it could not */
#define TAIL 1024             /* bytes of stderr that a failed job's log line shows */

struct queue {
	struct job *first, **end;
};

struct sched {
	const struct config *config;
	struct store *store;
	struct link *link;
	int state_fd;
	char home[4000];
	uint64_t last_id;
	uint32_t salt[64]; /* not used yet: the first `n_salt` */
	size_t n_salt;
	struct job *oldest, *newest;
	struct job *buckets[BUCKETS];
	struct runner runner; /* of jobs whose keeper died */
	bool marks;           /* every program that ran is marked */
	sd_event_source *runner_io, *runner_timer, *children;
	struct queue ready;        /* have a slot and are stored: START goes out in this order */
	struct queue *queues;      /* per route: wait for a slot */
	struct route_stats *stats; /* per route */
	int64_t active;
	bool held;
	bool blocked; /* the keeper begins nothing now */
	sd_event_source *blocked_timer;
	sd_event_source *running_timer;
	bool running_armed;
	size_t body_bytes; /* of stored jobs that wait */
	int64_t boot;      /* of the machine, as a number; see job_facts */
	uint64_t trim_first;
	bool trimming; /* all that was read is on its way into the store */
};

/* --- queues ------------------------------------------------------------------------------- */

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->end = &queue->first;
}

static void queue_append(struct queue *queue, struct job *job)
{
	job->queue_next = NULL;
	*queue->end = job;
	queue->end = &job->queue_next;
}

static bool queue_remove(struct queue *queue, struct job *job)
{
	for (struct job **at = &queue->first; *at != NULL; at = &(*at)->queue_next)
		if (*at == job) {
			*at = job->queue_next;
			if (*at == NULL)
				queue->end = at;
			return true;
		}
	return false;
}

/* --- the table ---------------------------------------------------------------------------- */

static struct job **bucket_of(struct sched *sched, uint64_t id)
{
	return &sched->buckets[(id * UINT64_C(0x9e3779b97f4a7c15)) >> 54];
}

struct job *sched_find(struct sched *sched, uint64_t id)
{
	struct job *job = *bucket_of(sched, id);

	while (job != NULL && job->facts.id != id)
		job = job->bucket_next;
	return job;
}

static void table_add(struct sched *sched, struct job *job)
{
	struct job **bucket = bucket_of(sched, job->facts.id);

	job->bucket_next = *bucket;
	*bucket = job;
	job->previous = sched->newest;
	if (sched->newest != NULL)
		sched->newest->next = job;
	else
		sched->oldest = job;
	sched->newest = job;
}

static void drop_pipes(struct job *job)
{
	for (int i = 0; i < 2; i++) {
		if (job->pipes[i] >= 0)
			close(job->pipes[i]);
		job->pipes[i] = -1;
	}
}

static struct job *job_free(struct job *job)
{
	if (job == NULL)
		return NULL;
	drop_pipes(job);
	free(job->facts.fields);
	free(job->log_fields);
	free(job->body);
	free(job);
	return NULL;
}

static void forget(struct sched *sched, struct job *job)
{
	struct job **at = bucket_of(sched, job->facts.id);

	while (*at != job)
		at = &(*at)->bucket_next;
	*at = job->bucket_next;
	if (job->previous != NULL)
		job->previous->next = job->next;
	else
		sched->oldest = job->next;
	if (job->next != NULL)
		job->next->previous = job->previous;
	else
		sched->newest = job->previous;
	while (job->waiters != NULL)
		job_remove_waiter(job->waiters);
	job_free(job);
}

/* The log fields as words of a log line. */
static char *log_words(const json_t *fields)
{
	const char *name;
	json_t *value;
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (stream == NULL)
		return NULL;
	json_object_foreach((json_t *)(uintptr_t)fields, name, value)
	{
		char quoted[600];

		fprintf(stream, " %s=%s", name,
			log_quote(quoted, sizeof(quoted), json_string_value(value),
				  json_string_length(value)));
	}
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* A job with its facts; takes `fields_text`. */
static struct job *job_new(const struct job_facts *facts, const json_t *fields, char *fields_text)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL || fields_text == NULL) {
		free(job);
		free(fields_text);
		return NULL;
	}
	job->pipes[0] = job->pipes[1] = -1;
	job->facts = *facts;
	job->facts.fields = fields_text;
	job->log_fields = log_words(fields);
	return job->log_fields != NULL ? job : job_free(job);
}

void job_add_waiter(struct job *job, struct waiter *waiter)
{
	waiter->job = job;
	waiter->next = job->waiters;
	job->waiters = waiter;
}

void job_remove_waiter(struct waiter *waiter)
{
	if (waiter->job == NULL)
		return;
	for (struct waiter **at = &waiter->job->waiters; *at != NULL; at = &(*at)->next)
		if (*at == waiter) {
			*at = waiter->next;
			break;
		}
	waiter->job = NULL;
}

/* A waiter may remove itself, but no other. */
static void notify(struct job *job)
{
	for (struct waiter *waiter = job->waiters, *next; waiter != NULL; waiter = next) {
		next = waiter->next;
		waiter->changed(waiter);
	}
}

static void set_answer(struct job *job, enum answer answer)
{
	if (job->answer == ANSWER_NOT_YET)
		job->answer = answer;
}

/* --- slots -------------------------------------------------------------------------------- */

static size_t index_of(const struct sched *sched, const struct route *route)
{
	return (size_t)(route - sched->config->routes);
}

static struct route_stats *stats_of(const struct sched *sched, const struct route *route)
{
	return &sched->stats[index_of(sched, route)];
}

static bool has_room(const struct sched *sched, const struct route *route)
{
	return sched->active < sched->config->max_concurrent &&
	       stats_of(sched, route)->active < route->max_concurrent;
}

static void take_slot(struct sched *sched, struct job *job)
{
	job->has_slot = true;
	sched->active++;
	if (job->route != NULL)
		stats_of(sched, job->route)->active++;
}

static void enqueue(struct sched *sched, struct job *job)
{
	job->queued = true;
	queue_append(&sched->queues[index_of(sched, job->route)], job);
	stats_of(sched, job->route)->queued++;
}

static void dequeue(struct sched *sched, struct job *job)
{
	if (!job->queued)
		return;
	job->queued = false;
	queue_remove(&sched->queues[index_of(sched, job->route)], job);
	stats_of(sched, job->route)->queued--;
}

static void drop_body(struct sched *sched, struct job *job)
{
	if (job->body_counted)
		sched->body_bytes -= job->size;
	job->body_counted = false;
	free(job->body);
	job->body = NULL;
}

static void ended(struct sched *sched, struct job *job);

static void renew_keeper(struct sched *sched)
{
	if (link_keeper(sched->link) == 0 && !sched->held && sched_active(sched) == 0)
		link_renew(sched->link);
}

static void pump(struct sched *sched);

static void on_marked(void *self, uint64_t id, int result)
{
	struct sched *sched = self;
	struct job *job = sched_find(sched, id);

	(void)result; /* updates are tried until they succeed */
	if (job == NULL || job_is_final(job->facts.state))
		return;
	job->marked = true;
	pump(sched);
}

/* A job that must never run twice is not started before the store knows that it may have been. */
static bool is_marked(struct sched *sched, struct job *job)
{
	if (!job->route->never_rerun || job->marked)
		return true;
	if (job->facts.boot != sched->boot) {
		job->facts.boot = sched->boot;
		store_update_now(sched->store, &job->facts, on_marked, sched);
	}
	return false;
}

/* START for every job that is ready, as long as the keeper takes them. */
static void pump(struct sched *sched)
{
	struct job *job;
	int r;

	while (!sched->held && !sched->blocked && link_is_ready(sched->link) &&
	       (job = sched->ready.first) != NULL && is_marked(sched, job)) {
		r = job->body != NULL ?
			    0 :
			    store_body(sched->store, job->facts.id, &job->body, &job->size);
		if (r == 0)
			r = link_start(
				sched->link,
				&(struct link_job){ .id = job->facts.id,
						    .route = job->route,
						    .home = sched->home,
						    .body = job->body,
						    .size = job->size,
						    .urgent = !has_room(sched, job->route) });
		if (r == -EAGAIN || r == -ENOTCONN || r == -EPIPE || r == -ECONNRESET)
			return; /* `writable`, or `ready` of the next keeper, comes back here */
		queue_remove(&sched->ready, job);
		drop_body(sched, job);
		job->sent = true;
		job->refused = false;
		job->timeout_ns = job->route->timeout_ns;
		if (r < 0) {
			job->facts.state = JOB_FAILED;
			snprintf(job->facts.reason, sizeof(job->facts.reason),
				 "cannot be started: %s", strerror(-r));
			set_answer(job, ANSWER_NOT_STARTED);
			ended(sched, job);
		}
	}
}

/* Of all that wait and could run, the oldest first. */
static void give_slots(struct sched *sched)
{
	for (;;) {
		struct job *oldest = NULL;

		for (size_t i = 0; i < sched->config->n_routes; i++) {
			struct job *first = sched->queues[i].first;

			if (first != NULL && has_room(sched, &sched->config->routes[i]) &&
			    (oldest == NULL || first->facts.id < oldest->facts.id))
				oldest = first;
		}
		if (oldest == NULL)
			break;
		dequeue(sched, oldest);
		take_slot(sched, oldest);
		if (oldest->stored)
			queue_append(&sched->ready, oldest);
	}
	pump(sched);
}

static void free_slot(struct sched *sched, struct job *job)
{
	dequeue(sched, job);
	if (!job->has_slot)
		return;
	if (!job->sent)
		queue_remove(&sched->ready, job);
	job->has_slot = false;
	sched->active--;
	if (job->route != NULL)
		stats_of(sched, job->route)->active--;
}

/* --- ends --------------------------------------------------------------------------------- */

/* The last bytes of a job's stderr, quoted for the log. */
static const char *stderr_tail(const struct sched *sched, const struct job *job, char *to,
			       size_t room)
{
	char tail[TAIL];
	struct stat st;
	ssize_t n = 0;
	int fd = output_open(sched->state_fd, job->facts.id, 1);

	if (fd >= 0 && fstat(fd, &st) == 0)
		n = pread(fd, tail, sizeof(tail), st.st_size > TAIL ? st.st_size - TAIL : 0);
	if (fd >= 0)
		close(fd);
	return log_quote(to, room, tail, n > 0 ? (size_t)n : 0);
}

static void log_end(const struct sched *sched, const struct job *job)
{
	const struct job_facts *facts = &job->facts;
	char id[ID_SIZE], how[32], tail[4 * TAIL + 16], reason[600];

	/* not "= {}": that would clear kilobytes for each job */
	how[0] = tail[0] = reason[0] = '\0';
	if (facts->exit_code >= 0)
		snprintf(how, sizeof(how), " exit_code=%d", facts->exit_code);
	else if (facts->signal != 0)
		snprintf(how, sizeof(how), " signal=%d", facts->signal);
	if (facts->reason[0] != '\0') {
		strcpy(reason, " reason=");
		log_quote(reason + strlen(reason), sizeof(reason) - strlen(reason), facts->reason,
			  strlen(facts->reason));
	}
	if (facts->state != JOB_SUCCEEDED && facts->bytes[1] > 0) {
		strcpy(tail, " stderr=");
		stderr_tail(sched, job, tail + strlen(tail), sizeof(tail) - strlen(tail));
	}
	log_event("exited", "id=%s route=%s pid=%d state=%s%s run_ms=%lld%s%s%s",
		  id_format(facts->id, id), facts->route, facts->pid, job_state_name(facts->state),
		  how, (long long)facts->run_ms, job->log_fields, reason, tail);
}

static void on_end_stored(void *self, uint64_t id, int result)
{
	struct sched *sched = self;
	struct job *job = sched_find(sched, id);

	(void)result; /* updates are tried until they succeed */
	if (job != NULL)
		forget(sched, job);
}

/* The state is final: the slot is free at once, the record follows. */
static void ended(struct sched *sched, struct job *job)
{
	if (job->facts.finished_ms == 0)
		job->facts.finished_ms = realtime_ms();
	if (job->route != NULL) {
		struct route_stats *stats = stats_of(sched, job->route);

		stats->ended[job->facts.state]++;
		stats->run_ms += job->facts.run_ms;
	}
	free_slot(sched, job);
	drop_body(sched, job);
	drop_pipes(job);
	log_end(sched, job);
	if (store_update(sched->store, &job->facts, on_end_stored, sched) < 0)
		log_event("store_failed", "error=\"out of memory\"");
	notify(job);
	renew_keeper(sched);
	give_slots(sched);
}

/* The end of a job that is not with the keeper. */
static void end_as(struct sched *sched, struct job *job, enum job_state state, enum answer answer,
		   const char *why)
{
	job->facts.state = state;
	snprintf(job->facts.reason, sizeof(job->facts.reason), "%s", why);
	set_answer(job, answer);
	ended(sched, job);
}

static void end_cancelled(struct sched *sched, struct job *job)
{
	end_as(sched, job, JOB_CANCELLED, ANSWER_ACCEPTED,
	       "cancelled on request, before it was started");
}

static void end_stranded(struct sched *sched, struct job *job)
{
	end_as(sched, job, JOB_FAILED, ANSWER_NOT_STARTED, "its route is no longer configured");
}

/* That a job runs is in the journal; the store is told of those that run for longer than a moment.
 * Most jobs that are many are short, and need no write for it. */
void sched_store_running(struct sched *sched)
{
	for (struct job *job = sched->newest; job != NULL; job = job->previous)
		if (job->facts.state == JOB_RUNNING && !job->running_stored &&
		    store_update(sched->store, &job->facts, NULL, NULL) == 0)
			job->running_stored = true;
}

static int on_running_timer(sd_event_source *source, uint64_t now, void *argument)
{
	struct sched *sched = argument;

	(void)source, (void)now;
	sched->running_armed = false;
	sched_store_running(sched);
	return 0;
}

static void store_running_soon(struct sched *sched)
{
	if (sched->running_armed)
		return;
	sched->running_armed = true;
	sd_event_source_set_time_relative(sched->running_timer, RUNNING_US);
	sd_event_source_set_enabled(sched->running_timer, SD_EVENT_ONESHOT);
}

/* --- the journal -------------------------------------------------------------------------- */

static void on_started(struct sched *sched, struct job *job, const struct journal_record *record)
{
	const int64_t passed = realtime_ms() - record->at_ms;
	char id[ID_SIZE];

	if (job->facts.state == JOB_RUNNING)
		return; /* read again after a restart */
	job->begun = true;
	job->facts.state = JOB_RUNNING;
	job->facts.pid = record->start.pid;
	job->facts.started_ms = record->at_ms;
	job->facts.started_ns =
		brood_now() - (passed > 0 ? passed * BROOD_MSEC : 0); /* read late, perhaps */
	if (job->route != NULL && record->at_ms > job->facts.created_ms)
		stats_of(sched, job->route)->queued_ms += record->at_ms - job->facts.created_ms;
	log_event("started", "id=%s route=%s pid=%d%s", id_format(job->facts.id, id),
		  job->facts.route, job->facts.pid, job->log_fields);
	store_running_soon(sched);
	set_answer(job, ANSWER_ACCEPTED);
	notify(job);
}

static void on_failed(struct sched *sched, struct job *job, const struct journal_record *record)
{
	job->facts.state = JOB_FAILED;
	job->facts.finished_ms = record->at_ms;
	snprintf(job->facts.reason, sizeof(job->facts.reason),
		 "cannot be started: %.19s: %.110s%s%.40s", record->fail.step, record->fail.text,
		 record->fail.text[0] != '\0' ? ": " : "", strerror(record->fail.error));
	set_answer(job, ANSWER_NOT_STARTED);
	ended(sched, job);
}

static enum job_state state_of(const struct journal_record *record)
{
	if (record->end.reason == REASON_TIMEOUT)
		return JOB_TIMED_OUT;
	if (record->end.reason == REASON_CANCEL || record->end.reason == REASON_DRAIN)
		return JOB_CANCELLED;
	if (record->end.kind == BROOD_LOST)
		return JOB_LOST;
	return record->end.kind == BROOD_EXITED && record->end.value == 0 ? JOB_SUCCEEDED :
									    JOB_FAILED;
}

/* Why it ended so, in words; "" when it simply succeeded. */
static void write_reason(const struct job *job, const struct journal_record *record, char *text,
			 size_t size)
{
	if (record->end.reason == REASON_TIMEOUT && job->timeout_ns != 0)
		snprintf(text, size, "ran longer than its timeout of %lld ms",
			 (long long)(job->timeout_ns / BROOD_MSEC));
	else if (record->end.reason == REASON_TIMEOUT)
		snprintf(text, size, "ran longer than its timeout");
	else if (record->end.reason == REASON_CANCEL)
		snprintf(text, size, "cancelled on request");
	else if (record->end.reason == REASON_DRAIN)
		snprintf(text, size, "stopped with the server");
	else if (record->end.kind == BROOD_SIGNALLED)
		snprintf(text, size, "ended by signal %d (SIG%s)%s", record->end.value,
			 sigabbrev_np(record->end.value) != NULL ? sigabbrev_np(record->end.value) :
								   "?",
			 record->end.core ? ", core dumped" : "");
	else if (record->end.kind == BROOD_LOST)
		snprintf(text, size, "its exit status was taken by another");
	else if (record->end.value != 0)
		snprintf(text, size, "exited with status %d", record->end.value);
	else
		text[0] = '\0';
}

static void on_ended(struct sched *sched, struct job *job, const struct journal_record *record)
{
	struct job_facts *facts = &job->facts;

	facts->state = state_of(record);
	facts->exit_code = record->end.kind == BROOD_EXITED ? record->end.value : -1;
	facts->signal = record->end.kind == BROOD_SIGNALLED ? record->end.value : 0;
	facts->finished_ms = record->at_ms;
	facts->run_ms = record->end.run_ms;
	facts->user_ms = record->end.user_ms;
	facts->system_ms = record->end.system_ms;
	facts->max_rss_bytes = record->end.max_rss_bytes;
	facts->bytes[0] = record->end.bytes[0];
	facts->bytes[1] = record->end.bytes[1];
	facts->truncated = record->end.truncated[0] || record->end.truncated[1];
	write_reason(job, record, facts->reason, sizeof(facts->reason));
	set_answer(job, ANSWER_ACCEPTED);
	ended(sched, job);
}

static void on_record(void *self, const struct journal_record *record)
{
	struct sched *sched = self;
	struct job *job = sched_find(sched, record->id);

	if (job == NULL || job_is_final(job->facts.state))
		return; /* stored already: the journal may be read twice */
	switch ((enum journal_type)record->type) {
	case JOURNAL_BEGIN:
		job->begun =
			!job->refused; /* what was held back when it was refused says nothing */
		job->begun_seq = record->seq;
		break;
	case JOURNAL_START:
		on_started(sched, job, record);
		break;
	case JOURNAL_FAIL:
		on_failed(sched, job, record);
		break;
	case JOURNAL_END:
		on_ended(sched, job, record);
		break;
	}
}

static void on_all_stored(void *self, uint64_t id, int result)
{
	struct sched *sched = self;

	(void)id, (void)result;
	sched->trimming = false;
	link_trim(sched->link, sched->trim_first);
}

/* A segment is needed no more when the store says of each of its jobs that it runs or how it ended. */
static void on_segment(void *self, uint64_t first)
{
	struct sched *sched = self;

	if (sched->trimming)
		return;
	for (const struct job *job = sched->oldest; job != NULL; job = job->next)
		if (job->begun && job->begun_seq < first && job->facts.state == JOB_QUEUED)
			return; /* about to start; we are asked again */
	sched_store_running(sched);
	sched->trim_first = first;
	sched->trimming = store_sync(sched->store, on_all_stored, sched) == 0;
}

/* --- the keeper comes and goes ------------------------------------------------------------ */

static bool is_live(const uint64_t *ids, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static bool is_lost(void *self, uint64_t id)
{
	const struct job *job = sched_find(self, id);

	return job != NULL && job->lost;
}

/* What had begun in a keeper that is gone is lost: what is left of it is killed first. */
static void bury_lost(struct sched *sched, size_t n_lost)
{
	int killed;

	if (n_lost == 0)
		return;
	killed = mark_hunt(is_lost, sched);
	log_event("jobs_lost", "jobs=%zu killed_processes=%d", n_lost, killed);
	for (struct job *job = sched->oldest, *next; job != NULL; job = next) {
		next = job->next;
		if (!job->lost || job_is_final(job->facts.state))
			continue;
		job->facts.state = JOB_LOST;
		output_remove_input(sched->state_fd, job->facts.id);
		for (int i = 0; i < 2; i++)
			job->facts.bytes[i] = output_size(sched->state_fd, job->facts.id, i);
		snprintf(job->facts.reason, sizeof(job->facts.reason),
			 "the keeper that ran it ended");
		set_answer(job, ANSWER_ACCEPTED);
		ended(sched, job);
	}
}

/* A job that the keeper does not have and never began: it is started, in its turn. */
static void place_again(struct sched *sched, struct job *job)
{
	if (job->cancelled) {
		end_cancelled(sched, job);
	} else if (job->route == NULL) {
		end_stranded(sched, job);
	} else if (job->route->never_rerun && job->facts.boot != 0 &&
		   job->facts.boot != sched->boot) {
		end_as(sched, job, JOB_LOST, ANSWER_ACCEPTED,
		       "the machine stopped when it may have been running");
	} else if (job->sent) {
		job->sent = false;
		queue_append(&sched->ready, job);
	} else if (!job->has_slot && !job->queued) {
		enqueue(sched, job);
	}
}

static int on_blocked_over(sd_event_source *source, uint64_t now, void *argument)
{
	struct sched *sched = argument;

	(void)source, (void)now;
	sched->blocked = false;
	pump(sched);
	return 0;
}

/* The keeper cannot write that it begins one, so it begins none: the job is stored, and waits. */
static void on_refused(void *self, uint64_t id, int error)
{
	struct sched *sched = self;
	struct job *job = sched_find(sched, id);

	if (job == NULL || job_is_final(job->facts.state) || !job->sent)
		return;
	job->sent = job->begun = false;
	job->refused = true;
	queue_append(&sched->ready, job);
	set_answer(job, ANSWER_ACCEPTED);
	notify(job);
	if (sched->blocked)
		return;
	sched->blocked = true;
	log_event("start_refused", "why=\"the keeper's journal: %s\"", strerror(error));
	sd_event_source_set_time_relative(sched->blocked_timer, BLOCKED_US);
	sd_event_source_set_enabled(sched->blocked_timer, SD_EVENT_ONESHOT);
}

static void on_hold(void *self, const struct wire_hold *hold, const int pipes[2])
{
	struct job *job = sched_find(self, hold->id);
	bool wanted = job != NULL && !job_is_final(job->facts.state);

	for (int i = 0; i < 2; i++)
		if (!wanted && pipes[i] >= 0)
			close(pipes[i]);
	if (!wanted)
		return;
	drop_pipes(job);
	job->hold = *hold;
	memcpy(job->pipes, pipes, sizeof(job->pipes));
}

/* The end of a job that we inherited: straight into our books, as no journal is ours to write. */
static int record_inherited(void *self, const struct run *run)
{
	struct journal_record record;
	enum journal_type type = runner_record(run, &record);

	record.type = type;
	record.id = run->id;
	record.at_ms = realtime_ms();
	on_record(self, &record);
	return 0;
}

static void turn_runner(struct sched *sched)
{
	int64_t left = runner_check(&sched->runner);

	runner_forget(&sched->runner);
	if (left >= 0) {
		sd_event_source_set_time_relative(sched->runner_timer,
						  (uint64_t)(left / BROOD_USEC));
		sd_event_source_set_enabled(sched->runner_timer, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(sched->runner_timer, SD_EVENT_OFF);
	}
}

static int on_runner_io(sd_event_source *source, int fd, uint32_t wanted, void *argument)
{
	struct sched *sched = argument;
	struct epoll_event events[16];
	int n = epoll_wait(fd, events, 16, 0);

	(void)source, (void)wanted;
	for (int i = 0; i < n; i++)
		runner_handle(&sched->runner, &events[i]);
	turn_runner(sched);
	return 0;
}

static int on_runner_timer(sd_event_source *source, uint64_t now, void *argument)
{
	(void)source, (void)now;
	turn_runner(argument);
	return 0;
}

static bool is_unfinished(void *self, uint64_t id)
{
	const struct job *job = sched_find(self, id);

	return job != NULL && !job_is_final(job->facts.state);
}

/* As a subreaper the server inherits what a dead keeper leaves, and as PID 1 what anybody leaves. */
static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *argument)
{
	struct sched *sched = argument;

	(void)source, (void)info;
	if (sched->runner.runs != NULL)
		runner_look(&sched->runner);
	runner_bury(&sched->runner, link_keeper(sched->link), is_unfinished, sched);
	turn_runner(sched);
	return 0;
}

static void on_may_have_run(void *self, uint64_t id)
{
	struct job *job = sched_find(self, id);

	if (job != NULL)
		job->lost = true;
}

/* Goes on with a job of a dead keeper. A job that had begun and has no process is none that ran: its
 * program would be ours now, dead or alive, and marked (keeper.c, invariant 3). */
static bool inherit(struct sched *sched, struct job *job)
{
	struct wire_hold hold = job->hold;
	struct run *run;
	int r;

	if (hold.id == 0) { /* its message did not reach us */
		hold = (struct wire_hold){ .id = job->facts.id,
					   .begun_ns = brood_now(),
					   .deadline_ns = BROOD_FOREVER };
		if (job->route != NULL) {
			hold.kill_grace_ns = job->route->kill_grace_ns;
			hold.output_limit = job->route->output_limit;
			hold.input_file = job->route->input == INPUT_FILE;
			if (job->route->timeout_ns > 0)
				hold.deadline_ns = hold.begun_ns + job->route->timeout_ns;
		}
	}
	r = runner_inherit(&sched->runner, &hold, job->facts.pid, job->pipes);
	if (r < 0) {
		if (r == -ESRCH && sched->marks && !job->lost && job->facts.state != JOB_RUNNING)
			job->begun = false;
		return false;
	}
	job->pipes[0] = job->pipes[1] = -1; /* the runner's now */
	run = runner_find(&sched->runner, job->facts.id);
	on_started(
		sched, job, /* if that was not recorded */
		&(struct journal_record){ .at_ms = realtime_ms(), .start = { .pid = run->pid } });
	if (job->cancelled)
		runner_stop(run, REASON_CANCEL);
	return true;
}

static void on_down(void *self, bool ours)
{
	struct sched *sched = self;
	size_t n = 0;

	if (!ours)
		return;
	if (sched->marks)
		runner_kill_unborn(&sched->runner, on_may_have_run, sched);
	for (struct job *job = sched->oldest; job != NULL; job = job->next)
		if (job->sent && !job_is_final(job->facts.state) &&
		    runner_find(&sched->runner, job->facts.id) == NULL)
			n += inherit(sched, job);
	if (n > 0)
		log_event("jobs_inherited", "jobs=%zu", n);
	runner_bury(&sched->runner, link_keeper(sched->link), is_unfinished, sched);
	turn_runner(sched);
}

static void on_ready(void *self, const uint64_t *ids, size_t n)
{
	struct sched *sched = self;
	/* A keeper that was not started by us lived all the time: what it began and did not start, it
	 * refused. */
	const bool found = link_keeper(sched->link) == 0;
	size_t n_lost = 0;

	for (struct job *job = sched->oldest, *next; job != NULL; job = next) {
		next = job->next;
		if (job_is_final(job->facts.state))
			continue;
		if (runner_find(&sched->runner, job->facts.id) != NULL)
			continue;
		if (is_live(ids, n, job->facts.id)) {
			if (!job->has_slot)
				take_slot(sched, job);
			job->sent = job->begun = true;
			if (job->cancelled)
				link_stop(sched->link, job->facts.id, REASON_CANCEL);
		} else if ((job->begun && !found) || job->facts.state == JOB_RUNNING) {
			job->lost = true;
			n_lost++;
		} else {
			/* It may hold the BEGIN of what it refused, and write that yet. */
			if (found) {
				job->begun = false;
				job->refused = true;
			}
			place_again(sched, job);
		}
	}
	bury_lost(sched, n_lost);
	renew_keeper(sched);
	give_slots(sched);
}

static void on_writable(void *self)
{
	pump(self);
}

/* --- doors -------------------------------------------------------------------------------- */

static void on_inserted(void *self, uint64_t id, int result)
{
	struct sched *sched = self;
	struct job *job = sched_find(sched, id);

	if (job == NULL)
		return;
	if (result < 0) {
		set_answer(job, ANSWER_NOT_STORED);
		free_slot(sched, job);
		notify(job);
		forget(sched, job);
		give_slots(sched);
		return;
	}
	job->stored = true;
	if (job_is_final(job->facts.state))
		return; /* a reload took its route away meanwhile */
	if (job->has_slot) {
		queue_append(&sched->ready, job);
		pump(sched);
		if (!sched->held)
			return; /* answered when it has been started, or could not be */
	}
	if (sched->body_bytes + job->size > BODY_BUDGET)
		drop_body(sched, job); /* it may wait long, and the store has it */
	else
		sched->body_bytes += job->size;
	job->body_counted = job->body != NULL;
	set_answer(job, ANSWER_ACCEPTED);
	notify(job);
}

/* Servers of one machine must not give the same ids: what a lost job left is found by its id. */
static uint32_t next_salt(struct sched *sched)
{
	const size_t n = sizeof(sched->salt) / sizeof(sched->salt[0]);

	if (sched->n_salt == 0) {
		if (getrandom(sched->salt, sizeof(sched->salt), GRND_NONBLOCK) !=
		    sizeof(sched->salt))
			return (uint32_t)brood_now();
		sched->n_salt = n;
	}
	return sched->salt[--sched->n_salt];
}

int sched_submit(struct sched *sched, const struct route *route, char *body, size_t size,
		 const json_t *fields, struct job **ret_job)
{
	struct route_stats *stats = stats_of(sched, route);
	struct job_facts facts = { .exit_code = -1, .created_ms = realtime_ms() };
	bool slot = has_room(sched, route) && stats->queued == 0;
	struct job *job;

	if (!link_is_up(sched->link))
		return -ENOTCONN;
	if (!slot && stats->queued >= route->queue) {
		stats->refused++;
		return -EBUSY;
	}
	facts.id = id_next(sched->last_id, facts.created_ms, next_salt(sched));
	facts.boot = slot && route->never_rerun ? sched->boot : 0;
	snprintf(facts.route, sizeof(facts.route), "%s", route->name);
	job = job_new(&facts, fields, json_dumps(fields, JSON_COMPACT));
	if (job == NULL ||
	    store_insert(sched->store, &job->facts, body, size, on_inserted, sched) < 0) {
		job_free(job);
		return -ENOMEM;
	}
	sched->last_id = facts.id;
	stats->accepted++;
	job->marked = slot;
	job->route = route;
	job->body = body;
	job->size = size;
	table_add(sched, job);
	if (slot)
		take_slot(sched, job);
	else
		enqueue(sched, job);
	*ret_job = job;
	return 0;
}

static void stop_run(struct sched *sched, const struct job *job, enum journal_reason reason)
{
	struct run *run = runner_find(&sched->runner, job->facts.id);

	if (run == NULL) {
		link_stop(sched->link, job->facts.id, reason);
		return;
	}
	runner_stop(run, reason);
	turn_runner(sched);
}

void sched_cancel(struct sched *sched, struct job *job)
{
	if (job_is_final(job->facts.state))
		return;
	if (job->sent) {
		job->cancelled = true; /* a keeper that dies now may not have heard it */
		stop_run(sched, job, REASON_CANCEL);
		return;
	}
	end_cancelled(sched, job);
}

void sched_hold(struct sched *sched)
{
	sched->held = true;
	/* Who has a slot but no START keeps its place for the next start, and may be told so. */
	for (struct job *job = sched->oldest; job != NULL; job = job->next)
		if (job->stored && !job->sent && !job_is_final(job->facts.state)) {
			set_answer(job, ANSWER_ACCEPTED);
			notify(job);
		}
}

void sched_stop_all(struct sched *sched)
{
	for (struct job *job = sched->oldest; job != NULL; job = job->next)
		if (job->sent && !job_is_final(job->facts.state))
			stop_run(sched, job, REASON_DRAIN);
}

int64_t sched_active(const struct sched *sched)
{
	int64_t n = 0;

	for (const struct job *job = sched->oldest; job != NULL; job = job->next)
		n += job->sent && !job_is_final(job->facts.state);
	return n;
}

uint64_t sched_oldest(const struct sched *sched)
{
	return sched->oldest != NULL ? sched->oldest->facts.id : UINT64_MAX;
}

bool sched_is_ready(const struct sched *sched)
{
	return link_is_up(sched->link) && !sched->held;
}

const struct route_stats *sched_stats(const struct sched *sched, const struct route *route)
{
	return stats_of(sched, route);
}

/* --- another configuration ---------------------------------------------------------------- */

/* The job's route by its name. One that waits and has none any more goes to `stranded`. */
static void rebind(struct sched *sched, struct job *job, struct queue *stranded)
{
	bool waits = job->queued || (job->has_slot && !job->sent);

	job->route = config_route(sched->config, job->facts.route);
	if (job->route != NULL) {
		if (job->has_slot)
			stats_of(sched, job->route)->active++;
		if (job->queued)
			enqueue(sched, job);
	} else if (waits) {
		queue_remove(&sched->ready, job);
		job->queued = false; /* its queue is gone */
		queue_append(stranded, job);
	} else if (job->sent) {
		/* stored, and with the keeper: its submit is answered while the manner is known */
		set_answer(job, ANSWER_ACCEPTED);
		notify(job);
	}
}

/* Counters stay with a route's name. Its gauges are counted and its queue is filled anew, from the
 * jobs: these are in the order of age, as the queue was, and some may have a route again. */
int sched_reload(struct sched *sched, const struct config *config)
{
	struct queue *queues = calloc(config->n_routes, sizeof(*queues)), stranded;
	struct route_stats *stats = calloc(config->n_routes, sizeof(*stats));
	struct job *job;

	if (queues == NULL || stats == NULL) {
		free(queues);
		free(stats);
		return -ENOMEM;
	}
	for (size_t i = 0; i < config->n_routes; i++) {
		const struct route *old = config_route(sched->config, config->routes[i].name);

		queue_init(&queues[i]);
		if (old != NULL)
			stats[i] = *stats_of(sched, old);
		stats[i].active = stats[i].queued = 0;
	}
	free(sched->queues);
	free(sched->stats);
	sched->queues = queues;
	sched->stats = stats;
	sched->config = config;
	queue_init(&stranded);
	for (job = sched->oldest; job != NULL; job = job->next)
		rebind(sched, job, &stranded);
	while ((job = stranded.first) != NULL) {
		queue_remove(&stranded, job);
		end_stranded(sched, job);
	}
	give_slots(sched);
	return 0;
}

/* --- opening ------------------------------------------------------------------------------ */

static void load_job(void *self, const struct job_facts *facts)
{
	struct sched *sched = self;
	json_t *fields = json_loads(facts->fields, 0, NULL);
	struct job *job = job_new(facts, fields, strdup(facts->fields));

	json_decref(fields);
	if (job == NULL)
		return; /* found again at the next start */
	job->stored = true;
	job->marked = facts->boot == sched->boot;
	job->answer = ANSWER_ACCEPTED;
	job->route = config_route(sched->config, facts->route);
	table_add(sched, job);
}

/* A number that is another one after the machine was started again. */
static int64_t boot_number(void)
{
	char text[16] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	int64_t number = 0;

	if (file != NULL && fgets(text, sizeof(text), file) != NULL)
		number = strtoll(text, NULL, 16) << 16 | strtoll(text + 9, NULL, 16);
	if (file != NULL)
		(void)fclose(file);
	return number != 0 ? number : 1;
}

static void find_home(struct sched *sched)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *home = getenv("HOME");

	if (home == NULL || *home == '\0')
		home = user != NULL ? user->pw_dir : "/";
	snprintf(sched->home, sizeof(sched->home), "%s", home);
}

static int open_runner(struct sched *sched, sd_event *event)
{
	sigset_t child;
	int r, epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0)
		return -errno;
	sched->runner.record = record_inherited;
	sched->runner.self = sched;
	sched->marks = mark_possible() && runner_open(&sched->runner, epoll, sched->state_fd) == 0;
	r = sd_event_add_io(event, &sched->runner_io, epoll, EPOLLIN, on_runner_io, sched);
	if (r < 0) {
		close(epoll);
		return r;
	}
	sd_event_source_set_io_fd_own(sched->runner_io, true);
	r = sd_event_add_time_relative(event, &sched->runner_timer, CLOCK_MONOTONIC, 0, 1000,
				       on_runner_timer, sched);
	if (r >= 0)
		r = sd_event_source_set_enabled(sched->runner_timer, SD_EVENT_OFF);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	return r < 0 ? r : sd_event_add_signal(event, &sched->children, SIGCHLD, on_child, sched);
}

int sched_open(sd_event *event, const struct config *config, struct store *store, int state_fd,
	       struct sched **ret_sched)
{
	struct sched *sched = calloc(1, sizeof(*sched));
	const struct link_callbacks callbacks = {
		.self = sched,
		.ready = on_ready,
		.record = on_record,
		.segment = on_segment,
		.refused = on_refused,
		.hold = on_hold,
		.down = on_down,
		.writable = on_writable,
	};
	int r;

	if (sched == NULL)
		return -ENOMEM;
	sched->config = config;
	sched->store = store;
	sched->state_fd = state_fd;
	sched->boot = boot_number();
	sched->runner.children_file = -1;
	find_home(sched);
	queue_init(&sched->ready);
	sched->queues = calloc(config->n_routes, sizeof(*sched->queues));
	sched->stats = calloc(config->n_routes, sizeof(*sched->stats));
	r = sched->queues == NULL || sched->stats == NULL ? -ENOMEM : 0;
	for (size_t i = 0; r == 0 && i < config->n_routes; i++)
		queue_init(&sched->queues[i]);
	if (r == 0)
		r = store_last_id(store, &sched->last_id);
	if (r == 0)
		r = store_unfinished(store, load_job, sched);
	if (r == 0)
		r = sd_event_add_time_relative(event, &sched->running_timer, CLOCK_MONOTONIC, 0,
					       1000, on_running_timer, sched);
	if (r >= 0)
		r = sd_event_source_set_enabled(sched->running_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &sched->blocked_timer, CLOCK_MONOTONIC, 0,
					       1000, on_blocked_over, sched);
	if (r >= 0)
		r = sd_event_source_set_enabled(sched->blocked_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = open_runner(sched, event);
	if (r >= 0)
		r = link_open(event, state_fd, &callbacks, &sched->link);
	if (r < 0) {
		sched_close(sched);
		return r;
	}
	*ret_sched = sched;
	return 0;
}

void sched_quit(struct sched *sched)
{
	sched->held = true;
	link_quit(sched->link, 10 * BROOD_SEC);
}

struct sched *sched_close(struct sched *sched)
{
	if (sched == NULL)
		return NULL;
	while (sched->oldest != NULL)
		forget(sched, sched->oldest);
	link_free(sched->link);
	runner_close(&sched->runner);
	sd_event_source_disable_unref(sched->runner_io);
	sd_event_source_disable_unref(sched->runner_timer);
	sd_event_source_disable_unref(sched->children);
	sd_event_source_disable_unref(sched->running_timer);
	sd_event_source_disable_unref(sched->blocked_timer);
	free(sched->queues);
	free(sched->stats);
	free(sched);
	return NULL;
}
