/* tests/unit/peers.h - several processes on one piece of shared memory */
#ifndef TESTS_UNIT_PEERS_H
#define TESTS_UNIT_PEERS_H

#include <brood/base.h>
#include <check.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/run.h"

/* Long enough for whatever should happen, on a loaded machine too. */
#define PATIENCE_NS (20 * BROOD_SEC)

/* Zeroed memory that forked processes share; until the test's process ends. */
void *share(size_t size);

/* The same for processes that share nothing by themselves: who is started by others than fork gets at it by reach(), as the first
 * thing in main(); NULL: this is none of them. unshare_far() lets it go, in who made it. */
void *share_far(size_t size);
void *reach(size_t size);
void unshare_far(void);

/* Fixtures of tests that hold for each start method (brood/process.h): `s` is such memory, and what a test starts, and what that
 * starts, has the method from it. A server ends in unmake(). */
#define FIXTURES_OF_METHODS(s)                          \
	static void make_for(brood_start_method method) \
	{                                               \
		(s) = share_far(sizeof(*(s)));          \
		brood_set_start_method(method, true);   \
	}                                               \
	static void make_for_fork(void)                 \
	{                                               \
		make_for(BROOD_START_FORK);             \
	}                                               \
	static void make_for_spawn(void)                \
	{                                               \
		make_for(BROOD_START_SPAWN);            \
	}                                               \
	static void make_for_forkserver(void)           \
	{                                               \
		make_for(BROOD_START_FORKSERVER);       \
	}                                               \
	static void unmake(void)                        \
	{                                               \
		brood_finish();                         \
		unshare_far();                          \
	}                                               \
	_Static_assert(true, "a semicolon follows")

/* A forked process that runs body(arg) and ends with status 0; it is killed when we end. */
pid_t peer(void (*body)(void *), void *arg);

/* For a process of its own, which stays outside of the namespace that it makes: a peer() in another PID namespace, until its end. False:
 * a kernel or a container refuses that; and whoever has threads, as a sanitizer's runtime has, gets no user namespace. */
bool peer_elsewhere(void (*body)(void *));

/* Checks that it ends by itself, and that all its must()s held. */
void ck_finishes(pid_t pid);

/* Kills it and waits for its end. */
void finish_off(pid_t pid);

/* Waits for the end of one that is not ours to reap. */
void await_end_of(pid_t pid);

/* A check in a peer. */
#define must(condition)                                              \
	do {                                                         \
		if (!(condition))                                    \
			must_failed(__FILE__, __LINE__, #condition); \
	} while (0)
_Noreturn void must_failed(const char *file, int line, const char *condition);

/* Says "I am here", and "go on", between processes. */
typedef volatile int flag;
static inline void await(flag *f)
{
	while (!__atomic_load_n(f, __ATOMIC_ACQUIRE))
		nap_ms(1);
}
static inline void raise_flag(flag *f)
{
	__atomic_store_n(f, 1, __ATOMIC_RELEASE);
}

/* The processor time that a process has used, in ns. */
int64_t cpu_of(pid_t pid);

#endif
