/* chat - two programs that know nothing of each other but a queue's name
 *
 *	chat listen NAME &
 *	echo hello | chat say NAME
 *
 * The listener makes the queue, and prints what comes until somebody has said "bye". Its name goes with it; when it is killed, the
 * name stays until brood_segment_sweep() finds that nobody uses it, or the next listener does. */
#include <brood/queue.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int listen_to(const char *name)
{
	brood_fail fail = { .step = NULL };
	brood_queue *queue;
	char line[256];
	ssize_t n;

	if (brood_queue_new(&(brood_queue_opts){ .name = name, .bytes = 4096, .fail = &fail },
			    &queue) < 0) {
		brood_fail_format(&fail, line, sizeof(line));
		fprintf(stderr, "chat: %s\n", line);
		return 1;
	}
	while ((n = brood_queue_get(queue, line, sizeof(line), BROOD_FOREVER)) >= 0) {
		printf("%.*s\n", (int)n, line);
		(void)fflush(stdout);
		if (n == 3 && memcmp(line, "bye", 3) == 0)
			brood_queue_close(queue);
	}
	brood_queue_unlink(queue);
	brood_queue_unref(queue);
	return n == -EPIPE ? 0 : 1;
}

static int say(const char *name)
{
	brood_queue *queue;
	char line[256];
	int r = brood_queue_open(name, &queue);

	if (r < 0) {
		fprintf(stderr, "chat: %s: %s\n", name, strerror(-r));
		return 1;
	}
	while (r == 0 && fgets(line, sizeof(line), stdin) != NULL)
		r = brood_queue_put(queue, line, strcspn(line, "\n"), 10 * BROOD_SEC);
	brood_queue_unref(queue);
	return r == 0 || r == -EPIPE ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "listen") == 0)
		return listen_to(argv[2]);
	if (argc == 3 && strcmp(argv[1], "say") == 0)
		return say(argv[2]);
	fprintf(stderr, "usage: chat listen|say NAME\n");
	return 2;
}
