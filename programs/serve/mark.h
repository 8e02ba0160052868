/* serve/mark.h - whose process is this? A mark that a job's descendants cannot shed
 *
 * Every job starts with its id as hard limit RLIMIT_RTTIME: the microseconds that a *realtime*
 * process may run without blocking, here thousands of years, so the limit itself never bites. A
 * limit passes through fork, exec, setsid and an emptied environment, and may only ever be
 * lowered, so what a job started and abandoned can still be told from all others, also after
 * keeper and server died. Where it cannot be read (a set-uid program), or where the keeper itself
 * was started with such a limit, BROOD_JOB_ID in the environment is the second witness. */
#ifndef SERVE_MARK_H
#define SERVE_MARK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether marks can be set: nobody lowered the limit before us. */
bool mark_possible(void);

/* The id of the job that `pid` descends from; 0 when it is no job's, or gone. */
uint64_t mark_of(pid_t pid);

/* SIGKILLs every process of this machine that is marked with an id for which `is_ours` says yes,
 * until none is left or they will not die (2 s). Returns how many were killed; reaps none. */
int mark_hunt(bool (*is_ours)(void *self, uint64_t id), void *self);

#endif
