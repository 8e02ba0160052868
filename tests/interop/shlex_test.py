#!/usr/bin/env python3
"""shlex_test.py WORDS - brood_shell_quote(), join() and split() equal shlex, for thousands of inputs

WORDS is tests/children/words. `shlex_test.py --oracle` answers the same cases by shlex (peers.py).
"""
import re
import shlex
import sys
import unittest

import peers

SPECIAL = b'\'"\\ \t\r\n'
ALPHABETS = [
    SPECIAL,
    SPECIAL + b'ab',
    SPECIAL + b'#$;|&<>()*?~`!{}\v\f\x1c\x85\xa0a-_=/.,:@%+',
    b'abcXYZ019@%+=:,./-_',
    'äß\u00a0\u0085\u2028\u3000中\U0001f600 \'"\\'.encode(),
    bytes(range(1, 256)),
]
NASTY = [
    b'', b' ', b'\n', b'\\\n', b'a\\\nb', b"''", b'""', b"'' ''", b'\'\'""', b'a""b', b"\\'", b'\\"', b'"\\"', b'"\\\\"',
    b'"\\\\\\"', b'"\\a"', b'"\\\n"', b'"\\\'"', b"'\\'", b"'\\''", b"'a'\\''b'", b'#', b'a#b', b'a #b', b"'#'", b'\\#', b'\v', b'\f',
    b'a\vb', b'\x1c', b'\x85', b'\xa0', b'\xc2\xa0', b'\xe2\x80\xa8', b'\xff\xfe', b'\xed\xa0\x80', b'~', b'$HOME', b'$(x)', b'`x`',
    b'a;b|c&d', b'a&&b||c', b'>', b'2>&1', b"it's", b"'\"'\"'", b'\\', b'\\\\', b'\\\\\\', b'"', b"'", b'"\'', b'\'"', b'"\\', b"'\\",
    b'a b', b'a  b', b' a b ', b'a\tb\rc\nd', b'\r\n', b'"a\nb"', b'\x01\x7f', b'-', b'--', b'=', b'a=b c', b'{a,b}', b'!!', b'\\ ', b'\\ a',
    b'"" a', b'a ""', b'\\a""', b'x' * 1000, b"'" * 1000, b"'" * 1001, b'"' * 999, b'\\' * 1000, b'\\' * 999, b'a ' * 1000, b'"\\"' * 333,
]


def text_answer(function, *strings):
    """What shlex says, in UTF-8 (where a byte that is none stands for itself) and in Latin-1 alike."""
    said = []
    for code in ('utf-8', 'latin-1'):
        try:
            result = function(*(string.decode(code, 'surrogateescape') for string in strings))
            words = result if isinstance(result, list) else [result]
            said.append([b'ok', *(word.encode(code, 'surrogateescape') for word in words)])
        except ValueError as error:
            said.append([b'error', str(error).encode()])
    return said[0] if said[0] == said[1] else [b'depends on the code', *said[0], b'or', *said[1]]


def answer(letter, strings):
    if letter == 'q':
        return text_answer(shlex.quote, *strings)
    if letter == 'j':
        return text_answer(lambda *words: shlex.join(words), *strings)
    return text_answer(lambda line: shlex.split(line, comments=False, posix=True), *strings)


def place_is_right(line, text):
    """Whether the end of the message names the byte that opens what is not closed."""
    reason, at = re.fullmatch(rb'(.*), byte (\d+)', text).groups()
    at = int(at)
    if reason == b'No escaped character':
        return at == len(line) - 1 and line.endswith(b'\\')
    # All before it is whole, and nothing behind it closes it.
    return answer('s', [line[:at]])[0] == b'ok' and \
        re.fullmatch(rb"""'[^']*|"(?:[^"\\]|\\.)*""", line[at:], re.DOTALL) is not None


def same(case, theirs, ours):
    """Equal; but where shlex has an error the program says the place, too."""
    if case[0] != 's' or theirs[0] != b'error':
        return theirs == ours
    return ours[0] == b'error' and ours[1].startswith(theirs[1] + b', byte ') and place_is_right(case[1][0], ours[1])


class ShlexTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.random = peers.new_random()

    def word(self, most=24):
        alphabet = self.random.choice(ALPHABETS)
        return bytes(self.random.choices(alphabet, k=self.random.randrange(most)))

    def compare(self, cases):
        return peers.compare(self, PROGRAM, __file__, cases, same)

    def test_quote(self):
        cases = [('q', [word]) for word in NASTY + [bytes([byte]) for byte in range(1, 256)]]
        cases += [('q', [self.word()]) for _ in range(3000)]
        self.compare(cases)

    def test_join(self):
        cases = [('j', []), ('j', NASTY)]
        cases += [('j', [self.word() for _ in range(self.random.randrange(6))]) for _ in range(2000)]
        self.compare(cases)

    def test_split(self):
        cases = [('s', [word]) for word in NASTY]
        # All lines of up to four bytes that mean something, and one that does not.
        short = [b'']
        for _ in range(4):
            short = [line + bytes([byte]) for line in short for byte in b'\'"\\ \na']
            cases += [('s', [line]) for line in short]
        cases += [('s', [self.word(60)]) for _ in range(3000)]
        answers = self.compare(cases)
        words = sum(answer[0] == b'ok' for answer in answers)
        self.assertTrue(len(cases) / 10 < words < len(cases) * 9 / 10, f'{words} of {len(cases)} can be split')

    def test_split_gives_back_what_was_joined(self):
        lists = [NASTY] + [[self.word() for _ in range(self.random.randrange(6))] for _ in range(2000)]
        lines = peers.answers_of([PROGRAM], [('j', words) for words in lists])
        for words, got in zip(lists, peers.answers_of([PROGRAM], [('s', line[1:]) for line in lines])):
            self.assertEqual(got, [b'ok', *words])


if __name__ == '__main__':
    if sys.argv[1:] == ['--oracle']:
        peers.be_oracle(answer)
    else:
        PROGRAM = sys.argv.pop(1)
        unittest.main(verbosity=2)
