#!/usr/bin/env python3
"""kill_family.py STARTER - when a process is killed its function processes go with it, and theirs

STARTER is tests/children/starter. It is killed at random moments while it starts children that start children, by each method below
each, deaf to SIGTERM; in a part of the trials their servers, and they, are killed before it; and then it is killed at each system call
of a start, and so is who is started, and the server. Nobody and nothing may be left, and all must be gone within
the second: when somebody has been killed, the rest of him.

This process is a subreaper, so that whatever survives becomes its child. BROOD_TEST_LONG=1: more moments.
"""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from followed import LIBC, Killed
from traced import DEADLINE, Run, can_trace

TRIALS = 300 if os.environ.get('BROOD_TEST_LONG') else 100
LIMIT = 1.0
STRIDE = 1 if os.environ.get('BROOD_TEST_LONG') else 10
PR_SET_CHILD_SUBREAPER = 36
SEED = int(os.environ.get('BROOD_SEED') or random.randrange(1 << 32))


def processes():
    """(pid, parent, process group, session) of all."""
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as file:
                yield (int(name), *map(int, file.read().rsplit(')', 1)[1].split()[1:4]))
        except OSError:
            pass


def bury_all():
    """How long it took until no descendant was left, and what may be asked of a machine that lets this process oversleep so; None: some
    still lived after the deadline, and are killed."""
    began, overslept = time.monotonic(), 0.0
    while (now := time.monotonic()) < began + DEADLINE:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
                overslept = max(overslept, time.monotonic() - now)
        except ChildProcessError:
            return now - began, LIMIT + 20 * overslept
    for pid, parent, _, _ in processes():
        if parent == os.getpid():
            os.kill(pid, signal.SIGKILL)
    return None


class KillFamily(unittest.TestCase):
    longest = 0.0

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.names = set(os.listdir('/dev/shm'))

    def nothing_is_left(self):
        took = bury_all()
        self.assertIsNotNone(took, 'some live on')
        self.assertLess(*took)
        KillFamily.longest = max(self.longest, took[0])
        self.assertEqual(os.listdir(self.folder), [])
        # Others may be at work beside us, and clear up behind themselves.
        until = time.monotonic() + DEADLINE
        while (names := {name for name in os.listdir('/dev/shm') if name.startswith('brood')} - self.names) and time.monotonic() < until:
            time.sleep(0.01)
        self.assertEqual(names, set())

    def start(self):
        return subprocess.Popen([STARTER, 'kin'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                env={**os.environ, 'TMPDIR': self.folder}, start_new_session=True)

    def kill(self, parent):
        parent.kill()
        parent.wait()
        parent.stdout.close()
        self.nothing_is_left()

    def time_a_family(self):
        """Until all are there."""
        began, parent = time.monotonic(), self.start()
        self.assertEqual(parent.stdout.readline(), b'all\n')
        took = time.monotonic() - began
        self.kill(parent)
        return took

    def test_at_any_moment(self):
        chance, all_there = random.Random(SEED), self.time_a_family()
        for trial in range(TRIALS):
            delay = chance.uniform(0, all_there)
            with self.subTest(trial=trial, delay=delay, seed=SEED):
                parent = self.start()
                time.sleep(delay)
                self.kill(parent)
        print(f'BROOD_SEED={SEED}: {TRIALS} families, the last of one gone after {self.longest * 1000:.0f} ms at most')
        print(f'random-kills: kills={TRIALS} failures=0', flush=True)

    def test_servers_and_children_first(self):
        """A server has a process group of its own, and that it is killed hurts nobody else; where it is a child that is being
        started, the start fails, and its parent ends."""
        chance, all_there, killed = random.Random(SEED), self.time_a_family(), 0
        for trial in range(TRIALS // 5):
            with self.subTest(trial=trial, seed=SEED):
                parent = self.start()
                for _ in range(2):
                    time.sleep(chance.uniform(0, 0.5 * all_there))
                    kin = [(pid, group) for pid, _, group, session in processes() if session == parent.pid != pid]
                    servers = [pid for pid, group in kin if pid == group]
                    kin = servers if trial % 2 else [pid for pid, _ in kin]
                    if kin:
                        os.kill(chance.choice(kin), signal.SIGKILL)
                        killed += 1
                ended = parent.poll()
                self.kill(parent)
                self.assertIn(ended, (None,) if trial % 2 else (None, 1))
        self.assertGreater(killed, TRIALS // 8)

    def calls_of(self, mode, who):
        calls = {call.name: call for call in Run(mode).trace.calls if call.process in who}
        self.nothing_is_left()
        self.assertGreater(len(calls), 5)
        return calls.values()

    def test_at_each_call_of_a_start(self):
        if not can_trace():
            self.skipTest('no strace')
        for mode in 'fork', 'spawn', 'served':
            for call in self.calls_of(mode, ('parent',)):
                with self.subTest(mode=mode, call=call.name, number=call.number):
                    run = Run(mode, [f'{call.name}:signal=KILL:when={call.number}'])
                    self.assertFalse(run.hung)
                    self.assertEqual(run.status, -signal.SIGKILL)
                    self.nothing_is_left()

    def test_whoever_is_started_at_each_call(self):
        """The child, and the server and its children: the start goes well nevertheless, by another server, or fails."""
        if not can_trace():
            self.skipTest('no strace')
        kills = 0
        for mode, places in ('fork', 1), ('spawn', 1), ('server', 2):
            for place in range(1, places + 1):
                at = first = random.Random(SEED + place).randrange(1, STRIDE + 1)
                while (kill := Killed([STARTER, mode, 'uncounted'], place, at)).happened:
                    with self.subTest(mode=mode, place=place, call=at, seed=SEED):
                        self.assertEqual((kill.hung, kill.status), (False, 0))
                        self.assertRegex(kill.said, r'(?m)^-?\d+ \w+ \d+$' if mode == 'server' else r'(?m)^-\d+ \w+ \d+$')
                        self.assertNotIn('left', kill.said)
                        self.nothing_is_left()
                    kills += 1
                    at += STRIDE
                self.assertGreater(at, first, 'there is no such process')
                self.nothing_is_left()
        print(f'BROOD_SEED={SEED}: at a call of who is started: {kills} kills', flush=True)


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    STARTER = sys.argv.pop(1)
    Run.command = [STARTER]
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unittest.main(verbosity=1)
