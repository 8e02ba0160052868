/* A value is a lock, a stamp and a number; all that is done to the number is in typed.c. */
#include <brood/value.h>

#include <errno.h>
#include <string.h>

#include "shm/typed.h"

#define STAMP UINT32_C(0x62727601) /* "brv", layout 1 */

static int check(const brood_value *value)
{
	if (value == NULL || (uintptr_t)value % 8 != 0)
		return -EFAULT;
	return value->stamp == STAMP && brood_type_size(value->type) > 0 ? 0 : -EBADMSG;
}

int brood_value_init(brood_value *value, char type)
{
	int r;

	if (value == NULL || (uintptr_t)value % 8 != 0)
		return -EFAULT;
	if (brood_type_size(type) < 0)
		return -EINVAL;
	r = brood_lock_init(&value->lock);
	if (r < 0)
		return r;
	value->type = type;
	memset(value->unused, 0, sizeof(value->unused));
	value->store.integer = 0;
	value->stamp = STAMP;
	return 0;
}

int brood_value_type(const brood_value *value)
{
	int r = check(value);

	return r < 0 ? r : value->type;
}

int brood_value_get_int(const brood_value *value, int64_t *ret_number)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_get_int(value->type, &value->store, ret_number);
}

int brood_value_get_uint(const brood_value *value, uint64_t *ret_number)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_get_uint(value->type, &value->store, ret_number);
}

int brood_value_get_double(const brood_value *value, double *ret_number)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_get_double(value->type, &value->store, ret_number);
}

int brood_value_set_int(brood_value *value, int64_t number)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_set_int(value->type, &value->store, number);
}

int brood_value_set_uint(brood_value *value, uint64_t number)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_set_uint(value->type, &value->store, number);
}

int brood_value_set_double(brood_value *value, double number)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_set_double(value->type, &value->store, number);
}

int brood_value_add(brood_value *value, int64_t more, int64_t *ret_sum)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_add(value->type, &value->store, more, ret_sum);
}

int brood_value_add_double(brood_value *value, double more, double *ret_sum)
{
	int r = check(value);

	return r < 0 ? r : bri_typed_add_double(value->type, &value->store, more, ret_sum);
}

int brood_value_replace(brood_value *value, int64_t expected, int64_t number, int64_t *ret_seen)
{
	int r = check(value);

	return r < 0 ? r :
		       bri_typed_replace(value->type, &value->store, expected, number, ret_seen);
}

brood_lock *brood_value_lock(brood_value *value)
{
	return check(value) < 0 ? NULL : &value->lock;
}

void *brood_value_pointer(brood_value *value)
{
	return check(value) < 0 ? NULL : &value->store;
}
