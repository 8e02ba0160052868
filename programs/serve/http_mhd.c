/* serve/http.h by libmicrohttpd: no threads of its own, its epoll descriptor inside our loop. */
#include <brood/brood.h>
#include <errno.h>
#include <linux/tcp.h> /* the C library's tcp_info ends before tcpi_bytes_received */
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "serve/guard.h"
#include "serve/http.h"

#define IDLE_SECONDS 60 /* without a byte in either direction; the library's own time limit */
#define LOOK_US 1000000 /* between looks at the connections */
#define RUNS 64         /* of MHD_run in a row, while it says that there is more to do */
#define SPARE 16        /* connections that are accepted beyond the limit, to be closed */

struct http {
	struct MHD_Daemon *daemon;
	sd_event_source *io, *timer, *again, *look;
	struct connection *connections;
	unsigned n_connections;
	uint64_t refused; /* connections beyond the limit, since the last line of the log */
	bool look_armed;
	struct http_settings settings;
	struct http_callbacks callbacks;
};

enum phase {
	PHASE_IDLE,     /* between two requests */
	PHASE_READING,  /* a request that is not whole; at first: one that has not begun */
	PHASE_WAITING,  /* whole, and not replied to */
	PHASE_REPLYING, /* the client takes the reply */
};

struct connection {
	struct connection *next, *previous;
	int fd;
	enum phase phase;
	int64_t deadline_ns;          /* of the phase; 0: the next look sets it */
	uint64_t received;            /* idle: bytes by the last look; 0: there was none */
	uint64_t size;                /* of the reply */
	struct http_request *request; /* NULL: none whose head was read */
	bool shut;                    /* nothing that still comes counts */
};

struct http_request {
	struct http *http;
	struct MHD_Connection *connection;
	struct connection *state;
	const char *method;
	char *path;
	char *body;
	size_t size, room, limit;
	bool over, completed, suspended;
	struct MHD_Response *response; /* not yet queued */
	unsigned status;
	bool replied;
	void *data;
};

/* --- requests ----------------------------------------------------------------------------- */

const char *http_method(const struct http_request *request)
{
	return request->method;
}

const char *http_path(const struct http_request *request)
{
	return request->path;
}

const char *http_header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

struct visit {
	bool (*each)(void *self, const char *name, const char *value);
	void *self;
};

static enum MHD_Result visit_one(void *argument, enum MHD_ValueKind kind, const char *name,
				 size_t name_size, const char *value, size_t size)
{
	const struct visit *visit = argument;

	(void)kind, (void)name_size;
	if (value == NULL)
		value = "";
	else if (strlen(value) != size)
		value = NULL;
	return visit->each(visit->self, name, value) ? MHD_YES : MHD_NO;
}

void http_each_query(const struct http_request *request,
		     bool (*each)(void *self, const char *name, const char *value), void *self)
{
	struct visit visit = { each, self };

	MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, visit_one, &visit);
}

void http_want_body(struct http_request *request, size_t limit)
{
	request->limit = limit;
}

const char *http_body(const struct http_request *request, size_t *ret_size, bool *ret_over)
{
	*ret_size = request->size;
	*ret_over = request->over;
	return request->body != NULL ? request->body : "";
}

void http_set_data(struct http_request *request, void *data)
{
	request->data = data;
}

void *http_data(const struct http_request *request)
{
	return request->data;
}

/* Grows by doubling up to the limit; what does not fit is dropped and remembered. */
static void keep_body(struct http_request *request, const char *data, size_t size)
{
	if (size > request->limit - request->size) {
		request->over = true;
		return;
	}
	if (request->size + size > request->room) {
		size_t room = request->room != 0 ? 2 * request->room : 1024;
		char *more;

		while (room < request->size + size)
			room *= 2;
		more = realloc(request->body, room);
		if (more == NULL) {
			request->over = true;
			return;
		}
		request->body = more;
		request->room = room;
	}
	memcpy(request->body + request->size, data, size);
	request->size += size;
}

/* --- replies ------------------------------------------------------------------------------ */

static int on_again(sd_event_source *source, void *argument);

static void reply_with(struct http_request *request, unsigned status,
		       const struct http_header *headers, size_t n, struct MHD_Response *response,
		       uint64_t size)
{
	if (request->replied || response == NULL) {
		if (response != NULL)
			MHD_destroy_response(response);
		return;
	}
	for (size_t i = 0; i < n; i++)
		MHD_add_response_header(response, headers[i].name, headers[i].value);
	request->response = response;
	request->state->size = size;
	request->status = status;
	request->replied = true;
	if (!request->suspended)
		return; /* queued when the handler returns */
	request->suspended = false;
	MHD_resume_connection(request->connection);
	sd_event_source_set_enabled(request->http->again, SD_EVENT_ONESHOT);
}

void http_reply(struct http_request *request, unsigned status, const struct http_header *headers,
		size_t n, const void *body, size_t size)
{
	reply_with(request, status, headers, n,
		   MHD_create_response_from_buffer(size, (void *)(uintptr_t)body,
						   MHD_RESPMEM_MUST_COPY),
		   size);
}

void http_reply_file(struct http_request *request, unsigned status,
		     const struct http_header *headers, size_t n, int fd, off_t offset,
		     uint64_t size)
{
	struct MHD_Response *response =
		MHD_create_response_from_fd_at_offset64(size, fd, (uint64_t)offset);

	if (response == NULL) {
		close(fd);
		http_reply(request, 500, NULL, 0, "", 0);
		return;
	}
	reply_with(request, status, headers, n, response, size);
}

/* The clock is not asked here: a deadline begins with the first look that finds the phase. */
static void enter(struct connection *connection, enum phase phase)
{
	connection->phase = phase;
	connection->deadline_ns = 0;
	connection->received = 0;
}

static enum MHD_Result queue_reply(struct http_request *request)
{
	enum MHD_Result r =
		MHD_queue_response(request->connection, request->status, request->response);

	enter(request->state, PHASE_REPLYING);
	MHD_destroy_response(request->response);
	request->response = NULL;
	return r;
}

/* --- what the library lets pass -------------------------------------------------------------- */

static enum MHD_Result see_header(void *argument, enum MHD_ValueKind kind, const char *name,
				  const char *value)
{
	(void)kind;
	guard_see(argument, name, value);
	return MHD_YES;
}

static const struct guard_refusal *check_head(const struct http *http,
					      struct MHD_Connection *connection,
					      const char *version)
{
	struct guard_head head = { .host = NULL };

	MHD_get_connection_values(connection, MHD_HEADER_KIND, see_header, &head);
	return guard_check(&head, version, http->settings.hosts);
}

static int write_error(char *to, size_t size, const char *code, const char *message)
{
	return snprintf(to, size, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"field\":null}}",
			code, message);
}

static enum MHD_Result refuse_head(struct MHD_Connection *connection,
				   const struct guard_refusal *refusal)
{
	char text[256];
	int n = write_error(text, sizeof(text), refusal->code, refusal->message);
	struct MHD_Response *response =
		MHD_create_response_from_buffer((size_t)n, text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result r;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "Connection", "close");
	r = MHD_queue_response(connection, refusal->status, response);
	MHD_destroy_response(response);
	return r;
}

/* --- who is late ---------------------------------------------------------------------------- */

static void shut(struct connection *connection)
{
	connection->shut = true;
	shutdown(connection->fd, SHUT_RDWR);
}

/* While a body is read the library takes no reply; nor does it send one, so that there is nothing
 * that this could get into the middle of. */
static void send_too_slow(const struct connection *connection)
{
	char body[256], text[512];
	int size = write_error(body, sizeof(body), "too_slow",
			       "the request was not whole within request_timeout");
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
			 "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
			 size, body);

	send(connection->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Whether the next request has begun: the library does not tell before its head is whole, but the
 * kernel counts bytes. What it does not tell counts as begun. */
static bool has_begun(struct connection *connection)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t size = sizeof(info);
	uint64_t before = connection->received;

	if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return true;
	connection->received = info.tcpi_bytes_received;
	return before != 0 && before != connection->received;
}

/* The library looks at a socket when something comes. An end of file that came together with the
 * last bytes was not seen then, and nothing comes after it. A client that only closed its sending
 * side has sent all of its request. */
static bool is_at_end(const struct connection *connection)
{
	char byte;

	return recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool has_hung_up(const struct connection *connection)
{
	struct pollfd wanted = { .fd = connection->fd, .events = POLLRDHUP };

	return poll(&wanted, 1, 0) == 1;
}

static void check_deadline(const struct http *http, struct connection *connection, int64_t now)
{
	if (connection->deadline_ns == 0) {
		connection->deadline_ns =
			now +
			(connection->phase == PHASE_REPLYING ?
				 guard_reply_ns(http->settings.reply_timeout_ns, connection->size) :
				 http->settings.request_timeout_ns);
	} else if (now > connection->deadline_ns) {
		if (connection->phase == PHASE_READING && connection->request != NULL)
			send_too_slow(connection);
		shut(connection);
	}
}

static void look_at(const struct http *http, struct connection *connection, int64_t now)
{
	switch (connection->phase) {
	case PHASE_IDLE:
		if (!has_begun(connection))
			return;
		enter(connection, PHASE_READING);
		break;
	case PHASE_READING:
		if (connection->request != NULL && is_at_end(connection)) {
			shut(connection);
			return;
		}
		break;
	case PHASE_WAITING:
		if (has_hung_up(connection))
			http->callbacks.hung_up(http->callbacks.self, connection->request);
		return;
	case PHASE_REPLYING:
		break;
	}
	check_deadline(http, connection, now);
}

static void look_later(struct http *http)
{
	http->look_armed = true;
	sd_event_source_set_time_relative(http->look, LOOK_US);
	sd_event_source_set_enabled(http->look, SD_EVENT_ONESHOT);
}

static void run(struct http *http);

/* One timer for all connections: an ordinary request is over before it is ever looked at. */
static int on_look(sd_event_source *source, uint64_t now_us, void *argument)
{
	struct http *http = argument;
	int64_t now = brood_now();
	bool open;

	(void)source, (void)now_us;
	for (struct connection *connection = http->connections; connection != NULL;
	     connection = connection->next)
		if (!connection->shut)
			look_at(http, connection, now);
	if (http->refused > 0)
		log_event("connections_refused", "n=%llu max_connections=%u",
			  (unsigned long long)http->refused, http->settings.max_connections);
	http->refused = 0;
	http->look_armed = false;
	/* Without a descriptor for a newcomer the library stops listening, and begins again when it is
	 * run after others have closed: so there is one look more than there are connections. */
	open = http->connections != NULL;
	run(http);
	if (open && !http->look_armed)
		look_later(http);
	return 0;
}

/* --- libmicrohttpd ------------------------------------------------------------------------ */

static void list_add(struct http *http, struct connection *connection)
{
	connection->next = http->connections;
	if (http->connections != NULL)
		http->connections->previous = connection;
	http->connections = connection;
	http->n_connections++;
}

static void list_remove(struct http *http, struct connection *connection)
{
	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		http->connections = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	http->n_connections--;
}

/* Beyond its limit the library accepts nobody, and who comes hangs in the kernel's queue: its
 * limit is above ours, and we close. A connection that is refused has no struct. */
static void on_connection(void *argument, struct MHD_Connection *handle, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *http = argument;
	struct connection *connection = *context;
	int fd;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (connection != NULL)
			list_remove(http, connection);
		free(connection);
		return;
	}
	fd = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	if (http->n_connections < http->settings.max_connections)
		connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		http->refused++;
		shutdown(fd, SHUT_RDWR);
		return;
	}
	connection->fd = fd;
	enter(connection, PHASE_READING);
	list_add(http, connection);
	*context = connection;
}

static struct connection *connection_of(struct MHD_Connection *handle)
{
	return MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* The head is there. */
static enum MHD_Result begin(struct http *http, struct MHD_Connection *handle, const char *url,
			     const char *method, const char *version, void **context)
{
	struct connection *connection = connection_of(handle);
	const struct guard_refusal *refusal;
	struct http_request *request;

	if (connection == NULL || connection->shut)
		return MHD_NO;
	if (connection->phase == PHASE_IDLE)
		enter(connection, PHASE_READING);
	refusal = check_head(http, handle, version);
	if (refusal != NULL)
		return refuse_head(handle, refusal);
	request = calloc(1, sizeof(*request));
	if (request == NULL || (request->path = strdup(url)) == NULL) {
		free(request);
		return MHD_NO;
	}
	request->http = http;
	request->connection = handle;
	request->state = connection;
	request->method = method;
	connection->request = request;
	*context = request;
	http->callbacks.begin(http->callbacks.self, request);
	return request->response != NULL ? queue_reply(request) : MHD_YES;
}

static enum MHD_Result on_request(void *argument, struct MHD_Connection *connection,
				  const char *url, const char *method, const char *version,
				  const char *data, size_t *size, void **context)
{
	struct http *http = argument;
	struct http_request *request = *context;

	if (request == NULL)
		return begin(http, connection, url, method, version, context);
	if (request->state->shut)
		return MHD_NO;
	if (*size > 0) {
		keep_body(request, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (!request->completed) {
		request->completed = true;
		enter(request->state, PHASE_WAITING);
		http->callbacks.complete(http->callbacks.self, request);
	}
	if (request->response != NULL)
		return queue_reply(request);
	if (!request->replied) {
		request->suspended = true;
		MHD_suspend_connection(connection);
	}
	return MHD_YES;
}

static void on_completed(void *argument, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode why)
{
	struct http *http = argument;
	struct http_request *request = *context;

	(void)connection, (void)why;
	if (request == NULL)
		return;
	*context = NULL;
	http->callbacks.closed(http->callbacks.self, request);
	request->state->request = NULL;
	enter(request->state, PHASE_IDLE);
	if (request->response != NULL)
		MHD_destroy_response(request->response);
	free(request->path);
	free(request->body);
	free(request);
}

/* Runs it, again while it has more to do at once (pipelined requests), and sets its timer. */
static void run(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG left = 0;
	int runs = 0;

	do
		MHD_run(http->daemon);
	while (MHD_get_timeout(http->daemon, &left) == MHD_YES && left == 0 && ++runs < RUNS);
	if (http->connections != NULL && !http->look_armed)
		look_later(http);
	if (MHD_get_timeout(http->daemon, &left) == MHD_YES) {
		sd_event_source_set_time_relative(http->timer, left * 1000);
		sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *argument)
{
	(void)source, (void)fd, (void)events;
	run(argument);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t now, void *argument)
{
	(void)source, (void)now;
	run(argument);
	return 0;
}

static int on_again(sd_event_source *source, void *argument)
{
	(void)source;
	run(argument);
	return 0;
}

int http_open(sd_event *event, int listen_fd, const struct http_settings *settings,
	      const struct http_callbacks *callbacks, struct http **ret_http)
{
	struct http *http = calloc(1, sizeof(*http));
	const union MHD_DaemonInfo *info;
	int r;

	if (http == NULL)
		return -ENOMEM;
	http->settings = *settings;
	http->callbacks = *callbacks;
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, http,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
		MHD_OPTION_CONNECTION_LIMIT, settings->max_connections + SPARE,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, settings->max_connections_per_address,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
	if (http->daemon == NULL) {
		free(http);
		return -EIO;
	}
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	r = info == NULL ? -EIO :
			   sd_event_add_io(event, &http->io, info->epoll_fd, EPOLLIN, on_io, http);
	if (r >= 0)
		r = sd_event_add_time(event, &http->timer, CLOCK_MONOTONIC, 0, 1000, on_timer,
				      http);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &http->look, CLOCK_MONOTONIC, 0, 100000,
					       on_look, http);
	if (r >= 0)
		r = sd_event_source_set_enabled(http->look, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_defer(event, &http->again, on_again, http);
	if (r < 0) {
		http_close(http);
		return r;
	}
	*ret_http = http;
	return 0;
}

void http_set(struct http *http, const struct http_settings *settings)
{
	http->settings = *settings;
}

void http_stop_listening(struct http *http)
{
	MHD_socket fd = MHD_quiesce_daemon(http->daemon);

	if (fd != MHD_INVALID_SOCKET)
		close(fd);
}

void http_flush(struct http *http, int64_t timeout_ns)
{
	const union MHD_DaemonInfo *open,
		*info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd wanted = { .fd = info != NULL ? info->epoll_fd : -1, .events = POLLIN };
	int64_t deadline = brood_now() + timeout_ns;

	do {
		run(http);
		open = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (open == NULL || open->num_connections == 0)
			return;
		poll(&wanted, 1, 10);
	} while (brood_now() < deadline);
}

struct http *http_close(struct http *http)
{
	if (http == NULL)
		return NULL;
	sd_event_source_disable_unref(http->io);
	sd_event_source_disable_unref(http->timer);
	sd_event_source_disable_unref(http->again);
	sd_event_source_disable_unref(http->look);
	MHD_stop_daemon(http->daemon);
	free(http);
	return NULL;
}
