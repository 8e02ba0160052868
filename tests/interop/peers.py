"""Compares a small C program with what Pythons do: the same cases to all, the same answers from all.

A case is (letter, list of bytes), an answer a list of bytes. The C program reads cases from its
standard input and writes answers to its standard output, as tests/children/frames.h says; so does the
test file itself when it is started with --oracle by one of the Pythons, from 3.8 on: the one that runs the
test, /usr/bin/python3, and of pyenv's the oldest and the newest; all of those with BROOD_TEST_LONG=1.
every_python() are all of them in any case.
"""
import functools
import glob
import os
import random
import struct
import subprocess
import sys

LIMIT = 300  # seconds that one program may take; they need some, and more on a busy machine
NUMBER = struct.Struct('=I')
LONG = os.environ.get('BROOD_TEST_LONG') == '1'


def pack(strings):
    return NUMBER.pack(len(strings)) + b''.join(NUMBER.pack(len(string)) + string for string in strings)


def unpack(data, at):
    """(list of bytes, where the next begins)."""
    (count,), at = NUMBER.unpack_from(data, at), at + NUMBER.size
    strings = []
    for _ in range(count):
        (size,), at = NUMBER.unpack_from(data, at), at + NUMBER.size
        if at + size > len(data):
            raise ValueError(f'a string of {size} bytes at {at} of {len(data)}')
        strings.append(data[at:at + size])
        at += size
    return strings, at


def answers_of(command, cases):
    """What the program says to the cases, one answer for each."""
    data = b''.join(letter.encode() + pack(strings) for letter, strings in cases)
    run = subprocess.run(command, input=data, stdout=subprocess.PIPE, timeout=LIMIT, check=False)
    if run.returncode != 0:
        raise AssertionError(f'{command} ended with {run.returncode}')
    answers, at = [], 0
    while at < len(run.stdout):
        answer, at = unpack(run.stdout, at)
        answers.append(answer)
    if len(answers) != len(cases):
        raise AssertionError(f'{command}: {len(answers)} answers to {len(cases)} cases')
    return answers


def be_oracle(answer):
    """Reads cases, writes what answer(letter, strings) says to each."""
    data, at, out = sys.stdin.buffer.read(), 0, []
    while at < len(data):
        letter = chr(data[at])
        strings, at = unpack(data, at + 1)
        out.append(pack(answer(letter, strings)))
    sys.stdout.buffer.write(b''.join(out))


@functools.lru_cache(None)
def every_python():
    """{version: path} of the Pythons that are here; one of each version."""
    found = {}
    what = 'import sys; print(sys.implementation.name, "%d.%d.%d" % sys.version_info[:3])'
    others = sorted(glob.glob(os.path.expanduser('~/.pyenv/versions/*/bin/python3')))
    for path in [sys.executable, '/usr/bin/python3', *others]:
        try:
            run = subprocess.run([path, '-S', '-c', what], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, timeout=LIMIT, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        name, version = run.stdout.decode().split()
        if name == 'cpython' and tuple(map(int, version.split('.'))) >= (3, 8):
            found.setdefault(version, path)
    if not found:
        raise AssertionError('no CPython from 3.8 on was found')
    return found


def pythons():
    """Those of them to ask."""
    found = every_python()
    if LONG:
        return found
    by_age = sorted(found, key=lambda version: tuple(map(int, version.split('.'))))
    return {version: path for version, path in found.items()
            if path in (sys.executable, '/usr/bin/python3') or version in (by_age[0], by_age[-1])}


def new_random():
    """A generator of random numbers; BROOD_SEED in the environment repeats a run."""
    seed = int(os.environ.get('BROOD_SEED') or int.from_bytes(os.urandom(4), 'little'))
    print(f'BROOD_SEED={seed}', flush=True)
    return random.Random(seed)


def compare(test, program, oracle, cases, same=None):
    """Fails the test at the first case to which the program and a Python say different things;
    same(case, theirs, ours) decides, if equal is not enough. Returns the program's answers."""
    ours = answers_of([program], cases)
    versions = pythons()
    for version, path in versions.items():
        theirs = answers_of([path, '-BS', oracle, '--oracle'], cases)
        for case, their, our in zip(cases, theirs, ours):
            if not (same(case, their, our) if same else their == our):
                test.fail(f'{case!r}: Python {version} says {their!r}, {os.path.basename(program)} {our!r}')
    print(f'{test.id()}: {len(cases)} cases, as CPython {", ".join(versions)}', flush=True)
    return ours
