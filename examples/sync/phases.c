/* phases - four processes in step, phase by phase: a barrier
 *
 *	phases
 *
 * Nobody begins a phase before all have done the one before; who comes last says that it is done,
 * while the others still wait. Each has joined, so that the death of any of them, at work too, ends
 * the waits of the others with -ECANCELED instead of never. */
#include <brood/barrier.h>
#include <brood/segment.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARTIES 4
#define PHASES 3

static int done(void *phase)
{
	dprintf(STDOUT_FILENO, "phase %d is done\n", *(int *)phase);
	return 0;
}

static int work(brood_barrier *barrier, int who)
{
	if (brood_barrier_join(barrier) < 0)
		return 1;
	for (int phase = 1; phase <= PHASES; phase++) {
		dprintf(STDOUT_FILENO, "phase %d: %d\n", phase, who);
		if (brood_barrier_wait_action(barrier, BROOD_FOREVER, done, &phase) < 0)
			return 1;
	}
	return brood_barrier_leave(barrier) < 0;
}

int main(void)
{
	size_t size = brood_barrier_size(PARTIES);
	brood_segment *segment;
	brood_barrier *barrier;
	int lost = 0;

	if (brood_segment_new(size, NULL, &segment) < 0)
		return 1;
	barrier = brood_segment_data(segment);
	if (brood_barrier_init(barrier, size, PARTIES, 30 * BROOD_SEC) < 0)
		return 1;
	for (int who = 1; who <= PARTIES; who++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(work(barrier, who));
		lost += pid < 0;
	}
	for (int status; wait(&status) > 0;)
		lost += status != 0;
	brood_segment_unref(segment);
	return lost > 0;
}
