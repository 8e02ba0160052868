/* os/process.h - a process that cannot be mistaken for another: pid + pidfd
 *
 * A pid alone is a number that the kernel gives to the next comer; a pidfd is the process. The
 * start time (clock ticks since boot, field 22 of /proc/PID/stat) is for handles that must
 * outlive a descriptor, in a file: pid and start time together name a process of this boot. */
#ifndef OS_PROCESS_H
#define OS_PROCESS_H

#include <brood/base.h>

struct bri_process {
	pid_t pid;
	int pidfd; /* -1: for the calls that reap the number will do, where nobody else reaps */
};

/* Opens the process `pid`; with `start_ticks` != 0 only if it started then, so that a number read
 * from a file is never trusted. Returns 0, -ESRCH (gone, or another process), or -errno. */
int bri_process_open(pid_t pid, uint64_t start_ticks, struct bri_process *ret_process);

/* The start time of `pid`. Returns 0, -ESRCH, or -errno. */
int bri_process_start_ticks(pid_t pid, uint64_t *ret_ticks);

/* Sends a signal to the process. Returns 0, -ESRCH once it was reaped, -EPERM, -EINVAL. */
int bri_process_signal(const struct bri_process *process, int signum);

/* Reaps the process if it has ended and is our child. Fills kind, value, core and rusage of
 * *record, leaves the times to the caller. Returns 0; -EAGAIN: it still runs; -ECHILD: not our
 * child, or its status was taken. */
int bri_process_reap(const struct bri_process *process, brood_exit *record);

/* Waits for the end of our child, however long, and reaps it: one system call where waiting on the
 * pidfd and reaping are two. Meanwhile somebody else may reap it: -ECHILD. Returns as
 * bri_process_reap(), but never -EAGAIN. */
int bri_process_wait(const struct bri_process *process, brood_exit *record);

/* Whether the process ended and waits to be reaped by us. Returns as bri_process_reap(), and
 * leaves it to be reaped. */
int bri_process_peek(const struct bri_process *process);

/* Waits for the end of our child and reaps it, without a record; for a start that failed. */
void bri_process_bury(const struct bri_process *process);

/* Turns a siginfo of waitid(2) into kind, value and core. */
void bri_exit_from_wait(int code, int status, brood_exit *record);

#endif
