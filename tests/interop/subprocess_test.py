#!/usr/bin/env python3
"""subprocess_test.py REPORT - every CPython at hand plays the scenes of brood's conformance test as brood does

Or differs as the scene says. REPORT is of tests/children.
"""
import concurrent.futures
import os
import sys
import unittest

import peers

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(1, os.path.join(HERE, '..', 'conformance'))
import company  # noqa: E402  (after the line above)


def play(version, path):
    command = [path, '-B', os.path.join(HERE, 'actor.py'), '--oracle']
    return company.play(command, 'python', REPORT, version=tuple(map(int, version.split('.'))))


class SubprocessTest(unittest.TestCase):
    def test_all_scenes(self):
        versions = peers.pythons()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = dict(zip(versions, pool.map(play, versions, versions.values())))
        for version, verdicts in results.items():
            with self.subTest(version):
                print(f'CPython {version}: {len(verdicts)} scenes', flush=True)
                wrong = [f'{scene.name}: {verdict}' for scene, verdict in verdicts.items() if verdict]
                self.assertFalse(wrong, '\n'.join(wrong))


if __name__ == '__main__':
    REPORT = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
