"""Each mistake in a configuration is refused with file, line and key and exit status 2, by --check and at the start."""
import os
import subprocess
import tempfile
import unittest

from server import BROOD, OwnServerTest

BASE = """listen: 127.0.0.1:0
routes:
  - name: a
    path: /a
    command: [/bin/true]
"""


def route(line):
    """The base with one more line in its route: line 6."""
    return BASE + f'    {line}\n'


def top(line):
    """The base with one more line at the top level: line 6."""
    return BASE + f'{line}\n'


def instead(old, new):
    if old not in BASE:
        raise AssertionError(old)
    return BASE.replace(old, new)


SECOND = '  - {name: %s, path: %s, command: [/bin/true]}\n'

# Text of the file, line, key.
MISTAKES = {
    'unknown keys': [
        (top('colour: red'), 6, 'colour'),
        (top('Listen: 127.0.0.1:1'), 6, 'Listen'),
        (top('"": 1'), 6, ''),
        (top('retention: { age: 1d, days: 7 }'), 6, 'days'),
        (route('comand: [a]'), 6, 'comand'),
        (route('retries: 3'), 6, 'retries'),
        ('unknown:\n' + BASE, 1, 'unknown'),
    ],
    'repeated keys': [
        (top('listen: 127.0.0.1:1'), 6, 'listen'),
        (top('routes: []'), 6, 'routes'),
        (route('name: b'), 6, 'name'),
        (route('command: [/bin/false]'), 6, 'command'),
        (route('timeout: 1s\n    timeout: 1s'), 7, 'timeout'),
        (route('env: { A: b, C: d, A: b }'), 6, 'env'),
        (route('env:\n      A: b\n      "A": c'), 8, 'env'),
        (top('retention:\n  jobs: 1\n  age: 1d\n  jobs: 2'), 9, 'jobs'),
    ],
    'wrong types at the top': [
        (top(f'{key}: {value}'), 6, key) for key, values in (
            ('state_dir', ('[a]', '{a: b}', '', '~')),
            ('max_concurrent', ('[1]', '{a: 1}', '', 'null')),
            ('drain_timeout', ('[1s]', '{}', '', '~')),
            ('request_timeout', ('[1s]', '{}', '', '~', '"30s"')),
            ('reply_timeout', ('[1s]', '{}', '', '~')),
            ('max_connections', ('[1]', '{}', '', 'many')),
            ('max_connections_per_address', ('[1]', '{}', '', '~')),
            ('hosts', ('jobs', '{a: b}', '1', '[[a]]', '[{a: b}]', '[~]', '[""]')),
            ('insecure', ('[]', '1', 'yes', '"true"', '')),
            ('log_fields', ('requestId', '{a: b}', '1', '[[a]]', '[{a: b}]', '[~]', '[""]')),
        ) for value in values
    ] + [
        (top(f'retention: {value}'), 6, '') for value in ('7d', '[7d]', '', '~')
    ] + [
        (top(f'retention: {{ {key}: {value} }}'), 6, key)
        for key in ('age', 'jobs', 'output') for value in ('[1]', '{a: 1}', '', '~', '"0"')
    ] + [
        (instead('listen: 127.0.0.1:0', 'listen: [127.0.0.1:0]'), 1, 'listen'),
        (instead('listen: 127.0.0.1:0', 'listen:'), 1, 'listen'),
        ('routes: 5\n', 1, 'routes'),
        ('routes: {a: b}\n', 1, 'routes'),
        ('routes:\n', 1, 'routes'),
        ('routes:\n  - 5\n', 2, ''),
        ('routes:\n  - [a]\n', 2, ''),
        ('routes:\n  -\n', 2, ''),
    ],
    'wrong types in a route': [
        (route(f'{key}: {value}'), 6, key) for key, values in (
            ('reply', ('[job]', '{}', '', '1')),
            ('status', ('[true-codes]', 'true', '200')),
            ('input', ('[stdin]', '', '1')),
            ('required', ('requestId', '{a: b}', '[[a]]', '[1, ~]', '')),
            ('env', ('[A=b]', 'A', '1', '')),
            ('cwd', ('[.]', '{}', '', '~')),
            ('max_concurrent', ('[]', '{}', '', 'true')),
            ('queue', ('[]', '{}', '', 'many')),
            ('timeout', ('[]', '{}', '', 'true')),
            ('kill_grace', ('[]', '{}', '')),
            ('output_limit', ('[]', '{}', '', 'true')),
            ('body_limit', ('[]', '{}', '')),
        ) for value in values
    ] + [
        (instead('name: a', 'name: [a]'), 3, 'name'),
        (instead('name: a', 'name:'), 3, 'name'),
        (instead('path: /a', 'path: {a: b}'), 4, 'path'),
        (instead('path: /a', 'path: ~'), 4, 'path'),
        (instead('[/bin/true]', '/bin/true'), 5, 'command'),
        (instead('[/bin/true]', '{/bin/true: 1}'), 5, 'command'),
        (instead('[/bin/true]', '[[/bin/true]]'), 5, 'command'),
        (instead('[/bin/true]', '[/bin/true, ~]'), 5, 'command'),
        (instead('[/bin/true]', ''), 5, 'command'),
    ],
    'bad values': [
        (route(f'{key}: {value}'), 6, key) for key, values in (
            ('timeout', ('10', '1.5s', '-1s', '10 s', '10x', 's', '1m30s', '99999999999999d', '1S',
                         '9223372036854775808ms')),
            ('kill_grace', ('5', 'soon')),
            ('output_limit', ('1.5MiB', '-1', '16MB', '16Mib', 'KiB', '1 KiB', '9999999999GiB', '9223372036854775808')),
            ('body_limit', ('1', '0', '-5', '2GiB', 'big')),
            ('max_concurrent', ('0', '-1', '1.5', '0x10', '1e3', '10000000', '1s')),
            ('queue', ('-1', '1.5', 'x', '10000000')),
            ('reply', ('jobs', 'Job', '""', 'code_message')),
            ('status', ('true_codes', 'always-201')),
            ('input', ('argv', 'STDIN', 'memfd')),
            ('required', ('[""]', '[a..b]', '[".a"]', '["a."]', '["a[0]"]', '["a["]', '["[]"]', '["a[]b"]')),
            ('cwd', ('/nowhere/at/all', '/bin/true', 'missing')),
        ) for value in values
    ] + [
        (top(f'{key}: {value}'), 6, key) for key, values in (
            ('max_concurrent', ('0', '-1', 'x')),
            ('drain_timeout', ('5', 'x', '-1s')),
            ('request_timeout', ('0', '0s', '999ms', '30', '-1s', 'never', '8d')),
            ('reply_timeout', ('0', '500ms', '60', '8d', '99999999d')),
            ('max_connections', ('0', '-1', '1.5', '10001')),
            ('max_connections_per_address', ('0', '-1', '10001')),
            ('hosts', ('["jobs:8600"]', '["http://jobs"]', '["a b"]', '["*"]', '[.]', '["[::1]"]', '["a/b"]',
                       f'[{"a" * 256}]')),
            ('log_fields', ('["a b"]', '[state]', '[route]', '[limit]', '[after]', '["a=b"]', '["a\\nb"]')),
        ) for value in values
    ] + [
        (top(f'retention:\n  {key}: {value}'), 7, key) for key, values in (
            ('age', ('7', '-7d', '1.5d', '7 d', '1w', '99999999999999d')),
            ('jobs', ('-1', '1.5', '1e5', 'all', '1d', '9223372036854775808')),
            ('output', ('-1', '1.5GiB', '1GB', 'much', '9999999999GiB')),
        ) for value in values
    ] + [
        (route(f'env: {{ {name}: x }}'), 6, 'env') for name in ('""', 'A=B', 'BROOD_JOB_ID', 'BROOD_ROUTE', 'BROOD_X')
    ] + [
        (route('env: { A: [b] }'), 6, 'A'),
        (route('env: { A: }'), 6, 'A'),
        (route('env: { [a]: b }'), 6, 'env'),
        (route('env: { A: "a\\0b" }'), 6, 'A'),
        (instead('/bin/true', '"/bin/true\\0x"'), 5, 'command'),
    ] + [
        (instead('listen: 127.0.0.1:0', f'listen: {value}'), 1, 'listen')
        for value in ('8600', '127.0.0.1', '"127.0.0.1:"', '127.0.0.1:x', '127.0.0.1:65536', '127.0.0.1:-1',
                      'localhost:80', '":80"', '"[::1"', '"[::1]"', '"::1:80"', '300.0.0.1:80',
                      '"[fe80::z]:80"', '"127.0.0.1 :80"')
    ] + [
        (instead('name: a', f'name: {value}'), 3, 'name')
        for value in ('""', '"a b"', 'a/b', '"a\\nb"', 'x' * 65, '\u8f66')
    ] + [
        (instead('path: /a', f'path: {value}'), 4, 'path')
        for value in ('a', '""', '"/a b"', '/a?b', '"/a#b"', '/a%20b', '/v1', '/v1/x', '/healthz', '/readyz',
                      '/metrics', '"/a\\nb"', '"/a\\x7fb"')
    ],
    'beyond loopback': [
        (instead('127.0.0.1:0', value), 1, 'listen')
        for value in ('0.0.0.0:0', '192.0.2.1:80', '"[::]:80"', '"[2001:db8::1]:80"', '"[::ffff:192.0.2.1]:80"')
    ] + [(instead('127.0.0.1:0', '0.0.0.0:0') + 'insecure: false\n', 1, 'listen')],
    'what is missing': [
        ('', 1, ''),
        ('# nothing\n', 1, ''),
        ('---\n...\n', None, None),
        ('listen: 127.0.0.1:0\n', 1, 'routes'),
        ('routes: []\n', 1, 'routes'),
        ('routes:\n  - path: /a\n    command: [/bin/true]\n', 2, 'name'),
        ('routes:\n  - name: a\n    command: [/bin/true]\n', 2, 'path'),
        ('routes:\n  - name: a\n    path: /a\n', 2, 'command'),
        (BASE + '  - name: b\n    path: /b\n', 6, 'command'),
        (BASE + '  - {}\n', 6, 'name'),
        (instead('[/bin/true]', '[]'), 5, 'command'),
    ],
    'programs that are not there': [
        (instead('/bin/true', value), 5, 'command')
        for value in ('/bin/no-such-program', 'no-such-program', './missing', '/bin', '/etc/passwd', '""',
                      'sub/missing')
    ] + [(route('env: { PATH: /nowhere }').replace('/bin/true', 'true'), 5, 'command')],
    'twins': [
        (BASE + SECOND % ('a', '/b'), 6, 'name'),
        (BASE + SECOND % ('b', '/a'), 6, 'path'),
        (BASE + SECOND % ('b', '/b') + SECOND % ('c', '/b'), 7, 'path'),
    ],
    'not YAML': [
        (BASE + 'x: [1, 2\n', None, None),
        (BASE + '\tx: 1\n', 6, None),
        ('routes:\n\t- name: a\n', 2, None),
        (BASE + 'x: "open\n', None, None),
        (BASE + 'x: *nowhere\n', 6, None),
        (BASE + ' x: 1\n', 6, None),
        ('{', None, None),
        ('listen: \x01\n', None, None),
        ('%YAML 9.9\n---\n' + BASE, 1, None),
        (BASE + 'x: \xff\n', None, None),
    ],
    'another shape': [
        ('- a\n- b\n', 1, ''),
        ('just text\n', 1, ''),
        ('5\n', 1, ''),
        ('null\n', 1, ''),
        ('\n\n- a\n', 3, ''),
        (BASE + '[a]: b\n', 6, ''),
        (BASE + '{a: b}: c\n', 6, ''),
        (BASE + '---\n' + BASE, 6, None),
    ],
}


def run(*words, cwd=None):
    return subprocess.run([BROOD, 'serve', *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, cwd=cwd, timeout=60, check=False)


class Mistakes(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='brood-')
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)
        self.file = os.path.join(self.folder, 'brood.yaml')

    def write(self, text):
        with open(self.file, 'wb') as file:
            file.write(text.encode('latin-1' if '\xff' in text else 'utf-8'))

    def check(self, text, line, key):
        self.write(text)
        for words in (['--check'], []):
            result = run('--config', self.file, *words)
            said = result.stderr.decode('utf-8', 'replace')
            self.assertEqual(result.returncode, 2, said)
            self.assertEqual(result.stdout, b'')
            place = self.file + (f':{line}: ' if line is not None else ':')
            self.assertIn(place + (f'{key}: ' if key else ''), said)
            if '\\n' not in text:
                self.assertEqual(said.count('\n'), 1, said)
            if line is None:
                self.assertRegex(said.partition(place)[2], r'^\d+: ')
        self.assertEqual(os.listdir(self.folder), ['brood.yaml'])


def add_tests(kind, cases):
    def test(self):
        for text, line, key in cases:
            with self.subTest(text=text):
                self.check(text, line, key)
    setattr(Mistakes, 'test_' + kind.replace(' ', '_'), test)


for a_kind, some_cases in MISTAKES.items():
    add_tests(a_kind, some_cases)


class Command(unittest.TestCase):
    setUp, write = Mistakes.setUp, Mistakes.write

    def test_a_file_that_cannot_be_read(self):
        for path in (os.path.join(self.folder, 'missing.yaml'), self.folder):
            for words in (['--check'], []):
                result = run('--config', path, *words)
                self.assertEqual(result.returncode, 2)
                self.assertIn(path.encode(), result.stderr)

    def test_mistakes_in_the_command_line(self):
        self.write(BASE)
        for words in ([], ['--config'], ['--config', self.file, 'more'], ['--colour'],
                      ['--config', self.file, '--listen'],
                      ['--config', self.file, '--listen', '0.0.0.0:80'], ['--config', self.file, '--listen', 'x'],
                      ['--config', self.file, '--listen', '0.0.0.0:80', '--check']):
            with self.subTest(words=words):
                result = run(*words)
                self.assertEqual(result.returncode, 2)
                self.assertNotEqual(result.stderr, b'')
        self.assertEqual(os.listdir(self.folder), ['brood.yaml'])

    def test_help(self):
        result = run('--help')
        self.assertEqual((result.returncode, result.stderr), (0, b''))
        self.assertIn(b'--config', result.stdout)

    def test_what_is_good(self):
        os.mkdir(os.path.join(self.folder, 'sub'))
        program = os.path.join(self.folder, 'sub', 'program')
        with open(program, 'w', encoding='utf-8') as file:
            file.write('#!/bin/sh\n')
        os.chmod(program, 0o700)
        for text in (BASE, instead('/bin/true', 'true'), instead('/bin/true', 'sub/program'),
                     instead('/bin/true', './sub/program'), instead('listen: 127.0.0.1:0\n', ''),
                     instead('127.0.0.1:0', '"[::1]:0"'), instead('127.0.0.1:0', '127.9.9.9:65535'),
                     instead('127.0.0.1:0', '0.0.0.0:0') + 'insecure: true\n', route('timeout: 0'), route('queue: 0'),
                     route('timeout: 500ms\n    kill_grace: 7d\n    output_limit: 64KiB\n    body_limit: 1024B'),
                     route('required: [a, a.b, "a[]", "a[].b", "a[].b[].c"]'), route('required: []'),
                     route('env: {}'), route('env: { A: "", B: 5, C: true, PATH: /bin }'),
                     route('input: argument'), route('input: none'), route('cwd: sub'), route('cwd: /'),
                     top('max_concurrent: 1'), top('log_fields: []'), top('state_dir: somewhere/else'),
                     top('retention: {}'), top('retention: { age: 0, jobs: 0, output: 0 }'),
                     '# comment\n---\n' + BASE + '...\n', BASE + SECOND % ('b', '/A'), '\ufeff' + BASE,
                     BASE.replace('\n', '\r\n'), instead('name: a', 'name: ' + 'x' * 64),
                     BASE + SECOND % ('b', '/b') + SECOND % ('A', '/c'),
                     BASE + '  - {name: b, path: /b, command: &c [/bin/true]}\n  - {name: c, path: /c, command: *c}\n'):
            with self.subTest(text=text):
                self.write(text)
                result = run('--config', self.file, '--check')
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(self.file.encode(), result.stdout)
        self.assertEqual(sorted(os.listdir(self.folder)), ['brood.yaml', 'sub'])

    def test_input_argument_is_warned_of(self):
        self.write(route('input: argument'))
        result = run('--config', self.file, '--check')
        self.assertEqual(result.returncode, 0)
        self.assertIn(b'warning', result.stderr)
        self.assertIn(b'ps', result.stderr)

    def test_a_mistake_in_a_file_named_relatively(self):
        self.write(route('colour: red'))
        result = run('--config', 'brood.yaml', '--check', cwd=self.folder)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b'brood.yaml:6: colour: ', result.stderr)

    def test_a_file_that_yaml_makes_large(self):
        """Aliases of aliases: read in no time, or refused."""
        text = 'x0: &x0 [a, a]\n' + ''.join(f'x{n + 1}: &x{n + 1} [*x{n}, *x{n}, *x{n}]\n' for n in range(40)) + BASE
        self.write(text)
        self.assertEqual(run('--config', self.file, '--check').returncode, 2)

    def test_a_file_that_is_deep(self):
        self.write(BASE + 'x: ' + '[' * 20000 + ']' * 20000 + '\n')
        self.assertEqual(run('--config', self.file, '--check').returncode, 2)


class Start(OwnServerTest):
    def test_paths_are_relative_to_the_file(self):
        server = self.serve({'name': 'run'}, state_dir='./some-state')
        self.assertTrue(os.path.isdir(server.path('some-state')))
        self.assertEqual(os.stat(server.path('some-state')).st_mode & 0o777, 0o700)
        server.run()

    def test_the_command_line_wins(self):
        server = self.serve({'name': 'run'}, state_dir='./not-here', listen='127.0.0.1:1', start=False)
        spawn = server.spawn
        server.spawn = lambda: spawn('--listen', '127.0.0.1:0', '--state', 'here')
        server.start()
        self.assertEqual(server.run('echo')['state'], 'succeeded')
        self.assertFalse(os.path.exists(server.path('not-here')))
        self.assertTrue(os.path.isdir(server.path('here')))
        self.assertNotEqual(server.port, 1)

    def test_defaults(self):
        """What only a client can see; the rest is in programs/serve/config_test.c."""
        server = self.serve({'name': 'run'})
        self.assertTrue(os.path.isdir(server.path('state')))
        self.assertEqual(server.post(b'{"sh": "' + b' ' * ((1 << 20) - 10) + b'"}').status, 202)
        self.assertEqual(server.post(b'{"sh": "' + b' ' * ((1 << 20) - 9) + b'"}').status, 413)
        self.assertEqual(server.run('head -c 16777217 /dev/zero')['stdout_bytes'], 16777216)

    def test_a_port_that_is_taken(self):
        server = self.serve()
        with tempfile.TemporaryDirectory() as state:
            result = run('--config', server.config, '--listen', f'127.0.0.1:{server.port}', '--state', state)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b'listen', result.stderr)

    def test_a_state_directory_that_cannot_be(self):
        server = self.serve()
        for state in ('/proc/brood', server.config, server.path('no', 'such', 'folder')):
            result = run('--config', server.config, '--state', state)
            self.assertEqual(result.returncode, 1)
            self.assertIn(state.encode(), result.stderr)


if __name__ == '__main__':
    unittest.main()
