/* jansson takes NULL for a value that could not be made and fails at the next step, and frees what
 * it was given: memory is therefore checked in set() and append() alone. The summary is made from
 * the entries, so whoever has the report can compute it again. */
#include "report.h"

#include <math.h>

#include "request.h"

static void set(struct report *report, json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) < 0)
		report->no_memory = true;
}

static void append(struct report *report, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) < 0)
		report->no_memory = true;
}

void report_init(struct report *report, const json_t *request)
{
	*report = (struct report){ .request = request, .pictures = json_array() };
	for (size_t n = request_n_pictures(request); n > 0; n--)
		append(report, report->pictures, json_null());
}

/* Two decimals are more than a measure means. */
static json_t *make_number(double value)
{
	return json_real(round(value * 100) / 100);
}

static json_t *make_flags(struct report *report, const struct picture *picture)
{
	const struct {
		bool on;
		const char *name;
	} flags[] = {
		{ picture->dark, "dark" },
		{ picture->overexposed, "overexposed" },
		{ picture->blurred, "blurred" },
		{ picture->damaged, "damaged" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].on)
			append(report, array, json_string(flags[i].name));
	return array;
}

static json_t *add_entry(struct report *report, size_t index, bool ok)
{
	static const char *const fields[] = { "location", "imageUrl" };
	json_t *entry = json_object();

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		set(report, entry, fields[i],
		    json_string(request_picture_field(report->request, index, fields[i])));
	set(report, entry, "ok", json_boolean(ok));
	if (json_array_set(report->pictures, index, entry) < 0)
		report->no_memory = true;
	json_decref(entry);
	return json_array_get(report->pictures, index);
}

void report_add_picture(struct report *report, size_t index, size_t size,
			const struct picture *picture)
{
	json_t *entry = add_entry(report, index, true);

	set(report, entry, "format", json_string(picture->format));
	set(report, entry, "width", json_integer(picture->width));
	set(report, entry, "height", json_integer(picture->height));
	set(report, entry, "bytes", json_integer((json_int_t)size));
	set(report, entry, "brightness", make_number(picture->measures.brightness));
	set(report, entry, "contrast", make_number(picture->measures.contrast));
	set(report, entry, "sharpness", make_number(picture->measures.sharpness));
	set(report, entry, "flags", make_flags(report, picture));
	set(report, entry, "warnings", json_integer((json_int_t)picture->n_warnings));
	if (picture->n_warnings > 0)
		set(report, entry, "firstWarning", json_string(picture->warning));
}

void report_add_failure(struct report *report, size_t index, const char *why)
{
	set(report, add_entry(report, index, false), "error", json_string(why));
}

struct totals {
	size_t n_measured, n_flagged;
	double brightness, contrast, sharpness; /* sums */
	const json_t *least_sharp;              /* the first of them, or NULL */
};

static double number(const json_t *entry, const char *name)
{
	return json_real_value(json_object_get(entry, name));
}

static void add_up(struct totals *totals, const json_t *entry)
{
	if (!json_is_true(json_object_get(entry, "ok")))
		return;
	totals->n_measured++;
	totals->n_flagged += json_array_size(json_object_get(entry, "flags")) > 0;
	totals->brightness += number(entry, "brightness");
	totals->contrast += number(entry, "contrast");
	totals->sharpness += number(entry, "sharpness");
	if (totals->least_sharp == NULL ||
	    number(entry, "sharpness") < number(totals->least_sharp, "sharpness"))
		totals->least_sharp = entry;
}

/* Without a picture there is no mean: null, as no number would be true. */
static json_t *make_mean(double sum, size_t n)
{
	return n > 0 ? make_number(sum / (double)n) : json_null();
}

static json_t *copy_field(const json_t *entry, const char *name)
{
	return entry != NULL ? json_incref(json_object_get(entry, name)) : json_null();
}

static json_t *make_summary(struct report *report)
{
	size_t n_pictures = json_array_size(report->pictures);
	json_t *summary = json_object();
	struct totals totals = { 0 };
	size_t n;

	for (size_t i = 0; i < n_pictures; i++)
		add_up(&totals, json_array_get(report->pictures, i));
	n = totals.n_measured;
	set(report, summary, "pictures", json_integer((json_int_t)n_pictures));
	set(report, summary, "measured", json_integer((json_int_t)n));
	set(report, summary, "failed", json_integer((json_int_t)(n_pictures - n)));
	set(report, summary, "flagged", json_integer((json_int_t)totals.n_flagged));
	set(report, summary, "meanBrightness", make_mean(totals.brightness, n));
	set(report, summary, "meanContrast", make_mean(totals.contrast, n));
	set(report, summary, "meanSharpness", make_mean(totals.sharpness, n));
	set(report, summary, "worstSharpness", copy_field(totals.least_sharp, "sharpness"));
	set(report, summary, "worstSharpnessLocation", copy_field(totals.least_sharp, "location"));
	return summary;
}

json_t *report_finish(struct report *report)
{
	json_t *document = json_object();

	for (const char *const *name = request_text_fields; *name != NULL; name++)
		set(report, document, *name, copy_field(report->request, *name));
	set(report, document, "pictures", json_incref(report->pictures));
	set(report, document, "summary", make_summary(report));
	if (!report->no_memory)
		return document;
	json_decref(document);
	return NULL;
}

void report_deinit(struct report *report)
{
	json_decref(report->pictures);
	*report = (struct report){ 0 };
}
