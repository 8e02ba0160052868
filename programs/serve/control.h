/* serve/control.h - asking the server of a state directory to reload
 *
 * Whoever holds the directory's lock binds control.sock in it, and nobody else does: who takes a
 * request there is the server of this directory, and the socket of a dead one refuses the connect.
 * So no pid is looked up, and no signal can hit a stranger.
 *
 * A request is one datagram, "reload FILE", with a line to answer on as its descriptor; FILE is the
 * real path of the configuration that the asker looked at. The answer is one message, "reloaded
 * routes=N" or "failed WHY". A server that ends with the request in its hands closes the line. */
#ifndef SERVE_CONTROL_H
#define SERVE_CONTROL_H

#include <stddef.h>
#include <systemd/sd-event.h>

#define CONTROL_ANSWER_SIZE 1024

struct control;

/* Acts on a request and writes the answer, at most CONTROL_ANSWER_SIZE bytes with the NUL. */
typedef void control_reload(void *self, const char *file, char *answer, size_t size);

/* `state_fd` is the state directory, whose lock the caller holds. Returns 0 or -errno. */
int control_open(sd_event *event, int state_fd, control_reload *reload, void *self,
		 struct control **ret_control);

struct control *control_close(struct control *control);

/* Asks the server of `state_dir` and waits for its answer. Returns 0: it took the configuration; or
 * -errno: -ESRCH, none is there; -ETIMEDOUT, it does not answer; -ECANCELED, it kept the old one;
 * another, it could not be asked. `text` is what it said, or "". */
int control_ask(const char *state_dir, const char *file, char *text, size_t size);

#endif
