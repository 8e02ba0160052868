/* brood/log.h - what processes say of themselves, on stderr or to a reader
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
 * run (DEBUG), and what supervisors meet (WARNING) and give up (ERROR).
 *
 * Who would rather have them than see them, for a file or for syslog(3), makes itself their reader:
 *
 *	brood_log_reader *reader;
 *	brood_log_record record;
 *
 *	brood_log_to_reader(BROOD_LOG_INFO, &reader);
 *	…
 *	while (brood_log_read(reader, BROOD_FOREVER, &record) == 0)
 *		printf("%s: %s\n", record.process, record.text);
 *
 * A line is one message of a socket that the kernel keeps: whoever is killed, it is there whole or not at all, and so nobody is ever
 * held up by a lock. Nobody waits for the reader either: a line for which there is no room, or no reader any more, goes to stderr. */
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

/** A line as its reader has it. */
typedef struct brood_log_record {
	int level;
	pid_t pid;         /**< of who wrote it, as that one sees itself */
	int64_t at_ns;     /**< when, by CLOCK_REALTIME */
	char process[128]; /**< its name; "" in a process that has none */
	char text[1024];   /**< without a newline behind it; what is longer is cut */
} brood_log_record;

/** The end of a channel at which lines arrive. */
typedef struct brood_log_reader brood_log_reader;

/** Have lines of this level and above come to a reader, instead of stderr: those of this process, and of all that are started from now
 * on, by whatever method, and that these start.
 * Returns: 0, and the reader in *ret_reader.
 * Errors:  -EALREADY: this process has a reader; -EMFILE, -ENFILE, -ENOMEM.
 * Owns:    the caller, until brood_log_reader_free(). Two descriptors; close-on-exec.
 * Safe:    threads, processes; not in a signal handler. A forked child has none: there it is -ECHILD, and its lines go to this one. */
BROOD_API int brood_log_to_reader(int level, brood_log_reader **ret_reader);

/** The next line. Lines of one process come in its order.
 * Returns: 0, and the line in *ret_record.
 * Errors:  -ETIMEDOUT: none came within timeout_ns (<= 0: look once; BROOD_FOREVER); -EINVAL; -ECHILD: it is another process's.
 * Owns:    nothing.
 * Safe:    threads; not in a signal handler. Several may read, each gets other lines. */
BROOD_API int brood_log_read(brood_log_reader *reader, int64_t timeout_ns,
			     brood_log_record *ret_record);

/** What poll(2) and brood_wait() tell to be readable when there is a line.
 * Returns: the descriptor. Errors: -EINVAL, -ECHILD.
 * Owns:    the reader, still.
 * Safe:    threads, signal handlers. */
BROOD_API int brood_log_reader_fd(const brood_log_reader *reader);

/** Be rid of it. Lines go where they went before it was made; those of processes that were started meanwhile, to stderr. What was not
 * read is lost.
 * Returns: NULL. Errors: none; NULL may be given.
 * Owns:    nothing any more.
 * Safe:    threads, if none of them reads; processes; not in a signal handler. */
BROOD_API brood_log_reader *brood_log_reader_free(brood_log_reader *reader);

/** A line as it would stand on stderr, without the newline: "[INFO/Process-1] text".
 * Returns: its length, as snprintf(3): what did not fit in `size` bytes is cut. Errors: -EINVAL.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_log_line(const brood_log_record *record, char *buf, size_t size);

/** Log a line, if its level is written at all.
 * Returns: 0. Errors: -EINVAL: a bad format; what write(2) says.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

BROOD_END_DECLS
#endif
