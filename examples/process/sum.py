"""sum [PROCESSES [N [leave]]] - processes that add up 0 to N - 1, 8 and 100,000,000 of them by default

Who is not joined is waited for all the same, at the end of the program.
"""
import sys
from multiprocessing import Process, Value


def add(total, left, first, last):
    part = sum(range(first, last))
    with total.get_lock():
        total.value += part
    with left.get_lock():
        left.value -= 1
        if left.value == 0:
            print(total.value, flush=True)


if __name__ == '__main__':
    n_jobs, n = (int(word) for word in (sys.argv[1:3] + ['8', '100000000'][len(sys.argv[1:3]):]))
    total, left = Value('q', 0), Value('q', n_jobs)
    jobs = [Process(target=add, args=(total, left, i * n // n_jobs, (i + 1) * n // n_jobs)) for i in range(n_jobs)]
    for p in jobs:
        p.start()
    if 'leave' not in sys.argv:
        for p in jobs:
            p.join()
    print('main line: the end', flush=True)
