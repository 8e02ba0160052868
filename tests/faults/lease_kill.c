/* lease_kill [--stride N] [--limit MS] [--reached FILE] [NAME...] - who takes, acks and reserves, killed at every instruction
 *
 * As queue_kill, with leases and reservations. After each kill the books must balance: each message that was put was acked
 * once, or is there to be had once, whole, or in the hands of somebody who lives. Closes with
 *
 *	every-instruction: operations=N kills=N failures=N
 */
#include <brood/brood.h>

#include "ipc/queue_bias.h"
#include "ipc/queue_lease.h"
#include "scenarios.h"

#define LONG (60 * BROOD_SEC)

static struct shared {
	int here, go, done, ended, wrong; /* counted up by the processes */
	int acked;                        /* a bit for each message that a survivor had */
} * s;
static brood_queue *q;
static pid_t first, second, holder;

/* ---- messages: whoever reads one sees whether it is whole */

struct message {
	int64_t n, sum;
};

static int64_t puts_so_far;

static struct message message_of(int64_t n)
{
	return (struct message){ n, n * 1000003 + 7 };
}

static void look_at(const void *where, ssize_t size)
{
	struct message message;

	if (size != sizeof(message)) {
		up(&s->wrong);
		return;
	}
	memcpy(&message, where, sizeof(message));
	if (message.sum != message_of(message.n).sum || message.n < 0 || message.n > 30 ||
	    __atomic_fetch_or(&s->acked, 1 << message.n, __ATOMIC_SEQ_CST) & 1 << message.n)
		up(&s->wrong);
}

static void harness_puts(void)
{
	struct message message = message_of(puts_so_far++);

	if (brood_queue_put(q, &message, sizeof(message), limit_ns) != 0)
		up(&s->wrong);
}

static bool harness_takes(void)
{
	brood_lease lease;
	ssize_t n = brood_queue_take(q, limit_ns, &lease);

	if (n < 0)
		return false;
	look_at(lease.message, n);
	return brood_queue_ack(q, &lease) == 0;
}

/* ---- survivors */

static void take_and_ack(bool hold)
{
	brood_lease lease;
	ssize_t n = brood_queue_take(q, LONG, &lease);

	if (n < 0) {
		up(n == -EPIPE ? &s->ended : &s->wrong);
		return;
	}
	up(&s->here);
	if (hold)
		await(&s->go);
	look_at(lease.message, n);
	up(brood_queue_ack(q, &lease) == 0 ? &s->done : &s->wrong);
}

static void take_one(void)
{
	take_and_ack(false);
}

static void take_and_hold(void)
{
	take_and_ack(true);
}

static void get_one(void)
{
	struct message message;
	ssize_t n = brood_queue_get(q, &message, sizeof(message), LONG);

	if (n >= 0)
		look_at(&message, n);
	up(n >= 0 ? &s->done : n == -EPIPE ? &s->ended : &s->wrong);
}

static void put_one(void)
{
	struct message message = message_of(30);

	up(brood_queue_put(q, &message, sizeof(message), LONG) == 0 ? &s->done : &s->wrong);
}

static void join_it(void)
{
	up(brood_queue_join(q, LONG) == 0 ? &s->done : &s->wrong);
}

static void reserve_and_cancel(bool hold)
{
	brood_reservation room;
	int r = brood_queue_reserve(q, sizeof(struct message), LONG, &room);

	if (r < 0) {
		up(r == -EPIPE ? &s->ended : &s->wrong);
		return;
	}
	up(&s->here);
	if (hold)
		await(&s->go);
	up(brood_queue_cancel(q, &room) == 0 ? &s->done : &s->wrong);
}

static void reserve_one(void)
{
	reserve_and_cancel(false);
}

static void reserve_and_hold(void)
{
	reserve_and_cancel(true);
}

static void be_biased_to(struct bri_side *side)
{
	bri_bias_grant(bri_thread(), side);
	if (!bri_bias_names(bri_thread(), side->bias))
		up(&s->wrong);
}

static pid_t start_asleep(void (*body)(void))
{
	pid_t pid = start(body);

	await_asleep(pid);
	return pid;
}

static void one_takes(void)
{
	first = start_asleep(take_one);
}

static void two_take(void)
{
	one_takes();
	second = start_asleep(take_one);
}

static void one_gets(void)
{
	first = start_asleep(get_one);
}

static void two_join(void)
{
	first = start_asleep(join_it);
	second = start_asleep(join_it);
}

static void one_reserves(void)
{
	first = start_asleep(reserve_one);
}

static void two_reserve(void)
{
	one_reserves();
	second = start_asleep(reserve_one);
}

static void another_holds(void)
{
	holder = start(take_and_hold);
	until(&s->here, 1);
}

static void another_holds_a_room(void)
{
	holder = start(reserve_and_hold);
	until(&s->here, 1);
}

static void holder_dies(void)
{
	if (holder != 0)
		end_kid(holder);
	holder = 0;
}

static void holder_goes_on(void)
{
	if (holder != 0) {
		s->go = 1;
		if (!until(&s->done, 1))
			up(&s->wrong);
	}
	holder = 0;
}

/* ---- queues to begin with */

static void remake(brood_queue_opts opts)
{
	brood_queue_unref(q);
	if (brood_queue_new(&opts, &q) < 0) {
		fprintf(stderr, "no queue\n");
		exit(2);
	}
}

static void one_in_it(void)
{
	harness_puts();
}

static void two_in_it(void)
{
	harness_puts();
	harness_puts();
}

static void one_lease_two_in_it(void)
{
	remake((brood_queue_opts){ .leases = 1, .reservations = 1 });
	two_in_it();
}

static void one_room(void)
{
	remake((brood_queue_opts){ .leases = 2, .reservations = 1 });
}

static void put_through_room(void)
{
	struct message message = message_of(puts_so_far++);
	brood_reservation room;

	if (brood_queue_reserve(q, sizeof(message), 0, &room) != 0)
		up(&s->wrong);
	memcpy(room.room, &message, sizeof(message));
	if (brood_queue_commit(q, &room, sizeof(message), 0) != 0)
		up(&s->wrong);
}

static void two_in_it_of_three(void)
{
	harness_puts();
	put_through_room();
}

static void one_room_filled(void)
{
	one_room();
	put_through_room();
}

/* A closer was killed between its two steps. */
static void close_get(void)
{
	struct bri_side *get = &q->memory->get;

	get->at[1] = (struct bri_mark){ get->at[0].items, get->at[0].bytes, 1, 0 };
	get->word = BRI_QUEUE_COMMIT;
}

static void one_room_filled_half_closed(void)
{
	one_room_filled();
	close_get();
}

static void full(void)
{
	remake((brood_queue_opts){ .leases = 2, .reservations = 2, .items = 1 });
	harness_puts();
}

static void full_half_closed(void)
{
	full();
	close_get();
}

static void over(void)
{
	if (brood_queue_close(q) != 0)
		up(&s->wrong);
}

static void take_and_die(void)
{
	brood_lease lease;

	brood_queue_take(q, LONG, &lease);
	up(&s->here);
	pause();
}

static void one_comes_again(void)
{
	pid_t pid;

	harness_puts();
	pid = start(take_and_die);
	until(&s->here, 1);
	end_kid(pid);
	s->here = 0;
}

static void one_comes_again_and_one(void)
{
	one_comes_again();
	harness_puts();
}

/* The next message is in two pieces. */
static void one_near_the_end(void)
{
	remake((brood_queue_opts){ .bytes = 120, .leases = 2, .reservations = 1 });
	for (int i = 0; i < 4; i++) {
		harness_puts();
		harness_takes();
	}
	for (int i = 0; i < 2; i++) {
		brood_queue_put(q, NULL, 0, 0);
		brood_queue_get(q, NULL, 0, 0);
		brood_queue_task_done(q);
	}
	harness_puts();
}

/* ---- what the victim does */

static brood_lease lease;
static brood_reservation room;

static void victim_takes(void)
{
	brood_queue_take(q, BROOD_FOREVER, &lease);
}

static void victim_takes_two(void)
{
	brood_lease other;

	brood_queue_take(q, BROOD_FOREVER, &other);
	victim_takes();
}

static void victim_takes_shortly(void)
{
	brood_queue_take(q, BROOD_MSEC, &lease);
}

static void victim_acks(void)
{
	brood_queue_ack(q, &lease);
}

static void victim_takes_and_acks_two(void)
{
	victim_takes();
	victim_acks();
	victim_takes();
	victim_acks();
}

static void victim_gives_back(void)
{
	brood_queue_give_back(q, &lease);
}

static void victim_gets(void)
{
	struct message message;

	brood_queue_get(q, &message, sizeof(message), BROOD_FOREVER);
}

static void victim_gets_many(void)
{
	struct message messages[3];
	struct iovec all[3];

	brood_queue_get_many(q, messages, sizeof(messages), all, 3, BROOD_FOREVER);
}

static void victim_peeks(void)
{
	struct message message;

	brood_queue_peek(q, &message, sizeof(message), BROOD_FOREVER);
}

static void victim_finishes_and_closes(void)
{
	brood_queue_task_done(q);
	brood_queue_close(q);
}

static void victim_reserves(void)
{
	brood_queue_reserve(q, sizeof(struct message), BROOD_FOREVER, &room);
}

static void victim_reserves_shortly(void)
{
	brood_queue_reserve(q, sizeof(struct message), BROOD_MSEC, &room);
}

static void victim_writes(void)
{
	struct message message = message_of(20);

	victim_reserves();
	memcpy(room.room, &message, sizeof(message));
}

static void victim_commits(void)
{
	brood_queue_commit(q, &room, sizeof(struct message), BROOD_FOREVER);
}

static void victim_reserves_and_commits(void)
{
	victim_writes();
	victim_commits();
}

static void victim_commits_and_puts(void)
{
	struct message message = message_of(21);

	victim_commits();
	brood_queue_put(q, &message, sizeof(message), 0);
}

static void victim_commits_shortly(void)
{
	brood_queue_commit(q, &room, sizeof(struct message), BROOD_MSEC);
}

static void victim_cancels(void)
{
	brood_queue_cancel(q, &room);
}

static void victim_errs(void)
{
	static brood_lease none;
	static brood_reservation no_room;

	brood_queue_take(NULL, 0, NULL);
	brood_queue_take(q, 0, NULL);
	brood_queue_ack(NULL, &none);
	brood_queue_commit(NULL, &no_room, 0, 0);
	brood_queue_reserve(NULL, 0, 0, &no_room);
	brood_queue_ack(q, &none);
	brood_queue_ack(q, NULL);
	brood_queue_give_back(q, &none);
	none = lease;
	none.number++;
	brood_queue_ack(q, &none);
	none.number--;
	none.deliveries++;
	brood_queue_ack(q, &none);
	brood_queue_reserve(q, 0, 0, NULL);
	brood_queue_reserve(q, BROOD_QUEUE_BYTES + 1, 0, &no_room);
	brood_queue_commit(q, &no_room, 0, 0);
	brood_queue_cancel(q, NULL);
	brood_queue_get(q, &none, 1, 0);
	brood_queue_reserve(q, 4, 0, &no_room);
	brood_queue_commit(q, &no_room, 5, 0);
	brood_queue_cancel(q, &no_room);
}

static void victim_commits_twice(void)
{
	victim_commits();
	victim_commits();
}

static void takes_biased(void)
{
	be_biased_to(&q->memory->get);
}

static void has_taken(void)
{
	victim_takes();
}

static void has_taken_biased(void)
{
	victim_takes();
	be_biased_to(&q->memory->done);
}

static void has_written_biased(void)
{
	victim_writes();
	be_biased_to(&q->memory->put);
}

/* ---- afterwards */

static const char *settle(void)
{
	return get(&s->wrong) ? "a message is not what it was, came twice, or an operation failed" :
				NULL;
}

/* `gone`: so many may have been taken along by one that got them. */
static const char *balances_but(ssize_t gone)
{
	ssize_t unfinished = brood_queue_unfinished(q), there = brood_queue_size(q);
	int before;

	if (brood_queue_leased(q) != 0)
		return "a dead one has a lease";
	if (there > unfinished || there < unfinished - gone)
		return "a message is lost, or there though it was acked";
	for (; there > 0; there--)
		if (!harness_takes())
			return "what is there is not to be had";
	while (brood_queue_unfinished(q) > 0 && gone-- > 0)
		brood_queue_task_done(q);
	if (brood_queue_size(q) != 0 || brood_queue_join(q, limit_ns) != 0)
		return "more is there than was told, or the work does not end";
	if (brood_queue_is_closed(q))
		return settle();
	before = get(&s->done);
	start(put_one);
	start(take_one);
	if (!until(&s->done, before + 2))
		return "no message goes through it any more";
	for (int i = 0; i < 3; i++) {
		start(reserve_one);
		if (!until(&s->done, before + 3 + i))
			return "a reservation is lost";
	}
	return settle();
}

static const char *balances(void)
{
	return balances_but(0);
}

static const char *balances_but_one(void)
{
	return balances_but(1);
}

/* What the victim has got is gone. */
static const char *gone_or_there(void)
{
	return *phase == 2 && brood_queue_size(q) != 0 ? "what was got is there still" :
							 balances_but(1);
}

static const char *balances_but_two(void)
{
	return brood_queue_size(q) == 1 ? "half of a step was taken" : balances_but(2);
}

static const char *another_has_it_at_last(void)
{
	return until(&s->done, 1) ? balances() : "one sleeps beside a message";
}

static void follow_and_put(void)
{
	one_takes();
	harness_puts();
}

static const char *follower_has_it(void)
{
	if (first == 0)
		follow_and_put();
	return another_has_it_at_last();
}

static const char *later_one_has_it(void)
{
	start(take_one);
	harness_puts();
	return another_has_it_at_last();
}

/* The holder dies, or comes to its end, while the victim waits; another is behind it. */
static void follow_and_kill(void)
{
	one_takes();
	holder_dies();
}

static const char *follower_has_what_came_again(void)
{
	if (first == 0)
		follow_and_kill();
	return another_has_it_at_last();
}

static void get_behind_and_kill(void)
{
	one_gets();
	holder_dies();
}

static const char *getter_has_what_came_again(void)
{
	if (first == 0)
		get_behind_and_kill();
	if (brood_queue_unfinished(q) == 0)
		return "it was never acked";
	/* the one behind, or the victim took it along */
	if (brood_queue_size(q) > 0 && !until(&s->done, 1))
		return "one sleeps beside a message";
	if (get(&s->done) == 0) {
		brood_queue_task_done(q);
		harness_puts();
		if (!until(&s->done, 1))
			return "one sleeps on";
	}
	return balances_but(1);
}

static void follow_and_go_on(void)
{
	one_takes();
	holder_goes_on();
}

static const char *follower_has_the_lease(void)
{
	if (first == 0)
		follow_and_go_on();
	return until(&s->done, 2) ? balances() : "one sleeps though a lease is free";
}

static void close_it(void)
{
	if (brood_queue_close(q) != 0)
		up(&s->wrong);
}

static void another_holds_the_last(void)
{
	another_holds();
	close_it();
}

static const char *follower_ended(void)
{
	if (first == 0)
		follow_and_go_on();
	return until(&s->ended, 1) ? balances() : "one sleeps on beside the end";
}

static const char *follower_has_the_last(void)
{
	if (first == 0)
		follow_and_kill();
	return another_has_it_at_last();
}

static const char *two_joined(void)
{
	if (brood_queue_unfinished(q) > 0 && !harness_takes())
		return "what is there is not to be had";
	return until(&s->done, 2) ? balances() : "one sleeps in join though all is done";
}

static void discard_and_two_join(void)
{
	if (brood_queue_discard(q) != 0)
		up(&s->wrong);
	two_join();
}

static void close_and_two_take(void)
{
	close_it();
	two_take();
}

static const char *two_ended(void)
{
	int64_t end = brood_now() + limit_ns;

	while (get(&s->done) + get(&s->ended) < 2)
		if (brood_now() > end)
			return "one sleeps on beside the end";
	return balances();
}

static const char *waiter_has_the_next(void)
{
	if (brood_queue_size(q) == 0 && get(&s->done) == 0)
		harness_puts();
	return another_has_it_at_last();
}

static const char *two_have_reserved(void)
{
	return until(&s->done, 2) ? balances() : "one waits for a reservation that is free";
}

static void reserve_behind_and_go_on(void)
{
	one_reserves();
	holder_goes_on();
}

static const char *follower_reserved(void)
{
	if (first == 0)
		reserve_behind_and_go_on();
	return until(&s->done, 2) ? balances() : "one waits for a reservation that is free";
}

static void reserve_behind_and_kill(void)
{
	one_reserves();
	holder_dies();
}

static const char *follower_reserved_a_dead_ones(void)
{
	if (first == 0)
		reserve_behind_and_kill();
	return until(&s->done, 1) ? balances() : "one waits for a reservation that is free";
}

static void reserve_behind_and_take(void)
{
	one_reserves();
	harness_takes();
}

static const char *follower_reserved_what_was_taken(void)
{
	if (first == 0)
		reserve_behind_and_take();
	return until(&s->done, 1) ? balances() : "one waits for a reservation that is free";
}

static const char *later_one_reserves(void)
{
	return follower_reserved_what_was_taken();
}

static const char *it_ended(void)
{
	start(take_one);
	return until(&s->ended, 1) ? settle() : "one waits on beside the end";
}

static const char *end_was_finished(void)
{
	if (brood_queue_size(q) == 1 && q->rooms.n > 1 && brood_queue_close(q) != 0)
		return "it cannot be closed"; /* by who had no reservation, and so did not */
	start(reserve_one);
	if (!until(&s->ended, 1))
		return "one waits on beside the end";
	return brood_queue_is_closed(q) == 1 ? balances() : "it is not closed though one was told";
}

static void make_room(void)
{
	harness_takes();
}

static void put_behind_and_make_room(void)
{
	first = start_asleep(put_one);
	harness_takes();
}

static const char *follower_is_in(void)
{
	int64_t end = brood_now() + limit_ns;

	if (first == 0)
		put_behind_and_make_room();
	while (get(&s->done) == 0 && brood_now() < end)
		if (brood_queue_size(q) == 1 && is_asleep(first))
			harness_takes();
	if (get(&s->done) == 0)
		return "a putter sleeps beside room";
	while (brood_queue_size(q) > 0)
		harness_takes();
	s->acked = 0;
	return balances();
}

static const char *room_again(void)
{
	harness_takes();
	return balances();
}

static void one_puts_one_reserves(void)
{
	first = start_asleep(put_one);
	second = start_asleep(reserve_one);
}

static void full_of_a_room(void)
{
	remake((brood_queue_opts){ .leases = 2, .reservations = 1, .items = 1 });
	put_through_room();
}

static const char *both_go_on(void)
{
	if (brood_queue_size(q) == 1 && get(&s->done) == 0) {
		/* nothing was taken, or the putter is in, and then both should be */
		struct bri_mark mark = bri_side_look(&q->memory->get);

		if (mark.items == 0)
			harness_takes();
	}
	if (!until(&s->done, 2))
		return "one sleeps beside room";
	while (brood_queue_size(q) > 0)
		harness_takes();
	s->acked = 0;
	return balances_but(1);
}

/* clang-format off */
static const struct scenario scenarios[] = {
	{ "take alone", two_in_it, NULL, NULL, victim_takes, NULL, balances, NULL, false },
	{ "take first use", two_in_it, NULL, NULL, victim_takes, NULL, balances, NULL, true },
	{ "take in two pieces", one_near_the_end, NULL, NULL, victim_takes, NULL, balances, NULL, false },
	{ "take two", two_in_it, NULL, NULL, victim_takes_two, NULL, balances, NULL, false },
	{ "take and ack two", two_in_it, NULL, NULL, victim_takes_and_acks_two, NULL, balances, NULL, false },
	{ "take what comes again", one_comes_again_and_one, NULL, NULL, victim_takes_two, NULL, balances, NULL, false },
	{ "take from a room", one_room_filled, NULL, NULL, victim_takes, NULL, balances, NULL, false },
	{ "take, none, another behind", NULL, NULL, NULL, victim_takes, follow_and_put, follower_has_it, harness_puts, false },
	{ "take, none, a holder dies", one_in_it, NULL, another_holds, victim_takes, follow_and_kill, follower_has_what_came_again, harness_puts, false },
	{ "take, all leases out", one_lease_two_in_it, NULL, another_holds, victim_takes, follow_and_go_on, follower_has_the_lease, harness_puts, false },
	{ "take, all leases out, a holder dies", one_lease_two_in_it, NULL, another_holds, victim_takes, follow_and_kill, follower_has_what_came_again, harness_puts, false },
	{ "take, closed, a holder ends", one_in_it, NULL, another_holds_the_last, victim_takes, follow_and_go_on, follower_ended, NULL, false },
	{ "take, closed, a holder dies", one_in_it, NULL, another_holds_the_last, victim_takes, follow_and_kill, follower_has_the_last, NULL, false },
	{ "take to timeout", NULL, NULL, NULL, victim_takes_shortly, NULL, later_one_has_it, NULL, false },
	{ "take, the end", over, NULL, NULL, victim_takes, NULL, it_ended, NULL, false },
	{ "ack alone", two_in_it, has_taken, NULL, victim_acks, NULL, balances, NULL, false },
	{ "ack, two join", one_in_it, has_taken, two_join, victim_acks, NULL, two_joined, NULL, false },
	{ "ack, discarded, two join", two_in_it, has_taken, discard_and_two_join, victim_acks, NULL, two_joined, NULL, false },
	{ "ack, one waits for a lease", one_lease_two_in_it, has_taken, one_takes, victim_acks, NULL, another_has_it_at_last, NULL, false },
	{ "ack, closed, two wait", one_in_it, has_taken, close_and_two_take, victim_acks, NULL, two_ended, NULL, false },
	{ "ack, one waits for a message", one_in_it, has_taken, one_takes, victim_acks, NULL, waiter_has_the_next, NULL, false },
	{ "give_back alone", one_in_it, has_taken, NULL, victim_gives_back, NULL, balances, NULL, false },
	{ "give_back, two wait", one_in_it, has_taken, two_take, victim_gives_back, NULL, another_has_it_at_last, NULL, false },
	{ "get what comes again", one_comes_again, NULL, NULL, victim_gets, NULL, gone_or_there, NULL, false },
	{ "get beside leases", two_in_it, has_taken, NULL, victim_gets, NULL, balances_but_one, NULL, false },
	{ "get in two pieces beside leases", one_near_the_end, NULL, NULL, victim_gets, NULL, balances_but_one, NULL, false },
	{ "get many, one of a room", two_in_it_of_three, NULL, NULL, victim_gets_many, NULL, balances_but_two, NULL, false },
	{ "get, the end beside leases", over, NULL, NULL, victim_gets, NULL, it_ended, NULL, false },
	{ "get, none, a holder dies", one_in_it, NULL, another_holds, victim_gets, get_behind_and_kill, getter_has_what_came_again, harness_puts, false },
	{ "peek what comes again", one_comes_again, NULL, NULL, victim_peeks, NULL, balances, NULL, false },
	{ "task_done and close after take and ack", two_in_it, victim_takes_and_acks_two, NULL, victim_finishes_and_closes, NULL, balances, NULL, false },
	{ "reserve and commit", NULL, NULL, NULL, victim_reserves_and_commits, NULL, balances, NULL, false },
	{ "reserve, another cancels", one_room, NULL, another_holds_a_room, victim_reserves, reserve_behind_and_go_on, follower_reserved, NULL, false },
	{ "reserve, another dies", one_room, NULL, another_holds_a_room, victim_reserves, reserve_behind_and_kill, follower_reserved_a_dead_ones, NULL, false },
	{ "reserve, all filled", one_room_filled, NULL, NULL, victim_reserves, reserve_behind_and_take, follower_reserved_what_was_taken, NULL, false },
	{ "reserve, half closed", one_room_filled_half_closed, NULL, NULL, victim_reserves, NULL, end_was_finished, NULL, false },
	{ "reserve, the first is filled", two_in_it_of_three, NULL, NULL, victim_reserves, NULL, balances, NULL, false },
	{ "reserve to timeout", one_room_filled, NULL, NULL, victim_reserves_shortly, NULL, later_one_reserves, NULL, false },
	{ "commit and put", NULL, victim_writes, NULL, victim_commits_and_puts, NULL, balances, NULL, false },
	{ "commit, one waits", NULL, victim_writes, one_takes, victim_commits, NULL, waiter_has_the_next, NULL, false },
	{ "commit, no room, another behind", full, victim_writes, NULL, victim_commits, put_behind_and_make_room, follower_is_in, make_room, false },
	{ "commit finishes the end", full_half_closed, victim_writes, NULL, victim_commits_twice, NULL, end_was_finished, NULL, false },
	{ "commit to timeout", full, victim_writes, NULL, victim_commits_shortly, NULL, room_again, NULL, false },
	{ "cancel, two wait", one_room, victim_writes, two_reserve, victim_cancels, NULL, two_have_reserved, NULL, false },
	{ "get, one puts, one reserves", full_of_a_room, NULL, one_puts_one_reserves, victim_gets, NULL, both_go_on, NULL, false },
	{ "errors", two_in_it, has_taken, NULL, victim_errs, NULL, balances, NULL, false },
	{ "errors where one comes again", one_comes_again, NULL, NULL, victim_errs, NULL, balances, NULL, false },
	{ "biased: take", two_in_it, takes_biased, NULL, victim_takes, NULL, balances, NULL, false },
	{ "biased: ack, two join", one_in_it, has_taken_biased, two_join, victim_acks, NULL, two_joined, NULL, false },
	{ "biased: commit, one waits", NULL, has_written_biased, one_takes, victim_commits, NULL, waiter_has_the_next, NULL, false },
};

static const struct encounter met[] = {
	{ { "meet: ack, one wants a lease", one_lease_two_in_it, has_taken, NULL, victim_acks, NULL, another_has_it_at_last, NULL, false }, one_takes },
	{ { "meet: give_back, one takes", one_in_it, has_taken, NULL, victim_gives_back, NULL, another_has_it_at_last, NULL, false }, one_takes },
};
/* clang-format on */

static void anew(const char *name)
{
	(void)name;
	memset(s, 0, sizeof(*s));
	first = second = holder = 0;
	puts_so_far = 0;
	remake((brood_queue_opts){ .leases = 3, .reservations = 2 });
}

static void attach(void)
{
	brood_lock lock;

	brood_lock_init(&lock);
	brood_lock_acquire(&lock, 0);
	brood_lock_release(&lock);
}

int main(int argc, char **argv)
{
	s = shared_memory(sizeof(*s));
	encounters = met;
	n_encounters = sizeof(met) / sizeof(met[0]);
	return step_through(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
}
