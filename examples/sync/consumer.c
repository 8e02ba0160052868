/* consumer - one process waits for the values that another makes: a condition
 *
 *	consumer
 *
 * There is room for one value. Who finds it full (or empty) waits until the other has changed that,
 * and sleeps meanwhile; two conditions of one lock, so that each wakes only whom it concerns.
 *
 * If the other is killed while it holds the lock, the wait ends with BROOD_OWNER_DIED. If it is
 * killed elsewhere nothing can tell, but the time that it takes. */
#include <brood/cond.h>
#include <brood/segment.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST 5
#define PATIENCE_NS (10 * BROOD_SEC)

struct box {
	brood_lock lock;
	brood_cond filled, emptied;
	bool full;
	int value;
};

static int put(struct box *box, int value)
{
	int r = brood_lock_acquire(&box->lock, PATIENCE_NS);

	if (r < 0)
		return r;
	while (r == 0 && box->full)
		r = brood_cond_wait(&box->emptied, PATIENCE_NS);
	if (r == 0) {
		box->value = value;
		box->full = true;
		brood_cond_notify(&box->filled, 1);
	}
	brood_lock_release(&box->lock);
	return r;
}

static int take(struct box *box, int *ret_value)
{
	int r = brood_lock_acquire(&box->lock, PATIENCE_NS);

	if (r < 0)
		return r;
	while (r == 0 && !box->full)
		r = brood_cond_wait(&box->filled, PATIENCE_NS);
	if (r == 0) {
		*ret_value = box->value;
		box->full = false;
		brood_cond_notify(&box->emptied, 1);
	}
	brood_lock_release(&box->lock);
	return r;
}

static int consume(struct box *box)
{
	int value = 0;

	while (value != LAST) {
		if (take(box, &value) != 0)
			return 1;
		dprintf(STDOUT_FILENO, "got %d\n", value);
	}
	return 0;
}

int main(void)
{
	brood_segment *segment;
	struct box *box;
	int r = 0, status = 0;
	pid_t pid;

	if (brood_segment_new(sizeof(*box), NULL, &segment) < 0)
		return 1;
	box = brood_segment_data(segment);
	if (brood_lock_init(&box->lock) < 0 || brood_cond_init(&box->filled, &box->lock) < 0 ||
	    brood_cond_init(&box->emptied, &box->lock) < 0)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(consume(box));
	for (int value = 1; value <= LAST && r == 0; value++)
		r = put(box, value);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		r = -1;
	brood_segment_unref(segment);
	return r != 0 || status != 0;
}
