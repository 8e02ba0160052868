/* One loop over what the program says (brood_popen_fd), what we are told (signals, by a pipe from
 * their handler), and the time.
 *
 * Handlers, not a blocked mask: the program inherits our mask and what we ignore, as under nohup(1)
 * or in a shell's background, and a signal that comes before it runs is not lost. */
#include "run/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const int for_the_program[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 };

/* What the handler writes, whole. */
struct told {
	int signum;
	bool by_terminal; /* the program has got it from there, too: it is in our group */
};

static int told_read, told_write;

static void on_signal(int signum, siginfo_t *info, void *context)
{
	const struct told told = { .signum = signum, .by_terminal = info->si_code == SI_KERNEL };
	int before = errno;

	(void)context;
	/* A full pipe holds thousands that were not looked at yet: one more says nothing new. */
	if (write(told_write, &told, sizeof(told)) < 0)
		errno = before;
}

int follow_prepare(void)
{
	struct sigaction ours = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	told_read = ends[0];
	told_write = ends[1];
	for (size_t i = 0; i < sizeof(for_the_program) / sizeof(for_the_program[0]); i++) {
		struct sigaction theirs;

		if (sigaction(for_the_program[i], NULL, &theirs) == 0 &&
		    theirs.sa_handler != SIG_IGN)
			sigaction(for_the_program[i], &ours, NULL);
	}
	return 0;
}

struct limits {
	int64_t terminate_at, kill_at; /* BROOD_FOREVER: never */
	bool timed_out;
};

static int64_t in(int64_t ns)
{
	int64_t now = brood_now();

	return ns > BROOD_FOREVER - now ? BROOD_FOREVER : now + ns;
}

static int pass_on(brood_popen *popen, const struct follow_opts *opts, struct limits *limits)
{
	struct told told;
	int r = 0;

	while (r == 0 && read(told_read, &told, sizeof(told)) == sizeof(told)) {
		if (told.by_terminal)
			continue;
		if (told.signum != SIGTERM) {
			r = brood_popen_send_signal(popen, told.signum);
			continue;
		}
		r = brood_popen_terminate(popen);
		if (opts->kill_on_term && limits->kill_at == BROOD_FOREVER)
			limits->kill_at = in(opts->kill_after_ns);
	}
	return r;
}

/* The ladder, as far as it is time for it. */
static int keep_time(brood_popen *popen, const struct follow_opts *opts, struct limits *limits)
{
	int64_t now = brood_now();
	int r = 0;

	if (now >= limits->terminate_at) {
		limits->terminate_at = BROOD_FOREVER;
		limits->timed_out = true;
		limits->kill_at = in(opts->kill_after_ns);
		if (opts->kill_after_ns > 0)
			r = brood_popen_terminate(popen);
	}
	if (r == 0 && now >= limits->kill_at) {
		limits->kill_at = BROOD_FOREVER;
		r = brood_popen_kill(popen);
	}
	return r;
}

static int wait_for_news(int fd, const struct limits *limits)
{
	struct pollfd slots[] = { { .fd = fd, .events = POLLIN },
				  { .fd = told_read, .events = POLLIN } };
	int64_t until =
		limits->terminate_at < limits->kill_at ? limits->terminate_at : limits->kill_at;
	struct timespec left = { 0 };

	if (until != BROOD_FOREVER) {
		int64_t ns = until - brood_now();

		ns = ns > 0 ? ns : 0;
		left = (struct timespec){ .tv_sec = ns / BROOD_SEC, .tv_nsec = ns % BROOD_SEC };
	}
	if (ppoll(slots, 2, until != BROOD_FOREVER ? &left : NULL, NULL) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int follow(brood_popen *popen, const struct follow_opts *opts, bool *ret_timed_out)
{
	struct limits limits = {
		.terminate_at = opts->timeout_ns > 0 ? in(opts->timeout_ns) : BROOD_FOREVER,
		.kill_at = BROOD_FOREVER,
	};
	int fd = brood_popen_fd(popen), r = fd < 0 ? fd : 0;

	while (r == 0) {
		r = brood_popen_step(popen);
		if (r == 0)
			r = pass_on(popen, opts, &limits);
		if (r == 0)
			r = keep_time(popen, opts, &limits);
		if (r == 0)
			r = wait_for_news(fd, &limits);
	}
	if (r < 0) {
		brood_popen_stop(popen, 0, NULL);
		return r;
	}
	*ret_timed_out = limits.timed_out;
	return 0;
}
