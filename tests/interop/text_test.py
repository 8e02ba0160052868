#!/usr/bin/env python3
"""text_test.py TEXT - the text filter equals bytes.decode() and universal newlines, for many thousand inputs

TEXT is tests/children/text. `text_test.py --oracle` answers the same cases by Python's codecs (peers.py).
"""
import codecs
import io
import itertools
import sys
import unittest

import peers

# The bytes at which something changes: newlines, the ends of each class of first and of further bytes.
EDGES = bytes.fromhex('00 0a 0d 41 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff')
FEW = bytes.fromhex('0a 0d 41 80 90 a0 bf c2 e0 e2 ed f0 f1 f4 ff')
# Code points at such edges, newlines, and some that people write.
POINTS = '\0\n\r\r\n\x7f\x80\x85\u07ff\u0800\u2028\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffffaBäß中文€\U0001f600'


def newlines(text):
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)


def first_bad(data):
    try:
        data.decode('utf-8')
    except UnicodeDecodeError as error:
        return str(error.start).encode()
    return b''


def answer(letter, pieces):
    whole = b''.join(pieces)
    if letter == 's':
        return [newlines(whole.decode('latin-1')).encode('latin-1'), first_bad(whole)]
    text = newlines(whole.decode('utf-8', 'replace')).encode()
    # As a TextIOWrapper on a pipe would have it, piece by piece.
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder('utf-8')('replace'), translate=True)
    slowly = ''.join(decoder.decode(piece) for piece in pieces)
    slowly += decoder.decode(b'', final=True)
    return [text if text == slowly.encode() else b'depends on the pieces', first_bad(whole)]


class TextTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.random = peers.new_random()

    def cut(self, data):
        """The same in pieces, some of them empty."""
        most = self.random.choice((0, 1, 3, len(data)))
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.randint(0, most)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]

    def compare(self, inputs):
        cases = [(letter, self.cut(data)) for data in inputs for letter in 'sr']
        answers = peers.compare(self, PROGRAM, __file__, cases)
        return sum(answer[1] == b'' for answer in answers) / len(answers)

    def test_all_short_ones(self):
        inputs = [bytes(data) for n in range(3) for data in itertools.product(EDGES, repeat=n)]
        inputs += [bytes(data) for data in itertools.product(FEW, repeat=3)]
        self.compare(inputs)

    def test_bytes_at_edges(self):
        self.compare([bytes(self.random.choices(EDGES, k=self.random.randrange(3, 40))) for _ in range(2000)])

    def test_any_bytes(self):
        self.compare([self.random.getrandbits(8 * n).to_bytes(n, 'little') for n in (1, 2, 5, 40, 300) for _ in range(200)])

    def test_text(self):
        good = self.compare([''.join(self.random.choices(POINTS, k=self.random.randrange(30))).encode()
                             for _ in range(1000)])
        self.assertEqual(good, 1)

    def test_damaged_text(self):
        inputs = []
        for _ in range(2000):
            data = bytearray(''.join(self.random.choices(POINTS, k=self.random.randrange(1, 30))).encode())
            for _ in range(self.random.randint(1, 3)):
                at = self.random.randrange(len(data))
                data[at:at + self.random.randrange(3)] = bytes(self.random.choices(EDGES, k=self.random.randrange(2)))
                data = data or bytearray(b'\xe2')
            inputs.append(bytes(data))
        good = self.compare(inputs)
        self.assertTrue(0.05 < good < 0.95, f'{good} of them are good')

    def test_long_runs(self):
        run = b'0123456789abcdef' * 4
        inputs = [run[:at] + bytes([byte]) + run[at:] for byte in range(256) for at in self.random.choices(range(64), k=4)]
        for _ in range(300):
            run = b'0123456789abcdef' * self.random.randrange(1, 40)
            for _ in range(self.random.randrange(4)):
                at = self.random.randrange(len(run))
                run = run[:at] + self.random.choice((b'\r', b'\r\n', b'\xe2\x82\xac', b'\xff', b'\0')) + run[at:]
            inputs.append(run)
        self.compare(inputs)


if __name__ == '__main__':
    if sys.argv[1:] == ['--oracle']:
        peers.be_oracle(answer)
    else:
        PROGRAM = sys.argv.pop(1)
        unittest.main(verbosity=2)
