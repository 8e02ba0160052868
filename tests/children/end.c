/* end exit N | signal N | burn MS - ends in that way; burn: works for MS milliseconds, then exits 0 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int n = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "exit") == 0)
		return n;
	if (strcmp(argv[1], "burn") == 0) {
		while (clock() < (clock_t)n * (CLOCKS_PER_SEC / 1000))
			continue;
		return 0;
	}
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	kill(getpid(), n);
	pause();
	return 2;
}
