/* frames.h - cases from a Python test, and answers to it, as tests/interop/peers.py writes and reads them
 *
 * A case is a letter and a list of strings, an answer is a list of strings: the number of strings,
 * and each one's length and bytes; numbers are 32 bits of this machine. Strings have a NUL behind them
 * here, for who wants one. Whatever goes wrong ends the program with status 3. */
#ifndef TESTS_CHILDREN_FRAMES_H
#define TESTS_CHILDREN_FRAMES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct string {
	char *bytes;
	uint32_t size;
};

static inline void frames_need(int condition)
{
	if (!condition)
		exit(3);
}

static inline uint32_t get_number(void)
{
	uint32_t number;

	frames_need(fread(&number, sizeof(number), 1, stdin) == 1);
	return number;
}

/* The next case, or EOF. The strings are the caller's, to be given back by free_strings(). */
static inline int get_case(struct string **ret_strings, uint32_t *ret_n)
{
	int letter = getchar();

	if (letter == EOF)
		return EOF;
	*ret_n = get_number();
	*ret_strings = calloc((size_t)*ret_n + 1, sizeof(**ret_strings));
	frames_need(*ret_strings != NULL);
	for (uint32_t i = 0; i < *ret_n; i++) {
		struct string *string = &(*ret_strings)[i];

		string->size = get_number();
		string->bytes = malloc((size_t)string->size + 1);
		frames_need(string->bytes != NULL &&
			    fread(string->bytes, 1, string->size, stdin) == string->size);
		string->bytes[string->size] = '\0';
	}
	return letter;
}

static inline void free_strings(struct string *strings, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		free(strings[i].bytes);
	free(strings);
}

static inline void put_number(uint32_t number)
{
	frames_need(fwrite(&number, sizeof(number), 1, stdout) == 1);
}

static inline void put_string(const char *bytes, size_t size)
{
	put_number((uint32_t)size);
	frames_need(fwrite(bytes, 1, size, stdout) == size);
}

#endif
