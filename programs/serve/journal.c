#include "serve/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "common/clock.h"

#define PREFIX "journal-"
#define NAME_SIZE (sizeof(PREFIX) + 16)

static uint32_t checksum(const struct journal_record *record)
{
	return (uint32_t)crc32(crc32(0, NULL, 0),
			       (const unsigned char *)record + sizeof(record->check),
			       sizeof(*record) - sizeof(record->check));
}

void journal_seal(struct journal_record *record)
{
	record->check = checksum(record);
}

bool journal_is_record(const struct journal_record *record)
{
	return record->type >= JOURNAL_BEGIN && record->type <= JOURNAL_END && record->seq != 0 &&
	       record->check == checksum(record);
}

/* --- segments ----------------------------------------------------------------------------- */

static const char *name_of(uint64_t first, char *to)
{
	snprintf(to, NAME_SIZE, PREFIX "%016" PRIx64, first);
	return to;
}

/* The number in a segment's name; 0: it is not one. */
static uint64_t first_of(const char *name)
{
	char again[NAME_SIZE];
	uint64_t first;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	first = strtoull(name + strlen(PREFIX), NULL, 16);
	return strcmp(name_of(first, again), name) == 0 ? first : 0;
}

static DIR *open_folder(int state_fd)
{
	int fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (folder == NULL && fd >= 0)
		close(fd);
	return folder;
}

/* The first segment after `after`, and the last of all; 0 where there is none. */
static int find_segments(int state_fd, uint64_t after, uint64_t *ret_next, uint64_t *ret_last)
{
	DIR *folder = open_folder(state_fd);
	const struct dirent *item;

	if (folder == NULL)
		return -errno;
	*ret_next = *ret_last = 0;
	while ((item = readdir(folder)) != NULL) {
		uint64_t first = first_of(item->d_name);

		if (first > after && (*ret_next == 0 || first < *ret_next))
			*ret_next = first;
		if (first > *ret_last)
			*ret_last = first;
	}
	closedir(folder);
	return 0;
}

int journal_trim(int state_fd, uint64_t first)
{
	DIR *folder = open_folder(state_fd);
	const struct dirent *item;
	int r = 0;

	if (folder == NULL)
		return -errno;
	while ((item = readdir(folder)) != NULL) {
		uint64_t other = first_of(item->d_name);

		if (other != 0 && other < first && unlinkat(state_fd, item->d_name, 0) < 0)
			r = -errno;
	}
	closedir(folder);
	return r;
}

/* --- reading ------------------------------------------------------------------------------ */

static int read_block(struct journal_reader *reader)
{
	ssize_t n;

	reader->at = reader->n = 0;
	do
		n = pread(reader->fd, reader->block, sizeof(reader->block), reader->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	reader->n = (size_t)n / sizeof(reader->block[0]);
	return 0;
}

/* The next record of the segment that is open. */
static int read_record(struct journal_reader *reader, struct journal_record *ret_record)
{
	const struct journal_record *record = &reader->block[reader->at];
	int r;

	if (reader->at == reader->n) {
		/* A block that was not full ended the file: a caller that asks again has heard of more. */
		bool ended = reader->n > 0 &&
			     reader->n < sizeof(reader->block) / sizeof(reader->block[0]);

		r = ended ? 0 : read_block(reader);
		record = reader->block;
		if (ended)
			reader->at = reader->n = 0;
		if (r < 0 || reader->n == 0)
			return r;
	}
	if (!journal_is_record(record)) {
		reader->at = reader->n = 0;
		return 0;
	}
	*ret_record = *record;
	/* Texts end, whatever the file says. */
	if (record->type == JOURNAL_FAIL) {
		ret_record->fail.step[sizeof(record->fail.step) - 1] = '\0';
		ret_record->fail.text[sizeof(record->fail.text) - 1] = '\0';
	}
	reader->at++;
	reader->offset += (off_t)sizeof(*record);
	reader->seq = record->seq;
	return 1;
}

/* Goes on to the next segment. Returns 1, 0 when there is none, or -errno. */
static int open_next(struct journal_reader *reader, uint64_t next)
{
	char name[NAME_SIZE];
	int fd;

	if (next == 0)
		return 0;
	fd = openat(reader->state_fd, name_of(next, name), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = fd;
	reader->first = next;
	reader->offset = 0;
	reader->at = reader->n = 0;
	return 1;
}

int journal_read(struct journal_reader *reader, struct journal_record *ret_record)
{
	uint64_t next, last;
	int r;

	do {
		r = reader->fd < 0 ? 0 : read_record(reader, ret_record);
		if (r != 0 || (reader->newest && reader->offset < JOURNAL_SEGMENT))
			return r;
		r = find_segments(reader->state_fd, reader->first, &next, &last);
		/* Its last records may have come between our read and our look. */
		if (r == 0 && reader->fd >= 0 && next != reader->seq + 1)
			r = read_record(reader, ret_record);
		if (r != 0)
			return r;
		r = open_next(reader, next);
		reader->newest = r == 0 && reader->fd >= 0;
	} while (r > 0);
	return r;
}

/* --- writing ------------------------------------------------------------------------------ */

void journal_close(struct journal_writer *writer)
{
	if (writer->fd >= 0)
		close(writer->fd);
	writer->fd = -1;
}

/* The segment that the held records go to: the next one when this one is full. */
static int choose_segment(struct journal_writer *writer)
{
	char name[NAME_SIZE];
	int fd;

	if (writer->fd >= 0 && writer->size < JOURNAL_SEGMENT)
		return 0;
	/* Without O_EXCL: a try before this one may have failed after the creation. */
	fd = openat(writer->state_fd, name_of(writer->seq - writer->n_held + 1, name),
		    O_RDWR | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	journal_close(writer);
	writer->fd = fd;
	writer->size = 0;
	return 0;
}

/* An earlier version had one file without a number. */
static void adopt_old(int state_fd)
{
	char name[NAME_SIZE];

	renameat(state_fd, "journal", state_fd, name_of(1, name));
}

int journal_open(struct journal_writer *writer, int state_fd)
{
	struct journal_reader reader = { .state_fd = state_fd, .fd = -1 };
	struct journal_record record = { .seq = 0 };
	char name[NAME_SIZE];
	uint64_t next = 0, last = 0;
	int r;

	writer->state_fd = state_fd;
	writer->fd = -1;
	writer->size = 0;
	writer->seq = 0;
	writer->torn = false;
	writer->n_held = 0;
	r = find_segments(state_fd, 0, &next, &last);
	if (r == 0 && last == 0) {
		adopt_old(state_fd);
		r = find_segments(state_fd, 0, &next, &last);
	}
	if (r < 0 || last == 0)
		return r < 0 ? r : choose_segment(writer);
	writer->fd = openat(state_fd, name_of(last, name), O_RDWR | O_APPEND | O_CLOEXEC);
	if (writer->fd < 0)
		return -errno;
	reader.fd = writer->fd;
	writer->seq = last - 1;
	while (read_record(&reader, &record) == 1)
		writer->seq = record.seq;
	writer->size = reader.offset;
	return ftruncate(writer->fd, writer->size) < 0 ? -errno : 0;
}

/* No torn record in the middle: nothing is written behind one. */
static int cut(struct journal_writer *writer)
{
	int r = ftruncate(writer->fd, writer->size) < 0 ? -errno : 0;

	writer->torn = r < 0;
	return r;
}

int journal_flush(struct journal_writer *writer)
{
	const char *from = (const char *)writer->held;
	size_t left = writer->n_held * sizeof(*writer->held);
	const size_t size = left;
	int r = left > 0 ? choose_segment(writer) : 0;

	if (r == 0 && writer->torn)
		r = cut(writer);
	if (r < 0)
		return r;
	while (left > 0) {
		ssize_t n = write(writer->fd, from, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -ENOSPC;
			cut(writer);
			return r;
		}
		from += n;
		left -= (size_t)n;
	}
	writer->size += (off_t)size;
	writer->n_held = 0;
	return 0;
}

int journal_add(struct journal_writer *writer, struct journal_record *record, uint64_t id,
		enum journal_type type)
{
	int r = writer->n_held == JOURNAL_HELD ? journal_flush(writer) : 0;

	if (r < 0)
		return r;
	record->type = type;
	record->id = id;
	record->seq = ++writer->seq;
	record->at_ms = realtime_ms();
	journal_seal(record);
	writer->held[writer->n_held++] = *record;
	return 0;
}
