#include <brood/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/leak.h"
#include "tests/unit/peers.h"

static const brood_conn_opts kinds[] = { { .shared = false },
					 { .read_ahead = 4096 },
					 { .shared = true } };
static brood_conn *in[3], *out[3];
static brood_waitable items[5];
static int writer;

/* Three connections and between them, with 1 and 3, twice the end of a pipe. */
static void make(void)
{
	int ends[2];

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(brood_pipe_with(i == 1, &kinds[i], &in[i], &out[i]), 0);
		items[2 * i] = (brood_waitable){ .conn = in[i] };
	}
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	items[1] = (brood_waitable){ .fd = ends[0] };
	items[3] = (brood_waitable){ .fd = dup(ends[0]) };
	writer = ends[1];
}

static void drop(void)
{
	for (int i = 0; i < 3; i++) {
		brood_conn_free(in[i]);
		brood_conn_free(out[i]);
	}
	close(items[1].fd);
	close(items[3].fd);
	close(writer);
}

static void ck_ready(const char *which)
{
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(items[i].ready, which[i] == '1');
}

START_TEST(all_that_are_ready_are_told)
{
	char text[8];

	make();
	ck_assert_int_eq(brood_wait(items, 5, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_wait(items, 5, -1), -ETIMEDOUT);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_conn_send_bytes(out[i], "", 0, 0), 0);
	ck_assert_int_eq(brood_wait(items, 5, BROOD_FOREVER), 3);
	ck_ready("10101");
	ck_assert_int_eq(brood_conn_recv_into(in[0], text, 8, 0), 0);
	ck_assert_int_eq(brood_conn_next_size(in[2], 0), 0);
	ck_assert_int_eq(brood_wait(items, 5, BROOD_FOREVER), 2);
	ck_ready("00101");
	out[0] = brood_conn_free(out[0]);
	ck_assert_int_eq(brood_wait(items, 5, PATIENCE_NS), 3);
	ck_ready("10101");
	drop();
}
END_TEST

START_TEST(what_was_read_ahead_counts)
{
	char text[8];

	make();
	close(items[3].fd);
	items[3] = (brood_waitable){ .conn = in[0] }; /* a second time */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(brood_conn_send_bytes(out[1], "abc", 3, 0), 0);
	ck_assert_int_eq(brood_conn_recv_into(in[1], text, 8, 0), 3);
	ck_assert_int_eq(brood_conn_recv_into(in[1], text, 8, 0), 3);
	ck_assert_int_eq(brood_conn_send_bytes(out[0], "abc", 3, 0), 0);
	ck_assert_int_eq(brood_wait(items, 5, BROOD_FOREVER), 3);
	ck_ready("10110");
	items[3].fd = -1;
	drop();
}
END_TEST

static void send_later(void *arg)
{
	(void)arg;
	nap_ms(50);
	must(brood_conn_send_bytes(out[1], "now", 3, 0) == 0);
}

static void ring(int signum)
{
	(void)signum;
}

START_TEST(it_waits_and_signals_do_not_matter)
{
	const struct sigaction action = { .sa_handler = ring };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	int64_t began = brood_now();
	pid_t pid;

	make();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(brood_wait(items, 5, 50 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 50 * BROOD_MSEC);
	pid = peer(send_later, NULL);
	ck_assert_int_eq(brood_wait(items, 5, BROOD_FOREVER), 1);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_ready("00100");
	ck_finishes(pid);
	began = brood_now();
	ck_assert_int_eq(brood_wait(NULL, 0, 20 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - began, 20 * BROOD_MSEC);
	drop();
}
END_TEST

/* More than select(2) could, and numbers beyond its set. */
START_TEST(there_may_be_many)
{
	enum { MANY = 1500 };
	struct rlimit limit;
	brood_waitable *many = calloc(MANY, sizeof(*many));

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 2 * MANY) {
		free(many);
		return;
	}
	limit.rlim_cur = limit.rlim_max < 5000 ? limit.rlim_max : 5000;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	make();
	for (int i = 0; i < MANY; i++)
		many[i].fd = fcntl(items[1].fd, F_DUPFD_CLOEXEC, 1000);
	many[MANY / 2].conn = in[1];
	ck_assert_int_eq(brood_wait(many, MANY, 0), -ETIMEDOUT);
	ck_assert_int_eq(brood_conn_send_bytes(out[1], "", 0, 0), 0);
	ck_assert_int_eq(brood_wait(many, MANY, BROOD_FOREVER), 1);
	ck_assert(many[MANY / 2].ready);
	ck_assert_int_eq(write(writer, "x", 1), 1);
	ck_assert_int_eq(brood_wait(many, MANY, BROOD_FOREVER), MANY);
	for (int i = 0; i < MANY; i++)
		close(many[i].fd);
	free(many);
	drop();
}
END_TEST

START_TEST(what_cannot_be_waited_for_is_refused)
{
	brood_waitable one = { .fd = -1 };

	make();
	ck_assert_int_eq(brood_wait(NULL, 0, BROOD_FOREVER), -EINVAL);
	ck_assert_int_eq(brood_wait(&one, 1, 0), -EBADF);
	one = (brood_waitable){ .conn = out[0] };
	ck_assert_int_eq(brood_wait(&one, 1, 0), -EACCES);
	one.conn = in[0];
	brood_conn_close(in[0]);
	ck_assert_int_eq(brood_wait(&one, 1, 0), -EBADF);
	one = (brood_waitable){ .fd = items[3].fd };
	close(items[3].fd);
	ck_assert_int_eq(brood_wait(&one, 1, 0), -EBADF);
	items[3].fd = -1;
	drop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ipc/wait");
	TCase *tcase = leak_case(suite, "wait", 60);

	tcase_add_test(tcase, all_that_are_ready_are_told);
	tcase_add_test(tcase, what_was_read_ahead_counts);
	tcase_add_test(tcase, it_waits_and_signals_do_not_matter);
	tcase_add_test(tcase, there_may_be_many);
	tcase_add_test(tcase, what_cannot_be_waited_for_is_refused);
	return leak_run(suite);
}
