/* serve/runner.h - jobs whose programs are children of this process
 *
 * Drains their output into files, keeps their limits, ends them, finds what they abandoned. The keeper
 * has one for all that it starts; the server has one for what a dead keeper leaves to it (then it is
 * the subreaper that inherits them).
 *
 * A run goes from running to ended (the program is dead, its status known, the process not reaped) to
 * done (no descendant lives, its record is written) to forgotten (reaped, freed).
 *
 * Invariants.
 * 1. After its record no process of a job is alive. What a job abandons becomes a child of this
 *    process, a subreaper, and is known by its mark (serve/mark.h). (Out of reach: set-uid programs
 *    when we are not root; the wait for them is bounded.)
 * 2. A program is reaped after its record is safe, never before: until then the zombie keeps its status
 *    for whoever inherits it, should we die.
 * 3. A job's pipes are read until they are empty at its end, never "to the end": a descendant that
 *    holds them cannot hold us.
 * 4. A byte leaves a pipe when it is in the file, so that whoever inherits the job misses none.
 * 5. Nothing here waits: pipes are non-blocking, files are local. */
#ifndef SERVE_RUNNER_H
#define SERVE_RUNNER_H

#include <brood/brood.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "serve/journal.h"
#include "serve/wire.h"

struct run {
	struct run *next;
	uint64_t id;
	brood_child *child; /* NULL: inherited */
	pid_t pid;          /* 0: not started */
	int pidfd;          /* the child's, or our own when inherited */
	int pipes[2];       /* read ends of stdout and stderr; -1: closed */
	int files[2];       /* -1: nothing was written yet */
	int64_t bytes[2];
	bool truncated[2];
	bool input_file, urgent;
	int64_t output_limit, kill_grace_ns;
	int64_t begun;
	int64_t deadline;      /* of its time; BROOD_FOREVER: none */
	int64_t kill_deadline; /* after a terminate; 0: not yet asked to end */
	enum journal_reason reason;
	bool told;   /* epoll's one event of its end came */
	bool polled; /* epoll did not take all of it */
	bool dying;  /* dead, and its status not to be had yet */
	bool ended, done, dropped;
	brood_exit end;
	struct journal_record *failure; /* owned: it could not be started, and why */
	int64_t bury_deadline;
};

/* What epoll gives back for a run: which of its descriptors, in the low bits of its address. */
enum run_source { RUN_PROGRAM, RUN_OUT, RUN_ERR, RUN_SOURCES };

struct runner {
	int epoll, state_fd;
	int children_file; /* the kernel's list of our children; -1: it has none */
	bool all_are_ours; /* every child of this process comes from a job */
	struct run *runs;
	size_t n;
	/* Writes the run's record (runner_record() makes it). 0, or -errno: to be tried again. */
	int (*record)(void *self, const struct run *run);
	void *self;
};

/* `epoll` is the caller's; runner_handle() takes its events. Returns 0, or -errno. */
int runner_open(struct runner *runner, int epoll, int state_fd);

/* Forgets all, ends nothing. */
void runner_close(struct runner *runner);

/* Watches a descriptor of a run, or, without one, of the caller: then `source` is above RUN_SOURCES. Returns 0 or
 * -errno. */
int runner_watch(struct runner *runner, int fd, struct run *run, int source);

/* A run that is about to start. NULL: out of memory. */
struct run *runner_add(struct runner *runner, const struct wire_hold *hold);

/* Its program runs: `child` and the pipes in `run->pipes` are watched from now on. */
void runner_started(struct runner *runner, struct run *run, brood_child *child);

/* It could not be started: takes a record that says so. */
void runner_failed(struct runner *runner, struct run *run, const brood_fail *fail);

/* It was not begun: no record says anything of it. */
void runner_drop(struct runner *runner, struct run *run);

/* Takes over the program of a job whose keeper is gone, and the read ends of its pipes (-1: none). `known` is its
 * pid if one was recorded, or 0. Returns 0; -ESRCH when none of our children is that program; -errno. */
int runner_inherit(struct runner *runner, const struct wire_hold *hold, pid_t known,
		   const int pipes[2]);

/* Kills children of ours that a dead keeper was about to turn into programs. Their jobs may run
 * again, unless `may_have_run` is called for them. */
void runner_kill_unborn(const struct runner *runner, void (*may_have_run)(void *self, uint64_t id),
			void *self);

/* Reaps the dead children of this process but `spared`, programs of runs, and those marked with an id for which
 * `is_wanted` says yes (they are to be inherited). */
void runner_bury(const struct runner *runner, pid_t spared,
		 bool (*is_wanted)(void *self, uint64_t id), void *self);

/* The run of that id that is not done. */
struct run *runner_find(const struct runner *runner, uint64_t id);

/* The ladder's first rung: terminate, and kill when its grace is over. */
void runner_stop(struct run *run, enum journal_reason reason);

/* Does what an event of a run says: one whose low bits are below RUN_SOURCES. */
void runner_handle(struct runner *runner, const struct epoll_event *event);

/* To be called after a SIGCHLD: buries what was abandoned. */
void runner_look(struct runner *runner);

/* Acts on what is due; returns the ns until the next deadline, or -1. */
int64_t runner_check(struct runner *runner);

/* Reaps and frees what is done; to be called when its records are safe and no event of this turn can
 * name it any more. */
void runner_forget(struct runner *runner);

/* The record of a run that has ended: END, or FAIL. Its number and time are not set. */
enum journal_type runner_record(const struct run *run, struct journal_record *record);

#endif
