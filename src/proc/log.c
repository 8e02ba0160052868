#include "proc/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brood/process.h>

#include "base/together.h"
#include "os/fd.h"

#define LINE 1024

BRI_TOGETHER static _Atomic(int) least; /* 0: nothing is written */

int brood_log_to_stderr(int level)
{
	return atomic_exchange(&least, level);
}

int bri_log_level(void)
{
	return atomic_load(&least);
}

static const char *name_of(int level, char *buf, size_t size)
{
	switch (level) {
	case BROOD_LOG_SUBDEBUG:
		return "SUBDEBUG";
	case BROOD_LOG_DEBUG:
		return "DEBUG";
	case BROOD_LOG_INFO:
		return "INFO";
	case BROOD_LOG_SUBWARNING:
		return "SUBWARNING";
	case BROOD_LOG_WARNING:
		return "WARNING";
	case BROOD_LOG_ERROR:
		return "ERROR";
	case BROOD_LOG_CRITICAL:
		return "CRITICAL";
	default:
		snprintf(buf, size, "Level %d", level);
		return buf;
	}
}

/* What does not fit is cut, and ends as a line all the same. */
static int write_line(char line[LINE], int n)
{
	ssize_t r;

	if (n >= LINE - 1)
		n = LINE - 2;
	line[n++] = '\n';
	r = bri_write_quietly(STDERR_FILENO, line, (size_t)n);
	return r < 0 ? (int)r : 0;
}

static void own_name(char name[BROOD_PROCESS_NAME_MOST + 1])
{
	brood_process *self = brood_current_process();

	name[0] = '\0';
	if (self != NULL)
		brood_process_name(self, name, BROOD_PROCESS_NAME_MOST + 1);
}

int brood_log(int level, const char *format, ...)
{
	char line[LINE], name[BROOD_PROCESS_NAME_MOST + 1], number[32];
	int least_now = atomic_load(&least), at, n;
	va_list args;

	if (least_now == 0 || level < least_now)
		return 0;
	own_name(name);
	at = snprintf(line, sizeof(line), "[%s/%s] ", name_of(level, number, sizeof(number)), name);
	va_start(args, format);
	n = vsnprintf(line + at, sizeof(line) - (size_t)at, format, args);
	va_end(args);
	return n < 0 ? -EINVAL : write_line(line, at + n);
}

void bri_log_failure(const char *text)
{
	char line[LINE], name[BROOD_PROCESS_NAME_MOST + 1];

	own_name(name);
	(void)write_line(line, snprintf(line, sizeof(line), "Process %s: %s", name, text));
}
