/* serve/output.h - where a job's output and input lie in the state directory
 *
 *	output/XXXX/ID.out  output/XXXX/ID.err   what it wrote; no file: nothing
 *	input/ID                                 what BROOD_INPUT names, while it runs
 *
 * XXXX are the id's first four characters, about two hours of jobs a folder. */
#ifndef SERVE_OUTPUT_H
#define SERVE_OUTPUT_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens the file for output `which` (0: stdout, 1: stderr) to write to it; empty, unless it is to `go_on`.
 * Returns a descriptor or -errno. */
int output_create(int state_fd, uint64_t id, int which, bool go_on);

/* Opens it for reading. Returns a descriptor, -ENOENT when nothing was written, or -errno. */
int output_open(int state_fd, uint64_t id, int which);

/* How many bytes it has; 0 when nothing was written. */
int64_t output_size(int state_fd, uint64_t id, int which);

/* Copies the whole of `body` to the job's input file and writes its absolute path. Returns 0 or
 * -errno. */
int output_write_input(int state_fd, uint64_t id, int body, char *path, size_t size);

void output_remove_input(int state_fd, uint64_t id);

/* Removes both files of each of these jobs, and the folders that are empty then. Returns 0, also
 * when there was none, or -errno: not all are gone. */
int output_remove(int state_fd, const uint64_t *ids, size_t n);

/* A walk over all of these files; zero to begin with. */
struct output_walk {
	DIR *output, *files; /* files: of output/XXXX or of input/ */
	char folder[16];     /* whose they are */
	bool is_input;
};

/* The next file, in no order: of which job, and whether it is its input. Folders of output that are
 * empty are removed on the way; what is not named like a job's file is passed over. False: there is
 * no more. */
bool output_walk_next(int state_fd, struct output_walk *walk, uint64_t *ret_id, bool *ret_is_input);

/* Ends a walk before its end. */
void output_walk_fini(struct output_walk *walk);

#endif
