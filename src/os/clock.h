/* os/clock.h - deadlines on the monotonic clock, in ns
 *
 * A timeout is turned into a deadline once, at the door; whatever loops inside then waits for
 * the remainder, so that interrupted waits do not add up. */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <brood/base.h>
#include <poll.h>
#include <time.h>

/* The deadline `timeout_ns` from now; BROOD_FOREVER stays BROOD_FOREVER, <= 0 is "at once". */
int64_t bri_deadline(int64_t timeout_ns);

/* And back: what is left until `deadline`, as a timeout for what takes one; <= 0: it has passed. */
int64_t bri_timeout(int64_t deadline);

/* What is left until `deadline`, as ppoll() wants it: NULL for "no limit", else `storage`. */
struct timespec *bri_remaining(int64_t deadline, struct timespec *storage);

/* poll(2) until `deadline`, repeated after EINTR. Returns how many have something to tell; 0: none, in time; or
 * -errno. */
int bri_poll(struct pollfd *fds, size_t n, int64_t deadline);

/* Waits until `fd` is readable, hung up or in error. Returns 0, -ETIMEDOUT, or -errno. */
int bri_wait_readable(int fd, int64_t deadline);

#endif
