/* child-uv [MIB] - libuv: uv_spawn of /bin/true, one after another; a worker (worker.h) */
#include <uv.h>

#include "../worker.h"

static uv_process_t process;
static int left;

static void spawn(void);

static void on_closed(uv_handle_t *handle)
{
	(void)handle;
	if (--left > 0)
		spawn();
}

static void on_exit_of(uv_process_t *ended, int64_t status, int signum)
{
	if (status != 0 || signum != 0)
		worker_fail("true", "did not end with 0");
	uv_close((uv_handle_t *)ended, on_closed);
}

static void spawn(void)
{
	char *argv[] = { (char[]){ "/bin/true" }, NULL };
	uv_process_options_t options = { .file = argv[0], .args = argv, .exit_cb = on_exit_of };
	int r = uv_spawn(uv_default_loop(), &process, &options);

	if (r < 0)
		worker_fail("uv_spawn", uv_strerror(r));
}

static int64_t run_true(int n)
{
	int64_t start = worker_now();

	left = n;
	spawn();
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	return worker_now() - start;
}

int main(int argc, char **argv)
{
	static const struct worker_task tasks[] = { { "true", run_true }, { NULL, NULL } };

	return worker_main(argc, argv, tasks);
}
