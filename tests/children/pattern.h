/* pattern.h - bytes that tell where they belong: a lost, doubled or moved one is seen */
#ifndef TESTS_CHILDREN_PATTERN_H
#define TESTS_CHILDREN_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Byte `at` of it. All values occur, NUL and newline too. */
static inline char pattern(size_t at)
{
	uint64_t mixed = (at + 1) * UINT64_C(0x9e3779b97f4a7c15);

	return (char)(mixed >> 40);
}

#endif
