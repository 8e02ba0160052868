/* peers/clone3.h - the spawn that one would write by hand: clone3, exec, and a pidfd
 *
 * Nothing is asked for and nothing is checked: no closed descriptors, no reset signals, no word on
 * an exec that failed but status 127. The least that a spawn can cost on this machine. */
#ifndef PEERS_CLONE3_H
#define PEERS_CLONE3_H

#include <sys/types.h>

/* Starts `path` in the caller's memory (CLONE_VM | CLONE_VFORK) with its environment; one thread
 * only. Returns the pid and a pidfd, or -1 and errno. */
pid_t clone3_exec(const char *path, int *ret_pidfd);

#endif
