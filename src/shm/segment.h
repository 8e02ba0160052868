/* shm/segment.h - of segments: what heaps and lists ask, and what tests turn */
#ifndef SHM_SEGMENT_H
#define SHM_SEGMENT_H

#include <brood/segment.h>

extern struct bri_segment_hooks {
	uint64_t (*number)(void); /* NULL: a random one */
	bool no_tmpfile;          /* as on a system that has no O_TMPFILE */
} bri_segment_hooks;

bool bri_segment_is_read_only(const brood_segment *segment);
bool bri_segment_is_raw(const brood_segment *segment);

/* Zeroes the first `size` bytes of the data; of memory that was never touched none is used. */
void bri_segment_zero(brood_segment *segment, size_t size);

#endif
