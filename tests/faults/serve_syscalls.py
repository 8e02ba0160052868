#!/usr/bin/env python3
"""serve_syscalls.py server|keeper - system calls of one of the two fail under load, now and then

See serving.py for the rules.

strace is attached to the threads of one of the two (not to jobs, whose faults are their own), makes every
n-th of the named calls fail, and goes. What may be promised of that time is less than usual:

  - a job may fail because it could not be started, and says so (500, or failed with that reason);
  - what a job wrote may be cut, and is marked truncated;
  - a refusal says that nothing ran, a broken connection says nothing.

All else holds: nobody crashes, no 202 is forgotten, nothing runs twice, every job comes to an end, every
request to an answer. When strace is gone a new job succeeds. Only errors that the kernel has for a call are
tried: an eventfd is never full, so `write` of the server is not among them.

BROOD_TEST_LONG=1 tries each for longer, several times. Nearly all of that is waiting, so the two are tests of their own, side by
side.
"""
import random
import sys
import time
import unittest

import serving
from serving import LONG, SEED, Load, Tracer, eventually
from server import is_alive
from traced import can_trace

TIMES, SECONDS = (3, 3) if LONG else (1, 0.5)
WHO = None


def pid_of(server, who):
    return server.process.pid if who == 'server' else eventually(server.keeper, 'a keeper')


# Who, calls, error; how many calls from one failure to the next (0: any few); whether `make check` tries it.
# No epoll_ctl: strace would have removals fail, too, which the kernel never refuses. See serve_rare.py for the rest.
CASES = {
    "the server's disk is full": ('server', 'pwrite64,fdatasync,fsync,openat,ftruncate', 'ENOSPC', 0, True),
    "the server's disk is broken": ('server', 'pwrite64,fdatasync,fsync,openat', 'EIO', 0, False),
    "the server's disk is read-only": ('server', 'pwrite64,openat,ftruncate', 'EROFS', 0, False),
    'the server has no descriptor left': ('server', 'openat,memfd_create', 'EMFILE', 0, False),
    'the server has no descriptor for a client': ('server', 'accept4', 'EMFILE', 5, False),
    'the server has no memory': ('server', 'memfd_create', 'ENOMEM', 0, False),
    'the server cannot send': ('server', 'sendmsg', 'ENOBUFS', 0, True),
    'the server cannot receive': ('server', 'recvmsg', 'ENOMEM', 100, False),
    "the keeper's disk is full": ('keeper', 'write,openat,mkdirat,sendfile', 'ENOSPC', 0, True),
    "the keeper's disk is broken": ('keeper', 'write,openat,sendfile', 'EIO', 0, False),
    "the keeper's disk is read-only": ('keeper', 'openat,mkdirat', 'EROFS', 0, False),
    'the keeper has no descriptor left': ('keeper', 'openat,pipe2', 'EMFILE', 0, True),
    'the keeper may not start processes': ('keeper', 'clone3,clone,vfork', 'EAGAIN', 0, False),
    'the keeper has no memory': ('keeper', 'clone3,clone,vfork,pipe2', 'ENOMEM', 0, False),
    'the keeper cannot receive': ('keeper', 'recvmsg', 'ENOMEM', 100, False),
    'the keeper cannot send': ('keeper', 'sendmsg', 'ENOBUFS', 0, True),
}


class Syscalls(unittest.TestCase):
    maxDiff = None

    def case(self, who, calls, error, step):
        chance = random.Random(SEED)
        server = serving.serve(self)
        pid, injected = pid_of(server, who), 0
        with Load(server) as load:
            for _ in range(TIMES):
                every = step or chance.randint(2, 9)
                with Tracer(pid, f'{calls}:error={error}:when={chance.randint(1, 5)}+{every}') as tracer:
                    time.sleep(SECONDS)
                injected += tracer.injected
        self.assertTrue(is_alive(pid), f'the {who} died:\n{server.log()[-2000:]}')
        serving.recovered(server)
        serving.audit(self, server, load.answers, cut=True, unstartable=True)
        self.assertEqual(pid_of(server, who), pid)
        self.assertGreater(injected, 0, 'no call failed')

    def test_calls_that_fail(self):
        for name, (who, calls, error, step, is_short) in CASES.items():
            if who == WHO and (LONG or is_short):
                with self.subTest(name):
                    self.case(who, calls, error, step)
                self.doCleanups()


def main():
    return serving.main() if can_trace() else 77


if __name__ == '__main__':
    WHO = sys.argv.pop(1)
    sys.exit(main())
