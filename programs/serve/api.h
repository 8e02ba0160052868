/* serve/api.h - what the scheduler says over HTTP */
#ifndef SERVE_API_H
#define SERVE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "serve/config.h"
#include "serve/http.h"
#include "serve/sched.h"
#include "serve/store.h"

struct api;

/* Returns 0 or -ENOMEM. */
int api_new(sd_event *event, const struct config *config, struct sched *sched, struct store *store,
	    int state_fd, struct api **ret_api);

/* What an http_open() needs. */
struct http_callbacks api_callbacks(struct api *api);

/* Takes another configuration, which the scheduler has taken already; the one before must live
 * until this returns. What is being received is handled by the new one. */
void api_reload(struct api *api, const struct config *config);

/* From now on no job is taken: 503. */
void api_drain(struct api *api);

/* Requests that wait for something. */
size_t api_waiting(const struct api *api);

/* Answers every request that waits. */
void api_finish(struct api *api);

struct api *api_free(struct api *api);

#endif
