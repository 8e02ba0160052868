"""Listeners and clients of brood with those of CPython's multiprocessing.connection, in both directions

Usage: conn_test.py DIAL, the program tests/children/dial.c. Each case is played with some CPythons of 3.8 or later, as peers.py
finds them: the handshake's two forms are those of the oldest and the newest. With BROOD_TEST_LONG=1 with all. A line
is printed for each version, direction and case.
"""
import os
import subprocess
import sys
import tempfile
import unittest
import uuid

import peers

DEADLINE = 300  # 64 MiB take half a second, and minutes on a machine with much else to do
LARGE = 64 << 20
SIZES = (0, 1, 5, 4096, 16384, 16385, 70000, 1 << 20, 3)

# What a CPython does: a line for each event, in the words of tests/children/dial.c.
PEER = r'''
import fcntl, mmap, os, sys
from multiprocessing import connection, reduction, AuthenticationError

def there(text):
    if text[0] == '@':
        return '\0' + text[1:]
    host, _, port = text.rpartition(':')
    return (host, int(port)) if port.isdigit() and '/' not in text else text

how, address, key = sys.argv[1:4]
options = {} if key == '-' else {'authkey': key.encode()}
pattern = bytes(range(256)) * 4

def of(size):
    return (pattern * (size // len(pattern) + 1))[:size]

values = (None, True, False, 0, -1729, 2**64 - 1, 2**200, 0.1, '', 'naïve', b'', bytes(range(256)) * 40, bytearray(b'x'), (), (1,),
          [2, [3, 'three']], {'key': {4}, (5, 6): None}, frozenset((7,)), 'long' * 5000, list(range(3000)))

def echo(conn, receive, send):
    n = 0
    while True:
        try:
            data = receive()
        except EOFError:
            print('echoed', n, flush=True)
            return
        send(data)
        n += 1

try:
    if how in ('listen', 'listen-values'):
        with connection.Listener(there(address), **options) as listener:
            name = listener.address
            print('%s:%d' % name if isinstance(name, tuple) else os.fsdecode(name).replace('\0', '@'), flush=True)
            for _ in range(int(sys.argv[4])):
                try:
                    conn = listener.accept()
                except AuthenticationError:
                    print('error EACCES', flush=True)
                    continue
                if how == 'listen':
                    echo(conn, conn.recv_bytes, conn.send_bytes)
                else:
                    echo(conn, conn.recv, conn.send)
                conn.close()
    elif how.startswith('accept-'):
        with connection.Listener(there(address), **options) as listener:
            print(os.fsdecode(listener.address), flush=True)
            conn = listener.accept()
            if how == 'accept-give-segment':
                fd = os.memfd_create('body', os.MFD_ALLOW_SEALING)
                os.write(fd, sys.argv[4].encode())
                fcntl.fcntl(fd, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
                reduction.send_handle(conn, fd, None)
                print(conn.recv_bytes().decode(), flush=True)
            elif how == 'accept-take-segment':
                with mmap.mmap(reduction.recv_handle(conn), 0) as body:
                    print(body[:].decode(), flush=True)
                conn.send_bytes(b'had it')
            elif how == 'accept-give':
                with open(sys.argv[4]) as file:
                    reduction.send_handle(conn, file.fileno(), None)
                print(conn.recv_bytes().decode(), flush=True)
            else:
                fd = reduction.recv_handle(conn)
                print(os.read(fd, 64).decode(), flush=True)
                conn.send_bytes(b'had it')
    elif how == 'client-values':
        conn = connection.Client(there(address), **options)
        for value in values:
            conn.send(value)
            back = conn.recv()
            assert back == value and type(back) is type(value), value
        conn.close()
        print('same', len(values), flush=True)
    else:
        conn = connection.Client(there(address), **options)
        for size in map(int, sys.argv[4:]):
            conn.send_bytes(of(size))
            assert conn.recv_bytes() == of(size)
        conn.close()
        print('same', len(sys.argv) - 4, flush=True)
except AuthenticationError:
    print('error EACCES', flush=True)
'''


def pythons():
    return sorted(peers.pythons().items(), key=lambda item: tuple(map(int, item[0].split('.'))))


class Player:
    """One of the two programs."""

    def __init__(self, test, *command):
        self.test = test
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        test.addCleanup(self.end)

    def line(self):
        return self.process.stdout.readline().rstrip('\n')

    def rest(self):
        return self.process.communicate(timeout=DEADLINE)[0].splitlines()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class ConnTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def brood(self, *words):
        return Player(self, DIAL, *map(str, words))

    def python(self, path, *words):
        return Player(self, path, '-BSc', PEER, *map(str, words))

    def places(self):
        return (('AF_UNIX', os.path.join(self.folder, 'socket')), ('abstract', f'@brood-{uuid.uuid4().hex}'), ('AF_INET', '127.0.0.1:0'))

    def each(self, case, versions=None):
        """Plays case(listener, client) for each version and direction, each a function that starts that side."""
        for version, path in versions or pythons():
            for direction, listens, dials in (
                    ('Client -> brood listener', self.brood, lambda *words: self.python(path, *words)),
                    ('brood client -> Listener', lambda *words: self.python(path, *words), self.brood)):
                what = case(listens, dials)
                print(f'CPython {version}: {direction}: {what}: ok', flush=True)

    def test_messages_come_back_with_and_without_a_key(self):
        def case(listens, dials):
            for family, place in self.places():
                for key in ('-', 'secret-key', 'k' * 200) if family == 'AF_UNIX' else ('secret-key',):
                    listener = listens('listen', place, key, 1)
                    client = dials('client', listener.line(), key, *SIZES)
                    self.assertEqual(client.rest(), [f'same {len(SIZES)}'], (place, key))
                    self.assertEqual(listener.rest(), [f'echoed {len(SIZES)}'], (place, key))
            return 'bytes, no key and two, three families'
        self.each(case)

    def test_values_come_back(self):
        def case(listens, dials):
            for _, place in self.places()[::2]:
                listener = listens('listen-values', place, 'secret-key', 1)
                client = dials('client-values', listener.line(), 'secret-key').rest()
                self.assertRegex(client[0], '^same [1-9]', place)
                self.assertEqual(listener.rest(), [client[0].replace('same', 'echoed')], place)
            return 'values'
        self.each(case)

    def test_64_mib_come_back(self):
        def case(listens, dials):
            listener = listens('listen', '127.0.0.1:0', 'secret-key', 1)
            client = dials('client', listener.line(), 'secret-key', LARGE, 1)
            self.assertEqual(client.rest(), ['same 2'])
            self.assertEqual(listener.rest(), ['echoed 2'])
            return '64 MiB and back'
        # CPython asks for all that is missing, with memory for it, at each read: it takes seconds for this.
        self.each(case, pythons()[::max(1, len(pythons()) - 1)])

    def test_the_wrong_key_is_refused_and_the_right_one_taken_after_it(self):
        def case(listens, dials):
            listener = listens('listen', self.places()[0][1], 'secret-key', 3)
            address = listener.line()
            for key, answer in (('wrong', 'error EACCES'), ('secret-key', 'same 1'), ('Secret-key', 'error EACCES')):
                self.assertEqual(dials('client', address, key, 7).rest(), [answer], key)
            self.assertEqual(listener.rest(), ['error EACCES', 'echoed 1', 'error EACCES'])
            return 'wrong key, right key, wrong key'
        self.each(case)

    def test_descriptors_go_along(self):
        name = os.path.join(self.folder, 'file')
        with open(name, 'w', encoding='ascii') as file:
            file.write('what the file says')
        for version, path in pythons():
            for theirs, ours in (('accept-give', 'take'), ('accept-take', 'give')):
                place = os.path.join(self.folder, f'{version}-{ours}')
                listener = self.python(path, theirs, place, 'secret-key', name)
                client = self.brood(ours, listener.line(), 'secret-key', name)
                said = client.rest() + listener.rest()
                self.assertIn('what the file says', said)
                self.assertIn('same 0', said)
                print(f'CPython {version}: brood {ours}s a descriptor: ok', flush=True)

    def test_segments_go_along(self):
        for version, path in pythons():
            for theirs, ours in (('accept-give-segment', 'take-segment'), ('accept-take-segment', 'give-segment')):
                place = os.path.join(self.folder, f'{version}-{ours}')
                listener = self.python(path, theirs, place, 'secret-key', 'what the memory says')
                client = self.brood(ours, listener.line(), 'secret-key', 'what the memory says')
                said = client.rest() + listener.rest()
                self.assertIn('what the memory says', said)
                self.assertIn('same 0', said)
                print(f'CPython {version}: brood {ours.replace("-", "s a ")}: ok', flush=True)


if __name__ == '__main__':
    DIAL = sys.argv.pop(1)
    unittest.main()
