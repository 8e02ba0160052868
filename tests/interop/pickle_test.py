#!/usr/bin/env python3
"""pickle_test.py PICKLER - what Python pickled is read, written, and unpickled by Python again: it is equal

PICKLER is tests/children/pickler. Values are made at random here; each Python at hand pickles them in protocols 2
to 5 (`pickle_test.py --oracle`, peers.py), brood reads and writes those, and the same Python holds what it
unpickles against the value. Pickles that would do harm are refused, wherever they are cut.
"""
import errno
import math
import os
import pickle
import random
import struct
import sys
import tempfile
import unittest

import peers

PROTOCOLS = (2, 3, 4, 5)
CHARACTERS = 'abc XYZ\0\n\x7f\x80\xe9\xff\u0100\u20ac\ud7ff\ue000\uffff\U00010000\U0010ffff'
INTEGERS = (0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 3**100)
ERRORS = (ValueError, KeyError, IndexError, TypeError, RuntimeError, StopIteration, OSError)


class Maker:
    """Values by chance; the same for the same seed, in each Python."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self):
        return ''.join(self.random.choice(CHARACTERS) for _ in range(self.size(300)))

    def size(self, most):
        return self.random.choice((0, 1, 2, 3, 4, 5, self.random.randrange(20), self.random.randrange(most)))

    def data(self):
        return bytes(self.random.randrange(256) for _ in range(self.size(300)))

    def integer(self):
        near = self.random.choice(INTEGERS) + self.random.randrange(-1, 2)
        return self.random.choice((1, -1)) * near

    def real(self):
        bits = self.random.choice((0, 1 << 63, 0x7ff << 52, self.random.getrandbits(64)))
        value = struct.unpack('=d', struct.pack('=Q', bits))[0]
        return 0.5 if math.isnan(value) else value

    def key(self, depth):
        kind = self.random.randrange(7 if depth > 0 else 5)
        if kind == 5:
            return tuple(self.key(depth - 1) for _ in range(self.size(5)))
        if kind == 6:
            return frozenset(self.key(depth - 1) for _ in range(self.size(5)))
        return (self.text, self.integer, self.data, self.real,
                lambda: self.random.choice((None, True, False)))[kind]()

    def value(self, depth):
        kind = self.random.randrange(12 if depth > 0 else 3)
        if kind < 3:
            return self.key(2)
        n = self.size(12)
        if kind < 5:
            return [self.value(depth - 1) for _ in range(n)]
        if kind < 7:
            return tuple(self.value(depth - 1) for _ in range(n))
        if kind < 9:
            return {self.key(2): self.value(depth - 1) for _ in range(n)}
        if kind == 9:
            return {self.key(2) for _ in range(n)}
        if kind == 10:
            shared = self.value(depth - 1)
            return [shared, (shared, shared)]
        return self.random.choice((lambda: bytearray(self.data()), lambda: complex(self.real(), self.real()),
                                   lambda: range(self.integer()), lambda: slice(self.integer(), None),
                                   lambda: list(range(2500)), lambda: {i: None for i in range(1200)}))()

    def error(self):
        return self.random.choice(ERRORS)(self.integer(), self.text())


def shape(value):
    """What is to be equal: types as well, and of an exception what it was made of."""
    if isinstance(value, BaseException):
        return type(value), value.args
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), value
    if isinstance(value, float):
        return type(value), struct.pack('=d', value)
    return type(value), value


def made(seed, n):
    """`n` values; the last tenth are exceptions."""
    maker = Maker(seed)
    return [maker.error() if i >= n - n // 10 else maker.value(3) for i in range(n)]


def answer(letter, strings):
    seed, n = int(strings[0]), int(strings[1])
    values = [value for value in made(seed, n) for _ in PROTOCOLS for _ in '45']
    if letter == 'm':  # make
        return [pickle.dumps(value, protocol)
                for value in made(seed, n) for protocol in PROTOCOLS for _ in '45']
    found = []  # compare
    for value, data in zip(values, strings[2:]):
        again = pickle.loads(data)
        found.append(b'' if shape(again) == shape(value) else repr((value, again)).encode()[:300])
    return found


class Harm:
    """What a pickle can do to whoever loads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


class PickleTest(unittest.TestCase):
    def all_refused(self, pickles):
        """What brood says to each: [(errno, text)]."""
        answers = []
        for data, said in zip(pickles, peers.answers_of([PROGRAM], [('4', [data]) for data in pickles])):
            self.assertEqual(len(said), 1, f'{data[:60]} was read as {said[-1][:100]}')
            number, text = said[0].decode().split(' ', 1)
            self.assertRegex(text, '^byte [0-9]+: .')
            answers.append((int(number), text))
        return answers

    def refused(self, data):
        return self.all_refused([data])[0]

    def test_python_to_brood_to_python(self):
        seed = os.environ.get('BROOD_SEED') or str(int.from_bytes(os.urandom(4), 'little'))
        print(f'BROOD_SEED={seed}', flush=True)
        n = 400 if os.environ.get('BROOD_TEST_LONG') == '1' else 100
        asked = [seed.encode(), str(n).encode()]
        for version, path in peers.pythons().items():
            oracle = [path, '-BS', __file__, '--oracle']
            (pickles,) = peers.answers_of(oracle, [('m', asked)])
            said = peers.answers_of([PROGRAM], [('45'[i % 2], [data]) for i, data in enumerate(pickles)])
            for data, ours in zip(pickles, said):
                self.assertEqual(len(ours), 2, f'Python {version}: {data[:100]}: {ours[0]}')
            (verdicts,) = peers.answers_of(oracle, [('c', asked + [ours[0] for ours in said])])
            self.assertEqual([verdict for verdict in verdicts if verdict], [], f'Python {version}')
            print(f'{self.id()}: {len(pickles)} pickles of CPython {version}, there and back', flush=True)

    def test_nothing_is_done_by_reading(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'harm')
            for protocol in range(6):
                data = pickle.dumps([1, Harm(path)], protocol)
                number, text = self.refused(data)
                self.assertIn(number, (errno.EPERM, errno.EPROTONOSUPPORT))
                if protocol >= 2:
                    self.assertIn("'system'", text)
                self.all_refused([data[:size] for size in range(len(data))])
            self.assertFalse(os.path.exists(path))
            pickle.loads(data)
            self.assertTrue(os.path.exists(path), 'the pickle was harmless')

    def test_classes_of_others_are_refused(self):
        for name in (b'os\nsystem', b'builtins\nexec', b'builtins\ngetattr', b'__builtin__\neval', b'subprocess\nPopen',
                     b'multiprocessing.connection\nrebuild_connection', b'multiprocessing.util\nos.system'):
            for protocol in (2, 3):
                number, _ = self.refused(b'\x80' + bytes([protocol]) + b'c' + name + b'\n)R.')
                self.assertEqual(number, errno.EPERM)

    def test_what_would_exhaust_is_refused(self):
        laughs = b'\x80\x04(]\x94' + b''.join(b'](h' + bytes([i]) + b'h' + bytes([i]) + b'e\x94' for i in range(99)) + b't.'
        self.assertEqual(self.refused(laughs)[0], errno.EMSGSIZE)
        deep = b'\x80\x04' + b']' * 1000000 + b'a' * 999999 + b'.'
        self.assertEqual(self.refused(deep)[0], errno.ELOOP)
        self.assertEqual(self.refused(pickle.dumps(1 << 8 * 70000))[0], errno.EMSGSIZE)
        self.assertEqual(self.refused(b'\x80\x04\x8b\xff\xff\xff\x7f\0.')[0], errno.EBADMSG)
        loop = []
        loop.append((loop,))
        self.assertEqual(self.refused(pickle.dumps(loop))[0], errno.ELOOP)

    def test_cut_anywhere_it_is_refused(self):
        for value in ({'a': [1, 2.5, None, True, b'xy'], (1, 2): {3, frozenset([4])}, 'e': ValueError(1 << 70)}, bytearray(b'x')):
            for protocol in PROTOCOLS:
                data = pickle.dumps(value, protocol)
                answers = self.all_refused([data[:size] for size in range(len(data))])
                self.assertEqual({number for number, _ in answers}, {errno.EBADMSG})


if __name__ == '__main__':
    if sys.argv[1:] == ['--oracle']:
        peers.be_oracle(answer)
    else:
        PROGRAM = sys.argv.pop(1)
        unittest.main(verbosity=2)
