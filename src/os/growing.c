#include "os/growing.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define ON_HEAP ((size_t)1 << 20)
#define SMALLEST ((size_t)256)

/* Address space of `room` bytes that begins at a multiple of HUGE_PAGE, without memory yet. */
static char *aligned_space(size_t room)
{
	char *space, *first;
	size_t before;

	if (room > SIZE_MAX - HUGE_PAGE)
		return NULL;
	space = mmap(NULL, room + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	if (space == MAP_FAILED)
		return NULL;
	first = (char *)(((uintptr_t)space + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	before = (size_t)(first - space);
	if (before > 0)
		munmap(space, before);
	if (HUGE_PAGE > before)
		munmap(first + room, HUGE_PAGE - before);
	return first;
}

static int move_to_mapping(struct bri_growing *bytes, size_t room)
{
	char *space = aligned_space(room);

	if (space == NULL)
		return -ENOMEM;
	if (mprotect(space, room, PROT_READ | PROT_WRITE) < 0) {
		munmap(space, room);
		return -ENOMEM;
	}
	madvise(space, room, MADV_HUGEPAGE); /* refused where there are none: small ones do */
	if (bytes->size > 0)
		memcpy(space, bytes->data, bytes->size);
	free(bytes->data);
	bytes->data = space;
	bytes->mapped = true;
	return 0;
}

static int grow_mapping(struct bri_growing *bytes, size_t room)
{
	char *space = aligned_space(room);

	if (space == NULL)
		return -ENOMEM;
	if (mremap(bytes->data, bytes->room, room, MREMAP_MAYMOVE | MREMAP_FIXED, space) ==
	    MAP_FAILED)
		return -ENOMEM; /* it may have freed the space, which may be another thread's by now */
	bytes->data = space;
	return 0;
}

static int grow_heap(struct bri_growing *bytes, size_t room)
{
	char *data = realloc(bytes->data, room);

	if (data == NULL)
		return -ENOMEM;
	bytes->data = data;
	return 0;
}

int bri_growing_reserve(struct bri_growing *bytes, size_t more)
{
	size_t needed, room;
	int r;

	if (more > SIZE_MAX / 4 - bytes->size)
		return -ENOMEM;
	needed = bytes->size + more + 1;
	if (needed <= bytes->room)
		return 0;
	room = bytes->room < SMALLEST ? SMALLEST : bytes->room;
	while (room < needed)
		room *= 2;
	if (room <= ON_HEAP) {
		r = grow_heap(bytes, room);
	} else {
		room = room < 2 * HUGE_PAGE ? 2 * HUGE_PAGE : room;
		r = bytes->mapped ? grow_mapping(bytes, room) : move_to_mapping(bytes, room);
	}
	if (r == 0)
		bytes->room = room;
	return r;
}

int bri_growing_append(struct bri_growing *bytes, const void *from, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	r = bri_growing_reserve(bytes, n);
	if (r < 0)
		return r;
	memcpy(bytes->data + bytes->size, from, n);
	bytes->size += n;
	return 0;
}

void bri_growing_drop(struct bri_growing *bytes, size_t n)
{
	bytes->size -= n;
	if (n > 0 && bytes->size > 0)
		memmove(bytes->data, bytes->data + n, bytes->size);
}

const char *bri_growing_text(struct bri_growing *bytes)
{
	if (bytes->data == NULL)
		return "";
	bytes->data[bytes->size] = '\0';
	return bytes->data;
}

void bri_growing_fini(struct bri_growing *bytes)
{
	if (bytes->mapped)
		munmap(bytes->data, bytes->room);
	else
		free(bytes->data);
	*bytes = (struct bri_growing){ .data = NULL };
}
