"""What can be asked and said over HTTP: submits and their answers, jobs, lists, outputs, cancelling, metrics."""
import contextlib
import hashlib
import json
import os
import random
import re
import time
import unittest

from server import FINAL, TREE, OwnServerTest, ServerTest, descriptors, eventually, gate, head_of, is_alive

TIME = r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$'
ID = r'^[0-9a-hjkmnp-tv-z]{13}$'


class Accepted(ServerTest):
    routes = [{'name': 'run'}, {'name': 'deep', 'path': '/deep/path/to/a-b_c~d'}]

    def test_a_job_is_accepted_with_202_and_location(self):
        reply = self.server.post({'sh': ''})
        self.assertEqual(reply.status, 202)
        self.assertEqual(reply.headers['Content-Type'], 'application/json')
        body = reply.json()
        self.assertEqual(set(body), {'id', 'route', 'state', 'href'})
        self.assertRegex(body['id'], ID)
        self.assertEqual((body['route'], body['href']), ('run', f'/v1/jobs/{body["id"]}'))
        self.assertIn(body['state'], ('queued', 'running', *FINAL))
        self.assertEqual(reply.headers['Location'], body['href'])
        self.assertEqual(self.server.get(body['href']).json()['id'], body['id'])
        self.server.ended(body['id'])

    def test_a_path_may_be_deep(self):
        reply = self.server.request('POST', '/deep/path/to/a-b_c~d?a=b', b'{"sh": ""}',
                                    {'Content-Type': 'application/json'})
        self.assertEqual((reply.status, reply.json()['route']), (202, 'deep'))
        self.server.ended(reply.json()['id'])


class Body(ServerTest):
    routes = [{'name': 'big', 'command': ['/bin/cat'], 'body_limit': '2MiB'},
              {'name': 'default', 'command': ['/usr/bin/sha256sum']}]

    def big(self, size):
        """JSON of exactly `size` bytes with odd white space, escapes and order."""
        start, end = b' {"z" : 1,\t"a":1.50e+1,\r\n "\\u00e9":"\xc3\xa9\\/" , "blob":"', b'" }\n'
        letters = bytes(random.Random(4).choices(b'abcdefghij \xc2\xa0'[:11], k=size - len(start) - len(end)))
        return start + letters + end

    def test_a_mebibyte_arrives_byte_for_byte(self):
        for size in (1 << 20, 2 << 20):
            data = self.big(size)
            reply = self.server.post(data, 'big')
            self.assertEqual(reply.status, 202)
            job = reply.json()['id']
            self.assertEqual(self.server.ended(job)['stdout_bytes'], size)
            self.assertTrue(self.server.output(job) == data)

    def test_beyond_the_limit_is_413(self):
        self.assert_error(self.server.post(self.big((2 << 20) + 1), 'big'), 413)
        self.assert_error(self.server.post(self.big((1 << 20) + 1), 'default'), 413)
        self.assertEqual(self.server.post(self.big(1 << 20), 'default').status, 202)

    def test_a_chunked_body_arrives_byte_for_byte(self):
        data = self.big(1 << 20)
        generator = random.Random(5)

        def chunks(at=0):
            while at < len(data):
                n = generator.choice((1, 2, 1000, 70000))
                yield data[at:at + n]
                at += n
        reply = self.server.request('POST', '/big', chunks(), {'Content-Type': 'application/json',
                                                               'Transfer-Encoding': 'chunked'}, encode_chunked=True)
        self.assertEqual(reply.status, 202)
        job = reply.json()['id']
        self.server.ended(job)
        self.assertTrue(self.server.output(job) == data)

    def test_a_body_in_single_bytes_arrives(self):
        data = b'{"a": "some text that comes slowly"}'
        with self.server.connect() as connection:
            for byte in head_of('POST', '/default', len(data)) + data:
                connection.send(bytes([byte]))
            reply = connection.reply()
        self.assertEqual(reply.status, 202)
        job = reply.json()['id']
        self.server.ended(job)
        self.assertEqual(self.server.output(job).split()[0].decode(), hashlib.sha256(data).hexdigest())

    def test_expect_100_continue(self):
        with self.server.connect() as connection:
            connection.send(head_of('POST', '/default', 2, 'Expect: 100-continue'))
            self.assertEqual(connection.reply().status, 100)
            connection.send(b'{}')
            self.assertEqual(connection.reply().status, 202)
        with self.server.connect() as connection:
            connection.send(head_of('POST', '/default', 20 << 20, 'Expect: 100-continue'))
            self.assertEqual(connection.reply().status, 413)

    def test_a_client_that_goes_away_in_the_middle_starts_nothing(self):
        before = len(self.server.jobs('?limit=1000'))
        open_before = descriptors(self.server.process.pid)
        for sent in (0, 10, 900) * 10:
            with self.server.connect() as connection:
                connection.send(head_of('POST', '/default', 1000) + b'{"a": "' + b'x' * sent)
        eventually(lambda: descriptors(self.server.process.pid) <= open_before, 'the end of their connections')
        self.assertEqual(self.server.get('/healthz').status, 200)
        self.assertEqual(len(self.server.jobs('?limit=1000')), before)


class Framing(ServerTest):
    """What one server reads as one request and a proxy before it as two is refused."""
    routes = [{'name': 'true', 'command': ['/bin/true']}]

    def refused(self, *lines, body=b'{}'):
        with self.server.connect() as connection:
            connection.send(head_of('POST', '/true', None, 'Content-Type: application/json', *lines) + body)
            connection.socket.settimeout(30)
            reply = connection.reply()
            self.assertIn(reply.status, (400, 411, 501), reply)

    def test_two_lengths(self):
        self.refused('Content-Length: 2', 'Content-Length: 5')

    def test_a_length_and_chunked(self):
        self.refused('Content-Length: 2', 'Transfer-Encoding: chunked', body=b'2\r\n{}\r\n0\r\n\r\n')

    def test_an_unknown_transfer_encoding(self):
        self.refused('Transfer-Encoding: xchunked', body=b'2\r\n{}\r\n0\r\n\r\n')

    def test_a_length_that_is_no_number(self):
        for length in ('+2', '-2', '0x2', '2 2', ''):
            with self.subTest(length=length):
                self.refused(f'Content-Length: {length}')

    def test_a_space_before_the_colon(self):
        self.refused('Content-Length : 2')


class CodeMessage(OwnServerTest):
    def serve_code(self, **more):
        return self.serve({'name': 'code', 'reply': 'code-message', 'required': ['a', 'list[].b'],
                           'max_concurrent': 1, **more})

    def check(self, reply, status, code, message):
        self.assertEqual(reply.status, status, reply)
        self.assertEqual(reply.headers['Content-Type'], 'application/json')
        self.assertEqual(reply.body, json.dumps({'code': code, 'message': message}, separators=(',', ':')).encode())

    def test_the_documented_bodies_exactly(self):
        for status in ('true-codes', 'always-200'):
            server = self.serve_code(status=status)

            def real(code):
                return code if status == 'true-codes' else 200
            reply = server.post({'a': 1, 'list': [], 'sh': gate()}, 'code')
            self.check(reply, real(202), 200, 'success')
            self.assertRegex(reply.headers['Location'], r'^/v1/jobs/[0-9a-z]{13}$')
            self.assertIsNone(reply.headers['Brood-Field'])
            job = reply.headers['Location'].rpartition('/')[2]
            server.await_running(job)

            reply = server.post({'a': 1, 'list': []}, 'code')
            self.check(reply, real(429), 429, 'System busy, try later.')
            self.assertRegex(reply.headers['Retry-After'], r'^[1-9]\d*$')
            self.assertIsNone(reply.headers['Location'])

            reply = server.post({'a': 1, 'list': [{'b': 1}, {}]}, 'code')
            self.check(reply, real(400), 400, 'Missing required parameters.')
            self.assertEqual(reply.headers['Brood-Field'], 'list[1].b')
            line = eventually(lambda: server.events('refused', route='code'), 'the line')[-1]
            self.assertEqual(line['field'], 'list[1].b')

            for data, content_type, wanted in ((b'{', 'application/json', 400), (b'{}', 'text/plain', 415)):
                reply = server.post(data, 'code', content_type)
                self.assertEqual((reply.status, reply.json()['code']), (real(wanted), wanted))
                self.assertEqual(set(reply.json()), {'code', 'message'})
            server.write('gate', '')
            self.assertEqual(server.ended(job)['state'], 'succeeded')

    def test_a_program_that_is_gone_is_an_internal_error(self):
        server = self.serve_code(command=['./run'])
        os.unlink(server.path('run'))
        reply = server.post({'a': 1, 'list': []}, 'code')
        self.check(reply, 500, 500, 'Internal server error.')
        line = eventually(lambda: server.events('refused', status='500'), 'the line')[0]
        self.assertIn('No such file', line['message'])
        eventually(lambda: server.jobs('?state=failed'), 'the record')
        server.write('run', '#!/bin/sh\nexit 0\n', 0o700)
        reply = server.post({'a': 1, 'list': []}, 'code')
        self.check(reply, 202, 200, 'success')

    def test_the_same_with_replies_of_the_job_kind(self):
        server = self.serve({'name': 'run'}, {'name': 'always', 'status': 'always-200', 'required': ['a']})
        reply = server.post({}, 'always')
        self.assertEqual((reply.status, reply.json()['error']['field']), (200, 'a'))
        reply = server.post({'a': 1, 'sh': ''}, 'always')
        self.assertEqual((reply.status, set(reply.json())), (200, {'id', 'route', 'state', 'href'}))
        server.ended(reply.json()['id'])
        os.unlink(server.path('run'))
        reply = server.post({})
        self.assertEqual((reply.status, reply.json()['error']['field']), (500, None))
        job = server.jobs()[0]
        self.assertEqual((job['state'], job['exit_code'], job['started_at'], job['run_ms']),
                         ('failed', None, None, None))
        self.assertIn('No such file', job['reason'])


class Job(ServerTest):
    routes = [{'name': 'run', 'queue': 2, 'max_concurrent': 3}, {'name': 'one', 'queue': 5, 'max_concurrent': 1}]
    settings = {'log_fields': ['requestId', 'trainId']}

    def test_all_that_is_told_of_an_ended_job(self):
        began = time.time()
        facts = self.server.run('head -c 50000000 /dev/zero | tr x y | sha256sum >/dev/null; echo abc; echo de >&2; '
                                'sleep 0.1', requestId='r-1', trainId=7)
        self.assertEqual(set(facts), {'id', 'route', 'state', 'exit_code', 'signal', 'created_at', 'started_at',
                                      'finished_at', 'queued_ms', 'run_ms', 'rusage', 'stdout_bytes', 'stderr_bytes',
                                      'truncated', 'reason', 'fields'})
        self.assertEqual((facts['route'], facts['state'], facts['exit_code'], facts['signal'], facts['reason'],
                          facts['stdout_bytes'], facts['stderr_bytes'], facts['truncated'], facts['fields']),
                         ('run', 'succeeded', 0, None, None, 4, 3, False, {'requestId': 'r-1', 'trainId': '7'}))
        times = [facts[name] for name in ('created_at', 'started_at', 'finished_at')]
        for text in times:
            self.assertRegex(text, TIME)
        self.assertEqual(times, sorted(times))
        self.assertLess(abs(began - time.mktime(time.strptime(times[0][:19], '%Y-%m-%dT%H:%M:%S')) +
                            time.timezone), 60)
        for name in ('queued_ms', 'run_ms'):
            self.assertIsInstance(facts[name], int)
        self.assertGreaterEqual(facts['run_ms'], 100)
        self.assertEqual(set(facts['rusage']), {'user_ms', 'system_ms', 'max_rss_bytes'})
        self.assertGreater(facts['rusage']['user_ms'] + facts['rusage']['system_ms'], 0)
        self.assertGreater(facts['rusage']['max_rss_bytes'], 100000)

    def test_all_that_is_told_of_a_running_and_of_a_queued_job(self):
        first = self.end_in_time(self.server.submit('echo so far; ' + gate(), 'one'))
        self.server.await_running(first)
        second = self.end_in_time(self.server.submit('true', 'one'))
        eventually(lambda: self.server.job(first)['stdout_bytes'] == 7, 'output of a running job')
        running, queued = self.server.job(first), self.server.job(second)
        self.assertEqual((running['state'], running['exit_code'], running['signal'], running['finished_at']),
                         ('running', None, None, None))
        self.assertRegex(running['started_at'], TIME)
        self.assertIsInstance(running['run_ms'], int)
        self.assertEqual((queued['state'], queued['started_at'], queued['finished_at'], queued['run_ms'],
                          queued['exit_code'], queued['stdout_bytes']), ('queued', None, None, None, None, 0))
        self.assertRegex(queued['created_at'], TIME)
        self.assertIsInstance(queued['queued_ms'], int)
        self.assertEqual(self.server.output(first), b'so far\n')
        self.assertEqual(self.server.output(second), b'')

    def test_wait_returns_at_the_end(self):
        job = self.server.submit('sleep 0.5; exit 5')
        began = time.monotonic()
        facts = self.server.job(job, '?wait=30s')
        self.assertEqual((facts['state'], facts['exit_code']), ('failed', 5))
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(self.server.job(job, '?wait=30s')['state'], 'failed')

    def test_wait_returns_after_its_time(self):
        job = self.end_in_time(self.server.submit(gate()))
        began = time.monotonic()
        self.assertEqual(self.server.job(job, '?wait=300ms')['state'], 'running')
        self.assertGreaterEqual(time.monotonic() - began, 0.29)
        self.assertEqual(self.server.job(job, '?wait=0')['state'], 'running')
        for wrong in ('x', '', '-1s', '1', '1.5s', '10y'):
            self.assert_error(self.server.get(f'/v1/jobs/{job}?wait={wrong}'), 400)

    def test_many_wait_and_some_go_away(self):
        job = self.end_in_time(self.server.submit(gate()))
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(self.server.connect()) for _ in range(60)]
            for connection in waiting:
                connection.send(head_of('GET', f'/v1/jobs/{job}?wait=60s'))
            for connection in waiting[::3]:
                connection.close()
            self.assertEqual(self.server.get('/healthz').status, 200)
            self.open_gate()
            for n, connection in enumerate(waiting):
                if n % 3 != 0:
                    self.assertEqual(connection.reply().json()['state'], 'succeeded')

    def test_wait_of_a_queued_job_goes_on_through_its_start(self):
        first = self.server.submit(gate(), 'one')
        second = self.server.submit('echo done', 'one')
        with self.server.connect() as connection:
            connection.send(head_of('GET', f'/v1/jobs/{second}?wait=60s'))
            self.open_gate()
            self.assertEqual(connection.reply().json()['state'], 'succeeded')
        self.assertEqual(self.server.job(first)['state'], 'succeeded')

    def test_unknown_ids_are_404(self):
        good = self.server.run()['id']
        for wrong in ('0000000000000', '7zzzzzzzzzzzz', '8zzzzzzzzzzzz', 'x', good + 'x', good[:-1], good.upper() + '0',
                      '', '../jobs', '-' * 13, 'iiiiiiiiiiiii', f'{good}/', f'{good}/stdin', f'{good}/stdout/x'):
            with self.subTest(id=wrong):
                if wrong:
                    self.assert_error(self.server.get(f'/v1/jobs/{wrong}'), 404)
                    self.assert_error(self.server.delete(wrong), 404)
        for rest in ('stdout', 'stderr'):
            self.assert_error(self.server.get(f'/v1/jobs/0000000000000/{rest}'), 404)

    def test_other_paths_are_404_and_other_methods_405(self):
        job = self.server.run()['id']
        for path in ('/', '/v1', '/v1/', '/v1/job', '/run/', '/RUN', '/healthz/', '/../etc/passwd', '/%2e%2e/x'):
            with self.subTest(path=path):
                self.assert_error(self.server.get(path), 404)
                self.assertEqual(self.server.request('POST', path, b'{}', {'Content-Type': 'application/json'}).status,
                                 404)
        for method, path, allow in (('POST', '/v1/jobs', 'GET'), ('DELETE', '/v1/jobs', 'GET'),
                                    ('PUT', f'/v1/jobs/{job}', 'DELETE'), ('POST', f'/v1/jobs/{job}/stdout', 'GET'),
                                    ('DELETE', f'/v1/jobs/{job}/stderr', 'GET'), ('POST', '/healthz', 'GET'),
                                    ('POST', '/readyz', 'GET'), ('DELETE', '/metrics', 'GET')):
            with self.subTest(path=path):
                reply = self.server.request(method, path)
                self.assertEqual(reply.status, 405)
                self.assertIn(allow, reply.headers['Allow'].split(', '))


class List(ServerTest):
    routes = [{'name': 'run'}, {'name': 'other', 'max_concurrent': 1, 'queue': 5}]
    settings = {'log_fields': ['requestId', 'trainId']}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = cls.server
        cls.good = [server.run('exit 0', requestId=f'r-{n % 3}', trainId='t') for n in range(6)]
        cls.bad = [server.run('exit 1', requestId='r-0') for _ in range(3)]
        cls.other = [server.run('exit 0', 'other', requestId='r-0', trainId='\u8f66 & =') for _ in range(2)]

    def ids(self, query):
        return [job['id'] for job in self.server.jobs(query)]

    def test_filters(self):
        good, bad, other = [[job['id'] for job in jobs] for jobs in (self.good, self.bad, self.other)]
        everything = sorted(good + bad + other)
        mine = set(everything)
        self.assertEqual([i for i in self.ids('?limit=1000') if i in mine], everything[::-1])
        for query, wanted in (('?state=failed', bad), ('?route=other', other), ('?route=none', []),
                              ('?state=succeeded&route=run&trainId=t', good), ('?state=failed&route=other', []),
                              ('?requestId=r-0', good[::3] + bad + other), ('?requestId=r-1', good[1::3]),
                              ('?requestId=r-0&trainId=t', good[::3]), ('?trainId=%E8%BD%A6%20%26%20%3D', other),
                              ('?trainId=%E8%BD%A6+%26+%3D', other), ('?requestId=', []), ('?state=lost', []),
                              ('?state=timed_out', []), ("?requestId=r-0'%20OR%201=1", [])):
            with self.subTest(query=query):
                self.assertEqual(self.ids(query), sorted(wanted, reverse=True))

    def test_states_that_change(self):
        first = self.end_in_time(self.server.submit(gate(), 'other', requestId='waits'))
        second = self.end_in_time(self.server.submit(gate(), 'other', requestId='waits'))
        eventually(lambda: self.ids('?state=running') == [first], 'running')
        self.assertEqual(self.ids('?state=queued'), [second])
        self.assertEqual(self.ids('?requestId=waits'), [second, first])
        self.open_gate()
        self.server.ended(second)
        self.assertEqual(self.ids('?state=running'), [])
        self.assertEqual(self.ids('?state=succeeded&requestId=waits'), [second, first])

    def test_a_list_shows_what_the_job_shows(self):
        for facts in self.good + self.bad + self.other:
            found = [job for job in self.server.jobs('?limit=1000') if job['id'] == facts['id']]
            self.assertEqual(found, [facts])
            self.assertEqual(self.server.job(facts['id']), facts)

    def test_what_was_accepted_is_listed_at_once(self):
        for _ in range(20):
            job = self.server.submit()
            self.assertEqual(self.ids('?limit=1'), [job])

    def test_pages_are_stable_while_jobs_arrive(self):
        before = self.ids('?limit=1000')
        for limit in (1, 2, 4):
            seen, after = [], ''
            while after is not None:
                for _ in range(2):
                    self.server.submit()
                reply = self.server.get(f'/v1/jobs?limit={limit}{after}').json()
                self.assertLessEqual(len(reply['jobs']), limit)
                seen += [job['id'] for job in reply['jobs']]
                after = f'&after={reply["next"]}' if reply['next'] is not None else None
            self.assertEqual(len(seen), len(set(seen)))
            self.assertEqual(seen, sorted(seen, reverse=True))
            self.assertEqual([i for i in seen if i in set(before)], before)

    def test_pages_of_a_filter(self):
        wanted = sorted((job['id'] for job in self.good), reverse=True)
        seen, after = [], ''
        while after is not None:
            reply = self.server.get(f'/v1/jobs?trainId=t&limit=4{after}').json()
            seen += [job['id'] for job in reply['jobs']]
            after = f'&after={reply["next"]}' if reply['next'] is not None else None
        self.assertEqual(seen, wanted)

    def test_unknown_parameters_and_wrong_values_are_400(self):
        for query in ('foo=1', 'state=nope', 'state=', 'limit=0', 'limit=-1', 'limit=abc', 'limit=1000000', 'limit=',
                      'after=x', 'after=', 'lineCode=1', 'limit=1&foo=', 'state=running%00x', 'wait=1s'):
            with self.subTest(query=query):
                self.assert_error(self.server.get(f'/v1/jobs?{query}'), 400)


class Output(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job = cls.server.run('printf 0123456789; printf "<b>\\377" >&2')['id']
        cls.silent = cls.server.run()['id']

    def out(self, method='GET', job=None, which='stdout', **headers):
        return self.server.request(method, f'/v1/jobs/{job or self.job}/{which}', headers=headers)

    def test_plain_text_that_no_browser_guesses_at(self):
        for which, wanted in (('stdout', b'0123456789'), ('stderr', b'<b>\xff')):
            reply = self.out(which=which)
            self.assertEqual((reply.status, reply.body), (200, wanted))
            self.assertRegex(reply.headers['Content-Type'], r'^text/plain\b')
            self.assertEqual(reply.headers['X-Content-Type-Options'], 'nosniff')
            self.assertEqual(reply.headers['Content-Length'], str(len(wanted)))

    def test_ranges(self):
        for value, part, where in (('bytes=0-3', b'0123', '0-3'), ('bytes=4-', b'456789', '4-9'),
                                   ('bytes=-3', b'789', '7-9'), ('bytes=-100', b'0123456789', '0-9'),
                                   ('bytes=9-9', b'9', '9-9'), ('bytes=5-1000', b'56789', '5-9'),
                                   ('bytes=0-0', b'0', '0-0'), ('bytes=3-99999999999999999999999', b'3456789', '3-9')):
            with self.subTest(range=value):
                reply = self.out(Range=value)
                self.assertEqual((reply.status, reply.body), (206, part))
                self.assertEqual(reply.headers['Content-Range'], f'bytes {where}/10')
                self.assertEqual(reply.headers['X-Content-Type-Options'], 'nosniff')

    def test_ranges_outside(self):
        for value in ('bytes=10-', 'bytes=10-20', 'bytes=-0', 'bytes=99999999999999999999999-'):
            with self.subTest(range=value):
                reply = self.out(Range=value)
                self.assertEqual((reply.status, reply.headers['Content-Range']), (416, 'bytes */10'))

    def test_what_is_no_range_is_ignored(self):
        for value in ('lines=1-2', 'bytes=', 'bytes=-', 'bytes=3-2', 'bytes=a-b', 'bytes=0-1,3-4', 'bytes 0-1', '0-1'):
            with self.subTest(range=value):
                reply = self.out(Range=value)
                self.assertEqual((reply.status, reply.body), (200, b'0123456789'))

    def test_head(self):
        reply = self.out('HEAD')
        self.assertEqual((reply.status, reply.body, reply.headers['Content-Length']), (200, b'', '10'))
        reply = self.out('HEAD', Range='bytes=2-3')
        self.assertEqual(reply.body, b'')
        self.assertIn((reply.status, reply.headers['Content-Length']), ((206, '2'), (200, '10')))
        for path in (f'/v1/jobs/{self.job}', '/healthz', '/v1/jobs', '/metrics'):
            reply = self.server.request('HEAD', path)
            self.assertEqual((reply.status, reply.body), (200, b''))
            self.assertGreater(int(reply.headers['Content-Length']), 0)
        with self.server.connect() as connection:
            connection.send(head_of('HEAD', '/healthz') + head_of('GET', '/healthz'))
            connection.stream.readline()
            while connection.stream.readline() not in (b'\r\n', b''):
                continue
            self.assertEqual(connection.reply().status, 200)

    def test_a_silent_job(self):
        reply = self.out(job=self.silent)
        self.assertEqual((reply.status, reply.body), (200, b''))
        self.assertRegex(reply.headers['Content-Type'], r'^text/plain\b')
        self.assertEqual(self.out(job=self.silent, Range='bytes=0-').status, 416)

    def test_binary_output(self):
        job = self.server.run("printf '\\000\\001\\377\\n\\r\\n'")['id']
        self.assertEqual(self.server.output(job), b'\x00\x01\xff\n\r\n')


class Cancel(ServerTest):
    routes = [{'name': 'run'}, {'name': 'one', 'max_concurrent': 1, 'queue': 5}]

    def test_a_queued_job_is_cancelled_at_once_and_never_runs(self):
        first = self.server.submit(gate(), 'one')
        second = self.server.submit('touch second-ran', 'one')
        third = self.server.submit('touch third-ran', 'one')
        self.server.await_running(first)
        reply = self.server.delete(second)
        self.assertEqual(reply.status, 200)
        facts = reply.json()
        self.assertEqual((facts['id'], facts['state'], facts['started_at'], facts['run_ms'], facts['exit_code']),
                         (second, 'cancelled', None, None, None))
        self.assertRegex(facts['finished_at'], TIME)
        self.assertEqual(self.server.job(second)['state'], 'cancelled')
        self.open_gate()
        self.assertEqual(self.server.ended(third)['state'], 'succeeded')
        self.assertEqual(self.server.ended(first)['state'], 'succeeded')
        self.assertEqual(self.server.job(second), facts)
        self.assertEqual(os.path.exists(self.server.path('second-ran')), False)
        self.assertEqual(os.path.exists(self.server.path('third-ran')), True)

    def test_a_running_job_is_cancelled_with_all_its_descendants(self):
        job = self.server.submit('trap "" TERM; ' + TREE + 'while :; do sleep 1; done')
        tree = self.server.sleepers(3)
        reply = self.server.delete(job)
        self.assertIn(reply.status, (200, 202))
        self.assertEqual(reply.json()['id'], job)
        facts = self.server.ended(job)
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        self.assertEqual(self.server.job_processes(), [])
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('cancelled', None, 9))
        self.assertIn('cancel', facts['reason'])

    def test_delete_may_wait_for_the_end(self):
        job = self.server.submit('sleep 300')
        self.server.await_running(job)
        reply = self.server.delete(job, '?wait=20s')
        self.assertEqual((reply.status, reply.json()['state'], reply.json()['signal']), (200, 'cancelled', 15))

    def test_deleted_twice(self):
        job = self.server.submit('trap "sleep 0.3; exit 0" TERM; sleep 300 & wait')
        self.server.sleepers(1)
        for _ in range(3):
            self.assertIn(self.server.delete(job).status, (200, 202))
        self.assertEqual(self.server.ended(job)['state'], 'cancelled')

    def test_an_ended_job_stays_as_it_ended(self):
        facts = self.server.run('exit 3')
        for _ in range(2):
            reply = self.server.delete(facts['id'])
            self.assertEqual((reply.status, reply.json()), (200, facts))

    def test_a_slot_is_free_after_a_cancel(self):
        first = self.server.submit('sleep 300', 'one')
        second = self.server.submit('exit 0', 'one')
        self.server.delete(first)
        self.assertEqual(self.server.ended(second)['state'], 'succeeded')
        self.assertEqual(self.server.job(first)['state'], 'cancelled')

    def test_cancelled_as_soon_as_accepted(self):
        for _ in range(20):
            job = self.server.submit('sleep 300')
            self.assertIn(self.server.delete(job).status, (200, 202))
            self.assertEqual(self.server.ended(job)['state'], 'cancelled')


class Health(ServerTest):
    routes = [{'name': 'run', 'max_concurrent': 1}, {'name': 'queued', 'max_concurrent': 1, 'queue': 1}]

    def test_health_and_readiness(self):
        for path in ('/healthz', '/readyz'):
            self.assertEqual(self.server.get(path).status, 200)

    def metrics(self):
        """Prometheus text, checked strictly: {name{labels}: value}."""
        reply = self.server.get('/metrics')
        self.assertEqual(reply.status, 200)
        self.assertRegex(reply.headers['Content-Type'], r'^text/plain; version=0\.0\.4')
        found, types, helped = {}, {}, set()
        text = reply.body.decode()
        self.assertTrue(text.endswith('\n'))
        for line in text.splitlines():
            comment = re.fullmatch(r'# (HELP|TYPE) ([a-z_:][a-z0-9_:]*) (.+)', line)
            if comment is not None:
                if comment[1] == 'HELP':
                    helped.add(comment[2])
                else:
                    self.assertNotIn(comment[2], types)
                    self.assertIn(comment[3], ('counter', 'gauge', 'histogram'))
                    types[comment[2]] = comment[3]
                continue
            sample = re.fullmatch(r'([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,(?=[a-z])|(?=\})))*\})? '
                                  r'([0-9.eE+-]+|NaN|[+-]Inf)', line)
            self.assertIsNotNone(sample, line)
            self.assertIn(sample[1], types)
            self.assertIn(sample[1], helped)
            self.assertTrue(types[sample[1]] != 'counter' or sample[1].endswith('_total'), sample[1])
            key = sample[1] + (sample[2] or '')
            self.assertNotIn(key, found)
            found[key] = float(sample[3])
        return found

    def test_counters_move_by_what_happened(self):
        before = self.metrics()
        self.server.run('exit 0')
        self.server.run('exit 1')
        job = self.server.submit(gate())
        waiting = [self.server.submit(gate(), 'queued') for _ in range(2)]
        for _ in range(3):
            self.assertEqual(self.server.post({'sh': ''}).status, 429)
        self.server.await_running(job)
        now = self.metrics()
        self.assertEqual(now['brood_jobs_active{route="run"}'], 1)
        self.assertEqual(now['brood_jobs_queued{route="queued"}'], 1)
        self.open_gate()
        for one in [job, *waiting]:
            self.server.ended(one)
        after = self.metrics()
        moved = {key: after[key] - before.get(key, 0) for key in after}
        for key, by in (('brood_jobs_accepted_total{route="run"}', 3), ('brood_jobs_accepted_total{route="queued"}', 2),
                        ('brood_jobs_refused_total{route="run"}', 3),
                        ('brood_jobs_ended_total{route="run",state="succeeded"}', 2),
                        ('brood_jobs_ended_total{route="run",state="failed"}', 1),
                        ('brood_jobs_ended_total{route="queued",state="succeeded"}', 2),
                        ('brood_jobs_ended_total{route="run",state="lost"}', 0),
                        ('brood_jobs_active{route="run"}', 0), ('brood_jobs_queued{route="queued"}', 0)):
            self.assertEqual(moved[key], by, key)
        self.assertEqual(set(before), set(after))
        self.assertGreater(moved['brood_job_run_seconds_total{route="run"}'], 0)
        self.assertGreaterEqual(moved['brood_http_replies_total{class="4xx"}'], 3)
        self.assertGreaterEqual(moved['brood_http_replies_total{class="2xx"}'], 7)


class Queue(ServerTest):
    routes = [{'name': 'one', 'max_concurrent': 1, 'queue': 10}, {'name': 'a', 'max_concurrent': 2, 'queue': 50},
              {'name': 'b', 'max_concurrent': 2, 'queue': 50}, {'name': 'none', 'max_concurrent': 1}]
    settings = {'max_concurrent': 3}

    def test_jobs_wait_in_order(self):
        first = self.server.submit(gate(), 'one')
        rest = [self.server.submit(f'echo {n} >> order', 'one') for n in range(10)]
        for job in rest:
            self.assertEqual(self.server.job(job)['state'], 'queued')
        reply = self.server.post({'sh': ''}, 'one')
        self.assert_error(reply, 429, 'busy')
        self.assertIsNotNone(reply.headers['Retry-After'])
        self.open_gate()
        for job in [first, *rest]:
            self.assertEqual(self.server.ended(job)['state'], 'succeeded')
        self.assertEqual(self.server.read('order').split(), [str(n) for n in range(10)])
        self.assertGreaterEqual(self.server.job(rest[-1])['queued_ms'], self.server.job(rest[0])['queued_ms'])

    def test_the_limits_are_reached_and_never_exceeded(self):
        os.mkdir(self.server.path('slots'))
        self.addCleanup(os.rmdir, self.server.path('slots'))
        sh = ('mkdir slots/$BROOD_ROUTE.$BROOD_JOB_ID; echo $(ls slots) >> overlaps; ' + gate() +
              '; sleep 0.05; rmdir slots/$BROOD_ROUTE.$BROOD_JOB_ID')
        jobs = [self.server.submit(sh, 'ab'[n % 2]) for n in range(24)]
        eventually(lambda: len(self.server.jobs('?state=running')) == 3, 'three at once')
        running = [job['route'] for job in self.server.jobs('?state=running')]
        self.assertEqual(max(running.count(route) for route in 'ab'), 2)
        self.assertEqual(len(self.server.jobs('?state=queued')), 21)
        self.assert_error(self.server.post({'sh': ''}, 'none'), 429)
        self.open_gate()
        for job in jobs:
            self.assertEqual(self.server.ended(job)['state'], 'succeeded')
        overlaps = [line.split() for line in self.server.read('overlaps').splitlines()]
        self.assertEqual(len(overlaps), 24)
        self.assertLessEqual(max(len(words) for words in overlaps), 3)
        for route in 'ab':
            self.assertLessEqual(max(sum(word.startswith(route) for word in words) for words in overlaps), 2)
        self.assertEqual(self.server.run(route='none')['state'], 'succeeded')

    def test_a_full_route_does_not_block_another(self):
        blocked = [self.server.submit(gate(), 'one') for _ in range(5)]
        self.assertEqual(self.server.run(route='a')['state'], 'succeeded')
        self.open_gate()
        for job in blocked:
            self.server.ended(job)


if __name__ == '__main__':
    unittest.main()
