/* common/log.h - one structured line per event, on stderr
 *
 *	log_event("started", "id=%s pid=%d", id, pid);
 *	ts=2026-11-21T08:00:00.123Z event=started id=0d3kq9h2m5x7a pid=4711
 *
 * A line is key=value words (logfmt) and one write(2), so that lines of several processes do not
 * mix. Text that came from outside goes through log_quote(). */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>

/* Lines are held back until log_flush(), or until a block of them is full (PIPE_BUF, so that the
 * block too is written in one piece); for a loop that says many things in one turn. One thread's
 * business. */
void log_hold(void);
void log_flush(void);

void log_event(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `size` bytes of `text` as one logfmt value in `to`: bare when it is plain, else in double quotes
 * with quotes, backslashes and control characters escaped; bytes that are not UTF-8 are shown as
 * \xNN. Cut to fit `room`. Returns `to`. */
const char *log_quote(char *to, size_t room, const char *text, size_t size);

#endif
