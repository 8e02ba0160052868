/* password - a secret goes to a program by its standard input
 *
 * Everybody on the machine may read the words of a program (ps), and what it inherits by environment its
 * children inherit, too. A pipe has two ends and no name. Reads a password from standard input, shows its
 * SHA-256 as sha256sum(1) computes it, and forgets it. */
#include <brood/brood.h>

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int read_password(char *password, int size)
{
	struct termios before, quiet;
	bool terminal = tcgetattr(0, &before) == 0;
	char *got;

	if (terminal) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		fputs("Password: ", stderr);
		tcsetattr(0, TCSAFLUSH, &quiet);
	}
	got = fgets(password, size, stdin);
	if (terminal) {
		tcsetattr(0, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	if (got == NULL)
		return -1;
	password[strcspn(password, "\n")] = '\0';
	return 0;
}

int main(void)
{
	char password[256];
	brood_fail fail = { .step = NULL };
	brood_run_opts opts = { .input = password,
				.capture = true,
				.check = true,
				.timeout_ns = 5 * BROOD_SEC,
				.fail = &fail };
	brood_run_result sum;
	int r;

	(void)setvbuf(stdin, NULL, _IONBF, 0); /* no copy stays in a buffer */
	if (read_password(password, sizeof(password)) < 0) {
		fputs("password: none given\n", stderr);
		return 1;
	}
	opts.input_size = strlen(password);
	r = brood_run(BROOD_ARGV("sha256sum"), &opts, &sum);
	explicit_bzero(password, sizeof(password));
	if (r == 0)
		printf("%.64s\n", sum.out);
	else
		fprintf(stderr, "password: %s: %s\n", fail.step, fail.text);
	brood_run_result_fini(&sum);
	return r == 0 ? 0 : 1;
}
