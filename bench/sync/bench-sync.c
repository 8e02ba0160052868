/* bench-sync [ROUNDS] - locks, semaphores and events beside pthread's, sem_t and a bare futex
 * bench-sync alone | contended - brood's lock only, one figure, for a peer that is another program
 *
 * The lines are those of rounds.h. */
#include <brood/event.h>
#include <brood/lock.h>
#include <brood/sem.h>

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../rounds.h"

#define WORKERS 4
#define ALONE 1000000L
#define CROWDED_NS (60 * BROOD_MSEC)
#define SHARED_NS (200 * BROOD_MSEC) /* many turns of the scheduler */
#define TRIPS 3000L
#define LINE __attribute__((aligned(128)))

static struct shared {
	LINE brood_lock lock;
	LINE pthread_mutex_t mutex;
	LINE brood_sem sem;
	LINE sem_t posix_sem;
	LINE brood_event there;
	LINE brood_event back;
	LINE uint32_t futex_there;
	LINE uint32_t futex_back;
	LINE volatile long counter;
	LINE volatile int go;
	volatile int stop;
	struct {
		LINE volatile long n;
	} done[WORKERS];
} * s;

/* ---- what is measured */

static void with_lock(void)
{
	brood_lock_acquire(&s->lock, BROOD_FOREVER);
	s->counter++;
	brood_lock_release(&s->lock);
}

static void with_mutex(void)
{
	pthread_mutex_lock(&s->mutex);
	s->counter++;
	pthread_mutex_unlock(&s->mutex);
}

static void with_sem(void)
{
	brood_sem_acquire(&s->sem, BROOD_FOREVER);
	s->counter++;
	brood_sem_release(&s->sem);
}

static void with_posix_sem(void)
{
	while (sem_wait(&s->posix_sem) != 0)
		;
	s->counter++;
	sem_post(&s->posix_sem);
}

/* Nanoseconds of one, with nobody else about. */
static double alone(bool ours)
{
	int64_t began = brood_now();

	for (long i = 0; i < ALONE; i++)
		if (ours) {
			brood_lock_acquire(&s->lock, BROOD_FOREVER);
			brood_lock_release(&s->lock);
		} else {
			pthread_mutex_lock(&s->mutex);
			pthread_mutex_unlock(&s->mutex);
		}
	return (double)(brood_now() - began) / (double)ALONE;
}

static pid_t start(void (*body)(void *), void *arg)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	body(arg);
	_exit(0);
}

struct job {
	void (*one)(void);
	int nth;
};

static void work(void *arg)
{
	const struct job *job = arg;

	while (!s->go)
		;
	while (!s->stop) {
		job->one();
		s->done[job->nth].n++;
	}
}

/* Lets four processes want it all the time for so long; s->done says how often each had it. Returns how
 * long it took. */
static int64_t crowd(void (*one)(void), int64_t lasts_ns)
{
	pid_t pids[WORKERS];
	int64_t began;

	s->go = s->stop = 0;
	for (int i = 0; i < WORKERS; i++) {
		struct job job = { one, i };

		s->done[i].n = 0;
		pids[i] = start(work, &job);
	}
	s->go = 1;
	began = brood_now();
	usleep((useconds_t)(lasts_ns / 1000));
	s->stop = 1;
	began = brood_now() - began;
	for (int i = 0; i < WORKERS; i++)
		waitpid(pids[i], NULL, 0);
	return began;
}

static long all_done(void)
{
	long all = 0;

	for (int i = 0; i < WORKERS; i++)
		all += s->done[i].n;
	return all;
}

/* Millions a second, of four processes. */
static double contended(void (*one)(void))
{
	int64_t took = crowd(one, CROWDED_NS);

	return (double)all_done() / (double)took * 1e3;
}

/* Percent of its fair share that the one of four who had it least often had. */
static double least_served(bool ours)
{
	long least;

	(void)crowd(ours ? with_lock : with_mutex, SHARED_NS);
	least = s->done[0].n;
	for (int i = 1; i < WORKERS; i++)
		least = s->done[i].n < least ? s->done[i].n : least;
	return 100.0 * WORKERS * (double)least / (double)all_done();
}

static void answer_events(void *unused)
{
	(void)unused;
	for (long i = 0; i < TRIPS; i++) {
		brood_event_wait(&s->there, BROOD_FOREVER);
		brood_event_clear(&s->there);
		brood_event_set(&s->back);
	}
}

static void futex_wait_for(uint32_t *word)
{
	while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0)
		syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void futex_set(uint32_t *word)
{
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void answer_futexes(void *unused)
{
	(void)unused;
	for (long i = 0; i < TRIPS; i++) {
		futex_wait_for(&s->futex_there);
		futex_set(&s->futex_back);
	}
}

/* Microseconds of a wake there and one back. */
static double trips(bool ours)
{
	pid_t pid = start(ours ? answer_events : answer_futexes, NULL);
	int64_t began = brood_now();

	for (long i = 0; i < TRIPS; i++)
		if (ours) {
			brood_event_set(&s->there);
			brood_event_wait(&s->back, BROOD_FOREVER);
			brood_event_clear(&s->back);
		} else {
			futex_set(&s->futex_there);
			futex_wait_for(&s->futex_back);
		}
	began = brood_now() - began;
	waitpid(pid, NULL, 0);
	return (double)began / (double)TRIPS / 1e3;
}

static double beside_fair_share(bool ours)
{
	return ours ? least_served(true) : 100;
}

/* ---- rounds */

static double lock_contended(bool ours)
{
	return contended(ours ? with_lock : with_mutex);
}

static double sem_contended(bool ours)
{
	return contended(ours ? with_sem : with_posix_sem);
}

static const struct rounds_figure figures[] = {
	{ "lock.alone", "ns", "pthread-robust", alone, false },
	{ "lock.contended4", "M/s", "pthread-robust", lock_contended, true },
	{ "lock.least-served.of4", "%", "fair-share", beside_fair_share, true },
	{ "lock.least-served.of4", "%", "pthread-robust", least_served, true },
	{ "sem.contended4", "M/s", "sem_t", sem_contended, true },
	{ "event.wake", "us", "futex", trips, false },
};

static bool make(void)
{
	pthread_mutexattr_t attr;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return false;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	return pthread_mutex_init(&s->mutex, &attr) == 0 && sem_init(&s->posix_sem, 1, 1) == 0 &&
	       brood_lock_init(&s->lock) == 0 && brood_sem_init(&s->sem, 1) == 0 &&
	       brood_event_init(&s->there) == 0 && brood_event_init(&s->back) == 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "15";

	if (!make())
		return 1;
	if (strcmp(what, "alone") == 0)
		printf("%g\n", alone(true));
	else if (strcmp(what, "contended") == 0)
		printf("%g\n", contended(with_lock));
	else if (!rounds_take(what, figures, sizeof(figures) / sizeof(figures[0])))
		return 2;
	return 0;
}
