#include "wire/machine.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "wire/object.h"
#include "wire/opcodes.h"

enum { NODE_NONE = 1, NODE_FALSE, NODE_TRUE, NODE_EMPTY, N_FIXED };

/* It is the opcode that is wrong. */
#define fail(m, ...) bri_reader_fail(&(m)->in, (m)->in.op_at, __VA_ARGS__)

/* ---- beforehand */

/* How large the memo must be. Places are counted from 0 by who writes pickles; who leaves many
 * out would have us hold memory for them. */
static void count_store(struct bri_machine *m)
{
	uint64_t end = m->in.code == OP_MEMOIZE ? 0 : m->in.number + 1;

	m->n_stored++;
	if (end > m->memo_end) {
		m->memo_end = end;
		m->memo_end_at = m->in.op_at;
	}
}

int bri_machine_scan(struct bri_machine *m)
{
	int r = bri_reader_begin(&m->in);

	if (r < 0)
		return r;
	do {
		r = bri_reader_next(&m->in);
		if (r < 0)
			return r;
		if (m->in.code == OP_PROTO)
			return fail(m, EBADMSG, "PROTO once more");
		if (m->in.code == OP_FRAME && m->in.number > m->in.size - m->in.at)
			return fail(m, EBADMSG, "FRAME of %llu bytes, and %zu are left",
				    (unsigned long long)m->in.number, m->in.size - m->in.at);
		m->n_made += (m->in.effect & BRI_MAKES) != 0;
		m->n_pushed += (m->in.effect & BRI_PUSHES) != 0;
		if (m->in.effect & BRI_STORES)
			count_store(m);
	} while (m->in.code != OP_STOP);
	if (m->in.at != m->in.size)
		return bri_reader_fail(&m->in, m->in.at, EBADMSG, "%zu bytes behind STOP",
				       m->in.size - m->in.at);
	if (m->memo_end > 2 * m->n_stored + 64)
		return bri_reader_fail(&m->in, m->memo_end_at, EMSGSIZE,
				       "a memo of %llu for %zu things",
				       (unsigned long long)m->memo_end, m->n_stored);
	if (m->memo_end < m->n_stored)
		m->memo_end = m->n_stored;
	if (m->n_pushed > UINT32_MAX / 4)
		return bri_reader_fail(&m->in, m->in.size, EMSGSIZE, "%zu things", m->n_pushed);
	return 0;
}

static size_t n_nodes(const struct bri_machine *m)
{
	return m->n_made + N_FIXED;
}

size_t bri_machine_size(const struct bri_machine *m)
{
	return n_nodes(m) * sizeof(*m->nodes) + (m->n_pushed + 1) * sizeof(*m->cells) +
	       m->n_pushed * sizeof(*m->stack) + m->memo_end * sizeof(*m->memo);
}

void bri_machine_place(struct bri_machine *m, void *block)
{
	m->nodes = block;
	m->cells = (struct bri_cell *)(m->nodes + n_nodes(m));
	m->stack = (uint32_t *)(m->cells + m->n_pushed + 1);
	m->memo = m->stack + m->n_pushed;
	memset(m->memo, 0, m->memo_end * sizeof(*m->memo));
}

/* ---- the stack */

static uint32_t new_node(struct bri_machine *m, unsigned kind)
{
	uint32_t i = m->n_nodes++;

	m->nodes[i] = (struct bri_node){ .kind = (unsigned char)kind, .at = m->in.op_at };
	return i;
}

static int push(struct bri_machine *m, uint32_t node)
{
	m->stack[m->height++] = node;
	return 0;
}

static int underflow(const struct bri_machine *m)
{
	fail(m, EBADMSG, "%s: too little before it", m->in.name);
	return -EBADMSG; /* what fail() returned, said so that a compiler sees it, too */
}

/* Whether there are `n` things on top of the stack, no mark among them. */
static int check_top(const struct bri_machine *m, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++)
		if (i > m->height || m->stack[m->height - i] == 0)
			return underflow(m);
	return 0;
}

/* The thing on top of the stack, no mark. */
static int top(const struct bri_machine *m, uint32_t *ret_node)
{
	if (m->height == 0 || m->stack[m->height - 1] == 0)
		return underflow(m);
	*ret_node = m->stack[m->height - 1];
	return 0;
}

static int pop(struct bri_machine *m, uint32_t *ret_node)
{
	int r = top(m, ret_node);

	if (r == 0)
		m->height--;
	return r;
}

/* Where the things above the last mark begin. */
static int above_mark(const struct bri_machine *m, uint32_t *ret_first)
{
	uint32_t i = m->height;

	while (i > 0 && m->stack[i - 1] != 0)
		i--;
	if (i == 0) {
		fail(m, EBADMSG, "%s without a MARK", m->in.name);
		return -EBADMSG;
	}
	*ret_first = i;
	return 0;
}

static void add_cell(struct bri_machine *m, struct bri_node *to, uint32_t node)
{
	uint32_t i = ++m->n_cells; /* 0 is the end of a chain */

	m->cells[i] = (struct bri_cell){ .node = node };
	if (to->n.of.count++ == 0)
		to->as.cells.first = i;
	else
		m->cells[to->as.cells.last].next = i;
	to->as.cells.last = i;
}

/* A new container of the things from `first` on, which it replaces. */
static int collect(struct bri_machine *m, unsigned kind, uint32_t first)
{
	uint32_t node = new_node(m, kind);

	for (uint32_t i = first; i < m->height; i++)
		add_cell(m, &m->nodes[node], m->stack[i]);
	m->height = first;
	return push(m, node);
}

static int make_tuple(struct bri_machine *m, uint32_t n)
{
	int r = check_top(m, n);

	return r < 0 ? r : collect(m, BROOD_OBJECT_TUPLE, m->height - n);
}

static int make_marked(struct bri_machine *m, unsigned kind)
{
	uint32_t first;
	int r = above_mark(m, &first);

	if (r < 0)
		return r;
	r = collect(m, kind, first);
	m->stack[first - 1] = m->stack[first]; /* in the mark's place */
	m->height--;
	return r;
}

/* Adds the things from `first` on to the container below them, and below a mark if there is one. */
static int add_items(struct bri_machine *m, unsigned kind, uint32_t first, uint32_t below)
{
	struct bri_node *to;

	if (below == 0 || m->stack[below - 1] == 0)
		return underflow(m);
	to = &m->nodes[m->stack[below - 1]];
	if (to->kind != kind)
		return fail(m, EBADMSG, "%s to %s", m->in.name,
			    bri_object_kind_name((brood_object_kind)to->kind));
	if (to->flags & BRI_FIXED)
		return fail(m, EBADMSG, "%s to what is complete", m->in.name);
	if (kind == BROOD_OBJECT_DICT && (m->height - first) % 2 != 0)
		return fail(m, EBADMSG, "%s: a key without a value", m->in.name);
	for (uint32_t i = first; i < m->height; i++)
		add_cell(m, to, m->stack[i]);
	m->height = below;
	return 0;
}

static int add_few(struct bri_machine *m, unsigned kind, uint32_t n)
{
	int r = check_top(m, n);

	return r < 0 ? r : add_items(m, kind, m->height - n, m->height - n);
}

static int add_marked(struct bri_machine *m, unsigned kind)
{
	uint32_t first;
	int r = above_mark(m, &first);

	return r < 0 ? r : add_items(m, kind, first, first - 1);
}

static int push_integer(struct bri_machine *m, int64_t number)
{
	uint32_t node = new_node(m, BROOD_OBJECT_INT);

	m->nodes[node].as.integer = number;
	return push(m, node);
}

static int push_long(struct bri_machine *m)
{
	size_t most = m->in.opts->most_long != 0 ? m->in.opts->most_long : 65536;
	brood_object object = bri_object_integer(m->in.operand, m->in.number);
	uint32_t node;

	if (m->in.number > most)
		return fail(m, EMSGSIZE, "an int of %llu bytes", (unsigned long long)m->in.number);
	node = new_node(m, object.kind);
	m->nodes[node].as.natural = object.as.natural;
	if (object.kind == BROOD_OBJECT_BIG) {
		m->nodes[node].as.data = object.as.data;
		m->nodes[node].n.size = object.size;
	}
	return push(m, node);
}

static int push_real(struct bri_machine *m)
{
	uint32_t node = new_node(m, BROOD_OBJECT_FLOAT);
	uint64_t word = __builtin_bswap64(m->in.number);

	memcpy(&m->nodes[node].as.real, &word, sizeof(word));
	return push(m, node);
}

static int push_data(struct bri_machine *m, unsigned kind)
{
	uint32_t node = new_node(m, kind);

	m->nodes[node].as.data = m->in.operand;
	m->nodes[node].n.size = m->in.number;
	return push(m, node);
}

static int push_text(struct bri_machine *m)
{
	size_t valid = bri_text_valid((const char *)m->in.operand, m->in.number);

	if (valid < m->in.number)
		return bri_reader_fail(&m->in, (size_t)(m->in.operand - m->in.data) + valid, EILSEQ,
				       "text that is not UTF-8");
	return push_data(m, BROOD_OBJECT_TEXT);
}

static int store(struct bri_machine *m, uint64_t place)
{
	uint32_t node = 0;
	int r = top(m, &node);

	if (r < 0)
		return r;
	m->n_memo += m->memo[place] == 0;
	m->memo[place] = node;
	return 0;
}

static int recall(struct bri_machine *m)
{
	if (m->in.number >= m->memo_end || m->memo[m->in.number] == 0)
		return fail(m, EBADMSG, "the memo has no %llu", (unsigned long long)m->in.number);
	return push(m, m->memo[m->in.number]);
}

static int pop_any(struct bri_machine *m)
{
	if (m->height == 0)
		return underflow(m);
	m->height--;
	return 0;
}

static int pop_marked(struct bri_machine *m)
{
	uint32_t first;
	int r = above_mark(m, &first);

	if (r == 0)
		m->height = first - 1;
	return r;
}

static int duplicate(struct bri_machine *m)
{
	uint32_t node;
	int r = top(m, &node);

	return r < 0 ? r : push(m, node);
}

/* ---- classes and calls, of which none is made */

static int not_allowed(const struct bri_machine *m, const char *module, size_t n_module,
		       const char *name, size_t n_name)
{
	char shown[2][64];
	const char *from[2] = { module, name };
	size_t sizes[2] = { n_module, n_name };

	for (int i = 0; i < 2; i++) {
		brood_object text = BROOD_TEXT_OF(from[i], sizes[i]);

		brood_object_describe(&text, shown[i], sizeof(shown[i]));
	}
	return fail(m, EPERM, "%s of %s is not allowed", shown[1], shown[0]);
}

static int find_class(struct bri_machine *m, const char *module, size_t n_module, const char *name,
		      size_t n_name)
{
	enum bri_meaning meaning;
	const char *text = bri_class_find(m->in.protocol, module, n_module, name, n_name,
					  m->in.opts->classes, &meaning);
	uint32_t node;

	if (text == NULL)
		return not_allowed(m, module, n_module, name, n_name);
	node = new_node(m, BROOD_OBJECT_CLASS);
	m->nodes[node].as.data = text;
	m->nodes[node].n.size = strlen(text);
	m->nodes[node].is.meaning = meaning;
	return push(m, node);
}

static int global(struct bri_machine *m)
{
	const char *module = (const char *)m->in.operand;

	return find_class(m, module, m->in.number, module + m->in.number + 1, m->in.n_second);
}

static int stack_global(struct bri_machine *m)
{
	uint32_t module, name;
	int r = pop(m, &name);

	if (r == 0)
		r = pop(m, &module);
	if (r < 0)
		return r;
	if (m->nodes[module].kind != BROOD_OBJECT_TEXT || m->nodes[name].kind != BROOD_OBJECT_TEXT)
		return fail(m, EBADMSG, "STACK_GLOBAL of no texts");
	return find_class(m, m->nodes[module].as.data, m->nodes[module].n.size,
			  m->nodes[name].as.data, m->nodes[name].n.size);
}

static bool is_latin1(const struct bri_node *encoding)
{
	const char *name = encoding->as.data;

	return encoding->kind == BROOD_OBJECT_TEXT &&
	       ((encoding->n.size == 6 && memcmp(name, "latin1", 6) == 0) ||
		(encoding->n.size == 7 && memcmp(name, "latin-1", 7) == 0));
}

/* A set, frozenset or list of what is in another container. Both have the same cells from now on, and so
 * must not grow. */
static int take_items(struct bri_machine *m, unsigned kind, struct bri_node *from)
{
	uint32_t node;

	if (from != NULL && from->kind != BROOD_OBJECT_LIST && from->kind != BROOD_OBJECT_TUPLE &&
	    from->kind != BROOD_OBJECT_SET && from->kind != BROOD_OBJECT_FROZENSET)
		return fail(m, EBADMSG, "%s made of %s",
			    bri_object_kind_name((brood_object_kind)kind),
			    bri_object_kind_name((brood_object_kind)from->kind));
	node = new_node(m, kind);
	m->nodes[node].flags = BRI_FIXED;
	if (from != NULL) {
		from->flags |= BRI_FIXED;
		m->nodes[node].as = from->as;
		m->nodes[node].n = from->n;
	}
	return push(m, node);
}

/* How many characters of UTF-8 there are, if each is less than 256. */
static bool latin1_size(const struct bri_node *text, size_t *ret_size)
{
	const unsigned char *bytes = text->as.data;

	*ret_size = 0;
	for (size_t i = 0; i < text->n.size; i++) {
		if (bytes[i] > 0xc3)
			return false;
		*ret_size += bytes[i] < 0x80 || bytes[i] >= 0xc0;
	}
	return true;
}

/* Bytes or a bytearray, of nothing, bytes, or text and the name of an encoding. */
static int take_bytes(struct bri_machine *m, unsigned kind, const struct bri_node *from,
		      const struct bri_node *encoding)
{
	struct bri_node *node = &m->nodes[new_node(m, kind)];
	size_t size;

	if (from == NULL) {
		node->as.data = "";
	} else if (from->kind == BROOD_OBJECT_BYTES && encoding == NULL) {
		node->flags = from->flags & BRI_LATIN1;
		node->as.data = from->as.data;
		node->n.size = from->n.size;
	} else if (from->kind == BROOD_OBJECT_TEXT && encoding != NULL && is_latin1(encoding) &&
		   latin1_size(from, &size)) {
		node->flags = BRI_LATIN1;
		node->as.data = from->as.data;
		node->n.size = size;
	} else {
		return fail(m, EBADMSG, "%s made of %s",
			    bri_object_kind_name((brood_object_kind)kind),
			    bri_object_kind_name((brood_object_kind)from->kind));
	}
	return push(m, (uint32_t)(node - m->nodes));
}

static int make_instance(struct bri_machine *m, uint32_t called, uint32_t args, bool by_new)
{
	uint32_t node = new_node(m, BROOD_OBJECT_INSTANCE);

	m->nodes[node].flags = by_new ? BRI_BY_NEW : 0;
	add_cell(m, &m->nodes[node], called);
	add_cell(m, &m->nodes[node], args);
	return push(m, node);
}

static int reduce(struct bri_machine *m, bool by_new)
{
	struct bri_node *first = NULL, *second = NULL;
	uint32_t called, args, cell;
	enum bri_meaning meaning;
	int r = pop(m, &args);

	if (r == 0)
		r = pop(m, &called);
	if (r < 0)
		return r;
	if (m->nodes[called].kind != BROOD_OBJECT_CLASS ||
	    m->nodes[args].kind != BROOD_OBJECT_TUPLE)
		return fail(m, EBADMSG, "%s of %s with %s", m->in.name,
			    bri_object_kind_name((brood_object_kind)m->nodes[called].kind),
			    bri_object_kind_name((brood_object_kind)m->nodes[args].kind));
	meaning = m->nodes[called].is.meaning;
	if (meaning == BRI_AS_INSTANCE)
		return make_instance(m, called, args, by_new);
	if (m->nodes[args].n.of.count > 2 || by_new)
		return fail(m, EBADMSG, "%s with too much", m->in.name);
	cell = m->nodes[args].as.cells.first;
	if (m->nodes[args].n.of.count > 0)
		first = &m->nodes[m->cells[cell].node];
	if (m->nodes[args].n.of.count > 1)
		second = &m->nodes[m->cells[m->cells[cell].next].node];
	if (meaning == BRI_AS_ENCODE && second == NULL)
		return fail(m, EBADMSG, "%s with too little", m->in.name);
	switch (meaning) {
	case BRI_AS_BYTES:
	case BRI_AS_ENCODE:
		return take_bytes(m, BROOD_OBJECT_BYTES, first, second);
	case BRI_AS_BYTEARRAY:
		return take_bytes(m, BROOD_OBJECT_BYTEARRAY, first, second);
	default:
		return take_items(m,
				  meaning == BRI_AS_SET       ? BROOD_OBJECT_SET :
				  meaning == BRI_AS_FROZENSET ? BROOD_OBJECT_FROZENSET :
								BROOD_OBJECT_LIST,
				  first);
	}
}

static int set_state(struct bri_machine *m)
{
	uint32_t state, node;
	int r = pop(m, &state);

	if (r == 0)
		r = top(m, &node);
	if (r < 0)
		return r;
	if (m->nodes[node].kind != BROOD_OBJECT_INSTANCE || m->nodes[node].n.of.count != 2)
		return fail(m, EBADMSG, "BUILD of %s",
			    bri_object_kind_name((brood_object_kind)m->nodes[node].kind));
	add_cell(m, &m->nodes[node], state);
	return 0;
}

static int persistent(struct bri_machine *m)
{
	uint32_t id, node;
	int r;

	if (m->in.opts->persistent_load == NULL)
		return fail(m, ENOTSUP, "a persistent id");
	r = pop(m, &id);
	if (r < 0)
		return r;
	node = new_node(m, BRI_PERSISTENT);
	add_cell(m, &m->nodes[node], id);
	return push(m, node);
}

/* One opcode. */
static int step(struct bri_machine *m)
{
	switch (m->in.code) {
	case OP_MARK:
		return push(m, 0);
	case OP_POP:
		return pop_any(m);
	case OP_POP_MARK:
		return pop_marked(m);
	case OP_DUP:
		return duplicate(m);
	case OP_NONE:
		return push(m, NODE_NONE);
	case OP_NEWFALSE:
		return push(m, NODE_FALSE);
	case OP_NEWTRUE:
		return push(m, NODE_TRUE);
	case OP_BININT:
		return push_integer(m, (int32_t)(uint32_t)m->in.number);
	case OP_BININT1:
	case OP_BININT2:
		return push_integer(m, (int64_t)m->in.number);
	case OP_LONG1:
	case OP_LONG4:
		return push_long(m);
	case OP_BINFLOAT:
		return push_real(m);
	case OP_SHORT_BINUNICODE:
	case OP_BINUNICODE:
	case OP_BINUNICODE8:
		return push_text(m);
	case OP_SHORT_BINBYTES:
	case OP_BINBYTES:
	case OP_BINBYTES8:
		return push_data(m, BROOD_OBJECT_BYTES);
	case OP_BYTEARRAY8:
		return push_data(m, BROOD_OBJECT_BYTEARRAY);
	case OP_EMPTY_TUPLE:
		return push(m, NODE_EMPTY);
	case OP_TUPLE1:
	case OP_TUPLE2:
	case OP_TUPLE3:
		return make_tuple(m, 1u + m->in.code - OP_TUPLE1);
	case OP_TUPLE:
		return make_marked(m, BROOD_OBJECT_TUPLE);
	case OP_FROZENSET:
		return make_marked(m, BROOD_OBJECT_FROZENSET);
	case OP_EMPTY_LIST:
		return push(m, new_node(m, BROOD_OBJECT_LIST));
	case OP_EMPTY_DICT:
		return push(m, new_node(m, BROOD_OBJECT_DICT));
	case OP_EMPTY_SET:
		return push(m, new_node(m, BROOD_OBJECT_SET));
	case OP_APPEND:
		return add_few(m, BROOD_OBJECT_LIST, 1);
	case OP_APPENDS:
		return add_marked(m, BROOD_OBJECT_LIST);
	case OP_SETITEM:
		return add_few(m, BROOD_OBJECT_DICT, 2);
	case OP_SETITEMS:
		return add_marked(m, BROOD_OBJECT_DICT);
	case OP_ADDITEMS:
		return add_marked(m, BROOD_OBJECT_SET);
	case OP_BINPUT:
	case OP_LONG_BINPUT:
		return store(m, m->in.number);
	case OP_MEMOIZE:
		return store(m, m->n_memo);
	case OP_BINGET:
	case OP_LONG_BINGET:
		return recall(m);
	case OP_GLOBAL:
		return global(m);
	case OP_STACK_GLOBAL:
		return stack_global(m);
	case OP_REDUCE:
		return reduce(m, false);
	case OP_NEWOBJ:
		return reduce(m, true);
	case OP_BUILD:
		return set_state(m);
	case OP_BINPERSID:
		return persistent(m);
	default: /* FRAME, whose length was looked at */
		return 0;
	}
}

int bri_machine_run(struct bri_machine *m, uint32_t *ret_root)
{
	int r;

	m->nodes[NODE_NONE] = (struct bri_node){ .kind = BROOD_OBJECT_NONE };
	m->nodes[NODE_FALSE] = (struct bri_node){ .kind = BROOD_OBJECT_BOOL };
	m->nodes[NODE_TRUE] = (struct bri_node){ .kind = BROOD_OBJECT_BOOL, .as.boolean = true };
	m->nodes[NODE_EMPTY] = (struct bri_node){ .kind = BROOD_OBJECT_TUPLE };
	m->n_nodes = N_FIXED;
	m->cells[0] = (struct bri_cell){ 0 };
	r = bri_reader_begin(&m->in);
	while (r == 0 && (r = bri_reader_next(&m->in)) == 0 && m->in.code != OP_STOP)
		r = step(m);
	if (r < 0)
		return r;
	if (m->height != 1 || m->stack[0] == 0)
		return fail(m, EBADMSG, "STOP with %u things left", (unsigned)m->height);
	*ret_root = m->stack[0];
	return 0;
}
