#include "serve/link.h"

#include <brood/brood.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "serve/id.h"
#include "serve/keeper.h"
#include "serve/manager.h"
#include "serve/wire.h"

#define DYING_NS (200 * BROOD_MSEC) /* from a line's end to its keeper's, when that dies */
#define RETRY_NS (BROOD_SEC)        /* between attempts to start a keeper, but the first ones */
#define QUICK_NS (20 * BROOD_MSEC)  /* … those */
#define QUICK 5

struct link {
	sd_event *event;
	sd_event_source *source; /* of the connection */
	sd_event_source *retry;
	int state_fd, connection;
	struct journal_reader journal;
	uint64_t kept_from; /* the journal's segment before which all were removed */
	brood_rlimit files; /* descriptors: what keepers and their jobs may have */
	bool ready;
	bool leaving; /* it was told to go, and goes at once */
	int quick;    /* attempts left in which the next one is expected to answer in a moment */
	brood_child *keeper; /* NULL: one that was found */
	struct link_callbacks callbacks;
};

static int on_message(sd_event_source *source, int fd, uint32_t events, void *argument);
static void go_down(struct link *link);

pid_t link_keeper(const struct link *link)
{
	return link->keeper != NULL ? brood_child_pid(link->keeper) : 0;
}

bool link_is_ready(const struct link *link)
{
	return link->ready;
}

bool link_is_up(const struct link *link)
{
	return link->ready || link->leaving || link->quick > 0;
}

/* The state directory's path may be longer than a socket address takes: by descriptor it is not. */
static void socket_address(const struct link *link, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/keeper.sock",
		 link->state_fd);
}

/* A keeper that lives answers the connect; the socket file of a dead one refuses it. */
static int find_keeper(struct link *link)
{
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	socket_address(link, &address);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	if (peer.uid != geteuid() && peer.uid != 0) {
		close(fd);
		return -EPERM;
	}
	link->connection = fd;
	return 0;
}

static int listen_socket(struct link *link)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	socket_address(link, &address);
	unlinkat(link->state_fd, "keeper.sock", 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 8) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* The keeper is this very program, in a session of its own: a terminal's signals are ours. */
static int spawn_keeper(struct link *link, int listener, int theirs)
{
	const brood_pass pass[] = { { link->state_fd, 3 }, { listener, 4 }, { theirs, 5 } };
	const char **env = manager_clean_environment();
	brood_fail fail = { .step = NULL };
	brood_spawn_opts opts = {
		.executable = "/proc/self/exe",
		.env = env,
		.cwd = "/",
		.in = { .kind = BROOD_STDIO_NULL },
		.out = { .kind = BROOD_STDIO_NULL },
		.pass = pass,
		.n_pass = 3,
		.group = BROOD_GROUP_SESSION,
		.rlimits = &link->files,
		.n_rlimits = 1,
		.fail = &fail,
	};
	char text[300];
	int r;

	if (env == NULL)
		return -ENOMEM;
	link->keeper = brood_child_free(link->keeper);
	r = brood_spawn(BROOD_ARGV("brood", "serve", KEEPER_COMMAND), &opts, &link->keeper);
	free(env);
	if (r < 0) {
		brood_fail_format(&fail, text, sizeof(text));
		log_event("keeper_failed", "error=\"%s\"", text);
	} else {
		log_event("keeper_started", "pid=%d", brood_child_pid(link->keeper));
	}
	return r;
}

static int start_keeper(struct link *link)
{
	int ends[2], r, listener = listen_socket(link);

	if (listener < 0)
		return listener;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		r = -errno;
		close(listener);
		return r;
	}
	r = spawn_keeper(link, listener, ends[1]);
	close(listener);
	close(ends[1]);
	if (r < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
		close(ends[0]);
		return r < 0 ? r : -errno;
	}
	link->connection = ends[0];
	return 0;
}

static int say(const struct link *link, const struct wire_message *message)
{
	return link->connection < 0 ? -ENOTCONN :
				      wire_send(link->connection, message, sizeof(*message), -1);
}

static int connect_keeper(struct link *link)
{
	const struct wire_message hello = { .type = WIRE_HELLO, .version = WIRE_VERSION };
	int size = 4 << 20, r;

	r = find_keeper(link);
	if (r == -EPERM) {
		log_event("keeper_refused", "why=\"a keeper of another user\"");
		return r;
	}
	if (r < 0)
		r = start_keeper(link);
	if (r < 0)
		return r;
	/* if we may */
	setsockopt(link->connection, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	r = say(link, &hello);
	if (r == 0)
		r = sd_event_add_io(link->event, &link->source, link->connection, EPOLLIN,
				    on_message, link);
	if (r < 0) {
		close(link->connection);
		link->connection = -1;
	}
	return r < 0 ? r : 0;
}

/* A keeper that ends before it has answered, or cannot be started for a moment, does not turn clients away:
 * jobs are taken and wait. One that never comes does. */
static int64_t retry_delay(struct link *link)
{
	if (link->quick > 0)
		link->quick--;
	return link->quick > 0 ? QUICK_NS : RETRY_NS;
}

static void arm_retry(struct link *link, int64_t delay_ns)
{
	sd_event_source_set_time_relative(link->retry, (uint64_t)delay_ns / BROOD_USEC);
	sd_event_source_set_enabled(link->retry, SD_EVENT_ONESHOT);
}

static int on_retry(sd_event_source *source, uint64_t now, void *argument)
{
	struct link *link = argument;
	int r;

	(void)source;
	(void)now;
	r = connect_keeper(link);
	if (r < 0) {
		log_event("keeper_failed", "error=\"%s\"", strerror(-r));
		arm_retry(link, retry_delay(link));
	}
	return 0;
}

static void read_journal(struct link *link)
{
	struct journal_record record;
	int r;

	while ((r = journal_read(&link->journal, &record)) == 1)
		link->callbacks.record(link->callbacks.self, &record);
	if (r < 0)
		log_event("journal_failed", "error=\"%s\"", strerror(-r));
	if (link->journal.first != link->kept_from)
		link->callbacks.segment(link->callbacks.self, link->journal.first);
}

static void take_message(struct link *link, const struct wire_message *message, size_t size)
{
	switch (message->type) {
	case WIRE_WELCOME:
		if (message->version != WIRE_VERSION) {
			log_event("keeper_refused", "why=\"a keeper of another version\"");
			go_down(link);
			return;
		}
		if (link->keeper == NULL)
			log_event("keeper_found", "pid=%llu", (unsigned long long)message->id);
		read_journal(link);
		link->ready = true;
		link->quick = 0;
		link->callbacks.ready(link->callbacks.self, (const uint64_t *)(message + 1),
				      (size - sizeof(*message)) / sizeof(uint64_t));
		break;
	case WIRE_RING:
		read_journal(link);
		break;
	case WIRE_REFUSED:
		link->callbacks.refused(link->callbacks.self, message->id, message->reason);
		break;
	default:
		break;
	}
}

static void bury_keeper(struct link *link)
{
	brood_exit end = { .kind = BROOD_RUNNING };

	/* The line of one that lives breaks when the kernel has no memory for it, say. We go on with its
	 * jobs, so it must not. */
	if (brood_child_wait(link->keeper, DYING_NS, &end) == -ETIMEDOUT) {
		log_event("keeper_cut_off", "pid=%d", brood_child_pid(link->keeper));
		brood_child_kill(link->keeper);
		brood_child_wait(link->keeper, 5 * BROOD_SEC, &end);
	}
	log_event("keeper_ended", "code=%d", brood_exit_code(&end));
	link->keeper = brood_child_free(link->keeper);
}

/* The end of the line: what the keeper wrote before it died is read, then a new one is started. */
static void go_down(struct link *link)
{
	bool at_once = link->ready || link->leaving, ours = link->keeper != NULL;
	int64_t delay_ns;

	link->source = sd_event_source_unref(link->source);
	close(link->connection);
	link->connection = -1;
	link->ready = link->leaving = false;
	if (link->keeper != NULL)
		bury_keeper(link);
	else
		log_event("keeper_ended", "code=unknown");
	read_journal(link);
	delay_ns = at_once ? 0 : retry_delay(link);
	if (at_once)
		link->quick = QUICK;
	link->callbacks.down(link->callbacks.self, ours);
	arm_retry(link, delay_ns);
}

/* What came along is shared out in the order of the entries. */
static void take_holds(const struct link *link, const struct wire_hold *holds, size_t n,
		       const int *fds, size_t n_fds)
{
	size_t next = 0;

	for (size_t i = 0; i < n; i++) {
		int pipes[2] = { -1, -1 };

		for (int which = 0; which < 2; which++)
			if ((holds[i].pipes >> which & 1) != 0 && next < n_fds)
				pipes[which] = fds[next++];
		link->callbacks.hold(link->callbacks.self, &holds[i], pipes);
	}
	while (next < n_fds)
		close(fds[next++]);
}

static int on_message(sd_event_source *source, int fd, uint32_t events, void *argument)
{
	static _Alignas(struct wire_message) char
		buffer[sizeof(struct wire_message) + WIRE_IDS * sizeof(uint64_t)];
	struct link *link = argument;

	if (events & EPOLLOUT) {
		sd_event_source_set_io_events(source, EPOLLIN);
		link->callbacks.writable(link->callbacks.self);
	}
	while (link->connection >= 0) {
		const struct wire_message *message = (const struct wire_message *)(void *)buffer;
		int fds[WIRE_FDS], n;
		size_t n_fds;

		n = wire_recv_all(fd, buffer, sizeof(buffer), fds, &n_fds);
		if (wire_is_passing(n))
			break;
		if (n < (int)sizeof(struct wire_message)) {
			go_down(link);
			break;
		}
		take_holds(link, (const struct wire_hold *)(message + 1),
			   message->type == WIRE_HOLD ?
				   ((size_t)n - sizeof(*message)) / sizeof(struct wire_hold) :
				   0,
			   fds, n_fds);
		take_message(link, message, (size_t)n);
	}
	return 0;
}

int link_open(sd_event *event, int state_fd, const struct link_callbacks *callbacks,
	      struct link **ret_link)
{
	struct link *link = calloc(1, sizeof(*link));
	struct rlimit files;
	int r;

	if (link == NULL)
		return -ENOMEM;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
		r = -errno;
		free(link);
		return r;
	}
	*link = (struct link){ .event = event,
			       .state_fd = state_fd,
			       .connection = -1,
			       .callbacks = *callbacks,
			       .files = { RLIMIT_NOFILE, files.rlim_cur, files.rlim_max },
			       .journal = { .state_fd = state_fd, .fd = -1 } };
	r = sd_event_add_time_relative(event, &link->retry, CLOCK_MONOTONIC, 0, 1000, on_retry,
				       link);
	if (r >= 0)
		r = sd_event_source_set_enabled(link->retry, SD_EVENT_OFF);
	if (r >= 0)
		r = connect_keeper(link);
	if (r < 0) {
		link_free(link);
		return r;
	}
	*ret_link = link;
	return 0;
}

/* The body as a file without a name: whoever reads it slowly holds nobody up. */
static int body_file(const char *body, size_t size)
{
	int fd = memfd_create("brood-body", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < size;) {
		ssize_t n = pwrite(fd, body + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int error = n < 0 ? errno : ENOSPC;

			close(fd);
			return -error;
		}
		at += (size_t)n;
	}
	return fd;
}

/* Packs a START. Returns its size, or -E2BIG. */
static int pack_start(char *buffer, size_t size, const struct link_job *job)
{
	const struct route *route = job->route;
	const char *home = job->home;
	struct wire_message *message = (struct wire_message *)(void *)buffer;
	char *at = buffer + sizeof(*message), *end = buffer + size;
	char route_entry[80], home_entry[4096];
	char *own[] = { route_entry, home_entry };
	char *last[] = { route->cwd, route->program };

	snprintf(route_entry, sizeof(route_entry), "BROOD_ROUTE=%s", route->name);
	snprintf(home_entry, sizeof(home_entry), "HOME=%s", home);
	*message = (struct wire_message){
		.type = WIRE_START,
		.id = job->id,
		.urgent = job->urgent,
		.input = route->input,
		.timeout_ns = route->timeout_ns,
		.kill_grace_ns = route->kill_grace_ns,
		.output_limit = route->output_limit,
		.n_argv = (uint32_t)route->command.n,
		.n_env = (uint32_t)route->env.n + 1,
	};
	at = wire_put_words(at, end, route->command.words, route->command.n);
	if (at != NULL)
		at = wire_put_words(at, end, own, 1);
	for (size_t i = 0; i < route->env.n; i++)
		if (strncmp(route->env.words[i], "HOME=", 5) == 0)
			home = NULL; /* the route's own */
	if (at != NULL && home != NULL) {
		at = wire_put_words(at, end, own + 1, 1);
		message->n_env++;
	}
	if (at != NULL)
		at = wire_put_words(at, end, route->env.words, route->env.n);
	if (at != NULL)
		at = wire_put_words(at, end, last, 2);
	return at != NULL ? (int)(at - buffer) : -E2BIG;
}

int link_start(struct link *link, const struct link_job *job)
{
	static _Alignas(struct wire_message) char buffer[WIRE_LIMIT];
	int n, fd = -1, r;

	if (!link->ready)
		return -ENOTCONN;
	n = pack_start(buffer, sizeof(buffer), job);
	if (n < 0)
		return n;
	if (job->route->input != INPUT_NONE) {
		fd = body_file(job->body, job->size);
		if (fd < 0)
			return fd;
	}
	r = wire_send(link->connection, buffer, (size_t)n, fd);
	if (fd >= 0)
		close(fd);
	if (r == -EAGAIN)
		sd_event_source_set_io_events(link->source, EPOLLIN | EPOLLOUT);
	return r;
}

void link_renew(struct link *link)
{
	const struct wire_message message = { .type = WIRE_QUIT };

	if (!link->ready || link->keeper != NULL || say(link, &message) < 0)
		return;
	log_event("keeper_renewed", "why=\"it was started by another server\"");
	link->ready = false;
	link->leaving = true;
}

int link_stop(struct link *link, uint64_t id, enum journal_reason reason)
{
	const struct wire_message message = { .type = WIRE_STOP, .id = id, .reason = (int)reason };

	return say(link, &message);
}

void link_trim(struct link *link, uint64_t first)
{
	int r = journal_trim(link->state_fd, first);

	if (r < 0)
		log_event("journal_failed", "error=\"%s\"", strerror(-r));
	else
		link->kept_from = first;
}

void link_quit(struct link *link, int64_t timeout_ns)
{
	const struct wire_message message = { .type = WIRE_QUIT };
	struct pollfd wanted = { .fd = link->connection, .events = POLLIN };
	static char buffer[4096];
	int64_t deadline = brood_now() + timeout_ns;
	int descriptor, n;

	link->source = sd_event_source_unref(link->source);
	if (say(link, &message) < 0)
		return;
	do { /* its rings do not matter; its end does, and comes as end of file */
		int64_t left = (deadline - brood_now()) / BROOD_MSEC;

		if (left <= 0 || poll(&wanted, 1, (int)left) < 0)
			break;
		n = wire_recv(link->connection, buffer, sizeof(buffer), &descriptor);
	} while (n > 0 || n == -EAGAIN);
	read_journal(link);
	if (link->keeper != NULL)
		brood_child_wait(link->keeper, BROOD_SEC, NULL);
}

struct link *link_free(struct link *link)
{
	if (link == NULL)
		return NULL;
	sd_event_source_unref(link->source);
	sd_event_source_disable_unref(link->retry);
	if (link->connection >= 0)
		close(link->connection);
	if (link->journal.fd >= 0)
		close(link->journal.fd);
	brood_child_free(link->keeper);
	free(link);
	return NULL;
}
