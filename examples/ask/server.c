/* server - answers questions, of Python programs too
 *
 *	echo secret | server ADDRESS
 *
 * The key is the first line of standard input, never an argument, which all users of the machine can see. Prints where
 * it listens, and serves until standard input ends. A question is a tuple of a word and a number, ("primes", 100), the answer
 * an int; to what it cannot answer, a text that says why. In Python the other end is, without a line of C,
 *
 *	conn = multiprocessing.connection.Client(address, authkey=key)
 *	conn.send(('primes', 100))
 *	print(conn.recv())
 *
 * One process, one thread: brood_wait() tells which of the clients has asked. */
#include <brood/listener.h>
#include <brood/wait.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS 16
#define LIMIT 10000000

/* Who does not take its answer waits no longer than this, nor does anybody because of it. */
#define PATIENCE BROOD_SEC

static int64_t count_primes(int64_t below)
{
	int64_t count = 0;

	for (int64_t n = 2; n < below; n++) {
		int64_t divisor = 2;

		while (divisor * divisor <= n && n % divisor != 0)
			divisor++;
		count += divisor * divisor > n;
	}
	return count;
}

static brood_object answer_to(const brood_object *question)
{
	const char *word = "";
	size_t size;
	int64_t below;

	if (brood_object_text(brood_object_at(question, 0), &word, &size) < 0)
		return BROOD_TEXT("a question is (word, number)");
	if (strcmp(word, "primes") != 0)
		return BROOD_TEXT("unknown word");
	if (brood_object_int(brood_object_at(question, 1), &below) < 0 || below > LIMIT)
		return BROOD_TEXT("not such a number");
	return BROOD_INT(count_primes(below));
}

/* Whether the client is to stay. What is no object at all ends its connection. */
static bool serve(brood_conn *conn)
{
	brood_object *question, answer;
	int r = brood_conn_recv(conn, NULL, PATIENCE, &question);

	if (r < 0)
		return false;
	answer = answer_to(question);
	r = brood_conn_send(conn, &answer, NULL, PATIENCE);
	brood_object_free(question);
	return r == 0;
}

static void serve_all(brood_listener *listener)
{
	/* The listener, which is not looked at as long as there is no room; standard input; the clients. */
	brood_waitable items[2 + CLIENTS] = { { .fd = brood_listener_fd(listener) },
					      { .fd = STDIN_FILENO } };
	size_t n = 2;
	bool full = false;

	while (brood_wait(items + full, n - full, BROOD_FOREVER) > 0 && !items[1].ready) {
		for (size_t i = n; i-- > 2;)
			if (items[i].ready && !serve(items[i].conn)) {
				brood_conn_free(items[i].conn);
				items[i] = items[--n];
			}
		/* Who has a wrong key is refused, and no matter here. */
		if (!full && items[0].ready &&
		    brood_listener_accept(listener, 0, &items[n].conn) == 0)
			n++;
		full = n == 2 + CLIENTS;
	}
	while (n-- > 2)
		brood_conn_free(items[n].conn);
}

/* Byte by byte: what is behind the line is not ours, and its end is waited for in the descriptor. */
static size_t read_line(char *line, size_t size)
{
	size_t n = 0;

	while (n < size && read(STDIN_FILENO, line + n, 1) == 1 && line[n] != '\n')
		n++;
	return n;
}

int main(int argc, char *argv[])
{
	brood_conn_opts limits = { .most = 4096 };
	char key[128];
	brood_listener_opts opts = { .authkey = key, .conn = &limits };
	brood_listener *listener;

	if (argc != 2)
		return 2;
	opts.authkey_size = read_line(key, sizeof(key));
	if (brood_listener_new(argv[1], &opts, &listener) < 0)
		return 1;
	printf("%s\n", brood_listener_address(listener));
	(void)fflush(stdout);
	serve_all(listener);
	brood_listener_free(listener);
	return 0;
}
