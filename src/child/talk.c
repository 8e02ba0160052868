#include "child/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include "os/clock.h"
#include "os/fd.h"

/* ---- slots */

static size_t source_slot(size_t drain)
{
	return 1 + 2 * drain;
}

static size_t outlet_slot(size_t drain)
{
	return 2 + 2 * drain;
}

static size_t child_slot(const struct bri_talk *talk, size_t child)
{
	return 1 + 2 * talk->n_drains + child;
}

static size_t cancel_slot(const struct bri_talk *talk)
{
	return 1 + 2 * talk->n_drains + talk->n_children;
}

int bri_talk_init(struct bri_talk *talk, struct bri_drain *drains, size_t n_drains,
		  brood_child **children, size_t n_children, int64_t linger_ns)
{
	size_t n_slots = 2 + 2 * n_drains + n_children;
	size_t budget_size = n_drains * sizeof(*talk->budget);
	size_t slots_size = n_slots * sizeof(*talk->slots);

	*talk = (struct bri_talk){ .input_fd = -1,
				   .input_pipe = BRI_PIPE_KERNEL,
				   .drains = drains,
				   .n_drains = n_drains,
				   .children = children,
				   .n_children = n_children,
				   .linger_ns = linger_ns,
				   .epoll = -1,
				   .timer = -1 };
	talk->memory = calloc(1, budget_size + slots_size + n_children * sizeof(*talk->ended));
	if (talk->memory == NULL)
		return -ENOMEM;
	talk->budget = talk->memory;
	talk->slots = (void *)((char *)talk->memory + budget_size);
	talk->ended = (void *)((char *)talk->memory + budget_size + slots_size);
	return 0;
}

void bri_talk_fini(struct bri_talk *talk)
{
	/* The instance first: in a forked child its list is the parent's, too, and must stay as it is. */
	bri_closep(&talk->epoll);
	bri_closep(&talk->timer);
	bri_closep(&talk->input_fd);
	free(talk->told);
	free(talk->memory);
}

/* ---- the epoll instance, where somebody asked for it */

/* Before its descriptor is closed: a copy of it in another process would keep the entry alive. */
static void forget(struct bri_talk *talk, size_t slot)
{
	if (talk->told == NULL || talk->told[slot].fd < 0)
		return;
	epoll_ctl(talk->epoll, EPOLL_CTL_DEL, talk->told[slot].fd, NULL);
	talk->told[slot].fd = -1;
}

static int tell(struct bri_talk *talk, size_t slot)
{
	const struct pollfd *wanted = &talk->slots[slot];
	struct bri_watch *told = &talk->told[slot];
	struct epoll_event event = { .events = (uint32_t)wanted->events };
	int call = EPOLL_CTL_ADD;

	if (told->fd == wanted->fd && told->events == wanted->events)
		return 0;
	if (told->fd >= 0 && told->fd == wanted->fd)
		call = EPOLL_CTL_MOD;
	else
		forget(talk, slot);
	if (wanted->fd < 0)
		return 0;
	if (epoll_ctl(talk->epoll, call, wanted->fd, &event) < 0)
		return -errno;
	*told = (struct bri_watch){ .fd = wanted->fd, .events = wanted->events };
	return 0;
}

/* Whether a turn has something to do that no descriptor tells: lines that wait after a .call that
 * failed, or pipes that will not be waited for any longer. */
static bool has_work(const struct bri_talk *talk)
{
	for (size_t i = 0; i < talk->n_drains; i++) {
		const struct bri_drain *drain = &talk->drains[i];

		if (bri_drain_has_lines(drain) ||
		    (talk->closing && drain->fd >= 0 && !bri_drain_is_behind(drain)))
			return true;
	}
	return false;
}

static void gather(struct bri_talk *talk, int cancel_fd);

/* The timer is for what no descriptor tells: the end of the linger time, work that is left, and, for good,
 * that all is done. A descriptor that could not be entered is such work: the next step polls it. */
static int tell_all(struct bri_talk *talk)
{
	struct itimerspec when = { .it_value = { 0 } };
	bool missed = false;

	if (talk->told == NULL)
		return 0;
	gather(talk, -1);
	for (size_t slot = 0; slot < cancel_slot(talk); slot++)
		missed = tell(talk, slot) < 0 || missed;
	if (talk->done || missed || has_work(talk)) {
		when.it_value.tv_nsec = 1;
	} else if (talk->linger_until != 0 && talk->linger_until != BROOD_FOREVER &&
		   !talk->closing) {
		when.it_value.tv_sec = talk->linger_until / BROOD_SEC;
		when.it_value.tv_nsec = talk->linger_until % BROOD_SEC;
	}
	return timerfd_settime(talk->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

int bri_talk_fd(struct bri_talk *talk)
{
	struct epoll_event event = { .events = EPOLLIN };
	size_t n = cancel_slot(talk);
	int r;

	if (talk->told != NULL)
		return talk->epoll;
	talk->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (talk->epoll < 0)
		return -errno;
	talk->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = talk->timer < 0 ? -errno : 0;
	if (r == 0 && epoll_ctl(talk->epoll, EPOLL_CTL_ADD, talk->timer, &event) < 0)
		r = -errno;
	if (r == 0) {
		talk->told = malloc(n * sizeof(*talk->told));
		r = talk->told == NULL ? -ENOMEM : 0;
	}
	if (r == 0) {
		for (size_t i = 0; i < n; i++)
			talk->told[i].fd = -1;
		r = tell_all(talk);
	}
	if (r < 0) {
		bri_closep(&talk->epoll);
		bri_closep(&talk->timer);
		free(talk->told);
		talk->told = NULL;
		return r;
	}
	return talk->epoll;
}

/* ---- feeding */

void bri_talk_forget_source(struct bri_talk *talk, size_t drain)
{
	forget(talk, source_slot(drain));
}

void bri_talk_close_input(struct bri_talk *talk)
{
	forget(talk, 0);
	bri_closep(&talk->input_fd);
	talk->input_left = 0;
}

int bri_talk_begin(struct bri_talk *talk, const void *input, size_t size)
{
	int flags;

	if (input == NULL && size > 0)
		return -EINVAL;
	if (talk->begun)
		return input != NULL ? -EALREADY : 0;
	if (input != NULL && talk->input_fd < 0)
		return -EINVAL;
	/* After POLLOUT a page is taken without blocking; more may not be. The other end, another open
	 * file, stays as it is. */
	talk->input_piece = PIPE_BUF;
	if (size > PIPE_BUF) {
		flags = fcntl(talk->input_fd, F_GETFL);
		if (flags >= 0 && fcntl(talk->input_fd, F_SETFL, flags | O_NONBLOCK) == 0)
			talk->input_piece = BRI_PIPE_LARGE;
	}
	talk->begun = true;
	talk->input = input;
	talk->input_left = size;
	if (size == 0)
		bri_talk_close_input(talk);
	tell_all(talk); /* it has begun, whatever epoll says of it; the next step says that again */
	return 0;
}

/* A program that reads no more is no error: it has had what it wanted. Want of memory is one that may pass,
 * and the input stays. */
static int feed(struct bri_talk *talk)
{
	size_t n = talk->input_left < talk->input_piece ? talk->input_left : talk->input_piece;
	ssize_t done = bri_write_quietly(talk->input_fd, talk->input, n);

	if (done == -EAGAIN)
		return 0;
	if (done == -ENOMEM)
		return -ENOMEM;
	if (done < 0) {
		bri_talk_close_input(talk);
		return done == -EPIPE ? 0 : (int)done;
	}
	talk->input += done;
	talk->input_left -= (size_t)done;
	if (talk->input_left == 0) {
		bri_talk_close_input(talk);
	} else if (talk->input_pipe == BRI_PIPE_KERNEL && talk->input_left > BRI_PIPE_KERNEL) {
		int size = fcntl(talk->input_fd, F_SETPIPE_SZ, (int)BRI_PIPE_LARGE);

		talk->input_pipe = size > 0 ? (size_t)size : BRI_PIPE_FIXED;
	}
	return 0;
}

/* ---- draining */

static void close_source(struct bri_talk *talk, size_t i)
{
	forget(talk, source_slot(i));
	bri_closep(&talk->drains[i].fd);
}

/* The stream is over, with its end seen or without. */
static int finish_drain(struct bri_talk *talk, size_t i)
{
	struct bri_drain *drain = &talk->drains[i];

	/* Somebody else may hold the pipe on: its size counts against the user's share. */
	if (!drain->ended && drain->pipe_size > BRI_PIPE_KERNEL)
		fcntl(drain->fd, F_SETPIPE_SZ, (int)BRI_PIPE_KERNEL);
	close_source(talk, i);
	return bri_drain_finish(drain);
}

static int read_drain(struct bri_talk *talk, size_t i)
{
	struct bri_drain *drain = &talk->drains[i];
	bool hung_up = talk->slots[source_slot(i)].revents & POLLHUP;
	size_t n = 0;
	int r = bri_drain_read(drain, hung_up, &n);

	if (talk->closing)
		talk->budget[i] -= n < talk->budget[i] ? n : talk->budget[i];
	if (r == 0 && drain->ended)
		r = finish_drain(talk, i);
	return r;
}

/* What came before the linger time was over was in time, and is still read. */
static void begin_closing(struct bri_talk *talk)
{
	talk->closing = true;
	for (size_t i = 0; i < talk->n_drains; i++) {
		int n = 0;

		if (talk->drains[i].fd >= 0 && ioctl(talk->drains[i].fd, FIONREAD, &n) == 0 &&
		    n > 0)
			talk->budget[i] = (size_t)n;
	}
}

/* ---- turns */

static bool is_waiting_for_outlet(const struct bri_talk *talk)
{
	for (size_t i = 0; i < talk->n_drains; i++)
		if (bri_drain_is_behind(&talk->drains[i]))
			return true;
	return false;
}

/* What to wait for now, into the slots. */
static void gather(struct bri_talk *talk, int cancel_fd)
{
	struct pollfd *slots = talk->slots;

	slots[0] = (struct pollfd){ .fd = talk->input_left > 0 ? talk->input_fd : -1,
				    .events = POLLOUT };
	for (size_t i = 0; i < talk->n_drains; i++) {
		const struct bri_drain *drain = &talk->drains[i];
		const struct bri_outlet *slow =
			bri_outlet_is_behind(&drain->to) ? &drain->to : &drain->tee;
		bool behind = bri_outlet_is_behind(slow);

		slots[source_slot(i)] =
			(struct pollfd){ .fd = behind ? -1 : drain->fd, .events = POLLIN };
		slots[outlet_slot(i)] =
			(struct pollfd){ .fd = behind ? slow->fd : -1, .events = POLLOUT };
	}
	for (size_t i = 0; i < talk->n_children; i++)
		slots[child_slot(talk, i)] = (struct pollfd){
			.fd = talk->ended[i] ? -1 : brood_child_pidfd(talk->children[i]),
			.events = POLLIN
		};
	slots[cancel_slot(talk)] = (struct pollfd){ .fd = cancel_fd, .events = POLLIN };
}

static void note_ends(struct bri_talk *talk)
{
	bool all = true;

	for (size_t i = 0; i < talk->n_children; i++) {
		if (talk->slots[child_slot(talk, i)].revents != 0)
			talk->ended[i] = true;
		all = all && talk->ended[i];
	}
	if (!all || talk->linger_until != 0)
		return;
	bri_talk_close_input(talk); /* who should read it? */
	talk->linger_until = talk->linger_ns < 0 ? 1 : bri_deadline(talk->linger_ns);
	if (talk->linger_until == 0)
		talk->linger_until = 1;
}

/* The linger time is over, and what was written in time is read. Where nobody can write any more, reading on
 * finds the end. */
static bool is_overdue(const struct bri_talk *talk, size_t i)
{
	const struct pollfd *source = &talk->slots[source_slot(i)];

	return talk->closing && source->fd >= 0 &&
	       (source->revents == 0 || (talk->budget[i] == 0 && !(source->revents & POLLHUP)));
}

/* Handles what the slots say is ready. Returns 0, why the input cannot be written, or what the first failing
 * .call returned. */
static int handle(struct bri_talk *talk)
{
	int first = talk->slots[0].revents != 0 ? feed(talk) : 0, r;

	for (size_t i = 0; i < talk->n_drains; i++) {
		r = bri_drain_deliver(&talk->drains[i]);
		if (r == 0 && is_overdue(talk, i))
			r = finish_drain(talk, i);
		else if (r == 0 && talk->slots[source_slot(i)].revents != 0)
			r = read_drain(talk, i);
		first = first == 0 ? r : first;
	}
	note_ends(talk);
	if (talk->linger_until != 0 && !talk->closing && brood_now() >= talk->linger_until)
		begin_closing(talk);
	return first;
}

static bool all_ended(const struct bri_talk *talk)
{
	return talk->linger_until != 0;
}

static bool all_drained(const struct bri_talk *talk)
{
	for (size_t i = 0; i < talk->n_drains; i++)
		if (talk->drains[i].fd >= 0 || bri_drain_has_lines(&talk->drains[i]))
			return false;
	return !is_waiting_for_outlet(talk);
}

static int signal_all(struct bri_talk *talk, int (*send)(brood_child *child))
{
	int first = 0;

	for (size_t i = 0; i < talk->n_children; i++) {
		int r = send(talk->children[i]);

		first = first == 0 ? r : first;
	}
	return first;
}

/* Waits for the ends that are not seen yet, and reaps all. Returns 0 or -errno. */
static int reap_all(struct bri_talk *talk)
{
	int first = 0;

	if (talk->kill_rest)
		signal_all(talk, brood_child_kill);
	for (size_t i = 0; i < talk->n_children; i++) {
		int r = brood_child_wait(talk->children[i], BROOD_FOREVER, NULL);

		first = first == 0 ? r : first;
	}
	talk->done = first == 0;
	return first;
}

/* Reaps when all has ended. Returns 1 when all is done, 0, or -errno. */
static int is_done(struct bri_talk *talk)
{
	int r = 0;

	if (!talk->done && all_ended(talk) && all_drained(talk))
		r = reap_all(talk);
	return r < 0 ? r : talk->done;
}

static int64_t earliest(const struct bri_talk *talk, int64_t deadline)
{
	if (has_work(talk))
		return 0;
	if (talk->linger_until != 0 && !talk->closing && talk->linger_until < deadline)
		return talk->linger_until;
	return deadline;
}

/* Waits at most until `deadline`, handles. Returns how many descriptors were ready, -ECANCELED, or -errno;
 * what a .call returned in *ret_call. */
static int turn(struct bri_talk *talk, int64_t deadline, int cancel_fd, int *ret_call)
{
	struct timespec storage;
	int ready;

	*ret_call = 0;
	deadline = earliest(talk, deadline);
	gather(talk, cancel_fd);
	ready = ppoll(talk->slots, cancel_slot(talk) + 1, bri_remaining(deadline, &storage), NULL);
	if (ready < 0)
		return errno == EINTR ? 1 : -errno;
	if (talk->slots[cancel_slot(talk)].revents != 0)
		return -ECANCELED;
	*ret_call = handle(talk);
	return ready;
}

/* Nothing but the ends of the programs is left to wait for: no need to poll for those. */
static bool only_ends_are_left(const struct bri_talk *talk)
{
	return talk->input_left == 0 && all_drained(talk);
}

static void give_outlets_up(struct bri_talk *talk)
{
	for (size_t i = 0; i < talk->n_drains; i++) {
		struct bri_drain *drain = &talk->drains[i];

		if (bri_outlet_is_behind(&drain->to))
			bri_outlet_give_up(&drain->to, ETIMEDOUT);
		if (bri_outlet_is_behind(&drain->tee))
			bri_outlet_give_up(&drain->tee, ETIMEDOUT);
	}
}

/* A time-out that has passed still allows so many turns, as long as each finds something ready, so that
 * what has ended is seen to have ended. */
#define LATE_TURNS 16

static int until(struct bri_talk *talk, enum bri_talk_until what, int64_t deadline, int cancel_fd)
{
	int late = 0, call, ready, r;

	for (;;) {
		if (what == BRI_TALK_DONE && deadline == BROOD_FOREVER && cancel_fd < 0 &&
		    !talk->done && !talk->kill_rest && only_ends_are_left(talk))
			return reap_all(talk);
		if (what == BRI_TALK_STOP && talk->closing)
			give_outlets_up(talk); /* before the look whether anything is left */
		r = is_done(talk);
		if (r != 0)
			return r < 0 ? r : 0;
		if (what == BRI_TALK_ENDED && all_ended(talk))
			return 0;
		ready = turn(talk, deadline, cancel_fd, &call);
		if (ready < 0)
			return ready;
		if (call < 0 && what == BRI_TALK_DONE)
			return call;
		if (deadline == BROOD_FOREVER || (deadline != 0 && brood_now() < deadline))
			continue;
		if ((ready == 0 && !has_work(talk)) || ++late > LATE_TURNS) {
			r = is_done(talk);
			return r < 0 ? r : r == 0 ? -ETIMEDOUT : 0;
		}
	}
}

int bri_talk_until(struct bri_talk *talk, enum bri_talk_until what, int64_t deadline, int cancel_fd)
{
	int r = until(talk, what, deadline, cancel_fd), told = tell_all(talk);

	return r != 0 ? r : told;
}

int bri_talk_step(struct bri_talk *talk)
{
	int call = 0, told, r = is_done(talk);

	if (r == 0) {
		r = turn(talk, 0, -1, &call);
		if (r >= 0)
			r = call < 0 ? call : is_done(talk);
	}
	told = tell_all(talk);
	return r >= 0 && told < 0 ? told : r;
}

/* ---- stopping */

/* Want of memory may pass, and shall neither cut the grace short nor lose output: tried again a few times. */
static int until_again(struct bri_talk *talk, enum bri_talk_until what, int64_t deadline)
{
	int r = bri_talk_until(talk, what, deadline, -1);

	for (int tries = 0; r < 0 && r != -ETIMEDOUT && tries < 10; tries++) {
		nanosleep(&(struct timespec){ .tv_nsec = 10 * BROOD_MSEC }, NULL);
		r = bri_talk_until(talk, what, deadline, -1);
	}
	return r;
}

/* What cannot be polled is stopped all the same: the grace is cut short then, and output may be missing. */
int bri_talk_stop(struct bri_talk *talk, int64_t grace_ns)
{
	int r;

	if (!talk->begun)
		bri_talk_begin(talk, NULL, 0);
	if (talk->linger_ns > BRI_LINGER) {
		talk->linger_ns = BRI_LINGER;
		if (talk->linger_until != 0)
			talk->linger_until = bri_deadline(talk->linger_ns);
	}
	if (!talk->done && grace_ns > 0) {
		r = signal_all(talk, brood_child_terminate);
		if (r < 0)
			return r;
		until_again(talk, BRI_TALK_ENDED, bri_deadline(grace_ns));
	}
	/* What has ended is not reaped yet: so this reaches what it left of its group, too. */
	r = talk->done ? 0 : signal_all(talk, brood_child_kill);
	if (r < 0)
		return r;
	r = until_again(talk, BRI_TALK_STOP, BROOD_FOREVER);
	if (r < 0 && !talk->done)
		reap_all(talk);
	return r;
}
