/* mortal - workers that may die, and work that is done all the same
 *
 *	mortal [N] < WORDS
 *
 * As workers does, N processes count the letters of the words of the standard input. A word that begins with '!' kills the first
 * worker that takes it, as a bug or an operator might. What a worker takes is its own until it acks; so the word
 * comes again, to another, who sees that this is not the first time. The results are written in place, without a copy. */
#include <brood/queue.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_WORKERS 60

static brood_queue *tasks, *results;

/* The result first, the ack then: who dies in between has it done twice, and never not at all. */
static int work_on(brood_lease *task)
{
	const char *word = task->message;
	brood_reservation line;
	int size, r;

	if (task->size > 0 && word[0] == '!' && task->deliveries == 1)
		raise(SIGKILL);
	r = brood_queue_reserve(results, task->size + 60, BROOD_FOREVER, &line);
	if (r < 0)
		return r;
	size = snprintf(line.room, line.size, "%.*s %zu, delivered %u", (int)task->size, word,
			task->size, task->deliveries);
	r = brood_queue_commit(results, &line, (size_t)size, BROOD_FOREVER);
	return r < 0 ? r : brood_queue_ack(tasks, task);
}

static int work(void)
{
	brood_lease task;
	ssize_t n;

	while ((n = brood_queue_take(tasks, BROOD_FOREVER, &task)) >= 0)
		if (work_on(&task) < 0)
			return 1;
	return n == -EPIPE ? 0 : 1;
}

static void start(void)
{
	if (fork() == 0)
		_exit(work());
}

/* A new worker for each that was killed; false: one has failed. */
static bool replace_the_dead(void)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0) {
		if (!WIFSIGNALED(status))
			return false;
		start();
	}
	return true;
}

static void print_results(void)
{
	char line[400];
	ssize_t n;

	while ((n = brood_queue_get(results, line, sizeof(line), 0)) >= 0)
		printf("%.*s\n", (int)n, line);
}

/* Nobody waits for long, so that there is always somebody who looks after the dead. */
static int hand_out(void)
{
	char word[256];
	int r = 0;

	while (r == 0 && fgets(word, sizeof(word), stdin) != NULL)
		while ((r = brood_queue_put(tasks, word, strcspn(word, "\n"), 10 * BROOD_MSEC)) ==
			       -ETIMEDOUT &&
		       replace_the_dead())
			print_results();
	while (r == 0 && brood_queue_join(tasks, 10 * BROOD_MSEC) == -ETIMEDOUT) {
		print_results();
		if (!replace_the_dead())
			r = -ECHILD;
	}
	return r;
}

int main(int argc, char **argv)
{
	int workers = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 4, r, status;

	if (workers < 1 || workers > MOST_WORKERS)
		return 2;
	if (brood_queue_new(&(brood_queue_opts){ .leases = MOST_WORKERS }, &tasks) < 0 ||
	    brood_queue_new(&(brood_queue_opts){ .reservations = MOST_WORKERS }, &results) < 0)
		return 2;
	for (int i = 0; i < workers; i++)
		start();
	r = hand_out();
	brood_queue_close(tasks);
	while (wait(&status) > 0)
		if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
			r = -ECHILD;
	print_results();
	brood_queue_unref(tasks);
	brood_queue_unref(results);
	return r < 0;
}
