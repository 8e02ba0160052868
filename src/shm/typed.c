/* A type is its size, whether it has a sign, and whether it is floating; an integer in memory is
 * handled as the 64 bits that it stands for. */
#include "shm/typed.h"

#include <brood/value.h>
#include <errno.h>
#include <string.h>
#include <wchar.h>

#define IS_SIGNED(type) ((type)-1 < (type)1)

static const struct type {
	char code;
	unsigned char size;
	bool is_signed, is_real;
} types[] = {
	{ '?', 1, false, false },
	{ 'c', 1, IS_SIGNED(char), false },
	{ 'b', 1, true, false },
	{ 'B', 1, false, false },
	{ 'h', sizeof(short), true, false },
	{ 'H', sizeof(short), false, false },
	{ 'i', sizeof(int), true, false },
	{ 'I', sizeof(int), false, false },
	{ 'l', sizeof(long), true, false },
	{ 'L', sizeof(long), false, false },
	{ 'q', sizeof(long long), true, false },
	{ 'Q', sizeof(long long), false, false },
	{ 'u', sizeof(wchar_t), IS_SIGNED(wchar_t), false },
	{ 'f', sizeof(float), true, true },
	{ 'd', sizeof(double), true, true },
};

static const struct type *type_of(char code)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].code == code)
			return &types[i];
	return NULL;
}

int brood_type_size(char type)
{
	const struct type *known = type_of(type);

	return known != NULL ? known->size : -EINVAL;
}

/* The bits in memory, not extended. */
static uint64_t load(const struct type *type, const void *at)
{
	switch (type->size) {
	case 1:
		return __atomic_load_n((const uint8_t *)at, __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_load_n((const uint16_t *)at, __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_load_n((const uint32_t *)at, __ATOMIC_SEQ_CST);
	default:
		return __atomic_load_n((const uint64_t *)at, __ATOMIC_SEQ_CST);
	}
}

static void store(const struct type *type, void *at, uint64_t bits)
{
	switch (type->size) {
	case 1:
		__atomic_store_n((uint8_t *)at, (uint8_t)bits, __ATOMIC_SEQ_CST);
		break;
	case 2:
		__atomic_store_n((uint16_t *)at, (uint16_t)bits, __ATOMIC_SEQ_CST);
		break;
	case 4:
		__atomic_store_n((uint32_t *)at, (uint32_t)bits, __ATOMIC_SEQ_CST);
		break;
	default:
		__atomic_store_n((uint64_t *)at, bits, __ATOMIC_SEQ_CST);
	}
}

static uint64_t add(const struct type *type, void *at, uint64_t more)
{
	switch (type->size) {
	case 1:
		return __atomic_add_fetch((uint8_t *)at, (uint8_t)more, __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_add_fetch((uint16_t *)at, (uint16_t)more, __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_add_fetch((uint32_t *)at, (uint32_t)more, __ATOMIC_SEQ_CST);
	default:
		return __atomic_add_fetch((uint64_t *)at, more, __ATOMIC_SEQ_CST);
	}
}

/* Compare-and-swap of the bits; *old is what was seen. */
static bool swap(const struct type *type, void *at, uint64_t *old, uint64_t bits)
{
	uint8_t one = (uint8_t)*old;
	uint16_t two = (uint16_t)*old;
	uint32_t four = (uint32_t)*old;
	bool done;

	switch (type->size) {
	case 1:
		done = __atomic_compare_exchange_n((uint8_t *)at, &one, (uint8_t)bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		*old = one;
		return done;
	case 2:
		done = __atomic_compare_exchange_n((uint16_t *)at, &two, (uint16_t)bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		*old = two;
		return done;
	case 4:
		done = __atomic_compare_exchange_n((uint32_t *)at, &four, (uint32_t)bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		*old = four;
		return done;
	default:
		return __atomic_compare_exchange_n((uint64_t *)at, old, bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

static uint64_t extend(const struct type *type, uint64_t bits)
{
	unsigned rest = 64 - 8u * type->size;

	if (type->is_signed)
		return (uint64_t)((int64_t)(bits << rest) >> rest);
	return bits << rest >> rest;
}

static double real_of(const struct type *type, uint64_t bits)
{
	uint32_t half = (uint32_t)bits;
	double wide;
	float narrow;

	if (type->size == sizeof(float)) {
		memcpy(&narrow, &half, sizeof(narrow));
		return (double)narrow;
	}
	memcpy(&wide, &bits, sizeof(wide));
	return wide;
}

static uint64_t bits_of(const struct type *type, double number)
{
	float narrow = (float)number;
	uint32_t half;
	uint64_t bits;

	if (type->size == sizeof(float)) {
		memcpy(&half, &narrow, sizeof(half));
		return half;
	}
	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

int bri_typed_get_int(char type, const void *at, int64_t *ret_number)
{
	const struct type *known = type_of(type);
	uint64_t bits;

	if (known == NULL)
		return -EINVAL;
	bits = load(known, at);
	if (known->is_real)
		return -EDOM;
	if (!known->is_signed && extend(known, bits) > INT64_MAX)
		return -ERANGE;
	*ret_number = (int64_t)extend(known, bits);
	return 0;
}

int bri_typed_get_uint(char type, const void *at, uint64_t *ret_number)
{
	const struct type *known = type_of(type);
	uint64_t bits;

	if (known == NULL)
		return -EINVAL;
	bits = load(known, at);
	if (known->is_real)
		return -EDOM;
	if (known->is_signed && (int64_t)extend(known, bits) < 0)
		return -ERANGE;
	*ret_number = extend(known, bits);
	return 0;
}

int bri_typed_get_double(char type, const void *at, double *ret_number)
{
	const struct type *known = type_of(type);
	uint64_t bits;

	if (known == NULL)
		return -EINVAL;
	bits = load(known, at);
	if (known->is_real)
		*ret_number = real_of(known, bits);
	else if (known->is_signed)
		*ret_number = (double)(int64_t)extend(known, bits);
	else
		*ret_number = (double)extend(known, bits);
	return 0;
}

/* Whether the integer type has this number, given as its 64 bits and its sign. */
static bool fits(const struct type *type, uint64_t bits, bool negative)
{
	if (type->code == '?')
		return bits <= 1;
	if (negative && !type->is_signed)
		return false;
	if (!negative && type->is_signed && bits > INT64_MAX)
		return false;
	return extend(type, bits) == bits;
}

static int set(char type, void *at, uint64_t bits, bool negative)
{
	const struct type *known = type_of(type);

	if (known == NULL)
		return -EINVAL;
	if (known->is_real)
		bits = bits_of(known, negative ? (double)(int64_t)bits : (double)bits);
	else if (!fits(known, bits, negative))
		return -ERANGE;
	store(known, at, bits);
	return 0;
}

int bri_typed_set_int(char type, void *at, int64_t number)
{
	return set(type, at, (uint64_t)number, number < 0);
}

int bri_typed_set_uint(char type, void *at, uint64_t number)
{
	return set(type, at, number, false);
}

int bri_typed_set_double(char type, void *at, double number)
{
	const struct type *known = type_of(type);

	if (known == NULL)
		return -EINVAL;
	if (!known->is_real)
		return -EDOM;
	store(known, at, bits_of(known, number));
	return 0;
}

int bri_typed_add(char type, void *at, int64_t more, int64_t *ret_sum)
{
	const struct type *known = type_of(type);
	uint64_t sum;

	if (known == NULL)
		return -EINVAL;
	if (known->is_real || type == '?')
		return -EDOM;
	sum = extend(known, add(known, at, (uint64_t)more));
	if (ret_sum != NULL)
		*ret_sum = (int64_t)sum;
	return 0;
}

int bri_typed_add_double(char type, void *at, double more, double *ret_sum)
{
	const struct type *known = type_of(type);
	uint64_t old;

	if (known == NULL)
		return -EINVAL;
	old = load(known, at);
	if (!known->is_real)
		return -EDOM;
	while (!swap(known, at, &old, bits_of(known, real_of(known, old) + more)))
		;
	if (ret_sum != NULL)
		*ret_sum = real_of(known, bits_of(known, real_of(known, old) + more));
	return 0;
}

int bri_typed_replace(char type, void *at, int64_t expected, int64_t number, int64_t *ret_seen)
{
	const struct type *known = type_of(type);
	uint64_t seen = (uint64_t)expected;

	if (known == NULL)
		return -EINVAL;
	if (known->is_real || type == '?')
		return -EDOM;
	if (!fits(known, (uint64_t)number, number < 0))
		return -ERANGE;
	/* What the type cannot be, it is not. */
	if (fits(known, seen, expected < 0)) {
		if (swap(known, at, &seen, (uint64_t)number))
			return 1;
	} else {
		seen = load(known, at);
	}
	if (ret_seen != NULL)
		*ret_seen = (int64_t)extend(known, seen);
	return 0;
}
