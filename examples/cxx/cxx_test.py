#!/usr/bin/env python3
"""cxx_test.py FOLDER - what the examples in C++ show"""
import os
import subprocess
import sys
import unittest

FOLDER = sys.argv.pop(1)
PATIENCE = 60


def said(status, name, *words):
    done = subprocess.run([os.path.join(FOLDER, 'cxx-' + name), *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    return done.stdout if done.returncode == status else done


class Examples(unittest.TestCase):
    def test_workers(self):
        words = ['router', 'bridge', 'hub', '']
        self.assertEqual(said(0, 'workers', *words), ' has 0 letters\nbridge has 6 letters\nhub has 3 letters\n'
                                                     'router has 6 letters\n')
        many = sorted(f'word{n}' for n in range(500))
        self.assertEqual(said(0, 'workers', *many).splitlines(), [f'{word} has {len(word)} letters' for word in many])
        self.assertEqual(said(0, 'workers'), '')

    def test_command(self):
        self.assertEqual(said(0, 'command'), 'hello\nexit status 0\n')
        self.assertEqual(said(0, 'command', 'sh', '-c', 'echo out; exit 3'), 'out\nexit status 3\n')
        self.assertEqual(said(0, 'command', 'sh', '-c', 'kill -9 $$'), 'killed by SIGKILL\n')
        self.assertEqual(said(1, 'command', '/no/such/program'),
                         'failed: exec: /no/such/program: No such file or directory\n')


if __name__ == '__main__':
    unittest.main(verbosity=2)
