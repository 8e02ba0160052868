/* Most text is clean: ASCII without CR, or whole UTF-8 sequences. clean() measures how far that
 * goes, and so much is copied at once. What stops it is a CR, a bad sequence, or one that the piece cuts
 * off; the latter is held until the next piece decides it.
 *
 * Held bytes are always the start of some valid sequence. So when one byte more makes them invalid, it
 * is just they that are bad, and that byte is looked at anew. With STRICT they have been passed on
 * already, and are held for the verdict alone. */
#include "base/text.h"

#include <string.h>

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum verdict { VALID, INVALID, INCOMPLETE };

/* The sequence at `s`, whose first byte is no ASCII, as far as `n` > 0 bytes tell (Unicode, table
 * 3-7). *ret_length: of the sequence; if INVALID, of the longest start that some sequence has, at
 * least 1; if INCOMPLETE, n. */
static enum verdict look(const unsigned char *s, size_t n, size_t *ret_length)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t length, i;

	if (s[0] < 0xc2 || s[0] > 0xf4) {
		*ret_length = 1;
		return INVALID;
	}
	length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0; /* less would have been shorter */
	else if (s[0] == 0xed)
		high = 0x9f; /* more would be a surrogate */
	else if (s[0] == 0xf0)
		low = 0x90; /* shorter */
	else if (s[0] == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	for (i = 1; i < length && i < n; i++) {
		if (s[i] < low || s[i] > high) {
			*ret_length = i;
			return INVALID;
		}
		low = 0x80;
		high = 0xbf;
	}
	*ret_length = i;
	return i < length ? INCOMPLETE : VALID;
}

/* The high bit of each byte that is ASCII and no CR; exact only if all of them have it. */
static uint64_t plain_bits(const unsigned char *s)
{
	uint64_t word;

	memcpy(&word, s, sizeof(word));
	return ((word ^ EACH_BYTE('\r')) + EACH_BYTE(0x7f)) & ~word & EACH_BYTE(0x80);
}

/* How many bytes from `s` on are ASCII and no CR. */
static size_t plain(const unsigned char *s, size_t n)
{
	size_t i = 0;

	while (n - i >= 32 && (plain_bits(s + i) & plain_bits(s + i + 8) & plain_bits(s + i + 16) &
			       plain_bits(s + i + 24)) == EACH_BYTE(0x80))
		i += 32;
	while (i < n && s[i] < 0x80 && s[i] != '\r')
		i++;
	return i;
}

/* How many bytes from `s` on can be passed on as they are: up to a CR, or a sequence that is bad or
 * not complete. */
static size_t clean(const unsigned char *s, size_t n)
{
	size_t i = plain(s, n), length;

	while (i < n && s[i] != '\r' && look(s + i, n - i, &length) == VALID) {
		i += length;
		i += plain(s + i, n - i);
	}
	return i;
}

static char *put(char *out, const void *bytes, size_t n)
{
	memmove(out, bytes, n); /* in place, with STRICT */
	return out + n;
}

/* Notes `n` bytes that are no UTF-8, `at` bytes into the stream, and passes them on in the mode's way. */
static char *put_bad(struct bri_text *text, char *out, const void *bytes, size_t n, uint64_t at)
{
	if (!text->invalid)
		text->invalid_at = at;
	text->invalid = true;
	if (text->mode == BRI_TEXT_REPLACE)
		return put(out, REPLACEMENT, strlen(REPLACEMENT));
	return bytes == text->held ? out : put(out, bytes, n); /* held: it has been */
}

/* Goes on with the sequence that earlier pieces began, until it is decided or `n` bytes of `s` are
 * used up. Returns how many were used. */
static size_t decide_held(struct bri_text *text, const unsigned char *s, size_t n, char **out)
{
	size_t used = 0, length;

	while (text->n_held > 0 && used < n) {
		enum verdict verdict;

		text->held[text->n_held] = s[used];
		verdict = look(text->held, text->n_held + 1, &length);
		if (verdict == INVALID) {
			*out = put_bad(text, *out, text->held, text->n_held,
				       text->total + used - text->n_held);
			text->n_held = 0;
			break;
		}
		text->n_held++;
		used++;
		if (text->mode == BRI_TEXT_STRICT)
			*out = put(*out, &text->held[text->n_held - 1], 1);
		else if (verdict == VALID)
			*out = put(*out, text->held, text->n_held);
		if (verdict == VALID)
			text->n_held = 0;
	}
	return used;
}

/* Holds the `n` bytes at the end of a piece that are the start of a sequence. */
static char *hold(struct bri_text *text, char *out, const unsigned char *s, size_t n)
{
	memcpy(text->held, s, n);
	text->n_held = n;
	return text->mode == BRI_TEXT_STRICT ? put(out, s, n) : out;
}

static char *filter(struct bri_text *text, const unsigned char *s, size_t n, char *out)
{
	size_t i = decide_held(text, s, n, &out), length;

	while (i < n) {
		if (text->after_cr && s[i] == '\n')
			i++;
		text->after_cr = false;
		length = clean(s + i, n - i);
		out = put(out, s + i, length);
		i += length;
		if (i == n)
			break;
		if (s[i] == '\r') {
			*out++ = '\n';
			text->after_cr = true;
			i++;
		} else if (look(s + i, n - i, &length) == INCOMPLETE) {
			out = hold(text, out, s + i, length);
			i += length;
		} else {
			out = put_bad(text, out, s + i, length, text->total + i);
			i += length;
		}
	}
	return out;
}

size_t bri_text_feed(struct bri_text *text, const char *in, size_t n, char *out)
{
	char *end;

	if (n == 0)
		return 0;
	end = text->mode == BRI_TEXT_BYTES ? put(out, in, n) :
					     filter(text, (const unsigned char *)in, n, out);
	text->total += n;
	return (size_t)(end - out);
}

size_t bri_text_finish(struct bri_text *text, char *out)
{
	char *end = out;

	if (text->n_held > 0)
		end = put_bad(text, out, text->held, text->n_held, text->total - text->n_held);
	text->n_held = 0;
	text->after_cr = false;
	return (size_t)(end - out);
}

size_t bri_text_valid(const char *in, size_t n)
{
	const unsigned char *s = (const unsigned char *)in;
	size_t i = 0;

	while (i < n && (i += clean(s + i, n - i)) < n && s[i] == '\r')
		i++;
	return i;
}
