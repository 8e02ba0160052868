"""What a program finds when it is started, what becomes of its output, and what the log says of it."""
import json
import os
import re
import sys
import secrets
import tempfile
import unittest

from server import OwnServerTest, ServerTest, eventually, gate, parse_log_line, process

# Says where it is; its descriptors are counted after the folder that lists them is closed.
REPORT = """
import json, os, stat, sys
def is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False
fds = [fd for fd in map(int, os.listdir('/proc/self/fd')) if is_open(fd)]
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
print(json.dumps({'env': dict(os.environ), 'cwd': os.getcwd(), 'argv': sys.argv[1:], 'fds': sorted(fds),
                  'session': os.getsid(0) == os.getpid(), 'group': os.getpgrp() == os.getpid(),
                  'stdin': sys.stdin.buffer.read().decode('latin-1'), 'tty': os.isatty(0),
                  'stdin_is': os.readlink('/proc/self/fd/0'), 'ctty': open('/proc/self/stat').read().split()[6],
                  'blocked': status['SigBlk'].strip(), 'ignored': status['SigIgn'].strip(),
                  'parent': os.getppid()}))
"""
PROGRAM = [sys.executable, '-ISB', '-c', REPORT]


class Program(OwnServerTest):
    def report(self, server, route, body=None):
        reply = server.post({'a': 1} if body is None else body, route)
        self.assertEqual(reply.status, 202, reply)
        facts = server.ended(reply.json()['id'])
        self.assertEqual(facts['state'], 'succeeded', server.output(facts['id'], 'stderr'))
        return facts['id'], json.loads(server.output(facts['id']))

    def test_the_environment_is_these_variables_and_no_other(self):
        server = self.serve({'name': 'plain', 'command': PROGRAM},
                            {'name': 'none', 'command': PROGRAM, 'env': {}},
                            {'name': 'more', 'command': PROGRAM,
                             'env': {'LANG': 'en_US.UTF-8', 'EMPTY': '', 'TEXT': 'a b=c "d" \u8f66', 'NUMBER': '0017'}},
                            {'name': 'own', 'command': PROGRAM, 'env': {'PATH': '/bin', 'HOME': '/nowhere'}},
                            {'name': 'file', 'command': PROGRAM, 'input': 'file'})
        for route, more in (('plain', {'LANG': 'en_US.UTF-8'}), ('none', {}), ('more', {'LANG': 'en_US.UTF-8', 'EMPTY': '', 'NUMBER': '0017',
                                                     'TEXT': 'a b=c "d" \u8f66'}),
                            ('own', {'PATH': '/bin', 'HOME': '/nowhere'})):
            with self.subTest(route=route):
                job, report = self.report(server, route)
                wanted = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': server.folder, 'BROOD_JOB_ID': job,
                          'BROOD_ROUTE': route, **more}
                report['env'].pop('LC_CTYPE', None) # the interpreter's own doing
                self.assertEqual(report['env'], wanted)
        job, report = self.report(server, 'file')
        self.assertEqual(report['env']['BROOD_INPUT'], server.path('state', 'input', job))

    def test_nothing_else_is_inherited(self):
        with tempfile.TemporaryFile() as file:
            server = self.serve({'name': 'run', 'command': PROGRAM}, pass_fds=[file.fileno()])
            _, report = self.report(server, 'run')
        self.assertEqual(report['fds'], [0, 1, 2])
        self.assertEqual((report['session'], report['group'], report['ctty'], report['tty']), (True, True, '0', False))
        self.assertEqual(int(report['blocked'], 16), 0)
        # The interpreter ignores SIGPIPE and SIGXFSZ by itself.
        self.assertEqual(int(report['ignored'], 16) & ~(1 << 12 | 1 << 24), 0)

    def test_signals_are_as_by_default(self):
        server = self.serve({'name': 'sh', 'command': ['/bin/grep', '-E', '^Sig(Blk|Ign)', '/proc/self/status']})
        job = server.run(route='sh')['id']
        self.assertEqual(server.output(job).split()[1::2], [b'0000000000000000'] * 2)

    def test_the_working_directory(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            elsewhere = os.path.realpath(elsewhere)
            server = self.serve({'name': 'default', 'command': PROGRAM},
                                {'name': 'relative', 'command': PROGRAM, 'cwd': 'state/..'},
                                {'name': 'absolute', 'command': PROGRAM, 'cwd': elsewhere}, start=False)
            os.mkdir(server.path('state'))
            server.start()
            for route, cwd in (('default', server.folder), ('relative', server.folder), ('absolute', elsewhere)):
                self.assertEqual(self.report(server, route)[1]['cwd'], cwd)

    def test_a_program_beside_the_configuration(self):
        server = self.serve({'name': 'here', 'command': ['./here', 'one two', '*', '$HOME', '']}, start=False)
        server.write('here', '#!/bin/sh\nfor word; do echo "[$word]"; done\n', 0o700)
        server.start()
        job = server.run(route='here')['id']
        self.assertEqual(server.output(job), b'[one two]\n[*]\n[$HOME]\n[]\n')

    def test_the_ways_of_input(self):
        body = b'{ "a" : "\xc3\xa9\\u0001\\n" }\n'
        server = self.serve({'name': 'stdin', 'command': PROGRAM},
                            {'name': 'file', 'input': 'file',
                             'command': ['/bin/sh', '-c', 'cat; cat "$BROOD_INPUT"; echo "$BROOD_INPUT"']},
                            {'name': 'argument', 'command': [*PROGRAM, 'first'], 'input': 'argument'},
                            {'name': 'none', 'command': [*PROGRAM, 'first'], 'input': 'none'})
        text = body.decode('latin-1')
        _, report = self.report(server, 'stdin', body)
        self.assertEqual((report['stdin'], report['argv']), (text, []))
        _, report = self.report(server, 'argument', body)
        self.assertEqual((report['stdin'], report['argv'], report['stdin_is']),
                         ('', ['first', body.decode()], '/dev/null'))
        _, report = self.report(server, 'none', body)
        self.assertEqual((report['stdin'], report['argv'], report['stdin_is']), ('', ['first'], '/dev/null'))
        job = server.post(body, 'file').json()['id']
        server.ended(job)
        path = server.path('state', 'input', job)
        self.assertEqual(server.output(job), body + path.encode() + b'\n')
        self.assertFalse(os.path.exists(path))
        self.assertIn('warning', server.log())
        self.assertIn('argument', [line for line in server.log().splitlines() if 'warning' in line][0])

    def test_stdin_may_be_read_again(self):
        """Input that is a file can be sought; a job that ends without reading it harms nobody."""
        server = self.serve({'name': 'wc', 'command': ['/usr/bin/wc', '-c'], 'body_limit': '4MiB'},
                            {'name': 'true', 'command': ['/bin/true'], 'body_limit': '4MiB'})
        body = b'{"a": "' + b'x' * 3000000 + b'"}'
        self.assertEqual(server.ended(server.post(body, 'true').json()['id'])['state'], 'succeeded')
        job = server.post(body, 'wc').json()['id']
        server.ended(job)
        self.assertEqual(int(server.output(job)), len(body))


class Limits(ServerTest):
    routes = [{'name': 'run', 'output_limit': '64KiB'}, {'name': 'zero', 'output_limit': 0}]

    def test_output_beyond_the_limit_is_dropped_and_the_job_goes_on(self):
        facts = self.server.run('echo begin; head -c 2000000 /dev/zero | tr "\\0" x; echo e >&2; touch went-on; exit 0')
        self.assertEqual((facts['state'], facts['truncated'], facts['stdout_bytes'], facts['stderr_bytes']),
                         ('succeeded', True, 65536, 2))
        self.assertTrue(os.path.exists(self.server.path('went-on')))
        self.assertTrue(self.server.output(facts['id']) == b'begin\n' + b'x' * 65530)
        self.assertEqual(self.server.output(facts['id'], 'stderr'), b'e\n')

    def test_each_stream_has_its_own_limit(self):
        for n, truncated in ((65536, False), (65537, True)):
            facts = self.server.run(f'head -c {n} /dev/zero; head -c {n} /dev/zero >&2')
            self.assertEqual((facts['truncated'], facts['stdout_bytes'], facts['stderr_bytes']),
                             (truncated, 65536, 65536))

    def test_a_limit_of_nothing(self):
        facts = self.server.run('echo x', 'zero')
        self.assertEqual((facts['state'], facts['truncated'], facts['stdout_bytes']), ('succeeded', True, 0))
        self.assertEqual(self.server.output(facts['id']), b'')


class Log(ServerTest):
    routes = [{'name': 'run'}, {'name': 'strict', 'required': ['requestId']}]
    settings = {'log_fields': ['requestId', 'trainId']}

    def setUp(self):
        super().setUp()
        self.settle()

    def settle(self):
        """The log may lag behind the answers, but it keeps their order: waits for all lines so far."""
        self.lines_of(self.server.run()['id'])

    def lines_of(self, job):
        return eventually(lambda: self.server.events('exited', id=job) and
                          [line for line in self.raw() if line.get('id') == job], 'the lines')

    def raw(self):
        with open(self.server.log_file, 'rb') as file:
            return [parse_log_line(line) for line in file.read().split(b'\n')[:-1]]

    def test_started_and_exited(self):
        job = self.server.submit(gate() + '; echo first >&2; echo "last words" >&2; exit 9', requestId='r-17',
                                 trainId=5)
        self.server.await_running(job)
        started = eventually(lambda: self.server.events('started', id=job), 'the line')[0]
        self.assertEqual((started['route'], started['requestId'], started['trainId']), ('run', 'r-17', '5'))
        self.assertEqual(process(int(started['pid']))[1], self.server.keeper())
        self.open_gate()
        self.server.ended(job)
        lines = self.lines_of(job)
        self.assertEqual([line['event'] for line in lines], ['started', 'exited'])
        self.assertEqual((lines[1]['pid'], lines[1]['requestId'], lines[1]['state'], lines[1]['exit_code'],
                          lines[1]['stderr']),
                         (started['pid'], 'r-17', 'failed', '9', 'first\nlast words\n'))
        self.assertRegex(lines[1]['ts'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')

    def test_the_tail_of_a_long_stderr(self):
        job = self.server.run('i=0; while [ $i -lt 3000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 1')['id']
        tail = self.lines_of(job)[1]['stderr']
        self.assertTrue(tail.endswith('line 2998\nline 2999\n'))
        self.assertLess(len(tail), 4096)

    def test_a_succeeded_jobs_stderr_stays_out(self):
        job = self.server.run('echo chatter >&2')['id']
        self.assertNotIn('stderr', self.lines_of(job)[1])
        self.assertNotIn('chatter', self.server.log())

    def test_hostile_values_cannot_forge_a_line(self):
        hostile = ['x\nts=2026-01-01T00:00:00.000Z event=exited id=forged', 'a" event=forged b="', 'a b=c',
                   '\\" \\n', '\x1b[31mred', '\r\nevent=forged', '\x7f\x01\t', '\u0085event=forged', '\u009b31m',
                   '\u2028x', '=', '', '"', '\\', 'a\\', '\u8f66', 'x' * 5000, '\u8f66' * 3000, '\n' * 300, '\U0001f600']
        for value in hostile:
            with self.subTest(value=value[:40]):
                before = len(self.raw())
                job = self.server.run('exit 1', requestId=value)['id']
                lines = self.lines_of(job)
                self.assertEqual(len(self.raw()), before + 2)
                self.assertEqual([line['event'] for line in lines], ['started', 'exited'])
                for line in lines:
                    if len(value) < 200:
                        self.assertEqual(line['requestId'], value)
        with open(self.server.log_file, 'rb') as file:
            for line in file.read().split(b'\n')[:-1]:
                self.assertTrue(line.startswith(b'ts='), line)
                self.assertIsNone(re.search(rb'[\x00-\x1f\x7f]', line), line)
                # U+0080 to U+009F are control characters, too: terminals obey U+009B, some end a line at U+0085.
                self.assertIsNone(re.search(rb'\xc2[\x80-\x9f]', line), line)

    def test_hostile_stderr_cannot_forge_a_line(self):
        job = self.server.run("printf 'a\\nts=1 event=exited id=forged\\r\\033[2J\\377\\000\"\\\\' >&2; exit 1")['id']
        self.assertIn('event=exited id=forged', self.lines_of(job)[1]['stderr'])
        self.assertEqual(self.server.events('exited', id='forged'), [])

    def test_hostile_values_are_told_as_they_were_sent(self):
        value = 'x\n"\\\x01\u8f66 & =+%'
        job = self.server.run(requestId=value)['id']
        self.assertEqual(self.server.job(job)['fields'], {'requestId': value})

    def test_what_is_in_a_body_stays_out_of_the_log(self):
        mark = secrets.token_hex(5) # short: parsers show short words in their messages
        self.server.run('exit 1', requestId='r', card=mark)
        self.server.post({'card': mark}, 'strict')
        for body in (f'{{"card": "{mark}', f'{{"card": "{mark}"', f'{{"card" "{mark}"}}', f'{{"card": {mark}}}',
                     f'{{"{mark}": 1, "{mark}": 2}}', f'["{mark}" 1]', f'"{mark}\x01"', f'{{"card": "\\ud800{mark}"}}',
                     f'["{mark}"] x', f'{mark}'):
            with self.subTest(body=body):
                self.assertEqual(self.server.post(body.encode(), 'strict').status, 400)
                self.settle()
                self.assertNotIn(mark, self.server.log())
        self.server.post({'card': mark}, 'strict', 'text/plain')
        self.assertEqual(self.server.get(f'/v1/jobs?card={mark}').status, 400)
        self.settle()
        self.assertNotIn(mark, self.server.log())


if __name__ == '__main__':
    unittest.main()
