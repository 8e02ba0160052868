/* A stream in pieces comes out as the whole does, within the room that it was promised. The first
 * byte is the mode, the second the seed of the pieces' sizes. */
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int condition)
{
	if (!condition)
		abort();
}

/* Feeds one piece, from and to blocks of just the size that they must have. */
static size_t feed(struct bri_text *text, const uint8_t *data, size_t n, char *out)
{
	char *in = malloc(n + 1), *room = malloc(BRI_TEXT_ROOM(n));
	size_t size;

	need(in != NULL && room != NULL);
	memcpy(in + 1, data, n);
	size = bri_text_feed(text, in + 1, n, room);
	need(size <= BRI_TEXT_ROOM(n) && (size <= n || text->mode == BRI_TEXT_REPLACE));
	memcpy(out, room, size);
	free(in);
	free(room);
	return size;
}

static size_t finish(struct bri_text *text, char *out)
{
	char room[BRI_TEXT_ROOM(0)];
	size_t size = bri_text_finish(text, room);

	memcpy(out, room, size);
	return size;
}

/* What comes out can go in again, and is left as it is. */
static void check_stable(enum bri_text_mode mode, const char *out, size_t size, int invalid)
{
	struct bri_text text = { .mode = mode };
	char *again = malloc(BRI_TEXT_ROOM(size) + BRI_TEXT_ROOM(0));
	size_t n;

	need(again != NULL);
	n = feed(&text, (const uint8_t *)out, size, again);
	n += finish(&text, again + n);
	need(n == size && memcmp(again, out, n) == 0);
	need(text.invalid == (mode == BRI_TEXT_STRICT && invalid));
	need(mode == BRI_TEXT_BYTES || memchr(out, '\r', size) == NULL);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bri_text whole, pieces;
	enum bri_text_mode mode;
	char *once, *slowly;
	size_t n_once, n_slowly = 0, n;
	unsigned seed;

	if (size < 2)
		return 0;
	mode = (enum bri_text_mode)(data[0] % 3);
	seed = data[1];
	data += 2;
	size -= 2;
	whole = pieces = (struct bri_text){ .mode = mode };
	once = malloc(BRI_TEXT_ROOM(size) + BRI_TEXT_ROOM(0));
	slowly = malloc(BRI_TEXT_ROOM(size) + BRI_TEXT_ROOM(0));
	need(once != NULL && slowly != NULL);
	n_once = feed(&whole, data, size, once);
	n_once += finish(&whole, once + n_once);
	for (size_t at = 0; at < size; at += n) {
		seed = seed * 1103515245 + 12345;
		n = (seed >> 16) % 8 == 0 ? (seed >> 20) % 100 : (seed >> 20) % 5;
		n = n < size - at ? n : size - at;
		n_slowly += feed(&pieces, data + at, n, slowly + n_slowly);
	}
	n_slowly += finish(&pieces, slowly + n_slowly);
	need(n_once == n_slowly && memcmp(once, slowly, n_once) == 0);
	need(whole.invalid == pieces.invalid && whole.invalid_at == pieces.invalid_at);
	need(whole.total == size && pieces.total == size);
	check_stable(mode, once, n_once, whole.invalid);
	free(once);
	free(slowly);
	return 0;
}
