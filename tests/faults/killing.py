"""Who uses shared objects is killed, at every instruction and at random; and mutants are found

What sync_kill.py and queue_kill.py are made of. Both play scenarios.h with objects of their own (KILL), and a program
of many processes (RANDOM). By default a sample: every STRIDE-th instruction of each operation, some hundred random kills, and one
of the quickly found mutants; more of each with BROOD_TEST_LONG=1. With BROOD_TEST_LONG=all every instruction, 10,000
random kills, all mutants; and every instruction of the operations' code (objdump) must have been killed at, but for what
`unreached` gives a reason for.

The mutants are compiled with $CC or cc.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from reached import compare

LONG = os.environ.get('BROOD_TEST_LONG')
ALL = LONG == 'all'
KILLS = 10000 if ALL else 2000 if LONG else 400
ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
FLAGS = ['-std=gnu11', '-O2', '-g', '-D_GNU_SOURCE', '-DBRI_LOOKS=2', '-DBRI_BREATHS=1', '-DBRI_GLANCES=1', '-DBRI_PATIENCE=0', '-DBRI_JOIN_AFTER=1', '-DBRI_ASKS=20000000', '-fno-strict-aliasing',
         '-fstack-protector-strong', '-w', '-Wl,-z,now', '-pthread']
SUMMARY = []  # the lines to close with


def stride(sample, long_sample):
    return 1 if ALL else long_sample if LONG else sample


def sources_in(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(os.path.join(ROOT, folder)))
            if name.endswith('.c') and not name.endswith('_test.c')]


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)


class Kill(unittest.TestCase):
    program = random_program = None  # set by main()
    stride = 1
    folder = ''          # of the operations, below src
    not_operations = ''  # and unreached: see reached.py
    unreached = ()
    least = 0            # instructions that the operations have at the least

    def test_every_instruction(self):
        with tempfile.TemporaryDirectory() as folder:
            reached = os.path.join(folder, 'reached')
            result = run([self.program, '--stride', str(self.stride), '--reached', reached])
            print(result.stdout, end='', flush=True)
            SUMMARY.append(result.stdout.splitlines()[-1])
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, r'every-instruction: operations=\d+ kills=\d+ failures=0\n\Z')
            if ALL:
                line, count, untold = compare(self.program, reached, f'src/{self.folder}', self.not_operations, self.unreached)
                print(line)
                self.assertGreater(count, self.least)
                self.assertEqual(untold, [], '\n'.join(untold))

    def test_random_kills(self):
        seed = os.environ.get('BROOD_SEED')
        result = run([self.random_program, str(KILLS), *([seed] if seed else [])])
        print(result.stdout, end='', flush=True)
        SUMMARY.append(result.stdout.splitlines()[-1])
        self.assertEqual(result.returncode, 0)
        self.assertEqual(SUMMARY[-1], f'random-kills: kills={KILLS} failures=0')


class Mutants(unittest.TestCase):
    mutants = ()
    quick = ()    # beginnings of the scenarios that find theirs quickly
    folder = ''   # of what is changed, below src
    harness = ''  # the program that is compiled with it

    @staticmethod
    def sources(copy):
        """What it is linked of; the folder's own files are in `copy`."""
        raise NotImplementedError

    def build(self, folder, mutant):
        """The program with the mutant in it."""
        copy = os.path.join(folder, self.folder)
        shutil.copytree(os.path.join(ROOT, 'src', self.folder), copy, ignore=shutil.ignore_patterns('*_test.c', '*.md'))
        path = os.path.join(copy, mutant.file)
        with open(path, encoding='utf-8') as file:
            text = file.read()
        for old, new in mutant.changes:
            self.assertEqual(text.count(old), 1, f'{mutant.file}: {old!r}')
            text = text.replace(old, new)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        program = os.path.join(folder, 'mutant')
        result = run([*os.environ.get('CC', 'cc').split(), *FLAGS, '-DBROOD_VERSION="0"', '-I', folder, '-I', 'src', '-I', 'include',
                      '-o', program, os.path.join('tests', 'faults', self.harness), *self.sources(copy)], cwd=ROOT)
        self.assertEqual(result.returncode, 0, result.stdout)
        return program

    def test_they_are_found(self):
        quick = [mutant for mutant in self.mutants if mutant.scenario.startswith(self.quick)]
        chosen = self.mutants if ALL else random.sample(quick, 4 if LONG else 1)
        for mutant in chosen:
            with self.subTest(mutant.what), tempfile.TemporaryDirectory() as folder:
                program = self.build(folder, mutant)
                result = run([program, '--limit', '700', mutant.scenario], timeout=300)
                found = re.search(r'failures=(\d+)\n\Z', result.stdout)
                self.assertTrue(found, result.stdout)
                self.assertNotEqual(found.group(1), '0', 'not found:\n' + result.stdout)
                print(f'found: {mutant.what}', flush=True)


def main():
    """The arguments are KILL and RANDOM; the tests are those of the calling script. Returns the exit status."""
    Kill.random_program = os.path.realpath(sys.argv.pop(2))
    Kill.program = os.path.realpath(sys.argv.pop(1))
    tests = unittest.main(verbosity=2, exit=False)
    for line in SUMMARY:
        print(line)
    return 0 if tests.result.wasSuccessful() else 1
