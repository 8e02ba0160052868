/* text - src/base/text.h on request: tests/interop/text_test.py compares it with Python's decoders
 *
 * Cases (frames.h): s, r: a stream with BRI_TEXT_STRICT, _REPLACE; the strings are its pieces. The
 * answer is the output, and the offset of what is no UTF-8, or "". */
#include "base/text.h"

#include <inttypes.h>

#include "frames.h"

static void answer(enum bri_text_mode mode, const struct string *pieces, uint32_t n)
{
	struct bri_text text = { .mode = mode };
	size_t room = BRI_TEXT_ROOM(0), size = 0;
	char *out, number[24] = "";
	int digits = 0;

	for (uint32_t i = 0; i < n; i++)
		room += BRI_TEXT_ROOM(pieces[i].size);
	out = malloc(room);
	frames_need(out != NULL);
	for (uint32_t i = 0; i < n; i++)
		size += bri_text_feed(&text, pieces[i].bytes, pieces[i].size, out + size);
	size += bri_text_finish(&text, out + size);
	if (text.invalid)
		digits = snprintf(number, sizeof(number), "%" PRIu64, text.invalid_at);
	put_number(2);
	put_string(out, size);
	put_string(number, (size_t)digits);
	free(out);
}

int main(void)
{
	struct string *pieces;
	uint32_t n;
	int letter;

	while ((letter = get_case(&pieces, &n)) != EOF) {
		frames_need(letter == 's' || letter == 'r');
		answer(letter == 's' ? BRI_TEXT_STRICT : BRI_TEXT_REPLACE, pieces, n);
		free_strings(pieces, n);
	}
	return fflush(stdout) == 0 ? 0 : 3;
}
