/* child/spawn_env.h - the environment of a program: a list, and edits over it */
#ifndef CHILD_SPAWN_ENV_H
#define CHILD_SPAWN_ENV_H

#include <stddef.h>

/* Copies the list `base` with `edits` made in their order: "NAME=value" takes the place of the first
 * NAME (or the last place) and removes all others, "NAME" removes all. Each edit must have a name. The
 * strings stay the caller's, the list is one block to free(). Lists end with NULL; a NULL `base` is
 * empty. Returns 0 or -ENOMEM. */
int bri_env_edit(const char *const *base, const char *const *edits, const char ***ret_env);

/* Where the value of `name` stands in the list `env`, the first if there are several; or NULL. */
const char *bri_env_find(const char *const *env, const char *name);

#endif
