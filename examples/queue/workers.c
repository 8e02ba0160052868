/* workers - N processes share the work that one hands out
 *
 *	workers [N] < WORDS
 *
 * The words of the standard input, one a line, go into a queue of tasks; each worker counts the letters of
 * those that it gets, and puts the results into another. No worker is told that there is no more to come:
 * closing the queue says so to all. A worker that is killed takes along the one word that it was at. */
#include <brood/queue.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_WORKERS 64

static int work(brood_queue *tasks, brood_queue *results)
{
	char word[256], line[300];
	ssize_t n;

	while ((n = brood_queue_get(tasks, word, sizeof(word), BROOD_FOREVER)) >= 0) {
		int length = snprintf(line, sizeof(line), "%.*s %zd", (int)n, word, n);

		if (brood_queue_put(results, line, (size_t)length, BROOD_FOREVER) < 0)
			return 1;
	}
	return n == -EPIPE ? 0 : 1;
}

/* Returns how many words there were, or -1. */
static int hand_out(brood_queue *tasks)
{
	char word[256];
	int n = 0;

	while (fgets(word, sizeof(word), stdin) != NULL) {
		if (brood_queue_put(tasks, word, strcspn(word, "\n"), BROOD_FOREVER) < 0)
			return -1;
		n++;
	}
	return n;
}

static int collect(brood_queue *results, int n)
{
	char line[300];

	for (; n > 0; n--) {
		ssize_t length = brood_queue_get(results, line, sizeof(line), 30 * BROOD_SEC);

		if (length < 0)
			return 1;
		printf("%.*s\n", (int)length, line);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int workers = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 4, n, status, failed = 0;
	brood_queue *tasks, *results;

	if (workers < 1 || workers > MOST_WORKERS || brood_queue_new(NULL, &tasks) < 0)
		return 2;
	if (brood_queue_new(NULL, &results) < 0)
		return 2;
	for (int i = 0; i < workers; i++)
		if (fork() == 0)
			_exit(work(tasks, results));
	n = hand_out(tasks);
	brood_queue_close(tasks);
	failed |= n < 0 || collect(results, n);
	while (wait(&status) > 0)
		failed |= status;
	brood_queue_unref(tasks);
	brood_queue_unref(results);
	return failed != 0;
}
