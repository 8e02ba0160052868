#include <brood/event.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	brood_event event, back;
	int result[8];
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_event_init(&s->event), 0);
	ck_assert_int_eq(brood_event_init(&s->back), 0);
}

START_TEST(it_is_set_and_cleared)
{
	int64_t began;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_event_is_set(&s->event), 0);
		ck_assert_int_eq(brood_event_wait(&s->event, 0), -ETIMEDOUT);
		ck_assert_int_eq(brood_event_set(&s->event), 0);
		ck_assert_int_eq(brood_event_set(&s->event), 0);
		ck_assert_int_eq(brood_event_is_set(&s->event), 1);
		ck_assert_int_eq(brood_event_wait(&s->event, 0), 0);
		ck_assert_int_eq(brood_event_wait(&s->event, BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_event_clear(&s->event), 0);
		ck_assert_int_eq(brood_event_clear(&s->event), 0);
	}
	began = brood_now();
	ck_assert_int_eq(brood_event_wait(&s->event, 60 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 60 * BROOD_MSEC);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static uint64_t memory[8];
	brood_event *bad[] = { NULL, (void *)memory, (void *)((char *)memory + 4) };
	char text[8];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_event_set(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_event_clear(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_event_is_set(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_event_wait(bad[i], 0), -EINVAL);
		ck_assert_int_eq(brood_event_waiters(bad[i]), -EINVAL);
		ck_assert_int_eq(brood_event_describe(bad[i], text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(brood_event_init(NULL), -EINVAL);
	ck_assert_int_eq(brood_event_init(bad[2]), -EINVAL);
}
END_TEST

static void wait_for_it(void *nth)
{
	s->result[(intptr_t)nth] = brood_event_wait(&s->event, PATIENCE_NS);
	must(s->result[(intptr_t)nth] == 0);
}

START_TEST(all_who_wait_are_let_through)
{
	pid_t pids[4];
	char text[80];

	for (intptr_t i = 0; i < 4; i++)
		pids[i] = peer(wait_for_it, (void *)i);
	eventually(brood_event_waiters(&s->event) == 4);
	brood_event_describe(&s->event, text, sizeof(text));
	ck_assert_str_eq(text, "event, clear, 4 waiting");
	finish_off(pids[2]);
	ck_assert_int_eq(brood_event_waiters(&s->event), 3);
	ck_assert_int_eq(brood_event_set(&s->event), 0);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			ck_finishes(pids[i]);
	brood_event_describe(&s->event, text, sizeof(text));
	ck_assert_str_eq(text, "event, set, 0 waiting");
	ck_assert_int_eq(brood_event_clear(&s->event), 0);
	ck_assert_uint_eq(s->event.word >> 31, 0);
}
END_TEST

/* Whoever waited sees that it was set, however short. */
START_TEST(set_and_cleared_at_once_is_not_missed)
{
	for (int round = 0; round < 50; round++) {
		pid_t pid = peer(wait_for_it, NULL);

		eventually(brood_event_waiters(&s->event) == 1);
		brood_event_set(&s->event);
		brood_event_clear(&s->event);
		ck_finishes(pid);
	}
}
END_TEST

static void answer(void *rounds)
{
	for (intptr_t i = 0; i < (intptr_t)rounds; i++) {
		must(brood_event_wait(&s->event, PATIENCE_NS) == 0);
		must(brood_event_clear(&s->event) == 0);
		must(brood_event_set(&s->back) == 0);
	}
}

START_TEST(two_call_each_other)
{
	pid_t pid = peer(answer, (void *)5000);

	for (int i = 0; i < 5000; i++) {
		ck_assert_int_eq(brood_event_set(&s->event), 0);
		ck_assert_int_eq(brood_event_wait(&s->back, PATIENCE_NS), 0);
		ck_assert_int_eq(brood_event_clear(&s->back), 0);
	}
	ck_finishes(pid);
}
END_TEST

static void *wait_in_thread(void *unused)
{
	ck_assert_int_eq(brood_event_wait(&s->event, PATIENCE_NS), 0);
	return unused;
}

START_TEST(threads_wait_too)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_in_thread, NULL), 0);
	eventually(brood_event_waiters(&s->event) == 3);
	ck_assert_int_eq(brood_event_set(&s->event), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

static void set_in_handler(int signum)
{
	int saved = errno;

	(void)signum;
	brood_event_set(&s->event);
	errno = saved;
}

/* One signal each time, so none that is missed can be made good by the next. ThreadSanitizer however keeps a signal that
 * comes just before a sleep until that has ended, and needs another to end it. */
static void wait_for_handler(void *unused)
{
	struct sigaction action = { .sa_handler = set_in_handler };
	struct itimerval once = { { 0, is_sanitized ? 20000 : 0 }, { 0, 300 } };

	(void)unused;
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < 100; i++) {
		setitimer(ITIMER_REAL, &once, NULL);
		must(brood_event_wait(&s->event, PATIENCE_NS) == 0);
		must(brood_event_clear(&s->event) == 0);
	}
}

START_TEST(a_handler_may_set_what_its_thread_waits_for)
{
	ck_finishes(peer(wait_for_handler, NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/event");
	TCase *event = leak_case(suite, "event", 60);

	tcase_add_checked_fixture(event, make, NULL);
	tcase_add_test(event, it_is_set_and_cleared);
	tcase_add_test(event, what_is_none_is_refused);
	tcase_add_test(event, all_who_wait_are_let_through);
	tcase_add_test(event, set_and_cleared_at_once_is_not_missed);
	tcase_add_test(event, two_call_each_other);
	tcase_add_test(event, threads_wait_too);
	tcase_add_test(event, a_handler_may_set_what_its_thread_waits_for);
	return leak_run(suite);
}
