/* zmq-queue SIZE - millions of messages a second through ZeroMQ, PUSH to PULL over ipc
 *
 * One process sends, one receives, each message copied in and out, by zmq_send() and zmq_recv(). The clock runs from when
 * the two are connected, which the first message proves, until the last one was received. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define RUN 0.15
#define PATIENCE 10000 /* ms without a message: the other end is gone */
#define END UINT64_MAX
#define MOST ((size_t)1 << 20)

static char message[MOST];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "zmq-queue: %s: %s\n", what, zmq_strerror(zmq_errno()));
	_exit(1);
}

static void *open_socket(void *context, int type)
{
	void *socket = zmq_socket(context, type);
	const int patience = PATIENCE;

	if (socket == NULL ||
	    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
	    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof(patience)) != 0)
		die("socket");
	return socket;
}

static void send_number(void *socket, size_t size, uint64_t number)
{
	memcpy(message, &number, sizeof(number));
	if (zmq_send(socket, message, size, 0) != (int)size)
		die("send");
}

static uint64_t receive_number(void *socket, size_t size)
{
	uint64_t number;

	if (zmq_recv(socket, message, size, 0) != (int)size)
		die("receive");
	memcpy(&number, message, sizeof(number));
	return number;
}

/* Each process has a context of its own, for none may cross a fork. `gate`: a byte for "it is bound", one for "go". */
static _Noreturn void feed(const char *address, size_t size, int gate)
{
	void *context, *socket;
	uint64_t number = 1;
	double until;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(gate, &byte, 1) != 1)
		_exit(1);
	context = zmq_ctx_new();
	socket = open_socket(context, ZMQ_PUSH);
	if (zmq_connect(socket, address) != 0)
		die("connect");
	send_number(socket, size, 0);
	if (read(gate, &byte, 1) != 1)
		_exit(1);
	until = now() + RUN;
	do {
		for (int i = 0; i < 16; i++)
			send_number(socket, size, number++);
	} while (now() < until);
	send_number(socket, size, END);
	zmq_close(socket);
	zmq_ctx_term(context); /* when all was sent */
	_exit(0);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	char address[64];
	void *context, *socket;
	uint64_t count = 0;
	double began;
	int gate[2], status;
	pid_t pid;

	if (size < sizeof(uint64_t) || size > MOST || pipe(gate) < 0)
		return 2;
	(void)snprintf(address, sizeof(address), "ipc://@brood-bench-%d", (int)getpid());
	pid = fork();
	if (pid < 0)
		return 2;
	if (pid == 0)
		feed(address, size, gate[0]);
	context = zmq_ctx_new();
	socket = open_socket(context, ZMQ_PULL);
	if (zmq_bind(socket, address) != 0)
		die("bind");
	if (write(gate[1], "b", 1) != 1 || receive_number(socket, size) != 0)
		die("begin");
	began = now();
	if (write(gate[1], "g", 1) != 1)
		die("go");
	while (receive_number(socket, size) != END)
		count++;
	printf("%g\n", (double)count / (now() - began) / 1e6);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 1;
	zmq_close(socket);
	zmq_ctx_term(context);
	return 0;
}
