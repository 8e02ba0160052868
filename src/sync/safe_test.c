/* What the headers say of signal handlers, signals, fork and threads, for all that somebody takes and gives back. The
 * tests of each have what is its own. */
#include <brood/barrier.h>
#include <brood/cond.h>
#include <brood/event.h>
#include <brood/latch.h>
#include <brood/lock.h>
#include <brood/once.h>
#include <brood/permits.h>
#include <brood/rlock.h>
#include <brood/rwlock.h>
#include <brood/sem.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	brood_lock lock, cond_lock;
	brood_rlock rlock;
	brood_sem sem, bounded;
	brood_event event;
	brood_latch latch;
	brood_cond cond;
	brood_once once;
	union {
		brood_permits permits;
		char permits_memory[1200];
	};
	union {
		brood_rwlock rwlock;
		char rwlock_memory[1200];
	};
	union {
		brood_barrier barrier;
		char barrier_memory[2400];
	};
	flag timed_out, go_on;
} * s;

static void make(void)
{
	s = share(sizeof(*s));
	ck_assert_int_eq(brood_lock_init(&s->lock), 0);
	ck_assert_int_eq(brood_lock_init(&s->cond_lock), 0);
	ck_assert_int_eq(brood_rlock_init(&s->rlock), 0);
	ck_assert_int_eq(brood_sem_init(&s->sem, 1), 0);
	ck_assert_int_eq(brood_sem_init_bounded(&s->bounded, 1, 1), 0);
	ck_assert_int_eq(brood_event_init(&s->event), 0);
	ck_assert_int_eq(brood_latch_init(&s->latch, 1), 0);
	ck_assert_int_eq(brood_cond_init(&s->cond, &s->cond_lock), 0);
	ck_assert_int_eq(brood_once_init(&s->once), 0);
	ck_assert_int_eq(brood_permits_init(&s->permits, sizeof(s->permits_memory), 1), 0);
	ck_assert_int_eq(brood_rwlock_init(&s->rwlock, sizeof(s->rwlock_memory), 3), 0);
	ck_assert_int_eq(brood_barrier_init(&s->barrier, sizeof(s->barrier_memory), 2, BROOD_SEC),
			 0);
}

/* ---- what is taken and given back */

#define OF(noun, object, take, give)                     \
	static int take_##noun(int64_t timeout_ns)       \
	{                                                \
		return brood_##take(object, timeout_ns); \
	}                                                \
	static int give_##noun(void)                     \
	{                                                \
		return brood_##give(object);             \
	}

OF(lock, &s->lock, lock_acquire, lock_release)
OF(rlock, &s->rlock, rlock_acquire, rlock_release)
OF(sem, &s->sem, sem_acquire, sem_release)
OF(bounded, &s->bounded, sem_acquire, sem_release)
OF(permits, &s->permits, permits_acquire, permits_release)
OF(reading, &s->rwlock, rwlock_read, rwlock_release)
OF(writing, &s->rwlock, rwlock_write, rwlock_release)

static const struct kind {
	const char *name;
	int (*take)(int64_t timeout_ns);
	int (*give)(void);
	int (*hold)(int64_t timeout_ns); /* what it cannot be had beside */
	bool is_owned;
	bool tells; /* who waits for itself is told so */
} kinds[] = {
	{ "lock", take_lock, give_lock, take_lock, true, true },
	{ "rlock", take_rlock, give_rlock, take_rlock, true, true },
	{ "sem", take_sem, give_sem, take_sem, false, false },
	{ "bounded sem", take_bounded, give_bounded, take_bounded, false, false },
	{ "permits", take_permits, give_permits, take_permits, true, false },
	{ "reading", take_reading, give_reading, take_writing, true, true },
	{ "writing", take_writing, give_writing, take_reading, true, true },
};

#define KINDS ((int)(sizeof(kinds) / sizeof(kinds[0])))

static const struct kind *kind;
static volatile int handled, owed;
static bool
	alone; /* nobody else has it, so a handler may wait: if not for its own thread, for nobody */

static void tick(void (*handler)(int), int every_us)
{
	struct sigaction action = { .sa_handler = handler };
	struct itimerval timer = { { 0, every_us }, { 0, every_us } };

	must(sigaction(SIGALRM, &action, NULL) == 0);
	must(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void stop_ticking(void)
{
	must(setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL) == 0);
}

/* Takes it if it can be had; it may be told that its own thread has it. A bounded semaphore may not be given back when
 * the thread was just at that. */
static void use(void)
{
	int r = kind->take(alone && kind->tells && handled % 2 == 0 ? PATIENCE_NS : 0);

	handled++;
	must(r == 0 || r == -ETIMEDOUT || r == -EDEADLK);
	if (r < 0)
		return;
	r = kind->give();
	must(r == 0 || (r == -EDEADLK && kind->take == take_bounded));
	owed += r < 0;
}

static void use_in_handler(int signum)
{
	int saved = errno;

	(void)signum;
	use();
	errno = saved;
}

static void use_under_handlers(void *which)
{
	int64_t began = brood_now();

	kind = which;
	alone = true;
	tick(use_in_handler, 50);
	while (handled < 300 && brood_now() - began < BROOD_SEC) {
		must(kind->take(owed > 0 ? 0 : PATIENCE_NS) == 0 || owed > 0);
		must(kind->give() == 0);
		if (owed > 0)
			owed--;
	}
	stop_ticking();
	must(handled > 0);
	must(kind->take(0) == 0 && kind->give() == 0);
}

START_TEST(a_handler_may_use_what_its_thread_is_at)
{
	kind = &kinds[_i];
	ck_finishes(peer(use_under_handlers, (void *)kind));
	ck_assert_int_eq(kind->take(0), 0);
	ck_assert_int_eq(kind->give(), 0);
}
END_TEST

static void wait_under_handlers(void *which)
{
	int64_t began = brood_now();

	kind = which;
	tick(use_in_handler, 1000);
	must(kind->take(60 * BROOD_MSEC) == -ETIMEDOUT);
	must(brood_now() - began >= 60 * BROOD_MSEC);
	must(brood_now() - began < 5 * BROOD_SEC);
	raise_flag(&s->timed_out);
	must(kind->take(PATIENCE_NS) == 0);
	stop_ticking();
	must(handled > 0);
	must(kind->give() == 0);
}

START_TEST(a_wait_is_ended_by_no_signal_whose_handler_tries_too)
{
	pid_t pid;

	kind = &kinds[_i];
	ck_assert_int_eq(kind->hold(0), 0);
	pid = peer(wait_under_handlers, (void *)kind);
	await(&s->timed_out);
	nap_ms(20);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(kind->give(), 0);
	ck_finishes(pid);
}
END_TEST

static void use_as_a_child(void)
{
	bool fits = kind->take == take_reading; /* beside the parent's reading */

	must(kind->give() == (kind->is_owned ? -EPERM : 0));
	if (kind->is_owned)
		must(kind->take(0) == (fits ? 0 : -ETIMEDOUT));
	/* What it has, it takes with it. */
}

START_TEST(a_forked_child_owns_nothing)
{
	kind = &kinds[_i];
	ck_assert_int_eq(kind->take(0), 0);
	in_fork(use_as_a_child);
	ck_assert_int_eq(kind->give(), kind->is_owned             ? 0 :
				       kind->take == take_bounded ? -EOVERFLOW :
								    0);
	ck_assert_int_eq(kind->take(0), 0);
	ck_assert_int_eq(kind->give(), 0);
}
END_TEST

static void *use_in_a_thread(void *fits)
{
	ck_assert_int_eq(kind->give(), -EPERM);
	ck_assert_int_eq(kind->take(0), fits != NULL ? 0 : -ETIMEDOUT);
	if (fits != NULL)
		ck_assert_int_eq(kind->give(), 0);
	return NULL;
}

START_TEST(another_thread_owns_nothing)
{
	pthread_t thread;

	kind = &kinds[_i];
	if (!kind->is_owned)
		return;
	ck_assert_int_eq(kind->take(0), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, use_in_a_thread,
					kind->take == take_reading ? s : NULL),
			 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(kind->give(), 0);
}
END_TEST

/* ---- what is only waited for */

static int wait_for_cond(int64_t timeout_ns)
{
	int r;

	must(brood_lock_acquire(&s->cond_lock, PATIENCE_NS) == 0);
	r = brood_cond_wait(&s->cond, timeout_ns);
	must(brood_lock_release(&s->cond_lock) == 0);
	return r;
}

static void notify(void)
{
	eventually(brood_cond_waiters(&s->cond) == 1);
	ck_assert_int_eq(brood_lock_acquire(&s->cond_lock, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_cond_notify(&s->cond, 1), 0);
	ck_assert_int_eq(brood_lock_release(&s->cond_lock), 0);
}

static int wait_for_barrier(int64_t timeout_ns)
{
	int r = brood_barrier_wait(&s->barrier, timeout_ns);

	if (r == -ETIMEDOUT)
		must(brood_barrier_reset(&s->barrier) == 0);
	return r < 0 ? r : 0;
}

static void come(void)
{
	ck_assert_int_ge(brood_barrier_wait(&s->barrier, PATIENCE_NS), 0);
}

static int wait_for_event(int64_t timeout_ns)
{
	return brood_event_wait(&s->event, timeout_ns);
}

static void set(void)
{
	ck_assert_int_eq(brood_event_set(&s->event), 0);
}

static int wait_for_latch(int64_t timeout_ns)
{
	return brood_latch_wait(&s->latch, timeout_ns);
}

static void count_down(void)
{
	ck_assert_int_eq(brood_latch_count_down(&s->latch, 1), 0);
}

static int work_long(void *unused, bool again)
{
	(void)unused, (void)again;
	await(&s->go_on);
	return 0;
}

static int wait_for_once(int64_t timeout_ns)
{
	return brood_once_run(&s->once, work_long, NULL, timeout_ns);
}

static void do_once(void *unused)
{
	(void)unused;
	must(wait_for_once(PATIENCE_NS) == 0);
}

static void end_work(void)
{
	raise_flag(&s->go_on);
}

static const struct wait {
	int (*wait)(int64_t timeout_ns);
	void (*let_go)(void);
} waits[] = {
	{ wait_for_cond, notify },      { wait_for_barrier, come },  { wait_for_event, set },
	{ wait_for_latch, count_down }, { wait_for_once, end_work },
};

static void do_nothing(int signum)
{
	(void)signum;
	handled++;
}

static void wait_under_signals(void *which)
{
	const struct wait *it = which;
	int64_t began = brood_now();

	tick(do_nothing, 1000);
	must(it->wait(60 * BROOD_MSEC) == -ETIMEDOUT);
	must(brood_now() - began >= 60 * BROOD_MSEC);
	must(brood_now() - began < 5 * BROOD_SEC);
	raise_flag(&s->timed_out);
	must(it->wait(PATIENCE_NS) == 0);
	stop_ticking();
	must(handled > 0);
}

START_TEST(a_wait_is_ended_by_no_signal)
{
	pid_t pid, doer = 0;

	if (waits[_i].wait == wait_for_once) {
		doer = peer(do_once, NULL);
		eventually(s->once.begun == 1);
	}
	pid = peer(wait_under_signals, (void *)&waits[_i]);
	await(&s->timed_out);
	nap_ms(20);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	waits[_i].let_go();
	ck_finishes(pid);
	if (doer > 0)
		ck_finishes(doer);
}
END_TEST

static void be_no_party(void)
{
	must(brood_cond_wait(&s->cond, 0) == -EPERM);
	must(brood_cond_notify(&s->cond, 1) == -EPERM);
	must(brood_cond_notify_all(&s->cond) == -EPERM);
	must(brood_barrier_leave(&s->barrier) == -EPERM);
}

START_TEST(a_forked_child_is_no_waiter_and_no_party)
{
	ck_assert_int_eq(brood_lock_acquire(&s->cond_lock, 0), 0);
	ck_assert_int_eq(brood_barrier_join(&s->barrier), 0);
	in_fork(be_no_party);
	ck_assert_int_eq(brood_barrier_broken(&s->barrier), 0);
	ck_assert_int_eq(brood_barrier_leave(&s->barrier), 0);
	ck_assert_int_eq(brood_cond_notify_all(&s->cond), 0);
	ck_assert_int_eq(brood_lock_release(&s->cond_lock), 0);
}
END_TEST

static int work_runs;

static int count_work(void *unused, bool again)
{
	(void)unused, (void)again;
	work_runs++;
	return 0;
}

static void *run_once(void *unused)
{
	ck_assert_int_eq(brood_once_run(&s->once, count_work, NULL, PATIENCE_NS), 0);
	ck_assert_int_eq(work_runs, 1);
	return unused;
}

START_TEST(of_many_threads_one_does_it)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_once, NULL), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/safe");
	TCase *taken = leak_case(suite, "taken", 60), *waited = leak_case(suite, "waited", 60);

	tcase_add_checked_fixture(taken, make, NULL);
	tcase_add_loop_test(taken, a_handler_may_use_what_its_thread_is_at, 0, KINDS);
	tcase_add_loop_test(taken, a_wait_is_ended_by_no_signal_whose_handler_tries_too, 0, KINDS);
	tcase_add_loop_test(taken, a_forked_child_owns_nothing, 0, KINDS);
	tcase_add_loop_test(taken, another_thread_owns_nothing, 0, KINDS);
	tcase_add_checked_fixture(waited, make, NULL);
	tcase_add_loop_test(waited, a_wait_is_ended_by_no_signal, 0,
			    (int)(sizeof(waits) / sizeof(waits[0])));
	tcase_add_test(waited, a_forked_child_is_no_waiter_and_no_party);
	tcase_add_test(waited, of_many_threads_one_does_it);
	return leak_run(suite);
}
