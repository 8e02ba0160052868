"""The lines child.*: brood_run() and brood_popen_communicate() beside what one would use instead."""
import contextlib
import re
import select
import statistics
import subprocess
from typing import NamedTuple, Optional

from harness import BenchError, Figure, paired

PYTHON = '/usr/bin/python3'
C_LOOPS = ('plain', '1mib', '1mib+huge', '256kib+huge', '1mib+huge+gift')
INPUT_MB = (256 << 20) / 1e6
SMALL = 10        # MiB of touched memory
LARGE = 2 << 10
SPARE = 512       # MiB that must be free beside two large ones
PATIENCE = 120.0  # seconds for an answer


class Worker:
    """A process that does jobs; see worker.h. It ends with the stack."""

    def __init__(self, bench, stack, name, memory):
        argv = [PYTHON, bench.source('peers', name)] if name.endswith('.py') else [bench.built(f'bench/{name}')]
        self.name = name
        try:
            self.process = bench.start([*argv, str(memory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise BenchError(str(error)) from None
        stack.callback(self.stop, bench)
        self.answer()

    def answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else b''
        if not line.endswith(b'\n'):
            raise BenchError(f'{self.name} has ended, or does not answer')
        return line

    def nanoseconds(self, job, count):
        try:
            self.process.stdin.write(f'{job} {count}\n'.encode())
        except OSError:
            pass  # then there is no answer either
        return int(self.answer())

    def stop(self, bench):
        bench.stop(self.process)
        self.process.stdin.close()
        self.process.stdout.close()


class Side(NamedTuple):
    """One that takes turns of `count` jobs; without a worker it is missing."""
    peer: str
    worker: Optional[Worker]
    job: str
    count: int = 1

    def turn(self):
        """Microseconds of one job."""
        return self.worker.nanoseconds(self.job, self.count) / self.count / 1e3 if self.worker else None


def open_worker(bench, stack, name, memory=SMALL):
    """The worker of a peer; None when there is none, and that is said."""
    try:
        return Worker(bench, stack, name, memory)
    except BenchError as error:
        bench.warn(f'peer missing: {error}')
        return None


def take_round(sides):
    """Microseconds of each side, which has its turns once on the way there and once on the way back."""
    there = [side.turn() for side in sides]
    back = [side.turn() for side in reversed(sides)]
    return [a and (a + b) / 2 for a, b in zip(there, reversed(back))]


def figure(name, unit, peer, pairs, better):
    if pairs[0][1] is None:
        return Figure(name, statistics.median(ours for ours, _ in pairs), unit, peer)
    return paired(name, unit, peer, pairs, better)


def run(bench, name, sides, rounds):
    """The lines of a section whose first side is brood."""
    for side in sides:
        side.turn()  # warm
    taken = bench.rounds(name, rounds, lambda: take_round(sides))
    for i, side in enumerate(sides[1:], 1):
        yield figure(name, 'us', side.peer, [(values[0], values[i]) for values in taken], 'less')


def run_captured(bench, stack):
    sides = [
        Side('brood', Worker(bench, stack, 'bench-child', SMALL), 'captured', 15),
        Side('posix_spawn+poll', Worker(bench, stack, 'child-c', SMALL), 'captured', 15),
        Side('cpython-run', open_worker(bench, stack, 'child.py'), 'captured', 15),
    ]
    yield from run(bench, 'child.run.captured', sides, 40)


def run_true(bench, stack):
    sides = [
        Side('brood', Worker(bench, stack, 'bench-child', SMALL), 'true', 15),
        Side('cpython-run', open_worker(bench, stack, 'child.py'), 'true', 15),
        Side('libuv', open_worker(bench, stack, 'child-uv'), 'true', 15),
        Side('gsubprocess', open_worker(bench, stack, 'child-glib'), 'true', 15),
    ]
    yield from run(bench, 'child.run.true', sides, 20)


def available_memory():
    """In MiB."""
    with open('/proc/meminfo', encoding='ascii') as file:
        return int(re.search(r'MemAvailable:\s*(\d+) kB', file.read()).group(1)) >> 10


def run_true_large(bench, stack):
    """Two at a time: there may be no room for three of them."""
    name = 'child.run.true.parent2gib'
    if available_memory() < 2 * LARGE + SPARE:
        raise BenchError(f'{name}: too little memory is free for two parents of 2 GiB')
    ours = Worker(bench, stack, 'bench-child', LARGE)
    for peer, program in (('libuv', 'child-uv'), ('gsubprocess', 'child-glib')):
        with contextlib.ExitStack() as inner:
            sides = [
                Side('brood', ours, 'true', 15),
                Side(peer, open_worker(bench, inner, program, LARGE), 'true', 2),
            ]
            yield from run(bench, name, sides, 7)


def communicate_rates(bench, sides, rounds):
    """MB/s of each side, by round. A turn counts that follows upon one of the same side: memory that lies free for
    seconds is taken back by some hypervisors, and then touching it, not the pipes, would be what is measured."""
    order = list(range(len(sides)))

    def one_round():
        rates = {}
        order.reverse()
        for i in order:
            sides[i].turn()
            took = sides[i].turn()
            rates[i] = took and INPUT_MB / took * 1e6
        return [rates[i] for i in range(len(sides))]

    return bench.rounds('child.communicate.256mib', rounds, one_round)


def communicate_loops(bench, stack):
    """The best loop is the one with the best median of this run."""
    name = 'child.communicate.256mib'
    loops = Worker(bench, stack, 'child-c', SMALL)
    sides = [Side('brood', Worker(bench, stack, 'bench-child', SMALL), 'communicate'),
             *(Side('best-c-loop', loops, loop) for loop in C_LOOPS)]
    rates = communicate_rates(bench, sides, 11)
    medians = [statistics.median(column) for column in zip(*rates)][1:]
    said = ', '.join(f'{loop} {rate:.0f}' for loop, rate in zip(C_LOOPS, medians))
    bench.note(f'the C loops of {name}, MB/s: {said}')
    best = 1 + medians.index(max(medians))
    yield figure(name, 'MB/s', 'best-c-loop', [(values[0], values[best]) for values in rates], 'more')


def communicate_others(bench, stack):
    name = 'child.communicate.256mib'
    sides = [
        Side('brood', Worker(bench, stack, 'bench-child', SMALL), 'communicate'),
        Side('cpython', open_worker(bench, stack, 'child.py'), 'communicate'),
        Side('gsubprocess', open_worker(bench, stack, 'child-glib'), 'communicate'),
    ]
    rates = communicate_rates(bench, sides, 7)
    for i, side in enumerate(sides[1:], 1):
        yield figure(name, 'MB/s', side.peer, [(values[0], values[i]) for values in rates], 'more')


def measure(bench):
    for part in (run_captured, run_true, run_true_large, communicate_loops, communicate_others):
        with contextlib.ExitStack() as stack:
            try:
                yield from part(bench, stack)
            except BenchError as error:
                bench.warn(f'{part.__name__}: {error}')
