#include "sync/robust.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fence.h"
#include "sync/pause.h"

__thread struct bri_thread bri_thread_self BRI_TLS;

/* Musl tells the kernel of its list when the thread takes its first robust mutex that is shared. */
static void have_list_registered(void)
{
#ifndef __GLIBC__
	pthread_mutexattr_t robust;
	pthread_mutex_t mutex;

	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&mutex, &robust);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
#endif
}

/* Without /proc it is 0, and all who are in that position believe each other. */
static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)(uint32_t)st.st_ino : 0;
}

/* Whether another core could be at work on what this thread waits for. Asked of the kernel directly, which says
 * how much it wrote; more than 8192 processors it refuses to tell of, and they are more than one. */
static bool has_company(void)
{
	unsigned long cpus[8192 / (8 * sizeof(long))], seen = 0;
	long size = syscall(SYS_sched_getaffinity, 0, sizeof(cpus), cpus);

	for (long i = 0; i < size / (long)sizeof(*cpus); i++) {
		if (cpus[i] != 0 && (seen != 0 || (cpus[i] & (cpus[i] - 1)) != 0))
			return true;
		seen |= cpus[i];
	}
	return size < 0;
}

/* System calls alone, so that it may happen in a signal handler. */
int bri_thread_attach(struct bri_thread *self)
{
	struct bri_robust_head *head = NULL;
	uint64_t generation = bri_self_generation();
	size_t size = 0;

	have_list_registered();
	if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || head == NULL ||
	    size != sizeof(*head) || head->offset != BRI_WORD_OFFSET)
		return -ENOTSUP;
	self->generation = 0;
	atomic_signal_fence(memory_order_seq_cst);
	self->space = pid_namespace() << 32;
	self->head = head;
	self->tid = (uint32_t)syscall(SYS_gettid);
	self->pid = (uint32_t)getpid();
	self->held = 0;
	self->freed = 0;
	self->looks = has_company() ? BRI_LOOKS : 0;
	atomic_signal_fence(memory_order_seq_cst);
	self->generation = generation;
	return 0;
}

void bri_thread_count(struct bri_thread *self)
{
	if (self->freed < BRI_JOIN_AFTER && ++self->freed == BRI_JOIN_AFTER &&
	    bri_futex_can_watch() && bri_fence_join() == 0)
		self->freed = BRI_JOINED;
}

int bri_refusal_at(const struct bri_thread *self, const void *object, size_t place, uint64_t kind)
{
	uint64_t stamp;

	if (object == NULL || (uintptr_t)object % 8 != 0)
		return -EINVAL;
	if (self == NULL)
		return -ENOTSUP;
	stamp = __atomic_load_n((const uint64_t *)((uintptr_t)object + place), __ATOMIC_ACQUIRE);
	return (uint32_t)stamp != (uint32_t)kind ? -EINVAL : -EXDEV;
}

int bri_stampable(const struct bri_thread *self, const void *object)
{
	if (object == NULL || (uintptr_t)object % 8 != 0)
		return -EINVAL;
	return self == NULL ? -ENOTSUP : 0;
}
