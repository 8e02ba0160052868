/* proc/log.h - lines of a process, on stderr or on their way to a reader */
#ifndef PROC_LOG_H
#define PROC_LOG_H

#include <brood/log.h>

/* "Process NAME: TEXT", whatever the level. */
void bri_log_failure(const char *text);

/* What brood_log_to_stderr() or brood_log_to_reader() was told last. */
int bri_log_level(void);

/* In *ret_fd a descriptor for a new process to write its lines to, the caller's to close; -1: stderr. Returns 0 or -errno. */
int bri_log_channel(int *ret_fd);

/* In such a process: level and descriptor, which it keeps; -1: its lines go to stderr. */
void bri_log_inherit(int level, int fd);

/* In a forked child: the reader is its parent's. */
void bri_log_enter(void);

#endif
