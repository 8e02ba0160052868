/* serve/link.h - the server's end of the line to the keeper (serve/wire.h)
 *
 * Finds the keeper that lives in the state directory, or starts one; says START and STOP; reads
 * the journal when the keeper rings. When the keeper dies a new one is started. */
#ifndef SERVE_LINK_H
#define SERVE_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "serve/config.h"
#include "serve/journal.h"
#include "serve/wire.h"

struct link;

struct link_callbacks {
	void *self;
	/* A keeper answered, and every record up to its answer was given to `record`. These jobs
	 * live in it; any other that had begun is gone. */
	void (*ready)(void *self, const uint64_t *ids, size_t n);
	/* The next record of the journal. May repeat records after a restart. */
	void (*record)(void *self, const struct journal_record *record);
	/* The journal's segments before `first` are read; link_trim() when all of them is stored.
	 * Comes again, with each ring, until then. */
	void (*segment)(void *self, uint64_t first);
	/* The keeper did not begin a job, as its journal takes nothing. */
	void (*refused)(void *self, uint64_t id, int error);
	/* What is needed to go on with a job, should the keeper die; the descriptors are yours. */
	void (*hold)(void *self, const struct wire_hold *hold, const int pipes[2]);
	/* The keeper is dead, and every record that it wrote was given to `record`. `ours`: it was our
	 * child, so all that it had are our children now. */
	void (*down)(void *self, bool ours);
	/* The line takes messages again, after a send that said -EAGAIN. */
	void (*writable)(void *self);
};

/* `state_fd` is the state directory, whose lock the caller holds. Keepers, now and later, and so
 * their jobs, get the limit of descriptors that holds at this call. Returns 0, or -errno. */
int link_open(sd_event *event, int state_fd, const struct link_callbacks *callbacks,
	      struct link **ret_link);

bool link_is_ready(const struct link *link);

/* Whether a keeper is ready, or will be in a moment. */
bool link_is_up(const struct link *link);

/* The pid of a keeper that is our child and not yet reaped; 0: there is none. */
pid_t link_keeper(const struct link *link);

struct link_job {
	uint64_t id;
	const struct route *route;
	const char *home, *body;
	size_t size;
	bool urgent; /* its slot is waited for */
};

/* Starts a job. Returns 0, -EAGAIN (full: wait for `writable`), -ENOTCONN, or -errno. */
int link_start(struct link *link, const struct link_job *job);

/* To be called when no job is with the keeper. One that another server started is told to go, for one of
 * our own: only a child's jobs are inherited when it dies. */
void link_renew(struct link *link);

int link_stop(struct link *link, uint64_t id, enum journal_reason reason);

/* Removes the journal's segments before `first`: the store has all of it. */
void link_trim(struct link *link, uint64_t first);

/* Tells the keeper to stop its jobs and go, waits for its end up to `timeout_ns`, and reads its
 * last records. */
void link_quit(struct link *link, int64_t timeout_ns);

/* Closes the line; the keeper and its jobs live on. */
struct link *link_free(struct link *link);

#endif
