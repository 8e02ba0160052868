#include "proc/settings.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

bool bri_settings_any(const struct bri_settings *settings)
{
	return settings->group != BROOD_GROUP_INHERIT || settings->nice != 0 ||
	       settings->n_rlimits > 0 || settings->max_memory > 0 || settings->cpus != NULL;
}

static int set_limit(int resource, uint64_t soft, uint64_t hard)
{
	/* What the kernel takes, in which no limit is UINT64_MAX. */
	const uint64_t limit[2] = { soft, hard };

	return syscall(SYS_prlimit64, 0, resource, limit, NULL) < 0 ? -errno : 0;
}

static int set_nice(int by)
{
	errno = 0;
	return nice(by) == -1 ? -errno : 0;
}

static int set_group(const struct bri_settings *settings, const char **ret_step)
{
	*ret_step = settings->group == BROOD_GROUP_SESSION ? "setsid" : "setpgid";
	if (settings->group == BROOD_GROUP_INHERIT)
		return 0;
	if (settings->group == BROOD_GROUP_SESSION)
		return setsid() < 0 ? -errno : 0;
	return setpgid(0, settings->group == BROOD_GROUP_NEW ? 0 : settings->join_group) < 0 ?
		       -errno :
		       0;
}

int bri_settings_apply(const struct bri_settings *settings, const char **ret_step)
{
	int r = set_group(settings, ret_step);

	if (r == 0 && settings->nice != 0) {
		*ret_step = "nice";
		r = set_nice(settings->nice);
	}
	if (r == 0 && settings->cpus != NULL) {
		*ret_step = "cpus";
		r = sched_setaffinity(0, settings->cpus_size, settings->cpus) < 0 ? -errno : 0;
	}
	for (size_t i = 0; r == 0 && i < settings->n_rlimits; i++) {
		*ret_step = "rlimit";
		r = set_limit(settings->rlimits[i].resource, settings->rlimits[i].soft,
			      settings->rlimits[i].hard);
	}
	if (r == 0 && settings->max_memory > 0) {
		*ret_step = "rlimit";
		r = set_limit(RLIMIT_AS, settings->max_memory, settings->max_memory);
	}
	return r;
}
