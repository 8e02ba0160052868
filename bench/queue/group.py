"""Queues: bench-queue.c takes turns with rings in C within itself, and with other libraries and CPython from here."""
import sys

from harness import BenchError, Figure, paired

ROUNDS = '9'
ROUNDS_OTHERS = 5
LINES = (  # name, peer, putters, getters, size
    ('queue.1to1.64b', 'mp.Queue', 1, 1, 64),
    ('queue.1to1.64b', 'boost', 1, 1, 64),
    ('queue.1to1.1kib', 'boost', 1, 1, 1024),
    ('queue.1to1.1kib', 'mp.Queue', 1, 1, 1024),
    ('queue.1to1.64kib', 'boost', 1, 1, 65536),
    ('queue.1to1.64kib', 'mp.Queue', 1, 1, 65536),
    ('queue.1to1.64kib', 'zeromq', 1, 1, 65536),
    ('queue.4to4.64b', 'boost', 4, 4, 64),
    ('queue.4to4.64b', 'mp.Queue', 4, 4, 64),
)


def command_of(bench, peer, numbers):
    if peer == 'boost':
        return [bench.built('bench/boost-queue'), *numbers]
    if peer == 'zeromq':
        return [bench.built('bench/zmq-queue'), numbers[-1]]
    return [sys.executable, bench.source('peers', 'mp_queue.py'), 'throughput', *numbers]


def measure(bench):
    program = bench.built('bench/bench-queue')
    bench.calm()
    yield from bench.figures('bench-queue', ROUNDS)
    for name, peer, *numbers in LINES:
        numbers = [str(number) for number in numbers]
        try:
            command = command_of(bench, peer, numbers)
        except BenchError as error:
            bench.note(f'{name} {peer}: {error}')
            yield Figure(name, None, 'M/s', peer)
            continue

        def take(command=command, numbers=numbers):
            return float(bench.output([program, 'throughput', *numbers])), float(bench.output(command))
        yield paired(name, 'M/s', peer, bench.rounds(f'{name} {peer}', ROUNDS_OTHERS, take), 'more')

    def trip():
        script = [sys.executable, bench.source('peers', 'mp_queue.py'), 'busy']
        return float(bench.output([program, 'busy'])), float(bench.output(script))
    yield paired('queue.pingpong.busy', 'us', 'mp.Queue', bench.rounds('queue.pingpong.busy mp.Queue', ROUNDS_OTHERS, trip), 'less')
