#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bri_fail(brood_fail *fail, const char *step, int error, const char *format, ...)
{
	va_list args;

	error = abs(error);
	if (fail == NULL)
		return -error;
	fail->step = step;
	fail->error = error;
	fail->text[0] = '\0';
	if (format != NULL) {
		va_start(args, format);
		vsnprintf(fail->text, sizeof(fail->text), format, args);
		va_end(args);
	}
	return -error;
}

int brood_fail_format(const brood_fail *fail, char *buf, size_t size)
{
	if (fail == NULL || fail->step == NULL)
		return snprintf(buf, size, "%s", "");
	/* A program's own bad end, and a limit that was reached, are said by the text; the words for
	 * these numbers speak of networks. */
	if (fail->text[0] != '\0' && (fail->error == EREMOTEIO || fail->error == ETIMEDOUT))
		return snprintf(buf, size, "%s: %s", fail->step, fail->text);
	return snprintf(buf, size, "%s: %s%s%s", fail->step, fail->text,
			fail->text[0] != '\0' ? ": " : "", strerror(fail->error));
}

const char *brood_version(void)
{
	return BROOD_VERSION;
}
