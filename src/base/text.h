/* base/text.h - output of programs as text: one kind of newline, and UTF-8 told from what is not
 *
 *	struct bri_text text = { .mode = BRI_TEXT_REPLACE };
 *
 *	while ((n = read(fd, in, sizeof(in))) > 0)
 *		use(out, bri_text_feed(&text, in, (size_t)n, out));
 *	use(out, bri_text_finish(&text, out));
 *
 * where `out` has BRI_TEXT_ROOM(sizeof(in)) bytes. What comes out in all does not depend on how the
 * stream was cut into pieces. It equals CPython's: universal newlines, and with REPLACE
 * bytes.decode("utf-8", "replace"), where each longest start of a sequence that leads nowhere becomes
 * one U+FFFD. NUL is a byte like any other.
 *
 * Nothing waits for its continuation but, with REPLACE, a sequence that is not complete (3 bytes at
 * most): a CR is passed on as LF at once, and it is a LF right behind it that is dropped. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bri_text_mode {
	BRI_TEXT_BYTES = 0, /* all as it is, nothing looked at */
	BRI_TEXT_STRICT,    /* CR LF and CR become LF; what is not UTF-8 is noted and passed on */
	BRI_TEXT_REPLACE    /* the same, and what is not UTF-8 becomes U+FFFD */
};

/* The bytes that `n` bytes may become: each of them a U+FFFD, and one for what was held back. With
 * BYTES and STRICT it is `n` at most. */
#define BRI_TEXT_ROOM(n) (3 * (n) + 3)

/* A stream on its way; all-zero but for `mode` at its start. Nothing to free. */
struct bri_text {
	enum bri_text_mode mode;
	bool after_cr;         /* the last byte was a CR */
	bool invalid;          /* not all was UTF-8; never in mode BYTES */
	uint64_t invalid_at;   /* if so: where the first bad sequence begins, in bytes that came */
	uint64_t total;        /* bytes that came */
	size_t n_held;         /* the start of a sequence whose end has not come: */
	unsigned char held[4]; /* … it, with room for the byte that decides */
};

/* Filters `n` bytes of `in` to `out`, which has BRI_TEXT_ROOM(n) bytes. The two may not overlap, but
 * with BYTES and STRICT they may be the same. Returns how many bytes were written. */
size_t bri_text_feed(struct bri_text *text, const char *in, size_t n, char *out);

/* The stream has ended: a sequence that is not complete never will be. Writes at most
 * BRI_TEXT_ROOM(0) bytes, and returns how many. */
size_t bri_text_finish(struct bri_text *text, char *out);

/* How many bytes, from the first on, are whole sequences of UTF-8: `n` if all are. */
size_t bri_text_valid(const char *in, size_t n);

#endif
