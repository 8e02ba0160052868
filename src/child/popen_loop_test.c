/* The asynchronous form: steps, and the one descriptor that a foreign event loop watches. */
#include <brood/popen.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/talk.h"

#define MUCH ((size_t)3000000)
#define MUCH_WORD "3000000"

static bool is_readable(int fd, int ms)
{
	struct pollfd slot = { .fd = fd, .events = POLLIN };
	int r = poll(&slot, 1, ms);

	ck_assert_int_ge(r, 0);
	return r == 1;
}

/* Steps when the descriptor says so, until all is done; how many steps it took. Each was worth it: one that
 * finds nothing to do is rare. */
static int step_through(brood_popen *popen)
{
	int fd = brood_popen_fd(popen), steps = 0, r = 0;

	ck_assert_int_ge(fd, 0);
	while (r == 0) {
		ck_assert_msg(is_readable(fd, 20000), "not readable after %d steps", steps);
		r = brood_popen_step(popen);
		steps++;
	}
	ck_assert_int_eq(r, 1);
	return steps;
}

START_TEST(a_program_in_a_poll_loop)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen = popen_start(ACT("err", "begin", "copy", "err", "end"),
					 &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(brood_popen_begin(popen, input, MUCH), 0);
	step_through(popen);
	ck_output_pattern(popen, 1, MUCH);
	ck_output(popen, 2, "beginend");
	ck_assert_int_eq(exit_of(popen).kind, BROOD_EXITED);
	brood_popen_free(popen);
	free(input);
}
END_TEST

/* The descriptor may be asked for at any time, and is the same ever after. */
START_TEST(the_descriptor_is_made_when_it_is_asked_for)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen =
		popen_start(ACT("nap", "50", "copy"), &(brood_popen_opts){ .spawn = { PIPES } });
	int fd = -1;

	if (_i == 0)
		fd = brood_popen_fd(popen);
	ck_assert_int_eq(brood_popen_begin(popen, input, MUCH), 0);
	if (_i == 1)
		fd = brood_popen_fd(popen);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_MSEC), -ETIMEDOUT);
	if (_i == 2)
		fd = brood_popen_fd(popen);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	step_through(popen);
	ck_assert_int_eq(brood_popen_fd(popen), fd);
	ck_output_pattern(popen, 1, MUCH);
	brood_popen_free(popen);
	free(input);
}
END_TEST

START_TEST(it_is_readable_for_good_when_all_is_done)
{
	brood_popen *popen =
		popen_start(ACT("say", "x"), &(brood_popen_opts){ .spawn = { PIPE_OUT },
								  .linger_ns = BROOD_FOREVER });
	int fd;

	if (_i == 0) /* done before anybody asked */
		ck_assert_int_eq(talk(popen, NULL, 0), 0);
	fd = brood_popen_fd(popen);
	step_through(popen);
	for (int i = 0; i < 3; i++) {
		ck_assert(is_readable(fd, 1000));
		ck_assert_int_eq(brood_popen_step(popen), 1);
		ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 0), 0);
		ck_assert(is_readable(fd, 1000));
		ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	}
	ck_output(popen, 1, "x");
	brood_popen_free(popen);
}
END_TEST

static int count_bytes(void *data, const char *bytes, size_t size)
{
	(void)bytes;
	*(size_t *)data += size;
	return 0;
}

START_TEST(it_is_quiet_while_there_is_nothing_to_do)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen =
		popen_start(ACT("say", "x", "stay"), &(brood_popen_opts){ .spawn = { PIPES } });
	int fd = brood_popen_fd(popen);

	ck_assert_int_eq(brood_popen_begin(popen, input, MUCH), 0);
	eventually(brood_popen_step(popen) == 0 && output_of(popen, 1).size == 1);
	/* The program's input is full, and it says no more. */
	for (int i = 0; i < 100 && is_readable(fd, 0); i++)
		ck_assert_int_eq(brood_popen_step(popen), 0);
	ck_assert(!is_readable(fd, 50));
	ck_assert_int_eq(brood_popen_step(popen), 0);
	ck_assert(!is_readable(fd, 50));
	ck_assert_int_eq(brood_popen_kill(popen), 0);
	step_through(popen);
	ck_assert_int_eq(exit_of(popen).value, SIGKILL);
	brood_popen_free(popen);
	free(input);
}
END_TEST

/* Half a line is nothing to do, either. */
START_TEST(it_is_quiet_while_half_a_line_waits)
{
	size_t n = 0;
	brood_popen *popen = popen_start(
		ACT("say", "half", "stay"),
		&(brood_popen_opts){
			.spawn = { PIPE_OUT },
			.out = { .kind = BROOD_SINK_LINES, .call = count_bytes, .data = &n } });
	int fd = brood_popen_fd(popen);

	eventually(brood_popen_step(popen) == 0 && output_of(popen, 1).total == 4);
	ck_assert(!is_readable(fd, 50));
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(brood_popen_kill(popen), 0);
	step_through(popen);
	ck_assert_uint_eq(n, 4);
	brood_popen_free(popen);
}
END_TEST

START_TEST(a_step_is_bounded)
{
	brood_popen *popen =
		popen_start(ACT("both", "30000000"), &(brood_popen_opts){ .spawn = { PIPES } });
	size_t before = 0;
	int r = 0;

	while (r == 0) {
		size_t after;

		ck_assert(is_readable(brood_popen_fd(popen), 20000));
		r = brood_popen_step(popen);
		after = output_of(popen, 1).size + output_of(popen, 2).size;
		ck_assert_uint_le(after - before, (size_t)4 << 20);
		before = after;
	}
	ck_assert_int_eq(r, 1);
	ck_output_pattern(popen, 1, 30000000);
	ck_output_pattern(popen, 2, 30000000);
	brood_popen_free(popen);
}
END_TEST

START_TEST(without_begin_the_first_step_begins)
{
	brood_popen *popen =
		popen_start(ACT("eat", "say", "x"), &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_ge(brood_popen_fd(popen), 0);
	ck_assert_int_eq(brood_popen_step(popen), 0); /* which closes the standard input */
	ck_assert_int_eq(brood_popen_begin(popen, "x", 1), -EALREADY);
	step_through(popen);
	ck_output(popen, 1, "x");
	brood_popen_free(popen);
}
END_TEST

/* ---- many */

enum { MANY = 100 };

START_TEST(many_programs_on_one_loop)
{
	static brood_popen *popens[MANY];
	char *input = new_pattern(20000), size[24], status[24];
	int loop = epoll_create1(EPOLL_CLOEXEC), left = MANY;

	ck_assert_int_ge(loop, 0);
	for (int i = 0; i < MANY; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t)i };

		snprintf(size, sizeof(size), "%d", 1000 * i);
		snprintf(status, sizeof(status), "%d", i);
		popens[i] = popen_start(
			ACT("nap", i % 3 == 0 ? "20" : "0", "copy", "efill", size, "exit", status),
			&(brood_popen_opts){ .spawn = { PIPES } });
		ck_assert_int_eq(brood_popen_begin(popens[i], input, (size_t)i * 200), 0);
		ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, brood_popen_fd(popens[i]), &event),
				 0);
	}
	while (left > 0) {
		struct epoll_event events[16];
		int n = epoll_wait(loop, events, 16, 20000);

		ck_assert_int_gt(n, 0);
		for (int k = 0; k < n; k++) {
			int i = (int)events[k].data.u32, r = brood_popen_step(popens[i]);

			ck_assert_int_ge(r, 0);
			if (r == 0)
				continue;
			ck_assert_int_eq(exit_of(popens[i]).value, i);
			ck_output_pattern(popens[i], 1, (size_t)i * 200);
			ck_output_pattern(popens[i], 2, (size_t)i * 1000);
			brood_popen_free(popens[i]); /* which takes it out of the loop, too */
			left--;
		}
	}
	ck_assert_int_eq(epoll_wait(loop, &(struct epoll_event){ 0 }, 1, 0), 0);
	close(loop);
	free(input);
}
END_TEST

/* ---- timers and calls */

START_TEST(the_linger_time_comes_through_the_descriptor)
{
	const int64_t lingers[] = { 0, -1, 20 * BROOD_MSEC };
	brood_popen *popen =
		popen_start(ACT("fill", "200000", "keep", "30000", "late"),
			    &(brood_popen_opts){ .spawn = { PIPE_OUT }, .linger_ns = lingers[_i] });
	int64_t before = brood_now();
	int steps = step_through(popen);

	ck_assert_int_lt(brood_now() - before, 10 * BROOD_SEC);
	ck_assert_int_le(steps, 100); /* it does not spin meanwhile */
	ck_assert_uint_eq(output_of(popen, 1).size, 200000);
	ck_pattern(output_of(popen, 1).data, 200000, 0);
	ck_assert(!output_of(popen, 1).ended);
	brood_popen_free(popen);
	end_abandoned();
}
END_TEST

START_TEST(without_end_it_lingers_quietly)
{
	brood_popen *popen = popen_start(
		ACT("say", "x", "keep", "30000", ""),
		&(brood_popen_opts){ .spawn = { PIPE_OUT }, .linger_ns = BROOD_FOREVER });
	int fd = brood_popen_fd(popen);

	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	for (int i = 0; i < 100 && is_readable(fd, 0); i++)
		ck_assert_int_eq(brood_popen_step(popen), 0);
	ck_assert(!is_readable(fd, 400));
	end_abandoned();
	step_through(popen);
	ck_output(popen, 1, "x");
	brood_popen_free(popen);
}
END_TEST

struct pieces {
	size_t at;
	int n;
};

static int fail_always(void *data, const char *bytes, size_t size)
{
	struct pieces *pieces = data;

	ck_pattern(bytes, size, pieces->at);
	pieces->at += size;
	pieces->n++;
	return -EDOM;
}

/* No descriptor tells of the lines that wait: the popen's own does. */
START_TEST(after_a_failed_call_the_next_step_goes_on)
{
	struct pieces pieces = { 0, 0 };
	brood_popen *popen =
		popen_start(ACT("fill", "200000"),
			    &(brood_popen_opts){
				    .spawn = { PIPE_OUT },
				    .out = { .kind = _i == 0 ? BROOD_SINK_LINES : BROOD_SINK_CHUNKS,
					     .call = fail_always,
					     .data = &pieces } });
	int fd = brood_popen_fd(popen), r, failed = 0;

	do {
		ck_assert(is_readable(fd, 20000));
		r = brood_popen_step(popen);
		ck_assert(r == -EDOM || r == 0 || r == 1);
		failed += r == -EDOM;
	} while (r != 1);
	ck_assert_int_eq(failed, pieces.n);
	ck_assert_uint_eq(pieces.at, 200000);
	ck_assert_int_eq(exit_of(popen).value, 0);
	brood_popen_free(popen);
}
END_TEST

static void *read_all(void *fd)
{
	static char bytes[65536];
	size_t total = 0;
	ssize_t n;

	nap_ms(200);
	while ((n = read(*(int *)fd, bytes, sizeof(bytes))) > 0) {
		ck_pattern(bytes, (size_t)n, total);
		total += (size_t)n;
	}
	return (void *)total;
}

/* While the tee is full the descriptor is quiet, and speaks up when there is room. */
START_TEST(a_slow_tee_comes_through_the_descriptor)
{
	brood_popen *popen;
	pthread_t thread;
	void *total;
	int ends[2], fd;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	popen = popen_start(
		ACT("fill", MUCH_WORD),
		&(brood_popen_opts){ .spawn = { PIPE_OUT }, .out = { .tee = ends[1] } });
	close(ends[1]);
	fd = brood_popen_fd(popen);
	ck_assert_int_eq(brood_popen_begin(popen, NULL, 0), 0);
	for (int i = 0; i < 100 && is_readable(fd, 100); i++)
		ck_assert_int_eq(brood_popen_step(popen), 0);
	ck_assert(!is_readable(fd, 50));
	ck_assert_int_eq(pthread_create(&thread, NULL, read_all, &ends[0]), 0);
	step_through(popen);
	ck_output_pattern(popen, 1, MUCH);
	brood_popen_free(popen);
	pthread_join(thread, &total);
	ck_assert_uint_eq((size_t)total, MUCH);
	close(ends[0]);
}
END_TEST

/* ---- mixing, leaving, and other processes */

START_TEST(stop_in_the_midst_of_steps)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen = popen_start(ACT("sip", "10", "fill", "300000", "stay"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	int fd = brood_popen_fd(popen);

	ck_assert_int_eq(brood_popen_begin(popen, input, MUCH), 0);
	eventually(brood_popen_step(popen) == 0 && output_of(popen, 1).size == 300000);
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(exit_of(popen).value, SIGTERM);
	ck_assert(is_readable(fd, 1000));
	ck_assert_int_eq(brood_popen_step(popen), 1);
	ck_output_pattern(popen, 1, 300000);
	brood_popen_free(popen);
	free(input);
}
END_TEST

/* A stream that has become a FILE is nothing to the loop. */
START_TEST(a_file_is_not_watched)
{
	brood_popen *popen = popen_start(ACT("say", "abc", "stay"),
					 &(brood_popen_opts){ .spawn = { PIPE_OUT } });
	int fd = brood_popen_fd(popen);
	FILE *file;

	ck_assert(is_readable(fd, 20000));
	ck_assert_int_eq(brood_popen_file(popen, 1, &file), 0);
	ck_assert(!is_readable(fd, 20));
	ck_assert_int_eq(brood_popen_step(popen), 0);
	ck_assert_int_eq(fgetc(file), 'a');
	(void)fclose(file);
	ck_assert_int_eq(brood_popen_kill(popen), 0);
	step_through(popen);
	brood_popen_free(popen);
}
END_TEST

static void free_in_fork(brood_popen *popen, int how)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (how == 0)
			brood_popen_free(popen);
		else if (how == 1)
			brood_popen_stop(popen, 0, NULL);
		else if (how == 2)
			for (int fd = 3; fd < 1000; fd++)
				close(fd);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* An epoll instance is shared with a forked child, its list too. */
START_TEST(a_forked_child_does_not_disturb)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen = popen_start(ACT("nap", "50", "copy", "say", "end"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	int fd = brood_popen_fd(popen), r;

	ck_assert_int_eq(brood_popen_begin(popen, input, MUCH), 0);
	free_in_fork(popen, _i);
	for (r = 0; r == 0;) {
		ck_assert(is_readable(fd, 20000));
		r = brood_popen_step(popen);
		if (output_of(popen, 1).size < 200000)
			free_in_fork(popen, _i);
	}
	ck_assert_int_eq(r, 1);
	ck_assert(is_readable(fd, 1000));
	ck_assert_uint_eq(output_of(popen, 1).total, MUCH + 3);
	brood_popen_free(popen);
	free(input);
}
END_TEST

/* A forked child that lives on holds copies of all descriptors: they keep no entry in our list alive,
 * neither do they keep the descriptor readable. */
START_TEST(a_forked_child_that_lives_on_does_not_disturb)
{
	brood_popen *popen = popen_start(
		ACT("sip", "100000", "fill", "100000", "close", "1", "nap", "200", "err", "late"),
		&(brood_popen_opts){ .spawn = { PIPES } });
	int fd = brood_popen_fd(popen), steps;
	char *input = new_pattern(100000);
	pid_t pid;

	ck_assert_int_eq(brood_popen_begin(popen, input, 100000), 0);
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	steps = step_through(popen);
	ck_assert_int_le(steps, 100);
	ck_assert(is_readable(fd, 1000));
	ck_output_pattern(popen, 1, 100000);
	ck_output(popen, 2, "late");
	brood_popen_free(popen);
	free(input);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(without_descriptors_there_is_none_and_it_can_be_tried_again)
{
	brood_popen *popen = popen_start(ACT("copy"), &(brood_popen_opts){ .spawn = { PIPES } });
	struct rlimit before, limit;
	int first = dup(0);

	close(first);
	ck_assert_int_eq(brood_popen_begin(popen, "abc", 3), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (rlim_t room = 0; room < 2; room++) {
		limit = before;
		limit.rlim_cur = (rlim_t)first + room;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		ck_assert_int_eq(brood_popen_fd(popen), -EMFILE);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		ck_assert_int_eq(fcntl(first, F_GETFD), -1);
	}
	step_through(popen);
	ck_output(popen, 1, "abc");
	brood_popen_free(popen);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/popen, loop");
	TCase *steps = leak_case(suite, "steps", 60);
	TCase *many = leak_case(suite, "many", 60);
	TCase *timers = leak_case(suite, "timers", 60);
	TCase *others = leak_case(suite, "others", 60);

	tcase_add_test(steps, a_program_in_a_poll_loop);
	tcase_add_loop_test(steps, the_descriptor_is_made_when_it_is_asked_for, 0, 3);
	tcase_add_loop_test(steps, it_is_readable_for_good_when_all_is_done, 0, 2);
	tcase_add_test(steps, it_is_quiet_while_there_is_nothing_to_do);
	tcase_add_test(steps, it_is_quiet_while_half_a_line_waits);
	tcase_add_test(steps, a_step_is_bounded);
	tcase_add_test(steps, without_begin_the_first_step_begins);
	tcase_add_test(many, many_programs_on_one_loop);
	tcase_add_loop_test(timers, the_linger_time_comes_through_the_descriptor, 0, 3);
	tcase_add_test(timers, without_end_it_lingers_quietly);
	tcase_add_loop_test(timers, after_a_failed_call_the_next_step_goes_on, 0, 2);
	tcase_add_test(timers, a_slow_tee_comes_through_the_descriptor);
	tcase_add_test(others, stop_in_the_midst_of_steps);
	tcase_add_test(others, a_file_is_not_watched);
	tcase_add_loop_test(others, a_forked_child_does_not_disturb, 0, 3);
	tcase_add_test(others, a_forked_child_that_lives_on_does_not_disturb);
	tcase_add_test(others, without_descriptors_there_is_none_and_it_can_be_tried_again);
	return leak_run(suite);
}
