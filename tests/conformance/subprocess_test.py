#!/usr/bin/env python3
"""subprocess_test.py ACTOR REPORT - brood's answers to all scenes of scenes.py are those that are written there

ACTOR and REPORT are of tests/children.
"""
import os
import re
import sys
import unittest

sys.path.insert(1, os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'interop'))
import company  # noqa: E402  (after the line above)
import scenes  # noqa: E402


class SubprocessTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.verdicts = company.play([ACTOR], 'brood', REPORT)


def test_of(scene):
    @unittest.skipUnless(company.may_play(scene), 'for root alone')
    def test(self):
        self.assertIsNone(self.verdicts[scene])
    return test


for number, one in enumerate(scenes.SCENES):
    name = re.sub(r'\W+', '_', one.name).strip('_')
    setattr(SubprocessTest, f'test_{number:03}_{name}', test_of(one))


if __name__ == '__main__':
    ACTOR, REPORT = map(os.path.abspath, sys.argv[1:3])
    del sys.argv[1:3]
    unittest.main(verbosity=2)
