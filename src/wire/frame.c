/* The head is collected before it is looked at; after four bytes it is known whether eight more
 * belong to it. An error stays: behind a head that makes no sense nobody knows where the next is. */
#include "wire/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/fail.h"

#define SHORT_HEAD 4

static void put_big(unsigned char *at, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)(value >> (8 * (n - 1 - i)));
}

static uint64_t get_big(const unsigned char *at, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value = value << 8 | at[i];
	return value;
}

size_t bri_frame_head(uint64_t size, unsigned char ret_head[BRI_FRAME_HEAD_MOST])
{
	if (size <= BRI_FRAME_SHORT_MOST) {
		put_big(ret_head, SHORT_HEAD, size);
		return SHORT_HEAD;
	}
	memset(ret_head, 0xff, SHORT_HEAD);
	put_big(ret_head + SHORT_HEAD, 8, size);
	return BRI_FRAME_HEAD_MOST;
}

void bri_frame_begin(struct bri_frame *frame, uint64_t most)
{
	*frame = (struct bri_frame){ .most = most < BRI_FRAME_MOST ? most : BRI_FRAME_MOST };
}

static bool is_long(const struct bri_frame *frame)
{
	return get_big(frame->head, SHORT_HEAD) == UINT32_MAX;
}

size_t bri_frame_wants(const struct bri_frame *frame)
{
	if (frame->error != 0)
		return 0;
	if (frame->n_head < SHORT_HEAD)
		return SHORT_HEAD - (size_t)frame->n_head;
	return is_long(frame) ? BRI_FRAME_HEAD_MOST - (size_t)frame->n_head : 0;
}

/* The head is complete. */
static int understand(struct bri_frame *frame, brood_fail *fail)
{
	uint64_t size = get_big(frame->head, SHORT_HEAD);

	if (frame->n_head == BRI_FRAME_HEAD_MOST)
		size = get_big(frame->head + SHORT_HEAD, 8);
	else if (size > BRI_FRAME_SHORT_MOST)
		return bri_fail(fail, "frame", EPROTO, "a message of %" PRId64 " bytes",
				(int64_t)size - ((int64_t)UINT32_MAX + 1));
	if (size > frame->most)
		return bri_fail(fail, "frame", EMSGSIZE,
				"a message of %" PRIu64 " bytes, %" PRIu64 " at most", size,
				frame->most);
	frame->size = size;
	return 0;
}

ssize_t bri_frame_feed(struct bri_frame *frame, const void *bytes, size_t n, brood_fail *fail)
{
	size_t used = 0, wants;

	if (frame->error != 0)
		return bri_fail(fail, "frame", frame->error, "an earlier length was wrong");
	while (used < n && (wants = bri_frame_wants(frame)) > 0) {
		size_t part = n - used < wants ? n - used : wants;

		memcpy(frame->head + frame->n_head, (const char *)bytes + used, part);
		frame->n_head = (unsigned char)(frame->n_head + part);
		used += part;
		if (bri_frame_wants(frame) == 0)
			frame->error = -understand(frame, fail);
		if (frame->error != 0)
			return -frame->error;
	}
	return (ssize_t)used;
}

int bri_frame_end(const struct bri_frame *frame, uint64_t got, brood_fail *fail)
{
	if (frame->n_head == 0)
		return 0;
	if (frame->error != 0)
		return bri_fail(fail, "frame", frame->error, "an earlier length was wrong");
	if (bri_frame_wants(frame) > 0)
		return bri_fail(fail, "frame", ECONNRESET, "the stream ended in a message's head");
	if (got >= frame->size)
		return 0;
	return bri_fail(fail, "frame", ECONNRESET,
			"the stream ended after %" PRIu64 " of a message's %" PRIu64 " bytes", got,
			frame->size);
}
