#include "run/record.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many bytes at `at` are one character, or the longest start of one; *ret_whole: which. */
static size_t sequence(const unsigned char *at, size_t left, bool *ret_whole)
{
	unsigned char low = 0x80, high = 0xBF;
	size_t n = at[0] < 0x80                  ? 1 :
		   at[0] >= 0xC2 && at[0] < 0xE0 ? 2 :
		   at[0] >= 0xE0 && at[0] < 0xF0 ? 3 :
		   at[0] >= 0xF0 && at[0] < 0xF5 ? 4 :
						   0;

	*ret_whole = n > 0;
	/* Overlong forms, surrogates, and what is beyond U+10FFFF. */
	if (at[0] == 0xE0)
		low = 0xA0;
	else if (at[0] == 0xED)
		high = 0x9F;
	else if (at[0] == 0xF0)
		low = 0x90;
	else if (at[0] == 0xF4)
		high = 0x8F;
	for (size_t i = 1; i < n; i++) {
		if (i == left || at[i] < low || at[i] > high) {
			*ret_whole = false;
			return i;
		}
		low = 0x80;
		high = 0xBF;
	}
	return n > 0 ? n : 1;
}

char *record_text(const char *bytes, size_t size, size_t *ret_size, bool *ret_replaced)
{
	char *text = size < SIZE_MAX / 3 ? malloc(3 * size + 1) : NULL, *to = text;

	if (text == NULL)
		return NULL;
	for (size_t at = 0; at < size;) {
		bool whole;
		size_t n = sequence((const unsigned char *)bytes + at, size - at, &whole);

		if (whole) {
			memcpy(to, bytes + at, n);
			to += n;
		} else {
			memcpy(to, "\xEF\xBF\xBD", 3);
			to += 3;
			*ret_replaced = true;
		}
		at += n;
	}
	*to = '\0';
	*ret_size = (size_t)(to - text);
	return text;
}

void record_cut(brood_output *output, int64_t lines)
{
	size_t at = output->size;

	/* The newline at the very end closes the last line. */
	if (at > 0 && output->data[at - 1] == '\n')
		at--;
	for (; at > 0; at--)
		if (output->data[at - 1] == '\n' && --lines <= 0)
			break;
	if (at == 0)
		return;
	output->data += at;
	output->size -= at;
	output->truncated = true;
}

static json_t *text_json(const char *bytes, size_t size, bool *ret_replaced)
{
	char *text = record_text(bytes, size, &size, ret_replaced);
	json_t *json = text != NULL ? json_stringn_nocheck(text, size) : NULL;

	free(text);
	return json;
}

/* How many bytes at the end are a character that is not complete. */
static size_t half_a_character(const char *bytes, size_t size)
{
	for (size_t n = 1; n < 4 && n <= size; n++) {
		const unsigned char *at = (const unsigned char *)bytes + size - n;
		bool whole;

		if ((*at & 0xC0) != 0x80)
			return *at >= 0xC2 && sequence(at, n, &whole) == n && !whole && *at < 0xF5 ?
				       n :
				       0;
	}
	return 0;
}

/* A cut may have gone through a character; what is left of that is no fault of the program's. */
static json_t *output_json(const brood_output *output, bool tail, bool *ret_replaced)
{
	const char *bytes = output->data;
	size_t size = output->size;

	for (int i = 0; i < 3 && output->truncated && tail && size > 0; i++)
		if (((unsigned char)*bytes & 0xC0) == 0x80) {
			bytes++;
			size--;
		}
	if (output->truncated && !tail)
		size -= half_a_character(bytes, size);
	return text_json(bytes, size, ret_replaced);
}

static json_t *argv_json(const char *const *argv, bool *ret_replaced)
{
	json_t *words = json_array();

	for (; *argv != NULL; argv++)
		json_array_append_new(words, text_json(*argv, strlen(*argv), ret_replaced));
	return words;
}

static json_t *record_json(const struct record *record)
{
	const brood_exit *end = &record->exit;
	json_t *json = json_object();
	bool replaced = false;

	json_object_set_new(json, "argv", argv_json(record->argv, &replaced));
	if (record->error != NULL)
		json_object_set_new(json, "error",
				    text_json(record->error, strlen(record->error), &replaced));
	json_object_set_new(json, "pid", record->pid > 0 ? json_integer(record->pid) : json_null());
	json_object_set_new(json, "exit_code",
			    end->kind == BROOD_EXITED ? json_integer(end->value) : json_null());
	json_object_set_new(json, "signal",
			    end->kind == BROOD_SIGNALLED ? json_integer(end->value) : json_null());
	json_object_set_new(json, "timed_out", json_boolean(record->timed_out));
	json_object_set_new(json, "wall_ms", json_integer(record->wall_ns / BROOD_MSEC));
	json_object_set_new(json, "rusage",
			    json_pack("{sIsIsI}", "user_ms",
				      (json_int_t)(end->user_ns / BROOD_MSEC), "system_ms",
				      (json_int_t)(end->system_ns / BROOD_MSEC), "max_rss_bytes",
				      (json_int_t)end->max_rss_bytes));
	json_object_set_new(json, "stdout", output_json(&record->out, record->tail, &replaced));
	json_object_set_new(json, "stderr", output_json(&record->err, record->tail, &replaced));
	json_object_set_new(json, "stdout_bytes", json_integer((json_int_t)record->out.total));
	json_object_set_new(json, "stderr_bytes", json_integer((json_int_t)record->err.total));
	json_object_set_new(json, "truncated",
			    json_boolean(record->out.truncated || record->err.truncated));
	json_object_set_new(json, "replaced", json_boolean(replaced));
	return json;
}

int record_put(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		bytes += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int record_write(const struct record *record, int fd)
{
	json_t *json = record_json(record);
	char *line = json_dumps(json, JSON_COMPACT);
	int r = line != NULL ? record_put(fd, line, strlen(line)) : -ENOMEM;

	if (r == 0)
		r = record_put(fd, "\n", 1);
	free(line);
	json_decref(json);
	return r;
}
