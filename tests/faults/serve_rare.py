#!/usr/bin/env python3
"""Rare moments of `brood serve`, each made to come: calls that fail once, descriptors that somebody copied,
servers that start in the same millisecond. Load alone meets them once in days."""
import contextlib
import ctypes
import os
import resource
import sys
import threading
import time
import unittest

import serving
from serving import LONG, Load, Tracer, eventually
from server import OwnServerTest, gate, head_of
from traced import can_trace

SYS_PIDFD_GETFD = 438


class Rare(OwnServerTest):
    # A dying keeper's socket may say ECONNRESET, not EPIPE.
    def test_a_start_that_meets_a_dying_keeper_is_sent_to_the_next(self):
        server = self.serve({'name': 'one', 'max_concurrent': 1, 'queue': 1})
        server.submit(gate(), 'one')
        job = server.submit('echo started', 'one')
        # The first send after the gate is opened is the second one's START; no client is connected.
        with Tracer(server.process.pid, 'sendmsg:error=ECONNRESET:when=1') as tracer:
            server.write('gate', '')
            eventually(lambda: len(server.events('exited')) > 0, 'the end of the first')
            time.sleep(0.2)
        self.assertEqual(tracer.injected, 1)
        server.kill_keeper()
        self.assertEqual(server.ended(job)['state'], 'succeeded')

    # A pipe that epoll does not take must be read before the job's end, which a full pipe puts off.
    def test_a_job_that_cannot_be_watched_is_not_held_up(self):
        server = self.serve({'name': 'run', 'timeout': '3s'})
        server.unwanted.remove('keeper_fault')
        with Tracer(server.keeper(), 'epoll_ctl:error=ENOMEM'):
            job = server.submit('head -c 300000 /dev/zero')
        self.assertEqual(server.ended(job)['state'], 'succeeded')

    def lose_the_ring_of_an_end(self, server):
        """A job that has ended, and the server was not told."""
        job = server.submit(gate())
        server.await_running(job)
        with Tracer(server.keeper(), 'sendmsg:error=ENOBUFS:when=1') as tracer:
            server.write('gate', '')
            eventually(lambda: not server.job_processes(), 'its end')
            time.sleep(0.2)
        self.assertEqual(tracer.injected, 1)
        return job

    # A ring that cannot be sent must be sent again: the server looks into the journal when it is rung for.
    def test_an_end_is_told_although_a_ring_was_lost(self):
        server = self.serve()
        job = self.lose_the_ring_of_an_end(server)
        facts = server.job(job, '?wait=2s')
        server.run()
        self.assertEqual(facts['state'], 'succeeded')

    # The keeper's last records are read when the scheduler stops; the store's reports of them come after that.
    @unittest.skipUnless(LONG, 'takes half a minute')
    def test_a_record_that_is_read_while_stopping_does_no_harm(self):
        server = self.serve(drain_timeout='100ms')
        self.lose_the_ring_of_an_end(server)
        self.assertEqual(server.stop(60), 0)

    # A journal that cannot be written takes no word of the job that was not begun: it waits, and its client is told.
    def test_a_client_is_answered_when_the_journal_cannot_be_written(self):
        server = self.serve()
        load = Load(server)
        asking = threading.Thread(target=load.post, args=['run'])
        with Tracer(server.keeper(), 'write:error=ENOSPC'):
            asking.start()
            asking.join(2)
            in_time = not asking.is_alive()
        asking.join()
        self.assertTrue(in_time, load.answers)

    # What a keeper refused it may still write the beginning of, when there is room and it is told to go: that is of no job that
    # had begun.
    def test_what_a_keeper_refused_is_not_lost_with_its_server(self):
        server = self.serve()
        with Tracer(server.keeper(), 'write:error=ENOSPC'):
            job = server.submit('echo done')
            eventually(lambda: server.events('start_refused'), 'a refusal')
            server.kill()
        server.start()
        self.assertEqual(server.ended(job)['state'], 'succeeded')

    # libmicrohttpd stops listening when accept fails while connections are open, and listens again when it is
    # run after the last of them closed.
    def test_the_server_listens_again_after_it_had_no_descriptor(self):
        server = self.serve()
        pid = server.process.pid
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with server.connect() as first:
            first.send(head_of('GET', '/healthz'))
            self.assertEqual(first.reply().status, 200)
            used = {int(name) for name in os.listdir(f'/proc/{pid}/fd')}
            free = next(number for number in range(len(used) + 1) if number not in used)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, usual[1]))
            with server.connect():
                time.sleep(0.2)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
        time.sleep(0.2)
        with server.connect() as last:
            last.socket.settimeout(30)
            last.send(head_of('GET', '/healthz'))
            self.assertEqual(last.reply().status, 200)

    # What a lost job left is looked for on the whole machine, by its id.
    def test_jobs_of_another_server_are_left_alone(self):
        servers = [self.serve({'name': 'wait', 'command': ['/bin/sleep', '300']}) for _ in range(2)]
        jobs = [[], []]

        def post(which):
            jobs[which] = [servers[which].submit(route='wait') for _ in range(60)]
        threads = [threading.Thread(target=post, args=[which]) for which in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        servers[0].kill()
        servers[0].kill_keeper()
        servers[0].start()
        for job in jobs[0]:
            servers[0].ended(job)
        states = [servers[1].job(job)['state'] for job in jobs[1]]
        for job in jobs[1]:
            servers[1].delete(job)
        self.assertEqual(states, ['running'] * len(states))

    # epoll forgets a descriptor that the keeper closes only if nobody has a copy. A program that is being
    # started has one until its exec is through, which is a moment after the keeper goes on: the event of a
    # job that is over must not reach whichever job lies at its address then.
    def test_a_job_is_not_killed_for_the_end_of_another(self):
        server = self.serve({'name': 'run', 'max_concurrent': 40}, {'name': 'wait', 'command': ['/bin/sleep', '1']})
        with contextlib.ExitStack() as copies:
            keeper = server.keeper()
            first = [server.submit(gate()) for _ in range(40)]
            for job in first:
                server.await_running(job)
            for number in pidfds(keeper):
                copies.callback(os.close, copy_of(keeper, number))
            server.write('gate', '')
            self.assertEqual({server.ended(job)['state'] for job in first}, {'succeeded'})
            jobs = [server.submit(route='wait') for _ in range(20)]
            ends = [server.ended(job) for job in jobs]
        self.assertEqual([job for job in ends if job['state'] != 'succeeded'], [])


def pidfds(pid):
    """The numbers of a process' descriptors that are pidfds."""
    folder = f'/proc/{pid}/fd'
    return [int(name) for name in os.listdir(folder) if os.readlink(f'{folder}/{name}') == 'anon_inode:[pidfd]']


def copy_of(pid, number):
    """Our own descriptor of what another process has open."""
    handle = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, handle, number, 0)
    finally:
        os.close(handle)
    if copy < 0:
        raise OSError(ctypes.get_errno(), 'pidfd_getfd')
    return copy


def main():
    return serving.main() if can_trace() else 77


if __name__ == '__main__':
    sys.exit(main())
