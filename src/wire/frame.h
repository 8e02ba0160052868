/* wire/frame.h - the head of a message, as CPython's multiprocessing.connection has it
 *
 *	int32, big-endian: n, 0 to 2^31 - 1		and n bytes
 *	int32: -1; uint64, big-endian: n		and n bytes
 *
 * The writer takes the long form only for what the short one cannot say, the reader takes either for
 * any n. An empty message is a message. The reader never asks for more than the head's bytes,
 * so that whoever reads on, another process perhaps, finds the stream between two messages:
 *
 *	bri_frame_begin(&frame, most);
 *	while ((n = bri_frame_wants(&frame)) > 0) {
 *		got = read(fd, bytes, n);
 *		if (got == 0)
 *			return bri_frame_end(&frame, 0, fail);
 *		r = bri_frame_feed(&frame, bytes, got, fail);
 *		if (r < 0)
 *			return r;
 *	}
 *
 * and then frame.size bytes are the message. Pure functions; nothing to free. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <brood/base.h>

#define BRI_FRAME_HEAD_MOST 12         /* bytes of the longest head */
#define BRI_FRAME_SHORT_MOST INT32_MAX /* the largest message with a short one */
#define BRI_FRAME_MOST INT64_MAX       /* the largest message at all; no memory holds more */

/* A head on its way in. */
struct bri_frame {
	uint64_t most; /* the largest message to be accepted */
	uint64_t size; /* of the message; known when bri_frame_wants() is 0 */
	int error;     /* why the stream is beyond use, or 0 */
	unsigned char n_head;
	unsigned char head[BRI_FRAME_HEAD_MOST];
};

/* Writes the head of a message of `size` bytes, at most BRI_FRAME_MOST, and returns its length: 4 or
 * 12. */
size_t bri_frame_head(uint64_t size, unsigned char ret_head[BRI_FRAME_HEAD_MOST]);

/* A new message is to come, of `most` bytes at most; UINT64_MAX: no limit but BRI_FRAME_MOST. */
void bri_frame_begin(struct bri_frame *frame, uint64_t most);

/* How many bytes of the head are missing for sure: 0, all have come. After an error 0, too. */
size_t bri_frame_wants(const struct bri_frame *frame);

/* The next `n` bytes of the stream. Returns how many of them were the head's, 0 if it has come
 * already; what is behind them is the message. -EPROTO: a negative length; -EMSGSIZE: more than `most`,
 * nothing of the message is to be read. After either the stream is of no use for reading, and the
 * same error comes for each further call. */
ssize_t bri_frame_feed(struct bri_frame *frame, const void *bytes, size_t n, brood_fail *fail);

/* The stream ended when `got` bytes of the message itself had come. Returns 0 if that was between
 * two messages, or -ECONNRESET: in the midst of one. */
int bri_frame_end(const struct bri_frame *frame, uint64_t got, brood_fail *fail);

#endif
