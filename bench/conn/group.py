"""Connections: bench-conn.c takes turns with a bare pipe within itself, and with CPython's Pipe from here."""
import sys

from harness import paired

ROUNDS = '15'
ROUNDS_CPYTHON = 7


def measure(bench):
    program = bench.built('bench/bench-conn')
    bench.calm()
    yield from bench.figures('bench-conn', ROUNDS)
    script = [sys.executable, bench.source('peers', 'mp_pipe.py')]

    def take():
        return float(bench.output([program, '64kib'])), float(bench.output(script))
    yield paired('conn.64kib', 'k/s', 'cpython-pipe', bench.rounds('conn.64kib cpython-pipe', ROUNDS_CPYTHON, take), 'more')
