/* A journal of any bytes: what is read as a record was sealed as one, and its texts end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "serve/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_reader reader = { .fd = memfd_create("journal", MFD_CLOEXEC),
					 .newest = true };
	struct journal_record record, sealed;
	size_t n = size / sizeof(record);

	if (reader.fd < 0)
		abort();
	/* Some records are made good, so that the reader gets beyond the first. */
	for (size_t i = 0; i < n; i++) {
		memcpy(&sealed, data + i * sizeof(sealed), sizeof(sealed));
		if (sealed.seq % 3 != 0) {
			sealed.type = 1 + sealed.type % 4;
			journal_seal(&sealed);
		}
		if (write(reader.fd, &sealed, sizeof(sealed)) != sizeof(sealed))
			abort();
	}
	if (write(reader.fd, data + n * sizeof(record), size % sizeof(record)) < 0)
		abort();
	while (journal_read(&reader, &record) == 1) {
		if (record.type == JOURNAL_FAIL &&
		    (strnlen(record.fail.step, sizeof(record.fail.step)) ==
			     sizeof(record.fail.step) ||
		     strnlen(record.fail.text, sizeof(record.fail.text)) ==
			     sizeof(record.fail.text)))
			abort();
		if (record.type < JOURNAL_BEGIN || record.type > JOURNAL_END)
			abort();
	}
	if ((size_t)reader.offset > n * sizeof(record))
		abort();
	close(reader.fd);
	return 0;
}
