"""Locks, semaphores, events: bench-sync.c takes turns with C's own within itself, and with CPython's from here."""
import sys

from harness import paired

ROUNDS = '15'
ROUNDS_CPYTHON = 7


def measure(bench):
    program = bench.built('bench/bench-sync')
    bench.calm()
    yield from bench.figures('bench-sync', ROUNDS)
    script = [sys.executable, bench.source('peers', 'mp_lock.py')]
    for name, unit, how, better in (('lock.alone', 'ns', 'alone', 'less'), ('lock.contended4', 'M/s', 'contended', 'more')):
        def take(how=how):
            return float(bench.output([program, how])), float(bench.output([*script, how]))
        yield paired(name, unit, 'mp.Lock', bench.rounds(f'{name} mp.Lock', ROUNDS_CPYTHON, take), better)
