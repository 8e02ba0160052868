/* run/follow.h - stay with a program until its end: its output, the time, and the signals for it */
#ifndef RUN_FOLLOW_H
#define RUN_FOLLOW_H

#include <brood/popen.h>

struct follow_opts {
	int64_t timeout_ns;    /* 0: none */
	int64_t kill_after_ns; /* between the SIGTERM of a time-out and SIGKILL */
	bool kill_on_term;     /* … and after a SIGTERM that was passed on, too */
};

/* From now on signals that ask for an end, or mean something between programs, are kept for the program;
 * those that we were told to ignore stay ignored. Returns 0 or -errno. */
int follow_prepare(void);

/* Returns 0 when the program has ended and its output is complete, whether it timed out in *ret_timed_out;
 * or -errno, and then it was stopped. */
int follow(brood_popen *popen, const struct follow_opts *opts, bool *ret_timed_out);

#endif
