"""Microseconds of one spawn + wait; bench-spawn.c measures, interleaved within itself."""
from harness import BenchError, Figure

ROUNDS = '100'
BATCH = '50'


def measure(bench):
    bench.calm()
    text = bench.output([bench.built('bench/bench-spawn'), bench.built('bench/tiny'), ROUNDS, BATCH])
    for line in text.splitlines():
        words = line.split('\t')
        if len(words) != 5:
            raise BenchError(f'bench-spawn said "{line}"')
        name, value, peer, peer_value, ratio = words
        yield Figure(name, float(value), 'us', peer, float(peer_value), float(ratio))
