/* serve/journal.h - the keeper's record of what happened to jobs
 *
 * Files of fixed-size records, written by the keeper alone, read by the server, which folds them into
 * the store. A record is written whole by one write(2) before what it announces is acted on
 * (BEGIN before the exec) or forgotten (END before the job's memory is freed): against SIGKILL of
 * either process nothing is lost. It is not fsynced: against power loss the store's own accept
 * record stands, and the job may run again.
 *
 * Every record has a sequence number, one more than the one before. A segment is a file of the state
 * directory, "journal-" and the number of its first record in hex. The keeper appends to the newest
 * one, and begins another only when that one has reached JOURNAL_SEGMENT bytes; so a reader that has
 * all of a segment of that size looks for the next. The server removes segments whose records are
 * all in the store; the newest is never removed, so numbers are never given twice. A record may be
 * read twice and counts once. What is not a record (a torn write) ends its segment. */
#ifndef SERVE_JOURNAL_H
#define SERVE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum journal_type {
	JOURNAL_BEGIN = 1, /* about to start */
	JOURNAL_START,     /* pid */
	JOURNAL_FAIL,      /* could not be started: step, error, text */
	JOURNAL_END,       /* how it ended */
};

enum journal_reason { REASON_NONE, REASON_TIMEOUT, REASON_CANCEL, REASON_DRAIN };

/* In memory and in the file; no pointers, no holes that matter. */
struct journal_record {
	uint32_t check; /* CRC-32 of all that follows */
	uint32_t type;
	uint64_t seq;
	uint64_t id;
	int64_t at_ms; /* CLOCK_REALTIME */
	union {
		struct {
			int32_t pid;
		} start;
		struct {
			int32_t error;
			char step[20];
			char text[160];
		} fail;
		struct {
			int32_t kind, value, core; /* brood_exit */
			int32_t reason;
			int64_t run_ms, user_ms, system_ms, max_rss_bytes;
			int64_t bytes[2];     /* of stdout and stderr, kept */
			int32_t truncated[2]; /* bytes beyond the limit were dropped */
		} end;
		char room[192];
	};
};

/* Fills `check`; the rest must be set. */
void journal_seal(struct journal_record *record);

/* Whether these bytes are a record as journal_seal() left it. */
bool journal_is_record(const struct journal_record *record);

#define JOURNAL_SEGMENT (8 << 20) /* bytes, from which on the next one is begun */
#define JOURNAL_HELD 256          /* records held back, at most */

/* The keeper's end. */
struct journal_writer {
	int state_fd, fd;
	off_t size;
	bool torn;    /* behind `size` lies what could not be cut off */
	uint64_t seq; /* of the last record, written or held */
	size_t n_held;
	struct journal_record held[JOURNAL_HELD];
};

/* Finds the end of what there is, and cuts off a torn record; begins the first segment. Returns 0 or
 * -errno. */
int journal_open(struct journal_writer *writer, int state_fd);

/* Numbers, dates and seals a record, and holds it until journal_flush(). When there is no room, it
 * flushes first; returns 0, or -errno and then the record is not held. */
int journal_add(struct journal_writer *writer, struct journal_record *record, uint64_t id,
		enum journal_type type);

/* Writes all that is held in one write. Returns 0, or -errno and then all is still held and nothing
 * of it in the file. */
int journal_flush(struct journal_writer *writer);

void journal_close(struct journal_writer *writer);

/* The server's end. Reads records one by one, the file in blocks. Zero but for `state_fd`, and -1 in `fd`,
 * to begin with. */
struct journal_reader {
	int state_fd, fd;
	uint64_t first; /* the segment's name */
	uint64_t seq;   /* of the last record read */
	off_t offset;   /* of the next record */
	bool newest;    /* there was no later segment */
	size_t at, n;   /* in `block` */
	struct journal_record block[32];
};

/* The next record. Returns 1, 0 at the end (or at a torn record), or -errno; after 0 it may be
 * called again when there is more. */
int journal_read(struct journal_reader *reader, struct journal_record *ret_record);

/* Removes the segments that lie before the one that begins with record `first`. Returns 0 or -errno. */
int journal_trim(int state_fd, uint64_t first);

#endif
