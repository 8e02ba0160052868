/* child/popen.h - what run needs of a popen beyond the public calls */
#ifndef CHILD_POPEN_H
#define CHILD_POPEN_H

#include <brood/popen.h>

#include "child/drain.h"

/* The drain of stream `which`, 1 or 2; without .set when there is no pipe. */
struct bri_drain *bri_popen_drain(brood_popen *popen, int which);

/* What the program leaves of what belongs to it is killed before it is reaped. */
void bri_popen_kill_rest(brood_popen *popen);

#endif
