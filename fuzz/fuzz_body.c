/* A request's body against a list of required paths: no crash, and an answer that is consistent. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *paths[] = { "requestId", "imageUrls[].imageUrl", "a.b[].c", "list[]", NULL };
	static char *names[] = { "requestId", "imageUrls", NULL };
	const struct words log_fields = { names, 2 };
	/* The first byte says how many paths are required, the second ends the content type. */
	size_t n = size > 0 ? data[0] % 5 : 0;
	struct words required = { paths, n };
	struct body_error error;
	json_t *value, *fields;
	char type[64];

	if (size < 2)
		return 0;
	snprintf(type, sizeof(type), "%.*s", (int)(size - 1 < 63 ? size - 1 : 63),
		 (const char *)data + 1);
	body_is_json_type(type);
	if (body_check((const char *)data + 1, size - 1, &required, &value, &error) < 0) {
		if (error.message[0] == '\0' || (error.line > 0) == (error.field[0] != '\0'))
			abort();
		return 0;
	}
	if (n > 0 && json_is_null(json_object_get(value, "requestId")))
		abort();
	fields = body_fields(value, &log_fields);
	if (fields == NULL || json_object_size(fields) > 2)
		abort();
	json_decref(fields);
	json_decref(value);
	return 0;
}
