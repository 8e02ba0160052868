"""daemon [join] - a daemon ends with its parent, if that does not wait for it; others are waited for"""
import sys
import time
from multiprocessing import Event, Process, current_process


def run(seconds, begun):
    print('Starting:', current_process().name, flush=True)
    begun.set()
    time.sleep(seconds)
    print('Exiting:', current_process().name, flush=True)


if __name__ == '__main__':
    join = 'join' in sys.argv
    begun = Event()
    daemon = Process(name='daemon', target=run, args=(1 if join else 1000, begun), daemon=True)
    daemon.start()
    begun.wait()
    other = Process(name='non-daemon', target=run, args=(0.5, begun))
    other.start()
    if join:
        daemon.join()
