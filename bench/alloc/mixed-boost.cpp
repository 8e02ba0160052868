// alloc.mixed on Boost.Interprocess: rbtree_best_fit in a managed segment under its default mutex.
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>

#include "mixed.h"

namespace ipc = boost::interprocess;

// The buffer is anonymous shared memory instead of a name in /dev/shm: nothing to remove. The memory algorithm and
// its lock are those of managed_shared_memory.
using managed = ipc::basic_managed_external_buffer<char, ipc::rbtree_best_fit<ipc::mutex_family>,
						   ipc::iset_index>;

static managed *heap;

static void *take(size_t size)
{
	return heap->allocate(size);
}

static void drop(void *block)
{
	heap->deallocate(block);
}

int main(int argc, char **argv)
{
	void *memory =
		mmap(NULL, SEGMENT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 1;
	managed made(ipc::create_only, memory, SEGMENT);
	heap = &made;
	return mixed_main(argc, argv);
}
