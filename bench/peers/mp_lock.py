"""mp_lock.py alone | contended - multiprocessing.Lock: nanoseconds alone, or millions a second of four processes"""
import multiprocessing
import sys
import time

WORKERS = 4
ALONE = 200000
SECONDS = 0.3


def work(lock, go, stop, result):
    go.wait()
    n = 0
    while not stop.value:
        with lock:
            pass
        n += 1
    result.put(n)


def contended():
    context = multiprocessing.get_context('fork')
    lock, go, stop, result = context.Lock(), context.Event(), context.Value('b', 0, lock=False), context.Queue()
    workers = [context.Process(target=work, args=(lock, go, stop, result)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    time.sleep(0.1)
    go.set()
    began = time.monotonic()
    time.sleep(SECONDS)
    stop.value = 1
    took = time.monotonic() - began
    done = sum(result.get() for _ in workers)
    for worker in workers:
        worker.join()
    return done / took / 1e6


def alone():
    lock = multiprocessing.Lock()
    began = time.monotonic()
    for _ in range(ALONE):
        with lock:
            pass
    return (time.monotonic() - began) / ALONE * 1e9


if __name__ == '__main__':
    print(contended() if sys.argv[1] == 'contended' else alone())
