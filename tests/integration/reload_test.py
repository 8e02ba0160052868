"""Another configuration for a server that runs: taken whole or not at all, and no job suffers from it."""
import os
import pty
import re
import signal
import subprocess
import threading
import unittest

from server import BROOD, OwnServerTest, eventually, gate, head_of

GONE = 'its route is no longer configured'
RUN = {'name': 'run'}
ONE = {'name': 'one', 'max_concurrent': 1, 'queue': 20}


def say(word, **more):
    """A route "one" whose jobs print a word."""
    return {**ONE, 'command': ['/bin/sh', '-c', f'echo {word}'], **more}


class Reload(OwnServerTest):
    def serve(self, *routes, **settings):
        return super().serve(*(routes or (RUN, ONE)), **settings)

    def hang_up(self, server):
        """SIGHUP; the log line that comes of it."""
        before = len(server.events('reloaded')) + len(server.events('reload_failed'))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(server.events('reloaded')) + len(server.events('reload_failed')) > before, 'a reload')
        return max(server.events('reloaded') + server.events('reload_failed'), key=lambda line: line['ts'])

    def reload(self, server, *routes, **settings):
        """Another configuration, which is to be taken."""
        server.configure(*routes, **settings)
        line = self.hang_up(server)
        self.assertEqual((line['event'], line.get('routes')), ('reloaded', str(len(routes))), line)

    def metric(self, server, name, **labels):
        wanted = ','.join(f'{key}="{value}"' for key, value in labels.items())
        found = re.search(rf'^brood_{name}{{{wanted}}} (\S+)$', server.get('/metrics').body.decode(), re.MULTILINE)
        return found and float(found[1])


class Taken(Reload):
    def test_routes_come_go_and_change(self):
        server = self.serve(RUN, say('old'), {'name': 'gone'})
        self.reload(server, {'name': 'new', 'path': '/elsewhere'}, say('new'), RUN)
        self.assertEqual(server.output(server.run(route='one')['id']), b'new\n')
        self.assertEqual(server.run(route='elsewhere')['route'], 'new')
        self.assertEqual(server.run('exit 0')['state'], 'succeeded')
        self.assert_gone(server, 'gone')

    def test_what_is_kept_and_who_may_ask_change_at_once(self):
        server = self.serve()
        jobs = [server.run()['id'] for _ in range(3)]
        self.assertEqual(server.get('/healthz', Host='jobs.example').status, 421)
        self.reload(server, RUN, retention={'jobs': 1}, hosts=['jobs.example'])
        self.assertEqual(server.get('/healthz', Host='jobs.example').status, 200)
        eventually(lambda: [job['id'] for job in server.jobs()] == jobs[-1:], 'the removal of two')

    def assert_gone(self, server, route):
        reply = server.post({'sh': ''}, route)
        self.assertEqual((reply.status, reply.json()['error']['code']), (404, 'not_found'))

    def test_jobs_that_run_go_on(self):
        server = self.serve({**RUN, 'timeout': '1h'}, ONE)
        stays = server.submit(f'echo one; {gate()}; echo two; exit 3')
        goes = server.submit(f'{gate()}; echo end', 'one')
        server.await_running(stays)
        server.await_running(goes)
        self.reload(server, {**RUN, 'timeout': '100ms', 'output_limit': '1B'})
        self.assertEqual([server.job(job)['state'] for job in (stays, goes)], ['running'] * 2)
        server.write('gate', '')
        facts = server.ended(stays)
        self.assertEqual((facts['state'], facts['exit_code'], server.output(stays)), ('failed', 3, b'one\ntwo\n'))
        self.assertEqual((server.ended(goes)['state'], server.output(goes)), ('succeeded', b'end\n'))

    def test_the_timeout_that_is_told_is_the_one_that_was_in_force(self):
        server = self.serve({**RUN, 'timeout': '1s'})
        job = server.submit('sleep 300')
        self.reload(server, {**RUN, 'timeout': '1h'})
        facts = server.ended(job)
        self.assertEqual((facts['state'], facts['reason']), ('timed_out', 'ran longer than its timeout of 1000 ms'))

    def test_a_queued_job_starts_with_the_new_values(self):
        server = self.serve({**ONE, 'timeout': '1h'})
        first = server.submit(gate(), 'one')
        queued = [server.submit(route='one') for _ in range(3)]
        server.await_running(first)
        self.reload(server, say('new'))
        self.assertEqual([server.job(job)['state'] for job in queued], ['queued'] * 3)
        server.write('gate', '')
        for job in queued:
            self.assertEqual(server.ended(job)['state'], 'succeeded')
            self.assertEqual(server.output(job), b'new\n')
        began = [server.job(job)['started_at'] for job in queued]
        self.assertEqual(began, sorted(began))

    def test_a_queued_job_whose_route_is_gone_fails(self):
        server = self.serve()
        first = server.submit(gate(), 'one')
        queued = [server.submit('touch never', 'one') for _ in range(3)]
        server.await_running(first)
        self.reload(server, RUN)
        for job in queued:
            facts = server.ended(job)
            self.assertEqual((facts['state'], facts['reason'], facts['started_at']), ('failed', GONE, None))
        server.write('gate', '')
        self.assertEqual(server.ended(first)['state'], 'succeeded')
        self.assertFalse(os.path.exists(server.path('never')))

    def test_more_slots_are_used_at_once_and_fewer_kill_nobody(self):
        server = self.serve(ONE, max_concurrent=1)
        jobs = [server.submit(gate(), 'one') for _ in range(3)]
        server.await_running(jobs[0])
        self.reload(server, {**ONE, 'max_concurrent': 3}, max_concurrent=3)
        for job in jobs:
            server.await_running(job)
        self.reload(server, {**ONE, 'queue': 0}, max_concurrent=1)
        self.assertEqual(server.post({'sh': ''}, 'one').status, 429)
        self.assertEqual([server.job(job)['state'] for job in jobs], ['running'] * 3)
        server.write('gate', '')
        for job in jobs:
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(server.run(route='one')['state'], 'succeeded')

    def test_counters_stay_and_gauges_are_right(self):
        server = self.serve()
        for _ in range(3):
            server.run('exit 1')
        running = server.submit(gate(), 'one')
        server.await_running(running)
        self.reload(server, say('x', name='before', path='/before'), RUN)
        self.assertEqual(self.metric(server, 'jobs_accepted_total', route='run'), 3)
        self.assertEqual(self.metric(server, 'jobs_ended_total', route='run', state='failed'), 3)
        self.assertEqual(self.metric(server, 'jobs_accepted_total', route='before'), 0)
        self.assertIsNone(self.metric(server, 'jobs_active', route='one'))
        queued = [server.submit(gate()) for _ in range(2)]
        self.reload(server, ONE, RUN) # the route of a job that runs comes back
        self.assertEqual(self.metric(server, 'jobs_active', route='one'), 1)
        self.assertEqual(self.metric(server, 'jobs_active', route='run'), 2)
        waits = server.submit('', 'one')
        self.assertEqual(self.metric(server, 'jobs_queued', route='one'), 1)
        server.write('gate', '')
        for job in (running, waits, *queued):
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        for route in ('one', 'run'):
            self.assertEqual(self.metric(server, 'jobs_active', route=route), 0)
            self.assertEqual(self.metric(server, 'jobs_queued', route=route), 0)

    def test_log_fields_and_drain_timeout(self):
        server = self.serve(drain_timeout='10m')
        self.assertEqual(server.get('/v1/jobs?train=7').status, 400)
        self.reload(server, RUN, log_fields=['train'], drain_timeout='100ms')
        job = server.run('', train='7')
        self.assertEqual(job['fields'], {'train': '7'})
        self.assertEqual([found['id'] for found in server.jobs('?train=7')], [job['id']])
        server.await_running(server.submit('sleep 300'))
        self.assertEqual(server.stop(20), 0)

    def test_a_request_that_is_being_received(self):
        server = self.serve({**RUN, 'path': '/a'}, {**ONE, 'path': '/b'}, say('c', name='small', path='/c'),
                            say('d', name='needs', path='/d'))
        body = b'{"sh": "exit 5"}'
        with server.connect() as a, server.connect() as b, server.connect() as c, server.connect() as d:
            for connection, path in ((a, '/a'), (b, '/b'), (c, '/c'), (d, '/d')):
                connection.send(head_of('POST', path, len(body)) + body[:5])
            eventually(lambda: server.get('/healthz').status == 200, 'heads that were read')
            # /a leads elsewhere now, /b is gone, /c takes less, /d asks for more
            self.reload(server, say('moved', name='other', path='/a'), {**RUN, 'path': '/x'},
                        say('c', name='small', path='/c', body_limit='8B'),
                        say('d', name='needs', path='/d', required=['id']))
            for connection in (a, b, c, d):
                connection.send(body[5:])
            reply = a.reply()
            self.assertEqual((reply.status, reply.json()['route']), (202, 'other'))
            self.assertEqual([b.reply().status, c.reply().status, d.reply().status], [404, 413, 400])
        self.assertEqual(server.ended(reply.json()['id'])['state'], 'succeeded')

    def test_jobs_pour_in_while_routes_come_and_go(self):
        routes = [{'name': name, 'command': ['/bin/true'], 'queue': 1000, 'max_concurrent': 2} for name in 'abc']
        server = self.serve(*routes)
        accepted, odd, stop = [], [], threading.Event()

        def pour(name):
            while not stop.is_set():
                reply = server.post({}, name)
                if reply.status == 202:
                    accepted.append(reply.json()['id'])
                elif reply.status not in (404, 429) and GONE not in reply.body.decode():
                    odd.append(reply)
        threads = [threading.Thread(target=pour, args=(name,)) for name in 'aabbcc']
        for thread in threads:
            thread.start()
        try:
            for i in range(30):
                kept = [route for j, route in enumerate(routes) if j != i % 3]
                self.reload(server, *(kept if i % 2 else kept[::-1]))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(odd, [])
        self.assertGreater(len(accepted), 30)
        for job in accepted:
            facts = server.ended(job)
            self.assertTrue(facts['state'] == 'succeeded' or facts['reason'] == GONE, facts)
        self.reload(server, *routes)
        for name in 'abc':
            self.assertEqual(self.metric(server, 'jobs_active', route=name), 0)
            self.assertEqual(self.metric(server, 'jobs_queued', route=name), 0)
            self.assertEqual(server.run(route=name)['state'], 'succeeded')


class Kept(Reload):
    def refused(self, server, line, key):
        found = self.hang_up(server)
        self.assertEqual(found['event'], 'reload_failed', found)
        self.assertTrue(found['error'].startswith(f'{server.config}:{line}: {key}: '), found['error'])
        self.assertEqual(server.run('exit 0')['state'], 'succeeded')
        return found['error']

    def test_any_mistake_keeps_the_old_one(self):
        server = self.serve()
        good = server.read('brood.yaml')
        for text, line, key in ((good + 'colour: red\n', 6, 'colour'),
                                (good.replace('name: one', 'name: run'), 5, 'name'),
                                (good.replace('./run', './nothing'), 4, 'command')):
            server.write('brood.yaml', text)
            self.refused(server, line, key)
        os.unlink(server.config)
        self.assertIn('No such file', self.hang_up(server)['error'])
        server.write('brood.yaml', 'routes: [')
        self.assertEqual(self.hang_up(server)['event'], 'reload_failed')
        server.write('brood.yaml', good)
        self.assertEqual(self.hang_up(server)['event'], 'reloaded')

    def test_what_cannot_change_while_it_runs(self):
        server = self.serve()
        for settings, line, key in (({'listen': '127.0.0.1:1'}, 1, 'listen'),
                                    ({'insecure': True}, 3, 'insecure'),
                                    ({'state_dir': './other'}, 3, 'state_dir')):
            server.configure({'name': 'other'}, **settings)
            server.write('brood.yaml', server.read('brood.yaml').replace('other, path: /other', 'run, path: /run'))
            self.assertIn('cannot change while the server runs', self.refused(server, line, key))
        self.assertFalse(os.path.exists(server.path('other')))

    def test_what_the_command_line_said_stays_in_force(self):
        server = self.serve(start=False)
        server.configure(RUN, state_dir='./other', listen='127.0.0.1:1')
        server.start('--listen', '127.0.0.1:0', '--state', 'state')
        self.reload(server, RUN, state_dir='./third', listen='127.0.0.1:2')
        self.assertEqual(server.run()['state'], 'succeeded')
        self.assertEqual(sorted(os.listdir(server.folder)), ['brood.yaml', 'log', 'run', 'state'])

    def test_a_server_that_stops(self):
        server = self.serve(drain_timeout='10m')
        job = server.submit(gate())
        server.await_running(job)
        server.process.terminate()
        eventually(lambda: server.events('draining'), 'draining')
        server.configure(ONE)
        self.assertIn('stopping', self.hang_up(server)['error'])
        server.write('gate', '')
        self.assertEqual(server.process.wait(60), 0)


class Command(Reload):
    def ask(self, server, *words, config=None, patience=30):
        """brood serve --reload: exit status, stdout, stderr."""
        result = subprocess.run([BROOD, 'serve', '--reload', '--config', config or server.config, *words],
                                cwd=server.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience,
                                check=False, text=True)
        return result.returncode, result.stdout, result.stderr

    def test_it_says_when_the_server_has_taken_it(self):
        server = self.serve()
        server.configure(RUN)
        self.assertEqual(self.ask(server), (0, f'{server.config}: reloaded routes=1\n', ''))
        self.assertEqual(server.post({}, 'one').status, 404)
        self.assertEqual(len(server.events('reloaded', routes='1')), 1)
        self.assertEqual(self.ask(server, config='./brood.yaml')[0], 0)
        self.assertEqual(os.stat(server.path('state', 'control.sock')).st_mode & 0o777, 0o600)

    def test_a_mistake_is_found_before_the_server_is_asked(self):
        server = self.serve()
        server.write('brood.yaml', server.read('brood.yaml') + 'colour: red\n')
        status, out, error = self.ask(server)
        self.assertEqual((status, out), (2, ''))
        self.assertIn(f'{server.config}:6: colour: ', error)
        self.assertEqual(server.events('reload_failed'), [])

    def test_a_server_that_keeps_the_old_one(self):
        server = self.serve()
        server.configure(RUN, listen='127.0.0.1:1')
        status, out, error = self.ask(server)
        self.assertEqual((status, out), (1, ''))
        self.assertIn(f'{server.config}:1: listen: ', error)
        self.assertEqual(server.post({'sh': ''}, 'one').status, 202)

    def test_another_file_than_the_servers(self):
        server = self.serve()
        server.write('other.yaml', server.read('brood.yaml'))
        status, out, error = self.ask(server, config=server.path('other.yaml'))
        self.assertEqual((status, out), (1, ''))
        self.assertIn(f'it reads {server.config}, not {server.path("other.yaml")}', error)
        self.assertEqual(server.events('reloaded'), [])

    def test_no_server(self):
        server = self.serve()
        other = self.ask(server, '--state', 'nowhere')
        self.assertEqual((other[0], other[1]), (1, ''))
        self.assertIn(f'no server runs in {server.path("nowhere")}', other[2])
        server.kill()
        self.assertIn('no server runs in', self.ask(server)[2]) # its socket is still there
        server.start()
        self.assertEqual(self.ask(server)[0], 0)
        self.assertEqual(server.stop(), 0)
        status, _, error = self.ask(server)
        self.assertEqual(status, 1)
        self.assertIn('no server runs in', error)
        server.start()

    def test_a_server_that_hangs_or_dies_meanwhile(self):
        server = self.serve()
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            status, _, error = self.ask(server)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        self.assertEqual(status, 1)
        self.assertIn('does not answer', error)
        eventually(lambda: server.events('reloaded'), 'the late reload')
        os.kill(server.process.pid, signal.SIGSTOP)
        killer = threading.Timer(0.5, server.kill)
        killer.start()
        status, _, error = self.ask(server)
        killer.join()
        self.assertEqual(status, 1)
        self.assertIn('no server runs in', error)
        server.start()

    def test_words_that_do_not_go_with_it(self):
        server = self.serve()
        for word in (('--check',), ('--listen', '127.0.0.1:1')):
            status, _, error = self.ask(server, *word)
            self.assertEqual(status, 2)
            self.assertIn('--reload', error)
        self.assertEqual(server.events('reloaded'), [])


class Terminal(Reload):
    def test_a_terminal_that_hangs_up_stops_it(self):
        server = self.serve(start=False)
        master, terminal = pty.openpty()
        with open(server.log_file, 'ab') as log:
            server.process = subprocess.Popen(['setsid', '--ctty', BROOD, 'serve', '--config', server.config],
                                              cwd=server.folder, env=server.environment, stdin=terminal,
                                              stdout=terminal, stderr=log)
        os.close(terminal)
        eventually(lambda: server.events('listening'), 'listening')
        os.close(master)
        self.assertEqual(server.process.wait(60), 0)
        self.assertEqual(server.events('reloaded'), [])
        self.assertEqual(len(server.events('draining', signal='1')), 1)


if __name__ == '__main__':
    unittest.main()
