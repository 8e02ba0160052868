#!/usr/bin/env python3
"""process_syscalls.py STARTER - every system call of a function process's start fails in turn

STARTER is tests/children/starter. See failing.py. The path is a start, by fork, in a program of its own, or by a server, in the parent and in the child up to the
function's end, and the wait for that; and in the server, from its first look at its channel on, and in what it forks. A start that says 0 has to have a child that does as it should, unless the tables
say why not: nobody lives untied, and nobody reads the parent's stdin.
"""
import concurrent.futures
import errno
import sys
import unittest

from failing import Failing
from followed import Failed
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
KEY = 'a core dump has its key in it then'
TRACES = 'a crash leaves no traces then'
ALLOWED = {
    ('parent', 'fcntl F_GETFD', None): 'it tells that a stream is closed, which is no error; it cannot fail otherwise',
    ('parent', 'fcntl F_GETFD stdout', None): 'the same',
    ('parent', 'fcntl F_SETOWN', 'ESRCH'): 'all of its group has ended then',
    ('parent', 'madvise', None): KEY,
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
    ('parent', 'readv', None): 'the byte stays, in a pipe that is closed next',
    **{('parent', f'fcntl {what} group', None): 'it cannot happen; what is left of its group lives on' for what in ('F_SETSIG', 'F_SETFL')},
    ('parent', 'write group', None): 'it cannot happen; what is left of its group lives on',
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
    ('image', 'madvise', None): KEY,
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
# has no end. And where a call fails in the parent, too, there is no other process.
IMPOSSIBLE = {('parent', 'futex'), ('parent', 'close'), ('image', 'futex'), ('image', 'getrandom')}


class ProcessSyscalls(Failing):
    impossible = IMPOSSIBLE
    errors, other_errors, allowed, other_words = ERRORS, OTHER_ERRORS, ALLOWED, OTHER_WORDS

    @classmethod
    def says_step(cls, mode):
        return True


ANOTHER = 'it ends, and another one takes its place'
AGAIN = 'what could not be made is asked for again'
FOLLOWED_ALLOWED = {
    **{('server', call, None): ANOTHER for call in ('fcntl F_SETOWN', 'futex', 'getsockopt', 'recvmsg', 'signalfd4')},
    **{('server', call, None): AGAIN for call in ('clone', 'fcntl F_ADD_SEALS', 'fcntl F_SETFL', 'fcntl F_SETSIG', 'ftruncate', 'memfd_create',
                                                  'mmap shared', 'pidfd_open', 'sendmsg', 'socketpair')},
    **{('server', call, None): TRACES for call in ('mprotect', 'newfstatat', 'sigaltstack')},
    ('server', 'close', None): 'the kernel has released the number all the same',
    ('server', 'getrandom', None): 'the C library\'s malloc, which does without',
    ('server', 'madvise', None): 'a core dump has the key then',
    ('server', 'mmap', None): TRACES + '; or the C library\'s malloc does without',
    ('server', 'munmap', None): 'nothing can be done about it',
    ('server', 'openat', None): TRACES + '; or ' + AGAIN,
    ('server', 'poll', None): ANOTHER,
    ('server', 'ppoll', None): 'repeated',
    ('server', 'prlimit64', None): 'it has the room that it has',
    ('server', 'read', None): TRACES + '; or who has ended is found all the same',
    ('server', 'recvfrom', None): 'repeated',
    ('server', 'rt_sigaction', None): 'the default was inherited',
    ('server', 'sendto', None): 'the child\'s own note tells its end then',
    **{('served', call, None): ANOTHER for call in ('dup2', 'fcntl F_SETFD', 'fcntl F_SETOWN', 'poll', 'recvmsg')},
    **{('served', call, None): reason for (process, call, _), reason in ALLOWED.items() if process == 'child'},
    **{('image', call, None): reason for (process, call, _), reason in ALLOWED.items() if process == 'image'},
    ('image', 'munmap', None): TRACES,
    ('image', 'readlink', None): 'the path of the program is for words',
    ('served', 'prlimit64', None): 'it has the server\'s room',
    ('served', 'setpgid', None): 'where it is in another session it cannot join the owner\'s',
}
FOLLOWED_OTHER_WORDS = {
    # Who cannot be told is told by the end of the other. The words of the dynamic linker are in the text.
    **{key: words for key, words in OTHER_WORDS.items() if key[0] == 'image'},
    **{('image', f'{call} of the library', error): {'ENOENT'} for call in ('close', 'mmap', 'newfstatat', 'openat', 'read')
       for error in (*OTHER_ERRORS, *ERRORS.get(call, ()))},
    ('image', 'mprotect', 'ENOMEM'): {'ENOENT'},
    **{('served', call, error): {'EPROTO'} for call in ('dup2', 'fcntl F_SETFD', 'fcntl F_SETOWN', 'poll', 'sendto')
       for error in (*OTHER_ERRORS, *ERRORS.get(call, ()))},
}


class FollowedSyscalls(Failing):
    """The calls of the server, and of who is forked by it, of whom strace would have several fail at once; and of brood-loader."""
    errors, other_errors, allowed, other_words = ERRORS, OTHER_ERRORS, FOLLOWED_ALLOWED, FOLLOWED_OTHER_WORDS
    # waitid() does not wait there; it does not get a SIGCHLD that is not blocked.
    impossible = {*IMPOSSIBLE, ('server', 'rt_sigprocmask restore'), ('server', 'waitid')}
    workers = concurrent.futures.ProcessPoolExecutor
    short = 1
    # By mode: the place of who is on the path from its fork on, by the server, which has the first; without one, that is the image's.
    places = {'server': 2, 'again': 4, 'loaded': None}

    @classmethod
    def says_step(cls, mode):
        return True

    @classmethod
    def run_once(cls, mode, call=None, error=None):
        def role(place, state):
            if place == cls.places[mode]:
                return 'served'
            return ('server' if cls.places[mode] else 'image') if place == 1 and state == 'begun' else None
        return Failed([*Run.command, mode, 'uncounted'], role, call, getattr(errno, error or '', 0))


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    Run.command = [sys.argv.pop(1)]
    if not can_trace():
        return 77
    ProcessSyscalls.make_tests(['fork', 'limited', 'outlive', 'spawn', 'served'])
    if Failed.names:
        FollowedSyscalls.make_tests([*FollowedSyscalls.places])
    unittest.main(verbosity=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
