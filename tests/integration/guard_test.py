"""What the server refuses before anything acts on it."""
import contextlib
import unittest

from server import ServerTest, head_of

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


if __name__ == '__main__':
    unittest.main()
