/* brood/object.h - a value of any shape, as it travels between processes
 *
 * What Python has for plain data: None, bool, int, float, str, bytes, list, tuple, dict, set. It is a struct of
 * 24 bytes that points to its text or items, and so is built on the spot, without allocation:
 *
 *	brood_object job = BROOD_DICT(BROOD_TEXT("name"), BROOD_TEXT("resize"),
 *				      BROOD_TEXT("size"), BROOD_TUPLE(BROOD_INT(640), BROOD_INT(480)));
 *	const brood_object *size = brood_object_get(&job, "size");
 *	int64_t width;
 *
 *	if (brood_object_int(brood_object_at(size, 0), &width) < 0)
 *		return -EINVAL;
 *
 * brood/pickle.h makes bytes of it that Python reads, and an object of Python's bytes. Accessors take NULL
 * for "no such item" and say so, so that what is far inside is asked for without a check at each step.
 *
 * Values     An object has no identity. What is shared in Python, [a, a], comes as two equal values,
 *            and no container can hold itself.
 * Numbers    An int of Python is BROOD_OBJECT_INT where int64_t holds it, _UINT where only uint64_t does, and
 *            _BIG beyond: the bytes of its two's complement, little-endian and as few as can be. An error
 *            instead would make a whole message unreadable for one number that is only passed on.
 * Text       is UTF-8, its length explicit, NUL a character like any other. What Python has beyond Unicode
 *            (lone surrogates, of file names that are not UTF-8) is refused: send bytes.
 * Dicts      keep the order of their keys. Of equal keys the first stays, with the last value; as in
 *            Python, 1, 1.0 and true are equal. Sets keep the order in which their items came.
 * Classes    BROOD_OBJECT_INSTANCE is an exception or another object of a Python class as it was
 *            pickled: the class by name, the arguments, perhaps a state. Nothing is ever called.
 * Handles    stand for objects of this process, which a layer above turns into descriptors
 *            (brood/pickle.h). Here they are a pointer and a number.
 *
 * Owner      Who made the pieces owns them: BROOD_TUPLE() and its like live as long as their block. What
 *            brood_pickle_loads() made is one block of memory, let go by brood_object_free().
 * C++        has the constructors of single values. A list is made of a named array: BROOD_LIST_OF(items, n). */
#ifndef BROOD_OBJECT_H
#define BROOD_OBJECT_H

#include <string.h>

#include <brood/base.h>

BROOD_BEGIN_DECLS

/** How deep objects may be nested; a list in a list is two deep. */
#define BROOD_OBJECT_DEPTH 256

/** … and keys of a dict, or items of a set: a tuple in a tuple is two deep. */
#define BROOD_OBJECT_KEY_DEPTH 16

typedef enum brood_object_kind {
	BROOD_OBJECT_NONE = 0,
	BROOD_OBJECT_BOOL,      /* .as.boolean */
	BROOD_OBJECT_INT,       /* .as.integer */
	BROOD_OBJECT_UINT,      /* .as.natural; from Python: beyond INT64_MAX */
	BROOD_OBJECT_BIG,       /* .as.data, .size bytes: two's complement, little-endian */
	BROOD_OBJECT_FLOAT,     /* .as.real */
	BROOD_OBJECT_TEXT,      /* .as.text, .size bytes of UTF-8 */
	BROOD_OBJECT_BYTES,     /* .as.data, .size */
	BROOD_OBJECT_BYTEARRAY, /* .as.data, .size */
	BROOD_OBJECT_TUPLE,     /* .as.items, .size of them */
	BROOD_OBJECT_LIST,      /* .as.items, .size */
	BROOD_OBJECT_DICT,      /* .as.items, .size pairs: key, value, key, value, … */
	BROOD_OBJECT_SET,       /* .as.items, .size */
	BROOD_OBJECT_FROZENSET, /* .as.items, .size */
	BROOD_OBJECT_CLASS,     /* .as.text, .size: module, a blank, name: "builtins ValueError" */
	BROOD_OBJECT_INSTANCE, /* .as.items, .size: class, tuple of arguments, and perhaps a state */
	BROOD_OBJECT_HANDLE    /* .as.handle, .tag: its type, as the layer above counts them */
} brood_object_kind;

/** .tag of an instance: made by __new__ of its class with the arguments, not by calling the class. */
#define BROOD_OBJECT_BY_NEW 1

/** A value. Plain data: copy it, compare pieces of it, point to it. All-zero is None. */
typedef struct brood_object brood_object;
struct brood_object {
	brood_object_kind kind;
	uint32_t tag; /* 0 where nothing is said above */
	union {
		int64_t integer;
		uint64_t natural;
		bool boolean;
		double real;
		const char *text;
		const void *data;
		const brood_object *items;
		void *handle;
	} as;
	size_t size;
};

/* ---- making them */

static inline brood_object brood_object_of_none(void)
{
	brood_object object = { BROOD_OBJECT_NONE, 0, { 0 }, 0 };

	return object;
}

static inline brood_object brood_object_of_bool(bool boolean)
{
	brood_object object = { BROOD_OBJECT_BOOL, 0, { 0 }, 0 };

	object.as.boolean = boolean;
	return object;
}

static inline brood_object brood_object_of_int(int64_t integer)
{
	brood_object object = { BROOD_OBJECT_INT, 0, { 0 }, 0 };

	object.as.integer = integer;
	return object;
}

static inline brood_object brood_object_of_uint(uint64_t natural)
{
	brood_object object = { BROOD_OBJECT_UINT, 0, { 0 }, 0 };

	object.as.natural = natural;
	return object;
}

static inline brood_object brood_object_of_float(double real)
{
	brood_object object = { BROOD_OBJECT_FLOAT, 0, { 0 }, 0 };

	object.as.real = real;
	return object;
}

/* Text, bytes and classes: `data` of `size` bytes; they stay the caller's. */
static inline brood_object brood_object_of_data(brood_object_kind kind, const void *data,
						size_t size)
{
	brood_object object = { kind, 0, { 0 }, 0 };

	object.as.data = data;
	object.size = size;
	return object;
}

/* Containers: `size` items, or pairs of a dict; they stay the caller's. */
static inline brood_object brood_object_of_items(brood_object_kind kind, const brood_object *items,
						 size_t size)
{
	brood_object object = { kind, 0, { 0 }, 0 };

	object.as.items = items;
	object.size = size;
	return object;
}

static inline brood_object brood_object_of_handle(uint32_t type, void *handle)
{
	brood_object object = { BROOD_OBJECT_HANDLE, type, { 0 }, 0 };

	object.as.handle = handle;
	return object;
}

/** Single values. BROOD_TEXT takes a C string, the _OF forms a pointer and a length. */
#define BROOD_NONE brood_object_of_none()
#define BROOD_BOOL(boolean) brood_object_of_bool(boolean)
#define BROOD_INT(integer) brood_object_of_int(integer)
#define BROOD_UINT(natural) brood_object_of_uint(natural)
#define BROOD_FLOAT(real) brood_object_of_float(real)
#define BROOD_TEXT(string) BROOD_TEXT_OF((string), strlen(string))
#define BROOD_TEXT_OF(text, size) brood_object_of_data(BROOD_OBJECT_TEXT, (text), (size))
#define BROOD_BYTES(data, size) brood_object_of_data(BROOD_OBJECT_BYTES, (data), (size))
#define BROOD_HANDLE(type, handle) brood_object_of_handle((type), (handle))

/** Containers of the objects named (at least one), in C; BROOD_DICT takes key, value, key, value. */
#define BROOD_TUPLE(...) BROOD_TUPLE_OF(BROOD_OBJECTS(__VA_ARGS__))
#define BROOD_LIST(...) BROOD_LIST_OF(BROOD_OBJECTS(__VA_ARGS__))
#define BROOD_SET(...) BROOD_SET_OF(BROOD_OBJECTS(__VA_ARGS__))
#define BROOD_DICT(...) brood_object_of_pairs(BROOD_OBJECTS(__VA_ARGS__))

/** Containers of an array of objects; BROOD_DICT_OF takes twice `n` of them. */
#define BROOD_TUPLE_OF(...) brood_object_of_items(BROOD_OBJECT_TUPLE, __VA_ARGS__)
#define BROOD_LIST_OF(...) brood_object_of_items(BROOD_OBJECT_LIST, __VA_ARGS__)
#define BROOD_SET_OF(...) brood_object_of_items(BROOD_OBJECT_SET, __VA_ARGS__)
#define BROOD_DICT_OF(...) brood_object_of_items(BROOD_OBJECT_DICT, __VA_ARGS__)

/** An array on the spot and its length, as two arguments of a call. */
#define BROOD_OBJECTS(...)                     \
	(const brood_object[]){ __VA_ARGS__ }, \
		sizeof((const brood_object[]){ __VA_ARGS__ }) / sizeof(brood_object)

static inline brood_object brood_object_of_pairs(const brood_object *items, size_t n_items)
{
	return brood_object_of_items(BROOD_OBJECT_DICT, items, n_items / 2);
}

/** Let go what brood_pickle_loads() made, as a whole. NULL is fine.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more; handles in it are not touched.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API brood_object *brood_object_free(brood_object *object);

/* ---- looking at them: -ENOENT means that `object` is NULL, -EDOM that it is of another kind */

/** A truth value.
 * Returns: 0. Errors: -ENOENT, -EDOM.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_bool(const brood_object *object, bool *ret_boolean);

/** An integer, of whichever kind; as in Python, a bool is one.
 * Returns: 0. Errors: -ENOENT, -EDOM; -ERANGE: int64_t does not hold it.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_int(const brood_object *object, int64_t *ret_integer);

/** The same, unsigned.
 * Returns: 0. Errors: -ENOENT, -EDOM; -ERANGE: uint64_t does not hold it.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_uint(const brood_object *object, uint64_t *ret_natural);

/** A floating number, or an integer that one is equal to.
 * Returns: 0. Errors: -ENOENT, -EDOM; -ERANGE: an integer that no double is equal to.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_float(const brood_object *object, double *ret_real);

/** Text. NULs may be in it; from brood_pickle_loads(), one more is behind it.
 * Returns: 0, and its bytes. Errors: -ENOENT, -EDOM.
 * Owns:    the object.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_text(const brood_object *object, const char **ret_text,
				size_t *ret_size);

/** Bytes, or a bytearray's.
 * Returns: 0, and them. Errors: -ENOENT, -EDOM.
 * Owns:    the object.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_bytes(const brood_object *object, const void **ret_data,
				 size_t *ret_size);

/** A handle of this type.
 * Returns: 0, and it. Errors: -ENOENT; -EDOM: none, or of another type.
 * Owns:    whoever put it there.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_handle(const brood_object *object, uint32_t type, void **ret_handle);

/** Whether it is None; of no object, it is not.
 * Returns: true or false.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API bool brood_object_is_none(const brood_object *object);

/** How many items, pairs, or bytes it has.
 * Returns: the number. Errors: -ENOENT; -EDOM: a kind without a length.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_object_length(const brood_object *object);

/** An item of a tuple, a list, or a set. From -1 it counts backwards from the end.
 * Returns: the item; NULL: there is none, or `object` is NULL or no such container.
 * Errors:  none but that.
 * Owns:    the object.
 * Safe:    threads, processes, signal handlers. */
BROOD_API const brood_object *brood_object_at(const brood_object *object, ssize_t index);

/** The value of a text key in a dict. It looks through all of them.
 * Returns: the value; NULL: there is none, or `object` is NULL or no dict.
 * Errors:  none but that.
 * Owns:    the object.
 * Safe:    threads, processes, signal handlers. */
BROOD_API const brood_object *brood_object_get(const brood_object *object, const char *key);

/** The pair at a place in a dict; it counts as brood_object_at() does.
 * Returns: 0. Errors: -ENOENT: no object, or no such pair; -EDOM: no dict.
 * Owns:    the object.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_object_pair(const brood_object *object, ssize_t index,
				const brood_object **ret_key, const brood_object **ret_value);

/** Whether Python's == holds between them: 1, 1.0 and true are equal, bytes and bytearray too, a list and a
 * tuple never; the order in dicts and sets does not count. NaN is not equal to itself. Instances
 * are equal if their pieces are, handles if they are the same. No key may be there twice in what was
 * made by hand.
 * Returns: 1 or 0.
 * Errors:  -ENOENT: one is NULL; -ELOOP: deeper than BROOD_OBJECT_DEPTH; -ENOMEM: for the order of a
 *          large dict or set.
 * Owns:    nothing.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_object_equal(const brood_object *a, const brood_object *b);

/** Write it for a log, as Python's repr() would: {'name': 'resize', 'size': (640, 480)}. What does not
 * fit is cut, and "..." says so. No more of a large object is looked at than is written.
 * Returns: the length that was written, less than `size`. Errors: -ENOENT.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_object_describe(const brood_object *object, char *buf, size_t size);

BROOD_END_DECLS
#endif
