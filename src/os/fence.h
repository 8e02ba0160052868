/* os/fence.h - order between one who often stores and looks, and one who seldom does, at the seldom one's cost
 *
 * Both store a word each and then look at the other's; one at least must see what the other stored. That takes a
 * full fence on either side, or: the frequent one has none at all (a compiler barrier), is in a process that has joined,
 * and the seldom one calls bri_fence_others() between its store and its look (membarrier(2)). */
#ifndef OS_FENCE_H
#define OS_FENCE_H

/* This process is reached by bri_fence_others() of any process from now on. Inherited by fork, lost in exec.
 * 0, or -errno: the kernel cannot, or a filter refuses it. */
int bri_fence_join(void);

/* A full fence in each running thread of the processes that have joined, and in the caller. Any process may call it.
 * 0, or -errno: then there was none. */
int bri_fence_others(void);

#endif
