/* tests/unit/talk.h - popens of the program "act" (tests/children), and what they got */
#ifndef TESTS_UNIT_TALK_H
#define TESTS_UNIT_TALK_H

#include <brood/popen.h>

#include "tests/children/pattern.h"
#include "tests/unit/leak.h"
#include "tests/unit/run.h"

/* Words for popen_act(). */
#define ACT(...) BROOD_ARGV(CHILD("act"), __VA_ARGS__)

/* Pipes for these of the three streams. */
#define PIPE_IN .in = { .kind = BROOD_STDIO_PIPE }
#define PIPE_OUT .out = { .kind = BROOD_STDIO_PIPE }
#define PIPE_ERR .err = { .kind = BROOD_STDIO_PIPE }
#define PIPES PIPE_IN, PIPE_OUT, PIPE_ERR

/* More than any test needs, and less than its time limit. */
#define PATIENCE (20 * BROOD_SEC)

/* Starts it; the test fails when that fails, and says why. */
brood_popen *popen_start(const char *const argv[], const brood_popen_opts *opts);

/* Checks that it does not start: with this error and step, and that nothing is left. */
void popen_refused(const brood_popen_opts *opts, int error, const char *step);

/* The output so far of stream `which`. */
brood_output output_of(brood_popen *popen, int which);

/* The record of what has ended. */
brood_exit exit_of(brood_popen *popen);

/* communicate() within PATIENCE, and the exit code. */
int talk(brood_popen *popen, const void *input, size_t size);

/* The one program that was left in the background, our child by now; and its end. */
pid_t abandoned(void);
void end_abandoned(void);

/* `size` bytes of the pattern; free() them. */
char *new_pattern(size_t size);

/* Checks that these bytes are the pattern from `at` on. */
void ck_pattern(const char *data, size_t size, size_t at);

/* Checks all that was kept of the stream, and that it was not truncated, is at its end, without error. */
void ck_output(brood_popen *popen, int which, const char *text);
void ck_output_pattern(brood_popen *popen, int which, size_t size);

#endif
