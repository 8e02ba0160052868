/* copy - a module with a libbrood of its own in it, that nobody else sees */
#include <brood/process.h>

#include <unistd.h>

#include "who.h"

typedef int who_says(pid_t maker, char *buf, size_t size);

__attribute__((visibility("default"))) who_says copy_who;
__attribute__((visibility("default"))) int copy_start(int method, who_says *other, int out);

/* To this copy. */
int copy_who(pid_t maker, char *buf, size_t size)
{
	return who_am_i(maker, buf, size);
}

struct child {
	who_says *other;
	pid_t maker;
	int out;
};

/* What its own child is to it, and to the other copy; a line for each. */
static int tell(void *self, const brood_args *args)
{
	struct child *child = self;
	char own[300], others[300];

	(void)args;
	who_am_i(child->maker, own, sizeof(own));
	child->other(child->maker, others, sizeof(others));
	return dprintf(child->out, "%s\n%s\n", own, others) < 0;
}

static int nothing(const brood_args *args)
{
	(void)args;
	return 0;
}

/* Returns the exit status, or the error. */
int copy_start(int method, who_says *other, int out)
{
	const brood_process_opts opts = { .method = (brood_start_method)method,
					  .fork_with_threads = true };
	struct child child = { other, getpid(), out };
	brood_process *p;
	brood_exit end;
	int r;

	if (method == BROOD_START_FORK)
		r = brood_process_start_run(tell, &child, BROOD_NO_ARGS, &opts, &p);
	else
		r = brood_process_start(nothing, BROOD_NO_ARGS, &opts, &p);
	if (r < 0)
		return r;
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	return brood_exit_code(&end);
}
