/* A head and items behind it. The head is written once; a hostile one can mislead nobody beyond
 * what brood_array_check() was told of the memory's size. */
#include <brood/array.h>

#include <errno.h>
#include <string.h>

#include "shm/typed.h"

#define STAMP UINT32_C(0x62726101) /* "bra", layout 1 */
#define MOST_BYTES (UINT64_C(1) << 46)

/* Where the items are: aligned as the head is, up to 64. */
#define HEAD ((sizeof(brood_array) + 63) / 64 * 64)

static int check(const brood_array *array)
{
	if (array == NULL || (uintptr_t)array % 8 != 0)
		return -EFAULT;
	if (array->stamp != STAMP || array->item == 0 || array->length == 0 ||
	    (array->type != 0 && brood_type_size(array->type) != (int)array->item))
		return -EBADMSG;
	return 0;
}

ssize_t brood_array_record_bytes(size_t item, size_t length)
{
	size_t bytes;

	if (item == 0 || length == 0)
		return -EINVAL;
	if (__builtin_mul_overflow(item, length, &bytes) || bytes > MOST_BYTES)
		return -EFBIG;
	return (ssize_t)(bytes + HEAD);
}

ssize_t brood_array_bytes(char type, size_t length)
{
	int item = brood_type_size(type);

	return item < 0 ? item : brood_array_record_bytes((size_t)item, length);
}

static int init(brood_array *array, size_t size, char type, size_t item, size_t length)
{
	ssize_t needed = brood_array_record_bytes(item, length);
	int r;

	if (array == NULL || (uintptr_t)array % 8 != 0)
		return -EFAULT;
	if (needed < 0)
		return (int)needed;
	if ((size_t)needed > size)
		return -ENOSPC;
	array->stamp = 0;
	r = brood_lock_init(&array->lock);
	if (r < 0)
		return r;
	array->type = type;
	array->item = item;
	array->length = length;
	memset(array->unused, 0, sizeof(array->unused));
	memset((char *)array + HEAD, 0, item * length);
	__atomic_store_n(&array->stamp, STAMP, __ATOMIC_RELEASE);
	return 0;
}

int brood_array_init(brood_array *array, size_t size, char type, size_t length)
{
	int item = brood_type_size(type);

	return item < 0 ? item : init(array, size, type, (size_t)item, length);
}

int brood_array_init_records(brood_array *array, size_t size, size_t item, size_t length)
{
	return init(array, size, 0, item, length);
}

int brood_array_check(const brood_array *array, size_t size)
{
	int r = array != NULL && size < sizeof(*array) ? -ENODATA : check(array);
	ssize_t needed;

	if (r < 0)
		return r;
	needed = brood_array_record_bytes(array->item, array->length);
	if (needed < 0)
		return -EBADMSG;
	return (size_t)needed > size ? -ENODATA : 0;
}

size_t brood_array_length(const brood_array *array)
{
	return check(array) < 0 ? 0 : array->length;
}

void *brood_array_data(brood_array *array)
{
	return check(array) < 0 ? NULL : (char *)array + HEAD;
}

brood_lock *brood_array_lock(brood_array *array)
{
	return check(array) < 0 ? NULL : &array->lock;
}

/* The place of `count` items from `index` on; a place of one number for count 0. */
static int find(const brood_array *array, ssize_t index, size_t count, void **ret_at)
{
	int r = check(array);
	size_t from;

	if (r < 0)
		return r;
	from = index < 0 ? array->length + (size_t)index : (size_t)index;
	if ((index < 0 && from > array->length) || from > array->length ||
	    (count > 0 ? count > array->length - from : from == array->length))
		return -ERANGE;
	if (count == 0 && array->type == 0)
		return -EDOM;
	*ret_at = (char *)(uintptr_t)array + HEAD + from * array->item;
	return 0;
}

int brood_array_get_int(const brood_array *array, ssize_t index, int64_t *ret_number)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_get_int(array->type, at, ret_number);
}

int brood_array_get_uint(const brood_array *array, ssize_t index, uint64_t *ret_number)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_get_uint(array->type, at, ret_number);
}

int brood_array_get_double(const brood_array *array, ssize_t index, double *ret_number)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_get_double(array->type, at, ret_number);
}

int brood_array_set_int(brood_array *array, ssize_t index, int64_t number)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_set_int(array->type, at, number);
}

int brood_array_set_uint(brood_array *array, ssize_t index, uint64_t number)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_set_uint(array->type, at, number);
}

int brood_array_set_double(brood_array *array, ssize_t index, double number)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_set_double(array->type, at, number);
}

int brood_array_add(brood_array *array, ssize_t index, int64_t more, int64_t *ret_sum)
{
	void *at;
	int r = find(array, index, 0, &at);

	return r < 0 ? r : bri_typed_add(array->type, at, more, ret_sum);
}

/* Copies under the lock, which the thread may have already. */
static int copy(brood_array *array, void *to, const void *from, size_t size)
{
	int r = brood_lock_acquire(&array->lock, BROOD_FOREVER);

	if (r < 0 && r != -EDEADLK)
		return r;
	memcpy(to, from, size);
	if (r != -EDEADLK)
		brood_lock_release(&array->lock);
	return r == -EDEADLK ? 0 : r;
}

int brood_array_read(brood_array *array, ssize_t index, size_t count, void *ret_items)
{
	void *at;
	int r = count > 0 ? find(array, index, count, &at) : check(array);

	return r < 0 || count == 0 ? r : copy(array, ret_items, at, count * array->item);
}

int brood_array_write(brood_array *array, ssize_t index, const void *items, size_t count)
{
	void *at;
	int r = count > 0 ? find(array, index, count, &at) : check(array);

	return r < 0 || count == 0 ? r : copy(array, at, items, count * array->item);
}
