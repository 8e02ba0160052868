/* brood/pickle.h - objects as bytes that CPython's pickle reads and writes, without its dangers
 *
 *	brood_object job = BROOD_TUPLE(BROOD_TEXT("resize"), BROOD_INT(640)), *got;
 *	brood_fail fail = { 0 };
 *	char buf[512];
 *	ssize_t n = brood_pickle_dump(&job, NULL, buf, sizeof(buf));
 *
 *	if (n < 0 || (size_t)n > sizeof(buf))
 *		return -1;
 *	if (brood_pickle_loads(buf, (size_t)n, &(brood_pickle_opts){ .fail = &fail }, &got) < 0)
 *		return -1;
 *	brood_object_free(got);
 *
 * What is written is protocol 4, what multiprocessing sends in CPython 3.8 to 3.13 and all from 3.4 on read; or, if
 * asked for, 5 (3.8 and later; 3.14's default), which differs here in bytearrays alone. No memo is needed, since
 * objects are values, and no frames, since a message is read as a whole.
 *
 * What is read is protocols 2 to 5. Reading is inert: nothing is imported, called, or looked up by
 * name. A pickle may name a class, and only one of a list: the exceptions of `builtins`, and those of
 * queue, threading and multiprocessing; builtins' complex, range and slice; array.array;
 * multiprocessing.managers' Token, RebuildProxy and proxies; what else .classes allows. These come as
 * BROOD_OBJECT_CLASS and _INSTANCE, by name. Names of Python 2, which protocol 2 has, become those of 3.
 *
 * Any bytes may come: each defect is an error, and .fail says what is wrong at which byte. Memory is bounded
 * by the input: text and bytes are held once, all else takes less than a hundred times its bytes. What
 * refers to one thing many times is counted as many times, and limited. A pickle whose objects
 * contain themselves is refused.
 *
 * Handles    are pickled by persistent id, Python's own slot for what lives outside of a pickle: .persistent_id
 *            makes any plain object of a handle when writing, .persistent_load a handle, or any other
 *            object, of that. Without these, handles are refused. */
#ifndef BROOD_PICKLE_H
#define BROOD_PICKLE_H

#include <brood/object.h>

BROOD_BEGIN_DECLS

typedef struct brood_pickle_opts {
	int protocol;      /* to write: 4 or 5; 0: 4 */
	size_t most_bytes; /* to read: of the pickle, and of what shares would take if copied;
				     * 0: 1 GiB, or what a pickle of this size may have without shares */
	size_t most_items; /* …: objects in all, shares counted as often; 0: 16,777,216 */
	size_t most_depth; /* …: levels; 0, and at most: BROOD_OBJECT_DEPTH */
	size_t most_long;  /* …: bytes of one integer; 0: 65,536 */
	const char *const *classes; /* …: more that may be named, "module name" each, then NULL */

	/* Fill *ret_id with what stands for the handle; its pieces live until the call returns. Asked again
	 * each time that it is written. 0, or a negative errno value, which ends the whole. */
	int (*persistent_id)(void *context, const brood_object *handle, brood_object *ret_id);
	/* Fill *ret_object with what `id` stands for; its pieces live as long as the whole. When reading
	 * fails afterwards, what was loaded is still the context's. */
	int (*persistent_load)(void *context, const brood_object *id, brood_object *ret_object);
	void *context;
	brood_fail *fail; /* step "pickle"; the text begins "byte 17: " when reading */
} brood_pickle_opts;

/** Write a pickle into the caller's memory. Nothing is allocated.
 * Returns: its length; if more than `size`, what is in `buf` is of no use.
 * Errors:  -EINVAL: a kind or protocol that there is not, memory that is NULL, a key that has no hash
 *          (list, dict, set, bytearray, instance, handle), a class without a blank, an instance
 *          without class or arguments; -EILSEQ: text that is not UTF-8; -ELOOP: deeper than
 *          BROOD_OBJECT_DEPTH; -ENOTSUP: a handle, and no .persistent_id; what that says.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers (it takes 12 KiB of stack). */
BROOD_API ssize_t brood_pickle_dump(const brood_object *object, const brood_pickle_opts *opts,
				    void *buf, size_t size);

/** Write a pickle into new memory.
 * Returns: 0, and it in *ret_data and *ret_size. Errors: as brood_pickle_dump(); -ENOMEM.
 * Owns:    the caller frees *ret_data with free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_pickle_dumps(const brood_object *object, const brood_pickle_opts *opts,
				 void **ret_data, size_t *ret_size);

/** Read a pickle. The object holds nothing of `data`; it is one allocation.
 * Returns: 0, and the object in *ret_object.
 * Errors:  -EBADMSG: no pickle, or a damaged one; -EPROTONOSUPPORT: protocol 0, 1, or beyond 5; -EPERM: it names
 *          a class, or wants done, what is not allowed; -ELOOP: deeper than .most_depth, or in
 *          itself; -EMSGSIZE: beyond another limit; -EILSEQ: text that is not UTF-8; -EINVAL: a key that
 *          has no hash, or what .persistent_load gave is no object; -ENOTSUP: a persistent id, and no
 *          .persistent_load; what that says; -ENOMEM.
 * Owns:    the caller, until brood_object_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_pickle_loads(const void *data, size_t size, const brood_pickle_opts *opts,
				 brood_object **ret_object);

BROOD_END_DECLS
#endif
