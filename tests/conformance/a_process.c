/* Processes as CPython's own tests have them: group A of the conformance cases
 *
 * Each case is one of those of CPython 3.13's test suite (its class and method in brackets), in brood's words.
 *
 * What cannot be done here: to look at a process before it is started, to start it twice, and to read its sentinel or set
 * its daemon flag at the wrong time (A02, A04, A11), since a handle is of one that was started. join() without an end says
 * -ETIMEDOUT instead of nothing. A15: C has no list of threads, so the function joins its own, or a finalizer does. A17 is of
 * forkserver, all others of each start method. */
#include <brood/process.h>
#include <brood/queue.h>
#include <brood/spawn.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/methods.h"

#define AT_ONCE_NS (10 * BROOD_SEC)

static struct shared {
	flag go, here;
	int n, daemon;
	int64_t numbers[4];
	unsigned char key[BROOD_PROCESS_AUTHKEY_MOST];
	size_t key_size;
	char name[64], parent_name[64], text[64];
	pid_t pid, parent;
} * s;

static void make(void)
{
	s = share_far(sizeof(*s));
}

static bool is_active(const brood_process *p)
{
	brood_process *list[128];
	ssize_t n = brood_active_children(list, 128);
	bool found = false;

	for (ssize_t i = 0; i < n; i++) {
		found = found || list[i] == p;
		brood_process_unref(list[i]);
	}
	return found;
}

static int sleep_for_long(const brood_args *args)
{
	(void)args;
	sleep(100);
	return 0;
}

/* A01 (_TestProcess.test_current) */
START_TEST(a01_current)
{
	brood_process *current = brood_current_process();
	const void *key;
	size_t size;

	ck_assert_int_eq(brood_process_authkey(&key, &size), 0);
	ck_assert_int_eq(size, 32);
	ck_assert_int_eq(brood_process_is_alive(current), 1);
	ck_assert_int_eq(brood_process_is_daemon(current), 0);
	ck_assert_int_eq(brood_process_pid(current), getpid());
	ck_assert_int_eq(brood_process_join(current, 0, NULL), -EDEADLK);
}
END_TEST

static int tell(const brood_args *args)
{
	brood_process *current = brood_current_process();
	const void *key;

	must(brood_process_authkey(&key, &s->key_size) == 0);
	memcpy(s->key, key, s->key_size);
	s->n = (int)brood_args_count(args);
	for (size_t i = 0; i < brood_args_count(args); i++)
		s->numbers[i] = brood_args_int(args, i);
	brood_process_name(current, s->name, sizeof(s->name));
	s->pid = brood_process_pid(current);
	s->daemon = brood_process_is_daemon(current);
	s->parent = brood_process_pid(brood_parent_process());
	brood_process_name(brood_parent_process(), s->parent_name, sizeof(s->parent_name));
	await(&s->go);
	return 0;
}

/* A02 (_TestProcess.test_process) */
START_TEST(a02_process)
{
	brood_process *p =
		start_it(tell, BROOD_ARGS(1, 2), &(brood_process_opts){ .name = "SomeProcess" });
	brood_exit end;
	const void *key;
	size_t size;
	char name[64];

	ck_assert_int_eq(brood_process_is_alive(p), 1);
	ck_assert_int_eq(brood_process_is_daemon(p), 0);
	ck_assert(is_active(p));
	ck_assert_int_eq(brood_process_join(p, 0, &end), -ETIMEDOUT);
	raise_flag(&s->go);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	ck_assert_int_eq(s->n, 2);
	ck_assert_int_eq(s->numbers[0], 1);
	ck_assert_int_eq(s->numbers[1], 2);
	brood_process_name(p, name, sizeof(name));
	ck_assert_str_eq(s->name, name);
	ck_assert_int_eq(s->pid, brood_process_pid(p));
	ck_assert_int_eq(brood_process_authkey(&key, &size), 0);
	ck_assert_int_eq(size, s->key_size);
	ck_assert_mem_eq(key, s->key, size);
	ck_assert_int_eq(brood_exit_code(&end), 0);
	ck_assert_int_eq(brood_process_is_alive(p), 0);
	ck_assert(!is_active(p));
	brood_process_unref(p);
}
END_TEST

/* A03 (_TestProcess.test_args_argument) */
START_TEST(a03_args)
{
	s->go = 1;
	ck_assert_int_eq(end_of(start_it(tell, BROOD_NO_ARGS, NULL)), 0);
	ck_assert_int_eq(s->n, 0);
	ck_assert_int_eq(end_of(start_it(tell, (const brood_object[]){ BROOD_ARGS_END }, NULL)), 0);
	ck_assert_int_eq(s->n, 0);
	ck_assert_int_eq(end_of(start_it(tell, BROOD_ARGS(1), NULL)), 0);
	ck_assert_int_eq(s->n, 1);
	ck_assert_int_eq(s->numbers[0], 1);
}
END_TEST

/* A04 (_TestProcess.test_daemon_argument) */
START_TEST(a04_daemon)
{
	static const brood_daemon asked[] = { BROOD_DAEMON_INHERIT, BROOD_DAEMON_YES,
					      BROOD_DAEMON_NO };
	static const int got[] = { 0, 1, 0 };

	s->go = 1;
	for (int i = 0; i < 3; i++) {
		brood_process *p =
			start_it(tell, BROOD_NO_ARGS, &(brood_process_opts){ .daemon = asked[i] });

		ck_assert_int_eq(brood_process_is_daemon(p), got[i]);
		ck_assert_int_eq(end_of(p), 0);
		ck_assert_int_eq(s->daemon, got[i]);
	}
}
END_TEST

/* A05 (_TestProcess.test_parent_process_attributes); that the main process has none is in src/proc/identity_test.c */
START_TEST(a05_parent)
{
	char name[64];

	s->go = 1;
	ck_assert_int_eq(end_of(start_it(tell, BROOD_NO_ARGS, NULL)), 0);
	ck_assert_int_eq(s->parent, getpid());
	brood_process_name(brood_current_process(), name, sizeof(name));
	ck_assert_str_eq(s->parent_name, name);
}
END_TEST

static void end_by(int (*act)(brood_process *), int signum)
{
	brood_process *p = start_it(sleep_for_long, BROOD_NO_ARGS,
				    &(brood_process_opts){ .daemon = BROOD_DAEMON_YES });
	int64_t began = brood_now();

	ck_assert_int_eq(brood_process_is_alive(p), 1);
	ck_assert(is_active(p));
	ck_assert_int_eq(brood_process_join(p, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_join(p, -1, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_is_alive(p), 1);
	ck_assert_int_eq(act(p), 0);
	ck_assert_int_eq(brood_process_join(p, BROOD_FOREVER, NULL), 0);
	ck_assert(brood_now() - began < AT_ONCE_NS);
	ck_assert_int_eq(brood_process_is_alive(p), 0);
	ck_assert(!is_active(p));
	ck_assert_int_eq(end_of(p), -signum);
}

/* A07 (_TestProcess.test_terminate) */
START_TEST(a07_terminate)
{
	end_by(brood_process_terminate, SIGTERM);
}
END_TEST

/* A08 (_TestProcess.test_kill) */
START_TEST(a08_kill)
{
	end_by(brood_process_kill, SIGKILL);
}
END_TEST

static int wait_for_go(const brood_args *args)
{
	(void)args;
	await(&s->go);
	return 0;
}

/* A09 (_TestProcess.test_active_children) */
START_TEST(a09_active_children)
{
	brood_process *p = start_it(wait_for_go, BROOD_NO_ARGS, NULL);

	ck_assert(is_active(p));
	raise_flag(&s->go);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert(!is_active(p));
	brood_process_unref(p);
}
END_TEST

/* A11 (_TestProcess.test_sentinel) */
START_TEST(a11_sentinel)
{
	brood_process *p = start_it(wait_for_go, BROOD_NO_ARGS, NULL);
	struct pollfd sentinel = { .fd = brood_process_sentinel(p), .events = POLLIN };

	ck_assert_int_eq(poll(&sentinel, 1, 0), 0);
	raise_flag(&s->go);
	ck_assert_int_eq(poll(&sentinel, 1, (int)(PATIENCE_NS / BROOD_MSEC)), 1);
	ck_assert_int_eq(end_of(p), 0);
}
END_TEST

/* A12 (_TestProcess.test_close) */
START_TEST(a12_close)
{
	brood_process *p = start_it(wait_for_go, BROOD_NO_ARGS, NULL);

	ck_assert_int_eq(brood_process_close(p), -EBUSY);
	raise_flag(&s->go);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_is_alive(p), 0);
	ck_assert_int_eq(brood_process_close(p), 0);
	ck_assert_int_eq(brood_process_is_alive(p), -EBADF);
	ck_assert_int_eq(brood_process_join(p, 0, NULL), -EBADF);
	ck_assert_int_eq(brood_process_terminate(p), -EBADF);
	ck_assert_int_eq(brood_process_close(p), 0);
	brood_process_unref(p);
}
END_TEST

static int one(const brood_args *args)
{
	return (int)brood_args_int(args, 0);
}

/* A13 (_TestProcess.test_many_processes) */
START_TEST(a13_many)
{
	enum { N = 100 };
	brood_process *p[N];

	for (int i = 0; i < N; i++)
		p[i] = start_it(one, BROOD_ARGS(i % 7), NULL);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(end_of(p[i]), i % 7);
	for (int i = 0; i < N; i++)
		p[i] = start_it(sleep_for_long, BROOD_NO_ARGS, NULL);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(brood_process_terminate(p[i]), 0);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(end_of(p[i]), -SIGTERM);
}
END_TEST

static void *set_late(void *unused)
{
	nap_ms(500);
	raise_flag(&s->here);
	return unused;
}

static void *sleep_on(void *unused)
{
	sleep(100);
	return unused;
}

static void join_it(void *thread)
{
	must(pthread_join(*(pthread_t *)thread, NULL) == 0);
}

/* The one is waited for, where it says so; the other is a daemon. */
static int have_threads(const brood_args *args)
{
	static pthread_t thread, daemon;

	must(pthread_create(&thread, NULL, set_late, NULL) == 0);
	must(pthread_create(&daemon, NULL, sleep_on, NULL) == 0);
	if (brood_args_bool(args, 0))
		return brood_finalize(0, join_it, &thread);
	join_it(&thread);
	return 0;
}

/* A15 (_TestProcess.test_wait_for_threads): in the function, and in a finalizer */
START_TEST(a15_threads)
{
	int64_t began = brood_now();

	ck_assert_int_eq(end_of(start_it(have_threads, BROOD_ARGS(_i == 1), NULL)), 0);
	ck_assert_int_eq(s->here, 1);
	ck_assert(brood_now() - began < AT_ONCE_NS);
}
END_TEST

static int go_wrong(const brood_args *args)
{
	(void)args;
	brood_process_fail("1 / %d", 0);
}

static int tell_server(const brood_args *args)
{
	s->pid = getppid();
	raise_flag(&s->here);
	if (brood_args_bool(args, 0))
		await(&s->go);
	return 0;
}

static void a17(int signum)
{
	brood_process *before = start_it(tell_server, BROOD_ARGS(true), NULL);
	pid_t server;

	await(&s->here);
	server = s->pid;
	ck_assert_int_ne(server, getpid());
	ck_assert_int_eq(kill(server, signum), 0);
	if (signum == SIGKILL)
		await_end_of(server);
	else
		nap_ms(20);
	ck_assert_int_eq(end_of(start_it(tell_server, BROOD_ARGS(false), NULL)), 0);
	ck_assert((s->pid == server) == (signum == SIGINT));
	raise_flag(&s->go);
	ck_assert_int_eq(end_of(before), 0);
	brood_finish();
	ck_assert(bury_all()); /* a killed server's children are ours, and it does not bury them */
}

/* A17 (_TestProcess.test_forkserver_sigint, _sigkill) */
START_TEST(a17_sigint)
{
	a17(SIGINT);
}
END_TEST

START_TEST(a17_sigkill)
{
	a17(SIGKILL);
}
END_TEST

/* A18 (_TestSubclassingProcess.test_stderr_flush) */
START_TEST(a18_stderr)
{
	int file = open_file("stderr", ""), before = dup(2);
	char text[256] = "";
	brood_process *p;

	dup2(file, 2);
	p = start_it(go_wrong, BROOD_NO_ARGS, &(brood_process_opts){ .name = "Wrong" });
	ck_assert_int_eq(end_of(p), 1);
	dup2(before, 2);
	close(before);
	ck_assert_int_gt(pread(file, text, sizeof(text) - 1, 0), 0);
	close(file);
	ck_assert_str_eq(text, "Process Wrong: 1 / 0\n");
}
END_TEST

static int call_exit(const brood_args *args)
{
	brood_process_leave((int)brood_args_int(args, 0));
}

/* A19 (_TestSubclassingProcess.test_sys_exit) */
START_TEST(a19_exit)
{
	static const int statuses[] = { 1, 0, 8 };

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(end_of(start_it(call_exit, BROOD_ARGS(statuses[i]), NULL)),
				 statuses[i]);
}
END_TEST

/* A process in a process in … `mixed`: each by another method than its parent. */
static int put_and_start(const brood_args *args)
{
	brood_queue *queue = brood_args_queue(args, 0);
	int64_t depth = brood_args_int(args, 1);
	bool mixed = brood_args_bool(args, 2);
	brood_process_opts opts = { .method = BROOD_START_DEFAULT };
	brood_process *p;
	char c = (char)('0' + depth);

	must(brood_queue_put(queue, &c, 1, PATIENCE_NS) == 0);
	if (depth == 0)
		return 0;
	if (mixed)
		opts.method = (brood_start_method)(BROOD_START_FORK + depth % 3);
	must(brood_process_start(put_and_start, BROOD_ARGS(queue, depth - 1, mixed), &opts, &p) ==
	     0);
	must(brood_process_join(p, PATIENCE_NS, NULL) == 0);
	brood_process_unref(p);
	return 0;
}

static void ck_nested(int depth, bool mixed)
{
	brood_queue *queue;
	brood_process *p;
	char c;

	ck_assert_int_eq(brood_queue_new(NULL, &queue), 0);
	p = start_it(put_and_start, BROOD_ARGS(queue, depth, mixed), NULL);
	ck_assert_int_eq(end_of(p), 0);
	for (int wanted = '0' + depth; wanted >= '0'; wanted--) {
		ck_assert_int_eq(brood_queue_get(queue, &c, 1, 0), 1);
		ck_assert_int_eq(c, wanted);
	}
	brood_queue_unref(queue);
}

/* A20 (TestStartMethod.test_nested_startmethod) */
START_TEST(a20_nested)
{
	ck_nested(2, false);
}
END_TEST

/* A20 (TestStartMethod.test_mixed_startmethod) */
START_TEST(a20_mixed)
{
	ck_nested(7, true);
}
END_TEST

static int tell_method(const brood_args *args)
{
	(void)args;
	return (int)brood_get_start_method();
}

/* A21 (TestStartMethod.test_set_get) */
START_TEST(a21_set_get)
{
	brood_start_method method = brood_get_start_method();

	ck_assert_int_eq(brood_set_start_method(method, false), -EALREADY);
	ck_assert_int_eq(brood_set_start_method((brood_start_method)77, true), -EINVAL);
	ck_assert_int_eq(end_of(start_it(tell_method, BROOD_NO_ARGS, NULL)), (int)method);
	ck_assert_int_eq(brood_set_start_method(BROOD_START_DEFAULT, true), 0);
	ck_assert_int_eq(brood_get_start_method(), BROOD_START_DEFAULT);
	ck_assert_int_eq(brood_set_start_method(method, false), 0);
	ck_assert_int_eq(brood_get_start_method(), method);
	ck_assert_int_eq(brood_set_start_method(method, false), -EALREADY);
}
END_TEST

/* A22 (TestNoForkBomb): the program has no brood_init(), and starts a process that would need it. */
START_TEST(a22_no_bomb)
{
	static const char *const methods[] = { [BROOD_START_FORK] = "fork",
					       [BROOD_START_SPAWN] = "spawn",
					       [BROOD_START_FORKSERVER] = "forkserver" };
	const brood_start_method method = brood_get_start_method();

	for (int i = 0; i < 2; i++) {
		const char *const way = i == 0 ? "never" : "first";
		int file = open_file("bomb", "");
		brood_spawn_opts opts = { .out = { .kind = BROOD_STDIO_FD, .fd = file },
					  .err = { .kind = BROOD_STDIO_FD, .fd = file } };
		brood_exit end = run(BROOD_ARGV(CHILD("bomb"), methods[method], way), &opts);
		const bool runs = method == BROOD_START_FORK || i == 1;
		char text[512];
		ssize_t n = pread(file, text, sizeof(text) - 1, 0);

		ck_assert_int_ge(n, 0);
		text[n] = '\0';
		close(file);
		ck_assert_msg(brood_exit_code(&end) == (runs ? 0 : 1), "%s: %d", way,
			      brood_exit_code(&end));
		if (runs) {
			ck_assert_str_eq(text, "main\nfunction\n");
			continue;
		}
		ck_assert_ptr_eq(strstr(text, "main\n"), text);
		ck_assert_ptr_null(strstr(text + 1, "main\n"));
		ck_assert_ptr_null(strstr(text, "function\n"));
		ck_assert_ptr_nonnull(strstr(text, "brood_init() first"));
	}
}
END_TEST

static void add_tests(TCase *process, brood_start_method method)
{
	tcase_add_test(process, a01_current);
	tcase_add_test(process, a02_process);
	tcase_add_test(process, a03_args);
	tcase_add_test(process, a04_daemon);
	tcase_add_test(process, a05_parent);
	tcase_add_test(process, a07_terminate);
	tcase_add_test(process, a08_kill);
	tcase_add_test(process, a09_active_children);
	tcase_add_test(process, a11_sentinel);
	tcase_add_test(process, a12_close);
	tcase_add_test(process, a13_many);
	tcase_add_loop_test(process, a15_threads, 0, 2);
	tcase_add_test(process, a18_stderr);
	tcase_add_test(process, a19_exit);
	tcase_add_test(process, a20_nested);
	tcase_add_test(process, a20_mixed);
	tcase_add_test(process, a21_set_get);
	tcase_add_test(process, a22_no_bomb);
	if (method == BROOD_START_FORKSERVER) {
		tcase_add_test(process, a17_sigint);
		tcase_add_test(process, a17_sigkill);
	}
}

int main(void)
{
	Suite *suite = suite_create("conformance/process");

	s = reach(sizeof(*s));
	brood_init();
	add_for_each_method(suite, make, unshare_far, add_tests);
	return leak_run(suite);
}
