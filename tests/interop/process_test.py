#!/usr/bin/env python3
"""process_test.py LIBBROOD GUEST - hosts whose main() is not ours start C functions of a shared library

Each python3 at hand loads both by ctypes, and runs functions by each method (the program is brood-loader then, but for fork): from the main
thread, beside threads, from workers of multiprocessing and of concurrent.futures, and inside os.fork(). Who they are has to
be right, the main program must not run again, and nothing may be left. GUEST is of tests/children.
"""
import concurrent.futures
import ctypes
import gc
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import peers

FORK, SPAWN, FORKSERVER = METHODS = 1, 2, 3
ENOENT, ESTALE = 2, 116


def run(guest, method, depth, libbrood=None):
    if libbrood:
        ctypes.CDLL(libbrood, mode=ctypes.RTLD_GLOBAL)
    return call(ctypes.CDLL(guest), method, depth)


def call(library, method, depth):
    """(what guest_run() returns, what was said)."""
    buf = ctypes.create_string_buffer(4096)
    n = library.guest_run(method, depth, buf, ctypes.c_size_t(len(buf)))
    return n, buf.value.decode()


def lines(path, deepest):
    """What is right for functions one in the other, `path` the outermost one's; the innermost speaks first."""
    paths = [':'.join([path] + ['1'] * i) for i in range(deepest + 1)]
    return ''.join(f'0/{one.count(":") + 1}/{one}/1;' for one in reversed(paths))


def descriptors():
    return sorted(os.listdir('/proc/self/fd'))


class ProcessTest(unittest.TestCase):
    def setUp(self):
        run(GUEST, FORK, 0, LIBBROOD)
        self.before = descriptors()

    def tearDown(self):
        ctypes.CDLL(LIBBROOD).brood_finish()  # the server
        self.assertEqual(len(descriptors()), len(self.before))
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def check_here(self, guest=None):
        for method in METHODS:
            with self.subTest(method=method):
                n, said = run(guest or GUEST, method, 2)
                self.assertEqual(n, 3, said)
                self.assertEqual(said, lines(said.rsplit('/', 2)[1], 2))

    def test_main_thread(self):
        self.check_here()

    def test_beside_threads(self):
        done = threading.Event()
        threads = [threading.Thread(target=done.wait) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            self.check_here()
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def test_from_threads(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for n, said in pool.map(lambda i: run(GUEST, (SPAWN, FORKSERVER)[i % 2], 1), range(24)):
                self.assertEqual(n, 2, said)

    def test_in_a_fork(self):
        for method in METHODS:
            with self.subTest(method=method):
                pid = os.fork()
                if pid == 0:
                    good = run(GUEST, method, 1) == (2, lines('0:1', 1))
                    os._exit(0 if good else 1)
                self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_workers(self):
        # A worker that was forked is none of brood's, and its children are 0:1, …; one that was exec'ed is main.
        first = {'fork': '0:1', 'spawn': '1', 'forkserver': '1'}
        for kind, path in first.items():
            context = multiprocessing.get_context(kind)
            with self.subTest(kind=kind):
                with context.Pool(2) as pool:
                    for method in METHODS:
                        n, said = pool.apply(run, (GUEST, method, 1, LIBBROOD))
                        self.assertEqual(n, 2, said)
                        self.assertTrue(said.rsplit('/', 2)[1].startswith(path.rsplit('1', 1)[0]), said)
                    pool.close()
                    pool.join()
        # What it keeps running is not ours.
        del pool
        gc.collect()
        multiprocessing.resource_tracker._resource_tracker._stop()
        multiprocessing.forkserver._forkserver._stop()

    def test_executor(self):
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('fork')) as pool:
            for n, said in pool.map(run, [GUEST] * 4, [SPAWN, FORKSERVER] * 2, [1] * 4):
                self.assertEqual(n, 2, said)

    def test_the_library_has_gone(self):
        """What cannot be found is a failure of the start, and another build is never jumped into."""
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, 'guest.so')
            shutil.copy(GUEST, copy)
            self.check_here(copy)
            loaded = ctypes.CDLL(copy)
            os.unlink(copy)
            for method in SPAWN, FORKSERVER:
                n, said = call(loaded, method, 0)
                self.assertEqual(n, -ENOENT, said)
                self.assertIn('guest.so', said)
            shutil.copy(LIBBROOD, copy)
            n, said = call(loaded, SPAWN, 0)
            self.assertEqual(n, -ESTALE, said)
            self.assertIn('another build', said)

    def test_garbage(self):
        loader = os.path.join(os.path.dirname(LIBBROOD), '..', 'helpers', 'brood-loader')
        here, there = socket.socketpair()
        for value, fds in ('3', ()), ('x', ()), ('', ()), (str(there.fileno()), (there.fileno(),)):
            with self.subTest(value=value):
                done = subprocess.run(['brood-loader', LIBBROOD], executable=loader, pass_fds=fds, timeout=60,
                                      env={**os.environ, 'BROOD_START': value}, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn('BROOD_START is set', done.stderr)
        here.close()
        there.close()
        done = subprocess.run([loader], timeout=60, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn('not by hand', done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, 'only root can make such a program')
    def test_more_rights_than_the_parent(self):
        """It would load what its parent names."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            program, library = (os.path.join(folder, name) for name in ('brood-loader', 'libbrood.so'))
            shutil.copy(os.path.join(os.path.dirname(LIBBROOD), '..', 'helpers', 'brood-loader'), program)
            shutil.copy(LIBBROOD, library)
            os.chmod(program, 0o4755)
            for value in '3', '3 loader', '3 loader server':
                done = subprocess.run(['brood-loader', library], executable=program, preexec_fn=lambda: os.setuid(65534), timeout=60,
                                      env={**os.environ, 'BROOD_START': value}, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 1, done)
                if os.statvfs(folder).f_flag & os.ST_NOSUID:
                    self.skipTest('no set-id programs there')
                self.assertIn('more rights', done.stderr)


def main():
    if sys.argv[3:] == ['--here']:
        del sys.argv[1:]
        signal.alarm(250)
        unittest.main(verbosity=1)
    for version, path in peers.pythons().items():
        print(f'CPython {version}', flush=True)
        status = subprocess.run([path, '-B', os.path.abspath(__file__), LIBBROOD, GUEST, '--here'], check=False).returncode
        if status:
            return f'CPython {version}: status {status}'
    return 0


if __name__ == '__main__':
    LIBBROOD, GUEST = (os.path.abspath(path) for path in sys.argv[1:3])
    sys.exit(main())
