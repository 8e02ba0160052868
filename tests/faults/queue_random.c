/* queue_random KILLS [SEED] - four processes put, four get, and one after the other is killed at random
 *
 * Messages are numbered. Whoever gets one checks that it is whole and later than the one before of the same putter, and counts
 * it. In the end each has come once; but one that a putter was about when it was killed may have come or not, and one may
 * be missing for each getter that was killed. One of the getters polls the queue's descriptor. Each wait has a limit that is
 * reached only when somebody sleeps who should not; and if nobody puts or gets anything for a second, though all could,
 * that is a stall. The sides are biased to whoever has them twice in a row. Closes with
 *
 *	random-kills: kills=N failures=N
 */
#include <poll.h>

#include "ipc/queue.h"
#include "numbered.h"

static brood_queue *q;

static void check_message(const struct message *message, size_t size, int64_t *last)
{
	if (!is_whole(message, size))
		return;
	if (message->n <= last[message->of])
		failed("out of order", message->n);
	last[message->of] = message->n;
	count_message(message->of, message->n);
}

/* ---- who is killed */

static void putter(uint32_t nth)
{
	struct message messages[3];

	for (;;) {
		uint32_t n = books->next[nth];
		size_t size = write_message(messages, nth, n);
		int r;

		while (n + 1 >= MOST)
			pause();
		r = brood_queue_put(q, messages, size, LIMIT);
		if (r != 0)
			failed("put", r);
		__atomic_store_n(&books->next[nth], n + 1, __ATOMIC_SEQ_CST);
		dawdle(400);
	}
}

/* One of the four polls. */
static ssize_t take(uint32_t nth, struct message *message)
{
	struct pollfd polled = { .fd = -1, .events = POLLIN };
	ssize_t n;

	if (nth != 1)
		return brood_queue_get(q, message, sizeof(*message), LIMIT);
	polled.fd = brood_queue_poll_fd(q);
	if (polled.fd < 0)
		return polled.fd;
	while ((n = brood_queue_get(q, message, sizeof(*message), 0)) == -ETIMEDOUT)
		if (poll(&polled, 1, LIMIT / BROOD_MSEC) != 1)
			break;
	return n;
}

static void getter(uint32_t nth)
{
	int64_t last[SIDE] = { -1, -1, -1, -1 };
	struct message message = { .of = 0 };
	ssize_t n;

	while ((n = take(nth, &message)) >= 0) {
		check_message(&message, (size_t)n, last);
		if (nth % 2 == 0)
			dawdle(300);
	}
	if (n != -EPIPE)
		failed("get", (long)n);
}

/* ---- stalls
 *
 * A queue with putters and getters that live always has something to do for one side. What counts is how long neither side
 * commits while the harness itself comes to look: a machine that runs nobody for a while shows in its own gaps. */

#define STALL BROOD_SEC
#define GAP (100 * BROOD_MSEC)

static struct {
	uint32_t put, get;
	int64_t since, looked, longest;
} pace;

static bool all_have_put(void)
{
	for (uint32_t i = 0; i < SIDE; i++)
		if (__atomic_load_n(&books->next[i], __ATOMIC_SEQ_CST) + 1 < MOST)
			return false;
	return true;
}

static void look_at_pace(void)
{
	uint32_t put = __atomic_load_n(&q->memory->put.word, __ATOMIC_SEQ_CST) / BRI_QUEUE_COMMIT;
	uint32_t get = __atomic_load_n(&q->memory->get.word, __ATOMIC_SEQ_CST) / BRI_QUEUE_COMMIT;
	int64_t now = brood_now();

	if (put != pace.put || get != pace.get || now - pace.looked > GAP || all_have_put())
		pace.since = now;
	else if (now - pace.since > pace.longest)
		pace.longest = now - pace.since;
	pace.put = put;
	pace.get = get;
	pace.looked = now;
	if (now - pace.since > STALL)
		failed("nobody gets on, for ms", (long)((now - pace.since) / BROOD_MSEC));
}

/* ---- */

/* As often as can be: what a bias costs, and what it needs therefore, is not looked at. Returns how many sides are
 * biased at the moment. */
static long bias_early(void)
{
	__atomic_store_n(&q->memory->put.need, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&q->memory->get.need, 1, __ATOMIC_RELAXED);
	return (__atomic_load_n(&q->memory->put.bias, __ATOMIC_RELAXED) != 0) +
	       (__atomic_load_n(&q->memory->get.bias, __ATOMIC_RELAXED) != 0);
}

static void check_all(long killed_getters)
{
	long all, missing = missing_messages(&all);

	printf("%ld messages, %ld went with %ld killed getters\n", all, missing, killed_getters);
	if (missing > killed_getters)
		failed("lost", missing);
}

static void kill_at_random(long kills)
{
	pid_t putting[SIDE], getting[SIDE];
	long killed_getters = 0, biased = 0;

	for (uint32_t i = 0; i < SIDE; i++) {
		putting[i] = start(putter, i);
		getting[i] = start(getter, i);
	}
	for (long n = 0; n < kills && books->failures == 0; n++) {
		uint32_t victim = below(SIDE);

		biased += bias_early();
		nap(50 + below(1500));
		look_at_pace();
		if (below(2) == 0) {
			end_putter(putting[victim], victim);
			putting[victim] = start(putter, victim);
		} else {
			end(getting[victim]);
			killed_getters++;
			getting[victim] = start(getter, victim);
		}
	}
	for (uint32_t i = 0; i < SIDE; i++)
		end_putter(putting[i], i);
	if (brood_queue_close(q) != 0)
		failed("close", 0);
	for (uint32_t i = 0; i < SIDE; i++)
		if (!ends(getting[i])) {
			failed("a getter does not end", i);
			end(getting[i]);
		}
	check_all(killed_getters);
	printf("the longest stall was %ld ms\n", (long)(pace.longest / BROOD_MSEC));
	printf("%ld times a side was biased when somebody was killed\n", biased);
}

int main(int argc, char **argv)
{
	long kills = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	if (kills <= 0 || !books_open())
		return 2;
	chance_begin(argc > 2 ? argv[2] : NULL);
	if (brood_queue_new(&(brood_queue_opts){ .items = 16, .bytes = 800 }, &q) < 0)
		return 2;
	kill_at_random(kills);
	brood_queue_unref(q);
	printf("random-kills: kills=%ld failures=%d\n", kills, books->failures);
	return books->failures == 0 ? 0 : 1;
}
