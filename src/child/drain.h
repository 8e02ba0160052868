/* child/drain.h - one stream of a program's output, on its way into its sink
 *
 * Invariant: a byte that was read from the pipe is in the sink, or in `rest` or an outlet's `waiting` for
 * it, or counted as dropped (`truncated`, `error`). Nothing is read while something waits, so that what
 * waits is never more than one read. */
#ifndef CHILD_DRAIN_H
#define CHILD_DRAIN_H

#include <brood/popen.h>

#include "base/text.h"
#include "child/outlet.h"
#include "os/fd.h"
#include "os/growing.h"

/* In place of a pipe's size: it is not to be changed, and one read takes so much. */
#define BRI_PIPE_FIXED (((size_t)64 << 10) - 1)

struct bri_drain {
	int fd;   /* the host's end of the pipe; -1: none, or its end was seen */
	bool set; /* there is, or was, a pipe */
	brood_sink sink;
	struct bri_text text;
	struct bri_growing kept;     /* MEMORY, TAIL: the output */
	struct bri_growing rest;     /* LINES: behind the last line that was handed over */
	size_t rest_at, rest_seen;   /* … from here on; no newline before there */
	struct bri_outlet to, tee;   /* FD; .tee */
	char *scratch;               /* a read's bytes, when they do not go straight into `kept` */
	char *clean;                 /* … as text */
	size_t pipe_size, delivered; /* size of the pipe, or _FIXED; bytes given to `to` */
	uint64_t total;
	bool truncated, ended, finished;
	int error;
};

/* No pipe, no sink: what may be finished without having been initialised. */
#define BRI_DRAIN_NONE                                             \
	(struct bri_drain)                                         \
	{                                                          \
		.fd = -1, .to = { .fd = -1 }, .tee = { .fd = -1 }, \
	}

/* Prepares for `sink`, without a pipe yet: set .fd, which is then the drain's, and .set. Returns 0, or -errno
 * with the words in *fail. */
int bri_drain_init(struct bri_drain *drain, const brood_sink *sink, brood_fail *fail);

/* Whether the sink's arguments make sense. Returns 0, -EINVAL or -EBADF, with the words in *fail. */
int bri_drain_check(const brood_sink *sink, brood_fail *fail);

/* Whether lines wait to be handed over, after a .call that failed. */
bool bri_drain_has_lines(const struct bri_drain *drain);

/* Whether an outlet is behind. */
bool bri_drain_is_behind(const struct bri_drain *drain);

/* Reads once from the pipe, which is known to be readable, and passes on what comes: *ret_n bytes. `hung_up`:
 * it was seen before that nobody can write any more, so that a read that empties it is the last. Sets
 * `ended` at the end of the stream, or when it cannot be read (noted), and leaves the closing to the
 * caller. Without memory it reads little at a time. Returns 0, or what .call returned. */
int bri_drain_read(struct bri_drain *drain, bool hung_up, size_t *ret_n);

/* Flushes outlets, hands over lines. Returns 0 or what .call returned. */
int bri_drain_deliver(struct bri_drain *drain);

/* No more will be read: passes on what is half a line or half a character. Returns as bri_drain_deliver(). */
int bri_drain_finish(struct bri_drain *drain);

/* For brood_popen_output() and _take_output(). */
void bri_drain_output(struct bri_drain *drain, brood_output *ret_output);
int bri_drain_take(struct bri_drain *drain, char **ret_data, size_t *ret_size);

void bri_drain_fini(struct bri_drain *drain);

#endif
