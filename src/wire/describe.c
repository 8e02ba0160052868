/* An object as a line for people. It is written piece by piece until the room is full; then nothing is
 * looked at any more, so that a line costs what the line holds. Text that is to be read in a terminal may
 * come from anywhere: control characters and what is no UTF-8 are escaped. */
#include "wire/object.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define DOTS "..."

/* A line on its way; `size` > 0 bytes, and a NUL always behind what is there. */
struct line {
	char *buf;
	size_t size, n;
	bool full; /* something did not fit */
};

static void put(struct line *line, const char *bytes, size_t n)
{
	if (line->full || n >= line->size - line->n) {
		line->full = true;
		return;
	}
	memcpy(line->buf + line->n, bytes, n);
	line->n += n;
	line->buf[line->n] = '\0';
}

static void put_string(struct line *line, const char *string)
{
	put(line, string, strlen(string));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct line *line, const char *format,
							     ...)
{
	char piece[64];
	va_list args;

	va_start(args, format);
	vsnprintf(piece, sizeof(piece), format, args);
	va_end(args);
	put_string(line, piece);
}

/* The shortest digits that are read back as the same number. */
static void put_real(struct line *line, double real)
{
	char piece[32];
	char *comma;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(piece, sizeof(piece), "%.*g", digits, real);
		if (strtod(piece, NULL) == real)
			break;
	}
	comma = strchr(piece, ','); /* of the host's locale */
	if (comma != NULL)
		*comma = '.';
	put_string(line, real != real ? "nan" : piece);
	if (strspn(piece, "-0123456789") == strlen(piece))
		put_string(line, ".0");
}

/* Hexadecimal, as an integer may have so many digits that the decimal ones would take long. */
static void put_big(struct line *line, const brood_object *big)
{
	const unsigned char *bytes = big->as.data;
	bool negative = big->size > 0 && bytes[big->size - 1] >= 0x80;
	bool begun = false;
	size_t low = 0;

	while (low < big->size && bytes[low] == 0)
		low++;
	put_string(line, negative ? "-0x" : "0x");
	for (size_t i = big->size; i-- > 0 && !line->full;) {
		unsigned byte = bytes[i];

		/* -x is ~x + 1, and the 1 is carried as far as the lowest byte that is not 0. */
		if (negative && i >= low)
			byte = (i == low ? 0u - byte : ~byte) & 0xff;
		if (begun || byte != 0)
			put_format(line, begun ? "%02x" : "%x", byte);
		begun = begun || byte != 0;
	}
	if (!begun)
		put_string(line, "0");
}

/* A byte of ASCII within quotes. */
static void put_ascii(struct line *line, unsigned char byte, char quote)
{
	const char *escape = strchr("\nn\rr\tt", byte);

	if (byte == '\\' || (quote != '\0' && byte == (unsigned char)quote))
		put_format(line, "\\%c", byte);
	else if (byte != '\0' && byte < ' ' && escape != NULL)
		put_format(line, "\\%c", escape[1]);
	else if (byte < ' ' || byte == 0x7f)
		put_format(line, "\\x%02x", byte);
	else
		put(line, (const char *)&byte, 1);
}

/* Text that is UTF-8: `n` bytes. */
static void put_valid(struct line *line, const char *text, size_t n, char quote)
{
	for (size_t i = 0, length; i < n && !line->full; i += length) {
		unsigned char first = (unsigned char)text[i];

		length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
		if (length == 1)
			put_ascii(line, first, quote);
		else if (first == 0xc2 && (unsigned char)text[i + 1] < 0xa0)
			put_format(line, "\\x%02x", (unsigned char)text[i + 1]);
		else
			put(line, text + i, length);
	}
}

static char quote_of(const char *data, size_t n)
{
	return memchr(data, '\'', n) != NULL && memchr(data, '"', n) == NULL ? '"' : '\'';
}

static void put_text(struct line *line, const brood_object *object)
{
	size_t room = line->size - line->n, n = object->size < room ? object->size : room;
	const char *text = object->as.text;
	size_t valid;
	char quote;

	if (n == 0)
		text = "";
	quote = quote_of(text, n);
	put(line, &quote, 1);
	while (n > 0 && !line->full) {
		valid = bri_text_valid(text, n);
		put_valid(line, text, valid, quote);
		if (valid < n)
			put_format(line, "\\x%02x", (unsigned char)text[valid++]);
		text += valid;
		n -= valid;
	}
	put(line, &quote, 1);
}

static void put_bytes(struct line *line, const brood_object *object)
{
	size_t room = line->size - line->n, n = object->size < room ? object->size : room;
	const char *data = n > 0 ? object->as.data : "";
	char quote = quote_of(data, n);

	put_format(line, "b%c", quote);
	for (size_t i = 0; i < n && !line->full; i++) {
		unsigned char byte = (unsigned char)data[i];

		if (byte < 0x80)
			put_ascii(line, byte, quote);
		else
			put_format(line, "\\x%02x", byte);
	}
	put(line, &quote, 1);
}

static void put_object(struct line *line, const brood_object *object, int depth);

static void put_items(struct line *line, const char *open, const brood_object *object,
		      const char *close, int depth)
{
	bool pairs = object->kind == BROOD_OBJECT_DICT;
	size_t stride = pairs ? 2 : 1;

	put_string(line, open);
	for (size_t i = 0; i < object->size && !line->full; i++) {
		put_string(line, i > 0 ? ", " : "");
		put_object(line, &object->as.items[i * stride], depth);
		if (pairs) {
			put_string(line, ": ");
			put_object(line, &object->as.items[i * stride + 1], depth);
		}
	}
	put_string(line, object->kind == BROOD_OBJECT_TUPLE && object->size == 1 ? "," : "");
	put_string(line, close);
}

/* The name of a class, with its module but for builtins. */
static void put_class(struct line *line, const brood_object *object)
{
	static const char builtins[] = "builtins ";
	const char *blank, *text = object->as.text;
	size_t n = object->size;

	if (object->kind != BROOD_OBJECT_CLASS || (blank = memchr(text, ' ', n)) == NULL) {
		put_string(line, "?");
		return;
	}
	if (n >= strlen(builtins) && memcmp(text, builtins, strlen(builtins)) == 0) {
		put_valid(line, text + strlen(builtins),
			  bri_text_valid(blank + 1, n - strlen(builtins)), 0);
		return;
	}
	put_valid(line, text, bri_text_valid(text, (size_t)(blank - text)), 0);
	put_string(line, ".");
	put_valid(line, blank + 1, bri_text_valid(blank + 1, n - (size_t)(blank + 1 - text)), 0);
}

static void put_instance(struct line *line, const brood_object *object, int depth)
{
	const brood_object *items = object->as.items;

	if (object->size < 2) {
		put_string(line, "?");
		return;
	}
	put_class(line, &items[0]);
	if (items[1].kind == BROOD_OBJECT_TUPLE && items[1].size == 1) {
		put_string(line, "(");
		put_object(line, &items[1].as.items[0], depth);
		put_string(line, ")");
	} else {
		put_object(line, &items[1], depth);
	}
	if (object->size > 2) {
		put_string(line, " with ");
		put_object(line, &items[2], depth);
	}
}

static void put_container(struct line *line, const brood_object *object, int depth)
{
	if (depth == 0) {
		put_string(line, DOTS);
		return;
	}
	switch (object->kind) {
	case BROOD_OBJECT_TUPLE:
		put_items(line, "(", object, ")", depth - 1);
		break;
	case BROOD_OBJECT_LIST:
		put_items(line, "[", object, "]", depth - 1);
		break;
	case BROOD_OBJECT_SET:
		put_items(line, object->size > 0 ? "{" : "set(", object,
			  object->size > 0 ? "}" : ")", depth - 1);
		break;
	case BROOD_OBJECT_FROZENSET:
		put_items(line, object->size > 0 ? "frozenset({" : "frozenset(", object,
			  object->size > 0 ? "})" : ")", depth - 1);
		break;
	case BROOD_OBJECT_DICT:
		put_items(line, "{", object, "}", depth - 1);
		break;
	default:
		put_instance(line, object, depth - 1);
		break;
	}
}

static void put_object(struct line *line, const brood_object *object, int depth)
{
	switch (object->kind) {
	case BROOD_OBJECT_NONE:
		put_string(line, "None");
		break;
	case BROOD_OBJECT_BOOL:
		put_string(line, object->as.boolean ? "True" : "False");
		break;
	case BROOD_OBJECT_INT:
		put_format(line, "%lld", (long long)object->as.integer);
		break;
	case BROOD_OBJECT_UINT:
		put_format(line, "%llu", (unsigned long long)object->as.natural);
		break;
	case BROOD_OBJECT_BIG:
		put_big(line, object);
		break;
	case BROOD_OBJECT_FLOAT:
		put_real(line, object->as.real);
		break;
	case BROOD_OBJECT_TEXT:
		put_text(line, object);
		break;
	case BROOD_OBJECT_BYTES:
		put_bytes(line, object);
		break;
	case BROOD_OBJECT_BYTEARRAY:
		put_string(line, "bytearray(");
		put_bytes(line, object);
		put_string(line, ")");
		break;
	case BROOD_OBJECT_CLASS:
		put_string(line, "<class ");
		put_class(line, object);
		put_string(line, ">");
		break;
	case BROOD_OBJECT_HANDLE:
		put_format(line, "<handle %u at %p>", (unsigned)object->tag, object->as.handle);
		break;
	default:
		if (object->kind > BROOD_OBJECT_HANDLE)
			put_format(line, "<kind %u>", (unsigned)object->kind);
		else
			put_container(line, object, depth);
		break;
	}
}

/* Cuts what is there, between two characters, so that the dots fit. */
static void put_dots(struct line *line)
{
	size_t n_dots = line->size > strlen(DOTS) ? strlen(DOTS) : line->size - 1;
	size_t most = line->size - 1 - n_dots;

	if (line->n > most) {
		line->n = most;
		while (line->n > 0 && ((unsigned char)line->buf[line->n] & 0xc0) == 0x80)
			line->n--;
	}
	line->buf[line->n] = '\0';
	line->full = false;
	put(line, DOTS, n_dots);
}

int brood_object_describe(const brood_object *object, char *buf, size_t size)
{
	struct line line = { .buf = buf, .size = size < INT_MAX ? size : INT_MAX };

	if (object == NULL)
		return -ENOENT;
	if (size == 0)
		return 0;
	buf[0] = '\0';
	put_object(&line, object, BROOD_OBJECT_DEPTH);
	if (line.full)
		put_dots(&line);
	return (int)line.n;
}
