/* The descriptor of a queue: an eventfd of this process, set by a thread of it. A commit cannot set one in the step in
 * which it counts: so somebody of this process sees the commit, sleeping as the getters' leader does, but outside of the
 * line, since it takes nothing. queue_watch.h has how the two agree. */
#include "ipc/queue_watch.h"

#include <brood/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ipc/queue_end.h"
#include "ipc/queue_lease.h"
#include "os/clock.h"

#define STACK (256 << 10)
/* How often it asks whether producers are left, and leases come again. A death wakes one sleeper of the dead one's word, and
 * that is the getters' leader. */
#ifndef BRI_ASKS
#define BRI_ASKS (100 * BROOD_MSEC)
#endif

static bool change(struct bri_watcher *watcher, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&watcher->state, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static bool is_ours(const struct bri_watcher *watcher)
{
	return watcher->generation == bri_self_generation();
}

void bri_watcher_rearm(struct bri_watcher *watcher)
{
	if (!is_ours(watcher))
		return;
	brood_event_fd_clear(watcher->fd);
	if (change(watcher, BRI_TOLD, BRI_WATCHING))
		bri_futex_wake(&watcher->state, BRI_EVERYBODY);
}

/* ---- the thread */

struct watch_call {
	struct bri_call call;
	struct bri_watcher *watcher;
};

static size_t note_state(const struct bri_call *call, struct bri_watch *watches)
{
	const struct watch_call *mine = (const void *)call;

	watches[0] = (struct bri_watch){ &mine->watcher->state, BRI_WATCHING };
	return 1;
}

static int64_t sleep_until(const brood_queue *queue)
{
	bool produced = (bri_side_look(&queue->memory->put).stop & BRI_STOP_PRODUCED) != 0;
	struct bri_found found;

	bri_lease_scan(queue, &found);
	return produced || found.out > 0 ? bri_deadline(BRI_ASKS) : BROOD_FOREVER;
}

/* What cannot be asked for is told by a get. */
void bri_watcher_look(struct bri_watcher *watcher)
{
	struct watch_call mine = { .watcher = watcher };
	struct bri_watch watches[2];
	size_t n;
	int r;

	mine.call = (struct bri_call){ .queue = watcher->queue,
				       .self = bri_thread(),
				       .other = &watcher->queue->memory->put,
				       .deadline = bri_deadline(BRI_STALLED),
				       .note = note_state };
	n = bri_side_note(&mine.call, watches);
	r = bri_queue_ready(watcher->queue);
	if (r == 0) {
		r = bri_side_arm(&mine.call, watches);
		if (r > 0)
			(void)bri_futex_wait_any(watches, n, sleep_until(watcher->queue));
		if (r >= 0 || r == -ETIMEDOUT) {
			(void)bri_producers_end(watcher->queue, 0);
			return;
		}
	}
	if (change(watcher, BRI_WATCHING, BRI_TOLD))
		brood_event_fd_set(watcher->fd);
}

static void *run(void *arg)
{
	struct bri_watcher *watcher = arg;
	uint32_t state;

	prctl(PR_SET_NAME, "brood-queue");
	while ((state = __atomic_load_n(&watcher->state, __ATOMIC_SEQ_CST)) != BRI_STOP)
		if (state == BRI_TOLD)
			(void)bri_futex_wait(&watcher->state, BRI_TOLD, BROOD_FOREVER);
		else
			bri_watcher_look(watcher);
	return NULL;
}

static int start_thread(struct bri_watcher *watcher)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&watcher->thread, &attr, run, watcher);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

static void stop_thread(struct bri_watcher *watcher)
{
	__atomic_store_n(&watcher->state, BRI_STOP, __ATOMIC_SEQ_CST);
	bri_futex_wake(&watcher->state, BRI_EVERYBODY);
	pthread_join(watcher->thread, NULL);
}

/* ---- the descriptor */

int bri_watcher_new(brood_queue *queue, struct bri_watcher **ret_watcher)
{
	struct bri_watcher *watcher = calloc(1, sizeof(*watcher));
	int r;

	if (watcher == NULL)
		return -ENOMEM;
	watcher->queue = queue;
	watcher->generation = bri_self_generation();
	r = brood_event_fd_new(&watcher->fd);
	if (r < 0) {
		free(watcher);
		return r;
	}
	*ret_watcher = watcher;
	return 0;
}

static void drop(struct bri_watcher *watcher)
{
	close(watcher->fd);
	free(watcher);
}

static int make(brood_queue *queue, struct bri_watcher **ret_watcher)
{
	int r = bri_watcher_new(queue, ret_watcher);

	if (r == 0) {
		r = start_thread(*ret_watcher);
		if (r < 0)
			drop(*ret_watcher);
	}
	return r;
}

int brood_queue_poll_fd(brood_queue *queue)
{
	struct bri_watcher *watcher, *mine;
	int r = bri_queue_check(bri_thread(), queue);

	if (r < 0)
		return r;
	watcher = atomic_load(&queue->watcher);
	if (watcher != NULL && is_ours(watcher))
		return watcher->fd;
	r = make(queue, &mine);
	if (r < 0)
		return r;
	mine->inherited = watcher;
	if (atomic_compare_exchange_strong(&queue->watcher, &watcher, mine)) {
		if (mine->inherited != NULL)
			close(mine->inherited->fd);
		return mine->fd;
	}
	/* another thread was quicker */
	stop_thread(mine);
	drop(mine);
	return watcher->fd;
}

void bri_queue_unwatch(brood_queue *queue)
{
	struct bri_watcher *watcher = atomic_load(&queue->watcher), *next;

	if (watcher == NULL)
		return;
	if (is_ours(watcher))
		stop_thread(watcher);
	close(watcher->fd);
	for (; watcher != NULL; watcher = next) {
		next = watcher->inherited;
		free(watcher);
	}
}
