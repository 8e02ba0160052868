/* proc/settings.h - what a process sets of itself before its function */
#ifndef PROC_SETTINGS_H
#define PROC_SETTINGS_H

#include <sched.h>

#include <brood/process.h>

struct bri_settings {
	brood_group group;
	pid_t join_group;
	int nice;
	const brood_rlimit *rlimits;
	size_t n_rlimits;
	uint64_t max_memory;
	const cpu_set_t *cpus; /* NULL: as they are */
	size_t cpus_size;
};

/* Whether there is anything to set. */
bool bri_settings_any(const struct bri_settings *settings);

/* Sets all, or stops at what is refused. Returns 0 or -errno, with the step in *ret_step. Takes no lock. */
int bri_settings_apply(const struct bri_settings *settings, const char **ret_step);

#endif
