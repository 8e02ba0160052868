/* child/talk.h - feed one pipe, drain others, wait for the ends of programs: popen and pipeline
 *
 * One turn polls all that there is to wait for and handles what is ready; a blocking call makes turns
 * until all is done or time is up, an asynchronous one makes one without waiting. All state is here, so
 * either may stop after any turn and go on later.
 *
 * Done is: every child has ended and been reaped, and every drain has ended, or was given up because
 * the end of its pipe did not come within the linger time after the last child's end. What lies in a pipe at
 * that moment is still read: it was written in time, it is the host that may be late.
 *
 * Children are reaped last, all at once: until then their numbers, and their groups', cannot be another's. */
#ifndef CHILD_TALK_H
#define CHILD_TALK_H

#include <brood/spawn.h>
#include <poll.h>

#include "child/drain.h"

/* How long the end of a pipe is waited for that somebody else holds. */
#define BRI_LINGER (250 * BROOD_MSEC)

/* What a slot waits for; where there is an epoll instance, what it was told. */
struct bri_watch {
	int fd; /* -1: nothing */
	short events;
};

struct bri_talk {
	int input_fd; /* -1: none, or all is written */
	const char *input;
	size_t input_left, input_piece,
		input_pipe;       /* left; in one write at most; the pipe's size */
	struct bri_drain *drains; /* the caller's, as are the children */
	size_t n_drains;
	brood_child **children;
	size_t n_children;
	int64_t linger_ns, linger_until; /* until: 0 as long as a child runs */
	bool begun, done;
	bool kill_rest; /* of the children's groups, before they are reaped */
	bool *ended;    /* by child */
	size_t *budget; /* by drain: what lay in the pipe when the linger time was over */
	bool closing;   /* it is over */
	struct pollfd
		*slots; /* input, then two a drain, then the children, then the cancel descriptor */
	struct bri_watch *told; /* by slot, but the last; NULL: no epoll instance */
	int epoll, timer;       /* -1: not asked for */
	void *memory;
};

/* What may be finished without having been initialised. */
#define BRI_TALK_NONE                                    \
	(struct bri_talk)                                \
	{                                                \
		.input_fd = -1, .epoll = -1, .timer = -1 \
	}

/* Prepares for these; nothing is started. Returns 0 or -ENOMEM. */
int bri_talk_init(struct bri_talk *talk, struct bri_drain *drains, size_t n_drains,
		  brood_child **children, size_t n_children, int64_t linger_ns);

/* Takes the input, which stays the caller's. Returns 0, -EALREADY, or -EINVAL. */
int bri_talk_begin(struct bri_talk *talk, const void *input, size_t size);

/* Before a drain's pipe is given to somebody else. */
void bri_talk_forget_source(struct bri_talk *talk, size_t drain);

/* Closes the feeding pipe. */
void bri_talk_close_input(struct bri_talk *talk);

enum bri_talk_until {
	BRI_TALK_DONE,  /* all is done */
	BRI_TALK_ENDED, /* the children have ended, or all is done */
	BRI_TALK_STOP,  /* all is done; outlets that are behind are given up with the linger time */
};

/* Turns until then. `cancel_fd` -1: none. Returns 0, -ETIMEDOUT, -ECANCELED, -errno, or what a .call
 * returned; with ENDED and STOP those are not asked. */
int bri_talk_until(struct bri_talk *talk, enum bri_talk_until until, int64_t deadline,
		   int cancel_fd);

/* One turn without waiting. Returns 1 when all is done, 0, or negative as above. */
int bri_talk_step(struct bri_talk *talk);

/* The epoll instance; see brood_popen_fd(). Returns it or -errno. */
int bri_talk_fd(struct bri_talk *talk);

/* The ladder over all children: SIGTERM, grace, SIGKILL, done. Returns 0; -EPERM, -ECHILD: they could not be
 * signalled; or another -errno, and they have been killed and reaped all the same. */
int bri_talk_stop(struct bri_talk *talk, int64_t grace_ns);

/* Closes what the talk itself has opened, not the drains and children. */
void bri_talk_fini(struct bri_talk *talk);

#endif
