#include <brood/conn.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
	Suite *suite = suite_create("ipc/conn_object");
	TCase *tcase = leak_case(suite, "object", 60);

	tcase_add_test(tcase, objects_go_through);
	tcase_add_test(tcase, what_is_no_object_is_refused_and_the_next_one_comes);
	return leak_run(suite);
}
