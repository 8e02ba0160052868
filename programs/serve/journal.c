#include "serve/journal.h"

#include <errno.h>
#include <unistd.h>
#include <zlib.h>

static uint32_t checksum(const struct journal_record *record)
{
	return (uint32_t)crc32(crc32(0, NULL, 0), (const unsigned char *)record + sizeof(record->check),
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

int journal_read(int fd, off_t *offset, struct journal_record *ret_record)
{
	struct journal_record record;
	ssize_t n;

	do
		n = pread(fd, &record, sizeof(record), *offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(record) || !journal_is_record(&record))
		return 0;
	/* Texts end, whatever the file says. */
	if (record.type == JOURNAL_FAIL) {
		record.fail.step[sizeof(record.fail.step) - 1] = '\0';
		record.fail.text[sizeof(record.fail.text) - 1] = '\0';
	}
	*offset += (off_t)sizeof(record);
	*ret_record = record;
	return 1;
}
