#include "serve/api.h"

#include <brood/brood.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "serve/body.h"
#include "serve/id.h"
#include "serve/output.h"
#include "serve/range.h"

#define WAIT_LIMIT (300 * BROOD_SEC) /* of ?wait= */
#define LIST_DEFAULT 100
#define LIST_LIMIT 1000
#define FIELDS_LIMIT 8 /* filters in one listing */

enum waiting { WAIT_NOTHING, WAIT_ANSWER, WAIT_END, WAIT_LIST };

/* What belongs to one request, from begin to closed. */
struct exchange {
	struct exchange *next, *previous;
	struct api *api;
	struct http_request *request;
	const struct route *route; /* of a submit */
	enum waiting waiting;
	struct waiter waiter;
	sd_event_source *timer;
	json_t *jobs; /* a listing being made */
};

struct api {
	sd_event *event;
	const struct config *config;
	struct sched *sched;
	struct store *store;
	int state_fd;
	bool draining;
	struct exchange *exchanges;
	uint64_t replies[6]; /* by the status' first digit */
	uint64_t busy;       /* refused since the last line of the log */
	int64_t busy_said_ns;
	int64_t started_ns;
};

/* --- replies ------------------------------------------------------------------------------ */

static void reply(struct exchange *exchange, unsigned status, const struct http_header *headers,
		  size_t n, const char *body, size_t size)
{
	exchange->waiting = WAIT_NOTHING;
	exchange->api->replies[status / 100 % 6]++;
	http_reply(exchange->request, status, headers, n, body, size);
}

/* `value` is taken. */
static void reply_json(struct exchange *exchange, unsigned status, const struct http_header *more,
		       size_t n, json_t *value)
{
	struct http_header headers[6] = { { "Content-Type", "application/json" },
					  { "Cache-Control", "no-store" } };
	char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;

	for (size_t i = 0; i < n && i < 4; i++)
		headers[2 + i] = more[i];
	if (text == NULL)
		reply(exchange, 500, NULL, 0, "", 0);
	else
		reply(exchange, status, headers, 2 + n, text, strlen(text));
	free(text);
	json_decref(value);
}

static void reply_error(struct exchange *exchange, unsigned status, const char *code,
			const char *format, ...) __attribute__((format(printf, 4, 5)));

static void reply_error(struct exchange *exchange, unsigned status, const char *code,
			const char *format, ...)
{
	const struct http_header again = { "Retry-After", "1" };
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	reply_json(exchange, status, &again, status == 503,
		   json_pack("{s{sssssn}}", "error", "code", code, "message", message, "field"));
}

/* A field's name comes from the configuration, which may use any character; a header may not. */
static void header_text(const char *from, char *to, size_t room)
{
	size_t i;

	for (i = 0; from[i] != '\0' && i + 1 < room; i++)
		to[i] = from[i] > ' ' && from[i] < 0x7f ? from[i] : '?';
	to[i] = '\0';
}

/* The documented sentence of a status, for clients that know only those. */
static const char *code_message(unsigned status, const char *message)
{
	switch (status) {
	case 202:
		return "success";
	case 429:
		return "System busy, try later.";
	case 500:
		return "Internal server error.";
	default:
		return message;
	}
}

struct refusal {
	unsigned status;
	const char *code, *message, *field; /* field: "" when none */
};

/* Says no to a submit, in the route's own manner. */
static void refuse(struct exchange *exchange, const struct refusal *refusal)
{
	const struct route *route = exchange->route;
	bool field = refusal->field[0] != '\0';
	char name[160];
	struct http_header headers[2];
	size_t n = 0;
	unsigned status = route->status == STATUS_ALWAYS_200 ? 200 : refusal->status;
	json_t *body;

	if (field) {
		header_text(refusal->field, name, sizeof(name));
		headers[n++] = (struct http_header){ "Brood-Field", name };
	}
	if (refusal->status == 429 || refusal->status == 503)
		headers[n++] = (struct http_header){ "Retry-After", "1" };
	if (route->reply == REPLY_CODE_MESSAGE)
		body = json_pack("{siss}", "code", (int)refusal->status, "message",
				 field ? "Missing required parameters." :
					 code_message(refusal->status, refusal->message));
	else
		body = json_pack("{s{ssssss?}}", "error", "code", refusal->code, "message",
				 refusal->message, "field", field ? refusal->field : NULL);
	reply_json(exchange, status, headers, n, body);
}

/* Every refusal leaves a line, but a flood of busy ones leaves one a second. */
static void log_refusal(struct api *api, const struct route *route, const struct refusal *refusal)
{
	char quoted[400], field[400] = "";
	int64_t now;

	if (refusal->status == 429) {
		api->busy++;
		now = brood_now();
		if (now - api->busy_said_ns < BROOD_SEC)
			return;
		api->busy_said_ns = now;
		log_event("busy", "route=%s refused=%llu", route->name,
			  (unsigned long long)api->busy);
		api->busy = 0;
		return;
	}
	if (refusal->field[0] != '\0') {
		strcpy(field, " field=");
		log_quote(field + 7, sizeof(field) - 7, refusal->field, strlen(refusal->field));
	}
	log_event("refused", "route=%s status=%u%s message=%s", route->name, refusal->status, field,
		  log_quote(quoted, sizeof(quoted), refusal->message, strlen(refusal->message)));
}

static void refuse_and_log(struct exchange *exchange, unsigned status, const char *code,
			   const char *message, const char *field)
{
	const struct refusal refusal = { status, code, message, field };

	log_refusal(exchange->api, exchange->route, &refusal);
	refuse(exchange, &refusal);
}

/* --- jobs as JSON ------------------------------------------------------------------------- */

static json_t *time_json(int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[40];
	struct tm utc;
	size_t at;

	if (ms == 0)
		return json_null();
	gmtime_r(&seconds, &utc);
	at = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + at, sizeof(text) - at, ".%03dZ", (int)(ms % 1000));
	return json_string(text);
}

static int64_t positive(int64_t ms)
{
	return ms > 0 ? ms : 0;
}

/* What it wrote; of a running job: so far. */
static json_t *bytes_json(const struct api *api, const struct job_facts *facts, int which)
{
	return json_integer(job_is_final(facts->state) ?
				    facts->bytes[which] :
				    output_size(api->state_fd, facts->id, which));
}

/* How long a running job runs, by the clock that nobody sets. */
static int64_t so_far_ms(const struct api *api, const struct job_facts *facts)
{
	const struct job *job = sched_find(api->sched, facts->id);

	return job != NULL ? (brood_now() - job->facts.started_ns) / BROOD_MSEC : 0;
}

static json_t *job_json(const struct api *api, const struct job_facts *facts)
{
	bool started = facts->started_ms != 0, final = job_is_final(facts->state);
	int64_t now = realtime_ms(), until = started ? facts->started_ms :
					     final   ? facts->finished_ms :
						       now;
	json_t *job = json_object();
	char id[ID_SIZE];

	json_object_set_new(job, "id", json_string(id_format(facts->id, id)));
	json_object_set_new(job, "route", json_string(facts->route));
	json_object_set_new(job, "state", json_string(job_state_name(facts->state)));
	json_object_set_new(job, "exit_code",
			    facts->exit_code >= 0 ? json_integer(facts->exit_code) : json_null());
	json_object_set_new(job, "signal",
			    facts->signal != 0 ? json_integer(facts->signal) : json_null());
	json_object_set_new(job, "created_at", time_json(facts->created_ms));
	json_object_set_new(job, "started_at", time_json(facts->started_ms));
	json_object_set_new(job, "finished_at", time_json(facts->finished_ms));
	json_object_set_new(job, "queued_ms", json_integer(positive(until - facts->created_ms)));
	json_object_set_new(job, "run_ms",
			    !started ? json_null() :
				       json_integer(final ? facts->run_ms : so_far_ms(api, facts)));
	json_object_set_new(job, "rusage",
			    json_pack("{sIsIsI}", "user_ms", (json_int_t)facts->user_ms,
				      "system_ms", (json_int_t)facts->system_ms, "max_rss_bytes",
				      (json_int_t)facts->max_rss_bytes));
	json_object_set_new(job, "stdout_bytes", bytes_json(api, facts, 0));
	json_object_set_new(job, "stderr_bytes", bytes_json(api, facts, 1));
	json_object_set_new(job, "truncated", json_boolean(facts->truncated));
	json_object_set_new(job, "reason",
			    facts->reason[0] != '\0' ? json_string(facts->reason) : json_null());
	json_object_set_new(job, "fields", json_loads(facts->fields, 0, NULL));
	return job;
}

static void href_of(uint64_t id, char *to, size_t size)
{
	char text[ID_SIZE];

	snprintf(to, size, "/v1/jobs/%s", id_format(id, text));
}

/* --- submit ------------------------------------------------------------------------------- */

static void reply_accepted(struct exchange *exchange, const struct job *job)
{
	const struct route *route = exchange->route;
	char href[40], id[ID_SIZE];
	const struct http_header location = { "Location", href };
	json_t *body;

	href_of(job->facts.id, href, sizeof(href));
	if (route->reply == REPLY_CODE_MESSAGE)
		body = json_pack("{siss}", "code", 200, "message", "success");
	else
		body = json_pack("{ssssssss}", "id", id_format(job->facts.id, id), "route",
				 job->facts.route, "state", job_state_name(job->facts.state),
				 "href", href);
	reply_json(exchange, route->status == STATUS_ALWAYS_200 ? 200 : 202, &location, 1, body);
}

static void answer_submit(struct exchange *exchange, const struct job *job)
{
	switch (job->answer) {
	case ANSWER_NOT_YET:
		return;
	case ANSWER_ACCEPTED:
		reply_accepted(exchange, job);
		break;
	case ANSWER_NOT_STARTED:
		refuse_and_log(exchange, 500, "cannot_start",
			       job->facts.reason[0] != '\0' ? job->facts.reason :
							      "the program cannot be started",
			       "");
		break;
	case ANSWER_NOT_STORED:
		refuse_and_log(exchange, 507, "not_stored", "the job could not be stored", "");
		break;
	}
	job_remove_waiter(&exchange->waiter);
}

static void wait_for(struct exchange *exchange, struct job *job, enum waiting waiting)
{
	exchange->waiting = waiting;
	job_add_waiter(job, &exchange->waiter);
}

static void submit(struct exchange *exchange)
{
	struct api *api = exchange->api;
	struct http_request *request = exchange->request;
	struct body_error error;
	struct job *job;
	json_t *value, *fields;
	const char *body;
	char *copy;
	size_t size;
	bool over;
	int r;

	body = http_body(request, &size, &over);
	/* how much is kept was said by the configuration at its begin, which may be another now */
	if (over || size > (size_t)exchange->route->body_limit) {
		refuse_and_log(exchange, 413, "body_too_large",
			       "the body is larger than the route's body_limit", "");
		return;
	}
	if (body_check(body, size, &exchange->route->required, &value, &error) < 0) {
		refuse_and_log(exchange, 400, error.line > 0 ? "not_json" : "missing_field",
			       error.message, error.field);
		return;
	}
	fields = body_fields(value, &api->config->log_fields);
	json_decref(value);
	copy = malloc(size + 1);
	r = copy == NULL || fields == NULL ? -ENOMEM : 0;
	if (r == 0) {
		memcpy(copy, body, size);
		r = sched_submit(api->sched, exchange->route, copy, size, fields, &job);
	}
	json_decref(fields);
	if (r == 0) {
		wait_for(exchange, job, WAIT_ANSWER);
		return;
	}
	free(copy);
	if (r == -EBUSY)
		refuse_and_log(exchange, 429, "busy", "no slot is free and nothing more may wait",
			       "");
	else
		refuse_and_log(exchange, 503, "unavailable", strerror(-r), "");
}

/* What a submit's head alone tells. True when it was refused. */
static bool refuse_by_head(struct exchange *exchange)
{
	const char *length = http_header(exchange->request, "Content-Length");

	if (exchange->api->draining)
		refuse_and_log(exchange, 503, "draining",
			       "the server is stopping and takes no new jobs", "");
	else if (!body_is_json_type(http_header(exchange->request, "Content-Type")))
		refuse_and_log(exchange, 415, "unsupported_media_type",
			       "the body must be application/json", "");
	else if (length != NULL &&
		 strtoull(length, NULL, 10) > (uint64_t)exchange->route->body_limit)
		refuse_and_log(exchange, 413, "body_too_large",
			       "the body is larger than the route's body_limit", "");
	else
		return false;
	return true;
}

/* --- one job ------------------------------------------------------------------------------ */

static void reply_job(struct exchange *exchange, unsigned status, const struct job_facts *facts)
{
	reply_json(exchange, status, NULL, 0, job_json(exchange->api, facts));
}

/* The facts of a job that runs, or that is in the store. Returns 0, -ENOENT, or -errno; *ret_stored
 * is to be freed. */
static int find_facts(struct api *api, uint64_t id, struct job **ret_job, struct job_facts *facts,
		      char **ret_stored)
{
	struct job *job = sched_find(api->sched, id);
	int r;

	*ret_job = NULL;
	*ret_stored = NULL;
	if (job != NULL) {
		if (!job->stored)
			return -ENOENT; /* nobody was told of it yet */
		*ret_job = job;
		*facts = job->facts;
		return 0;
	}
	r = store_get(api->store, id, facts);
	if (r == 0)
		*ret_stored = facts->fields;
	return r;
}

/* Tells who waits for a job's end how it is now. */
static void end_wait(struct exchange *exchange)
{
	struct job *job = exchange->waiter.job;

	if (exchange->waiting != WAIT_END || job == NULL)
		return;
	reply_job(exchange, 200, &job->facts);
	job_remove_waiter(&exchange->waiter);
}

static int on_wait_over(sd_event_source *source, uint64_t now, void *argument)
{
	(void)source, (void)now;
	end_wait(argument);
	return 0;
}

/* ?wait=: how long to wait for the end. Returns 0 and *ret_ns, or -EINVAL, replied. */
static int wait_parameter(struct exchange *exchange, int64_t *ret_ns)
{
	const char *wait = http_query(exchange->request, "wait");

	*ret_ns = 0;
	if (wait == NULL)
		return 0;
	if (parse_duration(wait, ret_ns) < 0) {
		reply_error(exchange, 400, "bad_parameter",
			    "wait must be a duration such as 500ms, 30s or 5m");
		return -EINVAL;
	}
	if (*ret_ns > WAIT_LIMIT)
		*ret_ns = WAIT_LIMIT;
	return 0;
}

static void wait_for_end(struct exchange *exchange, struct job *job, int64_t wait_ns)
{
	int r = sd_event_add_time_relative(exchange->api->event, &exchange->timer, CLOCK_MONOTONIC,
					   (uint64_t)(wait_ns / BROOD_USEC), 10000, on_wait_over,
					   exchange);

	if (r < 0)
		reply_job(exchange, 200, &job->facts);
	else
		wait_for(exchange, job, WAIT_END);
}

static void get_job(struct exchange *exchange, uint64_t id, bool cancel)
{
	struct job_facts facts;
	int64_t wait_ns;
	struct job *job;
	char *stored;
	int r;

	if (wait_parameter(exchange, &wait_ns) < 0)
		return;
	r = find_facts(exchange->api, id, &job, &facts, &stored);
	if (r == -ENOENT) {
		reply_error(exchange, 404, "not_found", "there is no such job");
	} else if (r < 0) {
		reply_error(exchange, 500, "store", "the store cannot be read: %s", strerror(-r));
	} else {
		if (cancel && job != NULL)
			sched_cancel(exchange->api->sched, job);
		if (job != NULL && wait_ns > 0 && !job_is_final(job->facts.state))
			wait_for_end(exchange, job, wait_ns);
		else /* a running job ends in its own time: 202 */
			reply_job(exchange,
				  cancel && job != NULL && !job_is_final(job->facts.state) ? 202 :
											     200,
				  job != NULL ? &job->facts : &facts);
	}
	free(stored);
}

static void reply_output(struct exchange *exchange, int fd)
{
	char range[80];
	struct http_header headers[] = {
		{ "Content-Type", "text/plain; charset=utf-8" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Accept-Ranges", "bytes" },
		{ "Cache-Control", "no-store" },
		{ "Content-Range", range },
	};
	uint64_t offset = 0, length;
	struct stat st = { .st_size = 0 };
	enum range kind;

	if (fd >= 0 && fstat(fd, &st) < 0)
		st.st_size = 0;
	length = (uint64_t)st.st_size;
	kind = range_parse(http_header(exchange->request, "Range"), length, &offset, &length);
	if (kind == RANGE_OUTSIDE) {
		snprintf(range, sizeof(range), "bytes */%lld", (long long)st.st_size);
		reply(exchange, 416, headers, 5, "", 0);
	} else if (fd < 0) {
		reply(exchange, 200, headers, 4, "", 0);
	} else {
		snprintf(range, sizeof(range), "bytes %llu-%llu/%lld", (unsigned long long)offset,
			 (unsigned long long)(offset + length - 1), (long long)st.st_size);
		exchange->waiting = WAIT_NOTHING;
		exchange->api->replies[2]++;
		http_reply_file(exchange->request, kind == RANGE_PART ? 206 : 200, headers,
				kind == RANGE_PART ? 5 : 4, fd, (off_t)offset, length);
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void get_output(struct exchange *exchange, uint64_t id, int which)
{
	struct job_facts facts;
	struct job *job;
	char *stored;
	int r = find_facts(exchange->api, id, &job, &facts, &stored);

	free(stored);
	if (r == 0) {
		r = output_open(exchange->api->state_fd, id, which);
		if (r >= 0 || (r == -ENOENT && facts.bytes[which] == 0)) {
			reply_output(exchange, r >= 0 ? r : -1);
			return;
		}
		if (r == -ENOENT) /* the job is being removed */
			reply_error(exchange, 404, "not_found", "its output is no longer kept");
		else
			reply_error(exchange, 500, "output", "the output cannot be read: %s",
				    strerror(-r));
	} else {
		reply_error(exchange, r == -ENOENT ? 404 : 500,
			    r == -ENOENT ? "not_found" : "store",
			    r == -ENOENT ? "there is no such job" : "the store cannot be read");
	}
}

/* --- the listing -------------------------------------------------------------------------- */

struct listing {
	struct exchange *exchange;
	struct store_filter filter;
	const char *names[FIELDS_LIMIT], *values[FIELDS_LIMIT];
	char wrong[160]; /* "": nothing */
};

static bool is_log_field(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->log_fields.n; i++)
		if (strcmp(config->log_fields.words[i], name) == 0)
			return true;
	return false;
}

static bool take_parameter(void *self, const char *name, const char *value)
{
	struct listing *listing = self;
	struct store_filter *filter = &listing->filter;
	char quoted[80];
	int64_t n;

	if (value == NULL) { /* it had a NUL inside */
		snprintf(listing->wrong, sizeof(listing->wrong), "a parameter has a NUL character");
	} else if (strcmp(name, "state") == 0) {
		filter->state = job_state_parse(value);
		if (filter->state < 0)
			snprintf(listing->wrong, sizeof(listing->wrong),
				 "state must be queued, running, succeeded, "
				 "failed, timed_out, cancelled or lost");
	} else if (strcmp(name, "route") == 0) {
		filter->route = value;
	} else if (strcmp(name, "limit") == 0) {
		if (parse_count(value, &n) < 0 || n < 1 || n > LIST_LIMIT)
			snprintf(listing->wrong, sizeof(listing->wrong), "limit must be 1 to %d",
				 LIST_LIMIT);
		else
			filter->limit = (int)n;
	} else if (strcmp(name, "after") == 0) {
		if (!id_parse(value, &filter->before))
			snprintf(listing->wrong, sizeof(listing->wrong),
				 "after must be a job's id");
	} else if (is_log_field(listing->exchange->api->config, name) &&
		   filter->n_fields < FIELDS_LIMIT) {
		listing->names[filter->n_fields] = name;
		listing->values[filter->n_fields++] = value;
	} else {
		snprintf(listing->wrong, sizeof(listing->wrong), "unknown parameter %s",
			 log_quote(quoted, sizeof(quoted), name, strlen(name)));
	}
	return listing->wrong[0] == '\0';
}

static int read_listing(struct exchange *exchange, struct listing *listing)
{
	*listing = (struct listing){ .exchange = exchange,
				     .filter = { .state = -1, .limit = LIST_DEFAULT } };
	listing->filter.names = listing->names;
	listing->filter.values = listing->values;
	http_each_query(exchange->request, take_parameter, listing);
	return listing->wrong[0] == '\0' ? 0 : -EINVAL;
}

static void list_one(void *self, const struct job_facts *facts)
{
	struct exchange *exchange = self;

	json_array_append_new(exchange->jobs, job_json(exchange->api, facts));
}

/* All that happened before the request is committed now: what the store says is the truth. */
static void list_now(struct exchange *exchange)
{
	struct listing listing;
	json_t *last, *next;
	int r;

	if (read_listing(exchange, &listing) < 0) { /* a reload took a field away */
		reply_error(exchange, 400, "bad_parameter", "%s", listing.wrong);
		return;
	}
	if (listing.filter.state == JOB_QUEUED || listing.filter.state == JOB_RUNNING)
		listing.filter.oldest = sched_oldest(exchange->api->sched) & INT64_MAX;
	exchange->jobs = json_array();
	r = store_list(exchange->api->store, &listing.filter, list_one, exchange);
	if (r < 0) {
		json_decref(exchange->jobs);
		exchange->jobs = NULL;
		reply_error(exchange, 500, "store", "the store cannot be read: %s", strerror(-r));
		return;
	}
	last = json_array_get(exchange->jobs, json_array_size(exchange->jobs) - 1);
	next = json_array_size(exchange->jobs) == (size_t)listing.filter.limit ?
		       json_incref(json_object_get(last, "id")) :
		       json_null();
	reply_json(exchange, 200, NULL, 0,
		   json_pack("{soso}", "jobs", exchange->jobs, "next", next));
	exchange->jobs = NULL;
}

/* The request may be gone by now: it is looked for, not trusted. */
static void on_list_barrier(void *self, uint64_t id, int result)
{
	struct api *api = self;
	struct exchange *next;

	(void)id, (void)result;
	for (struct exchange *exchange = api->exchanges; exchange != NULL; exchange = next) {
		next = exchange->next;
		if (exchange->waiting == WAIT_LIST) {
			exchange->waiting = WAIT_NOTHING;
			list_now(exchange);
		}
	}
}

static void get_list(struct exchange *exchange)
{
	struct listing listing;

	sched_store_running(exchange->api->sched);
	if (read_listing(exchange, &listing) < 0)
		reply_error(exchange, 400, "bad_parameter", "%s", listing.wrong);
	else if (store_pending(exchange->api->store) == 0)
		list_now(exchange);
	else if (store_barrier(exchange->api->store, on_list_barrier, exchange->api) < 0)
		reply_error(exchange, 503, "unavailable", "out of memory");
	else
		exchange->waiting = WAIT_LIST;
}

/* --- health and metrics ------------------------------------------------------------------- */

static void get_health(struct exchange *exchange)
{
	reply_json(exchange, 200, NULL, 0,
		   json_pack("{ssss}", "status", "ok", "version", brood_version()));
}

static void get_ready(struct exchange *exchange)
{
	int error = store_error(exchange->api->store);

	if (exchange->api->draining)
		reply_error(exchange, 503, "draining", "the server is stopping");
	else if (!sched_is_ready(exchange->api->sched))
		reply_error(exchange, 503, "no_keeper", "the keeper is being started");
	else if (error < 0)
		reply_error(exchange, 503, "not_stored", "the store cannot be written: %s",
			    strerror(-error));
	else
		reply_json(exchange, 200, NULL, 0, json_pack("{ss}", "status", "ready"));
}

static void metric_head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP brood_%s %s\n# TYPE brood_%s %s\n", name, help, name, type);
}

static void write_route_metric(FILE *to, const struct api *api, const char *name, const char *type,
			       const char *help, double (*value)(const struct route_stats *stats))
{
	metric_head(to, name, type, help);
	for (size_t i = 0; i < api->config->n_routes; i++)
		fprintf(to, "brood_%s{route=\"%s\"} %.17g\n", name, api->config->routes[i].name,
			value(sched_stats(api->sched, &api->config->routes[i])));
}

static double stat_accepted(const struct route_stats *stats)
{
	return (double)stats->accepted;
}

static double stat_refused(const struct route_stats *stats)
{
	return (double)stats->refused;
}

static double stat_active(const struct route_stats *stats)
{
	return (double)stats->active;
}

static double stat_queued(const struct route_stats *stats)
{
	return (double)stats->queued;
}

static double stat_run(const struct route_stats *stats)
{
	return (double)stats->run_ms / 1e3;
}

static double stat_wait(const struct route_stats *stats)
{
	return (double)stats->queued_ms / 1e3;
}

static void write_metrics(FILE *to, const struct api *api)
{
	const struct store_totals totals = store_totals(api->store);

	write_route_metric(to, api, "jobs_accepted_total", "counter", "Jobs taken.", stat_accepted);
	write_route_metric(to, api, "jobs_refused_total", "counter",
			   "Jobs refused because all was busy.", stat_refused);
	metric_head(to, "jobs_ended_total", "counter", "Jobs that ended, by state.");
	for (size_t i = 0; i < api->config->n_routes; i++)
		for (int state = JOB_SUCCEEDED; state < JOB_STATES; state++)
			fprintf(to, "brood_jobs_ended_total{route=\"%s\",state=\"%s\"} %llu\n",
				api->config->routes[i].name, job_state_name((enum job_state)state),
				(unsigned long long)sched_stats(api->sched, &api->config->routes[i])
					->ended[state]);
	write_route_metric(to, api, "jobs_active", "gauge", "Jobs that hold a slot.", stat_active);
	write_route_metric(to, api, "jobs_queued", "gauge", "Jobs that wait for a slot.",
			   stat_queued);
	write_route_metric(to, api, "job_run_seconds_total", "counter", "Run time of ended jobs.",
			   stat_run);
	write_route_metric(to, api, "job_queued_seconds_total", "counter",
			   "Waiting time of started jobs.", stat_wait);
	metric_head(to, "jobs_stored", "gauge", "Finished jobs that are kept.");
	fprintf(to, "brood_jobs_stored %lld\n", (long long)totals.jobs);
	metric_head(to, "output_bytes", "gauge", "Output of finished jobs that is kept.");
	fprintf(to, "brood_output_bytes %lld\n", (long long)totals.output_bytes);
	metric_head(to, "jobs_expired_total", "counter", "Finished jobs that were removed.");
	fprintf(to, "brood_jobs_expired_total %llu\n", (unsigned long long)totals.expired);
	metric_head(to, "http_replies_total", "counter", "HTTP replies by class of status.");
	for (int class = 2; class < 6; class ++)
		fprintf(to, "brood_http_replies_total{class=\"%dxx\"} %llu\n", class,
			(unsigned long long)api->replies[class]);
	metric_head(to, "keeper_up", "gauge", "Whether the keeper answers.");
	fprintf(to, "brood_keeper_up %d\n", sched_is_ready(api->sched));
	metric_head(to, "uptime_seconds", "gauge", "Since the server's start.");
	fprintf(to, "brood_uptime_seconds %.3f\n", (double)(brood_now() - api->started_ns) / 1e9);
}

static void get_metrics(struct exchange *exchange)
{
	const struct http_header type = { "Content-Type",
					  "text/plain; version=0.0.4; charset=utf-8" };
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	if (stream != NULL) {
		write_metrics(stream, exchange->api);
		if (fclose(stream) != 0) { /* no memory for all of it */
			free(text);
			text = NULL;
		}
	}
	reply(exchange, text != NULL ? 200 : 500, &type, 1, text != NULL ? text : "",
	      text != NULL ? size : 0);
	free(text);
}

/* --- routing ------------------------------------------------------------------------------ */

static const struct route *find_route(const struct api *api, const char *path)
{
	for (size_t i = 0; i < api->config->n_routes; i++)
		if (strcmp(api->config->routes[i].path, path) == 0)
			return &api->config->routes[i];
	return NULL;
}

static bool is_get(const struct http_request *request)
{
	return strcmp(http_method(request), "GET") == 0 ||
	       strcmp(http_method(request), "HEAD") == 0;
}

static void refuse_method(struct exchange *exchange, const char *allow)
{
	const struct http_header header = { "Allow", allow };

	reply_json(exchange, 405, &header, 1,
		   json_pack("{s{sssssn}}", "error", "code", "method_not_allowed", "message",
			     "this method is not for this path", "field"));
}

/* /v1/jobs/ID, /v1/jobs/ID/stdout, /v1/jobs/ID/stderr */
static void handle_job(struct exchange *exchange, const char *rest)
{
	bool get = is_get(exchange->request),
	     delete = strcmp(http_method(exchange->request), "DELETE") == 0;
	char text[ID_SIZE];
	uint64_t id;

	snprintf(text, sizeof(text), "%s", rest);
	if (strlen(rest) < ID_SIZE - 1 || !id_parse(text, &id)) {
		reply_error(exchange, 404, "not_found", "there is no such job");
		return;
	}
	rest += ID_SIZE - 1;
	if (*rest == '\0') {
		if (get || delete)
			get_job(exchange, id, delete);
		else
			refuse_method(exchange, "GET, HEAD, DELETE");
	} else if (strcmp(rest, "/stdout") == 0 || strcmp(rest, "/stderr") == 0) {
		if (get)
			get_output(exchange, id, strcmp(rest, "/stderr") == 0);
		else
			refuse_method(exchange, "GET, HEAD");
	} else {
		reply_error(exchange, 404, "not_found", "nothing is here");
	}
}

static void handle(struct exchange *exchange)
{
	static const struct {
		const char *path;
		void (*get)(struct exchange *exchange);
	} pages[] = { { "/v1/jobs", get_list },
		      { "/healthz", get_health },
		      { "/readyz", get_ready },
		      { "/metrics", get_metrics } };
	const char *path = http_path(exchange->request);

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(path, pages[i].path) == 0) {
			if (is_get(exchange->request))
				pages[i].get(exchange);
			else
				refuse_method(exchange, "GET, HEAD");
			return;
		}
	if (strncmp(path, "/v1/jobs/", 9) == 0)
		handle_job(exchange, path + 9);
	else
		reply_error(exchange, 404, "not_found", "nothing is here");
}

/* --- the HTTP server's callbacks ---------------------------------------------------------- */

static void on_changed(struct waiter *waiter)
{
	struct exchange *exchange =
		(struct exchange *)(void *)((char *)waiter - offsetof(struct exchange, waiter));
	const struct job *job = waiter->job;

	if (exchange->waiting == WAIT_ANSWER) {
		answer_submit(exchange, job);
	} else if (exchange->waiting == WAIT_END && job_is_final(job->facts.state)) {
		reply_job(exchange, 200, &job->facts);
		job_remove_waiter(waiter);
	}
}

static void on_begin(void *self, struct http_request *request)
{
	struct api *api = self;
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (exchange == NULL) {
		http_reply(request, 503, NULL, 0, "", 0);
		return;
	}
	exchange->api = api;
	exchange->request = request;
	exchange->waiter.changed = on_changed;
	exchange->next = api->exchanges;
	if (api->exchanges != NULL)
		api->exchanges->previous = exchange;
	api->exchanges = exchange;
	http_set_data(request, exchange);
	exchange->route = find_route(api, http_path(request));
	if (exchange->route == NULL)
		return;
	if (strcmp(http_method(request), "POST") != 0)
		refuse_method(exchange, "POST");
	else if (!refuse_by_head(exchange))
		http_want_body(request, (size_t)exchange->route->body_limit);
}

static void on_complete(void *self, struct http_request *request)
{
	struct exchange *exchange = http_data(request);

	(void)self;
	if (exchange == NULL)
		return;
	if (exchange->route != NULL)
		submit(exchange);
	else
		handle(exchange);
}

/* Who waits for a job's end is told how it is now, and the wait is over: a client that only closed
 * its sending side reads that, one that is gone holds nothing. A submit's answer comes anyway. */
static void on_hung_up(void *self, struct http_request *request)
{
	struct exchange *exchange = http_data(request);

	(void)self;
	if (exchange != NULL)
		end_wait(exchange);
}

static void on_closed(void *self, struct http_request *request)
{
	struct api *api = self;
	struct exchange *exchange = http_data(request);

	if (exchange == NULL)
		return;
	job_remove_waiter(&exchange->waiter);
	sd_event_source_disable_unref(exchange->timer);
	if (exchange->previous != NULL)
		exchange->previous->next = exchange->next;
	else
		api->exchanges = exchange->next;
	if (exchange->next != NULL)
		exchange->next->previous = exchange->previous;
	free(exchange);
}

struct http_callbacks api_callbacks(struct api *api)
{
	return (struct http_callbacks){
		.self = api,
		.begin = on_begin,
		.complete = on_complete,
		.hung_up = on_hung_up,
		.closed = on_closed,
	};
}

int api_new(sd_event *event, const struct config *config, struct sched *sched, struct store *store,
	    int state_fd, struct api **ret_api)
{
	struct api *api = calloc(1, sizeof(*api));

	if (api == NULL)
		return -ENOMEM;
	*api = (struct api){ .event = event,
			     .config = config,
			     .sched = sched,
			     .store = store,
			     .state_fd = state_fd,
			     .started_ns = brood_now() };
	*ret_api = api;
	return 0;
}

/* A submit that waits for its answer has a route still: sched_reload() saw to the others. */
void api_reload(struct api *api, const struct config *config)
{
	api->config = config;
	for (struct exchange *exchange = api->exchanges; exchange != NULL;
	     exchange = exchange->next)
		if (exchange->waiting == WAIT_ANSWER)
			exchange->route = config_route(config, exchange->route->name);
		else if (exchange->route != NULL)
			exchange->route = find_route(api, http_path(exchange->request));
}

void api_drain(struct api *api)
{
	api->draining = true;
}

size_t api_waiting(const struct api *api)
{
	size_t n = 0;

	for (const struct exchange *exchange = api->exchanges; exchange != NULL;
	     exchange = exchange->next)
		n += exchange->waiting != WAIT_NOTHING;
	return n;
}

void api_finish(struct api *api)
{
	for (struct exchange *exchange = api->exchanges; exchange != NULL;
	     exchange = exchange->next) {
		struct job *job = exchange->waiter.job;

		if (exchange->waiting == WAIT_END && job != NULL)
			reply_job(exchange, 200, &job->facts);
		else if (exchange->waiting != WAIT_NOTHING)
			reply_error(exchange, 503, "draining", "the server is stopping");
		job_remove_waiter(&exchange->waiter);
	}
}

struct api *api_free(struct api *api)
{
	free(api);
	return NULL;
}
