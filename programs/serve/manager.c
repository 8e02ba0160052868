#include "serve/manager.h"

#include <arpa/inet.h>
#include <brood/base.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static int refuse(char *error, size_t size, const char *why)
{
	snprintf(error, size, "%s", why);
	return -EINVAL;
}

static void write_address(const struct sockaddr_storage *socket_address, char *to, size_t room)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)socket_address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)socket_address;
	char host[INET6_ADDRSTRLEN] = "";

	if (socket_address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(to, room, "[%s]:%u", host, ntohs(six->sin6_port));
	} else {
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(to, room, "%s:%u", host, ntohs(four->sin_port));
	}
}

int manager_take_socket(char *address, size_t room, char *error, size_t size)
{
	struct sockaddr_storage bound = { .ss_family = AF_UNSPEC };
	socklen_t bound_size = sizeof(bound);
	const int fd = SD_LISTEN_FDS_START;
	int n = sd_listen_fds(1);

	if (n == 0)
		return -ENOENT;
	if (n < 0)
		return refuse(error, size, "LISTEN_FDS is not what it should be");
	if (n > 1)
		return refuse(error, size, "more than one socket was passed");
	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0)
		return refuse(error, size, "what was passed is no listening TCP socket");
	if (getsockname(fd, (struct sockaddr *)&bound, &bound_size) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return refuse(error, size, strerror(errno));
	write_address(&bound, address, room);
	return fd;
}

void manager_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

/* The time tells a manager that the READY which follows is this reload's. */
void manager_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, brood_now() / BROOD_USEC);
}

void manager_stopping(int64_t limit_ns)
{
	sd_notifyf(0, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%" PRId64,
		   limit_ns / BROOD_USEC);
}

const char **manager_clean_environment(void)
{
	static const char *const ours[] = { "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=" };
	const char **env;
	size_t n = 0;

	while (environ[n] != NULL)
		n++;
	env = calloc(n + 1, sizeof(*env));
	n = 0;
	for (char **at = environ; env != NULL && *at != NULL; at++) {
		bool keep = true;

		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			keep = keep && strncmp(*at, ours[i], strlen(ours[i])) != 0;
		if (keep)
			env[n++] = *at;
	}
	return env;
}
