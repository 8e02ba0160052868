/* brood/log.h - what processes say of themselves, on stderr
 *
 *	brood_log_to_stderr(BROOD_LOG_INFO);
 *	brood_log(BROOD_LOG_INFO, "%d hosts to go", n);
 *
 * and later a process that was started then write
 *
 *	[INFO/MainProcess] 3 hosts to go
 *	[INFO/Process-1] child process calling its function
 *	[INFO/Process-1] process exiting with exitcode 0
 *
 * It is off until a program turns it on, and inherited by what that starts. A line is one write(2), so that lines of several
 * processes never mix; what is longer than 1 KiB is cut. The library says when processes start and end (INFO), which finalizers
 * run (DEBUG), and what supervisors meet (WARNING) and give up (ERROR). */
#ifndef BROOD_LOG_H
#define BROOD_LOG_H

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** Levels, with the numbers that they have in Python. */
#define BROOD_LOG_SUBDEBUG 5
#define BROOD_LOG_DEBUG 10
#define BROOD_LOG_INFO 20
#define BROOD_LOG_SUBWARNING 25
#define BROOD_LOG_WARNING 30
#define BROOD_LOG_ERROR 40
#define BROOD_LOG_CRITICAL 50

/** Write lines of this level and above to stderr; 0: none.
 * Returns: the level before.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_log_to_stderr(int level);

/** Log a line, if its level is written at all.
 * Returns: 0. Errors: -EINVAL: a bad format; what write(2) says.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

BROOD_END_DECLS
#endif
