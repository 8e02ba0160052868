#include <brood/queue.h>
#include <brood/segment.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/queue_lease.h"
#include "tests/unit/leak.h"
#include "tests/unit/queues.h"

static struct shared {
	flag here[8], go;
	int result[8], deliveries[8];
	char text[8][64];
	int acked[4096];
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	remake((brood_queue_opts){ .leases = 4 });
}

static brood_lease ck_take(const char *text, unsigned deliveries)
{
	brood_lease lease = { .message = NULL };

	ck_assert_int_eq(brood_queue_take(q, 0, &lease), (ssize_t)strlen(text));
	ck_assert_uint_eq(lease.size, strlen(text));
	ck_assert_mem_eq(lease.message, text, lease.size);
	ck_assert_uint_eq(lease.deliveries, deliveries);
	return lease;
}

static void ck_ack(brood_lease *lease)
{
	ck_assert_int_eq(brood_queue_ack(q, lease), 0);
	ck_assert_ptr_null(lease->message);
}

/* ---- alone */

START_TEST(what_is_taken_is_ours_until_it_is_acked)
{
	brood_lease one, two, none;

	put("one");
	put("two");
	one = ck_take("one", 1);
	ck_assert_int_eq(brood_queue_size(q), 1);
	ck_assert_int_eq(brood_queue_leased(q), 1);
	two = ck_take("two", 1);
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(brood_queue_leased(q), 2);
	ck_assert_int_eq(brood_queue_take(q, 0, &none), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_take(q, BROOD_MSEC, &none), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_unfinished(q), 2);
	ck_ack(&two);
	ck_ack(&one);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
	ck_assert_int_eq(brood_queue_leased(q), 0);
}
END_TEST

START_TEST(what_is_given_back_comes_first)
{
	brood_lease one, two;

	put("one");
	put("two");
	put("three");
	one = ck_take("one", 1);
	two = ck_take("two", 1);
	ck_assert_int_eq(brood_queue_give_back(q, &two), 0);
	ck_assert_int_eq(brood_queue_size(q), 2);
	ck_assert_int_eq(brood_queue_give_back(q, &one), 0);
	ck_assert_int_eq(brood_queue_size(q), 3);
	ck_assert_int_eq(brood_queue_empty(q), 0);
	ck_assert_int_eq(brood_queue_peek(q, NULL, 0, 0), 3);
	one = ck_take("one", 2);
	two = ck_take("two", 2);
	ck_assert_int_eq(brood_queue_give_back(q, &two), 0);
	two = ck_take("two", 3);
	ck_ack(&one);
	ck_ack(&two);
	one = ck_take("three", 1);
	ck_ack(&one);
	ck_assert_int_eq(brood_queue_join(q, 0), 0);
}
END_TEST

START_TEST(get_has_what_comes_again)
{
	char buf[64] = "";
	struct iovec out[4];
	brood_lease lease;

	put("one");
	put("two");
	put("three");
	lease = ck_take("one", 1);
	ck_get("two");
	ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
	ck_assert_int_eq(brood_queue_get(q, buf, 2, 0), -EMSGSIZE);
	ck_assert_int_eq(brood_queue_get_many(q, buf, 2, out, 4, 0), -EMSGSIZE);
	ck_assert_uint_eq(out[0].iov_len, 3);
	ck_assert_int_eq(brood_queue_peek(q, buf, 2, 0), 3);
	ck_assert_str_eq(buf, "on");
	ck_assert_int_eq(brood_queue_get_many(q, buf, sizeof(buf), out, 4, 0), 1);
	ck_assert_mem_eq(out[0].iov_base, "one", 3);
	ck_assert_int_eq(brood_queue_size(q), 1);
	ck_get("three");
	ck_assert_int_eq(brood_queue_unfinished(q), 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_assert_int_eq(brood_queue_leased(q), 0);
}
END_TEST

START_TEST(there_are_so_many_leases)
{
	brood_lease leases[4], more;
	char text[120];

	remake((brood_queue_opts){ .leases = 2, .items = 3 });
	put("a");
	put("b");
	put("c");
	ck_assert_int_eq(brood_queue_full(q), 1);
	leases[0] = ck_take("a", 1);
	leases[1] = ck_take("b", 1);
	put("d"); /* what is taken takes no room */
	put("e");
	ck_assert_int_eq(brood_queue_take(q, 0, &more), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_take(q, BROOD_MSEC, &more), -ETIMEDOUT);
	brood_queue_describe(q, text, sizeof(text));
	ck_assert_str_eq(text, "queue, 3 messages of at most 3, 48 bytes of at most 1048576, "
			       "2 leased of at most 2");
	ck_get("c");
	ck_ack(&leases[0]);
	leases[0] = ck_take("d", 1);
	ck_ack(&leases[0]);
	ck_ack(&leases[1]);
}
END_TEST

/* Of any size, from any place of the ring. */
START_TEST(messages_of_any_size_are_taken)
{
	enum { MOST = 1000 };
	unsigned char in[MOST];
	brood_lease lease;

	remake((brood_queue_opts){ .bytes = MOST, .leases = 3 });
	for (int i = 0; i < MOST; i++)
		in[i] = (unsigned char)(i * 7);
	for (size_t size = 0; size <= MOST; size++) {
		ck_assert_int_eq(brood_queue_put(q, in, size, 0), 0);
		ck_assert_int_eq(brood_queue_take(q, 0, &lease), (ssize_t)size);
		ck_assert_mem_eq(lease.message, in, size);
		if (size % 3 == 0) {
			ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
			ck_assert_int_eq(brood_queue_take(q, 0, &lease), (ssize_t)size);
			ck_assert_mem_eq(lease.message, in, size);
		}
		ck_ack(&lease);
	}
}
END_TEST

START_TEST(a_lease_keeps_the_queue)
{
	brood_lease lease;
	brood_queue *queue = q;

	put("kept");
	lease = ck_take("kept", 1);
	end();
	ck_assert_mem_eq(lease.message, "kept", 4);
	ck_assert_int_eq(brood_queue_ack(queue, &lease), 0);
}
END_TEST

/* ---- refused */

static void *ack_in_thread(void *lease)
{
	brood_lease copy = *(brood_lease *)lease;

	s->result[0] = brood_queue_ack(q, &copy);
	s->result[1] = brood_queue_give_back(q, &copy);
	return NULL;
}

static void ack_in_child(void *lease)
{
	ack_in_thread(lease);
}

START_TEST(leases_that_are_none_are_refused)
{
	brood_lease lease, old, other;
	brood_queue *second;
	pthread_t thread;

	ck_assert_int_eq(brood_queue_take(NULL, 0, &lease), -EINVAL);
	ck_assert_int_eq(brood_queue_take(q, 0, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_ack(NULL, &lease), -EINVAL);
	ck_assert_int_eq(brood_queue_ack(q, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_give_back(NULL, &lease), -EINVAL);
	ck_assert_int_eq(brood_queue_give_back(q, NULL), -EINVAL);
	ck_assert_int_eq(brood_queue_leased(NULL), -EINVAL);
	put("x");
	lease = old = ck_take("x", 1);
	other = lease;
	other.nth = 77;
	ck_assert_int_eq(brood_queue_ack(q, &other), -EINVAL);
	other = lease;
	other.number++;
	ck_assert_int_eq(brood_queue_ack(q, &other), -EINVAL);
	/* another queue's */
	ck_assert_int_eq(brood_queue_attach(brood_queue_fd(q), &second), 0);
	ck_assert_int_eq(brood_queue_ack(second, &lease), -EINVAL);
	brood_queue_unref(second);
	/* another thread's, and a child's */
	pthread_create(&thread, NULL, ack_in_thread, &lease);
	pthread_join(thread, NULL);
	ck_assert_int_eq(s->result[0], -EPERM);
	ck_assert_int_eq(s->result[1], -EPERM);
	s->result[0] = s->result[1] = 0;
	ck_finishes(peer(ack_in_child, &lease));
	ck_assert_int_eq(s->result[0], -EPERM);
	ck_assert_int_eq(s->result[1], -EPERM);
	/* one that is over, by itself, and when the message has come again */
	ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
	ck_assert_int_eq(brood_queue_give_back(q, &lease), -EINVAL);
	ck_assert_int_eq(brood_queue_ack(q, &old), -EINVAL);
	lease = other = ck_take("x", 2);
	ck_assert_int_eq(brood_queue_ack(q, &old), -EINVAL);
	ck_ack(&lease);
	ck_assert_int_eq(brood_queue_ack(q, &lease), -EINVAL);
	ck_assert_int_eq(brood_queue_ack(q, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_give_back(q, &other), -EINVAL);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
	q->memory->stamp ^= UINT64_C(1) << 40;
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -EXDEV);
	ck_assert_int_eq(brood_queue_ack(q, &lease), -EXDEV);
}
END_TEST

START_TEST(only_where_they_were_asked_for)
{
	brood_fail fail = { .step = NULL };
	brood_queue *none = NULL;
	brood_lease lease = { .message = NULL };

	remake((brood_queue_opts){ .items = 1 });
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -EOPNOTSUPP);
	ck_assert_int_eq(brood_queue_ack(q, &lease), -EOPNOTSUPP);
	ck_assert_int_eq(brood_queue_give_back(q, &lease), -EOPNOTSUPP);
	ck_assert_int_eq(brood_queue_leased(q), 0);
	ck_assert_int_eq(brood_queue_new(&(brood_queue_opts){ .leases = 61, .fail = &fail }, &none),
			 -EINVAL);
	ck_assert_str_eq(fail.step, "leases");
	remake((brood_queue_opts){ .leases = 60 });
	put("x");
	lease = ck_take("x", 1);
	ck_ack(&lease);
}
END_TEST

START_TEST(other_memory_is_no_queue)
{
	struct bri_queue_memory *memory = q->memory;
	brood_queue *other = NULL;
	brood_lease lease, more;
	struct bri_entry *entry = q->leases.entries;

	memory->leases = 61;
	ck_assert_int_eq(brood_queue_attach(brood_queue_fd(q), &other), -EBADMSG);
	memory->leases = 40; /* beyond the segment */
	ck_assert_int_eq(brood_queue_attach(brood_queue_fd(q), &other), -EBADMSG);
	memory->leases = 4;
	memory->rooms = 61;
	ck_assert_int_eq(brood_queue_attach(brood_queue_fd(q), &other), -EBADMSG);
	memory->rooms = 0;
	ck_assert_ptr_null(other);
	put("x");
	memset(q->ring, 0xff, 8);
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -EBADMSG);
	ck_assert_int_eq(brood_queue_get(q, NULL, 0, 0), -EBADMSG);
	ck_assert_int_eq(brood_queue_peek(q, NULL, 0, 0), -EBADMSG);
	q->ring[0] = 1;
	memset(q->ring + 1, 0, 7);
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), 1);
	entry += lease.nth;
	ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
	entry->size = UINT64_MAX;
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -EBADMSG);
	ck_assert_int_eq(brood_queue_get(q, NULL, 0, 0), -EBADMSG);
	ck_assert_int_eq(brood_queue_peek(q, NULL, 0, 0), -EBADMSG);
	entry->size = 1;
	lease = ck_take("x", 2);
	/* a side that names an entry that is none */
	memory->get.at[0].entry = memory->get.at[1].entry = 77;
	memory->done.at[0].entry = memory->done.at[1].entry = UINT32_MAX;
	put("y");
	more = ck_take("y", 1);
	ck_ack(&more);
	ck_ack(&lease);
}
END_TEST

/* ---- others */

static void take_and_stay(void *nth)
{
	int i = (int)(intptr_t)nth;
	brood_lease lease;
	ssize_t n = brood_queue_take(q, PATIENCE_NS, &lease);

	s->result[i] = (int)n;
	if (n >= 0) {
		memcpy(s->text[i], lease.message, lease.size);
		s->deliveries[i] = (int)lease.deliveries;
	}
	raise_flag(&s->here[i]);
	await(&s->go);
	must(n < 0 || brood_queue_ack(q, &lease) == 0);
}

static void get_one(void *nth)
{
	int i = (int)(intptr_t)nth;

	s->result[i] = (int)brood_queue_get(q, s->text[i], sizeof(s->text[i]), PATIENCE_NS);
	raise_flag(&s->here[i]);
}

static void join_it(void *nth)
{
	s->result[(intptr_t)nth] = brood_queue_join(q, PATIENCE_NS);
	raise_flag(&s->here[(intptr_t)nth]);
}

static pid_t one_takes(intptr_t nth)
{
	pid_t pid = peer(take_and_stay, (void *)nth);

	await(&s->here[nth]);
	return pid;
}

/* By a try; who waits for a message is woken for it. */
START_TEST(a_dead_ones_message_comes_again)
{
	pid_t dead, waiting[2];
	brood_lease lease;

	put("task");
	dead = one_takes(0);
	ck_assert_int_eq(brood_queue_leased(q), 1);
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -ETIMEDOUT);
	finish_off(dead);
	ck_assert_int_eq(brood_queue_leased(q), 0);
	ck_assert_int_eq(brood_queue_size(q), 1);
	dead = one_takes(1);
	ck_assert_int_eq(s->deliveries[1], 2);
	for (intptr_t i = 0; i < 2; i++)
		waiting[i] = peer(take_and_stay, (void *)(i + 2));
	eventually(getters() == 2);
	finish_off(dead);
	eventually(s->here[2] + s->here[3] == 1);
	ck_assert_str_eq(s->text[s->here[2] ? 2 : 3], "task");
	ck_assert_int_eq(s->deliveries[s->here[2] ? 2 : 3], 3);
	/* and one after the other */
	dead = waiting[s->here[2] ? 0 : 1];
	finish_off(dead);
	eventually(s->here[2] + s->here[3] == 2);
	raise_flag(&s->go);
	ck_finishes(waiting[dead == waiting[0] ? 1 : 0]);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
}
END_TEST

START_TEST(a_getter_is_woken_for_it)
{
	pid_t dead, getting;

	put("task");
	dead = one_takes(0);
	getting = peer(get_one, (void *)1);
	eventually(getters() == 1);
	finish_off(dead);
	ck_finishes(getting);
	ck_assert_str_eq(s->text[1], "task");
}
END_TEST

START_TEST(giving_back_wakes)
{
	brood_lease lease;
	pid_t waiting;

	put("task");
	lease = ck_take("task", 1);
	waiting = peer(take_and_stay, (void *)0);
	eventually(getters() == 1);
	ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
	await(&s->here[0]);
	ck_assert_int_eq(s->deliveries[0], 2);
	raise_flag(&s->go);
	ck_finishes(waiting);
}
END_TEST

static void *take_in_thread(void *unused)
{
	brood_lease lease;

	must(brood_queue_take(q, 0, &lease) == 4);
	return unused;
}

START_TEST(a_thread_that_ends_gives_back)
{
	brood_lease lease;
	pthread_t thread;

	put("task");
	pthread_create(&thread, NULL, take_in_thread, NULL);
	pthread_join(thread, NULL);
	lease = ck_take("task", 2);
	ck_ack(&lease);
	brood_queue_unref(q); /* the reference of the lease that the thread has left */
}
END_TEST

static void take_and_exec(void *unused)
{
	(void)unused;
	must(brood_queue_take(q, 0, &(brood_lease){ .message = NULL }) == 4);
	execl("/bin/true", "true", (char *)NULL);
	must(false);
}

START_TEST(exec_gives_back)
{
	brood_lease lease;

	put("task");
	ck_finishes(peer(take_and_exec, NULL));
	lease = ck_take("task", 2);
	ck_ack(&lease);
}
END_TEST

/* All leases are out: who wants to take waits for an ack, or for one that comes again. */
START_TEST(an_ack_lets_one_take)
{
	brood_lease lease;
	pid_t waiting[2], dead;

	remake((brood_queue_opts){ .leases = 1 });
	put("a");
	put("b");
	put("c");
	lease = ck_take("a", 1);
	for (intptr_t i = 0; i < 2; i++)
		waiting[i] = peer(take_and_stay, (void *)i);
	eventually(getters() == 2);
	ck_ack(&lease);
	eventually(s->here[0] + s->here[1] == 1);
	dead = waiting[s->here[0] ? 0 : 1];
	finish_off(dead);
	eventually(s->here[0] + s->here[1] == 2);
	ck_assert_str_eq(s->text[0], "b");
	ck_assert_str_eq(s->text[1], "b");
	ck_assert_int_eq(s->deliveries[0] + s->deliveries[1], 3);
	raise_flag(&s->go);
	ck_finishes(waiting[dead == waiting[0] ? 1 : 0]);
	lease = ck_take("c", 1);
	ck_ack(&lease);
}
END_TEST

/* Closed: not over before the last lease is. */
START_TEST(the_end_waits_for_leases)
{
	brood_lease lease, more;
	pid_t waiting[3], dead;
	char c;

	put("x");
	put("y");
	dead = one_takes(0);
	lease = ck_take("y", 1);
	waiting[0] = peer(take_and_stay, (void *)1);
	waiting[1] = peer(get_one, (void *)2);
	eventually(getters() == 2);
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_take(q, 0, &more), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_peek(q, &c, 1, 0), -ETIMEDOUT);
	eventually(getters() == 2);
	finish_off(dead);
	eventually(s->here[1] + s->here[2] >= 1);
	raise_flag(&s->go);
	eventually(brood_queue_leased(q) == 1);
	nap_ms(20);
	ck_assert_int_eq(s->here[1] + s->here[2], 1);
	waiting[2] = peer(get_one, (void *)3);
	eventually(getters() == 2);
	ck_ack(&lease);
	for (int i = 0; i < 3; i++)
		ck_finishes(waiting[i]);
	ck_assert_int_eq(s->result[1] + s->result[2], 1 - EPIPE);
	ck_assert_int_eq(s->result[3], -EPIPE);
	ck_assert_int_eq(brood_queue_take(q, BROOD_FOREVER, &more), -EPIPE);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, BROOD_FOREVER), -EPIPE);
}
END_TEST

/* ---- beside what else ends a queue, and looks at it */

/* What was taken is not in it: it is not dropped, comes again, and is waited for. */
START_TEST(what_is_leased_is_not_dropped)
{
	brood_lease lease, more;
	pid_t dead, joining, taking;

	put("taken");
	put("dropped");
	dead = one_takes(0);
	joining = peer(join_it, (void *)1);
	eventually(joiners() == 1);
	taking = peer(take_and_stay, (void *)2);
	await(&s->here[2]); /* the other one */
	ck_assert_str_eq(s->text[2], "dropped");
	put("dropped, too");
	ck_assert_int_eq(brood_queue_discard(q), 0);
	ck_assert_int_eq(brood_queue_size(q), 0);
	ck_assert_int_eq(brood_queue_unfinished(q), 2);
	ck_assert_int_eq(brood_queue_take(q, 0, &more), -ETIMEDOUT);
	finish_off(dead);
	ck_assert_int_eq(brood_queue_size(q), 1);
	raise_flag(&s->go);
	ck_finishes(taking);
	ck_assert_int_eq(brood_queue_unfinished(q), 1);
	lease = ck_take("taken", 2);
	ck_assert_int_eq(s->here[1], 0);
	ck_ack(&lease);
	ck_finishes(joining);
	ck_assert_int_eq(s->result[1], 0);
	ck_assert_int_eq(brood_queue_take(q, BROOD_FOREVER, &more), -EPIPE);
}
END_TEST

static bool is_readable(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, 0) == 1;
}

START_TEST(the_descriptor_tells_what_comes_again)
{
	brood_lease lease;
	pid_t dead;
	char c;
	int fd = brood_queue_poll_fd(q);

	ck_assert_int_ge(fd, 0);
	put("x");
	eventually(is_readable(fd));
	dead = one_takes(0);
	ck_assert_int_eq(brood_queue_take(q, 0, &lease), -ETIMEDOUT);
	nap_ms(50); /* it sleeps beside a lease */
	ck_assert(!is_readable(fd));
	finish_off(dead);
	eventually(is_readable(fd));
	lease = ck_take("x", 2);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_queue_give_back(q, &lease), 0);
	eventually(is_readable(fd));
	lease = ck_take("x", 3);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	/* closed, but not at its end */
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -ETIMEDOUT);
	nap_ms(50);
	ck_assert(!is_readable(fd));
	ck_ack(&lease);
	eventually(is_readable(fd));
	ck_assert_int_eq(brood_queue_get(q, &c, 1, 0), -EPIPE);
}
END_TEST

static void produce_and_stay(void *nth)
{
	must(brood_queue_produce(q) == 0);
	must(brood_queue_put(q, "last", 4, 0) == 0);
	raise_flag(&s->here[(intptr_t)nth]);
	await(&s->go);
}

/* The leader sleeps on the words of both. */
START_TEST(producers_and_takers_may_die_in_any_order)
{
	pid_t producer, dead, taking;

	producer = peer(produce_and_stay, (void *)0);
	await(&s->here[0]);
	dead = one_takes(1);
	taking = peer(take_and_stay, (void *)2);
	eventually(getters() == 1);
	finish_off(_i == 0 ? producer : dead);
	if (_i == 0) {
		eventually(brood_queue_is_closed(q) == 1);
		ck_assert_int_eq(s->here[2], 0);
	} else {
		await(&s->here[2]);
		ck_assert_int_eq(brood_queue_is_closed(q), 0);
	}
	finish_off(_i == 0 ? dead : producer);
	await(&s->here[2]);
	ck_assert_str_eq(s->text[2], "last");
	ck_assert_int_eq(s->deliveries[2], 2);
	raise_flag(&s->go);
	ck_finishes(taking);
	ck_assert_int_eq(brood_queue_take(q, BROOD_FOREVER, &(brood_lease){ .size = 0 }), -EPIPE);
}
END_TEST

/* ---- finished work */

START_TEST(joiners_wait_for_acks)
{
	pid_t dead, joining[2];
	brood_lease lease;

	put("a");
	put("b");
	dead = one_takes(0);
	for (intptr_t i = 0; i < 2; i++)
		joining[i] = peer(join_it, (void *)(i + 1));
	eventually(joiners() == 2);
	lease = ck_take("b", 1);
	ck_ack(&lease);
	finish_off(dead);
	nap_ms(20);
	ck_assert_int_eq(s->here[1] + s->here[2], 0);
	lease = ck_take("a", 2);
	ck_ack(&lease);
	for (int i = 0; i < 2; i++) {
		ck_finishes(joining[i]);
		ck_assert_int_eq(s->result[i + 1], 0);
	}
}
END_TEST

/* Who said too often that work was done does not keep an ack from being one. */
START_TEST(an_ack_beside_task_done)
{
	brood_lease lease;

	put("a");
	lease = ck_take("a", 1);
	ck_assert_int_eq(brood_queue_task_done(q), 0);
	ck_ack(&lease);
	ck_assert_int_eq(brood_queue_unfinished(q), 0);
	ck_assert_int_eq(brood_queue_size(q), 0);
}
END_TEST

/* ---- handlers */

static brood_lease kept;

static void on_signal(int signum)
{
	int saved = errno;
	brood_lease lease;

	(void)signum;
	s->result[1] = (int)brood_queue_take(q, 0, &lease);
	s->result[2] = s->result[1] < 0 ? 0 : brood_queue_ack(q, &lease);
	s->result[3] = brood_queue_give_back(q, &kept);
	errno = saved;
}

static void *taken_from(void *unused)
{
	brood_lease lease;

	must(brood_queue_take(q, 0, &kept) == 1);
	raise_flag(&s->here[0]);
	must(brood_queue_take(q, PATIENCE_NS, &lease) == 1);
	s->deliveries[0] = (int)lease.deliveries;
	must(brood_queue_ack(q, &lease) == 0);
	return unused;
}

/* It interrupts one that waits to take, takes another message, and gives back what its thread has. */
START_TEST(a_handler_may_take_and_give_back)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	put("a");
	pthread_create(&thread, NULL, taken_from, NULL);
	await(&s->here[0]);
	eventually(getters() == 1);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	ck_assert_int_eq(s->result[1], -ETIMEDOUT);
	ck_assert_int_eq(s->result[3], 0);
	ck_assert_int_eq(s->deliveries[0], 2);
}
END_TEST

/* As in a handler that interrupts its thread in that side. */
START_TEST(what_fails_leaves_the_lease_ours)
{
	brood_lease lease, more;

	put("a");
	lease = ck_take("a", 1);
	ck_assert_int_eq(brood_lock_acquire(&q->memory->done.lock, 0), 0);
	ck_assert_int_eq(brood_queue_ack(q, &lease), -EDEADLK);
	ck_assert_int_eq(brood_lock_release(&q->memory->done.lock), 0);
	ck_assert_int_eq(brood_lock_acquire(&q->memory->get.lock, 0), 0);
	ck_assert_int_eq(brood_queue_take(q, 0, &more), -EDEADLK);
	ck_assert_int_eq(brood_lock_release(&q->memory->get.lock), 0);
	ck_assert_int_eq(brood_queue_leased(q), 1);
	ck_ack(&lease);
}
END_TEST

/* ---- many */

enum { TASKS = 2000 };

static void work(void *unused)
{
	brood_lease lease;
	ssize_t n;

	(void)unused;
	while ((n = brood_queue_take(q, PATIENCE_NS, &lease)) == sizeof(int)) {
		int task = *(const int *)lease.message;

		must(task >= 0 && task < TASKS);
		if (task % 7 == 0 && lease.deliveries == 1) {
			must(brood_queue_give_back(q, &lease) == 0);
			continue;
		}
		must(brood_queue_ack(q, &lease) == 0);
		__atomic_fetch_add(&s->acked[task], 1, __ATOMIC_SEQ_CST);
	}
	must(n == -EPIPE);
}

static void *work_in_thread(void *unused)
{
	work(NULL);
	return unused;
}

static void put_all(void)
{
	for (int i = 0; i < TASKS; i++)
		ck_assert_int_eq(brood_queue_put(q, &i, sizeof(i), PATIENCE_NS), 0);
	ck_assert_int_eq(brood_queue_join(q, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_queue_close(q), 0);
}

static void ck_all_were_acked(void)
{
	for (int i = 0; i < TASKS; i++)
		ck_assert_int_eq(s->acked[i], 1);
}

START_TEST(each_task_is_acked_once)
{
	pid_t working[4];

	remake((brood_queue_opts){ .leases = _i == 0 ? 2 : 8, .items = 8 });
	for (int i = 0; i < 4; i++)
		working[i] = peer(work, NULL);
	put_all();
	for (int i = 0; i < 4; i++)
		ck_finishes(working[i]);
	ck_all_were_acked();
}
END_TEST

START_TEST(threads_do_too)
{
	pthread_t working[3];

	remake((brood_queue_opts){ .leases = 2, .items = 8 });
	for (int i = 0; i < 3; i++)
		pthread_create(&working[i], NULL, work_in_thread, NULL);
	put_all();
	for (int i = 0; i < 3; i++)
		pthread_join(working[i], NULL);
	ck_all_were_acked();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue-lease");
	TCase *lease = tcase_create("lease");

	suite_add_tcase(suite, lease);
	tcase_add_checked_fixture(lease, make, end);
	tcase_set_timeout(lease, 120);
	tcase_add_test(lease, what_is_taken_is_ours_until_it_is_acked);
	tcase_add_test(lease, what_is_given_back_comes_first);
	tcase_add_test(lease, get_has_what_comes_again);
	tcase_add_test(lease, there_are_so_many_leases);
	tcase_add_test(lease, messages_of_any_size_are_taken);
	tcase_add_test(lease, a_lease_keeps_the_queue);
	tcase_add_test(lease, leases_that_are_none_are_refused);
	tcase_add_test(lease, only_where_they_were_asked_for);
	tcase_add_test(lease, other_memory_is_no_queue);
	tcase_add_test(lease, a_dead_ones_message_comes_again);
	tcase_add_test(lease, a_getter_is_woken_for_it);
	tcase_add_test(lease, giving_back_wakes);
	tcase_add_test(lease, a_thread_that_ends_gives_back);
	tcase_add_test(lease, exec_gives_back);
	tcase_add_test(lease, an_ack_lets_one_take);
	tcase_add_test(lease, the_end_waits_for_leases);
	tcase_add_test(lease, what_is_leased_is_not_dropped);
	tcase_add_test(lease, the_descriptor_tells_what_comes_again);
	tcase_add_loop_test(lease, producers_and_takers_may_die_in_any_order, 0, 2);
	tcase_add_test(lease, joiners_wait_for_acks);
	tcase_add_test(lease, an_ack_beside_task_done);
	tcase_add_test(lease, a_handler_may_take_and_give_back);
	tcase_add_test(lease, what_fails_leaves_the_lease_ours);
	tcase_add_loop_test(lease, each_task_is_acked_once, 0, 2);
	tcase_add_test(lease, threads_do_too);
	return leak_run(suite);
}
