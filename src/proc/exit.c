/* How a process ends: what belongs to it goes first, in Python's order, once, and only here.
 *
 * A process of brood's ends by _exit(2): what its parent registered with atexit(3) is the parent's. exit(3) comes here as
 * well, by the handler that was registered last before the function (so that the function's own handlers have run). */
#include <brood/process.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/authkey.h"
#include "os/clock.h"
#include "os/self.h"
#include "proc/family.h"
#include "proc/image.h"
#include "proc/log.h"
#include "proc/server.h"

#define GRACE (10 * BROOD_SEC) /* that a daemon has to heed SIGTERM */

/* ---- hooks */

/* Returns 0, or why there is none. */
static int new_hook(void (*call)(void *data), void *data, struct bri_family **ret_family,
		    struct bri_hook **ret_hook)
{
	struct bri_family *family = bri_family();
	struct bri_hook *hook;

	if (call == NULL)
		return -EINVAL;
	hook = family != NULL ? malloc(sizeof(*hook)) : NULL;
	if (hook == NULL)
		return -ENOMEM;
	*hook = (struct bri_hook){ .call = call, .data = data };
	*ret_family = family;
	*ret_hook = hook;
	return 0;
}

int brood_finalize(int priority, void (*call)(void *data), void *data)
{
	struct bri_family *family;
	struct bri_hook *hook, **at;
	int r = new_hook(call, data, &family, &hook);

	if (r < 0)
		return r;
	hook->priority = priority;
	pthread_mutex_lock(&family->lock);
	at = &family->finalizers;
	while (*at != NULL && (*at)->priority > priority)
		at = &(*at)->next;
	hook->next = *at;
	*at = hook;
	pthread_mutex_unlock(&family->lock);
	return 0;
}

int brood_register_after_fork(void (*call)(void *data), void *data)
{
	struct bri_family *family;
	struct bri_hook *hook, **at;
	int r = new_hook(call, data, &family, &hook);

	if (r < 0)
		return r;
	pthread_mutex_lock(&family->lock);
	at = &family->after_fork;
	while (*at != NULL)
		at = &(*at)->next;
	*at = hook;
	pthread_mutex_unlock(&family->lock);
	return 0;
}

/* Takes the first finalizer of this priority or more. */
static struct bri_hook *take_finalizer(struct bri_family *family, int least)
{
	struct bri_hook *hook;

	pthread_mutex_lock(&family->lock);
	hook = family->finalizers;
	if (hook != NULL && hook->priority < least)
		hook = NULL;
	if (hook != NULL)
		family->finalizers = hook->next;
	pthread_mutex_unlock(&family->lock);
	return hook;
}

static void run_finalizers(struct bri_family *family, int least)
{
	struct bri_hook *hook;

	while ((hook = take_finalizer(family, least)) != NULL) {
		brood_log(BROOD_LOG_DEBUG, "calling the finalizer of priority %d", hook->priority);
		hook->call(hook->data);
		free(hook);
	}
}

/* ---- children */

/* The oldest child of those that are to end with us; with a reference. */
static brood_process *next_child(struct bri_family *family)
{
	brood_process *process;

	pthread_mutex_lock(&family->lock);
	process = family->first;
	while (process != NULL && process->outlive)
		process = process->after;
	if (process != NULL)
		brood_process_ref(process);
	pthread_mutex_unlock(&family->lock);
	return process;
}

static void end_children(struct bri_family *family)
{
	brood_process *process = next_child(family);
	int64_t deadline;

	if (process == NULL)
		return;
	brood_process_unref(process);
	deadline = bri_deadline(GRACE);
	pthread_mutex_lock(&family->lock);
	for (process = family->first; process != NULL; process = process->after)
		if (process->daemon && !process->outlive)
			(void)brood_child_terminate(process->child);
	pthread_mutex_unlock(&family->lock);
	while ((process = next_child(family)) != NULL) {
		if (process->daemon &&
		    brood_process_join(process, bri_timeout(deadline), NULL) == -ETIMEDOUT)
			brood_process_kill(process);
		(void)brood_process_join(process, BROOD_FOREVER, NULL);
		brood_process_unref(process);
	}
}

int brood_finish(void)
{
	struct bri_family *family = bri_family();

	if (family == NULL)
		return 0;
	run_finalizers(family, 0);
	end_children(family);
	bri_server_stop(family);
	run_finalizers(family, INT32_MIN);
	return 0;
}

/* ---- the end of a process */

static _Atomic(uint64_t) host; /* the generation that brood_init() was called in */

static void finish_host(void)
{
	if (atomic_load(&host) == bri_self_generation())
		brood_finish();
}

int brood_init(void)
{
	uint64_t own = bri_self_generation();

	bri_image_begin();
	if (bri_family() == NULL)
		return -ENOMEM;
	if (atomic_exchange(&host, own) == own)
		return 0;
	if (atexit(finish_host) == 0)
		return 0;
	atomic_store(&host, 0);
	return -ENOMEM;
}

void bri_end(int status)
{
	brood_finish();
	brood_log(BROOD_LOG_INFO, "process exiting with exitcode %d", status & 0xff);
	/* To look costs less than to flush nothing. */
	if (__fpending(stdout) > 0)
		(void)fflush(stdout);
	if (__fpending(stderr) > 0)
		(void)fflush(stderr);
	/* For a parent that cannot be told otherwise. */
	if (bri_family()->far)
		atomic_store(&bri_family()->record->left, 256 + ((uint32_t)status & 0xff));
	bri_authkey_wipe();
	_exit(status & 0xff);
}

#ifdef __GLIBC__
/* Not in what that process forked by itself. */
static void end_by_exit(int status, void *generation)
{
	if ((uintptr_t)generation == (uintptr_t)bri_self_generation())
		bri_end(status);
}

void bri_end_at_exit(void)
{
	(void)on_exit(end_by_exit, (void *)(uintptr_t)bri_self_generation());
}
#else
void bri_end_at_exit(void)
{
}
#endif

/* Whether brood started this process: then it is ours to end. */
static bool is_ours(void)
{
	struct bri_family *family = bri_family();

	return family != NULL && family->record != NULL;
}

void brood_process_leave(int status)
{
	if (is_ours())
		bri_end(status);
	exit(status & 0xff);
}

void bri_fail_process(const brood_fail *fail)
{
	struct bri_family *family = bri_family();

	bri_log_failure(fail->text);
	if (family != NULL && family->record != NULL && !atomic_load(&family->record->failed)) {
		struct bri_record *record = family->record;

		record->error = fail->error;
		snprintf(record->step, sizeof(record->step), "%s", fail->step);
		memcpy(record->text, fail->text, sizeof(record->text));
		atomic_store(&record->failed, 1);
	}
	brood_process_leave(1);
}

void brood_process_fail(const char *format, ...)
{
	brood_fail fail = { .step = "process" };
	va_list args;

	va_start(args, format);
	(void)vsnprintf(fail.text, sizeof(fail.text), format, args);
	va_end(args);
	bri_fail_process(&fail);
	abort(); /* it does not return */
}
