/* Numbers are compared in one canonical form, so that 1, 1.0, true, and 1 as a BIG are one number:
 * INT if int64_t holds it, else UINT, else FLOAT if a double is equal to it, else BIG.
 *
 * Keys are told apart by hashes that are sorted, not by a table: nothing then grows with a bad hash. Hashes
 * are of this process alone: what they are mixed with depends on where the library was loaded, and
 * who sends us keys cannot choose such as have the same. */
#include "wire/object.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TWO_63 9223372036854775808.0
#define FEW 16 /* so many keys are sorted without allocating */

const char *bri_object_kind_name(brood_object_kind kind)
{
	static const char *const names[] = {
		[BROOD_OBJECT_NONE] = "None",
		[BROOD_OBJECT_BOOL] = "a bool",
		[BROOD_OBJECT_INT] = "an int",
		[BROOD_OBJECT_UINT] = "an int",
		[BROOD_OBJECT_BIG] = "an int",
		[BROOD_OBJECT_FLOAT] = "a float",
		[BROOD_OBJECT_TEXT] = "a text",
		[BROOD_OBJECT_BYTES] = "bytes",
		[BROOD_OBJECT_BYTEARRAY] = "a bytearray",
		[BROOD_OBJECT_TUPLE] = "a tuple",
		[BROOD_OBJECT_LIST] = "a list",
		[BROOD_OBJECT_DICT] = "a dict",
		[BROOD_OBJECT_SET] = "a set",
		[BROOD_OBJECT_FROZENSET] = "a frozenset",
		[BROOD_OBJECT_CLASS] = "a class",
		[BROOD_OBJECT_INSTANCE] = "an instance",
		[BROOD_OBJECT_HANDLE] = "a handle",
	};

	return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "an unknown kind";
}

brood_object *brood_object_free(brood_object *object)
{
	free(object);
	return NULL;
}

/* ---- numbers */

size_t bri_object_big_size(const unsigned char *bytes, size_t n)
{
	while (n > 0 && ((bytes[n - 1] == 0 && (n == 1 || bytes[n - 2] < 0x80)) ||
			 (bytes[n - 1] == 0xff && n > 1 && bytes[n - 2] >= 0x80)))
		n--;
	return n;
}

brood_object bri_object_integer(const unsigned char *bytes, size_t n)
{
	uint64_t word = 0;

	n = bri_object_big_size(bytes, n);
	if (n > 9 || (n == 9 && bytes[8] != 0))
		return brood_object_of_data(BROOD_OBJECT_BIG, bytes, n);
	for (size_t i = n < 8 ? n : 8; i-- > 0;)
		word = word << 8 | bytes[i];
	if (n == 9)
		return brood_object_of_uint(word);
	if (n > 0 && n < 8 && bytes[n - 1] >= 0x80)
		word |= UINT64_MAX << 8 * n;
	return brood_object_of_int((int64_t)word);
}

/* Bit `i` of a BIG's absolute value, whose lowest bit that is set is `low`. */
static uint64_t big_bit(const brood_object *big, size_t i, size_t low)
{
	const unsigned char *bytes = big->as.data;
	unsigned bit = i / 8 < big->size ? bytes[i / 8] >> i % 8 & 1 : bytes[big->size - 1] >> 7;

	/* -x is ~x + 1: above the lowest bit set, all others are turned over. */
	return i > low && bytes[big->size - 1] >= 0x80 ? !bit : bit;
}

/* The double that is equal to a BIG of canonical size, if there is one. */
static bool big_to_real(const brood_object *big, double *ret_real)
{
	const unsigned char *bytes = big->as.data;
	size_t low = 0, high = 8 * big->size;
	uint64_t word = 0;

	if (big->size > 129) /* 2^1024 and beyond; the 129th byte holds the sign */
		return false;
	while (bytes[low / 8] == 0)
		low += 8;
	while ((bytes[low / 8] >> low % 8 & 1) == 0)
		low++;
	while (big_bit(big, high, low) == 0)
		high--;
	if (high - low > 52 || high > 1023)
		return false;
	for (size_t i = high + 1; i-- > low;)
		word = word << 1 | big_bit(big, i, low);
	word = (word << (52 - (high - low)) & ((UINT64_C(1) << 52) - 1)) |
	       (uint64_t)(high + 1023) << 52 | (uint64_t)(bytes[big->size - 1] >> 7) << 63;
	memcpy(ret_real, &word, sizeof(word));
	return true;
}

static bool is_integer(const brood_object *object)
{
	return object->kind == BROOD_OBJECT_BOOL || object->kind == BROOD_OBJECT_INT ||
	       object->kind == BROOD_OBJECT_UINT || object->kind == BROOD_OBJECT_BIG;
}

static bool is_number(const brood_object *object)
{
	return is_integer(object) || object->kind == BROOD_OBJECT_FLOAT;
}

/* The number in its canonical form. */
static brood_object canonical(const brood_object *number)
{
	brood_object object = *number;
	double real;

	if (object.kind == BROOD_OBJECT_BIG) {
		object = bri_object_integer(object.as.data, object.size);
		if (object.kind == BROOD_OBJECT_BIG && big_to_real(&object, &real))
			return brood_object_of_float(real);
		return object;
	}
	if (object.kind == BROOD_OBJECT_BOOL)
		return brood_object_of_int(object.as.boolean);
	if (object.kind == BROOD_OBJECT_UINT && object.as.natural <= INT64_MAX)
		return brood_object_of_int((int64_t)object.as.natural);
	if (object.kind == BROOD_OBJECT_FLOAT) {
		real = object.as.real;
		if (real >= -TWO_63 && real < TWO_63 && (double)(int64_t)real == real)
			return brood_object_of_int((int64_t)real);
		if (real >= TWO_63 && real < 2 * TWO_63)
			return brood_object_of_uint((uint64_t)real);
	}
	return object;
}

static bool equal_numbers(const brood_object *a, const brood_object *b)
{
	brood_object x = canonical(a), y = canonical(b);

	if (x.kind != y.kind)
		return false;
	if (x.kind == BROOD_OBJECT_FLOAT)
		return x.as.real == y.as.real;
	if (x.kind == BROOD_OBJECT_BIG)
		return x.size == y.size && memcmp(x.as.data, y.as.data, x.size) == 0;
	return x.as.natural == y.as.natural;
}

/* ---- hashes */

__extension__ typedef unsigned __int128 wide;

static uint64_t mix(uint64_t a, uint64_t b)
{
	static const char here;
	uint64_t seed = (uint64_t)(uintptr_t)&here * UINT64_C(0x9e3779b97f4a7c15);
	wide product = (wide)(a ^ seed ^ UINT64_C(0xa0761d6478bd642f)) *
		       (b ^ seed ^ UINT64_C(0xe7037ed1a0b428db));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(const void *data, size_t size, uint64_t hash)
{
	const unsigned char *bytes = data;
	uint64_t word;

	hash = mix(hash, size);
	for (; size > 0; size -= size < 8 ? size : 8, bytes += 8) {
		word = 0;
		memcpy(&word, bytes, size < 8 ? size : 8);
		hash = mix(hash, word);
	}
	return hash;
}

static uint64_t hash_number(const brood_object *number)
{
	brood_object object = canonical(number);

	if (object.kind == BROOD_OBJECT_BIG)
		return hash_bytes(object.as.data, object.size, BROOD_OBJECT_BIG);
	/* No NaN is equal to another: were their hashes, many would be slow to tell apart. */
	if (object.kind == BROOD_OBJECT_FLOAT && object.as.real != object.as.real)
		return mix((uint64_t)(uintptr_t)number, BROOD_OBJECT_FLOAT);
	return mix(object.as.natural, object.kind);
}

static uint64_t hash_of(const brood_object *object, int depth)
{
	size_t n = object->kind == BROOD_OBJECT_DICT ? 2 * object->size : object->size;
	uint64_t hash = object->kind;

	if (is_number(object))
		return hash_number(object);
	switch (object->kind) {
	case BROOD_OBJECT_TEXT:
	case BROOD_OBJECT_CLASS:
		return hash_bytes(object->as.data, object->size, object->kind);
	case BROOD_OBJECT_BYTES:
	case BROOD_OBJECT_BYTEARRAY:
		return hash_bytes(object->as.data, object->size, BROOD_OBJECT_BYTES);
	case BROOD_OBJECT_TUPLE:
	case BROOD_OBJECT_LIST:
	case BROOD_OBJECT_INSTANCE:
		for (size_t i = 0; i < n && depth > 0; i++)
			hash = mix(hash, hash_of(&object->as.items[i], depth - 1));
		return hash;
	case BROOD_OBJECT_DICT:
	case BROOD_OBJECT_SET:
	case BROOD_OBJECT_FROZENSET:
		/* In any order the same; of a dict, the keys may do. */
		hash = n;
		for (size_t i = 0; i < n && depth > 0; i += n / object->size)
			hash += mix(hash_of(&object->as.items[i], depth - 1), 0);
		return hash;
	case BROOD_OBJECT_HANDLE:
		return mix((uint64_t)(uintptr_t)object->as.handle, object->tag);
	default:
		return hash;
	}
}

/* A key by its hash, and its place among the keys. */
struct entry {
	uint64_t hash;
	size_t place;
};

/* The entries of keys, sorted; those of few keys need no memory. */
struct index {
	struct entry *entries, few[FEW];
	size_t n;
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static int index_init(struct index *index, const brood_object *items, size_t n, size_t stride)
{
	index->n = n;
	index->entries = n <= FEW ? index->few : calloc(n, sizeof(*index->entries));
	if (index->entries == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		index->entries[i].hash = hash_of(&items[i * stride], BROOD_OBJECT_DEPTH);
		index->entries[i].place = i;
	}
	qsort(index->entries, n, sizeof(*index->entries), compare_entries);
	return 0;
}

static void index_fini(struct index *index)
{
	if (index->entries != index->few)
		free(index->entries);
}

/* ---- equality. Each of these: 1, 0, or a negative errno value */

static int equal(const brood_object *a, const brood_object *b, int depth);

static int equal_rows(const brood_object *a, const brood_object *b, int depth)
{
	int r = 1;

	if (a->size != b->size || a->tag != b->tag)
		return 0;
	if (a->as.items == b->as.items)
		return 1;
	for (size_t i = 0; i < a->size && r == 1; i++)
		r = equal(&a->as.items[i], &b->as.items[i], depth);
	return r;
}

/* Where `key` is among the keys; *ret_place is untouched if it is not. */
static int find(const struct index *index, const brood_object *key, const brood_object *items,
		size_t stride, int depth, size_t *ret_place)
{
	uint64_t hash = hash_of(key, BROOD_OBJECT_DEPTH);
	size_t low = 0, high = index->n, middle;
	int r = 0;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (index->entries[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < index->n && index->entries[low].hash == hash && r == 0; low++) {
		r = equal(key, &items[index->entries[low].place * stride], depth);
		if (r == 1)
			*ret_place = index->entries[low].place;
	}
	return r;
}

/* Each key of one is in the other, with an equal value in a dict; `n` in both. */
static int equal_in_any_order(const brood_object *x, const brood_object *y, size_t n, size_t stride,
			      int depth)
{
	struct index index;
	size_t place = 0;
	int r = index_init(&index, y, n, stride);

	if (r < 0)
		return r;
	r = 1;
	for (size_t i = 0; i < n && r == 1; i++) {
		r = find(&index, &x[i * stride], y, stride, depth, &place);
		if (r == 1 && stride == 2)
			r = equal(&x[2 * i + 1], &y[2 * place + 1], depth);
	}
	index_fini(&index);
	return r;
}

/* Dicts and sets of one size: most are in the same order, and the rest is looked for. */
static int equal_keys(const brood_object *a, const brood_object *b, size_t stride, int depth)
{
	const brood_object *x = a->as.items, *y = b->as.items;
	size_t i = 0;
	int r = 1;

	for (; i < a->size && (r = equal(&x[i * stride], &y[i * stride], depth)) == 1; i++)
		if (stride == 2 && (r = equal(&x[2 * i + 1], &y[2 * i + 1], depth)) != 1)
			return r;
	if (r < 0 || i == a->size)
		return r;
	return equal_in_any_order(x + i * stride, y + i * stride, a->size - i, stride, depth);
}

static bool is_bytes(const brood_object *object)
{
	return object->kind == BROOD_OBJECT_BYTES || object->kind == BROOD_OBJECT_BYTEARRAY;
}

static bool is_set(const brood_object *object)
{
	return object->kind == BROOD_OBJECT_SET || object->kind == BROOD_OBJECT_FROZENSET;
}

static int equal(const brood_object *a, const brood_object *b, int depth)
{
	if (is_number(a) && is_number(b))
		return equal_numbers(a, b);
	if (a->kind != b->kind && !(is_bytes(a) && is_bytes(b)) && !(is_set(a) && is_set(b)))
		return 0;
	switch (a->kind) {
	case BROOD_OBJECT_TEXT:
	case BROOD_OBJECT_CLASS:
	case BROOD_OBJECT_BYTES:
	case BROOD_OBJECT_BYTEARRAY:
		return a->size == b->size &&
		       (a->size == 0 || memcmp(a->as.data, b->as.data, a->size) == 0);
	case BROOD_OBJECT_TUPLE:
	case BROOD_OBJECT_LIST:
	case BROOD_OBJECT_INSTANCE:
		return depth == 0 ? -ELOOP : equal_rows(a, b, depth - 1);
	case BROOD_OBJECT_DICT:
	case BROOD_OBJECT_SET:
	case BROOD_OBJECT_FROZENSET:
		if (a->size != b->size)
			return 0;
		return depth == 0 ?
			       -ELOOP :
			       equal_keys(a, b, a->kind == BROOD_OBJECT_DICT ? 2 : 1, depth - 1);
	case BROOD_OBJECT_HANDLE:
		return a->as.handle == b->as.handle && a->tag == b->tag;
	default:
		return 1;
	}
}

int brood_object_equal(const brood_object *a, const brood_object *b)
{
	if (a == NULL || b == NULL)
		return -ENOENT;
	return equal(a, b, BROOD_OBJECT_DEPTH);
}

/* ---- keys that are there twice */

/* Marks what goes: it has no other use among keys. */
static const brood_object gone = { .kind = BROOD_OBJECT_HANDLE };

/* The key at `later` is that at `first` once more. */
static void merge(brood_object *items, size_t stride, size_t first, size_t later)
{
	if (stride == 2)
		items[2 * first + 1] = items[2 * later + 1];
	items[later * stride] = gone;
}

static int mark(brood_object *items, const struct index *index, size_t stride)
{
	const struct entry *entries = index->entries;
	int r = 0;

	for (size_t i = 1, start = 0; i < index->n && r >= 0; i++) {
		if (entries[i].hash != entries[start].hash)
			start = i;
		r = 0;
		for (size_t j = start; j < i && r == 0; j++) {
			r = equal(&items[entries[i].place * stride],
				  &items[entries[j].place * stride], BROOD_OBJECT_DEPTH);
			if (r == 1)
				merge(items, stride, entries[j].place, entries[i].place);
		}
	}
	return r < 0 ? r : 0;
}

int bri_object_unique(brood_object *items, size_t *n, size_t stride)
{
	struct index index;
	size_t left = 0;
	int r;

	if (*n < 2)
		return 0;
	r = index_init(&index, items, *n, stride);
	if (r < 0)
		return r;
	r = mark(items, &index, stride);
	index_fini(&index);
	if (r < 0)
		return r;
	for (size_t i = 0; i < *n; i++) {
		if (items[i * stride].kind == gone.kind)
			continue;
		if (left < i)
			memcpy(&items[left * stride], &items[i * stride], stride * sizeof(*items));
		left++;
	}
	*n = left;
	return 0;
}

/* ---- accessors */

int brood_object_bool(const brood_object *object, bool *ret_boolean)
{
	if (object == NULL)
		return -ENOENT;
	if (object->kind != BROOD_OBJECT_BOOL)
		return -EDOM;
	*ret_boolean = object->as.boolean;
	return 0;
}

/* 0: *ret_number is its one form. */
static int integer_of(const brood_object *object, brood_object *ret_number)
{
	if (object == NULL)
		return -ENOENT;
	if (!is_integer(object))
		return -EDOM;
	*ret_number = canonical(object);
	return 0;
}

int brood_object_int(const brood_object *object, int64_t *ret_integer)
{
	brood_object number;
	int r = integer_of(object, &number);

	if (r < 0)
		return r;
	if (number.kind != BROOD_OBJECT_INT)
		return -ERANGE;
	*ret_integer = number.as.integer;
	return 0;
}

int brood_object_uint(const brood_object *object, uint64_t *ret_natural)
{
	brood_object number;
	int r = integer_of(object, &number);

	if (r < 0)
		return r;
	if (number.kind != BROOD_OBJECT_UINT &&
	    (number.kind != BROOD_OBJECT_INT || number.as.integer < 0))
		return -ERANGE;
	*ret_natural = number.as.natural;
	return 0;
}

int brood_object_float(const brood_object *object, double *ret_real)
{
	brood_object number, back;
	double real;

	if (object == NULL)
		return -ENOENT;
	if (!is_number(object))
		return -EDOM;
	if (object->kind == BROOD_OBJECT_FLOAT) {
		*ret_real = object->as.real;
		return 0;
	}
	number = canonical(object);
	if (number.kind == BROOD_OBJECT_BIG)
		return -ERANGE;
	real = number.kind == BROOD_OBJECT_INT  ? (double)number.as.integer :
	       number.kind == BROOD_OBJECT_UINT ? (double)number.as.natural :
						  number.as.real;
	back = brood_object_of_float(real);
	if (!equal_numbers(&number, &back))
		return -ERANGE;
	*ret_real = real;
	return 0;
}

int brood_object_text(const brood_object *object, const char **ret_text, size_t *ret_size)
{
	if (object == NULL)
		return -ENOENT;
	if (object->kind != BROOD_OBJECT_TEXT)
		return -EDOM;
	*ret_text = object->as.text;
	*ret_size = object->size;
	return 0;
}

int brood_object_bytes(const brood_object *object, const void **ret_data, size_t *ret_size)
{
	if (object == NULL)
		return -ENOENT;
	if (!is_bytes(object))
		return -EDOM;
	*ret_data = object->as.data;
	*ret_size = object->size;
	return 0;
}

int brood_object_handle(const brood_object *object, uint32_t type, void **ret_handle)
{
	if (object == NULL)
		return -ENOENT;
	if (object->kind != BROOD_OBJECT_HANDLE || object->tag != type)
		return -EDOM;
	*ret_handle = object->as.handle;
	return 0;
}

bool brood_object_is_none(const brood_object *object)
{
	return object != NULL && object->kind == BROOD_OBJECT_NONE;
}

ssize_t brood_object_length(const brood_object *object)
{
	if (object == NULL)
		return -ENOENT;
	if (object->kind < BROOD_OBJECT_TEXT || object->kind > BROOD_OBJECT_FROZENSET)
		return -EDOM;
	return (ssize_t)object->size;
}

/* Whether there is a place `index`, from -1 backwards, among `n`. */
static bool place_of(ssize_t index, size_t n, size_t *ret_place)
{
	if (index < 0 && n <= SSIZE_MAX)
		index += (ssize_t)n;
	if (index < 0 || (size_t)index >= n)
		return false;
	*ret_place = (size_t)index;
	return true;
}

const brood_object *brood_object_at(const brood_object *object, ssize_t index)
{
	size_t place;

	if (object == NULL ||
	    (object->kind != BROOD_OBJECT_TUPLE && object->kind != BROOD_OBJECT_LIST &&
	     !is_set(object)) ||
	    !place_of(index, object->size, &place))
		return NULL;
	return &object->as.items[place];
}

const brood_object *brood_object_get(const brood_object *object, const char *key)
{
	size_t size = strlen(key);

	if (object == NULL || object->kind != BROOD_OBJECT_DICT)
		return NULL;
	for (size_t i = 0; i < object->size; i++) {
		const brood_object *at = &object->as.items[2 * i];

		if (at->kind == BROOD_OBJECT_TEXT && at->size == size &&
		    memcmp(at->as.text, key, size) == 0)
			return at + 1;
	}
	return NULL;
}

int brood_object_pair(const brood_object *object, ssize_t index, const brood_object **ret_key,
		      const brood_object **ret_value)
{
	size_t place;

	if (object == NULL)
		return -ENOENT;
	if (object->kind != BROOD_OBJECT_DICT)
		return -EDOM;
	if (!place_of(index, object->size, &place))
		return -ENOENT;
	*ret_key = &object->as.items[2 * place];
	*ret_value = *ret_key + 1;
	return 0;
}
