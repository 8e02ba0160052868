#include <brood/queue.h>
#include <brood/wait.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/queue_side.h"
#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	flag here[8], go;
	int64_t count[8];
} * s;
static brood_queue *q;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_queue_new(NULL, &q), 0);
}

static void end(void)
{
	q = brood_queue_unref(q);
}

static void put(void)
{
	ck_assert_int_eq(brood_queue_put(q, "abc", 3, 0), 0);
}

static int get(void)
{
	char buf[8];

	return (int)brood_queue_get(q, buf, sizeof(buf), 0);
}

static int open_fd(void)
{
	int fd = brood_queue_poll_fd(q);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(brood_queue_poll_fd(q), fd);
	return fd;
}

static int readable(int fd, int ms)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, ms);
}

static int sleepers(void)
{
	return bri_futex_count(&q->memory->put.word);
}

/* ---- the descriptor */

START_TEST(it_is_readable_until_there_is_nothing)
{
	int fd = open_fd();

	ck_assert_int_eq(readable(fd, 0), 0);
	for (int round = 0; round < 100; round++) {
		put();
		ck_assert_int_eq(readable(fd, 60000), 1);
		put();
		ck_assert_int_eq(get(), 3);
		ck_assert_int_eq(readable(fd, 0), 1); /* nobody has found nothing yet */
		ck_assert_int_eq(get(), 3);
		ck_assert_int_eq(get(), -ETIMEDOUT);
		ck_assert_int_eq(readable(fd, 0), 0);
	}
	ck_assert_int_eq(brood_queue_close(q), 0);
	ck_assert_int_eq(readable(fd, 60000), 1);
	ck_assert_int_eq(get(), -EPIPE);
	ck_assert_int_eq(readable(fd, 0), 1); /* the end stays */
}
END_TEST

START_TEST(what_is_there_when_it_is_asked_for_counts)
{
	put();
	ck_assert_int_eq(readable(open_fd(), 60000), 1);
}
END_TEST

/* Between what finds nothing and what clears the descriptor another message may come: it is told of. */
START_TEST(a_message_in_between_is_told_of)
{
	int fd = open_fd();

	for (int round = 0; round < 200; round++) {
		eventually(sleepers() == 1);
		put();
		if (round % 2 == 0)
			ck_assert_int_eq(readable(fd, 60000), 1);
		bri_queue_rearm(q); /* as a get that looked before the put */
		ck_assert_int_eq(readable(fd, 60000), 1);
		ck_assert_int_eq(get(), 3);
		ck_assert_int_eq(get(), -ETIMEDOUT);
	}
}
END_TEST

START_TEST(each_end_makes_it_readable)
{
	int fd = open_fd();

	eventually(sleepers() == 1);
	if (_i == 0)
		ck_assert_int_eq(brood_queue_discard(q), 0);
	ck_assert_int_eq(brood_queue_produce(q), _i == 0 ? -EPIPE : 0);
	if (_i == 1)
		ck_assert_int_eq(brood_queue_retire(q), 0);
	ck_assert_int_eq(readable(fd, 60000), 1);
	ck_assert_int_eq(get(), -EPIPE);
}
END_TEST

static void produce_and_die(void *unused)
{
	(void)unused;
	must(brood_queue_produce(q) == 0);
	raise_flag(&s->here[0]);
	await(&s->go);
}

/* No getter sleeps: the thread itself finds out. */
START_TEST(the_last_producers_death_makes_it_readable)
{
	int fd = open_fd();
	pid_t pid = peer(produce_and_die, NULL);

	await(&s->here[0]);
	ck_assert_int_eq(readable(fd, 150), 0);
	finish_off(pid);
	ck_assert_int_eq(readable(fd, 60000), 1);
	ck_assert_int_eq(get(), -EPIPE);
}
END_TEST

static void get_all(void *nth)
{
	char buf[8];

	raise_flag(&s->here[(intptr_t)nth]);
	while (brood_queue_get(q, buf, sizeof(buf), PATIENCE_NS) >= 0)
		__atomic_fetch_add(&s->count[(intptr_t)nth], 1, __ATOMIC_SEQ_CST);
}

static void poll_all(void *nth)
{
	int fd = brood_queue_poll_fd(q), r = 0;
	char buf[8];

	must(fd >= 0);
	raise_flag(&s->here[(intptr_t)nth]);
	while (r != -EPIPE) {
		must(readable(fd, 60000) == 1);
		while ((r = (int)brood_queue_get(q, buf, sizeof(buf), 0)) >= 0)
			__atomic_fetch_add(&s->count[(intptr_t)nth], 1, __ATOMIC_SEQ_CST);
		must(r == -ETIMEDOUT || r == -EPIPE);
	}
	brood_queue_unref(q);
}

/* Those who sleep and those who poll, one message at a time: each is had. */
START_TEST(all_who_sleep_on_it_are_woken)
{
	pid_t pids[4];

	for (intptr_t i = 0; i < 4; i++)
		pids[i] = peer(i < 2 ? get_all : poll_all, (void *)i);
	for (int i = 0; i < 4; i++)
		await(&s->here[i]);
	for (int64_t n = 1; n <= 300; n++) {
		if (n % 3 == 0)
			eventually(sleepers() >= 3);
		ck_assert_int_eq(brood_queue_put(q, "abc", 3, 0), 0);
		eventually(s->count[0] + s->count[1] + s->count[2] + s->count[3] == n);
	}
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 4; i++)
		ck_finishes(pids[i]);
}
END_TEST

/* The one in line is killed as it sleeps: those who poll do not need it, and it is followed. */
START_TEST(a_killed_sleeper_does_no_harm)
{
	for (int round = 0; round < 20; round++) {
		int before = (int)(s->count[0] + s->count[1] + s->count[2]);
		pid_t victim, pids[2];

		s->here[0] = s->here[1] = s->here[2] = 0;
		victim = peer(round % 2 == 0 ? get_all : poll_all, (void *)0);
		pids[0] = peer(get_all, (void *)1);
		pids[1] = peer(poll_all, (void *)2);
		for (int i = 0; i < 3; i++)
			await(&s->here[i]);
		eventually(sleepers() + brood_lock_waiters(&q->memory->get.gate) == 3);
		finish_off(victim);
		put();
		eventually(s->count[0] + s->count[1] + s->count[2] == before + 1);
		finish_off(pids[0]);
		finish_off(pids[1]);
	}
}
END_TEST

static void grandchild(void)
{
	int fd = open_fd();

	ck_assert_int_eq(readable(fd, 0), 0);
	put();
	ck_assert_int_eq(readable(fd, 60000), 1);
	ck_assert_int_eq(get(), 3);
	ck_assert_int_eq(get(), -ETIMEDOUT);
	ck_assert_int_eq(readable(fd, 0), 0);
	end();
}

static int inherited_fd;

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
static const bool forks_with_threads = false; /* its runtime lets no such child start one */
#else
static const bool forks_with_threads = true;
#endif

static void child(void)
{
	int fd;

	/* a get of the child leaves the parent's descriptor alone */
	ck_assert_int_eq(readable(inherited_fd, 60000), 1);
	ck_assert_int_eq(get(), 3);
	ck_assert_int_eq(get(), -ETIMEDOUT);
	ck_assert_int_eq(readable(inherited_fd, 0), 1);
	fd = brood_queue_poll_fd(q);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fd, inherited_fd);
	ck_assert_int_eq(readable(fd, 0), 0);
	ck_assert_int_eq(close(inherited_fd), -1); /* it is closed */
	put();
	ck_assert_int_eq(readable(fd, 60000), 1);
	ck_assert_int_eq(get(), 3);
	in_fork(grandchild);
	end();
}

/* … and one that does not ask for its own has the inherited one closed in the end. */
static void idle_child(void)
{
	end();
	ck_assert_int_eq(readable(inherited_fd, 0), 1); /* POLLNVAL */
	ck_assert_int_eq(close(inherited_fd), -1);
}

START_TEST(a_forked_child_has_its_own)
{
	inherited_fd = open_fd();
	if (!forks_with_threads)
		return;
	put();
	ck_assert_int_eq(readable(inherited_fd, 60000), 1);
	in_fork(idle_child);
	in_fork(child);
	ck_assert_int_eq(readable(inherited_fd, 0), 1); /* for nothing, or for what the child put */
	while (get() >= 0)
		;
	ck_assert_int_eq(readable(inherited_fd, 0), 0);
	put();
	ck_assert_int_eq(readable(inherited_fd, 60000), 1);
}
END_TEST

/* ---- its thread, and signals */

/* By its name, since a sanitizer's runtime may have threads, too; 0: none. */
static pid_t thread_of_it(void)
{
	DIR *listing = opendir("/proc/self/task");
	struct dirent *item;
	pid_t found = 0;

	ck_assert_ptr_nonnull(listing);
	while ((item = readdir(listing)) != NULL) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", item->d_name);
		file = item->d_name[0] != '.' ? fopen(path, "re") : NULL;
		if (file == NULL)
			continue;
		if (fgets(name, sizeof(name), file) != NULL && strcmp(name, "brood-queue\n") == 0)
			found = (pid_t)strtol(item->d_name, NULL, 10);
		(void)fclose(file);
	}
	closedir(listing);
	return found;
}

static const char *status_of(pid_t tid)
{
	static char text[8192];
	char path[64];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	text[n] = '\0';
	return text;
}

static volatile pid_t handled_by;

static void note_thread(int signum)
{
	(void)signum;
	handled_by = (pid_t)syscall(SYS_gettid);
}

/* The C library keeps two or three for itself, below SIGRTMIN. */
START_TEST(its_thread_takes_no_signal)
{
	const int sent[] = { SIGUSR1, SIGTERM, SIGCHLD, SIGRTMIN };
	int fd = open_fd();
	const char *blocked;
	sigset_t set, before;

	eventually(thread_of_it() != 0 && sleepers() == 1);
	blocked = fact(status_of(thread_of_it()), "SigBlk");
	ck_assert_ptr_nonnull(blocked);
	for (int signum = 1; signum <= SIGRTMAX; signum++)
		if (signum != SIGKILL && signum != SIGSTOP && (signum < 32 || signum >= SIGRTMIN))
			ck_assert_msg(has_signal(blocked, signum), "%d is not blocked", signum);

	/* while everybody else has it blocked, it waits for them */
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		sigemptyset(&set);
		sigaddset(&set, sent[i]);
		handled_by = 0;
		sigaction(sent[i], &(struct sigaction){ .sa_handler = note_thread }, NULL);
		pthread_sigmask(SIG_BLOCK, &set, &before);
		ck_assert_int_eq(kill(getpid(), sent[i]), 0);
		put(); /* the thread runs */
		ck_assert_int_eq(readable(fd, 60000), 1);
		ck_assert_int_eq(get(), 3);
		ck_assert_int_eq(get(), -ETIMEDOUT);
		eventually(sleepers() == 1);
		ck_assert_int_eq(handled_by, 0);
		sigpending(&set);
		ck_assert_int_eq(sigismember(&set, sent[i]), 1);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		eventually(handled_by != 0);
		ck_assert_int_eq(handled_by, getpid());
		signal(sent[i], SIG_DFL);
	}
}
END_TEST

static void *ask(void *ret_fd)
{
	*(int *)ret_fd = brood_queue_poll_fd(q);
	return NULL;
}

START_TEST(threads_that_ask_at_once_get_the_same)
{
	pthread_t threads[8];
	int fds[8];

	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, ask, &fds[i]);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(fds[i], open_fd());
	put();
	ck_assert_int_eq(readable(fds[0], 60000), 1);
}
END_TEST

static void hold_putting_side(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&q->memory->put.lock, 0) == 0);
	raise_flag(&s->here[0]);
	await(&s->go);
}

/* Somebody was stopped in the middle of a put: the thread ends all the same. */
START_TEST(a_stopped_putter_does_not_hold_up_its_end)
{
	pid_t pid = peer(hold_putting_side, NULL);

	await(&s->here[0]);
	ck_assert_int_eq(readable(open_fd(), 150), 0);
	brood_queue_ref(q);
	brood_queue_unref(q);
	q = brood_queue_unref(q);
	finish_off(pid);
}
END_TEST

START_TEST(what_it_cannot_have_is_said)
{
	struct rlimit before, none;
	int fd;

	ck_assert_int_eq(brood_queue_poll_fd(NULL), -EINVAL);
	fd = dup(0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = (rlim_t)fd;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(brood_queue_poll_fd(q), -EMFILE);
	ck_assert_int_eq(brood_wait(&(brood_waitable){ .queue = q }, 1, BROOD_SEC), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	getrlimit(RLIMIT_AS, &before);
	none = before;
	none.rlim_cur = 1; /* no stack to be had */
	if (!is_sanitized) {
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
		fd = brood_queue_poll_fd(q);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
		ck_assert(fd == -EAGAIN || fd == -ENOMEM);
		ck_assert_ptr_null(atomic_load(&q->watcher));
	}
	q->memory->stamp ^= UINT64_C(1) << 40;
	ck_assert_int_eq(brood_queue_poll_fd(q), -EXDEV);
	ck_assert_int_eq(brood_wait(&(brood_waitable){ .queue = q }, 1, 0), -EXDEV);
}
END_TEST

/* ---- brood_wait() */

static void put_later(void *unused)
{
	(void)unused;
	nap_ms(50);
	must(brood_queue_put(q, "abc", 3, 0) == 0);
}

START_TEST(a_queue_is_waited_for_among_others)
{
	brood_conn *in, *out;
	brood_queue *other;
	brood_waitable items[4];
	pid_t pid;

	ck_assert_int_eq(brood_queue_new(NULL, &other), 0);
	ck_assert_int_eq(brood_pipe(false, &in, &out), 0);
	memset(items, 0, sizeof(items));
	items[0].queue = q;
	items[1].conn = in;
	items[2].queue = other;
	items[3].queue = q;
	ck_assert_int_eq(brood_wait(items, 4, 0), -ETIMEDOUT);
	ck_assert_ptr_null(atomic_load(&q->watcher)); /* no thread for a look */
	put();
	ck_assert_int_eq(brood_wait(items, 4, BROOD_FOREVER), 2);
	ck_assert(items[0].ready && !items[1].ready && !items[2].ready && items[3].ready);
	ck_assert_ptr_null(atomic_load(&q->watcher)); /* nor for what is there */
	ck_assert_int_eq(get(), 3);
	ck_assert_int_eq(brood_wait(items, 4, 20 * BROOD_MSEC), -ETIMEDOUT);
	for (int round = 0; round < 3; round++) {
		pid = peer(put_later, NULL);
		ck_assert_int_eq(brood_wait(items, 4, PATIENCE_NS), 2);
		ck_assert(items[0].ready && !items[1].ready && !items[2].ready && items[3].ready);
		ck_finishes(pid);
		ck_assert_int_eq(get(), 3); /* and does not find out that there is no more */
	}
	ck_assert_int_eq(brood_conn_send_bytes(out, "x", 1, 0), 0);
	ck_assert_int_eq(brood_wait(items, 4, PATIENCE_NS), 1);
	ck_assert(!items[0].ready && items[1].ready && !items[2].ready && !items[3].ready);
	ck_assert_int_eq(brood_queue_close(other), 0);
	ck_assert_int_eq(brood_wait(items, 4, PATIENCE_NS), 2);
	ck_assert(items[1].ready && items[2].ready);
	brood_conn_free(in);
	brood_conn_free(out);
	brood_queue_unref(other);
}
END_TEST

static void wait_for_all(void *nth)
{
	brood_waitable item = { .queue = q };
	char buf[8];
	int r = 0;

	raise_flag(&s->here[(intptr_t)nth]);
	while (r != -EPIPE) {
		must(brood_wait(&item, 1, PATIENCE_NS) == 1 && item.ready);
		r = (int)brood_queue_get(q, buf, sizeof(buf), 0);
		if (r >= 0)
			__atomic_fetch_add(&s->count[(intptr_t)nth], 1, __ATOMIC_SEQ_CST);
	}
	brood_queue_unref(q);
}

/* One is quicker than the other: who was set for nothing waits on. */
START_TEST(several_wait_for_one_queue)
{
	pid_t pids[3];

	for (intptr_t i = 0; i < 3; i++)
		pids[i] = peer(wait_for_all, (void *)i);
	for (int i = 0; i < 3; i++)
		await(&s->here[i]);
	for (int64_t n = 1; n <= 300; n++) {
		put();
		if (n % 2 == 0)
			eventually(s->count[0] + s->count[1] + s->count[2] == n);
	}
	ck_assert_int_eq(brood_queue_close(q), 0);
	for (int i = 0; i < 3; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->count[0] + s->count[1] + s->count[2], 300);
}
END_TEST

/* ---- what it costs to wait */

#define IDLE_NS BROOD_SEC

static void wait_idly(void *way)
{
	int64_t used = cpu_of(getpid()), began = brood_now();
	brood_waitable item = { .queue = q };
	struct rusage before, after;
	char c;

	if (way == (void *)1)
		must(brood_queue_poll_fd(q) >= 0);
	must(getrusage(RUSAGE_SELF, &before) == 0);
	if (way == (void *)0)
		must(brood_queue_get(q, &c, 1, IDLE_NS) == -ETIMEDOUT);
	else if (way == (void *)1)
		must(readable(brood_queue_poll_fd(q), IDLE_NS / BROOD_MSEC) == 0);
	else
		must(brood_wait(&item, 1, IDLE_NS) == -ETIMEDOUT);
	must(getrusage(RUSAGE_SELF, &after) == 0);
	must(brood_now() - began >= IDLE_NS);
	must(after.ru_nvcsw - before.ru_nvcsw < 60);
	must(cpu_of(getpid()) - used < 50 * BROOD_MSEC);
	brood_queue_unref(q);
}

/* In the quiet second part of it, a waiter and its thread are not scheduled at all: less than 0.1 % is 1 ms a second. */
static void wait_for_long(void *way)
{
	brood_waitable item = { .queue = q };
	char c;

	if (way == (void *)0)
		(void)brood_queue_get(q, &c, 1, BROOD_FOREVER);
	else if (way == (void *)1)
		(void)readable(brood_queue_poll_fd(q), -1);
	else
		(void)brood_wait(&item, 1, BROOD_FOREVER);
}

START_TEST(an_idle_waiter_uses_no_processor)
{
	pid_t pid = peer(wait_idly, (void *)(intptr_t)_i);
	int64_t used;

	ck_finishes(pid);
	if (!bri_futex_can_watch())
		return; /* it looks each 50 ms then */
	pid = peer(wait_for_long, (void *)(intptr_t)_i);
	eventually(sleepers() == 1);
	nap_ms(50);
	used = cpu_of(pid);
	nap_ms(2000);
	/* A sanitizer's runtime has a thread that does something now and then. */
	ck_assert_int_lt(cpu_of(pid) - used, (is_sanitized ? 20 : 2) * BROOD_MSEC);
	finish_off(pid);
}
END_TEST

/* ---- on one processor */

static int one_processor; /* on which we may run */

static void find_processor(void)
{
	cpu_set_t all;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	for (one_processor = 0; !CPU_ISSET(one_processor, &all); one_processor++)
		;
}

/* Before the library knows of us, or when it has seen that there are several. */
static void stay_there(bool late)
{
	cpu_set_t one;

	if (late)
		must(brood_queue_is_closed(q) == 0);
	CPU_ZERO(&one);
	CPU_SET(one_processor, &one);
	must(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static void idle_there(void *nth)
{
	char c;

	stay_there((intptr_t)nth >= 2);
	s->count[(intptr_t)nth] = cpu_of(getpid());
	raise_flag(&s->here[(intptr_t)nth]);
	(void)brood_queue_get(q, &c, 1, BROOD_FOREVER);
}

/* The one that sleeps on the queue and the one in line: what they do before they sleep counts. */
START_TEST(idle_waiters_on_one_processor_use_none_of_it)
{
	int64_t most = (is_sanitized ? 200 : 50) * BROOD_MSEC;
	intptr_t first = 2 * (intptr_t)_i;
	pid_t pids[2];

	find_processor();
	for (intptr_t i = 0; i < 2; i++)
		pids[i] = peer(idle_there, (void *)(first + i));
	for (int i = 0; i < 2; i++)
		await(&s->here[first + i]);
	eventually(sleepers() == 1 && brood_lock_waiters(&q->memory->get.gate) == 1);
	nap_ms(1500);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_lt(cpu_of(pids[i]) - s->count[first + i], most);
		finish_off(pids[i]);
	}
}
END_TEST

enum { ROUNDS = 2000 };

static brood_queue *back;

static void answer_there(void *late)
{
	int64_t number;

	stay_there(late != NULL);
	for (int i = 0; i < ROUNDS; i++) {
		must(brood_queue_get(q, &number, sizeof(number), PATIENCE_NS) == sizeof(number));
		must(brood_queue_put(back, &number, sizeof(number), PATIENCE_NS) == 0);
	}
}

static void ask_there(void *late)
{
	int64_t number;

	stay_there(late != NULL);
	for (int64_t i = 0; i < ROUNDS; i++) {
		must(brood_queue_put(q, &i, sizeof(i), PATIENCE_NS) == 0);
		must(brood_queue_get(back, &number, sizeof(number), PATIENCE_NS) == sizeof(number));
		must(number == i);
	}
}

/* Each has to let the other run. */
START_TEST(two_talk_on_one_processor)
{
	pid_t answering, asking;

	find_processor();
	ck_assert_int_eq(brood_queue_new(NULL, &back), 0);
	answering = peer(answer_there, _i == 0 ? NULL : s);
	asking = peer(ask_there, _i == 0 ? NULL : s);
	ck_finishes(asking);
	ck_finishes(answering);
	back = brood_queue_unref(back);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/queue_watch");
	TCase *tcase = leak_case(suite, "watch", 90);

	tcase_add_checked_fixture(tcase, make, end);
	tcase_add_test(tcase, it_is_readable_until_there_is_nothing);
	tcase_add_test(tcase, what_is_there_when_it_is_asked_for_counts);
	tcase_add_test(tcase, a_message_in_between_is_told_of);
	tcase_add_loop_test(tcase, each_end_makes_it_readable, 0, 2);
	tcase_add_test(tcase, the_last_producers_death_makes_it_readable);
	tcase_add_test(tcase, all_who_sleep_on_it_are_woken);
	tcase_add_test(tcase, a_killed_sleeper_does_no_harm);
	tcase_add_test(tcase, a_forked_child_has_its_own);
	tcase_add_test(tcase, its_thread_takes_no_signal);
	tcase_add_test(tcase, threads_that_ask_at_once_get_the_same);
	tcase_add_test(tcase, a_stopped_putter_does_not_hold_up_its_end);
	tcase_add_test(tcase, what_it_cannot_have_is_said);
	tcase_add_test(tcase, a_queue_is_waited_for_among_others);
	tcase_add_test(tcase, several_wait_for_one_queue);
	tcase_add_loop_test(tcase, an_idle_waiter_uses_no_processor, 0, 3);
	tcase_add_loop_test(tcase, idle_waiters_on_one_processor_use_none_of_it, 0, 2);
	tcase_add_loop_test(tcase, two_talk_on_one_processor, 0, 2);
	return leak_run(suite);
}
