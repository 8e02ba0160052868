#!/usr/bin/env python3
"""spawn_syscalls.py SPAWNER - every system call of the spawn path fails in turn

SPAWNER is tests/children/spawner. Each of its modes is run once under strace; what its processes
call between its two marks is the path. Then each of these calls is made to fail, by strace, with
the errors that it may have, and the spawner must say: it went well all the same (only where ALLOWED
says why that is right), or it failed with that error and a step. Nothing may be left behind, and
nothing may hang. A call on the path that no run made fail, fails.

By default each call, told apart by process and purpose, fails once with one or two errors; with
BROOD_TEST_LONG=1 each of its first MOST occurrences with all of them (a helper looks at every process
of the machine, call by call).
"""
import os
import sys
import unittest

from failing import Failing
from traced import OLD, Run, can_trace

# What each call may fail with; the first one or two are tried by default.
ERRORS = {
    'access': ['EACCES'],
    'chdir': ['EACCES', 'ENOENT'],
    'clone': ['EAGAIN', 'ENOMEM'],
    'clone3': ['EAGAIN', 'ENOSYS', 'ENOMEM', 'EPERM'],
    'close': ['EINTR', 'EIO'],
    'close_range': ['ENOSYS', 'EINVAL', 'EPERM'],
    'dup3': ['EBADF', 'EMFILE'],
    'execve': ['EACCES', 'ENOMEM', 'E2BIG', 'ENOENT', 'ETXTBSY'],
    'fcntl F_DUPFD_CLOEXEC': ['EMFILE', 'EINVAL'],
    'fcntl F_GETFD': ['EBADF'],
    'fcntl F_SETFD': ['EBADF'],
    'fcntl F_SETPIPE_SZ': ['EPERM', 'EBUSY', 'ENOMEM'],
    'getdents64': ['ENOENT'],
    'getpriority': ['ESRCH'],
    'getrandom': ['EAGAIN'],
    'getpgid': ['ESRCH', 'EPERM'],
    'kill': ['EPERM', 'ESRCH'],
    'madvise': ['EINVAL'],
    'mmap': ['ENOMEM'],
    'openat': ['EMFILE', 'EINTR', 'ENOENT'],
    'pidfd_open': ['ENOSYS', 'EMFILE', 'EPERM'],
    'pidfd_send_signal': ['EPERM'],
    'pipe2': ['EMFILE', 'ENFILE'],
    'poll': ['EINTR', 'ENOMEM'],
    'ppoll': ['EINTR', 'ENOMEM'],
    'prlimit64': ['EPERM'],
    'read': ['EIO', 'EINTR'],
    'recvfrom': ['EINTR', 'ENOMEM'],
    'rt_sigaction': ['EINVAL'],
    'rt_sigprocmask': ['EINVAL'],
    'sendto': ['EINTR', 'ENOBUFS'],
    'setgroups': ['EPERM', 'ENOMEM'],
    'setresgid': ['EPERM'],
    'setresuid': ['EAGAIN', 'EPERM'],
    'signalfd4': ['EMFILE', 'ENOMEM'],
    'socketpair': ['EMFILE', 'ENFILE'],
    'wait4': ['EINTR'],
    'waitid': ['EINTR'],
}
OTHER_ERRORS = ['EPERM', 'ENOMEM']

# Where success is right all the same, and why: (process, call, error or None for any).
LOADING = 'the C library starting the helper: without it, or the start is refused'
DATABASE = 'the C library asks another source, or knows no such name'
ALLOWED = {
    ('parent', 'getrandom', None): 'malloc does without',
    ('parent', 'mmap', None): 'the page of the fork generation: the pid tells nearly as much',
    ('parent', 'madvise', None): 'the same',
    ('parent', 'munmap', None): 'nothing can be done about it',
    ('parent', 'close', None): 'the kernel has released the number all the same',
    ('parent', 'access', None): 'the helper is looked for at the next place',
    ('parent', 'openat /proc', None): 'the list of ignored signals: all are reset then',
    ('parent', 'openat', 'EINTR'): 'repeated',
    ('parent', 'read', None): 'the list of ignored signals: all are reset then',
    ('parent', 'rt_sigprocmask restore', None): 'nothing can be done about it, and it cannot happen',
    ('parent', 'clone3', 'ENOSYS'): 'clone is taken instead',
    ('parent', 'clone3', 'EPERM'): 'clone is taken instead',
    ('parent', 'fcntl F_GETFD stdout', None): 'a closed standard output is as good as another',
    ('parent', 'recvfrom', 'EINTR'): 'repeated',
    ('parent', 'sendto', 'EINTR'): 'repeated',
    ('parent', 'ppoll', 'EINTR'): 'repeated',
    ('parent', 'waitid', 'EINTR'): 'repeated',
    ('parent', 'getpgid', None): 'the program is signalled beside its group',
    ('parent', 'kill', 'ESRCH'): 'the program is signalled beside its group',
    ('parent', 'recvfrom last', None): 'the record is lost with what the helper said last',
    ('child', 'umask', None): 'umask(2) cannot fail',
    ('child', 'close', None): 'the kernel has released the number all the same',
    ('child', 'close_range', 'ENOSYS'): 'the open ones are read from /proc',
    ('child', 'close_range', 'EPERM'): 'the open ones are read from /proc',
    ('child', 'execve', 'EACCES'): 'a later folder of PATH has the program',
    ('child', 'execve', 'ENOENT'): 'a later folder of PATH has the program',
    ('grandchild', 'execve', 'EACCES'): 'a later folder of PATH has the program',
    ('grandchild', 'execve', 'ENOENT'): 'a later folder of PATH has the program',
    ('helper', 'getrandom', None): 'malloc does without',
    ('helper', 'fcntl F_SETFD', None): 'the program then holds a socket that it does not know of',
    ('helper', 'prctl PR_SET_NAME', None): 'the name is for people',
    ('helper', 'rt_sigaction', None): 'it is the default already, and it cannot happen',
    ('helper', 'rt_sigprocmask restore', None): 'nothing can be done about it, and it cannot happen',
    ('helper', 'clone3', 'ENOSYS'): 'clone is taken instead',
    ('helper', 'clone3', 'EPERM'): 'clone is taken instead',
    ('helper', 'close', None): 'the kernel has released the number all the same',
    ('helper', 'close_range', None): 'the open ones are read from /proc',
    ('helper', 'chdir', None): 'it stays where it is',
    ('helper', 'newfstatat', None): 'the C library looks what it opened; another round follows',
    ('helper', 'getdents64', None): 'another round follows',
    ('helper', 'mmap', None): 'malloc: another round follows',
    ('helper', 'openat', None): 'another round follows',
    ('helper', 'openat /proc', None): 'another round follows',
    ('helper', 'readlink', None): 'the program is killed, another round follows',
    ('helper', 'read', None): 'another round follows',
    ('helper', 'pidfd_open', None): 'by number then, or another round follows',
    ('helper', 'pidfd_send_signal', None): 'another round follows',
    ('helper', 'kill', None): 'another round follows',
    ('helper', 'waitid', None): 'another round follows',
    ('helper', 'wait4', None): 'another round follows',
    ('helper', 'poll', None): 'another round follows',
    ('helper', 'recvfrom', None): 'a request that cannot be read ends the tree: this one wanted that',
    ('helper', 'sendto', 'EINTR'): 'repeated',
    ('helper', 'sendto last', None): 'the record is lost with what the helper says last',
}
# Failures that say another error than the injected one, which is right.
OTHER_WORDS = {
    ('parent', 'access', 'EACCES'): {'ENOENT', 'EACCES'},     # not at the last place either
    ('helper', 'sendto', 'ENOBUFS'): {'EPROTO'},              # the helper could not tell
    ('helper', 'fcntl F_SETFD', 'EBADF'): {'EPROTO'},
}
# The same function and the same number as in the process before it: strace cannot tell them apart,
# and the first to fail is the only one.
SHADOWED = {
    ('grandchild', 'rt_sigprocmask restore'): ('child', 'rt_sigprocmask restore'),
    ('grandchild', 'rt_sigaction'): ('child', 'rt_sigaction'),
    ('grandchild', 'setpgid'): ('child', 'setpgid'),
}


class SpawnSyscalls(Failing):
    errors, other_errors, allowed, other_words, shadowed = ERRORS, OTHER_ERRORS, ALLOWED, OTHER_WORDS, SHADOWED

    @classmethod
    def is_allowed(cls, call, error):
        if call.process == 'loading':
            return LOADING
        if call.process == 'database':
            return DATABASE
        return super().is_allowed(call, error)

    @classmethod
    def right_errors(cls, hits, error):
        right = super().right_errors(hits, error)
        if any(hit.process == 'loading' for hit in hits):
            right.add('EPROTO')
        if any(hit.process == 'database' for hit in hits):
            right.add('ENOENT')
        if any(hit.process == 'database' and hit.name == 'lseek' for hit in hits):
            right.add('ESPIPE')  # so the C library reads that a file of it cannot be positioned
        return right

    @classmethod
    def says_step(cls, mode):
        return not mode.startswith('stop')


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    Run.command = [sys.argv.pop(1)]
    if not can_trace():
        return 77
    modes = ['plain', 'inherit', 'join', 'setup', 'contained', 'join-contained', 'stop', 'stop-group', 'stop-contained',
             'plain' + OLD, 'inherit' + OLD, 'setup' + OLD, 'contained' + OLD]
    if os.geteuid() == 0:
        modes += ['ids', 'ids' + OLD, 'named']
    SpawnSyscalls.make_tests(modes)
    unittest.main(verbosity=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
