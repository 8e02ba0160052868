/* words - brood/shell.h on request: tests/interop/shlex_test.py compares it with Python's shlex
 *
 * Cases (frames.h): q, quote one string; j, join them; s, split one. The answer is "ok" and
 * what came out, or "error" and the text of the brood_fail. */
#include <brood/shell.h>

#include <string.h>

#include "frames.h"

/* Takes the text. */
static void answer_text(char *text)
{
	put_number(2);
	put_string("ok", 2);
	put_string(text, strlen(text));
	free(text);
}

static void answer_words(const char *line)
{
	brood_fail fail = { .step = NULL };
	char **argv;
	uint32_t n = 0;

	if (brood_shell_split(line, &argv, &fail) < 0) {
		put_number(2);
		put_string("error", 5);
		put_string(fail.text, strlen(fail.text));
		return;
	}
	while (argv[n] != NULL)
		n++;
	put_number(n + 1);
	put_string("ok", 2);
	for (uint32_t i = 0; i < n; i++)
		put_string(argv[i], strlen(argv[i]));
	free(argv);
}

static void answer(int letter, const struct string *strings, uint32_t n)
{
	const char **argv = calloc((size_t)n + 1, sizeof(*argv));
	char *text = NULL;
	int r;

	frames_need(argv != NULL && (letter == 'j' || n == 1));
	for (uint32_t i = 0; i < n; i++)
		argv[i] = strings[i].bytes;
	if (letter == 's') {
		answer_words(argv[0]);
	} else {
		r = letter == 'j' ? brood_shell_join(argv, &text) :
				    brood_shell_quote(argv[0], &text);
		frames_need(r == 0 && text != NULL);
		answer_text(text);
	}
	free(argv);
}

int main(void)
{
	struct string *strings;
	uint32_t n;
	int letter;

	while ((letter = get_case(&strings, &n)) != EOF) {
		answer(letter, strings, n);
		free_strings(strings, n);
	}
	return fflush(stdout) == 0 ? 0 : 3;
}
