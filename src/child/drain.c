#include "child/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fail.h"
#include "os/fd.h"

#define FIRST_READ ((size_t)8 << 10)
#define SMALL_READ ((size_t)1 << 10)
#define TAIL_DEFAULT ((size_t)4096)
#define LINE_DEFAULT ((size_t)1 << 20)

int bri_drain_check(const brood_sink *sink, brood_fail *fail)
{
	if (sink->kind > BROOD_SINK_DISCARD)
		return bri_fail(fail, "sink", EINVAL, "no such kind %d", (int)sink->kind);
	if (sink->text > BROOD_TEXT_REPLACE)
		return bri_fail(fail, "sink", EINVAL, "no such text %d", (int)sink->text);
	if ((sink->kind == BROOD_SINK_CHUNKS || sink->kind == BROOD_SINK_LINES) &&
	    sink->call == NULL)
		return bri_fail(fail, "sink", EINVAL, "no .call");
	if (sink->kind == BROOD_SINK_FD && !bri_is_writable(sink->fd))
		return bri_fail(fail, "sink", sink->fd < 0 ? EINVAL : EBADF, "descriptor %d",
				sink->fd);
	if (sink->tee != 0 && !bri_is_writable(sink->tee))
		return bri_fail(fail, "sink", sink->tee < 0 ? EINVAL : EBADF, "tee %d", sink->tee);
	return 0;
}

int bri_drain_init(struct bri_drain *drain, const brood_sink *sink, brood_fail *fail)
{
	int r;

	*drain = (struct bri_drain){ .fd = -1,
				     .sink = *sink,
				     .to = { .fd = -1 },
				     .tee = { .fd = -1 },
				     .text = { .mode = (enum bri_text_mode)sink->text },
				     .pipe_size = BRI_PIPE_KERNEL };
	if (sink->kind == BROOD_SINK_FD) {
		r = bri_outlet_init(&drain->to, sink->fd);
		if (r < 0)
			return bri_fail(fail, "sink", r, "descriptor %d", sink->fd);
	}
	if (sink->tee != 0) {
		r = bri_outlet_init(&drain->tee, sink->tee);
		if (r < 0) {
			bri_outlet_fini(&drain->to);
			return bri_fail(fail, "sink", r, "tee %d", sink->tee);
		}
	}
	if (drain->sink.limit == 0 && sink->kind == BROOD_SINK_TAIL)
		drain->sink.limit = TAIL_DEFAULT;
	if (drain->sink.limit > SIZE_MAX / 4) /* as good as none, and may be doubled */
		drain->sink.limit = SIZE_MAX / 4;
	if (drain->sink.limit == 0 && sink->kind == BROOD_SINK_LINES)
		drain->sink.limit = LINE_DEFAULT;
	return 0;
}

static void note(struct bri_drain *drain, int error)
{
	if (drain->error == 0)
		drain->error = error;
}

/* First come, first told; within one piece the descriptors. */
static void note_troubles(struct bri_drain *drain)
{
	note(drain, -drain->to.error);
	note(drain, -drain->tee.error);
	if (drain->text.invalid)
		note(drain, -EILSEQ);
}

/* So many of the next `n` bytes are within the limit of a sink that keeps the first ones. */
static size_t within(struct bri_drain *drain, size_t have, size_t n)
{
	size_t limit = drain->sink.limit;

	if (limit == 0 || n <= limit - have)
		return n;
	drain->truncated = true;
	return limit - have;
}

/* No memory: what was kept is all that will be, so that there is no hole in it. The rest is read and
 * dropped, so that the program goes on. */
static void keep_no_more(struct bri_drain *drain)
{
	note(drain, -ENOMEM);
	drain->truncated = true;
	drain->sink.limit = drain->kept.size;
	if (drain->kept.size == 0)
		drain->sink.kind = BROOD_SINK_DISCARD;
}

static void keep(struct bri_drain *drain, const char *bytes, size_t n)
{
	n = within(drain, drain->kept.size, n);
	if (bri_growing_append(&drain->kept, bytes, n) < 0)
		keep_no_more(drain);
}

/* Up to twice the limit is there, the last half counts: so moving it to the front costs a copy a byte. */
static void keep_tail(struct bri_drain *drain, const char *bytes, size_t n)
{
	size_t limit = drain->sink.limit;

	if (n > limit) {
		drain->truncated = true;
		bytes += n - limit;
		n = limit;
	}
	if (drain->kept.size > 2 * limit - n)
		bri_growing_drop(&drain->kept, drain->kept.size - (limit - n));
	if (bri_growing_append(&drain->kept, bytes, n) < 0) {
		/* What is kept has no hole in it: the last ones are, as far as the room goes. */
		note(drain, -ENOMEM);
		drain->truncated = true;
		bri_growing_drop(&drain->kept, drain->kept.size);
		bri_growing_append(&drain->kept, bytes, n);
	}
	if (drain->kept.size > limit)
		drain->truncated = true;
}

/* Hands over the lines in `rest`; with `all` also what has no newline. A .call that fails has had
 * its piece. */
static int hand_over_lines(struct bri_drain *drain, bool all)
{
	struct bri_growing *rest = &drain->rest;
	int r = 0;

	while (r == 0 && drain->rest_at < rest->size) {
		const char *from = rest->data + drain->rest_at;
		size_t left = rest->size - drain->rest_at, seen = drain->rest_seen;
		const char *newline = memchr(from + seen, '\n', left - seen);
		size_t n = newline != NULL ? (size_t)(newline - from) + 1 : left;

		if (n > drain->sink.limit)
			n = drain->sink.limit;
		else if (newline == NULL && !all) {
			drain->rest_seen = left;
			break;
		}
		drain->rest_at += n;
		drain->rest_seen = 0;
		r = drain->sink.call(drain->sink.data, from, n);
		if (r > 0)
			r = 0;
	}
	if (drain->rest_at == rest->size || drain->rest_at > rest->room / 2) {
		bri_growing_drop(rest, drain->rest_at);
		drain->rest_at = 0;
	}
	return r;
}

bool bri_drain_has_lines(const struct bri_drain *drain)
{
	size_t left = drain->rest.size - drain->rest_at;

	return left > drain->rest_seen;
}

/* Bytes as the user asked for them, into the sink. */
static int pass_on(struct bri_drain *drain, const char *bytes, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	switch (drain->sink.kind) {
	case BROOD_SINK_MEMORY:
		keep(drain, bytes, n);
		return 0;
	case BROOD_SINK_TAIL:
		keep_tail(drain, bytes, n);
		return 0;
	case BROOD_SINK_CHUNKS:
		r = drain->sink.call(drain->sink.data, bytes, n);
		return r < 0 ? r : 0;
	case BROOD_SINK_LINES:
		if (bri_growing_append(&drain->rest, bytes, n) < 0) {
			note(drain, -ENOMEM);
			drain->truncated = true;
		}
		return hand_over_lines(drain, false);
	case BROOD_SINK_FD:
		n = within(drain, drain->delivered, n);
		drain->delivered += n;
		bri_outlet_put(&drain->to, bytes, n);
		return 0;
	case BROOD_SINK_DISCARD:
		break;
	}
	return 0;
}

/* `clean` has BRI_TEXT_ROOM(n) bytes. */
static int take(struct bri_drain *drain, const char *bytes, size_t n, char *clean)
{
	int r;

	drain->total += n;
	bri_outlet_put(&drain->tee, bytes, n);
	if (drain->text.mode != BRI_TEXT_BYTES) {
		n = bri_text_feed(&drain->text, bytes, n, clean);
		bytes = clean;
	}
	r = pass_on(drain, bytes, n);
	note_troubles(drain);
	return r;
}

/* Only for a pipe that was found full: 64 large ones are all that a user may have (pipe(7)). */
static void widen(struct bri_drain *drain, size_t n)
{
	int more = 0, size;

	if (drain->pipe_size != BRI_PIPE_KERNEL || ioctl(drain->fd, FIONREAD, &more) < 0 ||
	    n + (size_t)more < BRI_PIPE_KERNEL)
		return;
	size = fcntl(drain->fd, F_SETPIPE_SZ, (int)BRI_PIPE_LARGE);
	drain->pipe_size = size > 0 ? (size_t)size : BRI_PIPE_FIXED; /* do not ask again */
}

static bool is_straight(const struct bri_drain *drain)
{
	return drain->sink.kind == BROOD_SINK_MEMORY && drain->sink.limit == 0 &&
	       drain->tee.fd < 0 && drain->text.mode == BRI_TEXT_BYTES;
}

/* Nothing lies in the pipe. Where the program made it one of packets (pipe(2), O_DIRECT) a read that is short
 * does not say so. */
static bool is_empty(int fd)
{
	int left = 0;

	return ioctl(fd, FIONREAD, &left) == 0 && left == 0;
}

/* Returns what was read, 0 at the end, -EAGAIN; what else may be wrong is an end, too. A pipe that hung up and
 * is empty is at its end: no turn more to see that. */
static ssize_t read_some(struct bri_drain *drain, bool hung_up, char *to, size_t room)
{
	ssize_t n;

	do
		n = read(drain->fd, to, room);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n < 0)
		note(drain, -errno);
	if (n <= 0 || (hung_up && (size_t)n < room && is_empty(drain->fd)))
		drain->ended = true;
	else if ((size_t)n == room)
		widen(drain, (size_t)n);
	return n > 0 ? n : 0;
}

/* Where the bytes go as they are, they are read to where they shall stay. Returns false when there is no
 * memory: what does not fit is read and dropped from now on, so that the program goes on. */
static bool read_straight(struct bri_drain *drain, bool hung_up, size_t *ret_n)
{
	size_t room = drain->kept.size < FIRST_READ ? FIRST_READ : drain->kept.size;
	ssize_t n;

	if (room > drain->pipe_size)
		room = drain->pipe_size;
	if (bri_growing_reserve(&drain->kept, room) < 0) {
		keep_no_more(drain);
		return false;
	}
	n = read_some(drain, hung_up, drain->kept.data + drain->kept.size, room);
	if (n > 0) {
		drain->kept.size += (size_t)n;
		drain->total += (size_t)n;
		*ret_n = (size_t)n;
	}
	return true;
}

/* What does without memory when there is none. */
static int read_in_small(struct bri_drain *drain, bool hung_up, size_t *ret_n)
{
	char bytes[SMALL_READ], clean[BRI_TEXT_ROOM(SMALL_READ)];
	ssize_t n = read_some(drain, hung_up, bytes, sizeof(bytes));

	if (n <= 0)
		return 0;
	*ret_n = (size_t)n;
	return take(drain, bytes, (size_t)n, clean);
}

static int read_through(struct bri_drain *drain, bool hung_up, size_t *ret_n)
{
	ssize_t n;

	if (drain->scratch == NULL)
		drain->scratch = malloc(BRI_PIPE_KERNEL);
	if (drain->clean == NULL && drain->text.mode != BRI_TEXT_BYTES)
		drain->clean = malloc(BRI_TEXT_ROOM(BRI_PIPE_KERNEL));
	if (drain->scratch == NULL || (drain->clean == NULL && drain->text.mode != BRI_TEXT_BYTES))
		return read_in_small(drain, hung_up, ret_n);
	n = read_some(drain, hung_up, drain->scratch, BRI_PIPE_KERNEL);
	if (n <= 0)
		return 0;
	*ret_n = (size_t)n;
	return take(drain, drain->scratch, (size_t)n, drain->clean);
}

int bri_drain_read(struct bri_drain *drain, bool hung_up, size_t *ret_n)
{
	*ret_n = 0;
	if (is_straight(drain) && read_straight(drain, hung_up, ret_n))
		return 0;
	return read_through(drain, hung_up, ret_n);
}

bool bri_drain_is_behind(const struct bri_drain *drain)
{
	return bri_outlet_is_behind(&drain->to) || bri_outlet_is_behind(&drain->tee);
}

int bri_drain_deliver(struct bri_drain *drain)
{
	bri_outlet_flush(&drain->to);
	bri_outlet_flush(&drain->tee);
	note_troubles(drain);
	return bri_drain_has_lines(drain) ? hand_over_lines(drain, drain->finished) : 0;
}

int bri_drain_finish(struct bri_drain *drain)
{
	char last[BRI_TEXT_ROOM(1)];
	int r = 0;

	if (!drain->finished) {
		drain->finished = true;
		r = pass_on(drain, last, bri_text_finish(&drain->text, last));
		note_troubles(drain);
	}
	return r == 0 ? hand_over_lines(drain, true) : r;
}

/* What counts of what is kept. */
static size_t start_of(const struct bri_drain *drain)
{
	size_t limit = drain->sink.limit;

	return drain->sink.kind == BROOD_SINK_TAIL && drain->kept.size > limit ?
		       drain->kept.size - limit :
		       0;
}

void bri_drain_output(struct bri_drain *drain, brood_output *ret_output)
{
	size_t start = start_of(drain);

	note_troubles(drain); /* those of an outlet that was given up */
	*ret_output = (brood_output){ .data = bri_growing_text(&drain->kept) + start,
				      .size = drain->kept.size - start,
				      .total = drain->total,
				      .truncated = drain->truncated || drain->to.error != 0,
				      .ended = drain->ended,
				      .error = drain->error };
}

int bri_drain_take(struct bri_drain *drain, char **ret_data, size_t *ret_size)
{
	size_t start = start_of(drain), size = drain->kept.size - start;
	char *data;

	if (start == 0 && !drain->kept.mapped && drain->kept.data != NULL) {
		bri_growing_text(&drain->kept);
		data = drain->kept.data;
		drain->kept = (struct bri_growing){ .data = NULL };
	} else {
		data = malloc(size + 1);
		if (data == NULL)
			return -ENOMEM;
		memcpy(data, bri_growing_text(&drain->kept) + start, size);
		data[size] = '\0';
		bri_growing_fini(&drain->kept);
	}
	*ret_data = data;
	if (ret_size != NULL)
		*ret_size = size;
	return 0;
}

void bri_drain_fini(struct bri_drain *drain)
{
	bri_closep(&drain->fd);
	bri_outlet_fini(&drain->to);
	bri_outlet_fini(&drain->tee);
	bri_growing_fini(&drain->kept);
	bri_growing_fini(&drain->rest);
	free(drain->scratch);
	free(drain->clean);
}
