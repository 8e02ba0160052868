#!/usr/bin/env python3
"""process_test.py LIBBROOD GUEST - hosts whose main() is not ours start C functions of a shared library

Each python3 at hand loads both by ctypes, and runs functions by each method (the program is brood-loader then, but for fork): from the main
thread, beside threads, from workers of multiprocessing and of concurrent.futures, inside os.fork(), and after the libraries were closed
again. Who they all are stands in TABLE, the main program must not run again, and nothing may be left. 16 hosts are
at work at a time; as many of one kind are /usr/bin/python3's, with BROOD_TEST_LONG=1 of each. GUEST is of tests/children.
"""
import concurrent.futures
import ctypes
import functools
import gc
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import _ctypes

import peers

FORK, SPAWN, FORKSERVER = METHODS = 1, 2, 3
ENOENT, ESTALE = 2, 116
COPIES = 16
PATIENCE = 60
DEBIAN = sys.executable == '/usr/bin/python3'

MAIN = 'main=1 depth=0 path= name=MainProcess parent=none'
FORKED = 'main=0 depth=1 path=0 name=Process-0 parent=yes'

# What is started by fork, by spawn, and by forkserver: the child of a child, the child, the function.
BELOW_MAIN = [
    'main=0 depth=3 path=1:1:1 name=Process-1:1:1 parent=yes',
    'main=0 depth=2 path=1:1 name=Process-1:1 parent=yes',
    'main=0 depth=1 path=1 name=Process-1 parent=yes',
    'main=0 depth=3 path=2:1:1 name=Process-2:1:1 parent=yes',
    'main=0 depth=2 path=2:1 name=Process-2:1 parent=yes',
    'main=0 depth=1 path=2 name=Process-2 parent=yes',
    'main=0 depth=3 path=3:1:1 name=Process-3:1:1 parent=yes',
    'main=0 depth=2 path=3:1 name=Process-3:1 parent=yes',
    'main=0 depth=1 path=3 name=Process-3 parent=yes',
]
BELOW_FORK = [
    'main=0 depth=4 path=0:1:1:1 name=Process-0:1:1:1 parent=yes',
    'main=0 depth=3 path=0:1:1 name=Process-0:1:1 parent=yes',
    'main=0 depth=2 path=0:1 name=Process-0:1 parent=yes',
    'main=0 depth=4 path=0:2:1:1 name=Process-0:2:1:1 parent=yes',
    'main=0 depth=3 path=0:2:1 name=Process-0:2:1 parent=yes',
    'main=0 depth=2 path=0:2 name=Process-0:2 parent=yes',
    'main=0 depth=4 path=0:3:1:1 name=Process-0:3:1:1 parent=yes',
    'main=0 depth=3 path=0:3:1 name=Process-0:3:1 parent=yes',
    'main=0 depth=2 path=0:3 name=Process-0:3 parent=yes',
]
# Closed once, and twice: what was known is known still.
BELOW_AGAIN = [
    'main=0 depth=1 path=4 name=Process-4 parent=yes',
    'main=0 depth=1 path=5 name=Process-5 parent=yes',
    'main=0 depth=1 path=6 name=Process-6 parent=yes',
]
BELOW_ONCE_MORE = [
    'main=0 depth=1 path=7 name=Process-7 parent=yes',
    'main=0 depth=1 path=8 name=Process-8 parent=yes',
    'main=0 depth=1 path=9 name=Process-9 parent=yes',
]

# By host: who starts, and what it starts. A worker that was forked after the library was loaded is none of brood's, and its children
# are 0:1, …; who loads it is main.
TABLE = {
    'main thread': [MAIN, *BELOW_MAIN],
    'beside 8 threads': [MAIN, *BELOW_MAIN],
    'os.fork() before it is loaded': [MAIN, *BELOW_MAIN],
    'os.fork() after': [FORKED, *BELOW_FORK],
    'Pool, fork before it is loaded': [MAIN, *BELOW_MAIN],
    'Pool, fork after': [FORKED, *BELOW_FORK],
    'Pool, spawn': [MAIN, *BELOW_MAIN],
    'Pool, forkserver': [MAIN, *BELOW_MAIN],
    'Pool, forkserver that has loaded it': [FORKED, *BELOW_FORK],
    'futures, fork before it is loaded': [MAIN, *BELOW_MAIN],
    'futures, fork after': [FORKED, *BELOW_FORK],
    'futures, spawn': [MAIN, *BELOW_MAIN],
    'futures, forkserver': [MAIN, *BELOW_MAIN],
    'closed twice': [MAIN, *BELOW_MAIN, MAIN, *BELOW_AGAIN, MAIN, *BELOW_ONCE_MORE],
}


@functools.lru_cache(None)
def load():
    """Both, once."""
    return ctypes.CDLL(LIBBROOD, mode=ctypes.RTLD_GLOBAL), ctypes.CDLL(GUEST)


def unload():
    """Whether the guest has gone, and the library is there for good."""
    for library in load():
        _ctypes.dlclose(library._handle)
    load.cache_clear()
    with open('/proc/self/maps', encoding='utf-8') as file:
        maps = file.read()
    return GUEST not in maps and os.path.realpath(LIBBROOD) in maps


def run(method, depth, guest=None):
    """(what guest_run() returns, what was said)."""
    buf = ctypes.create_string_buffer(8192)
    n = (guest or load()[1]).guest_run(method, depth, buf, ctypes.c_size_t(len(buf)))
    return n, buf.value.decode()


def who():
    buf = ctypes.create_string_buffer(512)
    load()[1].guest_who(os.getppid(), buf, ctypes.c_size_t(len(buf)))
    return buf.value.decode()


def own():
    return sorted(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task'))


def soon(condition):
    until = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def left(before):
    """What is there that was not; a thread that was joined may be in the list for another moment."""
    return [] if soon(lambda: own() == before) else [f'left: {own()} after {before}']


# ---- the hosts

def speak(depth=2):
    """Who this process is, and who those are that it starts."""
    said, before = [who()], own()
    for method in METHODS:
        n, words = run(method, depth)
        said += words.splitlines()
        if n != depth + 1:
            said.append(f'guest_run({method}) is {n}')
    load()[0].brood_finish()  # the server
    return said + left(before)


def speak_in_a_fork():
    end, other = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(other, '\n'.join(speak()).encode())
        finally:
            os._exit(0)
    os.close(other)
    with open(end, encoding='utf-8') as file:
        said = file.read().split('\n')
    os.waitpid(pid, 0)
    return said


def speak_beside(count):
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        return speak()
    finally:
        done.set()
        for thread in threads:
            thread.join()


def speak_again():
    said = speak()
    for _ in range(2):
        said += [] if unload() else ['not closed']
        said += speak(0)
    return said


def speak_in_a_worker(kind, where):
    if 'after' in where:
        load()
    context = multiprocessing.get_context(where.split()[0])
    if 'loaded it' in where:
        context.set_forkserver_preload(['process_test'])
    if kind == 'Pool':
        with context.Pool(1) as pool:
            said = pool.apply(speak)
            pool.close()
            pool.join()
        del pool
    else:
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            said = pool.submit(speak).result()
        del pool
    # What they keep running is not ours.
    gc.collect()
    multiprocessing.resource_tracker._resource_tracker._stop()
    multiprocessing.forkserver._forkserver._stop()
    return said


def be_host(kind):
    before = own()
    if kind == 'main thread':
        said = speak()
    elif kind.startswith('beside'):
        said = speak_beside(8)
    elif kind.startswith('os.fork()'):
        if 'after' in kind:
            load()
        said = speak_in_a_fork()
    elif kind == 'closed twice':
        said = speak_again()
    else:
        said = speak_in_a_worker(*kind.split(', '))
    try:
        os.waitpid(-1, os.WNOHANG)
        said.append('left: a child')
    except ChildProcessError:
        pass
    print('\n'.join(said + left(before)))


# ---- and who looks at them

def names():
    """The library's in /dev/shm; others may be at work beside us."""
    return {name for name in os.listdir('/dev/shm') if name.startswith('brood')}


def with_mark(mark):
    """The processes that have it in their environment: of a host, whoever is their parent by now."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/environ', 'rb') as environ, open(f'/proc/{pid}/cmdline', 'rb') as words:
                if mark.encode() in environ.read():
                    found.append((pid, words.read()))
        except OSError:
            pass
    return found


def try_host(python, kind):
    """None, or what is wrong."""
    mark = f'BROOD_TEST_MARK={os.getpid()}-{random.getrandbits(64):x}'
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile('r') as mains:
        environment = {**os.environ, 'TMPDIR': folder, 'BROOD_TEST_MAINS': mains.name, **dict([mark.split('=')]),
                       'PYTHONPATH': os.path.dirname(os.path.abspath(__file__))}
        done = subprocess.run([python, '-B', os.path.abspath(__file__), '--host', kind], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=300, check=False)
        if done.returncode or done.stderr or done.stdout.splitlines() != TABLE[kind]:
            return f'status {done.returncode}\n{done.stderr}{done.stdout}and not\n' + '\n'.join(TABLE[kind])
        if not soon(lambda: not with_mark(mark)):
            return f'some live on: {with_mark(mark)}'
        if os.listdir(folder):
            return f'left: {os.listdir(folder)}'
        began = mains.read().split()
        # A worker of CPython's, and its server, have a look at the program as well.
        if began.count('__main__') != 1 or len(began) > 3:
            return f'the program ran as {began}'
    return None


class HostTest(unittest.TestCase):
    def test_hosts(self):
        seen = names()
        often = [*TABLE] if peers.LONG and DEBIAN else random.sample([*TABLE], 1) if peers.LONG or DEBIAN else []
        kinds = [*TABLE, *often * (COPIES - 1)]
        with concurrent.futures.ThreadPoolExecutor(COPIES) as pool:
            for kind, wrong in zip(kinds, pool.map(try_host, [sys.executable] * len(kinds), kinds)):
                with self.subTest(host=kind):
                    self.assertFalse(wrong, wrong)
        self.assertTrue(soon(lambda: names() <= seen), names() - seen)
        print(f'{len(kinds)} hosts of {len(TABLE)} kinds, {COPIES} at a time, of one kind: {"; ".join(often)}', flush=True)


class ProcessTest(unittest.TestCase):
    def setUp(self):
        run(FORK, 0)
        self.before = own()

    def tearDown(self):
        load()[0].brood_finish()  # the server
        self.assertEqual(left(self.before), [])
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def test_from_threads(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for n, said in pool.map(lambda i: run((SPAWN, FORKSERVER)[i % 2], 1), range(24)):
                self.assertEqual(n, 2, said)

    def test_the_library_has_gone(self):
        """What cannot be found is a failure of the start, and another build is never jumped into."""
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, 'guest.so')
            shutil.copy(GUEST, copy)
            loaded = ctypes.CDLL(copy)
            for method in METHODS:
                n, said = run(method, 0, loaded)
                self.assertEqual(n, 1, said)
            os.unlink(copy)
            for method in SPAWN, FORKSERVER:
                n, said = run(method, 0, loaded)
                self.assertEqual(n, -ENOENT, said)
                self.assertIn('guest.so', said)
            shutil.copy(LIBBROOD, copy)
            n, said = run(SPAWN, 0, loaded)
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
    if sys.argv[1:2] == ['--here']:
        del sys.argv[1]
        signal.alarm(500)
        unittest.main(verbosity=1)
    for version, path in peers.pythons().items():
        print(f'CPython {version}, {path}', flush=True)
        status = subprocess.run([path, '-B', os.path.abspath(__file__), '--here'], check=False).returncode
        if status:
            return f'CPython {version}: status {status}'
    return 0


if __name__ == '__main__' and sys.argv[1:2] not in (['--here'], ['--host']):
    os.environ['BROOD_TEST_LIBRARIES'] = ':'.join(os.path.abspath(path) for path in sys.argv[1:3])
LIBBROOD, GUEST = os.environ['BROOD_TEST_LIBRARIES'].split(':')
if 'BROOD_TEST_MAINS' in os.environ:
    with open(os.environ['BROOD_TEST_MAINS'], 'a', encoding='utf-8') as log:
        log.write(__name__ + '\n')
if __name__ == 'process_test':  # by CPython's server, beforehand
    load()
if __name__ == '__main__':
    if sys.argv[1:2] == ['--host']:
        be_host(sys.argv[2])
    else:
        sys.exit(main())
