/* base/cleanup.h - scope-bound clean-up of local owners
 *
 *	bri_cleanup(bri_freep) char *text = NULL;
 *
 * frees `text` on every way out of its block; bri_take() hands it over instead. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>

#define bri_cleanup(function) __attribute__((cleanup(function)))

/* The value of an owning pointer, which no longer owns it. */
#define bri_take(pointer)                               \
	__extension__({                                 \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                       \
		taken_;                                 \
	})

static inline void bri_freep(void *address)
{
	free(*(void **)address);
}

#endif
