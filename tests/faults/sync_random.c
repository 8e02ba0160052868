/* sync_random KILLS [SEED] - processes that use everything of src/sync together are killed at random
 *
 * Four workers do one thing after the other on the same objects; each wait has a limit that is reached only
 * when somebody sleeps who should not. One worker after the other is killed and replaced. This process is
 * never killed; it puts in what the dead took along (permits of the plain semaphore, items). Closes with
 *
 *	random-kills: kills=N failures=N
 */
#include <brood/brood.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chance.h"

#define WORKERS 4
#define LIMIT (30 * BROOD_SEC)
#define SEATS 2

static struct shared {
	brood_lock lock, items_lock;
	brood_rlock rlock;
	brood_sem sem, bounded;
	brood_event event;
	brood_cond cond;
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
	volatile long a, b, c, d, e, f; /* pairs that are equal */
	long items;
	long beats[WORKERS];
	int failures;
} * s;

static void failed(const char *what, int r)
{
	fprintf(stderr, "FAILED: %s: %d\n", what, r);
	__atomic_fetch_add(&s->failures, 1, __ATOMIC_SEQ_CST);
}

/* Two numbers that are equal but in the middle of this; who died there is told of. */
static void change_pair(volatile long *one, volatile long *other, int r, const char *what)
{
	if (r < 0) {
		failed(what, r);
		return;
	}
	if (r == 0 && *one != *other)
		failed(what, 1000);
	*one += 1;
	*other = *one;
}

static void use_lock(void)
{
	change_pair(&s->a, &s->b, brood_lock_acquire(&s->lock, LIMIT), "lock");
	brood_lock_release(&s->lock);
}

static void use_rlock(void)
{
	int r = brood_rlock_acquire(&s->rlock, LIMIT);

	brood_rlock_acquire(&s->rlock, LIMIT);
	change_pair(&s->c, &s->d, r, "rlock");
	brood_rlock_release(&s->rlock);
	brood_rlock_release(&s->rlock);
}

static void use_rwlock(void)
{
	int r;

	if (below(4) == 0) {
		change_pair(&s->e, &s->f, brood_rwlock_write(&s->rwlock, LIMIT), "rwlock, write");
	} else {
		r = brood_rwlock_read(&s->rwlock, LIMIT);
		if (r < 0 || (r == 0 && s->e != s->f))
			failed("rwlock, read", r);
	}
	brood_rwlock_release(&s->rwlock);
}

static void use_permits(void)
{
	int r = brood_permits_acquire(&s->permits, LIMIT);

	if (r < 0)
		failed("permits", r);
	else if (brood_permits_release(&s->permits) != 0)
		failed("permits, release", 0);
}

static void use_sem(brood_sem *sem, const char *what)
{
	int r = brood_sem_acquire(sem, LIMIT);

	if (r < 0)
		failed(what, r);
	else
		brood_sem_release(sem);
}

static void use_event(void)
{
	switch (below(3)) {
	case 0:
		brood_event_set(&s->event);
		break;
	case 1:
		brood_event_clear(&s->event);
		break;
	default:
		brood_event_wait(&s->event, BROOD_MSEC);
	}
}

static void put_item(void)
{
	if (brood_lock_acquire(&s->items_lock, LIMIT) < 0)
		failed("lock of items", 0);
	s->items++;
	brood_cond_notify(&s->cond, 1);
	brood_lock_release(&s->items_lock);
}

static void get_item(void)
{
	int r = brood_lock_acquire(&s->items_lock, LIMIT);

	for (;;) {
		if (r == BROOD_OWNER_DIED)
			brood_cond_notify_all(&s->cond);
		if (r < 0 || s->items > 0)
			break;
		r = brood_cond_wait(&s->cond, LIMIT);
	}
	if (r < 0)
		failed("condition", r);
	else
		s->items--;
	brood_lock_release(&s->items_lock);
}

static void use_barrier(void)
{
	int64_t began = brood_now();
	int r = brood_barrier_wait(&s->barrier, 2 * BROOD_MSEC);

	if (r == -ECANCELED || r == -ETIMEDOUT)
		brood_barrier_reset(&s->barrier);
	else if (r < 0 && r != -EBUSY)
		failed("barrier", r);
	if (brood_now() - began > LIMIT)
		failed("barrier is late", r);
}

static void work(int nth)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		switch (below(10)) {
		case 0:
			use_lock();
			break;
		case 1:
			use_rlock();
			break;
		case 2:
			use_rwlock();
			break;
		case 3:
			use_permits();
			break;
		case 4:
			use_sem(&s->sem, "semaphore");
			break;
		case 5:
			use_sem(&s->bounded, "bounded semaphore");
			break;
		case 6:
			use_event();
			break;
		case 7:
			put_item();
			break;
		case 8:
			get_item();
			break;
		default:
			use_barrier();
		}
		__atomic_fetch_add(&s->beats[nth], 1, __ATOMIC_RELAXED);
	}
}

static pid_t start(int nth)
{
	pid_t pid = fork();

	if (pid == 0) {
		chance_part();
		work(nth);
	}
	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	return pid;
}

/* What the dead had taken is put in again: here only one at a time that nobody seems to have. */
static void refill(brood_sem *sem)
{
	if (brood_sem_value(sem) != 0)
		return;
	nap(1000);
	if (brood_sem_value(sem) == 0)
		brood_sem_release(sem);
}

static void kill_at_random(long kills)
{
	pid_t pids[WORKERS];

	for (int i = 0; i < WORKERS; i++)
		pids[i] = start(i);
	for (long n = 0; n < kills && s->failures == 0; n++) {
		int victim = (int)below(WORKERS);

		nap(50 + below(1500));
		kill(pids[victim], SIGKILL);
		waitpid(pids[victim], NULL, 0);
		pids[victim] = start(victim);
		refill(&s->sem);
		refill(&s->bounded);
		put_item();
	}
	/* without kills all must go on */
	for (int i = 0; i < WORKERS; i++) {
		int64_t end = brood_now() + LIMIT;
		long before = __atomic_load_n(&s->beats[i], __ATOMIC_RELAXED);

		while (__atomic_load_n(&s->beats[i], __ATOMIC_RELAXED) < before + 3) {
			refill(&s->sem);
			refill(&s->bounded);
			put_item();
			nap(100);
			if (brood_now() > end) {
				failed("a worker stands still", i);
				break;
			}
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

int main(int argc, char **argv)
{
	long kills = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kills <= 0 || s == MAP_FAILED)
		return 2;
	chance_begin(argc > 2 ? argv[2] : NULL);
	if (brood_lock_init(&s->lock) < 0 || brood_lock_init(&s->items_lock) < 0 ||
	    brood_rlock_init(&s->rlock) < 0 || brood_sem_init(&s->sem, 2) < 0 ||
	    brood_sem_init_bounded(&s->bounded, 1, 1) < 0 || brood_event_init(&s->event) < 0 ||
	    brood_cond_init(&s->cond, &s->items_lock) < 0 ||
	    brood_permits_init(&s->permits, sizeof(s->permits_memory), SEATS) < 0 ||
	    brood_rwlock_init(&s->rwlock, sizeof(s->rwlock_memory), SEATS) < 0 ||
	    brood_barrier_init(&s->barrier, sizeof(s->barrier_memory), 2, BROOD_FOREVER) < 0)
		return 2;
	kill_at_random(kills);
	printf("worked %ld times\n", s->beats[0] + s->beats[1] + s->beats[2] + s->beats[3]);
	printf("random-kills: kills=%ld failures=%d\n", kills, s->failures);
	return s->failures == 0 ? 0 : 1;
}
