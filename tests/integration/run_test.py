"""`brood run`: statuses, streams, records, signals, and that nothing of a program is left."""
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import unittest

from server import BROOD, eventually, is_alive

LONG = 60  # seconds, far beyond what a busy machine needs


def run(*words, **options):
    options = {'stdin': subprocess.DEVNULL, **options}
    return subprocess.run([BROOD, 'run', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LONG,
                          check=False, **options)


def sh(script, *words, **options):
    return run(*words, '--', 'sh', '-c', script, **options)


def record(*words, **options):
    done = run('--json', *words, **options)
    lines = done.stdout.decode().split('\n')
    if len(lines) != 2 or lines[1] != '':
        raise AssertionError(done)
    return done.returncode, json.loads(lines[0])


class Status(unittest.TestCase):
    def test_it_is_the_programs(self):
        for status in (0, 1, 77, 124, 255):
            done = sh(f'exit {status}')
            self.assertEqual((done.returncode, done.stdout, done.stderr), (status, b'', b''))
        for signum in (1, 9, 15, 40):
            self.assertEqual(sh(f'kill -{signum} $$').returncode, 128 + signum)

    def test_what_does_not_start(self):
        with tempfile.TemporaryDirectory() as folder:
            def file(name, text, mode):
                path = os.path.join(folder, name)
                with open(path, 'w', encoding='utf-8') as to:
                    to.write(text)
                os.chmod(path, mode)
                return path
            plain = file('plain', '#!/bin/sh\n', 0o600)
            lost = file('lost', '#!/nowhere/sh\n', 0o700)
            garbage = file('garbage', 'neither a script nor a program\n', 0o700)
            for program, status, words in ((plain, 126, 'Permission denied'), (lost, 126, 'interpreter'),
                                           (garbage, 126, 'Exec format error'), (folder, 126, 'Permission denied'),
                                           ('/nowhere/df', 127, 'No such file'), ('no-such-program', 127, 'No such file')):
                with self.subTest(program=program):
                    done = run(program)
                    self.assertEqual((done.returncode, done.stdout), (status, b''))
                    self.assertIn(words, done.stderr.decode())
                    self.assertIn(program, done.stderr.decode())
                    status_again, told = record(program)
                    self.assertEqual((status_again, told['exit_code'], told['signal'], told['pid']),
                                     (status, None, None, None))
                    self.assertIn(words, told['error'])
        for words in (('--cwd', '/nowhere', 'true'), ('--input', '/nowhere', 'true')):
            done = run(*words)
            self.assertEqual(done.returncode, 125)
            self.assertIn(b'/nowhere', done.stderr)

    def test_a_wrong_command_line_names_the_option(self):
        for words, option in ((['--timeout', '5x', 'true'], '--timeout'), (['--timeout', '-1s', 'true'], '--timeout'),
                              (['--timeout'], '--timeout'), (['--kill-after', '', 'true'], '--kill-after'),
                              (['--tail', '0', 'true'], '--tail'), (['--tail', 'x', 'true'], '--tail'),
                              (['--json', '--limit', '1KB', 'true'], '--limit'), (['--limit', '5', 'true'], '--limit'),
                              (['--json', '--limit', '0', 'true'], '--limit'), (['--env', 'NAME', 'true'], '--env'),
                              (['--env', '=x', 'true'], '--env'), (['--frobnicate', 'true'], '--frobnicate'),
                              (['--json=yes', 'true'], '--json'), (['-x', 'true'], 'x'), ([], 'no program'),
                              (['--timeout', '5s', '--'], 'no program')):
            with self.subTest(words=words):
                done = run(*words)
                self.assertEqual((done.returncode, done.stdout), (125, b''))
                self.assertRegex(done.stderr.decode(), f'^brood run: .*{option}')
                self.assertIn('brood run: ', done.stderr.decode())

    def test_help(self):
        done = run('--help')
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        for option in ('--timeout', '--kill-after', '--json', '--tail', '--limit', '--no-contain', '--cwd', '--env',
                       '--input'):
            self.assertIn(option, done.stdout.decode())
        self.assertIn(b'  run ', subprocess.run([BROOD, '--help'], capture_output=True, timeout=LONG, check=True).stdout)

    def test_a_status_that_the_parent_did_not_want_is_told_all_the_same(self):
        for words in ((), ('--no-contain',)):
            done = sh('exit 5', *words, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
            self.assertEqual(done.returncode, 5)


class Streams(unittest.TestCase):
    def test_they_are_the_programs(self):
        done = sh('cat; echo err >&2', stdin=None, input=b'\0in\xff\r\n')
        self.assertEqual((done.stdout, done.stderr), (b'\0in\xff\r\n', b'err\n'))
        with tempfile.TemporaryFile() as out:
            subprocess.run([BROOD, 'run', 'readlink', '/proc/self/fd/1'], stdout=out, timeout=LONG, check=True)
            out.seek(0)
            self.assertTrue(out.read().startswith(tempfile.gettempdir().encode()))

    def test_words_stay_words(self):
        done = run('printf', '[%s]', '--json', '$HOME', '; exit 1', '*', '')
        self.assertEqual((done.returncode, done.stdout), (0, b'[--json][$HOME][; exit 1][*][]'))

    def test_directory_environment_and_input(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b'from a file\n')
            file.flush()
            done = sh('cat; pwd; echo "$A-$B-$KEPT"', '--cwd', '/usr', '--env', 'A=1', '--env', 'B=x=y', '--env',
                      'A=2', '--input', file.name, env={**os.environ, 'KEPT': 'kept'})
        self.assertEqual(done.stdout, b'from a file\n/usr\n2-x=y-kept\n')

    def test_nothing_else_is_open(self):
        done = run(sys.executable, '-ISc', 'import os; print(sorted(os.listdir("/proc/self/fd"))[:-1])')
        self.assertEqual(done.stdout, b"['0', '1', '2']\n")

    def test_the_tail_of_the_output(self):
        done = sh('seq 1000; seq 5 >&2; exit 4', '--tail', '2')
        self.assertEqual((done.returncode, done.stdout, done.stderr), (4, b'999\n1000\n', b'4\n5\n'))
        self.assertEqual(sh('printf "a\nb"', '--tail', '1').stdout, b'b')
        self.assertEqual(sh('printf "a\n\n"', '--tail', '1').stdout, b'\n')
        self.assertEqual(sh('echo a', '--tail', '9').stdout, b'a\n')
        self.assertEqual(sh('echo 123456', '--tail', '9', '--limit', '3').stdout, b'56\n')


class Record(unittest.TestCase):
    def test_it_tells_how_it_ended(self):
        status, told = record('sh', '-c', 'echo out; echo err >&2; exit 3')
        self.assertEqual(status, 3)
        self.assertGreater(told.pop('pid'), 1)
        self.assertIn(told.pop('wall_ms'), range(LONG * 1000))
        self.assertEqual(set(told.pop('rusage')), {'user_ms', 'system_ms', 'max_rss_bytes'})
        self.assertEqual(told, {'argv': ['sh', '-c', 'echo out; echo err >&2; exit 3'], 'exit_code': 3, 'signal': None,
                                'timed_out': False, 'stdout': 'out\n', 'stderr': 'err\n', 'stdout_bytes': 4,
                                'stderr_bytes': 4, 'truncated': False, 'replaced': False})
        status, told = record('sh', '-c', 'kill -9 $$')
        self.assertEqual((status, told['exit_code'], told['signal']), (137, None, 9))

    def test_its_text_is_utf8(self):
        cases = (b'', b'\0', b'a\r\n\tb"\\', 'é€😀'.encode(), b'\xff', b'\xc3', b'\xc3(', b'\xe2\x82', b'\xe2\x82x',
                 b'\xf0\x9f\x98', b'\xed\xa0\x80', b'\xc0\xaf', b'\xe0\x80\x80', b'\xf4\x90\x80\x80', b'\xf5\x80', b'\x80\xbf',
                 bytes(range(256)))
        for case in cases:
            with self.subTest(case=case):
                _, told = record('cat', stdin=None, input=case)
                self.assertEqual(told['stdout'], case.decode(errors='replace'))
                self.assertEqual(told['stdout_bytes'], len(case))
                self.assertEqual(told['replaced'], case.decode(errors='replace').encode() != case)
        _, told = record('echo', b'\xff')
        self.assertEqual((told['argv'], told['replaced']), (['echo', '\ufffd'], True))

    def test_what_is_not_kept_is_told(self):
        _, told = record('--limit', '4', 'printf', '123456')
        self.assertEqual((told['stdout'], told['stdout_bytes'], told['truncated']), ('1234', 6, True))
        _, told = record('--limit', '4', '--tail', '9', 'printf', '123456')
        self.assertEqual((told['stdout'], told['stdout_bytes'], told['truncated']), ('3456', 6, True))
        _, told = record('--tail', '1', 'printf', 'a\\nb\\n')
        self.assertEqual((told['stdout'], told['truncated']), ('b\n', True))
        _, told = record('--limit', '6', 'printf', '123456')
        self.assertEqual((told['stdout'], told['truncated']), ('123456', False))
        _, told = record('head', '-c', '3000000', '/dev/zero')
        self.assertEqual((len(told['stdout']), told['stdout_bytes'], told['truncated']), (1 << 20, 3000000, True))

    def test_a_cut_leaves_whole_characters(self):
        for limit in range(1, 9):
            for tail in ((), ('--tail', '1')):
                _, told = record('--limit', str(limit), *tail, 'printf', '%s', 'é€😀')
                self.assertFalse(told['replaced'], (limit, tail))
                text = 'é€😀'
                self.assertTrue(text.endswith(told['stdout']) if tail else text.startswith(told['stdout']))

    def test_a_record_that_cannot_be_written(self):
        with open('/dev/full', 'wb') as full:
            done = subprocess.run([BROOD, 'run', '--json', 'true'], stdout=full, stderr=subprocess.PIPE, timeout=LONG,
                                  check=False)
        self.assertEqual(done.returncode, 125)
        self.assertIn(b'No space left', done.stderr)


class Ends(unittest.TestCase):
    """Programs that do not end by themselves say the pids of all that they are."""

    BACKGROUND = 'setsid sh -c \'echo $$; trap "" TERM HUP; exec sleep 300\' & echo $$; '

    def start(self, *words, **options):
        options = {'stdin': subprocess.DEVNULL, **options}
        process = subprocess.Popen([BROOD, 'run', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        def end():
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
            process.stdout.close()
            process.stderr.close()
        self.addCleanup(end)
        return process

    def pids(self, process, count):
        pids = [int(process.stdout.readline()) for _ in range(count)]
        for pid in pids:
            self.assertTrue(is_alive(pid))
        return pids

    def assert_gone(self, pids):
        for pid in pids:
            eventually(lambda pid=pid: not is_alive(pid), f'the end of {pid}')

    def test_what_it_started_ends_with_it(self):
        done = sh('setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!')
        self.assertEqual(done.returncode, 0)
        self.assertFalse(is_alive(int(done.stdout)))
        done = sh('setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!', '--no-contain')
        self.assertTrue(is_alive(int(done.stdout)))
        os.kill(int(done.stdout), signal.SIGKILL)

    def test_a_time_out(self):
        for json_too in ((), ('--json',)):
            done = sh('sleep 300 & sleep 300', '--timeout', '200ms', *json_too)
            self.assertEqual(done.returncode, 124)
        told = json.loads(done.stdout)
        self.assertEqual((told['timed_out'], told['signal'], told['exit_code']), (True, 15, None))
        self.assertGreaterEqual(told['wall_ms'], 200)

    def test_a_time_out_of_a_stubborn_tree(self):
        process = self.start('--timeout', '3s', '--kill-after', '100ms', '--', 'sh', '-c',
                             self.BACKGROUND + 'trap "" TERM; while :; do sleep 0.1; done')
        pids = self.pids(process, 2)
        self.assertEqual(process.wait(LONG), 124)
        self.assert_gone(pids)
        status, told = record('--timeout', '100ms', '--kill-after', '0', 'sleep', '300')
        self.assertEqual((status, told['signal'], told['timed_out']), (124, 9, True))
        self.assertEqual(sh('trap "exit 9" TERM; while :; do sleep 0.05; done', '--timeout', '500ms').returncode, 124)

    def test_sigterm_is_for_the_whole_tree(self):
        for words in ((), ('--json',)):
            # The trap writes, so that the record is seen to be there, too.
            process = self.start(*words, '--', 'sh', '-c', 'trap "echo bye; exit 7" TERM; echo $$ >&2; echo $$;'
                                 'while :; do sleep 0.05; done', **({'bufsize': 0}))
            if not words:
                self.pids(process, 1)
            else:
                eventually(lambda: [pid for pid in self.children(process.pid)], 'the container')
                eventually(lambda: self.program_traps(process.pid), 'the trap')
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(LONG), 7)
        self.assertTrue(json.loads(process.stdout.read())['stdout'].endswith('bye\n'))

    @staticmethod
    def children(pid):
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
            return [int(word) for word in file.read().split()]

    def program_traps(self, pid):
        for helper in self.children(pid):
            for program in self.children(helper):
                with open(f'/proc/{program}/status', encoding='ascii') as file:
                    caught = re.search(r'SigCgt:\s*(\w+)', file.read())
                if int(caught.group(1), 16) >> (signal.SIGTERM - 1) & 1:
                    return True
        return False

    def test_sigterm_and_a_stubborn_program(self):
        process = self.start('--kill-after', '100ms', '--', 'sh', '-c',
                             'trap "" TERM; ' + self.BACKGROUND + 'while :; do sleep 0.1; done')
        pids = self.pids(process, 2)
        process.terminate()
        self.assertEqual(process.wait(LONG), 128 + 9)
        self.assert_gone(pids)

    def test_other_signals_are_for_the_program(self):
        for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            process = self.start('--', 'sh', '-c', f'trap "exit 9" {signum.value}; echo $$; while :; do sleep 0.05; done')
            self.pids(process, 1)
            process.send_signal(signum)
            self.assertEqual(process.wait(LONG), 9, signum)
        process = self.start('--', 'sh', '-c', 'echo $$; exec sleep 300')
        self.pids(process, 1)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LONG), 128 + 2)

    def test_a_terminals_interrupt_comes_once(self):
        pid, terminal = pty.fork()
        if pid == 0:
            # Each signal that is caught is said, however close they come.
            os.execv(BROOD, [BROOD, 'run', sys.executable, '-ISuc', 'import os, signal, sys, time\n'
                             'signal.signal(signal.SIGINT, lambda *_: os.write(1, b"caught\\n"))\n'
                             'print("ready")\nsys.stdin.readline()\ntime.sleep(0.3)\nsys.exit(6)'])
        said = b''
        try:
            while b'ready' not in said:
                said += os.read(terminal, 1000)
            os.write(terminal, b'\x03')
            while b'caught' not in said:
                said += os.read(terminal, 1000)
            os.write(terminal, b'end\n')
            while True:
                try:
                    said += os.read(terminal, 1000)
                except OSError:  # all ends of the terminal are closed
                    break
        finally:
            os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 6)
        self.assertEqual(said.count(b'caught'), 1, said)

    def test_what_was_ignored_stays_ignored(self):
        process = self.start('--', 'sh', '-c', 'echo $$; grep SigIgn /proc/self/status; read x; exit 8', stdin=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.pids(process, 1)
        self.assertTrue(int(process.stdout.readline().split()[1], 16) & 1)
        process.send_signal(signal.SIGHUP)
        process.stdin.close()
        self.assertEqual(process.wait(LONG), 8)

    def test_the_death_of_brood_run_ends_the_tree(self):
        process = self.start('--', 'sh', '-c', self.BACKGROUND + 'trap "" TERM; while :; do sleep 0.1; done')
        pids = self.pids(process, 2)
        process.kill()
        process.wait()
        self.assert_gone(pids)


if __name__ == '__main__':
    unittest.main()
