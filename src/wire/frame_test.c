#include "wire/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/leak.h"

#define NO_LIMIT UINT64_MAX
#define BYTES(text) (const unsigned char *)(text), sizeof(text) - 1

/* A head, and what it says to who accepts all. */
static const struct {
	uint64_t size;
	const unsigned char *head;
	size_t head_size;
	bool canonical; /* what a writer makes */
} heads[] = {
	{ 0, BYTES("\0\0\0\0"), true },
	{ 1, BYTES("\0\0\0\1"), true },
	{ 0x01020304, BYTES("\1\2\3\4"), true },
	{ 16384, BYTES("\0\0\x40\0"), true },
	{ 0x7ffffffe, BYTES("\x7f\xff\xff\xfe"), true },
	{ 0x7fffffff, BYTES("\x7f\xff\xff\xff"), true },
	{ 0x80000000, BYTES("\xff\xff\xff\xff\0\0\0\0\x80\0\0\0"), true },
	{ 0xffffffff, BYTES("\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff"), true },
	{ 0x0102030405060708, BYTES("\xff\xff\xff\xff\1\2\3\4\5\6\7\x8"), true },
	{ INT64_MAX, BYTES("\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), true },
	{ 0, BYTES("\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), false },
	{ 5, BYTES("\xff\xff\xff\xff\0\0\0\0\0\0\0\5"), false },
	{ 0x7fffffff, BYTES("\xff\xff\xff\xff\0\0\0\0\x7f\xff\xff\xff"), false },
};
#define N_HEADS (int)(sizeof(heads) / sizeof(heads[0]))

START_TEST(a_head_is_written_as_cpython_does)
{
	unsigned char head[BRI_FRAME_HEAD_MOST];

	if (!heads[_i].canonical)
		return;
	ck_assert_uint_eq(bri_frame_head(heads[_i].size, head), heads[_i].head_size);
	ck_assert_mem_eq(head, heads[_i].head, heads[_i].head_size);
}
END_TEST

/* Whole, cut in two at each place, and byte by byte; a message of other bytes is behind it. */
START_TEST(a_head_is_read_however_it_is_cut)
{
	unsigned char stream[BRI_FRAME_HEAD_MOST + 3];
	size_t size = heads[_i].head_size;
	struct bri_frame frame;

	memcpy(stream, heads[_i].head, size);
	memset(stream + size, 0xff, 3);
	for (size_t cut = 0; cut <= size; cut++) {
		bri_frame_begin(&frame, NO_LIMIT);
		ck_assert_int_eq(bri_frame_feed(&frame, stream, cut, NULL), (ssize_t)cut);
		ck_assert_int_eq(bri_frame_feed(&frame, stream + cut, size + 3 - cut, NULL),
				 (ssize_t)(size - cut));
		ck_assert_uint_eq(bri_frame_wants(&frame), 0);
		ck_assert_uint_eq(frame.size, heads[_i].size);
	}
	bri_frame_begin(&frame, NO_LIMIT);
	for (size_t i = 0; i < size; i++) {
		ck_assert_uint_eq(bri_frame_wants(&frame), i < 4 ? 4 - i : 12 - i);
		ck_assert_int_eq(bri_frame_feed(&frame, stream + i, 1, NULL), 1);
	}
	ck_assert_uint_eq(bri_frame_wants(&frame), 0);
	ck_assert_uint_eq(frame.size, heads[_i].size);
	ck_assert_int_eq(bri_frame_feed(&frame, stream + size, 3, NULL), 0);
}
END_TEST

/* A reader that reads what is wanted reads no byte of the message, nor of the next one. */
START_TEST(no_more_is_wanted_than_the_head)
{
	struct bri_frame frame;
	size_t read = 0, n;

	bri_frame_begin(&frame, NO_LIMIT);
	while ((n = bri_frame_wants(&frame)) > 0) {
		ck_assert_int_eq(bri_frame_feed(&frame, heads[_i].head + read, n, NULL),
				 (ssize_t)n);
		read += n;
	}
	ck_assert_uint_eq(read, heads[_i].head_size);
}
END_TEST

/* Fails at the head's last byte, for good, and says why. */
static void ck_refused(const void *head, size_t size, uint64_t most, int error, const char *text)
{
	struct bri_frame frame;
	brood_fail fail = { 0 };

	bri_frame_begin(&frame, most);
	ck_assert_int_eq(bri_frame_feed(&frame, head, size - 1, &fail), (ssize_t)size - 1);
	ck_assert_ptr_null(fail.step);
	ck_assert_int_eq(bri_frame_feed(&frame, (const char *)head + size - 1, 1, &fail), -error);
	ck_assert_str_eq(fail.step, "frame");
	ck_assert_int_eq(fail.error, error);
	ck_assert_str_eq(fail.text, text);
	ck_assert_uint_eq(bri_frame_wants(&frame), 0);
	ck_assert_int_eq(bri_frame_feed(&frame, "\0\0\0\0", 4, &fail), -error);
	ck_assert_int_eq(bri_frame_end(&frame, 0, NULL), -error);
	bri_frame_begin(&frame, most);
	ck_assert_int_eq(bri_frame_feed(&frame, "\0\0\0\0", 4, NULL), 4);
}

START_TEST(a_negative_length_is_refused)
{
	ck_refused("\xff\xff\xff\xfe", 4, NO_LIMIT, EPROTO, "a message of -2 bytes");
	ck_refused("\x80\0\0\0", 4, NO_LIMIT, EPROTO, "a message of -2147483648 bytes");
	ck_refused("\x80\0\0\0", 4, 10, EPROTO, "a message of -2147483648 bytes");
}
END_TEST

START_TEST(more_than_the_limit_is_refused)
{
	struct bri_frame frame;

	ck_refused("\0\0\1\1", 4, 256, EMSGSIZE, "a message of 257 bytes, 256 at most");
	ck_refused("\0\0\0\1", 4, 0, EMSGSIZE, "a message of 1 bytes, 0 at most");
	ck_refused("\xff\xff\xff\xff\0\0\0\0\0\0\1\1", 12, 256, EMSGSIZE,
		   "a message of 257 bytes, 256 at most");
	ck_refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, NO_LIMIT, EMSGSIZE,
		   "a message of 18446744073709551615 bytes, 9223372036854775807 at most");
	ck_refused("\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, NO_LIMIT, EMSGSIZE,
		   "a message of 9223372036854775808 bytes, 9223372036854775807 at most");
	bri_frame_begin(&frame, 256);
	ck_assert_int_eq(bri_frame_feed(&frame, "\0\0\1\0", 4, NULL), 4);
	ck_assert_uint_eq(frame.size, 256);
	bri_frame_begin(&frame, 0);
	ck_assert_int_eq(bri_frame_feed(&frame, "\0\0\0\0", 4, NULL), 4);
	ck_assert_uint_eq(frame.size, 0);
}
END_TEST

/* The end between two messages is none; in one, it is an error that says where. */
START_TEST(where_the_stream_ended_is_told)
{
	brood_fail fail = { 0 };
	struct bri_frame frame;

	bri_frame_begin(&frame, NO_LIMIT);
	ck_assert_int_eq(bri_frame_end(&frame, 0, &fail), 0);
	for (size_t n = 1; n < 12; n++) {
		bri_frame_begin(&frame, NO_LIMIT);
		ck_assert_int_eq(bri_frame_feed(&frame, heads[8].head, n, NULL), (ssize_t)n);
		ck_assert_int_eq(bri_frame_end(&frame, 0, &fail), -ECONNRESET);
		ck_assert_str_eq(fail.text, "the stream ended in a message's head");
	}
	bri_frame_begin(&frame, NO_LIMIT);
	ck_assert_int_eq(bri_frame_feed(&frame, "\0\0\0\3", 4, NULL), 4);
	ck_assert_int_eq(bri_frame_end(&frame, 0, NULL), -ECONNRESET);
	ck_assert_int_eq(bri_frame_end(&frame, 2, &fail), -ECONNRESET);
	ck_assert_str_eq(fail.text, "the stream ended after 2 of a message's 3 bytes");
	ck_assert_int_eq(bri_frame_end(&frame, 3, NULL), 0);
	bri_frame_begin(&frame, NO_LIMIT);
	ck_assert_int_eq(bri_frame_feed(&frame, "\0\0\0\0", 4, NULL), 4);
	ck_assert_int_eq(bri_frame_end(&frame, 0, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tcase = leak_case(suite, "frame", 60);

	tcase_add_loop_test(tcase, a_head_is_written_as_cpython_does, 0, N_HEADS);
	tcase_add_loop_test(tcase, a_head_is_read_however_it_is_cut, 0, N_HEADS);
	tcase_add_loop_test(tcase, no_more_is_wanted_than_the_head, 0, N_HEADS);
	tcase_add_test(tcase, a_negative_length_is_refused);
	tcase_add_test(tcase, more_than_the_limit_is_refused);
	tcase_add_test(tcase, where_the_stream_ended_is_told);
	return leak_run(suite);
}
