"""The lines serve.*: `brood serve` beside a Flask service, a bare spawn loop, and the disk."""
import contextlib
import mmap
import os
import statistics
import struct
import time

from harness import BenchError, Figure, PeerMissing, paired
from serve.services import Brood, Client, Flask, resident

ROUNDS = 5
TRUE = ['/bin/true']
SLEEP = ['/bin/sleep', '60']
CONNECTIONS = 32  # serves best: enough to fill a group commit, few enough not to queue
FEW = 8
PAUSE = 20  # ms between requests of a connection, for the latency: 400 requests/s in all


def open_peer(bench, stack, kind, *args):
    """The peer, or None, and that is said."""
    try:
        peer = kind(bench, *args)
    except PeerMissing as error:
        bench.warn(f'peer missing: {error}')
        return None
    stack.callback(peer.stop)
    return peer


def figure(name, unit, peer, rounds, better):
    """paired(), or the line with '-' when the peer is missing."""
    if rounds and rounds[0][1] is None:
        return Figure(name, statistics.median(ours for ours, _ in rounds), unit, peer)
    return paired(name, unit, peer, rounds, better)


def memory(brood, when):
    parts = []
    for name, pid in (('server', brood.process.pid), ('keeper', brood.keeper())):
        size = resident(pid)
        parts.append((name, size['VmRSS'], size['RssAnon']))
    total = sum(rss for _, rss, _ in parts)
    said = ', '.join(f'{name} VmRSS {rss / 2**20:.1f} MiB (anonymous {anonymous / 2**20:.1f})'
                     for name, rss, anonymous in parts)
    return f'serve resident, {when}: {said}; sum of VmRSS {total / 2**20:.1f} of 16 MiB'


# ---- jobs a second

def brood_jobs(brood, connections, seconds):
    last = brood.last_job()
    counted = brood.load(connections, seconds)
    jobs, took = brood.wait_recorded(last, counted['accepted'], connections)
    return jobs / took


def flask_jobs(flask, connections, seconds):
    """In its favour, the wait for the tick that records the last jobs is not counted."""
    before = flask.recorded()
    counted = flask.load(connections, seconds)
    flask.wait_recorded(before, counted['accepted'], connections)
    return counted['accepted'] / counted['seconds']


def jobs(bench):
    with contextlib.ExitStack() as stack:
        brood = Brood(bench, TRUE, 64, 1000)
        stack.callback(brood.stop)
        flask = open_peer(bench, stack, Flask, TRUE, 100000)
        loop = [bench.built('bench/spawn-loop'), '2', '1', *TRUE]

        def one_round():
            """The bare loop before and after, as the machine's speed drifts."""
            before = float(bench.output(loop))
            ours = brood_jobs(brood, CONNECTIONS, 2)
            after = float(bench.output(loop))
            return ours, (before + after) / 2, flask_jobs(flask, FEW, 2) if flask else None

        time.sleep(1)
        bench.note(memory(brood, 'idle after the start'))
        rounds = bench.rounds('serve.jobs', ROUNDS, one_round)
        done = brood.store.execute('SELECT count(*) FROM job').fetchone()[0]
        time.sleep(1)
        bench.note(memory(brood, f'idle after {done} jobs'))
    yield figure('serve.jobs', 'jobs/s', 'spawn-loop-2', [(ours, bare) for ours, bare, _ in rounds], 'more')
    yield figure('serve.jobs', 'jobs/s', 'flask-service', [(ours, theirs) for ours, _, theirs in rounds], 'more')


def jobs_limit10(bench):
    with contextlib.ExitStack() as stack:
        brood = Brood(bench, TRUE, 10)
        stack.callback(brood.stop)
        flask = open_peer(bench, stack, Flask, TRUE, 10)
        rounds = bench.rounds('serve.jobs.limit10', ROUNDS, lambda: (
            brood_jobs(brood, FEW, 2), flask_jobs(flask, FEW, 5) if flask else None))
    yield figure('serve.jobs.limit10', 'jobs/s', 'flask-service', rounds, 'more')


# ---- refusals a second

def fill(service, slots):
    client = Client(service)
    for _ in range(slots):
        if not client.post():
            raise BenchError('a slot was taken already')
    if client.post():
        raise BenchError('there is a slot too many')
    client.close()


def refusals(service, seconds):
    counted = service.load(FEW, seconds)
    if counted['accepted'] > 0:
        raise BenchError('something was accepted although all slots are full')
    return counted['refused'] / counted['seconds']


def refused(bench):
    with contextlib.ExitStack() as stack:
        brood = Brood(bench, SLEEP, 4)
        stack.callback(brood.stop)
        flask = open_peer(bench, stack, Flask, SLEEP, 4)
        fill(brood, 4)
        if flask:
            fill(flask, 4)
        rounds = bench.rounds('serve.refused', ROUNDS, lambda: (
            refusals(brood, 1), refusals(flask, 1) if flask else None))
    yield figure('serve.refused', 'requests/s', 'flask-service', rounds, 'more')


# ---- latency of the 202

def percentile99(values):
    return statistics.quantiles(values, n=100)[98]


def fdatasync_p99(folder):
    """Milliseconds of appending 4 KiB and fdatasync."""
    block, times = os.urandom(4096), []
    fd = os.open(os.path.join(folder, 'append'), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end or len(times) < 200:
            start = time.monotonic_ns()
            os.write(fd, block)
            os.fdatasync(fd)
            times.append((time.monotonic_ns() - start) / 1e6)
    finally:
        os.close(fd)
    return percentile99(times)


def queued_p99(bench):
    """Beside the line: the 202 of jobs that only wait, so that no program takes the processors. It needs
    a new service each time, as its queue gets full."""
    times = []
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            brood = Brood(bench, SLEEP, 1, 10000)
            stack.callback(brood.stop)
            bench.calm()
            counted = brood.load(FEW, 1)
            times.append((counted['p99_ms'], counted['accepted'] / counted['seconds'], counted['refused']))
    p99, rate, no = (statistics.median(column) for column in zip(*times))
    return f'p99 of the 202 when jobs are stored and queued only: {p99:.3f} ms, at {rate:.0f}/s, {no:.0f} refused'


def accept_p99(bench):
    with contextlib.ExitStack() as stack:
        brood = Brood(bench, TRUE, 64, 1000)
        stack.callback(brood.stop)

        def one_round():
            disk = fdatasync_p99(brood.folder)
            last = brood.last_job()
            counted = brood.load(FEW, 1, PAUSE)
            if counted['refused'] > 0:
                raise BenchError(f'serve.accept.p99: {counted["refused"]:.0f} requests were refused')
            brood.wait_recorded(last, counted['accepted'], FEW)
            return counted['p99_ms'], disk

        rounds = bench.rounds('serve.accept.p99', 2 * ROUNDS, one_round)
    bench.note(f'p99 of write + fdatasync of 4 KiB: {statistics.median(disk for _, disk in rounds):.3f} ms')
    bench.note(queued_p99(bench))
    yield figure('serve.accept.p99', 'ms', '3x-fdatasync-p99+2ms',
                 [(p99, 3 * disk + 2) for p99, disk in rounds], 'less')


# ---- a slot's reuse

class Stamp:
    """The file that bench/stamp shares with us: how long to run, and when it ended."""

    def __init__(self, path):
        with open(path, 'wb+') as file:
            file.write(bytes(16))
            file.flush()
            self.memory = mmap.mmap(file.fileno(), 16)

    def set_run(self, seconds):
        self.memory[0:8] = struct.pack('=q', int(seconds * 1e9))

    def ended(self):
        return struct.unpack('=q', self.memory[8:16])[0]


def accepted_at(client):
    while not client.post():
        pass
    return time.monotonic_ns()


def reuse_times(client, stamp, wanted):
    """Milliseconds from a job's end to the answer that accepts the next one, of `wanted` jobs in a row.
    A sample is dropped when we were so late to look that the next job had ended too."""
    times = []
    accepted_at(client)
    for _ in range(3 * wanted):
        before = stamp.ended()
        at = accepted_at(client)
        ended = stamp.ended()
        if ended == before:
            raise BenchError('serve.slot.reuse: accepted before the job had ended')
        if ended < at:
            times.append((at - ended) / 1e6)
        if len(times) == wanted:
            return times
    raise BenchError('serve.slot.reuse: the machine is too busy to see a job end')


def slot_reuse(bench):
    with contextlib.ExitStack() as stack:
        program = bench.built('bench/stamp')
        folder = bench.folder('stamps')
        ours, theirs = (os.path.join(folder, name) for name in ('brood', 'flask'))
        stamps = Stamp(ours), Stamp(theirs)
        brood = Brood(bench, [program, ours], 1)
        stack.callback(brood.stop)
        flask = open_peer(bench, stack, Flask, [program, theirs], 1)
        clients = [Client(service) for service in (brood, flask) if service]
        rounds = []
        for number in range(ROUNDS):
            bench.calm()
            stamps[0].set_run(0.02)
            value = statistics.median(reuse_times(clients[0], stamps[0], 20))
            peer = None
            if flask:
                # It takes a job right after a tick, so a job's length decides how long it waits for
                # the next one: lengths from 0.1 to 0.9 s give all waits their share.
                stamps[1].set_run((number + 0.5) / ROUNDS)
                peer = reuse_times(clients[1], stamps[1], 1)[0]
            rounds.append((value, peer))
        for client in clients:
            client.close()
    yield figure('serve.slot.reuse', 'ms', 'flask-service', rounds, 'less')


def measure(bench):
    for part in (jobs, jobs_limit10, refused, accept_p99, slot_reuse):
        try:
            yield from part(bench)
        except BenchError as error:
            bench.warn(f'{part.__name__}: {error}')
