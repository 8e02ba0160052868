/* Invariants.
 *
 * 1. A job is in `jobs` from before its BEGIN record until its END (or FAIL) record is written.
 * 2. BEGIN is in the journal before the program can run; END before the job is forgotten. Records are
 *    held back for RING_NS at the most, so that a busy keeper writes and rings once for many.
 * 3. After END no process of the job is alive: the keeper is the subreaper of all it starts, so
 *    what a job abandons becomes a child of ours and is known by its mark (serve/mark.h). A child
 *    of ours that is neither a running job's program nor marked as a running job's is killed.
 *    (Out of reach: set-uid programs when we are not root; the wait for them is bounded.)
 * 4. A job's pipes are read until they are empty at its end, never "to the end": a descendant
 *    that holds them cannot hold us.
 * 5. Nothing here waits: sockets and pipes are non-blocking, files are local. */
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
#include "serve/wire.h"

#define STATE_FD 3
#define LISTEN_FD 4
#define CONNECTION_FD 5
#define IDLE_NS (10 * BROOD_SEC) /* without server and jobs, then we go */
#define BURY_NS (5 * BROOD_SEC)  /* for descendants that were killed and are not gone */
#define BUSY 4                   /* jobs that mean load: then … */
/* … between two rings, so that the server is not woken for each record */
#define RING_NS (BROOD_MSEC)

enum source {
	SOURCE_LISTEN,
	SOURCE_CONNECTION,
	SOURCE_CHILDREN,
	SOURCE_PROGRAM,
	SOURCE_OUT,
	SOURCE_ERR
};

struct job {
	struct job *next;
	uint64_t id;
	brood_child *child;
	pid_t pid;
	int pipes[2]; /* read ends of stdout and stderr; -1: closed */
	int files[2]; /* -1: nothing was written yet */
	int64_t bytes[2];
	bool truncated[2];
	bool input_file, urgent;
	int64_t output_limit, kill_grace_ns;
	int64_t deadline;      /* of its time; BROOD_FOREVER: none */
	int64_t kill_deadline; /* after a terminate; 0: not yet asked to end */
	enum journal_reason reason;
	bool ended; /* the program is reaped, its descendants are not gone */
	brood_exit end;
	int64_t bury_deadline;
	bool done; /* END is written; freed at the end of the turn */
};

static struct keeper {
	int epoll, connection;
	int children_file; /* the kernel's list of our children; -1: it has none */
	int child_signals; /* signalfd of SIGCHLD */
	bool marks, quit;
	struct job *jobs;
	size_t n_jobs;
	int64_t idle_since;
	bool ring;   /* the journal has news that were not rung for */
	bool urgent; /* … that somebody waits for */
	int64_t rang_at;
	struct journal_writer journal;
	struct start *starts, **starts_end; /* received, not begun */
} keeper;

/* What epoll gives back: the source in the low bits of a job's address, which is aligned. */
static void watch(int fd, struct job *job, enum source source)
{
	struct epoll_event event = { .events = EPOLLIN,
				     .data.u64 = (uintptr_t)job | (uint64_t)source };

	if (epoll_ctl(keeper.epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		log_event("keeper_fault", "what=epoll_ctl errno=%d", errno);
}

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

/* --- output ------------------------------------------------------------------------------- */

static void keep_output(struct job *job, int which, const char *data, size_t size)
{
	int64_t room = job->output_limit - job->bytes[which];
	size_t take = size;

	if (room < (int64_t)size) {
		take = room > 0 ? (size_t)room : 0;
		job->truncated[which] = true;
	}
	if (take > 0 && job->files[which] < 0)
		job->files[which] = output_create(STATE_FD, job->id, which);
	while (take > 0) {
		ssize_t n = job->files[which] < 0 ? -1 : write(job->files[which], data, take);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) { /* no space, no file: the job goes on, its output is marked */
			job->truncated[which] = true;
			return;
		}
		job->bytes[which] += n;
		data += n;
		take -= (size_t)n;
	}
}

/* Reads what is there, at most `turns` buffers, so that one loud job does not starve the rest. */
static void drain(struct job *job, int which, int turns)
{
	static char buffer[64 << 10];

	while (job->pipes[which] >= 0 && turns-- > 0) {
		ssize_t n = read(job->pipes[which], buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(job->pipes[which]);
			job->pipes[which] = -1;
			return;
		}
		keep_output(job, which, buffer, (size_t)n);
		if ((size_t)n < sizeof(buffer))
			return; /* a pipe gives all it has */
	}
}

/* --- descendants -------------------------------------------------------------------------- */

static struct job *job_by_id(uint64_t id)
{
	struct job *job = keeper.jobs;

	while (job != NULL && (job->id != id || job->done))
		job = job->next;
	return job;
}

static struct job *job_by_pid(pid_t pid)
{
	struct job *job = keeper.jobs;

	while (job != NULL && (job->pid != pid || job->ended || job->done))
		job = job->next;
	return job;
}

/* Our direct children, from the kernel's list (/proc/PID/task/TID/children). */
static size_t list_children(pid_t *pids, size_t room)
{
	static char text[64 << 10];
	char *at = text, *end;
	ssize_t size = keeper.children_file < 0 ?
			       0 :
			       pread(keeper.children_file, text, sizeof(text) - 1, 0);
	size_t n = 0;

	if (size <= 0)
		return 0;
	text[size] = '\0';
	while (n < room) {
		long pid = strtol(at, &end, 10);

		/* the last word may be cut; each is followed by a space */
		if (end == at || *end == '\0')
			break;
		pids[n++] = (pid_t)pid;
		at = end;
	}
	return n;
}

/* Kills every child of ours that belongs to no running job (invariant 3). Returns whether one of
 * them was marked as `id`. */
static bool sweep(uint64_t id)
{
	static pid_t pids[8192];
	size_t n = list_children(pids, sizeof(pids) / sizeof(pids[0]));
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		const struct job *owner;
		uint64_t mark;

		if (job_by_pid(pids[i]) != NULL)
			continue;
		mark = mark_of(pids[i]);
		owner = job_by_id(mark);
		if (owner != NULL && !owner->ended)
			continue;       /* of a job that runs: left alone until its end */
		kill(pids[i], SIGKILL); /* a child of ours: its number is not recycled */
		found = found || mark == id;
	}
	return found;
}

/* --- a job's end -------------------------------------------------------------------------- */

static void close_job_files(struct job *job)
{
	for (int i = 0; i < 2; i++) {
		if (job->pipes[i] >= 0)
			close(job->pipes[i]);
		if (job->files[i] >= 0)
			close(job->files[i]);
		job->pipes[i] = job->files[i] = -1;
	}
	if (job->input_file)
		output_remove_input(STATE_FD, job->id);
}

/* Writes END; the job is forgotten only when the journal has it. */
static void finish(struct job *job)
{
	struct journal_record record = { .type = JOURNAL_END };

	record.end.kind = (int)job->end.kind;
	record.end.value = job->end.value;
	record.end.core = job->end.core;
	record.end.reason = job->reason;
	record.end.run_ms = (job->end.ended_ns - job->end.started_ns) / BROOD_MSEC;
	record.end.user_ms = job->end.user_ns / BROOD_MSEC;
	record.end.system_ms = job->end.system_ns / BROOD_MSEC;
	record.end.max_rss_bytes = job->end.max_rss_bytes;
	for (int i = 0; i < 2; i++) {
		record.end.bytes[i] = job->bytes[i];
		record.end.truncated[i] = job->truncated[i];
	}
	if (journal_add(&keeper.journal, &record, job->id, JOURNAL_END) < 0)
		return; /* check_deadlines() comes back to it */
	keeper.urgent = keeper.urgent || job->urgent;
	close_job_files(job);
	job->done = true;
}

/* The program has ended: kill what is left of it, take the rest of its output, then its record. */
static void program_ended(struct job *job)
{
	brood_child_kill(job->child); /* its group, before the reaping sets the number free */
	for (int i = 0; i < 2; i++)
		drain(job, i, 1 << 20);
	brood_child_wait(job->child, 0, &job->end);
	job->child = brood_child_free(job->child);
	job->ended = true;
	job->bury_deadline = brood_now() + BURY_NS;
	if (!sweep(job->id))
		finish(job);
}

/* Buries abandoned children; a running job's program met here is ended the proper way. */
static void reap_children(void)
{
	siginfo_t info;

	for (;;) {
		struct job *job;

		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			break;
		job = job_by_pid(info.si_pid);
		if (job != NULL)
			program_ended(job);
		else
			waitpid(info.si_pid, NULL, WNOHANG);
	}
	for (struct job *job = keeper.jobs; job != NULL; job = job->next)
		if (job->ended && !job->done && !sweep(job->id))
			finish(job);
}

/* --- a job's start ------------------------------------------------------------------------ */

static void write_failure(uint64_t id, const brood_fail *fail)
{
	struct journal_record record = { .fail = { .error = fail->error } };

	snprintf(record.fail.step, sizeof(record.fail.step), "%s", fail->step);
	snprintf(record.fail.text, sizeof(record.fail.text), "%.*s",
		 (int)sizeof(record.fail.text) - 1, fail->text);
	if (journal_add(&keeper.journal, &record, id, JOURNAL_FAIL) < 0)
		log_event("keeper_fault", "what=journal");
}

static void fail_job(struct job *job, const brood_fail *fail)
{
	close_job_files(job);
	write_failure(job->id, fail);
	job->done = true;
}

/* What the program reads or is told. Returns 0, or -errno with `fail` filled. */
static int prepare_input(struct job *job, enum input input, int body, char *path, size_t size,
			 char **ret_text, brood_fail *fail)
{
	struct stat st;
	int r = 0;

	if (input == INPUT_FILE) {
		job->input_file = true;
		r = output_write_input(STATE_FD, job->id, body, path, size);
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

static int run_program(struct job *job, const struct wire_message *start, const char **argv,
		       const char **env, const char *const *place, int body, brood_fail *fail)
{
	const brood_rlimit mark = { RLIMIT_RTTIME, job->id, job->id };
	char input_path[4096] = "BROOD_INPUT=", id_text[ID_SIZE], id_entry[32];
	char *text = NULL;
	size_t n_env = start->n_env, n_argv = start->n_argv;
	brood_spawn_opts opts = {
		.executable = place[1],
		.env = env,
		.cwd = place[0],
		.in = { .kind = start->input == INPUT_STDIN ? BROOD_STDIO_FD : BROOD_STDIO_NULL,
			.fd = body },
		.out = { .kind = BROOD_STDIO_PIPE },
		.err = { .kind = BROOD_STDIO_PIPE },
		.group = BROOD_GROUP_SESSION,
		.rlimits = &mark,
		.n_rlimits = keeper.marks,
		.fail = fail,
	};
	int r;

	r = prepare_input(job, (enum input)start->input, body, input_path + strlen(input_path),
			  sizeof(input_path) - strlen(input_path), &text, fail);
	if (r < 0) {
		free(text);
		return r;
	}
	snprintf(id_entry, sizeof(id_entry), "BROOD_JOB_ID=%s", id_format(job->id, id_text));
	env[n_env++] = id_entry;
	if (start->input == INPUT_FILE)
		env[n_env++] = input_path;
	env[n_env] = NULL;
	if (text != NULL)
		argv[n_argv++] = text;
	argv[n_argv] = NULL;
	r = brood_spawn(argv, &opts, &job->child);
	free(text);
	return r;
}

static void job_started(struct job *job)
{
	struct journal_record record = { .start = { .pid = brood_child_pid(job->child) } };

	job->pid = brood_child_pid(job->child);
	for (int i = 0; i < 2; i++) {
		job->pipes[i] = brood_child_take_stream(job->child, i + 1);
		fcntl(job->pipes[i], F_SETFL, O_NONBLOCK);
		watch(job->pipes[i], job, i == 0 ? SOURCE_OUT : SOURCE_ERR);
	}
	watch(brood_child_pidfd(job->child), job, SOURCE_PROGRAM);
	if (journal_add(&keeper.journal, &record, job->id, JOURNAL_START) < 0)
		log_event("keeper_fault", "what=journal");
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

/* A START as it came, until all that came with it is read: then one write begins them all. */
struct start {
	struct start *next;
	struct job *job;
	int body;
	size_t size;
	struct wire_message message; /* its words follow */
};

static void start_add(const struct wire_message *message, size_t size, int body)
{
	struct journal_record begin = { .type = JOURNAL_BEGIN };
	struct start *start = malloc(offsetof(struct start, message) + size);
	struct job *job = calloc(1, sizeof(*job));

	if (start == NULL || job == NULL ||
	    journal_add(&keeper.journal, &begin, message->id, JOURNAL_BEGIN) < 0) {
		write_failure(message->id, &(brood_fail){ .step = "memory", .error = ENOMEM });
		free(start);
		free(job);
		if (body >= 0)
			close(body);
		return;
	}
	*job = (struct job){
		.next = keeper.jobs,
		.id = message->id,
		.pipes = { -1, -1 },
		.files = { -1, -1 },
		.urgent = message->urgent != 0,
		.output_limit = message->output_limit,
		.kill_grace_ns = message->kill_grace_ns,
		.deadline = BROOD_FOREVER,
	};
	keeper.jobs = job;
	keeper.n_jobs++;
	*start = (struct start){ .next = NULL, .job = job, .body = body, .size = size };
	memcpy(&start->message, message, size);
	*keeper.starts_end = start;
	keeper.starts_end = &start->next;
}

static void start_run(const struct start *start, int begun)
{
	const struct wire_message *message = &start->message;
	const char **words = NULL, *place[3];
	brood_fail fail = { .step = "memory", .error = ENOMEM };
	struct job *job = start->job;
	int r;

	r = unpack(message, (const char *)message + start->size, &words, place);
	if (r == 0 && begun < 0) {
		fail = (brood_fail){ .step = "journal", .error = -begun };
		r = begun;
	}
	if (r == 0)
		r = run_program(job, message, words, words + message->n_argv + 2, place,
				start->body, &fail);
	free(words);
	if (r < 0) {
		fail_job(job, &fail);
		return;
	}
	if (message->timeout_ns > 0)
		job->deadline = brood_now() + message->timeout_ns;
	job_started(job);
}

/* Begins and starts all that has been received. */
static void start_all(void)
{
	struct start *start = keeper.starts, *next;
	int begun;

	if (start == NULL)
		return;
	keeper.starts = NULL;
	keeper.starts_end = &keeper.starts;
	begun = flush();
	for (; start != NULL; start = next) {
		next = start->next;
		start_run(start, begun);
		if (start->body >= 0)
			close(start->body);
		free(start);
	}
}

/* --- stopping ----------------------------------------------------------------------------- */

/* The ladder's first rung; the second is taken by check_deadlines(). */
static void stop_job(struct job *job, enum journal_reason reason)
{
	if (job->done || job->ended || job->kill_deadline != 0)
		return;
	job->reason = reason;
	job->kill_deadline = brood_now() + job->kill_grace_ns;
	if (job->kill_grace_ns > 0)
		brood_child_terminate(job->child);
	else
		brood_child_kill(job->child);
}

/* Descendants that will not die (set-uid, in an uninterruptible wait) cannot hold the job for ever. */
static bool bury_is_over(const struct job *job, int64_t now)
{
	char id[ID_SIZE];

	if (now < job->bury_deadline)
		return false;
	log_event("escaped", "id=%s why=\"descendants could not be killed\"",
		  id_format(job->id, id));
	return true;
}

/* Acts on what is due; returns the ns until the next deadline, or -1. */
static int64_t check_deadlines(void)
{
	int64_t now = brood_now(), next = BROOD_FOREVER;

	for (struct job *job = keeper.jobs; job != NULL; job = job->next) {
		int64_t due = BROOD_FOREVER;

		if (job->done)
			continue;
		if (job->ended) {
			if (!sweep(job->id) || bury_is_over(job, now))
				finish(job);
			due = now + 20 * BROOD_MSEC; /* look again: what was forked meanwhile */
		} else if (job->kill_deadline != 0) {
			if (job->kill_deadline <= now) {
				brood_child_kill(job->child);
				/* and again, should it not go */
				job->kill_deadline = now + BROOD_SEC;
			}
			due = job->kill_deadline;
		} else {
			if (job->deadline <= now)
				stop_job(job, REASON_TIMEOUT);
			due = job->kill_deadline != 0 ? job->kill_deadline : job->deadline;
		}
		next = due < next ? due : next;
	}
	return next == BROOD_FOREVER ? -1 : next > now ? next - now : 0;
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
	for (const struct job *job = keeper.jobs; job != NULL && n < WIRE_IDS; job = job->next)
		if (!job->done)
			welcome.ids[n++] = job->id;
	wire_send(keeper.connection, &welcome, sizeof(welcome.message) + n * sizeof(welcome.ids[0]),
		  -1);
}

/* Does what a message says. The descriptor that came with it is a START's, if anything's. */
static void obey(const struct wire_message *message, size_t size, int descriptor)
{
	struct job *job;

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
		job = job_by_id(message->id);
		if (job != NULL)
			stop_job(job, (enum journal_reason)message->reason);
		break;
	case WIRE_QUIT:
		keeper.quit = true;
		for (job = keeper.jobs; job != NULL; job = job->next)
			stop_job(job, REASON_DRAIN);
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
			if (n != -EAGAIN)
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
	watch(fd, NULL, SOURCE_CONNECTION);
}

/* Writes what is held and rings for it, unless that was done a moment ago. A full socket means that
 * rings are waiting already. Returns the ns until it is time again, or -1 when nothing is held. */
static int64_t ring(void)
{
	const struct wire_message message = { .type = WIRE_RING };
	int64_t now;

	if (keeper.journal.n_held == 0 && !keeper.ring)
		return -1;
	now = brood_now();
	if (!keeper.urgent && keeper.n_jobs > BUSY && now - keeper.rang_at < RING_NS &&
	    keeper.journal.n_held < JOURNAL_HELD / 2)
		return RING_NS - (now - keeper.rang_at);
	if (flush() < 0)
		return BROOD_SEC;
	if (keeper.connection >= 0)
		wire_send(keeper.connection, &message, sizeof(message), -1);
	keeper.rang_at = now;
	keeper.ring = keeper.urgent = false;
	return -1;
}

/* --- the loop ----------------------------------------------------------------------------- */

static void handle(const struct epoll_event *event)
{
	struct job *job = (struct job *)(uintptr_t)(event->data.u64 & ~UINT64_C(7));
	struct signalfd_siginfo drained[4]; /* equal signals are one; more come in the next turn */

	switch ((enum source)(event->data.u64 & 7)) {
	case SOURCE_LISTEN:
		accept_server();
		break;
	case SOURCE_CONNECTION:
		listen_to_server();
		break;
	case SOURCE_CHILDREN:
		if (read(keeper.child_signals, drained, sizeof(drained)) > 0)
			reap_children();
		break;
	case SOURCE_PROGRAM:
		if (!job->ended && !job->done)
			program_ended(job);
		break;
	case SOURCE_OUT:
	case SOURCE_ERR:
		if (!job->done)
			drain(job, (event->data.u64 & 7) == SOURCE_ERR, 4);
		break;
	}
}

/* Frees what is done and written, now that no event of this turn can name it. */
static void free_done(void)
{
	if (keeper.journal.n_held > 0)
		return;
	for (struct job **at = &keeper.jobs; *at != NULL;) {
		struct job *job = *at;

		if (!job->done) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		keeper.n_jobs--;
		free(job);
	}
}

static int set_up(void)
{
	sigset_t all, children;
	int r;

	keeper.connection = CONNECTION_FD;
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
	r = journal_open(&keeper.journal, STATE_FD);
	if (r < 0)
		return r;
	prctl(PR_SET_NAME, "brood-keeper");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	keeper.marks = mark_possible();
	keeper.children_file = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	if (keeper.children_file < 0)
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
	watch(LISTEN_FD, NULL, SOURCE_LISTEN);
	watch(CONNECTION_FD, NULL, SOURCE_CONNECTION);
	watch(keeper.child_signals, NULL, SOURCE_CHILDREN);
	return 0;
}

/* How long to sleep, in ms for epoll, rounded up; -1 without limit. */
static int as_timeout(int64_t left, int64_t ring_in)
{
	if (ring_in >= 0 && (left < 0 || ring_in < left))
		left = ring_in;
	if (keeper.connection < 0 && keeper.jobs == NULL && (left < 0 || left > BROOD_SEC))
		left = BROOD_SEC; /* nobody here: look again */
	if (left > 100 * BROOD_SEC)
		left = 100 * BROOD_SEC;
	return left < 0 ? -1 : (int)((left + BROOD_MSEC - 1) / BROOD_MSEC);
}

static bool is_over(void)
{
	if (keeper.jobs != NULL || keeper.journal.n_held > 0)
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
		int64_t left = check_deadlines(), ring_in = ring();
		int n;

		free_done();
		if (is_over())
			break;
		n = epoll_wait(keeper.epoll, events, sizeof(events) / sizeof(events[0]),
			       as_timeout(left, ring_in));
		for (int i = 0; i < n; i++)
			handle(&events[i]);
	}
	return 0;
}
