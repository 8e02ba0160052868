/* digest - src/wire/digest.h and frame.h on request: tests/interop/wire_test.py compares them with hashlib,
 * hmac and struct
 *
 * Cases (frames.h): d: the name of a digest, and the pieces of a message; m: a name, a key, and the pieces;
 * the answer is the result. f: a length, in decimal; the answer is the head of such a message. */
#include "wire/digest.h"
#include "wire/frame.h"

#include "frames.h"

static enum bri_digest digest_named(const struct string *name)
{
	int digest = bri_digest_find(name->bytes, name->size);

	frames_need(digest >= 0);
	return (enum bri_digest)digest;
}

static void answer_digest(const struct string *strings, uint32_t n)
{
	unsigned char result[BRI_DIGEST_MOST];
	struct bri_hash hash;
	size_t size;

	frames_need(n >= 1);
	bri_hash_init(&hash, digest_named(&strings[0]));
	for (uint32_t i = 1; i < n; i++)
		bri_hash_feed(&hash, strings[i].bytes, strings[i].size);
	size = bri_hash_finish(&hash, result);
	put_string((char *)result, size);
}

static void answer_mac(const struct string *strings, uint32_t n)
{
	unsigned char result[BRI_DIGEST_MOST];
	struct bri_hmac hmac;
	size_t size;

	frames_need(n >= 2);
	bri_hmac_init(&hmac, digest_named(&strings[0]), strings[1].bytes, strings[1].size);
	for (uint32_t i = 2; i < n; i++)
		bri_hmac_feed(&hmac, strings[i].bytes, strings[i].size);
	size = bri_hmac_finish(&hmac, result);
	put_string((char *)result, size);
}

static void answer_head(const struct string *strings, uint32_t n)
{
	unsigned char head[BRI_FRAME_HEAD_MOST];
	size_t size;

	frames_need(n == 1);
	size = bri_frame_head(strtoull(strings[0].bytes, NULL, 10), head);
	put_string((char *)head, size);
}

int main(void)
{
	struct string *strings;
	uint32_t n;
	int letter;

	while ((letter = get_case(&strings, &n)) != EOF) {
		frames_need(letter == 'd' || letter == 'm' || letter == 'f');
		put_number(1);
		if (letter == 'd')
			answer_digest(strings, n);
		else if (letter == 'm')
			answer_mac(strings, n);
		else
			answer_head(strings, n);
		free_strings(strings, n);
	}
	return fflush(stdout) == 0 ? 0 : 3;
}
