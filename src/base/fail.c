#include "base/fail.h"

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
	return snprintf(buf, size, "%s: %s%s%s", fail->step, fail->text,
			fail->text[0] != '\0' ? ": " : "", strerror(fail->error));
}

const char *brood_version(void)
{
	return BROOD_VERSION;
}
