/* base/fail.h - fill a caller's brood_fail on the way out
 *
 *	return bri_fail(opts->fail, "chdir", errno, "%s", path); */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include <brood/base.h>

/* Fills *fail, when there is one, and returns -error. `step` must be a constant; `error` may have
 * either sign; `format` NULL leaves the text empty. */
int bri_fail(brood_fail *fail, const char *step, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
