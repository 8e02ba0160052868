/* Two passes over everything, so that a result is allocated once and exactly: the first one has
 * nowhere to write and only measures. */
#include <brood/shell.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

#define SAFE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./-_"
#define SPACE " \t\r\n"
#define QUOTED_QUOTE "'\"'\"'" /* close, a quote in double quotes, open again */

/* Where text goes, or how long it is; `to` NULL: measure. */
struct text {
	char *to;
	size_t size;
};

static void put(struct text *text, const char *bytes, size_t n)
{
	if (text->to != NULL)
		memcpy(text->to + text->size, bytes, n);
	text->size += n;
}

static void put_quoted(struct text *text, const char *word)
{
	size_t n = strspn(word, SAFE);

	if (n > 0 && word[n] == '\0') {
		put(text, word, n);
		return;
	}
	put(text, "'", 1);
	for (;;) {
		n = strcspn(word, "'");
		put(text, word, n);
		word += n;
		if (*word == '\0')
			break;
		put(text, QUOTED_QUOTE, strlen(QUOTED_QUOTE));
		word++;
	}
	put(text, "'", 1);
}

static void put_line(struct text *text, const char *const argv[])
{
	for (size_t i = 0; argv[i] != NULL; i++) {
		if (i > 0)
			put(text, " ", 1);
		put_quoted(text, argv[i]);
	}
}

int brood_shell_join(const char *const argv[], char **ret_line)
{
	struct text line = { .to = NULL };

	if (argv == NULL)
		return -EINVAL;
	put_line(&line, argv);
	line.to = malloc(line.size + 1);
	if (line.to == NULL)
		return -ENOMEM;
	line.size = 0;
	put_line(&line, argv);
	put(&line, "", 1);
	*ret_line = line.to;
	return 0;
}

int brood_shell_quote(const char *word, char **ret_quoted)
{
	return word != NULL ? brood_shell_join((const char *const[]){ word, NULL }, ret_quoted) :
			      -EINVAL;
}

/* Why a line cannot be split, and at which of its bytes. */
struct bad {
	const char *why;
	const char *at;
};

/* Each of the following reads what begins at `at`, puts what it stands for, and returns what comes
 * behind it; NULL when the line ends within it, and says so in *bad. */

/* A backslash outside of quotes: it takes the meaning of any byte, also of a newline. */
static const char *read_escaped(const char *at, struct text *text, struct bad *bad)
{
	if (at[1] == '\0') {
		*bad = (struct bad){ "No escaped character", at };
		return NULL;
	}
	put(text, at + 1, 1);
	return at + 2;
}

static const char *read_single(const char *at, struct text *text, struct bad *bad)
{
	size_t n = strcspn(at + 1, "'");

	if (at[1 + n] == '\0') {
		*bad = (struct bad){ "No closing quotation", at };
		return NULL;
	}
	put(text, at + 1, n);
	return at + 1 + n + 1;
}

/* In double quotes a backslash means something before " and \ alone, elsewhere it is one. */
static const char *read_double(const char *at, struct text *text, struct bad *bad)
{
	const char *quote = at++;

	for (;;) {
		size_t n = strcspn(at, "\"\\");

		put(text, at, n);
		at += n;
		if (*at == '"')
			return at + 1;
		if (*at == '\0') {
			*bad = (struct bad){ "No closing quotation", quote };
			return NULL;
		}
		if (at[1] != '"' && at[1] != '\\' && at[1] != '\0')
			put(text, at, 1);
		at = read_escaped(at, text, bad);
		if (at == NULL)
			return NULL;
	}
}

/* A word: all up to white space that no quotes protect. Its NUL is put, too. */
static const char *read_word(const char *at, struct text *text, struct bad *bad)
{
	while (at != NULL && *at != '\0' && strchr(SPACE, *at) == NULL) {
		size_t n = strcspn(at, SPACE "'\"\\");

		put(text, at, n);
		at += n;
		if (*at == '\'')
			at = read_single(at, text, bad);
		else if (*at == '"')
			at = read_double(at, text, bad);
		else if (*at == '\\')
			at = read_escaped(at, text, bad);
	}
	put(text, "", 1);
	return at;
}

/* Reads all words of the line; where each begins goes to `words`, unless that is NULL. Returns how
 * many there are, or -1. */
static ssize_t read_words(const char *line, struct text *text, char **words, struct bad *bad)
{
	ssize_t n = 0;

	for (line += strspn(line, SPACE); *line != '\0'; line += strspn(line, SPACE)) {
		if (words != NULL)
			words[n] = text->to + text->size;
		line = read_word(line, text, bad);
		if (line == NULL)
			return -1;
		n++;
	}
	return n;
}

int brood_shell_split(const char *line, char ***ret_argv, brood_fail *fail)
{
	struct text text = { .to = NULL };
	struct bad bad;
	ssize_t n;
	char **words;

	if (line == NULL)
		return bri_fail(fail, "split", EINVAL, "no line");
	n = read_words(line, &text, NULL, &bad);
	if (n < 0)
		return bri_fail(fail, "split", EINVAL, "%s, byte %td", bad.why, bad.at - line);
	/* The pointers, and behind them the bytes that they point to. */
	words = malloc((size_t)(n + 1) * sizeof(*words) + text.size);
	if (words == NULL)
		return bri_fail(fail, "split", ENOMEM, NULL);
	text = (struct text){ .to = (char *)(words + n + 1) };
	read_words(line, &text, words, &bad);
	words[n] = NULL;
	*ret_argv = words;
	return 0;
}
