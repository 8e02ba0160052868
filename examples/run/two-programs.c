/* two-programs LINE1 LINE2 - two programs in one event loop, without a thread
 *
 * Runs two command lines of the shell at once and shows the lines of both as they come. What brood needs of
 * the loop is one descriptor a program: brood_popen_fd() is readable when brood_popen_step() has
 * something to do. Here the loop is epoll(7); sd-event, libuv or GLib take the same descriptor. */
#include <brood/brood.h>

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct program {
	const char *name;
	brood_popen *popen;
};

static int show(void *data, const char *line, size_t size)
{
	const struct program *program = data;

	printf("%s: %.*s", program->name, (int)size, line);
	if (line[size - 1] != '\n')
		putchar('\n');
	(void)fflush(stdout);
	return 0;
}

static int start(struct program *program, const char *line, int loop)
{
	const brood_popen_opts opts = {
		.spawn = { .shell = true,
			   .in = { .kind = BROOD_STDIO_NULL },
			   .out = { .kind = BROOD_STDIO_PIPE } },
		.out = { .kind = BROOD_SINK_LINES, .call = show, .data = program },
	};
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = program };
	int fd;

	if (brood_popen_start(BROOD_ARGV(line), &opts, &program->popen) < 0)
		return -1;
	fd = brood_popen_fd(program->popen);
	return fd < 0 ? fd : epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

/* Returns 1 when it has ended. */
static int turn(struct program *program)
{
	brood_exit end;
	char words[80];
	int r = brood_popen_step(program->popen);

	if (r != 1)
		return r;
	brood_popen_poll(program->popen, &end);
	brood_exit_format(&end, words, sizeof(words));
	printf("%s: %s\n", program->name, words);
	program->popen = brood_popen_free(program->popen); /* its descriptor leaves the loop, too */
	return 1;
}

int main(int argc, char **argv)
{
	struct program programs[2] = { { .name = "first" }, { .name = "second" } };
	int loop = epoll_create1(EPOLL_CLOEXEC), left = 2, r = loop;

	if (argc != 3) {
		fprintf(stderr, "usage: two-programs LINE1 LINE2\n");
		return 2;
	}
	for (int i = 0; r >= 0 && i < 2; i++)
		r = start(&programs[i], argv[i + 1], loop);
	while (r >= 0 && left > 0) {
		struct epoll_event event;

		if (epoll_wait(loop, &event, 1, -1) == 1) {
			r = turn(event.data.ptr);
			left -= r == 1;
		}
	}
	for (int i = 0; i < 2; i++)
		if (programs[i].popen != NULL) {
			brood_popen_stop(programs[i].popen, BROOD_SEC, NULL);
			brood_popen_free(programs[i].popen);
		}
	if (loop >= 0)
		close(loop);
	return r >= 0 ? 0 : 1;
}
