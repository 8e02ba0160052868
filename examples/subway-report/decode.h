/* decode.h - between picture.c and the decoders
 *
 * Both decoding libraries leave by longjmp() when input is broken. A decoder keeps that to
 * itself: it returns like any function, and has freed all that it took. */
#ifndef SUBWAY_REPORT_DECODE_H
#define SUBWAY_REPORT_DECODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meter.h"
#include "picture.h"

struct decoding {
	const unsigned char *data;
	size_t size;

	struct meter meter; /* gets the size and every row */
	unsigned long n_warnings;
	char warning[PICTURE_MESSAGE_SIZE]; /* the first */
	char error[PICTURE_MESSAGE_SIZE];   /* when the decoder returned false */
};

bool decode_jpeg(struct decoding *decoding);
bool decode_png(struct decoding *decoding);

/** meter_begin() for the decoders: on failure the reason is in decoding->error. */
bool decode_begin(struct decoding *decoding, uint32_t width, uint32_t height);

/** Count a warning, and keep its text if it is the first. */
void decode_warn(struct decoding *decoding, const char *text);

/** Keep why decoding ends. */
void decode_fail(struct decoding *decoding, const char *text);

#endif
