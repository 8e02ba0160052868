"""subclass - an object that runs, in a process of its own"""
from multiprocessing import Process


class Worker(Process):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def run(self):
        print(f'In {self.name}: {self.n}')


if __name__ == '__main__':
    jobs = [Worker(n) for n in range(5)]
    for p in jobs:
        p.start()
    for p in jobs:
        p.join()
