/* One program: its streams, communicate(), waiting, signals, the ladder, and the end of the handle. */
#include <brood/popen.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/talk.h"

#define KERNEL_PIPE ((size_t)64 << 10)
#define MUCH ((size_t)8 << 20)

static const brood_exit untouched = { .value = -77 };

static void ck_same_record(const brood_exit *a, const brood_exit *b)
{
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert_int_eq(a->value, b->value);
	ck_assert_int_eq(a->ended_ns, b->ended_ns);
	ck_assert_int_eq(a->user_ns, b->user_ns);
	ck_assert_int_eq(a->system_ns, b->system_ns);
	ck_assert_int_eq(a->max_rss_bytes, b->max_rss_bytes);
}

/* A program that runs until it is ended, and has said "ready". */
static brood_popen *start_stay(const brood_popen_opts *opts)
{
	brood_popen_opts mine = opts != NULL ? *opts : (brood_popen_opts){ .linger_ns = 0 };
	brood_popen *popen;

	mine.spawn.out = (brood_stdio){ .kind = BROOD_STDIO_PIPE };
	popen = popen_start(ACT("say", "ready\n", "stay"), &mine);
	eventually(brood_popen_communicate(popen, NULL, 0, 0) == -ETIMEDOUT &&
		   output_of(popen, 1).size == 6);
	return popen;
}

/* ---- starting */

START_TEST(without_options_it_shares_our_streams)
{
	brood_popen *popen = popen_start(ACT("exit", "7"), NULL);

	for (int which = -1; which <= 3; which++)
		ck_assert_int_eq(brood_popen_stream(popen, which), -EBADF);
	ck_assert_int_eq(talk(popen, NULL, 0), 7);
	ck_assert_int_eq(brood_popen_output(popen, 1, NULL), -EBADF);
	ck_assert_int_eq(brood_popen_take_output(popen, 2, NULL, NULL), -EBADF);
	ck_assert_ptr_null(brood_popen_free(popen));
}
END_TEST

START_TEST(the_handle_below_is_at_hand)
{
	brood_popen *popen = start_stay(NULL);
	brood_child *child = brood_popen_child(popen);

	ck_assert_int_eq(brood_popen_pid(popen), brood_child_pid(child));
	ck_assert_int_eq(brood_popen_pidfd(popen), brood_child_pidfd(child));
	ck_assert_int_eq(kill(brood_popen_pid(popen), 0), 0);
	ck_assert_int_eq(fcntl(brood_popen_pidfd(popen), F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	brood_popen_free(popen);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_told)
{
	brood_fail fail = { .step = NULL };
	brood_popen *popen = NULL;
	int tee = open_file("tee", "");
	const brood_popen_opts opts = { .spawn = { PIPES, .fail = &fail },
					.out = { .tee = tee },
					.err = { .kind = BROOD_SINK_FD, .fd = tee },
					.cancel_fd = &tee };

	ck_assert_int_eq(brood_popen_start(BROOD_ARGV("/nowhere"), &opts, &popen), -ENOENT);
	ck_assert_str_eq(fail.step, "exec");
	ck_assert_ptr_null(popen);
	ck_assert_int_eq(brood_popen_start(BROOD_ARGV(NULL), &opts, &popen), -EINVAL);
	ck_assert_str_eq(fail.step, "argv");
	close(tee);
}
END_TEST

static int no_call(void *data, const char *bytes, size_t size)
{
	(void)data, (void)bytes, (void)size;
	return 0;
}

START_TEST(a_sink_that_makes_no_sense_is_refused)
{
	const brood_sink wrong[] = {
		{ .kind = (brood_sink_kind)(BROOD_SINK_DISCARD + 1) },
		{ .text = (brood_text)(BROOD_TEXT_REPLACE + 1) },
		{ .kind = BROOD_SINK_CHUNKS },
		{ .kind = BROOD_SINK_LINES },
		{ .kind = BROOD_SINK_FD, .fd = -1 },
		{ .tee = -1 },
	};
	const brood_sink unfit[] = { { .kind = BROOD_SINK_DISCARD },
				     { .text = BROOD_TEXT_STRICT },
				     { .tee = 2 },
				     { .kind = BROOD_SINK_CHUNKS, .call = no_call } };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		popen_refused(&(brood_popen_opts){ .spawn = { PIPES }, .out = wrong[i] }, EINVAL,
			      "sink");
		popen_refused(&(brood_popen_opts){ .spawn = { PIPES }, .err = wrong[i] }, EINVAL,
			      "sink");
	}
	/* A sink for what is no pipe would never get anything. */
	for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
		popen_refused(&(brood_popen_opts){ .spawn = { PIPE_OUT }, .err = unfit[i] }, EINVAL,
			      "sink");
		popen_refused(&(brood_popen_opts){ .spawn = { PIPE_ERR }, .out = unfit[i] }, EINVAL,
			      "sink");
	}
}
END_TEST

/* What the start opens for itself takes the lowest free numbers: it must not pass for a descriptor
 * that the caller gave and that is closed. */
START_TEST(a_descriptor_that_is_not_open_is_refused)
{
	int tee = open_file("tee", ""), next = dup(tee), closed[4];

	close(next);
	for (int i = 0; i < 4; i++)
		closed[i] = next + i;
	for (int i = 0; i < 4; i++) {
		popen_refused(&(brood_popen_opts){ .spawn = { PIPES },
						   .out = { .tee = tee },
						   .err = { .tee = closed[i] } },
			      EBADF, "sink");
		popen_refused(
			&(brood_popen_opts){ .spawn = { PIPES },
					     .out = { .tee = tee },
					     .err = { .kind = BROOD_SINK_FD, .fd = closed[i] } },
			EBADF, "sink");
		popen_refused(&(brood_popen_opts){ .spawn = { PIPES },
						   .out = { .tee = tee },
						   .cancel_fd = &closed[i] },
			      EBADF, "cancel");
		popen_refused(&(brood_popen_opts){ .spawn = { PIPE_OUT, .in = { BROOD_STDIO_FD,
										.fd = closed[i] } },
						   .out = { .tee = tee },
						   .cancel_fd = &tee },
			      EBADF, "stdio");
		popen_refused(
			&(brood_popen_opts){ .spawn = { PIPE_OUT,
							.pass = (brood_pass[]){ { closed[i], 0 } },
							.n_pass = 1 },
					     .out = { .tee = tee },
					     .cancel_fd = &tee },
			EBADF, "pass");
	}
	close(tee);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_written_is_refused)
{
	int file = open(scratch_path("read-only"), O_RDONLY | O_CREAT | O_CLOEXEC, 0666), ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	popen_refused(&(brood_popen_opts){ .spawn = { PIPE_OUT }, .out = { .tee = file } }, EBADF,
		      "sink");
	popen_refused(&(brood_popen_opts){ .spawn = { PIPE_OUT }, .out = { .tee = ends[0] } },
		      EBADF, "sink");
	popen_refused(&(brood_popen_opts){ .spawn = { PIPE_ERR },
					   .err = { .kind = BROOD_SINK_FD, .fd = ends[0] } },
		      EBADF, "sink");
	close(file);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* Every number of free descriptors: the start succeeds, or leaves nothing behind. */
START_TEST(a_start_without_descriptors_is_refused)
{
	int tee = open_file("tee", ""), first = dup(tee), succeeded = 0;
	struct rlimit before, limit;

	close(first);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (unsigned room = 0; room < 16; room++) {
		brood_fail fail = { .step = NULL };
		brood_popen *popen = NULL;
		int r;

		limit = before;
		limit.rlim_cur = (rlim_t)first + room;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		r = brood_popen_start(
			ACT("say", "x"),
			&(brood_popen_opts){ .spawn = { PIPES, .fail = &fail },
					     .out = { .tee = tee },
					     .err = { .kind = BROOD_SINK_FD, .fd = tee },
					     .cancel_fd = &tee },
			&popen);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (r == 0) {
			succeeded++;
			ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
			brood_popen_free(popen);
		} else {
			ck_assert_msg(r == -EMFILE, "%d at %s with %u", r, fail.step, room);
			ck_assert_ptr_null(popen);
			ck_assert_int_eq(fail.error, EMFILE);
			ck_assert_int_eq(succeeded, 0);
		}
		ck_assert_int_eq(fcntl(first, F_GETFD), -1);
	}
	ck_assert_int_ge(succeeded, 1);
	close(tee);
}
END_TEST

/* ---- streams by hand */

START_TEST(the_streams_can_be_used_by_hand)
{
	brood_popen *popen =
		popen_start(ACT("err", "hello", "copy"), &(brood_popen_opts){ .spawn = { PIPES } });

	for (int which = 0; which < 3; which++) {
		int fd = brood_popen_stream(popen, which);

		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	}
	expect(brood_popen_stream(popen, 2), "hello");
	ck_assert_int_eq(write(brood_popen_stream(popen, 0), "abc", 3), 3);
	expect(brood_popen_stream(popen, 1), "abc");
	ck_assert_int_eq(brood_popen_close_input(popen), 0);
	ck_assert_int_eq(brood_popen_close_input(popen), 0);
	ck_assert_int_eq(brood_popen_stream(popen, 0), -EBADF);
	ck_assert_int_eq(read(brood_popen_stream(popen, 1), &(char){ 0 }, 1), 0);
	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	brood_popen_free(popen);
}
END_TEST

START_TEST(what_was_read_by_hand_is_not_read_again)
{
	brood_popen *popen = popen_start(ACT("say", "one", "eat", "say", "two"),
					 &(brood_popen_opts){ .spawn = { PIPES } });

	expect(brood_popen_stream(popen, 1), "one");
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output(popen, 1, "two");
	ck_assert_int_eq(brood_popen_stream(popen, 1), -EBADF);
	brood_popen_free(popen);
}
END_TEST

START_TEST(a_stream_can_be_a_file)
{
	brood_popen *popen =
		popen_start(ACT("copy"), &(brood_popen_opts){ .spawn = { PIPE_IN, PIPE_OUT } });
	FILE *to = NULL, *from = NULL, *none = (FILE *)popen;
	char line[64];

	ck_assert_int_eq(brood_popen_file(popen, 2, &none), -EBADF);
	ck_assert_int_eq(brood_popen_file(popen, 3, &none), -EBADF);
	ck_assert_int_eq(brood_popen_file(popen, -1, &none), -EBADF);
	ck_assert_int_eq(brood_popen_file(popen, 0, &to), 0);
	ck_assert_int_eq(brood_popen_file(popen, 1, &from), 0);
	ck_assert_int_eq(brood_popen_file(popen, 1, &none), -EBADF);
	ck_assert_ptr_eq(none, (FILE *)popen);
	ck_assert_int_eq(brood_popen_stream(popen, 1), -EBADF);
	fprintf(to, "one\ntwo\n");
	ck_assert_int_eq(fclose(to), 0);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), from));
	ck_assert_str_eq(line, "one\n");
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), from));
	ck_assert_str_eq(line, "two\n");
	ck_assert_ptr_null(fgets(line, sizeof(line), from));
	ck_assert_int_eq(fclose(from), 0);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_int_eq(brood_popen_output(popen, 1, NULL), -EBADF);
	brood_popen_free(popen);
}
END_TEST

START_TEST(communicate_leaves_a_file_alone)
{
	brood_popen *popen = popen_start(ACT("fill", "1000", "efill", "200000"),
					 &(brood_popen_opts){ .spawn = { PIPE_OUT, PIPE_ERR } });
	char bytes[2000];
	FILE *out = NULL;

	ck_assert_int_eq(brood_popen_file(popen, 1, &out), 0);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output_pattern(popen, 2, 200000);
	ck_assert_uint_eq(fread(bytes, 1, sizeof(bytes), out), 1000);
	ck_pattern(bytes, 1000, 0);
	ck_assert_int_eq(fclose(out), 0);
	brood_popen_free(popen);
}
END_TEST

START_TEST(after_begin_no_stream_becomes_a_file)
{
	brood_popen *popen = popen_start(ACT("eat"), &(brood_popen_opts){ .spawn = { PIPES } });
	FILE *none = NULL;

	ck_assert_int_eq(brood_popen_begin(popen, "x", 1), 0);
	for (int which = 0; which < 3; which++)
		ck_assert_int_eq(brood_popen_file(popen, which, &none), -EBUSY);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	brood_popen_free(popen);
}
END_TEST

/* ---- communicate */

START_TEST(all_sizes_go_through)
{
	const size_t sizes[] = { 0,
				 1,
				 4095,
				 4096,
				 4097,
				 8192,
				 KERNEL_PIPE - 1,
				 KERNEL_PIPE,
				 KERNEL_PIPE + 1,
				 2 * KERNEL_PIPE,
				 ((size_t)1 << 20) - 1,
				 (size_t)1 << 20,
				 ((size_t)1 << 20) + 1,
				 ((size_t)4 << 20) + 1,
				 MUCH };
	size_t size = sizes[_i];
	char *input = new_pattern(size), number[24];
	brood_popen *popen =
		popen_start(ACT("copy"), &(brood_popen_opts){ .spawn = { PIPE_IN, PIPE_OUT } });

	ck_assert_int_eq(talk(popen, input, size), 0);
	ck_output_pattern(popen, 1, size);
	brood_popen_free(popen);
	/* One way alone, and on both streams. */
	snprintf(number, sizeof(number), "%zu", size);
	popen = popen_start(ACT("check", number, "both", number),
			    &(brood_popen_opts){ .spawn = { PIPES } });
	ck_assert_int_eq(talk(popen, input, size), 0);
	ck_output_pattern(popen, 1, size);
	ck_output_pattern(popen, 2, size);
	brood_popen_free(popen);
	free(input);
}
END_TEST

START_TEST(no_input_closes_the_standard_input)
{
	brood_popen *popen =
		popen_start(ACT("eat", "say", "end"), &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output(popen, 1, "end");
	ck_output(popen, 2, "");
	brood_popen_free(popen);
}
END_TEST

START_TEST(what_makes_no_sense_as_input_is_refused)
{
	brood_popen *popen =
		popen_start(ACT("eat", "exit", "4"), &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 1, PATIENCE), -EINVAL);
	ck_assert_int_eq(brood_popen_begin(popen, NULL, 1), -EINVAL);
	ck_assert_int_eq(brood_popen_communicate(popen, "x", 1, PATIENCE), 0);
	ck_assert_int_eq(brood_popen_communicate(popen, "x", 1, PATIENCE), -EALREADY);
	ck_assert_int_eq(brood_popen_communicate(popen, "", 0, PATIENCE), -EALREADY);
	ck_assert_int_eq(brood_popen_begin(popen, "x", 1), -EALREADY);
	ck_assert_int_eq(brood_popen_begin(popen, NULL, 0), 0);
	/* When all is done, that is told again and again. */
	ck_assert_int_eq(talk(popen, NULL, 0), 4);
	ck_assert_int_eq(brood_popen_step(popen), 1);
	brood_popen_free(popen);
	popen = popen_start(ACT("exit", "4"), &(brood_popen_opts){ .spawn = { PIPE_OUT } });
	ck_assert_int_eq(brood_popen_communicate(popen, "x", 1, PATIENCE), -EINVAL);
	ck_assert_int_eq(brood_popen_communicate(popen, "", 0, PATIENCE), -EINVAL);
	ck_assert_int_eq(talk(popen, NULL, 0), 4);
	brood_popen_free(popen);
}
END_TEST

START_TEST(after_a_time_out_all_goes_on_where_it_was)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen = popen_start(ACT("err", "started", "sip", "1", "nap", "60", "copy"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	int r, rounds = 0;

	r = brood_popen_communicate(popen, input, MUCH, BROOD_MSEC);
	/* With no time at all, too: each call gets somewhere. */
	for (; r == -ETIMEDOUT; rounds++) {
		brood_output output = output_of(popen, 1);

		ck_pattern(output.data, output.size, 1);
		ck_assert_int_eq(brood_popen_communicate(popen, input, MUCH, 0), -EALREADY);
		r = brood_popen_communicate(popen, NULL, 0, rounds % 3 * BROOD_MSEC);
		nap_ms(1);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_ge(rounds, 1);
	ck_assert_uint_eq(output_of(popen, 1).size, MUCH - 1);
	ck_pattern(output_of(popen, 1).data, MUCH - 1, 1);
	ck_output(popen, 2, "started");
	brood_popen_free(popen);
	free(input);
}
END_TEST

START_TEST(output_can_be_seen_during_a_time_out)
{
	brood_popen *popen = popen_start(ACT("say", "so far", "stay"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	brood_output output;

	eventually(brood_popen_communicate(popen, NULL, 0, 0) == -ETIMEDOUT &&
		   output_of(popen, 1).size == 6);
	output = output_of(popen, 1);
	ck_assert_str_eq(output.data, "so far");
	ck_assert(!output.ended);
	ck_assert(!output.truncated);
	ck_assert_int_eq(output.error, 0);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	ck_output(popen, 1, "so far");
	brood_popen_free(popen);
}
END_TEST

/* SIGPIPE has its default, which would end this process. */
START_TEST(a_program_that_does_not_read_on_is_no_error)
{
	char *input = new_pattern(MUCH);
	const size_t sizes[] = { 1, 4096, 4097, KERNEL_PIPE + 1, MUCH };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		brood_popen *popen = popen_start(ACT("close", "0", "say", "closed", "exit", "3"),
						 &(brood_popen_opts){ .spawn = { PIPES } });

		expect(brood_popen_stream(popen, 1), "closed");
		ck_assert_int_eq(talk(popen, input, sizes[i]), 3);
		brood_popen_free(popen);
		popen = popen_start(ACT("sip", "1", "close", "0", "fill", "200000"),
				    &(brood_popen_opts){ .spawn = { PIPES } });
		ck_assert_int_eq(talk(popen, input, sizes[i]), 0);
		ck_output_pattern(popen, 1, 200000);
		brood_popen_free(popen);
	}
	free(input);
}
END_TEST

START_TEST(a_program_that_ends_amid_its_input_is_no_error)
{
	char *input = new_pattern(MUCH);
	brood_popen *popen = popen_start(ACT("sip", "100000", "say", "enough", "die", "9"),
					 &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(talk(popen, input, MUCH), -SIGKILL);
	ck_output(popen, 1, "enough");
	brood_popen_free(popen);
	free(input);
}
END_TEST

START_TEST(input_that_cannot_be_read_is_told)
{
	const size_t sizes[] = { 1, 200000 };

	for (size_t i = 0; i < 2; i++) {
		void *none = mmap(NULL, 200000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		brood_popen *popen = popen_start(ACT("copy", "exit", "4"),
						 &(brood_popen_opts){ .spawn = { PIPES } });

		ck_assert_int_eq(brood_popen_communicate(popen, none, sizes[i], PATIENCE), -EFAULT);
		ck_assert_int_eq(talk(popen, NULL, 0), 4);
		ck_output(popen, 1, "");
		brood_popen_free(popen);
		munmap(none, 200000);
	}
}
END_TEST

START_TEST(a_program_that_closes_its_output_is_waited_for)
{
	brood_popen *popen = popen_start(ACT("say", "x", "close", "1", "close", "2", "nap", "100",
					     "check", "0", "exit", "5"),
					 &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER), 0);
	ck_output(popen, 1, "x");
	ck_assert_int_eq(exit_of(popen).value, 5);
	brood_popen_free(popen);
}
END_TEST

/* Pipes that keep the borders of writes: a short read is not the last one. */
START_TEST(packets_are_read_to_the_last)
{
	brood_popen *popen =
		popen_start(ACT("packets", "abcdef"), &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_output(popen, 1, "abcdef");
	brood_popen_free(popen);
}
END_TEST

static size_t pipe_size_of(brood_popen *popen, int which)
{
	return (size_t)fcntl(brood_popen_stream(popen, which), F_GETPIPE_SZ);
}

START_TEST(pipes_grow_only_when_found_full)
{
	brood_popen *popen = popen_start(ACT("fill", "300000", "efill", "20000", "nap", "60000"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	size_t before = pipe_size_of(popen, 1);
	int n = 0;

	eventually(ioctl(brood_popen_stream(popen, 1), FIONREAD, &n) == 0 && (size_t)n >= before);
	eventually((brood_popen_communicate(popen, NULL, 0, 0), output_of(popen, 2).size == 20000));
	ck_assert_uint_eq(output_of(popen, 1).size, 300000);
	ck_assert_uint_eq(pipe_size_of(popen, 2), before);
	if (before == KERNEL_PIPE)
		ck_assert_uint_gt(pipe_size_of(popen, 1), before);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	brood_popen_free(popen);
}
END_TEST

START_TEST(a_given_pipe_size_is_kept)
{
	const size_t sizes[] = { 4096, (size_t)256 << 10, (size_t)1 << 20 };
	char *input = new_pattern(2000000);

	for (size_t i = 0; i < 3; i++) {
		brood_popen *popen = popen_start(
			ACT("nap", "50", "sip", "1", "fill", "2000000", "copy"),
			&(brood_popen_opts){ .spawn = { PIPES, .pipe_size = sizes[i] } });
		size_t in = pipe_size_of(popen, 0), out = pipe_size_of(popen, 1);
		int r = brood_popen_communicate(popen, input, 2000000, 0);

		for (; r == -ETIMEDOUT; r = brood_popen_communicate(popen, NULL, 0, BROOD_MSEC)) {
			if (brood_popen_stream(popen, 0) >= 0)
				ck_assert_uint_eq(pipe_size_of(popen, 0), in);
			if (brood_popen_stream(popen, 1) >= 0)
				ck_assert_uint_eq(pipe_size_of(popen, 1), out);
		}
		ck_assert_int_eq(r, 0);
		ck_assert_uint_eq(output_of(popen, 1).size, 3999999);
		brood_popen_free(popen);
	}
	free(input);
}
END_TEST

/* ---- programs in the background */

START_TEST(what_is_left_in_the_background_is_waited_for_a_little)
{
	const int64_t lingers[] = { 0, -1, 50 * BROOD_MSEC };
	const int64_t least[] = { 250 * BROOD_MSEC, 0, 50 * BROOD_MSEC };
	brood_popen *popen =
		popen_start(ACT("fill", "200000", "keep", "5000", "late", "exit", "6"),
			    &(brood_popen_opts){ .spawn = { PIPE_OUT }, .linger_ns = lingers[_i] });
	int64_t before = brood_now(), took;

	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER), 0);
	took = brood_now() - before;
	ck_assert_int_ge(took, least[_i]);
	ck_assert_int_lt(took, 4 * BROOD_SEC);
	ck_assert_int_eq(exit_of(popen).value, 6);
	ck_assert_uint_eq(output_of(popen, 1).size, 200000);
	ck_pattern(output_of(popen, 1).data, 200000, 0);
	ck_assert(!output_of(popen, 1).ended);
	ck_assert_int_eq(output_of(popen, 1).error, 0);
	/* Nobody reads there any more, which the one in the background does not mind. */
	ck_assert_int_eq(brood_popen_stream(popen, 1), -EBADF);
	brood_popen_free(popen);
	end_abandoned();
}
END_TEST

START_TEST(what_comes_while_lingering_is_read)
{
	brood_popen *popen = popen_start(
		ACT("say", "soon", "keep", "100", " late", "exit", "6"),
		&(brood_popen_opts){ .spawn = { PIPE_OUT },
				     .linger_ns = _i == 0 ? BROOD_FOREVER : 10 * BROOD_SEC });

	ck_assert_int_eq(talk(popen, NULL, 0), 6);
	ck_output(popen, 1, "soon late");
	brood_popen_free(popen);
	end_abandoned();
}
END_TEST

START_TEST(a_time_out_may_fall_into_the_linger_time)
{
	brood_popen *popen = popen_start(
		ACT("say", "x", "keep", "5000", "late"),
		&(brood_popen_opts){ .spawn = { PIPE_OUT }, .linger_ns = BROOD_FOREVER });

	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 20 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 0), -ETIMEDOUT);
	ck_assert_str_eq(output_of(popen, 1).data, "x");
	/* A stop waits for the usual time at most. */
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_FOREVER, NULL), 0);
	ck_assert(!output_of(popen, 1).ended);
	brood_popen_free(popen);
	end_abandoned();
}
END_TEST

/* The host comes late, the linger time is long over or there is none; all was written in time. */
START_TEST(a_late_host_loses_nothing)
{
	const int64_t linger = _i == 0 ? -1 : BROOD_MSEC;
	brood_popen *popen = popen_start(
		ACT("both", "60000", "keep", "20000", "late"),
		&(brood_popen_opts){ .spawn = { PIPE_OUT, PIPE_ERR }, .linger_ns = linger });

	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	nap_ms(20);
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	for (int which = 1; which <= 2; which++) {
		ck_assert_uint_eq(output_of(popen, which).size, 60000);
		ck_pattern(output_of(popen, which).data, 60000, 0);
	}
	brood_popen_free(popen);
	end_abandoned();
}
END_TEST

struct slow {
	size_t at;
	int calls;
};

static int call_slowly(void *data, const char *bytes, size_t size)
{
	struct slow *slow = data;

	ck_pattern(bytes, size, slow->at);
	slow->at += size;
	if (slow->calls++ < 3)
		nap_ms(60);
	return 0;
}

/* The program's end is seen only when the linger time, counted from the real one, is long over. */
START_TEST(a_slow_call_loses_nothing)
{
	struct slow slow = { 0, 0 };
	brood_popen *popen = popen_start(
		ACT("fill", "1000000", "keep", "1000", "late"),
		&(brood_popen_opts){
			.spawn = { PIPE_OUT },
			.out = { .kind = BROOD_SINK_CHUNKS, .call = call_slowly, .data = &slow },
			.linger_ns = _i == 0 ? -1 : BROOD_MSEC });

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_uint_eq(slow.at, 1000000);
	brood_popen_free(popen);
	end_abandoned();
}
END_TEST

/* A host that was stopped, with all of its threads, by job control or a debugger. */
static void be_stopped(void)
{
	brood_popen *popen =
		popen_start(ACT("nap", "100", "fill", "60000", "keep", "10000", "late"),
			    &(brood_popen_opts){ .spawn = { PIPE_OUT }, .linger_ns = BROOD_MSEC });
	pid_t host = getpid(), waker = fork();

	if (waker == 0) {
		nap_ms(30);
		kill(host, SIGSTOP);
		nap_ms(400);
		kill(host, SIGCONT);
		_exit(0);
	}
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_uint_eq(output_of(popen, 1).size, 60000);
	ck_pattern(output_of(popen, 1).data, 60000, 0);
	brood_popen_free(popen);
	ck_assert_int_eq(waitpid(waker, NULL, 0), waker);
}

START_TEST(a_stopped_host_loses_nothing)
{
	in_fork(be_stopped);
	end_abandoned();
}
END_TEST

struct late {
	brood_popen *popen;
	size_t bytes; /* that came when the program had ended */
};

static int call_leisurely(void *data, const char *bytes, size_t size)
{
	struct late *late = data;

	(void)bytes;
	if (brood_popen_poll(late->popen, NULL) == 1)
		late->bytes += size;
	nap_ms(20); /* in which the pipe is filled again */
	return 0;
}

/* What is written without end is read as far as it was written in time; there is always more when we look. */
START_TEST(a_flood_from_the_background_does_not_hold_us)
{
	const int64_t lingers[] = { 0, -1, 20 * BROOD_MSEC };
	struct late late = { NULL, 0 };

	late.popen = popen_start(
		ACT("flood", "exit", "6"),
		&(brood_popen_opts){
			.spawn = { PIPE_OUT },
			.out = { .kind = BROOD_SINK_CHUNKS, .call = call_leisurely, .data = &late },
			.linger_ns = lingers[_i] });
	ck_assert_int_eq(talk(late.popen, NULL, 0), 6);
	ck_assert(!output_of(late.popen, 1).ended);
	if (lingers[_i] < 0)
		ck_assert_uint_le(late.bytes, 2 << 20); /* no more than a pipe holds */
	brood_popen_free(late.popen);
	ck_assert(bury_all()); /* nobody reads there any more */
}
END_TEST

/* Who is left behind holds pipes of the kernel's size, and no input that nobody reads is kept for it. */
START_TEST(what_is_left_in_the_background_holds_little)
{
	char *input = new_pattern(MUCH), path[64];
	brood_popen *popen = popen_start(ACT("fill", "900000", "keep", "60000", ""),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	int before = fcntl(brood_popen_stream(popen, 1), F_GETPIPE_SZ), fd;

	ck_assert_int_eq(talk(popen, input, MUCH), 0);
	ck_assert_int_eq(brood_popen_stream(popen, 0), -EBADF);
	snprintf(path, sizeof(path), "/proc/%d/fd/1", abandoned());
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETPIPE_SZ), before);
	close(fd);
	brood_popen_free(popen);
	free(input);
	end_abandoned();
}
END_TEST

/* ---- cancelling */

START_TEST(cancel_ends_every_waiting_call)
{
	int cancel = eventfd(0, EFD_CLOEXEC), given = dup(cancel);
	brood_popen *popen =
		start_stay(&(brood_popen_opts){ .spawn = { PIPE_IN }, .cancel_fd = &given });
	brood_exit end = untouched;

	close(given); /* it is ours, and the popen has its own */
	ck_assert_int_eq(brood_popen_wait(popen, 0, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_wait(popen, BROOD_MSEC, &end), -ETIMEDOUT);
	ck_assert_int_eq(eventfd_write(cancel, 1), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(brood_popen_wait(popen, BROOD_FOREVER, &end), -ECANCELED);
		ck_assert_int_eq(brood_popen_wait(popen, 0, &end), -ECANCELED);
		ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER),
				 -ECANCELED);
		ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 0), -ECANCELED);
		/* These wait for nothing. */
		ck_assert_int_eq(brood_popen_poll(popen, &end), 0);
		ck_assert_int_eq(brood_popen_step(popen), 0);
	}
	ck_assert_int_eq(end.value, untouched.value);
	/* It was never read: who takes it back by reading it goes on. */
	ck_assert_int_eq(eventfd_read(cancel, &(eventfd_t){ 0 }), 0);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(eventfd_write(cancel, 1), 0);
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_FOREVER, NULL), 0);
	/* What is over cannot be cancelled. */
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER), 0);
	ck_assert_int_eq(brood_popen_wait(popen, BROOD_FOREVER, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), -SIGTERM);
	brood_popen_free(popen);
	close(cancel);
}
END_TEST

static void *cancel_soon(void *fd)
{
	nap_ms(50);
	ck_assert_int_eq(close(*(int *)fd), 0);
	return NULL;
}

START_TEST(cancel_reaches_a_call_that_waits)
{
	pthread_t thread;
	int ends[2];
	brood_popen *popen;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
		popen = start_stay(&(brood_popen_opts){ .cancel_fd = &ends[0] });
		ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, &ends[1]), 0);
		ck_assert_int_eq(i == 0 ? brood_popen_communicate(popen, NULL, 0, BROOD_FOREVER) :
					  brood_popen_wait(popen, BROOD_FOREVER, NULL),
				 -ECANCELED);
		pthread_join(thread, NULL);
		ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
		brood_popen_free(popen);
		close(ends[0]);
	}
}
END_TEST

/* ---- waiting and signals */

START_TEST(poll_and_wait_tell_the_same_record)
{
	brood_popen *popen =
		popen_start(ACT("eat", "exit", "9"), &(brood_popen_opts){ .spawn = { PIPE_IN } });
	brood_exit end = untouched, again = untouched;

	ck_assert_int_eq(brood_popen_poll(popen, &end), 0);
	ck_assert_int_eq(brood_popen_poll(popen, NULL), 0);
	ck_assert_int_eq(brood_popen_wait(popen, 0, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_wait(popen, -1, &end), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_wait(popen, 5 * BROOD_MSEC, &end), -ETIMEDOUT);
	ck_assert_int_eq(end.value, untouched.value);
	ck_assert_int_eq(brood_popen_close_input(popen), 0);
	ck_assert_int_eq(brood_popen_wait(popen, BROOD_FOREVER, &end), 0);
	ck_assert_int_eq(end.kind, BROOD_EXITED);
	ck_assert_int_eq(end.value, 9);
	ck_assert_int_eq(brood_popen_wait(popen, 0, NULL), 0);
	ck_assert_int_eq(brood_popen_poll(popen, NULL), 1);
	ck_assert_int_eq(brood_popen_poll(popen, &again), 1);
	ck_same_record(&again, &end);
	/* It has been reaped, and communicate() has nothing left to do. */
	ck_assert_int_eq(talk(popen, NULL, 0), 9);
	brood_popen_free(popen);
}
END_TEST

START_TEST(signals_reach_it_until_it_has_ended)
{
	brood_popen *popen = start_stay(NULL);
	brood_exit end = untouched;

	ck_assert_int_eq(brood_popen_send_signal(popen, 1000), -EINVAL);
	ck_assert_int_eq(brood_popen_send_signal(popen, -1), -EINVAL);
	ck_assert_int_eq(brood_popen_send_signal(popen, 0), 0);
	ck_assert_int_eq(_i == 0 ? brood_popen_send_signal(popen, SIGUSR2) :
			 _i == 1 ? brood_popen_terminate(popen) :
				   brood_popen_kill(popen),
			 0);
	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), _i == 0 ? -SIGUSR2 : _i == 1 ? -SIGTERM : -SIGKILL);
	ck_assert_int_eq(brood_popen_send_signal(popen, SIGTERM), 0);
	ck_assert_int_eq(brood_popen_send_signal(popen, 1000), -EINVAL);
	ck_assert_int_eq(brood_popen_terminate(popen), 0);
	ck_assert_int_eq(brood_popen_kill(popen), 0);
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_SEC, &end), 0);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	brood_popen_free(popen);
}
END_TEST

START_TEST(stopped_and_continued_is_not_ended)
{
	brood_popen *popen = start_stay(NULL);
	pid_t pid = brood_popen_pid(popen);

	ck_assert_int_eq(brood_popen_send_signal(popen, SIGSTOP), 0);
	eventually(*stat_of(pid) == 'T');
	ck_assert_int_eq(brood_popen_poll(popen, NULL), 0);
	ck_assert_int_eq(brood_popen_wait(popen, 5 * BROOD_MSEC, NULL), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 5 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_send_signal(popen, SIGCONT), 0);
	eventually(*stat_of(pid) != 'T');
	ck_assert_int_eq(brood_popen_poll(popen, NULL), 0);
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 5 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_send_signal(popen, SIGSTOP), 0);
	eventually(*stat_of(pid) == 'T');
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_MSEC, NULL), 0);
	ck_assert_int_eq(exit_of(popen).value, SIGKILL);
	brood_popen_free(popen);
}
END_TEST

static brood_popen *shared;
static brood_exit records[4];

static void *wait_for_shared(void *record)
{
	ck_assert_int_eq(brood_popen_wait(shared, PATIENCE, record), 0);
	return NULL;
}

static void *wait_for_ever(void *record)
{
	ck_assert_int_eq(brood_popen_wait(shared, BROOD_FOREVER, record), 0);
	return NULL;
}

static void *poll_shared(void *record)
{
	while (brood_popen_poll(shared, record) == 0)
		nap_ms(1);
	return NULL;
}

START_TEST(threads_may_wait_beside_communicate_and_get_the_same_record)
{
	for (int round = 0; round < 20; round++) {
		void *(*const works[])(void *) = { wait_for_shared, wait_for_ever, poll_shared };
		pthread_t threads[3];

		shared = popen_start(ACT("fill", "100000", "eat", "exit", "5"),
				     &(brood_popen_opts){ .spawn = { PIPES } });
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_create(&threads[i], NULL, works[i], &records[i]),
					 0);
		ck_assert_int_eq(brood_popen_send_signal(shared, 0), 0);
		ck_assert_int_eq(brood_popen_communicate(shared, "x", 1,
							 round % 2 == 0 ? BROOD_FOREVER : PATIENCE),
				 0);
		records[3] = exit_of(shared);
		ck_assert_int_eq(records[3].value, 5);
		for (int i = 0; i < 3; i++) {
			pthread_join(threads[i], NULL);
			ck_same_record(&records[i], &records[3]);
		}
		ck_output_pattern(shared, 1, 100000);
		brood_popen_free(shared);
	}
}
END_TEST

static void *kill_soon(void *unused)
{
	nap_ms(20);
	ck_assert_int_eq(brood_popen_kill(shared), 0);
	return unused;
}

START_TEST(a_thread_may_kill_what_another_communicates_with)
{
	pthread_t thread;

	shared = popen_start(ACT("fill", "200000", "stay"),
			     &(brood_popen_opts){ .spawn = { PIPES } });
	ck_assert_int_eq(pthread_create(&thread, NULL, kill_soon, NULL), 0);
	ck_assert_int_eq(talk(shared, NULL, 0), -SIGKILL);
	pthread_join(thread, NULL);
	brood_popen_free(shared);
}
END_TEST

/* ---- the status taken away */

START_TEST(an_ignored_sigchld_loses_the_status_and_nothing_else)
{
	brood_popen *popen;
	int64_t timeout = _i == 0 ? BROOD_FOREVER : PATIENCE;

	signal(SIGCHLD, SIG_IGN);
	popen = popen_start(ACT("copy"), &(brood_popen_opts){ .spawn = { PIPES } });
	ck_assert_int_eq(brood_popen_communicate(popen, "abc", 3, timeout), 0);
	ck_output(popen, 1, "abc");
	ck_assert_int_eq(exit_of(popen).kind, BROOD_LOST);
	brood_popen_free(popen);
	popen = start_stay(NULL);
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(exit_of(popen).kind, BROOD_LOST);
	brood_popen_free(popen);
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST(a_stolen_status_is_lost_and_nothing_else)
{
	brood_popen *popen =
		popen_start(ACT("say", "abc"), &(brood_popen_opts){ .spawn = { PIPES } });

	ck_assert_int_eq(waitpid(-1, NULL, 0), brood_popen_pid(popen));
	ck_assert_int_eq(
		brood_popen_communicate(popen, NULL, 0, _i == 0 ? BROOD_FOREVER : PATIENCE), 0);
	ck_output(popen, 1, "abc");
	ck_assert_int_eq(exit_of(popen).kind, BROOD_LOST);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	brood_popen_free(popen);
}
END_TEST

/* ---- interruptions */

static volatile sig_atomic_t interruptions;

static void count_interruption(int signum)
{
	(void)signum;
	interruptions++;
}

START_TEST(a_storm_of_signals_is_not_noticed)
{
	const struct itimerval storm = { { 0, 1000 }, { 0, 1000 } }, calm = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = count_interruption };
	char *input = new_pattern(MUCH);
	brood_popen *popen;
	int64_t before;

	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &storm, NULL), 0);
	popen = popen_start(ACT("copy", "nap", "50"), &(brood_popen_opts){ .spawn = { PIPES } });
	ck_assert_int_eq(talk(popen, input, MUCH), 0);
	ck_output_pattern(popen, 1, MUCH);
	brood_popen_free(popen);
	/* It neither ends nor extends a wait. */
	popen = start_stay(NULL);
	before = brood_now();
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 100 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_wait(popen, 100 * BROOD_MSEC, NULL), -ETIMEDOUT);
	ck_assert_int_ge(brood_now() - before, 200 * BROOD_MSEC);
	ck_assert_int_lt(brood_now() - before, 5 * BROOD_SEC);
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(exit_of(popen).value, SIGTERM);
	brood_popen_free(popen);
	/* Nor the time to linger. */
	popen = popen_start(ACT("say", "x", "keep", "3000", ""),
			    &(brood_popen_opts){ .spawn = { PIPE_OUT } });
	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert(!output_of(popen, 1).ended);
	brood_popen_free(popen);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &calm, NULL), 0);
	ck_assert_int_gt(interruptions, 50);
	signal(SIGALRM, SIG_DFL);
	free(input);
	end_abandoned();
}
END_TEST

/* ---- the ladder */

START_TEST(a_program_that_says_goodbye_at_length_is_not_killed)
{
	brood_popen *popen =
		popen_start(ACT("bye", "3000000"),
			    &(brood_popen_opts){ .spawn = { PIPES, .contain = CONTAINED } });
	brood_exit end = untouched;
	brood_output output;

	expect(brood_popen_stream(popen, 1), "ready\n");
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 3);
	output = output_of(popen, 1);
	ck_assert_uint_eq(output.size, 3000000);
	ck_pattern(output.data, output.size, 0);
	ck_assert(output.ended);
	brood_popen_free(popen);
}
END_TEST

START_TEST(a_deaf_program_is_killed_after_the_grace)
{
	brood_popen *popen =
		popen_start(ACT("deaf", "say", "ready\n", "stay"),
			    &(brood_popen_opts){ .spawn = { PIPES, .contain = CONTAINED } });
	int64_t before;
	brood_exit end;

	expect(brood_popen_stream(popen, 1), "ready\n");
	before = brood_now();
	ck_assert_int_eq(brood_popen_stop(popen, 60 * BROOD_MSEC, &end), 0);
	ck_assert_int_ge(brood_now() - before, 60 * BROOD_MSEC);
	ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
	brood_popen_free(popen);
}
END_TEST

START_TEST(without_a_grace_it_is_killed_at_once)
{
	for (int64_t grace = -1; grace <= 0; grace++) {
		brood_popen *popen = start_stay(&(brood_popen_opts){ .spawn.contain = CONTAINED });
		brood_exit end;

		ck_assert_int_eq(brood_popen_stop(popen, grace, &end), 0);
		ck_assert_int_eq(brood_exit_code(&end), -SIGKILL);
		brood_popen_free(popen);
	}
}
END_TEST

/* Its end is told by .kind and not by what came before: a second stop tells the same. */
START_TEST(stop_before_and_after_the_end_tells_the_record)
{
	brood_popen *popen = popen_start(ACT("fill", "100000", "exit", "8"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	brood_exit end = untouched, again = untouched;

	if (_i == 0)
		ck_assert_int_eq(talk(popen, NULL, 0), 8);
	else if (_i == 1)
		eventually(brood_popen_communicate(popen, NULL, 0, 0) == 0);
	else
		eventually(brood_popen_step(popen) == 1);
	ck_assert_int_eq(brood_popen_stop(popen, BROOD_FOREVER, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 8);
	ck_assert_int_eq(brood_popen_stop(popen, 0, &again), 0);
	ck_same_record(&again, &end);
	ck_output_pattern(popen, 1, 100000);
	brood_popen_free(popen);
}
END_TEST

START_TEST(stop_reads_what_an_ended_program_had_written)
{
	brood_popen *popen = popen_start(ACT("both", "60000", "exit", "8"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	brood_exit end;

	ck_assert_int_eq(brood_popen_wait(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(brood_popen_stop(popen, _i * BROOD_SEC, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 8);
	ck_output_pattern(popen, 1, 60000);
	ck_output_pattern(popen, 2, 60000);
	brood_popen_free(popen);
}
END_TEST

/* It neither reads SIGTERM's message nor has to: the end of its input is enough. */
START_TEST(stop_feeds_or_closes_the_standard_input)
{
	char *input = new_pattern(300000);
	brood_popen *popen =
		popen_start(_i == 0 ? ACT("deaf", "say", "ready\n", "nap", "50", "check", "300000",
					  "exit", "6") :
				      ACT("deaf", "say", "ready\n", "eat", "exit", "6"),
			    &(brood_popen_opts){ .spawn = { PIPES } });
	brood_exit end;

	expect(brood_popen_stream(popen, 1), "ready\n");
	if (_i == 0)
		ck_assert_int_eq(brood_popen_begin(popen, input, 300000), 0);
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, &end), 0);
	ck_assert_int_eq(brood_exit_code(&end), 6);
	brood_popen_free(popen);
	free(input);
}
END_TEST

static int refuse(void *data, const char *bytes, size_t size)
{
	(void)bytes;
	*(size_t *)data += size;
	return -EDOM;
}

START_TEST(a_call_that_fails_does_not_end_a_stop)
{
	size_t came = 0;
	brood_popen *popen =
		popen_start(ACT("bye", "300000"),
			    &(brood_popen_opts){
				    .spawn = { PIPES },
				    .out = { .kind = _i == 0 ? BROOD_SINK_CHUNKS : BROOD_SINK_LINES,
					     .call = refuse,
					     .data = &came } });

	expect(brood_popen_stream(popen, 1), "ready\n");
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), 0);
	ck_assert_int_eq(exit_of(popen).value, 3);
	ck_assert_uint_eq(came, 300000);
	brood_popen_free(popen);
}
END_TEST

/* What belongs to it goes, too, and a stop that was called late has not waited for that first. */
START_TEST(stop_ends_all_that_belongs_to_it)
{
	brood_popen *popen =
		popen_start(ACT("keep", "60000", "", "say", "ready\n", "stay"),
			    &(brood_popen_opts){ .spawn = { PIPES, .contain = _i == 0,
							    .group = _i == 0 ? BROOD_GROUP_INHERIT :
									       BROOD_GROUP_NEW } });

	expect(brood_popen_stream(popen, 1), "ready\n");
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), 0);
	ck_assert(output_of(popen, 1).ended);
	brood_popen_free(popen);
	ck_assert(bury_all());
}
END_TEST

/* The leader has ended, seen by communicate(), and is not reaped yet: its group is still its own. */
START_TEST(stop_ends_what_an_ended_program_left_in_its_group)
{
	brood_popen *popen =
		popen_start(ACT("say", "x", "keep", "60000", ""),
			    &(brood_popen_opts){ .spawn = { PIPE_OUT, .group = BROOD_GROUP_NEW },
						 .linger_ns = BROOD_FOREVER });

	eventually(*stat_of(brood_popen_pid(popen)) == 'Z');
	ck_assert_int_eq(brood_popen_communicate(popen, NULL, 0, 20 * BROOD_MSEC), -ETIMEDOUT);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), 0);
	ck_output(popen, 1, "x");
	brood_popen_free(popen);
	ck_assert(bury_all());
}
END_TEST

static void stop_without_right(void)
{
	brood_popen *popen = start_stay(NULL);

	ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
	ck_assert_int_eq(brood_popen_send_signal(popen, SIGTERM), -EPERM);
	ck_assert_int_eq(brood_popen_terminate(popen), -EPERM);
	ck_assert_int_eq(brood_popen_kill(popen), -EPERM);
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), -EPERM);
	ck_assert_int_eq(brood_popen_stop(popen, 0, NULL), -EPERM);
	ck_assert_int_eq(brood_popen_poll(popen, NULL), 0);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_int_eq(brood_popen_stop(popen, PATIENCE, NULL), 0);
	brood_popen_free(popen);
}

START_TEST(what_may_not_be_signalled_is_not_stopped)
{
	if (geteuid() == 0)
		in_fork(stop_without_right);
}
END_TEST

/* ---- taking the output */

START_TEST(taken_output_is_the_callers)
{
	const char *const sizes[] = { "0", "1", "5000", "3000000" };
	size_t wanted = strtoul(sizes[_i], NULL, 10), size = 77;
	brood_popen *popen =
		popen_start(ACT("fill", sizes[_i]), &(brood_popen_opts){ .spawn = { PIPES } });
	char *data = NULL;

	ck_assert_int_eq(talk(popen, NULL, 0), 0);
	ck_assert_int_eq(brood_popen_take_output(popen, 0, &data, &size), -EBADF);
	ck_assert_int_eq(brood_popen_take_output(popen, 3, &data, &size), -EBADF);
	ck_assert_ptr_null(data);
	ck_assert_uint_eq(size, 77);
	ck_assert_int_eq(brood_popen_take_output(popen, 1, &data, &size), 0);
	ck_assert_uint_eq(size, wanted);
	ck_pattern(data, size, 0);
	ck_assert_int_eq(data[size], '\0');
	free(data);
	ck_assert_uint_eq(output_of(popen, 1).size, 0);
	ck_assert_uint_eq(output_of(popen, 1).total, wanted);
	ck_assert_int_eq(brood_popen_take_output(popen, 1, &data, NULL), 0);
	ck_assert_str_eq(data, "");
	free(data);
	brood_popen_free(popen);
}
END_TEST

START_TEST(output_may_be_taken_piece_by_piece)
{
	brood_popen *popen =
		popen_start(ACT("fill", "3000000"), &(brood_popen_opts){ .spawn = { PIPES } });
	size_t at = 0;
	int r;

	do {
		char *data;
		size_t size;

		r = brood_popen_communicate(popen, NULL, 0, BROOD_MSEC);
		ck_assert_int_eq(brood_popen_take_output(popen, 1, &data, &size), 0);
		ck_pattern(data, size, at);
		at += size;
		free(data);
	} while (r == -ETIMEDOUT);
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(at, 3000000);
	brood_popen_free(popen);
}
END_TEST

/* ---- the handle elsewhere, and its end */

static void use_inherited(void)
{
	brood_exit end = untouched;
	FILE *file = NULL;

	ck_assert_int_eq(brood_popen_communicate(shared, NULL, 0, 0), -ECHILD);
	ck_assert_int_eq(brood_popen_begin(shared, NULL, 0), -ECHILD);
	ck_assert_int_eq(brood_popen_step(shared), -ECHILD);
	ck_assert_int_eq(brood_popen_fd(shared), -ECHILD);
	ck_assert_int_eq(brood_popen_file(shared, 1, &file), -ECHILD);
	ck_assert_int_eq(brood_popen_close_input(shared), -ECHILD);
	ck_assert_int_eq(brood_popen_poll(shared, &end), -ECHILD);
	ck_assert_int_eq(brood_popen_wait(shared, 0, &end), -ECHILD);
	ck_assert_int_eq(brood_popen_wait(shared, BROOD_FOREVER, &end), -ECHILD);
	ck_assert_int_eq(brood_popen_send_signal(shared, SIGKILL), -ECHILD);
	ck_assert_int_eq(brood_popen_terminate(shared), -ECHILD);
	ck_assert_int_eq(brood_popen_kill(shared), -ECHILD);
	ck_assert_int_eq(brood_popen_stop(shared, 0, &end), -ECHILD);
	ck_assert_int_eq(brood_popen_stop(shared, BROOD_SEC, &end), -ECHILD);
	ck_assert_int_eq(end.value, untouched.value);
	/* What only looks, tells. */
	ck_assert_int_gt(brood_popen_pid(shared), 0);
	ck_assert_int_ge(brood_popen_pidfd(shared), 0);
	ck_assert_int_ge(brood_popen_stream(shared, 1), 0);
	ck_assert_uint_eq(output_of(shared, 1).size, 6);
	ck_assert_ptr_null(brood_popen_free(shared));
}

START_TEST(in_a_forked_child_the_handle_is_dead)
{
	int cancel = eventfd(0, EFD_CLOEXEC);
	char *input = new_pattern(MUCH);

	shared = popen_start(ACT("say", "ready\n", "sip", "100", "nap", "100", "copy"),
			     &(brood_popen_opts){ .spawn = { PIPES, .contain = CONTAINED },
						  .cancel_fd = &cancel });
	ck_assert_int_eq(brood_popen_begin(shared, input, MUCH), 0);
	ck_assert_int_ge(brood_popen_fd(shared), 0);
	eventually(brood_popen_step(shared) == 0 && output_of(shared, 1).size == 6);
	in_fork(use_inherited);
	/* Here it goes on as if nothing had been. */
	ck_assert_int_eq(talk(shared, NULL, 0), 0);
	ck_assert_uint_eq(output_of(shared, 1).size, 6 + MUCH - 100);
	ck_pattern(output_of(shared, 1).data + 6, MUCH - 100, 100);
	brood_popen_free(shared);
	close(cancel);
	free(input);
}
END_TEST

START_TEST(free_of_nothing_is_fine)
{
	ck_assert_ptr_null(brood_popen_free(NULL));
}
END_TEST

START_TEST(free_neither_signals_nor_waits)
{
	brood_popen *popen = popen_start(ACT("eat", "nap", "10", "exit", "7"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	pid_t pid = brood_popen_pid(popen);
	int status;

	brood_popen_free(popen); /* which closes its standard input */
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

START_TEST(free_kills_what_is_contained)
{
	brood_popen *popen =
		popen_start(ACT("keep", "60000", "", "say", "ready\n", "stay"),
			    &(brood_popen_opts){ .spawn = { PIPES, .contain = true } });

	expect(brood_popen_stream(popen, 1), "ready\n");
	brood_popen_free(popen);
	ck_assert(bury_all());
}
END_TEST

START_TEST(free_amid_a_communication_forgets_it)
{
	brood_popen *popen = popen_start(ACT("fill", "8000000", "stay"),
					 &(brood_popen_opts){ .spawn = { PIPES } });
	pid_t pid = brood_popen_pid(popen);

	ck_assert_int_ge(brood_popen_fd(popen), 0);
	ck_assert_int_eq(brood_popen_communicate(popen, "x", 1, 5 * BROOD_MSEC), -ETIMEDOUT);
	brood_popen_free(popen);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child/popen");
	TCase *starting = leak_case(suite, "starting", 30);
	TCase *streams = leak_case(suite, "streams", 30);
	TCase *talking = leak_case(suite, "talking", 60);
	TCase *background = leak_case(suite, "background", 60);
	TCase *cancel = leak_case(suite, "cancel", 30);
	TCase *waiting = leak_case(suite, "waiting", 60);
	TCase *lost = leak_case(suite, "lost", 30);
	TCase *stopping = leak_case(suite, "stopping", 60);
	TCase *taking = leak_case(suite, "taking", 30);
	TCase *owner = leak_case(suite, "owner", 30);

	tcase_add_test(starting, without_options_it_shares_our_streams);
	tcase_add_test(starting, the_handle_below_is_at_hand);
	tcase_add_test(starting, a_program_that_is_not_there_is_told);
	tcase_add_test(starting, a_sink_that_makes_no_sense_is_refused);
	tcase_add_test(starting, a_descriptor_that_is_not_open_is_refused);
	tcase_add_test(starting, a_descriptor_that_cannot_be_written_is_refused);
	tcase_add_test(starting, a_start_without_descriptors_is_refused);
	tcase_add_test(streams, the_streams_can_be_used_by_hand);
	tcase_add_test(streams, what_was_read_by_hand_is_not_read_again);
	tcase_add_test(streams, a_stream_can_be_a_file);
	tcase_add_test(streams, communicate_leaves_a_file_alone);
	tcase_add_test(streams, after_begin_no_stream_becomes_a_file);
	tcase_add_loop_test(talking, all_sizes_go_through, 0, 15);
	tcase_add_test(talking, no_input_closes_the_standard_input);
	tcase_add_test(talking, what_makes_no_sense_as_input_is_refused);
	tcase_add_test(talking, after_a_time_out_all_goes_on_where_it_was);
	tcase_add_test(talking, output_can_be_seen_during_a_time_out);
	tcase_add_test(talking, a_program_that_does_not_read_on_is_no_error);
	tcase_add_test(talking, a_program_that_ends_amid_its_input_is_no_error);
	tcase_add_test(talking, input_that_cannot_be_read_is_told);
	tcase_add_test(talking, a_program_that_closes_its_output_is_waited_for);
	tcase_add_test(talking, packets_are_read_to_the_last);
	tcase_add_test(talking, pipes_grow_only_when_found_full);
	tcase_add_test(talking, a_given_pipe_size_is_kept);
	tcase_add_loop_test(background, what_is_left_in_the_background_is_waited_for_a_little, 0,
			    3);
	tcase_add_loop_test(background, what_comes_while_lingering_is_read, 0, 2);
	tcase_add_test(background, a_time_out_may_fall_into_the_linger_time);
	tcase_add_loop_test(background, a_flood_from_the_background_does_not_hold_us, 0, 3);
	tcase_add_test(background, what_is_left_in_the_background_holds_little);
	tcase_add_loop_test(background, a_late_host_loses_nothing, 0, 2);
	tcase_add_loop_test(background, a_slow_call_loses_nothing, 0, 2);
	tcase_add_test(background, a_stopped_host_loses_nothing);
	tcase_add_test(cancel, cancel_ends_every_waiting_call);
	tcase_add_test(cancel, cancel_reaches_a_call_that_waits);
	tcase_add_test(waiting, poll_and_wait_tell_the_same_record);
	tcase_add_loop_test(waiting, signals_reach_it_until_it_has_ended, 0, 3);
	tcase_add_test(waiting, stopped_and_continued_is_not_ended);
	tcase_add_test(waiting, threads_may_wait_beside_communicate_and_get_the_same_record);
	tcase_add_test(waiting, a_thread_may_kill_what_another_communicates_with);
	tcase_add_loop_test(lost, an_ignored_sigchld_loses_the_status_and_nothing_else, 0, 2);
	tcase_add_loop_test(lost, a_stolen_status_is_lost_and_nothing_else, 0, 2);
	tcase_add_test(waiting, a_storm_of_signals_is_not_noticed);
	add_for_both(stopping, a_program_that_says_goodbye_at_length_is_not_killed);
	add_for_both(stopping, a_deaf_program_is_killed_after_the_grace);
	add_for_both(stopping, without_a_grace_it_is_killed_at_once);
	tcase_add_loop_test(stopping, stop_before_and_after_the_end_tells_the_record, 0, 3);
	tcase_add_loop_test(stopping, stop_reads_what_an_ended_program_had_written, 0, 2);
	tcase_add_loop_test(stopping, stop_feeds_or_closes_the_standard_input, 0, 2);
	tcase_add_loop_test(stopping, a_call_that_fails_does_not_end_a_stop, 0, 2);
	tcase_add_loop_test(stopping, stop_ends_all_that_belongs_to_it, 0, 2);
	tcase_add_test(stopping, stop_ends_what_an_ended_program_left_in_its_group);
	tcase_add_test(stopping, what_may_not_be_signalled_is_not_stopped);
	tcase_add_loop_test(taking, taken_output_is_the_callers, 0, 4);
	tcase_add_test(taking, output_may_be_taken_piece_by_piece);
	add_for_both(owner, in_a_forked_child_the_handle_is_dead);
	tcase_add_test(owner, free_of_nothing_is_fine);
	tcase_add_test(owner, free_neither_signals_nor_waits);
	tcase_add_test(owner, free_kills_what_is_contained);
	tcase_add_test(owner, free_amid_a_communication_forgets_it);
	return leak_run(suite);
}
