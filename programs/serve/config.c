/* A small schema over libyaml's document API, which keeps line marks: each mapping has a table of
 * its keys; a key's reader turns one node into one field of the struct. */
#include "serve/config.h"

#include <arpa/inet.h>
#include <brood/base.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "common/units.h"

#define DEFAULT_ENV "LANG=en_US.UTF-8" /* where a route says nothing of its own */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define COUNT_LIMIT 10000
#define DEADLINE_LIMIT (7 * INT64_C(86400) * BROOD_SEC)
#define ARGUMENT_LIMIT ((128 << 10) - 1) /* MAX_ARG_STRLEN of the kernel, less the NUL */
/* of a route's command and environment together, see serve/wire.h */
#define MESSAGE_LIMIT (96 << 10)

struct reader {
	struct config *config;
	yaml_document_t document;
	char *error;
	size_t size;
};

/* How one key is read into the struct at `field`. */
struct key {
	const char *name;
	int (*read)(struct reader *reader, const char *key, yaml_node_t *node, void *field);
	size_t offset;
	bool required;
};

static int refuse(struct reader *reader, const yaml_node_t *node, const char *key,
		  const char *format, ...) __attribute__((format(printf, 4, 5)));

static int refuse(struct reader *reader, const yaml_node_t *node, const char *key,
		  const char *format, ...)
{
	va_list args;
	int n;

	n = snprintf(reader->error, reader->size, "%s:%zu: %s%s", reader->config->file,
		     node != NULL ? node->start_mark.line + 1 : 1, key, *key != '\0' ? ": " : "");
	va_start(args, format);
	if (n >= 0 && (size_t)n < reader->size)
		vsnprintf(reader->error + n, reader->size - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

static const char *scalar(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

static bool is_null(const yaml_node_t *node)
{
	const char *text = scalar(node);

	return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (*text == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

/* A scalar that is a value: not null, no NUL inside. */
static int read_text(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	char **text = field;

	if (node->type != YAML_SCALAR_NODE)
		return refuse(reader, node, key, "must be text, not a %s",
			      node->type == YAML_SEQUENCE_NODE ? "list" : "mapping");
	if (is_null(node))
		return refuse(reader, node, key, "has no value");
	if (strlen(scalar(node)) != node->data.scalar.length)
		return refuse(reader, node, key, "has a NUL character");
	free(*text);
	*text = strdup(scalar(node));
	return *text != NULL ? 0 : -ENOMEM;
}

/* A plain scalar in a form that `parse` takes. */
static int read_number(struct reader *reader, const char *key, yaml_node_t *node, int64_t *field,
		       int (*parse)(const char *, int64_t *), const char *form)
{
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return refuse(reader, node, key, "must be %s", form);
	if (parse(scalar(node), field) < 0)
		return refuse(reader, node, key, "'%s' is not %s", scalar(node), form);
	return 0;
}

static int read_duration(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_number(reader, key, node, field, parse_duration,
			   "a duration such as 500ms, 5s, 10m, 2h or 7d");
}

/* A duration that a client is given: never none, and no sum with it overflows. */
static int read_deadline(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	int r = read_duration(reader, key, node, field);

	if (r == 0 && (*(int64_t *)field < BROOD_SEC || *(int64_t *)field > DEADLINE_LIMIT))
		return refuse(reader, node, key, "'%s' is not between 1s and 7d", scalar(node));
	return r;
}

static int read_size(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_number(reader, key, node, field, parse_size, "a size such as 64KiB or 16MiB");
}

static int read_whole(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_number(reader, key, node, field, parse_count, "a whole number");
}

static int read_count(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	int r = read_whole(reader, key, node, field);

	if (r == 0 && *(int64_t *)field > COUNT_LIMIT)
		return refuse(reader, node, key, "'%s' is more than %d", scalar(node), COUNT_LIMIT);
	return r;
}

static int read_positive(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	int r = read_count(reader, key, node, field);

	return r == 0 && *(int64_t *)field == 0 ? refuse(reader, node, key, "must be at least 1") :
						  r;
}

static int read_bool(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	if (node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		*(bool *)field = strcmp(scalar(node), "true") == 0;
		if (*(bool *)field || strcmp(scalar(node), "false") == 0)
			return 0;
	}
	return refuse(reader, node, key, "must be true or false");
}

static int read_choice(struct reader *reader, const char *key, yaml_node_t *node, void *field,
		       const char *const *choices)
{
	char all[128] = "";
	size_t n;

	for (int i = 0; choices[i] != NULL; i++) {
		if (node->type == YAML_SCALAR_NODE && strcmp(scalar(node), choices[i]) == 0) {
			memcpy(field, &i, sizeof(i)); /* an enum counts as its table does */
			return 0;
		}
		n = strlen(all);
		snprintf(all + n, sizeof(all) - n, "%s%s", i > 0 ? ", " : "", choices[i]);
	}
	return refuse(reader, node, key, "must be one of %s", all);
}

static int read_reply(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_choice(reader, key, node, field,
			   (const char *const[]){ "job", "code-message", NULL });
}

static int read_status(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_choice(reader, key, node, field,
			   (const char *const[]){ "true-codes", "always-200", NULL });
}

static int read_input(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_choice(reader, key, node, field,
			   (const char *const[]){ "stdin", "file", "argument", "none", NULL });
}

static int words_add(struct words *words, char *word)
{
	char **more;

	if (word == NULL)
		return -ENOMEM;
	more = reallocarray(words->words, words->n + 2, sizeof(*more));
	if (more == NULL) {
		free(word);
		return -ENOMEM;
	}
	words->words = more;
	words->words[words->n++] = word;
	words->words[words->n] = NULL;
	return 0;
}

static void words_fini(struct words *words)
{
	for (size_t i = 0; i < words->n; i++)
		free(words->words[i]);
	free(words->words);
	*words = (struct words){ NULL, 0 };
}

static int read_words(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	struct words *words = field;

	if (node->type != YAML_SEQUENCE_NODE)
		return refuse(reader, node, key, "must be a list, such as [a, b]");
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		char *word = NULL;
		int r = read_text(reader, key, yaml_document_get_node(&reader->document, *item),
				  &word);

		if (r == 0)
			r = words_add(words, word);
		if (r < 0)
			return r;
	}
	return 0;
}

/* a, a.b, a[], a[].b: names of any characters but '.', '[' and ']'. */
static bool is_body_path(const char *path)
{
	do {
		size_t name = strcspn(path, ".[]");

		if (name == 0)
			return false;
		path += name;
		if (strncmp(path, "[]", 2) == 0)
			path += 2;
		if (*path == '\0')
			return true;
	} while (*path++ == '.');
	return false;
}

static int read_body_paths(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	struct words *words = field;
	int r = read_words(reader, key, node, field);

	for (size_t i = 0; r == 0 && i < words->n; i++)
		if (!is_body_path(words->words[i]))
			r = refuse(reader, node, key,
				   "'%s' is not a path such as name, a.b or list[].name",
				   words->words[i]);
	return r;
}

static int read_field_names(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	static const char *const taken[] = { "state", "route", "limit", "after", "wait", NULL };
	struct words *words = field;
	int r = read_words(reader, key, node, field);

	for (size_t i = 0; r == 0 && i < words->n; i++) {
		const char *word = words->words[i];

		if (*word == '\0' ||
		    word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-")] != '\0')
			r = refuse(reader, node, key,
				   "'%s' must be a name of letters, digits, '_' and '-'", word);
		for (int t = 0; r == 0 && taken[t] != NULL; t++)
			if (strcmp(word, taken[t]) == 0)
				r = refuse(reader, node, key,
					   "'%s' is a parameter of /v1/jobs already", word);
	}
	return r;
}

static int read_hosts(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	struct words *words = field;
	int r = read_words(reader, key, node, field);

	for (size_t i = 0; r == 0 && i < words->n; i++) {
		const char *word = words->words[i];

		if (*word == '\0' || *word == '.' || strlen(word) > 255 ||
		    word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-")] != '\0')
			r = refuse(reader, node, key,
				   "'%s' is not a host's name, without scheme and port", word);
	}
	return r;
}

static int read_env(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	struct words *env = field;

	if (node->type != YAML_MAPPING_NODE)
		return refuse(reader, node, key,
			      "must be a mapping, such as { LANG: en_US.UTF-8 }");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *name_node = yaml_document_get_node(&reader->document, pair->key);
		char *name = NULL, *value = NULL, *entry = NULL;
		int r = read_text(reader, key, name_node, &name);

		if (r == 0 &&
		    (*name == '\0' || strchr(name, '=') != NULL || strncmp(name, "BROOD_", 6) == 0))
			r = refuse(reader, name_node, key, "'%s' cannot be set", name);
		for (size_t i = 0; r == 0 && i < env->n; i++)
			if (strncmp(env->words[i], name, strlen(name)) == 0 &&
			    env->words[i][strlen(name)] == '=')
				r = refuse(reader, name_node, key, "'%s' is given twice", name);
		if (r == 0)
			r = read_text(reader, name,
				      yaml_document_get_node(&reader->document, pair->value),
				      &value);
		if (r == 0)
			r = asprintf(&entry, "%s=%s", name, value) < 0 ? -ENOMEM :
									 words_add(env, entry);
		free(name);
		free(value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads a mapping by its table: each key known, given once, and the required ones given. */
static int read_mapping(struct reader *reader, yaml_node_t *node, const char *what,
			const struct key *keys, void *base)
{
	bool given[32] = { false };

	if (node->type != YAML_MAPPING_NODE)
		return refuse(reader, node, "", "%s must be a mapping", what);
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
		size_t i = 0;
		int r;

		if (key->type != YAML_SCALAR_NODE)
			return refuse(reader, key, "", "a key of %s must be a word", what);
		while (keys[i].name != NULL && strcmp(keys[i].name, scalar(key)) != 0)
			i++;
		if (keys[i].name == NULL)
			return refuse(reader, key, scalar(key), "unknown key in %s", what);
		if (given[i])
			return refuse(reader, key, scalar(key), "given twice in %s", what);
		given[i] = true;
		r = keys[i].read(reader, keys[i].name,
				 yaml_document_get_node(&reader->document, pair->value),
				 (char *)base + keys[i].offset);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; keys[i].name != NULL; i++)
		if (keys[i].required && !given[i])
			return refuse(reader, node, keys[i].name, "missing in %s", what);
	return 0;
}

/* `*path` made absolute, from the configuration file's directory. */
static int resolve(const struct config *config, char **path)
{
	char *full;

	if (**path == '/')
		return 0;
	if (asprintf(&full, "%s/%s", config->directory, *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = full;
	return 0;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Finds a name in the PATH that the job will have. Returns its absolute path, or NULL. */
static char *find_in_path(const struct config *config, const struct route *route, const char *name)
{
	const char *path = DEFAULT_PATH;
	char full[PATH_MAX];

	for (size_t i = 0; i < route->env.n; i++)
		if (strncmp(route->env.words[i], "PATH=", 5) == 0)
			path = route->env.words[i] + 5;
	for (;;) {
		size_t folder = strcspn(path, ":");
		int n = *path == '/' ?
				snprintf(full, sizeof(full), "%.*s/%s", (int)folder, path, name) :
				snprintf(full, sizeof(full), "%s/%.*s/%s", config->directory,
					 (int)folder, path, name);

		if (n < (int)sizeof(full) && is_program(full))
			return strdup(full);
		if (path[folder] == '\0')
			return NULL;
		path += folder + 1;
	}
}

/* The program that command[0] means, looked up once: what was checked is what runs. */
static int find_program(struct reader *reader, yaml_node_t *command, struct route *route)
{
	const char *name = route->command.words[0];

	if (strchr(name, '/') == NULL) {
		route->program = find_in_path(reader->config, route, name);
	} else {
		route->program = strdup(name);
		if (route->program == NULL || resolve(reader->config, &route->program) < 0)
			return -ENOMEM;
		if (!is_program(route->program)) {
			free(route->program);
			route->program = NULL;
		}
	}
	return route->program != NULL ? 0 :
					refuse(reader, command, "command", "no program '%s'", name);
}

static size_t words_size(const struct words *words)
{
	size_t size = 0;

	for (size_t i = 0; i < words->n; i++)
		size += strlen(words->words[i]) + 1;
	return size;
}

static yaml_node_t *value_of(struct reader *reader, yaml_node_t *mapping, const char *key)
{
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++)
		if (strcmp(scalar(yaml_document_get_node(&reader->document, pair->key)), key) == 0)
			return yaml_document_get_node(&reader->document, pair->value);
	return mapping;
}

static bool is_url_path(const char *path)
{
	if (*path != '/' || strpbrk(path, "?#%") != NULL)
		return false;
	for (; *path != '\0'; path++)
		if ((unsigned char)*path <= ' ' || *path == 0x7f)
			return false;
	return true;
}

/* What one key alone cannot tell. */
static int check_route(struct reader *reader, yaml_node_t *node, struct route *route)
{
	yaml_node_t *command = value_of(reader, node, "command"),
		    *path = value_of(reader, node, "path");
	struct stat st;
	int r;

	if (!is_url_path(route->path))
		return refuse(reader, path, "path",
			      "must begin with / and have no ?, #, %%, space or control "
			      "character");
	if (strcmp(route->path, "/v1") == 0 || strncmp(route->path, "/v1/", 4) == 0 ||
	    strcmp(route->path, "/healthz") == 0 || strcmp(route->path, "/readyz") == 0 ||
	    strcmp(route->path, "/metrics") == 0)
		return refuse(reader, path, "path", "'%s' is the server's own", route->path);
	if (route->command.n == 0)
		return refuse(reader, command, "command", "must name a program");
	r = resolve(reader->config, &route->cwd);
	if (r < 0)
		return r;
	if (stat(route->cwd, &st) < 0 || !S_ISDIR(st.st_mode))
		return refuse(reader, value_of(reader, node, "cwd"), "cwd",
			      "'%s' is not a directory", route->cwd);
	r = find_program(reader, command, route);
	if (r < 0)
		return r;
	if (words_size(&route->command) + words_size(&route->env) > MESSAGE_LIMIT)
		return refuse(reader, command, "command", "command and env are larger than 96 KiB");
	if (route->input == INPUT_ARGUMENT && route->body_limit > ARGUMENT_LIMIT)
		route->body_limit = ARGUMENT_LIMIT;
	if (route->body_limit < 2 || route->body_limit > INT64_C(1) << 30)
		return refuse(reader, value_of(reader, node, "body_limit"), "body_limit",
			      "must be between 2 bytes and 1 GiB");
	return 0;
}

static int check_twins(struct reader *reader, yaml_node_t *node, size_t newest)
{
	const struct route *route = &reader->config->routes[newest];

	for (size_t i = 0; i < newest; i++) {
		if (strcmp(reader->config->routes[i].name, route->name) == 0)
			return refuse(reader, value_of(reader, node, "name"), "name",
				      "'%s' is the name of another route", route->name);
		if (strcmp(reader->config->routes[i].path, route->path) == 0)
			return refuse(reader, value_of(reader, node, "path"), "path",
				      "'%s' is the path of route %s", route->path,
				      reader->config->routes[i].name);
	}
	return 0;
}

static int read_name(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	int r = read_text(reader, key, node, field);
	const char *name = *(char **)field;

	if (r == 0 &&
	    (strlen(name) > 64 || *name == '\0' ||
	     name[strspn(name,
			 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] !=
		     '\0'))
		return refuse(reader, node, key,
			      "'%s' must be 1 to 64 letters, digits, '_', '.' or '-'", name);
	return r;
}

static const struct key route_keys[] = {
	{ "name", read_name, offsetof(struct route, name), true },
	{ "path", read_text, offsetof(struct route, path), true },
	{ "reply", read_reply, offsetof(struct route, reply), false },
	{ "status", read_status, offsetof(struct route, status), false },
	{ "required", read_body_paths, offsetof(struct route, required), false },
	{ "command", read_words, offsetof(struct route, command), true },
	{ "input", read_input, offsetof(struct route, input), false },
	{ "env", read_env, offsetof(struct route, env), false },
	{ "cwd", read_text, offsetof(struct route, cwd), false },
	{ "max_concurrent", read_positive, offsetof(struct route, max_concurrent), false },
	{ "queue", read_count, offsetof(struct route, queue), false },
	{ "timeout", read_duration, offsetof(struct route, timeout_ns), false },
	{ "kill_grace", read_duration, offsetof(struct route, kill_grace_ns), false },
	{ "output_limit", read_size, offsetof(struct route, output_limit), false },
	{ "body_limit", read_size, offsetof(struct route, body_limit), false },
	{ "never_rerun", read_bool, offsetof(struct route, never_rerun), false },
	{ NULL, NULL, 0, false },
};

static int read_route(struct reader *reader, yaml_node_t *node)
{
	struct config *config = reader->config;
	struct route *more = reallocarray(config->routes, config->n_routes + 1, sizeof(*more)),
		     *route;
	int r;

	if (more == NULL)
		return -ENOMEM;
	config->routes = more;
	route = &config->routes[config->n_routes++];
	*route = (struct route){
		.cwd = strdup("."),
		.timeout_ns = 600 * BROOD_SEC,
		.kill_grace_ns = 5 * BROOD_SEC,
		.output_limit = 16 << 20,
		.body_limit = 1 << 20,
	};
	if (route->cwd == NULL)
		return -ENOMEM;
	r = read_mapping(reader, node, "a route", route_keys, route);
	if (r == 0 && value_of(reader, node, "env") == node)
		r = words_add(&route->env, strdup(DEFAULT_ENV));
	if (r == 0)
		r = check_route(reader, node, route);
	if (r == 0)
		r = check_twins(reader, node, config->n_routes - 1);
	return r;
}

static int read_routes(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	int r = 0;

	(void)field;
	if (node->type != YAML_SEQUENCE_NODE)
		return refuse(reader, node, key, "must be a list of routes");
	if (node->data.sequence.items.start == node->data.sequence.items.top)
		return refuse(reader, node, key, "must have at least one route");
	for (yaml_node_item_t *item = node->data.sequence.items.start;
	     r == 0 && item < node->data.sequence.items.top; item++)
		r = read_route(reader, yaml_document_get_node(&reader->document, *item));
	return r;
}

static const struct key retention_keys[] = {
	{ "age", read_duration, offsetof(struct retention_limits, age_ns), false },
	{ "jobs", read_whole, offsetof(struct retention_limits, jobs), false },
	{ "output", read_size, offsetof(struct retention_limits, output), false },
	{ NULL, NULL, 0, false },
};

static int read_retention(struct reader *reader, const char *key, yaml_node_t *node, void *field)
{
	return read_mapping(reader, node, key, retention_keys, field);
}

static const struct key config_keys[] = {
	{ "listen", read_text, offsetof(struct config, listen), false },
	{ "insecure", read_bool, offsetof(struct config, insecure), false },
	{ "state_dir", read_text, offsetof(struct config, state_dir), false },
	{ "max_concurrent", read_positive, offsetof(struct config, max_concurrent), false },
	{ "drain_timeout", read_duration, offsetof(struct config, drain_timeout_ns), false },
	{ "request_timeout", read_deadline, offsetof(struct config, request_timeout_ns), false },
	{ "reply_timeout", read_deadline, offsetof(struct config, reply_timeout_ns), false },
	{ "max_connections", read_positive, offsetof(struct config, max_connections), false },
	{ "max_connections_per_address", read_positive,
	  offsetof(struct config, max_connections_per_address), false },
	{ "hosts", read_hosts, offsetof(struct config, hosts), false },
	{ "log_fields", read_field_names, offsetof(struct config, log_fields), false },
	{ "retention", read_retention, offsetof(struct config, retention), false },
	{ "routes", read_routes, 0, true },
	{ NULL, NULL, 0, false },
};

int config_check_listen(const char *listen, bool insecure, char *error, size_t size)
{
	char host[64];
	struct in_addr four;
	struct in6_addr six;
	const char *colon = strrchr(listen, ':');
	int64_t port;
	bool loopback;

	if (colon == NULL || parse_count(colon + 1, &port) < 0 || port > 65535 ||
	    (size_t)(colon - listen) >= sizeof(host)) {
		snprintf(error, size, "'%s' is not ADDRESS:PORT", listen);
		return -EINVAL;
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
	if (inet_pton(AF_INET, host, &four) == 1) {
		loopback = ntohl(four.s_addr) >> 24 == 127;
	} else if (host[0] == '[' && host[strlen(host) - 1] == ']' &&
		   (host[strlen(host) - 1] = '\0', inet_pton(AF_INET6, host + 1, &six)) == 1) {
		loopback = IN6_IS_ADDR_LOOPBACK(&six);
	} else {
		snprintf(error, size,
			 "'%s' does not begin with a numeric address, such as 127.0.0.1 or [::1]",
			 listen);
		return -EINVAL;
	}
	if (loopback || insecure)
		return 0;
	snprintf(error, size,
		 "'%s' is beyond loopback: anyone who reaches it may start programs; "
		 "say 'insecure: true' if that is meant",
		 listen);
	return -EINVAL;
}

static size_t line_of(struct reader *reader, yaml_node_t *root, const char *key)
{
	return value_of(reader, root, key)->start_mark.line + 1;
}

static int check_config(struct reader *reader, yaml_node_t *root)
{
	struct config *config = reader->config;
	char why[256];
	int r;

	config->listen_line = line_of(reader, root, "listen");
	config->insecure_line = line_of(reader, root, "insecure");
	config->state_dir_line = line_of(reader, root, "state_dir");
	config->max_connections_line = line_of(reader, root, "max_connections");
	config->max_per_address_line = line_of(reader, root, "max_connections_per_address");
	if (config_check_listen(config->listen, config->insecure, why, sizeof(why)) < 0)
		return refuse(reader, value_of(reader, root, "listen"), "listen", "%s", why);
	r = resolve(config, &config->state_dir);
	for (size_t i = 0; i < config->n_routes; i++) {
		struct route *route = &config->routes[i];
		bool has_path = false;

		if (route->max_concurrent == 0)
			route->max_concurrent = config->max_concurrent;
		for (size_t e = 0; e < route->env.n; e++)
			has_path = has_path || strncmp(route->env.words[e], "PATH=", 5) == 0;
		if (r == 0 && !has_path)
			r = words_add(&route->env, strdup("PATH=" DEFAULT_PATH));
	}
	return r;
}

static int refuse_yaml(struct reader *reader, const yaml_parser_t *parser)
{
	snprintf(reader->error, reader->size, "%s:%zu: %s", reader->config->file,
		 parser->problem_mark.line + 1,
		 parser->problem != NULL ? parser->problem : "cannot be read");
	return -EINVAL;
}

/* What follows the document must be nothing. */
static int refuse_more(struct reader *reader, yaml_parser_t *parser)
{
	yaml_document_t more;
	bool found;

	if (!yaml_parser_load(parser, &more))
		return refuse_yaml(reader, parser);
	found = yaml_document_get_root_node(&more) != NULL;
	if (found)
		snprintf(reader->error, reader->size,
			 "%s:%zu: a second document begins here; one is all", reader->config->file,
			 more.start_mark.line + 1);
	yaml_document_delete(&more);
	return found ? -EINVAL : 0;
}

static int read_document(struct reader *reader, FILE *stream)
{
	yaml_node_t *root;
	yaml_parser_t parser;
	int r = -ENOMEM;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_file(&parser, stream);
	if (!yaml_parser_load(&parser, &reader->document)) {
		r = refuse_yaml(reader, &parser);
		yaml_parser_delete(&parser);
		return r;
	}
	root = yaml_document_get_root_node(&reader->document);
	if (root == NULL) {
		r = refuse(reader, NULL, "", "the file is empty");
	} else {
		r = read_mapping(reader, root, "the file", config_keys, reader->config);
		if (r == 0)
			r = check_config(reader, root);
	}
	yaml_document_delete(&reader->document);
	if (r == 0)
		r = refuse_more(reader, &parser);
	yaml_parser_delete(&parser);
	return r;
}

static int set_defaults(struct config *config, const char *file)
{
	char *slash;

	config->file = strdup(file);
	config->directory = realpath(file, NULL);
	config->listen = strdup("127.0.0.1:8600");
	config->state_dir = strdup("./state");
	config->max_concurrent = 64;
	config->drain_timeout_ns = 30 * BROOD_SEC;
	config->request_timeout_ns = 30 * BROOD_SEC;
	config->reply_timeout_ns = 60 * BROOD_SEC;
	config->max_connections = 1024;
	config->max_connections_per_address = 512;
	config->retention = (struct retention_limits){
		.age_ns = 7 * INT64_C(86400) * BROOD_SEC,
		.jobs = 100000,
		.output = 1 << 30,
	};
	if (config->file == NULL || config->listen == NULL || config->state_dir == NULL)
		return -ENOMEM;
	if (config->directory == NULL)
		return -errno;
	slash = strrchr(config->directory, '/');
	slash[slash == config->directory ? 1 : 0] = '\0';
	return 0;
}

int config_load(const char *file, struct config **ret_config, char *error, size_t size)
{
	struct config *config = calloc(1, sizeof(*config));
	struct reader reader = { .config = config, .error = error, .size = size };
	FILE *stream = NULL;
	int r;

	if (size > 0)
		*error = '\0';
	r = config == NULL ? -ENOMEM : set_defaults(config, file);
	if (r == 0) {
		stream = fopen(file, "re");
		r = stream == NULL ? -errno : read_document(&reader, stream);
	}
	if (stream != NULL)
		(void)fclose(stream);
	if (r < 0) {
		if (*error == '\0')
			snprintf(error, size, "%s: %s", file, strerror(-r));
		config_free(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

const struct route *config_route(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_routes; i++)
		if (strcmp(config->routes[i].name, name) == 0)
			return &config->routes[i];
	return NULL;
}

struct config *config_free(struct config *config)
{
	if (config == NULL)
		return NULL;
	for (size_t i = 0; i < config->n_routes; i++) {
		struct route *route = &config->routes[i];

		free(route->name);
		free(route->path);
		free(route->cwd);
		free(route->program);
		words_fini(&route->required);
		words_fini(&route->command);
		words_fini(&route->env);
	}
	free(config->routes);
	words_fini(&config->log_fields);
	words_fini(&config->hosts);
	free(config->file);
	free(config->directory);
	free(config->listen);
	free(config->state_dir);
	free(config);
	return NULL;
}
