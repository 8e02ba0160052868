/* two-writers - two processes write lines to one file, standard output
 *
 *	two-writers [LINES]         each of both writes so many (100), and no line is torn
 *	two-writers -u [LINES]      the same without the lock: some lines have words of both
 *
 * Each word is a write of its own, and takes a moment, so that only the lock holds a line together.
 * Kill one writer within a line: the other is told, ends the half line, and goes on. */
#include <brood/lock.h>
#include <brood/segment.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS 8

static int say(const char *text)
{
	size_t size = strlen(text);

	return write(STDOUT_FILENO, text, size) == (ssize_t)size ? 0 : -1;
}

static int write_line(const char *word)
{
	const struct timespec a_moment = { .tv_nsec = 10 * BROOD_USEC };

	for (int i = 0; i < WORDS; i++) {
		if (say(word) < 0 || say(i < WORDS - 1 ? " " : "\n") < 0)
			return -1;
		nanosleep(&a_moment, NULL);
	}
	return 0;
}

static int work(brood_lock *lock, const char *word, long lines)
{
	for (long i = 0; i < lines; i++) {
		int r = lock != NULL ? brood_lock_acquire(lock, BROOD_FOREVER) : 0;

		if (r < 0 || (r == BROOD_OWNER_DIED && say("...\n") < 0) || write_line(word) < 0)
			return 1;
		if (lock != NULL)
			brood_lock_release(lock);
	}
	return 0;
}

int main(int argc, char **argv)
{
	bool locked = argc < 2 || strcmp(argv[1], "-u") != 0;
	long lines = argc > 2 - locked ? strtol(argv[2 - locked], NULL, 10) : 100;
	brood_segment *segment;
	brood_lock *lock;
	int lost = 0;

	if (lines <= 0) {
		(void)fprintf(stderr, "usage: two-writers [-u] [LINES]\n");
		return 2;
	}
	if (brood_segment_new(sizeof(*lock), NULL, &segment) < 0)
		return 1;
	lock = brood_segment_data(segment);
	if (brood_lock_init(lock) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(work(locked ? lock : NULL, i == 0 ? "left" : "right", lines));
		lost += pid < 0;
	}
	for (int status; wait(&status) > 0;)
		lost += status != 0;
	brood_segment_unref(segment);
	return lost > 0;
}
