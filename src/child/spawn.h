/* child/spawn.h - the handle of brood/spawn.h for a child that was made by other means */
#ifndef CHILD_SPAWN_H
#define CHILD_SPAWN_H

#include <brood/spawn.h>

#include "os/process.h"

/* A handle without a child, for bri_child_adopt(); made before, so that nothing can fail once there is one. */
brood_child *bri_child_new(void);

/* Gives it a child of this process, whose pidfd it owns from now on. A descriptor that is readable and no pidfd stands for
 * a child whose status somebody else took: it has ended, and is BROOD_LOST. */
void bri_child_adopt(brood_child *child, const struct bri_process *process);

/* The same of a child of another process: who reaps it sends the record (a brood_exit) on the socket `told`, which the
 * handle owns from now on. When that ends without one the child is BROOD_LOST. */
void bri_child_adopt_far(brood_child *child, const struct bri_process *process, int told);

/* Its process group is its own: what ends the child ends all of that, and what is left of it when its end is seen is killed. `group`
 * is bri_group_open()'s, aimed at it, and the handle's from now on. */
void bri_child_own_group(brood_child *child, int group);

/* Finds a helper program relative to the library (a build tree, lib/, lib/<triplet>/, bin/), then where it was meant to be
 * installed. Returns 0 or -errno, with the last place that was looked at in `path`. */
int bri_find_helper(const char *name, char *path, size_t size);

#endif
