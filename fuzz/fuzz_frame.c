/* A stream of any bytes, cut anywhere: the messages in it are the same as when it comes in one piece,
 * and each head that was taken is the one that is written for its length, or the long form of it. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 1000

struct seen {
	size_t messages, bytes, end; /* the end: where the last whole message ends */
	int error;
};

/* Reads the stream in pieces of `part` bytes, or as a reader who asks how many are wanted (0). */
static struct seen read_all(const uint8_t *data, size_t size, size_t part)
{
	struct seen seen = { .messages = 0 };
	size_t at = 0;

	for (;;) {
		struct bri_frame frame;
		uint8_t head[BRI_FRAME_HEAD_MOST];
		size_t start = at, n;
		brood_fail fail = { 0 };

		bri_frame_begin(&frame, MOST);
		while ((n = bri_frame_wants(&frame)) > 0 && at < size) {
			size_t some = part > 0 ? part : n;
			ssize_t used = bri_frame_feed(&frame, data + at,
						      some < size - at ? some : size - at, &fail);

			if (used < 0) {
				if (fail.error != -used || fail.text[0] == '\0' ||
				    bri_frame_wants(&frame) != 0)
					abort();
				seen.error = fail.error;
				return seen;
			}
			if (used == 0 || (size_t)used > n + 8)
				abort();
			at += (size_t)used;
		}
		if (n > 0 || frame.size > size - at) {
			seen.error = -bri_frame_end(&frame, n > 0 ? 0 : size - at, NULL);
			if ((seen.error == 0) != (at == start))
				abort();
			return seen;
		}
		if (frame.size > MOST)
			abort();
		if (at - start == bri_frame_head(frame.size, head) &&
		    memcmp(data + start, head, at - start) != 0)
			abort();
		at += frame.size;
		seen.messages++;
		seen.bytes += frame.size;
		seen.end = at;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = read_all(data, size, SIZE_MAX);

	for (size_t part = 0; part < 14; part++) {
		struct seen cut = read_all(data, size, part);

		if (cut.messages != whole.messages || cut.bytes != whole.bytes ||
		    cut.end != whole.end || cut.error != whole.error)
			abort();
	}
	return 0;
}
