#include <brood/listener.h>
#include <brood/log.h>
#include <brood/process.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	flag here, go;
	pid_t pid, parent, grandchild;
	int count, order[16];
	char name[128], text[128];
	int64_t number;
	unsigned char key[BROOD_PROCESS_AUTHKEY_MOST];
} * s;

FIXTURES_OF_METHODS(s);

static bool is_fork(void)
{
	return brood_get_start_method() == BROOD_START_FORK;
}

static brood_process *begin(brood_process_target *target, const brood_object *args,
			    const brood_process_opts *opts)
{
	brood_process_opts with = opts != NULL ? *opts : (brood_process_opts){ .name = NULL };
	brood_fail fail = { .step = NULL };
	brood_process *p = NULL;
	char line[300];
	int r;

	with.fail = &fail;
	with.fork_with_threads = with.fork_with_threads || is_sanitized; /* its runtime has some */
	r = brood_process_start(target, args, &with, &p);
	brood_fail_format(&fail, line, sizeof(line));
	if (r < 0) /* also where there is no Check */
		ck_abort_msg("%s", line);
	return p;
}

static int join(brood_process *p)
{
	brood_exit end;

	must(brood_process_join(p, PATIENCE_NS, &end) == 0);
	brood_process_unref(p);
	return brood_exit_code(&end);
}

static int code_of(brood_process_target *target, const brood_object *args)
{
	return join(begin(target, args, NULL));
}

/* ---- functions */

static int status(const brood_args *args)
{
	return (int)brood_args_int(args, 0);
}

static int sleep_long(const brood_args *args)
{
	(void)args;
	raise_flag(&s->here);
	while (pause() < 0)
		continue;
	return 0;
}

static int wait_for_go(const brood_args *args)
{
	(void)args;
	await(&s->go);
	return 0;
}

static int be_deaf(const brood_args *args)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	return sleep_long(args);
}

static int say_who(const brood_args *args)
{
	brood_process *self = brood_current_process();

	(void)args;
	s->pid = getpid();
	s->parent = brood_process_pid(brood_parent_process());
	must(brood_process_pid(self) == getpid());
	brood_process_name(self, s->name, sizeof(s->name));
	prctl(PR_GET_NAME, s->text);
	return 0;
}

/* ---- */

START_TEST(it_runs_and_ends_with_what_it_returns)
{
	static const int codes[][2] = { { 0, 0 },     { 1, 1 },   { 8, 8 },
					{ 255, 255 }, { 256, 0 }, { -1, 255 } };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		ck_assert_int_eq(code_of(status, BROOD_ARGS(codes[i][0])), codes[i][1]);
}
END_TEST

START_TEST(it_has_a_pid_a_name_and_a_parent)
{
	brood_process *p = begin(say_who, BROOD_NO_ARGS, NULL);
	char name[64], line[200], wanted[200];

	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_pid(p), s->pid);
	ck_assert_int_eq(s->parent, getpid());
	/* We were forked by Check. */
	ck_assert_str_eq(s->name, "Process-0:1");
	ck_assert_str_eq(s->text, "Process-0:1");
	ck_assert_int_eq(brood_process_name(p, name, sizeof(name)), 11);
	ck_assert_str_eq(name, "Process-0:1");
	ck_assert_int_eq(brood_process_path(p, name, sizeof(name)), 3);
	ck_assert_str_eq(name, "0:1");
	ck_assert_int_eq(brood_process_depth(p), 2);
	brood_process_describe(p, line, sizeof(line));
	snprintf(wanted, sizeof(wanted),
		 "<Process name='Process-0:1' pid=%d parent=%d stopped exitcode=0>", s->pid,
		 getpid());
	ck_assert_str_eq(line, wanted);
	brood_process_unref(p);
}
END_TEST

START_TEST(names_can_be_given_and_changed)
{
	char longest[BROOD_PROCESS_NAME_MOST + 2], name[200], before[32];
	brood_process *p = begin(say_who, BROOD_NO_ARGS,
				 &(brood_process_opts){ .name = "reader of the news" });
	brood_fail fail = { .step = NULL };

	brood_process_name(p, name, sizeof(name));
	ck_assert_str_eq(name, "reader of the news");
	ck_assert_int_eq(brood_process_set_name(p, "other"), 0);
	brood_process_name(p, name, sizeof(name));
	ck_assert_str_eq(name, "other");
	ck_assert_int_eq(brood_process_set_name(p, ""), -EINVAL);
	ck_assert_int_eq(brood_process_set_name(p, NULL), -EINVAL);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(brood_process_set_name(p, longest), -ENAMETOOLONG);
	ck_assert_int_eq(
		brood_process_start(say_who, BROOD_NO_ARGS,
				    &(brood_process_opts){ .name = longest, .fail = &fail }, &p),
		-ENAMETOOLONG);
	ck_assert_str_eq(fail.step, "name");
	ck_assert_int_eq(join(p), 0);
	ck_assert_str_eq(s->name, "reader of the news");
	ck_assert_str_eq(s->text, "reader of the n"); /* the kernel's 15 bytes */
	prctl(PR_GET_NAME, before);
	ck_assert_int_eq(brood_process_set_name(brood_current_process(), "myself"), 0);
	prctl(PR_GET_NAME, name);
	ck_assert_str_eq(name, "myself");
	brood_process_set_name(brood_current_process(), before);
}
END_TEST

struct account {
	int64_t sum;
	const char *note;
};

static int run_account(void *self, const brood_args *args)
{
	struct account *account = self;

	account->sum += brood_args_int(args, 0);
	s->number = account->sum;
	snprintf(s->text, sizeof(s->text), "%s", account->note);
	return 3;
}

START_TEST(an_object_can_run)
{
	struct account account = { .sum = 40, .note = "mine" };
	const brood_object *args = BROOD_ARGS(2);
	brood_process *p;

	ck_assert_int_eq(brood_process_start_run(run_account, &account, args,
						 &(brood_process_opts){ .fork_with_threads = true },
						 &p),
			 0);
	ck_assert_int_eq(join(p), 3);
	ck_assert_int_eq(s->number, 42);
	ck_assert_str_eq(s->text, "mine");
	ck_assert_int_eq(account.sum, 40); /* the child has a copy */
}
END_TEST

/* ---- arguments */

static int use_all(const brood_args *args)
{
	long *counter = brood_args_shared(args, 2);
	brood_lock *lock = brood_args_lock(args, 1);
	char buf[16];
	ssize_t n = brood_queue_get(brood_args_queue(args, 0), buf, sizeof(buf), PATIENCE_NS);

	must(n == 5 && memcmp(buf, "hello", 5) == 0);
	must(brood_lock_acquire(lock, PATIENCE_NS) == 0);
	*counter += 1;
	must(brood_lock_release(lock) == 0);
	must(brood_conn_send_bytes(brood_args_conn(args, 3), brood_args_str(args, 4), 3,
				   PATIENCE_NS) == 0);
	must(write(brood_args_fd(args, 5), "fd", 2) == 2);
	return (int)brood_args_count(args);
}

START_TEST(every_kind_of_argument_arrives)
{
	struct board {
		brood_lock lock;
		long counter;
	} * board;
	brood_segment *segment;
	brood_queue *queue;
	brood_conn *a, *b;
	char buf[16];
	int ends[2];

	ck_assert_int_eq(brood_segment_new(sizeof(*board), NULL, &segment), 0);
	board = brood_segment_data(segment);
	brood_lock_init(&board->lock);
	ck_assert_int_eq(brood_queue_new(NULL, &queue), 0);
	ck_assert_int_eq(brood_pipe(false, &a, &b), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(brood_queue_put(queue, "hello", 5, 0), 0);
	const brood_object *args = BROOD_ARGS(queue, &board->lock, BROOD_SHARED(&board->counter), b,
					      "bob", BROOD_FD(ends[1]));
	ck_assert_int_eq(code_of(use_all, args), 6);
	ck_assert_int_eq(board->counter, 1);
	ck_assert_int_eq(brood_conn_recv_into(a, buf, sizeof(buf), 0), 3);
	ck_assert_mem_eq(buf, "bob", 3);
	ck_assert_int_eq(read(ends[0], buf, sizeof(buf)), 2);
	close(ends[0]);
	close(ends[1]);
	brood_conn_free(a);
	brood_conn_free(b);
	brood_queue_unref(queue);
	brood_segment_unref(segment);
}
END_TEST

/* All of a kind that lies in a segment, but for the lock and what goes with BROOD_SHARED(). */
struct shelf {
	brood_rlock rlock;
	brood_lock lock;
	brood_cond cond;
	brood_sem sem;
	brood_event event;
	brood_latch latch;
	brood_once once;
	brood_value value;
	uint64_t rwlock[128], permits[128], barrier[128], array[128];
};

enum {
	RLOCK,
	RWLOCK,
	SEM,
	PERMITS,
	LOCK,
	COND,
	EVENT,
	BARRIER,
	LATCH,
	ONCE,
	VALUE,
	ARRAY,
	SEGMENT,
	LIST
};

static int count_up(void *count, bool again)
{
	++*(int *)count;
	return again ? -EEXIST : 0;
}

/* What it finds is the parent's doing, and what it does the parent looks for. */
static int use_each(const brood_args *args)
{
	const brood_item item = { .kind = BROOD_ITEM_STR, .data = "there", .size = 5 };
	brood_rwlock *rwlock = brood_args_rwlock(args, RWLOCK);
	brood_permits *permits = brood_args_permits(args, PERMITS);
	brood_list *list = brood_args_list(args, LIST);
	int64_t number;
	brood_item was;
	char buf[16];

	must(brood_args_count(args) == LIST + 1);
	must(brood_rlock_acquire(brood_args_rlock(args, RLOCK), 0) == 0); /* and ends with it */
	must(brood_rwlock_readers(rwlock) == 1 && brood_rwlock_write(rwlock, 0) == -ETIMEDOUT);
	must(brood_rwlock_read(rwlock, 0) == 0 && brood_rwlock_readers(rwlock) == 2);
	must(brood_rwlock_release(rwlock) == 0);
	must(brood_sem_acquire(brood_args_sem(args, SEM), 0) == 0);
	must(brood_permits_value(permits) == 1 && brood_permits_acquire(permits, 0) == 0);
	must(brood_permits_acquire(permits, 0) == -ETIMEDOUT);
	must(brood_permits_release(permits) == 0);
	must(brood_lock_acquire(brood_args_lock(args, LOCK), PATIENCE_NS) == 0);
	raise_flag(&s->here);
	must(brood_cond_wait(brood_args_cond(args, COND), PATIENCE_NS) == 0);
	must(brood_lock_release(brood_args_lock(args, LOCK)) == 0);
	must(brood_event_set(brood_args_event(args, EVENT)) == 0);
	s->number = brood_barrier_wait(brood_args_barrier(args, BARRIER), PATIENCE_NS);
	must(brood_latch_count_down(brood_args_latch(args, LATCH), 1) == 0);
	must(brood_once_run(brood_args_once(args, ONCE), count_up, &s->count, 0) == 0);
	must(brood_value_add(brood_args_value(args, VALUE), 2, &number) == 0 && number == 42);
	must(brood_array_add(brood_args_array(args, ARRAY), 3, 1, &number) == 0 && number == 8);
	memcpy(brood_segment_data(brood_args_segment(args, SEGMENT)), "mine", 5);
	must(brood_list_get(list, 0, buf, sizeof(buf), &was) == 0);
	must(was.kind == BROOD_ITEM_INT && was.integer == -5);
	must(brood_list_set(list, 1, &item) == 0);
	return 9;
}

START_TEST(what_is_shared_is_the_same_in_both)
{
	const brood_item items[] = { { .kind = BROOD_ITEM_INT, .integer = -5 },
				     { .kind = BROOD_ITEM_STR, .data = "here", .size = 4 } };
	brood_segment *home, *segment;
	brood_rwlock *rwlock;
	brood_permits *permits;
	brood_barrier *barrier;
	brood_array *array;
	struct shelf *shelf;
	brood_process *p;
	brood_list *list;
	int64_t number;
	brood_item item;
	char buf[16];
	int seat;

	ck_assert_int_eq(brood_segment_new(sizeof(*shelf), NULL, &home), 0);
	ck_assert_int_eq(brood_segment_new(100, NULL, &segment), 0);
	ck_assert_int_eq(brood_list_new(items, 2, NULL, &list), 0);
	shelf = brood_segment_data(home);
	rwlock = (void *)shelf->rwlock;
	permits = (void *)shelf->permits;
	barrier = (void *)shelf->barrier;
	array = (void *)shelf->array;
	ck_assert_int_eq(brood_rlock_init(&shelf->rlock), 0);
	ck_assert_int_eq(brood_lock_init(&shelf->lock), 0);
	ck_assert_int_eq(brood_cond_init(&shelf->cond, &shelf->lock), 0);
	ck_assert_int_eq(brood_sem_init(&shelf->sem, 3), 0);
	ck_assert_int_eq(brood_event_init(&shelf->event), 0);
	ck_assert_int_eq(brood_latch_init(&shelf->latch, 1), 0);
	ck_assert_int_eq(brood_once_init(&shelf->once), 0);
	ck_assert_int_eq(brood_value_init(&shelf->value, 'i'), 0);
	ck_assert_int_eq(brood_rwlock_init(rwlock, sizeof(shelf->rwlock), 2), 0);
	ck_assert_int_eq(brood_permits_init(permits, sizeof(shelf->permits), 2), 0);
	ck_assert_int_eq(brood_barrier_init(barrier, sizeof(shelf->barrier), 2, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_array_init(array, sizeof(shelf->array), 'q', 4), 0);
	ck_assert_int_eq(brood_rwlock_read(rwlock, 0), 0);
	ck_assert_int_eq(brood_permits_acquire(permits, 0), 0);
	ck_assert_int_eq(brood_value_set_int(&shelf->value, 40), 0);
	ck_assert_int_eq(brood_array_set_int(array, 3, 7), 0);
	const brood_object *args =
		BROOD_ARGS(&shelf->rlock, rwlock, &shelf->sem, permits, &shelf->lock, &shelf->cond,
			   &shelf->event, barrier, &shelf->latch, &shelf->once, &shelf->value,
			   array, segment, list);
	p = begin(use_each, args, NULL);
	await(&s->here); /* with the lock, until it waits */
	ck_assert_int_eq(brood_lock_acquire(&shelf->lock, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_cond_notify(&shelf->cond, 1), 0);
	ck_assert_int_eq(brood_lock_release(&shelf->lock), 0);
	ck_assert_int_eq(brood_event_wait(&shelf->event, PATIENCE_NS), 0);
	seat = brood_barrier_wait(barrier, PATIENCE_NS);
	ck_assert_int_eq(brood_latch_wait(&shelf->latch, PATIENCE_NS), 0);
	ck_assert_int_eq(join(p), 9);
	ck_assert(seat == 0 || seat == 1);
	ck_assert_int_eq(s->number, 1 - seat);
	ck_assert_int_eq(brood_rlock_acquire(&shelf->rlock, 0), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_rwlock_readers(rwlock), 1);
	ck_assert_int_eq(brood_sem_value(&shelf->sem), 2);
	ck_assert_int_eq(brood_permits_value(permits), 1);
	ck_assert_int_eq(brood_once_run(&shelf->once, count_up, &s->count, 0), 0);
	ck_assert_int_eq(s->count, 1);
	ck_assert_int_eq(brood_value_get_int(&shelf->value, &number), 0);
	ck_assert_int_eq(number, 42);
	ck_assert_int_eq(brood_array_get_int(array, 3, &number), 0);
	ck_assert_int_eq(number, 8);
	ck_assert_str_eq(brood_segment_data(segment), "mine");
	ck_assert_int_eq(brood_list_get(list, 1, buf, sizeof(buf), &item), 0);
	ck_assert_uint_eq(item.size, 5);
	ck_assert_mem_eq(item.data, "there", 5);
	ck_assert_int_eq(brood_rlock_release(&shelf->rlock), 0);
	brood_list_free(list);
	brood_segment_unref(segment);
	brood_segment_unref(home);
}
END_TEST

/* ---- the key */

static int tell_key(const brood_args *args)
{
	const void *key;
	size_t size;

	if (brood_args_int(args, 0) > 0)
		return code_of(tell_key, BROOD_ARGS(brood_args_int(args, 0) - 1));
	must(brood_process_authkey(&key, &size) == 0);
	memcpy(s->key, key, size);
	s->number = (int64_t)size;
	must(brood_process_set_authkey("other", 5) == 0); /* its own alone */
	return 0;
}

START_TEST(relatives_have_one_key)
{
	const char set[] = "with \0 in it";
	const void *key;
	size_t size;

	for (int depth = 1; depth >= 0; depth--) {
		ck_assert_int_eq(code_of(tell_key, BROOD_ARGS(depth)), 0);
		ck_assert_int_eq(brood_process_authkey(&key, &size), 0);
		ck_assert_int_eq(size, 32);
		ck_assert_int_eq(s->number, 32);
		ck_assert_mem_eq(key, s->key, 32);
	}
	ck_assert_int_eq(brood_process_set_authkey(set, sizeof(set)), 0);
	ck_assert_int_eq(code_of(tell_key, BROOD_ARGS(1)), 0);
	ck_assert_int_eq(s->number, sizeof(set));
	ck_assert_mem_eq(set, s->key, sizeof(set));
	ck_assert_int_eq(brood_process_set_authkey(NULL, 5), -ENOKEY);
	ck_assert_int_eq(brood_process_set_authkey("", 0), -ENOKEY);
	ck_assert_int_eq(brood_process_set_authkey(s, BROOD_PROCESS_AUTHKEY_MOST + 1), -E2BIG);
	ck_assert_int_eq(brood_process_authkey(&key, &size), 0);
	ck_assert_int_eq(size, sizeof(set));
	ck_assert_mem_eq(key, set, sizeof(set));
}
END_TEST

static bool file_has(const char *path, const void *what, size_t size)
{
	static char text[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text));

	must(n > 0 && n < (ssize_t)sizeof(text));
	close(fd);
	return memmem(text, (size_t)n, what, size) != NULL;
}

/* Whether the mapping that it lies in is left out of core dumps. */
static bool is_dumped(const void *address)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool here = false, dumped = true;
	char line[4096], *at;

	while (fgets(line, sizeof(line), maps) != NULL) {
		uintptr_t first = strtoul(line, &at, 16);

		if (*at == '-')
			here = first <= (uintptr_t)address &&
			       (uintptr_t)address < strtoul(at + 1, NULL, 16);
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			dumped = strstr(line, " dd") == NULL;
	}
	(void)fclose(maps);
	return dumped;
}

static int look_for_key(const brood_args *args)
{
	char digits[8];
	const void *key;
	size_t size;

	(void)args;
	must(brood_process_authkey(&key, &size) == 0);
	snprintf(digits, sizeof(digits), "%02x%02x%02x", ((const unsigned char *)key)[0],
		 ((const unsigned char *)key)[1], ((const unsigned char *)key)[2]);
	must(!file_has("/proc/self/cmdline", key, size));
	must(!file_has("/proc/self/environ", key, size));
	must(!file_has("/proc/self/cmdline", digits, 6));
	must(!file_has("/proc/self/environ", digits, 6));
	must(!is_dumped(key));
	return 0;
}

START_TEST(the_key_is_nowhere_else)
{
	ck_assert_int_eq(code_of(look_for_key, BROOD_NO_ARGS), 0);
}
END_TEST

static int dial(const brood_args *args)
{
	brood_client_opts opts = { .timeout_ns = PATIENCE_NS };
	brood_conn *conn;
	int r;

	if (brood_args_int(args, 1) != 0)
		must(brood_process_set_authkey("stranger", 8) == 0);
	must(brood_process_authkey(&opts.authkey, &opts.authkey_size) == 0);
	r = brood_client(brood_args_str(args, 0), &opts, &conn);
	if (r == 0)
		brood_conn_free(conn);
	return r == -EACCES ? 7 : r;
}

START_TEST(relatives_know_each_other_by_it)
{
	brood_listener_opts opts = { .family = BROOD_FAMILY_UNIX };
	brood_listener *listener;
	brood_conn *conn;

	ck_assert_int_eq(brood_process_authkey(&opts.authkey, &opts.authkey_size), 0);
	ck_assert_int_eq(brood_listener_new(NULL, &opts, &listener), 0);
	for (int is_stranger = 0; is_stranger < 2; is_stranger++) {
		const brood_object *args =
			BROOD_ARGS(brood_listener_address(listener), is_stranger);
		brood_process *p = begin(dial, args, NULL);

		ck_assert_int_eq(brood_listener_accept(listener, PATIENCE_NS, &conn),
				 is_stranger ? -EACCES : 0);
		if (!is_stranger)
			brood_conn_free(conn);
		ck_assert_int_eq(join(p), is_stranger ? 7 : 0);
	}
	brood_listener_free(listener);
}
END_TEST

/* Our stderr, and what came there meanwhile. */
static int real_stderr, heard;

static void hear(void)
{
	real_stderr = dup(2);
	heard = open_file("stderr", "");
	ck_assert_int_eq(dup2(heard, 2), 2);
}

static const char *hear_out(void)
{
	static char text[4096];
	ssize_t n = pread(heard, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	dup2(real_stderr, 2);
	close(real_stderr);
	close(heard);
	return text;
}

static int want_a_queue(const brood_args *args)
{
	brood_args_queue(args, 1);
	return 0;
}

static int fail_by_itself(const brood_args *args)
{
	(void)args;
	brood_process_fail("%s has no %s", "disk", "room");
}

START_TEST(a_wrong_argument_is_its_failure)
{
	brood_process *p;
	brood_fail fail;
	brood_exit end;

	hear();
	p = begin(want_a_queue, BROOD_ARGS(1, "two"), &(brood_process_opts){ .name = "worker" });
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	ck_assert_str_eq(hear_out(),
			 "Process worker: argument 1: a queue is wanted, a text is there\n");
	ck_assert_int_eq(brood_exit_code(&end), 1);
	ck_assert_int_eq(brood_process_failure(p, &fail), 0);
	ck_assert_str_eq(fail.step, "args");
	ck_assert_int_eq(fail.error, EDOM);
	ck_assert_str_eq(fail.text, "argument 1: a queue is wanted, a text is there");
	brood_process_unref(p);
}
END_TEST

START_TEST(a_failure_is_said_and_kept)
{
	brood_process *p;
	brood_fail fail;

	hear();
	p = begin(fail_by_itself, BROOD_NO_ARGS, &(brood_process_opts){ .name = "worker" });
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_str_eq(hear_out(), "Process worker: disk has no room\n");
	ck_assert_int_eq(brood_process_failure(p, &fail), 0);
	ck_assert_str_eq(fail.step, "process");
	ck_assert_str_eq(fail.text, "disk has no room");
	ck_assert_int_eq(join(p), 1);
	p = begin(status, BROOD_ARGS(1), NULL);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_failure(p, &fail), -ENOENT);
	brood_process_unref(p);
}
END_TEST

START_TEST(what_cannot_start_leaves_nothing)
{
	brood_fail fail = { .step = NULL };
	brood_process_opts opts = { .fail = &fail, .fork_with_threads = true };
	brood_process *p = NULL;
	static int stray;

	ck_assert_int_eq(brood_process_start(NULL, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "target");
	ck_assert_int_eq(brood_process_start(status, BROOD_ARGS(BROOD_SHARED(&stray)), &opts, &p),
			 -EFAULT);
	ck_assert_str_eq(fail.step, "args");
	opts.method = (brood_start_method)77;
	ck_assert_int_eq(brood_process_start(status, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "method");
	opts.method = BROOD_START_FORK;
	opts.name = "";
	ck_assert_int_eq(brood_process_start(status, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "name");
	opts.name = NULL;
	opts.rlimits = &(brood_rlimit){ RLIMIT_NOFILE, 20, 10 };
	opts.n_rlimits = 1;
	ck_assert_int_eq(brood_process_start(status, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "rlimit");
	opts.rlimits = &(brood_rlimit){ 999, 1, 1 }; /* the child's kernel says so */
	ck_assert_int_eq(brood_process_start(status, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "rlimit");
	opts.n_rlimits = 0;
	opts.cpus = (const int[]){ -1 };
	opts.n_cpus = 1;
	ck_assert_int_eq(brood_process_start(status, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "cpus");
	opts.cpus = (const int[]){ 1 << 20 };
	ck_assert_int_eq(brood_process_start(status, BROOD_NO_ARGS, &opts, &p), -EINVAL);
	ck_assert_str_eq(fail.step, "cpus");
	ck_assert_ptr_eq(p, NULL);
	ck_assert_int_eq(brood_active_children(NULL, 0), 0);
}
END_TEST

/* With fewer and fewer descriptors: each that is missing is an error, and the last start works. */
START_TEST(without_descriptors_it_does_not_start)
{
	struct rlimit limit, less;
	int lowest = dup(0), r, errors = 0;
	rlim_t first = (rlim_t)lowest;
	brood_process *p;

	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (rlim_t room = 0;; room++) {
		less = limit;
		less.rlim_cur = first + room;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
		r = brood_process_start(
			status, BROOD_ARGS(5),
			&(brood_process_opts){ .nice = 1, .fork_with_threads = true }, &p);
		setrlimit(RLIMIT_NOFILE, &limit);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -EMFILE);
		errors++;
	}
	ck_assert_int_eq(join(p), 5);
	ck_assert_int_ge(errors, 5);
}
END_TEST

/* ---- waiting and signals */

START_TEST(join_waits_as_long_as_it_may)
{
	brood_process *p = begin(wait_for_go, BROOD_NO_ARGS, NULL);
	char line[200];
	brood_exit end;

	ck_assert_int_eq(brood_process_join(p, 0, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_join(p, -1, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_join(p, 20 * BROOD_MSEC, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_process_is_alive(p), 1);
	brood_process_describe(p, line, sizeof(line));
	ck_assert_ptr_ne(strstr(line, " started>"), NULL);
	raise_flag(&s->go);
	ck_assert_int_eq(brood_process_join(p, BROOD_FOREVER, &end), 0);
	ck_assert(brood_exit_ok(&end));
	ck_assert_int_eq(brood_process_join(p, 0, &end), 0);
	ck_assert_int_eq(brood_process_is_alive(p), 0);
	ck_assert_int_eq(join(p), 0);
}
END_TEST

static int end_late(const brood_args *args)
{
	await(&s->go);
	nap_ms((int)brood_args_int(args, 0));
	return 0;
}

START_TEST(signals_to_us_do_not_end_a_wait)
{
	brood_process *p = begin(end_late, BROOD_ARGS(50), NULL);
	brood_process *other = begin(end_late, BROOD_ARGS(150), NULL);
	int64_t began;

	storm();
	began = brood_now();
	ck_assert_int_eq(brood_process_join(p, 100 * BROOD_MSEC, NULL), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 100 * BROOD_MSEC);
	ck_assert_int_lt(brood_now() - began, 10 * BROOD_SEC);
	ck_assert_int_ge(calm(), 1);
	storm();
	raise_flag(&s->go);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_join(other, BROOD_FOREVER, NULL), 0);
	calm();
	ck_assert_int_eq(join(p), 0);
	ck_assert_int_eq(join(other), 0);
}
END_TEST

START_TEST(signals_end_it)
{
	static const int signals[] = { SIGTERM, SIGKILL, SIGINT };
	static int (*const send[])(brood_process *) = { brood_process_terminate, brood_process_kill,
							brood_process_interrupt };

	for (int i = 0; i < 3; i++) {
		brood_process *p = begin(sleep_long, BROOD_NO_ARGS,
					 &(brood_process_opts){ .daemon = BROOD_DAEMON_YES });
		char line[200];

		ck_assert_int_eq(send[i](p), 0);
		ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
		ck_assert_int_eq(send[i](p), 0); /* nobody is hit */
		brood_process_describe(p, line, sizeof(line));
		ck_assert_ptr_ne(strstr(line, i == 1 ? " stopped exitcode=-SIGKILL daemon>" :
					      i == 0 ? " stopped exitcode=-SIGTERM daemon>" :
						       " stopped exitcode=-SIGINT daemon>"),
				 NULL);
		ck_assert_int_eq(join(p), -signals[i]);
	}
}
END_TEST

START_TEST(stop_is_a_ladder)
{
	brood_process *p = begin(be_deaf, BROOD_NO_ARGS, NULL);
	brood_exit end;

	await(&s->here);
	ck_assert_int_eq(brood_process_signal(p, 999), -EINVAL);
	ck_assert_int_eq(brood_process_stop(p, 20 * BROOD_MSEC, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	brood_process_unref(p);
	ck_assert_int_eq(brood_active_children(NULL, 0), 0);
}
END_TEST

START_TEST(the_sentinel_tells_the_end)
{
	brood_process *p = begin(wait_for_go, BROOD_NO_ARGS, NULL);
	struct pollfd sentinel = { .fd = brood_process_sentinel(p), .events = POLLIN };

	ck_assert_int_ge(sentinel.fd, 0);
	ck_assert_int_eq(poll(&sentinel, 1, 20), 0);
	raise_flag(&s->go);
	ck_assert_int_eq(poll(&sentinel, 1, 20000), 1);
	ck_assert_int_eq(join(p), 0);
}
END_TEST

START_TEST(closed_is_closed)
{
	brood_process *p = begin(wait_for_go, BROOD_NO_ARGS, NULL);
	char line[100], wanted[100];
	brood_fail fail;

	ck_assert_int_eq(brood_process_close(p), -EBUSY);
	raise_flag(&s->go);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_close(p), 0);
	ck_assert_int_eq(brood_process_close(p), 0);
	ck_assert_int_eq(brood_process_join(p, 0, NULL), -EBADF);
	ck_assert_int_eq(brood_process_is_alive(p), -EBADF);
	ck_assert_int_eq(brood_process_terminate(p), -EBADF);
	ck_assert_int_eq(brood_process_stop(p, 0, NULL), -EBADF);
	ck_assert_int_eq(brood_process_sentinel(p), -EBADF);
	ck_assert_int_eq(brood_process_pid(p), -EBADF);
	ck_assert_int_eq(brood_process_name(p, line, sizeof(line)), -EBADF);
	ck_assert_int_eq(brood_process_set_name(p, "x"), -EBADF);
	ck_assert_int_eq(brood_process_is_daemon(p), -EBADF);
	ck_assert_int_eq(brood_process_failure(p, &fail), -EBADF);
	brood_process_describe(p, line, sizeof(line));
	snprintf(wanted, sizeof(wanted), "<Process name='Process-0:1' parent=%d closed>", getpid());
	ck_assert_str_eq(line, wanted);
	brood_process_unref(p);
}
END_TEST

static void *join_it(void *p)
{
	brood_exit end;

	must(brood_process_join(p, BROOD_FOREVER, &end) == 0);
	must(brood_exit_code(&end) == 7);
	must(brood_process_is_alive(p) == 0);
	return NULL;
}

static int seven(const brood_args *args)
{
	return wait_for_go(args) + 7;
}

START_TEST(many_threads_may_join)
{
	brood_process *p = begin(seven, BROOD_NO_ARGS, NULL);
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, join_it, p), 0);
	nap_ms(10);
	raise_flag(&s->go);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(join(p), 7);
}
END_TEST

START_TEST(a_host_that_ignores_sigchld_loses_the_status_only)
{
	brood_exit end;
	brood_process *p;

	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 20; i++) {
		p = begin(status, BROOD_ARGS(3), NULL);
		ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
		if (is_fork())
			ck_assert_int_eq(end.kind, BROOD_LOST);
		else /* it has left a word itself */
			ck_assert_int_eq(brood_exit_code(&end), 3);
		ck_assert_int_eq(brood_process_terminate(p), 0);
		brood_process_unref(p);
	}
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

static int use_parents_handle(void *self, const brood_args *args)
{
	brood_process *sibling = self;
	char line[200];

	(void)args;
	must(brood_process_join(sibling, 0, NULL) == -ECHILD);
	must(brood_process_is_alive(sibling) == -ECHILD);
	must(brood_process_terminate(sibling) == -ECHILD);
	must(brood_process_close(sibling) == -ECHILD);
	must(brood_process_pid(sibling) > 0);
	brood_process_describe(sibling, line, sizeof(line));
	must(strstr(line, " unknown>") != NULL);
	must(brood_active_children(NULL, 0) == 0);
	must(brood_process_join(brood_current_process(), 0, NULL) == -EDEADLK);
	must(brood_process_sentinel(brood_current_process()) == -EDEADLK);
	must(brood_process_stop(brood_current_process(), 0, NULL) == -EDEADLK);
	must(brood_process_is_alive(brood_current_process()) == 1);
	must(brood_process_terminate(brood_parent_process()) == -EPERM);
	must(brood_process_close(brood_parent_process()) == -EPERM);
	must(brood_process_is_alive(brood_parent_process()) == 1);
	must(brood_process_pid(brood_parent_process()) == getppid());
	return 0;
}

START_TEST(a_handle_is_its_owners)
{
	brood_process *p = begin(wait_for_go, BROOD_NO_ARGS, NULL), *other;

	ck_assert_int_eq(brood_process_start_run(use_parents_handle, p, BROOD_NO_ARGS,
						 &(brood_process_opts){ .fork_with_threads = true },
						 &other),
			 0);
	ck_assert_int_eq(join(other), 0);
	raise_flag(&s->go);
	ck_assert_int_eq(join(p), 0);
}
END_TEST

START_TEST(active_children_are_those_that_run)
{
	brood_process *p[3], *list[2];

	for (int i = 0; i < 3; i++)
		p[i] = begin(sleep_long, BROOD_NO_ARGS, NULL);
	ck_assert_int_eq(brood_active_children(list, 2), 3);
	ck_assert_ptr_eq(list[0], p[0]);
	ck_assert_ptr_eq(list[1], p[1]);
	brood_process_unref(list[0]);
	brood_process_unref(list[1]);
	brood_process_kill(p[1]);
	eventually(brood_active_children(NULL, 0) == 2);
	brood_process_kill(p[0]);
	brood_process_kill(p[2]);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(join(p[i]), -SIGKILL);
	ck_assert_int_eq(brood_active_children(list, 2), 0);
}
END_TEST

/* A handle that was let go: the process is still a child, and is reaped by who looks. */
START_TEST(who_is_let_go_is_reaped_all_the_same)
{
	brood_process *p = begin(wait_for_go, BROOD_NO_ARGS, NULL);

	brood_process_unref(p);
	ck_assert_int_eq(brood_active_children(NULL, 0), 1);
	raise_flag(&s->go);
	eventually(brood_active_children(NULL, 0) == 0);
}
END_TEST

/* ---- what the child is given */

static int look_around(const brood_args *args)
{
	char c;
	sigset_t mask;

	(void)args;
	must(read(0, &c, 1) == 0);
	must(getchar() == EOF);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	must(sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGUSR1) == 0);
	return 0;
}

START_TEST(stdin_is_empty_and_the_mask_the_callers)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &one, NULL);
	ck_assert_int_eq(code_of(look_around, BROOD_NO_ARGS), 0);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}
END_TEST

static int print_line(const brood_args *args)
{
	printf("%s\n", brood_args_str(args, 0));
	return 0;
}

START_TEST(what_is_printed_comes_once)
{
	int out = open_file("stdout", ""), before = dup(1);
	char text[200] = "";

	(void)fflush(stdout);
	dup2(out, 1);
	(void)setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	printf("parent\n");
	ck_assert_int_eq(code_of(print_line, BROOD_ARGS("child")), 0);
	printf("again\n");
	(void)fflush(stdout);
	dup2(before, 1);
	close(before);
	ck_assert_int_gt(pread(out, text, sizeof(text) - 1, 0), 0);
	close(out);
	ck_assert_str_eq(text, "parent\nchild\nagain\n");
}
END_TEST

static void *hold_stdout(void *unused)
{
	flockfile(stdout);
	raise_flag(&s->here);
	await(&s->go);
	funlockfile(stdout);
	return unused;
}

/* The start does not wait for a stream that another thread holds, and what is in it comes once. */
START_TEST(a_stream_in_other_hands_does_not_matter)
{
	int out = open_file("stdout", ""), before = dup(1);
	char text[200] = "";
	pthread_t thread;
	brood_process *p;

	(void)fflush(stdout);
	dup2(out, 1);
	(void)setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	printf("parent\n");
	ck_assert_int_eq(pthread_create(&thread, NULL, hold_stdout, NULL), 0);
	await(&s->here);
	p = begin(print_line, BROOD_ARGS("child"),
		  &(brood_process_opts){ .fork_with_threads = true });
	ck_assert_int_eq(join(p), 0);
	raise_flag(&s->go);
	pthread_join(thread, NULL);
	(void)fflush(stdout);
	dup2(before, 1);
	close(before);
	ck_assert_int_gt(pread(out, text, sizeof(text) - 1, 0), 0);
	close(out);
	ck_assert_str_eq(text, "child\nparent\n");
}
END_TEST

static void *wait_in_thread(void *unused)
{
	await(&s->go);
	return unused;
}

START_TEST(beside_threads_it_must_be_asked_for)
{
	brood_fail fail = { .step = NULL };
	brood_process *p = NULL;
	pthread_t thread;

	if (is_sanitized) /* its runtime may have a thread of its own */
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_thread, NULL), 0);
	ck_assert_int_eq(brood_process_start(status, BROOD_ARGS(4),
					     &(brood_process_opts){ .fail = &fail }, &p),
			 -ENOTSUP);
	ck_assert_str_eq(fail.step, "fork");
	ck_assert_ptr_ne(strstr(fail.text, "2 threads run"), NULL);
	ck_assert_ptr_ne(strstr(fail.text, ".fork_with_threads"), NULL);
	ck_assert_int_eq(brood_process_start(status, BROOD_ARGS(4),
					     &(brood_process_opts){ .fork_with_threads = true },
					     &p),
			 0);
	ck_assert_int_eq(join(p), 4);
	raise_flag(&s->go);
	pthread_join(thread, NULL);
	eventually(brood_process_start(status, BROOD_ARGS(4), NULL, &p) == 0);
	ck_assert_int_eq(join(p), 4);
}
END_TEST

/* ---- where no method is said */

static int by_a_server(const brood_args *args)
{
	(void)args;
	return getppid() != brood_process_pid(brood_parent_process());
}

static int be_forked(void *self, const brood_args *args)
{
	(void)args;
	return self == &s && getppid() == brood_process_pid(brood_parent_process()) ? 6 : 0;
}

START_TEST(by_default_it_is_a_server_that_reaches_the_function)
{
	brood_fail fail = { .step = NULL };
	brood_process *p = NULL;
	pthread_t thread;

	ck_assert_int_eq(brood_set_start_method(BROOD_START_DEFAULT, true), 0);
	ck_assert_int_eq(brood_get_start_method(), BROOD_START_DEFAULT);
	ck_assert_int_eq(code_of(by_a_server, BROOD_NO_ARGS), 1);
	if (is_sanitized) /* its runtime may have a thread of its own */
		return;
	/* An object's memory no server has. */
	ck_assert_int_eq(brood_process_start_run(be_forked, &s, BROOD_NO_ARGS, NULL, &p), 0);
	ck_assert_int_eq(join(p), 6);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_thread, NULL), 0);
	ck_assert_int_eq(code_of(by_a_server, BROOD_NO_ARGS), 1);
	ck_assert_int_eq(brood_process_start_run(be_forked, &s, BROOD_NO_ARGS,
						 &(brood_process_opts){ .fail = &fail }, &p),
			 -ENOTSUP);
	ck_assert_str_eq(fail.step, "method");
	ck_assert_ptr_ne(strstr(fail.text, "2 threads run"), NULL);
	ck_assert_ptr_ne(strstr(fail.text, "an object is memory"), NULL);
	raise_flag(&s->go);
	pthread_join(thread, NULL);
}
END_TEST

static const char *plain(const char *way, int status_wanted)
{
	static char text[600];
	int file = open_file("plain", "");
	brood_spawn_opts opts = { .out = { .kind = BROOD_STDIO_FD, .fd = file } };
	brood_exit end = run(BROOD_ARGV(CHILD("plain"), way), &opts);
	ssize_t n;

	ck_assert_int_eq(brood_exit_code(&end), status_wanted);
	n = pread(file, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	close(file);
	return text;
}

START_TEST(else_a_fork_or_nothing)
{
	if (is_sanitized)
		return;
	ck_assert_str_eq(plain("alone", 0), "fork\n");
	ck_assert_ptr_nonnull(strstr(plain("threads", 1), "2 threads run"));
	ck_assert_ptr_nonnull(strstr(plain("threads", 1), "brood_init() first"));
}
END_TEST

static int look_at_settings(const brood_args *args)
{
	struct rlimit files, memory;
	cpu_set_t cpus;

	must(getpriority(PRIO_PROCESS, 0) == (int)brood_args_int(args, 0));
	must(getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == 50 && files.rlim_max == 60);
	must(getrlimit(RLIMIT_AS, &memory) == 0 && memory.rlim_cur == (rlim_t)1 << 40);
	must(sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1);
	must(CPU_ISSET((size_t)brood_args_int(args, 1), &cpus));
	must(brood_cpu_count() == 1);
	return 0;
}

START_TEST(it_can_be_limited)
{
	int nice_of_us = getpriority(PRIO_PROCESS, 0), cpu = 0, wanted = nice_of_us + 3;
	cpu_set_t cpus;
	brood_process *p;

	if (is_sanitized) /* it wants more address space */
		return;
	ck_assert_int_eq(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	while (!CPU_ISSET((size_t)cpu, &cpus))
		cpu++;
	p = begin(look_at_settings, BROOD_ARGS(wanted > 19 ? 19 : wanted, cpu),
		  &(brood_process_opts){ .nice = 3,
					 .rlimits = &(brood_rlimit){ RLIMIT_NOFILE, 50, 60 },
					 .n_rlimits = 1,
					 .max_memory = (uint64_t)1 << 40,
					 .cpus = &cpu,
					 .n_cpus = 1 });
	ck_assert_int_eq(join(p), 0);
	ck_assert_int_ge(brood_cpu_count(), 1);
	ck_assert_int_le(brood_cpu_count(), CPU_COUNT(&cpus));
}
END_TEST

enum { MOST_MEMORY = 1 << 30 };

static bool can_map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(memory != MAP_FAILED || errno == ENOMEM);
	if (memory != MAP_FAILED)
		munmap(memory, size);
	return memory != MAP_FAILED;
}

static int take_memory(const brood_args *args)
{
	const bool is_limited = brood_args_bool(args, 0);
	void *volatile block;

	must(can_map(MOST_MEMORY / 8));
	must(can_map(MOST_MEMORY) == !is_limited);
	errno = 0;
	block = malloc(MOST_MEMORY);
	must(!is_limited || (block == NULL && errno == ENOMEM));
	free(block);
	return 0;
}

START_TEST(there_is_no_more_memory_than_its_most)
{
	if (is_sanitized) /* it wants more address space */
		return;
	ck_assert_int_eq(code_of(take_memory, BROOD_ARGS(false)), 0);
	ck_assert_int_eq(join(begin(take_memory, BROOD_ARGS(true),
				    &(brood_process_opts){ .max_memory = MOST_MEMORY })),
			 0);
}
END_TEST

/* ---- what the record says */

enum { TOUCHED = 32 << 20 };

static int64_t user_of_us(void)
{
	struct rusage usage;

	must(getrusage(RUSAGE_SELF, &usage) == 0);
	return usage.ru_utime.tv_sec * BROOD_SEC + usage.ru_utime.tv_usec * 1000;
}

static int be_busy(const brood_args *args)
{
	char *memory =
		mmap(NULL, TOUCHED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int64_t began = user_of_us();
	volatile unsigned count = 0;

	must(memory != MAP_FAILED);
	memset(memory, brood_args_bool(args, 0), TOUCHED);
	while (user_of_us() - began < 20 * BROOD_MSEC)
		for (int i = 0; i < 10000; i++)
			count = count + 1;
	s->number = user_of_us();
	return 0;
}

START_TEST(the_record_says_what_it_took)
{
	int64_t before = brood_now();
	brood_process *p = begin(be_busy, BROOD_ARGS(true), NULL);
	brood_exit end, again;

	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	ck_assert(brood_exit_ok(&end));
	ck_assert(!end.core);
	ck_assert_int_ge(end.user_ns, s->number);
	ck_assert_int_lt(end.user_ns, s->number + 10 * BROOD_SEC);
	ck_assert_int_ge(end.system_ns, 0);
	ck_assert_int_lt(end.system_ns, 10 * BROOD_SEC);
	ck_assert_int_ge(end.max_rss_bytes, TOUCHED);
	if (!is_sanitized)
		ck_assert_int_lt(end.max_rss_bytes, 8LL * TOUCHED);
	ck_assert_int_ge(end.started_ns, before);
	ck_assert_int_ge(end.ended_ns, end.started_ns + 20 * BROOD_MSEC);
	ck_assert_int_le(end.ended_ns, brood_now());
	ck_assert_int_eq(brood_process_join(p, 0, &again), 0);
	ck_assert_int_eq(again.user_ns, end.user_ns);
	ck_assert_int_eq(again.ended_ns, end.ended_ns);
	brood_process_unref(p);
}
END_TEST

static int dump_core(const brood_args *args)
{
	(void)args;
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* What the kernel says of a process that does the same. */
static bool dumps_core(const brood_rlimit *limit)
{
	const struct rlimit wanted = { limit->soft, limit->hard };
	pid_t pid = fork();
	int how;

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &wanted);
		dump_core(NULL);
	}
	ck_assert_int_eq(waitpid(pid, &how, 0), pid);
	ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
	return WCOREDUMP(how);
}

/* A limit of 0 does not matter where a program gets the cores, and without one they may lie anywhere. */
START_TEST(the_record_says_whether_there_is_a_core)
{
	char pattern[256] = "";
	FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
	brood_rlimit limit = { RLIMIT_CORE, 0, 0 };
	struct rlimit ours;
	brood_exit end;
	brood_process *p;

	if (file != NULL && fgets(pattern, sizeof(pattern), file) == NULL)
		pattern[0] = '\0';
	if (file != NULL)
		(void)fclose(file);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &ours), 0);
	ck_assert_int_eq(chdir(scratch), 0);
	for (int may = 0; may < 2; may++) {
		if (may == 1 &&
		    (is_sanitized || pattern[0] == '\0' || strpbrk(pattern, "|/") != NULL))
			break;
		if (may == 1)
			limit.soft = limit.hard = ours.rlim_max;
		p = begin(dump_core, BROOD_NO_ARGS,
			  &(brood_process_opts){ .rlimits = &limit, .n_rlimits = 1 });
		ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
		ck_assert_int_eq(brood_exit_code(&end), -SIGABRT);
		ck_assert_int_eq(end.core, dumps_core(&limit));
		if (may == 0 && pattern[0] != '|')
			ck_assert(!end.core);
		brood_process_unref(p);
	}
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* ---- ends */

static void note(void *data)
{
	s->order[s->count++] = (int)(intptr_t)data;
}

static int finalize_and(const brood_args *args)
{
	const char *how = brood_args_str(args, 0);

	must(brood_finalize(0, note, (void *)1) == 0);
	must(brood_finalize(10, note, (void *)2) == 0);
	must(brood_finalize(10, note, (void *)3) == 0);
	must(brood_finalize(-5, note, (void *)4) == 0);
	must(brood_finalize(0, NULL, NULL) == -EINVAL);
	if (strcmp(how, "exit") == 0)
		exit(8);
	if (strcmp(how, "leave") == 0)
		brood_process_leave(8);
	if (strcmp(how, "fail") == 0)
		brood_process_fail("no");
	return 8;
}

static void parents_exit(void)
{
	s->order[15] = 1;
}

START_TEST(finalizers_run_in_order_however_it_ends)
{
	static const char *const ways[] = { "return", "leave", "fail", "exit" };

#ifndef __GLIBC__
	if (_i == 3) /* see brood/process.h */
		return;
#endif
	ck_assert_int_eq(atexit(parents_exit), 0);
	hear();
	ck_assert_int_eq(code_of(finalize_and, BROOD_ARGS(ways[_i])), _i == 2 ? 1 : 8);
	hear_out();
	ck_assert_int_eq(s->count, 4);
	ck_assert_int_eq(s->order[0], 3);
	ck_assert_int_eq(s->order[1], 2);
	ck_assert_int_eq(s->order[2], 1);
	ck_assert_int_eq(s->order[3], 4);
	ck_assert_int_eq(s->order[15], 0);
}
END_TEST

static int count_nothing(const brood_args *args)
{
	(void)args;
	return s->count;
}

START_TEST(finalizers_are_of_who_registered_them)
{
	ck_assert_int_eq(brood_finalize(0, note, (void *)1), 0);
	ck_assert_int_eq(code_of(count_nothing, BROOD_NO_ARGS), 0);
	ck_assert_int_eq(s->count, 0);
	ck_assert_int_eq(brood_finish(), 0);
	ck_assert_int_eq(s->count, 1);
	ck_assert_int_eq(brood_finish(), 0);
	ck_assert_int_eq(s->count, 1);
}
END_TEST

static int start_another(const brood_args *args)
{
	if (brood_args_int(args, 0) == 0)
		return s->count;
	return join(begin(start_another, BROOD_ARGS(0), NULL));
}

START_TEST(hooks_run_in_each_forked_process)
{
	ck_assert_int_eq(brood_register_after_fork(NULL, NULL), -EINVAL);
	ck_assert_int_eq(brood_register_after_fork(note, (void *)1), 0);
	ck_assert_int_eq(brood_register_after_fork(note, (void *)2), 0);
	ck_assert_int_eq(code_of(start_another, BROOD_ARGS(1)), 4);
	ck_assert_int_eq(s->order[0], 1);
	ck_assert_int_eq(s->order[1], 2);
}
END_TEST

static void start_from_a_hook(void *unused)
{
	brood_process *p = unused;

	s->number = brood_process_start(status, BROOD_ARGS(0),
					&(brood_process_opts){ .fork_with_threads = true }, &p);
}

START_TEST(a_hook_starts_nothing)
{
	ck_assert_int_eq(brood_register_after_fork(start_from_a_hook, NULL), 0);
	ck_assert_int_eq(code_of(start_another, BROOD_ARGS(1)), 0);
	ck_assert_int_eq(s->number, -EPERM);
}
END_TEST

static int note_and_wait(const brood_args *args)
{
	while (__atomic_load_n(&s->count, __ATOMIC_ACQUIRE) == 0) /* the parent's first */
		nap_ms(1);
	nap_ms(50);
	note((void *)(intptr_t)brood_args_int(args, 0));
	return 0;
}

/* Finalizers, daemons end, the others are waited for, the remaining finalizers. */
static int end_in_order(const brood_args *args)
{
	(void)args;
	brood_finalize(1, note, (void *)1);
	brood_finalize(-1, note, (void *)3);
	brood_process_unref(begin(sleep_long, BROOD_NO_ARGS,
				  &(brood_process_opts){ .daemon = BROOD_DAEMON_YES }));
	brood_process_unref(begin(note_and_wait, BROOD_ARGS(2), NULL));
	await(&s->here);
	return 0;
}

START_TEST(a_process_ends_its_children_first)
{
	ck_assert_int_eq(code_of(end_in_order, BROOD_NO_ARGS), 0);
	ck_assert_int_eq(s->count, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(s->order[i], i + 1);
}
END_TEST

static int is_daemon(const brood_args *args)
{
	(void)args;
	return brood_process_is_daemon(brood_current_process());
}

static int start_inheriting(const brood_args *args)
{
	(void)args;
	return join(begin(is_daemon, BROOD_NO_ARGS, NULL)) * 2 +
	       join(begin(is_daemon, BROOD_NO_ARGS,
			  &(brood_process_opts){ .daemon = BROOD_DAEMON_NO }));
}

START_TEST(daemons_have_daemons)
{
	brood_process *p = begin(start_inheriting, BROOD_NO_ARGS,
				 &(brood_process_opts){ .daemon = BROOD_DAEMON_YES });

	ck_assert_int_eq(brood_process_is_daemon(p), 1);
	ck_assert_int_eq(join(p), 2);
	ck_assert_int_eq(code_of(is_daemon, BROOD_NO_ARGS), 0);
}
END_TEST

/* ---- the lifeline */

/* Our server, if there is one, and those of who was killed. Orphans are ours: each test's process is a subreaper. */
static bool server_ends_too(void)
{
	brood_finish();
	return bury_all();
}

static int have_a_child(const brood_args *args)
{
	brood_process *p = begin(sleep_long, BROOD_NO_ARGS,
				 &(brood_process_opts){ .outlive = brood_args_bool(args, 0) });

	s->grandchild = brood_process_pid(p);
	await(&s->here);
	raise_flag(&s->go);
	while (pause() < 0)
		continue;
	return 0;
}

START_TEST(it_dies_with_its_parent)
{
	brood_process *p = begin(have_a_child, BROOD_ARGS(false), NULL);
	int how;

	await(&s->go);
	ck_assert_int_eq(brood_process_kill(p), 0);
	ck_assert_int_eq(join(p), -SIGKILL);
	eventually(waitpid(s->grandchild, &how, WNOHANG) == s->grandchild);
	ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
	ck_assert(server_ends_too());
}
END_TEST

START_TEST(unless_it_is_to_outlive_it)
{
	brood_process *p = begin(have_a_child, BROOD_ARGS(true), NULL);

	await(&s->go);
	ck_assert_int_eq(brood_process_kill(p), 0);
	ck_assert_int_eq(join(p), -SIGKILL);
	nap_ms(100);
	ck_assert_int_eq(waitpid(s->grandchild, NULL, WNOHANG), 0);
	finish_off(s->grandchild);
	ck_assert(server_ends_too());
}
END_TEST

/* What the host forks by itself has copies of all descriptors, and keeps nobody alive by them. */
static int have_a_child_and_a_fork(const brood_args *args)
{
	pid_t pid;

	brood_process_unref(begin(sleep_long, BROOD_NO_ARGS, NULL));
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	s->pid = pid;
	return have_a_child(args);
}

START_TEST(forks_of_the_host_keep_nobody_alive)
{
	brood_process *p = begin(have_a_child_and_a_fork, BROOD_ARGS(false), NULL);
	int how;

	await(&s->go);
	ck_assert_int_eq(brood_process_kill(p), 0);
	ck_assert_int_eq(join(p), -SIGKILL);
	eventually(waitpid(s->grandchild, &how, WNOHANG) == s->grandchild);
	finish_off(s->pid);
	ck_assert(server_ends_too());
}
END_TEST

/* A host may have closed the standard descriptors: what is ours then gets their numbers, and a child its stdin. */
static int have_a_child_without_stdio(const brood_args *args)
{
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	return have_a_child(args);
}

static int check_stdin(const brood_args *args)
{
	char c;

	must(read(0, &c, 1) == 0);
	must(fcntl(0, F_GETFD) == 0);
	must(brood_process_is_alive(brood_parent_process()) == 1);
	return (int)brood_args_int(args, 0);
}

static int start_without_stdio(const brood_args *args)
{
	(void)args;
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	return join(begin(check_stdin, BROOD_ARGS(6), &(brood_process_opts){ .nice = 1 }));
}

START_TEST(without_stdio_it_is_tied_all_the_same)
{
	brood_process *p = begin(have_a_child_without_stdio, BROOD_ARGS(false), NULL);
	int how;

	await(&s->go);
	ck_assert_int_eq(brood_process_kill(p), 0);
	ck_assert_int_eq(join(p), -SIGKILL);
	eventually(waitpid(s->grandchild, &how, WNOHANG) == s->grandchild);
	ck_assert_int_eq(code_of(start_without_stdio, BROOD_NO_ARGS), 6);
	ck_assert(server_ends_too());
}
END_TEST

static void *start_in_thread(void *ret_process)
{
	*(brood_process **)ret_process = begin(wait_for_go, BROOD_NO_ARGS,
					       &(brood_process_opts){ .fork_with_threads = true });
	return NULL;
}

/* It is tied to the process, not to the thread. */
START_TEST(the_thread_that_started_it_may_end)
{
	brood_process *p = NULL;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, start_in_thread, &p), 0);
	pthread_join(thread, NULL);
	nap_ms(100);
	ck_assert_int_eq(brood_process_is_alive(p), 1);
	raise_flag(&s->go);
	ck_assert_int_eq(join(p), 0);
}
END_TEST

/* Siblings neither keep it alive nor die when one ends. */
START_TEST(siblings_do_not_matter)
{
	brood_process *p[20];

	for (int i = 0; i < 20; i++)
		p[i] = begin(sleep_long, BROOD_NO_ARGS, NULL);
	for (int i = 0; i < 20; i += 2) {
		brood_process_kill(p[i]);
		ck_assert_int_eq(join(p[i]), -SIGKILL);
	}
	nap_ms(50);
	for (int i = 1; i < 20; i += 2) {
		ck_assert_int_eq(brood_process_is_alive(p[i]), 1);
		brood_process_terminate(p[i]);
		ck_assert_int_eq(join(p[i]), -SIGTERM);
	}
}
END_TEST

/* ---- crashes */

static volatile int *volatile nowhere = (int *)16;

__attribute__((noinline)) static int touch_nothing(void)
{
	*nowhere = 1;
	return *nowhere;
}

static int crash_in(const brood_args *args)
{
	const char *how = brood_args_str(args, 0);

	raise_flag(&s->here);
	if (strcmp(how, "touch") == 0)
		return touch_nothing() + 1;
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "handle") == 0)
		signal(SIGSEGV, _exit);
	if (strcmp(how, "handle") == 0)
		return touch_nothing();
	return sleep_long(args);
}

START_TEST(a_crash_leaves_its_place)
{
	brood_process *p = begin(crash_in, BROOD_ARGS("touch"), NULL);
	char text[8192], small[8];
	brood_fail fail;
	brood_exit end;

	if (is_sanitized) { /* its runtime handles the signal */
		join(p);
		return;
	}
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGSEGV);
	ck_assert_int_eq(brood_process_failure(p, &fail), 0);
	ck_assert_str_eq(fail.step, "crash");
	ck_assert_str_eq(fail.text, "SIGSEGV at 0x10");
#ifdef __GLIBC__
	ck_assert_int_gt(brood_process_backtrace(p, text, sizeof(text)), 0);
	ck_assert_msg(strncmp(text, "#0 touch_nothing+0x", 19) == 0, "%s", text);
	ck_assert_msg(strstr(text, "#1 crash_in+0x") != NULL, "%s", text);
	ck_assert_int_eq(brood_process_backtrace(p, small, sizeof(small)), (int)strlen(text));
	ck_assert_str_eq(small, "#0 touc");
#endif
	brood_process_unref(p);
}
END_TEST

START_TEST(so_do_abort_and_a_signal_that_was_sent)
{
	brood_process *p = begin(crash_in, BROOD_ARGS("abort"), NULL);
	char text[8192];
	brood_fail fail;

	if (!is_sanitized) {
		ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
		ck_assert_int_eq(brood_process_failure(p, &fail), 0);
		ck_assert_str_eq(fail.text, "SIGABRT");
		ck_assert_int_gt(brood_process_backtrace(p, text, sizeof(text)), 0);
	}
	ck_assert_int_eq(join(p), -SIGABRT);
	s->here = 0;
	p = begin(crash_in, BROOD_ARGS("sleep"), NULL);
	await(&s->here);
	ck_assert_int_eq(brood_process_signal(p, SIGTRAP), 0);
	ck_assert_int_eq(join(p), -SIGTRAP);
}
END_TEST

START_TEST(what_the_function_handles_is_its_own)
{
	brood_process *p = begin(crash_in, BROOD_ARGS("handle"), NULL);
	brood_fail fail;
	char text[80];

	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_failure(p, &fail), -ENOENT);
	ck_assert_int_eq(brood_process_backtrace(p, text, sizeof(text)), -ENOENT);
	ck_assert_int_eq(join(p), SIGSEGV);
}
END_TEST

/* ---- logging */

static int log_a_line(const brood_args *args)
{
	brood_log(BROOD_LOG_WARNING, "%s", brood_args_str(args, 0));
	brood_log(BROOD_LOG_DEBUG, "not seen");
	brood_log(35, "odd");
	return 2;
}

START_TEST(lines_say_level_and_process)
{
	hear();
	ck_assert_int_eq(brood_log(BROOD_LOG_CRITICAL, "nobody asked"), 0);
	ck_assert_int_eq(brood_log_to_stderr(BROOD_LOG_INFO), 0);
	ck_assert_int_eq(
		join(begin(log_a_line, BROOD_ARGS("low"), &(brood_process_opts){ .name = "w" })),
		2);
	ck_assert_int_eq(brood_log_to_stderr(0), BROOD_LOG_INFO);
	ck_assert_str_eq(hear_out(), "[INFO/w] child process calling its function\n"
				     "[WARNING/w] low\n"
				     "[Level 35/w] odd\n"
				     "[INFO/w] process exiting with exitcode 2\n");
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	char longest[3000];
	const char *text;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	hear();
	brood_log_to_stderr(BROOD_LOG_INFO);
	ck_assert_int_eq(brood_log(BROOD_LOG_INFO, "%s", longest), 0);
	brood_log_to_stderr(0);
	text = hear_out();
	ck_assert_uint_eq(strlen(text), 1023);
	ck_assert_int_eq(text[1022], '\n');
}
END_TEST

/* ---- what is different in a program of its own */

START_TEST(an_object_is_for_a_fork)
{
	brood_fail fail = { .step = NULL };
	brood_process *p;

	ck_assert_int_eq(brood_process_start_run(run_account, &fail, BROOD_NO_ARGS,
						 &(brood_process_opts){ .fail = &fail }, &p),
			 -ENOTSUP);
	ck_assert_str_eq(fail.step, "method");
}
END_TEST

enum { MANY = 200, LARGE = 1 << 20 };

static int count_all(const brood_args *args)
{
	const char *bytes;
	size_t size;
	int good = 0;

	for (size_t i = 0; i < MANY; i++)
		good += fcntl(brood_args_fd(args, i), F_GETFD) == FD_CLOEXEC;
	bytes = brood_args_bytes(args, MANY, &size);
	return good == MANY && size == LARGE && bytes[LARGE - 1] == 'z' ? 7 : 1;
}

START_TEST(descriptors_and_bytes_may_be_many)
{
	static char large[LARGE];
	brood_object args[MANY + 2];
	int fds[MANY];

	large[LARGE - 1] = 'z';
	for (int i = 0; i < MANY; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		args[i] = BROOD_FD(fds[i]);
	}
	args[MANY] = BROOD_BYTES(large, LARGE);
	args[MANY + 1] = BROOD_ARGS_END;
	ck_assert_int_eq(code_of(count_all, args), 7);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
}
END_TEST

/* A program that was ready, and whose main() then takes another way. */
START_TEST(who_never_asks_for_its_function_is_a_failure)
{
	brood_fail fail = { .step = NULL };
	brood_process *p;

	setenv("BROOD_TEST_STRAY", "1", 1);
	ck_assert_int_eq(brood_process_start(status, BROOD_ARGS(1),
					     &(brood_process_opts){ .fail = &fail }, &p),
			 -EPROTO);
	unsetenv("BROOD_TEST_STRAY");
	ck_assert_str_eq(fail.step, "channel");
	ck_assert_ptr_nonnull(strstr(fail.text, "brood_init()"));
	ck_assert_int_eq(s->number, -EPERM);
}
END_TEST

/* What such a main() is refused. */
static int stray(void)
{
	brood_process *p;

	s->number = brood_process_start(status, BROOD_ARGS(1), NULL, &p);
	return 3;
}

/* The descriptors that are open, as bits. */
static int list_open(const brood_args *args)
{
	int sockets = 0;

	for (int fd = 0; fd < 64; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			continue;
		s->count++;
		sockets += S_ISSOCK(st.st_mode);
		must(fd < 3 || fcntl(fd, F_GETFD) == FD_CLOEXEC);
	}
	must(getenv("BROOD_START") == NULL);
	return sockets == 0 && brood_args_count(args) == 1 ? 0 : 1;
}

START_TEST(it_inherits_what_is_asked_for)
{
	int open_one = open("/dev/null", O_RDONLY), ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(code_of(list_open, BROOD_ARGS(BROOD_FD(ends[0]))), 0);
	/* The streams, the parent, the lifeline, and the argument. */
	if (!is_sanitized)
		ck_assert_int_eq(s->count, 6);
	close(open_one);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(beside_threads_it_is_no_matter)
{
	pthread_t thread;
	brood_process *p;
	brood_exit end;

	ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_thread, NULL), 0);
	ck_assert_int_eq(brood_process_start(status, BROOD_ARGS(4), NULL, &p), 0);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 4);
	brood_process_unref(p);
	raise_flag(&s->go);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(what_cannot_be_set_fails_the_start)
{
	const brood_rlimit none = { 12345, 0, 0 };
	brood_fail fail = { .step = NULL };
	const int cpu = 1 << 19;
	brood_process *p;

	ck_assert_int_eq(
		brood_process_start(
			status, BROOD_ARGS(4),
			&(brood_process_opts){ .rlimits = &none, .n_rlimits = 1, .fail = &fail },
			&p),
		-EINVAL);
	ck_assert_str_eq(fail.step, "rlimit");
	ck_assert_int_eq(brood_process_start(
				 status, BROOD_ARGS(4),
				 &(brood_process_opts){ .cpus = &cpu, .n_cpus = 1, .fail = &fail },
				 &p),
			 -EINVAL);
	ck_assert_str_eq(fail.step, "cpus");
}
END_TEST

/* ---- the server */

static int wait_below(const brood_args *args)
{
	s->pid = getppid();
	raise_flag(&s->here);
	await(&s->go);
	return (int)brood_args_int(args, 0);
}

static pid_t server_of(brood_process *p)
{
	await(&s->here);
	ck_assert_int_ne(s->pid, getpid());
	ck_assert_int_ne(s->pid, brood_process_pid(p));
	return s->pid;
}

START_TEST(siblings_leave_no_descriptors)
{
	brood_process *p[5];

	for (int i = 0; i < 5; i++)
		p[i] = begin(wait_below, BROOD_ARGS(i), NULL);
	ck_assert_int_eq(code_of(list_open, BROOD_ARGS(1)), 0);
	if (!is_sanitized)
		ck_assert_int_eq(s->count, 5);
	raise_flag(&s->go);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(join(p[i]), i);
}
END_TEST

/* Who was there before goes on, and how it ends is known as far as it can say so itself. */
START_TEST(a_killed_server_is_started_again)
{
	brood_process *orderly = begin(wait_below, BROOD_ARGS(9), NULL), *other, *next;
	pid_t server = server_of(orderly);
	brood_exit end;

	other = begin(wait_for_go, BROOD_NO_ARGS, NULL);
	ck_assert_int_eq(kill(server, SIGKILL), 0);
	await_end_of(server);
	s->here = 0;
	next = begin(wait_below, BROOD_ARGS(4), NULL);
	ck_assert_int_ne(server_of(next), server);
	ck_assert_int_eq(brood_process_is_alive(orderly), 1);
	ck_assert_int_eq(brood_process_kill(other), 0);
	ck_assert_int_eq(brood_process_join(other, PATIENCE_NS, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_LOST);
	brood_process_unref(other);
	raise_flag(&s->go);
	ck_assert_int_eq(join(orderly), 9);
	ck_assert_int_eq(join(next), 4);
	ck_assert(server_ends_too());
}
END_TEST

/* The server's children but `known`; of those there is the spare. */
static int kill_others(pid_t server, pid_t known)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;
	char path[64], line[512];
	int n = 0;

	ck_assert_ptr_nonnull(all);
	while ((entry = readdir(all)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent = 0;
		FILE *stat;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		stat = pid > 0 && pid != known ? fopen(path, "re") : NULL;
		if (stat == NULL)
			continue;
		if (fgets(line, sizeof(line), stat) != NULL && strrchr(line, ')') != NULL)
			parent = (pid_t)strtol(strrchr(line, ')') + 4, NULL, 10);
		(void)fclose(stat);
		if (parent != server)
			continue;
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		await_end_of(pid);
		n++;
	}
	closedir(all);
	return n;
}

START_TEST(a_killed_spare_is_made_again)
{
	brood_process *p = begin(wait_below, BROOD_ARGS(3), NULL);
	pid_t server = server_of(p);
	int64_t deadline = brood_now() + PATIENCE_NS;

	while (kill_others(server, brood_process_pid(p)) == 0 && brood_now() < deadline)
		nap_ms(1);
	ck_assert_int_eq(code_of(status, BROOD_ARGS(7)), 7);
	raise_flag(&s->go);
	ck_assert_int_eq(join(p), 3);
}
END_TEST

static int as_whom(const brood_args *args)
{
	(void)args;
	return getuid() == NOBODY && geteuid() == NOBODY ? 3 : 4;
}

static void give_up_rights(void)
{
	brood_process *p = begin(wait_for_go, BROOD_NO_ARGS, NULL), *other;
	brood_fail fail = { .step = NULL };

	must(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	must(brood_process_start(as_whom, BROOD_NO_ARGS, &(brood_process_opts){ .fail = &fail },
				 &other) == -EPERM);
	must(strcmp(fail.step, "server") == 0 && strstr(fail.text, "brood_finish()") != NULL);
	raise_flag(&s->go);
	must(join(p) == 0);
	unsetenv("BROOD_TEST_SHARED"); /* which is not for nobody */
	must(code_of(as_whom, BROOD_NO_ARGS) == 3);
	brood_finish();
}

/* A server that has more rights than its owner by now starts nothing. */
START_TEST(a_server_has_its_owners_user)
{
	if (geteuid() != 0 || !nobody_can_run(CHILD("leave"))) {
		fprintf(stderr, "skipped: not root, or others may not run this test\n");
		return;
	}
	in_fork(give_up_rights);
}
END_TEST

static int preloaded, preloaded_in;

static void preload(void)
{
	preloaded++;
	preloaded_in = getpid();
}

static int tell_preloaded(const brood_args *args)
{
	(void)args;
	return preloaded_in == getppid() ? preloaded : 100;
}

START_TEST(the_server_calls_a_function_first)
{
	ck_assert_int_eq(brood_set_forkserver_preload((void (*)(void))(uintptr_t)1), -EINVAL);
	ck_assert_int_eq(brood_set_forkserver_preload(preload), 0);
	ck_assert_int_eq(code_of(tell_preloaded, BROOD_NO_ARGS), 1);
	ck_assert_int_eq(code_of(tell_preloaded, BROOD_NO_ARGS), 1);
	ck_assert_int_eq(brood_set_forkserver_preload(NULL), -EALREADY);
	brood_finish();
	ck_assert_int_eq(brood_set_forkserver_preload(NULL), 0);
	ck_assert_int_eq(code_of(tell_preloaded, BROOD_NO_ARGS), 100);
}
END_TEST

/* More than it may have open by the limit of the time when it was started. */
START_TEST(a_server_has_room_for_many)
{
	struct rlimit limit, few;
	brood_process *p[100];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	few.rlim_cur = 64;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(code_of(status, BROOD_ARGS(4)), 4);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 100; i++)
		p[i] = begin(wait_below, BROOD_ARGS(i), NULL);
	raise_flag(&s->go);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(join(p[i]), i);
}
END_TEST

static void kill_servers(void *chance)
{
	srand((unsigned)(uintptr_t)chance);
	while (!s->go) {
		nap_ms(rand() % 4);
		if (s->pid > 1)
			kill(s->pid, SIGKILL);
		s->pid = 0;
	}
}

static int tell_server(const brood_args *args)
{
	pid_t above = getppid();

	/* That of an orphan is the test. */
	if (above != brood_process_pid(brood_parent_process()))
		s->pid = above;
	return (int)brood_args_int(args, 0);
}

START_TEST(servers_may_be_killed_at_any_moment)
{
	pid_t killer = peer(kill_servers, (void *)(uintptr_t)brood_now());
	brood_fail fail;
	brood_process *p;
	brood_exit end;
	int good = 0, r;

	for (int i = 0; i < 100; i++) {
		r = brood_process_start(tell_server, BROOD_ARGS(5),
					&(brood_process_opts){ .fail = &fail }, &p);
		if (r < 0) {
			ck_assert_int_eq(r, -EPROTO);
			continue;
		}
		ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
		ck_assert(end.kind == BROOD_LOST || brood_exit_code(&end) == 5);
		good += brood_exit_code(&end) == 5;
		brood_process_unref(p);
	}
	raise_flag(&s->go);
	ck_finishes(killer);
	ck_assert_int_gt(good, 0);
	ck_assert(server_ends_too());
}
END_TEST

START_TEST(all_can_be_listed)
{
	static const char *const methods[] = { "fork", "spawn", "forkserver" };
	brood_process *running =
		begin(sleep_long, BROOD_NO_ARGS, &(brood_process_opts){ .name = "sleeper" });
	brood_process *ended = begin(status, BROOD_ARGS(3), NULL);
	struct pollfd event = { .fd = brood_process_sentinel(ended), .events = POLLIN };
	int fd = open_file("dump", "");
	char text[1024], wanted[1024];
	ssize_t n;

	await(&s->here);
	ck_assert_int_eq(poll(&event, 1, 20000), 1);
	ck_assert_int_eq(brood_process_dump(fd), 2);
	n = pread(fd, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	snprintf(
		wanted, sizeof(wanted),
		"<Process name='Process-0' pid=%d parent=%d started> depth=1 path=0\n"
		"<Process name='sleeper' pid=%d parent=%d started> method=%s depth=2 path=0:1\n"
		"<Process name='Process-0:2' pid=%d parent=%d stopped exitcode=3> method=%s depth=2 path=0:2\n",
		getpid(), getppid(), brood_process_pid(running), getpid(),
		methods[brood_get_start_method() - BROOD_START_FORK], brood_process_pid(ended),
		getpid(), methods[brood_get_start_method() - BROOD_START_FORK]);
	ck_assert_str_eq(text, wanted);
	close(fd);
	ck_assert_int_eq(brood_process_dump(fd), -EBADF);
	brood_process_kill(running);
	join(running);
	brood_process_unref(ended);
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(brood_process_dump(fd), 0);
	close(fd);
}
END_TEST

/* ---- groups */

static int say_group(const brood_args *args)
{
	s->pid = getpid();
	s->parent = getpgrp();
	s->grandchild = getsid(0);
	if (brood_args_count(args) > 0)
		return sleep_long(args);
	return 0;
}

START_TEST(it_may_have_a_group_of_its_own)
{
	brood_process *leader;
	brood_fail fail = { .step = NULL };
	brood_process_opts opts = { .fail = &fail, .fork_with_threads = true };

	ck_assert_int_eq(code_of(say_group, BROOD_NO_ARGS), 0);
	ck_assert_int_eq(s->parent, getpgrp());
	ck_assert_int_eq(s->grandchild, getsid(0));
	opts.group = BROOD_GROUP_SESSION;
	ck_assert_int_eq(join(begin(say_group, BROOD_NO_ARGS, &opts)), 0);
	ck_assert_int_eq(s->parent, s->pid);
	ck_assert_int_eq(s->grandchild, s->pid);
	opts.group = BROOD_GROUP_NEW;
	leader = begin(say_group, BROOD_ARGS(1), &opts);
	await(&s->here);
	ck_assert_int_eq(s->parent, s->pid);
	ck_assert_int_eq(s->grandchild, getsid(0));
	/* Who joins it is not its own: the end of that is its alone. */
	opts.group = BROOD_GROUP_JOIN;
	opts.join_group = brood_process_pid(leader);
	ck_assert_int_eq(join(begin(say_group, BROOD_NO_ARGS, &opts)), 0);
	ck_assert_int_eq(s->parent, brood_process_pid(leader));
	ck_assert_int_eq(brood_process_is_alive(leader), 1);
	ck_assert_int_eq(brood_process_stop(leader, 0, NULL), 0);
	brood_process_unref(leader);
	ck_assert_int_eq(brood_process_start(say_group, BROOD_NO_ARGS, &opts, &leader), -EPERM);
	ck_assert_str_eq(fail.step, "setpgid");
	opts.join_group = 0;
	ck_assert_int_eq(brood_process_start(say_group, BROOD_NO_ARGS, &opts, &leader), -EINVAL);
	ck_assert_str_eq(fail.step, "setpgid");
	opts.group = (brood_group)4;
	ck_assert_int_eq(brood_process_start(say_group, BROOD_NO_ARGS, &opts, &leader), -EINVAL);
	ck_assert_str_eq(fail.step, "setpgid");
}
END_TEST

/* A fork, a program, and a process of brood's. */
static int have_kin(const brood_args *args)
{
	brood_child *program;
	pid_t pid = fork();

	if (pid == 0) {
		s->grandchild = getpid();
		for (;;)
			pause();
	}
	must(brood_spawn(BROOD_ARGV("sleep", "1000"), NULL, &program) == 0);
	begin(sleep_long, BROOD_NO_ARGS, NULL);
	await(&s->here);
	while (s->grandchild == 0)
		nap_ms(1);
	raise_flag(&s->go);
	if (brood_args_int(args, 0) == 4)
		_exit(3);
	for (;;)
		pause();
	return 0;
}

START_TEST(what_ends_it_ends_its_group)
{
	brood_process_opts opts = { .group = _i % 2 == 0 ? BROOD_GROUP_NEW : BROOD_GROUP_SESSION };
	brood_process *p = begin(have_kin, BROOD_ARGS(_i), &opts);
	brood_exit end;

	await(&s->go);
	if (_i == 0)
		ck_assert_int_eq(brood_process_terminate(p), 0);
	else if (_i == 1)
		ck_assert_int_eq(brood_process_kill(p), 0);
	else if (_i == 2)
		ck_assert_int_eq(brood_process_signal(p, SIGKILL), 0); /* to itself */
	else if (_i == 3)
		ck_assert_int_eq(brood_process_stop(p, PATIENCE_NS, NULL), 0);
	ck_assert_int_eq(brood_process_join(p, PATIENCE_NS, &end), 0);
	ck_assert_int_eq(brood_process_kill(p), 0);
	brood_process_unref(p);
	ck_assert(server_ends_too());
}
END_TEST

static void own_a_group(void *how)
{
	begin(have_kin, BROOD_ARGS(*(int *)how), &(brood_process_opts){ .group = BROOD_GROUP_NEW });
	for (;;)
		pause();
}

/* Also when its leader has ended before, and the parent has not looked. */
START_TEST(a_group_dies_with_the_parent)
{
	int how = _i == 0 ? 0 : 4;
	pid_t owner = peer(own_a_group, &how);

	await(&s->go);
	if (how == 4)
		nap_ms(50);
	finish_off(owner);
	ck_assert(server_ends_too());
}
END_TEST

static void add_tests(Suite *suite, void (*make)(void))
{
	TCase *start_case = leak_case(suite, "start", 60), *wait = leak_case(suite, "wait", 60);
	TCase *given = leak_case(suite, "given", 60), *end = leak_case(suite, "end", 60);
	TCase *line = leak_case(suite, "lifeline", 60), *log = leak_case(suite, "log", 60);
	TCase *crash = leak_case(suite, "crash", 60), *group = leak_case(suite, "group", 60);
	TCase *const all[] = { start_case, wait, given, end, line, crash, log, group };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		tcase_add_checked_fixture(all[i], make, unmake);
	tcase_add_test(start_case, it_runs_and_ends_with_what_it_returns);
	tcase_add_test(start_case, it_has_a_pid_a_name_and_a_parent);
	tcase_add_test(start_case, names_can_be_given_and_changed);
	tcase_add_test(start_case, every_kind_of_argument_arrives);
	tcase_add_test(start_case, what_is_shared_is_the_same_in_both);
	tcase_add_test(start_case, relatives_have_one_key);
	tcase_add_test(start_case, the_key_is_nowhere_else);
	tcase_add_test(start_case, relatives_know_each_other_by_it);
	tcase_add_test(start_case, a_wrong_argument_is_its_failure);
	tcase_add_test(start_case, a_failure_is_said_and_kept);
	tcase_add_test(start_case, what_cannot_start_leaves_nothing);
	tcase_add_test(start_case, without_descriptors_it_does_not_start);
	tcase_add_test(wait, join_waits_as_long_as_it_may);
	tcase_add_test(wait, signals_to_us_do_not_end_a_wait);
	tcase_add_test(wait, signals_end_it);
	tcase_add_test(wait, stop_is_a_ladder);
	tcase_add_test(wait, the_sentinel_tells_the_end);
	tcase_add_test(wait, closed_is_closed);
	tcase_add_test(wait, many_threads_may_join);
	tcase_add_test(wait, a_host_that_ignores_sigchld_loses_the_status_only);
	tcase_add_test(wait, active_children_are_those_that_run);
	tcase_add_test(wait, who_is_let_go_is_reaped_all_the_same);
	tcase_add_test(given, stdin_is_empty_and_the_mask_the_callers);
	tcase_add_test(given, what_is_printed_comes_once);
	tcase_add_test(given, a_stream_in_other_hands_does_not_matter);
	tcase_add_test(given, it_can_be_limited);
	tcase_add_test(given, there_is_no_more_memory_than_its_most);
	tcase_add_test(end, the_record_says_what_it_took);
	tcase_add_test(end, the_record_says_whether_there_is_a_core);
	tcase_add_loop_test(end, finalizers_run_in_order_however_it_ends, 0, 4);
	tcase_add_test(end, finalizers_are_of_who_registered_them);
	tcase_add_test(end, a_process_ends_its_children_first);
	tcase_add_test(end, daemons_have_daemons);
	tcase_add_test(line, it_dies_with_its_parent);
	tcase_add_test(line, unless_it_is_to_outlive_it);
	tcase_add_test(line, forks_of_the_host_keep_nobody_alive);
	tcase_add_test(line, without_stdio_it_is_tied_all_the_same);
	tcase_add_test(line, the_thread_that_started_it_may_end);
	tcase_add_test(line, siblings_do_not_matter);
	tcase_add_test(crash, a_crash_leaves_its_place);
	tcase_add_test(crash, so_do_abort_and_a_signal_that_was_sent);
	tcase_add_test(crash, what_the_function_handles_is_its_own);
	tcase_add_test(log, lines_say_level_and_process);
	tcase_add_test(log, a_long_line_is_cut);
	tcase_add_test(wait, all_can_be_listed);
	tcase_add_test(group, it_may_have_a_group_of_its_own);
	tcase_add_loop_test(group, what_ends_it_ends_its_group, 0, 5);
	tcase_add_loop_test(group, a_group_dies_with_the_parent, 0, 2);
	if (make == make_for_fork) {
		tcase_add_test(start_case, an_object_can_run);
		tcase_add_test(wait, a_handle_is_its_owners);
		tcase_add_test(given, beside_threads_it_must_be_asked_for);
		tcase_add_test(end, hooks_run_in_each_forked_process);
		tcase_add_test(end, a_hook_starts_nothing);
	} else {
		tcase_add_test(start_case, an_object_is_for_a_fork);
		tcase_add_test(start_case, descriptors_and_bytes_may_be_many);
		tcase_add_test(start_case, who_never_asks_for_its_function_is_a_failure);
		tcase_add_test(given, it_inherits_what_is_asked_for);
		tcase_add_test(given, beside_threads_it_is_no_matter);
		tcase_add_test(given, what_cannot_be_set_fails_the_start);
	}
	if (make == make_for_forkserver) {
		tcase_add_test(start_case, by_default_it_is_a_server_that_reaches_the_function);
		tcase_add_test(start_case, else_a_fork_or_nothing);
		tcase_add_test(given, siblings_leave_no_descriptors);
		tcase_add_test(given, the_server_calls_a_function_first);
		tcase_add_test(given, a_server_has_room_for_many);
		tcase_add_test(end, a_killed_server_is_started_again);
		tcase_add_test(end, a_killed_spare_is_made_again);
		tcase_add_test(end, a_server_has_its_owners_user);
		tcase_add_test(end, servers_may_be_killed_at_any_moment);
	}
}

int main(void)
{
	Suite *suite;

	s = reach(sizeof(*s));
	if (getenv("BROOD_TEST_STRAY") != NULL)
		return stray();
	brood_init();
	suite = suite_create("proc/process");
	add_tests(suite, make_for_fork);
	add_tests(suite, make_for_spawn);
	add_tests(suite, make_for_forkserver);
	return leak_run(suite);
}
