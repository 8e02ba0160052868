/* What is read from the memory is read once: a format is copied before it is looked at, and offsets
 * are those of the view. */
#include "shm/layout.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD 8
#define MOST_EXACT 999999   /* six digits, 's' and a blank */
#define MOST_PADDED 9999992 /* seven digits and 's'; a multiple of 8 */
#define MOST_BYTES (UINT64_C(1) << 46)

static const char trailer[8] = "BROODLX1";

enum code { PLAIN = 0, STR = 1, BYTES = 2, NONE = 3 };

/* ---- UTF-8 */

/* The length of the character at the start, or 0: none. */
static size_t character(const unsigned char *at, size_t size)
{
	unsigned c = at[0], least, value;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n <= 1 || n > size)
		return n <= size ? n : 0;
	value = c & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	least = n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000;
	return value < least || value > 0x10ffff || (value >= 0xd800 && value < 0xe000) ? 0 : n;
}

static bool is_text(const void *data, size_t size)
{
	const unsigned char *at = data;

	for (size_t i = 0, n; i < size; i += n) {
		n = character(at + i, size - i);
		if (n == 0)
			return false;
	}
	return true;
}

/* ---- items */

static bool has_bytes(const brood_item *item)
{
	return item->kind == BROOD_ITEM_STR || item->kind == BROOD_ITEM_BYTES;
}

/* What there is room for in CPython: at least one NUL behind it. */
static size_t room_for(const brood_item *item)
{
	return has_bytes(item) ? WORD * (item->size / WORD + 1) : WORD;
}

static int check_item(const brood_item *item, bool exact)
{
	if (item->kind < BROOD_ITEM_NONE || item->kind > BROOD_ITEM_BYTES)
		return -EINVAL;
	if (!has_bytes(item))
		return 0;
	if (item->data == NULL && item->size > 0)
		return -EINVAL;
	if (item->size > (exact ? MOST_EXACT : MOST_PADDED - 1))
		return -EMSGSIZE;
	return item->kind == BROOD_ITEM_STR && !is_text(item->data, item->size) ? -EILSEQ : 0;
}

/* The format and the code of an item that has `room`. */
static unsigned char describe(const brood_item *item, bool exact, size_t room, char format[WORD])
{
	char text[32] = "xxxxxx?x";
	unsigned char code = NONE;

	switch (item->kind) {
	case BROOD_ITEM_BOOL:
		snprintf(text, sizeof(text), "xxxxxxx?");
		code = PLAIN;
		break;
	case BROOD_ITEM_INT:
	case BROOD_ITEM_FLOAT:
		snprintf(text, sizeof(text), item->kind == BROOD_ITEM_INT ? "q" : "d");
		code = PLAIN;
		break;
	case BROOD_ITEM_STR:
	case BROOD_ITEM_BYTES:
		snprintf(text, sizeof(text), exact ? "%zus " : "%zus", exact ? item->size : room);
		code = item->kind == BROOD_ITEM_STR ? STR : BYTES;
		break;
	default:
		break;
	}
	memset(format, 0, WORD);
	memcpy(format, text, strnlen(text, WORD));
	return code;
}

/* What is no text is put there by one store, so that a number that follows one of its kind is never half of either. */
static void put_data(unsigned char *at, size_t room, const brood_item *item)
{
	unsigned char word[WORD] = { 0 };

	if (has_bytes(item)) {
		if (item->size > 0)
			memcpy(at, item->data, item->size);
		memset(at + item->size, 0, room - item->size);
		return;
	}
	if (item->kind == BROOD_ITEM_INT)
		memcpy(word, &item->integer, WORD);
	else if (item->kind == BROOD_ITEM_FLOAT)
		memcpy(word, &item->real, WORD);
	else if (item->kind == BROOD_ITEM_BOOL)
		word[WORD - 1] = item->boolean;
	memcpy(at, word, WORD);
}

/* ---- writing a list */

static size_t words_before(size_t n, brood_list_layout layout)
{
	return layout == BROOD_LIST_PYTHON_3_8 ? n + 1 : n + 2;
}

ssize_t bri_list_bytes(const brood_item *items, size_t n, brood_list_layout layout, size_t *ret_bad)
{
	bool exact = layout == BROOD_LIST_EXACT;
	uint64_t bytes;

	if (layout < BROOD_LIST_EXACT || layout > BROOD_LIST_PYTHON_3_8 ||
	    (n > 0 && items == NULL)) {
		*ret_bad = 0;
		return -EINVAL;
	}
	if (n > MOST_BYTES / 32)
		return -EFBIG;
	bytes = words_before(n, layout) * WORD + n * (WORD + 1) + (exact ? sizeof(trailer) : 0);
	for (size_t i = 0; i < n; i++) {
		int r = check_item(&items[i], exact);

		*ret_bad = i;
		if (r < 0)
			return r;
		bytes += room_for(&items[i]);
		if (bytes > MOST_BYTES)
			return -EFBIG;
	}
	return (ssize_t)bytes;
}

static void put_word(unsigned char *bytes, size_t word, uint64_t value)
{
	memcpy(bytes + word * WORD, &value, WORD);
}

static uint64_t get_word(const unsigned char *bytes, size_t word)
{
	uint64_t value;

	memcpy(&value, bytes + word * WORD, WORD);
	return value;
}

void bri_list_write(unsigned char *bytes, size_t size, const brood_item *items, size_t n,
		    brood_list_layout layout)
{
	size_t data = words_before(n, layout) * WORD, at = data, formats;

	put_word(bytes, 0, n);
	for (size_t i = 0; i < n; i++) {
		size_t room = room_for(&items[i]);

		put_word(bytes, i + 1, layout == BROOD_LIST_PYTHON_3_8 ? room : at - data);
		put_data(bytes + at, room, &items[i]);
		at += room;
	}
	if (layout != BROOD_LIST_PYTHON_3_8)
		put_word(bytes, n + 1, at - data);
	formats = at;
	for (size_t i = 0; i < n; i++) {
		char format[WORD];

		bytes[formats + n * WORD + i] = describe(&items[i], layout == BROOD_LIST_EXACT,
							 room_for(&items[i]), format);
		memcpy(bytes + formats + i * WORD, format, WORD);
	}
	if (layout == BROOD_LIST_EXACT)
		memcpy(bytes + size - sizeof(trailer), trailer, sizeof(trailer));
}

/* ---- looking at one */

/* Reads the offsets, or makes them of the sizes. False: they lead out of the `size` bytes. */
static bool read_offsets(const unsigned char *bytes, size_t size, size_t n, bool old,
			 uint64_t *offsets)
{
	size_t start = (n + (old ? 1 : 2)) * WORD, most = size - n * (WORD + 1);
	uint64_t at = start;

	if (start > most)
		return false;
	for (size_t i = 0; i <= n; i++) {
		uint64_t word = old && i == n ? 0 : get_word(bytes, i + 1);
		uint64_t next = old ? at : start + word;

		if (word > most - start || next > most || next < at || (i == 0 && next != start))
			return false;
		offsets[i] = next;
		at = old ? next + word : next;
	}
	return true;
}

int bri_list_look(unsigned char *bytes, size_t size, struct bri_list_view *ret_view)
{
	struct bri_list_view view = { .bytes = bytes, .layout = BROOD_LIST_PYTHON };
	bool old;

	if (size < WORD)
		return -EBADMSG;
	view.n = get_word(bytes, 0);
	if (view.n > size / (2 * WORD + 1))
		return -EBADMSG;
	/* The first offset is 0, the first size is not. */
	old = size < 2 * WORD || get_word(bytes, 1) != 0;
	if (old)
		view.layout = BROOD_LIST_PYTHON_3_8;
	view.offsets = calloc(view.n + 1, sizeof(*view.offsets));
	if (view.offsets == NULL)
		return -ENOMEM;
	if (!read_offsets(bytes, size, view.n, old, view.offsets)) {
		free(view.offsets);
		return -EBADMSG;
	}
	view.formats = view.offsets[view.n];
	view.codes = view.formats + view.n * WORD;
	if (!old && size - view.codes - view.n >= sizeof(trailer) &&
	    memcmp(bytes + view.codes + view.n, trailer, sizeof(trailer)) == 0)
		view.layout = BROOD_LIST_EXACT;
	*ret_view = view;
	return 0;
}

void bri_list_forget(struct bri_list_view *view)
{
	free(view->offsets);
	view->offsets = NULL;
}

/* "<digits>s", or "<digits>s " with *ret_exact. */
static bool read_length(const char *format, size_t *ret_length, bool *ret_exact)
{
	size_t i = 0, length = 0;

	for (; format[i] >= '0' && format[i] <= '9'; i++)
		length = length * 10 + (size_t)(format[i] - '0');
	if (i == 0 || format[i] != 's')
		return false;
	*ret_exact = format[i + 1] == ' ';
	*ret_length = length;
	return format[i + 1 + *ret_exact] == '\0';
}

/* Where the item's data is, in the memory: for text and bytes .data and .size, NULs at the end
 * taken off. */
static int find(const struct bri_list_view *view, size_t i, brood_item *ret_item)
{
	const unsigned char *at = view->bytes + view->offsets[i];
	size_t room = view->offsets[i + 1] - view->offsets[i];
	unsigned char code = view->bytes[view->codes + i];
	brood_item item = { .kind = BROOD_ITEM_NONE };
	char format[WORD + 1] = "";
	bool exact;

	memcpy(format, view->bytes + view->formats + i * WORD, WORD);
	if (read_length(format, &item.size, &exact)) {
		if ((code != STR && code != BYTES) || item.size > room)
			return -EBADMSG;
		item.kind = code == STR ? BROOD_ITEM_STR : BROOD_ITEM_BYTES;
		item.data = at;
		while (!exact && item.size > 0 && at[item.size - 1] == 0)
			item.size--;
		*ret_item = item;
		return 0;
	}
	if (room < WORD || code != (strcmp(format, "xxxxxx?x") == 0 ? NONE : PLAIN))
		return -EBADMSG;
	if (strcmp(format, "q") == 0) {
		item.kind = BROOD_ITEM_INT;
		memcpy(&item.integer, at, WORD);
	} else if (strcmp(format, "d") == 0) {
		item.kind = BROOD_ITEM_FLOAT;
		memcpy(&item.real, at, WORD);
	} else if (strcmp(format, "xxxxxxx?") == 0) {
		item.kind = BROOD_ITEM_BOOL;
		item.boolean = at[WORD - 1] != 0;
	} else if (code != NONE) {
		return -EBADMSG;
	}
	*ret_item = item;
	return 0;
}

int bri_list_get(const struct bri_list_view *view, size_t i, void *buf, size_t size,
		 brood_item *ret_item)
{
	brood_item item;
	int r = find(view, i, &item);

	if (r < 0)
		return r;
	if (has_bytes(&item)) {
		if (item.size > size)
			return -ENOBUFS;
		if (item.size > 0)
			memcpy(buf, item.data, item.size);
		if (item.size < size)
			((char *)buf)[item.size] = '\0';
		/* What was copied, not what is in the memory: that may change. */
		if (item.kind == BROOD_ITEM_STR && !is_text(buf, item.size))
			return -EILSEQ;
		item.data = buf;
	}
	*ret_item = item;
	return 0;
}

int bri_list_set(const struct bri_list_view *view, size_t i, const brood_item *item)
{
	size_t room = view->offsets[i + 1] - view->offsets[i];
	bool exact = view->layout == BROOD_LIST_EXACT;
	char format[WORD];
	unsigned char code;
	int r = check_item(item, exact);

	if (r < 0)
		return r;
	if (room < WORD ||
	    (has_bytes(item) && (item->size > room || (!exact && room > MOST_PADDED))))
		return -EMSGSIZE;
	code = describe(item, exact, room, format);
	memcpy(view->bytes + view->formats + i * WORD, format, WORD);
	view->bytes[view->codes + i] = code;
	put_data(view->bytes + view->offsets[i], room, item);
	return 0;
}

/* ---- equality */

/* Exact, where a conversion to double would not be. */
static bool are_equal(int64_t integer, double real)
{
	return real >= -9223372036854775808.0 && real < 9223372036854775808.0 &&
	       (int64_t)real == integer && (double)(int64_t)real == real;
}

static bool is_number(const brood_item *item)
{
	return item->kind == BROOD_ITEM_BOOL || item->kind == BROOD_ITEM_INT ||
	       item->kind == BROOD_ITEM_FLOAT;
}

static int64_t integer_of(const brood_item *item)
{
	return item->kind == BROOD_ITEM_BOOL ? item->boolean : item->integer;
}

bool bri_list_is(const struct bri_list_view *view, size_t i, const brood_item *item)
{
	brood_item there;

	if (find(view, i, &there) < 0)
		return false;
	if (is_number(&there) && is_number(item)) {
		bool one = there.kind == BROOD_ITEM_FLOAT, two = item->kind == BROOD_ITEM_FLOAT;

		if (one && two)
			return there.real == item->real;
		if (one || two)
			return are_equal(integer_of(one ? item : &there),
					 one ? there.real : item->real);
		return integer_of(&there) == integer_of(item);
	}
	if (there.kind != item->kind || there.size != item->size)
		return there.kind == BROOD_ITEM_NONE && item->kind == BROOD_ITEM_NONE;
	return !has_bytes(item) || item->size == 0 ||
	       memcmp(there.data, item->data, item->size) == 0;
}
