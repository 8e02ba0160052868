#include <brood/lock.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static struct shared {
	brood_lock lock, other;
	pthread_mutex_t mutex[2];
	long count, steps;
	flag here[8], go, done;
	int result[8];
} * s;

static void make(void)
{
	pthread_mutexattr_t attr;

	s = share(sizeof(*s));
	ck_assert_int_eq(brood_lock_init(&s->lock), 0);
	ck_assert_int_eq(brood_lock_init(&s->other), 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 2; i++)
		pthread_mutex_init(&s->mutex[i], &attr);
}

/* A process that holds the lock until it is killed. */
static void hold(void *nth)
{
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) >= 0);
	raise_flag(&s->here[(intptr_t)nth]);
	pause();
}

static pid_t holder(void)
{
	pid_t pid = peer(hold, NULL);

	await(&s->here[0]);
	s->here[0] = 0;
	return pid;
}

/* … that waits for it, notes what it got, and gives it back. */
static void take_once(void *nth)
{
	intptr_t n = (intptr_t)nth;

	s->result[n] = brood_lock_acquire(&s->lock, PATIENCE_NS);
	must(s->result[n] >= 0);
	must(brood_lock_release(&s->lock) == 0);
}

static void ck_usable(void)
{
	ck_assert_int_eq(brood_lock_acquire(&s->lock, PATIENCE_NS), 0);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
}

START_TEST(it_is_taken_and_given_back)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_lock_acquire(&s->lock, BROOD_FOREVER), 0);
		ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), -ETIMEDOUT);
		ck_assert_int_eq(brood_lock_acquire(&s->lock, -5), -ETIMEDOUT);
		ck_assert_int_eq(brood_lock_acquire(&s->lock, 1), -EDEADLK);
		ck_assert_int_eq(brood_lock_owner(&s->lock), getpid());
		ck_assert_int_eq(brood_lock_release(&s->lock), 0);
		ck_assert_int_eq(brood_lock_release(&s->lock), -EPERM);
		ck_assert_int_eq(brood_lock_owner(&s->lock), 0);
	}
	ck_assert_int_eq(brood_lock_dead_owner(&s->lock), 0);
}
END_TEST

START_TEST(what_is_no_lock_is_refused)
{
	static char memory[sizeof(brood_lock) + 8] __attribute__((aligned(8)));
	brood_lock *misaligned = (brood_lock *)(void *)(memory + 4), *zero = (void *)memory;
	char text[80] = "x";

	ck_assert_int_eq(brood_lock_init(NULL), -EINVAL);
	ck_assert_int_eq(brood_lock_init(misaligned), -EINVAL);
	for (int i = 0; i < 3; i++) {
		brood_lock *lock = i == 0 ? NULL : i == 1 ? misaligned : zero;

		ck_assert_int_eq(brood_lock_acquire(lock, 0), -EINVAL);
		ck_assert_int_eq(brood_lock_release(lock), -EINVAL);
		ck_assert_int_eq(brood_lock_owner(lock), -EINVAL);
		ck_assert_int_eq(brood_lock_dead_owner(lock), -EINVAL);
		ck_assert_int_eq(brood_lock_waiters(lock), -EINVAL);
		ck_assert_int_eq(brood_lock_describe(lock, text, sizeof(text)), -EINVAL);
		ck_assert_str_eq(text, "x");
	}
	s->lock.stamp ^= 1; /* another version of the layout */
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), -EINVAL);
	s->lock.stamp ^= 1 ^ UINT64_C(1) << 40; /* made in another PID namespace */
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), -EXDEV);
	ck_assert_int_eq(brood_lock_release(&s->lock), -EXDEV);
	ck_assert_int_eq(brood_lock_waiters(&s->lock), -EXDEV);
}
END_TEST

START_TEST(another_thread_is_not_the_owner)
{
	pid_t pid = holder();

	ck_assert_int_eq(brood_lock_release(&s->lock), -EPERM);
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_lock_owner(&s->lock), pid);
	finish_off(pid);
}
END_TEST

START_TEST(a_wait_ends_at_its_timeout)
{
	pid_t pid = holder();
	int64_t began = brood_now();

	ck_assert_int_eq(brood_lock_acquire(&s->lock, 80 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 80 * BROOD_MSEC);
	ck_assert_int_le(brood_now() - began, PATIENCE_NS);
	ck_assert_int_eq(brood_lock_waiters(&s->lock), 0);
	finish_off(pid);
}
END_TEST

START_TEST(the_next_owner_is_told_of_a_death_once)
{
	pid_t pid = holder();

	finish_off(pid);
	ck_assert_int_eq(brood_lock_owner(&s->lock), 0);
	ck_assert_int_eq(brood_lock_dead_owner(&s->lock), pid);
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_dead_owner(&s->lock), pid);
	ck_assert_int_eq(brood_lock_owner(&s->lock), getpid());
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	ck_usable();
	ck_assert_int_eq(brood_lock_dead_owner(&s->lock), pid);
}
END_TEST

START_TEST(a_death_wakes_the_waiters_one_after_the_other)
{
	pid_t owner = holder(), waiter[4];
	int told = 0;

	for (intptr_t i = 0; i < 4; i++)
		waiter[i] = peer(take_once, (void *)i);
	eventually(brood_lock_waiters(&s->lock) == 4);
	finish_off(owner);
	for (int i = 0; i < 4; i++) {
		ck_finishes(waiter[i]);
		told += s->result[i];
	}
	ck_assert_int_eq(told, 1);
	ck_usable();
}
END_TEST

static void exit_holding(void *how)
{
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) >= 0);
	if (how != NULL)
		execl("/bin/true", "true", (char *)NULL);
}

START_TEST(an_exit_and_an_exec_are_deaths_too)
{
	ck_finishes(peer(exit_holding, NULL));
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	ck_finishes(peer(exit_holding, s));
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
}
END_TEST

static void *lock_and_end(void *arg)
{
	(void)arg;
	ck_assert_int_eq(brood_lock_acquire(&s->lock, PATIENCE_NS), 0);
	return NULL;
}

START_TEST(the_end_of_a_thread_is_a_death_too)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, lock_and_end, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	/* the kernel lets the joiner go a moment before it looks at the list */
	ck_assert_int_eq(brood_lock_acquire(&s->lock, PATIENCE_NS), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_dead_owner(&s->lock), getpid());
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
}
END_TEST

/* The hole of many a lock: a waiter is woken and killed, and another one sleeps behind it. */
START_TEST(a_killed_waiter_does_not_strand_those_behind)
{
	for (int round = 0; round < 30; round++) {
		pid_t first, second;

		s->here[1] = 0;
		ck_assert_int_eq(brood_lock_acquire(&s->lock, PATIENCE_NS) >= 0, 1);
		first = peer(hold, (void *)1);
		eventually(brood_lock_waiters(&s->lock) == 1);
		second = peer(take_once, (void *)2);
		eventually(brood_lock_waiters(&s->lock) == 2);
		ck_assert_int_eq(brood_lock_release(&s->lock), 0);
		for (volatile int spin = round * 300; spin > 0; spin--)
			;
		finish_off(first);
		ck_finishes(second);
	}
}
END_TEST

static void count_up(void *rounds)
{
	for (intptr_t i = 0; i < (intptr_t)rounds; i++) {
		must(brood_lock_acquire(&s->lock, PATIENCE_NS) >= 0);
		s->count++;
		must(brood_lock_release(&s->lock) == 0);
	}
}

START_TEST(it_excludes)
{
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = peer(count_up, (void *)50000);
	for (int i = 0; i < 4; i++)
		ck_finishes(pids[i]);
	ck_assert_int_eq(s->count, 200000);
	/* after the crowd the word is clean again, and nobody is thought to sleep */
	for (int i = 0; i < 5; i++)
		ck_usable();
	ck_assert_uint_eq(s->lock.word[0] | s->lock.word[1], 0);
}
END_TEST

static void *count_in_thread(void *rounds)
{
	for (intptr_t i = 0; i < (intptr_t)rounds; i++) {
		ck_assert_int_ge(brood_lock_acquire(&s->lock, PATIENCE_NS), 0);
		s->count++;
		ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	}
	return NULL;
}

START_TEST(it_excludes_threads)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_in_thread, (void *)20000),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(s->count, 80000);
}
END_TEST

static void be_no_owner(void)
{
	ck_assert_int_eq(brood_lock_release(&s->lock), -EPERM);
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_lock_acquire(&s->other, 0), 0);
	/* and ends with it */
}

START_TEST(a_forked_child_is_not_the_owner)
{
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), 0);
	in_fork(be_no_owner);
	ck_assert_int_eq(brood_lock_owner(&s->lock), getpid());
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	ck_assert_int_eq(brood_lock_acquire(&s->other, 0), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_release(&s->other), 0);
}
END_TEST

static void ignore_signal(int signum)
{
	(void)signum;
}

static void wait_under_signals(void *unused)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval often = { { 0, 2000 }, { 0, 2000 } };

	(void)unused;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	s->result[0] = brood_lock_acquire(&s->lock, PATIENCE_NS);
	must(s->result[0] == 0 && brood_lock_release(&s->lock) == 0);
}

START_TEST(signals_do_not_end_a_wait)
{
	pid_t pid;

	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), 0);
	pid = peer(wait_under_signals, NULL);
	nap_ms(50);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	ck_finishes(pid);
}
END_TEST

static volatile int in_handler;

static void lock_in_handler(int signum)
{
	int saved = errno;

	(void)signum;
	in_handler = brood_lock_acquire(&s->lock, PATIENCE_NS);
	if (in_handler >= 0)
		must(brood_lock_release(&s->lock) == 0);
	must(brood_lock_acquire(&s->other, PATIENCE_NS) == 0);
	must(brood_lock_release(&s->other) == 0);
	s->steps++;
	errno = saved;
}

static void be_interrupted(void *unused)
{
	struct sigaction action = { .sa_handler = lock_in_handler };
	struct itimerval often = { { 0, 100 }, { 0, 100 } };

	(void)unused;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (s->steps < 200) {
		must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
		must(brood_lock_release(&s->lock) == 0);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
	raise(SIGALRM);
	must(in_handler == -EDEADLK);
}

START_TEST(a_signal_handler_may_lock)
{
	ck_finishes(peer(be_interrupted, NULL));
	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), BROOD_OWNER_DIED);
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
}
END_TEST

#ifndef __SANITIZE_THREAD__
/* All orders of two of theirs and two of ours, given back in another order or not at all. */
static void mix_with_pthread(void *nth)
{
	static const char *const orders[] = { "aAbB", "AaBb", "abAB", "ABab", "aABb", "AabB" };
	static const char *const back[] = { "", "a", "A", "ab", "Ab", "aB", "bB", "BA" };
	intptr_t n = (intptr_t)nth;

	for (const char *c = orders[n % 6]; *c != '\0'; c++)
		if (*c >= 'a')
			must(pthread_mutex_lock(&s->mutex[*c - 'a']) == 0);
		else
			must(brood_lock_acquire(*c == 'A' ? &s->lock : &s->other, 0) == 0);
	for (int again = 0; again < 2; again++) /* 0: leave and take it again; 1: leave */
		for (const char *c = back[n / 6]; *c != '\0'; c++)
			if (*c >= 'a') {
				must(pthread_mutex_unlock(&s->mutex[*c - 'a']) == 0);
				must(again || pthread_mutex_lock(&s->mutex[*c - 'a']) == 0);
			} else {
				brood_lock *lock = *c == 'A' ? &s->lock : &s->other;

				must(brood_lock_release(lock) == 0);
				must(again || brood_lock_acquire(lock, 0) == 0);
			}
	raise_flag(&s->here[0]);
	pause();
}

START_TEST(it_shares_the_list_with_pthread_mutexes)
{
	static const char *const back[] = { "", "a", "A", "ab", "Ab", "aB", "bB", "BA" };

	for (intptr_t n = 0; n < 48; n++) {
		pid_t pid = peer(mix_with_pthread, (void *)n);

		await(&s->here[0]);
		s->here[0] = 0;
		finish_off(pid);
		for (int i = 0; i < 2; i++) {
			bool left = strchr(back[n / 6], 'a' + i) != NULL;

			ck_assert_int_eq(pthread_mutex_trylock(&s->mutex[i]),
					 left ? 0 : EOWNERDEAD);
			if (!left)
				pthread_mutex_consistent(&s->mutex[i]);
			pthread_mutex_unlock(&s->mutex[i]);
			left = strchr(back[n / 6], 'A' + i) != NULL;
			ck_assert_int_eq(brood_lock_acquire(i == 0 ? &s->lock : &s->other, 0),
					 left ? 0 : BROOD_OWNER_DIED);
			brood_lock_release(i == 0 ? &s->lock : &s->other);
		}
	}
}
END_TEST
#endif

START_TEST(a_thread_holds_no_more_than_the_kernel_follows)
{
	brood_lock *many = share((BROOD_LOCK_MOST + 1) * sizeof(*many));

	for (int i = 0; i <= BROOD_LOCK_MOST; i++)
		ck_assert_int_eq(brood_lock_init(&many[i]), 0);
	for (int i = 0; i < BROOD_LOCK_MOST; i++)
		ck_assert_int_eq(brood_lock_acquire(&many[i], 0), 0);
	ck_assert_int_eq(brood_lock_acquire(&many[BROOD_LOCK_MOST], 0), -ENOLCK);
	for (int i = 0; i < BROOD_LOCK_MOST; i++)
		ck_assert_int_eq(brood_lock_release(&many[i]), 0);
	ck_assert_int_eq(brood_lock_acquire(&many[BROOD_LOCK_MOST], 0), 0);
	ck_assert_int_eq(brood_lock_release(&many[BROOD_LOCK_MOST]), 0);
}
END_TEST

static void have_an_own_list(void *unused)
{
	static struct {
		void *next;
		long offset;
		void *pending;
	} own = { &own, 4, NULL };
	brood_lock fresh;

	(void)unused;
	syscall(SYS_set_robust_list, &own, sizeof(own));
	must(brood_lock_init(&fresh) == -ENOTSUP);
	must(brood_lock_acquire(&s->lock, 0) == -ENOTSUP);
	must(brood_lock_release(&s->lock) == -ENOTSUP);
}

START_TEST(a_list_of_the_hosts_own_is_refused)
{
	ck_finishes(peer(have_an_own_list, NULL));
}
END_TEST

/* It harms neither who has it nor who waits for it. */
static void use_from_elsewhere(void *unused)
{
	brood_lock before = s->lock;

	(void)unused;
	must(brood_lock_acquire(&s->lock, 0) == -EXDEV);
	must(brood_lock_acquire(&s->lock, BROOD_FOREVER) == -EXDEV);
	must(brood_lock_release(&s->lock) == -EXDEV);
	must(brood_lock_owner(&s->lock) == -EXDEV);
	must(memcmp(&before, &s->lock, sizeof(before)) == 0);
	must(brood_lock_init(&s->other) == 0 && brood_lock_acquire(&s->other, 0) == 0);
	raise_flag(&s->here[1]);
}

static void start_elsewhere(void)
{
	if (!peer_elsewhere(use_from_elsewhere))
		return;
	must(s->here[1]);
	must(brood_lock_acquire(&s->lock, 0) == -ETIMEDOUT);
}

static void take_in_turn(void *unused)
{
	(void)unused;
	must(brood_lock_acquire(&s->lock, PATIENCE_NS) == 0);
	must(brood_lock_release(&s->lock) == 0);
}

START_TEST(another_pid_namespace_is_refused)
{
	pid_t pid;

	ck_assert_int_eq(brood_lock_acquire(&s->lock, 0), 0);
	pid = peer(take_in_turn, NULL);
	eventually(brood_lock_waiters(&s->lock) == 1);
	in_fork(start_elsewhere);
	if (s->here[1])
		ck_assert_int_eq(brood_lock_acquire(&s->other, 0), -EXDEV);
	ck_assert_int_eq(brood_lock_owner(&s->lock), getpid());
	ck_assert_int_eq(brood_lock_release(&s->lock), 0);
	ck_finishes(pid);
}
END_TEST

static void wait_long(void *unused)
{
	(void)unused;
	brood_lock_acquire(&s->lock, PATIENCE_NS);
}

START_TEST(a_waiter_costs_nothing)
{
	pid_t owner = holder(), pid = peer(wait_long, NULL);
	int64_t used;

	eventually(brood_lock_waiters(&s->lock) == 1);
	used = cpu_of(pid);
	nap_ms(200);
	ck_assert_int_le(cpu_of(pid) - used, 20 * BROOD_MSEC);
	finish_off(pid);
	finish_off(owner);
}
END_TEST

START_TEST(it_is_described)
{
	char text[120], wanted[120];
	pid_t pid;
	int n;

	n = brood_lock_describe(&s->lock, text, sizeof(text));
	ck_assert_str_eq(text, "lock, free, 0 waiting");
	ck_assert_int_eq(n, (int)strlen(text));
	ck_assert_int_eq(brood_lock_describe(&s->lock, text, 5), n);
	ck_assert_str_eq(text, "lock");
	pid = holder();
	brood_lock_describe(&s->lock, text, sizeof(text));
	snprintf(wanted, sizeof(wanted), "lock, held by process %d (thread %d), 0 waiting", pid,
		 pid);
	ck_assert_str_eq(text, wanted);
	finish_off(pid);
	brood_lock_describe(&s->lock, text, sizeof(text));
	snprintf(wanted, sizeof(wanted), "lock, free since process %d died with it, 0 waiting",
		 pid);
	ck_assert_str_eq(text, wanted);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync/lock");
	TCase *alone = leak_case(suite, "alone", 60), *together = leak_case(suite, "together", 60),
	      *hosts = leak_case(suite, "hosts", 60);

	tcase_add_checked_fixture(alone, make, NULL);
	tcase_add_test(alone, it_is_taken_and_given_back);
	tcase_add_test(alone, what_is_no_lock_is_refused);
	tcase_add_test(alone, a_thread_holds_no_more_than_the_kernel_follows);
	tcase_add_test(alone, it_is_described);
	tcase_add_checked_fixture(together, make, NULL);
	tcase_add_test(together, another_thread_is_not_the_owner);
	tcase_add_test(together, a_wait_ends_at_its_timeout);
	tcase_add_test(together, the_next_owner_is_told_of_a_death_once);
	tcase_add_test(together, a_death_wakes_the_waiters_one_after_the_other);
	tcase_add_test(together, an_exit_and_an_exec_are_deaths_too);
	tcase_add_test(together, the_end_of_a_thread_is_a_death_too);
	tcase_add_test(together, a_killed_waiter_does_not_strand_those_behind);
	tcase_add_test(together, it_excludes);
	tcase_add_test(together, it_excludes_threads);
	tcase_add_test(together, a_forked_child_is_not_the_owner);
	tcase_add_test(together, a_waiter_costs_nothing);
	tcase_add_checked_fixture(hosts, make, NULL);
	tcase_add_test(hosts, signals_do_not_end_a_wait);
	tcase_add_test(hosts, a_signal_handler_may_lock);
#ifndef __SANITIZE_THREAD__ /* which takes the orders of its mutexes for a deadlock to be */
	tcase_add_test(hosts, it_shares_the_list_with_pthread_mutexes);
#endif
	tcase_add_test(hosts, a_list_of_the_hosts_own_is_refused);
	tcase_add_test(hosts, another_pid_namespace_is_refused);
	return leak_run(suite);
}
