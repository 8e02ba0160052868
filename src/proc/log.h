/* proc/log.h - lines of a process on stderr, each by one write(2) */
#ifndef PROC_LOG_H
#define PROC_LOG_H

#include <brood/log.h>

/* "Process NAME: TEXT", whatever the level. */
void bri_log_failure(const char *text);

/* What brood_log_to_stderr() was told last. */
int bri_log_level(void);

#endif
