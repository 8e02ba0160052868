#include "serve/journal.h"

#include <errno.h>
#include <unistd.h>
#include <zlib.h>

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

int journal_read(struct journal_reader *reader, struct journal_record *ret_record)
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
	return 1;
}
