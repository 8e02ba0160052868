#!/usr/bin/env python3
"""process_test.py FOLDER - what the examples show"""
import os
import re
import subprocess
import sys
import time
import unittest

FOLDER = sys.argv.pop(1)
PATIENCE = 60


def said(name, *words):
    done = subprocess.run([os.path.join(FOLDER, 'process-' + name), *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True)
    return done.stdout.splitlines()


class Examples(unittest.TestCase):
    def test_hello(self):
        lines = said('hello')
        self.assertEqual([line for line in lines if not line[-1].isdigit()],
                         ['main line', 'main: yes', 'function f', 'main: no', 'hello bob'])
        ids = [int(line.split(': ')[1]) for line in lines if line[-1].isdigit()]
        self.assertEqual(ids[0], os.getpid())
        self.assertEqual(ids[2], ids[1])
        self.assertNotEqual(ids[3], ids[1])

    def test_three(self):
        lines = said('three')
        self.assertEqual(len([line for line in lines if re.fullmatch(r'3 run on [1-9]\d* processors', line)]), 1)
        self.assertEqual(sorted(line for line in lines if line.startswith('worker')), ['worker 1', 'worker 2', 'worker 3'])
        ends = [line for line in lines if line.startswith('<')]
        for number, line in enumerate(ends, 1):
            self.assertTrue(re.fullmatch(rf"<Process 'Process-{number}' pid=\d+ parent=\d+ stopped exitcode=0>", line), line)
        self.assertEqual(len(ends), 3)

    def test_daemon(self):
        began = time.monotonic()
        lines = said('daemon')
        self.assertLess(time.monotonic() - began, PATIENCE)
        self.assertIn('Starting: non-daemon', lines)
        self.assertIn('Exiting: non-daemon', lines)
        self.assertNotIn('Exiting: daemon', lines)

    def test_daemon_with_join(self):
        self.assertEqual(sorted(said('daemon', 'join')),
                         ['Exiting: daemon', 'Exiting: non-daemon', 'Starting: daemon', 'Starting: non-daemon'])

    def test_subclass(self):
        self.assertEqual(sorted(said('subclass')), [f'In Process-{n + 1}: {n}' for n in range(5)])

    def test_environment(self):
        self.assertEqual(said('environment'), ['child, before: red, 3 numbers', 'child, after: blue, 4 numbers',
                                               'parent: red, 3 numbers'])

    def test_sum(self):
        self.assertEqual(said('sum'), ['4999999950000000', 'main line: the end'])
        self.assertEqual(said('sum', '3', '10'), ['45', 'main line: the end'])

    def test_sum_without_join(self):
        self.assertEqual(sorted(said('sum', '8', '100000000', 'leave')), ['4999999950000000', 'main line: the end'])

    def test_ids(self):
        found = re.fullmatch(r'I am child process (\d+), and my parent is (\d+), MainProcess\.\n'
                             r'I, (\d+), have made a child process, (\d+)\.', '\n'.join(said('ids')))
        self.assertTrue(found)
        child, parent, self_told, child_told = found.groups()
        self.assertEqual((child, parent), (child_told, self_told))
        self.assertNotEqual(child, parent)

    def test_resolve(self):
        numbers = [f'127.0.0.{n}' for n in range(1, 60)]
        self.assertEqual(said('resolve', 'localhost', '::1', *numbers),
                         ['61 asked', 'localhost: 127.0.0.1', '::1: no address', *(f'{n}: {n}' for n in numbers)])
        self.assertEqual(said('resolve'), ['0 asked'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
