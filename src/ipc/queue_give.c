/* Memory of a large ring is given back behind the getters, so that a queue uses what its messages need, and not all that they
 * have ever passed. The invariant:
 *
 *	The ring is at least twice the limit of bytes. No putter writes at a position from G + bytes on, where G is how far
 *	the getting side has come, or in an earlier time had; G does not change while we operate the getting side. So
 *	what lies in [G + bytes - ring, G) is read by nobody any more, and the next time that somebody writes to its place
 *	is at [G + bytes, G + ring), for which G must have grown.
 *
 * It is given back after the commit that passed it: who is killed before has taken nothing, and who is killed after leaves
 * `given` behind, and the next one gives the same once more. As much as the messages of one step can have is in
 * those bounds, since they are at most `bytes`, which is why it is twice.
 *
 * A queue that is filled to more than half is about to use the memory again, and keeps it; what was left is caught up with
 * some blocks at a time when it has emptied. Named queues keep it: theirs was allocated beforehand. */
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/queue_side.h"

/* At a time, beside what was passed: others wait for the side meanwhile. */
#define MOST_BLOCKS 8

/* Whole pages of a part of the ring. That it may fail costs memory and nothing else. */
static void give_part(const brood_queue *queue, uint64_t at, uint64_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)queue->ring + at + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t)queue->ring + at + size) & ~(page - 1);

	if (from < to)
		(void)madvise((void *)from, to - from, MADV_REMOVE);
}

static void give(const brood_queue *queue, uint64_t from, uint64_t to)
{
	uint64_t at = from & queue->mask, size = to - from, left = queue->mask + 1 - at;

	give_part(queue, at, size < left ? size : left);
	if (size > left)
		give_part(queue, 0, size - left);
}

void bri_queue_give_back(const brood_queue *queue, uint64_t before, uint64_t bytes)
{
	/* Blocks end where pages do, in all processes alike. */
	uint64_t block = UINT64_C(1) << queue->giving, ring = queue->mask + 1;
	uint64_t skew = (uintptr_t)queue->ring & ((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	uint64_t from = bytes + queue->bytes > ring ? bytes + queue->bytes - ring : 0;
	uint64_t to = ((bytes + skew) & ~(block - 1)) - skew;
	struct bri_side *get = &queue->memory->get;

	if (bri_side_look(&queue->memory->put).bytes - bytes > queue->bytes / 2)
		return;
	if (from < get->given)
		from = get->given;
	if (bytes + skew < block || from >= to ||
	    to - from > ring) /* the last: written over by somebody */
		return;
	if (to - from > bytes - before + MOST_BLOCKS * block)
		to = from + ((bytes - before) & ~(block - 1)) + MOST_BLOCKS * block;
	give(queue, from, to);
	get->given = to;
}
