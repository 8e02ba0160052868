/* os/tree.h - the descendants of a process, as /proc shows them
 *
 * For the rare moment when a tree must go: a look costs a read per process of the machine. Each
 * one found is held by a pidfd and its start time looked at again before it is signalled, so that a
 * number recycled between look and signal is not hit. */
#ifndef OS_TREE_H
#define OS_TREE_H

#include <sys/types.h>

struct bri_tree_count {
	int signalled; /* living descendants that took the signal */
	int refused;   /* … that run as somebody else (-EPERM) */
};

/* Sends `signum` to every living descendant of `root`, not to `root`. One look: what is forked
 * meanwhile is missed, so repeat until none is left. Returns 0, -ENOTSUP (no /proc, or that of
 * another pid namespace, whose numbers are not ours), or -errno (no memory, no descriptor). */
int bri_tree_signal(pid_t root, int signum, struct bri_tree_count *ret_count);

#endif
