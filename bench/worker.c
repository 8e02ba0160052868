#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

void worker_fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
	exit(1);
}

int64_t worker_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static char *map(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		worker_fail("mmap", strerror(errno));
	return memory;
}

/* Small pages, each written to: what a fork has to copy the tables of. */
static void touch(size_t size)
{
	char *memory;

	if (size == 0)
		return;
	memory = map(size);
	madvise(memory, size, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < size; at += 4096)
		((volatile char *)memory)[at] = 1;
}

const char *worker_input(void)
{
	static char *input;

	if (input == NULL) {
		input = map(WORKER_INPUT_SIZE);
		/* Each word another, so that a piece in the wrong place is seen. */
		for (uint32_t word = 0; word < WORKER_INPUT_SIZE / sizeof(word); word++)
			memcpy(input + word * sizeof(word), &word, sizeof(word));
	}
	return input;
}

void worker_check_output(const char *output, size_t size)
{
	if (size != WORKER_INPUT_SIZE || memcmp(output, worker_input(), size) != 0)
		worker_fail("cat", "what came back is not what was sent");
}

static worker_job *find(const struct worker_task *tasks, const char *name)
{
	for (; tasks->name != NULL; tasks++)
		if (strcmp(tasks->name, name) == 0)
			return tasks->job;
	worker_fail(name, "no such job");
}

static void say(const char *text)
{
	if (puts(text) < 0 || fflush(stdout) != 0)
		worker_fail("stdout", strerror(errno));
}

/* Does what the line says, and answers. */
static void obey(const struct worker_task *tasks, char *line)
{
	char answer[32], *count = strchr(line, ' '), *end;
	long n;

	if (count == NULL)
		worker_fail(line, "is not a job");
	*count++ = '\0';
	n = strtol(count, &end, 10);
	if (*end != '\n' || n < 1 || n > INT_MAX)
		worker_fail(line, "how often?");
	snprintf(answer, sizeof(answer), "%lld", (long long)find(tasks, line)((int)n));
	say(answer);
}

int worker_main(int argc, char **argv, const struct worker_task *tasks)
{
	char line[64];

	touch(argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0);
	say("ready");
	while (fgets(line, sizeof(line), stdin) != NULL)
		obey(tasks, line);
	return 0;
}
