#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/leak.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */
#define STRING(text) text, sizeof(text) - 1
#define ALL_GOOD UINT64_MAX

/* clang-format off */
/* What goes in, what STRICT and what REPLACE make of it, and where it stops being UTF-8. */
static const struct {
	const char *in;
	size_t in_size;
	const char *strict;
	size_t strict_size;
	const char *replaced;
	size_t replaced_size;
	uint64_t invalid_at;
} cases[] = {
#define SAME(text, out) { STRING(text), STRING(out), STRING(out), ALL_GOOD }
#define DIFFERS(text, out, at) { STRING(text), STRING(text), STRING(out), at }
	/* newlines */
	SAME("", ""),
	SAME("a\nb\n", "a\nb\n"),
	SAME("a\r\nb\r\n", "a\nb\n"),
	SAME("a\rb\r", "a\nb\n"),
	SAME("\r\r\n\n\r", "\n\n\n\n"),
	SAME("\n\r", "\n\n"),
	SAME("\r\n\n\r\n", "\n\n\n"),
	SAME("\r\xc3\xa4\n", "\n\xc3\xa4\n"),
	SAME("a\0b\r\n\0\r\0\n", "a\0b\n\0\n\0\n"),
	/* a run longer than what is looked at in one go, and what ends it at each place in it */
	SAME("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
	     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"),
	SAME("0123456789abcdef0123456789abcdef\xe2\x82\xac"
	     "0123456789abcdef0123456789abcdef",
	     "0123456789abcdef0123456789abcdef\xe2\x82\xac"
	     "0123456789abcdef0123456789abcdef"),
	/* the first and the last of each length, and those beside the surrogates */
	SAME("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
	     "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
	SAME("\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"),
	SAME(BAD, BAD),
	/* no start of anything */
	DIFFERS("\x80", BAD, 0),
	DIFFERS("a\x80\xbf" "b", "a" BAD BAD "b", 1),
	DIFFERS("\xc0\x80", BAD BAD, 0),
	DIFFERS("\xc1\xbf", BAD BAD, 0),
	DIFFERS("\xf5\x80\x80\x80", BAD BAD BAD BAD, 0),
	DIFFERS("\xfe\xff", BAD BAD, 0),
	/* longer than it need be, surrogates, beyond the last */
	DIFFERS("\xe0\x9f\xbf", BAD BAD BAD, 0),
	DIFFERS("\xf0\x8f\xbf\xbf", BAD BAD BAD BAD, 0),
	DIFFERS("\xed\xa0\x80", BAD BAD BAD, 0),
	DIFFERS("\xed\xbf\xbf", BAD BAD BAD, 0),
	DIFFERS("\xf4\x90\x80\x80", BAD BAD BAD BAD, 0),
	/* a start that leads nowhere is one, however long */
	DIFFERS("\xc3" "A", BAD "A", 0),
	DIFFERS("\xe2" "A", BAD "A", 0),
	DIFFERS("\xe2\x82" "A", BAD "A", 0),
	DIFFERS("\xf0\x9f\x98" "A", BAD "A", 0),
	DIFFERS("x\xe2\x82\xe2\x82\xac", "x" BAD "\xe2\x82\xac", 1),
	DIFFERS("\xf0\x9f\x98\xff" "A", BAD BAD "A", 0),
	DIFFERS("\xe2\xe2\xe2\x82\xac\xe2", BAD BAD "\xe2\x82\xac" BAD, 0),
	DIFFERS("\xf1\x80\x80\xe1\x80\xc2\x41", BAD BAD BAD "A", 0),
	/* not complete at the end */
	DIFFERS("a\xc3", "a" BAD, 1),
	DIFFERS("\xe2\x82", BAD, 0),
	DIFFERS("\xf0\x9f\x98", BAD, 0),
	DIFFERS("\xc3\xa4\xf0\x9f", "\xc3\xa4" BAD, 2),
	/* beside newlines */
	{ STRING("\r\xe2\r\n"), STRING("\n\xe2\n"), STRING("\n" BAD "\n"), 1 },
	{ STRING("\r\xe2\n"), STRING("\n\xe2\n"), STRING("\n" BAD "\n"), 1 },
	{ STRING("\xf0\x9f\r\r\n\x80\n"), STRING("\xf0\x9f\n\n\x80\n"), STRING(BAD "\n\n" BAD "\n"), 0 },
	{ STRING("\0\xff\0"), STRING("\0\xff\0"), STRING("\0" BAD "\0"), 1 },
};
/* clang-format on */
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

/* A stream, and all that came out of it. */
struct stream {
	struct bri_text text;
	char out[512];
	size_t size;
};

/* Feeds one piece. What is fed ends with its block, and the room for what comes out is a block of just
 * that size, so that a sanitizer sees a byte too many. */
static void feed(struct stream *stream, const char *in, size_t n)
{
	char *block = malloc(n + 1), *room = malloc(BRI_TEXT_ROOM(n)), *piece;
	size_t size;

	ck_assert(block != NULL && room != NULL);
	piece = block + 1;
	memcpy(piece, in, n);
	size = bri_text_feed(&stream->text, piece, n, room);
	ck_assert_uint_le(size, BRI_TEXT_ROOM(n));
	if (stream->text.mode != BRI_TEXT_REPLACE)
		ck_assert_uint_le(size, n);
	ck_assert_uint_le(size, sizeof(stream->out) - stream->size);
	memcpy(stream->out + stream->size, room, size);
	stream->size += size;
	free(block);
	free(room);
}

static void finish(struct stream *stream)
{
	char room[BRI_TEXT_ROOM(0)];
	size_t size = bri_text_finish(&stream->text, room);

	ck_assert_uint_le(size, stream->text.mode == BRI_TEXT_REPLACE ? sizeof(room) : 0);
	ck_assert_uint_le(size, sizeof(stream->out) - stream->size);
	memcpy(stream->out + stream->size, room, size);
	stream->size += size;
}

static void ck_case(const struct stream *stream, size_t i)
{
	bool replaced = stream->text.mode == BRI_TEXT_REPLACE;
	const char *wanted = replaced ? cases[i].replaced : cases[i].strict;
	size_t size = replaced ? cases[i].replaced_size : cases[i].strict_size;

	ck_assert_msg(stream->size == size && memcmp(stream->out, wanted, size) == 0,
		      "case %zu: %zu bytes came out: %.*s", i, stream->size, (int)stream->size,
		      stream->out);
	ck_assert_msg(stream->text.invalid == (cases[i].invalid_at != ALL_GOOD), "case %zu", i);
	ck_assert_msg(!stream->text.invalid || stream->text.invalid_at == cases[i].invalid_at,
		      "case %zu: bad at %llu", i, (unsigned long long)stream->text.invalid_at);
	ck_assert_uint_eq(stream->text.total, cases[i].in_size);
}

/* All that follow run once for each mode. */
#define MODE (_i != 0 ? BRI_TEXT_REPLACE : BRI_TEXT_STRICT)

START_TEST(a_whole_text_comes_out_as_the_table_says)
{
	for (size_t i = 0; i < N_CASES; i++) {
		struct stream stream = { .text.mode = MODE };

		feed(&stream, cases[i].in, cases[i].in_size);
		finish(&stream);
		ck_case(&stream, i);
	}
}
END_TEST

/* Each text in three pieces, cut at each pair of places. */
static void cut_everywhere(enum bri_text_mode mode, size_t i)
{
	const char *in = cases[i].in;
	size_t size = cases[i].in_size;

	for (size_t first = 0; first <= size; first++)
		for (size_t second = first; second <= size; second++) {
			struct stream stream = { .text.mode = mode };

			feed(&stream, in, first);
			feed(&stream, in + first, second - first);
			feed(&stream, in + second, size - second);
			finish(&stream);
			ck_case(&stream, i);
		}
}

START_TEST(it_does_not_matter_where_a_text_is_cut)
{
	for (size_t i = 0; i < N_CASES; i++)
		cut_everywhere(MODE, i);
}
END_TEST

START_TEST(byte_by_byte_it_is_the_same)
{
	for (size_t i = 0; i < N_CASES; i++) {
		struct stream stream = { .text.mode = MODE };

		for (size_t at = 0; at < cases[i].in_size; at++)
			feed(&stream, cases[i].in + at, 1);
		finish(&stream);
		ck_case(&stream, i);
	}
}
END_TEST

/* The case behind `before` other bytes. */
static void behind(enum bri_text_mode mode, size_t i, size_t before)
{
	struct stream stream = { .text.mode = mode };
	char whole[256];

	memset(whole, 'x', before);
	ck_assert_uint_le(before + cases[i].in_size, sizeof(whole));
	memcpy(whole + before, cases[i].in, cases[i].in_size);
	feed(&stream, whole, before + cases[i].in_size);
	finish(&stream);
	ck_assert_uint_ge(stream.size, before);
	ck_assert_mem_eq(stream.out, whole, before);
	stream.size -= before;
	memmove(stream.out, stream.out + before, stream.size);
	if (stream.text.invalid)
		stream.text.invalid_at -= before;
	stream.text.total -= before;
	ck_case(&stream, i);
}

START_TEST(whatever_stands_before_it_the_case_is_the_same)
{
	/* The words in which long runs are looked at begin at each place once. */
	for (size_t i = 0; i < N_CASES; i++)
		for (size_t before = 0; before < 70; before++)
			behind(MODE, i, before);
}
END_TEST

START_TEST(strict_works_in_place)
{
	for (size_t i = 0; i < N_CASES; i++) {
		struct bri_text text = { .mode = BRI_TEXT_STRICT };
		char bytes[256];
		size_t half = cases[i].in_size / 2, size, more;

		memcpy(bytes, cases[i].in, cases[i].in_size);
		size = bri_text_feed(&text, bytes, half, bytes);
		ck_assert_mem_eq(bytes, cases[i].strict, size);
		more = bri_text_feed(&text, bytes + half, cases[i].in_size - half, bytes + half);
		ck_assert_uint_eq(bri_text_finish(&text, NULL), 0);
		ck_assert_uint_eq(size + more, cases[i].strict_size);
		ck_assert_mem_eq(bytes + half, cases[i].strict + size, more);
	}
}
END_TEST

START_TEST(each_byte_alone_is_ascii_or_bad)
{
	for (int byte = 0; byte < 256; byte++) {
		struct stream stream = { .text.mode = BRI_TEXT_REPLACE };
		char in = (char)byte;

		feed(&stream, &in, 1);
		finish(&stream);
		ck_assert_int_eq(stream.text.invalid, byte >= 0x80);
		if (byte >= 0x80) {
			ck_assert_uint_eq(stream.size, strlen(BAD));
			ck_assert_mem_eq(stream.out, BAD, strlen(BAD));
		} else {
			ck_assert_uint_eq(stream.size, 1);
			ck_assert_int_eq(stream.out[0], byte == '\r' ? '\n' : byte);
		}
	}
}
END_TEST

START_TEST(no_byte_is_overlooked_in_a_long_run)
{
	for (int byte = 0; byte < 256; byte++)
		for (size_t at = 0; at < 64; at++) {
			struct bri_text text = { .mode = BRI_TEXT_STRICT };
			char in[64], out[BRI_TEXT_ROOM(64)];

			memset(in, 'x', sizeof(in));
			in[at] = (char)byte;
			ck_assert_uint_eq(bri_text_feed(&text, in, sizeof(in), out), sizeof(in));
			bri_text_finish(&text, out + sizeof(in));
			ck_assert_int_eq(text.invalid, byte >= 0x80);
			if (text.invalid)
				ck_assert_uint_eq(text.invalid_at, at);
			if (byte == '\r')
				in[at] = '\n';
			ck_assert_mem_eq(out, in, sizeof(in));
		}
}
END_TEST

/* One code point's bytes, by the definition; surrogates too. */
static size_t encode(uint32_t code, char bytes[4])
{
	if (code < 0x80) {
		bytes[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		bytes[0] = (char)(0xc0 | code >> 6);
		bytes[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		bytes[0] = (char)(0xe0 | code >> 12);
		bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
		bytes[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	bytes[0] = (char)(0xf0 | code >> 18);
	bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
	bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
	bytes[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

START_TEST(every_code_point_is_passed_on_and_no_surrogate_is)
{
	for (uint32_t code = 0; code < 0x120000; code++) {
		struct bri_text text = { .mode = BRI_TEXT_STRICT };
		bool good = code < 0xd800 || (code > 0xdfff && code <= 0x10ffff);
		char in[4], out[BRI_TEXT_ROOM(4)];
		size_t n = encode(code, in), size;

		if (code == '\r')
			continue;
		size = bri_text_feed(&text, in, n, out);
		bri_text_finish(&text, out + size);
		/* A million of Check's own checks would take seconds. */
		if (size != n || memcmp(in, out, n) != 0 || text.invalid == good)
			ck_abort_msg("U+%04X", (unsigned)code);
	}
}
END_TEST

START_TEST(bytes_are_left_alone)
{
	static const char in[] = "\r\n\xff\r\xe2";
	struct stream stream = { .text.mode = BRI_TEXT_BYTES };

	feed(&stream, in, sizeof(in));
	finish(&stream);
	ck_assert_uint_eq(stream.size, sizeof(in));
	ck_assert_mem_eq(stream.out, in, sizeof(in));
	ck_assert(!stream.text.invalid);
	ck_assert_uint_eq(stream.text.total, sizeof(in));
}
END_TEST

START_TEST(the_first_bad_place_is_kept)
{
	struct stream stream = { .text.mode = BRI_TEXT_STRICT };

	feed(&stream, STRING("abc\r\n\xe2\x82"));
	ck_assert(!stream.text.invalid);
	feed(&stream, STRING("!\xff"));
	ck_assert(stream.text.invalid);
	ck_assert_uint_eq(stream.text.invalid_at, 5);
	feed(&stream, STRING("\xc3"));
	finish(&stream);
	ck_assert_uint_eq(stream.text.invalid_at, 5);
}
END_TEST

START_TEST(nothing_waits_but_what_is_not_decided)
{
	struct stream stream = { .text.mode = BRI_TEXT_REPLACE };

	feed(&stream, STRING("a\r"));
	ck_assert_uint_eq(stream.size, 2);
	ck_assert_mem_eq(stream.out, "a\n", 2);
	feed(&stream, STRING("\n\xe2\x82"));
	ck_assert_uint_eq(stream.size, 2);
	feed(&stream, STRING("\xac"));
	ck_assert_uint_eq(stream.size, 5);
	ck_assert_mem_eq(stream.out, "a\n\xe2\x82\xac", 5);
}
END_TEST

START_TEST(a_finished_stream_can_be_followed_by_another)
{
	struct stream stream = { .text.mode = BRI_TEXT_REPLACE };

	feed(&stream, STRING("\xc3"));
	finish(&stream);
	finish(&stream); /* nothing is left for a second time */
	ck_assert_uint_eq(stream.size, strlen(BAD));
	feed(&stream, STRING("\xa4\r"));
	finish(&stream);
	feed(&stream, STRING("\n"));
	ck_assert_uint_eq(stream.size, strlen(BAD BAD "\n\n"));
	ck_assert_mem_eq(stream.out, BAD BAD "\n\n", stream.size);
}
END_TEST

START_TEST(all_that_is_valid_from_the_start_is_measured)
{
	for (size_t i = 0; i < N_CASES; i++) {
		uint64_t wanted = cases[i].invalid_at < cases[i].in_size ? cases[i].invalid_at :
									   cases[i].in_size;

		ck_assert_uint_eq(bri_text_valid(cases[i].in, cases[i].in_size), wanted);
	}
	ck_assert_uint_eq(bri_text_valid(NULL, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *table = leak_case(suite, "table", 60), *rest = leak_case(suite, "rest", 60);

	tcase_add_loop_test(table, a_whole_text_comes_out_as_the_table_says, 0, 2);
	tcase_add_loop_test(table, it_does_not_matter_where_a_text_is_cut, 0, 2);
	tcase_add_loop_test(table, byte_by_byte_it_is_the_same, 0, 2);
	tcase_add_loop_test(table, whatever_stands_before_it_the_case_is_the_same, 0, 2);
	tcase_add_test(table, strict_works_in_place);
	tcase_add_test(rest, all_that_is_valid_from_the_start_is_measured);
	tcase_add_test(rest, each_byte_alone_is_ascii_or_bad);
	tcase_add_test(rest, no_byte_is_overlooked_in_a_long_run);
	tcase_add_test(rest, every_code_point_is_passed_on_and_no_surrogate_is);
	tcase_add_test(rest, bytes_are_left_alone);
	tcase_add_test(rest, the_first_bad_place_is_kept);
	tcase_add_test(rest, nothing_waits_but_what_is_not_decided);
	tcase_add_test(rest, a_finished_stream_can_be_followed_by_another);
	return leak_run(suite);
}
