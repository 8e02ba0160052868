#include "os/tree.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/leak.h"

#define NOBODY 65534

static void stay(void)
{
	for (;;)
		pause();
}

/* A child with a chain of `depth` descendants below it, each in a session of its own; all write a
 * byte into `ready`. */
static pid_t fork_chain(int depth, int ready)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (depth > 0)
		fork_chain(depth - 1, ready);
	setsid();
	prctl(PR_SET_NAME, ") Z 1 (");
	if (write(ready, "x", 1) != 1)
		_exit(1);
	stay();
	return 0;
}

static pid_t start_chain(int depth)
{
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork_chain(depth, ends[1]);
	for (int i = 0; i <= depth; i++)
		ck_assert_int_eq(read(ends[0], &(char){ 0 }, 1), 1);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

START_TEST(all_descendants_are_signalled_and_no_stranger)
{
	struct bri_tree_count count = { -1, -1 };
	pid_t ours = start_chain(4), other = start_chain(1);
	int status;

	ck_assert_int_eq(bri_tree_signal(ours, SIGTERM, &count), 0);
	ck_assert_int_eq(count.signalled, 4);
	ck_assert_int_eq(count.refused, 0);
	/* The root itself is not among them. */
	ck_assert_int_eq(waitpid(ours, &status, WNOHANG), 0);
	ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);
	/* All four die, though each one's parent goes just before it is its turn. */
	do
		ck_assert_int_eq(bri_tree_signal(getpid(), 0, &count), 0);
	while (count.signalled > 3);
	ck_assert_int_eq(count.signalled, 3);
	ck_assert_int_eq(bri_tree_signal(getpid(), SIGKILL, &count), 0);
	ck_assert(bury_all());
}
END_TEST

START_TEST(signal_nought_only_counts)
{
	struct bri_tree_count count;

	start_chain(2);
	ck_assert_int_eq(bri_tree_signal(getpid(), 0, &count), 0);
	ck_assert_int_eq(count.signalled, 3);
	ck_assert_int_eq(bri_tree_signal(getpid(), SIGKILL, &count), 0);
	ck_assert(bury_all());
}
END_TEST

START_TEST(the_dead_are_not_counted)
{
	struct bri_tree_count count;
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(bri_tree_signal(getpid(), SIGKILL, &count), 0);
	ck_assert_int_eq(count.signalled + count.refused, 0);
	ck_assert(bury_all());
}
END_TEST

static void signal_as_nobody(void)
{
	struct bri_tree_count count;
	pid_t pid = start_chain(0);

	ck_assert_int_eq(setresuid(NOBODY, NOBODY, 0), 0);
	ck_assert_int_eq(bri_tree_signal(getpid(), SIGKILL, &count), 0);
	ck_assert_int_eq(count.signalled, 0);
	ck_assert_int_eq(count.refused, 1);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(those_of_somebody_else_are_counted_apart)
{
	if (geteuid() == 0)
		in_fork(signal_as_nobody);
}
END_TEST

static void signal_by_foreign_numbers(void)
{
	struct bri_tree_count count = { -1, -1 };
	pid_t pid = start_chain(0);

	ck_assert_int_eq(getpid(), 1);
	ck_assert_int_eq(bri_tree_signal(getpid(), SIGKILL, &count), -ENOTSUP);
	ck_assert_int_eq(count.signalled, -1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void enter_namespace(void)
{
	if (unshare(CLONE_NEWPID) < 0)
		fprintf(stderr, "skipped: no right to make a pid namespace\n");
	else
		in_fork(signal_by_foreign_numbers);
}

START_TEST(the_proc_of_another_namespace_is_not_believed)
{
	in_fork(enter_namespace);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/tree");
	TCase *tree = leak_case(suite, "tree", 20);

	tcase_add_test(tree, all_descendants_are_signalled_and_no_stranger);
	tcase_add_test(tree, signal_nought_only_counts);
	tcase_add_test(tree, the_dead_are_not_counted);
	tcase_add_test(tree, those_of_somebody_else_are_counted_apart);
	tcase_add_test(tree, the_proc_of_another_namespace_is_not_believed);
	return leak_run(suite);
}
