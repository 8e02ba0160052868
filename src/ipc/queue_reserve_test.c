#include <brood/queue.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/queue_lease.h"
#include "tests/unit/leak.h"
#include "tests/unit/queues.h"

static struct shared {
	flag here[8], go;
	int result[8];
	int came[4096];
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	remake((brood_queue_opts){ .reservations = 3, .leases = 2 });
}

static brood_reservation ck_reserve(size_t size)
{
	brood_reservation room = { .room = NULL };

	ck_assert_int_eq(brood_queue_reserve(q, size, 0, &room), 0);
	ck_assert_ptr_nonnull(room.room);
	ck_assert_uint_eq(room.size, size);
	return room;
}

static void ck_commit(brood_reservation *room, const char *text)
{
	memcpy(room->room, text, strlen(text));
	ck_assert_int_eq(brood_queue_commit(q, room, strlen(text), 0), 0);
	ck_assert_ptr_null(room->room);
}

static int reservers(void)
{
	return waiters(&q->memory->get, &q->rooms.head->side);
}

/* ---- alone */

START_TEST(what_is_committed_is_put)
{
	brood_reservation one = ck_reserve(10), two = ck_reserve(10);

	ck_assert_int_eq(brood_queue_size(q), 0);
	put("before");
	ck_commit(&two, "two");
	put("between");
	ck_commit(&one, "one");
	ck_assert_int_eq(brood_queue_size(q), 4);
	ck_get("before");
	ck_get("two");
	ck_get("between");
	ck_get("one");
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(brood_queue_unfinished(q), 4);
}
END_TEST

START_TEST(what_is_cancelled_never_was)
{
	brood_reservation room = ck_reserve(10);

	memcpy(room.room, "no", 2);
	ck_assert_int_eq(brood_queue_cancel(q, &room), 0);
	ck_assert_ptr_null(room.room);
	ck_assert_int_eq(brood_queue_cancel(q, &room), -EINVAL);
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
}
END_TEST

START_TEST(all_ways_out_know_them)
{
	brood_reservation room = ck_reserve(8);
	brood_lease lease;
	struct iovec out[4];
	char buf[64] = "";

	ck_commit(&room, "peeked");
	ck_assert_int_eq(brood_queue_peek(q, buf, 4, 0), 6);
	ck_assert_str_eq(buf, "peek");
	ck_assert_int_eq(brood_queue_get(q, buf, 5, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), 6);
	ck_assert_mem_eq(lease.message, "peeked", 6);
	ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
	ck_get("peeked");
	put("a");
	room = ck_reserve(8);
	ck_commit(&room, "b");
	put("c");
	room = ck_reserve(8);
	ck_commit(&room, "");
	ck_assert_int_eq(brood_queue_get_many(q, buf, sizeof(buf), out, 4, 0), 4);
	ck_assert_mem_eq(out[0].iov_base, "a", 1);
	ck_assert_mem_eq(out[1].iov_base, "b", 1);
	ck_assert_mem_eq(out[2].iov_base, "c", 1);
	ck_assert_uint_eq(out[3].iov_len, 0);
}
END_TEST

START_TEST(there_are_so_many)
{
	brood_reservation rooms[3], more;

	for (int i = 0; i < 3; i++)
		rooms[i] = ck_reserve(8);
	ck_assert_int_eq(brood_queue_reserve(q, 8, 0, &more), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_reserve(q, 8, BROOD_MSEC, &more), -ETIMEDOUT);
	ck_commit(&rooms[0], "a");
	ck_assert_int_eq(brood_queue_reserve(q, 8, 0, &more), -ETIMEDOUT);
	put("past them");
	ck_get("a");
	more = ck_reserve(8);
	ck_commit(&more, "b");
	ck_assert_int_eq(brood_queue_cancel(q, &rooms[1]), 0);
	more = ck_reserve(8);
	ck_assert_int_eq(brood_queue_cancel(q, &more), 0);
	ck_assert_int_eq(brood_queue_cancel(q, &rooms[2]), 0);
	ck_get("past them");
	ck_get("b");
}
END_TEST

START_TEST(the_limits_hold)
{
	brood_reservation room, more;

	remake((brood_queue_opts){ .items = 2, .bytes = 1000, .reservations = 4 });
	ck_assert_int_eq(brood_queue_reserve(q, 1001, 0, &more), -EMSGSIZE);
	room = ck_reserve(1000);
	put("a");
	ck_assert_int_eq(brood_queue_commit(q, &room, 1001, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_commit(q, &room, 1000, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_commit(q, &room, 1000, BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_commit(q, &room, 900, 0), 0);
	ck_assert_int_eq(brood_queue_full(q), 1);
	room = ck_reserve(8);
	ck_assert_int_eq(brood_queue_commit(q, &room, 8, 0), -ETIMEDOUT);
	ck_get("a");
	ck_assert_int_eq(brood_queue_commit(q, &room, 8, 0), 0);
	ck_assert_int_eq(brood_queue_put(q, "x", 1, 0), -ETIMEDOUT);
}
END_TEST

/* Of any size, at any place of the ring, between others. */
START_TEST(messages_of_any_size)
{
	enum { MOST = 1000 };
	unsigned char in[MOST], out[MOST];
	brood_reservation room;

	remake((brood_queue_opts){ .bytes = MOST, .reservations = 1 });
	for (int i = 0; i < MOST; i++)
		in[i] = (unsigned char)(i * 7);
	for (size_t size = 0; size <= MOST; size++) {
		room = ck_reserve(size);
		memcpy(room.room, in, size);
		ck_assert_int_eq(brood_queue_commit(q, &room, size, 0), 0);
		ck_assert_int_eq(brood_queue_get(q, out, sizeof(out), 0), (ssize_t)size);
		ck_assert_mem_eq(out, in, size);
		ck_assert_int_eq(brood_queue_put(q, in, MOST - size, 0), 0);
		ck_assert_int_eq(brood_queue_get(q, out, sizeof(out), 0), (ssize_t)(MOST - size));
		ck_assert_mem_eq(out, in, MOST - size);
	}
}
END_TEST

START_TEST(the_end_refuses_them)
{
	brood_reservation room = ck_reserve(8), more;

	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_reserve(q, 8, BROOD_FOREVER, &more), -EPIPE);
	ck_assert_int_eq(brood_queue_commit(q, &room, 1, BROOD_FOREVER), -EPIPE);
	ck_assert_int_eq(brood_queue_cancel(q, &room), 0);
}
END_TEST

START_TEST(what_fails_leaves_the_room_ours)
{
	brood_reservation room = ck_reserve(8), more;

	ck_assert_int_eq(brood_lock_acquire(&q->memory->put.lock, 0), 0);
	ck_assert_int_eq(brood_queue_commit(q, &room, 1, 0), -EDEADLK);
	ck_assert_int_eq(brood_lock_release(&q->memory->put.lock), 0);
	ck_assert_int_eq(brood_lock_acquire(&q->rooms.head->side.lock, 0), 0);
	ck_assert_int_eq(brood_queue_reserve(q, 1, 0, &more), -EDEADLK);
	ck_assert_int_eq(brood_lock_release(&q->rooms.head->side.lock), 0);
	ck_commit(&room, "x");
	ck_get("x");
}
END_TEST

/* ---- refused */

static void *leave_in_thread(void *room)
{
	brood_reservation copy = *(brood_reservation *)room;

	s->result[0] = brood_queue_commit(q, &copy, 1, 0);
	s->result[1] = brood_queue_cancel(q, &copy);
	return NULL;
}

static void leave_in_child(void *room)
{
	leave_in_thread(room);
}

START_TEST(what_is_no_reservation_is_refused)
{
	brood_fail fail = { .step = NULL };
	brood_reservation room, old, other;
	brood_queue *second = NULL;
	pthread_t thread;

	ck_assert_int_eq(brood_queue_reserve(NULL, 1, 0, &room), -EINVAL);
	ck_assert_int_eq(brood_queue_reserve(q, 1, 0, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_commit(q, NULL, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_cancel(q, NULL), -EINVAL);
	room = old = ck_reserve(1);
	other = room;
	other.nth = 60;
	ck_assert_int_eq(brood_queue_cancel(q, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_attach(brood_queue_fd(q), &second), 0);
	ck_assert_int_eq(brood_queue_cancel(second, &room), -EINVAL);
	brood_queue_unref(second);
	pthread_create(&thread, NULL, leave_in_thread, &room);
	pthread_join(thread, NULL);
	ck_assert_int_eq(s->result[0], -EPERM);
	ck_assert_int_eq(s->result[1], -EPERM);
	s->result[0] = s->result[1] = 0;
	ck_finishes(peer(leave_in_child, &room));
	ck_assert_int_eq(s->result[0], -EPERM);
	ck_assert_int_eq(s->result[1], -EPERM);
	ck_assert_int_eq(brood_queue_cancel(q, &room), 0);
	room = ck_reserve(1);
	ck_assert_int_eq(brood_queue_commit(q, &old, 1, 0), -EINVAL);
	ck_assert_int_eq(brood_queue_cancel(q, &old), -EINVAL);
	ck_assert_int_eq(brood_queue_cancel(q, &room), 0);
	remake((brood_queue_opts){ .leases = 1 });
	ck_assert_int_eq(brood_queue_reserve(q, 1, 0, &room), -EOPNOTSUPP);
	ck_assert_int_eq(brood_queue_commit(q, &old, 1, 0), -EOPNOTSUPP);
	ck_assert_int_eq(brood_queue_cancel(q, &old), -EOPNOTSUPP);
	ck_assert_int_eq(
		brood_queue_new(&(brood_queue_opts){ .reservations = 61, .fail = &fail }, &second),
		-EINVAL);
	ck_assert_str_eq(fail.step, "reservations");
}
END_TEST

START_TEST(other_memory_is_refused)
{
	brood_reservation room = ck_reserve(8);
	uint64_t *head = (uint64_t *)(void *)q->ring, right;
	brood_lease lease;
	char buf[8];

	ck_commit(&room, "x");
	right = *head;
	*head = right | UINT64_C(59) << BRI_APART_AT; /* an entry that is none */
	ck_assert_int_eq(brood_queue_get(q, buf, 8, 0), -EBADMSG);
	ck_assert_int_eq(brood_queue_peek(q, buf, 8, 0), -EBADMSG);
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -EBADMSG);
	*head = right | UINT64_C(1) << 40; /* a size that cannot be */
	ck_assert_int_eq(brood_queue_get(q, buf, 8, 0), -EBADMSG);
	*head = right;
	q->memory->put.at[0].entry = q->memory->put.at[1].entry = 99;
	ck_get("x");
	put("y");
	ck_get("y");
}
END_TEST

/* ---- others */

static void reserve_and_stay(void *nth)
{
	int i = (int)(intptr_t)nth;
	brood_reservation room;

	s->result[i] = brood_queue_reserve(q, 8, PATIENCE_NS, &room);
	raise_flag(&s->here[i]);
	await(&s->go);
	must(s->result[i] < 0 || brood_queue_cancel(q, &room) == 0);
}

static void commit_and_stay(void *nth)
{
	int i = (int)(intptr_t)nth;
	brood_reservation room;

	must(brood_queue_reserve(q, 8, 0, &room) == 0);
	memcpy(room.room, "dead", 4);
	s->result[i] = brood_queue_commit(q, &room, 4, PATIENCE_NS);
	raise_flag(&s->here[i]);
	await(&s->go);
}

static void get_one(void *nth)
{
	char buf[8];

	s->result[(intptr_t)nth] = (int)brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS);
}

static pid_t one_reserves(intptr_t nth)
{
	pid_t pid = peer(reserve_and_stay, (void *)nth);

	await(&s->here[nth]);
	return pid;
}

START_TEST(a_dead_ones_room_is_free)
{
	pid_t dead;

	remake((brood_queue_opts){ .reservations = 1 });
	dead = one_reserves(0);
	put("past it");
	finish_off(dead);
	ck_get("past it");
	ck_assert_int_eq(brood_queue_size(q), 0);
	brood_reservation room = ck_reserve(8);

	ck_commit(&room, "x");
	ck_get("x");
}
END_TEST

START_TEST(what_a_dead_one_has_committed_stays)
{
	brood_reservation room;
	pid_t dead;

	remake((brood_queue_opts){ .reservations = 1 });
	dead = peer(commit_and_stay, (void *)0);
	await(&s->here[0]);
	finish_off(dead);
	ck_assert_int_eq(brood_queue_reserve(q, 1, 0, &room), -ETIMEDOUT);
	ck_get("dead");
	room = ck_reserve(1);
	ck_assert_int_eq(brood_queue_cancel(q, &room), 0);
}
END_TEST

/* A death, a cancel, a get lets one go, and the next is still awake for it. */
START_TEST(who_waits_for_a_room_is_woken)
{
	brood_reservation room;
	pid_t waiting[3], dead;

	remake((brood_queue_opts){ .reservations = 2, .items = 4 });
	dead = one_reserves(0);
	room = ck_reserve(8);
	for (intptr_t i = 0; i < 3; i++)
		waiting[i] = peer(reserve_and_stay, (void *)(i + 1));
	eventually(reservers() == 3);
	finish_off(dead);
	eventually(s->here[1] + s->here[2] + s->here[3] == 1);
	ck_commit(&room, "x");
	nap_ms(20);
	ck_assert_int_eq(s->here[1] + s->here[2] + s->here[3], 1);
	ck_get("x");
	eventually(s->here[1] + s->here[2] + s->here[3] == 2);
	raise_flag(&s->go);
	for (int i = 0; i < 3; i++)
		ck_finishes(waiting[i]);
	ck_assert_int_eq(s->result[1] + s->result[2] + s->result[3], 0);
}
END_TEST

/* At the getting side's word sleep two: each is woken by a get. */
START_TEST(room_wakes_both_kinds)
{
	brood_reservation room;
	pid_t reserving, committing;

	remake((brood_queue_opts){ .reservations = 2, .items = 1 });
	room = ck_reserve(8);
	ck_commit(&room, "a");
	committing = peer(commit_and_stay, (void *)0);
	eventually(bri_futex_count(&q->memory->get.word) == 1);
	reserving = peer(reserve_and_stay, (void *)1);
	eventually(reservers() == 2);
	ck_get("a");
	await(&s->here[0]);
	await(&s->here[1]);
	ck_assert_int_eq(s->result[0] + s->result[1], 0);
	raise_flag(&s->go);
	ck_finishes(committing);
	ck_finishes(reserving);
	ck_get("dead");
}
END_TEST

START_TEST(a_commit_wakes_who_gets)
{
	brood_reservation room = ck_reserve(8);
	pid_t getting = peer(get_one, (void *)0);

	eventually(bri_futex_count(&q->memory->put.word) == 1);
	ck_commit(&room, "abc");
	ck_finishes(getting);
	ck_assert_int_eq(s->result[0], 3);
}
END_TEST

START_TEST(the_end_wakes_who_waits_for_a_room)
{
	brood_reservation room;
	pid_t waiting;

	remake((brood_queue_opts){ .reservations = 1 });
	room = ck_reserve(8);
	waiting = peer(reserve_and_stay, (void *)0);
	eventually(reservers() == 1);
	ck_assert_int_eq(brood_queue_close(q), 0);
	await(&s->here[0]);
	ck_assert_int_eq(s->result[0], -EPIPE);
	raise_flag(&s->go);
	ck_finishes(waiting);
	ck_assert_int_eq(brood_queue_cancel(q, &room), 0);
}
END_TEST

/* ---- many */

enum { EACH = 1000 };

static void produce(void *nth)
{
	for (int i = 0; i < EACH; i++) {
		int n = (int)(intptr_t)nth * EACH + i;
		brood_reservation room;

		if (i % 5 == 0) {
			must(brood_queue_put(q, &n, sizeof(n), PATIENCE_NS) == 0);
			continue;
		}
		must(brood_queue_reserve(q, sizeof(n), PATIENCE_NS, &room) == 0);
		if (i % 7 == 0) {
			must(brood_queue_cancel(q, &room) == 0);
			must(brood_queue_reserve(q, 100, PATIENCE_NS, &room) == 0);
		}
		memcpy(room.room, &n, sizeof(n));
		must(brood_queue_commit(q, &room, sizeof(n), PATIENCE_NS) == 0);
	}
}

static void consume(void *unused)
{
	unsigned n;
	ssize_t r;

	(void)unused;
	while ((r = brood_queue_get(q, &n, sizeof(n), PATIENCE_NS)) == sizeof(n)) {
		must(n < 3 * EACH);
		__atomic_fetch_add(&s->came[n], 1, __ATOMIC_SEQ_CST);
	}
	must(r == -EPIPE);
}

static void *produce_in_thread(void *nth)
{
	produce(nth);
	return NULL;
}

static void *consume_in_thread(void *unused)
{
	consume(unused);
	return NULL;
}

static void ck_all_came(void)
{
	for (int i = 0; i < 3 * EACH; i++)
		ck_assert_int_eq(s->came[i], 1);
}

START_TEST(each_comes_once)
{
	pid_t putting[3], getting[2];

	remake((brood_queue_opts){ .reservations = 2, .items = _i == 0 ? 4 : 1 });
	for (intptr_t i = 0; i < 3; i++)
		putting[i] = peer(produce, (void *)i);
	for (int i = 0; i < 2; i++)
		getting[i] = peer(consume, NULL);
	for (int i = 0; i < 3; i++)
		ck_finishes(putting[i]);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 2; i++)
		ck_finishes(getting[i]);
	ck_all_came();
}
END_TEST

START_TEST(threads_do_too)
{
	pthread_t putting[3], getting[2];

	remake((brood_queue_opts){ .reservations = 2, .items = 4 });
	for (intptr_t i = 0; i < 3; i++)
		pthread_create(&putting[i], NULL, produce_in_thread, (void *)i);
	for (int i = 0; i < 2; i++)
		pthread_create(&getting[i], NULL, consume_in_thread, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(putting[i], NULL);
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(getting[i], NULL);
	ck_all_came();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue-reserve");
	TCase *reserve = tcase_create("reserve");

	suite_add_tcase(suite, reserve);
	tcase_add_checked_fixture(reserve, make, end);
	tcase_set_timeout(reserve, 120);
	tcase_add_test(reserve, what_is_committed_is_put);
	tcase_add_test(reserve, what_is_cancelled_never_was);
	tcase_add_test(reserve, all_ways_out_know_them);
	tcase_add_test(reserve, there_are_so_many);
	tcase_add_test(reserve, the_limits_hold);
	tcase_add_test(reserve, messages_of_any_size);
	tcase_add_test(reserve, the_end_refuses_them);
	tcase_add_test(reserve, what_fails_leaves_the_room_ours);
	tcase_add_test(reserve, what_is_no_reservation_is_refused);
	tcase_add_test(reserve, other_memory_is_refused);
	tcase_add_test(reserve, a_dead_ones_room_is_free);
	tcase_add_test(reserve, what_a_dead_one_has_committed_stays);
	tcase_add_test(reserve, who_waits_for_a_room_is_woken);
	tcase_add_test(reserve, room_wakes_both_kinds);
	tcase_add_test(reserve, a_commit_wakes_who_gets);
	tcase_add_test(reserve, the_end_wakes_who_waits_for_a_room);
	tcase_add_loop_test(reserve, each_comes_once, 0, 2);
	tcase_add_test(reserve, threads_do_too);
	return leak_run(suite);
}
