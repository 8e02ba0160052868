/* JPEG by libjpeg(-turbo). Grey output is what the file holds as Y: no conversion, and colour is
 * not even decoded. All that lives across setjmp() is in one struct of the caller's frame. */
#include "decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h> /* needs FILE before it */

#include <jerror.h>

/* A progressive picture keeps its coefficients, two bytes a sample, until the last scan. */
#define MAX_MEMORY (512L * 1024 * 1024)

/* Each scan of a progressive picture walks all of it, and a scan can be a few bytes long: without
 * a limit a small file costs hours. Encoders write about ten. */
#define MAX_SCANS 100

struct reader {
	struct jpeg_decompress_struct codec;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	jmp_buf escape;
	struct decoding *decoding;
};

static _Noreturn void fail(struct reader *reader, const char *text)
{
	decode_fail(reader->decoding, text);
	longjmp(reader->escape, 1);
}

static _Noreturn void on_error(j_common_ptr codec)
{
	struct reader *reader = codec->client_data;
	char text[JMSG_LENGTH_MAX];

	/* This is how libjpeg says that max_memory_to_use is reached. */
	if (codec->err->msg_code == JERR_NO_BACKING_STORE)
		fail(reader, "too large to be decoded in memory");
	codec->err->format_message(codec, text);
	fail(reader, text);
}

static void on_message(j_common_ptr codec, int level)
{
	struct reader *reader = codec->client_data;
	char text[JMSG_LENGTH_MAX];

	/* Below zero is corrupt data; the rest is tracing. */
	if (level >= 0)
		return;
	codec->err->format_message(codec, text);
	decode_warn(reader->decoding, text);
}

static void on_progress(j_common_ptr codec)
{
	struct reader *reader = codec->client_data;

	if (reader->codec.input_scan_number > MAX_SCANS)
		fail(reader, "too many scans");
}

static void open_codec(struct reader *reader)
{
	struct jpeg_decompress_struct *codec = &reader->codec;

	codec->client_data = reader;
	codec->err = jpeg_std_error(&reader->errors);
	reader->errors.error_exit = on_error;
	reader->errors.emit_message = on_message;
	jpeg_create_decompress(codec);
	codec->mem->max_memory_to_use = MAX_MEMORY;
	reader->progress.progress_monitor = on_progress;
	codec->progress = &reader->progress;
	jpeg_mem_src(codec, reader->decoding->data, reader->decoding->size);
}

static bool read_rows(struct reader *reader)
{
	struct jpeg_decompress_struct *codec = &reader->codec;
	JSAMPARRAY row;

	if (setjmp(reader->escape) != 0)
		return false;
	open_codec(reader);
	jpeg_read_header(codec, TRUE);
	if (!decode_begin(reader->decoding, codec->image_width, codec->image_height))
		return false;
	codec->out_color_space = JCS_GRAYSCALE;
	jpeg_start_decompress(codec);
	row = codec->mem->alloc_sarray((j_common_ptr)codec, JPOOL_IMAGE, codec->output_width, 1);
	while (codec->output_scanline < codec->output_height) {
		jpeg_read_scanlines(codec, row, 1);
		meter_row(&reader->decoding->meter, row[0]);
	}
	jpeg_finish_decompress(codec);
	return true;
}

bool decode_jpeg(struct decoding *decoding)
{
	struct reader reader = { .decoding = decoding };
	bool ok = read_rows(&reader);

	jpeg_destroy_decompress(&reader.codec); /* also frees the row */
	return ok;
}
