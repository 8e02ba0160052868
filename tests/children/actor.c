/* actor - acts out scenarios with brood/popen.h and run.h; tests/interop/actor.py does with subprocess
 *
 * A case (frames.h) is one scenario: a list of words, ";" after each step. Its answer has one string for
 * each step, and one more for each thing that the scenario left behind. Every scenario is acted by a process
 * of its own, so that it may close, ignore and limit what it likes.
 *
 * A step is an act, its options, and, after "--", the program's words; tests/conformance/scenes.py explains
 * them all. An act that fails answers with the error's name and with the path or value that the fail names. */
#include <brood/brood.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"

#define MOST_WORDS 64
#define MOST_ANSWERS 128
#define LIMIT_S 20 /* for one scenario */
#define LONG_BYTES 120

/* The words of one step. */
static char **word;
static uint32_t n_words;

static struct string answers[MOST_ANSWERS];
static uint32_t n_answers;

static brood_popen *handles[4];
static unsigned stage; /* the handle that is acted on */
static brood_fail fail;
static int64_t clock_ns;

/* What the options of a step say. */
static struct {
	brood_popen_opts popen;
	brood_run_opts run;
	brood_pass pass[16];
	const char *env[MOST_WORDS];
	size_t n_env;
	gid_t groups[16];
	uid_t uid;
	gid_t gid;
	mode_t umask;
	const char *argv[MOST_WORDS];
} said;

static void add(const char *bytes, size_t size)
{
	struct string *last = &answers[n_answers - 1];

	last->bytes = realloc(last->bytes, last->size + size + 1);
	frames_need(last->bytes != NULL);
	memcpy(last->bytes + last->size, bytes, size);
	last->size += (uint32_t)size;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	frames_need(n >= 0 && n < (int)sizeof(text));
	add(text, (size_t)n);
}

static void next_answer(void)
{
	frames_need(n_answers < MOST_ANSWERS);
	answers[n_answers++] = (struct string){ .bytes = NULL };
}

static const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ E2BIG, "E2BIG" },         { EACCES, "EACCES" },       { EALREADY, "EALREADY" },
		{ EBADF, "EBADF" },         { ECHILD, "ECHILD" },       { EILSEQ, "EILSEQ" },
		{ EINVAL, "EINVAL" },       { EMFILE, "EMFILE" },       { ENOENT, "ENOENT" },
		{ ENOEXEC, "ENOEXEC" },     { ENOTDIR, "ENOTDIR" },     { EPERM, "EPERM" },
		{ EREMOTEIO, "EREMOTEIO" }, { ETIMEDOUT, "ETIMEDOUT" }, { EXDEV, "EXDEV" },
	};
	static char number[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	snprintf(number, sizeof(number), "E%d", error);
	return number;
}

/* "ok", or the error with what it is about; a mistake of the caller says no more. */
static void say_result(int r)
{
	if (r >= 0)
		say("ok");
	else if (r == -EINVAL || r == -EBADF || fail.text[0] == '\0')
		say("%s", error_name(-r));
	else
		say("%s %s", error_name(-r), fail.text);
}

static void say_code(const brood_exit *end)
{
	int code = brood_exit_code(end);

	if (end->kind == BROOD_RUNNING)
		say("runs");
	else if (end->kind == BROOD_LOST)
		say("lost");
	else
		say("%d", code);
}

static uint32_t crc32(const char *data, size_t size)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < size; i++) {
		crc ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void say_bytes(const char *name, const char *data, size_t size)
{
	say("%s=", name);
	if (size > LONG_BYTES)
		say("<%zu bytes, %08" PRIx32 ">", size, crc32(data, size));
	else
		add(data, size);
}

static void say_output(const char *name, int which)
{
	brood_output output;

	if (brood_popen_output(handles[stage], which, &output) < 0) {
		say("%s none", name);
		return;
	}
	say_bytes(name, output.data, output.size);
	if (output.error != 0)
		say(" %s", error_name(-output.error));
}

static int64_t seconds(const char *text)
{
	return *text == '\0' ? BROOD_FOREVER : (int64_t)(strtod(text, NULL) * (double)BROOD_SEC);
}

static int number(uint32_t at)
{
	frames_need(at < n_words);
	return (int)strtol(word[at], NULL, 10);
}

/* "=text", or "*N" for N bytes of a pattern. In memory for the rest of the scenario. */
static const char *bytes_of(const char *text, size_t *ret_size)
{
	char *bytes;

	if (*text != '*') {
		*ret_size = strlen(text + 1);
		return text + 1;
	}
	*ret_size = (size_t)strtoul(text + 1, NULL, 10);
	bytes = malloc(*ret_size + 1);
	frames_need(bytes != NULL);
	for (size_t i = 0; i < *ret_size; i++)
		bytes[i] = (char)(i % 251);
	return bytes;
}

/* -- options -- */

static void set_stdio(brood_stdio *stdio, const char *how)
{
	if (strcmp(how, "pipe") == 0)
		stdio->kind = BROOD_STDIO_PIPE;
	else if (strcmp(how, "null") == 0)
		stdio->kind = BROOD_STDIO_NULL;
	else if (strcmp(how, "stdout") == 0)
		stdio->kind = BROOD_STDIO_STDOUT;
	else
		*stdio = (brood_stdio){ .kind = BROOD_STDIO_FD, .fd = (int)strtol(how, NULL, 10) };
}

static int umask_in_child(void *data)
{
	umask(*(const mode_t *)data);
	return 0;
}

static int fail_in_child(void *data)
{
	(void)data;
	return -EXDEV;
}

static void set_groups(brood_spawn_opts *spawn, const char *list)
{
	spawn->groups = said.groups;
	while (*list != '\0') {
		char *end;

		said.groups[spawn->n_groups++] = (gid_t)strtoul(list, &end, 10);
		list = *end == ',' ? end + 1 : end;
	}
}

static bool set_identity(brood_spawn_opts *spawn, const char *name, const char *value)
{
	bool numeric = *value >= '0' && *value <= '9';

	if (strcmp(name, "user") == 0 && numeric) {
		said.uid = (uid_t)strtoul(value, NULL, 10);
		spawn->uid = &said.uid;
	} else if (strcmp(name, "user") == 0) {
		spawn->user = value;
	} else if (strcmp(name, "group") == 0 && numeric) {
		said.gid = (gid_t)strtoul(value, NULL, 10);
		spawn->gid = &said.gid;
	} else if (strcmp(name, "group") == 0) {
		spawn->user_group = value;
	} else if (strcmp(name, "groups") == 0) {
		set_groups(spawn, value);
	} else {
		return false;
	}
	return true;
}

static bool set_place(brood_spawn_opts *spawn, const char *name, const char *value)
{
	if (strcmp(name, "cwd") == 0) {
		spawn->cwd = value;
	} else if (strcmp(name, "exe") == 0) {
		spawn->executable = value;
	} else if (strcmp(name, "umask") == 0) {
		said.umask = (mode_t)strtoul(value, NULL, 8);
		spawn->umask = &said.umask;
	} else if (strcmp(name, "env") == 0) {
		spawn->env = said.env;
		if (*value != '\0')
			said.env[said.n_env++] = value;
	} else if (strcmp(name, "setup") == 0) {
		said.umask = 0123;
		spawn->setup = strcmp(value, "umask") == 0 ? umask_in_child : fail_in_child;
		spawn->setup_data = &said.umask;
	} else {
		return false;
	}
	return true;
}

static bool set_process(brood_spawn_opts *spawn, const char *name, const char *value)
{
	if (strcmp(name, "shell") == 0) {
		spawn->shell = said.run.shell = true;
	} else if (strcmp(name, "session") == 0) {
		spawn->group = BROOD_GROUP_SESSION;
	} else if (strcmp(name, "new-group") == 0) {
		spawn->group = BROOD_GROUP_NEW;
	} else if (strcmp(name, "join") == 0) {
		spawn->group = BROOD_GROUP_JOIN;
		spawn->join_group = brood_popen_pid(handles[strtoul(value, NULL, 10)]);
	} else if (strcmp(name, "keep-signals") == 0) {
		spawn->signals = BROOD_SIGNALS_INHERIT;
	} else {
		return false;
	}
	return true;
}

static bool set_stream(brood_spawn_opts *spawn, const char *name, const char *value)
{
	if (strcmp(name, "in") == 0) {
		set_stdio(&spawn->in, value);
	} else if (strcmp(name, "out") == 0) {
		set_stdio(&spawn->out, value);
	} else if (strcmp(name, "err") == 0) {
		set_stdio(&spawn->err, value);
	} else if (strcmp(name, "pass") == 0) {
		spawn->pass = said.pass;
		said.pass[spawn->n_pass++].fd = (int)strtol(value, NULL, 10);
	} else if (strcmp(name, "keep-fds") == 0) {
		spawn->keep_fds = true;
	} else if (strcmp(name, "pipe-size") == 0) {
		spawn->pipe_size = (size_t)strtoul(value, NULL, 10);
	} else if (strcmp(name, "text") == 0) {
		said.run.text = BROOD_TEXT_STRICT;
	} else {
		return false;
	}
	return true;
}

static bool set_run(const char *name, const char *value)
{
	if (strcmp(name, "input") == 0)
		said.run.input = bytes_of(value, &said.run.input_size);
	else if (strcmp(name, "capture") == 0)
		said.run.capture = true;
	else if (strcmp(name, "check") == 0)
		said.run.check = true;
	else if (strcmp(name, "timeout") == 0)
		said.run.timeout_ns = seconds(value);
	else
		return false;
	return true;
}

static void get_options(void)
{
	brood_spawn_opts *spawn = &said.popen.spawn;
	uint32_t i = 1;

	memset(&said, 0, sizeof(said));
	fail = (brood_fail){ .step = NULL };
	spawn->fail = said.run.fail = &fail;
	for (; i < n_words && strcmp(word[i], "--") != 0; i++) {
		char *equals = strchr(word[i], '=');
		const char *value = equals != NULL ? equals + 1 : "";

		if (equals != NULL)
			*equals = '\0';
		frames_need(set_stream(spawn, word[i], value) || set_place(spawn, word[i], value) ||
			    set_process(spawn, word[i], value) ||
			    set_identity(spawn, word[i], value) || set_run(word[i], value));
	}
	for (uint32_t to = 0; ++i < n_words; to++)
		said.argv[to] = word[i];
	if (spawn->out.kind == BROOD_STDIO_PIPE)
		said.popen.out.text = said.run.text;
	if (spawn->err.kind == BROOD_STDIO_PIPE)
		said.popen.err.text = said.run.text;
}

/* -- acts on a popen -- */

static void act_popen(void)
{
	unsigned at = 0;
	int r;

	get_options();
	while (at < 3 && handles[at] != NULL)
		at++;
	r = brood_popen_start(said.argv, &said.popen, &handles[at]);
	if (r == 0)
		stage = at;
	say_result(r);
}

static void act_failures(void)
{
	int n = number(1), r = 0;

	for (int i = 0; i < n && r >= 0; i++) {
		brood_popen_opts opts = { .spawn = { .in = { .kind = BROOD_STDIO_PIPE },
						     .out = { .kind = BROOD_STDIO_PIPE },
						     .err = { .kind = BROOD_STDIO_PIPE },
						     .fail = &fail } };
		brood_popen *popen = NULL;

		fail = (brood_fail){ .step = NULL };
		r = brood_popen_start((const char *const[]){ word[2], NULL }, &opts, &popen);
		if (r != -ENOENT)
			brood_popen_free(popen);
		else
			r = 0;
	}
	say_result(r);
}

static void act_communicate(void)
{
	size_t size = 0;
	const char *input = *word[1] != '\0' ? bytes_of(word[1], &size) : NULL;
	int r = brood_popen_communicate(handles[stage], input, size, seconds(word[2]));

	if (r < 0) {
		fail.text[0] = '\0';
		say_result(r);
		return;
	}
	say_output("out", 1);
	say(" ");
	say_output("err", 2);
}

static void act_write(void)
{
	int fd = brood_popen_stream(handles[stage], 0);
	size_t size;
	const char *bytes = bytes_of(word[1], &size);

	say_result(fd < 0 ? fd : write(fd, bytes, size) == (ssize_t)size ? 0 : -errno);
}

static void act_read(void)
{
	int fd = brood_popen_stream(handles[stage], number(1));
	char text[LONG_BYTES];
	ssize_t n = read(fd, text, sizeof(text));

	frames_need(n >= 0);
	say_bytes("read", text, (size_t)n);
}

static void act_wait(void)
{
	brood_exit end;
	int r = brood_popen_wait(handles[stage], seconds(word[1]), &end);

	fail.text[0] = '\0';
	if (r < 0)
		say_result(r);
	else
		say_code(&end);
}

static void *wait_there(void *data)
{
	return brood_popen_wait(handles[stage], 10 * BROOD_SEC, data) < 0 ? NULL : data;
}

static void act_wait_twice(void)
{
	brood_exit here = { .value = 0 }, there = { .value = 0 };
	pthread_t thread;
	void *ok;

	frames_need(pthread_create(&thread, NULL, wait_there, &there) == 0);
	frames_need(wait_there(&here) != NULL);
	frames_need(pthread_join(thread, &ok) == 0 && ok != NULL);
	say_code(&here);
	say(" ");
	say_code(&there);
}

static void act_poll(void)
{
	brood_exit end = { .kind = BROOD_RUNNING };

	frames_need(brood_popen_poll(handles[stage], &end) >= 0);
	say_code(&end);
}

static void act_signal(void)
{
	say_result(brood_popen_send_signal(handles[stage], number(1)));
}

static void act_terminate(void)
{
	say_result(brood_popen_terminate(handles[stage]));
}

static void act_kill(void)
{
	say_result(brood_popen_kill(handles[stage]));
}

static void act_close_input(void)
{
	say_result(brood_popen_close_input(handles[stage]));
}

static void act_use(void)
{
	stage = (unsigned)number(1) & 3;
	say("ok");
}

static void act_step(void)
{
	say("%s", fail.step != NULL ? fail.step : "none");
}

/* Until it has ended; the status stays where it is. */
static void act_ended(void)
{
	pid_t pid = brood_popen_pid(handles[stage]);
	siginfo_t info;

	say_result(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 ? 0 : -errno);
}

/* Somebody else takes the status. */
static void act_steal(void)
{
	int status;

	say_result(waitpid(brood_popen_pid(handles[stage]), &status, 0) > 0 ? 0 : -errno);
}

/* What the pipe to the program's standard input holds. */
static void act_pipe_size(void)
{
	say("%d", fcntl(brood_popen_stream(handles[stage], 0), F_GETPIPE_SZ));
}

/* The words for how it ended. */
static void act_message(void)
{
	char text[128];
	brood_exit end;

	frames_need(brood_popen_wait(handles[stage], 10 * BROOD_SEC, &end) == 0);
	brood_exit_format(&end, text, sizeof(text));
	say("%s", text);
}

/* -- whole runs -- */

static void act_run(void)
{
	brood_run_result result;
	int r;

	get_options();
	said.run.popen = &said.popen;
	r = brood_run(said.argv, &said.run, &result);
	if (result.exit.kind == BROOD_RUNNING) {
		say_result(r);
	} else {
		if (r < 0)
			say("%s", error_name(-r));
		else
			say("ok");
		if (r != -ETIMEDOUT) {
			say(" ");
			say_code(&result.exit);
		}
		if (said.run.capture || said.popen.spawn.out.kind == BROOD_STDIO_PIPE) {
			say(" ");
			say_bytes("out", result.out, result.out_size);
		}
		if (said.run.capture || said.popen.spawn.err.kind == BROOD_STDIO_PIPE) {
			say(" ");
			say_bytes("err", result.err, result.err_size);
		}
	}
	brood_run_result_fini(&result);
}

static void act_getstatusoutput(void)
{
	char *text;
	int code, r = brood_getstatusoutput(word[1], &code, &text);

	if (r < 0) {
		say_result(r);
		return;
	}
	say("%d ", code);
	say_bytes("out", text, strlen(text));
	free(text);
}

static void act_quote(void)
{
	char *quoted;

	frames_need(brood_shell_quote(word[1], &quoted) == 0);
	say("%s", quoted);
	free(quoted);
}

/* -- acts on the host -- */

static void place_at(int fd, int at)
{
	if (fd != at) {
		frames_need(dup2(fd, at) == at);
		close(fd);
	} else {
		frames_need(fcntl(fd, F_SETFD, 0) == 0);
	}
}

static void act_file(void)
{
	int fd = open(word[2], O_RDWR | O_CREAT | O_TRUNC, 0666);
	size_t size = strlen(word[3]);

	frames_need(fd >= 0 && write(fd, word[3], size) == (ssize_t)size &&
		    lseek(fd, 0, SEEK_SET) == 0);
	place_at(fd, number(1));
	say("ok");
}

static void act_content(void)
{
	char text[LONG_BYTES];
	ssize_t n = pread(number(1), text, sizeof(text), 0);

	frames_need(n >= 0);
	say_bytes("is", text, (size_t)n);
}

/* Both ends are inherited by who does not take care. */
static void act_pipe(void)
{
	int ends[2];

	frames_need(pipe(ends) == 0);
	place_at(ends[0], number(1));
	place_at(ends[1], number(2));
	say("ok");
}

static void act_close(void)
{
	for (uint32_t i = 1; i < n_words; i++)
		close(number(i));
	say("ok");
}

static void act_inheritable(void)
{
	if (n_words > 2)
		frames_need(fcntl(number(1), F_SETFD, number(2) != 0 ? 0 : FD_CLOEXEC) == 0);
	say("%s", fcntl(number(1), F_GETFD) & FD_CLOEXEC ? "no" : "yes");
}

static void act_limit_files(void)
{
	struct rlimit limit;

	frames_need(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)number(1);
	frames_need(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	say("ok");
}

static void act_ignore(void)
{
	frames_need(signal(number(1), SIG_IGN) != SIG_ERR);
	say("ok");
}

static void act_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number(1));
	frames_need(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	say("ok");
}

static void take_note(int signum)
{
	(void)signum;
}

/* Interrupts, every few milliseconds from now on. */
static void act_interrupt(void)
{
	struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
	struct sigaction action = { .sa_handler = take_note };

	frames_need(sigaction(SIGALRM, &action, NULL) == 0 &&
		    setitimer(ITIMER_REAL, &often, NULL) == 0);
	say("ok");
}

static void act_nap(void)
{
	int64_t ns = seconds(word[1]);
	struct timespec left = { (time_t)(ns / BROOD_SEC), (long)(ns % BROOD_SEC) };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	say("ok");
}

static void act_clock(void)
{
	clock_ns = brood_now();
	say("ok");
}

static void act_took(void)
{
	int64_t took = brood_now() - clock_ns;

	if (took >= seconds(word[1]) && took <= seconds(word[2]))
		say("yes");
	else
		say("%" PRId64 " ms", took / BROOD_MSEC);
}

static bool runs(const char *pid)
{
	char path[64], text[512] = "";
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fgets(text, sizeof(text), file) == NULL)
		text[0] = '\0';
	(void)fclose(file);
	state = strrchr(text, ')');
	return state != NULL && state[2] != 'Z' && state[2] != 'X';
}

/* Whether the process whose pid a file holds runs; it gets two seconds to end. */
static void act_alive(void)
{
	char pid[32] = "";
	FILE *file = fopen(word[1], "re");

	frames_need(file != NULL && fgets(pid, sizeof(pid), file) != NULL);
	(void)fclose(file);
	pid[strcspn(pid, "\n")] = '\0';
	for (int tries = 0; tries < 200 && runs(pid); tries++)
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
	say("%s", runs(pid) ? "alive" : "gone");
}

static const struct {
	const char *name;
	uint32_t n_words; /* at least */
	bool on_program;
	void (*act)(void);
} acts[] = {
	{ "popen", 1, false, act_popen },
	{ "failures", 3, false, act_failures },
	{ "communicate", 3, true, act_communicate },
	{ "write", 2, true, act_write },
	{ "read", 2, true, act_read },
	{ "wait", 2, true, act_wait },
	{ "wait-twice", 1, true, act_wait_twice },
	{ "poll", 1, true, act_poll },
	{ "signal", 2, true, act_signal },
	{ "terminate", 1, true, act_terminate },
	{ "kill", 1, true, act_kill },
	{ "close-input", 1, true, act_close_input },
	{ "use", 2, false, act_use },
	{ "step", 1, false, act_step },
	{ "ended", 1, true, act_ended },
	{ "steal", 1, true, act_steal },
	{ "pipe-size", 1, true, act_pipe_size },
	{ "message", 1, true, act_message },
	{ "run", 1, false, act_run },
	{ "getstatusoutput", 2, false, act_getstatusoutput },
	{ "quote", 2, false, act_quote },
	{ "file", 4, false, act_file },
	{ "content", 2, false, act_content },
	{ "pipe", 3, false, act_pipe },
	{ "close", 2, false, act_close },
	{ "inheritable", 2, false, act_inheritable },
	{ "limit-files", 2, false, act_limit_files },
	{ "ignore", 2, false, act_ignore },
	{ "block", 2, false, act_block },
	{ "interrupt", 1, false, act_interrupt },
	{ "nap", 2, false, act_nap },
	{ "clock", 1, false, act_clock },
	{ "took", 3, false, act_took },
	{ "alive", 2, false, act_alive },
};

static void act(void)
{
	frames_need(n_words > 0);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (n_words >= acts[i].n_words && strcmp(word[0], acts[i].name) == 0) {
			next_answer();
			if (acts[i].on_program && handles[stage] == NULL)
				say("no program");
			else
				acts[i].act();
			return;
		}
	exit(4);
}

/* -- scenarios -- */

/* Descriptors from 3 on; those that the scenario opened by number are its own. */
static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int n = 0;

	if (folder == NULL)
		exit(4);
	for (struct dirent *item; (item = readdir(folder)) != NULL;) {
		long fd = strtol(item->d_name, NULL, 10);

		n += fd >= 3 && (fd < 20 || fd >= 60) && fd != dirfd(folder);
	}
	closedir(folder);
	return n;
}

static void look_for_leaks(int descriptors)
{
	siginfo_t info;
	int now;

	for (unsigned i = 0; i < 4; i++)
		handles[i] = brood_popen_free(handles[i]);
	now = count_descriptors();
	if (now != descriptors) {
		next_answer();
		say("left %d descriptors", now - descriptors);
	}
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
		next_answer();
		say("left a child");
	}
}

static void act_all(struct string *strings, uint32_t n)
{
	char *words[MOST_WORDS] = { NULL };
	int descriptors = count_descriptors();

	word = words;
	n_words = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(strings[i].bytes, ";") == 0) {
			act();
			n_words = 0;
		} else {
			frames_need(n_words < MOST_WORDS);
			words[n_words++] = strings[i].bytes;
		}
	}
	look_for_leaks(descriptors);
}

static void perform(struct string *strings, uint32_t n, int to)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	FILE *file;

	/* Cases and answers are not for the programs. */
	frames_need(dup2(null, 0) == 0 && dup2(null, 1) == 1);
	close(null);
	setpgid(0, 0);
	act_all(strings, n);
	file = fdopen(to, "w");
	frames_need(file != NULL && fwrite(&n_answers, sizeof(n_answers), 1, file) == 1);
	for (uint32_t i = 0; i < n_answers; i++)
		frames_need(fwrite(&answers[i].size, sizeof(answers[i].size), 1, file) == 1 &&
			    (answers[i].size == 0 || fwrite(answers[i].bytes, 1, answers[i].size,
							    file) == answers[i].size));
	frames_need(fflush(file) == 0);
	_exit(0);
}

/* All that comes within the time. */
static size_t drain(int fd, char *bytes, size_t size)
{
	int64_t until = brood_now() + LIMIT_S * BROOD_SEC;
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t had = 0;

	while (brood_now() < until && poll(&ready, 1, 100) >= 0) {
		ssize_t n = ready.revents != 0 ? read(fd, bytes + had, size - had) : 1;

		if (n <= 0)
			break;
		if (ready.revents != 0)
			had += (size_t)n;
	}
	return had;
}

static void scenario(struct string *strings, uint32_t n)
{
	static char bytes[1 << 18];
	int ends[2], status;
	size_t had;
	pid_t pid;

	frames_need(pipe2(ends, O_CLOEXEC) == 0 && fflush(stdout) == 0);
	pid = fork();
	frames_need(pid >= 0);
	if (pid == 0) {
		int to = fcntl(ends[1], F_DUPFD_CLOEXEC, 200);

		close(ends[0]);
		close(ends[1]);
		perform(strings, n, to);
	}
	close(ends[1]);
	had = drain(ends[0], bytes, sizeof(bytes));
	close(ends[0]);
	kill(-pid, SIGKILL); /* what it left, and itself if it hangs */
	kill(pid, SIGKILL);
	frames_need(waitpid(pid, &status, 0) == pid);
	if (had > 0) {
		frames_need(fwrite(bytes, 1, had, stdout) == had);
	} else {
		char text[64];
		int length = snprintf(text, sizeof(text), "died, status %#x", (unsigned)status);

		put_number(1);
		put_string(text, (size_t)length);
	}
}

int main(void)
{
	struct string *strings;
	uint32_t n;

	while (get_case(&strings, &n) != EOF) {
		scenario(strings, n);
		free_strings(strings, n);
	}
	return fflush(stdout) == 0 ? 0 : 3;
}
