#include "proc/order.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "os/authkey.h"
#include "os/fd.h"
#include "os/self.h"
#include "os/socket.h"
#include "proc/log.h"
#include "proc/method.h"

/* The first things said, before anything that could differ between versions. */
struct hello {
	char magic[8];
	char version[24];
	struct bri_build_id library;
	uint64_t size;
	uint32_t n_fds; /* the memory itself not among them */
};

static const char magic[8] = "brood-o";

struct order {
	struct bri_function function;
	pid_t parent;
	uint32_t depth; /* the parent's */
	uint32_t ordinal;
	bool daemon, outlive;
	int32_t method, log_level;
	sigset_t mask;
	char own_name[BROOD_PROCESS_NAME_MOST + 1], name[BROOD_PROCESS_NAME_MOST + 1];
	char path[BROOD_PROCESS_DEPTH_MOST * 11 + 1];
	int32_t nice, group;
	pid_t join_group;
	uint64_t max_memory, n_rlimits, cpus_size;
	struct bri_authkey authkey;
};

/* What the first descriptors are; those of ancestors that have one follow, then the arguments'. */
enum { RECORD, PARENT, LIFELINE, FIRST_MORE };

struct answer {
	int32_t error; /* 0: all is well */
	char step[16], text[240];
};

_Atomic(bool) bri_is_waiting;

static struct bri_build_id own;
static brood_fail own_fail;

static void find_own(void)
{
	struct bri_function self;

	if (bri_function_name((const void *)(uintptr_t)bri_order_make, &self, &own_fail) == 0)
		own = self.id;
}

/* That of the library which this is in. */
static int own_id(struct bri_build_id *ret_id, brood_fail *fail)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_own);
	*ret_id = own;
	if (own_fail.error != 0 && fail != NULL)
		*fail = own_fail;
	return -own_fail.error;
}

void bri_order_prepare(void)
{
	struct bri_build_id id;

	(void)own_id(&id, NULL);
	bri_crash_prepare();
}

/* ---- the parent: making it */

static int make_list(const struct bri_order_facts *facts, const struct bri_packed *packed,
		     struct bri_order *order)
{
	const struct bri_identity *identity = facts->identity;

	order->fds = calloc(FIRST_MORE + identity->depth + packed->n_fds, sizeof(*order->fds));
	if (order->fds == NULL)
		return -ENOMEM;
	order->fds[RECORD] = facts->record;
	order->fds[PARENT] = facts->pidfd;
	order->fds[LIFELINE] = facts->lifeline;
	order->n_fds = FIRST_MORE;
	for (unsigned i = 0; i < identity->depth; i++)
		if (identity->line[i].pidfd >= 0)
			order->fds[order->n_fds++] = identity->line[i].pidfd;
	for (size_t i = 0; i < packed->n_fds; i++)
		order->fds[order->n_fds++] = packed->fds[i];
	return 0;
}

/* Parts begin where any type may. */
#define ALIGN(size) (((size) + 7) & ~UINT64_C(7))

static int write_part(int fd, const void *data, size_t size, uint64_t *total)
{
	const char *at = data;
	off_t to = (off_t)*total;

	*total += ALIGN(size);
	while (size > 0) {
		ssize_t n = pwrite(fd, at, size, to);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? n : 0;
		to += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int write_order(int fd, const struct bri_order_facts *facts, const struct bri_packed *packed,
		       uint64_t *ret_size)
{
	const struct bri_settings *settings = facts->settings;
	const size_t line = (facts->identity->depth + 1) * sizeof(facts->identity->line[0]);
	const size_t limits = settings->n_rlimits * sizeof(*settings->rlimits);
	bri_cleanup(bri_freep) struct order *order = calloc(1, sizeof(*order));
	int r;

	if (order == NULL)
		return -ENOMEM;
	*order = (struct order){ .function = *facts->function,
				 .parent = facts->process->parent,
				 .depth = facts->identity->depth,
				 .ordinal = facts->ordinal,
				 .daemon = facts->process->daemon,
				 .outlive = facts->process->outlive,
				 .method = (int32_t)bri_method_set(),
				 .log_level = bri_log_level(),
				 .mask = *facts->mask,
				 .nice = settings->nice,
				 .group = (int32_t)settings->group,
				 .join_group = settings->join_group,
				 .max_memory = settings->max_memory,
				 .n_rlimits = settings->n_rlimits,
				 .cpus_size = settings->cpus_size };
	memcpy(order->own_name, facts->own_name, strlen(facts->own_name));
	memcpy(order->name, facts->process->name, sizeof(order->name));
	memcpy(order->path, facts->process->path, sizeof(order->path));
	bri_authkey_give(&order->authkey);
	*ret_size = 0;
	r = write_part(fd, order, sizeof(*order), ret_size);
	explicit_bzero(&order->authkey, sizeof(order->authkey));
	if (r == 0)
		r = write_part(fd, facts->identity->line, line, ret_size);
	if (r == 0)
		r = write_part(fd, settings->rlimits, limits, ret_size);
	if (r == 0)
		r = write_part(fd, settings->cpus, settings->cpus_size, ret_size);
	if (r == 0)
		r = write_part(fd, packed->data, packed->size, ret_size);
	/* The last one ends where it ends. Padding that nothing comes after is not written. */
	*ret_size -= ALIGN(packed->size) - packed->size;
	if (r == 0 && ftruncate(fd, (off_t)*ret_size) < 0)
		r = -errno;
	return r;
}

int bri_order_make(const struct bri_order_facts *facts, brood_fail *fail,
		   struct bri_order *ret_order)
{
	bri_cleanup(bri_packed_fini) struct bri_packed packed = { .data = NULL };
	bri_cleanup(bri_order_fini) struct bri_order order = { .memory = -1 };
	int r = bri_args_pack(facts->args, fail, &packed);

	if (r < 0)
		return r;
	r = make_list(facts, &packed, &order);
	if (r < 0)
		return bri_fail(fail, "memory", r, NULL);
	order.memory = memfd_create("brood-order", MFD_CLOEXEC);
	if (order.memory < 0)
		return bri_fail(fail, "memory", errno, "memfd");
	r = write_order(order.memory, facts, &packed, &order.size);
	if (r < 0)
		return bri_fail(fail, "memory", r, "memfd");
	*ret_order = order;
	order = (struct bri_order){ .memory = -1 };
	return 0;
}

void bri_order_fini(struct bri_order *order)
{
	bri_closep(&order->memory);
	free(order->fds);
	order->fds = NULL;
}

/* ---- the parent: giving it */

static int send_order(const struct bri_order *order, int channel, brood_fail *fail)
{
	struct hello hello = { .version = BROOD_VERSION,
			       .size = order->size,
			       .n_fds = (uint32_t)order->n_fds };
	int r = own_id(&hello.library, fail);

	if (r < 0)
		return r;
	memcpy(hello.magic, magic, sizeof(magic));
	r = bri_send_fds(channel, &hello, sizeof(hello), &order->memory, 1);
	for (size_t i = 0; r == 0 && i < order->n_fds; i += BRI_SOCKET_FDS) {
		size_t n = order->n_fds - i < BRI_SOCKET_FDS ? order->n_fds - i : BRI_SOCKET_FDS;

		r = bri_send_fds(channel, magic, 1, order->fds + i, n);
	}
	/* It is gone: what became of it is told by who waits for its answer. */
	if (r == -EPIPE)
		return 0;
	return r < 0 ? bri_fail(fail, "channel", r, NULL) : 0;
}

/* The step's word as a constant. */
static const char *step_named(const char *name)
{
	static const char *const steps[] = { "function", "args",    "nice",   "rlimit",
					     "cpus",     "setpgid", "setsid", "memory",
					     "name",     "version", "stdin" };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (strncmp(name, steps[i], sizeof(((struct answer *)NULL)->step)) == 0)
			return steps[i];
	return "channel";
}

/* Another process may have a copy of the child's end by then: that it has ended its pidfd tells. */
static int hear(int channel, const struct bri_process *from, struct answer *ret_answer)
{
	struct pollfd events[2] = { { .fd = channel, .events = POLLIN },
				    { .fd = from->pidfd, .events = POLLIN } };

	while (poll(events, 2, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return bri_recv(channel, ret_answer, sizeof(*ret_answer), MSG_DONTWAIT);
}

int bri_order_unheard(int r, brood_fail *fail)
{
	return bri_fail(fail, "channel", r == -EPIPE || r == -EAGAIN ? EPROTO : r,
			"the new process ended before its function; is brood_init() the first that "
			"main() calls?");
}

int bri_order_give(const struct bri_order *order, int channel, const struct bri_process *to,
		   brood_fail *fail)
{
	struct answer answer = { .error = 0 };
	int r = send_order(order, channel, fail);

	if (r < 0)
		return r;
	r = hear(channel, to, &answer);
	if (r < 0)
		return bri_fail(
			fail, "channel", r == -EPIPE || r == -EAGAIN ? EPROTO : r,
			"the new process ended before its function; is brood_init() the first "
			"that main() calls?");
	if (answer.error == 0)
		return 0;
	return bri_fail(fail, step_named(answer.step), answer.error, "%.*s",
			(int)sizeof(answer.text) - 1, answer.text);
}

/* ---- the child: taking it */

struct taken {
	struct order *order;
	const char *rest, *end; /* of the memory, behind the order */
	int *fds;
	size_t n_fds;
};

/* Says why there will be no function, and ends. */
static void refuse(int channel, const brood_fail *fail) __attribute__((noreturn));
static void refuse(int channel, const brood_fail *fail)
{
	struct answer answer = { .error = fail->error };

	snprintf(answer.step, sizeof(answer.step), "%s", fail->step);
	memcpy(answer.text, fail->text, sizeof(answer.text));
	if (bri_send(channel, &answer, sizeof(answer)) < 0)
		dprintf(STDERR_FILENO, "brood: %s: %s\n", fail->step, fail->text);
	_exit(1);
}

static int take_memory(int fd, uint64_t size, struct taken *taken, brood_fail *fail)
{
	size_t at = 0;
	char *data;

	if (size < ALIGN(sizeof(*taken->order)))
		return bri_fail(fail, "version", EBADMSG, "an order that is cut short");
	data = malloc(size);
	if (data == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	while (at < size) {
		ssize_t n = pread(fd, data + at, size - at, (off_t)at);

		if (n < 0 && errno != EINTR)
			return bri_fail(fail, "memory", errno, NULL);
		if (n == 0)
			return bri_fail(fail, "version", EBADMSG, "an order that is cut short");
		at += n > 0 ? (size_t)n : 0;
	}
	taken->order = (struct order *)(void *)data;
	taken->rest = data + ALIGN(sizeof(*taken->order));
	taken->end = data + size;
	return 0;
}

static int take_more(int channel, uint32_t n, struct taken *taken, brood_fail *fail)
{
	int fds[BRI_SOCKET_FDS], r;
	char byte;

	if (n < FIRST_MORE)
		return bri_fail(fail, "version", EBADMSG, "an order that is cut short");
	taken->fds = calloc(n, sizeof(*taken->fds));
	if (taken->fds == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	while (taken->n_fds < n) {
		r = bri_recv_fds(channel, &byte, 1, fds);
		if (r <= 0 || (size_t)r > n - taken->n_fds)
			return bri_fail(fail, "args", r < 0 ? r : EBADMSG, "descriptors");
		memcpy(taken->fds + taken->n_fds, fds, (size_t)r * sizeof(*fds));
		taken->n_fds += (size_t)r;
	}
	return 0;
}

static int take(int channel, struct taken *taken, brood_fail *fail)
{
	struct bri_build_id id;
	struct hello hello;
	int fds[BRI_SOCKET_FDS], r = bri_recv_fds(channel, &hello, sizeof(hello), fds);

	if (r == -EPIPE) /* it is gone, or has given up */
		_exit(1);
	if (r < 0)
		return bri_fail(fail, "channel", r, "no order");
	if (r != 1 || memcmp(hello.magic, magic, sizeof(magic)) != 0)
		return bri_fail(fail, "version", EPROTO, "no order of brood's");
	if (strncmp(hello.version, BROOD_VERSION, sizeof(hello.version)) != 0)
		return bri_fail(fail, "version", EPROTO, "libbrood is %s here, and %.24s there",
				BROOD_VERSION, hello.version);
	r = own_id(&id, fail);
	if (r < 0)
		return r;
	if (memcmp(&id, &hello.library, sizeof(id)) != 0)
		return bri_fail(fail, "version", EPROTO,
				"libbrood is of another build in the new process");
	r = take_memory(fds[0], hello.size, taken, fail);
	close(fds[0]);
	return r < 0 ? r : take_more(channel, hello.n_fds, taken, fail);
}

/* The next part of the memory; NULL: there is not that much. */
static const void *part(struct taken *taken, uint64_t n, size_t size)
{
	const char *at = taken->rest;
	size_t left = (size_t)(taken->end - at);

	if (n > left / size || ALIGN(n * size) > left)
		return NULL;
	taken->rest += ALIGN(n * size);
	return at;
}

/* ---- the child: doing it */

/* The line to the parent, with descriptors of our own. Returns how many of them there are, or -errno. */
static int become_line(struct taken *taken, struct bri_identity **ret_parent, brood_fail *fail)
{
	unsigned depth = taken->order->depth;
	struct bri_identity *parent;
	const void *line = NULL;
	size_t at = FIRST_MORE;

	if (depth < BROOD_PROCESS_DEPTH_MOST)
		line = part(taken, depth + 1, sizeof(parent->line[0]));
	if (line == NULL)
		return bri_fail(fail, "version", EBADMSG, "an order that is cut short");
	parent = malloc(sizeof(*parent) + (depth + 1) * sizeof(parent->line[0]));
	if (parent == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	parent->depth = depth;
	memcpy(parent->line, line, (depth + 1) * sizeof(parent->line[0]));
	for (unsigned i = 0; i < depth; i++)
		if (parent->line[i].pidfd >= 0)
			parent->line[i].pidfd = at < taken->n_fds ? taken->fds[at++] : -1;
	*ret_parent = parent;
	return (int)at;
}

/* Is who the parent says, and dies with it from here on. Returns where the arguments' descriptors begin, or -errno. */
static int become(struct taken *taken, brood_fail *fail)
{
	const struct order *order = taken->order;
	struct bri_family *family = bri_family_new();
	bri_cleanup(bri_freep) struct bri_identity *parent = NULL;
	brood_process *as = bri_process_new(BRI_SELF);
	int at = become_line(taken, &parent, fail);

	if (at < 0)
		return at;
	if (family == NULL || as == NULL || (family->self = bri_process_new(BRI_SELF)) == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	if (bri_authkey_take(&taken->order->authkey) < 0)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	as->parent = order->parent;
	as->daemon = order->daemon;
	as->far = true;
	as->depth = order->depth + 1;
	memcpy(as->name, order->name, sizeof(as->name));
	memcpy(as->path, order->path, sizeof(as->path));
	as->record = mmap(NULL, sizeof(*as->record), PROT_READ | PROT_WRITE, MAP_SHARED,
			  taken->fds[RECORD], 0);
	if (as->record == MAP_FAILED)
		return bri_fail(fail, "memory", errno, NULL);
	bri_closep(&taken->fds[RECORD]);
	bri_identity_enter(parent, order->own_name, taken->fds[PARENT], order->ordinal, as->name);
	bri_family_enter(family, as);
	free(as);
	if (!order->outlive)
		bri_lifeline_arm(taken->fds[LIFELINE]);
	else
		bri_closep(&taken->fds[LIFELINE]);
	prctl(PR_SET_NAME, order->name);
	return at;
}

static int set_all(struct taken *taken, brood_fail *fail)
{
	const struct order *order = taken->order;
	struct bri_settings settings = { .nice = order->nice,
					 .group = (brood_group)order->group,
					 .join_group = order->join_group,
					 .n_rlimits = order->n_rlimits,
					 .max_memory = order->max_memory,
					 .cpus_size = order->cpus_size };
	const char *step;
	int r;

	settings.rlimits = part(taken, order->n_rlimits, sizeof(*settings.rlimits));
	settings.cpus = part(taken, order->cpus_size, 1);
	if (settings.rlimits == NULL || settings.cpus == NULL)
		return bri_fail(fail, "version", EBADMSG, "an order that is cut short");
	if (order->cpus_size == 0)
		settings.cpus = NULL;
	r = bri_settings_apply(&settings, &step);
	if (r == 0)
		bri_lifeline_widen(taken->fds[LIFELINE], settings.group);
	return r < 0 ? bri_fail(fail, step, r, NULL) : 0;
}

static int take_args(struct taken *taken, size_t at, brood_args **ret_args, brood_fail *fail)
{
	size_t n = taken->n_fds - at;
	int r = bri_args_unpack(taken->rest, (size_t)(taken->end - taken->rest), taken->fds + at, n,
				bri_fail_process, fail, ret_args);

	for (size_t i = at; i < taken->n_fds; i++)
		bri_closep(&taken->fds[i]);
	return r;
}

static void forget(struct taken *taken)
{
	free(taken->order);
	free(taken->fds);
}

void bri_order_obey(int channel)
{
	const struct answer ready = { .error = 0 };
	struct taken taken = { .order = NULL };
	brood_fail fail = { .step = "channel" };
	brood_process_target *target;
	brood_args *args;
	void *function;
	sigset_t mask;
	int at = take(channel, &taken, &fail);

	if (at == 0)
		at = become(&taken, &fail);
	if (at < 0 || bri_function_find(&taken.order->function, &function, &fail) < 0 ||
	    set_all(&taken, &fail) < 0 || take_args(&taken, (size_t)at, &args, &fail) < 0)
		refuse(channel, &fail);
	bri_method_inherit((brood_start_method)taken.order->method);
	brood_log_to_stderr(taken.order->log_level);
	target = (brood_process_target *)(uintptr_t)function;
	mask = taken.order->mask;
	forget(&taken);
	bri_end_at_exit();
	bri_crash_prepare();
	bri_crash_arm(&bri_family()->record->crash);
	/* Nobody hears it: the parent is gone, or has given up. */
	if (bri_send(channel, &ready, sizeof(ready)) < 0)
		_exit(1);
	close(channel);
	atomic_store(&bri_is_waiting, false);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	brood_log(BROOD_LOG_INFO, "child process calling its function");
	bri_end(target(args));
}
