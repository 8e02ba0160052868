/* brood/heap.h - allocate and free inside a segment, from any process
 *
 *	struct task {
 *		int number;
 *	} *task;
 *	brood_segment *segment;
 *	brood_heap *heap;
 *	void *block;
 *
 *	if (brood_segment_new(1 << 20, &(brood_segment_opts){ .reserve = 1 << 30 }, &segment) < 0 ||
 *	    brood_heap_new(segment, &heap) < 0 || brood_heap_alloc(heap, sizeof(*task), &block) < 0)
 *		…
 *	task = block;
 *	task->number = 7;
 *	brood_heap_set_root(heap, task);
 *
 * One process makes the heap; the others attach to it (brood_heap_attach), and begin at its root.
 *
 * A process that is killed at any instruction, inside of these calls too, leaves each block either
 * allocated or free, never both and never in between, and the heap usable by the others without any
 * delay. (What was allocated by a process that died before it told anybody where stays allocated:
 * nobody else can know whose it is.) Blocks of up to 8 KiB are taken and given back by one
 * compare-and-swap each; larger ones, and the space for new groups of small ones, are cut out under
 * an internal robust lock.
 *
 * Addresses are this process's: share brood_heap_offset(), and turn it back with brood_heap_at().
 *
 * Space: the tables take about 2 % of the segment's reserve. Small blocks come in groups of one
 * size, which a group that has become empty gives back when something else needs the space. A
 * segment with a reserve grows by itself, at least doubling.
 *
 * Threads: any call from any thread.
 * Fork: a forked child has the same addresses and may use the handle.
 * Place: all users must be in one PID namespace and have the same C library, as with any lock of
 * brood (lock.h).
 * Trust: who can write to the segment can break the heap for all; freeing twice is told, not
 * suffered. */
#ifndef BROOD_HEAP_H
#define BROOD_HEAP_H

#include <brood/segment.h>

BROOD_BEGIN_DECLS

typedef struct brood_heap brood_heap;

/** Make all of `segment` a heap, with nothing allocated. What was in it is lost.
 * Returns: 0, and a handle in *ret_heap.
 * Errors:  -ENOSPC: too small for the tables, and it cannot grow; -EBADF: closed; -EPERM:
 *          read-only; -ENOMEM.
 * Owns:    the caller, until brood_heap_unref(); the heap holds a reference to the segment.
 * Safe:    threads. One process formats; it lets others attach only afterwards, or they get
 *          -EBADMSG. */
BROOD_API int brood_heap_new(brood_segment *segment, brood_heap **ret_heap);

/** Use the heap that somebody made of this segment.
 * Returns: 0, and a handle in *ret_heap.
 * Errors:  -EBADMSG: no heap, or not complete; -EPROTONOSUPPORT: another version or C library;
 *          -ENODATA: the segment is smaller than its heap; -EXDEV, -ENOTSUP: its lock is not for us
 *          (lock.h); -EBADF: closed; -EPERM: read-only; -ENOMEM.
 * Owns:    the caller, until brood_heap_unref(); the heap holds a reference to the segment.
 * Safe:    threads, processes. */
BROOD_API int brood_heap_attach(brood_segment *segment, brood_heap **ret_heap);

/** Take another reference to the handle.
 * Returns: `heap`.
 * Errors:  none.
 * Owns:    the caller, until brood_heap_unref().
 * Safe:    threads, processes. */
BROOD_API brood_heap *brood_heap_ref(brood_heap *heap);

/** Give a reference to the handle back; the heap itself lives as long as its segment. NULL is fine.
 * Returns: NULL.
 * Errors:  none.
 * Owns:    nothing any more.
 * Safe:    threads, processes. */
BROOD_API brood_heap *brood_heap_unref(brood_heap *heap);

/** Allocate at least `size` bytes, aligned to 16. Not zeroed.
 * Returns: 0, and the block in *ret_block.
 * Errors:  -EINVAL: size 0; -EFBIG: more than 2^46; -ENOMEM: no room, and the segment cannot grow;
 *          -ENOSPC: /dev/shm is full; -EDEADLK: in a signal handler that interrupted such a call;
 *          -ENOLCK: as brood_lock_acquire().
 * Owns:    whoever frees it, in whichever process.
 * Safe:    threads, processes, SIGKILL at any instruction; not in signal handlers. */
BROOD_API int brood_heap_alloc(brood_heap *heap, size_t size, void **ret_block);

/** The same, aligned to `align`: a power of two up to 4096.
 * Returns: 0, and the block in *ret_block.
 * Errors:  as brood_heap_alloc(); -EINVAL: another alignment.
 * Owns:    whoever frees it.
 * Safe:    as brood_heap_alloc(). */
BROOD_API int brood_heap_alloc_aligned(brood_heap *heap, size_t size, size_t align,
				       void **ret_block);

/** Free a block, whoever allocated it. NULL is fine.
 * Returns: 0.
 * Errors:  -EINVAL: not the start of a block, or it is free already; -EFAULT: not in this heap;
 *          -EDEADLK.
 * Owns:    nothing any more.
 * Safe:    as brood_heap_alloc(). */
BROOD_API int brood_heap_free(brood_heap *heap, void *block);

/** How many bytes the block really has.
 * Returns: the size.
 * Errors:  -EINVAL, -EFAULT as brood_heap_free().
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API ssize_t brood_heap_size_of(brood_heap *heap, const void *block);

/** The same place for all processes. 0 stands for NULL and is nobody's place.
 * Returns: the offset; 0 for NULL and for an address outside of the heap.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API uint64_t brood_heap_offset(brood_heap *heap, const void *address);

/** The address of an offset in this process.
 * Returns: the address; NULL for 0 and for an offset outside of the heap.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API void *brood_heap_at(brood_heap *heap, uint64_t offset);

/** Name the block from which all others are found; NULL: none. One store, seen whole by all.
 * Returns: 0.
 * Errors:  -EFAULT: not in this heap.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API int brood_heap_set_root(brood_heap *heap, const void *block);

/** The block that was named root.
 * Returns: its address; NULL: none was named.
 * Errors:  none.
 * Owns:    nothing.
 * Safe:    threads, processes, signal handlers. */
BROOD_API void *brood_heap_root(brood_heap *heap);

/** What a heap holds. Plain data. */
typedef struct brood_heap_figures {
	size_t size;     /* bytes for blocks, now */
	size_t used;     /* in allocated blocks */
	size_t blocks;   /* how many */
	size_t largest;  /* the largest block that fits without growing */
	size_t repaired; /* how often a lock's owner had died */
} brood_heap_figures;

/** Count what is allocated, and check all tables on the way.
 * Returns: 0, and the figures in *ret_figures; exact when nobody else is at work.
 * Errors:  -EUCLEAN: the tables contradict each other; -EDEADLK.
 * Owns:    nothing.
 * Safe:    threads, processes; not in signal handlers. Looks at every group: for tests and reports.
 *          */
BROOD_API int brood_heap_count(brood_heap *heap, brood_heap_figures *ret_figures);

BROOD_END_DECLS
#endif
