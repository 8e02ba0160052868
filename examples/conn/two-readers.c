/* two-readers - a writer and two readers at one pipe
 *
 *	two-readers [MESSAGES]
 *
 * Three processes. Each message goes to one of the readers, whole; which one is chance. With .shared a
 * reader may be killed at any moment and the other goes on. When the writer has closed its end and
 * all was received, both are told -EPIPE, and need no message that says "stop". */
#include <brood/conn.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_all(brood_conn *out, long messages)
{
	char text[32];

	for (long i = 1; i <= messages; i++) {
		int size = snprintf(text, sizeof(text), "message %ld", i);

		if (brood_conn_send_bytes(out, text, (size_t)size, BROOD_FOREVER) < 0)
			return 1;
	}
	return 0;
}

static int read_all(brood_conn *in, int who)
{
	char text[32];
	ssize_t n;

	while ((n = brood_conn_recv_into(in, text, sizeof(text), BROOD_FOREVER)) >= 0)
		dprintf(STDOUT_FILENO, "reader %d: %.*s\n", who, (int)n, text);
	return n != -EPIPE;
}

int main(int argc, char *argv[])
{
	const brood_conn_opts shared = { .shared = true };
	long messages = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
	brood_conn *in, *out;
	int failed = 0, status;

	if (brood_pipe_with(false, &shared, &in, &out) < 0)
		return 1;
	for (int who = 0; who < 3; who++) {
		pid_t pid = fork();

		failed += pid < 0;
		if (pid != 0)
			continue;
		/* Who keeps an end that it does not need hides that the others have closed theirs. */
		brood_conn_close(who == 0 ? in : out);
		_exit(who == 0 ? write_all(out, messages) : read_all(in, who));
	}
	brood_conn_free(in);
	brood_conn_free(out);
	while (wait(&status) > 0)
		failed += status != 0;
	return failed > 0;
}
