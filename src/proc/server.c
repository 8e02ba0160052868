#include "proc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/spawn.h"
#include "os/authkey.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "proc/order.h"

/* What the owner says first of all; with it comes the lifeline. Then bytes: enum request. */
struct welcome {
	bool preloads;
	struct bri_function preload;
	struct bri_authkey authkey; /* so that who has that of now need not take it */
};

/* What the server says of each spare, with its descriptors. */
struct made {
	int32_t error; /* 0: it is there */
	pid_t pid;
};

enum request {
	LOST, /* another spare: the last one was of no use */
	TOOK, /* another spare: the last one has its order now */
	WAITS /* it waits for what it asked for */
};

enum { PIDFD, CHANNEL, TOLD, RECORD, MADE, LIFELINE = PIDFD /* on the other side */ };

#define DYING BROOD_SEC /* from a SIGKILL to a pidfd that says so */

/* ---- the owner */

static const struct bri_spare no_spare = {
	.process = { .pidfd = -1 }, .channel = -1, .told = -1, .record = -1
};

/* It reads the end of its channel, and goes. */
static void let_go(struct bri_spare *spare)
{
	bri_closep(&spare->process.pidfd);
	bri_closep(&spare->channel);
	bri_closep(&spare->told);
	bri_closep(&spare->record);
}

#define NOT_YET 1

/* Returns 0; NOT_YET; or what went wrong with it. */
static int hear(const struct bri_family *family, struct bri_spare *ret_spare)
{
	struct made made;
	int fds[BRI_SOCKET_FDS], n;
	size_t size;

	n = bri_recv_fds_between(family->control, &made, sizeof(made), sizeof(made), MSG_DONTWAIT,
				 fds, &size);
	if (n < 0)
		return n == -EAGAIN ? NOT_YET : n;
	if (made.error == 0 && n == MADE) {
		*ret_spare =
			(struct bri_spare){ .process = { .pid = made.pid, .pidfd = fds[PIDFD] },
					    .channel = fds[CHANNEL],
					    .told = fds[TOLD],
					    .record = fds[RECORD] };
		return 0;
	}
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return made.error != 0 ? -made.error : -EPROTO;
}

/* Of a server that is gone: nobody else ends it. */
static void discard(struct bri_spare *spare)
{
	brood_exit end;

	(void)bri_process_signal(&spare->process, SIGKILL);
	(void)bri_wait_readable(spare->process.pidfd, bri_deadline(DYING));
	(void)bri_process_reap(&spare->process, &end); /* it may have become ours */
	let_go(spare);
}

/* The server goes, if it has not gone, and all that it was to us. */
static void forget(struct bri_family *family)
{
	struct bri_spare spare = no_spare;

	(void)brood_child_stop(family->server, 0, NULL);
	family->server = brood_child_free(family->server);
	while (family->spares > 0 && hear(family, &spare) == 0)
		discard(&spare);
	family->spares = 0;
	family->took = false;
	bri_closep(&family->control);
	pthread_mutex_lock(&family->lock);
	bri_family_untie(family);
	pthread_mutex_unlock(&family->lock);
}

/* In order: it reaps its spare, which would be somebody else's to reap if it were killed. */
static void dismiss(struct bri_family *family)
{
	struct bri_spare spare = no_spare;

	while (family->spares > 0 && hear(family, &spare) == 0)
		let_go(&spare);
	family->spares = 0;
	bri_closep(&family->control);
	(void)brood_child_wait(family->server, 2 * DYING, NULL);
	forget(family);
}

static struct bri_user user_of_now(void)
{
	return (struct bri_user){ getuid(), geteuid(), getgid(), getegid() };
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
		lifeline = bri_lifeline_open(family->watch);
		r = lifeline < 0 ? lifeline : bri_socketpair(&family->control, &theirs);
		if (r < 0)
			bri_family_untie(family);
	}
	pthread_mutex_unlock(&family->lock);
	if (r < 0)
		return bri_fail(fail, "server", r, NULL);
	/* It is there when the server looks for it. */
	bri_authkey_give(&welcome.authkey);
	r = bri_send_fds(family->control, &welcome, sizeof(welcome), &lifeline, 1);
	explicit_bzero(&welcome.authkey, sizeof(welcome.authkey));
	if (r == 0)
		r = bri_image_start(image, theirs, true, fail, &family->server);
	else
		bri_fail(fail, "server", r, NULL);
	if (r < 0) {
		bri_closep(&family->control);
		pthread_mutex_lock(&family->lock);
		bri_family_untie(family);
		pthread_mutex_unlock(&family->lock);
		return r;
	}
	family->user = user_of_now();
	family->spares = 1; /* it comes unasked */
	return 0;
}

static int ask(const struct bri_family *family, enum request request)
{
	return bri_send(family->control, &(char){ (char)request }, 1);
}

/* Says what became of the last one, too. */
static int order_spare(struct bri_family *family)
{
	int r = ask(family, family->took ? TOOK : LOST);

	if (r < 0)
		return r;
	family->took = false;
	family->spares++;
	return 0;
}

/* The spare that is there, or comes. That the server has ended its pidfd tells. */
static int await_spare(struct bri_family *family, struct bri_spare *ret_spare)
{
	struct pollfd events[2] = { { .fd = family->control, .events = POLLIN },
				    { .fd = brood_child_pidfd(family->server), .events = POLLIN } };
	int r = hear(family, ret_spare);

	if (r == NOT_YET)
		(void)ask(family, WAITS); /* else it comes a moment later */
	while (r == NOT_YET) {
		if (poll(events, 2, -1) < 0 && errno != EINTR)
			return -errno;
		r = events[1].revents != 0 ? -EPIPE : hear(family, ret_spare);
	}
	if (r != -EPIPE)
		family->spares--;
	return r;
}

/* Whether both are alive: a spare without its server would have nobody to tell its end. Returns 0; -EPIPE: the server is dead;
 * -ECHILD: the spare; or -errno. */
static int check_spare(const struct bri_family *family, const struct bri_spare *spare)
{
	struct pollfd events[2] = { { .fd = spare->process.pidfd, .events = POLLIN },
				    { .fd = brood_child_pidfd(family->server), .events = POLLIN } };

	if (poll(events, 2, 0) < 0)
		return -errno;
	if (events[1].revents != 0)
		return -EPIPE;
	return events[0].revents != 0 ? -ECHILD : 0;
}

/* One, dead or alive. */
static int fetch_spare(struct bri_family *family, struct bri_spare *ret_spare)
{
	bool waited = family->spares == 0;
	int r = waited ? order_spare(family) : 0;

	if (r == 0)
		r = await_spare(family, ret_spare);
	/* Why it could not be made when the last one was taken may be true no more. */
	if (r < 0 && r != -EPIPE && !waited) {
		r = order_spare(family);
		if (r == 0)
			r = await_spare(family, ret_spare);
	}
	return r;
}

#define DEAD 3 /* spares in a row */

static int take_spare(struct bri_family *family, struct bri_spare *ret_spare)
{
	int r = -ECHILD;

	for (int i = 0; r == -ECHILD && i < DEAD; i++) {
		r = fetch_spare(family, ret_spare);
		if (r < 0)
			return r;
		r = check_spare(family, ret_spare);
		if (r == -ECHILD)
			let_go(ret_spare);
		else if (r < 0)
			discard(ret_spare);
	}
	family->took = r == 0;
	if (r == 0 && family->spares == 0)
		(void)order_spare(family);
	return r;
}

int bri_server_take(struct bri_family *family, const struct bri_image *image, brood_fail *fail,
		    struct bri_spare *ret_spare)
{
	int r = 0;

	pthread_mutex_lock(&family->server_lock);
	if (family->server == NULL)
		r = begin(family, image, fail);
	if (r == 0) {
		r = take_spare(family, ret_spare);
		if (r < 0)
			bri_fail(fail, "server", r, "%s",
				 r == -ECHILD ? "what it forks ends before it has an order" : "");
		if (r == -EPIPE)
			forget(family);
	}
	pthread_mutex_unlock(&family->server_lock);
	return r;
}

void bri_server_stop(struct bri_family *family)
{
	pthread_mutex_lock(&family->server_lock);
	if (family->server != NULL)
		dismiss(family);
	pthread_mutex_unlock(&family->server_lock);
}

static int check_user(struct bri_family *family, brood_fail *fail)
{
	const struct bri_user now = user_of_now();
	bool alone;

	if (family->server == NULL || memcmp(&now, &family->user, sizeof(now)) == 0)
		return 0;
	pthread_mutex_lock(&family->lock);
	alone = family->n_children == 1;
	pthread_mutex_unlock(&family->lock);
	if (!alone)
		return bri_fail(
			fail, "server", EPERM,
			"the fork server is another user's than this process is by now, and "
			"there are children: call brood_finish() before the user changes");
	dismiss(family);
	return 0;
}

int bri_server_check(struct bri_family *family, brood_fail *fail)
{
	int r;

	pthread_mutex_lock(&family->server_lock);
	r = check_user(family, fail);
	pthread_mutex_unlock(&family->server_lock);
	return r;
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
	bool taken; /* by the owner, which said so */
};

struct server {
	int control, lifeline, ended;
	pid_t last;                /* that it forked */
	int64_t due;               /* when the next spare is; BROOD_FOREVER: it is there */
	struct rlimit descriptors; /* of the children */
	struct child *children;    /* owned */
	size_t n, room;
};

/* In what it forks: nothing of the server's and nothing of the siblings', but a lifeline of its own to the same owner. */
static void be_spare(const struct server *self, int channel, int lifeline,
		     struct bri_record *record) __attribute__((noreturn));
static void be_spare(const struct server *self, int channel, int lifeline,
		     struct bri_record *record)
{
	const struct bri_born born = { .record = record, .lifeline = BRI_CHANNEL + 1 };

	if (dup2(channel, BRI_CHANNEL) < 0 || fcntl(BRI_CHANNEL, F_SETFD, FD_CLOEXEC) < 0 ||
	    dup2(lifeline, born.lifeline) < 0 || fcntl(born.lifeline, F_SETFD, FD_CLOEXEC) < 0)
		_exit(1);
	bri_lifeline_arm(born.lifeline);
	if (syscall(SYS_close_range, born.lifeline + 1, ~0u, 0) < 0)
		for (int fd = born.lifeline + 1, end = (int)sysconf(_SC_OPEN_MAX); fd < end; fd++)
			close(fd);
	(void)setrlimit(RLIMIT_NOFILE, &self->descriptors);
	bri_order_obey(BRI_CHANNEL, &born);
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

/* What a spare needs: the owner's ends in `fds`, its own in `theirs`. Returns 0 or -errno. */
static int make_ends(const struct server *server, int fds[MADE], int theirs[MADE],
		     struct bri_record **ret_record)
{
	int r = bri_record_new(ret_record, &fds[RECORD]);

	if (r == 0)
		r = bri_socketpair(&fds[CHANNEL], &theirs[CHANNEL]);
	if (r == 0)
		r = bri_socketpair(&fds[TOLD], &theirs[TOLD]);
	if (r == 0)
		r = theirs[LIFELINE] = bri_lifeline_open(server->lifeline);
	return r < 0 ? r : 0;
}

/* Returns 0, and the pid, or -errno, and there is none. */
static int fork_spare(struct server *server, int fds[MADE], int theirs[MADE], pid_t *ret_pid)
{
	struct bri_record *record = NULL;
	int r = make_ends(server, fds, theirs, &record);

	if (r == 0) {
		*ret_pid = fork();
		r = *ret_pid < 0 ? -errno : 0;
		if (*ret_pid == 0)
			be_spare(server, theirs[CHANNEL], theirs[LIFELINE], record);
	}
	if (record != NULL)
		munmap(record, sizeof(*record));
	if (r < 0)
		return r;
	fds[PIDFD] = (int)syscall(SYS_pidfd_open, *ret_pid, 0);
	if (fds[PIDFD] >= 0)
		return 0;
	r = -errno;
	kill(*ret_pid, SIGKILL);
	waitpid(*ret_pid, NULL, 0);
	return r;
}

/* A spare of which the owner does not hear reads the end of its channel. Returns 0; or -errno: the owner hears nothing any more. */
static int make_spare(struct server *server)
{
	int fds[MADE] = { -1, -1, -1, -1 }, theirs[MADE] = { -1, -1, -1, -1 };
	struct made made = { .error = ENOMEM };
	int r;

	if (make_room(server))
		made.error = -fork_spare(server, fds, theirs, &made.pid);
	server->due = BROOD_FOREVER;
	server->last = made.error == 0 ? made.pid : 0;
	if (made.error == 0)
		server->children[server->n++] =
			(struct child){ .pid = made.pid, .told = bri_take_fd(&theirs[TOLD]) };
	r = bri_send_fds(server->control, &made, sizeof(made), fds, made.error == 0 ? MADE : 0);
	if (r < 0 && made.error == 0) {
		made.error = -r;
		r = bri_send(server->control, &made, sizeof(made));
	}
	for (int i = 0; i < MADE; i++) {
		bri_closep(&fds[i]);
		bri_closep(&theirs[i]);
	}
	return r;
}

static void bury(struct server *server, struct child *child)
{
	const struct bri_process process = { .pid = child->pid, .pidfd = -1 };
	brood_exit end = { .kind = BROOD_LOST };

	(void)bri_process_reap(&process, &end);
	(void)bri_send(child->told, &end, sizeof(end));
	close(child->told);
	*child = server->children[--server->n];
}

static struct child *find(const struct server *server, pid_t pid)
{
	for (size_t i = 0; i < server->n; i++)
		if (server->children[i].pid == pid)
			return &server->children[i];
	return NULL;
}

/* Says how each ended that has. What is not ours, of a function that was called first, is buried all the same: it would stand before
 * the others. Whether there was one. */
static bool reap(struct server *server)
{
	struct signalfd_siginfo drained;
	siginfo_t info;
	struct child *child;
	bool ended = false;

	while (read(server->ended, &drained, sizeof(drained)) > 0)
		continue;
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return ended;
		ended = true;
		child = find(server, info.si_pid);
		if (child != NULL)
			bury(server, child);
		else
			waitpid(info.si_pid, NULL, WNOHANG);
	}
}

/* The owner has gone, or dismisses us: the spare reads the end of its channel, as we have, and goes before us. */
static void end(struct server *server) __attribute__((noreturn));
static void end(struct server *server)
{
	const int64_t deadline = bri_deadline(DYING);
	bool waits = true;

	while (waits) {
		reap(server);
		waits = false;
		for (size_t i = 0; i < server->n; i++)
			waits |= !server->children[i].taken;
		if (waits && bri_wait_readable(server->ended, deadline) < 0)
			break;
	}
	_exit(0);
}

/* A fork and the beginning of a process are page faults for the most part, and two of those do not go well together. So the next spare
 * waits until who has taken the last one has ended, or is busy with something else. */
#define MEANWHILE (3 * BROOD_MSEC)

static void take_request(struct server *server)
{
	struct child *last = find(server, server->last);
	char request;
	int r = bri_recv(server->control, &request, 1, 0);

	if (r == -EPIPE)
		end(server);
	if (r < 0)
		return;
	if (request == WAITS) {
		if (server->due < BROOD_FOREVER)
			server->due = 0;
		return;
	}
	if (last != NULL && request == TOOK)
		last->taken = true;
	server->due = request == TOOK ? bri_deadline(MEANWHILE) : 0;
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
	struct welcome welcome;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	if (bri_recv_fds(control, &welcome, sizeof(welcome), fds) != 1 ||
	    bri_authkey_take(&welcome.authkey) < 0)
		_exit(1);
	server.lifeline = fds[0];
	bri_lifeline_arm(server.lifeline);
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
		/* It sees our end at least. */
		if (server.due <= brood_now() && make_spare(&server) < 0)
			end(&server);
		if (bri_poll(events, 2, server.due) < 0)
			continue;
		if (events[1].revents != 0 && reap(&server) && server.due < BROOD_FOREVER)
			server.due = 0;
		if (events[0].revents != 0)
			take_request(&server);
	}
}
