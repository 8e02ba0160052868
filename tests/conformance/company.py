"""A company of actors: plays all scenes, each in a folder of its own, and judges the answers."""
import concurrent.futures
import os
import shutil
import tempfile

import peers
import scenes

PARTS = 3


def may_play(scene):
    return not scene.root or os.geteuid() == 0


def play(command, who, report, *, version=(99,)):
    """{scene: what was wrong with it, or None}, of those that this user and this CPython can play."""
    chosen = [scene for scene in scenes.SCENES if version >= scene.since and may_play(scene)]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # other users' programs look for their folder in it
        report = shutil.copy(report, os.path.join(folder, 'report'))  # the build may be where they cannot go
        folders = [os.path.join(folder, str(at)) for at in range(len(chosen))]
        for path in folders:
            os.mkdir(path)
            scenes.stage(path)
        cases = [('s', scene.words(path, report)) for scene, path in zip(chosen, folders)]
        # Some at once: scenes sleep more than they work.
        answers = [None] * len(cases)
        with concurrent.futures.ThreadPoolExecutor(PARTS) as pool:
            parts = pool.map(lambda at: peers.answers_of(command, cases[at::PARTS]), range(PARTS))
            for at, part in enumerate(parts):
                answers[at::PARTS] = part
        return {scene: scene.judge(who, answer, path) for scene, answer, path in zip(chosen, answers, folders)}
