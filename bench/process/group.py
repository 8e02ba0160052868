"""Starts of function processes: bench-process.c takes turns with fork() within itself, and with CPython from here."""
import sys

from harness import paired

ROUNDS = '31'
ROUNDS_CPYTHON = 7


def measure(bench):
    program = bench.built('bench/bench-process')
    bench.calm()
    yield from bench.figures('bench-process', ROUNDS)
    script = [sys.executable, bench.source('peers', 'mp_process.py'), 'fork']

    def take():
        return float(bench.output([program, 'once'])), float(bench.output(script))
    yield paired('process.fork', 'us', 'mp-fork', bench.rounds('process.fork mp-fork', ROUNDS_CPYTHON, take), 'less')
