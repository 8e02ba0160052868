/* The database's answers have strings in a buffer of ours, whose size nobody can tell beforehand (a
 * group may have ten thousand members): it doubles until they fit. */
#include "child/spawn_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>

#define FIRST_SIZE 1024
#define MOST_SIZE (16 * 1024 * 1024)
#define FIRST_GROUPS 32
#define MOST_GROUPS 65536 /* NGROUPS_MAX of the kernel */

/* One try with a buffer: 0, ERANGE, or another errno value; *ret_found tells whether there is one. */
typedef int look_up(const char *name, char *buffer, size_t size, bool *ret_found, void *answer);

struct user {
	uid_t uid;
	gid_t gid;
};

static int look_up_user(const char *name, char *buffer, size_t size, bool *ret_found, void *answer)
{
	struct passwd entry, *found = NULL;
	int r = getpwnam_r(name, &entry, buffer, size, &found);

	*ret_found = found != NULL;
	if (found != NULL)
		*(struct user *)answer = (struct user){ found->pw_uid, found->pw_gid };
	return r;
}

static int look_up_group(const char *name, char *buffer, size_t size, bool *ret_found, void *answer)
{
	struct group entry, *found = NULL;
	int r = getgrnam_r(name, &entry, buffer, size, &found);

	*ret_found = found != NULL;
	if (found != NULL)
		*(gid_t *)answer = found->gr_gid;
	return r;
}

static int find(look_up *look, const char *name, void *answer)
{
	bool found = false;
	size_t size = FIRST_SIZE;
	int r;

	do {
		char *buffer = malloc(size);

		if (buffer == NULL)
			return -ENOMEM;
		r = look(name, buffer, size, &found, answer);
		free(buffer);
		if (r == ERANGE)
			size *= 2;
	} while (r == EINTR || (r == ERANGE && size <= MOST_SIZE));
	if (found)
		return 0;
	/* POSIX has 0 for "not found"; some databases say it in these words. */
	return r == 0 || r == ENOENT || r == ESRCH ? -ENOENT : -r;
}

int bri_user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
	struct user user = { (uid_t)-1, (gid_t)-1 }; /* nobody's, never root's */
	int r = find(look_up_user, name, &user);

	if (r < 0)
		return r;
	*ret_uid = user.uid;
	*ret_gid = user.gid;
	return 0;
}

int bri_group_find(const char *name, gid_t *ret_gid)
{
	return find(look_up_group, name, ret_gid);
}

int bri_user_groups(const char *name, gid_t gid, gid_t **ret_groups, size_t *ret_n)
{
	for (int room = FIRST_GROUPS; room <= MOST_GROUPS; room *= 2) {
		gid_t *groups = calloc((size_t)room, sizeof(*groups));
		int n = room;

		if (groups == NULL)
			return -ENOMEM;
		if (getgrouplist(name, gid, groups, &n) >= 0) {
			*ret_groups = groups;
			*ret_n = (size_t)n;
			return 0;
		}
		free(groups);
	}
	return -ENOMEM;
}
