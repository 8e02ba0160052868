"""resolve NAME... - a call of the C library that blocks, made one that does not, by workers over two queues"""
import socket
import sys
from multiprocessing import Process, Queue


def worker(requests, answers):
    for number, name in iter(requests.get, None):
        try:
            answers.put((number, socket.gethostbyname(name)))
        except OSError:
            answers.put((number, 'no address'))


if __name__ == '__main__':
    names = sys.argv[1:]
    requests, answers = Queue(), Queue()
    for _ in range(4):
        Process(target=worker, args=(requests, answers), daemon=True).start()
    for request in enumerate(names):
        requests.put(request)      # returns at once
    print(len(names), 'asked')     # and goes on meanwhile
    for number, address in sorted(answers.get() for _ in names):
        print(f'{names[number]}: {address}')
