#include "common/log.h"

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	pthread_t holder;   /* others write at once */
	_Atomic bool holds; /* says that `holder` is set: others may be writing already */
	size_t n;
	char text[PIPE_BUF];
} held;

/* Nobody is left to tell when stderr does not take it. */
static void put(const char *text, size_t size)
{
	(void)!write(STDERR_FILENO, text, size);
}

void log_hold(void)
{
	held.holder = pthread_self();
	held.holds = true;
}

void log_flush(void)
{
	if (held.n > 0)
		put(held.text, held.n);
	held.n = 0;
}

static void put_line(const char *line, size_t size)
{
	if (!held.holds || !pthread_equal(held.holder, pthread_self())) {
		put(line, size);
		return;
	}
	if (size > sizeof(held.text) - held.n)
		log_flush();
	if (size > sizeof(held.text)) {
		put(line, size);
		return;
	}
	memcpy(held.text + held.n, line, size);
	held.n += size;
}

void log_event(const char *event, const char *format, ...)
{
	static _Thread_local struct {
		time_t second;
		char text[32];
	} last; /* the date is written once a second */
	char line[8192];
	struct timespec now;
	struct tm utc;
	va_list args;
	size_t at;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != last.second) {
		gmtime_r(&now.tv_sec, &utc);
		(void)strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S", &utc);
		last.second = now.tv_sec;
	}
	at = (size_t)snprintf(line, sizeof(line), "ts=%s.%03ldZ event=%s ", last.text,
			      now.tv_nsec / 1000000, event);
	va_start(args, format);
	n = vsnprintf(line + at, sizeof(line) - at - 1, format, args);
	va_end(args);
	at += n < 0 ? 0 : (size_t)n;
	if (at > sizeof(line) - 2)
		at = sizeof(line) - 2;
	line[at++] = '\n';
	put_line(line, at);
}

/* The length of the UTF-8 character at `at`, 0 when there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	size_t n = *at < 0x80                ? 1 :
		   *at >= 0xc2 && *at < 0xe0 ? 2 :
		   (*at & 0xf0) == 0xe0      ? 3 :
		   *at >= 0xf0 && *at < 0xf5 ? 4 :
					       0;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
	    (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
		return 0;
	return n;
}

static bool is_plain(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] <= ' ' || text[i] == '"' || text[i] == '=' || text[i] == '\\' ||
		    text[i] == 0x7f)
			return false; /* bytes from 0x80 on are negative, or above: both quoted */
	return size > 0;
}

const char *log_quote(char *to, size_t room, const char *text, size_t size)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + size;
	char *out = to, *last = to + room - 10; /* two escapes, the closing quote, the NUL */

	if (is_plain(text, size) && size < room) {
		memcpy(to, text, size);
		to[size] = '\0';
		return to;
	}
	*out++ = '"';
	while (at < end && out < last) {
		size_t n = utf8_length(at, (size_t)(end - at));

		if (*at == '"' || *at == '\\')
			out += sprintf(out, "\\%c", *at++);
		else if (*at == '\n')
			out += sprintf(out, "\\n"), at++;
		else if (*at < ' ' || *at == 0x7f || n == 0)
			out += sprintf(out, "\\x%02x", *at++);
		/* U+0080 to U+009F: controls, too */
		else if (n == 2 && at[0] == 0xc2 && at[1] < 0xa0)
			out += sprintf(out, "\\x%02x\\x%02x", at[0], at[1]), at += 2;
		else
			for (; n > 0; n--)
				*out++ = (char)*at++;
	}
	*out++ = '"';
	*out = '\0';
	return to;
}
