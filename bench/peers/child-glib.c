/* child-glib [MIB] - GLib: GSubprocess of /bin/true, and its communicate(); a worker (worker.h) */
#include <gio/gio.h>

#include "../worker.h"

static int64_t run_true(int n)
{
	static const char *const argv[] = { "/bin/true", NULL };
	int64_t start = worker_now();

	for (int i = 0; i < n; i++) {
		GError *error = NULL;
		GSubprocess *process = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_NONE, &error);

		if (process == NULL || !g_subprocess_wait_check(process, NULL, &error))
			worker_fail("GSubprocess", error->message);
		g_object_unref(process);
	}
	return worker_now() - start;
}

static int64_t communicate_once(const char *input)
{
	GSubprocessFlags flags = G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE;
	GError *error = NULL;
	int64_t start = worker_now(), took;
	GBytes *in = g_bytes_new_static(input, WORKER_INPUT_SIZE), *out = NULL;
	GSubprocess *process = g_subprocess_new(flags, &error, "/bin/cat", NULL);

	if (process == NULL || !g_subprocess_communicate(process, in, NULL, &out, NULL, &error))
		worker_fail("GSubprocess", error->message);
	took = worker_now() - start;
	if (!g_subprocess_get_successful(process))
		worker_fail("cat", "did not end with 0");
	worker_check_output(g_bytes_get_data(out, NULL), g_bytes_get_size(out));
	g_bytes_unref(out);
	g_bytes_unref(in);
	g_object_unref(process);
	return took;
}

static int64_t communicate(int n)
{
	const char *input = worker_input();
	int64_t took = 0;

	for (int i = 0; i < n; i++)
		took += communicate_once(input);
	return took;
}

int main(int argc, char **argv)
{
	static const struct worker_task tasks[] = {
		{ "true", run_true },
		{ "communicate", communicate },
		{ NULL, NULL },
	};

	return worker_main(argc, argv, tasks);
}
