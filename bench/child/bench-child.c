/* bench-child [MIB] - brood's side of the lines child.*; a worker (worker.h) */
#include <brood/run.h>

#include <string.h>

#include "../worker.h"

static void run(const char *const argv[], bool capture, size_t out_size)
{
	brood_run_opts opts = { .capture = capture, .check = true };
	brood_run_result result;
	int r = brood_run(argv, &opts, &result);

	if (r < 0)
		worker_fail(argv[0], strerror(-r));
	if (result.out_size != out_size || result.err_size != 0)
		worker_fail(argv[0], "has not said what it should");
	brood_run_result_fini(&result);
}

static int64_t run_true(int n)
{
	int64_t start = worker_now();

	for (int i = 0; i < n; i++)
		run(BROOD_ARGV("/bin/true"), false, 0);
	return worker_now() - start;
}

static int64_t run_captured(int n)
{
	int64_t start = worker_now();

	for (int i = 0; i < n; i++)
		run(BROOD_ARGV("/bin/echo", "x"), true, strlen("x\n"));
	return worker_now() - start;
}

static int64_t communicate_once(const char *input)
{
	brood_popen_opts opts = { .spawn = { .in = { .kind = BROOD_STDIO_PIPE },
					     .out = { .kind = BROOD_STDIO_PIPE } } };
	brood_popen *cat;
	brood_output output = { .size = 0 };
	brood_exit end;
	int64_t start = worker_now(), took;
	int r = brood_popen_start(BROOD_ARGV("/bin/cat"), &opts, &cat);

	if (r == 0)
		r = brood_popen_communicate(cat, input, WORKER_INPUT_SIZE, BROOD_FOREVER);
	if (r == 0)
		r = brood_popen_output(cat, 1, &output);
	took = worker_now() - start;
	if (r < 0)
		worker_fail("cat", strerror(-r));
	if (brood_popen_poll(cat, &end) != 1 || !brood_exit_ok(&end))
		worker_fail("cat", "did not end with 0");
	worker_check_output(output.data, output.size);
	brood_popen_free(cat);
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
		{ "captured", run_captured },
		{ "communicate", communicate },
		{ NULL, NULL },
	};

	return worker_main(argc, argv, tasks);
}
