#!/usr/bin/env python3
"""kill_contained.py SPAWNER HOST STAY LEAVE - whoever is killed, no contained program survives

The first two are tests/children/spawner and host, the others programs to be contained. The host is
killed at each system call on its way through a contained start and a contained stop (strace), then at
random moments; its whole tree must go. The container helper is killed at random moments; the program
must go with it, and the host must see an end.

This process is a subreaper, so that whatever survives becomes its child. BROOD_TEST_LONG=1 makes the
random part longer, and kills at every call instead of once for each name.
"""
import ctypes
import errno
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import unittest

from traced import DEADLINE, FALLBACK, OLD, Run, can_trace

LONG = os.environ.get('BROOD_TEST_LONG') == '1'
TRIALS = 300 if LONG else 15
FAR, FAR_COUNT = ('close', 'openat', 'read'), 2000  # see tests/children/spawner.c
PR_SET_CHILD_SUBREAPER = 36
HOST = STAY = LEAVE = ''


def names_of_children():
    """{pid: name} of our children that still run."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
                name, rest = file.read().split('(', 1)[1].rsplit(')', 1)
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state not in 'ZX':
            found[int(pid)] = name
    return found


def survivors():
    """Names of what still runs below us after the deadline; it is killed then."""
    until = time.monotonic() + DEADLINE
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []
        if time.monotonic() > until:
            break
        time.sleep(0.002)
    left = names_of_children()
    for _ in range(100):
        for pid in names_of_children():
            os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.01)
    return sorted(left.values())


def children_of(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='utf-8') as file:
            return [int(child) for child in file.read().split()]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
        return []


def start_host(*words):
    return subprocess.Popen([HOST, '/', *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            start_new_session=True)


def end_of(process):
    """Its status, None when it hangs."""
    try:
        return process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


class KillContained(unittest.TestCase):
    def kill_at_each_call(self, mode):
        path = [call for call in Run(mode).trace.calls if call.process == 'parent']
        self.assertEqual(survivors(), [])
        self.assertGreater(len(path), 5)
        if not LONG:  # each name once, at its last
            path = list({call.name: call for call in path}.values())
        # What another injection refuses cannot be where the signal comes.
        path = [call for call in path if not (mode.endswith(OLD) and call.name in FALLBACK)]
        for call in path:
            with self.subTest(call=call.name, number=call.number):
                far = call.name in FAR
                number = call.number + (FAR_COUNT if far else 0)
                run = Run(mode, [f'{call.name}:signal=KILL:when={number}'], far=far)
                self.assertFalse(run.hung)
                self.assertEqual(run.status, -signal.SIGKILL)
                self.assertEqual(survivors(), [])

    def test_the_host_dies_at_each_call_of_a_start(self):
        self.kill_at_each_call('contained-tree')

    def test_the_host_dies_at_each_call_of_a_start_on_an_old_engine(self):
        self.kill_at_each_call('contained-tree' + OLD)

    def test_the_host_dies_at_each_call_of_a_stop(self):
        self.kill_at_each_call('stop-contained')

    def test_the_host_dies_at_any_moment(self):
        for trial in range(TRIALS):
            delay = random.uniform(0, 0.02)
            with self.subTest(trial=trial, delay=delay):
                host = start_host(LEAVE, 'child', 'session', 'double', 'then', 'stay')
                time.sleep(delay)
                host.kill()
                host.wait()
                self.assertEqual(survivors(), [])

    def test_the_helper_dies_at_any_moment(self):
        for trial in range(TRIALS):
            delay = random.uniform(0, 0.008)
            with self.subTest(trial=trial, delay=delay):
                host = start_host(STAY, 'stubborn')
                while not children_of(host.pid) and host.poll() is None:
                    time.sleep(0.0001)
                time.sleep(delay)
                for helper in children_of(host.pid):
                    with contextlib.suppress(ProcessLookupError):  # it was quicker
                        os.kill(helper, signal.SIGKILL)
                self.assertIsNotNone(end_of(host), 'the host sees no end')
                self.assertEqual(survivors(), [])


def main():
    global HOST, STAY, LEAVE
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    Run.command = [sys.argv.pop(1)]
    HOST, STAY, LEAVE = (sys.argv.pop(1) for _ in range(3))
    if not can_trace():
        return 77
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unittest.main(verbosity=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
