/* serve/sched.h - the jobs that are not over: admission, slots, states
 *
 * A job's way: submit → (stored) → starting → running → ended → (stored) → forgotten here, and
 * found in the store from then on. A slot is taken at submit and given back by the job's END
 * record, so the number of slots in use is the number of live jobs, nothing to tick or poll.
 *
 * Nothing runs that is not stored: START goes out after the job's insert was committed. */
#ifndef SERVE_SCHED_H
#define SERVE_SCHED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "serve/config.h"
#include "serve/job.h"
#include "serve/store.h"
#include "serve/wire.h"

struct sched;
struct waiter;

/* What the client that submitted it can be told. */
enum answer {
	ANSWER_NOT_YET,
	ANSWER_ACCEPTED,    /* it runs, or waits for a slot, and is stored */
	ANSWER_NOT_STARTED, /* its program could not be started */
	ANSWER_NOT_STORED,  /* the store did not take it; it does not exist */
};

struct job {
	struct job *next, *previous; /* all, by age */
	struct job *bucket_next;     /* of those with the same hash */
	struct job *queue_next;      /* of its route's queue, or of the ready ones */
	struct job_facts facts;      /* fields: owned */
	/* the same as logfmt words, each with a space before it; owned */
	char *log_fields;
	const struct route *route; /* NULL: its route is no longer configured */
	int64_t timeout_ns; /* that it was started with; 0: none, or started by a server before */
	char *body;         /* owned, until it is started; NULL: in the store */
	size_t size;
	bool stored; /* its insert was committed */
	bool has_slot;
	bool queued;         /* in its route's queue */
	bool sent;           /* START went out */
	bool marked;         /* never_rerun: the store knows that it may have been started */
	bool refused;        /* its keeper could not begin it; it is to be sent again */
	bool begun;          /* the journal has its BEGIN … */
	uint64_t begun_seq;  /* … there */
	bool lost;           /* the keeper that had it is gone */
	bool cancelled;      /* its keeper was asked to end it, or will be */
	bool running_stored; /* the store has been told that it runs */
	bool body_counted;   /* among the bodies that are kept for waiting jobs */
	/* what its keeper gave us, so that it survives the keeper; id 0: nothing */
	struct wire_hold hold;
	int pipes[2]; /* … with it; -1: none */
	enum answer answer;
	struct waiter *waiters;
};

/* Somebody who waits for a job; called once on each change of `answer` and at its end. */
struct waiter {
	struct waiter *next;
	struct job *job;
	void (*changed)(struct waiter *waiter);
};

void job_add_waiter(struct job *job, struct waiter *waiter);
void job_remove_waiter(struct waiter *waiter);

/* Counters since the start, and gauges, per route and in all. */
struct route_stats {
	uint64_t accepted, refused, ended[JOB_STATES];
	int64_t active, queued;
	int64_t run_ms, queued_ms; /* sums over ended and started jobs */
};

/* Loads what was not finished, finds or starts the keeper. Returns 0, or -errno. */
int sched_open(sd_event *event, const struct config *config, struct store *store, int state_fd,
	       struct sched **ret_sched);

/* Stops the keeper, and takes its last records. To be called before the store is closed. */
void sched_quit(struct sched *sched);

/* To be called after the store is closed: its last reports come here. */
struct sched *sched_close(struct sched *sched);

/* Takes another configuration; the one before must live until this returns. Jobs that run go on;
 * jobs that wait are started with the new values of their route, or fail when it is gone. No
 * submit of a route that is gone waits for its answer any more. Returns 0, or -ENOMEM: nothing
 * has changed. */
int sched_reload(struct sched *sched, const struct config *config);

/* A new job; `fields` are its log fields. Takes over `body` on success. Returns 0 and the job, whose answer
 * follows; -EBUSY: no slot and no place in the queue; -ENOTCONN: no keeper; -ENOMEM. */
int sched_submit(struct sched *sched, const struct route *route, char *body, size_t size,
		 const json_t *fields, struct job **ret_job);

/* The unfinished job of that id, or NULL: look in the store. */
struct job *sched_find(struct sched *sched, uint64_t id);

/* Cancels a queued job at once, asks a running one to end. */
void sched_cancel(struct sched *sched, struct job *job);

/* Asks every running job to end; queued ones stay for the next start. */
void sched_stop_all(struct sched *sched);

/* No START goes out from now on. */
void sched_hold(struct sched *sched);

/* Hands to the store what it was not told yet: which jobs run. */
void sched_store_running(struct sched *sched);

/* How many jobs are with the keeper. */
int64_t sched_active(const struct sched *sched);

/* The smallest id that is not finished; UINT64_MAX when there is none. */
uint64_t sched_oldest(const struct sched *sched);

bool sched_is_ready(const struct sched *sched);
const struct route_stats *sched_stats(const struct sched *sched, const struct route *route);

#endif
