"""hello - one process, and the ids of who is who"""
import os
from multiprocessing import Process, parent_process


def info(title):
    print(title)
    print('main:', 'yes' if parent_process() is None else 'no')
    print('parent process:', os.getppid())
    print('process id:', os.getpid())


def f(name):
    info('function f')
    print('hello', name)


if __name__ == '__main__':
    info('main line')
    p = Process(target=f, args=('bob',))
    p.start()
    p.join()
