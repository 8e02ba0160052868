/* serve/config.h - the configuration file of `brood serve`
 *
 * Read once into plain structs. Every mistake is refused with file, line and key: unknown or
 * repeated keys, a wrong type, a value out of range, a program that is not there. */
#ifndef SERVE_CONFIG_H
#define SERVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reply { REPLY_JOB, REPLY_CODE_MESSAGE };
enum status { STATUS_TRUE_CODES, STATUS_ALWAYS_200 };
enum input { INPUT_STDIN, INPUT_FILE, INPUT_ARGUMENT, INPUT_NONE };

/* A list of words, ended by NULL. */
struct words {
	char **words;
	size_t n;
};

struct route {
	char *name, *path;
	enum reply reply;
	enum status status;
	struct words required; /* paths into the body: a, a.b, a[].b */
	struct words command;  /* the program's argv, as it is configured */
	char *program;         /* command[0] found: absolute */
	enum input input;
	struct words env; /* NAME=value; what the program gets, but for HOME and BROOD_… */
	char *cwd;        /* absolute */
	int64_t max_concurrent, queue;
	int64_t timeout_ns; /* 0: none */
	int64_t kill_grace_ns;
	int64_t output_limit, body_limit;
	bool never_rerun;
};

/* How much is kept of the jobs that are over; 0: no limit of that kind. */
struct retention_limits {
	int64_t age_ns; /* since a job's end */
	int64_t jobs;
	int64_t output; /* bytes of stdout and stderr of all of them */
};

struct config {
	char *file;      /* as it was named */
	char *directory; /* of the file, absolute: what its relative paths start from */
	char *listen;    /* HOST:PORT */
	bool insecure;   /* beyond loopback was asked for */
	char *state_dir; /* absolute */
	int64_t max_concurrent;
	int64_t drain_timeout_ns;
	int64_t request_timeout_ns, reply_timeout_ns;
	int64_t max_connections, max_connections_per_address;
	struct words hosts; /* names that requests may be addressed to */
	struct retention_limits retention;
	struct words log_fields;
	struct route *routes;
	size_t n_routes;
	/* where the file says what cannot change while the server runs; 1: it does not */
	size_t listen_line, insecure_line, state_dir_line, max_connections_line,
		max_per_address_line;
};

/* Reads `file`. Returns 0 and the configuration, or -errno and the reason, "FILE:LINE: key: what",
 * in error[0..size). */
int config_load(const char *file, struct config **ret_config, char *error, size_t size);

/* The route of that name, or NULL. */
const struct route *config_route(const struct config *config, const char *name);

/* Checks an address to listen on: HOST:PORT or [HOST]:PORT with a numeric host; one that is not
 * loopback needs `insecure`. Returns 0, or -EINVAL and the reason. */
int config_check_listen(const char *listen, bool insecure, char *error, size_t size);

struct config *config_free(struct config *config);

#endif
