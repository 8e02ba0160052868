/* brood/args.h - typed arguments of a function that runs in another process
 *
 *	brood_process_start(work, BROOD_ARGS(tasks, &s->lock, 3, "bob"), NULL, &p);
 *
 * and there
 *
 *	int work(const brood_args *args)
 *	{
 *		brood_queue *tasks = brood_args_queue(args, 0);
 *		brood_lock *lock = brood_args_lock(args, 1);
 *		int64_t n = brood_args_int(args, 2);
 *		const char *name = brood_args_str(args, 3);
 *		…
 *	}
 *
 * An argument is a brood_object (brood/object.h): BROOD_ARGS turns every type of integer, bool, float, double,
 * strings and handles into one, and takes those that are written out: BROOD_BYTES(data, size), BROOD_NONE,
 * BROOD_LIST(…). How the process is started makes no difference: what can be an argument can be one of each
 * start method.
 *
 * Handles    queues, connections, segments and lists, const or not. The caller's stays the caller's. In the process they
 *            belong to its arguments, and live as long as it does.
 * Memory     What lies in a segment (brood/segment.h): locks and their kin, values, arrays; BROOD_SHARED(address) for
 *            anything else. It travels as its segment and the distance in it, and is what it was. Memory in no segment is
 *            -EFAULT when the process is started, memory of a MAP_SHARED mapping of one's own included.
 * Descriptors  BROOD_FD(fd). The process gets one of its own, perhaps under another number.
 * Wrong      An index that there is not, another type than is asked for, a number that does not fit: the function does
 *            not get a value that means nothing, but ends, with status 1 and a failure record that names index, wanted and
 *            found: "argument 2: an int is wanted, a text is there". So no accessor needs a check.
 * C++, C99   have the types and the accessors; an array that BROOD_ARGS_END ends stands for BROOD_ARGS there. */
#ifndef BROOD_ARGS_H
#define BROOD_ARGS_H

#include <brood/array.h>
#include <brood/barrier.h>
#include <brood/cond.h>
#include <brood/conn.h>
#include <brood/event.h>
#include <brood/latch.h>
#include <brood/list.h>
#include <brood/lock.h>
#include <brood/object.h>
#include <brood/once.h>
#include <brood/permits.h>
#include <brood/queue.h>
#include <brood/rlock.h>
#include <brood/rwlock.h>
#include <brood/segment.h>
#include <brood/sem.h>
#include <brood/value.h>

BROOD_BEGIN_DECLS

/** The arguments, as the function sees them. */
typedef struct brood_args brood_args;

/** The type of a handle among arguments: .tag of a BROOD_OBJECT_HANDLE. */
typedef enum brood_arg_type {
	BROOD_ARG_END = 0x62720000, /* no argument: what ends them */
	BROOD_ARG_QUEUE,
	BROOD_ARG_CONN,
	BROOD_ARG_SEGMENT,
	BROOD_ARG_LIST,
	BROOD_ARG_FD, /* the descriptor in the place of a pointer */
	/* memory in a segment: */
	BROOD_ARG_SHARED, /* of no kind that is known here */
	BROOD_ARG_LOCK,
	BROOD_ARG_RLOCK,
	BROOD_ARG_RWLOCK,
	BROOD_ARG_SEM,
	BROOD_ARG_PERMITS,
	BROOD_ARG_COND,
	BROOD_ARG_EVENT,
	BROOD_ARG_BARRIER,
	BROOD_ARG_LATCH,
	BROOD_ARG_ONCE,
	BROOD_ARG_VALUE,
	BROOD_ARG_ARRAY
} brood_arg_type;

/* ---- making them */

static inline brood_object brood_arg_of_object(brood_object object)
{
	return object;
}

static inline brood_object brood_arg_of_handle(brood_arg_type type, const void *handle)
{
	brood_object object = { BROOD_OBJECT_HANDLE, 0, { 0 }, 0 };

	object.tag = (uint32_t)type;
	object.as.data = handle;
	return object;
}

/* A string that is not there is no text: the start says so. */
static inline brood_object brood_arg_of_str(const char *string)
{
	return brood_object_of_data(BROOD_OBJECT_TEXT, string, string != NULL ? strlen(string) : 0);
}

static inline brood_object brood_arg_of_fd(int fd)
{
	return brood_arg_of_handle(BROOD_ARG_FD, (const void *)(intptr_t)fd);
}

/* A function for each type of handle, as _Generic wants it. */
#define BROOD_ARG_OF_(name, type)                                             \
	static inline brood_object brood_arg_of_##name(const brood_##name *p) \
	{                                                                     \
		return brood_arg_of_handle(type, p);                          \
	}
/* clang-format off */
BROOD_ARG_OF_(queue, BROOD_ARG_QUEUE)
BROOD_ARG_OF_(conn, BROOD_ARG_CONN)
BROOD_ARG_OF_(segment, BROOD_ARG_SEGMENT)
BROOD_ARG_OF_(list, BROOD_ARG_LIST)
BROOD_ARG_OF_(lock, BROOD_ARG_LOCK)
BROOD_ARG_OF_(rlock, BROOD_ARG_RLOCK)
BROOD_ARG_OF_(rwlock, BROOD_ARG_RWLOCK)
BROOD_ARG_OF_(sem, BROOD_ARG_SEM)
BROOD_ARG_OF_(permits, BROOD_ARG_PERMITS)
BROOD_ARG_OF_(cond, BROOD_ARG_COND)
BROOD_ARG_OF_(event, BROOD_ARG_EVENT)
BROOD_ARG_OF_(barrier, BROOD_ARG_BARRIER)
BROOD_ARG_OF_(latch, BROOD_ARG_LATCH)
BROOD_ARG_OF_(once, BROOD_ARG_ONCE)
BROOD_ARG_OF_(value, BROOD_ARG_VALUE)
BROOD_ARG_OF_(array, BROOD_ARG_ARRAY)
/* clang-format on */

/** A descriptor; memory in a segment. */
#define BROOD_FD(fd) brood_arg_of_fd(fd)
#define BROOD_SHARED(address) brood_arg_of_handle(BROOD_ARG_SHARED, (address))

/** No arguments; and what ends an array of them that was made by hand. */
#define BROOD_NO_ARGS ((const brood_object *)0)
#define BROOD_ARGS_END brood_arg_of_handle(BROOD_ARG_END, NULL)

#if !defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L

#define BROOD_ARG_HANDLE_(name) \
	brood_##name * : brood_arg_of_##name, const brood_##name * : brood_arg_of_##name

/** One argument of whatever type it has. Who has types of his own may define it before. */
#ifndef BROOD_ARG
#define BROOD_ARG(x) \
	_Generic((x), brood_object                                                                 \
		 : brood_arg_of_object, _Bool                                                      \
		 : brood_object_of_bool, char                                                      \
		 : brood_object_of_int, signed char                                                \
		 : brood_object_of_int, short                                                      \
		 : brood_object_of_int, int                                                        \
		 : brood_object_of_int, long                                                       \
		 : brood_object_of_int, long long                                                  \
		 : brood_object_of_int, unsigned char                                              \
		 : brood_object_of_uint, unsigned short                                            \
		 : brood_object_of_uint, unsigned                                                  \
		 : brood_object_of_uint, unsigned long                                             \
		 : brood_object_of_uint, unsigned long long                                        \
		 : brood_object_of_uint, float                                                     \
		 : brood_object_of_float, double                                                   \
		 : brood_object_of_float, char *                                                   \
		 : brood_arg_of_str, const char *                                                  \
		 : brood_arg_of_str, BROOD_ARG_HANDLE_(queue), BROOD_ARG_HANDLE_(conn),            \
		   BROOD_ARG_HANDLE_(segment), BROOD_ARG_HANDLE_(list), BROOD_ARG_HANDLE_(lock),   \
		   BROOD_ARG_HANDLE_(rlock), BROOD_ARG_HANDLE_(rwlock), BROOD_ARG_HANDLE_(sem),    \
		   BROOD_ARG_HANDLE_(permits), BROOD_ARG_HANDLE_(cond), BROOD_ARG_HANDLE_(event),  \
		   BROOD_ARG_HANDLE_(barrier), BROOD_ARG_HANDLE_(latch), BROOD_ARG_HANDLE_(once),  \
		   BROOD_ARG_HANDLE_(value), BROOD_ARG_HANDLE_(array))(x)
#endif

/** Arguments on the spot, 1 to 32; they live as long as their block, and the start keeps nothing of them. */
#define BROOD_ARGS(...)                                                                            \
	((const brood_object[]){ BROOD_ARGS_PICK_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, \
						  23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12,  \
						  11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1,               \
						  0)(__VA_ARGS__),                                 \
				 BROOD_ARGS_END })

/* clang-format off */
#define BROOD_ARGS_PICK_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E, F, \
			 N, ...) BROOD_ARGS_##N##_
#define BROOD_ARGS_1_(a) BROOD_ARG(a)
#define BROOD_ARGS_2_(a, ...) BROOD_ARG(a), BROOD_ARGS_1_(__VA_ARGS__)
#define BROOD_ARGS_3_(a, ...) BROOD_ARG(a), BROOD_ARGS_2_(__VA_ARGS__)
#define BROOD_ARGS_4_(a, ...) BROOD_ARG(a), BROOD_ARGS_3_(__VA_ARGS__)
#define BROOD_ARGS_5_(a, ...) BROOD_ARG(a), BROOD_ARGS_4_(__VA_ARGS__)
#define BROOD_ARGS_6_(a, ...) BROOD_ARG(a), BROOD_ARGS_5_(__VA_ARGS__)
#define BROOD_ARGS_7_(a, ...) BROOD_ARG(a), BROOD_ARGS_6_(__VA_ARGS__)
#define BROOD_ARGS_8_(a, ...) BROOD_ARG(a), BROOD_ARGS_7_(__VA_ARGS__)
#define BROOD_ARGS_9_(a, ...) BROOD_ARG(a), BROOD_ARGS_8_(__VA_ARGS__)
#define BROOD_ARGS_10_(a, ...) BROOD_ARG(a), BROOD_ARGS_9_(__VA_ARGS__)
#define BROOD_ARGS_11_(a, ...) BROOD_ARG(a), BROOD_ARGS_10_(__VA_ARGS__)
#define BROOD_ARGS_12_(a, ...) BROOD_ARG(a), BROOD_ARGS_11_(__VA_ARGS__)
#define BROOD_ARGS_13_(a, ...) BROOD_ARG(a), BROOD_ARGS_12_(__VA_ARGS__)
#define BROOD_ARGS_14_(a, ...) BROOD_ARG(a), BROOD_ARGS_13_(__VA_ARGS__)
#define BROOD_ARGS_15_(a, ...) BROOD_ARG(a), BROOD_ARGS_14_(__VA_ARGS__)
#define BROOD_ARGS_16_(a, ...) BROOD_ARG(a), BROOD_ARGS_15_(__VA_ARGS__)
#define BROOD_ARGS_17_(a, ...) BROOD_ARG(a), BROOD_ARGS_16_(__VA_ARGS__)
#define BROOD_ARGS_18_(a, ...) BROOD_ARG(a), BROOD_ARGS_17_(__VA_ARGS__)
#define BROOD_ARGS_19_(a, ...) BROOD_ARG(a), BROOD_ARGS_18_(__VA_ARGS__)
#define BROOD_ARGS_20_(a, ...) BROOD_ARG(a), BROOD_ARGS_19_(__VA_ARGS__)
#define BROOD_ARGS_21_(a, ...) BROOD_ARG(a), BROOD_ARGS_20_(__VA_ARGS__)
#define BROOD_ARGS_22_(a, ...) BROOD_ARG(a), BROOD_ARGS_21_(__VA_ARGS__)
#define BROOD_ARGS_23_(a, ...) BROOD_ARG(a), BROOD_ARGS_22_(__VA_ARGS__)
#define BROOD_ARGS_24_(a, ...) BROOD_ARG(a), BROOD_ARGS_23_(__VA_ARGS__)
#define BROOD_ARGS_25_(a, ...) BROOD_ARG(a), BROOD_ARGS_24_(__VA_ARGS__)
#define BROOD_ARGS_26_(a, ...) BROOD_ARG(a), BROOD_ARGS_25_(__VA_ARGS__)
#define BROOD_ARGS_27_(a, ...) BROOD_ARG(a), BROOD_ARGS_26_(__VA_ARGS__)
#define BROOD_ARGS_28_(a, ...) BROOD_ARG(a), BROOD_ARGS_27_(__VA_ARGS__)
#define BROOD_ARGS_29_(a, ...) BROOD_ARG(a), BROOD_ARGS_28_(__VA_ARGS__)
#define BROOD_ARGS_30_(a, ...) BROOD_ARG(a), BROOD_ARGS_29_(__VA_ARGS__)
#define BROOD_ARGS_31_(a, ...) BROOD_ARG(a), BROOD_ARGS_30_(__VA_ARGS__)
#define BROOD_ARGS_32_(a, ...) BROOD_ARG(a), BROOD_ARGS_31_(__VA_ARGS__)
/* clang-format on */

#endif

/* ---- reading them, in the function; the first has index 0 */

/** How many there are.
 * Returns: the number.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, signal handlers. */
BROOD_API size_t brood_args_count(const brood_args *args);

/** An argument as it is, lists and dicts too: for brood_object_at() and its like.
 * Returns: the object; NULL: there is none of this index.
 * Errors:  none but that.
 * Owns:    the arguments.
 * Safe:    threads, signal handlers. */
BROOD_API const brood_object *brood_args_object(const brood_args *args, size_t index);

/** Whether it is BROOD_NONE; also of what other accessors would refuse.
 * Returns: true or false. Errors: none; an index that there is not ends the function (Wrong, above).
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API bool brood_args_is_none(const brood_args *args, size_t index);

/** An integer, of whichever type it was; a bool is 0 or 1.
 * Returns: the number. Errors: none returned: see Wrong, above.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API int64_t brood_args_int(const brood_args *args, size_t index);

/** The same, unsigned; a negative one does not fit.
 * Returns: the number. Errors: none returned: see Wrong, above.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API uint64_t brood_args_uint(const brood_args *args, size_t index);

/** A floating number, or an integer that one is equal to.
 * Returns: the number. Errors: none returned: see Wrong, above.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API double brood_args_double(const brood_args *args, size_t index);

/** A truth value, or an integer 0 or 1: in C11 `true` is one.
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    nothing.
 * Safe:    threads. */
BROOD_API bool brood_args_bool(const brood_args *args, size_t index);

/** A text, with a NUL behind it; one with a NUL inside is refused, and is for brood_args_object().
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    the arguments.
 * Safe:    threads. */
BROOD_API const char *brood_args_str(const brood_args *args, size_t index);

/** Bytes, and their number in *ret_size.
 * Returns: them. Errors: none returned: see Wrong, above.
 * Owns:    the arguments.
 * Safe:    threads. */
BROOD_API const void *brood_args_bytes(const brood_args *args, size_t index, size_t *ret_size);

/** A queue.
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    the arguments.
 * Safe:    threads. */
BROOD_API brood_queue *brood_args_queue(const brood_args *args, size_t index);

/** A connection.
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    the arguments.
 * Safe:    threads. */
BROOD_API brood_conn *brood_args_conn(const brood_args *args, size_t index);

/** A segment.
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    the arguments.
 * Safe:    threads. */
BROOD_API brood_segment *brood_args_segment(const brood_args *args, size_t index);

/** A list (brood/list.h).
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    the arguments.
 * Safe:    threads. */
BROOD_API brood_list *brood_args_list(const brood_args *args, size_t index);

/** A descriptor.
 * Returns: it. Errors: none returned: see Wrong, above.
 * Owns:    the arguments; dup(2) it before closing what you keep.
 * Safe:    threads. */
BROOD_API int brood_args_fd(const brood_args *args, size_t index);

/** Memory of this type in a segment, BROOD_ARG_SHARED to _ARRAY; the functions below are this with their types.
 * Returns: where it is in this process. Errors: none returned: see Wrong, above.
 * Owns:    the arguments keep its segment.
 * Safe:    threads. */
BROOD_API void *brood_args_memory(const brood_args *args, size_t index, brood_arg_type type);

/** What BROOD_SHARED() named. */
static inline void *brood_args_shared(const brood_args *args, size_t index)
{
	return brood_args_memory(args, index, BROOD_ARG_SHARED);
}

/** brood_args_lock(args, index) and its like: the object, where it is in this process. */
#define BROOD_ARGS_MEMORY_(name, type)                                                      \
	static inline brood_##name *brood_args_##name(const brood_args *args, size_t index) \
	{                                                                                   \
		return (brood_##name *)brood_args_memory(args, index, type);                \
	}
/* clang-format off */
BROOD_ARGS_MEMORY_(lock, BROOD_ARG_LOCK)
BROOD_ARGS_MEMORY_(rlock, BROOD_ARG_RLOCK)
BROOD_ARGS_MEMORY_(rwlock, BROOD_ARG_RWLOCK)
BROOD_ARGS_MEMORY_(sem, BROOD_ARG_SEM)
BROOD_ARGS_MEMORY_(permits, BROOD_ARG_PERMITS)
BROOD_ARGS_MEMORY_(cond, BROOD_ARG_COND)
BROOD_ARGS_MEMORY_(event, BROOD_ARG_EVENT)
BROOD_ARGS_MEMORY_(barrier, BROOD_ARG_BARRIER)
BROOD_ARGS_MEMORY_(latch, BROOD_ARG_LATCH)
BROOD_ARGS_MEMORY_(once, BROOD_ARG_ONCE)
BROOD_ARGS_MEMORY_(value, BROOD_ARG_VALUE)
BROOD_ARGS_MEMORY_(array, BROOD_ARG_ARRAY)
/* clang-format on */

BROOD_END_DECLS
#endif
