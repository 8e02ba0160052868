#!/usr/bin/env python3
"""serve_clock.py LIBRARY - the clock of day jumps by a day, forwards and backwards, while jobs run

LIBRARY is tests/children/shift, preloaded into the server, from which the keeper inherits it. Deadlines and run
times are the monotonic clock's and do not care; ids stay unique and in order; nothing in an answer is negative.
Times of day are what the clock said: a job may have ended before it began.
"""
import datetime
import os
import re
import sys
import time
import unittest

import serving
from serving import Tracer
from server import TREE, OwnServerTest, Server, gate, head_of, is_alive
from traced import can_trace

DAY = 86400
LIBRARY = ''


class Shifted(Server):
    """A server whose clock can be set."""

    def __init__(self, *routes, by=0, **settings):
        super().__init__(*routes, start=False, **settings)
        self.set_clock(by)
        self.environment.update(LD_PRELOAD=LIBRARY, BROOD_CLOCK_SHIFT=self.path('shift'))
        self.start()

    def set_clock(self, by):
        self.write('shift', f'{by}\n')


def numbers(value):
    """All numbers in a value made of JSON."""
    if isinstance(value, dict):
        return [n for one in value.values() for n in numbers(one)]
    if isinstance(value, list):
        return [n for one in value for n in numbers(one)]
    return [value] if isinstance(value, (int, float)) else []


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()


class ClockTest(OwnServerTest):
    def serve(self, *routes, **settings):
        server = Shifted(*routes, **settings)
        self.addCleanup(server.finish)
        return server


class Clock(ClockTest):
    def test_the_keeper_has_the_same_clock(self):
        server = self.serve({'name': 'run'}, by=DAY)
        facts = server.run()
        for name in ('created_at', 'started_at', 'finished_at'):
            self.assertAlmostEqual(seconds_of(facts[name]), time.time() + DAY, delta=600)

    def jump(self, by):
        server = self.serve({'name': 'run'}, {'name': 'limited', 'timeout': '2s'},
                            {'name': 'one', 'max_concurrent': 1, 'queue': 5})
        limited = server.submit('sleep 300', 'limited')
        held = [server.submit(gate(), 'one'), server.submit('exit 3', 'one'), server.submit(gate())]
        server.await_running(limited)
        server.await_running(held[2])
        server.set_clock(by)
        began = time.monotonic()
        self.assertEqual(server.job(held[2], '?wait=1s')['state'], 'running')
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        facts = server.ended(limited)
        self.assertEqual(facts['state'], 'timed_out')
        self.assertTrue(1900 <= facts['run_ms'] < 60000, facts)
        after = [server.submit('true') for _ in range(20)]
        server.kill()  # the next one has its last id from the store alone
        server.start()
        after += [server.submit('true') for _ in range(20)]
        server.write('gate', '')
        for job, code in zip(held, (0, 3, 0)):
            facts = server.ended(job)
            self.assertEqual(facts['exit_code'], code)
            self.assertLess(facts['run_ms'], 60000)
        for job in after:
            self.assertEqual(server.ended(job)['state'], 'succeeded')
        ids = [limited, *held, *after]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([job['id'] for job in server.jobs()], ids[::-1])
        self.assertEqual([n for n in numbers(server.jobs()) if n < 0], [])
        metrics = server.get('/metrics').body.decode()
        self.assertEqual(re.findall(r'^[^#].* -\S+$', metrics, re.MULTILINE), [])

    def test_a_day_forwards(self):
        self.jump(DAY)

    def test_a_day_backwards(self):
        self.jump(-DAY)

    def test_to_and_fro_under_load(self):
        server = serving.serve(self, server=Shifted)
        with serving.Load(server) as load:
            for by in (DAY, 0, -DAY, DAY, -3600, 0):
                server.set_clock(by)
                time.sleep(0.3)
        serving.audit(self, server, load.answers)
        self.assertEqual([n for n in numbers(server.jobs()) if n < 0], [])


class Times(ClockTest):
    def test_how_long_a_running_job_runs(self):
        server = self.serve({'name': 'run'})
        job = server.submit(gate())
        server.await_running(job)
        server.set_clock(DAY)
        run_ms = server.job(job)['run_ms']
        server.write('gate', '')
        server.ended(job)
        self.assertLess(run_ms, 60000)

    def test_a_store_that_failed_is_tried_again_soon_after_the_clock_was_set_back(self):
        if not can_trace():
            raise AssertionError('cannot be shown without strace')
        server = self.serve({'name': 'run'}, by=DAY)
        self.addCleanup(server.kill_keeper)
        self.addCleanup(server.kill)  # it would wait for its store
        with Tracer(server.process.pid, 'pwrite64:error=ENOSPC'):
            self.assertEqual(server.post({'sh': 'true'}).status, 507)
        server.set_clock(0)
        with server.connect() as connection:
            connection.socket.settimeout(30)
            body = b'{"sh": "true"}'
            connection.send(head_of('POST', '/run', len(body)) + body)
            self.assertEqual(connection.reply().status, 202)

    # A board without a battery starts in 1970; ids are times since 2020, and marks.
    def test_jobs_of_a_clock_that_was_never_set_keep_their_descendants(self):
        server = self.serve({'name': 'run'}, by=-int(time.time()) + DAY)
        job = server.submit(TREE + gate())
        tree = server.sleepers(3)
        server.run('true')
        time.sleep(0.3)
        left = [pid for pid in tree if is_alive(pid)]
        server.write('gate', '')
        server.ended(job)
        self.assertEqual(left, tree)


if __name__ == '__main__':
    LIBRARY = os.path.abspath(sys.argv.pop(1))
    serving.main()
