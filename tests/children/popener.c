/* popener MODE - takes a part of popen's path once, and tells what came of it and what it left behind
 *
 *	start      a start with all that a popen opens: pipes, sinks, tees, a cancel descriptor
 *	talk       communicate() with a time limit, both ways
 *	wait       communicate() without one, when only the end is left to wait for
 *	linger     communicate() with a program that leaves one in the background
 *	tee        communicate() with copies to a file, a pipe and a socket
 *	gone       the same, and nobody reads those
 *	cancel     brood_popen_wait() with a cancel descriptor
 *	stop       the ladder, with a program that says goodbye at length
 *	stop-deaf  the ladder down to SIGKILL, with a program that has a group of its own
 *	stop-full  the same, with a tee that nobody reads
 *	loop       the asynchronous form
 *
 * What failed is tried again, and must then succeed; what was kept must be what the program wrote, from its
 * beginning, and all of it unless an error is noted. Said is as by spawner.c; "left output" where that
 * is not so, "left program" where it could not be ended. */
#include <brood/popen.h>

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "counted.h"
#include "pattern.h"

#define SIZE ((size_t)100000)
#define SIZE_WORD "100000"
#define ERRORS 10000
#define ERRORS_WORD "10000"

static const char *mode, *act;
static char input[SIZE];
static size_t wanted; /* bytes of the pattern */
static int pipes[2], sockets[2], file, cancel;

static bool is(const char *name)
{
	return strcmp(mode, name) == 0;
}

static int start(const char *const words[], brood_popen_opts opts, brood_fail *fail,
		 brood_popen **ret_popen)
{
	const char *argv[16] = { act };

	for (size_t i = 0; words[i] != NULL; i++)
		argv[i + 1] = words[i];
	opts.spawn.in.kind = opts.spawn.out.kind = opts.spawn.err.kind = BROOD_STDIO_PIPE;
	opts.spawn.fail = fail;
	return brood_popen_start(argv, &opts, ret_popen);
}

/* Starts what the path is about; the program is alive and ready when this returns. */
static brood_popen *prepare(void)
{
	static const struct {
		const char *mode, *words[10];
	} modes[] = { { "wait", { "close", "1", "close", "2", "nap", "30" } },
		      { "linger", { "fill", SIZE_WORD, "keep", "60", "" } },
		      { "tee", { "efill", ERRORS_WORD, "copy" } },
		      { "gone", { "efill", ERRORS_WORD, "copy" } },
		      { "cancel", { "nap", "30" } },
		      { "stop", { "bye", SIZE_WORD } },
		      { "stop-deaf", { "deaf", "say", "ready\n", "fill", SIZE_WORD, "stay" } },
		      { "stop-full", { "deaf", "say", "ready\n", "fill", SIZE_WORD, "stay" } } };
	const char *const *words = BROOD_ARGV("copy");
	brood_popen_opts opts = { .linger_ns = is("linger") ? 10 * BROOD_MSEC : 0 };
	brood_popen *popen = NULL;
	brood_fail fail;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (is(modes[i].mode))
			words = modes[i].words;
	wanted = is("wait") || is("cancel") ? 0 : SIZE;
	if (is("tee") || is("gone") || is("stop-full"))
		opts.out.tee = pipes[1];
	if (is("tee") || is("gone"))
		opts.err = (brood_sink){ .kind = BROOD_SINK_FD, .fd = sockets[1], .tee = file };
	if (is("cancel"))
		opts.cancel_fd = &cancel;
	if (strncmp(mode, "stop-", 5) == 0)
		opts.spawn.group = BROOD_GROUP_NEW;
	if (start(words, opts, &fail, &popen) < 0)
		exit(2);
	if (strncmp(mode, "stop", 4) == 0 &&
	    read(brood_popen_stream(popen, 1), (char[6]){ 0 }, 6) != 6)
		exit(2);
	return popen;
}

static int step_through(brood_popen *popen)
{
	int r = brood_popen_begin(popen, input, SIZE), fd = brood_popen_fd(popen);

	if (r == 0 && fd < 0)
		return fd;
	while (r == 0) {
		struct pollfd slot = { .fd = fd, .events = POLLIN };

		if (poll(&slot, 1, 5000) != 1) {
			puts("left waiting");
			return 0;
		}
		r = brood_popen_step(popen);
	}
	return r == 1 ? 0 : r;
}

static int take_path(brood_popen *popen)
{
	if (is("wait"))
		return brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER);
	if (is("linger"))
		return brood_popen_communicate(popen, NULL, 0, 5 * BROOD_SEC);
	if (is("cancel"))
		return brood_popen_wait(popen, 5 * BROOD_SEC, NULL);
	if (is("stop"))
		return brood_popen_stop(popen, 5 * BROOD_SEC, NULL);
	if (is("stop-deaf") || is("stop-full"))
		return brood_popen_stop(popen, 20 * BROOD_MSEC, NULL);
	if (is("loop"))
		return step_through(popen);
	return brood_popen_communicate(popen, input, SIZE, 5 * BROOD_SEC);
}

/* What failed once goes on where it was. A stop has stopped all the same, unless the program may not be
 * signalled. */
static void check(brood_popen *popen, int r)
{
	bool stopping = strncmp(mode, "stop", 4) == 0;
	brood_output output = { .error = 0 }, errors = { .error = 0 };
	size_t i = 0;
	bool cut;

	if (r < 0 && stopping) {
		if (r != -EPERM && brood_popen_poll(popen, NULL) != 1)
			puts("left program");
		r = brood_popen_stop(popen, 5 * BROOD_SEC, NULL);
	} else if (r < 0) {
		r = brood_popen_communicate(popen, input, SIZE, 5 * BROOD_SEC);
		if (r == -EALREADY)
			r = brood_popen_communicate(popen, NULL, 0, 5 * BROOD_SEC);
	}
	if (r < 0)
		puts("left communication");
	if (brood_popen_stop(popen, 0, NULL) < 0 || brood_popen_poll(popen, NULL) != 1)
		puts("left program");
	brood_popen_output(popen, 1, &output);
	brood_popen_output(popen, 2, &errors);
	while (i < output.size && output.data[i] == pattern(i))
		i++;
	if (i < output.size || (output.error == 0 && output.size != output.total))
		puts("left output: it is not the program's");
	/* A stream that could not be read on is closed: the program may end of that before it wrote the other. */
	cut = (is("tee") || is("gone")) && errors.total < ERRORS;
	if (output.error == 0 && !cut && output.size != wanted && strncmp(mode, "stop-", 5) != 0)
		printf("left output: %zu bytes of it\n", output.size);
}

static void open_outlets(void)
{
	file = open("/dev/null", O_WRONLY | O_CLOEXEC);
	cancel = eventfd(0, EFD_CLOEXEC);
	if (pipe2(pipes, O_CLOEXEC) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0 || file < 0 ||
	    cancel < 0)
		exit(2);
	if (!is("stop-full"))
		fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20); /* nobody reads, and all has room */
	else
		fcntl(pipes[1], F_SETPIPE_SZ, 4096);
	if (is("gone")) {
		close(pipes[0]);
		close(sockets[0]);
	}
}

int main(int argc, char **argv)
{
	brood_fail fail = { .step = NULL };
	brood_popen *popen = NULL;
	bool before[1024];
	int r;

	if (argc < 3)
		return 2;
	act = argv[1];
	mode = argv[2];
	for (size_t i = 0; i < SIZE; i++)
		input[i] = pattern(i);
	raise(SIGSTOP);
	count_up(false);
	open_outlets();
	list_descriptors(before);
	mark("counted");
	if (is("start")) {
		const brood_popen_opts opts = {
			.out = { .kind = BROOD_SINK_FD, .fd = file, .tee = pipes[1] },
			.err = { .kind = BROOD_SINK_MEMORY, .tee = sockets[1] },
			.cancel_fd = &cancel
		};

		mark("begin");
		r = start(BROOD_ARGV("nap", "5"), opts, &fail, &popen);
		mark("end");
		if (popen != NULL && brood_popen_stop(popen, 0, NULL) < 0)
			puts("left program");
	} else {
		popen = prepare();
		mark("begin");
		r = take_path(popen);
		mark("end");
		check(popen, r);
	}
	brood_popen_free(popen);
	/* Those that were left in the background end by themselves. */
	printf("%d %s %d\n", r, fail.step != NULL ? fail.step : "none", fail.error);
	tell_left(before);
	return 0;
}
