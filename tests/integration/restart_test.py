"""Server and keeper die, together or alone, and jobs go on: nothing is lost, nothing runs twice, nothing is left.

server killed   the keeper goes on with the jobs; the next server finds it and them
keeper killed   the server inherits its jobs and goes on with them; a new keeper starts at once
both killed     what had begun is lost, and what is left of it is killed at the next start
SIGTERM         what runs may end, within drain_timeout; what waits is for the next start
"""
import contextlib
import os
import signal
import sqlite3
import struct
import subprocess
import threading
import time
import unittest
import zlib

from server import BROOD, FINAL, TREE, OwnServerTest, Server, eventually, gate, is_alive, process, zombies_of

SEGMENT = 8 << 20
RECORD = struct.Struct('=IIQQq192s')  # check, type, seq, id, at_ms, the rest


def record(seq):
    """A record of the journal: the start of a job that is not in the store."""
    rest = RECORD.pack(0, 2, seq, 17, 0, bytes(192))[4:]
    return struct.pack('=I', zlib.crc32(rest)) + rest


ONCE = 'echo $BROOD_JOB_ID >> starts; '
ROUTES = ({'name': 'run'}, {'name': 'one', 'max_concurrent': 1, 'queue': 20})


class Restart(OwnServerTest):
    def serve(self, *routes, **settings):
        return super().serve(*(routes or ROUTES), **settings)

    def starts(self, server):
        return server.read('starts').split()


class ServerKilled(Restart):
    def test_no_job_is_lost_or_run_twice(self):
        server = self.serve()
        ended = server.run(ONCE + 'echo ended; exit 3')
        long = server.submit(ONCE + f'echo one; {gate("gate-long")}; echo two; {gate("gate-later")}; echo three')
        short = server.submit(ONCE + gate('gate-short') + '; echo short; echo bye >&2; exit 4')
        first = server.submit(ONCE + gate('gate-first'), 'one')
        queued = [server.submit(ONCE + 'echo queued', 'one') for _ in range(3)]
        for job in (long, short, first):
            server.await_running(job)
        keeper = server.keeper()
        server.kill()

        server.write('gate-short', '')
        server.write('gate-long', '')
        eventually(lambda: len(self.starts(server)) == 4 and len(server.job_processes()) <= 6, 'the end of a job')
        time.sleep(0.2) # for the keeper to have it recorded, or not: both are to be right
        self.assertTrue(is_alive(keeper))

        server.start()
        self.assertEqual(server.keeper(), keeper)
        self.assertEqual(server.job(ended['id']), ended)
        facts = server.ended(short)
        self.assertEqual((facts['state'], facts['exit_code'], facts['stdout_bytes']), ('failed', 4, 6))
        self.assertEqual((server.output(short), server.output(short, 'stderr')), (b'short\n', b'bye\n'))
        self.assertEqual(server.job(long)['state'], 'running')
        self.assertEqual([server.job(job)['state'] for job in queued], ['queued'] * 3)
        self.assertEqual(server.post({'sh': ''}, 'one').status, 202)
        new = server.submit(ONCE)
        for name in ('gate-later', 'gate-first'):
            server.write(name, '')
        for job in (long, first, *queued, new):
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(server.output(long), b'one\ntwo\nthree\n')
        self.assertEqual(sorted(self.starts(server)), sorted([ended['id'], long, short, first, *queued, new]))
        self.assertGreater(new, max(queued))

    def test_the_log_names_the_keeper_that_was_found(self):
        server = self.serve()
        keeper = server.keeper()
        server.kill()
        server.start()
        self.assertEqual(int(server.events('keeper_found')[-1]['pid']), keeper)

    def test_killed_while_jobs_pour_in(self):
        server = self.serve({'name': 'run', 'command': ['/bin/sh', '-c', ONCE], 'queue': 10000, 'max_concurrent': 4})
        accepted = []

        def pour():
            try:
                while True:
                    reply = server.post({})
                    if reply.status == 202:
                        accepted.append(reply.json()['id'])
            except OSError:
                return
        for _ in range(3):
            threads = [threading.Thread(target=pour) for _ in range(4)]
            before = len(accepted)
            for thread in threads:
                thread.start()
            eventually(lambda: len(accepted) >= before + 40, 'jobs')
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
        self.assertEqual(len(accepted), len(set(accepted)))
        last = server.ended(server.post({}).json()['id'])
        eventually(lambda: server.jobs('?state=queued') + server.jobs('?state=running') == [], 'the end of all')
        for job in accepted:
            self.assertEqual(server.job(job)['state'], 'succeeded')
        starts = self.starts(server)
        self.assertEqual(len(starts), len(set(starts)), 'a job ran twice')
        self.assertEqual(set(accepted) - set(starts), set())
        self.assertGreater(last['id'], max(accepted))

    def test_limits_hold_without_a_server(self):
        server = self.serve({'name': 'run', 'timeout': '2s', 'kill_grace': '200ms', 'output_limit': '64KiB'})
        job = server.submit('trap "" TERM; ' + TREE + 'head -c 1000000 /dev/zero; while :; do sleep 0.1; done')
        tree = server.sleepers(3)
        eventually(lambda: server.job(job)['stdout_bytes'] == 65536, 'all of its output')
        server.kill()
        eventually(lambda: not server.job_processes(), 'the time limit')
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        server.start()
        facts = server.ended(job)
        self.assertEqual((facts['state'], facts['signal'], facts['truncated'], facts['stdout_bytes']),
                         ('timed_out', 9, True, 65536))
        self.assertGreaterEqual(facts['run_ms'], 2000)

    def test_cancelled_after_a_restart(self):
        server = self.serve()
        job = server.submit(TREE + 'wait; sleep 300')
        server.sleepers(3)
        server.kill()
        server.start()
        self.assertIn(server.delete(job).status, (200, 202))
        self.assertEqual(server.ended(job)['state'], 'cancelled')
        self.assertEqual(server.job_processes(), [])

    def test_a_route_that_is_gone_after_a_restart(self):
        server = self.serve()
        running = server.submit(gate(), 'one')
        queued = server.submit(ONCE, 'one')
        server.await_running(running)
        server.kill()
        server.configure({'name': 'run'})
        server.start()
        facts = server.ended(queued)
        self.assertEqual((facts['state'], facts['route']), ('failed', 'one'))
        self.assertIn('route', facts['reason'])
        self.assertEqual(server.job(running)['state'], 'running')
        server.write('gate', '')
        self.assertEqual(server.ended(running)['state'], 'succeeded')
        self.assertEqual(self.starts(server), [])

    def test_a_cancel_of_a_queued_job_is_not_forgotten(self):
        server = self.serve()
        first = server.submit(gate(), 'one')
        second = server.submit(ONCE, 'one')
        self.assertEqual(server.delete(second).status, 200)
        # What a client was told of an end is also what a list says; after that it is on disk.
        self.assertEqual([job['id'] for job in server.jobs('?state=cancelled')], [second])
        server.kill()
        server.start()
        self.assertEqual(server.job(second)['state'], 'cancelled')
        server.write('gate', '')
        self.assertEqual(server.ended(first)['state'], 'succeeded')
        self.assertEqual(self.starts(server), [])


class KeeperKilled(Restart):
    def assert_nothing_left(self, server):
        eventually(lambda: not server.job_processes(), 'no process of a job')
        # A new keeper has another name until its exec.
        eventually(lambda: [pid for pid in server.processes() if (process(pid) or ('', 0))[1] == server.process.pid]
                   == server.keepers() != [], 'no child of the server but the keeper')

    def test_running_jobs_go_on_and_end_truly(self):
        server = self.serve()
        speak = ONCE + f'echo before; {gate()}; echo after; echo bye >&2; exit 3'
        silent = ONCE + f'{gate()}; kill -9 $$'
        spoke, silenced = server.submit(speak), server.submit(silent)
        first = server.submit(ONCE + gate(), 'one')
        queued = [server.submit(ONCE + 'echo queued', 'one') for _ in range(3)]
        ended = server.run(ONCE + 'echo kept')
        for job in (spoke, silenced, first):
            server.await_running(job)
        eventually(lambda: server.job(spoke)['stdout_bytes'] == 7, 'its output')
        old = server.kill_keeper()
        eventually(lambda: server.keeper() not in (None, old), 'a new keeper')
        eventually(lambda: server.get('/readyz').status == 200, 'it is ready')
        self.assertEqual(server.events('jobs_inherited')[-1]['jobs'], '3')
        new = server.run(ONCE + 'echo new')
        self.assertEqual(new['state'], 'succeeded')
        self.assertEqual([server.job(job)['state'] for job in queued], ['queued'] * 3) # its slot is still taken
        self.assertEqual(server.job(spoke)['state'], 'running')
        server.write('gate', '')
        facts = server.ended(spoke)
        self.assertEqual((facts['state'], facts['exit_code'], facts['stdout_bytes'], facts['stderr_bytes']),
                         ('failed', 3, 13, 4))
        self.assertGreater(facts['rusage']['max_rss_bytes'], 0)
        self.assertGreater(facts['run_ms'], 0)
        self.assertFalse(facts['truncated'])
        self.assertEqual((server.output(spoke), server.output(spoke, 'stderr')), (b'before\nafter\n', b'bye\n'))
        facts = server.ended(silenced)
        self.assertEqual((facts['state'], facts['exit_code'], facts['signal']), ('failed', None, 9))
        for job in (first, *queued):
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(server.job(ended['id']), ended)
        self.assertEqual(sorted(self.starts(server)),
                         sorted([spoke, silenced, first, *queued, ended['id'], new['id']]))
        self.assert_nothing_left(server)
        self.assertEqual(zombies_of(server.process.pid), [])

    def test_limits_and_cancels_hold_for_inherited_jobs(self):
        server = self.serve({'name': 'run'}, {'name': 'short', 'timeout': '2s', 'kill_grace': '200ms'},
                            {'name': 'little', 'output_limit': 1000})
        stubborn = 'trap "" TERM; ' + TREE + 'while :; do sleep 300; done'
        cancelled, late = server.submit(stubborn), server.submit(stubborn, 'short')
        little = server.submit(f'echo before; {gate()}; yes | head -c 5000', 'little')
        tree = server.sleepers(8)
        server.kill_keeper()
        eventually(lambda: server.events('jobs_inherited'), 'the inheritance')
        self.assertEqual(server.ended(late)['state'], 'timed_out')
        self.assertEqual(server.delete(cancelled, '?wait=10s').json()['state'], 'cancelled')
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        server.write('gate', '')
        facts = server.ended(little)
        self.assertEqual((facts['state'], facts['stdout_bytes'], facts['truncated']), ('succeeded', 1000, True))
        self.assert_nothing_left(server)

    def test_what_an_inherited_job_abandons_is_killed_at_its_end(self):
        server = self.serve()
        job = server.submit(TREE + gate())
        tree = server.sleepers(3)
        server.kill_keeper()
        eventually(lambda: server.events('jobs_inherited'), 'the inheritance')
        self.assertEqual([pid for pid in tree if not is_alive(pid)], [])
        server.write('gate', '')
        self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        self.assert_nothing_left(server)

    def test_what_a_running_job_abandons_is_buried_when_it_ends(self):
        server = self.serve()
        job = server.submit(f'until [ -e gate ]; do (env -i setsid sleep 0.01 & exit); sleep 0.02; echo; done')
        for kill in (lambda: None, server.kill_keeper):
            kill()
            seen = server.job(job)['stdout_bytes']
            eventually(lambda: server.job(job)['stdout_bytes'] > seen + 20, 'twenty abandoned children')
            for pid in (server.keeper(), server.process.pid):
                eventually(lambda: len(zombies_of(pid)) < 3, 'a burial')
        server.write('gate', '')
        self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assert_nothing_left(server)

    def test_an_end_that_the_keeper_did_not_live_to_record_is_known(self):
        server = self.serve()
        job = server.submit(f'{gate()}; echo said; exit 5')
        server.await_running(job)
        keeper = server.keeper()
        os.kill(keeper, signal.SIGSTOP)
        server.write('gate', '')
        eventually(lambda: zombies_of(keeper), 'the end')
        server.kill_keeper()
        facts = server.ended(job)
        self.assertEqual((facts['state'], facts['exit_code'], facts['stdout_bytes']), ('failed', 5, 5))
        self.assertEqual(server.output(job), b'said\n')
        self.assert_nothing_left(server)

    def test_a_job_that_the_keeper_was_told_of_and_had_not_begun_runs_once(self):
        server = self.serve()
        os.kill(server.keeper(), signal.SIGSTOP)
        replies = []
        thread = threading.Thread(target=lambda: replies.append(server.post({'sh': ONCE})))
        thread.start()
        eventually(lambda: server.jobs('?state=queued'), 'its record')
        time.sleep(0.2) # for the START to go out
        server.kill_keeper()
        thread.join()
        self.assertEqual(replies[0].status, 202)
        job = replies[0].json()['id']
        self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(self.starts(server), [job])

    def test_killed_again_and_again(self):
        server = self.serve()
        jobs = []
        for n in range(4):
            jobs.append(server.submit(ONCE + f'echo {n}; {gate()}; exit {n}'))
            eventually(lambda: server.job(jobs[-1])['stdout_bytes'] == 2, 'its output')
            server.kill_keeper()
            eventually(lambda: len(server.events('jobs_inherited')) > n, 'the inheritance')
            eventually(lambda: server.get('/readyz').status == 200, 'a new keeper')
        self.assertEqual([server.job(job)['state'] for job in jobs], ['running'] * 4)
        server.write('gate', '')
        for n, job in enumerate(jobs):
            facts = server.ended(job)
            self.assertEqual((facts['state'], facts['exit_code']), ('failed' if n else 'succeeded', n))
            self.assertEqual(server.output(job), f'{n}\n'.encode())
        self.assertEqual(self.starts(server), jobs)
        self.assert_nothing_left(server)

    def test_a_server_that_is_killed_after_it_inherited_loses_them(self):
        server = self.serve()
        job = server.submit(ONCE + TREE + 'wait; sleep 300')
        tree = server.sleepers(3)
        server.kill_keeper()
        eventually(lambda: server.events('jobs_inherited'), 'the inheritance')
        server.kill()
        server.start()
        self.assertEqual(server.ended(job)['state'], 'lost')
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        self.assertEqual(self.starts(server), [job])

    def test_a_drain_waits_for_inherited_jobs(self):
        server = self.serve(drain_timeout='10s')
        job = server.submit(f'{gate()}; echo done')
        server.await_running(job)
        server.kill_keeper()
        eventually(lambda: server.events('jobs_inherited'), 'the inheritance')
        server.process.terminate()
        eventually(lambda: server.events('draining'), 'the drain')
        server.write('gate', '')
        self.assertEqual(server.process.wait(60), 0)
        server.start()
        self.assertEqual(server.job(job)['state'], 'succeeded')
        self.assertEqual(server.output(job), b'done\n')

    def test_a_keeper_that_was_found_goes_when_it_has_no_job(self):
        server = self.serve()
        found = server.keeper()
        server.kill()
        server.start()
        eventually(lambda: server.keeper() not in (None, found), 'a keeper of its own')
        job = server.submit(f'{gate()}; exit 3')
        server.await_running(job)
        server.kill_keeper()
        server.write('gate', '')
        self.assertEqual(server.ended(job)['exit_code'], 3)

    def test_jobs_that_come_while_a_keeper_is_renewed_are_taken(self):
        server = self.serve()
        for _ in range(5):
            server.kill()
            server.start()
            jobs = [server.submit(ONCE) for _ in range(20)]
            self.assertEqual({server.ended(job)['state'] for job in jobs}, {'succeeded'})
        self.assertEqual(len(self.starts(server)), 100)

    def test_jobs_that_come_while_a_lost_keeper_is_replaced_are_taken(self):
        server = self.serve()
        for _ in range(5):
            server.kill_keeper()
            jobs = [server.submit(ONCE) for _ in range(10)]
            self.assertEqual({server.ended(job)['state'] for job in jobs}, {'succeeded'})
        self.assertEqual(len(self.starts(server)), 50)

    def test_the_jobs_of_a_keeper_that_was_found_are_lost_with_it(self):
        server = self.serve()
        job = server.submit(TREE + 'wait; sleep 300')
        tree = server.sleepers(3)
        server.kill()
        server.start()
        server.kill_keeper()
        self.assertEqual(server.ended(job)['state'], 'lost')
        self.assertEqual([pid for pid in tree if is_alive(pid)], [])
        eventually(lambda: server.get('/readyz').status == 200, 'a new keeper')
        self.assertEqual(server.run()['state'], 'succeeded')

    def test_a_keeper_that_hangs_does_not_hang_the_server(self):
        server = self.serve()
        keeper = server.keeper()
        os.kill(keeper, signal.SIGSTOP)
        try:
            for path in ('/healthz', '/v1/jobs', '/metrics'):
                self.assertEqual(server.get(path).status, 200)
        finally:
            os.kill(keeper, signal.SIGCONT)
        self.assertEqual(server.run()['state'], 'succeeded')


class BothKilled(Restart):
    def kill_both(self, server, server_first):
        keeper = server.keeper()
        if server_first:
            server.kill()
            server.kill_keeper()
        else: # so quickly that the server has no time for a new one
            os.kill(server.process.pid, signal.SIGSTOP)
            os.kill(keeper, signal.SIGKILL)
            server.kill()
            eventually(lambda: not is_alive(keeper), 'its end')

    def test_what_had_begun_is_lost_and_what_had_not_runs(self):
        for server_first in (True, False):
            with self.subTest(server_first=server_first):
                server = self.serve()
                ended = server.run(ONCE + 'echo ended; exit 3')
                lost = server.submit(ONCE + TREE + 'echo so far; wait; sleep 300')
                first = server.submit(ONCE + 'sleep 300', 'one')
                queued = [server.submit(ONCE + 'echo queued', 'one') for _ in range(3)]
                server.await_running(first)
                tree = server.sleepers(4)
                eventually(lambda: server.job(lost)['stdout_bytes'] == 7, 'its output')
                self.kill_both(server, server_first)
                self.assertEqual(len([pid for pid in tree if is_alive(pid)]), len(tree))
                server.start()
                for job in (lost, first):
                    self.assertEqual(server.ended(job)['state'], 'lost')
                self.assertEqual([pid for pid in tree if is_alive(pid)], [])
                self.assertEqual(server.output(lost), b'so far\n')
                for job in queued:
                    self.assertEqual(server.ended(job)['state'], 'succeeded')
                self.assertEqual(server.job(ended['id']), ended)
                self.assertEqual(sorted(self.starts(server)), sorted([ended['id'], lost, first, *queued]))
                self.assertGreater(server.submit(), max(queued))

    def test_what_a_lost_job_wrote_is_counted(self):
        server = self.serve()
        job = server.submit('echo so far; echo to here >&2; sleep 300')
        eventually(lambda: server.job(job)['stderr_bytes'] == 8, 'its output')
        self.kill_both(server, True)
        server.start()
        facts = server.ended(job)
        self.assertEqual((server.output(job), server.output(job, 'stderr')), (b'so far\n', b'to here\n'))
        self.assertEqual((facts['state'], facts['stdout_bytes'], facts['stderr_bytes']), ('lost', 7, 8))

    def test_what_ended_while_only_the_keeper_lived_is_known(self):
        server = self.serve()
        jobs = [server.submit(gate() + f'; echo {n}; exit {n}') for n in range(3)]
        for job in jobs:
            server.await_running(job)
        server.kill()
        server.write('gate', '')
        eventually(lambda: not server.job_processes(), 'the ends')
        time.sleep(0.5) # for the keeper to write them down
        server.kill_keeper()
        server.start()
        for n, job in enumerate(jobs):
            facts = server.ended(job)
            self.assertEqual((facts['state'], facts['exit_code']), ('succeeded' if n == 0 else 'failed', n))
            self.assertEqual(server.output(job), f'{n}\n'.encode())

    def test_a_torn_journal_is_read_as_far_as_it_goes(self):
        server = self.serve()
        ended = server.run('exit 3')
        server.kill()
        server.kill_keeper()
        with open(os.path.join(server.state, 'journal-0000000000000001'), 'ab') as file:
            file.write(b'\x01garbage' * 20)
        server.start()
        self.assertEqual(server.job(ended['id']), ended)
        job = server.run('echo good')
        self.assertEqual(job['state'], 'succeeded')
        server.kill()
        server.kill_keeper()
        server.start()
        self.assertEqual(server.job(job['id']), job)

    def stop_in_mid_life(self, server):
        server.kill()
        server.kill_keeper()

    def test_a_full_segment_of_the_journal_is_followed_by_another_and_removed(self):
        server = self.serve()
        ended = server.run('exit 3')
        running = server.submit(gate())
        server.await_running(running)
        self.stop_in_mid_life(server)
        first = os.path.join(server.state, 'journal-0000000000000001')
        with open(first, 'ab') as file:  # records of jobs that nobody knows
            number = file.tell() // RECORD.size
            for seq in range(number + 1, SEGMENT // RECORD.size + 2):
                file.write(record(seq))
        server.start()
        self.assertEqual(server.job(ended['id']), ended)
        self.assertEqual(server.ended(running)['state'], 'lost')
        self.assertEqual(server.run()['state'], 'succeeded')
        eventually(lambda: not os.path.exists(first), 'end of the old segment')
        self.assertEqual(server.run()['state'], 'succeeded')
        self.assertEqual(len([name for name in os.listdir(server.state) if name.startswith('journal')]), 1)
        self.stop_in_mid_life(server)
        server.start()
        self.assertEqual(server.job(ended['id']), ended)
        self.assertEqual(server.run()['state'], 'succeeded')

    def test_a_state_directory_of_before_is_taken_over(self):
        server = self.serve()
        ended = server.run('echo kept; exit 3')
        self.assertEqual(server.stop(), 0)
        os.rename(os.path.join(server.state, 'journal-0000000000000001'), os.path.join(server.state, 'journal'))
        with contextlib.closing(sqlite3.connect(os.path.join(server.state, 'jobs.db'))) as store:
            store.executescript('ALTER TABLE job DROP COLUMN boot; PRAGMA user_version = 1;')
        server.start()
        self.assertEqual(server.job(ended['id']), ended)
        self.assertEqual(server.output(ended['id']), b'kept\n')
        self.assertEqual(server.run()['state'], 'succeeded')

    def test_nothing_of_another_server_is_touched(self):
        other = self.serve()
        job = other.submit(TREE + 'wait; sleep 300')
        tree = other.sleepers(3)
        server = self.serve()
        lost = server.submit(TREE + 'wait; sleep 300')
        server.sleepers(3)
        self.kill_both(server, True)
        server.start()
        self.assertEqual(server.ended(lost)['state'], 'lost')
        self.assertEqual(server.job_processes(), [])
        self.assertEqual([pid for pid in tree if not is_alive(pid)], [])
        self.assertEqual(other.job(job)['state'], 'running')
        other.delete(job)
        self.assertEqual(other.ended(job)['state'], 'cancelled')


class PowerLoss(Restart):
    """Both are killed, and what was not fsynced is taken away: the journal. The store's note of the boot is changed,
    as a new start of the machine would."""

    def lose_power(self, server):
        os.kill(server.process.pid, signal.SIGSTOP)
        server.kill_keeper()
        server.kill()
        for pid in server.job_processes():
            with contextlib.suppress(ProcessLookupError):  # what a job runs may end just then
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not server.processes(), 'end of all')
        for name in os.listdir(server.state):
            if name.startswith('journal-'):
                os.unlink(os.path.join(server.state, name))
        with contextlib.closing(sqlite3.connect(os.path.join(server.state, 'jobs.db'))) as store:
            store.execute('UPDATE job SET boot = boot + 1 WHERE boot != 0')
            store.execute('UPDATE job SET state = 0 WHERE state = 1')
            store.commit()

    def test_a_job_without_a_recorded_end_runs_again_unless_it_must_not(self):
        server = self.serve({'name': 'run', 'max_concurrent': 1, 'queue': 9},
                            {'name': 'once', 'never_rerun': True, 'max_concurrent': 1, 'queue': 9})
        jobs = {route: server.submit(ONCE + gate(), route) for route in ('run', 'once')}
        later = {route: server.submit(ONCE, route) for route in jobs}
        eventually(lambda: len(self.starts(server)) == 2, 'two starts')
        self.lose_power(server)
        server.start()
        self.assertEqual(server.ended(jobs['once'])['state'], 'lost')
        self.assertIn('the machine stopped', server.job(jobs['once'])['reason'])
        server.write('gate', '')
        for job in (jobs['run'], *later.values()):
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(sorted(self.starts(server)), sorted([*jobs.values(), jobs['run'], *later.values()]))

    def test_a_kill_alone_is_no_power_loss(self):
        server = self.serve({'name': 'once', 'never_rerun': True, 'max_concurrent': 1, 'queue': 9})
        first = server.submit(ONCE + gate(), 'once')
        jobs = [server.submit(ONCE, 'once') for _ in range(3)]
        server.await_running(first)
        server.kill()
        server.start()
        server.write('gate', '')
        for job in (first, *jobs):
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(self.starts(server), [first, *jobs])


class TwoServers(Restart):
    def test_the_second_on_one_state_directory_is_refused(self):
        server = self.serve()
        job = server.submit(gate())
        result = subprocess.run([BROOD, 'serve', '--config', server.config], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(server.state.encode(), result.stderr.replace(b'/./', b'/'))
        self.assertNotIn(b'event=listening', result.stderr)
        self.assertEqual(server.job(job)['state'], 'running')
        server.write('gate', '')
        self.assertEqual(server.ended(job)['state'], 'succeeded')
        self.assertEqual(server.run()['state'], 'succeeded')

    def test_two_beside_each_other(self):
        servers = [self.serve(), self.serve()]
        jobs = [server.submit('echo $HOME') for server in servers]
        for server, job in zip(servers, jobs):
            self.assertEqual(server.ended(job)['state'], 'succeeded')
            self.assertEqual(server.output(job).decode().strip(), server.folder)
        self.assertNotEqual(servers[0].keeper(), servers[1].keeper())


class Drain(Restart):
    def test_running_jobs_may_end_and_nothing_is_left(self):
        server = self.serve(drain_timeout='30s')
        job = server.submit(TREE + gate() + '; echo done')
        queued = server.submit(gate('gate-one'), 'one'), server.submit(ONCE + 'echo queued', 'one')
        server.sleepers(3)
        server.await_running(queued[0])
        waiting = threading.Thread(target=lambda: replies.append(server.job(job, '?wait=60s')))
        replies = []
        waiting.start()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.events('draining'), 'draining')
        reply = server.post({'sh': ''})
        self.assertEqual(reply.status, 503)
        self.assertIsNotNone(reply.headers['Retry-After'])
        self.assertEqual(server.get('/readyz').status, 503)
        self.assertEqual(server.get('/healthz').status, 200)
        self.assertEqual(server.job(job)['state'], 'running')
        server.write('gate-one', '')
        self.assertEqual(server.ended(queued[0])['state'], 'succeeded')
        self.assertEqual(server.job(queued[1])['state'], 'queued')
        server.write('gate', '')
        self.assertEqual(server.process.wait(60), 0)
        waiting.join()
        self.assertEqual(replies[0]['state'], 'succeeded')
        eventually(lambda: not server.processes(), 'nothing left')
        self.assertEqual(self.starts(server), [])

        server.start()
        self.assertEqual(server.job(job)['state'], 'succeeded')
        self.assertEqual(server.output(job), b'done\n')
        self.assertEqual(server.ended(queued[1])['state'], 'succeeded')
        self.assertEqual(self.starts(server), [queued[1]])

    def check_stopped(self, server, *signals):
        good = server.submit('trap "echo bye; exit 0" TERM; sleep 300 & wait')
        stubborn = server.submit('trap "" TERM; ' + TREE + 'while :; do sleep 0.1; done')
        queued = server.submit(gate(), 'one'), server.submit(ONCE, 'one')
        server.await_running(stubborn)
        server.sleepers(4)
        for number in signals:
            server.process.send_signal(number)
            eventually(lambda: server.events('draining'), 'draining')
        self.assertEqual(server.process.wait(60), 0)
        self.assertEqual(server.processes(), [])
        server.start()
        facts = server.job(stubborn)
        self.assertEqual((facts['state'], facts['signal']), ('cancelled', 9))
        self.assertIn('server', facts['reason'])
        facts = server.job(good)
        self.assertIn(facts['state'], FINAL)
        self.assertEqual((facts['exit_code'], server.output(good)), (0, b'bye\n'))
        self.assertIn(server.job(queued[0])['state'], FINAL)
        self.assertEqual(server.ended(queued[1])['state'], 'succeeded')
        self.assertEqual(self.starts(server), [queued[1]])

    def test_after_drain_timeout_jobs_are_stopped_by_the_ladder(self):
        self.check_stopped(self.serve(drain_timeout='300ms'), signal.SIGTERM)

    def test_a_second_signal_skips_the_waiting(self):
        self.check_stopped(self.serve(drain_timeout='10m'), signal.SIGTERM, signal.SIGINT)

    def test_nothing_to_drain(self):
        server = self.serve(drain_timeout='10m')
        server.run()
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 10)
        eventually(lambda: not server.processes(), 'nothing left')

    def test_open_connections_do_not_hold_it(self):
        server = self.serve(drain_timeout='10m')
        with server.connect() as idle, server.connect() as half:
            idle.send(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
            self.assertEqual(idle.reply().status, 200)
            half.send(b'POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Ty')
            self.assertEqual(server.stop(20), 0)


class Long(unittest.TestCase):
    def test_descriptors_do_not_grow(self):
        server = Server({'name': 'run'}, {'name': 'true', 'command': ['/bin/true'], 'queue': 1000})
        self.addCleanup(server.finish) # which counts them
        for _ in range(60):
            server.submit(route='true')
        server.run('exit 1')
        with server.connect() as connection:
            connection.send(b'nonsense\r\n\r\n')
        server.get('/v1/jobs')
        server.post(b'x')
        server.delete(server.submit('sleep 300'))
        eventually(lambda: server.jobs('?state=queued') + server.jobs('?state=running') == [], 'the end of all')


if __name__ == '__main__':
    unittest.main()
