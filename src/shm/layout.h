/* shm/layout.h - the bytes of a shareable list, as CPython has them
 *
 * Pure functions on memory that others may write to at any time: all that tells where something is
 * was read once, checked, and is kept in the view. In both layouts:
 *
 *	int64 N; then N + 1 offsets of the items from the data's start (3.9), or N sizes (3.8);
 *	the data; N formats of 8 bytes, ended by NUL; N bytes that say what is made of the formats
 *
 * An exact list has the layout of 3.9, lengths as they are ("5s " instead of "8s": the blank, which
 * means nothing to Python's struct, says that the length is exact), and 8 bytes behind all that say
 * so. */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include <brood/list.h>

struct bri_list_view {
	unsigned char *bytes;
	brood_list_layout layout;
	size_t n;
	uint64_t *offsets; /* owned: N + 1, from `bytes` */
	size_t formats, codes;
};

/* How many bytes a list of these items takes: the size, or -errno as brood_list_new(), with
 * *ret_bad the item that is wrong. */
ssize_t bri_list_bytes(const brood_item *items, size_t n, brood_list_layout layout,
		       size_t *ret_bad);

/* Writes the list of items that bri_list_bytes() found good; the bytes are zero before. */
void bri_list_write(unsigned char *bytes, size_t size, const brood_item *items, size_t n,
		    brood_list_layout layout);

/* Finds out what is where. Returns 0, -EBADMSG, or -ENOMEM. */
int bri_list_look(unsigned char *bytes, size_t size, struct bri_list_view *ret_view);
void bri_list_forget(struct bri_list_view *view);

/* As brood_list_get() and brood_list_set(), with an index below n. */
int bri_list_get(const struct bri_list_view *view, size_t i, void *buf, size_t size,
		 brood_item *ret_item);
int bri_list_set(const struct bri_list_view *view, size_t i, const brood_item *item);

/* Whether the item there is equal to this one, as Python sees it. */
bool bri_list_is(const struct bri_list_view *view, size_t i, const brood_item *item);

#endif
