/* starter MODE [far|uncounted] - takes the path of a function process once, and tells what came of it and what it left behind
 *
 *	fork      a start, and the wait for its end
 *	limited   the same with all that the child has to set
 *	outlive   the same of a child that is not tied to it
 *	spawn     in a program of its own, with all that it has to set
 *	loaded    the same of a function of a shared library, by a program that does not call brood_init()
 *	served    by a server that is there already, and is not looked at
 *	server    by a server that is started for it
 *	again     by a server that is there already, and another one after it
 *	kin       no path: it starts children by each method, most of which have a child, says "all", and is to be killed
 *
 * For tests/faults, as spawner.c is: it stops itself first, and the path lies between two marks. A child that does not
 * end as it should is "-10 child 10" (ECHILD). */
#include <brood/process.h>

#include <dlfcn.h>
#include <errno.h>
#include <sys/resource.h>

#ifdef __GLIBC__
#include <execinfo.h>
#endif

#include "counted.h"

static int seven(const brood_args *args)
{
	return brood_args_int(args, 0) == 7 && brood_current_process() != NULL ? 7 : 1;
}

static brood_process_target *target = seven;

/* That of the library beside this program. */
static bool load_target(const char *own)
{
	static void *library; /* it stays */
	char path[4096];

	snprintf(path, sizeof(path), "%.*sguest.so",
		 strrchr(own, '/') != NULL ? (int)(strrchr(own, '/') + 1 - own) : 0, own);
	library = dlopen(path, RTLD_NOW);
	if (library == NULL)
		return false;
	*(void **)&target = dlsym(library, "guest_seven");
	return target != NULL;
}

static int start(const char *mode, brood_fail *fail)
{
	const brood_rlimit limit = { RLIMIT_CORE, 0, 0 };
	const int cpu = sched_getcpu();
	brood_process_opts opts = { .method = BROOD_START_FORK,
				    .outlive = strcmp(mode, "outlive") == 0,
				    .fail = fail };
	brood_process *p;
	brood_exit end;
	int r;

	if (strcmp(mode, "spawn") == 0 || strcmp(mode, "loaded") == 0)
		opts.method = BROOD_START_SPAWN;
	if (strncmp(mode, "serve", 5) == 0 || strcmp(mode, "again") == 0)
		opts.method = BROOD_START_FORKSERVER;
	if (strcmp(mode, "limited") == 0 || strcmp(mode, "spawn") == 0) {
		opts.group = BROOD_GROUP_NEW;
		opts.nice = 1;
		opts.rlimits = &limit;
		opts.n_rlimits = 1;
		opts.max_memory = (uint64_t)1 << 40;
		opts.cpus = &cpu;
		opts.n_cpus = 1;
	}
	r = brood_process_start(target, BROOD_ARGS(7), &opts, &p);
	if (r < 0)
		return r;
	r = brood_process_join(p, BROOD_FOREVER, &end);
	if (r < 0) {
		fail->step = "join";
		fail->error = -r;
	}
	if (r == 0 && brood_exit_code(&end) != 7) {
		r = -ECHILD;
		fail->step = "child";
		fail->error = ECHILD;
	}
	brood_process_unref(p);
	return r;
}

/* ---- kin */

static int stay(const brood_args *args)
{
	(void)args;
	signal(SIGTERM, SIG_IGN);
	for (;;)
		if (pause() == 0)
			return 0;
}

static int have_one(const brood_args *args)
{
	const brood_process_opts opts = { .method = (brood_start_method)brood_args_int(args, 0) };
	brood_process *p;

	if (brood_process_start(stay, BROOD_NO_ARGS, &opts, &p) < 0)
		return 1;
	return stay(args);
}

static int start_kin(void)
{
	brood_process *p[12];

	/* Each method below each, and each with nobody below it. */
	for (int i = 0; i < 12; i++) {
		const brood_process_opts opts = { .method = BROOD_START_FORK + i % 3 };

		if (brood_process_start(i < 9 ? have_one : stay,
					BROOD_ARGS(BROOD_START_FORK + i / 3 % 3), &opts, &p[i]) < 0)
			return 1;
	}
	if (write(1, "all\n", 4) != 4)
		return 1;
	return stay(NULL);
}

int main(int argc, char **argv)
{
	brood_fail fail = { .step = NULL };
	bool before[1024];
	int r;

	if (argc < 2 || strcmp(argv[1], "loaded") != 0)
		brood_init();
	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "loaded") == 0 && !load_target(argv[0]))
		return 2;
	if (strcmp(argv[1], "kin") == 0)
		return start_kin();
	if ((strcmp(argv[1], "served") == 0 || strcmp(argv[1], "again") == 0) &&
	    start(argv[1], &fail) < 0)
		return 1;
	raise(SIGSTOP);
	if (argc < 3 || strcmp(argv[2], "uncounted") != 0)
		count_up(argc > 2);
#ifdef __GLIBC__
	/* What the C library loads for this is no part of the path. */
	void *here;

	backtrace(&here, 1);
#endif
	list_descriptors(before);
	mark("counted");
	mark("begin");
	r = start(argv[1], &fail);
	if (r == 0 && strcmp(argv[1], "again") == 0)
		r = start(argv[1], &fail);
	mark("end");
	printf("%d %s %d\n", r, fail.step != NULL ? fail.step : "none", fail.error);
	brood_finish();
	tell_left(before);
	return 0;
}
