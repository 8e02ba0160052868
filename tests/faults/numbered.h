/* numbered.h - numbered messages through a queue whose users are killed at random: what they are, and the books of what came
 *
 * For queue_random.c and lease_random.c, each of which includes it once. */
#ifndef FAULTS_NUMBERED_H
#define FAULTS_NUMBERED_H

#include <brood/brood.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chance.h"

#define SIDE 4 /* put, and as many get */
#define LIMIT (30 * BROOD_SEC)
#define MOST (1 << 22) /* messages of a putter; it pauses then */

static struct books {
	uint32_t next[SIDE]; /* the number that the putter is about */
	int failures;
	unsigned char came[SIDE][MOST]; /* how often */
	unsigned char unsure[SIDE][MOST];
} * books;

/* Shared by all who are forked; false: there is no memory. */
static bool books_open(void)
{
	books = mmap(NULL, sizeof(*books), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	return books != MAP_FAILED;
}

static void failed(const char *what, long value)
{
	fprintf(stderr, "FAILED: %s: %ld\n", what, value);
	__atomic_fetch_add(&books->failures, 1, __ATOMIC_SEQ_CST);
}

/* Now and then one is slow, so that the queue is full at times, and empty at times. */
static void dawdle(unsigned seldom)
{
	if (below(seldom) == 0)
		nap(below(200));
}

/* ---- messages of 16 to 80 bytes */

struct message {
	uint32_t of, n;
	uint64_t rest[9];
};

static uint64_t word_of(uint32_t of, uint32_t n, size_t i)
{
	return (uint64_t)n * 0x9e3779b97f4a7c15u + of * 31 + i;
}

static size_t write_message(struct message *message, uint32_t of, uint32_t n)
{
	size_t words = 1 + n % 9;

	message->of = of;
	message->n = n;
	for (size_t i = 0; i < words; i++)
		message->rest[i] = word_of(of, n, i);
	return 8 + 8 * words;
}

static bool is_whole(const struct message *message, size_t size)
{
	struct message right;

	if (size < 16 || message->of >= SIDE || message->n >= MOST ||
	    write_message(&right, message->of, message->n) != size ||
	    memcmp(&right, message, size) != 0) {
		failed("torn", (long)size);
		return false;
	}
	return true;
}

static void count_message(uint32_t of, uint32_t n)
{
	if (__atomic_add_fetch(&books->came[of][n], 1, __ATOMIC_SEQ_CST) != 1)
		failed("came twice", n);
}

/* How many are missing that were surely put and not surely taken along; and all. */
static long missing_messages(long *ret_all)
{
	long missing = 0;

	*ret_all = 0;
	for (uint32_t of = 0; of < SIDE; of++)
		for (uint32_t n = 0; n < books->next[of]; n++) {
			missing += books->came[of][n] == 0 && !books->unsure[of][n];
			++*ret_all;
		}
	return missing;
}

/* ---- who is killed */

static pid_t start(void (*body)(uint32_t), uint32_t nth)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		chance_part();
		body(nth);
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* What it was about may be in the queue or not: nobody puts it again. */
static void end_putter(pid_t pid, uint32_t nth)
{
	end(pid);
	books->unsure[nth][books->next[nth]] = 1;
	books->next[nth]++;
}

static bool ends(pid_t pid)
{
	int64_t until = brood_now() + LIMIT;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (brood_now() > until)
			return false;
		nap(1000);
	}
	return true;
}

#endif
