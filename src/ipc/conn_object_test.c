#include <brood/conn.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static brood_conn *in, *out;

static void make(void)
{
	ck_assert_int_eq(brood_pipe(false, &in, &out), 0);
}

static void drop(void)
{
	in = brood_conn_free(in);
	out = brood_conn_free(out);
}

static void ck_goes_through(const brood_object *object)
{
	brood_object *got;

	ck_assert_int_eq(brood_conn_send(out, object, NULL, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_conn_recv(in, NULL, PATIENCE_NS, &got), 0);
	ck_assert_int_eq(brood_object_equal(object, got), 1);
	brood_object_free(got);
}

START_TEST(objects_go_through)
{
	char *text = malloc(20000);
	brood_object object =
		BROOD_DICT(BROOD_TEXT("name"), BROOD_TEXT("resize"), BROOD_TEXT("size"),
			   BROOD_TUPLE(BROOD_INT(640), BROOD_NONE));

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', 20000);
	make();
	ck_goes_through(&object);
	object = BROOD_NONE;
	ck_goes_through(&object);
	for (size_t size = 900; size < 1100; size++) {
		object = BROOD_BYTES(text, size);
		ck_goes_through(&object);
	}
	object = BROOD_TEXT_OF(text, 20000);
	ck_goes_through(&object);
	free(text);
	drop();
}
END_TEST

START_TEST(what_is_no_object_is_refused_and_the_next_one_comes)
{
	brood_fail fail = { 0 };
	const brood_pickle_opts opts = { .fail = &fail };
	brood_object object = BROOD_INT(1), *got;

	make();
	ck_assert_int_eq(brood_conn_send_bytes(out, "no pickle", 9, 0), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, "", 0, 0), 0);
	ck_assert_int_eq(brood_conn_send_bytes(out, "\x80\4cos\nsystem\n.", 14, 0), 0);
	ck_assert_int_lt(brood_conn_recv(in, &opts, 0, &got), 0);
	ck_assert_str_eq(fail.step, "pickle");
	ck_assert_int_eq(brood_conn_recv(in, &opts, 0, &got), -EBADMSG);
	ck_assert_int_eq(brood_conn_recv(in, &opts, 0, &got), -EPERM);
	ck_goes_through(&object);
	object = BROOD_TEXT("\xff");
	ck_assert_int_eq(brood_conn_send(out, &object, NULL, 0), -EILSEQ);
	ck_assert_int_eq(brood_conn_recv(in, NULL, 0, &got), -ETIMEDOUT);
	out = brood_conn_free(out);
	ck_assert_int_eq(brood_conn_recv(in, NULL, 0, &got), -EPIPE);
	drop();
}
END_TEST

/* Pickles that are small, and would be large, deep, or work. */
START_TEST(hostile_pickles_cost_little_and_the_next_one_comes)
{
	static const struct {
		const char *head, *again, *tail;
		int times, error;
	} cases[] = {
		{ "\x80\4", "]", "", 100000, -ELOOP },                   /* lists in lists */
		{ "\x80\4]\x94", "](h\1h\1e\x94", ".", 30, -ELOOP },     /* itself in itself */
		{ "\x80\2(", "(", "", 100000, -EBADMSG },                /* marks */
		{ "\x80\2Nr\xff\xff\xff\x7f", "", ".", 0, 0 },           /* a memo far away */
		{ "\x80\4X\xff\xff\xff\xff", "x", "", 10, -EBADMSG },    /* 4 GiB of text */
		{ "\x80\2\x8b\xff\xff\xff\x7f", "x", "", 10, -EBADMSG }, /* a long of 2 GiB */
		{ "\x80\2cposix\nsystem\nX", "\2", "id\x85R.", 1, -EPERM },
	};
	struct rusage before, after;
	int64_t began = brood_now();
	brood_object *got;

	make();
	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t head = strlen(cases[i].head), again = strlen(cases[i].again),
		       tail = strlen(cases[i].tail), size;
		char *pickle = malloc(head + again * (size_t)cases[i].times + tail + 1);
		brood_object one = BROOD_INT((int64_t)i);
		int r;

		ck_assert_ptr_nonnull(pickle);
		memcpy(pickle, cases[i].head, size = head);
		for (int k = 0; k < cases[i].times; k++, size += again)
			memcpy(pickle + size, cases[i].again, again);
		memcpy(pickle + size, cases[i].tail, tail);
		ck_assert_int_eq(brood_conn_send_bytes(out, pickle, size + tail, 0), 0);
		free(pickle);
		r = brood_conn_recv(in, NULL, 0, &got);
		ck_assert_msg(cases[i].error == 0 ? r == 0 || r < 0 : r < 0, "case %zu: %d", i, r);
		if (r == 0)
			brood_object_free(got);
		ck_goes_through(&one);
	}
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 256 << 10); /* KiB */
	ck_assert_int_lt(brood_now() - began, PATIENCE_NS);
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/conn_object");
	TCase *tcase = leak_case(suite, "object", 60);

	tcase_add_test(tcase, objects_go_through);
	tcase_add_test(tcase, what_is_no_object_is_refused_and_the_next_one_comes);
	tcase_add_test(tcase, hostile_pickles_cost_little_and_the_next_one_comes);
	return leak_run(suite);
}
