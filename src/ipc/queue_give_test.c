#include <brood/queue.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/queue_side.h"
#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

#define MIB ((size_t)1 << 20)
#define PIECE (200 * 1000)

static brood_queue *q;
static unsigned char out[PIECE], in[PIECE];

static void end(void)
{
	q = brood_queue_unref(q);
}

static void make(brood_queue_opts opts)
{
	ck_assert_int_eq(brood_queue_new(&opts, &q), 0);
}

static uint64_t used(void)
{
	struct stat status;

	ck_assert_int_eq(fstat(brood_queue_fd(q), &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void put_piece(uint64_t n)
{
	for (size_t i = 0; i + 8 <= PIECE; i += 512)
		memcpy(in + i, &(uint64_t){ n * 1000003 + i }, 8);
	ck_assert_int_eq(brood_queue_put(q, in, PIECE, 0), 0);
}

static void ck_piece(uint64_t n)
{
	uint64_t word;

	ck_assert_int_eq(brood_queue_get(q, out, PIECE, 0), PIECE);
	for (size_t i = 0; i + 8 <= PIECE; i += 512) {
		memcpy(&word, out + i, 8);
		ck_assert_uint_eq(word, n * 1000003 + i);
	}
}

/* A GiB goes through, some pieces at a time, several times around the ring: what is used is what is in it, and little more. */
START_TEST(what_went_through_is_given_back)
{
	enum { DEPTH = 5, PIECES = 5500 };
	uint64_t most = 0, now;

	make((brood_queue_opts){ .bytes = 256 * MIB });
	for (uint64_t n = 0; n < PIECES; n++) {
		put_piece(n);
		if (n >= DEPTH)
			ck_piece(n - DEPTH);
		if (n % 64 == 0) {
			now = used();
			most = now > most ? now : most;
		}
	}
	for (uint64_t n = PIECES - DEPTH; n < PIECES; n++)
		ck_piece(n);
	ck_assert_uint_le(most, 4 * MIB);
	ck_assert_uint_le(used(), 4 * MIB);
}
END_TEST

/* Filled to its limit, and emptied: that is caught up with, though not at once. */
START_TEST(what_a_flood_used_is_given_back)
{
	enum { MOST = 300 };
	uint64_t n;

	make((brood_queue_opts){ .bytes = 60 * MIB });
	for (int round = 0; round < 2; round++) {
		for (n = 0; n < MOST; n++)
			put_piece(n);
		ck_assert_uint_ge(used(), (uint64_t)MOST * PIECE);
		for (n = 0; n < MOST; n++)
			ck_piece(n);
		ck_assert_uint_le(used(), 4 * MIB);
	}
}
END_TEST

/* One as large as the limit, again and again; and the getter's place is as a killed one may have left it. */
START_TEST(the_largest_message_comes_whole)
{
	size_t size = 9 * MIB - 8;
	unsigned char *whole = malloc(size), *back = malloc(size);

	ck_assert(whole != NULL && back != NULL);
	make((brood_queue_opts){ .bytes = size });
	for (size_t i = 0; i < size; i++)
		whole[i] = (unsigned char)(i * 7 + i / 4096);
	for (int round = 0; round < 12; round++) {
		ck_assert_int_eq(brood_queue_put(q, whole, size, 0), 0);
		ck_assert_int_eq(brood_queue_put(q, "", 0, 0), -ETIMEDOUT);
		ck_assert_int_eq(brood_queue_get(q, back, size, 0), (ssize_t)size);
		ck_assert_mem_eq(whole, back, size);
		ck_assert_uint_le(used(), 12 * MIB);
		if (round % 3 == 0)
			q->memory->get.given = 0;
	}
	free(whole);
	free(back);
}
END_TEST

/* Small ones are not, nor named ones, whose memory was promised. */
START_TEST(some_keep_theirs)
{
	brood_queue *other;
	uint64_t before;

	make((brood_queue_opts){ .bytes = 4 * MIB - 8 });
	for (uint64_t n = 0; n < 50; n++) {
		put_piece(n);
		ck_piece(n);
	}
	ck_assert_uint_ge(used(), 4 * MIB);
	end();
	brood_queue_new(&(brood_queue_opts){ .name = "brood-test-give", .bytes = 8 * MIB - 8 }, &q);
	ck_assert_int_eq(brood_queue_open("brood-test-give", &other), 0);
	brood_queue_unref(other);
	before = used();
	ck_assert_uint_ge(before, 8 * MIB);
	for (uint64_t n = 0; n < 100; n++) {
		put_piece(n);
		ck_piece(n);
	}
	ck_assert_uint_ge(used(), before);
	ck_assert_int_eq(brood_queue_unlink(q), 0);
}
END_TEST

enum { EACH = 1000 };

static void produce(void *unused)
{
	(void)unused;
	for (int64_t n = 0; n < EACH; n++) {
		memset(in, (int)(n % 251), PIECE);
		must(brood_queue_put(q, in, (size_t)(PIECE - n), PATIENCE_NS) == 0);
	}
}

/* While others put: nothing of theirs is given back. */
START_TEST(nothing_that_is_being_put_is_lost)
{
	pid_t pid;

	make((brood_queue_opts){ .bytes = (_i == 0 ? 5 : 40) * MIB });
	pid = peer(produce, NULL);
	for (int64_t n = 0; n < EACH; n++) {
		ssize_t size = brood_queue_get(q, out, PIECE, PATIENCE_NS);

		ck_assert_int_eq(size, PIECE - n);
		ck_assert_int_eq(out[0], n % 251);
		ck_assert_mem_eq(out, out + 1, (size_t)size - 1);
		if (_i == 1 && n % 100 < 50)
			nap_ms(1); /* it fills, and empties */
	}
	ck_finishes(pid);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/queue_give");
	TCase *tcase = leak_case(suite, "give", 120);

	tcase_add_checked_fixture(tcase, NULL, end);
	tcase_add_test(tcase, what_went_through_is_given_back);
	tcase_add_test(tcase, what_a_flood_used_is_given_back);
	tcase_add_test(tcase, the_largest_message_comes_whole);
	tcase_add_test(tcase, some_keep_theirs);
	tcase_add_loop_test(tcase, nothing_that_is_being_put_is_lost, 0, 2);
	return leak_run(suite);
}
