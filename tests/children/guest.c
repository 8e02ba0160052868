/* guest - a shared library with functions of processes, for hosts whose main() is not ours: a script's interpreter */
#include <brood/process.h>
#include <brood/queue.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "who.h"

__attribute__((visibility("default"))) int guest_run(int method, int depth, char *buf, size_t size);
__attribute__((visibility("default"))) int guest_who(pid_t maker, char *buf, size_t size);
__attribute__((visibility("default"))) brood_process_target guest_seven;

/* Tells who it is, a line for each, from the innermost on. */
static int tell(const brood_args *args)
{
	brood_queue *queue = brood_args_queue(args, 0);
	int method = (int)brood_args_int(args, 1), deeper = (int)brood_args_int(args, 2);
	char line[400];
	brood_process *p;
	brood_exit end = { .kind = BROOD_EXITED };

	if (deeper > 0) {
		const brood_process_opts opts = { .method = (brood_start_method)method };

		if (brood_process_start(tell, BROOD_ARGS(queue, method, deeper - 1, getpid()),
					&opts, &p) < 0)
			return 100;
		if (brood_process_join(p, 60 * BROOD_SEC, &end) < 0)
			return 101;
		brood_process_unref(p);
	}
	who_am_i((pid_t)brood_args_int(args, 3), line, sizeof(line) - 1);
	strcat(line, "\n");
	if (brood_queue_put(queue, line, strlen(line), 0) < 0)
		return 102;
	return brood_exit_code(&end) + 1;
}

int guest_seven(const brood_args *args)
{
	return brood_args_int(args, 0) == 7 && brood_current_process() != NULL ? 7 : 1;
}

int guest_who(pid_t maker, char *buf, size_t size)
{
	return who_am_i(maker, buf, size);
}

/* Starts a function, and that others `depth` deep. Returns how many have ended well, with all that they said in `buf`; or a
 * negative error, with its words. */
int guest_run(int method, int depth, char *buf, size_t size)
{
	brood_fail fail = { .step = NULL };
	const brood_process_opts opts = { .method = (brood_start_method)method,
					  .fork_with_threads = true,
					  .fail = &fail };
	brood_queue *queue;
	brood_process *p;
	brood_exit end;
	size_t at = 0;
	ssize_t n;
	int r = brood_queue_new(NULL, &queue);

	if (r < 0)
		return r;
	r = brood_process_start(tell, BROOD_ARGS(queue, method, depth, getpid()), &opts, &p);
	if (r < 0) {
		brood_fail_format(&fail, buf, size);
		brood_queue_unref(queue);
		return r;
	}
	r = brood_process_join(p, 60 * BROOD_SEC, &end);
	brood_process_unref(p);
	while (at < size && (n = brood_queue_get(queue, buf + at, size - at - 1, 0)) > 0)
		at += (size_t)n;
	buf[at] = '\0';
	brood_queue_unref(queue);
	return r < 0 ? r : brood_exit_code(&end);
}
