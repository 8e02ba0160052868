/* ipc/queue_watch.h - who stands behind a queue's descriptor
 *
 *	WATCHING  the thread looks, or sleeps until the putting side moves. When there is something: TOLD, and then the eventfd is set.
 *	TOLD      it sleeps until a get of this process has found nothing, which clears the eventfd, and then says WATCHING.
 *	STOP      it ends.
 *
 * Who clears says WATCHING after it, and the thread looks before it sleeps: so whatever came in between sets the eventfd
 * again. The thread says TOLD before it sets: cleared in between, it is set for nothing, which a get finds out; the
 * other way round it would be clear, and stay TOLD. */
#ifndef IPC_QUEUE_WATCH_H
#define IPC_QUEUE_WATCH_H

#include <pthread.h>

#include "ipc/queue_side.h"

enum { BRI_WATCHING, BRI_TOLD, BRI_STOP };

struct bri_watcher {
	brood_queue *queue;
	uint64_t generation;           /* of the process that has the thread */
	struct bri_watcher *inherited; /* of the one that it was forked from */
	pthread_t thread;
	uint32_t state;
	int fd;
};

/* Without its thread. */
int bri_watcher_new(brood_queue *queue, struct bri_watcher **ret_watcher);

/* One look: it tells, or sleeps. */
void bri_watcher_look(struct bri_watcher *watcher);

#endif
