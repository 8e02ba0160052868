"""A `brood serve` for tests: a folder, a free port, and at its end nothing of it may be left.

The server, its keeper, its jobs and whatever these started all have their working directory in the
server's folder, or a file of it open: that is how Server.processes() knows them, whatever they did
to their parents, sessions and environments.

No test depends on how fast a machine is: what must happen is polled for, up to PATIENCE.
"""
import contextlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BROOD = os.path.abspath(os.environ['BROOD'])
PATIENCE = 30
FINAL = ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost')

# A program that does what the field "sh" of its body says.
RUN = f"""#!{sys.executable} -IS
import json, os, sys
os.execv('/bin/sh', ['sh', '-c', json.load(sys.stdin)['sh']])
"""


def eventually(condition, what, patience=PATIENCE):
    """The first true value of `condition`, or an AssertionError."""
    until = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f'never came: {what}')
        time.sleep(0.01)


def yaml(value):
    """Any value as YAML of one line."""
    if isinstance(value, dict):
        return '{' + ', '.join(f'{yaml(k)}: {yaml(v)}' for k, v in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(yaml(v) for v in value) + ']'
    if isinstance(value, str) and not re.fullmatch(r'[\w./-]+', value):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def may_be_gone():
    """What reading of a process that just went may say."""
    return contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError)


def process(pid):
    """(state, parent's pid) of a process, or None."""
    with may_be_gone(), open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
        words = file.read().rpartition(')')[2].split()
        return words[0], int(words[1])
    return None


def pids():
    return [int(name) for name in os.listdir('/proc') if name.isdigit()]


def is_alive(pid):
    found = process(pid)
    return found is not None and found[0] not in 'ZX'


def zombies_of(pid):
    return [child for child in pids() if process(child) == ('Z', pid)]


def name_of(pid):
    with may_be_gone(), open(f'/proc/{pid}/comm', encoding='utf-8') as file:
        return file.read().strip()
    return ''


def command_line(pid):
    with may_be_gone(), open(f'/proc/{pid}/cmdline', 'rb') as file:
        return file.read()
    return b''


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def parse_log_line(line):
    """A logfmt line as a dict, escapes undone; AssertionError if it is not one."""
    words, at = {}, 0
    word = re.compile(rb'([A-Za-z0-9_-]+)=("((?:[^"\\\x00-\x1f\x7f]|\\["\\n]|\\x[0-9a-f]{2})*)"|'
                      rb'[^ "=\\\x00-\x1f\x7f]*)(?: |$)')
    while at < len(line):
        match = word.match(line, at)
        if match is None:
            raise AssertionError(f'not logfmt from byte {at} on: {line!r}')
        value = match[3] if match[3] is not None else match[2]
        value = re.sub(rb'\\(n|"|\\|x(..))', lambda m: b'\n' if m[1] == b'n' else
                       bytes([int(m[2], 16)]) if m[2] else m[1], value)
        words.setdefault(match[1].decode(), value.decode('utf-8', 'backslashreplace'))
        at = match.end()
    return words


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'{self.status} {self.body[:300]!r}'


class Connection:
    """A kept-alive connection by hand: whatever is sent, and replies as they come."""

    def __init__(self, port, source='127.0.0.1'):
        self.socket = socket.create_connection(('127.0.0.1', port), PATIENCE, (source, 0))
        self.stream = self.socket.makefile('rb')

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        status = self.stream.readline()
        match = re.match(rb'HTTP/1\.1 (\d{3}) ', status)
        if match is None:
            raise AssertionError(f'no status line: {status!r}')
        headers = http.client.parse_headers(self.stream)
        return Reply(int(match[1]), headers, self.stream.read(int(headers.get('Content-Length', 0))))

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def head_of(method, path, length=None, *more):
    lines = [f'{method} {path} HTTP/1.1', 'Host: localhost', *more]
    if length is not None:
        lines += ['Content-Type: application/json', f'Content-Length: {length}']
    return ('\r\n'.join(lines) + '\r\n\r\n').encode()


class Server:
    """routes: mappings without what all have in common; name alone is needed."""

    def __init__(self, *routes, start=True, pass_fds=(), files=None, wrapper=(), **settings):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix='brood-'))
        self.state = self.path('state')
        self.config = self.path('brood.yaml')
        self.log_file = self.path('log')
        self.process = None
        self.port = 0
        self.baseline = None
        self.pass_fds = pass_fds
        self.files = files # its limits of descriptors, (soft, hard)
        self.unwanted = ['Sanitizer', 'runtime error', 'keeper_fault', 'store_fault'] # in the log
        self.wrapper = wrapper # a command that starts the server, its words before the server's own
        self.environment = {'HOME': self.folder, 'PATH': '/usr/bin:/bin', 'OUTSIDE': 'not for jobs'}
        # What a build with a sanitizer is told must reach the server.
        self.environment.update({k: v for k, v in os.environ.items() if k.endswith('SAN_OPTIONS')})
        self.write('run', RUN, 0o700)
        self.configure(*routes, **settings)
        if start:
            self.start()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def read(self, name):
        try:
            with open(self.path(name), encoding='utf-8') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def configure(self, *routes, **settings):
        settings = {'listen': '127.0.0.1:0', 'drain_timeout': '5s', **settings}
        routes = [{'path': f'/{route["name"]}', 'command': ['./run'], 'kill_grace': '1s', **route} for route in routes]
        lines = [f'{key}: {yaml(value)}' for key, value in settings.items()]
        lines += ['routes:'] + [f'  - {yaml(route)}' for route in routes]
        self.write('brood.yaml', '\n'.join(lines) + '\n')

    # --- its life

    def limit(self):
        if self.files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.files)

    def spawn(self, *words):
        with open(self.log_file, 'ab') as log:
            return subprocess.Popen([*self.wrapper, BROOD, 'serve', '--config', self.config, *words],
                                    cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, pass_fds=self.pass_fds, preexec_fn=self.limit)

    def start(self, *words, ready=True):
        before = len(self.events('listening'))
        self.process = self.spawn(*words)
        eventually(lambda: len(self.events('listening')) > before or self.process.poll() is not None, 'listening')
        if self.process.poll() is not None:
            raise AssertionError('the server ended:\n' + self.log())
        self.port = int(self.events('listening')[-1]['address'].rpartition(':')[2])
        if ready:
            eventually(lambda: self.get('/readyz').status == 200, '/readyz')
            self.baseline = None
            if before == 0:
                self.baseline = {pid: descriptors(pid) for pid in (self.process.pid, self.keeper())}

    def keepers(self):
        """The pids of the keepers of this state directory; more than one while one is renewed."""
        # A job's program has this name too, from its clone to its exec.
        return [pid for pid in self.processes() if name_of(pid) == 'brood-keeper'
                and name_of((process(pid) or ('', 0))[1]) != 'brood-keeper']

    def keeper(self):
        """One of them; None: there is none."""
        return next(iter(self.keepers()), None)

    def kill(self):
        """SIGKILL to the server alone."""
        self.process.kill()
        self.process.wait()

    def kill_keeper(self):
        """SIGKILL to the keeper; its pid."""
        pid = eventually(self.keeper, 'a keeper')
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), 'end of the keeper')
        return pid

    def stop(self, patience=30):
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(patience)

    def processes(self):
        """All live processes that have to do with this folder."""
        found = []
        for pid in pids():
            links = [f'/proc/{pid}/cwd']
            with may_be_gone():
                links += [f'/proc/{pid}/fd/{name}' for name in os.listdir(f'/proc/{pid}/fd')]
            for link in links:
                with may_be_gone():
                    if (os.readlink(link) + '/').startswith(self.folder + '/') and pid != os.getpid():
                        found.append(pid)
                        break
        return found

    def job_processes(self):
        """The same without server and keeper, which the server may have begun to start: until its exec that has the server's words."""
        own = {self.process.pid, *self.keepers()}
        words = {b'brood\0serve\0--keeper\0', command_line(self.process.pid)}
        return [pid for pid in self.processes() if pid not in own and is_alive(pid) and command_line(pid) not in words]

    def sleepers(self, n):
        """Waits until jobs have `n` descendants that sleep for minutes (TREE has three); their pids."""
        def found():
            return [pid for pid in self.job_processes() if re.match(rb'sleep\x0030', command_line(pid))]
        return eventually(lambda: (lambda pids_: len(pids_) == n and pids_)(found()), f'{n} sleepers')

    def finish(self):
        """Stops it; an AssertionError tells what it left behind."""
        faults = []
        if self.process is not None and self.process.poll() is None:
            faults += self.leaks()
            try:
                status = self.stop()
                if status != 0:
                    faults.append(f'exit status {status}')
            except subprocess.TimeoutExpired:
                faults.append('it did not stop')
                self.kill()
        try:
            eventually(lambda: not self.processes(), 'nothing')
        except AssertionError:
            for pid in self.processes():
                faults.append(f'process {pid} ({name_of(pid)}) was left')
                with may_be_gone():
                    os.kill(pid, signal.SIGKILL)
        log = self.log()
        shutil.rmtree(self.folder)
        faults += [f'the log says {word}' for word in self.unwanted if word in log]
        if faults:
            raise AssertionError('; '.join(faults) + '\n' + log[-3000:])

    def leaks(self):
        """Descriptors that the server and the keeper have more than at their start."""
        def grown():
            return {pid: n for pid, n in (self.baseline or {}).items() if is_alive(pid) and descriptors(pid) > n}
        with contextlib.suppress(AssertionError):
            eventually(lambda: not grown(), 'no more')
        return [f'{pid} ({name_of(pid)}) had {n} descriptors and has {descriptors(pid)}: {links(pid)}'
                for pid, n in grown().items()]

    # --- its log

    def log(self):
        return self.read('log')

    def events(self, event, **words):
        """The log lines of an event with these words, as dicts."""
        try:
            with open(self.log_file, 'rb') as file:
                lines = file.read().split(b'\n')[:-1]
        except FileNotFoundError:
            return []
        lines = [parse_log_line(line) for line in lines if b' event=' + event.encode() + b' ' in line]
        words['event'] = event
        return [line for line in lines if all(line.get(k) == v for k, v in words.items())]

    # --- HTTP

    def request(self, method, path, body=None, headers=None, **more):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        try:
            connection.connect()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError): # an answer may come before all is sent
                connection.request(method, path, body, headers or {}, **more)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request('GET', path, headers=headers)

    def delete(self, job, query=''):
        return self.request('DELETE', f'/v1/jobs/{job}{query}')

    def connect(self, *source):
        return Connection(self.port, *source)

    def post(self, body, route='run', content_type='application/json'):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request('POST', f'/{route}', data, {'Content-Type': content_type} if content_type else {})

    def submit(self, sh='', route='run', **fields):
        """A job that runs `sh`; its id."""
        reply = self.post({'sh': sh, **fields}, route)
        if reply.status != 202:
            raise AssertionError(f'not accepted: {reply}')
        return reply.headers['Location'].rpartition('/')[2]

    def job(self, job, query=''):
        reply = self.get(f'/v1/jobs/{job}{query}')
        if reply.status != 200:
            raise AssertionError(f'no job {job}: {reply}')
        return reply.json()

    def ended(self, job):
        """The job when it is over."""
        return eventually(lambda: (lambda facts: facts['state'] in FINAL and facts)(self.job(job, '?wait=5s')),
                          f'end of {job}')

    def run(self, sh='', route='run', **fields):
        return self.ended(self.submit(sh, route, **fields))

    def await_running(self, job):
        return eventually(lambda: self.job(job)['state'] == 'running', f'start of {job}')

    def jobs(self, query=''):
        reply = self.get(f'/v1/jobs{query}')
        if reply.status != 200:
            raise AssertionError(f'no list: {reply}')
        return reply.json()['jobs']

    def output(self, job, which='stdout'):
        reply = self.get(f'/v1/jobs/{job}/{which}')
        if reply.status != 200:
            raise AssertionError(f'no {which} of {job}: {reply}')
        return reply.body


def links(pid):
    """What the descriptors of a process are."""
    found = []
    with may_be_gone():
        for name in os.listdir(f'/proc/{pid}/fd'):
            with may_be_gone():
                found.append(os.readlink(f'/proc/{pid}/fd/{name}'))
    return found


# A job's descendants: its own child; one in a session of its own; one that its parent abandoned, in
# a session of its own and without environment.
TREE = 'sleep 300 & setsid sleep 301 & (env -i setsid sh -c "sleep 302 & exit") & '


# What a job does that waits until the test lets it go: `touch` makes the file.
def gate(name='gate'):
    return f'until [ -e {name} ]; do sleep 0.02; done'


class ServerTest(unittest.TestCase):
    """One server for all tests of a class: `routes` and `settings` make its configuration."""
    routes = [{'name': 'run'}]
    settings = {}
    server = None
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.routes, **cls.settings)
        cls.addClassCleanup(cls.server.finish)

    def setUp(self):
        for name in os.listdir(self.server.folder):
            if name.startswith('gate'):
                os.unlink(self.server.path(name))

    def open_gate(self, name='gate'):
        self.server.write(name, '')

    def end_in_time(self, job, name='gate'):
        """The test's end is the job's end, too."""
        self.addCleanup(self.server.ended, job)
        self.addCleanup(self.open_gate, name)
        return job

    def assert_error(self, reply, status, code=None, field=None):
        """A refusal of the job kind."""
        self.assertEqual(reply.status, status, reply)
        self.assertEqual(reply.headers['Content-Type'], 'application/json')
        error = reply.json()['error']
        self.assertEqual(set(reply.json()), {'error'})
        self.assertEqual(set(error), {'code', 'message', 'field'})
        self.assertIsInstance(error['message'], str)
        if code is not None:
            self.assertEqual(error['code'], code)
        self.assertEqual(error['field'], field)
        return error


class OwnServerTest(unittest.TestCase):
    """A server for each test."""
    maxDiff = 4000

    def serve(self, *routes, **settings):
        server = Server(*(routes or [{'name': 'run'}]), **settings)
        self.addCleanup(server.finish)
        return server
