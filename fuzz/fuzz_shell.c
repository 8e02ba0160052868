/* Any line: what can be split is the same after join() and split(), and any text is one word once it
 * is quoted. */
#include <brood/shell.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int condition)
{
	if (!condition)
		abort();
}

static void check_words(const char *text)
{
	char **words, **again, *line;
	brood_fail fail = { .step = NULL };
	size_t i;

	if (brood_shell_split(text, &words, &fail) < 0) {
		need(strcmp(fail.step, "split") == 0 && fail.text[0] != '\0');
		return;
	}
	need(brood_shell_join((const char *const *)words, &line) == 0);
	need(brood_shell_split(line, &again, NULL) == 0);
	for (i = 0; words[i] != NULL && again[i] != NULL; i++)
		need(strcmp(words[i], again[i]) == 0);
	need(words[i] == again[i]);
	free(words);
	free(again);
	free(line);
}

static void check_quoted(const char *text)
{
	char **words, *quoted;

	need(brood_shell_quote(text, &quoted) == 0);
	need(brood_shell_split(quoted, &words, NULL) == 0);
	need(words[0] != NULL && strcmp(words[0], text) == 0 && words[1] == NULL);
	free(words);
	free(quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	need(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	check_words(text);
	check_quoted(text);
	free(text);
	return 0;
}
