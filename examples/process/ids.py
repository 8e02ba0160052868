"""ids - who is whose child"""
import os
from multiprocessing import Process, parent_process


def child():
    parent = parent_process()
    print(f'I am child process {os.getpid()}, and my parent is {parent.pid}, {parent.name}.')


if __name__ == '__main__':
    p = Process(target=child)
    p.start()
    p.join()
    print(f'I, {os.getpid()}, have made a child process, {p.pid}.')
