#!/usr/bin/env python3
"""kill_family.py STARTER - when a process is killed its function processes go with it, and theirs

STARTER is tests/children/starter. It is killed at random moments while it starts children that start children, deaf to
SIGTERM, and then at each system call on its way through a start. Nobody may be left, and all must be gone within
the second, unless the machine was busy with others: the longest that it took is told.

This process is a subreaper, so that whatever survives becomes its child. BROOD_TEST_LONG=1: more moments.
"""
import ctypes
import os
import random
import signal
import subprocess
import sys
import time
import unittest

from traced import DEADLINE, Run, can_trace

TRIALS = 300 if os.environ.get('BROOD_TEST_LONG') == '1' else 100
PR_SET_CHILD_SUBREAPER = 36
SEED = int(os.environ.get('BROOD_SEED') or random.randrange(1 << 32))


def bury_all():
    """How long it took until no descendant was left; None: some still lived after the deadline, and are killed."""
    began = time.monotonic()
    while time.monotonic() < began + DEADLINE:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            return time.monotonic() - began
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as file:
                parent = int(file.read().rsplit(')', 1)[1].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            os.kill(int(name), signal.SIGKILL)
    return None


class KillFamily(unittest.TestCase):
    def test_at_any_moment(self):
        chance = random.Random(SEED)
        longest = 0.0
        for trial in range(TRIALS):
            delay = chance.uniform(0, 0.06)
            with self.subTest(trial=trial, delay=delay, seed=SEED):
                parent = subprocess.Popen([STARTER, 'kin'], stdin=subprocess.DEVNULL, start_new_session=True)
                time.sleep(delay)
                parent.kill()
                parent.wait()
                took = bury_all()
                self.assertIsNotNone(took, 'some live on')
                longest = max(longest, took)
        print(f'BROOD_SEED={SEED}: {TRIALS} families, the last of one gone after {longest * 1000:.0f} ms at most', flush=True)

    def test_at_each_call_of_a_start(self):
        if not can_trace():
            self.skipTest('no strace')
        for mode in 'fork', 'spawn', 'served':
            calls = {call.name: call for call in Run(mode).trace.calls if call.process == 'parent'}
            self.assertIsNotNone(bury_all())
            self.assertGreater(len(calls), 5)
            for call in calls.values():
                with self.subTest(mode=mode, call=call.name, number=call.number):
                    run = Run(mode, [f'{call.name}:signal=KILL:when={call.number}'])
                    self.assertFalse(run.hung)
                    self.assertEqual(run.status, -signal.SIGKILL)
                    self.assertIsNotNone(bury_all(), 'some live on')


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    STARTER = sys.argv.pop(1)
    Run.command = [STARTER]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unittest.main(verbosity=1)
