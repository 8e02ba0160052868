"""Segments and lists shared with CPython's multiprocessing.shared_memory, in both directions

Usage: shm_test.py SHARE, the program tests/children/share.c. Each test runs with each CPython of 3.8 or later that is
at hand: that which runs this file, /usr/bin/python3, those of ~/.pyenv/versions, and those that BROOD_PYTHONS
names, divided by colons. Which these were is printed.
"""
import glob
import os
import subprocess
import sys
import tempfile
import time
import unittest

DEADLINE = 60
SHM = '/dev/shm'

# What a CPython can do in these tests, line by line, as tests/children/share.c. A tracker of its own, as any program
# has that brood did not start.
PEER = r'''
import sys
from multiprocessing import shared_memory, resource_tracker

def item(word):
    return {'n': lambda: None, 'b': lambda: word[1] == '1', 'i': lambda: int(word[1:]), 'f': lambda: float.fromhex(word[1:]),
            's': lambda: bytes.fromhex(word[1:]).decode(), 'y': lambda: bytes.fromhex(word[1:])}[word[0]]()

def word(item):
    if item is None:
        return 'n'
    return {bool: lambda: 'b%d' % item, int: lambda: 'i%d' % item, float: lambda: 'f' + item.hex(),
            str: lambda: 's' + item.encode().hex(), bytes: lambda: 'y' + item.hex()}[type(item)]()

how, name, track = sys.argv[1:4]
untracked = {'track': False} if sys.version_info >= (3, 13) and track == 'no' else {}
kind = shared_memory.SharedMemory
lists = shared_memory.ShareableList
them = None
if how == 'segment':
    memory = kind(name, create=True, size=int(sys.argv[4]), **untracked)
elif how == 'open':
    memory = kind(name, **untracked)
elif how == 'list':
    them = lists([item(w) for w in sys.argv[4:]], name=name)
    memory = them.shm
else:
    them = lists(name=name)
    memory = them.shm
if track == 'no' and not (untracked and them is None):
    resource_tracker.unregister('/' + name, 'shared_memory')
print(flush=True)
for line in sys.stdin:
    words = line.split()
    out = ''
    try:
        if words[0] == 'read':
            out = bytes(memory.buf[int(words[1]):int(words[1]) + int(words[2])]).hex()
        elif words[0] == 'write':
            data = bytes.fromhex(words[2])
            memory.buf[int(words[1]):int(words[1]) + len(data)] = data
        elif words[0] == 'size':
            out = str(memory.size)
        elif words[0] == 'all':
            out = ' '.join(word(i) for i in them)
        elif words[0] == 'format':
            out = them.format
        elif words[0] == 'set':
            them[int(words[1])] = item(words[2])
        elif words[0] == 'count':
            out = str(them.count(item(words[1])))
        elif words[0] == 'unlink':
            memory.unlink()
    except Exception as error:
        out = 'error ' + type(error).__name__
    print(out, flush=True)
memory.close()
'''


def pythons():
    """[(version, path)], the first path of each version."""
    found = {}
    paths = [sys.executable, '/usr/bin/python3', *sorted(glob.glob(os.path.expanduser('~/.pyenv/versions/*/bin/python3'))),
             *filter(None, os.environ.get('BROOD_PYTHONS', '').split(':'))]
    for path in paths:
        try:
            text = subprocess.run([path, '-c', 'import sys; print(*sys.version_info[:3])'], check=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, timeout=DEADLINE).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        version = tuple(map(int, text.split()))
        if version >= (3, 8):
            found.setdefault(version, path)
    return sorted(found.items())


def name_of(what):
    return f'interop-{os.getpid()}-{what}'


def is_there(name):
    return os.path.exists(os.path.join(SHM, name))


class Talker:
    """One side: asked by lines, answers by lines."""

    def __init__(self, argv):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.start = self.process.stdout.readline().strip()

    def ask(self, *words):
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip('\n')

    def end(self):
        """Lets it end by itself; what it wrote to standard error."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(DEADLINE)
        self.errors.seek(0)
        text = self.errors.read().decode(errors='replace')
        self.errors.close()
        return text

    def kill(self):
        self.process.kill()
        self.end()


def hex_of(text):
    return text.encode().hex()


class Interop(unittest.TestCase):
    def setUp(self):
        self.name = name_of(self.id().rsplit('.', 1)[-1])
        self.talkers = []

    def tearDown(self):
        for talker in self.talkers:
            if talker.process.returncode is None:
                talker.kill()
        left = [name for name in os.listdir(SHM) if self.name in name]
        for name in left:
            os.unlink(os.path.join(SHM, name))
        self.assertEqual(left, [])

    def talk(self, argv):
        talker = Talker(argv)
        self.talkers.append(talker)
        return talker

    def brood(self, *words):
        return self.talk([SHARE, *map(str, words)])

    def python(self, path, *words):
        return self.talk([path, '-c', PEER, *map(str, words)])

    def eventually(self, condition):
        until = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def for_each(self):
        for version, path in pythons():
            with self.subTest(python='.'.join(map(str, version))):
                yield version, path

    def test_python_opens_what_brood_made_and_leaves_it(self):
        for _, path in self.for_each():
            ours = self.brood('segment', self.name, '-', 10)
            self.assertEqual(ours.start, '')
            ours.ask('write', 0, hex_of('brood'))
            theirs = self.python(path, 'open', self.name, 'no')
            self.assertEqual(theirs.ask('size'), '10')
            self.assertEqual(theirs.ask('read', 0, 5), hex_of('brood'))
            theirs.ask('write', 0, hex_of('B'))
            self.assertEqual(ours.ask('read', 0, 5), hex_of('Brood'))
            self.assertEqual(theirs.end(), '')
            self.assertTrue(is_there(self.name))
            self.assertEqual(ours.ask('unlink'), '')
            ours.end()

    def test_brood_opens_what_python_made_and_leaves_it(self):
        for _, path in self.for_each():
            theirs = self.python(path, 'segment', self.name, 'yes', 4097)
            theirs.ask('write', 4090, hex_of('python!'))
            ours = self.brood('open', self.name, '-')
            self.assertEqual(ours.ask('size'), '4097')
            self.assertEqual(ours.ask('read', 4090, 7), hex_of('python!'))
            ours.ask('write', 4090, hex_of('P'))
            self.assertEqual(theirs.ask('read', 4090, 6), hex_of('Python'))
            ours.end()
            self.assertTrue(is_there(self.name))
            # With a header of brood's, which it has not, it is refused and stays.
            self.assertEqual(self.brood('open', self.name, 'b').start, 'error EBADMSG')
            self.assertTrue(is_there(self.name))
            self.assertEqual(theirs.ask('unlink'), '')
            theirs.end()

    def test_a_tracker_takes_the_name_of_what_it_attached_to_and_a_guard_gives_it_back(self):
        for version, path in self.for_each():
            ours = self.brood('segment', self.name, 'g', 8)
            ours.ask('write', 0, hex_of('survives'))
            theirs = self.python(path, 'open', self.name, 'yes')
            self.assertEqual(theirs.ask('read', 0, 8), hex_of('survives'))
            theirs.end()
            # What makes the guard needed, done by the tracker when its process has ended. Should some CPython stop doing it,
            # so much the better.
            if version < (3, 14):
                self.eventually(lambda: not is_there(self.name))
            self.assertEqual(ours.ask('restore'), '')
            self.assertTrue(is_there(self.name))
            os.unlink(os.path.join(SHM, self.name))
            # Another of brood finds it without its name, and with that the next CPython does.
            other = self.brood('open', self.name, '-')
            self.assertEqual(other.ask('read', 0, 8), hex_of('survives'))
            theirs = self.python(path, 'open', self.name, 'no')
            self.assertEqual(theirs.ask('read', 0, 8), hex_of('survives'))
            theirs.end()
            other.end()
            self.assertEqual(ours.ask('unlink'), '')
            ours.end()

    def test_a_failed_attach_of_brood_harms_nobody(self):
        for _, path in self.for_each():
            theirs = self.python(path, 'segment', self.name, 'yes', 100)
            self.assertEqual(self.brood('look', self.name).start, '')  # a hundred zeros are a list of none
            theirs.ask('write', 0, 'ff' * 8)
            self.assertEqual(self.brood('look', self.name).start, 'error EBADMSG')
            self.assertTrue(is_there(self.name))
            self.assertEqual(theirs.ask('unlink'), '')
            theirs.end()

    def test_python_attached_keeps_a_swept_name(self):
        for _, path in self.for_each():
            maker = self.brood('segment', self.name, 'b', 8)
            theirs = self.python(path, 'open', self.name, 'no')
            maker.kill()
            sweeper = self.brood('list', name_of('sweeper'), 0)
            self.assertEqual(sweeper.ask('sweep', self.name), '0')
            self.assertTrue(is_there(self.name))
            theirs.end()
            self.assertEqual(sweeper.ask('sweep', self.name), '1')
            self.assertEqual(sweeper.ask('unlink'), '')
            sweeper.end()

    items = ['i1', 'i-9223372036854775808', 'f' + (3.5).hex(), 'f-inf', 'b1', 'b0', 'n', 's' + hex_of('hi'), 's' + hex_of(''),
             's' + hex_of('12345678'), 's' + hex_of('žluť'), 'y6162ff', 'y']

    def same(self, ours, theirs):
        self.assertEqual([self.plain(word) for word in ours.split(' ')[1:]], [self.plain(word) for word in theirs.split(' ')])

    @staticmethod
    def plain(word):
        return ('f', repr(float.fromhex(word[1:]))) if word[0] == 'f' else word

    def layouts_of(self, version):
        return (2,) if version < (3, 9) else (0, 1)

    def test_python_reads_and_writes_a_list_of_brood(self):
        for version, path in self.for_each():
            for layout in self.layouts_of(version):
                ours = self.brood('list', self.name, layout, *self.items)
                theirs = self.python(path, 'look', self.name, 'no')
                self.same(ours.ask('all'), theirs.ask('all'))
                self.assertEqual([self.plain(w) for w in theirs.ask('all').split(' ')], [self.plain(w) for w in self.items])
                if layout == 1:
                    self.assertEqual(ours.ask('format'), theirs.ask('format'))
                # Each by each, changed by either side.
                for index, item in enumerate(('s' + hex_of('now text'), 'i5', 'b1', 'y00ff', 'n', 'f' + (0.1).hex(), 'i-1', 's',
                                              's' + hex_of('é'), 'n', 's' + hex_of('longer than 8'), 'y61', 'y6162636465666768')):
                    theirs.ask('set', index, item)
                    self.same(ours.ask('all'), theirs.ask('all'))
                    ours.ask('set', -1 - index, item)
                    self.same(ours.ask('all'), theirs.ask('all'))
                self.assertEqual(theirs.ask('set', 0, 's' + hex_of('too long for eight')), 'error ValueError')
                self.assertEqual(ours.ask('set', 0, 's' + hex_of('too long for eight')), 'error EMSGSIZE')
                self.assertEqual(ours.ask('count', 'i5'), theirs.ask('count', 'i5'))
                theirs.end()
                self.assertEqual(ours.ask('unlink'), '')
                ours.end()

    def test_brood_reads_and_writes_a_list_of_python(self):
        for version, path in self.for_each():
            theirs = self.python(path, 'list', self.name, 'yes', *self.items)
            ours = self.brood('look', self.name)
            self.assertEqual(ours.start, '')
            self.assertEqual(ours.ask('all')[0], '2' if version < (3, 9) else '1')
            self.same(ours.ask('all'), theirs.ask('all'))
            self.assertEqual(ours.ask('format'), theirs.ask('format'))
            ours.ask('set', 9, 's' + hex_of('0123456789abcdef'))
            ours.ask('set', 0, 'n')
            ours.ask('set', 6, 'y' + 'ff' * 8)
            ours.ask('set', 7, 'f' + (1e300).hex())
            self.same(ours.ask('all'), theirs.ask('all'))
            self.assertEqual(ours.ask('format'), theirs.ask('format'))
            ours.end()
            self.assertEqual(theirs.ask('unlink'), '')
            theirs.end()

    def test_the_other_layout_is_never_misread_by_brood(self):
        """3.8 and 3.9 cannot read each other's lists; brood reads both."""
        for _, path in self.for_each():
            for items in ([], ['n'], ['i0', 'i0'], ['s' + hex_of('x' * 100)]):
                theirs = self.python(path, 'list', self.name, 'yes', *items)
                ours = self.brood('look', self.name)
                self.assertEqual(ours.ask('all').split(' ')[1:], items)
                ours.end()
                theirs.ask('unlink')
                theirs.end()

    def test_what_python_loses_and_cuts(self):
        for version, path in self.for_each():
            # NULs at the end are lost in CPython's own lists; brood's exact ones keep them among brood's.
            ours = self.brood('list', self.name, 0, 'y616200', 's' + hex_of('12345678'))
            again = self.brood('look', self.name)
            self.assertEqual(again.ask('all'), '0 y616200 s' + hex_of('12345678'))
            if version >= (3, 9):
                theirs = self.python(path, 'look', self.name, 'no')
                self.assertEqual(theirs.ask('all'), 'y6162 s' + hex_of('12345678'))
                theirs.end()
            again.end()
            ours.ask('unlink')
            ours.end()
            # CPython counts characters: of nine two-byte ones it has room for eight and a half … or rather sixteen bytes.
            theirs = self.python(path, 'list', self.name, 'yes', 's' + hex_of('a' + 'é' * 8))
            ours = self.brood('look', self.name)
            self.assertIn(ours.ask('all').split(' ')[1], ('!EILSEQ', 's' + hex_of('a' + 'é' * 8)))
            ours.end()
            theirs.ask('unlink')
            theirs.end()


if __name__ == '__main__':
    SHARE = sys.argv.pop(1)
    print('with CPython', ', '.join('.'.join(map(str, version)) for version, _ in pythons()), file=sys.stderr)
    unittest.main()
