/* worker.h - a process that does what the driver asks it for, as often as it is asked
 *
 * Brood and each of its peers are a worker of their own that lives for the whole measurement, so
 * that none pays for its start, and that their turns can be taken in any order. A worker reads lines
 * "JOB N" from its standard input, does the job N times, and answers with the nanoseconds that
 * this took; it ends with its input. An error is said on standard error and ends it with 1.
 *
 * Its argument is the size in MiB of the memory that it touches before its first word, "ready". */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stddef.h>
#include <stdint.h>

/* Does it `n` times, returns the nanoseconds. */
typedef int64_t worker_job(int n);

struct worker_task {
	const char *name; /* NULL ends the list */
	worker_job *job;
};

/* The whole of main(). */
int worker_main(int argc, char **argv, const struct worker_task *tasks);

/* Says it, and ends the process. */
void worker_fail(const char *what, const char *why) __attribute__((noreturn));

/* Monotonic, in nanoseconds. */
int64_t worker_now(void);

/* ---- 256 MiB for the jobs that send it to `cat` and have it back */

#define WORKER_INPUT_SIZE ((size_t)256 << 20)

/* Made and written to at the first call; never freed. */
const char *worker_input(void);

/* Ends the process when that is not what was sent. */
void worker_check_output(const char *output, size_t size);

#endif
