/* proc/identity.h - who this process is: the line of processes from the main one to it
 *
 * Captured when it is first asked for, or when brood starts a process, in memory that is read-only from then on. The
 * page that a fork wipes (os/self.h) is beside it: an identity of another generation is the parent's, and the process
 * a fork that brood did not make. It then gets one of its own, from the parent's, with the ordinal 0. */
#ifndef PROC_IDENTITY_H
#define PROC_IDENTITY_H

#include <brood/process.h>

struct bri_ancestor {
	pid_t pid;
	int pidfd; /* of it, inherited from it; -1: none. The last, which is the process itself, has none */
	uint64_t ticks; /* when it started, os/process.h; 0: not known, where a pidfd is the rule */
	uint32_t ordinal; /* its number among the children of the one before */
	char name[BROOD_PROCESS_NAME_MOST + 1]; /* when this process began */
};

struct bri_identity {
	uint64_t generation;
	unsigned depth;
	struct bri_ancestor line[]; /* depth + 1 of them */
};

/* Of this process. Re-entrant, thread-safe; never NULL. */
const struct bri_identity *bri_identity(void);

/* In a child that brood has just forked, and that nobody else runs in: its identity. `parent` is the parent's, `pidfd` the
 * parent's own, inherited. */
void bri_identity_enter(const struct bri_identity *parent, const char *parent_name, int pidfd,
			uint32_t ordinal, const char *name);

/* In a process with one thread, before it knows who it will be: has memory ready for that. */
void bri_identity_reserve(void);

/* "1:2", as snprintf() has it. */
int bri_identity_path(const struct bri_identity *identity, unsigned depth, char *buf, size_t size);

#endif
