#!/usr/bin/env python3
"""sync_test.py FOLDER - what the examples show"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter

FOLDER = sys.argv.pop(1)


def run(name, *words):
    """Its end, and the lines that it wrote to a file, which the processes share."""
    with tempfile.TemporaryFile('w+', encoding='utf-8') as file:
        done = subprocess.run([os.path.join(FOLDER, name), *words], stdin=subprocess.DEVNULL, stdout=file,
                              stderr=subprocess.PIPE, timeout=60, check=False)
        file.seek(0)
        return done.returncode, file.read().splitlines(), done.stderr.decode()


class Examples(unittest.TestCase):
    def ran(self, name, *words):
        status, lines, complaint = run(name, *words)
        self.assertEqual((status, complaint), (0, ''), lines)
        return lines

    def test_two_writers_with_a_lock_tear_no_line(self):
        lines = self.ran('two-writers', '50')
        self.assertEqual(Counter(lines), {' '.join(['left'] * 8): 50, ' '.join(['right'] * 8): 50})

    def test_two_writers_without_lose_no_word(self):
        # That lines are torn is likely, and not certain.
        lines = self.ran('two-writers', '-u', '50')
        self.assertEqual(len(lines), 100)
        self.assertEqual(Counter(re.findall('left|right', '\n'.join(lines))), {'left': 400, 'right': 400})

    def test_when_a_writer_is_killed_the_other_goes_on(self):
        with tempfile.TemporaryFile() as file:
            def grows():
                size, until = os.fstat(file.fileno()).st_size, time.monotonic() + 30
                while os.fstat(file.fileno()).st_size < size + 1000:
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.01)

            program = subprocess.Popen([os.path.join(FOLDER, 'two-writers'), '1000000'], stdout=file)
            grows()
            with open(f'/proc/{program.pid}/task/{program.pid}/children', encoding='ascii') as children:
                writers = [int(pid) for pid in children.read().split()]
            self.assertEqual(len(writers), 2)
            for writer in writers:
                os.kill(writer, signal.SIGKILL)
                if writer == writers[0]:
                    grows()
            self.assertEqual(program.wait(30), 1)
            file.seek(0)
            for line in file.read().decode().splitlines():
                self.assertNotRegex(line, 'left.*right|right.*left')

    def test_two_writers_are_told_how_to_be_called(self):
        for words in (['0'], ['-u', 'x'], ['-3']):
            status, lines, complaint = run('two-writers', *words)
            self.assertEqual((status, lines, complaint), (2, [], 'usage: two-writers [-u] [LINES]\n'))

    def test_two_inside(self):
        *lines, last = self.ran('two-inside')
        inside, entered = set(), Counter()
        for line in lines:
            who, does = line.split()
            if does == 'enters':
                self.assertNotIn(who, inside)
                inside.add(who)
                entered[who] += 1
            else:
                self.assertEqual(does, 'leaves')
                inside.remove(who)
            self.assertLessEqual(len(inside), 2, lines)
        self.assertEqual(entered, {str(who): 3 for who in range(1, 6)})
        self.assertEqual((inside, last), (set(), '2 of 2 places are free'))

    def test_consumer(self):
        self.assertEqual(self.ran('consumer'), [f'got {value}' for value in range(1, 6)])

    def test_starter(self):
        lines = self.ran('starter')
        self.assertEqual(sorted(lines[:4]), [f'{who} is ready' for who in range(1, 5)])
        self.assertEqual(lines[4], 'go')
        self.assertEqual(sorted(lines[5:]), [f'{who} runs' for who in range(1, 5)])

    def test_phases(self):
        lines = self.ran('phases')
        for phase in range(1, 4):
            *those, end = lines[(phase - 1) * 5:phase * 5]
            self.assertEqual(sorted(those), [f'phase {phase}: {who}' for who in range(1, 5)])
            self.assertEqual(end, f'phase {phase} is done')
        self.assertEqual(len(lines), 15)


if __name__ == '__main__':
    unittest.main()
