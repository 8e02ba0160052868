/* os/contain.h - what the library and the container helper say to each other
 *
 * The helper is started with
 *	brood-container VERSION CONTROL GROUP JOIN MASK N CANDIDATE×N ARGV…
 * CONTROL is its end of a SOCK_SEQPACKET pair; GROUP, an enum bri_group, JOIN, the group to join, and
 * MASK, the signal mask in hexadecimal, are the program's. The helper itself is started with every
 * signal blocked and, unless GROUP is BRI_GROUP_INHERIT, in a process group of its own: what a
 * terminal, or a kill, sends to the host's group must not end it before the tree.
 *
 * It answers once with STARTED or FAILED, then obeys requests, and when the whole tree is gone says ENDED and exits.
 * End of file on CONTROL means that the host is gone: kill everything. Both sides are of one
 * build; VERSION is compared, and a message of another size is refused. */
#ifndef OS_CONTAIN_H
#define OS_CONTAIN_H

#include <brood/base.h>

enum bri_contain_what {
	BRI_CONTAIN_STARTED = 1, /* pid */
	BRI_CONTAIN_FAILED,    /* step, error, index of bri_start(); step NONE: the helper's own */
	BRI_CONTAIN_ENDED,     /* kind, value, core of the program */
	BRI_CONTAIN_SIGNAL,    /* signum, to the program */
	BRI_CONTAIN_TERMINATE, /* SIGTERM to the whole tree */
	BRI_CONTAIN_KILL,      /* SIGKILL to the whole tree, until none is left */
};

struct bri_contain_message {
	enum bri_contain_what what;
	int signum;
	pid_t pid;
	int step, error, index;
	int kind, value, core;
};

#endif
