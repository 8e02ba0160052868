/* The descriptor of a queue: an eventfd of this process, set by a thread of it. A commit cannot set one in the step in
 * which it counts: so somebody of this process sees the commit, sleeping as the getters' leader does, but outside of the
 * line, since it takes nothing.
 *
 *	WATCHING  the thread looks, or sleeps until the putting side moves. When there is something: TOLD, and then the eventfd is set.
 *	TOLD      it sleeps until a get of this process has found nothing, which clears the eventfd, and then says WATCHING.
 *	STOP      it ends.
 *
 * Who clears says WATCHING after it, and the thread looks before it sleeps: so whatever came in between sets the eventfd
 * again. The thread says TOLD before it sets: cleared in between, it is set for nothing, which a get finds out; the
 * other way round it would be clear, and stay TOLD. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <brood/event.h>

#include "ipc/queue_end.h"
#include "os/clock.h"

#define STACK (256 << 10)
#define STALLED (100 * BROOD_MSEC) /* how long it waits for somebody in the middle of a put */
/* How often it asks whether producers are left. A death wakes one sleeper of the dead one's word, and that is the getters'
 * leader. */
#define ASKS (100 * BROOD_MSEC)

enum { WATCHING, TOLD, STOP };

struct bri_watcher {
	brood_queue *queue;
	uint64_t generation;
	struct bri_watcher *inherited; /* of the process that we were forked from */
	pthread_t thread;
	uint32_t state;
	int fd;
};

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
	if (change(watcher, TOLD, WATCHING))
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

	watches[0] = (struct bri_watch){ &mine->watcher->state, WATCHING };
	return 1;
}

static int64_t sleep_until(const brood_queue *queue)
{
	uint64_t stop = bri_side_look(&queue->memory->put).stop;

	return stop & BRI_STOP_PRODUCED ? bri_deadline(ASKS) : BROOD_FOREVER;
}

/* What cannot be asked for is told by a get. */
static void watch(struct bri_watcher *watcher, struct watch_call *mine)
{
	struct bri_watch watches[2];
	size_t n = bri_side_note(&mine->call, watches);
	int r = bri_queue_ready(watcher->queue);

	if (r == 0) {
		mine->call.deadline = bri_deadline(STALLED);
		r = bri_side_arm(&mine->call, watches);
		if (r > 0)
			(void)bri_futex_wait_any(watches, n, sleep_until(watcher->queue));
		if (r >= 0 || r == -ETIMEDOUT) {
			(void)bri_producers_end(watcher->queue, 0);
			return;
		}
	}
	if (change(watcher, WATCHING, TOLD))
		brood_event_fd_set(watcher->fd);
}

static void *run(void *arg)
{
	struct bri_watcher *watcher = arg;
	struct watch_call mine = { .watcher = watcher };

	prctl(PR_SET_NAME, "brood-queue");
	mine.call = (struct bri_call){
		.queue = watcher->queue,
		.self = bri_thread(),
		.other = &watcher->queue->memory->put,
		.timeout_ns = BROOD_FOREVER,
		.note = note_state,
	};
	for (;;) {
		uint32_t state = __atomic_load_n(&watcher->state, __ATOMIC_SEQ_CST);

		if (state == STOP)
			return NULL;
		if (state == TOLD)
			(void)bri_futex_wait(&watcher->state, TOLD, BROOD_FOREVER);
		else
			watch(watcher, &mine);
	}
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
	__atomic_store_n(&watcher->state, STOP, __ATOMIC_SEQ_CST);
	bri_futex_wake(&watcher->state, BRI_EVERYBODY);
	pthread_join(watcher->thread, NULL);
}

/* ---- the descriptor */

static int make(brood_queue *queue, struct bri_watcher **ret_watcher)
{
	struct bri_watcher *watcher = calloc(1, sizeof(*watcher));
	int r;

	if (watcher == NULL)
		return -ENOMEM;
	watcher->queue = queue;
	watcher->generation = bri_self_generation();
	r = brood_event_fd_new(&watcher->fd);
	if (r == 0) {
		r = start_thread(watcher);
		if (r < 0)
			close(watcher->fd);
	}
	if (r < 0) {
		free(watcher);
		return r;
	}
	*ret_watcher = watcher;
	return 0;
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
	close(mine->fd);
	free(mine);
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
