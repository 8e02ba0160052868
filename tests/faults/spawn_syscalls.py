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
import concurrent.futures
import errno
import os
import re
import sys
import unittest

from traced import FALLBACK, OLD, Run, can_trace

LONG = os.environ.get('BROOD_TEST_LONG') == '1'
MOST = 35

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
    'getdents64': ['ENOENT'],
    'getpriority': ['ESRCH'],
    'getrandom': ['EAGAIN'],
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
    ('helper', 'rt_sigprocmask', None): 'it cannot happen; a signal might end the helper',
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
# What is left behind by the injection itself: strace does not let the call happen.
NOT_HAPPENED = {'close': 'descriptor', 'rt_sigprocmask restore': 'signal'}


def errors_of(call):
    found = ERRORS.get(call.purpose) or ERRORS.get(call.name) or OTHER_ERRORS
    return found if LONG else found[:2]


def judge(run, mode, call, error):
    """None, or what is wrong with a run in which this call failed."""
    hits = [hit for hit in run.trace.calls if hit.injected and not (mode.endswith(OLD) and hit.name in FALLBACK)]
    if run.hung:
        return f'hangs; it said {run.said!r}'
    match = re.search(r'^(-?\d+) (\w+) (\d+)$', run.said, re.MULTILINE)
    if not match:
        return f'no verdict, status {run.status}; it said {run.said!r}'
    result, step, code = int(match.group(1)), match.group(2), int(match.group(3))
    if call.key() not in {hit.key() for hit in hits}:
        return f'the call did not fail there, but in {[hit.key() for hit in hits]}'
    if run.trace.astray:
        return 'the call did not fail there alone'
    excused = {NOT_HAPPENED[hit.purpose] for hit in hits if hit.purpose in NOT_HAPPENED}
    left = [line for line in re.findall(r'^left (.*)$', run.said, re.MULTILINE)
            if line.split()[0] not in excused]
    if left:
        return 'left behind: ' + ', '.join(left)
    if result == 0:
        if any(is_allowed(hit, error) for hit in hits):
            return None
        return 'it went well; if that is right, ALLOWED must say why'
    right = {error} | set().union(*(OTHER_WORDS.get((*hit.key(), error), set()) for hit in hits))
    if any(hit.process == 'loading' for hit in hits):
        right.add('EPROTO')
    if errno.errorcode.get(-result) not in right:
        return f'failed with {errno.errorcode.get(-result)} at {step}, and not with {" or ".join(sorted(right))}'
    if not mode.startswith('stop') and (step == 'none' or code != -result):
        return f'failed with {result}, and brood_fail says {step} {code}'
    return None


def is_allowed(call, error):
    if call.process == 'loading':
        return LOADING
    return ALLOWED.get((*call.key(), None)) or ALLOWED.get((*call.key(), error))


def cases_of(mode):
    """(call, error) to try, from one run in which nothing is made to fail."""
    run = Run(mode)
    if run.trace.marks != ['counted', 'begin', 'end'] or not re.search(r'^0 none 0$', run.said, re.MULTILINE):
        raise RuntimeError(f'{mode}: without a fault it said {run.said!r}, marks {run.trace.marks}')
    left = re.findall(r'^left .*$', run.said, re.MULTILINE)
    if left:
        raise RuntimeError(f'{mode}: without a fault {left}')
    seen, cases = {}, []
    # What succeeded first: a call that fails by itself (a folder without the program) shows less.
    for call in sorted(run.trace.calls, key=lambda call: call.own_failure):
        if mode.endswith(OLD) and call.name in FALLBACK:
            continue
        seen[call.key()] = seen.get(call.key(), 0) + 1
        if seen[call.key()] <= (MOST if LONG else 1):
            cases += [(call, error) for error in errors_of(call)]
    return cases, set(seen)


def try_case(case):
    mode, call, error = case
    wrong = None
    # A helper that stops a tree looks at every process of the machine: its numbers may reach those of
    # the spawner, which then has to count up further.
    far = call.process == 'helper' and call.number > NEAR
    for _ in range(3):  # scheduling decides how far a helper is when the second mark is written
        run = Run(mode, [f'{call.name}:error={error}:when={call.number}'], far=far)
        wrong = judge(run, mode, call, error)
        if not wrong or 'did not fail there' not in wrong:
            break
    return wrong


NEAR = 30  # below what tests/children/spawner counts up to


class SpawnSyscalls(unittest.TestCase):
    """Filled by make_tests()."""


# The same function and the same number as in the process before it: strace cannot tell them apart,
# and the first to fail is the only one.
SHADOWED = {
    ('grandchild', 'rt_sigprocmask restore'): ('child', 'rt_sigprocmask restore'),
    ('grandchild', 'rt_sigaction'): ('child', 'rt_sigaction'),
}


def make_tests(modes):
    cases, paths = [], {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for mode, (found, path) in zip(modes, pool.map(cases_of, modes)):
            cases += [(mode, call, error) for call, error in found]
            paths[mode] = path
        verdicts = list(pool.map(try_case, cases))
    failed = {mode: set() for mode in modes}
    for number, ((mode, call, error), wrong) in enumerate(zip(cases, verdicts)):
        missed = wrong is not None and 'did not fail there' in wrong
        if missed and (call.key() in SHADOWED or LONG):
            continue
        if not missed:
            failed[mode].add(call.key())

        def test(self, wrong=wrong):
            self.assertIsNone(wrong)
        name = f'test_{number:04}_{mode}_{call.process}_{call.purpose}_{call.number}_{error}'
        setattr(SpawnSyscalls, re.sub(r'\W+', '_', name), test)
    for mode in modes:
        everywhere = set().union(*failed.values())
        missing = sorted(key for key in paths[mode] - failed[mode] if SHADOWED.get(key) not in everywhere)

        def test_all(self, missing=missing):
            self.assertEqual(missing, [], 'calls on the path that no run made fail')
        setattr(SpawnSyscalls, re.sub(r'\W+', '_', f'test_every_call_of_{mode}_failed'), test_all)


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    Run.spawner = sys.argv.pop(1)
    if not can_trace():
        return 77
    modes = ['plain', 'inherit', 'contained', 'stop', 'stop-contained', 'plain' + OLD, 'inherit' + OLD,
             'contained' + OLD]
    if os.geteuid() == 0:
        modes += ['ids', 'ids' + OLD]
    make_tests(modes)
    unittest.main(verbosity=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
