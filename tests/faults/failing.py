"""Every system call of a path fails in turn: the machinery of spawn_syscalls.py, popen_syscalls.py, process_syscalls.py

A subclass of Failing has the tables: what each call may fail with, and where success, or another
error, is right. Each mode of its program is run once under strace (traced.py), and then once for each call
and error; each of these runs is a test. A call on the path that no run made fail is a failure, too.
"""
import concurrent.futures
import errno
import os
import re
import unittest

from traced import FALLBACK, OLD, Run

LONG = os.environ.get('BROOD_TEST_LONG')
MOST = 35 if LONG == 'all' else 8  # occurrences of one call, in a long run
TRIES = 10  # scheduling decides how far a helper is when the second mark is written
NEAR = 30  # below what tests/children/counted.h counts up to

# What is left behind by the injection itself: strace does not let the call happen.
NOT_HAPPENED = {'close': 'descriptor', 'rt_sigprocmask restore': 'signal'}


class Failing(unittest.TestCase):
    """Filled by make_tests()."""
    errors = {}        # purpose or name: errors, the first ones are tried in a short run
    other_errors = []  # of all others
    allowed = {}       # (process, purpose, error or None for any): why success is right
    other_words = {}   # (process, purpose, error): other errors that are right
    # Calls that strace cannot tell from another's in the process before: the first to fail is the only one.
    shadowed = {}
    by_chance = frozenset()
    by_pace = frozenset()  # (process, purpose): one mode must make it fail; whether the others reach it, time decides
    impossible = set() # (process, purpose): cannot fail, and nothing is right if it does
    strangers = set()  # processes that are not looked at
    short = 2          # errors a call in a short run
    workers = concurrent.futures.ThreadPoolExecutor

    @classmethod
    def is_allowed(cls, call, error):
        return cls.allowed.get((*call.key(), None)) or cls.allowed.get((*call.key(), error))

    @classmethod
    def right_errors(cls, hits, error):
        return {error} | set().union(*(cls.other_words.get((*hit.key(), error), set()) for hit in hits))

    @classmethod
    def says_step(cls, mode):
        """Whether a failure in this mode is told in a brood_fail."""
        raise NotImplementedError

    @classmethod
    def errors_of(cls, call):
        found = cls.errors.get(call.purpose) or cls.errors.get(call.name) or cls.other_errors
        return found if LONG else found[:cls.short]

    @classmethod
    def run_once(cls, mode, call=None, error=None):
        """One run, in which this call fails."""
        if call is None:
            return Run(mode)
        # A helper that stops a tree looks at every process of the machine: its numbers may reach those of
        # the spawner, which then has to count up further.
        far = call.process in ('helper', 'image') and call.number > NEAR
        return Run(mode, [f'{call.name}:error={error}:when={call.number}'], far=far)

    @classmethod
    def judge(cls, run, mode, call, error):
        """None, or what is wrong with a run in which this call failed."""
        hits = [hit for hit in run.trace.calls
                if hit.injected and not (mode.endswith(OLD) and hit.name in FALLBACK)]
        if run.hung:
            return f'hangs; it said {run.said!r}'
        # Asked first: what failed behind the path may well be the write of the verdict.
        if call.key() not in {hit.key() for hit in hits}:
            return f'the call did not fail there, but in {[hit.key() for hit in hits]}'
        if run.trace.astray:
            return 'the call did not fail there alone'
        match = re.search(r'^(-?\d+) (\w+) (\d+)$', run.said, re.MULTILINE)
        if not match:
            return f'no verdict, status {run.status}; it said {run.said!r}'
        result, step, code = int(match.group(1)), match.group(2), int(match.group(3))
        excused = {NOT_HAPPENED[hit.purpose] for hit in hits if hit.purpose in NOT_HAPPENED}
        left = [line for line in re.findall(r'^left (.*)$', run.said, re.MULTILINE)
                if line.split()[0] not in excused]
        if left:
            return 'left behind: ' + ', '.join(left)
        if result == 0:
            if any(cls.is_allowed(hit, error) for hit in hits):
                return None
            return 'it went well; if that is right, the table of what is allowed must say why'
        right = cls.right_errors(hits, error)
        if errno.errorcode.get(-result) not in right:
            return f'failed with {errno.errorcode.get(-result)} at {step}, and not with {" or ".join(sorted(right))}'
        if cls.says_step(mode) and (step == 'none' or code != -result):
            return f'failed with {result}, and brood_fail says {step} {code}'
        return None

    @classmethod
    def cases_of(cls, mode):
        """(call, error) to try, from one run in which nothing is made to fail."""
        run = cls.run_once(mode)
        if run.trace.marks != ['counted', 'begin', 'end'] or not re.search(r'^0 none 0$', run.said, re.MULTILINE):
            raise RuntimeError(f'{mode}: without a fault it said {run.said!r}, marks {run.trace.marks}')
        left = re.findall(r'^left .*$', run.said, re.MULTILINE)
        if left:
            raise RuntimeError(f'{mode}: without a fault {left}')
        seen, cases = {}, []
        # What succeeded first: a call that fails by itself (a folder without the program) shows less.
        for call in sorted(run.trace.calls, key=lambda call: call.own_failure):
            if mode.endswith(OLD) and call.name in FALLBACK or call.key() in cls.impossible:
                continue
            if call.process in cls.strangers:
                continue
            seen[call.key()] = seen.get(call.key(), 0) + 1
            if seen[call.key()] <= (MOST if LONG else 1):
                cases += [(call, error) for error in cls.errors_of(call)]
        return cases, set(seen)

    @classmethod
    def try_case(cls, case):
        mode, call, error = case
        wrong = None
        for _ in range(TRIES):
            wrong = cls.judge(cls.run_once(mode, call, error), mode, call, error)
            if not wrong or 'did not fail there' not in wrong:
                break
        return wrong

    @classmethod
    def make_tests(cls, modes):
        cases, paths = [], {}
        with cls.workers(max_workers=os.cpu_count()) as pool:
            for mode, (found, path) in zip(modes, pool.map(cls.cases_of, modes)):
                cases += [(mode, call, error) for call, error in found]
                paths[mode] = path
            verdicts = list(pool.map(cls.try_case, cases))
        failed = {mode: set() for mode in modes}
        for number, ((mode, call, error), wrong) in enumerate(zip(cases, verdicts)):
            missed = wrong is not None and 'did not fail there' in wrong
            if missed and (call.key() in {*cls.shadowed, *cls.by_chance, *cls.by_pace} or LONG):
                continue
            if not missed:
                failed[mode].add(call.key())

            def test(self, wrong=wrong):
                self.assertIsNone(wrong)
            name = f'test_{number:04}_{mode}_{call.process}_{call.purpose}_{call.number}_{error}'
            setattr(cls, re.sub(r'\W+', '_', name), test)
        everywhere = set().union(*failed.values())
        for mode in modes:
            missing = sorted(key for key in paths[mode] - failed[mode] - cls.by_chance - cls.by_pace
                             if cls.shadowed.get(key) not in everywhere)
            missing += sorted(cls.by_pace & paths[mode] - everywhere)

            def test_all(self, missing=missing):
                self.assertEqual(missing, [], 'calls on the path that no run made fail')
            setattr(cls, re.sub(r'\W+', '_', f'test_every_call_of_{mode}_failed'), test_all)
