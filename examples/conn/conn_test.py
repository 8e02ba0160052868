#!/usr/bin/env python3
"""conn_test.py PROGRAM - what the example shows"""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = sys.argv.pop(1)


def messages_of(file):
    """Whose they are, and their numbers."""
    file.seek(0)
    lines = [line.split() for line in file.read().decode().splitlines()]
    return [(words[1], int(words[3])) for words in lines if words[:1] == ['reader'] and words[2] == 'message']


class Example(unittest.TestCase):
    def test_each_message_comes_once(self):
        with tempfile.TemporaryFile() as file:
            self.assertEqual(subprocess.run([PROGRAM, '500'], stdout=file, timeout=60, check=False).returncode, 0)
            got = messages_of(file)
        self.assertEqual(sorted(number for _, number in got), list(range(1, 501)))
        for reader in ('1:', '2:'):
            numbers = [number for who, number in got if who == reader]
            self.assertEqual(numbers, sorted(numbers))

    def test_when_a_reader_is_killed_the_other_goes_on(self):
        with tempfile.TemporaryFile() as file:
            program = subprocess.Popen([PROGRAM, '1000000'], stdout=file)
            try:
                with open(f'/proc/{program.pid}/task/{program.pid}/children', encoding='ascii') as children:
                    pids = []
                    until = time.monotonic() + 30
                    while len(pids) < 3:
                        self.assertLess(time.monotonic(), until)
                        children.seek(0)
                        pids = [int(pid) for pid in children.read().split()]
                _, first, second = sorted(pids)
                os.kill(first, signal.SIGKILL)
                self.grows(file)
                os.kill(second, signal.SIGKILL)  # nobody is left, and the writer is told
                self.assertEqual(program.wait(60), 1)
            finally:
                program.kill()
                program.wait()

    def grows(self, file):
        size, until = os.fstat(file.fileno()).st_size, time.monotonic() + 30
        while os.fstat(file.fileno()).st_size < size + 1000:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)


if __name__ == '__main__':
    unittest.main()
