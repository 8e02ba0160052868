"""Starts of function processes: bench-process.c takes turns with what one would do by hand within itself, and with CPython from here."""
import sys

from harness import paired

ROUNDS = '31'
ROUNDS_CPYTHON = 7


def measure(bench):
    program = bench.built('bench/bench-process')
    bench.calm()
    yield from bench.figures('bench-process', ROUNDS)
    for method in 'fork', 'spawn', 'forkserver':
        script = [sys.executable, bench.source('peers', 'mp_process.py'), method]

        def take(method=method, script=script):
            return float(bench.output([program, method])), float(bench.output(script))
        rounds = bench.rounds(f'process.{method} mp-{method}', ROUNDS_CPYTHON, take)
        yield paired(f'process.{method}', 'us', f'mp-{method}', rounds, 'less')
