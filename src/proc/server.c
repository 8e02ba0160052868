#include "proc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/spawn.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "proc/order.h"

/* With it come CHANNEL and TOLD, and those of the others that `has` tells of. */
enum { CHANNEL, TOLD, FOLDER, OUT, ERR, MOST };

struct request {
	uint32_t has; /* bits */
	pid_t group;  /* that the child joins */
};

/* What the owner says first of all; with it comes the lifeline. */
struct welcome {
	bool preloads;
	struct bri_function preload;
};

/* What the server says first of a child, with its pidfd. */
struct made {
	int32_t error; /* 0: it is there */
	pid_t pid;
};

#define DYING BROOD_SEC /* from closed descriptors to a pidfd that says so */

/* ---- the owner */

static void forget(struct bri_family *family)
{
	if (family->server == NULL)
		return;
	(void)brood_child_stop(family->server, 0, NULL);
	family->server = brood_child_free(family->server);
	bri_closep(&family->control);
	pthread_mutex_lock(&family->lock);
	bri_family_untie(family);
	pthread_mutex_unlock(&family->lock);
}

static int begin(struct bri_family *family, const struct bri_image *image, brood_fail *fail)
{
	bri_cleanup(bri_closep) int theirs = -1, lifeline = -1;
	struct welcome welcome = { .preloads = family->preload != NULL };
	int r = 0;

	if (welcome.preloads)
		r = bri_function_name((const void *)(uintptr_t)family->preload, &welcome.preload,
				      fail);
	if (r < 0)
		return r;
	pthread_mutex_lock(&family->lock);
	r = bri_family_tie(family);
	if (r == 0) {
		lifeline = bri_lifeline_open(family);
		r = lifeline < 0 ? lifeline : bri_socketpair(&family->control, &theirs);
		if (r < 0)
			bri_family_untie(family);
	}
	pthread_mutex_unlock(&family->lock);
	if (r < 0)
		return bri_fail(fail, "server", r, NULL);
	/* It is there when the server looks for it. */
	r = bri_send_fds(family->control, &welcome, sizeof(welcome), &lifeline, 1);
	if (r == 0)
		r = bri_image_start(image, theirs, true, fail, &family->server);
	else
		bri_fail(fail, "server", r, NULL);
	if (r < 0) {
		bri_closep(&family->control);
		pthread_mutex_lock(&family->lock);
		bri_family_untie(family);
		pthread_mutex_unlock(&family->lock);
	}
	return r;
}

static int ask(const struct bri_family *family, int channel, int told)
{
	bri_cleanup(bri_closep) int folder = bri_open(".", O_PATH | O_DIRECTORY, 0);
	const int all[MOST] = { channel, told, folder, STDOUT_FILENO, STDERR_FILENO };
	struct request request = { .has = 0, .group = getpgrp() };
	int fds[MOST];
	size_t n = 0;

	if (folder < 0)
		return folder;
	for (int i = 0; i < MOST; i++)
		if (i < OUT || bri_is_open(all[i])) {
			request.has |= 1u << i;
			fds[n++] = all[i];
		}
	return bri_send_fds(family->control, &request, sizeof(request), fds, n);
}

/* Who is the child. That the server has ended its pidfd tells. */
static int hear(struct bri_family *family, int told, struct bri_process *ret_process)
{
	struct pollfd events[2] = { { .fd = told, .events = POLLIN },
				    { .fd = brood_child_pidfd(family->server), .events = POLLIN } };
	int fds[BRI_SOCKET_FDS], n;
	struct made made;

	while (poll(events, 2, -1) < 0)
		if (errno != EINTR)
			return -errno;
	if (events[0].revents == 0)
		return -EPIPE;
	n = bri_recv_fds(told, &made, sizeof(made), fds);
	/* If it is there and yet has closed its end, it had no room for the request. */
	if (n == -EPIPE && bri_wait_readable(events[1].fd, bri_deadline(DYING)) < 0)
		return -EMFILE;
	if (n < 0)
		return n;
	if (made.error == 0 && n == 1) {
		*ret_process = (struct bri_process){ .pid = made.pid, .pidfd = fds[0] };
		return 0;
	}
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return made.error != 0 ? -made.error : -EPROTO;
}

static int fork_one(struct bri_family *family, const struct bri_image *image, int channel,
		    brood_fail *fail, struct bri_process *ret_process, int *ret_told)
{
	bri_cleanup(bri_closep) int told = -1, theirs = -1;
	int r = family->server == NULL ? begin(family, image, fail) : 0;

	if (r < 0)
		return r;
	r = bri_socketpair(&told, &theirs);
	if (r == 0)
		r = ask(family, channel, theirs);
	bri_closep(&theirs);
	if (r == 0)
		r = hear(family, told, ret_process);
	if (r < 0)
		return bri_fail(fail, "server", r, NULL);
	*ret_told = bri_take_fd(&told);
	return 0;
}

int bri_server_fork(struct bri_family *family, const struct bri_image *image, int channel,
		    brood_fail *fail, struct bri_process *ret_process, int *ret_told)
{
	int r;

	pthread_mutex_lock(&family->server_lock);
	r = fork_one(family, image, channel, fail, ret_process, ret_told);
	if (r == -EPIPE)
		forget(family);
	pthread_mutex_unlock(&family->server_lock);
	return r;
}

void bri_server_stop(struct bri_family *family)
{
	pthread_mutex_lock(&family->server_lock);
	forget(family);
	pthread_mutex_unlock(&family->server_lock);
}

int brood_set_forkserver_preload(void (*call)(void))
{
	struct bri_family *family = bri_family();
	struct bri_function function;
	struct bri_image image;
	int r = 0;

	if (family == NULL)
		return -ENOMEM;
	if (call != NULL)
		r = bri_function_name((const void *)(uintptr_t)call, &function, NULL);
	if (r == 0 && call != NULL)
		r = bri_image_choose(&function, &image, NULL);
	if (r < 0)
		return r;
	pthread_mutex_lock(&family->server_lock);
	if (family->server == NULL)
		family->preload = call;
	else
		r = -EALREADY;
	pthread_mutex_unlock(&family->server_lock);
	return r;
}

/* ---- the server */

struct child {
	pid_t pid;
	int told;
};

struct server {
	int control, ended;
	struct rlimit descriptors; /* of the children */
	struct child *children;    /* owned */
	size_t n, room;
};

/* In a child: nothing of the server's, and nothing of its siblings'. */
static void leave_server(const struct server *self, const struct request *request,
			 const int fds[MOST], pid_t server)
{
	if (fds[FOLDER] >= 0 && fchdir(fds[FOLDER]) < 0)
		_exit(1);
	for (int i = OUT; i <= ERR; i++) {
		int to = STDOUT_FILENO + i - OUT;

		if (fds[i] < 0)
			close(to);
		else if (dup2(fds[i], to) < 0)
			_exit(1);
	}
	(void)setpgid(0, request->group); /* of another session: it stays where it is */
	if (dup2(fds[CHANNEL], BRI_CHANNEL) < 0 || fcntl(BRI_CHANNEL, F_SETFD, FD_CLOEXEC) < 0)
		_exit(1);
	if (syscall(SYS_close_range, BRI_CHANNEL + 1, ~0u, 0) < 0)
		for (int fd = BRI_CHANNEL + 1, end = (int)sysconf(_SC_OPEN_MAX); fd < end; fd++)
			close(fd);
	(void)setrlimit(RLIMIT_NOFILE, &self->descriptors);
	bri_image_obey(server);
}

static bool make_room(struct server *server)
{
	size_t room = server->room == 0 ? 16 : 2 * server->room;
	struct child *moved;

	if (server->n < server->room)
		return true;
	moved = reallocarray(server->children, room, sizeof(*moved));
	if (moved == NULL)
		return false;
	server->children = moved;
	server->room = room;
	return true;
}

static void make_child(struct server *server, const struct request *request, const int fds[MOST])
{
	bri_cleanup(bri_closep) int told = fds[TOLD], pidfd = -1;
	struct made made = { .error = ENOMEM };
	pid_t own = getpid(), pid = -1;

	if (make_room(server)) {
		pid = fork();
		made.error = pid < 0 ? errno : 0;
	}
	if (pid == 0)
		leave_server(server, request, fds, own);
	if (pid > 0) {
		made.pid = pid;
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		made.error = pidfd < 0 ? errno : 0;
	}
	if (bri_send_fds(told, &made, sizeof(made), &pidfd, pidfd >= 0) < 0)
		made.error = EPIPE;
	if (pid > 0 && made.error != 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	} else if (pid > 0) {
		server->children[server->n++] =
			(struct child){ .pid = pid, .told = bri_take_fd(&told) };
	}
}

static void take_request(struct server *server)
{
	int all[BRI_SOCKET_FDS], fds[MOST], n, at = 0;
	struct request request;

	n = bri_recv_fds(server->control, &request, sizeof(request), all);
	if (n == -EPIPE)
		_exit(0);
	if (n < 0)
		return;
	for (int i = 0; i < MOST; i++)
		fds[i] = (request.has & 1u << i) != 0 && at < n ? all[at++] : -1;
	if (fds[CHANNEL] >= 0 && fds[TOLD] >= 0)
		make_child(server, &request, fds);
	for (int i = 0; i < MOST; i++)
		if (i != TOLD)
			bri_closep(&fds[i]);
}

/* Says how each ended that has. */
static void reap(struct server *server)
{
	for (size_t i = 0; i < server->n;) {
		struct child *child = &server->children[i];
		brood_exit end = { .kind = BROOD_RUNNING };
		const struct bri_process process = {
			.pid = child->pid, .pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0)
		};

		if (process.pidfd >= 0 && bri_process_reap(&process, &end) == 0) {
			(void)bri_send(child->told, &end, sizeof(end));
			close(child->told);
			*child = server->children[--server->n];
		} else {
			i++;
		}
		if (process.pidfd >= 0)
			close(process.pidfd);
	}
}

/* Each child takes one of the server's. */
static void have_room(struct server *server)
{
	struct rlimit all;

	(void)getrlimit(RLIMIT_NOFILE, &server->descriptors);
	all = server->descriptors;
	all.rlim_cur = all.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &all);
}

static void preload(const struct bri_function *function)
{
	brood_fail fail = { .step = NULL };
	void *found;

	if (bri_function_find(function, &found, &fail) < 0) {
		dprintf(STDERR_FILENO, "brood: preload: %s\n", fail.text);
		_exit(1);
	}
	((void (*)(void))(uintptr_t)found)();
}

void bri_server_run(int control)
{
	struct server server = { .control = control };
	int fds[BRI_SOCKET_FDS];
	struct pollfd events[2];
	struct signalfd_siginfo drained;
	struct welcome welcome;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	if (bri_recv_fds(control, &welcome, sizeof(welcome), fds) != 1)
		_exit(1);
	bri_lifeline_arm(fds[0]);
	if (welcome.preloads)
		preload(&welcome.preload);
	bri_order_prepare();
	have_room(&server);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	server.ended = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server.ended < 0)
		_exit(1);
	events[0] = (struct pollfd){ .fd = control, .events = POLLIN };
	events[1] = (struct pollfd){ .fd = server.ended, .events = POLLIN };
	for (;;) {
		if (poll(events, 2, -1) < 0)
			continue;
		if (events[1].revents != 0) {
			while (read(server.ended, &drained, sizeof(drained)) > 0)
				continue;
			reap(&server);
		}
		if (events[0].revents != 0)
			take_request(&server);
	}
}
