/* picture.h - what a picture is worth: its bytes in, its measures out
 *
 * A pure function: no file, no network, no state, no output. It can be tested and fuzzed with
 * nothing but bytes. Luma is that of JPEG (ITU-R BT.601 on the encoded values, 8 bits) for PNG
 * too, so that the measures of both compare; alpha is ignored. */
#ifndef SUBWAY_REPORT_PICTURE_H
#define SUBWAY_REPORT_PICTURE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meter.h"

#define PICTURE_MESSAGE_SIZE 200

/* From where on a picture is said to be dark, overexposed or blurred. They are starting points
 * for cameras that look at painted metal from a fixed place. Sharpness falls with resolution,
 * and with the square of the light: a dark picture is not judged by it. */
#define PICTURE_DARK_BELOW 50.0         /* brightness */
#define PICTURE_OVEREXPOSED_ABOVE 205.0 /* brightness */
#define PICTURE_BLURRED_BELOW 100.0     /* sharpness */

struct picture {
	const char *format; /* "jpeg" or "png" */
	uint32_t width, height;
	struct measures measures;
	bool dark, overexposed, blurred;

	/* A broken JPEG still gives a picture, with grey where data lack: it is measured, but
	 * its measures are those of what was left. PNG has checksums; a broken one is refused. */
	bool damaged;
	unsigned long n_warnings;           /* of the decoder */
	char warning[PICTURE_MESSAGE_SIZE]; /* the first of them */
};

/** Decode and measure the picture in `size` bytes at `data`, a JPEG or PNG by its first bytes.
 * Returns: true and *ret_picture, or false and the reason in `why`, for people.
 * Safe:    threads. Takes up to about half a GiB for the largest picture that it accepts. */
bool picture_measure(const unsigned char *data, size_t size, struct picture *ret_picture,
		     char why[PICTURE_MESSAGE_SIZE]);

#endif
