/* Chooses the decoder by the first bytes, never by the name or by what a server claims. */
#include "picture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "decode.h"

static const struct format {
	const char *name;
	const char *magic;
	bool (*decode)(struct decoding *decoding);
	bool warnings_are_damage; /* libpng also warns of harmless things, such as old profiles */
} formats[] = {
	{ "jpeg", "\xff\xd8\xff", decode_jpeg, true },
	{ "png", "\x89PNG\r\n\x1a\n", decode_png, false },
};

static const struct format *find_format(const unsigned char *data, size_t size)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = strlen(formats[i].magic);

		if (size >= n && memcmp(data, formats[i].magic, n) == 0)
			return &formats[i];
	}
	return NULL;
}

static void keep(char to[PICTURE_MESSAGE_SIZE], const char *text)
{
	snprintf(to, PICTURE_MESSAGE_SIZE, "%s", text);
}

void decode_warn(struct decoding *decoding, const char *text)
{
	if (decoding->n_warnings++ == 0)
		keep(decoding->warning, text);
}

void decode_fail(struct decoding *decoding, const char *text)
{
	keep(decoding->error, text);
}

bool decode_begin(struct decoding *decoding, uint32_t width, uint32_t height)
{
	int r = meter_begin(&decoding->meter, width, height);

	if (r == -EFBIG)
		snprintf(decoding->error, sizeof(decoding->error),
			 "%u x %u pixels are more than the limit of %u megapixels", width, height,
			 METER_MAX_PIXELS / 1000000);
	else if (r < 0)
		decode_fail(decoding, strerror(-r));
	return r == 0;
}

static struct picture judge(const struct format *format, const struct decoding *decoding)
{
	struct measures measures = meter_result(&decoding->meter);
	struct picture picture = {
		.format = format->name,
		.width = decoding->meter.width,
		.height = decoding->meter.height,
		.measures = measures,
		.damaged = format->warnings_are_damage && decoding->n_warnings > 0,
		.n_warnings = decoding->n_warnings,
	};

	picture.dark = measures.brightness < PICTURE_DARK_BELOW;
	picture.overexposed = measures.brightness > PICTURE_OVEREXPOSED_ABOVE;
	picture.blurred = !picture.dark && measures.sharpness < PICTURE_BLURRED_BELOW;
	keep(picture.warning, decoding->warning);
	return picture;
}

bool picture_measure(const unsigned char *data, size_t size, struct picture *ret_picture,
		     char why[PICTURE_MESSAGE_SIZE])
{
	const struct format *format = find_format(data, size);
	struct decoding decoding = { .data = data, .size = size };
	bool ok;

	if (format == NULL) {
		keep(why, "neither a JPEG nor a PNG picture");
		return false;
	}
	ok = format->decode(&decoding);
	if (ok)
		*ret_picture = judge(format, &decoding);
	else
		snprintf(why, PICTURE_MESSAGE_SIZE, "broken %s: %.*s", format->name,
			 PICTURE_MESSAGE_SIZE - 32, decoding.error);
	meter_deinit(&decoding.meter);
	return ok;
}
