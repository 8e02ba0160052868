/* ipc/conn.h - the inside of a connection: its two directions and what each keeps between calls
 *
 * A direction is entered before and left after each use, which takes its lock if the connection is shared.
 * What of it all users must see (where in the stream it is, whether it is broken) is `common`, which lies in a
 * segment then. The invariant:
 *
 *	Who finds `busy` set in a direction that he has the lock of knows that its last user was killed between a
 *	read or write and the note of it: where the stream is nobody knows, and the direction is broken.
 *
 * What moves in one step needs no note: a small message that is written by one call, which does not wait, and one
 * that is looked at first (MSG_PEEK) and then taken by one call, whole. A kill there takes that message along, at
 * most. For that, what is shared is a socket where it is ours to choose.
 *
 * Otherwise busy is set right before the first byte of a message may move, never while its user merely waits
 * for one, and is cleared when the stream is between two messages again, or between a head and its body
 * with the head in `frame`.
 *
 * What one process keeps for itself (the rest of a message that timed out, what was read ahead) is never
 * kept of a shared connection. */
#ifndef IPC_CONN_H
#define IPC_CONN_H

#include <brood/conn.h>
#include <brood/lock.h>
#include <brood/segment.h>

#include "os/self.h"
#include "os/stream.h"
#include "wire/frame.h"

struct bri_direction {
	brood_lock lock;
	uint32_t busy;
	int32_t broken; /* 0, or the -errno for all who come */
};

struct bri_conn_common {
	struct bri_direction out, in;
	struct bri_frame frame; /* of the message that is coming in */
	bool readable, writable;
};

struct brood_conn {
	int fd; /* -1: closed */
	bool readable, writable;
	uint64_t most;
	struct bri_conn_common *common; /* &own, or in the segment */
	struct bri_conn_common own;
	brood_segment *segment;       /* NULL: not shared */
	struct bri_stream out, in;    /* two, so that two threads may use them */
	uint64_t out_owner, in_owner; /* the generation that keeps something; 0: nothing is kept */
	/* Out: what a time-out has left behind. */
	char *rest;
	size_t rest_at, rest_end;
	bool grown; /* the pipe is as large as it will be */
	/* In: the body as far as it has come, and what was read beyond it. */
	char *part;
	size_t part_size, part_room;
	char *ahead;
	size_t ahead_at, ahead_end, ahead_room;
	unsigned taken; /* messages since the last read, when it reads ahead */
};

/* brood_conn_new_take(); and when `segment_fd` is not -1 its users share it, and this descriptor stays the
 * caller's. */
int bri_conn_new_take(int fd, int segment_fd, const brood_conn_opts *opts, brood_conn **ret_conn);

/* It is to be used in these directions only, by all who share it. */
void bri_conn_limit(brood_conn *conn, bool readable, bool writable);

/* Enter for sending, for receiving. Returns 0, or why it cannot be used. */
int bri_conn_enter_out(brood_conn *conn, int64_t deadline);
int bri_conn_enter_in(brood_conn *conn, int64_t deadline);

/* Leave, and pass `r` on. */
ssize_t bri_conn_leave_out(brood_conn *conn, ssize_t r);
ssize_t bri_conn_leave_in(brood_conn *conn, ssize_t r);

/* Around what takes bytes: waits until there is something to take, for nothing may be noted as begun while there
 * is nothing to begin, and notes. Returns 0, -ETIMEDOUT, or -errno. */
int bri_conn_begin_in(brood_conn *conn, int64_t deadline);
void bri_conn_end_in(brood_conn *conn);

/* Nobody can go on here: breaks the direction, with this -errno for all who come later; returns it. */
int bri_direction_break(struct bri_direction *side, int error);

static inline void bri_direction_set_busy(struct bri_direction *side, bool busy)
{
	__atomic_store_n(&side->busy, busy, __ATOMIC_SEQ_CST);
}

/* Sends what was left behind. Entered. Returns 0, or -errno. */
int bri_conn_flush(brood_conn *conn, int64_t deadline);

/* Returns 1: to receive would not wait, whatever the descriptor says (a broken direction says so at once, too);
 * 0: as the descriptor says; -EBADF, -EACCES, -ECHILD. */
int bri_conn_look(brood_conn *conn);

#endif
