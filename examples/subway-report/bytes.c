/* The room doubles, so that appending stays linear, and ends exactly at the limit. */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_ROOM 4096
#define READ_SIZE 65536

static int reserve(struct bytes *bytes, size_t size, size_t limit)
{
	size_t room = bytes->room > 0 ? bytes->room : FIRST_ROOM;
	unsigned char *data;

	if (size <= bytes->room)
		return 0;
	while (room < size)
		room = room > limit / 2 ? limit : 2 * room;
	data = realloc(bytes->data, room);
	if (data == NULL)
		return -ENOMEM;
	bytes->data = data;
	bytes->room = room;
	return 0;
}

int bytes_append(struct bytes *bytes, const void *data, size_t n, size_t limit)
{
	int r;

	if (n == 0)
		return 0;
	if (bytes->size > limit || n > limit - bytes->size)
		return -EFBIG;
	r = reserve(bytes, bytes->size + n, limit);
	if (r < 0)
		return r;
	memcpy(bytes->data + bytes->size, data, n);
	bytes->size += n;
	return 0;
}

int bytes_read_all(struct bytes *bytes, int fd, size_t limit)
{
	unsigned char piece[READ_SIZE];

	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));
		int r;

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		r = bytes_append(bytes, piece, (size_t)n, limit);
		if (r < 0)
			return r;
	}
}

void bytes_deinit(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){ 0 };
}
