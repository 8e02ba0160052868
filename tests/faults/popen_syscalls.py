#!/usr/bin/env python3
"""popen_syscalls.py POPENER ACT - every system call of popen's paths fails in turn

POPENER and ACT are tests/children/popener and act. See failing.py; what is right is less here than
it is for a start: a call that failed may be called again and then goes on, with nothing lost.
"""
import os
import sys
import unittest

from failing import Failing
from traced import Run, can_trace

# What each call may fail with; the first one is tried by default.
ERRORS = {
    'clone': ['EAGAIN'],
    'clone3': ['EAGAIN', 'ENOSYS'],
    'close': ['EINTR', 'EIO'],
    'close_range': ['ENOSYS'],
    'dup3': ['EBADF'],
    'epoll_create1': ['ENFILE', 'EMFILE', 'ENOMEM'],
    'epoll_ctl EPOLL_CTL_ADD': ['ENOSPC', 'ENOMEM'],
    'execve': ['EACCES'],
    'fcntl F_DUPFD_CLOEXEC': ['EMFILE'],
    'fcntl F_GETFD': ['EBADF'],
    'fcntl F_GETFL': ['EBADF'],
    'fcntl F_SETPIPE_SZ': ['EPERM', 'EBUSY'],
    'kill': ['ESRCH', 'EPERM'],
    'mmap': ['ENOMEM'],
    'openat': ['EACCES', 'EMFILE'],
    'pidfd_send_signal': ['EPERM'],
    'pipe2': ['EMFILE', 'ENFILE'],
    'ppoll': ['ENOMEM', 'EINTR'],
    'read': ['EIO', 'EINTR', 'EAGAIN'],
    'rt_sigprocmask': ['EINVAL'],
    'rt_sigtimedwait': ['EINTR'],
    'sendto': ['ENOBUFS', 'EINTR', 'EAGAIN', 'EPIPE'],
    'timerfd_create': ['ENFILE', 'EMFILE', 'ENOMEM'],
    'waitid': ['EINTR'],
    'write': ['ENOMEM', 'EINTR', 'EAGAIN'],
}
OTHER_ERRORS = ['EPERM', 'ENOMEM']

# Where success is right all the same, and why: (process, call, error or None for any).
ALLOWED = {
    ('parent', 'getrandom', None): 'malloc does without',
    ('parent', 'mmap', None): 'malloc does without, or little is read at a time',
    ('parent', 'mmap shared', None): 'the page of the fork generation: the pid tells nearly as much',
    ('parent', 'munmap', None): 'nothing can be done about it',
    ('parent', 'mprotect', None): 'malloc does without',
    ('parent', 'mremap', None): 'noted in .error: what was kept so far is kept',
    ('parent', 'madvise', None): 'it is for speed',
    ('parent', 'close', None): 'the kernel has released the number all the same',
    ('parent', 'openat /proc', None): 'the outlet is shared then, or: all signals are reset then',
    ('parent', 'read', None): 'noted in .error, or: all signals are reset then',
    ('parent', 'rt_sigprocmask restore', None): 'nothing can be done about it, and it cannot happen',
    ('parent', 'rt_sigtimedwait', None): 'repeated',
    ('parent', 'clone3', 'ENOSYS'): 'clone is taken instead',
    ('parent', 'ioctl TCGETS', None): 'no terminal then',
    ('parent', 'ioctl FIONREAD', None): 'the end, or that the pipe was full, is not seen yet',
    ('parent', 'ppoll', 'EINTR'): 'repeated',
    ('parent', 'ppoll', 'ENOMEM'): 'tried again by a stop',
    ('parent', 'poll', None): 'another turn follows',
    ('parent', 'waitid', 'EINTR'): 'repeated',
    ('parent', 'write', 'EINTR'): 'repeated',
    ('parent', 'write', 'EAGAIN'): 'another turn follows',
    ('parent', 'write', 'ENOMEM'): 'noted in .error; a stop goes on',
    ('parent', 'sendto', None): 'repeated, another turn follows, or noted in .error',
    ('parent', 'fcntl F_SETPIPE_SZ', None): 'the pipe stays as it is',
    ('parent', 'fcntl F_GETFL', None): 'the input is written by the page then',
    ('parent', 'fcntl F_SETFL', None): 'the input is written by the page then',
    ('parent', 'epoll_ctl EPOLL_CTL_ADD', None): 'the next step polls what is not entered',
    ('parent', 'epoll_ctl EPOLL_CTL_MOD', None): 'the next step polls what is not entered',
    ('parent', 'epoll_ctl EPOLL_CTL_DEL', None): 'what is closed is not in the list any more',
    ('parent', 'getpgid', None): 'the program is signalled beside its group',
    ('parent', 'kill', 'ESRCH'): 'the program is signalled beside its group',
    ('child', 'umask', None): 'umask(2) cannot fail',
    ('child', 'close', None): 'the kernel has released the number all the same',
    ('child', 'close_range', 'ENOSYS'): 'the open ones are read from /proc',
}
# Failures that say another error than the injected one, which is right.
OTHER_WORDS = {
    ('parent', 'fcntl F_GETFL', 'EBADF'): {'EBADF'},
}


# strace does not close then, and the program waits for the end of its input; without the signal mask a broken
# pipe ends the host; the poll is popener's own.
IMPOSSIBLE = {('parent', 'close'), ('parent', 'rt_sigprocmask'), ('parent', 'poll')}

# How much comes at once, and so when the heap gets more memory for it, is a matter of time: a run in which it did
# not is no failure. That want of memory loses nothing is what growing_test and popen_sink_test show, each time.
BY_CHANCE = {('parent', 'mmap'), ('parent', 'mremap'), ('parent', 'brk')}
# Whether a pipe is found full, and so grown, depends on who is scheduled when.
BY_PACE = {('parent', 'fcntl F_SETPIPE_SZ')}


class PopenSyscalls(Failing):
    impossible, strangers = IMPOSSIBLE, {'grandchild'}
    errors, other_errors, allowed, other_words, short = ERRORS, OTHER_ERRORS, ALLOWED, OTHER_WORDS, 1
    by_chance, by_pace = BY_CHANCE, BY_PACE

    @classmethod
    def says_step(cls, mode):
        return mode == 'start'


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    Run.command = [sys.argv.pop(1), sys.argv.pop(1)]
    if not can_trace():
        return 77
    PopenSyscalls.make_tests(['start', 'talk', 'wait', 'linger', 'tee', 'gone', 'cancel', 'stop', 'stop-deaf',
                              'stop-full', 'loop'])
    unittest.main(verbosity=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
