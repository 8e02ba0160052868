/* queue_kill [--stride N] [--limit MS] [--reached FILE] [NAME...] - the users of a queue, killed at every instruction
 *
 * As sync_kill does with locks. After each kill all messages that were put are counted for: each is whole, comes
 * once and in order, one at most is missing with a killed getter; and whoever sleeps is woken by what
 * there is to do, by nobody else. Closes with
 *
 *	every-instruction: operations=N kills=N failures=N
 */
#include <brood/brood.h>

#include <poll.h>

#include "ipc/queue_watch.h"
#include "scenarios.h"

#define LONG (60 * BROOD_SEC)

static struct shared {
	int here, go, over, done, ended, wrong; /* counted up by the processes */
	int from_victim,
		numbers; /* messages of the victim that survivors have got; a bit for each */
} * s;
static brood_queue *q;
static pid_t first, second;

/* ---- messages: whoever reads one sees whether it is whole */

struct message {
	int64_t of, n, sum;
};
enum { HARNESS = 1, SURVIVOR, VICTIM };

static struct message message_of(int64_t of, int64_t n)
{
	return (struct message){ of, n, of * 1000003 + n * 7 };
}

static void look_at(const struct message *message, ssize_t size)
{
	struct message right = message_of(message->of, message->n);

	if (size != sizeof(*message) || message->sum != right.sum)
		up(&s->wrong);
	if (message->of != VICTIM)
		return;
	if (__atomic_fetch_or(&s->numbers, 1 << message->n, __ATOMIC_SEQ_CST) & 1 << message->n)
		up(&s->wrong); /* twice */
	up(&s->from_victim);
}

static int put_as(int64_t of, int64_t n, int64_t timeout_ns)
{
	struct message message = message_of(of, n);

	return brood_queue_put(q, &message, sizeof(message), timeout_ns);
}

static void harness_puts(void)
{
	if (put_as(HARNESS, 0, limit_ns) != 0)
		up(&s->wrong);
}

static bool harness_gets(void)
{
	struct message message;
	ssize_t n = brood_queue_get(q, &message, sizeof(message), limit_ns);

	if (n < 0)
		return false;
	/* nobody else gets, but those who have said so */
	if (message.of == VICTIM && message.n != get(&s->from_victim))
		up(&s->wrong); /* out of order */
	look_at(&message, n);
	return true;
}

/* ---- survivors */

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
	int r = put_as(SURVIVOR, 0, LONG);

	up(r == 0 ? &s->done : r == -EPIPE ? &s->ended : &s->wrong);
}

static void join_it(void)
{
	up(brood_queue_join(q, LONG) == 0 ? &s->done : &s->wrong);
}

/* As brood_queue_poll_fd() does, without its thread: it looks, and tells, itself. */
static struct bri_watcher *watch_it(void)
{
	struct bri_watcher *watcher;

	if (bri_watcher_new(q, &watcher) < 0)
		exit(2);
	q->watcher = watcher;
	return watcher;
}

static bool is_told(const struct bri_watcher *watcher, int ms)
{
	struct pollfd polled = { .fd = watcher->fd, .events = POLLIN };

	return poll(&polled, 1, ms) == 1;
}

static void watch_until_told(void)
{
	struct bri_watcher *watcher = watch_it();

	while (watcher->state == BRI_WATCHING)
		bri_watcher_look(watcher);
	up(is_told(watcher, 0) ? &s->over : &s->wrong);
}

static void stay_as_producer(void)
{
	if (brood_queue_produce(q) != 0)
		up(&s->wrong);
	up(&s->here);
	pause();
}

static void hold_putting_side(void)
{
	brood_lock_acquire(&q->memory->put.lock, LONG);
	up(&s->here);
	await(&s->go);
	brood_lock_release(&q->memory->put.lock);
	up(&s->over);
}

/* As if it had had the side for long. */
static void be_biased_to(struct bri_side *side)
{
	bri_bias_grant(bri_thread(), side);
	if (!bri_bias_names(bri_thread(), side->bias))
		up(&s->wrong);
}

static void biased_to_put(void)
{
	be_biased_to(&q->memory->put);
}

static void biased_to_get(void)
{
	be_biased_to(&q->memory->get);
}

static void biased_to_done(void)
{
	be_biased_to(&q->memory->done);
}

static void biased_to_all(void)
{
	biased_to_put();
	biased_to_get();
}

static void idle_at_both_ends(void)
{
	biased_to_all();
	up(&s->here);
	pause();
}

static void stay_in_putting_side(void)
{
	struct bri_side *put = &q->memory->put;
	struct bri_slot *slot;
	uint32_t word = put->word;
	void *before = NULL;

	biased_to_put();
	slot = bri_bias_enter(bri_thread(), put, &before);
	up(&s->here);
	await(&s->go);
	if (__atomic_load_n(&put->word, __ATOMIC_SEQ_CST) != word)
		up(&s->wrong);
	if (slot != NULL)
		bri_bias_leave(bri_thread(), put, slot, before);
	up(&s->over);
}

static pid_t start_asleep(void (*body)(void))
{
	pid_t pid = start(body);

	await_asleep(pid);
	return pid;
}

static void one_gets(void)
{
	first = start_asleep(get_one);
}

static void two_get(void)
{
	one_gets();
	second = start_asleep(get_one);
}

static void one_puts(void)
{
	first = start_asleep(put_one);
}

static void two_put(void)
{
	one_puts();
	second = start_asleep(put_one);
}

static void one_joins(void)
{
	first = start_asleep(join_it);
}

static void two_join(void)
{
	one_joins();
	second = start_asleep(join_it);
}

static void one_gets_and_one_watches(void)
{
	one_gets();
	second = start_asleep(watch_until_told);
}

static void one_puts_and_one_joins(void)
{
	one_puts();
	second = start_asleep(join_it);
}

static pid_t producer;

static void another_produces(void)
{
	producer = start(stay_as_producer);
	until(&s->here, 1);
}

static void another_produces_one_gets(void)
{
	another_produces();
	one_gets();
}

static void another_produced(void)
{
	another_produces();
	end_kid(producer);
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

static void full(void)
{
	remake((brood_queue_opts){ .items = 1 });
	harness_puts();
}

/* Positions near the ring's end: the next message is in two pieces. */
static void near_the_end(void)
{
	remake((brood_queue_opts){ .bytes = 248 });
	for (int i = 0; i < 7; i++) {
		harness_puts();
		harness_gets();
	}
	brood_queue_put(q, NULL, 0, 0);
	brood_queue_get(q, NULL, 0, 0);
	brood_queue_put(q, NULL, 0, 0);
	brood_queue_get(q, NULL, 0, 0);
}

static void one_near_the_end(void)
{
	near_the_end();
	harness_puts();
}

/* A closer was killed between its two steps. */
static void full_and_half_closed(void)
{
	struct bri_side *side;

	full();
	side = &q->memory->get;
	side->at[1] = (struct bri_mark){ side->at[0].items, side->at[0].bytes, 1, 0 };
	side->word = BRI_QUEUE_COMMIT;
}

/* A discarder was killed before it decided. */
static void one_and_half_discarded(void)
{
	struct bri_side *done;

	one_in_it();
	brood_queue_close(q);
	done = &q->memory->done;
	done->at[1] = (struct bri_mark){ .stop = BRI_STOP_DROP };
	done->word = BRI_QUEUE_COMMIT;
}

/* Bytes of a pattern, through the queue or into it. */
static unsigned char pattern[(size_t)1 << 20], buffer[(size_t)1 << 20];

static bool puts_pattern(size_t size, int what)
{
	for (size_t i = 0; i < size; i += 64)
		pattern[i] = (unsigned char)(what + 1 + (int)(i >> 6));
	return brood_queue_put(q, pattern, size, 0) == 0;
}

static bool gets_pattern(size_t size)
{
	memset(buffer, 0, size);
	return brood_queue_get(q, buffer, sizeof(buffer), 0) == (ssize_t)size &&
	       memcmp(buffer, pattern, size) == 0;
}

#define ACROSS 2000 /* bytes of a message that ends behind the first MiB of a turn */

/* As if so many turns of the ring, and most of a MiB, had gone through it, and the memory up to `given` been given back.
 * Whoever takes the first of two messages gives more back, in which that one began. */
static void two_and_much_behind(uint64_t turns, uint64_t given)
{
	struct bri_side *sides[2];
	uint64_t before;

	remake((brood_queue_opts){ .bytes = 5 << 20 });
	before = turns * (q->mask + 1) + (1 << 20) - ACROSS;
	sides[0] = &q->memory->put;
	sides[1] = &q->memory->get;
	for (int i = 0; i < 2; i++)
		sides[i]->at[0].bytes = sides[i]->seen_bytes = before;
	q->memory->get.given = given;
	puts_pattern(ACROSS, 7);
	harness_puts();
}

static void two_behind_the_first_mib(void)
{
	two_and_much_behind(0, 0);
}

/* In two pieces, since the first MiB of pages does not begin where the ring does. */
static void two_behind_the_end(void)
{
	two_and_much_behind(1, ((uint64_t)16 << 20) - 8192);
}

static void two_behind_a_flood(void)
{
	two_and_much_behind(2, 0);
}

static void dropped(void)
{
	two_in_it();
	brood_queue_discard(q);
}

static void one_taken_one_dropped(void)
{
	two_in_it();
	harness_gets();
	brood_queue_discard(q);
}

static void closed(void)
{
	brood_queue_close(q);
}

static void busy(void)
{
	start(hold_putting_side);
	until(&s->here, 1);
}

static void let_go(void)
{
	s->go = 1;
}

/* Somebody else is biased, and does nothing; or is dead; or is in the middle of a put. */
static void another_is_biased(void)
{
	start(idle_at_both_ends);
	until(&s->here, 1);
}

static void another_was_biased(void)
{
	pid_t pid = start(idle_at_both_ends);

	until(&s->here, 1);
	end_kid(pid);
}

static void another_is_busy(void)
{
	start(stay_in_putting_side);
	until(&s->here, 1);
}

/* Whoever puts twice is biased; the slots are those of the dead. */
static void soon_biased(void)
{
	struct bri_side *put = &q->memory->put;

	put->need = 1;
	for (size_t i = 0; i < BRI_SLOTS; i++)
		put->owners[i] = BRI_BIAS_NAME;
}

static void soon_biased_without_slots(void)
{
	struct bri_side *put = &q->memory->put;

	soon_biased();
	biased_to_get();
	for (size_t i = 0; i < BRI_SLOTS; i++)
		put->owners[i] = bri_thread()->name;
}

/* ---- what the victim does */

static int64_t victims_number;

static void victim_puts(void)
{
	put_as(VICTIM, victims_number++, BROOD_FOREVER);
}

static void victim_puts_two(void)
{
	victim_puts();
	victim_puts();
}

static void victim_puts_three(void)
{
	victim_puts_two();
	victim_puts();
}

static void victim_puts_many(void)
{
	struct message messages[2] = { message_of(VICTIM, 0), message_of(VICTIM, 1) };
	struct iovec all[2] = { { &messages[0], sizeof(messages[0]) },
				{ &messages[1], sizeof(messages[1]) } };

	brood_queue_put_many(q, all, 2, BROOD_FOREVER);
}

static void victim_puts_shortly(void)
{
	put_as(VICTIM, 0, BROOD_MSEC);
}

static void victim_tries_to_put(void)
{
	put_as(VICTIM, 0, 0);
}

static void victim_gets(void)
{
	struct message message;

	brood_queue_get(q, &message, sizeof(message), BROOD_FOREVER);
}

static void victim_gets_many(void)
{
	struct message messages[2];
	struct iovec all[2];

	brood_queue_get_many(q, messages, sizeof(messages), all, 2, BROOD_FOREVER);
}

static void victim_peeks(void)
{
	struct message message;

	brood_queue_peek(q, &message, sizeof(message), BROOD_FOREVER);
}

static void victim_gets_shortly(void)
{
	struct message message;

	brood_queue_get(q, &message, sizeof(message), BROOD_MSEC);
}

static void victim_tries_to_get(void)
{
	struct message message;

	brood_queue_get(q, &message, sizeof(message), 0);
}

static void victim_gets_large(void)
{
	brood_queue_get(q, buffer, ACROSS, BROOD_FOREVER);
}

static struct bri_watcher *watcher;

static void victim_has_watcher(void)
{
	watcher = watch_it();
	watcher->state = BRI_TOLD;
	brood_event_fd_set(watcher->fd);
}

static void victim_is_watcher(void)
{
	watcher = watch_it();
}

static void victim_watches(void)
{
	while (watcher->state == BRI_WATCHING)
		bri_watcher_look(watcher);
}

static void victim_discards(void)
{
	brood_queue_discard(q);
}

static void victim_comes(void)
{
	brood_queue_produce(q);
}

static void victim_takes_all_places(void)
{
	for (int i = 0; i < BRI_PRODUCERS; i++)
		brood_queue_produce(q);
}

static void victim_comes_and_goes(void)
{
	brood_queue_produce(q);
	brood_queue_produce(q);
	brood_queue_retire(q);
	brood_queue_retire(q);
	brood_queue_retire(q);
}

static void victim_retires(void)
{
	brood_queue_retire(q);
}

static void victim_closes(void)
{
	brood_queue_close(q);
	brood_queue_close(q);
}

static void victim_finishes_task(void)
{
	brood_queue_task_done(q);
}

static void victim_finishes_two(void)
{
	brood_queue_task_done(q);
	brood_queue_task_done(q);
}

static void victim_joins(void)
{
	brood_queue_join(q, BROOD_FOREVER);
}

static void victim_errs(void)
{
	static struct iovec none[1] = { { NULL, 1 } };
	char buf[4];

	brood_queue_put(NULL, NULL, 0, 0);
	brood_queue_put(q, NULL, 1, 0);
	brood_queue_put(q, buf, BROOD_QUEUE_BYTES + 1, 0);
	brood_queue_put_many(q, none, 1, 0);
	brood_queue_put_many(q, NULL, 1, 0);
	brood_queue_get(NULL, NULL, 0, 0);
	brood_queue_get(q, NULL, 1, 0);
	brood_queue_get_many(q, buf, 4, NULL, 1, 0);
	brood_queue_get(q, buf, sizeof(buf), 0);
	brood_queue_peek(q, NULL, 0, 0);
	brood_queue_close(NULL);
	brood_queue_task_done(NULL);
	brood_queue_join(NULL, 0);
	brood_queue_join(q, 0);
}

/* ---- afterwards */

static ssize_t committed(void)
{
	return brood_queue_unfinished(q);
}

static const char *settle(void)
{
	return get(&s->wrong) ? "a message is not what it was, or an operation failed" : NULL;
}

/* Takes all that is there, and sees that messages go through it still. */
static const char *goes_on(void)
{
	int before;

	while (brood_queue_size(q) > 0)
		if (!harness_gets())
			return "what is there is not to be had";
	before = get(&s->done);
	start(put_one);
	start(get_one);
	if (!until(&s->done, before + 2))
		return "no message goes through it any more";
	return settle();
}

/* Messages before, of which getting victims may have taken `most`. */
static const char *has_all_but(ssize_t before, ssize_t most)
{
	ssize_t n = brood_queue_size(q);

	if (n > before || n < before - most)
		return "messages are lost, or too many";
	return goes_on();
}

static const char *has_what_was_put(void)
{
	ssize_t n = committed(), before = get(&s->from_victim);

	if (brood_queue_size(q) != n)
		return "a message is lost";
	while (brood_queue_size(q) > 0)
		if (!harness_gets())
			return "what is there is not to be had";
	return get(&s->from_victim) != before + n ? "a message is lost" : goes_on();
}

static const char *has_what_was_put_at_last(void)
{
	let_go();
	return until(&s->over, 1) ? has_what_was_put() : "the busy one does not end";
}

/* Who came while the victim put has put, too. */
static const char *other_putter_is_in(void)
{
	ssize_t n;

	if (!until(&s->done, 1))
		return "a putter waits for a dead one";
	n = committed();
	if (n < 1 || n > 2 || brood_queue_size(q) != n)
		return "a message is lost";
	while (brood_queue_size(q) > 0)
		if (!harness_gets())
			return "what is there is not to be had";
	return get(&s->from_victim) != n - 1 ? "a message is lost" : goes_on();
}

static const char *other_getter_has_one(void)
{
	return until(&s->done, 1) ? has_all_but(1, 1) : "a getter waits for a dead one";
}

static const char *third_is_in_at_last(void)
{
	first = start_asleep(put_one);
	let_go();
	return until(&s->over, 1) ? other_putter_is_in() : "the busy one does not end";
}

static const char *two_or_one(void)
{
	return has_all_but(2, 1);
}

static const char *two_or_none(void)
{
	return brood_queue_size(q) == 1 ? "half of a step was taken" : has_all_but(2, 2);
}

static const char *one_or_none(void)
{
	return has_all_but(1, 1);
}

static const char *one_is_there(void)
{
	return has_all_but(1, 0);
}

static const char *still_two(void)
{
	return has_all_but(2, 0);
}

/* As many sleepers as messages that were put have them, by themselves. */
static const char *sleepers_get(int sleepers)
{
	int n = (int)committed();

	if (!until(&s->done, n < sleepers ? n : sleepers))
		return "a getter sleeps beside a message";
	for (; n < sleepers; n++)
		harness_puts();
	if (!until(&s->done, sleepers))
		return "a getter sleeps on";
	return goes_on();
}

static const char *one_has_it(void)
{
	return sleepers_get(1);
}

static const char *two_have_it(void)
{
	return sleepers_get(2);
}

/* The victim falls asleep: another comes behind it, and then one message. */
static void follow_and_put(void)
{
	one_gets();
	harness_puts();
}

static void put_two(void)
{
	two_in_it();
}

/* Whether the follower sleeps where it should not: on, beside a message. */
static const char *follower_has_it(void)
{
	int64_t end = brood_now() + limit_ns;

	if (first == 0)
		follow_and_put();
	while (brood_queue_size(q) > 0 && get(&s->done) == 0)
		if (brood_now() > end)
			return "a getter sleeps beside a message";
	/* it has it, or the dead one took it along */
	while (get(&s->done) == 0 && !is_asleep(first) && brood_now() < end)
		nap();
	if (get(&s->done) == 0)
		harness_puts();
	if (!until(&s->done, 1))
		return "a getter sleeps on";
	return goes_on();
}

/* Behind one that leads, with two messages. */
static const char *leader_has_it(void)
{
	if (committed() == 0)
		put_two();
	if (!until(&s->done, 1))
		return "a getter sleeps beside messages";
	return goes_on();
}

static const char *later_one_has_it(void)
{
	int before = get(&s->done);

	start(get_one);
	harness_puts();
	if (!until(&s->done, before + 1))
		return "a getter sleeps on";
	return goes_on();
}

static const char *sleeper_has_it(void)
{
	harness_puts();
	if (!until(&s->done, 1))
		return "a getter sleeps on";
	return goes_on();
}

/* The victim waits for room: another comes behind it, and then there is room for one. */
static void follow_and_make_room(void)
{
	one_puts();
	harness_gets();
}

static void make_room(void)
{
	harness_gets();
}

/* Room comes, as often as need be: the follower gets in. */
static const char *follower_is_in(void)
{
	int64_t end = brood_now() + limit_ns;

	if (first == 0)
		follow_and_make_room();
	while (brood_queue_size(q) == 0 && get(&s->done) == 0)
		if (brood_now() > end)
			return "a putter sleeps beside room";
	while (get(&s->done) == 0 && brood_now() < end)
		if (s->from_victim == 0 && is_asleep(first) && brood_queue_size(q) == 1)
			harness_gets();
	if (get(&s->done) == 0)
		return "a putter sleeps on";
	return goes_on();
}

/* One that leads, and the victim behind it. */
static const char *leader_is_in(void)
{
	int64_t end = brood_now() + limit_ns;

	while (get(&s->done) == 0 && brood_now() < end)
		if (brood_queue_size(q) == 1)
			harness_gets();
	return get(&s->done) == 0 ? "a putter sleeps on" : goes_on();
}

static void make_room_twice(void)
{
	harness_gets();
	harness_gets();
}

static const char *two_are_in(void)
{
	int64_t end = brood_now() + limit_ns;
	ssize_t size = brood_queue_size(q);

	/* the victim's get made room for one of the two, or did not */
	if (size == 0 && !until(&s->done, 1))
		return "a putter sleeps beside room";
	while (get(&s->done) < 2 && brood_now() < end)
		if (brood_queue_size(q) == 1)
			harness_gets();
	return get(&s->done) < 2 ? "a putter sleeps on" : goes_on();
}

static const char *room_again(void)
{
	harness_gets();
	return goes_on();
}

/* Nobody who waits is left behind the end. */
static const char *two_ended(bool told)
{
	if (!told && brood_queue_close(q) != 0)
		return "it cannot be closed";
	if (!until(&s->ended, 2))
		return "one sleeps on beside the end";
	if (brood_queue_is_closed(q) != 1 && brood_queue_close(q) != 0)
		return "it cannot be closed";
	if (put_as(HARNESS, 0, 0) != -EPIPE)
		return "a message goes in behind the end";
	while (brood_queue_size(q) > 0)
		if (!harness_gets())
			return "what is there is not to be had";
	start(get_one);
	return until(&s->ended, 3) ? settle() : "the end does not come";
}

static const char *closed_or_not(void)
{
	if (brood_queue_is_closed(q) == 1)
		return put_as(HARNESS, 0, 0) == -EPIPE ? NULL : "a message goes in behind the end";
	return goes_on();
}

static const char *getters_ended(void)
{
	return two_ended(brood_queue_is_closed(q) == 1);
}

static const char *putters_ended(void)
{
	return two_ended(bri_side_look(&q->memory->get).stop != 0 || brood_queue_is_closed(q) == 1);
}

/* What a dead closer began is finished by a putter, the victim or the next. */
static const char *end_was_finished(void)
{
	s->ended = 1; /* the victim, as it were */
	first = start(put_one);
	return two_ended(true);
}

static const char *joiners_went(int n)
{
	while (brood_queue_unfinished(q) > 0)
		if (brood_queue_task_done(q) != 0)
			return "tasks cannot be finished";
	if (!until(&s->done, n))
		return "one sleeps in join";
	if (brood_queue_task_done(q) != -EINVAL)
		return "tasks are counted wrongly";
	return goes_on();
}

static const char *two_joiners_went(void)
{
	if (brood_queue_unfinished(q) == 0 && !until(&s->done, 2))
		return "one sleeps in join though all is done";
	return joiners_went(2);
}

static void follow_and_finish(void)
{
	one_joins();
	brood_queue_task_done(q);
}

static const char *follower_joined(void)
{
	if (first == 0)
		follow_and_finish();
	return joiners_went(1);
}

/* Both are told of one message, though one of them takes it. */
static const char *one_has_it_and_one_is_told(void)
{
	if (committed() == 0)
		harness_puts();
	if (!until(&s->done, 1))
		return "a getter sleeps beside a message";
	if (get(&s->over) == 0)
		harness_puts(); /* what the watcher woke for was gone */
	return until(&s->over, 1) ? goes_on() : "a watcher sleeps on";
}

static bool is_dropped(void)
{
	return bri_side_look(&q->memory->get).stop & BRI_STOP_DROP;
}

/* It is decided or not; who waits to put or to get is told at the latest by the next who closes. */
static const char *dropped_or_not(void)
{
	struct message message;

	if (is_dropped() && (brood_queue_size(q) != 0 || put_as(HARNESS, 0, 0) != -EPIPE ||
			     brood_queue_get(q, &message, sizeof(message), 0) != -EPIPE))
		return "it was dropped, and is there";
	if (brood_queue_is_closed(q) == 1)
		return settle();
	return goes_on();
}

static const char *getters_are_told_of_it(void)
{
	return is_dropped() && !until(&s->ended, 2) ? "one sleeps on beside the end" :
						      getters_ended();
}

/* As soon as it is decided, or the joiner was told that it is about to be, it is, and all go on by themselves. */
static const char *drop_is_finished(void)
{
	bool told = bri_side_look(&q->memory->done).stop != 0 || is_dropped();

	if (told && !until(&s->ended, 1))
		return "a putter sleeps on beside the end";
	if (told && !until(&s->done, 1))
		return "one sleeps in join though it is all dropped";
	if (told && !is_dropped())
		return "what was begun was not finished";
	if (brood_queue_discard(q) != 0 || !until(&s->ended, 1) || !until(&s->done, 1))
		return "one sleeps on beside the end";
	if (brood_queue_join(q, 0) != 0 || brood_queue_size(q) != 0)
		return "it was dropped, and is there";
	return settle();
}

static const char *follower_finished_the_drop(void)
{
	if (!until(&s->done, 1))
		return "one sleeps in join though it is all dropped";
	return is_dropped() ? settle() : "what was begun was not finished";
}

static const char *next_one_finished_the_drop(void)
{
	start(join_it);
	return follower_finished_the_drop();
}

static const char *whole_all_around(void)
{
	const char *why;

	if (brood_queue_size(q) == 2 && !gets_pattern(ACROSS))
		return "a message is torn";
	why = one_is_there();
	for (int i = 0; why == NULL && i < 17; i++)
		if (!puts_pattern(sizeof(pattern) - 8, i) || !gets_pattern(sizeof(pattern) - 8))
			return "a message is torn";
	return why;
}

static bool was_produced(void)
{
	return bri_side_look(&q->memory->put).stop & BRI_STOP_PRODUCED;
}

/* The victim is dead: it was the last producer, or none. */
static const char *producers_end_is_told(void)
{
	if (!was_produced())
		return sleeper_has_it();
	if (!until(&s->ended, 1))
		return "a getter sleeps though no producer is left";
	return brood_queue_is_closed(q) == 1 ? settle() : "it is not closed";
}

static const char *no_producer_is_left(void)
{
	if (!was_produced())
		return goes_on();
	start(get_one);
	return producers_end_is_told();
}

static const char *it_is_closed(void)
{
	return brood_queue_is_closed(q) == 1 ? settle() : "it is not closed";
}

static const char *taken_one_is_finished(void)
{
	if (brood_queue_unfinished(q) > 0 && brood_queue_task_done(q) != 0)
		return "tasks cannot be finished";
	if (brood_queue_task_done(q) != -EINVAL || brood_queue_join(q, 0) != 0)
		return "tasks are counted wrongly";
	return it_is_closed();
}

/* The victim waits beside a producer: another comes behind it, and then that dies. */
static void follow_and_end_producer(void)
{
	one_gets();
	end_kid(producer);
}

static const char *follower_is_told(void)
{
	if (first == 0)
		follow_and_end_producer();
	return producers_end_is_told();
}

static void end_producer(void)
{
	end_kid(producer);
}

static const char *sleeper_is_told(void)
{
	if (brood_queue_is_closed(q) == 0)
		end_kid(producer);
	return producers_end_is_told();
}

static const char *next_one_is_told(void)
{
	start(get_one);
	return sleeper_is_told();
}

static const char *still_empty(void)
{
	return has_all_but(0, 0);
}

static const char *watcher_leaves_nothing(void)
{
	return committed() == 0 ? sleeper_has_it() : one_has_it();
}

/* clang-format off */
static const struct scenario scenarios[] = {
	{ "put alone", NULL, NULL, NULL, victim_puts, NULL, has_what_was_put, NULL, false },
	{ "put first use", NULL, NULL, NULL, victim_puts, NULL, has_what_was_put, NULL, true },
	{ "put in two pieces", near_the_end, NULL, NULL, victim_puts, NULL, goes_on, NULL, false },
	{ "put many", NULL, NULL, NULL, victim_puts_many, NULL, has_what_was_put, NULL, false },
	{ "put, one waits", NULL, NULL, one_gets, victim_puts, NULL, one_has_it, NULL, false },
	{ "put two, two wait", NULL, NULL, two_get, victim_puts_two, NULL, two_have_it, NULL, false },
	{ "put many, two wait", NULL, NULL, two_get, victim_puts_many, NULL, two_have_it, NULL, false },
	{ "put beside a busy one", NULL, NULL, busy, victim_puts, let_go, has_what_was_put_at_last, NULL, false },
	{ "put, no room, another behind", full, NULL, NULL, victim_puts, follow_and_make_room, follower_is_in, make_room, false },
	{ "put behind another", full, NULL, one_puts, victim_puts, make_room_twice, leader_is_in, make_room, false },
	{ "put to timeout", full, NULL, NULL, victim_puts_shortly, NULL, room_again, NULL, false },
	{ "put behind another to timeout", full, NULL, one_puts, victim_puts_shortly, NULL, leader_is_in, NULL, false },
	{ "put, try, no room", full, NULL, NULL, victim_tries_to_put, NULL, room_again, NULL, false },
	{ "put finishes the end", full_and_half_closed, NULL, NULL, victim_puts, NULL, end_was_finished, NULL, false },
	{ "get alone", two_in_it, NULL, NULL, victim_gets, NULL, two_or_one, NULL, false },
	{ "get in two pieces", one_near_the_end, NULL, NULL, victim_gets, NULL, one_or_none, NULL, false },
	{ "get many", two_in_it, NULL, NULL, victim_gets_many, NULL, two_or_none, NULL, false },
	{ "get, two wait for room", full, NULL, two_put, victim_gets, NULL, two_are_in, NULL, false },
	{ "get, none, another behind", NULL, NULL, NULL, victim_gets, follow_and_put, follower_has_it, harness_puts, false },
	{ "get behind another", NULL, NULL, one_gets, victim_gets, put_two, leader_has_it, harness_puts, false },
	{ "get to timeout", NULL, NULL, NULL, victim_gets_shortly, NULL, later_one_has_it, NULL, false },
	{ "get behind another to timeout", NULL, NULL, one_gets, victim_gets_shortly, NULL, sleeper_has_it, NULL, false },
	{ "peek", two_in_it, NULL, NULL, victim_peeks, NULL, still_two, NULL, false },
	{ "close, two wait to get", NULL, NULL, two_get, victim_closes, NULL, getters_ended, NULL, false },
	{ "close, two wait to put", full, NULL, two_put, victim_closes, NULL, putters_ended, NULL, false },
	{ "task_done, two join", one_in_it, NULL, two_join, victim_finishes_task, NULL, two_joiners_went, NULL, false },
	{ "task_done of two, two join", two_in_it, NULL, two_join, victim_finishes_two, NULL, two_joiners_went, NULL, false },
	{ "join, another behind", one_in_it, NULL, NULL, victim_joins, follow_and_finish, follower_joined, NULL, false },
	{ "errors", two_in_it, NULL, NULL, victim_errs, NULL, still_two, NULL, false },
	{ "biased: put", NULL, biased_to_put, NULL, victim_puts, NULL, has_what_was_put, NULL, false },
	{ "biased: put in two pieces", near_the_end, biased_to_put, NULL, victim_puts, NULL, goes_on, NULL, false },
	{ "biased: put many", NULL, biased_to_put, NULL, victim_puts_many, NULL, has_what_was_put, NULL, false },
	{ "biased: put, no room, another behind", full, biased_to_all, NULL, victim_puts, follow_and_make_room, follower_is_in, make_room, false },
	{ "biased: put finishes the end", full_and_half_closed, biased_to_put, NULL, victim_puts, NULL, end_was_finished, NULL, false },
	{ "biased: get", two_in_it, biased_to_get, NULL, victim_gets, NULL, two_or_one, NULL, false },
	{ "biased: get many", two_in_it, biased_to_get, NULL, victim_gets_many, NULL, two_or_none, NULL, false },
	{ "biased: get, none, another behind", NULL, biased_to_all, NULL, victim_gets, follow_and_put, follower_has_it, harness_puts, false },
	{ "biased: peek", two_in_it, biased_to_get, NULL, victim_peeks, NULL, still_two, NULL, false },
	{ "biased: close, two wait to get", NULL, biased_to_all, two_get, victim_closes, NULL, getters_ended, NULL, false },
	{ "biased: task_done, two join", one_in_it, biased_to_done, two_join, victim_finishes_task, NULL, two_joiners_went, NULL, false },
	{ "biased: errors", two_in_it, biased_to_all, NULL, victim_errs, NULL, still_two, NULL, false },
	{ "grant", soon_biased, NULL, NULL, victim_puts_three, NULL, has_what_was_put, NULL, false },
	{ "grant, no slots", soon_biased_without_slots, NULL, NULL, victim_puts_three, NULL, has_what_was_put, NULL, false },
	{ "take: put, another is biased", NULL, NULL, another_is_biased, victim_puts, NULL, has_what_was_put, NULL, false },
	{ "take: put, another was biased", NULL, NULL, another_was_biased, victim_puts, NULL, has_what_was_put, NULL, false },
	{ "take: put, another is busy", NULL, NULL, another_is_busy, victim_puts, let_go, has_what_was_put_at_last, NULL, false },
	{ "take: put, another is busy, a third comes", NULL, NULL, another_is_busy, victim_puts, let_go, third_is_in_at_last, NULL, false },
	{ "take: put to timeout, another is busy", NULL, NULL, another_is_busy, victim_puts_shortly, NULL, has_what_was_put_at_last, NULL, false },
	{ "take: get, another is biased", two_in_it, NULL, another_is_biased, victim_gets, NULL, two_or_one, NULL, false },
	{ "take: get, none, another is biased", NULL, NULL, another_is_biased, victim_gets, follow_and_put, follower_has_it, harness_puts, false },
	{ "put, one waits and one watches", NULL, NULL, one_gets_and_one_watches, victim_puts, NULL, one_has_it_and_one_is_told, NULL, false },
	{ "biased: put, one waits and one watches", NULL, biased_to_put, one_gets_and_one_watches, victim_puts, NULL, one_has_it_and_one_is_told, NULL, false },
	{ "watch, one waits to get", NULL, victim_is_watcher, one_gets, victim_watches, harness_puts, watcher_leaves_nothing, harness_puts, false },
	{ "watch, a message is there", two_in_it, victim_is_watcher, NULL, victim_watches, NULL, still_two, NULL, false },
	{ "watch, the last producer dies", NULL, victim_is_watcher, another_produces, victim_watches, end_producer, next_one_is_told, NULL, false },
	{ "watch, no producer is left", another_produced, victim_is_watcher, NULL, victim_watches, NULL, no_producer_is_left, NULL, false },
	{ "get, try, none, a descriptor is set", NULL, victim_has_watcher, NULL, victim_tries_to_get, NULL, still_empty, NULL, false },
	{ "get, memory is given back", two_behind_the_first_mib, NULL, NULL, victim_gets_large, NULL, whole_all_around, NULL, false },
	{ "get, memory is given back at the ring's end", two_behind_the_end, NULL, NULL, victim_gets_large, NULL, whole_all_around, NULL, false },
	{ "get, much memory is given back", two_behind_a_flood, NULL, NULL, victim_gets_large, NULL, whole_all_around, NULL, false },
	{ "biased: get, memory is given back", two_behind_the_first_mib, biased_to_get, NULL, victim_gets_large, NULL, whole_all_around, NULL, false },
	{ "get, it was dropped", dropped, NULL, NULL, victim_gets, NULL, it_is_closed, NULL, false },
	{ "biased: get, it was dropped", dropped, biased_to_get, NULL, victim_gets, NULL, it_is_closed, NULL, false },
	{ "peek, it was dropped", dropped, NULL, NULL, victim_peeks, NULL, it_is_closed, NULL, false },
	{ "peek, it is closed", closed, NULL, NULL, victim_peeks, NULL, it_is_closed, NULL, false },
	{ "biased: get, it is closed", closed, biased_to_get, NULL, victim_gets, NULL, it_is_closed, NULL, false },
	{ "task_done, one was dropped", one_taken_one_dropped, NULL, NULL, victim_finishes_two, NULL, taken_one_is_finished, NULL, false },
	{ "discard", two_in_it, NULL, NULL, victim_discards, NULL, dropped_or_not, NULL, false },
	{ "discard, two wait to get", NULL, NULL, two_get, victim_discards, NULL, getters_are_told_of_it, NULL, false },
	{ "discard, one waits to put, one joins", full, NULL, one_puts_and_one_joins, victim_discards, NULL, drop_is_finished, NULL, false },
	{ "join finishes a drop", one_and_half_discarded, NULL, NULL, victim_joins, NULL, next_one_finished_the_drop, NULL, false },
	{ "produce, one waits to get", NULL, NULL, one_gets, victim_comes, NULL, producers_end_is_told, NULL, false },
	{ "produce, it is closed", closed, NULL, NULL, victim_comes, NULL, it_is_closed, NULL, false },
	{ "produce, there are sixty", NULL, victim_takes_all_places, NULL, victim_comes, NULL, no_producer_is_left, NULL, false },
	{ "produce and retire", NULL, NULL, NULL, victim_comes_and_goes, NULL, no_producer_is_left, NULL, false },
	{ "retire, one waits to get", NULL, victim_comes, one_gets, victim_retires, NULL, producers_end_is_told, NULL, false },
	{ "get, the last producer dies, another behind", NULL, NULL, another_produces, victim_gets, follow_and_end_producer, follower_is_told, NULL, false },
	{ "get behind another, the last producer dies", NULL, NULL, another_produces_one_gets, victim_gets, end_producer, sleeper_is_told, NULL, false },
	{ "get, try, no producer is left", another_produced, NULL, NULL, victim_tries_to_get, NULL, no_producer_is_left, NULL, false },
	{ "take: close, another is biased", NULL, NULL, another_is_biased, victim_closes, NULL, closed_or_not, NULL, false },
};

static const struct encounter met[] = {
	{ { "meet: biased put, a putter", NULL, biased_to_put, NULL, victim_puts, NULL, other_putter_is_in, NULL, false }, one_puts },
	{ { "meet: biased put, a getter", NULL, biased_to_put, NULL, victim_puts, NULL, one_has_it, NULL, false }, one_gets },
	{ { "meet: biased get, a getter", two_in_it, biased_to_get, NULL, victim_gets, NULL, other_getter_has_one, NULL, false }, one_gets },
	{ { "meet: put takes the side, its user leaves", NULL, NULL, another_is_busy, victim_puts, let_go, has_what_was_put_at_last, NULL, false }, let_go },
	{ { "meet: put takes the side, a putter", NULL, NULL, another_is_biased, victim_puts, NULL, other_putter_is_in, NULL, false }, one_puts },
};
/* clang-format on */

static void anew(const char *name)
{
	(void)name;
	memset(s, 0, sizeof(*s));
	first = second = 0;
	remake((brood_queue_opts){ .bytes = 0 });
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
