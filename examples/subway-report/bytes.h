/* bytes.h - a growing piece of memory with an upper limit
 *
 * All that this program reads (the request, a file, the body of an HTTP answer) comes from
 * others and is gathered here, so that one place decides how much is too much. */
#ifndef SUBWAY_REPORT_BYTES_H
#define SUBWAY_REPORT_BYTES_H
#include <stddef.h>

/* All zero is empty and valid. */
struct bytes {
	unsigned char *data;
	size_t size;
	size_t room;
};

/** Append `n` bytes at `data`, but never grow beyond `limit` bytes.
 * Returns: 0. Errors: -EFBIG, it would be more than `limit`; -ENOMEM. Both leave it as it was. */
int bytes_append(struct bytes *bytes, const void *data, size_t n, size_t limit);

/** Append all that `fd` gives up to its end.
 * Returns: 0. Errors: as bytes_append(), and what read(2) reports. What came before stays. */
int bytes_read_all(struct bytes *bytes, int fd, size_t limit);

/** Free the memory; empty and valid again. */
void bytes_deinit(struct bytes *bytes);

#endif
