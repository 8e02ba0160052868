/* PNG by libpng. Every kind becomes 8 bits of grey or RGB, and luma is computed here: libpng's own
 * conversion depends on the gamma that the file claims, and would not compare with JPEG.
 * An interlaced picture must be held whole, all others one row at a time. */
#include "decode.h"

#include <stdlib.h>
#include <string.h>

#include <png.h>

struct reader {
	png_structp png;
	png_infop info;
	struct decoding *decoding;
	size_t position;
	uint8_t *pixels; /* one row, or all of them */
	uint8_t *luma;   /* one row */
};

static _Noreturn void on_error(png_structp png, const char *text)
{
	decode_fail(png_get_error_ptr(png), text);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, const char *text)
{
	decode_warn(png_get_error_ptr(png), text);
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
	struct reader *reader = png_get_io_ptr(png);

	if (n > reader->decoding->size - reader->position)
		png_error(png, "Premature end of PNG file");
	memcpy(to, reader->decoding->data + reader->position, n);
	reader->position += n;
}

static void choose_output(struct reader *reader)
{
	png_set_scale_16(reader->png);
	png_set_expand(reader->png); /* palettes and less than 8 bits */
	png_set_strip_alpha(reader->png);
}

static void to_luma(const uint8_t *pixels, uint32_t width, unsigned int n_channels, uint8_t *luma)
{
	if (n_channels == 1) {
		memcpy(luma, pixels, width);
		return;
	}
	for (uint32_t x = 0; x < width; x++, pixels += 3)
		luma[x] = (uint8_t)((299 * pixels[0] + 587 * pixels[1] + 114 * pixels[2] + 500) /
				    1000);
}

static void *get_memory(struct reader *reader, size_t size)
{
	void *memory = malloc(size);

	if (memory == NULL)
		png_error(reader->png, "Cannot allocate memory");
	return memory;
}

/* With interlacing each pass adds its pixels to all rows; only after the last are they whole. */
static void read_pixels(struct reader *reader, uint32_t height)
{
	int n_passes = png_set_interlace_handling(reader->png);
	size_t row_size, n_kept = n_passes > 1 ? height : 1;
	unsigned int n_channels;

	png_read_update_info(reader->png, reader->info);
	row_size = png_get_rowbytes(reader->png, reader->info);
	n_channels = png_get_channels(reader->png, reader->info);
	reader->pixels = get_memory(reader, n_kept * row_size);
	reader->luma = get_memory(reader, reader->decoding->meter.width);
	for (int pass = 1; pass <= n_passes; pass++)
		for (size_t y = 0; y < height; y++) {
			uint8_t *row = reader->pixels + y % n_kept * row_size;

			png_read_row(reader->png, row, NULL);
			if (pass < n_passes)
				continue;
			to_luma(row, reader->decoding->meter.width, n_channels, reader->luma);
			meter_row(&reader->decoding->meter, reader->luma);
		}
}

static bool read_picture(struct reader *reader)
{
	uint32_t width, height;

	if (setjmp(png_jmpbuf(reader->png)) != 0)
		return false;
	png_set_read_fn(reader->png, reader, on_read);
	png_read_info(reader->png, reader->info);
	width = png_get_image_width(reader->png, reader->info);
	height = png_get_image_height(reader->png, reader->info);
	if (!decode_begin(reader->decoding, width, height))
		return false;
	choose_output(reader);
	read_pixels(reader, height);
	png_read_end(reader->png, NULL); /* the checksum of the last chunk, and that it is there */
	return true;
}

bool decode_png(struct decoding *decoding)
{
	struct reader reader = { .decoding = decoding };
	bool ok = false;

	reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoding, on_error, on_warning);
	if (reader.png != NULL)
		reader.info = png_create_info_struct(reader.png);
	if (reader.info != NULL)
		ok = read_picture(&reader);
	else
		decode_fail(decoding, "Cannot allocate memory");
	png_destroy_read_struct(&reader.png, &reader.info, NULL);
	free(reader.pixels);
	free(reader.luma);
	return ok;
}
