/* os/start.h - the clone/exec step: from a finished plan to a running program
 *
 * Everything that can fail, allocate or take a lock is done before: the plan holds vectors,
 * candidate paths, descriptor moves. The child then runs one straight function of raw system
 * calls and, when one fails, leaves step and error in memory that the parent reads. */
#ifndef OS_START_H
#define OS_START_H

#include <brood/base.h>

#include "os/process.h"

enum bri_step {
	BRI_STEP_NONE,
	BRI_STEP_CLONE,
	BRI_STEP_SIGNALS,
	BRI_STEP_SETSID,
	BRI_STEP_SETPGID,
	BRI_STEP_PDEATHSIG,
	BRI_STEP_NICE,
	BRI_STEP_STDIO,
	BRI_STEP_CLOSE,
	BRI_STEP_RLIMIT,
	BRI_STEP_SETGROUPS,
	BRI_STEP_SETGID,
	BRI_STEP_SETUID,
	BRI_STEP_CHDIR,
	BRI_STEP_SETUP,
	BRI_STEP_EXEC,
};

/* The word that a step has in brood_fail. */
const char *bri_step_name(enum bri_step step);

/* In the child, descriptor `to` becomes what `from` was; from < 0 closes it, from == to keeps it. */
struct bri_move {
	int from, to;
};

struct bri_limit {
	int resource;
	uint64_t soft, hard;
};

enum bri_group { BRI_GROUP_INHERIT, BRI_GROUP_NEW, BRI_GROUP_SESSION, BRI_GROUP_JOIN };

struct bri_start {
	const char *const *candidates; /* paths of the program, tried in order; NULL ends */
	const char *const *argv;
	const char *const *envp;
	const char *cwd;        /* NULL: stay */
	struct bri_move *moves; /* ascending by `to`, each `to` once; the start uses it up */
	size_t n_moves;
	bool keep_open; /* leave all other descriptors to their close-on-exec flags */
	enum bri_group group;
	pid_t join_group; /* BRI_GROUP_JOIN */
	bool inherit_signals;
	const uint64_t *mask; /* as bri_signal_mask(); NULL: the caller's if inherited, else none */
	bool ignore_sigchld;  /* with inherit_signals: the program does, though we do not */
	int parent_death_signal; /* 0: none; tied to the calling thread, prctl(2) */
	int nice;
	const mode_t *umask;
	const struct bri_limit *limits;
	size_t n_limits;
	const uid_t *uid;
	const gid_t *gid;
	const gid_t *groups; /* set when set_groups */
	size_t n_groups;
	bool set_groups;
	/* The last step before exec, in memory of its own; gives 0 or a negative errno value. If it ends
	 * or replaces the process instead, that is ECANCELED. NULL: none. */
	int (*setup)(void *data);
	void *setup_data;
};

struct bri_start_error {
	enum bri_step step;
	int error; /* positive */
	int index; /* of the move, limit or candidate concerned */
};

/* Starts the program: returns 0 when its exec has succeeded, with the process in *ret_process.
 * Returns a negative errno value otherwise, *ret_error filled, nothing left behind. */
int bri_start(const struct bri_start *start, struct bri_process *ret_process,
	      struct bri_start_error *ret_error);

/* The calling thread's signal mask; signal N is bit N - 1. Returns 0 or -errno. */
int bri_signal_mask(uint64_t *ret_mask);

/* The paths at which `program` may be found: itself when it has a '/', else one in each folder of
 * `path` (NULL: /bin:/usr/bin; an empty folder is the working directory). One block to free().
 * Returns 0, -ENOENT for "", -ENOMEM. */
int bri_candidates(const char *program, const char *path, const char *const **ret_candidates);

#endif
