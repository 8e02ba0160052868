/* Writing: one walk over the object, with a frame for each container that is open, and no recursion.
 * Bytes beyond the caller's room are counted and not written, so that measuring is the same walk. */
#include <brood/pickle.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "base/text.h"
#include "wire/object.h"
#include "wire/opcodes.h"

/* A container whose items are being written. */
struct frame {
	const brood_object *items;
	size_t n, i;
	brood_object_kind kind;
	uint32_t tag;
	unsigned char keyed; /* 0, or at which level of a key its items are */
	unsigned char close; /* the opcode behind the items; 0: none */
};

struct writer {
	const brood_pickle_opts *opts;
	unsigned char *buf;
	size_t size;  /* of buf */
	size_t total; /* bytes so far; those beyond `size` were not written */
	int depth;
	brood_object id; /* of the handle that is being written */
	bool in_id;
	struct frame frames[BROOD_OBJECT_DEPTH + 1]; /* that of the id is one more */
};

static int refuse(const struct writer *w, int error, const char *what, const char *of)
{
	return bri_fail(w->opts->fail, "pickle", error, "%s%s", what, of);
}

static void put(struct writer *w, const void *bytes, size_t n)
{
	if (n > 0 && w->total <= w->size && n <= w->size - w->total)
		memcpy(w->buf + w->total, bytes, n);
	w->total += n;
}

static void put_op(struct writer *w, unsigned char op)
{
	put(w, &op, 1);
}

/* An opcode and `n` bytes of a number, little-endian. */
static void put_number(struct writer *w, unsigned char op, uint64_t number, size_t n)
{
	unsigned char bytes[9] = { op };

	for (size_t i = 0; i < n; i++)
		bytes[1 + i] = (unsigned char)(number >> 8 * i);
	put(w, bytes, 1 + n);
}

/* Data behind the shortest of three opcodes: with a length of 1 byte, of 4, of 8. */
static void put_data(struct writer *w, unsigned char op1, unsigned char op4, unsigned char op8,
		     const void *data, size_t n)
{
	if (n <= UINT8_MAX)
		put_number(w, op1, n, 1);
	else if (n <= UINT32_MAX)
		put_number(w, op4, n, 4);
	else
		put_number(w, op8, n, 8);
	put(w, data, n);
}

static void put_big(struct writer *w, const unsigned char *bytes, size_t n)
{
	n = bri_object_big_size(bytes, n);
	if (n <= UINT8_MAX)
		put_number(w, OP_LONG1, n, 1);
	else
		put_number(w, OP_LONG4, n, 4);
	put(w, bytes, n);
}

static void put_natural(struct writer *w, uint64_t number)
{
	unsigned char bytes[9] = { 0 };

	for (size_t i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(number >> 8 * i);
	put_big(w, bytes, sizeof(bytes));
}

static void put_integer(struct writer *w, int64_t number)
{
	if (number >= 0 && number <= UINT8_MAX)
		put_number(w, OP_BININT1, (uint64_t)number, 1);
	else if (number >= 0 && number <= UINT16_MAX)
		put_number(w, OP_BININT2, (uint64_t)number, 2);
	else if (number >= INT32_MIN && number <= INT32_MAX)
		put_number(w, OP_BININT, (uint64_t)number, 4);
	else {
		unsigned char bytes[8];

		for (size_t i = 0; i < 8; i++)
			bytes[i] = (unsigned char)((uint64_t)number >> 8 * i);
		put_big(w, bytes, sizeof(bytes));
	}
}

static void put_real(struct writer *w, double real)
{
	unsigned char bytes[9] = { OP_BINFLOAT };
	uint64_t word;

	memcpy(&word, &real, sizeof(word));
	for (size_t i = 0; i < 8; i++)
		bytes[1 + i] = (unsigned char)(word >> (56 - 8 * i));
	put(w, bytes, sizeof(bytes));
}

static int put_text(struct writer *w, const char *text, size_t n)
{
	if (bri_text_valid(text, n) != n)
		return refuse(w, EILSEQ, "text that is not UTF-8", "");
	put_data(w, OP_SHORT_BINUNICODE, OP_BINUNICODE, OP_BINUNICODE8, text, n);
	return 0;
}

static void put_bytes(struct writer *w, const void *data, size_t n)
{
	put_data(w, OP_SHORT_BINBYTES, OP_BINBYTES, OP_BINBYTES8, data, n);
}

/* Protocol 4 has no opcode for it: a call of builtins.bytearray. */
static void put_bytearray(struct writer *w, const void *data, size_t n)
{
	static const char class[] = "\x8c\x08"
				    "builtins"
				    "\x8c\x09"
				    "bytearray"
				    "\x93";

	if (w->opts->protocol == 5) {
		put_number(w, OP_BYTEARRAY8, n, 8);
		put(w, data, n);
		return;
	}
	put(w, class, sizeof(class) - 1);
	put_bytes(w, data, n);
	put_op(w, OP_TUPLE1);
	put_op(w, OP_REDUCE);
}

static int put_class(struct writer *w, const char *text, size_t n)
{
	const char *blank = n > 0 ? memchr(text, ' ', n) : NULL;
	int r;

	if (blank == NULL || blank == text || blank == text + n - 1)
		return refuse(w, EINVAL, "a class without module or name", "");
	r = put_text(w, text, (size_t)(blank - text));
	if (r == 0)
		r = put_text(w, blank + 1, (size_t)(text + n - (blank + 1)));
	if (r == 0)
		put_op(w, OP_STACK_GLOBAL);
	return r;
}

/* Begins a container; its frame does the rest. `keyed` is for the items. */
static int open_frame(struct writer *w, const brood_object *object, unsigned keyed,
		      unsigned char close)
{
	if (w->depth - w->in_id == BROOD_OBJECT_DEPTH || keyed > BROOD_OBJECT_KEY_DEPTH + 1)
		return refuse(w, ELOOP, "too many levels", "");
	w->frames[w->depth++] = (struct frame){
		.items = object->as.items,
		.n = object->kind == BROOD_OBJECT_DICT ? 2 * object->size : object->size,
		.kind = object->kind,
		.tag = object->tag,
		.keyed = (unsigned char)keyed,
		.close = close,
	};
	return 0;
}

static int open_tuple(struct writer *w, const brood_object *object, unsigned keyed)
{
	static const unsigned char few[] = { OP_EMPTY_TUPLE, OP_TUPLE1, OP_TUPLE2, OP_TUPLE3 };

	if (object->size < sizeof(few))
		return open_frame(w, object, keyed, few[object->size]);
	put_op(w, OP_MARK);
	return open_frame(w, object, keyed, OP_TUPLE);
}

/* A list, dict or set: empty it is one opcode; `one` and `all` put items into it. */
static int open_growing(struct writer *w, const brood_object *object, unsigned keyed,
			unsigned char empty, unsigned char one, unsigned char all)
{
	put_op(w, empty);
	if (object->size == 0)
		return open_frame(w, object, keyed, 0);
	if (object->size == 1 && one != 0)
		return open_frame(w, object, keyed, one);
	put_op(w, OP_MARK);
	return open_frame(w, object, keyed, all);
}

static int open_instance(struct writer *w, const brood_object *object)
{
	if (object->size < 2 || object->size > 3 || object->tag > BROOD_OBJECT_BY_NEW ||
	    object->as.items[0].kind != BROOD_OBJECT_CLASS ||
	    object->as.items[1].kind != BROOD_OBJECT_TUPLE)
		return refuse(w, EINVAL, "an instance without class or arguments", "");
	return open_frame(w, object, 0, 0);
}

static int open_handle(struct writer *w, const brood_object *object)
{
	brood_object one = { .kind = BROOD_OBJECT_HANDLE, .size = 1 };
	int r;

	if (w->opts->persistent_id == NULL)
		return refuse(w, ENOTSUP, "a handle", "");
	if (w->in_id)
		return refuse(w, EINVAL, "a handle in what stands for one", "");
	w->id = brood_object_of_none();
	r = w->opts->persistent_id(w->opts->context, object, &w->id);
	if (r < 0)
		return refuse(w, r, "a handle", "");
	w->in_id = true;
	one.as.items = &w->id;
	return open_frame(w, &one, 0, OP_BINPERSID);
}

static bool has_no_hash(brood_object_kind kind)
{
	return kind == BROOD_OBJECT_LIST || kind == BROOD_OBJECT_DICT || kind == BROOD_OBJECT_SET ||
	       kind == BROOD_OBJECT_BYTEARRAY || kind == BROOD_OBJECT_INSTANCE ||
	       kind == BROOD_OBJECT_HANDLE;
}

/* Whether `size` things are there to be read. */
static bool is_there(const brood_object *object)
{
	if (object->kind < BROOD_OBJECT_BIG || object->kind == BROOD_OBJECT_FLOAT ||
	    object->kind >= BROOD_OBJECT_HANDLE || object->size == 0)
		return true;
	return object->as.data != NULL && object->size <= SSIZE_MAX / (2 * sizeof(*object));
}

static int begin(struct writer *w, const brood_object *object, unsigned keyed)
{
	if (!is_there(object))
		return refuse(w, EINVAL, "no memory behind ", bri_object_kind_name(object->kind));
	if (keyed > 0 && has_no_hash(object->kind))
		return refuse(w, EINVAL, bri_object_kind_name(object->kind), " as a key");
	switch (object->kind) {
	case BROOD_OBJECT_NONE:
		put_op(w, OP_NONE);
		return 0;
	case BROOD_OBJECT_BOOL:
		put_op(w, object->as.boolean ? OP_NEWTRUE : OP_NEWFALSE);
		return 0;
	case BROOD_OBJECT_INT:
		put_integer(w, object->as.integer);
		return 0;
	case BROOD_OBJECT_UINT:
		put_natural(w, object->as.natural);
		return 0;
	case BROOD_OBJECT_BIG:
		put_big(w, object->as.data, object->size);
		return 0;
	case BROOD_OBJECT_FLOAT:
		put_real(w, object->as.real);
		return 0;
	case BROOD_OBJECT_TEXT:
		return put_text(w, object->as.text, object->size);
	case BROOD_OBJECT_BYTES:
		put_bytes(w, object->as.data, object->size);
		return 0;
	case BROOD_OBJECT_BYTEARRAY:
		put_bytearray(w, object->as.data, object->size);
		return 0;
	case BROOD_OBJECT_TUPLE:
		return open_tuple(w, object, keyed > 0 ? keyed + 1 : 0);
	case BROOD_OBJECT_LIST:
		return open_growing(w, object, 0, OP_EMPTY_LIST, OP_APPEND, OP_APPENDS);
	case BROOD_OBJECT_DICT:
		return open_growing(w, object, 0, OP_EMPTY_DICT, OP_SETITEM, OP_SETITEMS);
	case BROOD_OBJECT_SET:
		return open_growing(w, object, 1, OP_EMPTY_SET, 0, OP_ADDITEMS);
	case BROOD_OBJECT_FROZENSET:
		put_op(w, OP_MARK);
		return open_frame(w, object, keyed + 1, OP_FROZENSET);
	case BROOD_OBJECT_CLASS:
		return put_class(w, object->as.text, object->size);
	case BROOD_OBJECT_INSTANCE:
		return open_instance(w, object);
	case BROOD_OBJECT_HANDLE:
		return open_handle(w, object);
	default:
		return refuse(w, EINVAL, bri_object_kind_name(object->kind), "");
	}
}

/* What comes before the frame's next item, or behind the last: an instance is made of its first two, and
 * the third is its state. */
static void put_between(struct writer *w, const struct frame *frame)
{
	if (frame->kind == BROOD_OBJECT_INSTANCE && frame->i == 2)
		put_op(w, frame->tag == BROOD_OBJECT_BY_NEW ? OP_NEWOBJ : OP_REDUCE);
	if (frame->kind == BROOD_OBJECT_INSTANCE && frame->i == 3)
		put_op(w, OP_BUILD);
}

static void close_frame(struct writer *w, const struct frame *frame)
{
	if (frame->close != 0)
		put_op(w, frame->close);
	if (frame->kind == BROOD_OBJECT_HANDLE)
		w->in_id = false;
	w->depth--;
}

static int write_all(struct writer *w, const brood_object *object)
{
	int r = begin(w, object, 0);

	while (r == 0 && w->depth > 0) {
		struct frame *frame = &w->frames[w->depth - 1];
		const brood_object *item;
		bool is_key;

		put_between(w, frame);
		if (frame->i == frame->n) {
			close_frame(w, frame);
			continue;
		}
		item = &frame->items[frame->i];
		is_key = frame->kind == BROOD_OBJECT_DICT && frame->i % 2 == 0;
		frame->i++;
		r = begin(w, item, is_key ? 1 : frame->keyed);
	}
	return r;
}

ssize_t brood_pickle_dump(const brood_object *object, const brood_pickle_opts *opts, void *buf,
			  size_t size)
{
	static const brood_pickle_opts none;
	struct writer w;
	int r;

	/* Not initialised as a whole: the frames are, one by one. */
	w.opts = opts != NULL ? opts : &none;
	w.buf = buf;
	w.size = size;
	w.total = 0;
	w.depth = 0;
	w.in_id = false;
	if (w.opts->protocol != 0 && w.opts->protocol != 4 && w.opts->protocol != 5)
		return refuse(&w, EINVAL, "a protocol that is not written", "");
	if (object == NULL)
		return refuse(&w, EINVAL, "no object", "");
	put_number(&w, OP_PROTO, w.opts->protocol == 5 ? 5 : 4, 1);
	r = write_all(&w, object);
	if (r < 0)
		return r;
	put_op(&w, OP_STOP);
	return (ssize_t)w.total;
}

int brood_pickle_dumps(const brood_object *object, const brood_pickle_opts *opts, void **ret_data,
		       size_t *ret_size)
{
	unsigned char small[1024];
	ssize_t n = brood_pickle_dump(object, opts, small, sizeof(small)), again;
	bri_cleanup(bri_freep) void *data = NULL;

	if (n < 0)
		return (int)n;
	data = malloc((size_t)n);
	if (data == NULL)
		return -ENOMEM;
	if ((size_t)n <= sizeof(small)) {
		memcpy(data, small, (size_t)n);
	} else {
		again = brood_pickle_dump(object, opts, data, (size_t)n);
		if (again < 0)
			return (int)again;
		if (again != n)
			return bri_fail(opts->fail, "pickle", EINVAL, "two ids of one handle");
	}
	*ret_data = bri_take(data);
	*ret_size = (size_t)n;
	return 0;
}
