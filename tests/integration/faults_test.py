"""The faults of a scheduler that was written too quickly, each provoked on purpose.

a  output of more than a pipe holds          f  client errors that become server errors
b  payloads in argv: visible, and limited    h  more started than the limit allows
c  slots that wait for a tick                i  an end that nobody can ask about
d  descendants, and jobs that ignore SIGTERM j  a job whose child holds stderr
e  refusals under HTTP status 200            k  many requests on one connection
g  a restart that forgets what runs          m  descriptors that are kept until a tick
"""
import contextlib
import hashlib
import json
import os
import secrets
import threading
import time
import unittest

from server import TREE, OwnServerTest, ServerTest, descriptors, eventually, gate, head_of, is_alive, pids, zombies_of

REQUIRED = ['requestId', 'systemId', 'inspectionStartTime', 'inspectionEndTime', 'trainId', 'lineCode', 'imageUrls',
            'yardName', 'direction', 'imageUrls[].imageUrl', 'imageUrls[].location']
REPORT = {'requestId': 'r', 'systemId': '0', 'inspectionStartTime': '1', 'inspectionEndTime': '2', 'trainId': 't',
          'lineCode': 'M', 'imageUrls': [{'location': 'l', 'imageUrl': 'u'}], 'yardName': 'y', 'direction': '0'}


class A(ServerTest):
    def test_a_output_of_any_size_neither_blocks_nor_is_lost(self):
        jobs = {n: self.server.submit(f'head -c {n} /dev/zero | tr "\\0" x; head -c {n} /dev/zero | tr "\\0" y >&2')
                for n in (60000, 70000, 5000000)}
        for n, job in jobs.items():
            facts = self.server.ended(job)
            self.assertEqual((facts['state'], facts['stdout_bytes'], facts['stderr_bytes'], facts['truncated']),
                             ('succeeded', n, n, False))
            self.assertTrue(self.server.output(job) == b'x' * n, n)
            self.assertTrue(self.server.output(job, 'stderr') == b'y' * n, n)

    def test_a_job_that_writes_on_and_on_ends_by_itself(self):
        facts = self.server.run('for i in 1 2 3 4 5 6 7 8; do head -c 65536 /dev/zero; done; echo end')
        self.assertEqual((facts['state'], facts['stdout_bytes']), ('succeeded', 8 * 65536 + 4))


def visible(text):
    """Processes whose arguments or environment have the text."""
    found = []
    for pid in pids():
        for name in ('cmdline', 'environ'):
            try:
                with open(f'/proc/{pid}/{name}', 'rb') as file:
                    if text.encode() in file.read():
                        found.append((pid, name))
            except OSError:
                continue
    return found


class B(ServerTest):
    routes = [{'name': 'stdin', 'command': ['/bin/sh', '-c', 'sha256sum'], 'body_limit': '4MiB'},
              {'name': 'file', 'command': ['/bin/sh', '-c', 'sha256sum < "$BROOD_INPUT"; stat -c %a "$BROOD_INPUT"'],
               'input': 'file'},
              {'name': 'argument', 'command': ['/bin/sh', '-c', 'printf %s "$0" | sha256sum'], 'input': 'argument'},
              {'name': 'stdin-wait', 'command': ['/bin/sh', '-c', gate()]},
              {'name': 'file-wait', 'command': ['/bin/sh', '-c', gate()], 'input': 'file'}]

    def check_arrives(self, route, data):
        reply = self.server.post(data, route)
        self.assertEqual(reply.status, 202, reply)
        job = reply.json()['id']
        self.assertEqual(self.server.ended(job)['state'], 'succeeded')
        self.assertEqual(self.server.output(job).split()[0].decode(), hashlib.sha256(data).hexdigest())
        return job

    def test_b_what_is_in_the_body_is_not_visible_in_ps(self):
        mark = secrets.token_hex(16)
        jobs = [self.server.post({'token': mark}, route).json()['id'] for route in ('stdin-wait', 'file-wait')]
        for job in jobs:
            self.server.await_running(job)
        self.assertGreaterEqual(len(self.server.job_processes()), 2)
        self.assertEqual(visible(mark), [])
        self.open_gate()
        for job in jobs:
            self.assertEqual(self.server.ended(job)['state'], 'succeeded')

    def test_b_a_field_of_any_size_arrives_by_stdin(self):
        for n in (130000, 131100, 200000, 3000000):
            self.check_arrives('stdin', json.dumps({'blob': 'x' * n}).encode())

    def test_b_66_kilobytes_of_chinese_arrive_as_they_were_sent(self):
        data = json.dumps({'blob': '\u8f66' * 22000}, ensure_ascii=False).encode()
        for route in ('stdin', 'file', 'argument'):
            self.check_arrives(route, data)

    def test_b_a_large_body_arrives_by_file_that_only_we_may_read(self):
        job = self.check_arrives('file', json.dumps({'blob': 'x' * 1000000}).encode())
        self.assertEqual(self.server.output(job).split()[-1], b'600')
        folder = os.path.join(self.server.state, 'input')
        self.assertEqual(os.listdir(folder), [])

    def test_b_an_argument_holds_what_the_kernel_takes_and_more_is_413(self):
        def body(size):
            return json.dumps({'blob': 'x' * (size - len(json.dumps({'blob': ''})))}).encode()
        self.check_arrives('argument', body(131071))
        for size in (131072, 131073, 200000):
            reply = self.server.post(body(size), 'argument')
            self.assert_error(reply, 413)


class C(ServerTest):
    routes = [{'name': 'four', 'max_concurrent': 4}, {'name': 'true', 'command': ['/bin/true'], 'max_concurrent': 4},
              {'name': 'one', 'command': ['/bin/true'], 'max_concurrent': 1}]

    def test_c_a_slot_is_free_when_its_job_ends(self):
        jobs = [self.server.submit(gate(f'gate-{i}'), 'four') for i in range(4)]
        for _ in range(2):
            reply = self.server.post({'sh': 'true'}, 'four')
            self.assert_error(reply, 429, 'busy')
            self.assertRegex(reply.headers['Retry-After'], r'^[1-9]\d*$')
        self.open_gate('gate-2')
        self.assertEqual(self.server.ended(jobs[2])['state'], 'succeeded')
        began = time.monotonic()
        job = eventually(lambda: (lambda r: r.status == 202 and r.json()['id'])(
            self.server.post({'sh': gate('gate-2')}, 'four')), 'a free slot')
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(self.server.ended(job)['state'], 'succeeded')
        for i in (0, 1, 3):
            self.open_gate(f'gate-{i}')
        for job in jobs:
            self.assertEqual(self.server.ended(job)['state'], 'succeeded')

    def test_c_six_quick_jobs_one_after_the_other_all_find_a_slot(self):
        for _ in range(6):
            self.assertEqual(self.server.run(route='one')['state'], 'succeeded')

    def test_c_no_zombie_and_no_descriptor_stays(self):
        keeper = self.server.keeper()
        before = descriptors(keeper), descriptors(self.server.process.pid)
        for _ in range(10):
            for job in [self.server.submit(route='true') for _ in range(4)]:
                self.assertEqual(self.server.ended(job)['state'], 'succeeded')
        eventually(lambda: zombies_of(keeper) == [] and zombies_of(self.server.process.pid) == [], 'no zombies')
        eventually(lambda: (descriptors(keeper), descriptors(self.server.process.pid)) <= before, 'no descriptors')


class D(ServerTest):
    routes = [{'name': 'limited', 'timeout': '1s', 'max_concurrent': 1}, {'name': 'run'}]

    def test_d_at_the_time_limit_all_descendants_go(self):
        job = self.server.submit(TREE + 'wait; sleep 300', 'limited')
        tree = self.server.sleepers(3)
        facts = self.server.ended(job)
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        self.assertEqual(self.server.job_processes(), [])
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('timed_out', None, 15))
        self.assertGreaterEqual(facts['run_ms'], 1000)
        self.assertIn('timeout', facts['reason'])
        self.assertEqual(self.server.run('true', 'limited')['state'], 'succeeded')

    def test_d_a_job_that_ignores_term_is_killed_after_the_grace(self):
        job = self.server.submit('trap "" TERM; while :; do sleep 0.1; done', 'limited')
        facts = self.server.ended(job)
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('timed_out', None, 9))
        self.assertGreaterEqual(facts['run_ms'], 2000)
        self.assertEqual(self.server.job_processes(), [])
        self.assertEqual(self.server.run('true', 'limited')['state'], 'succeeded')

    def test_d_a_job_may_end_by_itself_at_its_term(self):
        facts = self.server.run('trap "echo bye; exit 7" TERM; sleep 300 & wait', 'limited')
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('timed_out', 7, None))
        self.assertEqual(self.server.output(facts['id']), b'bye\n')

    def test_d_what_a_job_leaves_behind_ends_with_it(self):
        job = self.server.submit(TREE + gate() + '; exit 0')
        tree = self.server.sleepers(3)
        self.open_gate()
        self.assertEqual(self.server.ended(job)['state'], 'succeeded')
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        self.assertEqual(self.server.job_processes(), [])

    def test_d_a_job_that_forks_and_forks_is_caught(self):
        job = self.server.submit('s=\'sleep 0.01; setsid sh -c "$0" "$0" & setsid sleep 300 & sleep 300\'; '
                                 'setsid sh -c "$s" "$s" & sleep 0.3; exit 4')
        facts = self.server.ended(job)
        self.assertEqual((facts['state'], facts['exit_code']), ('failed', 4))
        self.assertEqual(self.server.job_processes(), [])

    def test_d_one_jobs_end_leaves_the_others_descendants_alone(self):
        first = self.server.submit(TREE + gate() + '; exit 0')
        tree = self.server.sleepers(3)
        self.assertEqual(self.server.run(TREE + 'exit 0')['state'], 'succeeded')
        self.assertEqual([pid for pid in tree if not is_alive(pid)], [])
        self.assertEqual(self.server.sleepers(3), tree)
        self.open_gate()
        self.assertEqual(self.server.ended(first)['state'], 'succeeded')


class EF(ServerTest):
    routes = [{'name': 'true-codes', 'reply': 'code-message', 'required': REQUIRED, 'max_concurrent': 1},
              {'name': 'always-200', 'reply': 'code-message', 'status': 'always-200', 'required': REQUIRED,
               'max_concurrent': 1},
              {'name': 'job', 'required': REQUIRED, 'command': ['/bin/true'], 'body_limit': '64KiB'},
              {'name': 'any', 'command': ['/bin/true']}]
    settings = {'log_fields': ['requestId']}

    def fill(self, route):
        reply = self.server.post({**REPORT, 'sh': gate()}, route)
        self.end_in_time(reply.headers['Location'].rpartition('/')[2])

    def test_e_a_refusal_has_its_own_http_status(self):
        reply = self.server.post({}, 'true-codes')
        self.assertEqual((reply.status, reply.json()['code']), (400, 400))
        self.fill('true-codes')
        reply = self.server.post({**REPORT, 'sh': ''}, 'true-codes')
        self.assertEqual((reply.status, reply.json()['code']), (429, 429))
        self.assertRegex(reply.headers['Retry-After'], r'^[1-9]\d*$')

    def test_e_always_200_says_it_in_the_body(self):
        reply = self.server.post({}, 'always-200')
        self.assertEqual((reply.status, reply.json()['code']), (200, 400))
        self.fill('always-200')
        reply = self.server.post({**REPORT, 'sh': ''}, 'always-200')
        self.assertEqual((reply.status, reply.json()['code']), (200, 429))

    def test_f_not_json_is_told_with_line_and_column(self):
        for body, line, column in ((b'hello', 1, None), (b'{"a": 1,\n "b": ]}', 2, None), (b'', 1, None),
                                   (b'{"a": 1} x', 1, None), (b'\n\n\n{,}', 4, None), (b'{"a":1,"a":2}', 1, None),
                                   (b'{"a":"\xff"}', 1, None), (b'{"a": NaN}', 1, None), (b'\xef\xbb\xbf', 1, None)):
            with self.subTest(body=body):
                error = self.assert_error(self.server.post(body, 'job'), 400, 'not_json')
                self.assertRegex(error['message'], rf'line {line}, column \d+')

    def test_f_a_wrong_content_type_is_415(self):
        for wrong in ('text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'multipart/form-data',
                      'application/xml', 'json', '', None, 'text/json+', '+json', 'application/octet-stream'):
            with self.subTest(content_type=wrong):
                self.assert_error(self.server.post(REPORT, 'job', wrong), 415)

    def test_f_json_has_many_content_types(self):
        for good in ('application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="utf-8"',
                     'application/json ; a=b', 'application/cloudevents+json', 'application/vnd.api+json; x=1',
                     'text/x+JSON'):
            with self.subTest(content_type=good):
                self.assertEqual(self.server.post(REPORT, 'job', good).status, 202)

    def test_f_a_wrong_value_is_the_clients_error(self):
        cases = [([1], 'requestId'), (None, 'requestId'), (5, 'requestId'), ('abc', 'requestId'), (True, 'requestId'),
                 ({}, 'requestId'), ({**REPORT, 'imageUrls': 5}, 'imageUrls'),
                 ({**REPORT, 'imageUrls': 'abc'}, 'imageUrls'), ({**REPORT, 'imageUrls': {}}, 'imageUrls'),
                 ({**REPORT, 'imageUrls': None}, 'imageUrls'), ({**REPORT, 'lineCode': None}, 'lineCode'),
                 ({**REPORT, 'imageUrls': [5]}, 'imageUrls[0].imageUrl'),
                 ({**REPORT, 'imageUrls': [None]}, 'imageUrls[0].imageUrl'),
                 ({**REPORT, 'imageUrls': [{'location': 'l', 'imageUrl': 'u'}, {'imageUrl': 'u'}]},
                  'imageUrls[1].location'),
                 ({**REPORT, 'imageUrls': [{'location': None, 'imageUrl': 'u'}]}, 'imageUrls[0].location')]
        cases += [({k: v for k, v in REPORT.items() if k != name}, name) for name in REPORT]
        for body, field in cases:
            with self.subTest(body=body):
                self.assert_error(self.server.post(body, 'job'), 400, 'missing_field', field)

    def test_f_what_is_allowed_is_accepted(self):
        for change in ({'imageUrls': []}, {'requestId': {'a': 1}}, {'extra': None}, {'requestId': ''},
                       {'requestId': 10 ** 30}, {'requestId': False}, {'direction': 0}):
            with self.subTest(change=change):
                self.assertEqual(self.server.post({**REPORT, **change}, 'job').status, 202)
        for body in (None, [], 5, 'abc'):
            with self.subTest(body=body):
                self.assertEqual(self.server.post(body, 'any').status, 202)

    def test_f_a_body_too_large_is_413_by_its_length_alone(self):
        with self.server.connect() as connection:
            connection.send(head_of('POST', '/job', 20 << 20))
            self.assertEqual(connection.reply().status, 413)
        with self.server.connect() as connection:
            connection.send(head_of('POST', '/job', 10 ** 30))
            self.assertIn(connection.reply().status, (400, 413))

    def test_f_a_body_too_large_is_413_when_all_of_it_is_sent(self):
        self.assert_error(self.server.post({**REPORT, 'blob': 'x' * 100000}, 'job'), 413)

    def test_f_a_body_too_large_is_413_chunked(self):
        def chunks(n):
            yield b'{"a": "'
            for _ in range(n):
                yield b'x' * 10000
            yield b'"}'
        for n in (7, 300):
            reply = self.server.request('POST', '/job', chunks(n), {'Content-Type': 'application/json',
                                                                    'Transfer-Encoding': 'chunked'},
                                        encode_chunked=True)
            self.assert_error(reply, 413)

    def test_f_no_client_error_is_a_5xx(self):
        deep = b'[' * 100000 + b']' * 100000
        for body in (deep, b'{"a":' * 5000 + b'1' + b'}' * 5000, b'\x00', b'{"\\u0000": 1}', b'1e99999', b'"\\ud800"',
                     b'9' * 5000):
            with self.subTest(body=body[:20]):
                self.assertIn(self.server.post(body, 'any').status, (202, 400))


class G(OwnServerTest):
    def test_g_a_restart_while_a_job_runs_forgets_nothing(self):
        server = self.serve({'name': 'run'}, {'name': 'short', 'timeout': '2s', 'kill_grace': '200ms'})
        ends = server.submit(f'{gate()}; echo seen; exit 3')
        late = server.submit('sleep 300', 'short')
        for job in (ends, late):
            server.await_running(job)
        server.kill()
        server.start()
        self.assertEqual(server.job(ends)['state'], 'running')
        server.write('gate', '')
        facts = server.ended(ends)
        self.assertEqual((facts['state'], facts['exit_code'], server.output(ends)), ('failed', 3, b'seen\n'))
        self.assertEqual(server.ended(late)['state'], 'timed_out')  # the limit still applies


class M(OwnServerTest):
    def test_m_256_descriptors_are_enough_for_any_number_of_jobs(self):
        server = self.serve({'name': 'run', 'command': ['/bin/true'], 'queue': 1000}, files=(256, 256), max_concurrent=16)
        jobs = [server.submit() for _ in range(400)]
        for job in jobs:
            self.assertEqual(server.ended(job)['state'], 'succeeded')


class H(ServerTest):
    routes = [{'name': 'four', 'max_concurrent': 4, 'command': ['/bin/sh', '-c', gate()]}]

    def test_h_of_32_requests_at_once_four_start(self):
        replies = []
        barrier = threading.Barrier(32)

        def ask():
            barrier.wait()
            replies.append(self.server.post({}, 'four'))
        threads = [threading.Thread(target=ask) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(reply.status for reply in replies)
        self.assertEqual(statuses, [202] * 4 + [429] * 28)
        jobs = {reply.json()['id'] for reply in replies if reply.status == 202}
        self.assertEqual({job['id'] for job in self.server.jobs()}, jobs)
        self.open_gate()
        for job in jobs:
            self.assertEqual(self.server.ended(job)['state'], 'succeeded')


class I(ServerTest):
    def test_i_the_end_can_be_asked_for(self):
        good, bad = self.server.submit('exit 0'), self.server.submit('exit 3')
        facts = self.server.ended(good)
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal'], facts['reason']),
                         ('succeeded', 0, None, None))
        facts = self.server.ended(bad)
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('failed', 3, None))
        self.assertIn('3', facts['reason'])

    def test_i_another_method_is_405_with_allow(self):
        for method in ('GET', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH'):
            with self.subTest(method=method):
                reply = self.server.request(method, '/run')
                self.assertEqual((reply.status, reply.headers['Allow']), (405, 'POST'))

    def test_i_death_by_a_signal_shows_the_signal(self):
        for number in (9, 15, 6, 11):
            facts = self.server.run(f'ulimit -c 0; kill -{number} $$')
            self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('failed', None, number))
            self.assertIn(str(number), facts['reason'])


class J(ServerTest):
    def test_j_a_job_whose_child_holds_stderr_ends_at_once(self):
        job = self.server.submit('sleep 300 & setsid sleep 300 & echo it broke >&2; exit 1')
        for _ in range(5):
            self.assertEqual(self.server.get('/healthz').status, 200)
            self.assertEqual(self.server.run('true')['state'], 'succeeded')
        facts = self.server.ended(job)
        self.assertEqual((facts['state'], facts['exit_code']), ('failed', 1))
        self.assertLess(facts['run_ms'], 10000)
        self.assertEqual(self.server.output(job, 'stderr'), b'it broke\n')
        line = eventually(lambda: self.server.events('exited', id=job), 'the line')[0]
        self.assertEqual((line['state'], line['exit_code'], line['stderr']), ('failed', '1', 'it broke\n'))


class K(ServerTest):
    routes = [{'name': 'true', 'command': ['/bin/true'], 'max_concurrent': 1000},
              {'name': 'full', 'command': ['/bin/sh', '-c', gate()], 'max_concurrent': 1}]
    settings = {'max_concurrent': 1000}
    body = b'{"a": 1}'

    def post(self, path, body=None):
        body = self.body if body is None else body
        return head_of('POST', path, len(body)) + body

    def test_k_requests_on_one_connection_one_after_the_other(self):
        for n in (10, 100):
            with self.server.connect() as connection:
                ids = set()
                for _ in range(n):
                    connection.send(self.post('/true'))
                    reply = connection.reply()
                    self.assertEqual(reply.status, 202, reply)
                    ids.add(reply.json()['id'])
                self.assertEqual(len(ids), n)

    def test_k_pipelined_requests_are_answered_in_order(self):
        for n in (10, 100):
            with self.server.connect() as connection:
                connection.send(b''.join(self.post('/true') + head_of('GET', '/healthz') + self.post('/true', b'x') +
                                         head_of('GET', '/v1/jobs/0000000000000') for _ in range(n // 4)))
                statuses = [connection.reply().status for _ in range(n // 4 * 4)]
                self.assertEqual(statuses, [202, 200, 400, 404] * (n // 4))

    def test_k_100_pipelined_jobs(self):
        with self.server.connect() as connection:
            connection.send(self.post('/true') * 100)
            replies = [connection.reply() for _ in range(100)]
        self.assertEqual([reply.status for reply in replies], [202] * 100)
        ids = [reply.json()['id'] for reply in replies]
        self.assertEqual(ids, sorted(set(ids)))
        for job in ids:
            self.assertEqual(self.server.ended(job)['state'], 'succeeded')

    def test_k_refusals_keep_the_connection(self):
        self.end_in_time(self.server.submit(route='full'))
        with self.server.connect() as connection:
            for _ in range(10):
                connection.send(self.post('/full'))
                self.assertEqual(connection.reply().status, 429)
            connection.send(self.post('/full') * 50)
            self.assertEqual([connection.reply().status for _ in range(50)], [429] * 50)
            connection.send(head_of('PUT', '/none', 2) + b'{}' + head_of('GET', '/none') + self.post('/true', b'x') +
                            head_of('GET', '/healthz'))
            self.assertEqual([connection.reply().status for _ in range(4)], [404, 404, 400, 200])

    def test_k_a_body_refused_unread_closes_the_connection_and_says_so(self):
        for content_type in ('text/plain', 'application/json'):
            with self.server.connect() as connection:
                connection.send(head_of('POST', '/true', None, f'Content-Type: {content_type}',
                                        'Content-Length: 2000000'))
                with contextlib.suppress(OSError): # it need not be read
                    for _ in range(20):
                        connection.send(b'x' * 100000)
                reply = connection.reply()
                self.assertIn(reply.status, (413, 415))
                self.assertEqual(reply.headers['Connection'], 'close')
                self.assertEqual(connection.stream.read(), b'')


if __name__ == '__main__':
    unittest.main()
