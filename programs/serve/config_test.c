/* What a configuration becomes. Its mistakes: tests/integration/config_test.py. */
#include "serve/config.h"

#include <brood/base.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/leak.h"

static struct config *load(const char *text)
{
	const char *path = scratch_path("brood.yaml");
	FILE *file = fopen(path, "we");
	struct config *config = NULL;
	char error[512];

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_msg(config_load(path, &config, error, sizeof(error)) == 0, "%s", error);
	return config;
}

static void ck_words(const struct words *words, const char *wanted)
{
	char all[500] = "";

	for (size_t i = 0; i < words->n; i++) {
		size_t n = strlen(all);

		snprintf(all + n, sizeof(all) - n, "%s%s", i > 0 ? "|" : "", words->words[i]);
	}
	ck_assert_str_eq(all, wanted);
	ck_assert(words->n == 0 || words->words[words->n] == NULL);
}

/* The real path of something in the scratch folder. */
static const char *real(const char *name)
{
	static char path[4400];
	char folder[4096];

	ck_assert_ptr_nonnull(realpath(scratch, folder));
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

START_TEST(the_documented_defaults)
{
	struct config *config = load("routes: [{ name: a, path: /a, command: [/bin/true] }]\n");
	const struct route *route = config->routes;

	ck_assert_str_eq(config->listen, "127.0.0.1:8600");
	ck_assert(!config->insecure);
	ck_assert_str_eq(config->state_dir, real("./state"));
	ck_assert_int_eq(config->max_concurrent, 64);
	ck_assert_int_eq(config->drain_timeout_ns, 30 * BROOD_SEC);
	ck_assert_int_eq(config->request_timeout_ns, 30 * BROOD_SEC);
	ck_assert_int_eq(config->reply_timeout_ns, 60 * BROOD_SEC);
	ck_assert_int_eq(config->max_connections, 1024);
	ck_assert_int_eq(config->max_connections_per_address, 512);
	ck_assert_uint_eq(config->hosts.n, 0);
	ck_assert_int_eq(config->retention.age_ns, 7 * INT64_C(86400) * BROOD_SEC);
	ck_assert_int_eq(config->retention.jobs, 100000);
	ck_assert_int_eq(config->retention.output, 1 << 30);
	ck_assert_uint_eq(config->log_fields.n, 0);
	ck_assert_uint_eq(config->n_routes, 1);

	ck_assert_str_eq(route->name, "a");
	ck_assert_str_eq(route->path, "/a");
	ck_assert_int_eq(route->reply, REPLY_JOB);
	ck_assert_int_eq(route->status, STATUS_TRUE_CODES);
	ck_assert_uint_eq(route->required.n, 0);
	ck_words(&route->command, "/bin/true");
	ck_assert_int_eq(route->input, INPUT_STDIN);
	ck_words(&route->env, "LANG=en_US.UTF-8|PATH=/usr/local/bin:/usr/bin:/bin");
	ck_assert_str_eq(route->cwd, real("."));
	ck_assert_int_eq(route->max_concurrent, 64);
	ck_assert_int_eq(route->queue, 0);
	ck_assert_int_eq(route->timeout_ns, 600 * BROOD_SEC);
	ck_assert_int_eq(route->kill_grace_ns, 5 * BROOD_SEC);
	ck_assert_int_eq(route->output_limit, 16 << 20);
	ck_assert_int_eq(route->body_limit, 1 << 20);
	config_free(config);
}
END_TEST

START_TEST(all_that_can_be_said)
{
	struct config *config =
		load("listen: \"[::]:80\"\n"
		     "insecure: true\n"
		     "state_dir: /var/x\n"
		     "max_concurrent: 7\n"
		     "drain_timeout: 500ms\n"
		     "request_timeout: 1s\n"
		     "reply_timeout: 7d\n"
		     "max_connections: 1\n"
		     "max_connections_per_address: 10000\n"
		     "hosts: [jobs, Brood.Example.]\n"
		     "log_fields: [requestId, train-Id_2]\n"
		     "retention: { age: 90d, jobs: 20000000, output: 512GiB }\n"
		     "routes:\n"
		     "  - name: a\n"
		     "    path: /a\n"
		     "    command: [/bin/true]\n"
		     "  - command: [sh, -c, 'echo \"$0\"', '']\n"
		     "    path: /internal/v1/b\n"
		     "    name: b.1_x-Y\n"
		     "    reply: code-message\n"
		     "    status: always-200\n"
		     "    required: [a, 'l[].x']\n"
		     "    input: file\n"
		     "    env: { LANG: en_US.UTF-8, PATH: /bin, N: 0017, E: \"\" }\n"
		     "    cwd: /tmp\n"
		     "    max_concurrent: 4\n"
		     "    queue: 9\n"
		     "    timeout: 0\n"
		     "    kill_grace: 7d\n"
		     "    output_limit: 64KiB\n"
		     "    body_limit: 3MiB\n");
	const struct route *route = &config->routes[1];

	ck_assert_str_eq(config->listen, "[::]:80");
	ck_assert(config->insecure);
	ck_assert_str_eq(config->state_dir, "/var/x");
	ck_assert_int_eq(config->max_concurrent, 7);
	ck_assert_int_eq(config->drain_timeout_ns, 500 * BROOD_MSEC);
	ck_assert_int_eq(config->request_timeout_ns, BROOD_SEC);
	ck_assert_int_eq(config->reply_timeout_ns, 7 * INT64_C(86400) * BROOD_SEC);
	ck_assert_int_eq(config->max_connections, 1);
	ck_assert_int_eq(config->max_connections_per_address, 10000);
	ck_words(&config->hosts, "jobs|Brood.Example.");
	ck_words(&config->log_fields, "requestId|train-Id_2");
	ck_assert_int_eq(config->retention.age_ns, 90 * INT64_C(86400) * BROOD_SEC);
	ck_assert_int_eq(config->retention.jobs, 20000000);
	ck_assert_int_eq(config->retention.output, INT64_C(512) << 30);
	ck_assert_uint_eq(config->n_routes, 2);
	ck_assert_int_eq(config->routes[0].max_concurrent, 7); /* the server's */

	ck_assert_str_eq(route->name, "b.1_x-Y");
	ck_assert_str_eq(route->path, "/internal/v1/b");
	ck_assert_int_eq(route->reply, REPLY_CODE_MESSAGE);
	ck_assert_int_eq(route->status, STATUS_ALWAYS_200);
	ck_words(&route->required, "a|l[].x");
	ck_words(&route->command, "sh|-c|echo \"$0\"|");
	ck_assert_int_eq(route->input, INPUT_FILE);
	ck_words(&route->env, "LANG=en_US.UTF-8|PATH=/bin|N=0017|E=");
	ck_assert_str_eq(route->cwd, "/tmp");
	ck_assert_int_eq(route->max_concurrent, 4);
	ck_assert_int_eq(route->queue, 9);
	ck_assert_int_eq(route->timeout_ns, 0);
	ck_assert_int_eq(route->kill_grace_ns, 7 * INT64_C(86400) * BROOD_SEC);
	ck_assert_int_eq(route->output_limit, 64 << 10);
	ck_assert_int_eq(route->body_limit, 3 << 20);
	config_free(config);
}
END_TEST

START_TEST(a_limit_of_retention_alone_leaves_the_others)
{
	struct config *config = load("retention: { jobs: 0 }\n"
				     "routes: [{ name: a, path: /a, command: [/bin/true] }]\n");

	ck_assert_int_eq(config->retention.jobs, 0);
	ck_assert_int_eq(config->retention.age_ns, 7 * INT64_C(86400) * BROOD_SEC);
	ck_assert_int_eq(config->retention.output, 1 << 30);
	config_free(config);
}
END_TEST

START_TEST(an_argument_bounds_the_body)
{
	struct config *config = load(
		"routes:\n"
		"  - { name: a, path: /a, command: [/bin/true], input: argument }\n"
		"  - { name: b, path: /b, command: [/bin/true], input: argument, body_limit: 1KiB }\n");

	ck_assert_int_le(config->routes[0].body_limit, 128 << 10);
	ck_assert_int_eq(config->routes[1].body_limit, 1 << 10);
	config_free(config);
}
END_TEST

START_TEST(addresses)
{
	char error[256] = "";

	ck_assert_int_eq(config_check_listen("127.0.0.1:0", false, error, sizeof(error)), 0);
	ck_assert_int_eq(config_check_listen("127.255.0.9:65535", false, error, sizeof(error)), 0);
	ck_assert_int_eq(config_check_listen("[::1]:80", false, error, sizeof(error)), 0);
	ck_assert_int_eq(config_check_listen("0.0.0.0:80", true, error, sizeof(error)), 0);
	ck_assert_int_eq(config_check_listen("[2001:db8::1]:80", true, error, sizeof(error)), 0);
	ck_assert_str_eq(error, "");
	ck_assert_int_eq(config_check_listen("0.0.0.0:80", false, error, sizeof(error)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "insecure"));
	ck_assert_int_eq(config_check_listen("[::]:80", false, error, sizeof(error)), -EINVAL);
	ck_assert_int_eq(config_check_listen(":80", true, error, sizeof(error)), -EINVAL);
	ck_assert_int_eq(config_check_listen("[]:80", true, error, sizeof(error)), -EINVAL);
	ck_assert_int_eq(config_check_listen("", true, error, sizeof(error)), -EINVAL);
}
END_TEST

START_TEST(a_file_that_is_not_there)
{
	struct config *config = NULL;
	char error[100];

	ck_assert_int_eq(config_load(scratch_path("none"), &config, error, sizeof(error)), -ENOENT);
	ck_assert_ptr_null(config);
	ck_assert_ptr_nonnull(strstr(error, "none"));
	ck_assert_ptr_null(config_free(NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serve/config");
	TCase *config = leak_case(suite, "config", 20);

	tcase_add_test(config, the_documented_defaults);
	tcase_add_test(config, all_that_can_be_said);
	tcase_add_test(config, a_limit_of_retention_alone_leaves_the_others);
	tcase_add_test(config, an_argument_bounds_the_body);
	tcase_add_test(config, addresses);
	tcase_add_test(config, a_file_that_is_not_there);
	return leak_run(suite);
}
