/* brood/array.h - a row of numbers, or of records, that several processes share
 *
 *	size_t size = (size_t)brood_array_bytes('d', 1000);
 *	brood_segment *segment;
 *	brood_array *row;
 *
 *	if (brood_segment_new(size, NULL, &segment) < 0)
 *		…
 *	row = brood_segment_data(segment);
 *	brood_array_init(row, size, 'd', 1000);
 *	brood_array_set_double(row, -1, 0.5);
 *
 * One process initialises it, once, to all zero; then any of them uses it. A block of a heap (brood/heap.h) holds one
 * as well as a segment does.
 *
 * As multiprocessing.Array, with the type codes of brood/value.h. A single number is read and
 * written as one atomic access, without waiting for the lock. brood_array_read() and
 * brood_array_write() take many at once under the array's lock. A writer killed halfway leaves the
 * part that it had written; the next who reads or writes is told so (BROOD_OWNER_DIED), once.
 *
 * Indices count from 0, or backwards from -1 for the last. brood_array_data() is the memory itself.
 *
 * Threads, processes, fork, signal handlers: everything, but for the lock as lock.h says. */
#ifndef BROOD_ARRAY_H
#define BROOD_ARRAY_H

#include <brood/value.h>

BROOD_BEGIN_DECLS

/** The head of an array; the items follow it. The fields are the library's. Aligned to 8;
 * items are aligned to 64 when it is. */
typedef struct brood_array {
	brood_lock lock;
	uint32_t stamp;
	char type; /* 0: records */
	char unused[3];
	uint64_t item;   /* size of one */
	uint64_t length; /* how many */
} brood_array;

/** How much memory an array takes.
 * Returns: bytes, its head included.
 * Errors:  -EINVAL: an unknown type, or length 0; -EFBIG: more than 2^46.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_array_bytes(char type, size_t length);

/** The same for records of `item` bytes each.
 * Returns: bytes, the head included.
 * Errors:  -EINVAL: an item or a length of 0; -EFBIG.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_array_record_bytes(size_t item, size_t length);

/** Make `size` bytes of memory an array of `length` numbers, all zero. Nobody else may use it yet.
 * Returns: 0.
 * Errors:  -EFAULT: no memory, or not aligned to 8; -ENOSPC: `size` is too small; as
 *          brood_array_bytes(); -ENOTSUP as brood_lock_init().
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_init(brood_array *array, size_t size, char type, size_t length);

/** Make it an array of `length` records of `item` bytes, all zero.
 * Returns: 0.
 * Errors:  as brood_array_init().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_init_records(brood_array *array, size_t size, size_t item, size_t length);

/** Look whether the `size` bytes are an array that somebody made.
 * Returns: 0.
 * Errors:  -EFAULT: no memory, or not aligned to 8; -EBADMSG: no array, or of another layout;
 *          -ENODATA: `size` is less than it says.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_check(const brood_array *array, size_t size);

/** How many items it has.
 * Returns: the number; 0 for what is no array.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_array_length(const brood_array *array);

/** The items.
 * Returns: the first one's address; NULL for what is no array.
 * Errors:  none.
 * Owns:    the array.
 * Safe:    threads, processes, signal handlers. */
BROOD_API void *brood_array_data(brood_array *array);

/** The lock that belongs to it.
 * Returns: the lock; NULL for what is no array.
 * Errors:  none.
 * Owns:    the array.
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_lock *brood_array_lock(brood_array *array);

/** One number. As brood_value_get_int() and its like.
 * Returns: 0, and it in *ret_number.
 * Errors:  -ERANGE: no such index, or it does not fit; -EDOM: records, or a floating number;
 *          -EFAULT, -EBADMSG.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_get_int(const brood_array *array, ssize_t index, int64_t *ret_number);

/** The same with an unsigned number.
 * Returns: 0. Errors: as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_get_uint(const brood_array *array, ssize_t index, uint64_t *ret_number);

/** The same with a double: of any type, rounded beyond 2^53.
 * Returns: 0. Errors: as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_get_double(const brood_array *array, ssize_t index, double *ret_number);

/** Set one number.
 * Returns: 0.
 * Errors:  -ERANGE: no such index, or the type has no such number; -EDOM: records, or not of that
 *          kind; -EFAULT, -EBADMSG.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_set_int(brood_array *array, ssize_t index, int64_t number);

/** The same with an unsigned number.
 * Returns: 0. Errors: as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_set_uint(brood_array *array, ssize_t index, uint64_t number);

/** The same with a double: of a floating type alone.
 * Returns: 0. Errors: as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_set_double(brood_array *array, ssize_t index, double number);

/** Add to one number as one step; see brood_value_add().
 * Returns: 0, and the sum in *ret_sum if that is not NULL.
 * Errors:  -ERANGE: no such index; -EDOM, -EFAULT, -EBADMSG as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_array_add(brood_array *array, ssize_t index, int64_t more, int64_t *ret_sum);

/** Copy `count` items from `index` on, under the lock. A thread that has the lock does not take it
 * again.
 * Returns: 0; BROOD_OWNER_DIED: copied, but a process died while it held the lock, so the items may
 *          be half changed.
 * Errors:  -ERANGE: not all of them exist; -EFAULT, -EBADMSG; as brood_lock_acquire().
 * Owns:    `ret_items` has room for them.
 * Safe:    threads, processes; signal handlers as brood_lock_acquire(). */
BROOD_API int brood_array_read(brood_array *array, ssize_t index, size_t count, void *ret_items);

/** Write `count` items from `index` on, under the lock.
 * Returns: 0; BROOD_OWNER_DIED: written, but a process died while it held the lock, so others may
 *          be half changed.
 * Errors:  as brood_array_read().
 * Owns:    nothing.
 * Safe:    as brood_array_read(). */
BROOD_API int brood_array_write(brood_array *array, ssize_t index, const void *items, size_t count);

BROOD_END_DECLS
#endif
