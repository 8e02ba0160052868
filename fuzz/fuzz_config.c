/* A configuration file of any bytes: read, or refused with a reason that names the file. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void remove_file(void)
{
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config;
	char error[512];
	int fd;

	if (path[0] == '\0') {
		snprintf(path, sizeof(path), "/tmp/fuzz-config-%d.yaml", (int)getpid());
		if (atexit(remove_file) != 0)
			abort();
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	if (config_load(path, &config, error, sizeof(error)) < 0) {
		if (strncmp(error, path, strlen(path)) != 0 || error[strlen(path)] != ':')
			abort();
		return 0;
	}
	for (size_t i = 0; i < config->n_routes; i++)
		if (config->routes[i].path[0] != '/' || config->routes[i].program[0] != '/' ||
		    config->routes[i].max_concurrent < 1)
			abort();
	config_free(config);
	return 0;
}
