#!/usr/bin/env python3
"""Server, keeper, or both are killed at random moments under load; see serving.py for what must be true then.

server   no job is lost: the keeper goes on, and the next server finds it
keeper   no job is lost: the server inherits what runs, and starts another keeper
both     what had begun is lost, what had not runs at the next start

BROOD_TEST_LONG=1 kills each of them 50 times instead of 5.
"""
import os
import random
import signal
import time
import unittest

import serving
from serving import LONG, SEED, Load, eventually
from server import OwnServerTest, is_alive

KILLS = 50 if LONG else 5

# What else than the rules of serving.py is allowed, by who was killed.
RULES = {
    'server': {},
    'keeper': {},
    'both': {'lost': True},
}


def kill_server(server, _):
    server.kill()


def kill_keeper(server, _):
    server.kill_keeper()


def kill_both(server, chance):
    """In either order, with no time for the server to start another keeper."""
    if chance.random() < 0.5:
        server.kill()
        keepers = server.keepers()  # none or two where it was being renewed
        for pid in keepers:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(is_alive(pid) for pid in keepers), 'end of the keeper')
        return
    keeper = eventually(server.keeper, 'a keeper')
    os.kill(server.process.pid, signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    server.kill()
    eventually(lambda: not is_alive(keeper), 'end of the keeper')


class Kill(unittest.TestCase):
    maxDiff = None

    def campaign(self, victim, kill):
        chance = random.Random(SEED)
        server = serving.serve(self)
        with Load(server) as load:
            for _ in range(KILLS):
                eventually(server.keeper, 'a keeper')
                time.sleep(chance.uniform(0, 0.4))
                kill(server, chance)
                if server.process.poll() is not None:
                    server.start(ready=False)
        job = serving.recovered(server)
        serving.audit(self, server, load.answers, **RULES[victim])
        accepted = [answer.id for answer in load.answers if answer.id]
        self.assertGreater(job, max(accepted))
        self.assertGreater(len(accepted), 5 * KILLS, 'there was no load')

    def test_the_server_is_killed(self):
        self.campaign('server', kill_server)

    def test_the_keeper_is_killed(self):
        self.campaign('keeper', kill_keeper)

    def test_both_are_killed(self):
        self.campaign('both', kill_both)


def blocks(task, number):
    """Whether a thread, /proc/PID/task/TID, has the signal blocked."""
    with open(f'{task}/status', encoding='utf-8') as file:
        blocked = next(line.split()[1] for line in file if line.startswith('SigBlk'))
    return int(blocked, 16) >> (number - 1) & 1 == 1


class Server(OwnServerTest):
    # A SIGCHLD that the kernel gave to the store's thread would be thrown away, and what a dead keeper left would
    # stay a zombie until the next one.
    def test_no_thread_of_the_server_takes_sigchld_from_the_loop(self):
        tasks = f'/proc/{self.serve().process.pid}/task'
        self.assertEqual([task for task in os.listdir(tasks) if not blocks(f'{tasks}/{task}', signal.SIGCHLD)], [])

    # The keeper removes a job's input at the job's end; after the keeper's own the server does.
    def test_the_input_of_a_lost_job_goes(self):
        server = self.serve({'name': 'file', 'input': 'file', 'command': ['/bin/sleep', '300']})
        job = server.submit(route='file')
        server.await_running(job)
        kill_both(server, random.Random(SEED))
        server.start()
        self.assertEqual(server.ended(job)['state'], 'lost')
        eventually(lambda: os.listdir(os.path.join(server.state, 'input')) == [], 'an empty folder')


if __name__ == '__main__':
    serving.main()
