"""environment - a fork has a copy of all that there is: what it changes nobody else sees"""
import os
from multiprocessing import get_context

numbers = [1, 2, 3]


def show(who):
    print(f'{who}: {os.environ["COLOUR"]}, {len(numbers)} numbers')


def child():
    show('child, before')
    os.environ['COLOUR'] = 'blue'
    numbers.append(4)
    show('child, after')


if __name__ == '__main__':
    os.environ['COLOUR'] = 'red'
    p = get_context('fork').Process(target=child)
    p.start()
    p.join()
    show('parent')
