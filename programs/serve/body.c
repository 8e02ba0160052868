#include "serve/body.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD_LIMIT 256

bool body_is_json_type(const char *content_type)
{
	const char *end;
	size_t length;

	if (content_type == NULL)
		return false;
	content_type += strspn(content_type, " \t");
	end = content_type + strcspn(content_type, "; \t");
	length = (size_t)(end - content_type);
	if (length == strlen("application/json") &&
	    strncasecmp(content_type, "application/json", length) == 0)
		return true;
	/* type/subtype+json (RFC 6838): something on both sides of the slash. */
	return length > strlen("a/b+json") - 1 && strncasecmp(end - 5, "+json", 5) == 0 &&
	       memchr(content_type + 1, '/', length - 7) != NULL;
}

static int missing(struct body_error *error, const char *where)
{
	snprintf(error->field, sizeof(error->field), "%.*s", (int)sizeof(error->field) - 1, where);
	snprintf(error->message, sizeof(error->message), "required field %.150s is missing or null",
		 where);
	return -EINVAL;
}

/* Follows `path` from `value`, whose own name so far is `where`. */
static int require(const json_t *value, const char *path, const char *where,
		   struct body_error *error)
{
	size_t length = strcspn(path, ".[");
	const char *rest = path + length;
	const json_t *item;
	char name[160];
	size_t i;
	int r;

	snprintf(name, sizeof(name), "%s%s%.*s", where, *where != '\0' ? "." : "", (int)length,
		 path);
	item = json_object_getn(value, path, length); /* NULL too when it is not an object */
	if (item == NULL || json_is_null(item))
		return missing(error, name);
	if (strncmp(rest, "[]", 2) != 0)
		return *rest == '.' ? require(item, rest + 1, name, error) : 0;
	if (!json_is_array(item)) {
		missing(error, name);
		snprintf(error->message, sizeof(error->message), "field %.150s must be a list",
			 name);
		return -EINVAL;
	}
	for (i = 0; i < json_array_size(item); i++) {
		const json_t *element = json_array_get(item, i);
		char place[192];

		snprintf(place, sizeof(place), "%s[%zu]", name, i);
		r = rest[2] == '.'        ? require(element, rest + 3, place, error) :
		    json_is_null(element) ? missing(error, place) :
					    0;
		if (r < 0)
			return r;
	}
	return 0;
}

static json_t *parse(const char *data, size_t size, json_error_t *why)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
	json_t *value = json_loadb(data, size, flags, why);

	/* 64 bits are jansson's limit, not JSON's: once more, with integers as reals. */
	if (value == NULL && json_error_code(why) == json_error_numeric_overflow)
		value = json_loadb(data, size, flags | JSON_DECODE_INT_AS_REAL, why);
	return value;
}

int body_check(const char *data, size_t size, const struct words *required, json_t **ret_value,
	       struct body_error *error)
{
	json_error_t why;
	json_t *value = parse(data, size, &why);

	*error = (struct body_error){ .line = 0 };
	if (value == NULL) {
		char *near = strstr(why.text, " near ");

		if (near != NULL)
			*near = '\0'; /* bytes of the body are nobody's but the program's */
		error->line = why.line > 0 ? why.line : 1;
		error->column = why.column > 0 ? why.column : 1;
		snprintf(error->message, sizeof(error->message),
			 "not JSON at line %d, column %d: %.160s", error->line, error->column,
			 why.text);
		return -EINVAL;
	}
	for (size_t i = 0; i < required->n; i++)
		if (require(value, required->words[i], "", error) < 0) {
			json_decref(value);
			return -EINVAL;
		}
	*ret_value = value;
	return 0;
}

/* At most `limit` bytes of UTF-8, never half a character. */
static size_t cut_utf8(const char *text, size_t limit)
{
	size_t size = strnlen(text, limit + 1);

	if (size <= limit)
		return size;
	for (size = limit; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80; size--)
		continue;
	return size;
}

json_t *body_fields(const json_t *body, const struct words *names)
{
	json_t *fields = json_object();

	for (size_t i = 0; fields != NULL && i < names->n; i++) {
		const json_t *value = json_object_get(body, names->words[i]);
		const char *text = json_string_value(value);
		char *dump = NULL;

		if (value == NULL || json_is_null(value))
			continue;
		if (text == NULL)
			text = dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		if (text != NULL)
			json_object_set_new(fields, names->words[i],
					    json_stringn(text, cut_utf8(text, FIELD_LIMIT)));
		free(dump);
	}
	return fields;
}
