"""child.py - CPython's subprocess; a worker: see worker.h"""
import array
import subprocess
import sys
import time

INPUT_SIZE = 256 << 20
clock = time.perf_counter_ns


def run_true(count):
    start = clock()
    for _ in range(count):
        subprocess.run(['/bin/true'], check=True)
    return clock() - start


def run_captured(count):
    start = clock()
    for _ in range(count):
        done = subprocess.run(['/bin/echo', 'x'], capture_output=True, check=True)
        if done.stdout != b'x\n':
            raise ValueError('echo has not said what it should')
    return clock() - start


class Communicate:
    """256 MiB to `cat` and back."""

    def __init__(self):
        self.input = b''

    def once(self):
        start = clock()
        with subprocess.Popen(['/bin/cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
            output, _ = cat.communicate(self.input)
            took = clock() - start
        if cat.returncode != 0 or output != self.input:
            raise ValueError('what came back is not what was sent')
        return took

    def __call__(self, count):
        if not self.input:
            self.input = array.array('I', range(INPUT_SIZE // 4)).tobytes()
        return sum(self.once() for _ in range(count))


def main():
    touched = b'x' * (int(sys.argv[1]) << 20) if len(sys.argv) > 1 else b''
    jobs = {'true': run_true, 'captured': run_captured, 'communicate': Communicate()}
    print('ready', flush=True)
    for line in sys.stdin:
        name, count = line.split()
        print(jobs[name](int(count)), flush=True)


main()
