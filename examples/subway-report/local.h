/* local.h - file: URLs, below one directory and nowhere else
 *
 * A request comes from the network and must not choose among all files that this process could
 * read. The kernel resolves each name beneath the directory (openat2(2), RESOLVE_BENEATH), so
 * that neither "..", nor a symbolic link, nor a rename at the wrong moment leads out of it. */
#ifndef SUBWAY_REPORT_LOCAL_H
#define SUBWAY_REPORT_LOCAL_H
#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

struct local_dir {
	int fd;
	char *path; /* absolute and without symbolic links, for URLs with an absolute path */
};

/** Open the directory `path`.
 * Returns: 0 and *ret_dir. Errors: what open(2) and canonicalize_file_name(3) report.
 * Owns:    the caller ends with local_dir_close(). */
int local_dir_open(const char *path, struct local_dir *ret_dir);

void local_dir_close(struct local_dir *dir);

/** Is this a file: URL? */
bool local_is_url(const char *url);

/** Append to `bytes` the file of a file: URL: "file:NAME" is NAME below the directory,
 * "file:/ABSOLUTE/NAME" and "file:///ABSOLUTE/NAME" must lead below it. Percent escapes are
 * decoded.
 * Returns: 0. Errors: -EINVAL, not such a URL; -EXDEV, outside the directory; -EFBIG, more than
 * `limit` bytes; -EBADF, not a regular file; -ENOMEM; what openat2(2) and read(2) report. */
int local_read(const struct local_dir *dir, const char *url, size_t limit, struct bytes *bytes);

#endif
