/* One program and its pipes: spawn starts it, a talk (child/talk.h) feeds and drains it. */
#include "child/popen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "base/fail.h"
#include "child/talk.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/self.h"

struct brood_popen {
	brood_child *child;
	uint64_t generation; /* of the process that made it */
	struct bri_drain drains[2];
	struct bri_talk talk;
	int cancel_fd; /* our own copy; -1: none */
};

static int check_owner(const brood_popen *popen)
{
	return popen->generation == bri_self_generation() ? 0 : -ECHILD;
}

static bool has_pipe(const brood_popen_opts *opts, int which)
{
	const brood_stdio *stdio[3] = { &opts->spawn.in, &opts->spawn.out, &opts->spawn.err };

	return stdio[which]->kind == BROOD_STDIO_PIPE;
}

static int check_sink(const brood_popen_opts *opts, int which)
{
	const brood_sink *sink = which == 1 ? &opts->out : &opts->err;

	if (!has_pipe(opts, which) &&
	    (sink->kind != BROOD_SINK_MEMORY || sink->tee != 0 || sink->text != BROOD_TEXT_BYTES))
		return bri_fail(opts->spawn.fail, "sink", EINVAL, "descriptor %d is no pipe",
				which);
	return bri_drain_check(sink, opts->spawn.fail);
}

/* Before anything is opened: that takes the lowest free numbers, and must not pass for a closed
 * descriptor that the caller named. */
static int check_given(const brood_popen_opts *opts)
{
	const brood_spawn_opts *spawn = &opts->spawn;
	const brood_stdio *stdio[3] = { &spawn->in, &spawn->out, &spawn->err };
	int r = check_sink(opts, 1);

	if (r == 0)
		r = check_sink(opts, 2);
	if (r < 0)
		return r;
	if (opts->cancel_fd != NULL && !bri_is_open(*opts->cancel_fd))
		return bri_fail(spawn->fail, "cancel", EBADF, "descriptor %d", *opts->cancel_fd);
	for (int i = 0; i < 3; i++)
		if (stdio[i]->kind == BROOD_STDIO_FD && !bri_is_open(stdio[i]->fd))
			return bri_fail(spawn->fail, "stdio", EBADF,
					"descriptor %d: %d is not open", i, stdio[i]->fd);
	for (size_t i = 0; i < spawn->n_pass; i++)
		if (!bri_is_open(spawn->pass[i].fd))
			return bri_fail(spawn->fail, "pass", EBADF, "descriptor %d is not open",
					spawn->pass[i].fd);
	return 0;
}

static int prepare_cancel(brood_popen *popen, const brood_popen_opts *opts)
{
	if (opts->cancel_fd == NULL)
		return 0;
	popen->cancel_fd = fcntl(*opts->cancel_fd, F_DUPFD_CLOEXEC, 3);
	return popen->cancel_fd >= 0 ? 0 :
				       bri_fail(opts->spawn.fail, "cancel", errno, "descriptor %d",
						*opts->cancel_fd);
}

/* What the caller chose is not made larger, nor, where it is larger, smaller. */
static void keep_pipe_sizes(brood_popen *popen)
{
	popen->talk.input_pipe = BRI_PIPE_FIXED;
	for (int i = 0; i < 2; i++)
		popen->drains[i].pipe_size = BRI_PIPE_FIXED;
}

static int start(brood_popen *popen, const char *const argv[], const brood_popen_opts *opts)
{
	int64_t linger_ns = opts->linger_ns != 0 ? opts->linger_ns : BRI_LINGER;
	int r = check_given(opts);

	if (r == 0 && has_pipe(opts, 1))
		r = bri_drain_init(&popen->drains[0], &opts->out, opts->spawn.fail);
	if (r == 0 && has_pipe(opts, 2))
		r = bri_drain_init(&popen->drains[1], &opts->err, opts->spawn.fail);
	if (r == 0)
		r = prepare_cancel(popen, opts);
	if (r < 0)
		return r;
	r = bri_talk_init(&popen->talk, popen->drains, 2, &popen->child, 1, linger_ns);
	if (r < 0)
		return bri_fail(opts->spawn.fail, "memory", r, NULL);
	r = brood_spawn(argv, &opts->spawn, &popen->child);
	if (r < 0)
		return r;
	if (has_pipe(opts, 0))
		popen->talk.input_fd = brood_child_take_stream(popen->child, 0);
	for (int which = 1; which <= 2; which++)
		if (has_pipe(opts, which)) {
			popen->drains[which - 1].set = true;
			popen->drains[which - 1].fd = brood_child_take_stream(popen->child, which);
		}
	if (opts->spawn.pipe_size != 0)
		keep_pipe_sizes(popen);
	return 0;
}

int brood_popen_start(const char *const argv[], const brood_popen_opts *opts,
		      brood_popen **ret_popen)
{
	static const brood_popen_opts defaults;
	brood_popen *popen = malloc(sizeof(*popen));
	int r;

	if (opts == NULL)
		opts = &defaults;
	if (popen == NULL)
		return bri_fail(opts->spawn.fail, "memory", ENOMEM, NULL);
	*popen = (brood_popen){ .generation = bri_self_generation(),
				.drains = { BRI_DRAIN_NONE, BRI_DRAIN_NONE },
				.talk = BRI_TALK_NONE,
				.cancel_fd = -1 };
	r = start(popen, argv, opts);
	if (r < 0) {
		brood_popen_free(popen);
		return r;
	}
	*ret_popen = popen;
	return 0;
}

pid_t brood_popen_pid(const brood_popen *popen)
{
	return brood_child_pid(popen->child);
}

brood_child *brood_popen_child(const brood_popen *popen)
{
	return popen->child;
}

int brood_popen_pidfd(const brood_popen *popen)
{
	return brood_child_pidfd(popen->child);
}

/* Where the host's end of a stream is kept; NULL: no such stream. */
static int *stream(brood_popen *popen, int which)
{
	if (which == 0)
		return &popen->talk.input_fd;
	return which == 1 || which == 2 ? &popen->drains[which - 1].fd : NULL;
}

int brood_popen_stream(const brood_popen *popen, int which)
{
	const int *fd = stream((brood_popen *)popen, which);

	return fd == NULL || *fd < 0 ? -EBADF : *fd;
}

int brood_popen_file(brood_popen *popen, int which, FILE **ret_file)
{
	int *fd = stream(popen, which), r = check_owner(popen);
	FILE *file;

	if (r < 0)
		return r;
	if (fd == NULL || *fd < 0)
		return -EBADF;
	if (popen->talk.begun)
		return -EBUSY;
	file = fdopen(*fd, which == 0 ? "we" : "re");
	if (file == NULL)
		return -errno;
	*fd = -1;
	if (which != 0) {
		bri_talk_forget_source(&popen->talk, (size_t)which - 1);
		popen->drains[which - 1].set = false;
	}
	*ret_file = file;
	return 0;
}

int brood_popen_close_input(brood_popen *popen)
{
	int r = check_owner(popen);

	if (r == 0)
		bri_talk_close_input(&popen->talk);
	return r;
}

int brood_popen_begin(brood_popen *popen, const void *input, size_t size)
{
	int r = check_owner(popen);

	return r < 0 ? r : bri_talk_begin(&popen->talk, input, size);
}

int brood_popen_communicate(brood_popen *popen, const void *input, size_t size, int64_t timeout_ns)
{
	int r = brood_popen_begin(popen, input, size);

	return r < 0 ? r :
		       bri_talk_until(&popen->talk, BRI_TALK_DONE, bri_deadline(timeout_ns),
				      popen->cancel_fd);
}

int brood_popen_step(brood_popen *popen)
{
	int r = check_owner(popen);

	if (r == 0 && !popen->talk.begun)
		r = bri_talk_begin(&popen->talk, NULL, 0);
	return r < 0 ? r : bri_talk_step(&popen->talk);
}

int brood_popen_fd(brood_popen *popen)
{
	int r = check_owner(popen);

	return r < 0 ? r : bri_talk_fd(&popen->talk);
}

int brood_popen_output(brood_popen *popen, int which, brood_output *ret_output)
{
	if (which < 1 || which > 2 || !popen->drains[which - 1].set)
		return -EBADF;
	bri_drain_output(&popen->drains[which - 1], ret_output);
	return 0;
}

int brood_popen_take_output(brood_popen *popen, int which, char **ret_data, size_t *ret_size)
{
	if (which < 1 || which > 2 || !popen->drains[which - 1].set)
		return -EBADF;
	return bri_drain_take(&popen->drains[which - 1], ret_data, ret_size);
}

struct bri_drain *bri_popen_drain(brood_popen *popen, int which)
{
	return &popen->drains[which - 1];
}

void bri_popen_kill_rest(brood_popen *popen)
{
	popen->talk.kill_rest = true;
}

int brood_popen_poll(brood_popen *popen, brood_exit *ret_exit)
{
	int r = brood_child_wait(popen->child, 0, ret_exit);

	return r == 0 ? 1 : r == -ETIMEDOUT ? 0 : r;
}

int brood_popen_wait(brood_popen *popen, int64_t timeout_ns, brood_exit *ret_exit)
{
	struct pollfd slots[2] = { { .fd = brood_child_pidfd(popen->child), .events = POLLIN },
				   { .fd = popen->cancel_fd, .events = POLLIN } };
	int64_t deadline = bri_deadline(timeout_ns);
	int r = check_owner(popen);

	if (r < 0)
		return r;
	if (popen->cancel_fd < 0)
		return brood_child_wait(popen->child, timeout_ns, ret_exit);
	r = bri_poll(slots, 2, deadline);
	if (r < 0)
		return r;
	if (slots[0].revents == 0 && slots[1].revents != 0)
		return -ECANCELED;
	return brood_child_wait(popen->child, 0, ret_exit);
}

int brood_popen_send_signal(brood_popen *popen, int signum)
{
	return brood_child_signal(popen->child, signum);
}

int brood_popen_terminate(brood_popen *popen)
{
	return brood_child_terminate(popen->child);
}

int brood_popen_kill(brood_popen *popen)
{
	return brood_child_kill(popen->child);
}

int brood_popen_stop(brood_popen *popen, int64_t grace_ns, brood_exit *ret_exit)
{
	int r = check_owner(popen);

	if (r == 0)
		r = bri_talk_stop(&popen->talk, grace_ns);
	return r < 0 ? r : brood_child_wait(popen->child, BROOD_FOREVER, ret_exit);
}

brood_popen *brood_popen_free(brood_popen *popen)
{
	if (popen == NULL)
		return NULL;
	bri_talk_fini(&popen->talk);
	for (int i = 0; i < 2; i++)
		bri_drain_fini(&popen->drains[i]);
	bri_closep(&popen->cancel_fd);
	brood_child_free(popen->child);
	free(popen);
	return NULL;
}
