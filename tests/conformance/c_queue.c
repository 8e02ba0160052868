/* Queues as CPython's own tests have them: group C of the conformance cases
 *
 * Each case is one of those of CPython 3.13's test suite (its class and method in brackets), or of its issues, in
 * brood's words: Empty and Full are -ETIMEDOUT here, ValueError of a closed queue is -EPIPE.
 *
 * Where two processes have to do with the queue it is an argument, and the other one started by each method.
 *
 * Left out: what is about the feeder thread and pickling, which are not here. CPython gives get() and
 * put() a time-out that does not count unless they block; here there is one number for both. */
#include <brood/queue.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/methods.h"

#define AT_ONCE_NS (10 * BROOD_SEC)
#define SHORT_NS (35 * BROOD_MSEC)
#define LONG_NS (140 * BROOD_MSEC)

static brood_queue *q;
static struct shared {
	flag go, there;
	int number;
} * s;

static void make(void)
{
	s = share_far(sizeof(*s));
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
}

static void drop(void)
{
	q = brood_queue_unref(q);
}

static void end(void)
{
	drop();
	unshare_far();
}

/* Starts it, with the queue to be its own. */
static brood_process *start_with_queue(brood_process_target *target)
{
	return start_it(target, BROOD_ARGS(q), NULL);
}

static void take_queue(const brood_args *args)
{
	q = brood_args_queue(args, 0);
}

static int put(int number, int64_t timeout_ns)
{
	return brood_queue_put(q, &number, sizeof(number), timeout_ns);
}

/* The number, or the error. */
static int get(int64_t timeout_ns)
{
	int number = 0;
	ssize_t n = brood_queue_get(q, &number, sizeof(number), timeout_ns);

	return n < 0 ? (int)n : number;
}

/* Checks that `act` says that it timed out, and took so long. */
#define ck_times_out(act, at_least, at_most)                         \
	do {                                                         \
		int64_t began_ = brood_now(), took_;                 \
                                                                     \
		ck_assert_int_eq(act, -ETIMEDOUT);                   \
		took_ = brood_now() - began_;                        \
		ck_assert(took_ >= (at_least) && took_ < (at_most)); \
	} while (0)

static int drain_at_a_sign(const brood_args *args)
{
	take_queue(args);
	await(&s->go);
	for (int i = 1; i <= 6; i++)
		must(get(PATIENCE_NS) == i);
	raise_flag(&s->there);
	return 0;
}

/* C01 (_TestQueue.test_put) */
START_TEST(c01_put)
{
	brood_process *p;

	drop();
	ck_assert_int_eq(brood_queue_new(&(brood_queue_opts){ .items = 6 }, &q), 0);
	p = start_with_queue(drain_at_a_sign);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(brood_queue_full(q), 0);
	ck_assert_int_eq(put(1, BROOD_FOREVER), 0);
	ck_assert_int_eq(put(2, BROOD_SEC), 0);
	ck_assert_int_eq(put(3, 1), 0);
	ck_assert_int_eq(put(4, 0), 0);
	ck_assert_int_eq(put(5, -1), 0);
	ck_assert_int_eq(put(6, INT64_MIN), 0);
	ck_assert_int_eq(brood_queue_empty(q), 0);
	ck_assert_int_eq(brood_queue_full(q), 1);
	ck_times_out(put(7, 0), 0, AT_ONCE_NS);
	ck_times_out(put(7, -BROOD_SEC), 0, AT_ONCE_NS);
	ck_times_out(put(7, SHORT_NS), SHORT_NS, AT_ONCE_NS);
	ck_times_out(put(7, LONG_NS), LONG_NS, AT_ONCE_NS);
	raise_flag(&s->go);
	await(&s->there);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(brood_queue_full(q), 0);
	ck_assert_int_eq(end_of(p), 0);
}
END_TEST

static int put_four(const brood_args *args)
{
	take_queue(args);
	await(&s->go);
	for (int i = 2; i <= 5; i++)
		must(put(i, 0) == 0);
	raise_flag(&s->there);
	return 0;
}

/* C02 (_TestQueue.test_get) */
START_TEST(c02_get)
{
	brood_process *p = start_with_queue(put_four);

	ck_assert_int_eq(brood_queue_empty(q), 1);
	raise_flag(&s->go);
	await(&s->there);
	ck_assert_int_eq(brood_queue_empty(q), 0);
	ck_assert_int_eq(get(BROOD_FOREVER), 2);
	ck_assert_int_eq(get(BROOD_SEC), 3);
	ck_assert_int_eq(get(0), 4);
	ck_assert_int_eq(get(-1), 5);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_times_out(get(0), 0, AT_ONCE_NS);
	ck_times_out(get(-BROOD_SEC), 0, AT_ONCE_NS);
	ck_times_out(get(SHORT_NS), SHORT_NS, AT_ONCE_NS);
	ck_times_out(get(LONG_NS), LONG_NS, AT_ONCE_NS);
	ck_assert_int_eq(end_of(p), 0);
}
END_TEST

/* C04 (_TestQueue.test_qsize) */
START_TEST(c04_qsize)
{
	ck_assert_int_eq(brood_queue_size(q), 0);
	put(1, 0);
	ck_assert_int_eq(brood_queue_size(q), 1);
	put(5, 0);
	ck_assert_int_eq(brood_queue_size(q), 2);
	get(0);
	ck_assert_int_eq(brood_queue_size(q), 1);
	get(0);
	ck_assert_int_eq(brood_queue_size(q), 0);
}
END_TEST

static int work(const brood_args *args)
{
	int number;

	take_queue(args);
	while ((number = get(PATIENCE_NS)) != -1) { /* None, for CPython's workers */
		must(number >= 0);
		nap_ms(10);
		__atomic_fetch_add(&s->number, 1, __ATOMIC_SEQ_CST);
		must(brood_queue_task_done(q) == 0);
	}
	must(brood_queue_task_done(q) == 0);
	return 0;
}

/* C05 (_TestQueue.test_task_done) */
START_TEST(c05_task_done)
{
	brood_process *workers[4];

	for (int i = 0; i < 4; i++)
		workers[i] = start_with_queue(work);
	for (int i = 0; i < 10; i++)
		put(i, 0);
	ck_assert_int_eq(brood_queue_join(q, PATIENCE_NS), 0);
	ck_assert_int_eq(s->number, 10);
	for (int i = 0; i < 4; i++)
		put(-1, 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(end_of(workers[i]), 0);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(q), -EINVAL);
}
END_TEST

/* C06 (_TestQueue.test_timeout) */
START_TEST(c06_timeout)
{
	ck_times_out(get(200 * BROOD_MSEC), 180 * BROOD_MSEC, AT_ONCE_NS);
}
END_TEST

/* C08 (_TestQueue.test_closed_queue_put_get). brood's queue is closed for all, and gives what is in it first. */
START_TEST(c08_closed_put_get)
{
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(put(1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(put(1, 0), -EPIPE);
	ck_assert_int_eq(get(BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(get(0), -EPIPE);
}
END_TEST

/* C09 (_TestQueue.test_closed_queue_empty). An OSError there; here it is empty still, and closed. */
START_TEST(c09_closed_empty)
{
	put(1, 0);
	ck_assert_int_eq(get(0), 1);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	brood_queue_close(q);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(brood_queue_is_closed(q), 1);
}
END_TEST

static int put_one(const brood_args *args)
{
	take_queue(args);
	must(put(7, 0) == 0);
	return 0;
}

/* C10 (TestSimpleQueue.test_empty, test_close) */
START_TEST(c10_simple)
{
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(end_of(start_with_queue(put_one)), 0);
	ck_assert_int_eq(brood_queue_empty(q), 0);
	ck_assert_int_eq(get(0), 7);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_close(q), 0);
}
END_TEST

static char large[200000];

static int put_large(const brood_args *args)
{
	take_queue(args);
	memset(large, 'x', sizeof(large));
	must(brood_queue_put(q, large, sizeof(large), 0) == 0);
	return 0;
}

/* C11 ("Joining processes that use queues"): the putter ends first, and the message stays. */
START_TEST(c11_join_before_get)
{
	ck_assert_int_eq(end_of(start_with_queue(put_large)), 0);
	ck_assert_int_eq(brood_queue_get(q, large, sizeof(large), 0), sizeof(large));
	ck_assert_int_eq(large[0], 'x');
	ck_assert_int_eq(large[sizeof(large) - 1], 'x');
}
END_TEST

static int put_on_and_on(const brood_args *args)
{
	take_queue(args);
	for (;;) {
		memset(large, ++s->number, 5000);
		must(brood_queue_put(q, large, 5000, PATIENCE_NS) == 0);
	}
}

/* C12 (gh-87971): a putter is killed while it puts. */
START_TEST(c12_killed_putter)
{
	char buf[5000];
	ssize_t n;

	for (int round = 0; round < 50; round++) {
		brood_process *p = start_with_queue(put_on_and_on);

		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS), 5000);
		ck_assert_int_eq(brood_process_kill(p), 0);
		ck_assert_int_eq(end_of(p), -SIGKILL);
		while ((n = brood_queue_get(q, buf, sizeof(buf), 0)) >= 0) {
			ck_assert_int_eq(n, 5000);
			ck_assert_int_eq(memcmp(buf, buf + 1, sizeof(buf) - 1), 0);
		}
		ck_assert_int_eq(n, -ETIMEDOUT);
	}
	ck_assert_int_eq(put(3, 0), 0);
	brood_queue_close(q);
	ck_assert_int_eq(get(BROOD_FOREVER), 3);
	ck_assert_int_eq(get(BROOD_FOREVER), -EPIPE);
}
END_TEST

/* C13 (gh-142837) */
START_TEST(c13_put_is_seen)
{
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(put(i, 0), 0);
		ck_assert_int_eq(brood_queue_empty(q), 0);
		ck_assert_int_eq(get(0), i);
	}
}
END_TEST

/* Where another process puts or gets. */
static void add_shared(TCase *queue, brood_start_method method)
{
	(void)method;
	tcase_add_test(queue, c01_put);
	tcase_add_test(queue, c02_get);
	tcase_add_test(queue, c05_task_done);
	tcase_add_test(queue, c10_simple);
	tcase_add_test(queue, c11_join_before_get);
	tcase_add_test(queue, c12_killed_putter);
}

int main(void)
{
	Suite *suite = suite_create("conformance/queue");
	TCase *queue = leak_case(suite, "queue", 60);

	s = reach(sizeof(*s));
	brood_init();
	tcase_add_checked_fixture(queue, make, end);
	tcase_add_test(queue, c04_qsize);
	tcase_add_test(queue, c06_timeout);
	tcase_add_test(queue, c08_closed_put_get);
	tcase_add_test(queue, c09_closed_empty);
	tcase_add_test(queue, c13_put_is_seen);
	add_for_each_method(suite, make, end, add_shared);
	return leak_run(suite);
}
