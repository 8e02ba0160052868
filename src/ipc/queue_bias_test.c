#include "ipc/queue_bias.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fence.h"
#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

enum { MANY = 100 }; /* turns in a row that are enough for a bias */

static struct shared {
	flag here[BRI_SLOTS], go, over;
} * s;
static brood_queue *q;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
}

static void end(void)
{
	q = brood_queue_unref(q);
}

static struct bri_side *put_side(void)
{
	return &q->memory->put;
}

static struct bri_side *get_side(void)
{
	return &q->memory->get;
}

static bool is_biased_to_me(struct bri_side *side)
{
	return bri_bias_names(bri_thread(), __atomic_load_n(&side->bias, __ATOMIC_SEQ_CST));
}

/* Where membarrier is refused nobody ever is. */
static bool can_be(void)
{
	return bri_fence_join() == 0 && bri_fence_others() == 0;
}

static void put(const char *text)
{
	must(brood_queue_put(q, text, strlen(text), PATIENCE_NS) == 0);
}

static void get(const char *text)
{
	char buf[64] = "";

	must(brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS) == (ssize_t)strlen(text));
	must(strcmp(buf, text) == 0);
}

static void use_both_sides(void)
{
	for (int i = 0; i < MANY; i++) {
		put("a");
		get("a");
	}
}

START_TEST(who_uses_a_side_alone_is_biased)
{
	char buf[4], b[] = "b", cd[] = "cd";

	use_both_sides();
	ck_assert_int_eq(is_biased_to_me(put_side()), can_be());
	ck_assert_int_eq(is_biased_to_me(get_side()), can_be());
	for (int i = 0; i < MANY; i++) {
		struct iovec two[2] = { { b, 1 }, { cd, 2 } };

		ck_assert_int_eq(brood_queue_put_many(q, two, 2, 0), 2);
		ck_assert_int_eq(brood_queue_peek(q, buf, sizeof(buf), 0), 1);
		get("b");
		get("cd");
		ck_assert_int_eq(brood_queue_get(q, buf, sizeof(buf), 0), -ETIMEDOUT);
		ck_assert_int_eq(brood_queue_get(q, NULL, 0, 0), -ETIMEDOUT);
	}
	for (ssize_t n = brood_queue_unfinished(q); n > 0; n--)
		ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_assert_int_eq(is_biased_to_me(&q->memory->done), can_be());
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	ck_assert_int_eq(brood_queue_put(q, buf, BROOD_QUEUE_BYTES + 1, 0), -EMSGSIZE);
	put("last");
	ck_assert_int_eq(brood_queue_get(q, buf, 2, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, 0), -EPIPE);
	get("last");
	ck_assert_int_eq(brood_queue_get(q, buf, sizeof(buf), 0), -EPIPE);
}
END_TEST

static void put_one(void *text)
{
	put(text);
}

static pid_t with_text(void (*body)(void *), const char *text)
{
	return peer(body, (void *)(uintptr_t)text);
}

/* … without a word from the one that had it; and that one takes it back. */
START_TEST(another_takes_an_idle_one_s_side)
{
	for (int round = 0; round < 5; round++) {
		int64_t began;

		use_both_sides();
		put("mine");
		began = brood_now();
		ck_finishes(with_text(put_one, "another's"));
		ck_assert_int_lt(brood_now() - began, 5 * BROOD_SEC);
		ck_assert(!is_biased_to_me(put_side()));
		put("mine again");
		get("mine");
		get("another's");
		get("mine again");
	}
	if (can_be())
		ck_assert_int_gt(put_side()->need, MANY / 2); /* too often, to pay */
	for (int i = 0; i < 20 * MANY; i++)
		use_both_sides();
	ck_assert_int_eq(is_biased_to_me(put_side()), can_be());
}
END_TEST

static void get_both(void *unused)
{
	(void)unused;
	get("x");
	get("y");
}

static int sleepers(struct bri_side *side)
{
	return bri_futex_count(&side->word);
}

/* Whoever falls asleep ends the bias of the other side; it says whose commits wake it. */
START_TEST(a_sleeper_ends_it)
{
	pid_t pid;

	use_both_sides();
	pid = peer(get_both, NULL);
	eventually(sleepers(put_side()) == 1);
	ck_assert(put_side()->bias == 0);
	put("x");
	eventually(sleepers(put_side()) == 1);
	put("y");
	ck_finishes(pid);
}
END_TEST

static struct bri_slot *enter(struct bri_side *side, void **ret_before)
{
	struct bri_slot *slot;

	use_both_sides();
	slot = bri_bias_enter(bri_thread(), side, ret_before);
	must(slot != NULL);
	return slot;
}

/* As a handler does that interrupts a put. */
START_TEST(a_handler_is_refused_the_side_that_it_interrupts)
{
	struct bri_slot *slot;
	void *before = NULL;
	char c;

	if (!can_be())
		return;
	slot = enter(put_side(), &before);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, 0), -EDEADLK);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, BROOD_FOREVER), -EDEADLK);
	ck_assert_int_eq(brood_queue_close(q), -EDEADLK);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	bri_bias_leave(bri_thread(), put_side(), slot, before);
	ck_assert_int_eq(brood_queue_close(q), 0);
}
END_TEST

/* … that waits for a message then, and would have to be waked by whom it interrupts. */
START_TEST(a_handler_does_not_sleep_on_the_side_that_it_interrupts)
{
	struct bri_slot *slot;
	void *before = NULL;
	char c;

	if (!can_be())
		return;
	slot = enter(put_side(), &before);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, BROOD_FOREVER), -EDEADLK);
	bri_bias_leave(bri_thread(), put_side(), slot, before);
	put("x");
	get("x");
}
END_TEST

/* It has left, but for the wake of who waits for that, when it is interrupted: the handler's put makes the wake. */
START_TEST(a_handler_makes_the_wake_that_is_still_to_come)
{
	struct bri_slot *slot;
	void *before = NULL;
	pid_t pid;

	if (!can_be())
		return;
	slot = enter(put_side(), &before);
	pid = with_text(put_one, "first");
	eventually(bri_futex_count(bri_slot_word(slot)) == 1);
	bri_unlink(bri_thread(), &slot->prev, &slot->next);
	__atomic_store_n(bri_slot_word(slot), 0, __ATOMIC_SEQ_CST);
	put("second"); /* waits for the lock, which the peer holds */
	bri_insure(bri_thread(), before);
	ck_finishes(pid);
	get("first");
	get("second");
}
END_TEST

static void stay_in_it(void *unused)
{
	void *before = NULL;
	struct bri_slot *slot = enter(put_side(), &before);

	(void)unused;
	raise_flag(&s->here[0]);
	await(&s->go);
	bri_bias_leave(bri_thread(), put_side(), slot, before);
	raise_flag(&s->over);
	put("of the one that was stopped");
}

/* As if it were stopped in the middle of a put. */
START_TEST(tries_give_up_behind_a_stopped_one)
{
	int64_t began = brood_now();
	pid_t pid;

	if (!can_be())
		return;
	pid = peer(stay_in_it, NULL);
	await(&s->here[0]);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get(q, (char[1]){ 0 }, 1, BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_lt(brood_now() - began, 10 * BROOD_SEC);
	raise_flag(&s->go);
	ck_finishes(pid);
	get("of the one that was stopped");
	put("x");
	get("x");
}
END_TEST

/* The kernel clears its word, and wakes who waits for it. */
START_TEST(a_killed_one_lets_the_side_go)
{
	pid_t pid, other;

	if (!can_be())
		return;
	pid = peer(stay_in_it, NULL);
	await(&s->here[0]);
	other = with_text(put_one, "x");
	eventually(put_side()->bias & BRI_BIAS_REVOKE);
	nap_ms(20);
	ck_assert_int_eq(brood_queue_size(q), 0);
	finish_off(pid);
	ck_finishes(other);
	get("x");
}
END_TEST

static void use_and_put(void *text)
{
	must(!is_biased_to_me(put_side())); /* that was the parent */
	put(text);
	get("parent");
	get(text);
	use_both_sides();
	must(is_biased_to_me(put_side()) == can_be());
}

START_TEST(a_forked_child_has_its_own)
{
	use_both_sides();
	put("parent");
	ck_finishes(with_text(use_and_put, "child"));
	ck_assert(!is_biased_to_me(put_side()));
	use_both_sides();
	put("parent");
	get("parent");
}
END_TEST

/* The same process and thread by their ids, in which no fence is joined. */
static void exec_putter(void *filter)
{
	char fd[16];

	use_both_sides();
	snprintf(fd, sizeof(fd), "%d", dup(brood_queue_fd(q)));
	if (filter == NULL)
		execl(BROOD_TEST_CHILDREN "/put", "put", fd, "x", NULL);
	else
		execl(BROOD_TEST_CHILDREN "/filter", "filter", filter, BROOD_TEST_CHILDREN "/put",
		      fd, "x", NULL);
	must(false);
}

START_TEST(it_does_not_outlive_exec)
{
	ck_finishes(peer(exec_putter, NULL));
	ck_assert(put_side()->bias == 0);
	get("x");
}
END_TEST

/* Somebody who cannot make others pass a fence takes the side, and nobody is biased to it again. */
START_TEST(who_is_refused_the_fence_takes_it_all_the_same)
{
	if (!can_be())
		return;
	ck_finishes(with_text(exec_putter, "EPERM:membarrier"));
	ck_assert_uint_eq(put_side()->barred, 1);
	get("x");
	for (int i = 0; i < 100; i++)
		use_both_sides();
	ck_assert(put_side()->bias == 0);
	ck_assert(is_biased_to_me(get_side()));
}
END_TEST

/* Whether the getting side can be biased to the calling thread. */
static bool finds_slot(void)
{
	struct bri_side *side = get_side();
	bool found;

	must(brood_lock_acquire(&side->lock, PATIENCE_NS) == 0);
	if (side->bias != 0)
		must(bri_bias_end(bri_thread(), side, BROOD_FOREVER) == 0);
	bri_bias_grant(bri_thread(), side);
	found = is_biased_to_me(side);
	must(brood_lock_release(&side->lock) == 0);
	return found;
}

static void *find_and_stay(void *nth)
{
	must(finds_slot());
	raise_flag(&s->here[(intptr_t)nth]);
	await(&s->go);
	return NULL;
}

/* A slot is its thread's for life. */
START_TEST(slots_are_given_on_by_the_dead_alone)
{
	pthread_t threads[BRI_SLOTS];

	if (!can_be())
		return;
	for (intptr_t i = 0; i < BRI_SLOTS; i++) {
		pthread_create(&threads[i], NULL, find_and_stay, (void *)i);
		await(&s->here[i]);
	}
	ck_assert(!finds_slot());
	raise_flag(&s->go);
	for (int i = 0; i < BRI_SLOTS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(finds_slot());
	ck_assert(finds_slot()); /* its own */
}
END_TEST

/* ---- two take it from each other, all the time */

enum { EACH = 20000 };

static void need_one_turn(void)
{
	must(brood_lock_acquire(&put_side()->lock, PATIENCE_NS) == 0);
	put_side()->need = 1;
	must(brood_lock_release(&put_side()->lock) == 0);
}

static void *put_numbers(void *of)
{
	for (int64_t i = 0; i < EACH; i++) {
		int64_t message[2] = { (intptr_t)of, i };

		if (i % 64 == 0)
			need_one_turn();
		must(brood_queue_put(q, message, sizeof(message), PATIENCE_NS) == 0);
	}
	return NULL;
}

static void put_numbers_in_process(void *of)
{
	put_numbers(of);
}

static void get_numbers(void)
{
	int64_t message[2], last[2] = { -1, -1 };

	for (int i = 0; i < 2 * EACH; i++) {
		ck_assert_int_eq(brood_queue_get(q, message, sizeof(message), PATIENCE_NS), 16);
		ck_assert(message[0] == 0 || message[0] == 1);
		ck_assert_int_eq(message[1], last[message[0]] + 1);
		last[message[0]]++;
	}
}

START_TEST(processes_take_it_from_each_other)
{
	pid_t pids[2];

	for (intptr_t i = 0; i < 2; i++)
		pids[i] = peer(put_numbers_in_process, (void *)i);
	get_numbers();
	for (int i = 0; i < 2; i++)
		ck_finishes(pids[i]);
}
END_TEST

START_TEST(threads_take_it_from_each_other)
{
	pthread_t threads[2];

	for (intptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, put_numbers, (void *)i);
	get_numbers();
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/queue-bias");
	TCase *bias = leak_case(suite, "bias", 90);

	tcase_add_checked_fixture(bias, make, end);
	tcase_add_test(bias, who_uses_a_side_alone_is_biased);
	tcase_add_test(bias, another_takes_an_idle_one_s_side);
	tcase_add_test(bias, a_sleeper_ends_it);
	tcase_add_test(bias, a_handler_is_refused_the_side_that_it_interrupts);
	tcase_add_test(bias, a_handler_does_not_sleep_on_the_side_that_it_interrupts);
	tcase_add_test(bias, a_handler_makes_the_wake_that_is_still_to_come);
	tcase_add_test(bias, tries_give_up_behind_a_stopped_one);
	tcase_add_test(bias, a_killed_one_lets_the_side_go);
	tcase_add_test(bias, a_forked_child_has_its_own);
	tcase_add_test(bias, it_does_not_outlive_exec);
	tcase_add_test(bias, who_is_refused_the_fence_takes_it_all_the_same);
	tcase_add_test(bias, slots_are_given_on_by_the_dead_alone);
	tcase_add_test(bias, processes_take_it_from_each_other);
	tcase_add_test(bias, threads_take_it_from_each_other);
	return leak_run(suite);
}
