/* proc/args.h - arguments on their way: as bytes and descriptors, for a process that shares nothing with us
 *
 * A forked child has its arguments already, and reads them where they are (bri_args_here). Any other process gets them
 * packed:
 *
 *	head      how many records
 *	records   one for each handle, in the order in which they stand in the pickle
 *	pickle    a tuple of all arguments; a handle's persistent id is the number of its record
 *
 * (nothing at all, if there are none)
 *
 * and the descriptors that records name by their place in the list. It is for the same machine and the same
 * version of the library, and yet nothing of it is trusted: each number is looked at. */
#ifndef PROC_ARGS_H
#define PROC_ARGS_H

#include <brood/args.h>

/* What does not return when an accessor cannot give what it is asked for; `fail` says why. */
typedef void bri_args_refuse(const brood_fail *fail);

/* How many arguments there are before the end; NULL: none. */
size_t bri_args_length(const brood_object *args);

/* Whether all of them can be arguments. Returns 0 or -errno (step "args"), as brood_process_start() has it. */
int bri_args_check(const brood_object *args, brood_fail *fail);

struct bri_packed {
	void *data; /* owned */
	size_t size;
	int *fds; /* the list is owned, what is in it is not */
	size_t n_fds;
};

/* Packs them, or fails as bri_args_check() does. */
int bri_args_pack(const brood_object *args, brood_fail *fail, struct bri_packed *ret_packed);
void bri_packed_fini(struct bri_packed *packed);

/* Makes arguments of what was packed. `fds` stay the caller's and may be closed at once. Returns 0, -EBADMSG (step
 * "args"), or what attaching to a handle says. */
int bri_args_unpack(const void *data, size_t size, const int *fds, size_t n_fds,
		    bri_args_refuse *refuse, brood_fail *fail, brood_args **ret_args);

/* Makes arguments of those that lie in this memory, and stay there. Returns 0 or -ENOMEM. */
int bri_args_here(const brood_object *args, bri_args_refuse *refuse, brood_args **ret_args);

/* Lets them go, with the handles that are theirs. NULL is fine. */
void bri_args_free(brood_args *args);

#endif
