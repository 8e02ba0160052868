/* brood/value.h - one number that several processes share
 *
 *	struct shared {
 *		brood_value hits;
 *	} *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
 *
 *	brood_value_init(&s->hits, 'q');
 *	if (fork() == 0)
 *		_exit(brood_value_add(&s->hits, 1, NULL) < 0);
 *	brood_value_add(&s->hits, 1, NULL);
 *
 * One process initialises it, once; then any of them adds, and no addition is lost. It may lie in a segment
 * (brood/segment.h), in a block of a heap (brood/heap.h), or in any shared mapping.
 *
 * As multiprocessing.Value, with the type codes of Python's array and struct modules. Each access
 * is one atomic access of the memory: no number is ever seen half written, and a process killed at
 * any instruction has changed it or has not. What takes several steps is done with
 * brood_value_add() and its like, or between acquire and release of brood_value_lock(); the
 * accesses here do not wait for that lock. C11 programs may use brood_value_pointer() with
 * <stdatomic.h> as well.
 *
 *	?  bool            c b  signed char (c: char)   B  unsigned char    h H  short
 *	i I  int           l L  long                    q Q  long long      u  wchar_t
 *	f  float           d  double
 *
 * Threads, processes, fork, signal handlers: everything here, but for the lock as lock.h says.
 * A value is memory and not a handle: nothing is to be closed. */
#ifndef BROOD_VALUE_H
#define BROOD_VALUE_H

#include <brood/base.h>
#include <brood/lock.h>

BROOD_BEGIN_DECLS

/** The size of a type.
 * Returns: 1, 2, 4 or 8. Errors: -EINVAL, an unknown code.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_type_size(char type);

/** A value. The fields are the library's. Aligned to 8. */
typedef struct brood_value {
	brood_lock lock;
	uint32_t stamp; /* what it is, and of which layout */
	char type;
	char unused[3];
	union {
		int64_t integer;
		double real;
	} store;
} brood_value;

/** Make a value of `type`, zero. The memory may hold anything; nobody else may use it yet.
 * Returns: 0.
 * Errors:  -EFAULT: no memory, or not aligned to 8; -EINVAL: an unknown type; -ENOTSUP as
 *          brood_lock_init().
 * Owns:    nothing; there is nothing to undo.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_init(brood_value *value, char type);

/** Its type's code.
 * Returns: the code.
 * Errors:  -EFAULT: no memory, or not aligned to 8; -EBADMSG: it was never made, or of another
 *          layout.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_type(const brood_value *value);

/** The number, of an integer type.
 * Returns: 0, and it in *ret_number.
 * Errors:  -EDOM: it is a floating one; -ERANGE: it does not fit; -EFAULT, -EBADMSG as
 *          brood_value_type().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_get_int(const brood_value *value, int64_t *ret_number);

/** The same with an unsigned number.
 * Returns: 0. Errors: as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_get_uint(const brood_value *value, uint64_t *ret_number);

/** The number, of any type, as a double (rounded, beyond 2^53).
 * Returns: 0, and it in *ret_number.
 * Errors:  -EFAULT, -EBADMSG as brood_value_type().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_get_double(const brood_value *value, double *ret_number);

/** Set it. A floating one takes integers as well, rounded.
 * Returns: 0.
 * Errors:  -ERANGE: the type has no such number; -EFAULT, -EBADMSG as brood_value_type().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_set_int(brood_value *value, int64_t number);

/** The same with an unsigned number.
 * Returns: 0. Errors: as above.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_set_uint(brood_value *value, uint64_t number);

/** Set one of a floating type.
 * Returns: 0.
 * Errors:  -EDOM: it is an integer; -EFAULT, -EBADMSG as brood_value_type().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_set_double(brood_value *value, double number);

/** Add to an integer, as one step. Beyond its range it wraps around, as C11's atomics do.
 * Returns: 0, and the sum in *ret_sum if that is not NULL (of an 8-byte unsigned type: its bits).
 * Errors:  -EDOM: it is a floating one, or a bool; -EFAULT, -EBADMSG as brood_value_type().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_add(brood_value *value, int64_t more, int64_t *ret_sum);

/** Add to a floating one, as one step.
 * Returns: 0, and the sum in *ret_sum if that is not NULL.
 * Errors:  -EDOM: it is an integer; -EFAULT, -EBADMSG as brood_value_type().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_add_double(brood_value *value, double more, double *ret_sum);

/** Set an integer to `number` if it is `expected`, as one step.
 * Returns: 1: it was, and is `number` now; 0: it was not, and *ret_seen says what it was, unless
 *          NULL.
 * Errors:  -ERANGE: the type has no such `number`; -EDOM, -EFAULT, -EBADMSG as brood_value_add().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_value_replace(brood_value *value, int64_t expected, int64_t number,
				  int64_t *ret_seen);

/** The lock that belongs to it, for changes of several steps.
 * Returns: the lock; NULL when it is no value.
 * Errors:  none.
 * Owns:    the value.
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_lock *brood_value_lock(brood_value *value);

/** Where the number is: of type 'i', cast it to _Atomic(int) *, and so on.
 * Returns: the address; NULL when it is no value.
 * Errors:  none.
 * Owns:    the value.
 * Safe:    threads, processes, signal handlers. */
BROOD_API void *brood_value_pointer(brood_value *value);

BROOD_END_DECLS
#endif
