#include <brood/queue.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "ipc/queue_end.h"
#include "tests/unit/leak.h"
#include "tests/unit/queues.h"

static struct shared {
	flag here[8], go;
	int result[8];
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
}

static int get(void)
{
	char buf[8];

	return (int)brood_queue_get(q, buf, sizeof(buf), 0);
}

static void get_one(void *nth)
{
	char buf[8];

	s->result[(intptr_t)nth] = (int)brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
}

static void put_one(void *nth)
{
	s->result[(intptr_t)nth] = brood_queue_put(q, "abc", 3, PATIENCE_NS);
}

static void join_it(void *nth)
{
	s->result[(intptr_t)nth] = brood_queue_join(q, PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
}

/* ---- discard */

START_TEST(what_is_in_it_is_dropped)
{
	char text[120], c;

	remake((brood_queue_opts){ .items = 2 });
	put("a");
	put("b");
	ck_assert_int_eq(brood_queue_discard(q), 0);
	ck_assert_int_eq(brood_queue_discard(q), 0);
	ck_assert_int_eq(brood_queue_is_closed(q), 1);
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(brood_queue_empty(q), 1);
	ck_assert_int_eq(brood_queue_full(q), 0);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
	brood_queue_describe(q, text, sizeof(text));
	ck_assert_str_eq(text,
			 "queue, 0 messages of at most 2, 0 bytes of at most 1048576, closed");
	ck_assert_int_eq(get(), -EPIPE);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_peek(q, &c, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_put(q, "c", 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(q), -EINVAL);
}
END_TEST

START_TEST(what_was_taken_is_waited_for)
{
	pid_t pid;

	put("a");
	put("b");
	put("c");
	ck_assert_int_eq(get(), 1);
	ck_assert_int_eq(get(), 1);
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	pid = peer(join_it, (void *)0);
	eventually(joiners() == 1);
	ck_assert_int_eq(brood_queue_discard(q), 0);
	ck_assert_int_eq(brood_queue_unfinished(q), 1);
	ck_assert_int_eq(brood_queue_join(q, 0), -ETIMEDOUT);
	eventually(joiners() == 1);
	ck_assert_int_eq(s->here[0], 0);
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_finishes(pid);
	ck_assert_int_eq(s->result[0], 0);
	ck_assert_int_eq(brood_queue_task_done(q), -EINVAL);
}
END_TEST

/* Who says it early, before it takes the message, is ahead of what was taken. */
START_TEST(what_was_said_early_does_no_harm)
{
	put("a");
	put("b");
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_assert_int_eq(brood_queue_discard(q), 0);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	ck_assert_int_eq(brood_queue_task_done(q), -EINVAL);
}
END_TEST

START_TEST(all_who_sleep_are_told_of_it)
{
	pid_t pids[6];

	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(get_one, (void *)i);
	eventually(getters() == 3);
	ck_assert_int_eq(brood_queue_discard(q), 0);
	for (int i = 0; i < 3; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], -EPIPE);
	}
	remake((brood_queue_opts){ .items = 1 });
	put("abc");
	for (intptr_t i = 0; i < 3; i++) {
		pids[i] = peer(put_one, (void *)i);
		pids[3 + i] = peer(join_it, (void *)(3 + i));
	}
	eventually(putters() == 3 && joiners() == 3);
	ck_assert_int_eq(brood_queue_discard(q), 0);
	for (int i = 0; i < 6; i++) {
		ck_finishes(pids[i]);
		ck_assert_int_eq(s->result[i], i < 3 ? -EPIPE : 0);
	}
}
END_TEST

/* The discarder was killed before it decided. */
static void discard_half(void)
{
	ck_assert_int_eq(brood_queue_close(q), 0);
	q->memory->done.at[1] = q->memory->done.at[0];
	q->memory->done.at[1].stop = BRI_STOP_DROP;
	q->memory->done.word += BRI_QUEUE_COMMIT;
}

START_TEST(who_joins_finishes_the_drop)
{
	put("a");
	put("b");
	discard_half();
	ck_assert_int_eq(brood_queue_size(q), 2); /* not decided */
	ck_assert_int_eq(brood_queue_unfinished(q), 2);
	ck_assert_int_eq(get(), 1);
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(get(), -EPIPE);
}
END_TEST

/* ---- producers */

static void produce_until_told(void *nth)
{
	must(brood_queue_produce(q) == 0);
	must(brood_queue_put(q, "abc", 3, 0) == 0);
	raise_flag(&s->here[4 + (intptr_t)nth]);
	await(&s->go);
	must(brood_queue_retire(q) == 0);
}

static void produce_and_end(void *how)
{
	char *argv[] = { (char *)(uintptr_t) "/bin/sleep", (char *)(uintptr_t) "60", NULL };

	must(brood_queue_produce(q) == 0);
	if (how == NULL)
		return;
	execv(argv[0], argv);
	must(false);
}

static void *produce_in_thread(void *unused)
{
	must(brood_queue_produce(q) == 0);
	return unused;
}

START_TEST(the_last_to_retire_ends_it)
{
	ck_assert_int_eq(brood_queue_retire(q), -EPERM);
	ck_assert_int_eq(brood_queue_produce(q), 0);
	ck_assert_int_eq(brood_queue_produce(q), 0);
	put("a");
	ck_assert_int_eq(brood_queue_retire(q), 0);
	ck_assert_int_eq(brood_queue_is_closed(q), 0);
	ck_assert_int_eq(brood_queue_put(q, "b", 1, 0), 0);
	ck_assert_int_eq(brood_queue_retire(q), 0);
	ck_assert_int_eq(brood_queue_is_closed(q), 1);
	ck_assert_int_eq(brood_queue_retire(q), -EPERM);
	ck_assert_int_eq(brood_queue_produce(q), -EPIPE);
	ck_assert_int_eq(brood_queue_put(q, "b", 1, 0), -EPIPE);
	ck_assert_int_eq(get(), 1);
	ck_assert_int_eq(get(), 1);
	ck_assert_int_eq(get(), -EPIPE);
}
END_TEST

/* Asleep beside them: told by the last one, whichever it is, and by nothing before. */
START_TEST(who_sleeps_is_told_of_the_last_death)
{
	pid_t producing[3], getting[2];

	for (intptr_t i = 0; i < 2; i++)
		getting[i] = peer(get_one, (void *)i);
	eventually(getters() == 2);
	for (intptr_t i = 0; i < 3; i++) {
		producing[i] = peer(produce_until_told, (void *)i);
		await(&s->here[4 + i]);
	}
	for (int i = 0; i < 2; i++) {
		ck_finishes(getting[i]);
		ck_assert_int_eq(s->result[i], 3);
	}
	ck_assert_int_eq(get(), 3);
	for (intptr_t i = 0; i < 2; i++) {
		s->here[i] = 0;
		getting[i] = peer(get_one, (void *)i);
	}
	eventually(getters() == 2);
	finish_off(producing[_i]);
	finish_off(producing[(_i + 1) % 3]);
	nap_ms(20);
	ck_assert_int_eq(getters(), 2);
	ck_assert_int_eq(s->here[0] + s->here[1], 0);
	if (_i == 0)
		finish_off(producing[2]);
	raise_flag(&s->go);
	for (int i = 0; i < 2; i++) {
		ck_finishes(getting[i]);
		ck_assert_int_eq(s->result[i], -EPIPE);
	}
	if (_i != 0)
		ck_finishes(producing[(_i + 2) % 3]);
	ck_assert_int_eq(brood_queue_is_closed(q), 1);
}
END_TEST

/* The first one comes while a getter sleeps that knows of none. */
START_TEST(a_sleeper_learns_of_producers)
{
	pid_t getting = peer(get_one, (void *)0), producing;

	eventually(getters() == 1);
	producing = peer(produce_and_end, NULL);
	ck_finishes(producing);
	ck_finishes(getting);
	ck_assert_int_eq(s->result[0], -EPIPE);
}
END_TEST

START_TEST(exec_and_a_threads_end_count)
{
	pthread_t thread;
	pid_t pid = peer(produce_and_end, s);

	eventually(get() == -EPIPE);
	finish_off(pid);
	remake((brood_queue_opts){ .items = 0 });
	ck_assert_int_eq(get(), -ETIMEDOUT);
	pthread_create(&thread, NULL, produce_in_thread, NULL);
	pthread_join(thread, NULL);
	ck_assert_int_eq(get(), -EPIPE);
}
END_TEST

START_TEST(there_are_sixty)
{
	for (int i = 0; i < 60; i++)
		ck_assert_int_eq(brood_queue_produce(q), 0);
	ck_assert_int_eq(brood_queue_produce(q), -EUSERS);
	ck_assert_int_eq(get(), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_retire(q), 0);
	ck_assert_int_eq(brood_queue_produce(q), 0);
	/* all others with the last reference, so that the robust list is whole */
	end();
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
	ck_assert_int_eq(brood_queue_produce(q), 0);
}
END_TEST

static void hold_roll(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&q->memory->roll, 0) == 0);
	raise_flag(&s->here[0]);
	await(&s->go);
	must(brood_queue_produce(q) == -EDEADLK); /* as a handler would */
	must(brood_lock_release(&q->memory->roll) == 0);
}

/* One that is about to come, and was stopped, holds up who would end the queue: a try for a moment, a wait to its timeout. */
START_TEST(the_end_waits_for_who_is_about_to_come)
{
	pid_t pid = peer(produce_and_end, NULL);
	char c;

	ck_finishes(pid);
	pid = peer(hold_roll, NULL);
	await(&s->here[0]);
	ck_assert_int_eq(get(), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 50 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_is_closed(q), 0);
	raise_flag(&s->go);
	ck_finishes(pid);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, PATIENCE_NS), -EPIPE);
}
END_TEST

enum { ROUNDS = 60 };

/* While one after the other comes and goes there is always one: nobody may find none. */
static void come_and_go(void *nth)
{
	int me = (int)(intptr_t)nth;

	for (int i = 0; i < ROUNDS; i++) {
		must(brood_queue_produce(q) == 0);
		__atomic_store_n(&s->result[me], i + 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&s->result[1 - me], __ATOMIC_SEQ_CST) < i + me)
			nap_ms(0);
		must(brood_queue_retire(q) == 0);
	}
}

static void keep_looking(void *unused)
{
	char c;

	(void)unused;
	while (brood_queue_get(q, &c, 1, 0) == -ETIMEDOUT)
		;
	must(s->result[0] == ROUNDS && s->result[1] == ROUNDS);
}

START_TEST(none_is_not_found_while_one_is_there)
{
	pid_t looking[2], pids[2];

	ck_assert_int_eq(brood_queue_produce(q), 0);
	for (intptr_t i = 0; i < 2; i++) {
		looking[i] = peer(keep_looking, NULL);
		pids[i] = peer(come_and_go, (void *)i);
	}
	for (int i = 0; i < 2; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(brood_queue_is_closed(q), 0);
	ck_assert_int_eq(brood_queue_retire(q), 0);
	for (int i = 0; i < 2; i++)
		ck_finishes(looking[i]);
}
END_TEST

START_TEST(what_is_no_queue_is_refused)
{
	ck_assert_int_eq(brood_queue_discard(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_produce(NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_retire(NULL), -EINVAL);
	q->memory->stamp ^= UINT64_C(1) << 40;
	ck_assert_int_eq(brood_queue_discard(q), -EXDEV);
	ck_assert_int_eq(brood_queue_produce(q), -EXDEV);
	ck_assert_int_eq(brood_queue_retire(q), -EXDEV);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/queue_end");
	TCase *tcase = leak_case(suite, "end", 90);

	tcase_add_checked_fixture(tcase, make, end);
	tcase_add_test(tcase, what_is_in_it_is_dropped);
	tcase_add_test(tcase, what_was_taken_is_waited_for);
	tcase_add_test(tcase, what_was_said_early_does_no_harm);
	tcase_add_test(tcase, all_who_sleep_are_told_of_it);
	tcase_add_test(tcase, who_joins_finishes_the_drop);
	tcase_add_test(tcase, the_last_to_retire_ends_it);
	tcase_add_loop_test(tcase, who_sleeps_is_told_of_the_last_death, 0, 3);
	tcase_add_test(tcase, a_sleeper_learns_of_producers);
	tcase_add_test(tcase, exec_and_a_threads_end_count);
	tcase_add_test(tcase, there_are_sixty);
	tcase_add_test(tcase, the_end_waits_for_who_is_about_to_come);
	tcase_add_test(tcase, none_is_not_found_while_one_is_there);
	tcase_add_test(tcase, what_is_no_queue_is_refused);
	return leak_run(suite);
}
