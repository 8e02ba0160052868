/* serve/job.h - what is known of a job, in memory, in the store and in answers alike */
#ifndef SERVE_JOB_H
#define SERVE_JOB_H

#include <stdbool.h>
#include <stdint.h>

/* Stored as these numbers: append only. */
enum job_state {
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_TIMED_OUT,
	JOB_CANCELLED,
	JOB_LOST,
	JOB_STATES,
};

struct job_facts {
	uint64_t id;
	char route[65];
	char *fields; /* JSON object of the log fields; "{}" when there are none */
	enum job_state state;
	int exit_code; /* -1: it did not exit by itself */
	int signal;    /* 0: none */
	int pid;
	int64_t created_ms, started_ms, finished_ms; /* CLOCK_REALTIME; 0: not yet */
	int64_t started_ns; /* monotonic clock; 0: not yet, or by another server */
	int64_t run_ms;
	int64_t user_ms, system_ms, max_rss_bytes;
	int64_t bytes[2]; /* of stdout and stderr, kept */
	bool truncated;
	char reason[200]; /* why, when it did not simply exit; "" else */
	/* never_rerun: the boot of the machine in which it may have been started; 0: it was not */
	int64_t boot;
};

/* The word that a state has in answers; NULL beyond the last. */
const char *job_state_name(enum job_state state);

/* The state of that name, or -1. */
int job_state_parse(const char *name);

static inline bool job_is_final(enum job_state state)
{
	return state > JOB_RUNNING;
}

#endif
