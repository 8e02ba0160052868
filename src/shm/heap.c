/* A heap in shared memory in which each change is one store
 *
 * The space is cut into units of 1 KiB. Each unit has a word in the table, and the words alone are
 * the truth:
 *
 *	FREE n     here begins a free span of n units
 *	LARGE n    here begins one block of n units
 *	SLAB c b   here begins a group of blocks of class c; bit i of b: block i is allocated
 *	BACK d     the head of the span is d units before: in each later unit of a slab, and in the
 *	           last unit of every longer span
 *
 * Walked from unit 0, head by head, the spans cover all units without a gap. That holds at every
 * instant, since whoever cuts or joins spans first writes the words that nobody reads yet, those
 * inside of a span, and then the one head that makes them count.
 *
 *	alloc, small   compare-and-swap sets a bit of a slab's word: free before, allocated after
 *	free, small    compare-and-swap clears it
 *	cut a span     the rest gets its head, inside of the span as yet; then the head of the span
 *	               changes (commit)
 *	free, large    the head of the joined span is written (commit); then the heads inside of it
 *	               are wiped
 *	drop a slab    compare-and-swap from SLAB c, no bit set, to FREE: an allocation meanwhile
 *	               makes it fail
 *	grow           the new units get their head; then `units` counts them in (commit)
 *
 * Small blocks need no lock. Spans are changed under a robust lock only; who gets it from a dead
 * owner walks the heads, and writes anew all that is derived from them (repair()): the BACK words
 * at the ends of spans, the wiped insides, and the bins. So an owner may be killed between any two
 * instructions. A SLAB word is never left where no slab is, as that is what allocations without the
 * lock look for; hence drop before join.
 *
 * Where to look first is told by hints: a bitmap over the units for each class, of slabs that have
 * room, and one for each size of free spans, of those that have it (a bin). Setting and clearing is
 * idempotent, so no order of events can tie knots into them as into lists. A class's hint may be
 * missing, when somebody was killed between a free and the hint: before the heap grows or refuses,
 * a walk finds such slabs, and drops empty ones. */
#include <brood/heap.h>
#include <brood/lock.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "shm/segment.h"

#define VERSION 1
#define WORDS (0x01020300u | (unsigned)sizeof(long))
#define UNIT 1024u
#define PAGE 4096u
#define CLASSES 32u
#define BINS 64u
#define ROWS (CLASSES + BINS)
#define LEAST_UNITS 16u
#define MOST_BYTES (UINT64_C(1) << 46)
#define STRIPES 8u
#define NONE UINT64_MAX

typedef _Atomic(uint64_t) word;

enum kind { INSIDE = 0, FREE, LARGE, BACK, SLAB = 32 };

#define KIND(w) ((unsigned)((w)&0xff))
#define COUNT(w) ((w) >> 8) /* units, distance, or the bits of a slab */
#define MAKE(kind, count) ((uint64_t)(kind) | (uint64_t)(count) << 8)

/* 56 blocks at most, because that many bits are left in a slab's word. The sizes: 8 steps of 16,
 * then four for each doubling. Part of the format. */
static const struct class
{
	uint32_t size, units, blocks;
} classes[CLASSES] = {
	{ 16, 1, 56 },    { 32, 1, 32 },    { 48, 2, 42 },    { 64, 3, 48 },    { 80, 4, 51 },
	{ 96, 5, 53 },    { 112, 6, 54 },   { 128, 7, 56 },   { 160, 9, 56 },   { 192, 10, 53 },
	{ 224, 12, 54 },  { 256, 14, 56 },  { 320, 18, 56 },  { 384, 21, 56 },  { 448, 25, 56 },
	{ 512, 28, 56 },  { 640, 32, 51 },  { 768, 32, 42 },  { 896, 32, 36 },  { 1024, 32, 32 },
	{ 1280, 32, 25 }, { 1536, 32, 21 }, { 1792, 32, 18 }, { 2048, 32, 16 }, { 2560, 30, 12 },
	{ 3072, 30, 10 }, { 3584, 32, 9 },  { 4096, 32, 8 },  { 5120, 30, 6 },  { 6144, 30, 5 },
	{ 7168, 28, 4 },  { 8192, 32, 4 },
};

static const char magic[8] = "BROODHEA";

/* At the start of the segment's data. */
struct tables {
	char magic[8]; /* written last when the heap is made */
	uint32_t version, words;
	uint64_t most_units;
	uint64_t space; /* offset of unit 0 from here; in memory it is at a page's start */
	word units;
	word root; /* an offset from here, or 0 */
	word repaired;
	uint64_t filled; /* bit b: bin b may have something; under the lock */
	brood_lock lock __attribute__((aligned(64)));
	/* Then: the words; the hints, row by row; and over each 64 words of them one bit, row by
	 * row. */
	word table[] __attribute__((aligned(64)));
};

struct brood_heap {
	_Atomic(unsigned) refs;
	brood_segment *segment;
	struct tables *t;
	word *table, *leaves, *summaries;
	size_t leaf_words, summary_words; /* a row's */
	char *space;
	struct stripe {
		/* The slab that served last, by class. */
		word current[CLASSES];
		word cursor[CLASSES];
		_Atomic(unsigned) strife;
	} stripe[STRIPES] __attribute__((aligned(64)));
};

/* ---- hints */

static void hint_set(brood_heap *heap, unsigned row, uint64_t unit)
{
	word *leaf = &heap->leaves[row * heap->leaf_words + unit / 64];
	word *summary = &heap->summaries[row * heap->summary_words + unit / 4096];
	uint64_t bit = UINT64_C(1) << unit % 64, over = UINT64_C(1) << unit / 64 % 64;

	if ((atomic_load(leaf) & bit) == 0)
		atomic_fetch_or(leaf, bit);
	if ((atomic_load(summary) & over) == 0)
		atomic_fetch_or(summary, over);
}

static void hint_clear(brood_heap *heap, unsigned row, uint64_t unit)
{
	word *leaf = &heap->leaves[row * heap->leaf_words + unit / 64];
	word *summary = &heap->summaries[row * heap->summary_words + unit / 4096];
	uint64_t bit = UINT64_C(1) << unit % 64, over = UINT64_C(1) << unit / 64 % 64;

	if ((atomic_fetch_and(leaf, ~bit) & ~bit) != 0)
		return;
	atomic_fetch_and(summary, ~over);
	if (atomic_load(leaf) != 0)
		atomic_fetch_or(summary, over);
}

/* The first hint at or behind `from`, or NONE. */
static uint64_t hint_find(brood_heap *heap, unsigned row, uint64_t from)
{
	word *leaves = &heap->leaves[row * heap->leaf_words];
	word *summaries = &heap->summaries[row * heap->summary_words];
	size_t at = from / 64, top;
	uint64_t bits;

	if (at >= heap->leaf_words)
		return NONE;
	bits = atomic_load_explicit(&leaves[at], memory_order_relaxed) & ~UINT64_C(0) << from % 64;
	if (bits != 0)
		return at * 64 + (uint64_t)__builtin_ctzll(bits);
	at++;
	for (top = at / 64; top < heap->summary_words; top++) {
		uint64_t over = atomic_load_explicit(&summaries[top], memory_order_relaxed);

		if (top == at / 64)
			over &= ~UINT64_C(0) << at % 64;
		for (; over != 0; over &= over - 1) {
			size_t leaf = top * 64 + (size_t)__builtin_ctzll(over);

			if (leaf >= heap->leaf_words)
				return NONE;
			bits = atomic_load_explicit(&leaves[leaf], memory_order_relaxed);
			if (bits != 0)
				return leaf * 64 + (uint64_t)__builtin_ctzll(bits);
		}
	}
	return NONE;
}

/* ---- classes and bins */

static unsigned class_of(size_t size)
{
	unsigned n = (unsigned)(size - 1), e;

	if (size <= 128)
		return n / 16;
	e = 31 - (unsigned)__builtin_clz(n);
	return 8 + (e - 7) * 4 + (n >> (e - 2) & 3);
}

static uint64_t all_blocks(unsigned c)
{
	return (UINT64_C(1) << classes[c].blocks) - 1;
}

static bool has_room(uint64_t w, unsigned c)
{
	return KIND(w) == SLAB + c && (~COUNT(w) & all_blocks(c)) != 0;
}

static unsigned bin_of(uint64_t n)
{
	unsigned e, bin;

	if (n < 8)
		return n > 1 ? (unsigned)n - 1 : 0;
	e = 63 - (unsigned)__builtin_clzll(n);
	bin = 7 + (e - 3) * 4 + (unsigned)(n >> (e - 2) & 3);
	return bin < BINS ? bin : BINS - 1;
}

/* The first bin all of whose spans are as long as `n`, or the last bin. */
static unsigned bin_above(uint64_t n)
{
	unsigned bin = bin_of(n);

	if (bin < 7 || bin == BINS - 1)
		return bin;
	/* The shortest span that is in this one. */
	return ((UINT64_C(4) + (bin - 7) % 4) << ((bin - 7) / 4 + 1)) == n ? bin : bin + 1;
}

static void bin_add(brood_heap *heap, uint64_t unit, uint64_t n)
{
	hint_set(heap, CLASSES + bin_of(n), unit);
	heap->t->filled |= UINT64_C(1) << bin_of(n);
}

static void bin_remove(brood_heap *heap, uint64_t unit, uint64_t n)
{
	hint_clear(heap, CLASSES + bin_of(n), unit);
}

/* A member of `bin` that has `n` units. */
static uint64_t bin_find(brood_heap *heap, unsigned bin, uint64_t n)
{
	uint64_t unit = 0;

	if ((heap->t->filled >> bin & 1) == 0)
		return NONE;
	unit = hint_find(heap, CLASSES + bin, 0);
	if (unit == NONE)
		heap->t->filled &= ~(UINT64_C(1) << bin);
	while (unit != NONE && COUNT(atomic_load(&heap->table[unit])) < n)
		unit = hint_find(heap, CLASSES + bin, unit + 1);
	return unit;
}

/* ---- spans; all of this under the lock */

static uint64_t length_of(uint64_t w)
{
	if (KIND(w) >= SLAB && KIND(w) < SLAB + CLASSES)
		return classes[KIND(w) - SLAB].units;
	return KIND(w) == FREE || KIND(w) == LARGE ? COUNT(w) : 0;
}

static void put(brood_heap *heap, uint64_t unit, uint64_t w)
{
	atomic_store_explicit(&heap->table[unit], w, memory_order_release);
}

static uint64_t get(brood_heap *heap, uint64_t unit)
{
	return atomic_load_explicit(&heap->table[unit], memory_order_acquire);
}

static void put_end(brood_heap *heap, uint64_t unit, uint64_t n)
{
	if (n > 1)
		put(heap, unit + n - 1, MAKE(BACK, n - 1));
}

/* The span that ends right before `unit`. */
static uint64_t before(brood_heap *heap, uint64_t unit)
{
	uint64_t w = get(heap, unit - 1);

	return KIND(w) == BACK ? unit - 1 - COUNT(w) : unit - 1;
}

/* Frees [unit, unit + n), joined with its neighbours. Returns the head. */
static uint64_t give(brood_heap *heap, uint64_t unit, uint64_t n)
{
	uint64_t units = atomic_load(&heap->t->units), head = unit, next = unit + n, previous;

	if (next < units && KIND(get(heap, next)) == FREE) {
		uint64_t more = COUNT(get(heap, next));

		bin_remove(heap, next, more);
		n += more;
	} else {
		next = NONE;
	}
	previous = unit > 0 ? before(heap, unit) : NONE;
	if (previous != NONE && KIND(get(heap, previous)) == FREE) {
		head = previous;
		bin_remove(heap, head, unit - head);
		n += unit - head;
	}
	put(heap, head, MAKE(FREE, n)); /* commit */
	if (head != unit)
		put(heap, unit, INSIDE);
	if (next != NONE)
		put(heap, next, INSIDE);
	put_end(heap, head, n);
	bin_add(heap, head, n);
	return head;
}

/* Takes `n` units at a multiple of `align` units, and makes `w` their head. */
static uint64_t take(brood_heap *heap, uint64_t n, uint64_t align, uint64_t w)
{
	uint64_t unit = NONE, length, wanted = n + align - 1, pad;

	for (unsigned bin = bin_above(wanted); bin < BINS && unit == NONE; bin++)
		unit = bin_find(heap, bin, wanted);
	if (unit == NONE)
		unit = bin_find(heap, bin_of(wanted), wanted);
	if (unit == NONE)
		return NONE;
	length = COUNT(get(heap, unit));
	bin_remove(heap, unit, length);
	pad = (align - unit % align) % align;
	if (pad > 0) {
		put_end(heap, unit + pad, length - pad);
		put(heap, unit + pad, MAKE(FREE, length - pad));
		put(heap, unit, MAKE(FREE, pad)); /* commit: it is two */
		put_end(heap, unit, pad);
		bin_add(heap, unit, pad);
		unit += pad;
		length -= pad;
	}
	if (length > n) {
		put_end(heap, unit + n, length - n);
		put(heap, unit + n, MAKE(FREE, length - n));
		bin_add(heap, unit + n, length - n);
	}
	if (KIND(w) >= SLAB)
		for (uint64_t i = 1; i < n; i++)
			put(heap, unit + i, MAKE(BACK, i));
	put_end(heap, unit, n);
	put(heap, unit, w); /* commit */
	return unit;
}

/* Drops empty slabs, and sets the hints of those with room. */
static void reclaim(brood_heap *heap)
{
	uint64_t units = atomic_load(&heap->t->units);

	for (uint64_t unit = 0; unit < units; unit += length_of(get(heap, unit))) {
		uint64_t w = get(heap, unit);
		unsigned c = KIND(w) - SLAB;

		if (KIND(w) < SLAB)
			continue;
		if (COUNT(w) == 0 && atomic_compare_exchange_strong(&heap->table[unit], &w,
								    MAKE(FREE, classes[c].units))) {
			hint_clear(heap, c, unit);
			unit = give(heap, unit, classes[c].units);
		} else if (has_room(w, c)) {
			hint_set(heap, c, unit);
		}
	}
}

/* Makes all that is derived from the heads: for who gets the lock from a dead owner. What he joined
 * or dropped without an end is ended here. */
static int repair(brood_heap *heap)
{
	uint64_t units = atomic_load(&heap->t->units), n, next;

	/* No further than the units reach: behind that nothing is set, nor even there in memory. */
	for (unsigned row = CLASSES; row < ROWS; row++) {
		memset(&heap->leaves[row * heap->leaf_words], 0, (units + 63) / 64 * sizeof(word));
		memset(&heap->summaries[row * heap->summary_words], 0,
		       (units + 4095) / 4096 * sizeof(word));
	}
	heap->t->filled = 0;
	for (uint64_t unit = 0; unit < units; unit += n) {
		uint64_t w = get(heap, unit);

		n = length_of(w);
		if (n == 0 || n > units - unit)
			return -EUCLEAN;
		while (KIND(w) == FREE && unit + n < units && KIND(get(heap, unit + n)) == FREE) {
			next = unit + n;
			n += COUNT(get(heap, next));
			if (n > units - unit)
				return -EUCLEAN;
			put(heap, unit, MAKE(FREE, n));
		}
		if (KIND(w) == FREE) {
			for (uint64_t i = 1; i < n; i++)
				put(heap, unit + i, INSIDE);
			bin_add(heap, unit, n);
		}
		put_end(heap, unit, n);
	}
	atomic_fetch_add(&heap->t->repaired, 1);
	return 0;
}

static int lock(brood_heap *heap)
{
	int r = brood_lock_acquire(&heap->t->lock, BROOD_FOREVER);

	if (r != BROOD_OWNER_DIED)
		return r;
	r = repair(heap);
	if (r < 0)
		brood_lock_release(&heap->t->lock);
	return r;
}

static void unlock(brood_heap *heap)
{
	brood_lock_release(&heap->t->lock);
}

/* How many units the segment has room for when it has `size` bytes. */
static uint64_t units_in(brood_heap *heap, size_t size)
{
	uint64_t units = size > heap->t->space ? (size - heap->t->space) / UNIT : 0;

	return units < heap->t->most_units ? units : heap->t->most_units;
}

/* Grows so that `n` units in a row are free. */
static int grow(brood_heap *heap, uint64_t n)
{
	uint64_t units = atomic_load(&heap->t->units), last = units > 0 ? before(heap, units) : 0;
	uint64_t least = units + n, most = units_in(heap, brood_segment_reserve(heap->segment));
	uint64_t wanted;
	int r;

	if (units > 0 && KIND(get(heap, last)) == FREE)
		least -= units - last < n ? units - last : n;
	if (least > most)
		return -ENOMEM;
	wanted = units * 2 > least ? units * 2 : least;
	if (wanted > most)
		wanted = most;
	r = brood_segment_grow(heap->segment, heap->t->space + wanted * UNIT);
	if (r < 0)
		r = brood_segment_grow(heap->segment, heap->t->space + least * UNIT);
	if (r < 0)
		return r == -ENOSPC ? r : -ENOMEM;
	wanted = units_in(heap, brood_segment_size(heap->segment));
	if (wanted == units)
		return 0;
	put_end(heap, units, wanted - units);
	put(heap, units, MAKE(FREE, wanted - units));
	atomic_store(&heap->t->units, wanted); /* commit */
	give(heap, units, wanted - units);
	return 0;
}

/* ---- blocks */

static struct stripe *stripe_of(brood_heap *heap)
{
	uintptr_t self = (uintptr_t)pthread_self();

	return &heap->stripe[(self >> 12 ^ self >> 21) % STRIPES];
}

/* Takes a block of the slab at `unit`, if that is of the class and has room. */
static char *claim(brood_heap *heap, struct stripe *stripe, unsigned c, uint64_t unit)
{
	uint64_t w = atomic_load_explicit(&heap->table[unit], memory_order_relaxed);

	while (has_room(w, c)) {
		uint64_t room = ~COUNT(w) & all_blocks(c);
		unsigned block = (unsigned)__builtin_ctzll(room);

		if (!atomic_compare_exchange_strong(&heap->table[unit], &w,
						    w | MAKE(0, UINT64_C(1) << block))) {
			atomic_fetch_add_explicit(&stripe->strife, 1, memory_order_relaxed);
			continue;
		}
		/* Who took the last one clears the hint, and looks again: somebody may have freed
		 * one meanwhile, and found the hint still set. */
		if ((room & (room - 1)) == 0) {
			hint_clear(heap, c, unit);
			if (has_room(atomic_load(&heap->table[unit]), c))
				hint_set(heap, c, unit);
		}
		return heap->space + unit * UNIT + block * (size_t)classes[c].size;
	}
	return NULL;
}

/* Takes a block of any slab that a hint tells of; next fit, so that processes spread. */
static char *claim_any(brood_heap *heap, struct stripe *stripe, unsigned c)
{
	uint64_t from = atomic_load_explicit(&stripe->cursor[c], memory_order_relaxed), unit;
	char *block;

	for (bool around = false;;) {
		unit = hint_find(heap, c, from);
		if (unit == NONE && around)
			return NULL;
		if (unit == NONE) {
			around = true;
			from = 0;
			continue;
		}
		block = claim(heap, stripe, c, unit);
		if (block != NULL) {
			atomic_store_explicit(&stripe->current[c], unit, memory_order_relaxed);
			atomic_store_explicit(&stripe->cursor[c], unit, memory_order_relaxed);
			return block;
		}
		/* It was full or dropped; or it has room again by now. */
		hint_clear(heap, c, unit);
		if (has_room(atomic_load(&heap->table[unit]), c))
			hint_set(heap, c, unit);
		from = unit + 1;
	}
}

/* A new slab, whose first block is taken. */
static char *take_slab(brood_heap *heap, struct stripe *stripe, unsigned c)
{
	uint64_t unit = take(heap, classes[c].units, 1, MAKE(SLAB + c, 1));

	if (unit == NONE)
		return NULL;
	hint_set(heap, c, unit);
	atomic_store_explicit(&stripe->current[c], unit, memory_order_relaxed);
	atomic_store_explicit(&stripe->cursor[c], unit, memory_order_relaxed);
	return heap->space + unit * UNIT;
}

static char *take_large(brood_heap *heap, size_t size, size_t align)
{
	uint64_t n = (size + UNIT - 1) / UNIT;
	uint64_t unit = take(heap, n, align > UNIT ? align / UNIT : 1, MAKE(LARGE, n));

	return unit == NONE ? NULL : heap->space + unit * UNIT;
}

/* No slab has room: the lock, a new slab; then what lies idle, then more memory, then a span for it
 * alone. */
static int alloc_slowly(brood_heap *heap, struct stripe *stripe, unsigned c, char **block)
{
	int r = lock(heap), grown;

	if (r < 0)
		return r;
	*block = take_slab(heap, stripe, c);
	if (*block == NULL) {
		reclaim(heap);
		*block = claim_any(heap, stripe, c);
	}
	if (*block == NULL)
		*block = take_slab(heap, stripe, c);
	if (*block == NULL) {
		grown = grow(heap, classes[c].units);
		if (grown == 0)
			*block = take_slab(heap, stripe, c);
		if (*block == NULL)
			*block = take_large(heap, classes[c].size, 1);
		if (*block == NULL)
			r = grown < 0 ? grown : -ENOMEM;
	}
	unlock(heap);
	return r;
}

static int alloc_small(brood_heap *heap, unsigned c, void **ret_block)
{
	struct stripe *stripe = stripe_of(heap);
	char *block;
	int r;

	block = claim(heap, stripe, c,
		      atomic_load_explicit(&stripe->current[c], memory_order_relaxed));
	/* Who meets others all the time gets a slab of its own. */
	if (block == NULL && atomic_load_explicit(&stripe->strife, memory_order_relaxed) < 64)
		block = claim_any(heap, stripe, c);
	if (block == NULL) {
		atomic_store_explicit(&stripe->strife, 0, memory_order_relaxed);
		r = alloc_slowly(heap, stripe, c, &block);
		if (r < 0)
			return r;
	}
	*ret_block = block;
	return 0;
}

static int alloc_large(brood_heap *heap, size_t size, size_t align, void **ret_block)
{
	int r = lock(heap);
	char *block;

	if (r < 0)
		return r;
	block = take_large(heap, size, align);
	if (block == NULL) {
		reclaim(heap);
		block = take_large(heap, size, align);
	}
	if (block == NULL) {
		r = grow(heap, (size + UNIT - 1) / UNIT + (align > UNIT ? align / UNIT - 1 : 0));
		if (r == 0)
			block = take_large(heap, size, align);
		if (r == 0 && block == NULL)
			r = -ENOMEM;
	}
	unlock(heap);
	if (r == 0)
		*ret_block = block;
	return r;
}

int brood_heap_alloc(brood_heap *heap, size_t size, void **ret_block)
{
	if (size - 1 < classes[CLASSES - 1].size)
		return alloc_small(heap, class_of(size), ret_block);
	if (size == 0)
		return -EINVAL;
	return size > MOST_BYTES ? -EFBIG : alloc_large(heap, size, 1, ret_block);
}

int brood_heap_alloc_aligned(brood_heap *heap, size_t size, size_t align, void **ret_block)
{
	unsigned c = 0;

	if (size == 0 || align == 0 || (align & (align - 1)) != 0 || align > PAGE)
		return -EINVAL;
	if (size > MOST_BYTES)
		return -EFBIG;
	if (align <= UNIT && size <= classes[CLASSES - 1].size) {
		c = class_of(size);
		while (c < CLASSES && classes[c].size % align != 0)
			c++;
	}
	/* Slabs begin at units, so a block is aligned as its size is. */
	if (align <= UNIT && size <= classes[CLASSES - 1].size && c < CLASSES)
		return alloc_small(heap, c, ret_block);
	return alloc_large(heap, size, align, ret_block);
}

/* The span of a block: its head, and the head's word; for a slab the number of the block. */
static int find_block(brood_heap *heap, const void *block, uint64_t *ret_unit, uint64_t *ret_word,
		      unsigned *ret_number)
{
	uintptr_t offset = (uintptr_t)block - (uintptr_t)heap->space;
	uint64_t unit = offset / UNIT, w;
	uint32_t inside, number;

	if ((uintptr_t)block < (uintptr_t)heap->space ||
	    unit >= atomic_load_explicit(&heap->t->units, memory_order_acquire))
		return -EFAULT;
	w = get(heap, unit);
	if (KIND(w) == BACK && COUNT(w) <= unit) {
		unit -= COUNT(w);
		w = get(heap, unit);
	}
	*ret_unit = unit;
	*ret_word = w;
	*ret_number = 0;
	if (KIND(w) == LARGE)
		return offset == unit * UNIT ? 0 : -EINVAL;
	if (KIND(w) < SLAB || KIND(w) >= SLAB + CLASSES)
		return -EINVAL;
	if (offset - unit * UNIT >= classes[KIND(w) - SLAB].units * UNIT)
		return -EINVAL;
	inside = (uint32_t)(offset - unit * UNIT);
	number = inside / classes[KIND(w) - SLAB].size;
	if (number * classes[KIND(w) - SLAB].size != inside ||
	    number >= classes[KIND(w) - SLAB].blocks || (COUNT(w) >> number & 1) == 0)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

static int free_large(brood_heap *heap, uint64_t unit)
{
	int r = lock(heap);
	uint64_t w;

	if (r < 0)
		return r;
	w = get(heap, unit);
	if (KIND(w) == LARGE)
		give(heap, unit, COUNT(w));
	else
		r = -EINVAL;
	unlock(heap);
	return r;
}

int brood_heap_free(brood_heap *heap, void *block)
{
	struct stripe *stripe;
	uint64_t unit, w;
	unsigned number, c;
	int r;

	if (block == NULL)
		return 0;
	r = find_block(heap, block, &unit, &w, &number);
	if (r < 0)
		return r;
	if (KIND(w) == LARGE)
		return free_large(heap, unit);
	c = KIND(w) - SLAB;
	while (!atomic_compare_exchange_strong(&heap->table[unit], &w,
					       w & ~MAKE(0, UINT64_C(1) << number)))
		if (KIND(w) != SLAB + c || (COUNT(w) >> number & 1) == 0)
			return -EINVAL;
	if (!has_room(w, c))
		hint_set(heap, c, unit);
	/* What was just used is in the cache: the next allocation takes it from here. */
	stripe = stripe_of(heap);
	atomic_store_explicit(&stripe->current[c], unit, memory_order_relaxed);
	return 0;
}

ssize_t brood_heap_size_of(brood_heap *heap, const void *block)
{
	uint64_t unit, w;
	unsigned number;
	int r = find_block(heap, block, &unit, &w, &number);

	if (r < 0)
		return r;
	return KIND(w) == LARGE ? (ssize_t)(COUNT(w) * UNIT) :
				  (ssize_t)classes[KIND(w) - SLAB].size;
}

/* ---- offsets and the root */

uint64_t brood_heap_offset(brood_heap *heap, const void *address)
{
	uint64_t offset = (uint64_t)((uintptr_t)address - (uintptr_t)heap->t);

	if ((uintptr_t)address < (uintptr_t)heap->space ||
	    offset >= heap->t->space + atomic_load(&heap->t->units) * UNIT)
		return 0;
	return offset;
}

void *brood_heap_at(brood_heap *heap, uint64_t offset)
{
	if (offset < heap->t->space ||
	    offset >= heap->t->space + atomic_load(&heap->t->units) * UNIT)
		return NULL;
	return (char *)heap->t + offset;
}

int brood_heap_set_root(brood_heap *heap, const void *block)
{
	uint64_t offset = brood_heap_offset(heap, block);

	if (block != NULL && offset == 0)
		return -EFAULT;
	atomic_store(&heap->t->root, offset);
	return 0;
}

void *brood_heap_root(brood_heap *heap)
{
	return brood_heap_at(heap, atomic_load(&heap->t->root));
}

/* ---- figures */

int brood_heap_count(brood_heap *heap, brood_heap_figures *ret_figures)
{
	brood_heap_figures figures = { .size = 0 };
	uint64_t units, w, n, last = INSIDE;
	int r = lock(heap);

	if (r < 0)
		return r;
	units = atomic_load(&heap->t->units);
	for (uint64_t unit = 0; unit < units && r == 0; unit += n, last = w) {
		w = get(heap, unit);
		n = length_of(w);
		if (n == 0 || n > units - unit || before(heap, unit + n) != unit ||
		    (KIND(w) == FREE &&
		     (KIND(last) == FREE || hint_find(heap, CLASSES + bin_of(n), unit) != unit))) {
			r = -EUCLEAN;
		} else if (KIND(w) == FREE) {
			figures.largest = n * UNIT > figures.largest ? n * UNIT : figures.largest;
		} else if (KIND(w) == LARGE) {
			figures.used += n * UNIT;
			figures.blocks++;
		} else {
			unsigned taken = (unsigned)__builtin_popcountll(COUNT(w));

			figures.used += (size_t)taken * classes[KIND(w) - SLAB].size;
			figures.blocks += taken;
		}
	}
	unlock(heap);
	if (r < 0)
		return r;
	figures.size = units * UNIT;
	figures.repaired = atomic_load(&heap->t->repaired);
	*ret_figures = figures;
	return 0;
}

/* ---- making and attaching */

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Where the tables of `most_units` are, and how large they are. */
static size_t place(brood_heap *heap, uint64_t most_units)
{
	size_t words = round_up(most_units, 8);

	heap->leaf_words = round_up((most_units + 63) / 64, 8);
	heap->summary_words = round_up((heap->leaf_words + 63) / 64, 8);
	heap->table = heap->t->table;
	heap->leaves = heap->table + words;
	heap->summaries = heap->leaves + ROWS * heap->leaf_words;
	return sizeof(struct tables) +
	       (words + ROWS * (heap->leaf_words + heap->summary_words)) * sizeof(word);
}

/* From the start of the data to the first page behind the tables. The data is at the same place of
 * its page in every process. */
static size_t space_behind(brood_heap *heap, size_t size)
{
	uintptr_t start = (uintptr_t)heap->t;

	return round_up(start + size, PAGE) - start;
}

static void free_heap(brood_heap *heap)
{
	brood_segment_unref(heap->segment);
	free(heap);
}

static void free_heapp(brood_heap **heap)
{
	if (*heap != NULL)
		free_heap(*heap);
}

static int make_handle(brood_segment *segment, brood_heap **ret_heap)
{
	brood_heap *heap;

	if (brood_segment_data(segment) == NULL)
		return -EBADF;
	if (bri_segment_is_read_only(segment))
		return -EPERM;
	heap = aligned_alloc(64, sizeof(*heap));
	if (heap == NULL)
		return -ENOMEM;
	memset(heap, 0, sizeof(*heap));
	heap->refs = 1;
	heap->segment = brood_segment_ref(segment);
	heap->t = brood_segment_data(segment);
	*ret_heap = heap;
	return 0;
}

int brood_heap_new(brood_segment *segment, brood_heap **ret_heap)
{
	bri_cleanup(free_heapp) brood_heap *heap = NULL;
	size_t reserve = brood_segment_reserve(segment), size, space;
	uint64_t most_units;
	int r = make_handle(segment, &heap);

	if (r < 0)
		return r;
	/* As many units as there were if the tables took nothing: some of their words stay unused. */
	most_units = reserve / UNIT;
	size = place(heap, most_units);
	space = space_behind(heap, size);
	if (space > reserve || reserve - space < LEAST_UNITS * UNIT)
		return -ENOSPC;
	r = brood_segment_grow(segment, space + LEAST_UNITS * UNIT);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOSPC;
	/* A heap that was there before is none any more when the first of its tables is wiped. */
	memset(heap->t->magic, 0, sizeof(magic));
	atomic_thread_fence(memory_order_release);
	bri_segment_zero(segment, size);
	heap->t->version = VERSION;
	heap->t->words = WORDS;
	heap->t->most_units = most_units;
	heap->t->space = space;
	heap->space = (char *)heap->t + space;
	r = brood_lock_init(&heap->t->lock);
	if (r == 0)
		r = grow(heap, LEAST_UNITS);
	if (r < 0)
		return r;
	atomic_thread_fence(memory_order_release);
	memcpy(heap->t->magic, magic, sizeof(magic));
	*ret_heap = bri_take(heap);
	return 0;
}

int brood_heap_attach(brood_segment *segment, brood_heap **ret_heap)
{
	bri_cleanup(free_heapp) brood_heap *heap = NULL;
	size_t size = brood_segment_size(segment), tables;
	int r = make_handle(segment, &heap);

	if (r < 0)
		return r;
	if (size < sizeof(struct tables) || memcmp(heap->t->magic, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	atomic_thread_fence(memory_order_acquire);
	if (heap->t->version != VERSION || heap->t->words != WORDS)
		return -EPROTONOSUPPORT;
	if (heap->t->most_units > MOST_BYTES / UNIT)
		return -EBADMSG;
	tables = place(heap, heap->t->most_units);
	if (heap->t->space != space_behind(heap, tables))
		return -EBADMSG;
	if (atomic_load(&heap->t->units) > units_in(heap, size))
		return -ENODATA;
	r = brood_lock_owner(&heap->t->lock);
	if (r < 0)
		return r == -EINVAL ? -EPROTONOSUPPORT : r;
	heap->space = (char *)heap->t + heap->t->space;
	*ret_heap = bri_take(heap);
	return 0;
}

brood_heap *brood_heap_ref(brood_heap *heap)
{
	atomic_fetch_add(&heap->refs, 1);
	return heap;
}

brood_heap *brood_heap_unref(brood_heap *heap)
{
	if (heap != NULL && atomic_fetch_sub(&heap->refs, 1) == 1)
		free_heap(heap);
	return NULL;
}
