/* serve/body.h - what is checked of a request's body: pure functions on bytes */
#ifndef SERVE_BODY_H
#define SERVE_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "serve/config.h"

/* Whether a Content-Type (NULL: none was sent) says JSON: application/json or any +json type,
 * with parameters or without, in any case. */
bool body_is_json_type(const char *content_type);

struct body_error {
	/* the missing field, such as imageUrls[1].location; "" when it is not that */
	char field[160];
	char message[256]; /* a sentence */
	int line, column;  /* of a syntax error, from 1; 0 when it is not that */
};

/* Parses a body and checks that each path of `required` is there and not null. Duplicate keys,
 * U+0000 inside of strings, and whatever RFC 8259 forbids are refused; integers beyond 64 bits are read as reals, which only
 * the check sees. Returns 0 and the value (the caller's to json_decref), or -EINVAL. */
int body_check(const char *data, size_t size, const struct words *required, json_t **ret_value,
	       struct body_error *error);

/* The fields `names` of a body as a JSON object of strings, for logs and filters: strings as they
 * are, other scalars as JSON text; each cut to 256 bytes. Returns it, or NULL without memory. */
json_t *body_fields(const json_t *body, const struct words *names);

#endif
