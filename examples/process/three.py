"""three - three processes, who of them runs, and how many could"""
from multiprocessing import Event, Process, active_children, cpu_count


def worker(number, go):
    go.wait()
    print('worker', number)


if __name__ == '__main__':
    go = Event()
    jobs = [Process(target=worker, args=(number, go)) for number in (1, 2, 3)]
    for p in jobs:
        p.start()
    print(len(active_children()), 'run on', cpu_count(), 'processors')
    go.set()
    for p in jobs:
        p.join()
        print(p)
