/* Invariants, beside those of serve/runner.h.
 *
 * 1. BEGIN is in the journal before the program can run; END before the job is forgotten. Records are
 *    held back for RING_NS at the most, so that a busy keeper writes and rings once for many.
 * 2. The server has the read ends of a job's pipes, or they wait in its socket, before the program can
 *    run: should we die, the server inherits our children and goes on with them.
 * 3. A program's limit RLIMIT_RTTIME, its mark, is set before the program can run: a child of a dead keeper
 *    that has none has not run.
 * 4. Nothing here waits: sockets and pipes are non-blocking, files are local. */
#include "serve/keeper.h"

#include <brood/brood.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "serve/config.h"
#include "serve/id.h"
#include "serve/journal.h"
#include "serve/mark.h"
#include "serve/output.h"
#include "serve/runner.h"
#include "serve/wire.h"

#define STATE_FD 3
#define LISTEN_FD 4
#define CONNECTION_FD 5
#define IDLE_NS (10 * BROOD_SEC) /* without server and jobs, then we go */
#define BUSY 4                   /* jobs that mean load: then … */
/* … between two rings, so that the server is not woken for each record */
#define RING_NS (BROOD_MSEC)
#define AGAIN_NS (20 * BROOD_MSEC) /* until a ring that failed is tried again */

#define STARTS 100 /* that are begun together, at most */

enum source { SOURCE_LISTEN = RUN_SOURCES, SOURCE_CONNECTION, SOURCE_CHILDREN };

static struct keeper {
	int epoll, connection;
	int child_signals;   /* signalfd of SIGCHLD */
	struct rlimit files; /* descriptors, as programs may have them */
	bool marks, quit;
	bool server_is_parent; /* … and would inherit our children */
	struct runner runner;
	int64_t idle_since;
	bool ring;   /* the journal has news that were not rung for */
	bool urgent; /* … that somebody waits for */
	int64_t rang_at;
	struct journal_writer journal;
	struct start *starts, **starts_end; /* received, not begun */
	size_t n_starts;
} keeper;

/* A journal that cannot be written (disk full) must not lose a record: it is tried again each
 * second, and no new job is begun meanwhile. */
static int flush(void)
{
	bool news = keeper.journal.n_held > 0;
	int r = journal_flush(&keeper.journal);

	if (r == 0 && news)
		keeper.ring = true;
	return r;
}

static int record_end(void *self, const struct run *run)
{
	struct journal_record record;
	enum journal_type type = runner_record(run, &record);
	int r = journal_add(&keeper.journal, &record, run->id, type);

	(void)self;
	if (r == 0)
		keeper.urgent = keeper.urgent || run->urgent;
	return r;
}

/* --- a job's start ------------------------------------------------------------------------ */

/* A START as it came, until all that came with it is read: then one write begins them all. */
struct start {
	struct start *next;
	struct run *run;
	int body;
	int ends[2]; /* of its pipes, for the program */
	int error;   /* 0, or errno of what has failed already: `step` */
	const char *step;
	size_t size;
	struct wire_message message; /* its words follow */
};

/* What the program reads or is told. Returns 0, or -errno with `fail` filled. */
static int prepare_input(struct run *run, enum input input, int body, char *path, size_t size,
			 char **ret_text, brood_fail *fail)
{
	struct stat st;
	int r = 0;

	if (input == INPUT_FILE) {
		r = output_write_input(STATE_FD, run->id, body, path, size);
	} else if (input == INPUT_ARGUMENT) {
		if (fstat(body, &st) < 0)
			r = -errno;
		*ret_text = r < 0 ? NULL : calloc(1, (size_t)st.st_size + 1);
		if (r == 0 && (*ret_text == NULL ||
			       pread(body, *ret_text, (size_t)st.st_size, 0) != st.st_size))
			r = *ret_text == NULL ? -ENOMEM : -EIO;
		if (r == 0 && memchr(*ret_text, '\0', (size_t)st.st_size) != NULL)
			r = -EINVAL;
	}
	if (r < 0)
		*fail = (brood_fail){ .step = "input", .error = -r };
	return r;
}

static int run_program(struct run *run, const struct start *start, const char **argv,
		       const char **env, const char *const *place, brood_child **ret_child,
		       brood_fail *fail)
{
	const struct wire_message *message = &start->message;
	const brood_rlimit limits[] = {
		{ RLIMIT_NOFILE, keeper.files.rlim_cur, keeper.files.rlim_max },
		{ RLIMIT_RTTIME, run->id, run->id }, /* the mark */
	};
	char input_path[4096] = "BROOD_INPUT=", id_text[ID_SIZE], id_entry[32];
	char *text = NULL;
	size_t n_env = message->n_env, n_argv = message->n_argv;
	brood_spawn_opts opts = {
		.executable = place[1],
		.env = env,
		.cwd = place[0],
		.in = { .kind = message->input == INPUT_STDIN ? BROOD_STDIO_FD : BROOD_STDIO_NULL,
			.fd = start->body },
		.out = { .kind = BROOD_STDIO_FD, .fd = start->ends[0] },
		.err = { .kind = BROOD_STDIO_FD, .fd = start->ends[1] },
		.group = BROOD_GROUP_SESSION,
		.rlimits = limits,
		.n_rlimits = keeper.marks ? 2 : 1,
		.fail = fail,
	};
	int r;

	r = prepare_input(run, (enum input)message->input, start->body,
			  input_path + strlen(input_path), sizeof(input_path) - strlen(input_path),
			  &text, fail);
	if (r < 0) {
		free(text);
		return r;
	}
	snprintf(id_entry, sizeof(id_entry), "BROOD_JOB_ID=%s", id_format(run->id, id_text));
	env[n_env++] = id_entry;
	if (message->input == INPUT_FILE)
		env[n_env++] = input_path;
	env[n_env] = NULL;
	if (text != NULL)
		argv[n_argv++] = text;
	argv[n_argv] = NULL;
	r = brood_spawn(argv, &opts, ret_child);
	free(text);
	return r;
}

/* Words of a START: argv and env with room for what is added; working directory and program. */
static int unpack(const struct wire_message *start, const char *end, const char ***ret_words,
		  const char **place)
{
	const char *at = (const char *)(start + 1);
	const char **words;

	if (start->n_argv == 0 || start->n_argv > 65536 || start->n_env > 65536)
		return -EPROTO;
	words = calloc((size_t)start->n_argv + start->n_env + 8, sizeof(*words));
	if (words == NULL)
		return -ENOMEM;
	at = wire_get_words(at, end, words, start->n_argv);
	if (at != NULL)
		at = wire_get_words(at, end, words + start->n_argv + 2, start->n_env);
	if (at != NULL)
		at = wire_get_words(at, end, place, 2);
	if (at == NULL) {
		free(words);
		return -EPROTO;
	}
	*ret_words = words;
	return 0;
}

static void start_fail(struct start *start, const char *step, int error)
{
	if (start->error != 0)
		return;
	start->step = step;
	start->error = error;
}

static void start_free(struct start *start)
{
	for (int i = 0; i < 2; i++)
		if (start->ends[i] >= 0)
			close(start->ends[i]);
	if (start->body >= 0)
		close(start->body);
	free(start);
}

static void start_all(void);

/* Without memory for it there is no run that could wait for room in the journal. */
static void start_refuse(uint64_t id, int body)
{
	struct journal_record record = { .fail = { .error = ENOMEM, .step = "memory" } };

	if (journal_add(&keeper.journal, &record, id, JOURNAL_FAIL) < 0)
		log_event("keeper_fault", "what=memory");
	if (body >= 0)
		close(body);
}

static void start_add(const struct wire_message *message, size_t size, int body)
{
	const int64_t now = brood_now();
	const struct wire_hold hold = {
		.id = message->id,
		.begun_ns = now,
		.deadline_ns = message->timeout_ns > 0 ? now + message->timeout_ns : BROOD_FOREVER,
		.kill_grace_ns = message->kill_grace_ns,
		.output_limit = message->output_limit,
		.input_file = message->input == INPUT_FILE,
	};
	struct journal_record begin = { .type = JOURNAL_BEGIN };
	struct start *start = malloc(offsetof(struct start, message) + size);
	struct run *run = start != NULL ? runner_add(&keeper.runner, &hold) : NULL;
	int r;

	if (run == NULL) {
		free(start);
		start_refuse(message->id, body);
		return;
	}
	run->urgent = message->urgent != 0;
	*start = (struct start){ .run = run, .body = body, .ends = { -1, -1 }, .size = size };
	memcpy(&start->message, message, size);
	r = journal_add(&keeper.journal, &begin, message->id, JOURNAL_BEGIN);
	if (r < 0)
		start_fail(start, "journal", -r);
	*keeper.starts_end = start;
	keeper.starts_end = &start->next;
	if (++keeper.n_starts == STARTS)
		start_all();
}

static void make_pipes(struct start *start)
{
	for (int i = 0; i < 2 && start->error == 0; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0) {
			start_fail(start, "pipe", errno);
			return;
		}
		start->run->pipes[i] = ends[0];
		start->ends[i] = ends[1];
		fcntl(ends[0], F_SETFL, O_NONBLOCK);
	}
}

/* It cannot be written that it begins, so it does not; the server comes back with it. Should a BEGIN be
 * held and written later: without a START it says nothing as long as we live. */
static void refuse(struct run *run, int error)
{
	const struct wire_message message = { .type = WIRE_REFUSED,
					      .id = run->id,
					      .reason = error };

	if (keeper.connection >= 0)
		wire_send(keeper.connection, &message, sizeof(message), -1);
	runner_drop(&keeper.runner, run);
}

static void start_run(struct start *start)
{
	const struct wire_message *message = &start->message;
	const char **words = NULL, *place[3] = { NULL };
	brood_fail fail = { .step = start->step, .error = start->error };
	struct journal_record record = { .type = JOURNAL_START };
	brood_child *child = NULL;
	int r = -start->error;

	if (r == 0) {
		r = unpack(message, (const char *)message + start->size, &words, place);
		fail = (brood_fail){ .step = "memory", .error = -r };
	}
	if (r == 0)
		r = run_program(start->run, start, words, words + message->n_argv + 2, place,
				&child, &fail);
	free(words);
	if (r < 0) {
		if (start->error != 0 && strcmp(start->step, "journal") == 0)
			refuse(start->run, start->error);
		else
			runner_failed(&keeper.runner, start->run, &fail);
		return;
	}
	runner_started(&keeper.runner, start->run, child);
	record.start.pid = start->run->pid;
	/* There is room: all that was held was written before the first of these starts. */
	journal_add(&keeper.journal, &record, start->run->id, JOURNAL_START);
}

/* --- what the server holds for us ------------------------------------------------------------ */

static struct {
	struct wire_message message;
	struct wire_hold holds[WIRE_HOLDS];
	size_t n, n_fds;
	int fds[WIRE_FDS];
} held;

/* A socket that is full, or a server that is not there, is no reason to wait: such a job only has no
 * second holder. */
static void hold_flush(void)
{
	if (held.n > 0 && keeper.connection >= 0 && keeper.server_is_parent)
		wire_send_all(keeper.connection, &held.message,
			      sizeof(held.message) + held.n * sizeof(held.holds[0]), held.fds,
			      held.n_fds);
	held.n = held.n_fds = 0;
}

static void hold_add(const struct run *run)
{
	struct wire_hold *hold = &held.holds[held.n++];

	held.message.type = WIRE_HOLD;
	*hold = (struct wire_hold){ .id = run->id,
				    .begun_ns = run->begun,
				    .deadline_ns = run->deadline,
				    .kill_grace_ns = run->kill_grace_ns,
				    .output_limit = run->output_limit,
				    .input_file = run->input_file };
	for (int i = 0; i < 2; i++)
		if (run->pipes[i] >= 0) {
			hold->pipes |= 1U << i;
			held.fds[held.n_fds++] = run->pipes[i];
		}
	if (held.n == WIRE_HOLDS)
		hold_flush();
}

/* Begins and starts all that has been received: first what makes them survive us, then the programs. */
static void start_all(void)
{
	struct start *start = keeper.starts, *next;
	int r;

	if (start == NULL)
		return;
	keeper.starts = NULL;
	keeper.starts_end = &keeper.starts;
	keeper.n_starts = 0;
	r = flush();
	for (struct start *each = start; each != NULL; each = each->next) {
		if (r < 0)
			start_fail(each, "journal", -r);
		make_pipes(each);
		if (each->error == 0)
			hold_add(each->run);
	}
	hold_flush();
	for (; start != NULL; start = next) {
		next = start->next;
		start_run(start);
		start_free(start);
	}
}

/* --- the server --------------------------------------------------------------------------- */

static void drop_connection(void)
{
	close(keeper.connection);
	keeper.connection = -1;
	keeper.idle_since = brood_now();
}

/* The journal is up to date when WELCOME goes out, and the ids of all jobs that live here follow. */
static void welcome_server(void)
{
	static struct {
		struct wire_message message;
		uint64_t ids[WIRE_IDS];
	} welcome;
	size_t n = 0;

	flush();
	welcome.message = (struct wire_message){ .type = WIRE_WELCOME,
						 .version = WIRE_VERSION,
						 .id = (uint64_t)getpid(),
						 .seq = keeper.journal.seq };
	for (const struct run *run = keeper.runner.runs; run != NULL && n < WIRE_IDS;
	     run = run->next)
		if (!run->dropped) /* what is done may be held back yet */
			welcome.ids[n++] = run->id;
	wire_send(keeper.connection, &welcome, sizeof(welcome.message) + n * sizeof(welcome.ids[0]),
		  -1);
}

/* Does what a message says. The descriptor that came with it is a START's, if anything's. */
static void obey(const struct wire_message *message, size_t size, int descriptor)
{
	struct run *run;

	if (message->type == WIRE_START) {
		start_add(message, size, descriptor);
		return;
	}
	if (descriptor >= 0)
		close(descriptor);
	start_all();

	switch (message->type) {
	case WIRE_HELLO:
		if (message->version != WIRE_VERSION) {
			log_event("keeper_refused", "why=\"server of another version\"");
			keeper.quit = true; /* make room for its own, once no job is left here */
			drop_connection();
			return;
		}
		welcome_server();
		break;
	case WIRE_STOP:
		run = runner_find(&keeper.runner, message->id);
		if (run != NULL)
			runner_stop(run, (enum journal_reason)message->reason);
		break;
	case WIRE_QUIT:
		keeper.quit = true;
		for (run = keeper.runner.runs; run != NULL; run = run->next)
			runner_stop(run, REASON_DRAIN);
		break;
	default:
		break;
	}
}

/* Obeys everything that has come. A server that died has its last words obeyed too. */
static void listen_to_server(void)
{
	static _Alignas(struct wire_message) char buffer[WIRE_LIMIT];

	while (keeper.connection >= 0) {
		int descriptor;
		int n = wire_recv(keeper.connection, buffer, sizeof(buffer), &descriptor);

		if (n < (int)sizeof(struct wire_message)) {
			start_all();
			if (!wire_is_passing(n))
				drop_connection();
			return;
		}
		obey((const struct wire_message *)(void *)buffer, (size_t)n, descriptor);
	}
}

static void accept_server(void)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		log_event("keeper_refused", "why=\"peer of another user\"");
		close(fd);
		return;
	}
	if (keeper.connection >= 0) {
		listen_to_server();
		if (keeper.connection >= 0)
			drop_connection();
	}
	keeper.connection = fd;
	keeper.server_is_parent = peer.pid == getppid();
	if (runner_watch(&keeper.runner, fd, NULL, SOURCE_CONNECTION) < 0)
		drop_connection(); /* it tries again */
}

/* Writes what is held and rings for it, unless that was done a moment ago. A full socket means that
 * rings are waiting already. Returns the ns until it is time again, or -1 when nothing is held. */
static int64_t ring(void)
{
	const struct wire_message message = { .type = WIRE_RING };
	int64_t now;
	int r = 0;

	if (keeper.journal.n_held == 0 && !keeper.ring)
		return -1;
	now = brood_now();
	if (!keeper.urgent && keeper.runner.n > BUSY && now - keeper.rang_at < RING_NS &&
	    keeper.journal.n_held < JOURNAL_HELD / 2)
		return RING_NS - (now - keeper.rang_at);
	if (flush() < 0)
		return BROOD_SEC;
	keeper.rang_at = now;
	if (keeper.connection >= 0)
		r = wire_send(keeper.connection, &message, sizeof(message), -1);
	keeper.ring = r < 0 && r != -EAGAIN; /* without memory for it, say */
	keeper.urgent = keeper.ring;
	return keeper.ring ? AGAIN_NS : -1;
}

/* --- the loop ----------------------------------------------------------------------------- */

static void handle(const struct epoll_event *event)
{
	const int source = (int)(event->data.u64 & 7);
	struct signalfd_siginfo drained[4]; /* equal signals are one; more come in the next turn */

	if (source < RUN_SOURCES)
		runner_handle(&keeper.runner, event);
	else if (source == SOURCE_LISTEN)
		accept_server();
	else if (source == SOURCE_CONNECTION)
		listen_to_server();
	else if (read(keeper.child_signals, drained, sizeof(drained)) > 0)
		runner_look(&keeper.runner);
}

/* Five descriptors a job: the usual soft limit is for programs that use select(2). */
static int raise_descriptor_limit(void)
{
	struct rlimit all;

	if (getrlimit(RLIMIT_NOFILE, &keeper.files) < 0)
		return -errno;
	all = (struct rlimit){ keeper.files.rlim_max, keeper.files.rlim_max };
	return setrlimit(RLIMIT_NOFILE, &all) < 0 ? -errno : 0;
}

static int set_up(void)
{
	sigset_t all, children;
	int r;

	keeper.connection = CONNECTION_FD;
	keeper.server_is_parent = true;
	keeper.starts_end = &keeper.starts;
	keeper.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (keeper.epoll < 0)
		return -errno;
	for (int fd = STATE_FD; fd <= CONNECTION_FD; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
	if (fcntl(CONNECTION_FD, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(LISTEN_FD, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = raise_descriptor_limit();
	if (r == 0)
		r = journal_open(&keeper.journal, STATE_FD);
	if (r < 0)
		return r;
	prctl(PR_SET_NAME, "brood-keeper");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	keeper.marks = mark_possible();
	keeper.runner.record = record_end;
	keeper.runner.all_are_ours = true;
	if (runner_open(&keeper.runner, keeper.epoll, STATE_FD) < 0)
		log_event("keeper_warning",
			  "why=\"no list of children in /proc: what a job abandons outside of "
			  "its process group is not found\"");
	/* Signals are for the server to act on; a terminal's are for its own process group. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	keeper.child_signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	if (keeper.child_signals < 0)
		return -errno;
	r = runner_watch(&keeper.runner, LISTEN_FD, NULL, SOURCE_LISTEN);
	if (r == 0)
		r = runner_watch(&keeper.runner, CONNECTION_FD, NULL, SOURCE_CONNECTION);
	if (r == 0)
		r = runner_watch(&keeper.runner, keeper.child_signals, NULL, SOURCE_CHILDREN);
	return r;
}

/* How long to sleep, in ms for epoll, rounded up; -1 without limit. */
static int as_timeout(int64_t left, int64_t ring_in)
{
	if (ring_in >= 0 && (left < 0 || ring_in < left))
		left = ring_in;
	if (keeper.connection < 0 && keeper.runner.runs == NULL && (left < 0 || left > BROOD_SEC))
		left = BROOD_SEC; /* nobody here: look again */
	if (left > 100 * BROOD_SEC)
		left = 100 * BROOD_SEC;
	return left < 0 ? -1 : (int)((left + BROOD_MSEC - 1) / BROOD_MSEC);
}

static bool is_over(void)
{
	if (keeper.runner.runs != NULL || keeper.journal.n_held > 0)
		return false;
	return keeper.quit || (keeper.connection < 0 && brood_now() - keeper.idle_since > IDLE_NS);
}

int keeper_main(void)
{
	struct epoll_event events[64];
	int r = set_up();

	if (r < 0) {
		log_event("keeper_failed", "error=\"%s\"", strerror(-r));
		return 1;
	}
	while (!is_over()) {
		int64_t left = runner_check(&keeper.runner), ring_in = ring();
		int n;

		if (keeper.journal.n_held == 0)
			runner_forget(&keeper.runner);
		if (is_over())
			break;
		n = epoll_wait(keeper.epoll, events, sizeof(events) / sizeof(events[0]),
			       as_timeout(left, ring_in));
		for (int i = 0; i < n; i++)
			handle(&events[i]);
	}
	return 0;
}
