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
#include "base/together.h"
#include "os/authkey.h"
#include "os/fd.h"
#include "os/self.h"
#include "os/socket.h"
#include "proc/identity.h"
#include "proc/log.h"
#include "proc/method.h"

/* The first things said, before anything that could differ between versions. */
struct hello {
	char magic[8];
	char version[24];
	struct bri_build_id library;
	uint64_t size;
	uint32_t n_fds; /* a memfd not among them */
	bool in_memfd;
};

static const char magic[8] = "brood-o";

struct order {
	struct bri_build_id object;
	uint64_t offset, path_size; /* of the function in it; of the object's path */
	bool in_program;
	pid_t parent, owner_group;
	uint32_t depth; /* the parent's */
	uint32_t ordinal;
	uint32_t
		has; /* bits of enum bri_order_fd; those of ancestors follow, then the arguments' */
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

struct answer {
	int32_t error; /* 0: all is well */
	char step[16], text[240];
};

BRI_TOGETHER _Atomic(bool) bri_is_waiting;

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
	bri_function_prepare();
	bri_crash_prepare();
	bri_crash_arm();
}

/* ---- the parent: making it */

static int make_list(const struct bri_order_facts *facts, const struct bri_packed *packed,
		     struct bri_order *order, uint32_t *ret_has)
{
	const struct bri_identity *identity = facts->identity;
	size_t most = BRI_ORDER_FDS + identity->depth + packed->n_fds;

	order->fds = calloc(most, sizeof(*order->fds));
	if (order->fds == NULL)
		return -ENOMEM;
	*ret_has = 0;
	for (unsigned i = 0; i < BRI_ORDER_FDS; i++)
		if (facts->fds[i] >= 0) {
			*ret_has |= 1u << i;
			order->fds[order->n_fds++] = facts->fds[i];
		}
	for (unsigned i = 0; i < identity->depth; i++)
		if (identity->line[i].pidfd >= 0)
			order->fds[order->n_fds++] = identity->line[i].pidfd;
	for (size_t i = 0; i < packed->n_fds; i++)
		order->fds[order->n_fds++] = packed->fds[i];
	return 0;
}

/* Parts begin where any type may. */
#define ALIGN(size) (((size) + 7) & ~UINT64_C(7))

#define AHEAD ALIGN(sizeof(struct hello)) /* of the order, in the first message */
#define SMALL    \
	(AHEAD + \
	 ((size_t)16 << 10)) /* that message at most: a few pages, which every socket takes */

struct part {
	const void *data;
	size_t size;
};

enum { ORDER, LINE, PATH, LIMITS, CPUS, ARGS, PARTS };

static int write_part(int fd, const struct part *part, uint64_t to)
{
	const char *at = part->data;
	size_t size = part->size;

	while (size > 0) {
		ssize_t n = pwrite(fd, at, size, (off_t)to);

		if (n < 0 && errno != EINTR)
			return -errno;
		n = n > 0 ? n : 0;
		at += n;
		to += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int write_memory(const struct part parts[PARTS], uint64_t size, int *ret_fd)
{
	bri_cleanup(bri_closep) int fd = memfd_create("brood-order", MFD_CLOEXEC);
	uint64_t at = 0;
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	for (int i = 0; i < PARTS; i++) {
		r = write_part(fd, &parts[i], at);
		if (r < 0)
			return r;
		at += ALIGN(parts[i].size);
	}
	*ret_fd = bri_take_fd(&fd);
	return 0;
}

/* The first message, but for what hello is told later. */
static int write_order(const struct part parts[PARTS], struct bri_order *order)
{
	uint64_t size = 0;
	struct hello *hello;
	char *at;

	/* The last one ends where it ends. */
	for (int i = 0; i < PARTS; i++)
		size += i < ARGS ? ALIGN(parts[i].size) : parts[i].size;
	order->first_size = size <= SMALL - AHEAD ? AHEAD + size : AHEAD;
	order->first = calloc(1, order->first_size);
	if (order->first == NULL)
		return -ENOMEM;
	hello = (struct hello *)(void *)order->first;
	hello->size = size;
	hello->in_memfd = order->first_size == AHEAD;
	if (hello->in_memfd)
		return write_memory(parts, size, &order->memory);
	at = order->first + AHEAD;
	for (int i = 0; i < PARTS; at += ALIGN(parts[i].size), i++)
		if (parts[i].size > 0)
			memcpy(at, parts[i].data, parts[i].size);
	return 0;
}

static void fill(const struct bri_order_facts *facts, uint32_t has, struct order *order)
{
	const struct bri_settings *settings = facts->settings;

	*order = (struct order){ .object = facts->function->id,
				 .offset = facts->function->offset,
				 .path_size = strlen(facts->function->path) + 1,
				 .in_program = facts->function->in_program,
				 .parent = facts->process->parent,
				 .owner_group = facts->owner_group,
				 .depth = facts->identity->depth,
				 .ordinal = facts->ordinal,
				 .has = has,
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
}

int bri_order_make(const struct bri_order_facts *facts, brood_fail *fail,
		   struct bri_order *ret_order)
{
	bri_cleanup(bri_packed_fini) struct bri_packed packed = { .data = NULL };
	bri_cleanup(bri_order_fini) struct bri_order order = { .memory = -1 };
	const struct bri_settings *settings = facts->settings;
	struct order head = { .parent = 0 };
	uint32_t has;
	int r = bri_args_pack(facts->args, fail, &packed);

	if (r < 0)
		return r;
	r = make_list(facts, &packed, &order, &has);
	if (r == 0) {
		const struct part parts[PARTS] = {
			[ORDER] = { &head, sizeof(head) },
			[LINE] = { facts->identity->line, (facts->identity->depth +
							   1) * sizeof(facts->identity->line[0]) },
			[PATH] = { facts->function->path, strlen(facts->function->path) + 1 },
			[LIMITS] = { settings->rlimits,
				     settings->n_rlimits * sizeof(*settings->rlimits) },
			[CPUS] = { settings->cpus, settings->cpus_size },
			[ARGS] = { packed.data, packed.size },
		};

		fill(facts, has, &head);
		r = write_order(parts, &order);
		explicit_bzero(&head.authkey, sizeof(head.authkey));
	}
	if (r < 0)
		return bri_fail(fail, "memory", r, NULL);
	*ret_order = order;
	order = (struct bri_order){ .memory = -1 };
	return 0;
}

void bri_order_fini(struct bri_order *order)
{
	bri_closep(&order->memory);
	if (order->first != NULL)
		explicit_bzero(order->first, order->first_size); /* it has the key */
	free(order->first);
	free(order->fds);
	order->first = NULL;
	order->fds = NULL;
}

/* ---- the parent: giving it */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int send_order(const struct bri_order *order, int channel, brood_fail *fail)
{
	struct hello *hello = (struct hello *)(void *)order->first;
	size_t at = order->memory >= 0, n = least(order->n_fds, BRI_SOCKET_FDS - at), sent = n;
	int fds[BRI_SOCKET_FDS] = { order->memory };
	int r = own_id(&hello->library, fail);

	if (r < 0)
		return r;
	memcpy(hello->magic, magic, sizeof(magic));
	memcpy(hello->version, BROOD_VERSION, sizeof(BROOD_VERSION));
	hello->n_fds = (uint32_t)order->n_fds;
	memcpy(fds + at, order->fds, n * sizeof(*fds));
	r = bri_send_fds(channel, order->first, order->first_size, fds, at + n);
	for (; r == 0 && sent < order->n_fds; sent += n) {
		n = least(order->n_fds - sent, BRI_SOCKET_FDS);
		r = bri_send_fds(channel, magic, 1, order->fds + sent, n);
	}
	/* It is gone: what became of it is told by who waits for its answer. */
	if (r == -EPIPE)
		return 0;
	return r < 0 ? bri_fail(fail, "channel", r, NULL) : 0;
}

/* The step's word as a constant. */
static const char *step_named(const char *name)
{
	static const char *const steps[] = { "function", "args",      "nice",   "rlimit", "cpus",
					     "setpgid",  "setsid",    "memory", "name",   "version",
					     "stdin",    "directory", "streams" };

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
		return bri_order_unheard(r, fail);
	if (answer.error == 0)
		return 0;
	return bri_fail(fail, step_named(answer.step), answer.error, "%.*s",
			(int)sizeof(answer.text) - 1, answer.text);
}

/* ---- the child: taking it */

struct taken {
	struct order *order;
	char *memory;             /* owned: where that is, if not in the first message */
	const char *rest, *end;   /* of the memory, behind the order */
	int kinds[BRI_ORDER_FDS]; /* -1: none */
	int *fds;                 /* owned */
	size_t n_fds, at;         /* the first one that was not made use of */
};

/* What comes first. Only its pages that are written are there; most orders need one. */
static union {
	struct hello hello;
	char bytes[SMALL];
} first __attribute__((aligned(BRI_PAGE)));

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

static int cut_short(brood_fail *fail)
{
	return bri_fail(fail, "version", EBADMSG, "an order that is cut short");
}

static int read_memory(int fd, uint64_t size, struct taken *taken, brood_fail *fail)
{
	size_t at = 0;

	taken->memory = malloc(size);
	if (taken->memory == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	while (at < size) {
		ssize_t n = pread(fd, taken->memory + at, size - at, (off_t)at);

		if (n < 0 && errno != EINTR)
			return bri_fail(fail, "memory", errno, NULL);
		if (n == 0)
			return cut_short(fail);
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int take_memory(const int *memfd, uint64_t size, size_t first_size, struct taken *taken,
		       brood_fail *fail)
{
	char *data = first.bytes + AHEAD;
	int r;

	if (size < ALIGN(sizeof(*taken->order)) || (memfd == NULL && size != first_size - AHEAD))
		return cut_short(fail);
	if (memfd != NULL) {
		r = read_memory(*memfd, size, taken, fail);
		close(*memfd);
		if (r < 0)
			return r;
		data = taken->memory;
	}
	taken->order = (struct order *)(void *)data;
	taken->rest = data + ALIGN(sizeof(*taken->order));
	taken->end = data + size;
	return 0;
}

/* All descriptors, of which `n` have come. */
static int take_fds(int channel, const int *came, size_t n, uint32_t all, struct taken *taken,
		    brood_fail *fail)
{
	int fds[BRI_SOCKET_FDS], r;
	char byte;

	if (n > all)
		return cut_short(fail);
	taken->fds = calloc(all, sizeof(*taken->fds));
	if (taken->fds == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	memcpy(taken->fds, came, n * sizeof(*came));
	taken->n_fds = n;
	while (taken->n_fds < all) {
		r = bri_recv_fds(channel, &byte, 1, fds);
		if (r <= 0 || (size_t)r > all - taken->n_fds)
			return bri_fail(fail, "args", r < 0 ? r : EBADMSG, "descriptors");
		memcpy(taken->fds + taken->n_fds, fds, (size_t)r * sizeof(*fds));
		taken->n_fds += (size_t)r;
	}
	for (unsigned i = 0; i < BRI_ORDER_FDS; i++) {
		taken->kinds[i] = -1;
		if ((taken->order->has & 1u << i) == 0)
			continue;
		if (taken->at == taken->n_fds)
			return cut_short(fail);
		taken->kinds[i] = taken->fds[taken->at++];
	}
	return 0;
}

/* Whether it is one of our own kind. */
static int check_hello(const struct hello *hello, brood_fail *fail)
{
	struct bri_build_id id;
	int r;

	if (memcmp(hello->magic, magic, sizeof(magic)) != 0)
		return bri_fail(fail, "version", EPROTO, "no order of brood's");
	if (memcmp(hello->version, BROOD_VERSION, sizeof(BROOD_VERSION)) != 0)
		return bri_fail(fail, "version", EPROTO, "libbrood is %s here, and %.24s there",
				BROOD_VERSION, hello->version);
	r = own_id(&id, fail);
	if (r < 0)
		return r;
	if (memcmp(&id, &hello->library, sizeof(id)) != 0)
		return bri_fail(fail, "version", EPROTO,
				"libbrood is of another build in the new process");
	return 0;
}

static int take(int channel, struct taken *taken, brood_fail *fail)
{
	int fds[BRI_SOCKET_FDS], n, r;
	size_t size, at;

	n = bri_recv_fds_between(channel, first.bytes, AHEAD, SMALL, 0, fds, &size);
	if (n == -EPIPE) /* it is gone, or has given up */
		_exit(1);
	if (n < 0)
		return bri_fail(fail, "channel", n, "no order");
	r = check_hello(&first.hello, fail);
	if (r < 0)
		return r;
	at = first.hello.in_memfd;
	if ((size_t)n < at)
		return cut_short(fail);
	r = take_memory(at > 0 ? fds : NULL, first.hello.size, size, taken, fail);
	return r < 0 ? r :
		       take_fds(channel, fds + at, (size_t)n - at, first.hello.n_fds, taken, fail);
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

/* What can be made before there is an order. */
struct self {
	struct bri_family *family;
	struct bri_record *record; /* NULL: it comes with the order */
	int lifeline;              /* that holds us already; -1: it comes with the order */
};

static int begin(struct self *self, const struct bri_born *born, brood_fail *fail)
{
	self->family = bri_family_new();
	if (self->family == NULL || (self->family->self = bri_process_new(BRI_SELF)) == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	self->record = born != NULL ? born->record : NULL;
	self->lifeline = born != NULL ? born->lifeline : -1;
	bri_end_at_exit();
	if (self->record == NULL)
		return 0;
	/* Pages that the start would have to wait for. */
	atomic_store(&self->record->left, 0);
	*(volatile char *)first.bytes = 0;
	bri_identity_reserve();
	return 0;
}

/* The line to the parent, with descriptors of our own. */
static int become_line(struct taken *taken, struct bri_identity **ret_parent, brood_fail *fail)
{
	unsigned depth = taken->order->depth;
	struct bri_identity *parent;
	const void *line = NULL;

	if (depth < BROOD_PROCESS_DEPTH_MOST)
		line = part(taken, depth + 1, sizeof(parent->line[0]));
	if (line == NULL)
		return cut_short(fail);
	parent = malloc(sizeof(*parent) + (depth + 1) * sizeof(parent->line[0]));
	if (parent == NULL)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	parent->depth = depth;
	memcpy(parent->line, line, (depth + 1) * sizeof(parent->line[0]));
	for (unsigned i = 0; i < depth; i++)
		if (parent->line[i].pidfd >= 0)
			parent->line[i].pidfd =
				taken->at < taken->n_fds ? taken->fds[taken->at++] : -1;
	*ret_parent = parent;
	return 0;
}

/* Where who ordered it is, of whom it was not forked. */
static int join_owner(struct taken *taken, brood_fail *fail)
{
	int *kinds = taken->kinds;

	if (kinds[BRI_ORDER_FOLDER] >= 0 && fchdir(kinds[BRI_ORDER_FOLDER]) < 0)
		return bri_fail(fail, "directory", errno, NULL);
	for (int i = BRI_ORDER_OUT; i <= BRI_ORDER_ERR; i++) {
		int to = STDOUT_FILENO + i - BRI_ORDER_OUT;

		if (kinds[i] < 0)
			close(to);
		else if (dup2(kinds[i], to) < 0)
			return bri_fail(fail, "streams", errno, NULL);
		bri_closep(&kinds[i]);
	}
	bri_closep(&kinds[BRI_ORDER_FOLDER]);
	(void)setpgid(0, taken->order->owner_group); /* of another session: it stays where it is */
	return 0;
}

static int take_record(struct taken *taken, struct self *self, brood_fail *fail)
{
	if (self->record != NULL)
		return 0;
	self->record = bri_record_map(taken->kinds[BRI_ORDER_RECORD]);
	if (self->record == NULL)
		return bri_fail(fail, "memory", errno, NULL);
	bri_closep(&taken->kinds[BRI_ORDER_RECORD]);
	return 0;
}

/* Dies with its parent, unless it is to outlive it. */
static void tie(struct taken *taken, const struct self *self)
{
	int *lifeline = &taken->kinds[BRI_ORDER_LIFELINE];

	if (self->lifeline >= 0)
		*lifeline = self->lifeline;
	if (taken->order->outlive)
		bri_closep(lifeline);
	else if (self->lifeline < 0)
		bri_lifeline_arm(*lifeline);
}

/* Is who the parent says, and dies with it from here on. */
static int become(struct taken *taken, struct self *self, brood_fail *fail)
{
	bri_cleanup(bri_freep) struct bri_identity *parent = NULL;
	const struct order *order = taken->order;
	brood_process as = { .far = true };
	int r = become_line(taken, &parent, fail);

	if (r == 0 && order->owner_group > 0)
		r = join_owner(taken, fail);
	if (r == 0)
		r = take_record(taken, self, fail);
	if (r < 0)
		return r;
	if (bri_authkey_take(&taken->order->authkey) < 0)
		return bri_fail(fail, "memory", ENOMEM, NULL);
	as.parent = order->parent;
	as.daemon = order->daemon;
	as.depth = order->depth + 1;
	memcpy(as.name, order->name, sizeof(as.name));
	memcpy(as.path, order->path, sizeof(as.path));
	as.record = self->record;
	bri_identity_enter(parent, order->own_name, taken->kinds[BRI_ORDER_PARENT], order->ordinal,
			   as.name);
	bri_family_enter(self->family, &as);
	tie(taken, self);
	prctl(PR_SET_NAME, order->name);
	return 0;
}

static int find_function(struct taken *taken, void **ret_function, brood_fail *fail)
{
	const struct order *order = taken->order;
	struct bri_function function; /* of its path only what is written */
	const char *path = part(taken, order->path_size, 1);

	if (path == NULL || order->path_size > sizeof(function.path))
		return cut_short(fail);
	function.id = order->object;
	function.offset = order->offset;
	function.in_program = order->in_program;
	memcpy(function.path, path, order->path_size);
	return bri_function_find(&function, ret_function, fail);
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
		return cut_short(fail);
	if (order->cpus_size == 0)
		settings.cpus = NULL;
	r = bri_settings_apply(&settings, &step);
	if (r == 0)
		bri_lifeline_widen(taken->kinds[BRI_ORDER_LIFELINE], settings.group);
	return r < 0 ? bri_fail(fail, step, r, NULL) : 0;
}

static int take_args(struct taken *taken, brood_args **ret_args, brood_fail *fail)
{
	size_t at = taken->at;
	int r = bri_args_unpack(taken->rest, (size_t)(taken->end - taken->rest), taken->fds + at,
				taken->n_fds - at, bri_fail_process, fail, ret_args);

	for (size_t i = at; i < taken->n_fds; i++)
		bri_closep(&taken->fds[i]);
	return r;
}

static void forget(struct taken *taken)
{
	free(taken->memory);
	free(taken->fds);
}

void bri_order_obey(int channel, const struct bri_born *born)
{
	const struct answer ready = { .error = 0 };
	struct taken taken = { .order = NULL };
	brood_fail fail = { .step = "channel" };
	brood_process_target *target;
	struct self self = { .lifeline = -1 };
	brood_args *args;
	void *function;
	sigset_t mask;
	int unready = begin(&self, born, &fail);

	if (take(channel, &taken, unready < 0 ? NULL : &fail) < 0 || unready < 0 ||
	    become(&taken, &self, &fail) < 0 || find_function(&taken, &function, &fail) < 0 ||
	    set_all(&taken, &fail) < 0 || take_args(&taken, &args, &fail) < 0)
		refuse(channel, &fail);
	bri_method_inherit((brood_start_method)taken.order->method);
	bri_log_inherit(taken.order->log_level, taken.kinds[BRI_ORDER_LOG]);
	target = (brood_process_target *)(uintptr_t)function;
	mask = taken.order->mask;
	forget(&taken);
	bri_crash_prepare(); /* with what was loaded for it */
	if (born == NULL)    /* else by the server */
		bri_crash_arm();
	bri_crash_aim(&self.record->crash);
	/* Nobody hears it: the parent is gone, or has given up. */
	if (bri_send(channel, &ready, sizeof(ready)) < 0)
		_exit(1);
	close(channel);
	atomic_store(&bri_is_waiting, false);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	brood_log(BROOD_LOG_INFO, "child process calling its function");
	bri_end(target(args));
}
