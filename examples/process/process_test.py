#!/usr/bin/env python3
"""process_test.py FOLDER - what the examples show"""
import os
import re
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = sys.argv.pop(1)
PATIENCE = 60
IDS = re.compile(r'(?<=pid=)\d+|(?<=parent=)\d+|(?<=process: )\d+|(?<=process id: )\d+|(?<=process )\d+(?=, and)'
                 r'|(?<=parent is )\d+|(?<=I, )\d+|(?<=process, )\d+|(?<=run on )\d+')


def lines_of(*command):
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True,
                          env=environment)
    return done.stdout.splitlines()


def said(name, *words):
    return lines_of(os.path.join(FOLDER, 'process-' + name), *words)


def without_ids(lines):
    """Ids are the first one, the second one, ... as they come; so are counts of processors."""
    seen = {}
    return [IDS.sub(lambda found: f'#{seen.setdefault(found.group(), len(seen))}', line) for line in lines]


class Twins(unittest.TestCase):
    """What an example prints is what its twin in Python does."""

    def compare(self, name, *words, in_order=True):
        ours = without_ids(said(name, *words))
        theirs = without_ids(lines_of(sys.executable, '-B', os.path.join(HERE, name + '.py'), *words))
        if not in_order:
            ours.sort()
            theirs.sort()
        self.assertEqual(ours, theirs)
        self.assertTrue(ours)

    def test_all_have_one(self):
        ours = {file[:-2] for file in os.listdir(HERE) if file.endswith('.c')} - {'supervised'}
        self.assertEqual(ours, {file[:-3] for file in os.listdir(HERE) if file.endswith('.py')} - {'process_test'})

    def test_hello(self):
        self.compare('hello')

    def test_three(self):
        self.compare('three', in_order=False)

    def test_daemon(self):
        self.compare('daemon', in_order=False)

    def test_daemon_with_join(self):
        self.compare('daemon', 'join', in_order=False)

    def test_subclass(self):
        self.compare('subclass', in_order=False)

    def test_environment(self):
        self.compare('environment')

    def test_ids(self):
        self.compare('ids')

    def test_sum(self):
        self.compare('sum', '8', '1000000')

    def test_sum_without_join(self):
        self.compare('sum', '3', '1000', 'leave', in_order=False)

    def test_resolve(self):
        self.compare('resolve', 'localhost', '127.0.0.1', '127.0.0.2', 'no.such.name.invalid')


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
            self.assertTrue(re.fullmatch(rf"<Process name='Process-{number}' pid=\d+ parent=\d+ stopped exitcode=0>", line), line)
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
        self.assertEqual(sorted(said('subclass')), [f'In Worker-{n + 1}: {n}' for n in range(5)])

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

    def test_supervised(self):
        self.assertEqual(said('supervised'), ['1', '2', '3', '4', '5', '6', 'started again 2 times, then status 0'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
