/* bench-spawn TINY [ROUNDS [BATCH]] - microseconds of one spawn + wait, brood beside its peers
 *
 * Short batches of each kind take turns, in an order that changes from round to round, so that a
 * slow spell of the machine meets all kinds alike. A round gives one ratio for each peer; what is
 * printed is the median over the rounds, of the times and of the ratios.
 *
 * The batches run in two workers, forked before anything else: a small one (10 MiB of touched
 * memory) and a large one (2 GiB), told by a socket what to do. They end when it closes.
 *
 * A line is: name, value, peer, value of the peer, ratio; with tabs between. */
#include <brood/spawn.h>

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../peers/clone3.h"
#include "../rounds.h"

#define SMALL ((size_t)10 << 20)
#define LARGE ((size_t)2 << 30)
#define SPARE ((long)512 << 20) /* must be free beside LARGE */
#define MAX_ROUNDS 1000
#define MAX_KINDS 3

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum what { BROOD, CLONE3, POSIX_SPAWN, END };

/* One batch, as the worker is asked for it; it answers with the nanoseconds of the batch. */
struct order {
	enum what what;
	int n;
	char path[240];
};

struct worker {
	int socket;
	pid_t pid;
};

/* A kind of spawn that takes part in a section; the first of a section is brood. */
struct kind {
	const char *peer;
	const struct worker *worker;
	struct order order;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-spawn: %s: %s\n", what, why);
	exit(1);
}

/* --- spawn and wait ----------------------------------------------------------------------- */

static void by_brood(const char *path)
{
	brood_child *child;
	brood_exit end;
	int r = brood_spawn(BROOD_ARGV(path), NULL, &child);

	if (r < 0)
		fail("brood_spawn", strerror(-r));
	r = brood_child_wait(child, BROOD_FOREVER, &end);
	brood_child_free(child);
	if (r < 0 || !brood_exit_ok(&end))
		fail(path, "did not end with 0");
}

static void by_clone3(const char *path)
{
	siginfo_t end;
	int pidfd = -1;

	if (clone3_exec(path, &pidfd) < 0)
		fail("clone3", strerror(errno));
	if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &end, WEXITED) < 0 || end.si_status != 0)
		fail(path, "did not end with 0");
	close(pidfd);
}

static void by_posix_spawn(const char *path)
{
	char *argv[] = { (char *)(uintptr_t)path, NULL };
	pid_t pid;
	int status, r = posix_spawn(&pid, path, NULL, NULL, argv, environ);

	if (r != 0)
		fail("posix_spawn", strerror(r));
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		fail(path, "did not end with 0");
}

/* --- workers ------------------------------------------------------------------------------ */

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int64_t run_batch(const struct order *order)
{
	static void (*const spawn[])(const char *path) = { by_brood, by_clone3, by_posix_spawn };
	int64_t start = now();

	for (int i = 0; i < order->n; i++)
		spawn[order->what](order->path);
	return now() - start;
}

static void work(int fd, size_t memory)
{
	struct order order;
	int64_t took = 0;

	if (rounds_touched(memory) == NULL)
		fail("mmap", strerror(errno));
	if (send(fd, &took, sizeof(took), MSG_NOSIGNAL) < 0)
		_exit(1);
	while (recv(fd, &order, sizeof(order), 0) == (ssize_t)sizeof(order) && order.what < END) {
		took = run_batch(&order);
		if (send(fd, &took, sizeof(took), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static int64_t answer_of(const struct worker *worker)
{
	int64_t took;

	if (recv(worker->socket, &took, sizeof(took), 0) != (ssize_t)sizeof(took))
		fail("worker", "ended too early");
	return took;
}

/* Returns when its memory is touched. */
static void start_worker(struct worker *worker, size_t memory)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		fail("socketpair", strerror(errno));
	worker->pid = fork();
	if (worker->pid < 0)
		fail("fork", strerror(errno));
	if (worker->pid == 0) {
		close(ends[0]);
		work(ends[1], memory);
	}
	close(ends[1]);
	worker->socket = ends[0];
	answer_of(worker);
}

static void stop_worker(struct worker *worker)
{
	close(worker->socket);
	waitpid(worker->pid, NULL, 0);
}

static double microseconds(const struct kind *kind)
{
	if (send(kind->worker->socket, &kind->order, sizeof(kind->order), MSG_NOSIGNAL) < 0)
		fail("worker", strerror(errno));
	return (double)answer_of(kind->worker) / kind->order.n / 1e3;
}

/* --- sections ----------------------------------------------------------------------------- */

/* The kind that is `at`-th in a round: rotated by one each two rounds, backwards in each second. */
static int turn(int round, int at, int n)
{
	int i = (round / 2 + at) % n;

	return round % 2 == 0 ? i : n - 1 - i;
}

static void run_section(const char *name, const struct kind *kinds, int n, int rounds)
{
	static double times[MAX_KINDS][MAX_ROUNDS], ratios[MAX_KINDS][MAX_ROUNDS];

	for (int i = 0; i < n; i++)
		microseconds(&kinds[i]); /* warm */
	for (int round = 0; round < rounds; round++) {
		for (int at = 0; at < n; at++) {
			int i = turn(round, at, n);

			times[i][round] = microseconds(&kinds[i]);
		}
		for (int i = 1; i < n; i++)
			ratios[i][round] = times[i][round] / times[0][round];
	}
	for (int i = 1; i < n; i++)
		printf("%s\t%.2f\t%s\t%.2f\t%.4f\n", name, rounds_median(times[0], rounds),
		       kinds[i].peer, rounds_median(times[i], rounds),
		       rounds_median(ratios[i], rounds));
	if (fflush(stdout) != 0)
		fail("stdout", strerror(errno));
}

static struct kind kind_of(const char *peer, const struct worker *worker, enum what what, int n,
			   const char *path)
{
	struct kind kind = { .peer = peer, .worker = worker, .order = { .what = what, .n = n } };

	if ((size_t)snprintf(kind.order.path, sizeof(kind.order.path), "%s", path) >=
	    sizeof(kind.order.path))
		fail(path, "too long a path");
	return kind;
}

static int number(const char *text, int most)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > most)
		fail(text, "is not a number that fits");
	return (int)value;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? number(argv[2], MAX_ROUNDS) : 100;
	int batch = argc > 3 ? number(argv[3], 10000) : 50;
	const char *tiny = argc > 1 ? argv[1] : NULL, *path = "/bin/true";
	struct worker small, large;

	if (tiny == NULL || argc > 4) {
		fputs("usage: bench-spawn TINY [ROUNDS [BATCH]]\n", stderr);
		return 2;
	}
	start_worker(&small, SMALL);
	run_section("spawn.tiny",
		    (struct kind[]){
			    kind_of("brood", &small, BROOD, batch, tiny),
			    kind_of("clone3+exec", &small, CLONE3, batch, tiny),
			    kind_of("posix_spawn", &small, POSIX_SPAWN, batch, tiny),
		    },
		    3, rounds);
	run_section("spawn.true",
		    (struct kind[]){
			    kind_of("brood", &small, BROOD, batch, path),
			    kind_of("clone3+exec", &small, CLONE3, batch, path),
		    },
		    2, rounds);
	if (rounds_available_memory() >= (long)LARGE + SPARE) {
		start_worker(&large, LARGE);
		run_section("spawn.tiny.parent2gib",
			    (struct kind[]){
				    kind_of("brood", &large, BROOD, batch, tiny),
				    kind_of("spawn.tiny", &small, BROOD, batch, tiny),
			    },
			    2, rounds);
		stop_worker(&large);
	} else {
		fputs("bench-spawn: too little memory is free for a parent of 2 GiB\n", stderr);
	}
	stop_worker(&small);
	return 0;
}
