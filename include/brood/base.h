/* brood/base.h - what every brood header stands on
 *
 * Conventions of the whole library, said once:
 *
 * Results   0 or a count on success, a negative errno value on failure (-ENOENT, …). `errno` is
 *           not part of any contract: a signal handler saves it around what it calls, as around
 *           any function (signal-safety(7)). A function that can say more fills a brood_fail for a
 *           caller that gave one.
 * Times     int64_t nanoseconds on the monotonic clock. A timeout in a call: <= 0 tries once,
 *           BROOD_FOREVER waits without limit. A timeout among options: 0 is none.
 * Options   a struct per call; NULL or all-zero is the default. A field whose zero would mean
 *           something is a pointer or an enum whose 0 says "inherit".
 * Outputs   come last, named ret_x, and are untouched when the call fails.
 * Safety    "threads": any thread, one object in one thread at a time unless the object's header
 *           says more. Unless a header says so, nothing here installs a signal handler, changes a
 *           disposition, starts a thread, prints, or exits; brood/process.h does, in processes that it made.
 *
 * Linux 5.10 or newer. */
#ifndef BROOD_BASE_H
#define BROOD_BASE_H

#ifndef __linux__
#error "brood needs Linux 5.10 or newer"
#endif

#include <errno.h> /* what results are compared with */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define BROOD_BEGIN_DECLS extern "C" {
#define BROOD_END_DECLS }
#else
#define BROOD_BEGIN_DECLS
#define BROOD_END_DECLS
#endif

/** Marks what the shared library exports; all else stays inside. */
#define BROOD_API __attribute__((visibility("default")))

/** Nanoseconds in a microsecond, a millisecond, a second. */
#define BROOD_USEC INT64_C(1000)
#define BROOD_MSEC INT64_C(1000000)
#define BROOD_SEC INT64_C(1000000000)

/** As a timeout: wait without limit. */
#define BROOD_FOREVER INT64_MAX

BROOD_BEGIN_DECLS

/** What failed, for a person to read: which step, with what error, on which file or value.
 * Filled only when a call fails; zero it first to tell. Plain data, nothing to free. */
typedef struct brood_fail {
	const char *step; /* a constant word: "exec", "chdir", "argv", …; NULL: nothing failed */
	int error;        /* an errno value, positive */
	char text[240];   /* the path, program or value concerned, cut to fit; "" when none */
} brood_fail;

/** Write `fail` as one line, such as "exec: /usr/bin/nosuch: No such file or directory".
 * Returns: the length that the whole line has, as snprintf does; 0 and "" when nothing failed.
 * Errors:  none.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_fail_format(const brood_fail *fail, char *buf, size_t size);

/** How a process ended. */
typedef enum brood_exit_kind {
	BROOD_RUNNING = 0, /* it has not ended, or nothing was asked yet */
	BROOD_EXITED,      /* value: the exit status, 0 to 255 */
	BROOD_SIGNALLED,   /* value: the signal's number */
	BROOD_LOST         /* it ended, but somebody else took its status; never guessed */
} brood_exit_kind;

/** The exit record of a process. Plain data. */
typedef struct brood_exit {
	brood_exit_kind kind;
	int value;             /* exit status or signal number, by kind */
	bool core;             /* a core was dumped */
	int64_t started_ns;    /* monotonic clock, when it was started */
	int64_t ended_ns;      /* … and when its end was seen */
	int64_t user_ns;       /* processor time, its waited-for descendants included */
	int64_t system_ns;     /* … */
	int64_t max_rss_bytes; /* largest resident set of it or of one such descendant */
} brood_exit;

/** The one number that Python's `returncode` and a shell's habits are built on.
 * Returns: the exit status (>= 0), -N when signal N ended it, INT_MIN when lost or running.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_exit_code(const brood_exit *record);

/** Whether it ended by itself with status 0.
 * Returns: true only for BROOD_EXITED with value 0.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API bool brood_exit_ok(const brood_exit *record);

/** The monotonic clock that every time of this library is on (CLOCK_MONOTONIC).
 * Returns: nanoseconds since an arbitrary point, the same for all processes of this boot.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int64_t brood_now(void);

/** The version of the library that was linked, such as "0.1.0".
 * Returns: a constant string.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API const char *brood_version(void);

BROOD_END_DECLS
#endif
