/* argue N - arguments that were packed elsewhere, used in a program that was exec'ed
 *
 * What was packed comes from descriptor 3, the N descriptors of it are 4 to 4 + N - 1. The arguments are those of
 * src/proc/args_test.c. It ends with 0 if all are what they should be, and has left its marks in what is shared. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/args.h"

#define must(condition)                                                          \
	do {                                                                     \
		if (!(condition)) {                                              \
			fprintf(stderr, "argue:%d: %s\n", __LINE__, #condition); \
			exit(1);                                                 \
		}                                                                \
	} while (0)

static void refuse(const brood_fail *fail)
{
	fprintf(stderr, "argue: %s\n", fail->text);
	exit(3);
}

static void use(const brood_args *args)
{
	brood_lock *lock = brood_args_lock(args, 7);
	long *counter = brood_args_shared(args, 8);
	const brood_object *list = brood_args_object(args, 13);
	brood_list *words = brood_args_list(args, 12);
	void *nested;
	size_t size;
	char buf[16];

	must(brood_args_count(args) == 14);
	must(brood_args_int(args, 0) == -3);
	must(brood_args_uint(args, 1) == UINT64_MAX);
	must(brood_args_double(args, 2) > 0.49 && brood_args_double(args, 2) < 0.51);
	must(strcmp(brood_args_str(args, 3), "bob") == 0);
	must(memcmp(brood_args_bytes(args, 4, &size), "\0\1", 2) == 0 && size == 2);
	must(brood_args_is_none(args, 5));
	/* Two things in one segment are in one mapping. */
	must((char *)counter - (char *)lock == (ptrdiff_t)sizeof(*lock));
	must((char *)lock == (char *)brood_segment_data(brood_args_segment(args, 9)));
	must(brood_lock_acquire(lock, 10 * BROOD_SEC) == 0);
	*counter += 1;
	must(brood_lock_release(lock) == 0);
	must(brood_queue_get(brood_args_queue(args, 6), buf, sizeof(buf), 0) == 4);
	must(brood_conn_send_bytes(brood_args_conn(args, 10), buf, 4, BROOD_SEC) == 0);
	must(brood_conn_send_bytes(brood_args_conn(args, 10), buf, 4, BROOD_SEC) == 0);
	must(!brood_conn_is_readable(brood_args_conn(args, 10)));
	must(write(brood_args_fd(args, 11), "here", 4) == 4);
	must(brood_list_length(words) == 1);
	must(brood_object_handle(brood_object_at(list, 0), BROOD_ARG_QUEUE, &nested) == 0);
	must(brood_queue_put(nested, "done", 4, 0) == 0);
}

int main(int argc, char **argv)
{
	static char data[65536];
	int fds[32], n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
	brood_fail fail = { .step = NULL };
	brood_args *args = NULL;
	ssize_t size = read(3, data, sizeof(data));

	must(size > 0 && n <= 32);
	for (int i = 0; i < n; i++)
		fds[i] = 4 + i;
	if (bri_args_unpack(data, (size_t)size, fds, (size_t)n, refuse, &fail, &args) < 0) {
		fprintf(stderr, "argue: %s: %s\n", fail.step, fail.text);
		return 2;
	}
	/* Their descriptors are their own. */
	for (int i = 0; i < n; i++)
		close(fds[i]);
	use(args);
	bri_args_free(args);
	return 0;
}
