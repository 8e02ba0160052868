/* wire/machine.h - pickle's stack machine, which builds a graph of nodes and does nothing else
 *
 * What a container holds is a chain of cells, so that it may be added to at any time. Text and bytes stay
 * in the input. The machine has no way to act: a class is a text that is on the list, a call is an
 * instance that was not made, or, for the few types of ours that older protocols have no opcode
 * for, the value itself. */
#ifndef WIRE_MACHINE_H
#define WIRE_MACHINE_H

#include "wire/classes.h"
#include "wire/reader.h"

/* Of brood_object_kind in a node, and one that is none. */
enum { BRI_PERSISTENT = BROOD_OBJECT_HANDLE + 1 };

enum bri_flag {
	BRI_FIXED = 1, /* nothing may be added: another node has its cells, too */
	BRI_OPEN = 2,  /* being weighed */
	BRI_DONE = 4,  /* weighed */
	BRI_NO_HASH = 8,
	BRI_LATIN1 = 16, /* bytes that are text in the input */
	BRI_BY_NEW = 32,
	BRI_LOADED = 64 /* came from .persistent_load */
};

struct bri_node {
	unsigned char kind, flags;
	uint16_t depth; /* levels below, itself included */
	uint32_t next;  /* weigh(): the node above; then the next one to build */
	union {
		int64_t integer;
		uint64_t natural;
		double real;
		bool boolean;
		const void *data; /* of a class: NUL at its end */
		void *handle;
		const brood_object *items; /* when it is built */
		struct {
			uint32_t first, last; /* its cells; weigh(): last is the next to look at */
		} cells;
	} as;
	union {
		size_t size; /* of data, in the object */
		struct {
			uint32_t count; /* cells */
			uint32_t items; /* weighed: all objects in it, itself included */
		} of;
	} n;
	size_t at; /* the opcode that made it */
	union {
		size_t bytes; /* weighed: of all text and bytes in it */
		enum bri_meaning meaning;
		uint32_t tag; /* of what was loaded */
	} is;
};

struct bri_cell {
	uint32_t node, next;
};

/* Whether a node has cells; whether it has data, of a length. */
static inline bool bri_node_has_cells(const struct bri_node *node)
{
	return (1u << node->kind &
		(1u << BROOD_OBJECT_TUPLE | 1u << BROOD_OBJECT_LIST | 1u << BROOD_OBJECT_DICT |
		 1u << BROOD_OBJECT_SET | 1u << BROOD_OBJECT_FROZENSET |
		 1u << BROOD_OBJECT_INSTANCE | 1u << BRI_PERSISTENT)) != 0;
}

static inline bool bri_node_has_data(const struct bri_node *node)
{
	return (1u << node->kind &
		(1u << BROOD_OBJECT_TEXT | 1u << BROOD_OBJECT_BYTES | 1u << BROOD_OBJECT_BYTEARRAY |
		 1u << BROOD_OBJECT_BIG | 1u << BROOD_OBJECT_CLASS)) != 0;
}

struct bri_machine {
	struct bri_reader in;

	/* Counted beforehand: nodes, things on the stack, and places of the memo, at most. */
	size_t n_made, n_pushed, n_stored;
	uint64_t memo_end;
	size_t memo_end_at;

	struct bri_node *nodes; /* from 1 on; 0 on the stack is a mark */
	struct bri_cell *cells; /* from 1 on; 0 is the end of a chain */
	uint32_t *stack, *memo;
	uint32_t n_nodes, n_cells, height, n_memo;
};

/* Goes over the opcodes, all of them, and counts. This and the next: 0, or an error as
 * brood_pickle_loads() has them. */
int bri_machine_scan(struct bri_machine *m);

/* The scratch memory that is enough after that, and to say where it is; it is aligned for a node. */
size_t bri_machine_size(const struct bri_machine *m);
void bri_machine_place(struct bri_machine *m, void *block);

/* Runs the pickle. *ret_root is the node of what it is. */
int bri_machine_run(struct bri_machine *m, uint32_t *ret_root);

#endif
