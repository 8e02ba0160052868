/* The server: one loop (sd-event) over HTTP, the store's writer thread and the keeper.
 *
 * Stopping: SIGTERM or SIGINT drains. No new job is taken (503), running ones may finish within
 * drain_timeout, then they are stopped by the ladder; queued ones stay in the store for the next
 * start. A second signal skips the waiting. Jobs never depend on this process: killed, it leaves
 * them to the keeper, and the next server finds both.
 *
 * Reloading: SIGHUP, or a request at control.sock. The file is read whole into a new struct config;
 * on any error it is dropped and nothing has changed. Else scheduler and API look up by name what
 * they point to in the old one, within one turn of the loop, and then the old one is freed. */
#include "serve/serve.h"

#include <arpa/inet.h>
#include <brood/brood.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/log.h"
#include "serve/api.h"
#include "serve/config.h"
#include "serve/control.h"
#include "serve/http.h"
#include "serve/keeper.h"
#include "serve/manager.h"
#include "serve/sched.h"
#include "serve/store.h"

#define TICK_NS (50 * BROOD_MSEC) /* while draining */
#define STOP_NS (20 * BROOD_SEC)  /* for stopped jobs to be recorded, beyond their own grace */
#define OWN_DESCRIPTORS 64        /* beside those of connections: the store, the keeper, bodies */
#define JOB_DESCRIPTORS 5         /* of a job that the keeper leaves to us: pipes, files, pidfd */
#define CLOSE_NS (15 * BROOD_SEC) /* for keeper and store to close, after that */

static const char usage[] =
	"usage: brood serve --config FILE [--listen ADDRESS:PORT] [--state DIR] [--check]\n"
	"       brood serve --reload --config FILE [--state DIR]\n"
	"\n"
	"Runs the programs that FILE configures when a request comes, and keeps account of them.\n"
	"  --config FILE          the configuration, YAML; see brood-serve(1)\n"
	"  --listen ADDRESS:PORT  listen there instead; port 0 takes any free one\n"
	"  --state DIR            keep jobs and their output there instead\n"
	"  --check                only check the configuration; exit status 2 when it is wrong\n"
	"  --reload               check it, then have the running server take it\n";

static const char passed_socket[] = "the socket of the service manager: ";

struct options {
	const char *config, *listen, *state;
	bool check, reload;
	int passed_fd;           /* a socket that the service manager made; -1: none */
	char passed_address[80]; /* of it; `listen` points here then */
};

struct server {
	const struct options *options;
	struct config *config;
	struct store *store;
	struct sched *sched;
	struct api *api;
	struct http *http;
	struct control *control;
	sd_event *event;
	sd_event_source *tick;
	int state_fd, lock_fd;
	int signals;
	unsigned max_connections;              /* as many as there are descriptors for */
	int64_t kill_grace_ns;                 /* the longest that a running job may have */
	int64_t drain_deadline, stop_deadline; /* 0: not there yet */
};

/* Says what is wrong with the command line or the configuration; the exit status for that. */
static int complain(const char *what, const char *detail)
{
	fprintf(stderr, "brood serve: %s%s\n", what, detail);
	return 2;
}

/* --- stopping ----------------------------------------------------------------------------- */

/* Only ever grows: jobs keep the grace of the configuration that started them. */
static void note_kill_grace(struct server *server)
{
	for (size_t i = 0; i < server->config->n_routes; i++)
		if (server->config->routes[i].kill_grace_ns > server->kill_grace_ns)
			server->kill_grace_ns = server->config->routes[i].kill_grace_ns;
}

static void stop_jobs(struct server *server)
{
	server->stop_deadline = brood_now() + server->kill_grace_ns + STOP_NS;
	log_event("stopping_jobs", "jobs=%lld", (long long)sched_active(server->sched));
	sched_stop_all(server->sched);
}

/* Over when no job runs, all is stored and every request is answered. */
static int on_tick(sd_event_source *source, uint64_t now_us, void *argument)
{
	struct server *server = argument;
	int64_t now = brood_now();
	bool over = sched_active(server->sched) == 0 && store_pending(server->store) == 0;

	(void)now_us;
	if (over || (server->stop_deadline != 0 && now > server->stop_deadline)) {
		sd_event_exit(server->event, 0);
		return 0;
	}
	if (server->stop_deadline == 0 && (now > server->drain_deadline || server->signals > 1))
		stop_jobs(server);
	sd_event_source_set_time_relative(source, TICK_NS / BROOD_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *argument)
{
	struct server *server = argument;

	(void)source;
	server->signals++;
	if (server->signals > 1)
		return 0;
	log_event("draining", "signal=%u jobs=%lld", info->ssi_signo,
		  (long long)sched_active(server->sched));
	server->drain_deadline = brood_now() + server->config->drain_timeout_ns;
	manager_stopping(server->config->drain_timeout_ns + server->kill_grace_ns + STOP_NS +
			 CLOSE_NS);
	api_drain(server->api);
	sched_hold(server->sched);
	return sd_event_add_time_relative(server->event, &server->tick, CLOCK_MONOTONIC, 0, 1000,
					  on_tick, server);
}

/* --- reloading ---------------------------------------------------------------------------- */

static struct http_settings settings_of(const struct config *config, unsigned max_connections)
{
	return (struct http_settings){
		.request_timeout_ns = config->request_timeout_ns,
		.reply_timeout_ns = config->reply_timeout_ns,
		.max_connections = max_connections,
		.max_connections_per_address = (unsigned)config->max_connections_per_address,
		.hosts = config->hosts.words,
	};
}

/* What cannot change while the server runs, unless the command line said it instead of the file. */
static int check_fixed(const struct server *server, const struct config *config, char *error,
		       size_t size)
{
	const struct config *now = server->config;
	const char *key = NULL;
	size_t line = 0;

	if (config->insecure != now->insecure) {
		key = "insecure";
		line = config->insecure_line;
	} else if (server->options->listen == NULL && strcmp(config->listen, now->listen) != 0) {
		key = "listen";
		line = config->listen_line;
	} else if (server->options->state == NULL &&
		   strcmp(config->state_dir, now->state_dir) != 0) {
		key = "state_dir";
		line = config->state_dir_line;
	} else if (config->max_connections != now->max_connections) {
		key = "max_connections";
		line = config->max_connections_line;
	} else if (config->max_connections_per_address != now->max_connections_per_address) {
		key = "max_connections_per_address";
		line = config->max_per_address_line;
	}
	if (key == NULL)
		return 0;
	snprintf(error, size,
		 "%s:%zu: %s: cannot change while the server runs; restart it for that",
		 config->file, line, key);
	return -EINVAL;
}

/* Takes the new configuration, or nothing of it. */
static int take_config(struct server *server, char *error, size_t size)
{
	struct config *old = server->config, *config;
	struct http_settings settings;
	int r;

	if (server->signals > 0) {
		snprintf(error, size, "%s: the server is stopping", old->file);
		return -ESHUTDOWN;
	}
	r = config_load(old->file, &config, error, size);
	if (r < 0)
		return r;
	r = check_fixed(server, config, error, size);
	if (r == 0) {
		r = sched_reload(server->sched, config);
		if (r < 0)
			snprintf(error, size, "%s: %s", old->file, strerror(-r));
	}
	if (r < 0) {
		config_free(config);
		return r;
	}
	api_reload(server->api, config);
	settings = settings_of(config, server->max_connections);
	http_set(server->http, &settings);
	store_set_limits(server->store, &config->retention);
	server->config = config;
	note_kill_grace(server);
	config_free(old);
	return 0;
}

static int reload(struct server *server, char *error, size_t size)
{
	char quoted[1024];
	int r;

	manager_reloading();
	r = take_config(server, error, size);
	if (r < 0)
		log_event("reload_failed", "error=%s",
			  log_quote(quoted, sizeof(quoted), error, strlen(error)));
	else
		log_event("reloaded", "routes=%zu", server->config->n_routes);
	manager_ready(r < 0 ? "serving; the last reload failed, see the log" : "serving");
	return r;
}

/* A terminal that hangs up ends what runs in it, as always: that signal is the kernel's own. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *argument)
{
	char error[512];

	if (info->ssi_code == SI_KERNEL)
		return on_signal(source, info, argument);
	reload(argument, error, sizeof(error));
	return 0;
}

/* The asker has checked a file; that must be the one which is read here. */
static void on_control(void *self, const char *file, char *answer, size_t size)
{
	struct server *server = self;
	char error[512], *ours = realpath(server->config->file, NULL);

	if (ours != NULL && strcmp(ours, file) != 0)
		snprintf(answer, size, "failed it reads %s, not %s", ours, file);
	else if (reload(server, error, sizeof(error)) < 0)
		snprintf(answer, size, "failed %s", error);
	else
		snprintf(answer, size, "reloaded routes=%zu", server->config->n_routes);
	free(ours);
}

/* --- starting ----------------------------------------------------------------------------- */

/* Makes the state directory and locks it: one server a directory. */
static int open_state(struct server *server)
{
	const char *path = server->config->state_dir;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	server->state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server->state_fd < 0)
		return -errno;
	server->lock_fd = openat(server->state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (server->lock_fd < 0 || flock(server->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return 0;
}

static int open_store(struct server *server)
{
	const struct store_keep keep = { server->config->retention, server->state_fd };
	char path[4096], why[256] = "";
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s/jobs.db", server->config->state_dir) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	r = store_open(server->event, path, &keep, &server->store, why, sizeof(why));
	if (r < 0)
		log_event("store_failed", "file=\"%s\" error=\"%s\"", path, why);
	return r;
}

/* ADDRESS:PORT, checked before. */
static socklen_t read_address(const char *listen, struct sockaddr_storage *address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
	const char *colon = strrchr(listen, ':');
	in_port_t port = htons((in_port_t)strtoul(colon + 1, NULL, 10));
	char host[64];

	*address = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	if (*listen == '[') {
		snprintf(host, sizeof(host), "%.*s", (int)(colon - listen - 2), listen + 1);
		*six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
		inet_pton(AF_INET6, host, &six->sin6_addr);
		return sizeof(*six);
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
	*four = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
	inet_pton(AF_INET, host, &four->sin_addr);
	return sizeof(*four);
}

/* The port that the kernel chose when 0 was asked for. */
static unsigned port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return 0;
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port :
						     ((struct sockaddr_in *)&address)->sin_port);
}

/* Makes room for a descriptor for each connection and one for the file that it is sent, and for jobs. They keep
 * the limit that the server was started with: link_open() came before. Where there is no room,
 * there are fewer connections: the store and the line to the keeper need their descriptors, too. */
static void raise_descriptor_limit(struct server *server)
{
	const struct config *config = server->config;
	const rlim_t own = OWN_DESCRIPTORS + JOB_DESCRIPTORS * (rlim_t)config->max_concurrent;
	const rlim_t wanted = 2 * (rlim_t)config->max_connections + own;
	struct rlimit limit;

	server->max_connections = (unsigned)config->max_connections;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur == wanted)
		return;
	server->max_connections =
		limit.rlim_cur > own + 2 ? (unsigned)(limit.rlim_cur - own) / 2 : 1;
	log_event("few_descriptors", "hard_limit=%llu wanted=%llu max_connections=%u",
		  (unsigned long long)limit.rlim_max, (unsigned long long)wanted,
		  server->max_connections);
}

static int open_listener(const char *listen_at)
{
	struct sockaddr_storage address;
	socklen_t size = read_address(listen_at, &address);
	int fd, one = 1, r;

	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1024) < 0) {
		r = -errno;
		log_event("listen_failed", "address=%s error=\"%s\"", listen_at, strerror(-r));
		close(fd);
		return r;
	}
	return fd;
}

static int open_http(struct server *server)
{
	const struct http_callbacks callbacks = api_callbacks(server->api);
	const struct http_settings settings = settings_of(server->config, server->max_connections);
	const char *listen_at = server->config->listen;
	int passed = server->options->passed_fd, r,
	    fd = passed >= 0 ? passed : open_listener(listen_at);

	if (fd < 0)
		return fd;
	log_event("listening", "address=%.*s:%u state_dir=\"%s\" version=%s",
		  (int)(strrchr(listen_at, ':') - listen_at), listen_at, port_of(fd),
		  server->config->state_dir, brood_version());
	r = http_open(server->event, fd, &settings, &callbacks, &server->http);
	if (r < 0)
		close(fd);
	return r;
}

static int on_turn_end(sd_event_source *source, void *argument)
{
	(void)source, (void)argument;
	log_flush();
	return 0;
}

static int open_event(struct server *server)
{
	sigset_t mask;
	int r;

	/* Before the store's thread starts: a thread that does not block a signal takes it from the
	 * loop. SIGCHLD is for the line to the keeper. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGPIPE);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	r = sd_event_new(&server->event);
	if (r >= 0)
		r = sd_event_add_signal(server->event, NULL, SIGTERM, on_signal, server);
	if (r >= 0)
		r = sd_event_add_signal(server->event, NULL, SIGINT, on_signal, server);
	if (r >= 0)
		r = sd_event_add_signal(server->event, NULL, SIGHUP, on_hangup, server);
	if (r >= 0)
		r = sd_event_set_watchdog(server->event, true);
	if (r >= 0)
		r = sd_event_add_post(server->event, NULL, on_turn_end, NULL);
	return r;
}

/* Opens everything in the order in which it depends on what is before. */
static int open_server(struct server *server)
{
	int r;

	/* Jobs of a keeper that dies come to us, not to init. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	r = open_state(server);
	if (r < 0) {
		log_event("state_failed", "state_dir=\"%s\" error=\"%s\"",
			  server->config->state_dir,
			  r == -EWOULDBLOCK ? "another server uses it" : strerror(-r));
		return r;
	}
	r = open_event(server);
	if (r >= 0)
		r = open_store(server);
	if (r >= 0)
		r = sched_open(server->event, server->config, server->store, server->state_fd,
			       &server->sched);
	if (r >= 0)
		r = api_new(server->event, server->config, server->sched, server->store,
			    server->state_fd, &server->api);
	if (r >= 0)
		r = control_open(server->event, server->state_fd, on_control, server,
				 &server->control);
	if (r >= 0) {
		raise_descriptor_limit(server);
		r = open_http(server);
	}
	if (r >= 0)
		manager_ready("serving");
	return r;
}

/* In reverse; the requests that are still open get their answers first. */
static void close_server(struct server *server)
{
	if (server->http != NULL) {
		http_stop_listening(server->http);
		api_finish(server->api);
		http_flush(server->http, 200 * BROOD_MSEC);
	}
	server->http = http_close(server->http);
	server->control = control_close(server->control);
	if (server->sched != NULL)
		sched_quit(server->sched);
	server->store = store_close(server->store);
	server->api = api_free(server->api); /* the store's last reports came to these two */
	server->sched = sched_close(server->sched);
	sd_event_source_unref(server->tick);
	sd_event_unref(server->event);
	if (server->lock_fd >= 0)
		close(server->lock_fd);
	if (server->state_fd >= 0)
		close(server->state_fd);
	config_free(server->config);
}

/* Takes over `config`. */
static int run_server(struct config *config, const struct options *options)
{
	struct server server = {
		.options = options, .config = config, .state_fd = -1, .lock_fd = -1
	};
	int r;

	note_kill_grace(&server);
	r = open_server(&server);
	log_hold();
	if (r >= 0)
		r = sd_event_loop(server.event);
	else
		log_event("failed", "error=\"%s\"", strerror(-r));
	close_server(&server);
	log_event("stopped", "status=%d", r < 0);
	log_flush();
	return r < 0 ? 1 : 0;
}

/* --- the command -------------------------------------------------------------------------- */

/* Returns -1 to go on, or an exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "listen", required_argument, NULL, 'l' },
		{ "state", required_argument, NULL, 's' },
		{ "check", no_argument, NULL, 'k' },
		{ "reload", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1)
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
		case 'l':
			options->listen = optarg;
			break;
		case 's':
			options->state = optarg;
			break;
		case 'k':
			options->check = true;
			break;
		case 'r':
			options->reload = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	if (optind < argc)
		return complain("unexpected argument ", argv[optind]);
	if (options->config == NULL)
		return complain("--config FILE is missing; try --help", "");
	if (options->reload && (options->check || options->listen != NULL))
		return complain("--reload goes with --config and --state only", "");
	return -1;
}

/* What the command line says instead of the file. */
static int override(struct config *config, const struct options *options)
{
	char why[256];

	if (options->listen != NULL) {
		if (config_check_listen(options->listen, config->insecure, why, sizeof(why)) < 0)
			return complain(options->passed_fd >= 0 ? passed_socket : "--listen: ",
					why);
		free(config->listen);
		config->listen = strdup(options->listen);
	}
	if (options->state != NULL) {
		char *here = options->state[0] == '/' ? NULL : getcwd(NULL, 0), *path = NULL;

		if (asprintf(&path, "%s%s%s", here != NULL ? here : "", here != NULL ? "/" : "",
			     options->state) < 0)
			path = NULL;
		free(here);
		free(config->state_dir);
		config->state_dir = path;
	}
	return config->listen == NULL || config->state_dir == NULL ? complain("out of memory", "") :
								     -1;
}

/* Standard descriptors that are closed would be given to sockets and files, and be written to. */
static void open_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

/* Where the service manager listens for us, it listens instead of --listen. */
static int take_passed_socket(struct options *options)
{
	char why[256];
	int fd = manager_take_socket(options->passed_address, sizeof(options->passed_address), why,
				     sizeof(why));

	if (fd == -ENOENT)
		return -1;
	if (fd < 0)
		return complain(passed_socket, why);
	options->passed_fd = fd;
	options->listen = options->passed_address;
	return -1;
}

static int ask_to_reload(const struct config *config)
{
	char said[CONTROL_ANSWER_SIZE], *file = realpath(config->file, NULL);
	int r = file == NULL ? -errno : control_ask(config->state_dir, file, said, sizeof(said));

	free(file);
	switch (r) {
	case 0:
		printf("%s: %s\n", config->file, said);
		return 0;
	case -ESRCH:
		fprintf(stderr, "brood serve: no server runs in %s\n", config->state_dir);
		break;
	case -ETIMEDOUT:
		fprintf(stderr,
			"brood serve: the server in %s does not answer; it may still reload\n",
			config->state_dir);
		break;
	case -ECANCELED:
		fprintf(stderr, "brood serve: the server keeps its old configuration: %s\n", said);
		break;
	default:
		fprintf(stderr, "brood serve: the server in %s cannot be asked: %s\n",
			config->state_dir, strerror(-r));
	}
	return 1;
}

int serve_main(int argc, char **argv)
{
	struct options options = { .passed_fd = -1 };
	struct config *config;
	char error[512];
	int status;

	open_standard_descriptors();
	if (argc == 2 && strcmp(argv[1], KEEPER_COMMAND) == 0)
		return keeper_main();
	status = read_options(argc, argv, &options);
	if (status < 0 && !options.check && !options.reload)
		status = take_passed_socket(&options);
	if (status >= 0)
		return status;
	if (config_load(options.config, &config, error, sizeof(error)) < 0)
		return complain(error, "");
	for (size_t i = 0; i < config->n_routes; i++)
		if (config->routes[i].input == INPUT_ARGUMENT)
			fprintf(stderr,
				"brood serve: warning: route %s has input: argument; bodies are visible in ps\n",
				config->routes[i].name);
	status = override(config, &options);
	if (status < 0 && options.check)
		printf("%s: good, %zu route%s\n", config->file, config->n_routes,
		       config->n_routes == 1 ? "" : "s");
	if (status < 0 && !options.check && !options.reload)
		return run_server(config, &options);
	if (status < 0)
		status = options.check ? 0 : ask_to_reload(config);
	config_free(config);
	return status;
}
