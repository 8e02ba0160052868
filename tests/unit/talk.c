#include "tests/unit/talk.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

brood_popen *popen_start(const char *const argv[], const brood_popen_opts *opts)
{
	static const brood_popen_opts none;
	brood_popen_opts mine = opts != NULL ? *opts : none;
	brood_fail fail = { .step = NULL };
	brood_popen *popen = NULL;
	char text[400];
	int r;

	mine.spawn.fail = &fail;
	r = brood_popen_start(argv, &mine, &popen);
	brood_fail_format(&fail, text, sizeof(text));
	ck_assert_msg(r == 0, "%s does not start: %s", argv[0], text);
	ck_assert_ptr_nonnull(popen);
	ck_assert_msg(fail.step == NULL, "it started, and yet: %s", text);
	return popen;
}

void popen_refused(const brood_popen_opts *opts, int error, const char *step)
{
	brood_popen_opts mine = *opts;
	brood_fail fail = { .step = NULL };
	brood_popen *untouched = (brood_popen *)&fail, *popen = untouched;
	char text[400];
	int r;

	mine.spawn.fail = &fail;
	r = brood_popen_start(ACT("exit", "0"), &mine, &popen);
	brood_fail_format(&fail, text, sizeof(text));
	ck_assert_msg(r == -error, "%d and not %d (%s): %s", r, -error, strerror(error), text);
	ck_assert_ptr_eq(popen, untouched);
	ck_assert_ptr_nonnull(fail.step);
	ck_assert_str_eq(fail.step, step);
	ck_assert_int_eq(fail.error, error);
	mine.spawn.fail = NULL;
	ck_assert_int_eq(brood_popen_start(ACT("exit", "0"), &mine, &popen), -error);
}

brood_output output_of(brood_popen *popen, int which)
{
	brood_output output;

	ck_assert_int_eq(brood_popen_output(popen, which, &output), 0);
	ck_assert_ptr_nonnull(output.data);
	ck_assert_int_eq(output.data[output.size], '\0');
	return output;
}

pid_t abandoned(void)
{
	long pid = first_number("/proc/thread-self/children");

	ck_assert_int_gt(pid, 0);
	return (pid_t)pid;
}

void end_abandoned(void)
{
	pid_t pid = abandoned();

	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

brood_exit exit_of(brood_popen *popen)
{
	brood_exit end;

	ck_assert_int_eq(brood_popen_poll(popen, &end), 1);
	return end;
}

int talk(brood_popen *popen, const void *input, size_t size)
{
	brood_exit end;

	ck_assert_int_eq(brood_popen_communicate(popen, input, size, PATIENCE), 0);
	end = exit_of(popen);
	return brood_exit_code(&end);
}

char *new_pattern(size_t size)
{
	char *bytes = malloc(size + 1);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = pattern(i);
	return bytes;
}

void ck_pattern(const char *data, size_t size, size_t at)
{
	size_t i = 0;

	while (i < size && data[i] == pattern(at + i))
		i++;
	ck_assert_msg(i == size, "byte %zu of %zu is not the pattern's", i, size);
}

static void ck_complete(const brood_output *output)
{
	ck_assert(output->ended);
	ck_assert(!output->truncated);
	ck_assert_int_eq(output->error, 0);
}

void ck_output(brood_popen *popen, int which, const char *text)
{
	brood_output output = output_of(popen, which);

	ck_assert_str_eq(output.data, text);
	ck_assert_uint_eq(output.size, strlen(text));
	ck_assert_uint_eq(output.total, strlen(text));
	ck_complete(&output);
}

void ck_output_pattern(brood_popen *popen, int which, size_t size)
{
	brood_output output = output_of(popen, which);

	ck_assert_uint_eq(output.size, size);
	ck_assert_uint_eq(output.total, size);
	ck_pattern(output.data, size, 0);
	ck_complete(&output);
}
