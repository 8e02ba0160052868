/* resolve NAME... - a call of the C library that blocks, getaddrinfo(3), made one that does not, by workers over two queues
 *
 * resolve.py is the same in Python, and prints the same. */
#include <brood/process.h>
#include <brood/queue.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define WORKERS 4
#define MOST 64

struct request {
	int number;
	char name[256];
};

struct answer {
	int number;
	char address[INET_ADDRSTRLEN]; /* "": it has none */
};

static void resolve(const char *name, char *address)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	struct sockaddr_in in;

	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return;
	memcpy(&in, found->ai_addr, sizeof(in));
	inet_ntop(AF_INET, &in.sin_addr, address, INET_ADDRSTRLEN);
	freeaddrinfo(found);
}

static int worker(const brood_args *args)
{
	brood_queue *requests = brood_args_queue(args, 0), *answers = brood_args_queue(args, 1);
	struct request request;
	ssize_t n;

	while ((n = brood_queue_get(requests, &request, sizeof(request), BROOD_FOREVER)) >= 0) {
		struct answer answer = { .number = request.number };

		resolve(request.name, answer.address);
		if (brood_queue_put(answers, &answer, sizeof(answer), BROOD_FOREVER) < 0)
			return 1;
	}
	return n == -EPIPE ? 0 : 1; /* closed and drained */
}

/* Neither waits for an answer, nor for a worker. */
static int ask(brood_queue *requests, int number, const char *name)
{
	struct request request = { .number = number };

	snprintf(request.name, sizeof(request.name), "%s", name);
	return brood_queue_put(requests, &request, sizeof(request), 0);
}

int main(int argc, char **argv)
{
	struct answer answers[MOST] = { { .number = 0 } }, answer;
	const brood_process_opts opts = { .daemon = BROOD_DAEMON_YES };
	brood_queue *to, *from;
	brood_process *p;
	int n = argc - 1;

	brood_init();
	if (n > MOST || brood_queue_new(NULL, &to) < 0 || brood_queue_new(NULL, &from) < 0)
		return 1;
	for (int i = 0; i < WORKERS; i++) {
		if (brood_process_start(worker, BROOD_ARGS(to, from), &opts, &p) < 0)
			return 1;
		brood_process_unref(p);
	}
	for (int i = 0; i < n; i++)
		if (ask(to, i, argv[i + 1]) < 0)
			return 1;
	printf("%d asked\n", n);
	for (int i = 0; i < n; i++) {
		if (brood_queue_get(from, &answer, sizeof(answer), 30 * BROOD_SEC) < 0)
			return 1;
		answers[answer.number] = answer;
	}
	for (int i = 0; i < n; i++)
		printf("%s: %s\n", argv[i + 1],
		       answers[i].address[0] != '\0' ? answers[i].address : "no address");
	brood_queue_close(to);
	brood_queue_unref(to);
	brood_queue_unref(from);
	return 0;
}
