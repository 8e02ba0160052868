/* tests/unit/refuse.h - a system call that fails, for tests within their process */
#ifndef TESTS_UNIT_REFUSE_H
#define TESTS_UNIT_REFUSE_H

/* From now on this call fails with `error` in the calling thread, for good, and in all that it starts; so this is
 * for the process of a test, or for in_fork(). tests/children/filter.c does it to whole programs. The second form
 * is for calls of which the first argument is that descriptor. */
void refuse_call(unsigned number, unsigned error);
void refuse_call_on(unsigned number, int fd, unsigned error);

#endif
