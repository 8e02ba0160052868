#!/usr/bin/env python3
"""df_test.py PROGRAM - the example shows lines, the end, and why something does not start"""
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)


def run(*words):
    done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


class Df(unittest.TestCase):
    def test_df_is_shown_with_numbers(self):
        _, said, _ = run()  # its status is 1 where a file system may not be looked at
        self.assertRegex(said, r'^  1  Filesystem ')
        self.assertRegex(said, r'\nit exited with [01] after [\d.]+ ms, ')

    def test_the_end_of_other_programs_is_told(self):
        status, said, _ = run('sh', '-c', 'echo hello; exit 3')
        self.assertEqual(status, 1)
        self.assertRegex(said, r'^  1  hello\nit exited with 3 after ')
        self.assertRegex(run('sh', '-c', 'kill -9 $$')[1], r'^it was ended by signal 9 after ')
        self.assertEqual(run('true')[0], 0)

    def test_a_missing_program_is_told(self):
        self.assertEqual(run('/nowhere/df'),
                         (1, '', 'cannot start it: exec: /nowhere/df: No such file or directory\n'))


if __name__ == '__main__':
    unittest.main()
