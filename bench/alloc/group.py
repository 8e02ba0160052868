"""Millions of allocations and frees a second in shared memory, brood's heap beside Boost's rbtree_best_fit."""
from harness import PeerMissing, paired

ROUNDS = 9
STEPS = '1000000'


def measure(bench):
    brood = bench.built('bench/mixed-brood')
    try:
        boost = bench.built('bench/mixed-boost')
    except Exception as error:
        raise PeerMissing('libboost-dev and a C++ compiler are missing') from error

    def take(processes):
        return tuple(float(bench.output([program, processes, STEPS])) for program in (brood, boost))

    yield paired('alloc.mixed', 'M/s', 'boost-rbtree', bench.rounds('alloc.mixed', ROUNDS, lambda: take('1')), 'more')
    four = paired('alloc.mixed', 'M/s', 'boost-rbtree', bench.rounds('alloc.mixed', 3, lambda: take('4')), 'more')
    bench.note(f'alloc.mixed, 4 processes: {four.value:.3g} M/s, Boost {four.peer_value:.3g} M/s, ratio {four.ratio:.3g}')
