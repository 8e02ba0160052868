/* serve/http.h - the little of an HTTP server that the scheduler needs
 *
 * A request is announced when its head is there (`begin`: reply at once to refuse it unread, or
 * say how much body is wanted), and again when its body is (`complete`). A handler that does not
 * reply in `complete` has the request wait; http_reply() may come at any later time, from the
 * loop's thread. `closed` comes last, once: forget the request.
 *
 * A head that serve/guard.h does not let pass is refused before `begin`; a request whose client
 * went away before its end is dropped. A connection is closed when a request is not whole, or a
 * reply not taken, in the time of http_settings; a look each second finds what is late, which may
 * be two seconds after. It is closed, too, when no byte moves for 60 s. A request that waits for
 * its reply has no limit here.
 *
 * Nothing of the library behind it is visible here, so that it can be replaced. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct http;
struct http_request;

struct http_callbacks {
	void *self;
	void (*begin)(void *self, struct http_request *request);
	void (*complete)(void *self, struct http_request *request);
	/* The client closed its end, or is gone, while the request waits for its reply. Comes each
	 * second until there is one. */
	void (*hung_up)(void *self, struct http_request *request);
	void (*closed)(void *self, struct http_request *request);
};

struct http_header {
	const char *name, *value;
};

struct http_settings {
	int64_t request_timeout_ns; /* for a request to be whole, from its connection or first byte */
	int64_t reply_timeout_ns;   /* see guard_reply_ns() */
	unsigned max_connections, max_connections_per_address; /* further ones are closed at once */
	char *const *hosts; /* see guard_is_ours(); lives as long as the server */
};

/* Serves on a listening socket, which is taken over. Returns 0 or -errno. */
int http_open(sd_event *event, int listen_fd, const struct http_settings *settings,
	      const struct http_callbacks *callbacks, struct http **ret_http);

/* Takes other settings, but for the numbers of connections, which stay. */
void http_set(struct http *http, const struct http_settings *settings);

/* Takes no new connections; open ones go on. */
void http_stop_listening(struct http *http);

/* Sends what was replied, outside of the loop; until no connection is open, or `timeout_ns` is over. */
void http_flush(struct http *http, int64_t timeout_ns);

/* Closes every connection. No request may wait: reply to all before. */
struct http *http_close(struct http *http);

const char *http_method(const struct http_request *request);
const char *http_path(const struct http_request *request);

/* NULL when it is not there. The value lives as long as the request. */
const char *http_header(const struct http_request *request, const char *name);
const char *http_query(const struct http_request *request, const char *name);

/* Calls `each` for every query parameter until it returns false; a value with a NUL inside is NULL. */
void http_each_query(const struct http_request *request,
		     bool (*each)(void *self, const char *name, const char *value), void *self);

/* In `begin`: keep up to `limit` bytes of body. More than that is read and dropped. */
void http_want_body(struct http_request *request, size_t limit);

/* The body that was kept; in `complete`. `*ret_over`: there was more than the limit. */
const char *http_body(const struct http_request *request, size_t *ret_size, bool *ret_over);

/* One pointer for the handler. */
void http_set_data(struct http_request *request, void *data);
void *http_data(const struct http_request *request);

/* Replies; headers and body are copied. Once a request. */
void http_reply(struct http_request *request, unsigned status, const struct http_header *headers,
		size_t n, const void *body, size_t size);

/* Replies with `size` bytes of a file from `offset` on; the descriptor is taken. */
void http_reply_file(struct http_request *request, unsigned status,
		     const struct http_header *headers, size_t n, int fd, off_t offset,
		     uint64_t size);

#endif
