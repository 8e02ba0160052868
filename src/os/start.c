/* Invariants of this file.
 *
 * 1. Between clone and exec the child may share the parent's memory (CLONE_VM | CLONE_VFORK: the
 *    calling thread is suspended, the others run). So the child makes raw system calls only, holds
 *    no lock, writes nothing but its own stack, `errno` of the suspended thread, the plan's moves
 *    and the report.
 * 2. No handler of the host may run in the child. Every signal is blocked from before the clone;
 *    the child drops all handlers before it unblocks any: by CLONE_CLEAR_SIGHAND, or by
 *    setting each disposition where the kernel or a filter refuses clone3.
 * 3. The report lies in memory that the parent reads after the vfork ends: on the parent's stack,
 *    or, where memory is not shared, in a shared mapping. It is not shared when uid, gid or groups
 *    are set: changed beside shared memory they would make the *parent* undumpable (commit_creds
 *    in the kernel); nor when there is a setup, which may do what it likes to memory.
 * 4. Whatever fails, the parent reaps the child it made, by pidfd, and restores its own mask. */
#include "os/start.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/version.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/self.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "brood needs the headers of Linux 5.10 or newer"
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

#define SIGNALS 64                /* the kernel's _NSIG, on both our machines */
#define CHILD_STACK 8192          /* the child calls a few small functions; signals are blocked */
#define SETUP_STACK (1024 * 1024) /* where it calls somebody else's, too */
#define LAST_ERRNO 4095           /* the kernel's MAX_ERRNO */

/* In the child: its functions share the parent's memory and end in exec, not in return, so that a
 * sanitizer's notes on its frames would stay behind as false ones on the parent's stack. */
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define IN_CHILD __attribute__((disable_sanitizer_instrumentation))
#endif
#endif
#ifndef IN_CHILD
#define IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))
#endif

typedef uint64_t kernel_sigset;

#define BIT(signum) (UINT64_C(1) << ((signum)-1))

/* Signals that hardly any process ignores: realtime ones (from the kernel's SIGRTMIN, 32, on), those
 * that a fault raises, which ignoring does not stop, and those that do nothing by default. */
#define RARE_SIGNALS                                                                    \
	(~UINT64_C(0) << 31 | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGBUS) | \
	 BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGSTKFLT) | BIT(SIGSYS) | BIT(SIGURG) | BIT(SIGWINCH))

/* The kernel's struct sigaction, of which only the first member matters here. */
union kernel_action {
	uintptr_t handler;
	char bytes[64];
};

struct child {
	const struct bri_start *start;
	struct bri_start_error *report;
	kernel_sigset mask;     /* what the program starts with */
	kernel_sigset rare;     /* those of RARE_SIGNALS that are ignored */
	bool handlers_are_gone; /* by CLONE_CLEAR_SIGHAND */
	pid_t parent;
};

const char *bri_step_name(enum bri_step step)
{
	static const char *const names[] = {
		[BRI_STEP_NONE] = "none",           [BRI_STEP_CLONE] = "clone",
		[BRI_STEP_SIGNALS] = "signals",     [BRI_STEP_SETSID] = "setsid",
		[BRI_STEP_SETPGID] = "setpgid",     [BRI_STEP_PDEATHSIG] = "pdeathsig",
		[BRI_STEP_NICE] = "nice",           [BRI_STEP_STDIO] = "stdio",
		[BRI_STEP_CLOSE] = "close",         [BRI_STEP_RLIMIT] = "rlimit",
		[BRI_STEP_SETGROUPS] = "setgroups", [BRI_STEP_SETGID] = "setgid",
		[BRI_STEP_SETUID] = "setuid",       [BRI_STEP_CHDIR] = "chdir",
		[BRI_STEP_SETUP] = "setup",         [BRI_STEP_EXEC] = "exec",
	};

	return (size_t)step < sizeof(names) / sizeof(names[0]) ? names[step] : "unknown";
}

/* The C library's sigprocmask() keeps its own signals (thread cancellation, setuid broadcast) out
 * of the set; here they must be blocked too, so it is the system call. */
IN_CHILD static int set_mask(const kernel_sigset *set, kernel_sigset *old)
{
	return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, old, sizeof(*set));
}

IN_CHILD static int fail_at(const struct child *child, enum bri_step step, int index)
{
	*child->report = (struct bri_start_error){ .step = step, .error = errno, .index = index };
	return -1;
}

/* The rare signals that this process ignores. They are reset as all others are, but asking the
 * kernel one by one costs as much as a tenth of a spawn, and nobody ignores them after start-up;
 * so they are read once, from /proc, and all are reset where that cannot be read. */
static kernel_sigset ignored_rare(void)
{
	static _Atomic(uint64_t) known_in;
	static _Atomic(kernel_sigset) known;
	uint64_t generation = bri_self_generation();
	bri_cleanup(bri_closep) int fd = -1;
	char status[4096], *line;
	ssize_t n;

	if (atomic_load(&known_in) == generation)
		return atomic_load(&known);
	fd = bri_open("/proc/thread-self/status", O_RDONLY, 0);
	n = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);
	status[n < 0 ? 0 : n] = '\0';
	line = strstr(status, "\nSigIgn:");
	if (line == NULL || strchr(line + 1, '\n') == NULL) /* long lists of groups come before */
		return RARE_SIGNALS;
	atomic_store(&known, strtoull(line + strlen("\nSigIgn:"), NULL, 16) & RARE_SIGNALS);
	atomic_store(&known_in, generation);
	return atomic_load(&known);
}

/* SIG_DFL for each signal. After CLONE_CLEAR_SIGHAND only ignored ones are left to reset. */
IN_CHILD static int reset_dispositions(const struct child *child)
{
	static const union kernel_action zeros; /* SIG_DFL */
	kernel_sigset skip = BIT(SIGKILL) | BIT(SIGSTOP);

	if (child->handlers_are_gone)
		skip |= RARE_SIGNALS & ~child->rare;
	for (int signum = 1; signum <= SIGNALS; signum++) {
		if ((skip & BIT(signum)) != 0)
			continue;
		if (syscall(SYS_rt_sigaction, signum, &zeros, NULL, sizeof(kernel_sigset)) < 0)
			return fail_at(child, BRI_STEP_SIGNALS, signum);
	}
	return 0;
}

/* With inherited signals the ignored stay ignored, and handlers go (exec would do it, but a signal
 * might come before). */
IN_CHILD static int drop_handlers(const struct child *child)
{
	static const union kernel_action zeros;
	union kernel_action now;

	for (int signum = 1; signum <= SIGNALS; signum++) {
		if (signum == SIGKILL || signum == SIGSTOP)
			continue;
		if (syscall(SYS_rt_sigaction, signum, NULL, &now, sizeof(kernel_sigset)) < 0 ||
		    (now.handler != (uintptr_t)SIG_IGN && now.handler != (uintptr_t)SIG_DFL &&
		     syscall(SYS_rt_sigaction, signum, &zeros, NULL, sizeof(kernel_sigset)) < 0))
			return fail_at(child, BRI_STEP_SIGNALS, signum);
	}
	return 0;
}

IN_CHILD static int ignore_sigchld(const struct child *child)
{
	const union kernel_action ignore = { .handler = (uintptr_t)SIG_IGN };

	if (syscall(SYS_rt_sigaction, SIGCHLD, &ignore, NULL, sizeof(kernel_sigset)) < 0)
		return fail_at(child, BRI_STEP_SIGNALS, SIGCHLD);
	return 0;
}

IN_CHILD static int set_signals(const struct child *child)
{
	if (!child->start->inherit_signals)
		return reset_dispositions(child);
	if (!child->handlers_are_gone && drop_handlers(child) < 0)
		return -1;
	return child->start->ignore_sigchld ? ignore_sigchld(child) : 0;
}

IN_CHILD static int set_place(const struct child *child)
{
	const struct bri_start *start = child->start;

	if (start->group == BRI_GROUP_SESSION && syscall(SYS_setsid) < 0)
		return fail_at(child, BRI_STEP_SETSID, 0);
	if (start->group == BRI_GROUP_NEW && syscall(SYS_setpgid, 0, 0) < 0)
		return fail_at(child, BRI_STEP_SETPGID, 0);
	if (start->group == BRI_GROUP_JOIN && syscall(SYS_setpgid, 0, start->join_group) < 0)
		return fail_at(child, BRI_STEP_SETPGID, 0);
	if (start->parent_death_signal != 0) {
		if (syscall(SYS_prctl, PR_SET_PDEATHSIG, start->parent_death_signal, 0, 0, 0) < 0)
			return fail_at(child, BRI_STEP_PDEATHSIG, 0);
		/* It only fires for deaths from now on. */
		if (syscall(SYS_getppid) != child->parent) {
			errno = ESRCH;
			return fail_at(child, BRI_STEP_PDEATHSIG, 0);
		}
	}
	return 0;
}

IN_CHILD static int set_nice(const struct child *child)
{
	/* The raw call gives 20 - nice, so that an answer is never negative. */
	long now = child->start->nice != 0 ? syscall(SYS_getpriority, PRIO_PROCESS, 0) : 0;

	if (child->start->nice == 0)
		return 0;
	if (now < 0 ||
	    syscall(SYS_setpriority, PRIO_PROCESS, 0, 20 - (int)now + child->start->nice) < 0) {
		if (errno == EACCES) /* nice(2) calls it so, too */
			errno = EPERM;
		return fail_at(child, BRI_STEP_NICE, 0);
	}
	return 0;
}

IN_CHILD static bool is_target(const struct bri_start *start, int fd)
{
	for (size_t i = 0; i < start->n_moves; i++)
		if (start->moves[i].to == fd)
			return true;
	return false;
}

/* A copy of `fd` at a number that no move writes to, *least or above; not simply above all targets,
 * where a limit might be. */
IN_CHILD static long copy_aside(const struct bri_start *start, int fd, int *least)
{
	for (;;) {
		long copy = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, *least);

		if (copy < 0)
			return copy;
		*least = (int)copy + 1;
		if (!is_target(start, (int)copy))
			return copy;
		syscall(SYS_close, copy);
	}
}

/* Any permutation: a source that is also some other move's target is first copied out of the way;
 * then each move is one dup. */
IN_CHILD static int move_descriptors(const struct child *child)
{
	const struct bri_start *start = child->start;
	int least = 3;
	long r;

	for (size_t i = 0; i < start->n_moves; i++) {
		struct bri_move *move = &start->moves[i];

		if (move->from < 0 || move->from == move->to || !is_target(start, move->from))
			continue;
		r = copy_aside(start, move->from, &least);
		if (r < 0)
			return fail_at(child, BRI_STEP_STDIO, (int)i);
		move->from = (int)r;
	}
	for (size_t i = 0; i < start->n_moves; i++) {
		const struct bri_move *move = &start->moves[i];

		if (move->from < 0)
			r = syscall(SYS_close, move->to) < 0 && errno != EBADF ? -1 : 0;
		else if (move->from == move->to)
			r = syscall(SYS_fcntl, move->to, F_SETFD, 0);
		else
			r = syscall(SYS_dup3, move->from, move->to, 0);
		if (r < 0)
			return fail_at(child, BRI_STEP_STDIO, (int)i);
	}
	return 0;
}

/* Where close_range is refused: the open ones by /proc/self/fd, read without the C library. */
IN_CHILD static int close_listed(const struct child *child)
{
	struct entry {
		uint64_t inode;
		int64_t offset;
		unsigned short size;
		unsigned char type;
		char name[];
	} * entry;
	_Alignas(struct entry) char block[1024];
	long folder =
		syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (folder < 0)
		return fail_at(child, BRI_STEP_CLOSE, 0);
	while ((n = syscall(SYS_getdents64, folder, block, sizeof(block))) > 0)
		for (char *at = block; at < block + n; at += entry->size) {
			int fd = 0;

			entry = (struct entry *)(void *)at;
			if (entry->name[0] == '.')
				continue;
			for (const char *digit = entry->name; *digit != '\0'; digit++)
				fd = fd * 10 + (*digit - '0');
			if (fd >= 3 && fd != folder && !is_target(child->start, fd))
				syscall(SYS_close, fd);
		}
	if (n < 0)
		return fail_at(child, BRI_STEP_CLOSE, 0);
	syscall(SYS_close, folder);
	return 0;
}

/* Closes all from 3 on but the targets, which ascend. */
IN_CHILD static int close_others(const struct child *child)
{
	unsigned low = 3;
	long r = 0;

	for (size_t i = 0; i < child->start->n_moves && r == 0; i++) {
		unsigned to = (unsigned)child->start->moves[i].to;

		if (to < 3)
			continue;
		if (to > low)
			r = syscall(SYS_close_range, low, to - 1, 0);
		low = to + 1;
	}
	if (r == 0)
		r = syscall(SYS_close_range, low, ~0U, 0);
	if (r < 0 && errno != ENOSYS && errno != EPERM)
		return fail_at(child, BRI_STEP_CLOSE, 0);
	return r < 0 ? close_listed(child) : 0;
}

IN_CHILD static int set_limits(const struct child *child)
{
	for (size_t i = 0; i < child->start->n_limits; i++) {
		const struct bri_limit *limit = &child->start->limits[i];
		const uint64_t pair[2] = { limit->soft, limit->hard };

		if (syscall(SYS_prlimit64, 0, limit->resource, pair, NULL) < 0)
			return fail_at(child, BRI_STEP_RLIMIT, (int)i);
	}
	return 0;
}

/* Groups first, user last: after the user is set, the right to change the others is gone. */
IN_CHILD static int set_ids(const struct child *child)
{
	const struct bri_start *start = child->start;

	if (start->set_groups && syscall(SYS_setgroups, start->n_groups, start->groups) < 0)
		return fail_at(child, BRI_STEP_SETGROUPS, 0);
	if (start->gid != NULL && syscall(SYS_setresgid, *start->gid, *start->gid, *start->gid) < 0)
		return fail_at(child, BRI_STEP_SETGID, 0);
	if (start->uid != NULL && syscall(SYS_setresuid, *start->uid, *start->uid, *start->uid) < 0)
		return fail_at(child, BRI_STEP_SETUID, 0);
	return 0;
}

/* The callback may never come back; what stands in the report meanwhile is then what happened. */
IN_CHILD static int call_setup(const struct child *child)
{
	const struct bri_start *start = child->start;
	int r;

	if (start->setup == NULL)
		return 0;
	errno = ECANCELED;
	fail_at(child, BRI_STEP_SETUP, 0);
	r = start->setup(start->setup_data);
	if (r == 0) {
		child->report->step = BRI_STEP_NONE;
		return 0;
	}
	errno = r < 0 && r >= -LAST_ERRNO ? -r : EINVAL;
	return fail_at(child, BRI_STEP_SETUP, 0);
}

/* As execvp(3): the first candidate that is there decides; one that may not be executed counts
 * only if none is found after it. No shell for a file without a first line. */
IN_CHILD static int exec_first(const struct child *child)
{
	const struct bri_start *start = child->start;
	int denied = -1;

	for (int i = 0; start->candidates[i] != NULL; i++) {
		syscall(SYS_execve, start->candidates[i], start->argv, start->envp);
		if (errno == EACCES && denied < 0)
			denied = i;
		else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			return fail_at(child, BRI_STEP_EXEC, i);
	}
	if (denied >= 0) {
		errno = EACCES;
		return fail_at(child, BRI_STEP_EXEC, denied);
	}
	return fail_at(child, BRI_STEP_EXEC, 0);
}

/* The straight line of the child; comes back only to report. Limits come after the descriptors
 * (RLIMIT_NOFILE may be below a number moved to), ids before the working directory (it is entered
 * with the rights that the program will have), and the callback last, so that nothing undoes what it
 * does. */
IN_CHILD static void child_steps(const struct child *child)
{
	const struct bri_start *start = child->start;

	if (set_signals(child) < 0 || set_place(child) < 0 || set_nice(child) < 0)
		return;
	if (start->umask != NULL)
		syscall(SYS_umask, *start->umask);
	if (move_descriptors(child) < 0 || (!start->keep_open && close_others(child) < 0))
		return;
	if (set_limits(child) < 0 || set_ids(child) < 0)
		return;
	if (start->cwd != NULL && syscall(SYS_chdir, start->cwd) < 0) {
		fail_at(child, BRI_STEP_CHDIR, 0);
		return;
	}
	if (set_mask(&child->mask, NULL) < 0) {
		fail_at(child, BRI_STEP_SIGNALS, 0);
		return;
	}
	if (call_setup(child) < 0)
		return;
	exec_first(child);
}

IN_CHILD static int child_main(void *argument)
{
	child_steps(argument);
	for (;;)
		syscall(SYS_exit_group, 127);
	return 0;
}

/* clone3 onto a stack of its own. The C library has no such call; the few instructions in which
 * the child must not touch the parent's frame are therefore ours. Returns the pid or -errno. */
static long clone3_call(struct clone_args *args, int (*function)(void *), void *argument)
{
#if defined(__x86_64__)
	long r;
	register int (*entry)(void *) __asm__("r8") = function;
	register void *with __asm__("r9") = argument;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(r)
			 : "0"((long)SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(entry),
			   "r"(with)
			 : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long r __asm__("x0") = (long)args;
	register long size __asm__("x1") = sizeof(*args);
	register long number __asm__("x8") = SYS_clone3;
	register int (*entry)(void *) __asm__("x10") = function;
	register void *with __asm__("x11") = argument;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x11\n\t"
			 "blr x10\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(r)
			 : "r"(size), "r"(number), "r"(entry), "r"(with)
			 : "memory", "cc", "x30");
	return r;
#else
	(void)args, (void)function, (void)argument;
	return -ENOSYS;
#endif
}

/* Clones by clone3, or by clone where that is refused (a seccomp filter of an older container
 * engine). Both suspend this thread until the child has exec'ed or ended. */
static pid_t clone_child(struct child *child, bool share_memory, char *stack, size_t size,
			 int *pidfd)
{
	unsigned long flags = CLONE_VFORK | CLONE_PIDFD | (share_memory ? CLONE_VM : 0);
	struct clone_args args = {
		.flags = flags | CLONE_CLEAR_SIGHAND,
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = size,
	};
	long r;

	child->handlers_are_gone = true;
	r = clone3_call(&args, child_main, child);
	if (r != -ENOSYS && r != -EPERM)
		return (pid_t)r;
	child->handlers_are_gone = false;
	r = clone(child_main, stack + size, (int)flags | SIGCHLD, child, pidfd);
	return r < 0 ? -errno : (pid_t)r;
}

struct stack {
	char *low;
	size_t size;
};

static int start_with(const struct bri_start *start, struct bri_start_error *report,
		      bool share_memory, struct stack stack, struct bri_process *ret_process)
{
	const kernel_sigset all = ~UINT64_C(0);
	struct child child = { .start = start, .report = report };
	struct bri_process process = { .pidfd = -1 };
	kernel_sigset old;

	if (start->parent_death_signal != 0)
		child.parent = getpid();
	if (set_mask(&all, &old) < 0) {
		*report = (struct bri_start_error){ .step = BRI_STEP_SIGNALS, .error = errno };
		return -report->error;
	}
	child.mask = start->mask != NULL ? *start->mask : start->inherit_signals ? old : 0;
	child.rare = start->inherit_signals ? 0 : ignored_rare();
	process.pid = clone_child(&child, share_memory, stack.low, stack.size, &process.pidfd);
	set_mask(&old, NULL);
	if (process.pid < 0) {
		*report = (struct bri_start_error){ .step = BRI_STEP_CLONE, .error = -process.pid };
		return process.pid;
	}
	if (report->step == BRI_STEP_NONE) {
		*ret_process = process;
		return 0;
	}
	if (report->step == BRI_STEP_SETUP) /* which may have become another program */
		bri_process_signal(&process, SIGKILL);
	bri_process_bury(&process);
	bri_closep(&process.pidfd);
	return -report->error;
}

/* Below it lies a page that nobody may touch: to overrun it ends the child. */
static int map_stack(struct stack *stack)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	char *low = mmap(NULL, guard + SETUP_STACK, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (low == MAP_FAILED)
		return -errno;
	*stack = (struct stack){ low, guard + SETUP_STACK };
	return mprotect(low + guard, SETUP_STACK, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

static void unmap_stack(struct stack *stack)
{
	if (stack->low != NULL)
		munmap(stack->low, stack->size);
}

/* In a copy of our memory, as fork makes it. */
static int start_apart(const struct bri_start *start, struct stack stack,
		       struct bri_process *ret_process, struct bri_start_error *ret_error)
{
	bri_cleanup(unmap_stack) struct stack larger = { NULL, 0 };
	struct bri_start_error *shared;
	int r = start->setup != NULL ? map_stack(&larger) : 0;

	shared = r < 0 ? MAP_FAILED :
			 mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		*ret_error = (struct bri_start_error){ .step = BRI_STEP_CLONE,
						       .error = r < 0 ? -r : errno };
		return -ret_error->error;
	}
	r = start_with(start, shared, false, larger.low != NULL ? larger : stack, ret_process);
	*ret_error = *shared;
	munmap(shared, sizeof(*shared));
	return r;
}

int bri_start(const struct bri_start *start, struct bri_process *ret_process,
	      struct bri_start_error *ret_error)
{
	_Alignas(16) char bytes[CHILD_STACK];
	const struct stack stack = { bytes, sizeof(bytes) };
	struct bri_start_error report = { .step = BRI_STEP_NONE };
	int r;

	if (start->uid != NULL || start->gid != NULL || start->set_groups || start->setup != NULL)
		return start_apart(start, stack, ret_process, ret_error);
	r = start_with(start, &report, true, stack, ret_process);
	*ret_error = report;
	return r;
}

int bri_signal_mask(uint64_t *ret_mask)
{
	kernel_sigset mask;

	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof(mask)) < 0)
		return -errno;
	*ret_mask = mask;
	return 0;
}

static size_t count_folders(const char *path)
{
	size_t n = 1;

	for (; *path != '\0'; path++)
		n += *path == ':';
	return n;
}

int bri_candidates(const char *program, const char *path, const char *const **ret_candidates)
{
	size_t folders, length = strlen(program);
	const char **list;
	char *text;

	if (*program == '\0')
		return -ENOENT;
	if (path == NULL)
		path = "/bin:/usr/bin";
	folders = strchr(program, '/') != NULL ? 1 : count_folders(path);
	/* The pointers, then the texts: folder, '/', program, NUL. */
	list = malloc((folders + 1) * sizeof(*list) + strlen(path) + folders * (length + 3));
	if (list == NULL)
		return -ENOMEM;
	text = (char *)(list + folders + 1);
	list[folders] = NULL;
	if (strchr(program, '/') != NULL) {
		list[0] = memcpy(text, program, length + 1);
		*ret_candidates = list;
		return 0;
	}
	for (size_t i = 0; i < folders; i++) {
		size_t folder = strcspn(path, ":");

		list[i] = text;
		text = mempcpy(text, folder > 0 ? path : ".", folder > 0 ? folder : 1);
		*text++ = '/';
		text = mempcpy(text, program, length + 1);
		path += folder + 1;
	}
	*ret_candidates = list;
	return 0;
}
