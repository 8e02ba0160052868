/* two-inside - five processes and a room for two: a semaphore
 *
 *	two-inside
 *
 * Each process enters three times, and says when it enters and when it leaves; both while it has a
 * permit, so that what is said is true. A process that is killed inside takes its permit with it
 * (two-inside | head -1 kills them so), and the others give up after ten seconds; where that must
 * not be, brood/permits.h has semaphores that get it back. */
#include <brood/segment.h>
#include <brood/sem.h>

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOM 2
#define PROCESSES 5
#define TIMES 3
#define PATIENCE_NS (10 * BROOD_SEC)

static int visit(brood_sem *room, int who)
{
	const struct timespec a_while = { .tv_nsec = 5 * BROOD_MSEC };

	for (int i = 0; i < TIMES; i++) {
		if (brood_sem_acquire(room, PATIENCE_NS) < 0)
			return 1;
		dprintf(STDOUT_FILENO, "%d enters\n", who);
		nanosleep(&a_while, NULL);
		dprintf(STDOUT_FILENO, "%d leaves\n", who);
		if (brood_sem_release(room) < 0)
			return 1;
	}
	return 0;
}

int main(void)
{
	brood_segment *segment;
	brood_sem *room;
	int lost = 0;

	if (brood_segment_new(sizeof(*room), NULL, &segment) < 0)
		return 1;
	room = brood_segment_data(segment);
	if (brood_sem_init_bounded(room, ROOM, ROOM) < 0)
		return 1;
	for (int who = 1; who <= PROCESSES; who++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(visit(room, who));
		lost += pid < 0;
	}
	for (int status; wait(&status) > 0;)
		lost += status != 0;
	dprintf(STDOUT_FILENO, "%d of %d places are free\n", brood_sem_value(room), ROOM);
	brood_segment_unref(segment);
	return lost > 0;
}
