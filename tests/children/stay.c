/* stay [stubborn] - says "ready" on its standard output, then stays until a signal ends it
 *
 * stubborn: SIGTERM, SIGINT and SIGHUP do not. A write that fails (the reader is gone) does. */
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
	}
	if (write(1, "ready\n", 6) != 6)
		return 1;
	for (;;)
		pause();
}
