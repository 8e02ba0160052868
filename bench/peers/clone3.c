#include "clone3.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static char stack[65536] __attribute__((aligned(64)));

static int child_exec(void *path)
{
	char *argv[] = { path, NULL };

	execve(path, argv, environ);
	return 127;
}

#if defined(__x86_64__)
/* The child comes back from the system call on a stack of its own, so it may not return from this
 * function: it calls child_exec() and exits right here. */
pid_t clone3_exec(const char *path, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = sizeof(stack),
	};
	long ret;
	register long function __asm__("r8") = (long)child_exec;
	register long argument __asm__("r9") = (long)path;

	__asm__ volatile("syscall\n\t"
			 "test %%rax,%%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp,%%ebp\n\t"
			 "mov %%r9,%%rdi\n\t"
			 "call *%%r8\n\t"
			 "mov %%eax,%%edi\n\t"
			 "mov $60,%%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "=a"(ret)
			 : "0"((long)SYS_clone3), "D"(&args), "S"(sizeof(args)), "r"(function),
			   "r"(argument)
			 : "rcx", "r11", "memory");
	if (ret < 0) {
		errno = (int)-ret;
		return -1;
	}
	return (pid_t)ret;
}
#else
pid_t clone3_exec(const char *path, int *ret_pidfd)
{
	return clone(child_exec, stack + sizeof(stack),
		     CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, (void *)(uintptr_t)path,
		     ret_pidfd);
}
#endif
