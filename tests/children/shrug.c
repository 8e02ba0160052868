/* shrug - ignores SIGTERM and SIGUSR1, starts a child in a session of its own that does not, says
 * "ready", and exits with 128 plus the number of the signal that ended that child */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		for (;;)
			pause();
	}
	signal(SIGTERM, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	if (write(1, "ready\n", 6) != 6 || waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		return 1;
	return 128 + WTERMSIG(status);
}
