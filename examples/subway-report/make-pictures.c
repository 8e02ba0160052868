/* make-pictures - draw the sample pictures of this example
 *
 *     make-pictures DIRECTORY
 *
 * writes what is kept in pictures/: a carriage roof from above, well lit, dark, blurred and cut
 * off in the middle, and a carriage side. All is integer arithmetic with a fixed seed, so every
 * run draws the same; the files are the same for the same libjpeg and libpng. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h> /* needs FILE before it */
#include <png.h>

#define WIDTH 640
#define HEIGHT 400

struct colour {
	int red, green, blue;
};

static const struct colour ballast = { 74, 70, 66 }, metal = { 168, 172, 176 },
			   shine = { 224, 226, 228 }, shade = { 96, 100, 106 },
			   black = { 24, 24, 28 }, paint = { 232, 232, 226 },
			   line_red = { 176, 36, 44 }, glass = { 52, 66, 82 },
			   yellow = { 226, 178, 30 };

static uint8_t canvas[HEIGHT][WIDTH][3];

static void put_pixel(int x, int y, struct colour colour)
{
	if (x < 0 || x >= WIDTH || y < 0 || y >= HEIGHT)
		return;
	canvas[y][x][0] = (uint8_t)colour.red;
	canvas[y][x][1] = (uint8_t)colour.green;
	canvas[y][x][2] = (uint8_t)colour.blue;
}

static void fill(int left, int top, int width, int height, struct colour colour)
{
	for (int y = top; y < top + height; y++)
		for (int x = left; x < left + width; x++)
			put_pixel(x, y, colour);
}

static void fill_disc(int centre_x, int centre_y, int radius, struct colour colour)
{
	for (int y = -radius; y <= radius; y++)
		for (int x = -radius; x <= radius; x++)
			if (x * x + y * y <= radius * radius)
				put_pixel(centre_x + x, centre_y + y, colour);
}

static void draw_rivet(int x, int y)
{
	fill_disc(x, y, 2, shade);
	put_pixel(x - 1, y - 1, shine);
	put_pixel(x, y - 1, shine);
}

static void draw_rivets(int left, int top, int step_x, int step_y, int n)
{
	for (int i = 0; i < n; i++)
		draw_rivet(left + i * step_x, top + i * step_y);
}

/* Digits of 5 x 7 cells, a row of cells in the low five bits of a byte. */
static void draw_number(int left, int top, int cell, const char *digits, struct colour colour)
{
	static const uint8_t font[10][7] = {
		{ 14, 17, 19, 21, 25, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 },
		{ 14, 17, 1, 6, 8, 16, 31 },    { 14, 17, 1, 6, 1, 17, 14 },
		{ 2, 6, 10, 18, 31, 2, 2 },     { 31, 16, 30, 1, 1, 17, 14 },
		{ 6, 8, 16, 30, 17, 17, 14 },   { 31, 1, 2, 4, 4, 4, 4 },
		{ 14, 17, 17, 14, 17, 17, 14 }, { 14, 17, 17, 15, 1, 2, 12 },
	};

	for (; *digits != '\0'; digits++, left += 6 * cell)
		for (int i = 0; i < 7 * 5; i++)
			if ((font[*digits - '0'][i / 5] & (16 >> i % 5)) != 0)
				fill(left + i % 5 * cell, top + i / 5 * cell, cell, cell, colour);
}

static void draw_cooler(int left, int top)
{
	fill(left, top, 150, 110, shade);
	fill(left + 3, top + 3, 144, 104, metal);
	for (int i = 0; i < 11; i++)
		fill(left + 10, top + 12 + 8 * i, 50, 4, black);
	fill_disc(left + 104, top + 55, 36, black);
	fill_disc(left + 104, top + 55, 32, shade);
	fill(left + 102, top + 23, 4, 64, shine);
	fill(left + 72, top + 53, 64, 4, shine);
	fill_disc(left + 104, top + 55, 8, black);
}

static void draw_roof(const char *number, int cooler_left, int number_left)
{
	fill(0, 0, WIDTH, HEIGHT, ballast);
	fill(0, 36, WIDTH, 328, metal);
	for (int y = 52; y < 360; y += 20) { /* ribs */
		fill(0, y, WIDTH, 2, shine);
		fill(0, y + 2, WIDTH, 2, shade);
	}
	fill(0, 36, WIDTH, 6, black); /* gutters */
	fill(0, 358, WIDTH, 6, black);
	for (int x = 40; x < WIDTH; x += 140) { /* seams between sheets */
		fill(x, 42, 2, 316, shade);
		draw_rivets(x - 7, 50, 0, 12, 26);
		draw_rivets(x + 8, 50, 0, 12, 26);
	}
	draw_cooler(cooler_left, 145);
	fill(number_left - 12, 150, 204, 86, paint);
	draw_number(number_left, 162, 8, number, black);
	for (int x = number_left - 12; x < number_left + 192; x += 24)
		fill(x, 240, 12, 10, yellow);
}

static void draw_window(int left, int top, int width, int height)
{
	fill(left - 4, top - 4, width + 8, height + 8, black);
	fill(left, top, width, height, glass);
	for (int i = 0; i < height; i++) /* a reflection */
		fill(left + width / 2 + (height - i) * width / (3 * height), top + i, width / 8, 1,
		     shade);
}

static void draw_side(const char *number)
{
	fill(0, 0, WIDTH, HEIGHT, black);
	fill(0, 30, WIDTH, 300, paint);
	fill(0, 230, WIDTH, 26, line_red);
	for (int x = 24; x < WIDTH; x += 210) {
		draw_window(x + 100, 90, 84, 90);
		fill(x, 60, 80, 266, shade); /* two leaves of a door */
		fill(x + 2, 62, 37, 262, metal);
		fill(x + 41, 62, 37, 262, metal);
		draw_window(x + 9, 90, 22, 80);
		draw_window(x + 49, 90, 22, 80);
	}
	draw_rivets(6, 38, 12, 0, 53);
	draw_rivets(6, 322, 12, 0, 53);
	draw_number(122, 272, 4, number, black);
	for (int x = 70; x < WIDTH; x += 170) /* wheels */
		fill_disc(x, 368, 30, shade);
}

/* Lamps above the middle: full light there, a third of it less at the edges. */
static void light(int percent)
{
	uint8_t *value = &canvas[0][0][0];

	for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
		int from_middle = abs(i / (WIDTH * 3) - HEIGHT / 2);

		value[i] = (uint8_t)(value[i] * percent / 100 * (600 - from_middle) / 600);
	}
}

static void blur_line(uint8_t *values, int n, int step, int radius)
{
	uint8_t line[WIDTH];

	for (int i = 0; i < n; i++) {
		int sum = 0, count = 0;

		for (int j = i - radius; j <= i + radius; j++)
			if (j >= 0 && j < n) {
				sum += values[j * step];
				count++;
			}
		line[i] = (uint8_t)(sum / count);
	}
	for (int i = 0; i < n; i++)
		values[i * step] = line[i];
}

/* The train moved, mostly along. */
static void blur(int radius)
{
	for (int y = 0; y < HEIGHT; y++)
		for (int i = 0; i < 3; i++)
			blur_line(&canvas[y][0][i], WIDTH, 3, radius);
	for (int x = 0; x < WIDTH; x++)
		for (int i = 0; i < 3; i++)
			blur_line(&canvas[0][x][i], HEIGHT, WIDTH * 3, radius / 2);
}

/* The same for all three colours of a pixel, by xorshift. */
static void add_noise(int amplitude)
{
	uint32_t state = 2463534242;
	uint8_t *value = &canvas[0][0][0];

	for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
		int sum;

		if (i % 3 == 0) {
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
		}
		sum = value[i] + (int)(state % (uint32_t)(2 * amplitude + 1)) - amplitude;
		value[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
	}
}

static bool write_bytes(FILE *file, const void *data, size_t size)
{
	return fwrite(data, 1, size, file) == size;
}

/* `percent` of the file: a cut one is what a lost connection leaves. */
static bool write_jpeg(FILE *file, int percent)
{
	struct jpeg_compress_struct codec;
	struct jpeg_error_mgr errors;
	unsigned char *data = NULL;
	unsigned long size = 0;
	bool ok;

	codec.err = jpeg_std_error(&errors); /* exits on an error, as fits here */
	jpeg_create_compress(&codec);
	jpeg_mem_dest(&codec, &data, &size);
	codec.image_width = WIDTH;
	codec.image_height = HEIGHT;
	codec.input_components = 3;
	codec.in_color_space = JCS_RGB;
	jpeg_set_defaults(&codec);
	jpeg_set_quality(&codec, 80, TRUE);
	jpeg_start_compress(&codec, TRUE);
	while (codec.next_scanline < HEIGHT) {
		JSAMPROW row = canvas[codec.next_scanline][0];

		jpeg_write_scanlines(&codec, &row, 1);
	}
	jpeg_finish_compress(&codec);
	jpeg_destroy_compress(&codec);
	ok = write_bytes(file, data, size * percent / 100);
	free(data);
	return ok;
}

static bool write_png(FILE *file)
{
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = WIDTH,
		.height = HEIGHT,
		.format = PNG_FORMAT_RGB,
	};

	return png_image_write_to_stdio(&image, file, 0, canvas, 0, NULL) != 0;
}

static void draw(const char *name)
{
	if (strcmp(name, "side-left.png") == 0)
		draw_side("0417");
	else if (strcmp(name, "roof-right.jpg") == 0)
		draw_roof("0418", 420, 110);
	else
		draw_roof("0417", 80, 370);
}

static bool make(const char *directory, const char *name, int light_percent, int blur_radius,
		 int noise, int percent)
{
	char path[4096];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	draw(name);
	light(light_percent);
	if (blur_radius > 0)
		blur(blur_radius);
	if (noise > 0)
		add_noise(noise);
	file = fopen(path, "wb");
	if (file == NULL) {
		fprintf(stderr, "make-pictures: %s: %s\n", path, strerror(errno));
		return false;
	}
	ok = strstr(name, ".png") != NULL ? write_png(file) : write_jpeg(file, percent);
	ok &= fclose(file) == 0;
	if (!ok)
		fprintf(stderr, "make-pictures: cannot write %s\n", path);
	return ok;
}

int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int light_percent, blur_radius, noise, percent;
	} pictures[] = {
		{ "roof-left.jpg", 100, 0, 4, 100 }, { "roof-right.jpg", 96, 0, 4, 100 },
		{ "roof-dark.jpg", 18, 0, 3, 100 },  { "roof-blurred.jpg", 100, 9, 2, 100 },
		{ "roof-cut.jpg", 100, 0, 4, 55 },   { "side-left.png", 100, 0, 0, 100 },
	};
	bool ok = argc == 2;

	if (!ok)
		fputs("Usage: make-pictures DIRECTORY\n", stderr);
	for (size_t i = 0; ok && i < sizeof(pictures) / sizeof(pictures[0]); i++)
		ok = make(argv[1], pictures[i].name, pictures[i].light_percent,
			  pictures[i].blur_radius, pictures[i].noise, pictures[i].percent);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
