/* os/self.h - which process is this? Told apart across fork, also a foreign one
 *
 * An object remembers the generation of the process that made it; used in a forked child the
 * generations differ, and the object says -ECHILD instead of touching what is not its own. */
#ifndef OS_SELF_H
#define OS_SELF_H

#include <stdint.h>

/* A number that is the same for the whole life of a process and differs from its parent's.
 * No system call after the first use. Thread-safe. */
uint64_t bri_self_generation(void);

#endif
