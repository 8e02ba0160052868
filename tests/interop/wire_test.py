#!/usr/bin/env python3
"""wire_test.py DIGEST HANDSHAKE - digests, framing and the handshake, with each CPython that is here

DIGEST and HANDSHAKE are tests/children/digest.c and handshake.c. `wire_test.py --oracle` answers the cases of
the first by hashlib, hmac and struct (peers.py). `wire_test.py --peer HANDSHAKE` is the other end of the
second: it reads scenes, plays them with an unmodified multiprocessing.connection, and writes how each ended.
"""
import ast
import hashlib
import hmac
import errno
import socket
import struct
import subprocess
import sys
import unittest

import peers

DIGESTS = ('sha256', 'sha384', 'sha3_256', 'sha3_384', 'md5')
PATIENCE = 120  # seconds for all scenes of one Python; they take about three
KEY = b'secret-key'
# At each end of what CPython writes in one piece, and some.
SIZES = (0, 1, 3, 16383, 16384, 16385, 100000, 1 << 20)


# ---- digests, MACs, heads

def head(size):
    return struct.pack('!i', size) if size <= 0x7fffffff else struct.pack('!iQ', -1, size)


def answer(letter, strings):
    if letter == 'f':
        return [head(int(strings[0]))]
    name = strings[0].decode()
    if letter == 'd':
        return [hashlib.new(name, b''.join(strings[1:])).digest()]
    return [hmac.new(strings[1], b''.join(strings[2:]), name).digest()]


class DigestTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.random = peers.new_random()

    def any_bytes(self, most):
        n = self.random.randrange(most)
        return self.random.getrandbits(8 * n + 1).to_bytes(n + 1, 'little')[:n]

    def cases(self, letter, name, before, count):
        return [(letter, [name.encode(), *before(), *(self.any_bytes(300) for _ in range(self.random.randrange(5)))])
                for _ in range(count)]

    def test_digests(self):
        cases = [case for name in DIGESTS for case in self.cases('d', name, list, 200)]
        cases += [('d', [name.encode(), bytes(n)]) for name in DIGESTS for n in range(300)]
        peers.compare(self, DIGEST, __file__, cases)

    def test_macs(self):
        cases = [case for name in DIGESTS for case in self.cases('m', name, lambda: [self.any_bytes(300)], 200)]
        cases += [('m', [name.encode(), b'k' * n, b'text']) for name in DIGESTS for n in range(200)]
        peers.compare(self, DIGEST, __file__, cases)

    def test_heads(self):
        sizes = {(1 << bit) + delta for bit in range(63) for delta in (-1, 0, 1)} | {(1 << 63) - 1}
        peers.compare(self, DIGEST, __file__, [('f', [str(size).encode()]) for size in sorted(sizes)])


# ---- the handshake

def play(handshake, scene):
    """One handshake, we at one end. Gives what HANDSHAKE said, and how it was for us."""
    from multiprocessing import AuthenticationError
    from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
    ours, theirs = socket.socketpair()
    command = [handshake, scene['side'], str(theirs.fileno()), scene['their_key'].hex(), scene['their_digest'], scene['policy']]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE) as child:
        theirs.close()
        conn = Connection(ours.detach())
        deliver = {'digest_name': scene['our_digest']} if 'our_digest' in scene else {}
        try:
            if 'say' in scene:
                for message in scene['say']:
                    conn.send_bytes(message)
                outcome = 'said'
            elif scene['side'] == 'client':
                deliver_challenge(conn, scene['our_key'], **deliver)
                answer_challenge(conn, scene['our_key'])
                outcome = 'ok'
            else:
                answer_challenge(conn, scene['our_key'])
                deliver_challenge(conn, scene['our_key'], **deliver)
                outcome = 'ok'
            if outcome == 'ok':
                for size in scene['sizes']:
                    message = bytes(i % 251 for i in range(size))
                    conn.send_bytes(message)
                    if conn.recv_bytes() != message:
                        outcome = 'not the same'
        except AuthenticationError as error:
            outcome = 'AuthenticationError: ' + str(error)
        except (EOFError, OSError) as error:
            outcome = type(error).__name__
        conn.close()
        lines = child.stdout.read().decode().splitlines()
    return lines, outcome, child.returncode


def be_peer(handshake):
    for line in sys.stdin:
        print(repr(play(handshake, ast.literal_eval(line))), flush=True)


def is_modern(version):
    return tuple(map(int, version.split('.')))[:2] >= (3, 12)


class HandshakeTest(unittest.TestCase):
    def each(self, scenes, expected, versions=None):
        """Plays the scenes with each Python; expected(version, scene) is (the beginning of what
        HANDSHAKE says, that of how it was for Python)."""
        versions = versions or peers.every_python()
        for version, path in versions.items():
            run = subprocess.run([path, '-B', __file__, '--peer', HANDSHAKE], stdout=subprocess.PIPE, timeout=PATIENCE,
                                 input=''.join(f'{scene!r}\n' for scene in scenes).encode(), check=True)
            ends = [ast.literal_eval(line) for line in run.stdout.decode().splitlines()]
            self.assertEqual(len(ends), len(scenes))
            for scene, (lines, outcome, status) in zip(scenes, ends):
                with self.subTest(version=version, **scene):
                    ours, theirs = expected(version, scene)
                    self.assertEqual((status, lines[0]), (0, ours))
                    self.assertEqual(outcome, theirs)
                    if ours == '1':
                        self.assertEqual(lines[1:], [f'{len(scene["sizes"])} messages, -{errno.ENODATA} '])
        print(f'{self.id()}: {len(scenes)} handshakes, with CPython {", ".join(versions)}', flush=True)

    @staticmethod
    def scene(side, **more):
        return {'side': side, 'our_key': KEY, 'their_key': KEY, 'their_digest': 'sha256', 'policy': 'md5', 'sizes': (3,), **more}

    def test_the_right_key(self):
        keys = (b'k', KEY, bytes(range(256)), b'\0', b'x' * 64, b'y' * 129, b'z' * 500)
        scenes = [self.scene(side, our_key=key, their_key=key) for side in ('listener', 'client') for key in keys]
        scenes += [self.scene(side, sizes=SIZES) for side in ('listener', 'client')]
        self.each(scenes, lambda version, scene: ('1', 'ok'))

    def test_a_wrong_key(self):
        pairs = ((KEY, KEY + b'2'), (KEY[:-1], KEY), (b'\0a', b'\0b'), (b'x' * 200, b'x' * 201))
        scenes = [self.scene(side, our_key=one, their_key=other, policy=policy) for side in ('listener', 'client')
                  for one, other in pairs for policy in ('md5', 'modern')]

        def expected(version, scene):
            if not is_modern(version) and scene['policy'] == 'modern':
                return self.without_md5(scene)
            if scene['side'] == 'listener':
                return (f'-{errno.EACCES} the peer has another key', 'AuthenticationError: digest sent was rejected')
            return (f'-{errno.EKEYREJECTED} the peer refused our key', 'AuthenticationError: digest received was wrong')
        self.each(scenes, expected)

    @staticmethod
    def without_md5(scene):
        if scene['side'] == 'listener':
            return (f'-{errno.EPERM} a MAC with MD5, which is not allowed here', 'AuthenticationError: digest sent was rejected')
        return (f'-{errno.EPERM} a challenge with MD5, which is not allowed here', 'EOFError')

    def test_without_md5(self):
        scenes = [self.scene(side, policy='modern') for side in ('listener', 'client')]
        self.each(scenes, lambda version, scene: ('1', 'ok') if is_modern(version) else self.without_md5(scene))

    def test_an_empty_key(self):
        scenes = [self.scene('listener', our_key=b'', their_key=b'')]
        self.each(scenes, lambda version, scene: (f'-{errno.ENOKEY} the key is empty', 'EOFError'))

    def test_each_digest_that_we_ask_for(self):
        """A CPython up to 3.11 answers whatever it is asked with MD5."""
        scenes = [self.scene(side, their_digest=name) for side in ('listener', 'client') for name in DIGESTS]
        self.each(scenes, lambda version, scene: ('1', 'ok'))

    def test_each_digest_that_cpython_asks_for(self):
        modern = {version: path for version, path in peers.every_python().items() if is_modern(version)}
        if not modern:
            self.skipTest('no CPython from 3.12 on, which can choose')
        scenes = [self.scene(side, our_digest=name, policy='md5' if name == 'md5' else 'modern')
                  for side in ('listener', 'client') for name in DIGESTS]
        self.each(scenes, lambda version, scene: ('1', 'ok'), modern)

    def test_garbage(self):
        """As CPython's own tests of deliver_challenge() and answer_challenge() say it, and worse."""
        says = {
            ('listener', b'something bogus'): f'-{errno.EPROTONOSUPPORT} a MAC of 15 bytes that names no digest known here',
            ('client', b'something bogus'): f'-{errno.EPROTO} "something bogus" came, not a challenge',
            ('client', b'#CHALLENGE#' + KEY): f'-{errno.EBADRQC} a challenge of 10 bytes, not 20 at least',
            ('client', b'#CHALLENGE#{sha256}' + bytes(40), b'something bogus'): f'-{errno.EPROTO} "something bogus" came, not #WELCOME#',
            ('client', b'#CHALLENGE#{sha256}' + bytes(40), b'#WELCOME#', b'no'):
                f'-{errno.EPROTONOSUPPORT} a MAC of 2 bytes that names no digest known here',
            ('client', bytes(257)): f'-{errno.EMSGSIZE} a message of 257 bytes, 256 at most',
            ('client',): f'-{errno.ENODATA} ',
        }
        scenes = [self.scene(side, say=say) for side, *say in says]
        self.each(scenes, lambda version, scene: (says[(scene['side'], *scene['say'])], 'said'))


if __name__ == '__main__':
    if sys.argv[1:] == ['--oracle']:
        peers.be_oracle(answer)
    elif sys.argv[1:2] == ['--peer']:
        be_peer(sys.argv[2])
    else:
        DIGEST, HANDSHAKE = sys.argv.pop(1), sys.argv.pop(1)
        unittest.main(verbosity=2)
