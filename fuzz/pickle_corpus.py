#!/usr/bin/env python3
"""pickle_corpus.py - writes fuzz/corpus/pickle anew: pickles of many values, in every protocol

The same bytes from each CPython from 3.8 to 3.13. Protocols 0 and 1 are there to be refused. One file per
value, protocols joined would be no pickles: so one file per value and protocol, a few hundred bytes each.
"""
import os
import pickle
import queue
import shutil

FOLDER = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'corpus', 'pickle')
SHARED = ['x', (1, 2)]
RECURSIVE = []
RECURSIVE.append(RECURSIVE)
VALUES = {
    'none': None,
    'ints': [0, 255, 256, 65535, 65536, -1, -2**31, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -2**63 - 1],
    'big': 3**500,
    'floats': (0.5, -0.0, float('inf'), float('nan'), 1e300),
    'texts': ['', 'tea', 'caf\xe9\0\u20ac\U0001f600', 'long ' * 60],
    'bytes': [b'', b'\0\xff', b'long ' * 60, bytearray(), bytearray(b'a\xff')],
    'tuples': ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((((),),),)),
    'dicts': {'a': {}, 1: {True: [None]}, (1, 'x'): b'y', None: 1.5},
    'sets': [set(), {1}, frozenset(), frozenset([2]), {frozenset([3])}],
    'long_list': list(range(1001)),
    'shared': [SHARED, SHARED, {'a': SHARED, 'b': SHARED}],
    'recursive': RECURSIVE,
    'errors': [ValueError('bad'), KeyError, OSError(2, 'No such file', '/x'), queue.Empty()],
    'calls': [1 + 2j, range(3), slice(1, None, 2), {}.items().__class__.__name__],
    'request': ('7f47bf2c9be0', 'put', ({'a': [1, 2.5, None, True, b'xy']},), {'timeout': 1}),
    'refused': os.system,
}
# What CPython does not write: handles, laughs, many marks, a memo far away, a cut, a call that acts.
BYTES = {
    'handle': b'\x80\x04]K\x01QK\x02Q\x86a.',
    'laughs': b'\x80\x04]\x94' + b''.join(b'](' + b'h' + bytes([i]) + b'h' + bytes([i]) + b'e\x94' for i in range(20)) + b'.',
    'marks': b'\x80\x02((((NtttK\x010t.',
    'memo': b'\x80\x02Nr\xff\xff\xff\x7f.',
    'cut': b'\x80\x04X\xff\xff\xff\xffabc',
    'system': b'\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.',
    'deep': b'\x80\x04' + b']' * 300 + b'a' * 299 + b'.',
    'pops': b'\x80\x04(NN1]N0N2\x86a.',
}


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    files = {f'{name}-{protocol}': pickle.dumps(value, protocol)
             for name, value in VALUES.items() for protocol in range(6)}
    files.update(BYTES)
    for name, data in files.items():
        with open(os.path.join(FOLDER, name), 'wb') as file:
            file.write(data)


if __name__ == '__main__':
    main()
