/* A shareable list of any bytes: whatever they say, nothing outside of them is read or written; and
 * what was assigned without an error is read back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shm/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(const struct bri_list_view *view, size_t i, const brood_item *item)
{
	brood_item back;
	char buf[16];

	if (bri_list_set(view, i, item) < 0)
		return;
	if (bri_list_get(view, i, buf, sizeof(buf), &back) < 0 || back.kind != item->kind ||
	    !bri_list_is(view, i, &back))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const brood_item items[] = {
		{ BROOD_ITEM_INT, .integer = -5 },
		{ BROOD_ITEM_STR, .data = "caf\xc3\xa9", .size = 5 },
		{ BROOD_ITEM_BYTES, .data = "\0\xff", .size = 2 },
		{ BROOD_ITEM_BOOL, .boolean = true },
		{ BROOD_ITEM_FLOAT, .real = 0.5 },
		{ BROOD_ITEM_NONE, .size = 0 },
	};
	unsigned char *bytes = malloc(size > 0 ? size : 1);
	struct bri_list_view view;
	static char buf[1 << 16];
	brood_item item;

	if (bytes == NULL)
		return 0;
	memcpy(bytes, data, size);
	if (bri_list_look(bytes, size, &view) == 0) {
		for (size_t i = 0; i < view.n; i++) {
			if (bri_list_get(&view, i, buf, sizeof(buf), &item) == 0 &&
			    item.kind != BROOD_ITEM_FLOAT && !bri_list_is(&view, i, &item))
				abort();
			check_item(&view, i, &items[i % 6]);
		}
		bri_list_forget(&view);
	}
	free(bytes);
	return 0;
}
