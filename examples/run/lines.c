/* lines - a main program that talks with a worker program (lines-worker.c), line by line
 *
 * The worker lies beside this program. Both ends of its pipes are FILEs here, so that the conversation
 * is fprintf() and fgets(); each question is answered before the next one is asked, so neither
 * waits for the other in vain. Who has much to say, and does not wait for answers, uses
 * brood_popen_communicate() instead. */
#include <brood/brood.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const questions[] = { "one", "two", "three", "four", "five" };

static int worker_path(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (n < 0 || n + 8 > PATH_MAX)
		return -1;
	strcpy(path + n, "-worker");
	return 0;
}

static int talk(FILE *to, FILE *from)
{
	char answer[256];

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		fprintf(to, "%s\n", questions[i]);
		if (fflush(to) != 0 || fgets(answer, sizeof(answer), from) == NULL)
			return -1;
		printf("%zu: %s", i + 1, answer);
	}
	return 0;
}

int main(void)
{
	const brood_popen_opts opts = { .spawn = { .in = { .kind = BROOD_STDIO_PIPE },
						   .out = { .kind = BROOD_STDIO_PIPE } } };
	FILE *to = NULL, *from = NULL;
	char path[PATH_MAX] = "";
	brood_popen *worker;
	brood_exit end;
	int r;

	if (worker_path(path) < 0 || brood_popen_start(BROOD_ARGV(path), &opts, &worker) < 0) {
		fprintf(stderr, "lines: cannot start %s\n", path);
		return 1;
	}
	r = brood_popen_file(worker, 0, &to);
	if (r == 0)
		r = brood_popen_file(worker, 1, &from);
	if (r == 0)
		r = talk(to, from);
	if (to != NULL)
		(void)fclose(to); /* the end of its input is the end of the worker */
	if (from != NULL)
		(void)fclose(from);
	if (brood_popen_wait(worker, 5 * BROOD_SEC, &end) < 0)
		brood_popen_stop(worker, BROOD_SEC, &end);
	brood_popen_free(worker);
	printf("the worker ended with %d\n", brood_exit_code(&end));
	return r == 0 && brood_exit_ok(&end) ? 0 : 1;
}
