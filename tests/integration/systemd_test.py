"""A service manager's end of `brood serve`, played by the test: what it passes, what it is told, what stays private.

And the server as process 1 of a pid namespace, as in a container.
"""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from server import BROOD, PATIENCE, OwnServerTest, Server, eventually, gate, name_of, pids, process

# Starts the rest of its words as a service manager does: descriptor N becomes 3, and further ones follow.
PASS = [sys.executable, '-IS', '-c', """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(',')]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES='brood-serve.socket')
os.execv(sys.argv[2], sys.argv[2:])
"""]
PRIVATE = ('NOTIFY_SOCKET', 'LISTEN_', 'WATCHDOG_')


def environment(pid):
    with open(f'/proc/{pid}/environ', encoding='utf-8') as file:
        return file.read().split('\0')


class Manager:
    """The socket to which a service says how it is."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE)

    def said(self, word):
        """The next message that has this assignment, as a dict; others are dropped."""
        while True:
            message = dict(line.split('=', 1) for line in self.socket.recv(4096).decode().splitlines())
            if word in message:
                return message

    def silent(self):
        """Whether nothing but the watchdog's messages has come."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                if self.socket.recv(4096) != b'WATCHDOG=1':
                    return False
        self.socket.settimeout(PATIENCE)
        return True


class Notify(OwnServerTest):
    def manage(self, *routes, **more):
        """A server that is not started, and its manager."""
        server = self.serve(*routes, start=False, **more)
        manager = Manager(server.path('notify'))
        self.addCleanup(manager.socket.close)
        server.environment['NOTIFY_SOCKET'] = server.path('notify')
        return server, manager

    def test_ready_once_it_listens_and_stopping_when_it_drains(self):
        server, manager = self.manage(drain_timeout='7m')
        server.start(ready=False)
        message = manager.said('READY')
        self.assertEqual(message, {'READY': '1', 'STATUS': 'serving'})
        self.assertEqual(server.get('/healthz').status, 200)
        server.process.terminate()
        message = manager.said('STOPPING')
        self.assertEqual((message['STOPPING'], message['STATUS']), ('1', 'draining'))
        self.assertGreater(int(message['EXTEND_TIMEOUT_USEC']), 7 * 60 * 10**6)
        self.assertEqual(server.process.wait(60), 0)
        self.assertTrue(manager.silent())

    def test_reloading_and_ready_again(self):
        server, manager = self.manage()
        server.start()
        manager.said('READY')
        server.process.send_signal(signal.SIGHUP)
        began = manager.said('RELOADING')
        self.assertEqual(began['RELOADING'], '1')
        self.assertGreater(int(began['MONOTONIC_USEC']), 0)
        self.assertEqual(manager.said('READY')['STATUS'], 'serving')
        server.write('brood.yaml', 'routes: 5\n')
        server.process.send_signal(signal.SIGHUP)
        manager.said('RELOADING')
        self.assertIn('reload failed', manager.said('READY')['STATUS'])

    def test_the_watchdog_is_told_that_it_lives(self):
        server, manager = self.manage()
        server.environment['WATCHDOG_USEC'] = str(200 * 1000)
        server.start()
        manager.said('READY')
        for _ in range(3):
            self.assertEqual(manager.said('WATCHDOG'), {'WATCHDOG': '1'})
        os.kill(server.process.pid, signal.SIGSTOP)
        with contextlib.suppress(BlockingIOError): # what was under way
            manager.socket.setblocking(False)
            while True:
                manager.socket.recv(4096)
        manager.socket.settimeout(1)
        try:
            with self.assertRaises(TimeoutError):
                manager.socket.recv(4096)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        manager.socket.settimeout(PATIENCE)
        manager.said('WATCHDOG')

    def test_keeper_and_jobs_cannot_speak_in_its_name(self):
        server, manager = self.manage({'name': 'env', 'command': ['/usr/bin/env']}, wrapper=[*PASS, '{fd}'])
        with listener() as passed:
            server.wrapper[-1] = str(passed.fileno())
            server.pass_fds = [passed.fileno()]
            server.environment['WATCHDOG_USEC'] = '60000000'
            server.start()
        manager.said('READY')
        self.assertTrue(any(word.startswith('NOTIFY_SOCKET=') for word in environment(server.process.pid)))
        for words in (environment(server.keeper()), server.output(server.run(route='env')['id']).decode().split('\n')):
            self.assertEqual([word for word in words if word.startswith(PRIVATE)], [])
        self.assertIn('OUTSIDE=not for jobs', environment(server.keeper()))
        # nor do they hold the socket, which would keep the port when the server is gone
        self.assertEqual([link for link in sockets(server.keeper()) if link in sockets(server.process.pid)], [])


def sockets(pid):
    """The sockets that a process has open and listens on, by TCP."""
    with open('/proc/net/tcp', encoding='utf-8') as file:
        listening = {words[9] for words in map(str.split, file) if words[3] == '0A'}
    found = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
    return [link for link in found if link.strip('socket:[]') in listening]


def listener(address='127.0.0.1', family=socket.AF_INET):
    found = socket.socket(family)
    found.bind((address, 0))
    found.listen()
    return found


class Activation(OwnServerTest):
    def pass_sockets(self, *passed, **settings):
        server = self.serve(start=False, wrapper=[*PASS, ','.join(str(s.fileno()) for s in passed)],
                            pass_fds=[s.fileno() for s in passed], **settings)
        return server

    def test_the_passed_socket_is_served_instead_of_listen(self):
        with listener() as passed, listener() as taken:
            server = self.pass_sockets(passed, listen=f'127.0.0.1:{taken.getsockname()[1]}')
            server.start()
            self.assertEqual(server.port, passed.getsockname()[1])
            self.assertEqual(server.run('exit 0')['state'], 'succeeded')
            # a reload does not mind another listen, which is not in force
            server.configure({'name': 'run'}, listen='127.0.0.1:1')
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.events('reloaded'), 'a reload')

    def test_connections_wait_while_the_server_is_away(self):
        with listener() as passed:
            server = self.pass_sockets(passed)
            server.start()
            server.kill()
            with server.connect() as connection:
                connection.send(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
                server.start()
                self.assertEqual(connection.reply().status, 200)

    def test_ipv6(self):
        try:
            passed = listener('::1', socket.AF_INET6)
        except OSError as error:
            self.skipTest(f'no IPv6: {error}')
        with passed:
            server = self.pass_sockets(passed)
            server.start(ready=False)
            self.assertEqual(server.events('listening')[0]['address'], f'[::1]:{passed.getsockname()[1]}')

    def refused(self, server):
        process_ = server.spawn()
        self.assertEqual(process_.wait(60), 2, server.log())
        return server.log()

    def test_what_cannot_be_served_is_refused(self):
        with listener() as one, listener() as two:
            self.assertIn('more than one socket', self.refused(self.pass_sockets(one, two)))
        with socket.socket() as idle, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            idle.bind(('127.0.0.1', 0))
            for wrong in (idle, datagrams):
                self.assertIn('no listening TCP socket', self.refused(self.pass_sockets(wrong)))

    def test_beyond_loopback_only_when_it_is_asked_for(self):
        with listener('') as passed: # any address
            server = self.pass_sockets(passed)
            self.assertIn('insecure: true', self.refused(server))
            server.configure({'name': 'run'}, insecure=True)
            server.start()

    def test_sockets_for_another_process_are_not_taken(self):
        server = self.serve(start=False)
        server.environment.update(LISTEN_PID='1', LISTEN_FDS='1')
        server.start()


class Units(unittest.TestCase):
    def test_systemd_understands_them(self):
        if shutil.which('systemd-analyze') is None:
            self.skipTest('no systemd-analyze')
        built = os.path.join(os.path.dirname(BROOD), 'systemd', 'brood-serve.service')
        socket_unit = os.path.join(os.path.dirname(__file__), '..', '..', 'systemd', 'brood-serve.socket')
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(socket_unit, folder)
            with open(built, encoding='utf-8') as file, \
                    open(os.path.join(folder, 'brood-serve.service'), 'w', encoding='utf-8') as copy:
                copy.write(re.sub('=[^ \\n]*/brood serve ', f'={BROOD} serve ', file.read())) # it is not installed
            paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
            result = subprocess.run(['systemd-analyze', 'verify', '--man=no', *paths], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, '', ''))


def namespace():
    """The words that start a program as process 1 of a pid namespace; skips where none can be made."""
    words = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
    for more in ([], ['--user', '--map-root-user']):
        with contextlib.suppress(OSError):
            if subprocess.run([*words, *more, 'true'], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False).returncode == 0:
                return words + more
    raise unittest.SkipTest('neither root nor a user namespace can make a pid namespace here')


class First(Server):
    """A server that is process 1: `process` is the unshare(1) outside of the namespace."""

    def pid(self):
        return next(pid for pid in pids() if (process(pid) or ('', 0))[1] == self.process.pid)

    def stop(self, patience=30):
        os.kill(self.pid(), signal.SIGTERM)
        return self.process.wait(patience)

    def kill(self):
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait()


class ProcessOne(unittest.TestCase):
    def setUp(self):
        self.server = First({'name': 'run'}, {'name': 'one', 'max_concurrent': 1, 'queue': 9}, wrapper=namespace())
        self.addCleanup(self.server.finish)

    def test_it_serves_and_buries_whom_nobody_else_does(self):
        server = self.server
        self.assertTrue(server.run('[ $PPID -ne 1 ] && [ -d /proc/1 ]')['state'] == 'succeeded')
        facts = server.run('(setsid sh -c "sleep 0.2; exit" & ) ; exit 4')
        self.assertEqual((facts['state'], facts['exit_code']), ('failed', 4))
        # one that is no job's comes to process 1 alone
        first = server.pid()
        subprocess.run(['nsenter', '--target', str(first), '--pid', 'sh', '-c', 'sleep 300 & exit'],
                       check=True, stdin=subprocess.DEVNULL)
        orphan = eventually(lambda: [pid for pid in pids() if (process(pid) or ('', 0))[1] == first
                                     and name_of(pid) == 'sleep'], 'the orphan')[0]
        os.kill(orphan, signal.SIGKILL)
        eventually(lambda: process(orphan) is None, 'its burial')
        self.assertEqual(server.run()['state'], 'succeeded')

    def test_sigterm_ends_it_and_leaves_nothing(self):
        server = self.server
        job = server.submit(gate())
        queued = server.submit(gate('gate-one'), 'one'), server.submit('echo later', 'one')
        server.await_running(queued[0])
        server.write('gate', '')
        server.write('gate-one', '')
        server.ended(job)
        self.assertEqual(server.stop(), 0)
        eventually(lambda: not server.processes(), 'nothing left')
        server.start()
        self.assertEqual(server.ended(queued[1])['state'], 'succeeded')

    def test_killed_it_takes_all_with_it_and_the_next_one_tells(self):
        server = self.server
        lost = server.submit('echo so far; sleep 300', 'one')
        queued = server.submit('echo later', 'one')
        eventually(lambda: server.job(lost)['stdout_bytes'] == 7, 'its output')
        server.kill()
        eventually(lambda: not server.processes(), 'nothing left')
        server.start()
        self.assertEqual((server.ended(lost)['state'], server.output(lost)), ('lost', b'so far\n'))
        self.assertEqual(server.ended(queued)['state'], 'succeeded')


if __name__ == '__main__':
    unittest.main()
