/* The handle of a list: a view of the bytes (layout.h) of a raw segment. */
#include <brood/list.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "shm/layout.h"
#include "shm/segment.h"

struct brood_list {
	brood_segment *segment;
	struct bri_list_view view;
};

brood_list *brood_list_free(brood_list *list)
{
	if (list != NULL) {
		bri_list_forget(&list->view);
		brood_segment_unref(list->segment);
		free(list);
	}
	return NULL;
}

static void free_segmentp(brood_segment **segment)
{
	brood_segment_unref(*segment);
}

int brood_list_attach(brood_segment *segment, brood_list **ret_list)
{
	brood_list *list;
	int r;

	if (brood_segment_data(segment) == NULL)
		return -EBADF;
	list = calloc(1, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	r = bri_list_look(brood_segment_data(segment), brood_segment_size(segment), &list->view);
	if (r < 0) {
		free(list);
		return r;
	}
	list->segment = brood_segment_ref(segment);
	*ret_list = list;
	return 0;
}

/* What fill_list() writes. */
struct content {
	const brood_item *items;
	size_t n;
	brood_list_layout layout;
};

static int fill_list(void *context, void *data, size_t size)
{
	const struct content *content = context;

	bri_list_write(data, size, content->items, content->n, content->layout);
	return 0;
}

int brood_list_new(const brood_item *items, size_t n, const brood_list_opts *opts,
		   brood_list **ret_list)
{
	static const brood_list_opts none;
	bri_cleanup(free_segmentp) brood_segment *segment = NULL;
	struct content content = { .items = items, .n = n };
	brood_segment_opts made = { .raw = true, .fill = fill_list, .context = &content };
	size_t bad = 0;
	ssize_t size;
	int r;

	if (opts == NULL)
		opts = &none;
	size = bri_list_bytes(items, n, opts->layout, &bad);
	if (size < 0)
		return bri_fail(opts->fail, "item", (int)size, "%zu", bad);
	content.layout = opts->layout;
	made.name = opts->name;
	made.named = opts->named;
	made.fail = opts->fail;
	r = brood_segment_new((size_t)size, &made, &segment);
	if (r < 0)
		return r;
	r = brood_list_attach(segment, ret_list);
	return r < 0 ? bri_fail(opts->fail, "list", r, NULL) : 0;
}

int brood_list_open(const char *name, const brood_list_opts *opts, brood_list **ret_list)
{
	bri_cleanup(free_segmentp) brood_segment *segment = NULL;
	brood_fail *fail = opts != NULL ? opts->fail : NULL;
	int r = brood_segment_open(name, &(brood_segment_opts){ .raw = true, .fail = fail },
				   &segment);

	if (r < 0)
		return r;
	r = brood_list_attach(segment, ret_list);
	return r < 0 ? bri_fail(fail, "list", r, "%s", name) : 0;
}

brood_segment *brood_list_segment(brood_list *list)
{
	return list->segment;
}

size_t brood_list_length(const brood_list *list)
{
	return list->view.n;
}

brood_list_layout brood_list_layout_of(const brood_list *list)
{
	return list->view.layout;
}

static int find(const brood_list *list, ssize_t index, size_t *ret_at)
{
	size_t at = index < 0 ? list->view.n + (size_t)index : (size_t)index;

	/* A negative one that wraps is as far out as can be. */
	if (at >= list->view.n)
		return -ERANGE;
	*ret_at = at;
	return 0;
}

ssize_t brood_list_room(const brood_list *list, ssize_t index)
{
	size_t at;
	int r = find(list, index, &at);

	return r < 0 ? r : (ssize_t)(list->view.offsets[at + 1] - list->view.offsets[at]);
}

int brood_list_get(const brood_list *list, ssize_t index, void *buf, size_t size,
		   brood_item *ret_item)
{
	size_t at;
	int r = find(list, index, &at);

	return r < 0 ? r : bri_list_get(&list->view, at, buf, size, ret_item);
}

int brood_list_set(brood_list *list, ssize_t index, const brood_item *item)
{
	size_t at;
	int r = find(list, index, &at);

	if (item == NULL)
		return -EINVAL;
	if (r == 0 && bri_segment_is_read_only(list->segment))
		r = -EPERM;
	return r < 0 ? r : bri_list_set(&list->view, at, item);
}

ssize_t brood_list_index(const brood_list *list, const brood_item *item)
{
	for (size_t i = 0; i < list->view.n; i++)
		if (bri_list_is(&list->view, i, item))
			return (ssize_t)i;
	return -ENOENT;
}

size_t brood_list_count(const brood_list *list, const brood_item *item)
{
	size_t n = 0;

	for (size_t i = 0; i < list->view.n; i++)
		n += bri_list_is(&list->view, i, item);
	return n;
}

size_t brood_list_format(const brood_list *list, char *buf, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < list->view.n; i++) {
		char format[9] = "";

		memcpy(format, list->view.bytes + list->view.formats + i * 8, 8);
		for (const char *c = format; *c != '\0'; c++, n++)
			if (n + 1 < size)
				buf[n] = *c;
	}
	if (size > 0)
		buf[n < size ? n : size - 1] = '\0';
	return n;
}
