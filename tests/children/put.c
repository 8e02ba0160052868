/* put FD TEXT... - puts the texts into the queue behind the descriptor, each in a second at most */
#include <brood/queue.h>

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	brood_queue *queue;

	if (argc < 3 || brood_queue_attach((int)strtol(argv[1], NULL, 10), &queue) < 0)
		return 2;
	for (int i = 2; i < argc; i++)
		if (brood_queue_put(queue, argv[i], strlen(argv[i]), BROOD_SEC) < 0)
			return 1;
	brood_queue_unref(queue);
	return 0;
}
