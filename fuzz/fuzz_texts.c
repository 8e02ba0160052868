/* The small readers of outside text, so of the values of a query string: ranges, ids, states,
 * durations, sizes; and quoting for the log. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "serve/id.h"
#include "serve/job.h"
#include "serve/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256], quoted[96], id_text[ID_SIZE];
	uint64_t offset, length, id;
	int64_t value;
	int state;
	size_t n = size < sizeof(text) - 1 ? size : sizeof(text) - 1;

	memcpy(text, data, n);
	text[n] = '\0';
	if (range_parse(text, size, &offset, &length) == RANGE_PART &&
	    (length == 0 || offset >= size || length > size - offset))
		abort();
	if (id_parse(text, &id) && strcmp(id_format(id, id_text), text) != 0)
		abort();
	state = job_state_parse(text);
	if (state >= 0 && strcmp(job_state_name((enum job_state)state), text) != 0)
		abort();
	if ((parse_duration(text, &value) == 0 || parse_size(text, &value) == 0 ||
	     parse_count(text, &value) == 0) &&
	    value < 0)
		abort();
	log_quote(quoted, sizeof(quoted), (const char *)data, size);
	if (strlen(quoted) >= sizeof(quoted) || strpbrk(quoted, "\n\r\t\033") != NULL)
		abort();
	return 0;
}
