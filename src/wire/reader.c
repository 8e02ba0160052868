#include "wire/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "wire/opcodes.h"

/* What follows an opcode. */
enum operand {
	NOTHING = 0,
	NUMBER1, /* 1, 2, 4, 8 bytes, little-endian */
	NUMBER2,
	NUMBER4,
	NUMBER8,
	REAL,  /* 8 bytes, big-endian */
	DATA1, /* a length of 1, 4, 8 bytes, and so many bytes */
	DATA4,
	DATA8,
	LINES /* two lines */
};

struct opcode {
	const char *name; /* NULL: there is none */
	unsigned char operand, effect;
};

static const struct opcode opcodes[256] = {
	[OP_MARK] = { "MARK", NOTHING, BRI_PUSHES },
	[OP_STOP] = { "STOP", NOTHING, 0 },
	[OP_POP] = { "POP", NOTHING, 0 },
	[OP_POP_MARK] = { "POP_MARK", NOTHING, 0 },
	[OP_DUP] = { "DUP", NOTHING, BRI_PUSHES },
	[OP_BINFLOAT] = { "BINFLOAT", REAL, BRI_MAKES | BRI_PUSHES },
	[OP_BININT] = { "BININT", NUMBER4, BRI_MAKES | BRI_PUSHES },
	[OP_BININT1] = { "BININT1", NUMBER1, BRI_MAKES | BRI_PUSHES },
	[OP_BININT2] = { "BININT2", NUMBER2, BRI_MAKES | BRI_PUSHES },
	[OP_NONE] = { "NONE", NOTHING, BRI_PUSHES },
	[OP_BINPERSID] = { "BINPERSID", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_REDUCE] = { "REDUCE", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_BINUNICODE] = { "BINUNICODE", DATA4, BRI_MAKES | BRI_PUSHES },
	[OP_APPEND] = { "APPEND", NOTHING, 0 },
	[OP_BUILD] = { "BUILD", NOTHING, 0 },
	[OP_GLOBAL] = { "GLOBAL", LINES, BRI_MAKES | BRI_PUSHES },
	[OP_APPENDS] = { "APPENDS", NOTHING, 0 },
	[OP_BINGET] = { "BINGET", NUMBER1, BRI_PUSHES },
	[OP_LONG_BINGET] = { "LONG_BINGET", NUMBER4, BRI_PUSHES },
	[OP_BINPUT] = { "BINPUT", NUMBER1, BRI_STORES },
	[OP_LONG_BINPUT] = { "LONG_BINPUT", NUMBER4, BRI_STORES },
	[OP_SETITEM] = { "SETITEM", NOTHING, 0 },
	[OP_TUPLE] = { "TUPLE", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_SETITEMS] = { "SETITEMS", NOTHING, 0 },
	[OP_EMPTY_DICT] = { "EMPTY_DICT", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_EMPTY_LIST] = { "EMPTY_LIST", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_EMPTY_TUPLE] = { "EMPTY_TUPLE", NOTHING, BRI_PUSHES },
	[OP_BINBYTES] = { "BINBYTES", DATA4, BRI_MAKES | BRI_PUSHES },
	[OP_SHORT_BINBYTES] = { "SHORT_BINBYTES", DATA1, BRI_MAKES | BRI_PUSHES },
	[OP_PROTO] = { "PROTO", NUMBER1, 0 },
	[OP_NEWOBJ] = { "NEWOBJ", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_TUPLE1] = { "TUPLE1", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_TUPLE2] = { "TUPLE2", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_TUPLE3] = { "TUPLE3", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_NEWTRUE] = { "NEWTRUE", NOTHING, BRI_PUSHES },
	[OP_NEWFALSE] = { "NEWFALSE", NOTHING, BRI_PUSHES },
	[OP_LONG1] = { "LONG1", DATA1, BRI_MAKES | BRI_PUSHES },
	[OP_LONG4] = { "LONG4", DATA4, BRI_MAKES | BRI_PUSHES },
	[OP_SHORT_BINUNICODE] = { "SHORT_BINUNICODE", DATA1, BRI_MAKES | BRI_PUSHES },
	[OP_BINUNICODE8] = { "BINUNICODE8", DATA8, BRI_MAKES | BRI_PUSHES },
	[OP_BINBYTES8] = { "BINBYTES8", DATA8, BRI_MAKES | BRI_PUSHES },
	[OP_EMPTY_SET] = { "EMPTY_SET", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_ADDITEMS] = { "ADDITEMS", NOTHING, 0 },
	[OP_FROZENSET] = { "FROZENSET", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_STACK_GLOBAL] = { "STACK_GLOBAL", NOTHING, BRI_MAKES | BRI_PUSHES },
	[OP_MEMOIZE] = { "MEMOIZE", NOTHING, BRI_STORES },
	[OP_FRAME] = { "FRAME", NUMBER8, 0 },
	[OP_BYTEARRAY8] = { "BYTEARRAY8", DATA8, BRI_MAKES | BRI_PUSHES },
	/* older protocols, and what plain data has no use for */
	['I'] = { "INT", NOTHING, BRI_BARRED },
	['L'] = { "LONG", NOTHING, BRI_BARRED },
	['F'] = { "FLOAT", NOTHING, BRI_BARRED },
	['S'] = { "STRING", NOTHING, BRI_BARRED },
	['T'] = { "BINSTRING", NOTHING, BRI_BARRED },
	['U'] = { "SHORT_BINSTRING", NOTHING, BRI_BARRED },
	['V'] = { "UNICODE", NOTHING, BRI_BARRED },
	['P'] = { "PERSID", NOTHING, BRI_BARRED },
	['g'] = { "GET", NOTHING, BRI_BARRED },
	['p'] = { "PUT", NOTHING, BRI_BARRED },
	['l'] = { "LIST", NOTHING, BRI_BARRED },
	['d'] = { "DICT", NOTHING, BRI_BARRED },
	['i'] = { "INST", NOTHING, BRI_BARRED },
	['o'] = { "OBJ", NOTHING, BRI_BARRED },
	[0x82] = { "EXT1", NOTHING, BRI_BARRED },
	[0x83] = { "EXT2", NOTHING, BRI_BARRED },
	[0x84] = { "EXT4", NOTHING, BRI_BARRED },
	[0x92] = { "NEWOBJ_EX", NOTHING, BRI_BARRED },
	[0x97] = { "NEXT_BUFFER", NOTHING, BRI_BARRED },
	[0x98] = { "READONLY_BUFFER", NOTHING, BRI_BARRED },
};

int bri_reader_fail(const struct bri_reader *in, size_t at, int error, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return bri_fail(in->opts->fail, "pickle", error, "byte %zu: %s", at, text);
}

static uint64_t little_endian(const unsigned char *bytes, size_t n)
{
	uint64_t number = 0;

	while (n-- > 0)
		number = number << 8 | bytes[n];
	return number;
}

static int cut_short(const struct bri_reader *in)
{
	return bri_reader_fail(in, in->op_at, EBADMSG, "the input ends within %s", in->name);
}

/* Two lines, which are the module and the name of a class. */
static int read_lines(struct bri_reader *in)
{
	const unsigned char *start = in->data + in->at, *end = in->data + in->size, *first, *second;

	first = memchr(start, '\n', (size_t)(end - start));
	second = first == NULL ? NULL : memchr(first + 1, '\n', (size_t)(end - (first + 1)));
	if (second == NULL)
		return cut_short(in);
	in->operand = start;
	in->number = (uint64_t)(first - start);
	in->n_second = (size_t)(second - (first + 1));
	in->at += (size_t)(second + 1 - start);
	return 0;
}

/* The data of in->number bytes. */
static int read_data(struct bri_reader *in)
{
	if (in->code == OP_LONG4 && in->number > INT32_MAX)
		return bri_reader_fail(in, in->op_at, EBADMSG, "LONG4 of a negative length");
	if (in->number > in->size - in->at)
		return bri_reader_fail(in, in->op_at, EBADMSG, "%s of %llu bytes, and %zu are left",
				       in->name, (unsigned long long)in->number, in->size - in->at);
	in->operand = in->data + in->at;
	in->at += in->number;
	return 0;
}

/* Reads the next opcode with its operand. */
int bri_reader_next(struct bri_reader *in)
{
	static const unsigned char sizes[] = {
		[NUMBER1] = 1, [NUMBER2] = 2, [NUMBER4] = 4, [NUMBER8] = 8, [REAL] = 8,
		[DATA1] = 1,   [DATA4] = 4,   [DATA8] = 8,   [LINES] = 0,
	};
	const struct opcode *op;
	size_t n;

	in->op_at = in->at;
	if (in->at == in->size)
		return bri_reader_fail(in, in->at, EBADMSG, "the input ends without STOP");
	in->code = in->data[in->at++];
	op = &opcodes[in->code];
	in->name = op->name;
	in->effect = op->effect;
	if (in->name == NULL)
		return bri_reader_fail(in, in->op_at, EBADMSG, "0x%02x is no opcode", in->code);
	if (in->effect & BRI_BARRED)
		return bri_reader_fail(in, in->op_at, EPERM, "%s is not allowed", in->name);
	n = sizes[op->operand];
	if (n > in->size - in->at)
		return cut_short(in);
	in->operand = in->data + in->at;
	in->number = little_endian(in->operand, n);
	in->at += n;
	if (op->operand == LINES)
		return read_lines(in);
	if (op->operand >= DATA1)
		return read_data(in);
	return 0;
}

int bri_reader_begin(struct bri_reader *in)
{
	if (in->size < 2 || in->data[0] != OP_PROTO)
		return bri_reader_fail(
			in, 0, in->size > 0 && in->data[0] != OP_PROTO ? EPROTONOSUPPORT : EBADMSG,
			"no PROTO: no pickle, or protocol 0 or 1");
	in->protocol = in->data[1];
	if (in->protocol < 2 || in->protocol > 5)
		return bri_reader_fail(in, 0, EPROTONOSUPPORT, "protocol %d", in->protocol);
	in->at = 2;
	return 0;
}
