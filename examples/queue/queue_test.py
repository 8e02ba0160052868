#!/usr/bin/env python3
"""queue_test.py FOLDER - what the examples show"""
import os
import subprocess
import sys
import time
import unittest

FOLDER = sys.argv.pop(1)
PATIENCE = 60


def path(name):
    return os.path.join(FOLDER, name)


class Workers(unittest.TestCase):
    def test_each_word_is_counted_once(self):
        words = [f'{"x" * (i % 40)}{i}' for i in range(3000)]
        for workers in ('1', '4'):
            done = subprocess.run([path('workers'), workers], input='\n'.join(words) + '\n', stdout=subprocess.PIPE, text=True,
                                  timeout=PATIENCE, check=True)
            self.assertEqual(sorted(done.stdout.splitlines()), sorted(f'{word} {len(word)}' for word in words))

    def test_no_words_are_no_work(self):
        done = subprocess.run([path('workers'), '3'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=PATIENCE,
                              check=True)
        self.assertEqual(done.stdout, '')


class Mortal(unittest.TestCase):
    def test_what_kills_a_worker_is_done_all_the_same(self):
        words = [f'!{i}' if i % 50 == 0 else f'{i}' for i in range(1000)]
        for workers in ('1', '3'):
            done = subprocess.run([path('mortal'), workers], input='\n'.join(words) + '\n', stdout=subprocess.PIPE, text=True,
                                  timeout=PATIENCE, check=True)
            self.assertEqual(sorted(done.stdout.splitlines()),
                             sorted(f'{word} {len(word)}, delivered {2 if word[0] == "!" else 1}' for word in words))


class Chat(unittest.TestCase):
    def test_two_programs_find_each_other(self):
        name = f'brood-chat-{os.getpid()}'
        with subprocess.Popen([path('chat'), 'listen', name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as listener:
            until = time.monotonic() + PATIENCE
            while not os.path.exists(f'/dev/shm/{name}') and time.monotonic() < until:
                time.sleep(0.01)
            subprocess.run([path('chat'), 'say', name], input='hello\n\nbye\n', text=True, timeout=PATIENCE, check=True)
            heard, _ = listener.communicate(timeout=PATIENCE)
        self.assertEqual((listener.returncode, heard), (0, 'hello\n\nbye\n'))
        self.assertFalse(os.path.exists(f'/dev/shm/{name}'))

    def test_nobody_listens(self):
        done = subprocess.run([path('chat'), 'say', 'brood-chat-nobody'], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, 'chat: brood-chat-nobody: No such file or directory\n'))


if __name__ == '__main__':
    unittest.main(verbosity=2)
