/* child-c [MIB] - what one writes by hand instead of child.*, in C; a worker (worker.h)
 *
 * captured: posix_spawn with pipes for standard output and error, poll() on both, waitpid().
 *
 * The others send 256 MiB through `cat` and keep what comes back, by one loop around poll(), in
 * five ways, as which of them is the fastest depends on the machine. The pipes' size is the kernel's
 * (plain) or 1 MiB or 256 KiB; the output lies in a mapping that is doubled when it is full, or (huge)
 * in one made in advance, at the size that is known here, of huge pages; the input is written, or (gift)
 * its pages are lent to the pipe by vmsplice(). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../worker.h"

#define KERNEL_PIPE ((size_t)64 << 10)
#define HUGE_PAGE ((size_t)2 << 20)
#define FIRST_OUTPUT ((size_t)1 << 20)

static void check(bool ok, const char *what)
{
	if (!ok)
		worker_fail(what, strerror(errno));
}

static void open_pipe(int ends[2])
{
	check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
}

/* With descriptor moves[i][0] as its moves[i][1]; closes the former. */
static pid_t start(char *const argv[], int moves[2][2])
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 2; i++)
		posix_spawn_file_actions_adddup2(&actions, moves[i][0], moves[i][1]);
	errno = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	check(errno == 0, argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	for (int i = 0; i < 2; i++)
		close(moves[i][0]);
	return pid;
}

static void await(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid");
	if (status != 0)
		worker_fail("program", "did not end with 0");
}

static void capture_echo(void)
{
	char *argv[] = { (char[]){ "/bin/echo" }, (char[]){ "x" }, NULL };
	char output[4096];
	size_t got = 0;
	int out[2], err[2], open = 2;
	pid_t pid;

	open_pipe(out);
	open_pipe(err);
	pid = start(argv, (int[2][2]){ { out[1], 1 }, { err[1], 2 } });

	struct pollfd slots[] = { { .fd = out[0], .events = POLLIN },
				  { .fd = err[0], .events = POLLIN } };
	while (open > 0) {
		check(poll(slots, 2, -1) > 0, "poll");
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (slots[i].revents == 0)
				continue;
			n = read(slots[i].fd, output, sizeof(output));
			check(n >= 0, "read");
			got += (size_t)n;
			if (n == 0) {
				close(slots[i].fd);
				slots[i].fd = -1;
				open--;
			}
		}
	}
	await(pid);
	if (got != strlen("x\n"))
		worker_fail("echo", "has not said what it should");
}

static int64_t captured(int n)
{
	int64_t before = worker_now();

	for (int i = 0; i < n; i++)
		capture_echo();
	return worker_now() - before;
}

/* ---- communicate */

struct way {
	size_t pipe; /* 0: as it is */
	bool huge, gift;
};

struct output {
	char *data;
	size_t size, room;
};

static void make_room(struct output *output, const struct way *way)
{
	output->room = way->huge ? WORKER_INPUT_SIZE + HUGE_PAGE : FIRST_OUTPUT;
	output->data = mmap(NULL, output->room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	check(output->data != MAP_FAILED, "mmap");
	if (way->huge)
		madvise(output->data, output->room, MADV_HUGEPAGE);
}

/* Returns false at the end. */
static bool drain(int fd, struct output *output, size_t chunk)
{
	ssize_t n;

	if (output->room - output->size < chunk) {
		output->data = mremap(output->data, output->room, output->room * 2, MREMAP_MAYMOVE);
		check(output->data != MAP_FAILED, "mremap");
		output->room *= 2;
	}
	n = read(fd, output->data + output->size, chunk);
	check(n >= 0 || errno == EAGAIN, "read");
	output->size += n > 0 ? (size_t)n : 0;
	return n != 0;
}

/* Returns how much of it was taken. */
static size_t feed(int fd, const char *input, size_t size, bool gift)
{
	struct iovec piece = { .iov_base = (char *)(uintptr_t)input, .iov_len = size };
	ssize_t n = gift ? vmsplice(fd, &piece, 1, SPLICE_F_NONBLOCK) : write(fd, input, size);

	check(n >= 0 || errno == EAGAIN, "feed");
	return n > 0 ? (size_t)n : 0;
}

static void talk(int in, int out, const struct way *way, struct output *output)
{
	const char *input = worker_input();
	size_t chunk = way->pipe != 0 ? way->pipe : KERNEL_PIPE, left = WORKER_INPUT_SIZE;
	struct pollfd slots[] = { { .fd = in, .events = POLLOUT },
				  { .fd = out, .events = POLLIN } };

	for (;;) {
		check(poll(slots, 2, -1) > 0, "poll");
		if (slots[0].revents != 0) {
			left -= feed(in, input + WORKER_INPUT_SIZE - left,
				     left < chunk ? left : chunk, way->gift);
			if (left == 0) {
				close(in);
				slots[0].fd = -1;
			}
		}
		if (slots[1].revents != 0 && !drain(out, output, chunk))
			break;
	}
	close(out);
}

static int64_t communicate_once(const struct way *way)
{
	char *argv[] = { (char[]){ "/bin/cat" }, NULL };
	struct output output = { .size = 0 };
	int64_t before = worker_now(), took;
	int in[2], out[2];
	pid_t pid;

	open_pipe(in);
	open_pipe(out);
	if (way->pipe != 0) {
		fcntl(in[1], F_SETPIPE_SZ, (int)way->pipe);
		fcntl(out[1], F_SETPIPE_SZ, (int)way->pipe);
	}
	pid = start(argv, (int[2][2]){ { in[0], 0 }, { out[1], 1 } });
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	make_room(&output, way);
	talk(in[1], out[0], way, &output);
	await(pid);
	took = worker_now() - before;
	worker_check_output(output.data, output.size);
	munmap(output.data, output.room);
	return took;
}

static int64_t communicate(int n, const struct way *way)
{
	int64_t took = 0;

	worker_input();
	for (int i = 0; i < n; i++)
		took += communicate_once(way);
	return took;
}

static int64_t plain(int n)
{
	return communicate(n, &(struct way){ .pipe = 0 });
}

static int64_t pipe_1mib(int n)
{
	return communicate(n, &(struct way){ .pipe = 1 << 20 });
}

static int64_t pipe_1mib_huge(int n)
{
	return communicate(n, &(struct way){ .pipe = 1 << 20, .huge = true });
}

static int64_t pipe_256kib_huge(int n)
{
	return communicate(n, &(struct way){ .pipe = 256 << 10, .huge = true });
}

static int64_t pipe_1mib_huge_gift(int n)
{
	return communicate(n, &(struct way){ .pipe = 1 << 20, .huge = true, .gift = true });
}

int main(int argc, char **argv)
{
	static const struct worker_task tasks[] = {
		{ "captured", captured },
		{ "plain", plain },
		{ "1mib", pipe_1mib },
		{ "1mib+huge", pipe_1mib_huge },
		{ "256kib+huge", pipe_256kib_huge },
		{ "1mib+huge+gift", pipe_1mib_huge_gift },
		{ NULL, NULL },
	};

	signal(SIGPIPE, SIG_IGN);
	return worker_main(argc, argv, tasks);
}
