/* stay [stubborn] [away] - says "ready" on its standard output, then stays until a signal ends it
 *
 * stubborn: SIGTERM, SIGINT and SIGHUP do not. A write that fails (the reader is gone) does.
 * away: first it leaves the process group that it leads for its parent's. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "away") == 0 && setpgid(0, getpgid(getppid())) < 0)
			return 1;
		if (strcmp(argv[i], "stubborn") == 0) {
			signal(SIGTERM, SIG_IGN);
			signal(SIGINT, SIG_IGN);
			signal(SIGHUP, SIG_IGN);
		}
	}
	if (write(1, "ready\n", 6) != 6)
		return 1;
	for (;;)
		pause();
}
