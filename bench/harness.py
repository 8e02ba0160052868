"""What the groups of benches share: processes that do not outlive the run, calm, figures."""
import ctypes
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple, Optional

PR_SET_CHILD_SUBREAPER = 36
CALM_SHARE = 0.15    # of the processors may be busy with something else
CALM_SECONDS = 20.0  # of waiting for that, in the whole run
STOLEN_SHARE = 0.01  # of the processors may go to other guests of the host in a round that counts


class BenchError(Exception):
    """A figure that could not be taken; the text says why."""


class PeerMissing(BenchError):
    """What brood is compared with is not installed."""


class Figure(NamedTuple):
    """One line; what could not be measured is None. A ratio above 1 means that brood is better."""
    name: str
    value: Optional[float]
    unit: str
    peer: str
    peer_value: Optional[float] = None
    ratio: Optional[float] = None


def paired(name, unit, peer, rounds, better):
    """The figure of a list of (brood's value, peer's value), a pair a round: medians of the values
    and of the rounds' ratios. `better` is 'more' or 'less'."""
    ratios = [ours / theirs if better == 'more' else theirs / ours for ours, theirs in rounds]
    return Figure(name, statistics.median(r[0] for r in rounds), unit, peer,
                  statistics.median(r[1] for r in rounds), statistics.median(ratios))


def busy_and_idle():
    with open('/proc/stat', encoding='ascii') as file:
        user, nice, system, idle, wait, irq, softirq = map(int, file.readline().split()[1:8])
    return user + nice + system + irq + softirq, idle + wait


def stolen_and_all():
    """Ticks that the hypervisor gave to others while we had work to do, and all ticks."""
    with open('/proc/stat', encoding='ascii') as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return ticks[7], sum(ticks)


def children_of(pid):
    found = []
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        return found  # it has just ended
    return found


class Bench:
    """One run: where things are, and everything that was started."""

    def __init__(self, build):
        self.build = os.path.realpath(build)
        self.home = os.path.dirname(os.path.realpath(__file__))
        self.calm_left = CALM_SECONDS
        self.started = []
        # Beside the build: what is synced to disk is synced to the checkout's disk.
        self.work = tempfile.mkdtemp(prefix='bench-work-', dir=self.build)
        # Whatever a service abandons when it is stopped becomes our child, and is ended with us.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    # ---- what there is

    def built(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise BenchError(f'{name} is not in the build directory')
        return path

    def source(self, *parts):
        return os.path.join(self.home, *parts)

    def folder(self, name):
        return tempfile.mkdtemp(prefix=name + '-', dir=self.work)

    @staticmethod
    def tool(name):
        path = shutil.which(name)
        if path is None:
            raise BenchError(f'{name} is not installed')
        return path

    # ---- what is said

    @staticmethod
    def note(text):
        print('# ' + text, flush=True)

    @staticmethod
    def warn(text):
        print('bench: ' + text, file=sys.stderr, flush=True)

    def calm(self):
        """Waits, as long as there is patience left, for a moment when the machine has nothing to do."""
        while self.calm_left > 0:
            busy, idle = busy_and_idle()
            time.sleep(0.05)
            self.calm_left -= 0.05
            more_busy, more_idle = busy_and_idle()
            spent = more_busy - busy
            if spent <= CALM_SHARE * (spent + more_idle - idle):
                return

    def rounds(self, name, wanted, take):
        """`wanted` results of take(). For a round in which the hypervisor stole processor time another is taken, up
        to three times as many in all, and the least disturbed count: chosen by what was stolen, never by result."""
        taken = []
        while sum(share <= STOLEN_SHARE for share, _ in taken) < wanted and len(taken) < 3 * wanted:
            self.calm()
            stolen, ticks = stolen_and_all()
            result = take()
            more_stolen, more_ticks = stolen_and_all()
            taken.append(((more_stolen - stolen) / max(more_ticks - ticks, 1), result))
        chosen = sorted(taken, key=lambda pair: pair[0])[:wanted]
        if len(taken) > wanted:
            self.note(f'{name}: {len(taken)} rounds taken, the {wanted} least disturbed count; of the processors was '
                      f'stolen: all {statistics.mean(share for share, _ in taken):.1%}, '
                      f'counted {statistics.mean(share for share, _ in chosen):.1%}')
        return [result for _, result in chosen]

    def figures(self, name, rounds):
        """The lines of rounds.h that the program of this name prints, each with the peer that it has in itself."""
        for line in self.output([self.built(f'bench/{name}'), rounds]).splitlines():
            words = line.split('\t')
            if len(words) != 6:
                raise BenchError(f'{name} said "{line}"')
            figure, value, unit, peer, peer_value, ratio = words
            yield Figure(figure, float(value), unit, peer, float(peer_value), float(ratio))

    # ---- processes

    def start(self, argv, **options):
        """A process in a session of its own, so that a terminal's signals are for us alone."""
        options.setdefault('stdin', subprocess.DEVNULL)
        process = subprocess.Popen(argv, start_new_session=True, **options)
        self.started.append(process)
        return process

    def stop(self, process, patience=10.0):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        if process in self.started:
            self.started.remove(process)

    def output(self, argv, timeout=120.0, env=None):
        """Runs to the end; its standard output."""
        process = self.start(argv, stdout=subprocess.PIPE, text=True, env=env)
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f'{os.path.basename(argv[0])} did not end within {timeout:.0f} s') from None
        finally:
            self.stop(process, 1.0)
        if process.returncode != 0:
            raise BenchError(f'{os.path.basename(argv[0])} failed with status {process.returncode}')
        return text

    def close(self):
        """Ends everything that is left, descendants too, and removes the files."""
        for process in list(self.started):
            self.stop(process, 3.0)
        for _ in range(100):
            left = children_of(os.getpid())
            if not left:
                break
            for pid in left:
                os.kill(pid, signal.SIGKILL)  # ours, so the number is not another's
                os.waitpid(pid, 0)
        shutil.rmtree(self.work, ignore_errors=True)
