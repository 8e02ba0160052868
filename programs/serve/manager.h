/* serve/manager.h - the service manager: systemd, or whoever speaks as it does
 *
 * Who started us may give a listening socket (sd_listen_fds(3)), wants to be told how we are
 * (sd_notify(3)), and may watch that we live (sd_watchdog_enabled(3)). Where nobody does, all of
 * this does nothing. What it says in the environment is for this process alone: the keeper, which
 * may live longer, must not speak in our name. */
#ifndef SERVE_MANAGER_H
#define SERVE_MANAGER_H

#include <stddef.h>
#include <stdint.h>

/* Takes the listening socket that was passed, if one was, and writes its ADDRESS:PORT. Returns its
 * descriptor; -ENOENT, none was passed; or -EINVAL and the reason in error[0..size). */
int manager_take_socket(char *address, size_t room, char *error, size_t size);

/* It serves, in the first place or again. */
void manager_ready(const char *status);

void manager_reloading(void);

/* It stops, which takes no longer than `limit_ns`. */
void manager_stopping(int64_t limit_ns);

/* The environment without what is for this process alone: free() the array, not the words. NULL:
 * no memory. */
const char **manager_clean_environment(void);

#endif
