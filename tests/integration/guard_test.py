"""What the server refuses before anything acts on it, how long it waits for whom, and how many it serves."""
import contextlib
import resource
import socket
import time
import unittest

from server import PATIENCE, OwnServerTest, ServerTest, descriptors, eventually, gate, head_of, links

HOST = b'Host: localhost\r\n'
POST = b'POST /true HTTP/1.1\r\n' + HOST + b'Content-Type: application/json\r\n'
CHUNKED = b'\r\n\r\n2\r\n{}\r\n0\r\n\r\n'


def get(path='/healthz', *lines):
    return head_of('GET', path, None, *lines)


def received(connection):
    """What still comes until the server closes."""
    with contextlib.suppress(ConnectionResetError):
        return connection.stream.read()
    return b''


class Framing(ServerTest):
    """Bytes that another parser might take for another request."""
    routes = [{'name': 'true', 'command': ['/bin/true']}]

    def refused(self, data, status=400, code=None):
        with self.server.connect() as connection:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError): # it need not read all
                connection.send(data + get())
            reply = connection.reply()
            self.assertEqual(reply.status, status, reply)
            if code is not None:
                self.assert_error(reply, status, code)
            self.assertNotIn(b'200 OK', received(connection)) # what followed was not read as a request
        self.assertEqual(self.server.jobs(), [])

    def test_two_lengths(self):
        for second in (b'Content-Length: 5', b'Content-Length: 2', b'content-length: 2'):
            self.refused(POST + b'Content-Length: 2\r\n' + second + b'\r\n\r\n{}', 400, 'bad_framing')

    def test_a_length_and_chunked(self):
        lines = [b'Content-Length: 2', b'Transfer-Encoding: chunked']
        for order in (lines, lines[::-1]):
            self.refused(POST + b'\r\n'.join(order) + CHUNKED, 400, 'bad_framing')

    def test_other_encodings(self):
        for value in (b'xchunked', b'identity', b'gzip, chunked', b'chunked, chunked', b'"chunked"'):
            with self.subTest(value=value):
                self.refused(POST + b'Transfer-Encoding: ' + value + CHUNKED, 400, 'bad_framing')
        self.refused(POST + b'Transfer-Encoding: chunked\r\nTransfer-Encoding: xchunked' + CHUNKED, 400, 'bad_framing')
        self.refused(POST.replace(b'/1.1', b'/1.0') + b'Transfer-Encoding: chunked' + CHUNKED, 400, 'bad_framing')

    def test_lengths_that_are_no_numbers(self):
        for value in (b'+5', b'-5', b'0x5', b'5,5', b'5 5', b'5;', b'', b'99999999999999999999999'):
            with self.subTest(value=value):
                self.refused(POST + b'Content-Length: ' + value + b'\r\n\r\n{}xyz', 413 if b'9' in value else 400)

    def test_chunks_that_are_none(self):
        for size in (b'0x2', b'+2', b'-2', b'2 x', b'', b'g'):
            with self.subTest(size=size):
                self.refused(POST + b'Transfer-Encoding: chunked\r\n\r\n' + size + b'\r\n{}\r\n0\r\n\r\n')
        self.refused(POST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n')

    def test_a_space_before_the_colon(self):
        for line in (b'X : y', b'X\t: y', b'Content-Length : 2', b'Transfer-Encoding : chunked'):
            with self.subTest(line=line):
                self.refused(POST + line + b'\r\n\r\n{}', 400, 'bad_header')
        self.refused(b'GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n')

    def test_names_with_other_characters(self):
        for name in (b'X(y)', b'X"', b'X\xc3\xa9', b'X[]', b'X y'):
            with self.subTest(name=name):
                self.refused(POST + name + b': z\r\nContent-Length: 2\r\n\r\n{}', 400, 'bad_header')
        self.refused(POST + b'X\0: y\r\nContent-Length: 2\r\n\r\n{}')
        self.refused(POST + b'no colon\r\nContent-Length: 2\r\n\r\n{}')

    def test_heads_that_are_too_large(self):
        start = b'GET /healthz HTTP/1.1\r\n' + HOST
        self.refused(start + b'X: ' + b'x' * (1 << 20) + b'\r\n\r\n', 431)
        self.refused(start + b''.join(b'X-%d: y\r\n' % i for i in range(2000)) + b'\r\n', 431)
        self.refused(b'GET /' + b'x' * (1 << 16) + b' HTTP/1.1\r\n' + HOST + b'\r\n', 414)

    def test_versions(self):
        for line in (b'GET /healthz HTTP/2.0', b'GET /healthz HTTP/0.9'):
            self.refused(line + b'\r\n' + HOST + b'\r\n', 505)
        for line in (b'GET /healthz http/1.1', b'GET /healthz HTTP/1.1x', b'GET /healthz'):
            with self.subTest(line=line):
                self.refused(line + b'\r\n' + HOST + b'\r\n')


class Pipelined(ServerTest):
    def test_requests_of_all_kinds_are_answered_in_order(self):
        """Some are answered at once, some when the store has it, some from a file."""
        job = self.server.run('seq -w 1000 1999')['id']
        body = b'{"sh": ""}'
        with self.server.connect() as connection:
            connection.send(b''.join(
                head_of('POST', '/run', len(body)) + body if i % 10 == 5 else
                get(f'/v1/jobs/{job}/stdout', f'Range: bytes={5 * i}-{5 * i + 3}') for i in range(100)))
            for i in range(100):
                reply = connection.reply()
                if i % 10 == 5:
                    self.assertEqual(reply.status, 202)
                    self.server.ended(reply.json()['id'])
                else:
                    self.assertEqual((reply.status, reply.body), (206, b'%d' % (1000 + i)))


class Hosts(ServerTest):
    settings = {'hosts': ['jobs', 'Brood.Example.']}

    def reply_to(self, *hosts, version='1.1'):
        with self.server.connect() as connection:
            lines = [f'GET /healthz HTTP/{version}'] + [f'Host: {host}' for host in hosts]
            connection.send(('\r\n'.join(lines) + '\r\n\r\n').encode())
            return connection.reply()

    def test_ours(self):
        for host in ('localhost', 'LOCALHOST:1', 'localhost.', '127.0.0.1', '10.1.2.3:80', '[::1]', '[::1]:80', 'jobs',
                     'Jobs.:8600', 'brood.example', 'brood.example.'):
            with self.subTest(host=host):
                self.assertEqual(self.reply_to(host).status, 200)

    def test_others(self):
        for host in ('evil.example', 'localhost.evil.example', 'job', 'jobs.evil.example', 'example', '127.1', '::1',
                     '', 'a@localhost', 'localhost/', 'jobs evil.example'):
            with self.subTest(host=host):
                self.assert_error(self.reply_to(host), 421, 'bad_host')
                self.assert_error(self.reply_to(host, version='1.0'), 421, 'bad_host')

    def test_none_and_two(self):
        self.assertEqual(self.reply_to().status, 400)
        self.assertEqual(self.reply_to(version='1.2').status, 400)
        self.assertEqual(self.reply_to(version='1.0').status, 200)
        self.assert_error(self.reply_to('localhost', 'localhost'), 400, 'bad_host')
        self.assert_error(self.reply_to('localhost', 'evil.example'), 400, 'bad_host')

    def test_another_host_starts_nothing(self):
        reply = self.server.request('POST', '/run', b'{"sh": ""}',
                                    {'Host': 'evil.example', 'Content-Type': 'application/json'})
        self.assert_error(reply, 421, 'bad_host')
        self.assertEqual(self.server.jobs(), [])


class Slow(ServerTest):
    """With request_timeout 1s a slow request is cut; whoever else comes is served meanwhile."""
    routes = [{'name': 'run'}, {'name': 'true', 'command': ['/bin/true']}]
    settings = {'request_timeout': '1s'}

    def drip(self, connection, data):
        """A byte each half second, until the server closes: what it said."""
        began, said = time.monotonic(), b''
        connection.socket.settimeout(0.5)
        for byte in data:
            self.assertEqual(self.server.get('/healthz').status, 200)
            try:
                connection.send(bytes([byte]))
                said += connection.socket.recv(65536)
                break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            self.fail('it was not cut')
        self.assertGreater(time.monotonic() - began, 0.5)
        with contextlib.suppress(OSError):
            while more := connection.socket.recv(65536):
                said += more
        return said

    def test_a_slow_head(self):
        with self.server.connect() as connection:
            self.assertEqual(self.drip(connection, b'GET /healthz HTTP/1.1\r\nX: ' + b'x' * 40), b'')

    def test_a_slow_head_on_a_connection_that_was_used(self):
        with self.server.connect() as connection:
            connection.send(get())
            self.assertEqual(connection.reply().status, 200)
            self.assertEqual(self.drip(connection, b'GET /healthz HTTP/1.1\r\nX: ' + b'x' * 40), b'')

    def test_a_slow_body(self):
        body = b'{"sh": "' + b'x' * 60
        for head in (POST + b'Content-Length: 1000\r\n\r\n', POST + b'Transfer-Encoding: chunked\r\n\r\n400\r\n'):
            with self.server.connect() as connection:
                connection.send(head)
                said = self.drip(connection, body)
            self.assertTrue(said.startswith(b'HTTP/1.1 408 '), said)
            self.assertIn(b'"code":"too_slow"', said)
        self.assertEqual(self.server.jobs(), [])

    def test_a_connection_that_says_nothing(self):
        with self.server.connect() as connection:
            self.assertEqual(received(connection), b'')

    def test_a_pause_between_requests_is_no_slow_request(self):
        with self.server.connect() as connection:
            connection.send(get())
            self.assertEqual(connection.reply().status, 200)
            time.sleep(5)
            connection.send(get())
            self.assertEqual(connection.reply().status, 200)

    def test_a_wait_is_no_slow_request(self):
        job = self.end_in_time(self.server.submit(gate()))
        with self.server.connect() as connection:
            for _ in range(2):
                connection.send(get(f'/v1/jobs/{job}?wait=5s'))
                reply = connection.reply()
                self.assertEqual((reply.status, reply.json()['state']), (200, 'running'))


class Waits(ServerTest):
    def test_who_vanishes_in_a_wait_leaves_no_descriptor(self):
        job = self.end_in_time(self.server.submit(gate()))
        self.server.await_running(job)
        before = descriptors(self.server.process.pid)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(self.server.connect()).send(get(f'/v1/jobs/{job}?wait=5m'))
            eventually(lambda: descriptors(self.server.process.pid) >= before + 10, 'their connections')
        eventually(lambda: descriptors(self.server.process.pid) <= before, 'their end')
        self.assertEqual(self.server.job(job)['state'], 'running')

    def test_who_only_stops_sending_is_told_how_it_is_now(self):
        job = self.end_in_time(self.server.submit(gate()))
        self.server.await_running(job)
        with self.server.connect() as connection:
            connection.send(get(f'/v1/jobs/{job}?wait=5m'))
            connection.socket.shutdown(socket.SHUT_WR)
            reply = connection.reply()
        self.assertEqual((reply.status, reply.json()['state']), (200, 'running'))


class Readers(ServerTest):
    """Of a reply of 512 KiB: 1 s and 8 s in all."""
    settings = {'reply_timeout': '1s'}
    size = 512 << 10

    def ask(self, job):
        """Asks for the output on a socket for which the kernel keeps little of it."""
        slow = socket.socket()
        self.addCleanup(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        slow.settimeout(PATIENCE)
        slow.connect(('127.0.0.1', self.server.port))
        slow.sendall(get(f'/v1/jobs/{job}/stdout'))
        return slow

    def is_sent(self, job):
        return any(link.endswith(f'/{job}.out') for link in links(self.server.process.pid))

    def test_a_slow_one_is_cut(self):
        job = self.server.run(f'head -c {self.size} /dev/zero')['id']
        slow, taken = self.ask(job), 0
        began = time.monotonic()
        self.assertEqual(self.server.output(job), bytes(self.size)) # another reader, meanwhile
        eventually(lambda: self.is_sent(job), 'its reply')
        while self.is_sent(job):
            taken += len(slow.recv(100))
            self.assertLess(time.monotonic() - began, 60)
            time.sleep(0.02)
        self.assertGreater(time.monotonic() - began, 8)
        with contextlib.suppress(ConnectionResetError):
            while more := slow.recv(65536):
                taken += len(more)
        self.assertLess(taken, self.size)


class Limits(OwnServerTest):
    def newcomer(self, server, *source):
        """A connection that was served, as soon as the server has seen that there is room for it."""
        def served():
            connection = server.connect(*source)
            with contextlib.suppress(AssertionError, OSError):
                self.served([connection])
                return connection
            connection.close()
            return None
        return eventually(served, 'an answer')

    def full(self, server, stack, n, *source):
        """`n` connections, each of which was served."""
        return [stack.enter_context(self.newcomer(server, *source)) for _ in range(n)]

    def served(self, connections):
        for connection in connections:
            connection.send(get())
        for connection in connections:
            self.assertEqual(connection.reply().status, 200)

    def refused(self, server, *source):
        for _ in range(50):
            with server.connect(*source) as connection:
                self.assertEqual(received(connection), b'')

    def test_in_all(self):
        server = self.serve(max_connections=20)
        with contextlib.ExitStack() as stack:
            connections = self.full(server, stack, 20)
            self.refused(server)
            self.refused(server, '127.0.0.2')
            self.served(connections)
            connections[3].close()
            self.full(server, stack, 1, '127.0.0.2')
            eventually(lambda: server.events('connections_refused', max_connections='20'), 'a line')
        self.newcomer(server).close()

    def test_for_an_address(self):
        server = self.serve(max_connections_per_address=5)
        with contextlib.ExitStack() as stack:
            connections = self.full(server, stack, 5)
            self.refused(server)
            connections += self.full(server, stack, 5, '127.0.0.2')
            self.refused(server, '127.0.0.2')
            self.served(connections)
            connections[0].close()
            self.full(server, stack, 1)

    def test_a_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 3000:
            self.skipTest(f'needs 3000 descriptors, the hard limit is {hard}')
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server = self.serve(max_connections_per_address=1100, max_connections=1100)
        with contextlib.ExitStack() as stack:
            connections = self.full(server, stack, 1000)
            self.assertEqual(server.run('echo x')['state'], 'succeeded')
            self.served(connections)

    def files_of(self, server):
        """The limits that a job's program finds."""
        job = server.run('ulimit -Sn; ulimit -Hn')['id']
        return tuple(int(word) for word in server.output(job).split())

    def test_the_server_has_room_and_its_jobs_have_the_limits_it_was_started_with(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < 3000:
            self.skipTest(f'needs 3000 descriptors, the hard limit is {hard}')
        server = self.serve(files=(300, 3000))
        soft = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[0]
        self.assertGreaterEqual(soft, 2 * 1024)
        self.assertEqual(server.events('few_descriptors'), [])
        self.assertEqual(self.files_of(server), (300, 3000))
        server.kill_keeper()
        eventually(lambda: server.get('/readyz').status == 200, 'a new keeper')
        self.assertEqual(self.files_of(server), (300, 3000))

    def test_a_hard_limit_that_is_too_small(self):
        server = self.serve(files=(100, 120), max_concurrent=4)
        lines = server.events('few_descriptors')
        self.assertEqual([line['hard_limit'] for line in lines], ['120'])
        most = int(lines[0]['max_connections'])
        before = descriptors(server.process.pid)
        with contextlib.ExitStack() as stack:
            connections = self.full(server, stack, most)
            self.refused(server)
            self.served(connections)
        eventually(lambda: descriptors(server.process.pid) <= before, 'the end of all')
        self.assertEqual(self.files_of(server), (100, 120))


if __name__ == '__main__':
    unittest.main()
