/* Lines of processes. Where they go is two words, level and channel, that no lock guards: whoever writes a line is killed, interrupted,
 * or forked away from its threads at any point of it, and nobody waits for it.
 *
 * The channel is a SOCK_SEQPACKET pair: a line is one message of it, which the kernel has whole or not at all. Its writing end is
 * known by number and inode, since a program that closes all descriptors, as daemons do, does not ask whose they are.
 *
 * The number must not come to be another's between the look and the send. So whoever uses it is counted, and who closes it waits until
 * nobody is: a moment, since nothing that blocks, and no cancellation point, lies in between. A fork keeps of those who use it
 * only the thread that forks, which does not, so that the count is this process's or none. */
#include "proc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <brood/process.h>

#include "base/cleanup.h"
#include "base/together.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/self.h"
#include "os/socket.h"

#define LINE 1024
#define ROOM (1 << 20) /* for lines that were not read yet; the kernel may give less */

_Static_assert(sizeof(((brood_log_record *)NULL)->process) == BROOD_PROCESS_NAME_MOST + 1,
	       "a whole name");

struct channel {
	int fd; /* -1: there is none, lines go to stderr */
	uint64_t inode;
};

struct brood_log_reader {
	uint64_t generation; /* of the process that has made it */
	int reads, writes;
	struct channel before;
};

BRI_TOGETHER static _Atomic(int) least;  /* 0: nothing is written */
BRI_TOGETHER static _Atomic(int) writes; /* 1 + the channel's writing end; 0: lines go to stderr */
BRI_TOGETHER static _Atomic(int) reads;  /* 1 + the reading end, if this process has the reader */
static _Atomic(uint64_t) owner;          /* the generation that `reads` is of */
static _Atomic(uint64_t) inode;          /* of the writing end */
static _Atomic(uint64_t) users; /* of the channel, COUNT of it; above, the generation they are of */

#define COUNT_BITS 16
#define COUNT ((UINT64_C(1) << COUNT_BITS) - 1)

/* ---- the channel */

static uint64_t use(void)
{
	uint64_t own = bri_self_generation() << COUNT_BITS, seen = atomic_load(&users);

	while (!atomic_compare_exchange_weak(&users, &seen,
					     (seen & ~COUNT) == own ? seen + 1 : own + 1))
		;
	return own;
}

/* Of a handler that forked, the child is another generation. */
static void leave(uint64_t own)
{
	uint64_t seen = atomic_load(&users);

	while ((seen & ~COUNT) == own && (seen & COUNT) > 0 &&
	       !atomic_compare_exchange_weak(&users, &seen, seen - 1))
		;
}

static void await_users(void)
{
	uint64_t own = bri_self_generation() << COUNT_BITS, seen;

	while (seen = atomic_load(&users), (seen & ~COUNT) == own && (seen & COUNT) > 0)
		sched_yield();
}

static bool is_socket(int fd, uint64_t *ret_inode)
{
	struct stat status;

	if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	*ret_inode = status.st_ino;
	return true;
}

/* For who uses it: -1 when there is none, or when the program has closed it. */
static int writing_end(void)
{
	int fd = atomic_load(&writes) - 1;
	uint64_t is;

	return fd >= 0 && is_socket(fd, &is) && is == atomic_load(&inode) ? fd : -1;
}

static struct channel set_channel(struct channel to)
{
	struct channel was = { .inode = atomic_load(&inode) };

	atomic_store(&inode, to.inode);
	was.fd = atomic_exchange(&writes, to.fd + 1) - 1;
	return was;
}

int bri_log_channel(int *ret_fd)
{
	uint64_t own;
	int fd, r = 0;

	*ret_fd = -1;
	if (atomic_load(&writes) == 0)
		return 0;
	own = use();
	fd = writing_end();
	if (fd >= 0) {
		*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = *ret_fd < 0 ? -errno : 0;
	}
	leave(own);
	return r;
}

void bri_log_inherit(int level, int fd)
{
	struct channel to = { .fd = fd };

	if (fd >= 0 && is_socket(fd, &to.inode))
		set_channel(to);
	atomic_store(&least, level);
}

void bri_log_enter(void)
{
	int fd = atomic_exchange(&reads, 0) - 1;

	if (fd >= 0)
		close(fd);
}

/* Whether the line is on its way. */
static bool send_to_reader(const brood_log_record *record)
{
	size_t size = offsetof(brood_log_record, text) + strlen(record->text) + 1;
	uint64_t own = use();
	int fd = writing_end();
	bool sent = fd >= 0 && syscall(SYS_sendto, fd, record, size, MSG_DONTWAIT | MSG_NOSIGNAL,
				       NULL, 0) == (long)size;

	leave(own);
	return sent;
}

/* ---- levels */

int brood_log_to_stderr(int level)
{
	atomic_store(&writes, 0);
	return atomic_exchange(&least, level);
}

int bri_log_level(void)
{
	return atomic_load(&least);
}

static const char *name_of(int level, char *buf, size_t size)
{
	switch (level) {
	case BROOD_LOG_SUBDEBUG:
		return "SUBDEBUG";
	case BROOD_LOG_DEBUG:
		return "DEBUG";
	case BROOD_LOG_INFO:
		return "INFO";
	case BROOD_LOG_SUBWARNING:
		return "SUBWARNING";
	case BROOD_LOG_WARNING:
		return "WARNING";
	case BROOD_LOG_ERROR:
		return "ERROR";
	case BROOD_LOG_CRITICAL:
		return "CRITICAL";
	default:
		snprintf(buf, size, "Level %d", level);
		return buf;
	}
}

/* ---- lines */

static int64_t now_real(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * BROOD_SEC + now.tv_nsec;
}

int brood_log_line(const brood_log_record *record, char *buf, size_t size)
{
	char number[32];

	if (record == NULL || (buf == NULL && size > 0))
		return -EINVAL;
	return snprintf(buf, size, "[%s/%s] %s", name_of(record->level, number, sizeof(number)),
			record->process, record->text);
}

/* What does not fit is cut, and ends as a line all the same. */
static int write_line(char line[LINE], int n)
{
	ssize_t r;

	if (n >= LINE - 1)
		n = LINE - 2;
	line[n++] = '\n';
	r = bri_write_quietly(STDERR_FILENO, line, (size_t)n);
	return r < 0 ? (int)r : 0;
}

static void own_name(char name[BROOD_PROCESS_NAME_MOST + 1])
{
	brood_process *self = brood_current_process();

	name[0] = '\0';
	if (self != NULL)
		brood_process_name(self, name, BROOD_PROCESS_NAME_MOST + 1);
}

static __attribute__((noinline, format(printf, 2, 0))) int log_it(int level, const char *format,
								  va_list args)
{
	brood_log_record record = { .level = level };
	char line[LINE];

	if (vsnprintf(record.text, sizeof(record.text), format, args) < 0)
		return -EINVAL;
	own_name(record.process);
	if (atomic_load(&writes) != 0) {
		record.pid = getpid();
		record.at_ns = now_real();
		if (send_to_reader(&record))
			return 0;
	}
	return write_line(line, brood_log_line(&record, line, sizeof(line)));
}

/* Where nothing is written, the memory for a line is not touched either: in a new process that would be a page. */
int brood_log(int level, const char *format, ...)
{
	int least_now = atomic_load(&least), r;
	va_list args;

	if (least_now == 0 || level < least_now)
		return 0;
	va_start(args, format);
	r = log_it(level, format, args);
	va_end(args);
	return r;
}

void bri_log_failure(const char *text)
{
	char line[LINE], name[BROOD_PROCESS_NAME_MOST + 1];

	own_name(name);
	(void)write_line(line, snprintf(line, sizeof(line), "Process %s: %s", name, text));
}

/* ---- the reader */

int brood_log_to_reader(int level, brood_log_reader **ret_reader)
{
	bri_cleanup(bri_closep) int ours = -1, theirs = -1;
	brood_log_reader *reader;
	struct channel to;
	int none = 0, r;

	if (ret_reader == NULL)
		return -EINVAL;
	r = bri_socketpair(&ours, &theirs);
	if (r < 0)
		return r;
	(void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &(int){ ROOM }, sizeof(int));
	/* Only the first who comes here in this process: what there is then was forked away from another. */
	if (atomic_exchange(&owner, bri_self_generation()) != bri_self_generation())
		bri_log_enter();
	reader = malloc(sizeof(*reader));
	to.fd = theirs;
	if (reader == NULL || !is_socket(theirs, &to.inode)) {
		free(reader);
		return -ENOMEM;
	}
	if (!atomic_compare_exchange_strong(&reads, &none, ours + 1)) {
		free(reader);
		return -EALREADY;
	}
	reader->generation = bri_self_generation();
	reader->reads = bri_take_fd(&ours);
	reader->writes = bri_take_fd(&theirs);
	reader->before = set_channel(to);
	atomic_store(&least, level);
	*ret_reader = reader;
	return 0;
}

static int check(const brood_log_reader *reader)
{
	if (reader == NULL)
		return -EINVAL;
	return bri_self_is(reader->generation) || bri_self_generation() == reader->generation ?
		       0 :
		       -ECHILD;
}

/* What comes is ours to check, since every process of the family can write it. */
static int receive(int fd, brood_log_record *ret_record)
{
	const ssize_t least_size = (ssize_t)offsetof(brood_log_record, text) + 1;
	ssize_t n = recv(fd, ret_record, sizeof(*ret_record), MSG_DONTWAIT | MSG_TRUNC);

	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	if (n < least_size || n > (ssize_t)sizeof(*ret_record) ||
	    ((const char *)ret_record)[n - 1] != '\0')
		return -EINTR; /* the next one, then */
	ret_record->process[sizeof(ret_record->process) - 1] = '\0';
	return 0;
}

int brood_log_read(brood_log_reader *reader, int64_t timeout_ns, brood_log_record *ret_record)
{
	int64_t deadline = bri_deadline(timeout_ns);
	int r = check(reader);

	if (r == 0 && ret_record == NULL)
		r = -EINVAL;
	while (r == 0) {
		r = receive(reader->reads, ret_record);
		if (r == 0)
			return 0;
		if (r == -EAGAIN)
			r = bri_wait_readable(reader->reads, deadline);
		else if (r == -EINTR)
			r = 0;
	}
	return r;
}

int brood_log_reader_fd(const brood_log_reader *reader)
{
	int r = check(reader);

	return r < 0 ? r : reader->reads;
}

brood_log_reader *brood_log_reader_free(brood_log_reader *reader)
{
	int ours;

	if (reader == NULL)
		return NULL;
	if (check(reader) == 0) {
		ours = reader->writes + 1;
		/* Else they go elsewhere already. */
		if (atomic_compare_exchange_strong(&writes, &ours, reader->before.fd + 1))
			atomic_store(&inode, reader->before.inode);
		await_users();
		atomic_store(&reads, 0);
		bri_closep(&reader->reads);
		bri_closep(&reader->writes);
	} else if (atomic_load(&owner) == reader->generation) {
		bri_log_enter(); /* the writing end stays: lines go to the parent's */
	}
	free(reader);
	return NULL;
}
