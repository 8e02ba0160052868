"""Finished jobs beyond a limit go: rows, log fields, output. Nothing else does, and nothing of them is left.

The removal follows a job's end within a second; a store with many jobs is made by hand, while no server runs.
"""
import os
import re
import sqlite3
import threading
import time
import unittest

from server import OwnServerTest, eventually, gate

QUICK = {'name': 'quick', 'command': ['/bin/sh', '-c', 'echo out; echo err >&2'], 'queue': 10000}
ROUTES = ({'name': 'run', 'queue': 100}, QUICK)
DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'


def written(number):
    """An id as text."""
    return ''.join(DIGITS[number >> shift & 31] for shift in range(60, -1, -5))


class Retention(OwnServerTest):
    def serve(self, *routes, **settings):
        return super().serve(*(routes or ROUTES), log_fields=['requestId'], **settings)

    def again(self, server, **settings):
        """The same server with other settings."""
        server.configure(*ROUTES, log_fields=['requestId'], **settings)
        server.start()

    def rows(self, server, query='SELECT id FROM job ORDER BY id'):
        with sqlite3.connect(f'file:{server.state}/jobs.db?mode=ro', uri=True, timeout=60) as store:
            rows = [row[0] for row in store.execute(query)]
        store.close()
        return rows

    def files(self, server):
        """The jobs of which there is output, with the folders in which it lies."""
        found = set()
        for folder, _, names in os.walk(os.path.join(server.state, 'output')):
            for name in names:
                self.assertEqual(name[:4], os.path.basename(folder))
                found.add(name.partition('.')[0])
        return found

    def metric(self, server, name):
        return int(re.search(rf'^brood_{name} (\d+)$', server.get('/metrics').body.decode(), re.MULTILINE)[1])

    def fill(self, server, n):
        """`n` finished jobs in the store of a server that does not run, the last ones the newest; their ids."""
        with sqlite3.connect(os.path.join(server.state, 'jobs.db')) as store:
            now = int(time.time() * 1000)
            last = store.execute('SELECT ifnull(max(id), 1 << 58) FROM job').fetchone()[0]
            ids = range(last + 1, last + 1 + n)
            store.executemany(
                'INSERT INTO job(id, route, fields, state, created, started, finished, out_bytes, err_bytes)'
                " VALUES(?, 'quick', ?, 2, ?, ?, ?, 4, 0)",
                ((number, f'{{"requestId":"{number}"}}', now, now, now - n + at) for at, number in enumerate(ids)))
            store.executemany("INSERT INTO field VALUES('requestId', ?, ?)", ((str(number), number) for number in ids))
        store.close()
        for number in ids:
            name = written(number)
            folder = os.path.join(server.state, 'output', name[:4])
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, name + '.out'), 'w', encoding='ascii') as file:
                file.write('out\n')
        return [written(number) for number in ids]

    def assert_only(self, server, wanted):
        """Of finished jobs only these are left, in every place."""
        self.assertEqual([written(number) for number in self.rows(server)], sorted(wanted))
        self.assertEqual(self.files(server) - set(wanted), set())
        self.assertEqual(set(self.rows(server, 'SELECT id FROM field')) - set(self.rows(server)), set())
        folders = os.path.join(server.state, 'output')
        for folder in os.listdir(folders):
            self.assertNotEqual(os.listdir(os.path.join(folders, folder)), [], 'an empty folder')


class Limits(Retention):
    def test_the_number_of_jobs_under_load(self):
        server = self.serve(retention={'jobs': 20})
        running = server.submit(f'echo begun; {gate()}; echo on')
        server.await_running(running)
        accepted, pages = [], []
        over = threading.Event()

        def pour():
            for n in range(75):
                accepted.append(server.submit(route='quick', requestId=f'r{n}'))

        def browse():
            while not over.is_set():
                seen, query = [], '?limit=7'
                while query:
                    page = server.get('/v1/jobs' + query).json()
                    seen += [job['id'] for job in page['jobs']]
                    query = page['next'] and f'?limit=7&after={page["next"]}'
                pages.append(seen)
        threads = [threading.Thread(target=pour) for _ in range(4)]
        browser = threading.Thread(target=browse)
        browser.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        browser.join()
        self.assertEqual(len(accepted), 300)
        for seen in pages:
            self.assertEqual(seen, sorted(set(seen), reverse=True))
        eventually(lambda: self.metric(server, 'jobs_expired_total') == 280, 'all that is too much')
        kept = [job['id'] for job in server.jobs('?limit=1000') if job['id'] != running]
        self.assertEqual((len(kept), self.metric(server, 'jobs_stored'), self.metric(server, 'output_bytes')),
                         (20, 20, 160))
        for job in set(accepted) - set(kept):
            for path in ('', '/stdout', '/stderr'):
                self.assert_not_found(server.get(f'/v1/jobs/{job}{path}'))
        self.assert_not_found(server.delete(min(accepted)))
        for job in kept:
            self.assertEqual((server.output(job), server.output(job, 'stderr')), (b'out\n', b'err\n'))
        self.assertEqual(server.output(running), b'begun\n')
        self.assert_only(server, [*kept, running])
        server.write('gate', '')
        self.assertEqual(server.ended(running)['state'], 'succeeded')
        self.assertEqual(server.output(running), b'begun\non\n')

    def assert_not_found(self, reply):
        self.assertEqual((reply.status, reply.json()['error']['code']), (404, 'not_found'))

    def test_the_bytes_of_output(self):
        server = self.serve(retention={'output': '10KiB'})
        large = [server.run(f'head -c 3000 /dev/zero; echo {n} >&2')['id'] for n in range(6)]
        eventually(lambda: self.metric(server, 'jobs_expired_total') == 3, 'the end of three')
        self.assert_only(server, large[3:])
        self.assertEqual(self.metric(server, 'output_bytes'), 3 * 3002)
        silent = [server.run()['id'] for _ in range(3)]
        huge = server.run('head -c 20000 /dev/zero')['id']
        eventually(lambda: server.get(f'/v1/jobs/{huge}').status == 404, 'its end')
        self.assert_only(server, [])
        self.assertEqual(self.metric(server, 'output_bytes'), 0)
        self.assertEqual([server.get(f'/v1/jobs/{job}').status for job in silent], [404] * 3)

    def test_the_age_and_what_is_not_over(self):
        server = self.serve({'name': 'run', 'queue': 9, 'max_concurrent': 2}, retention={'age': '1s'})
        running = server.submit(f'echo begun; {gate()}')
        server.await_running(running)
        other = server.submit(gate('gate-other'))
        queued = [server.submit('echo queued') for _ in range(3)]
        cancelled = server.submit()
        self.assertEqual(server.delete(cancelled).status, 200)
        server.write('gate-other', '')
        for job in (cancelled, other, *queued):
            eventually(lambda: server.get(f'/v1/jobs/{job}').status == 404, 'its removal')
        self.assert_only(server, [running])
        self.assertEqual(server.output(running), b'begun\n')
        self.assertEqual(self.metric(server, 'jobs_expired_total'), 5)
        server.write('gate', '')
        eventually(lambda: server.get(f'/v1/jobs/{running}').status == 404, 'its removal')
        self.assert_only(server, [])

    def test_queued_jobs_survive(self):
        server = self.serve({'name': 'run', 'queue': 9, 'max_concurrent': 1}, retention={'jobs': 1})
        first = server.submit(gate())
        server.await_running(first)
        queued = [server.submit(f'echo {n}') for n in range(4)]
        for job in queued[:3]:
            self.assertEqual(server.delete(job).status, 200)
        eventually(lambda: self.metric(server, 'jobs_expired_total') == 2, 'the removal of two')
        self.assertEqual([server.job(job)['state'] for job in (first, queued[2], queued[3])],
                         ['running', 'cancelled', 'queued'])
        server.write('gate', '')
        self.assertEqual(server.ended(queued[3])['state'], 'succeeded')
        self.assertEqual(server.output(queued[3]), b'3\n')

    def test_output_that_is_gone_is_not_said_to_be_empty(self):
        """As it is for a moment while the job is removed: files first."""
        server = self.serve()
        job = server.run('echo')['id']
        os.unlink(os.path.join(server.state, 'output', job[:4], job + '.out'))
        self.assert_not_found(server.get(f'/v1/jobs/{job}/stdout'))
        self.assertEqual(server.output(job, 'stderr'), b'')

    def test_what_cannot_be_removed_stays_known(self):
        server = self.serve(retention={'jobs': 1})
        first = server.run()['id']
        folder = os.path.join(server.state, 'output', first[:4])
        obstacle = os.path.join(folder, first + '.out', 'in the way')
        os.makedirs(obstacle)
        second = server.run('echo')['id']
        eventually(lambda: server.events('retention_failed', what='output'), 'a line in the log')
        self.assertEqual([job['id'] for job in server.jobs()], [second, first])
        os.removedirs(obstacle)
        eventually(lambda: server.get(f'/v1/jobs/{first}').status == 404, 'its removal', 30)
        self.assert_only(server, [second])


class Restarts(Retention):
    def test_smaller_limits_remove_what_is_too_much(self):
        server = self.serve()
        waits = server.submit(f'echo begun; {gate()}')
        server.await_running(waits)
        server.kill()
        jobs = self.fill(server, 1000)
        for limits, left in (({'jobs': 900}, 900), ({'output': '3200B'}, 800), ({'output': '0', 'age': '0'}, 800),
                             ({'jobs': 900}, 800), ({'jobs': 5, 'output': '400B'}, 5)):
            with self.subTest(limits=limits):
                self.again(server, retention=limits)
                eventually(lambda: self.metric(server, 'jobs_stored') == left, f'{left} jobs')
                self.assertEqual(self.metric(server, 'output_bytes'), 4 * left)
                self.assert_only(server, [waits, *jobs[-left:]])
                self.assertEqual(server.output(waits), b'begun\n')
                server.kill()
        self.again(server, retention={'jobs': 5})
        self.assertEqual(server.job(waits)['state'], 'running')
        server.write('gate', '')
        self.assertEqual(server.ended(waits)['state'], 'succeeded')
        eventually(lambda: self.metric(server, 'jobs_expired_total') == 1, 'the oldest to go')
        self.assert_only(server, [waits, *jobs[-4:]])

    def test_the_server_is_killed_while_it_removes(self):
        server = self.serve()
        server.kill()
        jobs = self.fill(server, 6000)
        for _ in range(4):
            before = len(self.files(server))
            if before <= 7: # a fast machine has done all of it
                break
            server.configure(*ROUTES, log_fields=['requestId'], retention={'jobs': 7})
            server.start(ready=False)
            eventually(lambda: len(self.files(server)) < before, 'the first to go')
            server.kill()
            rows = {written(number) for number in self.rows(server)}
            self.assertEqual(self.files(server) - rows, set(), 'files without a row')
        self.again(server, retention={'jobs': 7})
        eventually(lambda: self.metric(server, 'jobs_stored') == 7, 'the rest to go')
        self.assert_only(server, jobs[-7:])

    def test_ids_are_not_used_again(self):
        server = self.serve(retention={'age': '1s'})
        server.kill()
        # As if given while the clock was years ahead.
        with sqlite3.connect(os.path.join(server.state, 'jobs.db')) as store:
            store.execute('INSERT INTO job(id, route, fields, state, created, finished, out_bytes, err_bytes)'
                          " VALUES(?, 'run', '{}', 3, 1, 1, 0, 0)", ((1 << 62) + 5,))
        store.close()
        server.start()
        for n in (6, 7):
            eventually(lambda: self.rows(server) == [], 'no job at all')
            server.kill()
            server.start()
            self.assertEqual(server.submit(), written((1 << 62) + n))

    def test_the_input_of_lost_jobs_is_removed(self):
        server = self.serve({'name': 'run', 'command': ['/bin/sh', '-c', 'sleep 300'], 'input': 'file'})
        jobs = [server.submit() for _ in range(2)]
        for job in jobs:
            server.await_running(job)
        folder = os.path.join(server.state, 'input')
        self.assertEqual(sorted(os.listdir(folder)), jobs)
        server.kill()
        server.kill_keeper()
        server.start()
        for job in jobs:
            self.assertEqual(server.ended(job)['state'], 'lost')
        live = server.submit()
        server.await_running(live)
        eventually(lambda: os.listdir(folder) == [live], 'only the input of a job that runs')
        self.assertEqual(server.delete(live).status, 202)


if __name__ == '__main__':
    unittest.main()
