"""mp_queue.py throughput PUTTERS GETTERS SIZE | busy - multiprocessing.Queue: millions of messages a second, or the microseconds
of one there and one back"""
import multiprocessing
import sys
import time

EACH = {64: 20000, 1024: 10000, 65536: 1000}
TRIPS = 1000
CONTEXT = multiprocessing.get_context('fork')


def feed(queue, n, size):
    message = b'x' * size
    for _ in range(n):
        queue.put(message)


def drain(queue, ready):
    ready.release()
    while queue.get() is not None:
        pass


def throughput(putters, getters, size):
    queue, ready, n = CONTEXT.Queue(), CONTEXT.Semaphore(0), EACH[size] // putters
    getting = [CONTEXT.Process(target=drain, args=(queue, ready)) for _ in range(getters)]
    for process in getting:
        process.start()
    for _ in getting:
        ready.acquire()
    putting = [CONTEXT.Process(target=feed, args=(queue, n, size)) for _ in range(putters)]
    began = time.monotonic()
    for process in putting:
        process.start()
    for process in putting:
        process.join()
    for _ in getting:
        queue.put(None)
    for process in getting:
        process.join()
    return putters * n / (time.monotonic() - began) / 1e6


def echo(there, back):
    while True:
        back.put(there.get())


def busy():
    there, back = CONTEXT.Queue(), CONTEXT.Queue()
    process = CONTEXT.Process(target=echo, args=(there, back), daemon=True)
    process.start()
    for _ in range(20):
        there.put(b'x')
        back.get()
    began = time.monotonic()
    for _ in range(TRIPS):
        there.put(b'x')
        back.get()
    took = time.monotonic() - began
    process.terminate()
    process.join()
    return took / TRIPS * 1e6


if __name__ == '__main__':
    print(busy() if sys.argv[1] == 'busy' else throughput(*map(int, sys.argv[2:5])))
