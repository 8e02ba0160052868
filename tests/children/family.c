/* family forks|methods|worker - who each process of a family believes to be, a line for each: "WHO: ", and what who.h says
 *
 *	forks    of all kinds, and children by fork
 *	methods  children by each method, and theirs by each
 *	worker   a program that another one exec'ed, and nothing else */
#include <brood/process.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "who.h"

static void say(const char *who, pid_t maker)
{
	char words[300], line[400];
	int n;

	who_am_i(maker, words, sizeof(words));
	n = snprintf(line, sizeof(line), "%s: %s\n", who, words);
	if (write(1, line, (size_t)n) != n)
		_exit(3);
}

/* A fork that the library has no part in. */
static void in_fork(const char *who, bool raw)
{
	pid_t maker = getpid();
	pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();

	if (pid == 0) {
		say(who, maker);
		say(who, maker); /* it stays so */
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void start(brood_process_target *target, const brood_object *args)
{
	brood_process *p;

	if (brood_process_start(target, args, NULL, &p) < 0)
		exit(4);
	brood_process_join(p, BROOD_FOREVER, NULL);
	brood_process_unref(p);
}

static int be_grandchild(const brood_args *args)
{
	pid_t top = (pid_t)brood_args_int(args, 0);

	say("grandchild", getppid());
	/* It sees the main process, and its death, past its parent. */
	return brood_process_pid(brood_main_process()) == top &&
			       brood_process_is_alive(brood_main_process()) == 1 &&
			       brood_ancestor_process(1) == brood_parent_process() &&
			       brood_ancestor_process(2) == brood_current_process() &&
			       brood_ancestor_process(3) == NULL &&
			       brood_ancestor_process(-1) == NULL ?
		       0 :
		       5;
}

static int be_child(const brood_args *args)
{
	brood_process *p;
	brood_exit end;

	say("child", getppid());
	if (brood_process_start(be_grandchild, BROOD_ARGS(brood_args_int(args, 0)), NULL, &p) < 0)
		return 4;
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	in_fork("fork in child", false);
	return brood_exit_code(&end);
}

static int be_second(const brood_args *args)
{
	(void)args;
	say("second child", getppid());
	return 0;
}

static int start_one(const brood_args *args)
{
	(void)args;
	say("child of fork", getppid());
	return 0;
}

/* A fork of a fork: it sees the main process past its parent, if that had asked who it is. */
static void fork_twice(bool asked)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (asked)
			(void)brood_is_main();
		pid = fork();
		if (pid == 0) {
			char line[64];
			int alive = brood_process_is_alive(brood_main_process());
			int n = snprintf(line, sizeof(line), "fork of a fork: main is %s\n",
					 alive == 1        ? "alive" :
					 alive == -ENOTSUP ? "not known" :
							     "?");

			_exit(write(1, line, (size_t)n) == n ? 0 : 1);
		}
		waitpid(pid, NULL, 0);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void start_in_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		start(start_one, BROOD_NO_ARGS);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* ---- by each method */

static const char *const methods[] = { "fork", "spawn", "forkserver" };

static void start_by(int method, brood_process_target *target, const brood_object *args)
{
	const brood_process_opts opts = { .method =
						  (brood_start_method)(BROOD_START_FORK + method) };
	brood_process *p;
	brood_exit end;

	if (brood_process_start(target, args, &opts, &p) < 0)
		exit(4);
	brood_process_join(p, BROOD_FOREVER, &end);
	brood_process_unref(p);
	if (brood_exit_code(&end) != 0)
		exit(5);
}

static int be_below(const brood_args *args)
{
	say(brood_args_str(args, 0), (pid_t)brood_args_int(args, 1));
	return brood_process_pid(brood_main_process()) == brood_args_int(args, 2) &&
			       brood_process_is_alive(brood_main_process()) == 1 ?
		       0 :
		       5;
}

static int be_between(const brood_args *args)
{
	const char *own = brood_args_str(args, 0);
	char who[64];
	int r = be_below(args);

	in_fork(own, false);
	in_fork(own, true);
	for (int i = 0; i < 3; i++) {
		snprintf(who, sizeof(who), "%s, %s", own, methods[i]);
		start_by(i, be_below, BROOD_ARGS(who, getpid(), brood_args_int(args, 2)));
	}
	return r;
}

static int start_by_each(void)
{
	say("main", 0);
	for (int i = 0; i < 3; i++)
		start_by(i, be_between, BROOD_ARGS(methods[i], getpid(), getpid()));
	say("main", 0);
	return 0;
}

int main(int argc, char **argv)
{
	/* What runs again to be a child has no words. */
	if (argc < 2 || strcmp(argv[1], "methods") == 0) {
		brood_init();
		return argc < 2 ? 7 : start_by_each();
	}
	if (strcmp(argv[1], "worker") == 0) {
		say("worker", 0);
		return 0;
	}
	in_fork("fork before first use", false);
	in_fork("raw clone before first use", true);
	say("main", 0);
	in_fork("fork after", false);
	in_fork("raw clone", true);
	start_in_fork();
	fork_twice(true);
	fork_twice(false);
	start(be_child, BROOD_ARGS(getpid()));
	start(be_second, BROOD_NO_ARGS);
	if (fork() == 0) {
		execl(argv[0], argv[0], "worker", (char *)NULL);
		_exit(6);
	}
	wait(NULL);
	brood_process_set_name(brood_current_process(), "renamed");
	say("main, renamed", 0);
	in_fork("fork of that", false);
	return 0;
}
