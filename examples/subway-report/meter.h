/* meter.h - brightness, contrast and sharpness of a picture, row by row
 *
 * A decoder calls meter_begin() once it knows the size, meter_row() for every row from the top
 * down, and never looks back: three rows are kept, whatever the height. The sums are integers,
 * hence exact and the same on every machine. */
#ifndef SUBWAY_REPORT_METER_H
#define SUBWAY_REPORT_METER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A few kilobytes of input can announce a picture of gigabytes; this bounds memory and time.
 * A line-scan camera gives about 80 megapixels for one roof. */
#define METER_MAX_PIXELS 100000000u

/* All zero is valid. */
struct meter {
	uint32_t width, height;
	uint32_t n_rows;  /* given so far */
	uint8_t *rows[3]; /* row y is kept in rows[y % 3]; one allocation, at rows[0] */

	uint64_t sum, sum_of_squares; /* of luma */
	int64_t edge_sum;             /* of the Laplacian at the inner pixels */
	uint64_t edge_sum_of_squares;
};

struct measures {
	double brightness; /* mean of luma, 0 to 255 */
	double contrast;   /* standard deviation of luma, 0 to 127.5 */
	double sharpness;  /* variance of the Laplacian; 0 where no pixel has four neighbours */
};

/** Prepare for `height` rows of `width` pixels. At most once for a meter.
 * Returns: 0. Errors: -EFBIG, more than METER_MAX_PIXELS; -ENOMEM. */
int meter_begin(struct meter *meter, uint32_t width, uint32_t height);

/** Add the next row, `width` values of luma. Rows beyond `height` are ignored. */
void meter_row(struct meter *meter, const uint8_t *luma);

/** What the rows given so far amount to. At least one is needed. */
struct measures meter_result(const struct meter *meter);

/** Free the memory; all zero again. */
void meter_deinit(struct meter *meter);

#endif
