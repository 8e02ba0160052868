/* wire/reader.h - a pickle, opcode by opcode
 *
 * Reads what is allowed and lies within the input, and says what else there is, and where. */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include <brood/pickle.h>

enum bri_effect {
	BRI_MAKES = 1,  /* a node */
	BRI_PUSHES = 2, /* onto the stack */
	BRI_STORES = 4, /* in the memo */
	BRI_BARRED = 8  /* no message needs it; refused */
};

struct bri_reader {
	const brood_pickle_opts *opts;
	const unsigned char *data;
	size_t size, at; /* at: of the next opcode */
	int protocol;

	/* The opcode that was read last. */
	unsigned char code, effect;
	const char *name;
	size_t op_at;
	uint64_t number; /* its operand, if that is a number; a length */
	const unsigned char
		*operand; /* `number` bytes; of GLOBAL, which has two lines, the first … */
	size_t n_second;  /* … and these are those of the second, behind a newline */
};

/* Reads from the start: PROTO. This and the next: 0, or an error as brood_pickle_loads() has them. */
int bri_reader_begin(struct bri_reader *in);

/* Reads the next opcode. */
int bri_reader_next(struct bri_reader *in);

/* Fills the caller's brood_fail: "byte 17: …". Returns -error; it may have either sign. */
int bri_reader_fail(const struct bri_reader *in, size_t at, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
