#!/usr/bin/env python3
"""Many clients that behave badly, for a while: nothing grows, nothing is forgotten.

32 clients post jobs, cancel them, kill them by signal, let them run out of time, flood a route that is full,
vanish in the middle of a request, and wait for ends that they do not stay for. After a warm-up the resident
memory and the descriptors of server and keeper must stay where they are, and no zombie may be older than a moment.

It takes 10 s; BROOD_SOAK_SECONDS says otherwise, and is 60 with BROOD_TEST_LONG=1 (a full run is 300).
"""
import contextlib
import os
import random
import signal
import sys
import time
import unittest

import serving
from serving import LONG, Answer, Load, eventually
from server import descriptors, head_of, links, process

SECONDS = float(os.environ.get('BROOD_SOAK_SECONDS') or (60 if LONG else 10))
CLIENTS = 32
GROWTH = 4 << 20  # bytes that memory may differ after the warm-up: caches of the store, the allocator's mood
SOCKETS = 2       # of the server, and of the keeper, when nobody is connected
STALE = 2         # seconds that a zombie may be one


def resident(pid):
    with open(f'/proc/{pid}/statm', encoding='utf-8') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


class Chaos(Load):
    """Clients whose manners change from request to request. What they did to a job is in `harmed`: it need not
    end as its kind does."""

    def __init__(self, server, **more):
        super().__init__(server, **more)
        self.keeper = server.keeper()
        self.harmed = set()
        self.wrong = []

    def client(self, seed):
        chance = random.Random(seed)
        manners = [self.post_one] * 6 + [self.cancel, self.signal, self.flood, self.vanish, self.wait_and_go]
        while not self.over.is_set():
            try:
                chance.choice(manners)(chance)
            except Exception as error:  # a thread's own are not seen by unittest
                self.wrong.append(repr(error))
            self.over.wait(chance.uniform(0, self.pause))

    def post_one(self, chance):
        return self.post(chance.choice(self.kinds))

    def cancel(self, chance):
        answer = self.post(chance.choice(['slow', 'queued', 'long']))
        if answer.id:
            self.harmed.add(answer.id)
            reply = self.server.delete(answer.id, chance.choice(['', '?wait=1s']))
            if reply.status not in (200, 202):
                raise AssertionError(f'cancel: {reply}')

    def signal(self, chance):
        answer = self.post('slow')
        if not answer.id:
            return
        self.harmed.add(answer.id)
        pid = eventually(lambda: [line['pid'] for line in self.server.events('started', id=answer.id)], 'its pid')[0]
        handle = None
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(int(pid))
        if handle is None:
            return
        # Only what is still a child of the keeper: its number may be another's by now.
        found = process(int(pid))
        if found is not None and found[1] == self.keeper:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
        os.close(handle)

    def flood(self, _):
        for _ in range(10):
            self.post('full')

    def vanish(self, chance):
        with self.lock:
            answer = Answer('fast', f't{next(self.tokens)}')
            self.answers.append(answer)
        answer.error = 'vanished'
        body = answer.body()
        data = head_of('POST', '/fast', len(body)) + body
        with self.server.connect() as connection:
            connection.send(data[:chance.choice([len(data), chance.randrange(1, len(data))])])

    def wait_and_go(self, chance):
        answer = self.post('slow')
        if answer.id is None:
            return
        with self.server.connect() as connection:
            connection.send(head_of('GET', f'/v1/jobs/{answer.id}?wait=30s'))
            if chance.random() < 0.5:
                connection.reply()


class Soak(unittest.TestCase):
    maxDiff = None

    def test_nothing_grows(self):
        serving.KINDS['full'] = serving.Kind('cat; sleep 0.1', max_concurrent=2)
        serving.KINDS['long'] = serving.Kind('cat; sleep 300')
        server = serving.serve(self)
        pids, zombies = (server.process.pid, server.keeper()), {}
        figures = {pid: [] for pid in pids}
        with Chaos(server, kinds=[kind for kind in serving.KINDS if kind not in ('full', 'long')],
                   clients=CLIENTS, pause=0.3) as load:
            began = time.monotonic()
            while time.monotonic() < began + SECONDS:
                time.sleep(0.2)
                self.watch_zombies(server, zombies)
                if time.monotonic() > began + SECONDS / 3:
                    for pid in pids:
                        figures[pid].append(resident(pid))
        serving.recovered(server)
        self.assertEqual(load.wrong, [])
        serving.audit(self, server, load.answers, harmed=load.harmed)
        self.check_descriptors(server)
        for pid, name in zip(pids, ('server', 'keeper')):
            third = len(figures[pid]) // 3
            first, last = min(figures[pid][:third]), min(figures[pid][-third:])
            print(f'{name}: {first >> 10} KiB after the warm-up, {last >> 10} KiB at the end', file=sys.stderr)
            self.assertLess(last - first, GROWTH, f'{name} grows')

    def check_descriptors(self, server):
        """A connection whose client left together with its request is found when it was idle for too long (30 s):
        the short test does not wait for that, and looks at all but the sockets."""
        def held(pid):
            return descriptors(pid) if LONG else len([link for link in links(pid) if not link.startswith('socket:')])
        sockets = 0 if LONG else SOCKETS
        for pid, n in server.baseline.items():
            eventually(lambda pid=pid, n=n: held(pid) + sockets <= n, f'no more descriptors than {n}: {links(pid)}', 90)
        server.baseline = None # Server.finish() does not wait for so long

    def watch_zombies(self, server, seen):
        now = serving.zombies(server)
        for pid in list(seen):
            if pid not in now:
                del seen[pid]
        for pid in now:
            self.assertLess(time.monotonic() - seen.setdefault(pid, time.monotonic()), STALE, 'a zombie stays')


if __name__ == '__main__':
    serving.main()
