#include "proc/args.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static brood_fail why;
static jmp_buf out;

static void refuse(const brood_fail *fail)
{
	why = *fail;
	longjmp(out, 1);
}

static brood_args *here(const brood_object *objects)
{
	brood_args *args;

	ck_assert_int_eq(bri_args_here(objects, refuse, &args), 0);
	return args;
}

/* Checks that the accessor ends the function, with these words. */
#define ck_refused(call, words)                              \
	do {                                                 \
		if (setjmp(out) == 0) {                      \
			(void)(call);                        \
			ck_abort_msg("%s went well", #call); \
		}                                            \
		ck_assert_str_eq(why.step, "args");          \
		ck_assert_str_eq(why.text, words);           \
	} while (0)

START_TEST(each_type_becomes_an_argument)
{
	char text[] = "text";
	brood_args *args = here(BROOD_ARGS(
		(bool)true, (char)'x', (signed char)-1, (unsigned char)255, (short)-2,
		(unsigned short)65535, -3, 3u, LONG_MIN, ULONG_MAX, LLONG_MIN, ULLONG_MAX, 1.5f,
		2.5, text, "const", BROOD_NONE, BROOD_BYTES("\0\1", 2), true));
	const void *data;
	size_t size;

	ck_assert_uint_eq(brood_args_count(args), 19);
	ck_assert(brood_args_bool(args, 0));
	ck_assert_int_eq(brood_args_int(args, 1), 'x');
	ck_assert_int_eq(brood_args_int(args, 2), -1);
	ck_assert_int_eq(brood_args_int(args, 3), 255);
	ck_assert_int_eq(brood_args_int(args, 4), -2);
	ck_assert_int_eq(brood_args_int(args, 5), 65535);
	ck_assert_int_eq(brood_args_int(args, 6), -3);
	ck_assert_uint_eq(brood_args_uint(args, 7), 3);
	ck_assert_int_eq(brood_args_int(args, 8), LONG_MIN);
	ck_assert_uint_eq(brood_args_uint(args, 9), ULONG_MAX);
	ck_assert_int_eq(brood_args_int(args, 10), LLONG_MIN);
	ck_assert_uint_eq(brood_args_uint(args, 11), ULLONG_MAX);
	ck_assert_double_eq(brood_args_double(args, 12), 1.5);
	ck_assert_double_eq(brood_args_double(args, 13), 2.5);
	ck_assert_double_eq(brood_args_double(args, 6), -3.0);
	ck_assert_str_eq(brood_args_str(args, 14), "text");
	ck_assert_str_eq(brood_args_str(args, 15), "const");
	ck_assert(brood_args_is_none(args, 16) && !brood_args_is_none(args, 15));
	data = brood_args_bytes(args, 17, &size);
	ck_assert_uint_eq(size, 2);
	ck_assert_mem_eq(data, "\0\1", 2);
	ck_assert(brood_args_bool(args, 18)); /* an int, in C11 */
	ck_assert_ptr_eq(brood_args_object(args, 19), NULL);
	bri_args_free(args);
}
END_TEST

START_TEST(none_and_thirty_two)
{
	brood_args *args = here(BROOD_NO_ARGS);

	ck_assert_uint_eq(brood_args_count(args), 0);
	bri_args_free(args);
	args = here(BROOD_ARGS(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
			       20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31));
	ck_assert_uint_eq(brood_args_count(args), 32);
	for (size_t i = 0; i < 32; i++)
		ck_assert_int_eq(brood_args_int(args, i), (int64_t)i);
	bri_args_free(args);
}
END_TEST

START_TEST(a_text_without_end_gets_one)
{
	const char bytes[3] = { 'a', 'b', 'c' };
	brood_args *args = here(BROOD_ARGS(BROOD_TEXT_OF(bytes, 3), BROOD_TEXT_OF("a\0b", 3)));

	ck_assert_str_eq(brood_args_str(args, 0), "abc");
	ck_refused(brood_args_str(args, 1),
		   "argument 1: a text without NUL is wanted, and it does not fit");
	bri_args_free(args);
}
END_TEST

START_TEST(what_is_wrong_ends_the_function)
{
	brood_args *args = here(BROOD_ARGS(1, "two", -3, 4.5, 5));
	size_t size;

	ck_refused(brood_args_int(args, 5), "argument 5: an int is wanted, and there are 5");
	ck_refused(brood_args_is_none(args, 6),
		   "argument 6: an argument is wanted, and there are 5");
	ck_refused(brood_args_int(args, 1), "argument 1: an int is wanted, a text is there");
	ck_refused(brood_args_str(args, 0), "argument 0: a text is wanted, an int is there");
	ck_refused(brood_args_uint(args, 2),
		   "argument 2: an unsigned int is wanted, and it does not fit");
	ck_refused(brood_args_int(args, 3), "argument 3: an int is wanted, a float is there");
	ck_refused(brood_args_bool(args, 4), "argument 4: a bool is wanted, and it does not fit");
	ck_refused(brood_args_bytes(args, 1, &size),
		   "argument 1: bytes is wanted, a text is there");
	ck_refused(brood_args_double(args, 1), "argument 1: a float is wanted, a text is there");
	ck_refused(brood_args_queue(args, 0), "argument 0: a queue is wanted, an int is there");
	ck_refused(brood_args_fd(args, 0), "argument 0: a descriptor is wanted, an int is there");
	ck_refused(brood_args_lock(args, 7), "argument 7: a lock is wanted, and there are 5");
	bri_args_free(args);
}
END_TEST

/* ---- handles */

static struct shared {
	brood_lock lock;
	long counter;
	brood_event event;
} * s;
static brood_segment *segment;
static brood_queue *queue;
static brood_conn *in_end, *out_end;
static brood_list *words;
static int ends[2];

static void make(void)
{
	ck_assert_int_eq(brood_segment_new(sizeof(*s), NULL, &segment), 0);
	s = brood_segment_data(segment);
	ck_assert_int_eq(brood_lock_init(&s->lock), 0);
	ck_assert_int_eq(brood_event_init(&s->event), 0);
	ck_assert_int_eq(brood_queue_new(NULL, &queue), 0);
	ck_assert_int_eq(brood_pipe(false, &in_end, &out_end), 0);
	ck_assert_int_eq(brood_list_new(&(brood_item){ .kind = BROOD_ITEM_INT }, 1, NULL, &words),
			 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
}

static void end(void)
{
	brood_segment_unref(segment);
	brood_queue_unref(queue);
	brood_conn_free(in_end);
	brood_conn_free(out_end);
	brood_list_free(words);
	close(ends[0]);
	close(ends[1]);
}

START_TEST(handles_here_are_the_same)
{
	const brood_lock *same = &s->lock;
	brood_args *args = here(BROOD_ARGS(queue, &s->lock, same, BROOD_SHARED(&s->counter),
					   out_end, segment, BROOD_FD(ends[1]), words, &s->event));

	ck_assert_ptr_eq(brood_args_queue(args, 0), queue);
	ck_assert_ptr_eq(brood_args_lock(args, 1), &s->lock);
	ck_assert_ptr_eq(brood_args_lock(args, 2), &s->lock);
	ck_assert_ptr_eq(brood_args_shared(args, 3), &s->counter);
	ck_assert_ptr_eq(brood_args_conn(args, 4), out_end);
	ck_assert_ptr_eq(brood_args_segment(args, 5), segment);
	ck_assert_int_eq(brood_args_fd(args, 6), ends[1]);
	ck_assert_ptr_eq(brood_args_list(args, 7), words);
	ck_assert_ptr_eq(brood_args_event(args, 8), &s->event);
	ck_refused(brood_args_event(args, 1), "argument 1: an event is wanted, a lock is there");
	ck_refused(brood_args_queue(args, 4),
		   "argument 4: a queue is wanted, a connection is there");
	bri_args_free(args);
}
END_TEST

static void ck_cannot(const brood_object *args, int error, const char *words_)
{
	brood_fail fail = { .step = NULL };
	struct bri_packed packed;

	ck_assert_int_eq(bri_args_check(args, &fail), error);
	ck_assert_str_eq(fail.step, "args");
	ck_assert_msg(strstr(fail.text, words_) != NULL, "it says: %s", fail.text);
	ck_assert_int_eq(bri_args_pack(args, NULL, &packed), error);
}

START_TEST(what_cannot_be_an_argument)
{
	static char elsewhere[64] __attribute__((aligned(8)));
	const char *no_text = NULL;
	brood_queue *no_queue = NULL;
	brood_lock *stray = (brood_lock *)(void *)elsewhere;

	ck_assert_int_eq(bri_args_check(BROOD_NO_ARGS, NULL), 0);
	ck_cannot(BROOD_ARGS(1, stray), -EFAULT, "argument 1: memory in no segment");
	ck_cannot(BROOD_ARGS(BROOD_SHARED(share(64))), -EFAULT, "argument 0: memory in no segment");
	ck_cannot(BROOD_ARGS(BROOD_LIST(BROOD_INT(1), BROOD_SHARED(elsewhere))), -EFAULT,
		  "argument 0");
	ck_cannot(BROOD_ARGS(no_text), -EINVAL, "no string: a NULL");
	ck_cannot(BROOD_ARGS(1, 2, no_queue), -EINVAL, "argument 2: no handle: a NULL");
	ck_cannot(BROOD_ARGS(BROOD_HANDLE(7, queue)), -EINVAL, "a handle of no known type");
	ck_cannot(BROOD_ARGS("\xff"), -EILSEQ, "argument 0");
	ck_cannot(BROOD_ARGS(BROOD_FD(-1)), -EBADF, "no open descriptor");
	ck_cannot(BROOD_ARGS(BROOD_FD(1000)), -EBADF, "no open descriptor");
	brood_conn_close(out_end);
	ck_cannot(BROOD_ARGS(out_end), -EBADF, "argument 0: closed");
}
END_TEST

static struct bri_packed pack(const brood_object *args)
{
	struct bri_packed packed;

	ck_assert_int_eq(bri_args_check(args, NULL), 0);
	ck_assert_int_eq(bri_args_pack(args, NULL, &packed), 0);
	return packed;
}

static brood_child *exec_with(const struct bri_packed *packed)
{
	brood_pass pass[32];
	char number[8];
	int data[2];

	ck_assert_uint_lt(packed->n_fds, 31);
	ck_assert_int_eq(pipe2(data, O_CLOEXEC), 0);
	ck_assert_int_eq(write(data[1], packed->data, packed->size), (ssize_t)packed->size);
	close(data[1]);
	pass[0] = (brood_pass){ data[0], 3 };
	for (size_t i = 0; i < packed->n_fds; i++)
		pass[i + 1] = (brood_pass){ packed->fds[i], (int)i + 4 };
	snprintf(number, sizeof(number), "%zu", packed->n_fds);
	brood_child *child =
		start(BROOD_ARGV(CHILD("argue"), number),
		      &(brood_spawn_opts){ .pass = pass, .n_pass = packed->n_fds + 1 });
	close(data[0]);
	return child;
}

START_TEST(packed_they_reach_a_process_that_was_execed)
{
	struct bri_packed packed;
	brood_exit record;
	char buf[16];

	ck_assert_int_eq(brood_queue_put(queue, "work", 4, 0), 0);
	packed = pack(BROOD_ARGS(-3, UINT64_MAX, 0.5, "bob", BROOD_BYTES("\0\1", 2), BROOD_NONE,
				 queue, &s->lock, BROOD_SHARED(&s->counter), segment, out_end,
				 BROOD_FD(ends[1]), words, BROOD_LIST(brood_arg_of_queue(queue))));
	/* Each descriptor once: queue, segment, connection, pipe, list. */
	ck_assert_uint_eq(packed.n_fds, 5);
	record = finish(exec_with(&packed));
	bri_packed_fini(&packed);
	ck_assert_int_eq(brood_exit_code(&record), 0);
	ck_assert_int_eq(s->counter, 1);
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), 0);
	brood_lock_release(&s->lock);
	ck_assert_int_eq(brood_queue_get(queue, buf, sizeof(buf), 0), 4);
	ck_assert_mem_eq(buf, "done", 4);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood_conn_recv_into(in_end, buf, sizeof(buf), BROOD_SEC), 4);
		ck_assert_mem_eq(buf, "work", 4);
	}
	ck_assert_int_eq(read(ends[0], buf, sizeof(buf)), 4);
	ck_assert_mem_eq(buf, "here", 4);
}
END_TEST

/* A connection that is shared is so on the other side. */
START_TEST(a_shared_connection_keeps_its_locks)
{
	brood_conn *a, *b;
	struct bri_packed packed;
	brood_args *args;
	char buf[8];

	ck_assert_int_eq(brood_pipe_with(true, &(brood_conn_opts){ .shared = true }, &a, &b), 0);
	packed = pack(BROOD_ARGS(a));
	ck_assert_uint_eq(packed.n_fds, 2);
	ck_assert_int_eq(bri_args_unpack(packed.data, packed.size, packed.fds, packed.n_fds, refuse,
					 NULL, &args),
			 0);
	ck_assert_int_eq(brood_conn_send_bytes(brood_args_conn(args, 0), "x", 1, BROOD_SEC), 0);
	ck_assert_int_eq(brood_conn_recv_into(b, buf, sizeof(buf), BROOD_SEC), 1);
	bri_args_free(args);
	bri_packed_fini(&packed);
	brood_conn_free(a);
	brood_conn_free(b);
}
END_TEST

START_TEST(no_arguments_are_no_bytes)
{
	struct bri_packed packed = pack(BROOD_NO_ARGS);
	brood_args *args;

	ck_assert_uint_eq(packed.size, 0);
	ck_assert_int_eq(bri_args_unpack(packed.data, 0, packed.fds, 0, refuse, NULL, &args), 0);
	ck_assert_uint_eq(brood_args_count(args), 0);
	bri_args_free(args);
	bri_packed_fini(&packed);
}
END_TEST

/* Bytes that were changed on their way are refused, or are other arguments; nothing else happens. */
START_TEST(nothing_that_is_packed_is_trusted)
{
	struct bri_packed packed;
	brood_args *args;
	char *data;

	packed = pack(
		BROOD_ARGS(queue, &s->lock, segment, out_end, BROOD_FD(ends[1]), words, "x", 7));
	data = malloc(packed.size);
	ck_assert_ptr_nonnull(data);
	for (size_t size = 0; size < packed.size; size++)
		ck_assert_int_lt(bri_args_unpack(packed.data, size, packed.fds, packed.n_fds,
						 refuse, NULL, &args),
				 0);
	for (size_t n = 0; n < packed.n_fds; n++)
		ck_assert_int_lt(bri_args_unpack(packed.data, packed.size, packed.fds, n, refuse,
						 NULL, &args),
				 0);
	for (size_t i = 0; i < 8 * packed.size; i++) {
		memcpy(data, packed.data, packed.size);
		data[i / 8] = (char)(data[i / 8] ^ 1 << i % 8);
		if (bri_args_unpack(data, packed.size, packed.fds, packed.n_fds, refuse, NULL,
				    &args) == 0)
			bri_args_free(args);
	}
	free(data);
	bri_packed_fini(&packed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc/args");
	TCase *plain = leak_case(suite, "plain", 20), *handles = leak_case(suite, "handles", 60);

	tcase_add_test(plain, each_type_becomes_an_argument);
	tcase_add_test(plain, none_and_thirty_two);
	tcase_add_test(plain, a_text_without_end_gets_one);
	tcase_add_test(plain, what_is_wrong_ends_the_function);
	tcase_add_checked_fixture(handles, make, end);
	tcase_add_test(handles, handles_here_are_the_same);
	tcase_add_test(handles, what_cannot_be_an_argument);
	tcase_add_test(handles, packed_they_reach_a_process_that_was_execed);
	tcase_add_test(handles, a_shared_connection_keeps_its_locks);
	tcase_add_test(handles, no_arguments_are_no_bytes);
	tcase_add_test(handles, nothing_that_is_packed_is_trusted);
	return leak_run(suite);
}
