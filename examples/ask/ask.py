#!/usr/bin/env python3
"""ask.py ADDRESS WORD NUMBER ... - asks examples/ask/server.c, with what Python has; the key is the line in standard input"""
import sys
from multiprocessing.connection import Client


def main():
    key = sys.stdin.buffer.readline().rstrip(b'\n')
    with Client(sys.argv[1], authkey=key) as conn:
        for number in sys.argv[3:]:
            conn.send((sys.argv[2], int(number)))
            print(conn.recv())


if __name__ == '__main__':
    main()
