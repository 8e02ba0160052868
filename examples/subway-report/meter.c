/* No sum can overflow: with METER_MAX_PIXELS the largest, that of the squares of the Laplacian,
 * is 10^8 * 1020^2, about 10^14. */
#include "meter.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int meter_begin(struct meter *meter, uint32_t width, uint32_t height)
{
	uint8_t *rows;

	if ((uint64_t)width * height > METER_MAX_PIXELS)
		return -EFBIG;
	rows = calloc(3, width);
	if (rows == NULL)
		return -ENOMEM;
	meter->width = width;
	meter->height = height;
	for (size_t i = 0; i < 3; i++)
		meter->rows[i] = rows + i * width;
	return 0;
}

static void add_luma(struct meter *meter, const uint8_t *row)
{
	for (uint32_t x = 0; x < meter->width; x++) {
		meter->sum += row[x];
		meter->sum_of_squares += (uint64_t)row[x] * row[x];
	}
}

static void add_edges(struct meter *meter, const uint8_t *above, const uint8_t *row,
		      const uint8_t *below)
{
	for (uint32_t x = 1; x + 1 < meter->width; x++) {
		int edge = above[x] + below[x] + row[x - 1] + row[x + 1] - 4 * row[x];

		meter->edge_sum += edge;
		meter->edge_sum_of_squares += (uint64_t)(edge * edge);
	}
}

void meter_row(struct meter *meter, const uint8_t *luma)
{
	uint32_t y = meter->n_rows;

	if (y >= meter->height)
		return;
	memcpy(meter->rows[y % 3], luma, meter->width);
	add_luma(meter, luma);
	if (y >= 2)
		add_edges(meter, meter->rows[(y - 2) % 3], meter->rows[(y - 1) % 3], luma);
	meter->n_rows++;
}

static double variance(double sum, double sum_of_squares, double n)
{
	double mean = sum / n;

	return fmax(0, sum_of_squares / n - mean * mean);
}

struct measures meter_result(const struct meter *meter)
{
	uint64_t n = (uint64_t)meter->width * meter->n_rows;
	struct measures measures = {
		.brightness = (double)meter->sum / (double)n,
		.contrast = sqrt(
			variance((double)meter->sum, (double)meter->sum_of_squares, (double)n)),
	};

	if (meter->width > 2 && meter->n_rows > 2) {
		uint64_t n_inner = (uint64_t)(meter->width - 2) * (meter->n_rows - 2);

		measures.sharpness = variance((double)meter->edge_sum,
					      (double)meter->edge_sum_of_squares, (double)n_inner);
	}
	return measures;
}

void meter_deinit(struct meter *meter)
{
	free(meter->rows[0]);
	*meter = (struct meter){ 0 };
}
