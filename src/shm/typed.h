/* shm/typed.h - numbers of a type known at run time, each read and written as one atomic access */
#ifndef SHM_TYPED_H
#define SHM_TYPED_H

#include <brood/base.h>

/* `at` must be aligned to the type's size. Errors as in brood/value.h; -EINVAL: an unknown type. */
int bri_typed_get_int(char type, const void *at, int64_t *ret_number);
int bri_typed_get_uint(char type, const void *at, uint64_t *ret_number);
int bri_typed_get_double(char type, const void *at, double *ret_number);
int bri_typed_set_int(char type, void *at, int64_t number);
int bri_typed_set_uint(char type, void *at, uint64_t number);
int bri_typed_set_double(char type, void *at, double number);
int bri_typed_add(char type, void *at, int64_t more, int64_t *ret_sum);
int bri_typed_add_double(char type, void *at, double more, double *ret_sum);
int bri_typed_replace(char type, void *at, int64_t expected, int64_t number, int64_t *ret_seen);

#endif
