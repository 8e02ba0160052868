/* spawner MODE [far] - takes the spawn path once, and tells what came of it and what it left behind
 *
 *	plain      a start with all options, but ids
 *	ids        a start with uid, gid and groups
 *	named      a start with the user's name
 *	setup      a start with a callback before exec
 *	join       a command line that joins a group, with a pipe of some size and all descriptors
 *	join-contained  the same under the container helper, with the caller's signals
 *	inherit    a start that keeps the caller's signals, in a new process group
 *	contained  a start under the container helper
 *	contained-tree  the same, of a program that abandons others and does not end by itself
 *	stop             the ladder down to SIGKILL
 *	stop-group       the same for a program with a group of its own
 *	stop-contained   the same for a contained program
 *
 * far: what a helper calls often (to look at processes) has even higher numbers, see count_up().
 *
 * It stops itself first. The path lies between two writes that cannot succeed, for a tracer to see. Then one line:
 * "RESULT STEP ERROR", and one for each thing left: "left descriptor N", "left child",
 * "left signal N blocked". */
#include <brood/spawn.h>

#include <errno.h>
#include <sys/resource.h>

#include "counted.h"

static void nothing(int signum)
{
	(void)signum;
}

static int no_setup(void *data)
{
	return data == NULL ? 0 : -EINVAL;
}

static int start(const char *mode, brood_fail *fail, brood_child **ret_child)
{
	static const char *const env[] = { "PATH=/nowhere:/bin:/usr/bin", NULL };
	static const char *const edits[] = { "A=1", "B", NULL };
	const mode_t mask = 027;
	const uid_t uid = 65534;
	const gid_t gid = 65534, groups[] = { 5 };
	const brood_rlimit limit = { RLIMIT_CORE, 0, 0 };
	const brood_pass swap[] = { { 20, 21 }, { 21, 20 } };
	brood_spawn_opts opts = { .env = env, .fail = fail };

	if (strcmp(mode, "ids") == 0) {
		opts.uid = &uid;
		opts.gid = &gid;
		opts.groups = groups;
		opts.n_groups = 1;
	} else if (strcmp(mode, "named") == 0) {
		opts.user = "nobody";
		opts.user_group = "daemon";
	} else if (strcmp(mode, "setup") == 0) {
		opts.setup = no_setup;
	} else if (strncmp(mode, "join", 4) == 0) {
		opts.shell = true;
		opts.executable = "sh";
		opts.env_edits = edits;
		opts.out.kind = BROOD_STDIO_PIPE;
		opts.pipe_size = 4096;
		opts.keep_fds = true;
		opts.pass = swap;
		opts.n_pass = 2;
		opts.group = BROOD_GROUP_JOIN;
		opts.join_group = getpgrp();
		opts.contain = strcmp(mode, "join-contained") == 0;
		opts.signals = opts.contain ? BROOD_SIGNALS_INHERIT : BROOD_SIGNALS_RESET;
	} else if (strcmp(mode, "inherit") == 0) {
		opts.signals = BROOD_SIGNALS_INHERIT;
		opts.group = BROOD_GROUP_NEW;
	} else {
		opts.cwd = "/";
		opts.in.kind = BROOD_STDIO_PIPE;
		opts.out = (brood_stdio){ BROOD_STDIO_FILE, .path = "/dev/null" };
		opts.err.kind = BROOD_STDIO_STDOUT;
		opts.pass = swap;
		opts.n_pass = 2;
		opts.group = BROOD_GROUP_SESSION;
		opts.rlimits = &limit;
		opts.n_rlimits = 1;
		opts.umask = &mask;
		opts.nice = 1;
		opts.contain = strncmp(mode, "contained", 9) == 0;
	}
	if (strcmp(mode, "contained-tree") == 0)
		return brood_spawn(
			BROOD_ARGV("sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & wait"),
			&opts, ret_child);
	return brood_spawn(BROOD_ARGV("true"), &opts, ret_child);
}

/* A program that SIGTERM does not end; when this returns, it is deaf to it. */
static brood_child *start_deaf(bool contain, brood_group group)
{
	brood_child *child;
	char c;

	if (brood_spawn(BROOD_ARGV("sh", "-c", "trap '' TERM; echo; exec sleep 1000"),
			&(brood_spawn_opts){ .out = { .kind = BROOD_STDIO_PIPE },
					     .group = group,
					     .contain = contain },
			&child) < 0 ||
	    read(brood_child_stream(child, 1), &c, 1) != 1)
		exit(2);
	return child;
}

int main(int argc, char **argv)
{
	brood_fail fail = { .step = NULL };
	brood_child *child = NULL;
	bool before[1024];
	int r;

	if (argc < 2)
		return 2;
	raise(SIGSTOP);
	count_up(argc > 2);
	dup2(0, 20);
	dup2(1, 21);
	if (strcmp(argv[1], "inherit") == 0) {
		signal(SIGUSR1, nothing);
		signal(SIGUSR2, SIG_IGN);
	}
	list_descriptors(before);
	mark("counted");
	if (strncmp(argv[1], "stop", 4) == 0) {
		child = start_deaf(strcmp(argv[1], "stop-contained") == 0,
				   strcmp(argv[1], "stop-group") == 0 ? BROOD_GROUP_NEW :
									BROOD_GROUP_INHERIT);
		mark("begin");
		r = brood_child_stop(child, 20 * BROOD_MSEC, NULL);
		mark("end");
	} else {
		mark("begin");
		r = start(argv[1], &fail, &child);
		mark("end");
	}
	/* What failed once succeeds when it is tried again. */
	if (child != NULL && brood_child_stop(child, 0, NULL) < 0)
		puts("left program");
	brood_child_free(child);
	printf("%d %s %d\n", r, fail.step != NULL ? fail.step : "none", fail.error);
	tell_left(before);
	return 0;
}
