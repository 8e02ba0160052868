"""Millions of increments a second of one shared number by four processes, beside CPython's multiprocessing.Value."""
import sys

from harness import paired

ROUNDS = 7


def measure(bench):
    brood = bench.built('bench/increment-brood')
    peer = [sys.executable, bench.source('value', 'increment_mp.py')]

    def take():
        return float(bench.output([brood, '4', '2000000'])), float(bench.output([*peer, '4', '20000']))

    yield paired('value.increment4', 'M/s', 'mp.Value', bench.rounds('value.increment4', ROUNDS, take), 'more')
