/* serve/wire.h - what server and keeper say to each other, on a SOCK_SEQPACKET socket
 *
 * The server speaks; the keeper answers HELLO with WELCOME, and then rings: an empty RING says
 * "look into the journal". What happened is in the journal and nowhere else, so a lost ring, a
 * dead server or a new one need no repair.
 *
 *	HELLO     first message of a connection; the keeper drops an older connection
 *	WELCOME   version, and behind it the ids (64 bits each) of all jobs that live in the keeper
 *	REFUSED   id, reason (an errno): not begun, as the journal takes nothing; to be sent again
 *	HOLD      to the keeper's parent, for each job that is about to start: what it needs to know to
 *	          look after it should the keeper die; descriptors: its pipes' read ends
 *	START     id, limits, words (argv, env, cwd, program); descriptor: the body (a memfd)
 *	STOP      id, reason: terminate, grace, kill
 *	QUIT      stop every job that still runs, then exit
 *
 * Both ends are one executable; HELLO carries its version, and another version is refused. */
#ifndef SERVE_WIRE_H
#define SERVE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 2
#define WIRE_LIMIT (160 << 10) /* bytes of a message; a socket's buffer takes it whole */

#define WIRE_IDS 16384 /* of a WELCOME, at most; above any max_concurrent */

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_WELCOME,
	WIRE_RING,
	WIRE_REFUSED,
	WIRE_HOLD,
	WIRE_START,
	WIRE_STOP,
	WIRE_QUIT,
};

struct wire_message {
	uint32_t type;
	uint32_t version; /* HELLO, WELCOME */
	uint64_t id;      /* START, STOP; WELCOME: the keeper's pid */
	uint64_t seq;     /* WELCOME: the last one written */
	int32_t reason;   /* STOP: enum journal_reason; REFUSED: errno */
	int32_t input;    /* START: enum input */
	int64_t timeout_ns, kill_grace_ns, output_limit;
	/* START: somebody waits for its slot, so ring at once when it ends */
	uint32_t urgent;
	uint32_t n_argv, n_env; /* START: words that follow: argv, env, cwd, the program's path */
};

/* One of the entries that follow in a HOLD. */
struct wire_hold {
	uint64_t id;
	int64_t begun_ns, deadline_ns; /* monotonic clock; BROOD_FOREVER: no deadline */
	int64_t kill_grace_ns, output_limit;
	uint32_t pipes; /* bit 0: stdout's descriptor comes along; bit 1: stderr's */
	uint32_t input_file;
};

#define WIRE_FDS 252 /* of a message, at most; the kernel takes 253 */
#define WIRE_HOLDS (WIRE_FDS / 2)

/* Packs NUL-ended words behind a message. Returns the end, or NULL when they do not fit. */
char *wire_put_words(char *at, const char *end, char *const *words, size_t n);

/* Unpacks `n` words into `words`, which gets a NULL behind them. Returns what follows, or NULL
 * when the bytes are not that. */
const char *wire_get_words(const char *at, const char *end, const char **words, size_t n);

/* Sends a message of `size` bytes with a descriptor (-1: none). Returns 0 or -errno. */
int wire_send(int fd, const void *data, size_t size, int descriptor);
int wire_send_all(int fd, const void *data, size_t size, const int *descriptors, size_t n);

/* Receives one. Returns its size, 0 when the peer is gone, or -errno (-EAGAIN: none now);
 * *ret_descriptor is -1 or the caller's to close. */
int wire_recv(int fd, void *data, size_t size, int *ret_descriptor);

/* Whether what wire_recv() returned says nothing about the line: -EAGAIN, or the kernel is short of memory. */
bool wire_is_passing(int r);

/* The same with up to WIRE_FDS descriptors. */
int wire_recv_all(int fd, void *data, size_t size, int descriptors[WIRE_FDS], size_t *ret_n);

#endif
