#!/usr/bin/env python3
"""run_test.py FOLDER - what the examples show"""
import os
import subprocess
import sys
import tempfile
import unittest

FOLDER = sys.argv.pop(1)


def run(name, *words, **options):
    done = subprocess.run([os.path.join(FOLDER, name), *words], capture_output=True, text=True, timeout=60,
                          check=False, **options)
    return done.returncode, done.stdout, done.stderr


def script(folder, name, text):
    with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
        file.write('#!/bin/sh\n' + text)
    os.chmod(file.name, 0o700)
    return {**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'}


class Examples(unittest.TestCase):
    def test_df_grep(self):
        with tempfile.TemporaryDirectory() as folder:
            env = script(folder, 'df', 'echo Filesystem; echo /dev/sda1 9%; echo /dev/sdb1 3%; echo "df: no" >&2\n')
            self.assertEqual(run('df-grep', env=env), (0, '/dev/sda1 9%\n', 'df: no\n'))
            self.assertEqual(run('df-grep', 'sdb', env=env), (0, '/dev/sdb1 3%\n', 'df: no\n'))
            self.assertEqual(run('df-grep', '--nothing', env=env), (1, '', 'df: no\n'))
        self.assertIn('Filesystem', run('df-grep', 'Filesystem')[1])
        status, said, complaint = run('df-grep', env={'PATH': '/nowhere'})
        self.assertEqual((status, said), (2, ''))
        self.assertEqual(complaint, 'df-grep: exec: stage 1: df: No such file or directory\n')

    def test_lines(self):
        self.assertEqual(run('lines'), (0, '1: one has 3 letters\n2: two has 3 letters\n3: three has 5 letters\n'
                                        '4: four has 4 letters\n5: five has 4 letters\nthe worker ended with 0\n', ''))

    def test_password(self):
        secret = 'correct horse battery'
        wanted = subprocess.run(['sha256sum'], input=secret, capture_output=True, text=True, check=True).stdout[:64]
        self.assertEqual(run('password', input=secret + '\n'), (0, wanted + '\n', ''))
        self.assertEqual(run('password', input=''), (1, '', 'password: none given\n'))
        with tempfile.TemporaryDirectory() as folder:
            env = script(folder, 'sha256sum', 'cat /proc/self/environ /proc/$$/cmdline /proc/$PPID/cmdline >"$SEEN"; cat\n')
            seen = os.path.join(folder, 'seen')
            self.assertEqual(run('password', input=secret, env={**env, 'SEEN': seen}), (0, secret + '\n', ''))
            with open(seen, 'rb') as file:
                seen = file.read()
            self.assertIn(b'password', seen)  # the name of the example itself
            self.assertNotIn(secret.encode(), seen)
            self.assertNotIn(b'horse', seen)

    def test_injection(self):
        with tempfile.TemporaryDirectory() as folder:
            status, said, complaint = run('injection', "it's\r\x07$(reboot)", cwd=folder)
            self.assertEqual((status, complaint), (0, ''))
            self.assertEqual(said.count('word same, parameter same, quoted same: ['), 13)
            self.assertNotIn('CHANGED', said)
            self.assertEqual(os.listdir(folder), [])

    def test_two_programs(self):
        with tempfile.TemporaryDirectory() as folder:
            # Each waits for the other: one after the other they would never end.
            os.mkfifo(os.path.join(folder, 'a'))
            os.mkfifo(os.path.join(folder, 'b'))
            status, said, complaint = run('two-programs', 'echo begin; echo 1 >a; cat b; printf end',
                                          'cat a; echo 2 >b; exit 3', cwd=folder)
        self.assertEqual((status, complaint), (0, ''))
        lines = said.splitlines()
        self.assertEqual([line for line in lines if line.startswith('first: ')],
                         ['first: begin', 'first: 2', 'first: end', 'first: exit status 0'])
        self.assertEqual([line for line in lines if line.startswith('second: ')],
                         ['second: 1', 'second: exit status 3'])
        self.assertEqual(len(lines), 6)


if __name__ == '__main__':
    unittest.main()
