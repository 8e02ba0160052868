/* os/tree.h - the descendants of a process, as /proc shows them
 *
 * For the rare moment when a tree must go: a look costs a read per process of the machine. Each
 * one found is held by a pidfd and its parent looked at again before it is signalled, so that a
 * number recycled between look and signal is not hit (unless by another child of that parent). */
#ifndef OS_TREE_H
#define OS_TREE_H

#include <sys/types.h>

struct bri_tree_count {
	int signalled; /* living descendants that took the signal */
	int refused;   /* … that run as somebody else (-EPERM) */
};

/* Sends `signum` to every living descendant of `root`, not to `root`. One look: what is forked
 * meanwhile is missed, so repeat until none is left. Returns 0 or -errno (no /proc, no memory). */
int bri_tree_signal(pid_t root, int signum, struct bri_tree_count *ret_count);

#endif
