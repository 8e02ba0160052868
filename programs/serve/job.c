#include "serve/job.h"

#include <stddef.h>
#include <string.h>

static const char *const names[JOB_STATES] = {
	"queued", "running", "succeeded", "failed", "timed_out", "cancelled", "lost",
};

const char *job_state_name(enum job_state state)
{
	return (unsigned)state < JOB_STATES ? names[state] : NULL;
}

int job_state_parse(const char *name)
{
	for (int i = 0; i < JOB_STATES; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}
