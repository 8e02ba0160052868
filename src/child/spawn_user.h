/* child/spawn_user.h - names of users and groups, looked up in the host's user database
 *
 * The database may be files, a daemon or a directory service (nsswitch.conf(5)): to be asked before
 * the fork, never after. A name is a name also when it looks like a number. */
#ifndef CHILD_SPAWN_USER_H
#define CHILD_SPAWN_USER_H

#include <stddef.h>
#include <sys/types.h>

/* The user's number and primary group. Returns 0, -ENOENT: no such user, -ENOMEM, or what the
 * database said: -EMFILE, -EIO, … */
int bri_user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid);

/* The group's number. Returns as bri_user_find(). */
int bri_group_find(const char *name, gid_t *ret_gid);

/* The groups that the user is a member of, and `gid`; an array to free(). Returns 0 or -ENOMEM. */
int bri_user_groups(const char *name, gid_t gid, gid_t **ret_groups, size_t *ret_n);

#endif
