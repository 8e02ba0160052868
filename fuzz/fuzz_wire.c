/* Words of a keeper message: each lies within the message and ends there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *words[257], *from = (const char *)data + 1, *end = (const char *)data + size,
				*next;
	size_t n;

	if (size < 1)
		return 0;
	n = data[0];
	next = wire_get_words(from, end, words, n);
	if (next == NULL)
		return 0;
	if (next > end || words[n] != NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		if (words[i] < from || words[i] + strlen(words[i]) >= end)
			abort();
	return 0;
}
