#include "os/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/clock.h"

#define SLICE \
	(50 * \
	 BROOD_MSEC) /* how long a change may go unseen where several words cannot be watched */
#define FUTEX_32 2   /* FUTEX2_SIZE_U32 of newer headers */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* As the kernel has it; headers before 5.16 do not. */
struct waitv {
	uint64_t expected, address;
	uint32_t flags, reserved;
};

static struct timespec *absolute(int64_t deadline, struct timespec *storage)
{
	if (deadline == BROOD_FOREVER)
		return NULL;
	storage->tv_sec = deadline / BROOD_SEC;
	storage->tv_nsec = deadline % BROOD_SEC;
	return storage;
}

static int outcome(long r)
{
	if (r >= 0 || errno == EAGAIN || errno == EINTR)
		return 0;
	return -errno;
}

/* Of the calls only FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock. */
int bri_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline)
{
	struct timespec storage;

	return outcome(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected,
			       absolute(deadline, &storage), NULL, FUTEX_BITSET_MATCH_ANY));
}

static int wait_slice(const struct bri_watch *watch, int64_t deadline)
{
	int64_t end = bri_deadline(SLICE);
	int r = bri_futex_wait(watch->word, watch->expected, end < deadline ? end : deadline);

	return r == -ETIMEDOUT && end < deadline ? 0 : r;
}

int bri_futex_wait_any(const struct bri_watch *watches, size_t n, int64_t deadline)
{
	static atomic_bool missing;
	struct waitv all[BRI_MOST_WATCHES];
	struct timespec storage;
	int r;

	if (n == 1)
		return bri_futex_wait(watches->word, watches->expected, deadline);
	if (n > BRI_MOST_WATCHES || atomic_load_explicit(&missing, memory_order_relaxed))
		return wait_slice(watches, deadline);
	for (size_t i = 0; i < n; i++)
		all[i] = (struct waitv){ .expected = watches[i].expected,
					 .address = (uintptr_t)watches[i].word,
					 .flags = FUTEX_32 };
	r = outcome(
		syscall(SYS_futex_waitv, all, n, 0, absolute(deadline, &storage), CLOCK_MONOTONIC));
	if (r != -ENOSYS && r != -EPERM)
		return r;
	atomic_store_explicit(&missing, true, memory_order_relaxed);
	return wait_slice(watches, deadline);
}

/* None at all is one too few: -EINVAL, from who knows the call. */
bool bri_futex_can_watch(void)
{
	return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, CLOCK_MONOTONIC) < 0 && errno == EINVAL;
}

int bri_futex_wake(const uint32_t *word, int n)
{
	return (int)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

/* The call could wake sleepers of a second word on a condition; the condition here, "was 0x7ff", is as
 * good as never met, and if it is, one more wakes for nothing. */
int bri_futex_change(uint32_t *word, enum bri_change how, unsigned operand, int n)
{
	uint32_t what =
		(uint32_t)how << 28 | FUTEX_OP_CMP_EQ << 24 | (operand & 0xfff) << 12 | 0x7ff;

	return (int)syscall(SYS_futex, word, FUTEX_WAKE_OP, n, NULL, word, what);
}

/* Every sleeper is moved from the word to the same word, and the kernel says how many were. */
int bri_futex_count(uint32_t *word)
{
	long n;

	do
		n = syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 0, (long)INT32_MAX, word,
			    __atomic_load_n(word, __ATOMIC_RELAXED));
	while (n < 0 && errno == EAGAIN);
	return n < 0 ? 0 : (int)n;
}
