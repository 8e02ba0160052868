"""The two services, started and asked: `brood serve`, and the Flask one that it is compared with."""
import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import time

from harness import BenchError, PeerMissing, children_of

SUCCEEDED = 2  # job.state of a program that ended with 0
START_SECONDS = 20.0
PYTHON = '/usr/bin/python3'  # the one that Debian's Flask is installed for

CONFIG = '''\
listen: 127.0.0.1:0
state_dir: {state}
max_concurrent: 1000
drain_timeout: 100ms
log_fields: [requestId]
routes:
  - name: job
    path: /jobs
    required: [requestId, systemId, inspectionStartTime, inspectionEndTime, trainId, lineCode, imageUrls,
               yardName, direction, "imageUrls[].imageUrl", "imageUrls[].location"]
    command: {command}
    max_concurrent: {slots}
    queue: {queue}
    kill_grace: 100ms
'''


def resident(pid):
    """{'VmRSS': bytes, 'RssAnon': bytes}"""
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return {key: int(size) << 10 for key, size in re.findall(r'(VmRSS|RssAnon):\s*(\d+) kB', file.read())}


class Service:
    """Something that takes POST /jobs on a port of its own, and logs to a file."""
    by_code = False  # says 200 always, and the truth in "code"
    close = False    # one connection per request

    def __init__(self, bench, folder):
        self.bench = bench
        self.folder = folder
        self.log = os.path.join(folder, 'log')
        self.port = 0
        self.process = None

    def run(self, argv, **options):
        with open(self.log, 'wb') as log:
            self.process = self.bench.start(argv, stdout=log, stderr=log, cwd=self.folder, **options)

    def wait_until(self, ready):
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise BenchError(f'{type(self).__name__} does not start: {self.read_log()[-500:]}')
            time.sleep(0.02)

    def read_log(self):
        with open(self.log, encoding='utf-8', errors='replace') as file:
            return file.read()

    def listens(self):
        with socket.socket() as probe:
            return self.port != 0 and probe.connect_ex(('127.0.0.1', self.port)) == 0

    def load(self, connections, seconds, pause_ms=0):
        """What wrk counted, POSTing for so long on so many connections, which may pause after each answer."""
        env = {'PATH': os.environ.get('PATH', os.defpath), 'BENCH_BODY': self.bench.source('serve', 'body.json'),
               'BENCH_CLOSE': str(int(self.close)), 'BENCH_CODE': str(int(self.by_code)),
               'BENCH_PAUSE': str(pause_ms)}
        text = self.bench.output([self.bench.tool('wrk'), '-t1', f'-c{connections}', f'-d{seconds}s', '--latency',
                                  '-s', self.bench.source('serve', 'post.lua'), f'http://127.0.0.1:{self.port}/jobs'],
                                 env=env)
        counted = {key: float(value) for key, value in re.findall(r'(\w+)=([-0-9.]+)', text.partition('RESULT')[2])}
        if not counted or counted['failed'] > 0:
            raise BenchError(f'{type(self).__name__}: wrk says: {text[-500:]}')
        counted['accepted'] = counted['requests'] - counted['refused']
        return counted

    def stop(self):
        if self.process is not None:
            self.bench.stop(self.process)


class Brood(Service):
    """`brood serve` with one route, a state directory of its own, and its log in a file."""

    def __init__(self, bench, command, slots, queue=0):
        super().__init__(bench, bench.folder('brood'))
        config = os.path.join(self.folder, 'brood.yaml')
        state = os.path.join(self.folder, 'state')
        with open(config, 'w', encoding='utf-8') as file:
            file.write(CONFIG.format(state=json.dumps(state), command=json.dumps(command), slots=slots, queue=queue))
        self.run([bench.built('brood'), 'serve', '--config', config])
        self.wait_until(self.is_ready)
        self.store = sqlite3.connect(f'file:{state}/jobs.db?mode=ro', uri=True)

    def is_ready(self):
        found = re.search(r'event=listening address=127\.0\.0\.1:(\d+)', self.read_log())
        self.port = int(found.group(1)) if found else 0
        if not self.listens():
            return False
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=5)
        try:
            connection.request('GET', '/readyz')
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def keeper(self):
        return next(iter(children_of(self.process.pid)), None)

    def last_job(self):
        return self.store.execute('SELECT coalesce(max(id), 0) FROM job').fetchone()[0]

    def wait_recorded(self, after, accepted, cut_off):
        """Waits until every job after that one has its end in the store. wrk leaves without waiting for
        its last answers, so up to `cut_off` jobs more than it saw accepted are there. Returns how many
        jobs, and the seconds from the first request to the last record."""
        end = time.monotonic() + 60
        while True:
            count, good, first = self.store.execute(
                'SELECT count(*), coalesce(sum(state = ?), 0), min(created) FROM job WHERE id > ?',
                (SUCCEEDED, after)).fetchone()
            now = time.time()
            if count == good and count >= accepted:
                break
            if time.monotonic() > end:
                raise BenchError(f'of {accepted:.0f} accepted jobs {good} succeeded on record, {count} are known')
            time.sleep(0.005)
        if count > accepted + cut_off:
            raise BenchError(f'{count} jobs are on record, but {accepted:.0f} were accepted')
        return count, now - first / 1e3

    def stop(self):
        self.store.close()
        super().stop()


class Flask(Service):
    """peers/flask-service: Flask behind uvicorn, Debian's packages."""
    by_code = True
    close = True  # this pair answers 500 to each second request of a kept-alive connection

    def __init__(self, bench, command, slots):
        super().__init__(bench, bench.folder('flask'))
        home = bench.source('peers', 'flask-service')
        probe = subprocess.run([PYTHON, '-c', 'import flask, uvicorn, asgiref'], stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=False) if os.path.exists(PYTHON) else None
        if probe is None or probe.returncode != 0:
            raise PeerMissing(f'{PYTHON} has no flask, uvicorn and asgiref')
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        self.run([PYTHON, '-B', os.path.join(home, 'main.py')],
                 env={'PATH': os.defpath, 'PORT': str(self.port), 'WORKER_CMD': ' '.join(command),
                      'MAX_CONCURRENT': str(slots), 'PROCESS_CLEAN_TIME': '1', 'PYTHONPATH': home})
        self.wait_until(self.listens)

    def recorded(self):
        return len(re.findall(r'^\S+ \S+ INFO Process PID \d+ closed$', self.read_log(), re.MULTILINE))

    def wait_recorded(self, before, accepted, cut_off):
        """As Brood.wait_recorded(); its record is a line in its log. Returns how many."""
        end = time.monotonic() + 60
        while self.recorded() - before < accepted:
            if time.monotonic() > end:
                raise BenchError(f'of {accepted:.0f} accepted jobs {self.recorded() - before} are in the log')
            time.sleep(0.1)
        if self.recorded() - before > accepted + cut_off:
            raise BenchError(f'{self.recorded() - before} jobs are in the log, but {accepted:.0f} were accepted')


class Client:
    """One POST after the other, as fast as it goes; http.client takes longer than the service."""

    def __init__(self, service):
        self.service = service
        with open(service.bench.source('serve', 'body.json'), 'rb') as file:
            body = file.read()
        self.request = (f'POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
                        f'Content-Length: {len(body)}\r\n'
                        f'Connection: {"close" if service.close else "keep-alive"}\r\n\r\n').encode() + body
        self.socket = None

    def post(self):
        """Whether it was accepted."""
        if self.socket is None:
            self.socket = socket.create_connection(('127.0.0.1', self.service.port), timeout=10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request)
        answer = b''
        while b'\r\n\r\n' not in answer:
            answer += self.receive()
        head, _, body = answer.partition(b'\r\n\r\n')
        size = int(re.search(rb'(?i)\r\ncontent-length:\s*(\d+)', head).group(1))
        while len(body) < size:
            body += self.receive()
        if self.service.close:
            self.close()
        code = json.loads(body)['code'] if self.service.by_code else int(head.split(b' ', 2)[1])
        if code not in (200, 202, 429):
            raise BenchError(f'{type(self.service).__name__} answered {code}')
        return code != 429

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise BenchError(f'{type(self.service).__name__} closed the connection')
        return data

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
