/* Invariants of this file.
 *
 * 1. No second main: a process that was started with BROOD_START runs the function of its order, or ends; and starts nothing
 *    before it has (bri_is_waiting).
 * 2. Only the parent gives orders: the channel's other end was made by the process that is our parent, and that is the
 *    same user's. Where this program has more rights than who starts it, nobody does. */
#include "proc/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fail.h"
#include "child/spawn.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket.h"
#include "proc/crash.h"
#include "proc/order.h"
#include "proc/server.h"

#define VARIABLE "BROOD_START"
#define LOADER "brood-loader"

/* What the variable says: the channel's number, and what else there is to know. By [is_server][is_self]. */
static const char *const words[2][2] = { { VARIABLE "=3 loader", VARIABLE "=3" },
					 { VARIABLE "=3 loader server", VARIABLE "=3 server" } };

static const char probe_word[] = VARIABLE "=3 probe"; /* only say who you are */

#define PATIENCE (10 * BROOD_SEC) /* until brood_init() says so */

static _Atomic(bool) is_ready;    /* this program calls brood_init() */
static char given[24];            /* what the variable said */
static char executable[PATH_MAX]; /* that brood_set_executable() named; "": none */

/* What a program that is probed says. */
struct who {
	char version[24];
	struct bri_build_id library;
};

static int say_who(struct who *ret_who)
{
	struct bri_function self;
	int r = bri_function_name((const void *)(uintptr_t)bri_image_choose, &self, NULL);

	if (r < 0)
		return r;
	memset(ret_who, 0, sizeof(*ret_who));
	snprintf(ret_who->version, sizeof(ret_who->version), "%s", brood_version());
	ret_who->library = self.id;
	return 0;
}

/* ---- in the parent */

static int choose_loader(const struct bri_function *function, struct bri_image *image,
			 brood_fail *fail)
{
	struct bri_function self;
	int r;

	if (function->in_program)
		return bri_fail(fail, "method", ENOTSUP,
				"the function is in the program %s: its main() has to call "
				"brood_init() first, or the function to be in a shared library",
				function->path);
	r = bri_function_name((const void *)(uintptr_t)bri_image_choose, &self, fail);
	if (r < 0)
		return r;
	if (self.in_program)
		return bri_fail(fail, "method", ENOTSUP,
				"libbrood is linked into the program %s: its main() has to call "
				"brood_init() first",
				self.path);
	r = bri_find_helper(LOADER, image->path, sizeof(image->path));
	if (r < 0)
		return bri_fail(fail, "loader", r, "%s", image->path);
	memcpy(image->library, self.path, sizeof(image->library));
	return 0;
}

int bri_image_choose(const struct bri_function *function, struct bri_image *ret_image,
		     brood_fail *fail)
{
	ret_image->is_self = executable[0] != '\0' || atomic_load(&is_ready);
	memcpy(ret_image->path, executable, sizeof(executable));
	return ret_image->is_self ? 0 : choose_loader(function, ret_image, fail);
}

int bri_image_start(const struct bri_image *image, int channel, bool is_server, brood_fail *fail,
		    brood_child **ret_child)
{
	const brood_pass pass = { .fd = channel, .as = BRI_CHANNEL };
	const bool again = image->path[0] == '\0';
	const char *const loader[] = { LOADER, image->library, NULL };
	const char *const self[] = { again ? program_invocation_name : image->path, NULL };
	const char *const edits[] = { words[is_server][image->is_self], NULL };
	const brood_spawn_opts opts = { .executable = again ? "/proc/self/exe" : image->path,
					.env_edits = edits,
					.in = { .kind = BROOD_STDIO_NULL },
					.pass = &pass,
					.n_pass = 1,
					.signals = BROOD_SIGNALS_INHERIT,
					.group = is_server ? BROOD_GROUP_NEW : BROOD_GROUP_INHERIT,
					.fail = fail };

	return brood_spawn(image->is_self ? self : loader, &opts, ret_child);
}

/* ---- another program */

/* Has it started once, to hear who it is. */
static int probe(const char *path)
{
	bri_cleanup(bri_closep) int channel = -1, theirs = -1;
	brood_pass pass = { .as = BRI_CHANNEL };
	const char *const argv[] = { path, NULL }, *const edits[] = { probe_word, NULL };
	const brood_spawn_opts opts = { .env_edits = edits,
					.in = { .kind = BROOD_STDIO_NULL },
					.out = { .kind = BROOD_STDIO_NULL },
					.err = { .kind = BROOD_STDIO_NULL },
					.pass = &pass,
					.n_pass = 1 };
	struct who ours, who;
	brood_child *child;
	int r = say_who(&ours);

	if (r == 0)
		r = bri_socketpair(&channel, &theirs);
	if (r < 0)
		return r;
	pass.fd = theirs;
	r = brood_spawn(argv, &opts, &child);
	if (r < 0)
		return r;
	bri_closep(&theirs);
	r = bri_wait_readable(channel, bri_deadline(PATIENCE));
	if (r == 0)
		r = bri_recv(channel, &who, sizeof(who), MSG_DONTWAIT);
	(void)brood_child_stop(child, 0, NULL);
	brood_child_free(child);
	if (r == -EPIPE || r == -ETIMEDOUT)
		return -ENOTSUP;
	if (r == 0 && memcmp(&who, &ours, sizeof(who)) != 0)
		return -EPROTO;
	return r;
}

static bool has_server(struct bri_family *family)
{
	bool has;

	pthread_mutex_lock(&family->server_lock);
	has = family->server != NULL;
	pthread_mutex_unlock(&family->server_lock);
	return has;
}

int brood_set_executable(const char *path)
{
	char real[PATH_MAX] = "";
	int r;

	if (atomic_load(&bri_is_waiting))
		return -EPERM;
	if (path != NULL && realpath(path, real) == NULL)
		return path[0] != '\0' ? -errno : -EINVAL;
	if (bri_family() == NULL)
		return -ENOMEM;
	if (has_server(bri_family()))
		return -EALREADY;
	r = path != NULL ? probe(real) : 0;
	if (r == 0)
		memcpy(executable, real, sizeof(executable));
	return r;
}

/* ---- in the new process */

static bool is_given(bool is_server, bool is_self)
{
	return strcmp(given, words[is_server][is_self] + sizeof(VARIABLE)) == 0;
}

static bool is_probed(void)
{
	return strcmp(given, probe_word + sizeof(VARIABLE)) == 0;
}

static bool is_known(void)
{
	return is_probed() || is_given(false, false) || is_given(false, true) ||
	       is_given(true, false) || is_given(true, true);
}

/* The earlier, the fewer can have inherited it. */
__attribute__((constructor)) static void look(void)
{
	const char *value = getenv(VARIABLE);

	if (value == NULL)
		return;
	atomic_store(&bri_is_waiting, true);
	snprintf(given, sizeof(given), "%s", value);
	if (is_known())
		(void)fcntl(BRI_CHANNEL, F_SETFD, FD_CLOEXEC);
	unsetenv(VARIABLE);
}

/* Whether the channel is what it has to be; if not, why. */
static const char *check_channel(struct ucred *ret_peer)
{
	socklen_t size = sizeof(*ret_peer);

	if (getauxval(AT_SECURE) != 0)
		return "this program has more rights than who starts it";
	if (!is_known() || getsockopt(BRI_CHANNEL, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0)
		return "there is no channel";
	if (ret_peer->pid != getppid() || ret_peer->uid != geteuid())
		return "the channel is not the parent's";
	return NULL;
}

/* Until there is something to read. A parent that is gone sends nothing, and somebody may have a copy of its end. */
static void await_order(pid_t parent)
{
	struct pollfd order = { .fd = BRI_CHANNEL, .events = POLLIN };

	while (poll(&order, 1, 200) <= 0)
		if (getppid() != parent)
			_exit(1);
}

static void name_loader(void)
{
	static char path[PATH_MAX];

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) > 0)
		bri_crash_program = path;
}

void bri_image_obey(pid_t parent)
{
	await_order(parent);
	bri_order_obey(BRI_CHANNEL, NULL);
}

void bri_image_begin(void)
{
	struct ucred peer;
	const char *wrong;

	if (!atomic_load(&bri_is_waiting)) {
		atomic_store(&is_ready, true);
		return;
	}
	wrong = check_channel(&peer);
	if (wrong != NULL) {
		dprintf(STDERR_FILENO, "brood: " VARIABLE " is set, and %s\n", wrong);
		_exit(1);
	}
	if (is_probed()) {
		struct who who;

		if (say_who(&who) == 0)
			(void)bri_send(BRI_CHANNEL, &who, sizeof(who));
		_exit(0);
	}
	/* It is the loader that calls us there; and for crashes its path is not the parent's. */
	if (is_given(false, true) || is_given(true, true))
		atomic_store(&is_ready, true);
	else
		name_loader();
	if (is_given(true, false) || is_given(true, true))
		bri_server_run(BRI_CHANNEL);
	bri_image_obey(peer.pid);
}
