/* The parser says line and column; what it cannot know is checked field by field. */
#include "request.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

const char *const request_text_fields[] = {
	"requestId",           "systemId",          "trainId", "lineCode", "yardName", "direction",
	"inspectionStartTime", "inspectionEndTime", NULL,
};

static const char *const picture_fields[] = { "imageUrl", "location", NULL };

static const char *type_name(const json_t *value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "a boolean",
		[JSON_FALSE] = "a boolean",  [JSON_NULL] = "null",
	};

	return names[json_typeof(value)];
}

/* `where` is what comes before the name of the field: nothing, or "imageUrls[3].". */
static bool check_texts(const json_t *object, const char *const names[], const char *where,
			char why[REQUEST_MESSAGE_SIZE])
{
	for (; *names != NULL; names++) {
		const json_t *value = json_object_get(object, *names);

		if (value == NULL)
			snprintf(why, REQUEST_MESSAGE_SIZE, "field \"%s%s\" is missing", where,
				 *names);
		else if (!json_is_string(value))
			snprintf(why, REQUEST_MESSAGE_SIZE,
				 "field \"%s%s\" must be a string, not %s", where, *names,
				 type_name(value));
		else if (json_string_length(value) == 0)
			snprintf(why, REQUEST_MESSAGE_SIZE, "field \"%s%s\" is empty", where,
				 *names);
		else
			continue;
		return false;
	}
	return true;
}

static bool check_picture(const json_t *picture, size_t index, char why[REQUEST_MESSAGE_SIZE])
{
	char where[48];

	if (!json_is_object(picture)) {
		snprintf(why, REQUEST_MESSAGE_SIZE,
			 "field \"imageUrls[%zu]\" must be an object, not %s", index,
			 type_name(picture));
		return false;
	}
	snprintf(where, sizeof(where), "imageUrls[%zu].", index);
	return check_texts(picture, picture_fields, where, why);
}

static bool check_pictures(const json_t *pictures, char why[REQUEST_MESSAGE_SIZE])
{
	if (pictures == NULL) {
		snprintf(why, REQUEST_MESSAGE_SIZE, "field \"imageUrls\" is missing");
		return false;
	}
	if (!json_is_array(pictures)) {
		snprintf(why, REQUEST_MESSAGE_SIZE, "field \"imageUrls\" must be an array, not %s",
			 type_name(pictures));
		return false;
	}
	for (size_t i = 0; i < json_array_size(pictures); i++)
		if (!check_picture(json_array_get(pictures, i), i, why))
			return false;
	return true;
}

static bool check(const json_t *request, char why[REQUEST_MESSAGE_SIZE])
{
	if (!json_is_object(request)) {
		snprintf(why, REQUEST_MESSAGE_SIZE, "the document must be an object, not %s",
			 type_name(request));
		return false;
	}
	return check_texts(request, request_text_fields, "", why) &&
	       check_pictures(json_object_get(request, "imageUrls"), why);
}

int request_parse(const void *text, size_t size, json_t **ret_request,
		  char why[REQUEST_MESSAGE_SIZE])
{
	json_error_t error;
	json_t *request;

	errno = 0;
	request = json_loadb(size > 0 ? text : "", size, JSON_REJECT_DUPLICATES, &error);
	if (request == NULL) {
		/* A string for which there is no memory is an invalid token to jansson. */
		if (errno == ENOMEM)
			return -ENOMEM;
		snprintf(why, REQUEST_MESSAGE_SIZE, "line %d, column %d: %s", error.line,
			 error.column, error.text);
		return -EINVAL;
	}
	if (!check(request, why)) {
		json_decref(request);
		return -EINVAL;
	}
	*ret_request = request;
	return 0;
}

size_t request_n_pictures(const json_t *request)
{
	return json_array_size(json_object_get(request, "imageUrls"));
}

const char *request_picture_field(const json_t *request, size_t index, const char *name)
{
	const json_t *picture = json_array_get(json_object_get(request, "imageUrls"), index);

	return json_string_value(json_object_get(picture, name));
}
