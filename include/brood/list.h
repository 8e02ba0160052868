/* brood/list.h - a list of mixed items in a segment, which CPython reads and writes as well
 *
 *	brood_item items[] = {
 *		{ BROOD_ITEM_INT, .integer = 7 },
 *		{ BROOD_ITEM_STR, .data = "caf\xc3\xa9", .size = 5 },
 *		{ BROOD_ITEM_NONE },
 *	};
 *	brood_list *list;
 *
 *	brood_list_opts opts = { .name = "prices", .layout = BROOD_LIST_PYTHON };
 *
 *	brood_list_new(items, 3, &opts, &list);
 *
 * and in Python: multiprocessing.shared_memory.ShareableList(name='prices'). A list has a fixed
 * number of items, and each item a fixed room; any item can be replaced by whatever fits in there.
 *
 * Three layouts:
 *
 *	BROOD_LIST_EXACT       the default: CPython's of 3.9 with exact lengths, which CPython 3.9
 *	                       and later reads, too. Text and bytes come back as they were
 *	BROOD_LIST_PYTHON      what CPython 3.9 and later writes. NULs at the end of text and bytes
 *	                       are lost
 *	BROOD_LIST_PYTHON_3_8  what CPython 3.8 writes, with the same loss
 *
 * brood_list_open() tells the layouts apart by itself. What was written by CPython may hold text
 * that it cut within a character (its bug: it counts characters, not bytes): -EILSEQ here.
 *
 * Assigning is three writes (format, kind, data), in CPython and here: users that write at the same
 * time need a lock beside the list. Whoever is killed within it spoils no other item, and any item can be put over
 * the one that it was at; that one is read as the old one, the new one, a mixture of them, or -EBADMSG. A number (or
 * a bool) over one of its kind is one store, and so the old one or the new one. Whatever the memory
 * holds, nothing outside of the list is read or written.
 *
 * Indices count from 0, or backwards from -1 for the last.
 * Threads, fork: as the segment's (brood/segment.h). */
#ifndef BROOD_LIST_H
#define BROOD_LIST_H

#include <brood/segment.h>

BROOD_BEGIN_DECLS

typedef struct brood_list brood_list;

typedef enum brood_list_layout {
	BROOD_LIST_EXACT = 0,
	BROOD_LIST_PYTHON,
	BROOD_LIST_PYTHON_3_8
} brood_list_layout;

typedef enum brood_item_kind {
	BROOD_ITEM_NONE = 0,
	BROOD_ITEM_BOOL,  /* .boolean */
	BROOD_ITEM_INT,   /* .integer */
	BROOD_ITEM_FLOAT, /* .real */
	BROOD_ITEM_STR,   /* .data, .size: UTF-8, NUL allowed */
	BROOD_ITEM_BYTES  /* .data, .size */
} brood_item_kind;

/** One item. Plain data; `data` is whoever's gave it. */
typedef struct brood_item {
	brood_item_kind kind;
	bool boolean;
	int64_t integer;
	double real;
	const void *data;
	size_t size;
} brood_item;

typedef struct brood_list_opts {
	const char *name; /* of its segment; NULL: unnamed */
	bool named;       /* under a fresh name */
	brood_list_layout layout;
	brood_fail *fail;
} brood_list_opts;

/** Make a list of these items. Text and bytes get room for at least one byte more than they have.
 * Returns: 0, and a handle in *ret_list.
 * Errors:  -EINVAL: an unknown kind (step "item", its index), or layout; -EILSEQ: text that is not
 *          UTF-8 (step "item"); -EMSGSIZE: longer than 999,999 bytes, in CPython's layouts
 *          9,999,991 (step "item"); -EFBIG; as brood_segment_new().
 * Owns:    the caller, until brood_list_free(). The name, if any, stays: brood_segment_unlink().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_list_new(const brood_item *items, size_t n, const brood_list_opts *opts,
			     brood_list **ret_list);

/** Open the list of this name, brood's or CPython's. Of the options only .fail counts.
 * Returns: 0, and a handle in *ret_list.
 * Errors:  as brood_segment_open(); -EBADMSG: no list (step "list").
 * Owns:    the caller, until brood_list_free().
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_list_open(const char *name, const brood_list_opts *opts, brood_list **ret_list);

/** Use the list in a segment that was made, opened or attached with .raw.
 * Returns: 0, and a handle in *ret_list.
 * Errors:  -EBADMSG: no list; -EBADF: closed; -ENOMEM.
 * Owns:    the caller, until brood_list_free(); the list holds a reference to the segment.
 * Safe:    threads, processes; not in a signal handler. */
BROOD_API int brood_list_attach(brood_segment *segment, brood_list **ret_list);

/** Let the handle go. NULL is fine. The list lives as long as its segment.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    threads, processes. */
BROOD_API brood_list *brood_list_free(brood_list *list);

/** The segment that it is in: for its descriptor, its name, to unlink it.
 * Returns: the segment.
 * Errors:  none.
 * Owns:    the list.
 * Safe:    threads, processes. */
BROOD_API brood_segment *brood_list_segment(brood_list *list);

/** How many items it has.
 * Returns: the number.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_list_length(const brood_list *list);

/** How its bytes are laid out.
 * Returns: the layout.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API brood_list_layout brood_list_layout_of(const brood_list *list);

/** How many bytes of text or bytes fit in the place of an item; no item is longer.
 * Returns: bytes.
 * Errors:  -ERANGE: no such index.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_list_room(const brood_list *list, ssize_t index);

/** Read an item. Text and bytes are copied to `buf`, and a NUL behind them if there is room.
 * Returns: 0, and the item in *ret_item, whose .data is `buf`.
 * Errors:  -ERANGE: no such index; -ENOBUFS: longer than `size`; -EILSEQ: text that is not UTF-8;
 *          -EBADMSG: the format is none, or another one is being written this moment.
 * Owns:    `buf` is the caller's; NULL with size 0 for numbers.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_list_get(const brood_list *list, ssize_t index, void *buf, size_t size,
			     brood_item *ret_item);

/** Replace an item.
 * Returns: 0.
 * Errors:  -ERANGE: no such index; -EMSGSIZE: more than its room, see brood_list_room(); -EILSEQ:
 *          text that is not UTF-8; -EINVAL: no item, or an unknown kind; -EPERM: mapped for reading
 *          only.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers, one writer at a time. */
BROOD_API int brood_list_set(brood_list *list, ssize_t index, const brood_item *item);

/** Where an equal item is first. As in Python, 1, 1.0 and true are equal; text and bytes are not.
 * Returns: the index.
 * Errors:  -ENOENT: nowhere.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_list_index(const brood_list *list, const brood_item *item);

/** How often an equal item is in it.
 * Returns: the number.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_list_count(const brood_list *list, const brood_item *item);

/** The formats of all items in a row, as Python's struct module has them.
 * Returns: the length that the whole text has, as snprintf does.
 * Errors:  none.
 * Owns:    nothing; `buf` of `size` bytes is the caller's, always ended when size > 0.
 * Safe:    threads, processes, signal handlers. */
BROOD_API size_t brood_list_format(const brood_list *list, char *buf, size_t size);

BROOD_END_DECLS
#endif
