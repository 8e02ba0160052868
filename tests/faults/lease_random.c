/* lease_random KILLS [SEED] - four processes put, four take, and one after the other is killed at random
 *
 * As queue_random, but half of those who put write in place (reserve, commit), and messages are taken and acked. Nothing may be
 * missing: what a killed one had comes again, and is acked by another. In the second half of the kills two of the four get instead,
 * and one message may be missing for each of these that was killed. In the end all that was put was also acked or
 * finished, which brood_queue_join() says. Closes with
 *
 *	random-kills: kills=N failures=N
 */
#include "ipc/queue_lease.h"
#include "numbered.h"

static struct shared {
	uint32_t at_hand[SIDE][2]; /* 1 + whose message the taker is about to ack, and which */
	int again;
	bool getting; /* two of four get */
} * s;
static brood_queue *q;

static int put_in_place(uint32_t nth, uint32_t n)
{
	brood_reservation room;
	int r = brood_queue_reserve(q, sizeof(struct message), LIMIT, &room);

	if (r == 0 && n % 16 == 0) {
		r = brood_queue_cancel(q, &room);
		if (r == 0)
			r = brood_queue_reserve(q, sizeof(struct message), LIMIT, &room);
	}
	return r < 0 ? r : brood_queue_commit(q, &room, write_message(room.room, nth, n), LIMIT);
}

static int put_copied(uint32_t nth, uint32_t n)
{
	struct message message;
	size_t size = write_message(&message, nth, n);

	return brood_queue_put(q, &message, size, LIMIT);
}

static void putter(uint32_t nth)
{
	for (;;) {
		uint32_t n = books->next[nth];
		int r;

		while (n + 1 >= MOST)
			pause();
		r = nth % 2 == 0 ? put_in_place(nth, n) : put_copied(nth, n);
		if (r != 0)
			failed("put", r);
		__atomic_store_n(&books->next[nth], n + 1, __ATOMIC_SEQ_CST);
		dawdle(400);
	}
}

/* Whether it is acked is not known when it is killed between the two lines that say what it is about. */
static ssize_t take_one(uint32_t nth)
{
	const struct message *message;
	brood_lease lease;
	uint32_t of, number;
	ssize_t n = brood_queue_take(q, LIMIT, &lease);
	int r;

	if (n < 0)
		return n;
	message = lease.message;
	if (lease.deliveries > 1)
		__atomic_fetch_add(&s->again, 1, __ATOMIC_SEQ_CST);
	if (!is_whole(message, lease.size))
		return -EBADMSG;
	of = message->of;
	number = message->n;
	dawdle(100);
	if (below(200) == 0)
		return brood_queue_give_back(q, &lease);
	s->at_hand[nth][1] = number;
	__atomic_store_n(&s->at_hand[nth][0], 1 + of, __ATOMIC_SEQ_CST);
	r = brood_queue_ack(q, &lease);
	if (r < 0)
		return r;
	count_message(of, number);
	__atomic_store_n(&s->at_hand[nth][0], 0, __ATOMIC_SEQ_CST);
	return n;
}

static ssize_t get_one(void)
{
	struct message message;
	ssize_t n = brood_queue_get(q, &message, sizeof(message), LIMIT);

	if (n >= 0 && is_whole(&message, (size_t)n))
		count_message(message.of, message.n);
	return n;
}

static void getter(uint32_t nth)
{
	ssize_t n;

	do
		n = s->getting && nth % 2 == 0 ? get_one() : take_one(nth);
	while (n >= 0);
	if (n != -EPIPE)
		failed("take", (long)n);
}

static void end_getter(pid_t pid, uint32_t nth)
{
	end(pid);
	if (s->at_hand[nth][0] != 0)
		books->unsure[s->at_hand[nth][0] - 1][s->at_hand[nth][1]] = 1;
	s->at_hand[nth][0] = 0;
}

/* ---- */

static void bias_early(void)
{
	__atomic_store_n(&q->memory->put.need, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&q->memory->get.need, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&q->memory->done.need, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&q->rooms.head->side.need, 1, __ATOMIC_RELAXED);
}

static void check_all(long may_miss)
{
	long all, missing = missing_messages(&all);

	printf("%ld messages, %d came again, %ld went with %ld killed getters\n", all, s->again,
	       missing, may_miss);
	if (missing > may_miss)
		failed("lost", missing);
}

static void kill_at_random(long kills, bool getting)
{
	pid_t putting[SIDE], takers[SIDE];
	long killed_getters = 0;

	memset(s, 0, sizeof(*s));
	memset(books, 0, sizeof(*books));
	s->getting = getting;
	for (uint32_t i = 0; i < SIDE; i++) {
		putting[i] = start(putter, i);
		takers[i] = start(getter, i);
	}
	for (long n = 0; n < kills && books->failures == 0; n++) {
		uint32_t victim = below(SIDE);

		bias_early();
		nap(50 + below(1500));
		if (below(2) == 0) {
			end_putter(putting[victim], victim);
			putting[victim] = start(putter, victim);
		} else {
			end_getter(takers[victim], victim);
			killed_getters += getting && victim % 2 == 0;
			takers[victim] = start(getter, victim);
		}
	}
	for (uint32_t i = 0; i < SIDE; i++)
		end_putter(putting[i], i);
	if (!getting && brood_queue_join(q, LIMIT) != 0)
		failed("unfinished", (long)brood_queue_unfinished(q));
	if (brood_queue_close(q) != 0)
		failed("close", 0);
	for (uint32_t i = 0; i < SIDE; i++)
		if (!ends(takers[i])) {
			failed("a taker does not end", i);
			end(takers[i]);
		}
	check_all(killed_getters);
}

int main(int argc, char **argv)
{
	long kills = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kills <= 0 || s == MAP_FAILED || !books_open())
		return 2;
	chance_begin(argc > 2 ? argv[2] : NULL);
	for (int half = 0; half < 2 && books->failures == 0; half++) {
		if (brood_queue_new(
			    &(brood_queue_opts){
				    .items = 16, .bytes = 800, .leases = 3, .reservations = 2 },
			    &q) < 0)
			return 2;
		kill_at_random(half == 0 ? kills - kills / 2 : kills / 2, half == 1);
		brood_queue_unref(q);
	}
	printf("random-kills: kills=%ld failures=%d\n", kills, books->failures);
	return books->failures == 0 ? 0 : 1;
}
