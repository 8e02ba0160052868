/* request.h - the JSON document that asks for a report
 *
 * An object with the text fields requestId, systemId, inspectionStartTime, inspectionEndTime,
 * trainId, lineCode, yardName and direction, and with imageUrls, an array of objects, each with
 * the text fields imageUrl and location. None may be empty, but the array may. Other fields are
 * ignored. */
#ifndef SUBWAY_REPORT_REQUEST_H
#define SUBWAY_REPORT_REQUEST_H
#include <jansson.h>
#include <stddef.h>

#define REQUEST_MESSAGE_SIZE 256

/* The names of the eight text fields, in the order of the report; ends with NULL. */
extern const char *const request_text_fields[];

/** Parse and check the document of `size` bytes at `text`.
 * Returns: 0 and a document in *ret_request of which all the above is true.
 * Errors:  -EINVAL, and `why` names line and column, or the field; -ENOMEM.
 * Owns:    the caller ends with json_decref(). */
int request_parse(const void *text, size_t size, json_t **ret_request,
		  char why[REQUEST_MESSAGE_SIZE]);

/** The number of pictures of a parsed request, and the text field `name` of the one at `index`. */
size_t request_n_pictures(const json_t *request);
const char *request_picture_field(const json_t *request, size_t index, const char *name);

#endif
