/* report.h - the JSON report: what was asked, each picture, and a summary
 *
 * Pictures may be added in any order, each once; in the report they stand in the order of the
 * request. A picture that cannot be had or decoded is an entry with "ok": false, never a reason
 * to give no report. */
#ifndef SUBWAY_REPORT_REPORT_H
#define SUBWAY_REPORT_REPORT_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "picture.h"

struct report {
	const json_t *request;
	json_t *pictures;
	bool no_memory; /* one of the calls below found none; report_finish() says so */
};

/** Start the report for a parsed request, which must outlive it. */
void report_init(struct report *report, const json_t *request);

/** Add the picture at `index` of the request, decoded from `size` bytes. */
void report_add_picture(struct report *report, size_t index, size_t size,
			const struct picture *picture);

/** Add the picture at `index` of the request, for which there are no measures, and why. */
void report_add_failure(struct report *report, size_t index, const char *why);

/** The whole report, once every picture was added.
 * Returns: a new document, or NULL: memory ran out, here or in a call before.
 * Owns:    the caller ends with json_decref(). */
json_t *report_finish(struct report *report);

void report_deinit(struct report *report);

#endif
