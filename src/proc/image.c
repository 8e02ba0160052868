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

#include "base/fail.h"
#include "child/spawn.h"
#include "proc/crash.h"
#include "proc/order.h"

#define VARIABLE "BROOD_START"
#define LOADER "brood-loader"
#define NUMBER 3 /* of the channel, there */
#define IN_PROGRAM "3"
#define IN_LOADER "3 loader"

static _Atomic(bool) is_ready; /* this program calls brood_init() */
static char given[16];         /* what the variable said */

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
	ret_image->is_self = atomic_load(&is_ready);
	return ret_image->is_self ? 0 : choose_loader(function, ret_image, fail);
}

int bri_image_start(const struct bri_image *image, int channel, brood_fail *fail,
		    brood_child **ret_child)
{
	const brood_pass pass = { .fd = channel, .as = NUMBER };
	const char *const loader[] = { LOADER, image->library, NULL };
	const char *const self[] = { program_invocation_name, NULL };
	const char *const edits[] = { image->is_self ? VARIABLE "=" IN_PROGRAM :
						       VARIABLE "=" IN_LOADER,
				      NULL };
	const brood_spawn_opts opts = { .executable =
						image->is_self ? "/proc/self/exe" : image->path,
					.env_edits = edits,
					.in = { .kind = BROOD_STDIO_NULL },
					.pass = &pass,
					.n_pass = 1,
					.signals = BROOD_SIGNALS_INHERIT,
					.fail = fail };

	return brood_spawn(image->is_self ? self : loader, &opts, ret_child);
}

/* ---- in the new process */

static bool is_known(void)
{
	return strcmp(given, IN_PROGRAM) == 0 || strcmp(given, IN_LOADER) == 0;
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
		(void)fcntl(NUMBER, F_SETFD, FD_CLOEXEC);
	unsetenv(VARIABLE);
}

/* Whether the channel is what it has to be; if not, why. */
static const char *check_channel(struct ucred *ret_peer)
{
	socklen_t size = sizeof(*ret_peer);

	if (getauxval(AT_SECURE) != 0)
		return "this program has more rights than who starts it";
	if (!is_known() || getsockopt(NUMBER, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0)
		return "there is no channel";
	if (ret_peer->pid != getppid() || ret_peer->uid != geteuid())
		return "the channel is not the parent's";
	return NULL;
}

/* Until there is something to read. A parent that is gone sends nothing, and somebody may have a copy of its end. */
static void await_order(const struct ucred *peer)
{
	struct pollfd order = { .fd = NUMBER, .events = POLLIN };

	while (poll(&order, 1, 200) <= 0)
		if (getppid() != peer->pid)
			_exit(1);
}

static void name_loader(void)
{
	static char path[PATH_MAX];

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) > 0)
		bri_crash_program = path;
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
	/* It is the loader that calls us there; and for crashes its path is not the parent's. */
	if (strcmp(given, IN_PROGRAM) == 0)
		atomic_store(&is_ready, true);
	else
		name_loader();
	await_order(&peer);
	bri_order_obey(NUMBER);
}
