#!/usr/bin/env python3
"""conn_corpus.py - writes fuzz/corpus/conn anew: what CPython's connections say, cut into pieces; and what nobody should

The first byte of a file says what is under test (fuzz_conn.c), then each piece is a length and its bytes.
"""
import os
import shutil
import socket
import struct
import threading
from multiprocessing import connection

FOLDER = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'corpus', 'conn')
RECV_BYTES, RECV_INTO, RECV_OBJECT, NEXT_SIZE, LISTENER, CLIENT = range(6)
IS_PIPE, IS_SHARED, READS_AHEAD, IS_LIMITED = 8, 16, 32, 64
HELP = 0x80
KEY = b'a key'


def sent_by(act):
    """The bytes that a CPython's connection sends."""
    ours, theirs = socket.socketpair()
    with ours, connection.Connection(theirs.detach()) as conn:
        act(conn)
        conn.close()
        data = b''
        while part := ours.recv(65536):
            data += part
    return data


def pieces(data, size):
    return b''.join(bytes([len(part)]) + part for part in (data[i:i + size] for i in range(0, len(data), size)))


def handshake():
    """The bytes of both sides of a good one: what the listener sends, what the client sends."""
    a, b = socket.socketpair()
    said = {}

    def relay(source, target, name):
        said[name] = b''
        while part := source.recv(4096):
            said[name] += part
            target.sendall(part)
    c, d = socket.socketpair()
    threads = [threading.Thread(target=relay, args=args) for args in ((b, c, 'listener'), (c, b, 'client'))]
    for thread in threads:
        thread.start()
    with connection.Connection(a.detach()) as listener, connection.Connection(d.detach()) as client:
        def listen():
            connection.deliver_challenge(listener, KEY)
            connection.answer_challenge(listener, KEY)
        one = threading.Thread(target=listen)
        one.start()
        connection.answer_challenge(client, KEY)
        connection.deliver_challenge(client, KEY)
        one.join()
    b.shutdown(socket.SHUT_RDWR)
    c.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    b.close()
    c.close()
    return said


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)

    def talk(conn):
        for message in (b'', b'x', b'to be cut into pieces', b'hello' * 10, bytes(1500)):
            conn.send_bytes(message)

    def send(conn):
        for value in (None, 17, 'text', [1, 2.5, (b'x', {'a': {1}})], {'long': 'text' * 40}, ValueError('no')):
            conn.send(value)
    messages, objects = sent_by(talk), sent_by(send)
    files = {
        'bytes': bytes([RECV_BYTES]) + pieces(messages, 255),
        'bytes-cut': bytes([RECV_BYTES | IS_PIPE]) + pieces(messages, 3),
        'bytes-ahead': bytes([RECV_BYTES | READS_AHEAD | IS_PIPE]) + pieces(messages, 70),
        'bytes-shared': bytes([RECV_BYTES | IS_SHARED]) + pieces(messages, 255),
        'bytes-limited': bytes([RECV_BYTES | IS_LIMITED]) + pieces(messages, 100),
        'into': bytes([RECV_INTO]) + pieces(messages, 5),
        'into-ahead': bytes([RECV_INTO | READS_AHEAD]) + pieces(messages, 200),
        'into-shared': bytes([RECV_INTO | IS_SHARED]) + pieces(messages, 1),
        'objects': bytes([RECV_OBJECT]) + pieces(objects, 255),
        'objects-cut': bytes([RECV_OBJECT | READS_AHEAD]) + pieces(objects, 7),
        'objects-shared': bytes([RECV_OBJECT | IS_SHARED | IS_PIPE]) + pieces(objects, 255),
        'sizes': bytes([NEXT_SIZE]) + pieces(messages, 9),
        # What no CPython says.
        'huge': bytes([RECV_BYTES]) + pieces(struct.pack('!iQ', -1, 2**62) + b'x' * 40, 9),
        'long-head': bytes([RECV_INTO]) + pieces(struct.pack('!iQ', -1, 3) + b'abc', 255),
        'negative': bytes([RECV_OBJECT]) + pieces(struct.pack('!i', -2), 255),
        'deep': bytes([RECV_OBJECT]) + pieces(struct.pack('!i', 604) + b'\x80\x04' + b']' * 300 + b'a' * 299 + b'.' + b'xx', 255),
        'torn': bytes([NEXT_SIZE | IS_SHARED]) + pieces(messages[:-9], 255),
    }
    said = handshake()
    for mode, other in (LISTENER, 'client'), (CLIENT, 'listener'):
        files[f'{other}-replayed'] = bytes([mode]) + pieces(said[other], 100)
        files[f'{other}-cut'] = bytes([mode]) + pieces(said[other], 3)
        files[f'{other}-honest'] = bytes([mode]) + bytes([HELP]) * 8
        files[f'{other}-honest-then-not'] = bytes([mode]) + bytes([HELP] * 2) + pieces(said[other], 50)
        files[f'{other}-long'] = bytes([mode]) + pieces(struct.pack('!i', 257) + bytes(257), 100)
    for name, data in files.items():
        with open(os.path.join(FOLDER, name), 'wb') as file:
            file.write(data)


if __name__ == '__main__':
    main()
