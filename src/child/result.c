#include "child/result.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "base/text.h"
#include "os/fd.h"

#include <brood/shell.h>

#define LONGEST_COMMAND 200 /* bytes of a command in a log line */
#define LONGEST_WHO 80      /* … of a program's name in an error, so that its end has room, too */
#define LONGEST_LAST 100    /* … of its last words there */

static char nothing[1];

struct owned {
	struct bri_growing out, err;
};

brood_run_result bri_result_none(void)
{
	return (brood_run_result){ .out = nothing, .err = nothing };
}

static void take_one(struct bri_drain *drain, struct bri_growing *kept, char **text, size_t *size,
		     uint64_t *total, brood_run_result *result)
{
	brood_output output;

	if (!drain->set)
		return;
	bri_drain_output(drain, &output);
	*kept = drain->kept;
	drain->kept = (struct bri_growing){ .data = NULL };
	if (kept->data != NULL)
		*text = kept->data + (output.data - kept->data);
	*size = output.size;
	*total = output.total;
	result->truncated = result->truncated || output.truncated;
	if (result->sink_error == 0 || (result->sink_error == -EILSEQ && output.error != 0))
		result->sink_error =
			output.error; /* what was lost counts for more than how it looks */
}

int bri_result_take(brood_run_result *result, struct bri_drain *out, struct bri_drain *err)
{
	struct owned *owned;

	if (!out->set && !err->set)
		return 0;
	owned = calloc(1, sizeof(*owned));
	if (owned == NULL)
		return -ENOMEM;
	take_one(out, &owned->out, &result->out, &result->out_size, &result->out_total, result);
	take_one(err, &owned->err, &result->err, &result->err_size, &result->err_total, result);
	result->owner = owned;
	return 0;
}

void brood_run_result_fini(brood_run_result *result)
{
	struct owned *owned;

	if (result == NULL)
		return;
	owned = result->owner;
	if (owned != NULL) {
		bri_growing_fini(&owned->out);
		bri_growing_fini(&owned->err);
		free(owned);
	}
	memset(result, 0, sizeof(*result));
}

brood_sink bri_capture_sink(const brood_run_opts *opts, int tee)
{
	return (brood_sink){ .kind = opts->tail ? BROOD_SINK_TAIL : BROOD_SINK_MEMORY,
			     .text = opts->text,
			     .limit = opts->limit,
			     .tee = opts->echo && bri_is_writable(tee) ? tee : 0 };
}

bool bri_wants_group(const brood_run_opts *opts, const brood_spawn_opts *spawn)
{
	bool is_stopped = opts->timeout_ns > 0 || opts->cancel_fd != NULL ||
			  (opts->popen != NULL && opts->popen->cancel_fd != NULL);
	int in = spawn->in.kind == BROOD_STDIO_INHERIT ? 0 :
		 spawn->in.kind == BROOD_STDIO_FD      ? spawn->in.fd :
							 -1;

	return is_stopped && !spawn->contain && spawn->group == BROOD_GROUP_INHERIT &&
	       (in < 0 || !isatty(in));
}

brood_fail *bri_run_fail(const brood_run_opts *opts)
{
	return opts->fail != NULL || opts->popen == NULL ? opts->fail : opts->popen->spawn.fail;
}

/* What a program, or its user, says goes into one line of ours: what a terminal would obey becomes a '?',
 * what is not UTF-8 U+FFFD. No more than `most` bytes, LONGEST_COMMAND at most, of `from` are taken; `to`
 * has BRI_TEXT_ROOM(most) + 4. Returns how many bytes it has. */
static size_t tame(char *to, size_t most, const char *from, size_t size)
{
	struct bri_text text = { .mode = BRI_TEXT_REPLACE };
	bool is_cut = size > most;
	size_t n;

	if (is_cut)
		for (size = most; size > 0 && ((unsigned char)from[size] & 0xC0) == 0x80; size--)
			continue; /* not in the middle of a character */
	n = bri_text_feed(&text, from, size, to);
	n += bri_text_finish(&text, to + n);
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)to[i];

		if (byte < ' ' || byte == 0x7F)
			to[i] = '?';
		else if (byte == 0xC2 && (unsigned char)to[i + 1] < 0xA0) /* U+0080 to U+009F */
			to[i] = to[i + 1] = '?';
	}
	return (size_t)(stpcpy(to + n, is_cut ? "..." : "") - to);
}

void bri_log_command(const brood_run_opts *opts, const char *command, pid_t pid,
		     const brood_run_result *result)
{
	char tamed[BRI_TEXT_ROOM(LONGEST_COMMAND) + 4], line[sizeof(tamed) + 120], words[80];

	tame(tamed, LONGEST_COMMAND, command, strlen(command));
	if (result == NULL) {
		snprintf(line, sizeof(line), "%d: %s", (int)pid, tamed);
	} else {
		brood_exit_format(&result->exit, words, sizeof(words));
		snprintf(line, sizeof(line), "%d: %s: %s, %lld ms", (int)pid, tamed, words,
			 (long long)(result->wall_ns / BROOD_MSEC));
	}
	opts->log(opts->log_data, line);
}

void bri_log_run(const brood_run_opts *opts, const char *const *argv, pid_t pid,
		 const brood_run_result *result)
{
	bri_cleanup(bri_freep) char *command = NULL;

	if (opts->log == NULL)
		return;
	/* Without memory its name must do. */
	if (brood_shell_join(argv, &command) < 0)
		command = NULL;
	bri_log_command(opts, command != NULL ? command : argv[0], pid, result);
}

static const struct {
	int number;
	const char *name;
} signals[] = {
	{ SIGHUP, "SIGHUP" },       { SIGINT, "SIGINT" },   { SIGQUIT, "SIGQUIT" },
	{ SIGILL, "SIGILL" },       { SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" },
	{ SIGBUS, "SIGBUS" },       { SIGFPE, "SIGFPE" },   { SIGKILL, "SIGKILL" },
	{ SIGUSR1, "SIGUSR1" },     { SIGSEGV, "SIGSEGV" }, { SIGUSR2, "SIGUSR2" },
	{ SIGPIPE, "SIGPIPE" },     { SIGALRM, "SIGALRM" }, { SIGTERM, "SIGTERM" },
	{ SIGSTKFLT, "SIGSTKFLT" }, { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" },
	{ SIGVTALRM, "SIGVTALRM" }, { SIGPROF, "SIGPROF" }, { SIGIO, "SIGIO" },
	{ SIGPWR, "SIGPWR" },       { SIGSYS, "SIGSYS" },
};

const char *bri_signal_name(int signum)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i].number == signum)
			return signals[i].name;
	return NULL;
}

int brood_exit_format(const brood_exit *record, char *buf, size_t size)
{
	const char *core = record->core ? " (core dumped)" : "";

	switch (record->kind) {
	case BROOD_EXITED:
		return snprintf(buf, size, "exit status %d", record->value);
	case BROOD_SIGNALLED:
		if (bri_signal_name(record->value) != NULL)
			return snprintf(buf, size, "killed by %s%s", bri_signal_name(record->value),
					core);
		return snprintf(buf, size, "killed by signal %d%s", record->value, core);
	case BROOD_LOST:
		return snprintf(buf, size, "ended, and its status was taken by another");
	case BROOD_RUNNING:
		break;
	}
	return snprintf(buf, size, "running");
}

/* The last line of `text` that is not empty. */
static const char *last_line(const char *text, size_t size, size_t *ret_size)
{
	size_t from;

	while (size > 0 && strchr("\r\n \t", text[size - 1]) != NULL)
		size--;
	for (from = size; from > 0 && text[from - 1] != '\n'; from--)
		continue;
	*ret_size = size - from;
	return text + from;
}

static int ended_badly(const brood_run_opts *opts, const char *who, const brood_run_result *result)
{
	char end[80], last[BRI_TEXT_ROOM(LONGEST_LAST) + 4];
	const char *line;
	size_t size;

	line = opts->merge ? last_line(result->out, result->out_size, &size) :
			     last_line(result->err, result->err_size, &size);
	tame(last, LONGEST_LAST, line, size);
	brood_exit_format(&result->exit, end, sizeof(end));
	return bri_fail(bri_run_fail(opts), "status", EREMOTEIO, "%s: %s%s%s", who, end,
			*last != '\0' ? ": " : "", last);
}

/* Who asked for U+FFFD has got what he asked for. */
static bool is_strict(const brood_run_opts *opts)
{
	const brood_popen_opts *popen = opts->popen;

	if (opts->capture && opts->text != BROOD_TEXT_REPLACE)
		return true;
	return popen != NULL &&
	       (popen->out.text == BROOD_TEXT_STRICT || popen->err.text == BROOD_TEXT_STRICT);
}

static int undelivered(const brood_run_opts *opts, const char *who, int error)
{
	if (error == -EILSEQ)
		return bri_fail(bri_run_fail(opts), "status", EREMOTEIO,
				"%s: its output is not UTF-8", who);
	return bri_fail(bri_run_fail(opts), "status", EREMOTEIO,
			"%s: its output could not be delivered: %s", who, strerror(-error));
}

int bri_result_verdict(const brood_run_opts *opts, const char *name, int r,
		       brood_run_result *result)
{
	brood_fail *fail = bri_run_fail(opts);
	char who[BRI_TEXT_ROOM(LONGEST_WHO) + 4];

	tame(who, LONGEST_WHO, name, strlen(name));
	if (r == -ETIMEDOUT) {
		result->timed_out = true;
		return bri_fail(fail, "timeout", r, "%s: not ended after %.3g s", who,
				(double)opts->timeout_ns / BROOD_SEC);
	}
	if (r == -ECANCELED) {
		result->cancelled = true;
		return bri_fail(fail, "cancel", r, "%s", who);
	}
	if (r < 0)
		return bri_fail(fail, "communicate", r, "%s", who);
	if (opts->check && !brood_exit_ok(&result->exit))
		return ended_badly(opts, who, result);
	if (opts->check && result->sink_error != 0 &&
	    (result->sink_error != -EILSEQ || is_strict(opts)))
		return undelivered(opts, who, result->sink_error);
	return 0;
}
