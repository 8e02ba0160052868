#!/usr/bin/env python3
"""primes_test.py PROGRAM - four processes and one array count right"""
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)


def run(*words):
    done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40, check=False)
    return done.returncode, done.stdout, done.stderr


class Primes(unittest.TestCase):
    def test_they_are_counted(self):
        self.assertEqual(run(), (0, '9592 primes below 100000, the largest is 99991\n', ''))
        self.assertEqual(run('10'), (0, '4 primes below 10, the largest is 7\n', ''))
        self.assertEqual(run('4'), (0, '2 primes below 4, the largest is 3\n', ''))

    def test_a_limit_out_of_range_is_refused(self):
        for limit in ('3', '-1', 'x', '10000001'):
            self.assertEqual(run(limit)[0], 2)


if __name__ == '__main__':
    unittest.main()
