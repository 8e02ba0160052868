/* bench-queue [ROUNDS] - the queue beside rings of which one is not safe and the other is slow
 * bench-queue throughput PUTTERS GETTERS SIZE | busy - brood's side only, one figure, for a peer that is another program
 *
 * Default options, and a third process that has the queue and does nothing. The lines are those of rounds.h. */
#include <brood/queue.h>

#include <linux/membarrier.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "../peers/ring.h"
#include "../rounds.h"

#define RUN_NS (150 * BROOD_MSEC)
#define TRIPS 20000L
#define WAKES 1000L
#define AWAY_NS (60 * BROOD_USEC)
#define MOST_SIZE 65536
#define BATCH 16
#define TAKES 200L
#define ALONE 2048 /* puts after which the side is biased, and that has paid */
#define END UINT64_MAX

enum side { BROOD, BROOD_BATCHED, MPMC, LOCKS };

/* One way from some processes to others. */
struct way {
	enum side side;
	brood_queue *queue;
	struct ring *ring;
	size_t size;
};

static struct shared {
	LINE volatile int ready, go;
	LINE volatile uint64_t got[8], sum[8];
	LINE volatile uint64_t put[8];
	volatile int64_t ended;
	LINE uint32_t there;
	LINE uint32_t back;
	LINE volatile int64_t sent, late;
} * s;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_way(struct way *way, enum side side, size_t size)
{
	*way = (struct way){ .side = side, .size = size };
	if (side <= BROOD_BATCHED) {
		if (brood_queue_new(NULL, &way->queue) < 0)
			die("queue");
		return;
	}
	way->ring = ring_new(size <= 64 ? 4096 : size <= 1024 ? 512 : 8, size);
	if (way->ring == NULL)
		die("ring");
}

static void close_way(struct way *way)
{
	brood_queue_unref(way->queue);
	if (way->ring != NULL)
		ring_free(way->ring);
}

static void put(struct way *way, void *message)
{
	if (way->side <= BROOD_BATCHED) {
		if (brood_queue_put(way->queue, message, way->size, BROOD_FOREVER) < 0)
			die("put");
	} else {
		ring_until(way->ring, way->side == MPMC ? mpmc_put : locks_put, message,
			   &way->ring->emptied, &way->ring->filled);
	}
}

static void get(struct way *way, void *message)
{
	if (way->side <= BROOD_BATCHED) {
		if (brood_queue_get(way->queue, message, way->size, BROOD_FOREVER) < 0)
			die("get");
	} else {
		ring_until(way->ring, way->side == MPMC ? mpmc_get : locks_get, message,
			   &way->ring->filled, &way->ring->emptied);
	}
}

/* Puts BATCH messages that begin with first, first + 1, … */
static void put_batch(struct way *way, unsigned char *messages, uint64_t first)
{
	struct iovec all[BATCH];
	size_t done = 0;

	for (size_t i = 0; i < BATCH; i++) {
		all[i] = (struct iovec){ messages + i * way->size, way->size };
		memcpy(all[i].iov_base, &(uint64_t){ first + i }, 8);
	}
	while (done < BATCH) {
		ssize_t n =
			brood_queue_put_many(way->queue, all + done, BATCH - done, BROOD_FOREVER);

		if (n < 0)
			die("put_many");
		done += (size_t)n;
	}
}

static size_t get_batch(struct way *way, unsigned char *messages, struct iovec *all)
{
	ssize_t n = brood_queue_get_many(way->queue, messages, BATCH * way->size, all, BATCH,
					 BROOD_FOREVER);

	if (n < 0)
		die("get_many");
	return (size_t)n;
}

static pid_t start(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static unsigned char *memory(size_t size)
{
	unsigned char *bytes = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (bytes == NULL)
		die("memory");
	memset(bytes, 7, size);
	return bytes;
}

/* Counts what comes, until the end does. */
static void drain(struct way *way, int nth)
{
	unsigned char *messages = memory(BATCH * way->size);
	struct iovec all[BATCH] = { { messages, way->size } };
	uint64_t count = 0, sum = 0, number;
	bool over = false;

	__atomic_add_fetch(&s->ready, 1, __ATOMIC_SEQ_CST);
	while (!over) {
		size_t n = 1;

		if (way->side == BROOD_BATCHED)
			n = get_batch(way, messages, all);
		else
			get(way, messages);
		for (size_t i = 0; i < n; i++) {
			memcpy(&number, all[i].iov_base, 8);
			over |= number == END;
			if (number == END)
				continue;
			sum += number;
			count++;
		}
	}
	s->got[nth] = count;
	s->sum[nth] = sum;
	s->ended = brood_now();
	_exit(0);
}

static void feed(struct way *way, int nth, int64_t until)
{
	unsigned char *messages = memory(BATCH * way->size);
	uint64_t number = 0;

	do {
		if (way->side == BROOD_BATCHED) {
			put_batch(way, messages, number);
			number += BATCH;
			continue;
		}
		for (int i = 0; i < BATCH; i++) {
			memcpy(messages, &number, 8);
			put(way, messages);
			number++;
		}
	} while (brood_now() < until);
	s->put[nth] = number;
	free(messages);
}

/* Millions a second. */
static double throughput(enum side side, int putters, int getters, size_t size)
{
	unsigned char *message = memory(size);
	pid_t putting[8], getting[8], idle;
	struct way way;
	double count = 0;
	int64_t began;

	open_way(&way, side, size);
	memset(s, 0, sizeof(*s));
	idle = start();
	if (idle == 0) {
		if (way.queue != NULL)
			brood_queue_size(way.queue);
		for (;;)
			pause();
	}
	for (int i = 0; i < getters; i++) {
		getting[i] = start();
		if (getting[i] == 0)
			drain(&way, i);
	}
	while (s->ready < getters)
		sched_yield();
	began = brood_now();
	for (int i = 0; i < putters; i++) {
		putting[i] = start();
		if (putting[i] == 0) {
			feed(&way, i, began + RUN_NS);
			_exit(0);
		}
	}
	for (int i = 0; i < putters; i++)
		waitpid(putting[i], NULL, 0);
	memcpy(message, &(uint64_t){ END }, 8);
	for (int i = 0; i < getters; i++)
		put(&way, message);
	for (int i = 0; i < getters; i++) {
		waitpid(getting[i], NULL, 0);
		count += (double)s->got[i];
	}
	kill(idle, SIGKILL);
	waitpid(idle, NULL, 0);
	close_way(&way);
	free(message);
	return count / (double)(s->ended - began) * 1e3;
}

/* Microseconds there and back, of two who look all the time. */
static double busy_trips(enum side side)
{
	struct way there, back;
	uint64_t message = 1;
	int64_t began;
	pid_t pid;

	open_way(&there, side, 8);
	open_way(&back, side, 8);
	pid = start();
	if (pid == 0)
		for (;;) {
			get(&there, &message);
			put(&back, &message);
		}
	for (long i = 0; i < TRIPS / 10; i++) {
		put(&there, &message);
		get(&back, &message);
	}
	began = brood_now();
	for (long i = 0; i < TRIPS; i++) {
		put(&there, &message);
		get(&back, &message);
	}
	began = brood_now() - began;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close_way(&there);
	close_way(&back);
	return (double)began / (double)TRIPS / 1e3;
}

static void stay_away(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = AWAY_NS }, NULL);
}

static void futex_wait_for(uint32_t *word)
{
	while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0)
		syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void futex_set(uint32_t *word)
{
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Microseconds from the put until a sleeper has it; a bare futex, when there is no way. */
static double wake(struct way *way)
{
	int64_t late = 0, stamp = 0;
	pid_t pid;

	memset(s, 0, sizeof(*s));
	pid = start();
	if (pid == 0) {
		for (long i = 0; i < WAKES; i++) {
			if (way != NULL)
				get(way, &stamp);
			else
				futex_wait_for(&s->there);
			s->late += brood_now() - (way != NULL ? stamp : s->sent);
			s->ready = 1;
		}
		_exit(0);
	}
	for (long i = 0; i < WAKES; i++) {
		s->ready = 0;
		stay_away();
		stamp = brood_now();
		s->sent = stamp;
		if (way != NULL)
			put(way, &stamp);
		else
			futex_set(&s->there);
		while (!s->ready)
			stay_away();
	}
	waitpid(pid, NULL, 0);
	late = s->late;
	return (double)late / (double)WAKES / 1e3;
}

static double asleep(bool ours)
{
	struct way way;
	double us;

	if (!ours)
		return wake(NULL);
	open_way(&way, BROOD, 8);
	us = wake(&way);
	close_way(&way);
	return us;
}

/* Puts alone, when it is told, and looks all the time. */
static void have_it_alone(struct way *way)
{
	uint64_t message = 0;

	for (int turn = 1;; turn++) {
		while (s->go != turn)
			;
		for (int i = 0; i < ALONE; i++)
			put(way, &message);
		s->ready = turn;
	}
}

/* Microseconds of the put that takes the side from another, which runs; or of the fence for that alone. */
static double take(bool ours)
{
	int64_t taken = 0, began;
	uint64_t message = 0;
	struct way way;
	pid_t pid;

	open_way(&way, BROOD, 8);
	memset(s, 0, sizeof(*s));
	pid = start();
	if (pid == 0)
		have_it_alone(&way);
	for (int turn = 1; turn <= TAKES; turn++) {
		s->go = turn;
		while (s->ready != turn)
			sched_yield();
		began = brood_now();
		if (ours)
			put(&way, &message);
		else
			syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
		taken += brood_now() - began;
		for (int i = ours ? -1 : 0; i < ALONE; i++)
			get(&way, &message);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close_way(&way);
	return (double)taken / (double)TAKES / 1e3;
}

/* ---- rounds */

static double small(bool ours)
{
	return throughput(ours ? BROOD : LOCKS, 1, 1, 64);
}

static double small_without_locks(bool ours)
{
	return throughput(ours ? BROOD : MPMC, 1, 1, 64);
}

static double batched(bool ours)
{
	return throughput(ours ? BROOD_BATCHED : LOCKS, 1, 1, 64);
}

static double larger(bool ours)
{
	return throughput(ours ? BROOD : LOCKS, 1, 1, 1024);
}

static double crowded(bool ours)
{
	return throughput(ours ? BROOD : LOCKS, 4, 4, 64);
}

/* Percent of its fair share that the one of four had who had least. */
static double least_of(const volatile uint64_t *shares)
{
	uint64_t least = UINT64_MAX, all = 0;

	for (int i = 0; i < 4; i++) {
		all += shares[i];
		least = shares[i] < least ? shares[i] : least;
	}
	return 400.0 * (double)least / (double)all;
}

static double least_put(bool ours)
{
	return ours && throughput(BROOD, 4, 4, 64) > 0 ? least_of(s->put) : 100;
}

static double least_got(bool ours)
{
	return ours && throughput(BROOD, 4, 4, 64) > 0 ? least_of(s->got) : 100;
}

static double busy(bool ours)
{
	return busy_trips(ours ? BROOD : MPMC);
}

static const struct rounds_figure figures[] = {
	{ "queue.1to1.64b", "M/s", "two-robust-locks", small, true },
	{ "queue.1to1.64b", "M/s", "mpmc-ring", small_without_locks, true },
	{ "queue.1to1.64b.batch16", "M/s", "two-robust-locks", batched, true },
	{ "queue.1to1.1kib", "M/s", "two-robust-locks", larger, true },
	{ "queue.4to4.64b", "M/s", "two-robust-locks", crowded, true },
	{ "queue.4to4.least-put", "%", "fair-share", least_put, true },
	{ "queue.4to4.least-got", "%", "fair-share", least_got, true },
	{ "queue.pingpong.busy", "us", "mpmc-pair", busy, false },
	{ "queue.pingpong.asleep", "us", "futex", asleep, false },
	{ "queue.take", "us", "membarrier", take, false },
};

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "9";

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return 1;
	if (argc == 5 && strcmp(what, "throughput") == 0)
		printf("%g\n", throughput(BROOD, (int)strtol(argv[2], NULL, 10),
					  (int)strtol(argv[3], NULL, 10),
					  (size_t)strtoul(argv[4], NULL, 10)));
	else if (strcmp(what, "busy") == 0)
		printf("%g\n", busy_trips(BROOD));
	else if (!rounds_take(what, figures, sizeof(figures) / sizeof(figures[0])))
		return 2;
	return 0;
}
