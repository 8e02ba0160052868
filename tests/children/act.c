/* act VERB [WORD]… - does what it is told, one after the other, then exits 0
 *
 *	say TEXT, err TEXT   writes it to standard output, error
 *	fill N, efill N      writes N bytes of the pattern (pattern.h) there
 *	both N               the same to both, in turns of 4096
 *	packets TEXT         standard output is a pipe of packets (O_DIRECT, pipe(2)); one a letter
 *	copy                 standard input to standard output, to its end
 *	sip N, eat           reads N bytes, or all, of standard input and drops them
 *	check N              exits 9 unless standard input is the pattern, N bytes of it
 *	nap MS
 *	deaf                 ignores SIGTERM
 *	bye N                at SIGTERM: writes N bytes of the pattern, exits 3
 *	keep MS TEXT         leaves a process behind that holds the streams, says TEXT after MS, ends
 *	flood                leaves one behind that writes to standard output until nobody reads there
 *	close 0|1|2
 *	exit N, die SIGNAL, stay */
#include "pattern.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void need(bool condition)
{
	if (!condition)
		_exit(8);
}

static void put(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, bytes, n);

		need(done > 0);
		bytes += done;
		n -= (size_t)done;
	}
}

static void fill(int fd, size_t from, size_t n)
{
	char piece[4096];

	for (size_t at = from; at < from + n; at += sizeof(piece)) {
		size_t size = from + n - at < sizeof(piece) ? from + n - at : sizeof(piece);

		for (size_t i = 0; i < size; i++)
			piece[i] = pattern(at + i);
		put(fd, piece, size);
	}
}

static void both(size_t n)
{
	for (size_t at = 0; at < n; at += 4096)
		for (int fd = 1; fd <= 2; fd++)
			fill(fd, at, n - at < 4096 ? n - at : 4096);
}

static void packets(const char *text)
{
	need(fcntl(1, F_SETFL, O_WRONLY | O_DIRECT) == 0);
	for (; *text != '\0'; text++)
		put(1, text, 1);
}

static void copy(void)
{
	char piece[65536];
	ssize_t n;

	while ((n = read(0, piece, sizeof(piece))) > 0)
		put(1, piece, (size_t)n);
	need(n == 0);
}

static void sip(size_t n)
{
	char piece[4096];

	while (n > 0) {
		ssize_t got = read(0, piece, n < sizeof(piece) ? n : sizeof(piece));

		if (got <= 0)
			return;
		n -= (size_t)got;
	}
}

static void check(size_t n)
{
	char piece[4096];
	size_t at = 0;
	ssize_t got;

	while ((got = read(0, piece, sizeof(piece))) > 0)
		for (ssize_t i = 0; i < got; i++)
			if (piece[i] != pattern(at++))
				_exit(9);
	if (at != n)
		_exit(9);
}

static void nap(int ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&left, &left) < 0)
		continue;
}

static void keep(int ms, const char *text)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid > 0)
		return;
	nap(ms);
	signal(SIGPIPE, SIG_IGN);
	_exit(write(1, text, strlen(text)) < 0 ? 1 : 0);
}

static void flood(void)
{
	pid_t pid = fork();

	need(pid >= 0);
	if (pid > 0)
		return;
	for (size_t at = 0;; at += 4096)
		fill(1, at, 4096);
}

static void on_term(int signum)
{
	(void)signum;
	asked = 1;
}

static void bye(size_t n)
{
	sigset_t term, before;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	signal(SIGTERM, on_term);
	put(1, "ready\n", 6);
	while (!asked)
		sigsuspend(&before);
	fill(1, 0, n);
	_exit(3);
}

/* Returns how many words it took. */
static int act(char *const words[])
{
	const char *verb = words[0], *word = words[1] != NULL ? words[1] : "";
	size_t n = strtoul(word, NULL, 10);

	if (strcmp(verb, "copy") == 0)
		return copy(), 1;
	if (strcmp(verb, "eat") == 0)
		return sip(SIZE_MAX), 1;
	if (strcmp(verb, "deaf") == 0)
		return signal(SIGTERM, SIG_IGN), 1;
	if (strcmp(verb, "flood") == 0)
		return flood(), 1;
	if (strcmp(verb, "stay") == 0)
		for (;;)
			pause();
	need(words[1] != NULL);
	if (strcmp(verb, "keep") == 0) {
		need(words[2] != NULL);
		return keep((int)n, words[2]), 3;
	}
	if (strcmp(verb, "say") == 0)
		put(1, word, strlen(word));
	else if (strcmp(verb, "err") == 0)
		put(2, word, strlen(word));
	else if (strcmp(verb, "fill") == 0)
		fill(1, 0, n);
	else if (strcmp(verb, "efill") == 0)
		fill(2, 0, n);
	else if (strcmp(verb, "both") == 0)
		both(n);
	else if (strcmp(verb, "packets") == 0)
		packets(word);
	else if (strcmp(verb, "sip") == 0)
		sip(n);
	else if (strcmp(verb, "check") == 0)
		check(n);
	else if (strcmp(verb, "nap") == 0)
		nap((int)n);
	else if (strcmp(verb, "bye") == 0)
		bye(n);
	else if (strcmp(verb, "close") == 0)
		close((int)n);
	else if (strcmp(verb, "exit") == 0)
		_exit((int)n);
	else if (strcmp(verb, "die") == 0)
		kill(getpid(), (int)n);
	else
		need(false);
	return 2;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc;)
		i += act(argv + i);
	return 0;
}
