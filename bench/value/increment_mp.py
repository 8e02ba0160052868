"""value.increment4 with multiprocessing.Value: increment_mp.py PROCESSES N. Prints millions a second."""
import multiprocessing
import sys
import time


def work(value, barrier, times, index, count):
    barrier.wait()
    times[2 * index] = time.monotonic()
    lock = value.get_lock()
    for _ in range(count):
        with lock:
            value.value += 1
    times[2 * index + 1] = time.monotonic()


def main(processes, count):
    context = multiprocessing.get_context('fork')
    value, barrier, times = context.Value('q', 0), context.Barrier(processes), context.Array('d', 2 * processes)
    workers = [context.Process(target=work, args=(value, barrier, times, i, count)) for i in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if value.value != processes * count:
        return 1
    print(f'{processes * count / (max(times[1::2]) - min(times[0::2])) / 1e6:.6f}')
    return 0


if __name__ == '__main__':
    sys.exit(main(*map(int, sys.argv[1:])))
