#!/usr/bin/env python3
"""run_command_test.py PROGRAM - the answers of the helper"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
ANSWER = re.compile(r'returned ([^\n]*)\ncode (-?\d+)\nout \[(.*?)\]\nerr \[(.*?)\]\nerror \[(.*?)\]\n', re.DOTALL)


def run(*words, answers=1, env=None, log=None):
    done = subprocess.run([PROGRAM, *words], capture_output=True, timeout=60, check=True,
                          env={**os.environ, **(env or {})})
    if log is None and done.stderr != b'':
        raise AssertionError(done)
    if log is not None:
        log.extend(done.stderr.decode().splitlines())
    found = ANSWER.findall(done.stdout.decode())
    if len(found) != answers:
        raise AssertionError(done)
    found = [(returned, int(code), out, err, error) for returned, code, out, err, error in found]
    return found[0] if answers == 1 else found


class RunCommand(unittest.TestCase):
    def test_a_list_is_arguments(self):
        self.assertEqual(run('printf', '%s|', '$HOME', 'a b', '; exit 1'), ('0', 0, '$HOME|a b|; exit 1|', '', ''))

    def test_a_string_is_a_path(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'a program')
            with open(path, 'w', encoding='utf-8') as file:
                file.write('#!/bin/sh\necho "$# words"\n')
            os.chmod(path, 0o700)
            self.assertEqual(run('--string', path), ('0', 0, '0 words\n', '', ''))
            self.assertEqual(run('--string', 'echo hello'),
                             ('0', -1, '', 'exec: echo hello: No such file or directory',
                              'exec: echo hello: No such file or directory'))

    def test_a_shell_reads_it_only_when_asked(self):
        for words in (('--string',), ()):
            self.assertEqual(run('--shell', *words, 'echo a | tr a b; exit 4'), ('0', 4, 'b\n', '', ''))

    def test_the_language_is_forced(self):
        hostile = {'LC_ALL': 'C', 'LC_MESSAGES': 'de_DE', 'LANGUAGE': 'fr', 'LANG': 'C', 'LC_CTYPE': 'C'}
        _, _, out, _, _ = run('env', env=hostile)
        seen = dict(line.split('=', 1) for line in out.splitlines())
        self.assertEqual({name: value for name, value in seen.items() if name.startswith(('LC_', 'LANG'))},
                         {'LANG': 'en_US.UTF-8'})
        self.assertEqual(seen['FROM'], 'run-command')
        self.assertEqual(seen['PATH'], os.environ['PATH'])

    def test_input_and_none(self):
        self.assertEqual(run('--input', 'é\n', 'cat'), ('0', 0, 'é\n', '', ''))
        self.assertEqual(run('cat'), ('0', 0, '', '', ''))

    def test_output_is_text(self):
        self.assertEqual(run('printf', 'a\\r\\nb\\377\\n')[2], 'a\nb\ufffd\n')
        self.assertEqual(run('--throws', 'printf', '\\377'), ('0', 0, '\ufffd', '', ''))

    def test_failures_are_values(self):
        self.assertEqual(run('sh', '-c', 'echo half; echo why >&2; exit 3'), ('0', 3, 'half\n', 'why\n', ''))
        self.assertEqual(run('sh', '-c', 'kill -9 $$')[:2], ('0', -9))
        text = 'exec: /nowhere: No such file or directory'
        self.assertEqual(run('/nowhere'), ('0', -1, '', text, text))
        text = 'timeout: sleep: not ended after 0.1 s'
        self.assertEqual(run('--timeout-ms', '100', 'sleep', '300'), ('0', -1, '', text, text))

    def test_or_they_are_thrown(self):
        self.assertEqual(run('--throws', 'true'), ('0', 0, '', '', ''))
        self.assertEqual(run('--throws', 'sh', '-c', 'echo half; echo why >&2; exit 3'),
                         ('Remote I/O error', 3, 'half\n', 'why\n', 'status: sh: exit status 3: why'))
        returned, _, out, _, error = run('--throws', '/nowhere')
        self.assertEqual((returned, out, error),
                         ('No such file or directory', '', 'exec: /nowhere: No such file or directory'))
        self.assertEqual(run('--throws', '--timeout-ms', '100', 'sleep', '300')[0], 'Connection timed out')

    def test_the_log_has_no_secret(self):
        log = []
        run('--log', '--input', 'secret', 'cat', '-', log=log)
        self.assertEqual(len(log), 2)
        self.assertRegex(log[0], r'^log: \d+: cat -$')
        self.assertRegex(log[1], r'^log: \d+: cat -: exit status 0, \d+ ms$')

    def test_two_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            # Who comes first waits for the other.
            meet = f'cd {folder}; if mkdir first 2>/dev/null; then mkfifo pipe; mv pipe here; cat here; ' \
                   'else until [ -p here ]; do sleep 0.02; done; echo hello >here; fi'
            answers = run('--async', '--shell', '--string', meet, answers=2)
        self.assertEqual(sorted(answers), [('0', 0, '', '', ''), ('0', 0, 'hello\n', '', '')])
        self.assertEqual(run('--async', '/nowhere', answers=2), [run('/nowhere')] * 2)
        self.assertEqual([answer[:2] for answer in run('--async', '--throws', 'false', answers=2)],
                         [('Remote I/O error', 1)] * 2)


if __name__ == '__main__':
    unittest.main()
