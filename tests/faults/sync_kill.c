/* sync_kill [--stride N] [--limit MS] [--reached FILE] [NAME...] - kill at every instruction of an operation
 *
 * A victim runs freely up to a mark, then goes on instruction by instruction (ptrace), and is killed after the 1st,
 * the 2nd, … to the last one of its operation. Each time those who are left must be able to go on by themselves
 * within the limit, with what they share in order, and nobody may sleep for ever. Where the victim
 * sleeps it is killed asleep, and in the next runs the others do what wakes it.
 *
 * NAME picks the scenarios whose names begin so. --stride tries every N-th instruction, at another beginning for each
 * scenario. --reached writes the addresses at which something was killed, relative to the program, for
 * sync_kill.py to compare with all that there are. Closes with
 *
 *	every-instruction: operations=N kills=N failures=N
 */
#include <brood/brood.h>

#include "scenarios.h"
#include "sync/robust.h"

#define LONG (60 * BROOD_SEC)
#define SEATS 3

/* What the processes share. */
struct shared {
	brood_lock lock, other;
	brood_rlock rlock;
	brood_sem sem, bounded;
	brood_event event;
	brood_latch latch;
	brood_cond cond, rcond;
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
	volatile long a, b;             /* equal, or who died in between is told of */
	int items, wrong;               /* wrong: an invariant did not hold for a survivor */
	int done, told, here, go, over; /* counted up by the processes */
	int outcome[4];
};
static struct shared *s;

/* ---- survivors */

static void take_lock(brood_lock *lock)
{
	int r = brood_lock_acquire(lock, LONG);

	if (r < 0 || (r == 0 && s->a != s->b))
		up(&s->wrong);
	s->told += r == BROOD_OWNER_DIED;
	s->b = s->a;
	if (brood_lock_release(lock) != 0)
		up(&s->wrong);
	up(&s->done);
}

static void use_lock(void)
{
	take_lock(&s->lock);
}

static void use_other(void)
{
	take_lock(&s->other);
}

/* Has the lock until `go`. */
static void hold_lock(void)
{
	if (brood_lock_acquire(&s->lock, LONG) < 0)
		up(&s->wrong);
	up(&s->here);
	await(&s->go);
	brood_lock_release(&s->lock);
	up(&s->over);
}

static void hold_and_die(void)
{
	brood_lock_acquire(&s->lock, LONG);
	up(&s->here);
	await(&s->go);
	_exit(0);
}

static void hold_barging(void)
{
	brood_lock_acquire(&s->lock, LONG);
	up(&s->here);
	while (get(&s->go) < 2)
		nap();
	brood_lock_release(&s->lock);
}

static const char *settle(void)
{
	return s->wrong ? "an invariant is broken" : NULL;
}

/* The lock is free or becomes so, and good for two more. */
static const char *check_lock(void)
{
	int before = get(&s->done);

	start(use_lock);
	if (!until(&s->done, before + 1))
		return "the lock is not to be had";
	start(use_lock);
	if (!until(&s->done, before + 2))
		return "the lock is not to be had a second time";
	return settle();
}

/* Those who were waiting get it by themselves. */
static pid_t first, second;

static const char *check_waiters(int n)
{
	if (!until(&s->done, n))
		return "a waiter sleeps on";
	return check_lock();
}

/* ---- lock */

static void lock_and_unlock(void)
{
	if (brood_lock_acquire(&s->lock, LONG) < 0)
		return;
	s->a++;
	s->b++;
	brood_lock_release(&s->lock);
}

static void lock(void)
{
	brood_lock_acquire(&s->lock, LONG);
}

static void unlock(void)
{
	brood_lock_release(&s->lock);
}

/* … which has joined in the fences then: these have not yet, or may not. */
static void lock_before_joining(void)
{
	lock();
	bri_thread_self.freed = 0;
}

static void may_not_join(void)
{
	bri_thread_self.freed = BRI_JOIN_AFTER;
}

static void attach(void)
{
	brood_lock_acquire(&s->other, LONG);
	brood_lock_release(&s->other);
}

static void one_waits(void)
{
	first = start(use_lock);
	await_asleep(first);
}

static void two_wait(void)
{
	one_waits();
	second = start(use_lock);
	await_asleep(second);
}

static void two_wait_unnoticed(void)
{
	two_wait();
	s->lock.barged = 5;
}

static const char *one_gets_it(void)
{
	return check_waiters(1);
}

static const char *two_get_it(void)
{
	return check_waiters(2);
}

static void other_holds(void)
{
	start(hold_lock);
	until(&s->here, 1);
}

static void other_holds_and_dies(void)
{
	start(hold_and_die);
	until(&s->here, 1);
}

/* The victim sleeps: another comes behind it, then the holder lets go. */
static void follow_and_go(void)
{
	one_waits();
	s->go = 1;
}

static const char *follower_gets_it(void)
{
	if (first == 0)
		follow_and_go();
	return check_waiters(1);
}

/* … and somebody barges in before the woken one can take it. */
static void follow_go_and_barge(void)
{
	one_waits();
	s->go = 1;
	until(&s->over, 1);
	s->here = 0;
	start(hold_barging);
	until(&s->here, 1);
}

static const char *follower_gets_it_after_the_barger(void)
{
	if (first == 0)
		follow_go_and_barge();
	s->go = 2;
	return check_waiters(1);
}

static void let_barger_go(void)
{
	s->go = 2;
}

static void lock_shortly(void)
{
	if (brood_lock_acquire(&s->lock, BROOD_MSEC) >= 0)
		brood_lock_release(&s->lock);
}

/* The first lock must not get lost behind the second one. */
static void lock_two(void)
{
	brood_lock_acquire(&s->other, LONG);
}

static void lock_and_unlock_between(void)
{
	lock_and_unlock();
	brood_lock_release(&s->other);
}

static const char *both_are_free(void)
{
	int before = get(&s->done);

	start(use_other);
	if (!until(&s->done, before + 1))
		return "the lock that was held before is not to be had";
	return check_lock();
}

static void lock_wrongly(void)
{
	static brood_lock none[2];
	brood_lock *misaligned = (brood_lock *)(void *)((char *)none + 4);

	brood_lock_acquire(NULL, 0);
	brood_lock_acquire(none, 0);
	brood_lock_acquire(misaligned, 0);
	brood_lock_release(none);
	brood_lock_release(&s->other);
	s->other.stamp ^= UINT64_C(1) << 40;
	brood_lock_acquire(&s->other, 0);
	s->other.stamp ^= UINT64_C(1) << 40;
	brood_lock_acquire(&s->lock, 0);
	brood_lock_acquire(&s->lock, 0);
	brood_lock_acquire(&s->lock, BROOD_SEC);
	brood_lock_release(&s->lock);
}

/* ---- recursive lock */

static void use_rlock(void)
{
	if (brood_rlock_acquire(&s->rlock, LONG) < 0 || brood_rlock_acquire(&s->rlock, LONG) < 0 ||
	    brood_rlock_release(&s->rlock) < 0 || brood_rlock_release(&s->rlock) < 0 ||
	    brood_rlock_release(&s->rlock) != -EPERM)
		up(&s->wrong);
	up(&s->done);
}

static void lock_deep(void)
{
	brood_rlock_acquire(&s->rlock, LONG);
	brood_rlock_acquire(&s->rlock, LONG);
	brood_rlock_release(&s->rlock);
	brood_rlock_release(&s->rlock);
	brood_rlock_release(&s->rlock);
	brood_rlock_acquire(NULL, 0);
	brood_rlock_release(NULL);
	brood_rlock_acquire(&s->rlock, LONG);
	s->rlock.depth = UINT32_MAX;
	brood_rlock_acquire(&s->rlock, LONG);
	s->rlock.depth = 1;
	brood_rlock_release(&s->rlock);
}

static const char *rlock_is_free(void)
{
	start(use_rlock);
	if (!until(&s->done, 1))
		return "the recursive lock is not to be had";
	return settle();
}

/* ---- semaphores */

static brood_sem *sem;

static void choose_sem(void)
{
	sem = &s->sem;
}

static void choose_bounded(void)
{
	sem = &s->bounded;
}

static void empty_it(void)
{
	while (brood_sem_acquire(sem, 0) == 0)
		;
}

static void take_permit(void)
{
	if (brood_sem_acquire(sem, LONG) != 0)
		up(&s->wrong);
	up(&s->done);
	pause();
}

static void pass_sem(void)
{
	if (brood_sem_acquire(sem, LONG) == 0)
		brood_sem_release(sem);
}

static void take_it(void)
{
	brood_sem_acquire(sem, LONG);
	up(&s->over);
}

static void take_it_shortly(void)
{
	brood_sem_acquire(sem, BROOD_MSEC);
}

static void give_it(void)
{
	brood_sem_release(sem);
	up(&s->over);
}

static void give_it_twice(void)
{
	brood_sem_release(sem);
	brood_sem_release(sem);
	brood_sem_release(sem);
}

static void one_wants(void)
{
	empty_it();
	first = start(take_permit);
	await_asleep(first);
}

static void two_want(void)
{
	one_wants();
	second = start(take_permit);
	await_asleep(second);
}

/* Permits and takers add up: what there is is taken by all who want. */
static const char *takers_served(int takers)
{
	int given = 0;

	for (;;) {
		int64_t soon = brood_now() + 2 * BROOD_MSEC;

		/* as long as there is a permit somebody must take it */
		if (brood_sem_value(sem) > 0 && get(&s->done) < takers) {
			int now = get(&s->done);

			if (!until(&s->done, now + 1))
				return "there is a permit, and a waiter sleeps on";
			continue;
		}
		if (get(&s->done) >= takers)
			break;
		while (brood_now() < soon && brood_sem_value(sem) == 0 && get(&s->done) < takers)
			nap();
		if (brood_sem_value(sem) == 0 && get(&s->done) < takers) {
			if (given++ > takers)
				return "permits were given and did not arrive";
			brood_sem_release(sem);
			nap();
		}
	}
	return settle();
}

static const char *one_served(void)
{
	return takers_served(1);
}

static const char *two_served(void)
{
	return takers_served(2);
}

/* The victim sleeps as the first: another comes behind, then a permit. */
static void follow_and_give(void)
{
	first = start(take_permit);
	await_asleep(first);
	brood_sem_release(sem);
}

static const char *follower_served(void)
{
	if (first == 0)
		follow_and_give();
	return takers_served(1);
}

static const char *sem_is_good(void)
{
	empty_it();
	start(take_permit);
	return takers_served(1);
}

/* The victim sleeps behind the gate of another that leads; permits come for both. */
static void give_two(void)
{
	brood_sem_release(sem);
	brood_sem_release(sem);
}

static void sem_wrongly(void)
{
	brood_sem_acquire(NULL, 0);
	brood_sem_release(NULL);
	brood_sem_release(&s->bounded);
	s->bounded.word |= 0x80000000;
	brood_sem_release(&s->bounded);
	brood_sem_acquire(&s->bounded, 0);
	brood_sem_release(&s->bounded);
	s->sem.word = 0;
	brood_sem_acquire(&s->sem, 0);
	s->sem.word = 0x80000001;
	brood_sem_release(&s->sem);
}

/* ---- event */

static void wait_event(void)
{
	if (brood_event_wait(&s->event, LONG) != 0)
		up(&s->wrong);
	up(&s->done);
}

static void two_wait_for_event(void)
{
	first = start(wait_event);
	await_asleep(first);
	second = start(wait_event);
	await_asleep(second);
}

static void set_event(void)
{
	brood_event_set(&s->event);
	brood_event_set(&s->event);
	brood_event_set(NULL);
}

static void set_and_clear(void)
{
	brood_event_set(&s->event);
	brood_event_clear(&s->event);
	brood_event_clear(&s->event);
	brood_event_clear(NULL);
}

static void wait_for_event(void)
{
	brood_event_wait(&s->event, LONG);
	brood_event_wait(&s->event, 0);
	brood_event_wait(NULL, 0);
}

static void wait_shortly_for_event(void)
{
	brood_event_wait(&s->event, 0);
	brood_event_wait(&s->event, BROOD_MSEC);
}

static void another_waits_and_set(void)
{
	first = start(wait_event);
	await_asleep(first);
	brood_event_set(&s->event);
}

/* Set, for those who wait; it is not, and they sleep: then set it. */
static const char *waiters_see_it(int n)
{
	if (brood_event_is_set(&s->event) || s->event.word >> 1 & 0x3fffffff) {
		if (!until(&s->done, n))
			return "the event is set, and a waiter sleeps on";
	} else {
		brood_event_set(&s->event);
		if (!until(&s->done, n))
			return "the event was set, and a waiter sleeps on";
	}
	return settle();
}

static const char *two_see_it(void)
{
	return waiters_see_it(2);
}

static const char *other_sees_it(void)
{
	if (first == 0)
		another_waits_and_set();
	return waiters_see_it(1);
}

/* ---- latch; it counts down from two */

static void wait_latch(void)
{
	if (brood_latch_wait(&s->latch, LONG) != 0)
		up(&s->wrong);
	up(&s->done);
}

static void two_wait_for_latch(void)
{
	first = start(wait_latch);
	await_asleep(first);
	second = start(wait_latch);
	await_asleep(second);
}

static void count_down(void)
{
	brood_latch_count_down(&s->latch, 1);
	brood_latch_count_down(&s->latch, 1);
}

static void count_down_wrongly(void)
{
	brood_latch_count_down(NULL, 1);
	brood_latch_wait(NULL, 0);
	brood_latch_count_down(&s->latch, 0);
	brood_latch_count_down(&s->latch, 3);
}

static void wait_for_latch(void)
{
	brood_latch_wait(&s->latch, LONG);
	brood_latch_wait(&s->latch, 0);
}

static void wait_shortly_for_latch(void)
{
	brood_latch_wait(&s->latch, 0);
	brood_latch_wait(&s->latch, BROOD_MSEC);
}

static void another_waits_and_all_count(void)
{
	first = start(wait_latch);
	await_asleep(first);
	count_down();
}

/* Counted down to zero, for those who wait; it is not, and they sleep: then count the rest. */
static const char *waiters_pass(int n)
{
	int left = brood_latch_count(&s->latch);

	if (left < 0 || left > 2)
		return "the latch has another count";
	if (left > 0)
		brood_latch_count_down(&s->latch, (uint32_t)left);
	if (!until(&s->done, n))
		return "the latch is at zero, and a waiter sleeps on";
	return settle();
}

static const char *two_pass(void)
{
	return waiters_pass(2);
}

static const char *other_passes(void)
{
	if (first == 0)
		first = start(wait_latch);
	return waiters_pass(1);
}

/* ---- condition */

/* What everybody who is told of a death owes the waiters: one may have been let go, and have died before it took
 * what it was let go for. So they all look. */
static int heed(int r)
{
	if (r == BROOD_OWNER_DIED)
		brood_cond_notify_all(&s->cond);
	return r;
}

/* Takes an item, and a death for what it is: a hint to look. */
static void consume(void)
{
	int r = brood_lock_acquire(&s->lock, LONG);

	for (;;) {
		heed(r);
		if (r < 0 || s->items > 0)
			break;
		r = brood_cond_wait(&s->cond, LONG);
	}
	if (r < 0)
		up(&s->wrong);
	s->items--;
	brood_lock_release(&s->lock);
	up(&s->done);
}

static void one_consumes(void)
{
	first = start(consume);
	await_asleep(first);
}

static void two_consume(void)
{
	one_consumes();
	second = start(consume);
	await_asleep(second);
}

static void produce(void)
{
	if (heed(brood_lock_acquire(&s->lock, LONG)) < 0)
		return;
	s->items++;
	brood_cond_notify(&s->cond, 1);
	brood_lock_release(&s->lock);
}

/* Not in the harness, who would wait for a lock that is the victim's next, and the victim for the next step. */
static void another_produces(void)
{
	start(produce);
}

static void produce_two(void)
{
	if (brood_lock_acquire(&s->lock, LONG) < 0)
		return;
	s->items += 2;
	brood_cond_notify_all(&s->cond);
	brood_lock_release(&s->lock);
}

/* Whatever there is must be consumed by itself; what is missing is produced. */
static const char *consumed(int consumers)
{
	for (int tries = 0; get(&s->done) < consumers; tries++) {
		int now = get(&s->done);

		if (get(&s->items) > 0) {
			if (!until(&s->done, now + 1))
				return "there is an item, and a waiter sleeps on";
			continue;
		}
		if (tries > 4)
			return "items were produced and did not arrive";
		produce();
	}
	return settle();
}

static const char *one_consumed(void)
{
	return consumed(1);
}

static const char *two_consumed(void)
{
	return consumed(2);
}

static void follow_and_produce(void)
{
	one_consumes();
	produce();
}

static void keep_busy(void)
{
	while (get(&s->over) == 0) {
		heed(brood_lock_acquire(&s->lock, LONG));
		brood_lock_release(&s->lock);
	}
}

static void lock_is_busy(void)
{
	start(keep_busy);
	start(keep_busy);
}

static void consume_as_victim(void)
{
	consume();
}

static const char *follower_consumed(void)
{
	if (first == 0)
		follow_and_produce();
	return consumed(first == 0 ? 0 : 1 + (get(&s->done) > 1));
}

static const char *follower_consumed_at_last(void)
{
	const char *why = follower_consumed();

	s->over = 1;
	return why;
}

static void change_and_die(void)
{
	brood_lock_acquire(&s->lock, LONG);
	s->items++;
	up(&s->here);
	_exit(0);
}

/* The victim and another sleep; somebody changes the data and dies before it notifies. */
static void follow_and_die(void)
{
	one_consumes();
	start(change_and_die);
	until(&s->here, 1);
}

static const char *follower_consumed_after_death(void)
{
	if (first == 0)
		follow_and_die();
	return consumed(1 + (get(&s->done) > 1));
}

static void wait_shortly_for_cond(void)
{
	if (brood_lock_acquire(&s->lock, LONG) < 0)
		return;
	brood_cond_wait(&s->cond, 0);
	brood_cond_wait(&s->cond, BROOD_MSEC);
	brood_cond_notify(&s->cond, 1);
	brood_cond_notify_all(&s->cond);
	brood_cond_notify(&s->cond, 0);
	brood_cond_notify(&s->cond, -1);
	brood_lock_release(&s->lock);
	brood_cond_wait(&s->cond, 0);
	brood_cond_notify(&s->cond, 1);
	brood_cond_notify_all(&s->cond);
	brood_cond_wait(NULL, 0);
	brood_cond_notify(NULL, 0);
}

static bool is_there(void *unused)
{
	(void)unused;
	return s->items > 0;
}

static void wait_deep(void)
{
	brood_rlock_acquire(&s->rlock, LONG);
	brood_rlock_acquire(&s->rlock, LONG);
	brood_cond_wait_for(&s->rcond, is_there, NULL, LONG);
	brood_rlock_release(&s->rlock);
	brood_rlock_release(&s->rlock);
}

static void wait_for_wrongly(void)
{
	brood_cond_wait_for(NULL, is_there, NULL, 0);
	brood_lock_acquire(&s->lock, LONG);
	brood_cond_wait_for(&s->cond, NULL, NULL, 0);
	brood_cond_wait_for(&s->cond, is_there, NULL, 0);
	s->items = 1;
	brood_cond_wait_for(&s->cond, is_there, NULL, 0);
	s->items = 0;
	brood_lock_release(&s->lock);
}

static void wait_deep_too(void)
{
	int r = brood_rlock_acquire(&s->rlock, LONG);

	while (r >= 0 && s->items == 0)
		r = brood_cond_wait(&s->rcond, LONG);
	if (r < 0)
		up(&s->wrong);
	brood_rlock_release(&s->rlock);
	up(&s->done);
}

static void notify_deep(void)
{
	brood_rlock_acquire(&s->rlock, LONG);
	s->items = 1;
	brood_cond_notify_all(&s->rcond);
	brood_rlock_release(&s->rlock);
}

static void follow_and_notify_deep(void)
{
	first = start(wait_deep_too);
	await_asleep(first);
	notify_deep();
}

static const char *deep_follower_goes(void)
{
	if (first == 0)
		follow_and_notify_deep();
	if (!until(&s->done, 1))
		return "a waiter sleeps on";
	start(use_rlock);
	return until(&s->done, 2) ? settle() : "the recursive lock is not to be had";
}

/* ---- barrier */

static void meet(int nth)
{
	s->outcome[nth] = brood_barrier_wait(&s->barrier, LONG);
	if (s->outcome[nth] < 0 && s->outcome[nth] != -ECANCELED)
		up(&s->wrong);
	up(&s->done);
}

static void meet_first(void)
{
	meet(0);
}

static void meet_second(void)
{
	meet(1);
}

static void meet_as_victim(void)
{
	brood_barrier_wait(&s->barrier, LONG);
	up(&s->over);
}

static void one_meets(void)
{
	first = start(meet_first);
	await_asleep(first);
}

static void two_meet(void)
{
	one_meets();
	second = start(meet_second);
	await_asleep(second);
}

static void another_meets(void)
{
	second = start(meet_second);
	await_asleep(second);
}

/* Who died as one that waits does not stay so: who sleep there notice, without anybody that comes. */
static bool only_living_are_counted(int living)
{
	int64_t end = brood_now() + limit_ns;

	while (living > 0 && brood_barrier_waiting(&s->barrier) > living - get(&s->done)) {
		if (brood_now() > end)
			return false;
		nap();
	}
	return true;
}

/* All `n` who are there go, whole or broken, if all had come or one that is counted has died; else they wait for one
 * that never came, and have their timeout, or here an abort. Then three can meet again. */
static const char *barrier_goes_on(int n)
{
	int64_t end = brood_now() + limit_ns;

	while (s->over && get(&s->done) < n) {
		if (brood_now() > end)
			return "all had come, and one sleeps on";
		nap();
	}
	if (!only_living_are_counted(n))
		return "a dead party is waited for";
	if (brood_barrier_abort(&s->barrier) < 0 || !until(&s->done, n))
		return "a party sleeps on in a broken barrier";
	if (n == 2 && (s->outcome[0] >= 0) != (s->outcome[1] >= 0))
		return "one party passed, the other did not";
	end_kids();
	if (brood_barrier_reset(&s->barrier) < 0)
		return "no reset";
	s->done = 0;
	one_meets();
	another_meets();
	if (brood_barrier_wait(&s->barrier, LONG) < 0 || !until(&s->done, 2) || s->outcome[0] < 0 ||
	    s->outcome[1] < 0)
		return "nobody can meet any more";
	return settle();
}

static const char *one_goes_on(void)
{
	return barrier_goes_on(1);
}

static const char *two_go_on(void)
{
	return barrier_goes_on(2);
}

static const char *leader_dies(void)
{
	if (!only_living_are_counted((first != 0) + (second != 0)))
		return "a dead party is waited for";
	if (first == 0)
		one_meets();
	if (second == 0)
		another_meets();
	return two_go_on();
}

static void two_come(void)
{
	one_meets();
	another_meets();
}

static void join_and_meet(void)
{
	int nth;

	brood_barrier_join(&s->barrier);
	nth = __atomic_fetch_add(&s->here, 1, __ATOMIC_SEQ_CST);
	await(&s->go);
	meet(nth);
}

static void two_have_joined(void)
{
	start(join_and_meet);
	start(join_and_meet);
	until(&s->here, 2);
}

static void joined_ones_come(void)
{
	s->go = 1;
}

static const char *joined_ones_end(void)
{
	s->go = 1;
	return barrier_goes_on(2);
}

/* Somebody died when it had begun to end a round. */
static void one_meets_and_an_end_was_begun(void)
{
	one_meets();
	s->barrier.ending = 2;
}

/* Somebody died who waited. */
static void one_met_and_died(void)
{
	one_meets();
	end_kid(first);
	first = 0;
}

static const char *none_goes_on(void)
{
	return barrier_goes_on(0);
}

static void join_and_leave(void)
{
	brood_barrier_join(&s->barrier);
	brood_barrier_join(&s->barrier);
	brood_barrier_leave(&s->barrier);
	brood_barrier_leave(&s->barrier);
}

static void join(void)
{
	brood_barrier_join(&s->barrier);
}

static void reset(void)
{
	brood_barrier_reset(&s->barrier);
	brood_barrier_reset(NULL);
}

static void abort_it(void)
{
	brood_barrier_abort(&s->barrier);
	brood_barrier_abort(NULL);
	brood_barrier_wait(&s->barrier, 0);
	brood_barrier_wait(NULL, 0);
	brood_barrier_join(NULL);
	brood_barrier_leave(NULL);
}

static void meet_shortly(void)
{
	brood_barrier_wait(&s->barrier, BROOD_MSEC);
}

static int fail(void *unused)
{
	(void)unused;
	return -EIO;
}

static void meet_failing(void)
{
	brood_barrier_wait_action(&s->barrier, LONG, fail, NULL);
}

/* ---- readers and writers */

static void read_it(void)
{
	int r = brood_rwlock_read(&s->rwlock, LONG);

	if (r < 0 || (r == 0 && s->a != s->b))
		up(&s->wrong);
	brood_rwlock_release(&s->rwlock);
	up(&s->done);
}

static void write_it(void)
{
	int r = brood_rwlock_write(&s->rwlock, LONG);

	if (r < 0 || (r == 0 && s->a != s->b))
		up(&s->wrong);
	s->a++;
	s->b = s->a;
	brood_rwlock_release(&s->rwlock);
	up(&s->done);
}

static void read_as_victim(void)
{
	brood_rwlock_read(&s->rwlock, LONG);
	brood_rwlock_read(&s->rwlock, LONG);
	brood_rwlock_release(&s->rwlock);
	brood_rwlock_release(&s->rwlock);
}

static void write_as_victim(void)
{
	if (brood_rwlock_write(&s->rwlock, LONG) < 0)
		return;
	s->a++;
	s->b++;
	brood_rwlock_release(&s->rwlock);
}

static void begin_writing(void)
{
	brood_rwlock_write(&s->rwlock, LONG);
}

static void begin_reading(void)
{
	brood_rwlock_read(&s->rwlock, LONG);
}

static void end_rw(void)
{
	brood_rwlock_release(&s->rwlock);
	brood_rwlock_release(&s->rwlock);
	brood_rwlock_release(NULL);
	brood_rwlock_read(NULL, 0);
	brood_rwlock_write(NULL, 0);
}

static void reader_and_writer_wait(void)
{
	first = start(write_it);
	await_asleep(first);
	second = start(read_it);
	await_asleep(second);
}

static void hold_reading(void)
{
	brood_rwlock_read(&s->rwlock, LONG);
	up(&s->here);
	await(&s->go);
	brood_rwlock_release(&s->rwlock);
}

static void hold_writing(void)
{
	brood_rwlock_write(&s->rwlock, LONG);
	up(&s->here);
	await(&s->go);
	brood_rwlock_release(&s->rwlock);
}

static void other_reads(void)
{
	start(hold_reading);
	until(&s->here, 1);
}

static void all_places_are_taken(void)
{
	for (int i = 0; i < SEATS; i++)
		start(hold_reading);
	until(&s->here, SEATS);
}

static void other_writes(void)
{
	start(hold_writing);
	until(&s->here, 1);
}

static void write_shortly(void)
{
	brood_rwlock_write(&s->rwlock, 0);
	brood_rwlock_write(&s->rwlock, BROOD_MSEC);
	brood_rwlock_read(&s->rwlock, BROOD_MSEC);
}

static void read_shortly(void)
{
	brood_rwlock_read(&s->rwlock, 0);
	brood_rwlock_read(&s->rwlock, BROOD_MSEC);
}

static void follow_both_and_go(void)
{
	reader_and_writer_wait();
	s->go = 1;
}

static const char *rwlock_serves(int n)
{
	if (!until(&s->done, n))
		return "one who wants to read or write sleeps on";
	start(write_it);
	if (!until(&s->done, n + 1))
		return "nobody can write any more";
	for (int i = 0; i < SEATS; i++)
		start(read_it);
	if (!until(&s->done, n + 1 + SEATS))
		return "not all can read any more";
	return settle();
}

static const char *rwlock_works(void)
{
	return rwlock_serves(0);
}

static const char *both_served(void)
{
	if (first == 0)
		follow_both_and_go();
	return rwlock_serves(2);
}

static const char *rest_served(void)
{
	s->go = 1;
	return rwlock_serves(0);
}

static void write_half_and_die(void)
{
	brood_rwlock_write(&s->rwlock, LONG);
	s->a++;
	_exit(0);
}

static void a_writer_died(void)
{
	pid_t pid = start(write_half_and_die);

	waitpid(pid, NULL, 0);
	n_kids--;
}

static void read_repair_and_read(void)
{
	brood_rwlock_read(&s->rwlock, LONG);
	brood_rwlock_release(&s->rwlock);
	if (brood_rwlock_write(&s->rwlock, LONG) < 0)
		return;
	s->b = s->a;
	brood_rwlock_release(&s->rwlock);
}

static void repair(void)
{
	if (brood_rwlock_write(&s->rwlock, LONG) < 0)
		return;
	s->b = s->a;
	brood_rwlock_release(&s->rwlock);
}

/* ---- permits */

static void hold_permits(void)
{
	for (int i = 0; i < SEATS; i++)
		brood_permits_acquire(&s->permits, LONG);
	up(&s->here);
	await(&s->go);
	brood_permits_release(&s->permits);
	brood_permits_release(&s->permits);
	brood_permits_release(&s->permits);
	up(&s->over);
}

static void use_permit(void)
{
	if (brood_permits_acquire(&s->permits, LONG) < 0 || brood_permits_release(&s->permits) != 0)
		up(&s->wrong);
	up(&s->done);
}

static void pass_permits(void)
{
	brood_permits_acquire(&s->permits, LONG);
	brood_permits_release(&s->permits);
	brood_permits_release(&s->permits);
	brood_permits_release(NULL);
	brood_permits_acquire(NULL, 0);
}

static void take_all(void)
{
	for (int i = 0; i < SEATS; i++)
		brood_permits_acquire(&s->permits, LONG);
}

static void take_one_more_shortly(void)
{
	brood_permits_acquire(&s->permits, 0);
	brood_permits_acquire(&s->permits, BROOD_MSEC);
}

static void give_permit(void)
{
	brood_permits_release(&s->permits);
	brood_permits_release(&s->permits);
}

static void other_has_all(void)
{
	start(hold_permits);
	until(&s->here, 1);
}

static void two_want_permits(void)
{
	first = start(use_permit);
	await_asleep(first);
	second = start(use_permit);
	await_asleep(second);
}

static void follow_for_permits(void)
{
	first = start(use_permit);
	await_asleep(first);
	s->go = 1;
}

static const char *permits_are_all_there(int n)
{
	if (!until(&s->done, n))
		return "one who wants a permit sleeps on";
	for (int i = 0; i < SEATS; i++)
		if (brood_permits_acquire(&s->permits, limit_ns) < 0)
			return "a permit is lost";
	if (brood_permits_acquire(&s->permits, 0) != -ETIMEDOUT)
		return "there is a permit too many";
	for (int i = 0; i < SEATS; i++)
		brood_permits_release(&s->permits);
	return settle();
}

static const char *permits_work(void)
{
	return permits_are_all_there(0);
}

static const char *two_have_permits(void)
{
	return permits_are_all_there(2);
}

static const char *follower_has_permit(void)
{
	if (first == 0)
		follow_for_permits();
	if (!until(&s->over, 1))
		return "the holder does not come to an end";
	return permits_are_all_there(1);
}

static const char *two_served_of_permits(void)
{
	s->go = 1;
	if (!until(&s->over, 1))
		return "the holder does not come to an end";
	return permits_are_all_there(2);
}

/* ---- once */

static int make_once(void *unused, bool again)
{
	(void)unused;
	if (again)
		s->b = s->a;
	s->a++;
	s->b++;
	return 0;
}

static int refuse_once(void *unused, bool again)
{
	(void)unused, (void)again;
	return -EIO;
}

static void do_once(void)
{
	brood_once_run(&s->once, make_once, NULL, LONG);
}

static void do_once_wrongly(void)
{
	brood_once_run(&s->once, refuse_once, NULL, LONG);
	brood_once_run(&s->once, make_once, NULL, LONG);
	brood_once_run(&s->once, make_once, NULL, LONG);
	brood_once_run(&s->once, NULL, NULL, 0);
	brood_once_run(NULL, NULL, NULL, 0);
}

static const char *it_is_done(void)
{
	if (brood_once_run(&s->once, make_once, NULL, limit_ns) < 0)
		return "it cannot be done any more";
	return s->a == s->b ? settle() : "it was left half done";
}

/* ---- the scenarios */

/* clang-format off */
static const struct scenario scenarios[] = {
	{ "lock alone", NULL, NULL, NULL, lock_and_unlock, NULL, check_lock, NULL, false },
	{ "lock first use", NULL, NULL, NULL, lock_and_unlock, NULL, check_lock, NULL, true },
	{ "lock second held", NULL, lock_two, NULL, lock_and_unlock_between, NULL, both_are_free, NULL, false },
	{ "lock release, one waits", NULL, lock, one_waits, unlock, NULL, one_gets_it, NULL, false },
	{ "lock release, two wait", NULL, lock, two_wait, unlock, NULL, two_get_it, NULL, false },
	{ "lock release, two wait unnoticed", NULL, lock, two_wait_unnoticed, unlock, NULL, two_get_it, NULL, false },
	{ "lock wait, another behind", other_holds, NULL, NULL, lock_and_unlock, follow_and_go, follower_gets_it, NULL, false },
	{ "lock wait, a third barges", other_holds, NULL, NULL, lock_and_unlock, follow_go_and_barge,
	  follower_gets_it_after_the_barger, let_barger_go, false },
	{ "lock inherit, another behind", other_holds_and_dies, NULL, NULL, lock_and_unlock, follow_and_go, follower_gets_it, NULL, false },
	{ "lock wait to timeout", other_holds, NULL, NULL, lock_shortly, NULL, follower_gets_it, NULL, false },
	{ "lock alone, watched", NULL, NULL, NULL, lock_and_unlock, NULL, check_lock, NULL, false },
	{ "lock release, two wait, watched", NULL, lock, two_wait, unlock, NULL, two_get_it, NULL, false },
	{ "lock wait, another behind, watched", other_holds, NULL, NULL, lock_and_unlock, follow_and_go, follower_gets_it, NULL, false },
	{ "lock second held, watched", NULL, lock_two, NULL, lock_and_unlock_between, NULL, both_are_free, NULL, false },
	{ "lock release before joining, one waits", NULL, lock_before_joining, one_waits, unlock, NULL, one_gets_it, NULL, false },
	{ "lock release before joining, watched", NULL, lock_before_joining, NULL, unlock, NULL, check_lock, NULL, false },
	{ "lock alone, watched, joining refused", NULL, may_not_join, NULL, lock_and_unlock, NULL, check_lock, NULL, false },
	{ "lock errors", NULL, NULL, NULL, lock_wrongly, NULL, check_lock, NULL, false },
	{ "rlock", NULL, NULL, NULL, lock_deep, NULL, rlock_is_free, NULL, false },
	{ "rlock, joining refused", NULL, may_not_join, NULL, lock_deep, NULL, rlock_is_free, NULL, false },
	{ "sem alone", choose_sem, NULL, NULL, pass_sem, NULL, sem_is_good, NULL, false },
	{ "sem release, one waits", choose_sem, NULL, one_wants, give_it, NULL, one_served, NULL, false },
	{ "sem release, two wait", choose_sem, NULL, two_want, give_it_twice, NULL, two_served, NULL, false },
	{ "sem wait, another behind", choose_sem, NULL, empty_it, take_it, follow_and_give, follower_served, NULL, false },
	{ "sem wait behind another", choose_sem, NULL, one_wants, take_it, give_two, one_served, NULL, false },
	{ "sem wait to timeout", choose_sem, NULL, empty_it, take_it_shortly, NULL, follower_served, NULL, false },
	{ "sem wait behind another to timeout", choose_sem, NULL, one_wants, take_it_shortly, NULL, one_served, NULL, false },
	{ "sem errors", choose_sem, NULL, NULL, sem_wrongly, NULL, sem_is_good, NULL, false },
	{ "bounded alone", choose_bounded, NULL, NULL, pass_sem, NULL, sem_is_good, NULL, false },
	{ "bounded release, one waits", choose_bounded, NULL, one_wants, give_it, NULL, one_served, NULL, false },
	{ "bounded release, two wait", choose_bounded, NULL, two_want, give_it_twice, NULL, two_served, NULL, false },
	{ "bounded wait, another behind", choose_bounded, NULL, empty_it, take_it, follow_and_give, follower_served, NULL, false },
	{ "bounded wait to timeout", choose_bounded, NULL, empty_it, take_it_shortly, NULL, follower_served, NULL, false },
	{ "event set, two wait", NULL, NULL, two_wait_for_event, set_event, NULL, two_see_it, NULL, false },
	{ "event set and clear, two wait", NULL, NULL, two_wait_for_event, set_and_clear, NULL, two_see_it, NULL, false },
	{ "event set and clear, nobody waits", NULL, NULL, NULL, set_and_clear, NULL, other_sees_it, NULL, false },
	{ "event wait", NULL, NULL, NULL, wait_for_event, another_waits_and_set, other_sees_it, NULL, false },
	{ "event wait to timeout", NULL, NULL, NULL, wait_shortly_for_event, NULL, other_sees_it, NULL, false },
	{ "latch to zero, two wait", NULL, NULL, two_wait_for_latch, count_down, NULL, two_pass, NULL, false },
	{ "latch to zero, nobody waits", NULL, NULL, NULL, count_down, NULL, other_passes, NULL, false },
	{ "latch errors", NULL, NULL, NULL, count_down_wrongly, NULL, other_passes, NULL, false },
	{ "latch wait", NULL, NULL, NULL, wait_for_latch, another_waits_and_all_count, other_passes, NULL, false },
	{ "latch wait to timeout", NULL, NULL, NULL, wait_shortly_for_latch, NULL, other_passes, NULL, false },
	{ "cond notify, one waits", NULL, NULL, one_consumes, produce, NULL, one_consumed, NULL, false },
	{ "cond notify, two wait", NULL, NULL, two_consume, produce, NULL, two_consumed, NULL, false },
	{ "cond notify all, two wait", NULL, NULL, two_consume, produce_two, NULL, two_consumed, NULL, false },
	{ "cond wait, another behind", NULL, NULL, NULL, consume_as_victim, follow_and_produce, follower_consumed, another_produces, false },
	{ "cond wait beside a busy lock", NULL, NULL, lock_is_busy, consume_as_victim, follow_and_produce, follower_consumed_at_last,
	  another_produces, false },
	{ "cond wait, the owner dies", NULL, NULL, NULL, consume_as_victim, follow_and_die, follower_consumed_after_death, another_produces,
	  false },
	{ "cond wait to timeout", NULL, NULL, NULL, wait_shortly_for_cond, NULL, follower_consumed, NULL, false },
	{ "cond wait_for, errors", NULL, NULL, NULL, wait_for_wrongly, NULL, follower_consumed, NULL, false },
	{ "cond wait, recursive", NULL, NULL, NULL, wait_deep, follow_and_notify_deep, deep_follower_goes, NULL, false },
	{ "barrier first", NULL, NULL, NULL, meet_as_victim, two_come, leader_dies, NULL, false },
	{ "barrier middle", NULL, NULL, one_meets, meet_as_victim, another_meets, leader_dies, NULL, false },
	{ "barrier last", NULL, NULL, two_meet, meet_as_victim, NULL, two_go_on, NULL, false },
	{ "barrier last, joined", NULL, join, two_meet, meet_as_victim, NULL, two_go_on, NULL, false },
	{ "barrier first, others joined", two_have_joined, NULL, NULL, meet_as_victim, joined_ones_come, joined_ones_end, NULL, false },
	{ "barrier after a death", one_met_and_died, NULL, NULL, meet_as_victim, NULL, none_goes_on, NULL, false },
	{ "barrier after half an end", one_meets_and_an_end_was_begun, NULL, NULL, reset, NULL, one_goes_on, NULL, false },
	{ "barrier join", NULL, NULL, one_meets, join_and_leave, NULL, one_goes_on, NULL, false },
	{ "barrier action fails", NULL, NULL, two_meet, meet_failing, NULL, two_go_on, NULL, false },
	{ "barrier reset", NULL, NULL, two_meet, reset, NULL, two_go_on, NULL, false },
	{ "barrier abort", NULL, NULL, two_meet, abort_it, NULL, two_go_on, NULL, false },
	{ "barrier timeout", NULL, NULL, one_meets, meet_shortly, NULL, one_goes_on, NULL, false },
	{ "rwlock read alone", NULL, NULL, NULL, read_as_victim, NULL, rwlock_works, NULL, false },
	{ "rwlock write alone", NULL, NULL, NULL, write_as_victim, NULL, rwlock_works, NULL, false },
	{ "rwlock end of writing, both wait", NULL, begin_writing, reader_and_writer_wait, end_rw, NULL, both_served, NULL, false },
	{ "rwlock end of reading, both wait", NULL, begin_reading, reader_and_writer_wait, end_rw, NULL, both_served, NULL, false },
	{ "rwlock write behind a reader", other_reads, NULL, NULL, write_as_victim, follow_both_and_go, both_served, NULL, false },
	{ "rwlock read behind a writer", other_writes, NULL, NULL, read_as_victim, follow_both_and_go, both_served, NULL, false },
	{ "rwlock read without a place", all_places_are_taken, NULL, NULL, read_as_victim, follow_both_and_go, both_served, NULL, false },
	{ "rwlock to timeout", other_reads, NULL, NULL, write_shortly, NULL, rest_served, NULL, false },
	{ "rwlock read to timeout", all_places_are_taken, NULL, NULL, read_shortly, NULL, rest_served, NULL, false },
	{ "rwlock read after a dead writer", a_writer_died, NULL, NULL, read_repair_and_read, NULL, rwlock_works, NULL, false },
	{ "rwlock write after a dead writer", a_writer_died, NULL, NULL, repair, NULL, rwlock_works, NULL, false },
	{ "permits alone", NULL, NULL, NULL, pass_permits, NULL, permits_work, NULL, false },
	{ "permits release, two wait", NULL, take_all, two_want_permits, give_permit, NULL, two_have_permits, NULL, false },
	{ "permits wait, another behind", other_has_all, NULL, NULL, pass_permits, follow_for_permits, follower_has_permit, NULL, false },
	{ "permits wait to timeout", other_has_all, NULL, NULL, take_one_more_shortly, NULL, follower_has_permit, NULL, false },
	{ "permits wait behind another to timeout", other_has_all, NULL, two_want_permits, take_one_more_shortly, NULL,
	  two_served_of_permits, NULL, false },
	{ "once", NULL, NULL, NULL, do_once, NULL, it_is_done, NULL, false },
	{ "once errors", NULL, NULL, NULL, do_once_wrongly, NULL, it_is_done, NULL, false },
};
/* clang-format on */

/* The victim's process has joined, and leaves by plain stores: who comes to wait meanwhile must not be forgotten. */
static const struct encounter meetings[] = {
	{ { "lock release, one comes to wait", NULL, lock, NULL, unlock, NULL, one_gets_it, NULL,
	    false },
	  one_waits },
	{ { "lock and unlock, one comes to wait", NULL, NULL, NULL, lock_and_unlock, NULL,
	    one_gets_it, NULL, false },
	  one_waits },
};

/* A lock whose conditions nobody ever waits for is a simpler one: most scenarios of the lock want that. */
static bool is_unwatched(const char *name)
{
	return strncmp(name, "lock ", 5) == 0 && strstr(name, "watched") == NULL;
}

static void make(const char *name)
{
	if (brood_lock_init(&s->lock) < 0 || brood_lock_init(&s->other) < 0 ||
	    brood_rlock_init(&s->rlock) < 0 || brood_sem_init(&s->sem, 1) < 0 ||
	    brood_sem_init_bounded(&s->bounded, 2, 2) < 0 || brood_event_init(&s->event) < 0 ||
	    brood_latch_init(&s->latch, 2) < 0 ||
	    (!is_unwatched(name) && brood_cond_init(&s->cond, &s->lock) < 0) ||
	    brood_cond_init_recursive(&s->rcond, &s->rlock) < 0 || brood_once_init(&s->once) < 0 ||
	    brood_permits_init(&s->permits, sizeof(s->permits_memory), SEATS) < 0 ||
	    brood_rwlock_init(&s->rwlock, sizeof(s->rwlock_memory), SEATS) < 0 ||
	    brood_barrier_init(&s->barrier, sizeof(s->barrier_memory), 3, BROOD_FOREVER) < 0) {
		fprintf(stderr, "the objects cannot be made\n");
		exit(2);
	}
}

static void anew(const char *name)
{
	memset(s, 0, sizeof(*s));
	first = second = 0;
	make(name);
}

int main(int argc, char **argv)
{
	s = shared_memory(sizeof(*s));
	encounters = meetings;
	n_encounters = sizeof(meetings) / sizeof(meetings[0]);
	return step_through(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
}
