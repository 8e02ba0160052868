/* alloc.mixed on brood's heap. */
#include <brood/heap.h>

#include "mixed.h"

static brood_heap *heap;

static void *take(size_t size)
{
	void *block;

	if (brood_heap_alloc(heap, size, &block) < 0)
		abort();
	return block;
}

static void drop(void *block)
{
	if (brood_heap_free(heap, block) < 0)
		abort();
}

int main(int argc, char **argv)
{
	brood_segment *segment;

	if (brood_segment_new(SEGMENT, NULL, &segment) < 0 || brood_heap_new(segment, &heap) < 0)
		return 1;
	return mixed_main(argc, argv);
}
