#include "serve/control.h"

#include <brood/base.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/wire.h"

#define SOCKET_NAME "control.sock"
#define ASK_NS (10 * BROOD_SEC)

static const char reload_word[] = "reload ", reloaded_word[] = "reloaded ",
		  failed_word[] = "failed ";

struct control {
	sd_event_source *source;
	int state_fd, fd;
	control_reload *reload;
	void *self;
};

/* The state directory's path may be longer than a socket address takes: by descriptor it is not. */
static struct sockaddr_un address_of(int state_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
		 state_fd);
	return address;
}

/* --- the server's end --------------------------------------------------------------------- */

static void answer_request(const struct control *control, const char *request, int line)
{
	char answer[CONTROL_ANSWER_SIZE];

	if (strncmp(request, reload_word, strlen(reload_word)) == 0)
		control->reload(control->self, request + strlen(reload_word), answer,
				sizeof(answer));
	else
		snprintf(answer, sizeof(answer), "%sit does not know this request", failed_word);
	wire_send(line, answer, strlen(answer), -1); /* an asker that has gone needs none */
}

static int on_request(sd_event_source *source, int fd, uint32_t events, void *argument)
{
	char request[PATH_MAX + sizeof(reload_word)];
	int line, n = wire_recv(fd, request, sizeof(request) - 1, &line);

	(void)source, (void)events;
	if (n >= 0 && line >= 0) {
		request[n] = '\0';
		answer_request(argument, request, line);
	}
	if (line >= 0)
		close(line);
	return 0;
}

/* Made by us alone to ask: the directory may have been there before, open to others. */
static int bind_socket(int state_fd)
{
	struct sockaddr_un address = address_of(state_fd);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd < 0)
		return -errno;
	unlinkat(state_fd, SOCKET_NAME, 0);
	/* the mode of a socket's own inode is what the one that bind() makes gets */
	if (fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

int control_open(sd_event *event, int state_fd, control_reload *reload, void *self,
		 struct control **ret_control)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (control == NULL)
		return -ENOMEM;
	*control = (struct control){
		.state_fd = state_fd, .fd = bind_socket(state_fd), .reload = reload, .self = self
	};
	r = control->fd;
	if (r >= 0)
		r = sd_event_add_io(event, &control->source, control->fd, EPOLLIN, on_request,
				    control);
	if (r < 0) {
		control_close(control);
		return r;
	}
	*ret_control = control;
	return 0;
}

struct control *control_close(struct control *control)
{
	if (control == NULL)
		return NULL;
	sd_event_source_disable_unref(control->source);
	if (control->fd >= 0) {
		unlinkat(control->state_fd, SOCKET_NAME, 0);
		close(control->fd);
	}
	free(control);
	return NULL;
}

/* --- the asker's end ---------------------------------------------------------------------- */

/* A socket to the server of the directory. Returns it, -ESRCH, or -errno. */
static int reach_server(const char *state_dir)
{
	int state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, error;
	struct sockaddr_un address;

	if (state_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	address = address_of(state_fd);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
	close(state_fd);
	if (error == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return error == ENOENT || error == ECONNREFUSED ? -ESRCH : -error;
}

static int send_request(const char *state_dir, const char *file, int line)
{
	char request[PATH_MAX + sizeof(reload_word)];
	int n = snprintf(request, sizeof(request), "%s%s", reload_word, file),
	    fd = reach_server(state_dir), r;

	if (fd < 0)
		return fd;
	r = wire_send(fd, request, (size_t)n, line);
	close(fd);
	/* gone since the connect; or so many have asked already that it takes no more */
	return r == -ECONNREFUSED ? -ESRCH : r == -EAGAIN ? -ETIMEDOUT : r;
}

static int await_answer(int line, char *text, size_t size)
{
	struct pollfd wanted = { .fd = line, .events = POLLIN };
	char answer[CONTROL_ANSWER_SIZE];
	int64_t deadline = brood_now() + ASK_NS;
	int n, none;

	do {
		int64_t left = deadline - brood_now();

		n = left <= 0 ? 0 : poll(&wanted, 1, (int)(left / BROOD_MSEC) + 1);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	n = wire_recv(line, answer, sizeof(answer) - 1, &none);
	if (n <= 0)
		return n < 0 ? n : -ESRCH;
	answer[n] = '\0';
	n = strncmp(answer, failed_word, strlen(failed_word)) == 0;
	snprintf(text, size, "%s", answer + (n ? strlen(failed_word) : 0));
	return strncmp(answer, reloaded_word, strlen(reloaded_word)) == 0 ? 0 : -ECANCELED;
}

int control_ask(const char *state_dir, const char *file, char *text, size_t size)
{
	int ends[2], r;

	*text = '\0';
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	r = send_request(state_dir, file, ends[1]);
	close(ends[1]); /* now the server's alone, so that its end is seen */
	if (r == 0)
		r = await_answer(ends[0], text, size);
	close(ends[0]);
	return r;
}
