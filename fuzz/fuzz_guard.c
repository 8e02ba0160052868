/* A head as a client may write it: names and values, each ended by a NUL. The first name is tried as
 * the value of a Host header, too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "serve/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[] = "a.example", *const hosts[] = { name, NULL };
	char *text = malloc(size + 2), *at;
	struct guard_head head = { .host = NULL };

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	/* What is ours begins with an address or is a name that we know. */
	if (guard_is_ours(text, hosts) && strchr("[0123456789", text[0]) == NULL &&
	    strncasecmp(text, "localhost", 9) != 0 && strncasecmp(text, name, strlen(name)) != 0)
		abort();
	for (at = text; at < text + size; at += strlen(at) + 1) {
		const char *value = at + strlen(at) + 1;

		guard_see(&head, at, value);
		at += strlen(at) + 1;
	}
	if (guard_check(&head, "HTTP/1.1", hosts) == NULL &&
	    (head.hosts != 1 || head.lengths + head.encodings > 1))
		abort();
	free(text);
	return 0;
}
