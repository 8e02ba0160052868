#!/usr/bin/env python3
"""process_syscalls.py STARTER - every system call of a function process's start fails in turn

STARTER is tests/children/starter. See failing.py. The path is a start, by fork, in a program of its own, or by a server, in the parent and in the child up to the
function's end, and the wait for that. A start that says 0 has to have a child that does as it should, unless the tables
say why not: nobody lives untied, and nobody reads the parent's stdin.
"""
import sys
import unittest

from failing import Failing
from traced import Run, can_trace

ERRORS = {
    'clone': ['EAGAIN', 'ENOMEM'],
    'clone3': ['EAGAIN', 'ENOMEM'],
    'close': ['EINTR', 'EIO'],
    'dup2': ['EBADF', 'EBUSY'],
    'dup3': ['EBADF', 'EBUSY'],
    'fcntl F_SETOWN': ['EINVAL', 'ESRCH'],
    'getpriority': ['ESRCH', 'EPERM'],
    'mmap': ['ENOMEM'],
    'mmap shared': ['ENOMEM'],
    'mprotect': ['ENOMEM'],
    'newfstatat': ['ENOENT', 'EACCES'],
    'openat': ['EMFILE', 'ENOENT'],
    'pidfd_open': ['EMFILE', 'ENOSYS'],
    'pipe2': ['EMFILE', 'ENFILE'],
    'prlimit64': ['EPERM', 'EINVAL'],
    'read': ['EIO', 'EINTR'],
    'sched_setaffinity': ['EINVAL', 'EPERM'],
    'setpriority': ['EPERM', 'ESRCH'],
    'waitid': ['EINTR'],
}
OTHER_ERRORS = ['EPERM', 'ENOMEM']

# Where success is right all the same, and why: (process, call, error or None for any).
TRACES = 'a crash leaves no traces then'
ALLOWED = {
    ('parent', 'fcntl F_GETFD', None): 'it tells that a stream is closed, which is no error; it cannot fail otherwise',
    ('parent', 'fcntl F_GETFD stdout', None): 'the same',
    ('parent', 'mmap', None): 'its identity lies in memory that is always there',
    ('parent', 'mprotect', None): 'its identity can be written over then',
    ('parent', 'munmap', None): 'nothing can be done about it',
    ('parent', 'pidfd_open', 'EMFILE'): 'the child\'s is opened again, with the number that was held for it',
    ('parent', 'pidfd_open', 'ENOSYS'): 'the same',
    ('parent', 'ppoll', None): 'another look follows, where the child is the server\'s',
    ('parent', 'read', 'EINTR'): 'repeated',
    ('parent', 'recvfrom last', None): 'the child\'s own note tells its end then',
    ('parent', 'recvmsg', None): 'the server is asked for another one',
    ('parent', 'sendto next', None): 'the next start asks for its process, if this did not',
    ('parent', 'readlink', None): 'the path of the program is for words',
    ('parent', 'rt_sigprocmask', None): 'nothing can be done about it, and it cannot happen',
    ('parent', 'rt_sigprocmask restore', None): 'nothing can be done about it, and it cannot happen',
    ('parent', 'waitid', 'EINTR'): 'repeated',
    ('child', 'close_range', None): 'done one by one then',
    ('child', 'close', None): 'the kernel has released the number all the same',
    ('child', 'mmap', None): 'its identity lies in memory that is always there',
    ('child', 'mprotect', None): 'its identity can be written over then',
    ('child', 'prctl PR_SET_NAME', None): 'the name is for ps(1)',
    ('child', 'rt_sigaction', None): TRACES,
    ('child', 'rt_sigprocmask restore', None): 'nothing can be done about it, and it cannot happen',
    ('child', 'set_robust_list', None): 'the C library\'s, which does not look',
    ('child', 'sigaltstack', None): TRACES,
    ('image', 'close', None): 'the kernel has released the number all the same',
    ('image', 'getrandom', None): 'the C library\'s malloc, which does without',
    ('image', 'mmap', None): 'its identity lies in memory that is always there',
    ('image', 'mprotect', None): 'its identity can be written over then',
    ('image', 'newfstatat', None): TRACES,  # the unwinder is loaded
    ('image', 'openat', None): TRACES,
    ('image', 'poll', None): 'repeated',
    ('image', 'prctl PR_SET_NAME', None): 'the name is for ps(1)',
    ('image', 'read', None): TRACES,
    ('image', 'rt_sigaction', None): TRACES,
    ('image', 'rt_sigprocmask restore', None): 'nothing can be done about it, and it cannot happen',
    ('image', 'sigaltstack', None): TRACES,
}
# Failures that say another error than the injected one, which is right.
OTHER_WORDS = {
    ('parent', 'newfstatat', 'ENOENT'): {'ENOTSUP'},  # it cannot be told whether other threads run
    ('parent', 'newfstatat', 'EACCES'): {'ENOTSUP'},
    **{('child', call, error): {'ECHILD'} for call in ('fcntl F_SETOWN', 'poll', 'ppoll', 'dup2', 'dup3')
       for error in (*OTHER_ERRORS, *ERRORS.get(call, ()))},
    # Who cannot be told is told by the end of the other.
    **{('image', call, error): {'EPROTO'} for call in ('fcntl F_SETOWN', 'getsockopt', 'sendto', 'poll', 'ppoll')
       for error in (*OTHER_ERRORS, *ERRORS.get(call, ()))},
    **{('parent', 'fcntl F_GETFD', error): {'EBADF'} for error in OTHER_ERRORS},
}


# The C library ends the process where it cannot wake; strace does not close then, and the wait for the child's word
# has no end.
IMPOSSIBLE = {('parent', 'futex'), ('parent', 'close'), ('image', 'futex')}


class ProcessSyscalls(Failing):
    impossible = IMPOSSIBLE
    errors, other_errors, allowed, other_words = ERRORS, OTHER_ERRORS, ALLOWED, OTHER_WORDS

    @classmethod
    def says_step(cls, mode):
        return True


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    Run.command = [sys.argv.pop(1)]
    if not can_trace():
        return 77
    ProcessSyscalls.make_tests(['fork', 'limited', 'outlive', 'spawn', 'served'])
    unittest.main(verbosity=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
