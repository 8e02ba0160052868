/* run/record.h - what a run has to say: a JSON record, or the last lines of its output */
#ifndef RUN_RECORD_H
#define RUN_RECORD_H

#include <brood/popen.h>

struct record {
	const char *const *argv;
	const char *error; /* why it was not started, or could not be followed; NULL: it ran */
	pid_t pid;
	brood_exit exit;
	bool timed_out;
	int64_t wall_ns;
	brood_output out, err;
	bool tail; /* where they are truncated, the beginning is missing, else the end */
};

/* Bytes as UTF-8: what is none becomes U+FFFD (*ret_replaced set then, else left alone), each longest
 * start of a sequence that leads nowhere one. Returns a string of *ret_size bytes to free(), or NULL: no
 * memory. */
char *record_text(const char *bytes, size_t size, size_t *ret_size, bool *ret_replaced);

/* Leaves the last `lines` lines of an output, and notes when that is not all. */
void record_cut(brood_output *output, int64_t lines);

/* Writes all of it to `fd`. Returns 0 or -errno. */
int record_put(int fd, const char *bytes, size_t size);

/* Writes the record as one line of JSON to `fd`. Returns 0 or -errno. */
int record_write(const struct record *record, int fd);

#endif
