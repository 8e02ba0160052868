/* zmq-queue SIZE - millions of messages a second through ZeroMQ, PUSH to PULL over ipc */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define RUN 0.2
#define END UINT64_MAX

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void feed(const char *address, size_t size)
{
	void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUSH);
	char *message = calloc(1, size);
	double until = now() + RUN;
	uint64_t number = 0;

	if (message == NULL || zmq_connect(socket, address) != 0)
		_exit(1);
	do {
		memcpy(message, &number, 8);
		zmq_send(socket, message, size, 0);
		number++;
	} while (now() < until);
	number = END;
	memcpy(message, &number, 8);
	zmq_send(socket, message, size, 0);
	zmq_close(socket);
	zmq_ctx_term(context);
	_exit(0);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	void *context, *socket;
	char address[64], *message = calloc(1, size + 1);
	uint64_t number, count = 0;
	double began;
	pid_t pid;

	if (size < 8 || message == NULL)
		return 2;
	snprintf(address, sizeof(address), "ipc://@brood-bench-%d", (int)getpid());
	pid = fork();
	if (pid == 0)
		feed(address, size);
	context = zmq_ctx_new();
	socket = zmq_socket(context, ZMQ_PULL);
	if (pid < 0 || zmq_bind(socket, address) != 0)
		return 1;
	zmq_recv(socket, message, size, 0);
	began = now();
	for (;;) {
		zmq_recv(socket, message, size, 0);
		memcpy(&number, message, 8);
		if (number == END)
			break;
		count++;
	}
	printf("%g\n", (double)count / (now() - began) / 1e6);
	waitpid(pid, NULL, 0);
	zmq_close(socket);
	zmq_ctx_term(context);
	free(message);
	return 0;
}
