#!/usr/bin/env python3
"""ask_test.py SERVER - Debian's Python asks the server in C; what is asked wrongly, with a wrong key, or not at all harms nobody"""
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

SERVER = sys.argv.pop(1)
ASK = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'ask.py')
PYTHON = '/usr/bin/python3'
KEY = b'a secret'
LIMIT = 60


def ask(python, address, *words):
    return subprocess.run([python, '-B', ASK, address, *words], input=KEY + b'\n', stdout=subprocess.PIPE, timeout=LIMIT, check=True).stdout


class Example(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, 'socket')
        self.server = subprocess.Popen([SERVER, self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.stop)
        self.server.stdin.write(KEY + b'\n')
        self.server.stdin.flush()
        self.assertEqual(self.server.stdout.readline().decode(), self.path + '\n')

    def stop(self):
        self.server.kill()
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()

    @unittest.skipUnless(os.access(PYTHON, os.X_OK), f'no {PYTHON}')
    def test_debians_python_asks(self):
        self.assertEqual(ask(PYTHON, self.path, 'primes', '0', '100', '100000'), b'0\n25\n9592\n')
        self.assertEqual(ask(PYTHON, self.path, 'weather', '1'), b'unknown word\n')

    def test_several_ask_and_some_are_hostile(self):
        with socket.socket(socket.AF_UNIX) as silent, Client(self.path, authkey=KEY) as first, Client(self.path, authkey=KEY) as second:
            silent.connect(self.path)
            with self.assertRaises(AuthenticationError):
                Client(self.path, authkey=b'another')
            second.send(('primes', 10))
            first.send(('primes', 3))
            self.assertEqual((first.recv(), second.recv()), (1, 4))
            for wrong in ('primes', (), ('primes',), ('primes', 'ten'), ('primes', 10**30), (10, 'primes'), None):
                first.send(wrong)
                self.assertIsInstance(first.recv(), str)
            first.send_bytes(b'no pickle')
            with self.assertRaises((EOFError, ConnectionResetError)):
                first.recv()
            second.send(('primes', 100))
            self.assertEqual(second.recv(), 25)

    def test_it_ends_with_its_input_and_leaves_no_path(self):
        self.server.stdin.close()
        self.assertEqual(self.server.wait(LIMIT), 0)
        self.assertFalse(os.path.exists(self.path))


if __name__ == '__main__':
    unittest.main()
