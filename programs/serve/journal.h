/* serve/journal.h - the keeper's record of what happened to jobs
 *
 * One file of fixed-size records, written by the keeper alone, read by the server, which folds it
 * into the store. A record is written whole by one write(2) before what it announces is acted on
 * (BEGIN before the exec) or forgotten (END before the job's memory is freed): against SIGKILL of
 * either process nothing is lost. It is not fsynced: against power loss the store's own accept
 * record stands, and the job may run again.
 *
 * Every record has a sequence number, one more than the one before. The server remembers the last
 * one it has stored, so a record may be read twice and counts once; the file may be emptied when
 * all of it is stored. A record whose checksum is wrong (a torn write) ends the file. */
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

/* Reads records one by one, the file in blocks. Zero but for `fd` and `offset` to begin with. */
struct journal_reader {
	int fd;
	off_t offset; /* of the next record */
	size_t at, n; /* in `block` */
	struct journal_record block[32];
};

/* The next record. Returns 1, 0 at the end (or at a torn record), or -errno; after 0 it may be
 * called again when there is more. */
int journal_read(struct journal_reader *reader, struct journal_record *ret_record);

#endif
