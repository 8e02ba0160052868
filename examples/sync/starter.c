/* starter - four runners wait, one shot lets all of them go: an event
 *
 *	starter
 *
 * The starter shoots when all four have said that they are ready (a semaphore counts them). A
 * runner that comes late would find the event set, and run at once. */
#include <brood/event.h>
#include <brood/segment.h>
#include <brood/sem.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNNERS 4
#define PATIENCE_NS (10 * BROOD_SEC)

struct race {
	brood_sem ready;
	brood_event shot;
};

static int run(struct race *race, int who)
{
	dprintf(STDOUT_FILENO, "%d is ready\n", who);
	if (brood_sem_release(&race->ready) < 0 || brood_event_wait(&race->shot, PATIENCE_NS) < 0)
		return 1;
	dprintf(STDOUT_FILENO, "%d runs\n", who);
	return 0;
}

int main(void)
{
	brood_segment *segment;
	struct race *race;
	int lost = 0;

	if (brood_segment_new(sizeof(*race), NULL, &segment) < 0)
		return 1;
	race = brood_segment_data(segment);
	if (brood_sem_init(&race->ready, 0) < 0 || brood_event_init(&race->shot) < 0)
		return 1;
	for (int who = 1; who <= RUNNERS; who++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(run(race, who));
		lost += pid < 0;
	}
	/* One that died before it was ready never will be. */
	for (int i = 0; i < RUNNERS && lost == 0; i++)
		lost += brood_sem_acquire(&race->ready, PATIENCE_NS) < 0;
	dprintf(STDOUT_FILENO, "go\n");
	brood_event_set(&race->shot);
	for (int status; wait(&status) > 0;)
		lost += status != 0;
	brood_segment_unref(segment);
	return lost > 0;
}
