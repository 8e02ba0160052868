/* proc/function.h - a function by a name that means the same in another process
 *
 * An address means nothing elsewhere: objects lie where the loader has put them. The build id of the object that a function
 * is in, and its distance from the object's base, name it, or nothing: what another build has at that place is another
 * function. The path is only where to look for the object. */
#ifndef PROC_FUNCTION_H
#define PROC_FUNCTION_H

#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include <brood/base.h>

#define BRI_BUILD_ID 20 /* bytes; a longer one counts by its beginning */

struct bri_build_id {
	uint8_t bytes[BRI_BUILD_ID];
	uint32_t size; /* 0: the object has none */
};

struct bri_function {
	struct bri_build_id id;
	bool in_program; /* its object is no library */
	uint64_t offset;
	char path[PATH_MAX]; /* of its object */
};

/* The build id of a loaded object, in its memory. Returns its size, no more than BRI_BUILD_ID; 0: there is none. */
uint32_t bri_build_id_of(const struct dl_phdr_info *info, const uint8_t **ret_bytes);

/* Names a function of this process. Returns 0; -EINVAL: in no object; -ENOTSUP: one without a build id (step
 * "function", the text says which, and what to do). */
int bri_function_name(const void *function, struct bri_function *ret_function, brood_fail *fail);

/* Notes what is the same for all searches: before a server forks who does them. */
void bri_function_prepare(void);

/* Finds a function that was named elsewhere; what is not loaded is loaded. Returns 0; -ENOENT: there is no such object;
 * -ESTALE: it is of another build; -EINVAL: no code is at that place. */
int bri_function_find(const struct bri_function *function, void **ret_function, brood_fail *fail);

#endif
