#!/usr/bin/env python3
"""The state directory is full, or read-only; see serving.py for the rules.

It is a small tmpfs, mounted in a mount namespace of this test's own (as root, or as root of a user
namespace; skipped where neither may be had), which goes with the test.

While it is full a job is refused with 507 or 503 and a reason, or runs and is recorded; what runs goes on to its
end, and that is recorded when there is space again; output that did not fit is marked truncated. Reading goes on.
The kernel remounts nothing read-only that is open for writing: so the read-only directory is met at a start.
"""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import serving
from serving import LONG, Load, eventually
from server import OwnServerTest, gate

INSIDE = 'BROOD_IN_NAMESPACE'
# Bytes: more than all jobs of so many rounds write, but for the one that is to write too much.
SIZE, ROUNDS = (64 << 20, 10) if LONG else (8 << 20, 2)


def mount(*words):
    return subprocess.run(['mount', *words], check=True, stdin=subprocess.DEVNULL)


class SmallState(OwnServerTest):
    def small_folder(self):
        folder = tempfile.mkdtemp(prefix='brood-small-')
        self.addCleanup(shutil.rmtree, folder)
        mount('-t', 'tmpfs', '-o', f'size={SIZE},mode=0700', 'brood', folder)
        self.addCleanup(subprocess.run, ['umount', folder], check=True)
        return folder

    def serve_small(self, *routes, **settings):
        """A server whose state directory is small; None for the routes of all kinds."""
        folder = self.small_folder()
        if routes:
            server = self.serve(*routes, state_dir=folder, **settings)
        else:
            server = serving.serve(self, state_dir=folder)
        server.state = folder
        return server

    @staticmethod
    def fill(server, leave=0):
        """Leaves so many bytes free."""
        with open(os.path.join(server.state, 'filler'), 'ab', buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096)) # a page
            if leave:
                file.truncate(max(0, file.tell() - leave))

    @staticmethod
    def make_room(server):
        os.unlink(os.path.join(server.state, 'filler'))


class Full(SmallState):
    def test_clients_go_on_while_it_fills_and_empties(self):
        server = self.serve_small()
        with Load(server) as load:
            for _ in range(ROUNDS):
                time.sleep(0.3)
                self.fill(server)
                time.sleep(1)
                self.assertEqual(server.get('/healthz').status, 200)
                self.make_room(server)
        serving.recovered(server)
        serving.audit(self, server, load.answers, cut=True, unstartable=True)

    def test_a_job_is_refused_and_says_why(self):
        server = self.serve_small()
        self.fill(server)
        load = Load(server)
        refused = eventually(lambda: (lambda answer: answer.status != 202 and answer)(load.post('fast')), 'a refusal')
        self.assertIn(refused.status, (503, 507))
        self.assertIn('stored', refused.error)
        self.assertTrue(server.events('store_failed'))
        for path in ('/healthz', '/v1/jobs?limit=1', '/metrics'):
            self.assertEqual(server.get(path).status, 200)
        self.make_room(server)
        serving.recovered(server)
        serving.audit(self, server, load.answers, unstartable=True)

    def test_what_runs_ends_and_is_recorded_when_there_is_space(self):
        server = self.serve_small({'name': 'run'})
        jobs = [server.submit(f'{gate()}; head -c 100000 /dev/zero; exit {n}') for n in range(4)]
        for job in jobs:
            server.await_running(job)
        self.fill(server)
        server.write('gate', '')
        eventually(lambda: not server.job_processes(), 'their ends')
        time.sleep(0.2)
        self.make_room(server)
        for n, job in enumerate(jobs):
            facts = server.ended(job)
            self.assertEqual((facts['state'], facts['exit_code']), ('failed' if n else 'succeeded', n))
            self.assertTrue(facts['truncated'])
            self.assertEqual(facts['stdout_bytes'], len(server.output(job)))
        self.assertFalse(server.run('echo whole')['truncated'])
        # It is on disk, too.
        server.kill()
        server.kill_keeper()
        server.start()
        self.assertEqual([server.job(job)['exit_code'] for job in jobs], list(range(4)))

    def test_output_that_does_not_fit_is_marked(self):
        server = self.serve_small({'name': 'run', 'output_limit': '1GiB'})
        job = server.submit(f'head -c {2 * SIZE} /dev/zero; echo bye >&2')
        eventually(lambda: not server.job_processes(), 'its end')
        with open(os.path.join(server.state, 'output', job[:4], job + '.out'), 'r+b') as file:
            file.truncate(0)
        facts = server.ended(job)
        self.assertEqual((facts['state'], facts['truncated']), ('succeeded', True))
        self.assertLess(facts['stdout_bytes'], SIZE)

    def test_killed_while_it_is_full(self):
        server = self.serve_small()
        load = Load(server)
        with load:
            time.sleep(0.3)
            self.fill(server)
            time.sleep(0.3)
            server.kill()
            self.make_room(server)
            server.start()
        serving.recovered(server)
        serving.audit(self, server, load.answers, cut=True, unstartable=True)


class Readiness(SmallState):
    def test_it_is_not_ready_while_it_is_full(self):
        server = self.serve_small({'name': 'run'})
        self.fill(server)
        eventually(lambda: server.post({'sh': 'true'}).status == 507, 'a refusal')
        status = server.get('/readyz').status
        self.make_room(server)
        self.assertEqual(status, 503)


class ReadOnly(SmallState):
    def test_a_start_is_refused_until_it_may_write(self):
        server = self.serve_small({'name': 'run'})
        ended = server.run('echo kept')
        server.kill()
        server.kill_keeper()
        mount('-o', 'remount,ro', server.state)
        process = server.spawn()
        self.assertEqual(process.wait(60), 1)
        self.assertIn('Read-only file system', server.log())
        mount('-o', f'remount,rw,size={SIZE}', server.state)
        server.start()
        self.assertEqual(server.job(ended['id']), ended)
        self.assertEqual(server.run('echo again')['state'], 'succeeded')


def enter_namespace():
    """Starts this file anew where it may mount, if there is such a place."""
    for options in (['--mount'], ['--mount', '--user', '--map-root-user']):
        test = ['unshare', *options, 'mount', '-t', 'tmpfs', 'brood', '/mnt']
        if shutil.which('unshare') and subprocess.run(test, check=False, stdin=subprocess.DEVNULL,
                                                      stderr=subprocess.DEVNULL).returncode == 0:
            os.environ[INSIDE] = '1'
            os.execvp('unshare', ['unshare', *options, sys.executable, '-B', *sys.argv])
    print('may not mount, neither as root nor in a user namespace')
    return 77


if __name__ == '__main__':
    sys.exit(serving.main() if os.environ.get(INSIDE) else enter_namespace())
