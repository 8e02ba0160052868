/* Reading, in four straight steps, none of which calls itself:
 *
 * 1  bri_machine_scan() goes over the opcodes: each is allowed, each operand lies within the input. It
 *    counts, so that one block of scratch memory (on the stack, if it is small) is enough for all else.
 * 2  bri_machine_run() makes nodes of them.
 * 3  weigh() walks what hangs on the result, each node once, children first: it finds cycles, levels,
 *    and how much there is if what is shared is counted as often as it is referred to.
 * 4  build() goes along the order that this walk left, and writes the objects into one block of
 *    just the size that they need. Shared containers share their items there. */
#include <brood/pickle.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/machine.h"
#include "wire/object.h"

/* ---- 3: what hangs on the result */

/* All of it, children before what holds them, and how much there is. */
struct order {
	uint32_t root, first, last; /* nodes; .next is the way */
	size_t n_items, n_bytes;
};

static void enter(struct bri_node *node, uint32_t above)
{
	node->flags |= BRI_OPEN;
	node->next = above;
	node->is.bytes = bri_node_has_data(node) ? node->n.size : 0;
	if (bri_node_has_cells(node)) {
		node->as.cells.last = node->as.cells.first;
		node->n.of.items = 1;
	}
}

/* Adds what a child weighs to what is above it. */
static int add_weight(const struct bri_machine *m, struct bri_node *to,
		      const struct bri_node *child)
{
	size_t most_items = m->in.opts->most_items != 0 ? m->in.opts->most_items : 1u << 24;
	size_t most_bytes = m->in.opts->most_bytes != 0 ? m->in.opts->most_bytes :
			    m->in.size > 1u << 30       ? m->in.size :
							  1u << 30;
	size_t items = bri_node_has_cells(child) ? child->n.of.items : 1;

	if (most_items > UINT32_MAX)
		most_items = UINT32_MAX;
	if (items > most_items - to->n.of.items)
		return bri_reader_fail(&m->in, to->at, EMSGSIZE, "more than %zu objects",
				       most_items);
	if (child->is.bytes > most_bytes || to->is.bytes > most_bytes - child->is.bytes)
		return bri_reader_fail(&m->in, to->at, EMSGSIZE,
				       "more than %zu bytes of text and bytes", most_bytes);
	to->n.of.items += (uint32_t)items;
	to->is.bytes += child->is.bytes;
	if (child->depth >= to->depth)
		to->depth = child->depth;
	return 0;
}

/* All in it is weighed. */
static int finish(const struct bri_machine *m, struct order *order, uint32_t at)
{
	struct bri_node *node = &m->nodes[at];
	size_t most = m->in.opts->most_depth;

	if (most == 0 || most > BROOD_OBJECT_DEPTH)
		most = BROOD_OBJECT_DEPTH;
	node->flags = (unsigned char)((node->flags & ~BRI_OPEN) | BRI_DONE);
	if (node->kind == BRI_PERSISTENT) {
		node->depth = 0;
	} else if (bri_node_has_cells(node)) {
		if (++node->depth > most)
			return bri_reader_fail(&m->in, node->at, ELOOP, "more than %zu levels",
					       most);
		order->n_items += node->n.of.count;
	} else if (bri_node_has_data(node)) {
		order->n_bytes += node->n.size + 1;
	}
	if (order->last == 0)
		order->first = at;
	else
		m->nodes[order->last].next = at;
	order->last = at;
	node->next = 0;
	return 0;
}

/* The next child of a node that is open; 0: it had all. */
static uint32_t next_child(const struct bri_machine *m, const struct bri_node *node)
{
	return bri_node_has_cells(node) ? m->cells[node->as.cells.last].node : 0;
}

static int weigh(const struct bri_machine *m, struct order *order)
{
	uint32_t at = order->root;
	int r = 0;

	enter(&m->nodes[at], 0);
	while (at != 0 && r == 0) {
		struct bri_node *node = &m->nodes[at], *child;
		uint32_t above = node->next, next = next_child(m, node);

		child = &m->nodes[next];
		if (next == 0) {
			r = finish(m, order, at);
			at = above;
		} else if (child->flags & BRI_DONE) {
			node->as.cells.last = m->cells[node->as.cells.last].next;
			r = add_weight(m, node, child);
		} else if (child->flags & BRI_OPEN) {
			r = bri_reader_fail(&m->in, child->at, ELOOP, "%s within itself",
					    bri_object_kind_name((brood_object_kind)child->kind));
		} else {
			enter(child, at);
			at = next;
		}
	}
	return r;
}

/* ---- 4: the objects */

struct arena {
	brood_object *items; /* the next free ones */
	char *bytes;
};

static brood_object object_of(const struct bri_node *node)
{
	brood_object object = { .kind = (brood_object_kind)node->kind };

	object.as.natural = node->as.natural;
	if (bri_node_has_cells(node) || bri_node_has_data(node)) {
		object.as.data = node->as.data;
		object.size = node->n.size;
	}
	if (node->flags & BRI_LOADED)
		object.tag = node->is.tag;
	if (node->flags & BRI_BY_NEW)
		object.tag = BROOD_OBJECT_BY_NEW;
	return object;
}

static void build_data(struct arena *arena, struct bri_node *node)
{
	const unsigned char *from = node->as.data;
	char *to = arena->bytes;

	if (node->flags & BRI_LATIN1) {
		for (size_t i = 0; i < node->n.size; i++, from += from[0] < 0x80 ? 1 : 2)
			to[i] = (char)(from[0] < 0x80 ? from[0] :
							(from[0] & 3) << 6 | (from[1] & 0x3f));
	} else if (node->n.size > 0) {
		memcpy(to, from, node->n.size);
	}
	to[node->n.size] = '\0';
	arena->bytes += node->n.size + 1;
	node->as.data = to;
}

static int check_key(const struct bri_machine *m, const struct bri_node *key)
{
	if (key->flags & BRI_NO_HASH)
		return bri_reader_fail(&m->in, key->at, EINVAL, "%s as a key",
				       bri_object_kind_name((brood_object_kind)key->kind));
	if (key->depth > BROOD_OBJECT_KEY_DEPTH)
		return bri_reader_fail(&m->in, key->at, ELOOP, "a key of more than %d levels",
				       BROOD_OBJECT_KEY_DEPTH);
	return 0;
}

/* Copies what the cells hold; a key that has no hash is an error. */
static int copy_items(struct bri_machine *m, struct bri_node *node, brood_object *items)
{
	bool keys = node->kind == BROOD_OBJECT_SET || node->kind == BROOD_OBJECT_FROZENSET;
	bool no_hash = false;
	size_t n = 0;

	for (uint32_t cell = node->as.cells.first; cell != 0; cell = m->cells[cell].next, n++) {
		const struct bri_node *child = &m->nodes[m->cells[cell].node];

		if (keys || (node->kind == BROOD_OBJECT_DICT && n % 2 == 0)) {
			int r = check_key(m, child);

			if (r < 0)
				return r;
		}
		no_hash |= (child->flags & BRI_NO_HASH) != 0;
		items[n] = object_of(child);
	}
	if (no_hash || (node->kind != BROOD_OBJECT_TUPLE && node->kind != BROOD_OBJECT_FROZENSET))
		node->flags |= BRI_NO_HASH;
	return 0;
}

static int build_container(struct bri_machine *m, struct arena *arena, struct bri_node *node)
{
	brood_object *items = arena->items;
	size_t n = node->n.of.count, stride = node->kind == BROOD_OBJECT_DICT ? 2 : 1;
	int r = copy_items(m, node, items);

	if (r < 0)
		return r;
	arena->items += n;
	n /= stride;
	if (node->kind == BROOD_OBJECT_DICT || node->kind == BROOD_OBJECT_SET ||
	    node->kind == BROOD_OBJECT_FROZENSET) {
		r = bri_object_unique(items, &n, stride);
		if (r < 0)
			return r;
	}
	node->as.items = items;
	node->n.size = n;
	return 0;
}

/* What the id stands for, in the id's place. */
static int build_persistent(struct bri_machine *m, struct bri_node *node)
{
	brood_object id = object_of(&m->nodes[m->cells[node->as.cells.first].node]);
	brood_object object = BROOD_NONE;
	int r = m->in.opts->persistent_load(m->in.opts->context, &id, &object);

	if (r < 0)
		return bri_reader_fail(&m->in, node->at, r, "a persistent id");
	if (object.kind > BROOD_OBJECT_HANDLE)
		return bri_reader_fail(&m->in, node->at, EINVAL, "what was loaded is no object");
	node->kind = (unsigned char)object.kind;
	node->flags = BRI_LOADED | BRI_NO_HASH;
	node->as.natural = 0;
	memcpy(&node->as, &object.as, sizeof(object.as));
	node->n.size = object.size;
	node->is.tag = object.tag;
	return 0;
}

static int build(struct bri_machine *m, const struct order *order, brood_object **ret_object)
{
	bri_cleanup(bri_freep) brood_object *block = NULL;
	struct arena arena;
	int r = 0;

	block = malloc((1 + order->n_items) * sizeof(*block) + order->n_bytes);
	if (block == NULL)
		return -ENOMEM;
	arena.items = block + 1;
	arena.bytes = (char *)(block + 1 + order->n_items);
	for (uint32_t at = order->first; at != 0 && r == 0; at = m->nodes[at].next) {
		struct bri_node *node = &m->nodes[at];

		if (node->kind == BRI_PERSISTENT)
			r = build_persistent(m, node);
		else if (bri_node_has_cells(node))
			r = build_container(m, &arena, node);
		else if (bri_node_has_data(node))
			build_data(&arena, node);
		if (node->kind == BROOD_OBJECT_BYTEARRAY)
			node->flags |= BRI_NO_HASH;
	}
	if (r < 0)
		return r;
	block[0] = object_of(&m->nodes[order->root]);
	*ret_object = bri_take(block);
	return 0;
}

/* ---- all of it */

int brood_pickle_loads(const void *data, size_t size, const brood_pickle_opts *opts,
		       brood_object **ret_object)
{
	static const brood_pickle_opts none;
	struct bri_machine m = {
		.in = { .opts = opts != NULL ? opts : &none, .data = data, .size = size },
	};
	struct order order = { 0 };
	bri_cleanup(bri_freep) void *block = NULL;
	_Alignas(struct bri_node) char small[4096];
	size_t most = m.in.opts->most_bytes;
	int r;

	if (most != 0 && size > most)
		return bri_reader_fail(&m.in, most, EMSGSIZE, "more than %zu bytes", most);
	r = bri_machine_scan(&m);
	if (r < 0)
		return r;
	if (bri_machine_size(&m) > sizeof(small)) {
		block = malloc(bri_machine_size(&m));
		if (block == NULL)
			return -ENOMEM;
	}
	bri_machine_place(&m, block != NULL ? block : small);
	r = bri_machine_run(&m, &order.root);
	if (r == 0)
		r = weigh(&m, &order);
	if (r == 0)
		r = build(&m, &order, ret_object);
	return r;
}
