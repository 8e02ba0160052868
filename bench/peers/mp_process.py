"""mp_process.py METHOD - microseconds of a start and a join of CPython's multiprocessing.Process"""
import multiprocessing
import sys
import time

BATCH = 50


def nothing():
    pass


def main():
    context = multiprocessing.get_context(sys.argv[1])
    began = time.perf_counter()
    for _ in range(BATCH):
        process = context.Process(target=nothing)
        process.start()
        process.join()
    print((time.perf_counter() - began) * 1e6 / BATCH)


if __name__ == '__main__':
    main()
